//! Every dialect where it is served: what comes first, what keeps it alive, what it does not take.

#![expect(clippy::indexing_slicing, reason = "a test may fail by a panic")]

use std::{thread, time::Duration};

use reference_server::{Config, Dialect, Heartbeat, Mount};
use serde_json::{Value, json};

use crate::common::{
    BINARY, CLOSE, CONTINUATION, Client, Frame, PING, PONG, Server, TEXT, handshake, masked,
};

const FIN: u8 = 0x80;
const ALL: [&str; 6] = ["/ws", "/ws/project", "/ws/rooms", "/ws/chat", "/ws/events", "/echo"];
/// How often a client may try again that has to be in time: its thread may get no processor.
const ATTEMPTS: usize = 5;

fn with_heartbeat(interval_ms: u64, timeout_ms: u64) -> Config {
    let mut config = Config::default();
    let interval = Duration::from_millis(interval_ms);
    config.set_heartbeat(None, Heartbeat { interval, timeout: Duration::from_millis(timeout_ms) });
    config
}

#[test]
fn each_greets_in_its_own_way() {
    let server = Server::plain();
    assert_eq!(server.client("/ws").json()["type"], "welcome");
    let mut chat = server.client("/ws/chat").json();
    assert_eq!(chat["type"], "connected");
    assert!(chat["client_id"].take().as_str().is_some_and(|id| !id.is_empty()));
    let events = server.client("/ws/events").json();
    assert_eq!(events["status"], "connected");
    assert!(events["connectionId"].as_str().is_some_and(|id| id.starts_with("conn-")));
    // Nothing comes before the first word of the client: its own pong is the first.
    for quiet in ["/ws/project", "/ws/rooms"] {
        let mut client = server.client(quiet);
        client.frame_out(FIN | PING, b"first");
        assert_eq!(client.frame().expect("a pong").opcode, PONG);
    }
}

#[test]
fn a_project_is_named_by_the_path_and_hears_nothing_of_another() {
    let server = Server::plain();
    let mut ada = server.client("/ws/project/one");
    let mut bob = server.client("/ws/project/one");
    let mut eve = server.client("/ws/project/other");
    let mut unnamed = server.client("/ws/project");
    let mut default = server.client("/ws/project/default");
    ada.text("hello");
    assert_eq!(ada.frame().expect("an echo").text(), "hello");
    assert_eq!(bob.frame().expect("a copy").text(), "hello");
    unnamed.text("by default");
    assert_eq!(default.frame().expect("a copy").text(), "by default");
    // The first that each of them hears of others is its own fence.
    for client in [&mut ada, &mut bob, &mut eve] {
        client.frame_out(FIN | PING, b"");
        assert_eq!(client.frame().expect("a pong").opcode, PONG);
    }
}

#[test]
fn a_room_named_by_the_path_is_joined_at_once() {
    let server = Server::plain();
    let mut ada = server.client("/ws/rooms/lobby");
    let joined = ada.until_tagged("RoomJoined");
    assert_eq!(joined["room_id"], "lobby");
    let mut bob = server.client("/ws/rooms");
    bob.say(&json!({"JoinRoom": "lobby"}));
    let newcomer = bob.until_tagged("RoomJoined")["client_id"].clone();
    assert_eq!(ada.until_tagged("RoomJoined")["client_id"], newcomer);
    assert_ne!(joined["client_id"], newcomer);
}

#[test]
fn a_name_that_is_not_admitted_is_not_found() {
    let server = Server::plain();
    let long = "x".repeat(65);
    for path in [
        "/ws/project/a.b",
        "/ws/project/a%20b",
        "/ws/project/a/b",
        &format!("/ws/project/{long}"),
        &format!("/ws/rooms/{long}"),
        "/ws/rooms/a%2Fb",
        "/ws/chat/K7M2QX",
        "/ws/events/files",
        "/ws/other",
    ] {
        let answer = server.ask(&handshake(path, ""));
        assert!(answer.starts_with("HTTP/1.1 404 "), "{path}: {answer}");
    }
    // Before anything else is looked at.
    assert!(server.get("/ws/project/a.b").starts_with("HTTP/1.1 404 "));
    assert!(server.get("/ws/project/a").starts_with("HTTP/1.1 426 "));
}

#[test]
fn a_dialect_is_served_at_its_mounts_too() {
    let mount = |dialect, path: &str| Mount { dialect, path: path.into() };
    let mounts = vec![
        mount(Dialect::Events, "/live"),
        mount(Dialect::Project, "/p"),
        mount(Dialect::Chat, "/"),
    ];
    let server = Server::start(Config { mounts, ..Config::default() });
    assert_eq!(server.client("/live").json()["status"], "connected");
    assert_eq!(server.client("/").json()["type"], "connected");
    // It is the same world, wherever one comes in.
    let mut here = server.client("/p/one");
    let mut there = server.client("/ws/project/one");
    here.text("hello");
    assert_eq!(there.frame().expect("a copy").text(), "hello");
    assert!(server.ask(&handshake("/p/a.b", "")).starts_with("HTTP/1.1 404 "));
    assert!(server.ask(&handshake("/live/x", "")).starts_with("HTTP/1.1 404 "));
}

/// Does the same with a client of each dialect, side by side.
fn in_each(server: &Server, act: impl Fn(&str, Client) + Sync) {
    thread::scope(|scope| {
        for path in ALL {
            let act = &act;
            scope.spawn(move || act(path, server.client(path)));
        }
    });
}

/// Reads to the Close frame: its code, and how many pings came before it.
fn end_of(client: &mut Client, mut at_ping: impl FnMut(&mut Client)) -> (u16, usize) {
    let mut pings = 0;
    loop {
        let frame = client.frame().expect("a Close before the end");
        match frame.opcode {
            PING => {
                pings += 1;
                at_ping(client);
            }
            CLOSE => return (u16::from_be_bytes([frame.payload[0], frame.payload[1]]), pings),
            _ => {}
        }
    }
}

#[test]
fn a_silent_client_is_given_up_in_every_dialect() {
    let server = Server::start(with_heartbeat(100, 350));
    in_each(&server, |path, mut client| {
        // In `events` the second tick without a pong is the end, whatever the timeout.
        let most = if path == "/ws/events" { 1 } else { 3 };
        let (code, pings) = end_of(&mut client, |_| {});
        // A server that was late skips ticks, or gives time for the ping that it sent late.
        let most = 2 * most;
        assert!(code == 4000 && (1..=most).contains(&pings), "{path}: {code}, {pings} pings");
    });
}

#[test]
fn a_client_that_answers_pings_lives_on_in_every_dialect() {
    let server = Server::start(with_heartbeat(600, 1800));
    in_each(&server, |path, first| {
        let others = (1..ATTEMPTS).map(|_| server.client(path));
        let mut all = std::iter::once(first).chain(others);
        // Five pings: more time than silence is borne.
        let lived = all.any(|mut client| {
            lives_through(5, &mut client, PING, &|client, ping| {
                client.frame_out(FIN | PONG, &ping.payload);
            })
        });
        assert!(lived, "{path}");
    });
}

/// Answers so many frames of this kind; says whether the Close frame came before.
fn lives_through(
    count: usize,
    client: &mut Client,
    kind: u8,
    answer: &dyn Fn(&mut Client, &Frame),
) -> bool {
    let mut answered = 0;
    while answered < count {
        let frame = client.frame().expect("a Close before the end");
        if frame.opcode == CLOSE {
            return false;
        }
        if frame.opcode == kind {
            answered += 1;
            answer(client, &frame);
        }
    }
    true
}

#[test]
fn talking_is_a_sign_of_life_only_where_the_dialect_says_so() {
    let server = Server::start(with_heartbeat(300, 900));
    // One word at each of six pings, and no pong.
    let pings = |path: &str, mut client: Client| {
        let mut said = 0;
        let (code, pings) = end_of(&mut client, |client| {
            said += 1;
            if said <= 6 {
                client.text("{}");
            }
        });
        assert_eq!(code, 4000, "{path}");
        pings
    };
    in_each(&server, |path, client| match path {
        "/ws" | "/ws/chat" | "/echo" => {
            let others = (1..ATTEMPTS).map(|_| server.client(path));
            let mut all = std::iter::once(client).chain(others);
            assert!(all.any(|client| pings(path, client) >= 6), "{path}");
        }
        _ => {
            let pings = pings(path, client);
            assert!(pings < 6, "{path}: {pings}");
        }
    });
}

#[test]
fn the_message_pong_keeps_a_client_of_rooms_alive_and_ticks_bring_the_message_ping() {
    let server = Server::start(with_heartbeat(300, 900));
    let lived = (0..ATTEMPTS).any(|_| {
        let mut client = server.client("/ws/rooms");
        lives_through(6, &mut client, TEXT, &|client, ping| {
            assert_eq!(ping.text(), r#""Ping""#);
            client.text(r#""Pong""#);
        })
    });
    assert!(lived);
}

#[test]
fn heartbeats_are_set_for_each_dialect_apart() {
    let mut config = Config::default();
    let heartbeat =
        |ms| Heartbeat { interval: Duration::from_millis(ms), timeout: Duration::from_secs(60) };
    config.set_heartbeat(Some(Dialect::Chat), heartbeat(40));
    let server = Server::start(config);
    let mut quiet = server.client("/ws/events");
    quiet.json();
    let mut lively = server.client("/ws/chat");
    lively.json();
    for _ in 0..5 {
        assert_eq!(lively.frame().expect("a ping").opcode, PING);
    }
    quiet.frame_out(FIN | PING, b"");
    assert_eq!(quiet.frame().expect("a pong").opcode, PONG);
}

/// One message in frames of this length.
fn fragments(opcode: u8, message: &[u8], length: usize) -> Vec<u8> {
    let count = message.len().div_ceil(length);
    let mut bytes = Vec::new();
    for (piece, place) in message.chunks(length).zip(1..) {
        let opcode = if place == 1 { opcode } else { CONTINUATION };
        bytes.extend(masked(if place == count { FIN | opcode } else { opcode }, piece));
    }
    bytes
}

#[test]
fn a_project_takes_two_mebibytes_in_frames_of_128_kibibytes_and_no_more() {
    let server = Server::plain();
    let longest = vec![b'x'; 2 << 20];
    let mut ada = server.client("/ws/project/p");
    let mut bob = server.client("/ws/project/p");
    // Three in a row: a reader that reads gets them all, though one alone is over its queue's limit.
    for _ in 0..3 {
        ada.raw(&fragments(TEXT, &longest, 128 << 10));
        for client in [&mut ada, &mut bob] {
            let frame = client.frame().expect("a copy");
            assert!(frame.opcode == TEXT && frame.payload == longest, "{}", frame.opcode);
        }
    }
    let too_long = vec![b'x'; (2 << 20) + 1];
    ada.raw(&fragments(TEXT, &too_long, 128 << 10));
    assert_eq!(ada.close_code().0, 1009);
    // The header alone says that the frame is too long.
    let frame = masked(FIN | TEXT, &vec![b'x'; (128 << 10) + 1]);
    bob.raw(&frame[..14]);
    assert_eq!(bob.close_code().0, 1009);
}

#[test]
fn other_dialects_take_what_the_option_says() {
    let mut config = Config::default();
    config.limits.message_bytes = 1000;
    let server = Server::start(config);
    for path in ["/ws", "/ws/rooms", "/ws/chat", "/ws/events"] {
        let mut client = server.client(path);
        client.text(&" ".repeat(1000));
        client.raw(&fragments(TEXT, &[b' '; 1001], 600));
        assert_eq!(client.close_code().0, 1009, "{path}");
    }
}

#[test]
fn binary_is_echoed_in_a_project_and_closed_with_1003_elsewhere() {
    let server = Server::plain();
    let mut ada = server.client("/ws/project/p");
    let mut bob = server.client("/ws/project/p");
    ada.frame_out(FIN | BINARY, &[0, 255, 1]);
    let echo = ada.frame().expect("an echo");
    assert_eq!((echo.opcode, echo.payload.as_slice()), (BINARY, [0, 255, 1].as_slice()));
    bob.text("fence");
    assert_eq!(bob.frame().expect("its echo").text(), "fence");
    for path in ["/ws", "/ws/rooms", "/ws/chat", "/ws/events"] {
        let mut client = server.client(path);
        client.frame_out(FIN | BINARY, b"x");
        assert_eq!(client.close_code().0, 1003, "{path}");
    }
}

#[test]
fn a_chat_goes_through() {
    let server = Server::plain();
    let mut ada = server.client("/ws/chat");
    let mut bob = server.client("/ws/chat");
    for (client, username) in [(&mut ada, "Ada"), (&mut bob, "Bob")] {
        client.say(&json!({"type": "set_username", "username": username}));
        client.until("username_set");
    }
    ada.say(&json!({"type": "create_room"}));
    let code = ada.until("room_created")["room_code"].clone();
    bob.say(&json!({"type": "join_room", "room_code": code}));
    assert_eq!(bob.until("room_joined")["partner"], "Ada");
    assert_eq!(ada.until("partner_joined")["username"], "Bob");
    ada.say(&json!({"type": "chat", "content": "hello"}));
    let heard = bob.until("chat");
    assert_eq!((&heard["from"], &heard["content"]), (&json!("Ada"), &json!("hello")));
    drop(ada);
    bob.until("partner_left");
}

#[test]
fn connections_messages_and_rooms_are_counted_by_dialect() {
    let server = Server::plain();
    let mut client = server.client("/ws/rooms/lobby");
    client.until_tagged("RoomJoined");
    client.say(&json!({"UpdatePresence": {"status": "Idle"}}));
    let told = client.until_tagged("PresenceUpdated");
    assert_eq!(told["presence"]["status"], Value::from("Idle"));
    let mut other = server.client("/ws/project/p");
    other.text("hello");
    other.frame().expect("an echo");
    for (line, expected) in [
        (r#"tidemark_dialect_connections{dialect="rooms"}"#, 1),
        (r#"tidemark_dialect_connections{dialect="chat"}"#, 0),
        (r#"tidemark_dialect_connections_opened_total{dialect="project"}"#, 1),
        (r#"tidemark_dialect_rooms{dialect="rooms"}"#, 1),
        (r#"tidemark_dialect_rooms{dialect="native"}"#, 0),
        ("tidemark_connections", 2),
        ("tidemark_rooms", 2),
    ] {
        assert_eq!(server.metric(line), Some(expected), "{line}");
    }
    // Counted when the turn is over, which may be after its answer has come.
    for line in ["rooms", "project"] {
        let line = format!(r#"tidemark_dialect_messages_total{{dialect="{line}"}}"#);
        server.until_metric(&line, 1);
    }
}
