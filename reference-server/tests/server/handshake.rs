//! The door: which requests become WebSockets, and what the others are told.

use std::{io::Read, time::Duration};

use crate::common::{Client, PING, PONG, Server, TEXT, handshake, masked};
use reference_server::Config;

fn status(answer: &str) -> &str {
    answer.get("HTTP/1.1 ".len()..).and_then(|rest| rest.get(..3)).unwrap_or(answer)
}

#[test]
fn the_101_is_clean() {
    let server = Server::plain();
    let mut client = Client::over(server.tcp());
    client.raw(handshake("/echo", "").as_bytes());
    let head = client.head().to_lowercase();
    assert!(head.starts_with("http/1.1 101 switching protocols\r\n"), "{head}");
    // The sample of RFC 6455, 1.3.
    assert!(head.contains("sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo=\r\n"), "{head}");
    assert!(head.contains("upgrade: websocket\r\n"), "{head}");
    assert!(head.contains("connection: upgrade\r\n"), "{head}");
    assert!(!head.contains("content-length"), "{head}");
    assert!(!head.contains("transfer-encoding"), "{head}");
}

#[test]
fn a_frame_sent_together_with_the_handshake_is_not_lost() {
    let server = Server::plain();
    let mut client = Client::over(server.tcp());
    let mut bytes = handshake("/echo", "").into_bytes();
    bytes.extend(masked(0x80 | PING, b"early"));
    bytes.extend(masked(0x80 | TEXT, b"bird"));
    client.raw(&bytes);
    client.head();
    let pong = client.frame().expect("a pong");
    assert_eq!((pong.opcode, pong.payload.as_slice()), (PONG, b"early".as_slice()));
    assert_eq!(client.frame().expect("an echo").text(), "bird");
}

#[test]
fn a_handshake_that_comes_byte_by_byte_is_answered() {
    let server = Server::plain();
    let mut client = Client::over(server.tcp());
    for byte in handshake("/echo", "").bytes() {
        client.raw(&[byte]);
    }
    assert!(client.head().starts_with("HTTP/1.1 101"));
}

#[test]
fn what_is_no_upgrade_is_refused_with_the_status_that_says_why() {
    let server = Server::plain();
    let good = handshake("/ws", "");
    let without = |line: &str| {
        good.split_inclusive("\r\n").filter(|found| !found.starts_with(line)).collect::<String>()
    };
    for (request, expected, header) in [
        (without("Upgrade"), "426", "upgrade: websocket"),
        (without("Connection"), "426", "upgrade: websocket"),
        (without("Sec-WebSocket-Version"), "426", "sec-websocket-version: 13"),
        (good.replace("Version: 13", "Version: 8"), "426", "sec-websocket-version: 13"),
        (without("Sec-WebSocket-Key"), "400", ""),
        (good.replace("dGhlIHNhbXBsZSBub25jZQ==", "short"), "400", ""),
        (handshake("/ws", "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"), "400", ""),
        (handshake("/ws", "Sec-WebSocket-Protocol: other\r\n"), "400", ""),
        (handshake("/nowhere", ""), "404", ""),
        (good.replace("GET", "POST"), "405", ""),
        (good.replace("GET", "HEAD"), "426", "upgrade: websocket"),
        (good.replace("HTTP/1.1", "HTTP/1.0"), "400", ""),
        ("hello\r\n".to_owned(), "400", ""),
        ("\u{16}\u{3}\u{1}\u{2}".to_owned(), "400", ""),
        ("GET /ws HTTP/1.1\r\n\r\n".to_owned(), "400", ""),
        (handshake("/ws", &format!("A: {}\r\n", "a".repeat(9000))), "431", ""),
        (handshake("/ws", &"A: b\r\n".repeat(130)), "431", ""),
    ] {
        let answer = server.ask(&request);
        assert_eq!(status(&answer), expected, "{request}\n{answer}");
        assert!(answer.contains(header), "{request}\n{answer}");
        assert!(answer.contains("connection: close"), "{answer}");
    }
}

#[test]
fn the_offered_subprotocol_is_selected_and_none_is_fine_too() {
    let server = Server::plain();
    for (offer, selected) in [
        ("", false),
        ("Sec-WebSocket-Protocol: other, tidemark.v1\r\n", true),
        ("Sec-WebSocket-Protocol: other\r\nSec-WebSocket-Protocol: tidemark.v1\r\n", true),
    ] {
        let mut client = Client::over(server.tcp());
        client.raw(handshake("/ws", offer).as_bytes());
        let head = client.head();
        assert!(head.starts_with("HTTP/1.1 101"), "{head}");
        assert_eq!(head.contains("sec-websocket-protocol: tidemark.v1"), selected, "{head}");
    }
}

#[test]
fn a_foreign_origin_is_refused_when_there_is_a_list() {
    let config = Config { allow_origins: vec!["https://ours.example".into()], ..Config::default() };
    let server = Server::start(config);
    for (origin, expected) in [
        ("Origin: https://theirs.example\r\n", "403"),
        ("Origin: null\r\n", "403"),
        ("Origin: https://ours.example\r\nOrigin: https://theirs.example\r\n", "403"),
    ] {
        assert_eq!(status(&server.ask(&handshake("/ws", origin))), expected, "{origin}");
    }
    for origin in ["Origin: https://ours.example\r\n", ""] {
        let mut client = Client::over(server.tcp());
        client.raw(handshake("/ws", origin).as_bytes());
        assert!(client.head().starts_with("HTTP/1.1 101"), "{origin}");
    }
    assert_eq!(server.metric(r#"tidemark_handshakes_refused_total{status="403"}"#), Some(3));
}

#[test]
fn a_head_that_never_ends_is_answered_at_the_deadline() {
    let config = Config { handshake: Duration::from_millis(500), ..Config::default() };
    let server = Server::start(config);
    let mut slow = Client::over(server.tcp());
    slow.raw(b"GET /ws HTTP/1.1\r\nHost: x\r\n");
    let mut answer = String::new();
    slow.stream.read_to_string(&mut answer).expect("an answer");
    assert_eq!(status(&answer), "408");
}

#[test]
fn heads_that_are_not_finished_hold_up_nobody() {
    // Nobody here waits for a deadline.
    let config = Config { handshake: Duration::from_secs(3600), ..Config::default() };
    let server = Server::start(config);
    let head = handshake("/echo", "");
    let (begun, rest) = head.split_at(40);
    let mut slow: Vec<_> = (0..20).map(|_| Client::over(server.tcp())).collect();
    slow.iter_mut().for_each(|client| client.raw(begun.as_bytes()));
    let mut quick = server.client("/echo");
    quick.text("meanwhile");
    assert_eq!(quick.frame().expect("an echo").text(), "meanwhile");
    for client in &mut slow {
        client.raw(rest.as_bytes());
        assert!(client.head().starts_with("HTTP/1.1 101"));
    }
}

#[test]
fn over_the_cap_connections_are_refused_and_others_unaffected() {
    let server = Server::start(Config { max_connections: 2, ..Config::default() });
    let mut first = server.client("/echo");
    let second = server.client("/echo");
    let answer = server.ask(&handshake("/echo", ""));
    assert_eq!(status(&answer), "503");
    assert!(answer.contains("retry-after: "), "{answer}");
    first.text("still here");
    assert_eq!(first.frame().expect("an echo").text(), "still here");
    assert_eq!(status(&server.get("/healthz")), "200");
    assert_eq!(server.metric("tidemark_connections"), Some(2));

    // A place is free again as soon as a connection has ended.
    drop(second);
    let mut answer = String::new();
    while !answer.starts_with("HTTP/1.1 101") {
        let mut client = Client::over(server.tcp());
        client.raw(handshake("/echo", "").as_bytes());
        answer = client.head();
    }
}

#[test]
fn plain_requests_are_answered() {
    let server = Server::plain();
    assert!(server.get("/healthz").ends_with("\r\n\r\nok\n"));
    assert!(server.get("/readyz").ends_with("\r\n\r\nready\n"));
    let head = server.ask("HEAD /healthz HTTP/1.1\r\nHost: x\r\n\r\n");
    assert!(head.contains("content-length: 3\r\n") && head.ends_with("\r\n\r\n"), "{head}");
    let metrics = server.get("/metrics");
    assert!(metrics.contains("tidemark_deliveries_total{kind=\"chat\",to=\"others\"} 0"));
    assert!(metrics.ends_with("# EOF\n"), "{metrics}");
    let long = format!("POST /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n", 1 << 30);
    assert_eq!(status(&server.ask(&long)), "413");
    let chunked = "POST /healthz HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";
    assert_eq!(status(&server.ask(chunked)), "411");
    let body = "POST /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello";
    assert_eq!(status(&server.ask(body)), "405");
}
