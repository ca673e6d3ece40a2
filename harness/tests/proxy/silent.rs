//! Without a fault, nothing changes.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Mutex, PoisonError};
use std::thread;

use super::programs::{Middle, run};
use super::server::Foreign;

const RUNS: u32 = 50;
const AT_A_TIME: usize = 4;

/// A little of everything that the protocol has.
const LITTLE: &str = "
scenario: little
vars: { room: lobby-$run }
clients: { alice: {}, crowd: { clients: 3 } }
steps:
  - as: alice
    each: [ { open: {} }, { join: $room } ]
    within: 30s
  - as: crowd
    each: [ { open: {} }, { join: $room } ]
    within: 30s
  - as: alice
    store: { put: { topic: tea } }
    within: 30s
  - as: alice
    presence: { status: away }
    within: 30s
  - phase:
      name: talk
      for: 300ms
      run:
        - as: crowd
          every: 100/s
          say: { size: 200B }
  - as: crowd
    say: { size: 40KiB }
    within: 30s
  - settle: 5s
  - as: alice
    close: {}
    within: 30s
checks: { delivery: exactly-once }
";

#[test]
fn fifty_runs_find_nothing() {
    let Some(foreign) = Foreign::start("native.py", &["--heartbeat", "500ms/30s"]) else { return };
    // Nothing at all is wanted; and everything is looked at and spared.
    let nothing = Middle::start(&foreign.url, &[], &["--quiet"]);
    let spared = [
        "drop to=client event=message after=1000000",
        "hold=3 to=server after=1000000",
        "delay=1s after=1000000",
    ];
    let watched = Middle::start(&foreign.url, &spared, &["--dialect", "native", "--quiet"]);
    let (todo, failed) = (Mutex::new(0..RUNS), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for _ in 0..AT_A_TIME {
            scope.spawn(|| {
                while let Some(nth) = todo.lock().unwrap_or_else(PoisonError::into_inner).next() {
                    let middle = if nth % 2 == 0 { &nothing } else { &watched };
                    let ran = run(LITTLE, &["--dialect", "native", "--target", &middle.url]);
                    if ran.code != Some(0) || ran.json["findings"] != 0 {
                        failed.lock().unwrap_or_else(PoisonError::into_inner).push(ran.said);
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().unwrap_or_else(PoisonError::into_inner);
    assert!(failed.is_empty(), "{} of {RUNS}:\n{}", failed.len(), failed.join("\n\n"));
    assert!(nothing.recorded().is_empty() && watched.recorded().is_empty());
    foreign.ends_well();
}

/// A server that answers each upgrade, then says this and hangs up; it hands out what it was told.
fn says(words: &'static [u8]) -> (String, thread::JoinHandle<Vec<u8>>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("ws://{}", listener.local_addr().expect("an address"));
    let heard = thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("the proxy");
        let mut heard = Vec::new();
        while !heard.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            assert_eq!(stream.read(&mut byte).expect("a head"), 1);
            heard.extend(byte);
        }
        stream.write_all(words).expect("it takes it");
        stream.shutdown(std::net::Shutdown::Write).expect("an end");
        stream.read_to_end(&mut heard).expect("to its end");
        heard
    });
    (url, heard)
}

/// What a client hears that says this.
fn told(url: &str, words: &[u8]) -> Vec<u8> {
    let address = url.strip_prefix("ws://").expect("a URL");
    let mut stream = TcpStream::connect(address).expect("the proxy listens");
    stream.write_all(words).expect("it takes it");
    stream.shutdown(std::net::Shutdown::Write).expect("an end");
    let mut heard = Vec::new();
    stream.read_to_end(&mut heard).expect("to its end");
    heard
}

const ASKS: &[u8] = b"GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
      Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";

#[test]
fn bytes_pass_as_they_are_and_so_do_ends() {
    // Right frames, fragments with a ping between them, frames that break RFC 6455, half a frame; an
    // answer that is no upgrade; no HTTP at all.
    let cases: [(&[u8], &[u8], &'static [u8]); 5] = [
        (
            ASKS,
            b"\x81\x82abcd\x09\x0b",
            b"HTTP/1.1 101 x\r\nA: b\r\n\r\n\x81\x02hi\x01\x01a\x89\x00\x80\x01b",
        ),
        (
            ASKS,
            b"\xff\xff\x00\x01",
            b"HTTP/1.1 101 x\r\n\r\n\xf3\x80\0\0\0\0\x81\x7f\xff\xff\xff\xff\xff\xff\xff\xff!!",
        ),
        (ASKS, b"\x81\x85ab", b"HTTP/1.1 101 x\r\n\r\n\x81\x7e\x10\x00half"),
        (ASKS, b"", b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno"),
        (b"GET / HTTP/1.1\r\n\r\n", b"body", b"\x15\x03\x01\x00\x02"),
    ];
    let faults = ["duplicate event=message", "drop opcode=11", "hold=3 opcode=binary"];
    for (head, more, answer) in cases {
        for faults in [&[][..], &faults] {
            let (target, server) = says(answer);
            let middle = Middle::start(&target, faults, &["--dialect", "native", "--quiet"]);
            let said = [head, more].concat();
            let heard = told(&middle.url, &said);
            // A control frame does not wait for the message that it stands in.
            let early = heard.ends_with(b"\x81\x02hi\x89\x00\x01\x01a\x80\x01b");
            let is_early = !faults.is_empty() && early;
            let is_same = heard == answer || is_early && heard.len() == answer.len();
            assert!(is_same, "{}", String::from_utf8_lossy(&heard));
            assert_eq!(server.join().expect("it ends"), said);
        }
    }
}

#[test]
fn what_would_hide_frames_is_not_offered() {
    let (target, server) = says(b"HTTP/1.1 101 x\r\n\r\n");
    let middle = Middle::start(&target, &[], &["--quiet", "--host", "elsewhere:1"]);
    let offers = String::from_utf8_lossy(ASKS).replace(
        "Host: x\r\n",
        "Host: x\r\nSec-WebSocket-Extensions: permessage-deflate\r\nX-Own: kept\r\n",
    );
    told(&middle.url, offers.as_bytes());
    let heard = String::from_utf8(server.join().expect("it ends")).expect("a head");
    assert!(!heard.contains("permessage") && heard.contains("X-Own: kept\r\n"), "{heard}");
    assert!(heard.contains("Host: elsewhere:1\r\n") && !heard.contains("Host: x"), "{heard}");
}

#[test]
fn a_target_that_is_not_there_ends_the_connection() {
    let free = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("ws://{}", free.local_addr().expect("an address"));
    drop(free);
    let middle = Middle::start(&url, &[], &["--quiet"]);
    let address = middle.url.strip_prefix("ws://").expect("a URL");
    let mut stream = TcpStream::connect(address).expect("the proxy listens");
    let mut heard = Vec::new();
    // By a reset, or where that came before this side looked, by an end.
    let ended = stream.read_to_end(&mut heard);
    assert!(heard.is_empty() && ended.map_or(true, |count| count == 0));
}

/// What the proxy costs, measured here and now: `cargo test -p harness --test proxy -- --ignored
/// --nocapture`. It asserts nothing about speed.
#[test]
#[ignore = "it measures, and takes its time"]
fn what_it_costs() {
    let Some(foreign) = Foreign::start("native.py", &["--heartbeat", "30s/60s"]) else { return };
    let nothing = Middle::start(&foreign.url, &[], &["--quiet"]);
    let spared = ["drop to=client event=message after=1000000"];
    let watched = Middle::start(&foreign.url, &spared, &["--dialect", "native", "--quiet"]);
    let scenario = LITTLE.replace("for: 300ms", "for: 10s");
    for (what, url) in [
        ("no proxy", &foreign.url),
        ("a proxy without rules", &nothing.url),
        ("a proxy that looks at each message", &watched.url),
        ("no proxy, again", &foreign.url),
    ] {
        let ran = run(&scenario, &["--dialect", "native", "--target", url]);
        ran.passed();
        let it = &ran.json["metrics"]["deliver.latency.service"];
        println!("{what}: p50 {} µs, p99 {} µs, mean {} µs", it["p50"], it["p99"], it["mean"]);
    }
}
