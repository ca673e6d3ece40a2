//! The result as a person reads it on a terminal, and the last line as a script does.

use crate::summary::Summary;

/// The result block; ends with a newline.
pub fn render(summary: &Summary) -> String {
    format!("  {}  {}\n", summary.scenario, summary.verdict())
}

/// The last line of standard output, without a newline. `place` is where the report lies.
pub fn last_line(summary: &Summary, place: &str) -> String {
    let (verdict, findings) = (summary.verdict(), summary.findings);
    format!("verdict: {verdict}  findings: {findings}  report: {place}")
}
