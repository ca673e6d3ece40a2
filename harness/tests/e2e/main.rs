//! The whole product as its users meet it: programs, files, exit codes, and the faults it is there to
//! find.

mod accounts;
mod ends;
mod faults;
mod proxy;
mod quick;
mod runs;
mod scenarios;
mod words;
