//! One POST to another server, over plain HTTP: sent whole, and its status read.

use std::{fmt, io, str::FromStr};

use async_std::net::TcpStream;
use futures_lite::{AsyncReadExt, AsyncWriteExt};
use tide::http::Url;

/// What is read of an answer: its head. The rest is nobody's concern.
const HEAD_BYTES: usize = 16 * 1024;
const HEADERS: usize = 128;

/// Where something is posted to.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Target {
    host: String,
    port: u16,
    /// As it stands in the request.
    authority: String,
    path: String,
}

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wanted = "write http://HOST:PORT/PATH";
        let url = Url::parse(text).map_err(|error| format!("{error}; {wanted}"))?;
        let (host, port) = match (url.host_str(), url.port_or_known_default()) {
            (Some(host), Some(port)) if url.scheme() == "http" && url.username().is_empty() => {
                (host, port)
            }
            _ => return Err(wanted.to_owned()),
        };
        let query = url.query().map(|query| format!("?{query}")).unwrap_or_default();
        Ok(Self {
            // An address of version 6 stands in brackets in URLs only.
            host: host.trim_start_matches('[').trim_end_matches(']').to_owned(),
            port,
            authority: format!("{host}:{port}"),
            path: format!("{}{query}", url.path()),
        })
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.authority)
    }
}

/// Posts JSON, and gives the status of the answer.
///
/// # Errors
/// If there is no answer, or none of HTTP.
pub(super) async fn post(
    target: &Target,
    headers: &[(&str, &str)],
    body: &[u8],
) -> io::Result<u16> {
    let mut stream = TcpStream::connect((target.host.as_str(), target.port)).await?;
    let Target { authority, path, .. } = target;
    let mut request = format!(
        "POST {path} HTTP/1.1\r\nHost: {authority}\r\nConnection: close\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n",
        body.len()
    );
    for (name, value) in headers {
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    request.push_str("\r\n");
    let request = [request.as_bytes(), body].concat();
    stream.write_all(&request).await?;
    let mut answer = Vec::new();
    while answer.len() < HEAD_BYTES {
        let mut piece = [0; 1024];
        let read = stream.read(&mut piece).await?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        answer.extend_from_slice(piece.get(..read).unwrap_or_default());
        if let Some(status) = status(&answer)? {
            return Ok(status);
        }
    }
    Err(io::Error::new(io::ErrorKind::InvalidData, "the answer has no end of its head"))
}

/// The status of an answer, once its head is there.
fn status(answer: &[u8]) -> io::Result<Option<u16>> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS];
    let mut parsed = httparse::Response::new(&mut headers);
    match parsed.parse(answer) {
        Ok(httparse::Status::Complete(_)) => Ok(parsed.code),
        Ok(httparse::Status::Partial) => Ok(None),
        Err(error) => Err(io::Error::new(io::ErrorKind::InvalidData, error.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_a_url_of_plain_http() {
        for (text, host, port, authority, path) in [
            ("http://127.0.0.1:80", "127.0.0.1", 80, "127.0.0.1:80", "/"),
            ("http://hooks.example/a/b?c=d", "hooks.example", 80, "hooks.example:80", "/a/b?c=d"),
            ("http://[::1]:9000/x", "::1", 9000, "[::1]:9000", "/x"),
        ] {
            let expected = Target {
                host: host.to_owned(),
                port,
                authority: authority.to_owned(),
                path: path.to_owned(),
            };
            assert_eq!(text.parse(), Ok(expected), "{text}");
        }
        for text in ["https://x/", "ftp://x/", "x", "", "http://", "http://u:p@x/", "file:///a"] {
            assert!(text.parse::<Target>().is_err_and(|why| why.contains("http://")), "{text}");
        }
    }

    #[test]
    fn an_answer_is_as_good_as_its_status() {
        for (answer, expected) in [
            ("HTTP/1.1 200 OK\r\n\r\nbody", Some(Some(200))),
            ("HTTP/1.1 204 No Content\r\nA: b\r\n\r\n", Some(Some(204))),
            ("HTTP/1.0 500 x\r\n\r\n", Some(Some(500))),
            ("HTTP/1.1 200 OK\r\nA: b\r\n", Some(None)),
            ("", Some(None)),
            ("hello", None),
        ] {
            assert_eq!(status(answer.as_bytes()).ok(), expected, "{answer:?}");
        }
    }
}
