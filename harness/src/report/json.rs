//! `run.json`, schema version 1: the whole result for programs.

use serde_json::{Map, Value, json};

use crate::check::{Class, Finding};
use crate::latency::{Number, Times, Unit};
use crate::summary::{Direction, Frame, Summary, Witness};

/// The version of the format; it grows when a field changes its meaning or goes.
pub const SCHEMA_VERSION: u32 = 1;

/// The result as one JSON value.
pub fn render(summary: &Summary) -> Value {
    let deliveries = &summary.deliveries;
    let verdict = summary.verdict();
    json!({
        "schema_version": SCHEMA_VERSION,
        "verdict": verdict.as_str(),
        "exit_code": summary.exit().code(),
        "scenario": summary.scenario,
        "about": summary.about,
        "dialect": summary.dialect,
        "target": summary.target,
        "seed": summary.seed,
        "started": summary.started,
        "duration_s": summary.duration_s,
        "interrupted": summary.interrupted.is_some(),
        "error": summary.error,
        "again": summary.again,
        "clients": {
            "planned": summary.clients.planned,
            "connected_max": summary.clients.connected_max,
            "failed": summary.clients.failed,
        },
        "sent": summary.sent,
        "deliveries": {
            "owed": deliveries.owed,
            "received": deliveries.received,
            "lost": deliveries.lost,
            "duplicated": deliveries.duplicated,
            "disordered": deliveries.disordered,
        },
        "findings": summary.findings,
        "warnings": summary.warnings.iter().map(finding).collect::<Vec<_>>(),
        "steps": steps(summary),
        "checks": checks(summary),
        "thresholds": thresholds(summary),
        "metrics": metrics(summary),
        "course": course(summary),
        "generator": generator(summary),
        "badge": {
            "schemaVersion": 1,
            "label": summary.scenario,
            "message": verdict.as_str(),
            "color": if verdict == crate::verdict::Verdict::Passed { "brightgreen" } else { "red" },
        },
    })
}

fn steps(summary: &Summary) -> Vec<Value> {
    let step = |step: &crate::summary::StepResult| {
        json!({
            "line": step.line,
            "label": step.label,
            "verdict": step.verdict.as_str(),
            "message": step.message,
            "seconds": step.seconds,
        })
    };
    summary.steps.iter().map(step).collect()
}

fn checks(summary: &Summary) -> Vec<Value> {
    let check = |check: &crate::check::CheckResult| {
        let witnesses = summary.witnesses.iter().filter(|w| w.finding.check == check.name);
        let class = |(class, n): &(Class, u64)| (class.as_str().to_owned(), Value::from(*n));
        json!({
            "name": check.name,
            "verdict": check.verdict.as_str(),
            "facts": check.facts,
            "findings": check.findings(),
            "classes": check.classes.iter().map(class).collect::<Map<_, _>>(),
            "witnesses": witnesses.map(witness).collect::<Vec<_>>(),
        })
    };
    summary.checks.iter().map(check).collect()
}

fn finding(finding: &Finding) -> Value {
    json!({
        "class": finding.class.as_str(),
        "check": finding.check,
        "detail": finding.detail,
        "client": finding.client.map(|client| client.0),
        "room": finding.room.map(|room| room.0),
        "message": finding.message.map(|id| json!({ "voice": id.voice.0, "seq": id.seq })),
        "at_us": finding.at.0,
    })
}

fn witness(witness: &Witness) -> Value {
    let mut value = finding(&witness.finding);
    if let Some(fields) = value.as_object_mut() {
        fields.insert("client_name".into(), witness.client.clone().into());
        fields.insert("room_name".into(), witness.room.clone().into());
        fields.insert("frames".into(), witness.frames.iter().map(frame).collect());
    }
    value
}

fn frame(frame: &Frame) -> Value {
    let direction = match frame.direction {
        Direction::Out => "out",
        Direction::In => "in",
    };
    json!({ "at_us": frame.at.0, "direction": direction, "text": frame.text })
}

fn thresholds(summary: &Summary) -> Vec<Value> {
    let held = |held: &crate::latency::Held| {
        json!({
            "metric": held.metric.as_str(),
            "stat": held.stat,
            "limit": held.text,
            "limit_value": held.limit,
            "found": held.found,
            "verdict": held.verdict.as_str(),
        })
    };
    summary.thresholds.iter().map(held).collect()
}

fn metrics(summary: &Summary) -> Map<String, Value> {
    let times = summary
        .measured
        .times()
        .filter_map(|(metric, times)| Some((metric.as_str().to_owned(), time_values(times)?)));
    let numbers = summary
        .measured
        .numbers()
        .map(|(metric, number)| (metric.as_str().to_owned(), number_values(metric.unit(), number)));
    times.chain(numbers).collect()
}

fn time_values(times: &Times) -> Option<Value> {
    let stats = times.stats()?;
    Some(json!({
        "unit": "us",
        "count": stats.count,
        "min": stats.min,
        "mean": stats.mean,
        "p50": stats.p50,
        "p90": stats.p90,
        "p99": stats.p99,
        "p99.9": stats.p999,
        "max": stats.max,
        "overflowed": times.overflowed(),
    }))
}

fn number_values(unit: Unit, number: Number) -> Value {
    let unit = match unit {
        Unit::Micros => "us",
        Unit::Count => "count",
        Unit::Rate => "per_s",
        Unit::Share => "cores",
    };
    let Number { count, min, mean, max } = number;
    json!({ "unit": unit, "count": count, "min": min, "mean": mean, "max": max })
}

fn course(summary: &Summary) -> Value {
    let points = summary.measured.course();
    let column = |f: fn(&crate::latency::Point) -> u64| points.iter().map(f).collect::<Vec<_>>();
    json!({
        "second": column(|p| p.second),
        "count": column(|p| p.count),
        "p99_us": column(|p| p.p99),
        "max_us": column(|p| p.max),
    })
}

fn generator(summary: &Summary) -> Value {
    let g = &summary.generator;
    #[expect(clippy::cast_precision_loss, reason = "deliveries stay far below 2^53")]
    let millions = summary.deliveries.received as f64 / 1e6;
    let per_million = (millions > 0.0).then(|| g.cpu_s / millions);
    json!({
        "engine": g.engine,
        "cpu_s": g.cpu_s,
        "cpu_s_per_million_deliveries": per_million,
        "lateness_p99_us": g.lateness_p99_us,
        "loop_lag_p99_us": g.loop_lag_p99_us,
        "stall_us": g.stall_us,
        "late": summary.late,
        "peak_rss_bytes": g.peak_rss_bytes,
        "drain_s": g.drain_s,
    })
}
