//! The concurrent world: rooms behind locks, and turns that gather what is to be written.

use std::{
    cell::RefCell,
    collections::{BTreeMap, HashMap},
    hash::{BuildHasher, RandomState},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_io::Timer;
use bytes::Bytes;
use parking_lot::Mutex;
use protocol::{
    Change, Dialect, Frame, Heartbeat, Ids, Limits, Make, NotKept, Outlet, RawValue, Room, Tally,
    Time, World,
    pusher::{App, Hook},
};
use tracing::error;

use crate::{connection::Connection, data::Kept, outbound::Pushed, server::Server, wheel::Due};

/// How many peers are written to before others get their turn.
pub(crate) const PEERS_AT_ONCE: usize = 256;
/// In what steps, and for how many in one turn, a publisher waits for readers that are behind.
const WAIT_STEP: Duration = Duration::from_millis(1);
const WAIT_STEPS: usize = 100;
/// More shards than cores, so that registries are hardly ever waited for.
const SHARDS: usize = 64;

type Shared = Arc<Mutex<Room<Arc<Connection>>>>;

/// Every room there is, by name. A shard is locked only for a look; nobody waits for a room meanwhile.
#[derive(Debug)]
pub(crate) struct Rooms {
    shards: Vec<Mutex<HashMap<Box<str>, Shared>>>,
    hasher: RandomState,
    count: AtomicUsize,
    max: usize,
}

impl Rooms {
    pub(crate) fn new(max: usize) -> Self {
        Self {
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            hasher: RandomState::new(),
            count: AtomicUsize::new(0),
            max,
        }
    }

    pub(crate) fn count(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    fn shard(&self, name: &str) -> &Mutex<HashMap<Box<str>, Shared>> {
        let at = usize::try_from(self.hasher.hash_one(name)).unwrap_or_default() % SHARDS;
        self.shards.get(at).expect("the remainder is below the number of shards")
    }

    /// The room of that name, if there is one.
    fn find(&self, name: &str) -> Option<Shared> {
        self.shard(name).lock().get(name).cloned()
    }

    /// How many rooms each dialect has.
    pub(crate) fn count_by_dialect(&self) -> BTreeMap<Dialect, usize> {
        let mut counts: BTreeMap<_, _> = Dialect::ALL.iter().map(|&each| (each, 0)).collect();
        for shard in &self.shards {
            for name in shard.lock().keys() {
                *counts.entry(Dialect::of_key(name).0).or_default() += 1;
            }
        }
        counts
    }

    /// Has a look at every room, one after the other, for as long as it takes to copy something.
    pub(crate) fn look_at_each<R>(&self, look: impl Fn(&Room<Arc<Connection>>) -> R) -> Vec<R> {
        let mut seen = Vec::new();
        self.look_at_named("", &mut |room| seen.push(look(room)));
        seen
    }

    /// The same for the rooms whose names begin so.
    fn look_at_named(&self, prefix: &str, look: &mut dyn FnMut(&Room<Arc<Connection>>)) {
        for shard in &self.shards {
            let rooms: Vec<Shared> = {
                let shard = shard.lock();
                let named = shard.iter().filter(|(name, _)| name.starts_with(prefix));
                named.map(|(_, room)| room.clone()).collect()
            };
            for room in rooms {
                let room = room.lock();
                if !room.is_dead() {
                    look(&room);
                }
            }
        }
    }

    /// Adds a room, locked by whoever made it: nobody finds it before it has its first member. Not
    /// added if there is one by now, or if there are as many as there may be.
    fn add(&self, name: &str, room: &Shared) -> Added {
        let mut shard = self.shard(name).lock();
        if shard.contains_key(name) {
            return Added::Exists;
        }
        if self.count() >= self.max {
            return Added::NoPlace;
        }
        shard.insert(name.into(), room.clone());
        self.count.fetch_add(1, Ordering::Relaxed);
        Added::Yes
    }

    /// Forgets this very room, not a later one of its name.
    fn forget(&self, name: &str, room: &Shared) {
        let mut shard = self.shard(name).lock();
        if shard.get(name).is_some_and(|known| Arc::ptr_eq(known, room)) {
            shard.remove(name);
            self.count.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

enum Added {
    Yes,
    Exists,
    NoPlace,
}

/// One batch of work, and what it leaves to be written.
///
/// Rooms and sessions push through it under their locks; nothing is written before the batch is
/// done. So whatever a batch has for one peer leaves in one write, and no lock is held meanwhile.
#[derive(Debug)]
pub(crate) struct Turn {
    pub(crate) server: Arc<Server>,
    flush: RefCell<Vec<Arc<Connection>>>,
    /// Readers that were found far behind.
    behind: Vec<Arc<Connection>>,
}

impl Turn {
    pub(crate) fn new(server: Arc<Server>) -> Self {
        Self { server, flush: RefCell::default(), behind: Vec::new() }
    }

    /// Puts whole frames into a peer's queue, to leave when the batch is done.
    pub(crate) fn send(&self, to: &Arc<Connection>, frames: Bytes) {
        if to.push(frames) == Pushed::Flush {
            self.flush.borrow_mut().push(to.clone());
        }
    }

    /// Writes to some of the peers on the list; says whether that was all of them.
    pub(crate) fn flush_some(&mut self) -> bool {
        let list = self.flush.get_mut();
        let rest = list.len().saturating_sub(PEERS_AT_ONCE);
        for peer in list.drain(rest..).rev() {
            if peer.flush() {
                self.behind.push(peer);
            }
        }
        if rest == 0 && list.capacity() > 16 {
            // A connection that once wrote to a large room need not keep the list for ever.
            *list = Vec::new();
        }
        rest == 0
    }

    /// Writes to all the peers on the list, letting others run between.
    pub(crate) async fn flush(&mut self) {
        while !self.flush_some() {
            futures_lite::future::yield_now().await;
        }
    }
}

impl Turn {
    /// Whether this turn met readers that are far behind.
    pub(crate) fn is_held_up(&self) -> bool {
        !self.behind.is_empty()
    }

    /// Lets readers that read catch up, for a bounded time, before the publisher goes on. If it is a
    /// connection, its own queue is written meanwhile: it may be one of them.
    pub(crate) async fn wait_for_readers(&mut self, publisher: Option<&Connection>) {
        let mut steps = WAIT_STEPS;
        for reader in std::mem::take(&mut self.behind) {
            while steps > 0 && reader.is_worth_waiting_for() {
                steps -= 1;
                Timer::after(WAIT_STEP).await;
                if let Some(publisher) = publisher {
                    publisher.flush();
                }
            }
        }
    }

    /// Goes on without waiting for anybody.
    pub(crate) fn wait_for_nobody(&mut self) {
        self.behind = Vec::new();
    }
}

impl Outlet for Turn {
    type Peer = Arc<Connection>;

    fn push(&self, to: &Arc<Connection>, frame: &Frame) {
        self.send(to, frame.bytes().clone());
    }
}

impl World for Turn {
    fn with_room<R>(
        &self,
        name: &str,
        make: Make,
        act: impl FnOnce(&mut Room<Arc<Connection>>) -> R,
    ) -> Option<R> {
        let rooms = &self.server.rooms;
        loop {
            let (shared, is_new) = match rooms.find(name) {
                Some(shared) => (shared, false),
                None if make == Make::Never => return None,
                None => {
                    let room = Room::new(name, &mut self.server.ids.lock());
                    (Arc::new(Mutex::new(room)), true)
                }
            };
            let mut room = shared.lock();
            if is_new {
                match rooms.add(name, &shared) {
                    // Not before it is there for all: an earlier life could still write otherwise.
                    Added::Yes if !restore(&self.server, &mut room) => {
                        room.die();
                        drop(room);
                        rooms.forget(name, &shared);
                        return None;
                    }
                    Added::Yes => {}
                    Added::Exists => continue,
                    Added::NoPlace => return None,
                }
            } else if room.is_dead() {
                // It died between the registry and its own lock: look again.
                drop(room);
                rooms.forget(name, &shared);
                continue;
            } else if make == Make::Fresh {
                return None;
            }
            let result = act(&mut room);
            let is_dead = room.is_dead();
            drop(room);
            if is_dead {
                rooms.forget(name, &shared);
            }
            return Some(result);
        }
    }

    fn rooms_named(&self, prefix: &str, look: &mut dyn FnMut(&Room<Arc<Connection>>)) {
        self.server.rooms.look_at_named(prefix, look);
    }

    fn with_ids<R>(&self, act: impl FnOnce(&mut Ids) -> R) -> R {
        act(&mut self.server.ids.lock())
    }

    fn heartbeat(&self, dialect: Dialect) -> Heartbeat {
        self.server.config.heartbeat(dialect)
    }

    fn app(&self, key: &str) -> Option<Arc<App>> {
        self.server.apps.with_key(key)
    }

    fn admit(&self, app: &App) -> bool {
        self.server.apps.admit(app)
    }

    fn dismiss(&self, app: &App) {
        self.server.apps.dismiss(app);
    }

    fn hook(&self, app: &Arc<App>, hook: Hook) {
        if !self.server.apps.hook(app, &hook) {
            self.server.metrics.told("dropped", 1);
        }
    }

    fn limits(&self) -> &Limits {
        &self.server.config.limits
    }

    fn draining(&self) -> bool {
        self.server.is_draining()
    }

    fn wake_room(&self, name: &str, at: Time) {
        self.server.wheel.insert(at, Due::Room(name.into()));
    }

    fn keeps(&self) -> bool {
        self.server.config.data.is_some()
    }

    fn keep<'a>(
        &self,
        room: &str,
        version: u64,
        changes: impl Iterator<Item = Change<'a>>,
    ) -> Result<(), NotKept> {
        keep(&self.server, room, version, changes)
    }

    fn tally(&self, what: Tally) {
        self.server.metrics.tally(what);
    }
}

/// Keeps a change of a room's storage where the server has a place for that.
pub(crate) fn keep<'a>(
    server: &Server,
    room: &str,
    version: u64,
    changes: impl Iterator<Item = Change<'a>>,
) -> Result<(), NotKept> {
    let Some(data) = &server.config.data else { return Ok(()) };
    let changes = changes.map(|change| (change.key, change.value.map(RawValue::get)));
    data.keep(room, version, changes, server.config.max_rooms).map_err(|error| {
        error!(room, %error, "storage was not kept");
        server.metrics.not_kept.inc();
        NotKept
    })
}

/// Gives a room that has just been made what was kept of its last life. Says whether that went
/// well: a room must not go on from nothing when there is something that cannot be read.
pub(crate) fn restore<P>(server: &Server, room: &mut Room<P>) -> bool {
    let data = server.config.data.as_ref().filter(|_| Dialect::is_lasting(room.name()));
    let kept = match data {
        Some(data) => data.find(room.name()),
        None => return true,
    };
    let entries = kept.map_err(|error| error.to_string()).and_then(|kept| {
        let Some(Kept { version, entries }) = kept else { return Ok(None) };
        let raw = |(key, text)| Ok((key, RawValue::from_string(text)?));
        let entries: Result<Vec<_>, serde_json::Error> = entries.into_iter().map(raw).collect();
        entries.map(|entries| Some((version, entries))).map_err(|error| error.to_string())
    });
    match entries {
        Ok(None) => true,
        Ok(Some((version, entries))) => {
            room.restore(version, entries);
            true
        }
        Err(error) => {
            error!(room = room.name(), error, "what was kept of a room cannot be read");
            false
        }
    }
}
