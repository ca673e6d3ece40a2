//! The HTTP API of backends, below `/apps/{id}`: finds the application, sees whether it has signed, and
//! does what the path says.

use std::sync::Arc;

use percent_encoding::percent_decode_str;
use protocol::{
    Ending,
    pusher::{
        App,
        api::{self, Refused},
    },
};
use tide::{Request, Response, http::Method};

use super::{refused, response, segment};
use crate::{Turn, connection::Order, server::Server};

/// What all of its paths begin with.
pub(crate) const PREFIX: &str = "/apps/";
/// The body of its requests: ten events of a batch, each as long as another request may be.
pub(crate) const BODY_BYTES: u64 = 640 * 1024;

/// What can be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Call {
    Events,
    BatchEvents,
    Channels,
    Channel,
    Users,
    Terminate,
}

/// Every call, and where it is served.
pub(crate) const CALLS: [(&str, Call); 6] = [
    ("/apps/:app/events", Call::Events),
    ("/apps/:app/batch_events", Call::BatchEvents),
    ("/apps/:app/channels", Call::Channels),
    ("/apps/:app/channels/:channel", Call::Channel),
    ("/apps/:app/channels/:channel/users", Call::Users),
    ("/apps/:app/users/:user/terminate_connections", Call::Terminate),
];

impl Call {
    pub(crate) const fn method(self) -> Method {
        match self {
            Self::Events | Self::BatchEvents | Self::Terminate => Method::Post,
            Self::Channels | Self::Channel | Self::Users => Method::Get,
        }
    }

    /// What it is counted as.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Events => "events",
            Self::BatchEvents => "batch_events",
            Self::Channels => "channels",
            Self::Channel => "channel",
            Self::Users => "users",
            Self::Terminate => "terminate_connections",
        }
    }
}

/// Does what is asked for, and answers when everybody who reads has been told.
pub(crate) async fn answer(mut request: Request<Arc<Server>>, call: Call) -> Response {
    let server = request.state().clone();
    let body = request.body_bytes().await.unwrap_or_default();
    let mut turn = Turn::new(server.clone());
    let answered =
        granted(&request, &body).and_then(|granted| granted.perform(&request, call, &turn));
    turn.flush().await;
    turn.wait_for_readers(None).await;
    let response = response(answered);
    server.metrics.api_answered(call.name(), response.status().into());
    response
}

/// A request that its application has signed.
struct Granted<'a> {
    app: Arc<App>,
    query: Vec<(String, String)>,
    body: &'a [u8],
}

fn granted<'a>(request: &Request<Arc<Server>>, body: &'a [u8]) -> Result<Granted<'a>, Refused> {
    let server = request.state();
    let running = server.apps.with_id(&segment(request, "app")?);
    let app = running.ok_or_else(|| refused(404, "there is no such application"))?.app.clone();
    let query: Vec<_> = request.url().query_pairs().into_owned().collect();
    let method = request.method().to_string();
    let unix = server.now().unix;
    let verify = |path: &str| api::verify(&app, &method, path, &query, body, unix);
    let path = request.url().path();
    let verified = verify(path).or_else(|refused| {
        // Libraries sign what they were given, and some encode it on its way.
        let meant = percent_decode_str(path).decode_utf8().ok().filter(|meant| *meant != path);
        meant.and_then(|meant| verify(&meant).ok()).ok_or(refused)
    });
    verified.map(|()| Granted { app, query, body })
}

impl Granted<'_> {
    fn perform(
        &self,
        request: &Request<Arc<Server>>,
        call: Call,
        turn: &Turn,
    ) -> Result<String, Refused> {
        let Self { app, query, .. } = self;
        let now = turn.server.now();
        match call {
            Call::Events => api::events(now, app, self.text()?, turn),
            Call::BatchEvents => api::batch_events(now, app, self.text()?, turn),
            Call::Channels => api::channels(app, query, turn),
            Call::Channel => api::channel(now, app, &segment(request, "channel")?, query, turn),
            Call::Users => api::users(app, &segment(request, "channel")?, turn),
            Call::Terminate => {
                for connection in api::connections_of(app, &segment(request, "user")?, turn) {
                    connection.end(Order::Close(Ending::EVICTED));
                }
                Ok(api::NOTHING.to_owned())
            }
        }
    }

    fn text(&self) -> Result<&str, Refused> {
        std::str::from_utf8(self.body).map_err(|_| refused(400, "the body is not UTF-8"))
    }
}
