//! How a running server is told to end: first with a drain, then at once.

use std::{
    future::{Future, poll_fn},
    sync::Arc,
    task::{Poll, Waker},
    time::Duration,
};

use parking_lot::Mutex;

/// A handle that ends a server; clones speak of the same end.
#[derive(Debug, Clone, Default)]
pub struct Shutdown(Arc<Mutex<Wish>>);

#[derive(Debug, Default)]
struct Wish {
    stage: Stage,
    /// A drain other than the configured one, e.g. because a parent process has gone.
    drain: Option<Duration>,
    waiting: Vec<Waker>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    #[default]
    Running,
    Draining,
    Now,
}

impl Shutdown {
    /// A server that runs until told otherwise.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks for a drain of the configured length; asked twice, the server ends at once.
    pub fn signal(&self) {
        let next = match self.0.lock().stage {
            Stage::Running => Stage::Draining,
            Stage::Draining | Stage::Now => Stage::Now,
        };
        self.reach(next, None);
    }

    /// Asks for a drain that takes no longer than `drain`; asked again, nothing changes.
    pub fn drain_within(&self, drain: Duration) {
        self.reach(Stage::Draining, Some(drain));
    }

    /// Ends the server without a drain.
    pub fn now(&self) {
        self.reach(Stage::Now, None);
    }

    /// Resolves once a drain is asked for, to its longest length if one was named.
    pub(crate) async fn begun(&self) -> Option<Duration> {
        self.until(Stage::Draining).await;
        self.0.lock().drain
    }

    /// Resolves once the end is to come at once.
    pub(crate) fn forced(&self) -> impl Future<Output = ()> + '_ {
        self.until(Stage::Now)
    }

    fn reach(&self, stage: Stage, drain: Option<Duration>) {
        let waiting = {
            let mut wish = self.0.lock();
            if wish.stage >= stage {
                return;
            }
            wish.stage = stage;
            wish.drain = wish.drain.or(drain);
            std::mem::take(&mut wish.waiting)
        };
        for waker in waiting {
            waker.wake();
        }
    }

    fn until(&self, stage: Stage) -> impl Future<Output = ()> + '_ {
        poll_fn(move |cx| {
            let mut wish = self.0.lock();
            if wish.stage >= stage {
                return Poll::Ready(());
            }
            if !wish.waiting.iter().any(|waker| waker.will_wake(cx.waker())) {
                wish.waiting.push(cx.waker().clone());
            }
            Poll::Pending
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_lite::future::{block_on, poll_once};

    #[test]
    fn the_first_signal_drains_and_the_second_ends_at_once() {
        block_on(async {
            let shutdown = Shutdown::new();
            assert!(poll_once(shutdown.begun()).await.is_none());
            shutdown.signal();
            assert_eq!(poll_once(shutdown.begun()).await, Some(None));
            assert!(poll_once(shutdown.forced()).await.is_none());
            shutdown.signal();
            assert!(poll_once(shutdown.forced()).await.is_some());
        });
    }

    #[test]
    fn a_named_drain_asked_twice_stays_a_drain() {
        block_on(async {
            let shutdown = Shutdown::new();
            shutdown.drain_within(Duration::from_millis(5));
            shutdown.drain_within(Duration::from_millis(9));
            assert_eq!(poll_once(shutdown.begun()).await, Some(Some(Duration::from_millis(5))));
            assert!(poll_once(shutdown.forced()).await.is_none());
        });
    }
}
