//! How many requests may come: a bucket that fills with them and drains with time.

use std::time::Duration;

use crate::time::Time;

/// A leaky bucket. What is in it is reckoned as the time that it takes to drain.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bucket {
    per_request: Duration,
    room: Duration,
    filled: Duration,
    last: Time,
}

impl Bucket {
    /// An empty bucket that drains at `per_s` requests a second and holds as many as drain in
    /// `room`. With a rate of zero it never fills.
    pub(crate) fn new(now: Time, per_s: u32, room: Duration) -> Self {
        let per_request = Duration::from_secs(1).checked_div(per_s).unwrap_or_default();
        Self { per_request, room, filled: Duration::ZERO, last: now }
    }

    /// Whether one more request fits in; if so, it is in.
    pub(crate) fn admits(&mut self, now: Time) -> bool {
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
    fn a_rate_of_zero_admits_everything() {
        let mut bucket = Bucket::new(Time::default(), 0, Duration::from_secs(1));
        assert!((0..100_000).all(|_| bucket.admits(Time::default())));
    }
}
