//! What `pusher` needs besides its sockets: applications, the signed HTTP API, the endpoints of a
//! backend that authorises, and webhooks.
//!
//! What a request means and what a webhook tells is `protocol::pusher`'s; here is what is counted,
//! queued and moved.

pub(crate) mod api;
pub(crate) mod backend;
mod options;
mod post;
pub(crate) mod sender;
mod webhooks;

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use protocol::pusher::{App, Hook, api::Refused};
use tide::{Request, Response, StatusCode};

pub(crate) use self::options::check;
pub use self::post::Target;
use crate::{pusher::webhooks::Webhooks, server::Server};

/// An application of `pusher`, as a server is told of it.
#[derive(Clone, Default)]
pub struct PusherApp {
    /// What the protocol knows of it. Whether it has webhooks is said by `webhook`.
    pub app: App,
    /// Where its backend is told what happens.
    pub webhook: Option<Target>,
    /// What clients must show to be authorised (`Authorization: Bearer …`); else everybody is.
    pub auth_token: Option<String>,
}

impl fmt::Debug for PusherApp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Neither its secret nor its token.
        let App { id, key, .. } = &self.app;
        f.debug_struct("PusherApp").field("id", id).field("key", key).finish_non_exhaustive()
    }
}

/// The applications of a running server.
#[derive(Debug)]
pub(crate) struct Apps(Vec<Running>);

/// One of them.
#[derive(Debug)]
pub(crate) struct Running {
    app: Arc<App>,
    auth_token: Option<Box<str>>,
    /// Its connections.
    taken: AtomicUsize,
    webhooks: Option<Arc<Webhooks>>,
}

impl Apps {
    pub(crate) fn new(apps: &[PusherApp]) -> Self {
        let running = apps.iter().map(|PusherApp { app, webhook, auth_token }| Running {
            app: Arc::new(App { webhooks: webhook.is_some(), ..app.clone() }),
            auth_token: auth_token.as_deref().map(Into::into),
            taken: AtomicUsize::new(0),
            webhooks: webhook.clone().map(|target| Arc::new(Webhooks::new(target))),
        });
        Self(running.collect())
    }

    /// The application of this key.
    pub(crate) fn with_key(&self, key: &str) -> Option<Arc<App>> {
        self.0.iter().find(|running| running.app.key == key).map(|running| running.app.clone())
    }

    /// The first of all.
    #[cfg(all(feature = "mutants", debug_assertions))]
    pub(crate) fn first(&self) -> Option<Arc<App>> {
        self.0.first().map(|running| running.app.clone())
    }

    fn with_id(&self, id: &str) -> Option<&Running> {
        self.0.iter().find(|running| running.app.id == id)
    }

    /// Takes a place for one more connection of the application, if it may have one.
    pub(crate) fn admit(&self, app: &App) -> bool {
        let Some(Running { taken, .. }) = self.with_id(&app.id) else { return false };
        let more =
            |taken| (app.max_connections == 0 || taken < app.max_connections).then(|| taken + 1);
        taken.fetch_update(Ordering::AcqRel, Ordering::Acquire, more).is_ok()
    }

    /// Gives the place back.
    pub(crate) fn dismiss(&self, app: &App) {
        if let Some(Running { taken, .. }) = self.with_id(&app.id) {
            taken.fetch_sub(1, Ordering::AcqRel);
        }
    }

    /// Puts what a webhook is to tell into its application's queue; says whether there was room.
    pub(crate) fn hook(&self, app: &App, hook: &Hook) -> bool {
        let webhooks = self.with_id(&app.id).and_then(|running| running.webhooks.as_ref());
        webhooks.is_none_or(|webhooks| webhooks.push(hook))
    }

    /// The applications that have webhooks.
    pub(crate) fn told(&self) -> impl Iterator<Item = (Arc<App>, Arc<Webhooks>)> {
        self.0.iter().filter_map(|running| Some((running.app.clone(), running.webhooks.clone()?)))
    }
}

/// The segment of the path that the route calls so, as it is meant.
fn segment(request: &Request<Arc<Server>>, name: &str) -> Result<String, Refused> {
    let text = request.param(name).unwrap_or_default();
    match percent_encoding::percent_decode_str(text).decode_utf8() {
        Ok(text) => Ok(text.into_owned()),
        Err(_) => Err(refused(400, "the path is not UTF-8")),
    }
}

fn refused(status: u16, message: &str) -> Refused {
    Refused { status, message: message.to_owned() }
}

/// The answer: JSON, or why there is none.
fn response(answered: Result<String, Refused>) -> Response {
    let (status, kind, body) = match answered {
        Ok(json) => (StatusCode::Ok, "application/json", json),
        Err(Refused { status, message }) => {
            let status = StatusCode::try_from(status).unwrap_or(StatusCode::BadRequest);
            (status, "text/plain; charset=utf-8", format!("{message}\n"))
        }
    };
    let mut response = Response::new(status);
    response.set_body(body);
    response.insert_header("content-type", kind);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_application_has_as_many_places_as_it_has() {
        let app = |id: &str, max_connections| App { max_connections, ..App::new(id, id, "s") };
        let apps =
            [app("two", 2), app("any", 0)].map(|app| PusherApp { app, ..PusherApp::default() });
        let running = Apps::new(&apps);
        let [two, any] = apps.map(|each| each.app);
        assert!(running.admit(&two) && running.admit(&two) && !running.admit(&two));
        assert!((0..100).all(|_| running.admit(&any)));
        running.dismiss(&two);
        assert!(running.admit(&two) && !running.admit(&two));
        assert!(!running.admit(&app("other", 0)), "not one of this server's");
    }

    #[test]
    fn what_is_secret_is_not_shown() {
        let app = PusherApp { auth_token: Some("hidden-token".to_owned()), ..PusherApp::default() };
        let shown = format!("{app:?}");
        assert!(shown.contains("app-key"), "{shown}");
        assert!(!shown.contains("app-secret") && !shown.contains("hidden"), "{shown}");
    }
}
