//! The codes of NAT-ERR-1, and which room an error is about.

use crate::refusal::{self, codes};

/// Bytes of a room's name that is repeated; a longer one is nobody's, unless the limits are odd.
const ROOM_BYTES: usize = 256;

pub(super) type Refusal = refusal::Refusal<Code>;

impl Refusal {
    /// The same, about this room.
    pub(super) fn about(mut self, room: &str) -> Self {
        self.room = (room.len() <= ROOM_BYTES).then(|| room.to_owned());
        self
    }
}

codes! {
    BadJson = "bad_json",
    BadMessage = "bad_message",
    UnknownType = "unknown_type",
    NotJoined = "not_joined",
    AlreadyJoined = "already_joined",
    RoomNotFound = "room_not_found",
    RoomFull = "room_full",
    TooManyRooms = "too_many_rooms",
    TooLarge = "too_large",
    RateLimited = "rate_limited",
    VersionConflict = "version_conflict",
    Forbidden = "forbidden",
    NotKept = "not_kept",
    Draining = "draining",
}
