//! The HTTP API: what is signed is done, what is not is refused, and what is too long is not read.

use std::{
    io::{Read, Write},
    time::{SystemTime, UNIX_EPOCH},
};

use protocol::pusher::App;
use serde_json::{Value, json};

use super::{Socket, get, heard, post, publish, serving, signed, signed_at};
use crate::common::{Answer, Server, until};

fn event(channel: &str, data: &str) -> Value {
    json!({"name": "n", "channel": channel, "data": data})
}

#[test]
fn each_subscriber_hears_an_event_once_but_the_one_who_caused_it() {
    let server = Server::plain();
    let [mut ada, mut bob] = [(); 2].map(|()| Socket::open(&server));
    for socket in [&mut ada, &mut bob] {
        socket.subscribe("one", None);
        socket.subscribe("two", None);
    }
    let body = json!({
        "name": "n", "channels": ["one", "two", "three"], "data": "{\"a\":[1]}",
        "socket_id": ada.id, "info": "subscription_count",
    });
    let answer = post(&server, &ada.app, "events", &body);
    let counts = json!({"one": {"subscription_count": 2}, "two": {"subscription_count": 2},
        "three": {"subscription_count": 0}});
    assert_eq!((answer.status, answer.json), (200, json!({ "channels": counts })));
    for channel in ["one", "two"] {
        let (event, data) = heard(&mut bob.client);
        assert_eq!((&event["channel"], data), (&json!(channel), json!({"a": [1]})));
    }
    bob.fence();
    ada.fence();
}

#[test]
fn events_are_heard_in_the_order_in_which_they_were_answered() {
    let server = Server::plain();
    let mut socket = Socket::open(&server);
    socket.subscribe("news", None);
    for n in 0..200_u32 {
        match n % 10 {
            0 => {
                let events: Vec<Value> =
                    (0..10).map(|more| event("news", &(n * 10 + more).to_string())).collect();
                let answer =
                    post(&server, &socket.app, "batch_events", &json!({ "batch": events }));
                assert_eq!(
                    (answer.status, answer.json),
                    (200, json!({"batch": vec![json!({}); 10]}))
                );
            }
            _ => publish(&server, "news", "n", &(n * 10).to_string()),
        }
    }
    let expected =
        (0..200).flat_map(|n| (0..if n % 10 == 0 { 10 } else { 1 }).map(move |m| n * 10 + m));
    for number in expected {
        assert_eq!(socket.hears("n"), number);
    }
}

#[test]
fn only_what_the_application_signed_just_now_is_done() {
    let server = serving(&["id=1", "id=2,key=k2,secret=s2", "id=3,key=k3,disabled"]);
    let mut socket = Socket::open(&server);
    socket.subscribe("news", None);
    let app = App::default();
    let two = App::new("2", "k2", "s2");
    let body = event("news", "wrong").to_string();
    let right = |app: &App| signed(app, "POST", "/apps/1/events", &[], &body);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
    let at = |time| signed_at(&app, "POST", "/apps/1/events", &[], &body, time);
    let wrong_secret = App { secret: "s2".to_owned(), ..app.clone() };
    let of_other_body = signed(&app, "POST", "/apps/1/events", &[], "{}");
    let of_another = signed(&app, "POST", "/apps/9/events", &[], &body);
    let off = App::new("3", "k3", "app-secret");
    for (path, status) in [
        ("/apps/1/events".to_owned(), 401),
        (right(&two), 401),
        (right(&wrong_secret), 401),
        // The clock of this machine may go on between here and there.
        (at(now - 700), 401),
        (at(now + 700), 401),
        (of_other_body, 401),
        (format!("{}0", right(&app)), 401),
        (format!("{}&info=x", right(&app)), 401),
        (of_another, 404),
        (signed(&off, "POST", "/apps/3/events", &[], &body), 403),
    ] {
        let answer = server.send("POST", &path, "application/json", &body);
        assert_eq!(answer.status, status, "{path}");
    }
    // The other application's channels are others.
    assert_eq!(post(&server, &two, "events", &event("news", "of two")).status, 200);
    publish(&server, "news", "n", "right");
    assert_eq!(socket.hears("n"), "right");
}

#[test]
fn what_cannot_be_done_is_refused_with_its_status() {
    let server = Server::plain();
    let app = App::default();
    let path = |what: &str| signed(&app, "POST", &format!("/apps/1/{what}"), &[], "{");
    let json_type = "application/json";
    assert_eq!(server.send("POST", &path("events"), json_type, "{").status, 400);
    let not_utf8 = b"{\"name\":\"\xff\"}";
    let path = signed(&app, "POST", "/apps/1/events", &[], not_utf8);
    let head =
        format!("POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n", not_utf8.len());
    let mut stream = server.tcp();
    stream.write_all(&[head.as_bytes(), not_utf8].concat()).expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    assert_eq!(Answer::of(&answer).status, 400);
    for (what, body, status) in [
        ("events", json!({}), 400),
        ("events", json!([]), 400),
        ("events", event("a b", ""), 400),
        ("events", json!({"name": "n", "data": "", "channels": vec!["c"; 101]}), 400),
        ("events", event("c", &"x".repeat(10_241)), 413),
        ("batch_events", json!({"batch": vec![event("c", ""); 11]}), 400),
        ("users/x/other", json!({}), 404),
    ] {
        assert_eq!(post(&server, &app, what, &body).status, status, "{what} {body}");
    }
    assert_eq!(get(&server, &app, "channels/c/users", &[]).status, 400);
    assert_eq!(get(&server, &app, "channels", &[("info", "user_count")]).status, 400);
    let wrong_method = signed(&app, "GET", "/apps/1/events", &[], "");
    assert_eq!(Answer::of(&server.get(&wrong_method)).status, 405);
}

#[test]
fn a_body_that_is_too_long_is_refused_before_it_is_read() {
    let server = Server::plain();
    let mut stream = server.tcp();
    let head = "POST /apps/1/events HTTP/1.1\r\nHost: x\r\nContent-Length: 700000\r\n\r\n";
    stream.write_all(head.as_bytes()).expect("sent");
    let mut answer = String::new();
    // Nothing of the body has been sent, and nothing is.
    stream.read_to_string(&mut answer).expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    // Ten events as long as they may be are not too long, however they are written.
    let long = "\u{1}".repeat(10_240);
    let batch = json!({"batch": vec![event("c", &long); 10]});
    assert!(batch.to_string().len() > 600_000);
    assert_eq!(post(&server, &App::default(), "batch_events", &batch).status, 200);
    // Other requests are as short as they were.
    let other = "POST /pusher/auth HTTP/1.1\r\nHost: x\r\nContent-Length: 70000\r\n\r\n";
    let mut stream = server.tcp();
    stream.write_all(other.as_bytes()).expect("sent");
    answer.clear();
    stream.read_to_string(&mut answer).expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
}

#[test]
fn channels_are_shown_as_they_are() {
    let server = Server::plain();
    let app = App::default();
    let mut sockets = [(); 3].map(|()| Socket::open(&server));
    for (socket, user) in sockets.iter_mut().zip(["ada", "ada", "bob"]) {
        let data = json!({ "user_id": user }).to_string();
        socket.subscribe("presence-room=1", Some(&data));
    }
    // Who came last has nothing else to hear.
    let last = &mut sockets[2];
    last.subscribe("news", None);
    last.sign_in("bob");
    let shown = |what: &str, query: &[(&str, &str)]| {
        let answer = get(&server, &app, what, query);
        assert_eq!(answer.status, 200, "{what}: {answer:?}");
        answer.json
    };
    assert_eq!(shown("channels", &[]), json!({"channels": {"news": {}, "presence-room=1": {}}}));
    let counted = [("filter_by_prefix", "presence-"), ("info", "user_count")];
    assert_eq!(
        shown("channels", &counted),
        json!({"channels": {"presence-room=1": {"user_count": 2}}})
    );
    let info = [("info", "user_count,subscription_count")];
    // A name may be encoded on its way, whichever way it was signed.
    for name in ["presence-room=1", "presence-room%3D1"] {
        assert_eq!(
            shown(&format!("channels/{name}"), &info),
            json!({"occupied": true, "user_count": 2, "subscription_count": 3})
        );
    }
    let plain = signed(&app, "GET", "/apps/1/channels/presence-room=1", &[], "");
    let encoded = Answer::of(&server.get(&plain.replacen("m=1", "m%3D1", 1)));
    assert_eq!((encoded.status, encoded.json), (200, json!({"occupied": true})));
    let users = shown("channels/presence-room=1/users", &[]);
    assert_eq!(users, json!({"users": [{"id": "ada"}, {"id": "bob"}]}));
    last.unsubscribe("news");
    last.fence();
    assert_eq!(shown("channels/news", &[]), json!({"occupied": false}));
}

#[test]
fn a_cache_channel_gives_what_was_published_before_anybody_came() {
    let server = serving(&["cache_ttl=1h", "id=2,key=k2,cache_ttl=20ms"]);
    publish(&server, "cache-news", "n", "last");
    let mut socket = Socket::open(&server);
    socket.subscribe("cache-news", None);
    assert_eq!(socket.hears("n"), "last");
    let two = App::new("2", "k2", "app-secret");
    assert_eq!(post(&server, &two, "events", &event("cache-x", "soon gone")).status, 200);
    until("it is kept no more", || {
        let shown = get(&server, &two, "channels/cache-x", &[("info", "cache")]);
        shown.status == 200 && shown.json["cache"].is_null()
    });
    let mut socket = Socket::of(&server, &two);
    socket.subscribe("cache-x", None);
    assert_eq!(socket.hears("pusher:cache_miss"), Value::Null);
}
