//! `badge.json`: the score for a badge on a page (the endpoint format of shields.io).

use serde_json::json;

use super::score;
use crate::conform::requirement::Level;
use crate::conform::results::Results;
use crate::verdict::Verdict;

/// The badge, pretty, with a newline at its end.
pub fn render(results: &Results) -> String {
    let (message, color) = match results.verdict() {
        Verdict::Passed => (score(results, Level::Must), "brightgreen"),
        Verdict::Failed => (score(results, Level::Must), "red"),
        Verdict::Inconclusive | Verdict::Skipped => ("inconclusive".to_owned(), "lightgrey"),
    };
    let badge =
        json!({ "schemaVersion": 1, "label": "conformance", "message": message, "color": color });
    format!("{badge:#}\n")
}
