//! A rule in the words of the command line: `drop to=client event=message rate=1/100`.
//!
//! They become the tree that a scenario's YAML becomes, so that both are read by the same eyes.

use super::rule::{FAULTS, Rule};
use super::written::Written;
use crate::plan::{Place, Source};
use crate::scenario::problem::{Problem, Problems};
use crate::scenario::read;
use crate::scenario::tree::{self, Kind, Node, at};

/// Reads a rule.
///
/// # Errors
/// What is wrong with it, and where.
pub fn parse(text: &str) -> Result<Rule, Problems> {
    rule(text).map_err(|list| {
        Problems::new(Source { name: "--fault".to_owned(), text: text.into() }, list)
    })
}

fn rule(text: &str) -> Result<Rule, Vec<Problem>> {
    let mut entries = Vec::new();
    for (start, word) in words(text) {
        entries.push(entry(text, start, word).map_err(|problem| vec![problem])?);
    }
    let place = at(text, 0, text.len());
    let node = Node { place, kind: Kind::Map(entries), raw: None };
    match read::read::<Written>(&node) {
        (Some(written), problems) if problems.is_empty() => {
            written.compile(place).map_err(|problem| vec![problem])
        }
        (_, problems) => Err(problems),
    }
}

/// A word as a key and its value.
fn entry(text: &str, start: usize, word: &str) -> Result<(Node, Node), Problem> {
    let split = word.find('=').filter(|at| !word.get(..*at).unwrap_or("").contains(['{', '[']));
    let key = word.get(..split.unwrap_or(word.len())).unwrap_or(word);
    let place = at(text, start, key.len());
    let name = Node { place, kind: Kind::Text(key.to_owned()), raw: None };
    let Some(split) = split else {
        if !FAULTS.iter().any(|(fault, ..)| *fault == key) {
            let known = FAULTS.iter().map(|(fault, ..)| *fault);
            let problem = Problem::new(format!("`{key}` is no fault, and has no value")).at(place);
            let problem = problem.help(format!("write it like {key}=…, or a fault such as drop"));
            return Err(problem.did_you_mean(key, known));
        }
        return Ok((name, Node { place, kind: Kind::Map(Vec::new()), raw: None }));
    };
    let value = word.get(split + 1..).unwrap_or("");
    let from = start + split + 1;
    let place = at(text, from, value.len().max(1));
    let node = |kind| Node { place, kind, raw: None };
    let value = match key {
        "frame" => moved(tree::parse(value).map_err(|problem| problem.at(place))?, text, from),
        "at" if value.contains(',') => {
            let all = value.split(',').map(|one| node(Kind::Text(unquoted(one))));
            node(Kind::List(all.collect()))
        }
        _ => node(Kind::Text(unquoted(value))),
    };
    Ok((name, value))
}

/// A tree that was read of a part of a text, as part of the whole.
fn moved(node: Node, text: &str, by: usize) -> Node {
    let Place { offset, len, .. } = node.place;
    let kind = match node.kind {
        Kind::List(list) => {
            Kind::List(list.into_iter().map(|inner| moved(inner, text, by)).collect())
        }
        Kind::Map(entries) => {
            let both = |(key, value)| (moved(key, text, by), moved(value, text, by));
            Kind::Map(entries.into_iter().map(both).collect())
        }
        other => other,
    };
    Node { place: at(text, offset + by, len), kind, ..node }
}

/// The words of a text and where they begin. Blanks inside of quotes and brackets are no ends.
fn words(text: &str) -> Vec<(usize, &str)> {
    let (mut words, mut start) = (Vec::new(), None);
    let (mut depth, mut quote) = (0_usize, None);
    let mut escaped = false;
    for (at, letter) in text.char_indices() {
        match (quote, letter) {
            (Some('"'), '\\') if !escaped => {
                escaped = true;
                continue;
            }
            (Some(open), _) if letter == open && !escaped => quote = None,
            (None, '\'' | '"') => quote = Some(letter),
            (None, '{' | '[') => depth += 1,
            (None, '}' | ']') => depth = depth.saturating_sub(1),
            _ => {}
        }
        escaped = false;
        if letter.is_whitespace() && quote.is_none() && depth == 0 {
            words.extend(start.take().map(|from| (from, text.get(from..at).unwrap_or(""))));
        } else {
            start.get_or_insert(at);
        }
    }
    words.extend(start.map(|from| (from, text.get(from..).unwrap_or(""))));
    words
}

fn unquoted(text: &str) -> String {
    let inside = |quote: char| text.strip_prefix(quote).and_then(|it| it.strip_suffix(quote));
    match (inside('\''), serde_json::from_str::<String>(text)) {
        (Some(inside), _) => inside.to_owned(),
        (None, Ok(plain)) => plain,
        (None, Err(_)) => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A rule in full words is itself.
    #[test]
    fn words_are_read_and_written() {
        for text in [
            "drop to=client event=message rate=1/100 after=10 times=1",
            "duplicate to=client",
            "duplicate=3",
            "duplicate=200ms at=3",
            "swap=two-senders to=client event=message at=bob rate=1/500",
            "delay=200ms to=server",
            "hold=3 to=client event=message",
            "corrupt=text to=client event=message",
            "truncate=10B",
            "inject='{\"type\":\"x y\"}' to=client times=1",
            "misroute=instead to=client event=message at=bob,crowd/3",
            "stall=2s to=client",
            "cut=1011 to=client after=5",
            "half_open at=bob*",
            "throttle=65536B/s to=client",
            "drop to=client opcode=ping",
            "drop to=server event=say",
            "drop to=client frame={\"type\":\"chat\",\"text\":\"$_\"}",
        ] {
            let rule = parse(text).unwrap_or_else(|problems| panic!("{problems}"));
            assert_eq!(rule.to_string(), text);
        }
    }

    #[test]
    fn what_is_usual_need_not_be_said() {
        for (short, long) in [
            ("swap", "swap=any"),
            ("corrupt", "corrupt=text"),
            ("misroute", "misroute=copy"),
            ("cut", "cut=rst"),
            ("drop event=message", "drop to=client event=message"),
            ("drop event=say", "drop to=server event=say"),
            ("throttle=64KiB/s", "throttle=65536B/s"),
            ("drop frame={type: chat, text: $_}", "drop frame={\"type\":\"chat\",\"text\":\"$_\"}"),
        ] {
            assert_eq!(parse(short).unwrap().to_string(), long, "{short}");
        }
    }

    #[test]
    fn mistakes_have_a_place_a_fact_and_a_remedy() {
        for (text, told) in [
            ("", "--fault:1:1: what shall go wrong? (give the rule a fault, such as `drop`)"),
            (
                "to=client",
                "--fault:1:1: what shall go wrong? (give the rule a fault, such as `drop`)",
            ),
            (
                "dorp to=client",
                "--fault:1:1: `dorp` is no fault, and has no value (did you mean `drop`?)",
            ),
            (
                "drop swap=any",
                "--fault:1:11: two faults in one rule: `drop` and `swap` (each fault is a rule of its own: another `- `, or another --fault)",
            ),
            ("drop rate=2", "--fault:1:11: `2` is not a chance (write it like 1/500)"),
            ("drop rate=1/0", "--fault:1:11: `1/0` is not a chance (write it like 1/500)"),
            (
                "drop to=clients",
                "--fault:1:9: `clients` is not a direction (write it like client or server)",
            ),
            (
                "drop event=mesage",
                "--fault:1:12: no event is called `mesage` (did you mean `message`?)",
            ),
            (
                "drop to=server event=message",
                "--fault:1:22: no client asks for `message` (a server tells it: it goes to the `client`)",
            ),
            (
                "drop to=client event=say",
                "--fault:1:22: no server tells `say` (a client asks for it: it goes to the `server`)",
            ),
            ("drop ever=1", "--fault:1:6: no key is called `ever` here"),
            ("hold=0", "--fault:1:6: who overtakes it? zero others do not (e.g. 3, or 200ms)"),
            (
                "delay=soon",
                "--fault:1:7: `soon` is not a duration (write it like 250ms, 30s or 1m30s)",
            ),
            (
                "throttle=fast",
                "--fault:1:10: `fast` is not a rate in bytes (write it like 64KiB/s)",
            ),
            (
                "cut=often",
                "--fault:1:5: `often` is not an end (write it like rst, fin, inside, or a close code such as 1011)",
            ),
            (
                "swap=none",
                "--fault:1:6: `none` is not whose messages (write it like any or one-sender or two-senders)",
            ),
        ] {
            let problems = parse(text).expect_err(text).to_string();
            assert!(problems.starts_with(told), "{text}\n{problems}\n{told}");
        }
    }
}
