//! Asks the target for one connection before the load begins: is it there, does it take the upgrade,
//! and what does its greeting say of its timers.

use std::future::Future;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::time::{Duration, Instant};

use async_io::{Timer, block_on};
use async_tungstenite::tungstenite::handshake::client::generate_key;
use futures_lite::{AsyncReadExt, AsyncWriteExt, future};
use url::Url;

use super::Job;
use super::channel::Channel;
use super::director::Target;
use super::http::Road;
use super::swarm::explain;
use super::tls::Tls;
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

/// Finds the target and greets it, again and again for as long as the job says.
pub(super) fn probe(url: &str, job: &Job<'_>) -> Result<(Target, Option<Heartbeat>), String> {
    let (dialect, end) = (&job.plan.dialect, Instant::now() + job.wait);
    let vars = &vars_of(job.plan.clients.first());
    loop {
        let attempt = locate(url, job.tls).and_then(|(mut target, addresses)| {
            let mut last = format!("{}: no address", target.host);
            for address in addresses {
                target.address = address;
                match block_on(greet(&target, job.tls, dialect, vars)) {
                    Ok(heartbeat) => return Ok((target, heartbeat)),
                    Err(reason) => last = format!("{url}: {reason}"),
                }
            }
            Err(last)
        });
        if attempt.is_ok() || Instant::now() + PAUSE > end || job.interrupt.signal().is_some() {
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
pub(super) fn locate(text: &str, tls: &Tls) -> Result<(Target, Vec<SocketAddr>), String> {
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
    let tls = (url.scheme() == "wss").then(|| tls.with(bare)).transpose()?;
    let target = Target { address: first, host: format!("{host}:{port}"), path, tls };
    Ok((target, addresses))
}

/// One connection: upgraded, listened to until the greeting, closed.
async fn greet(
    target: &Target,
    tls: &Tls,
    dialect: &Dialect,
    vars: &Vars,
) -> Result<Option<Heartbeat>, String> {
    let told = |error: io::Error| explain(&error);
    let (vars, headers) = visit(&Road::new(target, tls), dialect, vars).await?;
    let opened = within(PATIENCE, Channel::open(target)).await;
    let mut channel = opened.unwrap_or_else(|| Err(no_connection(target))).map_err(told)?;
    let path = target.path.as_deref().unwrap_or(&dialect.connect.path);
    let request = Request {
        host: target.host.clone(),
        path: dialect.address(path, &vars).map_err(|hole| hole.to_string())?,
        subprotocol: dialect.connect.subprotocol.clone(),
        headers,
        key: generate_key(),
    };
    channel.write_all(&request.to_bytes()).await.map_err(told)?;
    let early = within(PATIENCE, shake(&mut channel, &request)).await;
    let early = early.ok_or_else(|| format!("no answer to the upgrade in {PATIENCE:?}"))??;
    // A server that does not greet as the dialect says is found out by the clients, with a
    // transcript.
    let heartbeat = within(GREETING, listen(&mut channel, dialect, &early)).await.flatten();
    let goodbye = wire::encode(Outgoing::Close { code: 1000, reason: "" }, [1, 2, 3, 4]);
    // The probe is over; whether the server still takes its Close frame changes nothing.
    let said = async {
        channel.write_all(&goodbye).await?;
        channel.close().await
    };
    if let Some(Err(error)) = within(GREETING, said).await {
        tracing::debug!(%error, "the probe's Close frame");
    }
    Ok(heartbeat)
}

/// What comes before an upgrade: HTTP requests, and what they bring for its path and headers.
async fn visit(
    road: &Road,
    dialect: &Dialect,
    vars: &Vars,
) -> Result<(Vars, Vec<(String, String)>), String> {
    let (mut jar, mut vars) = (Jar::default(), vars.clone());
    for name in &dialect.connect.before {
        let exchange = dialect.exchange(name, &vars).map_err(|hole| hole.to_string())?;
        match road.ask(&exchange, &mut jar).await {
            Errand::Done(taken, _) => vars.extend(taken),
            Errand::Refused(refusal) => {
                return Err(format!("`{name}` was answered with {refusal}"));
            }
            other => return Err(format!("`{name}`: {}", other.reason())),
        }
    }
    let mut headers = dialect.headers(&vars).map_err(|hole| hole.to_string())?;
    let cookie = jar.header(road.host()).filter(|_| dialect.connect.cookies);
    headers.extend(cookie.map(|cookie| ("Cookie".to_owned(), cookie)));
    Ok((vars, headers))
}

/// What comes of it in time.
async fn within<T>(span: Duration, what: impl Future<Output = T>) -> Option<T> {
    let late = async {
        Timer::after(span).await;
        None
    };
    future::or(async { Some(what.await) }, late).await
}

fn no_connection(target: &Target) -> io::Error {
    let what = if target.tls.is_some() { "no TLS connection" } else { "no connection" };
    io::Error::new(io::ErrorKind::TimedOut, format!("{what} in {PATIENCE:?}"))
}

/// Reads the answer to the upgrade; returns the bytes that came behind it.
async fn shake(channel: &mut Channel, request: &Request) -> Result<Vec<u8>, String> {
    let (mut answer, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        let count = channel.read(&mut buffer).await.map_err(|error| explain(&error))?;
        answer.extend_from_slice(buffer.get(..count).unwrap_or_default());
        match handshake::read_answer(request, &answer, count == 0) {
            Ok(Progress::More) => {}
            Ok(Progress::Accepted(head)) => return Ok(answer.split_off(head)),
            // A record that holds an alert (RFC 8446, 5.1) and a legacy version.
            Err(_) if answer.starts_with(&[21, 3]) => {
                return Err("it speaks TLS: is it a wss:// server?".to_owned());
            }
            Err(refusal) => return Err(refusal.to_string()),
        }
    }
}

/// Waits for the greeting, and reads the server's timers in it.
async fn listen(channel: &mut Channel, dialect: &Dialect, early: &[u8]) -> Option<Heartbeat> {
    let ready = dialect.connect.ready?;
    let mut frames = Frames::default();
    let mut greeting = greeting_in(&mut frames, dialect, ready, early)?;
    let mut buffer = [0; 4096];
    while greeting.is_none() {
        let count = channel.read(&mut buffer).await.ok().filter(|&count| count > 0)?;
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
