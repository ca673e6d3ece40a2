//! Judges a server requirement by requirement.
//!
//! ```text
//! requirements, cases, profiles ─► Suite ─► fit, select ─► runs ─► Event log ─► Results ─► reports
//! ```
//!
//! All of it is pure but for reading the suite's files; what runs the cases is
//! [`crate::cli`]'s. What comes of a case is decided in [`outcome`], what comes of a suite in
//! [`results`], both from values alone.

pub mod baseline;
pub mod event;
pub mod fit;
pub mod lint;
pub mod outcome;
pub mod pattern;
pub mod profile;
pub mod requirement;
pub mod results;
pub mod select;
pub mod suite;

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::plan::Source;
use crate::scenario::problem::Problems;
use crate::scenario::template::as_text;
use crate::scenario::{read, tree};

/// Reads a file of ours, or everything that is wrong with its form.
pub(crate) fn parse<T: DeserializeOwned>(source: &Source) -> Result<T, Problems> {
    let root = tree::parse(&source.text)
        .map_err(|problem| Problems::new(source.clone(), vec![problem]))?;
    let (value, problems) = read::read(&root);
    value.filter(|_| problems.is_empty()).ok_or_else(|| Problems::new(source.clone(), problems))
}

/// A scalar as the text that options are compared by.
fn text_of(value: &Value) -> String {
    as_text(value)
}
