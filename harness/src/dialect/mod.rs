//! A wire format as data: templates, filled to send and matched to receive.
//!
//! Nothing about any wire format is in Rust; it is in the dialect files (`scenarios/dialects/`).
//! [`Dialect::encode`] turns a [`Verb`] and values into a frame, [`Dialect::decode`] a frame into an
//! [`Event`] and values. Both are pure functions.

mod asked;
mod build;
mod duty;
mod equal;
mod file;
mod function;
mod http;
mod lint;
mod need;
pub mod pattern;
mod shape;
mod template;
mod trial;
mod words;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use duty::{Duty, Return};
pub use function::FUNCTIONS;
pub use http::{Exchange, Refusal};
pub(crate) use lint::{doubts, locate};
pub use need::FEATURES;
pub use shape::SHAPES;
pub use trial::Trial;
pub use words::{EventKind, RECEIVED, SENT, UnknownWord, Verb};

use self::template::{Definitions, Filling, Template};
use crate::plan::{Echo, Ordering, Source, Vars};
use crate::scenario::{Problems, files};

/// A server's timers.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
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
    /// The order that servers of this kind promise; none where a profile says `any`.
    pub ordering: Option<Ordering>,
    /// How often a sender gets its own message; none where a profile says `any`.
    pub echo: Option<Echo>,
    /// Its timers, when the target does not say otherwise.
    pub heartbeat: Option<Heartbeat>,
    /// It pings only a connection that is idle.
    pub idle_pings: bool,
    /// It has no patience of its own: the tick that finds no pong since the last one is the end.
    two_ticks: bool,
    /// How a client learns that everything before has come.
    pub fence: Fence,
    /// The events of a room that share one sequence of numbers, +1 each; empty: nothing is numbered.
    pub numbering: Vec<EventKind>,
    /// The first of these events after an entry is what the room holds, unless its number is 1.
    pub snapshot: Vec<EventKind>,
    /// Sizes and counts that the server refuses to pass.
    pub limits: Limits,
    /// What a client owes a server that has ended its connection, before it comes back.
    pub duty: Duty,
    /// Values that a user may set (`--var`), with their defaults.
    pub params: Vars,
    /// What it says that it lacks, in the words of `needs`.
    lacks: Vec<String>,
    encoding: Encoding,
    define: Definitions,
    http: BTreeMap<String, http::Request>,
    send: BTreeMap<Verb, Vec<Sending>>,
    /// What is received, as the file has it.
    rules: Vec<Receiving>,
    /// The same with the values of the parameters.
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
    /// HTTP requests that are made first.
    before: Vec<String>,
    frames: Frames,
    /// It is itself an HTTP request.
    http: Option<String>,
    ack: Option<EventKind>,
}

/// The frames of a request.
#[derive(Clone, Debug)]
enum Frames {
    /// These.
    Each(Vec<Template>),
    /// The items of a list.
    Of(Template),
}

/// A way to be told something.
#[derive(Clone, Debug)]
struct Receiving {
    event: EventKind,
    when: Template,
    /// Values that the frame means without saying them.
    with: Vec<(String, Template)>,
    means: Arc<Meaning>,
    /// Where it stands in its file.
    line: usize,
}

/// What else a frame means to the client that gets it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Meaning {
    /// Further events that it is, in this order.
    pub also: Vec<EventKind>,
    /// The event that it is instead for the client that it is about.
    pub own: Option<EventKind>,
    /// The request that it refuses, where it names none.
    pub refuses: Option<Verb>,
    /// The fields to keep as variables of the connection.
    pub remember: Vec<String>,
    /// Fields that follow from what the connection remembers.
    recall: Vec<(String, Template)>,
    /// What to send at once.
    pub reply: Option<Verb>,
    /// It is one of several frames that are one event together.
    pub part: Option<Part>,
}

/// A frame's place among those that are one event together.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Part {
    /// Which rule of the dialect this is of.
    pub rule: usize,
    /// Its place, from 0.
    pub nth: usize,
    /// How many there are.
    pub of: usize,
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
    /// HTTP requests that are made before each upgrade.
    pub before: Vec<String>,
    /// The upgrade carries the cookies that these requests have set.
    pub cookies: bool,
    /// The room is chosen by the path: to enter is to connect.
    pub in_path: bool,
    headers: Vec<(String, Template)>,
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
    /// The size of a frame: a longer message comes in several.
    pub frame_bytes: Option<u64>,
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
    /// What else it means.
    pub means: Arc<Meaning>,
}

/// How to ask for something: what is sent for it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Request {
    /// The texts of its frames.
    pub frames: Vec<String>,
    /// It is an HTTP request.
    pub http: Option<Exchange>,
    /// The event that answers it; none: nothing does, or HTTP.
    pub ack: Option<EventKind>,
}

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
        build::read(text).map_err(|list| Problems::new(source, list))
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
        self.receive = self.rules.iter().map(|rule| rule.settled(&self.params)).collect();
        self
    }

    /// The names that it gives values to: its parameters, what a connection remembers, and what the
    /// answers to its HTTP requests bring.
    pub fn gives(&self) -> BTreeSet<String> {
        let remembered = self.rules.iter().flat_map(|rule| &rule.means.remember);
        let taken = self.http.values().flat_map(http::Request::taken);
        self.params.keys().chain(remembered).cloned().chain(taken).collect()
    }

    /// Whether it has an HTTP request of this name.
    pub fn makes(&self, request: &str) -> bool {
        self.http.contains_key(request)
    }

    /// The event that answers this request; none: nothing does.
    pub fn acknowledged_by(&self, verb: Verb) -> Option<EventKind> {
        self.send.get(&verb)?.iter().find_map(|way| way.ack)
    }

    /// A server's timers as servers of this kind take them.
    pub fn timers(&self, heartbeat: Heartbeat) -> Heartbeat {
        let timeout = if self.two_ticks { heartbeat.every } else { heartbeat.timeout };
        Heartbeat { timeout, ..heartbeat }
    }

    /// The path of the upgrade request.
    pub fn path(&self, vars: &Vars) -> Result<String, Unfilled> {
        self.address(&self.connect.path, vars)
    }

    /// A path or an address with its holes filled.
    pub fn address(&self, text: &str, vars: &Vars) -> Result<String, Unfilled> {
        http::address(text, &Filling::of(vars, &self.define))
    }

    /// What is sent to ask for this. The values are the request's own (its arguments, an id, who
    /// the client is, what the connection remembers), not all of a scenario's variables: a stray
    /// `code` would turn joining a room into joining by code.
    pub fn request(&self, verb: Verb, vars: &Vars) -> Result<Request, Unfilled> {
        let (way, vars) = self.way(verb, vars).ok_or_else(|| Unfilled(verb.as_str().to_owned()))?;
        let filling = Filling::of(&vars, &self.define);
        let frames = match &way.frames {
            Frames::Each(templates) => {
                let fill = |template: &Template| template.fill(&filling);
                templates.iter().map(fill).collect::<Result<Vec<_>, _>>()?
            }
            Frames::Of(list) => match list.fill(&filling)? {
                Value::Array(frames) => frames,
                one => vec![one],
            },
        };
        let text = |frame: Value| match (self.encoding, frame) {
            (Encoding::Text, Value::String(text)) => text,
            (_, value) => value.to_string(),
        };
        let http = way.http.as_ref().map(|name| self.exchange(name, &vars)).transpose()?;
        Ok(Request { frames: frames.into_iter().map(text).collect(), http, ack: way.ack })
    }

    /// The text of the only frame that asks for this, where one frame does.
    pub fn encode(&self, verb: Verb, vars: &Vars) -> Result<String, Unfilled> {
        let frames = self.request(verb, vars)?.frames;
        frames.into_iter().next().ok_or_else(|| Unfilled(verb.as_str().to_owned()))
    }

    /// The HTTP requests that must be made before this can be asked for.
    pub fn before(&self, verb: Verb, vars: &Vars) -> &[String] {
        self.way(verb, vars).map_or(&[], |(way, _)| way.before.as_slice())
    }

    /// The first way to ask whose `given` fits, and the values that are known then.
    fn way(&self, verb: Verb, vars: &Vars) -> Option<(&Sending, Vars)> {
        for way in self.send.get(&verb)? {
            let Some(given) = &way.given else { return Some((way, vars.clone())) };
            let params = self.params.iter().chain(vars);
            let values = params.map(|(name, value)| (name.clone(), value.clone()));
            let values = Value::Object(values.collect());
            if let Some(bound) = given.matched(&values) {
                let mut all = vars.clone();
                all.extend(bound);
                return Some((way, all));
            }
        }
        None
    }

    /// What a frame's text says.
    pub fn decode(&self, text: &str) -> Decoded {
        let value = match self.parsed(text) {
            Ok(value) => value,
            Err(fact) => return Decoded::NotJson(fact),
        };
        let event = self.receive.iter().find_map(|receiving| receiving.read(&value));
        event.map_or(Decoded::Unknown, Decoded::Event)
    }

    fn parsed(&self, text: &str) -> Result<Value, String> {
        match self.encoding {
            Encoding::Text => Ok(Value::from(text)),
            Encoding::Json => serde_json::from_str(text).map_err(|error| error.to_string()),
        }
    }

    /// The fields of an event that follow from what its client knows.
    pub(crate) fn recalled(&self, event: &Event, known: &Vars) -> Vec<(String, Value)> {
        let mut all = known.clone();
        all.extend(event.fields.clone());
        let recall = event.means.recall.iter();
        let fill = |(name, template): &(String, Template)| {
            Some((name.clone(), template.fill(&Filling::of(&all, &self.define)).ok()?))
        };
        recall.filter_map(fill).collect()
    }
}

impl Receiving {
    /// The same with the values of parameters.
    fn settled(&self, params: &Vars) -> Self {
        Self { when: self.when.settled(params), ..self.clone() }
    }

    /// The event that a message is; none when it is not like this.
    fn read(&self, message: &Value) -> Option<Event> {
        let mut fields = self.when.matched(message)?;
        for (name, template) in &self.with {
            // What is bound nowhere (an optional key that is not there) says nothing.
            if let Ok(value) = template.fill(&Filling::of(&fields, &Definitions::new())) {
                fields.insert(name.clone(), value);
            }
        }
        Some(Event { kind: self.event, fields, means: Arc::clone(&self.means) })
    }
}

impl Event {
    /// All the events that it is.
    pub fn kinds(&self) -> impl Iterator<Item = EventKind> {
        std::iter::once(self.kind).chain(self.means.also.iter().copied())
    }

    /// The fields that follow from what the client knows.
    pub fn recalled(&self) -> impl Iterator<Item = &str> {
        self.means.recall.iter().map(|(name, _)| name.as_str())
    }

    /// Whether more must be known of the client to say what it means.
    pub(crate) fn is_partial(&self) -> bool {
        !self.means.recall.is_empty() || self.means.own.is_some() || self.means.part.is_some()
    }
}
