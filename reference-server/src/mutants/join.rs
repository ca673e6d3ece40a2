//! Servers that are wrong when somebody enters a room: what is answered, told, shown and heard then.

use protocol::Make;

use super::{Asks, Kind, Mutant, acting, kind};
use crate::mutants::Turn;

pub(super) const MUTANTS: &[Mutant] = &[
    Mutant {
        outlet: Some(|at| at.lose(Kind::Entered)),
        ..Mutant::new("join-no-ack", "lets in and does not say so")
    },
    Mutant {
        outlet: Some(|at| {
            let is_second = at.is(Kind::Message)
                && at.state().count(&format!("{} {:?}", at.to.id, at.room())) == 2;
            if !is_second {
                at.pass();
            }
        }),
        ..Mutant::new("join-hole", "loses the second message that a newcomer would get")
    },
    Mutant {
        make: Some(make_unknown),
        ..Mutant::new("join-unknown-code-ok", "makes a room of a code that nobody has been given")
    },
];

fn make_unknown(turn: &Turn, _: &str, make: Make) -> Make {
    let acting = acting::now();
    let by = acting.by.and_then(|by| turn.state().connection(by));
    let dialect = by.and_then(|by| by.speaks.dialect());
    let asks = acting.text.zip(dialect).map(|(text, dialect)| kind::request(dialect, &text).asks);
    if asks == Some(Asks::Join) && make == Make::Never { Make::IfAbsent } else { make }
}
