//! RFC 6455 on an open connection: what is answered, and what ends it with which Close.

use crate::common::{BINARY, CLOSE, CONTINUATION, Client, PING, PONG, Server, TEXT, masked};

const FIN: u8 = 0x80;

fn close(code: u16, reason: &[u8]) -> Vec<u8> {
    masked(FIN | CLOSE, &[code.to_be_bytes().as_slice(), reason].concat())
}

#[test]
fn a_violation_is_answered_with_a_close_frame_before_the_end() {
    let server = Server::plain();
    let fragment = |text: &[u8]| masked(TEXT, text);
    let cases: Vec<(&str, Vec<u8>, u16)> = vec![
        ("unmasked", vec![FIN | TEXT, 2, b'h', b'i'], 1002),
        ("reserved bit", masked(FIN | 0x40 | TEXT, b"hi"), 1002),
        ("reserved opcode", masked(FIN | 3, b"hi"), 1002),
        ("reserved control", masked(FIN | 0xb, b"hi"), 1002),
        ("long ping", masked(FIN | PING, &[0; 126]), 1002),
        ("fragmented ping", masked(PING, b"hi"), 1002),
        ("long close", masked(FIN | CLOSE, &[3; 126]), 1002),
        ("close of one byte", masked(FIN | CLOSE, &[3]), 1002),
        ("close 0", close(0, b""), 1002),
        ("close 999", close(999, b""), 1002),
        ("close 1005", close(1005, b""), 1002),
        ("close 1006", close(1006, b""), 1002),
        ("close 1015", close(1015, b""), 1002),
        ("close 5000", close(5000, b""), 1002),
        ("bad close reason", close(1000, b"\xff"), 1007),
        ("bad UTF-8", masked(FIN | TEXT, b"\xce\xba\xff"), 1007),
        ("surrogate", masked(FIN | TEXT, b"\xed\xa0\x80"), 1007),
        ("bad UTF-8 over fragments", [fragment(b"\xce"), masked(FIN, b"\xce")].concat(), 1007),
        ("bad UTF-8 fails fast", fragment(b"\xff"), 1007),
        ("UTF-8 that ends early", masked(FIN | TEXT, b"\xce"), 1007),
        ("continuation of nothing", masked(FIN | CONTINUATION, b"hi"), 1002),
        ("text within text", [fragment(b"a"), masked(FIN | TEXT, b"b")].concat(), 1002),
        ("over the limit", masked(FIN | TEXT, &vec![b'a'; 65_537]), 1009),
        ("length 2^62", [vec![FIN | TEXT, 0xff, 0x40], vec![0; 11]].concat(), 1009),
        ("length 2^63", [vec![FIN | TEXT, 0xff, 0x80], vec![0; 11]].concat(), 1009),
    ];
    for (name, bytes, expected) in cases {
        let mut client = server.client("/ws");
        client.raw(&bytes);
        assert_eq!(client.close_code().0, expected, "{name}");
    }
}

#[test]
fn fragments_are_limited_by_their_sum() {
    let server = Server::plain();
    let mut client = server.client("/ws");
    let mut bytes = masked(TEXT, &[b'a'; 1000]);
    for _ in 0..65 {
        bytes.extend(masked(CONTINUATION, &[b'a'; 1000]));
    }
    client.raw(&bytes);
    assert_eq!(client.close_code().0, 1009);
}

#[test]
fn a_close_frame_arrives_though_much_is_still_being_sent() {
    let server = Server::plain();
    let mut client = server.client("/ws");
    let mut bytes = vec![FIN | TEXT, 1, b'x'];
    bytes.extend(masked(FIN | TEXT, &[b'a'; 60_000]).repeat(20));
    client.raw(&bytes);
    assert_eq!(client.close_code().0, 1002);
}

#[test]
fn a_binary_message_is_refused_by_a_protocol_of_text() {
    let server = Server::plain();
    let mut client = server.client("/ws");
    client.frame_out(FIN | BINARY, b"hi");
    assert_eq!(client.close_code().0, 1003);
}

#[test]
fn a_close_is_echoed_with_its_code_and_reason() {
    let server = Server::plain();
    for (sent, code, reason) in [
        (close(1000, b"done"), 1000, "done"),
        (close(1001, b""), 1001, ""),
        (close(3000, b"mine"), 3000, "mine"),
        (close(4999, b""), 4999, ""),
        (masked(FIN | CLOSE, b""), 1005, ""),
    ] {
        let mut client = server.client("/echo");
        client.raw(&sent);
        assert_eq!(client.close_code(), (code, reason.to_owned()));
    }
    assert_eq!(server.metric(r#"tidemark_closes_total{code="1000"}"#), Some(1));
}

#[test]
fn what_was_asked_before_a_close_is_answered_before_it() {
    let server = Server::plain();
    let mut client = server.client("/echo");
    let mut bytes = masked(FIN | TEXT, b"one");
    bytes.extend(masked(FIN | PING, b"two"));
    bytes.extend(close(1000, b""));
    bytes.extend(masked(FIN | TEXT, b"too late"));
    client.raw(&bytes);
    assert_eq!(client.frame().expect("an echo").text(), "one");
    assert_eq!(client.frame().expect("a pong").opcode, PONG);
    assert_eq!(client.close_code().0, 1000);
}

#[test]
fn fragments_with_control_frames_between_them_are_one_message() {
    let server = Server::plain();
    let mut client = server.client("/echo");
    let mut bytes = masked(TEXT, "κό".as_bytes());
    bytes.extend(masked(FIN | PING, b"1"));
    bytes.extend(masked(CONTINUATION, b"\xcf"));
    bytes.extend(masked(FIN | PING, b"2"));
    bytes.extend(masked(FIN | PONG, b"nobody asked"));
    bytes.extend(masked(FIN | CONTINUATION, b"\x83"));
    client.raw(&bytes);
    for expected in [b"1", b"2"] {
        let pong = client.frame().expect("a pong");
        assert_eq!((pong.opcode, pong.payload.as_slice()), (PONG, expected.as_slice()));
    }
    assert_eq!(client.frame().expect("an echo").text(), "κόσ");
}

#[test]
fn every_length_of_message_is_echoed() {
    let server = Server::plain();
    let mut client = server.client("/echo");
    for length in [0, 1, 125, 126, 127, 4095, 4096, 65_535, 65_536, 1 << 20] {
        let payload = vec![7; length];
        client.frame_out(FIN | BINARY, &payload);
        let echo = client.frame().expect("an echo");
        assert_eq!(echo.opcode, BINARY);
        assert!(echo.payload == payload, "{length}");
    }
}

#[test]
fn a_connection_that_is_reset_is_noticed() {
    let server = Server::plain();
    let survivor = server.client("/echo");
    for _ in 0..20 {
        let client = server.client("/echo");
        socket2::SockRef::from(&client.stream)
            .set_linger(Some(std::time::Duration::ZERO))
            .expect("a socket option");
        drop(client);
    }
    server.until_metric("tidemark_connections", 1);
    drop(survivor);
    server.until_metric("tidemark_connections", 0);
}

#[test]
fn half_closing_ends_the_connection() {
    let server = Server::plain();
    let mut client = server.client("/echo");
    client.stop_sending();
    assert_eq!(client.frame(), None);
}

/// Sends a request on one connection and waits for its answer on the same.
fn ping(client: &mut Client, payload: &[u8]) {
    client.frame_out(FIN | PING, payload);
    let pong = client.frame().expect("a pong");
    assert_eq!((pong.opcode, pong.payload.as_slice()), (PONG, payload));
}

#[test]
fn pings_are_answered_with_their_payload() {
    let server = Server::plain();
    let mut client = server.client("/echo");
    ping(&mut client, b"");
    ping(&mut client, &[0xff; 125]);
}
