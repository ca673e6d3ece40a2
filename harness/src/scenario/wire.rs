//! Steps below the dialect, as they are written: frames, bytes, HTTP requests and their answers.

use std::str::FromStr;

use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

use super::marked::{At, Keyed};
use super::units::{NotOne, Size, not_one};
use crate::craft::OPCODES;
use crate::plan::{Payload, Statuses};

/// More bytes than this in one payload are a slip of the pen.
pub(crate) const PAYLOAD_BYTES_MAX: u64 = 64 << 20;

/// One frame.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Frame {
    pub(crate) opcode: At<Opcode>,
    pub(crate) payload: Option<At<Content>>,
    pub(crate) code: Option<At<u16>>,
    pub(crate) reason: Option<At<Content>>,
    pub(crate) fin: Option<bool>,
    pub(crate) rsv: Option<At<u8>>,
    pub(crate) masked: Option<bool>,
    pub(crate) length: Option<Size>,
}

/// A word, or a number from 0 to 15.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Opcode(pub(crate) u8);

impl FromStr for Opcode {
    type Err = NotOne;

    fn from_str(text: &str) -> Result<Self, NotOne> {
        let named = OPCODES.iter().find(|(name, _)| *name == text).map(|(_, code)| *code);
        let code = named.or_else(|| text.parse().ok().filter(|code| *code < 16));
        code.map(Self).ok_or_else(|| {
            let names: Vec<&str> = OPCODES.iter().map(|(name, _)| *name).collect();
            not_one(text, "an opcode", &format!("{}, or a number from 0 to 15", names.join(", ")))
        })
    }
}

/// Bytes in hexadecimal, spaces between them or not.
#[derive(Clone, Debug)]
struct Hex(Vec<u8>);

impl FromStr for Hex {
    type Err = NotOne;

    fn from_str(text: &str) -> Result<Self, NotOne> {
        let bad = || not_one(text, "bytes in hexadecimal", "\"81 05\" or \"8105\"");
        let digits: Vec<u8> = text
            .chars()
            .filter(|c| !c.is_whitespace())
            .map(|c| c.to_digit(16).and_then(|digit| u8::try_from(digit).ok()).ok_or_else(bad))
            .collect::<Result<_, _>>()?;
        let byte = |pair: &[u8]| match pair {
            [high, low] => Ok(high << 4 | low),
            _ => Err(bad()),
        };
        digits.chunks(2).map(byte).collect::<Result<_, _>>().map(Self)
    }
}

/// A size, or a variable that holds one: `70KiB`, `$message_bytes`.
struct SizeWord(Payload);

impl FromStr for SizeWord {
    type Err = NotOne;

    fn from_str(text: &str) -> Result<Self, NotOne> {
        match text.starts_with('$') {
            true => Ok(Self(Payload::SizeOf(text.to_owned()))),
            false => text.parse::<Size>().map(|size| Self(Payload::Size(size.0))),
        }
    }
}

super::units::read_as_scalar!(Opcode, Hex, SizeWord, StatusWord);

/// A text, a mapping (`hex:`, `size:`, `text:`, `times:`), or a list of these.
#[derive(Clone, Debug)]
pub(crate) struct Content(pub(crate) Payload);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Parts {
    text: Option<String>,
    hex: Option<Hex>,
    size: Option<SizeWord>,
    times: Option<u32>,
}

impl<'de> Deserialize<'de> for Content {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;

        impl<'de> Visitor<'de> for Any {
            type Value = Content;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a text, `{ hex: \"81 05\" }`, `{ size: 70KiB }`, or a list of these")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Content, E> {
                Ok(Content(Payload::Text(text.to_owned())))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Content, A::Error> {
                let parts = Parts::deserialize(MapAccessDeserializer::new(map))?;
                let one = match (parts.text, parts.hex, parts.size) {
                    (Some(text), None, None) => Payload::Text(text),
                    (None, Some(hex), None) => Payload::Bytes(hex.0),
                    (None, None, Some(SizeWord(size))) => size,
                    _ => {
                        return Err(A::Error::custom(
                            "one of `text`, `hex` and `size` is wanted\ne.g. `{ hex: \"81 05\" }`",
                        ));
                    }
                };
                Ok(Content(match parts.times {
                    Some(times) => Payload::Times(Box::new(one), times),
                    None => one,
                }))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Content, A::Error> {
                let mut parts = Vec::new();
                while let Some(Content(part)) = seq.next_element()? {
                    parts.push(part);
                }
                Ok(Content(Payload::Together(parts)))
            }
        }

        deserializer.deserialize_str(Any)
    }
}

impl Content {
    /// How many bytes it comes to, its holes aside.
    pub(crate) fn bytes(&self) -> u64 {
        fn of(payload: &Payload) -> u64 {
            match payload {
                Payload::Text(text) => text.len() as u64,
                Payload::Bytes(bytes) => bytes.len() as u64,
                Payload::Size(size) => *size as u64,
                // What a variable comes to is known, and bounded, when it is filled.
                Payload::SizeOf(_) => 0,
                Payload::Times(inner, times) => of(inner).saturating_mul(u64::from(*times)),
                Payload::Together(parts) => parts.iter().map(of).fold(0, u64::saturating_add),
            }
        }
        of(&self.0)
    }

    /// The texts in it, as one value whose holes can be looked at.
    pub(crate) fn texts(&self) -> Value {
        fn of(payload: &Payload) -> Value {
            match payload {
                Payload::Text(text) | Payload::SizeOf(text) => Value::from(text.as_str()),
                Payload::Times(inner, _) => of(inner),
                Payload::Together(parts) => parts.iter().map(of).collect(),
                Payload::Bytes(_) | Payload::Size(_) => Value::Null,
            }
        }
        of(&self.0)
    }
}

/// An upgrade request that may be wrong.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Handshake {
    pub(crate) method: Option<At<String>>,
    pub(crate) path: Option<At<String>>,
    pub(crate) without: Vec<At<String>>,
    pub(crate) headers: Keyed<At<OneOrList>>,
    pub(crate) raw: Option<At<Content>>,
}

/// An ordinary request.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Http {
    pub(crate) get: Option<At<String>>,
    pub(crate) post: Option<At<String>>,
    pub(crate) put: Option<At<String>>,
    pub(crate) patch: Option<At<String>>,
    pub(crate) delete: Option<At<String>>,
    pub(crate) head: Option<At<String>>,
    pub(crate) options: Option<At<String>>,
    pub(crate) request: Option<At<String>>,
    pub(crate) with: Keyed<At<Value>>,
    pub(crate) headers: Keyed<At<OneOrList>>,
    pub(crate) json: Option<At<Value>>,
    pub(crate) form: Option<At<Keyed<At<String>>>>,
    pub(crate) body: Option<At<Content>>,
}

impl Http {
    /// The methods that it has, and their paths.
    pub(crate) fn requests(&self) -> Vec<(&'static str, &At<String>)> {
        let all = [
            ("GET", &self.get),
            ("POST", &self.post),
            ("PUT", &self.put),
            ("PATCH", &self.patch),
            ("DELETE", &self.delete),
            ("HEAD", &self.head),
            ("OPTIONS", &self.options),
        ];
        all.into_iter().filter_map(|(method, path)| Some((method, path.as_ref()?))).collect()
    }
}

/// A text, or a list of texts.
#[derive(Clone, Debug)]
pub(crate) struct OneOrList(pub(crate) Vec<String>);

impl<'de> Deserialize<'de> for OneOrList {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;

        impl<'de> Visitor<'de> for Either {
            type Value = OneOrList;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a text, or a list of texts")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<OneOrList, E> {
                Ok(OneOrList(vec![text.to_owned()]))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<OneOrList, A::Error> {
                let mut texts = Vec::new();
                while let Some(text) = seq.next_element()? {
                    texts.push(text);
                }
                Ok(OneOrList(texts))
            }
        }

        deserializer.deserialize_str(Either)
    }
}

/// What an answer must be.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Answer {
    pub(crate) status: Option<Listed<StatusWord>>,
    pub(crate) headers: Keyed<At<Value>>,
    pub(crate) body: Option<At<Value>>,
    pub(crate) json: Option<At<Value>>,
}

/// `404`, `4xx`, or `none`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StatusWord(pub(crate) Statuses);

impl FromStr for StatusWord {
    type Err = NotOne;

    fn from_str(text: &str) -> Result<Self, NotOne> {
        let bad = || not_one(text, "a status", "404, 4xx, or none (no answer at all)");
        if text == "none" {
            return Ok(Self(Statuses::NoAnswer));
        }
        let from: u16 = text.replace('x', "0").parse().map_err(|_| bad())?;
        let to: u16 = text.replace('x', "9").parse().map_err(|_| bad())?;
        let plain = text.len() == 3 && !text.starts_with('x') && (100..600).contains(&from);
        if plain { Ok(Self(Statuses::Between(from, to))) } else { Err(bad()) }
    }
}

/// One of something, or a list of them.
#[derive(Clone, Debug)]
pub(crate) struct Listed<T>(pub(crate) Vec<T>);

impl<'de, T: Deserialize<'de> + FromStr<Err: std::fmt::Display>> Deserialize<'de> for Listed<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either<T>(std::marker::PhantomData<T>);

        impl<'de, T: Deserialize<'de> + FromStr<Err: std::fmt::Display>> Visitor<'de> for Either<T> {
            type Value = Listed<T>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("one value, or a list of them")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Listed<T>, E> {
                text.parse().map(|one| Listed(vec![one])).map_err(E::custom)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Listed<T>, A::Error> {
                let mut list = Vec::new();
                while let Some(one) = seq.next_element()? {
                    list.push(one);
                }
                Ok(Listed(list))
            }
        }

        deserializer.deserialize_str(Either(std::marker::PhantomData))
    }
}

/// A close code, or `none`: a Close frame without one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CodeWord(pub(crate) Option<u16>);

impl FromStr for CodeWord {
    type Err = NotOne;

    fn from_str(text: &str) -> Result<Self, NotOne> {
        if text == "none" {
            return Ok(Self(None));
        }
        let bad = || not_one(text, "a close code", "1002, or none (a Close frame without one)");
        text.parse().map(|code| Self(Some(code))).map_err(|_| bad())
    }
}

super::units::read_as_scalar!(CodeWord);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_read() {
        let status = |text: &str| text.parse::<StatusWord>().map(|word| word.0).ok();
        assert_eq!(status("404"), Some(Statuses::Between(404, 404)));
        assert_eq!(status("4xx"), Some(Statuses::Between(400, 499)));
        assert_eq!(status("none"), Some(Statuses::NoAnswer));
        for text in ["", "xxx", "40", "4x", "4000", "-1", "700", "99"] {
            assert_eq!(status(text), None, "{text}");
        }
        let hex = |text: &str| text.parse::<Hex>().map(|hex| hex.0).ok();
        assert_eq!(hex("81 0f"), Some(vec![0x81, 0x0f]));
        assert_eq!(hex(""), Some(vec![]));
        assert_eq!(hex("8"), None);
        assert_eq!(hex("8g"), None);
        assert!("16".parse::<Opcode>().is_err());
        assert_eq!("ping".parse::<Opcode>().map(|code| code.0).ok(), Some(9));
        assert_eq!("11".parse::<Opcode>().map(|code| code.0).ok(), Some(11));
    }

    #[test]
    fn the_bytes_of_a_payload_are_counted_before_they_are_made() {
        let huge = Payload::Times(Box::new(Payload::Size(1 << 20)), u32::MAX);
        let both = Content(Payload::Together(vec![huge.clone(), huge]));
        assert!(both.bytes() > PAYLOAD_BYTES_MAX);
    }
}
