//! What the language refuses of steps below the dialect, of patterns, and of what a conformance case
//! says of itself: each mistake at its word.

use std::sync::Arc;

use harness::plan::Source;
use harness::scenario::Scenario;

/// The problems of a file, a line each: `line:column: message (help)`.
fn check(text: &str, expected: &[&str]) {
    let source = Source { name: "t.yaml".into(), text: Arc::from(text) };
    let found = match Scenario::parse(source) {
        Ok(_) => String::new(),
        Err(problems) => problems.lines().replace("t.yaml:", ""),
    };
    let expected: String = expected.iter().map(|line| format!("{line}\n")).collect();
    assert_eq!(found, expected, "\n{text}");
}

/// The same for a step of `alice`, on line 4 from column 5 on.
fn step(step: &str, expected: &[&str]) {
    let head = "scenario: t\nclients: { alice: {}, bob: {} }\n";
    check(&format!("{head}steps:\n  - {{ as: alice, {step} }}\n"), expected);
}

/// The same for a head, on line 2.
fn head(head: &str, expected: &[&str]) {
    check(&format!("scenario: t\n{head}\nclients: {{ a: }}\nsteps: [{{ wait: 1s }}]\n"), expected);
}

/// Steps that are right.
const RIGHT: &[&str] = &[
    "send: { type: join, room: $run }",
    "send: [1, two, null]",
    "sends: [{ a: 1 }, two]",
    "send: { t: { $size: 70KiB }, d: { $json: { a: $me } } }",
    "send_text: '{\"no json'",
    "send_text: { text: '[', times: 5000 }",
    "send_text: [{ text: '{\"a\":\"' }, { size: 1KiB }, '\"}']",
    "frame: { opcode: ping }",
    "frame: { opcode: 11, payload: { hex: 'ff 00' }, fin: false, rsv: 7, masked: false, length: 70KiB }",
    "frame: { opcode: close, code: 1000, reason: bye }",
    "frame: { opcode: close, payload: { hex: '03' } }",
    "frames: [{ opcode: text, fin: false }, { opcode: continuation }]",
    "bytes: { hex: '81 05' }",
    "half_close: {}",
    "handshake: {}",
    "handshake: { method: POST, path: /x, without: [Upgrade], headers: { A: b, C: [d, e] } }, answer: { status: [400, 4xx, none] }",
    "handshake: { raw: \"GET / HTTP/0.9\\r\\n\\r\\n\" }, answer: { headers: { X: $x, Y: { $absent: true } } }",
    "http: { get: /a }, answer: { status: 2xx, body: $all, json: { a: $b } }",
    "http: { post: $me, form: { a: $me } }",
    "http: { request: publish, with: { a: $me, b: { $now: s, plus: -5 } }, headers: { A: b } }",
    "send: { a: { $hmac_sha256: { key: k, text: $me, prefix: 'k:' } }, b: { $md5: { $json: [1] } } }",
    "expect: { frame: { a: { $md5: $me }, b: $b } }",
    "http: { put: 'http://h/p', body: { size: 1KiB }, headers: { A: b } }",
    "expect: { frame: { a: $new, b: { $matches: '[0-9]+$' }, c?: $_ } }",
    "expect: { frame: $new, count: 3 }",
    "expect: { frames: [1, $x] }",
    "expect: { next: { $one_of: [1, { $not: 2 }] } }",
    "expect: { pong: '' }",
    "expect: { closed: { code: [1002, none], by: client, clean: true, end: rst, not_after: 2s } }",
    "expect_none: { frame: { a: 1 }, of: [message], for: 1s }",
    "expect_none: { frames: [1, 2] }",
    "drain: {}",
    "same: [$me, $run]",
    "differ: [1, 2, 3]",
    "ordered: [1, $index]",
    "equal: me",
    "distinct: $me",
    "open: { bare: true, path: /x-$me }",
    "repeat: { times: 2, steps: [{ send: $round }] }",
];

#[test]
fn what_is_right_is_taken() {
    RIGHT.iter().for_each(|right| step(right, &[]));
}

/// A step of `alice`, and what is said about it.
const STEPS: &[(&str, &[&str])] = &[
    ("send: { room: $rooom }", &["4:32: no variable is called `rooom`"]),
    (
        "send: { key: src/$run.ts }",
        &[
            "4:35: `$run` is no mapping: it has no `ts` inside (a dot behind a name takes a part of \
           its value; for a dot itself use a variable: `vars: { end: .ts }`, `$run$end`)",
        ],
    ),
    ("send: { $room: 1 }", &["4:26: no variable is called `room`"]),
    ("send: { $any: true }", &["4:26: `$any` is for patterns; there is nothing to compare here"]),
    (
        "send: { t: { $size: many } }",
        &["4:38: `many` is not a size (write it like 128B, 4KiB or 1MiB)"],
    ),
    ("send: { $json: 1, b: 2 }", &["4:26: `$json` stands alone in its mapping"]),
    ("sends: []", &["4:25: nothing is sent"]),
    ("sends: { a: 1 }", &["4:27: a mapping is here; a list is wanted"]),
    ("send_text: { txt: a }", &["4:31: no key is called `txt` here (did you mean `text`?)"]),
    (
        "send_text: { text: a, size: 1KiB }",
        &[r#"4:31: one of `text`, `hex` and `size` is wanted (e.g. `{ hex: "81 05" }`)"#],
    ),
    (
        "send_text: { times: 3 }",
        &[r#"4:31: one of `text`, `hex` and `size` is wanted (e.g. `{ hex: "81 05" }`)"#],
    ),
    ("send_text: $nobody", &["4:29: no variable is called `nobody`"]),
    (
        "send_text: [a, { hex: 8 }]",
        &[r#"4:40: `8` is not bytes in hexadecimal (write it like "81 05" or "8105")"#],
    ),
    (
        "send_text: { size: 1MiB, times: 65 }",
        &["4:31: more than 64 MiB (no message is that large)"],
    ),
    ("frame: { payload: x }", &["4:27: `opcode` is missing"]),
    (
        "frame: { opcode: pinng }",
        &[
            "4:35: `pinng` is not an opcode (write it like continuation, text, binary, close, ping, pong, or a number from 0 to 15)",
        ],
    ),
    (
        "frame: { opcode: 16 }",
        &[
            "4:35: `16` is not an opcode (write it like continuation, text, binary, close, ping, pong, or a number from 0 to 15)",
        ],
    ),
    (
        "frame: { opcode: ping, rsv: 8 }",
        &["4:46: there are three reserved bits (a number from 0 to 7)"],
    ),
    (
        "frame: { opcode: ping, code: 1000 }",
        &["4:47: only a Close frame has a `code` (say `opcode: close`)"],
    ),
    (
        "frame: { opcode: close, reason: bye }",
        &[
            "4:50: a `reason` stands behind a `code` (for other content of a Close frame use `payload`)",
        ],
    ),
    (
        "frame: { opcode: close, code: 1000, payload: bye }",
        &["4:63: `payload` or `code`, not both (behind a `code` stands a `reason`)"],
    ),
    ("frame: { opcode: ping, payload: $nobody }", &["4:50: no variable is called `nobody`"]),
    (
        "frame: { opcode: ping, masked: maybe }",
        &["4:49: the text `maybe` is here; true or false is wanted"],
    ),
    ("frames: []", &["4:26: nothing is sent"]),
    (
        "bytes: { hex: '8' }",
        &[r#"4:32: `8` is not bytes in hexadecimal (write it like "81 05" or "8105")"#],
    ),
    (
        "bytes: { hex: 'xy' }",
        &[r#"4:32: `xy` is not bytes in hexadecimal (write it like "81 05" or "8105")"#],
    ),
    ("half_close: now", &["4:30: the text `now` is here; a mapping (`key: value`) is wanted"]),
    (
        "handshake: { raw: x, path: /y }",
        &["4:36: `raw` is the whole request (leave out the other keys, or `raw`)"],
    ),
    (
        "handshake: { withot: [Upgrade] }",
        &["4:31: no key is called `withot` here (did you mean `without`?)"],
    ),
    ("handshake: { path: /$nobody }", &["4:38: no variable is called `nobody`"]),
    (
        "handshake: {}, answer: { status: 40 }",
        &["4:51: `40` is not a status (write it like 404, 4xx, or none (no answer at all))"],
    ),
    ("handshake: {}, answer: { status: [] }", &["4:43: no status is right"]),
    (
        "handshake: {}, answer: { sttus: 404 }",
        &["4:43: no key is called `sttus` here (did you mean `status`?)"],
    ),
    (
        "send: 1, answer: { status: 404 }",
        &["4:37: nothing here has an `answer` (`handshake` and `http` have one)"],
    ),
    ("http: {}", &["4:24: which request? (e.g. `http: { get: /health }`)"]),
    ("http: { get: x }", &["4:31: the path `x` does not begin with `/`"]),
    ("http: { get: /a, post: /b }", &["4:41: one request a step"]),
    (
        "http: { post: /a, json: 1, body: b }",
        &["4:51: `json`, `form` or `body`: a request has one"],
    ),
    (
        "http: { request: publish, get: /x }",
        &[
            "4:49: `publish` is the whole request (beside `request` there can be `with` and `headers`)",
        ],
    ),
    (
        "http: { get: /x, with: { a: 1 } }",
        &[
            "4:43: `with` is for a `request` of the dialect (e.g. `http: { request: publish, with: { event: news } }`)",
        ],
    ),
    ("http: { request: a, with: { b: $nobody } }", &["4:49: no variable is called `nobody`"]),
    ("send: { a: { $now: h } }", &["4:31: `$now` wants `s` or `ms`"]),
    ("send: { a: { $md5: 5, b: 1 } }", &["4:26: `b` does not stand beside `$md5`"]),
    ("send: { a: { $md5: $nobody } }", &["4:37: no variable is called `nobody`"]),
    (
        "expect: { frame: { a: { $hmac_sha256: { key: k } } } }",
        &["4:42: `$hmac_sha256` wants `key` and `text`, and perhaps a `prefix`"],
    ),
    ("expect: { frame: { a: { $md5: $nobody } } }", &["4:48: no variable is called `nobody`"]),
    ("http: { post: /a, json: { a: $nobody } }", &["4:47: no variable is called `nobody`"]),
    (
        "http: { get: /a }, answer: { json: { a: { $matches: '(' } } }",
        &["4:55: `(`: found open group without closing ')'"],
    ),
    (
        "expect: { frame: { a: { $mtches: x } } }",
        &["4:42: no operation is called `$mtches` (did you mean `$matches`?)"],
    ),
    (
        "expect: { frame: { a: $bob.id } }",
        &["4:40: no step of `bob` saves `id` (e.g. `as: bob`, `create: { save: id }`)"],
    ),
    ("expect: { frame: { $nobody: 1 } }", &["4:37: no variable is called `nobody`"]),
    ("expect: { frame: { a: { $above: $nobody } } }", &["4:50: no variable is called `nobody`"]),
    (
        "expect: { frame: 1, next: 2 }",
        &[
            "4:44: `frame`, `frames` or `next`: one of them in a step (begin a new step (`- `) for each)",
        ],
    ),
    (
        "expect: { frames: [] }",
        &["4:36: this expects no frame (e.g. `expect: { frames: [first, second] }`)"],
    ),
    ("expect: { frames: 1 }", &["4:36: the number 1 is here; a list is wanted"]),
    (
        "expect: { frame: { a: 1, a?: 2 } }",
        &["4:37: the key `a` stands here twice, with `?` and without; keep one"],
    ),
    ("expect: { pong: $nobody }", &["4:34: no variable is called `nobody`"]),
    (
        "expect: { closed: { code: soon } }",
        &[
            "4:44: `soon` is not a close code (write it like 1002, or none (a Close frame without one))",
        ],
    ),
    (
        "expect: { closed: { code: 70000 } }",
        &[
            "4:44: `70000` is not a close code (write it like 1002, or none (a Close frame without one))",
        ],
    ),
    (
        "expect: { closed: { end: nicely } }",
        &["4:43: no word is called `nicely` here (there are fin, rst, any)"],
    ),
    (
        "expect: { closed: { not_after: later } }",
        &["4:49: `later` is not a duration (write it like 250ms, 30s or 1m30s)"],
    ),
    ("expect_none: {}", &["4:31: none of what? (e.g. `expect_none: { of: [message] }`)"]),
    ("expect_none: { frame: { $list: 5 } }", &["4:42: `$list` wants the name of a hole"]),
    ("same: [1]", &["4:24: one value alone cannot be compared (e.g. `same: [$before, $after]`)"]),
    ("same: 1", &["4:24: the number 1 is here; a list is wanted"]),
    ("differ: [$nobody, 1]", &["4:27: no variable is called `nobody`"]),
    ("equal: nobody", &["4:25: no variable is called `nobody`"]),
    (
        "each: [{ distinct: me }]",
        &["4:37: this compares the members of a group (take it out of the `each`)"],
    ),
    (
        "stop_server: {}",
        &[
            "4:31: `stop_server` works only on the run's own server (say `own_server: true` at the top of the file)",
        ],
    ),
    (
        "each: [{ stop_server: {} }]",
        &[
            "4:40: `stop_server` is for the whole run (take it out of the `each`)",
            "4:40: `stop_server` works only on the run's own server (say `own_server: true` at the top of the file)",
        ],
    ),
    ("expect_exit: zero", &["4:31: the text `zero` is here; a whole number is wanted"]),
    ("send: $round", &["4:24: `$round` counts the rounds of a `repeat`; there is none here"]),
    ("open: { bare: perhaps }", &["4:32: the text `perhaps` is here; true or false is wanted"]),
    (
        "expect: { frame: { a: { $is: $bob.x } } }",
        &["4:47: no step of `bob` saves `x` (e.g. `as: bob`, `create: { save: x }`)"],
    ),
];

#[test]
fn a_step_is_refused_at_the_word_that_is_wrong() {
    for (text, expected) in STEPS {
        step(text, expected);
    }
}

/// The head of a file, and what is said about it.
const HEADS: &[(&str, &[&str])] = &[
    ("requires: [ROOM 4]", &["2:12: `ROOM 4` is no requirement's id (e.g. `ROOM-4`)"]),
    ("requires: ROOM-4", &["2:11: the text `ROOM-4` is here; a list is wanted"]),
    (
        "options: { second_join: [] }",
        &["2:25: no value of `second_join` is right (leave the option out, or name a value)"],
    ),
    ("options: [a]", &["2:10: a list is here; a mapping (`key: value`) is wanted"]),
    ("traffic: { deliveries: 0 }", &["2:24: a minimum of zero asks for nothing"]),
    (
        "traffic: { delivries: 5 }",
        &["2:12: no key is called `delivries` here (did you mean `deliveries`?)"],
    ),
    ("ignore: [{ $any: 5 }]", &["2:12: write `$any: true`"]),
    ("ignore: Ping", &["2:9: the text `Ping` is here; a list is wanted"]),
    ("alone: maybe", &["2:8: the text `maybe` is here; true or false is wanted"]),
    (
        "server: { args: [--data, $scrach] }",
        &[
            "2:26: nothing fills `$scrach` in an argument (there are `$scratch` (a directory that goes with the run) and `$run`)",
        ],
    ),
    ("requires: [ROOM-4, COM-10]", &[]),
    ("options: { a: b, c: [d, 5, true] }", &[]),
    ("traffic: { deliveries: 1, frames: 2, events: 3 }", &[]),
    ("traffic: { faults: 1/1000 }", &[]),
    (
        "traffic: { faults: 2/1000 }",
        &["2:20: `2/1000` is not one of so many (write it like 1/1000)"],
    ),
    ("ignore: [\"Ping\", { a: $x }]", &[]),
    ("own_server: true\nserver: { args: [--data, $scratch/x, --name, $run] }", &[]),
    ("alone: true", &[]),
    ("class: auth", &[]),
    ("class: author", &["2:8: no finding is of the class `author` (did you mean `auth`?)"]),
    (
        "refusal: [{ as: a, opn: {} }]",
        &["2:20: no key is called `opn` here (did you mean `open`?)"],
    ),
    ("refusal: [{ as: a, send: 1 }]", &[]),
];

#[test]
fn a_head_is_refused_at_the_word_that_is_wrong() {
    for (text, expected) in HEADS {
        head(text, expected);
    }
}

#[test]
fn a_dialect_reads_with_operations_and_cannot_send_them() {
    let dialect = |send: &str| {
        let text = format!(
            "dialect: d\nconnect: {{ path: / }}\nsend: {{ say: {{ frame: {{ t: $text, x: {send} }} }} }}\n\
             receive:\n  - event: message\n    when: {{ text: $text, kind: {{ $one_of: [a, b] }}, re: {{ $absent: true }} }}\n"
        );
        harness::dialect::Dialect::parse("d.yaml", &text)
    };
    let read = dialect("5").unwrap_or_else(|problems| panic!("{problems}"));
    let is_message = |text: &str| matches!(read.decode(text), harness::dialect::Decoded::Event(_));
    assert!(is_message(r#"{"text":"hi","kind":"a"}"#));
    assert!(!is_message(r#"{"text":"hi","kind":"c"}"#));
    assert!(!is_message(r#"{"text":"hi","kind":"a","re":1}"#));
    let problems = dialect("{ $any: true }").expect_err("it cannot be sent").lines();
    assert_eq!(problems, "d.yaml:3:40: `$any` is for what comes; nothing fills it\n");
}
