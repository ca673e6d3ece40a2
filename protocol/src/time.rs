//! Time as an argument: the core is told when it is, and never asks a clock.

use std::ops::Add;
use std::time::Duration;

use jiff::Timestamp;
use jiff::fmt::temporal::DateTimePrinter;
use serde::{Serialize, Serializer};

/// A point on the server's monotonic clock, as the time since its start.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub struct Time(Duration);

impl Time {
    /// The point this long after the server's start.
    pub const fn after_start(elapsed: Duration) -> Self {
        Self(elapsed)
    }

    /// How long it has been since `earlier`; zero if that is yet to come.
    pub const fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }

    /// The point this much later.
    pub(crate) const fn plus(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(duration))
    }

    /// How long after the server's start this is.
    pub const fn since_start(self) -> Duration {
        self.0
    }
}

impl Add<Duration> for Time {
    type Output = Self;

    fn add(self, rhs: Duration) -> Self {
        self.plus(rhs)
    }
}

/// The present, on both clocks that matter.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Now {
    /// The monotonic clock: every deadline and every age is reckoned on it.
    pub time: Time,
    /// The wall clock, since the Unix epoch: only for the `at` that people read.
    pub unix: Duration,
}

impl Now {
    /// The present, `elapsed` after the start of a server that started at `unix_start`.
    pub fn after_start(elapsed: Duration, unix_start: Duration) -> Self {
        Self { time: Time::after_start(elapsed), unix: unix_start.saturating_add(elapsed) }
    }
}

/// A time of day for people, since the Unix epoch, in milliseconds: `2026-02-28T09:30:00.000Z`.
pub(crate) struct At(pub(crate) Duration);

impl Serialize for At {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        const PRINTER: DateTimePrinter = DateTimePrinter::new().precision(Some(3));
        let millis = i64::try_from(self.0.as_millis()).unwrap_or(i64::MAX);
        let timestamp = Timestamp::from_millisecond(millis).unwrap_or(Timestamp::MAX);
        serializer.serialize_str(&PRINTER.timestamp_to_string(&timestamp))
    }
}
