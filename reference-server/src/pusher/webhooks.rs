//! What one application's backend is still to be told: events in order, bounded in bytes.
//!
//! They are put in under the locks of rooms, so nothing here waits. What finds no room is left out
//! whole, the latest first: what is told has no gap but at its end.

use std::{
    collections::VecDeque,
    mem,
    task::{Context, Poll},
};

use atomic_waker::AtomicWaker;
use parking_lot::Mutex;
use protocol::pusher::Hook;

use super::post::Target;

/// What may wait, as JSON.
const QUEUE_BYTES: usize = 4 * 1024 * 1024;
/// Events of one request, and their bytes beside one of any length.
const BATCH_EVENTS: usize = 100;
const BATCH_BYTES: usize = 256 * 1024;

#[derive(Debug)]
pub(crate) struct Webhooks {
    pub(super) target: Target,
    queue: Mutex<Queue>,
    /// Whoever sends.
    sender: AtomicWaker,
}

#[derive(Debug, Default)]
struct Queue {
    events: VecDeque<Box<str>>,
    bytes: usize,
    is_closing: bool,
}

impl Webhooks {
    pub(crate) fn new(target: Target) -> Self {
        Self { target, queue: Mutex::default(), sender: AtomicWaker::new() }
    }

    /// Puts an event in; says whether there was room.
    pub(crate) fn push(&self, hook: &Hook) -> bool {
        // Enumerations of strings and numbers can all be JSON.
        let event = serde_json::to_string(hook).unwrap_or_default();
        {
            let mut queue = self.queue.lock();
            if queue.is_closing || queue.bytes + event.len() > QUEUE_BYTES {
                return false;
            }
            queue.bytes += event.len();
            queue.events.push_back(event.into());
        }
        self.sender.wake();
        true
    }

    /// The next events to be told; none when there are none and there will be none.
    pub(super) fn poll_batch(&self, cx: &mut Context<'_>) -> Poll<Option<Vec<Box<str>>>> {
        self.sender.register(cx.waker());
        let mut queue = self.queue.lock();
        let batch = queue.take_batch();
        match (batch.is_empty(), queue.is_closing) {
            (false, _) => Poll::Ready(Some(batch)),
            (true, true) => Poll::Ready(None),
            (true, false) => Poll::Pending,
        }
    }

    /// Takes no more events, and has what is there sent without patience.
    pub(crate) fn close(&self) {
        self.queue.lock().is_closing = true;
        self.sender.wake();
    }

    pub(super) fn poll_closing(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.sender.register(cx.waker());
        if self.queue.lock().is_closing { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Gives up what still waits if there is no time left for it: how many events those were.
    pub(super) fn give_up_if_closing(&self) -> usize {
        let mut queue = self.queue.lock();
        if !queue.is_closing {
            return 0;
        }
        queue.bytes = 0;
        mem::take(&mut queue.events).len()
    }
}

impl Queue {
    fn take_batch(&mut self) -> Vec<Box<str>> {
        let (mut batch, mut bytes) = (Vec::new(), 0);
        while batch.len() < BATCH_EVENTS
            && let Some(event) =
                self.events.pop_front_if(|event| bytes == 0 || bytes + event.len() <= BATCH_BYTES)
        {
            bytes += event.len();
            batch.push(event);
        }
        self.bytes -= bytes;
        batch
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;

    fn webhooks() -> Webhooks {
        Webhooks::new("http://127.0.0.1:9/".parse().expect("a URL"))
    }

    fn hook(channel: impl Into<String>) -> Hook {
        Hook::ChannelOccupied { channel: channel.into() }
    }

    fn batch(webhooks: &Webhooks) -> Poll<Option<Vec<Box<str>>>> {
        webhooks.poll_batch(&mut Context::from_waker(Waker::noop()))
    }

    fn taken(webhooks: &Webhooks) -> Vec<Box<str>> {
        match batch(webhooks) {
            Poll::Ready(Some(events)) => events,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn events_come_out_in_their_order_some_at_a_time() {
        let webhooks = webhooks();
        assert!(batch(&webhooks).is_pending());
        for n in 0..250 {
            assert!(webhooks.push(&hook(n.to_string())));
        }
        let batches = [taken(&webhooks), taken(&webhooks), taken(&webhooks)];
        assert_eq!(batches.each_ref().map(Vec::len), [100, 100, 50]);
        for (event, n) in batches.concat().iter().zip(0..) {
            let expected = format!(r#"{{"name":"channel_occupied","channel":"{n}"}}"#);
            assert_eq!(**event, *expected);
        }
        assert!(batch(&webhooks).is_pending());
    }

    #[test]
    fn a_batch_is_bounded_in_bytes_and_holds_one_event_of_any_length() {
        let webhooks = webhooks();
        for length in [1, 200_000, 100_000, 300_000, 1] {
            assert!(webhooks.push(&hook("x".repeat(length))));
        }
        let lengths: Vec<usize> = (0..4).map(|_| taken(&webhooks).len()).collect();
        assert_eq!(lengths, [2, 1, 1, 1]);
    }

    #[test]
    fn what_waits_is_bounded_and_the_latest_is_left_out() {
        let webhooks = webhooks();
        let mut kept = 0;
        while webhooks.push(&hook("x".repeat(100_000))) {
            kept += 1;
        }
        assert_eq!(kept, QUEUE_BYTES / 100_040);
        assert!(!webhooks.push(&hook("x".repeat(100_000))), "still full");
        let mut seen = taken(&webhooks).len();
        assert!(webhooks.push(&hook("x".repeat(100_000))), "there is room again");
        while let Poll::Ready(Some(events)) = batch(&webhooks) {
            seen += events.len();
        }
        assert_eq!((seen, webhooks.queue.lock().bytes), (kept + 1, 0));
    }

    #[test]
    fn a_closed_queue_gives_what_it_has_and_then_ends() {
        let webhooks = webhooks();
        webhooks.push(&hook("a"));
        assert_eq!(webhooks.give_up_if_closing(), 0);
        webhooks.close();
        assert!(!webhooks.push(&hook("b")));
        assert_eq!(taken(&webhooks).len(), 1);
        assert_eq!(batch(&webhooks), Poll::Ready(None));
    }
}
