//! Servers that send something to somebody whom it is not for.

use protocol::Dialect;

use super::{Asks, At, Kind, Mutant, Take, message::asked_room};

pub(super) const MUTANTS: &[Mutant] = &[
    Mutant {
        outlet: Some(|at| {
            at.pass();
            let Some(room) = at.room().filter(|_| at.is_message()) else { return };
            let mut shorter = at.state().rooms();
            shorter.retain(|other| room != other && room.starts_with(other.as_str()));
            for other in shorter {
                at.spread(at.state().members(&other));
            }
        }),
        ..Mutant::new("leak-prefix", "sends to rooms whose name this room's name begins with")
    },
    Mutant {
        hears: Some(|heard| {
            if heard.request.asks == Asks::Leave
                && let Some(room) = heard.room_in_world()
            {
                heard.state().mark(&format!("left {room}"), heard.by.id);
            }
            Take::Pass
        }),
        outlet: Some(|at| {
            at.pass();
            if at.is_message() {
                spread_to_marked(at, &format!("left {}", at.room().unwrap_or_default()));
            }
        }),
        ..Mutant::new("leak-after-switch", "goes on to send to those who have left")
    },
    Mutant {
        every: 10,
        outlet: Some(|at| {
            at.pass();
            if at.is_message() && at.state().is_turn("all") {
                at.spread(at.strangers());
            }
        }),
        ..Mutant::new("leak-global", "sends to all rooms")
    },
    Mutant {
        outlet: Some(|at| {
            at.pass();
            // Where users are told of, their coming is their presence.
            let comes = at.is(Kind::Came) && at.dialect == Dialect::Pusher;
            if comes || matches!(at.kind(), Kind::Presence | Kind::Typing) {
                at.spread(at.strangers());
            }
        }),
        ..Mutant::new("leak-presence", "tells all rooms of presence, typing and comings")
    },
    Mutant {
        outlet: Some(|at| {
            at.pass();
            if at.is(Kind::Error) {
                let asked = asked_room(at.dialect, at.acting.text.as_deref(), Asks::Join);
                if let Some(channel) = asked {
                    at.state().mark(&format!("refused {channel}"), at.to.id);
                }
            }
            if at.is_message()
                && let Some(channel) = &at.said().room
            {
                spread_to_marked(at, &format!("refused {channel}"));
            }
        }),
        ..Mutant::new("leak-private", "sends to those who were refused")
    },
    Mutant {
        every: 1000,
        outlet: Some(|at| {
            at.pass();
            if at.is_one_of_all()
                && let Some(stranger) = at.strangers().first()
            {
                at.send_to(stranger, at.frame);
            }
        }),
        ..Mutant::new("rare-leak", "sends to another room once in a while")
    },
];

/// Sends a message to those who are marked so and not in its room.
fn spread_to_marked(at: &At<'_>, mark: &str) {
    let others = at.strangers().into_iter();
    at.spread(others.filter(|other| at.state().is_marked(mark, other.id)));
}
