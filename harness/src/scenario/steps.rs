//! A step of the timeline, as it is written: one action and its modifiers.

use serde::Deserialize;
use serde::de::{Deserializer, Visitor};
use serde_json::Value;

use super::expectations::{Expect, ExpectNone, Save};
use super::marked::{At, Keyed, Tried};
use super::model::{Short, Shorthand};
use super::units::{Length, Rate, Size};
use super::wire::{Answer, Content, Frame, Handshake, Http};
use crate::plan::{Rejoin, Span};
use crate::proxy::Rules;

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
            pub(crate) class: Option<At<String>>,
            pub(crate) within: Option<At<Span>>,
            pub(crate) every: Option<At<Rate>>,
            pub(crate) refused: Option<At<String>>,
            pub(crate) needs: Vec<At<String>>,
            pub(crate) answer: Option<At<Answer>>,
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
    send/"send": Value,
    sends/"sends": Vec<At<Value>>,
    send_text/"send_text": Content,
    frame/"frame": Frame,
    frames/"frames": Vec<At<Frame>>,
    bytes/"bytes": Content,
    half_close/"half_close": Nothing,
    handshake/"handshake": Handshake,
    http/"http": Http,
    expect/"expect": Expect,
    expect_none/"expect_none": ExpectNone,
    drain/"drain": Nothing,
    same/"same": Vec<At<Value>>,
    differ/"differ": Vec<At<Value>>,
    ordered/"ordered": Vec<At<Value>>,
    equal/"equal": String,
    distinct/"distinct": String,
    stop_server/"stop_server": Nothing,
    kill_server/"kill_server": Nothing,
    start_server/"start_server": Nothing,
    expect_exit/"expect_exit": i32,
    wait/"wait": Span,
    repeat/"repeat": Repeat,
    together/"together": Steps,
    each/"each": Steps,
    phase/"phase": Phase,
    settle/"settle": Length,
    network/"network": Rules,
}

/// Actions that no client does.
pub(crate) const NOBODYS: &[&str] = &[
    "wait",
    "repeat",
    "together",
    "phase",
    "settle",
    "stop_server",
    "kill_server",
    "start_server",
    "expect_exit",
    "network",
];

/// Actions with which a scenario talks below the dialect: what it says so, the checks know nothing of.
pub(crate) const BELOW: &[&str] =
    &["send", "sends", "send_text", "frame", "frames", "bytes", "half_close"];

/// Actions on the run's own server.
pub(crate) const ON_SERVER: &[&str] =
    &["stop_server", "kill_server", "start_server", "expect_exit"];

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
    pub(crate) bare: bool,
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
