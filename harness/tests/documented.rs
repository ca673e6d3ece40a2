//! The page that documents the language: its examples are right, and it leaves nothing out.

use std::sync::Arc;

use harness::dialect::{Dialect, EventKind, FEATURES, FUNCTIONS, RECEIVED, SENT, SHAPES, Verb};
use harness::plan::Source;
use harness::scenario::metrics::{METRICS, STATS};
use harness::scenario::{ACTIONS, Scenario};

const PAGE: &str = include_str!("../../docs/SCENARIOS.md");

/// What examples of steps are steps of.
const AROUND: &str = "scenario: t\nclients:\n  alice: {}\n  bob: {}\n  host: {}\n  guest: {}\n  \
                      crowd: { clients: 2 }\n";

/// The YAML blocks of the page, and the line that each begins on.
fn examples() -> Vec<(usize, String)> {
    let mut examples = Vec::new();
    let mut open: Option<(usize, String)> = None;
    for (index, line) in PAGE.lines().enumerate() {
        match (&mut open, line) {
            (None, "```yaml") => open = Some((index + 1, String::new())),
            (Some(_), "```") => examples.extend(open.take()),
            (Some((_, text)), line) => *text += &format!("{line}\n"),
            (None, _) => {}
        }
    }
    examples
}

#[test]
fn every_example_is_right() {
    let examples = examples();
    assert!(examples.len() > 15, "the page has its examples");
    for (line, text) in examples {
        let name = format!("docs/SCENARIOS.md, line {line}");
        if text.starts_with("dialect:") {
            Dialect::parse(&name, &text).unwrap_or_else(|problems| panic!("{problems}"));
            continue;
        }
        let whole = if text.starts_with("scenario:") || text.contains("\nscenario:") {
            text
        } else if text.starts_with('-') {
            format!("{AROUND}steps:\n{text}")
        } else {
            let clients = if text.contains("clients:") { "" } else { "clients: { alice: {} }\n" };
            let steps =
                if text.contains("steps:") { "" } else { "steps: [{ as: alice, open: {} }]\n" };
            format!("scenario: t\n{clients}{text}{steps}")
        };
        let source = Source { name, text: Arc::from(whole.as_str()) };
        Scenario::parse(source).unwrap_or_else(|problems| panic!("{}", problems.render(false)));
    }
}

#[test]
fn every_word_of_the_language_is_documented() {
    let holes = SENT.iter().chain(RECEIVED).map(|(name, _)| *name);
    let words = ACTIONS
        .iter()
        .chain(STATS)
        .chain(FEATURES)
        .chain(Verb::WORDS)
        .chain(EventKind::WORDS)
        .copied()
        .chain(METRICS.iter().map(|metric| metric.name))
        .chain(holes);
    for word in words {
        assert!(
            PAGE.contains(&format!("`{word}`")) || PAGE.contains(&format!("`{word}:")),
            "{word}"
        );
    }
    for metric in METRICS {
        assert!(PAGE.contains(metric.about), "{}", metric.name);
    }
    for (_, meaning) in SENT.iter().chain(RECEIVED).chain(SHAPES) {
        assert!(PAGE.contains(&format!("| {meaning} |")), "{meaning}");
    }
    for (operation, _) in SHAPES {
        assert!(PAGE.contains(&format!("`{operation}")), "{operation}");
    }
    for (function, meaning) in FUNCTIONS {
        assert!(PAGE.contains(&format!("| {meaning} |")), "{meaning}");
        assert!(PAGE.contains(&format!("| `{{ {function}:")), "{function}");
    }
}

/// The keys that a dialect file can have, as the mistake of a wrong one lists them.
fn keys(text: &str) -> Vec<String> {
    let problems = Dialect::parse("keys", text).expect_err("a wrong key").lines();
    let list = problems.split_once("(there are ").expect("a list").1;
    let list = list.split_once(')').expect("its end").0;
    list.split(", ").map(str::to_owned).collect()
}

#[test]
fn every_key_of_a_dialect_file_is_documented() {
    let page = PAGE.split_once("\n## Dialects").expect("the part").1;
    let head = "dialect: d\nconnect: { path: /ws }\nsend: { say: { frame: $text } }\n";
    let places = [
        format!("{head}bogus: 1\n"),
        head.replace("path: /ws", "path: /ws, bogus: 1"),
        head.replace("frame: $text", "frame: $text, bogus: 1"),
        format!("{head}receive: [{{ bogus: 1 }}]\n"),
        format!("{head}http: {{ x: {{ bogus: 1 }} }}\n"),
        format!("{head}limits: {{ bogus: 1 }}\n"),
        format!("{head}heartbeat: {{ bogus: 1 }}\n"),
        format!("{head}reconnect: {{ bogus: 1 }}\n"),
    ];
    for key in places.iter().flat_map(|text| keys(text)) {
        let written = [format!("{key}:"), format!("`{key}`")];
        let known = written.iter().any(|it| page.contains(it.as_str()));
        // What bounds a server is for profiles, too; they say what each bound is.
        let bound = ["text_bytes", "room_name_bytes", "members", "requests_per_s"];
        assert!(known || bound.contains(&key.as_str()), "{key}");
    }
}
