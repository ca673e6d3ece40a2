//! Every guarantee of NAT-… that can be seen from outside, over random histories; and that each
//! fault is caught, so that a property that cannot fail is found out.

mod history;
mod judge;
mod stay;

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

use crate::faulty::{Fault, What};
use history::{Entry, run, steps};
use judge::judge;

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_history_keeps_every_guarantee(steps in steps()) {
        let history = run(&steps, None);
        if let Err(broken) = judge(&history) {
            return Err(TestCaseError::fail(broken));
        }
    }

}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_same_steps_give_the_same_frames(steps in steps()) {
        let (one, two) = (run(&steps, None), run(&steps, None));
        prop_assert_eq!(format!("{:?}", one.clients), format!("{:?}", two.clients));
    }
}

#[test]
fn the_histories_come_to_all_that_is_judged() {
    let mut runner = TestRunner::deterministic();
    let mut seen = String::new();
    for _ in 0..60 {
        let steps = steps().new_tree(&mut runner).expect("steps can be made").current();
        let history = run(&steps, None);
        let entries = history.clients.into_iter().flatten();
        let texts = entries.filter_map(|(_, entry)| match entry {
            Entry::Got(text) => Some(text + "\n"),
            _ => None,
        });
        seen.extend(texts);
    }
    for (part, at_least) in [
        (r#""recovered":true}"#, 20),
        (r#""recovered":false}"#, 10),
        (r#""type":"member_left""#, 30),
        (r#""type":"member_renamed""#, 10),
        (r#""on":false"#, 10),
        (r#""type":"read""#, 10),
        ("version_conflict", 10),
        ("forbidden", 10),
        ("already_joined", 10),
        ("not_joined", 10),
        (r#""reason":"slow""#, 5),
        (r#""version":5"#, 5),
    ] {
        let times = seen.matches(part).count();
        assert!(times >= at_least, "{part} only {times} times");
    }
    let lines: Vec<&str> = seen.lines().collect();
    let replays = lines.windows(2).filter(|two| {
        matches!(two, [joined, event] if joined.contains(r#""recovered":true"#) && event.contains(r#""seq""#))
    });
    assert!(replays.count() >= 10, "too little has been missed and given again");
}

/// How many of the histories in which the fault happens are told from sound ones, of how many.
fn caught(fault: Fault) -> (u32, u32) {
    let mut runner = TestRunner::deterministic();
    let (mut caught, mut fired) = (0, 0);
    for _ in 0..60 {
        let steps = steps().new_tree(&mut runner).expect("steps can be made").current();
        let history = run(&steps, Some(fault));
        fired += u32::from(history.fired);
        caught += u32::from(history.fired && judge(&history).is_err());
    }
    (caught, fired)
}

#[test]
fn every_fault_is_caught() {
    const NUMBERED: [&str; 3] = ["chat", "presence", "stored"];
    const VIEWS: [&str; 3] = ["member_joined", "member_left", "member_renamed"];
    const REPLIES: [&str; 5] = ["ok", "error", "pong", "joined", "left"];
    let on = |what: What, types: &[&'static str]| -> Vec<Fault> {
        types.iter().map(|&on| Fault { what, on, after: 1 }).collect()
    };
    let faults = [
        on(What::Drop, &NUMBERED),
        on(What::Drop, &VIEWS),
        on(What::Drop, &REPLIES),
        on(What::Duplicate, &NUMBERED),
        on(What::Duplicate, &VIEWS),
        on(What::Duplicate, &REPLIES),
        on(What::Duplicate, &["typing", "read", "welcome"]),
        on(What::Swap, &NUMBERED),
        on(What::Swap, &["ok"]),
        on(What::Leak, &NUMBERED),
        on(What::Leak, &["joined", "ok", "typing"]),
        on(What::Corrupt, &NUMBERED),
        on(What::SameIds, &["none"]),
    ];
    let mut survivors = Vec::new();
    for fault in faults.into_iter().flatten() {
        let (caught, fired) = caught(fault);
        // Not each time: what is broken may be lost with a connection before anybody has seen it.
        if fired < 5 || caught * 3 < fired {
            survivors.push(format!("{fault:?}: caught {caught} of {fired}"));
        }
    }
    assert!(survivors.is_empty(), "{survivors:#?}");
}
