//! What every message passes before it is read: how long it may be, and how many may come.

use std::collections::VecDeque;
use std::time::Duration;

use crate::dialect::Dialect;
use crate::ending::Ending;
use crate::limits::{Limits, passes};
use crate::time::Time;
use crate::world::{Tally, World};

/// As many requests may come at once as in this time.
const BURST: Duration = Duration::from_secs(1);
/// As many may be refused as could have come in this time, before it is abuse.
const PATIENCE: Duration = Duration::from_secs(10);

/// The door of one connection.
#[derive(Debug)]
pub(crate) struct Door {
    requests: Bucket,
    refused: Bucket,
}

impl Door {
    /// The door of a connection that was opened at `now`.
    pub(crate) fn new(now: Time, limits: &Limits) -> Self {
        Self {
            requests: Bucket::new(now, limits.requests_per_s, BURST),
            refused: Bucket::new(now, limits.requests_per_s, PATIENCE),
        }
    }

    /// Whether this message may be obeyed, or is one too many and is to be refused; or how the
    /// connection ends.
    pub(crate) fn admits<W: World>(
        &mut self,
        now: Time,
        dialect: Dialect,
        bytes: usize,
        world: &W,
    ) -> Result<bool, Ending> {
        world.tally(Tally::Received);
        if passes(bytes, dialect.message_bytes(world.limits())) {
            return Err(Ending::TOO_BIG);
        }
        let admitted = self.requests.admits(now);
        if !admitted && !self.refused.admits(now) {
            return Err(Ending::ABUSE);
        }
        Ok(admitted)
    }
}

/// At most so many in any stretch of time of that length.
#[derive(Debug)]
pub(crate) struct Window {
    most: usize,
    span: Duration,
    /// When those that count were admitted.
    admitted: VecDeque<Time>,
}

impl Window {
    pub(crate) const fn new(most: usize, span: Duration) -> Self {
        Self { most, span, admitted: VecDeque::new() }
    }

    /// Whether one more may come now; if so, it has.
    pub(crate) fn admits(&mut self, now: Time) -> bool {
        if self.admitted.len() == self.most {
            if self.admitted.front().is_some_and(|&first| now.since(first) < self.span) {
                return false;
            }
            self.admitted.pop_front();
        }
        self.admitted.push_back(now);
        true
    }
}

/// A leaky bucket. What is in it is reckoned as the time that it takes to drain.
#[derive(Clone, Copy, Debug)]
struct Bucket {
    per_request: Duration,
    room: Duration,
    filled: Duration,
    last: Time,
}

impl Bucket {
    /// An empty bucket that drains at `per_s` requests a second and holds as many as drain in
    /// `room`. With a rate of zero it never fills.
    fn new(now: Time, per_s: u32, room: Duration) -> Self {
        let per_request = Duration::from_secs(1).checked_div(per_s).unwrap_or_default();
        Self { per_request, room, filled: Duration::ZERO, last: now }
    }

    /// Whether one more request fits in; if so, it is in.
    fn admits(&mut self, now: Time) -> bool {
        self.filled = self.filled.saturating_sub(now.since(self.last));
        self.last = now;
        let filled = self.filled + self.per_request;
        let fits = filled <= self.room;
        if fits {
            self.filled = filled;
        }
        fits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_worth_comes_at_once_and_then_one_per_drained_request() {
        let at = |ms| Time::after_start(Duration::from_millis(ms));
        let mut bucket = Bucket::new(at(0), 10, Duration::from_secs(1));
        assert_eq!((0..20).filter(|_| bucket.admits(at(0))).count(), 10);
        assert!(!bucket.admits(at(99)));
        assert!(bucket.admits(at(100)));
        assert!(!bucket.admits(at(100)));
        assert_eq!((0..20).filter(|_| bucket.admits(at(5000))).count(), 10);
    }

    #[test]
    fn no_stretch_of_a_second_has_more_than_it_may() {
        let at = |ms| Time::after_start(Duration::from_millis(ms));
        let mut window = Window::new(3, Duration::from_secs(1));
        let admitted: Vec<u64> =
            (0..3000).step_by(150).filter(|&ms| window.admits(at(ms))).collect();
        assert_eq!(admitted, [0, 150, 300, 1050, 1200, 1350, 2100, 2250, 2400]);
    }

    #[test]
    fn a_rate_of_zero_admits_everything() {
        let mut bucket = Bucket::new(Time::default(), 0, Duration::from_secs(1));
        assert!((0..100_000).all(|_| bucket.admits(Time::default())));
    }
}
