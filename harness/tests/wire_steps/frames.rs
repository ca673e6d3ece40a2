//! Frames that are sent and awaited, at the reference server.

use super::runs::{HEAD, run, steps};

/// Two connections that talk below the dialect.
const BARE: &str = "  - as: alice
    open: { bare: true }
  - as: bob
    open: { bare: true }
  - as: alice
    expect: { next: { type: welcome, connection: $connection } }
  - as: alice
    sends: [{ type: name, id: 1, username: $me }, { type: join, id: 2, room: $room }]
  - as: alice
    expect: { frames: [{ type: ok, re: 1 }, { type: joined, re: 2, seq: $seq, you: $you }] }
";

/// Bob comes in, too.
const BOTH: &str = "  - as: bob
    sends: [{ type: name, id: 1, username: $me }, { type: join, id: 2, room: $room }]
  - as: bob
    expect: { frame: { type: joined, re: 2, members: { $has: { member: $alice.you } } } }
";

fn after(head: &[&str], more: &str) -> super::runs::Ran {
    steps(&format!("{}{more}", head.concat()))
}

#[test]
fn what_is_sent_is_answered_and_captured() {
    after(&[BARE, BOTH], "").passed();
    let more = "  - { as: alice, expect: { frame: { type: member_joined, username: $who } } }\n  \
                - { as: bob, same: [$me, $alice.who] }\n";
    after(&[BARE, BOTH], more).passed();
    // A name that has a value must have it in the frame.
    let more = "  - { as: alice, send: { type: ping, id: 3 } }\n  \
                - { as: alice, expect: { frame: { type: pong, re: $seq } }, within: 200ms }\n";
    after(&[BARE], more).failed("reply", r#"expected {"type":"pong","re":0}"#);
    let more = "  - { as: alice, send: { type: ping, id: 3 } }\n  \
                - { as: alice, expect: { frame: { type: pong, re: $bob.id } }, within: 200ms }\n  \
                - { as: bob, expect: { frame: { id: $id } } }\n";
    after(&[BARE], more).failed("reply", "`$bob.id` has no value here");
}

#[test]
fn a_frame_and_its_events_are_taken_together() {
    let room = "  - { as: [A], open: {} }
  - { as: [A], join: $room }
";
    let both = [room.replace("[A]", "alice"), room.replace("[A]", "bob")].concat();
    let more = |more: &str| steps(&format!("{both}{more}"));
    // The frame is taken with its event, and the event with its frame.
    more(
        "  - { as: alice, expect: { joined: bob } }\n  \
         - { as: alice, expect_none: { frame: { type: member_joined } } }\n",
    )
    .passed();
    more(
        "  - { as: alice, expect: { frame: { type: member_joined } } }\n  \
         - { as: alice, expect_none: { of: [joined] } }\n",
    )
    .passed();
    more("  - { as: alice, expect_none: { frame: { type: member_joined } } }\n")
        .failed("leak", "must not come; this came: {\"type\":\"member_joined\"");
    // The answers that the harness itself waited for are not the next frame, but can be looked at.
    more("  - { as: alice, expect: { next: { type: member_joined } } }\n").passed();
    more("  - { as: alice, expect: { frame: { type: joined, members: { $length: 1 } } } }\n")
        .passed();
    more("  - { as: alice, drain: {} }\n  - { as: alice, expect_none: { of: [joined], frame: $_ } }\n")
        .passed();
}

#[test]
fn what_is_ignored_is_never_next() {
    let more = "  - { as: alice, sends: [{ type: ping, id: 7 }, { type: nonsense, id: 8 }] }
  - { as: alice, expect: { next: { type: error, re: 8 } }, within: 50s }
";
    let whole = format!("{HEAD}ignore: [{{ type: pong, re: $_ }}]\nsteps:\n{BARE}{more}");
    run(&whole, &[]).passed();
    after(&[BARE], more).failed("reply", "the next frame is {\"type\":\"pong\"");
}

#[test]
fn texts_bytes_and_fragments_go_both_ways() {
    let echo = |more: &str| {
        steps(&format!("  - {{ as: crowd, open: {{ path: /echo, bare: true }} }}\n{more}"))
    };
    echo(
        "  - { as: crowd, send_text: '{\"no json $index' }\n  \
         - { as: crowd, expect: { next: '{\"no json $index' } }\n  \
         - { as: crowd, frame: { opcode: binary, payload: { hex: '00 FF' } } }\n  \
         - { as: crowd, expect: { next: { $binary: '00 ff' } } }\n  \
         - { as: crowd, send_text: { text: ab, times: 40000 } }\n  \
         - { as: crowd, expect: { frame: { $length: 80000 } } }\n",
    )
    .passed();
    echo(
        "  - { as: crowd, frame: { opcode: binary, payload: a } }\n  \
         - { as: crowd, expect: { next: { $binary: '62' } }, within: 50s }\n",
    )
    .failed("reply", "the next frame is (binary: a)");
    echo(
        "  - { as: crowd, frames: [{ opcode: text, payload: he, fin: false }, { opcode: ping, \
         payload: p }, { opcode: continuation, payload: llo }] }\n  \
         - { as: crowd, expect: { frame: hello, pong: p } }\n",
    )
    .passed();
    // One frame in three writes, a pong of the harness's own never between them.
    echo(
        "  - { as: crowd, bytes: { hex: '81 85 00' } }\n  - { wait: 50ms }\n  \
         - { as: crowd, bytes: [{ hex: '00 00 00' }, he] }\n  - { wait: 50ms }\n  \
         - { as: crowd, bytes: llo }\n  - { as: crowd, expect: { frame: hello } }\n",
    )
    .passed();
}

#[test]
fn what_breaks_the_protocol_is_answered_with_its_code() {
    let broken = |send: &str, code: &str| {
        after(
            &[BARE],
            &format!(
                "  - {{ as: alice, {send} }}\n  - as: alice\n    expect: {{ closed: {{ code: \
                 {code}, by: server, clean: true, end: fin }} }}\n"
            ),
        )
    };
    broken("frame: { opcode: text, payload: { hex: ff } }", "1007").passed();
    broken("frame: { opcode: text, payload: x, masked: false }", "1002").passed();
    broken("frame: { opcode: text, payload: x, rsv: 4 }", "1002").passed();
    broken("frame: { opcode: 3 }", "1002").passed();
    broken("frame: { opcode: close, payload: { hex: '03' } }", "1002").passed();
    broken("frame: { opcode: text, payload: { hex: ff } }", "1002")
        .failed("close", "closed with 1007");
    let ran = broken("frame: { opcode: close, code: 3000 }", "3000");
    ran.failed("close", "the client itself closed the connection");
    let close = "  - { as: alice, frame: { opcode: close, code: 3000 } }\n  \
                 - { as: alice, expect: { closed: { code: 3000, by: client, end: fin } } }\n";
    after(&[BARE], close).passed();
    let sent = "  - { as: alice, send: { type: ping, id: 3 } }\n";
    after(&[BARE, close], sent).failed("close", "cannot send: there is no connection (closed with");
}

#[test]
fn the_checks_leave_such_scenarios_to_their_steps_unless_they_are_asked() {
    let talk =
        "  - { as: bob, send: { type: chat, id: 9, room: $room, text: nobody told the books } }
  - { as: alice, expect: { frame: { type: chat, text: nobody told the books } } }
  - { as: alice, send: { type: chat, id: 9, room: nowhere-$run, text: x } }
  - { as: alice, expect: { frame: { type: error, re: 9 } } }
";
    after(&[BARE, BOTH], talk).passed();
    let asked = format!("{HEAD}checks: {{ delivery: exactly-once }}\nsteps:\n{BARE}{BOTH}{talk}");
    let ran = run(&asked, &[]);
    assert_eq!(ran.code, Some(1), "{}", ran.said);
    ran.found("delivery", "phantom");
}

#[test]
fn a_round_begins_without_what_the_last_one_captured() {
    let rounds = |pattern: &str, within: &str| {
        let more = format!(
            "  - repeat:\n      times: 3\n      steps:\n        \
             - {{ as: alice, send: {{ type: chat, id: $round, room: $room, text: round $round }} }}\n        \
             - {{ as: alice, expect: {{ frame: {{ type: chat, text: round $round, seq: {pattern} }} }}, within: {within} }}\n"
        );
        after(&[BARE], &more)
    };
    rounds("$number", "50s").passed();
    // What was captured before stays.
    rounds("$seq", "300ms").failed("reply", r#""text":"round 0","seq":0"#);
}
