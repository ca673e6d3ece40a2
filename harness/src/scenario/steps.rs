//! A step of the timeline, as it is written: one action and its modifiers.

use serde::Deserialize;
use serde::de::{Deserializer, Visitor};
use serde_json::Value;

use super::model::{Short, Shorthand};
use super::read::{At, Keyed, Tried};
use super::units::{Length, Rate, Size};
use crate::dialect::EventKind;
use crate::plan::{Rejoin, Span};

/// A list of steps.
pub(crate) type Steps = Vec<Tried<At<Step>>>;

/// Declares the step and the table of its actions, so that no action is in only one of them.
macro_rules! step {
    ($($(#[$attr:meta])* $field:ident / $name:literal: $type:ty,)*) => {
        /// One line of the timeline.
        #[derive(Debug, Default, Deserialize)]
        #[serde(deny_unknown_fields, default)]
        pub(crate) struct Step {
            #[serde(rename = "as")]
            pub(crate) who: Option<At<String>>,
            pub(crate) note: Option<String>,
            pub(crate) within: Option<At<Span>>,
            pub(crate) every: Option<At<Rate>>,
            pub(crate) refused: Option<At<String>>,
            $($(#[$attr])* pub(crate) $field: Option<At<$type>>,)*
        }

        /// The actions of the language.
        pub const ACTIONS: &[&str] = &[$($name,)*];

        impl Step {
            /// The actions that this step has, and their places.
            pub(crate) fn actions(&self) -> Vec<(&'static str, crate::plan::Place)> {
                let mut found = Vec::new();
                $(if let Some(action) = &self.$field { found.push(($name, action.place)); })*
                found
            }
        }
    };
}

step! {
    open/"open": Open,
    close/"close": Close,
    drop/"drop": Nothing,
    reconnect/"reconnect": Reconnect,
    pongs/"pongs": bool,
    reads/"reads": bool,
    name/"name": String,
    create/"create": Create,
    join/"join": Short<Join>,
    leave/"leave": Short<Room>,
    say/"say": Short<Say>,
    typing/"typing": Typing,
    presence/"presence": Value,
    store/"store": Store,
    read/"read": Short<Read>,
    expect/"expect": Expect,
    expect_none/"expect_none": ExpectNone,
    wait/"wait": Span,
    repeat/"repeat": Repeat,
    together/"together": Steps,
    each/"each": Steps,
    phase/"phase": Phase,
    settle/"settle": Length,
}

impl Step {
    /// The lists of steps inside this one.
    pub(crate) fn inner(&self) -> impl Iterator<Item = &Steps> {
        let repeat = self.repeat.as_ref().map(|repeat| &repeat.steps);
        let phase = self.phase.as_ref().map(|phase| &phase.run);
        let together = self.together.as_ref().map(|steps| &steps.value);
        let each = self.each.as_ref().map(|steps| &steps.value);
        [repeat, phase, together, each].into_iter().flatten()
    }
}

/// Every step, and every step inside it.
pub(crate) fn each_step(steps: &Steps, look: &mut impl FnMut(&Step)) {
    for step in steps.iter().filter_map(|step| step.0.as_ref()) {
        look(step);
        for inner in step.inner() {
            each_step(inner, look);
        }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Open {
    pub(crate) path: Option<At<String>>,
    pub(crate) headers: Keyed<At<String>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Close {
    pub(crate) code: Option<At<u16>>,
    pub(crate) reason: Option<At<String>>,
}

/// `{}`: an action that has nothing to say.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Nothing {}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Reconnect {
    pub(crate) after: Option<Length>,
    pub(crate) backoff: Option<Length>,
    pub(crate) jitter: bool,
    pub(crate) rejoin: Option<RejoinWord>,
}

/// `true`, `false` or `since`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RejoinWord(pub(crate) Rejoin);

impl<'de> Deserialize<'de> for RejoinWord {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Word;

        impl Visitor<'_> for Word {
            type Value = RejoinWord;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("true, false or since")
            }

            fn visit_bool<E: serde::de::Error>(self, rejoin: bool) -> Result<RejoinWord, E> {
                Ok(RejoinWord(if rejoin { Rejoin::Fresh } else { Rejoin::No }))
            }

            fn visit_str<E: serde::de::Error>(self, word: &str) -> Result<RejoinWord, E> {
                match word {
                    "since" => Ok(RejoinWord(Rejoin::Since)),
                    _ => Err(E::invalid_value(serde::de::Unexpected::Str(word), &self)),
                }
            }
        }

        deserializer.deserialize_any(Word)
    }
}

/// What of an answer or event is kept: `code`, `[code, room]` or `{ mine: code }`.
#[derive(Debug, Default)]
pub(crate) struct Save(pub(crate) Vec<(At<String>, At<String>)>);

impl<'de> Deserialize<'de> for Save {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Names;

        impl<'de> Visitor<'de> for Names {
            type Value = Save;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("the name of a field, a list of them, or `{ variable: field }`")
            }

            fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<Save, E> {
                let name = At { value: name.to_owned(), ..At::default() };
                Ok(Save(vec![(name.clone(), name)]))
            }

            fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut seq: A) -> Result<Save, A::Error> {
                let mut names = Vec::new();
                while let Some(name) = seq.next_element::<At<String>>()? {
                    names.push((name.clone(), name));
                }
                Ok(Save(names))
            }

            fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Save, A::Error> {
                let mut names = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    names.push(pair);
                }
                Ok(Save(names))
            }
        }

        deserializer.deserialize_any(Names)
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Create {
    pub(crate) capacity: Option<u64>,
    pub(crate) save: Option<At<Save>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Join {
    pub(crate) room: Option<At<String>>,
    pub(crate) code: Option<At<String>>,
    pub(crate) membership: Option<Membership>,
    pub(crate) since: Option<Last>,
    pub(crate) save: Option<At<Save>>,
}

impl Shorthand for Join {
    const WORD: &'static str = "a room";

    fn of(room: At<String>) -> Self {
        Self { room: Some(room), ..Self::default() }
    }
}

#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Membership {
    Full,
    None,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Last {
    Last,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Room {
    pub(crate) room: At<String>,
}

impl Shorthand for Room {
    const WORD: &'static str = "a room";

    fn of(room: At<String>) -> Self {
        Self { room }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Say {
    pub(crate) text: Option<At<String>>,
    pub(crate) size: Option<At<Size>>,
    pub(crate) room: Option<At<String>>,
}

impl Shorthand for Say {
    const WORD: &'static str = "a text";

    fn of(text: At<String>) -> Self {
        Self { text: Some(text), ..Self::default() }
    }
}

/// `true`, `false`, or a mapping.
#[derive(Debug)]
pub(crate) struct Typing {
    pub(crate) on: bool,
    pub(crate) room: Option<At<String>>,
}

impl<'de> Deserialize<'de> for Typing {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Whole {
            on: bool,
            room: Option<At<String>>,
        }

        struct Either;

        impl<'de> Visitor<'de> for Either {
            type Value = Typing;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("true, false or a mapping")
            }

            fn visit_bool<E: serde::de::Error>(self, on: bool) -> Result<Typing, E> {
                Ok(Typing { on, room: None })
            }

            fn visit_map<A: serde::de::MapAccess<'de>>(self, map: A) -> Result<Typing, A::Error> {
                let map = serde::de::value::MapAccessDeserializer::new(map);
                let Whole { on, room } = Whole::deserialize(map)?;
                Ok(Typing { on, room })
            }
        }

        deserializer.deserialize_any(Either)
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Store {
    pub(crate) put: Keyed<Value>,
    pub(crate) delete: Vec<String>,
    pub(crate) if_version: Option<Value>,
    pub(crate) room: Option<At<String>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Read {
    #[serde(default)]
    pub(crate) number: Option<Value>,
    #[serde(default)]
    pub(crate) room: Option<At<String>>,
}

impl Shorthand for Read {
    const WORD: &'static str = "`last` or a number";

    fn of(number: At<String>) -> Self {
        Self { number: Some(Value::from(number.value)), room: None }
    }
}

/// Fields that an event must have; one word means the first of its kind's fields.
#[derive(Debug, Default)]
pub(crate) struct Fields {
    pub(crate) word: Option<At<String>>,
    pub(crate) fields: Keyed<At<Value>>,
}

impl Shorthand for Fields {
    const WORD: &'static str = "a word";

    fn of(word: At<String>) -> Self {
        Self { word: Some(word), ..Self::default() }
    }
}

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self { word: None, fields: Keyed::deserialize(deserializer)? })
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Expect {
    pub(crate) joined: Option<Short<Fields>>,
    pub(crate) left: Option<Short<Fields>>,
    pub(crate) message: Option<Short<Fields>>,
    pub(crate) typing: Option<Short<Fields>>,
    pub(crate) presence: Option<Short<Fields>>,
    pub(crate) stored: Option<Short<Fields>>,
    pub(crate) renamed: Option<Short<Fields>>,
    pub(crate) read: Option<Short<Fields>>,
    pub(crate) error: Option<Short<Fields>>,
    pub(crate) entered: Option<Short<Fields>>,
    pub(crate) members: Option<Vec<At<String>>>,
    pub(crate) ping: Option<Nothing>,
    pub(crate) closed: Option<Closed>,
    pub(crate) count: Option<At<u32>>,
    pub(crate) save: Option<At<Save>>,
}

impl Expect {
    /// The events whose fields can be given, with the field that a single word means.
    pub(crate) fn patterns(&self) -> [(EventKind, Option<&'static str>, Option<&Fields>); 10] {
        fn inner(fields: &Option<Short<Fields>>) -> Option<&Fields> {
            fields.as_ref().map(|short| &short.0)
        }
        [
            (EventKind::Joined, Some("who"), inner(&self.joined)),
            (EventKind::Left, Some("who"), inner(&self.left)),
            (EventKind::Message, Some("text"), inner(&self.message)),
            (EventKind::Typing, Some("who"), inner(&self.typing)),
            (EventKind::Presence, Some("who"), inner(&self.presence)),
            (EventKind::Stored, Some("who"), inner(&self.stored)),
            (EventKind::Renamed, Some("who"), inner(&self.renamed)),
            (EventKind::Read, Some("who"), inner(&self.read)),
            (EventKind::Error, Some("code"), inner(&self.error)),
            (EventKind::Entered, Some("room"), inner(&self.entered)),
        ]
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Closed {
    pub(crate) by: Option<Side>,
    pub(crate) code: Option<u16>,
    pub(crate) not_before: Option<Span>,
}

#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Side {
    Server,
    Anyone,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ExpectNone {
    pub(crate) of: Vec<At<EventKind>>,
    #[serde(rename = "for")]
    pub(crate) span: Option<Length>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Repeat {
    pub(crate) times: Option<At<u32>>,
    #[serde(rename = "for")]
    pub(crate) span: Option<Length>,
    pub(crate) steps: Steps,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Phase {
    pub(crate) name: String,
    #[serde(rename = "for")]
    pub(crate) span: Length,
    #[serde(default)]
    pub(crate) discard: bool,
    pub(crate) run: Steps,
}
