//! Everything that happens because time passes, to the millisecond.

use std::time::Duration;

use protocol::{Beat, ConnId, Limits, Liveness, Make, Reason, Time, World, tick_room};

use crate::server::Server;
use crate::transcript::{check, check_with};

fn at(ms: u64) -> Time {
    Time::after_start(Duration::from_millis(ms))
}

/// Every tick of a connection opened at `opened` whose frames come at these times, as `welcome`
/// announces them: 30 s and 120 s. Milliseconds of the pings, and of the end.
fn beats(opened: u64, frames: &[u64], until: u64) -> (Vec<u64>, Option<u64>) {
    let limits = Limits::default();
    let mut liveness =
        Liveness::steady(at(opened), limits.heartbeat_interval, limits.heartbeat_timeout);
    let start = at(opened);
    let mut pings = Vec::new();
    while let Some(due) = liveness.next().filter(|&due| due <= at(until)) {
        let last = frames.iter().map(|&ms| at(ms)).filter(|&seen| seen <= due).max();
        let ms = u64::try_from(due.since_start().as_millis()).expect("short tests");
        match liveness.tick(due, last.unwrap_or(start)) {
            Some(Beat::Ping) => pings.push(ms),
            Some(Beat::GiveUp) => return (pings, Some(ms)),
            None => panic!("a tick that was due at {due:?} did nothing"),
        }
    }
    (pings, None)
}

#[test]
fn pings_come_at_every_interval_from_the_start_whatever_the_client_sends() {
    let chatty: Vec<u64> = (7_000..400_000).step_by(1_000).collect();
    let (pings, end) = beats(7_000, &chatty, 400_000);
    assert_eq!(end, None);
    let expected: Vec<u64> = (1..=13).map(|n| 7_000 + n * 30_000).collect();
    assert_eq!(pings, expected);
}

#[test]
fn a_client_that_never_says_anything_is_given_up_at_the_fifth_tick() {
    // At the fourth it has been silent for exactly the timeout, which is not longer than it.
    assert_eq!(beats(0, &[], 1_000_000), (vec![30_000, 60_000, 90_000, 120_000], Some(150_000)));
}

#[test]
fn a_silent_client_is_given_up_within_the_timeout_and_one_interval_of_its_last_frame() {
    for last in (0..90_000).step_by(250).chain([29_999, 30_000, 30_001]) {
        let (_, end) = beats(0, &[last], 1_000_000);
        let silence = end.expect("it is given up") - last;
        assert!(silence > 120_000 && silence <= 150_000, "{last}: {silence}");
    }
    assert_eq!(beats(0, &[29_999], 1_000_000).1, Some(150_000));
    assert_eq!(beats(0, &[30_000], 1_000_000).1, Some(180_000));
}

#[test]
fn a_client_that_answers_every_ping_stays_for_ever() {
    let pongs: Vec<u64> = (1..1_000).map(|n| n * 30_000 + 40).collect();
    assert_eq!(beats(0, &pongs, 30_000_000).1, None);
    // As does one that answers every fourth.
    let pongs: Vec<u64> = (1..250).map(|n| n * 120_000).collect();
    assert_eq!(beats(0, &pongs, 29_000_000).1, None);
}

#[test]
fn a_late_tick_is_judged_as_of_when_it_was_due_and_missed_ones_are_skipped() {
    let mut liveness = Liveness::steady(at(0), Duration::from_secs(30), Duration::from_secs(120));
    assert_eq!(liveness.tick(at(29_999), at(0)), None);
    // The server stood still for 200 s, and so has read nothing.
    assert_eq!(liveness.tick(at(200_000), at(0)), Some(Beat::Ping));
    assert_eq!(liveness.next(), Some(at(210_000)));
    assert_eq!(liveness.tick(at(200_001), at(0)), None);
    // That ping was late, too: there was hardly time to answer it.
    assert_eq!(liveness.tick(at(210_000), at(0)), Some(Beat::Ping));
    assert_eq!(liveness.tick(at(240_000), at(0)), Some(Beat::GiveUp));
}

#[test]
fn an_interval_of_zero_is_no_heartbeat() {
    let mut liveness = Liveness::steady(at(0), Duration::ZERO, Duration::from_secs(120));
    assert_eq!(liveness.next(), None);
    assert_eq!(liveness.tick(at(1_000_000), at(0)), None);
}

const TWO: &str = r#"
    A> {"type":"join","room":"r","membership":"none"}
    A< {"type":"joined","room":"r","epoch":"e-1","seq":0,"view":0,"you":"m-a","members":[],"count":1,"storage":{"version":0,"entries":{}}}
    B> {"type":"join","room":"r","membership":"none"}
    B< {"type":"joined","room":"r","epoch":"e-1","seq":0,"view":0,"you":"m-b","members":[],"count":2,"storage":{"version":0,"entries":{}}}
"#;

#[test]
fn typing_ends_by_itself_after_five_seconds_of_nothing_more() {
    check(&format!(
        r#"{TWO}
        A> {{"type":"typing","room":"r","on":true}}
        B< {{"type":"typing","room":"r","member":"m-a","on":true}}
        4.999 s pass
        A> {{"type":"typing","room":"r","on":true}}
        4.999 s pass
        B> {{"type":"ping"}}
        B< {{"type":"pong"}}
        0.001 s pass
        B< {{"type":"typing","room":"r","member":"m-a","on":false}}
        100 s pass
        A> {{"type":"typing","room":"r","on":true}}
        B< {{"type":"typing","room":"r","member":"m-a","on":true}}
        "#
    ));
}

#[test]
fn two_who_type_end_each_at_its_own_time_in_order() {
    check(&format!(
        r#"{TWO}
        A> {{"type":"typing","room":"r","on":true}}
        2 s pass
        B> {{"type":"typing","room":"r","on":true}}
        B< {{"type":"typing","room":"r","member":"m-a","on":true}}
        A< {{"type":"typing","room":"r","member":"m-b","on":true}}
        3 s pass
        B< {{"type":"typing","room":"r","member":"m-a","on":false}}
        A> {{"type":"ping"}}
        A< {{"type":"pong"}}
        2 s pass
        A< {{"type":"typing","room":"r","member":"m-b","on":false}}
        "#
    ));
}

/// A says "one" and "two" in `r`, and is gone after "one" as far as it knows.
const CUT: &str = r#"
    A> {"type":"join","room":"r"}
    A< {"type":"joined","room":"r","epoch":"e-1","seq":0,"view":1,"you":"m-a","members":[{"member":"m-a","username":"c-a","state":{}}],"count":1,"storage":{"version":0,"entries":{}}}
    A> {"type":"chat","room":"r","text":"one"}
    A< {"type":"chat","room":"r","seq":1,"member":"m-a","username":"c-a","text":"one","at":"2026-01-01T00:00:00.000Z"}
    A> {"type":"presence","room":"r","patch":{"x":1}}
    A< {"type":"presence","room":"r","seq":2,"member":"m-a","state":{"x":1},"at":"2026-01-01T00:00:00.000Z"}
    A closes
"#;

#[test]
fn after_a_cut_of_everybody_the_missed_events_are_there_until_the_window_ends() {
    check(&format!(
        r#"{CUT}
        119.999 s pass
        B> {{"type":"join","room":"r","since":{{"epoch":"e-1","seq":1}}}}
        B< {{"type":"joined","room":"r","epoch":"e-1","seq":1,"view":3,"you":"m-b","members":[{{"member":"m-b","username":"c-b"}}],"count":1,"recovered":true}}
        B< {{"type":"presence","room":"r","seq":2,"member":"m-a","state":{{"x":1}},"at":"2026-01-01T00:00:00.000Z"}}
        # Each event has its own age.
        B> {{"type":"chat","room":"r","text":"three"}}
        B< {{"type":"chat","room":"r","seq":3,"member":"m-b","username":"c-b","text":"three","at":"2026-01-01T00:01:59.999Z"}}
        # At the age of exactly the window an event is kept, and a moment later not.
        0.001 s pass
        D> {{"type":"join","room":"r","since":{{"epoch":"e-1","seq":1}},"membership":"none"}}
        D< {{"type":"joined","room":"r","epoch":"e-1","seq":1,"view":3,"you":"m-d","members":[{{"member":"m-b","username":"c-b"}}],"count":2,"recovered":true}}
        D< {{"type":"presence","room":"r","seq":2,"member":"m-a","state":{{"x":1}},"at":"2026-01-01T00:00:00.000Z"}}
        D< {{"type":"chat","room":"r","seq":3,"member":"m-b","username":"c-b","text":"three","at":"2026-01-01T00:01:59.999Z"}}
        D closes
        0.001 s pass
        C> {{"type":"join","room":"r","since":{{"epoch":"e-1","seq":1}},"membership":"none"}}
        C< {{"type":"joined","room":"r","epoch":"e-1","seq":3,"view":3,"you":"m-c","members":[{{"member":"m-b","username":"c-b","state":{{}}}}],"count":2,"storage":{{"version":0,"entries":{{}}}},"recovered":false}}
        C> {{"type":"leave","room":"r"}}
        C< {{"type":"left","room":"r"}}
        C> {{"type":"join","room":"r","since":{{"epoch":"e-1","seq":2}},"membership":"none","id":1}}
        C< {{"type":"joined","re":1,"room":"r","epoch":"e-1","seq":2,"view":3,"you":"m-c2","members":[{{"member":"m-b","username":"c-b"}}],"count":2,"recovered":true}}
        C< {{"type":"chat","room":"r","seq":3,"member":"m-b","username":"c-b","text":"three","at":"2026-01-01T00:01:59.999Z"}}
        "#
    ));
}

#[test]
fn an_empty_room_ends_with_the_window_and_its_next_life_has_another_epoch() {
    check(&format!(
        r#"{CUT}
        120 s pass
        B> {{"type":"join","room":"r","since":{{"epoch":"e-1","seq":2}}}}
        B< {{"type":"joined","room":"r","epoch":"e-2","seq":0,"view":1,"you":"m-b","members":[{{"member":"m-b","username":"c-b","state":{{}}}}],"count":1,"storage":{{"version":0,"entries":{{}}}},"recovered":false}}
        "#
    ));
}

#[test]
fn a_code_is_forgotten_with_its_room() {
    for (seconds, answer) in [
        (
            "119",
            r#"{"type":"joined","re":1,"room":"~K7M2QX","epoch":"e-1","seq":0,"view":2,"you":"m-b","members":[],"count":1,"storage":{"version":0,"entries":{}}}"#,
        ),
        (
            "120",
            r#"{"type":"error","re":1,"code":"room_not_found","message":"…","room":"~K7M2QX"}"#,
        ),
    ] {
        check(&format!(
            r#"
            A> {{"type":"create"}}
            A< {{"type":"created","code":"K7M2QX","room":"~K7M2QX"}}
            A< {{"type":"joined","room":"~K7M2QX","epoch":"e-1","seq":0,"view":1,"you":"m-a","members":[{{"member":"m-a","username":"c-a","state":{{}}}}],"count":1,"storage":{{"version":0,"entries":{{}}}}}}
            A closes
            {seconds} s pass
            B> {{"type":"join","code":"k7m2qx","membership":"none","id":1}}
            B< {answer}
            "#
        ).replace("k7m2qx", "K7M2QX"));
    }
}

#[test]
fn the_window_is_bounded_by_events_and_bytes_too() {
    let join = |seq, answer: &str| {
        format!(
            r#"
            A> {{"type":"join","room":"r","membership":"none"}}
            A< {{"type":"joined","room":"r","epoch":"e-1","seq":0,"view":0,"you":"m-a","members":[],"count":1,"storage":{{"version":0,"entries":{{}}}}}}
            A> {{"type":"typing","room":"r","on":false}}
            A> {{"type":"chat","room":"r","text":"1"}}
            A> {{"type":"chat","room":"r","text":"2"}}
            A> {{"type":"chat","room":"r","text":"3"}}
            A< {{"type":"chat","room":"r","seq":1,"member":"m-a","username":"c-a","text":"1","at":"2026-01-01T00:00:00.000Z"}}
            A< {{"type":"chat","room":"r","seq":2,"member":"m-a","username":"c-a","text":"2","at":"2026-01-01T00:00:00.000Z"}}
            A< {{"type":"chat","room":"r","seq":3,"member":"m-a","username":"c-a","text":"3","at":"2026-01-01T00:00:00.000Z"}}
            B> {{"type":"join","room":"r","membership":"none","since":{{"epoch":"e-1","seq":{seq}}}}}
            {answer}
            "#
        )
    };
    let yes = r#"B< {"type":"joined","room":"r","epoch":"e-1","seq":1,"view":0,"you":"m-b","members":[],"count":2,"recovered":true}
        B< {"type":"chat","room":"r","seq":2,"member":"m-a","username":"c-a","text":"2","at":"2026-01-01T00:00:00.000Z"}
        B< {"type":"chat","room":"r","seq":3,"member":"m-a","username":"c-a","text":"3","at":"2026-01-01T00:00:00.000Z"}"#;
    let no = r#"B< {"type":"joined","room":"r","epoch":"e-1","seq":3,"view":0,"you":"m-b","members":[],"count":2,"storage":{"version":0,"entries":{}},"recovered":false}"#;
    // A chat event of one character is about 150 bytes long.
    let events = || Limits { history_events: 2, ..Limits::default() };
    let bytes = || Limits { history_bytes: 400, ..Limits::default() };
    for limits in [events, bytes] {
        check_with(limits(), &join(1, yes));
        check_with(limits(), &join(0, no));
    }
    // Nothing has happened after what has not happened.
    check_with(Limits::default(), &join(4, no));
}

#[test]
fn what_clients_see_does_not_depend_on_when_a_timer_gets_round_to_it() {
    let mut server = Server::new(Limits::default());
    let join = r#"{"type":"join","room":"r"}"#;
    let epoch = |server: &mut Server, conn| {
        server.open(conn);
        assert_eq!(server.say(conn, join), None);
        let frames = server.world.inner.take(conn);
        let joined: serde_json::Value = serde_json::from_str(frames[1].as_text()).expect("JSON");
        server.end(conn, Reason::Closed);
        joined["epoch"].as_str().expect("an epoch").to_owned()
    };
    let first = epoch(&mut server, ConnId(1));
    server.oversleep(Duration::from_millis(119_999));
    assert_eq!(epoch(&mut server, ConnId(2)), first);
    server.oversleep(Duration::from_secs(120));
    let third = epoch(&mut server, ConnId(3));
    assert_ne!(third, first, "its time was up, though no tick had come");
    // The ticks of the first life mean nothing to the second.
    server.wait(Duration::from_secs(119));
    assert_eq!(epoch(&mut server, ConnId(4)), third);
    server.wait(Duration::from_secs(120));
    assert_eq!(server.world.inner.rooms().len(), 0);
    assert_eq!(server.world.inner.next_wake(), None, "nothing is awaited any more");
}

#[test]
fn a_room_that_its_maker_never_enters_ends_too() {
    let mut server = Server::new(Limits::default());
    server.world.with_room("r", Make::IfAbsent, |_| ());
    // As a tick of the room's last life does, between the making and the entering.
    tick_room(server.now(), "r", &server.world);
    server.wait(Duration::from_millis(119_999));
    assert_eq!(server.world.inner.rooms().len(), 1);
    server.wait(Duration::from_millis(1));
    assert_eq!(server.world.inner.rooms().len(), 0);
}
