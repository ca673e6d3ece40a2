//! What a backend asks: which channels are occupied, by how many, and by whom.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{Info, Refused, value};
use crate::json;
use crate::pusher::name::{Kind, USER_CHANNEL, channel_of_user, is_channel};
use crate::pusher::{App, channel_of, key};
use crate::room::Room;
use crate::time::Now;
use crate::world::{Make, World};

/// A channel in a list.
#[derive(Serialize)]
struct Listed {
    #[serde(skip_serializing_if = "Option::is_none")]
    user_count: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    subscription_count: Option<usize>,
}

/// One channel.
#[derive(Default, Serialize)]
struct State {
    occupied: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_count: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    subscription_count: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cache: Option<Cache>,
}

/// The last event of a channel that keeps it.
#[derive(Serialize)]
struct Cache {
    data: String,
    /// In seconds.
    ttl: u64,
}

#[derive(Serialize)]
struct User {
    id: String,
}

/// The occupied channels (`GET channels`): with `filter_by_prefix` those that begin so, with `info`
/// how many are there.
///
/// # Errors
/// 400 if users are to be counted in channels that have none.
pub fn channels<W: World>(
    app: &App,
    query: &[(String, String)],
    world: &W,
) -> Result<String, Refused> {
    let prefix = value(query, "filter_by_prefix").unwrap_or_default();
    let info = Info::read(value(query, "info"));
    if info.user_count && !Kind::of(prefix).is_presence() {
        let why = "user_count is for channels of which filter_by_prefix begins with presence-";
        return Err(Refused::new(400, why));
    }
    let mut listed = BTreeMap::new();
    world.rooms_named(&key(app, prefix), &mut |room| {
        let name = channel_of(room.name());
        if room.count() > 0 && !name.starts_with(USER_CHANNEL) {
            let counted = Listed {
                user_count: info.user_count.then(|| user_count(room)),
                subscription_count: info.subscription_count.then_some(room.count()),
            };
            listed.insert(name.to_owned(), counted);
        }
    });
    Ok(json::text(&BTreeMap::from([("channels", listed)])))
}

/// One channel (`GET channels/NAME`): whether it is occupied, with `info` by how many.
///
/// # Errors
/// 400 for what it cannot have.
pub fn channel<W: World>(
    now: Now,
    app: &App,
    name: &str,
    query: &[(String, String)],
    world: &W,
) -> Result<String, Refused> {
    check_name(name)?;
    let (kind, info) = (Kind::of(name), Info::read(value(query, "info")));
    if info.user_count && !kind.is_presence() {
        return Err(Refused::new(400, "user_count is for presence channels"));
    }
    if info.cache && !kind.keeps {
        return Err(Refused::new(400, "cache is for cache channels"));
    }
    let count = |counted: bool, count: usize| counted.then_some(count);
    let state = look(app, name, world, |room| State {
        occupied: room.count() > 0,
        user_count: count(info.user_count, user_count(room)),
        subscription_count: count(info.subscription_count, room.count()),
        cache: Some(room).filter(|_| info.cache).and_then(|room| cache(now, room)),
    });
    let state = state.unwrap_or_else(|| State {
        user_count: count(info.user_count, 0),
        subscription_count: count(info.subscription_count, 0),
        ..State::default()
    });
    Ok(json::text(&state))
}

/// The users of a presence channel (`GET channels/NAME/users`).
///
/// # Errors
/// 400 if it is none.
pub fn users<W: World>(app: &App, name: &str, world: &W) -> Result<String, Refused> {
    check_name(name)?;
    if !Kind::of(name).is_presence() {
        return Err(Refused::new(400, "only presence channels have users"));
    }
    let users = look(app, name, world, |room| {
        let users = room.channel.iter().flat_map(|channel| channel.users());
        users.map(|id| User { id: id.to_owned() }).collect::<Vec<_>>()
    });
    Ok(json::text(&BTreeMap::from([("users", users.unwrap_or_default())])))
}

/// The connections that are signed in as this user: those that
/// `POST users/ID/terminate_connections` evicts.
pub fn connections_of<W: World>(app: &App, user: &str, world: &W) -> Vec<W::Peer> {
    let peers = look(app, &channel_of_user(user), world, |room| {
        room.occupants().map(|occupant| occupant.peer.clone()).collect()
    });
    peers.unwrap_or_default()
}

fn check_name(name: &str) -> Result<(), Refused> {
    match is_channel(name) {
        true => Ok(()),
        false => Err(Refused::new(400, "that is no name of a channel")),
    }
}

fn look<W: World, R>(
    app: &App,
    name: &str,
    world: &W,
    look: impl FnOnce(&Room<W::Peer>) -> R,
) -> Option<R> {
    world.with_room(&key(app, name), Make::Never, |room| look(room))
}

fn user_count<P>(room: &Room<P>) -> usize {
    room.channel.as_ref().map_or(0, |channel| channel.users().len())
}

fn cache<P>(now: Now, room: &Room<P>) -> Option<Cache> {
    let (frame, ttl) = room.channel.as_ref()?.last(now.time)?;
    let data = *json::fields(frame.as_text()).get("data")?;
    Some(Cache { data: json::parse(data.get()).ok()?, ttl: ttl.as_secs() })
}
