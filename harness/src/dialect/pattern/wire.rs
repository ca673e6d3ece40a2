//! Wire values: what a scenario sends itself, its holes filled and its functions called.

use serde_json::{Map, Value};

use super::{Unusable, is_operation};
use crate::dialect::function::{self, Function};
use crate::plan::Vars;
use crate::scenario::template::{self, as_text};
use crate::scenario::units::Size;

/// What stands alone in a mapping of a wire value, and says how its text is made.
const WIRE: [&str; 3] = ["$json", "$size", "$lower"];

/// The texts of a wire value, without its operations: what its holes are looked for in.
pub fn wire_texts(value: &Value) -> Value {
    match value {
        Value::Array(list) => list.iter().map(wire_texts).collect(),
        Value::Object(entries) => match (operation(entries), called(entries)) {
            (_, Ok(Some(function))) => texts_of(&function),
            (Some((_, inner)), _) => wire_texts(inner),
            _ => {
                let texts = entries.iter().map(|(key, value)| (key.clone(), wire_texts(value)));
                Value::Object(texts.collect())
            }
        },
        other => other.clone(),
    }
}

/// What is wrong with a wire value whatever its holes come to.
pub fn wire_mistake(value: &Value) -> Option<String> {
    match value {
        Value::Array(list) => list.iter().find_map(wire_mistake),
        Value::Object(entries) if entries.keys().any(|key| function::is_function(key)) => {
            wrong_function(value)
        }
        Value::Object(entries) => match operation(entries) {
            Some(("$size", Value::String(text))) if text.starts_with('$') => None,
            Some(("$size", size)) => as_text(size).parse::<Size>().err().map(|e| e.to_string()),
            Some(("$lower", inner)) if !inner.is_string() => Some("`$lower` wants a text".into()),
            Some((_, inner)) => wire_mistake(inner),
            None => {
                let wires = |key: &&String| is_operation(key) || WIRE.contains(&key.as_str());
                let odd = entries.keys().find(wires);
                let odd = odd.map(|key| match key.as_str() {
                    "$json" | "$size" | "$lower" => format!("`{key}` stands alone in its mapping"),
                    key => format!("`{key}` is for patterns; there is nothing to compare here"),
                });
                odd.or_else(|| entries.values().find_map(wire_mistake))
            }
        },
        _ => None,
    }
}

/// The operation that a mapping of a wire value is; none if it is an ordinary one.
fn operation(entries: &Map<String, Value>) -> Option<(&str, &Value)> {
    let (key, inner) = entries.iter().next().filter(|_| entries.len() == 1)?;
    WIRE.contains(&key.as_str()).then_some((key.as_str(), inner))
}

/// A wire value with its holes filled. `{ $size: 70KiB }` is a text of so many bytes, `{ $json: v }`
/// is JSON inside a text, `{ $lower: t }` is a text in small letters.
///
/// # Errors
/// A hole that nothing fills, or a size that is none.
pub fn fill_wire(value: &Value, vars: &Vars) -> Result<Value, Unusable> {
    Ok(match value {
        Value::Array(list) => {
            Value::Array(list.iter().map(|item| fill_wire(item, vars)).collect::<Result<_, _>>()?)
        }
        Value::Object(entries) => match operation(entries) {
            _ if entries.keys().any(|key| function::is_function(key)) => {
                match called(entries).map_err(Unusable::Wrong)? {
                    Some(function) => call(&function, vars)?,
                    None => Value::Null,
                }
            }
            Some(("$json", inner)) => Value::from(fill_wire(inner, vars)?.to_string()),
            Some(("$lower", inner)) => {
                Value::from(as_text(&template::fill(inner, vars)?).to_lowercase())
            }
            Some(("$size", size)) => {
                let size: Size = as_text(&template::fill(size, vars)?)
                    .parse()
                    .map_err(|error| Unusable::Wrong(format!("{error}")))?;
                Value::from("x".repeat(size.0))
            }
            _ => {
                let mut filled = Map::new();
                for (key, value) in entries {
                    filled.insert(template::fill_text(key, vars)?, fill_wire(value, vars)?);
                }
                Value::Object(filled)
            }
        },
        other => template::fill(other, vars)?,
    })
}

/// What is wrong with the first function that is wrong.
pub(super) fn wrong_function(pattern: &Value) -> Option<String> {
    match pattern {
        Value::Array(list) => list.iter().find_map(wrong_function),
        Value::Object(entries) => match called(entries) {
            Ok(Some(function)) => function.inner().find_map(wire_mistake),
            Ok(None) => entries.values().find_map(wrong_function),
            Err(fact) => Some(fact),
        },
        _ => None,
    }
}

/// The function that a mapping is, with wire values for arguments.
pub(super) fn called(entries: &Map<String, Value>) -> Result<Option<Function<Value>>, String> {
    Function::read(entries, &|argument| Ok(argument.clone()))
}

/// The texts of a function's arguments.
pub(super) fn texts_of(function: &Function<Value>) -> Value {
    function.inner().map(wire_texts).collect()
}

/// What a function comes to.
pub(super) fn call(function: &Function<Value>, vars: &Vars) -> Result<Value, Unusable> {
    function.value(function::unix(), |argument| fill_wire(argument, vars))
}
