//! How large a scenario is, in words that one compares.

use std::fmt;
use std::time::Duration;

use super::tree::Tree;
use crate::report::words::counted;
use crate::scenario::ACTIONS;
use crate::scenario::units::{Length, Rate};

/// How large a scenario is.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Size {
    /// Clients, all groups together.
    pub clients: u64,
    /// Messages that are said, as far as the file tells.
    pub messages: u64,
    /// Steps, those inside others too.
    pub steps: u64,
}

impl Size {
    /// The size of a scenario.
    pub fn of(tree: &Tree) -> Self {
        let groups = tree.get("clients").map(Tree::entries).unwrap_or_default();
        let clients = groups.iter().map(|(_, group)| members(group)).sum();
        let mut size = Self { clients, ..Self::default() };
        if let Some(steps) = tree.get("steps") {
            size.add(tree, steps, None, 1);
        }
        size
    }

    fn add(&mut self, tree: &Tree, steps: &Tree, around: Option<&str>, times: u64) {
        for step in steps.items() {
            let who = step.get("as").and_then(Tree::word).or(around);
            self.steps += u64::from(action(step).is_some());
            if step.get("say").is_some() && step.get("every").is_none() {
                self.messages += times * who.map_or(1, |who| of_group(tree, who));
            }
            for inner in ["together", "each"].into_iter().filter_map(|key| step.get(key)) {
                self.add(tree, inner, who, times);
            }
            if let Some(repeat) = step.get("repeat") {
                let rounds = repeat.get("times").and_then(Tree::whole).unwrap_or(1);
                if let Some(inner) = repeat.get("steps") {
                    self.add(tree, inner, who, times.saturating_mul(rounds));
                }
            }
            if let Some(phase) = step.get("phase") {
                self.messages += times * said_in(phase);
                if let Some(run) = phase.get("run") {
                    self.add(tree, run, who, times);
                }
            }
        }
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { clients, messages, steps } = *self;
        let (clients, steps) = (counted(clients, "client"), counted(steps, "step"));
        write!(f, "{clients}, {}, {steps}", counted(messages, "message"))
    }
}

/// The action of a step.
pub(super) fn action(step: &Tree) -> Option<&str> {
    step.entries().iter().map(|(key, _)| key.as_str()).find(|key| ACTIONS.contains(key))
}

/// How many clients a group has.
pub(super) fn members(group: &Tree) -> u64 {
    group.get("clients").and_then(Tree::whole).unwrap_or(1)
}

/// How many clients the group of this name has.
pub(super) fn of_group(tree: &Tree, name: &str) -> u64 {
    tree.get("clients").and_then(|groups| groups.get(name)).map_or(1, members)
}

/// How many messages are said in a phase.
fn said_in(phase: &Tree) -> u64 {
    let span = phase.get("for").and_then(length).unwrap_or_default();
    let streams = phase.get("run").map(Tree::items).unwrap_or_default();
    streams.iter().filter(|stream| stream.get("say").is_some()).map(|it| turns(it, span)).sum()
}

/// How often a stream acts in a phase of this length.
pub(super) fn turns(stream: &Tree, span: Duration) -> u64 {
    let rate = stream.get("every").and_then(Tree::word).and_then(|rate| rate.parse::<Rate>().ok());
    let turns = rate.map_or(0.0, |rate| rate.0 * span.as_secs_f64()).ceil();
    if turns >= 0.0 { turns.min(1e12) as u64 } else { 0 }
}

/// A length of time that does not hang on the server's timers.
pub(super) fn length(tree: &Tree) -> Option<Duration> {
    tree.word()?.parse::<Length>().ok().map(|length| length.0)
}
