//! Which names a scenario's holes can have, and where each is known.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::Linter;
use crate::dialect::{RECEIVED, pattern};
use crate::scenario::expectations::Save;
use crate::scenario::marked::{At, Keyed, Tried};
use crate::scenario::model::File;
use crate::scenario::problem::Problem;
use crate::scenario::steps::{Step, Steps};
use crate::scenario::template::{Hole, Piece, holes, pieces};

/// Names that every client has.
pub(crate) const BUILT_IN: &[&str] = &["me", "index", "run"];

/// What a line of the users' file is called.
const USER: &str = "user";

/// What can be meant by a name.
#[derive(Debug, Default)]
pub(super) struct Names {
    /// The variables of each group, its own and the scenario's.
    set: BTreeMap<String, BTreeSet<String>>,
    /// What each group keeps of answers.
    saved: BTreeMap<String, BTreeSet<String>>,
}

impl Names {
    pub(super) fn of(file: &File) -> Self {
        let mut names = Self::default();
        for (group, settings) in file.clients.iter() {
            let mut set: BTreeSet<String> = file.vars.keys().map(str::to_owned).collect();
            if let Tried(Some(settings)) = settings {
                set.extend(settings.vars.keys().map(str::to_owned));
            }
            set.extend(BUILT_IN.iter().map(|name| (*name).to_owned()));
            set.extend(file.users.iter().map(|_| USER.to_owned()));
            names.set.insert(group.value.clone(), set);
        }
        names.saves(&file.steps, None);
        names.saves(&file.refusal, None);
        names
    }

    fn saves(&mut self, steps: &Steps, around: Option<&str>) {
        for step in steps.iter().filter_map(|step| step.0.as_ref()) {
            let who = step.who.as_ref().map(|who| who.as_str()).or(around);
            if let (Some(who), Some(save)) = (who, save_of(step)) {
                let kept = self.saved.entry(who.to_owned()).or_default();
                kept.extend(save.0.iter().map(|(variable, _)| variable.value.clone()));
            }
            if let Some(who) = who {
                let kept = self.saved.entry(who.to_owned()).or_default();
                kept.extend(patterns_of(step).flat_map(pattern::captures));
            }
            for inner in step.inner() {
                self.saves(inner, who);
            }
        }
    }

    pub(super) fn known(&self, who: &str) -> BTreeSet<String> {
        let of = |names: &BTreeMap<String, BTreeSet<String>>| names.get(who).cloned();
        let mut known = of(&self.set).unwrap_or_default();
        known.extend(of(&self.saved).unwrap_or_default());
        known
    }
}

fn save_of(step: &Step) -> Option<&At<Save>> {
    let create = step.create.as_ref().and_then(|create| create.save.as_ref());
    let join = step.join.as_ref().and_then(|join| join.0.save.as_ref());
    let expect = step.expect.as_ref().and_then(|expect| expect.save.as_ref());
    create.or(join).or(expect)
}

/// The patterns of a step whose holes are given values.
fn patterns_of(step: &Step) -> impl Iterator<Item = &Value> {
    let frames = step.expect.iter().flat_map(|expect| expect.frames());
    let answer = step.answer.iter().flat_map(|answer| {
        let headers = answer.headers.iter().map(|(_, pattern)| pattern);
        headers.chain(&answer.json).chain(&answer.body)
    });
    frames.chain(answer).map(|pattern| &pattern.value)
}

impl Linter<'_> {
    /// Variables may use those around them, each other, and what every client has.
    pub(super) fn vars(&mut self, owner: &str, vars: &Keyed<At<Value>>, around: &[&str]) {
        for (name, value) in vars.iter() {
            let user = self.file.users.as_ref().filter(|_| name.as_str() == USER);
            let taken = BUILT_IN.contains(&name.as_str()) || user.is_some();
            if taken || ["n", "round"].contains(&name.as_str()) {
                let problem = Problem::new(format!("`{}` is a name that every client has", **name));
                self.tell(problem.at(name.place).help("give the variable another name"));
            }
            for hole in holes(value) {
                let place = self.locate(value.place, &hole);
                let user = self.file.users.as_ref().map(|_| USER);
                let known = || {
                    let around = around.iter().copied().chain(user);
                    BUILT_IN.iter().copied().chain(around).chain(vars.keys())
                };
                let first = hole.name.split('.').next().unwrap_or("");
                let wanted = hole.argument.as_deref().unwrap_or(first);
                if self.file.clients.get(first).is_some() {
                    let message = format!("`${hole}` is known only while the scenario runs");
                    let problem = Problem::new(message).at(place);
                    self.tell(problem.help("use it in the step itself"));
                } else if let Some((first, part)) = hole.name.split_once('.')
                    && BUILT_IN.contains(&first)
                {
                    self.no_part(place, first, part);
                } else if !known().any(|name| name == wanted) && !self.borrows(wanted) {
                    let problem =
                        Problem::new(format!("no variable is called `{wanted}`")).at(place);
                    self.tell(problem.did_you_mean(wanted, known()));
                }
            }
        }
        self.circles(owner, vars);
    }

    /// Variables that need themselves.
    fn circles(&mut self, _owner: &str, vars: &Keyed<At<Value>>) {
        for (name, value) in vars.iter() {
            let mut seen = BTreeSet::new();
            let mut next: Vec<String> = holes(value).into_iter().map(|hole| hole.name).collect();
            while let Some(used) = next.pop() {
                if used == name.value {
                    let problem = Problem::new(format!("`{}` needs itself", **name));
                    self.tell(problem.at(name.place));
                    break;
                }
                if let Some(value) = vars.get(&used).filter(|_| seen.insert(used)) {
                    next.extend(holes(value).into_iter().map(|hole| hole.name));
                }
            }
        }
    }

    /// The holes of a value that a group's clients fill.
    pub(super) fn holes(&mut self, value: &At<Value>, who: &str, in_stream: bool) {
        let known = self.names.known(who);
        for hole in holes(value) {
            let place = self.locate(value.place, &hole);
            let mut parts = hole.name.splitn(2, '.');
            let first = parts.next().unwrap_or("");
            match (parts.next(), self.file.clients.get(first)) {
                (Some(field), Some(_)) => self.saved(place, first, field),
                (Some(part), None) if self.is_plain(first, who) => {
                    self.no_part(place, first, part);
                }
                (Some(_), None) if !known.contains(first) && !self.borrows(first) => {
                    let problem = Problem::new(format!("no client is called `{first}`")).at(place);
                    let groups = self.file.clients.keys();
                    let problem = problem.did_you_mean(first, groups);
                    self.tell(problem);
                }
                _ => self.variable(place, &hole, first, &known, in_stream),
            }
        }
    }

    /// Whether a name has its value from the dialect; that is noted.
    fn borrows(&mut self, name: &str) -> bool {
        let given = (self.given)(name);
        if given {
            self.borrowed.insert(name.to_owned());
        }
        given
    }

    /// Whether a name's value is known to be a text, a number or a truth: there is nothing inside.
    fn is_plain(&self, name: &str, who: &str) -> bool {
        let group = self.file.clients.get(who).and_then(|group| group.0.as_ref());
        let set = group.and_then(|group| group.vars.get(name));
        let plain = |value: &At<Value>| match &value.value {
            Value::String(text) => !matches!(pieces(text).as_slice(), [Piece::Hole(_)]),
            value => !value.is_object() && !value.is_array(),
        };
        // What a step keeps under that name can be anything.
        let kept = self.names.saved.get(who).is_some_and(|saved| saved.contains(name));
        let counted = BUILT_IN.contains(&name) || ["n", "round"].contains(&name);
        counted || (!kept && set.or_else(|| self.file.vars.get(name)).is_some_and(plain))
    }

    /// `src/$run.ts`: a dot behind a name takes something inside its value.
    fn no_part(&mut self, place: crate::plan::Place, name: &str, part: &str) {
        let problem = Problem::new(format!("`${name}` is no mapping: it has no `{part}` inside"));
        let help = format!(
            "a dot behind a name takes a part of its value; for a dot itself use a variable: \
             `vars: {{ end: .{part} }}`, `${name}$end`"
        );
        self.tell(problem.at(place).help(help));
    }

    /// A value that another group's client has kept.
    fn saved(&mut self, place: crate::plan::Place, group: &str, field: &str) {
        let saved = self.names.saved.get(group).cloned().unwrap_or_default();
        if !saved.contains(field) {
            let problem = Problem::new(format!("no step of `{group}` saves `{field}`")).at(place);
            let problem =
                problem.help(format!("e.g. `as: {group}`, `create: {{ save: {field} }}`"));
            self.tell(problem.did_you_mean(field, saved.iter().map(String::as_str)));
        }
    }

    fn variable(
        &mut self,
        place: crate::plan::Place,
        hole: &Hole,
        first: &str,
        known: &BTreeSet<String>,
        in_stream: bool,
    ) {
        let wanted = hole.argument.as_deref().unwrap_or(first);
        let counted = (in_stream && wanted == "n") || (self.in_repeat && wanted == "round");
        if known.contains(wanted) || counted || self.borrows(wanted) {
            return;
        }
        let problem = Problem::new(match wanted {
            "n" => "`$n` counts the actions of an `every`; there is none here".to_owned(),
            "round" => "`$round` counts the rounds of a `repeat`; there is none here".to_owned(),
            "heartbeat" => "`$heartbeat` is for times: `within`, `wait`, `not_before`".to_owned(),
            "shard" => "`$shard` wants the name of a number: `$shard(rooms)`".to_owned(),
            _ => format!("no variable is called `{wanted}`"),
        });
        let known = known.iter().map(String::as_str);
        self.tell(problem.at(place).did_you_mean(wanted, known));
    }

    /// The place of a hole, at or after the place of the value that it stands in.
    fn locate(&self, from: crate::plan::Place, hole: &Hole) -> crate::plan::Place {
        crate::dialect::locate(self.text, from, &format!("${hole}"))
    }

    /// What is kept of an answer or event is one of its fields.
    pub(super) fn save(&mut self, save: &At<Save>) {
        for (_, field) in &save.0 {
            let known = || RECEIVED.iter().map(|(name, _)| *name);
            if !known().any(|name| name == field.as_str()) {
                let place = if field.place.line == 0 { save.place } else { field.place };
                let problem = Problem::new(format!("no event has a field `{}`", **field));
                self.tell(problem.at(place).did_you_mean(field, known()));
            }
        }
    }
}
