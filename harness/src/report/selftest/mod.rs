//! Reports of a self-test: one pure function a format, all from one
//! [`Results`].

pub mod html;
pub mod json;
pub mod markdown;
pub mod text;

use crate::report::words::number;
use crate::selftest::outcome::Fate;
use crate::selftest::results::{Results, Tally};

/// `490 killed_right, 3 survived`: the fates that there are.
fn totals(results: &Results) -> String {
    let there = results.totals().into_iter().filter(|(_, n)| *n > 0);
    let words: Vec<String> = there.map(|(fate, n)| format!("{} {fate}", number(n))).collect();
    if words.is_empty() { "no rows".to_owned() } else { words.join(", ") }
}

/// What was found, in a word.
fn killer(tally: &Tally) -> String {
    tally.judged.killed_by.as_ref().map_or_else(|| "-".to_owned(), ToString::to_string)
}

/// Whether a person should look at what came to this.
fn is_bad(fate: Fate) -> bool {
    !matches!(fate, Fate::Right | Fate::LeftOut)
}
