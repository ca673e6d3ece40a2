//! Whether a request may become a WebSocket, and the answer to it (RFC 6455, 4.2).

use async_tungstenite::tungstenite::handshake::derive_accept_key;
use protocol::Opening;
use tide::{
    Request, Response, StatusCode,
    http::{
        Method,
        headers::{HeaderName, HeaderValues},
    },
};

use std::sync::Arc;

use crate::{handler::Speaks, server::Server};

/// The parameter of a route that holds the name of a room.
pub(crate) const NAME: &str = "name";
/// What is kept of a client's word on itself.
const USER_AGENT_BYTES: usize = 256;

/// Left on a 101 for the acceptor: from here on the connection speaks this.
#[derive(Debug, Clone)]
pub(crate) struct Upgraded {
    pub(crate) speaks: Speaks,
    pub(crate) asked: Asked,
    pub(crate) user_agent: Option<Box<str>>,
}

/// What a request for a WebSocket asked for besides.
#[derive(Debug, Clone, Default)]
pub(crate) struct Asked {
    /// The name that followed the path.
    name: Option<Box<str>>,
    query: Box<str>,
}

impl Asked {
    /// What this request asks for.
    pub(crate) fn of(request: &Request<Arc<Server>>) -> Self {
        Self {
            name: request.param(NAME).ok().map(Into::into),
            query: request.url().query().unwrap_or_default().into(),
        }
    }

    pub(crate) fn opening(&self) -> Opening<'_> {
        Opening { name: self.name.as_deref(), query: &self.query }
    }
}

/// Answers a request for a WebSocket: 101 with [`Upgraded`], or the reason why not.
pub(crate) fn answer(request: &Request<Arc<Server>>, speaks: Speaks) -> Response {
    let server = request.state();
    let response = accepted(request, speaks).unwrap_or_else(Refused::response);
    if response.status() != StatusCode::SwitchingProtocols {
        server.metrics.refused(response.status().into());
    }
    response
}

enum Refused {
    NoSuchRoom,
    NotAnUpgrade,
    Version,
    Malformed(&'static str),
    Origin,
    Draining,
    Busy,
}

fn accepted(request: &Request<Arc<Server>>, speaks: Speaks) -> Result<Response, Refused> {
    let server = request.state();
    let name = request.param(NAME).ok();
    if name.is_some_and(|name| !speaks.admits(name)) {
        return Err(Refused::NoSuchRoom);
    }
    // RFC 6455, 4.1: "The method of the request MUST be GET"; a HEAD is led here as well.
    if request.method() != Method::Get
        || !has_token(request.header("upgrade"), "websocket")
        || !has_token(request.header("connection"), "upgrade")
    {
        return Err(Refused::NotAnUpgrade);
    }
    if only(request, "sec-websocket-version") != Some("13") {
        return Err(Refused::Version);
    }
    let key = only(request, "sec-websocket-key")
        .filter(|key| is_key(key))
        .ok_or(Refused::Malformed("Sec-WebSocket-Key must be 16 bytes in base64"))?;
    if !origin_allowed(request.header("origin"), &server.config.allow_origins) {
        return Err(Refused::Origin);
    }
    let offered = request.header("sec-websocket-protocol");
    let subprotocol = speaks.subprotocol().filter(|_| offered.is_some());
    if subprotocol.is_some_and(|known| !has_token(offered, known)) {
        return Err(Refused::Malformed("none of the subprotocols is spoken here"));
    }
    if server.is_draining() {
        return Err(Refused::Draining);
    }
    if !server.connections.take_place(server.config.max_connections) {
        return Err(Refused::Busy);
    }
    let mut response = Response::new(StatusCode::SwitchingProtocols);
    response.insert_header("upgrade", "websocket");
    response.insert_header("connection", "Upgrade");
    response.insert_header("sec-websocket-accept", derive_accept_key(key.as_bytes()));
    if let Some(subprotocol) = subprotocol {
        response.insert_header("sec-websocket-protocol", subprotocol);
    }
    response.insert_ext(Upgraded {
        speaks,
        asked: Asked::of(request),
        user_agent: request.header("user-agent").map(|values| {
            // It is ASCII: nothing else comes through the head.
            values.last().as_str().chars().take(USER_AGENT_BYTES).collect()
        }),
    });
    Ok(response)
}

impl Refused {
    fn response(self) -> Response {
        let (status, text) = match self {
            Self::NoSuchRoom => (StatusCode::NotFound, "there is no room of such a name"),
            // RFC 9110, 15.5.22: "The server MUST send an Upgrade header field in a 426 response".
            Self::NotAnUpgrade => (StatusCode::UpgradeRequired, "this is a WebSocket endpoint"),
            // RFC 6455, 4.4: the answer names "the version(s) the server is capable of".
            Self::Version => (StatusCode::UpgradeRequired, "only WebSocket version 13"),
            Self::Malformed(text) => (StatusCode::BadRequest, text),
            Self::Origin => (StatusCode::Forbidden, "this origin may not connect"),
            Self::Draining => (StatusCode::ServiceUnavailable, "the server is about to stop"),
            Self::Busy => (StatusCode::ServiceUnavailable, "too many connections"),
        };
        let mut response = Response::new(status);
        response.set_body(format!("{text}\n"));
        if status == StatusCode::UpgradeRequired {
            response.insert_header("upgrade", "websocket");
            response.insert_header("sec-websocket-version", "13");
        }
        if status == StatusCode::ServiceUnavailable {
            response.insert_header("retry-after", "5");
        }
        response
    }
}

/// The value of a header that stands exactly once.
fn only(request: &Request<Arc<Server>>, name: impl Into<HeaderName>) -> Option<&str> {
    let mut values = request.header(name)?.iter();
    match (values.next(), values.next()) {
        (Some(value), None) => Some(value.as_str().trim()),
        _ => None,
    }
}

fn has_token(values: Option<&HeaderValues>, token: &str) -> bool {
    values
        .into_iter()
        .flat_map(HeaderValues::iter)
        .flat_map(|value| value.as_str().split(','))
        .any(|given| given.trim().eq_ignore_ascii_case(token))
}

/// RFC 6455, 4.2.1: "a base64-encoded value that, when decoded, is 16 bytes in length".
fn is_key(key: &str) -> bool {
    let Some(digits) = key.strip_suffix("==") else { return false };
    // The last digit holds two bits of the sixteenth byte; the other four are zero.
    digits.len() == 22
        && digits.bytes().all(|digit| digit.is_ascii_alphanumeric() || matches!(digit, b'+' | b'/'))
        && matches!(digits.as_bytes().last(), Some(b'A' | b'Q' | b'g' | b'w'))
}

fn origin_allowed(origin: Option<&HeaderValues>, allowed: &[String]) -> bool {
    let Some(origin) = origin else { return true };
    allowed.is_empty()
        || origin
            .iter()
            .all(|given| allowed.iter().any(|allowed| allowed.eq_ignore_ascii_case(given.as_str())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_sixteen_bytes_in_base64() {
        for (key, expected) in [
            ("dGhlIHNhbXBsZSBub25jZQ==", true),
            ("AAAAAAAAAAAAAAAAAAAAAA==", true),
            ("AAAAAAAAAAAAAAAAAAAAAB==", false),
            ("dGhlIHNhbXBsZSBub25jZQ", false),
            ("short", false),
            ("", false),
            ("dGhlIHNhbXBsZSBub25j!Q==", false),
        ] {
            assert_eq!(is_key(key), expected, "{key}");
        }
    }
}
