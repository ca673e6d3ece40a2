//! `junit.xml`: a suite per scenario, a case per step, check and threshold, for the test view of CI.
//!
//! What is inconclusive is skipped, not failed: it accuses nobody. That the run as a whole could not
//! take place, or came to no verdict, is an `<error>`, so that it is not green.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::time::Duration;

use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite, XmlString};

use super::{why, words};
use crate::check::CheckResult;
use crate::latency::Held;
use crate::summary::{StepResult, Summary};
use crate::verdict::Verdict;

/// Steps listed; CI systems refuse files that are too big. Failed ones are always listed.
const STEPS_MAX: usize = 2_000;
/// Findings shown per check.
const FINDINGS_MAX: usize = 5;
/// Characters of one text.
const TEXT_MAX: usize = 2_000;

/// The report.
pub fn render(summary: &Summary) -> String {
    let scenario = text(&summary.scenario);
    let mut suite = TestSuite::new(scenario.clone());
    let started = (XmlString::new("timestamp"), XmlString::new(text(&summary.started)));
    suite.extra.insert(started.0, started.1);
    suite.set_time(seconds(summary.duration_s));
    for (name, value) in [
        ("verdict", summary.verdict().to_string()),
        ("findings", summary.findings.to_string()),
        ("dialect", text(&summary.dialect)),
        ("target", text(&summary.target)),
        ("seed", summary.seed.to_string()),
        ("owed", summary.deliveries.owed.to_string()),
        ("received", summary.deliveries.received.to_string()),
        ("lost", summary.deliveries.lost.to_string()),
        ("duplicated", summary.deliveries.duplicated.to_string()),
        ("disordered", summary.deliveries.disordered.to_string()),
    ] {
        suite.add_property((name, value.as_str()));
    }
    let mut names = Names::default();
    for (name, status, took) in cases(summary) {
        let mut case = TestCase::new(names.unique(name), status);
        case.set_classname(scenario.clone());
        case.set_time(seconds(took));
        suite.add_test_case(case);
    }
    let mut report = Report::new("harness");
    report.set_time(seconds(summary.duration_s));
    report.add_test_suite(suite);
    report.to_string().expect("cleaned text can be written as XML")
}

/// All cases: name, what came of it, seconds.
fn cases(summary: &Summary) -> Vec<(String, TestCaseStatus, f64)> {
    let listed = summary.steps.iter().enumerate();
    let listed =
        listed.filter(|(index, step)| *index < STEPS_MAX || step.verdict == Verdict::Failed);
    let steps = listed.take(2 * STEPS_MAX).map(|(index, step)| {
        let name = format!("step {} (line {}): {}", index + 1, step.line, text(&step.label));
        (name, step_status(step), step.seconds)
    });
    let checks = summary
        .checks
        .iter()
        .map(|check| (format!("check {}", check.name), check_status(check, summary), 0.0));
    let limits = summary
        .thresholds
        .iter()
        .map(|held| (format!("threshold {}", text(&words::limit(held))), held_status(held), 0.0));
    let mut cases: Vec<_> = steps.chain(checks).chain(limits).collect();
    if let Some(status) = run_status(summary) {
        cases.push(("run".to_owned(), status, summary.duration_s));
    }
    cases
}

/// Why the run as a whole says nothing, if it does not.
fn run_status(summary: &Summary) -> Option<TestCaseStatus> {
    let cut_short = summary.interrupted.is_some() || summary.error.is_some();
    let unknown = matches!(summary.verdict(), Verdict::Inconclusive | Verdict::Skipped);
    (cut_short || unknown).then(|| {
        let word = match (summary.interrupted, &summary.error) {
            (Some(_), _) => "interrupted",
            (None, Some(_)) => "could-not-run",
            (None, None) => "inconclusive",
        };
        let reasons = why::reasons(summary);
        let first = reasons.first().map_or(word, String::as_str);
        non_success(NonSuccessKind::Error, word, first, &lines(&reasons, summary))
    })
}

fn step_status(step: &StepResult) -> TestCaseStatus {
    match step.verdict {
        Verdict::Passed => TestCaseStatus::success(),
        Verdict::Failed => {
            non_success(NonSuccessKind::Failure, "step", &step.message, &text(&step.message))
        }
        verdict => skipped(verdict, &step.message),
    }
}

fn check_status(check: &CheckResult, summary: &Summary) -> TestCaseStatus {
    match check.verdict {
        Verdict::Passed => TestCaseStatus::success(),
        Verdict::Failed => {
            let own = summary.witnesses.iter().filter(|it| it.finding.check == check.name);
            let mut told = Vec::new();
            for witness in own.take(FINDINGS_MAX) {
                told.push(words::finding(witness));
                told.extend(words::transcript(witness).iter().map(|line| format!("  {line}")));
            }
            let found = words::classes(&check.classes);
            non_success(NonSuccessKind::Failure, check.name, &found, &lines(&told, summary))
        }
        verdict if check.facts == 0 => skipped(verdict, "nothing to judge"),
        verdict => skipped(verdict, "the harness itself was late"),
    }
}

fn held_status(held: &Held) -> TestCaseStatus {
    let found = words::found(held);
    match held.verdict {
        Verdict::Passed => TestCaseStatus::success(),
        Verdict::Failed => {
            let told = format!("{}: {found}", words::limit(held));
            non_success(NonSuccessKind::Failure, "threshold", &told, &text(&told))
        }
        verdict => skipped(verdict, &found),
    }
}

pub(super) fn non_success(
    kind: NonSuccessKind,
    ty: &str,
    message: &str,
    told: &str,
) -> TestCaseStatus {
    let mut status = TestCaseStatus::non_success(kind);
    status.set_type(ty).set_message(text(message)).set_description(told);
    status
}

pub(super) fn skipped(what: impl Display, message: &str) -> TestCaseStatus {
    let mut status = TestCaseStatus::skipped();
    status.set_message(text(&format!("{what}: {message}")));
    status
}

/// Lines, each cleaned and cut by itself, and the command that repeats the run.
fn lines(told: &[String], summary: &Summary) -> String {
    let again = format!("again: {}", summary.again);
    let lines: Vec<String> = told.iter().chain([&again]).map(|line| text(line)).collect();
    lines.join("\n")
}

pub(super) fn text(foreign: &str) -> String {
    words::cut(&words::clean(foreign), TEXT_MAX)
}

pub(super) fn seconds(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or_default()
}

/// Gives every case a name of its own; of two with one name, CI systems drop one.
#[derive(Default)]
struct Names(BTreeMap<String, u32>);

impl Names {
    fn unique(&mut self, name: String) -> String {
        let times = self.0.entry(name.clone()).or_default();
        *times += 1;
        match *times {
            1 => name,
            times => self.unique(format!("{name} #{times}")),
        }
    }
}
