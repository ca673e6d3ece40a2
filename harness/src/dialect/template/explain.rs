//! Why a message is not like a template: the first difference, in words.

use serde_json::{Map, Value};

use super::super::equal::equal;
use super::{Entry, Template, assign, bind_line, bind_text, written};
use crate::plan::Vars;
use crate::scenario::template::Piece;

/// How much of a foreign value is shown, in characters.
const SHOWN_MAX: usize = 60;

/// The first difference between a message and a template.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Difference {
    /// How much was alike before: constants and keys.
    pub(crate) alike: usize,
    /// What is different, and where.
    pub(crate) fact: String,
}

/// Goes through a message as matching does, and remembers where it is.
struct Walk {
    path: Vec<String>,
    alike: usize,
    bound: Vars,
}

impl Template {
    /// The first difference; none when the message matches.
    pub(crate) fn difference(&self, message: &Value) -> Option<Difference> {
        let mut walk = Walk { path: Vec::new(), alike: 0, bound: Vars::new() };
        let fact = walk.compare(self, message).err()?;
        Some(Difference { alike: walk.alike, fact })
    }
}

impl Walk {
    fn compare(&mut self, template: &Template, message: &Value) -> Result<(), String> {
        match (template, message) {
            (Template::Exactly(wanted), found) if equal(wanted, found) => {
                self.alike += 1;
                Ok(())
            }
            (Template::Exactly(wanted), found) => {
                Err(format!("{} is {}, not {}", self.place(), shown(found), shown(wanted)))
            }
            (Template::Hole(name), found) => self.assign(name, found),
            (Template::Text(pieces), Value::String(text)) => self.text(pieces, text),
            (Template::Line(pieces), Value::String(text)) => {
                if bind_line(pieces, text, &mut self.bound) {
                    self.alike += 1;
                    return Ok(());
                }
                let (place, found) = (self.place(), shown(message));
                Err(format!("{place} is {found}, not like `{}`", written(pieces)))
            }
            (Template::Text(pieces) | Template::Line(pieces), found) => {
                let (place, like) = (self.place(), written(pieces));
                Err(format!("{place} is {}, not a text like `{like}`", shown(found)))
            }
            (Template::List(wanted), Value::Array(found)) => self.list(wanted, found),
            (Template::Mapping(entries), Value::Object(fields)) => self.mapping(entries, fields),
            (Template::Json(inner), Value::String(text)) => match serde_json::from_str(text) {
                Ok(inside) => self.compare(inner, &inside),
                Err(error) => Err(format!("{} is no JSON: {error}", self.place())),
            },
            (Template::Json(inner), found) => self.compare(inner, found),
            (Template::Shape(shape), found) if shape.bind(found, &mut self.bound) => {
                self.alike += 1;
                Ok(())
            }
            (Template::Shape(_), found) => {
                Err(format!("{} is {}, which is not as it must be", self.place(), shown(found)))
            }
            (Template::AsText(inner), Value::String(_)) => self.compare(inner, message),
            (Template::AsText(_), found) => {
                Err(format!("{} is {}, not a text", self.place(), shown(found)))
            }
            (Template::ListOf { name, any }, Value::Array(items)) => {
                for (number, item) in items.iter().enumerate() {
                    self.path.push(format!("[{number}]"));
                    self.item(any, item)?;
                    self.path.pop();
                }
                let values =
                    items.iter().filter_map(|it| any.iter().find_map(|form| form.matched(it)));
                let values = Value::Array(values.collect());
                self.assign(name, &values)
            }
            (Template::List(_) | Template::ListOf { .. }, found) => {
                Err(format!("{} is {}, not a list", self.place(), shown(found)))
            }
            (Template::Mapping(_), found) => {
                Err(format!("{} is {}, not a mapping", self.place(), shown(found)))
            }
            (Template::Function(_), _) => {
                Err(format!("{} is held against a function", self.place()))
            }
        }
    }

    fn mapping(&mut self, entries: &[Entry], fields: &Map<String, Value>) -> Result<(), String> {
        for entry in entries {
            self.path.push(format!(".{}", entry.key));
            match fields.get(&entry.key) {
                Some(found) => {
                    self.alike += 1;
                    self.compare(&entry.value, found)?;
                }
                None if entry.optional || entry.value.is_absence() => {}
                None => return Err(format!("{} is missing", self.place())),
            }
            self.path.pop();
        }
        Ok(())
    }

    /// An item is like one of its forms; if it is not, the nearest form is compared.
    fn item(&mut self, any: &[super::Item], item: &Value) -> Result<(), String> {
        if any.iter().any(|form| form.matched(item).is_some()) {
            return Ok(());
        }
        let differences = any.iter().filter_map(|form| form.of.difference(item));
        let nearest = differences.max_by_key(|difference| difference.alike);
        let form = any.iter().find(|form| form.of.difference(item) == nearest);
        form.map_or(Ok(()), |form| self.compare(&form.of, item))?;
        Err(format!("{} does not have all that its `as` wants", self.place()))
    }

    fn assign(&mut self, name: &str, value: &Value) -> Result<(), String> {
        let before = self.bound.get(name).map(shown);
        if assign(name, value.clone(), &mut self.bound) {
            return Ok(());
        }
        let before = before.unwrap_or_default();
        Err(format!("{} is {}, but `${name}` was {before} before", self.place(), shown(value)))
    }

    fn text(&mut self, pieces: &[Piece], text: &str) -> Result<(), String> {
        if bind_text(pieces, text, &mut self.bound) {
            self.alike += 1;
            return Ok(());
        }
        let found = shown(&Value::from(text));
        Err(format!("{} is {found}, not like `{}`", self.place(), written(pieces)))
    }

    fn list(&mut self, wanted: &[Template], found: &[Value]) -> Result<(), String> {
        for (number, (template, item)) in wanted.iter().zip(found).enumerate() {
            self.path.push(format!("[{number}]"));
            self.compare(template, item)?;
            self.path.pop();
        }
        if wanted.len() == found.len() {
            return Ok(());
        }
        Err(format!("{} has {} items, not {}", self.place(), found.len(), wanted.len()))
    }

    fn place(&self) -> String {
        if self.path.is_empty() {
            "the frame".to_owned()
        } else {
            format!("`{}`", self.path.concat())
        }
    }
}

/// A value, or its beginning when it is long.
fn shown(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(SHOWN_MAX) {
        Some((at, _)) => format!("{}…", text.get(..at).unwrap_or_default()),
        None => text,
    }
}
