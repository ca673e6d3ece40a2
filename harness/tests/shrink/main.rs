//! What fails is made small: the search with judges that are made up, and the whole product with
//! servers that do wrong.

mod judges;
mod product;
#[path = "../e2e/proxy.rs"]
#[expect(dead_code, reason = "what other tests do with it")]
mod proxy;
mod written;
