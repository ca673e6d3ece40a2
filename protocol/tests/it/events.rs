//! `events`: what is answered, what is published to whom, and what nobody may publish.

use protocol::Limits;

use crate::transcript::{check, check_with};

fn goes(transcript: &str) {
    check(&format!("in events\n{transcript}"));
}

#[test]
fn a_connection_is_greeted_with_its_id() {
    goes(
        r#"
        A connects
        A< {"status":"connected","connectionId":"conn-a"}
        B connects
        B< {"status":"connected","connectionId":"conn-b"}
        "#,
    );
}

#[test]
fn subscribers_of_a_channel_get_each_event_once_and_nobody_else_does() {
    goes(
        r#"
        A> {"type":"subscribe","channel":"files","id":1}
        A< {"status":"subscribed","channel":"files","id":1}
        A> {"type":"subscribe","channel":"git"}
        A< {"status":"subscribed","channel":"git"}
        B> {"channel":"files","type":"subscribe","id":"x","more":[1]}
        B< {"status":"subscribed","channel":"files","id":"x"}
        C connects
        files! {"file":"a.rs","event":"change","more":{"b":[12345678901234567890123]}} = 2
        A< {"type":"event","channel":"files","data":{"file":"a.rs","event":"change","more":{"b":[12345678901234567890123]}},"timestamp":"2026-01-01T00:00:00.000Z"}
        B< {"type":"event","channel":"files","data":{"file":"a.rs","event":"change","more":{"b":[12345678901234567890123]}},"timestamp":"2026-01-01T00:00:00.000Z"}
        1.5 s pass
        git! {"type":"commit","message":"x"} = 1
        A< {"type":"event","channel":"git","data":{"type":"commit","message":"x"},"timestamp":"2026-01-01T00:00:01.500Z"}
        nobody! {} = 0
        A> {"type":"unsubscribe","channel":"files","id":2}
        A< {"status":"unsubscribed","channel":"files","id":2}
        files! {"file":"b.rs","event":"add"} = 1
        B< {"type":"event","channel":"files","data":{"file":"b.rs","event":"add"},"timestamp":"2026-01-01T00:00:01.500Z"}
        git! {"type":"push","message":""} = 1
        A< {"type":"event","channel":"git","data":{"type":"push","message":""},"timestamp":"2026-01-01T00:00:01.500Z"}
        "#,
    );
}

#[test]
fn to_subscribe_twice_is_confirmed_twice_and_delivers_once() {
    goes(
        r#"
        A> {"type":"subscribe","channel":"c","id":1}
        A< {"status":"subscribed","channel":"c","id":1}
        A> {"type":"subscribe","channel":"c","id":1}
        A< {"status":"subscribed","channel":"c","id":1}
        c! {"n":1} = 1
        A< {"type":"event","channel":"c","data":{"n":1},"timestamp":"2026-01-01T00:00:00.000Z"}
        A> {"type":"unsubscribe","channel":"c","id":-2}
        A< {"status":"unsubscribed","channel":"c","id":-2}
        c! {"n":2} = 0
        A> {"type":"unsubscribe","channel":"c"}
        A< {"status":"unsubscribed","channel":"c"}
        "#,
    );
}

#[test]
fn whoever_is_gone_gets_nothing_and_the_others_do() {
    for end in ["closes", "is silent", "is slow", "is evicted"] {
        goes(&format!(
            r#"
            A> {{"type":"subscribe","channel":"c"}}
            A< {{"status":"subscribed","channel":"c"}}
            B> {{"type":"subscribe","channel":"c"}}
            B< {{"status":"subscribed","channel":"c"}}
            A {end}
            c! {{}} = 1
            B< {{"type":"event","channel":"c","data":{{}},"timestamp":"2026-01-01T00:00:00.000Z"}}
            "#
        ));
    }
}

/// This message is refused with this code, and this rest of the error; another works after it.
fn refused(message: &str, code: &str, rest: &str) {
    goes(&format!(
        r#"
        B> {{"type":"subscribe","channel":"c"}}
        B< {{"status":"subscribed","channel":"c"}}
        A> {message}
        A< {{"status":"error","code":"{code}","message":"…"{rest}}}
        A> {{"type":"subscribe","channel":"after"}}
        A< {{"status":"subscribed","channel":"after"}}
        "#
    ));
}

#[test]
fn what_is_wrong_is_answered_with_its_code_and_its_id() {
    for text in ["", "x", "{", r#"{"type":"subscribe","channel":"c"} x"#, "[1,", r#""\ud800""#] {
        refused(text, "invalid_json", "");
    }
    refused(&format!("{}1{}", "[".repeat(65), "]".repeat(65)), "invalid_json", "");
    for text in [
        "5",
        "[]",
        "null",
        r#""subscribe""#,
        "{}",
        r#"{"type":5,"channel":"c"}"#,
        r#"{"channel":"c"}"#,
        r#"{"type":"Subscribe","channel":"c"}"#,
        r#"{"type":"request","handler":"x"}"#,
        r#"{"type":"event","channel":"c","data":{}}"#,
        r#"{"type":"publish","channel":"c","data":{}}"#,
    ] {
        refused(text, "unknown_type", "");
    }
    refused(r#"{"id":"r-1","type":"request","handler":"x"}"#, "unknown_type", r#","id":"r-1""#);
    let long = "é".repeat(201);
    for channel in ["", r#","channel":5"#, r#","channel":null"#, r#","channel":"""#] {
        let text = format!(r#"{{"type":"subscribe","id":7{channel}}}"#);
        refused(&text, "invalid_channel", r#","id":7"#);
    }
    for verb in ["subscribe", "unsubscribe"] {
        let text = format!(r#"{{"type":"{verb}","id":7,"channel":"{long}"}}"#);
        refused(&text, "invalid_channel", r#","id":7"#);
    }
    for id in ["null", "1.5", "[]", "{}", "true"] {
        let text = format!(r#"{{"type":"subscribe","channel":"c","id":{id}}}"#);
        refused(&text, "invalid_id", "");
    }
}

#[test]
fn a_channel_may_be_called_anything_of_200_characters() {
    let longest = "é".repeat(200);
    for name in [&*longest, " ", "chat/K7M2QX", "a b\\\"c", "\u{1F600}"] {
        goes(&format!(
            r#"
            A> {{"type":"subscribe","channel":"{name}"}}
            A< {{"status":"subscribed","channel":"{name}"}}
            "#
        ));
    }
}

#[test]
fn channels_that_have_a_name_check_what_is_published_on_them() {
    for (channel, body, result) in [
        ("files", r#"{"file":"a","event":"change"}"#, "0"),
        ("files", r#"{"event":"change"}"#, "file"),
        ("files", r#"{"file":5,"event":"change"}"#, "file"),
        ("files", r#"{"file":"a","event":null}"#, "event"),
        ("diagnostics", r#"{"diagnostics":[]}"#, "0"),
        ("diagnostics", r#"{"diagnostics":{}}"#, "diagnostics"),
        ("ai-response", r#"{"id":"a","chunk":"","index":0,"finished":false}"#, "0"),
        ("ai-response", r#"{"chunk":"","index":0,"finished":false}"#, "id"),
        ("ai-response", r#"{"id":"a","index":0,"finished":false}"#, "chunk"),
        ("ai-response", r#"{"id":"a","chunk":"","index":-1,"finished":false}"#, "index"),
        ("ai-response", r#"{"id":"a","chunk":"","index":1.5,"finished":false}"#, "index"),
        ("ai-response", r#"{"id":"a","chunk":"","index":0,"finished":"no"}"#, "finished"),
        ("search", r#"{"query":"q","count":1,"total":2,"results":[1]}"#, "0"),
        ("search", r#"{"query":[],"count":1,"total":2,"results":[1]}"#, "query"),
        ("search", r#"{"query":"q","total":2,"results":[1]}"#, "count"),
        ("search", r#"{"query":"q","count":1,"total":"2","results":[1]}"#, "total"),
        ("search", r#"{"query":"q","count":1,"total":2,"results":"1"}"#, "results"),
        ("validation", r#"{"result":null}"#, "0"),
        ("validation", r#"{"results":null}"#, "result"),
        ("git", r#"{"type":"commit","message":"m"}"#, "0"),
        ("git", r#"{"message":"m"}"#, "type"),
        ("git", r#"{"type":"commit"}"#, "message"),
        ("mine", r#"{"anything":["goes"]}"#, "0"),
        ("mine", "[]", "an event is a JSON object"),
        ("files", r#""x""#, "an event is a JSON object"),
    ] {
        goes(&format!("{channel}! {body} = {result}"));
    }
    let long = "x".repeat(201);
    goes(&format!("{long}! {{}} = a channel's name is a string of 1 to 200 characters"));
    let limits = Limits { message_bytes: 10, ..Limits::default() };
    check_with(limits, "c! {\"n\":12345} = an event has up to 10 bytes");
}

#[test]
fn limits_are_kept_with_an_error_and_a_flood_is_cut() {
    let limits = Limits { rooms: 1, ..Limits::default() };
    check_with(
        limits,
        r#"
        in events
        A> {"type":"subscribe","channel":"a"}
        A< {"status":"subscribed","channel":"a"}
        A> {"type":"subscribe","channel":"b","id":1}
        A< {"status":"error","code":"too_many_channels","message":"…","id":1}
        A> {"type":"subscribe","channel":"a"}
        A< {"status":"subscribed","channel":"a"}
        A makes the server drain
        B> {"type":"subscribe","channel":"a","id":2}
        B< {"status":"error","code":"draining","message":"…","id":2}
        a! {} = 1
        A< {"type":"event","channel":"a","data":{},"timestamp":"2026-01-01T00:00:00.000Z"}
        "#,
    );
    let limits = Limits { requests_per_s: 1, ..Limits::default() };
    let ask = "A> {\"type\":\"unsubscribe\",\"channel\":\"a\",\"id\":1}\n";
    let limited =
        "A< {\"status\":\"error\",\"code\":\"rate_limited\",\"message\":\"…\",\"id\":1}\n";
    let transcript = [
        "in events\n",
        &ask.repeat(12),
        "A is closed with 4009\n",
        "A< {\"status\":\"unsubscribed\",\"channel\":\"a\",\"id\":1}\n",
        &limited.repeat(10),
    ];
    check_with(limits, &transcript.concat());
    let limits = Limits { message_bytes: 10, ..Limits::default() };
    check_with(limits, "in events\nA> {\"type\":\"x\"}\nA is closed with 1009");
    goes("A> 0x00\nA is closed with 1003");
}
