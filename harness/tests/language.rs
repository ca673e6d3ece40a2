//! What the language refuses, and what it says about it: each mistake at its word.

use std::sync::Arc;

use harness::plan::Source;
use harness::scenario::{Problems, Scenario};
use proptest::prelude::*;

/// Clients and steps that are right, for cases that are wrong elsewhere.
const HEAD: &str = "scenario: t\nclients: { alice: {}, bob: {} }\n";

fn problems(text: &str) -> Result<Scenario, Problems> {
    Scenario::parse(Source { name: "t.yaml".into(), text: Arc::from(text) })
}

/// The problems of a file, a line each: `line:column: message (help)`.
fn check(text: &str, expected: &[&str]) {
    let found = match problems(text) {
        Ok(_) => String::new(),
        Err(problems) => problems.lines().replace("t.yaml:", ""),
    };
    let expected: String = expected.iter().map(|line| format!("{line}\n")).collect();
    assert_eq!(found, expected, "\n{text}");
}

/// The same for a step of `alice`, on line 4 from column 5 on.
fn step(step: &str, expected: &[&str]) {
    check(&format!("{HEAD}steps:\n  - {{ as: alice, {step} }}\n"), expected);
}

/// A step of `alice`, and what is said about it.
const STEPS: &[(&str, &[&str])] = &[
    ("jion: lobby", &["4:18: no key is called `jion` here (did you mean `join`?)"]),
    ("join: { rom: lobby }", &["4:26: no key is called `rom` here (did you mean `room`?)"]),
    ("join: {}", &["4:24: which room? `join` needs `room` or `code`"]),
    ("join: { room: a, code: b }", &["4:41: `room` or `code`, not both"]),
    ("join: { code: b, since: last }", &["4:32: `since` works with `room`, not with `code`"]),
    ("join: [a]", &["4:24: a list is here; a room, or a mapping is wanted"]),
    (
        "join: a, say: b",
        &[
            "4:32: two actions in one step: `join` and `say` (begin a new step (`- `) for each action)",
        ],
    ),
    (
        "say: hi, within: 5 parsecs",
        &["4:35: `5 parsecs` is not a duration (write it like 250ms, 30s or 1m30s)"],
    ),
    ("wait: soon", &["4:24: `soon` is not a duration (write it like 250ms, 30s or 1m30s)"]),
    (
        "wait: $heart.every",
        &["4:24: `$heart.every` is not a time (write it like 1s or $heartbeat.timeout + 2s)"],
    ),
    (
        "say: { size: 4 bananas }",
        &["4:31: `4 bananas` is not a size (write it like 128B, 4KiB or 1MiB)"],
    ),
    ("say: { size: 8B }", &["4:31: a stamp alone needs 64 bytes"]),
    (
        "say: { text: a, size: 1KiB }",
        &[
            "4:40: a fixed `text` has its own size (without `text`, a stamped text of this size is said)",
        ],
    ),
    ("say: $nme", &["4:23: no variable is called `nme` (did you mean `me`?)"]),
    (
        "say: hi, every: 5/s",
        &["4:34: `every` works only inside a phase (put the step into a `phase`'s `run`)"],
    ),
    (
        "expect: { message: { txt: hi } }",
        &["4:39: no event has a field `txt` (did you mean `text`?)"],
    ),
    ("expect: { joined: bbo }", &["4:36: no client is called `bbo` (did you mean `bob`?)"]),
    ("expect: { mesage: hi }", &["4:28: no key is called `mesage` here (did you mean `message`?)"]),
    ("expect: {}", &["4:26: this expects nothing (e.g. `expect: { joined: bob }`)"]),
    (
        "expect: { joined: bob, count: 0 }",
        &["4:48: nothing is waited for (use `expect_none: { of: [...] }`)"],
    ),
    (
        "expect_none: { of: [messag] }",
        &["4:38: no word is called `messag` here (did you mean `message`?)"],
    ),
    ("expect_none: { of: [] }", &["4:33: none of what? (e.g. `expect_none: { of: [message] }`)"]),
    ("pongs: off", &["4:25: the text `off` is here; true or false is wanted"]),
    ("pongs: yes", &["4:25: the text `yes` is here; true or false is wanted"]),
    (
        "reconnect: { rejoin: maybe }",
        &["4:39: the text `maybe` is here; true, false or since is wanted"],
    ),
    (
        "reconnect: { after: 1 }",
        &["4:38: `1` is not a duration (write it like 250ms, 30s or 1m30s)"],
    ),
    ("open: { headers: 5 }", &["4:35: the number 5 is here; a mapping (`key: value`) is wanted"]),
    ("repeat: { steps: [] }", &["4:28: how often? `repeat` needs `times` or `for`"]),
    ("repeat: { times: 0, steps: [] }", &["4:35: `times` is between 1 and 10000000"]),
    ("settle: 8d", &["4:26: `8d` is longer than a week (is the unit right?)"]),
    ("say: $host.code", &["4:23: no client is called `host`"]),
    (
        "join: { code: $bob.code }",
        &["4:32: no step of `bob` saves `code` (e.g. `as: bob`, `create: { save: code }`)"],
    ),
    ("say: $n", &["4:23: `$n` counts the actions of an `every`; there is none here"]),
    ("say: $shard(rooms)", &["4:23: no variable is called `rooms`"]),
    ("say: $shard", &["4:23: `$shard` wants the name of a number: `$shard(rooms)`"]),
    ("presence: away", &["4:28: a presence is a mapping (e.g. `presence: { status: away }`)"]),
    ("store: {}", &["4:25: this stores nothing (e.g. `store: { put: { key: value } }`)"]),
    ("create: { save: cod }", &["4:34: no event has a field `cod` (did you mean `code`?)"]),
    (
        "close: { code: 70000 }",
        &["4:33: the number 70000 is here; a number from 0 to 65535 is wanted"],
    ),
    ("wait: 1s, refused: no", &["4:37: a server cannot refuse `wait`"]),
    (
        "phase: { name: p, for: 1s, run: [] }",
        &["4:27: nothing happens in this phase (it needs a time (`for`) and steps (`run`))"],
    ),
    (
        "phase: { name: p, for: 1s, run: [{ say: hi }] }",
        &["4:58: how often? a step of a phase needs an `every` (e.g. `every: 100/s`)"],
    ),
    (
        "phase: { name: p, for: 1s, run: [{ every: 0/s, say: hi }] }",
        &["4:60: at this rate nothing ever happens"],
    ),
    (
        "phase: { name: p, for: 1s, run: [{ every: fast, say: hi }] }",
        &["4:60: `fast` is not a rate (write it like 500/s or 30/min)"],
    ),
    (
        "phase: { name: p, for: 1s, run: [{ every: 1/s, drop: {} }] }",
        &["4:71: `drop` cannot be repeated at a rate (a phase repeats what is sent to the server)"],
    ),
    (
        "each: [{ settle: 1s }]",
        &["4:35: `settle` is for the whole run (take it out of the `each`)"],
    ),
    ("expect: { members: [alice, carol] }", &["4:45: no client is called `carol`"]),
    (
        "expect: { closed: { by: me } }",
        &["4:42: no word is called `me` here (there are server, client, anyone)"],
    ),
    (
        "expect: { message: { from: bob } }, within: '$heartbeat.timeout *'",
        &[
            "4:62: `$heartbeat.timeout *` is not a time (write it like 1s or $heartbeat.timeout + 2s)",
        ],
    ),
    ("open: {}, within: 1s, note: [x]", &["4:46: a list is here; a text is wanted"]),
    ("as: bob, open: {}", &["4:18: `as` is here twice"]),
    ("say: { text: hi, room: $rooom }", &["4:41: no variable is called `rooom`"]),
    (
        "expect: { typing: { who: bob, on: maybe, form: x } }",
        &["4:59: no event has a field `form` (did you mean `from`?)"],
    ),
    ("leave: {}", &["4:25: `room` is missing"]),
    ("store: { put: { $key: 1 } }", &["4:34: no variable is called `key`"]),
    ("name: [a]", &["4:24: a list is here; a text is wanted"]),
    (
        "create: { capacity: many }",
        &["4:38: the text `many` is here; a whole number, not below zero is wanted"],
    ),
    ("read: { nmber: 4 }", &["4:26: no key is called `nmber` here (did you mean `number`?)"]),
    ("typing: perhaps", &["4:26: the text `perhaps` is here; true, false or a mapping is wanted"]),
    (
        "reconnect: { backof: 1s }",
        &["4:31: no key is called `backof` here (did you mean `backoff`?)"],
    ),
    ("close: { cod: 1 }", &["4:27: no key is called `cod` here (did you mean `code`?)"]),
    ("phase: { for: 1s, run: [] }", &["4:27: `name` is missing"]),
    (
        "repeat: { times: 2, steps: [{ say: hi, oops: 1 }] }",
        &[
            "4:57: no key is called `oops` here (there are as, note, class, within, every, refused, needs, answer, open, close, drop, reconnect, pongs, reads, name, create, join, leave, say, typing, presence, store, read, send, sends, send_text, frame, frames, bytes, half_close, handshake, http, expect, expect_none, drain, same, differ, ordered, equal, distinct, stop_server, kill_server, start_server, expect_exit, wait, repeat, together, each, phase, settle, network)",
        ],
    ),
    ("together: [{ as: eve, open: {} }]", &["4:35: no client is called `eve`"]),
    ("presence: { a: $b }", &["4:33: no variable is called `b`"]),
    (
        "expect: { closed: { not_before: later } }",
        &["4:50: `later` is not a duration (write it like 250ms, 30s or 1m30s)"],
    ),
    ("expect: { joined: bob, save: { x: nonsense } }", &["4:52: no event has a field `nonsense`"]),
];

#[test]
fn a_step_is_refused_at_the_word_that_is_wrong() {
    for (text, expected) in STEPS {
        step(text, expected);
    }
}

/// A file, and what is said about it.
const FILES: &[(&str, &[&str])] = &[
    ("", &["1:1: `scenario` is missing"]),
    ("[]", &["1:1: a list is here; a mapping (`key: value`) is wanted"]),
    ("scenario: t\n", &["1:1: `clients` is missing"]),
    (
        "scenario: t\nclients: {}\nsteps: []\n",
        &["1:11: the scenario has no clients", "1:11: the scenario has no steps"],
    ),
    ("scenario: t\nscenario: u\nclients: { a: }\nsteps: []\n", &["2:1: `scenario` is here twice"]),
    (
        "scenario: a b\nclients: { a: }\nsteps: [{ as: a, open: {} }]\n",
        &[
            "1:11: `a b` cannot be a scenario's name (it names files, too: use letters, digits, `-`, `_` and `.`)",
        ],
    ),
    (
        "scenario: t\nclients:\n\ta: {}\nsteps: []\n",
        &[
            "3:1: a tab in the indentation; YAML indents with spaces (replace the tab with two spaces)",
        ],
    ),
    (
        "scenario: t\nclients: { a: \nsteps: []\n",
        &["3:6: this is not YAML: while parsing a flow mapping, did not find expected ',' or '}'"],
    ),
    (
        "scenario: t\nclients: { a: }\nsteps:\n  - as: a\n    join: { room: ${room} }\n",
        &[
            "5:20: this is not YAML: while parsing a flow mapping, did not find expected ',' or '}' (a variable is written `$name`, without braces)",
        ],
    ),
    (
        "scenario: t\nclients: { a: }\nsteps:\n  - as: a\n    join: {{ room }}\n",
        &[
            "5:12: this is not YAML: expected string scalar (a variable is written `$name`, without braces)",
        ],
    ),
    (
        "scenario: t\nclients: { a: { clients: 0 } }\nsteps: [{ as: a, open: {} }]\n",
        &["2:26: `a` has zero clients (leave the group out, or give it one)"],
    ),
    (
        "scenario: t\nclients: { a: { clients: -1, ramp: 0/s } }\nsteps: [{ as: a, open: {} }]\n",
        &["2:26: the number -1 is here; a whole number, not below zero is wanted"],
    ),
    (
        "scenario: t\nclients: { a: { clients: 2000000, ramp: 0/s } }\nsteps: [{ as: a, open: {} }]\n",
        &[
            "2:26: more than a million clients (no single machine has that many ports)",
            "2:41: at this rate nobody ever starts",
        ],
    ),
    (
        "scenario: t\nclients: { a: }\nsteps: [{ as: a, open: {} }]\nthresholds: { deliver.latncy: { p99: <50ms }, deliver.latency: { p98: <5ms, p99: at least 5/s, max: soon } }\n",
        &[
            "4:15: no metric is called `deliver.latncy` (did you mean `deliver.latency`?)",
            "4:66: no value of a metric is called `p98` (did you mean `p90`?)",
            "4:82: `at least 5/s` is no limit for p99 of `deliver.latency` (write a time, such as <50ms)",
            "4:101: `soon` is not a limit (write it like <50ms, 0, at most 1% or at least 1000/s)",
        ],
    ),
    (
        "scenario: t\nclients: { a: }\nsteps: [{ as: a, open: {} }]\nthresholds:\n  deliver.rate:\n    mean: >=1000/s\n    p99: <50ms\n",
        &[
            r#"6:11: this is not YAML: while scanning a block scalar, did not find expected comment or line break (write `at least 1000/s` or `more than 1000/s`, or quote it: ">=1000/s")"#,
        ],
    ),
    (
        "scenario: t\nclients: { a: }\nsteps: [{ as: a, open: {} }]\nthresholds: { deliver.rate: { mean: >1000/s } }\n",
        &[
            r#"4:37: this is not YAML: unexpected character: `>' (write `at least 1000/s` or `more than 1000/s`, or quote it: ">=1000/s")"#,
        ],
    ),
    (
        "scenario: t\nclients: { a: }\nneeds: [tpying]\nsteps: [{ as: a, open: {} }]\nchecks: { delivery: exactly-onc }\n",
        &[
            "3:9: nothing that a server can do is called `tpying` (did you mean `typing`?)",
            "5:21: no word is called `exactly-onc` here (did you mean `exactly-once`?)",
        ],
    ),
    (
        "scenario: t\nclients: { a: }\nsteps: [{ as: a, open: {} }]\nchecks: { presence: on, echo: twice }\n",
        &[
            "4:21: the text `on` is here; `off`, or a mapping such as `{ within: 2s }` is wanted",
            "4:31: no word is called `twice` here (there are once, never, apart, any)",
        ],
    ),
    (
        "scenario: t\nclients: { a: }\nsteps: [{ as: a, open: {} }]\nserver: { heartbeat: 600ms/200ms }\n",
        &[
            "4:22: the timeout of a heartbeat is not shorter than its interval, nor is that zero (write it like 200ms/600ms)",
        ],
    ),
    (
        "scenario: t\nvars: { x: $y, y: $x, me: z, w: $q }\nclients: { a: }\nsteps: [{ as: a, open: {} }]\n",
        &[
            "2:9: `x` needs itself",
            "2:16: `y` needs itself",
            "2:23: `me` is a name that every client has (give the variable another name)",
            "2:33: no variable is called `q` (did you mean `w`?)",
        ],
    ),
    (
        "scenario: t\nvars: { x: $a.code }\nclients: { a: }\nsteps: [{ as: a, open: {} }]\n",
        &["2:12: `$a.code` is known only while the scenario runs (use it in the step itself)"],
    ),
    (
        "scenario: t\nclients: { a: }\nsteps: [{ open: {} }]\n",
        &["3:17: who does this? `open` needs an `as` (e.g. `as: alice`)"],
    ),
    (
        "scenario: t\nclients: { 1a: }\nsteps: [{ wait: 1s }]\n",
        &[
            "2:12: `1a` cannot be a group's name (begin with a letter; go on with letters, digits, `-` and `_`)",
        ],
    ),
    (
        "scenario: t\nclients: { a: }\nsteps: [{ as: a, opn: {} }, { as: b, open: {} }, { as: a, say: hi, within: x }]\nthresholds: { open.fialed: { count: 0 } }\n",
        &[
            "3:18: no key is called `opn` here (did you mean `open`?)",
            "3:35: no client is called `b` (did you mean `a`?)",
            "3:76: `x` is not a duration (write it like 250ms, 30s or 1m30s)",
            "4:15: no metric is called `open.fialed` (did you mean `open.failed`?)",
        ],
    ),
    (
        "scenario: t\nclients: { a: }\nsteps: [{ wait: 1s }]\n---\nscenario: u\n",
        &["5:1: one file holds one document, without `---`"],
    ),
    (
        "scenario: t\nclients: { a: }\nsteps: [{ as: a, phase: { name: p, for: 1s, run: [{ as: a, every: 1/s, say: hi, bogus: 1 }] } }]\n",
        &[
            "3:81: no key is called `bogus` here (there are as, note, class, within, every, refused, needs, answer, open, close, drop, reconnect, pongs, reads, name, create, join, leave, say, typing, presence, store, read, send, sends, send_text, frame, frames, bytes, half_close, handshake, http, expect, expect_none, drain, same, differ, ordered, equal, distinct, stop_server, kill_server, start_server, expect_exit, wait, repeat, together, each, phase, settle, network)",
        ],
    ),
    (
        "scenario: t\nseed: -1\nclients: { a: }\nsteps: [{ wait: 1s }]\n",
        &["2:7: the number -1 is here; a whole number, not below zero is wanted"],
    ),
    (
        "a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d]\nf: [*e,*e,*e,*e,*e,*e,*e,*e,*e]\n",
        &["6:5: the file unfolds to more than a scenario can need"],
    ),
    (
        "scenario: t\nclients: { a: }\nsteps: [[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]\n",
        &["3:55: the file unfolds to more than a scenario can need"],
    ),
    (
        "scenario: t\nclients: &c { a: *c }\nsteps: []\n",
        &["2:18: this is not YAML: recursive references require weak recursion types"],
    ),
    ("\u{0}", &[r#"1:1: this is not YAML: unexpected character: `\u{0}'"#]),
    (
        "scenario: \"t\nclients: {}\n",
        &["2:1: this is not YAML: invalid indentation in multiline quoted scalar"],
    ),
    (
        "%YAML 9\n---\na: b\n",
        &[
            "1:1: this is not YAML: while scanning a YAML directive, did not find expected digit or '.' character",
        ],
    ),
    ("just text", &["1:1: the text `just text` is here; a mapping (`key: value`) is wanted"]),
];

#[test]
fn a_file_is_refused_with_all_its_mistakes() {
    for (text, expected) in FILES {
        check(text, expected);
    }
}

#[test]
fn a_file_that_cannot_be_one_is_refused_unread() {
    let huge = format!("scenario: t\n# {}\n", "x".repeat(1 << 20));
    let shown = problems(&huge).expect_err("it is too large").lines();
    let fact = "the file has 1048591 bytes; the limit is 1 MiB (is this the right file?)";
    assert!(shown == format!("t.yaml: {fact}\n"), "another message");
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("latin.yaml");
    std::fs::write(&path, b"scenario: t\nabout: caf\xe9\n").expect("it can be written");
    let load = |path: &std::path::Path| {
        Scenario::load(&path.display().to_string()).expect_err("it is refused").lines()
    };
    let shown = load(&path);
    let fact = "latin.yaml: line 2 is not UTF-8 (byte 22 of the file) (save the file as UTF-8)\n";
    assert!(shown.ends_with(fact), "{shown}");
    std::fs::write(&path, &huge).expect("it can be written");
    assert!(load(&path).contains("the file is larger than 1 MiB"));
    assert!(load(directory.path()).contains("is a directory"));
    let unknown = Scenario::load("brodcast").expect_err("no such scenario").lines();
    let expected = "brodcast: no scenario is called `brodcast`, and no file either (did you mean \
                    `broadcast`?)\n";
    assert_eq!(unknown, expected);
}

#[test]
fn a_problem_is_drawn_with_its_excerpt() {
    let text = format!("{HEAD}steps:\n  - as: alcie\n    join: lobby\n");
    let problems = problems(&text).expect_err("nobody is called so");
    let expected = "  x no client is called `alcie`
   ,-[t.yaml:4:9]
 3 | steps:
 4 |   - as: alcie
   :         ^^^^^
 5 |     join: lobby
   `----
  help: did you mean `alice`?

";
    assert_eq!(problems.render(false), expected);
    assert!(problems.render(true).contains('╭'));
}

/// Words of the language in any order: what a slip of the keys makes of a file.
fn jumble() -> impl Strategy<Value = String> {
    let word = "(scenario|clients|steps|checks|thresholds|as|join|say|expect|within|vars|every|phase|\
                run|for|together|p99|<5ms|\\$run|\\$a\\.b|\\$shard\\(|alice|lobby|1s|5/s|[:\\-,{}\\[\\]&*!|>'\"#?%\n\t ]| {2,6})";
    prop::collection::vec(word, 0..60).prop_map(|words| words.concat())
}

proptest! {
    #[test]
    fn no_text_is_too_odd(text in prop_oneof![jumble(), "\\PC{0,80}"]) {
        if let Err(problems) = problems(&text) {
            prop_assert!(!problems.is_empty());
            problems.render(true);
            problems.lines();
        }
    }

    /// A scenario that is right, with some bytes of it changed.
    #[test]
    fn no_slip_is_too_odd(
        which in 0..9_usize,
        at in any::<prop::sample::Index>(),
        len in 0..6_usize,
        other in "[a-z:{}\\[\\]\n\t $0-9-]{0,6}",
    ) {
        let shipped = harness::scenario::files::shipped_scenarios();
        let mut chars: Vec<char> = shipped.get(which).expect("nine of them").text.chars().collect();
        let start = at.index(chars.len());
        let end = (start + len).min(chars.len());
        chars.splice(start..end, other.chars());
        let text: String = chars.into_iter().collect();
        if let Err(problems) = problems(&text) {
            prop_assert!(!problems.is_empty());
            problems.render(true);
        }
    }
}
