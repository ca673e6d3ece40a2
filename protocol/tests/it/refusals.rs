//! Every way to be refused: the code, and that the connection goes on.

use protocol::Limits;

use crate::transcript::{check, check_with};

/// One message of somebody who is in the room `in`, and the code of its error.
pub(crate) fn refused(message: &str, code: &str, re: &str) {
    refused_with(Limits::default(), message, code, re, "");
}

pub(crate) fn refused_with(limits: Limits, message: &str, code: &str, re: &str, room: &str) {
    let re = if re.is_empty() { String::new() } else { format!(r#""re":{re},"#) };
    let room = if room.is_empty() { String::new() } else { format!(r#","room":{room}"#) };
    check_with(
        limits,
        &format!(
            r#"
            A> {{"type":"join","room":"in"}}
            A< {{"type":"joined","room":"in","epoch":"e-1","seq":0,"view":1,"you":"m-a","members":[{{"member":"m-a","username":"c-a","state":{{}}}}],"count":1,"storage":{{"version":0,"entries":{{}}}}}}
            A> {message}
            A< {{"type":"error",{re}"code":"{code}","message":"…"{room}}}
            A> {{"type":"ping"}}
            A< {{"type":"pong"}}
            "#
        ),
    );
}

#[test]
fn what_is_no_json_is_bad_json() {
    let deep = "[".repeat(10_000);
    let balanced = format!("{deep}{}", "]".repeat(10_000));
    let nested = |levels: usize| {
        let (open, close) = ("[".repeat(levels - 1), "]".repeat(levels - 1));
        format!(r#"{{"type":"ping","x":{open}{close}}}"#)
    };
    check(&format!("A> {}\nA< {{\"type\":\"pong\"}}", nested(64)));
    let in_a_field = format!(r#"{{"type":"ping","id":1,"x":{balanced}}}"#);
    for text in [
        "",
        "x",
        "{",
        r#"{"type":"ping""#,
        r#"{"type":"ping"} x"#,
        r#"{"type":"ping","x":"\ud800"}"#,
        r#"{"type":"ping","x":1e999}"#,
        r#"{"type":"ping","x":01}"#,
        r#"{"type":5,"x":nope}"#,
        r#"{'type':'ping'}"#,
        "[1, 2",
        &nested(65),
        &deep,
        &balanced,
        &in_a_field,
    ] {
        refused(text, "bad_json", "");
    }
}

#[test]
fn what_is_json_but_no_message_is_a_bad_message() {
    for text in ["[]", "5", "null", "\"ping\"", r#"[{"type":"ping"}]"#, "{}", r#"{"type":null}"#] {
        refused(text, "bad_message", "");
    }
    for text in [
        r#"{"id":7}"#,
        r#"{"id":7,"type":5}"#,
        r#"{"id":7,"type":"ping","type":"ping"}"#,
        r#"{"id":7,"type":"name"}"#,
        r#"{"id":7,"type":"name","username":""}"#,
        r#"{"id":7,"type":"name","username":5}"#,
        r#"{"id":7,"type":"create","capacity":0}"#,
        r#"{"id":7,"type":"create","capacity":65536}"#,
        r#"{"id":7,"type":"create","capacity":"2"}"#,
        r#"{"id":7,"type":"join"}"#,
        r#"{"id":7,"type":"join","room":5}"#,
        r#"{"id":7,"type":"join","room":""}"#,
        r#"{"id":7,"type":"join","room":"a b"}"#,
        r#"{"id":7,"type":"join","room":"é"}"#,
        r#"{"id":7,"type":"join","room":"~K7M2QX"}"#,
        r#"{"id":7,"type":"join","room":"a","code":"K7M2QX"}"#,
        r#"{"id":7,"type":"join","room":"a","membership":"half"}"#,
        r#"{"id":7,"type":"join","room":"a","since":5}"#,
        r#"{"id":7,"type":"join","room":"a","since":["e",5]}"#,
        r#"{"id":7,"type":"join","room":"a","since":{"epoch":"e"}}"#,
        r#"{"id":7,"type":"join","room":"a","since":{"epoch":"e","seq":-1}}"#,
        r#"{"id":7,"type":"leave"}"#,
        r#"{"id":7,"type":"chat","room":"in"}"#,
        r#"{"id":7,"type":"chat","text":"x"}"#,
        r#"{"id":7,"type":"chat","room":"in","text":5}"#,
        r#"{"id":7,"type":"chat","room":"in","text":"x","text":"y"}"#,
        r#"{"id":7,"type":"presence","room":"in"}"#,
        r#"{"id":7,"type":"store","room":"in"}"#,
        r#"{"id":7,"type":"store","room":"in","ops":[]}"#,
        r#"{"id":7,"type":"store","room":"in","ops":{}}"#,
        r#"{"id":7,"type":"store","room":"in","ops":[{"put":{"key":"k"}}]}"#,
        r#"{"id":7,"type":"store","room":"in","ops":[{"put":["k",1]}]}"#,
        r#"{"id":7,"type":"store","room":"in","ops":[{"put":{"key":"","value":1}}]}"#,
        r#"{"id":7,"type":"store","room":"in","ops":[{"patch":{"key":"k"}}]}"#,
        r#"{"id":7,"type":"store","room":"in","ops":[{"delete":{}}]}"#,
        r#"{"id":7,"type":"store","room":"in","ops":[{"delete":{"key":"k"}}],"if_version":"0"}"#,
        r#"{"id":7,"type":"typing","room":"in"}"#,
        r#"{"id":7,"type":"typing","room":"in","on":1}"#,
        r#"{"id":7,"type":"read","room":"in"}"#,
        r#"{"id":7,"type":"read","room":"in","seq":0.5}"#,
    ] {
        refused(text, "bad_message", "7");
    }
    let beyond = r#"{"id":7,"type":"read","room":"in","seq":1}"#;
    refused_with(Limits::default(), beyond, "bad_message", "7", "\"in\"");
}

#[test]
fn an_id_comes_back_as_it_was_or_is_refused() {
    let long = format!("\"{}\"", "é".repeat(32));
    for id in
        ["0", "-1", "18446744073709551615", "-9223372036854775808", "\"\"", "\"a\\u0000\"", &long]
    {
        check(&format!(
            r#"
            A> {{"type":"ping","id":{id}}}
            A< {{"type":"pong","re":{id}}}
            A> {{"type":"typing","id":{id},"room":"x","on":true}}
            A< {{"type":"error","re":{id},"code":"not_joined","message":"…","room":"x"}}
            "#
        ));
    }
    let too_long = format!("\"{}x\"", "é".repeat(32));
    for id in ["null", "true", "1.5", "1e3", "18446744073709551616", "[1]", "{}", &too_long] {
        refused(&format!(r#"{{"type":"ping","id":{id}}}"#), "bad_message", "");
    }
    refused(r#"{"type":"ping","id":1,"id":1}"#, "bad_message", "");
}

#[test]
fn an_unknown_type_is_an_error_and_unknown_fields_are_nothing() {
    refused(r#"{"type":"shout","id":"x"}"#, "unknown_type", "\"x\"");
    refused(r#"{"type":"welcome"}"#, "unknown_type", "");
    refused(r#"{"type":"PING"}"#, "unknown_type", "");
    check(
        r#"
        A> {"colour":[{"red":1}],"id":"x","type":"ping","room":5}
        A< {"type":"pong","re":"x"}
        A> {"ty\u0070e":"p\u0069ng"}
        A< {"type":"pong"}
        "#,
    );
}

#[test]
fn what_needs_a_room_needs_to_be_in_it() {
    for message in [
        r#"{"id":1,"type":"leave","room":"x"}"#,
        r#"{"id":1,"type":"chat","room":"x","text":""}"#,
        r#"{"id":1,"type":"presence","room":"x","patch":{}}"#,
        r#"{"id":1,"type":"store","room":"x","ops":[{"delete":{"key":"k"}}],"if_version":3}"#,
        r#"{"id":1,"type":"typing","room":"x","on":false}"#,
        r#"{"id":1,"type":"read","room":"x","seq":9}"#,
    ] {
        refused_with(Limits::default(), message, "not_joined", "1", "\"x\"");
    }
    refused(&format!(r#"{{"type":"leave","room":"{}"}}"#, "x".repeat(300)), "not_joined", "");
}

#[test]
fn what_passes_a_limit_is_refused() {
    let one = || Limits { rooms: 1, ..Limits::default() };
    refused_with(one(), r#"{"id":1,"type":"join","room":"x"}"#, "too_many_rooms", "1", "\"x\"");
    refused_with(one(), r#"{"id":1,"type":"create"}"#, "too_many_rooms", "1", "");
    refused(&format!(r#"{{"id":1,"type":"join","room":"{}"}}"#, "x".repeat(65)), "too_large", "1");
    // Wrong in two ways: the form is looked at first.
    refused(
        &format!(r#"{{"id":1,"type":"join","room":"{} "}}"#, "x".repeat(65)),
        "bad_message",
        "1",
    );
    let limits = Limits { message_bytes: 30, ..Limits::default() };
    check_with(
        limits,
        r#"
        A> {"type":"ping","x":"12345678"}
        A< {"type":"pong"}
        A> {"type":"ping","x":"123456789"}
        A is closed with 1009
        "#,
    );
}

#[test]
fn too_many_requests_are_refused_with_their_ids_and_a_flood_is_cut() {
    let ping = "A> {\"type\":\"ping\",\"id\":1}\n";
    let pong = "A< {\"type\":\"pong\",\"re\":1}\n";
    let limited = "A< {\"type\":\"error\",\"re\":1,\"code\":\"rate_limited\",\"message\":\"…\"}\n";
    let limits = || Limits { requests_per_s: 2, ..Limits::default() };
    let flood = |count: usize| ping.repeat(count);
    let transcript =
        [&*flood(22), &pong.repeat(2), &limited.repeat(20), "0.5 s pass\n", ping, pong];
    check_with(limits(), &transcript.concat());
    let bare = "A> x\nA< {\"type\":\"error\",\"code\":\"rate_limited\",\"message\":\"…\"}\n";
    check_with(limits(), &[&*flood(2), &pong.repeat(2), bare].concat());
    let transcript = [&*flood(23), "A is closed with 4009\n", &pong.repeat(2), &limited.repeat(20)];
    check_with(limits(), &transcript.concat());
}
