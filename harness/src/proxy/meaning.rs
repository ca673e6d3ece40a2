//! What a frame says, as far as rules ask for it.

use std::sync::Arc;

use serde_json::Value;

use super::cutter::Frame;
use super::rule::{Told, Way};
use crate::dialect::{Dialect, EventKind, Verb};
use crate::heard::{Content, Ears};
use crate::plan::Vars;

/// RFC 6455, 11.8.
const PING: u8 = 9;
/// RFC 6455, 11.8.
const PONG: u8 = 10;

/// Reads frames as a dialect has them.
#[derive(Debug)]
pub(super) struct Reader {
    pub(super) dialect: Option<Arc<Dialect>>,
    ears: Option<Ears>,
}

/// What a frame says.
#[derive(Debug, Default)]
pub(super) struct Meaning {
    events: Vec<EventKind>,
    request: Option<Verb>,
    /// Whose it is.
    pub(super) sender: Option<String>,
    /// In which room.
    pub(super) room: Option<String>,
    /// What its client calls itself.
    pub(super) name: Option<String>,
    /// What is said in it.
    pub(super) words: Option<String>,
    value: Option<Value>,
}

impl Reader {
    pub(super) fn new(dialect: Option<Arc<Dialect>>) -> Self {
        let ears = dialect.as_ref().map(|dialect| Ears::new(Arc::clone(dialect)));
        Self { dialect, ears }
    }

    /// Reads a frame; `value` says whether a pattern will be compared with it.
    pub(super) fn read(&mut self, way: Way, frame: &Frame, value: bool) -> Meaning {
        let Some(text) = frame.text() else { return Meaning::of_control(way, frame.opcode) };
        let value = value.then(|| match &self.dialect {
            Some(dialect) => dialect.value_of(text),
            None => serde_json::from_str(text).unwrap_or_else(|_| Value::from(text)),
        });
        let meaning = match way {
            Way::ToClient => self.told(text),
            Way::ToServer => self.asked(text),
        };
        Meaning { value, ..meaning }
    }

    fn told(&mut self, text: &str) -> Meaning {
        let Some(ears) = &mut self.ears else { return Meaning::default() };
        let heard = ears.hear(text);
        let mut meaning = Meaning::default();
        match heard.event() {
            Some(event) => meaning.events.extend(event.kinds().chain(event.means.own)),
            None => meaning.events.extend(heard.kind()),
        }
        if let Some(fields) = heard.fields() {
            let one_of = |names: &[&str]| names.iter().find_map(|name| fields.get(*name));
            meaning.sender = one_of(&["who", "member"]).map(ToString::to_string);
            meaning.room = fields.get("room").map(plain);
            meaning.words = fields.get("text").map(plain);
        }
        if let Content::Message(said) = &heard.content
            && let Some(stamp) = said.stamp
        {
            meaning.sender = Some(format!("voice {}", stamp.message.voice.0));
        }
        meaning
    }

    fn asked(&self, text: &str) -> Meaning {
        let asked = self.dialect.as_ref().and_then(|dialect| dialect.asked(text));
        let Some((verb, vars)) = asked else { return Meaning::default() };
        let named = match verb {
            Verb::Name => vars.get("username").or_else(|| vars.get("me")),
            _ => vars.get("me"),
        };
        Meaning {
            request: Some(verb),
            name: named.map(plain),
            room: vars.get("room").map(plain),
            words: vars.get("text").map(plain),
            ..Meaning::default()
        }
    }

    /// What the upgrade's path says of its client: its name, and the room that it enters.
    pub(super) fn path(&self, path: &str) -> (Option<String>, Option<String>) {
        let vars = self.dialect.as_ref().map(|dialect| dialect.of_path(path)).unwrap_or_default();
        let of = |vars: &Vars, name: &str| vars.get(name).map(plain);
        (of(&vars, "me"), of(&vars, "room"))
    }
}

impl Meaning {
    /// A WebSocket ping is the event, whether or not the protocol has words of its own for it.
    fn of_control(way: Way, opcode: u8) -> Self {
        match (way, opcode) {
            (Way::ToClient, PING) => Self { events: vec![EventKind::Ping], ..Self::default() },
            (Way::ToServer, PONG) => Self { request: Some(Verb::Pong), ..Self::default() },
            _ => Self::default(),
        }
    }

    pub(super) fn says(&self, told: Told) -> bool {
        match told {
            Told::Event(kind) => self.events.contains(&kind),
            Told::Request(verb) => self.request == Some(verb),
        }
    }

    /// A request was done: that is all that it says.
    pub(super) fn is_answer(&self) -> bool {
        self.events == [EventKind::Ok]
    }

    /// The rooms that this puts a client into, or out of.
    pub(super) fn moves(&self) -> Option<(&str, bool)> {
        let room = self.room.as_deref()?;
        let is = |kind| self.events.contains(&kind);
        if is(EventKind::Exited) {
            Some((room, false))
        } else if is(EventKind::Entered) || is(EventKind::Created) {
            Some((room, true))
        } else {
            None
        }
    }

    /// The frame as a value; none where it was not asked for, or is no text.
    pub(super) fn value(&self) -> Option<&Value> {
        self.value.as_ref()
    }
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
