//! Reports of a suite: one pure function a format, all from one
//! [`Results`].

pub mod badge;
pub mod html;
pub mod json;
pub mod junit;
pub mod markdown;
pub mod text;

use crate::conform::outcome::Outcome;
use crate::conform::requirement::Level;
use crate::conform::results::{Answered, Results, Score};
use crate::report::words;

/// A requirement's outcome in a word, where it has one.
fn answer(answered: &Answered) -> String {
    match (&answered.outcome, &answered.asked.untestable) {
        (Some(outcome), _) => outcome.to_string(),
        (None, Some(_)) => "untestable".to_owned(),
        (None, None) => "not run".to_owned(),
    }
}

/// `81 of 84 MUST`.
fn score(results: &Results, level: Level) -> String {
    let Score { met, asked } = results.score(level);
    format!("{} of {} {level}", words::number(met), words::number(asked))
}

/// `12 pass, 1 fail`: the outcomes that there are.
fn totals(results: &Results) -> String {
    let there = results.totals.all().filter(|(_, n)| *n > 0);
    let words: Vec<String> =
        there.map(|(word, n)| format!("{} {word}", words::number(n))).collect();
    if words.is_empty() { "no cases".to_owned() } else { words.join(", ") }
}

/// Whether a person should look at what came to this.
fn is_bad(outcome: Outcome) -> bool {
    !matches!(outcome, Outcome::Pass | Outcome::Unsupported | Outcome::Xfail)
}
