//! The one table of dialects: where each is served, how it is kept alive, what it bounds.
//!
//! Routes, options and documents come from here; what a dialect says is in its own file.

use std::time::Duration;

use crate::ending::Ending;
use crate::frame::Frame;
use crate::limits::Limits;
use crate::liveness::Liveness;
use crate::time::Time;
use crate::{native, pusher};

/// A wire protocol of the server.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Dialect {
    /// `tidemark.v1`, docs/PROTOCOL.md: rooms with all that can be checked.
    Native,
    /// Plain text among the sessions of one project.
    Project,
    /// Rooms with presence and a shared storage.
    Rooms,
    /// Two people who know a code.
    Chat,
    /// Channels that the server publishes on.
    Events,
    /// The protocol of Pusher Channels, versions 5 to 7.
    Pusher,
}

/// How often a connection is pinged, and after what silence it is given up.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Heartbeat {
    /// From one ping to the next; zero is no heartbeat.
    pub interval: Duration,
    /// Strictly more silence than this, at a ping's time, ends the connection.
    pub timeout: Duration,
}

impl Heartbeat {
    const fn seconds(interval: u64, timeout: u64) -> Self {
        Self { interval: Duration::from_secs(interval), timeout: Duration::from_secs(timeout) }
    }
}

/// A frame that came, as far as it can be a sign of life.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Sign {
    /// A text message, or a part of one.
    Text,
    /// A binary message, or a part of one.
    Binary,
    /// A ping (RFC 6455).
    Ping,
    /// A pong (RFC 6455), asked for or not.
    Pong,
}

/// Bytes of a project's name, and of the id of a room.
const NAME_BYTES: usize = 64;
/// Bytes of one message in a project, over all of its frames.
const PROJECT_MESSAGE_BYTES: usize = 2 * 1024 * 1024;
/// Bytes of one frame in a project.
const PROJECT_FRAME_BYTES: usize = 128 * 1024;

impl Dialect {
    /// All of them.
    pub const ALL: &'static [Self] =
        &[Self::Native, Self::Project, Self::Rooms, Self::Chat, Self::Events, Self::Pusher];

    /// What options and reports call it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Project => "project",
            Self::Rooms => "rooms",
            Self::Chat => "chat",
            Self::Events => "events",
            Self::Pusher => "pusher",
        }
    }

    /// The dialect of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|dialect| dialect.name() == name)
    }

    /// Where it is served unless told otherwise.
    pub const fn path(self) -> &'static str {
        match self {
            Self::Native => "/ws",
            Self::Project => "/ws/project",
            Self::Rooms => "/ws/rooms",
            Self::Chat => "/ws/chat",
            Self::Events => "/ws/events",
            Self::Pusher => "/app",
        }
    }

    /// Whether a name may follow the path: the room that the connection is in from the start; in
    /// `pusher`, the key of the application.
    pub const fn takes_name(self) -> bool {
        matches!(self, Self::Project | Self::Rooms | Self::Pusher)
    }

    /// Whether such a name may follow the path; if not, there is nothing there (404).
    pub fn admits(self, name: &str) -> bool {
        match self {
            Self::Project => is_name(name, NAME_BYTES, b"_-"),
            Self::Rooms => is_name(name, NAME_BYTES, ROOM_SIGNS),
            // An unknown key is refused by the protocol's own words, behind the upgrade.
            Self::Pusher => true,
            Self::Native | Self::Chat | Self::Events => false,
        }
    }

    /// A client that offers subprotocols must offer this one.
    pub const fn subprotocol(self) -> Option<&'static str> {
        match self {
            Self::Native => Some(native::SUBPROTOCOL),
            _ => None,
        }
    }

    /// Its heartbeat unless told otherwise.
    pub const fn heartbeat(self) -> Heartbeat {
        match self {
            Self::Native | Self::Rooms => Heartbeat::seconds(30, 120),
            Self::Project => Heartbeat::seconds(5, 10),
            Self::Chat => Heartbeat::seconds(30, 60),
            Self::Events => Heartbeat::seconds(30, 30),
            Self::Pusher => Heartbeat::seconds(120, 150),
        }
    }

    /// The heartbeat of a connection that was opened at `opened`.
    pub const fn liveness(self, opened: Time, heartbeat: Heartbeat) -> Liveness {
        let (interval, patience) = (heartbeat.interval, self.patience(heartbeat));
        match self {
            Self::Pusher => Liveness::when_idle(opened, interval, patience),
            _ => Liveness::steady(opened, interval, patience),
        }
    }

    /// How long a silence is borne: what [`Liveness`] takes as its timeout.
    ///
    /// In `events`, the tick that finds no sign of life since the last one ends the connection: that
    /// is a silence longer than the interval, whatever the timeout.
    pub const fn patience(self, heartbeat: Heartbeat) -> Duration {
        match self {
            Self::Events => heartbeat.interval,
            _ => heartbeat.timeout,
        }
    }

    /// Whether such a frame is a sign of life. [`Flow::Alive`](crate::Flow::Alive) always is one.
    pub const fn lives_by(self, sign: Sign) -> bool {
        match self {
            Self::Native | Self::Chat | Self::Pusher => true,
            Self::Project => matches!(sign, Sign::Ping | Sign::Pong),
            Self::Rooms | Self::Events => matches!(sign, Sign::Pong),
        }
    }

    /// What a tick of the heartbeat sends.
    pub fn beat(self) -> Vec<Frame> {
        let ping = Frame::ping(b"");
        match self {
            Self::Rooms => vec![ping, crate::rooms::ping()],
            // Its libraries take no notice of the pings of RFC 6455, and answer their own.
            Self::Pusher => vec![pusher::ping()],
            _ => vec![ping],
        }
    }

    /// How this dialect says that a connection ends so: what has a code of its own there gets it.
    pub fn ending(self, ending: Ending) -> Ending {
        match self {
            Self::Pusher => pusher::ending(ending),
            _ => ending,
        }
    }

    /// What is said before a Close with this ending of the dialect, if anything.
    pub fn farewell(self, ending: Ending) -> Option<Frame> {
        match self {
            Self::Pusher => pusher::farewell(ending),
            _ => None,
        }
    }

    /// Bytes of one message of a client; a longer one is closed with 1009. Zero is no limit.
    pub const fn message_bytes(self, limits: &Limits) -> usize {
        match self {
            Self::Project => PROJECT_MESSAGE_BYTES,
            _ => limits.message_bytes,
        }
    }

    /// Bytes of one frame of a client; a longer one is closed with 1009. Zero is no limit.
    pub const fn frame_bytes(self, limits: &Limits) -> usize {
        match self {
            Self::Project => PROJECT_FRAME_BYTES,
            _ => self.message_bytes(limits),
        }
    }

    /// How long an empty room lives on.
    pub(crate) const fn empty_room_lives(self, limits: &Limits) -> Duration {
        match self {
            Self::Native => limits.history_window,
            _ => Duration::ZERO,
        }
    }

    /// What the room `name` of this dialect is called in the one world of rooms. Names of `native`
    /// have no slash in them, so that no two dialects ever meet in a room.
    pub(crate) fn key(self, name: &str) -> String {
        match self {
            Self::Native => name.to_owned(),
            _ => format!("{}/{name}", self.name()),
        }
    }

    /// The dialect that a room is of, and what it is called there.
    pub fn of_key(key: &str) -> (Self, &str) {
        let split = key.split_once('/');
        let known = split.and_then(|(dialect, name)| Some((Self::named(dialect)?, name)));
        known.unwrap_or((Self::Native, key))
    }

    /// Whether the storage of the room of this key may outlive it, in worlds that
    /// [keep](crate::World::keeps). A room with a code is nobody's again once it is over: its code is
    /// drawn anew for others.
    pub fn is_lasting(key: &str) -> bool {
        match Self::of_key(key) {
            (Self::Native, name) => !name.starts_with(native::CODE_SIGN),
            (dialect, _) => dialect == Self::Rooms,
        }
    }
}

/// What the names of rooms may have in them besides letters and digits of ASCII.
pub(crate) const ROOM_SIGNS: &[u8] = b"_.:-";

/// Whether this can be the name of a room, apart from its length.
pub(crate) fn is_made_of(name: &str, signs: &[u8]) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || signs.contains(&byte);
    !name.is_empty() && name.bytes().all(fits)
}

fn is_name(name: &str, bytes: usize, signs: &[u8]) -> bool {
    name.len() <= bytes && is_made_of(name, signs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_say_which_dialect_and_never_meet() {
        for &dialect in Dialect::ALL {
            assert_eq!(Dialect::named(dialect.name()), Some(dialect));
            assert_eq!(Dialect::of_key(&dialect.key("a:b")), (dialect, "a:b"));
        }
        // A channel may have any characters in its name.
        assert_eq!(Dialect::of_key("events/chat/x"), (Dialect::Events, "chat/x"));
        assert_eq!(Dialect::of_key("pusher/1/private-x"), (Dialect::Pusher, "1/private-x"));
        assert_eq!(Dialect::of_key("~K7M2QX"), (Dialect::Native, "~K7M2QX"));
    }

    #[test]
    fn rooms_with_storage_last_unless_they_have_a_code() {
        for (key, lasting) in [
            ("lobby", true),
            ("~K7M2QX", false),
            ("rooms/lobby", true),
            ("chat/K7M2QX", false),
            ("project/p", false),
            ("events/files", false),
        ] {
            assert_eq!(Dialect::is_lasting(key), lasting, "{key}");
        }
    }

    #[test]
    fn only_names_of_the_right_form_follow_a_path() {
        let longest = "x".repeat(64);
        for (dialect, name, admitted) in [
            (Dialect::Project, "a_B-9", true),
            (Dialect::Project, "a.b", false),
            (Dialect::Project, "", false),
            (Dialect::Project, "é", false),
            (Dialect::Project, "a/b", false),
            (Dialect::Project, &longest, true),
            (Dialect::Project, &format!("{longest}x"), false),
            (Dialect::Rooms, "a.b:c-d_e", true),
            (Dialect::Rooms, "a b", false),
            (Dialect::Rooms, &longest, true),
            (Dialect::Rooms, &format!("{longest}x"), false),
            (Dialect::Native, "a", false),
            (Dialect::Chat, "K7M2QX", false),
            (Dialect::Events, "files", false),
        ] {
            assert_eq!(dialect.admits(name), admitted, "{dialect:?} {name}");
            assert!(dialect.takes_name() || !admitted);
        }
    }
}
