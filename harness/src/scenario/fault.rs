//! What a reader says when a value is not what its type wants, in words for the file's author.

use std::fmt::Display;

use serde::de::{self, Expected, Unexpected};

use super::problem::{Problem, nearest};
use crate::plan::Place;

/// A mistake on its way up, until somebody knows where it stands.
#[derive(Debug)]
pub(super) struct Fault(pub(super) Problem);

impl Fault {
    pub(super) fn or_at(mut self, place: Place) -> Self {
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
        "u8" => "a number from 0 to 255".to_owned(),
        "i32" => "a whole number".to_owned(),
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
