//! `POST /publish/{channel}`: how something outside says something on a channel of `events`.

use std::{net::SocketAddr, sync::Arc};

use percent_encoding::percent_decode_str;
use protocol::events::{self, NotPublished};
use serde_json::json;
use tide::{Request, Response, StatusCode};

use crate::{server::Server, world::Turn};

/// Publishes the body of the request, and answers when it has been sent to all who get it.
pub(crate) async fn answer(mut request: Request<Arc<Server>>) -> Response {
    if let Some(refused) = unless_local(&request) {
        return refused;
    }
    // Browsers ask before they send this type to another site than their page's own, and nothing here
    // answers yes: so no page can publish.
    if !is_json(&request) {
        let why = "the content type must be application/json";
        return error(StatusCode::UnsupportedMediaType, why, None);
    }
    let body = request.body_string().await;
    let channel = request.param("channel").map(|name| percent_decode_str(name).decode_utf8());
    let (Ok(body), Ok(Ok(channel))) = (body, channel) else {
        return error(
            StatusCode::BadRequest,
            "neither channel nor body may be other than UTF-8",
            None,
        );
    };
    let server = request.state().clone();
    let mut turn = Turn::new(server.clone());
    let published = events::publish(server.now(), &channel, &body, &turn);
    turn.flush().await;
    turn.wait_for_nobody();
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

fn is_json(request: &Request<Arc<Server>>) -> bool {
    let essence = request.header("content-type").map(|values| {
        values.last().as_str().split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
    });
    essence.is_some_and(|essence| essence == "application/json" || essence.ends_with("+json"))
}

/// The refusal of a request that does not come from this machine.
pub(crate) fn unless_local(request: &Request<Arc<Server>>) -> Option<Response> {
    let peer = request.peer_addr().and_then(|peer| peer.parse::<SocketAddr>().ok());
    let is_local = peer.is_some_and(|peer| peer.ip().to_canonical().is_loopback());
    (!is_local).then(|| error(StatusCode::Forbidden, "only from this machine itself", None))
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
