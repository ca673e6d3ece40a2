//! The log of a run: nothing is lost in it, what is broken is not believed, and judged again it says
//! what the run said.

#![expect(clippy::indexing_slicing, reason = "a JSON value that is not there is null")]

#[path = "../e2e/faults.rs"]
#[expect(dead_code, reason = "the end-to-end tests use the rest")]
mod faults;
mod histories;
mod kept;
#[path = "../e2e/proxy.rs"]
#[expect(dead_code, reason = "the end-to-end tests use the rest")]
mod proxy;
mod repeated;
mod rounds;
#[path = "../e2e/runs.rs"]
#[expect(dead_code, reason = "the end-to-end tests use the rest")]
mod runs;
mod tries;
#[path = "../world/mod.rs"]
#[expect(dead_code, unused_imports, reason = "the tests of the checks use the rest")]
mod world;
