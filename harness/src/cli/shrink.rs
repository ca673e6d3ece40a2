//! `--shrink`: runs the candidates of a search, each as a run of its own without a report, and writes
//! the smallest that fails in the same way.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::run::{capacity, quoted, stopped_by};
use super::{progress, summarize};
use crate::conform::outcome::{Outcome, ended, judge, patience};
use crate::conform::requirement::Level;
use crate::dialect::{Dialect, Heartbeat};
use crate::drive::{self, Cut, Interrupt, Job, Tls};
use crate::plan::{Action, Built, Capacity, Options, Plan, Source, Span, Step, Term};
use crate::report::write::Place;
use crate::scenario::units::heartbeat_text;
use crate::scenario::{Problems, Scenario, users};
use crate::shrink::{
    AsRun, Baked, Came, Head, Scope, Search, Size, Tree, Way, rid_of_faults, without_mutants,
};
use crate::summary::Summary;

/// Tries of a candidate of which nothing can be said, because the harness itself was late.
const TRIES_MAX: u32 = 3;

/// Scenarios of more steps are not made smaller: candidates are many, and each is a whole copy.
const STEPS_MAX: u64 = 1_000;

/// How long what is owed may take at the end of a candidate, where it does not say so itself.
const SETTLE: Duration = Duration::from_secs(1);

/// How long a step of a candidate may take that does not say so itself, where one waits in vain.
const WITHIN: Duration = Duration::from_secs(1);

/// Whether, and for how long.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(super) struct Shrinking {
    /// After a failure: make the scenario smaller while it still fails so, and write what is left
    #[arg(long)]
    pub(super) shrink: bool,
    /// Try nothing smaller after this time
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = humantime::parse_duration)]
    pub(super) shrink_time: Duration,
}

/// A run that failed, and all that is needed to repeat it.
pub(super) struct Failed<'a> {
    pub(super) scenario: Source,
    pub(super) baked: Baked,
    pub(super) seed: u64,
    /// How the target talks, if that is said beside the scenario: a name or a path.
    pub(super) dialect: Option<String>,
    pub(super) users: Option<PathBuf>,
    pub(super) target: Option<String>,
    pub(super) heartbeat: Option<Heartbeat>,
    pub(super) server_args: Vec<String>,
    pub(super) tls: &'a Tls,
    /// The same in words of a command.
    pub(super) trust: Vec<String>,
    pub(super) interrupt: &'a Interrupt,
    pub(super) quiet: bool,
}

/// A scenario that can be run again and again.
struct Bench<'a> {
    failed: &'a Failed<'a>,
    vars: BTreeMap<String, String>,
    users: Option<PathBuf>,
    capacity: Capacity,
}

/// How little a candidate waits for what does not come.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Haste {
    None,
    AtTheEnd,
    InSteps,
}

/// What came of one run of a candidate.
struct Ran {
    summary: Summary,
    outcome: Outcome,
}

impl Failed<'_> {
    /// Makes it smaller, writes what is left to a file of the report, and says what came of it.
    /// `way`: how it failed, if that is known.
    pub(super) fn shrink(
        self,
        way: Option<Way>,
        within: Duration,
        (place, file): (&Place, &str),
    ) -> String {
        match self.search(way, within, (place, file)) {
            Ok(told) => told,
            Err(why) => format!("  {:<11} not shrunk: {why}\n", "shrunk"),
        }
    }

    /// The scenario as it was run.
    fn as_run(&self) -> Result<AsRun, String> {
        let read = Tree::read(&self.scenario.text);
        let tree = read.map_err(|problem| Problems::new(self.scenario.clone(), vec![problem]));
        let as_run = self.baked.clone().into_tree(&tree.map_err(|problems| problems.lines())?);
        let steps = Size::of(&as_run.tree).steps;
        if steps > STEPS_MAX {
            return Err(format!("it has {steps} steps, and no more than {STEPS_MAX} are tried"));
        }
        Ok(as_run)
    }

    fn search(
        self,
        way: Option<Way>,
        within: Duration,
        (place, file): (&Place, &str),
    ) -> Result<String, String> {
        let begun = Instant::now();
        let AsRun { tree, vars, users } = self.as_run()?;
        let beside = |users: &String| users::beside(&self.scenario.name, users);
        let users = self.users.clone().or_else(|| users.as_ref().map(beside));
        let bench = Bench { failed: &self, vars, users, capacity: capacity() };
        let mut way = match way {
            Some(way) => way,
            None => bench.way(&tree)?,
        };
        let control = way.needs_control() && bench.is_fine_at_a_right_server(&tree) == Some(true);
        let scope = if way.needs_control() && !control { Scope::Careful } else { Scope::All };
        let mut search = Search::new(tree.clone(), scope);
        let mut over = false;
        while let Some(candidate) = search.propose().cloned() {
            if !over && begun.elapsed() > within {
                over = true;
                search.end();
                continue;
            }
            // By its own command it is run without haste.
            let haste = match way.needs_control() {
                _ if search.is_left() => Haste::None,
                true => Haste::InSteps,
                false => Haste::AtTheEnd,
            };
            // What fails at a right server, too, need not be run at the wrong one.
            let control = control && search.is_new();
            let fine =
                if control { bench.is_fine_at_a_right_server(&candidate) } else { Some(true) };
            let (came, detail) = match fine {
                Some(true) => bench.came(&candidate, &way, haste),
                Some(false) => (Came::Other, None),
                None => (Came::Invalid, None),
            };
            if self.interrupt.signal().is_some() {
                // What was cut short says nothing.
                break;
            }
            tracing::debug!(what = search.what(), ?came, "candidate");
            search.told(came);
            if search.found() == Some(&candidate) {
                way.detail = detail.unwrap_or(way.detail);
            }
            let runs = search.tally().runs;
            let left = search.found().map(Size::of).unwrap_or_else(|| Size::of(&tree));
            progress::line(self.quiet, &format!("shrinking: {left}   {runs} runs"));
        }
        progress::clear(self.quiet);
        let ran_out = over || self.interrupt.signal().is_some();
        let (seconds, tally) = (begun.elapsed().as_secs_f64(), search.tally());
        let Some(left) = search.found() else {
            let what = match ran_out {
                true => "the time was over before anything failed so in all of its runs",
                false => "neither it nor anything smaller failed so in all of its runs",
            };
            return Err(format!("{way}: {what}: {}", tally.why()));
        };
        let path = place.directory().join(file);
        let command = bench.command(&path.display().to_string());
        let (from, before) = (self.scenario.name.as_str(), Size::of(&tree));
        let proof = search.proof();
        let head = Head { way: &way, from, before, command: &command, proof };
        place.add(file, head.file(left).as_bytes()).map_err(|error| error.to_string())?;
        let mut told = head.told(left, tally, seconds);
        if scope == Scope::Careful {
            told +=
                "              its steps stay: no right server is there to tell what they need\n";
        }
        if ran_out {
            told += "              the time was over: more of --shrink-time may leave less\n";
        }
        Ok(told)
    }
}

impl Bench<'_> {
    /// How it fails.
    fn way(&self, tree: &Tree) -> Result<Way, String> {
        for _ in 0..TRIES_MAX {
            let target = self.failed.target.as_deref();
            let ran = self.run(tree, target, &self.failed.server_args, Haste::None);
            let ran = ran.ok_or("it cannot be run as a scenario by itself")?;
            if ran.outcome == Outcome::Fail
                && let Some(way) = Way::of(&ran.summary, &tree.yaml())
            {
                return Ok(way);
            }
        }
        Err("as a scenario by itself it does not fail".to_owned())
    }

    /// What came of a candidate, and what happened, if it failed in the same way.
    fn came(&self, tree: &Tree, way: &Way, haste: Haste) -> (Came, Option<String>) {
        let failed = self.failed;
        for _ in 0..TRIES_MAX {
            let ran = self.run(tree, failed.target.as_deref(), &failed.server_args, haste);
            let Some(Ran { summary, outcome }) = ran else { return (Came::Invalid, None) };
            match outcome {
                Outcome::Fail => {
                    let detail = way.found_in(&summary, &tree.yaml());
                    return (if detail.is_some() { Came::Same } else { Came::Other }, detail);
                }
                Outcome::Inconclusive if failed.interrupt.signal().is_none() => {}
                _ => break,
            }
        }
        (Came::Passed, None)
    }

    /// Whether nothing goes wrong at the reference server, without the faults that are put into it;
    /// none: it cannot be run there.
    fn is_fine_at_a_right_server(&self, tree: &Tree) -> Option<bool> {
        let args = without_mutants(&self.failed.server_args);
        let right = rid_of_faults(tree);
        if self.failed.target.is_none() && args == self.failed.server_args && right == *tree {
            // It is this one that does wrong.
            return Some(false);
        }
        let Ran { summary, outcome } = self.run(&right, None, &args, Haste::InSteps)?;
        // Too little may be left to be judged; what was waited for has come.
        let open = matches!(outcome, Outcome::Pass | Outcome::Inconclusive);
        Some(open && summary.findings == 0)
    }

    /// Runs a candidate; none if it cannot be run.
    fn run(
        &self,
        tree: &Tree,
        target: Option<&str>,
        server_args: &[String],
        haste: Haste,
    ) -> Option<Ran> {
        let failed = self.failed;
        let source = Source { name: failed.scenario.name.clone(), text: tree.yaml().into() };
        let mut plan = match self.plan(source, target) {
            Ok(Built::Ready(plan, cost)) => {
                if cost.refusal(&plan.groups, &self.capacity).is_some() {
                    return None;
                }
                plan
            }
            Ok(Built::Skipped(why)) => {
                tracing::debug!(why, "skipped");
                return None;
            }
            Err(problems) => {
                tracing::debug!(problems = problems.lines(), "no scenario");
                return None;
            }
        };
        plan.server.args.extend(server_args.iter().cloned());
        if haste != Haste::None {
            be_impatient(&mut plan);
        }
        if haste == Haste::InSteps {
            hurry(&mut plan.steps);
        }
        let job = Job {
            plan: &plan,
            target,
            reached: None,
            tls: failed.tls,
            wait: Duration::ZERO,
            heartbeat: failed.heartbeat,
            log: None,
            interrupt: failed.interrupt,
            say: &|_| {},
            live: &|_| {},
        };
        let started = Timestamp::now();
        let outcome = drive::run(&job).ok()?;
        let interrupted = matches!(outcome.cut, Some(Cut::Interrupted(_)));
        let endings = ended(outcome.books.endings.all());
        let mut summary = summarize::outcome(&plan, started, outcome, String::new());
        summary.interrupted = failed.interrupt.signal().filter(|_| interrupted).map(stopped_by);
        let timers = failed.heartbeat.or(plan.dialect.heartbeat);
        let patience = timers.map(|timers| patience(plan.dialect.timers(timers)));
        let outcome = judge(&summary, Level::Must, patience, &endings).outcome;
        Some(Ran { summary, outcome })
    }

    fn plan(&self, source: Source, target: Option<&str>) -> Result<Built, Problems> {
        let failed = self.failed;
        let options = Options {
            seed: Some(failed.seed),
            heartbeat: failed.heartbeat,
            target: target.is_some(),
            dialect: failed.dialect.clone(),
            users: self.users.clone(),
            vars: self.vars.clone(),
            ..Options::now()
        };
        let given = failed.dialect.as_deref().map(Dialect::load).transpose()?;
        let names = given.as_ref().map(Dialect::gives).unwrap_or_default();
        let scenario = Scenario::parse_with(source, &names)?;
        match given {
            Some(dialect) => Plan::build_with(&scenario, dialect, &options),
            None => Plan::build(&scenario, &options),
        }
    }

    /// The command that runs a file as the candidates were run.
    fn command(&self, path: &str) -> String {
        let failed = self.failed;
        let mut words = vec!["harness run".to_owned(), quoted(path)];
        let mut add = |option: &str, value: &str| words.push(format!("{option} {}", quoted(value)));
        add("--seed", &failed.seed.to_string());
        if let Some(dialect) = &failed.dialect {
            add("--dialect", dialect);
        }
        if let Some(target) = &failed.target {
            add("--target", target);
        }
        if let Some(users) = &self.users {
            add("--users", &users.display().to_string());
        }
        if let Some(heartbeat) = failed.heartbeat {
            add("--heartbeat", &heartbeat_text(heartbeat));
        }
        if !failed.server_args.is_empty() {
            add("--server-args", &failed.server_args.join(" "));
        }
        for (name, value) in &self.vars {
            add("--var", &format!("{name}={value}"));
        }
        words.extend(failed.trust.iter().cloned());
        words.join(" ")
    }
}

/// What is owed and does not come keeps each run waiting: less than a run by itself.
fn be_impatient(plan: &mut Plan) {
    let Some(last) = plan.steps.last() else { return };
    if !matches!(last.action, Action::Settle(_)) {
        let place = last.place;
        let (note, who, within, needs) = (None, None, None, Vec::new());
        let action = Action::Settle(SETTLE);
        plan.steps.push(Step { place, note, who, within, needs, action });
    }
}

/// The same of what steps wait for that do not say for how long.
fn hurry(steps: &mut [Step]) {
    for step in steps {
        step.within.get_or_insert_with(|| Span(vec![(1.0, Term::Time(WITHIN))]));
        match &mut step.action {
            Action::Repeat { steps, .. } | Action::Together(steps) | Action::Each(steps) => {
                hurry(steps);
            }
            _ => {}
        }
    }
}
