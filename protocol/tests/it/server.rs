//! A server in virtual time: a world, its sessions, and a clock that the test moves.

use std::collections::BTreeMap;
use std::time::Duration;

use protocol::{
    ConnId, Dialect, Ending, Flow, Incoming, Limits, Now, Opening, Reason, Session, Time, tick_room,
};

use crate::faulty::{Fault, Faulty};

/// 2026-01-01T00:00:00Z.
const START: Duration = Duration::from_secs(1_767_225_600);

/// All of a server but its sockets.
pub(crate) struct Server {
    pub(crate) world: Faulty,
    pub(crate) sessions: BTreeMap<ConnId, Session<ConnId>>,
    elapsed: Duration,
}

impl Server {
    pub(crate) fn new(limits: Limits) -> Self {
        Self::faulty(limits, None)
    }

    /// One that commits this fault.
    pub(crate) fn faulty(limits: Limits, fault: Option<Fault>) -> Self {
        let world = Faulty::new(limits, fault);
        Self { world, sessions: BTreeMap::new(), elapsed: Duration::ZERO }
    }

    pub(crate) fn now(&self) -> Now {
        Now::after_start(self.elapsed, START)
    }

    /// Opens a connection that speaks `native`.
    pub(crate) fn open(&mut self, conn: ConnId) {
        self.open_as(Dialect::Native, None, conn);
    }

    pub(crate) fn open_as(&mut self, dialect: Dialect, name: Option<&str>, conn: ConnId) {
        let refused = self.try_open(dialect, Opening::named(name), conn);
        assert_eq!(refused, None, "{conn:?} is not let in");
    }

    /// Opens a connection, or says how it ends.
    pub(crate) fn try_open(
        &mut self,
        dialect: Dialect,
        opening: Opening<'_>,
        conn: ConnId,
    ) -> Option<Ending> {
        match Session::open(dialect, self.now(), opening, conn, &self.world) {
            Ok(session) => {
                let old = self.sessions.insert(conn, session);
                assert!(old.is_none(), "{conn:?} is open already");
                None
            }
            Err(ending) => Some(ending),
        }
    }

    pub(crate) fn say(&mut self, conn: ConnId, text: &str) -> Option<Ending> {
        self.send(conn, Incoming::Text(text))
    }

    pub(crate) fn send(&mut self, conn: ConnId, message: Incoming<'_>) -> Option<Ending> {
        let now = self.now();
        let session = self.sessions.get_mut(&conn)?;
        match session.received(now, message, &self.world) {
            Flow::Continue | Flow::Alive => None,
            Flow::Close(ending) => {
                self.end(conn, ending.told);
                Some(ending)
            }
        }
    }

    pub(crate) fn end(&mut self, conn: ConnId, reason: Reason) {
        let now = self.now();
        if let Some(mut session) = self.sessions.remove(&conn) {
            session.end(now, reason, &self.world);
            session.end(now, reason, &self.world);
        }
    }

    /// Lets time pass, and ticks each room at the time that it asked for.
    pub(crate) fn wait(&mut self, duration: Duration) {
        let end = self.elapsed + duration;
        let mut ticks = 0;
        while let Some(at) = self.world.inner.next_wake().filter(|at| at.since_start() <= end) {
            self.elapsed = self.elapsed.max(at.since_start());
            while let Some(name) = self.world.inner.due(Time::after_start(self.elapsed)) {
                tick_room(self.now(), &name, &self.world);
                ticks += 1;
                assert!(ticks < 1_000, "{name} asks for ticks for ever");
            }
        }
        self.elapsed = end;
    }

    /// Lets time pass without a tick, as a timer does that is late.
    pub(crate) fn oversleep(&mut self, duration: Duration) {
        self.elapsed += duration;
    }
}
