//! A scenario as a tree that can be cut: YAML's values in the order of the file, without places.

use crate::scenario::Problem;
use crate::scenario::tree::{self, Kind, Node};

/// A value.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Tree {
    /// Nothing, a truth or a number, as it is written.
    Plain(String),
    /// A text.
    Text(String),
    /// A list.
    List(Vec<Self>),
    /// A mapping, in the order of the file.
    Map(Vec<(String, Self)>),
}

/// A step of the way to a value inside another.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Seg {
    /// The value of a key.
    Key(String),
    /// An item of a list.
    Item(usize),
}

/// The way to a value, from the root.
pub(super) type Path = Vec<Seg>;

impl Tree {
    /// Reads a YAML text.
    ///
    /// # Errors
    /// It is no YAML, or more of it than a scenario can need.
    pub fn read(text: &str) -> Result<Self, Problem> {
        tree::parse(text).map(|node| Self::of(&node))
    }

    fn of(node: &Node) -> Self {
        let raw = node.raw.as_deref().filter(|raw| is_bare(raw));
        let written = |value: String| Self::Plain(raw.map_or(value, str::to_owned));
        match &node.kind {
            Kind::Null => Self::Plain("null".to_owned()),
            Kind::Bool(value) => written(value.to_string()),
            Kind::Int(value) => written(value.to_string()),
            Kind::Unsigned(value) => written(value.to_string()),
            Kind::Float(value) => written(format!("{value:?}")),
            Kind::Text(text) => Self::Text(text.clone()),
            Kind::List(list) => Self::List(list.iter().map(Self::of).collect()),
            Kind::Map(entries) => {
                let entry = |(key, value): &(Node, Node)| match &key.kind {
                    Kind::Text(key) => Some((key.clone(), Self::of(value))),
                    _ => None,
                };
                Self::Map(entries.iter().filter_map(entry).collect())
            }
        }
    }

    /// A text.
    pub(super) fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    /// A number.
    pub(super) fn number(number: u64) -> Self {
        Self::Plain(number.to_string())
    }

    /// `{}`.
    pub(super) fn nothing() -> Self {
        Self::Map(Vec::new())
    }

    /// Its entries, if it is a mapping.
    pub(super) fn entries(&self) -> &[(String, Self)] {
        match self {
            Self::Map(entries) => entries,
            _ => &[],
        }
    }

    /// Its items, if it is a list.
    pub(super) fn items(&self) -> &[Self] {
        match self {
            Self::List(items) => items,
            _ => &[],
        }
    }

    /// Whether it is a mapping or a list without anything in it, or nothing at all.
    pub(super) fn is_empty(&self) -> bool {
        match self {
            Self::Plain(word) => word == "null",
            Self::Text(_) => false,
            Self::List(items) => items.is_empty(),
            Self::Map(entries) => entries.is_empty(),
        }
    }

    /// The value of a key.
    pub(super) fn get(&self, key: &str) -> Option<&Self> {
        self.entries().iter().find(|(known, _)| known == key).map(|(_, value)| value)
    }

    /// The value of a key, to be changed.
    pub(super) fn get_mut(&mut self, key: &str) -> Option<&mut Self> {
        match self {
            Self::Map(entries) => {
                entries.iter_mut().find(|(known, _)| known == key).map(|(_, value)| value)
            }
            _ => None,
        }
    }

    /// Gives a key a value, in its place or as the last one.
    pub(super) fn set(&mut self, key: &str, value: Self) {
        match (self.get_mut(key), value) {
            (Some(slot), value) => *slot = value,
            (None, value) => {
                if let Self::Map(entries) = self {
                    entries.push((key.to_owned(), value));
                }
            }
        }
    }

    /// Gives a key a value, in front of another key.
    pub(super) fn put_before(&mut self, other: &str, key: &str, value: Self) {
        self.remove(key);
        if let Self::Map(entries) = self {
            let place = entries.iter().position(|(known, _)| known == other);
            entries.insert(place.unwrap_or(entries.len()), (key.to_owned(), value));
        }
    }

    /// Takes a key away. Whether it was there.
    pub(super) fn remove(&mut self, key: &str) -> bool {
        let Self::Map(entries) = self else { return false };
        let before = entries.len();
        entries.retain(|(known, _)| known != key);
        entries.len() < before
    }

    /// A scalar as it is written, or a text.
    pub(super) fn word(&self) -> Option<&str> {
        match self {
            Self::Plain(word) | Self::Text(word) => Some(word),
            _ => None,
        }
    }

    /// A whole number that is not negative.
    pub(super) fn whole(&self) -> Option<u64> {
        match self {
            Self::Plain(word) => word.parse().ok(),
            _ => None,
        }
    }

    /// The value at the end of a way.
    pub(super) fn at(&self, path: &[Seg]) -> Option<&Self> {
        path.iter().try_fold(self, |here, seg| match seg {
            Seg::Key(key) => here.get(key),
            Seg::Item(at) => here.items().get(*at),
        })
    }

    /// The value at the end of a way, to be changed.
    pub(super) fn at_mut(&mut self, path: &[Seg]) -> Option<&mut Self> {
        path.iter().try_fold(self, |here, seg| match (seg, here) {
            (Seg::Key(key), here) => here.get_mut(key),
            (Seg::Item(at), Self::List(items)) => items.get_mut(*at),
            _ => None,
        })
    }

    /// Shows every value and the way to it, those outside first.
    pub(super) fn walk(&self, look: &mut impl FnMut(&Path, &Self)) {
        self.walk_from(&mut Path::new(), look);
    }

    fn walk_from(&self, path: &mut Path, look: &mut impl FnMut(&Path, &Self)) {
        look(path, self);
        for (key, value) in self.entries() {
            path.push(Seg::Key(key.clone()));
            value.walk_from(path, look);
            path.pop();
        }
        for (at, item) in self.items().iter().enumerate() {
            path.push(Seg::Item(at));
            item.walk_from(path, look);
            path.pop();
        }
    }

    /// The ways to all values of which this is true.
    pub(super) fn find(&self, wanted: impl Fn(&Path, &Self) -> bool) -> Vec<Path> {
        let mut found = Vec::new();
        self.walk(&mut |path, tree| {
            if wanted(path, tree) {
                found.push(path.clone());
            }
        });
        found
    }

    /// Whether one of the texts in it, or of its keys, has this word: `bob` in `$bob.code`.
    pub(super) fn mentions(&self, name: &str) -> bool {
        let mut found = false;
        self.walk(&mut |_, tree| {
            found |= tree.word().is_some_and(|text| has_word(text, name));
            found |= tree.entries().iter().any(|(key, _)| has_word(key, name));
        });
        found
    }
}

/// Whether a text has a word, with nothing that could belong to it on either side.
fn has_word(text: &str, word: &str) -> bool {
    text.split(|c: char| !c.is_alphanumeric() && c != '_').any(|part| part == word)
        || text.split(|c: char| !c.is_alphanumeric() && c != '_' && c != '-').any(|it| it == word)
}

/// The last key on a way.
pub(super) fn last_key(path: &[Seg]) -> Option<&str> {
    match path.last() {
        Some(Seg::Key(key)) => Some(key),
        _ => None,
    }
}

/// Whether this can be written as it stands, wherever a scalar can.
fn is_bare(word: &str) -> bool {
    !word.is_empty() && word.chars().all(|c| c.is_ascii_alphanumeric() || "+-._".contains(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_keeps_the_order_and_how_numbers_are_written() {
        let tree = Tree::read("b: 1\na: [007, 1e3, true, '8', ~]\n").expect("YAML");
        let plain = |word: &str| Tree::Plain(word.to_owned());
        let list = [plain("007"), plain("1e3"), plain("true"), Tree::text("8"), plain("null")];
        let expected = [("b".to_owned(), plain("1")), ("a".to_owned(), Tree::List(list.into()))];
        assert_eq!(tree, Tree::Map(expected.into()));
    }

    #[test]
    fn a_name_is_found_as_a_whole_word_only() {
        let tree =
            Tree::read("expect: { message: { from: bob, code: $host-2.code } }").expect("it");
        for (name, is_there) in [("bob", true), ("host-2", true), ("bo", false), ("message", true)]
        {
            assert_eq!(tree.mentions(name), is_there, "{name}");
        }
    }
}
