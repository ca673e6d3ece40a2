//! `project`: text goes to all and back, bytes come back alone, and projects are apart.

use protocol::{ConnId, Dialect, Incoming, Limits};

use crate::faulty::{Fault, What};
use crate::server::Server;
use crate::transcript::{check, check_with};

#[test]
fn what_one_says_all_get_once_the_speaker_too() {
    check(
        r#"
        in project
        A connects
        B connects
        C connects to default
        D connects to other
        A> hello
        A< hello
        B< hello
        C< hello
        B> {"no json
        A< {"no json
        B< {"no json
        C< {"no json
        D> é 😀 \u0000
        D< é 😀 \u0000
        "#,
    );
}

#[test]
fn text_comes_back_as_it_was_however_long_and_short() {
    for text in ["", " ", "\n", "\u{feff}x", "\0", &"x".repeat(65_536), &"é".repeat(1024 * 1024)] {
        let mut server = Server::new(Limits::default());
        for conn in [ConnId(1), ConnId(2)] {
            server.open_as(Dialect::Project, Some("p"), conn);
        }
        assert_eq!(server.say(ConnId(1), text), None);
        for conn in [ConnId(1), ConnId(2)] {
            let frames = server.world.inner.take(conn);
            assert_eq!(frames.len(), 1);
            assert_eq!(frames[0].payload(), text.as_bytes());
            assert_eq!(frames[0].bytes()[0], 0x81, "one whole text frame");
        }
    }
}

#[test]
fn bytes_come_back_to_the_sender_alone() {
    check(
        r#"
        in project
        A connects
        B connects
        A> 0x00ff80
        A< 0x00ff80
        A> 0x
        A< 0x
        B> after
        A< after
        B< after
        "#,
    );
}

#[test]
fn whoever_is_gone_gets_nothing_and_nobody_is_told() {
    for end in ["closes", "is silent", "is slow", "is evicted"] {
        check(&format!(
            r#"
            in project
            A connects
            B connects
            A {end}
            B> x
            B< x
            "#
        ));
    }
}

#[test]
fn two_mebibytes_are_a_message_whatever_other_dialects_take() {
    let limits = || Limits { message_bytes: 10, ..Limits::default() };
    let longest = "x".repeat(2 * 1024 * 1024);
    let mut server = Server::new(limits());
    server.open_as(Dialect::Project, None, ConnId(1));
    assert_eq!(server.say(ConnId(1), &longest), None);
    let ending = server.say(ConnId(1), &format!("{longest}x"));
    assert_eq!(ending.map(|ending| ending.code), Some(1009));
    server.open_as(Dialect::Project, None, ConnId(2));
    let bytes = vec![0; longest.len() + 1];
    assert_eq!(server.send(ConnId(2), Incoming::Binary(&bytes[1..])), None);
    let ending = server.send(ConnId(2), Incoming::Binary(&bytes));
    assert_eq!(ending.map(|ending| ending.code), Some(1009));
    assert_eq!(Dialect::Project.frame_bytes(&limits()), 128 * 1024);
    assert_eq!(Dialect::Chat.frame_bytes(&limits()), 10);
}

#[test]
fn a_flood_is_cut_and_nothing_before_it_is_lost() {
    let limits = Limits { requests_per_s: 1, ..Limits::default() };
    let transcript =
        ["in project\n", &"A> x\n".repeat(12), "A is closed with 4009\n", &"A< x\n".repeat(11)];
    check_with(limits, &transcript.concat());
}

#[test]
fn a_connection_for_which_the_world_has_no_place_is_told_to_come_back() {
    let full = Fault { what: What::NoRooms, on: "", after: 0 };
    let mut server = Server::faulty(Limits::default(), Some(full));
    server.open_as(Dialect::Project, Some("p"), ConnId(1));
    assert_eq!(server.sessions[&ConnId(1)].rooms().count(), 0);
    assert_eq!(server.say(ConnId(1), "x").map(|ending| ending.code), Some(1013));
}
