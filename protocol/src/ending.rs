//! How a connection ends: the close codes, and what the rooms are told.

use serde::Serialize;

/// A close code with its reason, as they stand in the Close frame.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Ending {
    /// The close code.
    pub code: u16,
    /// A few words for people.
    pub reason: &'static str,
}

impl Ending {
    /// The server stops.
    pub const GOING_AWAY: Self = Self { code: 1001, reason: "going away" };
    /// The peer broke the framing (RFC 6455).
    pub const PROTOCOL_ERROR: Self = Self { code: 1002, reason: "protocol error" };
    /// A binary frame.
    pub const NOT_TEXT: Self = Self { code: 1003, reason: "text frames only" };
    /// Text that is not UTF-8.
    pub const NOT_UTF8: Self = Self { code: 1007, reason: "invalid UTF-8" };
    /// A message over the limit.
    pub const TOO_BIG: Self = Self { code: 1009, reason: "message too big" };
    /// No frame for longer than the heartbeat timeout.
    pub const TIMEOUT: Self = Self { code: 4000, reason: "heartbeat timeout" };
    /// The server has no more rooms, and the dialect no words for it.
    pub const TRY_LATER: Self = Self { code: 1013, reason: "no more rooms" };
    /// Not allowed in.
    pub const UNAUTHORISED: Self = Self { code: 4001, reason: "unauthorised" };
    /// Removed by whoever runs the server.
    pub const EVICTED: Self = Self { code: 4003, reason: "evicted" };
    /// Its queue passed the limit.
    pub const SLOW: Self = Self { code: 4008, reason: "slow reader" };
    /// It kept on sending after it was told to slow down.
    pub const ABUSE: Self = Self { code: 4009, reason: "abuse" };

    /// What the peers are told when a connection ends so.
    pub const fn reason_told(self) -> Reason {
        match self.code {
            4000 => Reason::Timeout,
            4003 | 4009 => Reason::Evicted,
            4008 => Reason::Slow,
            _ => Reason::Closed,
        }
    }

    /// Every ending that the server can choose.
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
    /// [`Ending::reason_told`].
    Close(Ending),
}
