//! The one log of a room: every event gets the next number, and the youngest are kept for recovery.

use std::collections::VecDeque;

use crate::frame::Frame;
use crate::limits::{Limits, passes};
use crate::time::Time;

/// A room's numbered events: how far it has come, and what of it can be had again.
#[derive(Debug)]
pub(crate) struct Log {
    epoch: String,
    seq: u64,
    kept: VecDeque<Kept>,
    kept_bytes: usize,
}

#[derive(Debug)]
struct Kept {
    at: Time,
    frame: Frame,
}

impl Log {
    /// A log in which nothing has happened yet.
    pub(crate) const fn new(epoch: String) -> Self {
        Self { epoch, seq: 0, kept: VecDeque::new(), kept_bytes: 0 }
    }

    /// The name of this log: the next life of the room has another.
    pub(crate) fn epoch(&self) -> &str {
        &self.epoch
    }

    /// The number of the last event; 0 if there was none.
    pub(crate) const fn seq(&self) -> u64 {
        self.seq
    }

    /// Takes in the event numbered `seq() + 1`, which `frame` has been encoded with.
    pub(crate) fn append(&mut self, now: Time, frame: Frame, limits: &Limits) {
        self.seq += 1;
        self.kept_bytes += frame.bytes().len();
        self.kept.push_back(Kept { at: now, frame });
        self.forget(now, limits);
    }

    /// Exactly the events after `since`, if all of them are still kept.
    pub(crate) fn after(
        &mut self,
        since: u64,
        now: Time,
        limits: &Limits,
    ) -> Option<impl Iterator<Item = &Frame>> {
        self.forget(now, limits);
        let missed = usize::try_from(self.seq.checked_sub(since)?).ok()?;
        let skip = self.kept.len().checked_sub(missed)?;
        Some(self.kept.iter().skip(skip).map(|kept| &kept.frame))
    }

    /// Forgets what is beyond the window, which is bounded by events, bytes and age.
    pub(crate) fn forget(&mut self, now: Time, limits: &Limits) {
        let window = limits.history_window;
        while let Some(oldest) = self.kept.front()
            && (passes(self.kept.len(), limits.history_events)
                || passes(self.kept_bytes, limits.history_bytes)
                || now.since(oldest.at) > window)
        {
            self.kept_bytes -= oldest.frame.bytes().len();
            self.kept.pop_front();
        }
    }
}
