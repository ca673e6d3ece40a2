//! What is said of a mutant from what its cases said, and of the whole from its rows and good runs.

use harness::check::TABLE;
use harness::conform::outcome::Outcome;
use harness::selftest::catalogue::Cell;
use harness::selftest::good::{Ran, Strain};
use harness::selftest::outcome::{Account, Expected, Fate, Found, Judged, Says};
use harness::selftest::results::{Results, Tally};
use harness::verdict::{Exit, Verdict};

/// A row of which this was found; the first of it was expected, if it came out rightly.
pub(crate) fn tally(id: &str, dialect: &str, fate: Fate, found: &[(&str, &str)]) -> Tally {
    let found: Vec<Found> = found.iter().map(|(check, class)| Found::new(check, class)).collect();
    let expected = found.first().filter(|_| fate == Fate::Right);
    let (check, class) =
        expected.map_or((None, "loss"), |it| (Some(it.check.clone()), it.class.as_str()));
    Tally {
        cell: Cell {
            id: id.to_owned(),
            dialect: dialect.to_owned(),
            expected: Expected { check, class: class.to_owned() },
            ..Cell::default()
        },
        number: 1,
        about: "It is wrong.".to_owned(),
        must: true,
        judged: Judged { fate, killed_by: found.first().cloned(), found, message: String::new() },
        case: Some("rooms/say/echo".to_owned()),
        deliveries: 5,
        seed: 7,
        attempts: 1,
        duration_ms: 12,
    }
}

pub(crate) fn ran(number: u64, strain: Strain, outcome: Outcome) -> Ran {
    Ran {
        number,
        what: "rooms/say/echo".to_owned(),
        strain,
        seed: 9,
        outcome,
        class: None,
        message: String::new(),
        attempts: 1,
        duration_ms: 3,
        deliveries: 2,
        again: "harness conform".to_owned(),
    }
}

/// A mutant for each check, found out, and three good runs.
pub(crate) fn right() -> Results {
    let tallies = TABLE.iter().flat_map(|rule| {
        let class = rule.classes.first().map_or("", |class| class.as_str());
        ["native", "rooms"].map(|dialect| {
            tally(&format!("{}-mutant", rule.name), dialect, Fate::Right, &[(rule.name, class)])
        })
    });
    Results {
        started: "2026-11-26T02:00:00Z".to_owned(),
        duration_s: 1.5,
        seed: 7,
        tallies: tallies.collect(),
        runs: 3,
        good: [Strain::None, Strain::Load, Strain::Throttled]
            .into_iter()
            .zip(1..)
            .map(|(strain, number)| ran(number, strain, Outcome::Pass))
            .collect(),
        ..Results::default()
    }
}

#[test]
fn a_mutant_is_judged_by_what_its_cases_found() {
    let order = Expected { check: Some("order".into()), class: "reorder".into() };
    let any = Expected { check: None, class: "reorder".into() };
    let wrong = |found: &[(&str, &str)]| {
        Says::Wrong(found.iter().map(|(check, class)| Found::new(check, class)).collect())
    };
    let nothing = || Says::Nothing("it stood still".to_owned());
    let both = wrong(&[("delivery", "loss"), ("order", "reorder")]);
    let cases: [(&str, &Expected, Vec<Says>, Fate); 11] = [
        ("the expected one", &order, vec![wrong(&[("order", "reorder")])], Fate::Right),
        ("among others, not first", &order, vec![both.clone()], Fate::Right),
        ("by whichever check", &any, vec![wrong(&[("steps", "reorder")])], Fate::Right),
        ("by another check", &order, vec![wrong(&[("steps", "reorder")])], Fate::Other),
        ("another class", &any, vec![wrong(&[("order", "disorder")])], Fate::Other),
        ("a failure without a finding", &any, vec![wrong(&[])], Fate::Other),
        ("the second case finds it", &order, vec![Says::Well, both.clone()], Fate::Right),
        ("and what said nothing is past", &order, vec![nothing(), both], Fate::Right),
        ("nobody finds it", &order, vec![Says::Well, Says::Well], Fate::Survived),
        ("one says nothing", &order, vec![nothing(), Says::Well], Fate::Inconclusive),
        ("no case", &order, vec![], Fate::Error),
    ];
    for (name, expected, said, fate) in cases {
        let mut account = Account::default();
        for says in said {
            let last = matches!(says, Says::Wrong(_));
            assert_eq!(account.add(says, 10), last, "{name}: what is found out is");
        }
        let judged = account.judge(expected, 0);
        assert_eq!(judged.fate, fate, "{name}: {judged:?}");
        assert_eq!(judged.message.is_empty(), fate == Fate::Right, "{name}: {judged:?}");
    }
}

#[test]
fn what_fails_at_the_good_server_too_has_found_nothing_out() {
    let loss = || vec![Found::new("delivery", "loss")];
    for (good, fate, why) in [
        (Says::Well, Fate::Right, ""),
        (Says::Wrong(loss()), Fate::Error, "a/b at the good server: it fails: delivery / loss"),
        (Says::Nothing("a stall".into()), Fate::Inconclusive, "a/b at the good server: a stall"),
        (Says::Error("no port".into()), Fate::Error, "a/b at the good server: no port"),
    ] {
        let mut account = Account::default();
        account.add(Says::Wrong(loss()), 10);
        let expected = Expected { check: None, class: "loss".into() };
        let judged = account.judge(&expected, 0).beside_good("a/b", good);
        assert_eq!((judged.fate, judged.message.as_str()), (fate, why));
        assert_eq!(judged.killed_by.is_some(), fate == Fate::Right);
    }
}

#[test]
fn with_too_little_traffic_nothing_has_survived() {
    let expected = Expected { check: None, class: "loss".into() };
    for (seen, needed, fate) in
        [(275, 276, Fate::Inconclusive), (276, 276, Fate::Survived), (0, 0, Fate::Survived)]
    {
        let mut account = Account::default();
        account.add(Says::Well, seen / 2);
        account.add(Says::Well, seen - seen / 2);
        assert_eq!(account.judge(&expected, needed).fate, fate, "{seen} of {needed}");
    }
}

#[test]
fn all_right_is_passed() {
    let results = right();
    assert_eq!(results.verdict(), Verdict::Passed, "{:?}", results.reasons());
    assert_eq!(results.score(), "24 of 24 (100.0 %)");
    assert_eq!((results.mutants(), results.findings()), (12, 0));
    // What says nothing is no run without an alarm.
    let mut open = right();
    open.good.extend((4..=100).map(|number| ran(number, Strain::Load, Outcome::Pass)));
    open.good.push(ran(101, Strain::Load, Outcome::Inconclusive));
    let why = open.reasons().join("; ");
    assert!(why.ends_with("no false alarm in 100 good runs (1 more said nothing)"), "{why}");
}

/// One more row like this, and what the whole comes to then.
fn with_row(fate: Fate) -> Results {
    let mut results = right();
    results.tallies.push(tally("another", "rooms", fate, &[("delivery", "loss")]));
    results
}

#[test]
fn what_is_wrong_fails_the_whole() {
    let alarm = |outcome| {
        let mut results = right();
        results.good.push(ran(4, Strain::Load, outcome));
        results
    };
    let mut idle = right();
    idle.tallies.retain(|it| it.cell.id != "slow-mutant");
    let mut few = right();
    for _ in 0..3 {
        few.tallies.push(tally("hard", "chat", Fate::LeftOut, &[]));
    }
    let mut missing = right();
    missing.runs = 4;
    let mut stopped = right();
    stopped.signal = Some(15);
    let cases = [
        ("another class", with_row(Fate::Other), Verdict::Failed, 1, "as something else"),
        ("survived", with_row(Fate::Survived), Verdict::Failed, 1, "no reason"),
        ("not built", with_row(Fate::Error), Verdict::Failed, 1, "could not be tried"),
        (
            "left out, with a reason",
            with_row(Fate::LeftOut),
            Verdict::Passed,
            0,
            "24 of 25 (96.0 %)",
        ),
        ("too many left out", few, Verdict::Failed, 0, "24 of 27 (88.8 %)"),
        ("too little traffic", with_row(Fate::Inconclusive), Verdict::Inconclusive, 0, "2 % may"),
        ("an idle check", idle, Verdict::Failed, 1, "anything: slow"),
        ("a false alarm", alarm(Outcome::Fail), Verdict::Failed, 1, "1 false alarm in 4"),
        ("of a SHOULD", alarm(Outcome::Nonstrict), Verdict::Failed, 1, "1 false alarm in 4"),
        ("a run that says nothing", alarm(Outcome::Inconclusive), Verdict::Inconclusive, 0, "of 4"),
        ("one that was not run", alarm(Outcome::Unsupported), Verdict::Inconclusive, 0, "of 4"),
        ("a run that went wrong", alarm(Outcome::Error), Verdict::Inconclusive, 0, "by themselves"),
        ("a run that is missing", missing, Verdict::Inconclusive, 0, "3 of 4 good runs"),
        ("a signal", stopped, Verdict::Inconclusive, 0, "interrupted"),
        ("nothing", Results::default(), Verdict::Inconclusive, 0, "nothing was tried"),
    ];
    for (name, results, verdict, findings, why) in cases {
        let reasons = results.reasons().join("; ");
        assert_eq!(results.verdict(), verdict, "{name}: {reasons}");
        assert_eq!(results.findings(), findings, "{name}: {reasons}");
        assert!(reasons.contains(why), "{name}: {reasons}");
        let exit = if name == "a signal" { Exit::Terminated } else { verdict.into() };
        assert_eq!(results.exit(), exit, "{name}");
    }
}

#[test]
fn a_part_of_the_table_needs_not_a_mutant_for_each_check() {
    let mut part = right();
    part.tallies.truncate(2);
    assert_eq!(part.verdict(), Verdict::Failed);
    part.partial = true;
    assert_eq!(part.verdict(), Verdict::Passed, "{:?}", part.reasons());
    // Of good runs that were not made nothing is said.
    (part.runs, part.good) = (0, Vec::new());
    assert_eq!(part.reasons(), ["2 of 2 (100.0 %) rows found out rightly"]);
}

#[test]
fn a_check_has_the_merit_of_what_no_other_finds() {
    let (loss, reorder) = (("delivery", "loss"), ("order", "reorder"));
    let tallies = vec![
        tally("a", "native", Fate::Right, &[loss]),
        tally("a", "rooms", Fate::Right, &[loss]),
        // In one dialect another check finds it, too; in the other it would survive.
        tally("a", "chat", Fate::Right, &[loss, reorder]),
        tally("b", "native", Fate::Right, &[loss, reorder]),
        tally("c", "rooms", Fate::Right, &[reorder, loss]),
        tally("d", "rooms", Fate::Other, &[loss]),
    ];
    let results = Results { tallies, ..Results::default() };
    let merits = results.merits();
    let merit = |name: &str| merits.iter().find(|it| it.name == name).expect("a check");
    assert_eq!(merit("delivery").kills, ["a", "b"]);
    assert_eq!(merit("delivery").only_it, ["a"]);
    // Of `b` and `c` another class was expected, or the other check.
    assert_eq!(merit("order").kills, ["c"]);
    assert!(merit("order").only_it.is_empty());
    assert_eq!(merits.len(), TABLE.len());
}
