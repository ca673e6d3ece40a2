//! What fails is made small: the search with judges that are made up, and the whole product with
//! servers that do wrong.

#![expect(clippy::indexing_slicing, reason = "a JSON value that is not there is null")]

mod judges;
mod product;
#[path = "../e2e/proxy.rs"]
#[expect(dead_code, reason = "what other tests do with it")]
mod proxy;
#[path = "../e2e/runs.rs"]
#[expect(dead_code, reason = "what other tests do with it")]
mod runs;
mod written;
