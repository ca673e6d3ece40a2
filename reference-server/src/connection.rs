//! One WebSocket connection as others see it: an id, and a queue to push onto.

use std::{
    net::SocketAddr,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use atomic_waker::AtomicWaker;
use bytes::Bytes;
use parking_lot::Mutex;
use protocol::{Beat, Dialect, Ending, Liveness, Time};

use crate::{
    Turn,
    handler::Speaks,
    outbound::{Flushed, Outbound, Pushed},
    server::Server,
    stream::Stream,
    upgrade::Upgraded,
    wheel::Due,
};

/// A connection as everybody else sees it: an id, and a queue to push onto.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) id: u64,
    pub(crate) speaks: Speaks,
    pub(crate) address: Option<SocketAddr>,
    pub(crate) user_agent: Option<Box<str>>,
    pub(crate) opened: Time,
    /// The id that its client was told.
    told_id: OnceLock<Box<str>>,
    pub(crate) stream: Stream,
    pub(crate) server: Arc<Server>,
    pub(crate) outbound: Mutex<Outbound>,
    #[cfg(feature = "tide-websockets")]
    pub(crate) through_crate: crate::transport::guarded::Outlet,
    /// What the task is to do next, if not to read on.
    order: Mutex<Option<Order>>,
    pub(crate) task: AtomicWaker,
    /// When the last sign of life came, in nanoseconds since the server's start: were it any coarser,
    /// a silence of exactly the timeout would seem longer than that.
    seen_ns: AtomicU64,
}

/// Why a connection ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// Send this Close.
    Close(Ending),
    /// The queue passed its limit: cut it.
    Slow,
    /// The peer sent a Close, with this code; the answer is in the queue.
    Closed(u16),
    /// There is nobody to send anything to.
    Lost,
}

impl Connection {
    pub(crate) fn new(stream: Stream, server: Arc<Server>, upgraded: &Upgraded) -> Arc<Self> {
        let connection = Arc::new(Self {
            id: server.connections.next_id(),
            speaks: upgraded.speaks,
            address: stream.socket().peer_addr().ok(),
            user_agent: upgraded.user_agent.clone(),
            opened: server.now().time,
            told_id: OnceLock::new(),
            stream,
            outbound: Mutex::default(),
            #[cfg(feature = "tide-websockets")]
            through_crate: Default::default(),
            order: Mutex::default(),
            task: AtomicWaker::new(),
            seen_ns: AtomicU64::new(0),
            server,
        });
        connection.see(connection.opened);
        connection.server.metrics.connected(connection.speaks);
        connection.server.connections.insert(&connection);
        connection
    }

    /// Puts whole frames into the queue; says whether the caller has to flush it.
    pub(crate) fn push(&self, frame: Bytes) -> Pushed {
        #[cfg(feature = "tide-websockets")]
        if let Some(pushed) = self.through_crate.push(&frame) {
            return pushed;
        }
        self.enqueue(frame)
    }

    /// Puts what is ready to leave into the queue.
    pub(crate) fn enqueue(&self, frame: Bytes) -> Pushed {
        let mut outbound = self.outbound.lock();
        let pushed = outbound.push(frame, self.queue_bytes());
        self.server.metrics.queued(outbound.bytes());
        pushed
    }

    /// Writes what the socket takes; leaves the rest, and what follows from it, to the task. Says
    /// whether the reader is so far behind that publishers should slow down.
    pub(crate) fn flush(&self) -> bool {
        let flushed = self.write();
        match flushed {
            Flushed::Empty => return false,
            Flushed::Full => {}
            Flushed::Over => self.set_order(Order::Slow),
            Flushed::Broken => self.set_order(Order::Lost),
        }
        self.task.wake();
        self.outbound.lock().is_behind(self.queue_bytes())
    }

    /// Whether a publisher should wait for a millisecond for this reader to catch up.
    pub(crate) fn is_worth_waiting_for(&self) -> bool {
        self.outbound.lock().spend_patience(self.queue_bytes())
    }

    /// Ends the connection from outside; the first order stands.
    pub(crate) fn end(&self, order: Order) {
        self.set_order(order);
        self.task.wake();
    }

    /// Begins the heartbeat, which is counted from the connection's opening.
    pub(crate) fn start_heartbeat(self: &Arc<Self>) {
        let dialect = self.speaks.dialect().unwrap_or(Dialect::Native);
        let heartbeat = self.server.config.heartbeat(dialect);
        #[cfg(all(feature = "mutants", debug_assertions))]
        let heartbeat = crate::mutants::heartbeat(self, heartbeat);
        self.await_beat(dialect.liveness(self.opened, heartbeat));
    }

    /// Does what the heartbeat asks for at its time.
    pub(crate) fn beat(self: &Arc<Self>, mut liveness: Liveness, now: Time, turn: &Turn) {
        match liveness.tick(now, self.last_seen()) {
            Some(Beat::GiveUp) => {
                self.end(Order::Close(Ending::TIMEOUT));
                return;
            }
            Some(Beat::Ping) => {
                for frame in self.server.beat(self.speaks) {
                    protocol::Outlet::push(turn, self, frame);
                }
            }
            None => {}
        }
        self.await_beat(liveness);
    }

    fn await_beat(self: &Arc<Self>, liveness: Liveness) {
        if let Some(next) = liveness.next() {
            self.server.wheel.insert(next, Due::Beat(Arc::downgrade(self), liveness));
        }
    }

    /// Remembers the id that the client was told.
    pub(crate) fn tell_id(&self, id: &str) {
        self.told_id.get_or_init(|| id.into());
    }

    /// The id that its client knows, or one that nobody else has.
    pub(crate) fn told_id(&self) -> String {
        match self.told_id.get() {
            Some(id) => id.to_string(),
            None => format!("{}-{}", self.speaks.name(), self.id),
        }
    }

    pub(crate) fn last_seen(&self) -> Time {
        Time::after_start(Duration::from_nanos(self.seen_ns.load(Ordering::Relaxed)))
    }

    pub(crate) fn set_order(&self, order: Order) {
        self.order.lock().get_or_insert(order);
    }

    pub(crate) fn see(&self, now: Time) {
        let nanos = u64::try_from(now.since_start().as_nanos()).unwrap_or(u64::MAX);
        self.seen_ns.store(nanos, Ordering::Relaxed);
    }

    pub(crate) fn queue_bytes(&self) -> usize {
        #[cfg(all(feature = "mutants", debug_assertions))]
        if let Some(bytes) = crate::mutants::queue_bytes(self) {
            return bytes;
        }
        self.server.config.limits.queue_bytes
    }

    fn write(&self) -> Flushed {
        let mut written = 0;
        let flushed = self.outbound.lock().flush(&self.stream, self.queue_bytes(), &mut written);
        if written > 0 {
            self.server.metrics.bytes_out.inc_by(written);
        }
        flushed
    }

    /// Goes on writing for as long as the socket is full; ready when nothing is left to this task.
    pub(crate) fn poll_written(&self, cx: &mut Context<'_>) -> Poll<Flushed> {
        loop {
            let flushed = self.write();
            if flushed != Flushed::Full {
                return Poll::Ready(flushed);
            }
            if ready!(self.stream.poll_writable(cx)).is_err() {
                return Poll::Ready(Flushed::Broken);
            }
        }
    }

    /// Flushes the queue if its own task has put something there that nobody else answers for.
    pub(crate) fn flush_own(&self) {
        let idle = {
            let outbound = self.outbound.lock();
            outbound.is_empty() || outbound.is_full()
        };
        if !idle {
            self.flush();
        }
    }

    /// What interrupts reading.
    pub(crate) fn poll_order(&self, cx: &mut Context<'_>) -> Poll<Order> {
        self.task.register(cx.waker());
        if let Some(order) = *self.order.lock() {
            return Poll::Ready(order);
        }
        let is_full = self.outbound.lock().is_full();
        if !is_full {
            return Poll::Pending;
        }
        match self.poll_written(cx) {
            Poll::Ready(Flushed::Over) => Poll::Ready(Order::Slow),
            Poll::Ready(Flushed::Broken) => Poll::Ready(Order::Lost),
            Poll::Ready(Flushed::Empty | Flushed::Full) | Poll::Pending => Poll::Pending,
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.server.metrics.disconnected(self.speaks);
        self.server.connections.remove(self.id);
    }
}
