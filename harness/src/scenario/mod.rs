//! The scenario language: who connects, what they do, and what must be true, as the user wrote it.

pub mod problem;

pub use problem::{Problem, Problems};
