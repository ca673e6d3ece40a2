//! What came of the whole: the score, the verdict, and why.

use super::catalogue::Cell;
use super::good::{Ran, STRAINS, Strain};
use super::outcome::{FATES, Fate, Judged};
use crate::check::TABLE;
use crate::conform::outcome::Outcome;
use crate::report::words::{counted, number};
use crate::verdict::{Exit, Verdict};

/// The version of `selftest.json`.
pub const SCHEMA_VERSION: u32 = 1;
/// Of a hundred rows of the table so many must be found out rightly.
pub const RIGHT_PERCENT_MIN: u64 = 90;
/// Of a hundred rows, and of a hundred good runs, so many may say nothing.
pub const INCONCLUSIVE_PERCENT_MAX: u64 = 2;

/// What came of a mutant in one dialect.
#[derive(Clone, Debug)]
pub struct Tally {
    /// The row of the table.
    pub cell: Cell,
    /// The mutant's number.
    pub number: u32,
    /// What the mutant does.
    pub about: String,
    /// It breaks a MUST; else a SHOULD.
    pub must: bool,
    /// What came of it.
    pub judged: Judged,
    /// The case that found it, or the last one that did not.
    pub case: Option<String>,
    /// How many deliveries its cases saw.
    pub deliveries: u64,
    /// The seed of its cases.
    pub seed: u64,
    /// How many tries of cases it took.
    pub attempts: u32,
    /// How long it took.
    pub duration_ms: u64,
}

impl Tally {
    /// The command that tries it again.
    pub fn again(&self) -> String {
        let Cell { id, dialect, .. } = &self.cell;
        let seed = self.seed;
        format!("harness selftest --mutant {id} --dialect {dialect} --runs 0 --seed {seed}")
    }
}

/// Everything that reports show.
#[derive(Clone, Debug, Default)]
pub struct Results {
    /// When it began, RFC 3339 in UTC.
    pub started: String,
    /// How long it took.
    pub duration_s: f64,
    /// The seed of everything.
    pub seed: u64,
    /// Only a part of the table was asked for: then not every check needs to have its mutant.
    pub partial: bool,
    /// The rows of the table that were asked for.
    pub tallies: Vec<Tally>,
    /// How many good runs were asked for.
    pub runs: u64,
    /// Those that were made.
    pub good: Vec<Ran>,
    /// What went wrong apart from rows and runs.
    pub incidents: Vec<String>,
    /// The number of the signal that ended it early.
    pub signal: Option<i32>,
}

/// A check, and the mutants that it found.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Merit {
    /// The check's name.
    pub name: &'static str,
    /// Mutants of which it found what was to be found.
    pub kills: Vec<String>,
    /// Mutants of which, in some dialect, nobody else found anything in the case that found it: neither
    /// another check nor a step.
    pub only_it: Vec<String>,
}

impl Results {
    /// How many rows came to this.
    pub fn count(&self, fate: Fate) -> u64 {
        self.tallies.iter().filter(|it| it.judged.fate == fate).count() as u64
    }

    /// Every fate, and how many rows came to it.
    pub fn totals(&self) -> [(Fate, u64); 6] {
        FATES.map(|(fate, ..)| (fate, self.count(fate)))
    }

    /// How many rows there are.
    pub fn rows(&self) -> u64 {
        self.tallies.len() as u64
    }

    /// How many different mutants there are.
    pub fn mutants(&self) -> u64 {
        let mut ids: Vec<&str> = self.tallies.iter().map(|it| it.cell.id.as_str()).collect();
        ids.sort_unstable();
        ids.dedup();
        ids.len() as u64
    }

    /// `511 of 540 (94.6 %)`: right kills over the whole table.
    pub fn score(&self) -> String {
        let (right, rows) = (self.count(Fate::Right), self.rows());
        // Never rounded up to what it is not.
        let tenths = (1000 * right).checked_div(rows).unwrap_or_default();
        format!("{} of {} ({}.{} %)", number(right), number(rows), tenths / 10, tenths % 10)
    }

    /// Good runs that accuse the server.
    pub fn alarms(&self) -> impl Iterator<Item = &Ran> {
        self.good.iter().filter(|ran| ran.is_alarm())
    }

    /// How many good runs came to this, of those under one strain or of all.
    pub fn good_runs(&self, strain: Option<Strain>, is: impl Fn(&Ran) -> bool) -> u64 {
        let own = |ran: &&Ran| strain.is_none_or(|strain| ran.strain == strain);
        self.good.iter().filter(own).filter(|ran| is(ran)).count() as u64
    }

    /// Each strain: how many runs, how many of them accuse the server, how many say nothing.
    pub fn strains(&self) -> [(Strain, u64, u64, u64); 3] {
        STRAINS.map(|(strain, ..)| {
            let runs = self.good_runs(Some(strain), |_| true);
            let alarms = self.good_runs(Some(strain), Ran::is_alarm);
            (strain, runs, alarms, self.good_runs(Some(strain), is_open))
        })
    }

    /// What each check is worth.
    pub fn merits(&self) -> Vec<Merit> {
        TABLE.iter().map(|rule| self.merit(rule.name)).collect()
    }

    fn merit(&self, name: &'static str) -> Merit {
        let right = || self.tallies.iter().filter(|it| it.judged.fate == Fate::Right);
        let by_it = |it: &&Tally| {
            let found = it.judged.found.iter();
            found.filter(|found| it.cell.expected.is(found)).any(|found| found.check == name)
        };
        let mut kills: Vec<String> = right().filter(by_it).map(|it| it.cell.id.clone()).collect();
        kills.dedup();
        let alone = |id: &&String| {
            let mut rows = right().filter(|it| it.cell.id == **id);
            rows.any(|it| it.judged.found.iter().all(|found| found.check == name))
        };
        let only_it = kills.iter().filter(alone).cloned().collect();
        Merit { name, kills, only_it }
    }

    /// The checks that found no mutant: nothing shows that they find anything. None where only a part
    /// of the table was asked for.
    pub fn idle_checks(&self) -> Vec<&'static str> {
        if self.partial || self.tallies.is_empty() {
            return Vec::new();
        }
        let merits = self.merits().into_iter();
        merits.filter(|merit| merit.kills.is_empty()).map(|merit| merit.name).collect()
    }

    /// How much is wrong.
    pub fn findings(&self) -> u64 {
        let fates = [Fate::Other, Fate::Survived, Fate::Error].map(|fate| self.count(fate));
        let checks = self.idle_checks().len() as u64;
        fates.iter().sum::<u64>() + checks + self.alarms().count() as u64
    }

    /// What fails the run, in words.
    fn failures(&self) -> Vec<String> {
        let mut failures = Vec::new();
        let (right, rows) = (self.count(Fate::Right), self.rows());
        if right * 100 < rows * RIGHT_PERCENT_MIN {
            failures.push(format!(
                "{} rows found out rightly; {RIGHT_PERCENT_MIN} % must be",
                self.score()
            ));
        }
        let rows_that = |fate, words: &str, list: &mut Vec<String>| {
            let count = self.count(fate);
            if count > 0 {
                list.push(format!("{} {words}", counted(count, "row")));
            }
        };
        rows_that(Fate::Other, "found out as something else", &mut failures);
        rows_that(Fate::Survived, "not found out, and no reason in `left_out`", &mut failures);
        rows_that(
            Fate::Error,
            "that could not be tried or not told from the good server, and no reason in `left_out`",
            &mut failures,
        );
        let idle = self.idle_checks();
        if !idle.is_empty() {
            failures.push(format!("no mutant shows that these find anything: {}", idle.join(", ")));
        }
        let alarms = self.alarms().count() as u64;
        if alarms > 0 {
            let runs = number(self.good.len() as u64);
            failures.push(format!("{} in {runs} good runs", counted(alarms, "false alarm")));
        }
        failures
    }

    /// What leaves it open, in words.
    fn doubts(&self) -> Vec<String> {
        let mut doubts = Vec::new();
        if self.signal.is_some() {
            doubts.push("interrupted: the rest was not run".to_owned());
        }
        if self.rows() == 0 && self.good.is_empty() {
            doubts.push("nothing was tried".to_owned());
        }
        let percent = INCONCLUSIVE_PERCENT_MAX;
        let (open, rows) = (self.count(Fate::Inconclusive), self.rows());
        if open * 100 > rows * percent {
            doubts
                .push(format!("{} of {rows} said nothing; {percent} % may", counted(open, "row")));
        }
        let (open, made) = (self.good_runs(None, is_open), self.good.len() as u64);
        if open * 100 > made * percent {
            let open = counted(open, "good run");
            doubts.push(format!("{open} of {made} said nothing; {percent} % may"));
        }
        let errors = self.good_runs(None, |ran| ran.outcome == Outcome::Error);
        if errors > 0 {
            doubts.push(format!("{} went wrong by themselves", counted(errors, "good run")));
        }
        if self.signal.is_none() && made < self.runs {
            doubts.push(format!("{made} of {} good runs were made", self.runs));
        }
        doubts.extend(self.incidents.iter().cloned());
        doubts
    }

    /// The verdict.
    pub fn verdict(&self) -> Verdict {
        match (self.failures().is_empty(), self.doubts().is_empty()) {
            (false, _) => Verdict::Failed,
            (true, false) => Verdict::Inconclusive,
            (true, true) => Verdict::Passed,
        }
    }

    /// The exit code. A signal says more than what was seen until it came.
    pub fn exit(&self) -> Exit {
        match self.signal {
            Some(signal) if signal == signal_hook::consts::SIGTERM => Exit::Terminated,
            Some(_) => Exit::Interrupted,
            None => self.verdict().into(),
        }
    }

    /// Why the verdict is what it is, in words. Never empty.
    pub fn reasons(&self) -> Vec<String> {
        let mut reasons = [self.failures(), self.doubts()].concat();
        if reasons.is_empty() {
            let open = self.good_runs(None, is_open);
            let mut runs = counted(self.good.len() as u64 - open, "good run");
            if open > 0 {
                runs = format!("{runs} ({} more said nothing)", number(open));
            }
            let rows = format!("{} rows found out rightly", self.score());
            reasons.push(match (self.rows(), self.good.len()) {
                (_, 0) => rows,
                (0, _) => format!("no false alarm in {runs}"),
                _ => format!("{rows}, no false alarm in {runs}"),
            });
        }
        reasons
    }
}

/// Whether a good run says nothing.
fn is_open(ran: &Ran) -> bool {
    !ran.is_alarm() && !matches!(ran.outcome, Outcome::Pass | Outcome::Error)
}
