//! Tiny servers that do one thing wrong, or only what a test needs.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use async_tungstenite::tungstenite::handshake::derive_accept_key;
use socket2::SockRef;

use super::runs::{HEAD, Ran, run};

/// Runs these steps at a server that does this with every connection; a WebSocket has been upgraded.
pub(crate) fn at(
    serve: impl Fn(TcpStream, &str) + Send + Sync + Clone + 'static,
    steps: &str,
) -> Ran {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("ws://{}", listener.local_addr().expect("bound"));
    // It ends with the test's process.
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let serve = serve.clone();
            thread::spawn(move || {
                let mut stream = stream;
                let head = head(&mut stream);
                serve(stream, &head);
            });
        }
    });
    let text = format!("{HEAD}dialect: plain.yaml\nsteps:\n{steps}");
    run(&text, &["--target", &url])
}

/// The same, for connections that have been upgraded.
pub(crate) fn upgraded(
    serve: impl Fn(TcpStream) + Send + Sync + Clone + 'static,
    steps: &str,
) -> Ran {
    let upgrade = move |mut stream: TcpStream, head: &str| {
        accept(&mut stream, head);
        serve(stream);
    };
    at(upgrade, steps)
}

fn head(stream: &mut TcpStream) -> String {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|count| count > 0) {
        head.push(byte[0]);
    }
    String::from_utf8_lossy(&head).into_owned()
}

pub(crate) fn accept(stream: &mut TcpStream, head: &str) {
    let key = head.lines().find_map(|line| line.strip_prefix("Sec-WebSocket-Key: "));
    let accept = derive_accept_key(key.unwrap_or_default().as_bytes());
    write!(
        stream,
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {accept}\r\n\r\n"
    )
    .unwrap_or_default();
}

/// A frame from the server, its payload short.
pub(crate) fn frame(opcode: u8, payload: &[u8]) -> Vec<u8> {
    let length = u8::try_from(payload.len()).expect("short");
    [&[0x80 | opcode, length], payload].concat()
}

/// Sends, and keeps the connection until the client ends it; answers nothing.
fn say(mut stream: TcpStream, bytes: &[u8]) {
    stream.write_all(bytes).unwrap_or_default();
    stream.read_to_end(&mut Vec::new()).unwrap_or_default();
}

/// Reads one frame of the client's, which is short; says its first byte and its payload.
fn read(stream: &mut TcpStream) -> Option<(u8, Vec<u8>)> {
    let mut header = [0; 6];
    stream.read_exact(&mut header).ok()?;
    let mut payload = vec![0; usize::from(header[1] & 0x7f)];
    stream.read_exact(&mut payload).ok()?;
    let mask = header[2..].to_vec();
    Some((header[0], payload.iter().zip(mask.iter().cycle()).map(|(a, b)| a ^ b).collect()))
}

/// Sends, then answers pings with their own content, and closes as it is asked to.
fn polite(mut stream: TcpStream, bytes: &[u8]) {
    stream.write_all(bytes).unwrap_or_default();
    while let Some((first, payload)) = read(&mut stream) {
        let answer = match first & 0x0f {
            9 => frame(10, &payload),
            8 => frame(8, &payload),
            _ => continue,
        };
        stream.write_all(&answer).unwrap_or_default();
        if first & 0x0f == 8 {
            return;
        }
    }
}

const OPEN: &str = "  - { as: alice, open: {} }\n";

#[test]
fn an_end_is_seen_as_it_is() {
    let close = |body: &'static [u8]| move |stream: TcpStream| say_and_end(stream, &frame(8, body));
    let closed = |pattern: &str| {
        format!("{OPEN}  - as: alice\n    expect: {{ closed: {{ {pattern} }} }}\n    within: 50s\n")
    };
    let normal = b"\x03\xe9bye";
    upgraded(close(normal), &closed("code: 1001, by: server, clean: true, end: fin")).passed();
    upgraded(close(normal), &closed("code: [1000, 1001]")).passed();
    let ran = upgraded(close(normal), &closed("code: [1000, none]"));
    ran.failed("close", "closed with 1001 (bye), not with 1000 or no code");
    upgraded(close(normal), &closed("clean: false")).failed("close", "without a Close frame");
    upgraded(close(normal), &closed("end: rst")).failed("close", "TCP ended in order (FIN), not");
    upgraded(close(normal), &closed("by: client")).failed("close", "the server closed");
    let ran = upgraded(close(normal), &closed("not_before: 40s"));
    ran.failed("timeout", "which is before 40.0s");
    upgraded(close(b""), &closed("code: none, clean: true")).passed();
    upgraded(close(b""), &closed("code: 1000")).failed("close", "closed with no code");
    upgraded(say_nothing_and_end, &closed("clean: false, end: fin")).passed();
    let ran = upgraded(say_nothing_and_end, &closed("clean: true"));
    ran.failed("close", "ended without a Close frame");
    upgraded(|stream| reset(&stream), &closed("clean: false, end: rst")).passed();
    upgraded(|stream| reset(&stream), &closed("end: fin"))
        .failed("close", "with a reset (RST), not in order");
    let open = closed("code: 1000").replace("50s", "200ms");
    upgraded(|stream| polite(stream, b""), &open).failed("timeout", "still open");
    // The Close frame comes, and TCP goes on.
    let half = closed("code: 1001, end: fin").replace("50s", "2s");
    upgraded(|stream| say(stream, &frame(8, b"\x03\xe9")), &half).failed("timeout", "TCP has not");
    let late = format!(
        "{OPEN}  - {{ as: alice, expect: {{ closed: {{ code: 1001, not_after: 100ms }} }}, within: 50s }}\n"
    );
    let slow = |stream: TcpStream| {
        thread::sleep(std::time::Duration::from_secs(2));
        say_and_end(stream, &frame(8, b"\x03\xe9"));
    };
    upgraded(slow, &late).failed("timeout", "which is later than 100");
}

fn say_and_end(mut stream: TcpStream, bytes: &[u8]) {
    stream.write_all(bytes).unwrap_or_default();
    stream.shutdown(Shutdown::Write).unwrap_or_default();
    stream.read_to_end(&mut Vec::new()).unwrap_or_default();
}

fn say_nothing_and_end(stream: TcpStream) {
    say_and_end(stream, b"");
}

fn reset(stream: &TcpStream) {
    SockRef::from(stream).set_linger(Some(std::time::Duration::ZERO)).expect("our socket");
}

#[test]
fn frames_are_looked_for_while_a_connection_lasts() {
    let two = [frame(1, b"one"), frame(1, b"two")].concat();
    let serve = move |stream: TcpStream| polite(stream, &two);
    let expect = |pattern: &str| {
        format!("{OPEN}  - {{ as: alice, expect: {{ {pattern} }}, within: 50s }}\n")
    };
    // What does not come is waited for: all that comes has to have come by then.
    let in_vain = |pattern: &str| upgraded(serve.clone(), &expect(pattern).replace("50s", "2s"));
    upgraded(serve.clone(), &expect("frame: two")).passed();
    upgraded(serve.clone(), &expect("frames: [one, two]")).passed();
    let ran = in_vain("frames: [two, one]");
    ran.failed("reply", "expected \"one\", after 1 that did: no such frame came in time");
    let ran = upgraded(serve.clone(), &expect("next: two"));
    ran.failed("reply", "expected \"two\" as the next frame: the next frame is one");
    let ran = in_vain("frame: three");
    ran.failed("reply", "no such frame came in time; what came instead: one | two");
    upgraded(serve.clone(), &expect("frame: $_, count: 2")).passed();
    in_vain("frame: $_, count: 3").failed("reply", "(2 of 3 came)");
    // Nobody waits for what cannot come any more.
    let begun = std::time::Instant::now();
    let ran = upgraded(say_nothing_and_end, &expect("frame: one"));
    ran.failed("killed", "the connection ended first");
    assert!(begun.elapsed().as_secs() < 50, "it waited for a connection that was gone");
    let ran = upgraded(say_nothing_and_end, &expect("next: one"));
    ran.failed("killed", "the connection ended first");
    // The code of a Close says what its server took the client for.
    for (code, class) in [(1009_u16, "limit"), (4000, "timeout"), (1001, "close")] {
        let close = frame(8, &code.to_be_bytes());
        let ran = upgraded(move |stream| polite(stream, &close), &expect("frame: one"));
        ran.failed(class, &format!("the connection ended first: closed with {code}"));
    }
}

#[test]
fn absence_is_proven_by_a_fence() {
    let none = format!("{OPEN}  - {{ as: alice, expect_none: {{ frame: bad }}, within: 50s }}\n");
    upgraded(|stream| polite(stream, &frame(1, b"good")), &none).passed();
    let ran = upgraded(|stream| polite(stream, &frame(1, b"bad")), &none);
    ran.failed("leak", "a frame like \"bad\" must not come; this came: bad");
    let none = none.replace("50s", "300ms");
    let ran = upgraded(|stream| say(stream, &frame(1, b"good")), &none);
    ran.failed("unresponsive", "absence is not proven");
}

#[test]
fn a_pong_is_known_by_its_content() {
    let ping = |wanted: &str, within: &str| {
        format!(
            "{OPEN}  - {{ as: alice, frame: {{ opcode: ping, payload: hi }} }}\n  \
             - {{ as: alice, expect: {{ pong: {wanted} }}, within: {within} }}\n"
        )
    };
    upgraded(|stream| polite(stream, b""), &ping("hi", "50s")).passed();
    let ran = upgraded(|stream| polite(stream, b""), &ping("ho", "2s"));
    ran.failed("ping", "expected a pong with `ho`: it did not come in time; pongs that came: hi");
    upgraded(|stream| say(stream, b""), &ping("hi", "300ms"))
        .failed("ping", "it did not come in time");
}

#[test]
fn bytes_that_are_no_websocket_are_found_whatever_the_steps_say() {
    // A masked frame: "a server MUST NOT mask any frames" (RFC 6455, 5.1).
    let masked = |stream: TcpStream| say(stream, b"\x81\x82\0\0\0\0hi");
    let steps = format!(
        "{OPEN}  - {{ as: alice, send_text: x }}\n  \
                         - {{ as: alice, expect: {{ closed: {{}} }}, within: 50s }}\n"
    );
    let ran = upgraded(masked, &steps);
    assert_eq!(ran.code, Some(1), "{}", ran.said);
    ran.found("protocol", "framing");
}

#[test]
fn nothing_is_written_into_a_frame_that_is_unfinished() {
    let written = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&written);
    let breaks = move |mut stream: TcpStream| {
        let mut begun = [0; 3];
        // The connection that only asks whether the target is there begins otherwise.
        if stream.read_exact(&mut begun).is_ok() && begun == *b"\x81\x85\0" {
            stream.write_all(b"\x81\x82\0\0\0\0hi").unwrap_or_default();
            stream.shutdown(Shutdown::Write).unwrap_or_default();
            stream.read_to_end(&mut log.lock().expect("nobody panicked")).unwrap_or_default();
        }
    };
    let bytes = "{ as: alice, bytes: { hex: \"81 85 00\" } }";
    let closed = "{ as: alice, expect: { closed: {} } }";
    let steps = format!("  - {{ as: alice, open: {{}} }}\n  - {bytes}\n  - {closed}\n");
    let ran = upgraded(breaks, &steps);
    assert_eq!(ran.code, Some(1), "{}", ran.said);
    assert!(ran.said.contains("masked"), "{}", ran.said);
    let more = written.lock().expect("nobody panicked").clone();
    assert_eq!(more, b"", "a Close frame inside of another frame");
}

#[test]
fn what_is_written_arrives_as_it_is_written() {
    // The server says back, in hexadecimal, all that came until the client ended its half.
    let mirror = |mut stream: TcpStream| {
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).unwrap_or_default();
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        stream.write_all(&frame(1, hex.as_bytes())).unwrap_or_default();
    };
    let sent = |step: &str, hex: &str| {
        let steps = format!(
            "{OPEN}  - {{ as: alice, {step} }}\n  - {{ as: alice, half_close: {{}} }}\n  \
             - {{ as: alice, expect: {{ frame: \"{hex}\" }}, within: 50s }}\n"
        );
        upgraded(mirror, &steps).passed();
    };
    sent("bytes: { hex: '81 05' }", "8105");
    sent("bytes: [a, { hex: '00' }, { size: 2B }, { text: b, times: 3 }]", "61007878626262");
    let bare = "masked: false, payload: hi";
    sent(&format!("frame: {{ opcode: ping, {bare} }}"), "89026869");
    sent(&format!("frame: {{ opcode: 3, fin: false, rsv: 4, {bare} }}"), "43026869");
    sent(&format!("frame: {{ opcode: text, length: 300, {bare} }}"), "817e012c6869");
    sent("frame: { opcode: close, code: 1000, reason: bye, masked: false }", "880503e8627965");
    sent("frames: [{ opcode: 9, masked: false }, { opcode: 10, masked: false }]", "89008a00");
}
