//! `summary.md`: the score and what is wrong, for a page in CI.

use std::fmt::Write as _;

use super::{is_bad, killer};
use crate::report::words::{clean, number};
use crate::selftest::results::Results;

/// Rows shown that are not as they should be.
const SHOWN: usize = 200;

/// The page.
pub fn render(results: &Results) -> String {
    let mut page = format!("## Self-test: {}\n\n", results.verdict());
    for reason in results.reasons() {
        put(&mut page, &format!("- {}", safe(&reason)));
    }
    put(&mut page, "\n| rows | |\n|---|---:|");
    for (fate, n) in results.totals() {
        put(&mut page, &format!("| {fate} | {} |", number(n)));
    }
    put(&mut page, "\n| good server | runs | false alarms | inconclusive |\n|---|---:|---:|---:|");
    for (strain, runs, alarms, open) in results.strains() {
        put(&mut page, &format!("| {strain} | {runs} | {alarms} | {open} |"));
    }
    let bad: Vec<_> = results.tallies.iter().filter(|it| is_bad(it.judged.fate)).collect();
    if !bad.is_empty() {
        put(
            &mut page,
            "\n| mutant | dialect | outcome | expected | found | why |\n|---|---|---|---|---|---|",
        );
    }
    for it in bad.iter().take(SHOWN) {
        let (cell, fate, found) = (&it.cell, it.judged.fate, killer(it));
        let why = safe(&it.judged.message);
        let (id, dialect, expected) = (&cell.id, &cell.dialect, &cell.expected);
        put(&mut page, &format!("| {id} | {dialect} | {fate} | {expected} | {found} | {why} |"));
    }
    for ran in results.alarms().take(SHOWN) {
        let (what, strain, why, again) =
            (safe(&ran.what), ran.strain, safe(&ran.message), safe(&ran.again));
        put(&mut page, &format!("\nFalse alarm: {what} ({strain}): {why}; again: `{again}`"));
    }
    page
}

fn put(page: &mut String, line: &str) {
    writeln!(page, "{line}").expect("a string takes everything");
}

/// Foreign text in a cell of a table.
fn safe(foreign: &str) -> String {
    let mut safe = String::new();
    for c in clean(foreign).chars() {
        match c {
            '|' | '`' | '<' | '*' | '_' | '[' | '\\' => safe.extend(['\\', c]),
            c => safe.push(c),
        }
    }
    safe
}
