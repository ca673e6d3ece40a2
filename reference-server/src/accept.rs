//! The accept loop: from a listening socket to answered requests and running connections.

use std::{
    fmt::Write as _,
    io,
    net::{TcpListener, TcpStream},
    panic::AssertUnwindSafe,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use async_io::{Async, Timer};
use futures_lite::{FutureExt, future};
use tide::{
    Response, StatusCode,
    http::{self, Method, Request},
};
use tracing::{debug, error, warn};

use crate::{
    connection::Connection,
    conversation,
    head::{self, Head, Refusal},
    pusher::api,
    server::Server,
    socket::discard,
    stream::{Stream, Unshaken},
    upgrade::Upgraded,
};

/// Connections that the kernel completes and holds before they are accepted: enough for all clients
/// of a large test to connect at once. The standard library asks for 128.
const BACKLOG: i32 = 4096;
/// What the kernel may hold for one reader that has stopped. Its own choice is some megabytes: then
/// a slow reader would be found out only after tens of thousands of messages.
const SEND_BUFFER_BYTES: usize = 64 * 1024;
/// Sockets beyond `max_connections`: for handshakes under way, health checks, and refusals.
const SPARE_SOCKETS: usize = 128;
/// How long to wait after the process has run out of descriptors, and between two such log lines.
const BACK_OFF: Duration = Duration::from_millis(100);
const LOG_EVERY: Duration = Duration::from_secs(1);

/// Makes a listening socket ready for many connections.
pub(crate) fn prepare(listener: TcpListener) -> io::Result<Async<TcpListener>> {
    let socket = socket2::SockRef::from(&listener);
    socket.listen(BACKLOG)?;
    // Accepted sockets inherit both.
    socket.set_send_buffer_size(SEND_BUFFER_BYTES)?;
    socket.set_tcp_nodelay(true)?;
    Async::new(listener)
}

/// Accepts for as long as it is polled.
pub(crate) async fn run(
    server: Arc<Server>,
    app: tide::Server<Arc<Server>>,
    listener: Async<TcpListener>,
) {
    let sockets = Arc::new(AtomicUsize::new(0));
    let most = server.config.max_connections.saturating_add(SPARE_SOCKETS);
    let mut logged: Option<Instant> = None;
    loop {
        let error = match listener.accept().await {
            Ok((socket, _)) => {
                let Some(place) = Place::take(&sockets, most) else { continue };
                let greeting = guarded(server.clone(), app.clone(), socket, place);
                // It ends by itself: at its deadline, or as a connection that the server knows of.
                drop(async_std::task::spawn(greeting));
                continue;
            }
            Err(error) => error,
        };
        server.metrics.accept_errors.inc();
        if logged.is_none_or(|at| at.elapsed() >= LOG_EVERY) {
            warn!(%error, "cannot accept");
            logged = Some(Instant::now());
        }
        // A connection that was gone before it was accepted is no reason to wait; a lack of
        // descriptors is: the listener stays readable, and the loop would spin.
        if !matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::Interrupted) {
            Timer::after(BACK_OFF).await;
        }
    }
}

/// One of the sockets that may be open.
#[derive(Debug)]
pub(crate) struct Place(Arc<AtomicUsize>);

impl Place {
    fn take(sockets: &Arc<AtomicUsize>, most: usize) -> Option<Self> {
        let place = Self(sockets.clone());
        (sockets.fetch_add(1, Ordering::AcqRel) < most).then_some(place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Greets; should an endpoint panic, only this socket is lost.
async fn guarded(
    server: Arc<Server>,
    app: tide::Server<Arc<Server>>,
    socket: Async<TcpStream>,
    place: Place,
) {
    let greeting = greet(server.clone(), app, socket, place);
    if AssertUnwindSafe(greeting).catch_unwind().await.is_err() {
        error!("an endpoint panicked");
        server.metrics.panics.inc();
    }
}

/// Reads what a new socket wants, before the deadline, and answers it.
async fn greet(
    server: Arc<Server>,
    app: tide::Server<Arc<Server>>,
    socket: Async<TcpStream>,
    place: Place,
) {
    let mut stream = match Stream::new(socket, server.config.tls.as_ref()) {
        Ok(stream) => stream,
        Err(error) => return error!(%error, "TLS cannot begin"),
    };
    let alarm = server.wheel.alarm(server.in_future(server.config.handshake));
    let heard = future::or(hear(&server, &mut stream), async {
        alarm.await;
        Err(Asked::Answer(plain(StatusCode::RequestTimeout)))
    })
    .await;
    // What is asked for is done whole: the time that this takes is not the client's.
    let asked = match heard {
        Ok(head) => answer(&app, head).await,
        Err(asked) => asked,
    };
    match asked {
        Asked::Gone => {}
        Asked::Unshaken => farewell(&server, &stream, &[]).await,
        Asked::Answer(response) => {
            farewell(&server, &stream, &encode(response, true).await).await;
        }
        Asked::HeadOnly(response) => {
            farewell(&server, &stream, &encode(response, false).await).await;
        }
        Asked::Upgrade { response, upgraded, early } => {
            let connection = Connection::new(stream, server, &upgraded);
            let answer = encode_head(&response, None);
            let run = async move {
                conversation::run(connection, answer.into(), early, upgraded.asked).await;
                drop(place);
            };
            // A task of its own: this one's memory is sized for a handshake. It ends when its
            // connection does, which the server can bring about.
            drop(async_std::task::spawn(run));
        }
    }
}

enum Asked {
    Answer(http::Response),
    /// The answer to HEAD.
    HeadOnly(http::Response),
    Upgrade {
        response: http::Response,
        upgraded: Upgraded,
        early: Vec<u8>,
    },
    /// No TLS came about.
    Unshaken,
    Gone,
}

/// Reads a whole request; else what comes of it that there is none.
async fn hear(server: &Server, stream: &mut Stream) -> Result<Head, Asked> {
    match stream.handshake().await {
        Ok(()) => {}
        Err(Unshaken::NoTls) => {
            stream.give_up_tls();
            return Err(Asked::Answer(no_tls()));
        }
        Err(Unshaken::Failed(error)) => {
            debug!(%error, "no TLS");
            server.metrics.tls_failed.inc();
            return Err(Asked::Unshaken);
        }
    }
    let mut head = match head::read(stream).await {
        Ok(head) => head,
        Err(Refusal::Gone) => return Err(Asked::Gone),
        Err(Refusal::Status(status)) => return Err(Asked::Answer(plain(status))),
    };
    if head.body_bytes > most_of_body(server, &head) {
        return Err(Asked::Answer(plain(StatusCode::PayloadTooLarge)));
    }
    if head.body_bytes > 0 {
        match body(stream, std::mem::take(&mut head.rest), head.body_bytes).await {
            Ok(body) => head.request.set_body(body),
            Err(_) => return Err(Asked::Gone),
        }
    }
    head.request.set_peer_addr(stream.socket().peer_addr().ok());
    Ok(head)
}

async fn answer(app: &tide::Server<Arc<Server>>, head: Head) -> Asked {
    let head_only = head.request.method() == Method::Head;
    #[cfg(all(feature = "mutants", debug_assertions))]
    let (server, mut head) = (app.state().clone(), head);
    #[cfg(all(feature = "mutants", debug_assertions))]
    let asked = crate::mutants::asked(&server, &mut head.request);
    let response = respond(app, head.request).await;
    #[cfg(all(feature = "mutants", debug_assertions))]
    let response = crate::mutants::answered(&server, &asked, response);
    if response.status() == StatusCode::SwitchingProtocols
        && let Some(upgraded) = response.ext().get::<Upgraded>().cloned()
    {
        return Asked::Upgrade { response, upgraded, early: head.rest };
    }
    if head_only { Asked::HeadOnly(response) } else { Asked::Answer(response) }
}

/// The longest body of such a request.
fn most_of_body(server: &Server, head: &Head) -> u64 {
    let most = server.config.body_bytes;
    let is_api = head.request.url().path().starts_with(api::PREFIX);
    if is_api { most.max(api::BODY_BYTES) } else { most }
}

async fn body(stream: &Stream, mut bytes: Vec<u8>, length: u64) -> Result<Vec<u8>, Refusal> {
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    while bytes.len() < length {
        if head::read_more(stream, &mut bytes).await? == 0 {
            return Err(Refusal::Gone);
        }
    }
    bytes.truncate(length);
    Ok(bytes)
}

async fn respond(app: &tide::Server<Arc<Server>>, request: Request) -> http::Response {
    debug!(method = %request.method(), path = request.url().path(), "request");
    app.respond(request).await.unwrap_or_else(|error: http::Error| plain(error.status()))
}

fn plain(status: StatusCode) -> http::Response {
    let mut response = Response::new(status);
    response.set_body(format!("{}\n", status.canonical_reason()));
    response.into()
}

/// For a client that speaks plain HTTP where TLS is spoken.
fn no_tls() -> http::Response {
    let mut response = Response::new(StatusCode::BadRequest);
    response.set_body("TLS is spoken here: use wss:// or https://\n");
    response.into()
}

/// Sends an answer and closes, without a reset that could destroy it.
async fn farewell(server: &Server, stream: &Stream, answer: &[u8]) {
    let alarm = server.wheel.alarm(server.in_future(server.config.linger));
    let answered = async {
        if stream.write_all(answer).await.is_ok()
            && future::poll_fn(|cx| stream.poll_shut(cx)).await.is_ok()
        {
            // Whatever comes of it, the socket is closed next.
            future::poll_fn(|cx| discard(stream, cx).map(drop)).await;
        }
    };
    future::or(answered, alarm).await;
}

async fn encode(mut response: http::Response, with_body: bool) -> Vec<u8> {
    let body = response.take_body().into_bytes().await.unwrap_or_default();
    let mut bytes = encode_head(&response, Some(body.len()));
    if with_body {
        bytes.extend_from_slice(&body);
    }
    bytes
}

/// The status line and headers. A length is given for all but a 101, which has no body: "A server
/// MUST NOT send a Content-Length header field in any response with a status code of 1xx" (RFC 9110,
/// 8.6).
fn encode_head(response: &http::Response, length: Option<usize>) -> Vec<u8> {
    let status = response.status();
    let mut head = format!("HTTP/1.1 {} {}\r\n", u16::from(status), status.canonical_reason());
    for (name, values) in response {
        if matches!(name.as_str(), "content-length" | "transfer-encoding") {
            continue;
        }
        for value in values {
            // Writing into a string does not fail.
            write!(head, "{name}: {value}\r\n").unwrap_or_default();
        }
    }
    if let Some(length) = length {
        write!(head, "content-length: {length}\r\nconnection: close\r\n").unwrap_or_default();
    }
    head.push_str("\r\n");
    head.into_bytes()
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};

    use super::*;
    use crate::config::Config;

    #[test]
    fn the_time_that_an_answer_takes_is_not_the_clients() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        client.write_all(b"GET /late HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
        let (socket, _) = listener.accept().unwrap();
        let server = Arc::new(Server::new(Config::default()).unwrap());
        // Every deadline has passed already.
        server.wheel.stop();
        let mut app = tide::with_state(server.clone());
        app.at("/late").get(|_| async {
            future::yield_now().await;
            Ok("at last\n")
        });
        let place = Place::take(&Arc::default(), 1).unwrap();
        async_std::task::block_on(greet(server, app, Async::new(socket).unwrap(), place));
        let mut answer = String::new();
        client.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("at last\n"), "{answer}");
    }
}
