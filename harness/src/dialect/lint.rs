//! Finds what is wrong with a dialect file, and (for `harness check`) what is doubtful.

use std::collections::BTreeSet;

use serde_json::Value;

use super::file::{File, ReceiveFile, SendFile, file};
use super::template::{Definitions, Template};
use super::{EventKind, RECEIVED, SENT, Verb};
use crate::plan::{Place, Vars};
use crate::scenario::marked::At;
use crate::scenario::problem::Problem;
use crate::scenario::template::holes_of;
use crate::scenario::tree;

/// The place of a word at or after another place, or that place when the word is not there.
pub(crate) fn locate(text: &str, from: Place, word: &str) -> Place {
    let found = text.get(from.offset..).and_then(|rest| rest.find(word));
    found.map_or(from, |offset| tree::at(text, from.offset + offset, word.len()))
}

/// What makes a dialect unusable.
pub(super) fn mistakes(text: &str, file: &File) -> Vec<Problem> {
    let mut linter = Linter { text, problems: Vec::new(), fillable: fillable(file) };
    linter.connect(file);
    for way in file.send.iter().flat_map(|(_, ways)| ways.0.iter().flat_map(|ways| &ways.0)) {
        linter.sending(file, way);
    }
    for (_, value) in file.define.iter() {
        linter.filled(value, &linter.fillable.clone());
    }
    for way in file.receive.iter().filter_map(|way| way.0.as_ref()) {
        linter.receiving(file, way);
    }
    linter.problems
}

/// The names that can fill a hole of a message to send.
fn fillable(file: &File) -> BTreeSet<String> {
    let remembered = ways(file).flat_map(|way| &way.remember).map(|name| name.value.clone());
    SENT.iter()
        .map(|(name, _)| (*name).to_owned())
        .chain(file.params.keys().map(str::to_owned))
        .chain(file.define.keys().map(str::to_owned))
        .chain(remembered)
        .collect()
}

fn ways(file: &File) -> impl Iterator<Item = &ReceiveFile> {
    file.receive.iter().filter_map(|way| way.0.as_ref())
}

struct Linter<'a> {
    text: &'a str,
    problems: Vec<Problem>,
    fillable: BTreeSet<String>,
}

impl Linter<'_> {
    fn connect(&mut self, file: &File) {
        let path = &file.connect.path;
        if !path.starts_with('/') {
            let problem = Problem::new(format!("the path `{}` does not begin with `/`", **path));
            self.problems.push(problem.at(path.place));
        }
        for hole in holes_of(path) {
            let known = ["me", "index", "run", "room"];
            if !known.contains(&hole.name.as_str()) && file.params.get(&hole.name).is_none() {
                let place = locate(self.text, path.place, &format!("${}", hole.name));
                let problem = Problem::new(format!("nothing fills `${hole}`")).at(place);
                let known = known.into_iter().chain(file.params.keys());
                self.problems.push(problem.did_you_mean(&hole.name, known));
            }
        }
        if let Some(ready) = &file.connect.ready {
            self.told(file, ready);
        }
        for verb in &file.connect.introduce {
            self.sendable(file, verb);
        }
    }

    fn sending(&mut self, file: &File, way: &SendFile) {
        let mut known = self.fillable.clone();
        if let Some(given) = &way.given
            && let Ok(template) = Template::compile(given)
        {
            known.extend(template.holes().into_iter().map(|(name, _)| name));
        }
        self.filled(&way.frame, &known);
        if let Some(ack) = &way.ack {
            self.told(file, ack);
        }
    }

    fn filled(&mut self, value: &At<Value>, known: &BTreeSet<String>) {
        let Ok(template) = Template::compile(value) else { return };
        let inside = list_holes(value);
        for (name, _) in template.holes() {
            if known.contains(&name) || inside.contains(&name) {
                continue;
            }
            let place = locate(self.text, value.place, &format!("${name}"));
            let problem = Problem::new(format!("nothing fills `${name}`")).at(place);
            let known = known.iter().map(String::as_str);
            self.problems.push(problem.did_you_mean(&name, known));
        }
    }

    fn receiving(&mut self, file: &File, way: &ReceiveFile) {
        let Ok(template) = Template::compile(&way.when) else { return };
        let bound: BTreeSet<String> = template.holes().into_iter().map(|(name, _)| name).collect();
        let known = || RECEIVED.iter().map(|(name, _)| *name);
        for name in bound.iter().map(String::as_str).chain(way.with.keys()) {
            let remembered = way.remember.iter().any(|kept| kept.as_str() == name);
            if !remembered && !known().any(|known| known == name) {
                let place = locate(self.text, way.when.place, &format!("${name}"));
                let problem = Problem::new(format!("no hole of an event is called `{name}`"));
                let problem = problem
                    .at(place)
                    .help("an event's holes are a closed list; others must be in `remember`");
                self.problems.push(problem.did_you_mean(name, known()));
            }
        }
        for kept in way.remember.iter().filter(|kept| !bound.contains(kept.as_str())) {
            let problem = Problem::new(format!("this event has no `{}` to remember", **kept));
            let known = bound.iter().map(String::as_str);
            self.problems.push(problem.at(kept.place).did_you_mean(kept, known));
        }
        if let Some(reply) = &way.reply {
            self.sendable(file, reply);
        }
        if way.event.value == EventKind::Closed {
            let problem = Problem::new("`closed` is the end of a connection, never a message");
            self.problems.push(problem.at(way.event.place));
        }
    }

    fn told(&mut self, file: &File, kind: &At<EventKind>) {
        if !ways(file).any(|way| way.event.value == kind.value) {
            let problem =
                Problem::new(format!("nothing in `receive` is the event `{}`", kind.value));
            self.problems.push(problem.at(kind.place));
        }
    }

    fn sendable(&mut self, file: &File, verb: &At<Verb>) {
        if file.send.get(verb.as_str()).is_none() {
            let problem = Problem::new(format!("`send` has no `{}`", verb.value));
            self.problems.push(problem.at(verb.place));
        }
    }
}

/// The holes inside a `$list`'s `of`: its items fill them.
fn list_holes(value: &Value) -> BTreeSet<String> {
    match value {
        Value::Object(entries) => match (entries.get("$list"), entries.get("of")) {
            (Some(_), Some(of)) => Template::compile(of)
                .map(|of| of.holes().into_iter().map(|(name, _)| name).collect())
                .unwrap_or_default(),
            _ => entries.values().flat_map(list_holes).collect(),
        },
        Value::Array(list) => list.iter().flat_map(list_holes).collect(),
        _ => BTreeSet::new(),
    }
}

/// What works, but cannot be meant: events that can never come because an earlier one takes their
/// messages, and remembered values that nothing uses.
pub(crate) fn doubts(text: &str) -> Vec<Problem> {
    let Ok((file, _)) = file(text) else { return Vec::new() };
    let mut problems = shadows(&file);
    let used = used(&file);
    for kept in ways(&file).flat_map(|way| &way.remember) {
        if !used.contains(kept.as_str()) {
            let problem = Problem::new(format!("nothing uses the remembered `{}`", **kept));
            problems.push(problem.at(kept.place).help("leave it out of `remember`"));
        }
    }
    problems
}

fn used(file: &File) -> BTreeSet<String> {
    let frames = file.send.iter().flat_map(|(_, ways)| ways.0.iter().flat_map(|ways| &ways.0));
    let frames = frames.map(|way| &way.frame).chain(file.define.iter().map(|(_, value)| value));
    frames
        .filter_map(|value| Template::compile(value).ok())
        .flat_map(|template| template.holes())
        .map(|(name, _)| name)
        .chain(holes_of(&file.connect.path).map(|hole| hole.name))
        .collect()
}

/// An example of each event's messages is tried on the events before it.
fn shadows(file: &File) -> Vec<Problem> {
    let compiled = |way: &ReceiveFile| Template::compile(&way.when).ok();
    let mut problems = Vec::new();
    for (index, way) in ways(file).enumerate() {
        let Some(example) = compiled(way).and_then(|when| example(&when)) else { continue };
        let takes = |earlier: &&ReceiveFile| {
            compiled(earlier).is_some_and(|earlier| earlier.matched(&example).is_some())
        };
        if let Some(earlier) = ways(file).take(index).find(takes) {
            let line = earlier.event.place.line;
            let message = format!(
                "this `{}` never comes: line {line} (`{}`) takes all its messages",
                way.event.value, earlier.event.value
            );
            let help = "the first match counts; put the more special one first";
            problems.push(Problem::new(message).at(way.event.place).help(help));
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
    template.fill(&vars, &Definitions::new()).ok()
}
