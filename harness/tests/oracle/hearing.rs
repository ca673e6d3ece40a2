//! Who was in a room that confirms nothing, and heard nothing of what all others heard.

use harness::check::Class;
use harness::observe::What;

use super::past::{Opinion, Past};

/// A join that is not effective after two seconds has failed; ten messages are no accident.
const JOINED_US: u64 = 2_000_000;
const MESSAGES: usize = 10;

pub(super) fn judge(past: &Past<'_>, opinion: &mut Opinion) {
    for (client, room) in past.members() {
        let mut entries = past.stays(client, room).iter().filter_map(|stay| stay.entered);
        let Some((entered, entry)) = entries.next_back() else { continue };
        let ends = |what: &What| match what {
            What::Leaving { room: left } => *left == room,
            What::Closing { .. } | What::Closed(_) | What::Reads(false) => true,
            _ => false,
        };
        let of_others = |what: &What| match what {
            What::Received { message, .. } => {
                past.said.get(message).is_some_and(|it| it.room == room && it.client != client)
            }
            _ => false,
        };
        let gone = past.first(client, entered, ends).is_some();
        if entry.confirmed || gone || past.first(client, entered, of_others).is_some() {
            continue;
        }
        let since = past.seen[entered].at.0 + JOINED_US;
        let missed = past.said.iter().filter(|(id, said)| {
            let heard = past.receipts().any(|it| it.id == **id && it.client != said.client);
            let others = said.room == room && said.client != client;
            others && past.seen[said.at].at.0 >= since && heard
        });
        if missed.count() >= MESSAGES {
            opinion.must.insert(("hearing", Class::Loss));
        }
    }
}
