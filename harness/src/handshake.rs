//! The opening handshake from the client's side (RFC 6455, 4), without a socket.

use std::fmt::Write as _;

use async_tungstenite::tungstenite::handshake::derive_accept_key;
use thiserror::Error;

/// The longest response head that is read, in bytes.
const HEAD_BYTES_MAX: usize = 16 << 10;
/// How much of a refusal's body is kept, in bytes.
const BODY_BYTES_MAX: usize = 2 << 10;
const HEADERS_MAX: usize = 64;

/// What to ask for.
#[derive(Clone, Debug)]
pub struct Request {
    /// Host and port, as in the `Host` header.
    pub host: String,
    /// Path and query.
    pub path: String,
    /// The subprotocol that is offered.
    pub subprotocol: Option<String>,
    /// More headers.
    pub headers: Vec<(String, String)>,
    /// `Sec-WebSocket-Key`: 16 random bytes in base64.
    pub key: String,
}

impl Request {
    /// The bytes of the request.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut head = format!(
            "GET {} HTTP/1.1\r\nHost: {}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {}\r\n",
            self.path, self.host, self.key
        );
        let subprotocol = self.subprotocol.iter().map(|it| ("Sec-WebSocket-Protocol", it.as_str()));
        let more = self.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        for (name, value) in subprotocol.chain(more) {
            write!(head, "{name}: {value}\r\n").expect("writing to a String cannot fail");
        }
        head.push_str("\r\n");
        head.into_bytes()
    }
}

/// What the bytes that came so far say.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Progress {
    /// Not all is there yet.
    More,
    /// The connection is a WebSocket; frames begin at this byte.
    Accepted(usize),
}

/// Why there is no WebSocket.
#[derive(Clone, Debug, Error, Eq, PartialEq)]
pub enum Refusal {
    /// Another status than 101.
    #[error("HTTP {status} {phrase}{}", shown(body))]
    Status {
        /// The status code.
        status: u16,
        /// The reason phrase.
        phrase: String,
        /// The first bytes of the body.
        body: String,
    },
    /// A 101 that breaks RFC 6455, 4.1.
    #[error("a 101 answer with {0}")]
    Wrong(String),
    /// No HTTP at all.
    #[error("no HTTP answer: {0}")]
    NoHttp(String),
}

fn shown(body: &str) -> String {
    let body = body.trim();
    if body.is_empty() { String::new() } else { format!(": {body}") }
}

/// Reads the answer. `ended` says that no more bytes will come.
///
/// # Errors
/// The server refused, or its answer is no valid handshake.
pub fn read_answer(request: &Request, bytes: &[u8], ended: bool) -> Result<Progress, Refusal> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut answer = httparse::Response::new(&mut headers);
    let head = match answer.parse(bytes) {
        Ok(httparse::Status::Complete(head)) => head,
        Ok(httparse::Status::Partial) if ended => {
            return Err(Refusal::NoHttp("the connection ended before the answer".to_owned()));
        }
        Ok(httparse::Status::Partial) if bytes.len() > HEAD_BYTES_MAX => {
            return Err(Refusal::NoHttp(format!("no end of the head in {HEAD_BYTES_MAX} bytes")));
        }
        Ok(httparse::Status::Partial) => return Ok(Progress::More),
        Err(error) => return Err(Refusal::NoHttp(error.to_string())),
    };
    let header = |name: &str| {
        let found = answer.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name));
        found.map(|header| String::from_utf8_lossy(header.value).trim().to_owned())
    };
    let status = answer.code.unwrap_or_default();
    if status != 101 {
        let body = bytes.get(head..).unwrap_or_default();
        let length = header("content-length").and_then(|text| text.parse().ok());
        let whole = length.is_some_and(|length: usize| body.len() >= length.min(BODY_BYTES_MAX));
        if !whole && !ended && body.len() < BODY_BYTES_MAX {
            return Ok(Progress::More);
        }
        let body = body.get(..body.len().min(BODY_BYTES_MAX)).unwrap_or_default();
        let phrase = answer.reason.unwrap_or_default().to_owned();
        let body = String::from_utf8_lossy(body).into_owned();
        return Err(Refusal::Status { status, phrase, body });
    }
    judge(request, header)?;
    Ok(Progress::Accepted(head))
}

/// RFC 6455, 4.1: what the client must check in a 101 answer.
fn judge(request: &Request, header: impl Fn(&str) -> Option<String>) -> Result<(), Refusal> {
    let wrong = |fact: String| Err(Refusal::Wrong(fact));
    let tokens = |name: &str| header(name).unwrap_or_default().to_ascii_lowercase();
    if tokens("upgrade") != "websocket" {
        return wrong(format!("`Upgrade: {}`", header("upgrade").unwrap_or_default()));
    }
    if !tokens("connection").split(',').any(|token| token.trim() == "upgrade") {
        return wrong(format!("`Connection: {}`", header("connection").unwrap_or_default()));
    }
    let accept = header("sec-websocket-accept").unwrap_or_default();
    if accept != derive_accept_key(request.key.as_bytes()) {
        return wrong(format!("the wrong `Sec-WebSocket-Accept: {accept}`"));
    }
    if let Some(extensions) = header("sec-websocket-extensions") {
        return wrong(format!("an extension nobody offered: `{extensions}`"));
    }
    match (header("sec-websocket-protocol"), &request.subprotocol) {
        (Some(chosen), Some(offered)) if chosen == *offered => Ok(()),
        (Some(chosen), _) => wrong(format!("a subprotocol nobody offered: `{chosen}`")),
        (None, _) => Ok(()),
    }
}

/// A request for a WebSocket, as somebody between a client and its server passes it on.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Upgrade {
    /// The path and query that it asks for.
    pub path: String,
    /// Its head without the extensions that it offers: with one of them frames could not be read.
    pub head: Vec<u8>,
}

/// Reads a request's head, and names another host in it if there is one to name; none when it asks for
/// no WebSocket.
pub fn upgrade(head: &[u8], host: Option<&str>) -> Option<Upgrade> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut request = httparse::Request::new(&mut headers);
    let parsed = request.parse(head).ok()?;
    let asks = request.headers.iter().any(|header| {
        let value = header.value.to_ascii_lowercase();
        header.name.eq_ignore_ascii_case("upgrade")
            && memchr::memmem::find(&value, b"websocket").is_some()
    });
    if parsed.is_partial() || !asks {
        return None;
    }
    let path = request.path?.to_owned();
    let named = |line: &[u8], name: &str| {
        let end = memchr::memchr(b':', line).unwrap_or(0);
        line.get(..end).is_some_and(|own| own.eq_ignore_ascii_case(name.as_bytes()))
    };
    let mut passed = Vec::with_capacity(head.len());
    for line in head.split_inclusive(|&byte| byte == b'\n') {
        match host {
            _ if named(line, "sec-websocket-extensions") => {}
            Some(host) if named(line, "host") => {
                passed.extend(format!("Host: {host}\r\n").into_bytes());
            }
            _ => passed.extend_from_slice(line),
        }
    }
    Some(Upgrade { path, head: passed })
}

/// The status of an answer's head.
pub fn status(head: &[u8]) -> Option<u16> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut answer = httparse::Response::new(&mut headers);
    answer.parse(head).ok()?;
    answer.code
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_upgrade_passes_without_extensions() {
        let head = "GET /ws?a=b HTTP/1.1\r\nHost: here:1\r\nupgrade: WebSocket\r\nX: y\r\n\
                    Sec-WebSocket-Extensions: permessage-deflate\r\nConnection: Upgrade\r\n\r\n";
        let passed = upgrade(head.as_bytes(), None).expect("an upgrade");
        let without = "Sec-WebSocket-Extensions: permessage-deflate\r\n";
        assert_eq!(passed.path, "/ws?a=b");
        assert_eq!(String::from_utf8(passed.head), Ok(head.replace(without, "")));
        let passed = upgrade(head.as_bytes(), Some("there")).expect("an upgrade");
        let passed = String::from_utf8(passed.head).expect("text");
        assert!(passed.contains("\r\nHost: there\r\n") && !passed.contains("here:1"), "{passed}");
        assert_eq!(upgrade(b"GET / HTTP/1.1\r\nHost: here\r\n\r\n", None), None);
        assert_eq!(status(b"HTTP/1.1 101 Switching Protocols\r\n\r\n"), Some(101));
    }

    // The key and its answer of RFC 6455, 1.3.
    const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
    const GOOD: &str = "HTTP/1.1 101 Switching Protocols\r\nupgrade: WebSocket\r\nConnection: keep-alive, Upgrade\r\n\
                        Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

    fn read(answer: &str, ended: bool) -> Result<Progress, Refusal> {
        let request = Request {
            host: "localhost:1".to_owned(),
            path: "/ws".to_owned(),
            subprotocol: Some("tidemark.v1".to_owned()),
            headers: Vec::new(),
            key: KEY.to_owned(),
        };
        read_answer(&request, answer.as_bytes(), ended)
    }

    #[test]
    fn a_good_answer_is_accepted_and_frames_begin_after_its_head() {
        assert_eq!(read(&format!("{GOOD}\u{1}"), false), Ok(Progress::Accepted(GOOD.len())));
        for cut in 0..GOOD.len() {
            assert_eq!(read(&GOOD[..cut], false), Ok(Progress::More));
            assert!(read(&GOOD[..cut], true).is_err());
        }
    }

    #[test]
    fn every_part_of_a_bad_answer_is_named() {
        let bad =
            |from: &str, to: &str| read(&GOOD.replace(from, to), false).unwrap_err().to_string();
        assert_eq!(bad("WebSocket", "h2c"), "a 101 answer with `Upgrade: h2c`");
        assert_eq!(bad("keep-alive, Upgrade", "close"), "a 101 answer with `Connection: close`");
        assert_eq!(
            bad("s3pP", "XXXX"),
            "a 101 answer with the wrong `Sec-WebSocket-Accept: XXXXLMBiTxaQ9kYGzzhZRbK+xOo=`"
        );
        assert_eq!(
            bad("\r\n\r\n", "\r\nSec-WebSocket-Protocol: other\r\n\r\n"),
            "a 101 answer with a subprotocol nobody offered: `other`"
        );
        assert!(bad("HTTP/1.1", "SMTP").starts_with("no HTTP answer"));
    }

    #[test]
    fn a_refusal_shows_status_and_body() {
        let answer = "HTTP/1.1 403 Forbidden\r\nContent-Length: 9\r\n\r\nno entry\n";
        assert_eq!(read(answer, false).unwrap_err().to_string(), "HTTP 403 Forbidden: no entry");
        assert_eq!(read("HTTP/1.1 403 Forbidden\r\n\r\nno", false), Ok(Progress::More));
        assert_eq!(
            read("HTTP/1.1 403 Forbidden\r\n\r\nno", true).unwrap_err().to_string(),
            "HTTP 403 Forbidden: no"
        );
    }
}
