//! `POST events` and `POST batch_events`: what a backend says on channels.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{Info, NOTHING, Refused};
use crate::act::{To, in_room};
use crate::json::{self, Object};
use crate::pusher::name::{Kind, USER_CHANNEL, is_channel, is_socket_id, is_user};
use crate::pusher::session::{DATA_BYTES, EVENT_CHARS};
use crate::pusher::{App, channel, key, wire};
use crate::time::Now;
use crate::world::{EventKind, Make, World};

/// Channels of one event.
const CHANNELS: usize = 100;
/// Events of one batch.
const BATCH: usize = 10;

/// An event as a backend sends it.
#[derive(Deserialize)]
struct Event {
    name: String,
    data: String,
    channel: Option<String>,
    channels: Option<Vec<String>>,
    socket_id: Option<String>,
    info: Option<String>,
}

/// What a backend is told of a channel, if it asked.
#[derive(Debug, Serialize)]
struct Told {
    #[serde(skip_serializing_if = "Option::is_none")]
    user_count: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    subscription_count: Option<usize>,
}

/// Publishes one event on up to 100 channels: each subscriber of each gets it once, but for the
/// connection that caused it, if the backend names it.
///
/// # Errors
/// 400 if the body is no event, 413 if its data is too long. Then nothing is published.
pub fn events<W: World>(
    now: Now,
    app: &Arc<App>,
    body: &str,
    world: &W,
) -> Result<String, Refused> {
    let event = read(body)?;
    let channels = event.channels()?;
    let told: BTreeMap<&str, Told> = channels
        .into_iter()
        .map(|channel| (channel, publish(now, app, &event, channel, world)))
        .collect();
    if event.info.is_none() {
        return Ok(NOTHING.to_owned());
    }
    Ok(json::text(&BTreeMap::from([("channels", told)])))
}

/// Publishes up to ten events, each on one channel, in their order.
///
/// # Errors
/// 400 if the body is no batch of events, 413 if the data of one is too long. Then none is published.
pub fn batch_events<W: World>(
    now: Now,
    app: &Arc<App>,
    body: &str,
    world: &W,
) -> Result<String, Refused> {
    #[derive(Deserialize)]
    struct Batch<'a> {
        #[serde(borrow)]
        batch: Vec<&'a RawValue>,
    }
    check_json(body)?;
    let Object(Batch { batch }) = json::parse(body).map_err(|error| bad(error.to_string()))?;
    if batch.is_empty() || batch.len() > BATCH {
        return Err(bad(format!("a batch has 1 to {BATCH} events")));
    }
    let mut events = Vec::with_capacity(batch.len());
    for event in batch {
        let event = read(event.get())?;
        if event.channel.is_none() {
            return Err(bad("an event of a batch has one `channel`"));
        }
        event.channels()?;
        events.push(event);
    }
    let mut told = Vec::with_capacity(events.len());
    for event in &events {
        for channel in event.channels()? {
            told.push(publish(now, app, event, channel, world));
        }
    }
    Ok(json::text(&BTreeMap::from([("batch", told)])))
}

/// One event, which is right but for its channels.
fn read(text: &str) -> Result<Event, Refused> {
    check_json(text)?;
    let Object(event): Object<Event> = json::parse(text).map_err(|error| bad(error.to_string()))?;
    if event.name.is_empty() || event.name.chars().nth(EVENT_CHARS).is_some() {
        return Err(bad(format!("`name` has 1 to {EVENT_CHARS} characters")));
    }
    if event.data.len() > DATA_BYTES {
        return Err(Refused::new(413, format!("`data` has up to {DATA_BYTES} bytes")));
    }
    if event.socket_id.as_deref().is_some_and(|id| !is_socket_id(id)) {
        return Err(bad("`socket_id` is two numbers with a dot between"));
    }
    Ok(event)
}

fn check_json(text: &str) -> Result<(), Refused> {
    let read = json::read(text).map_err(|error| bad(format!("not JSON: {error}")))?;
    read.map(drop).ok_or_else(|| bad("the body is a JSON object"))
}

fn bad(why: impl Into<String>) -> Refused {
    Refused::new(400, why)
}

impl Event {
    /// Its channels, each once.
    fn channels(&self) -> Result<Vec<&str>, Refused> {
        let given: Vec<&str> = match (&self.channel, &self.channels) {
            (Some(channel), None) => vec![channel],
            (None, Some(channels)) => channels.iter().map(String::as_str).collect(),
            (None, None) => return Err(bad("there is neither `channel` nor `channels`")),
            (Some(_), Some(_)) => return Err(bad("there are both `channel` and `channels`")),
        };
        if given.is_empty() || given.len() > CHANNELS {
            return Err(bad(format!("an event has 1 to {CHANNELS} channels")));
        }
        if let Some(wrong) = given.iter().find(|name| !may_be_published_on(name)) {
            let shown: String = wrong.chars().take(200).collect();
            return Err(bad(format!("{shown:?} is no name of a channel")));
        }
        let mut seen = BTreeSet::new();
        Ok(given.into_iter().filter(|&channel| seen.insert(channel)).collect())
    }
}

fn may_be_published_on(channel: &str) -> bool {
    is_channel(channel) || channel.strip_prefix(USER_CHANNEL).is_some_and(is_user)
}

/// Says it on a channel. A channel that keeps its last event keeps it, whoever is there.
fn publish<W: World>(now: Now, app: &Arc<App>, event: &Event, name: &str, world: &W) -> Told {
    let frame = wire::said(&event.name, Some(name), Some(&event.data));
    let kind = Kind::of(name);
    let make = if kind.keeps { Make::IfAbsent } else { Make::Never };
    let info = Info::read(event.info.as_deref());
    let counts = in_room(now, &key(app, name), make, world, |act| {
        let caused = event.socket_id.as_deref();
        let by = caused.and_then(|id| act.room.members().find(|(_, it)| it.id == id));
        let by = by.map(|(seat, _)| seat);
        act.tell(EventKind::Event, To::OtherFull, by, &frame);
        if kind.keeps {
            channel::of_room(act.room, app).keep(now.time, &frame);
        }
        let users = act.room.channel.as_ref().map_or(0, |channel| channel.users().len());
        let subscribers = if info.subscription_count { act.room.full_members().count() } else { 0 };
        (users, subscribers)
    });
    let (users, subscribers) = counts.unwrap_or_default();
    Told {
        user_count: (info.user_count && kind.is_presence()).then_some(users),
        subscription_count: info.subscription_count.then_some(subscribers),
    }
}
