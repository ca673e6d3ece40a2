//! Reads a dialect file.

use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

use super::template::{Definitions, Template};
use super::{
    Connect, Dialect, Encoding, EventKind, FEATURES, Fence, Heartbeat, Limits, Receiving, Sending,
    Verb, lint,
};
use crate::plan::{Echo, Ordering, Vars};
use crate::scenario::marked::{At, Keyed, Tried};
use crate::scenario::problem::Problem;
use crate::scenario::read::read as read_node;
use crate::scenario::tree;
use crate::scenario::units::Length;

/// A dialect file, as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    dialect: String,
    #[serde(default)]
    about: String,
    pub(super) connect: ConnectFile,
    #[serde(default)]
    encoding: Encoding,
    #[serde(default)]
    pub(super) params: Keyed<Value>,
    #[serde(default)]
    lacks: Vec<At<String>>,
    #[serde(default)]
    pub(super) define: Keyed<At<Value>>,
    pub(super) send: Keyed<Tried<OneOrMore<SendFile>>>,
    #[serde(default)]
    pub(super) receive: Vec<Tried<ReceiveFile>>,
    ordering: Option<OrderingWord>,
    echo: Option<EchoWord>,
    heartbeat: Option<HeartbeatFile>,
    #[serde(default)]
    limits: LimitsFile,
    fence: Option<FenceWord>,
    #[serde(default)]
    numbering: Vec<EventKind>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ConnectFile {
    pub(super) path: At<String>,
    subprotocol: Option<String>,
    pub(super) ready: Option<At<EventKind>>,
    #[serde(default)]
    pub(super) introduce: Vec<At<Verb>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SendFile {
    pub(super) given: Option<At<Value>>,
    pub(super) frame: At<Value>,
    pub(super) ack: Option<At<EventKind>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ReceiveFile {
    pub(super) event: At<EventKind>,
    pub(super) when: At<Value>,
    #[serde(default)]
    pub(super) with: Keyed<Value>,
    #[serde(default)]
    pub(super) remember: Vec<At<String>>,
    pub(super) reply: Option<At<Verb>>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct HeartbeatFile {
    every: Length,
    timeout: Length,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct LimitsFile {
    message_bytes: Option<u64>,
    text_bytes: Option<u64>,
    rooms: Option<u64>,
    room_name_bytes: Option<u64>,
    members: Option<u64>,
    requests_per_s: Option<u64>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum OrderingWord {
    PerSender,
    Total,
    TotalAmongOthers,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum EchoWord {
    Once,
    Never,
    Apart,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum FenceWord {
    Say,
    Ping,
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

/// Reads a dialect from its file's text, or says all that is wrong with it.
pub(super) fn read(text: &str) -> Result<Dialect, Vec<Problem>> {
    let (file, mut problems) = file(text)?;
    let mut builder = Builder { text, problems: Vec::new() };
    let dialect = builder.dialect(&file);
    problems.append(&mut builder.problems);
    problems.extend(lint::mistakes(text, &file));
    if problems.is_empty() { Ok(dialect) } else { Err(problems) }
}

/// The file as it is written, and the mistakes that did not hinder reading on.
pub(super) fn file(text: &str) -> Result<(File, Vec<Problem>), Vec<Problem>> {
    let root = tree::parse(text).map_err(|problem| vec![problem])?;
    match read_node::<File>(&root) {
        (Some(file), problems) => Ok((file, problems)),
        (None, problems) => Err(problems),
    }
}

struct Builder<'a> {
    text: &'a str,
    problems: Vec<Problem>,
}

impl Builder<'_> {
    fn dialect(&mut self, file: &File) -> Dialect {
        let params: Vars =
            file.params.iter().map(|(name, value)| (name.value.clone(), value.clone())).collect();
        Dialect {
            name: file.dialect.clone(),
            about: file.about.clone(),
            connect: Connect {
                path: file.connect.path.value.clone(),
                subprotocol: file.connect.subprotocol.clone(),
                ready: file.connect.ready.as_ref().map(|ready| ready.value),
                introduce: file.connect.introduce.iter().map(|verb| verb.value).collect(),
            },
            ordering: file.ordering.map_or(Ordering::PerSender, OrderingWord::meaning),
            echo: file.echo.map_or(Echo::Never, EchoWord::meaning),
            heartbeat: file.heartbeat.map(|heartbeat| Heartbeat {
                every: heartbeat.every.0,
                timeout: heartbeat.timeout.0,
            }),
            fence: self.fence(file),
            numbering: file.numbering.clone(),
            limits: file.limits.meaning(),
            define: self.define(file, &params),
            params,
            lacks: self.lacks(file),
            encoding: file.encoding,
            send: self.send(file),
            receive: self.receive(file),
        }
    }

    fn template(&mut self, value: &At<Value>) -> Template {
        Template::compile(value).unwrap_or_else(|message| {
            self.problems.push(Problem::new(message).at(value.place));
            Template::Exactly(Value::Null)
        })
    }

    fn fence(&self, file: &File) -> Fence {
        match file.fence {
            Some(FenceWord::Say) => Fence::Say,
            Some(FenceWord::Ping) => Fence::Ping,
            // What comes back to the sender is the stronger fence: it is in the room's own order.
            None if matches!(file.echo, Some(EchoWord::Once)) => Fence::Say,
            None => Fence::Ping,
        }
    }

    fn define(&mut self, file: &File, params: &Vars) -> Definitions {
        let constant =
            |(name, value): (&String, &Value)| (name.clone(), Template::Exactly(value.clone()));
        let mut define: Definitions = params.iter().map(constant).collect();
        for (name, value) in file.define.iter() {
            let template = self.template(value);
            define.insert(name.value.clone(), template);
        }
        define
    }

    fn lacks(&mut self, file: &File) -> Vec<String> {
        let known: Vec<&str> = Verb::WORDS.iter().chain(FEATURES).copied().collect();
        for lack in file.lacks.iter().filter(|lack| !known.contains(&lack.as_str())) {
            let problem =
                Problem::new(format!("nothing that a scenario needs is called `{}`", **lack));
            self.problems.push(problem.at(lack.place).did_you_mean(lack, known.iter().copied()));
        }
        file.lacks.iter().map(|lack| lack.value.clone()).collect()
    }

    fn send(&mut self, file: &File) -> std::collections::BTreeMap<Verb, Vec<Sending>> {
        let mut send = std::collections::BTreeMap::new();
        for (name, ways) in file.send.iter() {
            let verb = match name.parse::<Verb>() {
                Ok(verb) => verb,
                Err(error) => {
                    let problem = Problem::new(error.to_string()).at(name.place);
                    self.problems.push(problem.did_you_mean(name, Verb::WORDS.iter().copied()));
                    continue;
                }
            };
            let ways = ways.0.as_ref().map_or(&[][..], |ways| ways.0.as_slice());
            let ways = ways.iter().map(|way| Sending {
                given: way.given.as_ref().map(|given| self.template(given)),
                frame: self.frame(way, file.encoding),
                ack: way.ack.as_ref().map(|ack| ack.value),
            });
            send.insert(verb, ways.collect());
        }
        send
    }

    fn frame(&mut self, way: &SendFile, encoding: Encoding) -> Template {
        if encoding == Encoding::Text && !way.frame.is_string() {
            let problem = Problem::new("with `encoding: text` a frame is a text");
            self.problems.push(problem.at(way.frame.place));
        }
        self.template(&way.frame)
    }

    fn receive(&mut self, file: &File) -> Vec<Receiving> {
        let mut receive = Vec::new();
        for way in file.receive.iter().filter_map(|way| way.0.as_ref()) {
            let when = self.template(&way.when);
            if let Some(text) = when.ambiguous() {
                let place = lint::locate(self.text, way.when.place, &text);
                let problem = Problem::new(format!("`{text}` has more than one hole")).at(place);
                self.problems.push(problem.help("when receiving, a text may have one hole"));
            }
            let with = way.with.iter().map(|(name, value)| (name.value.clone(), value.clone()));
            receive.push(Receiving {
                event: way.event.value,
                when,
                with: with.collect(),
                remember: way.remember.iter().map(|name| name.value.clone()).collect(),
                reply: way.reply.as_ref().map(|verb| verb.value),
            });
        }
        receive
    }
}

impl OrderingWord {
    fn meaning(self) -> Ordering {
        match self {
            Self::PerSender => Ordering::PerSender,
            Self::Total => Ordering::Total,
            Self::TotalAmongOthers => Ordering::TotalAmongOthers,
        }
    }
}

impl EchoWord {
    fn meaning(self) -> Echo {
        match self {
            Self::Once => Echo::Once,
            Self::Never => Echo::Never,
            Self::Apart => Echo::Apart,
        }
    }
}

impl LimitsFile {
    fn meaning(self) -> Limits {
        Limits {
            message_bytes: self.message_bytes,
            text_bytes: self.text_bytes,
            rooms: self.rooms,
            room_name_bytes: self.room_name_bytes,
            members: self.members,
            requests_per_s: self.requests_per_s,
        }
    }
}
