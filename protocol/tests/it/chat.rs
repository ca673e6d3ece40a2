//! `chat`: two people, one code, and the order in which what is wrong is found.

use protocol::{ConnId, Dialect, Limits};

use crate::faulty::{Fault, What};
use crate::server::Server;
use crate::transcript::{check, check_with};

/// Ada has made a room, and Bob has joined it.
const PAIR: &str = r#"
    in chat
    A> {"type":"set_username","username":"Ada"}
    A< {"type":"username_set","username":"Ada"}
    A> {"type":"create_room"}
    A< {"type":"room_created","room_code":"K7M2QX"}
    B> {"type":"set_username","username":"Bob"}
    B< {"type":"username_set","username":"Bob"}
    B> {"type":"join_room","room_code":"K7M2QX"}
    B< {"type":"room_joined","room_code":"K7M2QX","partner":"Ada"}
    A< {"type":"partner_joined","username":"Bob"}
"#;

fn pair(transcript: &str) {
    check(&format!("{PAIR}{transcript}"));
}

#[test]
fn a_connection_is_greeted_with_its_id() {
    check(
        r#"
        in chat
        A connects
        A< {"type":"connected","client_id":"u-a"}
        B connects
        B< {"type":"connected","client_id":"u-b"}
        "#,
    );
}

#[test]
fn what_one_says_the_other_gets_and_nobody_else() {
    pair(
        r#"
        C> {"type":"set_username","username":"Ada"}
        C< {"type":"username_set","username":"Ada"}
        A> {"type":"chat","content":"hi \"Bob\" é\u0000"}
        B< {"type":"chat","from":"Ada","content":"hi \"Bob\" é\u0000"}
        B> {"more":1,"content":"hi","type":"chat"}
        A< {"type":"chat","from":"Bob","content":"hi"}
        # A new name is seen from then on.
        B> {"type":"set_username","username":"Ada"}
        B< {"type":"username_set","username":"Ada"}
        B> {"type":"chat","content":"me"}
        A< {"type":"chat","from":"Ada","content":"me"}
        "#,
    );
}

#[test]
fn what_is_asked_without_waiting_is_done_in_order() {
    check(
        r#"
        in chat
        A> {"type":"set_username","username":"Ada"}
        A> {"type":"create_room"}
        A> {"type":"chat","content":"to nobody"}
        A> {"type":"typing"}
        A> {"type":"leave_room"}
        A> {"type":"leave_room"}
        A< {"type":"username_set","username":"Ada"}
        A< {"type":"room_created","room_code":"K7M2QX"}
        A< {"type":"error","code":"not_in_room","message":"…"}
        "#,
    );
}

#[test]
fn typing_is_told_once_and_ends_before_what_was_typed() {
    pair(
        r#"
        A> {"type":"typing"}
        A> {"type":"typing"}
        B< {"type":"partner_typing"}
        1000 s pass
        A> {"type":"typing"}
        A> {"type":"chat","content":"x"}
        B< {"type":"partner_stop_typing"}
        B< {"type":"chat","from":"Ada","content":"x"}
        A> {"type":"stop_typing"}
        A> {"type":"chat","content":"y"}
        B< {"type":"chat","from":"Ada","content":"y"}
        A> {"type":"typing"}
        B> {"type":"typing"}
        A> {"type":"stop_typing"}
        B< {"type":"partner_typing"}
        B< {"type":"partner_stop_typing"}
        A< {"type":"partner_typing"}
        "#,
    );
}

#[test]
fn whoever_comes_next_hears_of_typing_anew() {
    pair(
        r#"
        A> {"type":"typing"}
        B< {"type":"partner_typing"}
        B> {"type":"leave_room"}
        A< {"type":"partner_left"}
        # Nobody is there to be told.
        A> {"type":"typing"}
        B> {"type":"join_room","room_code":"K7M2QX"}
        B< {"type":"room_joined","room_code":"K7M2QX","partner":"Ada"}
        A< {"type":"partner_joined","username":"Bob"}
        A> {"type":"chat","content":"x"}
        B< {"type":"chat","from":"Ada","content":"x"}
        A> {"type":"typing"}
        B< {"type":"partner_typing"}
        A> {"type":"leave_room"}
        B< {"type":"partner_left"}
        "#,
    );
}

#[test]
fn a_room_outlives_its_maker_and_ends_with_its_last_member() {
    pair(
        r#"
        A> {"type":"leave_room"}
        B< {"type":"partner_left"}
        C> {"type":"set_username","username":"Cy"}
        C< {"type":"username_set","username":"Cy"}
        C> {"type":"join_room","room_code":" K7M2QX\t"}
        C< {"type":"room_joined","room_code":"K7M2QX","partner":"Bob"}
        B< {"type":"partner_joined","username":"Cy"}
        A> {"type":"join_room","room_code":"K7M2QX"}
        A< {"type":"error","code":"room_full","message":"…"}
        B closes
        C< {"type":"partner_left"}
        C> {"type":"leave_room"}
        A> {"type":"join_room","room_code":"K7M2QX"}
        A< {"type":"error","code":"room_not_found","message":"…"}
        A> {"type":"create_room"}
        A< {"type":"room_created","room_code":"ABCDEF"}
        "#,
    );
    for end in ["closes", "is silent", "is slow", "is evicted"] {
        pair(&format!("A {end}\nB< {{\"type\":\"partner_left\"}}"));
    }
}

#[test]
fn a_code_may_be_written_small_and_with_spaces_around_it() {
    let mut server = Server::new(Limits::default());
    for conn in [ConnId(1), ConnId(2)] {
        server.open_as(Dialect::Chat, None, conn);
        assert_eq!(server.say(conn, r#"{"type":"set_username","username":"x"}"#), None);
    }
    assert_eq!(server.say(ConnId(1), r#"{"type":"create_room"}"#), None);
    let code = server.sessions[&ConnId(1)].rooms().next().expect("a room");
    let small = code.to_lowercase();
    let join = format!(r#"{{"type":"join_room","room_code":"\u00a0 {small}\n"}}"#);
    assert_eq!(server.say(ConnId(2), &join), None);
    let frames = server.world.inner.take(ConnId(2));
    let joined = format!(r#"{{"type":"room_joined","room_code":"{code}","partner":"x"}}"#);
    assert_eq!(frames.last().expect("an answer").as_text(), joined);
}

#[test]
fn of_several_faults_the_first_in_the_order_is_told() {
    pair(
        r#"
        # Without a name: that is first.
        C> {"type":"create_room"}
        C< {"type":"error","code":"username_required","message":"…"}
        C> {"type":"join_room","room_code":"K7M2QX"}
        C< {"type":"error","code":"username_required","message":"…"}
        C> {"type":"join_room","room_code":"nope"}
        C< {"type":"error","code":"username_required","message":"…"}
        # In a room: that is next, whether the other room is there or full.
        A> {"type":"create_room"}
        A< {"type":"error","code":"already_in_room","message":"…"}
        A> {"type":"join_room","room_code":"K7M2QX"}
        A< {"type":"error","code":"already_in_room","message":"…"}
        A> {"type":"join_room","room_code":"ZZZZZZZ"}
        A< {"type":"error","code":"already_in_room","message":"…"}
        C> {"type":"set_username","username":"Cy"}
        C< {"type":"username_set","username":"Cy"}
        C> {"type":"join_room","room_code":"ABCIO1"}
        C< {"type":"error","code":"room_not_found","message":"…"}
        C> {"type":"join_room","room_code":""}
        C< {"type":"error","code":"room_not_found","message":"…"}
        C> {"type":"join_room","room_code":"K7M2QX"}
        C< {"type":"error","code":"room_full","message":"…"}
        C> {"type":"chat","content":"x"}
        C< {"type":"error","code":"not_in_room","message":"…"}
        C> {"type":"typing"}
        C< {"type":"error","code":"not_in_room","message":"…"}
        C> {"type":"leave_room"}
        C< {"type":"error","code":"not_in_room","message":"…"}
        # This one is silent.
        C> {"type":"stop_typing"}
        A> {"type":"chat","content":"undisturbed"}
        B< {"type":"chat","from":"Ada","content":"undisturbed"}
        "#,
    );
}

#[test]
fn what_is_no_message_is_an_invalid_message() {
    for text in [
        "",
        "x",
        "5",
        "[]",
        "{}",
        "{",
        r#""typing""#,
        r#"{"type":5}"#,
        r#"{"type":"typing","type":"typing"}"#,
        r#"{"type":"Typing"}"#,
        r#"{"type":"connected"}"#,
        r#"{"type":"set_username"}"#,
        r#"{"type":"set_username","username":5}"#,
        r#"{"type":"set_username","username":null}"#,
        r#"{"type":"join_room"}"#,
        r#"{"type":"join_room","room_code":123456}"#,
        r#"{"type":"chat"}"#,
        r#"{"type":"chat","content":["x"]}"#,
        r#"{"type":"chat","content":"x","content":"y"}"#,
        r#"{"type":"chat","content":""}"#,
        &format!(r#"{{"type":"typing","x":{}{}}}"#, "[".repeat(64), "]".repeat(64)),
    ] {
        pair(&format!(
            r#"
            A> {text}
            A< {{"type":"error","code":"invalid_message","message":"…"}}
            A> {{"type":"chat","content":"goes on"}}
            B< {{"type":"chat","from":"Ada","content":"goes on"}}
            "#
        ));
    }
    // Fields of which the protocol knows nothing, whatever is in them.
    pair("A> {\"id\":[1.5],\"type\":\"typing\"}\nB< {\"type\":\"partner_typing\"}");
}

#[test]
fn names_and_messages_are_counted_in_characters() {
    let (longest_name, longest) = ("é".repeat(32), "😀".repeat(4000));
    pair(&format!(
        r#"
        A> {{"type":"set_username","username":"{longest_name}"}}
        A< {{"type":"username_set","username":"{longest_name}"}}
        A> {{"type":"set_username","username":"{longest_name}é"}}
        A< {{"type":"error","code":"invalid_username","message":"…"}}
        A> {{"type":"set_username","username":""}}
        A< {{"type":"error","code":"invalid_username","message":"…"}}
        A> {{"type":"chat","content":"{longest}"}}
        B< {{"type":"chat","from":"{longest_name}","content":"{longest}"}}
        A> {{"type":"typing"}}
        B< {{"type":"partner_typing"}}
        A> {{"type":"chat","content":"{longest}x"}}
        A< {{"type":"error","code":"message_too_long","message":"…"}}
        # What was refused has not ended the typing.
        A> {{"type":"typing"}}
        A> {{"type":"stop_typing"}}
        B< {{"type":"partner_stop_typing"}}
        "#
    ));
}

#[test]
fn limits_are_kept_with_an_error_and_a_flood_is_cut() {
    check(
        r#"
        A makes the server drain
        in chat
        B> {"type":"set_username","username":"Bob"}
        B< {"type":"username_set","username":"Bob"}
        B> {"type":"create_room"}
        B< {"type":"error","code":"draining","message":"…"}
        C> 0x00
        C is closed with 1003
        "#,
    );
    let full = Fault { what: What::NoRooms, on: "", after: 0 };
    let mut server = Server::faulty(Limits::default(), Some(full));
    server.open_as(Dialect::Chat, None, ConnId(1));
    for text in [r#"{"type":"set_username","username":"x"}"#, r#"{"type":"create_room"}"#] {
        assert_eq!(server.say(ConnId(1), text), None);
    }
    let frames = server.world.inner.take(ConnId(1));
    let last = frames.last().expect("an error").as_text();
    assert!(last.contains(r#""code":"too_many_rooms""#), "{last}");
    let limits = Limits { requests_per_s: 1, ..Limits::default() };
    let limited = "A< {\"type\":\"error\",\"code\":\"rate_limited\",\"message\":\"…\"}\n";
    let transcript = [
        "in chat\n",
        &"A> {\"type\":\"stop_typing\"}\n".repeat(12),
        "A is closed with 4009\n",
        &limited.repeat(10),
    ];
    check_with(limits, &transcript.concat());
    let limits = Limits { message_bytes: 20, ..Limits::default() };
    check_with(limits, "in chat\nA> {\"type\":\"typing\"    }\nA is closed with 1009");
}
