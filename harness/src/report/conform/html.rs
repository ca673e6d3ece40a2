//! `matrix.html`: requirement by target, and case by target, in one file that needs no script and no
//! network, and reads well where its `<style>` is refused.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::{is_bad, score, totals};
use crate::conform::event::{Record, Subject};
use crate::conform::outcome::{OUTCOMES, Outcome};
use crate::conform::requirement::Level;
use crate::conform::results::Results;
use crate::report::words;

/// Cases shown with what went over the wire.
const CASES_SHOWN: usize = 200;

const STYLE: &str = "\
body { font: 15px/1.4 system-ui, sans-serif; margin: 2em; max-width: 100em }
table { border-collapse: collapse; margin: 1em 0 } th, td { padding: .25em .6em; text-align: left }
th { background: #eee } td.pass { background: #d8f5d8 } td.fail, td.error, td.stale { background: #f8cccc }
td.nonstrict, td.xfail { background: #fdf0c4 } td.inconclusive { background: #e4e4f4 }
td.unsupported, td.none { color: #777 } pre { background: #f6f6f6; padding: .6em; overflow: auto }
@media (prefers-color-scheme: dark) { body { background: #181818; color: #ddd } th, pre { background: #2a2a2a }
td.pass { background: #1d3d1d } td.fail, td.error, td.stale { background: #552222 }
td.nonstrict, td.xfail { background: #4a4012 } td.inconclusive { background: #2c2c4c } a { color: #9cf } }
";

/// The page.
pub fn render(results: &Results) -> String {
    let mut page = begun(&format!("Conformance: {}", results.verdict()), STYLE);
    head(&mut page, results);
    requirements(&mut page, results);
    cases(&mut page, results);
    details(&mut page, results);
    left_out(&mut page, results);
    put(&mut page, "</body></html>");
    page
}

/// A page up to its title, which nothing from elsewhere can get into.
pub(in crate::report) fn begun(title: &str, style: &str) -> String {
    let mut page =
        String::from("<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n");
    let policy = "default-src 'none'; style-src 'unsafe-inline'";
    put(&mut page, &format!("<meta http-equiv=\"Content-Security-Policy\" content=\"{policy}\">"));
    put(&mut page, "<meta name=\"viewport\" content=\"width=device-width\">");
    put(&mut page, &format!("<title>{title}</title>"));
    put(&mut page, &format!("<style>\n{style}</style></head><body>"));
    put(&mut page, &format!("<h1>{title}</h1>"));
    page
}

pub(in crate::report) fn put(page: &mut String, line: &str) {
    writeln!(page, "{line}").expect("a string takes everything");
}

/// Foreign text as HTML shows it: harmless.
pub(in crate::report) fn safe(foreign: &str) -> String {
    let mut safe = String::new();
    for c in words::clean(foreign).chars() {
        match c {
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '&' => safe.push_str("&amp;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            c => safe.push(c),
        }
    }
    safe
}

fn table(page: &mut String, heads: &[String]) {
    page.push_str("<table border=\"1\"><tr>");
    for head in heads {
        page.push_str(&format!("<th>{}</th>", safe(head)));
    }
    put(page, "</tr>");
}

fn cell(outcome: Option<Outcome>, link: Option<&str>) -> String {
    let Some(outcome) = outcome else { return "<td class=\"none\">–</td>".to_owned() };
    let word = outcome.as_str();
    match link {
        Some(anchor) => format!("<td class=\"{word}\"><a href=\"#{anchor}\">{word}</a></td>"),
        None => format!("<td class=\"{word}\">{word}</td>"),
    }
}

fn head(page: &mut String, results: &Results) {
    put(page, "<ul>");
    let (must, should) = (score(results, Level::Must), score(results, Level::Should));
    let took = words::micros(results.duration_s * 1_000_000.0);
    let (started, seed) = (&results.opening.started, results.opening.seed);
    let facts = [
        results.reasons().join("; "),
        totals(results),
        format!("requirements met: {must}, {should}"),
        format!("{started}, {took}, seed {seed}"),
    ];
    facts.iter().for_each(|fact| put(page, &format!("<li>{}</li>", safe(fact))));
    put(page, "</ul>");
    table(page, &["Cases".to_owned(), String::new(), "which means".to_owned()]);
    for (outcome, word, meaning) in OUTCOMES {
        let n = words::number(results.totals.count(outcome));
        put(
            page,
            &format!("<tr><td>{word}</td><td align=\"right\">{n}</td><td>{meaning}</td></tr>"),
        );
    }
    put(page, "</table>");
    table(page, &["Target", "URL", "Dialect", "Profile"].map(str::to_owned));
    for it in &results.opening.subjects {
        let url = if it.url.is_empty() { "(started by the harness)" } else { &it.url };
        let [target, url, dialect, profile] =
            [it.target.as_str(), url, &it.dialect, &it.profile].map(safe);
        put(
            page,
            &format!(
                "<tr><td>{target}</td><td>{url}</td><td>{dialect}</td><td>{profile}</td></tr>"
            ),
        );
    }
    put(page, "</table>");
    for (target, what) in &results.incidents {
        put(page, &format!("<p>{}: {}</p>", safe(target), safe(what)));
    }
}

/// The columns of a table by target, for subjects of one dialect or of all.
fn column(subject: &Subject, several: bool) -> String {
    if several {
        format!("{} ({})", subject.target, subject.dialect)
    } else {
        subject.target.clone()
    }
}

fn requirements(page: &mut String, results: &Results) {
    let mut sets: Vec<&str> = Vec::new();
    for it in &results.requirements {
        if !sets.contains(&it.asked.set.as_str()) {
            sets.push(&it.asked.set);
        }
    }
    for set in sets {
        put(page, &format!("<h2>Requirements: {}</h2>", safe(set)));
        let subjects = &results.opening.subjects;
        let has = |it: &Subject| it.dialect == set || !subjects.iter().any(|it| it.dialect == set);
        let columns: Vec<usize> =
            (0..subjects.len()).filter(|place| subjects.get(*place).is_some_and(has)).collect();
        let names = columns.iter().filter_map(|place| subjects.get(*place));
        let names = names.map(|it| column(it, it.dialect != set));
        let heads = ["Requirement", "Level", "What it asks"].map(str::to_owned);
        table(page, &heads.into_iter().chain(names).collect::<Vec<_>>());
        for it in results.requirements.iter().filter(|it| it.asked.set == set) {
            let level = it.asked.level.map_or_else(String::new, |level| level.to_string());
            let why = it.asked.untestable.as_deref();
            let why = why.map(|why| format!("<br><i>Not testable: {}</i>", safe(why)));
            let (id, text) = (safe(&it.asked.id), safe(&it.asked.text));
            let source = safe(&it.asked.source);
            let answers = columns.iter().map(|place| it.by_subject.get(*place).copied().flatten());
            let answers: String = answers.map(|outcome| cell(outcome, None)).collect();
            let why = why.unwrap_or_default();
            put(
                page,
                &format!(
                    "<tr><td>{id}</td><td>{level}</td><td>{text} <small>({source})</small>{why}</td>{answers}</tr>"
                ),
            );
        }
        put(page, "</table>");
    }
}

fn cases(page: &mut String, results: &Results) {
    let mut dialects: Vec<&str> = Vec::new();
    for it in &results.opening.subjects {
        if !dialects.contains(&it.dialect.as_str()) {
            dialects.push(&it.dialect);
        }
    }
    let places: BTreeMap<(&str, &str), usize> = results
        .cases
        .iter()
        .enumerate()
        .map(|(place, it)| ((it.case.as_str(), it.target.as_str()), place))
        .collect();
    for dialect in dialects {
        put(page, &format!("<h2>Cases: {}</h2>", safe(dialect)));
        let targets: Vec<&str> = results
            .opening
            .subjects
            .iter()
            .filter(|it| it.dialect == dialect)
            .map(|it| it.target.as_str())
            .collect();
        let heads = ["Case", "Requirements"].into_iter().chain(targets.iter().copied());
        table(page, &heads.map(str::to_owned).collect::<Vec<_>>());
        let mut own: Vec<&Record> =
            results.cases.iter().filter(|it| it.dialect == dialect).collect();
        own.sort_by(|a, b| a.case.cmp(&b.case));
        own.dedup_by(|a, b| a.case == b.case);
        for it in own {
            let cells = targets.iter().map(|target| {
                let place = places.get(&(it.case.as_str(), *target)).copied();
                let found = place.and_then(|place| results.cases.get(place));
                let anchor = place.map(|place| format!("case-{place}"));
                let bad = found.is_some_and(|it| is_bad(it.outcome));
                cell(found.map(|it| it.outcome), anchor.as_deref().filter(|_| bad))
            });
            let cells: String = cells.collect();
            let (case, about) = (safe(&it.case), safe(&it.about));
            let requires = safe(&it.requires.join(", "));
            put(
                page,
                &format!(
                    "<tr><td>{case}<br><small>{about}</small></td><td>{requires}</td>{cells}</tr>"
                ),
            );
        }
        put(page, "</table>");
    }
}

/// What is not as it should be, case by case, with what went over the wire.
fn details(page: &mut String, results: &Results) {
    let bad: Vec<(usize, &Record)> =
        results.cases.iter().enumerate().filter(|(_, it)| is_bad(it.outcome)).collect();
    if bad.is_empty() {
        return;
    }
    put(page, "<h2>What is not as it should be</h2>");
    for (place, it) in bad.iter().take(CASES_SHOWN) {
        let class = it.class.as_deref().map_or_else(String::new, |class| format!(" ({class})"));
        let (case, target) = (safe(&it.case), safe(&it.target));
        let outcome = it.outcome;
        put(
            page,
            &format!("<h3 id=\"case-{place}\">{case} at {target}: {outcome}{}</h3>", safe(&class)),
        );
        let line = it.line.map_or_else(String::new, |line| format!(":{line}"));
        put(
            page,
            &format!("<p>{}<br><small>{}{line}</small></p>", safe(&it.message), safe(&it.file)),
        );
        for seen in &it.seen {
            put(page, &format!("<p>{}</p>", safe(&seen.finding)));
            let lines: Vec<String> = seen.frames.iter().map(|line| safe(&line.shown())).collect();
            put(page, &format!("<pre>{}</pre>", lines.join("\n")));
        }
        put(page, &format!("<p>Again: <code>{}</code></p>", safe(&results.again(it))));
    }
    let rest = bad.len().saturating_sub(CASES_SHOWN) as u64;
    if rest > 0 {
        let more = words::counted(rest, "more case");
        put(page, &format!("<p>And {more} in <code>results.json</code>.</p>"));
    }
}

fn left_out(page: &mut String, results: &Results) {
    if results.left_out.is_empty() {
        return;
    }
    put(page, "<h2>Left out</h2>");
    table(page, &["Case", "Target", "Why"].map(str::to_owned));
    for it in &results.left_out {
        let [case, target, why] = [&it.case, &it.target, &it.why].map(|it| safe(it));
        put(page, &format!("<tr><td>{case}</td><td>{target}</td><td>{why}</td></tr>"));
    }
    put(page, "</table>");
}
