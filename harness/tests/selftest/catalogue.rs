//! The catalogue is whole, says nothing that means nothing, and its mistakes are told.

use std::collections::BTreeSet;

use harness::check::TABLE;
use harness::conform::suite::{Suite, files_of};
use harness::plan::Source;
use harness::scenario::Problems;
use harness::selftest::catalogue::Catalogue;
use harness::selftest::lint::lint;
use harness::selftest::small;

/// How many known-bad behaviours the catalogue was made from.
const FAULTS: u32 = 128;

fn shipped() -> Catalogue {
    let told = |wrong: Vec<Problems>| wrong.iter().map(Problems::lines).collect::<String>();
    Catalogue::shipped().map_err(told).unwrap_or_else(|wrong| panic!("{wrong}"))
}

fn suite() -> Suite {
    let (suite, wrong) = Suite::read(files_of(None).expect("it comes with the program"));
    assert!(wrong.is_empty(), "{wrong:?}");
    suite
}

#[test]
fn every_fault_has_its_entry() {
    let numbers: BTreeSet<u32> = shipped().entries.iter().map(|entry| entry.number).collect();
    let missing: Vec<u32> = (1..=FAULTS).filter(|number| !numbers.contains(number)).collect();
    assert!(missing.is_empty(), "no entry for {missing:?}");
    assert!(numbers.iter().all(|number| (1..=FAULTS).contains(number)), "{numbers:?}");
}

#[test]
fn every_check_is_expected_to_find_a_mutant() {
    let catalogue = shipped();
    let expected = catalogue.cells().filter_map(|cell| cell.expected.check.as_deref());
    let expected: BTreeSet<&str> = expected.collect();
    let idle: Vec<&str> =
        TABLE.iter().map(|rule| rule.name).filter(|name| !expected.contains(name)).collect();
    assert!(idle.is_empty(), "no mutant is there for {idle:?}");
}

/// A catalogue of one entry, which is right but for what is replaced in it.
fn entry(was: &str, is: &str) -> String {
    let right = "\
mutants:
  - id: a-fault
    number: 37
    about: It is wrong.
    level: must
    seam: outlet
    rate: 1/20
    deliveries: 276
    class: reorder
    check: order
    cases: [common-order/per-sender]
    dialects: { native: {}, project: {}, rooms: {}, events: {}, pusher: {} }
    elsewhere: In chat there is nobody.
    left_out: { chat: It would be hard. }
";
    assert!(right.contains(was), "{was}");
    right.replace(was, is)
}

/// What is said of a catalogue, a line each.
fn said(suite: &Suite, text: &str) -> String {
    let source = Source { name: "mutants.yaml".to_owned(), text: text.into() };
    let (catalogue, wrong) = Catalogue::read([source]);
    let found = if wrong.is_empty() { lint(&catalogue, suite) } else { wrong };
    found.iter().map(Problems::lines).collect()
}

#[test]
fn mistakes_are_told_where_they_are() {
    let suite = suite();
    assert_eq!(said(&suite, &entry("outlet", "outlet")), "", "the right one is right");
    let twice = format!("{0}{1}", entry("37", "37"), entry("mutants:\n", ""));
    let cases = [
        ("level: must", "level: may", ":5:12: `may` is no level (there are must and should)"),
        ("seam: outlet", "seam: outlets", "there is no seam `outlets`"),
        ("1/20", "20", "`20` is no rate (write it like 1/20)"),
        ("1/20", "1/0", "`1/0` is no rate"),
        ("about: It is wrong.", "about: ' '", "what does it do?"),
        ("It would be hard.", "''", "why?"),
        ("seam: outlet", "seem: outlet", "`seem`"),
        ("number: 37", "number: many", "number"),
        ("class: reorder", "class: reordr", "did you mean `reorder`?"),
        ("class: reorder", "class: loss", "`order` raises no `loss`"),
        ("    class: reorder\n", "", "what must be found in `native`?"),
        ("check: order", "check: ordre", "did you mean `order`?"),
        ("per-sender", "per-sendr", "did you mean `common-order/per-sender`?"),
        ("rooms: {}", "romos: {}", "did you mean `rooms`?"),
        ("rooms: {}", "rooms: { cases: [a/b] }", "no case is called `a/b`"),
        ("rooms: {}", "rooms: { cases: ['scenario:recovery'] }", "no case is called"),
        ("rooms: {}", "rooms: { cases: [] }", "no case should find it in `rooms`"),
        ("rooms: {}", "rooms: { cases: ['scenario:one-to-one'] }", "is not for `rooms`"),
        ("rooms: {}, ", "", ""),
        (
            "    elsewhere: In chat there is nobody.\n    left_out: { chat: It would be hard. }\n",
            "",
            "`a-fault` has not a row for each dialect",
        ),
    ];
    for (was, is, expected) in cases {
        let said = said(&suite, &entry(was, is));
        assert!(said.contains(expected), "{was} -> {is}: {said}");
        assert_eq!(said.is_empty(), expected.is_empty(), "{was} -> {is}: {said}");
    }
    assert!(said(&suite, &twice).contains("there is another mutant `a-fault`"));
}

#[test]
fn a_dialect_says_what_is_otherwise_there() {
    let text = entry(
        "rooms: {}",
        "rooms: { class: loss, cases: ['scenario:join'], rate: 1/3, deliveries: 9 }",
    );
    let source = Source { name: "mutants.yaml".to_owned(), text: text.as_str().into() };
    let (catalogue, wrong) = Catalogue::read([source]);
    assert!(wrong.is_empty(), "{wrong:?}");
    let cell = |name: &str| catalogue.cells().find(|cell| cell.dialect == name).expect("a row");
    let (native, rooms, chat) = (cell("native"), cell("rooms"), cell("chat"));
    assert_eq!(native.option(), "a-fault:1/20");
    assert_eq!(native.expected.to_string(), "order / reorder");
    assert_eq!((rooms.option().as_str(), rooms.deliveries), ("a-fault:1/3", 9));
    // Another class is another check's.
    assert_eq!(rooms.expected.to_string(), "loss");
    assert_eq!(rooms.cases, ["scenario:join"]);
    // What cannot be tried is a row, too.
    assert_eq!(chat.left_out.as_deref(), Some("It would be hard."));
    assert_eq!(native.left_out, None);
}

#[test]
fn the_small_scenarios_are_the_shipped_ones() {
    for name in small::NAMES {
        let small = small::small(name).unwrap_or_else(|problems| panic!("{problems}"));
        assert_eq!(small.name(), name);
    }
}

/// What the server can do wrong, and what is to be found, are one list.
#[cfg(all(feature = "mutants", debug_assertions))]
#[test]
fn the_server_has_the_mutants_of_the_catalogue() {
    let mut harness = std::process::Command::new(env!("CARGO_BIN_EXE_harness"));
    let listed = harness.args(["serve", "--mutant", "list"]).output().expect("it runs");
    let listed = String::from_utf8(listed.stdout).expect("UTF-8");
    let built: BTreeSet<&str> =
        listed.lines().filter_map(|line| line.split_whitespace().next()).collect();
    let catalogue = shipped();
    let tried: BTreeSet<&str> = catalogue
        .cells()
        .filter(|cell| cell.left_out.is_none())
        .map(|cell| cell.id.as_str())
        .collect();
    let all: BTreeSet<&str> = catalogue.entries.iter().map(|entry| entry.id.as_str()).collect();
    let unbuilt: Vec<_> = tried.difference(&built).collect();
    assert!(unbuilt.is_empty(), "the server has not: {unbuilt:?}");
    let unknown: Vec<_> = built.difference(&all).collect();
    assert!(unknown.is_empty(), "nobody says what must be found of {unknown:?}");
}
