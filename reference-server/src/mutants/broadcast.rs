//! Servers that deliver in another order than they should: between senders, receivers, and kinds of news.

use std::time::Duration;

use super::{At, Kind, Mutant};

/// Messages that follow each other so closely are under way at the same time.
const CLOSE: Duration = Duration::from_millis(20);
/// So many are a burst.
const BURST: u64 = 4;
/// A text of so many bytes is a long one.
const LONG_BYTES: usize = 2048;

pub(super) const MUTANTS: &[Mutant] = &[
    Mutant {
        every: 20,
        outlet: Some(swap),
        ..Mutant::new("bc-swap-same-sender", "sends the next message of a sender first")
    },
    Mutant {
        every: 20,
        outlet: Some(|at| if at.is_to_member(0) { swap(at) } else { at.pass() }),
        ..Mutant::new("bc-swap-diff-sender", "sends the next message first, to one receiver")
    },
    Mutant {
        every: 10,
        outlet: Some(|at| if at.to.id.is_multiple_of(2) { swap(at) } else { at.pass() }),
        ..Mutant::new("bc-fork-half", "sends the next message first, to half of a room")
    },
    Mutant {
        every: 4,
        outlet: Some(|at| {
            if at.is_message() && is_close(at) && at.is_one_of_its() {
                // One or two others overtake it, whichever way it takes.
                at.hold_back(1 + at.state().count("ways") * 7 % 5 % 2);
            } else {
                at.pass();
            }
        }),
        ..Mutant::new("bc-task-per-message", "sends each message from a task of its own")
    },
    Mutant {
        outlet: Some(|at| {
            if !at.is_message() {
                return at.pass();
            }
            if !at.nth("burst").is_multiple_of(BURST) {
                return at.hold_back(BURST * BURST);
            }
            at.pass();
            for frame in at.state().release(at.to.id).into_iter().rev() {
                at.send_bytes(frame);
            }
        }),
        ..Mutant::new("bc-lifo-burst", "sends what has gathered with the newest first")
    },
    Mutant {
        outlet: Some(|at| {
            if at.is_message() && at.is_to_member(0) && !at.nth("answers").is_multiple_of(2) {
                at.hold_back(1);
            } else {
                at.pass();
            }
        }),
        ..Mutant::new("bc-causal-inversion", "sends an answer before its question, to one receiver")
    },
    Mutant {
        outlet: Some(|at| if at.is_message() { at.let_overtake(Kind::Went) } else { at.pass() }),
        ..Mutant::new("bc-notice-vs-message", "tells of a leaving before what was said last")
    },
    Mutant {
        outlet: Some(|at| {
            if at.is_message() && at.text().len() > LONG_BYTES {
                at.hold_back(1);
            } else {
                at.pass();
            }
        }),
        ..Mutant::new("bc-big-overtaken", "sends short messages before a long one")
    },
    Mutant {
        outlet: Some(|at| {
            let news =
                if at.dialect == protocol::Dialect::Chat { Kind::Typing } else { Kind::Presence };
            if at.is_message() { at.let_overtake(news) } else { at.pass() }
        }),
        ..Mutant::new("bc-priority-presence", "sends presence and typing before messages")
    },
    Mutant {
        every: 1000,
        outlet: Some(swap_one_of_all),
        ..Mutant::new("rare-reorder", "sends the next message first, once in a while")
    },
    Mutant {
        every: 1000,
        outlet: Some(swap_one_of_all),
        ..Mutant::new("rare-disorder", "sends somebody else's next message first, once in a while")
    },
];

fn swap(at: &At<'_>) {
    if at.is_one_of_its() { at.hold_back(1) } else { at.pass() }
}

fn swap_one_of_all(at: &At<'_>) {
    if at.is_one_of_all() { at.hold_back(1) } else { at.pass() }
}

/// Whether the message before this one went to the same receiver a moment ago.
fn is_close(at: &At<'_>) -> bool {
    let now = at.now();
    let before = at.state().set(&format!("sent {}", at.to.id), now.to_string());
    let before = before.and_then(|before| before.parse::<u64>().ok());
    before.is_some_and(|before| now.saturating_sub(before) < CLOSE.as_nanos() as u64)
}
