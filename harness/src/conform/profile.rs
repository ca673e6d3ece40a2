//! What one server promises, as data: limits, timers, order, options, and what it lacks.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;
use serde::de::{Deserializer, Visitor};
use serde_json::Value;

use super::pattern::Pattern;
use super::{parse, text_of};
use crate::dialect::{Dialect, Heartbeat};
use crate::plan::{Echo, Ordering, Place, Source};
use crate::scenario::marked::{At, Keyed, lenient};
use crate::scenario::model::{EchoWord, HeartbeatWord, OrderWord};
use crate::scenario::problem::{Problem, Problems};
use crate::scenario::units::Size;
use crate::scenario::users::beside;

/// What a server promises beyond, or other than, what its dialect file says.
#[derive(Clone, Debug, Default)]
pub struct Profile {
    /// Its name.
    pub name: String,
    /// What it is, in a sentence.
    pub about: String,
    /// The dialect that the server speaks.
    pub dialect: String,
    /// Sizes and counts, by their names in dialect files or others.
    pub limits: BTreeMap<String, u64>,
    /// Its timers.
    pub heartbeat: Option<Heartbeat>,
    /// The order that it promises, where it says so; `any` is none.
    pub ordering: Option<Option<Ordering>>,
    /// How often a sender gets its own message, where it says so; `any` is as often as it likes.
    pub echo: Option<Option<Echo>>,
    /// Where real servers legitimately differ: what this one does.
    pub options: BTreeMap<String, String>,
    /// What it does not do: requirements, or words of `needs`.
    pub lacks: Vec<Lack>,
    /// Values for the variables of cases.
    pub vars: BTreeMap<String, String>,
    /// The users' data for cases that bring none of their own.
    pub users: Option<PathBuf>,
}

/// Something that a server does not do.
#[derive(Clone, Debug)]
pub struct Lack {
    /// Which requirements, or which word of `needs`.
    pub pattern: Pattern,
    pub(super) place: Place,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    profile: At<String>,
    #[serde(default)]
    about: String,
    dialect: At<String>,
    #[serde(default)]
    limits: Keyed<Amount>,
    #[serde(default, deserialize_with = "lenient")]
    heartbeat: Option<HeartbeatWord>,
    #[serde(default, deserialize_with = "lenient")]
    ordering: Option<OrderWord>,
    #[serde(default, deserialize_with = "lenient")]
    echo: Option<EchoWord>,
    #[serde(default)]
    options: Keyed<At<Value>>,
    #[serde(default)]
    lacks: Vec<At<String>>,
    #[serde(default)]
    vars: Keyed<At<Value>>,
    #[serde(default)]
    users: Option<String>,
}

/// A number, or a size: `65536`, `64KiB`.
struct Amount(u64);

impl<'de> Deserialize<'de> for Amount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;

        impl Visitor<'_> for Either {
            type Value = Amount;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a number, or a size such as `64KiB`")
            }

            fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<Amount, E> {
                Ok(Amount(number))
            }

            fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<Amount, E> {
                let below = serde::de::Unexpected::Signed(number);
                u64::try_from(number).map(Amount).map_err(|_| E::invalid_value(below, &self))
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Amount, E> {
                let size: Size = text.parse().map_err(E::custom)?;
                Ok(Amount(size.0 as u64))
            }
        }

        deserializer.deserialize_any(Either)
    }
}

impl Profile {
    /// What a server promises of which nobody has said anything: what its dialect file says.
    pub fn of_dialect(name: &str) -> Self {
        Self { name: name.to_owned(), dialect: name.to_owned(), ..Self::default() }
    }

    /// Reads a profile's file.
    pub fn read(source: &Source) -> Result<Self, Problems> {
        let written: Written = parse(source)?;
        let mut problems = Vec::new();
        let named = [("profile", &written.profile), ("dialect", &written.dialect)];
        for (key, name) in named.into_iter().filter(|(_, name)| name.trim().is_empty()) {
            problems.push(Problem::new(format!("`{key}` is empty")).at(name.place));
        }
        let mut lacks = Vec::new();
        for lack in &written.lacks {
            match lack.parse() {
                Ok(pattern) => lacks.push(Lack { pattern, place: lack.place }),
                Err(fault) => problems.push(Problem::new(fault).at(lack.place)),
            }
        }
        let (options, more) = plain(&written.options);
        problems.extend(more);
        let (vars, more) = plain(&written.vars);
        problems.extend(more);
        if !problems.is_empty() {
            return Err(Problems::new(source.clone(), problems));
        }
        let limits = written.limits.iter();
        Ok(Self {
            name: written.profile.value.clone(),
            about: written.about.clone(),
            dialect: written.dialect.value.clone(),
            limits: limits.map(|(name, amount)| (name.value.clone(), amount.0)).collect(),
            heartbeat: written.heartbeat.map(|word| word.0),
            ordering: written.ordering.map(OrderWord::meaning),
            echo: written.echo.map(EchoWord::meaning),
            options,
            lacks,
            vars,
            users: written.users.as_ref().map(|users| beside(&source.name, users)),
        })
    }

    /// This profile, and of what it does not say what another one says. What the other one lacks is
    /// not lacked here.
    #[must_use]
    pub fn over(mut self, base: &Self) -> Self {
        let missing = |own: &mut BTreeMap<String, String>, base: &BTreeMap<String, String>| {
            for (name, value) in base {
                own.entry(name.clone()).or_insert_with(|| value.clone());
            }
        };
        missing(&mut self.options, &base.options);
        missing(&mut self.vars, &base.vars);
        for (name, amount) in &base.limits {
            self.limits.entry(name.clone()).or_insert(*amount);
        }
        self.heartbeat = self.heartbeat.or(base.heartbeat);
        self.ordering = self.ordering.or(base.ordering);
        self.echo = self.echo.or(base.echo);
        self.users = self.users.or_else(|| base.users.clone());
        self
    }

    /// The dialect as this server speaks it.
    #[must_use]
    pub fn shape(&self, mut dialect: Dialect) -> Dialect {
        dialect.ordering = self.ordering.unwrap_or(dialect.ordering);
        dialect.echo = self.echo.unwrap_or(dialect.echo);
        dialect.heartbeat = self.heartbeat.or(dialect.heartbeat);
        let limits = &mut dialect.limits;
        for (name, slot) in [
            ("message_bytes", &mut limits.message_bytes),
            ("text_bytes", &mut limits.text_bytes),
            ("rooms", &mut limits.rooms),
            ("room_name_bytes", &mut limits.room_name_bytes),
            ("members", &mut limits.members),
            ("requests_per_s", &mut limits.requests_per_s),
        ] {
            *slot = self.limits.get(name).copied().or(*slot);
        }
        let word = |(name, text): (&String, &String)| (name.clone(), Value::from(text.as_str()));
        dialect.with_params(&self.vars.iter().map(word).collect())
    }

    /// What it gives for a variable of a case: a limit, an option or a variable of that name.
    pub fn value(&self, name: &str) -> Option<String> {
        let limit = || self.limits.get(name).map(u64::to_string);
        self.vars.get(name).or_else(|| self.options.get(name)).cloned().or_else(limit)
    }
}

/// Scalars as texts.
fn plain(values: &Keyed<At<Value>>) -> (BTreeMap<String, String>, Vec<Problem>) {
    let mut texts = BTreeMap::new();
    let mut problems = Vec::new();
    for (name, value) in values.iter() {
        match &value.value {
            Value::Array(_) | Value::Object(_) => {
                let problem = Problem::new(format!("`{}` must be one word", name.value));
                problems.push(problem.at(value.place));
            }
            scalar => drop(texts.insert(name.value.clone(), text_of(scalar))),
        }
    }
    (texts, problems)
}
