//! The run's end of its log: hands observations over to the writer's thread, in batches.
//!
//! It is called under the lock of the stage, so it must not wait: what is observed is moved into a
//! batch, no more. Only when the disk is so far behind that the queue is full it waits, and not for
//! long: a harness that stands still would find faults of its own making.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::mem::size_of;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use super::writer::Writer;
use super::{Found, Head, Kept, Last};
use crate::observe::{Observation, Time, What};

/// What may wait for the writer, in bytes.
const QUEUE_BYTES: usize = 2 << 20;
/// A batch is handed over when it weighs so much, …
const BATCH_BYTES: usize = 64 << 10;
/// … or spans so much of the run, in microseconds.
const BATCH_SPAN_US: u64 = 250_000;
/// How long a full queue is waited for.
const PATIENCE: Duration = Duration::from_millis(50);

/// Something to be written.
#[derive(Debug)]
pub(super) enum Item {
    Seen(Observation),
    Room(u32, String),
    Found(Found),
    Step(Found),
    End(Last),
}

/// What waits for the writer.
#[derive(Debug, Default)]
pub(super) struct Queue {
    waiting: Mutex<Waiting>,
    /// Something has come.
    more: Condvar,
    /// Something was taken.
    room: Condvar,
}

#[derive(Debug, Default)]
struct Waiting {
    batches: VecDeque<Batch>,
    bytes: usize,
    over: bool,
}

/// Items in their order.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) items: Vec<Item>,
    /// Observations that were to come after them, and did not fit into the queue.
    pub(super) lost: u64,
    bytes: usize,
}

impl Queue {
    /// Puts a batch in, when there is room. Without it observations are lost, but nothing else.
    fn push(&self, mut batch: Batch) {
        let deadline = Instant::now() + PATIENCE;
        let mut waiting = self.waiting.lock();
        while waiting.bytes > 0 && waiting.bytes + batch.bytes > QUEUE_BYTES {
            if self.room.wait_until(&mut waiting, deadline).timed_out() {
                batch.thin_out();
                break;
            }
        }
        waiting.bytes += batch.bytes;
        waiting.batches.push_back(batch);
        drop(waiting);
        self.more.notify_one();
    }

    /// The next batch, when it is there; none when no more will come.
    pub(super) fn pop(&self) -> Option<Batch> {
        let mut waiting = self.waiting.lock();
        loop {
            if let Some(batch) = waiting.batches.pop_front() {
                waiting.bytes -= batch.bytes;
                drop(waiting);
                self.room.notify_one();
                return Some(batch);
            }
            if waiting.over {
                return None;
            }
            self.more.wait(&mut waiting);
        }
    }

    fn close(&self) {
        self.waiting.lock().over = true;
        self.more.notify_one();
    }
}

impl Batch {
    fn thin_out(&mut self) {
        let before = self.items.len();
        self.items.retain(|item| !matches!(item, Item::Seen(_)));
        self.lost += (before - self.items.len()) as u64;
        self.bytes = self.items.iter().map(weight).sum();
    }
}

/// The run's end of its log.
#[derive(Debug)]
pub struct Recorder {
    queue: Arc<Queue>,
    batch: Batch,
    /// When the batch was begun.
    since: Time,
    thread: Option<JoinHandle<Kept>>,
}

impl Recorder {
    /// Begins a log that is kept whole up to so many bytes.
    ///
    /// # Errors
    /// There is no thread to be had. What happens to the file is told in the end.
    pub fn start(file: File, bytes: u64, head: &Head) -> io::Result<Self> {
        let queue = Arc::new(Queue::default());
        let (writer, batches) = (Writer::new(file, bytes, head), Arc::clone(&queue));
        let thread = std::thread::Builder::new().name("log".to_owned());
        let thread = thread.spawn(move || writer.write(&batches))?;
        Ok(Self { queue, batch: Batch::default(), since: Time(0), thread: Some(thread) })
    }

    /// An observation.
    pub fn seen(&mut self, seen: Observation) {
        let at = seen.at;
        self.add(at, Item::Seen(seen));
    }

    /// A room is used for the first time.
    pub fn room(&mut self, number: u32, name: &str) {
        self.add(self.since, Item::Room(number, name.to_owned()));
    }

    /// The last observation has led to a finding.
    pub fn found(&mut self, found: Found) {
        self.add(found.at, Item::Found(found));
    }

    /// A step of the timeline has failed.
    pub fn step_failed(&mut self, found: Found) {
        self.add(found.at, Item::Step(found));
    }

    /// The run is over. Waits until everything is written.
    pub fn end(mut self, last: Last) -> Kept {
        self.add(Time(u64::MAX), Item::End(last));
        self.close().unwrap_or_default()
    }

    fn add(&mut self, at: Time, item: Item) {
        if self.batch.items.is_empty() {
            self.since = at;
        }
        self.batch.bytes += weight(&item);
        self.batch.items.push(item);
        if self.batch.bytes >= BATCH_BYTES || at.0.saturating_sub(self.since.0) >= BATCH_SPAN_US {
            self.hand_over();
        }
    }

    fn hand_over(&mut self) {
        if !self.batch.items.is_empty() {
            self.queue.push(std::mem::take(&mut self.batch));
        }
    }

    fn close(&mut self) -> Option<Kept> {
        let thread = self.thread.take()?;
        self.hand_over();
        self.queue.close();
        thread.join().ok()
    }
}

/// A run that comes to no end leaves what was seen until then.
impl Drop for Recorder {
    fn drop(&mut self) {
        self.close();
    }
}

/// About how much memory an item takes.
fn weight(item: &Item) -> usize {
    let inside = match item {
        Item::Seen(seen) => match &seen.what {
            What::Entered(entry) => {
                let members = entry.members.as_ref().map_or(0, Vec::len);
                // The entry, its members, and the names of those who are strangers.
                256 + members * 64
            }
            _ => 0,
        },
        Item::Found(found) | Item::Step(found) => found.detail.len(),
        Item::Room(_, name) => name.len(),
        Item::End(_) => 0,
    };
    size_of::<Item>() + inside
}
