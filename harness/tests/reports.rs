//! The reports: every format tells the same numbers, and no text of a target can break one.

mod summaries;

use std::path::Path;

use harness::log::Kept;
use harness::report::write::Place;
use harness::report::{hdr, json, junit, markdown, text, words};
use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry};
use serde_json::Value;
use summaries::{
    HOSTILE, all, could_not_run, failed, hostile, interrupted, late, nothing_delivered, passed,
};

#[test]
fn every_format_says_verdict_exit_code_and_reason() {
    let cases = [
        (passed(), "passed", 0, "1,188,000 facts judged, and all is well"),
        (failed(), "failed", 1, "delivery: 10 loss"),
        (late(), "inconclusive", 4, "the harness itself was late (p99 31.0 ms"),
        (interrupted(), "inconclusive", 130, "interrupted by SIGINT"),
        (could_not_run(), "inconclusive", 3, "could not run to its end: the target is gone"),
        (nothing_delivered(), "inconclusive", 4, "there was nobody to get one"),
    ];
    for (summary, verdict, code, reason) in cases {
        let json = json::value(&summary);
        assert_eq!(json["verdict"], verdict);
        assert_eq!(json["exit_code"], code);
        assert!(json["why"].to_string().contains(reason), "{}", json["why"]);
        let text = text::render(&summary);
        assert!(text.to_lowercase().contains(verdict) && text.contains(reason), "{text}");
        assert!(text.ends_with('\n'), "{text}");
        let page = markdown::render(&summary);
        assert!(page.contains(&format!(": {verdict}\n")), "{page}");
        let xml = junit::render(&summary);
        let property = format!(r#"<property name="verdict" value="{verdict}"/>"#);
        assert!(xml.contains(&property), "{xml}");
        // What is not passed must not be green.
        let red = xml.contains("<failure") || xml.contains("<error");
        assert_eq!(red, verdict != "passed", "{xml}");
        let last = text::last_line(&summary, "reports/x");
        let findings = summary.findings;
        assert_eq!(last, format!("verdict: {verdict}  findings: {findings}  report: reports/x"));
    }
}

#[test]
fn totals_are_equal_in_all_formats() {
    for (name, summary) in all() {
        let json = json::value(&summary);
        let page = markdown::render(&summary);
        let text = text::render(&summary);
        let xml = junit::render(&summary);
        for (key, title) in [
            ("owed", "Deliveries owed"),
            ("received", "Received"),
            ("lost", "Lost"),
            ("duplicated", "Duplicated"),
        ] {
            let n = json["deliveries"][key].as_u64().expect("a number");
            let shown = words::number(n);
            assert!(text.contains(&format!("{key} {shown}")), "{name}: {key} {shown}\n{text}");
            assert!(page.contains(&format!("| {title} | {shown} |")), "{name}: {key}\n{page}");
            let property = format!(r#"<property name="{key}" value="{n}"/>"#);
            assert!(xml.contains(&property), "{name}: {key}\n{xml}");
        }
        let checks = json["checks"].as_array().expect("checks");
        let sum: u64 = checks.iter().filter_map(|check| check["findings"].as_u64()).sum();
        assert_eq!(json["findings"], sum, "{name}");
        let failures = xml.matches("<failure").count();
        let broken = [&json["checks"], &json["steps"], &json["thresholds"]];
        let broken = broken.into_iter().flat_map(|rows| rows.as_array().expect("rows"));
        let broken = broken.filter(|row| row["verdict"] == "failed").count();
        assert_eq!(failures, broken, "{name}: {xml}");
    }
}

#[test]
fn the_terminal_tells_a_failed_run() {
    let mut summary = failed();
    summary.witnesses.drain(1..6);
    let expected = r##"  broadcast  FAILED  dialect native · 45.3 s · seed 7
  why         step on line 9 (talk): no reply within 5 s
              delivery: 10 loss
              order: 1 reorder
              deliver.latency p99 <50ms: found 61.0 ms
  about       Fifty rooms talk.
  target      ws://127.0.0.1:8080
  clients     5,000 of 5,000 at the same time, 0 failed
  sent        6,000 messages
  deliveries  owed 594,000   received 593,990   lost 10   duplicated 0
              out of order per sender 1   disorder between receivers 0
              leaks between rooms 0
  latency     p50 5.00 ms   p99 9.90 ms   p99.9 9.99 ms   max 10.0 ms   (deliver.latency)
  harness     CPU 11.50 s (0.25 cores)   late p99 900 µs
              loop lag p99 1.10 ms   longest standstill 2.00 ms
              peak memory 120.0 MiB   drained in 250 ms
  steps       1 passed, 1 failed, 1 not reached
              line 9: talk: no reply within 5 s
  checks      failed        delivery          10 loss
              failed        order             1 reorder
              skipped       presence          nothing to judge
              failed        steps             1 reply
  thresholds  broken        deliver.latency p99 <50ms   found 61.0 ms

  finding     delivery / loss: message 41 never came, seen by user-17 in room-3 at 18.204 655 s
        18.203 811  → {"say":"41"}
        18.204 655  ← {"message":"42"}
        18.204 655  ✗ loss
        18.205 655  ← ]]> <script>alert(1)</script> \u{1b}[2J \u{0} \u{ffff} ``` | &amp; "'\r\n## x

  finding     order / reorder: 42 before 41, seen by user-17 in room-3 at 19.000 000 s
        18.999 156  → {"say":"41"}
        19.000 000  ← {"message":"42"}
        19.000 000  ✗ reorder
        19.001 000  ← ]]> <script>alert(1)</script> \u{1b}[2J \u{0} \u{ffff} ``` | &amp; "'\r\n## x

  and         10 more findings; run.json has 2 in full
  again       harness run scenarios/broadcast.yaml --seed 7
  warnings    membership / notice: a doubled notice
"##;
    assert_eq!(text::render(&summary), expected);
}

#[test]
fn the_terminal_tells_a_run_that_passed() {
    let expected = "\
\x20 broadcast  passed  dialect native · 45.3 s · seed 7
  why         1,188,000 facts judged, and all is well
  about       Fifty rooms talk.
  target      ws://127.0.0.1:8080
  clients     5,000 of 5,000 at the same time, 0 failed
  sent        6,000 messages
  deliveries  owed 594,000   received 594,000   lost 0   duplicated 0
              out of order per sender 0   disorder between receivers 0
              leaks between rooms 0
  latency     p50 5.00 ms   p99 9.90 ms   p99.9 9.99 ms   max 10.0 ms   (deliver.latency)
  harness     CPU 11.50 s (0.25 cores)   late p99 900 µs
              loop lag p99 1.10 ms   longest standstill 2.00 ms
              peak memory 120.0 MiB   drained in 250 ms
  steps       2 passed, 0 failed, 0 not reached
  checks      passed        delivery          594,000 facts judged
              passed        order             594,000 facts judged
              skipped       presence          nothing to judge
  thresholds  kept          deliver.latency p99 <50ms   found 9.90 ms
";
    assert_eq!(text::render(&passed()), expected);
}

#[test]
fn junit_has_a_case_for_all_that_was_judged() {
    let expected = r##"<?xml version="1.0" encoding="UTF-8"?>
<testsuites name="harness" tests="8" skipped="2" failures="5" errors="0" time="45.300">
    <testsuite name="broadcast" tests="8" skipped="2" errors="0" failures="5" time="45.300" timestamp="2026-11-20T10:42:00Z">
        <properties>
            <property name="verdict" value="failed"/>
            <property name="findings" value="12"/>
            <property name="dialect" value="native"/>
            <property name="target" value="ws://127.0.0.1:8080"/>
            <property name="seed" value="7"/>
            <property name="owed" value="594000"/>
            <property name="received" value="593990"/>
            <property name="lost" value="10"/>
            <property name="duplicated" value="0"/>
            <property name="disordered" value="1"/>
        </properties>
        <testcase name="step 1 (line 4): join" classname="broadcast" time="0.500"/>
        <testcase name="step 2 (line 9): talk" classname="broadcast" time="0.500">
            <failure message="no reply within 5 s" type="step">no reply within 5 s</failure>
        </testcase>
        <testcase name="step 3 (line 12): leave" classname="broadcast" time="0.500">
            <skipped message="skipped: not reached"/>
        </testcase>
        <testcase name="check delivery" classname="broadcast" time="0.000">
            <failure message="10 loss" type="delivery">delivery / loss: message 41 never came, seen by user-17 in room-3 at 18.204 655 s
    18.203 811  → {&quot;say&quot;:&quot;41&quot;}
    18.204 655  ← {&quot;message&quot;:&quot;42&quot;}
    18.204 655  ✗ loss
    18.205 655  ← ]]&gt; &lt;script&gt;alert(1)&lt;/script&gt; \u{1b}[2J \u{0} \u{ffff} ``` | &amp;amp; &quot;&apos;\r\n## x
again: harness run scenarios/broadcast.yaml --seed 7</failure>
        </testcase>
        <testcase name="check order" classname="broadcast" time="0.000">
            <failure message="1 reorder" type="order">again: harness run scenarios/broadcast.yaml --seed 7</failure>
        </testcase>
        <testcase name="check presence" classname="broadcast" time="0.000">
            <skipped message="skipped: nothing to judge"/>
        </testcase>
        <testcase name="check steps" classname="broadcast" time="0.000">
            <failure message="1 reply" type="steps">again: harness run scenarios/broadcast.yaml --seed 7</failure>
        </testcase>
        <testcase name="threshold deliver.latency p99 &lt;50ms" classname="broadcast" time="0.000">
            <failure message="deliver.latency p99 &lt;50ms: found 61.0 ms" type="threshold">deliver.latency p99 &lt;50ms: found 61.0 ms</failure>
        </testcase>
    </testsuite>
</testsuites>
"##;
    let mut summary = failed();
    summary.witnesses.truncate(1);
    assert_eq!(junit::render(&summary), expected);
}

#[test]
fn the_json_has_every_field_that_scripts_rely_on() {
    let json = json::value(&failed());
    for pointer in [
        "/schema_version",
        "/scenario",
        "/dialect",
        "/target",
        "/seed",
        "/started",
        "/duration_s",
        "/interrupted",
        "/clients/planned",
        "/clients/connected_max",
        "/clients/failed",
        "/deliveries/disordered",
        "/metrics/deliver.latency/unit",
        "/metrics/deliver.latency/p99.9",
        "/generator/cpu_s_per_million_deliveries",
        "/generator/drain_s",
        "/course/points/0/p99",
    ] {
        assert!(json.pointer(pointer).is_some_and(|it| !it.is_null()), "no {pointer}: {json:#}");
    }
    let mut delivery = json["checks"][0].clone();
    delivery["witnesses"].as_array_mut().expect("witnesses").truncate(1);
    let expected = serde_json::json!({
        "name": "delivery", "verdict": "failed", "facts": 594_000, "findings": 10,
        "classes": { "loss": 10 },
        "witnesses": [{
            "class": "loss", "detail": "message 41 never came", "client": "user-17",
            "room": "room-3", "message": null, "at_us": 18_204_655,
            "frames": [
                { "at_us": 18_203_811, "direction": "out", "text": "{\"say\":\"41\"}" },
                { "at_us": 18_204_655, "direction": "in", "text": "{\"message\":\"42\"}" },
                { "at_us": 18_205_655, "direction": "in", "text": HOSTILE },
            ],
        }],
    });
    assert_eq!(delivery, expected);
    let threshold = serde_json::json!({
        "metric": "deliver.latency", "stat": "p99", "text": "<50ms", "limit": 50_000,
        "found": 61_000, "verdict": "failed",
    });
    assert_eq!(json["thresholds"][0], threshold);
    let last = json["checks"].as_array().and_then(|it| it.last()).expect("checks");
    assert_eq!(last["name"], "steps");
}

#[test]
fn no_text_of_a_target_breaks_a_report() {
    let summary = hostile();
    let steers = |c: char| (c.is_control() && c != '\n') || c == '\u{ffff}';
    for text in [text::render(&summary), junit::render(&summary), markdown::render(&summary)] {
        assert!(!text.contains(steers), "{text:?}");
        assert!(text.len() < 1024 * 1024, "{} bytes", text.len());
    }
    let xml = junit::render(&summary);
    assert!(!xml.contains("]]>") && !xml.contains("<script"), "{xml}");
    let page = markdown::render(&summary);
    let inline = |line: &&str| !line.starts_with("    ");
    assert!(!page.lines().filter(inline).any(|line| line.contains("<script")), "{page}");
    for line in text::render(&summary).lines().filter(|line| line.contains('←')) {
        assert!(line.chars().count() <= 120, "{line}");
    }
}

#[test]
fn junit_cases_have_names_of_their_own() {
    let mut summary = passed();
    summary.thresholds = vec![summary.thresholds[0].clone(); 3];
    let xml = junit::render(&summary);
    let mut names: Vec<&str> =
        xml.lines().filter_map(|line| line.trim().strip_prefix("<testcase name=\"")).collect();
    names.sort_unstable();
    let all = names.len();
    names.dedup();
    assert_eq!((all, names.len()), (8, 8), "{xml}");
}

#[test]
fn histograms_can_be_read_by_the_tools_of_hdrhistogram() {
    let files = hdr::files(&passed());
    let names: Vec<&str> = files.iter().map(|(name, _)| name.as_str()).collect();
    let expected = [
        "deliver.latency.hlog",
        "deliver.latency.hgrm",
        "deliver.latency.service.hlog",
        "deliver.latency.service.hgrm",
    ];
    assert_eq!(names, expected);
    let entries: Vec<LogEntry<'_>> =
        IntervalLogIterator::new(&files[0].1).map(|entry| entry.expect("an entry")).collect();
    let LogEntry::Interval(interval) = entries.last().expect("an interval") else {
        panic!("no interval: {entries:?}")
    };
    assert_eq!(interval.duration().as_secs_f64(), 45.3);
    assert!(interval.encoded_histogram().starts_with("HISTFAAAA"));
    let table = String::from_utf8(files[1].1.clone()).expect("text");
    let rows: Vec<Vec<&str>> =
        table.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows[0], ["Value", "Percentile", "TotalCount", "1/(1-Percentile)"]);
    let last = rows.iter().rev().find(|row| row.len() == 4).expect("rows");
    assert_eq!(last[1..], ["1.000000000000", "1000", "Infinity"]);
    assert!(table.contains("Total count    =         1000]"), "{table}");
}

#[test]
fn a_report_is_written_whole_and_an_old_one_is_replaced() {
    let base = tempfile::tempdir().expect("a directory");
    let directory = base.path().join("a/b");
    let place = Place::prepare(Some(&directory), base.path(), "x").expect("writable");
    assert!(!directory.exists(), "a run that does not come to a report leaves none");
    place.write(&passed()).expect("written");
    assert!(directory.join("deliver.latency.hlog").exists());
    place.write(&could_not_run()).expect("written again");
    let mut names: Vec<_> = std::fs::read_dir(&directory)
        .expect("a directory")
        .map(|entry| entry.expect("an entry").file_name())
        .collect();
    names.sort_unstable();
    assert_eq!(
        names,
        ["junit.xml", "run.json", "summary.md", "summary.txt"],
        "no debris, nothing stale"
    );
    let written = std::fs::read_to_string(directory.join("run.json")).expect("run.json");
    assert_eq!(written, json::render(&could_not_run()));
}

/// One of an earlier run beside this report would be taken for this one's.
#[test]
fn a_log_that_cannot_be_put_in_its_place_leaves_none() {
    let base = tempfile::tempdir().expect("a directory");
    let place = Place::prepare(Some(base.path()), base.path(), "x").expect("writable");
    std::fs::write(base.path().join("log.ndjson"), "an earlier run's").expect("written");
    let mut summary = passed();
    // Its own was never begun.
    summary.log = Some(Kept::default());
    place.write_with_log(&mut summary).expect("written");
    assert!(!base.path().join("log.ndjson").exists());
    let why = json::value(&summary)["log"]["why"].to_string();
    assert!(why.contains("cannot be put in its place"), "{why}");
}

#[test]
fn a_log_that_was_begun_is_in_its_place_before_the_report_is() {
    let base = tempfile::tempdir().expect("a directory");
    let place = Place::prepare(Some(base.path()), base.path(), "x").expect("writable");
    let names = || {
        let names = std::fs::read_dir(base.path()).expect("a directory");
        let mut names: Vec<_> = names.flatten().map(|entry| entry.file_name()).collect();
        names.retain(|name| name.to_string_lossy().contains("log.ndjson"));
        names
    };
    let mut summary = passed();
    let (bytes, why) = (2, Some("the log ends early: no space".to_owned()));
    summary.log = Some(Kept { bytes, observations: 9, left_out: 3, why });
    drop(place.begin("log.ndjson").expect("a file"));
    std::fs::write(base.path().join("log.ndjson"), "an old one").expect("written");
    place.write_with_log(&mut summary).expect("written");
    assert_eq!(names(), ["log.ndjson"]);
    assert_eq!(std::fs::read_to_string(base.path().join("log.ndjson")).expect("new"), "");
    let told: Value = serde_json::from_str(&json::render(&summary)).expect("JSON");
    assert_eq!((&told["log"]["whole"], &told["log"]["left_out"]), (&false.into(), &3.into()));
    assert!(
        text::render(&summary).ends_with("  log         not whole: the log ends early: no space\n")
    );
    place.write_with_log(&mut summary).expect("the report is there, at least");
    let why = summary.log.take().and_then(|log| log.why).expect("no second one was begun");
    assert!(why.contains("cannot be put in its place"), "{why}");
    place.write_with_log(&mut summary).expect("written");
    assert!(names().is_empty(), "that of another run does not stay");
}

#[test]
fn the_newest_report_in_the_default_place_has_a_link() {
    let base = tempfile::tempdir().expect("a directory");
    for run in ["broadcast-1", "broadcast-2"] {
        Place::prepare(None, base.path(), run).and_then(|it| it.write(&passed())).expect("written");
        let link = std::fs::read_link(base.path().join("reports/latest")).expect("a link");
        assert_eq!(link, Path::new(run));
    }
}

#[test]
fn a_place_that_cannot_be_written_is_found_before_the_load() {
    let base = tempfile::tempdir().expect("a directory");
    let file = base.path().join("file");
    std::fs::write(&file, "mine").expect("written");
    for path in [file.clone(), file.join("below")] {
        let error = Place::prepare(Some(&path), base.path(), "x").expect_err("no directory");
        assert!(error.to_string().contains(&path.display().to_string()), "{error}");
    }
    assert_eq!(std::fs::read_to_string(&file).expect("still there"), "mine");
}
