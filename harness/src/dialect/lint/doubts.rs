//! What works, but cannot be meant: words that nothing uses, and rules that nothing reaches.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{holes_in, locate, requests, ways};
use crate::dialect::RECEIVED;
use crate::dialect::file::{File, HttpFile, SendFile, file};
use crate::dialect::template::{Definitions, Filling, Template};
use crate::plan::Vars;
use crate::scenario::marked::At;
use crate::scenario::problem::Problem;
use crate::scenario::template::holes_of;

/// All that is doubtful in a dialect file that is right otherwise.
pub(crate) fn doubts(text: &str) -> Vec<Problem> {
    let Ok((file, _)) = file(text) else { return Vec::new() };
    let mut problems = never_received(&file);
    problems.extend(never_sent(&file));
    let used = used(&file);
    for kept in ways(&file).flat_map(|way| &way.remember) {
        if !used.contains(kept.as_str()) {
            let problem = Problem::new(format!("nothing uses the remembered `{}`", **kept));
            problems.push(problem.at(kept.place).help("leave it out of `remember`"));
        }
    }
    problems.extend(never_used(text, &file, &used));
    problems
}

/// The names that are used somewhere.
fn used(file: &File) -> BTreeSet<String> {
    let filled = requests(file).flat_map(|way| way.filled().chain(way.filled_last()));
    let with = ways(file).flat_map(|way| way.with.iter().map(|(_, value)| value));
    let define = file.define.iter().map(|(_, value)| value);
    let headers = file.connect.headers.iter().map(|(_, value)| value);
    let given = sends(file).filter_map(|way| way.given.as_ref()).map(|it| &it.value);
    let given = given.filter_map(Value::as_object).flat_map(|it| it.keys().cloned());
    let received = ways(file).flat_map(|way| way.templates()).flat_map(holes_in);
    let received = received.filter(|name| file.params.get(name).is_some());
    let templates = frames(file).chain(filled).chain(with).chain(define).chain(headers);
    let addresses = requests(file).flat_map(HttpFile::methods).map(|(_, to)| to);
    let addresses = addresses.chain([&file.connect.path]);
    let in_addresses = addresses.flat_map(|to| holes_of(to)).map(|hole| hole.name);
    templates.flat_map(holes_in).chain(in_addresses).chain(given).chain(received).collect()
}

fn frames(file: &File) -> impl Iterator<Item = &At<Value>> {
    sends(file).flat_map(SendFile::frames)
}

fn sends(file: &File) -> impl Iterator<Item = &SendFile> {
    file.send.iter().flat_map(|(_, ways)| ways.0.iter().flat_map(|ways| &ways.0))
}

/// Values of answers that nobody wants, definitions and parameters. A request that the dialect does
/// not make itself is for the steps of scenarios.
fn never_used(text: &str, file: &File, used: &BTreeSet<String>) -> Vec<Problem> {
    let mut problems = Vec::new();
    let before: BTreeSet<&str> = file.connect.before.iter().map(|it| it.as_str()).collect();
    let before_sent = sends(file).flat_map(|way| &way.before).map(|name| name.as_str());
    let before: BTreeSet<&str> = before.into_iter().chain(before_sent).collect();
    let sent: BTreeSet<&str> =
        sends(file).filter_map(|way| way.http.as_ref()).map(|name| name.as_str()).collect();
    for (name, way) in file.http.iter() {
        if !before.contains(name.as_str()) && !sent.contains(name.as_str()) {
            continue;
        }
        for take in way.0.iter().flat_map(|way| way.taken()) {
            for hole in holes_in(take) {
                // What a request's own answer brings can be kept by a step's `save`.
                let field = RECEIVED.iter().any(|(known, _)| *known == hole);
                if used.contains(&hole) || (field && sent.contains(name.as_str())) {
                    continue;
                }
                let place = locate(text, take.place, &format!("${hole}"));
                let problem = Problem::new(format!("nothing uses the taken `{hole}`")).at(place);
                problems.push(problem.help("leave it out of `take`"));
            }
        }
    }
    let named = file.define.iter().map(|(name, _)| ("definition", name));
    let named = named.chain(file.params.iter().map(|(name, _)| ("parameter", name)));
    for (what, name) in named.filter(|(_, name)| !used.contains(name.as_str())) {
        let problem = Problem::new(format!("nothing uses the {what} `{}`", **name));
        problems.push(problem.at(name.place));
    }
    problems
}

/// Ways to ask for something behind one that is always taken.
fn never_sent(file: &File) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (verb, ways) in file.send.iter() {
        let ways = ways.0.as_ref().map_or(&[][..], |ways| ways.0.as_slice());
        let always = ways.iter().position(|way| way.given.is_none());
        let behind = always.and_then(|at| ways.get(at + 1));
        if let Some(way) = behind {
            let place = way.frames().next().map_or(verb.place, |frame| frame.place);
            let message =
                format!("this way to `{}` is never taken: one before it has no `given`", **verb);
            let help = "the first way that fits is taken; put the one without `given` last";
            problems.push(Problem::new(message).at(place).help(help));
        }
    }
    problems
}

/// An example of each event's messages is tried on the events before it.
fn never_received(file: &File) -> Vec<Problem> {
    let mut problems = Vec::new();
    let rules: Vec<_> = ways(file)
        .flat_map(|way| {
            way.templates().map(move |template| (way, Template::compile(template).ok()))
        })
        .collect();
    for (index, (way, when)) in rules.iter().enumerate() {
        let Some(example) = when.as_ref().and_then(example) else { continue };
        let takes = |when: &Option<Template>| {
            when.as_ref().is_some_and(|when| when.matched(&example).is_some())
        };
        // The frames of one rule may be alike: they come one after the other.
        let earlier =
            rules.iter().take(index).find(|(it, when)| it.place != way.place && takes(when));
        let kind = |way: &crate::dialect::file::ReceiveFile| way.events().next().cloned();
        if let (Some((earlier, _)), Some(event)) = (earlier, kind(way))
            && let Some(taken) = kind(earlier)
        {
            let line = taken.place.line;
            let message = format!(
                "this `{}` never comes: line {line} (`{}`) takes all its messages",
                event.value, taken.value
            );
            let help = "the first match counts; put the more special one first";
            problems.push(Problem::new(message).at(event.place).help(help));
        }
    }
    problems
}

/// A message that matches a template and holds nothing that the template does not ask for.
fn example(template: &Template) -> Option<Value> {
    let filler = |(name, optional): (String, bool)| {
        (!optional).then(|| (name.clone(), Value::from(format!("<{name}>"))))
    };
    let mut vars: Vars = template.holes().into_iter().filter_map(filler).collect();
    for name in template.lists() {
        vars.insert(name, Value::Array(Vec::new()));
    }
    template.fill(&Filling::of(&vars, &Definitions::new())).ok()
}

#[cfg(test)]
mod tests {
    use crate::plan::Source;
    use crate::scenario::Problems;

    #[test]
    fn everything_that_cannot_be_meant_is_shown_at_its_word() {
        let text = "\
dialect: odd
connect: { path: /ws, before: [login] }
params: { app: x }
define: { channel: room-$room }
http:
  login: { post: /login, take: { t: $token, u: $uid } }
  publish: { post: /p/$room, json: { t: $text, k: $token }, take: { n: $count, id: $msg } }
  spare: { get: /, take: { s: $spare } }
send:
  say: { http: publish }
  typing:
    - frame: { t: 1 }
    - given: { on: false }
      frame: { t: 0 }
receive:
  - event: joined
    when: { type: in, who: $who, token: $key }
    remember: [key]
  - event: left
    when: { type: in, who: $who, token: $count, gone: true }
  - event: entered
    frames: [{ type: a }, { type: a, room: $room }]
";
        assert!(crate::dialect::Dialect::parse("odd", text).is_ok());
        let source = Source { name: "odd".to_owned(), text: text.into() };
        let expected = "\
odd:3:11: nothing uses the parameter `app`
odd:4:11: nothing uses the definition `channel`
odd:6:48: nothing uses the taken `uid` (leave it out of `take`)
odd:7:84: nothing uses the taken `msg` (leave it out of `take`)
odd:14:16: this way to `typing` is never taken: one before it has no `given` (the first way that fits is taken; put the one without `given` last)
odd:18:16: nothing uses the remembered `key` (leave it out of `remember`)
odd:19:12: this `left` never comes: line 16 (`joined`) takes all its messages (the first match counts; put the more special one first)
";
        assert_eq!(Problems::new(source, super::doubts(text)).lines(), expected);
    }
}
