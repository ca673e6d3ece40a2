//! Events between clients: where, to whom, as what, and how many.

use protocol::pusher::App;
use serde_json::{Value, json};

use super::{A, B, C, Stage, is_error, seconds, user};

fn say(stage: &mut Stage, channel: &str, data: &Value) {
    let event = json!({"event": "client-x", "channel": channel, "data": data});
    stage.say(A, &event.to_string());
}

#[test]
fn what_a_client_says_is_for_the_others_and_stays_as_it_was_sent() {
    let mut stage = Stage::new();
    stage.open(&[A, B, C]);
    for conn in [A, B] {
        stage.subscribe(conn, "private-x", None);
        stage.take(conn);
    }
    stage.subscribe(C, "private-y", None);
    stage.take(C);
    for data in ["{\"a\": [1, 2.50]}", "\"text\"", "\"{\\\"a\\\":1}\"", "7", "null", "[]", "1.50e3"]
    {
        stage.say(
            A,
            &format!(r#"{{"event":"client-x","data":{data},"channel":"private-x","extra":1}}"#),
        );
        let frames = stage.world.take(B);
        let expected = format!(r#"{{"event":"client-x","channel":"private-x","data":{data}}}"#);
        assert!(matches!(&frames[..], [only] if only.as_text() == expected), "{data}: {frames:?}");
        assert!(stage.take(A).is_empty() && stage.take(C).is_empty());
        stage.wait(seconds(1));
    }
}

#[test]
fn in_presence_channels_it_comes_with_who_said_it() {
    let mut stage = Stage::new();
    stage.open(&[A, B]);
    stage.subscribe(A, "presence-x", Some(&json!({"user_id": 10})));
    stage.subscribe(B, "presence-x", Some(&user("b")));
    stage.take(B);
    // Whatever the client calls itself.
    stage.say(A, r#"{"event":"client-x","channel":"presence-x","data":{},"user_id":"b"}"#);
    let frames = stage.world.take(B);
    assert_eq!(
        frames[0].as_text(),
        r#"{"event":"client-x","channel":"presence-x","data":{},"user_id":"10"}"#
    );
}

#[test]
fn it_is_for_members_of_private_and_presence_channels_alone() {
    let mut stage = Stage::new();
    stage.open(&[A, B]);
    for channel in ["news", "private-x", "private-encrypted-x"] {
        stage.subscribe(B, channel, None);
    }
    stage.take(B);
    for subscribed in [false, true] {
        for channel in ["news", "private-x", "private-encrypted-x", "privateer", "#x", ""] {
            let is_private = channel == "private-x";
            if subscribed && !is_private {
                stage.subscribe(A, channel, None);
                stage.take(A);
            }
            if subscribed && is_private {
                continue;
            }
            say(&mut stage, channel, &json!({}));
            let told = stage.take(A);
            assert!(matches!(&told[..], [told] if is_error(told, 4009, Some(channel))), "{told:?}");
            assert!(stage.take(B).is_empty());
        }
    }
}

#[test]
fn what_is_no_event_of_a_client_is_refused() {
    let mut stage = Stage::new();
    stage.open(&[A, B]);
    for conn in [A, B] {
        stage.subscribe(conn, "private-x", None);
        stage.take(conn);
    }
    let channel = Some("private-x");
    let long = format!("client-{}", "x".repeat(194));
    for (event, channel) in [
        (json!({"event": "client-x", "channel": "private-x"}), channel),
        (json!({"event": "client-x", "data": {}}), None),
        (json!({"event": "client-x", "channel": 7, "data": {}}), None),
        (json!({"event": long, "channel": "private-x", "data": {}}), channel),
        (json!({"event": "client-x", "channel": "private-x", "data": "x".repeat(10_241)}), channel),
        (
            json!({"event": "client-x", "channel": "private-x", "data": ["x".repeat(10_237)]}),
            channel,
        ),
    ] {
        stage.say(A, &event.to_string());
        let told = stage.take(A);
        assert!(matches!(&told[..], [told] if is_error(told, 4301, channel)), "{told:?}");
    }
    assert!(stage.take(B).is_empty());
    for event in [
        json!({"event": &long[..200], "channel": "private-x", "data": {}}),
        json!({"event": "client-x", "channel": "private-x", "data": "x".repeat(10_240)}),
        json!({"event": "client-x", "channel": "private-x", "data": ["x".repeat(10_236)]}),
    ] {
        stage.say(A, &event.to_string());
        assert_eq!((stage.take(A).len(), stage.take(B).len()), (0, 1));
    }
    let mut off = Stage::with(App { client_events: false, ..App::default() });
    off.open(&[A]);
    off.subscribe(A, "private-x", None);
    off.take(A);
    say(&mut off, "private-x", &json!({}));
    let told = off.take(A);
    assert!(is_error(&told[0], 4301, channel), "{told:?}");
}

#[test]
fn ten_in_any_second_are_passed_on_and_the_next_is_refused() {
    let mut stage = Stage::new();
    stage.open(&[A, B]);
    for conn in [A, B] {
        stage.subscribe(conn, "private-x", None);
        stage.take(conn);
    }
    let burst = |stage: &mut Stage, count: usize| {
        for n in 0..count {
            say(stage, "private-x", &json!(n));
        }
        (stage.take(A).len(), stage.take(B).len())
    };
    // What is refused anyway counts for nothing.
    for _ in 0..20 {
        say(&mut stage, "private-y", &json!({}));
    }
    stage.take(A);
    assert_eq!(burst(&mut stage, 4), (0, 4));
    stage.wait(seconds(1) / 2);
    assert_eq!(burst(&mut stage, 7), (1, 6));
    stage.wait(seconds(1) / 2);
    assert_eq!(burst(&mut stage, 5), (1, 4), "the first four are a second old");
    stage.wait(seconds(1));
    say(&mut stage, "private-x", &json!({}));
    assert_eq!(stage.take(B).len(), 1);
    assert_eq!(burst(&mut stage, 30), (21, 9));
}
