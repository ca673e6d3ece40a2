//! A rule: a fault, and which frames it befalls.

use std::fmt;
use std::time::Duration;

use serde_json::Value;

use crate::craft::OPCODES;
use crate::dialect::{EventKind, Verb};

/// Which way a frame goes.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Way {
    /// From the server to a client.
    ToClient,
    /// From a client to the server.
    ToServer,
}

impl Way {
    /// Both.
    pub const BOTH: [Self; 2] = [Self::ToClient, Self::ToServer];

    /// Its word in rules.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ToClient => "client",
            Self::ToServer => "server",
        }
    }
}

/// Every fault: its word, what can be said behind it, and what it does.
pub const FAULTS: [(&str, &str, &str); 13] = [
    ("drop", "", "the frame does not arrive"),
    (
        "duplicate",
        "nothing, `3` or `200ms`",
        "it arrives twice: at once, or again behind so many more messages or after so long",
    ),
    (
        "swap",
        "`any`, `one-sender` or `two-senders`",
        "it changes places with the message behind it, of the same room where that is known",
    ),
    ("delay", "`200ms`", "it and all behind it arrive later, in order"),
    ("hold", "`3` or `200ms`", "it is overtaken: by so many messages, or by all that come so long"),
    (
        "corrupt",
        "`text`, `bytes` or `header`",
        "a letter of what it says is another; a bit of it is; a reserved bit of its header is set",
    ),
    ("truncate", "nothing or `10B`", "only its first bytes arrive (half of it), as a whole frame"),
    ("inject", "a text", "a text frame that nobody sent comes behind it"),
    (
        "misroute",
        "`copy` or `instead`",
        "it arrives at another connection too, or only there: at one in another room, where that is known",
    ),
    ("stall", "`2s`", "nothing passes for so long; then all of it, in order"),
    (
        "cut",
        "`rst`, `fin`, `inside` or a close code",
        "the connection ends at both sides: by reset, in order without a Close frame, by reset inside the frame, or with a Close frame that the other side did not send",
    ),
    ("half_open", "", "nothing passes any more, and neither side is told of the other's end"),
    ("throttle", "`64KiB/s`", "no more than so many bytes a second pass"),
];

/// Every condition: its word, and what it means.
pub const CONDITIONS: [(&str, &str); 8] = [
    ("to", "`client` or `server`: which way the frame goes; else both"),
    (
        "event",
        "an event of the dialect (to the client) or a request (to the server), such as `message`",
    ),
    ("frame", "a pattern that the frame is like"),
    ("opcode", "`text`, `binary`, `close`, `ping`, `pong` or a number up to 15"),
    (
        "at",
        "whose connection: a client's name (`*` at its end stands for anything), a group of the scenario, one of its members (`crowd/3`), the number of a connection; or a list",
    ),
    ("rate", "`1/500`: each such frame with this chance, drawn from the seed"),
    ("after", "so many such frames are spared first"),
    ("times", "at most so often"),
];

/// What goes wrong.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "FAULTS has the words")]
pub enum Fault {
    Drop,
    Duplicate(After),
    Swap(Senders),
    Delay(Duration),
    Hold(After),
    Corrupt(Corruption),
    Truncate(Option<usize>),
    Inject(String),
    Misroute(Reach),
    Stall(Duration),
    Cut(Cut),
    HalfOpen,
    Throttle(u64),
}

/// When something that was kept back goes on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum After {
    /// When so many more messages have gone by; none: at once.
    Messages(u32),
    /// After so long.
    Time(Duration),
}

/// Whose messages change places.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Senders {
    /// Anybody's.
    #[default]
    Any,
    /// Two of the same sender.
    One,
    /// Those of two senders.
    Two,
}

/// What of a frame is altered.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Corruption {
    /// A letter of what is said.
    #[default]
    Text,
    /// Any bit of the payload.
    Bytes,
    /// A reserved bit of the header.
    Header,
}

/// Who gets a frame that went astray.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Reach {
    /// The right one and a wrong one.
    #[default]
    Copy,
    /// Only the wrong one.
    Instead,
}

/// How a connection ends.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Cut {
    /// With a reset of TCP.
    #[default]
    Rst,
    /// As TCP ends in order, without a Close frame.
    Fin,
    /// With a reset behind the first half of the frame.
    Inside,
    /// With a Close frame of this code.
    Code(u16),
}

/// Which frames.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct When {
    /// Which way; none: both.
    pub to: Option<Way>,
    /// What they say in the dialect's words.
    pub event: Option<Told>,
    /// A pattern that they are like.
    pub frame: Option<Value>,
    /// Their opcode.
    pub opcode: Option<u8>,
    /// Whose connection; empty: anybody's.
    pub at: Vec<At>,
    /// With what chance each.
    pub rate: Option<Chance>,
    /// So many are spared first.
    pub after: u64,
    /// At most so many.
    pub times: Option<u64>,
}

/// What a frame says.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Told {
    /// What a server tells.
    Event(EventKind),
    /// What a client asks for.
    Request(Verb),
}

/// A chance of some in so many.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Chance {
    /// So many.
    pub of: u64,
    /// In so many, at least 1.
    pub among: u64,
}

/// Whose connection.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum At {
    /// That of this number, from 1.
    Number(u64),
    /// A client's name or its group's; `*` at the end stands for anything.
    Name(String),
    /// A member of a group, by its number from 0.
    Member(String, u32),
}

/// A fault, and which frames it befalls.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    /// What goes wrong.
    pub fault: Fault,
    /// With which frames.
    pub when: When,
}

impl Rule {
    /// It is about a connection rather than about a frame: when nothing says which frames, it takes
    /// effect at once.
    pub(super) fn is_immediate(&self) -> bool {
        let When { event, frame, opcode, rate, after, .. } = &self.when;
        let of_connection = matches!(
            self.fault,
            Fault::Stall(_) | Fault::Cut(_) | Fault::HalfOpen | Fault::Throttle(_)
        );
        let no_frame = event.is_none() && frame.is_none() && opcode.is_none();
        of_connection && no_frame && rate.is_none() && *after == 0
    }

    /// The opcodes that it may be about, as a set of bits. Where it does not say, a fault of single
    /// frames is about messages, one of the way about everything on it.
    pub(super) fn opcodes(&self) -> u16 {
        const TEXT: u16 = 1 << 1;
        const DATA: u16 = TEXT | 1 << 2;
        match (&self.when, &self.fault) {
            (When { opcode: Some(opcode), .. }, _) => 1 << opcode,
            (When { event: Some(Told::Event(EventKind::Ping)), .. }, _) => TEXT | 1 << 9,
            (When { event: Some(Told::Request(Verb::Pong)), .. }, _) => TEXT | 1 << 10,
            (When { event: Some(_), .. } | When { frame: Some(_), .. }, _) => TEXT,
            (
                _,
                Fault::Stall(_)
                | Fault::Cut(_)
                | Fault::HalfOpen
                | Fault::Throttle(_)
                | Fault::Delay(_),
            ) => u16::MAX,
            _ => DATA,
        }
    }
}

impl Fault {
    /// Its word.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Drop => "drop",
            Self::Duplicate(_) => "duplicate",
            Self::Swap(_) => "swap",
            Self::Delay(_) => "delay",
            Self::Hold(_) => "hold",
            Self::Corrupt(_) => "corrupt",
            Self::Truncate(_) => "truncate",
            Self::Inject(_) => "inject",
            Self::Misroute(_) => "misroute",
            Self::Stall(_) => "stall",
            Self::Cut(_) => "cut",
            Self::HalfOpen => "half_open",
            Self::Throttle(_) => "throttle",
        }
    }

    /// What stands behind its word; empty: nothing need.
    fn argument(&self) -> String {
        let time = |time: &Duration| humantime::format_duration(*time).to_string().replace(' ', "");
        let after = |after: &After| match after {
            After::Messages(0) => String::new(),
            After::Messages(count) => count.to_string(),
            After::Time(span) => time(span),
        };
        match self {
            Self::Drop | Self::HalfOpen | Self::Truncate(None) => String::new(),
            Self::Duplicate(when) | Self::Hold(when) => after(when),
            Self::Swap(senders) => senders.as_str().to_owned(),
            Self::Delay(span) | Self::Stall(span) => time(span),
            Self::Corrupt(what) => what.as_str().to_owned(),
            Self::Truncate(Some(bytes)) => format!("{bytes}B"),
            Self::Inject(text) => quoted(text),
            Self::Misroute(reach) => reach.as_str().to_owned(),
            Self::Cut(cut) => cut.to_string(),
            Self::Throttle(bytes) => format!("{bytes}B/s"),
        }
    }
}

impl Senders {
    pub(super) const WORDS: [(&'static str, Self); 3] =
        [("any", Self::Any), ("one-sender", Self::One), ("two-senders", Self::Two)];

    fn as_str(self) -> &'static str {
        word_of(&Self::WORDS, self)
    }
}

impl Corruption {
    pub(super) const WORDS: [(&'static str, Self); 3] =
        [("text", Self::Text), ("bytes", Self::Bytes), ("header", Self::Header)];

    fn as_str(self) -> &'static str {
        word_of(&Self::WORDS, self)
    }
}

impl Reach {
    pub(super) const WORDS: [(&'static str, Self); 2] =
        [("copy", Self::Copy), ("instead", Self::Instead)];

    fn as_str(self) -> &'static str {
        word_of(&Self::WORDS, self)
    }
}

fn word_of<T: Copy + PartialEq>(words: &[(&'static str, T)], value: T) -> &'static str {
    words.iter().find(|(_, it)| *it == value).map_or("", |(word, _)| word)
}

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rst => f.write_str("rst"),
            Self::Fin => f.write_str("fin"),
            Self::Inside => f.write_str("inside"),
            Self::Code(code) => code.fmt(f),
        }
    }
}

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Name(name) => f.write_str(name),
            Self::Member(group, index) => write!(f, "{group}/{index}"),
        }
    }
}

/// In the words of the command line.
impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.fault.word())?;
        let argument = self.fault.argument();
        if !argument.is_empty() {
            write!(f, "={argument}")?;
        }
        let When { to, event, frame, opcode, at, rate, after, times } = &self.when;
        if let Some(to) = to {
            write!(f, " to={}", to.as_str())?;
        }
        match event {
            Some(Told::Event(kind)) => write!(f, " event={kind}")?,
            Some(Told::Request(verb)) => write!(f, " event={}", verb.as_str())?,
            None => {}
        }
        if let Some(frame) = frame {
            write!(f, " frame={frame}")?;
        }
        if let Some(opcode) = opcode {
            match OPCODES.iter().find(|(_, code)| code == opcode) {
                Some((name, _)) => write!(f, " opcode={name}")?,
                None => write!(f, " opcode={opcode}")?,
            }
        }
        if !at.is_empty() {
            let all: Vec<String> = at.iter().map(ToString::to_string).collect();
            write!(f, " at={}", all.join(","))?;
        }
        if let Some(Chance { of, among }) = rate {
            write!(f, " rate={of}/{among}")?;
        }
        if *after > 0 {
            write!(f, " after={after}")?;
        }
        times.map_or(Ok(()), |times| write!(f, " times={times}"))
    }
}

/// A text as one word.
fn quoted(text: &str) -> String {
    match text.contains('\'') {
        false => format!("'{text}'"),
        true => Value::from(text).to_string(),
    }
}
