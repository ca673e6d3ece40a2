//! Why the verdict is what it is, in words.

use super::words;
use crate::check::{CheckResult, STEPS};
use crate::latency::Held;
use crate::summary::Summary;
use crate::verdict::{Exit, Verdict};

/// What to do where the harness was the bottleneck.
const REMEDY: &str = "use fewer clients, more cores, or a machine of its own";

/// The reasons for the verdict, the gravest first. Never empty.
pub fn reasons(summary: &Summary) -> Vec<String> {
    let mut reasons = Vec::new();
    reasons.extend(summary.error.as_ref().map(|error| could_not(error)));
    reasons.extend(summary.interrupted.map(interrupted));
    reasons.extend(failures(summary));
    if summary.late {
        reasons.push(late(summary));
    }
    if matches!(summary.verdict(), Verdict::Inconclusive | Verdict::Skipped) {
        reasons.extend(unknown(summary));
    }
    if reasons.is_empty() {
        let facts: u64 = summary.checks.iter().map(|check| check.facts).sum();
        let facts = facts + summary.expectations;
        reasons.push(match summary.verdict() {
            Verdict::Passed => format!("{} judged, and all is well", words::counted(facts, "fact")),
            _ => "a part of it could not be judged".to_owned(),
        });
    }
    reasons
}

fn could_not(error: &str) -> String {
    format!("could not run to its end: {}", words::brief(error))
}

fn interrupted(signal: Exit) -> String {
    let name = if signal == Exit::Terminated { "SIGTERM" } else { "SIGINT" };
    format!("interrupted by {name}: what was still owed then is not judged")
}

fn failures(summary: &Summary) -> Vec<String> {
    let failed = |verdict: &Verdict| *verdict == Verdict::Failed;
    let mut reasons = Vec::new();
    for step in summary.steps.iter().filter(|step| failed(&step.verdict)) {
        let (label, message) = (words::brief(&step.label), words::brief(&step.message));
        reasons.push(format!("step on line {} ({label}): {message}", step.line));
    }
    // The step has said it better.
    let told = |check: &&CheckResult| check.name == STEPS && !reasons.is_empty();
    let broken = summary.checks.iter().filter(|check| failed(&check.verdict) && !told(check));
    for check in broken.collect::<Vec<_>>() {
        reasons.push(format!("{}: {}", check.name, words::classes(&check.classes)));
    }
    for held in summary.thresholds.iter().filter(|held| failed(&held.verdict)) {
        reasons.push(format!("{}: {}", words::limit(held), words::found(held)));
    }
    reasons
}

/// That the harness was late, by how much, what it voids, and what helps.
fn late(summary: &Summary) -> String {
    let lateness = words::whole_micros(summary.generator.lateness_p99_us);
    let stall = words::whole_micros(summary.generator.stall_us);
    format!(
        "the harness itself was late (p99 {lateness}, longest standstill {stall}), so its times are \
         not the target's; {REMEDY}"
    )
}

/// What stands in the way of a verdict, lateness aside.
fn unknown(summary: &Summary) -> Vec<String> {
    let mut reasons = Vec::new();
    reasons.extend(summary.too_little.clone());
    if summary.sent > 0 && summary.deliveries.owed == 0 {
        reasons.push("messages were sent, but there was nobody to get one".to_owned());
    } else if summary.sent > 0 && summary.deliveries.received == 0 {
        reasons.push("nothing was delivered".to_owned());
    }
    if summary.expectations == 0 && summary.checks.iter().all(|check| check.facts == 0) {
        reasons.push("nothing was judged".to_owned());
    } else {
        let open = summary.checks.iter().filter(|check| check.verdict == Verdict::Inconclusive);
        reasons.extend(
            open.filter(|check| check.facts == 0)
                .map(|check| format!("{}: there was nothing for it to judge", check.name)),
        );
    }
    let open = |held: &&Held| held.verdict == Verdict::Inconclusive;
    for held in summary.thresholds.iter().filter(open) {
        if held.found.is_none() || held.metric.is_own() {
            reasons.push(format!("{}: {}", words::limit(held), words::found(held)));
        }
    }
    reasons
}
