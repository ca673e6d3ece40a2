//! What is written is what is read: every kind of observation, with anything in it.

use std::collections::BTreeSet;
use std::sync::Arc;

use harness::check::{End, Profile};
use harness::log::{Last, Line};
use harness::observe::{
    ClientId, Ending, Entry, MessageId, Observation, Person, RoomId, Time, VoiceId, What, Who,
};
use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::kept::{PLENTY, Page, again, head, read};
use super::world::plan;

const CLIENTS: u32 = 5;
const ROOMS: u32 = 4;
/// Messages that have been sent before anything else.
const SENT: u32 = 3;

/// The page that describes the lines.
const PAGE: &str = include_str!("../../../docs/LOG.md");

fn text() -> impl Strategy<Value = Arc<str>> {
    prop_oneof!["[a-z]{0,8}", "\\PC{0,12}", Just("\u{0}\"\\\n\u{2028}".to_owned())]
        .prop_map(Arc::from)
}

fn value() -> impl Strategy<Value = Arc<Value>> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        // Halves are exact, however they are written.
        any::<i32>().prop_map(|n| Value::from(f64::from(n) / 2.0)),
        text().prop_map(|text| Value::from(&*text)),
        (60_usize..120).prop_map(|deep| (0..deep).fold(Value::Null, |it, _| json!([it]))),
        text().prop_map(|text| json!({ "$json": &*text })),
    ];
    let inner = |inner: BoxedStrategy<Value>| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::from),
            vec((text(), inner), 0..4)
                .prop_map(|it| it.into_iter().map(|(k, v)| (k.to_string(), v)).collect()),
        ]
    };
    leaf.prop_recursive(3, 12, 4, move |it| inner(it.boxed())).prop_map(Arc::new)
}

fn client() -> impl Strategy<Value = ClientId> {
    (0..CLIENTS).prop_map(ClientId)
}

fn room() -> impl Strategy<Value = RoomId> {
    (0..ROOMS).prop_map(RoomId)
}

fn message() -> impl Strategy<Value = MessageId> {
    (0..SENT, 0..2_u32).prop_map(|(voice, seq)| MessageId { voice: VoiceId(voice), seq })
}

fn who() -> impl Strategy<Value = Who> {
    prop_oneof![
        any::<u32>().prop_map(|n| Who::Client(ClientId(n))),
        text().prop_map(Who::Stranger),
        Just(Who::Untold),
    ]
}

fn ending() -> impl Strategy<Value = Ending> {
    (any::<bool>(), of(any::<u16>()), text(), any::<bool>())
        .prop_map(|(asked, code, reason, clean)| Ending { asked, code, reason, clean })
}

fn entry() -> impl Strategy<Value = Entry> {
    let person = (who(), of(value())).prop_map(|(who, state)| Person { who, state });
    let known = (room(), any::<bool>(), any::<bool>(), of(text()), any::<u32>());
    let told = (of(vec(person, 0..4)), of(any::<u64>()), of(text()), of(any::<u64>()));
    let more = (of(any::<u64>()), of(any::<bool>()), of((any::<u64>(), value())));
    (known, told, more).prop_map(|(known, told, more)| {
        let (room, confirmed, full, you, tickets) = known;
        let (members, count, epoch, number) = told;
        let (view, recovered, storage) = more;
        Entry {
            room,
            confirmed,
            full,
            you,
            tickets,
            members,
            count,
            epoch,
            number,
            view,
            recovered,
            storage,
        }
    })
}

fn about_connections() -> BoxedStrategy<What> {
    prop_oneof![
        of(text()).prop_map(|connection| What::Opened { connection }),
        text().prop_map(|reason| What::OpenFailed { reason }),
        any::<bool>().prop_map(|abrupt| What::Closing { abrupt }),
        ending().prop_map(What::Closed),
        any::<bool>().prop_map(What::Pongs),
        any::<bool>().prop_map(What::Reads),
        Just(What::Ping),
        Just(What::Pong),
        Just(What::Spoke),
        text().prop_map(|code| What::Complaint { code }),
        text().prop_map(|verb| What::Unanswered { verb }),
        text().prop_map(|text| What::Unknown { text }),
        text().prop_map(|fact| What::Malformed { fact }),
        text().prop_map(|fact| What::Garbled { fact }),
        Just(What::Foreseen),
    ]
    .boxed()
}

fn about_members() -> BoxedStrategy<What> {
    let notice = || (room(), who(), of(any::<u64>()));
    prop_oneof![
        (of(room()), any::<bool>()).prop_map(|(room, since)| What::Joining { room, since }),
        entry().prop_map(|entry| What::Entered(Box::new(entry))),
        (of(room()), text()).prop_map(|(room, code)| What::Refused { room, code }),
        room().prop_map(|room| What::Leaving { room }),
        room().prop_map(|room| What::Exited { room }),
        notice().prop_map(|(room, who, view)| What::Joined { room, who, view }),
        notice().prop_map(|(room, who, view)| What::Renamed { room, who, view }),
        (notice(), of(text())).prop_map(|((room, who, view), reason)| What::Left {
            room,
            who,
            view,
            reason
        }),
    ]
    .boxed()
}

fn about_messages() -> BoxedStrategy<What> {
    let number = || of(any::<u64>());
    prop_oneof![
        (room(), any::<u32>(), any::<u64>(), any::<u32>()).prop_map(|(room, ticket, at, hash)| {
            // Which message it is follows from its place.
            let message = MessageId { voice: VoiceId(0), seq: 0 };
            What::Sending { message, room, ticket, intended: Time(at), hash }
        }),
        message().prop_map(|message| What::Sent { message }),
        (message(), number()).prop_map(|(message, number)| What::Acked { message, number }),
        (message(), text()).prop_map(|(message, code)| What::Rejected { message, code }),
        (any::<(u32, u32)>(), of(room()), who(), any::<u32>(), number()).prop_map(
            |((voice, seq), room, from, hash, number)| {
                let message = MessageId { voice: VoiceId(voice), seq };
                What::Received { message, room, from, hash, number }
            }
        ),
        (of(room()), text(), any::<bool>()).prop_map(|(room, text, foreign)| What::Stray {
            room,
            text,
            foreign
        }),
    ]
    .boxed()
}

fn about_states() -> BoxedStrategy<What> {
    let number = || of(any::<u64>());
    prop_oneof![
        (room(), value()).prop_map(|(room, state)| What::PresenceSending { room, state }),
        room().prop_map(|room| What::PresenceAcked { room }),
        (room(), who(), value(), number()).prop_map(|(room, who, state, number)| What::Presence {
            room,
            who,
            state,
            number
        }),
        (room(), any::<u32>(), value()).prop_map(|(room, request, ops)| What::Storing {
            room,
            request,
            ops
        }),
        (room(), any::<u32>(), number()).prop_map(|(room, request, version)| What::StoreAcked {
            room,
            request,
            version
        }),
        (room(), any::<u32>()).prop_map(|(room, request)| What::StoreRefused { room, request }),
        (room(), who(), any::<u64>(), value(), number()).prop_map(
            |(room, who, version, ops, number)| What::Stored { room, who, version, ops, number }
        ),
        (room(), any::<u64>(), value()).prop_map(|(room, version, entries)| What::Snapshot {
            room,
            version,
            entries
        }),
    ]
    .boxed()
}

fn observation() -> impl Strategy<Value = Observation> {
    let what = prop_oneof![about_connections(), about_members(), about_messages(), about_states()];
    (any::<u64>(), client(), what).prop_map(|(at, client, what)| Observation {
        at: Time(at),
        client,
        what,
    })
}

/// All of them, after what they speak of.
fn in_a_run(mut seen: Vec<Observation>) -> Vec<Observation> {
    let sending = |voice, seq| {
        let message = MessageId { voice: VoiceId(voice), seq };
        let (ticket, hash, intended) = (voice * 2 + seq, 0, Time(0));
        let what = What::Sending { message, room: RoomId(0), ticket, intended, hash };
        Observation { at: Time(0), client: ClientId(0), what }
    };
    let before = (0..SENT).flat_map(|voice| (0..2).map(move |seq| sending(voice, seq)));
    let mut next = 2;
    let mut said: Vec<u32> = (0..ROOMS).map(|room| if room == 0 { SENT * 2 } else { 0 }).collect();
    for it in &mut seen {
        match &mut it.what {
            What::Sending { message, room, ticket, .. } => {
                message.seq = next;
                next += 1;
                *ticket = said[room.0 as usize];
                said[room.0 as usize] += 1;
            }
            What::Entered(entry) => entry.tickets %= said[entry.room.0 as usize] + 1,
            _ => {}
        }
    }
    before.chain(seen).collect()
}

fn logged(seen: &[Observation]) -> Vec<u8> {
    let page = Page::new();
    let head = head(&plan(), Profile::default(), CLIENTS as usize);
    let mut recorder = page.begin(PLENTY, &head);
    (0..ROOMS).for_each(|room| recorder.room(room, "r"));
    seen.iter().for_each(|seen| recorder.seen(seen.clone()));
    let last = Last { end: End::default(), met: 0, hidden: 0, checks: Vec::new() };
    let kept = recorder.end(last);
    assert_eq!((kept.why, kept.left_out), (None, 0));
    assert_eq!(kept.observations, seen.len() as u64);
    page.text()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_written_is_read(seen in vec(observation(), 0..60)) {
        let seen = in_a_run(seen);
        let lines = read(&logged(&seen)).expect("it can be read");
        let back: Vec<Observation> = lines
            .into_iter()
            .filter_map(|line| match line {
                Line::Seen(seen) => Some(seen),
                Line::Note(_) => None,
            })
            .collect();
        prop_assert_eq!(back, seen);
    }

    #[test]
    fn what_no_run_could_have_written_is_not_believed(
        text in "\\PC{0,40}",
        bytes in vec(any::<u8>(), 0..60),
        word in "[a-z_]{0,12}",
        numbers in vec(any::<i64>(), 0..8),
    ) {
        let begun = logged(&[]);
        let end = begun.iter().position(|byte| *byte == b'\n').expect("a head") + 1;
        let numbers = serde_json::to_string(&numbers).expect("JSON");
        let odd = format!("[\"{word}\",{}\n", numbers.trim_start_matches('['));
        for line in [text.as_bytes(), &bytes, odd.as_bytes()] {
            let mut log = begun[..end].to_vec();
            log.extend_from_slice(line);
            log.push(b'\n');
            // Whatever comes of it: it comes to an end, and in little memory.
            drop(read(&log));
        }
    }
}

/// The checks keep a place for each message of a room: a number that is made up would fill the memory.
#[test]
fn a_message_that_is_counted_otherwise_is_not_believed() {
    let text = String::from_utf8(logged(&in_a_run(Vec::new()))).expect("UTF-8");
    let first = text.lines().find(|line| line.starts_with("[\"sending")).expect("a message");
    let odd = first.replacen(",[0,0],0,0,", ",[0,0],0,4000000000,", 1);
    assert_ne!(first, odd);
    let error = again(text.replacen(first, &odd, 1).as_bytes()).expect_err("nobody sent so many");
    assert!(error.to_string().contains("room 0 has not had 4000000000 messages"), "{error}");
}

/// Every kind of line is made here, and described.
#[test]
fn every_kind_of_line_is_described() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let mut words = BTreeSet::new();
    for _ in 0..2_000 {
        let tree = observation().new_tree(&mut runner).expect("a strategy");
        let seen = in_a_run(vec![proptest::strategy::ValueTree::current(&tree)]);
        let text = String::from_utf8(logged(&seen[seen.len() - 1..])).unwrap_or_default();
        let word = text.lines().rev().nth(1).and_then(|line| line.split('"').nth(1));
        words.insert(word.expect("a word").to_owned());
        if words.len() == 37 {
            break;
        }
    }
    let described = |word: &String| PAGE.contains(&format!("`{word}`"));
    let missing: Vec<&String> = words.iter().filter(|word| !described(word)).collect();
    assert!(missing.is_empty(), "docs/LOG.md does not describe {missing:?}");
    assert_eq!(words.len(), 37, "{words:?}");
}
