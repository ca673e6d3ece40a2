//! Connections: who is let in, what keeps them, and how they end.

use std::time::{Duration, Instant};

use protocol::{Dialect, Heartbeat, pusher::App};
use reference_server::Config;
use serde_json::{Value, json};

use super::{PATH, Socket, config, heard, post, publish, serving};
use crate::common::{CLOSE, Client, Server, TEXT, until};

/// Reads the error that comes before a Close, and the Close: both say the same.
fn ending(client: &mut Client) -> (u16, String) {
    let (event, data) = heard(client);
    assert_eq!(event["event"], "pusher:error", "{event}");
    let (code, reason) = client.close_code();
    assert_eq!(data, json!({"code": code, "message": reason}));
    (code, reason)
}

#[test]
fn who_is_not_let_in_is_told_why_behind_the_upgrade() {
    let server = serving(&["id=1,key=app-key", "id=2,key=off,disabled"]);
    for (path, code) in [
        ("/app/nobodys?protocol=7", 4001),
        ("/app/off?protocol=7", 4003),
        ("/app?protocol=7", 4005),
        ("/app/app-key?protocol=seven", 4006),
        ("/app/app-key?protocol=3", 4007),
        ("/app/app-key?client=js", 4008),
        ("/app/app-key", 4008),
    ] {
        assert_eq!(ending(&mut server.client(path)).0, code, "{path}");
    }
    for protocol in [5, 6, 7] {
        let mut client = server.client(&format!("/app/app-key?client=x&protocol={protocol}"));
        let (event, data) = heard(&mut client);
        assert_eq!(event["event"], "pusher:connection_established");
        assert_eq!(data["activity_timeout"], 120);
    }
}

#[test]
fn an_application_has_so_many_connections_and_gets_their_places_back() {
    let server = serving(&["max_connections=2", "id=2,key=k2"]);
    let first = Socket::open(&server);
    let _second = Socket::open(&server);
    for _ in 0..3 {
        assert_eq!(ending(&mut server.client(PATH)).0, 4004);
    }
    // Another one's places are its own.
    let _other = Socket::of(&server, &App::new("2", "k2", "app-secret"));
    drop(first);
    until("the place is free", || {
        let mut client = server.client(PATH);
        heard(&mut client).0["event"] == "pusher:connection_established"
    });
}

#[test]
fn a_dialect_that_is_mounted_elsewhere_takes_keys_there() {
    let mount = reference_server::Mount { dialect: Dialect::Pusher, path: "/live".to_owned() };
    let server = Server::start(Config { mounts: vec![mount], ..Config::default() });
    let mut client = server.client("/live/app-key?protocol=7");
    assert_eq!(heard(&mut client).0["event"], "pusher:connection_established");
}

fn with_heartbeat(interval_ms: u64, timeout_ms: u64) -> Server {
    let mut config = Config::default();
    let heartbeat = Heartbeat {
        interval: Duration::from_millis(interval_ms),
        timeout: Duration::from_millis(timeout_ms),
    };
    config.set_heartbeat(Some(Dialect::Pusher), heartbeat);
    Server::start(config)
}

#[test]
fn a_silent_client_is_pinged_once_and_then_closed_with_4201() {
    let server = with_heartbeat(150, 400);
    // Before the server counts: whatever holds this thread up makes it later.
    let start = Instant::now();
    let mut client = server.client(PATH);
    let (_, data) = heard(&mut client);
    assert_eq!(data["activity_timeout"], 1, "whole seconds, rounded up");
    assert_eq!(client.json(), json!({"event": "pusher:ping", "data": "{}"}));
    assert!(start.elapsed() >= Duration::from_millis(150), "{:?}", start.elapsed());
    assert_eq!(ending(&mut client).0, 4201);
    assert!(start.elapsed() >= Duration::from_millis(400), "{:?}", start.elapsed());
    server.until_metric(r#"tidemark_closes_total{code="4201"}"#, 1);
}

#[test]
fn a_client_that_answers_stays() {
    let server = with_heartbeat(50, 60_000);
    let mut socket = Socket::open(&server);
    for _ in 0..3 {
        socket.hears("pusher:ping");
        socket.say("pusher:pong", &json!({}));
    }
}

#[test]
fn clients_of_a_private_channel_hear_each_other_and_their_backend() {
    let server = Server::plain();
    let [mut ada, mut bob, mut eve] = [(); 3].map(|()| Socket::open(&server));
    for socket in [&mut ada, &mut bob] {
        assert_eq!(socket.subscribe("private-x", None), json!({}));
    }
    eve.subscribe("private-y", None);
    ada.client.say(&json!({"event": "client-x", "channel": "private-x", "data": {"n": 1}}));
    let (event, data) = heard(&mut bob.client);
    assert_eq!((&event["event"], data), (&json!("client-x"), json!({"n": 1})));
    publish(&server, "private-x", "news", "plain");
    for socket in [&mut ada, &mut bob] {
        let heard = socket.client.json();
        assert_eq!(heard, json!({"event": "news", "channel": "private-x", "data": "plain"}));
    }
    // Nobody else does.
    eve.fence();
}

#[test]
fn what_is_wrong_is_told_and_the_connection_stays() {
    let server = Server::plain();
    let mut socket = Socket::open(&server);
    socket.client.text("{");
    socket.hears("pusher:error");
    socket.say("pusher:subscribe", &json!({"channel": "private-x", "auth": "app-key:0"}));
    let (event, data) = heard(&mut socket.client);
    assert_eq!((&event["channel"], &data["code"]), (&json!("private-x"), &json!(4009)));
    socket.fence();
}

#[test]
fn a_reader_that_is_too_slow_is_closed_with_4100_and_delays_nobody() {
    let mut config = Config::default();
    config.limits.queue_bytes = 300_000;
    let server = Server::start(config);
    let mut stuck = Socket::open(&server);
    let mut reads = Socket::open(&server);
    for socket in [&mut stuck, &mut reads] {
        socket.subscribe("news", None);
    }
    let event = json!({"channel": "news", "name": "n", "data": "x".repeat(10_000)});
    let batch = json!({ "batch": vec![event; 10] });
    until("it is cut", || {
        assert_eq!(post(&server, &App::default(), "batch_events", &batch).status, 200);
        (0..10).for_each(|_| drop(reads.hears("n")));
        server.metric(r#"tidemark_closes_total{code="4100"}"#) == Some(1)
    });
    // Whole frames, and then why there are no more.
    let last = loop {
        let frame = stuck.client.frame().expect("a Close before the end");
        match frame.opcode {
            TEXT => {
                let event: Value = serde_json::from_str(frame.text()).expect("JSON");
                assert_eq!(event["event"], "n");
            }
            _ => break frame,
        }
    };
    assert_eq!((last.opcode, &last.payload[..2]), (CLOSE, &4100_u16.to_be_bytes()[..]));
}

#[test]
fn terminated_and_evicted_clients_are_closed_with_4009() {
    let server = Server::start(Config { admin: true, ..config(&["id=1"]) });
    let mut of_ada = [(); 2].map(|()| Socket::open(&server));
    of_ada.iter_mut().for_each(|socket| socket.sign_in("ada lovelace"));
    let mut of_bob = Socket::open(&server);
    of_bob.sign_in("bob");
    let app = App::default();
    for (user, closed) in [("nobody", false), ("ada%20lovelace", true)] {
        let answer =
            post(&server, &app, &format!("users/{user}/terminate_connections"), &json!({}));
        assert_eq!((answer.status, answer.json), (200, json!({})), "{user} {closed}");
    }
    for socket in &mut of_ada {
        assert_eq!(ending(&mut socket.client), (4009, "connection terminated".to_owned()));
    }
    of_bob.fence();
    let evicted = server.send("DELETE", &format!("/admin/connections/{}", of_bob.id), "x", "");
    assert_eq!(evicted.status, 202, "by the id that it was told");
    assert_eq!(ending(&mut of_bob.client).0, 4009);
}

#[test]
fn when_the_server_stops_everybody_is_closed_with_1001() {
    let server = Server::plain();
    let mut socket = Socket::open(&server);
    socket.subscribe("presence-x", Some(r#"{"user_id":1}"#));
    server.shutdown.signal();
    assert_eq!(socket.client.close_code().0, 1001);
    drop(socket);
    server.ended().expect("a clean end");
}

#[test]
fn the_metrics_tell_of_it() {
    let server = Server::plain();
    let mut socket = Socket::open(&server);
    socket.subscribe("a", None);
    socket.subscribe("b", None);
    for (line, value) in [
        (r#"tidemark_dialect_connections{dialect="pusher"}"#, 1),
        (r#"tidemark_dialect_rooms{dialect="pusher"}"#, 2),
        (r#"tidemark_dialect_messages_total{dialect="pusher"}"#, 2),
    ] {
        server.until_metric(line, value);
    }
    publish(&server, "a", "news", "x");
    assert_eq!(post(&server, &App::default(), "events", &json!({})).status, 400);
    socket.hears("news");
    let requests = r#"tidemark_api_requests_total{request="events",status="#;
    assert_eq!(server.metric(&format!("{requests}\"200\"}}")), Some(1));
    assert_eq!(server.metric(&format!("{requests}\"400\"}}")), Some(1));
}
