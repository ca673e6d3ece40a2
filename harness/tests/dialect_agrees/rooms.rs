//! `rooms`: presence, and a storage in which what is said is one key.

use harness::dialect::{EventKind, Verb};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::seed::{Bench, CLIENTS, Told, assert_read, of};

#[derive(Clone, Debug)]
enum Step {
    Join(usize, String),
    Leave(usize),
    Say(usize, String),
    Presence(usize, Value),
    Store(usize, Vec<Value>),
    Pong(usize),
    Cut(usize),
}

fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<i32>().prop_map(Value::from),
        "\\PC{0,8}".prop_map(Value::from),
        prop::collection::btree_map("[a-z]{1,3}", any::<bool>(), 0..3).prop_map(|map| json!(map)),
    ]
}

fn op() -> impl Strategy<Value = Value> {
    let key = prop_oneof!["[ab]", Just("said".to_owned())];
    prop_oneof![
        (key.clone(), value()).prop_map(|(k, v)| json!({"put": {"key": k, "value": v}})),
        key.prop_map(|key| json!({"delete": {"key": key}})),
    ]
}

fn patch() -> impl Strategy<Value = Value> {
    let status = prop_oneof![Just("Active"), Just("Idle"), Just("Away")];
    let cursor = (any::<i16>(), any::<i16>()).prop_map(|(x, y)| json!({"x": x, "y": y}));
    prop_oneof![
        status.prop_map(|status| json!({ "status": status })),
        cursor.prop_map(|cursor| json!({ "cursor_position": cursor })),
        any::<u8>().prop_map(|n| json!({ "change": n })),
        Just(json!({ "status": null })),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let who = 0..CLIENTS;
    prop_oneof![
        4 => (who.clone(), "[RS]").prop_map(|(who, room)| Step::Join(who, room)),
        2 => who.clone().prop_map(Step::Leave),
        6 => (who.clone(), "\\PC{0,12}").prop_map(|(who, text)| Step::Say(who, text)),
        4 => (who.clone(), patch()).prop_map(|(who, patch)| Step::Presence(who, patch)),
        4 => (who.clone(), prop::collection::vec(op(), 1..3)).prop_map(|(who, ops)| Step::Store(who, ops)),
        1 => who.clone().prop_map(Step::Pong),
        1 => who.prop_map(Step::Cut),
    ]
}

/// Every frame is read from where it says something, and from nowhere else.
fn assert_meant(told: &Told) {
    let name = told.frame.as_object().and_then(|it| it.keys().next().cloned());
    match name.as_deref().unwrap_or_default() {
        "RoomJoined" => {
            assert_eq!(told.event.means.own, Some(EventKind::Entered));
            assert_read(
                told,
                &[("room", "/RoomJoined/room_id"), ("member", "/RoomJoined/client_id")],
            );
        }
        "RoomLeft" => {
            assert_eq!(told.event.means.own, Some(EventKind::Exited));
            assert_read(told, &[("room", "/RoomLeft/room_id"), ("member", "/RoomLeft/client_id")]);
        }
        "PresenceUpdated" => assert_read(
            told,
            &[
                ("member", "/PresenceUpdated/client_id"),
                ("at", "/PresenceUpdated/timestamp"),
                ("state", "/PresenceUpdated/presence"),
            ],
        ),
        "StorageUpdated" => {
            assert!(told.is(EventKind::Stored));
            let update = &told.frame["StorageUpdated"];
            assert_eq!(
                (told.field("version"), told.field("number")),
                (update["version"].clone(), update["version"].clone())
            );
            let op = |op: &Value| match (op.get("Insert"), op.get("Remove")) {
                (Some(insert), _) => json!({ "put": insert }),
                (_, remove) => json!({ "delete": remove }),
            };
            let operations = update["operations"].as_array().expect("a list");
            assert_eq!(told.field("ops"), operations.iter().map(op).collect::<Value>());
            let said = |op: &Value| op["Insert"]["key"] == "said";
            let is_message = operations.len() == 1 && said(&operations[0]);
            assert_eq!(told.is(EventKind::Message), is_message, "{}", told.frame);
            if is_message {
                assert_eq!(told.field("text"), operations[0]["Insert"]["value"]);
            }
        }
        "Error" => assert_read(told, &[("code", "/Error/code"), ("reason", "/Error/message")]),
        _ => assert_eq!(told.frame, json!("Ping")),
    }
}

/// The rooms as this test thinks of them.
#[derive(Default)]
struct Model {
    inside: [Option<String>; CLIENTS],
}

impl Model {
    fn members(&self, room: &str) -> Vec<usize> {
        (0..CLIENTS).filter(|it| self.inside[*it].as_deref() == Some(room)).collect()
    }
}

fn run(bench: &mut Bench, model: &mut Model, step: &Step) {
    let told = match step {
        Step::Join(who, room) => {
            let (_, told) = bench.ask(*who, Verb::Join, &json!({ "room": room }));
            if model.inside[*who].is_some() {
                assert_eq!(codes(&told), [json!("already_in_room")]);
            } else {
                model.inside[*who] = Some(room.clone());
                let told = of(&told, EventKind::Joined);
                assert_eq!(clients(&told), model.members(room), "all are told, it too");
                assert!(told.iter().all(|told| told.field("room") == json!(room)));
            }
            told
        }
        Step::Leave(who) => {
            let room = model.inside[*who].clone();
            let (_, told) = bench.ask(*who, Verb::Leave, &json!({ "room": room }));
            left(model, *who, &told);
            told
        }
        Step::Say(who, text) => {
            let (_, told) = bench.ask(*who, Verb::Say, &json!({ "text": text }));
            if let Some(room) = model.inside[*who].clone() {
                let heard = of(&told, EventKind::Message);
                assert_eq!(clients(&heard), model.members(&room));
                assert!(heard.iter().all(|told| told.field("text") == json!(text)));
            }
            told
        }
        Step::Presence(who, patch) => {
            let (_, told) = bench.ask(*who, Verb::Presence, &json!({ "patch": patch }));
            if let Some(room) = model.inside[*who].clone() {
                let seen = of(&told, EventKind::Presence);
                assert_eq!(clients(&seen), model.members(&room));
            }
            told
        }
        Step::Store(who, ops) => {
            let (_, told) = bench.ask(*who, Verb::Store, &json!({ "ops": ops }));
            if let Some(room) = model.inside[*who].clone() {
                let stored = of(&told, EventKind::Stored);
                let own: Vec<Value> = stored
                    .iter()
                    .filter(|it| it.client == *who)
                    .map(|it| it.field("ops"))
                    .collect();
                // A Remove of what is not there is refused; everything else is done as asked.
                let refused = of(&told, EventKind::Error);
                assert!(refused.iter().all(|it| it.event.means.refuses == Some(Verb::Store)));
                assert_eq!(own.len() + refused.len(), ops.len());
                assert!(own.iter().all(|done| ops.iter().any(|op| *done == json!([op]))));
                assert_eq!(stored.len(), own.len() * model.members(&room).len());
            }
            told
        }
        Step::Pong(who) => bench.ask(*who, Verb::Pong, &json!({})).1,
        Step::Cut(who) => {
            let told = bench.cut(*who);
            if let Some(room) = model.inside[*who].take() {
                assert_eq!(clients(&of(&told, EventKind::Left)), model.members(&room));
            }
            bench.open(*who, None);
            told
        }
    };
    told.iter().for_each(assert_meant);
}

fn left(model: &mut Model, who: usize, told: &[Told]) {
    match model.inside[who].clone() {
        Some(room) => {
            assert_eq!(clients(&of(told, EventKind::Left)), model.members(&room), "all are told");
            model.inside[who] = None;
        }
        None => assert_eq!(codes(told), [json!("client_not_found")]),
    }
}

fn codes(told: &[Told]) -> Vec<Value> {
    of(told, EventKind::Error).iter().map(|told| told.field("code")).collect()
}

fn clients(told: &[&Told]) -> Vec<usize> {
    told.iter().map(|told| told.client).collect()
}

fn bench() -> Bench {
    let mut bench = Bench::new(protocol::Dialect::Rooms);
    for client in 0..CLIENTS {
        assert!(bench.open(client, None).is_empty(), "nobody is greeted");
    }
    bench
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn the_dialect_file_and_the_server_mean_the_same(
        steps in prop::collection::vec(step(), 1..60),
    ) {
        let (mut bench, mut model) = (bench(), Model::default());
        for step in &steps {
            run(&mut bench, &mut model, step);
        }
    }
}

/// A newcomer is told everything in the shapes that changes have.
#[test]
fn a_newcomer_is_told_presences_and_the_whole_content() {
    let mut bench = bench();
    bench.ask(0, Verb::Join, &json!({"room": "R"}));
    bench.ask(0, Verb::Presence, &json!({"patch": {"status": "Idle"}}));
    bench.ask(0, Verb::Say, &json!({"text": "hi"}));
    bench.ask(0, Verb::Store, &json!({"ops": [{"put": {"key": "k", "value": [1]}}]}));
    let (_, told) = bench.ask(1, Verb::Join, &json!({"room": "R"}));
    let own: Vec<&Told> = told.iter().filter(|told| told.client == 1).collect();
    let kinds: Vec<EventKind> = own.iter().map(|told| told.event.kind).collect();
    assert_eq!(kinds, [EventKind::Joined, EventKind::Presence, EventKind::Stored]);
    assert_eq!(own[2].field("version"), json!(2));
    let mut keys: Vec<Value> = own[2]
        .field("ops")
        .as_array()
        .expect("ops")
        .iter()
        .map(|op| op["put"]["key"].clone())
        .collect();
    keys.sort_by_key(ToString::to_string);
    assert_eq!(keys, [json!("k"), json!("said")]);
    assert!(bench.file.snapshot.contains(&EventKind::Stored));
}

/// The heartbeat's own words.
#[test]
fn the_tick_pings_in_words_too() {
    let mut bench = bench();
    let beat = protocol::Dialect::Rooms.beat();
    let words: Vec<&protocol::Frame> =
        beat.iter().filter(|frame| frame.bytes()[0] == 0x81).collect();
    assert_eq!(words.len(), 1);
    let harness::dialect::Decoded::Event(ping) = bench.file.decode(words[0].as_text()) else {
        panic!("it is known")
    };
    assert_eq!((ping.kind, ping.means.reply), (EventKind::Ping, Some(Verb::Pong)));
    let (_, pong) = bench.request(Verb::Pong, &json!({}));
    assert_eq!(pong.frames, ["\"Pong\""]);
}
