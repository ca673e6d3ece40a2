//! The catalogue: requirements, cases and profiles, read from one tree of files.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::profile::Profile;
use super::requirement::{self, Condition, Level, Requirement, Untestable};
use crate::dialect::Dialect;
use crate::plan::Source;
use crate::scenario::problem::{Problem, Problems};
use crate::scenario::{Scenario, files};

/// The directory, and the set of requirements, of what every server must do.
pub const COMMON: &str = "common";

/// The case that asks whether the target is there at all.
const SANITY: &str = "sanity";

/// A file of a suite's tree.
#[derive(Clone, Debug)]
pub struct SuiteFile {
    /// Its path below the tree's root, with `/`.
    pub path: String,
    /// The file.
    pub source: Source,
    /// It is the tree's own, not lent from those that come with the program.
    pub own: bool,
}

/// Everything that servers can be judged by.
#[derive(Debug, Default)]
pub struct Suite {
    pub(super) sets: Vec<Set>,
    pub(super) untestable: Vec<(Source, Untestable)>,
    pub(super) profiles: Vec<Shelved<Profile>>,
    /// The cases, in the order of their paths.
    pub cases: Vec<Case>,
    dialects: Vec<(String, Source)>,
    sanity: Vec<(String, Scenario)>,
    /// The names that each dialect gives values to.
    given: BTreeMap<String, BTreeSet<String>>,
}

/// A file's requirements.
#[derive(Debug)]
pub(super) struct Set {
    pub(super) source: Source,
    pub(super) own: bool,
    pub(super) list: Vec<Requirement>,
}

/// What a file holds, and the file.
#[derive(Debug)]
pub(super) struct Shelved<T> {
    pub(super) source: Source,
    pub(super) own: bool,
    pub(super) value: T,
}

/// One case.
#[derive(Debug)]
pub struct Case {
    /// The dialect that it is for, or [`COMMON`].
    pub home: String,
    /// What it is about: the directory.
    pub area: String,
    /// Its name within that: the file.
    pub slug: String,
    /// The steps.
    pub scenario: Scenario,
    /// It has other steps for where the server says that it lacks this.
    pub refusal: bool,
    /// The requirements that it shows.
    pub requires: Vec<String>,
    /// The options that it is for.
    pub options: Condition,
    /// Nothing runs beside it.
    pub alone: bool,
    /// It needs a server that nobody else uses.
    pub own_server: bool,
    /// It says how a server of ours is set up for it; a target is taken as it is.
    pub set_up: bool,
    pub(super) own: bool,
}

impl Case {
    /// What it is called on a dialect.
    pub fn id(&self, dialect: &str) -> String {
        let common = if self.home == COMMON { "common-" } else { "" };
        format!("{dialect}/{common}{}/{}", self.area, self.slug)
    }

    /// The file it stands in.
    pub fn source(&self) -> &Source {
        &self.scenario.source
    }
}

/// The files of the suite in a directory, or of the one that comes with the program. What a directory
/// has nothing of is lent to it: the cases that every server must pass with their requirements, and
/// dialects and profiles.
pub fn files_of(directory: Option<&Path>) -> Result<Vec<SuiteFile>, Problems> {
    let shipped = files::shipped_tree().into_iter();
    let Some(directory) = directory else {
        return Ok(shipped.map(|(path, source)| SuiteFile { path, source, own: true }).collect());
    };
    let own = files::tree(directory)?;
    let has = |start: &str| own.iter().any(|(path, _)| path.starts_with(start));
    if !has("conformance/") {
        let name = directory.display().to_string();
        let problem = Problem::new("there are no cases: no .yaml file below `conformance/`");
        return Err(Problems::unread(&name, problem));
    }
    let lent: Vec<(String, Source)> = shipped
        .filter(|(path, _)| match path.split_once('/') {
            Some(("conformance", rest)) => {
                rest.starts_with("common/") && !has("conformance/common/")
            }
            Some(("requirements", "common.yaml")) => !has("requirements/common.yaml"),
            Some(("dialects" | "profiles", _)) => !has(path),
            _ => false,
        })
        .collect();
    let own = own.into_iter().map(|(path, source)| SuiteFile { path, source, own: true });
    let lent = lent.into_iter().map(|(path, source)| SuiteFile { path, source, own: false });
    Ok(own.chain(lent).collect())
}

impl Suite {
    /// Reads a tree, and everything that is wrong with its files taken one by one.
    pub fn read(files: Vec<SuiteFile>) -> (Self, Vec<Problems>) {
        let given = files.iter().filter_map(given);
        let given = given.collect();
        let mut suite = Self { given, ..Self::default() };
        let mut wrong = Vec::new();
        for file in files {
            let path = file.path.clone();
            let parts: Vec<&str> = path.split('/').collect();
            if let Err(problems) = suite.take(file, &parts) {
                wrong.push(problems);
            }
        }
        suite.cases.sort_by(|a, b| a.source().name.cmp(&b.source().name));
        (suite, wrong)
    }

    fn take(&mut self, file: SuiteFile, parts: &[&str]) -> Result<(), Problems> {
        let SuiteFile { source, own, .. } = file;
        let stem = |name: &str| name.rsplit_once('.').map_or(name, |(stem, _)| stem).to_owned();
        match parts {
            ["requirements", "untestable.yaml"] => {
                let list = requirement::read_untestable(&source)?;
                self.untestable.push((source, list));
            }
            ["requirements", name] => {
                let list = requirement::read(&stem(name), &source)?;
                self.sets.push(Set { source, own, list });
            }
            ["profiles", _] => {
                let value = Profile::read(&source)?;
                self.profiles.push(Shelved { source, own, value });
            }
            ["dialects", name] => self.dialects.push((stem(name), source)),
            ["conformance", home, name] if stem(name) == SANITY => {
                let scenario = self.scenario(home, source)?;
                self.sanity.push(((*home).to_owned(), scenario));
            }
            ["conformance", home, area, name] => {
                let place = ((*home).to_owned(), (*area).to_owned(), stem(name));
                let scenario = self.scenario(home, source)?;
                self.cases.push(case(place, scenario, own));
            }
            ["conformance", ..] => {
                let problem = Problem::new("a case lies in conformance/DIALECT/AREA/NAME.yaml");
                return Err(Problems::new(source, vec![problem]));
            }
            _ => {}
        }
        Ok(())
    }

    /// A case that lies at this dialect; a common one is for all.
    fn scenario(&self, home: &str, source: Source) -> Result<Scenario, Problems> {
        let fits = |(name, _): &(&String, &BTreeSet<String>)| *name == home || home == COMMON;
        let given = self.given.iter().filter(fits).flat_map(|(_, names)| names.iter().cloned());
        Scenario::parse_with(source, &given.collect())
    }

    /// All requirements.
    pub fn requirements(&self) -> impl Iterator<Item = &Requirement> {
        self.sets.iter().flat_map(|set| &set.list)
    }

    /// A requirement by its id.
    pub fn requirement(&self, id: &str) -> Option<&Requirement> {
        self.requirements().find(|requirement| requirement.id == id)
    }

    /// Why no case can show a requirement, if that is said.
    pub fn untestable(&self, id: &str) -> Option<&str> {
        let mut all = self.untestable.iter().flat_map(|(_, list)| &list.reasons);
        all.find(|(known, _)| known.value == id).map(|(_, reason)| reason.as_str())
    }

    /// A profile by its name.
    pub fn profile(&self, name: &str) -> Option<&Profile> {
        self.profiles.iter().map(|shelved| &shelved.value).find(|profile| profile.name == name)
    }

    /// What servers of a dialect promise where nobody says otherwise.
    pub fn default_profile(&self, dialect: &str) -> Profile {
        let default = self.profile(dialect).filter(|profile| profile.dialect == dialect);
        default.cloned().unwrap_or_else(|| Profile::of_dialect(dialect))
    }

    /// A dialect's file by its name.
    pub fn dialect(&self, name: &str) -> Option<&Source> {
        self.dialects.iter().find(|(known, _)| known == name).map(|(_, source)| source)
    }

    /// The dialects that the tree is about: those with cases or a default profile of its own.
    pub fn dialect_names(&self) -> Vec<String> {
        let homes = self.cases.iter().filter(|case| case.own && case.home != COMMON);
        let default = |it: &&Shelved<Profile>| it.own && it.value.name == it.value.dialect;
        let spoken = |it: &&Shelved<Profile>| self.dialect(&it.value.dialect).is_some();
        let profiles = self.profiles.iter().filter(default).filter(spoken);
        let mut names: Vec<String> = homes
            .map(|case| case.home.clone())
            .chain(profiles.map(|profile| profile.value.dialect.clone()))
            .collect();
        names.sort();
        names.dedup();
        names
    }

    /// The cases for servers of a dialect, with their ids, in the order of these.
    pub fn cases_of(&self, dialect: &str) -> Vec<(String, &Case)> {
        let fits = |case: &&Case| case.home == dialect || case.home == COMMON;
        let cases = self.cases.iter().filter(fits);
        let mut cases: Vec<_> = cases.map(|case| (case.id(dialect), case)).collect();
        cases.sort_by(|(one, _), (other, _)| one.cmp(other));
        cases
    }

    /// The case that asks whether a server of a dialect is there.
    pub fn sanity(&self, dialect: &str) -> Option<&Scenario> {
        let of = |home: &str| self.sanity.iter().find(|(known, _)| known == home);
        of(dialect).or_else(|| of(COMMON)).map(|(_, scenario)| scenario)
    }

    /// The gravest level of what a case shows; of what nobody knows: MUST.
    pub fn level(&self, case: &Case) -> Level {
        let levels = case.requires.iter().filter_map(|id| self.requirement(id));
        levels.map(|requirement| requirement.level).max().unwrap_or(Level::Must)
    }
}

/// A dialect's name, and the names that it gives values to, if the file is one that can be read.
fn given(file: &SuiteFile) -> Option<(String, BTreeSet<String>)> {
    let name = file.path.strip_prefix("dialects/")?.rsplit_once('.')?.0;
    let dialect = Dialect::parse(&file.source.name, &file.source.text).ok()?;
    Some((name.to_owned(), dialect.gives()))
}

fn case((home, area, slug): (String, String, String), scenario: Scenario, own: bool) -> Case {
    let file = &scenario.file;
    Case {
        home,
        area,
        slug,
        refusal: !file.refusal.is_empty(),
        requires: file.requires.iter().map(|id| id.value.clone()).collect(),
        options: Condition::read(&file.options),
        alone: file.alone,
        own_server: file.own_server,
        set_up: file.server.heartbeat.is_some() || !file.server.args.is_empty(),
        own,
        scenario,
    }
}
