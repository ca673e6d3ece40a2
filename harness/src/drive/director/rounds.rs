//! What the rounds of a `repeat` leave behind: each begins without what the one before has captured,
//! or its patterns would ask for the same values again.

use std::collections::{BTreeMap, BTreeSet};

use super::{Director, Scope};
use crate::dialect::pattern;
use crate::observe::ClientId;
use crate::plan::{Action, FramesPattern, Step};

/// The names that clients had captured when a `repeat` began.
pub(super) type Known = BTreeMap<ClientId, BTreeSet<String>>;

impl Director<'_> {
    /// What the clients that act here have captured so far.
    pub(super) fn captured(&self, scope: Scope) -> Known {
        let stage = self.shared.lock();
        let acting = stage.clients.iter().filter(|it| scope.only.is_none_or(|only| only == it.id));
        acting.map(|it| (it.id, it.all_captured().keys().cloned().collect())).collect()
    }

    /// Forgets what these steps have captured beyond what was known before.
    pub(super) fn forget(&self, steps: &[Step], known: &Known) {
        let mut names: BTreeMap<usize, BTreeSet<String>> = BTreeMap::new();
        captures(steps, None, &mut names);
        let mut stage = self.shared.lock();
        for (id, known) in known {
            let group = self.plan.clients.get(id.0 as usize).map_or(0, |client| client.group);
            let (Some(names), Some((client, _))) = (names.get(&group), stage.client(*id)) else {
                continue;
            };
            names.difference(known).for_each(|name| client.forget(name));
        }
    }
}

/// The names that steps capture with patterns, by group.
fn captures(steps: &[Step], around: Option<usize>, names: &mut BTreeMap<usize, BTreeSet<String>>) {
    for step in steps {
        let who = step.who.or(around);
        let patterns: Vec<&serde_json::Value> = match &step.action {
            Action::Expect(expect) => match &expect.frames {
                Some(FramesPattern::Some(pattern, _) | FramesPattern::Next(pattern)) => {
                    vec![pattern]
                }
                Some(FramesPattern::InOrder(patterns)) => patterns.iter().collect(),
                None => Vec::new(),
            },
            Action::Http(exchange) => {
                let answer = &exchange.answer;
                let headers = answer.headers.iter().map(|(_, pattern)| pattern);
                headers.chain(&answer.json).chain(&answer.body).collect()
            }
            Action::Each(steps) | Action::Together(steps) | Action::Repeat { steps, .. } => {
                captures(steps, who, names);
                Vec::new()
            }
            _ => Vec::new(),
        };
        if let Some(who) = who {
            let names = names.entry(who).or_default();
            names.extend(patterns.into_iter().flat_map(pattern::captures));
        }
    }
}
