//! The HTTP API and the backend's endpoints, after HTTP.

use std::sync::Arc;

use proptest::prelude::*;
use protocol::Reason;
use protocol::pusher::api::{self, Refused};
use protocol::pusher::backend::{self, Fields};
use protocol::pusher::{App, auth};
use serde_json::{Value, json};

use super::{A, B, C, Stage, seconds, user};

type Answer = Result<Value, u16>;

fn read(answer: Result<String, Refused>) -> Answer {
    let answer = answer.map_err(|refused| {
        assert!(!refused.message.is_empty());
        refused.status
    })?;
    Ok(serde_json::from_str(&answer).expect("JSON"))
}

impl Stage {
    fn post(&self, body: &str) -> Answer {
        read(api::events(self.now(), &self.app, body, &self.world))
    }

    fn batch(&self, body: &Value) -> Answer {
        read(api::batch_events(self.now(), &self.app, &body.to_string(), &self.world))
    }

    fn channels(&self, query: &[(&str, &str)]) -> Answer {
        read(api::channels(&self.app, &owned(query), &self.world))
    }

    fn channel(&self, name: &str, info: &str) -> Answer {
        read(api::channel(self.now(), &self.app, name, &owned(&[("info", info)]), &self.world))
    }

    fn users(&self, name: &str) -> Answer {
        read(api::users(&self.app, name, &self.world))
    }
}

fn owned(query: &[(&str, &str)]) -> Vec<(String, String)> {
    query.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect()
}

#[test]
fn an_event_reaches_each_subscriber_of_each_channel_once_as_it_is() {
    let mut stage = Stage::new();
    stage.open(&[A, B, C]);
    for (conn, channel) in [(A, "one"), (A, "two"), (B, "two"), (C, "three")] {
        stage.subscribe(conn, channel, None);
    }
    for conn in [A, B, C] {
        stage.take(conn);
    }
    for data in ["plain", r#"{"n": 1}"#, "", "\"", "é\u{1F600}\n"] {
        let body = json!({"name": "news", "channels": ["one", "two", "two"], "data": data});
        assert_eq!(stage.publish(&body), json!({}));
        let frames = [stage.world.take(A), stage.world.take(B)].map(|frames| {
            frames
                .iter()
                .map(|it| serde_json::from_str(it.as_text()).expect("JSON"))
                .collect::<Vec<Value>>()
        });
        let event = |channel| json!({"event": "news", "channel": channel, "data": data});
        assert_eq!(frames, [vec![event("one"), event("two")], vec![event("two")]]);
        assert!(stage.take(C).is_empty());
    }
    // All but the one that caused it.
    let body = json!({"name": "news", "channel": "two", "data": "x", "socket_id": stage.id(A)});
    stage.publish(&body);
    assert_eq!((stage.take(A).len(), stage.take(B).len()), (0, 1));
    let body = json!({"name": "news", "channel": "two", "data": "x", "socket_id": "1.1"});
    stage.publish(&body);
    assert_eq!((stage.take(A).len(), stage.take(B).len()), (1, 1), "nobody has that id");
}

#[test]
fn what_is_no_event_is_refused_and_nothing_is_published() {
    let mut stage = Stage::new();
    stage.open(&[A]);
    stage.subscribe(A, "x", None);
    stage.take(A);
    let right = json!({"name": "news", "channel": "x", "data": "d"});
    let with = |name: &str, value: Value| {
        let mut body = right.clone();
        body[name] = value;
        body.to_string()
    };
    let without = |name: &str| {
        let mut body = right.clone();
        body.as_object_mut().expect("an object").remove(name);
        body.to_string()
    };
    let many: Vec<String> = (0..101).map(|n| format!("c{n}")).collect();
    let (large, largest) = ("x".repeat(10_241), "x".repeat(10_240));
    let to_many =
        |count: usize| json!({"name": "news", "channels": &many[..count], "data": "d"}).to_string();
    for (body, status) in [
        (String::new(), 400),
        ("{".to_owned(), 400),
        (r#"["news","d","x"]"#.to_owned(), 400),
        (without("name"), 400),
        (without("data"), 400),
        (without("channel"), 400),
        (with("name", json!("")), 400),
        (with("name", json!("x".repeat(201))), 400),
        (with("name", json!(7)), 400),
        (with("data", json!({})), 400),
        (with("data", json!(large)), 413),
        (with("channel", json!("a b")), 400),
        (with("channel", json!("#x")), 400),
        (with("channel", json!("x".repeat(165))), 400),
        (with("channels", json!(["x"])), 400),
        (with("socket_id", json!("x")), 400),
        (json!({"name": "news", "channels": [], "data": "d"}).to_string(), 400),
        (json!({"name": "news", "channels": ["x", ""], "data": "d"}).to_string(), 400),
        (to_many(101), 400),
    ] {
        assert_eq!(stage.post(&body), Err(status), "{body}");
        assert!(stage.take(A).is_empty(), "{body}");
    }
    for body in [with("data", json!(largest)), with("name", json!("x".repeat(200))), to_many(100)] {
        assert_eq!(stage.post(&body), Ok(json!({})), "{body}");
    }
    assert_eq!(stage.take(A).len(), 2);
}

#[test]
fn a_batch_is_published_in_order_or_not_at_all() {
    let mut stage = Stage::new();
    stage.open(&[A]);
    for channel in ["x", "y"] {
        stage.subscribe(A, channel, None);
    }
    stage.take(A);
    let event =
        |channel: &str, n: usize| json!({"name": "n", "channel": channel, "data": n.to_string()});
    let ten: Vec<Value> = (0..10).map(|n| event(["x", "y"][n % 2], n)).collect();
    assert_eq!(stage.batch(&json!({"batch": ten})), Ok(json!({"batch": vec![json!({}); 10]})));
    let heard: Vec<_> = stage.take(A).into_iter().map(|told| told["data"].clone()).collect();
    assert_eq!(heard, (0..10).map(|n| json!(n)).collect::<Vec<_>>());
    let large = json!({"name": "n", "channel": "x", "data": "x".repeat(10_241)});
    for (batch, status) in [
        (json!({"batch": []}), 400),
        (json!({"batch": vec![event("x", 1); 11]}), 400),
        (json!({"batch": [event("x", 1), event("", 2)]}), 400),
        (json!({"batch": [event("x", 1), {"name": "n", "channels": ["x"], "data": ""}]}), 400),
        (json!({"batch": [event("x", 1), large]}), 413),
        (json!({"batch": [event("x", 1), 7]}), 400),
        (json!({"batch": event("x", 1)}), 400),
        (json!({}), 400),
        (json!([]), 400),
    ] {
        assert_eq!(stage.batch(&batch), Err(status), "{batch}");
        assert!(stage.take(A).is_empty(), "{batch}");
    }
}

#[test]
fn a_publisher_is_told_how_many_there_are_if_it_asks() {
    let mut stage = Stage::new();
    stage.open(&[A, B, C]);
    for conn in [A, B] {
        stage.subscribe(conn, "presence-x", Some(&user("same")));
    }
    stage.subscribe(C, "presence-x", Some(&user("c")));
    stage.subscribe(C, "news", None);
    let body = json!({"name": "n", "channels": ["news", "presence-x", "empty"], "data": "",
        "info": "user_count,subscription_count"});
    let counts = json!({"channels": {
        "presence-x": {"user_count": 2, "subscription_count": 3},
        "news": {"subscription_count": 1},
        "empty": {"subscription_count": 0},
    }});
    assert_eq!(stage.publish(&body), counts);
    let batch = json!({"batch": [
        {"name": "n", "channel": "presence-x", "data": "", "info": "user_count"},
        {"name": "n", "channel": "news", "data": ""},
    ]});
    assert_eq!(stage.batch(&batch), Ok(json!({"batch": [{"user_count": 2}, {}]})));
}

#[test]
fn channels_are_listed_while_they_are_occupied() {
    let mut stage = Stage::new();
    stage.open(&[A, B]);
    assert_eq!(stage.channels(&[]), Ok(json!({"channels": {}})));
    for conn in [A, B] {
        stage.subscribe(conn, "presence-a", Some(&user("same")));
    }
    stage.subscribe(A, "presence-b", Some(&user("a")));
    stage.subscribe(A, "news", None);
    stage.sign_in(A, r#"{"id":"a"}"#);
    stage.publish(&json!({"name": "n", "channel": "cache-x", "data": ""}));
    let all = json!({"channels": {"news": {}, "presence-a": {}, "presence-b": {}}});
    assert_eq!(stage.channels(&[]), Ok(all));
    let counted = json!({"channels": {
        "presence-a": {"user_count": 1, "subscription_count": 2},
        "presence-b": {"user_count": 1, "subscription_count": 1},
    }});
    let both = [("filter_by_prefix", "presence-"), ("info", "user_count,subscription_count")];
    assert_eq!(stage.channels(&both), Ok(counted));
    let one = [("filter_by_prefix", "presence-b")];
    assert_eq!(stage.channels(&one), Ok(json!({"channels": {"presence-b": {}}})));
    let none = [("filter_by_prefix", "private-")];
    assert_eq!(stage.channels(&none), Ok(json!({"channels": {}})));
    for prefix in [None, Some("news"), Some("private-"), Some("presence")] {
        let mut query = vec![("info", "user_count")];
        query.extend(prefix.map(|prefix| ("filter_by_prefix", prefix)));
        assert_eq!(stage.channels(&query), Err(400), "{prefix:?}");
    }
    stage.end(A, Reason::Closed);
    assert_eq!(stage.channels(&[]), Ok(json!({"channels": {"presence-a": {}}})));
}

#[test]
fn applications_share_nothing() {
    let mut stage = Stage::new();
    stage.open(&[A]);
    stage.subscribe(A, "news", None);
    stage.take(A);
    for id in ["11", "", "2"] {
        let other = Arc::new(App::new(id, "k", "s"));
        let body = r#"{"name":"n","channel":"news","data":""}"#;
        assert_eq!(read(api::events(stage.now(), &other, body, &stage.world)), Ok(json!({})));
        assert_eq!(
            read(api::channels(&other, &[], &stage.world)),
            Ok(json!({"channels": {}})),
            "{id}"
        );
    }
    assert!(stage.take(A).is_empty());
}

#[test]
fn a_channel_is_asked_for_what_it_can_have() {
    let mut stage = Stage::new();
    stage.open(&[A, B]);
    let state = |stage: &Stage, name, info| stage.channel(name, info);
    assert_eq!(state(&stage, "news", ""), Ok(json!({"occupied": false})));
    stage.subscribe(A, "news", None);
    assert_eq!(state(&stage, "news", ""), Ok(json!({"occupied": true})));
    let counted = json!({"occupied": true, "subscription_count": 1});
    assert_eq!(state(&stage, "news", "subscription_count"), Ok(counted));
    for conn in [A, B] {
        stage.subscribe(conn, "presence-x", Some(&user("same")));
    }
    let counted = json!({"occupied": true, "user_count": 1, "subscription_count": 2});
    assert_eq!(state(&stage, "presence-x", "subscription_count,user_count"), Ok(counted));
    let counted = json!({"occupied": false, "user_count": 0, "subscription_count": 0});
    assert_eq!(state(&stage, "presence-y", "subscription_count,user_count"), Ok(counted));
    for (name, info) in [("news", "user_count"), ("news", "cache"), ("a b", ""), ("#x", "")] {
        assert_eq!(state(&stage, name, info), Err(400), "{name} {info}");
    }
    stage.end(A, Reason::Closed);
    assert_eq!(state(&stage, "news", ""), Ok(json!({"occupied": false})));
    // What is kept is shown with the time that it has left, whoever is there.
    assert_eq!(state(&stage, "cache-x", "cache"), Ok(json!({"occupied": false})));
    stage.publish(&json!({"name": "n", "channel": "cache-x", "data": "te\"xt"}));
    stage.wait(seconds(60));
    let kept = json!({"occupied": false, "cache": {"data": "te\"xt", "ttl": 29 * 60}});
    assert_eq!(state(&stage, "cache-x", "cache"), Ok(kept));
    // Whoever asks at the very end gets nothing any more, even before any tick.
    stage.clock += seconds(29 * 60);
    assert_eq!(state(&stage, "cache-x", "cache"), Ok(json!({"occupied": false})));
}

#[test]
fn the_users_of_a_presence_channel_are_listed_once_each() {
    let mut stage = Stage::new();
    stage.open(&[A, B, C]);
    for (conn, id) in [(A, json!(10)), (B, json!("b")), (C, json!("10"))] {
        stage.subscribe(conn, "presence-x", Some(&json!({"user_id": id})));
    }
    let two = json!({"users": [{"id": "10"}, {"id": "b"}]});
    assert_eq!(stage.users("presence-x"), Ok(two));
    assert_eq!(stage.users("presence-y"), Ok(json!({"users": []})));
    for name in ["news", "private-x", "a b"] {
        assert_eq!(stage.users(name), Err(400), "{name}");
    }
}

fn fields(text: &str) -> Fields {
    Fields::form(text.as_bytes())
}

#[test]
fn what_the_backend_says_lets_the_client_subscribe() {
    let mut stage = Stage::new();
    stage.open(&[A]);
    let id = stage.id(A);
    let body = json!({"socket_id": id, "channel_name": "presence-x", "user_id": "u", "user_info": {"n": 1}});
    let form = form(&[
        ("socket_id", &id),
        ("channel_name", "presence-x"),
        ("user_id", "u"),
        ("user_info", r#"{"n":1}"#),
    ]);
    for fields in [fields(&form), Fields::json(&body.to_string()).expect("an object")] {
        let answer = read(backend::channel(&stage.app, &fields)).expect("it may");
        let mut data = answer.clone();
        data["channel"] = json!("presence-x");
        let told = stage.ask(A, "pusher:subscribe", &data);
        assert_eq!(told["data"]["presence"]["hash"], json!({"u": {"n": 1}}));
        stage.unsubscribe(A, "presence-x");
    }
    // Without a user, the connection is one.
    let answer = read(backend::channel(
        &stage.app,
        &fields(&format!("socket_id={id}&channel_name=presence-x")),
    ));
    assert_eq!(answer.expect("it may")["channel_data"], json!({"user_id": id}).to_string());
    let answer = read(backend::channel(
        &stage.app,
        &fields(&format!("socket_id={id}&channel_name=private-x")),
    ));
    let right = auth::channel(&stage.app, &id, "private-x", None);
    assert_eq!(answer, Ok(json!({"auth": right})));
    let answer = read(backend::user(&stage.app, &fields(&format!("socket_id={id}&user_id=7"))))
        .expect("it may");
    assert_eq!(stage.ask(A, "pusher:signin", &answer)["event"], "pusher:signin_success");
}

/// Fields as a form has them.
fn form(fields: &[(&str, &str)]) -> String {
    let escape =
        |text: &str| -> String { text.bytes().map(|byte| format!("%{byte:02X}")).collect() };
    let fields: Vec<String> =
        fields.iter().map(|(name, value)| format!("{name}={}", escape(value))).collect();
    fields.join("&")
}

#[test]
fn the_backend_refuses_what_it_cannot_sign() {
    let app = App::default();
    for (form, status) in [
        ("channel_name=private-x", 422),
        ("socket_id=1&channel_name=private-x", 422),
        ("socket_id=1.2:x&channel_name=private-x", 422),
        ("socket_id=1.2", 422),
        ("socket_id=1.2&channel_name=news", 403),
        ("socket_id=1.2&channel_name=private-a%20b", 403),
        ("socket_id=1.2&channel_name=private-x:y", 403),
        ("socket_id=1.2&channel_name=presence-x&user_id=", 422),
        ("socket_id=1.2&channel_name=presence-x&user_info={", 422),
    ] {
        assert_eq!(read(backend::channel(&app, &fields(form))), Err(status), "{form}");
    }
    for form in ["", "socket_id=x", "socket_id=1.2&user_id=", "socket_id=1.2&user_info={"] {
        assert_eq!(read(backend::user(&app, &fields(form))), Err(422), "{form}");
    }
    for body in ["", "[]", "7", "{"] {
        assert_eq!(Fields::json(body).expect_err(body).status, 400);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_that_is_sent_makes_the_api_panic(text in any::<String>(), name in any::<String>()) {
        let stage = Stage::new();
        for body in [text.clone(), json!({"name": name, "channel": "x", "data": text}).to_string()] {
            drop(stage.post(&body));
            drop(read(api::batch_events(stage.now(), &stage.app, &body, &stage.world)));
        }
        drop(stage.channels(&[("filter_by_prefix", &text), ("info", &name)]));
        drop((stage.channel(&name, &text), stage.users(&name)));
        let form = Fields::form(text.as_bytes());
        drop((backend::channel(&stage.app, &form), backend::user(&stage.app, &form)));
        let query = owned(&[("auth_key", "app-key"), (&name, &text), ("auth_signature", &text)]);
        let refused = api::verify(&stage.app, "GET", &name, &query, text.as_bytes(), seconds(0));
        prop_assert_eq!(refused.map_err(|refused| refused.status), Err(401));
    }
}
