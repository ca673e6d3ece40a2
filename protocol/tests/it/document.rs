//! docs/PROTOCOL.md is true: every conversation in it happens so, and it shows every message.

use crate::transcript::check;

const DOCUMENT: &str = include_str!("../../../docs/PROTOCOL.md");

fn conversations() -> Vec<&'static str> {
    let parts = DOCUMENT.split("```tidemark\n").skip(1);
    parts.map(|part| part.split("```").next().unwrap_or_default()).collect()
}

#[test]
fn every_conversation_in_the_document_happens() {
    for conversation in conversations() {
        check(conversation);
    }
}

#[test]
fn every_message_is_shown() {
    let all = conversations().concat();
    let requests = "name create join leave chat presence store typing read ping".split(' ');
    for request in requests {
        assert!(all.contains(&format!("> {{\"type\":\"{request}\"")), "no request {request}");
    }
    let sent = "welcome ok error pong created joined left chat presence stored member_joined \
                member_left member_renamed typing read";
    for message in sent.split_whitespace() {
        assert!(all.contains(&format!("< {{\"type\":\"{message}\"")), "no {message}");
    }
}

#[test]
fn every_error_and_every_ending_is_explained() {
    for code in protocol::Ending::ALL.map(|ending| ending.code.to_string()) {
        assert!(DOCUMENT.contains(&format!("\n| {code} |")), "close code {code}");
    }
    let codes = "bad_json bad_message unknown_type not_joined already_joined room_not_found \
                 room_full too_many_rooms too_large rate_limited version_conflict forbidden \
                 not_kept draining";
    for code in codes.split_whitespace() {
        assert!(DOCUMENT.contains(&format!("| `{code}` |")), "error {code}");
    }
}
