//! `harness conform`: what comes of cases and suites, and the whole of it on servers that do right,
//! wrong, or die.

#![expect(clippy::indexing_slicing, reason = "a JSON value that is not there is null")]

mod fakes;
mod formats;
mod judging;
mod linting;
#[path = "../e2e/runs.rs"]
#[expect(dead_code, reason = "the end-to-end tests use the rest")]
mod runs;
mod suites;
#[path = "../summaries/mod.rs"]
#[expect(dead_code, reason = "the tests of reports use the rest")]
mod summaries;
mod verdicts;
