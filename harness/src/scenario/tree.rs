//! A YAML file as a tree whose every key and value knows its place.
//!
//! The YAML library is used here and nowhere else. It stops at the first mistake and words it for
//! programmers; reading our types from this tree instead lets one pass find many mistakes, each
//! shown at the very word.

use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::{Location, Spanned};

use super::problem::Problem;
use crate::plan::Place;

/// A larger file is refused unread: no scenario written by hand comes near it.
pub(crate) const FILE_BYTES_MAX: usize = 1024 * 1024;

/// Deeper nesting is refused: it is what keeps reading from exhausting the stack.
const DEPTH_MAX: usize = 48;

/// More keys and values than this are refused: what stops an alias bomb.
const NODES_MAX: usize = 100_000;

/// A value and its place.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) place: Place,
    pub(crate) kind: Kind,
    /// A plain scalar as it is written: what `1e3` or `007` is where a text is wanted.
    pub(crate) raw: Option<String>,
}

/// What a value is.
#[derive(Clone, Debug)]
pub(crate) enum Kind {
    Null,
    Bool(bool),
    Int(i64),
    Unsigned(u64),
    Float(f64),
    Text(String),
    List(Vec<Node>),
    /// Keys are texts.
    Map(Vec<(Node, Node)>),
}

/// Reads a file's text.
pub(crate) fn parse(text: &str) -> Result<Node, Problem> {
    if text.len() > FILE_BYTES_MAX {
        let message = format!("the file has {} bytes; the limit is 1 MiB", text.len());
        return Err(Problem::new(message).help("is this the right file?"));
    }
    let options = serde_saphyr::options! {
        strict_booleans: true,
        budget: serde_saphyr::budget! {
            max_depth: DEPTH_MAX,
            max_nodes: NODES_MAX,
            max_documents: 2,
            max_aliases: 1_000,
            max_anchors: 1_000,
        },
    };
    let root: Spanned<Raw> = serde_saphyr::from_str_with_options(text, options)
        .map_err(|error| from_library(text, &error))?;
    Ok(node(text, root))
}

/// The same tree, with the library's places.
enum Raw {
    Null,
    Bool(bool),
    Int(i64),
    Unsigned(u64),
    Float(f64),
    Text(String),
    List(Vec<Spanned<Self>>),
    Map(Vec<(Spanned<String>, Spanned<Self>)>),
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RawVisitor)
    }
}

struct RawVisitor;

impl<'de> Visitor<'de> for RawVisitor {
    type Value = Raw;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("any YAML value")
    }

    fn visit_unit<E: de::Error>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }

    fn visit_none<E: de::Error>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Raw, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Raw, E> {
        Ok(Raw::Bool(value))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Raw, E> {
        Ok(Raw::Int(value))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Raw, E> {
        Ok(Raw::Unsigned(value))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Raw, E> {
        Ok(Raw::Float(value))
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<Raw, E> {
        Ok(Raw::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Raw, A::Error> {
        let mut list = Vec::new();
        while let Some(value) = seq.next_element()? {
            list.push(value);
        }
        Ok(Raw::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Raw, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(Raw::Map(entries))
    }
}

fn node(text: &str, raw: Spanned<Raw>) -> Node {
    let mut place = place(text, raw.referenced);
    let mut written = None;
    let kind = match raw.value {
        Raw::Null => Kind::Null,
        Raw::Bool(value) => Kind::Bool(value),
        Raw::Int(value) => Kind::Int(value),
        Raw::Unsigned(value) => Kind::Unsigned(value),
        Raw::Float(value) => Kind::Float(value),
        Raw::Text(value) => Kind::Text(value),
        Raw::List(list) => Kind::List(list.into_iter().map(|item| node(text, item)).collect()),
        Raw::Map(entries) => {
            Kind::Map(entries.into_iter().map(|entry| pair(text, entry)).collect())
        }
    };
    match &kind {
        // The library marks a mapping's first character; its first key reads better.
        Kind::Map(entries) => place = entries.first().map_or(place, |(key, _)| key.place),
        Kind::List(_) | Kind::Text(_) => {}
        _ => written = excerpt(text, self::place(text, raw.defined)),
    }
    Node { place, kind, raw: written }
}

fn pair(text: &str, (key, value): (Spanned<String>, Spanned<Raw>)) -> (Node, Node) {
    let place = place(text, key.referenced);
    (Node { place, kind: Kind::Text(key.value), raw: None }, node(text, value))
}

fn excerpt(text: &str, place: Place) -> Option<String> {
    text.get(place.offset..place.offset + place.len).map(|slice| slice.trim().to_owned())
}

/// The library's place as ours: at least one byte, never past a line's end, never outside the text.
fn place(text: &str, location: Location) -> Place {
    let span = location.span();
    let number = |number: u64| usize::try_from(number).ok();
    // What was found while scanning has a line and a column only.
    let offset = span
        .byte_offset()
        .and_then(number)
        .or_else(|| offset_of(text, number(location.line())?, number(location.column())?));
    let offset = offset.unwrap_or(0);
    let len = span.byte_len().and_then(|len| usize::try_from(len).ok()).unwrap_or(1);
    at(text, offset, len)
}

/// A place in a text, cut to its line.
pub(crate) fn at(text: &str, offset: usize, len: usize) -> Place {
    let mut offset = offset.min(text.len());
    while !text.is_char_boundary(offset) {
        offset -= 1;
    }
    let rest = text.get(offset..).unwrap_or("");
    let line_rest = rest.split('\n').next().unwrap_or("").trim_end().len();
    let mut len = len.min(line_rest).max(1);
    while offset + len < text.len() && !text.is_char_boundary(offset + len) {
        len += 1;
    }
    let line = text.get(..offset).unwrap_or("").matches('\n').count() + 1;
    Place { offset, len: len.min(text.len() - offset), line }
}

/// The library's mistake, in our words.
fn from_library(text: &str, error: &serde_saphyr::Error) -> Problem {
    let error = error.without_snippet();
    let words = error.to_string();
    let words = words.lines().next().unwrap_or("");
    // The place is shown anyway.
    let words = words.split_once(" at line ").map_or(words, |(fact, _)| fact);
    let spot = error.location().map(|location| place(text, location));
    let problem = Problem::new(message(words, error));
    let problem = match spot {
        Some(spot) if !text.is_empty() => problem.at(spot),
        _ => problem,
    };
    if let Some(tab) = leading_tab(text, spot) {
        return Problem::new("a tab in the indentation; YAML indents with spaces")
            .at(tab)
            .help("replace the tab with two spaces");
    }
    let near = |words: &[&str]| {
        let line = spot.map_or(0, |spot| spot.line);
        // The scanner notices some mistakes only in the line after.
        let lines = text.lines().skip(line.saturating_sub(2)).take(2);
        lines.into_iter().any(|line| words.iter().any(|word| line.contains(word)))
    };
    if near(&["{{", "${"]) {
        problem.help("a variable is written `$name`, without braces")
    } else if near(&[": >", ":>"]) {
        problem.help("write `at least 1000/s` or `more than 1000/s`, or quote it: \">=1000/s\"")
    } else {
        problem
    }
}

fn offset_of(text: &str, line: usize, column: usize) -> Option<usize> {
    let mut lines = text.split_inclusive('\n');
    let before: usize = lines.by_ref().take(line.checked_sub(1)?).map(str::len).sum();
    let line = lines.next().unwrap_or("");
    let inside = line.char_indices().nth(column.checked_sub(1)?).map_or(line.len(), |(at, _)| at);
    Some(before + inside)
}

fn message(words: &str, error: &serde_saphyr::Error) -> String {
    use serde_saphyr::Error;
    match error {
        Error::AliasError { error, .. } => message(words, error),
        Error::DuplicateMappingKey { key: Some(key), .. } => format!("`{key}` is here twice"),
        Error::Budget { .. }
        | Error::AliasReplayLimitExceeded { .. }
        | Error::AliasExpansionLimitExceeded { .. }
        | Error::AliasReplayStackDepthExceeded { .. } => {
            "the file unfolds to more than a scenario can need".to_owned()
        }
        Error::MultipleDocuments { .. } => "one file holds one document, without `---`".to_owned(),
        Error::Eof { .. } => "the file is empty".to_owned(),
        _ => {
            // "error: line 3 column 5: …": the place is shown anyway.
            let short = words.strip_prefix("error: ").unwrap_or(words);
            let placed = short.split_once(": ").filter(|(head, _)| head.starts_with("line "));
            format!("this is not YAML: {}", placed.map_or(short, |(_, fact)| fact))
        }
    }
}

/// A tab that indents the line of a mistake, or one of the two lines before.
fn leading_tab(text: &str, spot: Option<Place>) -> Option<Place> {
    let spot = spot?;
    let mut offset = 0;
    for (index, line) in text.split_inclusive('\n').enumerate() {
        let indent = line.len() - line.trim_start().len();
        let tab = line.get(..indent).and_then(|indent| indent.find('\t'));
        if let Some(tab) = tab
            && (index + 1).abs_diff(spot.line) <= 2
        {
            return Some(at(text, offset + tab, 1));
        }
        offset += line.len();
    }
    None
}
