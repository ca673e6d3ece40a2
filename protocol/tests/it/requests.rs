//! Every request: what it is answered with, and what the others get.

use protocol::{ConnId, EventKind, Limits, Reason, Tally};

use crate::faulty::{Fault, What};
use crate::refusals::{refused, refused_with};
use crate::server::Server;
use crate::transcript::check;

/// A and B are in the room `r`: full members.
const BOTH: &str = r#"
    A> {"type":"join","room":"r"}
    A< {"type":"joined","room":"r","epoch":"e-1","seq":0,"view":1,"you":"m-a","members":[{"member":"m-a","username":"c-a","state":{}}],"count":1,"storage":{"version":0,"entries":{}}}
    B> {"type":"join","room":"r","id":0}
    B< {"type":"joined","re":0,"room":"r","epoch":"e-1","seq":0,"view":2,"you":"m-b","members":[{"member":"m-a","username":"c-a","state":{}},{"member":"m-b","username":"c-b","state":{}}],"count":2,"storage":{"version":0,"entries":{}}}
    A< {"type":"member_joined","room":"r","view":2,"member":"m-b","username":"c-b"}
"#;

/// What follows when both are in the room.
fn both(transcript: &str) {
    check(&format!("{BOTH}{transcript}"));
}

#[test]
fn joining_twice_is_refused_and_leaving_is_answered() {
    both(
        r#"
        A> {"type":"join","room":"r","id":1}
        A< {"type":"error","re":1,"code":"already_joined","message":"…","room":"r"}
        A> {"type":"leave","room":"r","id":2}
        A< {"type":"left","re":2,"room":"r"}
        B< {"type":"member_left","room":"r","view":3,"member":"m-a","reason":"left"}
        A> {"type":"leave","room":"r","id":3}
        A< {"type":"error","re":3,"code":"not_joined","message":"…","room":"r"}
        B> {"type":"leave","room":"r"}
        B< {"type":"left","room":"r"}
        "#,
    );
}

#[test]
fn however_a_connection_ends_its_peers_are_told_why_once() {
    for (happens, reason) in [
        ("closes", "closed"),
        ("is silent", "timeout"),
        ("is slow", "slow"),
        ("is evicted", "evicted"),
    ] {
        both(&format!(
            r#"
            A {happens}
            B< {{"type":"member_left","room":"r","view":3,"member":"m-a","reason":"{reason}"}}
            B> {{"type":"chat","room":"r","text":"alone"}}
            B< {{"type":"chat","room":"r","seq":1,"member":"m-b","username":"c-b","text":"alone","at":"2026-01-01T00:00:00.000Z"}}
            "#
        ));
    }
}

#[test]
fn chat_reaches_everybody_with_its_place_and_only_an_id_gets_an_ok() {
    both(
        r#"
        A> {"type":"chat","room":"r","text":"hi \"there\" é \u0001","id":"x"}
        A< {"type":"chat","room":"r","seq":1,"member":"m-a","username":"c-a","text":"hi \"there\" é \u0001","at":"2026-01-01T00:00:00.000Z"}
        B< {"type":"chat","room":"r","seq":1,"member":"m-a","username":"c-a","text":"hi \"there\" é \u0001","at":"2026-01-01T00:00:00.000Z"}
        A< {"type":"ok","re":"x","room":"r","seq":1}
        61.5 s pass
        B> {"type":"chat","room":"r","text":""}
        A< {"type":"chat","room":"r","seq":2,"member":"m-b","username":"c-b","text":"","at":"2026-01-01T00:01:01.500Z"}
        B< {"type":"chat","room":"r","seq":2,"member":"m-b","username":"c-b","text":"","at":"2026-01-01T00:01:01.500Z"}
        "#,
    );
}

#[test]
fn a_name_is_told_in_each_room_in_which_one_is_a_full_member() {
    both(
        r#"
        A> {"type":"join","room":"s","membership":"none"}
        A< {"type":"joined","room":"s","epoch":"e-2","seq":0,"view":0,"you":"m-a2","members":[],"count":1,"storage":{"version":0,"entries":{}}}
        B> {"type":"join","room":"s"}
        B< {"type":"joined","room":"s","epoch":"e-2","seq":0,"view":1,"you":"m-b2","members":[{"member":"m-b2","username":"c-b","state":{}}],"count":2,"storage":{"version":0,"entries":{}}}
        A> {"type":"name","username":"Ada","id":1}
        A< {"type":"member_renamed","room":"r","view":3,"member":"m-a","username":"Ada"}
        A< {"type":"ok","re":1}
        B< {"type":"member_renamed","room":"r","view":3,"member":"m-a","username":"Ada"}
        # The same name again is no news.
        A> {"type":"name","username":"Ada","id":2}
        A< {"type":"ok","re":2}
        A> {"type":"chat","room":"s","text":"x"}
        A< {"type":"chat","room":"s","seq":1,"member":"m-a2","username":"Ada","text":"x","at":"2026-01-01T00:00:00.000Z"}
        B< {"type":"chat","room":"s","seq":1,"member":"m-a2","username":"Ada","text":"x","at":"2026-01-01T00:00:00.000Z"}
        "#,
    );
    let longest = "é".repeat(64);
    check(&format!(
        "A> {{\"type\":\"name\",\"username\":\"{longest}\",\"id\":1}}\nA< {{\"type\":\"ok\",\"re\":1}}"
    ));
    refused(&format!(r#"{{"type":"name","username":"{longest}é","id":1}}"#), "too_large", "1");
}

#[test]
fn presence_is_merged_and_shown_whole() {
    both(
        r#"
        A> {"type":"presence","room":"r","id":1,"patch":{"cursor":{"x":1,"y":2},"status":"here"}}
        A< {"type":"presence","room":"r","seq":1,"member":"m-a","state":{"cursor":{"x":1,"y":2},"status":"here"},"at":"2026-01-01T00:00:00.000Z"}
        A< {"type":"ok","re":1,"room":"r","seq":1}
        B< {"type":"presence","room":"r","seq":1,"member":"m-a","state":{"cursor":{"x":1,"y":2},"status":"here"},"at":"2026-01-01T00:00:00.000Z"}
        A> {"type":"presence","room":"r","patch":{"cursor":{"x":null,"z":{"w":null}},"status":null}}
        A< {"type":"presence","room":"r","seq":2,"member":"m-a","state":{"cursor":{"y":2,"z":{}}},"at":"2026-01-01T00:00:00.000Z"}
        B< {"type":"presence","room":"r","seq":2,"member":"m-a","state":{"cursor":{"y":2,"z":{}}},"at":"2026-01-01T00:00:00.000Z"}
        C> {"type":"join","room":"r","membership":"none"}
        C< {"type":"joined","room":"r","epoch":"e-1","seq":2,"view":2,"you":"m-c","members":[{"member":"m-a","username":"c-a","state":{"cursor":{"y":2,"z":{}}}},{"member":"m-b","username":"c-b","state":{}}],"count":3,"storage":{"version":0,"entries":{}}}
        C> {"type":"presence","room":"r","patch":{},"id":1}
        C< {"type":"error","re":1,"code":"forbidden","message":"…","room":"r"}
        A> {"type":"presence","room":"r","patch":[null]}
        A< {"type":"presence","room":"r","seq":3,"member":"m-a","state":[null],"at":"2026-01-01T00:00:00.000Z"}
        B< {"type":"presence","room":"r","seq":3,"member":"m-a","state":[null],"at":"2026-01-01T00:00:00.000Z"}
        C< {"type":"presence","room":"r","seq":3,"member":"m-a","state":[null],"at":"2026-01-01T00:00:00.000Z"}
        "#,
    );
    let fits = "x".repeat(4096 - r#"{"s":""}"#.len());
    let patch = |text: &str| {
        format!(r#"{{"id":1,"type":"presence","room":"in","patch":{{"s":"{text}"}}}}"#)
    };
    refused_with(Limits::default(), &patch(&format!("{fits}x")), "too_large", "1", "\"in\"");
    check(&format!(
        r#"
        A> {{"type":"join","room":"in"}}
        A< {{"type":"joined","room":"in","epoch":"e-1","seq":0,"view":1,"you":"m-a","members":[{{"member":"m-a","username":"c-a","state":{{}}}}],"count":1,"storage":{{"version":0,"entries":{{}}}}}}
        A> {}
        A< {{"type":"presence","room":"in","seq":1,"member":"m-a","state":{{"s":"{fits}"}},"at":"2026-01-01T00:00:00.000Z"}}
        A< {{"type":"ok","re":1,"room":"in","seq":1}}
        "#,
        patch(&fits)
    ));
}

#[test]
fn storage_has_a_version_and_is_changed_all_or_nothing() {
    both(
        r#"
        A> {"type":"store","room":"r","id":1,"ops":[{"put":{"key":"b","value":12345678901234567890123}},{"put":{"key":"a","value":{"x":[1]},"more":1}},{"delete":{"key":"none"}}]}
        A< {"type":"stored","room":"r","seq":1,"version":1,"member":"m-a","ops":[{"put":{"key":"b","value":12345678901234567890123}},{"put":{"key":"a","value":{"x":[1]}}},{"delete":{"key":"none"}}]}
        A< {"type":"ok","re":1,"room":"r","seq":1,"version":1}
        B< {"type":"stored","room":"r","seq":1,"version":1,"member":"m-a","ops":[{"put":{"key":"b","value":12345678901234567890123}},{"put":{"key":"a","value":{"x":[1]}}},{"delete":{"key":"none"}}]}
        B> {"type":"store","room":"r","id":1,"ops":[{"delete":{"key":"a"}}],"if_version":0}
        B< {"type":"error","re":1,"code":"version_conflict","message":"…","room":"r"}
        B> {"type":"store","room":"r","id":2,"ops":[{"delete":{"key":"a"}}],"if_version":1}
        B< {"type":"stored","room":"r","seq":2,"version":2,"member":"m-b","ops":[{"delete":{"key":"a"}}]}
        B< {"type":"ok","re":2,"room":"r","seq":2,"version":2}
        A< {"type":"stored","room":"r","seq":2,"version":2,"member":"m-b","ops":[{"delete":{"key":"a"}}]}
        C> {"type":"join","room":"r","membership":"none"}
        C< {"type":"joined","room":"r","epoch":"e-1","seq":2,"view":2,"you":"m-c","members":[{"member":"m-a","username":"c-a","state":{}},{"member":"m-b","username":"c-b","state":{}}],"count":3,"storage":{"version":2,"entries":{"b":12345678901234567890123}}}
        "#,
    );
    let limits = Limits { storage_bytes: 20, ..Limits::default() };
    let store = r#"{"id":1,"type":"store","room":"in","ops":[{"put":{"key":"k","value":1}},{"put":{"key":"long","value":123456}}]}"#;
    refused_with(limits, store, "too_large", "1", "\"in\"");
    let key = "k".repeat(257);
    let store =
        format!(r#"{{"id":1,"type":"store","room":"in","ops":[{{"delete":{{"key":"{key}"}}}}]}}"#);
    refused_with(Limits::default(), &store, "too_large", "1", "\"in\"");
}

#[test]
fn typing_is_news_once_and_ends_with_a_chat_or_a_leave() {
    both(
        r#"
        A> {"type":"typing","room":"r","on":true,"id":1}
        A< {"type":"ok","re":1}
        B< {"type":"typing","room":"r","member":"m-a","on":true}
        A> {"type":"typing","room":"r","on":true}
        A> {"type":"chat","room":"r","text":"x"}
        A< {"type":"chat","room":"r","seq":1,"member":"m-a","username":"c-a","text":"x","at":"2026-01-01T00:00:00.000Z"}
        B< {"type":"typing","room":"r","member":"m-a","on":false}
        B< {"type":"chat","room":"r","seq":1,"member":"m-a","username":"c-a","text":"x","at":"2026-01-01T00:00:00.000Z"}
        A> {"type":"typing","room":"r","on":false}
        A> {"type":"typing","room":"r","on":true}
        A> {"type":"typing","room":"r","on":false}
        B< {"type":"typing","room":"r","member":"m-a","on":true}
        B< {"type":"typing","room":"r","member":"m-a","on":false}
        A> {"type":"typing","room":"r","on":true}
        A> {"type":"leave","room":"r"}
        A< {"type":"left","room":"r"}
        B< {"type":"typing","room":"r","member":"m-a","on":true}
        B< {"type":"typing","room":"r","member":"m-a","on":false}
        B< {"type":"member_left","room":"r","view":3,"member":"m-a","reason":"left"}
        "#,
    );
}

#[test]
fn what_is_read_never_goes_back() {
    both(
        r#"
        A> {"type":"chat","room":"r","text":"x"}
        A> {"type":"chat","room":"r","text":"y"}
        A< {"type":"chat","room":"r","seq":1,"member":"m-a","username":"c-a","text":"x","at":"2026-01-01T00:00:00.000Z"}
        A< {"type":"chat","room":"r","seq":2,"member":"m-a","username":"c-a","text":"y","at":"2026-01-01T00:00:00.000Z"}
        B< {"type":"chat","room":"r","seq":1,"member":"m-a","username":"c-a","text":"x","at":"2026-01-01T00:00:00.000Z"}
        B< {"type":"chat","room":"r","seq":2,"member":"m-a","username":"c-a","text":"y","at":"2026-01-01T00:00:00.000Z"}
        B> {"type":"read","room":"r","seq":2,"id":1}
        B< {"type":"ok","re":1}
        A< {"type":"read","room":"r","member":"m-b","seq":2}
        B> {"type":"read","room":"r","seq":1,"id":2}
        B< {"type":"ok","re":2}
        B> {"type":"read","room":"r","seq":2,"id":3}
        B< {"type":"ok","re":3}
        "#,
    );
}

#[test]
fn a_room_with_a_code_is_made_once_and_joined_by_those_who_know_it() {
    check(
        r#"
        A> {"type":"create","id":1}
        A< {"type":"created","re":1,"code":"K7M2QX","room":"~K7M2QX"}
        A< {"type":"joined","room":"~K7M2QX","epoch":"e-1","seq":0,"view":1,"you":"m-a","members":[{"member":"m-a","username":"c-a","state":{}}],"count":1,"storage":{"version":0,"entries":{}}}
        B> {"type":"join","code":" K7M2QX\n","id":2,"membership":"none"}
        B< {"type":"joined","re":2,"room":"~K7M2QX","epoch":"e-1","seq":0,"view":1,"you":"m-b","members":[{"member":"m-a","username":"c-a","state":{}}],"count":2,"storage":{"version":0,"entries":{}}}
        C> {"type":"join","code":"K7M2QX","id":3}
        C< {"type":"error","re":3,"code":"room_full","message":"…","room":"~K7M2QX"}
        B> {"type":"join","code":"K7M2QX","id":4}
        B< {"type":"error","re":4,"code":"already_joined","message":"…","room":"~K7M2QX"}
        B> {"type":"chat","room":"~K7M2QX","text":"x"}
        A< {"type":"chat","room":"~K7M2QX","seq":1,"member":"m-b","username":"c-b","text":"x","at":"2026-01-01T00:00:00.000Z"}
        B< {"type":"chat","room":"~K7M2QX","seq":1,"member":"m-b","username":"c-b","text":"x","at":"2026-01-01T00:00:00.000Z"}
        A> {"type":"leave","room":"~K7M2QX"}
        A< {"type":"left","room":"~K7M2QX"}
        C> {"type":"join","code":"K7M2QX"}
        C< {"type":"joined","room":"~K7M2QX","epoch":"e-1","seq":1,"view":3,"you":"m-c","members":[{"member":"m-c","username":"c-c","state":{}}],"count":2,"storage":{"version":0,"entries":{}}}
        "#,
    );
    refused(r#"{"id":1,"type":"join","code":"nope"}"#, "room_not_found", "1");
    refused(r#"{"id":1,"type":"join","code":"ABCIO1"}"#, "room_not_found", "1");
    let unknown = r#"{"id":1,"type":"join","code":"abcdef"}"#;
    refused_with(Limits::default(), unknown, "room_not_found", "1", "\"~ABCDEF\"");
}

#[test]
fn a_draining_server_lets_nobody_in_and_serves_those_inside() {
    both(
        r#"
        A makes the server drain
        C> {"type":"join","room":"r","id":1}
        C< {"type":"error","re":1,"code":"draining","message":"…","room":"r"}
        C> {"type":"create","id":2}
        C< {"type":"error","re":2,"code":"draining","message":"…"}
        A> {"type":"typing","room":"r","on":true}
        B< {"type":"typing","room":"r","member":"m-a","on":true}
        "#,
    );
}

#[test]
fn a_world_that_is_full_makes_no_room_and_serves_those_that_are_there() {
    let full = Fault { what: What::NoRooms, on: "", after: 0 };
    let mut server = Server::faulty(Limits::default(), Some(full));
    server.open(ConnId(1));
    for request in [r#"{"type":"join","room":"r"}"#, r#"{"type":"create"}"#] {
        assert_eq!(server.say(ConnId(1), request), None);
        let frames = server.world.inner.take(ConnId(1));
        let last = frames.last().expect("an error").as_text();
        assert!(last.contains(r#""code":"too_many_rooms""#), "{last}");
    }
}

#[test]
fn everything_is_counted_once() {
    let mut server = Server::new(Limits::default());
    let counted = |server: &mut Server, conn, request: &str| {
        assert_eq!(server.say(ConnId(conn), request), None);
        let mut tallies = server.world.take_tallies();
        assert_eq!(tallies.remove(0), Tally::Received);
        tallies
    };
    let delivered = |kind, others, own| Tally::Delivered { kind, others, own };
    server.open(ConnId(1));
    server.open(ConnId(2));
    let join = r#"{"type":"join","room":"r"}"#;
    let joined = Tally::Joined { recovered: false };
    let member_joined = |others| delivered(EventKind::MemberJoined, others, 0);
    assert_eq!(counted(&mut server, 1, join), [joined, member_joined(0)]);
    assert_eq!(counted(&mut server, 2, join), [joined, member_joined(1)]);
    let refused = Tally::Refused { code: "already_joined" };
    assert_eq!(counted(&mut server, 2, join), [refused]);
    let chat = r#"{"type":"chat","room":"r","text":"x"}"#;
    assert_eq!(counted(&mut server, 2, chat), [delivered(EventKind::Chat, 1, 1)]);
    let typing = r#"{"type":"typing","room":"r","on":true}"#;
    assert_eq!(counted(&mut server, 2, typing), [delivered(EventKind::Typing, 1, 0)]);
    server.end(ConnId(2), Reason::Slow);
    let left = Tally::Left { reason: Reason::Slow };
    let told = [EventKind::Typing, EventKind::MemberLeft].map(|kind| delivered(kind, 1, 0));
    assert_eq!(server.world.take_tallies(), [told[0], left, told[1]]);
}
