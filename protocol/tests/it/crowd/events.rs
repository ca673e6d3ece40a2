//! `events`: each subscriber gets each event of its channels once, all the same bytes, in the order of
//! their times.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use protocol::Dialect;
use serde_json::{Value, json};

use super::{Does, Game, Happened, Step, Verdict, ends, ensure, foreseen, nothing, says, who};

pub(super) const GAME: Game = Game { dialect: Dialect::Events, steps, judge };

pub(super) const TYPES: &[&str] = &["connected", "subscribed", "unsubscribed", "event", "error"];

pub(super) const COMES_TO: &[&str] = &[
    "connectionId",
    r#""subscribed""#,
    r#""unsubscribed""#,
    r#""type":"event","channel":"files""#,
    r#""type":"event","channel":"own""#,
    "invalid_channel",
    "unknown_type",
    "invalid_json",
    "too_many_channels",
];

/// More than a connection may subscribe to.
const CHANNELS: [&str; 5] = ["files", "own", "git", "chat/x", ""];

fn steps() -> BoxedStrategy<Vec<Step>> {
    let channel = || prop::sample::select(CHANNELS.to_vec());
    let asks = (channel(), prop::bool::weighted(0.8), prop::option::of(0..9_u8)).prop_map(
        |(channel, on, id)| {
            let verb = if on { "subscribe" } else { "unsubscribe" };
            let id = id.map_or(String::new(), |id| format!(r#","id":{id}"#));
            says(format!(r#"{{"type":"{verb}","channel":"{channel}"{id}}}"#))
        },
    );
    let noise = prop::sample::select(vec![
        "{",
        "7",
        r#"{"type":"event","channel":"files","data":{}}"#,
        r#"{"type":"publish","channel":"own","data":{},"id":1}"#,
        r#"{"type":"subscribe","id":2}"#,
    ]);
    let publishes = (channel(), 0..100_u32).prop_map(|(channel, n)| {
        let body = match n % 4 {
            0 => json!({"n": n}),
            _ => json!({"file": "f", "event": "change", "type": "t", "message": "m", "n": n}),
        };
        Does::Publishes(channel, body.to_string())
    });
    let does = prop_oneof![
        12 => asks,
        2 => noise.prop_map(says),
        8 => publishes,
        1 => ends(),
        2 => (0..3_000_u64).prop_map(Does::Waits),
    ];
    prop::collection::vec((who(), does), 1..150).boxed()
}

fn judge(happened: &[Happened]) -> Verdict {
    let mut subscribed: BTreeMap<usize, BTreeSet<String>> = BTreeMap::new();
    let mut ids = BTreeSet::new();
    let mut times: BTreeMap<&str, String> = BTreeMap::new();
    foreseen(happened, |step| {
        let mut expected = nothing();
        match &step.does {
            Does::Opens(_) => {
                expected[step.who].push(json!({"status": "connected", "connectionId": "*"}));
                let fresh = step.got[step.who].first().is_some_and(|it| ids.insert(it.clone()));
                ensure(fresh, || "another has that id".to_owned())?;
                subscribed.insert(step.who, BTreeSet::new());
            }
            Does::Ends(_) => drop(subscribed.remove(&step.who)),
            Does::Says(text) => {
                let mine = subscribed.get_mut(&step.who).ok_or("said by nobody")?;
                expected[step.who].push(answer(text, mine));
            }
            Does::Publishes(channel, body) => {
                let data: Value = serde_json::from_str(body).map_err(|error| error.to_string())?;
                let valid = is_valid(channel, &data);
                let told = subscribed.iter().filter(|(_, mine)| valid && mine.contains(*channel));
                let event =
                    json!({"type": "event", "channel": channel, "data": data, "timestamp": "*"});
                let mut bytes = BTreeSet::new();
                let mut count = 0;
                for (&who, _) in told {
                    expected[who].push(event.clone());
                    bytes.extend(step.got[who].first());
                    count += 1;
                }
                ensure(bytes.len() <= 1, || "they are told differently".to_owned())?;
                let result = step.told.as_ref().ok_or("published by nobody")?;
                ensure(result.as_ref().ok() == valid.then_some(&count), || {
                    format!("{count} were to get it")
                })?;
                if let Some(text) = bytes.first() {
                    in_time(channel, text, &mut times)?;
                }
            }
            _ => {}
        }
        Ok(expected)
    })
}

fn answer(text: &str, mine: &mut BTreeSet<String>) -> Value {
    let error = |code: &str, id: &Value| {
        let error = json!({"status": "error", "code": code, "message": "*"});
        with_id(error, id)
    };
    let Ok(request) = serde_json::from_str::<Value>(text) else {
        return error("invalid_json", &Value::Null);
    };
    let id = &request["id"];
    let on = match request["type"].as_str() {
        Some("subscribe") => true,
        Some("unsubscribe") => false,
        _ => return error("unknown_type", id),
    };
    let Some(channel) = request["channel"].as_str().filter(|channel| !channel.is_empty()) else {
        return error("invalid_channel", id);
    };
    if on && mine.len() == 3 && !mine.contains(channel) {
        return error("too_many_channels", id);
    }
    match on {
        true => drop(mine.insert(channel.to_owned())),
        false => drop(mine.remove(channel)),
    }
    let status = if on { "subscribed" } else { "unsubscribed" };
    with_id(json!({"status": status, "channel": channel}), id)
}

fn with_id(mut answer: Value, id: &Value) -> Value {
    if !id.is_null() {
        answer["id"] = id.clone();
    }
    answer
}

fn is_valid(channel: &str, data: &Value) -> bool {
    match channel {
        "" => false,
        "files" => data["file"].is_string() && data["event"].is_string(),
        "git" => data["type"].is_string() && data["message"].is_string(),
        _ => true,
    }
}

/// Times of one channel never go back.
fn in_time<'a>(channel: &'a str, event: &str, times: &mut BTreeMap<&'a str, String>) -> Verdict {
    let event: Value = serde_json::from_str(event).map_err(|error| error.to_string())?;
    let time = event["timestamp"].as_str().ok_or("no time")?.to_owned();
    let last = times.insert(channel, time.clone());
    ensure(last.is_none_or(|last| last <= time), || "a time goes back".to_owned())
}
