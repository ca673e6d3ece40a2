//! HTTP requests, upgrades that are wrong, and their answers.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use super::faulty::{accept, at};
use super::runs::{Ran, steps};

fn handshake(request: &str, answer: &str) -> Ran {
    steps(&format!(
        "  - as: alice\n    handshake: {{ {request} }}\n    answer: {{ {answer} }}\n    within: 50s\n"
    ))
}

#[test]
fn an_upgrade_is_judged_by_its_answer() {
    let accepted = "status: 101, headers: { Sec-WebSocket-Accept: $accept, Upgrade: { $matches: \
                    '(?i)websocket' }, Sec-WebSocket-Extensions: { $absent: true } }";
    handshake("", accepted).passed();
    handshake("headers: { Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ== }", accepted).passed();
    handshake("without: [Upgrade]", "status: 4xx").passed();
    handshake(
        "headers: { Sec-WebSocket-Version: '8' }",
        "status: 426, headers: { sec-websocket-version: '13' }",
    )
    .passed();
    handshake("method: POST", "status: [4xx, 5xx]").passed();
    handshake("path: /nowhere", "status: 404").passed();
    handshake("raw: \"nonsense\\r\\n\\r\\n\"", "status: [none, 4xx]").passed();
    handshake("", "status: 404").failed("handshake", "expected HTTP 404: the answer is HTTP 101");
    handshake("without: [Upgrade]", "").failed("handshake", "expected HTTP 101: the answer is");
    handshake("", "headers: { Sec-WebSocket-Accept: other }")
        .failed("handshake", "the header Sec-WebSocket-Accept should be \"other\"; it is ");
    handshake("", "headers: { X-Nothing: $x }").failed("handshake", "it is not there");
    handshake("", "headers: { Upgrade: { $absent: true } }")
        .failed("handshake", "the header Upgrade");
}

fn http(request: &str, answer: &str) -> Ran {
    steps(&format!(
        "  - as: alice\n    http: {{ {request} }}\n    answer: {{ {answer} }}\n    within: 50s\n  \
         - {{ as: alice, same: [1, 1] }}\n"
    ))
}

#[test]
fn a_request_is_judged_by_its_answer() {
    http("get: /healthz", "").passed();
    http("post: /publish/news-$run, json: { hello: $me }", "status: 202, json: { subscribers: 0 }")
        .passed();
    http("get: /healthz", "status: 404")
        .failed("reply", "expected HTTP 404: the answer is HTTP 200");
    http("get: /nowhere", "").failed("reply", "expected HTTP 200 to 299: the answer is HTTP 404");
    http("post: /publish/news-$run, json: {}", "json: { subscribers: 7 }").failed(
        "reply",
        "the body should be {\"subscribers\":7}; it is HTTP 202: {\"subscribers\":0",
    );
    http("get: /healthz", "json: { a: 1 }").failed("reply", "the body");
    let captured = "  - { as: alice, http: { post: /publish/a, json: {} }, answer: { json: { \
                    subscribers: $n } } }\n  - { as: alice, same: [$n, 0] }\n";
    steps(captured).passed();
    steps(&captured.replace("[$n, 0]", "[$n, 1]")).failed("reply", "$n and 1 should be the same");
}

/// Answers requests, and upgrades for the harness's first look.
fn answer(bytes: &'static [u8]) -> impl Fn(TcpStream, &str) + Send + Sync + Clone + 'static {
    move |mut stream, head| {
        if head.contains("Upgrade: websocket") && !head.contains("X-Case") {
            return accept(&mut stream, head);
        }
        stream.write_all(bytes).unwrap_or_default();
    }
}

#[test]
fn bad_answers_are_told_apart() {
    let get = |answer: &str| {
        format!("  - {{ as: alice, http: {{ get: / }}, answer: {{ {answer} }}, within: 50s }}\n")
    };
    let chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n";
    at(answer(chunked), &get("body: hi")).passed();
    at(answer(chunked), &get("body: ho"))
        .failed("reply", "the body should be \"ho\"; it is HTTP 200: hi");
    at(answer(b""), &get("status: none")).passed();
    at(answer(b""), &get("")).failed("reply", "the connection ended without an answer");
    at(answer(b"SMTP\r\n"), &get("status: none")).failed("reply", "no HTTP answer");
    at(answer(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhi"), &get(""))
        .failed("reply", "the connection ended inside the answer's body");
    let silent = |mut stream: TcpStream, head: &str| {
        if head.contains("Upgrade: websocket") {
            return accept(&mut stream, head);
        }
        // Until whoever asked has given up.
        stream.read_to_end(&mut Vec::new()).unwrap_or_default();
    };
    at(silent, &get("").replace("50s", "300ms")).failed("reply", "no answer came in time");
    let shake = "  - { as: alice, handshake: { headers: { X-Case: '1' } }, answer: { status: 101, \
                 headers: { Sec-WebSocket-Accept: $accept } } }\n";
    let wrong = b"HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: wrong\r\n\r\n";
    at(answer(wrong), shake).failed("handshake", "the header Sec-WebSocket-Accept should be");
}
