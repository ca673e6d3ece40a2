//! The endpoints of an application's backend that says who may subscribe and who is who: for tests of
//! whole clients, it says yes to everybody who shows the token, if there is one.

use std::sync::Arc;

use protocol::pusher::{
    App,
    api::Refused,
    auth,
    backend::{self, Fields},
};
use tide::{Request, Response};

use super::{Running, refused, response};
use crate::{publish::is_json, server::Server};

/// What a client asks for.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Wanted {
    /// To subscribe to a channel.
    Channel,
    /// To be a user.
    User,
}

/// Where libraries ask unless they are told otherwise: Laravel's, and the hosted service's.
pub(crate) const PATHS: [(&str, Wanted); 4] = [
    ("/broadcasting/auth", Wanted::Channel),
    ("/pusher/auth", Wanted::Channel),
    ("/broadcasting/user-auth", Wanted::User),
    ("/pusher/user-auth", Wanted::User),
];

/// Signs, or says why not.
pub(crate) async fn answer(mut request: Request<Arc<Server>>, wanted: Wanted) -> Response {
    let body = request.body_bytes().await.unwrap_or_default();
    response(signed(&request, &body, wanted))
}

fn signed(request: &Request<Arc<Server>>, body: &[u8], wanted: Wanted) -> Result<String, Refused> {
    let fields = if is_json(request) {
        Fields::json(std::str::from_utf8(body).map_err(|_| refused(400, "the body is not UTF-8"))?)?
    } else {
        Fields::form(body)
    };
    let Running { app, auth_token, .. } = asked(request, &fields)?;
    // Signatures are compared, not the tokens: how long that takes says nothing of how nearly one is right.
    let shown = |token: &str| auth::sign(app, token);
    if let Some(token) = auth_token
        && bearer(request).map(shown) != Some(shown(token))
    {
        return Err(refused(403, "the token of this application is needed"));
    }
    if !app.enabled {
        return Err(refused(403, "application disabled"));
    }
    let sign: fn(&App, &Fields) -> _ = match wanted {
        Wanted::Channel => backend::channel,
        Wanted::User => backend::user,
    };
    sign(app, &fields)
}

/// The application that is asked for: by `?app=ID`, by the field `app_key`, or the first.
fn asked<'a>(request: &'a Request<Arc<Server>>, fields: &Fields) -> Result<&'a Running, Refused> {
    let apps = &request.state().apps;
    let id = request.url().query_pairs().find(|(name, _)| name == "app").map(|(_, id)| id);
    let found = match (id, fields.get("app_key")) {
        (Some(id), _) => apps.with_id(&id),
        (None, Some(key)) => apps.0.iter().find(|running| running.app.key == key),
        (None, None) => apps.0.first(),
    };
    found.ok_or_else(|| refused(404, "there is no such application"))
}

/// The token that the client shows.
fn bearer(request: &Request<Arc<Server>>) -> Option<&str> {
    let (scheme, token) = request.header("authorization")?.last().as_str().split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}
