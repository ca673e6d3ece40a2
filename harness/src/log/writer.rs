//! The writer's end of a log: a thread that turns items into lines and gives them to the disk.

use std::fs::File;
use std::io::{self, Write as _};

use super::line;
use super::recorder::{Batch, Item, Queue};
use super::sparse::Sparse;
use super::{Found, Head, Holds, Kept, Last, Note, Sum};
use crate::observe::Observation;

/// Lines are gathered up to here before they are written.
const CHUNK_BYTES: usize = 128 << 10;

pub(super) struct Writer {
    file: File,
    /// Lines that are not in the file yet.
    chunk: Vec<u8>,
    /// The size of the file with them.
    bytes: u64,
    /// Of the file without them.
    written: u64,
    lines: u64,
    observations: u64,
    left_out: u64,
    sum: Sum,
    whole_up_to: u64,
    /// It is not whole any more: why, and what is kept now.
    sparse: Option<(String, Sparse)>,
    /// The disk takes no more.
    failure: Option<io::Error>,
    ended: bool,
}

impl Writer {
    pub(super) fn new(file: File, whole_up_to: u64, head: &Head) -> Self {
        let mut writer = Self {
            file,
            chunk: Vec::with_capacity(CHUNK_BYTES + (4 << 10)),
            bytes: 0,
            written: 0,
            lines: 0,
            observations: 0,
            left_out: 0,
            sum: Sum::default(),
            whole_up_to,
            sparse: None,
            failure: None,
            ended: false,
        };
        writer.put(|out| json(head, out));
        writer
    }

    /// Writes until the run is over.
    pub(super) fn write(mut self, queue: &Queue) -> Kept {
        self.flush();
        while let Some(Batch { items, lost, .. }) = queue.pop() {
            // What was found among them has no observation before it.
            if lost > 0 {
                self.observations += lost;
                self.left_out += lost;
                self.be_sparse("the disk did not keep up with the run".to_owned());
            }
            items.into_iter().for_each(|item| self.item(item));
            self.flush();
        }
        self.flush();
        let why = match self.failure {
            // What is there ends with a whole line.
            Some(error) => {
                let cut = self.file.set_len(self.written);
                let how = if cut.is_ok() { "ends early" } else { "is broken" };
                Some(format!("the log {how}: {error}"))
            }
            None if !self.ended => Some("the run came to no end".to_owned()),
            None => self.sparse.map(|(why, _)| why),
        };
        let Self { bytes, observations, left_out, .. } = self;
        Kept { bytes: bytes.min(self.written), observations, left_out, why }
    }

    fn item(&mut self, item: Item) {
        match item {
            Item::Seen(seen) => self.seen(seen),
            Item::Room(number, name) => self.note(&Note::Room(number, name)),
            Item::Found(found) => {
                self.before(&found);
                self.note(&Note::Found(found));
            }
            Item::Step(found) => {
                self.before(&found);
                self.note(&Note::Step(found));
            }
            Item::End(last) => self.end(last),
        }
    }

    fn seen(&mut self, seen: Observation) {
        self.observations += 1;
        let Some((_, sparse)) = &mut self.sparse else {
            self.put(|out| line::put(&seen, out));
            if self.bytes > self.whole_up_to {
                self.be_sparse(format!("it is kept whole up to {} bytes", self.whole_up_to));
            }
            return;
        };
        match sparse.seen(seen) {
            Some(line) => self.put(|out| out.extend_from_slice(&line)),
            None => self.left_out += 1,
        }
    }

    /// Something was found: what was seen before it and was not written.
    fn before(&mut self, found: &Found) {
        let before = self.sparse.as_mut().map(|(_, sparse)| sparse.found(found));
        for line in before.into_iter().flatten() {
            self.left_out -= 1;
            self.put(|out| out.extend_from_slice(&line));
        }
    }

    fn be_sparse(&mut self, why: String) {
        if self.sparse.is_none() {
            self.note(&Note::Sparse { why: why.clone() });
            self.sparse = Some((why, Sparse::after(self.whole_up_to)));
        }
    }

    fn note(&mut self, note: &Note) {
        self.put(|out| json(note, out));
    }

    fn end(&mut self, last: Last) {
        let mut holds = Holds {
            lines: self.lines,
            observations: self.observations,
            left_out: self.left_out,
            sum: String::new(),
        };
        holds.sum = self.sum.with(&last, &holds);
        self.note(&Note::End { last, holds });
        self.ended = true;
    }

    /// Adds a line.
    fn put(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        let before = self.chunk.len();
        write(&mut self.chunk);
        let line = self.chunk.get(before..).unwrap_or_default();
        self.sum.add(line);
        self.lines += 1;
        self.bytes += line.len() as u64;
        if self.chunk.len() >= CHUNK_BYTES {
            self.flush();
        }
    }

    /// Gives what was gathered to the disk. After the first failure nothing is written any more.
    fn flush(&mut self) {
        if self.failure.is_none() {
            match self.file.write_all(&self.chunk) {
                Ok(()) => self.written = self.bytes,
                Err(error) => self.failure = Some(error),
            }
        }
        self.chunk.clear();
    }
}

/// A line of JSON.
fn json(value: &impl serde::Serialize, out: &mut Vec<u8>) {
    serde_json::to_writer(&mut *out, value).expect("it is JSON, and a Vec takes everything");
    out.push(b'\n');
}
