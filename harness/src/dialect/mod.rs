//! A wire format as data: templates, filled to send and matched to receive.
//!
//! Nothing about any wire format is in Rust; it is in the dialect files (`scenarios/dialects/`).
//! [`Dialect::encode`] turns a [`Verb`] and values into a frame, [`Dialect::decode`] a frame into an
//! [`Event`] and values. Both are pure functions.

mod file;
mod lint;
pub mod pattern;
mod shape;
mod template;
mod words;

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

pub(crate) use lint::{doubts, locate};
pub use shape::SHAPES;
pub use words::{EventKind, RECEIVED, SENT, UnknownWord, Verb};

use self::template::{Definitions, Template};
use crate::plan::{Echo, Ordering, Source, Vars};
use crate::scenario::template::fill_text;
use crate::scenario::{Problems, files};

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
    /// What it says that it lacks, in the words of `needs`.
    lacks: Vec<String>,
    encoding: Encoding,
    define: Definitions,
    send: BTreeMap<Verb, Vec<Sending>>,
    receive: Vec<Receiving>,
}

/// What a frame's text is.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Encoding {
    /// A JSON value.
    #[default]
    Json,
    /// Itself.
    Text,
}

/// A way to ask for something.
#[derive(Clone, Debug)]
struct Sending {
    /// It is used for values that match this; its holes are further values.
    given: Option<Template>,
    frame: Template,
    ack: Option<EventKind>,
}

/// A way to be told something.
#[derive(Clone, Debug)]
struct Receiving {
    event: EventKind,
    when: Template,
    /// Values that the frame means without saying them.
    with: Vars,
    remember: Vec<String>,
    reply: Option<Verb>,
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

/// What a scenario can need of a dialect beside the [`Verb`]s.
pub const FEATURES: &[&str] = &["heartbeat", "recovery", "audience", "members", "numbering"];

impl Dialect {
    /// The dialect of this name that comes with the program.
    pub fn shipped(name: &str) -> Option<Self> {
        let source = files::shipped_dialect(name)?;
        Self::parse(&source.name, &source.text).ok()
    }

    /// A dialect by name (of those that come with the program) or path.
    pub fn load(name_or_path: &str) -> Result<Self, Problems> {
        let source = files::dialect(name_or_path)?;
        Self::parse(&source.name, &source.text)
    }

    /// A dialect from its file's text.
    pub fn parse(name: &str, text: &str) -> Result<Self, Problems> {
        let source = Source { name: name.to_owned(), text: text.into() };
        file::read(text).map_err(|list| Problems::new(source, list))
    }

    /// The same dialect with other values for its parameters; names it does not have are left alone.
    #[must_use]
    pub fn with_params(mut self, values: &Vars) -> Self {
        for (name, value) in &mut self.params {
            if let Some(other) = values.get(name) {
                *value = other.clone();
                self.define.insert(name.clone(), Template::Exactly(other.clone()));
            }
        }
        self
    }

    /// Whether a client can ask for this.
    pub fn can(&self, verb: Verb) -> bool {
        self.send.contains_key(&verb) && !self.lacks.iter().any(|lack| lack == verb.as_str())
    }

    /// Whether servers tell this.
    pub fn tells(&self, kind: EventKind) -> bool {
        self.receive.iter().any(|receiving| receiving.event == kind)
    }

    /// Whether it has any words for what servers tell; else only stamps are found in raw frames.
    pub fn reads(&self) -> bool {
        !self.receive.is_empty()
    }

    /// Whether it has what a scenario can need: a [`Verb`]'s word or one of [`FEATURES`].
    pub fn has(&self, need: &str) -> bool {
        let join_has = |hole: &str| {
            let join = self.send.get(&Verb::Join).map_or(&[][..], Vec::as_slice);
            join.iter().any(|way| way.frame.holes().iter().any(|(name, _)| name == hole))
        };
        let by_nature = match need {
            "heartbeat" => self.heartbeat.is_some(),
            "recovery" => join_has("since_number"),
            "audience" => join_has("membership"),
            "numbering" => !self.numbering.is_empty(),
            "members" => self
                .receive
                .iter()
                .any(|receiving| receiving.when.holes().iter().any(|(name, _)| name == "members")),
            verb => verb.parse().is_ok_and(|verb| self.can(verb)),
        };
        by_nature && !self.lacks.iter().any(|lack| lack == need)
    }

    /// The event that answers this request; none: nothing does.
    pub fn acknowledged_by(&self, verb: Verb) -> Option<EventKind> {
        self.send.get(&verb)?.iter().find_map(|way| way.ack)
    }

    /// The path of the upgrade request.
    pub fn path(&self, vars: &Vars) -> Result<String, Unfilled> {
        let mut all = self.params.clone();
        all.extend(vars.iter().map(|(name, value)| (name.clone(), value.clone())));
        fill_text(&self.connect.path, &all)
    }

    /// The text of a frame that asks for this. The values are the request's own (its arguments, an
    /// id, who the client is, what the connection remembers), not all of a scenario's variables: a
    /// stray `code` would turn joining a room into joining by code.
    pub fn encode(&self, verb: Verb, vars: &Vars) -> Result<String, Unfilled> {
        let nothing = || Unfilled(verb.as_str().to_owned());
        for way in self.send.get(&verb).ok_or_else(nothing)? {
            let Some(given) = &way.given else { return self.frame(way, vars) };
            let values = Value::Object(vars.clone().into_iter().collect());
            if let Some(bound) = given.matched(&values) {
                let mut all = vars.clone();
                all.extend(bound);
                return self.frame(way, &all);
            }
        }
        Err(nothing())
    }

    fn frame(&self, way: &Sending, vars: &Vars) -> Result<String, Unfilled> {
        let value = way.frame.fill(vars, &self.define)?;
        Ok(match (self.encoding, value) {
            (Encoding::Text, Value::String(text)) => text,
            (_, value) => value.to_string(),
        })
    }

    /// What a frame's text says.
    pub fn decode(&self, text: &str) -> Decoded {
        let value = match self.encoding {
            Encoding::Text => Value::from(text),
            Encoding::Json => match serde_json::from_str(text) {
                Ok(value) => value,
                Err(error) => return Decoded::NotJson(error.to_string()),
            },
        };
        let event = self.receive.iter().find_map(|receiving| {
            let mut fields = receiving.when.matched(&value)?;
            fields.extend(receiving.with.clone());
            Some(Event {
                kind: receiving.event,
                fields,
                remember: receiving.remember.clone(),
                reply: receiving.reply,
            })
        });
        event.map_or(Decoded::Unknown, Decoded::Event)
    }
}
