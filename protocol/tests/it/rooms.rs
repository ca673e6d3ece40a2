//! `rooms`: membership, presence and storage as its clients see them, and storage that is kept.

use protocol::{Limits, Make, RawValue, World};

use crate::server::Server;
use crate::transcript::{check, check_with};

/// A and B are in the room `r`.
const BOTH: &str = r#"
    in rooms
    A> {"JoinRoom":"r"}
    A< {"RoomJoined":{"room_id":"r","client_id":"u-a"}}
    B> {"JoinRoom":"r"}
    A< {"RoomJoined":{"room_id":"r","client_id":"u-b"}}
    B< {"RoomJoined":{"room_id":"r","client_id":"u-b"}}
"#;

fn both(transcript: &str) {
    check(&format!("{BOTH}{transcript}"));
}

#[test]
fn who_comes_and_goes_is_told_to_all_and_to_whoever_does() {
    both(
        r#"
        A> "LeaveRoom"
        A< {"RoomLeft":{"room_id":"r","client_id":"u-a"}}
        B< {"RoomLeft":{"room_id":"r","client_id":"u-a"}}
        A> {"JoinRoom":"s"}
        A< {"RoomJoined":{"room_id":"s","client_id":"u-a"}}
        B> {"LeaveRoom":null}
        B< {"RoomLeft":{"room_id":"r","client_id":"u-b"}}
        "#,
    );
    for end in ["closes", "is silent", "is slow", "is evicted"] {
        both(&format!(
            r#"
            A {end}
            B< {{"RoomLeft":{{"room_id":"r","client_id":"u-a"}}}}
            C> {{"JoinRoom":"r"}}
            B< {{"RoomJoined":{{"room_id":"r","client_id":"u-c"}}}}
            C< {{"RoomJoined":{{"room_id":"r","client_id":"u-c"}}}}
            "#
        ));
    }
}

#[test]
fn the_path_may_name_a_room_which_is_joined_at_once() {
    check(
        r#"
        in rooms
        A connects to r
        A< {"RoomJoined":{"room_id":"r","client_id":"u-a"}}
        B connects to r
        A< {"RoomJoined":{"room_id":"r","client_id":"u-b"}}
        B< {"RoomJoined":{"room_id":"r","client_id":"u-b"}}
        B> {"JoinRoom":"s"}
        B< {"Error":{"code":"already_in_room","message":"…"}}
        C connects to a b
        C< {"Error":{"code":"invalid_room","message":"…"}}
        C> {"JoinRoom":"s"}
        C< {"RoomJoined":{"room_id":"s","client_id":"u-c"}}
        "#,
    );
}

#[test]
fn one_is_in_one_room_at_a_time() {
    both(
        r#"
        A> {"JoinRoom":"s"}
        A< {"Error":{"code":"already_in_room","message":"…"}}
        A> {"JoinRoom":"r"}
        A< {"Error":{"code":"already_in_room","message":"…"}}
        C connects
        C> "LeaveRoom"
        C< {"Error":{"code":"client_not_found","message":"…"}}
        C> {"UpdatePresence":{}}
        C< {"Error":{"code":"client_not_found","message":"…"}}
        C> {"UpdateStorage":{"Insert":{"key":"k","value":1}}}
        C< {"Error":{"code":"client_not_found","message":"…"}}
        C> {"UpdateStorage":{"Remove":{"key":"k"}}}
        C< {"Error":{"code":"client_not_found","message":"…"}}
        "#,
    );
}

#[test]
fn of_a_presence_what_is_left_out_stays_null_clears_and_the_rest_is_kept() {
    both(
        r#"
        A> {"UpdatePresence":{"cursor_position":{"x":1,"y":-2.5,"z":{"deep":null}}}}
        A< {"PresenceUpdated":{"client_id":"u-a","timestamp":"2026-01-01T00:00:00.000Z","presence":{"cursor_position":{"x":1,"y":-2.5,"z":{"deep":null}},"status":null}}}
        B< {"PresenceUpdated":{"client_id":"u-a","timestamp":"2026-01-01T00:00:00.000Z","presence":{"cursor_position":{"x":1,"y":-2.5,"z":{"deep":null}},"status":null}}}
        2 s pass
        A> {"UpdatePresence":{"status":"Active","colour":["red",12345678901234567890123]}}
        A< {"PresenceUpdated":{"client_id":"u-a","timestamp":"2026-01-01T00:00:02.000Z","presence":{"cursor_position":{"x":1,"y":-2.5,"z":{"deep":null}},"status":"Active","colour":["red",12345678901234567890123]}}}
        B< {"PresenceUpdated":{"client_id":"u-a","timestamp":"2026-01-01T00:00:02.000Z","presence":{"cursor_position":{"x":1,"y":-2.5,"z":{"deep":null}},"status":"Active","colour":["red",12345678901234567890123]}}}
        A> {"UpdatePresence":{"cursor_position":null,"status":"Idle"}}
        A< {"PresenceUpdated":{"client_id":"u-a","timestamp":"2026-01-01T00:00:02.000Z","presence":{"cursor_position":null,"status":"Idle","colour":["red",12345678901234567890123]}}}
        B< {"PresenceUpdated":{"client_id":"u-a","timestamp":"2026-01-01T00:00:02.000Z","presence":{"cursor_position":null,"status":"Idle","colour":["red",12345678901234567890123]}}}
        A> {"UpdatePresence":{"colour":null,"status":null}}
        A< {"PresenceUpdated":{"client_id":"u-a","timestamp":"2026-01-01T00:00:02.000Z","presence":{"cursor_position":null,"status":null}}}
        B< {"PresenceUpdated":{"client_id":"u-a","timestamp":"2026-01-01T00:00:02.000Z","presence":{"cursor_position":null,"status":null}}}
        A> {"UpdatePresence":{"status":"A\u0077ay"}}
        A< {"PresenceUpdated":{"client_id":"u-a","timestamp":"2026-01-01T00:00:02.000Z","presence":{"cursor_position":null,"status":"Away"}}}
        B< {"PresenceUpdated":{"client_id":"u-a","timestamp":"2026-01-01T00:00:02.000Z","presence":{"cursor_position":null,"status":"Away"}}}
        "#,
    );
}

/// This message of a member is refused with this code; nobody else hears of it, and the connection
/// and the presence are as before.
fn refused_with(limits: Limits, message: &str, code: &str) {
    let transcript = format!(
        r#"{BOTH}
        A> {message}
        A< {{"Error":{{"code":"{code}","message":"…"}}}}
        A> {{"UpdatePresence":{{}}}}
        A< {{"PresenceUpdated":{{"client_id":"u-a","timestamp":"2026-01-01T00:00:00.000Z","presence":{{"cursor_position":null,"status":null}}}}}}
        B< {{"PresenceUpdated":{{"client_id":"u-a","timestamp":"2026-01-01T00:00:00.000Z","presence":{{"cursor_position":null,"status":null}}}}}}
        "#
    );
    check_with(limits, &transcript);
}

fn refused(message: &str, code: &str) {
    refused_with(Limits::default(), message, code);
}

#[test]
fn what_is_wrong_is_an_error_and_no_more() {
    for text in ["", "x", "{", "[1,", r#"{"JoinRoom":"r"} x"#, r#""Pong"#, r#""\ud800""#] {
        refused(text, "invalid_json");
    }
    refused(&format!("{}1{}", "[".repeat(65), "]".repeat(65)), "invalid_json");
    for text in [
        "5",
        "[]",
        "null",
        "{}",
        r#""Ping""#,
        r#""JoinRoom""#,
        r#""pong""#,
        r#"["LeaveRoom"]"#,
        r#"{"Dance":"r"}"#,
        r#"{"LeaveRoom":1}"#,
        r#"{"Pong":[]}"#,
        r#"{"joinroom":"r"}"#,
        r#"{"RoomJoined":{"room_id":"r","client_id":"x"}}"#,
        r#"{"JoinRoom":"s","LeaveRoom":null}"#,
        r#"{"type":"JoinRoom","data":{"room_id":"r"}}"#,
    ] {
        refused(text, "unknown_message");
    }
    for room in ["5", "null", r#""""#, r#""a b""#, r#""é""#, r#""a/b""#, r#"["r"]"#] {
        refused(&format!(r#"{{"JoinRoom":{room}}}"#), "invalid_room");
    }
    refused(&format!(r#"{{"JoinRoom":"{}"}}"#, "x".repeat(65)), "invalid_room");
    for presence in [
        "5",
        "null",
        "[]",
        r#"{"status":"Busy"}"#,
        r#"{"status":"active"}"#,
        r#"{"status":{"Active":null}}"#,
        r#"{"status":1}"#,
        r#"{"cursor_position":[1,2]}"#,
        r#"{"cursor_position":{"x":1}}"#,
        r#"{"cursor_position":{"x":1,"y":"2"}}"#,
        r#"{"cursor_position":{"x":null,"y":2},"status":"Idle"}"#,
    ] {
        refused(&format!(r#"{{"UpdatePresence":{presence}}}"#), "presence_error");
    }
    for operation in [
        "5",
        r#""Clear""#,
        r#"{"Insert":{"key":"k"}}"#,
        r#"{"Insert":["k",1]}"#,
        r#"{"Insert":{"key":5,"value":1}}"#,
        r#"{"Remove":{}}"#,
        r#"{"Increment":{"key":"k"}}"#,
        // There is no such key.
        r#"{"Remove":{"key":"k"}}"#,
    ] {
        refused(&format!(r#"{{"UpdateStorage":{operation}}}"#), "storage_error");
    }
}

#[test]
fn unknown_fields_are_nothing() {
    check(
        r#"
        in rooms
        A> {"id":7,"JoinRoom":"r"}
        A< {"RoomJoined":{"room_id":"r","client_id":"u-a"}}
        A> {"UpdateStorage":{"Insert":{"key":"k","value":1,"more":2}},"at":5}
        A< {"StorageUpdated":{"version":1,"operations":[{"Insert":{"key":"k","value":1}}]}}
        "#,
    );
}

#[test]
fn what_passes_a_limit_is_an_error_and_changes_nothing() {
    let key = "k".repeat(257);
    let insert = format!(r#"{{"UpdateStorage":{{"Insert":{{"key":"{key}","value":1}}}}}}"#);
    refused(&insert, "storage_error");
    let small = || Limits { storage_bytes: 10, state_bytes: 60, ..Limits::default() };
    let insert = r#"{"UpdateStorage":{"Insert":{"key":"k","value":12345}}}"#;
    refused_with(small(), insert, "storage_error");
    let update = format!(r#"{{"UpdatePresence":{{"more":"{}"}}}}"#, "x".repeat(30));
    refused_with(small(), &update, "presence_error");
    check_with(
        Limits { message_bytes: 17, ..Limits::default() },
        r#"
        in rooms
        A> {"JoinRoom":"ab"}
        A< {"RoomJoined":{"room_id":"ab","client_id":"u-a"}}
        A> {"JoinRoom":"abc"}
        A is closed with 1009
        B> 0x00
        B is closed with 1003
        "#,
    );
    check(
        r#"
        A makes the server drain
        in rooms
        B> {"JoinRoom":"r"}
        B< {"Error":{"code":"draining","message":"…"}}
        "#,
    );
    let limits = Limits { requests_per_s: 1, ..Limits::default() };
    let limited = "A< {\"Error\":{\"code\":\"rate_limited\",\"message\":\"…\"}}\n";
    let transcript = [
        "in rooms\n",
        &"A> \"LeaveRoom\"\n".repeat(12),
        "A is closed with 4009\n",
        "A< {\"Error\":{\"code\":\"client_not_found\",\"message\":\"…\"}}\n",
        &limited.repeat(10),
    ];
    check_with(limits, &transcript.concat());
}

#[test]
fn storage_has_one_version_more_with_each_operation_that_is_accepted() {
    both(
        r#"
        A> {"UpdateStorage":{"Insert":{"key":"b","value":{"x":[12345678901234567890123]}}}}
        A< {"StorageUpdated":{"version":1,"operations":[{"Insert":{"key":"b","value":{"x":[12345678901234567890123]}}}]}}
        B< {"StorageUpdated":{"version":1,"operations":[{"Insert":{"key":"b","value":{"x":[12345678901234567890123]}}}]}}
        B> {"UpdateStorage":{"Insert":{"key":"a","value":null}}}
        A< {"StorageUpdated":{"version":2,"operations":[{"Insert":{"key":"a","value":null}}]}}
        B< {"StorageUpdated":{"version":2,"operations":[{"Insert":{"key":"a","value":null}}]}}
        B> {"UpdateStorage":{"Remove":{"key":"none"}}}
        B< {"Error":{"code":"storage_error","message":"…"}}
        A> {"UpdateStorage":{"Insert":{"key":"b","value":1}}}
        A< {"StorageUpdated":{"version":3,"operations":[{"Insert":{"key":"b","value":1}}]}}
        B< {"StorageUpdated":{"version":3,"operations":[{"Insert":{"key":"b","value":1}}]}}
        C> {"JoinRoom":"other"}
        C< {"RoomJoined":{"room_id":"other","client_id":"u-c"}}
        C> {"UpdateStorage":{"Insert":{"key":"b","value":2}}}
        C< {"StorageUpdated":{"version":1,"operations":[{"Insert":{"key":"b","value":2}}]}}
        "#,
    );
}

#[test]
fn a_newcomer_is_shown_presences_and_storage_before_anything_live() {
    let snapshot = |transcript: &str| both(&format!("{SHOWN}{transcript}"));
    snapshot(
        r#"
        C> {"JoinRoom":"r"}
        A< {"RoomJoined":{"room_id":"r","client_id":"u-c"}}
        B< {"RoomJoined":{"room_id":"r","client_id":"u-c"}}
        C< {"RoomJoined":{"room_id":"r","client_id":"u-c"}}
        C< {"PresenceUpdated":{"client_id":"u-a","timestamp":"2026-01-01T00:00:00.000Z","presence":{"cursor_position":null,"status":"Idle"}}}
        C< {"PresenceUpdated":{"client_id":"u-b","timestamp":"2026-01-01T00:00:03.000Z","presence":{"cursor_position":null,"status":null}}}
        C< {"StorageUpdated":{"version":2,"operations":[{"Insert":{"key":"a","value":1}},{"Insert":{"key":"b","value":2}}]}}
        A> {"UpdateStorage":{"Remove":{"key":"a"}}}
        A< {"StorageUpdated":{"version":3,"operations":[{"Remove":{"key":"a"}}]}}
        B< {"StorageUpdated":{"version":3,"operations":[{"Remove":{"key":"a"}}]}}
        C< {"StorageUpdated":{"version":3,"operations":[{"Remove":{"key":"a"}}]}}
        A> {"UpdateStorage":{"Remove":{"key":"b"}}}
        A< {"StorageUpdated":{"version":4,"operations":[{"Remove":{"key":"b"}}]}}
        B< {"StorageUpdated":{"version":4,"operations":[{"Remove":{"key":"b"}}]}}
        C< {"StorageUpdated":{"version":4,"operations":[{"Remove":{"key":"b"}}]}}
        A closes
        B< {"RoomLeft":{"room_id":"r","client_id":"u-a"}}
        C< {"RoomLeft":{"room_id":"r","client_id":"u-a"}}
        # What is empty has a version all the same.
        D> {"JoinRoom":"r"}
        B< {"RoomJoined":{"room_id":"r","client_id":"u-d"}}
        C< {"RoomJoined":{"room_id":"r","client_id":"u-d"}}
        D< {"RoomJoined":{"room_id":"r","client_id":"u-d"}}
        D< {"PresenceUpdated":{"client_id":"u-b","timestamp":"2026-01-01T00:00:03.000Z","presence":{"cursor_position":null,"status":null}}}
        D< {"StorageUpdated":{"version":4,"operations":[]}}
        "#,
    );
    // Whoever comes back is shown its own presence by nobody: it has none.
    snapshot(
        r#"
        A> "LeaveRoom"
        A< {"RoomLeft":{"room_id":"r","client_id":"u-a"}}
        B< {"RoomLeft":{"room_id":"r","client_id":"u-a"}}
        B> "LeaveRoom"
        B< {"RoomLeft":{"room_id":"r","client_id":"u-b"}}
        # The last one has left: the storage is gone, too.
        A> {"JoinRoom":"r"}
        A< {"RoomJoined":{"room_id":"r","client_id":"u-a"}}
        A> {"UpdateStorage":{"Insert":{"key":"a","value":1}}}
        A< {"StorageUpdated":{"version":1,"operations":[{"Insert":{"key":"a","value":1}}]}}
        "#,
    );
}

/// A is idle, B has shown that it has nothing to show, and two keys are stored.
const SHOWN: &str = r#"
    A> {"UpdatePresence":{"status":"Idle"}}
    A< {"PresenceUpdated":{"client_id":"u-a","timestamp":"2026-01-01T00:00:00.000Z","presence":{"cursor_position":null,"status":"Idle"}}}
    B< {"PresenceUpdated":{"client_id":"u-a","timestamp":"2026-01-01T00:00:00.000Z","presence":{"cursor_position":null,"status":"Idle"}}}
    3 s pass
    B> {"UpdatePresence":{"status":null}}
    A< {"PresenceUpdated":{"client_id":"u-b","timestamp":"2026-01-01T00:00:03.000Z","presence":{"cursor_position":null,"status":null}}}
    B< {"PresenceUpdated":{"client_id":"u-b","timestamp":"2026-01-01T00:00:03.000Z","presence":{"cursor_position":null,"status":null}}}
    A> {"UpdateStorage":{"Insert":{"key":"b","value":2}}}
    A< {"StorageUpdated":{"version":1,"operations":[{"Insert":{"key":"b","value":2}}]}}
    B< {"StorageUpdated":{"version":1,"operations":[{"Insert":{"key":"b","value":2}}]}}
    A> {"UpdateStorage":{"Insert":{"key":"a","value":1}}}
    A< {"StorageUpdated":{"version":2,"operations":[{"Insert":{"key":"a","value":1}}]}}
    B< {"StorageUpdated":{"version":2,"operations":[{"Insert":{"key":"a","value":1}}]}}
"#;

#[test]
fn rooms_of_other_dialects_are_other_rooms() {
    check(
        r#"
        A> {"type":"join","room":"r","membership":"none"}
        A< {"type":"joined","room":"r","epoch":"e-1","seq":0,"view":0,"you":"m-a","members":[],"count":1,"storage":{"version":0,"entries":{}}}
        A> {"type":"store","room":"r","ops":[{"put":{"key":"k","value":1}}]}
        A< {"type":"stored","room":"r","seq":1,"version":1,"member":"m-a","ops":[{"put":{"key":"k","value":1}}]}
        in rooms
        B connects to r
        B< {"RoomJoined":{"room_id":"r","client_id":"u-b"}}
        in project
        C connects to r
        C> hello
        C< hello
        in events
        D> {"type":"subscribe","channel":"r"}
        D< {"status":"subscribed","channel":"r"}
        r! {} = 1
        D< {"type":"event","channel":"r","data":{},"timestamp":"2026-01-01T00:00:00.000Z"}
        "#,
    );
}

#[test]
fn kept_storage_is_there_when_the_room_comes_back_and_a_full_disk_changes_nothing() {
    check(
        r#"
        the world keeps storage
        in rooms
        A connects to r
        A< {"RoomJoined":{"room_id":"r","client_id":"u-a"}}
        A> {"UpdateStorage":{"Insert":{"key":"b","value":{"x": 1}}}}
        A< {"StorageUpdated":{"version":1,"operations":[{"Insert":{"key":"b","value":{"x":1}}}]}}
        A> {"UpdateStorage":{"Insert":{"key":"a","value":1}}}
        A< {"StorageUpdated":{"version":2,"operations":[{"Insert":{"key":"a","value":1}}]}}
        the disk is full
        A> {"UpdateStorage":{"Insert":{"key":"c","value":1}}}
        A< {"Error":{"code":"storage_error","message":"…"}}
        A> {"UpdateStorage":{"Remove":{"key":"a"}}}
        A< {"Error":{"code":"storage_error","message":"…"}}
        A closes
        the disk has room
        B connects to r
        B< {"RoomJoined":{"room_id":"r","client_id":"u-b"}}
        B< {"StorageUpdated":{"version":2,"operations":[{"Insert":{"key":"a","value":1}},{"Insert":{"key":"b","value":{"x":1}}}]}}
        B> {"UpdateStorage":{"Remove":{"key":"a"}}}
        B< {"StorageUpdated":{"version":3,"operations":[{"Remove":{"key":"a"}}]}}
        B closes
        C connects to s
        C< {"RoomJoined":{"room_id":"s","client_id":"u-c"}}
        D connects to r
        D< {"RoomJoined":{"room_id":"r","client_id":"u-d"}}
        D< {"StorageUpdated":{"version":3,"operations":[{"Insert":{"key":"b","value":{"x":1}}}]}}
        "#,
    );
}

#[test]
fn native_storage_is_kept_as_well_but_not_that_of_rooms_with_a_code() {
    check(
        r#"
        the world keeps storage
        A> {"type":"join","room":"r","membership":"none"}
        A< {"type":"joined","room":"r","epoch":"e-1","seq":0,"view":0,"you":"m-a","members":[],"count":1,"storage":{"version":0,"entries":{}}}
        A> {"type":"store","room":"r","ops":[{"put":{"key":"k","value":1}},{"put":{"key":"l","value":2}},{"delete":{"key":"k"}}]}
        A< {"type":"stored","room":"r","seq":1,"version":1,"member":"m-a","ops":[{"put":{"key":"k","value":1}},{"put":{"key":"l","value":2}},{"delete":{"key":"k"}}]}
        the disk is full
        A> {"type":"store","room":"r","ops":[{"put":{"key":"k","value":1}}],"if_version":1,"id":1}
        A< {"type":"error","re":1,"code":"not_kept","message":"…","room":"r"}
        A> {"type":"create"}
        A< {"type":"created","code":"K7M2QX","room":"~K7M2QX"}
        A< {"type":"joined","room":"~K7M2QX","epoch":"e-2","seq":0,"view":1,"you":"m-a2","members":[{"member":"m-a2","username":"c-a","state":{}}],"count":1,"storage":{"version":0,"entries":{}}}
        A> {"type":"store","room":"~K7M2QX","ops":[{"put":{"key":"k","value":1}}]}
        A< {"type":"stored","room":"~K7M2QX","seq":1,"version":1,"member":"m-a2","ops":[{"put":{"key":"k","value":1}}]}
        A closes
        120 s pass
        # Another life: nothing has happened in it, and the storage is as it was left.
        B> {"type":"join","room":"r","membership":"none","since":{"epoch":"e-1","seq":1}}
        B< {"type":"joined","room":"r","epoch":"e-3","seq":0,"view":0,"you":"m-b","members":[],"count":1,"storage":{"version":1,"entries":{"l":2}},"recovered":false}
        "#,
    );
}

#[test]
fn what_is_restored_counts_for_the_limit() {
    let limits = Limits { storage_bytes: 15, ..Limits::default() };
    let mut server = Server::new(limits);
    let entry = ("k".to_owned(), RawValue::from_string("123".to_owned()).expect("JSON"));
    server.world.with_room("rooms/r", Make::IfAbsent, |room| room.restore(7, [entry]));
    let conn = protocol::ConnId(1);
    server.open_as(protocol::Dialect::Rooms, Some("r"), conn);
    let mut last = |value: &str| {
        let text = format!(r#"{{"UpdateStorage":{{"Insert":{{"key":"l","value":{value}}}}}}}"#);
        assert_eq!(server.say(conn, &text), None);
        let frames = server.world.inner.take(conn);
        frames.last().expect("an answer").as_text().to_owned()
    };
    assert!(last("1").starts_with(r#"{"StorageUpdated":{"version":8,"#));
    assert!(last("12").starts_with(r#"{"Error":{"code":"storage_error""#));
}
