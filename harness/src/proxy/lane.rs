//! One direction of one connection: what waits in it, and until when.

use std::collections::VecDeque;
use std::time::Duration;

use super::cutter::{Frame, Gap};
use super::rule::After;
use crate::observe::Time;

/// More than this does not wait in a direction: its source is not read until some has left.
const WAITING_MAX: usize = 1 << 20;
/// The same where the rate is limited: what cannot leave shall be felt by who sends it.
const PACED_MAX: usize = 64 << 10;
/// A message that is kept back until others have gone by goes on by itself after this long.
pub(super) const PATIENCE: Duration = Duration::from_secs(2);
/// A limited rate is kept over this time.
const PACE_MICROS: u64 = 20_000;

/// For ever.
const NEVER: Time = Time(u64::MAX);

#[derive(Debug, Default)]
pub(super) struct Lane {
    queue: VecDeque<Item>,
    bytes: usize,
    held: Vec<Held>,
    /// The first of two that are to change places.
    pub(super) first: Option<First>,
    /// The rule whose next message is to be the first, because the last one found no second.
    pub(super) armed: Option<usize>,
    /// Where that ends which has come.
    pub(super) gap: Gap,
    closed_until: Time,
    pace: Option<Pace>,
}

#[derive(Debug)]
struct Item {
    due: Time,
    /// What of it has not left: of a long one, a part at a time.
    bytes: VecDeque<u8>,
}

/// A message that others overtake.
#[derive(Debug)]
struct Held {
    bytes: Vec<u8>,
    /// So many messages have yet to go by.
    messages: Option<u32>,
    until: Time,
}

/// A message that waits for the one behind it.
#[derive(Debug)]
pub(super) struct First {
    pub(super) rule: usize,
    pub(super) frame: Frame,
    pub(super) sender: Option<String>,
    pub(super) room: Option<String>,
    pub(super) until: Time,
}

#[derive(Debug)]
struct Pace {
    bytes_per_s: u64,
    allowance: f64,
    at: Time,
}

pub(super) fn later(time: Time, span: Duration) -> Time {
    Time(time.0.saturating_add(u64::try_from(span.as_micros()).unwrap_or(u64::MAX)))
}

impl Lane {
    /// Nothing waits and nothing keeps bytes from passing at once.
    pub(super) fn is_direct(&self, now: Time) -> bool {
        self.queue.is_empty() && self.pace.is_none() && now >= self.closed_until
    }

    /// Something is kept back: all that comes must be looked at.
    pub(super) fn is_watchful(&self) -> bool {
        !self.held.is_empty() || self.first.is_some()
    }

    /// Whether nothing waits in it.
    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty() && !self.is_watchful()
    }

    /// Whether more may come.
    pub(super) fn reads(&self, now: Time) -> bool {
        let most = if self.pace.is_some() { PACED_MAX } else { WAITING_MAX };
        // What waits for the end of a message cannot wait for less to be here.
        let stuck = self.held.iter().filter(|held| !self.gap.takes(held.bytes.first()));
        let stuck: usize = match self.gap {
            Gap::Messages => 0,
            Gap::Fragments | Gap::None => stuck.map(|held| held.bytes.len()).sum(),
        };
        now >= self.closed_until && self.bytes - stuck < most
    }

    /// Whether a frame from elsewhere may be put into it.
    pub(super) fn takes_in(&self, now: Time, frame: &[u8]) -> bool {
        self.reads(now) && self.gap.takes(frame.first())
    }

    /// Puts bytes behind all that waits.
    pub(super) fn push(&mut self, due: Time, bytes: Vec<u8>) {
        let due = self.queue.back().map_or(due, |before| due.max(before.due));
        self.bytes += bytes.len();
        self.queue.push_back(Item { due, bytes: bytes.into() });
    }

    /// Keeps bytes back until others have overtaken them.
    pub(super) fn hold(&mut self, now: Time, bytes: Vec<u8>, after: After) {
        self.bytes += bytes.len();
        let (messages, until) = match after {
            After::Messages(count) => (Some(count), later(now, PATIENCE)),
            After::Time(span) => (None, later(now, span)),
        };
        self.held.push(Held { bytes, messages, until });
    }

    /// A message has gone by.
    pub(super) fn overtaken(&mut self, now: Time) {
        for held in &mut self.held {
            held.messages = held.messages.map(|left| left.saturating_sub(1));
        }
        self.let_go(|held| held.messages == Some(0), now);
    }

    /// Time has gone by.
    pub(super) fn expire(&mut self, now: Time) {
        let gap = self.gap;
        self.let_go(|held| held.until <= now && gap.takes(held.bytes.first()), now);
        let is_over = |first: &mut First| first.until <= now && gap.takes(first.frame.raw.first());
        if let Some(first) = self.first.take_if(is_over) {
            self.armed = Some(first.rule);
            self.push(now, first.frame.raw);
        }
    }

    /// Nothing is wrong any more: what was kept back goes on, in the order in which it came.
    pub(super) fn heal(&mut self, now: Time) {
        if let Some(first) = self.first.take() {
            self.hold(now, first.frame.raw, After::Time(Duration::ZERO));
        }
        self.held.iter_mut().for_each(|held| held.until = now);
        self.expire(now);
        self.queue.iter_mut().for_each(|item| item.due = item.due.min(now));
        (self.armed, self.closed_until, self.pace) = (None, Time(0), None);
    }

    fn let_go(&mut self, which: impl Fn(&Held) -> bool, now: Time) {
        let all = std::mem::take(&mut self.held);
        let (go, stay): (Vec<Held>, Vec<Held>) = all.into_iter().partition(which);
        self.held = stay;
        for held in go {
            self.bytes -= held.bytes.len();
            self.push(now, held.bytes);
        }
    }

    /// Lets nothing pass until then; none: not before it is healed.
    pub(super) fn close(&mut self, until: Option<Time>) {
        self.closed_until = self.closed_until.max(until.unwrap_or(NEVER));
    }

    pub(super) fn pace(&mut self, now: Time, bytes_per_s: u64) {
        self.pace = Some(Pace { bytes_per_s: bytes_per_s.max(1), allowance: 0.0, at: now });
    }

    /// Takes what may leave now, up to `most` bytes.
    pub(super) fn take(&mut self, now: Time, most: usize, out: &mut Vec<u8>) {
        if now < self.closed_until {
            return;
        }
        while out.len() < most {
            let Some(item) = self.queue.front_mut().filter(|item| item.due <= now) else { return };
            let allowed = self.pace.as_mut().map_or(usize::MAX, |pace| pace.allows(now));
            let count = item.bytes.len().min(allowed).min(most - out.len());
            if count == 0 && !item.bytes.is_empty() {
                return;
            }
            out.extend(item.bytes.drain(..count));
            if item.bytes.is_empty() {
                self.queue.pop_front();
            }
            self.bytes -= count;
            if let Some(pace) = &mut self.pace {
                pace.allowance -= count as f64;
            }
        }
    }

    /// When time alone will change something next.
    pub(super) fn wakes(&self, now: Time) -> Option<Time> {
        let front = self.queue.front().map(|item| item.due.max(self.closed_until));
        let opens = Some(self.closed_until).filter(|_| self.closed_until != NEVER);
        let paced = self.pace.as_ref().filter(|_| !self.queue.is_empty());
        let paced = paced.map(|pace| Time(pace.at.0 + PACE_MICROS));
        let held = self.held.iter().map(|held| held.until);
        let first = self.first.iter().map(|first| first.until);
        let all = [front, opens, paced].into_iter().flatten().chain(held).chain(first);
        all.filter(|&at| at > now && at != NEVER).min()
    }
}

impl Pace {
    /// So many bytes may leave now.
    fn allows(&mut self, now: Time) -> usize {
        let micros = now.0.saturating_sub(self.at.0);
        if micros >= PACE_MICROS {
            let rate = self.bytes_per_s as f64 / 1e6;
            // What was not used in a pause is not saved up.
            let most = rate * (PACE_MICROS as f64) * 2.0;
            self.allowance = (self.allowance + rate * micros as f64).min(most.max(1.0));
            self.at = now;
        }
        self.allowance as usize
    }
}
