//! Each dialect's heartbeat in virtual time: when pings come, what counts as a sign of life, and in
//! which window a silent client is given up.

use std::time::Duration;

use protocol::{
    Beat, ConnId, Dialect, Flow, Heartbeat, Ids, Incoming, Limits, Liveness, LocalWorld, Now,
    Session, Sign, Time,
};

/// What a client sends at some time.
#[derive(Clone, Copy, Debug)]
enum Sends {
    Frame(Sign),
    /// A text message, which may be a sign of life by what it says.
    Text(&'static str),
}

use Sends::{Frame, Text};

const PONG: Sends = Frame(Sign::Pong);

/// A connection's life, in milliseconds: when it was pinged, and when it was given up.
#[derive(Debug, Eq, PartialEq)]
struct Life {
    pings: Vec<u64>,
    end: Option<u64>,
}

fn at(ms: u64) -> Time {
    Time::after_start(Duration::from_millis(ms))
}

/// Does what the contract of a server says, for a connection that is opened at zero and sends these
/// at those times.
fn life(dialect: Dialect, heartbeat: Heartbeat, sent: &[(u64, Sends)], until: u64) -> Life {
    let world =
        LocalWorld::new(Limits { requests_per_s: 0, ..Limits::default() }, Ids::new([5; 32]));
    let mut session = Session::open(dialect, Now::default(), None, ConnId(1), &world);
    let mut liveness = Liveness::new(at(0), heartbeat.interval, dialect.patience(heartbeat));
    let (mut pings, mut seen) = (Vec::new(), at(0));
    let mut sent = sent.iter().copied().peekable();
    while let Some(due) = liveness.next().filter(|&due| due <= at(until)) {
        while let Some((ms, what)) = sent.next_if(|&(ms, _)| at(ms) <= due) {
            let alive = match what {
                Frame(sign) => dialect.lives_by(sign),
                Text(text) => {
                    let now = Now { time: at(ms), unix: Duration::ZERO };
                    let flow = session.received(now, Incoming::Text(text), &world);
                    assert!(!matches!(flow, Flow::Close(_)), "{text}");
                    flow == Flow::Alive || dialect.lives_by(Sign::Text)
                }
            };
            if alive {
                seen = at(ms);
            }
        }
        let ms = u64::try_from(due.since_start().as_millis()).expect("short tests");
        match liveness.tick(due, seen) {
            Some(Beat::Ping) => pings.push(ms),
            Some(Beat::GiveUp) => return Life { pings, end: Some(ms) },
            None => panic!("a tick that was due at {due:?} did nothing"),
        }
    }
    Life { pings, end: None }
}

/// The same with the dialect's own heartbeat.
fn lives(dialect: Dialect, sent: &[(u64, Sends)], until: u64) -> Life {
    life(dialect, dialect.heartbeat(), sent, until)
}

/// The interval and the timeout in milliseconds, as clients see them.
fn timers(dialect: Dialect) -> (u64, u64) {
    let heartbeat = dialect.heartbeat();
    let ms = |time: Duration| u64::try_from(time.as_millis()).expect("short");
    (ms(heartbeat.interval), ms(dialect.patience(heartbeat)))
}

/// Sent at every second until then.
fn every_second(what: Sends, until: u64) -> Vec<(u64, Sends)> {
    (0..until / 1000).map(|second| (second * 1000 + 7, what)).collect()
}

#[test]
fn timers_are_those_of_the_documents() {
    let seconds = |dialect| {
        let (interval, timeout) = timers(dialect);
        (interval / 1000, timeout / 1000)
    };
    let all = [(30, 120), (5, 10), (30, 120), (30, 60), (30, 30)];
    assert_eq!(Dialect::ALL.iter().map(|&dialect| seconds(dialect)).collect::<Vec<_>>(), all);
}

#[test]
fn pings_come_at_every_interval_whatever_the_client_sends() {
    for &dialect in Dialect::ALL {
        let (interval, _) = timers(dialect);
        for wanted in [vec![], every_second(Text("x"), 100_000)] {
            let pongs: Vec<(u64, Sends)> = (1..20).map(|k| (k * interval + 40, PONG)).collect();
            let mut sent = [wanted, pongs].concat();
            sent.sort_by_key(|&(ms, _)| ms);
            let until = 20 * interval;
            let expected = Life { pings: (1..=20).map(|k| k * interval).collect(), end: None };
            assert_eq!(lives(dialect, &sent, until), expected, "{dialect:?}");
        }
    }
}

#[test]
fn a_silent_client_is_given_up_in_the_window_after_its_last_sign_of_life() {
    for &dialect in Dialect::ALL {
        let (interval, timeout) = timers(dialect);
        for last in (0..timeout).step_by(97).chain([interval - 1, interval, timeout]) {
            let end = lives(dialect, &[(last, PONG)], 1_000_000).end.expect("it is given up");
            let silence = end - last;
            assert!(silence > timeout && silence <= timeout + interval, "{dialect:?}: {silence}");
        }
    }
}

#[test]
fn one_that_never_says_anything_is_given_up_when_it_can_be_foreseen() {
    for (dialect, pings, end) in [
        (Dialect::Project, 2, 15_000),
        (Dialect::Rooms, 4, 150_000),
        (Dialect::Chat, 2, 90_000),
        // The second tick finds no pong since the first.
        (Dialect::Events, 1, 60_000),
    ] {
        let life = lives(dialect, &[], 1_000_000);
        assert_eq!((life.pings.len(), life.end), (pings, Some(end)), "{dialect:?}");
    }
}

#[test]
fn what_counts_as_a_sign_of_life_is_the_dialects_own() {
    let all = [
        ("pong", PONG),
        ("ping", Frame(Sign::Ping)),
        ("binary", Frame(Sign::Binary)),
        ("text", Text("x")),
        ("Pong", Text("\"Pong\"")),
        ("another message", Text(r#"{"UpdatePresence":{"status":"Idle"}}"#)),
    ];
    for (dialect, alive) in [
        (Dialect::Native, &["pong", "ping", "binary", "text", "Pong", "another message"][..]),
        (Dialect::Chat, &["pong", "ping", "binary", "text", "Pong", "another message"]),
        (Dialect::Project, &["pong", "ping"]),
        (Dialect::Rooms, &["pong", "Pong"]),
        (Dialect::Events, &["pong"]),
    ] {
        for (name, sends) in all {
            let life = lives(dialect, &every_second(sends, 1_000_000), 1_000_000);
            assert_eq!(life.end.is_none(), alive.contains(&name), "{dialect:?} {name}");
        }
    }
}

#[test]
fn a_talkative_client_that_answers_no_ping_is_given_up_all_the_same() {
    for dialect in [Dialect::Project, Dialect::Rooms, Dialect::Events] {
        let (interval, timeout) = timers(dialect);
        let mut sent = every_second(Text("x"), 1_000_000);
        sent.insert(3, (2_500, PONG));
        let end = lives(dialect, &sent, 1_000_000).end.expect("it is given up");
        assert!(end - 2_500 > timeout && end - 2_500 <= timeout + interval, "{dialect:?}: {end}");
    }
}

#[test]
fn either_answer_keeps_a_client_of_rooms_alive_and_both_are_asked_for() {
    let frames = Dialect::Rooms.beat();
    assert_eq!(frames.len(), 2);
    assert_eq!(frames[0].bytes()[..], [0x89, 0], "the ping of RFC 6455");
    assert_eq!(frames[1].as_text(), "\"Ping\"");
    for &dialect in Dialect::ALL.iter().filter(|&&dialect| dialect != Dialect::Rooms) {
        let frames = dialect.beat();
        assert!(matches!(&frames[..], [ping] if ping.bytes()[..] == [0x89, 0]), "{dialect:?}");
    }
    // Every other is answered by a message, with as much silence between as may be.
    let sent: Vec<(u64, Sends)> =
        (1..60).map(|k| (k * 120_000, if k % 2 == 0 { PONG } else { Text("\"Pong\"") })).collect();
    assert_eq!(lives(Dialect::Rooms, &sent, 59 * 120_000).end, None);
}

#[test]
fn of_events_the_timeout_means_nothing() {
    let timers = |timeout| Heartbeat {
        interval: Duration::from_millis(250),
        timeout: Duration::from_millis(timeout),
    };
    for timeout in [0, 1, 250, 10_000] {
        let sent = [(260, PONG), (490, PONG)];
        let life = life(Dialect::Events, timers(timeout), &sent, 10_000);
        // The tick at 500 finds those pongs; the one at 750 finds none since.
        assert_eq!(life, Life { pings: vec![250, 500], end: Some(750) }, "{timeout}");
    }
}
