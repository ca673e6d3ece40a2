//! What is said of a case from what its run saw, and what becomes of many cases.

use std::time::Duration;

use harness::check::{CheckResult, Class, Finding};
use harness::conform::event::{Asked, Event, Opening, Record, Subject};
use harness::conform::outcome::{Outcome, ended, found, judge, patience};
use harness::conform::profile::Profile;
use harness::conform::requirement::Level;
use harness::conform::results::{Results, Score};
use harness::dialect::{Dialect, Heartbeat};
use harness::latency::Metric;
use harness::observe::{ClientId, Ending, Time};
use harness::plan::{Echo, Ordering, Source};
use harness::summary::{NOT_REACHED, StepResult, Summary};
use harness::verdict::{Exit, Verdict};

use super::summaries::{could_not_run, failed, interrupted, passed};

/// A run in which only a step failed, by a deadline.
fn step_failed(stall_us: u64) -> Summary {
    let mut summary = passed();
    let message = "line 9: `message` did not come in time".to_owned();
    summary.steps[1] = StepResult {
        verdict: Verdict::Failed,
        message: message.clone(),
        ..summary.steps[1].clone()
    };
    summary.findings = 1;
    let mut witness = failed().witnesses.remove(0);
    witness.finding = Finding::new("steps", Class::Loss, Time(7), message);
    summary.witnesses = vec![witness];
    summary.generator.stall_us = stall_us;
    summary
}

#[test]
fn a_case_is_judged_by_what_its_run_found() {
    let mut too_little = passed();
    too_little.too_little = Some("only 3 frames were seen".to_owned());
    let mut stood_still = passed();
    stood_still.generator.stall_us = 2_000_000;
    let mut late_loss = failed();
    late_loss.generator.stall_us = 2_000_000;
    let skipped = |why: &str| {
        let mut summary = passed();
        summary.steps[1].verdict = Verdict::Skipped;
        summary.steps[1].message = why.to_owned();
        summary
    };
    let cases = [
        ("passed", passed(), Level::Must, Outcome::Pass, None),
        ("failed", failed(), Level::Must, Outcome::Fail, Some("loss")),
        ("should", failed(), Level::Should, Outcome::Nonstrict, Some("loss")),
        ("step", step_failed(2_000), Level::Must, Outcome::Fail, Some("loss")),
        // A deadline that passed while the harness itself did not run accuses nobody.
        ("late step", step_failed(1_200_000), Level::Must, Outcome::Inconclusive, None),
        // A message that was lost was lost, however late the harness was.
        ("late loss", late_loss, Level::Must, Outcome::Fail, Some("loss")),
        ("stood still, nothing timed", stood_still, Level::Must, Outcome::Pass, None),
        ("too little", too_little, Level::Must, Outcome::Inconclusive, None),
        // Servers of this kind lack what the step needs.
        ("left out", skipped("nobody is told who is there"), Level::Must, Outcome::Pass, None),
        ("cut short", skipped(NOT_REACHED), Level::Must, Outcome::Inconclusive, None),
        ("interrupted", interrupted(), Level::Must, Outcome::Inconclusive, None),
        ("could not run", could_not_run(), Level::Must, Outcome::Inconclusive, None),
    ];
    for (name, summary, level, outcome, class) in cases {
        let judged = judge(&summary, level, None, &[]);
        assert_eq!((judged.outcome, judged.class), (outcome, class), "{name}: {judged:?}");
        assert_eq!(judged.message.is_empty(), outcome == Outcome::Pass, "{name}: {judged:?}");
    }
}

#[test]
fn a_client_that_was_given_up_because_the_harness_stood_still_accuses_nobody() {
    let ms = Duration::from_millis;
    let timers = |every, timeout| Heartbeat { every: ms(every), timeout: ms(timeout) };
    assert_eq!(patience(timers(250, 700)), ms(450));
    // Where the tick decides that finds no sign of life since the one before.
    assert_eq!(patience(timers(250, 250)), ms(250));
    let dropped = ended(&[(
        Ending { asked: false, code: Some(4000), reason: "timeout".into(), clean: true },
        1,
    )]);
    let cases = [
        // The other half may have been lost on the way.
        (240_000, dropped.as_slice(), Outcome::Inconclusive),
        (200_000, dropped.as_slice(), Outcome::Fail),
        (240_000, &[], Outcome::Fail),
    ];
    for (stall_us, endings, outcome) in cases {
        let judged = judge(&step_failed(stall_us), Level::Must, Some(ms(450)), endings);
        assert_eq!(judged.outcome, outcome, "{stall_us} {endings:?}");
    }
    // Its reader may have been too late where its clock was not.
    let mut slow_reader = step_failed(2_000);
    slow_reader.measured.record(Metric::HarnessLoopLag, 600_000);
    let judged = judge(&slow_reader, Level::Must, Some(ms(450)), &dropped);
    assert_eq!(judged.outcome, Outcome::Inconclusive);
    assert!(judged.message.contains("stood still for 60"), "{judged:?}");
}

#[test]
fn what_came_and_must_not_come_is_a_verdict_however_late_the_harness_was() {
    let dropped = ended(&[(
        Ending { asked: false, code: Some(4000), reason: "timeout".into(), clean: true },
        1,
    )]);
    for (check, class, outcome) in [
        ("delivery", Class::Duplicate, Outcome::Fail),
        ("delivery", Class::Leak, Outcome::Fail),
        ("order", Class::Disorder, Outcome::Fail),
        ("steps", Class::Leak, Outcome::Fail),
        ("delivery", Class::Loss, Outcome::Inconclusive),
        ("membership", Class::Notice, Outcome::Inconclusive),
    ] {
        let mut summary = step_failed(3_000_000);
        let mut witness = summary.witnesses[0].clone();
        witness.finding = Finding::new(check, class, Time(9), "as it was seen");
        summary.witnesses.push(witness);
        let judged = judge(&summary, Level::Must, Some(Duration::from_millis(450)), &dropped);
        assert_eq!(judged.outcome, outcome, "{check} {class}");
        // The class is that of the first finding that is not excused.
        let named = (outcome == Outcome::Fail).then(|| class.as_str());
        assert_eq!(judged.class, named, "{check} {class}");
    }
}

#[test]
fn a_server_that_died_is_dead_however_late_the_harness_was() {
    let dropped =
        ended(&[(Ending { asked: false, code: None, reason: "reset".into(), clean: false }, 1)]);
    let died = Finding::new("protocol", Class::Killed, Time(9), "the target died");
    // A connection may have been given up because nobody read from it.
    let ended = died.clone().client(ClientId(0));
    for (finding, outcome) in [(died, Outcome::Fail), (ended, Outcome::Inconclusive)] {
        let mut summary = step_failed(3_000_000);
        summary.witnesses[0].finding = finding;
        let judged = judge(&summary, Level::Must, Some(Duration::from_millis(450)), &dropped);
        assert_eq!(judged.outcome, outcome, "{judged:?}");
    }
}

#[test]
fn a_kind_of_finding_without_a_witness_is_excused_like_any_other() {
    let dropped =
        ended(&[(Ending { asked: false, code: None, reason: "reset".into(), clean: false }, 1)]);
    let ms = Duration::from_millis(450);
    for (class, stall_us, seen) in [
        (Class::Loss, 2_000, true),
        (Class::Loss, 3_000_000, false),
        (Class::Duplicate, 3_000_000, true),
    ] {
        let mut summary = step_failed(stall_us);
        summary.checks = vec![CheckResult {
            name: "delivery",
            verdict: Verdict::Failed,
            facts: 9,
            classes: vec![(class, 1)],
        }];
        let kinds = found(&summary, Some(ms), &dropped);
        assert_eq!(kinds.contains(&("delivery", class)), seen, "{class} {stall_us}: {kinds:?}");
        let judged = judge(&summary, Level::Must, Some(ms), &dropped);
        assert_eq!(judged.outcome == Outcome::Fail, seen, "{class} {stall_us}: {judged:?}");
    }
}

#[test]
fn a_step_says_nothing_when_the_harness_stood_still_for_half_of_its_time() {
    for (stall_us, seconds, outcome) in [
        (600_000, 1.0, Outcome::Inconclusive),
        (600_000, 2.0, Outcome::Fail),
        (400_000, 0.5, Outcome::Fail),
    ] {
        let mut summary = step_failed(stall_us);
        summary.steps[1].seconds = seconds;
        let judged = judge(&summary, Level::Must, None, &[]);
        assert_eq!(judged.outcome, outcome, "{stall_us} in {seconds}");
    }
}

#[test]
fn a_reader_that_was_cut_off_while_the_harness_was_late_accuses_nobody() {
    let cut = |class, check, late| {
        let mut summary = passed();
        let mut witness = failed().witnesses.remove(0);
        witness.finding = Finding::new(check, class, Time(7), "closed with 4008 slow reader");
        (summary.witnesses, summary.findings, summary.late) = (vec![witness], 1, late);
        summary
    };
    let server = ended(&[(
        Ending { asked: false, code: Some(4008), reason: "slow reader".into(), clean: true },
        1,
    )]);
    let cases = [
        (cut(Class::Close, "protocol", true), server.as_slice(), Outcome::Inconclusive),
        (cut(Class::Close, "protocol", false), server.as_slice(), Outcome::Fail),
        (cut(Class::Close, "protocol", true), &[], Outcome::Fail),
        // What was lost was lost, however late the harness was.
        (cut(Class::Loss, "delivery", true), server.as_slice(), Outcome::Fail),
    ];
    for (summary, endings, outcome) in cases {
        let judged = judge(&summary, Level::Must, None, endings);
        assert_eq!(judged.outcome, outcome, "{:?} {endings:?}", summary.witnesses);
    }
}

#[test]
fn what_came_first_names_the_class() {
    let mut summary = failed();
    let mut early = summary.witnesses[0].clone();
    early.finding = Finding::new("protocol", Class::Close, Time(1), "closed with 1011");
    summary.witnesses.push(early);
    let judged = judge(&summary, Level::Must, None, &[]);
    assert_eq!((judged.class, judged.message.as_str()), (Some("close"), "closed with 1011"));
}

#[test]
fn endings_stand_apart_from_the_outcome_and_the_odd_ones_first() {
    let ending =
        |asked, code, reason: &str, clean| Ending { asked, code, reason: reason.into(), clean };
    let all = ended(&[
        (ending(true, Some(1000), "", true), 3),
        (ending(false, None, "end of TCP without a Close frame", false), 1),
        (ending(false, Some(4000), "timeout", true), 1),
        (ending(false, Some(4000), "timeout, again", true), 1),
        (ending(true, None, "reset by us", false), 1),
    ]);
    let shown: Vec<_> = all
        .iter()
        .map(|it| (it.by.as_str(), it.code, it.clean, it.tcp.as_deref(), it.connections))
        .collect();
    let expected = [
        ("server", None, false, Some("fin"), 1),
        ("server", Some(4000), true, None, 2),
        ("client", None, false, Some("rst"), 1),
        ("client", Some(1000), true, None, 3),
    ];
    assert_eq!(shown, expected);
}

pub(crate) fn subject(target: &str) -> Subject {
    Subject {
        target: target.to_owned(),
        url: String::new(),
        dialect: "mini".to_owned(),
        profile: "mini".to_owned(),
        again: format!("harness conform --target mini={target}"),
    }
}

pub(crate) fn record(case: &str, requires: &[&str], outcome: Outcome) -> Record {
    Record {
        case: format!("mini/{case}"),
        about: "A case.".to_owned(),
        target: "t".to_owned(),
        dialect: "mini".to_owned(),
        requires: requires.iter().map(|id| (*id).to_owned()).collect(),
        outcome,
        class: None,
        message: String::new(),
        seed: 7,
        attempts: 1,
        duration_ms: 5,
        file: format!("conformance/mini/{case}.yaml"),
        line: None,
        findings: 0,
        seen: Vec::new(),
        traffic: harness::conform::outcome::Traffic::default(),
        ended: Vec::new(),
        stall_ms: 0,
        log: None,
    }
}

pub(crate) fn asked(id: &str, level: Level) -> Asked {
    let (text, source) = ("It is as it should be.".to_owned(), "a test".to_owned());
    let (id, set) = (id.to_owned(), "mini".to_owned());
    Asked { id, level: Some(level), text, source, set, untestable: None }
}

/// A log with these outcomes, a case and a requirement each.
fn log(outcomes: &[Outcome], strict: bool) -> Vec<Event> {
    let ids: Vec<String> = (0..outcomes.len()).map(|n| format!("MINI-{n}")).collect();
    let opening = Opening {
        strict,
        today: "2026-11-25".to_owned(),
        subjects: vec![subject("t")],
        requirements: ids.iter().map(|id| asked(id, Level::Must)).collect(),
        ..Opening::default()
    };
    let mut events = vec![Event::Suite(Box::new(opening))];
    for (outcome, id) in outcomes.iter().zip(&ids) {
        let record = record(&format!("area/{}", id.to_lowercase()), &[id], *outcome);
        events.push(Event::Finished(Box::new(record)));
    }
    events.push(Event::Over { duration_s: 1.0, signal: None });
    events
}

#[test]
fn the_suites_verdict_follows_from_the_gravest_case_and_two_percent_may_say_nothing() {
    use Outcome::{Error, Fail, Inconclusive, Nonstrict, Pass, Stale, Unsupported, Xfail};
    let many = |open: usize, of: usize| {
        let mut all = vec![Pass; of - open];
        all.extend(vec![Inconclusive; open]);
        all
    };
    let cases: [(Vec<Outcome>, bool, Verdict, Exit); 16] = [
        (vec![Pass], false, Verdict::Passed, Exit::Passed),
        (vec![], false, Verdict::Inconclusive, Exit::Inconclusive),
        (vec![Unsupported, Unsupported], false, Verdict::Inconclusive, Exit::Inconclusive),
        (vec![Pass, Unsupported], false, Verdict::Passed, Exit::Passed),
        (vec![Pass, Nonstrict], false, Verdict::Passed, Exit::Passed),
        (vec![Pass, Nonstrict], true, Verdict::Failed, Exit::Failed),
        (vec![Pass, Fail], false, Verdict::Failed, Exit::Failed),
        (vec![Pass, Xfail], true, Verdict::Passed, Exit::Passed),
        (vec![Pass, Stale], false, Verdict::Failed, Exit::Failed),
        (vec![Pass, Error], false, Verdict::Inconclusive, Exit::CouldNotRun),
        (vec![Fail, Error], false, Verdict::Failed, Exit::CouldNotRun),
        (vec![Fail, Inconclusive], false, Verdict::Failed, Exit::Failed),
        (many(1, 50), false, Verdict::Passed, Exit::Passed),
        (many(1, 49), false, Verdict::Inconclusive, Exit::Inconclusive),
        (many(4, 200), false, Verdict::Passed, Exit::Passed),
        (many(5, 200), false, Verdict::Inconclusive, Exit::Inconclusive),
    ];
    for (outcomes, strict, verdict, exit) in cases {
        let results = Results::of(&log(&outcomes, strict));
        assert_eq!((results.verdict(), results.exit()), (verdict, exit), "{outcomes:?} {strict}");
        assert_eq!(results.totals.sum(), outcomes.len() as u64);
        assert!(!results.reasons().is_empty());
    }
}

#[test]
fn a_signal_stands_over_everything_that_was_seen_until_it_came() {
    for (signal, exit) in [(2, Exit::Interrupted), (15, Exit::Terminated)] {
        let mut events = log(&[Outcome::Pass], false);
        events.pop();
        events.push(Event::Over { duration_s: 1.0, signal: Some(signal) });
        let results = Results::of(&events);
        assert_eq!((results.verdict(), results.exit()), (Verdict::Inconclusive, exit));
    }
}

#[test]
fn a_requirement_is_what_the_gravest_of_its_cases_is_at_each_target() {
    use Outcome::{Fail, Nonstrict, Pass, Unsupported};
    let opening = Opening {
        subjects: vec![subject("t"), subject("u")],
        requirements: vec![
            asked("A-1", Level::Must),
            asked("A-2", Level::Must),
            asked("A-3", Level::Should),
            asked("A-4", Level::Must),
        ],
        ..Opening::default()
    };
    let finished = |case: &str, requires: &[&str], target: &str, outcome| {
        let record = Record { target: target.to_owned(), ..record(case, requires, outcome) };
        Event::Finished(Box::new(record))
    };
    let results = Results::of(&[
        Event::Suite(Box::new(opening)),
        finished("a/one", &["A-1", "A-2"], "t", Pass),
        finished("a/two", &["A-1"], "t", Fail),
        finished("a/one", &["A-1", "A-2"], "u", Unsupported),
        finished("a/two", &["A-1"], "u", Pass),
        finished("a/three", &["A-3"], "t", Nonstrict),
    ]);
    let found: Vec<_> =
        results.requirements.iter().map(|it| (it.outcome, it.by_subject.clone())).collect();
    let expected = [
        (Some(Fail), vec![Some(Fail), Some(Pass)]),
        (Some(Pass), vec![Some(Pass), Some(Unsupported)]),
        (Some(Nonstrict), vec![Some(Nonstrict), None]),
        (None, vec![None, None]),
    ];
    assert_eq!(found, expected);
    assert_eq!(results.requirements[0].cases, ["mini/a/one", "mini/a/two"]);
    // What a server does not claim to do is not asked of it.
    assert_eq!(results.score(Level::Must), Score { met: 2, asked: 3 });
    assert_eq!(results.score(Level::Should), Score { met: 0, asked: 1 });
}

#[test]
fn a_profile_that_promises_nothing_has_nothing_judged() {
    let profile = |more: &str| {
        let text = format!("profile: p\ndialect: native\n{more}");
        let source = Source { name: "p".to_owned(), text: text.into() };
        Profile::read(&source).expect("a profile").over(&Profile::of_dialect("native"))
    };
    let native = Dialect::shipped("native").expect("a dialect");
    let shaped = |more: &str| {
        let dialect = profile(more).shape(native.clone());
        (dialect.ordering, dialect.echo)
    };
    assert_eq!(shaped(""), (Some(Ordering::Total), Some(Echo::Once)));
    assert_eq!(shaped("echo: apart"), (Some(Ordering::Total), Some(Echo::Apart)));
    assert_eq!(shaped("echo: any\nordering: any"), (None, None));
}

/// What a profile says of its server's own names and secrets, cases and the dialect's templates use.
#[test]
fn the_variables_of_a_profile_are_the_parameters_of_its_dialect() {
    let text = "profile: p\ndialect: pusher\nvars: { app_id: 7, key: k, nobody: x }\n";
    let source = Source { name: "p".to_owned(), text: text.into() };
    let profile = Profile::read(&source).expect("a profile");
    let dialect = profile.shape(Dialect::shipped("pusher").expect("a dialect"));
    let path = dialect.path(&harness::plan::Vars::new()).expect("a path");
    assert!(path.starts_with("/app/k?"), "{path}");
    assert_eq!(dialect.params["app_id"], "7");
    assert!(!dialect.params.contains_key("nobody"));
}
