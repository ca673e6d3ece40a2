//! What a single frame is taken for, and why it is nothing else: `harness check --try`.

use super::{Dialect, Event, EventKind};

/// So many near templates are told of.
const NEAR_MAX: usize = 5;

/// What became of a frame that was tried.
#[derive(Clone, Debug, PartialEq)]
pub enum Trial {
    /// It is this event; its rule stands at this line of the dialect file.
    Is(Box<Event>, usize),
    /// It is nothing that the dialect knows. What it is nearest to: the event, its line, and the
    /// first difference.
    Unlike(Vec<(EventKind, usize, String)>),
    /// It is not even of the dialect's encoding: why.
    Garbled(String),
}

impl Dialect {
    /// Tries a frame.
    pub fn try_frame(&self, text: &str) -> Trial {
        let value = match self.parsed(text) {
            Ok(value) => value,
            Err(fact) => return Trial::Garbled(fact),
        };
        let mut near = Vec::new();
        for receiving in &self.receive {
            match (receiving.read(&value), receiving.when.difference(&value)) {
                (Some(event), _) => return Trial::Is(Box::new(event), receiving.line),
                (None, Some(difference)) => near.push((receiving, difference)),
                (None, None) => {}
            }
        }
        // Near is what has most in common with the frame, or nearly as much.
        let most = near.iter().map(|(_, difference)| difference.alike).max().unwrap_or(0);
        near.retain(|(_, difference)| 2 * difference.alike > most || most == 0);
        near.sort_by_key(|(_, difference)| std::cmp::Reverse(difference.alike));
        near.truncate(NEAR_MAX);
        let told = near.into_iter().map(|(it, difference)| (it.event, it.line, difference.fact));
        Trial::Unlike(told.collect())
    }
}
