//! Servers that are wrong when somebody leaves a room: what is answered, told, and still heard.

use std::{collections::BTreeMap, sync::Arc};

use protocol::{Dialect, Ending, Make, RawValue, Reason, Room};
use serde_json::Value;

use super::{Asks, At, Heard, Kind, Mutant, Take, Turn, join::is_join, kind};
use crate::connection::Connection;

pub(super) const MUTANTS: &[Mutant] = &[
    Mutant {
        outlet: Some(|at| at.lose(Kind::Exited)),
        ..Mutant::new("leave-no-ack", "lets go and does not say so")
    },
    Mutant {
        hears: Some(|heard| {
            let leaves = heard.request.asks == Asks::Leave;
            if let Some(room) = heard.room_in_world().filter(|_| leaves) {
                heard.state().mark(&format!("left {room}"), heard.by.id);
            }
            Take::Pass
        }),
        outlet: Some(|at| {
            let mark = format!("left {}", at.room().unwrap_or_default());
            if at.is(Kind::Entered) {
                at.state().unmark(&mark, at.to.id);
            }
            at.pass();
            if at.is_content() {
                at.spread(at.state().marked(&mark));
            }
        }),
        ..Mutant::new("leave-still-delivers", "lets those who left hear the room")
    },
    Mutant {
        outlet: Some(|at| at.lose(Kind::Went)),
        ..Mutant::new("leave-notice-missing", "tells nobody of who leaves")
    },
    Mutant {
        outlet: Some(blame_another),
        ..Mutant::new("leave-notice-wrong-id", "tells everybody that it is itself who left")
    },
    Mutant {
        hears: Some(|heard| {
            if heard.request.asks == Asks::Leave && heard.room_in_world().is_some() {
                heard.state().mark("deaf", heard.by.id);
            }
            Take::Pass
        }),
        outlet: Some(say_to_who_hears),
        ..Mutant::new("leave-removes-all", "takes out of all rooms who leaves one")
    },
    Mutant {
        hears: Some(deafen_namesakes),
        outlet: Some(|at| {
            let user = at.acting.text.as_deref().filter(|_| at.is_own()).and_then(kind::user_of);
            if let Some(user) = user.filter(|_| at.is(Kind::Entered)) {
                at.state().set(&format!("name {}", at.to.id), user);
            }
            say_to_who_hears(at);
        }),
        ..Mutant::new("leave-other-user", "takes out others of the name of who leaves")
    },
    Mutant {
        keeps: true,
        keep: Some(remember),
        before: Some(recall),
        make: Some(|turn, room, make| {
            let was_there = turn.state().note(&format!("was {room}")).is_some();
            if make == Make::Never && was_there && is_join(turn) { Make::IfAbsent } else { make }
        }),
        outlet: Some(list_the_gone),
        ..Mutant::new("leave-empty-room-not-freed", "gives an emptied room's content to the next")
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

/// Names its receiver, or another who is there, where the leaver stands.
fn blame_another(at: &At<'_>) {
    let own = format!("you {} {:?}", at.to.id, at.room());
    if at.is(Kind::Entered) {
        let user = at.acting.text.as_deref().and_then(kind::user_of);
        let you = user.or_else(|| at.json()["you"].as_str().map(str::to_owned));
        at.state().set(&own, you.unwrap_or_else(|| at.to.told_id()));
    }
    let other: Value = at.state().note(&own).unwrap_or_default().into();
    at.alter(Kind::Went, |left| {
        for place in ["/member", "/RoomLeft/client_id"] {
            if let Some(member) = left.pointer_mut(place) {
                *member = other.clone();
            }
        }
        let data = left.get("data").and_then(Value::as_str);
        if let Some(mut data) = data.and_then(|data| serde_json::from_str::<Value>(data).ok()) {
            data["user_id"] = other.clone();
            left["data"] = data.to_string().into();
        }
    });
}

/// Who is deaf hears nothing until it enters a room again.
fn say_to_who_hears(at: &At<'_>) {
    if at.is(Kind::Entered) {
        at.state().unmark("deaf", at.to.id);
    }
    if !(at.is_content() && at.state().is_marked("deaf", at.to.id)) {
        at.pass();
    }
}

fn deafen_namesakes(heard: &Heard<'_>) -> Take {
    let state = heard.state();
    let name_of = |id: u64| state.note(&format!("name {id}"));
    let own = name_of(heard.by.id);
    match heard.request.asks {
        Asks::Name => {
            let name = heard.json()["username"].as_str().unwrap_or_default().to_owned();
            state.set(&format!("name {}", heard.by.id), name);
        }
        Asks::Leave if own.is_some() => {
            let others = state.connections().into_iter().filter(|it| it.id != heard.by.id);
            for namesake in others.filter(|it| name_of(it.id) == own) {
                state.mark("deaf", namesake.id);
            }
        }
        _ => {}
    }
    Take::Pass
}

/// What a room's storage is, as a note: its version and its entries, as JSON.
fn note_of(room: &str) -> String {
    format!("storage {room}")
}

type Kept = (u64, BTreeMap<String, String>);

fn remember(turn: &Turn, room: &str, version: u64, changes: &[(String, Option<String>)]) {
    let kept = turn.state().note(&note_of(room));
    let kept: Option<Kept> = kept.and_then(|kept| serde_json::from_str(&kept).ok());
    let (_, mut entries) = kept.unwrap_or_default();
    for (key, value) in changes {
        match value {
            Some(value) => entries.insert(key.clone(), value.clone()),
            None => entries.remove(key),
        };
    }
    let kept = serde_json::to_string(&(version, entries)).unwrap_or_default();
    turn.state().set(&note_of(room), kept);
}

fn recall(turn: &Turn, room: &mut Room<Arc<Connection>>) {
    turn.state().set(&format!("was {}", room.name()), "there");
    if room.count() > 0 || room.storage_version() > 0 {
        return;
    }
    let kept = turn.state().note(&note_of(room.name()));
    let kept: Option<Kept> = kept.and_then(|kept| serde_json::from_str(&kept).ok());
    if let Some((version, entries)) = kept {
        let raw = |(key, value)| Some((key, RawValue::from_string(value).ok()?));
        room.restore(version, entries.into_iter().filter_map(raw));
    }
}

/// Lists, for who is alone on a presence channel, those who once were on it.
fn list_the_gone(at: &At<'_>) {
    if at.dialect != Dialect::Pusher || !at.is(Kind::Entered) {
        return at.pass();
    }
    let Some(user) = at.acting.text.as_deref().and_then(kind::user_of) else { return at.pass() };
    let place = format!("users {:?}", at.room());
    let known = at.state().note(&place).unwrap_or_default();
    let mut users: Vec<String> = serde_json::from_str(&known).unwrap_or_default();
    at.alter(Kind::Entered, |entered| {
        let data = entered.get("data").and_then(Value::as_str);
        let data = data.and_then(|data| serde_json::from_str::<Value>(data).ok());
        let Some(mut data) = data.filter(|data| data["presence"]["count"] == 1) else { return };
        let presence = &mut data["presence"];
        for gone in users.iter().filter(|gone| **gone != user) {
            presence["hash"][gone] = Value::Null;
            if let Some(ids) = presence["ids"].as_array_mut() {
                ids.push(gone.as_str().into());
            }
        }
        presence["count"] = presence["ids"].as_array().map_or(0, Vec::len).into();
        entered["data"] = data.to_string().into();
    });
    if !users.contains(&user) {
        users.push(user);
    }
    at.state().set(&place, serde_json::to_string(&users).unwrap_or_default());
}
