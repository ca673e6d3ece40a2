//! HTTP requests: one exchange on a connection of its own, and the small pool of threads that makes
//! those of dialects, so that neither the swarm, nor the load, nor the director ever waits for one
//! (docs/decisions/0011-http-in-dialects.md).

use std::collections::{HashMap, VecDeque};
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use async_io::Timer;
use futures_lite::{AsyncReadExt, AsyncWriteExt, future};
use parking_lot::{Mutex, RwLock};
use url::Url;

use super::channel::Channel;
use super::director::Target;
use super::stage::Shared;
use super::swarm::explain;
use super::tls::Tls;
use crate::client::{Errand, Jar};
use crate::dialect::Exchange;
use crate::heard::shown;
use crate::http::{self, Answer, Progress, Request};
use crate::latency::Metric;
use crate::observe::ClientId;
use crate::summary::Direction;

/// So many requests are under way at a time.
const THREADS: usize = 16;
/// So many may wait behind them. Beyond that the target, or this machine, does not keep up.
const QUEUE_MAX: usize = 4096;
/// How long a whole request may take.
const WHOLE: Duration = Duration::from_secs(10);

/// Something that a thread of the pool does. What belongs to one client is done in order, one thing
/// after the other: two requests at the same time would overtake each other.
pub(super) type Work = Box<dyn FnOnce(&Worker) + Send>;

/// What waits to be done.
#[derive(Default)]
struct Lines {
    waiting: HashMap<ClientId, VecDeque<Work>>,
    count: usize,
}

/// The way into the pool.
#[derive(Clone)]
pub(super) struct Queue {
    lines: Arc<Mutex<Lines>>,
    /// Whose turn it is, and since when.
    turns: Sender<(ClientId, Instant)>,
}

/// What a thread of the pool works with.
pub(super) struct Worker {
    road: Road,
    /// The run; none when it is over: what comes then comes too late.
    shared: RwLock<Option<Arc<Shared>>>,
    lines: Arc<Mutex<Lines>>,
}

/// The threads.
pub(super) struct Pool {
    worker: Arc<Worker>,
    queue: Queue,
    threads: Vec<JoinHandle<()>>,
}

impl std::fmt::Debug for Queue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Queue").field("count", &self.lines.lock().count).finish()
    }
}

impl Queue {
    /// Has something done for a client; gives it back when too much is waiting already.
    pub(super) fn submit(&self, client: ClientId, work: Work) -> Result<(), Work> {
        let mut lines = self.lines.lock();
        if lines.count >= QUEUE_MAX {
            return Err(work);
        }
        lines.count += 1;
        let line = lines.waiting.entry(client).or_default();
        line.push_back(work);
        // Behind something of its own it waits for that, not for a thread.
        if line.len() == 1 && self.turns.send((client, Instant::now())).is_err() {
            tracing::debug!("the pool has ended");
        }
        Ok(())
    }
}

impl Pool {
    pub(super) fn start(road: Road, shared: Arc<Shared>) -> io::Result<Self> {
        let (turns, next) = channel();
        let next = Arc::new(Mutex::new(next));
        let lines = Arc::new(Mutex::new(Lines::default()));
        let shared = RwLock::new(Some(shared));
        let worker = Arc::new(Worker { road, shared, lines: Arc::clone(&lines) });
        let start = |number: usize| {
            let (worker, next) = (Arc::clone(&worker), Arc::clone(&next));
            let named = std::thread::Builder::new().name(format!("http-{number}"));
            named.spawn(move || work(&worker, &next))
        };
        let threads = (0..THREADS).map(start).collect::<io::Result<_>>()?;
        Ok(Self { worker, queue: Queue { lines, turns }, threads })
    }

    /// The way in.
    pub(super) fn queue(&self) -> Queue {
        self.queue.clone()
    }

    /// Ends the pool: what is under way is told nobody any more. A thread that still waits for an
    /// answer ends with it, or with the program.
    pub(super) fn stop(self) {
        drop(self.worker.shared.write().take());
        self.worker.lines.lock().waiting.clear();
        drop(self.queue);
        for thread in self.threads.into_iter().filter(JoinHandle::is_finished) {
            let joined = thread.join();
            debug_assert!(joined.is_ok(), "a thread of the pool panicked");
        }
    }
}

fn work(worker: &Worker, next: &Mutex<Receiver<(ClientId, Instant)>>) {
    loop {
        let turn = next.lock().recv();
        let Ok((client, since)) = turn else { return };
        // What waited for a thread was late by our own doing.
        let late = u64::try_from(since.elapsed().as_micros()).unwrap_or(u64::MAX);
        worker.with(|shared| {
            shared.lock().books.measured.record(Metric::HarnessLateness, late);
        });
        while let Some(work) = worker.front(client) {
            work(worker);
            worker.done(client);
        }
    }
}

impl Worker {
    /// The next thing to do for a client. It keeps its place until it is done.
    fn front(&self, client: ClientId) -> Option<Work> {
        let mut lines = self.lines.lock();
        let work = lines.waiting.get_mut(&client)?.front_mut()?;
        Some(std::mem::replace(work, Box::new(|_| {})))
    }

    fn done(&self, client: ClientId) {
        let mut lines = self.lines.lock();
        lines.count = lines.count.saturating_sub(1);
        let Some(line) = lines.waiting.get_mut(&client) else { return };
        line.pop_front();
        if line.is_empty() {
            lines.waiting.remove(&client);
        }
    }

    /// Does something with the run, if it still goes on.
    pub(super) fn with<T>(&self, act: impl FnOnce(&Shared) -> T) -> Option<T> {
        self.shared.read().as_deref().map(act)
    }

    /// Makes a request for a client, with its cookies, and enters it in the client's transcript.
    pub(super) fn perform(&self, id: ClientId, exchange: &Exchange) -> Errand {
        let jar = self.with(|shared| {
            let mut stage = shared.lock();
            let text = format!("(http: {})", exchange.shown());
            stage.books.frame(shared.now(), id, Direction::Out, shown(&text.into()));
            stage.client(id).map(|(client, _)| client.jar.clone())
        });
        let mut jar = jar.flatten().unwrap_or_default();
        let errand = async_io::block_on(self.road.ask(exchange, &mut jar));
        let text = match &errand {
            Errand::Done(_, body) => format!("(http: {body})"),
            other => format!("(http: {})", other.reason()),
        };
        self.with(|shared| {
            let mut stage = shared.lock();
            stage.books.frame(shared.now(), id, Direction::In, shown(&text.into()));
            jar.values().for_each(|cookie| stage.books.conceal(cookie));
            if let Errand::Done(taken, _) = &errand {
                stage.books.keep_secrets(taken);
            }
            if let Some((client, _)) = stage.client(id) {
                client.jar = jar;
            }
        });
        errand
    }
}

/// Where requests go: to the target's host, or wherever they say themselves.
#[derive(Clone, Debug)]
pub(super) struct Road {
    target: Target,
    tls: Tls,
}

impl Road {
    pub(super) fn new(target: &Target, tls: &Tls) -> Self {
        Self { target: target.clone(), tls: tls.clone() }
    }

    /// The target's host and port: whose cookies an upgrade carries.
    pub(super) fn host(&self) -> &str {
        &self.target.host
    }

    /// Makes a request and waits for its answer, with the cookies of a jar.
    pub(super) async fn ask(&self, exchange: &Exchange, jar: &mut Jar) -> Errand {
        let (target, path) = match self.to(&exchange.to) {
            Ok(there) => there,
            Err(reason) => return Errand::NeverLeft(reason.into()),
        };
        let request = request(&target.host, path, exchange, jar);
        let asking = converse(&target, request, exchange.method == "HEAD");
        let late = async {
            Timer::after(WHOLE).await;
            Err(Errand::Lost(format!("no answer in {WHOLE:?}").into()))
        };
        let answer = match future::or(asking, late).await {
            Ok(answer) => answer,
            Err(errand) => return errand,
        };
        for (name, value) in &answer.headers {
            if name.eq_ignore_ascii_case("set-cookie") {
                jar.set(&target.host, value);
            }
        }
        let body = String::from_utf8_lossy(&answer.body);
        match exchange.read(answer.status, &answer.headers, &body) {
            Ok(taken) => Errand::Done(taken, body.into()),
            Err(refusal) => Errand::Refused(refusal),
        }
    }

    /// The server of an address, and the path there.
    pub(super) fn to(&self, address: &str) -> Result<(Target, String), String> {
        if address.starts_with('/') {
            return Ok((self.target.clone(), address.to_owned()));
        }
        let url = Url::parse(address).map_err(|error| format!("`{address}`: {error}"))?;
        let host = url.host_str().ok_or_else(|| format!("`{address}` names no host"))?;
        let tls = match url.scheme() {
            "http" => None,
            "https" => Some(self.tls.with(host.trim_matches(['[', ']']))?),
            other => return Err(format!("`{address}`: no request can be made by {other}")),
        };
        let found = url.socket_addrs(|| None).map_err(|error| format!("{host}: {error}"))?;
        let address = *found.first().ok_or_else(|| format!("{host}: no address"))?;
        let port = url.port_or_known_default().unwrap_or(80);
        let query = url.query().map(|query| format!("?{query}")).unwrap_or_default();
        let target = Target { address, host: format!("{host}:{port}"), path: None, tls };
        Ok((target, format!("{}{query}", url.path())))
    }
}

fn request(host: &str, path: String, exchange: &Exchange, jar: &Jar) -> Vec<u8> {
    let body = exchange.body.clone().map(String::into_bytes);
    let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let agent = concat!("tidemark-harness/", env!("CARGO_PKG_VERSION"));
    let mut headers = vec![
        header("Host", host),
        header("Connection", "close"),
        header("Accept", "*/*"),
        header("User-Agent", agent),
    ];
    headers.extend(body.as_ref().map(|body| header("Content-Length", &body.len().to_string())));
    headers.extend(jar.header(host).map(|cookies| header("Cookie", &cookies)));
    let method = exchange.method.to_owned();
    let mut request = Request { method, path, headers, body: body.unwrap_or_default() };
    request.set(&exchange.headers);
    request.to_bytes()
}

/// A request that has an answer, or none: then why.
async fn converse(target: &Target, request: Vec<u8>, to_head: bool) -> Result<Answer, Errand> {
    let opened = Channel::open(target).await;
    let mut channel = opened.map_err(|error| Errand::NeverLeft(explain(&error).into()))?;
    let came = read_answer(&mut channel, &request, to_head).await;
    came.and_then(|answer| {
        answer.ok_or_else(|| "the connection ended without an answer".to_owned())
    })
    .map_err(|reason| Errand::Lost(reason.into()))
}

/// Sends a request on a connection of its own, and reads the answer to it; none when the connection
/// ends without one.
///
/// # Errors
/// What came is no answer: why.
pub(super) async fn read_answer(
    channel: &mut Channel,
    request: &[u8],
    to_head: bool,
) -> Result<Option<Answer>, String> {
    // Who does not want to read all of a request may answer it and close: that is seen below.
    let sent = channel.write_all(request).await;
    let flushed = channel.flush().await;
    tracing::debug!(?sent, ?flushed, "an HTTP request");
    let (mut gathered, mut buffer) = (Vec::new(), vec![0; 16 << 10]);
    loop {
        let (count, broken) = match channel.read(&mut buffer).await {
            Ok(count) => (count, None),
            Err(error) => (0, Some(explain(&error))),
        };
        gathered.extend_from_slice(buffer.get(..count).unwrap_or_default());
        match http::read(&gathered, count == 0, to_head) {
            Ok(Progress::More) => {}
            Ok(Progress::Whole(answer)) => return Ok(Some(answer)),
            Ok(Progress::Nothing) => return Ok(None),
            Err(reason) => {
                return Err(match broken {
                    Some(broken) => format!("{reason} ({broken})"),
                    None => reason,
                });
            }
        }
    }
}
