//! Presence: who is there is told once a user, and whoever replays it knows the truth.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use protocol::pusher::auth;
use protocol::{ConnId, Reason};
use serde_json::{Value, json};

use super::{A, B, C, Stage, is_error, user};

const CHANNEL: &str = "presence-x";

fn added(id: &str, info: &Value) -> Value {
    json!({"event": "pusher_internal:member_added", "channel": CHANNEL,
        "data": {"user_id": id, "user_info": info}})
}

fn removed(id: &str) -> Value {
    json!({"event": "pusher_internal:member_removed", "channel": CHANNEL, "data": {"user_id": id}})
}

fn succeeded(hash: &Value) -> Value {
    let ids: Vec<&String> = hash.as_object().expect("an object").keys().collect();
    json!({"event": "pusher_internal:subscription_succeeded", "channel": CHANNEL,
        "data": {"presence": {"count": ids.len(), "ids": ids, "hash": hash}}})
}

#[test]
fn a_newcomer_learns_who_is_there_and_the_others_of_the_newcomer() {
    let mut stage = Stage::new();
    stage.open(&[A, B]);
    stage.subscribe(A, CHANNEL, Some(&user("a")));
    assert_eq!(stage.take(A), [succeeded(&json!({"a": {"name": "a"}}))]);
    stage.subscribe(B, CHANNEL, Some(&json!({"user_id": 10})));
    assert_eq!(stage.take(B), [succeeded(&json!({"10": null, "a": {"name": "a"}}))]);
    assert_eq!(stage.take(A), [added("10", &Value::Null)]);
    stage.unsubscribe(B, CHANNEL);
    assert_eq!(stage.take(A), [removed("10")]);
    assert!(stage.take(B).is_empty());
}

#[test]
fn a_user_is_one_however_many_connections_it_has() {
    let mut stage = Stage::new();
    stage.open(&[A, B, C]);
    stage.subscribe(A, CHANNEL, Some(&user("a")));
    stage.subscribe(B, CHANNEL, Some(&json!({"user_id": 7, "user_info": 1})));
    stage.take(A);
    stage.take(B);
    // The same user, whether a number or a string: what its first connection said of it stands.
    stage.subscribe(C, CHANNEL, Some(&json!({"user_id": "7", "user_info": 2})));
    assert_eq!(stage.take(C), [succeeded(&json!({"7": 1, "a": {"name": "a"}}))]);
    assert!(stage.take(A).is_empty() && stage.take(B).is_empty());
    stage.end(B, Reason::Timeout);
    assert!(stage.take(A).is_empty() && stage.take(C).is_empty(), "it is still there");
    stage.unsubscribe(C, CHANNEL);
    assert_eq!(stage.take(A), [removed("7")]);
    stage.subscribe(C, CHANNEL, Some(&json!({"user_id": "7", "user_info": 2})));
    assert_eq!(stage.take(A), [added("7", &json!(2))], "it is a new stay");
    // Asking again changes nothing, even as somebody else.
    stage.subscribe(C, CHANNEL, Some(&user("c")));
    assert_eq!(stage.heard(C).len(), 2);
    assert!(stage.take(A).is_empty());
    stage.end(C, Reason::Closed);
    assert_eq!(stage.take(A), [removed("7")]);
}

#[test]
fn nobody_is_there_without_saying_who() {
    let mut stage = Stage::new();
    stage.open(&[A]);
    let much = json!({"user_id": "a", "user_info": "x".repeat(1000)});
    for data in [
        json!("x"),
        json!({}),
        json!([]),
        json!({"user_id": ""}),
        json!({"user_id": null}),
        json!({"user_id": 1.5}),
        json!({"user_id": "x".repeat(129)}),
        much,
    ] {
        stage.subscribe(A, CHANNEL, Some(&data));
        let told = stage.take(A);
        assert!(matches!(&told[..], [told] if is_error(told, 4300, Some(CHANNEL))), "{told:?}");
    }
    // Signed, but without any word on who it is.
    stage.subscribe(A, CHANNEL, None);
    assert!(is_error(&stage.take(A)[0], 4300, Some(CHANNEL)));
    // Said, but not signed so.
    let bare = auth::channel(&stage.app, &stage.id(A), CHANNEL, None);
    let data = json!({"channel": CHANNEL, "auth": bare, "channel_data": user("a").to_string()});
    let told = stage.ask(A, "pusher:subscribe", &data);
    assert!(is_error(&told, 4009, Some(CHANNEL)));
    assert!(stage.rooms().is_empty());
}

#[test]
fn a_hundred_users_are_as_many_as_there_may_be() {
    let mut stage = Stage::new();
    let all: Vec<ConnId> = (1..=102).map(ConnId).collect();
    stage.open(&all);
    for (place, &conn) in all[..100].iter().enumerate() {
        stage.subscribe(conn, CHANNEL, Some(&user(&format!("u{place}"))));
    }
    stage.take(all[99]);
    stage.subscribe(all[100], CHANNEL, Some(&user("one more")));
    assert!(is_error(&stage.take(all[100])[0], 4300, Some(CHANNEL)));
    stage.subscribe(all[100], CHANNEL, Some(&user("u7")));
    let told = stage.take(all[100]);
    assert_eq!(told[0]["data"]["presence"]["count"], 100, "another connection of one of them");
    stage.end(all[5], Reason::Closed);
    stage.subscribe(all[101], CHANNEL, Some(&user("one more")));
    assert_eq!(stage.take(all[101])[0]["data"]["presence"]["count"], 100);
}

/// What a connection knows of a channel, from nothing but what it was told.
#[derive(Default)]
struct Replay(BTreeMap<String, Value>);

impl Replay {
    fn hear(&mut self, told: &Value) -> Result<(), TestCaseError> {
        let data = &told["data"];
        let id = data["user_id"].as_str().unwrap_or_default().to_owned();
        match told["event"].as_str() {
            Some("pusher_internal:subscription_succeeded") => {
                let presence = &data["presence"];
                let hash = presence["hash"].as_object().expect("an object").clone();
                let ids = presence["ids"].as_array().expect("a list").clone();
                let distinct: BTreeSet<_> = ids.iter().filter_map(Value::as_str).collect();
                prop_assert_eq!(distinct, hash.keys().map(String::as_str).collect());
                prop_assert_eq!((ids.len(), &presence["count"]), (hash.len(), &json!(hash.len())));
                self.0 = hash.into_iter().collect();
            }
            Some("pusher_internal:member_added") => {
                let old = self.0.insert(id, data["user_info"].clone());
                prop_assert!(old.is_none(), "added twice: {told}");
            }
            Some("pusher_internal:member_removed") => {
                prop_assert!(self.0.remove(&id).is_some(), "removed but not there: {told}");
            }
            _ => prop_assert!(false, "{told}"),
        }
        Ok(())
    }
}

const CONNECTIONS: u64 = 8;

#[derive(Clone, Debug)]
enum Does {
    Subscribes { user: u8, info: u8 },
    Unsubscribes,
    Ends(Reason),
}

fn does() -> impl Strategy<Value = Does> {
    let reasons = vec![Reason::Closed, Reason::Timeout, Reason::Slow, Reason::Evicted];
    prop_oneof![
        6 => (0..4_u8, 0..3_u8).prop_map(|(user, info)| Does::Subscribes { user, info }),
        3 => Just(Does::Unsubscribes),
        2 => prop::sample::select(reasons).prop_map(Does::Ends),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whoever_replays_what_it_is_told_knows_who_is_there(
        steps in prop::collection::vec((0..CONNECTIONS, does()), 1..120),
    ) {
        let mut stage = Stage::new();
        // Who is there: by connection its user, and by user what its first connection said.
        let mut there: BTreeMap<ConnId, String> = BTreeMap::new();
        let mut infos: BTreeMap<String, Value> = BTreeMap::new();
        let mut replays: BTreeMap<ConnId, Replay> = BTreeMap::new();
        for (who, does) in steps {
            let conn = ConnId(who);
            if !stage.sessions.contains_key(&conn) {
                stage.open(&[conn]);
            }
            match does {
                Does::Subscribes { user, info } => {
                    let user = format!("u{user}");
                    let data = json!({"user_id": user, "user_info": {"n": info}});
                    stage.subscribe(conn, CHANNEL, Some(&data));
                    let user = there.entry(conn).or_insert(user).clone();
                    infos.entry(user).or_insert(json!({"n": info}));
                    replays.entry(conn).or_default();
                }
                Does::Unsubscribes => {
                    stage.unsubscribe(conn, CHANNEL);
                    there.remove(&conn);
                }
                Does::Ends(reason) => {
                    stage.end(conn, reason);
                    there.remove(&conn);
                }
            }
            infos.retain(|user, _| there.values().any(|it| it == user));
            replays.retain(|conn, _| there.contains_key(conn));
            for other in (0..CONNECTIONS).map(ConnId) {
                let told = stage.take(other);
                let Some(replay) = replays.get_mut(&other) else {
                    prop_assert!(told.is_empty(), "{:?} is not there: {:?}", other, told);
                    continue;
                };
                for told in told {
                    replay.hear(&told)?;
                }
                prop_assert_eq!(&replay.0, &infos, "{:?}", other);
            }
        }
        for conn in stage.sessions.keys().copied().collect::<Vec<_>>() {
            stage.end(conn, Reason::Closed);
        }
        prop_assert!(stage.rooms().is_empty());
    }
}
