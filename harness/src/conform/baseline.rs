//! What is known to fail, until when, and where that is tracked: a waiver that is not needed any more
//! fails the suite as surely as a new fault.

use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use super::outcome::Outcome;
use super::parse;
use super::pattern::Pattern;
use crate::check::CLASSES;
use crate::plan::Source;
use crate::scenario::marked::{At, Tried};
use crate::scenario::problem::{Problem, Problems, nearest};

/// A case that is known not to pass.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Waiver {
    /// Which cases: an id, or a pattern.
    pub case: String,
    /// At which target only; none: at each.
    pub target: Option<String>,
    /// What comes of them.
    pub outcome: Outcome,
    /// The class of what is found; none: any.
    pub class: Option<String>,
    /// Where it is tracked.
    pub issue: String,
    /// The last day on which it is excused, `2027-01-31`.
    pub until: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    case: At<String>,
    target: Option<String>,
    outcome: Option<At<String>>,
    class: Option<At<String>>,
    issue: At<String>,
    until: At<String>,
}

/// Reads a baseline; `ids` are the cases that there are, where that is known.
pub fn read(source: &Source, ids: Option<&[&str]>) -> Result<Vec<Waiver>, Problems> {
    let list: Vec<Tried<At<Written>>> = parse(source)?;
    let mut problems = Vec::new();
    let mut waivers = Vec::new();
    for Tried(written) in &list {
        let Some(written) = written else { continue };
        match waiver(written, ids) {
            Ok(waiver) => waivers.push(waiver),
            Err(problem) => problems.push(problem),
        }
    }
    if problems.is_empty() { Ok(waivers) } else { Err(Problems::new(source.clone(), problems)) }
}

fn waiver(written: &Written, ids: Option<&[&str]>) -> Result<Waiver, Problem> {
    let case = &written.case;
    let pattern: Pattern =
        case.parse().map_err(|fault: String| Problem::new(fault).at(case.place))?;
    if let Some(ids) = ids.filter(|ids| !ids.iter().any(|id| pattern.matches(id))) {
        let problem = Problem::new(format!("no case is called `{}`", case.value)).at(case.place);
        return Err(match nearest(case, ids.iter().copied()) {
            Some(near) => problem.help(format!("did you mean `{near}`?")),
            None => problem,
        });
    }
    let excused = [Outcome::Fail, Outcome::Nonstrict, Outcome::Error];
    let outcome = match &written.outcome {
        None => Outcome::Fail,
        Some(word) => {
            let known = Outcome::named(word).filter(|outcome| excused.contains(outcome));
            known.ok_or_else(|| {
                let problem = Problem::new(format!("`{}` cannot be excused", word.value));
                problem.at(word.place).help("there are fail, nonstrict and error")
            })?
        }
    };
    if let Some(class) = &written.class
        && !CLASSES.iter().any(|(_, word, _)| *word == class.value)
    {
        let problem = Problem::new(format!("no class is called `{}`", class.value)).at(class.place);
        return Err(problem.did_you_mean(class, CLASSES.iter().map(|(_, word, _)| *word)));
    }
    if written.issue.trim().is_empty() {
        return Err(Problem::new("where is it tracked?").at(written.issue.place));
    }
    if written.until.parse::<Date>().is_err() {
        let problem = Problem::new(format!("`{}` is no day", written.until.value));
        return Err(problem.at(written.until.place).help("write it like 2027-01-31"));
    }
    Ok(Waiver {
        case: case.value.clone(),
        target: written.target.clone(),
        outcome,
        class: written.class.as_ref().map(|class| class.value.clone()),
        issue: written.issue.value.clone(),
        until: written.until.value.clone(),
    })
}

/// What a case comes to when the baseline is laid over it, and why if that changes it. `today` is a
/// day as [`Waiver::until`] has it.
pub fn overlay(
    waivers: &[Waiver],
    today: &str,
    (case, target): (&str, &str),
    (outcome, class): (Outcome, Option<&str>),
) -> Option<(Outcome, String)> {
    let here = |waiver: &&Waiver| {
        let means = waiver.case.parse::<Pattern>().is_ok_and(|pattern| pattern.matches(case));
        means && waiver.target.as_deref().is_none_or(|only| only == target)
    };
    let waiver = waivers.iter().find(here)?;
    let expected = match &waiver.class {
        Some(class) => format!("{} ({class})", waiver.outcome),
        None => waiver.outcome.to_string(),
    };
    let same = outcome == waiver.outcome
        && waiver.class.as_deref().is_none_or(|expected| Some(expected) == class);
    match outcome {
        Outcome::Inconclusive => None,
        // Graver than anything that a baseline could say of it.
        Outcome::Error if !same => None,
        // ISO dates are ordered like their texts.
        _ if same && waiver.until.as_str() < today => {
            Some((outcome, format!("excused only until {}: {}", waiver.until, waiver.issue)))
        }
        _ if same => Some((Outcome::Xfail, format!("expected: {}", waiver.issue))),
        _ => {
            let found = class.map_or_else(String::new, |class| format!(" ({class})"));
            let words = format!(
                "the baseline expects {expected}, and it is {outcome}{found}: {}",
                waiver.issue
            );
            Some((Outcome::Stale, words))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDS: [&str; 2] = ["a/say/echo", "a/say/order"];

    fn source(text: &str) -> Source {
        Source { name: "baseline.yaml".to_owned(), text: text.into() }
    }

    fn wrong(text: &str) -> String {
        read(&source(text), Some(&IDS)).expect_err("a wrong baseline").lines()
    }

    #[test]
    fn a_baseline_is_read_and_its_mistakes_are_told() {
        let good = "- { case: a/say/echo, class: echo, issue: '#7', until: 2027-01-31 }\n";
        let waivers = read(&source(good), Some(&IDS)).expect("a right baseline");
        assert_eq!(waivers[0].outcome, Outcome::Fail);
        assert_eq!(waivers[0].class.as_deref(), Some("echo"));
        let rest = "issue: x, until: 2027-01-31 }\n";
        for (text, expected) in [
            (format!("- {{ case: a/say/ecoh, {rest}"), "did you mean `a/say/echo`?"),
            (format!("- {{ case: a/say/echo, class: ekho, {rest}"), "did you mean `echo`?"),
            (format!("- {{ case: a/say/echo, outcome: pass, {rest}"), "cannot be excused"),
            ("- { case: a/say/echo, issue: x }\n".to_owned(), "`until` is missing"),
            ("- { case: a/say/echo, until: 2027-01-31 }\n".to_owned(), "`issue` is missing"),
            ("- { case: a/say/echo, issue: x, until: soon }\n".to_owned(), "is no day"),
        ] {
            assert!(wrong(&text).contains(expected), "{text}: {}", wrong(&text));
        }
    }

    #[test]
    fn a_waiver_excuses_exactly_what_it_says_and_not_for_ever() {
        use Outcome::{Error, Fail, Inconclusive, Nonstrict, Pass, Stale, Unsupported, Xfail};
        let waiver = |class: Option<&str>| Waiver {
            case: "a/say/*".to_owned(),
            target: None,
            outcome: Fail,
            class: class.map(str::to_owned),
            issue: "#7".to_owned(),
            until: "2027-01-31".to_owned(),
        };
        let cases = [
            (Some("loss"), "2027-01-31", Fail, Some("loss"), Some(Xfail)),
            (Some("loss"), "2027-02-01", Fail, Some("loss"), Some(Fail)),
            (Some("loss"), "2027-01-31", Fail, Some("leak"), Some(Stale)),
            (None, "2027-01-31", Fail, Some("leak"), Some(Xfail)),
            (None, "2027-01-31", Pass, None, Some(Stale)),
            (None, "2027-02-01", Pass, None, Some(Stale)),
            (None, "2027-01-31", Nonstrict, Some("leak"), Some(Stale)),
            (None, "2027-01-31", Unsupported, None, Some(Stale)),
            (None, "2027-01-31", Error, None, None),
            (None, "2027-01-31", Inconclusive, None, None),
        ];
        for (class, today, outcome, found, expected) in cases {
            let waivers = [waiver(class)];
            let over = |case| overlay(&waivers, today, (case, "t"), (outcome, found));
            assert_eq!(over("a/say/echo").map(|(it, _)| it), expected, "{outcome} on {today}");
            assert_eq!(over("b/say/echo"), None);
        }
        let elsewhere = Waiver { target: Some("other".to_owned()), ..waiver(None) };
        assert_eq!(overlay(&[elsewhere], "2027-01-01", ("a/say/echo", "t"), (Pass, None)), None);
    }
}
