//! The words that every dialect is described in: what clients ask, and what servers tell.

use std::str::FromStr;

/// Declares an enum whose variants are words of the language, each named once.
macro_rules! words {
    ($(#[$outer:meta])* $name:ident, $what:literal { $($(#[$doc:meta])* $variant:ident = $word:literal,)* }) => {
        $(#[$outer])*
        #[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
        pub enum $name { $($(#[$doc])* $variant,)* }

        impl $name {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// All their words.
            pub const WORDS: &[&str] = &[$($word,)*];

            /// Its word in scenario and dialect files.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }
        }

        impl FromStr for $name {
            type Err = UnknownWord;

            fn from_str(word: &str) -> Result<Self, UnknownWord> {
                match word {
                    $($word => Ok(Self::$variant),)*
                    _ => Err(UnknownWord { what: $what, word: word.to_owned() }),
                }
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let word = String::deserialize(deserializer)?;
                word.parse().map_err(|_| serde::de::Error::unknown_variant(&word, Self::WORDS))
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

/// A word that the language does not have.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("no {what} is called `{word}`")]
pub struct UnknownWord {
    /// What it should have been.
    pub what: &'static str,
    /// The word.
    pub word: String,
}

words! {
    /// What a client can ask of a server.
    Verb, "request" {
        /// Says who the client is.
        Name = "name",
        /// Makes a room and enters it.
        Create = "create",
        /// Enters a room.
        Join = "join",
        /// Leaves a room.
        Leave = "leave",
        /// Says something in a room.
        Say = "say",
        /// Begins or stops typing.
        Typing = "typing",
        /// Changes the client's presence.
        Presence = "presence",
        /// Writes to the room's storage.
        Store = "store",
        /// Says how far the client has read.
        Read = "read",
        /// Asks for a sign of life, in the protocol's own words.
        Ping = "ping",
        /// Gives a sign of life, in the protocol's own words. Only ever a reply.
        Pong = "pong",
    }
}

words! {
    /// What a server can tell a client.
    EventKind, "event" {
        /// The connection is open.
        Welcome = "welcome",
        /// A request was done.
        Ok = "ok",
        /// A request was refused, or something was wrong.
        Error = "error",
        /// A room was made.
        Created = "created",
        /// The client is in a room.
        Entered = "entered",
        /// The client is out of a room.
        Exited = "exited",
        /// Somebody came.
        Joined = "joined",
        /// Somebody went.
        Left = "left",
        /// Somebody has another name.
        Renamed = "renamed",
        /// Somebody said something.
        Message = "message",
        /// Somebody types, or stopped.
        Typing = "typing",
        /// Somebody's presence changed.
        Presence = "presence",
        /// The room's storage changed.
        Stored = "stored",
        /// Somebody has read so far.
        Read = "read",
        /// The server answers [`Verb::Ping`].
        Pong = "pong",
        /// The server pings: in the protocol's own words, or with a WebSocket ping.
        Ping = "ping",
        /// Something that is known, and means nothing here.
        Other = "other",
        /// The connection ended (never on the wire).
        Closed = "closed",
    }
}

/// The holes of received messages, and what their values mean. A dialect may bind others only to
/// remember them for its own templates.
pub const RECEIVED: &[(&str, &str)] = &[
    ("room", "the room"),
    ("who", "the name of whom it is about"),
    ("member", "the member id of whom it is about"),
    ("text", "what was said"),
    ("number", "the place in the room's log"),
    ("view", "the number of the membership view"),
    ("epoch", "the room's life"),
    ("count", "how many are in the room"),
    ("code", "the code of a room, or of an error"),
    ("reason", "why, in words"),
    ("re", "the id of the request that this answers"),
    ("you", "one's own member id"),
    ("members", "the members: a list of bindings"),
    ("state", "somebody's presence, whole"),
    ("version", "the version of the storage"),
    ("entries", "the content of the storage"),
    ("ops", "what was written: `[{put: {key, value}}, {delete: {key}}]`"),
    ("key", "a key of the storage"),
    ("on", "whether somebody types"),
    ("connection", "the connection's id"),
    ("heartbeat_interval_ms", "the server's ping interval"),
    ("heartbeat_timeout_ms", "the server's patience"),
    ("recovered", "whether what was missed follows"),
    ("at", "when, by the server's clock"),
    ("username", "a name that is being given or taken"),
];

/// The holes of messages to send, and what fills them.
pub const SENT: &[(&str, &str)] = &[
    ("me", "the client's name"),
    ("id", "a fresh request id"),
    ("room", "the room"),
    ("text", "what to say"),
    ("code", "the code of a room"),
    ("since_epoch", "the room's life when the client was last in it"),
    ("since_number", "the last number that the client saw there"),
    ("membership", "how to be in the room: `full` or `none`"),
    ("username", "the name to take"),
    ("capacity", "how many a new room takes"),
    ("patch", "a change of presence: a JSON Merge Patch"),
    ("state", "the presence that follows from it, whole"),
    ("ops", "what to write: `[{put: {key, value}}, {delete: {key}}]`"),
    ("if_version", "the version that the storage must have"),
    ("on", "whether the client types"),
    ("number", "a place in the room's log"),
];
