//! Who was owed what, and what came of it: each class from its sentence.

use std::collections::BTreeSet;

use harness::check::Class;
use harness::observe::{ClientId, MessageId, RoomId, What, Who};
use harness::plan::{Echo, Ordering};

use super::order;
use super::past::{Opinion, Over, Past, Place, Receipt, Stay};

const DELIVERY: &str = "delivery";

/// What is promised.
#[derive(Clone, Copy, Debug)]
pub(super) struct Promise {
    pub ordering: Ordering,
    pub echo: Echo,
    /// The server confirms that somebody is in.
    pub confirmed: bool,
    /// What was missed while away is an account of its own.
    pub recovery: bool,
}

impl Promise {
    /// A sender's own copies have their place in what it gets.
    pub(super) fn own_in_order(self) -> bool {
        self.echo == Echo::Once && self.ordering != Ordering::TotalAmongOthers
    }
}

/// A message that came to somebody who may get it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Got {
    pub at: Place,
    pub client: ClientId,
    pub room: RoomId,
    pub id: MessageId,
    /// The stay in which it came, or the one that this goes on with.
    pub stay: Option<usize>,
    /// It is the receiver's own.
    pub own: bool,
    /// It had not come in this stay before.
    pub first: bool,
}

/// All that came rightly, in the order of the history; what came wrongly goes into the opinion.
pub(super) fn got(past: &Past<'_>, promise: Promise, opinion: &mut Opinion) -> Vec<Got> {
    let mut all: Vec<Got> = Vec::new();
    for it in past.receipts() {
        let mut tell = |class| opinion.tell((DELIVERY, class));
        // "a message came that nobody sent, or that was refused"
        let Some(said) = past.said.get(&it.id).filter(|said| said.at < it.at) else {
            tell(Class::Phantom);
            continue;
        };
        if past.refused(it.id).is_some_and(|refused| refused < it.at) {
            tell(Class::Phantom);
            continue;
        }
        // "a message that is not what was sent"
        if said.hash != it.hash {
            tell(Class::Corrupt);
        }
        // "a message of another room": the frame says so itself.
        if it.room.is_some_and(|room| room != said.room) {
            tell(Class::Leak);
        }
        // "a message in another's name"
        if !matches!(it.from, Who::Untold) && *it.from != Who::Client(said.client) {
            tell(Class::Misattributed);
        }
        let room = said.room;
        let own = said.client == it.client;
        let stay = match standing(past, it, room, own) {
            Ok(stay) => stay,
            Err(class) => {
                tell(class);
                continue;
            }
        };
        let stay = stay.map(|stay| past.first_of(it.client, room, stay));
        let before = |other: &&Got| other.client == it.client && other.id == it.id;
        if stay.is_some_and(|stay| is_early(past, &all, promise, it, room, stay)) {
            // It may have had it in a stay before this: then it came twice as well.
            if all.iter().any(|other| before(&other)) {
                let names = [Class::Duplicate, Class::Early].map(|class| (DELIVERY, class));
                opinion.either.insert(names.to_vec());
            } else {
                tell(Class::Early);
            }
            continue;
        }
        let again = all.iter().filter(before).any(|other| own || other.stay == stay);
        if own && (promise.echo == Echo::Never || again) {
            // "the sender's own copy is [...] doubled or forbidden"
            tell(Class::Echo);
        } else if again {
            // "a message came more than once"
            tell(Class::Duplicate);
        }
        if past.refused(it.id).is_some() {
            tell(Class::Phantom);
        }
        let (at, client, id) = (it.at, it.client, it.id);
        all.push(Got { at, client, room, id, stay, own, first: !again });
    }
    all
}

/// In which stay a message came, if the receiver may get it at all.
fn standing(
    past: &Past<'_>,
    it: Receipt<'_>,
    room: RoomId,
    own: bool,
) -> Result<Option<usize>, Class> {
    let outside = || if own { Ok(None) } else { Err(Class::Leak) };
    let Some(stay) = past.stay_at(it.client, room, it.at) else { return outside() };
    match past.stays(it.client, room)[stay].over {
        Some((over, how)) if over < it.at => match how {
            Over::Refused => outside(),
            // "a message after the leave"
            Over::Exited => Err(Class::Late),
            // "a message of another [...] connection"
            Over::Closed => Err(Class::Leak),
        },
        _ => Ok(Some(stay)),
    }
}

/// "a message from before the join". Certain is it where, when the receiver asked to enter, the
/// message had come to somebody on the way on which all get it, and nobody was to get it any more
/// from then on until now.
fn is_early(
    past: &Past<'_>,
    all: &[Got],
    promise: Promise,
    it: Receipt<'_>,
    room: RoomId,
    stay: usize,
) -> bool {
    let asked = past.stays(it.client, room)[stay].asked;
    let of_it = || all.iter().filter(|other| other.id == it.id);
    let spread = |other: &Got| other.at < asked && (!other.own || promise.echo == Echo::Once);
    if !of_it().any(spread) || of_it().any(|other| other.at > asked) {
        return false;
    }
    let others = past.members().filter(|(client, r)| *r == room && *client != it.client);
    let mut waiting = others.flat_map(|(client, _)| (asked..=it.at).map(move |at| (client, at)));
    !waiting.any(|(client, at)| is_owed(past, all, client, it.id, at))
}

/// From which ticket on a member is owed what is sent, at this place: from its entry on where that
/// was confirmed, else from the first message on that it got.
fn owed_from(
    past: &Past<'_>,
    all: &[Got],
    client: ClientId,
    room: RoomId,
    at: Place,
) -> Option<u32> {
    let stays = past.stays(client, room);
    let stay = past.stay_at(client, room, at)?;
    if !stays[stay].is_inside(at) || !past.reads(client, at) {
        return None;
    }
    since_ticket(
        past,
        all.iter().take_while(|it| it.at < at),
        client,
        room,
        past.first_of(client, room, stay),
    )
}

/// From which ticket on a member is owed what is sent in a stay, going by what it has got.
fn since_ticket<'g>(
    past: &Past<'_>,
    got: impl IntoIterator<Item = &'g Got>,
    client: ClientId,
    room: RoomId,
    stay: usize,
) -> Option<u32> {
    let (_, entry) = past.stays(client, room)[stay].entered?;
    if entry.confirmed {
        return Some(entry.tickets);
    }
    let mine = |it: &&Got| (it.client, it.room, it.stay) == (client, room, Some(stay)) && !it.own;
    let since = got.into_iter().find(mine)?.at;
    let said = past.said.values().filter(|said| said.room == room && said.at < since);
    Some(said.map(|said| said.ticket + 1).max().unwrap_or(0))
}

/// Whether a member is to get a message that it has not got, at this place.
fn is_owed(past: &Past<'_>, all: &[Got], client: ClientId, id: MessageId, at: Place) -> bool {
    let said = past.said[&id];
    let due = said.client != client && said.at < at && past.refused(id).is_none_or(|r| r > at);
    due && owed_from(past, all, client, said.room, at).is_some_and(|from| said.ticket >= from)
        && !has(past, all, client, id, at)
}

/// Whether a member has got a message in its stay of this place.
fn has(past: &Past<'_>, all: &[Got], client: ClientId, id: MessageId, at: Place) -> bool {
    let room = past.said[&id].room;
    let stay = past.stay_at(client, room, at).map(|stay| past.first_of(client, room, stay));
    all.iter().any(|it| it.client == client && it.id == id && it.stay == stay && it.at < at)
}

/// Whether the server is known to have taken a message, from what was seen up to this place:
/// somebody got it, or it was confirmed, or its sender was in the room, its connection held, and it
/// read: it would know of a refusal.
fn is_taken(past: &Past<'_>, all: &[Got], id: MessageId, at: Place) -> bool {
    let said = past.said[&id];
    let known = past.acked(id).is_some_and(|acked| acked < at)
        || all.iter().any(|it| it.id == id && it.at < at);
    let inside = past.stay_at(said.client, said.room, said.at);
    let inside = inside.is_some_and(|s| past.stays(said.client, said.room)[s].is_inside(said.at));
    let ended = past.first(said.client, said.at, |what| matches!(what, What::Closed(_)));
    let reads = past.reads(said.client, at);
    known || (inside && reads && ended.is_none_or(|ended| ended > at))
}

/// What never came, judged when all has come that was on its way.
pub(super) fn missing(past: &Past<'_>, all: &[Got], promise: Promise, opinion: &mut Opinion) {
    let told = left_out(past, all, promise, opinion);
    let end = past.seen.len();
    for (client, room) in past.members() {
        let stays = past.stays(client, room);
        let Some(from) = owed_from(past, all, client, room, end) else { continue };
        // "a message that was owed never came"
        for (id, said) in past.said.iter().filter(|(_, it)| it.room == room && it.ticket >= from) {
            if !is_owed(past, all, client, *id, end) || !is_taken(past, all, *id, end) {
                continue;
            }
            let away = stays.iter().rev().find(|stay| stay.entered.is_some());
            let away = away.filter(|stay| stay.goes_on()).and_then(|stay| stay.entered);
            let missed = away.is_some_and(|(_, entry)| said.ticket < entry.tickets);
            let class = match missed && promise.recovery {
                true => ("recovery", Class::Recovery),
                false => (DELIVERY, Class::Loss),
            };
            // That it was left out before a stay broke off may be told already.
            if told.contains(&(client, *id)) && stays.last().is_some_and(Stay::goes_on) {
                opinion.may.insert(class);
            } else {
                opinion.tell(class);
            }
        }
    }
    // "the sender's own copy is missing": of what was said inside by those who are there still.
    for (id, said) in past.said.iter().filter(|_| promise.echo != Echo::Never) {
        let stay = |at| past.stay_at(said.client, said.room, at);
        let inside =
            |at| stay(at).is_some_and(|s| past.stays(said.client, said.room)[s].is_inside(at));
        let ended = past.first(said.client, said.at, |what| matches!(what, What::Closed(_)));
        let owed = inside(said.at) && inside(end) && ended.is_none() && past.refused(*id).is_none();
        let came = all.iter().any(|it| it.id == *id && it.own);
        if owed && !came && past.reads(said.client, end) {
            opinion.must.insert((DELIVERY, Class::Echo));
        }
    }
}

/// What was left out in a stay that ended: something later came, and this did not. Where one order
/// is promised, somebody else must have got it between two that this member got.
fn left_out(
    past: &Past<'_>,
    all: &[Got],
    promise: Promise,
    opinion: &mut Opinion,
) -> BTreeSet<(ClientId, MessageId)> {
    let mut over_already = BTreeSet::new();
    let end = past.seen.len();
    // A stay goes on with what was left out before: that is judged once.
    let mut judged: BTreeSet<(ClientId, usize, MessageId)> = BTreeSet::new();
    for (client, room) in past.members() {
        for (number, stay) in past.stays(client, room).iter().enumerate() {
            if stay.entered.is_none() {
                continue;
            }
            let over = stay.over.map_or(end, |(at, _)| at);
            let first = past.first_of(client, room, number);
            let mine: Vec<Got> = all
                .iter()
                .filter(|it| (it.client, it.room, it.stay) == (client, room, Some(first)))
                .filter(|it| it.at < over)
                .copied()
                .collect();
            let from = since_ticket(past, all, client, room, first);
            for (id, said) in past.said.iter().filter(|(_, it)| it.room == room) {
                let other = said.client != client && said.at < over;
                if !other || past.refused(*id).is_some() || mine.iter().any(|it| it.id == *id) {
                    continue;
                }
                let owed = from.is_some_and(|from| said.ticket >= from);
                let (lost, believed) = match promise.ordering {
                    Ordering::PerSender => (between_of_sender(past, &mine, *id, owed), true),
                    // The room's log is put together from what its members say: whether it holds this
                    // when the member leaves, is not for the wire to decide.
                    _ => (between_at_others(past, promise, all, &mine, *id, owed), false),
                };
                if !lost || !judged.insert((client, first, *id)) {
                    continue;
                }
                let certain = believed && is_taken(past, all, *id, end);
                if stay.over.is_some() {
                    over_already.insert((client, *id));
                }
                let away = stay.goes_on() && promise.recovery;
                let told = match away && stay.entered.is_some_and(|(_, e)| said.ticket < e.tickets)
                {
                    true => ("recovery", Class::Recovery),
                    false => (DELIVERY, Class::Loss),
                };
                match certain {
                    true => opinion.must.insert(told),
                    false => opinion.may.insert(told),
                };
            }
        }
    }
    over_already
}

/// A later one of its sender came; and an earlier one had come first, or (owed) need not have.
fn between_of_sender(past: &Past<'_>, mine: &[Got], id: MessageId, owed: bool) -> bool {
    let first = mine.iter().find(|it| it.id.voice == id.voice);
    mine.iter().any(|it| order::precedes(past, id, it.id))
        && (owed || first.is_some_and(|first| first.id.seq < id.seq))
}

/// In the one order it stands between two that this one got, or (owed) before one of them: so say those
/// who got it and one of the two in turn, or the order of its sender.
fn between_at_others(
    past: &Past<'_>,
    promise: Promise,
    all: &[Got],
    mine: &[Got],
    id: MessageId,
    owed: bool,
) -> bool {
    let in_order = |it: &&Got| it.first && (!it.own || promise.own_in_order());
    let had = |other: &Got| mine.iter().filter(in_order).any(|it| it.id == other.id);
    let of_stay = |a: &Got, b: &Got| (a.client, a.room, a.stay) == (b.client, b.room, b.stay);
    let witnessed = |is: &dyn Fn(Place, Place) -> bool| {
        all.iter().filter(|it| it.id == id).filter(in_order).any(|it| {
            let mut same = all.iter().filter(in_order).filter(|other| of_stay(it, other));
            same.any(|other| is(other.at, it.at) && had(other))
        })
    };
    let earlier = || mine.iter().any(|it| order::precedes(past, it.id, id));
    let later = || mine.iter().any(|it| order::precedes(past, id, it.id));
    (owed || earlier() || witnessed(&|other, it| other < it))
        && (later() || witnessed(&|other, it| other > it))
}

/// What carries no message of this run.
pub(super) fn strays(past: &Past<'_>, opinion: &mut Opinion) {
    for it in past.seen {
        if let What::Stray { foreign, .. } = it.what {
            let class = if foreign { Class::Leak } else { Class::Phantom };
            opinion.must.insert((DELIVERY, class));
        }
    }
}
