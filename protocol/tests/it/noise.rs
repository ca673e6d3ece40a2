//! Anything at all, thrown at every dialect: nobody panics, nothing closes that need not, and what goes
//! out is what that dialect says.

use proptest::prelude::*;
use protocol::{
    ConnId, Dialect, Ending, Flow, Frame, Ids, Incoming, Limits, LocalWorld, Now, Opening, Reason,
    Session, events, pusher,
};
use serde_json::{Value, json};

const ANN: ConnId = ConnId(1);
const BOB: ConnId = ConnId(2);
const CY: ConnId = ConnId(3);

fn world() -> LocalWorld {
    LocalWorld::new(Limits::default(), Ids::new([1; 32])).with_app(pusher::App::default())
}

/// Somebody who is in the room of everybody else here. In `chat`, `code` is the one that it joins.
fn member(dialect: Dialect, conn: ConnId, code: &str, world: &LocalWorld) -> Session<ConnId> {
    let opening = match dialect {
        Dialect::Pusher => Opening { name: Some("app-key"), query: "protocol=7" },
        _ => Opening::named(dialect.takes_name().then_some("r")),
    };
    let session = Session::open(dialect, Now::default(), opening, conn, world);
    let mut session = session.expect("everybody is let in");
    let requests = match dialect {
        Dialect::Native => vec![json!({"type": "join", "room": "r"})],
        Dialect::Events => vec![json!({"type": "subscribe", "channel": "r"})],
        Dialect::Chat => {
            let enters = match code {
                "" => json!({"type": "create_room"}),
                code => json!({"type": "join_room", "room_code": code}),
            };
            vec![json!({"type": "set_username", "username": "x"}), enters]
        }
        Dialect::Pusher => {
            let auth =
                pusher::auth::channel(&pusher::App::default(), session.id(), "private-r", None);
            let data = json!({"channel": "private-r", "auth": auth});
            vec![json!({"event": "pusher:subscribe", "data": data})]
        }
        Dialect::Project | Dialect::Rooms => vec![],
    };
    for request in requests {
        let flow = session.received(Now::default(), Incoming::Text(&request.to_string()), world);
        assert_eq!(flow, Flow::Continue);
    }
    session
}

/// Ann sends this, with Bob in the room, and Cy comes after it. Says what becomes of Ann's connection,
/// and what all of them get.
fn throw(dialect: Dialect, message: Incoming<'_>) -> (Flow, [Vec<Frame>; 3]) {
    let world = world();
    let mut ann = member(dialect, ANN, "", &world);
    let code = ann.rooms().next().expect("she is in a room");
    let _bob = member(dialect, BOB, &code, &world);
    drop((world.take(ANN), world.take(BOB)));
    let flow = ann.received(Now::default(), message, &world);
    let got = [world.take(ANN), world.take(BOB)];
    let _cy = member(dialect, CY, &code, &world);
    let [ann, bob] = got;
    (flow, [ann, bob, world.take(CY)])
}

/// Whether it is a message of a dialect that speaks JSON.
fn is_message(dialect: Dialect, frame: &Frame) -> bool {
    let Ok(sent) = serde_json::from_str::<Value>(frame.as_text()) else { return false };
    match dialect {
        Dialect::Rooms => sent.as_object().is_some_and(|fields| fields.len() == 1),
        Dialect::Events => sent["status"].is_string() || sent["type"] == "event",
        Dialect::Pusher => sent["event"].is_string(),
        _ => sent["type"].is_string(),
    }
}

fn is_error(frame: &Frame) -> bool {
    let text = frame.as_text();
    // What is told of a presence or a write may have a code in it, and is no error for that.
    let told = text.contains(r#""code":""#) && !text.contains(r#"Updated":{"#);
    told || text.starts_with(r#"{"event":"pusher:error""#)
}

/// Judges what becomes of this text in each dialect.
fn judge(text: &str) -> Result<(), TestCaseError> {
    for &dialect in Dialect::ALL {
        let (flow, got) = throw(dialect, Incoming::Text(text));
        prop_assert!(!matches!(flow, Flow::Close(_)), "{dialect:?}: {flow:?}");
        let [ann, bob, _] = &got;
        if dialect == Dialect::Project {
            for frames in [ann, bob] {
                prop_assert!(matches!(&frames[..], [one] if one.payload() == text.as_bytes()));
            }
            continue;
        }
        for frame in got.iter().flatten() {
            prop_assert!(is_message(dialect, frame), "{dialect:?}: {}", frame.as_text());
        }
        // What is wrong is answered to whoever sent it, once, and is nobody else's business.
        let errors = ann.iter().filter(|frame| is_error(frame)).count();
        prop_assert!(errors <= 1, "{dialect:?}");
        prop_assert!(errors == 0 || bob.is_empty(), "{dialect:?}");
        if serde_json::from_str::<Value>(text).is_err() {
            prop_assert_eq!(errors, 1, "{:?} says nothing", dialect);
        }
    }
    Ok(())
}

const WORDS: &str = "r x join chat store presence typing read name create leave subscribe unsubscribe \
    pusher:subscribe pusher:unsubscribe pusher:signin pusher:ping client-x private-r presence-r #r \
    set_username create_room join_room stop_typing leave_room JoinRoom LeaveRoom UpdatePresence \
    UpdateStorage Insert Remove Pong Active Idle";

const KEYS: &str = "event auth channel_data user_data user_id user_info type id room code text patch ops put delete key value on seq since epoch membership \
    username capacity if_version x y channel data content room_code cursor_position status JoinRoom \
    LeaveRoom UpdatePresence UpdateStorage Insert Remove Pong";

fn words(all: &'static str) -> impl Strategy<Value = String> {
    let words: Vec<&str> = all.split_whitespace().collect();
    prop::sample::select(words).prop_map(str::to_owned)
}

fn anything() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        words(WORDS).prop_map(Value::from),
        ".{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::vec((words(KEYS), inner), 0..6)
                .prop_map(|fields| fields.into_iter().collect()),
        ]
    })
}

/// A message whose outside is right: what is in it may be anything.
fn dressed() -> impl Strategy<Value = Value> {
    (words(WORDS), words(WORDS), anything(), any::<bool>()).prop_map(
        |(outer, inner, value, deep)| {
            let mut message = value.as_object().cloned().unwrap_or_default();
            let tagged = if deep { json!({inner: value}) } else { value };
            message.retain(|key, _| key.starts_with(|first: char| first.is_ascii_lowercase()));
            message.insert("type".to_owned(), json!(outer));
            message.insert("event".to_owned(), json!(outer));
            message.insert("channel".to_owned(), json!("private-r"));
            message.insert("room".to_owned(), json!("r"));
            message.insert(outer, tagged);
            Value::Object(message)
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_text_makes_any_dialect_panic_or_close(text in any::<String>()) {
        judge(&text)?;
    }

    #[test]
    fn no_json_does_either_whole_or_cut(
        value in prop_oneof![anything(), dressed()],
        cut in any::<prop::sample::Index>(),
    ) {
        let text = value.to_string();
        judge(&text)?;
        let end = text.floor_char_boundary(cut.index(text.len() + 1));
        judge(&text[..end])?;
    }

    #[test]
    fn bytes_close_a_connection_or_come_back_to_it(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        for &dialect in Dialect::ALL {
            let (flow, [ann, bob, _]) = throw(dialect, Incoming::Binary(&bytes));
            prop_assert!(bob.is_empty());
            if dialect == Dialect::Project {
                prop_assert_eq!(flow, Flow::Continue);
                prop_assert!(matches!(&ann[..], [one] if one.payload() == bytes && one.bytes()[0] == 0x82));
            } else {
                prop_assert_eq!(flow, Flow::Close(Ending::NOT_TEXT));
                prop_assert!(ann.is_empty());
            }
        }
    }

    #[test]
    fn nothing_that_is_published_is_more_than_an_event(
        body in prop_oneof![any::<String>(), anything().prop_map(|value| value.to_string())],
        channel in prop_oneof![Just("r".to_owned()), any::<String>()],
    ) {
        let world = world();
        let _ann = member(Dialect::Events, ANN, "", &world);
        world.take(ANN);
        let told = events::publish(Now::default(), &channel, &body, &world);
        let got = world.take(ANN);
        prop_assert_eq!(got.len() as u64, told.unwrap_or(0));
        for frame in got {
            let event: Value = serde_json::from_str(frame.as_text()).expect("JSON");
            let data: Value = serde_json::from_str(&body).expect("only JSON is published");
            prop_assert!(data.is_object() && event["data"] == data && channel == "r");
        }
    }
}

#[test]
fn times_on_a_channel_never_go_back_whoever_looked_at_the_clock_first() {
    let at =
        |seconds| Now::after_start(std::time::Duration::from_secs(seconds), Default::default());
    let world = world();
    let opening = Opening::default();
    let session = Session::open(Dialect::Events, at(1), opening, ANN, &world);
    let mut session = session.expect("everybody is let in");
    let subscribe = |session: &mut Session<ConnId>, seconds, verb: &str| {
        let text = json!({"type": verb, "channel": "c"}).to_string();
        assert_eq!(session.received(at(seconds), Incoming::Text(&text), &world), Flow::Continue);
    };
    let told = |seconds| {
        world.take(ANN);
        assert_eq!(events::publish(at(seconds), "c", "{}", &world), Ok(1));
        let event: Value = serde_json::from_str(world.take(ANN)[0].as_text()).expect("JSON");
        event["timestamp"].as_str().expect("a time").to_owned()
    };
    subscribe(&mut session, 1, "subscribe");
    assert_eq!(told(5), "1970-01-01T00:00:05.000Z");
    // This one looked at the clock before, and came to publish after.
    assert_eq!(told(3), "1970-01-01T00:00:05.000Z");
    subscribe(&mut session, 6, "unsubscribe");
    subscribe(&mut session, 7, "subscribe");
    assert_eq!(told(4), "1970-01-01T00:00:07.000Z", "later than all that it was told before");
    assert_eq!(told(9), "1970-01-01T00:00:09.000Z");
}

#[test]
fn a_room_ends_with_its_last_member_whoever_looked_at_the_clock_first() {
    let at =
        |seconds| Now::after_start(std::time::Duration::from_secs(seconds), Default::default());
    for dialect in
        [Dialect::Project, Dialect::Rooms, Dialect::Chat, Dialect::Events, Dialect::Pusher]
    {
        let world = world();
        let mut ann = member(dialect, ANN, "", &world);
        let code = ann.rooms().next().expect("she is in a room");
        let mut bob = member(dialect, BOB, &code, &world);
        assert_eq!(world.rooms().len(), 1);
        bob.end(at(9), Reason::Closed, &world);
        ann.end(at(9), Reason::Closed, &world);
        assert_eq!(world.rooms().len(), 0, "{dialect:?}");
        assert_eq!(world.next_wake(), None, "{dialect:?}: nothing is awaited");
        // At zero, by a clock that was looked at before.
        drop((world.take(CY), member(dialect, CY, &code, &world)));
        let alone = dialect != Dialect::Chat;
        assert_eq!(
            world.rooms().values().map(|room| room.count()).sum::<usize>(),
            usize::from(alone)
        );
    }
}
