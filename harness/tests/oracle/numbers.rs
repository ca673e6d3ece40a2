//! Numbers that the server gives to a room's events, and what it says to who comes back.

use std::sync::Arc;

use harness::check::Class;
use harness::observe::{ClientId, MessageId, RoomId, What};

use super::past::{Opinion, Past, Place};

/// What an event is, whatever its number.
#[derive(Clone, Debug, Eq, PartialEq)]
enum Event {
    Message(MessageId),
    Presence(String),
    Stored(String),
}

/// A numbered event as it came, or as it was confirmed.
#[derive(Clone, Debug)]
struct Numbered {
    at: Place,
    room: RoomId,
    /// The life of the room, and which of its entries this was after.
    epoch: Option<Arc<str>>,
    entry: Option<Place>,
    number: u64,
    event: Event,
    confirms: bool,
}

fn all(past: &Past<'_>) -> Vec<Numbered> {
    let mut all = Vec::new();
    for (at, it) in past.seen.iter().enumerate() {
        let (room, number, event, confirms) = match &it.what {
            What::Received { message, room: Some(room), number: Some(number), .. } => {
                (*room, *number, Event::Message(*message), false)
            }
            What::Presence { room, state, number: Some(number), .. } => {
                (*room, *number, Event::Presence(state.to_string()), false)
            }
            What::Stored { room, ops, number: Some(number), .. } => {
                (*room, *number, Event::Stored(ops.to_string()), false)
            }
            What::Acked { message, number: Some(number) } => {
                let Some(said) = past.said.get(message) else { continue };
                (said.room, *number, Event::Message(*message), true)
            }
            _ => continue,
        };
        let entry = entry_of(past, it.client, room, at);
        let epoch = entry.and_then(|at| match &past.seen[at].what {
            What::Entered(entry) => entry.epoch.clone(),
            _ => None,
        });
        all.push(Numbered { at, room, epoch, entry, number, event, confirms });
    }
    // What comes to somebody who is not in the room is another check's matter.
    all.retain(|it| it.entry.is_some());
    all
}

/// The entry by which a client is in a room at this place.
fn entry_of(past: &Past<'_>, client: ClientId, room: RoomId, at: Place) -> Option<Place> {
    let mut mine = past.seen[..at].iter().enumerate().rev().filter(|(_, it)| it.client == client);
    mine.find_map(|(at, it)| match &it.what {
        What::Entered(entry) if entry.room == room => Some(Some(at)),
        What::Exited { room: left } if *left == room => Some(None),
        What::Closed(_) => Some(None),
        _ => None,
    })?
}

pub(super) fn numbering(past: &Past<'_>, opinion: &mut Opinion) {
    let all = all(past);
    for (n, it) in all.iter().enumerate() {
        // "the same number for the same event everywhere"
        let same_life = |other: &&Numbered| (other.room, &other.epoch) == (it.room, &it.epoch);
        let first = all[..n].iter().filter(same_life).find(|other| other.number == it.number);
        let differs = first.is_some_and(|first| first.event != it.event);
        if it.confirms {
            if differs {
                opinion.tell(("numbering", Class::Reply));
            }
            continue;
        }
        if differs {
            opinion.tell(("numbering", Class::Disorder));
        }
        let mine = || all.iter().filter(|other| other.entry == it.entry && !other.confirms);
        let before = || mine().filter(|other| other.at < it.at);
        let again = before().any(|other| other.number == it.number);
        let begins = begins(past, it);
        if again || begins.is_some_and(|begins| it.number < begins) {
            if !differs {
                opinion.tell(("numbering", Class::Duplicate));
            }
        } else if before().any(|other| other.number > it.number) && !differs {
            opinion.tell(("numbering", Class::Disorder));
        }
        // "no gap": a number that was left out, before one that came.
        let first = begins.unwrap_or_else(|| mine().map(|it| it.number).next().unwrap_or(0));
        let missing = |number: u64| !mine().any(|other| other.number == number);
        if (first..it.number).any(missing) {
            opinion.tell(("numbering", Class::Loss));
        }
    }
}

/// The first number that is to come after an entry.
fn begins(past: &Past<'_>, it: &Numbered) -> Option<u64> {
    match &past.seen[it.entry?].what {
        What::Entered(entry) => entry.number.map(|number| number + 1),
        _ => None,
    }
}

/// "what was missed did not come whole and once": what the server says of it. That all of it
/// comes, and once, is judged with the messages.
pub(super) fn recovery(past: &Past<'_>, opinion: &mut Opinion) {
    for (client, room) in past.members() {
        for stay in past.stays(client, room).iter().filter(|stay| stay.since) {
            let Some((at, entry)) = stay.entered else { continue };
            let before = past.seen[..at].iter().rev().filter(|it| it.client == client);
            let entered = before.clone().find_map(|it| match &it.what {
                What::Entered(entry) if entry.room == room => Some(entry),
                _ => None,
            });
            let Some(entered) = entered else { continue };
            // The highest number that it had: of an event since that entry, or of the entry.
            let since = past.seen.iter().position(
                |it| matches!(&it.what, What::Entered(e) if std::ptr::eq(&**e, &**entered)),
            );
            let numbers =
                past.seen[since.unwrap_or(0)..at].iter().filter_map(|it| match &it.what {
                    What::Received { room: Some(r), number, .. }
                    | What::Presence { room: r, number, .. }
                    | What::Stored { room: r, number, .. }
                        if it.client == client && *r == room =>
                    {
                        *number
                    }
                    _ => None,
                });
            let had = numbers.chain(entered.number).max();
            let wrong = match entry.recovered {
                None => true,
                Some(true) => entry.epoch != entered.epoch || entry.number != had,
                Some(false) => false,
            };
            if wrong {
                opinion.tell(("recovery", Class::Recovery));
            }
        }
    }
}
