//! What is wrong with the catalogue as a whole: names that name nothing, rows without cases, ids that
//! are there twice.

use std::collections::{BTreeMap, BTreeSet};

use super::catalogue::{Catalogue, Cell, Entry};
use super::shelf::{Absent, Shelf};
use crate::check::{CLASSES, STEPS, TABLE};
use crate::conform::suite::Suite;
use crate::plan::Source;
use crate::scenario::problem::{Problem, Problems, nearest};

/// Everything that is wrong with a catalogue for this suite.
pub fn lint(catalogue: &Catalogue, suite: &Suite) -> Vec<Problems> {
    let mut found: BTreeMap<String, (Source, Vec<Problem>)> = BTreeMap::new();
    let mut tell = |entry: &Entry, problem: Problem| {
        let list = found.entry(entry.source.name.clone());
        list.or_insert_with(|| (entry.source.clone(), Vec::new())).1.push(problem);
    };
    let shelf = match Shelf::new(suite, &suite.dialect_names()) {
        Ok(shelf) => shelf,
        Err(problems) => return vec![problems],
    };
    let mut ids = BTreeSet::new();
    for entry in &catalogue.entries {
        if !ids.insert(entry.id.as_str()) {
            let problem = Problem::new(format!("there is another mutant `{}`", entry.id));
            tell(entry, problem.at(entry.place));
        }
        one_entry(entry, (suite, &shelf), &mut |problem| tell(entry, problem));
    }
    found.into_values().map(|(source, list)| Problems::new(source, list)).collect()
}

fn one_entry(entry: &Entry, (suite, shelf): (&Suite, &Shelf<'_>), tell: &mut impl FnMut(Problem)) {
    let dialects = suite.dialect_names();
    let everywhere = dialects.iter().all(|name| entry.cells.iter().any(|it| it.dialect == *name));
    if !everywhere && entry.elsewhere.is_empty() {
        let problem = Problem::new(format!("`{}` has not a row for each dialect", entry.id));
        tell(
            problem.at(entry.place).help("say in `elsewhere` why it makes no sense in the others"),
        );
    }
    let mut used: BTreeSet<&str> = BTreeSet::new();
    for cell in &entry.cells {
        if !dialects.contains(&cell.dialect) {
            let problem = Problem::new(format!("there is no dialect `{}`", cell.dialect));
            let known = dialects.iter().map(String::as_str);
            tell(problem.at(cell.place).did_you_mean(&cell.dialect, known));
            continue;
        }
        expected(cell, tell);
        cases(cell, shelf, &mut used, tell);
    }
    let shared = entry.cells.iter().filter(|cell| cell.shared && cell.left_out.is_none());
    let shared: BTreeSet<&str> = shared.flat_map(|it| &it.cases).map(String::as_str).collect();
    for name in shared.into_iter().filter(|name| !used.contains(name)) {
        let dialects = entry.cells.iter().map(|cell| cell.dialect.as_str());
        let known: Vec<String> = dialects.flat_map(|dialect| shelf.names(dialect)).collect();
        tell(no_case(name, &known).at(entry.place));
    }
}

/// What must be found is something that can be.
fn expected(cell: &Cell, tell: &mut impl FnMut(Problem)) {
    let class = cell.expected.class.as_str();
    if !CLASSES.iter().any(|(_, word, _)| *word == class) {
        let problem = match class {
            "" => Problem::new(format!("what must be found in `{}`?", cell.dialect)),
            class => Problem::new(format!("no class is called `{class}`")),
        };
        let known = CLASSES.iter().map(|(_, word, _)| *word);
        tell(problem.at(cell.place).did_you_mean(class, known));
    }
    let Some(check) = &cell.expected.check else { return };
    let rule = TABLE.iter().find(|rule| rule.name == check);
    if rule.is_none() && check != STEPS {
        let problem = Problem::new(format!("no check is called `{check}`")).at(cell.place);
        tell(problem.did_you_mean(check, TABLE.iter().map(|rule| rule.name)));
    }
    if rule.is_some_and(|rule| !rule.classes.iter().any(|known| known.as_str() == class)) {
        tell(Problem::new(format!("`{check}` raises no `{class}`")).at(cell.place));
    }
}

/// A row has cases that are there.
fn cases<'c>(
    cell: &'c Cell,
    shelf: &Shelf<'_>,
    used: &mut BTreeSet<&'c str>,
    tell: &mut impl FnMut(Problem),
) {
    if cell.left_out.is_some() {
        return;
    }
    let mut there = 0;
    for name in &cell.cases {
        match shelf.find(&cell.dialect, name) {
            Ok(_) => {
                there += 1;
                used.insert(name.as_str());
            }
            Err(_) if cell.shared => {}
            Err(Absent::Unknown) => {
                let known = shelf.names(&cell.dialect);
                tell(no_case(name, &known).at(cell.place));
            }
            Err(Absent::Unfit(why)) => {
                let problem = Problem::new(format!("`{name}` is not for `{}`", cell.dialect));
                tell(problem.at(cell.place).help(why));
            }
        }
    }
    if there == 0 {
        let problem = Problem::new(format!("no case should find it in `{}`", cell.dialect));
        tell(problem.at(cell.place).help("name one in `cases`, or say in `left_out` why not"));
    }
}

fn no_case(name: &str, known: &[String]) -> Problem {
    let problem = Problem::new(format!("no case is called `{name}`"));
    match nearest(name, known.iter().map(String::as_str)) {
        Some(near) => problem.help(format!("did you mean `{near}`?")),
        None => problem
            .help("cases are named as `harness conform --list` has them, without the dialect"),
    }
}
