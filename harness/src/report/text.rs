//! The result as a person reads it on a terminal, and the last line as a script does.

use std::fmt::{self, Write as _};

use super::{grouped, plain, readable, whereabouts};
use crate::latency::{Metric, Unit};
use crate::summary::{Direction, Summary, Witness};
use crate::verdict::Verdict;

/// Findings shown in full; the report has the others.
const SHOWN: usize = 5;
/// Longest frame text shown.
const FRAME_CHARS: usize = 100;

/// The result block; ends with a newline.
pub fn render(summary: &Summary) -> String {
    let mut out = String::new();
    // Writing to a string cannot fail.
    match write(&mut out, summary) {
        Ok(()) | Err(fmt::Error) => out,
    }
}

/// The last line of standard output, without a newline. `place` is where the report lies.
pub fn last_line(summary: &Summary, place: &str) -> String {
    let (verdict, findings) = (summary.verdict(), summary.findings);
    format!("verdict: {verdict}  findings: {findings}  report: {place}")
}

#[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
fn write(out: &mut String, summary: &Summary) -> fmt::Result {
    let Summary { scenario, deliveries, clients, .. } = summary;
    let verdict = summary.verdict();
    writeln!(out, "  {scenario}  {verdict}  {:.1} s  seed {}", summary.duration_s, summary.seed)?;
    writeln!(
        out,
        "  clients {}/{}   sent {}   delivered {} of {}   lost {}   doubled {}   out of order {}",
        grouped(clients.connected_max as f64),
        grouped(clients.planned as f64),
        grouped(summary.sent as f64),
        grouped(deliveries.received as f64),
        grouped(deliveries.owed as f64),
        grouped(deliveries.lost as f64),
        grouped(deliveries.duplicated as f64),
        grouped(deliveries.disordered as f64),
    )?;
    latencies(out, summary)?;
    for step in summary.steps.iter().filter(|step| step.verdict != Verdict::Passed) {
        let (label, message) = (plain(&step.label), plain(&step.message));
        writeln!(out, "  {:<13}step line {}: {label}: {message}", step.verdict, step.line)?;
    }
    for check in summary.checks.iter().filter(|check| check.verdict == Verdict::Failed) {
        let raised = check.classes.iter().filter(|(_, n)| *n > 0);
        let counts: Vec<String> = raised.map(|(class, n)| format!("{n} {class}")).collect();
        writeln!(out, "  {:<13}check {}: {}", check.verdict, check.name, counts.join(", "))?;
    }
    for held in summary.thresholds.iter().filter(|held| held.verdict != Verdict::Passed) {
        let unit = held.metric.unit();
        let found = held.found.map_or_else(|| "nothing measured".into(), |v| readable(v, unit));
        let (verdict, metric) = (held.verdict, held.metric.as_str());
        writeln!(out, "  {verdict:<13}{metric} {} {}: {found}", held.stat, held.text)?;
    }
    for witness in summary.witnesses.iter().take(SHOWN) {
        transcript(out, witness)?;
    }
    let more = summary.findings.saturating_sub(SHOWN as u64);
    if more > 0 {
        writeln!(out, "  … and {} more findings in the report", grouped(more as f64))?;
    }
    if let Some(error) = &summary.error {
        writeln!(out, "  {}", plain(error))?;
    }
    if summary.late {
        lateness(out, summary)?;
    }
    if verdict != Verdict::Passed && !summary.again.is_empty() {
        writeln!(out, "  again: {}", plain(&summary.again))?;
    }
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "times stay far below 2^53 microseconds")]
fn latencies(out: &mut String, summary: &Summary) -> fmt::Result {
    let shown =
        [Metric::DeliverLatency, Metric::AckLatency, Metric::JoinLatency, Metric::OpenLatency];
    for metric in shown {
        let times = summary.measured.times_of(metric);
        let Some(stats) = times.and_then(crate::latency::Times::stats) else { continue };
        let time = |micros: u64| readable(micros as f64, Unit::Micros);
        let (p50, p99) = (time(stats.p50), time(stats.p99));
        let (p999, max) = (time(stats.p999), time(stats.max));
        let name = metric.as_str();
        writeln!(out, "  {name:<17} p50 {p50}   p99 {p99}   p99.9 {p999}   max {max}")?;
    }
    let points = summary.measured.course();
    let highest = points.iter().map(|point| point.p99).max().unwrap_or(0);
    if points.len() > 2 && highest > 0 {
        let bars = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
        // One character per group of points, the worst of each, so that it fits a terminal.
        let group = points.len().div_ceil(60);
        let line: String = points
            .chunks(group)
            .filter_map(|chunk| chunk.iter().map(|point| point.p99).max())
            .filter_map(|p99| bars.get(usize::try_from(p99 * 7 / highest).ok()?))
            .collect();
        writeln!(out, "  {line}  p99 per second")?;
    }
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "times stay far below 2^53 microseconds")]
fn lateness(out: &mut String, summary: &Summary) -> fmt::Result {
    let late = readable(summary.generator.lateness_p99_us as f64, Unit::Micros);
    let stall = readable(summary.generator.stall_us as f64, Unit::Micros);
    writeln!(
        out,
        "  the harness itself was late (p99 {late}, stood still for {stall}), so these times are \
         not the server's.\n  Use fewer clients, more cores, or a second harness machine."
    )
}

#[expect(clippy::cast_precision_loss, reason = "runs are shorter than 2^53 microseconds")]
fn transcript(out: &mut String, witness: &Witness) -> fmt::Result {
    let finding = &witness.finding;
    let place = plain(&whereabouts(witness));
    writeln!(out, "\n  {}: {}  ({place})", finding.class, plain(&finding.detail))?;
    for frame in &witness.frames {
        let arrow = match frame.direction {
            Direction::Out => '→',
            Direction::In => '←',
        };
        let text: String = plain(&frame.text).chars().take(FRAME_CHARS).collect();
        writeln!(out, "    {:>10.3}  {arrow}  {text}", frame.at.0 as f64 / 1e6)?;
    }
    Ok(())
}
