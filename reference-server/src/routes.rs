//! The endpoints, as one table, and the tide application that serves it.

use std::sync::Arc;

use tide::{Request, Response, StatusCode};

use crate::{
    handler::Speaks,
    metrics::CONTENT_TYPE,
    server::Server,
    upgrade::{self, Endpoint},
};

/// Every WebSocket endpoint.
const ENDPOINTS: [Endpoint; 2] = [
    Endpoint {
        path: "/ws",
        speaks: Speaks::Native,
        subprotocol: Some(protocol::native::SUBPROTOCOL),
    },
    Endpoint { path: "/echo", speaks: Speaks::Echo, subprotocol: None },
];

type App = tide::Server<Arc<Server>>;

pub(crate) fn app(server: Arc<Server>) -> App {
    let mut app = tide::with_state(server);
    for endpoint in ENDPOINTS {
        mount(&mut app, endpoint);
    }
    #[cfg(test)]
    mount(&mut app, Endpoint { path: "/panic", speaks: Speaks::Panic, subprotocol: None });
    app.at("/healthz").get(|_| async { Ok("ok\n") });
    app.at("/readyz").get(|request: Request<Arc<Server>>| async move { Ok(ready(&request)) });
    app.at("/metrics").get(|request: Request<Arc<Server>>| async move { Ok(metrics(&request)) });
    app
}

fn mount(app: &mut App, endpoint: Endpoint) {
    app.at(endpoint.path).get(move |request: Request<Arc<Server>>| async move {
        Ok(upgrade::answer(&request, &endpoint))
    });
}

fn ready(request: &Request<Arc<Server>>) -> Response {
    if request.state().is_draining() {
        let mut response = Response::new(StatusCode::ServiceUnavailable);
        response.set_body("draining\n");
        return response;
    }
    Response::from("ready\n")
}

fn metrics(request: &Request<Arc<Server>>) -> Response {
    let server = request.state();
    let mut response = Response::from(server.metrics.text(server.rooms.count()));
    response.insert_header("content-type", CONTENT_TYPE);
    response
}
