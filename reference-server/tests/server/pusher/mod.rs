//! `pusher` over real sockets: a client, a backend that signs, and what they say to each other.

#![expect(clippy::indexing_slicing, reason = "a test may fail by a panic")]

mod api;
mod backend;
mod sockets;
mod webhooks;

use std::time::{SystemTime, UNIX_EPOCH};

use protocol::pusher::{App, auth};
use reference_server::{Config, PusherApp};
use serde_json::{Value, json};

use crate::common::{Answer, Client, Server};

/// The path of the application that there is without any option.
const PATH: &str = "/app/app-key?protocol=7&client=test&version=1.0";

/// A server with these applications, written as options.
fn serving(apps: &[&str]) -> Server {
    Server::start(config(apps))
}

fn config(apps: &[&str]) -> Config {
    let pusher_apps = apps.iter().map(|app| app.parse::<PusherApp>().expect(app)).collect();
    Config { pusher_apps, ..Config::default() }
}

/// A client that has been told its id.
struct Socket {
    client: Client,
    id: String,
    app: App,
}

impl Socket {
    fn open(server: &Server) -> Self {
        Self::of(server, &App::default())
    }

    fn of(server: &Server, app: &App) -> Self {
        let mut client = server.client(&PATH.replace("app-key", &app.key));
        let (event, data) = heard(&mut client);
        assert_eq!(event["event"], "pusher:connection_established");
        let id = data["socket_id"].as_str().expect("an id").to_owned();
        Self { client, id, app: app.clone() }
    }

    fn say(&mut self, event: &str, data: &Value) {
        self.client.say(&json!({"event": event, "data": data}));
    }

    /// Reads the next event, which has this name; gives its data.
    fn hears(&mut self, name: &str) -> Value {
        let (event, data) = heard(&mut self.client);
        assert_eq!(event["event"], name, "{event}");
        data
    }

    /// Subscribes as its backend has signed for, and reads the answer.
    fn subscribe(&mut self, channel: &str, channel_data: Option<&str>) -> Value {
        let auth = auth::channel(&self.app, &self.id, channel, channel_data);
        let mut data = json!({"channel": channel, "auth": auth});
        if let Some(channel_data) = channel_data {
            data["channel_data"] = channel_data.into();
        }
        self.say("pusher:subscribe", &data);
        self.hears("pusher_internal:subscription_succeeded")
    }

    fn unsubscribe(&mut self, channel: &str) {
        self.say("pusher:unsubscribe", &json!({"channel": channel}));
    }

    /// When this returns, everything that was said before has been done.
    fn fence(&mut self) {
        self.say("pusher:ping", &json!({}));
        self.hears("pusher:pong");
    }

    fn sign_in(&mut self, user: &str) {
        let user_data = json!({"id": user}).to_string();
        let auth = auth::user(&self.app, &self.id, &user_data);
        self.say("pusher:signin", &json!({"auth": auth, "user_data": user_data}));
        self.hears("pusher:signin_success");
    }
}

/// The next event, and its data as it is meant.
fn heard(client: &mut Client) -> (Value, Value) {
    let event = client.json();
    let data = match &event["data"] {
        Value::String(text) => serde_json::from_str(text).unwrap_or_else(|_| text.as_str().into()),
        other => other.clone(),
    };
    (event, data)
}

/// The path of a request that the application has signed.
fn signed(
    app: &App,
    method: &str,
    path: &str,
    more: &[(&str, &str)],
    body: &(impl AsRef<[u8]> + ?Sized),
) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
    signed_at(app, method, path, more, body, now)
}

fn signed_at(
    app: &App,
    method: &str,
    path: &str,
    more: &[(&str, &str)],
    body: &(impl AsRef<[u8]> + ?Sized),
    time: u64,
) -> String {
    let (time, md5) = (time.to_string(), auth::body_md5(body.as_ref()));
    let mut query =
        vec![("auth_key", &*app.key), ("auth_timestamp", &*time), ("auth_version", "1.0")];
    if !body.as_ref().is_empty() {
        query.push(("body_md5", &md5));
    }
    query.extend(more);
    query.sort_unstable();
    let query: Vec<String> = query.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let query = query.join("&");
    let signature = auth::sign(app, &format!("{method}\n{path}\n{query}"));
    format!("{path}?{query}&auth_signature={signature}")
}

/// What the backend of an application says to the API.
fn post(server: &Server, app: &App, what: &str, body: &Value) -> Answer {
    let body = body.to_string();
    let path = signed(app, "POST", &format!("/apps/{}/{what}", app.id), &[], &body);
    server.send("POST", &path, "application/json", &body)
}

/// What the backend of an application asks the API.
fn get(server: &Server, app: &App, what: &str, query: &[(&str, &str)]) -> Answer {
    let path = signed(app, "GET", &format!("/apps/{}/{what}", app.id), query, "");
    Answer::of(&server.get(&path))
}

/// Publishes an event of which the data is this text.
fn publish(server: &Server, channel: &str, event: &str, data: &str) {
    let body = json!({"name": event, "channel": channel, "data": data});
    let answer = post(server, &App::default(), "events", &body);
    assert_eq!((answer.status, &answer.json), (200, &json!({})), "{answer:?}");
}
