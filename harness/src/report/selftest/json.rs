//! `selftest.json`: everything, for programs. Fields are added, never changed or taken away, within one
//! `schema_version`.

use serde_json::{Map, Value, json};

use crate::selftest::good::{Ran, Strain};
use crate::selftest::outcome::{Fate, Found};
use crate::selftest::results::{Merit, Results, SCHEMA_VERSION, Tally};

/// The report, pretty, with a newline at its end.
pub fn render(results: &Results) -> String {
    format!("{:#}\n", value(results))
}

/// The report as a JSON value.
pub fn value(results: &Results) -> Value {
    let mut totals = Map::new();
    // A row is a mutant in one dialect: what the score is counted over.
    totals.insert("mutants".to_owned(), json!(results.rows()));
    for (fate, n) in results.totals() {
        totals.insert(fate.as_str().to_owned(), json!(n));
    }
    totals.insert("different".to_owned(), json!(results.mutants()));
    json!({
        "schema_version": SCHEMA_VERSION,
        "verdict": results.verdict().as_str(),
        "exit_code": results.exit().code(),
        "why": results.reasons(),
        "started": results.started,
        "duration_s": results.duration_s,
        "seed": results.seed,
        "partial": results.partial,
        "interrupted": results.signal.is_some(),
        "findings": results.findings(),
        "score": results.score(),
        "totals": totals,
        "good_runs": results.good.len(),
        "false_alarms": results.alarms().count(),
        "good": good(results),
        "mutants": results.tallies.iter().map(mutant).collect::<Vec<_>>(),
        "checks": results.merits().iter().map(check).collect::<Vec<_>>(),
        "checks_without_mutant": results.idle_checks(),
        "incidents": results.incidents,
    })
}

fn mutant(it: &Tally) -> Value {
    let killed_by = it.judged.killed_by.as_ref().map(found);
    json!({
        "id": it.cell.id,
        "number": it.number,
        "dialect": it.cell.dialect,
        "about": it.about,
        "level": if it.must { "must" } else { "should" },
        "rate": it.cell.rate,
        "expected": { "check": it.cell.expected.check, "class": it.cell.expected.class },
        "killed_by": killed_by,
        "found": it.judged.found.iter().map(found).collect::<Vec<_>>(),
        "outcome": it.judged.fate.as_str(),
        "why": match it.judged.fate {
            Fate::Right => None,
            _ => Some(&it.judged.message),
        },
        "case": it.case,
        "deliveries": it.deliveries,
        "deliveries_needed": it.cell.deliveries,
        "seed": it.seed,
        "attempts": it.attempts,
        "duration_ms": it.duration_ms,
        "again": it.again(),
    })
}

fn found(it: &Found) -> Value {
    json!({ "check": it.check, "class": it.class })
}

fn check(it: &Merit) -> Value {
    json!({
        "name": it.name,
        "mutants_killed": it.kills,
        "mutants_only_it_kills": it.only_it,
    })
}

fn good(results: &Results) -> Value {
    let strain = |(strain, runs, alarms, open): (Strain, u64, u64, u64)| {
        json!({
            "strain": strain.to_string(), "runs": runs, "false_alarms": alarms, "inconclusive": open,
        })
    };
    let bad =
        results.good.iter().filter(|ran| ran.outcome != crate::conform::outcome::Outcome::Pass);
    json!({
        "asked": results.runs,
        "deliveries": results.good.iter().map(|ran| ran.deliveries).sum::<u64>(),
        "strains": results.strains().map(strain),
        // Those that did not pass, whole.
        "not_passed": bad.collect::<Vec<&Ran>>(),
    })
}
