//! Servers that are wrong about what is stored: versions, histories, snapshots, refusals.
//!
//! A version that is told wrong is told wrong to all, and wherever it is told: what is wrong is then the
//! history and not a single frame.

use protocol::{Dialect, Frame};
use serde_json::{Value, json};

use super::{Asks, At, Kind, Mutant};

pub(super) const MUTANTS: &[Mutant] = &[
    Mutant {
        outlet: Some(|at| renumber(at, |version, every| version + version / every)),
        ..Mutant::new("st-gap", "leaves out a version")
    },
    Mutant {
        outlet: Some(fork),
        ..Mutant::new("st-dup-version", "tells some another write under the same version")
    },
    Mutant {
        outlet: Some(|at| {
            let Some(version) = version(at).filter(|it| is_stored(at) && is_turn(at, *it)) else {
                return at.pass();
            };
            tell(at, version.saturating_sub(2));
        }),
        ..Mutant::new("st-regress", "tells a version that is less than the one before")
    },
    Mutant {
        outlet: Some(lose_update),
        ..Mutant::new("st-lost-update", "confirms a write that it never makes")
    },
    Mutant {
        outlet: Some(|at| at.swap(Kind::Stored)),
        ..Mutant::new("st-order-vs-version", "tells a write before the one that it came after")
    },
    Mutant {
        outlet: Some(misremember),
        ..Mutant::new("st-snapshot-mismatch", "shows a newcomer a content that is not there")
    },
    Mutant {
        outlet: Some(|at| {
            renumber(at, |version, every| match version % every {
                0 => version + 1,
                1 if version > 1 => version - 1,
                _ => version,
            });
        }),
        ..Mutant::new("st-realtime", "gives a later write the lesser version")
    },
    Mutant {
        outlet: Some(refuse),
        ..Mutant::new("st-reject-applied", "refuses a write and makes it")
    },
];

/// Where versions stand.
const PLACES: [&str; 3] = ["/version", "/storage/version", "/StorageUpdated/version"];

fn version(at: &At<'_>) -> Option<u64> {
    let value = at.json();
    PLACES.iter().find_map(|place| value.pointer(place)?.as_u64())
}

fn is_turn(at: &At<'_>, version: u64) -> bool {
    version.is_multiple_of(at.state().every())
}

/// Whether it is a write that its receiver is told of, whatever is written.
fn is_stored(at: &At<'_>) -> bool {
    let is_told = at.is(Kind::Stored) || (at.dialect == Dialect::Rooms && at.is(Kind::Message));
    is_told && at.asked() != Some(Asks::Join)
}

/// Sends it with another version.
fn tell(at: &At<'_>, version: u64) {
    let mut value = at.json();
    for place in PLACES {
        if let Some(told) = value.pointer_mut(place) {
            *told = version.into();
        }
    }
    at.send_json(&value);
}

/// Tells other versions than there are.
fn renumber(at: &At<'_>, told: fn(u64, u64) -> u64) {
    match version(at) {
        Some(version) => tell(at, told(version, at.state().every())),
        None => at.pass(),
    }
}

/// Every second receiver is told the write before once more.
fn fork(at: &At<'_>) {
    let mut value = at.json();
    let place = if at.dialect == Dialect::Rooms { "/StorageUpdated/operations" } else { "/ops" };
    let (Some(version), Some(ops)) = (version(at), value.pointer_mut(place)) else {
        return at.pass();
    };
    let key = format!("ops {} {:?}", at.to.id, at.room());
    let before = at.state().set(&key, ops.to_string());
    let is_odd = at.to.id % 2 == 1;
    match before.filter(|_| is_odd && is_stored(at) && is_turn(at, version)) {
        Some(before) => {
            *ops = serde_json::from_str(&before).unwrap_or_default();
            at.send_json(&value);
        }
        None => at.pass(),
    }
}

/// Where it is confirmed by being told, only its writer is told.
fn lose_update(at: &At<'_>) {
    let Some(version) = version(at) else { return at.pass() };
    let lost = version / at.state().every();
    if is_stored(at) && is_turn(at, version) {
        if at.dialect == Dialect::Rooms && at.is_own() {
            tell(at, version - lost + 1);
        }
        return;
    }
    let is_confirmed = at.is(Kind::Ok) && is_turn(at, version);
    tell(at, version - lost + u64::from(is_confirmed));
}

fn misremember(at: &At<'_>) {
    let is_snapshot = at.is_own() && at.asked() == Some(Asks::Join);
    let mut value = at.json();
    if is_snapshot && let Some(entries) = value.pointer_mut("/storage/entries") {
        entries["never"] = at.to.id.into();
    } else if is_snapshot
        && let Some(Value::Array(writes)) = value.pointer_mut("/StorageUpdated/operations")
    {
        writes.push(json!({ "Insert": { "key": "never", "value": "written" } }));
    } else {
        return at.pass();
    }
    at.send_json(&value);
}

fn refuse(at: &At<'_>) {
    if at.dialect == Dialect::Rooms {
        return make_refused(at);
    }
    match version(at).filter(|version| at.is(Kind::Ok) && is_turn(at, *version)) {
        Some(_) => {
            let ok = at.json();
            at.send_json(&json!({
                "type": "error", "re": ok["re"], "code": "version_conflict",
                "message": "it was refused, and made", "room": ok["room"],
            }));
        }
        None => at.pass(),
    }
}

/// What is refused there makes a version as well, and moves all that come after it.
fn make_refused(at: &At<'_>) {
    let state = at.state();
    let Some(room) = state.rooms_of(at.to.id).into_iter().next() else { return at.pass() };
    let number = |name: &str| state.note(name).and_then(|it| it.parse::<u64>().ok()).unwrap_or(0);
    let (made, last) = (format!("made {room}"), format!("last {room}"));
    if let Some(version) = version(at) {
        let version = version + number(&made);
        state.set(&last, version.to_string());
        return tell(at, version);
    }
    at.pass();
    let asked = at.acting.text.as_deref().map(serde_json::from_str::<Value>);
    let asked = asked.and_then(Result::ok).filter(|_| at.is(Kind::Error));
    if let Some(write) = asked.as_ref().and_then(|asked| asked.get("UpdateStorage")) {
        state.set(&made, (number(&made) + 1).to_string());
        let version = number(&last) + 1;
        state.set(&last, version.to_string());
        let told = json!({ "StorageUpdated": { "version": version, "operations": [write] } });
        for member in state.members(&room) {
            at.send_to(&member, &Frame::json(&told));
        }
    }
}
