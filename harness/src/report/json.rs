//! `run.json`: everything, for programs. Fields are added, never changed or taken away, within one
//! `schema_version`.

use serde_json::{Map, Value, json};

use super::why;
use crate::check::{CheckResult, Finding, STEPS};
use crate::latency::{Held, Metric, TimeStats, Unit};
use crate::log::{FILE, Kept};
use crate::proxy::Story;
use crate::summary::{Direction, Frame, StepResult, Summary, Witness};
use crate::verdict::Verdict;

/// The version of the format.
pub const SCHEMA_VERSION: u32 = 1;

/// The report, pretty, with a newline at its end.
pub fn render(summary: &Summary) -> String {
    let mut text = format!("{:#}", value(summary));
    text.push('\n');
    text
}

/// The report as a JSON value.
pub fn value(summary: &Summary) -> Value {
    let clients = summary.clients;
    let it = summary.deliveries;
    json!({
        "schema_version": SCHEMA_VERSION,
        "verdict": summary.verdict().as_str(),
        "exit_code": summary.exit().code(),
        "why": why::reasons(summary),
        "scenario": summary.scenario,
        "about": summary.about,
        "dialect": summary.dialect,
        "target": summary.target,
        "seed": summary.seed,
        "again": summary.again,
        "started": summary.started,
        "duration_s": summary.duration_s,
        "interrupted": summary.interrupted.is_some(),
        "error": summary.error,
        "clients": {
            "planned": clients.planned,
            "connected_max": clients.connected_max,
            "failed": clients.failed,
        },
        "sent": summary.sent,
        "deliveries": {
            "owed": it.owed,
            "received": it.received,
            "lost": it.lost,
            "duplicated": it.duplicated,
            "disordered": it.disordered,
        },
        "faults": summary.faults,
        "expectations": summary.expectations,
        "findings": summary.findings,
        "checks": checks(summary),
        "steps": summary.steps.iter().map(step).collect::<Vec<_>>(),
        "thresholds": summary.thresholds.iter().map(threshold).collect::<Vec<_>>(),
        "warnings": summary.warnings.iter().map(warning).collect::<Vec<_>>(),
        "metrics": metrics(summary),
        "course": course(summary),
        "late": summary.late,
        "generator": generator(summary),
        "log": summary.log.as_ref().map(log),
        "network": summary.network.iter().map(story).collect::<Vec<_>>(),
    })
}

/// The checks; that of the timeline too, when a step failed and nothing else tells of it.
fn checks(summary: &Summary) -> Vec<Value> {
    let mut all: Vec<Value> = summary.checks.iter().map(|it| check(it, summary)).collect();
    let broken = summary.steps.iter().any(|step| step.verdict == Verdict::Failed);
    if broken && !summary.checks.iter().any(|check| check.name == STEPS) {
        let (facts, classes) = (0, Vec::new());
        let steps = CheckResult { name: STEPS, verdict: Verdict::Failed, facts, classes };
        all.push(check(&steps, summary));
    }
    all
}

fn check(check: &CheckResult, summary: &Summary) -> Value {
    let found = check.classes.iter().filter(|(_, n)| *n > 0);
    let classes: Map<String, Value> =
        found.map(|(class, n)| (class.as_str().to_owned(), json!(n))).collect();
    let own = summary.witnesses.iter().filter(|it| it.finding.check == check.name);
    json!({
        "name": check.name,
        "verdict": check.verdict.as_str(),
        "facts": check.facts,
        "findings": check.findings(),
        "classes": classes,
        "witnesses": own.map(witness).collect::<Vec<_>>(),
    })
}

fn witness(witness: &Witness) -> Value {
    let Finding { class, detail, message, at, .. } = &witness.finding;
    json!({
        "class": class.as_str(),
        "detail": detail,
        "client": witness.client,
        "room": witness.room,
        "message": message.map(|it| json!({ "voice": it.voice.0, "seq": it.seq })),
        "at_us": at.0,
        "frames": witness.frames.iter().map(frame).collect::<Vec<_>>(),
    })
}

fn frame(frame: &Frame) -> Value {
    let direction = match frame.direction {
        Direction::Out => "out",
        Direction::In => "in",
    };
    json!({ "at_us": frame.at.0, "direction": direction, "text": frame.text })
}

fn step(step: &StepResult) -> Value {
    json!({
        "line": step.line,
        "label": step.label,
        "verdict": step.verdict.as_str(),
        "message": step.message,
        "seconds": step.seconds,
    })
}

/// A fault of the network that the scenario wanted.
fn story(story: &Story) -> Value {
    json!({
        "rule": story.rule,
        "from_us": story.from.0,
        "until_us": story.until.map(|until| until.0),
        "times": story.times,
    })
}

fn threshold(held: &Held) -> Value {
    json!({
        "metric": held.metric.as_str(),
        "stat": held.stat,
        "text": held.text,
        "limit": number(held.limit),
        "found": held.found.map(number),
        "verdict": held.verdict.as_str(),
    })
}

fn warning(finding: &Finding) -> Value {
    json!({
        "check": finding.check,
        "class": finding.class.as_str(),
        "detail": finding.detail,
        "at_us": finding.at.0,
    })
}

fn metrics(summary: &Summary) -> Map<String, Value> {
    let mut metrics = Map::new();
    for (metric, times) in summary.measured.times() {
        if let Some(stats) = times.stats() {
            metrics.insert(metric.as_str().to_owned(), time(stats, times.overflowed()));
        }
    }
    for (metric, it) in summary.measured.numbers() {
        let value = match metric.unit() {
            Unit::Count => json!({ "unit": "count", "count": number(it.count) }),
            unit => json!({
                "unit": if unit == Unit::Share { "cores" } else { "per_s" },
                "min": number(it.min),
                "mean": number(it.mean),
                "max": number(it.max),
            }),
        };
        metrics.insert(metric.as_str().to_owned(), value);
    }
    metrics
}

fn time(stats: TimeStats, overflowed: u64) -> Value {
    let TimeStats { count, min, mean, p50, p90, p99, p999, max } = stats;
    json!({
        "unit": "us",
        "count": count,
        "min": min,
        "mean": number(mean),
        "p50": p50,
        "p90": p90,
        "p99": p99,
        "p99.9": p999,
        "max": max,
        "overflowed": overflowed,
    })
}

/// What came of the log of what clients did and saw, if one was kept.
fn log(kept: &Kept) -> Value {
    json!({
        "file": FILE,
        "bytes": kept.bytes,
        "observations": kept.observations,
        "left_out": kept.left_out,
        "whole": kept.why.is_none(),
        "why": kept.why,
    })
}

/// The course of `deliver.latency`, point by point; a point is a second, or more in a long run.
fn course(summary: &Summary) -> Value {
    let points: Vec<Value> = summary
        .measured
        .course()
        .iter()
        .map(|it| json!({ "second": it.second, "count": it.count, "p99": it.p99, "max": it.max }))
        .collect();
    json!({ "metric": Metric::DeliverLatency.as_str(), "unit": "us", "points": points })
}

fn generator(summary: &Summary) -> Value {
    let it = &summary.generator;
    json!({
        "engine": it.engine,
        "cpu_s": it.cpu_s,
        "cpu_s_per_million_deliveries": per_million(it.cpu_s, summary.deliveries.received),
        "lateness_p99_us": it.lateness_p99_us,
        "loop_lag_p99_us": it.loop_lag_p99_us,
        "stall_us": it.stall_us,
        "peak_rss_bytes": it.peak_rss_bytes,
        "drain_s": it.drain_s,
    })
}

#[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
fn per_million(cpu_s: f64, deliveries: u64) -> Option<f64> {
    (deliveries > 0).then(|| cpu_s * 1_000_000.0 / deliveries as f64)
}

/// A whole number without a decimal point, where it is one.
#[expect(clippy::cast_possible_truncation, reason = "the limit is below that of i64")]
fn number(value: f64) -> Value {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    if value.fract() == 0.0 && value.abs() < EXACT { json!(value as i64) } else { json!(value) }
}
