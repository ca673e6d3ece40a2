//! Filling a template: its holes get their values, its definitions and functions come to theirs.

use std::time::Duration;

use serde_json::{Map, Value};

use super::{Definitions, Entry, Item, Template};
use crate::dialect::{Unfilled, function};
use crate::plan::Vars;
use crate::scenario::template::{Piece, as_text};

/// How deep one definition may use others.
const DEFINITIONS_DEEP: usize = 16;

/// What templates are filled with. It is all of one moment: what a definition comes to is the same
/// wherever it stands, so that what is signed is what is sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Filling<'a> {
    vars: &'a Vars,
    define: &'a Definitions,
    /// The time since 1970.
    unix: Duration,
    deep: usize,
}

impl<'a> Filling<'a> {
    /// With these values, now.
    pub(crate) fn of(vars: &'a Vars, define: &'a Definitions) -> Self {
        Self { vars, define, unix: function::unix(), deep: DEFINITIONS_DEEP }
    }

    /// The same moment with other values.
    pub(crate) fn with<'b>(&self, vars: &'b Vars) -> Filling<'b>
    where
        'a: 'b,
    {
        Filling { vars, ..*self }
    }

    /// The value of a name: one that was given stands over a definition.
    pub(crate) fn value_of(&self, name: &str) -> Result<Value, Unfilled> {
        match (self.vars.get(name), self.define.get(name)) {
            (Some(value), _) => return Ok(value.clone()),
            (None, Some(template)) if self.deep > 0 => {
                return template.fill(&Self { deep: self.deep - 1, ..*self });
            }
            _ => {}
        }
        let inside = name.split_once('.').and_then(|(whole, part)| self.vars.get(whole)?.get(part));
        inside.cloned().ok_or_else(|| Unfilled(name.to_owned()))
    }
}

impl Template {
    /// The message with every hole filled.
    pub(crate) fn fill(&self, with: &Filling<'_>) -> Result<Value, Unfilled> {
        Ok(match self {
            Self::Exactly(value) => value.clone(),
            Self::Hole(name) => with.value_of(name)?,
            Self::Text(pieces) | Self::Line(pieces) => {
                let mut text = String::new();
                for piece in pieces {
                    match piece {
                        Piece::Text(part) => text.push_str(part),
                        Piece::Hole(hole) => text.push_str(&as_text(&with.value_of(&hole.name)?)),
                    }
                }
                Value::String(text)
            }
            Self::List(list) => {
                Value::Array(list.iter().map(|item| item.fill(with)).collect::<Result<_, _>>()?)
            }
            Self::Mapping(entries) => {
                let mut filled = Map::new();
                for Entry { key, optional, value } in entries {
                    match value.fill(with) {
                        Ok(value) => drop(filled.insert(key.clone(), value)),
                        Err(_) if *optional => {}
                        Err(unfilled) => return Err(unfilled),
                    }
                }
                Value::Object(filled)
            }
            Self::Json(inner) => Value::String(inner.fill(with)?.to_string()),
            Self::AsText(inner) => Value::String(as_text(&inner.fill(with)?)),
            Self::ListOf { name, any } => {
                let items = with.value_of(name)?;
                let items = items.as_array().ok_or_else(|| Unfilled(name.clone()))?;
                let fill = |item: &Value| {
                    let filled = any.iter().find_map(|form| form.fill(item, with));
                    filled.ok_or_else(|| Unfilled(name.clone()))
                };
                Value::Array(items.iter().map(fill).collect::<Result<_, _>>()?)
            }
            Self::Function(function) => function.value(with.unix, |inner| inner.fill(with))?,
            // It says what a value is like, not what it is.
            Self::Shape(_) => return Err(Unfilled("_".to_owned())),
        })
    }
}

impl Template {
    /// The same with these names known: what is received must have their values.
    pub(crate) fn settled(&self, known: &Vars) -> Self {
        let each = |list: &[Self]| list.iter().map(|inner| inner.settled(known)).collect();
        match self {
            Self::Hole(name) => {
                known.get(name).cloned().map_or_else(|| self.clone(), Self::Exactly)
            }
            Self::Text(pieces) => match joined(pieces, known).as_slice() {
                [] => Self::Exactly(Value::from("")),
                [Piece::Text(text)] => Self::Exactly(Value::from(text.as_str())),
                _ => Self::Text(joined(pieces, known)),
            },
            Self::Line(pieces) => Self::Line(joined(pieces, known)),
            Self::List(list) => Self::List(each(list)),
            Self::Mapping(entries) => {
                let entry =
                    |entry: &Entry| Entry { value: entry.value.settled(known), ..entry.clone() };
                Self::Mapping(entries.iter().map(entry).collect())
            }
            Self::Json(inner) => Self::Json(Box::new(inner.settled(known))),
            Self::AsText(inner) => Self::AsText(Box::new(inner.settled(known))),
            Self::ListOf { name, any } => {
                let item = |item: &Item| Item { of: item.of.settled(known), ..item.clone() };
                Self::ListOf { name: name.clone(), any: any.iter().map(item).collect() }
            }
            Self::Exactly(_) | Self::Shape(_) | Self::Function(_) => self.clone(),
        }
    }
}

/// Pieces of a text with what is known written out: no two texts stand side by side.
fn joined(pieces: &[Piece], known: &Vars) -> Vec<Piece> {
    let mut all: Vec<Piece> = Vec::new();
    for piece in pieces {
        let value = match piece {
            Piece::Text(text) => Some(text.clone()),
            Piece::Hole(hole) => known.get(&hole.name).map(as_text),
        };
        match (value, all.last_mut()) {
            (None, _) => all.push(piece.clone()),
            (Some(text), Some(Piece::Text(before))) => before.push_str(&text),
            (Some(text), _) if text.is_empty() => {}
            (Some(text), _) => all.push(Piece::Text(text)),
        }
    }
    all
}

impl Item {
    /// An item's value as it is sent; none when it is not of this form.
    fn fill(&self, item: &Value, with: &Filling<'_>) -> Option<Value> {
        let mut inside = with.vars.clone();
        match &self.value {
            Some(value) => inside.extend(value.matched(item)?),
            None => inside.extend(item.as_object().cloned().unwrap_or_default()),
        }
        self.of.fill(&with.with(&inside)).ok()
    }
}
