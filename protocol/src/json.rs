//! How a client's JSON is read before anybody asks what it means: all of it is validated, bounded in
//! its depth, and its envelope is looked at.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// Bytes of an `id` that is a string.
const ID_BYTES: usize = 64;
/// Levels of nesting in one message. What clients store is shown to others inside of more levels,
/// and must not run into the limits of their parsers, of which 128 is a common one.
const DEPTH: u8 = 64;

/// What a reply refers to: the same value as the client sent.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[serde(untagged)]
pub(crate) enum Id {
    Text(String),
    Signed(i64),
    Unsigned(u64),
}

/// Validates all of the text, and reads the envelope if it is an object. Fails if the text is no
/// JSON, or too deep.
pub(crate) fn read(text: &str) -> Result<Option<Fields<'_>>, serde_json::Error> {
    let mut json = serde_json::Deserializer::from_str(text);
    let fields = if text.trim_ascii_start().starts_with('{') {
        Some(Fields::deserialize(&mut json)?)
    } else {
        Peek { levels: DEPTH }.deserialize(&mut json)?;
        None
    };
    json.end().map(|()| fields)
}

/// Reads a value from JSON text.
pub(crate) fn parse<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, serde_json::Error> {
    serde_json::from_str(text)
}

/// The JSON text of a value that can be one: structs of strings, numbers and JSON values.
pub(crate) fn text(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("a struct of strings, numbers and JSON values")
}

/// The fields of an object that is known to be one; of several of one name, the last.
pub(crate) fn fields(text: &str) -> BTreeMap<Cow<'_, str>, &RawValue> {
    #[derive(Deserialize)]
    struct All<'a>(#[serde(borrow)] BTreeMap<Text<'a>, &'a RawValue>);
    let All(fields) = parse(text).unwrap_or(All(BTreeMap::new()));
    fields.into_iter().map(|(Text(name), value)| (name, value)).collect()
}

/// A struct that is an object on the wire: serde would take an array of its fields as well.
#[derive(Debug, Serialize)]
#[serde(transparent)]
pub(crate) struct Object<T>(pub(crate) T);

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
pub(crate) struct Fields<'a> {
    /// `type`.
    pub(crate) kind: Field<Cow<'a, str>>,
    /// `id`.
    pub(crate) id: Field<Id>,
}

/// One field of an envelope.
#[derive(Debug)]
pub(crate) enum Field<T> {
    /// It is not there.
    Absent,
    /// It is there, and right.
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
#[derive(Deserialize, Eq, Ord, PartialEq, PartialOrd)]
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
