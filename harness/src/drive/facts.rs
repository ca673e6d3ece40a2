//! What a plan's timeline will ask of the clients, found before they are made.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::dialect::{EventKind, Verb};
use crate::plan::{Action, Plan, Step};

/// What the clients of a group must be able to do.
#[derive(Clone, Debug, Default)]
pub(super) struct Facts {
    /// The events that some step looks for: only these are kept in inboxes.
    pub(super) wanted: Arc<[EventKind]>,
    /// They stop reading at some point.
    pub(super) stops_reading: bool,
    /// They enter a room by a step of their own.
    pub(super) joins: bool,
    /// Some step looks for frames as they came.
    pub(super) frames: bool,
}

/// The facts of each group, in the plan's order.
pub(super) fn of(plan: &Plan) -> Vec<Facts> {
    let mut wanted = vec![BTreeSet::new(); plan.groups.len()];
    let mut stops = vec![false; plan.groups.len()];
    let mut enters = vec![false; plan.groups.len()];
    let mut frames = vec![false; plan.groups.len()];
    visit(&plan.steps, None, &mut |who, action| {
        let (Some(wanted), Some(stops)) = (wanted.get_mut(who), stops.get_mut(who)) else { return };
        let Some(frames) = frames.get_mut(who) else { return };
        match action {
            Action::Ask(ask) if ask.verb == Verb::Join => {
                enters.iter_mut().skip(who).take(1).for_each(|enters| *enters = true);
            }
            Action::Expect(expect) => {
                wanted.extend(expect.events.iter().map(|pattern| pattern.kind));
                // The list of members is kept up to date from what is told of others.
                wanted.extend(expect.members.iter().map(|_| EventKind::Joined));
                *frames |= expect.frames.is_some() || expect.pong.is_some();
            }
            Action::ExpectNone(none) => {
                wanted.extend(none.of.iter().copied());
                *frames |= !none.frames.is_empty();
            }
            Action::Reads(false) => *stops = true,
            _ => {}
        }
    });
    let facts = wanted.into_iter().zip(stops).zip(enters).zip(frames);
    facts
        .map(|(((wanted, stops_reading), joins), frames)| Facts {
            wanted: wanted.into_iter().collect(),
            stops_reading,
            joins,
            frames,
        })
        .collect()
}

fn visit(steps: &[Step], around: Option<usize>, see: &mut impl FnMut(usize, &Action)) {
    for step in steps {
        let who = step.who.or(around);
        if let Some(who) = who {
            see(who, &step.action);
        }
        match &step.action {
            Action::Each(steps) | Action::Together(steps) | Action::Repeat { steps, .. } => {
                visit(steps, who, see);
            }
            _ => {}
        }
    }
}
