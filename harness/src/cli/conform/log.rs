//! The log of a suite: kept for the reports, and written line by line while the suite runs.

use std::fs::File;
use std::io::Write as _;
use std::time::Instant;

use parking_lot::Mutex;

use crate::cli::progress;
use crate::conform::event::Event;
use crate::conform::outcome::Outcome;

/// The facts so far. Any thread may add one.
#[derive(Debug)]
pub(super) struct Log {
    inner: Mutex<Inner>,
    quiet: bool,
    planned: usize,
    begun: Instant,
}

#[derive(Debug, Default)]
struct Inner {
    events: Vec<Event>,
    file: Option<File>,
    finished: usize,
    failed: usize,
}

impl Log {
    /// An empty log for so many cases.
    pub(super) fn new(file: File, planned: usize, quiet: bool) -> Self {
        let inner = Inner { file: Some(file), ..Inner::default() };
        Self { inner: Mutex::new(inner), quiet, planned, begun: Instant::now() }
    }

    /// For how long it has been kept, in milliseconds.
    pub(super) fn at_ms(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    pub(super) fn add(&self, event: Event) {
        let mut inner = self.inner.lock();
        let line = line(&event);
        let written = inner.file.as_mut().map(|file| file.write_all(line.as_bytes()));
        if let Some(Err(error)) = written {
            // The report says so in the end; what is known is kept in memory anyway.
            tracing::warn!(%error, "events.ndjson");
            inner.file = None;
        }
        if let Event::Finished(record) = &event {
            inner.finished += 1;
            inner.failed += usize::from(matches!(record.outcome, Outcome::Fail | Outcome::Error));
            let (finished, failed) = (inner.finished, inner.failed);
            let planned = self.planned;
            progress::line(
                self.quiet,
                &format!("{finished} of {planned} cases   failed {failed}   {}", record.case),
            );
        }
        inner.events.push(event);
    }

    /// The cases that failed, and at which target.
    pub(super) fn failed(&self) -> Vec<(String, String)> {
        let inner = self.inner.lock();
        let failed = inner.events.iter().filter_map(|event| match event {
            Event::Finished(record) if record.outcome == Outcome::Fail => {
                Some((record.case.clone(), record.target.clone()))
            }
            _ => None,
        });
        failed.collect()
    }

    /// Everything that was logged, and the same as the file has it.
    pub(super) fn end(self) -> (Vec<Event>, String) {
        let events = self.inner.into_inner().events;
        let text = events.iter().map(line).collect();
        (events, text)
    }
}

fn line(event: &Event) -> String {
    serde_json::to_string(event).map_or_else(|_| String::new(), |text| text + "\n")
}
