//! What is wrong with a suite as a whole: requirements without cases, cases without requirements,
//! names that name nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::baseline;
use super::fit::{is_need, plan};
use super::profile::Profile;
use super::requirement::{self, Level, Requirement};
use super::suite::{COMMON, Case, Set, Suite};
use crate::dialect::Dialect;
use crate::plan::{Options, Place, Source};
use crate::scenario::files::Kind;
use crate::scenario::problem::{Problem, Problems};

/// Reads a file of a suite by itself.
pub fn file(kind: Kind, source: &Source) -> Result<(), Problems> {
    let stem = Path::new(&source.name).file_stem().and_then(|stem| stem.to_str());
    match kind {
        Kind::Profile => Profile::read(source).map(drop),
        Kind::Requirements => requirement::read(stem.unwrap_or(""), source).map(drop),
        Kind::Untestable => requirement::read_untestable(source).map(drop),
        Kind::Baseline => baseline::read(source, None).map(drop),
        Kind::Scenario | Kind::Dialect | Kind::Mutants => Ok(()),
    }
}

/// Everything that is wrong with the suite's own files taken together.
pub fn lint(suite: &Suite) -> Vec<Problems> {
    let mut found: BTreeMap<String, (Source, Vec<Problem>)> = BTreeMap::new();
    let mut tell = |source: &Source, problem: Problem| {
        let entry = found.entry(source.name.clone());
        entry.or_insert_with(|| (source.clone(), Vec::new())).1.push(problem);
    };
    requirements(suite, &mut tell);
    let mut dialects = Dialects { suite, known: BTreeMap::new() };
    for case in suite.cases.iter().filter(|case| case.own) {
        one_case(suite, case, &mut dialects, &mut tell);
    }
    for shelved in suite.profiles.iter().filter(|shelved| shelved.own) {
        for problem in profile(suite, &shelved.value) {
            tell(&shelved.source, problem);
        }
    }
    found.into_values().map(|(source, list)| Problems::new(source, list)).collect()
}

/// Requirements are there once, and every MUST has a case or a reason why it has none.
fn requirements(suite: &Suite, tell: &mut impl FnMut(&Source, Problem)) {
    let mut seen = BTreeSet::new();
    for Set { source, list, .. } in &suite.sets {
        for it in list.iter().filter(|it| !seen.insert(it.id.as_str())) {
            let problem = Problem::new(format!("there is another requirement `{}`", it.id));
            tell(source, problem.at(it.place));
        }
    }
    if !suite.untestable.iter().any(|(_, list)| list.incomplete) {
        for (source, requirement) in bare(suite) {
            let problem = Problem::new(format!("no case shows `{}`", requirement.id));
            let help = "write one, or say in untestable.yaml why none can show it";
            tell(source, problem.at(requirement.place).help(help));
        }
    }
    let shown = shown(suite);
    let known: Vec<&str> = suite.requirements().map(|it| it.id.as_str()).collect();
    for (source, list) in &suite.untestable {
        for (id, _) in &list.reasons {
            if !known.contains(&id.value.as_str()) {
                let problem = Problem::new(format!("no requirement is called `{}`", id.value));
                tell(source, problem.at(id.place).did_you_mean(id, known.iter().copied()));
            } else if shown.contains(id.value.as_str()) {
                let problem = Problem::new(format!("a case shows `{}`", id.value)).at(id.place);
                tell(source, problem.help("then it is testable: take it out"));
            }
        }
    }
}

/// The ids of the suite's own MUSTs that have neither a case nor a reason why they have none, where
/// the suite says that its cases are still being written.
pub fn unwritten(suite: &Suite) -> Vec<&str> {
    match suite.untestable.iter().any(|(_, list)| list.incomplete) {
        true => bare(suite).map(|(_, requirement)| requirement.id.as_str()).collect(),
        false => Vec::new(),
    }
}

fn shown(suite: &Suite) -> BTreeSet<&str> {
    suite.cases.iter().flat_map(|case| &case.requires).map(String::as_str).collect()
}

/// MUSTs without a case and without a reason.
fn bare(suite: &Suite) -> impl Iterator<Item = (&Source, &Requirement)> {
    let shown = shown(suite);
    let all = suite.sets.iter().filter(|set| set.own);
    let all = all.flat_map(|set| set.list.iter().map(|requirement| (&set.source, requirement)));
    all.filter(move |(_, it)| {
        let id = it.id.as_str();
        it.level == Level::Must && !shown.contains(id) && suite.untestable(id).is_none()
    })
}

/// Dialects by their names, read once.
struct Dialects<'s> {
    suite: &'s Suite,
    known: BTreeMap<String, Option<Dialect>>,
}

impl Dialects<'_> {
    fn get(&mut self, name: &str) -> Option<&Dialect> {
        let suite = self.suite;
        let read = || {
            let source = suite.dialect(name)?;
            Dialect::parse(&source.name, &source.text).ok()
        };
        self.known.entry(name.to_owned()).or_insert_with(read).as_ref()
    }
}

fn one_case(
    suite: &Suite,
    case: &Case,
    dialects: &mut Dialects<'_>,
    tell: &mut impl FnMut(&Source, Problem),
) {
    let (source, file) = (case.source(), &case.scenario.file);
    if file.scenario.value != case.slug {
        let problem = Problem::new(format!("the file is called `{}`", case.slug));
        tell(source, problem.at(file.scenario.place).help("give both the same name"));
    }
    if case.home != COMMON && case.area.starts_with("common-") {
        let message = "an area that begins with `common-` is one of the common cases";
        tell(source, Problem::new(message).at(file.scenario.place));
    }
    if file.about.trim().is_empty() {
        tell(source, Problem::new("`about` is missing").at(file.scenario.place));
    }
    if file.requires.is_empty() {
        let problem = Problem::new("which requirement does the case show?");
        tell(source, problem.at(file.scenario.place).help("name it in `requires`"));
    }
    let fitting: Vec<_> = suite
        .requirements()
        .filter(|it| it.set == COMMON || it.set == case.home || case.home == COMMON)
        .map(|it| it.id.as_str())
        .collect();
    for id in file.requires.iter().filter(|id| !fitting.contains(&id.value.as_str())) {
        let problem = Problem::new(format!("no requirement is called `{}` here", id.value));
        tell(source, problem.at(id.place).did_you_mean(id, fitting.iter().copied()));
    }
    let homes = match case.home.as_str() {
        COMMON => suite.dialect_names(),
        home => vec![home.to_owned()],
    };
    for home in homes {
        let Some(dialect) = dialects.get(&home) else {
            let problem = Problem::new(format!("there is no dialect `{home}`"));
            tell(source, problem.at(file.scenario.place));
            continue;
        };
        let profile = suite.default_profile(&home);
        for (name, place) in file.options.iter().map(|(name, value)| (name, value.place)) {
            if case.home != COMMON && !profile.options.contains_key(&name.value) {
                let message = format!("the profile `{home}` does not say what `{}` is", name.value);
                tell(source, Problem::new(message).at(place));
            }
        }
        let shaped = profile.shape(dialect.clone());
        for refusal in [false, true].into_iter().filter(|refusal| case.refusal || !refusal) {
            let options = Options { refusal, ..Options::default() };
            if let Err(problems) = plan(&case.scenario, &profile, &shaped, options) {
                problems.list.into_iter().for_each(|problem| tell(source, problem));
            }
        }
    }
}

/// Everything that a profile names must mean something.
fn profile(suite: &Suite, profile: &Profile) -> Vec<Problem> {
    let mut problems = Vec::new();
    let incomplete = suite.untestable.iter().any(|(_, list)| list.incomplete);
    if suite.dialect(&profile.dialect).is_none() && !incomplete {
        problems.push(Problem::new(format!("there is no dialect `{}`", profile.dialect)));
    }
    let asked: Vec<&str> = suite
        .requirements()
        .filter(|it| it.set == COMMON || it.set == profile.dialect)
        .map(|it| it.id.as_str())
        .collect();
    for lack in &profile.lacks {
        if !is_need(&lack.pattern) && !asked.iter().any(|id| lack.pattern.matches(id)) {
            problems.push(no_requirement(lack.place, &lack.pattern.to_string(), &asked));
        }
    }
    let known = options_of(suite, &profile.dialect);
    let unknown = |name: &&String| !known.contains(name.as_str()) && !incomplete;
    for name in profile.options.keys().filter(unknown) {
        let problem = Problem::new(format!("no requirement and no case asks for `{name}`"));
        problems.push(problem.did_you_mean(name, known.iter().copied()));
    }
    problems
}

fn no_requirement(place: Place, word: &str, known: &[&str]) -> Problem {
    let problem = Problem::new(format!("no requirement is called `{word}`")).at(place);
    problem.did_you_mean(word, known.iter().copied())
}

/// The options that something in the suite asks servers of a dialect for: as a condition, or as a
/// variable that an option fills.
fn options_of<'s>(suite: &'s Suite, dialect: &str) -> BTreeSet<&'s str> {
    let requirements = suite.requirements().filter(|it| it.set == COMMON || it.set == dialect);
    let cases = || suite.cases.iter().filter(|it| it.home == COMMON || it.home == dialect);
    let of_requirements = requirements.flat_map(|it| it.option.0.keys());
    let of_cases = cases().flat_map(|case| case.options.0.keys());
    let vars = cases().flat_map(|case| case.scenario.file.vars.keys());
    of_requirements.chain(of_cases).map(String::as_str).chain(vars).collect()
}
