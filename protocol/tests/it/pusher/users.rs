//! Signing in as a user, and what is said to a user or done to all of its connections.

use protocol::pusher::{api, auth};
use protocol::{ConnId, Reason};
use serde_json::json;

use super::{A, B, C, Stage, is_error};

const OWN: &str = "#server-to-user-12345";
const DATA: &str = r#"{"id":"12345"}"#;

#[test]
fn who_signs_in_is_told_so_with_what_it_said() {
    let mut stage = Stage::new();
    stage.open(&[A]);
    stage.sign_in(A, DATA);
    let frames = stage.world.take(A);
    assert_eq!(
        frames[0].as_text(),
        r#"{"event":"pusher:signin_success","data":"{\"user_data\":\"{\\\"id\\\":\\\"12345\\\"}\"}"}"#
    );
    stage.sign_in(A, DATA);
    assert_eq!(stage.heard(A), ["pusher:signin_success"], "again");
    stage.sign_in(A, r#"{"id":"other"}"#);
    assert!(is_error(&stage.take(A)[0], 4009, None), "one connection is one user");
}

#[test]
fn nobody_signs_in_without_the_backends_word() {
    let mut stage = Stage::new();
    stage.open(&[A, B]);
    let other = auth::user(&stage.app, &stage.id(B), DATA);
    let told = stage.ask(A, "pusher:signin", &json!({"auth": other, "user_data": DATA}));
    assert!(is_error(&told, 4009, None), "{told}");
    let right = auth::user(&stage.app, &stage.id(A), DATA);
    let told = stage.ask(A, "pusher:signin", &json!({"auth": right, "user_data": r#"{"id":"1"}"#}));
    assert!(is_error(&told, 4009, None), "{told}");
    let told = stage.ask(A, "pusher:signin", &json!({"auth": right}));
    assert!(is_error(&told, 4200, None), "{told}");
    for data in ["x", "{}", r#"{"id":""}"#, r#"{"id":null}"#] {
        stage.sign_in(A, data);
        let told = stage.take(A);
        assert!(is_error(&told[0], 4009, None), "{data}: {told:?}");
    }
    assert!(stage.rooms().is_empty());
}

#[test]
fn the_channel_of_a_user_is_for_nobody_else() {
    let mut stage = Stage::new();
    stage.open(&[A, B, C]);
    let subscribe = json!({"channel": OWN, "auth": ""});
    let told = stage.ask(A, "pusher:subscribe", &subscribe);
    assert!(is_error(&told, 4009, Some(OWN)), "not signed in: {told}");
    for conn in [A, B] {
        stage.sign_in(conn, DATA);
    }
    stage.sign_in(C, r#"{"id":"1"}"#);
    stage.take(C);
    let told = stage.ask(C, "pusher:subscribe", &subscribe);
    assert!(is_error(&told, 4009, Some(OWN)), "signed in as another: {told}");
}

#[test]
fn what_is_said_to_a_user_reaches_who_subscribed_until_it_unsubscribes() {
    let mut stage = Stage::new();
    stage.open(&[A, B]);
    for conn in [A, B] {
        stage.sign_in(conn, DATA);
        stage.take(conn);
    }
    let event = json!({"name": "news", "channel": OWN, "data": "you"});
    stage.publish(&event);
    assert!(stage.take(A).is_empty(), "it has not subscribed");
    let told = stage.ask(A, "pusher:subscribe", &json!({"channel": OWN, "auth": ""}));
    assert_eq!(told["event"], "pusher_internal:subscription_succeeded");
    stage.publish(&event);
    assert_eq!(stage.take(A), [json!({"event": "news", "channel": OWN, "data": "you"})]);
    assert!(stage.take(B).is_empty());
    // Clients say nothing there.
    stage.say(A, &json!({"event": "client-x", "channel": OWN, "data": {}}).to_string());
    assert!(is_error(&stage.take(A)[0], 4009, Some(OWN)));
    stage.unsubscribe(A, OWN);
    stage.publish(&event);
    assert!(stage.take(A).is_empty());
    for conn in [A, B] {
        stage.end(conn, Reason::Closed);
    }
    assert!(stage.rooms().is_empty());
}

#[test]
fn all_connections_of_a_user_are_found_whatever_they_subscribed_to() {
    let mut stage = Stage::new();
    stage.open(&[A, B, C]);
    for conn in [A, B] {
        stage.sign_in(conn, DATA);
        stage.take(conn);
    }
    stage.ask(A, "pusher:subscribe", &json!({"channel": OWN}));
    let found = |stage: &Stage, user| -> Vec<ConnId> {
        api::connections_of(&stage.app, user, &stage.world)
    };
    assert_eq!(found(&stage, "12345"), [A, B]);
    assert_eq!(found(&stage, "1"), []);
    stage.end(A, Reason::Evicted);
    assert_eq!(found(&stage, "12345"), [B]);
}
