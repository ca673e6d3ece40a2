//! What a scenario needs of a server, by what it says and by what it does.

use std::collections::BTreeSet;

use crate::dialect::{Dialect, EventKind, Verb};
use crate::plan::{Rejoin, Span, Term};
use crate::scenario::model::File;
use crate::scenario::steps::{BELOW, Membership, Step, Steps, each_step};

/// The first thing that the scenario needs and the dialect lacks, as a sentence.
pub(super) fn missing(file: &File, steps: &Steps, dialect: &Dialect) -> Option<String> {
    let needs = Needs::of(file, steps);
    let lacks = |what: &str| format!("dialect {} lacks {what}", dialect.name);
    if let Some(need) = needs.features.iter().find(|need| !dialect.has(need)) {
        return Some(lacks(need));
    }
    let event = needs.events.iter().find(|kind| !dialect.tells(**kind))?;
    Some(lacks(&format!("the event `{event}`")))
}

/// Whether the scenario says or sends something that the dialect knows nothing of.
pub(super) fn is_below(steps: &Steps) -> bool {
    let mut below = false;
    each_step(steps, &mut |step| {
        below |= step.actions().iter().any(|(action, _)| BELOW.contains(action));
        below |= step.open.as_ref().is_some_and(|open| open.bare);
    });
    below
}

/// Whether the scenario uses something: a verb or a feature.
pub(super) fn uses(file: &File, need: &str) -> bool {
    Needs::of(file, &file.steps).features.contains(need)
}

#[derive(Default)]
struct Needs {
    features: BTreeSet<String>,
    events: BTreeSet<EventKind>,
}

impl Needs {
    fn of(file: &File, steps: &Steps) -> Self {
        let mut needs = Self::default();
        needs.features.extend(file.needs.iter().map(|need| need.value.clone()));
        if file.checks.heartbeat.is_some_and(|heartbeat| heartbeat.on().is_some()) {
            needs.feature("heartbeat");
        }
        each_step(steps, &mut |step| {
            needs.step(step);
            needs.expects(step);
        });
        needs
    }

    fn feature(&mut self, feature: &str) {
        self.features.insert(feature.to_owned());
    }

    fn step(&mut self, step: &Step) {
        for (action, _) in step.actions() {
            if let Ok(verb) = action.parse::<Verb>() {
                self.feature(verb.as_str());
            }
        }
        if let Some(join) = &step.join {
            if join.0.since.is_some() {
                self.feature("recovery");
            }
            if join.0.membership == Some(Membership::None) {
                self.feature("audience");
            }
        }
        let rejoin = step.reconnect.as_ref().and_then(|reconnect| reconnect.rejoin);
        if rejoin.is_some_and(|rejoin| rejoin.0 == Rejoin::Since) {
            self.feature("recovery");
        }
        let spans = [step.within.as_ref(), step.wait.as_ref()].into_iter().flatten();
        if spans.into_iter().any(|span| of_heartbeat(span)) {
            self.feature("heartbeat");
        }
    }

    fn expects(&mut self, step: &Step) {
        let Some(expect) = &step.expect else { return };
        let told = expect.patterns().into_iter().filter(|(_, _, fields)| fields.is_some());
        self.events.extend(told.map(|(kind, _, _)| kind));
        if expect.members.is_some() {
            self.feature("members");
        }
        let closed = expect.closed.iter();
        let mut spans = closed.flat_map(|closed| closed.not_before.iter().chain(&closed.not_after));
        if spans.any(of_heartbeat) {
            self.feature("heartbeat");
        }
    }
}

fn of_heartbeat(span: &Span) -> bool {
    span.0.iter().any(|(_, term)| matches!(term, Term::Every | Term::Timeout))
}
