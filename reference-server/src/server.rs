//! What all parts of one running server share.

use std::{
    collections::{BTreeMap, HashMap},
    io, slice,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use parking_lot::Mutex;
use protocol::{Dialect, Frame, Ids, Now, Time};
use rand::{TryRng, rngs::SysRng};

use crate::{
    config::Config, connection::Connection, handler::Speaks, metrics::Metrics, pusher::Apps,
    wheel::Wheel, world::Rooms,
};

#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) config: Config,
    pub(crate) metrics: Metrics,
    pub(crate) wheel: Wheel,
    pub(crate) rooms: Rooms,
    pub(crate) apps: Apps,
    pub(crate) ids: Mutex<Ids>,
    /// What a tick of the heartbeat sends, framed once for everybody.
    beats: BTreeMap<Dialect, Vec<Frame>>,
    ping: Frame,
    pub(crate) connections: Connections,
    #[cfg(all(feature = "mutants", debug_assertions))]
    pub(crate) mutants: crate::mutants::State,
    draining: AtomicBool,
    started: Instant,
    unix_start: Duration,
}

impl Server {
    /// Fails only if the system has no randomness to give.
    pub(crate) fn new(config: Config) -> io::Result<Self> {
        let mut seed = [0; 32];
        SysRng.try_fill_bytes(&mut seed).map_err(io::Error::other)?;
        Ok(Self {
            metrics: Metrics::new(),
            wheel: Wheel::new(),
            rooms: Rooms::new(config.max_rooms),
            apps: Apps::new(&config.pusher_apps),
            ids: Mutex::new(Ids::new(seed)),
            beats: Dialect::ALL.iter().map(|&dialect| (dialect, dialect.beat())).collect(),
            ping: Frame::ping(b""),
            connections: Connections::default(),
            #[cfg(all(feature = "mutants", debug_assertions))]
            mutants: crate::mutants::State::new(config.mutant, &config.limits),
            draining: AtomicBool::new(false),
            started: Instant::now(),
            // Only for people: a clock before 1970 reads as 1970.
            unix_start: SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default(),
            config,
        })
    }

    pub(crate) fn now(&self) -> Now {
        Now::after_start(self.started.elapsed(), self.unix_start)
    }

    /// The wall clock at a point on the monotonic one.
    pub(crate) fn unix(&self, time: Time) -> Duration {
        self.unix_start.saturating_add(time.since_start())
    }

    /// What a tick of the heartbeat sends to a connection that speaks this.
    pub(crate) fn beat(&self, speaks: Speaks) -> &[Frame] {
        let own = speaks.dialect().and_then(|dialect| self.beats.get(&dialect));
        own.map_or_else(|| slice::from_ref(&self.ping), Vec::as_slice)
    }

    pub(crate) fn in_future(&self, wait: Duration) -> Time {
        self.now().time + wait
    }

    /// Forces what was kept onto the disk.
    pub(crate) fn sync_data(&self) {
        if let Some(data) = &self.config.data {
            data.sync();
        }
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    pub(crate) fn start_draining(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }
}

/// Every open WebSocket connection.
#[derive(Debug, Default)]
pub(crate) struct Connections {
    next: AtomicU64,
    taken: AtomicUsize,
    open: Mutex<HashMap<u64, Weak<Connection>>>,
}

impl Connections {
    /// Takes a place among at most `max`, if one is free. [`Connections::remove`] gives it back.
    pub(crate) fn take_place(&self, max: usize) -> bool {
        self.taken
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |taken| {
                (taken < max).then_some(taken + 1)
            })
            .is_ok()
    }

    /// Gives back a place that no connection came to fill.
    pub(crate) fn leave_place(&self) {
        self.taken.fetch_sub(1, Ordering::AcqRel);
    }

    pub(crate) fn next_id(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed) + 1
    }

    pub(crate) fn insert(&self, connection: &Arc<Connection>) {
        self.open.lock().insert(connection.id, Arc::downgrade(connection));
    }

    /// Forgets a connection, and frees its place.
    pub(crate) fn remove(&self, id: u64) {
        if self.open.lock().remove(&id).is_some() {
            self.leave_place();
        }
    }

    pub(crate) fn count(&self) -> usize {
        self.taken.load(Ordering::Acquire)
    }

    /// All of them, in the order of their ids.
    pub(crate) fn all(&self) -> Vec<Arc<Connection>> {
        let mut all: Vec<_> = self.open.lock().values().filter_map(Weak::upgrade).collect();
        all.sort_by_key(|connection| connection.id);
        all
    }
}
