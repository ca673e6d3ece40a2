//! How a connection ends: the close codes, and what the rooms are told.

use serde::Serialize;

/// A close code with its reason, as they stand in the Close frame; and what the peers are told, which
/// no code says by itself: the same one means something else in another dialect.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Ending {
    /// The close code.
    pub code: u16,
    /// A few words for people.
    pub reason: &'static str,
    /// What the peers are told.
    pub told: Reason,
}

impl Ending {
    /// The server stops.
    pub const GOING_AWAY: Self = Self::new(1001, "going away", Reason::Closed);
    /// The peer broke the framing (RFC 6455).
    pub const PROTOCOL_ERROR: Self = Self::new(1002, "protocol error", Reason::Closed);
    /// A binary frame.
    pub const NOT_TEXT: Self = Self::new(1003, "text frames only", Reason::Closed);
    /// Text that is not UTF-8.
    pub const NOT_UTF8: Self = Self::new(1007, "invalid UTF-8", Reason::Closed);
    /// A message over the limit.
    pub const TOO_BIG: Self = Self::new(1009, "message too big", Reason::Closed);
    /// No frame for longer than the heartbeat timeout.
    pub const TIMEOUT: Self = Self::new(4000, "heartbeat timeout", Reason::Timeout);
    /// The server has no more rooms, and the dialect no words for it.
    pub const TRY_LATER: Self = Self::new(1013, "no more rooms", Reason::Closed);
    /// Not allowed in.
    pub const UNAUTHORISED: Self = Self::new(4001, "unauthorised", Reason::Closed);
    /// Removed by whoever runs the server.
    pub const EVICTED: Self = Self::new(4003, "evicted", Reason::Evicted);
    /// Its queue passed the limit.
    pub const SLOW: Self = Self::new(4008, "slow reader", Reason::Slow);
    /// It kept on sending after it was told to slow down.
    pub const ABUSE: Self = Self::new(4009, "abuse", Reason::Evicted);

    /// An ending.
    pub const fn new(code: u16, reason: &'static str, told: Reason) -> Self {
        Self { code, reason, told }
    }

    /// Every ending that the server can choose, as all dialects but `pusher` say it.
    pub const ALL: [Self; 11] = [
        Self::GOING_AWAY,
        Self::PROTOCOL_ERROR,
        Self::NOT_TEXT,
        Self::NOT_UTF8,
        Self::TOO_BIG,
        Self::TRY_LATER,
        Self::TIMEOUT,
        Self::UNAUTHORISED,
        Self::EVICTED,
        Self::SLOW,
        Self::ABUSE,
    ];
}

/// Why a member is gone, as its peers are told.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// It asked to leave.
    Left,
    /// Its connection was closed, or broke.
    Closed,
    /// Its connection was silent for longer than the heartbeat timeout.
    Timeout,
    /// Its queue passed the limit.
    Slow,
    /// It was removed by whoever runs the server.
    Evicted,
}

/// What becomes of the connection after a frame.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[must_use = "a connection that is to be closed must be closed"]
pub enum Flow {
    /// It goes on.
    Continue,
    /// It goes on, and the message was a sign of life, whatever its kind of frame is worth.
    Alive,
    /// It is closed with this code. The caller calls `end` as well, with
    /// [what the peers are told](Ending::told).
    Close(Ending),
}
