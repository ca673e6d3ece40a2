//! Pings come, the silent are dropped in time, the living are left alone: the check `heartbeat`.
//!
//! Nothing here may blame the target for a late harness. "Too early" is measured from the moment
//! the client *received* the ping it answered last, so that any delay of its own makes the time
//! longer; "too late" from the last frame of any kind that it sent. What is left of the harness's
//! own lateness is allowed for at the end, when it is known.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Check, Class, End, Finding, Findings, HEARTBEAT, Profile, SLACK};
use crate::dialect::Heartbeat;
use crate::latency::STALL_LIMIT;
use crate::observe::{ClientId, Ending, Observation, Time, What};
use crate::plan::ChecksPlan;

/// Sights kept until the harness's own lateness is known.
const SUSPECTS_MAX: usize = 10_000;

/// Judges the target's timers.
#[derive(Debug)]
pub(super) struct Pulse {
    every: u64,
    timeout: u64,
    slack: u64,
    idle_only: bool,
    clients: BTreeMap<ClientId, Line>,
    /// What is wrong, and by how many microseconds.
    suspects: Vec<(u64, Finding)>,
    judged: u64,
}

/// One connection.
#[derive(Clone, Copy, Debug)]
struct Line {
    opened: Time,
    /// The last ping, the first one, and how many there were.
    ping: Option<Time>,
    first: Option<Time>,
    pings: u64,
    /// The last ping that it answered.
    answered: Time,
    /// The last frame that it sent, and the last that it sent or got.
    spoke: Time,
    active: Time,
    pongs: bool,
    reads: bool,
    told: bool,
    /// By how much its pings were ahead of their time at most, in microseconds.
    ahead: u64,
}

impl Line {
    fn new(at: Time) -> Self {
        Self {
            opened: at,
            ping: None,
            first: None,
            pings: 0,
            answered: at,
            spoke: at,
            active: at,
            pongs: true,
            reads: true,
            told: false,
            ahead: 0,
        }
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

impl Pulse {
    pub(super) fn make(plan: &ChecksPlan, profile: &Profile) -> Option<Box<dyn Check>> {
        let Heartbeat { every, timeout } = profile.heartbeat?;
        let slack = micros(plan.heartbeat?.max(SLACK));
        Some(Box::new(Self {
            every: micros(every),
            timeout: micros(timeout),
            slack,
            idle_only: profile.idle_pings,
            clients: BTreeMap::new(),
            suspects: Vec::new(),
            judged: 0,
        }))
    }

    fn suspect(&mut self, by: u64, class: Class, at: Time, client: ClientId, detail: String) {
        if self.suspects.len() < SUSPECTS_MAX {
            let finding = Finding::new(HEARTBEAT, class, at, detail).client(client);
            self.suspects.push((by, finding));
        }
    }

    fn pinged(&mut self, at: Time, client: ClientId) {
        self.quiet(at, client);
        let (every, slack) = (self.every, self.slack);
        let Some(line) = self.clients.get_mut(&client) else { return };
        if line.pongs {
            line.answered = at;
        }
        // Some targets ping twice at each tick, in two ways.
        let again = line.ping.is_some_and(|last| at.0.saturating_sub(last.0) < every / 4);
        if again {
            return;
        }
        self.judged += 1;
        let first = *line.first.get_or_insert(at);
        let due = line.pings.saturating_mul(every);
        line.pings += 1;
        line.ping = Some(at);
        // Ticks are counted from the connection's start; a single one may have been late.
        let ahead = due.saturating_sub(at.0.saturating_sub(first.0));
        let allowed = every + slack;
        line.ahead = line.ahead.max(ahead.saturating_sub(allowed));
    }

    /// Pings that came too early, told once for each connection: what counts is how far they were
    /// ahead in the end, for the harness may have stood still for as long as they were at first.
    fn early(&mut self, at: Time, client: ClientId) {
        let Some(line) = self.clients.get_mut(&client) else { return };
        let ahead = std::mem::take(&mut line.ahead);
        if ahead > 0 {
            let since = at.0.saturating_sub(line.first.map_or(at.0, |first| first.0));
            let detail = format!("{} pings in {} ms", line.pings, since / 1_000);
            self.suspect(ahead, Class::Ping, at, client, detail);
        }
    }

    /// Whatever shows that a connection is not idle comes behind the ping that it should have got.
    fn lively(&mut self, at: Time, client: ClientId, spoke: bool) {
        if self.idle_only {
            self.quiet(at, client);
        }
        if let Some(line) = self.clients.get_mut(&client) {
            line.active = at;
            line.spoke = if spoke { at } else { line.spoke };
        }
    }

    /// A ping that should have come by now.
    fn quiet(&mut self, at: Time, client: ClientId) {
        let allowed = 2 * self.every + self.slack;
        let idle_only = self.idle_only;
        let Some(line) = self.clients.get_mut(&client).filter(|line| line.reads) else { return };
        let mut last = line.ping.unwrap_or(line.opened);
        if idle_only {
            last = last.max(line.active);
        }
        let waited = at.0.saturating_sub(last.0);
        if waited > allowed && line.pongs && !line.told {
            line.told = true;
            let detail = format!("no ping for {} ms", waited / 1_000);
            self.suspect(waited - allowed, Class::Ping, at, client, detail);
        }
    }

    fn closed(&mut self, at: Time, client: ClientId, ending: &Ending) {
        self.quiet(at, client);
        self.early(at, client);
        let Some(line) = self.clients.remove(&client) else { return };
        if ending.asked || !line.reads {
            return;
        }
        let (timeout, slack) = (self.timeout, self.slack);
        let since = at.0.saturating_sub(line.answered.0);
        if line.pongs {
            // It answered every ping: whoever ends it for silence did not listen.
            if matches!(ending.code, Some(4000 | 4201 | 4202)) {
                self.judged += 1;
                let quiet = at.0.saturating_sub(line.spoke.0);
                if quiet < timeout {
                    let detail = "dropped for silence although it answers".to_owned();
                    self.suspect(timeout - quiet, Class::Timeout, at, client, detail);
                }
            }
            return;
        }
        self.judged += 1;
        if since + slack < timeout {
            let detail = format!("dropped after {} ms of silence", since / 1_000);
            self.suspect(timeout - since - slack, Class::Timeout, at, client, detail);
        }
        self.overdue(at, client, &line, "dropped only");
    }

    fn overdue(&mut self, at: Time, client: ClientId, line: &Line, word: &str) {
        let quiet = at.0.saturating_sub(line.spoke.0);
        let allowed = self.timeout + self.every + self.slack;
        if quiet > allowed {
            let detail = format!("{word} after {} ms of silence", quiet / 1_000);
            self.suspect(quiet - allowed, Class::Timeout, at, client, detail);
        }
    }
}

impl Check for Pulse {
    fn name(&self) -> &'static str {
        HEARTBEAT
    }

    fn observe(&mut self, seen: &Observation, _: &mut Findings) {
        let (at, client) = (seen.at, seen.client);
        match &seen.what {
            What::Opened { .. } => {
                // Who still keeps silent says so again.
                self.clients.insert(client, Line::new(at));
            }
            What::Ping => self.pinged(at, client),
            What::Closed(ending) => self.closed(at, client, ending),
            What::Pongs(on) => {
                if let Some(line) = self.clients.get_mut(&client) {
                    line.pongs = *on;
                }
            }
            What::Reads(on) => {
                self.early(at, client);
                if let Some(line) = self.clients.get_mut(&client) {
                    line.reads = *on;
                    // What came meanwhile is read at once: the count begins anew.
                    (line.first, line.pings, line.ping) = (None, 0, Some(at));
                }
            }
            What::Spoke
            | What::Sending { .. }
            | What::Sent { .. }
            | What::Joining { .. }
            | What::Leaving { .. }
            | What::PresenceSending { .. }
            | What::Storing { .. } => self.lively(at, client, true),
            What::Pong | What::Received { .. } => self.lively(at, client, false),
            _ => {}
        }
    }

    fn conclude(&mut self, end: &End, found: &mut Findings) -> u64 {
        let cut = end.died.is_some() || end.unresponsive.is_some();
        if !cut {
            for (client, line) in self.clients.clone() {
                self.quiet(end.at, client);
                self.early(end.at, client);
                if !line.pongs && line.reads {
                    self.judged += 1;
                    self.overdue(end.at, client, &line, "still not dropped");
                }
            }
        }
        if end.stall <= STALL_LIMIT {
            let stall = micros(end.stall);
            for (_, finding) in self.suspects.drain(..).filter(|(by, _)| *by > stall) {
                found.push(finding);
            }
        }
        self.judged
    }
}
