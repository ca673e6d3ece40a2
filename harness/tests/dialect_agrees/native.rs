//! The native dialect file and the server's own code say the same: two readings of one protocol,
//! held against each other over random histories.

use std::sync::Arc;
use std::time::Duration;

use harness::dialect::{Decoded, Dialect, Event, EventKind, Verb};
use harness::plan::Vars;
use proptest::prelude::*;
use protocol::native::Session;
use protocol::{ConnId, Flow, Ids, Limits, LocalWorld, Now, Reason, World};
use serde_json::{Value, json};

const CLIENTS: u64 = 3;

/// A type on the wire, its event, and for each hole the place of its value in the frame.
type Meaning = (&'static str, EventKind, &'static [(&'static str, &'static str)]);

/// For each type on the wire: the event that it is, and where each hole's value stands.
const MEANINGS: &[Meaning] = &[
    (
        "welcome",
        EventKind::Welcome,
        &[
            ("connection", "/connection"),
            ("username", "/username"),
            ("heartbeat_interval_ms", "/heartbeat/interval_ms"),
            ("heartbeat_timeout_ms", "/heartbeat/timeout_ms"),
        ],
    ),
    (
        "ok",
        EventKind::Ok,
        &[("re", "/re"), ("room", "/room"), ("number", "/seq"), ("version", "/version")],
    ),
    (
        "error",
        EventKind::Error,
        &[("re", "/re"), ("code", "/code"), ("reason", "/message"), ("room", "/room")],
    ),
    ("created", EventKind::Created, &[("re", "/re"), ("code", "/code"), ("room", "/room")]),
    (
        "joined",
        EventKind::Entered,
        &[
            ("re", "/re"),
            ("room", "/room"),
            ("epoch", "/epoch"),
            ("number", "/seq"),
            ("view", "/view"),
            ("you", "/you"),
            ("count", "/count"),
            ("version", "/storage/version"),
            ("entries", "/storage/entries"),
            ("recovered", "/recovered"),
        ],
    ),
    ("left", EventKind::Exited, &[("re", "/re"), ("room", "/room")]),
    (
        "chat",
        EventKind::Message,
        &[
            ("room", "/room"),
            ("number", "/seq"),
            ("member", "/member"),
            ("who", "/username"),
            ("text", "/text"),
            ("at", "/at"),
        ],
    ),
    (
        "presence",
        EventKind::Presence,
        &[
            ("room", "/room"),
            ("number", "/seq"),
            ("member", "/member"),
            ("state", "/state"),
            ("at", "/at"),
        ],
    ),
    (
        "stored",
        EventKind::Stored,
        &[
            ("room", "/room"),
            ("number", "/seq"),
            ("version", "/version"),
            ("member", "/member"),
            ("ops", "/ops"),
        ],
    ),
    ("typing", EventKind::Typing, &[("room", "/room"), ("member", "/member"), ("on", "/on")]),
    ("read", EventKind::Read, &[("room", "/room"), ("member", "/member"), ("number", "/seq")]),
    (
        "member_joined",
        EventKind::Joined,
        &[("room", "/room"), ("view", "/view"), ("member", "/member"), ("who", "/username")],
    ),
    (
        "member_left",
        EventKind::Left,
        &[("room", "/room"), ("view", "/view"), ("member", "/member"), ("reason", "/reason")],
    ),
    (
        "member_renamed",
        EventKind::Renamed,
        &[("room", "/room"), ("view", "/view"), ("member", "/member"), ("username", "/username")],
    ),
    ("pong", EventKind::Pong, &[("re", "/re")]),
];

/// What a frame must be decoded to.
fn meaning(frame: &Value) -> Event {
    let kind = frame["type"].as_str().expect("a type");
    let (_, kind, holes) =
        MEANINGS.iter().find(|(name, ..)| *name == kind).unwrap_or_else(|| panic!("{frame}"));
    let value = |(hole, pointer): &(&str, &str)| {
        frame.pointer(pointer).map(|value| ((*hole).to_owned(), value.clone()))
    };
    let mut fields: Vars = holes.iter().filter_map(value).collect();
    if let Some(members) = frame["members"].as_array() {
        let person = |member: &Value| {
            json!({
                "member": member["member"], "who": member["username"], "state": member["state"],
            })
        };
        // A member list without states has none to bind.
        let mut list: Vec<Value> = members.iter().map(person).collect();
        for person in list.iter_mut().filter_map(Value::as_object_mut) {
            person.retain(|_, value| !value.is_null());
        }
        fields.insert("members".into(), Value::Array(list));
    }
    Event { kind: *kind, fields, means: Arc::default() }
}

#[derive(Clone, Debug)]
enum Step {
    Ask(u64, Verb, Value),
    /// Joins with the epoch and number of the client's last visit.
    Since(u64, String),
    JoinByCode(u64),
    Cut(u64),
    Wait(u64),
}

fn room() -> impl Strategy<Value = String> {
    prop_oneof![Just("red".to_owned()), Just("blue".to_owned())]
}

fn ask() -> impl Strategy<Value = (Verb, Value)> {
    let text = "\\PC{0,12}";
    let ops = prop::collection::vec(
        prop_oneof![
            ("[ab]", any::<i16>()).prop_map(|(k, v)| json!({"put": {"key": k, "value": v}})),
            "[ab]".prop_map(|k| json!({"delete": {"key": k}})),
        ],
        1..3,
    );
    prop_oneof![
        "[a-z]{1,8}".prop_map(|name| (Verb::Name, json!({"username": name}))),
        (1..4u16).prop_map(|n| (Verb::Create, json!({"capacity": n}))),
        Just((Verb::Create, json!({}))),
        room().prop_map(|room| (Verb::Join, json!({"room": room}))),
        room().prop_map(|room| (Verb::Join, json!({"room": room, "membership": "full"}))),
        room().prop_map(|room| (Verb::Join, json!({"room": room, "membership": "none"}))),
        room().prop_map(|room| (Verb::Leave, json!({"room": room}))),
        (room(), text).prop_map(|(room, text)| (Verb::Say, json!({"room": room, "text": text}))),
        (room(), any::<u8>())
            .prop_map(|(room, n)| (Verb::Presence, json!({"room": room, "patch": {"n": n}}))),
        (room(), ops, prop::option::of(0..3u8)).prop_map(|(room, ops, version)| {
            let mut args = json!({"room": room, "ops": ops});
            if let Some(version) = version {
                args["if_version"] = json!(version);
            }
            (Verb::Store, args)
        }),
        (room(), any::<bool>())
            .prop_map(|(room, on)| (Verb::Typing, json!({"room": room, "on": on}))),
        room().prop_map(|room| (Verb::Read, json!({"room": room, "number": 0}))),
        Just((Verb::Ping, json!({}))),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        20 => (0..CLIENTS, ask()).prop_map(|(client, (verb, args))| Step::Ask(client, verb, args)),
        3 => (0..CLIENTS, room()).prop_map(|(client, room)| Step::Since(client, room)),
        2 => (0..CLIENTS).prop_map(Step::JoinByCode),
        1 => (0..CLIENTS).prop_map(Step::Cut),
        2 => (1..8u64).prop_map(Step::Wait),
    ]
}

struct Bench {
    dialect: Dialect,
    world: LocalWorld,
    sessions: Vec<Option<Session<ConnId>>>,
    clock: Duration,
    next_id: u64,
    /// The last epoch and number of each room, and the last code: what a client would remember.
    epochs: Vec<(String, Value, Value)>,
    code: Option<Value>,
}

impl Bench {
    fn new() -> Self {
        let world = LocalWorld::new(Limits::default(), Ids::new([7; 32]));
        let dialect = Dialect::load("native").unwrap_or_else(|problems| panic!("{problems}"));
        let sessions = (0..CLIENTS).map(|_| None).collect();
        let clock = Duration::ZERO;
        let mut bench =
            Self { dialect, world, sessions, clock, next_id: 0, epochs: Vec::new(), code: None };
        (0..CLIENTS).for_each(|client| bench.open(client));
        bench
    }

    fn now(&self) -> Now {
        Now::after_start(self.clock, Duration::from_secs(1_767_225_600))
    }

    fn open(&mut self, client: u64) {
        let id = self.world.with_ids(Ids::connection);
        let session = Session::open(self.now(), id, ConnId(client), &self.world);
        self.sessions[client as usize] = Some(session);
        let heard = self.heard();
        assert_eq!(heard.len(), 1);
        assert_eq!(heard[0].1.kind, self.dialect.connect.ready.expect("it greets"));
    }

    /// What every client has been told since, decoded, each held against its frame.
    fn heard(&mut self) -> Vec<(u64, Event)> {
        let mut heard = Vec::new();
        for client in 0..CLIENTS {
            for frame in self.world.take(ConnId(client)) {
                let text = frame.as_text();
                let value: Value = serde_json::from_str(text).expect("the server sends JSON");
                let expected = meaning(&value);
                assert_eq!(self.dialect.decode(text), Decoded::Event(expected.clone()), "{text}");
                heard.push((client, expected));
            }
        }
        heard
    }

    fn run(&mut self, step: &Step) {
        match step {
            Step::Ask(client, verb, args) => self.ask(*client, *verb, args),
            Step::Since(client, room) => {
                let known = self.epochs.iter().rev().find(|(name, ..)| name == room).cloned();
                if let Some((_, epoch, number)) = known {
                    let args = json!({"room": room, "since_epoch": epoch, "since_number": number});
                    self.ask(*client, Verb::Join, &args);
                }
            }
            Step::JoinByCode(client) => {
                if let Some(code) = self.code.clone() {
                    self.ask(*client, Verb::Join, &json!({ "code": code }));
                }
            }
            Step::Cut(client) => {
                let now = self.now();
                if let Some(mut session) = self.sessions[*client as usize].take() {
                    session.end(now, Reason::Closed, &self.world);
                }
                self.heard();
                self.open(*client);
            }
            Step::Wait(seconds) => {
                self.clock += Duration::from_secs(*seconds);
                while let Some(name) = self.world.due(self.now().time) {
                    protocol::tick_room(self.now(), &name, &self.world);
                }
                self.heard();
            }
        }
    }

    fn ask(&mut self, client: u64, verb: Verb, args: &Value) {
        self.next_id += 1;
        let id = json!(self.next_id);
        let mut vars: Vars = args.as_object().expect("an object").clone().into_iter().collect();
        vars.insert("id".into(), id.clone());
        vars.insert("me".into(), json!("somebody"));
        let text = self.dialect.encode(verb, &vars).expect("every hole has a value");
        let now = self.now();
        let session = self.sessions[client as usize].as_mut().expect("it is open");
        assert_eq!(session.received(now, &text, &self.world), Flow::Continue, "{text}");
        let mut answers = Vec::new();
        for (hearer, event) in self.heard() {
            if event.kind == EventKind::Entered {
                let room = event.fields["room"].as_str().expect("a text").to_owned();
                let (epoch, number) =
                    (event.fields["epoch"].clone(), event.fields["number"].clone());
                self.epochs.push((room, epoch, number));
            }
            if event.kind == EventKind::Created {
                self.code = event.fields.get("code").cloned();
            }
            if hearer == client && event.fields.get("re") == Some(&id) {
                answers.push(event);
            }
        }
        assert_eq!(answers.len(), 1, "{text} is answered once");
        let answer = &answers[0];
        if answer.kind == EventKind::Error {
            let code = answer.fields["code"].as_str().expect("a text");
            let malformed = ["bad_json", "bad_message", "unknown_type"];
            assert!(!malformed.contains(&code), "{text} is not understood: {code}");
        } else {
            assert_eq!(Some(answer.kind), self.dialect.acknowledged_by(verb), "{text}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn the_dialect_file_and_the_server_mean_the_same(
        steps in prop::collection::vec(step(), 1..80),
    ) {
        let mut bench = Bench::new();
        for step in &steps {
            bench.run(step);
        }
    }
}

/// Every verb and every event is met: the histories above would not notice one that never comes.
#[test]
fn nothing_is_left_out_of_the_comparison() {
    let mut bench = Bench::new();
    let native = bench.dialect.clone();
    for kind in EventKind::ALL {
        let known = MEANINGS.iter().any(|(_, event, _)| event == kind);
        assert_eq!(native.tells(*kind), known, "{kind}");
    }
    bench.ask(0, Verb::Join, &json!({"room": "red"}));
    bench.ask(1, Verb::Join, &json!({"room": "red"}));
    bench.ask(0, Verb::Name, &json!({"username": "ann"}));
    bench.ask(0, Verb::Say, &json!({"room": "red", "text": "hi"}));
    bench.ask(0, Verb::Presence, &json!({"room": "red", "patch": {"a": 1}}));
    bench.ask(0, Verb::Store, &json!({"room": "red", "ops": [{"put": {"key": "k", "value": 1}}]}));
    bench.ask(0, Verb::Typing, &json!({"room": "red", "on": true}));
    bench.ask(1, Verb::Read, &json!({"room": "red", "number": 1}));
    bench.ask(1, Verb::Leave, &json!({"room": "red"}));
    let since = json!({"room": "red", "since_epoch": bench.epochs[0].1, "since_number": 0});
    bench.ask(1, Verb::Join, &since);
    bench.ask(0, Verb::Ping, &json!({}));
    bench.ask(2, Verb::Create, &json!({}));
    bench.run(&Step::JoinByCode(1));
}
