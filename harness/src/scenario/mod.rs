//! The scenario language: who connects, what they do, and what must be true, as the user wrote it.

pub mod files;
pub mod problem;
pub(crate) mod read;
pub mod template;
pub(crate) mod tree;
pub mod units;

pub use problem::{Problem, Problems};
