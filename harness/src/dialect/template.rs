//! One template, two directions: filled it is a message to send, matched it reads one.
//!
//! * `"$x"` alone is any JSON value; `"presence-$x"` is a text with a hole in it (when receiving,
//!   one hole a text, so that there is one way to read it).
//! * Mappings match as subsets, lists by position.
//! * A key that ends in `?` may be missing: it is not sent when its value has a hole that nothing
//!   fills, and binds only what is there.
//! * `{ $json: T }` is a text that contains JSON; when receiving, the JSON itself will do as well.
//! * `{ $list: name, of: T }` is a list of any length whose items are all `T`; its value is the list
//!   of the items' bindings.
//! * `{ $matches: … }`, `{ $absent: true }` and their like ([`super::shape`]) say what a value is like;
//!   they can only be matched. `"$_"` is anything, and binds nothing.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::Unfilled;
use super::shape::Shape;
use crate::plan::Vars;
use crate::scenario::template::{Hole, Piece, as_text, pieces};

/// How deep one definition may use others.
const DEFINITIONS_DEEP: usize = 16;

/// A message with holes.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Template {
    Exactly(Value),
    Hole(String),
    Text(Vec<Piece>),
    List(Vec<Self>),
    Mapping(Vec<Entry>),
    Json(Box<Self>),
    ListOf { name: String, of: Box<Self> },
    Shape(Shape),
}

/// A key of a mapping.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Entry {
    key: String,
    optional: bool,
    value: Template,
}

/// Templates by name, usable in others.
pub(crate) type Definitions = BTreeMap<String, Template>;

impl Template {
    /// Reads a template as a dialect file has it.
    pub(crate) fn compile(value: &Value) -> Result<Self, String> {
        Ok(match value {
            Value::String(text) => Self::of_text(text)?,
            Value::Array(list) => {
                Self::List(list.iter().map(Self::compile).collect::<Result<_, _>>()?)
            }
            Value::Object(entries) => Self::of_mapping(entries)?,
            other => Self::Exactly(other.clone()),
        })
    }

    fn of_text(text: &str) -> Result<Self, String> {
        let pieces = pieces(text);
        if let Some(Hole { name, .. }) = pieces.iter().find_map(computed) {
            return Err(format!("`${name}` is a scenario's; a dialect's holes are plain names"));
        }
        Ok(match pieces.as_slice() {
            [] => Self::Exactly(Value::from("")),
            [Piece::Text(text)] => Self::Exactly(Value::from(text.as_str())),
            [Piece::Hole(hole)] => Self::Hole(hole.name.clone()),
            _ => Self::Text(pieces),
        })
    }

    fn of_mapping(entries: &Map<String, Value>) -> Result<Self, String> {
        if let Some(inner) = entries.get("$json") {
            return match entries.len() {
                1 => Ok(Self::Json(Box::new(Self::compile(inner)?))),
                _ => Err("`$json` stands alone in its mapping".to_owned()),
            };
        }
        if let Some(name) = entries.get("$list") {
            let name = name.as_str().ok_or("`$list` wants the name of a hole")?;
            let of = entries.get("of").filter(|_| entries.len() == 2);
            let of = of.ok_or("`$list: name` wants `of: …` beside it, and nothing else")?;
            let of = Box::new(Self::compile(of)?);
            return Ok(Self::ListOf { name: name.trim_start_matches('$').to_owned(), of });
        }
        if let Some(shape) = Shape::read(entries)? {
            return Ok(Self::Shape(shape));
        }
        let entry = |(key, value): (&String, &Value)| {
            if key.starts_with('$') && !key.starts_with("$$") {
                return Err(format!(
                    "no operation is called `{key}`; there are `$json` and `$list`"
                ));
            }
            let plain = key.strip_suffix('?');
            let optional = plain.is_some();
            let key = plain.unwrap_or(key).replace("$$", "$");
            Ok(Entry { key, optional, value: Self::compile(value)? })
        };
        let entries: Vec<Entry> = entries.iter().map(entry).collect::<Result<_, _>>()?;
        // Which of the two would a message's field be? Sending would overwrite one with the other.
        let twice = entries
            .iter()
            .enumerate()
            .find(|(n, e)| entries.iter().take(*n).any(|before| before.key == e.key));
        match twice {
            Some((_, Entry { key, .. })) => {
                Err(format!("the key `{key}` stands here twice, with `?` and without; keep one"))
            }
            None => Ok(Self::Mapping(entries)),
        }
    }

    /// The message with every hole filled.
    pub(crate) fn fill(&self, vars: &Vars, define: &Definitions) -> Result<Value, Unfilled> {
        self.fill_within(vars, define, DEFINITIONS_DEEP)
    }

    fn fill_within(
        &self,
        vars: &Vars,
        define: &Definitions,
        deep: usize,
    ) -> Result<Value, Unfilled> {
        Ok(match self {
            Self::Exactly(value) => value.clone(),
            Self::Hole(name) => value_of(name, vars, define, deep)?,
            Self::Text(pieces) => {
                let mut text = String::new();
                for piece in pieces {
                    match piece {
                        Piece::Text(part) => text.push_str(part),
                        Piece::Hole(hole) => {
                            text.push_str(&as_text(&value_of(&hole.name, vars, define, deep)?));
                        }
                    }
                }
                Value::String(text)
            }
            Self::List(list) => {
                let fill = |item: &Self| item.fill_within(vars, define, deep);
                Value::Array(list.iter().map(fill).collect::<Result<_, _>>()?)
            }
            Self::Mapping(entries) => {
                let mut filled = Map::new();
                for Entry { key, optional, value } in entries {
                    match value.fill_within(vars, define, deep) {
                        Ok(value) => drop(filled.insert(key.clone(), value)),
                        Err(_) if *optional => {}
                        Err(unfilled) => return Err(unfilled),
                    }
                }
                Value::Object(filled)
            }
            Self::Json(inner) => Value::String(inner.fill_within(vars, define, deep)?.to_string()),
            Self::ListOf { name, of } => {
                let items = value_of(name, vars, define, deep)?;
                let items = items.as_array().ok_or_else(|| Unfilled(name.clone()))?;
                let fill = |item: &Value| {
                    let mut inside = vars.clone();
                    inside.extend(item.as_object().cloned().unwrap_or_default());
                    of.fill_within(&inside, define, deep)
                };
                Value::Array(items.iter().map(fill).collect::<Result<_, _>>()?)
            }
            // It says what a value is like, not what it is.
            Self::Shape(_) => return Err(Unfilled("_".to_owned())),
        })
    }

    /// The values of the holes that make this template the message; none when there are none.
    pub(crate) fn matched(&self, message: &Value) -> Option<Vars> {
        let mut bound = Vars::new();
        self.bind(message, &mut bound).then_some(bound)
    }

    pub(super) fn bind(&self, message: &Value, bound: &mut Vars) -> bool {
        match (self, message) {
            (Self::Exactly(value), _) => value == message,
            (Self::Hole(name), _) => assign(name, message.clone(), bound),
            (Self::Text(pieces), Value::String(text)) => bind_text(pieces, text, bound),
            (Self::List(list), Value::Array(items)) => {
                list.len() == items.len()
                    && list.iter().zip(items).all(|(template, item)| template.bind(item, bound))
            }
            (Self::Mapping(entries), Value::Object(fields)) => {
                entries.iter().all(|entry| match fields.get(&entry.key) {
                    Some(value) => entry.value.bind(value, bound),
                    None => entry.optional || entry.value.is_absence(),
                })
            }
            (Self::Json(inner), Value::String(text)) => {
                serde_json::from_str(text).is_ok_and(|message| inner.bind(&message, bound))
            }
            (Self::Json(inner), _) => inner.bind(message, bound),
            (Self::ListOf { name, of }, Value::Array(items)) => {
                let item = |item| Some(Value::Object(of.matched(item)?.into_iter().collect()));
                let all: Option<Vec<Value>> = items.iter().map(item).collect();
                all.is_some_and(|all| assign(name, Value::Array(all), bound))
            }
            (Self::Shape(shape), _) => shape.bind(message, bound),
            _ => false,
        }
    }

    fn is_absence(&self) -> bool {
        matches!(self, Self::Shape(shape) if shape.is_absence())
    }

    /// Its holes: those that must be filled, and (`true`) those that may stay empty.
    pub(crate) fn holes(&self) -> Vec<(String, bool)> {
        let mut found = Vec::new();
        self.collect(false, &mut found);
        found
    }

    fn collect(&self, optional: bool, found: &mut Vec<(String, bool)>) {
        match self {
            Self::Exactly(_) => {}
            Self::Hole(name) => found.push((name.clone(), optional)),
            Self::Text(pieces) => found.extend(pieces.iter().filter_map(|piece| match piece {
                Piece::Hole(hole) => Some((hole.name.clone(), optional)),
                Piece::Text(_) => None,
            })),
            Self::List(list) => list.iter().for_each(|item| item.collect(optional, found)),
            Self::Mapping(entries) => {
                entries.iter().for_each(|e| e.value.collect(optional || e.optional, found));
            }
            Self::Json(inner) => inner.collect(optional, found),
            Self::ListOf { name, of } => {
                found.push((name.clone(), optional));
                // What is inside binds within the list's items; an empty list needs none of it.
                of.collect(true, found);
            }
            Self::Shape(shape) => shape.inner().for_each(|inner| inner.collect(optional, found)),
        }
    }

    /// The names of its lists that must be there.
    pub(crate) fn lists(&self) -> Vec<String> {
        match self {
            Self::ListOf { name, .. } => vec![name.clone()],
            Self::List(list) => list.iter().flat_map(Self::lists).collect(),
            Self::Mapping(entries) => {
                entries.iter().flat_map(|entry| entry.value.lists()).collect()
            }
            Self::Json(inner) => inner.lists(),
            Self::Shape(shape) => shape.inner().flat_map(Self::lists).collect(),
            Self::Exactly(_) | Self::Hole(_) | Self::Text(_) => Vec::new(),
        }
    }

    /// A text that can be read in more than one way.
    pub(crate) fn ambiguous(&self) -> Option<String> {
        match self {
            Self::Text(pieces) => {
                let holes = pieces.iter().filter(|piece| matches!(piece, Piece::Hole(_))).count();
                (holes > 1).then(|| written(pieces))
            }
            Self::List(list) => list.iter().find_map(Self::ambiguous),
            Self::Mapping(entries) => entries.iter().find_map(|entry| entry.value.ambiguous()),
            Self::Json(inner) => inner.ambiguous(),
            Self::ListOf { of, .. } => of.ambiguous(),
            Self::Shape(shape) => shape.inner().find_map(Self::ambiguous),
            Self::Exactly(_) | Self::Hole(_) => None,
        }
    }
}

fn computed(piece: &Piece) -> Option<&Hole> {
    match piece {
        Piece::Hole(hole) if hole.argument.is_some() || hole.name.contains('.') => Some(hole),
        _ => None,
    }
}

fn written(pieces: &[Piece]) -> String {
    let part = |piece: &Piece| match piece {
        Piece::Text(text) => text.replace('$', "$$"),
        Piece::Hole(hole) => format!("${hole}"),
    };
    pieces.iter().map(part).collect()
}

fn value_of(name: &str, vars: &Vars, define: &Definitions, deep: usize) -> Result<Value, Unfilled> {
    match (vars.get(name), define.get(name)) {
        (Some(value), _) => Ok(value.clone()),
        (None, Some(template)) if deep > 0 => template.fill_within(vars, define, deep - 1),
        _ => Err(Unfilled(name.to_owned())),
    }
}

/// Gives a hole its value; a hole that has one already must get the same.
fn assign(name: &str, value: Value, bound: &mut Vars) -> bool {
    match bound.get(name) {
        _ if name == "_" => true,
        Some(before) => *before == value,
        None => {
            bound.insert(name.to_owned(), value);
            true
        }
    }
}

fn bind_text(pieces: &[Piece], text: &str, bound: &mut Vars) -> bool {
    let (before, hole, after) = match pieces {
        [Piece::Hole(hole), Piece::Text(after)] => ("", hole, after.as_str()),
        [Piece::Text(before), Piece::Hole(hole)] => (before.as_str(), hole, ""),
        [Piece::Text(before), Piece::Hole(hole), Piece::Text(after)] => {
            (before.as_str(), hole, after.as_str())
        }
        _ => return false,
    };
    let inside = text.strip_prefix(before).and_then(|text| text.strip_suffix(after));
    inside.is_some_and(|inside| assign(&hole.name, Value::from(inside), bound))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn template(value: &Value) -> Template {
        Template::compile(value).unwrap()
    }

    #[expect(clippy::needless_pass_by_value, reason = "literals read better without `&`")]
    fn check(pattern: &Value, message: &Value, expected: Option<Value>) {
        let found = template(pattern).matched(message);
        let found = found.map(|vars| Value::Object(vars.into_iter().collect()));
        assert_eq!(found, expected, "{pattern} against {message}");
    }

    #[test]
    fn messages_are_matched() {
        check(&json!({"a": "$x"}), &json!({"a": [1], "b": 2}), Some(json!({"x": [1]})));
        check(&json!({"a": "$x"}), &json!({"b": 2}), None);
        check(&json!({"a?": "$x"}), &json!({"b": 2}), Some(json!({})));
        check(&json!({"a?": 1}), &json!({"a": 2}), None);
        check(&json!(["$x", "$x"]), &json!([1, 1]), Some(json!({"x": 1})));
        check(&json!(["$x", "$x"]), &json!([1, 2]), None);
        check(&json!(["$x"]), &json!([1, 2]), None);
        check(&json!("p-$x"), &json!("p-q"), Some(json!({"x": "q"})));
        check(&json!("p-$x-s"), &json!("p-s"), None);
        check(&json!("p-$x"), &json!(5), None);
        check(&json!("costs 5$$"), &json!("costs 5$"), Some(json!({})));
        check(
            &json!({"d": {"$json": {"x": "$x"}}}),
            &json!({"d": "{\"x\":1}"}),
            Some(json!({"x": 1})),
        );
        check(
            &json!({"d": {"$json": {"x": "$x"}}}),
            &json!({"d": {"x": 1}}),
            Some(json!({"x": 1})),
        );
        check(&json!({"d": {"$json": {"x": "$x"}}}), &json!({"d": "nonsense"}), None);
    }

    #[test]
    fn a_key_is_either_optional_or_not() {
        let twice = Template::compile(&json!({"n": "$a", "n?": "$b"}));
        assert!(twice.is_err_and(|why| why.contains("`n`")));
    }

    #[test]
    fn a_list_binds_what_its_items_bind() {
        let pattern = json!({"$list": "members", "of": {"id": "$member", "s?": "$state"}});
        let items = json!([{"id": "a"}, {"id": "b", "s": {}}]);
        let bound = json!({"members": [{"member": "a"}, {"member": "b", "state": {}}]});
        check(&pattern, &items, Some(bound));
        check(&pattern, &json!([]), Some(json!({"members": []})));
        check(&pattern, &json!([{"no": 1}]), None);
    }

    #[test]
    fn a_definition_is_used_where_it_is_named() {
        let define = [("channel".to_owned(), template(&json!("presence-$room")))].into();
        let vars = [("room".to_owned(), json!("r"))].into();
        let filled = template(&json!({"c": "$channel", "x?": "$none"})).fill(&vars, &define);
        assert_eq!(filled, Ok(json!({"c": "presence-r"})));
        let filled = template(&json!({"c": "$channel"})).fill(&Vars::new(), &define);
        assert_eq!(filled, Err(Unfilled("room".into())));
    }

    #[test]
    fn definitions_in_a_circle_end() {
        let define = [("a".to_owned(), template(&json!(["$a", "$a"])))].into();
        assert!(template(&json!("$a")).fill(&Vars::new(), &define).is_err());
    }

    fn json_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            any::<bool>().prop_map(Value::from),
            any::<i32>().prop_map(Value::from),
            "[ -~]{0,8}".prop_map(Value::from),
        ];
        leaf.prop_recursive(2, 8, 3, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..3).prop_map(Value::Array),
                prop::collection::btree_map("[a-z]{1,3}", inner, 0..3)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    /// A mapping as people write it: no key stands in it twice, once with `?` and once without.
    fn mapping(entries: &BTreeMap<String, Value>) -> Value {
        let plain = |key: &String| key.trim_end_matches('?').to_owned();
        let twice = |key: &String| key.ends_with('?') && entries.contains_key(&plain(key));
        Value::Object(
            entries
                .iter()
                .filter(|(k, _)| !twice(k))
                .map(|(k, v)| (k.clone(), v.clone()))
                .collect(),
        )
    }

    /// A template over the holes h0 to h3 and texts t0 to t1.
    fn any_template() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            (0..4).prop_map(|n| json!(format!("$h{n}"))),
            (0..2, "[a-z]{1,2}", "[a-z]{0,2}")
                .prop_map(|(n, a, b)| json!(format!("{a}-$t{n}-{b}"))),
            "[a-z]{0,4}".prop_map(Value::from),
            any::<i8>().prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 12, 3, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..3).prop_map(Value::Array),
                prop::collection::btree_map("[a-z]{1,3}[?]?", inner.clone(), 0..3)
                    .prop_map(|entries| mapping(&entries)),
                inner.prop_map(|inner| json!({"$json": inner})),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_was_filled_is_matched_with_the_same_values(
            pattern in any_template(),
            values in prop::collection::vec(json_value(), 4),
            texts in prop::collection::vec("[ -~]{0,6}", 2),
        ) {
            let mut vars = Vars::new();
            vars.extend(values.into_iter().enumerate().map(|(n, value)| (format!("h{n}"), value)));
            vars.extend(texts.into_iter().enumerate().map(|(n, t)| (format!("t{n}"), json!(t))));
            let template = template(&pattern);
            let message = template.fill(&vars, &Definitions::new()).unwrap();
            let bound = template.matched(&message);
            prop_assert!(bound.is_some(), "{} does not match {}", pattern, message);
            for (name, value) in bound.unwrap_or_default() {
                prop_assert_eq!(&vars[&name], &value, "{}", name);
            }
        }

        #[test]
        fn no_value_is_too_odd_for_a_template(value in json_value(), message in json_value()) {
            if let Ok(template) = Template::compile(&value) {
                template.matched(&message);
            }
        }
    }
}
