//! Reports: every format says the same, escapes what it is given, and is written whole or not at all.

use std::fs;
use std::time::{Duration, SystemTime};

use harness::check::{CheckResult, Class, Deliveries, Finding};
use harness::latency::{Held, Measured, Metric, Number, POINTS_MAX, is_late, thresholds};
use harness::observe::{ClientId, RoomId, Time};
use harness::plan::{Op, Place as At, Threshold};
use harness::report::{hdr, json, junit, markdown, text, write};
use harness::summary::{Clients, Direction, Frame, Generator, StepResult, Summary, Witness};
use harness::verdict::{Exit, Verdict};

const NASTY: &str = "a<b>&\"'`|\u{1b}[31m\n::error::]]>\u{7}é";

fn steps() -> Vec<StepResult> {
    vec![
        StepResult {
            line: 9,
            label: "open".into(),
            verdict: Verdict::Passed,
            message: String::new(),
            seconds: 0.5,
        },
        StepResult {
            line: 11,
            label: "join".into(),
            verdict: Verdict::Failed,
            message: NASTY.into(),
            seconds: 1.0,
        },
    ]
}

fn checks() -> Vec<CheckResult> {
    vec![
        CheckResult {
            name: "delivery",
            verdict: Verdict::Failed,
            facts: 594_000,
            classes: vec![(Class::Loss, 12), (Class::Leak, 0)],
        },
        CheckResult {
            name: "order",
            verdict: Verdict::Passed,
            facts: 593_988,
            classes: vec![(Class::Reorder, 0)],
        },
    ]
}

fn summary() -> Summary {
    let finding = Finding::new("delivery", Class::Loss, Time(18_204_655), NASTY)
        .client(ClientId(3_317))
        .room(RoomId(17));
    let frame = |at, direction, text: &str| Frame { at: Time(at), direction, text: text.into() };
    let frames = vec![
        frame(18_203_811, Direction::Out, "{\"say\":1}"),
        frame(18_204_640, Direction::In, NASTY),
    ];
    let mut measured = Measured::default();
    for n in 1..=1_000_u64 {
        measured.delivered(Time(n * 30_000), Time(n * 30_000 - n * 10), Time(n * 30_000 - n * 9));
    }
    measured.count(Metric::OpenFailed, 2);
    Summary {
        scenario: "broadcast".into(),
        about: "Everybody hears everybody.".into(),
        dialect: "rooms".into(),
        target: NASTY.into(),
        seed: 7,
        started: "2026-11-20T10:42:00Z".into(),
        duration_s: 45.3,
        interrupted: None,
        error: None,
        again: "harness run broadcast --seed 7".into(),
        clients: Clients { planned: 5_000, connected_max: 5_000, failed: 0 },
        sent: 6_000,
        deliveries: Deliveries {
            owed: 594_000,
            received: 593_988,
            lost: 12,
            ..Deliveries::default()
        },
        steps: steps(),
        checks: checks(),
        findings: 12,
        warnings: vec![],
        witnesses: vec![Witness {
            finding,
            client: Some("user-3317".into()),
            room: Some("room-17".into()),
            frames,
        }],
        thresholds: vec![Held {
            metric: Metric::DeliverLatency,
            stat: "p99".into(),
            text: "<50ms".into(),
            limit: 50_000.0,
            found: Some(9_800.0),
            verdict: Verdict::Passed,
        }],
        measured,
        late: false,
        generator: Generator { engine: "swarm".into(), cpu_s: 2.0, ..Generator::default() },
    }
}

#[test]
fn run_json_is_what_scripts_rely_on() {
    let value = json::render(&summary());
    let fields = [
        "schema_version",
        "verdict",
        "exit_code",
        "scenario",
        "dialect",
        "target",
        "seed",
        "started",
        "duration_s",
        "interrupted",
        "clients",
        "deliveries",
        "findings",
        "checks",
        "thresholds",
        "metrics",
        "generator",
    ];
    for field in fields {
        assert!(value.get(field).is_some(), "no {field}");
    }
    assert_eq!(value["schema_version"], 1);
    assert_eq!((value["verdict"].as_str(), value["exit_code"].as_u64()), (Some("failed"), Some(1)));
    assert_eq!(value["deliveries"]["lost"], 12);
    assert_eq!(value["checks"][0]["classes"]["loss"], 12);
    assert_eq!(value["checks"][0]["witnesses"][0]["frames"][1]["direction"], "in");
    let latency = &value["metrics"]["deliver.latency"];
    for field in ["unit", "count", "min", "mean", "p50", "p90", "p99", "p99.9", "max"] {
        assert!(latency.get(field).is_some(), "no {field}");
    }
    assert_eq!((latency["unit"].as_str(), latency["count"].as_u64()), (Some("us"), Some(1_000)));
    assert_eq!(value["metrics"]["open.failed"]["count"], 2.0);
    let generator = &value["generator"];
    let own = [
        "engine",
        "cpu_s",
        "cpu_s_per_million_deliveries",
        "lateness_p99_us",
        "loop_lag_p99_us",
        "peak_rss_bytes",
        "drain_s",
    ];
    assert!(own.iter().all(|field| generator.get(field).is_some()), "{generator}");
}

#[test]
fn totals_are_the_same_in_every_format() {
    let summary = summary();
    let json = json::render(&summary);
    let text = text::render(&summary);
    let xml = junit::render(&summary).expect("it can be written");
    let markdown = markdown::render(&summary);
    assert_eq!(json["findings"], 12);
    assert!(text.contains("delivered 593,988 of 594,000   lost 12"), "{text}");
    assert!(xml.contains("12 loss"), "{xml}");
    assert!(markdown.contains("593,988 of 594,000 deliveries, 12 lost, 12 findings"), "{markdown}");
    let last = text::last_line(&summary, "reports/x");
    assert_eq!(last, "verdict: failed  findings: 12  report: reports/x");
}

#[test]
fn no_text_of_the_target_breaks_a_report() {
    let summary = summary();
    let xml = junit::render(&summary).expect("it can be written");
    assert!(!xml.contains('\u{1b}') && !xml.contains("a<b>"), "{xml}");
    let parsed = quick_junit::Report::deserialize_from_str(&xml).expect("it is XML");
    assert_eq!((parsed.tests, parsed.failures), (5, 2));
    let text = text::render(&summary);
    assert!(!text.contains('\u{1b}') && !text.contains("\n::error"), "{text}");
    let markdown = markdown::render(&summary);
    assert!(!markdown.contains("<b>") && !markdown.contains('\u{1b}'), "{markdown}");
}

#[test]
fn the_terminal_shows_the_finding_and_how_to_repeat_it() {
    let text = text::render(&summary());
    for part in [
        "loss: ",
        "user-3317 in room-17 at 18.205 s",
        "→  {\"say\":1}",
        "←",
        "again: harness run broadcast --seed 7",
        "p99 9.9 ms",
        "and 7 more",
    ] {
        assert!(text.contains(part), "no {part:?} in\n{text}");
    }
}

#[test]
fn markdown_stays_below_what_is_dropped() {
    let mut summary = summary();
    summary.witnesses[0].finding.detail = "x".repeat(10_000);
    summary.witnesses = vec![summary.witnesses[0].clone(); 200];
    summary.steps[1].message = "é".repeat(900_000);
    assert!(markdown::render(&summary).len() <= 1_000_001);
}

#[test]
fn a_report_is_written_whole_and_found_impossible_before() {
    let base = tempfile::tempdir().expect("a directory");
    let place = write::Place::prepare(None, base.path(), "broadcast-1").expect("it can be written");
    place.write(&summary()).expect("it is written");
    let names =
        ["run.json", "junit.xml", "result.txt", "summary.md", "times.hlog", "deliver.latency.hgrm"];
    for name in names {
        assert!(place.directory().join(name).is_file(), "no {name}");
    }
    let parts = fs::read_dir(place.directory()).expect("it is there").count();
    assert_eq!(parts, names.len(), "nothing is left over");
    let latest = fs::canonicalize(base.path().join("reports/latest")).expect("it points somewhere");
    assert_eq!(latest, fs::canonicalize(place.directory()).expect("it is there"));

    let again = write::Place::prepare(None, base.path(), "broadcast-2").expect("it can be written");
    again.write(&summary()).expect("it is written");
    let latest = fs::read_link(base.path().join("reports/latest")).expect("a link");
    assert_eq!(latest.to_str(), Some("broadcast-2"));

    let file = base.path().join("file");
    fs::write(&file, "x").expect("it can be written");
    assert!(write::Place::prepare(Some(&file), base.path(), "").is_err(), "a file is in the way");
    let below = file.join("report");
    assert!(write::Place::prepare(Some(&below), base.path(), "").is_err(), "below a file");
}

#[test]
fn histograms_are_read_by_their_own_tools() {
    use hdrhistogram::serialization::Deserializer;
    use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry};
    let measured = summary().measured;
    let log = hdr::hlog(&measured, SystemTime::UNIX_EPOCH, Duration::from_secs(45))
        .expect("it is written");
    let mut found = Vec::new();
    for entry in IntervalLogIterator::new(&log) {
        let LogEntry::Interval(interval) = entry.expect("it parses") else { continue };
        let bytes = base64(interval.encoded_histogram());
        let histogram: hdrhistogram::Histogram<u64> =
            Deserializer::new().deserialize(&mut bytes.as_slice()).expect("a histogram");
        found.push((interval.tag().expect("a tag").as_str().to_owned(), histogram.len()));
    }
    let expected =
        [("deliver.latency".to_owned(), 1_000), ("deliver.latency.service".to_owned(), 1_000)];
    assert_eq!(found, expected);
    let spectrum = hdr::hgrm(&measured, Metric::DeliverLatency).expect("something was measured");
    assert!(spectrum.starts_with("       Value     Percentile TotalCount 1/(1-Percentile)\n"));
    assert!(spectrum.contains("Total count    =         1000"), "{spectrum}");
}

/// Decodes base64; the log's own reader leaves that to its user.
fn base64(text: &str) -> Vec<u8> {
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let bits = |c: u8| alphabet.iter().position(|a| *a == c);
    let (mut out, mut held, mut count) = (Vec::new(), 0_usize, 0);
    for six in text.bytes().filter_map(bits) {
        (held, count) = (held << 6 | six, count + 6);
        if count >= 8 {
            count -= 8;
            out.push(u8::try_from(held >> count & 0xff).expect("eight bits"));
        }
    }
    out
}

fn limit(metric: &str, stat: &str, op: Op, limit: f64) -> Threshold {
    let (metric, stat) = (metric.to_owned(), stat.to_owned());
    Threshold { place: At::default(), metric, stat, text: String::new(), op, limit }
}

#[test]
fn limits_hold_break_or_cannot_be_judged() {
    let mut measured = summary().measured;
    let rate = Number { count: 10.0, min: 1.0, mean: 5.0, max: 9.0 };
    measured.set(Metric::DeliverRate, rate);
    let cases = [
        (limit("deliver.latency", "p99", Op::Lt, 50_000.0), Verdict::Passed),
        (limit("deliver.latency", "p50", Op::Lt, 1_000.0), Verdict::Failed),
        (limit("deliver.latency", "p99.9", Op::Ge, 9_900.0), Verdict::Passed),
        (limit("deliver.latency", "count", Op::Eq, 1_000.0), Verdict::Passed),
        (limit("open.failed", "count", Op::Eq, 0.0), Verdict::Failed),
        (limit("close.unexpected", "count", Op::Eq, 0.0), Verdict::Passed),
        (limit("join.latency", "p99", Op::Lt, 1.0), Verdict::Inconclusive),
        (limit("deliver.rate", "mean", Op::Ge, 5.0), Verdict::Passed),
    ];
    for (limit, expected) in cases {
        let held = thresholds(std::slice::from_ref(&limit), &measured, Duration::ZERO);
        assert_eq!(held[0].verdict, expected, "{limit:?} {held:?}");
    }
}

#[test]
fn a_late_harness_judges_no_times() {
    let mut measured = summary().measured;
    measured.record(Metric::HarnessLateness, 31_000);
    let strict = [
        limit("deliver.latency", "p99", Op::Lt, 1.0),
        limit("harness.lateness", "p99", Op::Lt, 5_000.0),
        limit("open.failed", "count", Op::Eq, 0.0),
    ];
    let held: Vec<Verdict> =
        thresholds(&strict, &measured, Duration::ZERO).iter().map(|h| h.verdict).collect();
    assert_eq!(held, [Verdict::Inconclusive, Verdict::Inconclusive, Verdict::Failed]);
    assert!(is_late(&[], &Measured::default(), Duration::from_secs(2)), "it stood still");
    assert!(!is_late(&[], &Measured::default(), Duration::from_millis(900)));
}

#[test]
fn parts_measured_apart_add_up() {
    let (mut whole, mut left, mut right) =
        (Measured::default(), Measured::default(), Measured::default());
    for n in 0..100_000_u64 {
        let at = Time(n * 20_000);
        let half = if n % 2 == 0 { &mut left } else { &mut right };
        for part in [&mut whole, half] {
            part.delivered(at, Time(at.0.saturating_sub(n % 977)), at);
        }
    }
    left.merge(right);
    let value = |m: &Measured, stat| m.value(Metric::DeliverLatency, stat);
    for stat in ["count", "min", "p50", "p99", "max"] {
        assert_eq!(value(&left, stat), value(&whole, stat), "{stat}");
    }
    let count = |m: &Measured| m.course().iter().map(|point| point.count).sum::<u64>();
    assert_eq!((count(&left), count(&whole)), (100_000, 100_000));
    assert!(left.course().len() <= POINTS_MAX && whole.course().len() <= POINTS_MAX);
    left.record(Metric::JoinLatency, u64::MAX);
    assert_eq!(left.times_of(Metric::JoinLatency).map(|times| times.overflowed()), Some(1));
}

#[test]
fn a_run_that_judged_nothing_is_inconclusive_and_a_signal_has_its_own_code() {
    let mut empty = summary();
    (empty.checks, empty.steps, empty.thresholds) = (vec![], vec![], vec![]);
    assert_eq!((empty.verdict(), empty.exit()), (Verdict::Inconclusive, Exit::Inconclusive));
    empty.interrupted = Some(Exit::Interrupted);
    assert_eq!(empty.exit().code(), 130);
    empty.interrupted = None;
    empty.error = Some("no target".into());
    assert_eq!(empty.exit().code(), 3);
}
