//! `harness selftest`: its catalogue, what is said of mutants and of the whole, and the reports.

mod catalogue;
mod formats;
mod outcomes;
#[cfg(not(feature = "mutants"))]
mod plain;
#[path = "../summaries/mod.rs"]
#[expect(dead_code, reason = "the tests of reports use the rest")]
mod summaries;
