//! `POST /publish/{channel}`: what is said, who hears it, and what is refused with which status.

#![expect(clippy::indexing_slicing, reason = "a test may fail by a panic")]

use std::net::{SocketAddr, TcpListener, UdpSocket};

use reference_server::Config;
use serde_json::{Value, json};

use crate::common::{Answer, Client, Server};

fn publishing() -> Server {
    Server::start(Config { publish: true, ..Config::default() })
}

fn subscriber(server: &Server, channel: &str) -> Client {
    let mut client = server.client("/ws/events");
    client.json();
    subscribe(&mut client, channel);
    client
}

fn subscribe(client: &mut Client, channel: &str) {
    client.say(&json!({"type": "subscribe", "channel": channel}));
    let confirmed = client.json();
    assert_eq!(
        (&confirmed["status"], &confirmed["channel"]),
        (&json!("subscribed"), &channel.into())
    );
}

/// The next event, without its times.
fn heard(client: &mut Client) -> (String, Value) {
    let event = client.json();
    assert_eq!(event["type"], "event", "{event}");
    assert!(event["timestamp"].as_str().is_some_and(|at| at.ends_with('Z')), "{event}");
    (event["channel"].as_str().unwrap_or_default().to_owned(), event["data"].clone())
}

#[test]
fn each_subscriber_hears_it_once_and_nobody_else() {
    let server = publishing();
    let mut two = [subscriber(&server, "custom"), subscriber(&server, "custom")];
    subscribe(&mut two[0], "files");
    let mut other = subscriber(&server, "git");
    let answer = server.publish("custom", &json!({"n": 1, "deep": {"a": [1, null]}}));
    assert_eq!((answer.status, answer.json), (202, json!({"subscribers": 2})));
    let answer = server.publish("files", &json!({"file": "a.txt", "event": "change"}));
    assert_eq!((answer.status, answer.json), (202, json!({"subscribers": 1})));
    assert_eq!(server.publish("nobody", &json!({})).json, json!({"subscribers": 0}));
    assert_eq!(server.publish("git", &json!({"type": "commit", "message": "m"})).status, 202);
    for client in &mut two {
        let (channel, data) = heard(client);
        assert_eq!((channel.as_str(), &data["n"]), ("custom", &json!(1)));
        assert_eq!(data["deep"], json!({"a": [1, null]}));
    }
    assert_eq!(heard(&mut two[0]).0, "files");
    assert_eq!(heard(&mut other).0, "git");
    assert_eq!(server.metric(r#"tidemark_published_total{source="http"}"#), Some(4));
}

#[test]
fn a_channel_may_have_any_name_that_a_path_can_hold() {
    let server = publishing();
    let mut client = subscriber(&server, "über/all 9?");
    assert_eq!(server.publish("%C3%BCber%2Fall%209%3F", &json!({"x": 1})).status, 202);
    assert_eq!(heard(&mut client).0, "über/all 9?");
    let answer = server.publish(&"x".repeat(201), &json!({}));
    assert_eq!((answer.status, &answer.json["field"]), (422, &json!("channel")));
    assert_eq!(server.publish("%ff", &json!({})).status, 400);
}

#[test]
fn what_is_wrong_is_refused_with_the_status_and_the_field_that_say_why() {
    let server = publishing();
    let mut client = subscriber(&server, "files");
    let json_type = "application/json";
    for (channel, kind, body, status, field) in [
        ("files", json_type, "{", 400, None),
        ("files", json_type, "", 400, None),
        ("files", "text/plain", "{}", 415, None),
        ("files", "application/x-www-form-urlencoded", "{}", 415, None),
        ("files", json_type, "[]", 422, None),
        ("files", json_type, "{}", 422, Some("file")),
        ("files", json_type, r#"{"file":"a"}"#, 422, Some("event")),
        ("files", json_type, r#"{"file":7,"event":"change"}"#, 422, Some("file")),
        ("git", json_type, r#"{"type":"commit"}"#, 422, Some("message")),
        ("files", "application/json; charset=utf-8", r#"{"file":"a","event":"add"}"#, 202, None),
        ("files", "application/vnd.x+json", r#"{"file":"b","event":"add"}"#, 202, None),
    ] {
        let answer = server.send("POST", &format!("/publish/{channel}"), kind, body);
        assert_eq!(answer.status, status, "{channel} {kind} {body}: {answer:?}");
        assert_eq!(answer.json["field"].as_str(), field, "{channel} {body}: {answer:?}");
        assert!(status == 202 || answer.json["error"].is_string(), "{answer:?}");
    }
    let untyped = "POST /publish/c HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}";
    assert_eq!(Answer::of(&server.ask(untyped)).status, 415);
    let long = json!({"text": "x".repeat(70_000)});
    assert_eq!(server.publish("c", &long).status, 413);
    assert_eq!(server.send("GET", "/publish/c", json_type, "").status, 405);
    assert_eq!(server.send("POST", "/publish/", json_type, "{}").status, 404);
    // Only what was accepted was told.
    assert_eq!(heard(&mut client).1["file"], "a");
    assert_eq!(heard(&mut client).1["file"], "b");
}

#[test]
fn without_the_option_it_is_not_there() {
    let server = Server::plain();
    assert_eq!(server.publish("files", &json!({"file": "a", "event": "add"})).status, 404);
}

/// This machine's own address on some network, if it has one: no packet leaves for it.
fn outer_address() -> Option<SocketAddr> {
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    // Reserved for documentation (RFC 5737); connecting a datagram socket sends nothing.
    socket.connect("192.0.2.1:9").ok()?;
    let address = socket.local_addr().ok()?;
    (!address.ip().is_loopback()).then_some(SocketAddr::new(address.ip(), 0))
}

#[test]
fn from_another_machine_it_is_forbidden() {
    // A connection to an outer address of this machine comes from that address.
    let Some(address) = outer_address() else { return };
    let listener = TcpListener::bind(address).expect("a free port");
    let config = Config { publish: true, admin: true, ..Config::default() };
    let server = Server::on(listener, config);
    assert_eq!(server.publish("files", &json!({"file": "a", "event": "add"})).status, 403);
    assert_eq!(server.send("GET", "/admin/rooms", "x", "").status, 403);
    assert_eq!(server.send("GET", "/admin/connections", "x", "").status, 403);
    assert_eq!(server.send("DELETE", "/admin/connections/x", "x", "").status, 403);
    assert!(server.get("/healthz").starts_with("HTTP/1.1 200 "));
}

#[test]
fn some_hundreds_of_requests_are_all_heard_in_their_order() {
    let server = publishing();
    let mut client = subscriber(&server, "c");
    for n in 0..500 {
        assert_eq!(server.publish("c", &json!({"n": n})).status, 202);
    }
    for n in 0..500 {
        assert_eq!(heard(&mut client).1["n"], n);
    }
}
