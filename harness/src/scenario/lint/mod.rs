//! Finds what is wrong with a scenario that could be read: everything that needs no dialect.

mod names;
mod network;
mod step;
mod wire;

use std::collections::BTreeSet;

use super::marked::{At, Keyed, Tried};
use super::metrics::{self, METRICS, STATS};
use super::model::{File, Group};
use super::problem::Problem;
use super::units::Limit;
use crate::check::{CLASSES, Class};
use crate::dialect::{EventKind, FEATURES, Verb};
use names::Names;

/// More clients than this in one scenario are a slip of the pen.
pub(crate) const CLIENTS_MAX: u32 = 1_000_000;

/// All that is wrong with a scenario, and the names in it that only a dialect gives values to; to
/// which names one does is said.
pub(crate) fn lint(
    text: &str,
    file: &File,
    given: &dyn Fn(&str) -> bool,
) -> (Vec<Problem>, BTreeSet<String>) {
    let names = Names::of(file);
    let (problems, borrowed) = (Vec::new(), BTreeSet::new());
    let mut linter = Linter { text, file, given, names, problems, borrowed, in_repeat: false };
    linter.head();
    linter.case();
    linter.vars("scenario", &file.vars, &[]);
    for (name, group) in file.clients.iter() {
        if let Tried(Some(group)) = group {
            linter.group(name, group);
        }
    }
    linter.steps(&file.steps, step::Around::default());
    linter.steps(&file.refusal, step::Around::default());
    for (name, stats) in file.thresholds.iter() {
        linter.threshold(name, stats);
    }
    (linter.problems, linter.borrowed)
}

struct Linter<'a> {
    text: &'a str,
    file: &'a File,
    /// Whether a dialect gives a value to a name.
    given: &'a dyn Fn(&str) -> bool,
    names: Names,
    problems: Vec<Problem>,
    borrowed: BTreeSet<String>,
    /// The step stands in a `repeat`: `$round` has a value.
    in_repeat: bool,
}

impl Linter<'_> {
    fn tell(&mut self, problem: Problem) {
        self.problems.push(problem);
    }

    fn head(&mut self) {
        let name = &self.file.scenario;
        if name.is_empty()
            || name.contains(|c: char| !c.is_ascii_alphanumeric() && !"-_.".contains(c))
        {
            let problem = Problem::new(format!("`{}` cannot be a scenario's name", **name));
            let help = "it names files, too: use letters, digits, `-`, `_` and `.`";
            self.tell(problem.at(name.place).help(help));
        }
        if self.file.clients.0.is_empty() {
            self.tell(Problem::new("the scenario has no clients").at(name.place));
        }
        if self.file.steps.is_empty() {
            self.tell(Problem::new("the scenario has no steps").at(name.place));
        }
        self.needs(&self.file.needs);
        self.class(self.file.class.as_ref());
    }

    fn class(&mut self, class: Option<&At<String>>) {
        let Some(class) = class.filter(|class| Class::named(class).is_none()) else { return };
        let problem = Problem::new(format!("no finding is of the class `{}`", **class));
        let known = CLASSES.iter().map(|(_, word, _)| *word);
        self.tell(problem.at(class.place).did_you_mean(class, known));
    }

    fn needs(&mut self, needs: &[At<String>]) {
        let known = || Verb::WORDS.iter().chain(FEATURES).chain(EventKind::WORDS).copied();
        for need in needs.iter().filter(|need| !known().any(|word| word == need.as_str())) {
            let problem =
                Problem::new(format!("nothing that a server can do is called `{}`", **need));
            self.tell(problem.at(need.place).did_you_mean(need, known()));
        }
    }

    fn group(&mut self, name: &At<String>, group: &At<Group>) {
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        if !name.starts_with(|c: char| c.is_ascii_alphabetic()) || !name.chars().all(plain) {
            let problem = Problem::new(format!("`{}` cannot be a group's name", **name));
            let help = "begin with a letter; go on with letters, digits, `-` and `_`";
            self.tell(problem.at(name.place).help(help));
        }
        if let Some(clients) = &group.clients {
            if **clients == 0 {
                let problem = Problem::new(format!("`{}` has zero clients", **name));
                self.tell(problem.at(clients.place).help("leave the group out, or give it one"));
            } else if **clients > CLIENTS_MAX {
                let problem = Problem::new("more than a million clients");
                self.tell(problem.at(clients.place).help("no single machine has that many ports"));
            }
        }
        if let Some(ramp) = group.ramp.as_ref().filter(|ramp| ramp.0 <= 0.0) {
            let problem = Problem::new("at this rate nobody ever starts");
            self.tell(problem.at(ramp.place));
        }
        let known: Vec<&str> = self.file.vars.keys().collect();
        self.vars(name, &group.vars, &known);
        if let Some(pattern) = &group.name {
            self.holes(&group.value_for_name(pattern), name, false);
        }
    }

    fn threshold(&mut self, name: &At<String>, stats: &Tried<Keyed<Tried<At<Limit>>>>) {
        let Some(metric) = metrics::named(name) else {
            let problem = Problem::new(format!("no metric is called `{}`", **name)).at(name.place);
            let known = METRICS.iter().map(|metric| metric.name);
            self.tell(problem.did_you_mean(name, known));
            return;
        };
        let Some(stats) = &stats.0 else { return };
        for (stat, limit) in stats.iter() {
            if !STATS.contains(&stat.as_str()) {
                let problem = Problem::new(format!("no value of a metric is called `{}`", **stat));
                let problem =
                    problem.at(stat.place).help(format!("there are {}", STATS.join(", ")));
                self.tell(problem.did_you_mean(stat, STATS.iter().copied()));
            } else if let Some(limit) = &limit.0
                && let Err(fit) = metric.limit(stat, limit.quantity)
            {
                let message =
                    format!("`{}` is no limit for {} of `{}`", limit.text, **stat, metric.name);
                self.tell(Problem::new(message).at(limit.place).help(format!("write {fit}")));
            }
        }
    }
}

impl At<Group> {
    /// The name's pattern as a value whose holes can be looked at.
    fn value_for_name(&self, pattern: &At<String>) -> At<serde_json::Value> {
        At { value: serde_json::Value::from(pattern.as_str()), place: pattern.place }
    }
}
