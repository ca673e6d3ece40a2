//! What the threads of a run share: the clients and the books, under one lock.
//!
//! Three threads meet here: the swarm reads sockets, the load sends on schedule, the director goes
//! through the timeline. Each holds the lock for a few microseconds and never while it waits; bytes
//! are written after it is released.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Waker;
use std::time::{Duration, Instant};

use parking_lot::{Mutex, MutexGuard};
use rand::rngs::{StdRng, SysRng};
use rand::{Rng, SeedableRng};

use super::http::{Queue, Work};
use super::link::Link;
use crate::books::Books;
use crate::client::{Asked, Client, Errand, State};
use crate::dialect::{Exchange, Verb};
use crate::heard;
use crate::observe::{ClientId, Ending, MessageId, Time};
use crate::plan::Vars;
use crate::summary::Direction;
use crate::wire::{self, Outgoing};

/// The clients, the books, and the way to the sockets.
#[derive(Debug)]
pub(super) struct Stage {
    pub(super) clients: Vec<Client>,
    pub(super) books: Books,
    pub(super) links: Vec<Option<Arc<Link>>>,
    /// When any bytes came from the target last.
    pub(super) heard_at: Time,
    wakers: Vec<Vec<Waker>>,
    masks: StdRng,
}

/// What is ready to be sent, when the lock has been released.
#[derive(Debug)]
pub(super) struct Parcel {
    way: Way,
    message: Option<(ClientId, MessageId)>,
}

/// How it is sent.
#[derive(Debug)]
enum Way {
    /// As frames, already in bytes.
    Frames(Arc<Link>, Vec<u8>),
    /// As an HTTP request of this number.
    Http(ClientId, u64, Box<Exchange>),
}

/// The stage behind its lock, and the run's clock.
#[derive(Debug)]
pub(super) struct Shared {
    stage: Mutex<Stage>,
    start: Instant,
    stopping: AtomicBool,
    /// The way to the threads that make HTTP requests, while there are any.
    http: Mutex<Option<Queue>>,
}

impl Shared {
    pub(super) fn new(clients: Vec<Client>, books: Books) -> Self {
        let links = clients.iter().map(|_| None).collect();
        let wakers = clients.iter().map(|_| Vec::new()).collect();
        let masks = StdRng::try_from_rng(&mut SysRng).unwrap_or_else(|_| StdRng::seed_from_u64(0));
        let stage = Stage { clients, books, links, heard_at: Time(0), wakers, masks };
        let (stage, stopping) = (Mutex::new(stage), AtomicBool::new(false));
        Self { stage, start: Instant::now(), stopping, http: Mutex::new(None) }
    }

    /// Opens or closes the way to the threads that make HTTP requests.
    pub(super) fn set_http(&self, queue: Option<Queue>) {
        *self.http.lock() = queue;
    }

    /// Has a thread of the pool do something; gives it back when it cannot be waited for.
    pub(super) fn errand(&self, client: ClientId, work: Work) -> Result<(), Work> {
        match &*self.http.lock() {
            Some(queue) => queue.submit(client, work),
            None => Err(work),
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Stage> {
        self.stage.lock()
    }

    /// The time since the run began.
    pub(super) fn now(&self) -> Time {
        self.time_of(Instant::now())
    }

    pub(super) fn time_of(&self, instant: Instant) -> Time {
        let elapsed = instant.saturating_duration_since(self.start);
        Time(u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX))
    }

    pub(super) fn instant_of(&self, time: Time) -> Instant {
        self.start + Duration::from_micros(time.0)
    }

    /// The books, when the run is over.
    pub(super) fn into_books(self) -> Books {
        self.stage.into_inner().books
    }

    /// Tells the load to end.
    pub(super) fn stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }

    /// Pings a client's server; says which pong answers. None where nothing can be asked: a closed
    /// connection sends no more, a deaf client sees no more.
    pub(super) fn ping(&self, id: ClientId) -> Option<u64> {
        let now = self.now();
        let mut stage = self.lock();
        let reachable = |client: &Client| {
            client.is_open() && client.reads && client.pongs && client.can_control()
        };
        let (client, books) = stage.client(id).filter(|(client, _)| reachable(client))?;
        let (payload, number) = client.ping(now, books);
        let parcel = stage.frame(now, id, Outgoing::Ping(&payload));
        drop(stage);
        self.deliver(parcel);
        Some(number)
    }

    /// Asks for the first sign of life of a connection that nobody greets: in the protocol's own
    /// words, where it has some.
    pub(super) fn greet(&self, id: ClientId) {
        let now = self.now();
        let mut stage = self.lock();
        let Some((client, books)) = stage.client(id) else { return };
        let asked = client.ask(now, Verb::Ping, &Vars::new(), false, books);
        let parcel = match asked {
            Ok(asked) => stage.pack(now, id, &asked),
            Err(_) => {
                let (payload, _) = client.ping(now, books);
                stage.frame(now, id, Outgoing::Ping(&payload))
            }
        };
        drop(stage);
        self.deliver(parcel);
    }

    /// Sends; if a message is in it, notes when.
    pub(super) fn deliver(&self, parcel: Option<Parcel>) {
        let Some(Parcel { way, message }) = parcel else { return };
        match way {
            Way::Frames(link, bytes) => {
                link.write(&bytes);
                if let Some((client, message)) = message {
                    let now = self.now();
                    self.lock().books.sent(now, client, message);
                }
            }
            Way::Http(client, id, exchange) => self.make(client, id, exchange, message),
        }
    }

    /// Has an HTTP request made, and its client told what came of it.
    fn make(
        &self,
        client: ClientId,
        id: u64,
        exchange: Box<Exchange>,
        message: Option<(ClientId, MessageId)>,
    ) {
        let work: Work = Box::new(move |worker| {
            worker.with(|shared| {
                if let Some((client, message)) = message {
                    shared.lock().books.sent(shared.now(), client, message);
                }
            });
            let errand = worker.perform(client, &exchange);
            worker.with(|shared| shared.answered(client, id, &errand));
        });
        if self.errand(client, work).is_err() {
            let reason = "more HTTP requests are waiting than are ever made in time".into();
            self.answered(client, id, &Errand::NeverLeft(reason));
        }
    }

    fn answered(&self, id: ClientId, request: u64, errand: &Errand) {
        let now = self.now();
        self.tell(id, |client, books| client.answered_by_http(now, request, errand, books));
    }

    /// Changes a client, and wakes those who wait for that.
    pub(super) fn tell(&self, id: ClientId, tell: impl FnOnce(&mut Client, &mut Books)) {
        let mut stage = self.lock();
        if let Some((client, books)) = stage.client(id) {
            tell(client, books);
        }
        let wakers = stage.take_wakers(id);
        drop(stage);
        wakers.into_iter().for_each(Waker::wake);
    }
}

impl Stage {
    pub(super) fn client(&mut self, id: ClientId) -> Option<(&mut Client, &mut Books)> {
        self.clients.get_mut(id.0 as usize).map(|client| (client, &mut self.books))
    }

    /// Makes a request ready to be sent: its frames in one write.
    pub(super) fn pack(&mut self, now: Time, id: ClientId, asked: &Asked) -> Option<Parcel> {
        let message = asked.message.map(|message| (id, message));
        if let Some(exchange) = &asked.http {
            let way = Way::Http(id, asked.id, Box::new(exchange.clone()));
            return Some(Parcel { way, message });
        }
        let link = Arc::clone(self.links.get(id.0 as usize)?.as_ref()?);
        let frames = asked.frames.iter();
        let bytes = frames.flat_map(|text| self.encoded(now, id, Outgoing::Text(text))).collect();
        Some(Parcel { way: Way::Frames(link, bytes), message })
    }

    /// Frames anything for a client's connection; none when it has no connection.
    pub(super) fn frame(&mut self, now: Time, id: ClientId, frame: Outgoing<'_>) -> Option<Parcel> {
        let link = Arc::clone(self.links.get(id.0 as usize)?.as_ref()?);
        let bytes = self.encoded(now, id, frame);
        Some(Parcel { way: Way::Frames(link, bytes), message: None })
    }

    /// A frame's bytes, entered in its client's transcript.
    fn encoded(&mut self, now: Time, id: ClientId, frame: Outgoing<'_>) -> Vec<u8> {
        let shown: Arc<str> = match frame {
            Outgoing::Text(text) => heard::shown(&text.into()),
            Outgoing::Ping(_) => "(ping)".into(),
            Outgoing::Pong(_) => "(pong)".into(),
            Outgoing::Close { code, reason } => format!("(close {code} {reason})").into(),
        };
        self.books.frame(now, id, Direction::Out, shown);
        wire::encode(frame, self.mask())
    }

    /// A key to mask a frame with.
    pub(super) fn mask(&mut self) -> [u8; 4] {
        let mut mask = [0; 4];
        self.masks.fill_bytes(&mut mask);
        mask
    }

    /// Keeps something that a client sent for transcripts.
    pub(super) fn note(&mut self, now: Time, id: ClientId, shown: Arc<str>) {
        self.books.frame(now, id, Direction::Out, shown);
    }

    /// Bytes for a client's connection as they are; none when it has no connection.
    pub(super) fn parcel(&self, id: ClientId, bytes: Vec<u8>) -> Option<Parcel> {
        let link = Arc::clone(self.links.get(id.0 as usize)?.as_ref()?);
        Some(Parcel { way: Way::Frames(link, bytes), message: None })
    }

    /// Notes the connections whose end nobody saw.
    pub(super) fn note_unended(&mut self) {
        let open = |client: &&Client| matches!(client.state, State::Open | State::Closing);
        let count = self.clients.iter().filter(open).count();
        for _ in 0..count {
            let reason = "no answer to the Close frame".into();
            self.books.endings.add(&Ending { asked: true, code: None, reason, clean: false });
        }
    }

    /// Lets go of all sockets.
    pub(super) fn hang_up(&mut self) {
        self.links.fill(None);
    }

    /// Has the client's next change wake this task.
    pub(super) fn wake_on(&mut self, id: ClientId, waker: &Waker) {
        let Some(wakers) = self.wakers.get_mut(id.0 as usize) else { return };
        if !wakers.iter().any(|known| known.will_wake(waker)) {
            wakers.push(waker.clone());
        }
    }

    /// Takes those who wait for a change of clients who have come to know somebody.
    pub(super) fn take_enlightened(&mut self) -> Vec<Waker> {
        let clients = self.books.take_enlightened();
        clients.into_iter().flat_map(|id| self.take_wakers(id)).collect()
    }

    /// Takes those who wait for a change of this client.
    pub(super) fn take_wakers(&mut self, id: ClientId) -> Vec<Waker> {
        self.wakers.get_mut(id.0 as usize).map(std::mem::take).unwrap_or_default()
    }
}
