//! Who may subscribe to what, how that is answered, and what is kept for those who come later.

use protocol::Reason;
use protocol::pusher::{App, auth};
use serde_json::{Value, json};

use super::{A, B, C, Stage, is_error, seconds, user};

fn succeeded(channel: &str) -> Value {
    json!({"event": "pusher_internal:subscription_succeeded", "channel": channel, "data": {}})
}

fn event(channel: &str, data: &str) -> Value {
    json!({"event": "news", "channel": channel, "data": data})
}

fn publish(stage: &Stage, channel: &str, data: &str) {
    let body = json!({"name": "news", "channel": channel, "data": data});
    assert_eq!(stage.publish(&body), json!({}));
}

#[test]
fn public_channels_are_for_everybody_and_are_confirmed_each_time() {
    let mut stage = Stage::new();
    stage.open(&[A]);
    for data in [
        json!({"channel": "news"}),
        json!({"channel": "news", "auth": ""}),
        json!({"channel": "news", "auth": "nonsense", "channel_data": "x"}),
        json!(r#"{"channel":"news"}"#),
    ] {
        assert_eq!(stage.ask(A, "pusher:subscribe", &data), succeeded("news"));
    }
    publish(&stage, "news", "once");
    assert_eq!(stage.take(A), [event("news", "once")]);
    // The data of an answer is a string with an empty object in it.
    stage.subscribe(A, "news", None);
    assert!(stage.world.take(A)[0].as_text().ends_with(r#""data":"{}"}"#));
}

#[test]
fn private_channels_are_for_whom_the_backend_has_signed() {
    let mut stage = Stage::new();
    stage.open(&[A, B]);
    let (mine, other) = (stage.id(A), stage.id(B));
    let sign = |app: &App, id: &str, channel: &str| auth::channel(app, id, channel, None);
    let right = sign(&stage.app, &mine, "private-x");
    let other_secret = App { secret: "other".to_owned(), ..App::default() };
    let other_key = App { key: "other".to_owned(), ..App::default() };
    for wrong in [
        json!(null),
        json!(""),
        json!("app-key:"),
        json!("app-key"),
        json!(&right[..right.len() - 1]),
        json!(right.to_uppercase()),
        json!(sign(&stage.app, &other, "private-x")),
        json!(sign(&stage.app, &mine, "private-y")),
        json!(sign(&other_secret, &mine, "private-x")),
        json!(sign(&other_key, &mine, "private-x")),
        json!(auth::channel(&stage.app, &mine, "private-x", Some("{}"))),
    ] {
        let told =
            stage.ask(A, "pusher:subscribe", &json!({"channel": "private-x", "auth": wrong}));
        assert!(is_error(&told, 4009, Some("private-x")), "{wrong}: {told}");
    }
    publish(&stage, "private-x", "secret");
    assert!(stage.take(A).is_empty(), "never subscribed");
    let told = stage.ask(A, "pusher:subscribe", &json!({"channel": "private-x", "auth": right}));
    assert_eq!(told, succeeded("private-x"));
    publish(&stage, "private-x", "secret");
    assert_eq!(stage.take(A), [event("private-x", "secret")]);
    // A wrong repetition is refused, and takes nothing away.
    let told =
        stage.ask(A, "pusher:subscribe", &json!({"channel": "private-x", "auth": "app-key:0"}));
    assert!(is_error(&told, 4009, Some("private-x")));
    publish(&stage, "private-x", "still");
    assert_eq!(stage.take(A), [event("private-x", "still")]);
}

#[test]
fn errors_say_what_was_to_be_signed() {
    let mut stage = Stage::new();
    stage.open(&[A]);
    let id = stage.id(A);
    for (auth, expected) in [
        (
            "app-key:12",
            format!(
                "Invalid signature: Expected HMAC SHA256 hex digest of {id}:private-x, but got 12"
            ),
        ),
        ("other:12", "Invalid key in subscription auth data: 'other:12'".to_owned()),
    ] {
        let told = stage.ask(A, "pusher:subscribe", &json!({"channel": "private-x", "auth": auth}));
        assert_eq!(told["data"]["message"], expected);
    }
    // Nobody gets all that he has sent back.
    let long = "x".repeat(10_000);
    let told = stage.ask(A, "pusher:subscribe", &json!({"channel": "private-x", "auth": long}));
    assert!(told["data"]["message"].as_str().is_some_and(|message| message.len() == 200));
    let told = stage.ask(A, "pusher:subscribe", &json!({"channel": "é".repeat(10_000)}));
    assert!(is_error(&told, 4300, Some(&"é".repeat(100))), "{told}");
}

#[test]
fn what_is_said_of_a_private_channel_is_signed_too() {
    let mut stage = Stage::new();
    stage.open(&[A]);
    let id = stage.id(A);
    let bare = auth::channel(&stage.app, &id, "private-x", None);
    let data = json!({"channel": "private-x", "auth": bare, "channel_data": "{\"a\":1}"});
    let told = stage.ask(A, "pusher:subscribe", &data);
    assert!(is_error(&told, 4009, Some("private-x")), "{told}");
    stage.subscribe(A, "private-x", Some(&json!({"a": 1})));
    assert_eq!(stage.take(A), [succeeded("private-x")]);
    stage.subscribe(A, "private-encrypted-x", None);
    assert_eq!(stage.take(A), [succeeded("private-encrypted-x")]);
}

#[test]
fn prefixes_are_exact() {
    let mut stage = Stage::new();
    stage.open(&[A]);
    for public in ["privateer", "presence", "Private-x"] {
        let told = stage.ask(A, "pusher:subscribe", &json!({"channel": public}));
        assert_eq!(told, succeeded(public));
    }
    for private in
        ["private-", "private-cache-x", "private-encrypted-x", "presence-x", "presence-cache-x"]
    {
        let told = stage.ask(A, "pusher:subscribe", &json!({"channel": private}));
        assert!(is_error(&told, 4009, Some(private)), "{told}");
    }
}

#[test]
fn names_that_cannot_be_are_refused_and_the_connection_stays() {
    let mut stage = Stage::new();
    stage.open(&[A]);
    let long = "x".repeat(165);
    for name in ["", "a b", "a/b", "é", "#x", &long] {
        let told = stage.ask(A, "pusher:subscribe", &json!({"channel": name}));
        assert!(is_error(&told, 4300, Some(name)), "{told}");
    }
    for malformed in [
        "",
        "{",
        "[]",
        "7",
        "{}",
        r#"{"event":"pusher:subscribe"}"#,
        r#"{"event":"pusher:x","data":{}}"#,
    ] {
        stage.say(A, malformed);
        let told = stage.take(A);
        assert!(matches!(&told[..], [told] if is_error(told, 4200, None)), "{malformed}: {told:?}");
    }
    // What is none of the protocol's business is passed over.
    stage.say(A, r#"{"event":"hello","channel":"news","data":{}}"#);
    assert!(stage.take(A).is_empty());
    let longest = &long[..164];
    assert_eq!(stage.ask(A, "pusher:subscribe", &json!({"channel": longest})), succeeded(longest));
}

#[test]
fn nothing_comes_after_unsubscribing_and_it_is_never_answered() {
    let mut stage = Stage::new();
    stage.open(&[A, B]);
    stage.subscribe(A, "news", None);
    stage.subscribe(B, "news", None);
    stage.take(A);
    stage.take(B);
    for _ in 0..2 {
        stage.unsubscribe(A, "news");
    }
    stage.unsubscribe(A, "never");
    publish(&stage, "news", "one");
    assert!(stage.take(A).is_empty());
    assert_eq!(stage.take(B).len(), 1);
    stage.subscribe(A, "news", None);
    publish(&stage, "news", "two");
    assert_eq!(stage.take(A), [succeeded("news"), event("news", "two")]);
    stage.end(A, Reason::Closed);
    stage.end(B, Reason::Timeout);
    assert!(stage.rooms().is_empty(), "nothing is left");
}

#[test]
fn a_connection_is_on_as_many_channels_as_it_may() {
    let mut stage = Stage::new();
    stage.open(&[A]);
    for number in 0..8 {
        stage.subscribe(A, &format!("c{number}"), None);
    }
    assert_eq!(stage.take(A).len(), 8);
    let told = stage.ask(A, "pusher:subscribe", &json!({"channel": "c8"}));
    assert!(is_error(&told, 4300, Some("c8")), "{told}");
    stage.unsubscribe(A, "c0");
    assert_eq!(stage.ask(A, "pusher:subscribe", &json!({"channel": "c8"})), succeeded("c8"));
}

#[test]
fn nobody_subscribes_while_the_server_stops() {
    let mut stage = Stage::new();
    stage.open(&[A]);
    stage.subscribe(A, "news", None);
    stage.take(A);
    stage.world.set_draining(true);
    let told = stage.ask(A, "pusher:subscribe", &json!({"channel": "more"}));
    assert!(is_error(&told, 4200, Some("more")), "{told}");
    assert_eq!(stage.ask(A, "pusher:subscribe", &json!({"channel": "news"})), succeeded("news"));
}

#[test]
fn a_cache_channel_gives_its_last_event_right_after_the_answer() {
    let mut stage = Stage::new();
    stage.open(&[A, B, C]);
    let miss = |channel: &str| json!({"event": "pusher:cache_miss", "channel": channel});
    for channel in ["cache-x", "private-cache-x", "private-encrypted-cache-x", "presence-cache-x"] {
        let data = channel.starts_with("presence").then(|| user("u"));
        stage.subscribe(A, channel, data.as_ref());
        let told = stage.take(A);
        assert_eq!(told[1..], [miss(channel)]);
        publish(&stage, channel, "one");
        publish(&stage, channel, "two");
        stage.subscribe(B, channel, data.as_ref());
        assert_eq!(stage.take(B)[1..], [event(channel, "two")]);
        publish(&stage, channel, "three");
        assert_eq!(stage.take(B), [event(channel, "three")]);
        assert_eq!(stage.take(A).len(), 3);
        // It says it again to whoever asks again.
        stage.subscribe(A, channel, data.as_ref());
        assert_eq!(stage.take(A)[1..], [event(channel, "three")]);
    }
    // What clients say is not kept.
    stage.say(A, r#"{"event":"client-x","channel":"private-cache-x","data":1}"#);
    stage.subscribe(C, "private-cache-x", None);
    assert_eq!(stage.take(C)[1..], [event("private-cache-x", "three")]);
}

#[test]
fn what_is_kept_outlives_its_subscribers_and_ends_with_its_time() {
    let mut stage = Stage::with(App { cache_ttl: seconds(60), ..App::default() });
    stage.open(&[A]);
    publish(&stage, "cache-x", "nobody is there");
    publish(&stage, "news", "nobody is there");
    assert_eq!(stage.rooms(), ["pusher/1/cache-x"]);
    for (wait, kept) in [(0, true), (59, true), (1, false)] {
        stage.wait(seconds(wait));
        stage.subscribe(A, "cache-x", None);
        let told = stage.take(A);
        assert_eq!(told[1]["event"], if kept { "news" } else { "pusher:cache_miss" }, "{wait}");
        stage.unsubscribe(A, "cache-x");
    }
    assert!(stage.rooms().is_empty());
    // The same if it is asked for before any tick comes.
    publish(&stage, "cache-x", "again");
    stage.clock += seconds(61);
    stage.subscribe(A, "cache-x", None);
    assert_eq!(stage.heard(A)[1..], ["pusher:cache_miss"]);
    // It ends also while somebody is there, and then keeps the channel no longer.
    publish(&stage, "cache-x", "again");
    stage.clock += seconds(60);
    stage.unsubscribe(A, "cache-x");
    assert!(stage.rooms().is_empty());
    // With no time at all, nothing is kept.
    let mut stage = Stage::with(App { cache_ttl: seconds(0), ..App::default() });
    stage.open(&[A]);
    publish(&stage, "cache-x", "gone");
    assert!(stage.rooms().is_empty());
    stage.subscribe(A, "cache-x", None);
    assert_eq!(stage.heard(A)[1..], ["pusher:cache_miss"]);
}

#[test]
fn subscribers_are_told_how_many_they_are_if_the_application_wants_it() {
    let mut stage = Stage::with(App { subscription_count: true, ..App::default() });
    stage.open(&[A, B]);
    let count = |n| json!({"event": "pusher_internal:subscription_count", "channel": "news", "data": {"subscription_count": n}});
    stage.subscribe(A, "news", None);
    assert_eq!(stage.take(A), [succeeded("news"), count(1)]);
    stage.subscribe(B, "news", None);
    assert_eq!(stage.take(B), [succeeded("news"), count(2)]);
    assert_eq!(stage.take(A), [count(2)]);
    stage.subscribe(A, "news", None);
    assert_eq!(stage.take(A), [succeeded("news")]);
    stage.end(B, Reason::Closed);
    assert_eq!(stage.take(A), [count(1)]);
    stage.subscribe(A, "cache-x", None);
    let order = ["subscription_succeeded", "cache_miss", "subscription_count"];
    let heard = stage.heard(A);
    assert!(
        heard.len() == 3 && heard.iter().zip(order).all(|(it, end)| it.ends_with(end)),
        "{heard:?}"
    );
    stage.subscribe(A, "presence-x", Some(&user("a")));
    assert_eq!(stage.take(A).len(), 1, "members are counted by what they are told of each other");
}

#[test]
fn of_many_subscribers_the_number_is_told_every_five_seconds() {
    let mut stage = Stage::with(App { subscription_count: true, ..App::default() });
    let all: Vec<_> = (1..=103).map(protocol::ConnId).collect();
    stage.open(&all);
    let counts = |stage: &Stage| -> Vec<u64> {
        let told = stage.take(A).into_iter();
        told.filter_map(|told| told["data"]["subscription_count"].as_u64()).collect()
    };
    for &conn in &all[..100] {
        stage.subscribe(conn, "news", None);
    }
    assert_eq!(counts(&stage), (1..=100).collect::<Vec<_>>());
    stage.wait(seconds(1));
    for &conn in &all[100..102] {
        stage.subscribe(conn, "news", None);
    }
    assert!(counts(&stage).is_empty());
    stage.wait(seconds(4));
    assert_eq!(counts(&stage), [102]);
    stage.wait(seconds(100));
    assert!(counts(&stage).is_empty(), "nothing has changed");
    stage.subscribe(all[102], "news", None);
    assert_eq!(counts(&stage), [103], "that was long ago");
    stage.end(all[102], Reason::Closed);
    assert!(counts(&stage).is_empty());
    stage.end(all[101], Reason::Closed);
    stage.end(all[100], Reason::Closed);
    assert_eq!(counts(&stage), [100], "not many any more");
    stage.wait(seconds(10));
    assert!(counts(&stage).is_empty());
}
