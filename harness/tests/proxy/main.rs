//! The man in the middle: what it decides, what it does before a server that is not ours, and that
//! without a rule it does nothing.

#![expect(clippy::indexing_slicing, reason = "a JSON value that is not there is null")]

mod deciding;
mod ends;
mod faults;
mod network;
mod programs;
#[expect(dead_code, reason = "its smoke test and its server by command are for other tests")]
#[path = "../interop/server.rs"]
mod server;
mod silent;
mod words;
