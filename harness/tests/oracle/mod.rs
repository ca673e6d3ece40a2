//! The checks against oracles: slow, obviously right, and written from the sentences of what each
//! class means. Random histories, with a random fault or none, must get the same verdict and the
//! same classes from both.

mod delivery;
mod hearing;
mod order;
mod past;
mod tally;
mod traffic;
