//! `events`: channels that only the server speaks on, and is asked to by HTTP.

use harness::dialect::{EventKind, Verb};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::seed::{Bench, CLIENTS, Told, assert_read, of};

#[derive(Clone, Debug)]
enum Step {
    Join(usize, String),
    Leave(usize, String),
    Say(String, String),
    /// Something else that the server tells.
    Tell(String, Value),
    Cut(usize),
}

fn channel() -> impl Strategy<Value = String> {
    prop_oneof!["[xy]", Just("a/b?c d".to_owned()), Just("grüße".to_owned())]
}

fn step() -> impl Strategy<Value = Step> {
    let who = 0..CLIENTS;
    prop_oneof![
        4 => (who.clone(), channel()).prop_map(|(who, room)| Step::Join(who, room)),
        2 => (who.clone(), channel()).prop_map(|(who, room)| Step::Leave(who, room)),
        6 => (channel(), "\\PC{0,12}").prop_map(|(room, text)| Step::Say(room, text)),
        2 => (channel(), any::<u8>()).prop_map(|(room, n)| Step::Tell(room, json!({ "n": n }))),
        1 => who.prop_map(Step::Cut),
    ]
}

fn assert_meant(told: &Told) {
    let status = told.frame["status"].as_str();
    let room = ("room", "/channel");
    match (status, &told.frame["data"]["text"]) {
        (Some("connected"), _) => assert_read(told, &[("connection", "/connectionId")]),
        (Some("subscribed" | "unsubscribed"), _) => assert_read(told, &[room, ("re", "/id")]),
        (Some("error"), _) => {
            assert_read(told, &[("code", "/code"), ("reason", "/message"), ("re", "/id")]);
        }
        (_, Value::Null) => {
            assert_eq!(told.event.kind, EventKind::Other);
            assert_read(told, &[room, ("at", "/timestamp")]);
        }
        _ => {
            assert_eq!(told.event.kind, EventKind::Message);
            assert_read(told, &[room, ("text", "/data/text"), ("at", "/timestamp")]);
        }
    }
}

struct Model {
    bench: Bench,
    rooms: Vec<Vec<String>>,
}

impl Model {
    fn new() -> Self {
        let mut bench = Bench::new(protocol::Dialect::Events);
        for client in 0..CLIENTS {
            let greeted = bench.open(client, None);
            assert_eq!(greeted.len(), 1);
            assert_eq!(Some(greeted[0].event.kind), bench.file.connect.ready);
        }
        Self { bench, rooms: vec![Vec::new(); CLIENTS] }
    }

    fn members(&self, room: &String) -> Vec<usize> {
        (0..CLIENTS).filter(|client| self.rooms[*client].contains(room)).collect()
    }

    fn ask(&mut self, who: usize, verb: Verb, room: &str) {
        let (id, told) = self.bench.ask(who, verb, &json!({ "room": room }));
        assert_eq!(told.len(), 1, "{verb} is answered once, to nobody else");
        let answer = &told[0];
        assert_eq!(
            (answer.client, Some(answer.event.kind)),
            (who, self.bench.file.acknowledged_by(verb))
        );
        assert_eq!(
            (answer.field("room"), answer.field("re")),
            (json!(room), json!(id.to_string()))
        );
        assert_meant(answer);
    }

    /// What everybody is told when this is published.
    fn publish(&mut self, room: &str, body: &str) -> Vec<Told> {
        let now = self.bench.now();
        let sent = protocol::events::publish(now, room, body, &self.bench.world);
        assert!(sent.is_ok(), "{body}");
        let told = self.bench.told();
        told.iter().for_each(assert_meant);
        let hearers: Vec<usize> = told.iter().map(|told| told.client).collect();
        assert_eq!(hearers, self.members(&room.to_owned()));
        told
    }

    fn run(&mut self, step: &Step) {
        match step {
            Step::Join(who, room) => {
                self.ask(*who, Verb::Join, room);
                self.rooms[*who].retain(|known| known != room);
                self.rooms[*who].push(room.clone());
            }
            Step::Leave(who, room) => {
                self.ask(*who, Verb::Leave, room);
                self.rooms[*who].retain(|known| known != room);
            }
            Step::Say(room, text) => {
                let args = json!({ "room": room, "text": text });
                let (_, request) = self.bench.request(Verb::Say, &args);
                let http = request.http.expect("it is said by HTTP");
                let (method, to) = (http.method, http.to.as_str());
                let (base, channel) = to.rsplit_once('/').expect("a path");
                assert_eq!((method, base), ("POST", "/publish"));
                assert_eq!(decoded(channel), *room);
                let told = self.publish(room, &http.body.expect("a body"));
                let heard = of(&told, EventKind::Message);
                assert_eq!(heard.len(), told.len());
                assert!(heard.iter().all(|told| told.field("text") == json!(text)));
            }
            Step::Tell(room, data) => {
                self.publish(room, &data.to_string());
            }
            Step::Cut(who) => {
                assert!(self.bench.cut(*who).is_empty(), "nobody is told");
                self.rooms[*who].clear();
                self.bench.open(*who, None).iter().for_each(assert_meant);
            }
        }
    }
}

/// A segment of a path without its percent signs.
fn decoded(segment: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = segment;
    while let Some((plain, after)) = rest.split_once('%') {
        bytes.extend(plain.bytes());
        bytes.push(u8::from_str_radix(&after[..2], 16).expect("two digits"));
        rest = &after[2..];
    }
    bytes.extend(rest.bytes());
    String::from_utf8(bytes).expect("UTF-8")
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn the_dialect_file_and_the_server_mean_the_same(
        steps in prop::collection::vec(step(), 1..60),
    ) {
        let mut model = Model::new();
        for step in &steps {
            model.run(step);
        }
    }
}

/// The six named channels check what is said there: nothing of ours can be said on them.
#[test]
fn what_the_server_tells_itself_is_known_too() {
    let mut model = Model::new();
    model.run(&Step::Join(0, "git".to_owned()));
    let told = model.publish("git", r#"{"type":"commit","message":"m"}"#);
    assert_eq!(told[0].event.kind, EventKind::Other);
}
