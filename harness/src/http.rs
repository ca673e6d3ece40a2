//! HTTP/1.1 requests and answers as a scenario writes and judges them, without a socket: every header
//! can be left out or be wrong, and nothing is added behind its back.

use std::fmt::Write as _;

/// The longest head of an answer that is read, in bytes.
const HEAD_BYTES_MAX: usize = 16 << 10;
/// The longest body of an answer that is read, in bytes.
const BODY_BYTES_MAX: usize = 4 << 20;
const HEADERS_MAX: usize = 100;
/// Answers before the answer (1xx), at most: whoever sends more of them never answers.
const INTERIM_MAX: usize = 16;

/// A request.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Request {
    /// The method.
    pub method: String,
    /// Path and query.
    pub path: String,
    /// The headers, in their order.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Request {
    /// An upgrade to a WebSocket as RFC 6455, 4.1 wants it.
    pub fn upgrade(host: &str, path: String, key: &str, subprotocol: Option<&str>) -> Self {
        let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let mut headers = vec![
            header("Host", host),
            header("Upgrade", "websocket"),
            header("Connection", "Upgrade"),
            header("Sec-WebSocket-Version", "13"),
            header("Sec-WebSocket-Key", key),
        ];
        headers.extend(subprotocol.map(|offered| header("Sec-WebSocket-Protocol", offered)));
        Self { method: "GET".to_owned(), path, headers, body: Vec::new() }
    }

    /// Leaves a header out.
    pub fn without(&mut self, name: &str) {
        self.headers.retain(|(other, _)| !other.eq_ignore_ascii_case(name));
    }

    /// Gives headers their values: one that is there already gets the first of them instead.
    pub fn set(&mut self, headers: &[(String, String)]) {
        for (name, _) in headers {
            self.without(name);
        }
        self.headers.extend(headers.iter().cloned());
    }

    /// Its bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut head = format!("{} {} HTTP/1.1\r\n", self.method, self.path);
        for (name, value) in &self.headers {
            write!(head, "{name}: {value}\r\n").expect("writing to a String cannot fail");
        }
        head.push_str("\r\n");
        let mut bytes = head.into_bytes();
        bytes.extend(&self.body);
        bytes
    }
}

/// An answer.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The headers, in their order.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Answer {
    /// The value of a header; of one that is repeated, all of them with commas.
    pub fn header(&self, name: &str) -> Option<String> {
        let all: Vec<&str> = self
            .headers
            .iter()
            .filter(|(other, _)| other.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
            .collect();
        (!all.is_empty()).then(|| all.join(", "))
    }
}

/// What the bytes that came so far are.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Progress {
    /// Not all is there yet.
    More,
    /// The whole answer.
    Whole(Answer),
    /// The connection ended without a byte.
    Nothing,
}

/// Reads an answer. `ended` says that no more bytes will come; an answer to HEAD has no body.
///
/// # Errors
/// It is no HTTP, or too long: what is wrong.
pub fn read(bytes: &[u8], ended: bool, to_head: bool) -> Result<Progress, String> {
    let mut rest = bytes;
    for _ in 0..=INTERIM_MAX {
        match read_one(rest, ended, to_head)? {
            One::Interim(behind) => rest = behind,
            One::Answer(progress) => return Ok(progress),
        }
    }
    Err(format!("more than {INTERIM_MAX} answers that are none yet (1xx)"))
}

/// What stands first.
enum One<'a> {
    /// An answer that only comes before the answer; what stands behind it.
    Interim(&'a [u8]),
    Answer(Progress),
}

fn read_one(bytes: &[u8], ended: bool, to_head: bool) -> Result<One<'_>, String> {
    if bytes.is_empty() && ended {
        return Ok(One::Answer(Progress::Nothing));
    }
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut parsed = httparse::Response::new(&mut headers);
    let head = match parsed.parse(bytes) {
        Ok(httparse::Status::Complete(head)) => head,
        Ok(httparse::Status::Partial) if ended => {
            return Err("the connection ended inside the answer's head".to_owned());
        }
        Ok(httparse::Status::Partial) if bytes.len() > HEAD_BYTES_MAX => {
            return Err(format!("no end of the answer's head in {HEAD_BYTES_MAX} bytes"));
        }
        Ok(httparse::Status::Partial) => return Ok(One::Answer(Progress::More)),
        Err(error) => return Err(format!("no HTTP answer: {error}")),
    };
    let rest = bytes.get(head..).unwrap_or_default();
    let headers = parsed.headers.iter().map(|header| {
        let value = String::from_utf8_lossy(header.value).trim().to_owned();
        (header.name.to_owned(), value)
    });
    let mut answer = Answer {
        status: parsed.code.unwrap_or_default(),
        headers: headers.collect(),
        body: Vec::new(),
    };
    // "100 Continue" and its like come before the answer (RFC 9110, 15.2); 101 is one.
    if matches!(answer.status, 100 | 102..=199) {
        return Ok(One::Interim(rest));
    }
    let empty = to_head || matches!(answer.status, 101 | 204 | 304);
    let body = if empty { Some(Vec::new()) } else { body(&answer, rest, ended)? };
    Ok(One::Answer(match body {
        Some(body) => {
            answer.body = body;
            Progress::Whole(answer)
        }
        None => Progress::More,
    }))
}

/// The body of an answer, if it is whole (RFC 9112, 6.3).
fn body(answer: &Answer, rest: &[u8], ended: bool) -> Result<Option<Vec<u8>>, String> {
    let coding = answer.header("transfer-encoding").unwrap_or_default();
    let whole = if coding.to_ascii_lowercase().contains("chunked") {
        unchunked(rest)?
    } else if let Some(length) = answer.header("content-length") {
        let length: usize =
            length.parse().map_err(|_| format!("`Content-Length: {length}` is no length"))?;
        rest.get(..length).map(<[u8]>::to_vec)
    } else if ended {
        Some(rest.to_vec())
    } else {
        None
    };
    match whole {
        None if ended => Err("the connection ended inside the answer's body".to_owned()),
        None if rest.len() > BODY_BYTES_MAX => {
            Err(format!("an answer with a body over {BODY_BYTES_MAX} bytes"))
        }
        whole => Ok(whole),
    }
}

/// The content of a chunked body, if it is whole (RFC 9112, 7.1).
fn unchunked(bytes: &[u8]) -> Result<Option<Vec<u8>>, String> {
    let (mut rest, mut content) = (bytes, Vec::new());
    loop {
        match httparse::parse_chunk_size(rest) {
            Err(_) => return Err("a chunk without a size".to_owned()),
            Ok(httparse::Status::Partial) => return Ok(None),
            Ok(httparse::Status::Complete((head, size))) => {
                let size = usize::try_from(size).unwrap_or(usize::MAX);
                let Some(chunk) = rest.get(head..head.saturating_add(size)) else {
                    return Ok(None);
                };
                let Some(behind) = rest.get(head + size..).filter(|it| it.len() >= 2) else {
                    return Ok(None);
                };
                if size == 0 {
                    // Fields may stand behind the last chunk; nobody asks for them.
                    return Ok(Some(content));
                }
                content.extend_from_slice(chunk);
                rest = behind.get(2..).unwrap_or_default();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(text: &str, ended: bool) -> Result<(u16, String), String> {
        match read(text.as_bytes(), ended, false)? {
            Progress::Whole(answer) => {
                Ok((answer.status, String::from_utf8(answer.body).expect("a text")))
            }
            other => Err(format!("{other:?}")),
        }
    }

    #[test]
    fn a_body_ends_where_its_head_says() {
        let counted = "HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno";
        assert_eq!(whole(counted, false), Ok((404, "no".to_owned())));
        let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n1;x\r\nd\r\n0\r\n\r\n";
        assert_eq!(whole(chunked, false), Ok((200, "abcd".to_owned())));
        for text in [counted, chunked] {
            for cut in 1..text.len() {
                assert_eq!(
                    read(&text.as_bytes()[..cut], false, false),
                    Ok(Progress::More),
                    "{cut}"
                );
                assert!(read(&text.as_bytes()[..cut], true, false).is_err(), "{cut}");
            }
        }
        let open = "HTTP/1.0 200 OK\r\n\r\nall of it";
        assert_eq!(read(open.as_bytes(), false, false), Ok(Progress::More));
        assert_eq!(whole(open, true), Ok((200, "all of it".to_owned())));
        assert_eq!(whole("HTTP/1.1 204 No Content\r\n\r\n", false), Ok((204, String::new())));
        let after = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n";
        assert_eq!(whole(after, false), Ok((204, String::new())));
    }

    #[test]
    fn answers_before_the_answer_come_to_an_end() {
        let flood = "HTTP/1.1 100 Continue\r\n\r\n".repeat(100_000);
        assert!(whole(&flood, false).is_err_and(|fact| fact.contains("1xx")));
    }

    #[test]
    fn what_is_no_answer_is_told_apart() {
        assert_eq!(read(b"", true, false), Ok(Progress::Nothing));
        assert_eq!(read(b"", false, false), Ok(Progress::More));
        assert!(read(b"SMTP ready\r\n", false, false).is_err());
        let head = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n";
        assert!(matches!(read(head.as_bytes(), false, true), Ok(Progress::Whole(_))));
        let long = format!("HTTP/1.1 200 OK\r\nX: {}", "x".repeat(HEAD_BYTES_MAX));
        assert!(read(long.as_bytes(), false, false).is_err());
        let odd = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n";
        assert!(read(odd.as_bytes(), false, false).is_err());
    }

    #[test]
    fn a_request_has_the_headers_that_it_is_given() {
        let mut request = Request::upgrade("h:1", "/ws".to_owned(), "k", Some("v1"));
        request.without("upgrade");
        request.set(&[("Sec-WebSocket-Version".to_owned(), "8".to_owned())]);
        let text = String::from_utf8(request.to_bytes()).expect("a text");
        let expected = "GET /ws HTTP/1.1\r\nHost: h:1\r\nConnection: Upgrade\r\n\
                        Sec-WebSocket-Key: k\r\nSec-WebSocket-Protocol: v1\r\n\
                        Sec-WebSocket-Version: 8\r\n\r\n";
        assert_eq!(text, expected);
    }

    proptest::proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes: Vec<u8>, ended: bool) {
            drop(read(&bytes, ended, false));
            let mut answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
            answer.extend(bytes);
            drop(read(&answer, ended, false));
        }
    }
}
