//! A scenario made runnable: resolved, bounded, counted.

mod below;
mod build;
mod cost;
mod holds;
mod needs;
mod network;
mod timeline;
mod wire;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use crate::check::Class;
use crate::dialect::{Dialect, EventKind, Heartbeat, Verb};
use crate::observe::ClientId;
use crate::proxy::Rule;
use crate::scenario::Scenario;

pub use build::{Built, Options};
pub(crate) use build::{mix, outlives, plain};
pub use cost::{Capacity, Cost};
pub use holds::{ChecksPlan, Delivery, Echo, Level, Op, Ordering, Threshold};
pub(crate) use network::known_to_all;
pub use wire::{
    AnswerPattern, Body, ClosedPattern, Comparison, Exchange, Faults, FramePlan, FramesPattern,
    HttpPlan, MISS, Minimum, NonePattern, Part, Payload, Relation, ServerAct, Side, Statuses,
    TcpEnd,
};

/// Values by name: a scenario's variables, a client's captured values, a template's holes.
pub type Vars = BTreeMap<String, Value>;

/// Everything that a run needs, decided before it starts.
#[derive(Debug)]
pub struct Plan {
    /// The scenario's name.
    pub scenario: String,
    /// What it is about, for the report.
    pub about: String,
    /// The file it came from, and its text: what a place in it means.
    pub source: Source,
    /// The seed of every random choice.
    pub seed: u64,
    /// The word `$run`: in every room and name, so that a second run meets nothing of the first.
    pub run: String,
    /// The run's number in message stamps.
    pub run_number: u64,
    /// How the target talks.
    pub dialect: Arc<Dialect>,
    /// All simulated clients; a group's are neighbours.
    pub clients: Vec<ClientPlan>,
    /// The groups, in the order of the scenario.
    pub groups: Vec<Group>,
    /// The timeline.
    pub steps: Vec<Step>,
    /// By where a step stands (its first byte): what its breach is called, where the scenario says it.
    pub classes: BTreeMap<usize, Class>,
    /// What is judged.
    pub checks: ChecksPlan,
    /// Limits on measured values.
    pub thresholds: Vec<Threshold>,
    /// How the child server is set up, when there is no target.
    pub server: ServerSetup,
    /// Frames like these are never the next frame: patterns.
    pub ignore: Vec<Value>,
    /// With less seen than this the run is inconclusive.
    pub traffic: Minimum,
    /// At the end, gives up what is owed when nothing of it has come for so long; none: not before
    /// the end of the time that the scenario gives it.
    pub patience: Option<Duration>,
}

impl Plan {
    /// All rules about the network that its timeline ever sets.
    pub fn network(&self) -> impl Iterator<Item = &Rule> {
        self.steps.iter().flat_map(Step::network)
    }
}

impl Step {
    fn network(&self) -> Vec<&Rule> {
        match &self.action {
            Action::Network(rules) => rules.iter().collect(),
            Action::Repeat { steps, .. } | Action::Together(steps) | Action::Each(steps) => {
                steps.iter().flat_map(Self::network).collect()
            }
            _ => Vec::new(),
        }
    }
}

/// Where a scenario came from.
#[derive(Clone, Debug, Default)]
pub struct Source {
    /// Its path, or a shipped scenario's name.
    pub name: String,
    /// Its text.
    pub text: Arc<str>,
}

/// A range of bytes in [`Source::text`].
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Place {
    /// First byte.
    pub offset: usize,
    /// Number of bytes.
    pub len: usize,
    /// Line, from 1.
    pub line: usize,
}

/// One simulated client.
#[derive(Clone, Debug)]
pub struct ClientPlan {
    /// Its group: the place in [`Plan::groups`].
    pub group: usize,
    /// Its number within the group, from 0.
    pub index: u32,
    /// Its name, unique in the run and carrying `$run`.
    pub name: String,
    /// Its variables, resolved: the scenario's, the group's, `me`, `index`, `run`.
    pub vars: Arc<Vars>,
    /// Whether it answers pings from the start.
    pub pongs: bool,
}

/// Clients that play the same role.
#[derive(Clone, Debug)]
pub struct Group {
    /// Its name in the scenario.
    pub name: String,
    /// Its first client.
    pub first: ClientId,
    /// How many clients.
    pub size: u32,
    /// How many connections and joins it starts a second; none: all at once.
    pub ramp: Option<f64>,
}

/// One line of the timeline.
#[derive(Clone, Debug)]
pub struct Step {
    /// Where it stands in the scenario file.
    pub place: Place,
    /// A label for the report.
    pub note: Option<String>,
    /// The group that acts: the place in [`Plan::groups`]. None for control steps.
    pub who: Option<usize>,
    /// How long it may take. None: the default of 5 s.
    pub within: Option<Span>,
    /// It is left out at servers that lack one of these.
    pub needs: Vec<String>,
    /// What is done.
    pub action: Action,
}

/// What a step does.
#[derive(Clone, Debug)]
pub enum Action {
    /// Opens the connection, and says who the client is where the dialect introduces clients.
    Open {
        /// Instead of the dialect's path.
        path: Option<String>,
        /// More headers of the upgrade request.
        headers: BTreeMap<String, String>,
        /// It is open with the upgrade: no greeting is waited for, and nothing is said.
        bare: bool,
    },
    /// Closes with a Close frame.
    Close {
        /// The code; none: 1000.
        code: Option<u16>,
        /// The reason.
        reason: String,
    },
    /// Resets the TCP connection.
    Drop,
    /// Opens a new connection.
    Reconnect {
        /// Waits so long first.
        after: Duration,
        /// Retries after this long, doubled each time up to 30 s; none: one try.
        backoff: Option<Duration>,
        /// Spreads the waiting by up to its own length, from the seed.
        jitter: bool,
        /// Joins the rooms it was in: not, afresh, or asking for what it missed.
        rejoin: Rejoin,
    },
    /// Answers pings from now on, or falls silent.
    Pongs(bool),
    /// Reads from now on, or stops (with a small receive buffer from its next connection on).
    Reads(bool),
    /// Asks the server for something, in the dialect's words.
    Ask(Ask),
    /// Says something in a room.
    Say(Say),
    /// Writes frames or bytes as they are given, in one piece.
    Transmit(Vec<Part>),
    /// Ends the client's half of the TCP connection, without a Close frame.
    HalfClose,
    /// An HTTP request on a connection of its own, or an upgrade that goes no further.
    Http(Box<Exchange>),
    /// Waits until these events and frames have come.
    Expect(Expect),
    /// Proves by a fence that none of these events and frames comes.
    ExpectNone(NonePattern),
    /// Forgets all that has come so far, up to a fence.
    Drain,
    /// Compares values.
    Compare(Comparison),
    /// Does something to the run's own server.
    Server(ServerAct),
    /// Lets time pass.
    Wait(Span),
    /// Repeats steps.
    Repeat {
        /// How often.
        times: u32,
        /// For how long, if that ends it earlier.
        span: Option<Duration>,
        /// The steps.
        steps: Vec<Step>,
    },
    /// Runs these side by side.
    Together(Vec<Step>),
    /// Each member of the group runs these by itself, without waiting for the others.
    Each(Vec<Step>),
    /// Open-loop load.
    Phase {
        /// Its name, for the report.
        name: String,
        /// How long.
        span: Duration,
        /// Left out of the latencies (a warm-up).
        discard: bool,
        /// What is done, and how often.
        streams: Vec<Stream>,
    },
    /// Waits until everything owed has arrived.
    Settle(Duration),
    /// These faults of the network befall frames from now on, and no others.
    Network(Vec<Rule>),
    /// Nothing: servers of this kind lack what the step needs. Why.
    LeftOut(String),
}

/// How a client goes back to its rooms after a reconnect.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Rejoin {
    /// Not at all.
    No,
    /// As a newcomer.
    Fresh,
    /// Asking for what it missed (`since: last`).
    Since,
}

/// A request in the dialect's words.
#[derive(Clone, Debug)]
pub struct Ask {
    /// Which.
    pub verb: Verb,
    /// Its arguments, as templates over the client's variables. `join`: `room` or `code`,
    /// `membership`, `since` (`"last"`). `leave`, `typing` (`on`), `presence` (`patch`), `store`
    /// (`ops`, `if_version`), `read` (`number`, or `"last"`), `name` (`username`), `create` (`capacity`).
    pub args: Vars,
    /// Keeps values of the reply: variable name → field of the acknowledging event.
    pub save: BTreeMap<String, String>,
    /// The request must be refused with this code.
    pub refused: Option<String>,
}

/// Something said.
#[derive(Clone, Debug, Default)]
pub struct Say {
    /// A fixed text (a template); none: a stamped text.
    pub text: Option<String>,
    /// Size of a stamped text in bytes, stamp included.
    pub size: Option<usize>,
    /// The room (a template); none: the room the client is in.
    pub room: Option<String>,
    /// The request must be refused with this code.
    pub refused: Option<String>,
}

/// Events that must come.
#[derive(Clone, Debug, Default)]
pub struct Expect {
    /// Patterns, in any order; each is waited for.
    pub events: Vec<Pattern>,
    /// Exactly these members are in the client's room (names of groups or templates).
    pub members: Option<Vec<String>>,
    /// Frames.
    pub frames: Option<FramesPattern>,
    /// The answer to a WebSocket ping of this content.
    pub pong: Option<Payload>,
    /// The connection ends.
    pub closed: Option<ClosedPattern>,
}

/// An event that must come.
#[derive(Clone, Debug)]
pub struct Pattern {
    /// Which kind.
    pub kind: EventKind,
    /// What its fields must be: templates; a field `who` or `from` may name a group. A value that is
    /// an object matches as a subset.
    pub fields: Vars,
    /// How many such events.
    pub count: u32,
    /// Keeps values: variable name → field of the (last) event.
    pub save: BTreeMap<String, String>,
}

/// Something done at a rate, whatever the server does.
#[derive(Clone, Debug)]
pub struct Stream {
    /// Where it stands in the scenario file.
    pub place: Place,
    /// The group; its members take turns.
    pub who: usize,
    /// How many a second, for the whole group.
    pub rate: f64,
    /// It is left out at servers that lack one of these.
    pub needs: Vec<String>,
    /// What.
    pub action: StreamAction,
}

/// What a stream repeats.
#[derive(Clone, Debug)]
pub enum StreamAction {
    /// Says something.
    Say(Say),
    /// Asks for something; `$n` counts the stream's actions from 0.
    Ask(Ask),
}

/// A length of time that may depend on the target's heartbeat: a sum of products.
#[derive(Clone, Debug, PartialEq)]
pub struct Span(pub Vec<(f64, Term)>);

/// A summand of a [`Span`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Term {
    /// A fixed time.
    Time(Duration),
    /// The heartbeat's interval, `$heartbeat.every`.
    Every,
    /// The heartbeat's timeout, `$heartbeat.timeout`.
    Timeout,
}

impl Span {
    /// Its length under a heartbeat. Never below zero.
    pub fn under(&self, heartbeat: Heartbeat) -> Duration {
        let seconds = |term| match term {
            Term::Time(time) => time,
            Term::Every => heartbeat.every,
            Term::Timeout => heartbeat.timeout,
        };
        let sum: f64 = self.0.iter().map(|&(k, term)| k * seconds(term).as_secs_f64()).sum();
        Duration::from_secs_f64(sum.max(0.0))
    }
}

/// How the child server is set up.
#[derive(Clone, Debug, Default)]
pub struct ServerSetup {
    /// Its heartbeat.
    pub heartbeat: Option<Heartbeat>,
    /// More arguments, as on its command line.
    pub args: Vec<String>,
}

impl Plan {
    /// What a breach of the step that stands here is called, where it would by itself be of this class.
    pub fn called(&self, place: Place, class: Class) -> Class {
        // How a connection or a server ended is a finding of its own, whatever was waited for.
        let own = matches!(class, Class::Close | Class::Killed | Class::Unresponsive);
        let said = self.classes.get(&place.offset).filter(|_| !own);
        said.copied().unwrap_or(class)
    }
}

impl Action {
    /// Its word in the scenario language.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Open { .. } => "open",
            Self::Close { .. } => "close",
            Self::Drop => "drop",
            Self::Reconnect { .. } => "reconnect",
            Self::Pongs(_) => "pongs",
            Self::Reads(_) => "reads",
            Self::Ask(ask) => ask.verb.as_str(),
            Self::Say(_) => "say",
            Self::Transmit(parts) => parts.first().map_or("send", Part::word),
            Self::HalfClose => "half_close",
            Self::Http(exchange) => match exchange.request {
                HttpPlan::Plain { .. } | HttpPlan::Named { .. } => "http",
                HttpPlan::Raw(_) | HttpPlan::Upgrade { .. } => "handshake",
            },
            Self::Expect(_) => "expect",
            Self::ExpectNone(_) => "expect_none",
            Self::Drain => "drain",
            Self::Compare(comparison) => comparison.word(),
            Self::Server(act) => act.word(),
            Self::Wait(_) => "wait",
            Self::Repeat { .. } => "repeat",
            Self::Together(_) => "together",
            Self::Each(_) => "each",
            Self::Phase { .. } => "phase",
            Self::Settle(_) => "settle",
            Self::Network(_) => "network",
            Self::LeftOut(_) => "left out",
        }
    }
}

/// The first thing that a scenario needs and a dialect lacks, as a sentence.
pub(crate) fn missing(scenario: &Scenario, dialect: &Dialect) -> Option<String> {
    needs::missing(&scenario.file, &scenario.file.steps, dialect)
}

/// Whether a scenario uses something: a verb or a feature.
pub(crate) fn uses(scenario: &Scenario, need: &str) -> bool {
    needs::uses(&scenario.file, need)
}
