//! Makes a failing scenario small: fewer clients, messages, rooms and steps, while it still fails in
//! the same way, and writes what is left so that a person can read it.
//!
//! All here is pure. [`Search`] proposes candidates and is told what came of each; whoever runs them
//! sits in `cli/`.

mod bake;
mod head;
mod reduce;
mod search;
mod size;
mod tree;
mod way;
mod write;

pub use bake::{AsRun, Baked, rid_of_faults, without_mutants};
pub use head::Head;
pub use search::{Came, RUNS, Scope, Search, Tally};
pub use size::Size;
pub use tree::Tree;
pub use way::Way;
