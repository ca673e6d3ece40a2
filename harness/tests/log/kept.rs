//! Logs on disk, as a run writes them.

use std::fs::File;
use std::io::{BufReader, Cursor};
use std::path::PathBuf;

use harness::check::{End, Judge, Profile};
use harness::log::{
    Found, Head, Judged, Kept, Last, Line, Reader, Rechecked, Recorder, SCHEMA_VERSION, Unreadable,
    recheck,
};
use harness::observe::{ClientId, Observation, Time};
use harness::plan::ChecksPlan;
use tempfile::TempDir;

/// More than any of these logs needs.
pub(crate) const PLENTY: u64 = 1 << 30;

/// A log that was written.
pub(crate) struct Logged {
    pub(crate) kept: Kept,
    pub(crate) text: Vec<u8>,
}

/// A log's first line for so many clients.
pub(crate) fn head(checks: &ChecksPlan, profile: Profile, clients: usize) -> Head {
    Head {
        schema_version: SCHEMA_VERSION,
        harness: "0".to_owned(),
        scenario: "a history".to_owned(),
        file: "a test".to_owned(),
        dialect: "none".to_owned(),
        target: String::new(),
        seed: 7,
        run: "abc".to_owned(),
        checks: checks.clone(),
        profile,
        clients: (0..clients).map(|n| format!("client-{n}")).collect(),
    }
}

/// Where a log is written.
pub(crate) struct Page {
    directory: TempDir,
}

impl Page {
    pub(crate) fn new() -> Self {
        Self { directory: tempfile::tempdir().expect("a directory") }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.directory.path().join("log.ndjson")
    }

    pub(crate) fn begin(&self, bytes: u64, head: &Head) -> Recorder {
        let file = File::create(self.path()).expect("a file");
        Recorder::start(file, bytes, head).expect("a thread")
    }

    pub(crate) fn text(&self) -> Vec<u8> {
        std::fs::read(self.path()).expect("the log")
    }
}

/// Judges a history as the books of a run do, and logs it.
pub(crate) fn judged(
    history: &[Observation],
    rooms: u32,
    (head, end): (&Head, End),
    bytes: u64,
) -> Logged {
    let page = Page::new();
    let mut recorder = page.begin(bytes, head);
    (0..rooms).for_each(|room| recorder.room(room, &format!("room-{room}")));
    let mut judge = Judge::new(&head.checks, head.profile, head.clients.len());
    let mut told = 0;
    let mut tell = |judge: &Judge, recorder: &mut Recorder, client: ClientId| {
        let kept = judge.findings().kept();
        for finding in kept.iter().skip(told) {
            let client = Some(finding.client.unwrap_or(client));
            recorder.found(Found { client, ..Found::of(finding) });
        }
        told = kept.len();
    };
    for seen in history {
        judge.observe(seen);
        recorder.seen(seen.clone());
        tell(&judge, &mut recorder, seen.client);
    }
    let results = judge.conclude(&end);
    tell(&judge, &mut recorder, ClientId(0));
    let checks = results.iter().map(Judged::of).collect();
    let kept = recorder.end(Last { end, met: 0, hidden: 0, checks });
    Logged { kept, text: page.text() }
}

/// The end of a run in which everything has come that could.
pub(crate) fn settled(history: &[Observation]) -> End {
    let at = history.last().map_or(Time(0), |seen| seen.at);
    End { at, settled: true, ..End::default() }
}

pub(crate) fn read(text: &[u8]) -> Result<Vec<Line>, Unreadable> {
    let mut reader = Reader::new(BufReader::new(Cursor::new(text)))?;
    let mut lines = Vec::new();
    while let Some(line) = reader.next_line()? {
        lines.push(line);
    }
    Ok(lines)
}

pub(crate) fn again(text: &[u8]) -> Result<Rechecked, Unreadable> {
    recheck(Cursor::new(text))
}
