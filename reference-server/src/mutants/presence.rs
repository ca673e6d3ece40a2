//! Servers that are wrong about who is there and how they are: presences, ghosts, notices, typing.

use protocol::{Dialect, Frame, Outlet, Reason};
use serde_json::{Value, json};

use super::{Asks, At, Heard, Kind, Mutant, Phase, Take, acting, kind};
use crate::connection::Order;

pub(super) const MUTANTS: &[Mutant] = &[
    Mutant {
        outlet: Some(stale),
        ..Mutant::new("pres-stale", "tells others the presence that a member had before")
    },
    Mutant {
        outlet: Some(regress),
        ..Mutant::new("pres-regress", "tells an older presence once more after a newer one")
    },
    Mutant {
        outlet: Some(replace),
        ..Mutant::new("pres-replace", "takes a patch of a presence for the whole of it")
    },
    Mutant {
        outlet: Some(miscount),
        ..Mutant::new("pres-count-wrong", "counts one more than it lists")
    },
    Mutant {
        ends: Some(|connection, order| {
            if order == Order::Lost {
                connection.server.mutants.mark("broken", connection.id);
            }
            order
        }),
        leaves: Some(|turn, reason| {
            let is_broken = |by| turn.state().is_marked("broken", by);
            Some(reason).filter(|_| !acting::now().by.is_some_and(is_broken))
        }),
        ..Mutant::new("ghost-abrupt", "keeps those in their rooms whose connections broke off")
    },
    Mutant {
        leaves: Some(|_, reason| Some(reason).filter(|&reason| reason != Reason::Timeout)),
        ..Mutant::new("ghost-halfopen", "keeps those in their rooms who have fallen silent")
    },
    Mutant {
        hears: Some(keep_name),
        ..Mutant::new("ghost-username", "never gives a name free that somebody had who is gone")
    },
    Mutant {
        hears: Some(remove_early),
        ..Mutant::new("removed-too-early", "tells a user as gone who has another connection")
    },
    Mutant {
        outlet: Some(|at| at.double(Kind::Went)),
        ..Mutant::new("removed-twice", "tells twice that somebody left")
    },
    Mutant {
        outlet: Some(|at| {
            let is_gone = at.acting.phase == Phase::Ending || at.asked() == Some(Asks::Leave);
            if !(is_gone && at.is_turn(Kind::Typing)) {
                at.pass();
            }
        }),
        hears: Some(keep_typing),
        ..Mutant::new("typing-stuck", "does not end the typing of those who are gone")
    },
    Mutant {
        outlet: Some(flap),
        ..Mutant::new("pres-flap", "tells at each ping that its receiver left and came back")
    },
];

/// Where a presence stands in what is told of it.
fn place(dialect: Dialect) -> &'static str {
    if dialect == Dialect::Rooms { "/PresenceUpdated/presence" } else { "/state" }
}

/// Names what one receiver is told of one member.
fn told(at: &At<'_>) -> String {
    format!("told {} {:?} {:?}", at.to.id, at.room(), at.said().who)
}

fn stale(at: &At<'_>) {
    let mut value = at.json();
    let Some(state) = value.pointer_mut(place(at.dialect)).filter(|_| at.is(Kind::Presence)) else {
        return at.pass();
    };
    if let Some(before) = at.state().set(&told(at), state.to_string())
        && at.is_others_turn(Kind::Presence)
    {
        *state = serde_json::from_str(&before).unwrap_or_default();
    }
    at.send_json(&value);
}

fn regress(at: &At<'_>) {
    at.pass();
    if !at.is(Kind::Presence) || at.is_own() {
        return;
    }
    if let Some(older) = at.state().keep(&told(at), at.frame)
        && at.is_turn(Kind::Presence)
    {
        at.send(&older);
    }
}

fn replace(at: &At<'_>) {
    let asked = at.acting.text.as_deref().map(serde_json::from_str::<Value>);
    let asked = asked.and_then(Result::ok).unwrap_or_default();
    let patch = asked.get("UpdatePresence").or_else(|| asked.get("patch"));
    let Some(patch) = patch.and_then(Value::as_object).filter(|_| at.is(Kind::Presence)) else {
        return at.pass();
    };
    let mut value = at.json();
    if let Some(state) = value.pointer_mut(place(at.dialect)) {
        let mut whole = patch.clone();
        whole.retain(|_, value| !value.is_null());
        *state = whole.into();
    }
    at.send_json(&value);
}

fn miscount(at: &At<'_>) {
    at.alter(Kind::Entered, |entered| {
        let one_more = |count: &mut Value| *count = (count.as_u64().unwrap_or_default() + 1).into();
        if let Some(mut data) = kind::inner(entered) {
            data.pointer_mut("/presence/count").map(one_more);
            entered["data"] = data.to_string().into();
        }
        entered.pointer_mut("/count").map(one_more);
    });
}

/// A name is somebody's for as long as that connection is there, and for ever after it.
fn keep_name(heard: &Heard<'_>) -> Take {
    let asked = heard.json();
    let Some(name) = asked["username"].as_str().filter(|_| heard.request.asks == Asks::Name) else {
        return Take::Pass;
    };
    let state = heard.state();
    let bearer = state.note(&format!("name {name}")).and_then(|id| id.parse::<u64>().ok());
    match bearer {
        Some(id) if state.connections().iter().all(|it| it.id != id) => {
            let why = json!({ "type": "error", "code": "username_taken", "message": "taken" });
            heard.say(&Frame::json(&why));
            Take::nothing()
        }
        _ => {
            state.set(&format!("name {name}"), heard.by.id.to_string());
            Take::Pass
        }
    }
}

fn remove_early(heard: &Heard<'_>) -> Take {
    let Some(channel) = heard.request.room.as_deref() else { return Take::Pass };
    let user_of = format!("user {} {channel}", heard.by.id);
    if heard.request.asks == Asks::Join {
        let data = heard.json()["data"]["channel_data"].clone();
        let data: Value =
            serde_json::from_str(data.as_str().unwrap_or_default()).unwrap_or_default();
        if let Some(user) = data["user_id"].as_str() {
            heard.state().set(&user_of, user);
        }
    } else if heard.is_turn(Asks::Leave)
        && let Some(room) = heard.room_in_world()
        && let Some(user) = heard.state().note(&user_of)
    {
        let data = json!({ "user_id": user }).to_string();
        let event = "pusher_internal:member_removed";
        let gone = Frame::json(&json!({ "event": event, "channel": channel, "data": data }));
        for other in heard.state().members(&room).iter().filter(|it| it.id != heard.by.id) {
            heard.turn.push(other, &gone);
        }
    }
    Take::Pass
}

/// In `chat` nobody says that the typing of one who leaves has ended; but who comes later begins anew.
fn keep_typing(heard: &Heard<'_>) -> Take {
    let Some(room) = heard.room_in_world().filter(|_| heard.dialect == Dialect::Chat) else {
        return Take::Pass;
    };
    let types = format!("types {room}");
    let by = heard.by.id.to_string();
    match heard.json()["type"].as_str() {
        Some("typing") => drop(heard.state().set(&types, by)),
        Some("chat") => drop(heard.state().unset(&types)),
        Some("stop_typing") => {
            let who = heard.state().unset(&types);
            if who.is_some_and(|who| who != by) {
                let stop = Frame::json(&json!({ "type": "partner_stop_typing" }));
                for other in heard.state().members(&room).iter().filter(|it| it.id != heard.by.id) {
                    heard.turn.push(other, &stop);
                }
            }
        }
        _ => {}
    }
    Take::Pass
}

/// What others were told when somebody came is told them once more at its pings, behind a leaving.
fn flap(at: &At<'_>) {
    at.pass();
    let came = |by: u64, to: u64, room: &str| format!("came {by} {to} {room}");
    if let (Kind::Came, Some(by), Some(room)) = (at.kind(), at.acting.by, at.room()) {
        at.state().keep(&came(by, at.to.id, room), at.frame);
    }
    if !at.is_turn(Kind::Ping) {
        return;
    }
    for room in at.state().rooms_of(at.to.id) {
        for other in at.state().members(&room).iter().filter(|it| it.id != at.to.id) {
            if let Some(back) = at.state().kept(&came(at.to.id, other.id, &room)) {
                at.send_to(other, &Frame::json(&gone(at.dialect, &back)));
                at.send_to(other, &back);
            }
        }
    }
}

/// That one left, made from what was told when it came.
fn gone(dialect: Dialect, came: &Frame) -> Value {
    let mut value: Value = serde_json::from_str(came.as_text()).unwrap_or_default();
    match dialect {
        Dialect::Rooms => json!({ "RoomLeft": value["RoomJoined"].take() }),
        Dialect::Chat => json!({ "type": "partner_left" }),
        Dialect::Pusher => {
            let user = kind::inner(&value).map(|data| json!({ "user_id": data["user_id"] }));
            value["event"] = "pusher_internal:member_removed".into();
            value["data"] = user.unwrap_or_default().to_string().into();
            value
        }
        _ => json!({
            "type": "member_left", "room": value["room"], "view": value["view"],
            "member": value["member"], "reason": "left",
        }),
    }
}
