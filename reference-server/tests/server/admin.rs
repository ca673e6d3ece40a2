//! The view of whoever runs the server, and eviction.

#![expect(clippy::indexing_slicing, reason = "a test may fail by a panic")]

use reference_server::Config;
use serde_json::{Value, json};

use crate::common::{Client, Server, handshake, until};

fn administered() -> Server {
    Server::start(Config { admin: true, ..Config::default() })
}

fn view(server: &Server, what: &str) -> Vec<Value> {
    let answer = server.send("GET", &format!("/admin/{what}"), "x", "");
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json[what].as_array().expect("a list").clone()
}

fn evict(server: &Server, id: &Value) -> u16 {
    let id = id.as_str().expect("an id");
    server.send("DELETE", &format!("/admin/connections/{id}"), "x", "").status
}

#[test]
fn connections_are_shown_with_what_is_known_of_them() {
    let server = administered();
    assert_eq!(view(&server, "connections"), [Value::Null; 0]);
    let mut rooms = Client::over(server.tcp());
    rooms.raw(handshake("/ws/rooms/lobby", "User-Agent: tester/1.0\r\n").as_bytes());
    rooms.head();
    let client_id = rooms.until_tagged("RoomJoined")["client_id"].clone();
    let mut native = server.client("/ws");
    let connection = native.json()["connection"].clone();
    for room in ["b", "a"] {
        native.say(&json!({"type": "join", "room": room}));
        native.until("joined");
    }
    let _echo = server.client("/echo");

    let shown = view(&server, "connections");
    let of = |dialect: &str| shown.iter().find(|each| each["dialect"] == dialect).expect(dialect);
    let one = of("rooms");
    assert_eq!((&one["id"], &one["user_agent"]), (&client_id, &json!("tester/1.0")));
    let address = rooms.stream.local_addr().expect("an address").to_string();
    assert_eq!(one["address"], json!(address));
    assert_eq!((&one["rooms"], &one["queue_bytes"]), (&json!(["lobby"]), &json!(0)));
    for time in ["since", "last_seen"] {
        assert!(one[time].as_str().is_some_and(|at| at.ends_with('Z')), "{one}");
    }
    let two = of("native");
    assert_eq!((&two["id"], &two["user_agent"]), (&connection, &Value::Null));
    assert_eq!(two["rooms"], json!(["a", "b"]));
    assert_eq!(of("echo")["rooms"], json!([]));
    assert_eq!(shown.len(), 3);
}

#[test]
fn a_queue_that_waits_is_shown() {
    let server = administered();
    let mut stuck = server.native();
    stuck.say(&json!({"type": "join", "room": "r", "membership": "none"}));
    let mut speaker = server.native();
    speaker.say(&json!({"type": "join", "room": "r", "membership": "none"}));
    speaker.until("joined");
    let text = "x".repeat(30_000);
    let waiting = || {
        let shown = view(&server, "connections");
        shown.iter().filter_map(|each| each["queue_bytes"].as_u64()).max()
    };
    until("a queue is shown", || {
        speaker.say(&json!({"type": "chat", "room": "r", "text": text}));
        speaker.until("chat");
        waiting() > Some(0)
    });
}

#[test]
fn rooms_are_shown_with_members_permissions_and_storage() {
    let server = administered();
    let mut ada = server.native();
    ada.say(&json!({"type": "name", "username": "Ada"}));
    ada.say(&json!({"type": "join", "room": "r"}));
    let member = ada.until("joined")["you"].clone();
    let mut eve = server.native();
    eve.say(&json!({"type": "join", "room": "r", "membership": "none"}));
    let audience = eve.until("joined")["you"].clone();
    ada.say(&json!({"type": "store", "room": "r", "ops": [{"put": {"key": "k", "value": 1}}]}));
    ada.until("stored");
    let mut other = server.client("/ws/rooms/r");
    other.until_tagged("RoomJoined");

    let shown = view(&server, "rooms");
    assert_eq!(shown.len(), 2);
    let room = &shown[0];
    assert_eq!((&room["dialect"], &room["name"]), (&json!("native"), &json!("r")));
    assert_eq!((&room["storage_version"], &room["capacity"]), (&json!(1), &Value::Null));
    let members = room["members"].as_array().expect("a list");
    assert_eq!((&members[0]["id"], &members[0]["username"]), (&member, &json!("Ada")));
    assert_eq!(members[0]["membership"], "full");
    assert_eq!((&members[1]["id"], &members[1]["membership"]), (&audience, &json!("none")));
    let ids: Vec<_> = view(&server, "connections").iter().map(|each| each["id"].clone()).collect();
    assert_eq!(members[0]["connection"], ids[0]);
    // Rooms of one name in two dialects are two rooms.
    assert_eq!((&shown[1]["dialect"], &shown[1]["name"]), (&json!("rooms"), &json!("r")));
    assert_eq!(shown[1]["members"].as_array().map(Vec::len), Some(1));
}

#[test]
fn an_evicted_client_is_closed_with_4003_and_its_peers_are_told_why() {
    let server = administered();
    let mut watcher = server.native();
    watcher.say(&json!({"type": "join", "room": "r"}));
    watcher.until("joined");
    let mut evicted = server.client("/ws");
    let id = evicted.json()["connection"].clone();
    evicted.say(&json!({"type": "join", "room": "r"}));
    let member = evicted.until("joined")["you"].clone();

    assert_eq!(evict(&server, &id), 202);
    assert_eq!(evicted.close_code(), (4003, "evicted".to_owned()));
    let left = watcher.until("member_left");
    assert_eq!((&left["member"], &left["reason"]), (&member, &json!("evicted")));
    drop(evicted);
    until("it is no longer shown", || view(&server, "connections").len() == 1);
    assert_eq!(evict(&server, &id), 404);
    assert_eq!(evict(&server, &json!("nonsense")), 404);
    assert_eq!(server.metric(r#"tidemark_closes_total{code="4003"}"#), Some(1));
}

#[test]
fn in_every_dialect_a_client_can_be_evicted_by_the_id_that_is_shown() {
    let server = administered();
    for path in ["/ws/project/p", "/ws/rooms", "/ws/chat", "/ws/events", "/echo"] {
        let mut client = server.client(path);
        let shown = view(&server, "connections");
        let newest = shown.last().expect("a connection");
        assert_eq!(evict(&server, &newest["id"]), 202, "{path}");
        assert_eq!(client.close_code().0, 4003, "{path}");
    }
}

#[test]
fn without_the_option_there_is_no_view() {
    let server = Server::plain();
    for (method, path) in [("GET", "connections"), ("GET", "rooms"), ("DELETE", "connections/x")] {
        assert_eq!(server.send(method, &format!("/admin/{path}"), "x", "").status, 404, "{path}");
    }
}
