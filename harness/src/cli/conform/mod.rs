//! `harness conform`: judges servers requirement by requirement, and reports what came of it.

mod log;
pub(super) mod logs;
mod runner;
mod servers;
mod smaller;
pub(super) mod subjects;
pub(super) mod tries;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Instant;

use jiff::Timestamp;

use self::log::Log;
use self::logs::Logs;
use self::runner::{Runner, Unit};
use self::servers::{Seat, Servers};
use self::smaller::Smaller;
use self::subjects::{Subject, Target, resolve, server_timers, target};
use self::tries::Bench;
use super::run::{Common, capacity, could_not, stopped_by, wrong};
use super::shrink::Shrinking;
use super::{print, progress, tell};
use crate::conform::baseline;
use crate::conform::event::{Asked, Event, LeftOut, NOT_SELECTED, Opening, SCHEMA_VERSION};
use crate::conform::fit::{Fit, fit};
use crate::conform::outcome::{Judged, Outcome};
use crate::conform::pattern::Pattern;
use crate::conform::results::Results;
use crate::conform::select::select;
use crate::conform::suite::{COMMON, Case, Suite, files_of};
use crate::drive::Interrupt;
use crate::plan::mix;
use crate::report::conform as report;
use crate::report::words::counted;
use crate::report::write::Place;
use crate::scenario::{Problems, files};
use crate::verdict::Exit;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// A server to judge, e.g. ws://127.0.0.1:8080, and before it what it speaks or promises, e.g.
    /// rooms=ws://…; repeatable; without it the reference server is started with short timers
    #[arg(long, value_name = "[DIALECT|PROFILE=]URL", env = "HARNESS_TARGET", value_parser = target)]
    target: Vec<Target>,
    /// What to judge it by: a dialect's name or file; repeatable [default: at a target native, else all]
    #[arg(long, value_name = "NAME|FILE", env = "HARNESS_DIALECT")]
    dialect: Vec<String>,
    /// What the server promises: a profile's name or file; repeatable, for each dialect one
    #[arg(long, value_name = "NAME|FILE")]
    profile: Vec<String>,
    /// Run only these cases, e.g. rooms/join/* or '**/ping'; `*` is one component, `**` any; repeatable
    #[arg(long, value_name = "PATTERN")]
    only: Vec<Pattern>,
    /// Leave these cases out; repeatable
    #[arg(long, value_name = "PATTERN")]
    skip: Vec<Pattern>,
    /// What is known to fail; what then passes, or fails otherwise, fails the suite
    #[arg(long, value_name = "FILE")]
    baseline: Option<PathBuf>,
    /// A SHOULD that is not met fails the suite, too
    #[arg(long)]
    strict: bool,
    /// Take requirements, cases, profiles and dialects from this directory, laid out like scenarios/
    #[arg(long, value_name = "DIR")]
    suite: Option<PathBuf>,
    /// How many cases run side by side
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u8).range(1..=64))]
    jobs: u8,
    /// Say which cases would be run instead of running them
    #[arg(long)]
    list: bool,
    #[command(flatten)]
    shrinking: Shrinking,
    #[command(flatten)]
    common: Common,
}

pub(super) fn main(args: &Args) -> Exit {
    match conform(args) {
        Ok(exit) | Err(exit) => exit,
    }
}

/// A case at a subject, and whether it is for it.
struct Choice<'a> {
    id: String,
    case: &'a Case,
    seat: usize,
    fit: Fit,
}

fn conform(args: &Args) -> Result<Exit, Exit> {
    let suite = read_suite(args.suite.as_deref())?;
    let (servers, mut subjects) = resolve(&suite, args).map_err(|problems| wrong(&problems))?;
    let all = choices(&suite, &subjects);
    let ids: Vec<&str> = all.iter().map(|choice| choice.id.as_str()).collect();
    let chosen = select(&ids, &args.only, &args.skip).map_err(|wrong| usage(&wrong))?;
    let baseline = read_baseline(args, &suite, &subjects)?;
    let (mut choices, unselected) = divide(all, &chosen);
    let unselected = unselected_of(unselected, &choices, &subjects);
    leave_out_idle(&mut subjects, &mut choices);
    if args.list {
        print(&list(&choices, &subjects));
        return Ok(Exit::Passed);
    }

    let interrupt =
        Interrupt::on_signals().map_err(|error| could_not(&format!("no signals: {error}")))?;
    let started = Timestamp::now();
    let name = format!("conform-{}", started.strftime("%Y%m%dT%H%M%S.%3fZ"));
    let unwritten = |error: crate::report::write::WriteError| {
        tell(&error.to_string());
        Exit::Report
    };
    let place = Place::prepare(args.common.report.as_deref(), Path::new("."), &name);
    let place = place.map_err(unwritten)?;

    let micros = u64::try_from(started.as_microsecond()).unwrap_or_default();
    // Half of the bits are enough to tell two runs apart, and are easier to repeat.
    let seed = args.common.seed.unwrap_or_else(|| mix(micros) >> 32);
    let opening = Opening {
        schema_version: SCHEMA_VERSION,
        started: started.to_string(),
        today: started.strftime("%Y-%m-%d").to_string(),
        seed,
        strict: args.strict,
        baseline,
        subjects: subjects.iter().map(|subject| subject.entry.clone()).collect(),
        requirements: asked(&suite, &subjects),
    };
    let server_args: Vec<String> =
        args.common.server_args.iter().flat_map(|it| words(it)).collect();
    let timers = server_timers(args.common.heartbeat, &subjects);
    let child_args = timers.into_iter().chain(server_args.clone());
    let (tls, capacity) = (args.common.tls(), capacity());
    let logs = Logs::new(&place, args.common.log_bytes);
    let (patience, interrupt, tls) = (None, &interrupt, &tls);
    let kept = Some(&logs);
    let bench = Bench { seed, capacity, server_args, patience, interrupt, tls, logs: kept };
    let servers =
        Servers::start(bench, &suite, (servers, subjects), child_args.collect(), args.common.wait);
    let servers = servers.map_err(|reason| could_not(&reason))?;
    servers.reach_all().map_err(|reason| match interrupt.signal() {
        Some(signal) => stopped_by(signal),
        None => could_not(&reason),
    })?;

    let planned = choices.iter().filter(|it| !matches!(it.fit, Fit::Elsewhere(_))).count();
    let log = Log::new(place.begin(EVENTS).map_err(unwritten)?, planned, args.common.quiet);
    if !args.common.quiet {
        let cases = counted(planned as u64, "case");
        tell(&format!("  conform: {cases}, seed {seed}"));
    }
    let begun = Instant::now();
    log.add(Event::Suite(Box::new(opening)));
    unselected.into_iter().for_each(|left| log.add(Event::LeftOut(left)));
    run(&suite, &servers, &log, &choices, usize::from(args.jobs));
    progress::clear(args.common.quiet);
    let (duration_s, signal) = (begun.elapsed().as_secs_f64(), interrupt.signal());
    let failed = if args.shrinking.shrink { log.failed() } else { Vec::new() };
    log.add(Event::Over { duration_s, signal });
    let smaller = Smaller { args, choices: &choices, servers: &servers };
    Ok(finish(log, &place, &logs, || smaller.shrink(&failed, &place)))
}

/// The log's name in the report.
const EVENTS: &str = "events.ndjson";

/// The suite in a directory, or the one that comes with the program; what is wrong with it is told.
pub(super) fn read_suite(directory: Option<&Path>) -> Result<Suite, Exit> {
    let files = files_of(directory).map_err(|problems| wrong(&problems))?;
    let (suite, problems) = Suite::read(files);
    match problems.is_empty() {
        true => Ok(suite),
        false => {
            let told: Vec<Exit> = problems.iter().map(wrong).collect();
            Err(told.first().copied().unwrap_or(Exit::Usage))
        }
    }
}

fn read_baseline(
    args: &Args,
    suite: &Suite,
    subjects: &[Subject],
) -> Result<Vec<baseline::Waiver>, Exit> {
    let Some(path) = &args.baseline else { return Ok(Vec::new()) };
    let mut names = suite.dialect_names();
    // A dialect's file of the user's own has the common cases, too.
    names.extend(subjects.iter().map(|subject| subject.entry.dialect.clone()));
    let ids = names.iter().flat_map(|name| suite.cases_of(name));
    let ids: Vec<String> = ids.map(|(id, _)| id).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let read = files::read(path).and_then(|source| baseline::read(&source, Some(&ids)));
    read.map_err(|problems: Problems| wrong(&problems))
}

/// Every case at every subject that it could be for.
fn choices<'a>(suite: &'a Suite, subjects: &[Subject]) -> Vec<Choice<'a>> {
    let mut choices = Vec::new();
    for (seat, subject) in subjects.iter().enumerate() {
        for (id, case) in suite.cases_of(&subject.entry.dialect) {
            let mut fit = fit(suite, case, &subject.profile, &subject.dialect);
            if fit == Fit::Runs && case.own_server && !subject.entry.url.is_empty() {
                let why = "it needs a server of its own, and a target cannot be started";
                fit = Fit::Lacks(why.to_owned());
            }
            choices.push(Choice { id, case, seat, fit });
        }
    }
    choices
}

/// Those that the user means, and the others.
fn divide<'a>(all: Vec<Choice<'a>>, chosen: &[bool]) -> (Vec<Choice<'a>>, Vec<Choice<'a>>) {
    let (mut meant, mut others) = (Vec::new(), Vec::new());
    for (choice, chosen) in all.into_iter().zip(chosen) {
        if *chosen { &mut meant } else { &mut others }.push(choice);
    }
    (meant, others)
}

/// What is said of the cases that the user does not mean, of subjects that are judged by others.
fn unselected_of(
    unselected: Vec<Choice<'_>>,
    choices: &[Choice<'_>],
    subjects: &[Subject],
) -> Vec<LeftOut> {
    let told = unselected.into_iter().filter_map(|it| {
        let subject = subjects.get(it.seat)?;
        let judged = choices.iter().any(|choice| choice.seat == it.seat);
        let (target, why) = (subject.entry.target.clone(), NOT_SELECTED.to_owned());
        judged.then_some(LeftOut { case: it.id, target, why })
    });
    told.collect()
}

/// Leaves out the subjects of which no case was chosen: nobody asked about them.
fn leave_out_idle(subjects: &mut Vec<Subject>, choices: &mut [Choice<'_>]) {
    let mut places = Vec::new();
    let mut kept = Vec::new();
    for (place, subject) in std::mem::take(subjects).into_iter().enumerate() {
        places.push(kept.len());
        if choices.iter().any(|choice| choice.seat == place) {
            kept.push(subject);
        }
    }
    for choice in choices {
        choice.seat = places.get(choice.seat).copied().unwrap_or_default();
    }
    *subjects = kept;
}

/// The requirements that concern these subjects.
fn asked(suite: &Suite, subjects: &[Subject]) -> Vec<Asked> {
    let concerns =
        |set: &str| set == COMMON || subjects.iter().any(|subject| subject.entry.dialect == set);
    let own = suite.requirements().filter(|it| concerns(&it.set));
    let asked = own.map(|it| Asked {
        id: it.id.clone(),
        level: Some(it.level),
        text: it.text.clone(),
        source: it.source.clone(),
        set: it.set.clone(),
        untestable: suite.untestable(&it.id).map(str::to_owned),
    });
    asked.collect()
}

fn list(choices: &[Choice<'_>], subjects: &[Subject]) -> String {
    let mut text = String::new();
    for choice in choices {
        let target = subjects.get(choice.seat).map_or("", |it| &it.entry.target);
        let requires = choice.case.requires.join(" ");
        let fit = match &choice.fit {
            Fit::Runs => String::new(),
            Fit::Lacks(why) => format!("  (unsupported: {why})"),
            Fit::Elsewhere(why) => format!("  (left out: {why})"),
        };
        let _never_fails = writeln!(text, "{:<48} {target}  {requires}{fit}", choice.id);
    }
    text
}

/// Runs the cases that are for their subjects, between two sanity cases.
fn run(suite: &Suite, servers: &Servers<'_>, log: &Log, choices: &[Choice<'_>], jobs: usize) {
    let runner = Runner { servers, log, jobs };
    let sane: Vec<bool> = servers.seats.iter().map(|seat| is_sane(&runner, seat)).collect();
    let mut units = Vec::new();
    for choice in choices {
        let Some(seat) = servers.seats.get(choice.seat) else { continue };
        let (id, case) = (choice.id.as_str(), choice.case);
        let lacks = match &choice.fit {
            Fit::Runs => None,
            Fit::Lacks(why) => Some(why.as_str()),
            Fit::Elsewhere(why) => {
                let (case, target) = (id.to_owned(), seat.subject.entry.target.clone());
                log.add(Event::LeftOut(LeftOut { case, target, why: why.clone() }));
                continue;
            }
        };
        let unit = Unit::new(id, case, seat, suite.level(case), lacks);
        match sane.get(choice.seat) {
            Some(true) => units.push(unit),
            _ => runner.void(&unit, "the sanity case failed"),
        }
    }
    runner.run(units);
    for (seat, _) in servers.seats.iter().zip(sane).filter(|(_, sane)| *sane) {
        is_sane(&runner, seat);
    }
}

/// Whether a subject passes its sanity case; if not, that is a failure like any other.
fn is_sane(runner: &Runner<'_>, seat: &Seat) -> bool {
    if runner.servers.bench.interrupt.signal().is_some() {
        return true;
    }
    let mut tried = runner.servers.sanity(seat);
    if tried.judged.outcome == Outcome::Pass || tried.interrupted {
        return true;
    }
    if tried.server_gone {
        let class = Some(crate::check::Class::Killed.as_str());
        let message = seat.gone().unwrap_or(tried.judged.message);
        tried.judged = Judged { outcome: Outcome::Fail, class, message };
        tried.findings = tried.findings.max(1);
    }
    runner.insane(seat, tried);
    false
}

/// Writes the reports, and says what came of it all; before the last line, does what is to be done
/// when they lie there.
fn finish(log: Log, place: &Place, logs: &Logs, then: impl FnOnce()) -> Exit {
    let (events, text) = log.end();
    let results = Results::of(&events);
    let markdown = report::markdown::render(&results);
    let files = [
        (EVENTS.to_owned(), text.into_bytes()),
        ("summary.md".to_owned(), markdown.clone().into_bytes()),
        ("junit.xml".to_owned(), report::junit::render(&results).into_bytes()),
        ("matrix.html".to_owned(), report::html::render(&results).into_bytes()),
        ("badge.json".to_owned(), report::badge::render(&results).into_bytes()),
        // Last, so that a reader who finds it finds all the others, too.
        ("results.json".to_owned(), report::json::render(&results).into_bytes()),
    ];
    // The logs lie there first, and without them the report still does.
    let kept = logs.end();
    let written = place.write_files(&files, &markdown).and(kept);
    let shown = place.directory().display().to_string();
    let shown = if written.is_ok() { shown.as_str() } else { "-" };
    let (block, last) = (report::text::render(&results), report::text::last_line(&results, shown));
    print(&block);
    if written.is_ok() {
        then();
    }
    print(&format!("{last}\n"));
    match written {
        Ok(()) => results.exit(),
        Err(error) => {
            tell(&error.to_string());
            Exit::Report
        }
    }
}

fn usage(wrong: &[String]) -> Exit {
    wrong.iter().for_each(|line| tell(line));
    Exit::Usage
}

fn words(text: &str) -> impl Iterator<Item = String> {
    text.split_whitespace().map(str::to_owned)
}
