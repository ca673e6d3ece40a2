//! `pusher` as clients and backends see it, in virtual time.

mod api;
mod hooks;
mod openings;
mod presence;
mod subscribing;
mod talking;
mod users;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use protocol::pusher::{App, Hook, auth};
use protocol::{
    ConnId, Dialect, Flow, Ids, Incoming, Limits, LocalWorld, Now, Opening, Reason, Session, Time,
    tick_room,
};
use serde_json::{Value, json};

const A: ConnId = ConnId(1);
const B: ConnId = ConnId(2);
const C: ConnId = ConnId(3);

const OPENING: Opening<'_> =
    Opening { name: Some("app-key"), query: "protocol=7&client=js&version=8.6.0&flash=false" };

/// A server with one application, its connections, and a clock that the test moves.
struct Stage {
    world: LocalWorld,
    app: Arc<App>,
    sessions: BTreeMap<ConnId, Session<ConnId>>,
    clock: Duration,
}

impl Stage {
    fn new() -> Self {
        Self::with(App::default())
    }

    fn with(app: App) -> Self {
        let limits = Limits { rooms: 8, requests_per_s: 0, ..Limits::default() };
        let world = LocalWorld::new(limits, Ids::new([9; 32])).with_app(app.clone());
        Self { world, app: Arc::new(app), sessions: BTreeMap::new(), clock: Duration::ZERO }
    }

    fn now(&self) -> Now {
        Now::after_start(self.clock, Duration::from_secs(1_767_225_600))
    }

    /// Opens these connections, and drops their greetings.
    fn open(&mut self, conns: &[ConnId]) {
        for &conn in conns {
            let session = Session::open(Dialect::Pusher, self.now(), OPENING, conn, &self.world);
            self.sessions.insert(conn, session.expect("it is let in"));
            assert_eq!(self.take(conn).len(), 1, "the greeting");
        }
    }

    fn id(&self, conn: ConnId) -> String {
        self.sessions[&conn].id().to_owned()
    }

    fn say(&mut self, conn: ConnId, text: &str) {
        let now = self.now();
        let session = self.sessions.get_mut(&conn).expect("it is open");
        let flow = session.received(now, Incoming::Text(text), &self.world);
        assert_eq!(flow, Flow::Continue, "{text}");
    }

    fn send(&mut self, conn: ConnId, event: &str, data: &Value) {
        self.say(conn, &json!({"event": event, "data": data}).to_string());
    }

    /// Sends this, and gives the answer.
    fn ask(&mut self, conn: ConnId, event: &str, data: &Value) -> Value {
        self.send(conn, event, data);
        let mut answers = self.take(conn);
        assert_eq!(answers.len(), 1, "{event} {data}: {answers:?}");
        answers.remove(0)
    }

    /// Subscribes with what the backend signs.
    fn subscribe(&mut self, conn: ConnId, channel: &str, channel_data: Option<&Value>) {
        let channel_data = channel_data.map(Value::to_string);
        let signed = auth::channel(&self.app, &self.id(conn), channel, channel_data.as_deref());
        let mut data = json!({"channel": channel, "auth": signed});
        if let Some(channel_data) = channel_data {
            data["channel_data"] = json!(channel_data);
        }
        self.send(conn, "pusher:subscribe", &data);
    }

    fn unsubscribe(&mut self, conn: ConnId, channel: &str) {
        self.send(conn, "pusher:unsubscribe", &json!({"channel": channel}));
    }

    fn sign_in(&mut self, conn: ConnId, user_data: &str) {
        let auth = auth::user(&self.app, &self.id(conn), user_data);
        self.send(conn, "pusher:signin", &json!({"auth": auth, "user_data": user_data}));
    }

    fn end(&mut self, conn: ConnId, reason: Reason) {
        let now = self.now();
        let mut session = self.sessions.remove(&conn).expect("it is open");
        session.end(now, reason, &self.world);
        session.end(now, reason, &self.world);
    }

    /// What it has been told since, with `data` read where it is JSON in a string.
    fn take(&self, conn: ConnId) -> Vec<Value> {
        let frames = self.world.take(conn).into_iter();
        let read = |text: &str| serde_json::from_str::<Value>(text);
        frames
            .map(|frame| {
                let mut value = read(frame.as_text()).expect("JSON");
                if let Some(Ok(data)) = value["data"].as_str().map(read) {
                    value["data"] = data;
                }
                value
            })
            .collect()
    }

    /// The events that it has been told since, by their names.
    fn heard(&self, conn: ConnId) -> Vec<String> {
        let names = self.take(conn).into_iter();
        names.map(|told| told["event"].as_str().expect("a name").to_owned()).collect()
    }

    fn publish(&self, body: &Value) -> Value {
        let answer =
            protocol::pusher::api::events(self.now(), &self.app, &body.to_string(), &self.world);
        let answer = answer.unwrap_or_else(|refused| panic!("{body}: {refused:?}"));
        serde_json::from_str(&answer).expect("JSON")
    }

    fn hooks(&self) -> Vec<Hook> {
        let hooks = self.world.take_hooks();
        assert!(hooks.iter().all(|(app, _)| *app == self.app.id));
        hooks.into_iter().map(|(_, hook)| hook).collect()
    }

    /// Lets time pass, and ticks each room at the time that it asked for.
    fn wait(&mut self, duration: Duration) {
        let end = self.clock + duration;
        let mut ticks = 0;
        while let Some(at) = self.world.next_wake().filter(|at| at.since_start() <= end) {
            self.clock = self.clock.max(at.since_start());
            while let Some(name) = self.world.due(Time::after_start(self.clock)) {
                tick_room(self.now(), &name, &self.world);
                ticks += 1;
                assert!(ticks < 1_000, "{name} asks for ticks for ever");
            }
        }
        self.clock = end;
    }

    fn rooms(&self) -> Vec<String> {
        self.world.rooms().keys().cloned().collect()
    }
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn user(id: &str) -> Value {
    json!({"user_id": id, "user_info": {"name": id}})
}

/// An error, as it is told on a channel or on none.
fn is_error(told: &Value, code: u16, channel: Option<&str>) -> bool {
    told["event"] == "pusher:error"
        && told["data"]["code"] == code
        && told["data"]["message"].as_str().is_some_and(|message| !message.is_empty())
        && told.get("channel").and_then(Value::as_str) == channel
}
