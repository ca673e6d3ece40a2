//! A wire format as data: templates, filled to send and matched to receive.
//!
//! Nothing about any wire format is in Rust; it is in the dialect files (`scenarios/dialects/`).
//! [`Dialect::encode`] turns a [`Verb`] and values into a frame, [`Dialect::decode`] a frame into an
//! [`Event`] and values. Both are pure functions.

mod words;

use std::time::Duration;

pub use words::{EventKind, UnknownWord, Verb};

use crate::plan::{Echo, Ordering, Vars};
use crate::scenario::Problems;

/// A server's timers.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Heartbeat {
    /// It pings this often.
    pub every: Duration,
    /// It gives a silent client up after this long.
    pub timeout: Duration,
}

/// A wire format.
#[derive(Clone, Debug)]
pub struct Dialect {
    /// Its name.
    pub name: String,
    /// What it is, in a sentence.
    pub about: String,
    /// How a connection begins.
    pub connect: Connect,
    /// The order that servers of this kind promise.
    pub ordering: Ordering,
    /// How often a sender gets its own message.
    pub echo: Echo,
    /// Its timers, when the target does not say otherwise.
    pub heartbeat: Option<Heartbeat>,
    /// How a client learns that everything before has come.
    pub fence: Fence,
    /// The events of a room that share one sequence of numbers, +1 each; empty: nothing is numbered.
    pub numbering: Vec<EventKind>,
    /// Sizes and counts that the server refuses to pass.
    pub limits: Limits,
    /// Values that a user may set (`--var`), with their defaults.
    pub params: Vars,
}

/// How a connection begins.
#[derive(Clone, Debug, Default)]
pub struct Connect {
    /// The path and query of the upgrade request: a template.
    pub path: String,
    /// The subprotocol to ask for.
    pub subprotocol: Option<String>,
    /// The connection is open when this event has come; none: with the upgrade.
    pub ready: Option<EventKind>,
    /// What a client says first: each is sent, and waited for, before the scenario goes on.
    pub introduce: Vec<Verb>,
}

/// How a client learns that everything before has come.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Fence {
    /// It says something itself: when that comes back, everything earlier in the room has come.
    Say,
    /// It asks for a sign of life: with [`Verb::Ping`] where the dialect has it, else a WebSocket ping.
    Ping,
}

/// Sizes and counts that a server refuses to pass; none: not known.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Limits {
    /// The size of a message.
    pub message_bytes: Option<u64>,
    /// The size of a text said, in bytes.
    pub text_bytes: Option<u64>,
    /// How many rooms a connection may be in.
    pub rooms: Option<u64>,
    /// The size of a room's name.
    pub room_name_bytes: Option<u64>,
    /// How many members a room may have.
    pub members: Option<u64>,
    /// Requests a second on one connection.
    pub requests_per_s: Option<u64>,
}

/// A hole that no value fills.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("`${0}` has no value here")]
pub struct Unfilled(pub String);

/// What a frame turned out to be.
#[derive(Clone, Debug, PartialEq)]
pub enum Decoded {
    /// An event.
    Event(Event),
    /// Nothing that the dialect knows.
    Unknown,
    /// No JSON, where the dialect is JSON: why.
    NotJson(String),
}

/// What a server told a client.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// Which.
    pub kind: EventKind,
    /// The values of its holes.
    pub fields: Vars,
    /// The fields to keep as variables of the connection.
    pub remember: Vec<String>,
    /// What to send at once.
    pub reply: Option<Verb>,
}

impl Dialect {
    /// The dialect of this name that comes with the program.
    pub fn shipped(_name: &str) -> Option<Self> {
        None
    }

    /// A dialect by name (of those that come with the program) or path.
    pub fn load(name_or_path: &str) -> Result<Self, Problems> {
        Err(Problems::unread(name_or_path, crate::scenario::Problem::new("not built yet")))
    }

    /// A dialect from its file's text.
    pub fn parse(name: &str, _text: &str) -> Result<Self, Problems> {
        Self::load(name)
    }

    /// Whether a client can ask for this.
    pub fn can(&self, _verb: Verb) -> bool {
        false
    }

    /// The event that answers this request; none: nothing does.
    pub fn acknowledged_by(&self, _verb: Verb) -> Option<EventKind> {
        None
    }

    /// The path of the upgrade request.
    pub fn path(&self, _vars: &Vars) -> Result<String, Unfilled> {
        Ok(self.connect.path.clone())
    }

    /// The text of a frame that asks for this.
    pub fn encode(&self, verb: Verb, _vars: &Vars) -> Result<String, Unfilled> {
        Err(Unfilled(verb.as_str().to_owned()))
    }

    /// What a frame's text says.
    pub fn decode(&self, _text: &str) -> Decoded {
        Decoded::Unknown
    }
}

