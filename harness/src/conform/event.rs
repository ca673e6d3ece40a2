//! The log of a suite, one fact a line (`events.ndjson`): everything that any report shows is in it.

use serde::{Deserialize, Serialize};

use super::baseline::Waiver;
use super::outcome::{Ended, Outcome, Traffic};
use super::requirement::Level;
use crate::report::words;
use crate::summary::{Direction, Witness};

/// The version of the format.
pub const SCHEMA_VERSION: u32 = 1;

/// Findings of a case that are kept with what went over the wire.
const SEEN_MAX: usize = 5;
/// Characters of a frame.
const FRAME_MAX: usize = 240;

/// One fact.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// The suite begins.
    Suite(Box<Opening>),
    /// Something about a target: it was reached, it died, it is back, it is gone.
    Target {
        /// When, in milliseconds since the suite began.
        at_ms: u64,
        /// Its name.
        target: String,
        /// What.
        what: String,
    },
    /// A case was not run: it is about other servers, nobody asked for it, or the signal came first.
    LeftOut(LeftOut),
    /// A case has begun.
    Started {
        /// When, in milliseconds since the suite began.
        at_ms: u64,
        /// Its id.
        case: String,
        /// The target's name.
        target: String,
        /// The how manieth try.
        attempt: u32,
    },
    /// A try of a case says nothing: it is made once more, alone.
    Again {
        /// Its id.
        case: String,
        /// The target's name.
        target: String,
        /// Why.
        why: String,
    },
    /// A case has come to its end.
    Finished(Box<Record>),
    /// The suite has ended.
    Over {
        /// How long it took, in seconds.
        duration_s: f64,
        /// The number of the signal that ended it early.
        signal: Option<i32>,
    },
}

/// What is known before the first case.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Opening {
    /// The version of the log's format.
    pub schema_version: u32,
    /// When it began, RFC 3339 in UTC.
    pub started: String,
    /// The day of that, by which baselines are judged.
    pub today: String,
    /// The seed of all cases.
    pub seed: u64,
    /// A SHOULD that is not met fails the suite.
    pub strict: bool,
    /// What is known not to pass.
    pub baseline: Vec<Waiver>,
    /// Who is judged.
    pub subjects: Vec<Subject>,
    /// By what.
    pub requirements: Vec<Asked>,
}

/// One server, and the one dialect that it speaks here.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Subject {
    /// The target's name.
    pub target: String,
    /// Its URL; empty: a reference server of the harness's own.
    pub url: String,
    /// How it talks.
    pub dialect: String,
    /// The profile by which it is judged.
    pub profile: String,
    /// The command that judges it by one case, but for the case and the seed.
    pub again: String,
}

/// A requirement, as reports show it.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Asked {
    /// Its id.
    pub id: String,
    /// How much it asks; none: the id is unknown.
    pub level: Option<Level>,
    /// What it asks.
    pub text: String,
    /// Where that is written.
    pub source: String,
    /// The set it belongs to: `common` or a dialect.
    pub set: String,
    /// Why no case can show it, if that is so.
    pub untestable: Option<String>,
}

/// Why a case was not run that no pattern of the user means.
pub const NOT_SELECTED: &str = "not selected";
/// Why a case was not run to its end when the signal came.
pub const INTERRUPTED: &str = "interrupted";

/// A case that was not run.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct LeftOut {
    /// Its id.
    pub case: String,
    /// The target's name.
    pub target: String,
    /// Why.
    pub why: String,
}

/// What came of a case at a target, before the baseline is laid over it.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// Its id.
    pub case: String,
    /// What it is about.
    pub about: String,
    /// The target's name.
    pub target: String,
    /// How the target talks.
    pub dialect: String,
    /// The requirements that it shows.
    pub requires: Vec<String>,
    /// What came of it.
    pub outcome: Outcome,
    /// The class of the finding that came first.
    pub class: Option<String>,
    /// What happened, in a sentence.
    pub message: String,
    /// The seed by which the suite repeats it.
    pub seed: u64,
    /// How often it was tried.
    pub attempts: u32,
    /// How long the last try took.
    pub duration_ms: u64,
    /// The file it stands in.
    pub file: String,
    /// The line of the step that failed.
    pub line: Option<usize>,
    /// How many findings.
    pub findings: u64,
    /// Some of them, with what went over the wire.
    pub seen: Vec<Seen>,
    /// What it saw.
    pub traffic: Traffic,
    /// How connections ended, the least ordinary first.
    pub ended: Vec<Ended>,
    /// The longest time for which the harness itself stood still.
    pub stall_ms: u64,
    /// Where in the report the log of its clients lies, if it has failed.
    #[serde(default)]
    pub log: Option<String>,
}

/// A finding in words, and the frames around it.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Seen {
    /// The finding.
    pub finding: String,
    /// What went over the wire, oldest first.
    pub frames: Vec<Line>,
}

/// A frame of a transcript, or the finding in its place.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Line {
    /// When, in microseconds since the case began.
    pub at_us: u64,
    /// `out`, `in`, or `found`.
    pub way: String,
    /// The text, made harmless.
    pub text: String,
}

impl Line {
    /// The line as people read it.
    pub fn shown(&self) -> String {
        let mark = match self.way.as_str() {
            "out" => '→',
            "in" => '←',
            _ => '✗',
        };
        format!("{:>12}  {mark} {}", words::moment(self.at_us), self.text)
    }
}

/// The first findings of a run, one of each class first.
pub fn seen(witnesses: &[Witness]) -> Vec<Seen> {
    words::first_few(witnesses, SEEN_MAX).into_iter().map(told).collect()
}

fn told(witness: &Witness) -> Seen {
    let line = |at_us: u64, way: &str, text: &str| {
        let text: String = text.chars().take(FRAME_MAX).collect();
        let text = words::cut(&words::clean(&text), FRAME_MAX);
        Line { at_us, way: way.to_owned(), text }
    };
    let found = &witness.finding;
    let before = witness.frames.partition_point(|frame| frame.at <= found.at);
    let mut frames: Vec<Line> = witness
        .frames
        .iter()
        .map(|frame| {
            let way = match frame.direction {
                Direction::Out => "out",
                Direction::In => "in",
            };
            line(frame.at.0, way, &frame.text)
        })
        .collect();
    frames.insert(before, line(found.at.0, "found", found.class.as_str()));
    Seen { finding: words::finding(witness), frames }
}
