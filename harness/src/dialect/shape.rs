//! Patterns for values whose content nobody knows beforehand: `{ $matches: … }`, `{ $length: 6 }`.
//!
//! A mapping whose keys are such operations is one shape; all of them must hold.

use regex_lite::Regex;
use serde_json::{Map, Value};

use super::equal::equal;
use super::template::Template;
use crate::plan::Vars;

/// The operations, and what each asks.
pub const SHAPES: &[(&str, &str)] = &[
    ("$any", "anything, as long as it is there"),
    ("$absent", "the key is not there"),
    ("$is", "exactly this; a mapping has no other keys"),
    ("$type", "a `text`, `number`, `integer`, `truth`, `list`, `mapping` or `null`"),
    ("$matches", "a text that is wholly of this regular expression"),
    ("$length", "a text of so many characters, a list of so many items, a mapping of so many keys"),
    ("$above", "a number greater than this"),
    ("$below", "a number less than this"),
    (
        "$has",
        "a list that has an item like this, or (of a list) one like each, whatever else it has",
    ),
    ("$not", "not like this"),
    ("$one_of", "like one of these"),
];

/// The kinds of values, by their words.
const TYPES: [&str; 7] = ["text", "number", "integer", "truth", "list", "mapping", "null"];

/// Ways in which the items of `$has` are tried, at most: what keeps a careless pattern from taking
/// for ever.
const TRIES_MAX: usize = 100_000;

/// What a value must be like.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Shape(Vec<Test>);

#[derive(Clone, Debug, PartialEq)]
enum Test {
    Any,
    Absent,
    Is(Value),
    Type(String),
    Matches(Pattern),
    Length(u64),
    Above(f64),
    Below(f64),
    Has(Vec<Template>),
    Not(Box<Template>),
    OneOf(Vec<Template>),
}

/// A regular expression; two are equal when they are written alike.
#[derive(Clone, Debug)]
struct Pattern(Regex);

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_str() == other.0.as_str()
    }
}

impl Shape {
    /// The shape that a mapping is; none when it is an ordinary mapping.
    pub(super) fn read(entries: &Map<String, Value>) -> Result<Option<Self>, String> {
        if !entries.keys().any(|key| is_shape(key)) {
            return Ok(None);
        }
        let test = |(name, value): (&String, &Value)| Test::read(name, value);
        let tests: Vec<Test> = entries.iter().map(test).collect::<Result<_, _>>()?;
        if tests.contains(&Test::Absent) && tests.len() > 1 {
            return Err("`$absent` stands alone in its mapping".to_owned());
        }
        Ok(Some(Self(tests)))
    }

    /// The key of this value must not be there.
    pub(super) fn is_absence(&self) -> bool {
        self.0.contains(&Test::Absent)
    }

    pub(super) fn bind(&self, value: &Value, bound: &mut Vars) -> bool {
        self.0.iter().all(|test| test.bind(value, bound))
    }

    pub(super) fn inner(&self) -> impl Iterator<Item = &Template> {
        self.0.iter().flat_map(|test| match test {
            Test::Has(list) | Test::OneOf(list) => list.as_slice(),
            // What must not be binds nothing.
            _ => &[],
        })
    }
}

/// The first operation in a value.
pub(super) fn first_in(value: &Value) -> Option<&str> {
    match value {
        Value::Array(list) => list.iter().find_map(first_in),
        Value::Object(entries) => entries.iter().find_map(|(key, value)| {
            Some(key.as_str()).filter(|key| is_shape(key)).or_else(|| first_in(value))
        }),
        _ => None,
    }
}

/// Whether a key is an operation.
fn is_shape(key: &str) -> bool {
    SHAPES.iter().any(|(name, _)| *name == key)
}

impl Test {
    fn read(name: &str, value: &Value) -> Result<Self, String> {
        let number = || value.as_f64().ok_or_else(|| format!("`{name}` wants a number"));
        let yes = |test| match value {
            Value::Bool(true) => Ok(test),
            _ => Err(format!("write `{name}: true`")),
        };
        let each = |list: &[Value]| list.iter().map(Template::compile).collect::<Result<_, _>>();
        Ok(match name {
            "$any" => yes(Self::Any)?,
            "$absent" => yes(Self::Absent)?,
            "$is" => Self::Is(value.clone()),
            "$type" => match value.as_str() {
                Some(word) if TYPES.contains(&word) => Self::Type(word.to_owned()),
                _ => return Err(format!("`$type` wants one of {}", TYPES.join(", "))),
            },
            "$matches" => {
                let text = value.as_str().ok_or("`$matches` wants a regular expression")?;
                let whole = Regex::new(&format!("^(?:{text})$"));
                Self::Matches(Pattern(whole.map_err(|error| format!("`{text}`: {error}"))?))
            }
            "$length" => Self::Length(
                value.as_u64().ok_or("`$length` wants a whole number, not below zero")?,
            ),
            "$above" => Self::Above(number()?),
            "$below" => Self::Below(number()?),
            "$has" => Self::Has(match value {
                Value::Array(list) => each(list)?,
                one => vec![Template::compile(one)?],
            }),
            "$not" => Self::Not(Box::new(Template::compile(value)?)),
            "$one_of" => Self::OneOf(match value {
                Value::Array(list) if !list.is_empty() => each(list)?,
                _ => return Err("`$one_of` wants a list of patterns".to_owned()),
            }),
            other => {
                return Err(format!("`{other}` does not stand beside operations such as `$any`"));
            }
        })
    }

    fn bind(&self, value: &Value, bound: &mut Vars) -> bool {
        let number = value.as_f64();
        match self {
            Self::Any => true,
            Self::Absent => false,
            Self::Is(wanted) => equal(wanted, value),
            Self::Type(word) => is_a(word, value),
            Self::Matches(pattern) => value.as_str().is_some_and(|text| pattern.0.is_match(text)),
            Self::Length(wanted) => length(value) == Some(*wanted),
            Self::Above(limit) => number.is_some_and(|number| number > *limit),
            Self::Below(limit) => number.is_some_and(|number| number < *limit),
            Self::Has(wanted) => value.as_array().is_some_and(|items| {
                let mut tries = TRIES_MAX;
                has(wanted, items, &mut Vec::new(), bound, &mut tries)
            }),
            Self::Not(template) => !template.bind(value, &mut bound.clone()),
            Self::OneOf(ways) => ways.iter().any(|way| attempt(way, value, bound)),
        }
    }
}

fn is_a(word: &str, value: &Value) -> bool {
    match word {
        "text" => value.is_string(),
        "number" => value.is_number(),
        "integer" => value.is_i64() || value.is_u64(),
        "truth" => value.is_boolean(),
        "list" => value.is_array(),
        "mapping" => value.is_object(),
        _ => value.is_null(),
    }
}

fn length(value: &Value) -> Option<u64> {
    Some(match value {
        Value::String(text) => text.chars().count(),
        Value::Array(items) => items.len(),
        Value::Object(fields) => fields.len(),
        _ => return None,
    } as u64)
}

/// Binds only if all of it matches.
fn attempt(template: &Template, value: &Value, bound: &mut Vars) -> bool {
    let mut tried = bound.clone();
    let fits = template.bind(value, &mut tried);
    if fits {
        *bound = tried;
    }
    fits
}

/// Whether each template has an item of its own.
fn has(
    wanted: &[Template],
    items: &[Value],
    used: &mut Vec<usize>,
    bound: &mut Vars,
    tries: &mut usize,
) -> bool {
    let Some((first, rest)) = wanted.split_first() else { return true };
    for (at, item) in items.iter().enumerate() {
        if used.contains(&at) || *tries == 0 {
            continue;
        }
        *tries -= 1;
        let mut tried = bound.clone();
        if !first.bind(item, &mut tried) {
            continue;
        }
        used.push(at);
        if has(rest, items, used, &mut tried, tries) {
            *bound = tried;
            return true;
        }
        used.pop();
    }
    false
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[expect(clippy::needless_pass_by_value, reason = "literals read better without `&`")]
    fn check(pattern: Value, fits: &[Value], others: &[Value]) {
        let template = Template::compile(&pattern).unwrap();
        for value in fits {
            assert!(template.matched(value).is_some(), "{pattern} against {value}");
        }
        for value in others {
            assert!(template.matched(value).is_none(), "{pattern} against {value}");
        }
    }

    #[test]
    fn each_operation_has_values_that_fit_and_others() {
        check(json!({"a": {"$any": true}}), &[json!({"a": null})], &[json!({})]);
        check(json!({"a": {"$absent": true}}), &[json!({"b": 1})], &[json!({"a": null})]);
        check(json!({"$is": {"a": 1}}), &[json!({"a": 1})], &[json!({"a": 1, "b": 2})]);
        check(json!({"$type": "integer"}), &[json!(4)], &[json!(4.5), json!("4"), json!(null)]);
        check(json!({"$type": "text"}), &[json!("")], &[json!(4), json!([])]);
        let uuid = json!({"$matches": "[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"});
        let good = "0194e8c2-1111-4222-8333-123456789abc";
        check(
            uuid,
            &[json!(good)],
            &[json!(format!("{good}0")), json!(format!("x{good}")), json!(5)],
        );
        check(json!({"$matches": "a|b"}), &[json!("a"), json!("b")], &[json!("ab"), json!("a\nb")]);
        check(
            json!({"$length": 2}),
            &[json!("äö"), json!([1, 2])],
            &[json!("a"), json!({}), json!(2)],
        );
        check(json!({"$above": 3, "$below": 5}), &[json!(4)], &[json!(3), json!(5), json!("4")]);
        check(json!({"$not": {"a": 1}}), &[json!({"a": 2}), json!(1)], &[json!({"a": 1, "b": 1})]);
        check(json!({"$one_of": [1, {"a": 2}]}), &[json!(1), json!({"a": 2})], &[json!(2)]);
        check(json!({"$has": 1}), &[json!([2, 1])], &[json!([2]), json!(1), json!([])]);
    }

    #[test]
    fn each_of_what_a_list_must_have_is_an_item_of_its_own() {
        check(json!({"$has": [1, 1]}), &[json!([1, 2, 1])], &[json!([1, 2])]);
        // The first item that fits the first is the only one that fits the second.
        let pattern = json!({"$has": [{"id": "$x"}, {"id": "a"}], "$length": 2});
        check(pattern.clone(), &[json!([{"id": "a"}, {"id": "b"}])], &[json!([{"id": "a"}])]);
        let bound = Template::compile(&pattern).unwrap();
        let bound = bound.matched(&json!([{"id": "a"}, {"id": "b"}])).unwrap();
        assert_eq!(bound.get("x"), Some(&json!("b")));
    }

    #[test]
    fn what_did_not_match_binds_nothing() {
        let template = Template::compile(&json!({"$one_of": [{"a": "$x", "b": 1}, {"c": "$y"}]}));
        let bound = template.unwrap().matched(&json!({"a": 1, "c": 2})).unwrap();
        assert_eq!(bound, Vars::from([("y".to_owned(), json!(2))]));
        let template = Template::compile(&json!({"$not": {"a": "$x"}})).unwrap();
        assert_eq!(template.matched(&json!(1)), Some(Vars::new()));
    }

    #[test]
    fn a_careless_pattern_comes_to_an_end() {
        let any = vec![json!({"$any": true}); 7];
        let mut wanted = any;
        wanted.push(json!(5));
        let items = vec![json!(1); 500];
        let template = Template::compile(&json!({"$has": wanted})).unwrap();
        assert!(template.matched(&json!(items)).is_none());
    }

    #[test]
    fn an_operation_that_is_wrong_is_refused() {
        for (pattern, part) in [
            (json!({"$any": 1}), "$any: true"),
            (json!({"$matches": "("}), "("),
            (json!({"$matches": 5}), "regular expression"),
            (json!({"$type": "string"}), "text, number"),
            (json!({"$length": -1}), "whole number"),
            (json!({"$above": "x"}), "number"),
            (json!({"$one_of": []}), "list"),
            (json!({"$any": true, "b": 1}), "`b`"),
            (json!({"$absent": true, "$any": true}), "alone"),
        ] {
            let error = Template::compile(&pattern).unwrap_err();
            assert!(error.contains(part), "{pattern}: {error}");
        }
    }
}
