//! tide-websockets guarded is like the default in everything that is tested; tide-websockets as people
//! use it is not, and these are its faults.

use std::{
    io::{self, Read},
    net::{Shutdown, TcpStream},
    process::Command,
    thread,
    time::Duration,
};

use reference_server::{Config, Data, Transport};
use serde_json::json;

use crate::common::{CLOSE, Client, Frame, PATIENCE, Server, TEXT, handshake};

#[test]
fn every_other_test_passes_over_tide_websockets_too() {
    let mut tests = Command::new(std::env::current_exe().expect("a program"));
    tests
        .args(["--skip", "transports::", "--test-threads", "2"])
        .env("TIDEMARK_TRANSPORT", "tide-websockets");
    let run = tests.output().expect("it runs");
    let told = String::from_utf8_lossy(&run.stdout);
    assert!(run.status.success(), "{told}");
    let passed = told.lines().filter(|line| line.ends_with(" ... ok")).count();
    assert!(passed > 50, "{passed} tests: {told}");
}

fn naive() -> Server {
    let mut config = Config { transport: Transport::Naive, publish: true, ..Config::default() };
    config.limits.requests_per_s = 0;
    Server::start(config)
}

fn join(client: &mut Client, room: &str) {
    client.text(&json!({"type": "join", "room": room, "membership": "none"}).to_string());
    client.until("joined");
}

fn member(server: &Server, room: &str) -> Client {
    let mut client = server.native();
    join(&mut client, room);
    client
}

fn chat(client: &mut Client, room: &str, text: &str) {
    client.text(&json!({"type": "chat", "room": room, "text": text}).to_string());
}

#[test]
fn the_naive_one_serves_those_who_behave() {
    let server = naive();
    let mut clients: Vec<_> = (0..3).map(|_| member(&server, "r")).collect();
    for number in 0..20 {
        let speaker = &mut clients[number % 3];
        chat(speaker, "r", &number.to_string());
        for client in &mut clients {
            let event = client.until("chat");
            assert_eq!(
                (&event["seq"], &event["text"]),
                (&json!(number + 1), &json!(number.to_string()))
            );
        }
    }
    let mut subscriber = server.client("/ws/events");
    assert!(subscriber.json().is_object());
    let health = "GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    assert!(server.ask(health).ends_with("ok\n"));
}

/// Reads what comes until it is so much, or until nothing has come for a second in which the rest of
/// the server went on; says how much it was.
fn read_until_silence(stream: &mut TcpStream, most: usize, mut goes_on: impl FnMut()) -> usize {
    stream.set_read_timeout(Some(Duration::from_secs(1))).expect("a timeout");
    let mut buffer = vec![0; 1 << 20];
    let mut total = 0;
    while total < most {
        match stream.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => total += read,
            Err(_) => {
                goes_on();
                stream.set_nonblocking(true).expect("an option");
                let more = stream.peek(&mut [0]);
                stream.set_nonblocking(false).expect("an option");
                if more.is_err() {
                    break;
                }
            }
        }
    }
    total
}

#[test]
fn the_naive_one_lets_a_reader_that_stops_freeze_its_room() {
    const MESSAGES: usize = 2000;
    let server = naive();
    let mut other_room = member(&server, "other");
    let mut healthy = member(&server, "r").stream;
    let stuck = member(&server, "r");
    let mut speaker = member(&server, "r");
    let mut echo = speaker.stream.try_clone().expect("a descriptor");
    let listening = thread::spawn(move || io::copy(&mut echo, &mut io::sink()));
    // Thirty megabytes: more than both kernels hold for one connection.
    let text = "x".repeat(15_000);
    let speaking = thread::spawn(move || {
        for _ in 0..MESSAGES {
            chat(&mut speaker, "r", &text);
        }
        speaker
    });
    let all = MESSAGES * 15_000;
    // Another room goes on and on, with not a byte for this one meanwhile.
    let heard = read_until_silence(&mut healthy, all, || {
        for _ in 0..50 {
            chat(&mut other_room, "other", "hello");
            other_room.until("chat");
        }
    });
    assert!(heard < all, "nobody was held up");
    // With the stuck one gone, so does this: however slowly, all of it comes.
    drop(stuck);
    healthy.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    let (mut rest, mut buffer) = (heard, vec![0; 1 << 20]);
    while rest < all {
        let read = healthy.read(&mut buffer).expect("it goes on");
        assert!(read > 0, "cut after {rest}");
        rest += read;
    }
    let speaker = speaking.join().expect("everything was sent");
    speaker.stream.shutdown(Shutdown::Both).expect("open");
    listening.join().expect("no panic").expect("read to the end");
}

#[test]
fn the_naive_one_keeps_storage_where_it_is_told_to() {
    let dir = tempfile::tempdir().expect("a directory");
    let data = Some(Data::open(dir.path()).expect("a store"));
    let mut config = Config { transport: Transport::Naive, data, ..Config::default() };
    // A room is forgotten as soon as it is empty.
    config.limits.history_window = Duration::ZERO;
    let server = Server::start(config);
    let mut client = server.native();
    let mut versions = Vec::new();
    for _ in 0..2 {
        client.say(&json!({"type": "join", "room": "r"}));
        versions.push(client.until("joined")["storage"]["version"].clone());
        let put = json!({"put": {"key": "k", "value": 1}});
        client.say(&json!({"type": "store", "room": "r", "ops": [put]}));
        client.until("stored");
        client.say(&json!({"type": "leave", "room": "r"}));
        client.until("left");
    }
    assert_eq!(versions, [json!(0), json!(1)]);
}

#[test]
fn the_naive_one_checks_and_says_nothing() {
    let server = naive();
    // No version, and one that nobody speaks (RFC 6455, 4.4).
    for version in ["", "Sec-WebSocket-Version: 8\r\n"] {
        let request = handshake("/echo", "").replace("Sec-WebSocket-Version: 13\r\n", version);
        let mut client = Client::over(server.tcp());
        client.raw(request.as_bytes());
        assert!(client.head().starts_with("HTTP/1.1 101 "), "{request}");
    }
    // Longer than any limit.
    let mut client = server.client("/echo");
    let long = "x".repeat(3 << 20);
    client.text(&long);
    assert_eq!(client.frame().expect("an echo").payload.len(), long.len());
    // Whatever the code, it is answered with 1000.
    client.frame_out(0x80 | CLOSE, &3000_u16.to_be_bytes());
    let close = Frame { opcode: CLOSE, payload: 1000_u16.to_be_bytes().to_vec() };
    assert_eq!(client.frame(), Some(close));
    // A breach is answered with nothing at all.
    for breach in [[0x80 | TEXT, 0x81, 0, 0, 0, 0, 0xff].as_slice(), &[0x80 | TEXT, 1, b'x']] {
        let mut client = server.client("/echo");
        client.raw(breach);
        assert_eq!(client.frame(), None, "{breach:?}");
    }
}
