//! A rule in force: which frames it is about, and whose turn it is.

use std::collections::{BTreeMap, BTreeSet};

use super::meaning::Meaning;
use super::rule::{Rule, Way};
use super::who::{ConnId, Who};
use crate::dialect::pattern::Pattern;
use crate::plan::mix;

/// A rule in force.
#[derive(Debug)]
pub(super) struct Active {
    pub(super) rule: Rule,
    pub(super) pattern: Option<Pattern>,
    pub(super) story: usize,
    pub(super) seen: u64,
    pub(super) drawn: u64,
    /// How many chances each client has had.
    pub(super) chances: BTreeMap<(u64, Way), u64>,
    /// The connections on which it took effect, where it does so once.
    pub(super) affected: BTreeSet<ConnId>,
}

impl Active {
    /// Whether it can never do anything again.
    pub(super) fn is_spent(&self) -> bool {
        self.rule.when.times.is_some_and(|times| self.drawn >= times)
    }

    /// Whether it is about such a frame.
    pub(super) fn concerns(
        &self,
        way: Way,
        id: ConnId,
        who: &Who,
        opcode: u8,
        meaning: &Meaning,
    ) -> bool {
        let when = &self.rule.when;
        when.to.is_none_or(|to| to == way)
            && self.rule.opcodes() & 1 << (opcode & 15) != 0
            && who.is_among(id, &when.at)
            && when.event.is_none_or(|told| meaning.says(told))
            && self.pattern.as_ref().is_none_or(|pattern| {
                meaning.value().is_some_and(|value| pattern.matched(value).is_some())
            })
    }

    /// Whether it is this frame's turn.
    pub(super) fn draws(&mut self, seed: u64, key: u64, way: Way) -> bool {
        self.seen += 1;
        if self.seen <= self.rule.when.after || self.is_spent() {
            return false;
        }
        if let Some(chance) = self.rule.when.rate {
            let nth = self.chances.entry((key, way)).or_default();
            *nth += 1;
            let direction = u64::from(way == Way::ToClient);
            let drawn = mix(mix(seed ^ self.story as u64) ^ key ^ mix(2 * *nth + direction));
            if drawn % chance.among >= chance.of {
                return false;
            }
        }
        self.drawn += 1;
        true
    }
}
