//! Servers that are wrong when somebody enters a room: what is answered, told, shown and heard then.

use std::sync::Arc;

use protocol::{Dialect, Make};
use serde_json::{Value, json};

use super::{Asks, At, Heard, Kind, Mutant, Take, Turn, acting, kind};
use crate::connection::Connection;

pub(super) const MUTANTS: &[Mutant] = &[
    Mutant {
        outlet: Some(|at| at.lose(Kind::Entered)),
        ..Mutant::new("join-no-ack", "lets in and does not say so")
    },
    Mutant {
        outlet: Some(confirm_early),
        ..Mutant::new("join-ack-before-member", "confirms a join before it has let in")
    },
    Mutant {
        outlet: Some(tell_the_past),
        ..Mutant::new("join-sees-past", "gives a newcomer the first that was said in the room")
    },
    Mutant {
        outlet: Some(|at| {
            let live = at.is(Kind::Message) && !at.is_own();
            let nth = || at.state().count(&format!("{} {:?}", at.to.id, at.room()));
            if !live || nth() != 2 {
                at.pass();
            }
        }),
        ..Mutant::new("join-hole", "loses the second message that a newcomer would get")
    },
    Mutant {
        outlet: Some(|at| at.alter(Kind::Entered, name_another_room)),
        ..Mutant::new("join-wrong-room-id", "confirms a join of another room")
    },
    Mutant {
        hears: Some(note_second_join),
        outlet: Some(|at| {
            at.pass();
            if at.is_content() && at.state().is_marked(&format!("twice {:?}", at.room()), at.to.id)
            {
                at.pass();
            }
        }),
        ..Mutant::new("join-twice-double", "gives everything twice to who asks twice for a room")
    },
    Mutant {
        outlet: Some(let_in_besides),
        ..Mutant::new("join-implicit-leave-missing", "lets into a second room who is in one")
    },
    Mutant {
        outlet: Some(|at| at.lose(Kind::Came)),
        ..Mutant::new("join-notice-missing", "tells nobody of who comes")
    },
    Mutant {
        outlet: Some(|at| {
            let newcomer = at.acting.by.and_then(|by| at.state().connection(by));
            match newcomer.filter(|_| at.is_turn(Kind::Came)) {
                Some(newcomer) => at.send_to(&newcomer, at.frame),
                None => at.pass(),
            }
        }),
        ..Mutant::new("join-notice-to-self-only", "tells who comes instead of who is there")
    },
    Mutant {
        outlet: Some(tell_again),
        ..Mutant::new("join-notice-dup", "tells twice of who comes")
    },
    Mutant {
        hears: Some(|heard| match heard.dialect {
            Dialect::Native if heard.is_turn(Asks::Create) => {
                let mut asked = heard.json();
                asked["capacity"] = (asked["capacity"].as_u64().unwrap_or(2) + 1).into();
                Take::instead(asked.to_string())
            }
            _ => Take::Pass,
        }),
        outlet: Some(let_in_a_third),
        ..Mutant::new("join-full-room-accepted", "lets one more into a room than it may have")
    },
    Mutant {
        make: Some(
            |turn, _, make| {
                if is_join(turn) && make == Make::Never { Make::IfAbsent } else { make }
            },
        ),
        ..Mutant::new("join-unknown-code-ok", "makes a room of a code that nobody has been given")
    },
    Mutant {
        outlet: Some(|at| {
            at.alter(Kind::Created, |created| {
                for place in ["/code", "/room_code"] {
                    if let Some(code) = created.pointer_mut(place) {
                        *code = code.as_str().unwrap_or_default().to_lowercase().into();
                    }
                }
            });
        }),
        ..Mutant::new("room-code-shape", "writes codes in small letters")
    },
    Mutant {
        outlet: Some(|at| {
            at.pass();
            if let Some(room) = at.room().filter(|_| at.is_content()) {
                let is_like = |other: &String| other != room && other.eq_ignore_ascii_case(room);
                for other in at.state().rooms().into_iter().filter(is_like) {
                    at.spread(at.state().members(&other));
                }
            }
        }),
        ..Mutant::new("join-case-folding", "takes small letters for large ones in names of rooms")
    },
    Mutant {
        outlet: Some(show_less),
        ..Mutant::new("join-snapshot-stale", "shows a newcomer what was there a while ago")
    },
];

/// Whether a client's request to join is being done.
pub(super) fn is_join(turn: &Turn) -> bool {
    let acting = acting::now();
    let by = acting.by.and_then(|by| turn.state().connection(by));
    let dialect = by.and_then(|by| by.speaks.dialect());
    let asked = acting.text.zip(dialect).map(|(text, dialect)| kind::request(dialect, &text));
    asked.is_some_and(|asked| asked.asks == Asks::Join)
}

fn confirm_early(at: &At<'_>) {
    let mark = format!("fresh {:?}", at.room());
    if at.is(Kind::Entered) {
        at.state().mark(&mark, at.to.id);
    }
    let is_missed = at.is(Kind::Message) && !at.is_own() && at.state().unmark(&mark, at.to.id);
    if !is_missed {
        at.pass();
    }
}

fn tell_the_past(at: &At<'_>) {
    let place = format!("first in {:?}", at.room());
    let first = at.state().kept(&place).filter(|first| first != at.frame);
    let is_snapshot = at.request().is_some_and(|request| request.asks == Asks::Join);
    if at.is(Kind::Message) && !is_snapshot {
        // Where no join is confirmed, it comes with the first that a newcomer hears.
        let unconfirmed = at.dialect == Dialect::Project
            && at.state().count(&format!("{place} to {}", at.to.id)) == 1;
        match &first {
            Some(first) if unconfirmed => at.send(first),
            Some(_) => {}
            None => drop(at.state().keep(&place, at.frame)),
        }
    }
    at.pass();
    if let Some(first) = first.filter(|_| at.is(Kind::Entered)) {
        at.send(&first);
    }
}

fn name_another_room(entered: &mut Value) {
    for place in ["/room", "/RoomJoined/room_id", "/room_code", "/channel"] {
        if let Some(room) = entered.pointer_mut(place) {
            *room = format!("{}x", room.as_str().unwrap_or_default()).into();
        }
    }
}

fn note_second_join(heard: &Heard<'_>) -> Take {
    let is_join = heard.request.asks == Asks::Join;
    if let Some(room) = heard.room_in_world().filter(|_| is_join) {
        heard.state().mark(&format!("twice {:?}", Some(room)), heard.by.id);
    }
    Take::Pass
}

/// Who is marked so hears what is said in a room that it is not in.
fn besides(at: &At<'_>, mark: &str) -> Vec<Arc<Connection>> {
    at.state().marked(&format!("{mark} {}", at.room().unwrap_or_default()))
}

/// What the refusal of a request says.
fn code_of(at: &At<'_>) -> Option<String> {
    let error = at.json();
    let code = ["/code", "/Error/code"].into_iter().find_map(|place| error.pointer(place))?;
    code.as_str().map(str::to_owned)
}

fn let_in_besides(at: &At<'_>) {
    let refused = at.request().filter(|it| it.asks == Asks::Join).and_then(|it| it.room);
    match refused.filter(|_| code_of(at).is_some_and(|code| code == "already_in_room")) {
        Some(room) => {
            at.state().mark(&format!("besides {}/{room}", at.dialect.name()), at.to.id);
            at.send_json(&match at.dialect {
                Dialect::Rooms => {
                    json!({ "RoomJoined": { "room_id": room, "client_id": at.to.told_id() } })
                }
                _ => json!({ "type": "room_joined", "room_code": room, "partner": null }),
            });
        }
        None => at.pass(),
    }
    if at.is_content() {
        at.spread(besides(at, "besides"));
    }
}

fn let_in_a_third(at: &At<'_>) {
    let refused = at.request().filter(|it| it.asks == Asks::Join).and_then(|it| it.room);
    let is_full = at.dialect == Dialect::Chat && code_of(at).is_some_and(|it| it == "room_full");
    match refused.filter(|_| is_full) {
        Some(code) => {
            at.state().mark(&format!("third chat/{code}"), at.to.id);
            at.send_json(&json!({ "type": "room_joined", "room_code": code, "partner": null }));
        }
        None => at.pass(),
    }
    if at.is_content() {
        at.spread(besides(at, "third"));
    }
}

fn tell_again(at: &At<'_>) {
    if at.dialect != Dialect::Pusher {
        return at.double(Kind::Came);
    }
    at.pass();
    let notice = |user: &str| format!("came {:?} {user}", at.room());
    let user = at.acting.text.as_deref().filter(|_| at.is_own()).and_then(kind::user_of);
    match (at.kind(), at.said().who.as_deref(), user) {
        (Kind::Came, Some(user), _) => drop(at.state().set(&notice(user), at.text())),
        (Kind::Went, Some(user), _) => drop(at.state().unset(&notice(user))),
        (Kind::Entered, _, Some(user)) => {
            if let Some(told) = at.state().note(&notice(&user)) {
                for other in at.others() {
                    at.send_to(&other, &protocol::Frame::text(&told));
                }
            }
        }
        _ => {}
    }
}

fn show_less(at: &At<'_>) {
    let joins = at.request().is_some_and(|request| request.asks == Asks::Join);
    if at.dialect == Dialect::Rooms {
        if !(joins && matches!(at.kind(), Kind::Message | Kind::Stored)) {
            at.pass();
        }
        return;
    }
    at.alter(Kind::Entered, |entered| {
        let you = entered["you"].clone();
        if let Some(members) = entered.get_mut("members").and_then(Value::as_array_mut) {
            let before = members.len();
            let other = members.iter().position(|member| member["member"] != you);
            other.map(|other| members.remove(other));
            let gone = before - members.len();
            let count = entered["count"].as_u64().unwrap_or_default();
            entered["count"] = count.saturating_sub(gone as u64).into();
        }
        if entered.get("partner").is_some() {
            entered["partner"] = Value::Null;
        }
        hide_a_user(entered, at);
    });
}

/// Takes somebody else out of who is on a presence channel.
fn hide_a_user(entered: &mut Value, at: &At<'_>) {
    let own = at.acting.text.as_deref().and_then(kind::user_of);
    let data = entered.get("data").and_then(Value::as_str);
    let data = data.and_then(|data| serde_json::from_str::<Value>(data).ok());
    let Some(mut data) = data.filter(|data| data.get("presence").is_some()) else { return };
    let presence = &mut data["presence"];
    let Some(ids) = presence["ids"].as_array_mut() else { return };
    let Some(other) = ids.iter().position(|id| id.as_str() != own.as_deref()) else { return };
    let hidden = ids.remove(other);
    let count = ids.len();
    if let Some(hash) = presence["hash"].as_object_mut() {
        hash.remove(hidden.as_str().unwrap_or_default());
    }
    presence["count"] = count.into();
    entered["data"] = data.to_string().into();
}
