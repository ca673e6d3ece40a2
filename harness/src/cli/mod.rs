//! The commands of `harness`: each a function of its options that returns what to show.

pub mod check;
