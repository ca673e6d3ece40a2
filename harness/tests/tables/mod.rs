//! Histories by hand, good and bad, with what must be said of each.

mod found;
mod returns;
mod slow;
mod storage;

use std::sync::Arc;
use std::time::Duration;

use harness::check::{Class, End, Judge, Profile};
use harness::dialect::Heartbeat;
use harness::observe::{
    ClientId, Ending, Entry, MessageId, Observation, Person, RoomId, Time, VoiceId, What, Who,
};
use harness::plan::{ChecksPlan, Echo, Level, Ordering};
use harness::verdict::Verdict;
use serde_json::{Value, json};

const ROOM: RoomId = RoomId(0);
const HEARTBEAT: Heartbeat =
    Heartbeat { every: Duration::from_secs(2), timeout: Duration::from_secs(4) };

/// A check, and what it must call a fault.
type Told = Vec<(&'static str, Class)>;

/// A history: time in milliseconds, client, what.
type History = Vec<(u64, u32, What)>;

fn plan() -> ChecksPlan {
    ChecksPlan {
        order: Some(Ordering::Total),
        echo: Some(Echo::Once),
        membership: Level::Fail,
        unknown_messages: Level::Fail,
        presence: Some(Duration::from_secs(1)),
        storage: true,
        heartbeat: Some(Duration::from_millis(250)),
        recovery: true,
        slow: Some(Duration::from_millis(100)),
        ..crate::world::plan()
    }
}

fn judge(history: &History, end: End) -> (Judge, Vec<harness::check::CheckResult>) {
    let checks = plan();
    let profile = Profile::new(&checks, Some(HEARTBEAT), true);
    let mut judge = Judge::new(&checks, profile, 4);
    for (at, client, what) in history {
        let (at, client) = (Time(at * 1_000), ClientId(*client));
        judge.observe(&Observation { at, client, what: what.clone() });
    }
    let results = judge.conclude(&end);
    (judge, results)
}

fn end_of(history: &History) -> End {
    // Long enough after for every grace, too short for any ping to be missing.
    let at = Time(history.last().map_or(0, |(at, ..)| at * 1_000) + 2_200_000);
    End { at, settled: true, ..End::default() }
}

/// What must be found: the check and the class; nothing else.
fn check(name: &str, history: &History, expected: &[(&str, Class)]) {
    let (judge, _) = judge(history, end_of(history));
    let mut found: Vec<_> = judge.findings().kept().iter().map(|f| (f.check, f.class)).collect();
    found.sort_unstable();
    found.dedup();
    let mut wanted = expected.to_vec();
    wanted.sort_unstable();
    assert_eq!(found, wanted, "{name}: {:#?}", judge.findings().kept());
}

fn person(client: u32) -> Person {
    Person { who: Who::Client(ClientId(client)), state: None }
}

fn entry(members: &[u32], number: u64, view: u64) -> Entry {
    Entry {
        room: ROOM,
        confirmed: true,
        full: true,
        you: Some(format!("m-{members:?}-{view}").into()),
        tickets: 0,
        members: Some(members.iter().map(|c| person(*c)).collect()),
        count: Some(members.len() as u64),
        epoch: Some("life".into()),
        number: Some(number),
        view: Some(view),
        recovered: None,
        storage: None,
    }
}

fn entered(entry: Entry) -> What {
    What::Entered(Box::new(entry))
}

fn joining(since: bool) -> What {
    What::Joining { room: Some(ROOM), since }
}

fn joined(client: u32, view: u64) -> What {
    What::Joined { room: ROOM, who: Who::Client(ClientId(client)), view: Some(view) }
}

fn left(client: u32, view: u64) -> What {
    What::Left { room: ROOM, who: Who::Client(ClientId(client)), view: Some(view), reason: None }
}

fn closed(asked: bool, code: Option<u16>) -> What {
    What::Closed(Ending { asked, code, reason: "".into(), clean: code.is_some() })
}

fn opened(id: &str) -> What {
    What::Opened { connection: Some(id.into()) }
}

fn id(seq: u32) -> MessageId {
    MessageId { voice: VoiceId(0), seq }
}

fn sending(seq: u32) -> What {
    What::Sending { message: id(seq), room: ROOM, ticket: seq, intended: Time(0), hash: seq }
}

fn received(seq: u32, number: u64) -> What {
    let from = Who::Client(ClientId(0));
    What::Received { message: id(seq), room: Some(ROOM), from, hash: seq, number: Some(number) }
}

/// Clients 0 and 1 are in the room.
fn two_inside() -> History {
    vec![
        (0, 0, opened("a")),
        (0, 1, opened("b")),
        (1, 0, joining(false)),
        (2, 0, entered(entry(&[0], 0, 1))),
        (3, 1, joining(false)),
        (4, 1, entered(entry(&[0, 1], 0, 2))),
        (5, 0, joined(1, 2)),
    ]
}

fn with(more: Vec<(u64, u32, What)>) -> History {
    let mut history = two_inside();
    history.extend(more);
    history
}

/// The history without one of its observations.
fn without(mut history: History, at: usize) -> History {
    history.remove(at);
    history
}

#[test]
fn members_are_told_who_is_there() {
    use Class::{Admission, Ghost, Identity, Notice, Snapshot, View};
    let told = |class| vec![("membership", class)];
    let listed = |members: &[u32]| {
        let mut history = two_inside();
        history[5].2 = entered(entry(members, 0, 2));
        history
    };
    let gone = |more: Vec<(u64, u32, What)>| {
        let mut history =
            with(vec![(100, 1, What::Closing { abrupt: true }), (101, 1, closed(true, None))]);
        history.extend(more);
        history
    };
    let left_by = |client| {
        with(vec![
            (10, 1, What::Leaving { room: ROOM }),
            (11, 1, What::Exited { room: ROOM }),
            (12, 0, left(client, 3)),
        ])
    };
    let mut same_id = two_inside();
    same_id[1].2 = opened("a");
    let cases: Vec<(&str, History, Told)> = vec![
        ("two meet", two_inside(), vec![]),
        ("nobody tells the first of the second", without(two_inside(), 6), told(Notice)),
        ("told twice", with(vec![(6, 0, joined(1, 3))]), told(Notice)),
        ("told of one who never came", with(vec![(6, 0, joined(3, 3))]), told(Notice)),
        (
            "a view is left out",
            {
                let mut h = two_inside();
                h[6].2 = joined(1, 3);
                h
            },
            told(View),
        ),
        ("the newcomer is not in its list", listed(&[0]), told(View)),
        (
            "the newcomer is not told of the first",
            listed(&[1]),
            vec![("membership", Snapshot), ("membership", View)],
        ),
        ("a stranger to the room is listed", listed(&[0, 1, 2]), told(View)),
        ("a leave is told", left_by(1), vec![]),
        (
            "a leave is told of another",
            left_by(2),
            told(Notice).into_iter().chain(told(Ghost)).collect(),
        ),
        ("a leave is not told", without(left_by(1), 9), told(Ghost)),
        ("one who is in is told to have left", with(vec![(6, 0, left(1, 3))]), told(Notice)),
        ("a crash is told", gone(vec![(500, 0, left(1, 3))]), vec![]),
        ("a crash is never told", gone(vec![]), told(Ghost)),
        ("in without asking", without(two_inside(), 4), told(Admission)),
        ("two connections, one id", same_id, told(Identity)),
    ];
    for (name, history, expected) in cases {
        check(name, &history, &expected);
    }
}

#[test]
fn numbers_have_no_gap_and_one_meaning() {
    type Numbers<'a> = &'a [(u32, u64)];
    use Class::{Disorder, Duplicate, Loss, Reply};
    let history = |numbers: &[(u32, u64)]| {
        let mut history = with((0..3).map(|n| (10, 0, sending(n))).collect());
        history.extend((0..3_u32).map(|n| (11, 0, received(n, u64::from(n) + 1))));
        history.extend(numbers.iter().map(|(seq, number)| (12, 1, received(*seq, *number))));
        history
    };
    let only_numbers = |found: &(&str, Class)| found.0 == "numbering";
    let cases: [(&str, Numbers<'_>, &[Class]); 5] = [
        ("all in order", &[(0, 1), (1, 2), (2, 3)], &[]),
        ("one left out", &[(0, 1), (2, 3)], &[Loss]),
        ("one twice", &[(0, 1), (1, 2), (1, 2), (2, 3)], &[Duplicate]),
        ("two swapped", &[(0, 1), (2, 3), (1, 2)], &[Disorder]),
        ("another meaning", &[(0, 1), (1, 3), (2, 2)], &[Disorder]),
    ];
    for (name, numbers, expected) in cases {
        let history = history(numbers);
        let (judge, _) = judge(&history, end_of(&history));
        let all = judge.findings().kept().iter().map(|f| (f.check, f.class));
        let mut found: Vec<_> = all.filter(only_numbers).map(|(_, class)| class).collect();
        found.sort_unstable();
        found.dedup();
        assert_eq!(found, expected, "{name}: {:#?}", judge.findings().kept());
    }
    let acked = What::Acked { message: id(1), number: Some(1) };
    let mut wrong = history(&[(0, 1), (1, 2), (2, 3)]);
    wrong.push((13, 0, acked));
    check("confirmed as another", &wrong, &[("numbering", Reply)]);
}

fn state(n: u64) -> Arc<Value> {
    Arc::new(json!({ "at": n }))
}

#[test]
fn presences_arrive_and_never_go_back() {
    let told = [("presence", Class::Presence)];
    let say = |n| What::PresenceSending { room: ROOM, state: state(n) };
    let sees = |n| What::Presence {
        room: ROOM,
        who: Who::Client(ClientId(0)),
        state: state(n),
        number: None,
    };
    let set = |seen: &[u64]| {
        let mut history = with(vec![(10, 0, say(1)), (11, 0, say(2))]);
        history.extend(seen.iter().map(|n| (20, 1, sees(*n))));
        history
    };
    check("both", &set(&[1, 2]), &[]);
    check("the first is left out", &set(&[2]), &[]);
    check("the newest never comes", &set(&[1]), &told);
    check("it goes back", &set(&[2, 1]), &told);
    check("nobody set it", &set(&[1, 2, 3]), &told);
}

#[test]
fn timers_keep_their_windows() {
    use Class::{Ping, Timeout};
    let told = |class| vec![("heartbeat", class)];
    let pinged = |times: &[u64]| {
        let mut history: History = vec![(0, 0, opened("a"))];
        for at in times {
            history.extend([(*at, 0, What::Ping), (*at, 0, What::Spoke)]);
        }
        history
    };
    let silent = |closes: Option<u64>| {
        let mut history = pinged(&[2_000, 4_000]);
        history.push((4_100, 0, What::Pongs(false)));
        history.extend(
            (3..=5)
                .map(|n| (n * 2_000, 0, What::Ping))
                .filter(|(at, ..)| closes.is_none_or(|c| *at < c)),
        );
        history.extend(closes.map(|at| (at, 0, closed(false, Some(4000)))));
        history
    };
    let fast: Vec<u64> = (1..40).map(|n| n * 200).collect();
    check("every two seconds", &pinged(&[2_000, 4_000, 6_000]), &[]);
    check("at once, then every two seconds", &pinged(&[1, 2_001, 4_001]), &[]);
    check("ten times too often", &pinged(&fast), &told(Ping));
    check("one left out", &pinged(&[2_000, 8_000]), &told(Ping));
    check("a silent one is dropped in its window", &silent(Some(9_900)), &[]);
    check("too early", &silent(Some(7_000)), &told(Timeout));
    check("too late", &silent(Some(11_500)), &told(Timeout));
    check("never", &silent(None), &told(Timeout));
    let mut living = pinged(&[2_000, 4_000, 6_000]);
    living.push((6_100, 0, closed(false, Some(4000))));
    check("the living is dropped", &living, &told(Timeout));
    let mut again = silent(Some(9_900));
    again.extend([(10_000, 0, opened("b")), (10_100, 0, closed(false, Some(1001)))]);
    again.push((10_100, 0, What::Foreseen));
    check("who comes back is silent no more", &again, &[]);
}

#[test]
fn a_late_harness_accuses_nobody_of_being_late() {
    let mut history: History =
        vec![(0, 0, opened("a")), (2_000, 0, What::Ping), (2_000, 0, What::Spoke)];
    history.push((9_000, 0, What::Ping));
    let stall = Duration::from_secs(3);
    let (judge, results) = judge(&history, End { stall, ..end_of(&history) });
    assert_eq!(judge.findings().total(), 0);
    let heartbeat = results.iter().find(|r| r.name == "heartbeat").expect("it ran");
    assert_eq!(heartbeat.verdict, Verdict::Inconclusive);
}

#[test]
fn whoever_comes_back_is_told_whether_it_missed_something() {
    let told = [("recovery", Class::Recovery)];
    let back = |recovered: Option<bool>, number: u64, replayed: &[(u32, u64)]| {
        let mut history = with((0..3).map(|n| (10, 0, sending(n))).collect());
        history.extend((0..3_u32).map(|n| (11, 0, received(n, u64::from(n) + 1))));
        history.extend([
            (12, 1, received(0, 1)),
            (13, 1, What::Closing { abrupt: true }),
            (13, 1, closed(true, None)),
            (14, 0, left(1, 3)),
            (15, 1, opened("c")),
            (16, 1, joining(true)),
            (17, 0, joined(1, 4)),
        ]);
        let mut entry = entry(&[0, 1], number, 4);
        (entry.recovered, entry.tickets) = (recovered, 3);
        history.push((17, 1, entered(entry)));
        history.extend(replayed.iter().map(|(seq, number)| (18, 1, received(*seq, *number))));
        history
    };
    check("all of it", &back(Some(true), 1, &[(1, 2), (2, 3)]), &[]);
    check("nothing, and it says so", &back(Some(false), 3, &[]), &[]);
    check("a silent gap", &back(None, 3, &[]), &told);
    check("from later on", &back(Some(true), 2, &[(2, 3)]), &told);
    let hole = [("recovery", Class::Recovery), ("numbering", Class::Loss)];
    check("one is missing", &back(Some(true), 1, &[(2, 3)]), &hole);
    check("the last is missing", &back(Some(true), 1, &[(1, 2)]), &told);
}

#[test]
fn endings_and_frames_are_judged() {
    use Class::{Close, Framing, Greeting, Killed, Reply, Unresponsive};
    let told = |class| vec![("protocol", class)];
    let one = |what: What| vec![(0, 0, opened("a")), (10, 0, what)];
    let text: Arc<str> = "x".into();
    check("asked", &one(closed(true, None)), &[]);
    check("closed", &one(closed(false, Some(1011))), &told(Close));
    check("reset", &one(closed(false, None)), &told(Killed));
    check("malformed", &one(What::Malformed { fact: text.clone() }), &told(Framing));
    check("complaint", &one(What::Complaint { code: text.clone() }), &told(Reply));
    check("no answer", &one(What::Unanswered { verb: "join".into() }), &told(Reply));
    check("no greeting", &one(What::Unanswered { verb: "open".into() }), &told(Greeting));
    let unknown = one(What::Unknown { text });
    check("unknown", &unknown, &[("unknown_messages", Framing)]);
    let mut foreseen = one(closed(false, Some(1009)));
    foreseen.push((11, 0, What::Foreseen));
    check("foreseen", &foreseen, &[]);
    let died = End { died: Some(Time(9_000)), ..end_of(&unknown) };
    let (found, _) = judge(&one(closed(false, None)), died);
    assert_eq!(found.findings().total(), 1, "one death, one finding");
    assert_eq!(found.findings().of_class(Killed), 1);
    let still = End { unresponsive: Some(Time(9_000)), ..end_of(&unknown) };
    let (found, _) = judge(&one(closed(false, None)), still);
    assert_eq!(found.findings().of_class(Unresponsive), 1);
}

#[test]
fn what_was_under_way_when_the_target_died_is_not_lost() {
    let history = with(vec![(10, 0, sending(0)), (11, 0, received(0, 1))]);
    let (judge, _) = judge(&history, End { died: Some(Time(11_500)), ..end_of(&history) });
    assert_eq!((judge.deliveries().lost, judge.deliveries().owed), (0, 0));
    assert_eq!(judge.findings().of_class(Class::Killed), 1);
}

#[test]
fn a_refused_message_is_owed_to_nobody() {
    let refused = What::Rejected { message: id(0), code: "no".into() };
    check("refused", &with(vec![(10, 0, sending(0)), (11, 0, refused.clone())]), &[]);
    let delivered = with(vec![(10, 0, sending(0)), (11, 0, refused), (12, 1, received(0, 1))]);
    check("refused and delivered", &delivered, &[("delivery", Class::Phantom)]);
}

#[test]
fn own_copies_are_judged_apart() {
    let echo = [("delivery", Class::Echo)];
    let history = |own: usize| {
        let mut history = with(vec![(10, 0, sending(0)), (12, 1, received(0, 1))]);
        history.extend((0..own).map(|_| (11, 0, received(0, 1))));
        history
    };
    check("once", &history(1), &[]);
    check("never", &history(0), &echo);
    check("twice", &history(2), &[("delivery", Class::Echo), ("numbering", Class::Duplicate)]);
}
