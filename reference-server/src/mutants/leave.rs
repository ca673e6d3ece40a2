//! Servers that are wrong when somebody leaves a room: what is answered, told, and still heard.

use protocol::{Ending, Reason};

use super::{Asks, Kind, Mutant, Take};

pub(super) const MUTANTS: &[Mutant] = &[
    Mutant {
        outlet: Some(|at| at.lose(Kind::Exited)),
        ..Mutant::new("leave-no-ack", "lets go and does not say so")
    },
    Mutant {
        hears: Some(|heard| {
            let is_unknown = match &heard.request.room {
                Some(room) => !heard.rooms.contains(room),
                None => heard.rooms.is_empty(),
            };
            if is_unknown && heard.is_turn(Asks::Leave) {
                return Take::Close(Ending::new(1011, "not in that room", Reason::Closed));
            }
            Take::Pass
        }),
        ..Mutant::new("unsub-unknown-crash", "ends a connection that leaves where it is not")
    },
];
