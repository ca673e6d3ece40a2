//! An open-loop schedule: when each action is meant to happen, whatever the server does.

use std::time::Duration;

/// A steady rate for a length of time.
#[derive(Clone, Copy, Debug)]
pub struct Pacer {
    rate: f64,
    span: Duration,
    started: u64,
}

/// What to do now.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Pace {
    /// Start an action; it was meant to start this long after the beginning.
    Start(Duration),
    /// Nothing before this long after the beginning.
    Wait(Duration),
    /// The schedule has ended.
    Over,
}

impl Pacer {
    /// `rate` actions a second, for `span`.
    pub fn new(rate: f64, span: Duration) -> Self {
        Self { rate, span, started: 0 }
    }

    /// What to do, so long after the beginning. A caller that comes late is told to start what it
    /// missed, at once and one by one: a schedule that slowed down with its server would hide what
    /// waiting clients feel (coordinated omission).
    pub fn pace(&mut self, elapsed: Duration) -> Pace {
        let due = Duration::from_secs_f64(self.started as f64 / self.rate);
        if due >= self.span {
            return Pace::Over;
        }
        if due > elapsed {
            return Pace::Wait(due);
        }
        self.started += 1;
        Pace::Start(due)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn actions_start_at_their_times_and_end_with_the_span() {
        let mut pacer = Pacer::new(100.0, 25 * MS);
        assert_eq!(pacer.pace(Duration::ZERO), Pace::Start(Duration::ZERO));
        assert_eq!(pacer.pace(9 * MS), Pace::Wait(10 * MS));
        assert_eq!(pacer.pace(10 * MS), Pace::Start(10 * MS));
        assert_eq!(pacer.pace(24 * MS), Pace::Start(20 * MS));
        assert_eq!(pacer.pace(24 * MS), Pace::Over);
    }

    #[test]
    fn a_late_caller_starts_what_it_missed_with_the_times_that_were_meant() {
        let mut pacer = Pacer::new(1000.0, Duration::from_secs(1));
        let started: Vec<Pace> = (0..4).map(|_| pacer.pace(3 * MS)).collect();
        assert_eq!(started, [0, 1, 2, 3].map(|n| Pace::Start(n * MS)));
        assert_eq!(pacer.pace(3 * MS), Pace::Wait(4 * MS));
    }
}
