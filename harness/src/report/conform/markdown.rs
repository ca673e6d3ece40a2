//! `summary.md`: the result for a pull request or the summary page of a CI job.

use std::fmt::Write as _;

use super::{answer, is_bad, score, totals};
use crate::conform::event::Record;
use crate::conform::requirement::Level;
use crate::conform::results::Results;
use crate::report::markdown::plain;
use crate::report::words;

/// Cases shown with what went over the wire.
const CASES_SHOWN: usize = 10;
/// Rows of a table.
const ROWS_MAX: usize = 200;

/// The report, of a bounded size.
pub fn render(results: &Results) -> String {
    let mut page = String::new();
    line(&mut page, format_args!("## Conformance: {}\n", results.verdict()));
    for reason in results.reasons() {
        line(&mut page, format_args!("- {}", plain(&reason)));
    }
    line(&mut page, format_args!("- {}", plain(&totals(results))));
    let (must, should) = (score(results, Level::Must), score(results, Level::Should));
    line(&mut page, format_args!("- requirements met: {must}, {should}"));
    outcomes(&mut page, results);
    rare(&mut page, results);
    targets(&mut page, results);
    requirements(&mut page, results);
    cases(&mut page, results);
    let (seed, started) = (results.opening.seed, plain(&results.opening.started));
    line(&mut page, format_args!("\nSeed {seed}, {started}."));
    page
}

fn outcomes(page: &mut String, results: &Results) {
    line(page, format_args!("\n| Cases | |\n|---|---:|"));
    for (word, n) in results.totals.all() {
        line(page, format_args!("| {word} | {} |", words::number(n)));
    }
}

fn targets(page: &mut String, results: &Results) {
    line(page, format_args!("\n| Target | Dialect | Profile |\n|---|---|---|"));
    for it in results.opening.subjects.iter().take(ROWS_MAX) {
        let [target, dialect, profile] = [&it.target, &it.dialect, &it.profile].map(|it| plain(it));
        line(page, format_args!("| {target} | {dialect} | {profile} |"));
    }
    for (target, what) in &results.incidents {
        line(page, format_args!("\n{}: {}", plain(target), plain(what)));
    }
}

/// How rare the faults may be that cases under load find.
fn rare(page: &mut String, results: &Results) {
    let with = results.cases.iter().filter_map(|it| Some((it, it.traffic.faults?)));
    for (it, faults) in with.take(ROWS_MAX) {
        let (case, power) = (plain(&it.case), words::power(faults, it.traffic.deliveries));
        line(page, format_args!("\n{case}, {}: {power} deliveries.", plain(&it.target)));
    }
}

/// The requirements that are not met, or not known to be.
fn requirements(page: &mut String, results: &Results) {
    let bad = results.requirements.iter().filter(|it| it.outcome.is_some_and(is_bad));
    let bad: Vec<_> = bad.collect();
    if bad.is_empty() {
        return;
    }
    line(page, format_args!("\n| Requirement | Level | Outcome | |\n|---|---|---|---|"));
    for it in bad.iter().take(ROWS_MAX) {
        let level = it.asked.level.map_or_else(String::new, |level| level.to_string());
        let (id, text) = (plain(&it.asked.id), plain(&it.asked.text));
        line(page, format_args!("| {id} | {level} | {} | {text} |", answer(it)));
    }
    let rest = bad.len().saturating_sub(ROWS_MAX) as u64;
    if rest > 0 {
        line(page, format_args!("\nAnd {} in `results.json`.", words::counted(rest, "more")));
    }
}

fn cases(page: &mut String, results: &Results) {
    let bad: Vec<&Record> = results.cases.iter().filter(|it| is_bad(it.outcome)).collect();
    for it in bad.iter().take(CASES_SHOWN) {
        let class = it.class.as_deref().map_or_else(String::new, |class| format!(" ({class})"));
        let (case, target) = (plain(&it.case), plain(&it.target));
        line(page, format_args!("\n### {case}: {}{class}\n", it.outcome));
        line(page, format_args!("At {target}: {}", plain(&it.message)));
        if let Some(seen) = it.seen.first() {
            line(page, format_args!("\n{}\n", plain(&seen.finding)));
            // An indented block: no text of the target can end it, as it could a fenced one.
            for frame in &seen.frames {
                line(page, format_args!("    {}", frame.shown()));
            }
        }
        line(page, format_args!("\nAgain: {}", plain(&results.again(it))));
    }
    let rest = bad.len().saturating_sub(CASES_SHOWN) as u64;
    if rest > 0 {
        let more = words::counted(rest, "more case");
        line(page, format_args!("\nAnd {more} in `results.json`."));
    }
}

fn line(page: &mut String, line: std::fmt::Arguments<'_>) {
    writeln!(page, "{line}").expect("a string takes everything");
}
