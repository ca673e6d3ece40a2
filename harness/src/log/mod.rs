//! The log of a run: what its clients did and saw, one observation a line, in the order of the books,
//! and all that is needed to judge it again (docs/LOG.md).
//!
//! A run hands over its observations to a thread of the log's own (`recorder`, `writer`), which keeps
//! all of them up to a stated size, and then what concerns findings. `read` gives them back, `recheck`
//! runs the same checks over them.

mod against;
mod line;
mod read;
mod recheck;
mod recorder;
mod sparse;
mod writer;

use serde::{Deserialize, Serialize};

pub use self::against::{Account, Difference, Told};
pub(crate) use self::line::conceal;
pub use self::read::{Line, Reader, Unreadable};
pub use self::recheck::{Rechecked, Wholeness, recheck};
pub use self::recorder::Recorder;
pub use self::sparse::WINDOW;

use crate::check::{CheckResult, Class, End, Finding, Profile, STEPS, TABLE};
use crate::observe::{ClientId, MessageId, RoomId, Time};
use crate::plan::ChecksPlan;
use crate::verdict::Verdict;

/// The version of the format. Whatever changes in it is another: a log is judged as it was meant, or
/// not at all.
pub const SCHEMA_VERSION: u32 = 1;

/// The log's name in a report.
pub const FILE: &str = "log.ndjson";

/// The logs of cases that failed, in the report of a suite.
pub const CASES: &str = "logs";

/// The first line: what the run was, and by what it is judged.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Head {
    /// The version of the format.
    pub schema_version: u32,
    /// The version of the harness that wrote it.
    pub harness: String,
    /// The scenario's name.
    pub scenario: String,
    /// The file it came from.
    pub file: String,
    /// The dialect's name.
    pub dialect: String,
    /// The target's URL.
    pub target: String,
    /// The seed.
    pub seed: u64,
    /// The word `$run`.
    pub run: String,
    /// What is judged.
    pub checks: ChecksPlan,
    /// What the target promises.
    pub profile: Profile,
    /// The names of the clients, by their numbers.
    pub clients: Vec<String>,
}

/// A line that is no observation.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Note {
    /// The name of a room, before the first line with its number.
    Room(u32, String),
    /// The observation before led to a finding.
    Found(Found),
    /// A step of the timeline failed. The observations do not tell it: this line does.
    Step(Found),
    /// From here on the log is not whole.
    Sparse {
        /// Why.
        why: String,
    },
    /// The run is over.
    End {
        /// How the run ended, and what it came to.
        last: Last,
        /// What the log holds.
        holds: Holds,
    },
}

/// A finding, as the log has it.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Found {
    /// Its kind.
    pub class: Class,
    /// The check that found it.
    pub check: String,
    /// What exactly, in words.
    pub detail: String,
    /// Who saw it.
    pub client: Option<ClientId>,
    /// Where.
    pub room: Option<RoomId>,
    /// Which message it is about.
    pub message: Option<MessageId>,
    /// When it was seen.
    pub at: Time,
}

impl Found {
    /// The same of a run's finding.
    pub fn of(finding: &Finding) -> Self {
        let Finding { class, check, detail, client, room, message, at } = finding.clone();
        Self { class, check: check.to_owned(), detail, client, room, message, at }
    }

    /// The finding; none if no check is called so.
    pub fn finding(&self) -> Option<Finding> {
        let names = TABLE.iter().map(|rule| rule.name).chain([STEPS]);
        let check = names.into_iter().find(|name| *name == self.check)?;
        let Self { class, detail, client, room, message, at, .. } = self.clone();
        Some(Finding { class, check, detail, client, room, message, at })
    }
}

/// How a run ended, and what it came to.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Last {
    /// How it ended, as the checks must know it.
    pub end: End,
    /// Expectations of the timeline that were met.
    pub met: u64,
    /// Lines in which a secret is hidden: the run was judged by what stood there.
    pub hidden: u64,
    /// What came of the checks.
    pub checks: Vec<Judged>,
}

/// What came of a check.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Judged {
    /// Its name.
    pub name: String,
    /// What it says.
    pub verdict: Verdict,
    /// How many facts it judged.
    pub facts: u64,
    /// How many findings of each class that it raised.
    pub classes: Vec<(Class, u64)>,
}

impl Judged {
    /// The same of a check's result.
    pub fn of(result: &CheckResult) -> Self {
        let CheckResult { name, verdict, facts, ref classes } = *result;
        let classes = classes.iter().filter(|(_, n)| *n > 0).copied().collect();
        Self { name: name.to_owned(), verdict, facts, classes }
    }
}

/// What a log holds.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Holds {
    /// Lines before this one.
    pub lines: u64,
    /// Observations that the run made.
    pub observations: u64,
    /// Of these, observations that are not in the log.
    pub left_out: u64,
    /// A sum over all that stands before it, in hexadecimal digits.
    pub sum: String,
}

/// What came of a log that was written.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Kept {
    /// Its size.
    pub bytes: u64,
    /// Observations that the run made.
    pub observations: u64,
    /// Of these, observations that are not in the log.
    pub left_out: u64,
    /// Why it is not whole, if it is not.
    pub why: Option<String>,
}

/// A sum over lines. Whoever changes one changes it; nobody who wants to is kept from it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sum(u64);

impl Sum {
    pub(crate) fn add(&mut self, line: &[u8]) {
        let mut words = line.chunks_exact(8);
        for word in &mut words {
            let word = word.first_chunk::<8>().copied().unwrap_or_default();
            self.mix(u64::from_le_bytes(word));
        }
        let mut last = [0; 8];
        for (to, from) in last.iter_mut().zip(words.remainder()) {
            *to = *from;
        }
        self.mix(u64::from_le_bytes(last) ^ (line.len() as u64) << 56);
    }

    fn mix(&mut self, word: u64) {
        self.0 = (self.0.rotate_left(5) ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    /// The sum of a whole log: that over its lines, and over what its last one says.
    pub(crate) fn with(mut self, last: &Last, holds: &Holds) -> String {
        let Holds { lines, observations, left_out, .. } = holds;
        let said = serde_json::to_vec(&(last, lines, observations, left_out));
        self.add(&said.unwrap_or_default());
        format!("{:016x}", self.0)
    }
}
