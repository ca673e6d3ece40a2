//! Runs against the good server: a third as they are, a third beside load, a third while this program
//! is stopped again and again. The last are a worker's, which is this program, too.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::Args;
use super::lab::{Host, Lab, TRIES_MAX, Work};
use super::strain::{Load, Throttled};
use crate::check::Class;
use crate::cli::conform::tries::Tried;
use crate::cli::{print, progress, run::quoted};
use crate::conform::outcome::{Judged, Outcome};
use crate::selftest::catalogue::SCENARIO;
use crate::selftest::good::{GoodRun, Ran, Strain, runs};
use crate::selftest::results::Results;
use crate::verdict::Exit;

/// How long throttled runs may take: at least, and each.
const THROTTLED_MIN: Duration = Duration::from_secs(120);
const THROTTLED_EACH: Duration = Duration::from_secs(10);

/// Makes all runs, and adds what came of them to the results.
pub(super) fn run(lab: &Lab<'_>, args: &Args, results: &mut Results) {
    if args.runs() == 0 {
        return;
    }
    let course = Course::new(lab, args);
    let quiet = args.quiet;
    let told = |ran: &Ran| {
        progress::line(quiet, &format!("good run {} {}   {}", ran.number, ran.strain, ran.what));
    };
    results.good.extend(course.all(&course.of(Strain::None), &told));
    let loaded = course.of(Strain::Load);
    if !loaded.is_empty() {
        let _load = Load::start();
        results.good.extend(course.all(&loaded, &told));
    }
    let throttled = course.of(Strain::Throttled);
    if !throttled.is_empty() && !lab.is_over() {
        let (ran, wrong) = throttle(lab, args, throttled.len(), move |ran| {
            progress::line(quiet, &format!("good run {} throttled   {}", ran.number, ran.what));
        });
        results.good.extend(ran);
        results.incidents.extend(wrong);
    }
    results.good.sort_by_key(|ran| ran.number);
}

/// Whether a run is worth trying once more: a server of its own may have been too slow to start.
fn is_open(outcome: Outcome) -> bool {
    matches!(outcome, Outcome::Inconclusive | Outcome::Error)
}

/// Makes the throttled share, and prints a line for each run.
pub(super) fn worker(lab: &Lab<'_>, args: &Args) -> Exit {
    // Whoever is stopped hears of no end of its standard input: when its parent is gone, it is ended.
    #[cfg(target_os = "linux")]
    if let Err(error) = nix::sys::prctl::set_pdeathsig(nix::sys::signal::Signal::SIGKILL) {
        tracing::debug!(%error, "the worker may outlive its parent while it is stopped");
    }
    // Whoever started this keeps its standard input open.
    std::thread::spawn(|| {
        if let Ok(_nobody_is_left) = std::io::copy(&mut std::io::stdin(), &mut std::io::sink()) {
            std::process::exit(i32::from(Exit::CouldNotRun.code()));
        }
    });
    let course = Course::new(lab, args);
    course.all(&course.of(Strain::Throttled), &|ran| {
        print(&(serde_json::to_string(ran).unwrap_or_default() + "\n"));
    });
    Exit::Passed
}

/// Has a worker make its share while it is stopped again and again; what came of it, and what went
/// wrong with the worker itself.
fn throttle(
    lab: &Lab<'_>,
    args: &Args,
    count: usize,
    told: impl Fn(&Ran) + Send + 'static,
) -> (Vec<Ran>, Option<String>) {
    let mut words = vec!["selftest".to_owned(), "--good-only".to_owned(), "--worker".to_owned()];
    let mut add = |option: &str, value: String| words.extend([option.to_owned(), value]);
    add("--runs", args.runs().to_string());
    add("--seed", lab.seed.to_string());
    add("--jobs", args.jobs.to_string());
    args.dialect.iter().for_each(|dialect| add("--dialect", dialect.clone()));
    args.only_run.iter().for_each(|number| add("--only-run", number.to_string()));
    let heard: Arc<Mutex<Vec<Ran>>> = Arc::default();
    let keep = Arc::clone(&heard);
    let started = Throttled::start(&words, lab.seed, move |line| {
        if let Ok(ran) = serde_json::from_str::<Ran>(line) {
            told(&ran);
            keep.lock().push(ran);
        }
    });
    let most = u32::try_from(count).unwrap_or(u32::MAX);
    let most = THROTTLED_MIN + THROTTLED_EACH.saturating_mul(most);
    let ended = match started {
        Ok(mut worker) => worker.attend(lab.interrupt, most),
        Err(error) => Err(format!("the throttled worker did not start: {error}")),
    };
    (std::mem::take(&mut *heard.lock()), ended.err())
}

/// The runs, and what they are of.
struct Course<'a> {
    lab: &'a Lab<'a>,
    args: &'a Args,
    things: Vec<(&'a str, String)>,
    runs: Vec<GoodRun>,
}

/// A run and its work.
type Task<'a> = (GoodRun, Work<'a>);

impl<'a> Course<'a> {
    fn new(lab: &'a Lab<'a>, args: &'a Args) -> Self {
        let things = lab.shelf.everything();
        let mut runs = runs(lab.seed, things.len(), args.runs());
        runs.retain(|run| args.only_run.is_none_or(|only| only == run.number));
        Self { lab, args, things, runs }
    }

    fn of(&self, strain: Strain) -> Vec<GoodRun> {
        self.runs.iter().filter(|run| run.strain == strain).copied().collect()
    }

    fn work(&self, run: &GoodRun) -> Option<Work<'a>> {
        let (dialect, name) = self.things.get(run.what)?;
        self.lab.work(dialect, name)
    }

    /// Makes runs side by side; then one by one those that must not be disturbed, and those that said
    /// nothing.
    fn all(&self, runs: &[GoodRun], told: &(dyn Fn(&Ran) + Sync)) -> Vec<Ran> {
        let tasks = runs.iter().filter_map(|run| Some((*run, self.work(run)?)));
        let (alone, beside): (Vec<Task<'_>>, Vec<_>) =
            tasks.partition(|(_, work)| work.thing.alone);
        let host = Host::new(self.lab, &[]);
        let jobs = usize::from(self.args.jobs).min(beside.len());
        let queue = Mutex::new(VecDeque::from(beside));
        let (done, open) = (Mutex::new(Vec::new()), Mutex::new(Vec::new()));
        std::thread::scope(|scope| {
            for _ in 0..jobs {
                scope.spawn(|| {
                    loop {
                        // The guard must not live as long as the run.
                        let next = queue.lock().pop_front();
                        let Some((run, work)) = next else { break };
                        match self.one(&run, &work, &host, 0..1) {
                            Some(ran) if is_open(ran.outcome) => {
                                open.lock().push((run, work, 1));
                            }
                            Some(ran) => {
                                told(&ran);
                                done.lock().push(ran);
                            }
                            None => break,
                        }
                    }
                });
            }
        });
        let mut done = done.into_inner();
        let alone = alone.into_iter().map(|(run, work)| (run, work, 0));
        for (run, work, before) in alone.chain(open.into_inner()) {
            let tries = before..before + TRIES_MAX;
            let Some(ran) = self.one(&run, &work, &host, tries) else { break };
            told(&ran);
            done.push(ran);
        }
        done
    }

    /// One run, tried until it says something, so often at most; none when the signal came.
    fn one(&self, run: &GoodRun, work: &Work<'_>, host: &Host, tries: Range<u32>) -> Option<Ran> {
        let bench = self.lab.bench(run.seed, Vec::new());
        let mut attempts = tries.start;
        loop {
            if self.lab.is_over() {
                return None;
            }
            attempts += 1;
            let (before, _) = host.deaths();
            let tried = work.attempt(&bench, host);
            let mut tried =
                tried.unwrap_or_else(|reason| Tried::only(Judged::inconclusive(reason)));
            if tried.interrupted {
                return None;
            }
            let (deaths, how) = host.deaths();
            if deaths > before {
                // A good server dies of nothing.
                let class = Some(Class::Killed.as_str());
                tried.judged = Judged { outcome: Outcome::Fail, class, message: how };
            }
            if !is_open(tried.judged.outcome) || attempts >= tries.end {
                return Some(self.ran(run, work, attempts, tried));
            }
        }
    }

    fn ran(&self, run: &GoodRun, work: &Work<'_>, attempts: u32, tried: Tried) -> Ran {
        let GoodRun { number, seed, strain, .. } = *run;
        Ran {
            number,
            what: work.thing.id.clone(),
            strain,
            seed,
            outcome: tried.judged.outcome,
            class: tried.judged.class.map(str::to_owned),
            message: tried.judged.message,
            attempts,
            duration_ms: tried.duration_ms,
            deliveries: tried.traffic.deliveries,
            again: self.again(run, work),
        }
    }

    /// The command that repeats a run.
    fn again(&self, run: &GoodRun, work: &Work<'_>) -> String {
        let dialect = work.thing.id.split('/').next().unwrap_or_default();
        if run.strain == Strain::None && !work.thing.id.contains(SCENARIO) {
            let (id, seed) = (&work.thing.id, run.seed);
            return format!("harness conform --dialect {dialect} --only {id} --seed {seed}");
        }
        let dialects = self.args.dialect.iter().map(|name| format!(" --dialect {}", quoted(name)));
        let (number, seed) = (run.number, self.lab.seed);
        let dialects: String = dialects.collect();
        format!("harness selftest --good-only{dialects} --only-run {number} --seed {seed}")
    }
}
