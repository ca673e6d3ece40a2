//! A scenario file, as it is written: the types that its YAML is read into.
//!
//! Nothing here is resolved or checked beyond its grammar; that is done by [`super::lint`] and, into
//! a [`crate::plan::Plan`], by its builder.

use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::Value;

use super::marked::{At, Keyed, Tried, lenient};
use super::steps::Step;
use super::units::{Length, Limit, Odds, Rate};
use super::wire::OneOrList;
use crate::plan::{Echo, Level, Ordering};

/// One scenario.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct File {
    pub(crate) scenario: At<String>,
    #[serde(default)]
    pub(crate) about: String,
    pub(crate) dialect: Option<At<String>>,
    #[serde(default)]
    pub(crate) needs: Vec<At<String>>,
    #[serde(default)]
    pub(crate) requires: Vec<At<String>>,
    #[serde(default)]
    pub(crate) options: Keyed<At<OneOrList>>,
    #[serde(default)]
    pub(crate) traffic: Traffic,
    /// What a breach of any of its steps is called.
    pub(crate) class: Option<At<String>>,
    #[serde(default)]
    pub(crate) alone: bool,
    #[serde(default)]
    pub(crate) own_server: bool,
    #[serde(default)]
    pub(crate) ignore: Vec<At<Value>>,
    pub(crate) seed: Option<u64>,
    /// A file with a line for each client.
    pub(crate) users: Option<At<String>>,
    #[serde(default)]
    pub(crate) vars: Keyed<At<Value>>,
    pub(crate) clients: Keyed<Tried<At<Group>>>,
    pub(crate) steps: Vec<Tried<At<Step>>>,
    #[serde(default)]
    pub(crate) refusal: Vec<Tried<At<Step>>>,
    #[serde(default, deserialize_with = "lenient")]
    pub(crate) checks: Checks,
    #[serde(default)]
    pub(crate) thresholds: Keyed<Tried<Keyed<Tried<At<Limit>>>>>,
    #[serde(default, deserialize_with = "lenient")]
    pub(crate) server: Server,
}

/// Clients that play the same role.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Group {
    pub(crate) clients: Option<At<u32>>,
    pub(crate) ramp: Option<At<Rate>>,
    pub(crate) name: Option<At<String>>,
    pub(crate) vars: Keyed<At<Value>>,
    pub(crate) pongs: Option<bool>,
}

/// What must hold during the whole run.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Checks {
    #[serde(deserialize_with = "lenient")]
    pub(crate) delivery: Option<DeliveryWord>,
    #[serde(deserialize_with = "lenient")]
    pub(crate) order: Option<OrderWord>,
    #[serde(deserialize_with = "lenient")]
    pub(crate) echo: Option<EchoWord>,
    #[serde(deserialize_with = "lenient")]
    pub(crate) membership: Option<LevelWord>,
    #[serde(deserialize_with = "lenient")]
    pub(crate) unknown_messages: Option<LevelWord>,
    #[serde(deserialize_with = "lenient")]
    pub(crate) presence: Option<OrOff<Within>>,
    #[serde(deserialize_with = "lenient")]
    pub(crate) storage: Option<StorageWord>,
    #[serde(deserialize_with = "lenient")]
    pub(crate) heartbeat: Option<OrOff<Slack>>,
    #[serde(deserialize_with = "lenient")]
    pub(crate) recovery: Option<bool>,
    #[serde(deserialize_with = "lenient")]
    pub(crate) slow: Option<OrOff<Within>>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum DeliveryWord {
    ExactlyOnce,
    AtLeastOnce,
    AtMostOnce,
    Any,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum OrderWord {
    PerSender,
    Total,
    TotalAmongOthers,
    Any,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum EchoWord {
    Once,
    Never,
    Apart,
    Any,
}

impl OrderWord {
    /// None: any order will do.
    pub(crate) fn meaning(self) -> Option<Ordering> {
        match self {
            Self::PerSender => Some(Ordering::PerSender),
            Self::Total => Some(Ordering::Total),
            Self::TotalAmongOthers => Some(Ordering::TotalAmongOthers),
            Self::Any => None,
        }
    }
}

impl EchoWord {
    /// None: it does not matter.
    pub(crate) fn meaning(self) -> Option<Echo> {
        match self {
            Self::Once => Some(Echo::Once),
            Self::Never => Some(Echo::Never),
            Self::Apart => Some(Echo::Apart),
            Self::Any => None,
        }
    }
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum LevelWord {
    Fail,
    Warn,
    Off,
}

impl LevelWord {
    pub(crate) fn meaning(self) -> Level {
        match self {
            Self::Fail => Level::Fail,
            Self::Warn => Level::Warn,
            Self::Off => Level::Off,
        }
    }
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum StorageWord {
    Versions,
    Off,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Within {
    pub(crate) within: Length,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Slack {
    pub(crate) slack: Length,
}

/// How much must be seen.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Traffic {
    pub(crate) deliveries: Option<At<u64>>,
    pub(crate) frames: Option<At<u64>>,
    pub(crate) events: Option<At<u64>>,
    /// How rare a fault may be that is still found.
    pub(crate) faults: Option<At<Odds>>,
}

/// How the child server is set up.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Server {
    pub(crate) heartbeat: Option<At<HeartbeatWord>>,
    pub(crate) args: Vec<At<String>>,
}

/// `200ms/600ms`: the interval and the timeout.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HeartbeatWord(pub(crate) crate::dialect::Heartbeat);

impl<'de> Deserialize<'de> for HeartbeatWord {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        super::units::heartbeat(&text).map(Self).map_err(serde::de::Error::custom)
    }
}

/// Settings, or the word `off`.
#[derive(Clone, Copy, Debug)]
pub(crate) enum OrOff<T> {
    Off,
    On(T),
}

impl<T> OrOff<T> {
    pub(crate) fn on(&self) -> Option<&T> {
        match self {
            Self::Off => None,
            Self::On(value) => Some(value),
        }
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for OrOff<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Either<T> {
            type Value = OrOff<T>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("`off`, or a mapping such as `{ within: 2s }`")
            }

            fn visit_str<E: serde::de::Error>(self, word: &str) -> Result<OrOff<T>, E> {
                match word {
                    "off" => Ok(OrOff::Off),
                    _ => Err(E::invalid_value(serde::de::Unexpected::Str(word), &self)),
                }
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<OrOff<T>, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(OrOff::On)
            }
        }

        deserializer.deserialize_any(Either(PhantomData))
    }
}

/// A type that can be written as one word: `join: lobby` for `join: { room: lobby }`.
pub(crate) trait Shorthand: Sized {
    /// What the word is.
    const WORD: &'static str;

    /// What it means.
    fn of(word: At<String>) -> Self;
}

/// A value that may be written as one word.
#[derive(Clone, Debug)]
pub(crate) struct Short<T>(pub(crate) T);

impl<'de, T: Deserialize<'de> + Shorthand> Deserialize<'de> for Short<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        /// The word without its place, which only the value as a whole knows.
        enum Parts<T> {
            Word(String),
            Whole(T),
        }

        struct Either<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de> + Shorthand> Visitor<'de> for Either<T> {
            type Value = Parts<T>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, "{}, or a mapping", T::WORD)
            }

            fn visit_str<E: serde::de::Error>(self, word: &str) -> Result<Parts<T>, E> {
                Ok(Parts::Word(word.to_owned()))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Parts<T>, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(Parts::Whole)
            }
        }

        impl<'de, T: Deserialize<'de> + Shorthand> Deserialize<'de> for Parts<T> {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_str(Either(PhantomData))
            }
        }

        let At { value, place } = At::<Parts<T>>::deserialize(deserializer)?;
        Ok(Self(match value {
            Parts::Word(value) => T::of(At { value, place }),
            Parts::Whole(whole) => whole,
        }))
    }
}
