//! `summary.md`: the result for a pull request or the summary page of a CI job.

use std::fmt::Write as _;

use super::{text, why, words};
use crate::check::Class;
use crate::latency::Metric;
use crate::summary::Summary;
use crate::verdict::Verdict;

/// Findings shown with what went over the wire.
const FINDINGS_SHOWN: usize = 3;
/// Characters of one text.
const TEXT_MAX: usize = 500;
/// Rows of a table.
const ROWS_MAX: usize = 100;

/// The report, of a bounded size.
pub fn render(summary: &Summary) -> String {
    let mut page = String::new();
    let verdict = summary.verdict();
    line(&mut page, format_args!("## {}: {verdict}\n", plain(&summary.scenario)));
    for reason in why::reasons(summary).iter().take(ROWS_MAX) {
        line(&mut page, format_args!("- {}", plain(reason)));
    }
    for fault in words::network(summary) {
        line(&mut page, format_args!("- network: {}", plain(&fault)));
    }
    numbers(&mut page, summary);
    judged(&mut page, summary);
    findings(&mut page, summary);
    let (dialect, target) = (plain(&summary.dialect), plain(&summary.target));
    let (seed, started) = (summary.seed, plain(&summary.started));
    line(&mut page, format_args!("\nDialect {dialect}, target {target}, seed {seed}, {started}."));
    line(&mut page, format_args!("Again: {}", plain(&summary.again)));
    page
}

fn numbers(page: &mut String, summary: &Summary) {
    let n = words::number;
    let (clients, it) = (summary.clients, summary.deliveries);
    let stats = summary.measured.times_of(Metric::DeliverLatency).and_then(|times| times.stats());
    let latency = stats.map_or_else(
        || "nothing measured".to_owned(),
        |it| {
            let [p50, p99, p999, max] = [it.p50, it.p99, it.p999, it.max].map(words::whole_micros);
            format!("p50 {p50}, p99 {p99}, p99.9 {p999}, max {max}")
        },
    );
    let own = &summary.generator;
    let rows = [
        ("Clients", format!("{} of {}", n(clients.connected_max), n(clients.planned))),
        ("Messages sent", n(summary.sent)),
        ("Deliveries owed", n(it.owed)),
        ("Received", n(it.received)),
        ("Lost", n(it.lost)),
        ("Duplicated", n(it.duplicated)),
        ("Out of order per sender", n(words::of_class(summary, Class::Reorder))),
        ("Disorder between receivers", n(words::of_class(summary, Class::Disorder))),
        ("Leaks between rooms", n(words::of_class(summary, Class::Leak))),
        ("Latency from the intended send", latency),
        ("Harness late (p99)", words::whole_micros(own.lateness_p99_us)),
        ("Harness CPU", format!("{:.2} s", own.cpu_s)),
        ("Harness memory", words::bytes(own.peak_rss_bytes)),
    ];
    line(page, format_args!("\n| | |\n|---|---:|"));
    for (name, value) in rows {
        line(page, format_args!("| {name} | {value} |"));
    }
}

fn judged(page: &mut String, summary: &Summary) {
    line(page, format_args!("\n| Judged | Verdict | |\n|---|---|---|"));
    let broken = summary.steps.iter().filter(|step| step.verdict == Verdict::Failed);
    for step in broken.take(ROWS_MAX) {
        let (label, message) = (plain(&step.label), plain(&step.message));
        line(page, format_args!("| step on line {}: {label} | failed | {message} |", step.line));
    }
    for check in &summary.checks {
        let found = words::classes(&check.classes);
        line(page, format_args!("| {} | {} | {found} |", plain(check.name), check.verdict));
    }
    for held in summary.thresholds.iter().take(ROWS_MAX) {
        let (limit, found) = (plain(&words::limit(held)), words::found(held));
        line(page, format_args!("| {limit} | {} | {found} |", text::held_word(held)));
    }
}

fn findings(page: &mut String, summary: &Summary) {
    for witness in words::first_few(&summary.witnesses, FINDINGS_SHOWN) {
        line(page, format_args!("\n{}\n", plain(&words::finding(witness))));
        // An indented block: no text of the target can end it, as it could a fenced one.
        for wire in words::transcript(witness) {
            line(page, format_args!("    {wire}"));
        }
    }
    let rest = summary.findings.saturating_sub(FINDINGS_SHOWN as u64);
    if rest > 0 {
        let more = words::counted(rest, "more finding");
        line(page, format_args!("\nAnd {more} in `run.json`."));
    }
}

/// Foreign text that formats nothing, links nowhere and calls nobody.
pub(super) fn plain(foreign: &str) -> String {
    let mut safe = String::new();
    for c in words::cut(&words::clean(foreign), TEXT_MAX).chars() {
        match c {
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '&' => safe.push_str("&amp;"),
            // Escaping does not keep a name from being called.
            '@' => safe.push_str("&#64;"),
            '\\' | '`' | '*' | '_' | '[' | ']' | '|' | '#' | '~' | '!' | '$' => {
                safe.push('\\');
                safe.push(c);
            }
            c => safe.push(c),
        }
    }
    safe
}

fn line(page: &mut String, line: std::fmt::Arguments<'_>) {
    writeln!(page, "{line}").expect("a string takes everything");
}
