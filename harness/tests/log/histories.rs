//! Histories of a modelled server, right and with faults: judged again they are judged alike.

use std::collections::BTreeMap;

use harness::check::{Class, KEPT, Profile};
use harness::log::{Account, Line, Note, Unreadable, Wholeness};
use harness::observe::{MessageId, Observation, VoiceId, What};
use harness::plan::{Echo, Ordering};
use proptest::prelude::*;

use super::kept::{Logged, PLENTY, again, head, judged, read, settled};
use super::world::{Fault, Shape, World, plan};

const FAULTS: [Fault; 15] = [
    Fault::None,
    Fault::SwapSame,
    Fault::SwapOther,
    Fault::Fork,
    Fault::Drop,
    Fault::DropLast,
    Fault::Twice,
    Fault::TwiceLate,
    Fault::Phantom,
    Fault::Sender,
    Fault::Corrupt,
    Fault::Leak,
    Fault::Early,
    Fault::MissFirst,
    Fault::Late,
];

const CLIENTS: usize = 9;
const ROOMS: usize = 2;

fn shape(fault: Fault, steps: usize) -> Shape {
    Shape {
        ordering: Ordering::Total,
        echo: Echo::Once,
        clients: CLIENTS,
        speakers: 6,
        rooms: ROOMS,
        steps,
        confirmed: true,
        acks: true,
        lag: 6,
        recovers: false,
        refuses: false,
        stalls: false,
        roams: false,
        tick: 10,
        fault,
    }
}

/// The history of a seed, its voices numbered as the books number them: when they first speak.
fn history(fault: Fault, steps: usize, seed: u64) -> Option<Vec<Observation>> {
    let mut history = World::new(&shape(fault, steps), seed).play()?;
    let mut voices: BTreeMap<VoiceId, VoiceId> = BTreeMap::new();
    for seen in &mut history {
        let speaks = matches!(seen.what, What::Sending { .. });
        let message: &mut MessageId = match &mut seen.what {
            What::Sending { message, .. }
            | What::Sent { message }
            | What::Acked { message, .. }
            | What::Rejected { message, .. }
            | What::Received { message, .. } => message,
            _ => continue,
        };
        let next = VoiceId(u32::try_from(voices.len()).expect("few voices"));
        let known = voices.get(&message.voice).copied();
        message.voice = match known {
            Some(known) => known,
            None if speaks => *voices.entry(message.voice).or_insert(next),
            // Who never speaks has a number that nobody has.
            None => VoiceId(message.voice.0 | 0x4000),
        };
    }
    Some(history)
}

fn logged(history: &[Observation], bytes: u64) -> Logged {
    let mut checks = plan();
    (checks.order, checks.echo) = (Some(Ordering::Total), Some(Echo::Once));
    let head = head(&checks, Profile::new(&checks, None, false), CLIENTS);
    judged(history, ROOMS as u32, (&head, settled(history)), bytes)
}

#[test]
fn every_fault_is_found_again_in_the_log_and_none_where_there_is_none() {
    for fault in FAULTS {
        let histories = (1..2_000).filter_map(|seed| history(fault, 400, seed));
        for history in histories.take(12) {
            let log = logged(&history, PLENTY);
            assert_eq!(log.kept.why, None);
            let again = again(&log.text).unwrap_or_else(|error| panic!("{fault:?}: {error}"));
            assert_eq!(again.wholeness, Wholeness::Whole);
            let (then, now) = (Account::told_by(&again).expect("an end"), Account::now(&again));
            assert_eq!(then.differences(&now), [], "{fault:?}");
            assert_eq!(then, now, "{fault:?}");
            assert!(fault != Fault::None || again.total == 0, "{:?}", again.found);
        }
    }
}

#[test]
fn a_log_that_does_not_say_what_the_checks_say_is_told_apart() {
    let history = (1..100).find_map(|seed| history(Fault::Twice, 400, seed));
    let log = logged(&history.expect("an occasion"), PLENTY);
    let again = again(&log.text).expect("a log");
    let now = Account::now(&again);
    assert!(now.total() > 0);
    let then = Account { findings: Some(Vec::new()), ..now.clone() };
    let told = then.differences(&now);
    assert!(told.iter().all(|it| it.0.starts_with("found only now: delivery / duplicate")));
    assert_eq!(told.len() as u64, now.total());
    let mut then = now.clone();
    then.checks.remove("order");
    let told = then.differences(&now);
    assert!(told[0].0.starts_with("order: then nothing, now "), "{told:?}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 120, failure_persistence: None, ..ProptestConfig::default() })]

    /// What is cut off says so; what is there is judged as it was.
    #[test]
    fn a_log_that_was_cut_is_no_whole_one(seed in 1_u64..50, at in 0.0_f64..1.0) {
        let Some(history) = history(Fault::Twice, 200, seed) else { return Ok(()) };
        let log = logged(&history, PLENTY);
        let cut = (log.text.len() as f64 * at) as usize;
        match again(&log.text[..cut]) {
            Ok(again) => {
                prop_assert_eq!(&again.wholeness, &Wholeness::Cut);
                prop_assert_eq!(again.differences_so_far(), []);
            }
            Err(Unreadable::NoLog(_)) => {
                let head = log.text.iter().position(|byte| *byte == b'\n');
                prop_assert!(Some(cut) <= head);
            }
            Err(error) => return Err(TestCaseError::fail(error.to_string())),
        }
    }

    /// A byte that is another is noticed, wherever it stands.
    #[test]
    fn a_log_that_was_changed_is_not_believed(
        seed in 1_u64..50, at in 0.0_f64..1.0, change in 1_u8..=255,
    ) {
        let Some(history) = history(Fault::Twice, 200, seed) else { return Ok(()) };
        let mut text = logged(&history, PLENTY).text;
        let at = (text.len() as f64 * at) as usize;
        text[at] ^= change;
        let whole = again(&text).is_ok_and(|again| again.wholeness == Wholeness::Whole);
        prop_assert!(!whole, "byte {} of {}", at, text.len());
    }
}

#[test]
fn lines_that_are_missing_or_changed_places_are_noticed() {
    let log = logged(&history(Fault::None, 200, 1).expect("a history"), PLENTY);
    let text = String::from_utf8(log.text).expect("UTF-8");
    let lines: Vec<&str> = text.lines().collect();
    let received: Vec<usize> =
        (0..lines.len()).filter(|place| lines[*place].starts_with("[\"received")).collect();
    let mut missing = lines.clone();
    missing.remove(received[3]);
    let mut swapped = lines.clone();
    swapped.swap(received[3], received[4]);
    let mut more = lines.clone();
    more.push(lines[received[3]]);
    for broken in [missing, swapped, more] {
        let error = again((broken.join("\n") + "\n").as_bytes()).expect_err("it is broken");
        assert!(matches!(error, Unreadable::Line { .. }), "{error}");
    }
}

#[test]
fn a_log_of_another_version_is_named_as_such() {
    let log = logged(&history(Fault::None, 50, 1).expect("a history"), PLENTY);
    let text = String::from_utf8(log.text).expect("UTF-8");
    for other in ["0", "2"] {
        let other =
            text.replacen("\"schema_version\":1", &format!("\"schema_version\":{other}"), 1);
        // Whatever else it has that this version does not know.
        let other = other.replacen("\"seed\":7", "\"seeds\":[7]", 1);
        let error = again(other.as_bytes()).expect_err("another version").to_string();
        assert!(error.contains("schema_version") && error.contains("reads 1"), "{error}");
    }
    for nothing in ["", "\n", "{}\n", "[1]\n", "verdict: passed\n", "{\"schema_version\":1}\n"] {
        let error = again(nothing.as_bytes()).expect_err("no log");
        assert!(matches!(error, Unreadable::NoLog(_)), "{error}");
    }
}

#[test]
fn beyond_its_size_a_log_keeps_what_clients_did_and_what_concerns_findings() {
    let mut found = 0;
    for fault in FAULTS {
        for history in (1..400).filter_map(|seed| history(fault, 3_000, seed)).take(4) {
            let whole = logged(&history, PLENTY).kept.bytes;
            let limit = whole / 10 * 7;
            let log = logged(&history, limit);
            let why = log.kept.why.as_ref().expect("it is not whole");
            assert!(why.contains(&format!("{limit} bytes")), "{why}");
            assert!(log.kept.bytes < whole, "{} of {whole} bytes", log.kept.bytes);
            assert!(log.kept.left_out > 0);
            assert_eq!(log.kept.bytes, log.text.len() as u64);
            let rechecked = again(&log.text).expect("it can be read");
            assert!(matches!(rechecked.wholeness, Wholeness::Sparse(_)));
            assert_eq!(rechecked.differences_so_far(), [], "{fault:?}");
            let lines = read(&log.text).expect("it can be read");
            assert_holds_witnesses(&history, &lines);
            found += lines.iter().filter(|it| matches!(it, Line::Note(Note::Found(_)))).count();
        }
    }
    assert!(found > 20, "{found} findings");
}

/// There is an end to what is kept, however many findings there are.
#[test]
fn a_log_stays_small_whatever_is_found() {
    const BYTES: u64 = 20_000;
    for history in (1..400).filter_map(|seed| history(Fault::Twice, 6_000, seed)).take(3) {
        let whole = logged(&history, PLENTY);
        let log = logged(&history, BYTES);
        // Findings themselves and the end are always told.
        let most = BYTES + BYTES / 2 + 10_000;
        assert!(whole.kept.bytes > 3 * most, "{} bytes", whole.kept.bytes);
        assert!(log.kept.bytes < most, "{} bytes", log.kept.bytes);
        let lines = read(&log.text).expect("it can be read");
        let twice = lines.iter().filter_map(|line| match line {
            Line::Note(Note::Found(found)) => Some((found.client?, found.message?)),
            _ => None,
        });
        for (client, wanted) in twice {
            let copy = |line: &&Line| match line {
                Line::Seen(seen) => {
                    matches!(seen.what, What::Received { message, .. } if message == wanted)
                        && seen.client == client
                }
                Line::Note(_) => false,
            };
            assert_eq!(lines.iter().filter(copy).count(), 2, "both copies of {wanted:?}");
        }
    }
}

/// Of each finding about a message: that it was sent, and what its client saw of it.
fn assert_holds_witnesses(history: &[Observation], lines: &[Line]) {
    let findings: Vec<_> = lines
        .iter()
        .filter_map(|line| match line {
            Line::Note(Note::Found(found)) => Some(found),
            _ => None,
        })
        .collect();
    assert!(findings.len() < KEPT);
    for found in findings {
        let Some(wanted) = found.message else { continue };
        let about = |seen: &&Observation| match seen.what {
            What::Sending { message, .. } => message == wanted,
            What::Received { message, .. } => {
                // What is never to come is found at the end only, and not looked for before.
                message == wanted && found.client == Some(seen.client) && found.class != Class::Loss
            }
            _ => false,
        };
        for seen in history.iter().filter(about) {
            let kept = lines.contains(&Line::Seen(seen.clone()));
            assert!(kept, "{found:?} has lost {seen:?}");
        }
    }
}
