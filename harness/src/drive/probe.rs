//! Asks the target for one connection before the load begins: is it there, does it take the upgrade,
//! and what does its greeting say of its timers.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

use async_tungstenite::tungstenite::handshake::client::generate_key;
use url::Url;

use super::director::Target;
use super::http;
use super::swarm::explain;
use super::watch::Interrupt;
use crate::client::{Errand, Jar};
use crate::dialect::{Decoded, Dialect, Event, EventKind, Heartbeat};
use crate::handshake::{self, Progress, Request};
use crate::plan::{ClientPlan, Vars};
use crate::wire::{self, Frames, Incoming, Outgoing};

/// How long one attempt may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long the greeting may take.
const GREETING: Duration = Duration::from_secs(1);
/// The pause between two attempts.
const PAUSE: Duration = Duration::from_millis(200);

/// Finds the target and greets it, again and again for `wait`.
pub(super) fn probe(
    url: &str,
    dialect: &Dialect,
    first: Option<&ClientPlan>,
    wait: Duration,
    interrupt: &Interrupt,
) -> Result<(Target, Option<Heartbeat>), String> {
    let end = Instant::now() + wait;
    let vars = &vars_of(first);
    loop {
        let attempt = locate(url).and_then(|(mut target, addresses)| {
            let mut last = format!("{}: no address", target.host);
            for address in addresses {
                target.address = address;
                match greet(&target, dialect, vars) {
                    Ok(heartbeat) => return Ok((target, heartbeat)),
                    Err(reason) => last = format!("{url}: {reason}"),
                }
            }
            Err(last)
        });
        if attempt.is_ok() || Instant::now() + PAUSE > end || interrupt.signal().is_some() {
            return attempt;
        }
        std::thread::sleep(PAUSE);
    }
}

/// What the first client knows. A room in the path must be some room.
fn vars_of(first: Option<&ClientPlan>) -> Vars {
    let mut vars = first.map(|client| (*client.vars).clone()).unwrap_or_default();
    let run = vars.get("run").and_then(|run| run.as_str()).unwrap_or("0").to_owned();
    vars.entry("room".to_owned()).or_insert_with(|| format!("probe-{run}").into());
    vars
}

/// Takes a target's URL apart, and looks its host up.
fn locate(text: &str) -> Result<(Target, Vec<SocketAddr>), String> {
    let url = Url::parse(text).map_err(|error| format!("`{text}` is no URL: {error}"))?;
    let host = url.host_str().ok_or_else(|| format!("`{text}` names no host"))?.to_owned();
    let port = url.port_or_known_default().unwrap_or(80);
    // `[::1]` is how a URL writes an IPv6 address; the resolver wants it bare.
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let addresses: Vec<SocketAddr> =
        (bare, port).to_socket_addrs().map_err(|error| format!("{host}: {error}"))?.collect();
    let first = *addresses.first().ok_or_else(|| format!("{host}: no address"))?;
    let path = match (url.path(), url.query()) {
        ("" | "/", None) => None,
        (path, None) => Some(path.to_owned()),
        (path, Some(query)) => Some(format!("{path}?{query}")),
    };
    let host = format!("{host}:{port}");
    let secure = matches!(url.scheme(), "wss" | "https");
    let base = format!("{}://{host}", if secure { "https" } else { "http" });
    let target = Target { address: first, host, base, path };
    Ok((target, addresses))
}

/// One connection: upgraded, listened to until the greeting, closed.
fn greet(target: &Target, dialect: &Dialect, vars: &Vars) -> Result<Option<Heartbeat>, String> {
    let told = |error: io::Error| explain(&error);
    let mut stream = TcpStream::connect_timeout(&target.address, PATIENCE).map_err(told)?;
    stream.set_read_timeout(Some(PATIENCE)).map_err(told)?;
    let (vars, headers) = visit(target, dialect, vars)?;
    let path = target.path.as_deref().unwrap_or(&dialect.connect.path);
    let request = Request {
        host: target.host.clone(),
        path: dialect.address(path, &vars).map_err(|hole| hole.to_string())?,
        subprotocol: dialect.connect.subprotocol.clone(),
        headers,
        key: generate_key(),
    };
    stream.write_all(&request.to_bytes()).map_err(told)?;
    let early = shake(&mut stream, &request)?;
    let heartbeat = listen(&mut stream, dialect, &early);
    let goodbye = wire::encode(Outgoing::Close { code: 1000, reason: "" }, [1, 2, 3, 4]);
    // The probe is over; whether the server still takes its Close frame changes nothing.
    if let Err(error) = stream.write_all(&goodbye) {
        tracing::debug!(%error, "the probe's Close frame");
    }
    Ok(heartbeat)
}

/// What comes before an upgrade: HTTP requests, and what they bring for its path and headers.
fn visit(
    target: &Target,
    dialect: &Dialect,
    vars: &Vars,
) -> Result<(Vars, Vec<(String, String)>), String> {
    let (agent, mut jar, mut vars) = (http::agent(), Jar::default(), vars.clone());
    for name in &dialect.connect.before {
        let exchange = dialect.exchange(name, &vars).map_err(|hole| hole.to_string())?;
        let url = http::url_of(&target.base, &exchange.to);
        let host = http::host_of(&url);
        let reply = http::ask(&agent, &url, &exchange, jar.header(&host).as_deref());
        let reply = reply.map_err(|failure| format!("`{name}`: {}", failure.reason()))?;
        reply.cookies().for_each(|cookie| jar.set(&host, cookie));
        match reply.judged(&exchange) {
            Errand::Done(taken, _) => vars.extend(taken),
            other => return Err(format!("`{name}` was answered with {}", other.reason())),
        }
    }
    let mut headers = dialect.headers(&vars).map_err(|hole| hole.to_string())?;
    let cookie = jar.header(&http::host_of(&target.base)).filter(|_| dialect.connect.cookies);
    headers.extend(cookie.map(|cookie| ("Cookie".to_owned(), cookie)));
    Ok((vars, headers))
}

/// Reads the answer to the upgrade; returns the bytes that came behind it.
fn shake(stream: &mut TcpStream, request: &Request) -> Result<Vec<u8>, String> {
    let (mut answer, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        let count = match stream.read(&mut buffer) {
            Ok(count) => count,
            Err(error) if is_timeout(&error) => {
                return Err(format!("no answer to the upgrade in {PATIENCE:?}"));
            }
            Err(error) => return Err(explain(&error)),
        };
        answer.extend_from_slice(buffer.get(..count).unwrap_or_default());
        match handshake::read_answer(request, &answer, count == 0) {
            Ok(Progress::More) => {}
            Ok(Progress::Accepted(head)) => return Ok(answer.split_off(head)),
            Err(refusal) => return Err(refusal.to_string()),
        }
    }
}

/// Waits for the greeting, and reads the server's timers in it. A server that does not greet as the
/// dialect says is found out by the clients, with a transcript.
fn listen(stream: &mut TcpStream, dialect: &Dialect, early: &[u8]) -> Option<Heartbeat> {
    let ready = dialect.connect.ready?;
    let mut frames = Frames::default();
    let mut greeting = greeting_in(&mut frames, dialect, ready, early)?;
    let mut buffer = [0; 4096];
    stream.set_read_timeout(Some(GREETING)).ok()?;
    while greeting.is_none() {
        let count = stream.read(&mut buffer).ok().filter(|&count| count > 0)?;
        greeting = greeting_in(&mut frames, dialect, ready, buffer.get(..count)?)?;
    }
    let fields = greeting?.fields;
    let millis = |name: &str| fields.get(name)?.as_u64().map(Duration::from_millis);
    let every = millis("heartbeat_interval_ms")?;
    Some(Heartbeat { every, timeout: millis("heartbeat_timeout_ms")? })
}

/// The greeting, if these bytes complete it; none at all when they are no WebSocket.
fn greeting_in(
    frames: &mut Frames,
    dialect: &Dialect,
    ready: EventKind,
    bytes: &[u8],
) -> Option<Option<Event>> {
    let mut greeting = None;
    let fed = frames.feed(bytes, |incoming| {
        if let Incoming::Text(text) = incoming
            && let Decoded::Event(event) = dialect.decode(text)
            && event.kind == ready
        {
            greeting.get_or_insert(event);
        }
    });
    fed.ok().map(|()| greeting)
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}
