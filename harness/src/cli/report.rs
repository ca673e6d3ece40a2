//! `harness report`: shows a run's report again, and judges its log again.

use std::fs::{self, File};
use std::io::BufReader;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::run::graver;
use super::{print, tell};
use crate::log::{self, Account, Difference, Rechecked, Wholeness, recheck};
use crate::report::words;
use crate::verdict::Exit;

/// Differences shown.
const SHOWN: usize = 20;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// A report's directory; with --recheck also a log by itself
    #[arg(value_name = "DIR|LOG")]
    path: PathBuf,
    /// Run the checks over the log, and say whether they find what the run found: 0 the same, 1
    /// otherwise, 2 there is no log that can be read, 4 it is not whole
    #[arg(long)]
    recheck: bool,
}

pub(super) fn main(args: &Args) -> Exit {
    if args.recheck { recheck_all(&args.path) } else { show(&args.path) }
}

/// Prints what the run printed.
fn show(directory: &Path) -> Exit {
    let files = ["summary.txt", "summary.md"].map(|name| directory.join(name));
    let Some(path) = files.iter().find(|path| path.is_file()) else {
        tell(&format!("{}: there is no report of a run or a suite", directory.display()));
        return Exit::Usage;
    };
    match fs::read_to_string(path) {
        Ok(text) => {
            print(&text);
            Exit::Passed
        }
        Err(error) => {
            tell(&format!("{}: {error}", path.display()));
            Exit::Usage
        }
    }
}

/// The logs below a path, with the run's own report where there is one.
fn logs(path: &Path) -> Vec<PathBuf> {
    if path.is_file() {
        return vec![path.to_path_buf()];
    }
    let own = path.join(log::FILE);
    if own.is_file() {
        return vec![own];
    }
    let entries = fs::read_dir(path.join(log::CASES)).into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    found.retain(|path| path.extension().is_some_and(|it| it == "ndjson"));
    found.sort();
    found
}

fn recheck_all(path: &Path) -> Exit {
    let logs = logs(path);
    if logs.is_empty() {
        tell(&format!("{}: there is no log (was it kept? see --log-bytes)", path.display()));
        return Exit::Usage;
    }
    let mut worst = None;
    for log in logs {
        let exit = match one(&log) {
            Ok(exit) => exit,
            Err(reason) => {
                tell(&format!("{}: {reason}", log.display()));
                Exit::Usage
            }
        };
        worst = graver(worst, Some(exit));
    }
    worst.unwrap_or(Exit::Passed)
}

fn one(path: &Path) -> Result<Exit, String> {
    let file = File::open(path).map_err(|error| error.to_string())?;
    let again = recheck(BufReader::new(file)).map_err(|error| error.to_string())?;
    let then = then(path, &again)?;
    let (differences, exit, said) = match &again.wholeness {
        Wholeness::Whole => whole(&again, then.as_ref()),
        Wholeness::Sparse(why) => part(&again, &format!("is not whole: {why}")),
        Wholeness::Cut => part(&again, "ends before the run did"),
    };
    let mut text = format!("  {}  {said}\n", words::brief(&again.head.scenario));
    for Difference(difference) in differences.iter().take(SHOWN) {
        text.push_str(&format!("    {}\n", words::brief(difference)));
    }
    if differences.len() > SHOWN {
        text.push_str(&format!("    and {} more\n", differences.len() - SHOWN));
    }
    let word = match exit {
        Exit::Passed => "the same",
        Exit::Failed => "different",
        _ => "not certain",
    };
    print(&format!("{text}recheck: {word}  findings: {}  log: {}\n", again.total, path.display()));
    Ok(exit)
}

/// What the run came to: by its report, if it lies beside the log, else by the log itself.
fn then(path: &Path, again: &Rechecked) -> Result<Option<Account>, String> {
    let beside = path.with_file_name("run.json");
    let is_own = path.file_name().is_some_and(|name| name == log::FILE);
    if !is_own || !beside.is_file() {
        return Ok(Account::told_by(again));
    }
    let odd = |what: String| format!("{}: {what}", beside.display());
    let text = fs::read_to_string(&beside).map_err(|error| odd(error.to_string()))?;
    let json: Value = serde_json::from_str(&text).map_err(|error| odd(error.to_string()))?;
    let (scenario, seed) = (&again.head.scenario, again.head.seed);
    let same = json.get("scenario").and_then(Value::as_str) == Some(scenario)
        && json.get("seed").and_then(Value::as_u64) == Some(seed);
    if !same {
        return Err(odd("this is the report of another run".to_owned()));
    }
    Account::of_run(&json).map(Some).ok_or_else(|| odd("this is no report of a run".to_owned()))
}

fn whole(again: &Rechecked, then: Option<&Account>) -> (Vec<Difference>, Exit, String) {
    let now = Account::now(again);
    let hidden = again.last.as_ref().map_or(0, |(last, _)| last.hidden);
    let then = then.cloned().unwrap_or_default();
    let differences = then.differences(&now);
    let judged = words::counted(again.judged, "observation");
    if differences.is_empty() {
        let findings = words::counted(again.total, "finding");
        return (differences, Exit::Passed, format!("the same: {findings} in {judged}"));
    }
    if hidden > 0 {
        let lines = words::counted(hidden, "observation");
        let said = format!("different, but in {lines} a secret is hidden from this judgement");
        return (differences, Exit::Inconclusive, said);
    }
    (differences, Exit::Failed, format!("different, in {judged}"))
}

/// Of a part of a run it is certain only what was found in it.
fn part(again: &Rechecked, why: &str) -> (Vec<Difference>, Exit, String) {
    let differences = again.differences_so_far();
    let exit = if differences.is_empty() { Exit::Inconclusive } else { Exit::Failed };
    let judged = words::counted(again.judged, "observation");
    let until = words::micros(again.at.0 as f64);
    let findings = words::counted(again.told.len() as u64, "finding");
    let said = format!(
        "the log {why}; its first {judged}, until {until}, are judged {} ({findings} then)",
        if differences.is_empty() { "as they were" } else { "otherwise" }
    );
    (differences, exit, said)
}
