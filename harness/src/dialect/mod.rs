//! A wire format as data: templates, filled to send and matched to receive.

use std::time::Duration;

/// What a client can ask of a server.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Verb {
    /// Says who the client is.
    Name,
    /// Makes a room and enters it.
    Create,
    /// Enters a room.
    Join,
    /// Leaves a room.
    Leave,
    /// Says something in a room.
    Say,
    /// Begins or stops typing.
    Typing,
    /// Changes the client's presence.
    Presence,
    /// Writes to the room's storage.
    Store,
    /// Says how far the client has read.
    Read,
    /// Asks for a sign of life, in the protocol's own words.
    Ping,
}

/// What a server can tell a client.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum EventKind {
    /// The connection is open.
    Welcome,
    /// A request was done.
    Ok,
    /// A request was refused, or something was wrong.
    Error,
    /// A room was made.
    Created,
    /// The client is in a room.
    Entered,
    /// The client is out of a room.
    Exited,
    /// Somebody came.
    Joined,
    /// Somebody went.
    Left,
    /// Somebody has another name.
    Renamed,
    /// Somebody said something.
    Message,
    /// Somebody types, or stopped.
    Typing,
    /// Somebody's presence changed.
    Presence,
    /// The room's storage changed.
    Stored,
    /// Somebody has read so far.
    Read,
    /// The server answers [`Verb::Ping`].
    Pong,
    /// The server pings: in the protocol's own words, or with a WebSocket ping.
    Ping,
    /// The connection ended (never on the wire).
    Closed,
}

/// A server's timers.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Heartbeat {
    /// It pings this often.
    pub every: Duration,
    /// It gives a silent client up after this long.
    pub timeout: Duration,
}

/// A wire format.
#[derive(Debug)]
pub struct Dialect {}
