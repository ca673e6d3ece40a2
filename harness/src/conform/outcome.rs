//! What came of a case: one word for what was promised, and apart from it how connections ended.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::requirement::Level;
use crate::check::{Class, STEPS, TABLE};
use crate::dialect::Heartbeat;
use crate::latency::STALL_LIMIT;
use crate::observe::Ending;
use crate::summary::{Summary, Witness};
use crate::verdict::Verdict;

/// What came of a case, or of a requirement. The order is that of gravity: of several the greatest
/// one stands for all.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// The server says that it lacks this.
    Unsupported,
    /// All that was promised was kept.
    Pass,
    /// What should be was not; all that must be was.
    Nonstrict,
    /// It failed, as the baseline says.
    Xfail,
    /// Nothing can be said.
    Inconclusive,
    /// The baseline says something else: it passes now, or fails otherwise.
    Stale,
    /// A promise was broken.
    Fail,
    /// The case or the harness itself went wrong.
    Error,
}

/// Every outcome, in the order of reports, and what it means.
pub const OUTCOMES: [(Outcome, &str, &str); 8] = [
    (Outcome::Pass, "pass", "all that was promised was kept"),
    (Outcome::Nonstrict, "nonstrict", "a SHOULD is not met; every MUST is"),
    (Outcome::Fail, "fail", "a promise was broken"),
    (Outcome::Unsupported, "unsupported", "the profile says that the server lacks it"),
    (Outcome::Inconclusive, "inconclusive", "nothing can be said"),
    (Outcome::Error, "error", "the case or the harness itself went wrong"),
    (Outcome::Xfail, "xfail", "failed as the baseline expects"),
    (Outcome::Stale, "stale", "the baseline expects something else"),
];

impl Outcome {
    /// The word in reports.
    pub fn as_str(self) -> &'static str {
        OUTCOMES.iter().find(|(outcome, ..)| *outcome == self).map_or("", |(_, word, _)| word)
    }

    /// The outcome of this word.
    pub fn named(word: &str) -> Option<Self> {
        OUTCOMES.iter().find(|(_, known, _)| *known == word).map(|(outcome, ..)| *outcome)
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What a case saw.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Traffic {
    /// Copies of messages for others than their sender.
    pub deliveries: u64,
    /// Text frames.
    pub frames: u64,
    /// Frames that the dialect knows.
    pub events: u64,
}

/// What is said of a case.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Judged {
    /// The word.
    pub outcome: Outcome,
    /// The class of the finding that came first.
    pub class: Option<&'static str>,
    /// What happened, in a sentence; empty where all is well.
    pub message: String,
}

impl Judged {
    /// All is well.
    pub fn pass() -> Self {
        Self { outcome: Outcome::Pass, class: None, message: String::new() }
    }

    /// Nothing can be said, and why.
    pub fn inconclusive(message: impl Into<String>) -> Self {
        Self { outcome: Outcome::Inconclusive, class: None, message: message.into() }
    }

    /// The case or the harness went wrong, and how.
    pub fn error(message: impl Into<String>) -> Self {
        Self { outcome: Outcome::Error, class: None, message: message.into() }
    }
}

/// For how long a client of ours may stand still before a server with these timers gives it up.
pub fn patience(heartbeat: Heartbeat) -> Duration {
    match heartbeat.timeout.saturating_sub(heartbeat.every) {
        // The tick that finds no sign of life since the one before.
        Duration::ZERO => heartbeat.every,
        slack => slack,
    }
}

/// What a run says of a case whose gravest requirement has this level. A verdict that hangs on time
/// is none when the harness itself stood still for too long; nor is any, when it stood still for so
/// long that a right server had to give its clients up, and connections were given up.
pub fn judge(
    summary: &Summary,
    level: Level,
    patience: Option<Duration>,
    ended: &[Ended],
) -> Judged {
    if let Some(error) = &summary.error {
        return Judged::inconclusive(error.clone());
    }
    let stalled = u128::from(summary.generator.stall_us) > STALL_LIMIT.as_micros();
    let stood = || {
        let stall = crate::report::words::whole_micros(summary.generator.stall_us);
        Judged::inconclusive(format!("the harness itself stood still for {stall}"))
    };
    if failed(summary) {
        let all = |hangs: fn(&Witness) -> bool| summary.witnesses.iter().all(hangs);
        let stall = Duration::from_micros(summary.generator.stall_us);
        let cut = ended.iter().any(|it| it.by == "server");
        let given_up = cut && patience.is_some_and(|patience| stall >= patience);
        if given_up || (stalled && all(|witness| is_timed(witness.finding.check))) {
            return stood();
        }
        // Who reads too slowly is cut off rightly, and we were too slow in everything.
        if cut && summary.late && all(is_cut) {
            return Judged::inconclusive(
                "the harness itself was late, and connections were cut off",
            );
        }
        return broken(summary, level);
    }
    if summary.interrupted.is_some() {
        return Judged::inconclusive("interrupted");
    }
    let undone = |verdict| verdict != Verdict::Passed;
    if let Some(step) = summary.steps.iter().find(|step| undone(step.verdict)) {
        return Judged::inconclusive(format!("line {} was not reached", step.line));
    }
    let open = |verdict| verdict == Verdict::Inconclusive;
    let untimely = |name| stalled && is_timed(name);
    if summary.checks.iter().any(|it| open(it.verdict) && it.facts > 0 && untimely(it.name)) {
        return stood();
    }
    if let Some(held) = summary.thresholds.iter().find(|held| open(held.verdict)) {
        let limit = crate::report::words::limit(held);
        return Judged::inconclusive(format!("{limit}: cannot be judged"));
    }
    match &summary.too_little {
        Some(reason) => Judged::inconclusive(reason.clone()),
        None => Judged::pass(),
    }
}

fn failed(summary: &Summary) -> bool {
    let broken = |verdict: Verdict| verdict == Verdict::Failed;
    summary.findings > 0
        || summary.steps.iter().any(|step| broken(step.verdict))
        || summary.thresholds.iter().any(|held| broken(held.verdict))
}

/// Steps wait for so long and no longer; so they hang on time like the checks of timers.
fn is_timed(check: &str) -> bool {
    check == STEPS || TABLE.iter().any(|rule| rule.name == check && rule.timed)
}

/// A connection that ended without need, or what also hangs on time.
fn is_cut(witness: &Witness) -> bool {
    matches!(witness.finding.class, Class::Close | Class::Killed) || is_timed(witness.finding.check)
}

fn broken(summary: &Summary, level: Level) -> Judged {
    let outcome = match level {
        Level::Must => Outcome::Fail,
        Level::Should => Outcome::Nonstrict,
    };
    // What came first is the cause; what came later may follow from it.
    let first = summary.witnesses.iter().min_by_key(|witness| witness.finding.at);
    if let Some(witness) = first {
        let class = Some(witness.finding.class.as_str());
        return Judged { outcome, class, message: witness.finding.detail.clone() };
    }
    let step = summary.steps.iter().find(|step| step.verdict == Verdict::Failed);
    let held = summary.thresholds.iter().find(|held| held.verdict == Verdict::Failed);
    let message = match (step, held) {
        (Some(step), _) => step.message.clone(),
        (None, Some(held)) => {
            use crate::report::words;
            format!("{}: {}", words::limit(held), words::found(held))
        }
        (None, None) => format!("{} findings", summary.findings),
    };
    let counted = summary.checks.iter().flat_map(|check| &check.classes).find(|(_, n)| *n > 0);
    Judged { outcome, class: counted.map(|(class, _)| class.as_str()), message }
}

/// How connections ended: the second axis, which judges nothing.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Ended {
    /// Who began it: `server`, `client`, or `nobody` where there was no connection.
    pub by: String,
    /// The code of the server's Close frame.
    pub code: Option<u16>,
    /// A Close frame came from the server.
    pub clean: bool,
    /// How TCP ended where no Close frame came: `fin`, `rst`, or `open` for not at all.
    pub tcp: Option<String>,
    /// How many connections ended so.
    pub connections: u64,
}

/// The endings of a run as reports have them, the least ordinary first: what the server began, then
/// what had no Close frame.
pub fn ended(endings: &[(Ending, u64)]) -> Vec<Ended> {
    let mut all: Vec<Ended> = Vec::new();
    for (ending, connections) in endings {
        let tcp = match (ending.clean, &*ending.reason) {
            (true, _) => None,
            (false, reason) if reason.contains("reset") => Some("rst".to_owned()),
            (false, reason) if reason.starts_with("no answer") => Some("open".to_owned()),
            (false, _) => Some("fin".to_owned()),
        };
        let by = if ending.asked { "client" } else { "server" };
        let (code, clean) = (ending.code, ending.clean);
        let same = |it: &&mut Ended| {
            (it.by.as_str(), it.code, it.clean, &it.tcp) == (by, code, clean, &tcp)
        };
        match all.iter_mut().find(same) {
            Some(known) => known.connections += connections,
            None => {
                let (by, connections) = (by.to_owned(), *connections);
                all.push(Ended { by, code, clean, tcp, connections });
            }
        }
    }
    all.sort_by_key(|it| (it.by != "server", it.clean, it.code == Some(1000)));
    all
}
