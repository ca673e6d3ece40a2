//! The result as a person reads it on a terminal, requirement by requirement, and the last line as a
//! script does.
//!
//! Plain text without colour: it reads the same in a terminal, a log and a mail.

use super::{answer, is_bad, score, totals};
use crate::conform::event::{INTERRUPTED, NOT_SELECTED, Record};
use crate::conform::outcome::Outcome;
use crate::conform::requirement::Level;
use crate::conform::results::{Answered, Results};
use crate::report::words;
use crate::verdict::Verdict;

/// So few cases are listed one by one, whatever came of them.
const FEW: usize = 20;
/// Cases shown with what went over the wire.
const CASES_SHOWN: usize = 20;
/// Columns of a requirement's sentence.
const TEXT_WIDTH: usize = 90;
/// Columns of a line of a transcript.
const WIRE_WIDTH: usize = 110;

/// The result block; ends with a newline.
pub fn render(results: &Results) -> String {
    let mut text = String::new();
    head(&mut text, results);
    if results.cases.len() <= FEW {
        for it in &results.cases {
            let ms = it.duration_ms;
            let (case, target) = (words::brief(&it.case), words::brief(&it.target));
            put(
                &mut text,
                2,
                &format!("{:<12} {case:<44} {ms:>6} ms  {target}", it.outcome.as_str()),
            );
            if let Some(faults) = it.traffic.faults {
                let power = words::power(faults, it.traffic.deliveries);
                put(&mut text, 15, &format!("{power} deliveries"));
            }
        }
    }
    let mut shown = 0;
    for it in results.requirements.iter().filter(|it| it.outcome.is_some_and(is_bad)) {
        requirement(&mut text, results, it, &mut shown);
    }
    // What shows no requirement: the sanity cases.
    for case in results.cases.iter().filter(|it| it.requires.is_empty() && is_bad(it.outcome)) {
        put(&mut text, 0, "");
        one_case(&mut text, results, case);
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

fn put(text: &mut String, indent: usize, line: &str) {
    text.push_str(format!("{:indent$}{line}", "").trim_end());
    text.push('\n');
}

fn head(text: &mut String, results: &Results) {
    let verdict = match results.verdict() {
        Verdict::Failed => "FAILED".to_owned(),
        verdict => verdict.to_string(),
    };
    let took = words::micros(results.duration_s * 1_000_000.0);
    let seed = results.opening.seed;
    put(text, 2, &format!("conformance  {verdict}  {took} · seed {seed}"));
    for it in &results.opening.subjects {
        let own = results.cases.iter();
        let own = own.filter(|case| case.target == it.target && case.dialect == it.dialect);
        let count = words::counted(own.count() as u64, "case");
        let [target, dialect, profile] =
            [&it.target, &it.dialect, &it.profile].map(|it| words::brief(it));
        put(
            text,
            2,
            &format!("target       {target}  dialect {dialect}, profile {profile}: {count}"),
        );
    }
    for (target, what) in &results.incidents {
        put(text, 2, &format!("incident     {}: {}", words::brief(target), words::brief(what)));
    }
}

fn requirement(text: &mut String, results: &Results, it: &Answered, shown: &mut usize) {
    let level = it.asked.level.map_or_else(String::new, |level| level.to_string());
    let id = words::brief(&it.asked.id);
    put(text, 0, "");
    put(text, 2, &format!("{id}  {level}  {}", answer(it)));
    for line in folded(&words::clean(&it.asked.text), TEXT_WIDTH) {
        put(text, 4, &line);
    }
    put(text, 4, &format!("({})", words::brief(&it.asked.source)));
    let own = results.cases.iter().filter(|case| case.requires.contains(&it.asked.id));
    for case in own.filter(|case| is_bad(case.outcome)) {
        // A case that shows several requirements is told in full at the first.
        let first = case
            .requires
            .iter()
            .find(|id| results.requirements.iter().any(|other| other.asked.id == **id));
        if *shown >= CASES_SHOWN || first != Some(&it.asked.id) {
            let (id, target) = (words::brief(&case.case), words::brief(&case.target));
            put(text, 4, &format!("{} {id}  {target}", case.outcome));
            continue;
        }
        *shown += 1;
        one_case(text, results, case);
    }
}

fn one_case(text: &mut String, results: &Results, case: &Record) {
    let class = case.class.as_deref().map_or_else(String::new, |class| format!(" / {class}"));
    let (id, target) = (words::brief(&case.case), words::brief(&case.target));
    put(text, 4, &format!("{}{class}  {id}  {target}", case.outcome));
    put(text, 6, &words::brief(&case.message));
    let line = case.line.map_or_else(String::new, |line| format!(":{line}"));
    put(text, 6, &format!("at      {}{line}", words::brief(&case.file)));
    for seen in &case.seen {
        put(text, 6, &format!("finding {}", words::brief(&seen.finding)));
        for frame in &seen.frames {
            put(text, 8, &words::cut(&frame.shown(), WIRE_WIDTH));
        }
    }
    if case.outcome != Outcome::Nonstrict {
        for it in case.ended.iter().filter(|it| it.by == "server") {
            let code = it.code.map_or_else(|| "no code".to_owned(), |code| code.to_string());
            let how = it.tcp.as_deref().unwrap_or("a Close frame");
            put(text, 6, &format!("ended   by the server, {code}, {how} ({}×)", it.connections));
        }
    }
    if let Some(log) = &case.log {
        put(text, 6, &format!("log     {}", words::brief(log)));
    }
    put(text, 6, &format!("again   {}", words::clean(&results.again(case))));
}

fn foot(text: &mut String, results: &Results) {
    let distinct = words::number(results.distinct());
    put(text, 2, &format!("cases        {} ({distinct} different)", totals(results)));
    for (count, why) in left_out(results) {
        put(text, 2, &format!("left out     {} {why}", words::counted(count, "case")));
    }
    let (must, should) = (score(results, Level::Must), score(results, Level::Should));
    put(text, 2, &format!("met          {must}, {should}"));
    for reason in results.reasons() {
        put(text, 2, &format!("why          {reason}"));
    }
}

/// How many cases were not run, by the kind of reason.
fn left_out(results: &Results) -> Vec<(u64, &'static str)> {
    let kind = |why: &str| match why {
        NOT_SELECTED => "that nobody asked for",
        INTERRUPTED => "for which the signal came too early",
        _ => "about other servers",
    };
    let mut kinds: Vec<(u64, &str)> = Vec::new();
    for why in results.left_out.iter().map(|it| kind(&it.why)) {
        match kinds.iter_mut().find(|(_, known)| *known == why) {
            Some((count, _)) => *count += 1,
            None => kinds.push((1, why)),
        }
    }
    kinds
}

/// A text in lines of at most so many columns, if its words let it.
fn folded(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}
