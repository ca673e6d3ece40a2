//! Who is in a room, as its members are told.

use std::collections::BTreeMap;

use harness::check::Class;
use harness::observe::{ClientId, Ending, Entry, RoomId, What, Who};

use super::past::{Opinion, Over, Past, Place, Stay};

/// How long a server may take to notice that a connection is gone, in microseconds.
const GRACE_US: u64 = 1_000_000;

/// What a member believes: how often each client is in the room.
type Belief = BTreeMap<ClientId, u32>;

pub(super) fn judge(past: &Past<'_>, end_us: u64, opinion: &mut Opinion) {
    for (at, it) in past.seen.iter().enumerate() {
        let client = it.client;
        let found: Vec<Class> = match &it.what {
            What::Opened { connection: Some(name) } => connection(past, at, client, name),
            What::Entered(entry) => entry_of(past, at, client, entry),
            What::Joined { room, who: Who::Client(who), .. } => came(past, at, client, *room, *who),
            What::Left { room, who: Who::Client(who), .. } => went(past, at, client, *room, *who),
            _ => continue,
        };
        found.into_iter().for_each(|class| opinion.tell(("membership", class)));
    }
    if has_view_gap(past) || has_view_fork(past) {
        opinion.tell(("membership", Class::View));
    }
    at_the_end(past, end_us, opinion);
    // Who was told of one wrongly, or not, holds another set than the others from then on: so a
    // wrong notice may have that name as well.
    if opinion.has(Class::Notice) {
        opinion.may.insert(("membership", Class::View));
    }
}

/// "an id is malformed or not unique": a connection's, while another with it lives.
fn connection(past: &Past<'_>, at: Place, client: ClientId, name: &str) -> Vec<Class> {
    let lives = |from: Place, other: ClientId| {
        !past.seen[from..at]
            .iter()
            .any(|it| it.client == other && matches!(it.what, What::Closed(_)))
    };
    let same = past.seen[..at].iter().enumerate().any(|(from, it)| {
        let named = matches!(&it.what, What::Opened { connection: Some(it) } if **it == *name);
        named && it.client != client && lives(from, it.client)
    });
    if name.is_empty() || same { vec![Class::Identity] } else { vec![] }
}

/// The stay that a client was in or had last asked for.
fn stay<'p>(past: &'p Past<'_>, who: ClientId, room: RoomId, at: Place) -> Option<&'p Stay<'p>> {
    past.stay_at(who, room, at).map(|stay| &past.stays(who, room)[stay])
}

/// How often somebody can have come up to this place: once at a time, but that the server may see late
/// that a connection is gone, and news of that and of what followed may be read later still.
fn comings(past: &Past<'_>, who: ClientId, room: RoomId, at: Place) -> usize {
    let stay = past.stay_at(who, room, at).unwrap_or(0);
    // What was refused was no stay.
    let before = past.stays(who, room).iter().take(stay);
    let before: Vec<_> =
        before.filter(|stay| !matches!(stay.over, Some((_, Over::Refused)))).collect();
    let lost = before.iter().any(|stay| matches!(stay.over, Some((_, Over::Closed))));
    if lost { before.len() + 1 } else { 1 }
}

/// Whether the server ended a stay, or may have, before or after this place: who was told so was told
/// the truth. Only who reads, and whose Close was answered with the same code, was in until then.
fn may_end_by_server(past: &Past<'_>, who: ClientId, stay: &Stay<'_>) -> bool {
    let at = stay.over.map_or(past.seen.len(), |(at, _)| at);
    let answered = |it: &Ending| it.asked && it.clean && it.code == Some(1000);
    let unseen = past
        .seen
        .get(at)
        .is_some_and(|it| matches!(&it.what, What::Closed(ending) if !answered(ending)));
    unseen || !past.reads(who, at)
}

fn entry_of(past: &Past<'_>, at: Place, client: ClientId, entry: &Entry) -> Vec<Class> {
    let mut found = Vec::new();
    let room = entry.room;
    // "let in [...] wrongly": every entry answers a request that has no answer yet.
    let connected = past.seen[..at]
        .iter()
        .rposition(|it| it.client == client && matches!(it.what, What::Closed(_)))
        .unwrap_or(0);
    let mine = past.seen[connected..at].iter().filter(|it| it.client == client);
    let open: i32 = mine
        .map(|it| match &it.what {
            What::Joining { room: Some(asked), .. } if *asked == room => 1,
            What::Refused { room: Some(asked), .. } if *asked == room => -1,
            What::Entered(it) if it.room == room => -1,
            _ => 0,
        })
        .fold(0, |open, it| (open + it).max(0));
    if open == 0 {
        found.push(Class::Admission);
    }
    // "an id is malformed or not unique": the id of a member that another has or had.
    let same = |other: &Entry| other.room == room && other.you == entry.you;
    let taken = past.seen[..at]
        .iter()
        .any(|it| matches!(&it.what, What::Entered(other) if it.client != client && same(other)));
    if entry.you.as_ref().is_some_and(|you| you.is_empty() || taken) {
        found.push(Class::Identity);
    }
    let asked = match open {
        0 => at,
        _ => stay(past, client, room, at).map_or(at, |stay| stay.asked),
    };
    if let Some(list) = &entry.members {
        let list: Vec<&Who> = list.iter().map(|it| &it.who).collect();
        found.extend(listed(past, at, client, (room, asked), &list));
        // "members disagree on who is a member": the number is not that of the list.
        if entry.count.is_some_and(|count| count != list.len() as u64) {
            found.push(Class::View);
        }
    }
    found
}

/// What is wrong with a list of members.
fn listed(
    past: &Past<'_>,
    at: Place,
    client: ClientId,
    (room, asked): (RoomId, Place),
    list: &[&Who],
) -> Vec<Class> {
    let mut found = Vec::new();
    let times = |who: ClientId| list.iter().filter(|it| ***it == Who::Client(who)).count();
    for who in
        list.iter().filter_map(|it| if let Who::Client(who) = it { Some(*who) } else { None })
    {
        if times(who) > comings(past, who, room, at) {
            found.push(Class::View);
        }
        let Some(stay) = stay(past, who, room, at) else {
            // It never came.
            found.push(Class::View);
            continue;
        };
        // "somebody who is gone is still a member": it had left for certain when the newcomer
        // asked, or it was gone by then for longer than a server may take to see it: one that takes
        // long to answer may have taken as long for that, too.
        match stay.over.filter(|(over, _)| *over < at) {
            Some((over, how)) if how != Over::Refused => {
                let time = |at: Place| past.seen[at].at.0;
                let took = time(at) - time(asked);
                let grace = time(over) + GRACE_US + took < time(asked);
                if grace || (how == Over::Exited && over < asked) {
                    found.push(Class::Ghost);
                }
            }
            _ => {}
        }
    }
    if times(client) == 0 {
        found.push(Class::View);
    }
    // "a newcomer was told an old state": somebody is missing who was in when it asked, and is
    // still in, and whom the server has not put out.
    for (who, _) in past.members().filter(|(who, r)| *r == room && *who != client) {
        let Some(stay) = stay(past, who, room, at) else { continue };
        let entered = stay.entered.is_some_and(|(entered, _)| entered < asked);
        let inside = stay.is_inside(at) && !may_end_by_server(past, who, stay);
        if entered && inside && times(who) == 0 {
            found.push(Class::Snapshot);
        }
    }
    found
}

/// The entry by which a client is in a room at this place.
fn sight(past: &Past<'_>, client: ClientId, room: RoomId, at: Place) -> Option<Place> {
    let mut mine = past.seen[..at].iter().enumerate().filter(|(_, it)| it.client == client).rev();
    mine.find_map(|(at, it)| match &it.what {
        What::Entered(entry) if entry.room == room => Some(Some(at)),
        What::Exited { room: left } if *left == room => Some(None),
        What::Closed(_) => Some(None),
        _ => None,
    })?
}

/// What a member believes at this place, from its list and all it was told since.
fn belief(past: &Past<'_>, client: ClientId, room: RoomId, at: Place) -> Option<Belief> {
    let since = sight(past, client, room, at)?;
    let What::Entered(entry) = &past.seen[since].what else { return None };
    let mut belief = Belief::from([(client, 1)]);
    // A second time only who may still be there with an old connection.
    let add = |belief: &mut Belief, who: ClientId, at: Place| {
        let times = belief.entry(who).or_default();
        if *times == 0 || comings(past, who, room, at) > 1 {
            *times += 1;
        }
    };
    let mut own = entry.members.is_none();
    for person in entry.members.iter().flatten() {
        match person.who {
            Who::Client(who) if who == client && !std::mem::replace(&mut own, true) => {}
            Who::Client(who) => add(&mut belief, who, since),
            _ => {}
        }
    }
    for (at, it) in past.seen.iter().enumerate().take(at).skip(since + 1) {
        match &it.what {
            _ if it.client != client => {}
            // Of one who never came nothing is believed, nor of oneself but of an old connection.
            What::Joined { room: r, who: Who::Client(who), .. }
                if *r == room
                    && past.stay_at(*who, room, at).is_some()
                    && (*who != client || comings(past, *who, room, at) > 1) =>
            {
                add(&mut belief, *who, at);
            }
            What::Left { room: r, who: Who::Client(who), .. } if *r == room => {
                let times = belief.entry(*who).or_default();
                let least = u32::from(*who == client);
                *times = (*times).saturating_sub(1).max(least.min(*times));
            }
            _ => {}
        }
    }
    belief.retain(|_, times| *times > 0);
    Some(belief)
}

/// "a membership notice is [...] doubled or wrong": somebody came.
fn came(past: &Past<'_>, at: Place, client: ClientId, room: RoomId, who: ClientId) -> Vec<Class> {
    let Some(belief) = belief(past, client, room, at).filter(|_| who != client) else {
        return vec![];
    };
    let never = past.stay_at(who, room, at).is_none();
    let again = belief.contains_key(&who)
        && told_to_come(past, at, client, room, who) > comings(past, who, room, at);
    if never || again { vec![Class::Notice] } else { vec![] }
}

/// How often a member was told that somebody came, up to this place: by its list, and since.
fn told_to_come(
    past: &Past<'_>,
    at: Place,
    client: ClientId,
    room: RoomId,
    who: ClientId,
) -> usize {
    let since = sight(past, client, room, at).unwrap_or(0);
    let seen = past.seen[since..=at].iter().filter(|it| it.client == client);
    seen.map(|it| match &it.what {
        What::Entered(entry) if entry.room == room => {
            entry.members.iter().flatten().filter(|it| it.who == Who::Client(who)).count()
        }
        What::Joined { room: r, who: w, .. } if *r == room && *w == Who::Client(who) => 1,
        _ => 0,
    })
    .sum()
}

/// "a membership notice is [...] doubled or wrong": somebody went.
fn went(past: &Past<'_>, at: Place, client: ClientId, room: RoomId, who: ClientId) -> Vec<Class> {
    let Some(belief) = belief(past, client, room, at).filter(|_| who != client) else {
        return vec![];
    };
    let Some(number) = past.stay_at(who, room, at) else { return vec![Class::Notice] };
    if !belief.contains_key(&who) {
        return vec![Class::Notice];
    }
    let stay = &past.stays(who, room)[number];
    let ends = stay.leaving.is_some_and(|it| it < at) || stay.over.is_some_and(|(it, _)| it < at);
    // It may be news of a stay before this one: as often as there were such.
    let since = sight(past, client, room, at).unwrap_or(0);
    let left = |what: &What| matches!(what, What::Left { room: r, who: w, .. } if *r == room && *w == Who::Client(who));
    let told = past.seen[since..=at].iter().filter(|it| it.client == client && left(&it.what));
    let earlier = past.stays(who, room)[..number].iter();
    let ended = earlier.filter(|stay| stay.entered.is_some() || stay.over.is_some());
    let late =
        told.count() <= ended.filter(|it| it.over.is_some_and(|o| o.1 != Over::Refused)).count();
    let excused = ends || late || may_end_by_server(past, who, stay);
    if excused { vec![] } else { vec![Class::Notice] }
}

/// The numbered views that members were told of, in the order told: who, where, when, which.
fn views(past: &Past<'_>) -> Vec<(ClientId, RoomId, Place, u64)> {
    let told = past.seen.iter().enumerate().filter_map(|(at, it)| match it.what {
        What::Joined { room, view: Some(view), .. }
        | What::Left { room, view: Some(view), .. }
        | What::Renamed { room, view: Some(view), .. } => Some((it.client, room, at, view)),
        _ => None,
    });
    told.filter(|(client, room, at, _)| sight(past, *client, *room, *at).is_some()).collect()
}

fn entered_with<'p>(past: &'p Past<'_>, client: ClientId, room: RoomId, at: Place) -> &'p Entry {
    let since = sight(past, client, room, at).expect("it is inside");
    let What::Entered(entry) = &past.seen[since].what else { unreachable!("an entry") };
    entry
}

/// Views have no gap: each is the next of the one that the member was told of before.
fn has_view_gap(past: &Past<'_>) -> bool {
    let views = views(past);
    views.iter().enumerate().any(|(n, (client, room, at, view))| {
        let since = sight(past, *client, *room, *at).expect("it is inside");
        let before =
            views[..n].iter().rev().find(|it| (it.0, it.1) == (*client, *room) && it.2 > since);
        let last = before.map(|it| it.3).or_else(|| entered_with(past, *client, *room, *at).view);
        last.is_some_and(|last| *view != last + 1)
    })
}

/// At each view of one life of a room all members hold the same set.
fn has_view_fork(past: &Past<'_>) -> bool {
    let held: Vec<_> = views(past)
        .into_iter()
        .filter_map(|(client, room, at, view)| {
            let entry = entered_with(past, client, room, at);
            let set = belief(past, client, room, at + 1)?;
            entry.members.is_some().then(|| ((room, entry.epoch.clone(), view), set))
        })
        .collect();
    held.iter().any(|(view, set)| held.iter().any(|(other, has)| view == other && set != has))
}

/// What everybody must have been told of, when all has been told that was on its way.
fn at_the_end(past: &Past<'_>, end_us: u64, opinion: &mut Opinion) {
    let end = past.seen.len();
    let decided = |at: Place| past.seen[at].at.0 < end_us - GRACE_US;
    for (client, room) in past.members() {
        let (Some(since), Some(belief)) =
            (sight(past, client, room, end), belief(past, client, room, end))
        else {
            continue;
        };
        if !past.reads(client, end) {
            continue;
        }
        for (who, _) in past.members().filter(|(_, r)| *r == room) {
            let Some(stay) = stay(past, who, room, end) else { continue };
            let believed = belief.contains_key(&who);
            // Who does not read does not see that it was put out.
            let entered = stay.entered.filter(|_| stay.is_inside(end) && past.reads(who, end));
            match (entered, stay.over) {
                (Some((entered, _)), _) if !believed && decided(entered) => {
                    if stay.asked > since {
                        // "a membership notice is missing"
                        opinion.tell(("membership", Class::Notice));
                    } else if entered < since {
                        // "members disagree on who is a member"
                        opinion.tell(("membership", Class::View));
                    }
                }
                // "somebody who is gone is still a member"
                (None, Some((over, how))) if how != Over::Refused && believed && decided(over) => {
                    opinion.tell(("membership", Class::Ghost));
                }
                _ => {}
            }
        }
    }
}
