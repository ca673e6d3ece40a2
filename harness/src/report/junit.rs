//! `junit.xml`: a suite per scenario, a case per step, check and threshold, for CI servers.

use std::collections::BTreeMap;
use std::time::Duration;

use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};

use super::{plain, whereabouts};
use crate::check::CheckResult;
use crate::summary::Summary;
use crate::verdict::Verdict;

/// The result as JUnit XML; the error says what XML cannot carry.
pub fn render(summary: &Summary) -> Result<String, quick_junit::SerializeError> {
    let mut suite = TestSuite::new(summary.scenario.as_str());
    suite.set_time(seconds(summary.duration_s));
    suite.add_property(("seed", summary.seed.to_string().as_str()));
    suite.add_property(("target", plain(&summary.target).as_str()));
    suite.add_property(("dialect", summary.dialect.as_str()));
    let mut names = BTreeMap::new();
    for step in &summary.steps {
        let name = format!("step line {}: {}", step.line, step.label);
        let mut case = case(&name, "step", step.verdict, &step.message, &mut names);
        case.set_time(seconds(step.seconds));
        suite.add_test_case(case);
    }
    for check in &summary.checks {
        let message = told(summary, check);
        let name = format!("check {}", check.name);
        suite.add_test_case(case(&name, "check", check.verdict, &message, &mut names));
    }
    for held in &summary.thresholds {
        let name = format!("{} {} {}", held.metric.as_str(), held.stat, held.text);
        let found = held.found.map_or_else(
            || "nothing measured".to_owned(),
            |found| format!("found {}", super::readable(found, held.metric.unit())),
        );
        suite.add_test_case(case(&name, "threshold", held.verdict, &found, &mut names));
    }
    if let Some(error) = &summary.error {
        let mut status = TestCaseStatus::non_success(NonSuccessKind::Error);
        status.set_message(plain(error));
        suite.add_test_case(TestCase::new("run", status));
    }
    let mut report = Report::new("harness");
    report.set_time(seconds(summary.duration_s));
    report.add_test_suite(suite);
    report.to_string()
}

fn seconds(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or_default()
}

/// GitLab drops cases of the same name, so a name that comes again gets a number.
fn case(
    name: &str,
    kind: &str,
    verdict: Verdict,
    message: &str,
    names: &mut BTreeMap<String, u32>,
) -> TestCase {
    let times = names.entry(name.to_owned()).or_default();
    *times += 1;
    let name = if *times > 1 { format!("{name} ({times})") } else { name.to_owned() };
    let mut status = match verdict {
        Verdict::Passed => TestCaseStatus::success(),
        Verdict::Failed => TestCaseStatus::non_success(NonSuccessKind::Failure),
        Verdict::Inconclusive | Verdict::Skipped => TestCaseStatus::skipped(),
    };
    if verdict != Verdict::Passed {
        let (first, rest) = message.split_once('\n').unwrap_or((message, ""));
        status.set_message(plain(&format!("{verdict}: {first}")));
        let rest: Vec<String> = rest.lines().map(plain).collect();
        if !rest.is_empty() {
            status.set_description(rest.join("\n"));
        }
    }
    let mut case = TestCase::new(plain(&name), status);
    case.set_classname(kind);
    case
}

fn told(summary: &Summary, check: &CheckResult) -> String {
    let raised = check.classes.iter().filter(|(_, n)| *n > 0);
    let counts: Vec<String> = raised.map(|(class, n)| format!("{n} {class}")).collect();
    let mut message = counts.join(", ");
    for witness in summary.witnesses.iter().filter(|w| w.finding.check == check.name).take(20) {
        let finding = &witness.finding;
        message.push_str(&format!(
            "\n{}: {} ({})",
            finding.class,
            plain(&finding.detail),
            plain(&whereabouts(witness))
        ));
    }
    message
}
