//! Why a request is refused: one small value, which becomes an `error` reply.

use std::borrow::Cow;

/// Characters of an explanation. Some quote the client, who shall not get 64 KiB back.
const MESSAGE_CHARS: usize = 200;

/// Bytes of a room's name that is repeated; a longer one is nobody's, unless the limits are odd.
const ROOM_BYTES: usize = 256;

/// A refused request. It has changed nothing.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) code: Code,
    pub(super) message: Cow<'static, str>,
    pub(super) room: Option<String>,
}

impl Refusal {
    pub(super) fn new(code: Code, message: impl Into<Cow<'static, str>>) -> Self {
        let mut message = message.into();
        if let Some((end, _)) = message.char_indices().nth(MESSAGE_CHARS) {
            message.to_mut().truncate(end);
        }
        Self { code, message, room: None }
    }

    /// The same, about this room.
    pub(super) fn about(mut self, room: &str) -> Self {
        self.room = (room.len() <= ROOM_BYTES).then(|| room.to_owned());
        self
    }
}

/// The codes of NAT-ERR-1.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Code {
    BadJson,
    BadMessage,
    UnknownType,
    NotJoined,
    AlreadyJoined,
    RoomNotFound,
    RoomFull,
    TooManyRooms,
    TooLarge,
    RateLimited,
    VersionConflict,
    Forbidden,
    Draining,
}

impl Code {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::BadJson => "bad_json",
            Self::BadMessage => "bad_message",
            Self::UnknownType => "unknown_type",
            Self::NotJoined => "not_joined",
            Self::AlreadyJoined => "already_joined",
            Self::RoomNotFound => "room_not_found",
            Self::RoomFull => "room_full",
            Self::TooManyRooms => "too_many_rooms",
            Self::TooLarge => "too_large",
            Self::RateLimited => "rate_limited",
            Self::VersionConflict => "version_conflict",
            Self::Forbidden => "forbidden",
            Self::Draining => "draining",
        }
    }
}
