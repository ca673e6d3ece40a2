//! The whole product as its users meet it: programs, files, exit codes, and the faults it is there to
//! find.

#![expect(clippy::indexing_slicing, reason = "a JSON value that is not there is null")]

mod accounts;
mod dialects;
mod ends;
mod faults;
mod proxy;
mod quick;
mod runs;
mod said;
mod scenarios;
mod secure;
#[cfg(feature = "tide-websockets")]
mod transports;
mod words;
