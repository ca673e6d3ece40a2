//! What the server sends: every reply and every event, and how it is encoded.

use std::time::Duration;

use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

use super::incoming::Op;
use crate::ending::Reason;
use crate::json::Id;
use crate::limits::Limits;
use crate::room::Room;
use crate::storage::Storage;
use crate::time::At;

/// Everything that the server sends.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Outgoing<'a> {
    Welcome {
        connection: &'a str,
        username: &'a str,
        heartbeat: Heartbeat,
        limits: Announced,
        server: &'a str,
    },
    Ok {
        re: &'a Id,
        #[serde(skip_serializing_if = "Option::is_none")]
        room: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        seq: Option<u64>,
        #[serde(skip_serializing_if = "Option::is_none")]
        version: Option<u64>,
    },
    Error {
        #[serde(skip_serializing_if = "Option::is_none")]
        re: Option<&'a Id>,
        code: &'static str,
        message: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        room: Option<&'a str>,
    },
    Pong {
        #[serde(skip_serializing_if = "Option::is_none")]
        re: Option<&'a Id>,
    },
    Created {
        #[serde(skip_serializing_if = "Option::is_none")]
        re: Option<&'a Id>,
        code: &'a str,
        room: &'a str,
    },
    Joined {
        #[serde(skip_serializing_if = "Option::is_none")]
        re: Option<&'a Id>,
        room: &'a str,
        epoch: &'a str,
        seq: u64,
        view: u64,
        you: &'a str,
        members: Vec<Listed<'a>>,
        count: usize,
        #[serde(skip_serializing_if = "Option::is_none")]
        storage: Option<Snapshot<'a>>,
        #[serde(skip_serializing_if = "Option::is_none")]
        recovered: Option<bool>,
    },
    Left {
        #[serde(skip_serializing_if = "Option::is_none")]
        re: Option<&'a Id>,
        room: &'a str,
    },
    Chat {
        room: &'a str,
        seq: u64,
        member: &'a str,
        username: &'a str,
        text: &'a str,
        at: At,
    },
    Presence {
        room: &'a str,
        seq: u64,
        member: &'a str,
        state: &'a RawValue,
        at: At,
    },
    Stored {
        room: &'a str,
        seq: u64,
        version: u64,
        member: &'a str,
        ops: &'a [Op<'a>],
    },
    Typing {
        room: &'a str,
        member: &'a str,
        on: bool,
    },
    Read {
        room: &'a str,
        member: &'a str,
        seq: u64,
    },
    MemberJoined {
        room: &'a str,
        view: u64,
        member: &'a str,
        username: &'a str,
    },
    MemberLeft {
        room: &'a str,
        view: u64,
        member: &'a str,
        reason: Reason,
    },
    MemberRenamed {
        room: &'a str,
        view: u64,
        member: &'a str,
        username: &'a str,
    },
}

/// The heartbeat as `welcome` announces it.
#[derive(Serialize)]
pub(super) struct Heartbeat {
    interval_ms: u64,
    timeout_ms: u64,
}

impl From<&Limits> for Heartbeat {
    fn from(limits: &Limits) -> Self {
        Self {
            interval_ms: millis(limits.heartbeat_interval),
            timeout_ms: millis(limits.heartbeat_timeout),
        }
    }
}

/// The limits as `welcome` announces them.
#[derive(Serialize)]
pub(super) struct Announced {
    message_bytes: usize,
    rooms: usize,
    room_name_bytes: usize,
    queue_bytes: usize,
    history_events: usize,
    history_bytes: usize,
    history_ms: u64,
    storage_bytes: usize,
    state_bytes: usize,
    requests_per_s: u32,
}

impl From<&Limits> for Announced {
    fn from(limits: &Limits) -> Self {
        Self {
            message_bytes: limits.message_bytes,
            rooms: limits.rooms,
            room_name_bytes: limits.room_name_bytes,
            queue_bytes: limits.queue_bytes,
            history_events: limits.history_events,
            history_bytes: limits.history_bytes,
            history_ms: millis(limits.history_window),
            storage_bytes: limits.storage_bytes,
            state_bytes: limits.state_bytes,
            requests_per_s: limits.requests_per_s,
        }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// A full member as a newcomer gets it. One who recovers knows the states, but for what the missed
/// events tell.
#[derive(Serialize)]
pub(super) struct Listed<'a> {
    member: &'a str,
    username: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<&'a RawValue>,
}

/// A room's storage as a newcomer gets it.
#[derive(Serialize)]
pub(super) struct Snapshot<'a> {
    version: u64,
    entries: Entries<'a>,
}

struct Entries<'a>(&'a Storage);

impl<'a> From<&'a Storage> for Snapshot<'a> {
    fn from(storage: &'a Storage) -> Self {
        Self { version: storage.version(), entries: Entries(storage) }
    }
}

impl Serialize for Entries<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.entries())
    }
}

/// The full members of a room in the order of their joining.
pub(super) fn listed<P>(room: &Room<P>, states: bool) -> Vec<Listed<'_>> {
    let listed = room.full_members().map(|(_, member)| Listed {
        member: &member.id,
        username: &member.username,
        state: states.then_some(&*member.state),
    });
    listed.collect()
}
