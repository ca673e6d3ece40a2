//! The `events` protocol: connections subscribe to channels, and the server publishes on them.
//!
//! A channel is a room. Nobody can publish over the socket: that is [`publish`].

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::act::{To, in_room};
use crate::dialect::Dialect;
use crate::ending::{Flow, Reason};
use crate::frame::Frame;
use crate::json::{self, Field, Id, parse};
use crate::limits::passes;
use crate::rate::Door;
use crate::refusal::{self, codes};
use crate::room::Seat;
use crate::time::{At, Now};
use crate::world::{EventKind, Make, Tally, World};

/// Characters of a channel's name.
const CHANNEL_CHARS: usize = 200;

/// What a client asks for.
struct Request<'a> {
    verb: Verb,
    channel: Cow<'a, str>,
}

#[derive(Clone, Copy)]
enum Verb {
    Subscribe,
    Unsubscribe,
}

/// What is left of a request once its type is known.
#[derive(Deserialize)]
struct OfChannel<'a> {
    #[serde(borrow)]
    channel: Cow<'a, str>,
}

/// Every answer.
#[derive(Serialize)]
#[serde(tag = "status", rename_all = "snake_case")]
enum Answer<'a> {
    Connected {
        #[serde(rename = "connectionId")]
        connection_id: &'a str,
    },
    Subscribed {
        channel: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<&'a Id>,
    },
    Unsubscribed {
        channel: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<&'a Id>,
    },
    Error {
        code: &'static str,
        message: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<&'a Id>,
    },
}

/// What subscribers get.
#[derive(Serialize)]
#[serde(tag = "type", rename = "event")]
struct Event<'a> {
    channel: &'a str,
    data: &'a RawValue,
    timestamp: At,
}

codes! {
    InvalidJson = "invalid_json",
    /// The `id` is neither a string nor an integer, or is there twice.
    InvalidId = "invalid_id",
    UnknownType = "unknown_type",
    InvalidChannel = "invalid_channel",
    TooManyChannels = "too_many_channels",
    RateLimited = "rate_limited",
    Draining = "draining",
}

type Refusal = refusal::Refusal<Code>;

/// What a field of a named channel's event must be.
#[derive(Clone, Copy)]
enum Shape {
    Anything,
    Text,
    Number,
    Truth,
    List,
}

/// A named channel, and the fields of its events.
type Named = (&'static str, &'static [(&'static str, Shape)]);

/// The named channels. On any other, an event is any object.
const NAMED: [Named; 6] = [
    ("files", &[("file", Shape::Text), ("event", Shape::Text)]),
    ("diagnostics", &[("diagnostics", Shape::List)]),
    (
        "ai-response",
        &[
            ("id", Shape::Text),
            ("chunk", Shape::Text),
            ("index", Shape::Number),
            ("finished", Shape::Truth),
        ],
    ),
    (
        "search",
        &[
            ("query", Shape::Text),
            ("count", Shape::Number),
            ("total", Shape::Number),
            ("results", Shape::List),
        ],
    ),
    ("validation", &[("result", Shape::Anything)]),
    ("git", &[("type", Shape::Text), ("message", Shape::Text)]),
];

/// One connection.
#[derive(Debug)]
pub struct Session<P> {
    id: String,
    peer: P,
    channels: BTreeMap<String, Seat>,
    door: Door,
}

impl<P> Session<P> {
    pub(crate) fn open<W: World<Peer = P>>(now: Now, peer: P, world: &W) -> Self {
        let id = world.with_ids(|ids| ids.with_prefix("conn-"));
        world.push(&peer, &Frame::json(&Answer::Connected { connection_id: &id }));
        Self { id, peer, channels: BTreeMap::new(), door: Door::new(now.time, world.limits()) }
    }

    pub(crate) fn received<W: World<Peer = P>>(&mut self, now: Now, text: &str, world: &W) -> Flow {
        let admitted = match self.door.admits(now.time, Dialect::Events, text.len(), world) {
            Ok(admitted) => admitted,
            Err(ending) => return Flow::Close(ending),
        };
        let (id, request) = read(text);
        let outcome = match request {
            _ if !admitted => Err(Refusal::new(Code::RateLimited, "too many requests")),
            Ok(request) => self.obey(now, id.as_ref(), &request, world),
            Err(refusal) => Err(refusal),
        };
        if let Err(Refusal { code, message, .. }) = outcome {
            let code = code.as_str();
            world.tally(Tally::Refused { code });
            let error = Answer::Error { code, message: &message, id: id.as_ref() };
            world.push(&self.peer, &Frame::json(&error));
        }
        Flow::Continue
    }

    fn obey<W: World<Peer = P>>(
        &mut self,
        now: Now,
        id: Option<&Id>,
        Request { verb, channel }: &Request<'_>,
        world: &W,
    ) -> Result<(), Refusal> {
        match verb {
            Verb::Subscribe => self.subscribe(now, id, channel, world),
            Verb::Unsubscribe => {
                self.unsubscribe(now, id, channel, world);
                Ok(())
            }
        }
    }

    /// Confirmed each time, and subscribed once.
    fn subscribe<W: World<Peer = P>>(
        &mut self,
        now: Now,
        id: Option<&Id>,
        channel: &str,
        world: &W,
    ) -> Result<(), Refusal> {
        let confirmed = Frame::json(&Answer::Subscribed { channel, id });
        if self.channels.contains_key(channel) {
            world.push(&self.peer, &confirmed);
            return Ok(());
        }
        if world.draining() {
            return Err(Refusal::new(Code::Draining, "the server is about to stop"));
        }
        if passes(self.channels.len() + 1, world.limits().rooms) {
            return Err(Refusal::new(Code::TooManyChannels, "on as many channels as may be"));
        }
        let key = Dialect::Events.key(channel);
        let seat = in_room(now, &key, Make::IfAbsent, world, |act| {
            // What was published in an earlier life of the channel was not told to be later.
            act.room.time_to_tell(now.unix);
            world.push(&self.peer, &confirmed);
            act.admit(&self.id, "", &self.peer)
        });
        let no_more = || Refusal::new(Code::TooManyChannels, "the server has no more channels");
        self.channels.insert(channel.to_owned(), seat.ok_or_else(no_more)?);
        Ok(())
    }

    /// Confirmed each time; nothing of the channel comes after it.
    fn unsubscribe<W: World<Peer = P>>(
        &mut self,
        now: Now,
        id: Option<&Id>,
        channel: &str,
        world: &W,
    ) {
        let confirmed = Frame::json(&Answer::Unsubscribed { channel, id });
        if let Some(seat) = self.channels.remove(channel) {
            leave(now, channel, seat, Reason::Left, world);
        }
        world.push(&self.peer, &confirmed);
    }

    pub(crate) fn end<W: World<Peer = P>>(&mut self, now: Now, reason: Reason, world: &W) {
        for (channel, seat) in std::mem::take(&mut self.channels) {
            leave(now, &channel, seat, reason, world);
        }
    }

    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    pub(crate) fn rooms(&self) -> impl Iterator<Item = &str> {
        self.channels.keys().map(String::as_str)
    }
}

fn leave<W: World>(now: Now, channel: &str, seat: Seat, reason: Reason, world: &W) {
    in_room(now, &Dialect::Events.key(channel), Make::Never, world, |act| act.exit(seat, reason));
}

/// Reads a request; its `id` also if it is refused.
fn read(text: &str) -> (Option<Id>, Result<Request<'_>, Refusal>) {
    let fields = match json::read(text) {
        Ok(Some(fields)) => fields,
        Ok(None) => {
            return (None, Err(Refusal::new(Code::UnknownType, "a message is an object")));
        }
        Err(error) => return (None, Err(Refusal::new(Code::InvalidJson, error.to_string()))),
    };
    let id = match fields.id {
        Field::Absent => None,
        Field::Once(id) => Some(id),
        Field::Bad => {
            let why = "`id` is a string of up to 64 bytes, or an integer";
            return (None, Err(Refusal::new(Code::InvalidId, why)));
        }
    };
    let verb = match &fields.kind {
        Field::Once(kind) if kind == "subscribe" => Verb::Subscribe,
        Field::Once(kind) if kind == "unsubscribe" => Verb::Unsubscribe,
        _ => {
            let why = "`type` is `subscribe` or `unsubscribe`";
            return (id, Err(Refusal::new(Code::UnknownType, why)));
        }
    };
    let channel = parse(text).map(|OfChannel { channel }| channel).ok();
    let channel = channel
        .filter(|channel| is_channel(channel))
        .ok_or_else(|| Refusal::new(Code::InvalidChannel, NotPublished::Channel.to_string()));
    (id, channel.map(|channel| Request { verb, channel }))
}

fn is_channel(name: &str) -> bool {
    !name.is_empty() && name.chars().nth(CHANNEL_CHARS).is_none()
}

/// Why something was not published.
#[derive(Debug, Eq, PartialEq, thiserror::Error)]
pub enum NotPublished {
    /// The channel's name is empty, or too long.
    #[error("a channel's name is a string of 1 to {CHANNEL_CHARS} characters")]
    Channel,
    /// What is to be published is no JSON.
    #[error("not JSON: {0}")]
    NotJson(String),
    /// What is to be published is no object.
    #[error("an event is a JSON object")]
    NotAnObject,
    /// What is to be published is longer than a message may be.
    #[error("an event has up to {0} bytes")]
    TooLarge(usize),
    /// A field that the events of this channel have is not there, or not as it should be.
    #[error("`{field}` must be {wanted}")]
    Field {
        /// Which.
        field: &'static str,
        /// What it has to be.
        wanted: &'static str,
    },
}

impl NotPublished {
    /// The field at fault, if it is one.
    pub const fn field(&self) -> Option<&'static str> {
        match self {
            Self::Field { field, .. } => Some(field),
            _ => None,
        }
    }
}

/// Says something on a channel: every subscriber gets it once, all in one order. Gives how many
/// those were.
///
/// # Errors
/// If there can be no such channel, or `body` is not what is said there.
pub fn publish<W: World>(
    now: Now,
    channel: &str,
    body: &str,
    world: &W,
) -> Result<u64, NotPublished> {
    if !is_channel(channel) {
        return Err(NotPublished::Channel);
    }
    let limit = Dialect::Events.message_bytes(world.limits());
    if passes(body.len(), limit) {
        return Err(NotPublished::TooLarge(limit));
    }
    let not_json = |error: serde_json::Error| NotPublished::NotJson(error.to_string());
    json::read(body).map_err(not_json)?.ok_or(NotPublished::NotAnObject)?;
    let data: &RawValue = parse(body).map_err(not_json)?;
    if let Some((_, fields)) = NAMED.iter().find(|(name, _)| *name == channel) {
        check(data, fields)?;
    }
    let told = in_room(now, &Dialect::Events.key(channel), Make::Never, world, |act| {
        let timestamp = At(act.room.time_to_tell(now.unix));
        let frame = Frame::json(&Event { channel, data, timestamp });
        act.tell(EventKind::Event, To::All, None, &frame);
        u64::try_from(act.room.count()).unwrap_or(u64::MAX)
    });
    Ok(told.unwrap_or(0))
}

/// Whether the object has all of these fields, and as they must be.
fn check(data: &RawValue, fields: &[(&'static str, Shape)]) -> Result<(), NotPublished> {
    let found: BTreeMap<Cow<'_, str>, &RawValue> = json::fields(data.get());
    for &(field, shape) in fields {
        let value = found.get(field).map(|value| value.get());
        if !value.is_some_and(|value| shape.fits(value)) {
            return Err(NotPublished::Field { field, wanted: shape.wanted() });
        }
    }
    Ok(())
}

impl Shape {
    fn fits(self, value: &str) -> bool {
        match self {
            Self::Anything => true,
            Self::Text => value.starts_with('"'),
            Self::Number => value.parse::<u64>().is_ok(),
            Self::Truth => matches!(value, "true" | "false"),
            Self::List => value.starts_with('['),
        }
    }

    const fn wanted(self) -> &'static str {
        match self {
            Self::Anything => "there",
            Self::Text => "a string",
            Self::Number => "an integer that is not negative",
            Self::Truth => "true or false",
            Self::List => "an array",
        }
    }
}
