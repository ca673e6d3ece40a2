//! What a step waits for, as it is written, and what it keeps of what came.

use serde::Deserialize;
use serde::de::{Deserializer, Visitor};
use serde_json::Value;

use super::marked::{At, Keyed};
use super::model::{Short, Shorthand};
use super::steps::Nothing;
use super::units::Length;
use super::wire::{CodeWord, Content, Listed};
use crate::dialect::EventKind;
use crate::plan::{Side, Span};

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
    pub(crate) frame: Option<At<Value>>,
    pub(crate) frames: Option<At<Vec<At<Value>>>>,
    pub(crate) next: Option<At<Value>>,
    pub(crate) pong: Option<At<Content>>,
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
    pub(crate) code: Option<Listed<CodeWord>>,
    pub(crate) clean: Option<bool>,
    pub(crate) end: Option<EndWord>,
    pub(crate) not_before: Option<Span>,
    pub(crate) not_after: Option<Span>,
}

/// How TCP ended.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum EndWord {
    Fin,
    Rst,
    Any,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ExpectNone {
    pub(crate) of: Vec<At<EventKind>>,
    pub(crate) frame: Option<At<Value>>,
    pub(crate) frames: Vec<At<Value>>,
    #[serde(rename = "for")]
    pub(crate) span: Option<Length>,
}

impl ExpectNone {
    /// The patterns of frames that must not come.
    pub(crate) fn patterns(&self) -> impl Iterator<Item = &At<Value>> {
        self.frame.iter().chain(&self.frames)
    }
}

impl Expect {
    /// The patterns of frames that must come.
    pub(crate) fn frames(&self) -> impl Iterator<Item = &At<Value>> {
        let several = self.frames.iter().flat_map(|all| &all.value);
        self.frame.iter().chain(several).chain(&self.next)
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
