//! The heartbeat of one connection: when to ping it, and when to give it up.

use std::time::Duration;

use crate::time::Time;

/// When one connection is next looked at.
///
/// The server keeps the time of the last sign of life, and hands it in. How the ticks are counted is
/// the dialect's: [`Dialect::liveness`](crate::Dialect::liveness).
#[derive(Clone, Copy, Debug)]
pub struct Liveness {
    rhythm: Rhythm,
    next: Time,
    interval: Duration,
    /// The silence that is borne.
    timeout: Duration,
    /// When the last ping left, if one did.
    pinged: Option<Time>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Rhythm {
    /// The ticks are counted from the connection's start, so that a client can foresee them; its own
    /// frames move nothing.
    Steady,
    /// A ping follows the silence of an interval, and nothing else.
    Idle,
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
    /// The heartbeat of a connection that was opened at `opened`, and is pinged at every `interval`
    /// after that. An `interval` of zero is none.
    pub const fn steady(opened: Time, interval: Duration, timeout: Duration) -> Self {
        Self::new(Rhythm::Steady, opened, interval, timeout)
    }

    /// The heartbeat of a connection that is pinged when it has been silent for `interval`, and given
    /// up when the silence has come to `timeout`. An `interval` of zero is no heartbeat.
    pub const fn when_idle(opened: Time, interval: Duration, timeout: Duration) -> Self {
        Self::new(Rhythm::Idle, opened, interval, timeout)
    }

    const fn new(rhythm: Rhythm, opened: Time, interval: Duration, timeout: Duration) -> Self {
        Self { rhythm, next: opened.plus(interval), interval, timeout, pinged: None }
    }

    /// When to call [`Liveness::tick`]; never, if there is no heartbeat.
    pub fn next(&self) -> Option<Time> {
        (!self.interval.is_zero()).then_some(self.next)
    }

    /// What is due at `now` for a connection whose last sign of life came at `last_seen`, if anything.
    ///
    /// A server that stood still must not take its own silence for the client's: what came late is
    /// judged as of the time at which it was due, and nobody is given up for a ping that left so late
    /// that its answer cannot be expected yet.
    pub fn tick(&mut self, now: Time, last_seen: Time) -> Option<Beat> {
        let due = self.next().filter(|&due| due <= now)?;
        let beat = match self.rhythm {
            Rhythm::Steady => Some(self.steady_tick(now, due, last_seen)),
            Rhythm::Idle => self.idle_tick(now, due, last_seen),
        };
        if beat == Some(Beat::Ping) {
            self.pinged = Some(now);
        }
        beat
    }

    /// Ticks missed altogether are skipped.
    fn steady_tick(&mut self, now: Time, due: Time, last_seen: Time) -> Beat {
        let late = now.since(due).as_nanos() / self.interval.as_nanos();
        let skipped = u32::try_from(late).unwrap_or(u32::MAX);
        self.next = due + self.interval.saturating_mul(skipped.saturating_add(1));
        let is_owed_time = self.pinged.is_some_and(|pinged| now.since(pinged) < self.interval / 2);
        if due.since(last_seen) > self.timeout && !is_owed_time { Beat::GiveUp } else { Beat::Ping }
    }

    fn idle_tick(&mut self, now: Time, due: Time, last_seen: Time) -> Option<Beat> {
        let answer = self.time_to_answer();
        if let Some(pinged) = self.pinged.filter(|&pinged| last_seen < pinged) {
            let overdue = pinged + answer;
            if now < overdue {
                self.next = overdue.min(now + self.interval);
                return None;
            }
            // Whatever held up this tick may hold up the reading of what has come.
            if now.since(due) > answer / 2 {
                self.next = now + answer;
                return None;
            }
            return Some(Beat::GiveUp);
        }
        let silent = last_seen + self.interval;
        if silent > now {
            self.next = silent;
            return None;
        }
        // However long an answer may take, one may come at any time: then the next ping is due an interval
        // later.
        self.next = now + answer.min(self.interval);
        Some(Beat::Ping)
    }

    /// How long an answer to a ping may take: what the timeout leaves after the interval, and if that
    /// is nothing, an interval.
    fn time_to_answer(&self) -> Duration {
        match self.timeout.saturating_sub(self.interval) {
            Duration::ZERO => self.interval,
            answer => answer,
        }
    }
}
