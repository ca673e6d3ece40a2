//! The harness proves itself: servers that are wrong in a known way must be found out, with the right
//! class, and a good one must not be accused.
//!
//! ```text
//! scenarios/mutants/*.yaml ─► Catalogue ─► Cell (entry × dialect) ─► Tally ─┐
//!                             seed ─► GoodRun ─► Alarm ────────────────────┴─► Results ─► reports
//! ```
//!
//! All of it is pure; what starts servers and runs cases is [`crate::cli`]'s.

pub mod catalogue;
pub mod good;
pub mod lint;
pub mod outcome;
pub mod results;
pub mod shelf;
pub mod small;
