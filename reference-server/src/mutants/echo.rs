//! Servers that are wrong about what the one who speaks is sent itself.

use super::{At, Kind, Mutant, message::spoilt};

pub(super) const MUTANTS: &[Mutant] = &[
    Mutant {
        every: 10,
        outlet: Some(|at| {
            if !is_own_turn(at) {
                at.pass();
            }
        }),
        ..Mutant::new("echo-missing", "does not send messages back")
    },
    Mutant {
        every: 10,
        outlet: Some(|at| {
            at.pass();
            if is_own_turn(at) {
                at.pass();
            }
        }),
        ..Mutant::new("echo-doubled", "sends messages back twice")
    },
    Mutant {
        outlet: Some(|at| {
            at.pass();
            if at.is_message() && !at.is_own() {
                at.spread(at.sender());
            }
        }),
        ..Mutant::new("echo-forbidden", "sends messages back to who said them")
    },
    Mutant {
        every: 10,
        outlet: Some(|at| if is_own_turn(at) { at.send(&at.saying(spoilt)) } else { at.pass() }),
        ..Mutant::new("echo-altered", "sends something else back")
    },
    Mutant {
        outlet: Some(|at| {
            at.pass();
            if at.is(Kind::Typing)
                && let Some(sender) = at.sender().filter(|_| !at.is_own())
            {
                at.send_to(&sender, at.frame);
            }
        }),
        ..Mutant::new("typing-echoed", "tells the one who types of it")
    },
];

fn is_own_turn(at: &At<'_>) -> bool {
    at.is_own() && at.is_turn(Kind::Message)
}
