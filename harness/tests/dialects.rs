//! Dialect files: what they say, what is refused, and what a frame turns into.

#![expect(clippy::needless_pass_by_value, reason = "literals read better without `&`")]

use harness::dialect::{Decoded, Dialect, EventKind, Unfilled, Verb};
use harness::plan::Vars;
use proptest::prelude::*;
use serde_json::{Value, json};

fn vars(value: Value) -> Vars {
    value.as_object().expect("an object").clone().into_iter().collect()
}

fn native() -> Dialect {
    Dialect::load("native").unwrap_or_else(|problems| panic!("{}", problems.render(false)))
}

fn encoded(dialect: &Dialect, verb: Verb, values: Value) -> Value {
    let text = dialect.encode(verb, &vars(values)).expect("every hole has a value");
    serde_json::from_str(&text).expect("JSON")
}

#[test]
fn the_native_dialect_says_all_that_the_harness_asks() {
    let native = native();
    for verb in Verb::ALL {
        assert_eq!(native.can(*verb), *verb != Verb::Pong, "{verb}");
    }
    assert_eq!(native.acknowledged_by(Verb::Join), Some(EventKind::Entered));
    assert_eq!(native.acknowledged_by(Verb::Say), Some(EventKind::Ok));
    assert_eq!(native.path(&Vars::new()).as_deref(), Ok("/ws"));
    for feature in harness::dialect::FEATURES {
        assert!(native.has(feature), "{feature}");
    }
}

#[test]
fn requests_leave_out_what_nobody_gave() {
    let native = native();
    let join = encoded(&native, Verb::Join, json!({"id": 1, "room": "r"}));
    assert_eq!(join, json!({"type": "join", "id": 1, "room": "r"}));
    let back =
        json!({"id": 1, "room": "r", "membership": "none", "since_epoch": "e", "since_number": 4});
    let since = json!({"epoch": "e", "seq": 4});
    let expected =
        json!({"type": "join", "id": 1, "room": "r", "membership": "none", "since": since});
    assert_eq!(encoded(&native, Verb::Join, back), expected);
    let code = encoded(&native, Verb::Join, json!({"id": 1, "code": "K7M2QX"}));
    assert_eq!(code, json!({"type": "join", "id": 1, "code": "K7M2QX"}));
    assert_eq!(native.encode(Verb::Say, &vars(json!({"id": 1}))), Err(Unfilled("room".into())));
    assert_eq!(native.encode(Verb::Pong, &Vars::new()), Err(Unfilled("pong".into())));
}

#[test]
fn frames_are_read() {
    let native = native();
    let text = r#"{"type":"joined","re":1,"room":"r","epoch":"e1","seq":0,"view":3,"you":"m2",
        "members":[{"member":"m1","username":"a","state":{}},{"member":"m2","username":"b"}],
        "count":2,"storage":{"version":0,"entries":{}},"new":"fields are ignored"}"#;
    let Decoded::Event(event) = native.decode(text) else { panic!("an event") };
    assert_eq!(event.kind, EventKind::Entered);
    let members = json!([{"member": "m1", "who": "a", "state": {}}, {"member": "m2", "who": "b"}]);
    assert_eq!(event.fields["members"], members);
    assert_eq!(event.fields["entries"], json!({}));
    assert_eq!(event.fields.get("recovered"), None);
    assert_eq!(native.decode(r#"{"type":"news"}"#), Decoded::Unknown);
    assert!(matches!(native.decode("{"), Decoded::NotJson(_)));
}

/// Other servers' ways: JSON in texts, words for states, no words for pings, plain text.
#[test]
fn a_dialect_can_be_quite_different() {
    let text = r#"
dialect: odd
connect: { path: "/app/$key?v=7", ready: welcome }
params: { key: app-key }
lacks: [typing]
define:
  channel: presence-$room
send:
  join: { frame: { event: subscribe, data: { channel: $channel, socket: $socket } } }
  typing:
    - given: { on: true }
      frame: { type: typing }
    - given: { on: false }
      frame: { type: stop_typing }
  store:
    frame: { Insert: { key: $key, value: $value } }
    given: { ops: [{ put: { key: $key, value: $value } }] }
  pong: { frame: Pong }
receive:
  - event: welcome
    when: { event: hello, data: { $json: { id: $socket } } }
    remember: [socket]
  - event: ping
    when: Ping
    reply: pong
  - event: typing
    when: { type: partner_typing }
    with: { on: true }
"#;
    let odd = Dialect::parse("odd.yaml", text).unwrap_or_else(|p| panic!("{}", p.render(false)));
    assert_eq!(odd.path(&Vars::new()).as_deref(), Ok("/app/app-key?v=7"));
    let named = odd.clone().with_params(&vars(json!({"key": "other", "none": 1})));
    assert_eq!(named.path(&Vars::new()).as_deref(), Ok("/app/other?v=7"));
    assert!(!odd.can(Verb::Typing), "it says that it lacks it");
    assert!(!odd.has("heartbeat") && !odd.has("recovery"));
    let join = encoded(&odd, Verb::Join, json!({"room": "r", "socket": "1.2"}));
    assert_eq!(join["data"], json!({"channel": "presence-r", "socket": "1.2"}));
    assert_eq!(encoded(&odd, Verb::Typing, json!({"on": false})), json!({"type": "stop_typing"}));
    let ops = json!({"ops": [{"put": {"key": "k", "value": [1]}}]});
    assert_eq!(encoded(&odd, Verb::Store, ops), json!({"Insert": {"key": "k", "value": [1]}}));
    assert_eq!(odd.encode(Verb::Pong, &Vars::new()).as_deref(), Ok("\"Pong\""));
    let Decoded::Event(ping) = odd.decode("\"Ping\"") else { panic!("an event") };
    assert_eq!((ping.kind, ping.means.reply), (EventKind::Ping, Some(Verb::Pong)));
    let Decoded::Event(welcome) = odd.decode(r#"{"event":"hello","data":"{\"id\":\"9.8\"}"}"#)
    else {
        panic!("an event")
    };
    assert_eq!(
        (&welcome.fields["socket"], &welcome.means.remember[0][..]),
        (&json!("9.8"), "socket")
    );
    let Decoded::Event(typing) = odd.decode(r#"{"type":"partner_typing"}"#) else {
        panic!("an event")
    };
    assert_eq!(typing.fields["on"], json!(true));
}

#[test]
fn a_dialect_of_plain_text_needs_nothing_but_a_text() {
    let text = "dialect: plain\nencoding: text\nconnect: { path: /ws/$room }\nsend: { say: { frame: $text } }\n";
    let plain = Dialect::parse("plain.yaml", text).unwrap_or_else(|p| panic!("{p}"));
    assert_eq!(
        plain.encode(Verb::Say, &vars(json!({"text": "a \"b\""}))).as_deref(),
        Ok("a \"b\"")
    );
    assert_eq!(plain.path(&vars(json!({"room": "r"}))).as_deref(), Ok("/ws/r"));
    assert!(!plain.reads());
    assert_eq!(plain.decode("anything"), Decoded::Unknown);
}

#[test]
fn every_mistake_in_a_dialect_is_shown_at_its_word() {
    let text = "
dialect: bad
connect: { path: ws, ready: welcom, introduce: [name] }
send:
  jion: { frame: {} }
  say: { frame: { t: $txt }, ack: ok }
receive:
  - event: message
    when: { a: \"$who-$text\", b: $frm }
    remember: [sender]
  - event: mesage
    when: {}
lacks: [teleport]
";
    let problems = Dialect::parse("bad.yaml", text).expect_err("it is bad");
    let expected = "\
bad.yaml:3:29: no word is called `welcom` here (did you mean `welcome`?)
";
    assert_eq!(problems.lines(), expected);
    let text = text.replace("welcom,", "welcome,");
    let problems = Dialect::parse("bad.yaml", &text).expect_err("it is bad");
    let expected = "\
bad.yaml:3:18: the path `ws` does not begin with `/`
bad.yaml:3:29: nothing in `receive` is the event `welcome`
bad.yaml:3:50: `send` has no `name`
bad.yaml:5:3: no request is called `jion` (did you mean `join`?)
bad.yaml:6:22: nothing fills `$txt` (did you mean `text`?)
bad.yaml:6:35: nothing in `receive` is the event `ok`
bad.yaml:9:17: `$who-$text` has more than one hole (when receiving, a text may have one hole)
bad.yaml:9:33: no hole of an event is called `frm` (an event's holes are a closed list; others must be in `remember`)
bad.yaml:10:16: this event has no `sender` to remember
bad.yaml:11:12: no word is called `mesage` here (did you mean `message`?)
bad.yaml:13:9: nothing that a scenario needs is called `teleport`
";
    assert_eq!(problems.lines(), expected);
}

/// All that is wrong with a dialect, whose file begins with these lines.
fn mistakes(text: &str) -> String {
    let text = format!("dialect: bad\n{text}");
    let problems = Dialect::parse("bad", &text).expect_err("it is bad");
    problems.lines()
}

#[test]
fn what_is_wrong_with_http_is_shown_at_its_word() {
    let text = "connect: { path: /ws, before: [lgin], headers: { X: $tokn } }
http:
  login: { post: /login, json: { user: $mee }, take: { t: $token } }
  none: { json: 1 }
  both: { get: /a, post: /b }
  bodies: { post: /b, json: 1, body: text }
  odd: { post: b, status: 99 }
  read: { get: /a/$nothing, take: $x-$y }
send:
  say: { http: sya }
  join: { frame: { t: $token, p: $user.pass, r: $room }, http: login }
  leave: {}
";
    let expected = "\
bad:2:32: `http` has no request `lgin` (did you mean `login`?)
bad:2:53: nothing fills `$tokn` (did you mean `token`?)
bad:4:40: nothing fills `$mee` (did you mean `me`?)
bad:5:3: `none` needs one of get, post, put, patch, delete
bad:6:3: `both` needs one of get, post, put, patch, delete
bad:7:3: `bodies` has two bodies (keep one of `json`, `form` and `body`)
bad:8:16: `b` is neither a path nor a URL (begin with `/`: it is asked of the target; or with http:// or https://)
bad:8:27: 99 is no HTTP status
bad:9:19: nothing fills `$nothing`
bad:9:35: `$x-$y` has more than one hole (when receiving, a text may have one hole)
bad:11:16: `http` has no request `sya`
bad:12:3: one of `frame`, `frames` and `http` is wanted
bad:13:3: one of `frame`, `frames` and `http` is wanted
";
    assert_eq!(mistakes(text), expected);
}

#[test]
fn what_is_wrong_with_an_event_is_shown_at_its_word() {
    let text = "connect: { path: /ws/$romm, ready: entered }
snapshot: [stored]
send:
  join: { frame: { r: { $matches: x } } }
  store: { frames: text }
receive:
  - when: { a: 1 }
  - event: message
  - event: message
    frames: [{ text: $text }]
  - { event: message, when: 1, frames: [1, 2] }
  - { event: left, when: { l: $who }, own: closed, refuses: jion }
  - { event: left, when: { l: 2 }, refuses: join }
  - { event: error, when: { e: $code }, with: { reason: $why, colour: red } }
  - { event: stored, when: { $list: ops, of: { a: $key }, as: { b: $key }, any: 1 } }
";
    let slip = "bad:13:61: no word is called `jion` here (did you mean `join`?)\n";
    assert!(mistakes(text).contains(slip));
    let expected = "\
bad:2:22: nothing fills `$romm` (did you mean `room`?)
bad:2:36: nothing in `receive` is the event `entered`
bad:5:25: `$matches` is for what comes; nothing fills it
bad:6:20: `frames` are a list of frames, or a `$list` of them
bad:8:13: which event is this? `event`, or `events` for several in one frame
bad:9:5: what is it like? `when`, or `frames` for several frames together
bad:11:16: one frame is a `when`; `frames` are several that are one event
bad:12:29: `when` for one frame, or `frames` for several; not both
bad:13:44: `closed` is the end of a connection, never a message
bad:14:45: only an `error` refuses something
bad:15:57: nothing fills `$why`
bad:15:63: no hole of an event is called `colour` (an event's holes are a closed list; others must be in `remember`)
bad:16:30: `$list: name` wants `of: …` (and `as: …`) beside it, or `any: [{ of, as }]`
";
    assert_eq!(mistakes(&text.replace(", refuses: jion", "")), expected);
}

proptest! {
    #[test]
    fn no_frame_is_too_odd(text in "\\PC{0,40}", json in "[\\[\\]{}\":,a-z0-9]{0,40}") {
        let native = native();
        native.decode(&text);
        native.decode(&json);
    }

    #[test]
    fn no_file_is_too_odd(text in "(dialect|connect|send|path|receive|[:\\-{}\\[\\]$&*!|> \n\t,a]){0,60}") {
        if let Err(problems) = Dialect::parse("odd.yaml", &text) {
            prop_assert!(!problems.is_empty());
            problems.render(true);
        }
    }
}
