//! Reads our types from a [`Node`], and goes on after a mistake where a type says so ([`Tried`]).

use std::cell::RefCell;
use std::fmt::Display;
use std::marker::PhantomData;

use serde::de::value::StrDeserializer;
use serde::de::{
    self, Deserialize, DeserializeOwned, DeserializeSeed, Deserializer, EnumAccess, Error as _,
    Expected, MapAccess, SeqAccess, Unexpected, VariantAccess, Visitor,
};

use super::problem::{Problem, nearest};
use super::tree::{Kind, Node};
use crate::plan::Place;

const AT: &str = "$at";
const TRIED: &str = "$tried";

/// A value and where it stands.
#[derive(Clone, Debug, Default)]
pub(crate) struct At<T> {
    pub(crate) value: T,
    pub(crate) place: Place,
}

impl<T> std::ops::Deref for At<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

/// A value, or none when it was wrong: then the mistake is kept and reading goes on.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tried<T>(pub(crate) Option<T>);

/// Reads a value of a key that can be left out: a wrong one is kept as a mistake.
pub(crate) fn lenient<'de, T, D>(deserializer: D) -> Result<T, D::Error>
where
    T: Deserialize<'de> + Default,
    D: Deserializer<'de>,
{
    Ok(Tried::deserialize(deserializer)?.0.unwrap_or_default())
}

/// Reads a value, and all mistakes that were found on the way. A value that came with mistakes is
/// good only for finding more of them.
pub(crate) fn read<T: DeserializeOwned>(node: &Node) -> (Option<T>, Vec<Problem>) {
    let faults = RefCell::new(Vec::new());
    let value = T::deserialize(Reader { node, faults: &faults, keep: true }).ok();
    (value, faults.into_inner())
}

/// A mistake on its way up, until somebody knows where it stands.
#[derive(Debug)]
pub(crate) struct Fault(Problem);

impl Fault {
    fn or_at(mut self, place: Place) -> Self {
        self.0.place.get_or_insert(place);
        self
    }
}

impl Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl std::error::Error for Fault {}

impl de::Error for Fault {
    /// A second line is the remedy.
    fn custom<T: Display>(message: T) -> Self {
        let text = message.to_string();
        Self(match text.split_once('\n') {
            Some((message, help)) => Problem::new(message).help(help),
            None => Problem::new(text),
        })
    }

    fn invalid_type(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        let wanted = in_words(&expected.to_string());
        Self(Problem::new(format!("{} is here; {wanted} is wanted", shown(found))))
    }

    fn invalid_value(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        let wanted = in_words(&expected.to_string());
        Self(Problem::new(format!("{} is here; {wanted} is wanted", shown(found))))
    }

    fn unknown_field(field: &str, known: &'static [&'static str]) -> Self {
        Self(unknown("key", field, known))
    }

    fn unknown_variant(variant: &str, known: &'static [&'static str]) -> Self {
        Self(unknown("word", variant, known))
    }

    fn missing_field(field: &'static str) -> Self {
        Self(Problem::new(format!("`{field}` is missing")))
    }
}

/// What was expected, without a programmer's words.
fn in_words(expected: &str) -> String {
    match expected {
        "a map" => "a mapping (`key: value`)".to_owned(),
        "a sequence" => "a list".to_owned(),
        "a boolean" => "true or false".to_owned(),
        "a string" => "a text".to_owned(),
        "u16" => "a number from 0 to 65535".to_owned(),
        "u32" | "u64" => "a whole number, not below zero".to_owned(),
        other if other.starts_with("struct ") => "a mapping (`key: value`)".to_owned(),
        other => other.to_owned(),
    }
}

fn unknown(what: &str, word: &str, known: &[&str]) -> Problem {
    let problem = Problem::new(format!("no {what} is called `{word}` here"));
    match nearest(word, known.iter().copied()) {
        Some(near) => problem.help(format!("did you mean `{near}`?")),
        None if known.is_empty() => problem,
        None => problem.help(format!("there are {}", known.join(", "))),
    }
}

fn shown(found: Unexpected<'_>) -> String {
    match found {
        Unexpected::Str(text) => format!("the text `{text}`"),
        Unexpected::Map => "a mapping".to_owned(),
        Unexpected::Seq => "a list".to_owned(),
        Unexpected::Unit | Unexpected::Option => "nothing".to_owned(),
        Unexpected::Bool(value) => format!("`{value}`"),
        Unexpected::Unsigned(value) => format!("the number {value}"),
        Unexpected::Signed(value) => format!("the number {value}"),
        Unexpected::Float(value) => format!("the number {value}"),
        other => other.to_string(),
    }
}

#[derive(Clone, Copy)]
struct Reader<'a> {
    node: &'a Node,
    faults: &'a RefCell<Vec<Problem>>,
    /// A mistake that leaves this value is kept: nobody above will see it.
    keep: bool,
}

impl<'a> Reader<'a> {
    fn inner(self, node: &'a Node) -> Self {
        Self { node, keep: false, ..self }
    }

    fn leave<T>(self, result: Result<T, Fault>) -> Result<T, Fault> {
        result.map_err(|fault| {
            let fault = fault.or_at(self.node.place);
            if self.keep {
                self.faults.borrow_mut().push(fault.0.clone());
            }
            fault
        })
    }

    fn any<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Fault> {
        match &self.node.kind {
            Kind::Null => visitor.visit_unit(),
            Kind::Bool(value) => visitor.visit_bool(*value),
            Kind::Int(value) => visitor.visit_i64(*value),
            Kind::Unsigned(value) => visitor.visit_u64(*value),
            Kind::Float(value) => visitor.visit_f64(*value),
            Kind::Text(value) => visitor.visit_str(value),
            Kind::List(list) => visitor.visit_seq(Items { reader: self, rest: list.iter() }),
            Kind::Map(entries) => {
                visitor.visit_map(Entries { reader: self, rest: entries.iter(), value: None })
            }
        }
    }

    /// A text, also where YAML would make a number or a truth of it.
    fn text<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Fault> {
        match (&self.node.kind, &self.node.raw) {
            (Kind::Bool(_) | Kind::Int(_) | Kind::Unsigned(_) | Kind::Float(_), Some(raw)) => {
                visitor.visit_str(raw)
            }
            _ => self.any(visitor),
        }
    }

    /// A mapping; nothing at all is an empty one (`alice:`).
    fn mapping<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Fault> {
        match &self.node.kind {
            Kind::Null => visitor.visit_map(Entries { reader: self, rest: [].iter(), value: None }),
            _ => self.any(visitor),
        }
    }

    fn newtype<V: Visitor<'a>>(self, name: &str, visitor: V) -> Result<V::Value, Fault> {
        match name {
            AT => {
                let Place { offset, len, line } = self.node.place;
                visitor.visit_seq(Located { reader: self, numbers: [offset, len, line], next: 0 })
            }
            TRIED => visitor.visit_newtype_struct(Self { keep: true, ..self }),
            _ => visitor.visit_newtype_struct(self),
        }
    }

    fn variant<V: Visitor<'a>>(
        self,
        known: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        match (&self.node.kind, &self.node.raw) {
            (Kind::Text(word), _) | (_, Some(word)) => visitor.visit_enum(Word(word)),
            _ => Err(Fault(Problem::new(format!("one of {} is wanted", known.join(", "))))),
        }
    }
}

macro_rules! forward {
    ($($method:ident => $how:ident),* $(,)?) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
            self.leave(self.$how(visitor))
        }
    )*};
}

impl<'de> Deserializer<'de> for Reader<'de> {
    type Error = Fault;

    forward! {
        deserialize_any => any, deserialize_bool => any, deserialize_i8 => any,
        deserialize_i16 => any, deserialize_i32 => any, deserialize_i64 => any,
        deserialize_u8 => any, deserialize_u16 => any, deserialize_u32 => any,
        deserialize_u64 => any, deserialize_f32 => any, deserialize_f64 => any,
        deserialize_char => text, deserialize_str => text, deserialize_string => text,
        deserialize_bytes => any, deserialize_byte_buf => any, deserialize_unit => any,
        deserialize_seq => any, deserialize_map => mapping, deserialize_identifier => text,
        deserialize_ignored_any => any,
    }

    /// A key that is there with nothing behind it is not the same as no key: `open:` opens.
    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.leave(visitor.visit_some(Self { keep: false, ..self }))
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Fault> {
        self.leave(self.any(visitor))
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Fault> {
        self.leave(self.newtype(name, visitor))
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Fault> {
        self.leave(self.any(visitor))
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: usize,
        visitor: V,
    ) -> Result<V::Value, Fault> {
        self.leave(self.any(visitor))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        self.leave(self.mapping(visitor))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        known: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        self.leave(self.variant(known, visitor))
    }
}

struct Items<'a> {
    reader: Reader<'a>,
    rest: std::slice::Iter<'a, Node>,
}

impl<'de> SeqAccess<'de> for Items<'de> {
    type Error = Fault;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Fault> {
        self.rest.next().map(|item| seed.deserialize(self.reader.inner(item))).transpose()
    }
}

struct Entries<'a> {
    reader: Reader<'a>,
    rest: std::slice::Iter<'a, (Node, Node)>,
    value: Option<&'a Node>,
}

impl<'de> MapAccess<'de> for Entries<'de> {
    type Error = Fault;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Fault> {
        let Some((key, value)) = self.rest.next() else { return Ok(None) };
        self.value = Some(value);
        seed.deserialize(self.reader.inner(key)).map(Some).map_err(|fault| fault.or_at(key.place))
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Fault> {
        let value = self.value.take().ok_or_else(|| Fault::custom("a value before its key"))?;
        seed.deserialize(self.reader.inner(value))
    }
}

/// A word as an enum's variant.
struct Word<'a>(&'a str);

impl<'de> EnumAccess<'de> for Word<'de> {
    type Error = Fault;
    type Variant = Unit;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Unit), Fault> {
        Ok((seed.deserialize(StrDeserializer::new(self.0))?, Unit))
    }
}

struct Unit;

impl<'de> VariantAccess<'de> for Unit {
    type Error = Fault;

    fn unit_variant(self) -> Result<(), Fault> {
        Ok(())
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, _: T) -> Result<T::Value, Fault> {
        Err(Fault::custom("only a word is wanted here"))
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, _: V) -> Result<V::Value, Fault> {
        Err(Fault::custom("only a word is wanted here"))
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        _: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, Fault> {
        Err(Fault::custom("only a word is wanted here"))
    }
}

/// A place's three numbers, then the value: how [`At`] is told where it stands.
struct Located<'a> {
    reader: Reader<'a>,
    numbers: [usize; 3],
    next: usize,
}

impl<'de> SeqAccess<'de> for Located<'de> {
    type Error = Fault;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Fault> {
        let number = self.numbers.get(self.next).copied();
        self.next += 1;
        match number {
            Some(number) => {
                seed.deserialize(de::value::U64Deserializer::new(number as u64)).map(Some)
            }
            None => seed.deserialize(self.reader.inner(self.reader.node)).map(Some),
        }
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for At<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Place3<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Place3<T> {
            type Value = At<T>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a value and its place")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<At<T>, A::Error> {
                let missing = || A::Error::custom("a value without its place");
                let offset = seq.next_element()?.ok_or_else(missing)?;
                let len = seq.next_element()?.ok_or_else(missing)?;
                let line = seq.next_element()?.ok_or_else(missing)?;
                let value = seq.next_element()?.ok_or_else(missing)?;
                Ok(At { value, place: Place { offset, len, line } })
            }
        }

        deserializer.deserialize_newtype_struct(AT, Place3(PhantomData))
    }
}

/// A mapping in the order of the file, with the places of its keys.
#[derive(Clone, Debug)]
pub(crate) struct Keyed<T>(pub(crate) Vec<(At<String>, T)>);

impl<T> Default for Keyed<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> Keyed<T> {
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&At<String>, &T)> {
        self.0.iter().map(|(key, value)| (key, value))
    }

    pub(crate) fn keys(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(key, _)| key.as_str())
    }

    pub(crate) fn get(&self, name: &str) -> Option<&T> {
        self.0.iter().find(|(key, _)| key.as_str() == name).map(|(_, value)| value)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Keyed<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Pairs<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Pairs<T> {
            type Value = Keyed<T>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a map")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Keyed<T>, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Keyed(pairs))
            }
        }

        deserializer.deserialize_map(Pairs(PhantomData))
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Tried<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Trying<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Trying<T> {
            type Value = Tried<T>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a value that may be wrong")
            }

            fn visit_newtype_struct<D: Deserializer<'de>>(
                self,
                deserializer: D,
            ) -> Result<Tried<T>, D::Error> {
                // The reader has kept the mistake.
                Ok(Tried(T::deserialize(deserializer).ok()))
            }
        }

        deserializer.deserialize_newtype_struct(TRIED, Trying(PhantomData))
    }
}
