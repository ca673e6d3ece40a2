//! Reads a request's head off a socket, and refuses what is not one.

use std::future::poll_fn;

use tide::http::{Method, Request, StatusCode, Url};

use crate::stream::Stream;

/// RFC 9112 names no limit; eight kilobytes are what common servers take.
pub(crate) const HEAD_BYTES: usize = 8 * 1024;
const HEADERS: usize = 128;
const READ_BYTES: usize = 1024;

/// A request whose head is complete, and what came behind it.
#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) request: Request,
    /// The body's announced length.
    pub(crate) body_bytes: u64,
    /// Bytes read beyond the head: of the body, or WebSocket frames sent together with the handshake.
    pub(crate) rest: Vec<u8>,
}

/// Why there is no request.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// To be answered with this status.
    Status(StatusCode),
    /// The peer went away before it had said anything complete.
    Gone,
}

/// Reads until the empty line that ends the head.
pub(crate) async fn read(stream: &Stream) -> Result<Head, Refusal> {
    let mut bytes = Vec::with_capacity(READ_BYTES);
    loop {
        let known = bytes.len();
        if read_more(stream, &mut bytes).await? == 0 {
            return Err(Refusal::Gone);
        }
        // Parsing again at every byte of a trickled head would be quadratic: only the first piece
        // (which shows garbage at once) and one that ends a head are worth it.
        let look_from = known.saturating_sub(3);
        let ended = bytes.get(look_from..).is_some_and(has_empty_line);
        if (known == 0 || ended)
            && let Some(head) = parse(&mut bytes).map_err(Refusal::Status)?
        {
            return Ok(head);
        }
        if bytes.len() >= HEAD_BYTES {
            return Err(Refusal::Status(StatusCode::RequestHeaderFieldsTooLarge));
        }
    }
}

/// Appends what the socket has, up to a buffer's worth; 0 at the end of the stream.
pub(crate) async fn read_more(stream: &Stream, bytes: &mut Vec<u8>) -> Result<usize, Refusal> {
    let known = bytes.len();
    bytes.resize(known + READ_BYTES, 0);
    let read = poll_fn(|cx| {
        let free = bytes.get_mut(known..).unwrap_or_default();
        stream.poll_read(cx, free)
    })
    .await;
    bytes.truncate(known + read.as_ref().copied().unwrap_or(0));
    read.map_err(|_reset| Refusal::Gone)
}

fn has_empty_line(bytes: &[u8]) -> bool {
    bytes.windows(2).any(|pair| pair == b"\n\n") || bytes.windows(3).any(|three| three == b"\n\r\n")
}

/// Parses a head if it is complete, and takes it out of `bytes`.
fn parse(bytes: &mut Vec<u8>) -> Result<Option<Head>, StatusCode> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS];
    let mut parsed = httparse::Request::new(&mut headers);
    let length = match parsed.parse(bytes) {
        Ok(httparse::Status::Partial) => return Ok(None),
        Ok(httparse::Status::Complete(length)) if length > HEAD_BYTES => {
            return Err(StatusCode::RequestHeaderFieldsTooLarge);
        }
        Ok(httparse::Status::Complete(length)) => length,
        Err(httparse::Error::TooManyHeaders) => {
            return Err(StatusCode::RequestHeaderFieldsTooLarge);
        }
        Err(_) => return Err(StatusCode::BadRequest),
    };
    let (request, body_bytes) = request(&parsed)?;
    let rest = bytes.split_off(length);
    Ok(Some(Head { request, body_bytes, rest }))
}

fn request(parsed: &httparse::Request<'_, '_>) -> Result<(Request, u64), StatusCode> {
    // RFC 6455, 4.1: "the HTTP version MUST be at least 1.1"; nothing here needs 1.0 either.
    if parsed.version != Some(1) {
        return Err(StatusCode::BadRequest);
    }
    let method: Method =
        parsed.method.unwrap_or_default().parse().map_err(|_| StatusCode::NotImplemented)?;
    let mut text = Vec::with_capacity(parsed.headers.len());
    for header in parsed.headers.iter() {
        let value = std::str::from_utf8(header.value).map_err(|_| StatusCode::BadRequest)?;
        // http-types holds header values as ASCII and panics on anything else.
        if !value.is_ascii() {
            return Err(StatusCode::BadRequest);
        }
        text.push((header.name, value));
    }
    // RFC 9112, 3.2: "A server MUST respond with a 400 … to any HTTP/1.1 request message that
    // lacks a Host header field and to any request message that contains more than one".
    let host = only(&text, "host")?.ok_or(StatusCode::BadRequest)?;
    let target = parsed.path.unwrap_or_default();
    let url =
        if target.starts_with('/') { format!("http://{host}{target}") } else { target.into() };
    let url = Url::parse(&url).map_err(|_| StatusCode::BadRequest)?;

    if only(&text, "transfer-encoding")?.is_some() {
        return Err(StatusCode::LengthRequired);
    }
    let body_bytes = match only(&text, "content-length")? {
        None => 0,
        Some(length) => length.parse().map_err(|_| StatusCode::BadRequest)?,
    };
    let mut request = Request::new(method, url);
    for (name, value) in text {
        request.append_header(name, value);
    }
    Ok((request, body_bytes))
}

/// The value of a header that may stand at most once.
fn only<'a>(headers: &[(&str, &'a str)], name: &str) -> Result<Option<&'a str>, StatusCode> {
    let mut values = headers.iter().filter(|(given, _)| given.eq_ignore_ascii_case(name));
    match (values.next(), values.next()) {
        (Some(_), Some(_)) => Err(StatusCode::BadRequest),
        (first, _) => Ok(first.map(|(_, value)| *value)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(head: &str) -> Option<u16> {
        parse(&mut head.as_bytes().to_vec()).err().map(u16::from)
    }

    #[test]
    fn what_is_not_a_request_gets_the_status_that_says_why() {
        let many = "a: b\r\n".repeat(HEADERS + 1);
        for (head, expected) in [
            ("GET / HTTP/1.1\r\nHost: x\r\n\r\n", None),
            ("GET / HTTP/1.1\r\nHost: x\r\n", None),
            ("GET /a?b=c HTTP/1.1\r\nHost: x:80\r\n\r\nrest", None),
            ("GET / HTTP/1.0\r\nHost: x\r\n\r\n", Some(400)),
            ("GET / HTTP/1.1\r\n\r\n", Some(400)),
            ("GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n", Some(400)),
            ("GET / HTTP/1.1\r\nHost: x\r\nA: \u{e9}\r\n\r\n", Some(400)),
            ("GET  HTTP/1.1\r\nHost: x\r\n\r\n", Some(400)),
            ("GET nonsense HTTP/1.1\r\nHost: x\r\n\r\n", Some(400)),
            ("\u{16}\u{3}\u{1}", Some(400)),
            ("hello\r\n", Some(400)),
            ("BREW / HTTP/1.1\r\nHost: x\r\n\r\n", Some(501)),
            ("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n", Some(411)),
            ("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", Some(400)),
            (&format!("GET / HTTP/1.1\r\nHost: x\r\n{many}\r\n"), Some(431)),
        ] {
            assert_eq!(status(head), expected, "{head:?}");
        }
    }

    #[test]
    fn bytes_behind_the_head_are_kept() {
        let mut bytes = b"GET /ws HTTP/1.1\r\nHost: x\r\n\r\n\x81\x80".to_vec();
        let head = parse(&mut bytes).unwrap().unwrap();
        assert_eq!(head.rest, b"\x81\x80");
        assert_eq!(head.request.url().path(), "/ws");
    }
}
