//! `pusher`: who is subscribed gets each event of its channels once, in one order; who is where is told
//! so that each member knows the truth; and nobody hears what no backend has signed for.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use proptest::prelude::*;
use protocol::pusher::{App, api, auth};
use protocol::{Dialect, Now, Opening};
use serde_json::{Value, json};

use super::{Does, Game, Happened, Step, Verdict, ends, ensure, foreseen, nothing, says, who};
use crate::faulty::Faulty;

pub(super) const GAME: Game = Game { dialect: Dialect::Pusher, steps, judge };

pub(super) const OPENING: Opening<'_> =
    Opening { name: Some("app-key"), query: "client=test&protocol=7&version=1.0" };

pub(super) const TYPES: &[&str] = &[
    "pusher:connection_established",
    "pusher_internal:subscription_succeeded",
    "pusher_internal:member_added",
    "pusher_internal:member_removed",
    "pusher:cache_miss",
    "pusher:pong",
    "pusher:error",
    "client-x",
    "said",
];

pub(super) const COMES_TO: &[&str] = &[
    "connection_established",
    r#""channel":"news","data":"{}""#,
    r#"\"count\":2"#,
    "member_added",
    "member_removed",
    "cache_miss",
    r#"{"event":"said","channel":"private-cache-c""#,
    r#""user_id":"u"#,
    "Invalid signature",
    "not a member",
    "more than 10",
    "as many channels",
    "not JSON",
];

/// More than a connection may subscribe to.
const CHANNELS: [&str; 5] = ["news", "private-p", "presence-a", "presence-b", "private-cache-c"];
/// Milliseconds for which the last event is kept.
const TTL: u64 = 30 * 60 * 1000;

/// A subscription as it leaves the client: signed, unless it is to be wrong.
pub(super) fn signed(text: &str, socket_id: &str) -> String {
    let Ok(mut frame) = serde_json::from_str::<Value>(text) else { return text.to_owned() };
    if frame["data"]["auth"] != "right" {
        return text.to_owned();
    }
    let (channel, data) =
        (frame["data"]["channel"].as_str(), frame["data"]["channel_data"].as_str());
    let right = auth::channel(&App::default(), socket_id, channel.unwrap_or_default(), data);
    frame["data"]["auth"] = json!(right);
    frame.to_string()
}

pub(super) fn socket_id(frame: &Value) -> Option<String> {
    let is_first = frame["event"] == "pusher:connection_established";
    let data: Value = serde_json::from_str(frame["data"].as_str().filter(|_| is_first)?).ok()?;
    Some(data["socket_id"].as_str()?.to_owned())
}

pub(super) fn publish(now: Now, body: &str, world: &Faulty) -> Result<u64, Option<&'static str>> {
    let told = api::events(now, &Arc::new(App::default()), body, world);
    told.map(|answer| answer.len() as u64).map_err(|_| None)
}

fn steps() -> BoxedStrategy<Vec<Step>> {
    let channel = || prop::sample::select(CHANNELS.to_vec());
    let subscribes = (channel(), 0..3_u8, 0..3_u8, prop::bool::weighted(0.9)).prop_map(
        |(channel, user, info, is_right)| {
            let mut data =
                json!({"channel": channel, "auth": if is_right { "right" } else { "app-key:00" }});
            if channel.starts_with("presence-") {
                let channel_data = json!({"user_id": format!("u{user}"), "user_info": {"n": info}});
                data["channel_data"] = json!(channel_data.to_string());
            }
            says(json!({"event": "pusher:subscribe", "data": data}).to_string())
        },
    );
    let unsubscribes = channel().prop_map(|channel| {
        says(json!({"event": "pusher:unsubscribe", "data": {"channel": channel}}).to_string())
    });
    let tells = (channel(), 0..100_u32).prop_map(|(channel, n)| {
        let data = if n % 2 == 0 { json!({"n": n}) } else { json!(n.to_string()) };
        says(json!({"event": "client-x", "channel": channel, "data": data}).to_string())
    });
    let noise = prop::sample::select(vec![
        "{",
        "7",
        r#"{"event":"pusher:ping","data":{}}"#,
        r#"{"event":"pusher:pong"}"#,
        r#"{"event":"whatever","channel":"news","data":{}}"#,
        r#"{"event":"pusher:subscribe","data":{"channel":"a b"}}"#,
    ]);
    let publishes = (prop::collection::vec(channel(), 1..3), 0..100_u32, prop::option::of(who()))
        .prop_map(|(channels, n, but)| {
            let mut body =
                json!({"name": "said", "channels": channels, "data": format!("text {n}")});
            if let Some(but) = but {
                body["socket_id"] = json!(format!("${but}"));
            }
            Does::Publishes("", body.to_string())
        });
    let waits = prop_oneof![6 => 0..1_500_u64, 1 => Just(TTL - 1), 1 => Just(TTL)];
    let does = prop_oneof![
        10 => subscribes,
        4 => unsubscribes,
        7 => tells,
        2 => noise.prop_map(says),
        6 => publishes,
        2 => ends(),
        3 => waits.prop_map(Does::Waits),
    ];
    // More at once than anybody may say.
    let burst = (who(), 5..15_usize, prop::sample::select(vec!["private-p", "presence-a"]))
        .prop_map(|(who, many, channel)| {
            let event = json!({"event": "client-x", "channel": channel, "data": {}}).to_string();
            vec![(who, says(event)); many]
        });
    let one = (who(), does).prop_map(|step| vec![step]);
    let some = prop_oneof![60 => one, 1 => burst];
    prop::collection::vec(some, 1..150).prop_map(|some| some.concat()).boxed()
}

/// What one client is, as far as the judge knows.
#[derive(Default)]
struct Client {
    socket_id: String,
    /// By channel, in the order of subscribing: the user that it is there.
    channels: Vec<(String, Option<String>)>,
    said: VecDeque<u64>,
}

impl Client {
    fn place(&self, channel: &str) -> Option<usize> {
        self.channels.iter().position(|(name, _)| name == channel)
    }
}

#[derive(Default)]
struct Truth {
    clients: BTreeMap<usize, Client>,
    ids: BTreeSet<String>,
    /// By channel and user: what its first connection said of it.
    infos: BTreeMap<(String, String), Value>,
    kept: BTreeMap<String, (Value, u64)>,
    clock: u64,
}

type Expected = Vec<Vec<Value>>;

fn judge(happened: &[Happened]) -> Verdict {
    let mut truth = Truth::default();
    foreseen(happened, |step| {
        let mut expected = nothing();
        match &step.does {
            Does::Opens(_) => truth.open(step, &mut expected)?,
            Does::Ends(_) => {
                let client = truth.clients.get(&step.who).ok_or("nobody ends")?;
                let mut names: Vec<_> =
                    client.channels.iter().map(|(name, _)| name.clone()).collect();
                names.sort();
                for name in names {
                    truth.leave(step.who, &name, &mut expected);
                }
                truth.clients.remove(&step.who);
            }
            Does::Says(text) => truth.hear(step.who, text, &mut expected)?,
            Does::Publishes(_, body) => {
                let answer = step.told.as_ref().ok_or("published by nobody")?;
                ensure(answer.as_ref().ok() == Some(&2), || {
                    "the backend is not told {}".to_owned()
                })?;
                truth.publish(body, &mut expected)?;
            }
            Does::Waits(ms) => truth.clock += ms,
            _ => {}
        }
        ensure(step.closed.is_none(), || "it is closed".to_owned())?;
        Ok(expected)
    })
}

impl Truth {
    fn open(&mut self, step: &Happened, expected: &mut Expected) -> Verdict {
        expected[step.who].push(json!({"event": "pusher:connection_established", "data": "*"}));
        let first = step.got[step.who].first().ok_or("not greeted")?;
        let frame: Value = serde_json::from_str(first).map_err(|error| error.to_string())?;
        let socket_id = socket_id(&frame).ok_or("no id")?;
        let is_id = socket_id.split('.').all(|part| part.parse::<u64>().is_ok());
        ensure(is_id && first.contains(r#"\"activity_timeout\":120}"#), || first.clone())?;
        ensure(self.ids.insert(socket_id.clone()), || "another has that id".to_owned())?;
        self.clients.insert(step.who, Client { socket_id, ..Client::default() });
        Ok(())
    }

    fn hear(&mut self, who: usize, text: &str, expected: &mut Expected) -> Verdict {
        let Ok(frame) = serde_json::from_str::<Value>(text) else {
            expected[who].push(error(4200, None));
            return Ok(());
        };
        let channel =
            |frame: &Value| frame["data"]["channel"].as_str().unwrap_or_default().to_owned();
        match frame["event"].as_str() {
            None => expected[who].push(error(4200, None)),
            Some("pusher:ping") => {
                expected[who].push(json!({"event": "pusher:pong", "data": "{}"}));
            }
            Some("pusher:subscribe") => {
                self.subscribe(who, &channel(&frame), &frame["data"], expected)?;
            }
            Some("pusher:unsubscribe") => self.leave(who, &channel(&frame), expected),
            Some("client-x") => self.say(who, &frame, expected)?,
            _ => {}
        }
        Ok(())
    }

    fn client(&mut self, who: usize) -> Result<&mut Client, String> {
        self.clients.get_mut(&who).ok_or_else(|| "nobody is there".to_owned())
    }

    fn subscribe(
        &mut self,
        who: usize,
        channel: &str,
        data: &Value,
        expected: &mut Expected,
    ) -> Verdict {
        let is_private = channel.starts_with("pr");
        let subscribed = self.client(who)?.place(channel).is_some();
        let code = match () {
            () if channel.contains(' ') => 4300,
            () if is_private && data["auth"] == "app-key:00" => 4009,
            () if !subscribed && self.client(who)?.channels.len() == 3 => 4300,
            () => 0,
        };
        if code != 0 {
            expected[who].push(error(code, Some(channel)));
            return Ok(());
        }
        let said = data["channel_data"].as_str().map(serde_json::from_str::<Value>);
        let said = said.transpose().map_err(|error| error.to_string())?;
        let user = said.as_ref().and_then(|said| said["user_id"].as_str()).map(str::to_owned);
        let mut added = None;
        if !subscribed {
            if let (Some(user), Some(said)) = (&user, &said)
                && !self.infos.contains_key(&(channel.to_owned(), user.clone()))
            {
                added = Some(json!({"user_id": user, "user_info": said["user_info"]}));
                self.infos.insert((channel.to_owned(), user.clone()), said["user_info"].clone());
            }
            self.client(who)?.channels.push((channel.to_owned(), user));
        }
        let here = self.infos.iter().filter(|((name, _), _)| name == channel);
        let hash: BTreeMap<&String, &Value> = here.map(|((_, user), info)| (user, info)).collect();
        let ids: Vec<_> = hash.keys().collect();
        let data = match channel.starts_with("presence-") {
            true => json!({"presence": {"count": ids.len(), "ids": ids, "hash": hash}}),
            false => json!({}),
        };
        expected[who].push(told("pusher_internal:subscription_succeeded", channel, &data));
        if let Some(added) = added {
            self.tell(
                channel,
                Some(who),
                &told("pusher_internal:member_added", channel, &added),
                expected,
            );
        }
        if channel.contains("cache-") {
            let kept = self.kept.get(channel).filter(|(_, until)| *until > self.clock);
            let miss = || json!({"event": "pusher:cache_miss", "channel": channel});
            expected[who].push(kept.map_or_else(miss, |(event, _)| event.clone()));
        }
        Ok(())
    }

    fn leave(&mut self, who: usize, channel: &str, expected: &mut Expected) {
        let Some(client) = self.clients.get_mut(&who) else { return };
        let Some(place) = client.place(channel) else { return };
        let (_, user) = client.channels.remove(place);
        let there = (channel.to_owned(), user.clone());
        if let Some(user) = user
            && !self.clients.values().any(|client| client.channels.contains(&there))
        {
            let removed =
                told("pusher_internal:member_removed", channel, &json!({"user_id": user}));
            self.infos.remove(&(channel.to_owned(), user));
            self.tell(channel, None, &removed, expected);
        }
    }

    fn say(&mut self, who: usize, frame: &Value, expected: &mut Expected) -> Verdict {
        let (channel, clock) = (frame["channel"].as_str().unwrap_or_default(), self.clock);
        let client = self.client(who)?;
        let place = client.place(channel).filter(|_| channel.starts_with("pr"));
        let Some(place) = place else {
            expected[who].push(error(4009, Some(channel)));
            return Ok(());
        };
        let user = client.channels[place].1.clone();
        client.said.retain(|&at| clock - at < 1000);
        if client.said.len() == 10 {
            expected[who].push(error(4301, Some(channel)));
            return Ok(());
        }
        client.said.push_back(clock);
        let mut event = json!({"event": "client-x", "channel": channel, "data": frame["data"]});
        if let Some(user) = user {
            event["user_id"] = json!(user);
        }
        self.tell(channel, Some(who), &event, expected);
        Ok(())
    }

    fn publish(&mut self, body: &str, expected: &mut Expected) -> Verdict {
        let body: Value = serde_json::from_str(body).map_err(|error| error.to_string())?;
        let channels: BTreeSet<&str> =
            body["channels"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        // In the order in which the backend named them.
        let mut named: Vec<&str> =
            body["channels"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        named.dedup();
        ensure(named.len() == channels.len(), || "named twice".to_owned())?;
        let causes = self.clients.iter().find(|(_, it)| body["socket_id"] == it.socket_id.as_str());
        let but = causes.map(|(&who, _)| who);
        for channel in named {
            let event = json!({"event": "said", "channel": channel, "data": body["data"]});
            if channel.contains("cache-") {
                self.kept.insert(channel.to_owned(), (event.clone(), self.clock + TTL));
            }
            self.tell(channel, but, &event, expected);
        }
        Ok(())
    }

    /// Everybody on the channel gets it, but for one.
    fn tell(&self, channel: &str, but: Option<usize>, event: &Value, expected: &mut Expected) {
        for (&who, client) in &self.clients {
            if client.place(channel).is_some() && Some(who) != but {
                expected[who].push(event.clone());
            }
        }
    }
}

fn told(event: &str, channel: &str, data: &Value) -> Value {
    json!({"event": event, "channel": channel, "data": data.to_string()})
}

fn error(code: u16, channel: Option<&str>) -> Value {
    let mut error = json!({"event": "pusher:error", "data": {"code": code, "message": "*"}});
    if let Some(channel) = channel {
        error["channel"] = json!(channel);
    }
    error
}
