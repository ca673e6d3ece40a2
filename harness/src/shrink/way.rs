//! In which way a scenario failed: what a smaller one must do, too.

use super::size::action;
use super::tree::Tree;
use crate::check::{NUMBERING, STEPS};
use crate::latency::Held;
use crate::scenario::tree::{Kind, Node, parse};
use crate::summary::{Summary, Witness};
use crate::verdict::Verdict;

/// What stands for the check where a limit was not kept.
const LIMITS: &str = "thresholds";

/// The way in which a run failed: what was found first.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Way {
    /// The check that found it; `steps` for a step, `thresholds` for a limit.
    pub check: String,
    /// Its class; of a limit, what it is a limit of.
    pub class: String,
    /// Of a step: who did what.
    pub step: Option<String>,
    /// What happened, in a sentence.
    pub detail: String,
}

impl Way {
    /// The way in which a run of this text failed; none: it did not.
    pub fn of(summary: &Summary, text: &str) -> Option<Self> {
        let first = summary.witnesses.iter().min_by_key(|witness| witness.finding.at);
        // Of what came first, the check that holds whatever the scenario does and the server counts.
        let class = first.map(|first| first.finding.class);
        let same = |witness: &&Witness| Some(witness.finding.class) == class;
        let others = [STEPS, NUMBERING];
        let sound = |witness: &&Witness| !others.contains(&witness.finding.check);
        let sound = summary.witnesses.iter().filter(same).find(sound);
        if let Some(witness) = sound.or(first) {
            let finding = &witness.finding;
            return Some(Self {
                check: finding.check.to_owned(),
                class: finding.class.as_str().to_owned(),
                step: step_of(witness, text),
                detail: finding.detail.clone(),
            });
        }
        let held = summary.thresholds.iter().find(|held| held.verdict == Verdict::Failed)?;
        Some(Self {
            check: LIMITS.to_owned(),
            class: limit_of(held),
            step: None,
            detail: crate::report::words::limit(held),
        })
    }

    /// What happened, if a run of this text failed in this way, too.
    pub fn found_in(&self, summary: &Summary, text: &str) -> Option<String> {
        if self.check == LIMITS {
            let same =
                |held: &&Held| held.verdict == Verdict::Failed && limit_of(held) == self.class;
            return summary.thresholds.iter().find(same).map(crate::report::words::limit);
        }
        let mut witnesses = summary.witnesses.iter().filter(|witness| {
            let finding = &witness.finding;
            finding.check == self.check
                && finding.class.as_str() == self.class
                && step_of(witness, text) == self.step
        });
        witnesses.next().map(|witness| witness.finding.detail.clone())
    }

    /// What a step waits for in vain may be what was taken away: then it fails at any server.
    pub fn needs_control(&self) -> bool {
        self.check == STEPS
    }
}

impl std::fmt::Display for Way {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.check, self.class)
    }
}

/// What a limit is a limit of.
fn limit_of(held: &Held) -> String {
    format!("{} {}", held.metric.as_str(), held.stat)
}

/// The step that a finding is about, as `alice expect`: its place is another in each candidate.
fn step_of(witness: &Witness, text: &str) -> Option<String> {
    if witness.finding.check != STEPS {
        return None;
    }
    let line = witness.finding.detail.strip_prefix("line ")?.split(':').next()?.parse().ok()?;
    let root = parse(text).ok()?;
    let mut deepest = None;
    find(&root, line, None, &mut deepest);
    deepest
}

/// The innermost step that begins on this line, or the last that began before it.
fn find(node: &Node, line: usize, around: Option<&str>, found: &mut Option<String>) {
    let mut around = around;
    if let Kind::Map(entries) = &node.kind {
        let value = |wanted: &str| {
            let entry = entries.iter().find(|(key, _)| text_of(key) == Some(wanted));
            entry.and_then(|(_, value)| text_of(value))
        };
        around = value("as").or(around);
        let flat =
            entries.iter().filter_map(|(key, _)| Some((text_of(key)?.to_owned(), Tree::nothing())));
        let flat = Tree::Map(flat.collect());
        if let Some(action) = action(&flat).filter(|_| node.place.line == line) {
            *found = Some(format!("{} {action}", around.unwrap_or("-")));
        }
        entries.iter().for_each(|(_, value)| find(value, line, around, found));
    }
    if let Kind::List(items) = &node.kind {
        items.iter().for_each(|item| find(item, line, around, found));
    }
}

fn text_of(node: &Node) -> Option<&str> {
    match &node.kind {
        Kind::Text(text) => Some(text),
        _ => None,
    }
}
