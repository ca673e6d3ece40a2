//! The one coarse timer: every heartbeat, deadline and room tick of a server.
//!
//! A timer of its own per connection costs about a hundred times as much per firing, and one around
//! each read re-registers at every message. Here an insertion is a push onto a slot, and one task
//! walks the slots.

use std::{
    future::Future,
    mem,
    pin::Pin,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use atomic_waker::AtomicWaker;
use parking_lot::Mutex;
use protocol::{Liveness, Time};

use crate::connection::Connection;

/// How coarse: everything is at most this late on an idle machine, and never early.
pub(crate) const TICK: Duration = Duration::from_millis(20);
/// One round of the wheel is about ten seconds; what is due later is passed over until its round.
const SLOTS: u64 = 512;

#[derive(Debug)]
pub(crate) struct Wheel(Mutex<Slots>);

#[derive(Debug)]
struct Slots {
    /// The tick up to which everything has been taken.
    taken: u64,
    /// Whether time is up for everything.
    stopped: bool,
    slots: Vec<Vec<Entry>>,
}

#[derive(Debug)]
struct Entry {
    tick: u64,
    due: Due,
}

/// What is to be done at a time.
#[derive(Debug)]
pub(crate) enum Due {
    /// Ring.
    Alarm(Weak<Bell>),
    /// Ping a connection, or give it up.
    Beat(Weak<Connection>, Liveness),
    /// Tick the room of this name.
    Room(Box<str>),
}

impl Due {
    /// Rings, if it is an alarm that somebody still waits for.
    pub(crate) fn ring(&self) {
        if let Self::Alarm(bell) = self
            && let Some(bell) = bell.upgrade()
        {
            bell.rang.store(true, Ordering::Release);
            bell.waker.wake();
        }
    }
}

impl Wheel {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(Slots {
            taken: 0,
            stopped: false,
            slots: (0..SLOTS).map(|_| Vec::new()).collect(),
        }))
    }

    /// Keeps `due` until `at`.
    pub(crate) fn insert(&self, at: Time, due: Due) {
        let mut wheel = self.0.lock();
        if wheel.stopped {
            due.ring();
            return;
        }
        // What is due already goes into the next slot to be taken.
        let tick = tick_of(at).saturating_add(1).max(wheel.taken + 1);
        wheel.put(Entry { tick, due });
    }

    /// An alarm that rings at `at`, unless it is dropped before.
    pub(crate) fn alarm(&self, at: Time) -> Alarm {
        let bell = Arc::new(Bell::default());
        self.insert(at, Due::Alarm(Arc::downgrade(&bell)));
        Alarm(bell)
    }

    /// Moves everything that is due at `now` into `due`.
    pub(crate) fn take(&self, now: Time, due: &mut Vec<Due>) {
        let mut wheel = self.0.lock();
        let until = tick_of(now);
        // After a long stall one round visits every slot.
        let first = (wheel.taken + 1).max(until.saturating_sub(SLOTS - 1));
        for tick in first..=until {
            let Some(slot) = wheel.slot(tick) else { continue };
            for entry in mem::take(slot) {
                if entry.tick <= until {
                    due.push(entry.due);
                } else {
                    wheel.put(entry);
                }
            }
        }
        wheel.taken = wheel.taken.max(until);
    }

    /// Rings every alarm, those to come too, so that nobody waits for a time that nobody keeps.
    pub(crate) fn stop(&self) {
        let mut wheel = self.0.lock();
        wheel.stopped = true;
        for entry in wheel.slots.iter_mut().flat_map(mem::take) {
            entry.due.ring();
        }
    }
}

impl Slots {
    fn put(&mut self, entry: Entry) {
        if let Some(slot) = self.slot(entry.tick) {
            slot.push(entry);
        }
    }

    fn slot(&mut self, tick: u64) -> Option<&mut Vec<Entry>> {
        self.slots.get_mut(usize::try_from(tick % SLOTS).unwrap_or_default())
    }
}

fn tick_of(time: Time) -> u64 {
    u64::try_from(time.since_start().as_nanos() / TICK.as_nanos()).unwrap_or(u64::MAX)
}

/// The part of an alarm that the wheel holds.
#[derive(Debug, Default)]
pub(crate) struct Bell {
    rang: AtomicBool,
    waker: AtomicWaker,
}

/// Resolves when the wheel rings it.
#[derive(Debug)]
pub(crate) struct Alarm(Arc<Bell>);

impl Future for Alarm {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.0.waker.register(cx.waker());
        if self.0.rang.load(Ordering::Acquire) { Poll::Ready(()) } else { Poll::Pending }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Time {
        Time::after_start(Duration::from_millis(ms))
    }

    fn taken(wheel: &Wheel, ms: u64) -> Vec<String> {
        let mut due = Vec::new();
        wheel.take(at(ms), &mut due);
        due.iter()
            .map(|due| match due {
                Due::Room(name) => name.to_string(),
                other => format!("{other:?}"),
            })
            .collect()
    }

    fn insert(wheel: &Wheel, ms: u64, name: &str) {
        wheel.insert(at(ms), Due::Room(name.into()));
    }

    #[test]
    fn nothing_is_early_and_at_most_a_tick_late() {
        let wheel = Wheel::new();
        insert(&wheel, 25, "a");
        assert!(taken(&wheel, 24).is_empty());
        assert!(taken(&wheel, 29).is_empty());
        assert_eq!(taken(&wheel, 45), ["a"]);
        assert!(taken(&wheel, 60_000).is_empty());
    }

    #[test]
    fn what_is_rounds_away_waits_for_its_round() {
        let wheel = Wheel::new();
        insert(&wheel, 35_000, "late");
        insert(&wheel, 15, "soon");
        assert_eq!(taken(&wheel, 40), ["soon"]);
        for second in 1..35 {
            assert!(taken(&wheel, second * 1000).is_empty());
        }
        assert_eq!(taken(&wheel, 35_020), ["late"]);
    }

    #[test]
    fn a_stall_of_more_than_a_round_loses_nothing() {
        let wheel = Wheel::new();
        insert(&wheel, 15, "a");
        insert(&wheel, 9_000, "b");
        insert(&wheel, 60_000, "c");
        let mut names = taken(&wheel, 40_000);
        names.sort();
        assert_eq!(names, ["a", "b"]);
        assert_eq!(taken(&wheel, 60_020), ["c"]);
    }

    #[test]
    fn what_is_due_already_comes_with_the_next_tick() {
        let wheel = Wheel::new();
        assert!(taken(&wheel, 500).is_empty());
        insert(&wheel, 100, "past");
        assert_eq!(taken(&wheel, 520), ["past"]);
    }
}
