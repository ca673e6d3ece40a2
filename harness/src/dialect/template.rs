//! One template, two directions: filled it is a message to send, matched it reads one.
//!
//! * `"$x"` alone is any JSON value; `"presence-$x"` is a text with a hole in it (when receiving,
//!   one hole a text, so that there is one way to read it).
//! * Mappings match as subsets, lists by position.
//! * A key that ends in `?` may be missing: it is not sent when its value has a hole that nothing
//!   fills, and binds only what is there.
//! * `{ $json: T }` is a text that contains JSON; when receiving, the JSON itself will do as well.
//! * `{ $text: T }` is `T` as a text: a number between quotes.
//! * `{ $line: ":$who SAYS $text" }` is a text with several holes; when receiving, each ends where
//!   what stands behind it comes first, and the last one takes the rest.
//! * `{ $list: name, of: T }` is a list of any length whose items are all `T`; its value is the list
//!   of the items' bindings. With `as: A` an item's value is `A` filled with its bindings; with
//!   `any: [{ of, as }, …]` an item is like the first of these that fits. To send, it goes the other
//!   way: an item that is like `as` becomes `of`.
//! * `{ $md5: T }` and its like ([`super::function`]) are made of what is filled into them; nothing can
//!   be matched against them.
//! * `{ $matches: … }`, `{ $absent: true }` and their like ([`super::shape`]) say what a value is like;
//!   they can only be matched. `"$_"` is anything, and binds nothing.

mod explain;
mod fill;
mod loosen;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::equal::equal;
use super::function::Function;
use super::shape::Shape;
use crate::plan::Vars;
use crate::scenario::template::{Hole, Piece, pieces};

pub(crate) use self::fill::Filling;

/// How the names of a user's own data begin, of which a dialect knows nothing but their names.
pub(crate) const USER: &str = "user.";

/// A message with holes.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Template {
    Exactly(Value),
    Hole(String),
    Text(Vec<Piece>),
    List(Vec<Self>),
    Mapping(Vec<Entry>),
    Json(Box<Self>),
    AsText(Box<Self>),
    Line(Vec<Piece>),
    ListOf { name: String, any: Vec<Item> },
    Shape(Shape),
    Function(Box<Function<Self>>),
}

/// What an item of a list can look like.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Item {
    /// On the wire.
    of: Template,
    /// As a value; none: the bindings themselves.
    value: Option<Template>,
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
        if let Some(inner) = entries.get("$text") {
            return match entries.len() {
                1 => Ok(Self::AsText(Box::new(Self::compile(inner)?))),
                _ => Err("`$text` stands alone in its mapping".to_owned()),
            };
        }
        if let Some(line) = entries.get("$line") {
            return Self::of_line(line, entries.len());
        }
        if let Some(name) = entries.get("$list") {
            return Self::of_list(name, entries);
        }
        if let Some(function) = Function::read(entries, &Self::compile)? {
            return Ok(Self::Function(Box::new(function)));
        }
        if let Some(shape) = Shape::read(entries)? {
            return Ok(Self::Shape(shape));
        }
        let entry = |(key, value): (&String, &Value)| {
            if key.starts_with('$') && !key.starts_with("$$") {
                return Err(format!(
                    "no operation is called `{key}`; there are `$json`, `$line`, `$list` and `$text`"
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

    fn of_line(line: &Value, keys: usize) -> Result<Self, String> {
        let text = line.as_str().filter(|_| keys == 1);
        let text = text.ok_or("`$line` stands alone in its mapping, with a text")?;
        match Self::of_text(text)? {
            Self::Text(pieces) => {
                let hole = |piece: &Piece| matches!(piece, Piece::Hole(_));
                let touching =
                    pieces.iter().zip(pieces.iter().skip(1)).any(|(a, b)| hole(a) && hole(b));
                if touching {
                    return Err(format!("two holes of `{text}` have nothing between them"));
                }
                Ok(Self::Line(pieces))
            }
            other => Ok(other),
        }
    }

    fn of_list(name: &Value, entries: &Map<String, Value>) -> Result<Self, String> {
        const SHAPE: &str =
            "`$list: name` wants `of: …` (and `as: …`) beside it, or `any: [{ of, as }]`";
        let name = name.as_str().ok_or("`$list` wants the name of a hole")?;
        let rest: Map<String, Value> = entries
            .iter()
            .filter(|(key, _)| *key != "$list")
            .map(|(k, v)| (k.clone(), v.clone()))
            .collect();
        let items = match (rest.get("any"), rest.len()) {
            (Some(Value::Array(items)), 1) => items.clone(),
            (None, _) => vec![Value::Object(rest)],
            _ => return Err(SHAPE.to_owned()),
        };
        let item = |item: &Value| {
            let fields = item.as_object().filter(|it| it.keys().all(|k| k == "of" || k == "as"));
            let of = fields.and_then(|fields| fields.get("of")).ok_or(SHAPE)?;
            let value = fields.and_then(|fields| fields.get("as"));
            Ok(Item { of: Self::compile(of)?, value: value.map(Self::compile).transpose()? })
        };
        let any = items.iter().map(item).collect::<Result<Vec<_>, String>>()?;
        Ok(Self::ListOf { name: name.trim_start_matches('$').to_owned(), any })
    }

    /// The values of the holes that make this template the message; none when there are none.
    pub(crate) fn matched(&self, message: &Value) -> Option<Vars> {
        let mut bound = Vars::new();
        self.bind(message, &mut bound).then_some(bound)
    }

    pub(super) fn bind(&self, message: &Value, bound: &mut Vars) -> bool {
        match (self, message) {
            (Self::Exactly(value), _) => equal(value, message),
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
            (Self::AsText(inner), Value::String(_)) => inner.bind(message, bound),
            (Self::Line(pieces), Value::String(text)) => bind_line(pieces, text, bound),
            (Self::ListOf { name, any }, Value::Array(items)) => {
                let item = |item| any.iter().find_map(|form| form.matched(item));
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
            Self::Text(pieces) | Self::Line(pieces) => {
                found.extend(pieces.iter().filter_map(|piece| match piece {
                    Piece::Hole(hole) => Some((hole.name.clone(), optional)),
                    Piece::Text(_) => None,
                }));
            }
            Self::List(list) => list.iter().for_each(|item| item.collect(optional, found)),
            Self::Mapping(entries) => {
                entries.iter().for_each(|e| e.value.collect(optional || e.optional, found));
            }
            Self::Json(inner) | Self::AsText(inner) => inner.collect(optional, found),
            Self::ListOf { name, any } => {
                found.push((name.clone(), optional));
                // What is inside binds within the list's items; an empty list needs none of it.
                any.iter().for_each(|form| form.of.collect(true, found));
            }
            Self::Shape(shape) => shape.inner().for_each(|inner| inner.collect(optional, found)),
            Self::Function(function) => {
                function.inner().for_each(|inner| inner.collect(optional, found));
            }
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
            Self::Json(inner) | Self::AsText(inner) => inner.lists(),
            Self::Shape(shape) => shape.inner().flat_map(Self::lists).collect(),
            Self::Function(function) => function.inner().flat_map(Self::lists).collect(),
            Self::Exactly(_) | Self::Hole(_) | Self::Text(_) | Self::Line(_) => Vec::new(),
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
            Self::Json(inner) | Self::AsText(inner) => inner.ambiguous(),
            Self::ListOf { any, .. } => any.iter().find_map(|form| form.of.ambiguous()),
            Self::Shape(shape) => shape.inner().find_map(Self::ambiguous),
            Self::Exactly(_) | Self::Hole(_) | Self::Line(_) | Self::Function(_) => None,
        }
    }
}

impl Item {
    /// The value of an item that came; none when it is not of this form.
    fn matched(&self, item: &Value) -> Option<Value> {
        let bound = self.of.matched(item)?;
        match &self.value {
            Some(value) => value.fill(&Filling::of(&bound, &Definitions::new())).ok(),
            None => Some(Value::Object(bound.into_iter().collect())),
        }
    }
}

/// A hole that only a scenario can have. A user's own data have a dot: `$user.password`.
fn computed(piece: &Piece) -> Option<&Hole> {
    match piece {
        Piece::Hole(hole) if hole.argument.is_some() => Some(hole),
        Piece::Hole(hole) if hole.name.contains('.') && !hole.name.starts_with(USER) => Some(hole),
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

/// Gives a hole its value; a hole that has one already must get the same.
fn assign(name: &str, value: Value, bound: &mut Vars) -> bool {
    match bound.get(name) {
        _ if name == "_" => true,
        Some(before) => equal(before, &value),
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

/// Reads a text from its beginning: a hole ends where the text behind it comes first; a text at the
/// very end must be the end.
fn bind_line(pieces: &[Piece], text: &str, bound: &mut Vars) -> bool {
    let (mut rest, mut open): (&str, Option<&Hole>) = (text, None);
    for (at, piece) in pieces.iter().enumerate() {
        let part = match piece {
            Piece::Hole(hole) => {
                open = Some(hole);
                continue;
            }
            Piece::Text(part) => part.as_str(),
        };
        let is_last = at + 1 == pieces.len();
        let found = match open {
            None => rest.strip_prefix(part).map(|after| ("", after)),
            Some(_) if is_last => rest.strip_suffix(part).map(|before| (before, "")),
            Some(_) => rest.split_once(part),
        };
        let Some((before, after)) = found else { return false };
        if let Some(hole) = open.take()
            && !assign(&hole.name, Value::from(before), bound)
        {
            return false;
        }
        rest = after;
    }
    match open {
        Some(hole) => assign(&hole.name, Value::from(rest), bound),
        None => rest.is_empty(),
    }
}
