//! All formats are drawn from one log: they tell the same totals, and no text of a target breaks one.

use harness::conform::baseline::Waiver;
use harness::conform::event::{Event, LeftOut, Line, Opening, Record, Seen};
use harness::conform::outcome::{OUTCOMES, Outcome};
use harness::conform::requirement::Level;
use harness::conform::results::Results;
use harness::report::conform::{badge, html, json, junit, markdown, text};
use serde_json::Value;

use super::fakes::{Fake, Habit};
use super::judging::{asked, record, subject};
use super::suites::OnDisk;
use super::summaries::HOSTILE;

/// A log in which each outcome has another number, and every foreign text is hostile.
fn log() -> Vec<Event> {
    let waiver = |case: &str| Waiver {
        case: case.to_owned(),
        target: None,
        outcome: Outcome::Fail,
        class: None,
        issue: HOSTILE.to_owned(),
        until: "2999-12-31".to_owned(),
    };
    let mut other = subject(HOSTILE);
    other.profile = HOSTILE.to_owned();
    let mut untestable = asked("MINI-3", Level::Must);
    untestable.untestable = Some(HOSTILE.to_owned());
    let opening = Opening {
        started: "2026-11-25T10:00:00Z".to_owned(),
        today: "2026-11-25".to_owned(),
        seed: 7,
        baseline: vec![waiver("mini/xfail/*"), waiver("mini/stale/*")],
        subjects: vec![subject("t"), other],
        requirements: vec![
            asked("MINI-1", Level::Must),
            asked("MINI-2", Level::Should),
            untestable,
        ],
        ..Opening::default()
    };
    let mut events = vec![Event::Suite(Box::new(opening))];
    for (place, (outcome, word, _)) in OUTCOMES.iter().enumerate() {
        for n in 0..=place {
            // The baseline makes these two of others.
            let raw = match outcome {
                Outcome::Xfail => Outcome::Fail,
                Outcome::Stale => Outcome::Pass,
                outcome => *outcome,
            };
            let frames = ["out", "found", "in"].into_iter().zip(0..);
            let frames = frames.map(|(way, at_us)| Line {
                at_us,
                way: way.to_owned(),
                text: harness::report::words::clean(HOSTILE),
            });
            let seen = Seen { finding: HOSTILE.to_owned(), frames: frames.collect() };
            events.push(Event::Finished(Box::new(Record {
                message: HOSTILE.to_owned(),
                about: HOSTILE.to_owned(),
                target: if n == 0 { HOSTILE.to_owned() } else { "t".to_owned() },
                class: Some("loss".to_owned()),
                line: Some(9),
                findings: 1,
                seen: vec![seen],
                ..record(&format!("{word}/case-{n}"), &["MINI-1"], raw)
            })));
        }
    }
    let left = LeftOut { case: "mini/x/y".into(), target: "t".into(), why: HOSTILE.to_owned() };
    events.push(Event::LeftOut(left));
    events.push(Event::Target { at_ms: 3, target: "t".to_owned(), what: HOSTILE.to_owned() });
    events.push(Event::Over { duration_s: 1.5, signal: None });
    events
}

#[test]
fn totals_are_equal_in_all_formats() {
    let results = Results::of(&log());
    let json = json::value(&results);
    let (page, shown) = (html::render(&results), text::render(&results));
    let (summary, xml) = (markdown::render(&results), junit::render(&results));
    let cases = json["cases"].as_array().expect("cases");
    for (n, (_, word, _)) in OUTCOMES.iter().enumerate() {
        let n = n + 1;
        assert_eq!(json["totals"][*word], n, "{word}");
        assert_eq!(cases.iter().filter(|it| it["outcome"] == *word).count(), n, "{word}");
        let row = format!("<tr><td>{word}</td><td align=\"right\">{n}</td>");
        assert!(page.contains(&row), "{word}: {page}");
        let cells = page.split("<h2>Cases: mini</h2>").nth(1).expect("a table");
        let cells = cells.split("</table>").next().expect("its rows");
        assert_eq!(cells.matches(&format!("<td class=\"{word}\">")).count(), n, "{word}: {cells}");
        assert!(summary.contains(&format!("| {word} | {n} |")), "{word}: {summary}");
        assert!(shown.contains(&format!("{n} {word}")), "{word}: {shown}");
        assert!(xml.contains(&format!("<property name=\"{word}\" value=\"{n}\"/>")), "{word}");
        let own = format!("<property name=\"outcome\" value=\"{word}\"/>");
        assert_eq!(xml.matches(&own).count(), n, "{word}: {xml}");
    }
    let n = |word: &str| json["totals"][word].as_u64().expect("a number") as usize;
    assert_eq!(xml.matches("<failure").count(), n("fail") + n("stale"), "{xml}");
    assert_eq!(xml.matches("<error").count(), n("error"), "{xml}");
    assert_eq!(xml.matches("<skipped").count(), n("unsupported") + n("inconclusive") + n("xfail"));
    assert_eq!(cases.len() as u64, results.totals.sum());
    let last = text::last_line(&results, "reports/x");
    let findings = json["findings"].as_u64().expect("a number");
    assert_eq!(last, format!("verdict: failed  findings: {findings}  report: reports/x"));
    // The badge tells the score that all others tell.
    let badge: Value = serde_json::from_str(&badge::render(&results)).expect("JSON");
    let score = badge["message"].as_str().expect("a text");
    let must = &json["score"]["must"];
    assert_eq!(score, format!("{} of {} MUST", must["met"], must["asked"]));
    for (format, text) in [("text", &shown), ("html", &page), ("markdown", &summary)] {
        assert!(text.contains(score), "{format}: {text}");
    }
}

#[test]
fn no_text_of_a_target_breaks_a_format() {
    let results = Results::of(&log());
    let page = html::render(&results);
    assert!(!page.contains("<script") && page.contains("&lt;script&gt;"), "{page}");
    assert!(page.contains("default-src 'none'"), "nothing is fetched");
    for text in [&page, &text::render(&results), &markdown::render(&results)] {
        assert!(!text.contains('\u{1b}') && !text.contains('\u{0}'), "{text}");
    }
    for line in markdown::render(&results).lines() {
        let harmless = line.starts_with("    ") || !line.contains("<script");
        assert!(harmless && line != "## x", "{line}");
    }
    // Every table has as many opening as closing tags: what is read without a style is read right.
    for tag in ["table", "tr", "td", "h2", "pre"] {
        let (open, close) = (format!("<{tag}"), format!("</{tag}>"));
        assert_eq!(page.matches(&open).count(), page.matches(&close).count(), "{tag}");
    }
    assert!(junit::render(&results).ends_with("</testsuites>\n"));
}

#[test]
fn the_log_alone_makes_the_reports() {
    let fake = Fake::start(Habit::Liar);
    let judged = OnDisk::new().run(&["--target", &format!("mini={}", fake.url())]);
    let log = judged.file("events.ndjson");
    let events: Vec<Event> =
        log.lines().map(|line| serde_json::from_str(line).expect("an event")).collect();
    let results = Results::of(&events);
    assert_eq!(json::value(&results), judged.json);
    assert_eq!(markdown::render(&results), judged.file("summary.md"));
    assert_eq!(junit::render(&results), judged.file("junit.xml"));
    assert_eq!(html::render(&results), judged.file("matrix.html"));
    assert_eq!(badge::render(&results), judged.file("badge.json"));
    assert!(judged.ran.out.starts_with(&text::render(&results)), "{judged}");
}
