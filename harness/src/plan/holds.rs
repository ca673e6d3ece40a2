//! What must hold during a run, and how strictly.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Place;

/// Which checks run, and how strictly.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ChecksPlan {
    /// Every message to every member: exactly once, at least once, at most once, or not judged.
    pub delivery: Delivery,
    /// The order that is promised; none: not judged. Default: the dialect's ordering.
    pub order: Option<Ordering>,
    /// How often the sender gets its own message back; none: not judged. Default: the dialect's.
    pub echo: Option<Echo>,
    /// Membership notices, views and ghosts.
    pub membership: Level,
    /// Frames that the dialect does not know.
    pub unknown_messages: Level,
    /// All members hold the same presence, this long after the last change.
    pub presence: Option<Duration>,
    /// Storage versions: +1 each, one history, replicas equal.
    pub storage: bool,
    /// Pings and timeouts keep their windows, widened by this much.
    pub heartbeat: Option<Duration>,
    /// What was missed while away comes back, whole and once.
    pub recovery: bool,
    /// A reader that stops delays nobody by more than this.
    pub slow: Option<Duration>,
    /// Messages, their order and their numbers are judged.
    pub messages: bool,
    /// Replies that answer nothing and endings that nobody asked for are judged.
    pub manners: bool,
}

/// What delivery is promised.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Delivery {
    /// Neither lost nor doubled.
    ExactlyOnce,
    /// Not lost.
    AtLeastOnce,
    /// Not doubled.
    AtMostOnce,
    /// Not judged.
    Any,
}

/// What order is promised.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ordering {
    /// Each sender's messages in the order sent.
    PerSender,
    /// One order of all messages of a room, the same at all members.
    Total,
    /// One order of all messages but one's own.
    TotalAmongOthers,
}

/// How often a sender gets its own message.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Echo {
    /// Once, in the room's order.
    Once,
    /// Never.
    Never,
    /// Once, on a way of its own: it has no place in the order.
    Apart,
}

/// How grave a breach is.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Level {
    /// The run fails.
    Fail,
    /// It is told.
    Warn,
    /// It is not looked at.
    Off,
}

/// A limit on a measured value.
#[derive(Clone, Debug)]
pub struct Threshold {
    /// Where it stands in the scenario file.
    pub place: Place,
    /// The metric, of the closed list.
    pub metric: String,
    /// Which of its values: `p50`, `p99`, `p99.9`, `max`, `min`, `mean`, `count`.
    pub stat: String,
    /// As the user wrote it.
    pub text: String,
    /// The comparison.
    pub op: Op,
    /// The limit: microseconds for times, a plain number or one a second otherwise.
    pub limit: f64,
}

/// A comparison.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Op {
    /// Below.
    Lt,
    /// At most.
    Le,
    /// Equal.
    Eq,
    /// At least.
    Ge,
    /// Above.
    Gt,
}
