//! Rooms over sockets: what concurrency, congestion and one bad member must not change.

#![expect(clippy::indexing_slicing, reason = "a test may fail by a panic")]

use std::{collections::BTreeSet, io::Write, net::Shutdown, sync::Barrier, thread, time::Duration};

use reference_server::Config;
use serde_json::{Value, json};

use crate::common::{CLOSE, Client, PING, PONG, Server, TEXT, masked};

/// No limit on requests: these tests send faster than anybody would.
fn unlimited() -> Config {
    let mut config = Config::default();
    config.limits.requests_per_s = 0;
    config
}

fn join(client: &mut Client, room: &str) -> Value {
    client.text(&json!({"type": "join", "room": room}).to_string());
    client.until("joined")
}

fn listener(server: &Server, room: &str) -> Client {
    let mut client = server.native();
    let request = json!({"type": "join", "room": room, "membership": "none"});
    client.text(&request.to_string());
    client.until("joined");
    client
}

fn chat(client: &mut Client, room: &str, text: &str) {
    client.text(&json!({"type": "chat", "room": room, "text": text}).to_string());
}

/// The `seq` and text of the next chat.
fn heard(client: &mut Client) -> (u64, String) {
    let event = client.until("chat");
    (event["seq"].as_u64().expect("a seq"), event["text"].as_str().expect("a text").to_owned())
}

#[test]
fn everybody_hears_every_message_once_in_one_order() {
    let server = Server::start(unlimited());
    let senders = 4;
    let each = 500;
    let mut listeners: Vec<_> = (0..6).map(|_| listener(&server, "r")).collect();
    // All are in before the first says anything.
    let clients: Vec<_> = (0..senders).map(|_| listener(&server, "r")).collect();
    let sending: Vec<_> = clients
        .into_iter()
        .zip(0..senders)
        .map(|(mut client, sender)| {
            thread::spawn(move || {
                let mut bytes = Vec::new();
                for number in 0..each {
                    let text = format!("{sender} {number}");
                    let request = json!({"type": "chat", "room": "r", "text": text}).to_string();
                    bytes.extend(masked(0x80 | TEXT, request.as_bytes()));
                }
                client.raw(&bytes);
                (0..senders * each).map(|_| heard(&mut client)).collect::<Vec<_>>()
            })
        })
        .collect();
    let first: Vec<_> = (0..senders * each).map(|_| heard(&mut listeners[0])).collect();
    for (at, (seq, _)) in first.iter().enumerate() {
        assert_eq!(*seq, at as u64 + 1);
    }
    for listener in &mut listeners[1..] {
        assert!(first.iter().all(|expected| heard(listener) == *expected));
    }
    for thread in sending {
        assert_eq!(thread.join().expect("no panic"), first);
    }
    // What was heard is what was counted: nine others for each message, and the sender.
    let total = senders * each;
    assert_eq!(
        server.metric(r#"tidemark_deliveries_total{kind="chat",to="others"}"#),
        Some(total * 9)
    );
    assert_eq!(server.metric(r#"tidemark_deliveries_total{kind="chat",to="sender"}"#), Some(total));
}

#[test]
fn concurrent_first_joins_land_in_one_room() {
    let server = Server::plain();
    for round in 0..20 {
        let room = format!("race-{round}");
        let clients: Vec<_> = (0..8).map(|_| server.native()).collect();
        let start = Barrier::new(clients.len());
        let joined: Vec<_> = thread::scope(|scope| {
            let threads: Vec<_> = clients
                .into_iter()
                .map(|mut client| {
                    let (room, start) = (&room, &start);
                    scope.spawn(move || {
                        start.wait();
                        let joined = join(&mut client, room);
                        (client, joined)
                    })
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
        });
        let epochs: BTreeSet<_> =
            joined.iter().map(|(_, joined)| joined["epoch"].to_string()).collect();
        assert_eq!(epochs.len(), 1);
        let counts: BTreeSet<_> =
            joined.iter().map(|(_, joined)| joined["count"].as_u64()).collect();
        assert_eq!(counts, (1..=8).map(Some).collect());
    }
}

#[test]
fn joins_that_race_the_end_of_a_room_land_in_one_that_lives() {
    let mut config = unlimited();
    // A room dies as soon as it is empty.
    config.limits.history_window = Duration::ZERO;
    let server = Server::start(config);
    thread::scope(|scope| {
        for _ in 0..4 {
            let mut client = server.native();
            scope.spawn(move || {
                for round in 0..300 {
                    let joined = join(&mut client, "brief");
                    assert!(joined["members"].as_array().is_some_and(|all| !all.is_empty()));
                    // A fence in the room: whoever is let in is really in.
                    let text = round.to_string();
                    chat(&mut client, "brief", &text);
                    while client.until("chat")["member"] != joined["you"] {}
                    client.text(r#"{"type":"leave","room":"brief"}"#);
                    client.until("left");
                }
            });
        }
    });
    server.until_metric("tidemark_rooms", 0);
}

#[test]
fn a_reader_that_stops_is_cut_with_4008_and_delays_nobody() {
    let mut config = unlimited();
    config.limits.queue_bytes = 100_000;
    let server = Server::start(config);
    let mut stuck = listener(&server, "r");
    let mut watcher = server.native();
    join(&mut watcher, "r");
    let mut others: Vec<_> = (0..3).map(|_| listener(&server, "r")).collect();
    let mut sender = listener(&server, "r");
    let text = "x".repeat(10_000);
    let mut sent = 0;
    // Everybody but one hears every message; each has been heard before the next is sent, so that
    // no queue but the stuck one's ever holds two.
    while server.metric(r#"tidemark_closes_total{code="4008"}"#) != Some(1) {
        chat(&mut sender, "r", &text);
        sent += 1;
        for client in others.iter_mut().chain([&mut watcher, &mut sender]) {
            assert_eq!(heard(client).0, sent);
        }
        assert!(sent < 5000, "it is never cut");
    }
    let high = server.metric("tidemark_queue_high_water_bytes").expect("a number");
    assert!((100_000..300_000).contains(&high), "{high}");
    // The stuck one gets whole messages without a gap, and then is told why it gets no more.
    assert!(stuck.until_cut_as_slow() < sent);
}

#[test]
fn a_full_member_that_is_cut_leaves_as_slow() {
    let mut config = unlimited();
    config.limits.queue_bytes = 50_000;
    let server = Server::start(config);
    let mut stuck = server.native();
    let member = join(&mut stuck, "r")["you"].clone();
    let mut watcher = server.native();
    join(&mut watcher, "r");
    let text = "x".repeat(10_000);
    let left = loop {
        chat(&mut watcher, "r", &text);
        let event = watcher.json();
        if event["type"] == "member_left" {
            break event;
        }
    };
    assert_eq!((&left["member"], left["reason"].as_str()), (&member, Some("slow")));
}

#[test]
fn a_flood_that_the_server_can_hardly_take_in_cuts_no_reader_that_reads() {
    let mut config = unlimited();
    // Eighteen megabytes are on their way to each. A quarter of that is for test threads that get no
    // processor for longer than anybody's patience.
    config.limits.queue_bytes = 4 << 20;
    let server = Server::start(config);
    // Whoever gets none for even longer is cut rightly: then it is done again.
    assert!(
        (0..3).any(|round| all_hear_a_flood(&server, &format!("r-{round}"))),
        "a reader is cut"
    );
}

/// Floods a room; says whether everybody in it has heard everything.
fn all_hear_a_flood(server: &Server, room: &str) -> bool {
    let count = 300;
    let listeners: Vec<_> = (0..3).map(|_| listener(server, room)).collect();
    let senders: Vec<_> = (0..2).map(|_| listener(server, room)).collect();
    let request = json!({"type": "chat", "room": room, "text": "x".repeat(30_000)}).to_string();
    let frame = masked(0x80 | TEXT, request.as_bytes());
    let twin = |client: &Client| client.stream.try_clone().expect("a descriptor");
    let all: Vec<_> = listeners.iter().chain(&senders).map(twin).collect();
    // Readers that only count are quicker than a server that has to understand.
    let read_all = |mut client: Client| {
        let mut heard = 0;
        while heard < 2 * count {
            match client.last_frame() {
                Some(frame) if frame.opcode == TEXT => {
                    heard += usize::from(frame.payload.len() > 30_000);
                }
                _ => {
                    // The others may wait for what it has to say: it is over for them, too.
                    all.iter().for_each(|stream| drop(stream.shutdown(Shutdown::Both)));
                    return false;
                }
            }
        }
        true
    };
    thread::scope(|scope| {
        let read_all = &read_all;
        let mut reading: Vec<_> =
            listeners.into_iter().map(|client| scope.spawn(move || read_all(client))).collect();
        for mut client in senders {
            let (own, frame) = (Client::over(twin(&client)), &frame);
            reading.push(scope.spawn(move || read_all(own)));
            // One that is cut has nobody to talk to any more.
            scope.spawn(move || {
                (0..count).all(|_| client.stream.write_all(frame).is_ok());
            });
        }
        // All of them: no short cut.
        let heard: Vec<_> = reading.into_iter().map(|it| it.join().expect("no panic")).collect();
        !heard.contains(&false)
    })
}

#[test]
fn pings_are_answered_during_a_storm() {
    let mut config = unlimited();
    // The whole storm has room: a test thread that gets no processor is cut by no limit.
    config.limits.queue_bytes = 8 << 20;
    let server = Server::start(config);
    let mut client = listener(&server, "r");
    let mut sender = listener(&server, "r");
    let request = json!({"type": "chat", "room": "r", "text": "storm"}).to_string();
    let frame = masked(0x80 | TEXT, request.as_bytes()).repeat(50);
    let storm = thread::spawn(move || {
        let mut reading = Client::over(sender.stream.try_clone().expect("a descriptor"));
        let drained = thread::spawn(move || while reading.frame().is_some() {});
        for _ in 0..200 {
            sender.raw(&frame);
        }
        sender.stop_sending();
        drained.join().expect("no panic");
    });
    for number in 0..50_u32 {
        client.frame_out(0x80 | PING, &number.to_be_bytes());
        let pong = loop {
            let frame = client.frame().expect("a frame");
            assert_ne!(frame.opcode, CLOSE, "{frame:?}");
            if frame.opcode == PONG {
                break frame;
            }
        };
        assert_eq!(pong.payload, number.to_be_bytes());
    }
    drop(client);
    storm.join().expect("no panic");
}

#[test]
fn a_member_that_vanishes_is_seen_to_leave_and_the_room_goes_on() {
    let server = Server::plain();
    let mut watcher = server.native();
    join(&mut watcher, "r");
    for reset in [true, false] {
        let mut other = server.native();
        let member = join(&mut other, "r")["you"].clone();
        if reset {
            socket2::SockRef::from(&other.stream)
                .set_linger(Some(Duration::ZERO))
                .expect("a socket option");
        }
        // In the middle of a broadcast to itself.
        chat(&mut watcher, "r", "before");
        drop(other);
        let left = watcher.until("member_left");
        assert_eq!((&left["member"], left["reason"].as_str()), (&member, Some("closed")));
        chat(&mut watcher, "r", "after");
        while heard(&mut watcher).1 != "after" {}
    }
}

#[test]
fn a_silent_member_is_seen_to_leave_by_timeout() {
    let mut config = Config::default();
    config.limits.heartbeat_interval = Duration::from_millis(100);
    config.limits.heartbeat_timeout = Duration::from_millis(600);
    let server = Server::start(config);
    // Neither says a word more, so that nobody has to be in time: whoever came first goes first. On
    // a busy machine both may be due in one turn, or the first be gone before the second has come.
    let seen = (0..20).any(|round| {
        let room = format!("r-{round}");
        let mut silent = server.native();
        let member = join(&mut silent, &room)["you"].clone();
        for _ in 0..2 {
            while silent.frame().expect("a ping").opcode != PING {}
        }
        let mut watcher = server.native();
        join(&mut watcher, &room);
        loop {
            let frame = watcher.frame().expect("a Close before the end");
            if frame.opcode == CLOSE {
                break false;
            }
            if frame.opcode == TEXT && frame.text().contains("member_left") {
                let left: Value = serde_json::from_slice(&frame.payload).expect("JSON");
                let told = (&left["member"], left["reason"].as_str());
                assert_eq!(told, (&member, Some("timeout")));
                break true;
            }
        }
    });
    assert!(seen, "nobody is told");
}

#[test]
fn typing_ends_by_itself() {
    let server = Server::plain();
    let mut watcher = server.native();
    join(&mut watcher, "r");
    let mut typist = server.native();
    join(&mut typist, "r");
    typist.text(r#"{"type":"typing","room":"r","on":true}"#);
    assert_eq!(watcher.until("typing")["on"], true);
    assert_eq!(watcher.until("typing")["on"], false);
}

#[test]
fn bad_messages_are_answered_and_the_connection_goes_on() {
    let server = Server::plain();
    let mut client = server.native();
    let deep = "[".repeat(10_000);
    for bad in ["", "{", "[]", "null", "{}", r#"{"type":7}"#, r#"{"type":"nonsense"}"#, &deep] {
        client.text(bad);
        assert_eq!(client.json()["type"], "error", "{bad:.20}");
    }
    client.text(r#"{"type":"ping","id":1}"#);
    assert_eq!(client.json(), json!({"type": "pong", "re": 1}));
}

#[test]
fn a_snapshot_longer_than_the_queue_reaches_a_reader_that_reads() {
    let mut config = unlimited();
    config.limits.queue_bytes = 64 * 1024;
    let server = Server::start(config);
    let mut first = server.native();
    join(&mut first, "r");
    for key in 0..15 {
        let value = "v".repeat(60_000);
        let op = json!({"put": {"key": key.to_string(), "value": value}});
        first.text(&json!({"type": "store", "room": "r", "ops": [op]}).to_string());
        first.until("stored");
    }
    let mut second = server.native();
    let joined = join(&mut second, "r");
    assert_eq!(joined["storage"]["entries"].as_object().map(serde_json::Map::len), Some(15));
    second.frame_out(0x80 | PING, b"");
    assert_eq!(second.frame().expect("still connected").opcode, PONG);
}
