//! What clients send: first the envelope, which validates the whole text, then the request in it.

use std::borrow::Cow;
use std::fmt;
use std::num::NonZeroU16;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::refusal::{Code, Refusal};
use crate::room::Membership;
use crate::storage::Change;

/// Bytes of an `id` that is a string.
const ID_BYTES: usize = 64;
/// Levels of nesting in one message. What clients store is shown to others inside of more levels,
/// and must not run into the limits of their parsers, of which 128 is a common one.
const DEPTH: u8 = 64;

/// What a reply refers to: the same value as the client sent.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[serde(untagged)]
pub(super) enum Id {
    Text(String),
    Signed(i64),
    Unsigned(u64),
}

/// The outside of a message.
#[derive(Debug)]
pub(super) struct Envelope<'a> {
    pub(super) id: Option<Id>,
    pub(super) kind: Cow<'a, str>,
}

/// One request, valid as far as it can be judged without knowing who sent it.
#[derive(Debug)]
pub(super) enum Request<'a> {
    Name(Name<'a>),
    Create(Create),
    Join(Join<'a>),
    Leave(InRoom<'a>),
    Chat(Chat<'a>),
    Presence(Presence<'a>),
    Store(Store<'a>),
    Typing(Typing<'a>),
    Read(Read<'a>),
    Ping,
}

#[derive(Debug, Deserialize)]
pub(super) struct Name<'a> {
    #[serde(borrow)]
    pub(super) username: Cow<'a, str>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Create {
    pub(super) capacity: Option<NonZeroU16>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Join<'a> {
    #[serde(borrow)]
    pub(super) room: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub(super) code: Option<Cow<'a, str>>,
    pub(super) membership: Option<Membership>,
    #[serde(borrow)]
    pub(super) since: Option<Object<Since<'a>>>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Since<'a> {
    #[serde(borrow)]
    pub(super) epoch: Cow<'a, str>,
    pub(super) seq: u64,
}

#[derive(Debug, Deserialize)]
pub(super) struct InRoom<'a> {
    #[serde(borrow)]
    pub(super) room: Cow<'a, str>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Chat<'a> {
    #[serde(borrow)]
    pub(super) room: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) text: Cow<'a, str>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Presence<'a> {
    #[serde(borrow)]
    pub(super) room: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) patch: &'a RawValue,
}

#[derive(Debug, Deserialize)]
pub(super) struct Store<'a> {
    #[serde(borrow)]
    pub(super) room: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) ops: Vec<Op<'a>>,
    pub(super) if_version: Option<u64>,
}

/// One operation on the storage. It is shown to the members as it was sent, but for spaces and
/// fields that mean nothing.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Op<'a> {
    #[serde(borrow)]
    Put(Object<Put<'a>>),
    #[serde(borrow)]
    Delete(Object<Delete<'a>>),
}

#[derive(Debug, Deserialize, Serialize)]
pub(super) struct Put<'a> {
    #[serde(borrow)]
    key: Cow<'a, str>,
    #[serde(borrow)]
    value: &'a RawValue,
}

#[derive(Debug, Deserialize, Serialize)]
pub(super) struct Delete<'a> {
    #[serde(borrow)]
    key: Cow<'a, str>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Typing<'a> {
    #[serde(borrow)]
    pub(super) room: Cow<'a, str>,
    pub(super) on: bool,
}

#[derive(Debug, Deserialize)]
pub(super) struct Read<'a> {
    #[serde(borrow)]
    pub(super) room: Cow<'a, str>,
    pub(super) seq: u64,
}

impl Op<'_> {
    pub(super) fn change(&self) -> Change<'_> {
        match self {
            Self::Put(Object(put)) => Change { key: &put.key, value: Some(put.value) },
            Self::Delete(Object(delete)) => Change { key: &delete.key, value: None },
        }
    }
}

impl<'a> Envelope<'a> {
    /// Reads the envelope, and validates all of the text. Refused with the `id` if there is a
    /// valid one: the answer to a request with an id always carries it.
    pub(super) fn read(text: &'a str) -> Result<Self, (Option<Id>, Refusal)> {
        let bare = |code, message: String| (None, Refusal::new(code, message));
        let mut json = serde_json::Deserializer::from_str(text);
        if !text.trim_ascii_start().starts_with('{') {
            let any = Peek { levels: DEPTH };
            return Err(match any.deserialize(&mut json).and_then(|_| json.end()) {
                Ok(()) => bare(Code::BadMessage, "a message is an object".to_owned()),
                Err(error) => bare(Code::BadJson, error.to_string()),
            });
        }
        let fields = Fields::deserialize(&mut json)
            .and_then(|fields| json.end().map(|()| fields))
            .map_err(|error| bare(Code::BadJson, error.to_string()))?;
        let bad = |what: &str| Refusal::new(Code::BadMessage, what.to_owned());
        let id = match fields.id {
            Field::Absent => None,
            Field::Once(id) => Some(id),
            Field::Bad => {
                return Err((None, bad("`id` is a string of up to 64 bytes, or an integer")));
            }
        };
        match fields.kind {
            Field::Once(kind) => Ok(Self { id, kind }),
            Field::Absent => Err((id, bad("missing field `type`"))),
            Field::Bad => Err((id, bad("`type` is one string"))),
        }
    }

    /// Reads the request of this envelope's type from the same text.
    pub(super) fn request(&self, text: &'a str) -> Result<Request<'a>, Refusal> {
        let request = match &*self.kind {
            "name" => parse(text).map(Request::Name),
            "create" => parse(text).map(Request::Create),
            "join" => parse(text).map(Request::Join),
            "leave" => parse(text).map(Request::Leave),
            "chat" => parse(text).map(Request::Chat),
            "presence" => parse(text).map(Request::Presence),
            "store" => parse(text).map(Request::Store),
            "typing" => parse(text).map(Request::Typing),
            "read" => parse(text).map(Request::Read),
            "ping" => Ok(Request::Ping),
            kind => {
                return Err(Refusal::new(Code::UnknownType, format!("no request is a {kind:?}")));
            }
        };
        request.map_err(|error| Refusal::new(Code::BadMessage, error.to_string()))
    }
}

fn parse<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, serde_json::Error> {
    serde_json::from_str(text)
}

/// A struct that is an object on the wire: serde would take an array of its fields as well.
#[derive(Debug, Serialize)]
#[serde(transparent)]
pub(super) struct Object<T>(pub(super) T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = <&'de RawValue>::deserialize(deserializer)?;
        if !raw.get().starts_with('{') {
            return Err(D::Error::custom("expected an object"));
        }
        parse(raw.get()).map(Self).map_err(D::Error::custom)
    }
}

/// The fields of an envelope. Reading it fails only if the text is no JSON, or too deep.
#[derive(Debug)]
struct Fields<'a> {
    kind: Field<Cow<'a, str>>,
    id: Field<Id>,
}

#[derive(Debug)]
enum Field<T> {
    Absent,
    Once(T),
    /// Of the wrong type, or there twice.
    Bad,
}

impl<T> Field<T> {
    fn set(&mut self, value: Option<T>) {
        *self = match (&*self, value) {
            (Self::Absent, Some(value)) => Self::Once(value),
            _ => Self::Bad,
        };
    }
}

impl<'de> Deserialize<'de> for Fields<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(FieldsVisitor)
    }
}

struct FieldsVisitor;

impl<'de> Visitor<'de> for FieldsVisitor {
    type Value = Fields<'de>;

    fn expecting(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields<'de>, A::Error> {
        let mut fields = Fields { kind: Field::Absent, id: Field::Absent };
        let inside = Peek { levels: DEPTH - 1 };
        while let Some(Text(key)) = map.next_key()? {
            match &*key {
                "type" => match map.next_value_seed(inside)? {
                    Some(Scalar::Text(kind)) => fields.kind.set(Some(kind)),
                    _ => fields.kind.set(None),
                },
                "id" => fields.id.set(match map.next_value_seed(inside)? {
                    Some(Scalar::Text(id)) if id.len() <= ID_BYTES => {
                        Some(Id::Text(id.into_owned()))
                    }
                    Some(Scalar::Signed(id)) => Some(Id::Signed(id)),
                    Some(Scalar::Unsigned(id)) => Some(Id::Unsigned(id)),
                    _ => None,
                }),
                _ => {
                    map.next_value_seed(inside)?;
                }
            }
        }
        Ok(fields)
    }
}

/// A string, borrowed where it has no escapes.
#[derive(Deserialize)]
#[serde(transparent)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// Reads any value, validates all of it, and keeps it if it is one that an envelope may hold.
#[derive(Clone, Copy)]
struct Peek {
    levels: u8,
}

enum Scalar<'a> {
    Text(Cow<'a, str>),
    Signed(i64),
    Unsigned(u64),
}

impl Peek {
    fn inside<E: serde::de::Error>(self) -> Result<Self, E> {
        let levels = self.levels.checked_sub(1);
        levels.map(|levels| Self { levels }).ok_or_else(|| E::custom("nested too deeply"))
    }
}

impl<'de> DeserializeSeed<'de> for Peek {
    type Value = Option<Scalar<'de>>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Peek {
    type Value = Option<Scalar<'de>>;

    fn expecting(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str("any value")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Some(Scalar::Text(Cow::Borrowed(text))))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Some(Scalar::Text(Cow::Owned(text.to_owned()))))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Self::Value, E> {
        Ok(Some(Scalar::Signed(number)))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Self::Value, E> {
        Ok(Some(Scalar::Unsigned(number)))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let inside = self.inside()?;
        while seq.next_element_seed(inside)?.is_some() {}
        Ok(None)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let inside = self.inside()?;
        while let Some(Text(_)) = map.next_key()? {
            map.next_value_seed(inside)?;
        }
        Ok(None)
    }
}
