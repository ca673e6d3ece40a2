//! Frames as scenarios write them themselves: wire values to send, and patterns that wait for frames.
//!
//! A pattern is a template of this dialect's kind whose holes are a client's variables: one that has
//! a value must have it in the frame, too; one that has none is given what stands there.

mod wire;

use serde_json::{Map, Value};

use super::function;
use super::shape::SHAPES;
use super::template::Template;
use super::{Dialect, Encoding, Unfilled};
use crate::plan::Vars;
use crate::scenario::template::{self, Hole, Piece, as_text, pieces};

use self::wire::{call, called, texts_of, wrong_function};
pub use self::wire::{fill_wire, wire_mistake, wire_texts};

/// The key of a value that stands for a frame of bytes: `{ $binary: "00 ff" }`.
pub const BINARY: &str = "$binary";

/// Why a pattern cannot be used.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Unusable {
    /// A hole that must have a value has none.
    #[error(transparent)]
    Unfilled(#[from] Unfilled),
    /// It is no pattern.
    #[error("{0}")]
    Wrong(String),
}

/// A pattern, ready to be compared.
#[derive(Clone, Debug)]
pub struct Pattern {
    template: Template,
    resolved: Value,
}

impl Pattern {
    /// A pattern with the values that are known filled in.
    ///
    /// # Errors
    /// A hole with a dot that has no value, an operation that is wrong, a text that could be read in
    /// several ways.
    pub fn new(pattern: &Value, vars: &Vars) -> Result<Self, Unusable> {
        let resolved = resolve(pattern, vars)?;
        let template = Template::compile(&resolved).map_err(Unusable::Wrong)?;
        match template.ambiguous() {
            Some(text) => {
                let fact = format!("`{text}` has more than one hole without a value");
                Err(Unusable::Wrong(fact))
            }
            None => Ok(Self { template, resolved }),
        }
    }

    /// What a value gives to the holes, if it is like the pattern.
    pub fn matched(&self, value: &Value) -> Option<Vars> {
        self.template.matched(value)
    }
}

/// As it is compared: with what was known filled in.
impl std::fmt::Display for Pattern {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.resolved.fmt(f)
    }
}

impl Dialect {
    /// A value as the text of a frame: JSON, or where the dialect's frames are texts, itself.
    pub fn text_of(&self, value: &Value) -> String {
        match self.encoding {
            Encoding::Text => as_text(value),
            Encoding::Json => value.to_string(),
        }
    }

    /// The text of a frame as a value. Where the dialect is JSON and the text is not, it is a text.
    pub fn value_of(&self, text: &str) -> Value {
        match self.encoding {
            Encoding::Text => Value::from(text),
            Encoding::Json => serde_json::from_str(text).unwrap_or_else(|_| Value::from(text)),
        }
    }
}

/// What is wrong with a pattern whatever its holes come to.
pub fn mistake(pattern: &Value) -> Option<String> {
    wrong_function(pattern).or_else(|| Template::compile(&without_dots(pattern)).err())
}

/// The names that a pattern may give values to.
pub fn captures(pattern: &Value) -> Vec<String> {
    let holes = Template::compile(&without_dots(pattern)).map(|it| it.holes()).unwrap_or_default();
    holes.into_iter().map(|(name, _)| name).filter(|name| name != "_").collect()
}

/// The holes that must have values: those with a dot, computed ones, those in keys and in numbers.
pub fn needs(pattern: &Value) -> Vec<Hole> {
    let computed = |hole: &Hole| hole.argument.is_some() || hole.name.contains('.');
    match pattern {
        Value::String(text) => template::holes_of(text).filter(computed).collect(),
        Value::Array(list) => list.iter().flat_map(needs).collect(),
        Value::Object(entries) if entries.keys().any(|key| function::is_function(key)) => {
            let function = called(entries).ok().flatten();
            function.map(|function| template::holes(&texts_of(&function))).unwrap_or_default()
        }
        Value::Object(entries) => entries
            .iter()
            .flat_map(|(key, value)| match key.as_str() {
                "$matches" | "$type" | "$list" => Vec::new(),
                "$is" | "$length" | "$above" | "$below" => template::holes(value),
                operation if is_operation(operation) => needs(value),
                key => template::holes_of(key).chain(needs(value)).collect(),
            })
            .collect(),
        _ => Vec::new(),
    }
}

/// The same pattern with every hole that must have a value taken for a text.
fn without_dots(pattern: &Value) -> Value {
    match pattern {
        Value::String(text) => {
            let computed = |piece: &Piece| match piece {
                Piece::Hole(hole) => hole.argument.is_some() || hole.name.contains('.'),
                Piece::Text(_) => false,
            };
            if pieces(text).iter().any(computed) { Value::from("x") } else { pattern.clone() }
        }
        Value::Array(list) => list.iter().map(without_dots).collect(),
        Value::Object(entries) if entries.keys().any(|key| function::is_function(key)) => {
            Value::from("x")
        }
        Value::Object(entries) => Value::Object(
            entries
                .iter()
                .map(|(key, value)| {
                    let operation = is_operation(key);
                    let plain = |key: &str| key.replace('$', "$$");
                    let value = match (key.as_str(), value) {
                        // A number may be a hole until the step.
                        ("$above" | "$below" | "$length", Value::String(text))
                            if text.starts_with('$') =>
                        {
                            Value::from(0)
                        }
                        ("$matches" | "$type" | "$list", value) => value.clone(),
                        (_, value) => without_dots(value),
                    };
                    if operation || !key.starts_with('$') {
                        escaped(key, value)
                    } else {
                        (plain(key), value)
                    }
                })
                .collect(),
        ),
        other => other.clone(),
    }
}

/// The keys of a pattern that say how their values are meant.
pub fn operations() -> impl Iterator<Item = &'static str> {
    SHAPES.iter().map(|(name, _)| *name).chain(["$json", "$list", BINARY])
}

fn is_operation(key: &str) -> bool {
    operations().any(|operation| operation == key)
}

/// A key that is compared as it stands; the content of a frame of bytes as it is compared: in
/// hexadecimal, without spaces.
fn escaped(key: &str, value: Value) -> (String, Value) {
    match (key, value) {
        (BINARY, Value::String(hex)) => {
            (format!("${BINARY}"), Value::from(hex.replace(' ', "").to_lowercase()))
        }
        (BINARY, value) => (format!("${BINARY}"), value),
        (key, value) => (key.to_owned(), value),
    }
}

/// A pattern with the names filled that have a value; the others stay holes.
fn resolve(pattern: &Value, vars: &Vars) -> Result<Value, Unusable> {
    Ok(match pattern {
        Value::String(text) => resolve_text(text, vars)?,
        Value::Array(list) => {
            Value::Array(list.iter().map(|item| resolve(item, vars)).collect::<Result<_, _>>()?)
        }
        Value::Object(entries) => {
            if let Some(function) = called(entries).map_err(Unusable::Wrong)? {
                return Ok(literal(call(&function, vars)?));
            }
            let mut resolved = Map::new();
            for (key, value) in entries {
                let value = match key.as_str() {
                    "$matches" | "$type" | "$list" => value.clone(),
                    "$is" | "$length" | "$above" | "$below" => template::fill(value, vars)?,
                    _ => resolve(value, vars)?,
                };
                let (key, value) = if is_operation(key) || !key.contains('$') {
                    escaped(key, value)
                } else {
                    (template::fill_text(key, vars)?.replace('$', "$$"), value)
                };
                resolved.insert(key, value);
            }
            Value::Object(resolved)
        }
        other => other.clone(),
    })
}

fn resolve_text(text: &str, vars: &Vars) -> Result<Value, Unfilled> {
    let pieces = pieces(text);
    if let [Piece::Hole(hole)] = pieces.as_slice() {
        return Ok(known(hole, vars)?.map_or_else(|| Value::from(text), literal));
    }
    let mut resolved = String::new();
    for piece in &pieces {
        match piece {
            Piece::Text(text) => resolved.push_str(&text.replace('$', "$$")),
            Piece::Hole(hole) => match known(hole, vars)? {
                Some(value) => resolved.push_str(&as_text(&value).replace('$', "$$")),
                None => resolved.push_str(&format!("${}", hole.name)),
            },
        }
    }
    Ok(Value::String(resolved))
}

/// A pattern that is exactly this value, not one that has its keys among others.
fn literal(value: Value) -> Value {
    match value {
        Value::String(text) => Value::from(text.replace('$', "$$")),
        value @ (Value::Array(_) | Value::Object(_)) => {
            Value::Object(Map::from_iter([("$is".to_owned(), value)]))
        }
        value => value,
    }
}

/// The value of a hole; none if it may be given one.
fn known(hole: &Hole, vars: &Vars) -> Result<Option<Value>, Unfilled> {
    match template::value_of(hole, vars) {
        Ok(value) => Ok(Some(value)),
        Err(_) if hole.argument.is_none() && !hole.name.contains('.') => Ok(None),
        Err(unfilled) => Err(unfilled),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn vars(value: &Value) -> Vars {
        value.as_object().unwrap().clone().into_iter().collect()
    }

    #[expect(clippy::needless_pass_by_value, reason = "literals read better without `&`")]
    fn check(pattern: Value, value: Value, expected: Option<Value>) {
        let vars = vars(&json!({
            "room": "lobby", "n": 4, "odd": "$a{}", "bob": { "id": 7 }, "state": { "s": 1 },
        }));
        let bound = Pattern::new(&pattern, &vars).unwrap().matched(&value);
        let bound = bound.map(|vars| Value::Object(vars.into_iter().collect()));
        assert_eq!(bound, expected, "{pattern} against {value}");
    }

    #[test]
    fn a_name_with_a_value_must_have_it_and_another_gets_it() {
        check(
            json!({"r": "$room", "id": "$id"}),
            json!({"r": "lobby", "id": 5}),
            Some(json!({"id": 5})),
        );
        check(json!({"r": "$room"}), json!({"r": "other"}), None);
        check(json!("$n"), json!(4), Some(json!({})));
        check(json!("$n"), json!("4"), None);
        check(json!("$bob.id"), json!(7), Some(json!({})));
        check(json!("$bob.id"), json!(8), None);
        check(json!("x-$room-$rest"), json!("x-lobby-7"), Some(json!({"rest": "7"})));
        check(json!("$odd"), json!("$a{}"), Some(json!({})));
        check(json!({"v": "$_", "w": "$_"}), json!({"v": 1, "w": 2}), Some(json!({})));
    }

    #[test]
    fn a_value_that_is_a_mapping_is_compared_as_a_whole() {
        check(json!({"s": "$state"}), json!({"s": {"s": 1}}), Some(json!({})));
        check(json!({"s": "$state"}), json!({"s": {"s": 1, "t": 2}}), None);
        check(json!({"s": {"s": 1}}), json!({"s": {"s": 1, "t": 2}}), Some(json!({})));
    }

    #[test]
    fn names_stand_in_keys_and_operations() {
        check(json!({"e": {"$room": "$v"}}), json!({"e": {"lobby": 1}}), Some(json!({"v": 1})));
        check(json!({"n": {"$above": "$n"}}), json!({"n": 5}), Some(json!({})));
        check(json!({"n": {"$above": "$n"}}), json!({"n": 4}), None);
        check(json!({"$matches": "a$|b"}), json!("b"), Some(json!({})));
        check(json!({"$not": "$room"}), json!("lobby"), None);
        check(
            json!({"l": {"$list": "all", "of": {"r": "$room", "i": "$i"}}}),
            json!({"l": [{"r": "lobby", "i": 1}]}),
            Some(json!({"all": [{"i": 1}]})),
        );
    }

    #[test]
    fn what_must_have_a_value_and_has_none_is_named() {
        let refused =
            |pattern: Value| Pattern::new(&pattern, &Vars::new()).unwrap_err().to_string();
        assert_eq!(refused(json!({"a": "$bob.id"})), "`$bob.id` has no value here");
        assert_eq!(refused(json!({"$not_there": 1})), "`$not_there` has no value here");
        assert_eq!(refused(json!("$a-$b")), "`$a-$b` has more than one hole without a value");
        assert_eq!(refused(json!({"$above": "$n"})), "`$n` has no value here");
    }

    #[test]
    fn captures_and_needs_are_known_beforehand() {
        let pattern =
            json!({"a": "$x", "b?": "$y", "c": "$bob.id", "$k": {"$above": "$z"}, "d": "$_"});
        assert_eq!(captures(&pattern), ["x", "y"]);
        let needs: Vec<String> = needs(&pattern).iter().map(ToString::to_string).collect();
        assert_eq!(needs, ["bob.id", "k", "z"]);
        assert_eq!(mistake(&pattern), None);
        assert!(mistake(&json!({"$any": 5})).is_some());
    }

    #[test]
    fn a_wire_value_is_filled() {
        let vars = vars(&json!({"room": "lobby", "size": "3B"}));
        let filled = |value: Value| fill_wire(&value, &vars).unwrap();
        assert_eq!(filled(json!({"$room": ["$room", 1]})), json!({"lobby": ["lobby", 1]}));
        assert_eq!(
            filled(json!({"d": {"$json": {"r": "$room"}}})),
            json!({"d": r#"{"r":"lobby"}"#})
        );
        assert_eq!(filled(json!({"t": {"$size": "$size"}})), json!({"t": "xxx"}));
        assert_eq!(filled(json!({"c": {"$lower": "K7-$room-Ä"}})), json!({"c": "k7-lobby-ä"}));
        assert_eq!(wire_mistake(&json!({"$lower": 5})), Some("`$lower` wants a text".into()));
        assert!(
            wire_mistake(&json!({"$lower": "A", "b": 1})).is_some_and(|it| it.contains("alone"))
        );
        assert!(fill_wire(&json!({"$size": "many"}), &vars).is_err());
        assert!(fill_wire(&json!("$nobody"), &vars).is_err());
    }

    #[test]
    fn a_function_is_called_where_it_stands() {
        let vars = vars(&json!({"secret": "7ad3773142a6692b25b8", "id": "1234.1234"}));
        let auth = json!({"$hmac_sha256": {
            "key": "$secret", "text": "$id:private-foobar", "prefix": "k:",
        }});
        let signed = "k:58df8b0c36d6982b82c3ecf6b4662e34fe8c25bba48f5369f135bf843651c3a4";
        assert_eq!(fill_wire(&json!({"auth": auth}), &vars).unwrap(), json!({"auth": signed}));
        let pattern = Pattern::new(&json!({"auth": auth, "more?": "$more"}), &vars).unwrap();
        assert_eq!(pattern.matched(&json!({"auth": signed})), Some(Vars::new()));
        assert_eq!(pattern.matched(&json!({"auth": "k:58df"})), None);
        let needed: Vec<String> = needs(&auth).iter().map(ToString::to_string).collect();
        assert_eq!(needed, ["secret", "id"]);
        assert!(captures(&json!({"auth": auth})).is_empty());
        let texts = wire_texts(&json!({"d": {"$json": {"a": auth}}}));
        assert_eq!(template::holes(&texts).len(), 2);
        assert_eq!((mistake(&auth), wire_mistake(&auth)), (None, None));
        let wrong = json!({"a": {"$now": "h"}});
        assert!(mistake(&wrong).is_some() && wire_mistake(&wrong).is_some());
        assert!(fill_wire(&json!({"$now": "s"}), &vars).unwrap().is_u64());
    }

    proptest::proptest! {
        /// A known value is matched by its own name, whatever it holds.
        #[test]
        fn a_known_text_is_itself(text in "\\PC{0,12}") {
            let vars = Vars::from([("x".to_owned(), Value::from(text.as_str()))]);
            for pattern in [json!("$x"), json!({"k": "a-$x"})] {
                let value = match &pattern {
                    Value::String(_) => json!(text),
                    _ => json!({"k": format!("a-{text}")}),
                };
                let pattern = Pattern::new(&pattern, &vars).unwrap();
                proptest::prop_assert!(pattern.matched(&value).is_some(), "{}", pattern);
            }
        }
    }
}
