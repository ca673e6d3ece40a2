//! Every guarantee of NAT-… that can be seen from outside, over random histories; and that each
//! fault is caught, so that a property that cannot fail is found out.

mod history;
mod judge;
mod stay;

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use protocol::native::Session;
use protocol::{ConnId, Flow, Ids, Limits, LocalWorld, Now, World};

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

/// Sends one text to a member of a room, and says what it and another member get.
fn throw(text: &str) -> (Flow, Vec<String>) {
    let world = LocalWorld::new(Limits::default(), Ids::new([1; 32]));
    let open = |conn| {
        let id = world.with_ids(Ids::connection);
        let mut session = Session::open(Now::default(), id, conn, &world);
        let flow = session.received(Now::default(), r#"{"type":"join","room":"r"}"#, &world);
        assert_eq!(flow, Flow::Continue);
        session
    };
    let mut session = open(ConnId(1));
    let _other = open(ConnId(2));
    world.take(ConnId(1));
    world.take(ConnId(2));
    let flow = session.received(Now::default(), text, &world);
    let frames = [ConnId(1), ConnId(2)].map(|conn| world.take(conn)).concat();
    (flow, frames.iter().map(|frame| frame.as_text().to_owned()).collect())
}

fn json() -> impl Strategy<Value = serde_json::Value> {
    use serde_json::Value;
    let word = prop::sample::select(vec![
        "r", "join", "chat", "store", "presence", "typing", "read", "name", "create", "leave", "x",
    ]);
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        word.prop_map(Value::from),
        ".{0,8}".prop_map(Value::from),
    ];
    let key = prop::sample::select(vec![
        "type",
        "id",
        "room",
        "code",
        "text",
        "patch",
        "ops",
        "put",
        "delete",
        "key",
        "value",
        "on",
        "seq",
        "since",
        "epoch",
        "membership",
        "username",
        "capacity",
        "if_version",
        "x",
    ]);
    leaf.prop_recursive(4, 32, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::vec((key.clone(), inner), 0..6).prop_map(|fields| {
                fields.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
            }),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_text_makes_it_panic_or_close(text in any::<String>()) {
        prop_assert_eq!(throw(&text).0, Flow::Continue);
    }

    #[test]
    fn no_json_makes_it_panic_or_close_and_all_that_it_sends_is_json(
        value in json(),
        kind in prop::sample::select(vec!["join", "chat", "store", "presence", "typing", "read", "name", "create", "leave"]),
        spliced in any::<bool>(),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut value = value;
        if spliced && let Some(fields) = value.as_object_mut() {
            fields.insert("type".to_owned(), kind.into());
            fields.insert("room".to_owned(), "r".into());
        }
        let text = value.to_string();
        let (flow, frames) = throw(&text);
        prop_assert_eq!(flow, Flow::Continue);
        for frame in frames {
            let sent: Result<serde_json::Value, _> = serde_json::from_str(&frame);
            prop_assert!(sent.is_ok_and(|sent| sent["type"].is_string()), "{}", frame);
        }
        let end = text.floor_char_boundary(cut.index(text.len() + 1));
        prop_assert_eq!(throw(&text[..end]).0, Flow::Continue);
    }
}
