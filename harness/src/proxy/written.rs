//! Rules as they are written, in a scenario or on the command line, and what is wrong with them.

use std::str::FromStr;
use std::time::Duration;

use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

use super::rule::{
    After, At as Whose, Chance, Corruption, Cut, Fault, Reach, Rule, Senders, Told, Way, When,
};
use crate::dialect::{EventKind, Verb, pattern};
use crate::plan::Place;
use crate::scenario::marked::At;
use crate::scenario::problem::Problem;
use crate::scenario::units::{Length, NotOne, Size, not_one, read_as_scalar};
use crate::scenario::wire::{OneOrList, Opcode};

/// More bytes a second than this are no limit.
const RATE_MAX: u64 = 1 << 40;

/// Declares a rule's keys: its faults, and its conditions.
macro_rules! written {
    (faults { $($fault:ident: $type:ty => |$value:ident| $made:expr,)* } $($key:ident: $kind:ty,)*) => {
        /// One rule.
        #[derive(Debug, Default, Deserialize)]
        #[serde(deny_unknown_fields, default)]
        pub(crate) struct Written {
            $($fault: Option<At<$type>>,)*
            $($key: Option<At<$kind>>,)*
        }

        impl Written {
            /// The faults that it has, and their places.
            fn faults(&self) -> Vec<(&'static str, Place, Fault)> {
                let mut found = Vec::new();
                $(if let Some(At { value: $value, place }) = &self.$fault {
                    found.push((stringify!($fault), *place, $made));
                })*
                found
            }

            /// Whether nothing stands in it.
            fn is_empty(&self) -> bool {
                true $(&& self.$fault.is_none())* $(&& self.$key.is_none())*
            }
        }
    };
}

written! {
    faults {
        drop: Or<Nothing> => |_value| Fault::Drop,
        duplicate: Or<After> => |value| Fault::Duplicate(value.0.unwrap_or(After::Messages(0))),
        swap: Or<Senders> => |value| Fault::Swap(value.0.unwrap_or_default()),
        delay: Length => |value| Fault::Delay(value.0),
        hold: After => |value| Fault::Hold(*value),
        corrupt: Or<Corruption> => |value| Fault::Corrupt(value.0.unwrap_or_default()),
        truncate: Or<Size> => |value| Fault::Truncate(value.0.map(|size| size.0)),
        inject: String => |value| Fault::Inject(value.clone()),
        misroute: Or<Reach> => |value| Fault::Misroute(value.0.unwrap_or_default()),
        stall: Length => |value| Fault::Stall(value.0),
        cut: Or<Cut> => |value| Fault::Cut(value.0.unwrap_or_default()),
        half_open: Or<Nothing> => |_value| Fault::HalfOpen,
        throttle: Pace => |value| Fault::Throttle(value.0),
    }
    to: Way,
    event: String,
    frame: Value,
    opcode: Opcode,
    at: OneOrList,
    rate: Chance,
    after: Count,
    times: Count,
}

/// One rule, several, or none (`{}`).
#[derive(Debug, Default)]
pub(crate) struct Rules(Vec<At<Written>>);

impl Rules {
    /// The rules that these are, or all that is wrong with them. `place` is that of the whole.
    pub(crate) fn compile(&self, place: Place) -> Result<Vec<Rule>, Vec<Problem>> {
        let (mut rules, mut problems) = (Vec::new(), Vec::new());
        for written in &self.0 {
            let place = if written.place.len == 0 { place } else { written.place };
            match written.compile(place) {
                Ok(rule) => rules.push(rule),
                Err(problem) => problems.push(problem),
            }
        }
        if problems.is_empty() { Ok(rules) } else { Err(problems) }
    }

    /// What they are about, in the dialect's words.
    pub(crate) fn told(&self) -> impl Iterator<Item = Told> {
        self.0.iter().filter_map(|written| written.told().ok()?.1)
    }
}

impl<'de> Deserialize<'de> for Rules {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;

        impl<'de> Visitor<'de> for Either {
            type Value = Rules;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a rule such as `{ drop: {}, to: client }`, a list of them, or `{}`")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Rules, A::Error> {
                let value = Written::deserialize(MapAccessDeserializer::new(map))?;
                let none = value.is_empty();
                let one = At { value, place: Place::default() };
                Ok(Rules(Some(one).filter(|_| !none).into_iter().collect()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Rules, A::Error> {
                let mut list = Vec::new();
                while let Some(one) = seq.next_element()? {
                    list.push(one);
                }
                Ok(Rules(list))
            }
        }

        deserializer.deserialize_any(Either)
    }
}

impl Written {
    pub(super) fn compile(&self, place: Place) -> Result<Rule, Problem> {
        let faults = self.faults();
        let fault = match faults.as_slice() {
            [(_, _, fault)] => fault.clone(),
            [] => {
                let problem = Problem::new("what shall go wrong?").at(place);
                return Err(problem.help("give the rule a fault, such as `drop`"));
            }
            [(one, ..), (other, second, _), ..] => {
                let message = format!("two faults in one rule: `{one}` and `{other}`");
                let problem = Problem::new(message).at(*second);
                return Err(problem
                    .help("each fault is a rule of its own: another `- `, or another --fault"));
            }
        };
        if let (Fault::Hold(After::Messages(0)), [(_, place, _)]) = (&fault, faults.as_slice()) {
            let problem = Problem::new("who overtakes it? zero others do not").at(*place);
            return Err(problem.help("e.g. 3, or 200ms"));
        }
        let (to, event) = self.told()?;
        let when = When {
            to,
            event,
            frame: self.pattern()?,
            opcode: self.opcode.as_ref().map(|opcode| opcode.0),
            at: self.at.iter().flat_map(|at| &at.0).map(|at| whose(at)).collect(),
            rate: self.rate.as_ref().map(|rate| rate.value),
            after: self.after.as_ref().map_or(0, |after| after.0),
            times: self.times.as_ref().map(|times| times.0),
        };
        Ok(Rule { fault, when })
    }

    /// Which way, and what is said. The one follows from the other where only one direction has the
    /// word.
    fn told(&self) -> Result<(Option<Way>, Option<Told>), Problem> {
        let to = self.to.as_ref().map(|to| to.value);
        let Some(word) = &self.event else { return Ok((to, None)) };
        let event = word.parse::<EventKind>().ok().filter(|kind| *kind != EventKind::Closed);
        let request = word.parse::<Verb>().ok();
        let (way, told) = match (to, event, request) {
            (Some(Way::ToServer) | None, None, Some(verb)) => (Way::ToServer, Told::Request(verb)),
            (Some(Way::ToServer), _, Some(verb)) => (Way::ToServer, Told::Request(verb)),
            (Some(Way::ToClient) | None, Some(kind), _) => (Way::ToClient, Told::Event(kind)),
            (Some(Way::ToServer), Some(_), None) => {
                let problem = Problem::new(format!("no client asks for `{}`", **word));
                return Err(problem
                    .at(word.place)
                    .help("a server tells it: it goes to the `client`"));
            }
            (Some(Way::ToClient), None, Some(_)) => {
                let problem = Problem::new(format!("no server tells `{}`", **word));
                return Err(problem
                    .at(word.place)
                    .help("a client asks for it: it goes to the `server`"));
            }
            (_, None, None) => {
                let known = EventKind::WORDS.iter().chain(Verb::WORDS).copied();
                let problem = Problem::new(format!("no event is called `{}`", **word));
                return Err(problem.at(word.place).did_you_mean(word, known));
            }
        };
        Ok((Some(way), Some(told)))
    }

    fn pattern(&self) -> Result<Option<Value>, Problem> {
        let Some(frame) = &self.frame else { return Ok(None) };
        match pattern::mistake(frame) {
            Some(mistake) => Err(Problem::new(mistake).at(frame.place)),
            None => Ok(Some(frame.value.clone())),
        }
    }
}

fn whose(text: &str) -> Whose {
    if let Ok(number) = text.parse() {
        return Whose::Number(number);
    }
    match text.split_once('/').and_then(|(group, nth)| Some((group, nth.parse().ok()?))) {
        Some((group, index)) => Whose::Member(group.to_owned(), index),
        None => Whose::Name(text.to_owned()),
    }
}

/// A value, or `{}`: what is usual.
#[derive(Debug)]
struct Or<T>(Option<T>);

impl<'de, T: FromStr<Err: std::fmt::Display>> Deserialize<'de> for Or<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either<T>(std::marker::PhantomData<T>);

        impl<'de, T: FromStr<Err: std::fmt::Display>> Visitor<'de> for Either<T> {
            type Value = Or<T>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("`{}`, or a single value")
            }

            fn visit_unit<E: serde::de::Error>(self) -> Result<Or<T>, E> {
                Ok(Or(None))
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Or<T>, E> {
                text.parse().map(|value| Or(Some(value))).map_err(E::custom)
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Or<T>, A::Error> {
                match map.next_key::<String>()? {
                    None => Ok(Or(None)),
                    Some(key) => {
                        let message = format!("`{key}` does not belong here");
                        let help = "what befalls which frames stands beside the fault, not inside";
                        Err(A::Error::custom(format!("{message}\n{help}")))
                    }
                }
            }
        }

        deserializer.deserialize_str(Either(std::marker::PhantomData))
    }
}

/// What has nothing to say.
#[derive(Debug)]
struct Nothing;

impl FromStr for Nothing {
    type Err = NotOne;

    fn from_str(text: &str) -> Result<Self, NotOne> {
        Err(not_one(text, "needed here", "`drop: {}`, or on the command line `drop`"))
    }
}

/// So many bytes a second.
#[derive(Clone, Copy, Debug)]
struct Pace(u64);

impl FromStr for Pace {
    type Err = NotOne;

    fn from_str(text: &str) -> Result<Self, NotOne> {
        let bad = || not_one(text, "a rate in bytes", "64KiB/s");
        let size: Size = text.strip_suffix("/s").ok_or_else(bad)?.parse().map_err(|_| bad())?;
        let rate = Some(size.0 as u64).filter(|rate| (1..RATE_MAX).contains(rate));
        rate.map(Self).ok_or_else(bad)
    }
}

/// How many.
#[derive(Clone, Copy, Debug)]
struct Count(u64);

impl FromStr for Count {
    type Err = NotOne;

    fn from_str(text: &str) -> Result<Self, NotOne> {
        text.parse().map(Self).map_err(|_| not_one(text, "a count", "10"))
    }
}

impl FromStr for After {
    type Err = NotOne;

    fn from_str(text: &str) -> Result<Self, NotOne> {
        if let Ok(messages) = text.parse() {
            return Ok(Self::Messages(messages));
        }
        let span = text.parse::<Length>().ok().map(|length| length.0);
        let span = span.filter(|span| *span > Duration::ZERO);
        span.map(Self::Time)
            .ok_or_else(|| not_one(text, "so many messages or so long", "3 or 200ms"))
    }
}

impl FromStr for Cut {
    type Err = NotOne;

    fn from_str(text: &str) -> Result<Self, NotOne> {
        let bad = || not_one(text, "an end", "rst, fin, inside, or a close code such as 1011");
        match text {
            "rst" => Ok(Self::Rst),
            "fin" => Ok(Self::Fin),
            "inside" => Ok(Self::Inside),
            code => code.parse().map(Self::Code).map_err(|_| bad()),
        }
    }
}

impl FromStr for Chance {
    type Err = NotOne;

    fn from_str(text: &str) -> Result<Self, NotOne> {
        let bad = || not_one(text, "a chance", "1/500");
        let (of, among) = text.split_once('/').ok_or_else(bad)?;
        let number = |text: &str| text.trim().parse::<u64>().map_err(|_| bad());
        let chance = Self { of: number(of)?, among: number(among)? };
        if chance.of == 0 || chance.of > chance.among { Err(bad()) } else { Ok(chance) }
    }
}

impl FromStr for Way {
    type Err = NotOne;

    fn from_str(text: &str) -> Result<Self, NotOne> {
        let way = Self::BOTH.into_iter().find(|way| way.as_str() == text);
        way.ok_or_else(|| not_one(text, "a direction", "client or server"))
    }
}

macro_rules! one_of_words {
    ($($type:ty: $what:literal),*) => {$(
        impl FromStr for $type {
            type Err = NotOne;

            fn from_str(text: &str) -> Result<Self, NotOne> {
                let found = Self::WORDS.iter().find(|(word, _)| *word == text);
                found.map(|(_, value)| *value).ok_or_else(|| {
                    let words: Vec<&str> = Self::WORDS.iter().map(|(word, _)| *word).collect();
                    not_one(text, $what, &words.join(" or "))
                })
            }
        }
    )*};
}

one_of_words!(Senders: "whose messages", Corruption: "what is altered", Reach: "who gets it");
read_as_scalar!(Pace, Count, After, Chance, Way);
