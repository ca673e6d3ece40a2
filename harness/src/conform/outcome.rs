//! What came of a case: one word for what was promised, and apart from it how connections ended.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::requirement::Level;
use crate::check::{Class, Finding, PROTOCOL, STEPS, TABLE};
use crate::dialect::Heartbeat;
use crate::latency::{Metric, STALL_LIMIT};
use crate::observe::Ending;
use crate::plan::Faults;
use crate::summary::{NOT_REACHED, StepResult, Summary, Witness};
use crate::verdict::Verdict;

/// What came of a case, or of a requirement. The order is that of gravity: of several the greatest
/// one stands for all.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// The server lacks this: its profile says so, or it cannot be set up so.
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
    (Outcome::Unsupported, "unsupported", "the server lacks it, and says so"),
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
    /// How rare faults may be that the case finds, and how many deliveries that takes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub faults: Option<Faults>,
}

/// What is said of a case.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Judged {
    /// The word.
    pub outcome: Outcome,
    /// The class of the first finding that lateness does not excuse.
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

    /// The server does not do this, and who says so.
    pub fn unsupported(message: impl Into<String>) -> Self {
        Self { outcome: Outcome::Unsupported, class: None, message: message.into() }
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

/// What a run says of a case whose gravest requirement has this level. What hangs on time is no
/// verdict when the harness itself was late (`Lateness` below); what came that must not come is one,
/// however late it was.
pub fn judge(
    summary: &Summary,
    level: Level,
    patience: Option<Duration>,
    ended: &[Ended],
) -> Judged {
    if let Some(error) = &summary.error {
        return Judged::inconclusive(error.clone());
    }
    let lateness = Lateness::of(summary, patience, ended);
    if failed(summary) {
        let standing = lateness.standing(summary);
        // Without a witness it was a step or a limit.
        let excused = match summary.witnesses.is_empty() {
            true => lateness.given_up,
            false => standing.is_empty() && lateness.unseen(summary).next().is_none(),
        };
        return if excused { lateness.judged() } else { broken(summary, level, &standing) };
    }
    if summary.interrupted.is_some() {
        return Judged::inconclusive("interrupted");
    }
    let undone = |step: &&StepResult| match step.verdict {
        Verdict::Skipped => step.message == NOT_REACHED,
        verdict => verdict != Verdict::Passed,
    };
    if let Some(step) = summary.steps.iter().find(undone) {
        return Judged::inconclusive(format!("line {} was not reached", step.line));
    }
    let open = |verdict| verdict == Verdict::Inconclusive;
    let untimely = |name| lateness.stalled && is_timed(name);
    if summary.checks.iter().any(|it| open(it.verdict) && it.facts > 0 && untimely(it.name)) {
        return lateness.judged();
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

/// What a run found that lateness does not excuse: by which check, of which class; the first first,
/// each once.
pub fn found(
    summary: &Summary,
    patience: Option<Duration>,
    ended: &[Ended],
) -> Vec<(&'static str, Class)> {
    let lateness = Lateness::of(summary, patience, ended);
    let mut standing = lateness.standing(summary);
    standing.sort_by_key(|it| it.finding.at);
    let seen = standing.iter().map(|it| (it.finding.check, it.finding.class));
    let mut found: Vec<(&'static str, Class)> = Vec::new();
    for kind in seen.chain(lateness.unseen(summary)) {
        if !found.contains(&kind) {
            found.push(kind);
        }
    }
    found
}

/// For how long the harness may stand still without any step being excused.
const STEP_STALL: Duration = Duration::from_millis(500);

/// How late the harness itself was, and what that excuses.
struct Lateness {
    stall: Duration,
    /// It stood still for so long that nothing is said of times.
    stalled: bool,
    /// It stood still for half of the time for which the step that failed waited.
    rushed: bool,
    /// It stood still for half of the time for which a right server waits for its clients - the other
    /// half may have been lost on the way, or by the server on the same busy machine -, and
    /// connections were given up.
    given_up: bool,
    /// It was late in all that it sent, and connections were cut off.
    cut_off: bool,
}

impl Lateness {
    fn of(summary: &Summary, patience: Option<Duration>, ended: &[Ended]) -> Self {
        let lag = summary.measured.value(Metric::HarnessLoopLag, "max").unwrap_or_default();
        let stall = Duration::from_micros(summary.generator.stall_us.max(lag as u64));
        let cut = ended.iter().any(|it| it.by == "server");
        let failed = summary.steps.iter().find(|step| step.verdict == Verdict::Failed);
        let waited = failed.map_or(Duration::MAX, |step| {
            Duration::try_from_secs_f64(step.seconds).unwrap_or(Duration::MAX)
        });
        Self {
            stall,
            stalled: stall > STALL_LIMIT,
            rushed: stall >= STEP_STALL && stall >= waited / 2,
            given_up: cut && patience.is_some_and(|patience| stall >= patience / 2),
            cut_off: cut && summary.late,
        }
    }

    /// The findings with their witnesses that it does not excuse.
    fn standing<'s>(&self, summary: &'s Summary) -> Vec<&'s Witness> {
        // That the server itself has ended is about no client, and comes of no lateness.
        let died =
            |it: &Finding| (it.check, it.class, it.client) == (PROTOCOL, Class::Killed, None);
        let excused = |it: &Finding| !died(it) && self.excuses((it.check, it.class));
        summary.witnesses.iter().filter(|it| !excused(&it.finding)).collect()
    }

    /// Of many findings not each is kept with its witness: the kinds that none is kept of, and that it
    /// does not excuse.
    fn unseen(&self, summary: &Summary) -> impl Iterator<Item = (&'static str, Class)> {
        let counted = summary.checks.iter().flat_map(|check| {
            let classes = check.classes.iter().filter(|(_, n)| *n > 0);
            classes.map(|(class, _)| (check.name, *class))
        });
        counted.filter(|kind| {
            let mut seen = summary.witnesses.iter().map(|it| (it.finding.check, it.finding.class));
            !seen.any(|seen| seen == *kind) && !self.excuses(*kind)
        })
    }

    /// Whether findings of a check and class may come of nothing but this.
    fn excuses(&self, (check, class): (&str, Class)) -> bool {
        if is_certain(class) {
            return false;
        }
        let timed = is_timed(check);
        let ended = matches!(class, Class::Close | Class::Killed);
        self.given_up
            || (self.stalled && timed)
            || (self.rushed && check == STEPS)
            // Who reads too slowly is cut off rightly, and we were too slow in everything.
            || (self.cut_off && (ended || timed))
    }

    fn judged(&self) -> Judged {
        if !(self.given_up || self.stalled || self.rushed) {
            return Judged::inconclusive(
                "the harness itself was late, and connections were cut off",
            );
        }
        let stall = u64::try_from(self.stall.as_micros()).unwrap_or(u64::MAX);
        let stall = crate::report::words::whole_micros(stall);
        Judged::inconclusive(format!("the harness itself stood still for {stall}"))
    }
}

/// Something came that must not have come, or came otherwise than it must: no delay and no lost
/// connection leads to that.
fn is_certain(class: Class) -> bool {
    matches!(
        class,
        Class::Duplicate
            | Class::Phantom
            | Class::Leak
            | Class::Early
            | Class::Late
            | Class::Corrupt
            | Class::Misattributed
            | Class::Reorder
            | Class::Disorder
            | Class::Causal
            | Class::Identity
    )
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

/// The verdict on what was found and is not excused.
fn broken(summary: &Summary, level: Level, standing: &[&Witness]) -> Judged {
    let outcome = match level {
        Level::Must => Outcome::Fail,
        Level::Should => Outcome::Nonstrict,
    };
    // What came first is the cause; what came later may follow from it.
    let first = standing.iter().min_by_key(|witness| witness.finding.at);
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
    /// Who began it: `server` or `client`.
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
