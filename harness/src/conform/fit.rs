//! Whether a case is for a server: by what its profile says, and by what it speaks.

use std::collections::BTreeMap;

use super::pattern::Pattern;
use super::profile::Profile;
use super::requirement::Requirement;
use super::suite::{COMMON, Case, Suite};
use crate::dialect::{Dialect, FEATURES, Verb};
use crate::plan::{Built, Options, Plan, missing, uses};
use crate::scenario::{Problems, Scenario};

/// What a case is to a server.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Fit {
    /// It is run.
    Runs,
    /// The server says that it lacks this, and why that concerns the case; its refusal is probed
    /// where the case says how.
    Lacks(String),
    /// It is about other servers: why.
    Elsewhere(String),
}

/// What a case is to a server of this profile.
pub fn fit(suite: &Suite, case: &Case, profile: &Profile, dialect: &Dialect) -> Fit {
    if let Some(reason) = case.options.unmet(&profile.options) {
        return Fit::Elsewhere(reason);
    }
    let known = || case.requires.iter().filter_map(|id| suite.requirement(id));
    let unmet = |requirement: &Requirement| {
        let reason = requirement.option.unmet(&profile.options)?;
        Some(format!("{}: {reason}", requirement.id))
    };
    if let Some(reason) = known().find_map(unmet) {
        return Fit::Elsewhere(reason);
    }
    let mut lacks = profile.lacks.iter().map(|lack| &lack.pattern);
    if let Some(pattern) = lacks.find(|pattern| concerns(pattern, case)) {
        return Fit::Lacks(format!("profile {} lacks {pattern}", profile.name));
    }
    match missing(&case.scenario, dialect).or_else(|| too_much(case, profile, dialect)) {
        Some(reason) if case.home == COMMON => Fit::Elsewhere(reason),
        Some(reason) => Fit::Lacks(reason),
        None => Fit::Runs,
    }
}

/// What a case does that servers of this kind do not take: longer messages, or more of them.
fn too_much(case: &Case, profile: &Profile, dialect: &Dialect) -> Option<String> {
    match plan(&case.scenario, profile, dialect, Options::default()) {
        Ok(Built::Skipped(reason)) => Some(reason),
        // What is wrong with it, whoever runs it says.
        Ok(Built::Ready(..)) | Err(_) => None,
    }
}

fn concerns(pattern: &Pattern, case: &Case) -> bool {
    match is_need(pattern) {
        true => uses(&case.scenario, &pattern.to_string()),
        false => case.requires.iter().any(|id| pattern.matches(id)),
    }
}

/// Whether something that is lacked is a word of `needs`, and no requirement.
pub(super) fn is_need(pattern: &Pattern) -> bool {
    let word = pattern.to_string();
    Verb::WORDS.iter().chain(FEATURES).any(|known| *known == word)
}

/// Makes a plan of a case's steps, with the profile's values for its variables.
pub fn plan(
    scenario: &Scenario,
    profile: &Profile,
    dialect: &Dialect,
    mut options: Options,
) -> Result<Built, Problems> {
    options.vars.extend(values(scenario, profile, dialect));
    if scenario.file.users.is_none() {
        options.users.clone_from(&profile.users);
    }
    Plan::build_with(scenario, dialect.clone(), &options)
}

/// The profile's values for a case's variables, and for the parameters of the dialect.
pub fn values(
    scenario: &Scenario,
    profile: &Profile,
    dialect: &Dialect,
) -> BTreeMap<String, String> {
    let file = &scenario.file;
    let groups = file.clients.iter().filter_map(|(_, group)| group.0.as_ref());
    let names = groups.flat_map(|group| group.vars.keys()).chain(file.vars.keys());
    let names = names.chain(dialect.params.keys().map(String::as_str));
    names.filter_map(|name| Some((name.to_owned(), profile.value(name)?))).collect()
}
