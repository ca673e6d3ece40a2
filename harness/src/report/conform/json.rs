//! `results.json`: everything, for programs. Fields are added, never changed or taken away, within one
//! `schema_version`.

use serde_json::{Map, Value, json};

use crate::conform::event::{Record, SCHEMA_VERSION, Subject};
use crate::conform::requirement::Level;
use crate::conform::results::{Answered, Results, Score};

/// The report, pretty, with a newline at its end.
pub fn render(results: &Results) -> String {
    format!("{:#}\n", value(results))
}

/// The report as a JSON value.
pub fn value(results: &Results) -> Value {
    let totals: Map<String, Value> =
        results.totals.all().map(|(word, n)| (word.to_owned(), json!(n))).collect();
    json!({
        "schema_version": SCHEMA_VERSION,
        "verdict": results.verdict().as_str(),
        "exit_code": results.exit().code(),
        "why": results.reasons(),
        "started": results.opening.started,
        "duration_s": results.duration_s,
        "seed": results.opening.seed,
        "strict": results.opening.strict,
        "interrupted": results.signal.is_some(),
        "findings": results.findings(),
        "totals": totals,
        "distinct_cases": results.distinct(),
        "score": { "must": score(results, Level::Must), "should": score(results, Level::Should) },
        "cases": results.cases.iter().map(|it| case(results, it)).collect::<Vec<_>>(),
        "requirements":
            results.requirements.iter().map(|it| requirement(results, it)).collect::<Vec<_>>(),
        "targets": results.opening.subjects.iter().map(target).collect::<Vec<_>>(),
        "left_out": results.left_out,
        "incidents": results.incidents.iter()
            .map(|(target, what)| json!({ "target": target, "what": what })).collect::<Vec<_>>(),
    })
}

fn score(results: &Results, level: Level) -> Value {
    let Score { met, asked } = results.score(level);
    json!({ "met": met, "asked": asked })
}

fn case(results: &Results, it: &Record) -> Value {
    json!({
        "id": it.case,
        "target": it.target,
        "dialect": it.dialect,
        "about": it.about,
        "outcome": it.outcome,
        "class": it.class,
        "requirements": it.requires,
        "seed": it.seed,
        "attempts": it.attempts,
        "duration_ms": it.duration_ms,
        "message": it.message,
        "findings": it.findings,
        "file": it.file,
        "line": it.line,
        "traffic": it.traffic,
        "ended": it.ended.first(),
        "endings": it.ended,
        "stall_ms": it.stall_ms,
        "log": it.log,
        "again": results.again(it),
    })
}

fn requirement(results: &Results, it: &Answered) -> Value {
    let subjects = results.opening.subjects.iter().zip(&it.by_subject);
    let by_target: Vec<Value> = subjects
        .filter_map(|(subject, outcome)| {
            let outcome = (*outcome)?;
            let (target, dialect) = (&subject.target, &subject.dialect);
            Some(json!({ "target": target, "dialect": dialect, "outcome": outcome }))
        })
        .collect();
    json!({
        "id": it.asked.id,
        "level": it.asked.level,
        "set": it.asked.set,
        "text": it.asked.text,
        "source": it.asked.source,
        "outcome": it.outcome,
        "untestable": it.asked.untestable,
        "cases": it.cases,
        "targets": by_target,
    })
}

fn target(it: &Subject) -> Value {
    json!({ "name": it.target, "url": it.url, "dialect": it.dialect, "profile": it.profile })
}
