//! `harness selftest`: servers that are wrong in a known way must be found out, with the right class,
//! and a good one must not be accused.

mod cells;
mod good;
mod lab;
mod strain;

use std::path::{Path, PathBuf};
use std::time::Instant;

use jiff::Timestamp;

use self::lab::Lab;
use super::conform::read_suite;
use super::run::{could_not, wrong};
use super::{print, progress, serve, tell};
use crate::conform::pattern::Pattern;
use crate::conform::suite::Suite;
use crate::drive::Interrupt;
use crate::plan::mix;
use crate::report::selftest as report;
use crate::report::words::counted;
use crate::report::write::{Place, WriteError};
use crate::scenario::problem::nearest;
use crate::selftest::catalogue::{Catalogue, Cell};
use crate::selftest::lint;
use crate::selftest::results::Results;
use crate::verdict::Exit;

/// Good runs that are made where nobody says how many.
const RUNS: u64 = 300;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Only in this dialect; repeatable
    #[arg(long, value_name = "D")]
    dialect: Vec<String>,
    /// Only these mutants, e.g. 'loss-*'; repeatable
    #[arg(long, value_name = "PATTERN")]
    mutant: Vec<Pattern>,
    /// How many runs against the good server [default: 300; with --mutant none]
    #[arg(long, value_name = "N")]
    runs: Option<u64>,
    /// Only the runs against the good server: for builds without mutants
    #[arg(long, conflicts_with = "mutant")]
    good_only: bool,
    /// Only this one of them
    #[arg(long, value_name = "N")]
    only_run: Option<u64>,
    /// Write the report into this directory [default: reports/selftest-<UTC time>]
    #[arg(long, value_name = "DIR", env = "HARNESS_REPORT")]
    report: Option<PathBuf>,
    /// The seed of every random choice
    #[arg(long, value_name = "N", env = "HARNESS_SEED")]
    seed: Option<u64>,
    /// How much runs side by side
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u8).range(1..=64))]
    jobs: u8,
    /// Say which rows the table has instead of trying them
    #[arg(long)]
    list: bool,
    /// Only results, no progress
    #[arg(long, short)]
    quiet: bool,
    /// Make the throttled share of the good runs, and tell what comes of them line by line
    #[arg(long, hide = true, requires = "good_only")]
    worker: bool,
}

impl Args {
    /// How many good runs.
    fn runs(&self) -> u64 {
        let default = if self.mutant.is_empty() { RUNS } else { 0 };
        self.runs.or(self.only_run).unwrap_or(default)
    }

    /// Only a part of the table is asked for.
    fn is_partial(&self) -> bool {
        !self.mutant.is_empty() || !self.dialect.is_empty()
    }
}

pub(super) fn main(args: &Args) -> Exit {
    match selftest(args) {
        Ok(exit) | Err(exit) => exit,
    }
}

fn selftest(args: &Args) -> Result<Exit, Exit> {
    let suite = read_suite(None)?;
    let dialects = dialects(&suite, args)?;
    let catalogue = catalogue()?;
    let cells = chosen(&catalogue, &dialects, args)?;
    if args.list {
        print(&report::text::list(&cells));
        return Ok(Exit::Passed);
    }
    if !args.good_only {
        if !serve::HAS_MUTANTS {
            return Err(could_not(
                "this build has no mutants: `cargo run -p harness --features mutants -- selftest` \
                 makes one that has (not with --release); --good-only needs none",
            ));
        }
        doubts(&catalogue, &suite, &cells);
    }
    let interrupt = Interrupt::on_signals();
    let interrupt = interrupt.map_err(|error| could_not(&format!("no signals: {error}")))?;
    let started = Timestamp::now();
    let micros = u64::try_from(started.as_microsecond()).unwrap_or_default();
    // Half of the bits are enough to tell two runs apart, and are easier to repeat.
    let seed = args.seed.unwrap_or_else(|| mix(micros) >> 32);
    let lab = Lab::new(&suite, &dialects, &interrupt, seed).map_err(|it| wrong(&it))?;
    if args.worker {
        return Ok(good::worker(&lab, args));
    }
    let unwritten = |error: WriteError| {
        tell(&error.to_string());
        Exit::Report
    };
    let name = format!("selftest-{}", started.strftime("%Y%m%dT%H%M%S.%3fZ"));
    let place = Place::prepare(args.report.as_deref(), Path::new("."), &name).map_err(unwritten)?;
    if !args.quiet {
        let (rows, runs) = (counted(cells.len() as u64, "row"), counted(args.runs(), "good run"));
        tell(&format!("  selftest: {rows}, {runs}, seed {seed}"));
    }
    let begun = Instant::now();
    let mut results = Results {
        started: started.to_string(),
        seed,
        partial: args.is_partial(),
        runs: args.only_run.map_or_else(|| args.runs(), |_| 1),
        ..Results::default()
    };
    results.tallies = cells::run(&lab, &catalogue, &cells, args);
    good::run(&lab, args, &mut results);
    progress::clear(args.quiet);
    (results.duration_s, results.signal) = (begun.elapsed().as_secs_f64(), interrupt.signal());
    Ok(finish(&results, &place))
}

/// The dialects that are meant.
fn dialects(suite: &Suite, args: &Args) -> Result<Vec<String>, Exit> {
    let known = suite.dialect_names();
    if let Some(name) = args.dialect.iter().find(|name| !known.contains(name)) {
        let near = nearest(name, known.iter().map(String::as_str));
        let help = near.map_or_else(|| known.join(", "), |near| format!("did you mean {near}?"));
        tell(&format!("--dialect {name}: no dialect of the suite is called like that ({help})"));
        return Err(Exit::Usage);
    }
    Ok(if args.dialect.is_empty() { known } else { args.dialect.clone() })
}

fn catalogue() -> Result<Catalogue, Exit> {
    Catalogue::shipped().map_err(|problems| {
        let told: Vec<Exit> = problems.iter().map(wrong).collect();
        told.first().copied().unwrap_or(Exit::Usage)
    })
}

/// The rows that are meant.
fn chosen<'a>(
    catalogue: &'a Catalogue,
    dialects: &[String],
    args: &Args,
) -> Result<Vec<&'a Cell>, Exit> {
    let ids: Vec<&str> = catalogue.entries.iter().map(|entry| entry.id.as_str()).collect();
    for pattern in &args.mutant {
        if !ids.iter().any(|id| pattern.matches(id)) {
            let text = pattern.to_string();
            let near = nearest(&text, ids.iter().copied());
            let help = near.map_or_else(String::new, |near| format!(" (did you mean {near}?)"));
            tell(&format!("--mutant {text}: no mutant is called like that{help}"));
            return Err(Exit::Usage);
        }
    }
    let meant = |cell: &&Cell| {
        let named = args.mutant.iter().any(|pattern| pattern.matches(&cell.id));
        (named || args.mutant.is_empty()) && dialects.contains(&cell.dialect)
    };
    let cells = catalogue.cells().filter(meant);
    Ok(if args.good_only { Vec::new() } else { cells.collect() })
}

/// Tells what is wrong with the catalogue, where that concerns what is tried.
fn doubts(catalogue: &Catalogue, suite: &Suite, cells: &[&Cell]) {
    let concerned = |id: &str| cells.iter().any(|cell| cell.id == id);
    let entries = catalogue.entries.iter().filter(|entry| concerned(&entry.id));
    let part = Catalogue { entries: entries.cloned().collect() };
    for problems in lint::lint(&part, suite) {
        tell(problems.lines().trim_end());
    }
}

/// Writes the reports, and says what came of it all.
fn finish(results: &Results, place: &Place) -> Exit {
    let markdown = report::markdown::render(results);
    let files = [
        ("summary.md".to_owned(), markdown.clone().into_bytes()),
        ("selftest.html".to_owned(), report::html::render(results).into_bytes()),
        // Last, so that a reader who finds it finds all the others, too.
        ("selftest.json".to_owned(), report::json::render(results).into_bytes()),
    ];
    let written = place.write_files(&files, &markdown);
    let shown = place.directory().display().to_string();
    let shown = if written.is_ok() { shown.as_str() } else { "-" };
    let (block, last) = (report::text::render(results), report::text::last_line(results, shown));
    print(&format!("{block}{last}\n"));
    match written {
        Ok(()) => results.exit(),
        Err(error) => {
            tell(&error.to_string());
            Exit::Report
        }
    }
}
