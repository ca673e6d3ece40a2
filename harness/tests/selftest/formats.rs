//! All formats are drawn from one value: they tell the same totals, and no foreign text breaks one.

use harness::conform::outcome::Outcome;
use harness::report::selftest::{html, json, markdown, text};
use harness::selftest::good::{Ran, STRAINS};
use harness::selftest::outcome::FATES;
use harness::selftest::results::Results;

use super::outcomes::{ran, right, tally};
use super::summaries::HOSTILE;

/// Results in which each fate has another number, each strain, too, and every foreign text is hostile.
fn results() -> Results {
    let mut results = right();
    results.tallies.clear();
    for ((fate, word, _), count) in FATES.into_iter().zip(1..) {
        for n in 0..count {
            let mut tally = tally(&format!("{word}-{n}"), "rooms", fate, &[("delivery", "loss")]);
            tally.judged.message = HOSTILE.to_owned();
            tally.about = HOSTILE.to_owned();
            results.tallies.push(tally);
        }
    }
    results.good.clear();
    let mut number = 0;
    for ((strain, ..), alarms) in STRAINS.into_iter().zip(1..) {
        for outcome in std::iter::repeat_n(Outcome::Fail, alarms).chain([Outcome::Pass]) {
            number += 1;
            let message = HOSTILE.to_owned();
            results.good.push(Ran {
                message,
                what: HOSTILE.to_owned(),
                ..ran(number, strain, outcome)
            });
        }
    }
    results.runs = number;
    results.incidents.push(HOSTILE.to_owned());
    results
}

#[test]
fn totals_are_equal_in_all_formats() {
    let results = results();
    let json = json::value(&results);
    let (page, shown) = (html::render(&results), text::render(&results));
    let summary = markdown::render(&results);
    let mutants = json["mutants"].as_array().expect("rows");
    for ((_, word, _), n) in FATES.into_iter().zip(1_usize..) {
        assert_eq!(json["totals"][word], n, "{word}");
        assert_eq!(mutants.iter().filter(|it| it["outcome"] == word).count(), n, "{word}");
        let row = format!("<tr><td>{word}</td><td align=\"right\">{n}</td>");
        assert!(page.contains(&row), "{word}: {page}");
        let cells = page.split("<h2>Mutants</h2>").nth(1).expect("a table");
        let cells = cells.split("</table>").next().expect("its rows");
        assert_eq!(cells.matches(&format!("<td class=\"{word}\">")).count(), n, "{word}: {cells}");
        assert!(summary.contains(&format!("| {word} | {n} |")), "{word}: {summary}");
        assert!(shown.contains(&format!("{n} {word}")), "{word}: {shown}");
    }
    assert_eq!(json["totals"]["mutants"], 21);
    assert_eq!((json["good_runs"].as_u64(), json["false_alarms"].as_u64()), (Some(9), Some(6)));
    for ((strain, ..), alarms) in STRAINS.into_iter().zip(1_usize..) {
        let runs = alarms + 1;
        let row = format!(
            "<tr><td>{strain}</td><td align=\"right\">{runs}</td><td align=\"right\">{alarms}</td>"
        );
        assert!(page.contains(&row), "{strain}: {page}");
        assert!(summary.contains(&format!("| {strain} | {runs} | {alarms} |")), "{summary}");
        let line = format!("{:<13} {runs} runs, {alarms} false alarm", format!("{strain}:"));
        assert!(shown.contains(&line), "{strain}: {shown}");
    }
    let checks = json["checks"].as_array().expect("checks");
    let delivery = checks.iter().find(|it| it["name"] == "delivery").expect("a check");
    assert_eq!(delivery["mutants_only_it_kills"].as_array().map(Vec::len), Some(1));
    let findings = json["findings"].as_u64().expect("a number");
    assert_eq!(
        text::last_line(&results, "x"),
        format!("verdict: failed  findings: {findings}  report: x")
    );
}

#[test]
fn no_foreign_text_breaks_a_report() {
    let results = results();
    let page = html::render(&results);
    let body = page.split("</style>").nth(1).expect("a body");
    assert!(!body.contains("<script") && !body.contains("http://"), "{body}");
    for shown in [page.as_str(), &text::render(&results), &markdown::render(&results)] {
        assert!(!shown.contains('\u{1b}') && !shown.contains('\u{202e}'), "{shown}");
    }
    let tables = body.matches("<table").count();
    assert_eq!(body.matches("</table>").count(), tables);
    assert_eq!(body.matches("<tr").count(), body.matches("</tr>").count());
}
