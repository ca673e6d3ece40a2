//! Steps below the dialect: frames, bytes and HTTP requests as a scenario writes them itself.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Span;

/// Something that is written to a connection as it is.
#[derive(Clone, Debug)]
pub enum Part {
    /// A text frame with this wire value, encoded as the dialect says.
    Value(Value),
    /// A text frame with exactly this text.
    Text(Payload),
    /// A frame, right or wrong.
    Frame(FramePlan),
    /// Bytes.
    Bytes(Payload),
}

/// Content of a frame, or bytes.
#[derive(Clone, Debug, PartialEq)]
pub enum Payload {
    /// A text: a template.
    Text(String),
    /// These bytes.
    Bytes(Vec<u8>),
    /// So many bytes of `x`.
    Size(usize),
    /// As many bytes of `x` as a variable says: a template that comes to a size.
    SizeOf(String),
    /// The same so many times.
    Times(Box<Self>, u32),
    /// One behind the other.
    Together(Vec<Self>),
}

/// A frame to build by hand.
#[derive(Clone, Debug)]
pub struct FramePlan {
    /// 0 to 15.
    pub opcode: u8,
    /// The last frame of its message.
    pub fin: bool,
    /// The three reserved bits, 0 to 7.
    pub rsv: u8,
    /// Masked, as a client must.
    pub masked: bool,
    /// The length that it declares; none: the real one.
    pub length: Option<u64>,
    /// A Close frame's code; the payload is its reason.
    pub code: Option<u16>,
    /// Its content.
    pub payload: Payload,
}

/// Frames that must come. Patterns: templates over the client's variables, in the dialect's manner.
#[derive(Clone, Debug)]
pub enum FramesPattern {
    /// So many frames like this, in any order with others.
    Some(Value, u32),
    /// Frames like these in this order, others between them.
    InOrder(Vec<Value>),
    /// The next frame that nothing has taken yet.
    Next(Value),
}

/// How a connection must end.
#[derive(Clone, Debug, Default)]
pub struct ClosedPattern {
    /// Who began it.
    pub by: Side,
    /// With one of these codes (none: a Close frame without one); empty: with any.
    pub codes: Vec<Option<u16>>,
    /// A Close frame came, or none did.
    pub clean: Option<bool>,
    /// How TCP ended.
    pub end: Option<TcpEnd>,
    /// Not earlier than this after the client fell silent (else: after the step began).
    pub not_before: Option<Span>,
    /// Not later than this after the client fell silent (else: after the step began).
    pub not_after: Option<Span>,
}

/// Who began to close.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Side {
    /// The server.
    Server,
    /// The client.
    Client,
    /// Either.
    #[default]
    Anyone,
}

/// How TCP ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum TcpEnd {
    /// In order.
    Fin,
    /// With a reset.
    Rst,
}

/// What must not come: events of these kinds, frames like these.
#[derive(Clone, Debug, Default)]
pub struct NonePattern {
    /// Events.
    pub of: Vec<crate::dialect::EventKind>,
    /// Patterns of frames.
    pub frames: Vec<Value>,
    /// Waits so long before the fence.
    pub wait: Duration,
}

/// How probable it may be that a run misses a fault which it is said to find.
pub const MISS: f64 = 1e-6;

/// A fault of this rate is to be found.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Faults {
    /// One delivery of so many is wrong.
    pub one_in: u64,
    /// So many deliveries are needed for that.
    pub needed: u64,
}

impl Faults {
    /// With so many deliveries, each of them wrong with a chance of one in `one_in` whatever the others
    /// are, all are right with a chance of less than [`MISS`]: some 13.8 times `one_in`.
    pub fn of(one_in: u64) -> Self {
        let one_in = one_in.max(1);
        let right = -1.0 / one_in as f64;
        let needed = (MISS.ln() / right.ln_1p()).ceil();
        Self { one_in, needed: (needed as u64).max(1) }
    }
}

/// How much must have been seen for a verdict to mean anything.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Minimum {
    /// Deliveries of messages.
    pub deliveries: u64,
    /// Faults of this rate are to be found: that takes deliveries, too.
    pub faults: Option<Faults>,
    /// Frames that came, all clients together.
    pub frames: u64,
    /// Events that came, all clients together.
    pub events: u64,
}

/// A comparison of values.
#[derive(Clone, Debug)]
pub enum Comparison {
    /// These values, filled by each client, stand to each other like this.
    Values(Vec<Value>, Relation),
    /// The variable has the same value at all members of the group (`true`), or no two have the same.
    Members(String, bool),
}

/// How values stand to each other.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Relation {
    /// All are the same.
    Same,
    /// No two are.
    Differ,
    /// Numbers, or times as RFC 3339 writes them: none is before the one that stands before it.
    Ordered,
}

impl Comparison {
    /// Its word in the scenario language.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Values(_, Relation::Same) => "same",
            Self::Values(_, Relation::Differ) => "differ",
            Self::Values(_, Relation::Ordered) => "ordered",
            Self::Members(_, true) => "equal",
            Self::Members(_, false) => "distinct",
        }
    }
}

/// An HTTP exchange, and what its answer must be.
#[derive(Clone, Debug)]
pub struct Exchange {
    /// The upgrade request, or an ordinary one.
    pub request: HttpPlan,
    /// What must come back.
    pub answer: AnswerPattern,
}

/// An HTTP request. All texts are templates.
#[derive(Clone, Debug)]
pub enum HttpPlan {
    /// Exactly these bytes.
    Raw(Payload),
    /// A WebSocket upgrade, with something missing or otherwise.
    Upgrade {
        /// The method.
        method: String,
        /// The path; none: the dialect's.
        path: Option<String>,
        /// Headers that are left out.
        without: Vec<String>,
        /// More headers, or the same ones with other values.
        headers: Vec<(String, String)>,
    },
    /// An ordinary request.
    Plain {
        /// The method.
        method: String,
        /// The path, or an absolute URL.
        path: String,
        /// More headers.
        headers: Vec<(String, String)>,
        /// The body, and its type.
        body: Option<Body>,
    },
    /// A request of the dialect.
    Named {
        /// Its name there.
        request: String,
        /// Values for its holes: wire values.
        with: Vec<(String, Value)>,
        /// More headers, or the same ones with other values.
        headers: Vec<(String, String)>,
    },
}

/// The body of a request.
#[derive(Clone, Debug)]
pub enum Body {
    /// JSON of this wire value.
    Json(Value),
    /// A form's fields.
    Form(Vec<(String, String)>),
    /// Exactly this.
    Plain(Payload),
}

/// What an answer must be.
#[derive(Clone, Debug, Default)]
pub struct AnswerPattern {
    /// One of these; empty: 101 to an upgrade, else any 2xx.
    pub status: Vec<Statuses>,
    /// Patterns of headers.
    pub headers: Vec<(String, Value)>,
    /// A pattern of the body as a text.
    pub body: Option<Value>,
    /// A pattern of the body as JSON.
    pub json: Option<Value>,
}

impl AnswerPattern {
    /// Whether it says nothing at all.
    pub fn is_silent(&self) -> bool {
        let Self { status, headers, body, json } = self;
        status.is_empty() && headers.is_empty() && body.is_none() && json.is_none()
    }
}

/// Which status.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Statuses {
    /// From the first to the last.
    Between(u16, u16),
    /// The connection ends without an answer.
    NoAnswer,
}

/// What is done to the run's own server.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ServerAct {
    /// SIGTERM, and its end is waited for.
    Stop,
    /// SIGKILL.
    Kill,
    /// It is started again, where it was and with the same arguments.
    Start,
    /// Its last end had this exit code.
    Expect(i32),
}

impl ServerAct {
    /// Its word in the scenario language.
    pub fn word(self) -> &'static str {
        match self {
            Self::Stop => "stop_server",
            Self::Kill => "kill_server",
            Self::Start => "start_server",
            Self::Expect(_) => "expect_exit",
        }
    }
}

impl Part {
    /// Its word in the scenario language.
    pub(super) fn word(&self) -> &'static str {
        match self {
            Self::Value(_) => "send",
            Self::Text(_) => "send_text",
            Self::Frame(_) => "frame",
            Self::Bytes(_) => "bytes",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rare_fault_takes_so_many_deliveries_that_hardly_any_run_misses_it() {
        assert_eq!(Faults::of(1).needed, 1);
        assert_eq!(Faults::of(2).needed, 20);
        assert_eq!(Faults::of(1000).needed, 13_809);
        for one_in in [2, 3, 10, 77, 1000, 1_000_000] {
            let right: f64 = 1.0 - 1.0 / one_in as f64;
            let missed = |deliveries: u64| right.powf(deliveries as f64);
            let needed = Faults::of(one_in).needed;
            assert!(missed(needed) <= MISS * 1.000_001, "1/{one_in}");
            assert!(missed(needed - 1) > MISS * 0.999_999, "1/{one_in}: no more than it takes");
        }
    }
}
