//! What a run came to, as the one value that reports are drawn from.

use std::time::Duration;

use jiff::Timestamp;

use crate::books::Books;
use crate::check::{self, Class, Deliveries, Finding};
use crate::drive::{Cut, Outcome};
use crate::latency::{self, Measured, Metric, Number};
use crate::plan::{Faults, MISS, Minimum, Plan};
use crate::summary::{Clients, Generator, Summary};

/// What a run came to.
pub(super) fn outcome(plan: &Plan, started: Timestamp, outcome: Outcome, again: String) -> Summary {
    let Outcome { mut books, end, .. } = outcome;
    let checks = books.conclude(&end);
    let deliveries = books.judge.deliveries();
    let (total, drain) = outcome.took;
    derive(&mut books.measured, deliveries, books.measured_for, outcome.cpu_s, total);
    let endings = checks.iter().filter(|check| check.name == check::PROTOCOL);
    let unexpected = endings.flat_map(|check| &check.classes);
    let unexpected = unexpected.filter(|(class, _)| matches!(class, Class::Close | Class::Killed));
    books.measured.count(Metric::CloseUnexpected, unexpected.map(|(_, n)| n).sum());
    let measured = std::mem::take(&mut books.measured);
    let p99 = |metric| measured.value(metric, "p99").unwrap_or_default() as u64;
    let stall_us = u64::try_from(end.stall.as_micros()).unwrap_or(u64::MAX);
    let generator = Generator {
        engine: "swarm".to_owned(),
        cpu_s: outcome.cpu_s,
        lateness_p99_us: p99(Metric::HarnessLateness),
        loop_lag_p99_us: p99(Metric::HarnessLoopLag),
        stall_us,
        peak_rss_bytes: outcome.peak_rss_bytes,
        drain_s: drain.as_secs_f64(),
    };
    let failed = measured.value(Metric::OpenFailed, "count").unwrap_or_default() as u64;
    let late = latency::is_late(&plan.thresholds, &measured, end.stall);
    let thresholds = latency::thresholds(&plan.thresholds, &measured, end.stall);
    let blank = failure(plan, started, outcome.target, String::new(), again);
    let expectations = books.judge.expectations();
    let too_little = too_little(plan.traffic, deliveries.received, &books);
    let mut summary = Summary {
        expectations,
        too_little,
        faults: plan.traffic.faults,
        duration_s: total.as_secs_f64(),
        error: None,
        clients: Clients { connected_max: books.connected_max(), failed, ..blank.clients },
        sent: books.messages(),
        steps: outcome.steps,
        witnesses: books.witnesses(),
        log: books.log_kept(),
        thresholds,
        late,
        measured,
        generator,
        network: outcome.network,
        ..blank
    };
    summary.judged(checks, deliveries, books.judge.findings());
    if let Some(Cut::Died(at, how)) = outcome.cut {
        summary.warnings.push(Finding::new(check::PROTOCOL, Class::Killed, at, how));
    }
    summary
}

/// What was seen less of than the scenario asks for.
fn too_little(wanted: Minimum, deliveries: u64, books: &Books) -> Option<String> {
    if let Some(Faults { one_in, needed }) = wanted.faults.filter(|it| deliveries < it.needed) {
        return Some(format!(
            "only {deliveries} deliveries were seen; to miss faults of one in {one_in} with a chance \
             below {MISS:e} only takes at least {needed}"
        ));
    }
    let all = [
        ("deliveries", deliveries, wanted.deliveries),
        ("frames", books.frames, wanted.frames),
        ("events", books.events, wanted.events),
    ];
    let (what, seen, wanted) = all.into_iter().find(|(_, seen, wanted)| seen < wanted)?;
    Some(format!("only {seen} {what} were seen; the scenario asks for at least {wanted}"))
}

/// A run that could not be: why.
pub(super) fn failure(
    plan: &Plan,
    started: Timestamp,
    target: String,
    reason: String,
    again: String,
) -> Summary {
    Summary {
        scenario: plan.scenario.clone(),
        about: plan.about.clone(),
        dialect: plan.dialect.name.clone(),
        target,
        seed: plan.seed,
        started: started.to_string(),
        duration_s: 0.0,
        interrupted: None,
        error: Some(reason),
        again,
        clients: Clients { planned: plan.clients.len() as u64, ..Clients::default() },
        sent: 0,
        deliveries: Deliveries::default(),
        expectations: 0,
        too_little: None,
        faults: None,
        steps: Vec::new(),
        checks: Vec::new(),
        findings: 0,
        warnings: Vec::new(),
        witnesses: Vec::new(),
        thresholds: Vec::new(),
        measured: Measured::default(),
        late: false,
        generator: Generator::default(),
        log: None,
        network: Vec::new(),
    }
}

/// The metrics that are not times but follow from the whole run.
fn derive(
    measured: &mut Measured,
    deliveries: Deliveries,
    span: Duration,
    cpu_s: f64,
    total: Duration,
) {
    let number = |value: f64| Number { count: value, min: value, mean: value, max: value };
    let delivered = measured.value(Metric::DeliverLatency, "count").unwrap_or_default();
    if !span.is_zero() {
        measured.set(Metric::DeliverRate, number(delivered / span.as_secs_f64()));
    }
    measured.set(Metric::HarnessCpu, number(cpu_s / total.as_secs_f64().max(0.001)));
    for (metric, count) in [
        (Metric::MessagesLost, deliveries.lost),
        (Metric::MessagesDuplicated, deliveries.duplicated),
        (Metric::MessagesDisordered, deliveries.disordered),
    ] {
        measured.set(metric, number(count as f64));
    }
}
