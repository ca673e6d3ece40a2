//! Reads our types from a [`Node`], and goes on after a mistake where a type says so
//! ([`super::marked::Tried`]).

use std::cell::RefCell;

use serde::de::value::StrDeserializer;
use serde::de::{
    self, DeserializeOwned, DeserializeSeed, Deserializer, EnumAccess, Error as _, MapAccess,
    SeqAccess, Unexpected, VariantAccess, Visitor,
};

use super::fault::Fault;
use super::marked::{AT, TRIED};
use super::problem::Problem;
use super::tree::{Kind, Node};
use crate::plan::Place;

/// Reads a value, and all mistakes that were found on the way. A value that came with mistakes is
/// good only for finding more of them.
pub(crate) fn read<T: DeserializeOwned>(node: &Node) -> (Option<T>, Vec<Problem>) {
    let faults = RefCell::new(Vec::new());
    let value = T::deserialize(Reader { node, faults: &faults, keep: true }).ok();
    (value, faults.into_inner())
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
            // A derived reader would take a list for its fields in their order.
            Kind::List(_) => Err(Fault::invalid_type(Unexpected::Seq, &"a map")),
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

/// A place's three numbers, then the value: how [`super::marked::At`] is told where it stands.
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
