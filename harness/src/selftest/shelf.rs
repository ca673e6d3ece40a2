//! The cases of a suite and the small scenarios, by the names that the catalogue has for them, and
//! whether they are for a dialect.

use std::collections::BTreeMap;

use super::catalogue::SCENARIO;
use super::small;
use crate::conform::fit::{Fit, fit, plan};
use crate::conform::profile::Profile;
use crate::conform::requirement::Level;
use crate::conform::suite::Suite;
use crate::dialect::Dialect;
use crate::plan::{Built, Options};
use crate::scenario::{Problems, Scenario};

/// What can be run, in these dialects, by the profiles that go with them.
#[derive(Debug)]
pub struct Shelf<'s> {
    suite: &'s Suite,
    dialects: BTreeMap<String, (Profile, Dialect)>,
    small: Vec<(&'static str, Scenario)>,
}

/// A case, or a scenario made small, in one dialect.
#[derive(Clone, Debug)]
pub struct Thing<'s> {
    /// The case's id, or `DIALECT/scenario:NAME`.
    pub id: String,
    /// The steps.
    pub scenario: &'s Scenario,
    /// How grave a breach is.
    pub level: Level,
    /// Nothing runs beside it.
    pub alone: bool,
    /// A server is started for it.
    pub own_server: bool,
}

/// Why there is no such thing.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Absent {
    /// Nothing is called like that.
    Unknown,
    /// It is for servers of another kind.
    Unfit(String),
}

impl<'s> Shelf<'s> {
    /// What a suite has for these dialects of its.
    ///
    /// # Errors
    /// A dialect or a scenario cannot be read.
    pub fn new(suite: &'s Suite, dialects: &[String]) -> Result<Self, Problems> {
        let shaped = |name: &String| {
            let profile = suite.default_profile(name);
            let dialect = match suite.dialect(name) {
                Some(source) => Dialect::parse(&source.name, &source.text)?,
                None => Dialect::load(name)?,
            };
            let dialect = profile.shape(dialect);
            Ok((name.clone(), (profile, dialect)))
        };
        let dialects = dialects.iter().map(shaped).collect::<Result<_, Problems>>()?;
        let small = small::NAMES.map(|name| Ok((name, small::small(name)?)));
        let small = small.into_iter().collect::<Result<_, Problems>>()?;
        Ok(Self { suite, dialects, small })
    }

    /// A case by its name without the dialect's, or `scenario:NAME`.
    ///
    /// # Errors
    /// There is none, or it is not for this dialect.
    pub fn find(&self, dialect: &str, name: &str) -> Result<Thing<'_>, Absent> {
        let (profile, shaped) = self.dialects.get(dialect).ok_or(Absent::Unknown)?;
        if let Some(scenario) = name.strip_prefix(SCENARIO) {
            let known = self.small.iter().find(|(known, _)| *known == scenario);
            let (_, scenario) = known.ok_or(Absent::Unknown)?;
            if let Ok(Built::Skipped(why)) = plan(scenario, profile, shaped, Options::default()) {
                return Err(Absent::Unfit(why));
            }
            let server = scenario.server();
            let set_up = server.heartbeat.is_some() || !server.args.is_empty();
            return Ok(Thing {
                id: format!("{dialect}/{name}"),
                scenario,
                level: Level::Must,
                alone: false,
                own_server: set_up || scenario.has_own_server(),
            });
        }
        let full = format!("{dialect}/{name}");
        let mut cases = self.suite.cases_of(dialect).into_iter();
        let (id, case) = cases.find(|(id, _)| *id == full || id == name).ok_or(Absent::Unknown)?;
        match fit(self.suite, case, profile, shaped) {
            Fit::Lacks(why) | Fit::Elsewhere(why) => Err(Absent::Unfit(why)),
            Fit::Runs => Ok(Thing {
                id,
                scenario: &case.scenario,
                level: self.suite.level(case),
                alone: case.alone,
                own_server: case.own_server || case.set_up,
            }),
        }
    }

    /// The names of all cases and scenarios in a dialect, those that are not for it, too.
    pub fn names(&self, dialect: &str) -> Vec<String> {
        let start = format!("{dialect}/");
        let cases = self.suite.cases_of(dialect).into_iter();
        let cases = cases.map(|(id, _)| id.strip_prefix(&start).map(str::to_owned).unwrap_or(id));
        cases.chain(small::NAMES.iter().map(|name| format!("{SCENARIO}{name}"))).collect()
    }

    /// Everything that a good server must pass: dialects and names, in a fixed order.
    pub fn everything(&self) -> Vec<(&str, String)> {
        let all = self.dialects.keys().flat_map(|dialect| {
            let names = self.names(dialect).into_iter();
            let fitting = names.filter(|name| self.find(dialect, name).is_ok());
            fitting.map(|name| (dialect.as_str(), name)).collect::<Vec<_>>()
        });
        all.collect()
    }
}
