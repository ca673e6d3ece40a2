//! `junit.xml`: a suite per target, dialect and area, a case per case, for the test view of CI.
//!
//! What is inconclusive is skipped, not failed: it accuses nobody. That the suite as a whole came to
//! no verdict is an `<error>`, so that it is not green.

use std::time::Duration;

use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite, XmlString};

use crate::conform::event::Record;
use crate::conform::outcome::Outcome;
use crate::conform::results::Results;
use crate::report::junit::{non_success, seconds, skipped, text};
use crate::verdict::Verdict;

/// Findings shown for a case.
const FINDINGS_MAX: usize = 3;

/// The report.
pub fn render(results: &Results) -> String {
    let mut report = Report::new("harness conform");
    report.set_time(seconds(results.duration_s));
    report.add_test_suite(whole(results));
    let mut rest = results.cases.as_slice();
    while let Some(first) = rest.first() {
        let same =
            |it: &&Record| (&it.target, area(&it.case)) == (&first.target, area(&first.case));
        let count = rest.iter().take_while(same).count();
        let (own, others) = rest.split_at(count);
        report.add_test_suite(suite(results, own));
        rest = others;
    }
    report.to_string().expect("cleaned text can be written as XML")
}

/// `rooms/join` of `rooms/join/ack`.
fn area(case: &str) -> &str {
    case.rsplit_once('/').map_or(case, |(area, _)| area)
}

/// The suite that says what came of all others.
fn whole(results: &Results) -> TestSuite {
    let mut suite = TestSuite::new("conform");
    let started = (XmlString::new("timestamp"), XmlString::new(text(&results.opening.started)));
    suite.extra.insert(started.0, started.1);
    suite.set_time(seconds(results.duration_s));
    suite.add_property(("verdict", results.verdict().as_str()));
    suite.add_property(("seed", results.opening.seed.to_string().as_str()));
    for (word, n) in results.totals.all() {
        suite.add_property((word, n.to_string().as_str()));
    }
    if results.verdict() == Verdict::Inconclusive {
        let reasons = results.reasons();
        let first = reasons.first().map_or("inconclusive", String::as_str);
        let told = text(&reasons.join("\n"));
        let status = non_success(NonSuccessKind::Error, "inconclusive", first, &told);
        suite.add_test_case(TestCase::new("verdict", status));
    }
    suite
}

fn suite(results: &Results, cases: &[Record]) -> TestSuite {
    let first = cases.first();
    let name = first.map_or_else(String::new, |it| format!("{} {}", it.target, area(&it.case)));
    let mut suite = TestSuite::new(text(&name));
    for it in cases {
        let mut case = TestCase::new(text(&it.case), status(results, it));
        case.set_classname(text(&name));
        case.set_time(Duration::from_millis(it.duration_ms));
        case.add_property(("outcome", it.outcome.as_str()));
        for id in &it.requires {
            case.add_property(("requirement", text(id).as_str()));
        }
        suite.add_test_case(case);
    }
    suite
}

fn status(results: &Results, it: &Record) -> TestCaseStatus {
    let word = it.outcome.as_str();
    let failed = |kind| {
        let class = it.class.as_deref().unwrap_or(word);
        non_success(kind, class, &format!("{word}: {}", it.message), &told(results, it))
    };
    match it.outcome {
        Outcome::Pass => TestCaseStatus::success(),
        Outcome::Nonstrict if !results.opening.strict => TestCaseStatus::success(),
        Outcome::Nonstrict | Outcome::Fail | Outcome::Stale => failed(NonSuccessKind::Failure),
        Outcome::Error => failed(NonSuccessKind::Error),
        Outcome::Unsupported | Outcome::Inconclusive | Outcome::Xfail => skipped(word, &it.message),
    }
}

/// What happened, each line cleaned and cut by itself, and the command that repeats the case.
fn told(results: &Results, it: &Record) -> String {
    let mut lines = vec![text(&it.message)];
    for seen in it.seen.iter().take(FINDINGS_MAX) {
        lines.push(text(&seen.finding));
        lines.extend(seen.frames.iter().map(|line| text(&format!("  {}", line.shown()))));
    }
    let line = it.line.map_or_else(String::new, |line| format!(":{line}"));
    lines.push(text(&format!("{}{line}", it.file)));
    lines.push(text(&format!("again: {}", results.again(it))));
    lines.join("\n")
}
