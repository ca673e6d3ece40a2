//! HTTP requests of dialects, made by a small pool of threads: neither the swarm, nor the load, nor
//! the director ever waits for one (docs/decisions/0011-http-in-dialects.md).

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::{Mutex, RwLock};
use ureq::http::{Request, Response};
use ureq::{Agent, Body};

use super::stage::Shared;
use super::swarm::explain;
use crate::client::Errand;
use crate::dialect::Exchange;
use crate::heard::shown;
use crate::observe::ClientId;
use crate::summary::Direction;

/// So many requests are under way at a time.
const THREADS: usize = 16;
/// So many may wait behind them. Beyond that the target, or this machine, does not keep up.
const QUEUE_MAX: usize = 4096;
/// How long a connection may take, and how long a whole request.
const CONNECT: Duration = Duration::from_secs(5);
const WHOLE: Duration = Duration::from_secs(10);
/// How much of an answer is read, in bytes.
const BODY_BYTES_MAX: u64 = 1 << 20;

/// Something that a thread of the pool does.
pub(super) type Work = Box<dyn FnOnce(&Worker) + Send>;

/// What a thread of the pool works with.
pub(super) struct Worker {
    agent: Agent,
    base: String,
    /// The run; none when it is over: what comes then comes too late.
    shared: RwLock<Option<Arc<Shared>>>,
}

/// The threads.
pub(super) struct Pool {
    worker: Arc<Worker>,
    queue: SyncSender<Work>,
    threads: Vec<JoinHandle<()>>,
}

impl Pool {
    /// Starts the threads. Relative addresses are asked of `base`, such as `http://127.0.0.1:80`.
    pub(super) fn start(base: &str, shared: Arc<Shared>) -> io::Result<Self> {
        let (queue, waiting) = sync_channel(QUEUE_MAX);
        let waiting = Arc::new(Mutex::new(waiting));
        let shared = RwLock::new(Some(shared));
        let worker = Arc::new(Worker { agent: agent(), base: base.to_owned(), shared });
        let start = |number: usize| {
            let (worker, waiting) = (Arc::clone(&worker), Arc::clone(&waiting));
            let named = std::thread::Builder::new().name(format!("http-{number}"));
            named.spawn(move || work(&worker, &waiting))
        };
        let threads = (0..THREADS).map(start).collect::<io::Result<_>>()?;
        Ok(Self { worker, queue, threads })
    }

    /// The way into the queue.
    pub(super) fn queue(&self) -> SyncSender<Work> {
        self.queue.clone()
    }

    /// Ends the pool: what is under way is told nobody any more. A thread that still waits for an
    /// answer ends with it, or with the program.
    pub(super) fn stop(self) {
        drop(self.worker.shared.write().take());
        drop(self.queue);
        for thread in self.threads.into_iter().filter(JoinHandle::is_finished) {
            debug_assert!(thread.join().is_ok(), "a thread of the pool panicked");
        }
    }
}

fn work(worker: &Worker, waiting: &Mutex<Receiver<Work>>) {
    loop {
        let next = waiting.lock().recv();
        let Ok(work) = next else { return };
        work(worker);
    }
}

/// Puts work into the queue; gives it back when there is no place.
pub(super) fn submit(queue: &SyncSender<Work>, work: Work) -> Result<(), Work> {
    queue.try_send(work).map_err(|error| match error {
        TrySendError::Full(work) | TrySendError::Disconnected(work) => work,
    })
}

impl Worker {
    /// Does something with the run, if it still goes on.
    pub(super) fn with<T>(&self, act: impl FnOnce(&Shared) -> T) -> Option<T> {
        self.shared.read().as_deref().map(act)
    }

    /// Makes a request for a client, with its cookies, and enters it in the client's transcript.
    pub(super) fn perform(&self, id: ClientId, exchange: &Exchange) -> Errand {
        let url = url_of(&self.base, &exchange.to);
        let host = host_of(&url);
        let cookie = self.with(|shared| {
            let mut stage = shared.lock();
            stage.books.frame(shared.now(), id, Direction::Out, exchange.shown().into());
            stage.client(id).and_then(|(client, _)| client.jar.header(&host))
        });
        let reply = match ask(&self.agent, &url, exchange, cookie.flatten().as_deref()) {
            Ok(reply) => reply,
            Err(failure) => {
                self.note(id, &format!("(no answer: {})", failure.reason()));
                return failure;
            }
        };
        self.note(id, &format!("{} {}", reply.status, reply.body));
        self.with(|shared| {
            if let Some((client, _)) = shared.lock().client(id) {
                reply.cookies().for_each(|cookie| client.jar.set(&host, cookie));
            }
        });
        reply.judged(exchange)
    }

    fn note(&self, id: ClientId, text: &str) {
        let text = shown(&text.into());
        self.with(|shared| shared.lock().books.frame(shared.now(), id, Direction::In, text));
    }
}

/// An agent that reports what it gets: no redirects, no proxies, no cookies of its own.
pub(super) fn agent() -> Agent {
    let config = Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .proxy(None)
        .allow_non_standard_methods(true)
        .timeout_connect(Some(CONNECT))
        .timeout_global(Some(WHOLE))
        .max_idle_connections(THREADS)
        .max_idle_connections_per_host(THREADS)
        .user_agent(concat!("tidemark-harness/", env!("CARGO_PKG_VERSION")))
        .build();
    Agent::new_with_config(config)
}

/// An answer.
pub(super) struct Reply {
    pub(super) status: u16,
    headers: Vec<(String, String)>,
    body: String,
}

impl Reply {
    pub(super) fn cookies(&self) -> impl Iterator<Item = &str> {
        let set = self.headers.iter().filter(|(name, _)| name == "set-cookie");
        set.map(|(_, value)| value.as_str())
    }

    /// What came of it, as the dialect judges.
    pub(super) fn judged(self, exchange: &Exchange) -> Errand {
        match exchange.read(self.status, &self.headers, &self.body) {
            Ok(taken) => Errand::Done(taken, self.body.into()),
            Err(refusal) => Errand::Refused(refusal),
        }
    }
}

/// Makes a request, and waits for its answer.
pub(super) fn ask(
    agent: &Agent,
    url: &str,
    exchange: &Exchange,
    cookie: Option<&str>,
) -> Result<Reply, Errand> {
    let mut request = Request::builder().method(exchange.method).uri(url);
    for (name, value) in &exchange.headers {
        request = request.header(name, value);
    }
    if let Some(cookie) = cookie {
        request = request.header("Cookie", cookie);
    }
    let unmade = |error: ureq::http::Error| Errand::NeverLeft(error.to_string().into());
    let begun = Instant::now();
    let answer = match &exchange.body {
        Some(body) => agent.run(request.body(body.as_str()).map_err(unmade)?),
        None => agent.run(request.body(()).map_err(unmade)?),
    };
    let answer = answer.and_then(read).map_err(|error| failure(&error, begun.elapsed()))?;
    Ok(answer)
}

fn read(mut answer: Response<Body>) -> Result<Reply, ureq::Error> {
    let text = |value: &ureq::http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into();
    let headers = answer.headers().iter();
    let headers = headers.map(|(name, value)| (name.as_str().to_owned(), text(value))).collect();
    let status = answer.status().as_u16();
    let body = answer.body_mut().with_config().limit(BODY_BYTES_MAX).read_to_vec()?;
    Ok(Reply { status, headers, body: String::from_utf8_lossy(&body).into_owned() })
}

/// Why there is no answer, and whether the server can have got the request.
fn failure(error: &ureq::Error, after: Duration) -> Errand {
    let unsent = |reason: String| Errand::NeverLeft(reason.into());
    match error {
        ureq::Error::Io(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            unsent(explain(error))
        }
        ureq::Error::Io(error) if error.kind() == io::ErrorKind::AddrNotAvailable => {
            unsent(explain(error))
        }
        ureq::Error::Timeout(ureq::Timeout::Connect | ureq::Timeout::Resolve) => {
            unsent(format!("no connection in {CONNECT:?}"))
        }
        ureq::Error::HostNotFound
        | ureq::Error::ConnectionFailed
        | ureq::Error::BadUri(_)
        | ureq::Error::Http(_) => unsent(error.to_string()),
        ureq::Error::Timeout(_) => Errand::Lost(format!("no answer in {after:.1?}").into()),
        ureq::Error::Io(error) => Errand::Lost(explain(error).into()),
        other => Errand::Lost(other.to_string().into()),
    }
}

/// Where a request goes: an absolute URL, or a path on the target's host.
pub(super) fn url_of(base: &str, to: &str) -> String {
    if to.starts_with('/') { format!("{base}{to}") } else { to.to_owned() }
}

/// The host and port in a URL: what cookies belong to.
pub(super) fn host_of(url: &str) -> String {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.split(['/', '?', '#']).next().unwrap_or_default().to_ascii_lowercase()
}
