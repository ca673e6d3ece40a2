//! The result as Markdown, for the summary page of a CI job.

use super::{grouped, plain, readable, whereabouts};
use crate::summary::Summary;

/// GitHub drops a summary that is longer, all of it.
const BYTES_MAX: usize = 1_000_000;

/// The result; at most 1 MB.
#[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
pub fn render(summary: &Summary) -> String {
    let deliveries = &summary.deliveries;
    let mut out = format!("### {}: {}\n\n", cell(&summary.scenario), summary.verdict());
    out.push_str(&format!(
        "{} clients, {} of {} deliveries, {} lost, {} findings, {:.1} s, seed {}\n\n",
        grouped(summary.clients.connected_max as f64),
        grouped(deliveries.received as f64),
        grouped(deliveries.owed as f64),
        grouped(deliveries.lost as f64),
        grouped(summary.findings as f64),
        summary.duration_s,
        summary.seed,
    ));
    out.push_str("| what | verdict | found |\n|---|---|---|\n");
    for step in &summary.steps {
        let (label, message) = (cell(&step.label), cell(&step.message));
        out.push_str(&format!("| line {}: {label} | {} | {message} |\n", step.line, step.verdict));
    }
    for check in &summary.checks {
        let (name, verdict, findings) = (check.name, check.verdict, check.findings());
        out.push_str(&format!("| {name} | {verdict} | {findings} |\n"));
    }
    for held in &summary.thresholds {
        let found = held.found.map_or_else(String::new, |v| readable(v, held.metric.unit()));
        let (metric, text) = (held.metric.as_str(), cell(&held.text));
        out.push_str(&format!("| {metric} {} {text} | {} | {found} |\n", held.stat, held.verdict));
    }
    for witness in &summary.witnesses {
        let finding = &witness.finding;
        let (detail, place) = (cell(&finding.detail), cell(&whereabouts(witness)));
        let line = format!("\n- **{}** {detail} ({place})", finding.class);
        if out.len() + line.len() > BYTES_MAX {
            break;
        }
        out.push_str(&line);
    }
    let end = (0..=out.len().min(BYTES_MAX)).rev().find(|at| out.is_char_boundary(*at));
    out.truncate(end.unwrap_or(0));
    out.push('\n');
    out
}

/// Text that cannot leave its cell, nor become markup.
fn cell(text: &str) -> String {
    let plain = plain(text);
    let mut out = String::with_capacity(plain.len());
    for c in plain.chars() {
        match c {
            '|' | '`' | '*' | '_' | '[' | ']' | '\\' | '#' => out.extend(['\\', c]),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            _ => out.push(c),
        }
    }
    out
}
