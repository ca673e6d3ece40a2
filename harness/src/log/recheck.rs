//! Runs the checks over a log: the same ones, over the same observations, in the same order.

use std::io::BufRead;

use super::{Found, Head, Holds, Last, Line, Note, Reader, Unreadable};
use crate::check::{CheckResult, Finding, Judge};
use crate::observe::{ClientId, Time, What};

/// How much of a run a log has.
#[derive(Clone, Debug, PartialEq)]
pub enum Wholeness {
    /// All of it.
    Whole,
    /// All of it up to a place, and then only what concerns findings: why.
    Sparse(String),
    /// It was not written to its end.
    Cut,
}

/// What a log says of its run, and what judging it again came to.
#[derive(Clone, Debug)]
pub struct Rechecked {
    /// What the run was.
    pub head: Head,
    /// How much of it the log has.
    pub wholeness: Wholeness,
    /// What the run itself came to, where the log has its end.
    pub last: Option<(Last, Holds)>,
    /// What the run itself found, as far as the log is whole.
    pub told: Vec<Found>,
    /// What the checks say now. Without the end of the run they say nothing.
    pub results: Vec<CheckResult>,
    /// What they find now, the first of it in words.
    pub found: Vec<Finding>,
    /// How many findings there are now.
    pub total: u64,
    /// How many observations were judged again.
    pub judged: u64,
    /// The time of the last of them.
    pub at: Time,
    rooms: Vec<String>,
    /// By voice, who speaks and how often he has.
    voices: Vec<(ClientId, u32)>,
}

/// Judges a log again.
///
/// # Errors
/// It is no log, of another version, or broken.
pub fn recheck(input: impl BufRead) -> Result<Rechecked, Unreadable> {
    let mut reader = Reader::new(input)?;
    let head = reader.head().clone();
    let mut judge = Judge::new(&head.checks, head.profile, head.clients.len());
    let mut again = Rechecked {
        head,
        wholeness: Wholeness::Cut,
        last: None,
        told: Vec::new(),
        results: Vec::new(),
        found: Vec::new(),
        total: 0,
        judged: 0,
        at: Time(0),
        rooms: Vec::new(),
        voices: Vec::new(),
    };
    let mut sparse = None;
    while let Some(line) = reader.next_line()? {
        match line {
            Line::Note(Note::Room(_, name)) => again.rooms.push(name),
            Line::Note(Note::Sparse { why }) => sparse = Some(why),
            Line::Note(Note::End { last, holds }) => {
                again.last = Some((last, holds));
                if sparse.is_none() {
                    again.wholeness = Wholeness::Whole;
                }
            }
            _ if sparse.is_some() => {}
            Line::Seen(seen) => {
                again.judged += 1;
                again.at = seen.at;
                if let What::Sending { message, .. } = seen.what {
                    let place = message.voice.0 as usize;
                    if place == again.voices.len() {
                        again.voices.push((seen.client, 0));
                    }
                    if let Some((_, said)) = again.voices.get_mut(place) {
                        *said += 1;
                    }
                }
                judge.observe(&seen);
                again.take(&judge, seen.client);
            }
            Line::Note(Note::Step(step)) => {
                let line = reader.lines();
                let unknown = || Unreadable::Line { line, fact: "a check nobody knows".to_owned() };
                judge.report(step.finding().ok_or_else(unknown)?);
                again.take(&judge, ClientId(0));
                again.told.push(step);
            }
            Line::Note(Note::Found(found)) => again.told.push(found),
        }
    }
    if let (Some((last, _)), Wholeness::Whole) = (&again.last, &again.wholeness) {
        judge.have_met(last.met);
        again.results = judge.conclude(&last.end);
        again.take(&judge, ClientId(0));
    }
    if let Some(why) = sparse {
        again.wholeness = Wholeness::Sparse(why);
    }
    again.total = judge.findings().total();
    Ok(again)
}

impl Rechecked {
    /// Takes over what the judge has found since. What names nobody is of whom the run was told last.
    fn take(&mut self, judge: &Judge, client: ClientId) {
        let kept = judge.findings().kept();
        for finding in kept.iter().skip(self.found.len()) {
            let client = Some(finding.client.unwrap_or(client));
            self.found.push(Finding { client, ..finding.clone() });
        }
    }

    /// A finding with the names of what it is about, as reports have it.
    pub(super) fn named(&self, finding: &Finding) -> Finding {
        let mut finding = finding.clone();
        let sender = finding.message.and_then(|message| {
            let (client, said) = self.voices.get(message.voice.0 as usize)?;
            let name = self.head.clients.get(client.0 as usize)?;
            (message.seq < *said).then_some((message.seq, name))
        });
        if let Some((seq, sender)) = sender {
            finding.name_message(seq, sender);
        }
        finding
    }

    /// The name of a finding's client.
    pub(super) fn client(&self, finding: &Finding) -> Option<&str> {
        let client = finding.client?;
        self.head.clients.get(client.0 as usize).map(String::as_str)
    }

    /// The name of a finding's room.
    pub(super) fn room(&self, finding: &Finding) -> Option<&str> {
        let room = finding.room?;
        self.rooms.get(room.0 as usize).map(String::as_str)
    }
}
