//! Runs against a good server: whoever is accused there is accused wrongly. Which run is of what, and
//! under which strain, follows from the seed and the run's number alone, so that one can be repeated.

use std::fmt;

use rand::SeedableRng as _;
use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;
use serde::{Deserialize, Serialize};

use crate::conform::outcome::Outcome;
use crate::plan::mix;

/// What makes it hard for the harness.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Strain {
    /// Nothing.
    None,
    /// Twice as many busy threads as there are processors.
    Load,
    /// It is stopped half of the time, for some tens of milliseconds at once.
    Throttled,
}

/// Every strain: its word, and what it is.
pub const STRAINS: [(Strain, &str, &str); 3] = [
    (Strain::None, "as they are", "with nothing beside them"),
    (Strain::Load, "beside load", "with twice as many busy threads as processors"),
    (Strain::Throttled, "throttled", "with the harness stopped half of the time, 20-50 ms at once"),
];

impl fmt::Display for Strain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(STRAINS.iter().find(|(strain, ..)| strain == self).map_or("", |(_, word, _)| word))
    }
}

/// One run.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct GoodRun {
    /// Its number, from 1.
    pub number: u64,
    /// The place of what is run, among all that could be.
    pub what: usize,
    /// Its own seed.
    pub seed: u64,
    /// Under what it is run.
    pub strain: Strain,
}

/// So many runs over so many things: one after the other in a drawn order, round and round; in each
/// round each of them under another strain.
pub fn runs(seed: u64, things: usize, count: u64) -> Vec<GoodRun> {
    let mut order: Vec<usize> = (0..things).collect();
    order.shuffle(&mut StdRng::seed_from_u64(seed));
    // The place in the round, not the turn: with 8 things each would always be at the same strain.
    let round = |round: usize| order.iter().zip(round..).map(|(what, at)| (at, *what));
    let turns = (0..count).zip((0..).flat_map(round));
    let run = |(turn, (at, what)): (u64, (usize, usize))| {
        let strain = STRAINS.iter().cycle().nth(at % STRAINS.len());
        let strain = strain.map_or(Strain::None, |(strain, ..)| *strain);
        // Half of the bits are enough to tell two runs apart, and are easier to repeat.
        GoodRun { number: turn + 1, what, seed: mix(seed ^ mix(turn + 1)) >> 32, strain }
    };
    if things == 0 { Vec::new() } else { turns.map(run).collect() }
}

/// What came of a run, in a line that one process tells another.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Ran {
    /// The run's number.
    pub number: u64,
    /// What was run: a case's id, or `scenario:NAME` and the dialect.
    pub what: String,
    /// Under what.
    pub strain: Strain,
    /// Its own seed.
    pub seed: u64,
    /// What came of it.
    pub outcome: Outcome,
    /// The class of what was found first.
    pub class: Option<String>,
    /// What happened.
    pub message: String,
    /// How often it was tried until it said something.
    pub attempts: u32,
    /// How long the last try took.
    pub duration_ms: u64,
    /// How many deliveries it judged.
    pub deliveries: u64,
    /// The command that repeats it.
    pub again: String,
}

impl Ran {
    /// Whether it accuses the good server.
    pub fn is_alarm(&self) -> bool {
        matches!(self.outcome, Outcome::Fail | Outcome::Nonstrict)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn runs_go_round_through_all_of_them_under_each_strain() {
        for things in [1, 7, 8, 9, 12] {
            let all = runs(5, things, 3 * things as u64);
            let pairs: BTreeSet<String> =
                all.iter().map(|run| format!("{} {}", run.what, run.strain)).collect();
            assert_eq!(pairs.len(), 3 * things, "{all:?}");
            let seeds: BTreeSet<u64> = all.iter().map(|run| run.seed).collect();
            assert_eq!(seeds.len(), all.len(), "each has a seed of its own");
        }
        let thirds = STRAINS.map(|(strain, ..)| {
            runs(7, 500, 300).iter().filter(|run| run.strain == strain).count()
        });
        assert_eq!(thirds, [100, 100, 100]);
        assert!(runs(5, 0, 300).is_empty());
    }

    #[test]
    fn a_run_is_the_same_however_many_there_are() {
        assert_eq!(runs(9, 40, 300)[..17], runs(9, 40, 17)[..]);
    }
}
