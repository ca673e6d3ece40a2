//! Texts with holes, as scenarios and dialect files write them: `room-$index`, `$host.code`, `$$`.

use serde_json::Value;

use crate::dialect::Unfilled;
use crate::plan::Vars;

/// A part of a text.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Piece {
    /// Itself.
    Text(String),
    /// The value of a name.
    Hole(Hole),
}

/// A place for a value.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Hole {
    /// The name: `room`, or with a dot `host.code`.
    pub name: String,
    /// What stands in parentheses: `rooms` in `$shard(rooms)`.
    pub argument: Option<String>,
}

impl std::fmt::Display for Hole {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.argument {
            Some(argument) => write!(f, "{}({argument})", self.name),
            None => f.write_str(&self.name),
        }
    }
}

/// Cuts a text at its holes. `$$` is a dollar sign, and so is a `$` without a name behind it.
pub fn pieces(text: &str) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut plain = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        plain.push_str(before);
        rest = after;
        if let Some(after) = rest.strip_prefix('$') {
            plain.push('$');
            rest = after;
            continue;
        }
        let Some((hole, after)) = hole(rest) else {
            plain.push('$');
            continue;
        };
        if !plain.is_empty() {
            pieces.push(Piece::Text(std::mem::take(&mut plain)));
        }
        pieces.push(Piece::Hole(hole));
        rest = after;
    }
    plain.push_str(rest);
    if !plain.is_empty() {
        pieces.push(Piece::Text(plain));
    }
    pieces
}

/// The hole at the beginning of a text, and what follows it.
fn hole(text: &str) -> Option<(Hole, &str)> {
    let mut end = name_len(text)?;
    while let Some(after) = text.get(end..).and_then(|rest| rest.strip_prefix('.'))
        && let Some(len) = name_len(after)
    {
        end += 1 + len;
    }
    let (name, mut rest) = text.split_at(end);
    let mut argument = None;
    if name == "shard"
        && let Some((inside, after)) =
            rest.strip_prefix('(').and_then(|inside| inside.split_once(')'))
    {
        argument = Some(inside.trim().trim_start_matches('$').to_owned());
        rest = after;
    }
    Some((Hole { name: name.to_owned(), argument }, rest))
}

fn name_len(text: &str) -> Option<usize> {
    let starts = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    let end = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(text.len());
    starts.then_some(end)
}

/// The holes of all texts in a value, keys of mappings included.
pub fn holes(value: &Value) -> Vec<Hole> {
    let mut found = Vec::new();
    collect(value, &mut found);
    found
}

fn collect(value: &Value, found: &mut Vec<Hole>) {
    match value {
        Value::String(text) => found.extend(holes_of(text)),
        Value::Array(list) => list.iter().for_each(|item| collect(item, found)),
        Value::Object(entries) => {
            for (key, value) in entries {
                found.extend(holes_of(key));
                collect(value, found);
            }
        }
        _ => {}
    }
}

/// The holes of a text.
pub fn holes_of(text: &str) -> impl Iterator<Item = Hole> {
    pieces(text).into_iter().filter_map(|piece| match piece {
        Piece::Hole(hole) => Some(hole),
        Piece::Text(_) => None,
    })
}

/// A text with its holes filled.
pub fn fill_text(text: &str, vars: &Vars) -> Result<String, Unfilled> {
    if !text.contains('$') {
        return Ok(text.to_owned());
    }
    pieces(text).iter().try_fold(String::new(), |mut filled, piece| {
        match piece {
            Piece::Text(text) => filled.push_str(text),
            Piece::Hole(hole) => filled.push_str(&as_text(&value_of(hole, vars)?)),
        }
        Ok(filled)
    })
}

/// A value with the holes of its texts filled. A text that is one hole becomes the hole's value,
/// whatever it is.
pub fn fill(value: &Value, vars: &Vars) -> Result<Value, Unfilled> {
    Ok(match value {
        Value::String(text) => match pieces(text).as_slice() {
            [Piece::Hole(hole)] => value_of(hole, vars)?,
            _ => Value::String(fill_text(text, vars)?),
        },
        Value::Array(list) => {
            Value::Array(list.iter().map(|item| fill(item, vars)).collect::<Result<_, _>>()?)
        }
        Value::Object(entries) => Value::Object(
            entries
                .iter()
                .map(|(key, value)| Ok((fill_text(key, vars)?, fill(value, vars)?)))
                .collect::<Result<_, Unfilled>>()?,
        ),
        _ => value.clone(),
    })
}

/// A value inside a text.
pub fn as_text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// The value of a hole: by its whole name, by a path into a mapping, or computed (`$shard`).
pub fn value_of(hole: &Hole, vars: &Vars) -> Result<Value, Unfilled> {
    let unfilled = || Unfilled(hole.to_string());
    if let Some(argument) = &hole.argument {
        let number = |name: &str| vars.get(name).and_then(whole);
        let count = number(argument).filter(|count| *count > 0).ok_or_else(unfilled)?;
        let index = number("index").ok_or_else(unfilled)?;
        return Ok(Value::from(index % count));
    }
    if let Some(value) = vars.get(&hole.name) {
        return Ok(value.clone());
    }
    let mut parts = hole.name.split('.');
    let first = parts.next().and_then(|name| vars.get(name)).ok_or_else(unfilled)?;
    parts.try_fold(first, |value, part| value.get(part)).cloned().ok_or_else(unfilled)
}

/// A whole number, also when it was given as a text (`--var rooms=50`).
pub(crate) fn whole(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| value.as_str()?.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn vars(value: &Value) -> Vars {
        value.as_object().unwrap().clone().into_iter().collect()
    }

    #[test]
    fn holes_are_filled_where_they_stand() {
        let vars = vars(&json!({
            "room": "lobby", "index": 7, "rooms": 5, "host.code": "ABC", "deep": { "er": [1] },
        }));
        let check = |text: &str, expected: Value| {
            assert_eq!(fill(&json!(text), &vars).unwrap(), expected, "{text}");
        };
        check("$room", json!("lobby"));
        check("$index", json!(7));
        check("a-$room-$index!", json!("a-lobby-7!"));
        check("$shard(rooms)", json!(2));
        check("room-$shard(rooms).", json!("room-2."));
        check("$host.code", json!("ABC"));
        check("$deep.er", json!([1]));
        check("$$room costs 5$", json!("$room costs 5$"));
        check("$5", json!("$5"));
    }

    #[test]
    fn a_hole_without_a_value_is_named() {
        let empty = Vars::new();
        assert_eq!(fill_text("a $b.c", &empty), Err(Unfilled("b.c".into())));
        assert_eq!(fill_text("$shard(rooms)", &empty), Err(Unfilled("shard(rooms)".into())));
        let zero = vars(&json!({ "rooms": 0, "index": 1 }));
        assert_eq!(fill_text("$shard(rooms)", &zero), Err(Unfilled("shard(rooms)".into())));
    }
}
