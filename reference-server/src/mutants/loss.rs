//! Servers that lose messages: now and then, the first or the last, in bursts, to one receiver.

use std::time::Duration;

use protocol::{Dialect, Reason};

use super::{Asks, At, Kind, Mutant, Take, Turn, acting, message};

/// What comes within so long of something else is concurrent with it.
const CONCURRENT: Duration = Duration::from_millis(10);
/// So many messages at once are kept for a receiver.
const KEPT: u64 = 3;
/// The second who came is deaf after so many messages.
const HEARD: u64 = 20;

pub(super) const MUTANTS: &[Mutant] = &[
    Mutant {
        every: 50,
        outlet: Some(|at| at.lose(Kind::Message)),
        ..Mutant::new("loss-1-in-n", "loses messages now and then")
    },
    Mutant {
        outlet: Some(|at| {
            if !at.is_message() {
                return at.pass();
            }
            let before = at.state().keep(&format!("last {} {:?}", at.to.id, at.room()), at.frame);
            if let Some(before) = before {
                at.send(&before);
            }
        }),
        ..Mutant::new("loss-last", "sends each message with the next one, and the last one never")
    },
    Mutant {
        outlet: Some(|at| {
            let name = format!("heard {} {:?}", at.to.id, at.room());
            if at.is(Kind::Entered) {
                at.state().unset(&name);
            }
            if !at.is_message() || at.state().set(&name, "").is_some() {
                at.pass();
            }
        }),
        ..Mutant::new("loss-first-after-join", "loses the first message after a join")
    },
    Mutant {
        outlet: Some(|at| {
            if !at.is_message() || in_burst(at) <= KEPT {
                at.pass();
            }
        }),
        ..Mutant::new("loss-on-burst", "keeps only so many messages that come at once")
    },
    Mutant {
        hears: Some(|heard| {
            if heard.request.asks == Asks::Say {
                let now = message::now(heard.by).to_string();
                heard.state().set(&format!("spoke {}", heard.by.id), now);
            }
            Take::Pass
        }),
        outlet: Some(|at| {
            if !at.is_message() || at.is_own() || !has_just_spoken(at) {
                at.pass();
            }
        }),
        ..Mutant::new("loss-when-receiver-sends", "loses what comes for one who is speaking")
    },
    Mutant {
        outlet: Some(|at| {
            if !at.is_message() || !at.is_to_member(1) || at.nth("hears") <= HEARD {
                at.pass();
            }
        }),
        ..Mutant::new("loss-one-receiver", "sends nothing more to one member after a while")
    },
    Mutant {
        outlet: Some(|at| {
            if !at.is_message() || !at.is_to_member(1) {
                at.pass();
            }
        }),
        ..Mutant::new("loss-deaf-from-the-start", "sends no messages to one member")
    },
    Mutant {
        outlet: Some(|at| {
            let long = match at.dialect {
                Dialect::Chat => 2 * 1024,
                Dialect::Pusher => 8 * 1024,
                _ => 32 * 1024,
            };
            if !at.is_message() || at.text().len() < long {
                at.pass();
            }
        }),
        ..Mutant::new("loss-large", "drops long messages")
    },
    Mutant {
        outlet: Some(|at| {
            if !at.is_message() || at.content().as_deref() != Some("") {
                at.pass();
            }
        }),
        ..Mutant::new("loss-empty", "drops messages that say nothing")
    },
    Mutant {
        outlet: Some(|at| {
            if !at.is_message() || at.text().chars().all(|one| one <= '\u{ffff}') {
                at.pass();
            }
        }),
        ..Mutant::new("loss-unicode", "drops messages with characters beyond the basic plane")
    },
    Mutant {
        outlet: Some(|at| {
            if !is_behind(at) {
                at.pass();
            }
        }),
        ..Mutant::new("loss-lagged-continue", "skips messages for a slow reader, and goes on")
    },
    Mutant {
        outlet: Some(|at| {
            if is_behind(at) {
                at.state().mark("deaf", at.to.id);
            }
            if !at.is_message() || !at.state().is_marked("deaf", at.to.id) {
                at.pass();
            }
        }),
        ..Mutant::new("loss-lagged-deaf", "sends no more messages to one who was slow once")
    },
    Mutant {
        leaves: Some(note_crash),
        outlet: Some(|at| {
            if !at.is_message() || !is_cut_short(at) {
                at.pass();
            }
        }),
        ..Mutant::new("loss-after-peer-crash", "gives up a broadcast at a member that has gone")
    },
    Mutant {
        every: 1000,
        outlet: Some(|at| {
            if !at.is_one_of_all() {
                at.pass();
            }
        }),
        ..Mutant::new("rare-loss", "loses a message once in a while")
    },
];

/// How many messages its receiver is sent within a moment, this one among them.
fn in_burst(at: &At<'_>) -> u64 {
    let (name, now) = (format!("burst {}", at.to.id), at.now());
    let before = at.state().note(&name);
    let before = before.as_deref().and_then(|it| it.split_once(' '));
    let before = before.and_then(|(at, n)| Some((at.parse::<u64>().ok()?, n.parse::<u64>().ok()?)));
    let (begin, nth) = match before {
        Some((begin, n)) if is_concurrent(begin, now) => (begin, n + 1),
        _ => (now, 1),
    };
    at.state().set(&name, format!("{begin} {nth}"));
    nth
}

fn is_concurrent(before: u64, now: u64) -> bool {
    now.saturating_sub(before) < CONCURRENT.as_nanos() as u64
}

fn has_just_spoken(at: &At<'_>) -> bool {
    let spoke = at.state().note(&format!("spoke {}", at.to.id));
    let spoke = spoke.and_then(|spoke| spoke.parse().ok());
    spoke.is_some_and(|spoke| is_concurrent(spoke, at.now()))
}

/// Whether a message is for a receiver that has not read for a while.
fn is_behind(at: &At<'_>) -> bool {
    at.is_message() && at.to.outbound.lock().bytes() > at.to.queue_bytes() / 4
}

/// A member of these rooms has gone.
fn note_crash(turn: &Turn, reason: Reason) -> Option<Reason> {
    if let Some(by) = acting::now().by {
        for room in turn.state().rooms_of(by) {
            turn.state().set(&format!("crashed {room}"), "");
        }
    }
    Some(reason)
}

/// Whether a message would come behind a member that has gone: the first receiver is before it.
fn is_cut_short(at: &At<'_>) -> bool {
    let name = format!("crashed {}", at.room().unwrap_or_default());
    match at.state().note(&name).as_deref() {
        None => false,
        Some("") => {
            at.state().set(&name, at.text());
            false
        }
        Some(cut) if cut == at.text() => true,
        Some(_) => {
            at.state().unset(&name);
            false
        }
    }
}
