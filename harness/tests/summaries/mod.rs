//! Runs of every kind, as the reports get them.

#![expect(clippy::indexing_slicing, reason = "what is indexed was put there a few lines above")]

use harness::check::{CheckResult, Class, Deliveries, Finding};
use harness::latency::{Held, Measured, Metric, Number};
use harness::observe::Time;
use harness::summary::{Clients, Direction, Frame, Generator, StepResult, Summary, Witness};
use harness::verdict::{Exit, Verdict};

/// What a hostile or careless target may send.
pub(crate) const HOSTILE: &str =
    "]]> <script>alert(1)</script> \u{1b}[2J \u{0} \u{ffff} ``` | &amp; \"'\r\n## x";

fn check(
    name: &'static str,
    verdict: Verdict,
    facts: u64,
    classes: &[(Class, u64)],
) -> CheckResult {
    CheckResult { name, verdict, facts, classes: classes.to_vec() }
}

fn step(line: usize, label: &str, verdict: Verdict, message: &str) -> StepResult {
    let (label, message) = (label.to_owned(), message.to_owned());
    StepResult { line, label, verdict, message, seconds: 0.5 }
}

fn held(metric: Metric, found: Option<f64>, verdict: Verdict) -> Held {
    let (stat, text) = ("p99".to_owned(), "<50ms".to_owned());
    Held { metric, stat, text, limit: 50_000.0, found, verdict }
}

fn measured() -> Measured {
    let mut measured = Measured::default();
    for n in 1..=1_000 {
        measured.delivered(Time(n * 5_000), Time(n * 4_990), Time(n * 4_991));
    }
    let cpu = Number { count: 0.25, min: 0.25, mean: 0.25, max: 0.25 };
    measured.set(Metric::HarnessCpu, cpu);
    measured.count(Metric::MessagesLost, 0);
    measured
}

pub(crate) fn passed() -> Summary {
    Summary {
        scenario: "broadcast".to_owned(),
        about: "Fifty rooms talk.".to_owned(),
        dialect: "native".to_owned(),
        target: "ws://127.0.0.1:8080".to_owned(),
        seed: 7,
        started: "2026-11-20T10:42:00Z".to_owned(),
        duration_s: 45.3,
        interrupted: None,
        error: None,
        again: "harness run scenarios/broadcast.yaml --seed 7".to_owned(),
        clients: Clients { planned: 5_000, connected_max: 5_000, failed: 0 },
        sent: 6_000,
        deliveries: Deliveries { owed: 594_000, received: 594_000, ..Deliveries::default() },
        expectations: 0,
        too_little: None,
        faults: None,
        steps: vec![step(4, "join", Verdict::Passed, ""), step(9, "talk", Verdict::Passed, "")],
        checks: vec![
            check("delivery", Verdict::Passed, 594_000, &[(Class::Loss, 0), (Class::Leak, 0)]),
            check("order", Verdict::Passed, 594_000, &[(Class::Reorder, 0), (Class::Disorder, 0)]),
            check("presence", Verdict::Skipped, 0, &[(Class::Presence, 0)]),
        ],
        findings: 0,
        warnings: Vec::new(),
        witnesses: Vec::new(),
        thresholds: vec![held(Metric::DeliverLatency, Some(9_903.0), Verdict::Passed)],
        measured: measured(),
        late: false,
        generator: Generator {
            engine: "swarm".to_owned(),
            cpu_s: 11.5,
            lateness_p99_us: 900,
            loop_lag_p99_us: 1_100,
            stall_us: 2_000,
            peak_rss_bytes: 125_829_120,
            drain_s: 0.25,
        },
        log: None,
        network: Vec::new(),
    }
}

fn frame(at: u64, direction: Direction, text: &str) -> Frame {
    Frame { at: Time(at), direction, text: text.to_owned() }
}

fn witness(check: &'static str, class: Class, at: u64, detail: &str) -> Witness {
    Witness {
        finding: Finding::new(check, class, Time(at), detail),
        client: Some("user-17".to_owned()),
        room: Some("room-3".to_owned()),
        frames: vec![
            frame(at - 844, Direction::Out, r#"{"say":"41"}"#),
            frame(at, Direction::In, r#"{"message":"42"}"#),
            frame(at + 1_000, Direction::In, HOSTILE),
        ],
    }
}

/// Losses, one wrong order, a broken limit and a step that failed; 12 findings, of which 7 are kept.
pub(crate) fn failed() -> Summary {
    let mut summary = passed();
    let losses = [(Class::Loss, 10), (Class::Leak, 0)];
    summary.checks[0] = check("delivery", Verdict::Failed, 594_000, &losses);
    let orders = [(Class::Reorder, 1), (Class::Disorder, 0)];
    summary.checks[1] = check("order", Verdict::Failed, 594_000, &orders);
    summary.checks.push(check("steps", Verdict::Failed, 1, &[(Class::Reply, 1)]));
    summary.findings = 12;
    summary.witnesses = (0..6)
        .map(|n| witness("delivery", Class::Loss, 18_204_655 + n, "message 41 never came"))
        .chain([witness("order", Class::Reorder, 19_000_000, "42 before 41")])
        .collect();
    summary.deliveries.received = 593_990;
    summary.deliveries.lost = 10;
    summary.deliveries.disordered = 1;
    summary.thresholds[0] = held(Metric::DeliverLatency, Some(61_000.0), Verdict::Failed);
    summary.steps[1] = step(9, "talk", Verdict::Failed, "no reply within 5 s");
    summary.steps.push(step(12, "leave", Verdict::Skipped, "not reached"));
    summary.warnings.push(Finding::new("membership", Class::Notice, Time(5), "a doubled notice"));
    summary
}

pub(crate) fn late() -> Summary {
    let mut summary = passed();
    summary.late = true;
    summary.generator.lateness_p99_us = 31_000;
    summary.thresholds[0] = held(Metric::DeliverLatency, Some(9_903.0), Verdict::Inconclusive);
    summary
}

pub(crate) fn interrupted() -> Summary {
    let mut summary = passed();
    summary.interrupted = Some(Exit::Interrupted);
    summary
}

pub(crate) fn could_not_run() -> Summary {
    let mut summary = passed();
    summary.error = Some("the target is gone".to_owned());
    summary.checks.clear();
    summary.steps.clear();
    summary.thresholds.clear();
    summary.measured = Measured::default();
    (summary.deliveries, summary.sent) = (Deliveries::default(), 0);
    summary
}

pub(crate) fn nothing_delivered() -> Summary {
    let mut summary = passed();
    summary.deliveries = Deliveries::default();
    summary.checks.iter_mut().for_each(|check| {
        (check.facts, check.verdict) = (0, Verdict::Inconclusive);
    });
    summary
}

pub(crate) fn hostile() -> Summary {
    let mut summary = failed();
    for field in [
        &mut summary.scenario,
        &mut summary.about,
        &mut summary.target,
        &mut summary.again,
        &mut summary.started,
        &mut summary.steps[1].message,
        &mut summary.witnesses[0].finding.detail,
        &mut summary.warnings[0].detail,
        &mut summary.thresholds[0].text,
    ] {
        *field = HOSTILE.repeat(100);
    }
    summary.steps[1].label = HOSTILE.to_owned();
    summary.witnesses[0].client = Some(HOSTILE.to_owned());
    summary.witnesses[0].room = Some(HOSTILE.to_owned());
    summary
}

pub(crate) fn all() -> [(&'static str, Summary); 7] {
    [
        ("passed", passed()),
        ("failed", failed()),
        ("late", late()),
        ("interrupted", interrupted()),
        ("could not run", could_not_run()),
        ("nothing delivered", nothing_delivered()),
        ("hostile", hostile()),
    ]
}
