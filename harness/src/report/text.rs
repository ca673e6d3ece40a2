//! The result as a person reads it on a terminal, and the last line as a script does.
//!
//! Plain text without colour: it reads the same in a terminal, a log and a mail.

use super::{why, words};
use crate::check::{CheckResult, Class};
use crate::latency::{Held, Metric};
use crate::summary::Summary;
use crate::verdict::Verdict;

/// Findings shown with what went over the wire.
const FINDINGS_SHOWN: usize = 5;
/// Warnings shown.
const WARNINGS_SHOWN: usize = 3;

/// The result block; ends with a newline.
pub fn render(summary: &Summary) -> String {
    let mut block = Block::default();
    head(&mut block, summary);
    numbers(&mut block, summary);
    own(&mut block, summary);
    steps(&mut block, summary);
    checks(&mut block, summary);
    thresholds(&mut block, summary);
    findings(&mut block, summary);
    warnings(&mut block, summary);
    if let Some(why) = summary.log.as_ref().and_then(|log| log.why.as_ref()) {
        block.line("log", &format!("not whole: {}", words::brief(why)));
    }
    block.text
}

/// The last line of standard output, without a newline. `place` is where the report lies.
pub fn last_line(summary: &Summary, place: &str) -> String {
    let (verdict, findings) = (summary.verdict(), summary.findings);
    format!("verdict: {verdict}  findings: {findings}  report: {}", words::clean(place))
}

/// Lines with a label in front, which is not repeated while it stays the same.
#[derive(Default)]
struct Block {
    text: String,
    label: &'static str,
}

impl Block {
    fn line(&mut self, label: &'static str, line: &str) {
        let shown = if label == self.label { "" } else { label };
        self.text.push_str(format!("  {shown:<11} {line}").trim_end());
        self.text.push('\n');
        self.label = label;
    }

    fn wire(&mut self, line: &str) {
        self.text.push_str(&" ".repeat(words::INDENT));
        self.text.push_str(line.trim_end());
        self.text.push('\n');
    }
}

fn head(block: &mut Block, summary: &Summary) {
    let scenario = words::brief(&summary.scenario);
    let verdict = match summary.verdict() {
        Verdict::Failed => "FAILED".to_owned(),
        verdict => verdict.to_string(),
    };
    let took = words::micros(summary.duration_s * 1_000_000.0);
    let (dialect, seed) = (words::brief(&summary.dialect), summary.seed);
    let of = format!("dialect {dialect} · {took} · seed {seed}");
    block.text.push_str(&format!("  {scenario}  {verdict}  {of}\n"));
    let because = match summary.verdict() {
        Verdict::Inconclusive => "because",
        _ => "why",
    };
    for reason in why::reasons(summary) {
        block.line(because, &reason);
    }
    if !summary.about.is_empty() {
        block.line("about", &words::brief(&summary.about));
    }
    block.line("target", &words::brief(&summary.target));
    for line in words::network(summary) {
        block.line("network", &line);
    }
}

/// The account of the run. Every number is told, zeros too: silence would not say zero.
fn numbers(block: &mut Block, summary: &Summary) {
    let n = words::number;
    let of = |class| n(words::of_class(summary, class));
    let (clients, it) = (summary.clients, summary.deliveries);
    let (planned, connected) = (n(clients.planned), n(clients.connected_max));
    let line = format!("{connected} of {planned} at the same time, {} failed", n(clients.failed));
    block.line("clients", &line);
    block.line("sent", &words::counted(summary.sent, "message"));
    let (owed, received) = (n(it.owed), n(it.received));
    let (lost, twice) = (n(it.lost), n(it.duplicated));
    let line = format!("owed {owed}   received {received}   lost {lost}   duplicated {twice}");
    block.line("deliveries", &line);
    let (reorder, disorder) = (of(Class::Reorder), of(Class::Disorder));
    let line = format!("out of order per sender {reorder}   disorder between receivers {disorder}");
    block.line("deliveries", &line);
    block.line("deliveries", &format!("leaks between rooms {}", of(Class::Leak)));
    if let Some(faults) = summary.faults {
        block.line("deliveries", &words::power(faults, it.received));
    }
    let times = summary.measured.times_of(Metric::DeliverLatency);
    let latency = match times.and_then(|times| times.stats()) {
        Some(stats) => {
            let [p50, p99, p999, max] =
                [stats.p50, stats.p99, stats.p999, stats.max].map(words::whole_micros);
            format!("p50 {p50}   p99 {p99}   p99.9 {p999}   max {max}   (deliver.latency)")
        }
        None => "nothing measured".to_owned(),
    };
    block.line("latency", &latency);
}

/// What the harness itself needed, by which the rest can be believed or not.
fn own(block: &mut Block, summary: &Summary) {
    let it = &summary.generator;
    let cores = summary.measured.value(Metric::HarnessCpu, "mean");
    let cores = cores.map(|cores| format!(" ({cores:.2} cores)")).unwrap_or_default();
    let [lateness, lag, stall] =
        [it.lateness_p99_us, it.loop_lag_p99_us, it.stall_us].map(words::whole_micros);
    let believed = if summary.late { "   TOO LATE" } else { "" };
    let line = format!("CPU {:.2} s{cores}   late p99 {lateness}{believed}", it.cpu_s);
    block.line("harness", &line);
    let line = format!("loop lag p99 {lag}   longest standstill {stall}");
    block.line("harness", &line);
    let (memory, drain) = (words::bytes(it.peak_rss_bytes), words::micros(it.drain_s * 1e6));
    block.line("harness", &format!("peak memory {memory}   drained in {drain}"));
}

fn steps(block: &mut Block, summary: &Summary) {
    if summary.steps.is_empty() {
        return;
    }
    let of = |verdict| summary.steps.iter().filter(|step| step.verdict == verdict).count() as u64;
    let (passed, failed) = (of(Verdict::Passed), of(Verdict::Failed));
    let rest = summary.steps.len() as u64 - passed - failed;
    let n = words::number;
    let line = format!("{} passed, {} failed, {} not reached", n(passed), n(failed), n(rest));
    block.line("steps", &line);
    for step in summary.steps.iter().filter(|step| step.verdict == Verdict::Failed) {
        let (label, message) = (words::brief(&step.label), words::brief(&step.message));
        block.line("steps", &format!("line {}: {label}: {message}", step.line));
    }
}

fn checks(block: &mut Block, summary: &Summary) {
    for check in &summary.checks {
        block.line("checks", &check_line(check));
    }
}

fn check_line(check: &CheckResult) -> String {
    let said = match check.verdict {
        Verdict::Failed => words::classes(&check.classes),
        _ if check.facts == 0 => "nothing to judge".to_owned(),
        _ => format!("{} judged", words::counted(check.facts, "fact")),
    };
    format!("{:<12}  {:<16}  {said}", check.verdict, check.name)
}

fn thresholds(block: &mut Block, summary: &Summary) {
    for held in &summary.thresholds {
        let (word, limit) = (held_word(held), words::limit(held));
        block.line("thresholds", &format!("{word:<12}  {limit}   {}", words::found(held)));
    }
}

/// What came of a limit, in a word.
pub(super) fn held_word(held: &Held) -> &'static str {
    match held.verdict {
        Verdict::Passed => "kept",
        Verdict::Failed => "broken",
        verdict => verdict.as_str(),
    }
}

fn findings(block: &mut Block, summary: &Summary) {
    if summary.findings == 0 {
        return;
    }
    let shown = words::first_few(&summary.witnesses, FINDINGS_SHOWN);
    let rest = summary.findings.saturating_sub(shown.len() as u64);
    for witness in shown {
        block.line("", "");
        block.line("finding", &words::finding(witness));
        words::transcript(witness).iter().for_each(|line| block.wire(line));
    }
    block.line("", "");
    if rest > 0 {
        let more = words::counted(rest, "more finding");
        block.line(
            "and",
            &format!(
                "{more}; run.json has {} in full",
                words::number(summary.witnesses.len() as u64)
            ),
        );
    }
    block.line("again", &words::clean(&summary.again));
}

fn warnings(block: &mut Block, summary: &Summary) {
    for warning in summary.warnings.iter().take(WARNINGS_SHOWN) {
        let detail = words::brief(&warning.detail);
        block.line("warnings", &format!("{} / {}: {detail}", warning.check, warning.class));
    }
    let rest = summary.warnings.len().saturating_sub(WARNINGS_SHOWN) as u64;
    if rest > 0 {
        block.line("warnings", &format!("and {} more", words::number(rest)));
    }
}
