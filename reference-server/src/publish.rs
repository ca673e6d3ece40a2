//! `POST /publish/{channel}`: how something outside says something on a channel of `events`.

use std::{net::SocketAddr, sync::Arc};

use percent_encoding::percent_decode_str;
use protocol::events::{self, NotPublished};
use serde_json::json;
use tide::{Request, Response, StatusCode};

use crate::{Turn, server::Server};

/// Publishes the body of the request, and answers when it has been sent to all who get it.
pub(crate) async fn answer(request: Request<Arc<Server>>) -> Response {
    let server = request.state().clone();
    let (channel, body) = match wanted(request).await {
        Ok(wanted) => wanted,
        Err(refused) => return refused,
    };
    let mut turn = Turn::new(server.clone());
    let published = events::publish(server.now(), &channel, &body, &turn);
    turn.flush().await;
    turn.wait_for_readers(None).await;
    told(&server, published)
}

/// The channel and the body of a request that may publish.
pub(crate) async fn wanted(
    mut request: Request<Arc<Server>>,
) -> Result<(String, String), Response> {
    if let Some(refused) = unless_local(&request) {
        return Err(refused);
    }
    // Browsers ask before they send this type to another site than their page's own, and nothing here
    // answers yes: so no page can publish.
    if !is_json(&request) {
        let why = "the content type must be application/json";
        return Err(error(StatusCode::UnsupportedMediaType, why, None));
    }
    let body = request.body_string().await;
    let channel = request.param("channel").map(|name| percent_decode_str(name).decode_utf8());
    match (body, channel) {
        (Ok(body), Ok(Ok(channel))) => Ok((channel.into_owned(), body)),
        _ => {
            let why = "neither channel nor body may be other than UTF-8";
            Err(error(StatusCode::BadRequest, why, None))
        }
    }
}

/// What came of it.
pub(crate) fn told(server: &Server, published: Result<u64, NotPublished>) -> Response {
    match published {
        Ok(subscribers) => {
            server.metrics.published_over_http.inc();
            json_response(StatusCode::Accepted, &json!({ "subscribers": subscribers }))
        }
        Err(refusal) => refused(&refusal),
    }
}

fn refused(refusal: &NotPublished) -> Response {
    let (status, field) = match refusal {
        NotPublished::NotJson(_) => (StatusCode::BadRequest, None),
        NotPublished::TooLarge(_) => (StatusCode::PayloadTooLarge, None),
        NotPublished::Channel => (StatusCode::UnprocessableEntity, Some("channel")),
        _ => (StatusCode::UnprocessableEntity, refusal.field()),
    };
    error(status, &refusal.to_string(), field)
}

pub(crate) fn is_json(request: &Request<Arc<Server>>) -> bool {
    let essence = request.header("content-type").map(|values| {
        values.last().as_str().split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
    });
    essence.is_some_and(|essence| essence == "application/json" || essence.ends_with("+json"))
}

/// The refusal of a request that does not come from this machine.
pub(crate) fn unless_local(request: &Request<Arc<Server>>) -> Option<Response> {
    let refused = || error(StatusCode::Forbidden, "only from this machine itself", None);
    (!is_local(request.peer_addr())).then(refused)
}

fn is_local(peer: Option<&str>) -> bool {
    let peer = peer.and_then(|peer| peer.parse::<SocketAddr>().ok());
    peer.is_some_and(|peer| peer.ip().to_canonical().is_loopback())
}

/// An error as JSON, with the field at fault if it is one.
pub(crate) fn error(status: StatusCode, why: &str, field: Option<&str>) -> Response {
    let mut body = json!({ "error": why });
    if let (Some(field), Some(body)) = (field, body.as_object_mut()) {
        body.insert("field".into(), field.into());
    }
    json_response(status, &body)
}

pub(crate) fn json_response(status: StatusCode, body: &impl serde::Serialize) -> Response {
    let mut response = Response::new(status);
    // What is answered here are structs and maps with strings as keys: they can all be JSON.
    response.set_body(serde_json::to_string(body).unwrap_or_default());
    response.insert_header("content-type", "application/json");
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_of_the_loopback_interface_are_local() {
        for (peer, expected) in [
            (Some("127.0.0.1:80"), true),
            (Some("127.9.8.7:80"), true),
            (Some("[::1]:80"), true),
            (Some("[::ffff:127.0.0.1]:80"), true),
            (Some("[::ffff:192.0.2.1]:80"), false),
            (Some("192.0.2.1:80"), false),
            (Some("[2001:db8::1]:80"), false),
            (Some("0.0.0.0:80"), false),
            (Some("localhost:80"), false),
            (None, false),
        ] {
            assert_eq!(is_local(peer), expected, "{peer:?}");
        }
    }
}
