//! Holds the checks against an oracle, and counts what both have said.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;

use harness::check::Judge;

use super::past::{Opinion, Told};

/// What was said of how many histories, by check and class.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub histories: u32,
    pub silent: u32,
    /// Certain, and told.
    pub told: BTreeMap<Told, u32>,
    /// Not to be decided: told, and not told.
    pub open: BTreeMap<Told, (u32, u32)>,
}

/// All that the checks found.
pub(super) fn found(judge: &Judge) -> BTreeSet<Told> {
    let checks = harness::check::TABLE.iter().map(|rule| rule.name);
    let of = |check| judge.findings().of(check).into_iter().map(move |(class, _)| (check, class));
    checks.flat_map(of).collect()
}

impl Tally {
    /// Says how the checks and the oracle differ, if they do.
    pub(super) fn compare(
        &mut self,
        opinion: &Opinion,
        found: &BTreeSet<Told>,
    ) -> Result<(), String> {
        let missed: Vec<&Told> = opinion.must.difference(found).collect();
        let unnamed: Vec<&Vec<Told>> = opinion
            .either
            .iter()
            .filter(|names| names.iter().all(|n| !found.contains(n)))
            .collect();
        let allowed = |told: &&Told| {
            opinion.must.contains(told)
                || opinion.may.contains(told)
                || opinion.either.iter().flatten().any(|name| name == *told)
        };
        let wrong: Vec<&Told> = found.iter().filter(|told| !allowed(told)).collect();
        if !missed.is_empty() || !unnamed.is_empty() || !wrong.is_empty() {
            return Err(format!("missed {missed:?} {unnamed:?}, wrongly told {wrong:?}"));
        }
        self.histories += 1;
        self.silent += u32::from(found.is_empty());
        for told in &opinion.must {
            *self.told.entry(*told).or_default() += 1;
        }
        let doubtful = opinion.may.iter().chain(opinion.either.iter().flatten());
        for told in doubtful.filter(|told| !opinion.must.contains(told)) {
            let (said, not) = self.open.entry(*told).or_default();
            *(if found.contains(told) { said } else { not }) += 1;
        }
        Ok(())
    }

    /// How many histories had this for certain.
    pub(super) fn of(&self, told: Told) -> u32 {
        self.told.get(&told).copied().unwrap_or(0)
    }

    /// Writes the counts to the standard output itself: also of a test that passes.
    pub(super) fn print(&self, title: &str) {
        let mut text = format!(
            "\noracle, {title}: {} histories, none differs, {} without any finding\n",
            self.histories, self.silent
        );
        let checks: BTreeSet<Told> = self.told.keys().chain(self.open.keys()).copied().collect();
        for told @ (check, class) in checks {
            let (said, not) = self.open.get(&told).copied().unwrap_or_default();
            let (certain, class) = (self.of(told), class.as_str());
            text.push_str(&format!(
                "  {check:12} {class:14} {certain:5} certain and told; open: {said} told, {not} not\n"
            ));
        }
        std::io::stdout().write_all(text.as_bytes()).expect("the standard output is there");
    }

    /// Every class in the list was found in so many histories.
    pub(super) fn covers(&self, wanted: &[Told], least: u32) {
        let few: Vec<(&Told, u32)> =
            wanted.iter().map(|told| (told, self.of(*told))).filter(|(_, n)| *n < least).collect();
        assert!(few.is_empty(), "in fewer than {least} histories: {few:?}");
    }
}
