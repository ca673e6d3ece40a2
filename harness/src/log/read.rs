//! Reads a log, and believes nothing that a run could not have written.

use std::io::{self, BufRead, Read as _};

use serde::Deserialize;
use serde_json::Value;

use super::{Head, Note, SCHEMA_VERSION, Sum, line};
use crate::observe::{MessageId, Observation, RoomId, What};

/// The longest line. The names of a hundred thousand clients are far below it.
const LINE_MAX: u64 = 64 << 20;

/// Why a log cannot be judged.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    /// It cannot be read at all.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// It is something else.
    #[error("this is no log of a run: its first line {0}")]
    NoLog(String),
    /// It is of another version.
    #[error(
        "its schema_version is {found}, and this harness (version {}) reads {SCHEMA_VERSION}: judge it \
         with the harness that wrote it{}", env!("CARGO_PKG_VERSION"), by(.writer)
    )]
    Version {
        /// Which.
        found: u64,
        /// The version of the harness that wrote it, if it says so.
        writer: Option<String>,
    },
    /// A line is not what a run writes.
    #[error("line {line}: {fact}")]
    Line {
        /// Which, from 1.
        line: u64,
        /// What is wrong with it.
        fact: String,
    },
}

fn by(writer: &Option<String>) -> String {
    writer.as_ref().map(|version| format!(" (version {version})")).unwrap_or_default()
}

/// A line of a log.
#[derive(Clone, Debug, PartialEq)]
pub enum Line {
    /// What a client did or saw.
    Seen(Observation),
    /// Anything else.
    Note(Note),
}

/// The lines of a log, one after the other.
#[derive(Debug)]
pub struct Reader<R> {
    input: R,
    head: Head,
    lines: u64,
    sum: Sum,
    known: Known,
    over: bool,
}

/// What was told so far: nothing else can be spoken of.
#[derive(Debug, Default)]
struct Known {
    clients: usize,
    /// By room, how many messages were sent there.
    rooms: Vec<u32>,
    /// By voice, how many messages it has sent.
    voices: Vec<u32>,
    /// Lines are missing, so what they told is, too.
    sparse: bool,
}

/// What every version has.
#[derive(Deserialize)]
struct AnyHead {
    schema_version: u64,
    harness: Option<String>,
}

impl<R: BufRead> Reader<R> {
    /// Reads the first line.
    ///
    /// # Errors
    /// It is no log, or one of another version.
    pub fn new(mut input: R) -> Result<Self, Unreadable> {
        let mut sum = Sum::default();
        let text = read_line(&mut input)?;
        let text = text.ok_or_else(|| Unreadable::NoLog("is not there".to_owned()))?;
        sum.add(&text);
        let odd = |error: serde_json::Error| Unreadable::NoLog(format!("is not its head: {error}"));
        let any: AnyHead = serde_json::from_slice(&text).map_err(odd)?;
        if any.schema_version != u64::from(SCHEMA_VERSION) {
            return Err(Unreadable::Version { found: any.schema_version, writer: any.harness });
        }
        let head: Head = serde_json::from_slice(&text).map_err(odd)?;
        let known = Known { clients: head.clients.len(), ..Known::default() };
        Ok(Self { input, head, lines: 1, sum, known, over: false })
    }

    /// What was known before the run.
    pub fn head(&self) -> &Head {
        &self.head
    }

    /// Lines read so far.
    pub fn lines(&self) -> u64 {
        self.lines
    }

    /// The next line; none where the file ends. A line without an end is one that was not written to
    /// its end: it counts as not there.
    ///
    /// # Errors
    /// It is no line of a log, or speaks of what was not told, or the lines do not add up.
    pub fn next_line(&mut self) -> Result<Option<Line>, Unreadable> {
        let Some(text) = read_line(&mut self.input)? else { return Ok(None) };
        let line = self.lines + 1;
        let wrong = |fact: String| Unreadable::Line { line, fact };
        if self.over {
            return Err(wrong("something follows the end".to_owned()));
        }
        let read = match text.first() {
            Some(b'[') => serde_json::from_slice::<Value>(&text)
                .map_err(|error| error.to_string())
                .and_then(|value| line::take(&value).ok_or_else(|| "no observation".to_owned()))
                .map(Line::Seen),
            _ => serde_json::from_slice(&text).map(Line::Note).map_err(|error| error.to_string()),
        };
        let read = read.map_err(wrong)?;
        match &read {
            Line::Seen(seen) => self.known.observe(seen).map_err(wrong)?,
            Line::Note(note) => self.note(note).map_err(wrong)?,
        }
        self.lines = line;
        self.sum.add(&text);
        Ok(Some(read))
    }

    fn note(&mut self, note: &Note) -> Result<(), String> {
        match note {
            Note::Room(number, _) if *number as usize != self.known.rooms.len() => {
                Err("rooms are not numbered one by one".to_owned())
            }
            Note::Room(..) => {
                self.known.rooms.push(0);
                Ok(())
            }
            Note::Sparse { .. } => {
                self.known.sparse = true;
                Ok(())
            }
            Note::End { last, holds } => {
                self.over = true;
                let adds_up = holds.lines == self.lines && holds.sum == self.sum.with(last, holds);
                adds_up.then_some(()).ok_or_else(|| "the lines before it do not add up".to_owned())
            }
            Note::Found(_) | Note::Step(_) => Ok(()),
        }
    }
}

impl Known {
    /// Whether all that is spoken of is known: the checks may count on it.
    fn observe(&mut self, seen: &Observation) -> Result<(), String> {
        if seen.client.0 as usize >= self.clients {
            return Err(format!("there is no client {}", seen.client.0));
        }
        let (room, message) = spoken_of(&seen.what);
        if let Some(RoomId(room)) = room.filter(|room| room.0 as usize >= self.rooms.len()) {
            return Err(format!("there is no room {room}"));
        }
        if self.sparse {
            return Ok(());
        }
        self.count(&seen.what)?;
        let Some(MessageId { voice, seq }) = message else { return Ok(()) };
        let unknown = || format!("there is no message {seq} of voice {}", voice.0);
        let place = voice.0 as usize;
        if matches!(seen.what, What::Sending { .. }) {
            if place == self.voices.len() {
                self.voices.push(0);
            }
            let sent = self.voices.get_mut(place).filter(|sent| **sent == seq);
            *sent.ok_or_else(unknown)? += 1;
            return Ok(());
        }
        self.voices.get(place).filter(|sent| **sent > seq).map(|_| ()).ok_or_else(unknown)
    }
}

impl Known {
    /// Whether messages are counted in their rooms as they were sent: the checks keep each by its number.
    fn count(&mut self, what: &What) -> Result<(), String> {
        let (room, number, is_new) = match what {
            What::Sending { room, ticket, .. } => (*room, *ticket, true),
            What::Entered(entry) => (entry.room, entry.tickets, false),
            _ => return Ok(()),
        };
        let Some(sent) = self.rooms.get_mut(room.0 as usize) else { return Ok(()) };
        let known = if is_new { number == *sent } else { number <= *sent };
        *sent += u32::from(is_new);
        known.then_some(()).ok_or_else(|| format!("room {} has not had {number} messages", room.0))
    }
}

/// The room and the message that an observation is about.
fn spoken_of(what: &What) -> (Option<RoomId>, Option<MessageId>) {
    match what {
        What::Sending { message, room, .. } => (Some(*room), Some(*message)),
        // A server may come with messages that nobody sent.
        What::Received { room, .. } => (*room, None),
        What::Sent { message } | What::Acked { message, .. } | What::Rejected { message, .. } => {
            (None, Some(*message))
        }
        What::Joining { room, .. } | What::Refused { room, .. } | What::Stray { room, .. } => {
            (*room, None)
        }
        What::Entered(entry) => (Some(entry.room), None),
        What::Leaving { room }
        | What::Exited { room }
        | What::Joined { room, .. }
        | What::Renamed { room, .. }
        | What::Left { room, .. }
        | What::PresenceSending { room, .. }
        | What::PresenceAcked { room }
        | What::Presence { room, .. }
        | What::Storing { room, .. }
        | What::StoreAcked { room, .. }
        | What::StoreRefused { room, .. }
        | What::Stored { room, .. }
        | What::Snapshot { room, .. } => (Some(*room), None),
        _ => (None, None),
    }
}

/// A line with its end; none where there is none any more.
fn read_line(input: &mut impl BufRead) -> io::Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    input.by_ref().take(LINE_MAX).read_until(b'\n', &mut line)?;
    if line.len() as u64 >= LINE_MAX {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "a line is too long"));
    }
    Ok((line.last() == Some(&b'\n')).then_some(line))
}
