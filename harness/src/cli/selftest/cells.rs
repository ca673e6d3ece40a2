//! Tries mutants: for each row of the table a server that is wrong in this way, and its cases one
//! after the other until one finds it out. The good server must pass that case, asked in the same way.
//! Rows are tried side by side; what says nothing then, again by itself.

use std::collections::{BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::Args;
use super::lab::{Host, Lab, TRIES_MAX, Work};
use crate::check::{Class, PROTOCOL};
use crate::cli::conform::tries::{Bench, Tried};
use crate::cli::{progress, serve};
use crate::conform::outcome::Outcome;
use crate::selftest::catalogue::{Catalogue, Cell};
use crate::selftest::outcome::{Account, Fate, Found, Judged, Says};
use crate::selftest::results::Tally;

/// How long nothing of what is owed may come before it is given up: most mutants keep it for ever.
const PATIENCE: Duration = Duration::from_secs(2);
/// How many rows are tried at once, beside all others, whose cases disturb or measure.
const HEAVY: usize = 3;

/// Tries all rows; those that the signal came too early for are missing.
pub(super) fn run(
    lab: &Lab<'_>,
    catalogue: &Catalogue,
    cells: &[&Cell],
    args: &Args,
) -> Vec<Tally> {
    let built = if cells.is_empty() { Vec::new() } else { serve::mutants() };
    let (quiet, planned, passed) = (args.quiet, cells.len(), Mutex::default());
    let floor = Floor { lab, catalogue, built, passed, quiet, planned };
    let is_alone = |cell: &&Cell| {
        let mut works = cell.cases.iter().filter_map(|name| lab.work(&cell.dialect, name));
        works.any(|work| work.thing.alone)
    };
    let queue: Vec<(usize, &Cell)> = (0..).zip(cells.iter().copied()).collect();
    let (heavy, light): (Vec<_>, Vec<_>) = queue.into_iter().partition(|(_, it)| is_alone(it));
    let jobs = usize::from(args.jobs);
    let (light, heavy) = std::thread::scope(|scope| {
        let heavy = scope.spawn(|| floor.beside(heavy, jobs.min(HEAVY)));
        let light = floor.beside(light, jobs);
        // A panic must not make the table smaller.
        (light, heavy.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    });
    // What disturbs each other is not believed when it says something else than expected.
    let doubtful = |it: &Tally| matches!(it.judged.fate, Fate::Other | Fate::Survived);
    let heavy = heavy.into_iter().map(|(place, it)| (place, is_open(&it) || doubtful(&it), it));
    let light = light.into_iter().map(|(place, it)| (place, is_open(&it), it));
    let (mut again, mut done) = (Vec::new(), Vec::new());
    for (place, open, tally) in light.chain(heavy) {
        match cells.get(place).filter(|_| open) {
            Some(cell) => again.push((place, *cell, tally.attempts)),
            None => done.push((place, tally)),
        }
    }
    for (place, cell, before) in again {
        let tally = floor.one(cell, TRIES_MAX);
        floor.progress(done.len() + 1, cell);
        let whole = |it: Tally| Tally { attempts: before + it.attempts, ..it };
        done.extend(tally.map(|tally| (place, whole(tally))));
    }
    done.sort_by_key(|(place, _)| *place);
    done.into_iter().map(|(_, tally)| tally).collect()
}

/// Whether it is worth trying once more.
fn is_open(tally: &Tally) -> bool {
    matches!(tally.judged.fate, Fate::Inconclusive | Fate::Error)
}

struct Floor<'a> {
    lab: &'a Lab<'a>,
    catalogue: &'a Catalogue,
    /// The mutants that the server has.
    built: Vec<String>,
    /// The cases that the good server has passed.
    passed: Mutex<BTreeSet<String>>,
    quiet: bool,
    planned: usize,
}

impl Floor<'_> {
    /// Tries rows side by side, each once.
    fn beside(&self, cells: Vec<(usize, &Cell)>, jobs: usize) -> Vec<(usize, Tally)> {
        let jobs = jobs.min(cells.len());
        let done = Mutex::new(Vec::new());
        let queue = Mutex::new(VecDeque::from(cells));
        std::thread::scope(|scope| {
            for _ in 0..jobs {
                scope.spawn(|| {
                    loop {
                        // The guard must not live as long as the try.
                        let next = queue.lock().pop_front();
                        let Some((place, cell)) = next else { break };
                        let Some(tally) = self.one(cell, 1) else { break };
                        let mut done = done.lock();
                        done.push((place, tally));
                        self.progress(done.len(), cell);
                    }
                });
            }
        });
        done.into_inner()
    }

    fn progress(&self, done: usize, cell: &Cell) {
        let Self { quiet, planned, .. } = self;
        let text = format!("{done} of {planned} rows   {} in {}", cell.id, cell.dialect);
        progress::line(*quiet, &text);
    }

    /// Tries a row; none when the signal came.
    fn one(&self, cell: &Cell, tries: u32) -> Option<Tally> {
        let begun = Instant::now();
        let mut trial = Trial::default();
        let judged = match self.excuse(cell) {
            Some(judged) => judged,
            None => {
                let last = trial.run(self.lab, cell, tries)?;
                let judged = trial.account.judge(&cell.expected, cell.deliveries);
                match last.filter(|_| judged.fate == Fate::Right) {
                    Some(work) => self.beside_good(&work, tries, judged)?,
                    None => judged,
                }
            }
        };
        let entry = self.catalogue.entry(&cell.id);
        Some(Tally {
            cell: cell.clone(),
            number: entry.map_or(0, |entry| entry.number),
            about: entry.map(|entry| entry.about.clone()).unwrap_or_default(),
            must: entry.is_none_or(|entry| entry.must),
            judged,
            case: trial.case,
            deliveries: trial.account.deliveries,
            seed: self.lab.seed,
            attempts: trial.attempts,
            duration_ms: u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX),
        })
    }

    /// A right kill, unless the good server fails its case, too: then the case says nothing of the
    /// mutant. None when the signal came.
    fn beside_good(&self, work: &Work<'_>, tries: u32, judged: Judged) -> Option<Judged> {
        let id = &work.thing.id;
        if self.passed.lock().contains(id) {
            return Some(judged);
        }
        let (bench, host) = bench(self.lab, Vec::new());
        let (says, _) = Trial::default().ask(self.lab, work, (&bench, &host), tries)?;
        if says == Says::Well {
            self.passed.lock().insert(id.clone());
        }
        Some(judged.beside_good(id, says))
    }

    /// Why a row need not be tried.
    fn excuse(&self, cell: &Cell) -> Option<Judged> {
        let judged = |fate, message: String| {
            Some(Judged { fate, killed_by: None, found: Vec::new(), message })
        };
        if let Some(reason) = &cell.left_out {
            return judged(Fate::LeftOut, reason.clone());
        }
        match self.built.contains(&cell.id) {
            true => None,
            false => judged(Fate::Error, "the server has no such mutant".to_owned()),
        }
    }
}

/// What tries have in common at servers with these options, the good one's and mutants', and a server.
fn bench<'a>(lab: &'a Lab<'_>, options: Vec<String>) -> (Bench<'a>, Host) {
    let host = Host::new(lab, &options);
    (Bench { patience: Some(PATIENCE), ..lab.bench(lab.seed, options) }, host)
}

/// A row that is being tried.
#[derive(Default)]
struct Trial {
    account: Account,
    case: Option<String>,
    attempts: u32,
}

impl Trial {
    /// Runs the cases until one finds something, and says which was the last; none when the signal came.
    fn run<'a>(&mut self, lab: &'a Lab<'_>, cell: &Cell, tries: u32) -> Option<Option<Work<'a>>> {
        let (bench, host) = bench(lab, vec!["--mutant".to_owned(), cell.option()]);
        let mut last = None;
        for name in &cell.cases {
            let Some(work) = lab.work(&cell.dialect, name) else { continue };
            self.case = Some(work.thing.id.clone());
            let (says, deliveries) = self.ask(lab, &work, (&bench, &host), tries)?;
            last = Some(work);
            if self.account.add(says, deliveries) {
                break;
            }
        }
        Some(last)
    }

    /// Runs a case, again where that says nothing.
    fn ask(
        &mut self,
        lab: &Lab<'_>,
        work: &Work<'_>,
        (bench, host): (&Bench<'_>, &Host),
        tries: u32,
    ) -> Option<(Says, u64)> {
        let mut left = tries;
        loop {
            if lab.is_over() {
                return None;
            }
            left = left.saturating_sub(1);
            self.attempts += 1;
            let (before, _) = host.deaths();
            let (says, deliveries) = match work.attempt(bench, host) {
                Ok(tried) if tried.interrupted => return None,
                Ok(tried) => {
                    let deliveries = tried.traffic.deliveries;
                    (says(tried, host.deaths().0 > before), deliveries)
                }
                Err(reason) => (Says::Error(reason), 0),
            };
            if left == 0 || !matches!(says, Says::Nothing(_) | Says::Error(_)) {
                return Some((says, deliveries));
            }
        }
    }
}

/// What a try says of the mutant; `died` is whether its server has ended.
fn says(tried: Tried, died: bool) -> Says {
    let mut found: Vec<Found> =
        tried.found.iter().map(|(check, class)| Found::new(check, class.as_str())).collect();
    // A server that died of a case was killed by it, whatever the case itself says.
    let killed = Found::new(PROTOCOL, Class::Killed.as_str());
    if died && !found.contains(&killed) {
        found.push(killed);
    }
    match tried.judged.outcome {
        Outcome::Fail | Outcome::Nonstrict => Says::Wrong(found),
        _ if died => Says::Wrong(found),
        Outcome::Pass => Says::Well,
        Outcome::Inconclusive => Says::Nothing(tried.judged.message),
        _ => Says::Error(tried.judged.message),
    }
}
