//! `pusher`, and `pusher-presence`: what the files sign the server takes, what the server says they read.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use harness::dialect::{Decoded, EventKind, Exchange, Return, Verb};
use harness::plan::Vars;
use proptest::prelude::*;
use protocol::pusher::{self, App};
use serde_json::{Value, json};

use super::seed::{Bench, CLIENTS, Told, of};

#[derive(Clone, Debug)]
enum Step {
    Join(usize, String, Way),
    Leave(usize, String),
    Say(usize, String, String),
    Publish(usize, String, String),
    Typing(usize, String, bool),
    /// Something that is nobody's words.
    Tell(String, Value),
    Ping(usize),
    Cut(usize),
}

/// Who signs for a channel.
#[derive(Clone, Copy, Debug)]
enum Way {
    Local,
    Fetch,
}

fn step() -> impl Strategy<Value = Step> {
    let who = || 0..CLIENTS;
    let room = || "[ab=@,.;_]{1,2}";
    let text = || "\\PC{0,12}";
    let way = prop_oneof![Just(Way::Local), Just(Way::Fetch)];
    prop_oneof![
        5 => (who(), room(), way).prop_map(|(who, room, way)| Step::Join(who, room, way)),
        2 => (who(), room()).prop_map(|(who, room)| Step::Leave(who, room)),
        5 => (who(), room(), text()).prop_map(|(who, room, text)| Step::Say(who, room, text)),
        5 => (who(), room(), text()).prop_map(|(who, room, text)| Step::Publish(who, room, text)),
        1 => (who(), room(), any::<bool>()).prop_map(|(who, room, on)| Step::Typing(who, room, on)),
        1 => (room(), any::<u8>()).prop_map(|(room, n)| Step::Tell(room, json!(n.to_string()))),
        1 => who().prop_map(Step::Ping),
        1 => who().prop_map(Step::Cut),
    ]
}

struct Model {
    bench: Bench,
    app: Arc<App>,
    /// Whether members are told of each other.
    presence: bool,
    socket_ids: Vec<String>,
    rooms: Vec<Vec<String>>,
}

impl Model {
    fn new(presence: bool) -> Self {
        let file = if presence { "pusher-presence" } else { "pusher" };
        let bench = Bench::of(protocol::Dialect::Pusher, file);
        let app = Arc::new(App::default());
        let nobody = vec![String::new(); CLIENTS];
        let rooms = vec![Vec::new(); CLIENTS];
        let mut model = Self { bench, app, presence, socket_ids: nobody, rooms };
        (0..CLIENTS).for_each(|who| model.open(who));
        model
    }

    fn open(&mut self, who: usize) {
        let key = self.bench.file.params["key"].as_str().expect("a text").to_owned();
        let told = self.bench.open(who, Some(&key));
        assert_eq!(told.len(), 1);
        assert_eq!(Some(told[0].event.kind), self.bench.file.connect.ready);
        let socket_id = told[0].field("socket_id");
        assert_eq!(told[0].field("connection"), socket_id);
        assert_eq!(told[0].event.means.remember, ["socket_id"]);
        socket_id.as_str().expect("a text").clone_into(&mut self.socket_ids[who]);
    }

    fn name(who: usize) -> String {
        format!("user-{who}")
    }

    fn members(&self, room: &str) -> Vec<usize> {
        (0..CLIENTS).filter(|who| self.rooms[*who].iter().any(|known| known == room)).collect()
    }

    /// The values that every request of a client is made of, and these.
    fn vars(&self, who: usize, more: &Value) -> Value {
        let mut vars = json!({ "me": Self::name(who), "socket_id": self.socket_ids[who] });
        let all = vars.as_object_mut().expect("a mapping");
        all.extend(more.as_object().expect("a mapping").clone());
        vars
    }

    fn exchange(&self, name: &str, who: usize, more: &Value) -> Exchange {
        let vars = self.vars(who, more);
        let vars: Vars = vars.as_object().expect("a mapping").clone().into_iter().collect();
        self.bench.file.exchange(name, &vars).expect("every hole has a value")
    }

    /// Whether the server takes what the file has signed; the query, decoded.
    fn verified(&self, exchange: &Exchange) -> Result<Vec<(String, String)>, u16> {
        let (path, query) = exchange.to.split_once('?').expect("a query");
        let query: Vec<(String, String)> =
            url::form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        let body = exchange.body.as_deref().unwrap_or_default().as_bytes();
        let unix = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970");
        let app = &self.app;
        pusher::api::verify(app, exchange.method, path, &query, body, unix)
            .map(|()| query)
            .map_err(|refused| refused.status)
    }

    fn run(&mut self, step: &Step) {
        match step {
            Step::Join(who, room, way) => self.join(*who, room, *way),
            Step::Leave(who, room) => self.leave(*who, room),
            Step::Say(who, room, text) => {
                let told = self.say(*who, room, Verb::Say, &json!({ "text": text }));
                self.heard(&told, *who, room, EventKind::Message, ("text", json!(text)));
            }
            Step::Typing(who, room, on) => {
                let told = self.say(*who, room, Verb::Typing, &json!({ "on": on }));
                self.heard(&told, *who, room, EventKind::Typing, ("on", json!(on)));
            }
            Step::Publish(who, room, text) => self.publish(*who, room, text),
            Step::Tell(room, data) => {
                let kind = self.bench.file.params["kind"].as_str().expect("a text");
                let body =
                    json!({ "name": "news", "channel": format!("{kind}-{room}"), "data": data });
                let told = self.deliver(&body.to_string());
                let hearers: Vec<usize> = told.iter().map(|told| told.client).collect();
                assert_eq!(hearers, self.members(room));
                assert!(told.iter().all(|told| told.event.kind == EventKind::Other));
            }
            Step::Ping(who) => {
                let (_, told) = self.bench.ask(*who, Verb::Ping, &json!({}));
                assert_eq!((told.len(), told[0].client), (1, *who));
                assert_eq!(told[0].event.kind, EventKind::Pong);
            }
            Step::Cut(who) => {
                let told = self.bench.cut(*who);
                let rooms = std::mem::take(&mut self.rooms[*who]);
                let others = rooms.iter().map(|room| self.members(room).len()).sum::<usize>();
                assert_eq!(told.len(), if self.presence { others } else { 0 });
                assert!(told.iter().all(|told| told.event.kind == EventKind::Left));
                self.open(*who);
            }
        }
    }

    fn join(&mut self, who: usize, room: &str, way: Way) {
        let mut args = self.vars(who, &json!({ "room": room }));
        if let Way::Fetch = way {
            let exchange = self.exchange("auth", who, &args);
            assert_eq!((exchange.method, &*exchange.to), ("POST", "/broadcasting/auth"));
            let body = exchange.body.clone().expect("a form");
            let fields = pusher::backend::Fields::form(body.as_bytes());
            let answer = pusher::backend::channel(&self.app, &fields).expect("it is signed");
            let taken = exchange.read(200, &[], &answer).expect("an answer as it must be");
            args["authorized"] = json!("fetch");
            args.as_object_mut().expect("a mapping").extend(taken);
        }
        let again = self.rooms[who].iter().any(|known| known == room);
        if !again {
            self.rooms[who].push(room.to_owned());
        }
        let (_, told) = self.bench.ask(who, Verb::Join, &args);
        let entered = of(&told, EventKind::Entered);
        assert_eq!((entered.len(), entered[0].client), (1, who), "{told:?}");
        assert_eq!(entered[0].field("room"), json!(room));
        let others = self.members(room).len() - 1;
        assert_eq!(told.len() - 1, if self.presence && !again { others } else { 0 });
        let joined = of(&told, EventKind::Joined);
        assert!(joined.iter().all(|told| told.field("who") == json!(Self::name(who))));
        if self.presence {
            assert_eq!(joined.len(), told.len() - 1);
            let listed = entered[0].field("members");
            let listed = listed.as_array().expect("a list").iter();
            let mut listed: Vec<String> = listed.map(|it| it["who"].to_string()).collect();
            listed.sort();
            let members =
                self.members(room).into_iter().map(|it| json!(Self::name(it)).to_string());
            assert_eq!(listed, members.collect::<Vec<_>>());
            assert_eq!(entered[0].field("count"), json!(listed.len()));
        }
    }

    fn leave(&mut self, who: usize, room: &str) {
        let was = self.rooms[who].iter().any(|known| known == room);
        self.rooms[who].retain(|known| known != room);
        let (_, told) = self.bench.ask(who, Verb::Leave, &json!({ "room": room }));
        let pong = of(&told, EventKind::Pong);
        assert_eq!((pong.len(), pong[0].client), (1, who), "what is asked behind it is answered");
        let left = of(&told, EventKind::Left);
        let hearers: Vec<usize> = left.iter().map(|told| told.client).collect();
        let told_of_it = if self.presence && was { self.members(room) } else { Vec::new() };
        assert_eq!(hearers, told_of_it);
        assert!(left.iter().all(|told| told.field("who") == json!(Self::name(who))));
        assert_eq!(told.len(), 1 + left.len());
    }

    /// Sends a client's event, slowly enough.
    fn say(&mut self, who: usize, room: &str, verb: Verb, what: &Value) -> Vec<Told> {
        self.bench.now();
        self.bench.now();
        let mut args = self.vars(who, what);
        args["room"] = json!(room);
        self.bench.ask(who, verb, &args).1
    }

    /// All others in the room were told this; a stranger was told that it may not speak.
    fn heard(
        &self,
        told: &[Told],
        who: usize,
        room: &str,
        kind: EventKind,
        (field, value): (&str, Value),
    ) {
        let mut members = self.members(room);
        if !members.contains(&who) {
            assert_eq!((told.len(), told[0].client), (1, who), "{told:?}");
            assert_eq!(told[0].event.kind, EventKind::Error);
            assert_eq!((told[0].field("code"), told[0].field("room")), (json!(4009), json!(room)));
            return;
        }
        members.retain(|member| *member != who);
        let hearers: Vec<usize> = told.iter().map(|told| told.client).collect();
        assert_eq!(hearers, members, "all others, once");
        let named = if self.presence { json!(Self::name(who)) } else { Value::Null };
        for told in told {
            assert_eq!(told.event.kind, kind);
            assert_eq!((told.field("room"), told.field(field)), (json!(room), value.clone()));
            assert_eq!(told.field("who"), named);
        }
    }

    /// What everybody is told when this is published.
    fn deliver(&mut self, body: &str) -> Vec<Told> {
        let now = self.bench.now();
        let done = pusher::api::events(now, &self.app, body, &self.bench.world);
        assert!(done.is_ok(), "{body}: {done:?}");
        self.bench.told()
    }

    fn publish(&mut self, who: usize, room: &str, text: &str) {
        let args = self.vars(who, &json!({ "room": room, "text": text, "said_by": "backend" }));
        let (_, request) = self.bench.request(Verb::Say, &args);
        let exchange = request.http.expect("it is said by HTTP");
        assert!(self.verified(&exchange).is_ok(), "{exchange:?}");
        let told = self.deliver(&exchange.body.expect("a body"));
        let mut members = self.members(room);
        members.retain(|member| *member != who);
        let hearers: Vec<usize> = told.iter().map(|told| told.client).collect();
        assert_eq!(hearers, members, "whoever says it does not hear it");
        for told in &told {
            assert_eq!(told.event.kind, EventKind::Message);
            assert_eq!((told.field("room"), told.field("text")), (json!(room), json!(text)));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn the_dialect_files_and_the_server_mean_the_same(
        presence in any::<bool>(),
        steps in prop::collection::vec(step(), 1..60),
    ) {
        let mut model = Model::new(presence);
        for step in &steps {
            model.run(step);
        }
    }
}

#[test]
fn what_is_signed_wrongly_is_not_taken() {
    let model = Model::new(false);
    let publish = |more: Value| {
        let mut args = json!({ "channel": "private-x", "event": "news", "data": "{}" });
        args.as_object_mut().expect("a mapping").extend(more.as_object().expect("one").clone());
        model.verified(&model.exchange("publish", 0, &args)).map(drop)
    };
    assert_eq!(publish(json!({})), Ok(()));
    for wrong in [
        json!({ "secret": "another" }),
        json!({ "key": "another" }),
        json!({ "body_md5": "d41d8cd98f00b204e9800998ecf8427e" }),
        json!({ "signature": "0" }),
        json!({ "timestamp": 1_353_088_179 }),
    ] {
        assert_eq!(publish(wrong.clone()), Err(401), "{wrong}");
    }
}

#[test]
fn every_request_of_the_file_is_signed_and_means_what_it_says() {
    let mut model = Model::new(false);
    model.join(0, "x", Way::Local);
    let world = &model.bench.world;
    let asked = |name: &str, more: Value| {
        let exchange = model.exchange(name, 0, &more);
        let query = model.verified(&exchange).unwrap_or_else(|status| panic!("{name}: {status}"));
        (exchange, query)
    };
    let (exchange, query) = asked("channels", json!({ "filter_by_prefix": "private-" }));
    assert!(exchange.to.starts_with("/apps/1/channels?"));
    let channels = pusher::api::channels(&model.app, &query, world);
    assert_eq!(channels.as_deref(), Ok(r#"{"channels":{"private-x":{}}}"#));
    let (exchange, query) =
        asked("channel", json!({ "channel": "private-a=b", "info": "subscription_count" }));
    assert!(exchange.to.starts_with("/apps/1/channels/private-a%3Db?"), "{}", exchange.to);
    let info = query.iter().find(|(name, _)| name == "info");
    assert_eq!(info.map(|(_, value)| value.as_str()), Some("subscription_count"));
    asked("users", json!({ "channel": "presence-x" }));
    let (exchange, _) = asked("terminate", json!({ "user_id": "u/1" }));
    assert!(exchange.to.starts_with("/apps/1/users/u%2F1/terminate_connections?"));
    let (exchange, _) = asked("post", json!({ "resource": "events", "content": "{nonsense" }));
    assert_eq!(exchange.body.as_deref(), Some("{nonsense"));
    let events = json!([{ "name": "a", "channel": "private-x", "data": "1" }]);
    let (exchange, _) = asked("batch", json!({ "batch": events }));
    let now =
        protocol::Now::after_start(Duration::from_secs(9), Duration::from_secs(1_767_225_600));
    let body = exchange.body.expect("a body");
    assert!(pusher::api::batch_events(now, &model.app, &body, world).is_ok());
}

#[test]
fn what_the_server_says_of_itself_is_read() {
    let model = Model::new(false);
    let read = |text: &str| match model.bench.file.decode(text) {
        Decoded::Event(event) => event,
        other => panic!("{text}: {other:?}"),
    };
    for frame in protocol::Dialect::Pusher.beat() {
        let ping = read(frame.as_text());
        assert_eq!((ping.kind, ping.means.reply), (EventKind::Ping, Some(Verb::Pong)));
    }
    for ending in pusher::ENDINGS {
        let frame = protocol::Dialect::Pusher.farewell(ending).expect("it is said");
        let error = read(frame.as_text());
        // What ends a connection that did nothing wrong is no answer to anything.
        match ending.code {
            4100.. => assert_eq!(error.kind, EventKind::Other, "{ending:?}"),
            code => {
                let told = (error.kind, &error.fields["code"]);
                assert_eq!(told, (EventKind::Error, &json!(code)));
            }
        }
        let duty = model.bench.file.duty.of(ending.code).expect("every code asks for something");
        let range = match ending.code {
            4000..4100 => Return::Never,
            4100..4200 => Return::After(Duration::from_secs(1)),
            _ => Return::After(Duration::ZERO),
        };
        assert_eq!(duty, range, "{ending:?}");
    }
}
