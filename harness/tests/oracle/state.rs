//! What a room holds: presences, and its storage.

use std::sync::Arc;

use harness::check::Class;
use harness::observe::{ClientId, Entry, RoomId, What, Who};
use serde_json::Value;

use super::past::{Opinion, Past, Place};

/// A change of presence is everywhere after this; a server's scheduling may add this.
pub(super) const WITHIN_US: u64 = 1_000_000;
const SLACK_US: u64 = 250_000;

/// A state that somebody set: in which of its stays, where, what.
struct Set<'a> {
    stay: Option<usize>,
    at: Place,
    state: &'a Value,
}

fn sets<'a>(past: &Past<'a>, room: RoomId, who: ClientId) -> Vec<Set<'a>> {
    let all = past.seen.iter().enumerate().filter(|(_, it)| it.client == who);
    all.filter_map(|(at, it)| match &it.what {
        What::PresenceSending { room: r, state } if *r == room => {
            Some(Set { stay: past.stay_at(who, room, at), at, state })
        }
        _ => None,
    })
    .collect()
}

/// All that a member was told of somebody's presence in one stay: where, what, and whether as a
/// newcomer.
fn told<'a>(
    past: &Past<'a>,
    client: ClientId,
    room: RoomId,
    stay: usize,
    who: ClientId,
) -> Vec<(Place, &'a Value, bool)> {
    let stay = &past.stays(client, room)[stay];
    let over = stay.over.map_or(past.seen.len(), |(at, _)| at);
    let since = stay.entered.map_or(over, |(at, _)| at);
    let mine = past.seen.iter().enumerate().take(over).skip(since);
    let mut told = Vec::new();
    for (at, it) in mine.filter(|(_, it)| it.client == client) {
        match &it.what {
            What::Presence { room: r, who: w, state, .. }
                if *r == room && *w == Who::Client(who) =>
            {
                told.push((at, &**state, false));
            }
            What::Entered(entry) if entry.room == room => {
                let of = entry.members.iter().flatten().filter(|it| it.who == Who::Client(who));
                let states = of.filter_map(|it| it.state.as_deref());
                // Who never set anything has an empty state.
                let set = |state: &&Value| !state.is_null() && **state != serde_json::json!({});
                told.extend(states.filter(set).map(|state| (at, state, true)));
            }
            _ => {}
        }
    }
    told
}

/// "a presence is stale, wrong or went back"; of a newcomer's list "an old state".
pub(super) fn presence(past: &Past<'_>, end_us: u64, opinion: &mut Opinion) {
    for (client, room) in past.members() {
        for stay in 0..past.stays(client, room).len() {
            for (who, _) in past.members().filter(|(_, r)| *r == room) {
                followed(past, (client, room, stay), who, end_us, opinion);
            }
        }
    }
}

fn followed(
    past: &Past<'_>,
    (client, room, stay): (ClientId, RoomId, usize),
    who: ClientId,
    end_us: u64,
    opinion: &mut Opinion,
) {
    let all = sets(past, room, who);
    // The newest state seen, and the newest of an earlier stay, by their places among all.
    let mut newest: Option<usize> = None;
    let mut earlier = 0;
    for (at, state, listed) in told(past, client, room, stay, who) {
        let said: Vec<(usize, &Set<'_>)> =
            all.iter().enumerate().filter(|(_, set)| set.at < at).collect();
        let class = if listed { Class::Snapshot } else { Class::Presence };
        // The same state may come up again: it is taken for the earliest that is no step back. Or
        // it is of an earlier stay, over another connection: then it has an order of its own.
        let is_it = |set: &Set<'_>| set.state == state;
        let last_stay = newest.map(|n| all[n].stay);
        let forward =
            said.iter().find(|(n, set)| is_it(set) && newest.is_none_or(|newest| *n >= newest));
        let back = said.iter().find(|(n, set)| {
            is_it(set) && *n >= earlier && last_stay.is_some_and(|it| set.stay < it)
        });
        let Some((n, set)) = forward else {
            // Of one that never set anything, whatever it is may be the server's own.
            match back {
                Some((n, _)) => earlier = *n,
                None if said.is_empty() => {}
                None => opinion.tell(("presence", class)),
            }
            continue;
        };
        let goes_on = last_stay == Some(set.stay);
        let before = newest.replace(*n);
        if !goes_on {
            earlier = before.unwrap_or(0);
        }
        let before = before.filter(|_| goes_on);
        let took = past.seen[at].at.0 - past.seen[set.at].at.0;
        let last = n + 1 == said.len();
        // Late: of one whose presence it had seen already, and that it had not changed since.
        if last && before.is_some_and(|before| before != *n) && took > WITHIN_US + SLACK_US {
            opinion.tell(("presence", class));
        }
    }
    // Stale: at the end it sees an older state than the last of somebody who is still there.
    let end = past.seen.len();
    let inside = |client: ClientId| {
        let last = past.stays(client, room).last();
        last.filter(|it| it.over.is_none() && it.entered.is_some()).is_some()
    };
    let here =
        stay + 1 == past.stays(client, room).len() && inside(client) && past.reads(client, end);
    let current = past.stay_at(who, room, end);
    let last = all.iter().enumerate().rfind(|(_, set)| set.stay == current);
    // Who does not read does not see that it was put out.
    let there = inside(who) && past.reads(who, end);
    if let Some((n, set)) = last.filter(|_| here && who != client && there) {
        let seen = newest.filter(|seen| all[*seen].stay == current);
        if past.seen[set.at].at.0 < end_us - WITHIN_US && seen.is_some_and(|seen| seen < n) {
            opinion.tell(("presence", Class::Presence));
        }
    }
}

/// A life of a room: its storage is of that life alone.
type Life = (RoomId, Option<Arc<str>>);

/// The life of a room in which a client is, or was last, at this place.
fn life(past: &Past<'_>, client: ClientId, room: RoomId, at: Place) -> Life {
    let entries = past.seen[..at].iter().rev().filter(|it| it.client == client);
    let last = entries.filter_map(|it| match &it.what {
        What::Entered(entry) if entry.room == room => Some(entry.epoch.clone()),
        _ => None,
    });
    let own = last.take(1).next();
    // Who was never told that it is in reads of the life in which others are.
    let others = || {
        past.seen[..at].iter().rev().find_map(|it| match &it.what {
            What::Entered(entry) if entry.room == room => Some(entry.epoch.clone()),
            _ => None,
        })
    };
    (room, own.or_else(others).flatten())
}

struct Write<'a> {
    at: Place,
    client: ClientId,
    life: Life,
    version: u64,
    ops: &'a Value,
}

fn writes<'a>(past: &Past<'a>) -> Vec<Write<'a>> {
    let all = past.seen.iter().enumerate();
    all.filter_map(|(at, it)| match &it.what {
        What::Stored { room, version, ops, .. } => {
            let life = life(past, it.client, *room, at);
            Some(Write { at, client: it.client, life, version: *version, ops })
        }
        _ => None,
    })
    .collect()
}

/// "the storage has gaps, forks or lost writes", and what newcomers are told of it.
pub(super) fn storage(past: &Past<'_>, opinion: &mut Opinion) {
    let writes = writes(past);
    let mut tell = |found: bool, class| {
        if found {
            opinion.tell(("storage", class));
        }
    };
    // A gap: the next version that a member sees is not the next one.
    let gap = writes.iter().any(|write| {
        version_before(past, &writes, write).is_some_and(|last| write.version != last + 1)
    });
    tell(gap, Class::Storage);
    // A fork: one version is two writes.
    let fork = |one: &Write<'_>, other: &Write<'_>| {
        (&one.life, one.version) == (&other.life, other.version) && one.ops != other.ops
    };
    tell(writes.iter().any(|one| writes.iter().any(|other| fork(one, other))), Class::Storage);
    tell(is_acked_wrongly(past, &writes), Class::Storage);
    tell(is_refused_and_done(past, &writes), Class::Storage);
    tell(has_old_snapshot(past, &writes), Class::Snapshot);
}

/// The version that a member held before a write came to it.
fn version_before(past: &Past<'_>, writes: &[Write<'_>], write: &Write<'_>) -> Option<u64> {
    let (room, client) = (write.life.0, write.client);
    let mut before = past.seen[..write.at].iter().enumerate().rev();
    before.find_map(|(at, it)| match &it.what {
        _ if it.client != client => None,
        What::Stored { room: r, .. } if *r == room => {
            Some(writes.iter().find(|it| it.at == at).map(|it| it.version))
        }
        What::Entered(entry) if entry.room == room => match &entry.storage {
            Some((version, _)) => Some(Some(*version)),
            // Who recovers goes on where it was.
            None if entry.recovered == Some(true) => None,
            None => Some(None),
        },
        What::Exited { room: r } if *r == room => Some(None),
        _ => None,
    })?
}

/// Confirmations: each names a version of its own, after all that were confirmed and after all that
/// the writer had seen when it asked, and the write that was asked for comes with it to somebody who is there.
fn is_acked_wrongly(past: &Past<'_>, writes: &[Write<'_>]) -> bool {
    struct Ack<'a> {
        at: Place,
        asked: Place,
        life: Life,
        version: u64,
        ops: &'a Value,
        client: ClientId,
    }
    let asked = |client: ClientId, room: RoomId, number: u32, before: Place| {
        past.seen[..before].iter().enumerate().rev().find_map(|(at, it)| match &it.what {
            What::Storing { room: r, request, ops } if it.client == client => {
                ((*r, *request) == (room, number)).then_some((at, &**ops))
            }
            _ => None,
        })
    };
    let acks: Vec<Ack<'_>> = past
        .seen
        .iter()
        .enumerate()
        .filter_map(|(at, it)| match it.what {
            What::StoreAcked { room, request, version: Some(version) } => {
                let (asked, ops) = asked(it.client, room, request, at)?;
                let (client, life) = (it.client, life(past, it.client, room, at));
                Some(Ack { at, asked, life, version, ops, client })
            }
            _ => None,
        })
        .collect();
    let end = past.seen.len();
    acks.iter().any(|ack| {
        let of_life = || acks.iter().filter(|other| other.life == ack.life);
        let earlier = of_life().any(|other| other.at < ack.asked && other.version >= ack.version);
        let held = |client, at| {
            let none = Write { at, client, life: ack.life.clone(), version: 0, ops: ack.ops };
            version_before(past, writes, &none)
        };
        let back = ack.version <= held(ack.client, ack.asked).unwrap_or(0);
        let twice = of_life().any(|other| other.at != ack.at && other.version == ack.version);
        let mut came =
            writes.iter().filter(|it| (&it.life, it.version) == (&ack.life, ack.version));
        // Somebody who is still there, and had not got so far, would have got it.
        let awaited =
            past.members().filter(|(_, room)| *room == ack.life.0).any(|(client, room)| {
                let stay = past.stays(client, room).last();
                let inside = stay.is_some_and(|it| it.entered.is_some() && it.over.is_none());
                let here =
                    inside && past.reads(client, end) && life(past, client, room, end) == ack.life;
                here && held(client, end).is_some_and(|has| has < ack.version)
            });
        let other = came.clone().any(|it| it.ops != ack.ops);
        earlier || back || twice || other || (came.next().is_none() && awaited)
    })
}

/// A write was refused, and there are more versions of it than were asked for and not refused.
fn is_refused_and_done(past: &Past<'_>, writes: &[Write<'_>]) -> bool {
    let asked: Vec<(ClientId, RoomId, u32, &Value)> = past
        .seen
        .iter()
        .filter_map(|it| match &it.what {
            What::Storing { room, request, ops } => Some((it.client, *room, *request, &**ops)),
            _ => None,
        })
        .collect();
    let is_refused = |(client, room, request, _): &&(ClientId, RoomId, u32, &Value)| {
        past.seen.iter().any(|it| {
            let refused = matches!(it.what, What::StoreRefused { room: r, request: n } if (r, n) == (*room, *request));
            refused && it.client == *client
        })
    };
    asked.iter().filter(is_refused).any(|(_, room, _, ops)| {
        let same = || asked.iter().filter(|(_, r, _, o)| (r, o) == (room, ops));
        let mut versions: Vec<(&Life, u64)> = writes
            .iter()
            .filter(|it| it.life.0 == *room && it.ops == *ops)
            .map(|it| (&it.life, it.version))
            .collect();
        versions.sort();
        versions.dedup();
        versions.len() > same().count() - same().filter(is_refused).count()
    })
}

/// "a newcomer was told an old state": the content is not the first one with all writes since.
fn has_old_snapshot(past: &Past<'_>, writes: &[Write<'_>]) -> bool {
    let entries = || {
        past.seen.iter().filter_map(|it| match &it.what {
            What::Entered(entry) => Some(&**entry),
            _ => None,
        })
    };
    let with = |it: &Entry| it.storage.is_some();
    entries().filter(|it| with(it)).any(|entry| {
        let same = |other: &&Entry| (other.room, &other.epoch) == (entry.room, &entry.epoch);
        let (Some((version, content)), Some((first, base))) = (
            &entry.storage,
            entries().filter(same).find(|it| with(it)).and_then(|it| it.storage.as_ref()),
        ) else {
            return false;
        };
        let mut expected = base.as_object().cloned().unwrap_or_default();
        for next in first + 1..=*version {
            let of = |it: &&Write<'_>| it.life == (entry.room, entry.epoch.clone());
            let Some(write) = writes.iter().filter(of).find(|it| it.version == next) else {
                return false;
            };
            apply(&mut expected, write.ops);
        }
        first <= version && Value::Object(expected) != **content
    })
}

fn apply(content: &mut serde_json::Map<String, Value>, ops: &Value) {
    for op in ops.as_array().into_iter().flatten() {
        if let Some(put) = op.get("put") {
            let key = put["key"].as_str().unwrap_or_default().to_owned();
            content.insert(key, put["value"].clone());
        } else if let Some(key) = op["delete"]["key"].as_str() {
            content.remove(key);
        }
    }
}
