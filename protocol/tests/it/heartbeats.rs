//! Each dialect's heartbeat in virtual time: when pings come, what counts as a sign of life, and in
//! which window a silent client is given up.

use std::time::Duration;

use protocol::{
    Beat, ConnId, Dialect, Flow, Heartbeat, Ids, Incoming, Limits, LocalWorld, Now, Opening,
    Session, Sign, Time, pusher,
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
    let limits = Limits { requests_per_s: 0, ..Limits::default() };
    let world = LocalWorld::new(limits, Ids::new([5; 32])).with_app(pusher::App::default());
    let opening = match dialect {
        Dialect::Pusher => Opening { name: Some("app-key"), query: "protocol=7" },
        _ => Opening::default(),
    };
    let session = Session::open(dialect, Now::default(), opening, ConnId(1), &world);
    let mut session = session.expect("everybody is let in");
    let mut liveness = dialect.liveness(at(0), heartbeat);
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
            // It has been heard of meanwhile: it is looked at again later.
            None => assert!(dialect == Dialect::Pusher && liveness.next() > Some(due), "{due:?}"),
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
    let all = [(30, 120), (5, 10), (30, 120), (30, 60), (30, 30), (120, 150)];
    assert_eq!(Dialect::ALL.iter().map(|&dialect| seconds(dialect)).collect::<Vec<_>>(), all);
}

/// The dialects whose pings come at every interval.
fn steady() -> impl Iterator<Item = Dialect> {
    Dialect::ALL.iter().copied().filter(|&dialect| dialect != Dialect::Pusher)
}

#[test]
fn pings_come_at_every_interval_whatever_the_client_sends() {
    for dialect in steady() {
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
    for dialect in steady() {
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
        (Dialect::Pusher, &["pong", "ping", "binary", "text", "Pong", "another message"]),
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
    let frames = Dialect::Pusher.beat();
    assert_eq!(frames.len(), 1, "a pong of RFC 6455 comes from every client, alive or not");
    assert_eq!(frames[0].as_text(), r#"{"event":"pusher:ping","data":"{}"}"#);
    for dialect in steady().filter(|&dialect| dialect != Dialect::Rooms) {
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

#[test]
fn in_pusher_a_ping_follows_silence_and_the_end_a_ping_without_any_answer() {
    let silent = lives(Dialect::Pusher, &[], 1_000_000);
    assert_eq!(silent, Life { pings: vec![120_000], end: Some(150_000) });
    // Any frame at all puts off the ping, and answers one.
    let sent = [
        (50_000, Text(r#"{"event":"pusher:ping","data":{}}"#)),
        (169_999, PONG),
        (289_000, Text("not even JSON")),
        (409_000 + 29_999, Frame(Sign::Binary)),
        (580_000, Frame(Sign::Ping)),
    ];
    let life = lives(Dialect::Pusher, &sent, 10_000_000);
    assert_eq!(life.pings, [409_000, 438_999 + 120_000, 700_000]);
    assert_eq!(life.end, Some(730_000));
    // A client that speaks just before each interval is over is never pinged.
    let sent: Vec<_> = (1..50).map(|k| (k * 119_999, PONG)).collect();
    assert_eq!(lives(Dialect::Pusher, &sent, 49 * 119_999), Life { pings: vec![], end: None });
}

#[test]
fn in_pusher_the_end_comes_in_its_window_whatever_the_timers_are() {
    for (interval, timeout, answer) in
        [(300, 700, 400), (1000, 1500, 500), (500, 500, 500), (500, 0, 500)]
    {
        let heartbeat = Heartbeat {
            interval: Duration::from_millis(interval),
            timeout: Duration::from_millis(timeout),
        };
        for last in [0, 1, 299, 777] {
            let before = (0..last).step_by(100).map(|ms| (ms, PONG));
            let sent: Vec<_> = before.chain([(last, PONG)]).collect();
            let life = life(Dialect::Pusher, heartbeat, &sent, 10_000);
            let pinged = last + interval;
            assert_eq!(life, Life { pings: vec![pinged], end: Some(pinged + answer) });
        }
    }
    // However long an answer may take, one that comes at once is followed by a ping an interval later.
    let patient = Heartbeat { interval: at(300).since_start(), timeout: at(5000).since_start() };
    let sent = [(301, PONG), (602, PONG), (2000, PONG)];
    let expected = Life { pings: vec![300, 601, 902, 2300], end: Some(2300 + 4700) };
    assert_eq!(life(Dialect::Pusher, patient, &sent, 10_000), expected);
    let never = Heartbeat { interval: Duration::ZERO, timeout: Duration::from_secs(1) };
    assert_eq!(life(Dialect::Pusher, never, &[], 10_000), Life { pings: vec![], end: None });
}

/// A server that looks at a connection at these times only, whenever that was due.
fn looked_at(dialect: Dialect, heartbeat: (u64, u64), times: &[(u64, u64)]) -> Vec<Option<Beat>> {
    let heartbeat = Heartbeat {
        interval: Duration::from_millis(heartbeat.0),
        timeout: Duration::from_millis(heartbeat.1),
    };
    let mut liveness = dialect.liveness(at(0), heartbeat);
    times.iter().map(|&(now, seen)| liveness.tick(at(now), at(seen))).collect()
}

#[test]
fn a_server_that_stood_still_gives_nobody_up_for_it() {
    let (ping, end) = (Some(Beat::Ping), Some(Beat::GiveUp));
    // It was pinged in time, and what it answered has not been read yet: it gets as long again.
    let stalled = [(1000, 0), (9000, 0), (9400, 0), (9500, 1400), (9600, 9501)];
    assert_eq!(looked_at(Dialect::Pusher, (1000, 1500), &stalled), [ping, None, None, ping, None]);
    let silent = [(1000, 0), (9000, 0), (9500, 0)];
    assert_eq!(looked_at(Dialect::Pusher, (1000, 1500), &silent), [ping, None, end]);
    // A ping that is late gives its answer all the time that it has.
    let late = [(5000, 0), (5499, 0), (5500, 0)];
    assert_eq!(looked_at(Dialect::Pusher, (1000, 1500), &late), [ping, None, end]);
    // Where the next tick follows a late one soon, it asks again.
    let steady = [(1900, 0), (2000, 0), (3000, 0)];
    assert_eq!(looked_at(Dialect::Events, (1000, 1000), &steady), [ping, ping, end]);
    let in_time = [(1000, 0), (2000, 0)];
    assert_eq!(looked_at(Dialect::Events, (1000, 1000), &in_time), [ping, end]);
}

#[test]
fn what_is_announced_is_the_interval_in_whole_seconds() {
    for (ms, seconds) in [(300, 1), (1000, 1), (1001, 2), (120_000, 120), (0, 120)] {
        let interval = Duration::from_millis(ms);
        let timers = Heartbeat { interval, timeout: interval * 2 };
        let world = LocalWorld::new(Limits::default(), Ids::new([5; 32]))
            .with_app(pusher::App::default())
            .with_heartbeat(Dialect::Pusher, timers);
        let opening = Opening { name: Some("app-key"), query: "protocol=7" };
        Session::open(Dialect::Pusher, Now::default(), opening, ConnId(1), &world).expect("let in");
        let said = world.take(ConnId(1))[0].as_text().to_owned();
        assert!(said.contains(&format!(r#"\"activity_timeout\":{seconds}}}"#)), "{said}");
    }
}
