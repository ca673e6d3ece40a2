//! The heartbeat of one connection: when to ping it, and when to give it up.

use std::time::Duration;

use crate::time::Time;

/// When one connection is next looked at.
///
/// The ticks are counted from the connection's start, so that a client can foresee them; its own
/// frames move nothing. The server keeps the time of the last frame, of any kind, and hands it in.
#[derive(Clone, Copy, Debug)]
pub struct Liveness {
    next: Time,
    interval: Duration,
    timeout: Duration,
}

/// What a connection gets at its tick.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Beat {
    /// A ping.
    Ping,
    /// The end, with [`Ending::TIMEOUT`](crate::Ending::TIMEOUT).
    GiveUp,
}

impl Liveness {
    /// The heartbeat of a connection that was opened at `opened`. An `interval` of zero is none.
    pub fn new(opened: Time, interval: Duration, timeout: Duration) -> Self {
        Self { next: opened + interval, interval, timeout }
    }

    /// When to call [`Liveness::tick`]; never, if there is no heartbeat.
    pub fn next(&self) -> Option<Time> {
        (!self.interval.is_zero()).then_some(self.next)
    }

    /// What is due at `now` for a connection whose last frame came at `last_seen`, if anything.
    ///
    /// A tick that comes late is judged as of the time at which it was due: a server that stood
    /// still must not take its own silence for the client's. Ticks missed altogether are skipped.
    pub fn tick(&mut self, now: Time, last_seen: Time) -> Option<Beat> {
        let due = self.next().filter(|&due| due <= now)?;
        let late = now.since(due).as_nanos() / self.interval.as_nanos();
        let skipped = u32::try_from(late).unwrap_or(u32::MAX);
        self.next = due + self.interval.saturating_mul(skipped.saturating_add(1));
        Some(if due.since(last_seen) > self.timeout { Beat::GiveUp } else { Beat::Ping })
    }
}
