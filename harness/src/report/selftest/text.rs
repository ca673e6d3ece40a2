//! The result as a person reads it on a terminal, and the last line as a script does.
//!
//! Plain text without colour: it reads the same in a terminal, a log and a mail.

use std::collections::BTreeMap;

use super::{is_bad, killer, totals};
use crate::report::words::{self, counted, number};
use crate::selftest::catalogue::Cell;
use crate::selftest::outcome::Fate;
use crate::selftest::results::{Results, Tally};
use crate::verdict::Verdict;

/// So few rows are listed one by one, whatever came of them.
const FEW: usize = 40;
/// Rows and runs shown that are not as they should be.
const SHOWN: usize = 100;

/// The result block; ends with a newline.
pub fn render(results: &Results) -> String {
    let mut text = String::new();
    let verdict = match results.verdict() {
        Verdict::Failed => "FAILED".to_owned(),
        verdict => verdict.to_string(),
    };
    let took = words::micros(results.duration_s * 1_000_000.0);
    put(&mut text, 2, &format!("selftest     {verdict}  {took} · seed {}", results.seed));
    let few = results.rows() <= FEW as u64;
    // What was not even begun is told in one line.
    let begun = |it: &&Tally| it.attempts > 0 || it.judged.fate != Fate::Error;
    let shown = |it: &&Tally| begun(it) && (few || is_bad(it.judged.fate));
    for it in results.tallies.iter().filter(shown).take(SHOWN) {
        row(&mut text, it);
    }
    not_begun(&mut text, results.tallies.iter().filter(|it| !begun(it)));
    for ran in results.alarms().take(SHOWN) {
        put(&mut text, 0, "");
        let class = ran.class.as_deref().unwrap_or("-");
        let (number, strain, what) = (ran.number, ran.strain, words::brief(&ran.what));
        put(&mut text, 2, &format!("false alarm  {what}: {class} (good run {number}, {strain})"));
        put(&mut text, 6, &words::brief(&ran.message));
        put(&mut text, 6, &format!("again   {}", words::clean(&ran.again)));
    }
    put(&mut text, 0, "");
    foot(&mut text, results);
    text
}

/// The last line of standard output, without a newline. `place` is where the report lies.
pub fn last_line(results: &Results, place: &str) -> String {
    let (verdict, findings) = (results.verdict(), results.findings());
    format!("verdict: {verdict}  findings: {findings}  report: {}", words::clean(place))
}

/// The rows of the table, a line each.
pub fn list(cells: &[&Cell]) -> String {
    let mut text = String::new();
    for cell in cells {
        let expected = cell.expected.to_string();
        let how = match &cell.left_out {
            Some(reason) => format!("(left out: {reason})"),
            None => cell.cases.join(" "),
        };
        let Cell { dialect, .. } = cell;
        put(&mut text, 0, &format!("{:<34} {dialect:<8} {expected:<24} {how}", cell.option()));
    }
    text
}

fn put(text: &mut String, indent: usize, line: &str) {
    text.push_str(format!("{:indent$}{line}", "").trim_end());
    text.push('\n');
}

/// Rows that could not be tried at all, by the reason.
fn not_begun<'t>(text: &mut String, rows: impl Iterator<Item = &'t Tally>) {
    let mut reasons: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for it in rows {
        let list = reasons.entry(it.judged.message.as_str()).or_default();
        list.push(format!("{} in {}", it.cell.id, it.cell.dialect));
    }
    for (reason, list) in reasons {
        put(text, 2, &format!("error         {}: {}", words::brief(reason), list.join(", ")));
    }
}

fn row(text: &mut String, it: &Tally) {
    let Tally { cell: Cell { id, dialect, expected, .. }, judged, .. } = it;
    let (fate, killer, case) = (judged.fate, killer(it), it.case.as_deref().unwrap_or("-"));
    let ms = it.duration_ms;
    let line = format!("{fate:<13} {id:<32} {dialect:<8} {killer:<24} {ms:>6} ms  {case}");
    put(text, 2, &line);
    if judged.fate != Fate::Right {
        let found: Vec<String> = judged.found.iter().map(ToString::to_string).collect();
        let found =
            if found.is_empty() { String::new() } else { format!("; found {}", found.join(", ")) };
        let message = words::brief(&judged.message);
        put(text, 6, &format!("expected {expected}: {message}{found}"));
    }
    if is_bad(judged.fate) {
        put(text, 6, &format!("again   {}", it.again()));
    }
}

fn foot(text: &mut String, results: &Results) {
    if results.rows() > 0 {
        let (mutants, totals) = (counted(results.mutants(), "mutant"), totals(results));
        put(text, 2, &format!("rows         {totals} ({mutants} × dialects)"));
        put(text, 2, &format!("score        {}", results.score()));
        for merit in results.merits() {
            let (name, kills) = (merit.name, merit.kills.len() as u64);
            let only = merit.only_it.len() as u64;
            let kills = counted(kills, "mutant");
            put(text, 2, &format!("check        {name:<12} {kills}, {} only by it", number(only)));
        }
    }
    for (strain, runs, alarms, open) in results.strains().into_iter().filter(|it| it.1 > 0) {
        let (runs, alarms) = (counted(runs, "run"), counted(alarms, "false alarm"));
        let strain = format!("{strain}:");
        put(text, 2, &format!("good server  {strain:<13} {runs}, {alarms}, {open} inconclusive"));
    }
    for reason in results.reasons() {
        put(text, 2, &format!("why          {}", words::brief(&reason)));
    }
}
