//! The endpoints, as one table, and the tide application that serves it.

use std::sync::Arc;

use protocol::Dialect;
use tide::{Request, Response, StatusCode};

use crate::{
    admin,
    config::Config,
    handler::Speaks,
    metrics::CONTENT_TYPE,
    publish,
    pusher::{api, backend},
    server::Server,
    upgrade::{self, NAME},
};

type App = tide::Server<Arc<Server>>;

/// Where something is served.
#[derive(Debug, Clone)]
pub(crate) struct Endpoint {
    path: String,
    pub(crate) serves: Serves,
}

/// What is served at a path.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Serves {
    /// A WebSocket; the name of a room follows the path where the dialect takes one.
    Socket(Speaks),
    Health,
    Readiness,
    Metrics,
    Publish,
    /// The HTTP API of `pusher`.
    Api(api::Call),
    /// What a backend of `pusher` signs for clients.
    Backend(backend::Wanted),
    AdminConnections,
    AdminConnection,
    AdminRooms,
}

/// Everything that is served, in the order in which paths are given away. What is switched off is
/// there too: no mount may take its place.
///
/// # Errors
/// If a mount's path is none, or taken.
pub(crate) fn endpoints(config: &Config) -> Result<Vec<Endpoint>, String> {
    let plain = [
        ("/echo", Serves::Socket(Speaks::Echo)),
        ("/healthz", Serves::Health),
        ("/readyz", Serves::Readiness),
        ("/metrics", Serves::Metrics),
        ("/publish/:channel", Serves::Publish),
        ("/admin/connections", Serves::AdminConnections),
        ("/admin/connections/:id", Serves::AdminConnection),
        ("/admin/rooms", Serves::AdminRooms),
        #[cfg(test)]
        ("/panic", Serves::Socket(Speaks::Panic)),
    ];
    let own = Dialect::ALL.iter().map(|&dialect| (dialect.path(), socket(dialect)));
    let calls = api::CALLS.map(|(path, call)| (path, Serves::Api(call)));
    let backends = backend::PATHS.map(|(path, wanted)| (path, Serves::Backend(wanted)));
    let mut endpoints = Vec::new();
    for (path, serves) in own.chain(plain).chain(calls).chain(backends) {
        endpoints.push(Endpoint { path: path.to_owned(), serves });
    }
    for mount in &config.mounts {
        check_path(&mount.path)?;
        let endpoint = Endpoint { path: mount.path.clone(), serves: socket(mount.dialect) };
        if let Some(taken) = endpoints.iter().find(|other| other.meets(&endpoint)) {
            let wanted = endpoint.describe();
            return Err(format!("{wanted} would be served where {} is", taken.describe()));
        }
        endpoints.push(endpoint);
    }
    Ok(endpoints)
}

const fn socket(dialect: Dialect) -> Serves {
    Serves::Socket(Speaks::Dialect(dialect))
}

/// Paths that mean one thing only: not those that clients write in several ways, and no patterns.
fn check_path(path: &str) -> Result<(), String> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"_.~-".contains(&byte);
    let is_plain =
        |part: &str| !part.is_empty() && !matches!(part, "." | "..") && part.bytes().all(fits);
    match path.strip_prefix('/') {
        Some("") => Ok(()),
        Some(rest) if rest.split('/').all(is_plain) => Ok(()),
        _ => Err(format!(
            "`{path}` is no path: it is to be like /live/rooms, of letters, digits, `_`, `.`, `~` \
             and `-`"
        )),
    }
}

impl Endpoint {
    /// The paths that lead here, in which a part that begins with `:` stands for anything.
    pub(crate) fn patterns(&self) -> impl Iterator<Item = String> {
        let named = match self.serves {
            Serves::Socket(Speaks::Dialect(dialect)) if dialect.takes_name() => {
                Some(format!("{}/:{NAME}", self.path.trim_end_matches('/')))
            }
            _ => None,
        };
        [self.path.clone()].into_iter().chain(named)
    }

    /// Whether there is a path that would lead to both.
    fn meets(&self, other: &Self) -> bool {
        self.patterns().any(|one| other.patterns().any(|another| patterns_meet(&one, &another)))
    }

    fn describe(&self) -> String {
        match self.serves {
            Serves::Socket(speaks) => format!("{} at {}", speaks.name(), self.path),
            _ => self.path.clone(),
        }
    }

    /// Whether it is there at all.
    pub(crate) fn is_on(&self, config: &Config) -> bool {
        match self.serves {
            Serves::Publish => config.publish,
            Serves::AdminConnections | Serves::AdminConnection | Serves::AdminRooms => config.admin,
            Serves::Socket(_)
            | Serves::Health
            | Serves::Readiness
            | Serves::Metrics
            | Serves::Api(_)
            | Serves::Backend(_) => true,
        }
    }
}

fn patterns_meet(one: &str, another: &str) -> bool {
    let is_any = |part: &str| part.starts_with(':');
    one.split('/').count() == another.split('/').count()
        && one.split('/').zip(another.split('/')).all(|(a, b)| is_any(a) || is_any(b) || a == b)
}

pub(crate) fn app(server: Arc<Server>, endpoints: Vec<Endpoint>) -> App {
    let config = server.config.clone();
    let mut app = tide::with_state(server);
    for endpoint in endpoints.into_iter().filter(|endpoint| endpoint.is_on(&config)) {
        mount(&mut app, &endpoint);
    }
    app
}

fn mount(app: &mut App, endpoint: &Endpoint) {
    let mut route = app.at(&endpoint.path);
    match endpoint.serves {
        Serves::Socket(speaks) => {
            for path in endpoint.patterns() {
                app.at(&path).get(move |request: Request<Arc<Server>>| async move {
                    Ok(upgrade::answer(&request, speaks))
                });
            }
        }
        Serves::Health => {
            route.get(|_| async { Ok("ok\n") });
        }
        Serves::Readiness => {
            route.get(|request: Request<Arc<Server>>| async move { Ok(ready(&request)) });
        }
        Serves::Metrics => {
            route.get(|request: Request<Arc<Server>>| async move { Ok(metrics(&request)) });
        }
        Serves::Publish => {
            route.post(|request: Request<Arc<Server>>| async move {
                Ok(publish::answer(request).await)
            });
        }
        Serves::Api(call) => {
            route.method(call.method(), move |request: Request<Arc<Server>>| async move {
                Ok(api::answer(request, call).await)
            });
        }
        Serves::Backend(wanted) => {
            route.post(move |request: Request<Arc<Server>>| async move {
                Ok(backend::answer(request, wanted).await)
            });
        }
        Serves::AdminConnections => {
            route.get(
                |request: Request<Arc<Server>>| async move { Ok(admin::connections(&request)) },
            );
        }
        Serves::AdminConnection => {
            route.delete(|request: Request<Arc<Server>>| async move { Ok(admin::evict(&request)) });
        }
        Serves::AdminRooms => {
            route.get(|request: Request<Arc<Server>>| async move { Ok(admin::rooms(&request)) });
        }
    }
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
    let mut response = Response::from(server.metrics.text(&server.rooms.count_by_dialect()));
    response.insert_header("content-type", CONTENT_TYPE);
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Mount;

    fn mounted(mounts: &[(Dialect, &str)]) -> Result<(), String> {
        let mounts = mounts
            .iter()
            .map(|&(dialect, path)| Mount { dialect, path: path.to_owned() })
            .collect();
        Config { mounts, ..Config::default() }.check()
    }

    #[test]
    fn nothing_meets_unless_it_is_mounted_so() {
        let all = endpoints(&Config::default()).unwrap();
        for (place, one) in all.iter().enumerate() {
            for other in &all[place + 1..] {
                assert!(!one.meets(other), "{one:?} {other:?}");
            }
        }
    }

    #[test]
    fn a_mount_takes_a_path_that_is_free() {
        for mounts in [
            vec![(Dialect::Events, "/live")],
            vec![(Dialect::Events, "/")],
            vec![(Dialect::Chat, "/ws/more/chat")],
            vec![(Dialect::Rooms, "/a"), (Dialect::Project, "/b"), (Dialect::Rooms, "/c/d")],
        ] {
            assert_eq!(mounted(&mounts), Ok(()), "{mounts:?}");
        }
    }

    #[test]
    fn a_path_that_is_taken_or_none_is_refused_with_the_reason() {
        for (mounts, told) in [
            (vec![(Dialect::Events, "/ws")], "native at /ws"),
            (vec![(Dialect::Events, "/echo")], "echo at /echo"),
            (vec![(Dialect::Events, "/metrics")], "/metrics"),
            // Switched off or not.
            (vec![(Dialect::Events, "/publish/files")], "/publish/"),
            (vec![(Dialect::Events, "/admin/rooms")], "/admin/rooms"),
            // Where the name of a room stands.
            (vec![(Dialect::Events, "/ws/rooms/lobby")], "rooms at /ws/rooms"),
            (vec![(Dialect::Rooms, "/")], "rooms at /"),
            (vec![(Dialect::Chat, "/a/b"), (Dialect::Rooms, "/a")], "chat at /a/b"),
            (vec![(Dialect::Chat, "/a"), (Dialect::Rooms, "/a")], "chat at /a"),
            (vec![(Dialect::Chat, "a")], "no path"),
            (vec![(Dialect::Chat, "")], "no path"),
            (vec![(Dialect::Chat, "/a/")], "no path"),
            (vec![(Dialect::Chat, "//a")], "no path"),
            (vec![(Dialect::Chat, "/:a")], "no path"),
            (vec![(Dialect::Chat, "/*")], "no path"),
            (vec![(Dialect::Chat, "/..")], "no path"),
            (vec![(Dialect::Chat, "/a?b")], "no path"),
        ] {
            let error = mounted(&mounts).expect_err(told);
            assert!(error.contains(told), "{mounts:?}: {error}");
        }
    }
}
