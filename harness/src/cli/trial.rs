//! `harness check --dialect D --try FRAME`: what a frame is taken for, or why it is nothing.

use std::fmt::Write as _;

use crate::dialect::{Dialect, Event, Trial, Verb};
use crate::plan::Vars;
use crate::scenario::files;
use crate::verdict::Exit;

/// Tries a frame: the text to show, and the exit.
pub(super) fn run(dialect: &str, frame: &str, fancy: bool) -> (String, Exit) {
    let parsed = files::dialect(dialect).and_then(|source| {
        let dialect = Dialect::parse(&source.name, &source.text)?;
        Ok((source.name, dialect))
    });
    let (file, dialect) = match parsed {
        Ok(parsed) => parsed,
        Err(problems) => return (problems.render(fancy), Exit::Usage),
    };
    match dialect.try_frame(frame) {
        Trial::Is(event, line) => (taken(&event, &file, line), Exit::Passed),
        Trial::Unlike(near) if near.is_empty() => {
            (format!("nothing: dialect {} describes no events\n", dialect.name), Exit::Failed)
        }
        Trial::Unlike(near) => {
            let mut text = format!("nothing that dialect {} knows. The nearest:\n", dialect.name);
            for (event, line, fact) in near {
                let name = event.as_str();
                let _never_fails = writeln!(text, "  {name:10} {file}:{line}: {fact}");
            }
            (text, Exit::Failed)
        }
        Trial::Garbled(fact) => {
            (format!("no JSON, as dialect {} is: {fact}\n", dialect.name), Exit::Failed)
        }
    }
}

/// An event and all that it says.
fn taken(event: &Event, file: &str, line: usize) -> String {
    let kinds: Vec<&str> = event.kinds().map(|kind| kind.as_str()).collect();
    let mut text = format!("{} ({file}:{line})\n", kinds.join(" and "));
    fields(&mut text, &event.fields);
    let mut add = |what: &str, word: &str| {
        let _never_fails = writeln!(text, "  {what} {word}");
    };
    let means = &event.means;
    if let Some(part) = means.part {
        add("is frame", &format!("{} of {} that are one event", part.nth + 1, part.of));
    }
    if let Some(own) = means.own {
        add("is, for the client itself,", own.as_str());
    }
    for name in event.recalled() {
        add("gets from what the connection knows", name);
    }
    if !means.remember.is_empty() {
        add("remembers", &means.remember.join(", "));
    }
    if let Some(verb) = means.refuses {
        add("refuses", verb.as_str());
    }
    if let Some(reply) = means.reply.map(Verb::as_str) {
        add("is answered with", reply);
    }
    text
}

fn fields(text: &mut String, fields: &Vars) {
    for (name, value) in fields {
        let _never_fails = writeln!(text, "  {name}: {value}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(dialect: &str, frame: &str, expected: &str, exit: Exit) {
        let (text, found) = run(dialect, frame, false);
        assert_eq!((text.as_str(), found), (expected, exit), "{frame}");
    }

    #[test]
    fn a_frame_is_shown_as_the_event_that_it_is() {
        let said = r#"{"StorageUpdated":{"version":3,"operations":[{"Insert":{"key":"said","value":"hi"}}]}}"#;
        let (text, exit) = run("rooms", said, false);
        assert!(text.starts_with("message and stored (scenarios/dialects/rooms.yaml:"), "{text}");
        for line in ["  number: 3\n", "  text: \"hi\"\n", "  ops: [{\"put\":{"] {
            assert!(text.contains(line), "{line} in {text}");
        }
        assert_eq!(exit, Exit::Passed);
        let (text, _) = run("rooms", "\"Ping\"", false);
        assert!(text.ends_with("  is answered with pong\n"), "{text}");
        let (text, _) = run("chat", r#"{"type":"partner_joined","username":"bo"}"#, false);
        assert!(text.contains("  partner: \"bo\"\n  who: \"bo\"\n  remembers partner\n"), "{text}");
        let (text, _) = run("chat", r#"{"type":"partner_left"}"#, false);
        assert!(text.ends_with("  gets from what the connection knows who\n"), "{text}");
    }

    #[test]
    fn what_is_nothing_is_told_with_the_first_difference() {
        let (text, exit) =
            run("events", r#"{"type":"event","channel":"c","data":{"text":"x"}}"#, false);
        let near = "  message    scenarios/dialects/events.yaml:";
        assert!(text.starts_with("nothing that dialect events knows. The nearest:\n"), "{text}");
        assert!(text.contains(near) && text.contains("`.timestamp` is missing"), "{text}");
        assert_eq!(exit, Exit::Failed);
        check(
            "chat",
            "hello",
            "no JSON, as dialect chat is: expected value at line 1 column 1\n",
            Exit::Failed,
        );
    }

    #[test]
    fn a_dialect_that_is_not_there_is_a_slip_of_the_user() {
        let (text, exit) = run("romms", "{}", false);
        assert!(text.contains("did you mean `rooms`?"), "{text}");
        assert_eq!(exit, Exit::Usage);
    }
}
