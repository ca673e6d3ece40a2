//! Writes a tree as YAML that reads well: what is a list of steps line by line, what is short in one.

use std::fmt::Write as _;

use super::tree::Tree;
use crate::scenario::tree::{Kind, parse};

/// A line is not longer than this, where it can be broken.
const WIDTH: usize = 96;
/// A mapping that is longer than this has a line for each of its keys.
const SHORT: usize = 72;
/// Deeper values are written in one line: they can be nested no deeper than the reader goes.
const DEEP: usize = 24;

/// Keys whose list is one of steps, each a block of its own.
const STEPS: [&str; 5] = ["steps", "refusal", "run", "together", "each"];
/// Keys whose mapping has a line for each of its keys, unless it is empty.
const BLOCKS: [&str; 3] = ["clients", "phase", "repeat"];
/// Keys of the root with an empty line before them.
const PARTS: [&str; 5] = ["clients", "steps", "refusal", "checks", "thresholds"];

impl Tree {
    /// The tree as YAML.
    pub fn yaml(&self) -> String {
        let mut text = String::new();
        match self {
            Self::Map(entries) if !entries.is_empty() => {
                for (at, (key, value)) in entries.iter().enumerate() {
                    if at > 0 && PARTS.contains(&key.as_str()) {
                        text.push('\n');
                    }
                    entry(&mut text, key, value, 0);
                }
            }
            Self::List(items) if !items.is_empty() => list(&mut text, items, 0, false),
            other => {
                text.push_str(&inline(other));
                text.push('\n');
            }
        }
        text
    }

    /// The tree in one line.
    pub(super) fn line(&self) -> String {
        inline(self)
    }
}

/// `key: value`, where the line is indented already.
fn entry(text: &mut String, key: &str, value: &Tree, indent: usize) {
    let key_text = scalar(key, false);
    let flow = inline(value);
    let room = WIDTH.saturating_sub(indent + key_text.len() + 2);
    let block = match value {
        _ if value.is_empty() || indent > DEEP => false,
        Tree::Map(_) if BLOCKS.contains(&key) => true,
        Tree::Map(_) => flow.len() > room.min(SHORT),
        Tree::List(items) if STEPS.contains(&key) && items.iter().all(is_map) => {
            key != "each" || flow.len() > room.min(SHORT)
        }
        Tree::List(_) => flow.len() > room,
        Tree::Plain(_) | Tree::Text(_) => false,
    };
    text.push_str(&key_text);
    text.push(':');
    match value {
        Tree::Map(entries) if block => {
            text.push('\n');
            for (key, value) in entries {
                text.push_str(&" ".repeat(indent + 2));
                entry(text, key, value, indent + 2);
            }
        }
        Tree::List(items) if block => {
            text.push('\n');
            list(text, items, indent + 2, STEPS.contains(&key) && key != "each");
        }
        Tree::Text(word) => line(text, &scalar(word, true)),
        _ => line(text, &flow),
    }
}

fn line(text: &mut String, value: &str) {
    text.push(' ');
    text.push_str(value);
    text.push('\n');
}

/// The items of a list, each behind a dash.
fn list(text: &mut String, items: &[Tree], indent: usize, in_blocks: bool) {
    for item in items {
        text.push_str(&" ".repeat(indent));
        text.push('-');
        let flow = inline(item);
        match item {
            Tree::Map(entries)
                if !entries.is_empty()
                    && indent <= DEEP
                    && (in_blocks || indent + 2 + flow.len() > WIDTH) =>
            {
                text.push(' ');
                for (at, (key, value)) in entries.iter().enumerate() {
                    if at > 0 {
                        text.push_str(&" ".repeat(indent + 2));
                    }
                    entry(text, key, value, indent + 2);
                }
            }
            _ => line(text, &flow),
        }
    }
}

fn is_map(tree: &Tree) -> bool {
    matches!(tree, Tree::Map(_))
}

/// In one line.
fn inline(tree: &Tree) -> String {
    match tree {
        Tree::Plain(word) => word.clone(),
        Tree::Text(text) => scalar(text, false),
        Tree::List(items) if items.is_empty() => "[]".to_owned(),
        Tree::List(items) => {
            let items: Vec<String> = items.iter().map(inline).collect();
            format!("[{}]", items.join(", "))
        }
        Tree::Map(entries) if entries.is_empty() => "{}".to_owned(),
        Tree::Map(entries) => {
            let one = |(key, value): &(String, Tree)| {
                format!("{}: {}", scalar(key, false), inline(value))
            };
            let entries: Vec<String> = entries.iter().map(one).collect();
            format!("{{ {} }}", entries.join(", "))
        }
    }
}

/// A text, bare where nobody could take it for anything else. `alone`: it has its line for itself.
fn scalar(text: &str, alone: bool) -> String {
    if is_bare(text, alone) { text.to_owned() } else { quoted(text) }
}

fn is_bare(text: &str, alone: bool) -> bool {
    // A text that begins with `>` is one of several lines.
    let first = |c: char| c.is_ascii_alphanumeric() || "$</_".contains(c);
    let inside = |c: char| {
        c.is_ascii_alphanumeric()
            || "$<>/_ .+*-=()~".contains(c)
            || (alone && (",;'!?\"".contains(c) || (!c.is_ascii() && c.is_alphabetic())))
    };
    // A colon is one that belongs to an address.
    let rest = text.replace("://", "").replace("$_", "");
    text.starts_with(first)
        // As a key this would be a merge.
        && text != "<<"
        && !text.ends_with(' ')
        && text.len() <= 200
        && (rest.chars().all(inside) || text == "$_")
        && (!is_doubtful(text)
            || parse(text).is_ok_and(|it| matches!(it.kind, Kind::Text(read) if read == text)))
}

/// Whether a text may be taken for a number, a truth or nothing: then the reader is asked.
fn is_doubtful(text: &str) -> bool {
    let letters = text.starts_with(|c: char| c.is_ascii_alphabetic());
    let words = ["true", "false", "null", "yes", "no", "on", "off", "inf", "nan"];
    let word = text.len() < 3 || words.contains(&text.to_ascii_lowercase().as_str());
    word || !(letters || text.starts_with(['$', '<', '/', '_']))
}

fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        let _never_fails = match c {
            '"' => out.write_str("\\\""),
            '\\' => out.write_str("\\\\"),
            '\n' => out.write_str("\\n"),
            '\t' => out.write_str("\\t"),
            '\r' => out.write_str("\\r"),
            c if !is_shown(c) => match u32::from(c) {
                code @ 0..=0xff => write!(out, "\\x{code:02x}"),
                code @ 0..=0xffff => write!(out, "\\u{code:04x}"),
                code => write!(out, "\\U{code:08x}"),
            },
            c => out.write_char(c),
        };
    }
    out.push('"');
    out
}

/// Whether a character can stand in a file as it is, and be seen there.
fn is_shown(c: char) -> bool {
    let code = u32::from(c);
    !c.is_control()
        && !matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{ad}')
        && !(0xfff0..=0xffff).contains(&code)
        && (0x200b..=0x200f).contains(&code).eq(&false)
        && (c == ' ' || !c.is_whitespace())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn same(text: &str) {
        let tree = Tree::read(text).expect("YAML");
        assert_eq!(tree.yaml(), text);
    }

    #[test]
    fn a_scenario_is_written_as_people_write_it() {
        same(
            "scenario: hello\n\
             about: Two people meet, and one hears the other.\n\
             vars: { room: lobby-$run }\n\
             \n\
             clients:\n  alice: {}\n  crowd: { clients: 20, ramp: 100/s, name: user-$index-$run }\n\
             \n\
             steps:\n  \
             - as: alice\n    each: [{ open: {} }, { join: $room }]\n  \
             - as: alice\n    expect: { message: { text: hello alice, from: bob } }\n    \
             within: $heartbeat.timeout + 2s\n  \
             - phase:\n      name: steady\n      for: 500ms\n      run:\n        \
             - as: crowd\n          every: 50/s\n          say: { size: 64B }\n  \
             - send: { type: a, n: \"7\", m: 7, ok: true, none: null }\n\
             \n\
             checks: { delivery: exactly-once, slow: off }\n",
        );
    }

    #[test]
    fn what_could_be_taken_for_something_else_is_quoted() {
        for (text, written) in [
            ("7", "\"7\""),
            ("true", "\"true\""),
            ("", "\"\""),
            ("a: b", "\"a: b\""),
            ("- a", "\"- a\""),
            ("# no", "\"# no\""),
            ("a\nb", "\"a\\nb\""),
            ("ws://127.0.0.1", "ws://127.0.0.1"),
            ("1/500", "1/500"),
            ("<50ms", "<50ms"),
            (">50ms", "\">50ms\""),
            ("<<", "\"<<\""),
            ("\u{feff}x", "\"\\ufeffx\""),
        ] {
            assert_eq!(scalar(text, false), written);
            assert!(written.starts_with('"') || scalar(text, true) == written, "{text}");
        }
    }

    fn any_tree() -> impl Strategy<Value = Tree> {
        let plain = prop_oneof![
            any::<i64>().prop_map(|n| n.to_string()),
            any::<bool>().prop_map(|b| b.to_string()),
            Just("null".to_owned()),
            (0_u32..1000, 0_u32..1000).prop_map(|(a, b)| format!("{a}.{b}")),
        ];
        let text =
            prop_oneof![any::<String>(), "[ -~]{0,30}", "[a-z$: #,{}\\[\\]&*!|>'\"%@`-]{0,9}"];
        let key = prop_oneof![
            "[a-z_]{1,8}",
            any::<String>(),
            Just("each".to_owned()),
            Just("steps".to_owned())
        ];
        let leaf = prop_oneof![plain.prop_map(Tree::Plain), text.prop_map(Tree::Text)];
        leaf.prop_recursive(5, 40, 6, move |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..6).prop_map(Tree::List),
                proptest::collection::btree_map(key.clone(), inner, 0..6)
                    .prop_map(|map| Tree::Map(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back_as_the_same(tree in any_tree()) {
            let text = tree.yaml();
            let read = Tree::read(&text);
            prop_assert!(read.is_ok(), "{text}\n{:?}", read.err());
            prop_assert_eq!(read.expect("it is"), tree, "{}", text);
        }
    }
}
