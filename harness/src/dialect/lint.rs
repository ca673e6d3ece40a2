//! Finds what is wrong with a dialect file, and (for `harness check`) what is doubtful.

mod doubts;

use std::collections::BTreeSet;

use serde_json::Value;

pub(crate) use self::doubts::doubts;
use super::file::{File, HttpFile, ReceiveFile, SendFile};
use super::http::ITSELF;
use super::template::{Template, USER};
use super::{EventKind, RECEIVED, SENT, Verb};
use crate::plan::Place;
use crate::scenario::marked::At;
use crate::scenario::problem::Problem;
use crate::scenario::template::holes_of;
use crate::scenario::tree;

/// What every client has beside what fills a request.
const EVERYBODYS: [&str; 4] = ["me", "index", "run", "room"];

/// The place of a word at or after another place, or that place when the word is not there.
pub(crate) fn locate(text: &str, from: Place, word: &str) -> Place {
    let found = text.get(from.offset..).and_then(|rest| rest.find(word));
    found.map_or(from, |offset| tree::at(text, from.offset + offset, word.len()))
}

/// What makes a dialect unusable.
pub(super) fn mistakes(text: &str, file: &File) -> Vec<Problem> {
    let mut linter = Linter { text, problems: Vec::new(), fillable: fillable(file) };
    linter.connect(file);
    for (name, way) in file.http.iter() {
        if let Some(way) = &way.0 {
            linter.request(name, way);
        }
    }
    for (verb, ways) in file.send.iter() {
        for way in ways.0.iter().flat_map(|ways| &ways.0) {
            linter.sending(file, verb, way);
        }
    }
    // A definition may be for what is filled last.
    let mut known = linter.fillable.clone();
    known.extend(ITSELF.iter().filter(|_| requests(file).next().is_some()).map(|it| (*it).into()));
    for (_, value) in file.define.iter() {
        linter.filled(value, &known);
    }
    for way in ways(file) {
        linter.receiving(file, way);
    }
    for kind in &file.snapshot {
        linter.told(file, kind);
    }
    linter.problems
}

/// The names that can fill a hole of a message to send.
fn fillable(file: &File) -> BTreeSet<String> {
    let remembered = ways(file).flat_map(|way| &way.remember).map(|name| name.value.clone());
    let taken = requests(file).flat_map(HttpFile::taken).flat_map(holes_in);
    let given = requests(file).flat_map(|way| &way.with).map(|name| name.value.clone());
    SENT.iter()
        .map(|(name, _)| *name)
        .chain(EVERYBODYS)
        .chain(file.params.keys())
        .chain(file.define.keys())
        .map(str::to_owned)
        .chain(remembered)
        .chain(taken)
        .chain(given)
        .collect()
}

fn ways(file: &File) -> impl Iterator<Item = &At<ReceiveFile>> {
    file.receive.iter().filter_map(|way| way.0.as_ref())
}

fn requests(file: &File) -> impl Iterator<Item = &HttpFile> {
    file.http.iter().filter_map(|(_, way)| way.0.as_ref()).map(|way| &way.value)
}

/// The holes of a template as it is written.
fn holes_in(value: &At<Value>) -> Vec<String> {
    let holes = Template::compile(value).map(|template| template.holes()).unwrap_or_default();
    holes.into_iter().map(|(name, _)| name).collect()
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
        // What a request is made of is not known yet when the connection is opened.
        let request: Vec<&str> = SENT.iter().map(|(name, _)| *name).collect();
        let mut known = self.fillable.clone();
        known.retain(|name| {
            EVERYBODYS.contains(&name.as_str()) || !request.contains(&name.as_str())
        });
        self.address(path, &known);
        for (_, value) in file.connect.headers.iter() {
            self.filled(value, &known);
        }
        for name in &file.connect.before {
            self.made(file, name);
        }
        // A WebSocket pong needs no words.
        if let Some(ready) = file.connect.ready.as_ref().filter(|it| it.value != EventKind::Pong) {
            self.told(file, ready);
        }
        for verb in &file.connect.introduce {
            self.sendable(file, verb);
        }
    }

    fn address(&mut self, path: &At<String>, known: &BTreeSet<String>) {
        for hole in holes_of(path) {
            if !known.contains(&hole.name) && !hole.name.starts_with(USER) {
                let place = locate(self.text, path.place, &format!("${}", hole.name));
                let problem = Problem::new(format!("nothing fills `${hole}`")).at(place);
                let known = known.iter().map(String::as_str);
                self.problems.push(problem.did_you_mean(&hole.name, known));
            }
        }
    }

    fn request(&mut self, name: &At<String>, way: &At<HttpFile>) {
        let methods: Vec<_> = way.methods().collect();
        match methods.as_slice() {
            [(_, to)] => {
                if !["/", "http://", "https://", "$"].iter().any(|start| to.starts_with(start)) {
                    let message = format!("`{}` is neither a path nor a URL", to.value);
                    let help =
                        "begin with `/`: it is asked of the target; or with http:// or https://";
                    self.problems.push(Problem::new(message).at(to.place).help(help));
                }
                self.address(to, &self.fillable.clone());
            }
            _ => {
                let message = format!("`{}` needs one of get, post, put, patch, delete", **name);
                self.problems.push(Problem::new(message).at(name.place));
            }
        }
        let bodies = [way.json.is_some(), way.form.is_some(), way.body.is_some()];
        if bodies.iter().filter(|it| **it).count() > 1 {
            let message = format!("`{}` has two bodies", **name);
            let help = "keep one of `json`, `form` and `body`";
            self.problems.push(Problem::new(message).at(name.place).help(help));
        }
        if let Some(status) = way.status.as_ref().filter(|it| !(100..600).contains(&it.value)) {
            let problem = Problem::new(format!("{} is no HTTP status", status.value));
            self.problems.push(problem.at(status.place));
        }
        for value in way.filled() {
            self.filled(value, &self.fillable.clone());
        }
        let mut known = self.fillable.clone();
        known.extend(ITSELF.iter().map(|name| (*name).to_owned()));
        for value in way.filled_last() {
            self.filled(value, &known);
        }
    }

    /// A request that is named is there.
    fn made(&mut self, file: &File, name: &At<String>) {
        if file.http.get(name).is_none() {
            let problem = Problem::new(format!("`http` has no request `{}`", **name));
            self.problems.push(problem.at(name.place).did_you_mean(name, file.http.keys()));
        }
    }

    fn sending(&mut self, file: &File, verb: &At<String>, way: &SendFile) {
        let mut known = self.fillable.clone();
        if let Some(given) = &way.given {
            known.extend(holes_in(given));
        }
        for frame in way.frames() {
            self.filled(frame, &known);
        }
        for name in way.before.iter().chain(&way.http) {
            self.made(file, name);
        }
        // Entering a room that is in the path is done by connecting.
        let by_path = holes_of(&file.connect.path).any(|hole| hole.name == "room");
        let by_path = by_path && ["join", "leave"].contains(&verb.as_str());
        let said = way.frames().count() + usize::from(way.http.is_some());
        if said > 1 || (said == 0 && !by_path) {
            let problem = Problem::new("one of `frame`, `frames` and `http` is wanted");
            self.problems.push(problem.at(verb.place));
        }
        if let Some(ack) = &way.ack {
            self.told(file, ack);
        }
    }

    fn filled(&mut self, value: &At<Value>, known: &BTreeSet<String>) {
        // An item's holes are what its `as` finds in the value; without one it may have anything.
        let inside = item_holes(value, &|item| item.get("as").or_else(|| item.get("of")));
        for name in holes_in(value) {
            if known.contains(&name) || inside.contains(&name) || name.starts_with(USER) {
                continue;
            }
            let place = locate(self.text, value.place, &format!("${name}"));
            let problem = Problem::new(format!("nothing fills `${name}`")).at(place);
            let known = known.iter().map(String::as_str);
            self.problems.push(problem.did_you_mean(&name, known));
        }
    }

    fn receiving(&mut self, file: &File, way: &At<ReceiveFile>) {
        self.shape(way);
        let mut bound: BTreeSet<String> = way.templates().flat_map(holes_in).collect();
        // What items of a list are made of before they get their shape is nobody's field.
        let shaped = |value: &At<Value>| {
            item_holes(value, &|item| item.get("as").and_then(|_| item.get("of")))
        };
        let inside: BTreeSet<String> = way.templates().flat_map(shaped).collect();
        // A parameter has its value, and `$_` binds nothing.
        bound.retain(|name| {
            name != "_" && !inside.contains(name) && file.params.get(name).is_none()
        });
        way.templates().for_each(|template| self.shaped(template));
        let known = || RECEIVED.iter().map(|(name, _)| *name);
        let from = way.templates().next().map_or(way.place, |template| template.place);
        let mut given: BTreeSet<String> = self.fillable.clone();
        given.extend(bound.iter().cloned());
        for (_, value) in way.with.iter() {
            self.filled(value, &given);
        }
        let with: BTreeSet<String> =
            way.with.iter().flat_map(|(_, value)| holes_in(value)).collect();
        for name in bound.iter().map(String::as_str).chain(way.with.keys()) {
            let remembered = way.remember.iter().any(|kept| kept.as_str() == name);
            let used = remembered || with.contains(name);
            if !used && !known().any(|known| known == name) {
                let key = way.with.iter().find(|(key, _)| key.as_str() == name);
                let written = || locate(self.text, from, &format!("${name}"));
                let place = key.map_or_else(written, |(key, _)| key.place);
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
        for verb in way.reply.iter().chain(&way.refuses) {
            self.sendable(file, verb);
        }
        for kind in way.events().chain(&way.own) {
            if kind.value == EventKind::Closed {
                let message = "`closed` is the end of a connection, never a message";
                self.problems.push(Problem::new(message).at(kind.place));
            }
        }
    }

    /// What an item's `as` wants is in its `of`: else no item is ever like it.
    fn shaped(&mut self, template: &At<Value>) {
        for (of, shape) in
            forms(template).into_iter().filter_map(|it| it.get("of").zip(it.get("as")))
        {
            let holes = |value: &Value| Template::compile(value).map(|it| it.holes());
            let (Ok(bound), Ok(wanted)) = (holes(of), holes(shape)) else { continue };
            let bound = || bound.iter().map(|(name, _)| name.as_str());
            for (name, optional) in wanted {
                if !optional && !bound().any(|it| it == name) {
                    let place = locate(self.text, template.place, &format!("${name}"));
                    let problem = Problem::new(format!("nothing in `of` gives `${name}` a value"));
                    self.problems.push(problem.at(place).did_you_mean(&name, bound()));
                }
            }
        }
    }

    fn shape(&mut self, way: &At<ReceiveFile>) {
        let place = way.templates().next().map_or(way.place, |template| template.place);
        let mut tell = |message: &str| self.problems.push(Problem::new(message).at(place));
        if way.events().next().is_none() {
            tell("which event is this? `event`, or `events` for several in one frame");
        }
        match (&way.when, way.frames.len()) {
            (Some(_), 0) => {}
            (None, 2..) => {}
            (None, 0) => tell("what is it like? `when`, or `frames` for several frames together"),
            (None, 1) => tell("one frame is a `when`; `frames` are several that are one event"),
            (Some(_), _) => tell("`when` for one frame, or `frames` for several; not both"),
        }
        if let Some(refuses) = way
            .refuses
            .as_ref()
            .filter(|_| !way.events().any(|kind| kind.value == EventKind::Error))
        {
            let problem = Problem::new("only an `error` refuses something");
            self.problems.push(problem.at(refuses.place));
        }
    }

    fn told(&mut self, file: &File, kind: &At<EventKind>) {
        let is =
            |way: &At<ReceiveFile>| way.events().chain(&way.own).any(|it| it.value == kind.value);
        if !ways(file).any(is) {
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

/// The holes of what is looked at in each form of a list's items.
fn item_holes(value: &Value, look: &dyn Fn(&Value) -> Option<&Value>) -> BTreeSet<String> {
    let looked =
        forms(value).into_iter().filter_map(look).filter_map(|it| Template::compile(it).ok());
    looked.flat_map(|template| template.holes()).map(|(name, _)| name).collect()
}

/// The forms that items of lists have.
fn forms(value: &Value) -> Vec<&Value> {
    match value {
        Value::Object(entries) if entries.contains_key("$list") => {
            let any = entries.get("any").and_then(Value::as_array).into_iter().flatten();
            any.chain([value]).collect()
        }
        Value::Object(entries) => entries.values().flat_map(forms).collect(),
        Value::Array(list) => list.iter().flat_map(forms).collect(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use crate::dialect::Dialect;

    #[test]
    fn a_misspelt_hole_of_an_item_is_shown_in_both_directions() {
        let text = "\
dialect: odd
connect: { path: /ws }
send:
  store:
    frames: { $list: ops, of: { k: $key, v: $valeu }, as: { put: { key: $key, value: $value } } }
receive:
  - event: stored
    when: { ops: { $list: ops, of: { k: $key, v: $value }, as: { put: { key: $kye, value: $value } } } }
  - event: entered
    when: { all: { $list: members, any: [{ of: { id: $member }, as: { member: $member, who?: $who } }] } }
";
        let expected = "\
odd:5:45: nothing fills `$valeu`
odd:8:78: nothing in `of` gives `$kye` a value (did you mean `key`?)
";
        assert_eq!(Dialect::parse("odd", text).unwrap_err().lines(), expected);
    }
}
