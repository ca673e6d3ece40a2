//! A dialect file, as it is written: the types that its YAML is read into.

use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

use super::duty::ReturnWord;
use super::{Encoding, EventKind, Fence, Limits, Verb};
use crate::plan::{Echo, Ordering};
use crate::scenario::marked::{At, Keyed, Tried};
use crate::scenario::problem::Problem;
use crate::scenario::read::read as read_node;
use crate::scenario::tree;
use crate::scenario::units::Length;

/// A dialect file, as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    pub(super) dialect: String,
    #[serde(default)]
    pub(super) about: String,
    pub(super) connect: ConnectFile,
    #[serde(default)]
    pub(super) encoding: Encoding,
    #[serde(default)]
    pub(super) params: Keyed<Value>,
    #[serde(default)]
    pub(super) lacks: Vec<At<String>>,
    #[serde(default)]
    pub(super) define: Keyed<At<Value>>,
    #[serde(default)]
    pub(super) http: Keyed<Tried<At<HttpFile>>>,
    pub(super) send: Keyed<Tried<OneOrMore<SendFile>>>,
    #[serde(default)]
    pub(super) receive: Vec<Tried<At<ReceiveFile>>>,
    pub(super) ordering: Option<OrderingWord>,
    pub(super) echo: Option<EchoWord>,
    pub(super) heartbeat: Option<HeartbeatFile>,
    #[serde(default)]
    pub(super) limits: LimitsFile,
    pub(super) fence: Option<FenceWord>,
    #[serde(default)]
    pub(super) numbering: Vec<EventKind>,
    #[serde(default)]
    pub(super) snapshot: Vec<At<EventKind>>,
    pub(super) reconnect: Option<ReconnectFile>,
}

/// What a client owes before it comes back.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ReconnectFile {
    pub(super) attempts: Option<At<u32>>,
    #[serde(default)]
    pub(super) after: Keyed<At<ReturnWord>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ConnectFile {
    pub(super) path: At<String>,
    pub(super) subprotocol: Option<String>,
    pub(super) ready: Option<At<EventKind>>,
    #[serde(default)]
    pub(super) introduce: Vec<At<Verb>>,
    #[serde(default)]
    pub(super) before: Vec<At<String>>,
    #[serde(default)]
    pub(super) headers: Keyed<At<Value>>,
    #[serde(default)]
    pub(super) cookies: bool,
}

/// An HTTP request: one method, at most one body.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct HttpFile {
    pub(super) get: Option<At<String>>,
    pub(super) post: Option<At<String>>,
    pub(super) put: Option<At<String>>,
    pub(super) patch: Option<At<String>>,
    pub(super) delete: Option<At<String>>,
    #[serde(default)]
    pub(super) with: Vec<At<String>>,
    pub(super) query: Option<At<Value>>,
    pub(super) json: Option<At<Value>>,
    pub(super) form: Option<Keyed<At<Value>>>,
    pub(super) body: Option<At<Value>>,
    #[serde(default)]
    pub(super) headers: Keyed<At<Value>>,
    pub(super) status: Option<At<u16>>,
    pub(super) take: Option<At<Value>>,
    #[serde(default)]
    pub(super) take_headers: Keyed<At<Value>>,
}

impl HttpFile {
    /// Its methods, and where each goes.
    pub(super) fn methods(&self) -> impl Iterator<Item = (&'static str, &At<String>)> {
        let all = [
            ("GET", &self.get),
            ("POST", &self.post),
            ("PUT", &self.put),
            ("PATCH", &self.patch),
            ("DELETE", &self.delete),
        ];
        all.into_iter().filter_map(|(method, to)| Some((method, to.as_ref()?)))
    }

    /// The templates that are filled when it is made.
    pub(super) fn filled(&self) -> impl Iterator<Item = &At<Value>> {
        let form = self.form.iter().flat_map(|form| form.iter().map(|(_, value)| value));
        let bodies = self.json.iter().chain(&self.body);
        form.chain(bodies)
    }

    /// Those that are filled last, and may name what the request is itself.
    pub(super) fn filled_last(&self) -> impl Iterator<Item = &At<Value>> {
        self.headers.iter().map(|(_, value)| value).chain(&self.query)
    }

    /// The templates that its answer is held against.
    pub(super) fn taken(&self) -> impl Iterator<Item = &At<Value>> {
        self.take.iter().chain(self.take_headers.iter().map(|(_, value)| value))
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SendFile {
    pub(super) given: Option<At<Value>>,
    #[serde(default)]
    pub(super) before: Vec<At<String>>,
    pub(super) frame: Option<At<Value>>,
    pub(super) frames: Option<At<Value>>,
    pub(super) http: Option<At<String>>,
    pub(super) ack: Option<At<EventKind>>,
}

impl SendFile {
    /// The templates of its frames.
    pub(super) fn frames(&self) -> impl Iterator<Item = &At<Value>> {
        self.frame.iter().chain(&self.frames)
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ReceiveFile {
    event: Option<At<EventKind>>,
    #[serde(default)]
    events: Vec<At<EventKind>>,
    pub(super) when: Option<At<Value>>,
    #[serde(default)]
    pub(super) frames: Vec<At<Value>>,
    #[serde(default)]
    pub(super) with: Keyed<At<Value>>,
    #[serde(default)]
    pub(super) remember: Vec<At<String>>,
    pub(super) reply: Option<At<Verb>>,
    pub(super) own: Option<At<EventKind>>,
    pub(super) refuses: Option<At<Verb>>,
}

impl ReceiveFile {
    /// The events that it is.
    pub(super) fn events(&self) -> impl Iterator<Item = &At<EventKind>> {
        self.event.iter().chain(&self.events)
    }

    /// The templates of its frames, in the order in which they come.
    pub(super) fn templates(&self) -> impl Iterator<Item = &At<Value>> {
        self.when.iter().chain(&self.frames)
    }
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct HeartbeatFile {
    pub(super) every: Length,
    pub(super) timeout: Option<Length>,
    #[serde(default)]
    pub(super) idle: bool,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct LimitsFile {
    message_bytes: Option<u64>,
    frame_bytes: Option<u64>,
    text_bytes: Option<u64>,
    rooms: Option<u64>,
    room_name_bytes: Option<u64>,
    members: Option<u64>,
    requests_per_s: Option<u64>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum OrderingWord {
    PerSender,
    Total,
    TotalAmongOthers,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum EchoWord {
    Once,
    Never,
    Apart,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum FenceWord {
    Say,
    Ping,
}

impl OrderingWord {
    pub(super) fn meaning(self) -> Ordering {
        match self {
            Self::PerSender => Ordering::PerSender,
            Self::Total => Ordering::Total,
            Self::TotalAmongOthers => Ordering::TotalAmongOthers,
        }
    }
}

impl EchoWord {
    pub(super) fn meaning(self) -> Echo {
        match self {
            Self::Once => Echo::Once,
            Self::Never => Echo::Never,
            Self::Apart => Echo::Apart,
        }
    }
}

impl FenceWord {
    pub(super) fn meaning(self) -> Fence {
        match self {
            Self::Say => Fence::Say,
            Self::Ping => Fence::Ping,
        }
    }
}

impl LimitsFile {
    pub(super) fn meaning(self) -> Limits {
        Limits {
            message_bytes: self.message_bytes,
            frame_bytes: self.frame_bytes,
            text_bytes: self.text_bytes,
            rooms: self.rooms,
            room_name_bytes: self.room_name_bytes,
            members: self.members,
            requests_per_s: self.requests_per_s,
        }
    }
}

/// One of something, or a list of them.
#[derive(Debug)]
pub(super) struct OneOrMore<T>(pub(super) Vec<T>);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for OneOrMore<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Either<T> {
            type Value = OneOrMore<T>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a mapping, or a list of mappings")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<OneOrMore<T>, A::Error> {
                Ok(OneOrMore(vec![T::deserialize(MapAccessDeserializer::new(map))?]))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<OneOrMore<T>, A::Error> {
                Vec::deserialize(SeqAccessDeserializer::new(seq)).map(OneOrMore)
            }
        }

        deserializer.deserialize_any(Either(PhantomData))
    }
}

/// The file as it is written, and the mistakes that did not hinder reading on.
pub(super) fn file(text: &str) -> Result<(File, Vec<Problem>), Vec<Problem>> {
    let root = tree::parse(text).map_err(|problem| vec![problem])?;
    match read_node::<File>(&root) {
        (Some(file), problems) => Ok((file, problems)),
        (None, problems) => Err(problems),
    }
}
