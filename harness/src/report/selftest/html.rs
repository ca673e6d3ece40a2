//! `selftest.html`: mutant by dialect, check by check, and what is wrong, in one file that needs no
//! script and no network, and reads well where its `<style>` is refused.

use super::{is_bad, killer};
use crate::report::conform::html::{begun, put, safe};
use crate::report::words::{self, counted, number};
use crate::selftest::good::STRAINS;
use crate::selftest::outcome::{FATES, Fate};
use crate::selftest::results::{Results, Tally};

const STYLE: &str = "\
body { font: 15px/1.4 system-ui, sans-serif; margin: 2em; max-width: 100em }
table { border-collapse: collapse; margin: 1em 0 } th, td { padding: .25em .6em; text-align: left }
th { background: #eee } td.killed_right { background: #d8f5d8 }
td.survived, td.error, td.killed_other { background: #f8cccc }
td.left_out { background: #fdf0c4 } td.inconclusive { background: #e4e4f4 } td.none { color: #777 }
@media (prefers-color-scheme: dark) { body { background: #181818; color: #ddd } th { background: #2a2a2a }
td.killed_right { background: #1d3d1d } td.survived, td.error, td.killed_other { background: #552222 }
td.left_out { background: #4a4012 } td.inconclusive { background: #2c2c4c } a { color: #9cf } }
";

/// The page.
pub fn render(results: &Results) -> String {
    let mut page = begun(&format!("Self-test: {}", results.verdict()), STYLE);
    head(&mut page, results);
    mutants(&mut page, results);
    checks(&mut page, results);
    details(&mut page, results);
    good(&mut page, results);
    put(&mut page, "</body></html>");
    page
}

fn table(page: &mut String, heads: &[&str]) {
    let heads: String = heads.iter().map(|head| format!("<th>{}</th>", safe(head))).collect();
    put(page, &format!("<table border=\"1\"><tr>{heads}</tr>"));
}

fn head(page: &mut String, results: &Results) {
    put(page, "<ul>");
    let took = words::micros(results.duration_s * 1_000_000.0);
    let (started, seed) = (&results.started, results.seed);
    let (mutants, rows) = (counted(results.mutants(), "mutant"), counted(results.rows(), "row"));
    let facts = [
        results.reasons().join("; "),
        format!("found out rightly: {} of the whole table ({mutants}, {rows})", results.score()),
        format!("{started}, {took}, seed {seed}"),
    ];
    facts.iter().for_each(|fact| put(page, &format!("<li>{}</li>", safe(fact))));
    put(page, "</ul>");
    table(page, &["Rows", "", "which means"]);
    for (fate, word, meaning) in FATES {
        let n = number(results.count(fate));
        put(
            page,
            &format!("<tr><td>{word}</td><td align=\"right\">{n}</td><td>{meaning}</td></tr>"),
        );
    }
    put(page, "</table>");
}

/// A row for each mutant, a column for each dialect.
fn mutants(page: &mut String, results: &Results) {
    if results.tallies.is_empty() {
        return;
    }
    let mut dialects: Vec<&str> =
        results.tallies.iter().map(|it| it.cell.dialect.as_str()).collect();
    dialects.sort_unstable();
    dialects.dedup();
    put(page, "<h2>Mutants</h2>");
    let heads = ["", "Mutant", "Level"].into_iter().chain(dialects.iter().copied());
    table(page, &heads.collect::<Vec<_>>());
    let mut rest = results.tallies.iter().enumerate().peekable();
    while let Some((_, first)) = rest.peek().copied() {
        let mut own = Vec::new();
        while let Some(row) = rest.next_if(|(_, it)| it.cell.id == first.cell.id) {
            own.push(row);
        }
        let cells: String = dialects
            .iter()
            .map(|dialect| cell(own.iter().find(|(_, it)| it.cell.dialect == *dialect).copied()))
            .collect();
        let (id, about) = (safe(&first.cell.id), safe(&first.about));
        let (number, level) = (first.number, if first.must { "MUST" } else { "SHOULD" });
        put(
            page,
            &format!(
                "<tr><td>{number}</td><td>{id}<br><small>{about}</small></td><td>{level}</td>{cells}</tr>"
            ),
        );
    }
    put(page, "</table>");
}

fn cell(row: Option<(usize, &Tally)>) -> String {
    let Some((place, it)) = row else { return "<td class=\"none\">–</td>".to_owned() };
    let (fate, expected) = (it.judged.fate, safe(&it.cell.expected.to_string()));
    let word = match fate {
        Fate::Right => expected,
        Fate::Other => format!("{} instead of {expected}", safe(&killer(it))),
        fate => format!("{}: {expected}", fate.as_str().replace('_', " ")),
    };
    match fate {
        Fate::Right => format!("<td class=\"{fate}\">{word}</td>"),
        _ => format!("<td class=\"{fate}\"><a href=\"#row-{place}\">{word}</a></td>"),
    }
}

fn checks(page: &mut String, results: &Results) {
    if results.tallies.is_empty() {
        return;
    }
    put(page, "<h2>Checks</h2>");
    table(page, &["Check", "Mutants it found", "Found by it alone", "Which"]);
    for merit in results.merits() {
        let class = if merit.kills.is_empty() { "survived" } else { "killed_right" };
        let (kills, only) = (merit.kills.len(), merit.only_it.len());
        let (name, which) = (merit.name, safe(&merit.only_it.join(", ")));
        put(
            page,
            &format!(
                "<tr><td class=\"{class}\">{name}</td><td align=\"right\">{kills}</td>\
                 <td align=\"right\">{only}</td><td>{which}</td></tr>"
            ),
        );
    }
    put(page, "</table>");
}

/// Rows that were not found out, or as something else, with the reasons.
fn details(page: &mut String, results: &Results) {
    let rows = || results.tallies.iter().enumerate();
    for (title, wanted) in [("What is not as it should be", true), ("Left out", false)] {
        let of_it = |(_, it): &(usize, &Tally)| match wanted {
            true => is_bad(it.judged.fate),
            false => it.judged.fate == Fate::LeftOut,
        };
        if !rows().any(|row| of_it(&row)) {
            continue;
        }
        put(page, &format!("<h2>{title}</h2>"));
        table(page, &["Mutant", "Dialect", "Outcome", "Expected", "Found", "Why", "Again"]);
        for (place, it) in rows().filter(of_it) {
            let found: Vec<String> = it.judged.found.iter().map(ToString::to_string).collect();
            let texts = [
                it.cell.dialect.clone(),
                it.judged.fate.to_string(),
                it.cell.expected.to_string(),
                found.join(", "),
                it.judged.message.clone(),
                it.again(),
            ];
            let cells: String =
                texts.iter().map(|text| format!("<td>{}</td>", safe(text))).collect();
            let id = safe(&it.cell.id);
            put(page, &format!("<tr id=\"row-{place}\"><td>{id}</td>{cells}</tr>"));
        }
        put(page, "</table>");
    }
}

fn good(page: &mut String, results: &Results) {
    put(page, "<h2>The good server</h2>");
    table(page, &["Runs", "", "False alarms", "Inconclusive", "which means"]);
    for ((strain, runs, alarms, open), (_, _, meaning)) in
        results.strains().into_iter().zip(STRAINS)
    {
        let [runs, alarms, open] = [runs, alarms, open].map(number);
        put(
            page,
            &format!(
                "<tr><td>{strain}</td><td align=\"right\">{runs}</td><td align=\"right\">{alarms}</td>\
                 <td align=\"right\">{open}</td><td>{meaning}</td></tr>"
            ),
        );
    }
    put(page, "</table>");
    let alarms: Vec<_> = results.alarms().collect();
    put(page, &format!("<p>{}.</p>", counted(alarms.len() as u64, "false alarm")));
    if alarms.is_empty() {
        return;
    }
    table(page, &["False alarm", "Strain", "Class", "What happened", "Again"]);
    for ran in alarms {
        let texts = [
            ran.what.as_str(),
            &ran.strain.to_string(),
            ran.class.as_deref().unwrap_or("-"),
            &ran.message,
            &ran.again,
        ];
        let cells: String = texts.iter().map(|text| format!("<td>{}</td>", safe(text))).collect();
        put(page, &format!("<tr>{cells}</tr>"));
    }
    put(page, "</table>");
}
