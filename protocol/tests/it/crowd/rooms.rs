//! `rooms`: all in a room hold the same presences and the same storage, and those who come hold it at
//! once; versions have no gap, and what was kept comes back.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use protocol::Dialect;
use serde_json::{Value, json};

use super::{Does, Game, Happened, Step, Verdict, ends, ensure, foreseen, nothing, says, who};
use crate::transcript::is_uuid;

pub(super) const GAME: Game = Game { dialect: Dialect::Rooms, steps, judge };

pub(super) const TYPES: &[&str] =
    &["RoomJoined", "RoomLeft", "PresenceUpdated", "StorageUpdated", "Error"];

pub(super) const COMES_TO: &[&str] = &[
    "RoomJoined",
    "RoomLeft",
    "PresenceUpdated",
    r#""colour":"#,
    r#"[{"Insert""#,
    r#"},{"Insert""#,
    r#"[{"Remove""#,
    r#""version":4"#,
    "invalid_json",
    "unknown_message",
    "client_not_found",
    "already_in_room",
    "invalid_room",
    "presence_error",
    "storage_error",
];

fn steps() -> BoxedStrategy<Vec<Step>> {
    let room = || prop::sample::select(vec!["r", "s", "a b"]);
    let opens = prop::option::of(prop::sample::select(vec!["r", "s"])).prop_map(Does::Opens);
    let field = prop_oneof![
        (0..99_i32, 0..99_i32).prop_map(|(x, y)| json!({"cursor_position": {"x": x, "y": y}})),
        prop::sample::select(vec!["Active", "Idle", "Away", "Busy"])
            .prop_map(|status| json!({"status": status})),
        (0..9_u8).prop_map(|n| json!({"colour": n, "cursor_position": null})),
        Just(json!({"colour": null, "status": null})),
        Just(json!({})),
    ];
    let insert = (0..4_u8, 0..999_u32).prop_map(
        |(key, value)| json!({"UpdateStorage": {"Insert": {"key": format!("k{key}"), "value": value}}}),
    );
    let remove =
        (0..4_u8).prop_map(|key| json!({"UpdateStorage": {"Remove": {"key": format!("k{key}")}}}));
    let says = prop_oneof![
        8 => room().prop_map(|room| json!({"JoinRoom": room})),
        6 => Just(json!("LeaveRoom")),
        8 => field.prop_map(|field| json!({"UpdatePresence": field})),
        8 => insert,
        5 => remove,
        1 => Just(json!("Pong")),
        1 => Just(json!("Dance")),
    ]
    .prop_map(|request| says(request.to_string()));
    let does = prop_oneof![
        30 => says,
        3 => opens,
        1 => Just(Does::Says("{".to_owned())),
        5 => ends(),
        1 => prop::bool::weighted(0.3).prop_map(|full| Does::Disk { full }),
        2 => (0..3_000_u64).prop_map(Does::Waits),
    ];
    prop::collection::vec((who(), does), 1..150).boxed()
}

/// A room, as everybody in it must know it.
#[derive(Default)]
struct Shared {
    /// In the order of their joining.
    members: Vec<usize>,
    /// With the time at which it was shown.
    presences: BTreeMap<usize, (Value, String)>,
    version: u64,
    entries: BTreeMap<String, Value>,
}

#[derive(Default)]
struct Known {
    /// Kept when they are empty, for the sake of their storage.
    rooms: BTreeMap<String, Shared>,
    inside: BTreeMap<usize, String>,
    /// By client: the id of its connection, once it was told it.
    ids: BTreeMap<usize, String>,
    all_ids: BTreeSet<String>,
    disk_full: bool,
}

fn judge(happened: &[Happened]) -> Verdict {
    let mut known = Known::default();
    foreseen(happened, |step| {
        let mut expected = nothing();
        match &step.does {
            Does::Opens(Some(room)) => known.join(step, room, &mut expected)?,
            Does::Says(text) => known.say(step, text, &mut expected)?,
            Does::Ends(_) => {
                known.leave(step.who, false, &mut expected);
                known.ids.remove(&step.who);
            }
            Does::Disk { full } => known.disk_full = *full,
            _ => {}
        }
        Ok(expected)
    })
}

fn error(code: &str) -> Value {
    json!({"Error": {"code": code, "message": "*"}})
}

impl Known {
    fn say(&mut self, step: &Happened, text: &str, expected: &mut [Vec<Value>]) -> Verdict {
        let Ok(request) = serde_json::from_str::<Value>(text) else {
            expected[step.who].push(error("invalid_json"));
            return Ok(());
        };
        if request == "Pong" {
            return Ok(());
        }
        if let Some(room) = request["JoinRoom"].as_str() {
            return self.join(step, room, expected);
        }
        let presence = request["UpdatePresence"].as_object();
        let refused = if presence.is_some_and(|fields| fields.get("status") == Some(&json!("Busy")))
        {
            Some("presence_error")
        } else if request == "Dance" {
            Some("unknown_message")
        } else if !self.inside.contains_key(&step.who) {
            Some("client_not_found")
        } else {
            None
        };
        if let Some(code) = refused {
            expected[step.who].push(error(code));
        } else if request == "LeaveRoom" {
            self.leave(step.who, true, expected);
        } else if let Some(fields) = presence {
            let changes = fields.iter().map(|(key, value)| (key.clone(), value.clone())).collect();
            self.show(step, changes, expected)?;
        } else {
            self.store(step.who, &request["UpdateStorage"], expected);
        }
        Ok(())
    }

    fn join(&mut self, step: &Happened, room: &str, expected: &mut [Vec<Value>]) -> Verdict {
        let who = step.who;
        if room == "a b" {
            expected[who].push(error("invalid_room"));
            return Ok(());
        }
        if self.inside.contains_key(&who) {
            expected[who].push(error("already_in_room"));
            return Ok(());
        }
        let first: Value = step.got[who]
            .first()
            .and_then(|text| serde_json::from_str(text).ok())
            .ok_or("it has got nothing")?;
        let id = first["RoomJoined"]["client_id"].as_str().unwrap_or_default().to_owned();
        match self.ids.get(&who) {
            Some(known) => ensure(*known == id, || "it is called otherwise now".to_owned())?,
            None => {
                let fresh = is_uuid(&id) && self.all_ids.insert(id.clone());
                ensure(fresh, || format!("{id} is no fresh id"))?;
                self.ids.insert(who, id.clone());
            }
        }
        let shared = self.rooms.entry(room.to_owned()).or_default();
        shared.members.push(who);
        for &member in &shared.members {
            expected[member].push(json!({"RoomJoined": {"room_id": room, "client_id": id}}));
        }
        for member in &shared.members {
            if let Some((presence, timestamp)) = shared.presences.get(member) {
                let client_id = &self.ids[member];
                expected[who].push(json!({"PresenceUpdated": {
                    "client_id": client_id, "timestamp": timestamp, "presence": presence,
                }}));
            }
        }
        if shared.version > 0 {
            let inserts = shared.entries.iter();
            let inserts =
                inserts.map(|(key, value)| json!({"Insert": {"key": key, "value": value}}));
            let operations: Vec<Value> = inserts.collect();
            expected[who].push(json!({"StorageUpdated": {
                "version": shared.version, "operations": operations,
            }}));
        }
        self.inside.insert(who, room.to_owned());
        Ok(())
    }

    fn leave(&mut self, who: usize, told: bool, expected: &mut [Vec<Value>]) {
        let Some(room) = self.inside.remove(&who) else { return };
        let shared = self.rooms.entry(room.clone()).or_default();
        for &member in shared.members.iter().filter(|&&member| told || member != who) {
            let client_id = &self.ids[&who];
            expected[member].push(json!({"RoomLeft": {"room_id": room, "client_id": client_id}}));
        }
        shared.members.retain(|&member| member != who);
        shared.presences.remove(&who);
    }

    fn show(
        &mut self,
        step: &Happened,
        changes: BTreeMap<String, Value>,
        expected: &mut [Vec<Value>],
    ) -> Verdict {
        let who = step.who;
        let shared = self.rooms.entry(self.inside[&who].clone()).or_default();
        let blank = json!({"cursor_position": null, "status": null});
        let mut presence = shared.presences.get(&who).map_or(blank, |(known, _)| known.clone());
        for (field, value) in changes {
            presence[&field] = value;
        }
        // Only the two that every presence has are there when they are cleared.
        if presence["colour"].is_null()
            && let Some(fields) = presence.as_object_mut()
        {
            fields.remove("colour");
        }
        let first = step.got[who].first().ok_or("it has got nothing")?;
        let first: Value = serde_json::from_str(first).map_err(|error| error.to_string())?;
        let timestamp = first["PresenceUpdated"]["timestamp"].as_str().ok_or("no time")?;
        ensure(timestamp.ends_with('Z') && timestamp.len() == 24, || timestamp.to_owned())?;
        let latest = shared.presences.values().map(|(_, time)| time.as_str()).max();
        ensure(latest.is_none_or(|it| it <= timestamp), || "a time goes back".to_owned())?;
        for &member in &shared.members {
            expected[member].push(json!({"PresenceUpdated": {
                "client_id": self.ids[&who], "timestamp": timestamp, "presence": presence,
            }}));
        }
        shared.presences.insert(who, (presence, timestamp.to_owned()));
        Ok(())
    }

    fn store(&mut self, who: usize, operation: &Value, expected: &mut [Vec<Value>]) {
        let shared = self.rooms.entry(self.inside[&who].clone()).or_default();
        let (insert, remove) = (&operation["Insert"], &operation["Remove"]);
        let key = insert["key"].as_str().or_else(|| remove["key"].as_str()).unwrap_or_default();
        let absent = insert.is_null() && !shared.entries.contains_key(key);
        if absent || self.disk_full {
            expected[who].push(error("storage_error"));
            return;
        }
        match insert.is_null() {
            true => drop(shared.entries.remove(key)),
            false => drop(shared.entries.insert(key.to_owned(), insert["value"].clone())),
        }
        shared.version += 1;
        for &member in &shared.members {
            expected[member].push(json!({"StorageUpdated": {
                "version": shared.version, "operations": [operation],
            }}));
        }
    }
}
