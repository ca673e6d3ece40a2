//! The run's end of its log: hands observations over to the writer's thread, in batches.
//!
//! It is called under the lock of the stage, so it must not wait: what is observed is moved into a
//! batch, no more. Only when the disk is so far behind that the queue is full it waits, and not for
//! long, nor again and again: a harness that stands still would find faults of its own making.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::mem::size_of;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use serde_json::Value;

use super::writer::Writer;
use super::{Found, Head, Kept, Last};
use crate::observe::{Entry, Observation, Time, What};

/// What may wait for the writer, in bytes.
const QUEUE_BYTES: usize = 2 << 20;
/// A batch is handed over when it weighs so much, …
const BATCH_BYTES: usize = 64 << 10;
/// … or spans so much of the run, in microseconds.
const BATCH_SPAN_US: u64 = 250_000;
/// How long a full queue is waited for, …
const PATIENCE: Duration = Duration::from_millis(50);
/// … and all waits of a run together.
const PATIENCE_IN_ALL: Duration = Duration::from_millis(200);

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
    /// How long room was waited for until now.
    waited: Duration,
}

impl Waiting {
    fn has_room_for(&self, batch: &Batch) -> bool {
        self.bytes == 0 || self.bytes + batch.bytes <= QUEUE_BYTES
    }

    /// How long it may still be waited for room.
    fn patience(&self) -> Duration {
        PATIENCE.min(PATIENCE_IN_ALL.saturating_sub(self.waited))
    }
}

/// Items in their order.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) items: Vec<Item>,
    /// Observations that were to come among them, and did not fit into the queue.
    pub(super) lost: u64,
    bytes: usize,
}

impl Queue {
    /// Puts a batch in, when there is room. Without it observations are lost, but nothing else.
    fn push(&self, mut batch: Batch) {
        let mut waiting = self.waiting.lock();
        if !waiting.has_room_for(&batch) {
            let begun = Instant::now();
            let deadline = begun + waiting.patience();
            let is_full = |waiting: &mut Waiting| !waiting.has_room_for(&batch);
            self.room.wait_while_until(&mut waiting, is_full, deadline);
            waiting.waited += begun.elapsed();
        }
        if !waiting.has_room_for(&batch) {
            batch.thin_out();
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
        let died = || Kept { why: Some("the log's thread died".to_owned()), ..Kept::default() };
        self.close().unwrap_or_else(died)
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
    match item {
        Item::Seen(seen) => weight_of(seen),
        Item::Found(found) | Item::Step(found) => size_of::<Item>() + found.detail.len(),
        Item::Room(_, name) => size_of::<Item>() + name.len(),
        Item::End(_) => size_of::<Item>(),
    }
}

/// About how much memory an observation takes, if nobody else has what is in it.
pub(super) fn weight_of(seen: &Observation) -> usize {
    let inside = match &seen.what {
        What::Entered(entry) => {
            let members = entry.members.iter().flatten();
            // The names of those who are strangers.
            let members = members.map(|it| 64 + it.state.as_deref().map_or(0, weight_of_value));
            let storage = entry.storage.as_ref().map_or(0, |(_, entries)| weight_of_value(entries));
            size_of::<Entry>() + members.sum::<usize>() + storage
        }
        What::PresenceSending { state: value, .. }
        | What::Presence { state: value, .. }
        | What::Storing { ops: value, .. }
        | What::Stored { ops: value, .. }
        | What::Snapshot { entries: value, .. } => weight_of_value(value),
        _ => 0,
    };
    size_of::<Item>() + inside
}

fn weight_of_value(value: &Value) -> usize {
    let inside = match value {
        Value::String(text) => text.len(),
        Value::Array(items) => items.iter().map(weight_of_value).sum(),
        Value::Object(fields) => {
            fields.iter().map(|(key, value)| 32 + key.len() + weight_of_value(value)).sum()
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
    };
    size_of::<Value>() + inside
}

#[cfg(test)]
mod tests {
    use std::io::{Cursor, Seek as _};

    use serde_json::json;

    use super::*;
    use crate::check::{Class, Profile, STEPS};
    use crate::log::{SCHEMA_VERSION, Wholeness, recheck};
    use crate::observe::{ClientId, RoomId};
    use crate::plan::{ChecksPlan, Delivery, Level};

    fn spoke() -> Item {
        Item::Seen(Observation { at: Time(1), client: ClientId(0), what: What::Spoke })
    }

    /// Batches for which there is no room, but for the first.
    fn too_large(items: Vec<Item>) -> Batch {
        Batch { items, lost: 0, bytes: QUEUE_BYTES }
    }

    #[test]
    fn a_disk_that_stands_still_is_waited_for_a_few_times_only() {
        let queue = Queue::default();
        for _ in 0..40 {
            queue.push(too_large(vec![spoke()]));
        }
        let waiting = queue.waiting.lock();
        assert_eq!(waiting.patience(), Duration::ZERO);
        assert_eq!(waiting.batches.iter().map(|batch| batch.lost).sum::<u64>(), 39);
    }

    #[test]
    fn what_is_observed_weighs_what_is_in_it() {
        let entries = Arc::new(json!({ "key": ["x".repeat(10_000)] }));
        let what = What::Snapshot { room: RoomId(0), version: 1, entries };
        let seen = Observation { at: Time(0), client: ClientId(0), what };
        assert!(weight_of(&seen) > 10_000);
    }

    /// What led to a finding may be among what was lost: from there on nothing is judged again.
    #[test]
    fn what_was_found_in_a_part_that_is_lost_is_not_missed_in_the_log() {
        let checks = ChecksPlan {
            delivery: Delivery::ExactlyOnce,
            order: None,
            echo: None,
            membership: Level::Off,
            unknown_messages: Level::Off,
            presence: None,
            storage: false,
            heartbeat: None,
            recovery: false,
            slow: None,
            messages: true,
            manners: false,
        };
        let head = Head {
            schema_version: SCHEMA_VERSION,
            harness: String::new(),
            scenario: String::new(),
            file: String::new(),
            dialect: String::new(),
            target: String::new(),
            seed: 0,
            run: String::new(),
            checks,
            profile: Profile::default(),
            clients: vec!["alice".to_owned()],
        };
        let found = Found {
            class: Class::Loss,
            check: STEPS.to_owned(),
            detail: String::new(),
            client: None,
            room: None,
            message: None,
            at: Time(1),
        };
        let queue = Queue::default();
        queue.push(too_large(vec![spoke()]));
        queue.push(too_large(vec![spoke(), Item::Found(found), spoke()]));
        queue.close();
        let mut file = tempfile::tempfile().expect("a file");
        let kept = Writer::new(file.try_clone().expect("the same"), 1 << 20, &head).write(&queue);
        assert_eq!((kept.observations, kept.left_out), (3, 2));
        let mut text = String::new();
        file.rewind().expect("a file");
        io::Read::read_to_string(&mut file, &mut text).expect("a log");
        let again = recheck(Cursor::new(text)).expect("a log");
        assert!(matches!(again.wholeness, Wholeness::Sparse(_)), "{:?}", again.wholeness);
        assert_eq!(again.differences_so_far(), []);
    }
}
