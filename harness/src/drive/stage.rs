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

use super::link::Link;
use crate::books::Books;
use crate::client::{Asked, Client};
use crate::heard;
use crate::observe::{ClientId, MessageId, Time};
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

/// A frame that is ready to be written, when the lock has been released.
#[derive(Debug)]
pub(super) struct Parcel {
    link: Arc<Link>,
    bytes: Vec<u8>,
    message: Option<(ClientId, MessageId)>,
}

/// The stage behind its lock, and the run's clock.
#[derive(Debug)]
pub(super) struct Shared {
    stage: Mutex<Stage>,
    start: Instant,
    stopping: AtomicBool,
}

impl Shared {
    pub(super) fn new(clients: Vec<Client>, books: Books) -> Self {
        let links = clients.iter().map(|_| None).collect();
        let wakers = clients.iter().map(|_| Vec::new()).collect();
        let masks = StdRng::try_from_rng(&mut SysRng).unwrap_or_else(|_| StdRng::seed_from_u64(0));
        let stage = Stage { clients, books, links, heard_at: Time(0), wakers, masks };
        Self { stage: Mutex::new(stage), start: Instant::now(), stopping: AtomicBool::new(false) }
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

    /// Writes a frame; if a message is in it, notes when.
    pub(super) fn deliver(&self, parcel: Option<Parcel>) {
        let Some(parcel) = parcel else { return };
        parcel.link.write(&parcel.bytes);
        if let Some((client, message)) = parcel.message {
            let now = self.now();
            self.lock().books.sent(now, client, message);
        }
    }
}

impl Stage {
    pub(super) fn client(&mut self, id: ClientId) -> Option<(&mut Client, &mut Books)> {
        self.clients.get_mut(id.0 as usize).map(|client| (client, &mut self.books))
    }

    /// Frames a request for its connection.
    pub(super) fn pack(&mut self, now: Time, id: ClientId, asked: &Asked) -> Option<Parcel> {
        let mut parcel = self.frame(now, id, Outgoing::Text(&asked.text))?;
        parcel.message = asked.message.map(|message| (id, message));
        Some(parcel)
    }

    /// Frames anything for a client's connection; none when it has no connection.
    pub(super) fn frame(&mut self, now: Time, id: ClientId, frame: Outgoing<'_>) -> Option<Parcel> {
        let link = Arc::clone(self.links.get(id.0 as usize)?.as_ref()?);
        let shown: Arc<str> = match frame {
            Outgoing::Text(text) => heard::shown(&text.into()),
            Outgoing::Ping(_) => "(ping)".into(),
            Outgoing::Pong(_) => "(pong)".into(),
            Outgoing::Close { code, reason } => format!("(close {code} {reason})").into(),
        };
        self.books.frame(now, id, Direction::Out, shown);
        let bytes = wire::encode(frame, self.mask());
        Some(Parcel { link, bytes, message: None })
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
        Some(Parcel { link, bytes, message: None })
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

    /// Takes those who wait for a change of this client.
    pub(super) fn take_wakers(&mut self, id: ClientId) -> Vec<Waker> {
        self.wakers.get_mut(id.0 as usize).map(std::mem::take).unwrap_or_default()
    }
}
