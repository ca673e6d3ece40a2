//! The table of all checks: what each asks, and which findings it can raise.

use super::hearing::Hearing;
use super::heartbeat::Pulse;
use super::membership::Membership;
use super::numbering::Numbering;
use super::presence::Presence;
use super::protocol::{Protocol, Unknown};
use super::recovery::Recovery;
use super::slow::Slow;
use super::storage::Storage;
use super::{
    Check, Class, DELIVERY, HEARING, HEARTBEAT, MEMBERSHIP, NUMBERING, ORDER, PRESENCE, PROTOCOL,
    Profile, RECOVERY, SLOW, STORAGE, UNKNOWN,
};
use crate::plan::{ChecksPlan, Level};

/// A check, as reports and documentation show it.
#[derive(Clone, Copy, Debug)]
pub struct Rule {
    /// Its name.
    pub name: &'static str,
    /// What it asks, in one sentence.
    pub about: &'static str,
    /// The classes of findings that it can raise.
    pub classes: &'static [Class],
    /// It judges times, so a late harness makes it inconclusive.
    pub timed: bool,
    /// How grave a breach is, by the plan; off: it does not run.
    pub level: fn(&ChecksPlan) -> Level,
    /// Makes it, where it is not a part of another.
    pub make: fn(&ChecksPlan, &Profile) -> Option<Box<dyn Check>>,
}

fn always(_: &ChecksPlan) -> Level {
    Level::Fail
}

fn when(wanted: bool) -> Level {
    if wanted { Level::Fail } else { Level::Off }
}

/// `delivery` and `order` keep the same books: the judge owns them.
fn none(_: &ChecksPlan, _: &Profile) -> Option<Box<dyn Check>> {
    None
}

/// All checks, in the order of reports.
pub const TABLE: [Rule; 12] = [
    Rule {
        name: DELIVERY,
        about: "Every message reaches everybody it is owed to, once, unaltered, and nobody else.",
        classes: &[
            Class::Loss,
            Class::Duplicate,
            Class::Phantom,
            Class::Leak,
            Class::Early,
            Class::Late,
            Class::Corrupt,
            Class::Misattributed,
            Class::Echo,
        ],
        timed: false,
        level: |plan| when(plan.messages),
        make: none,
    },
    Rule {
        name: ORDER,
        about: "Messages arrive in the order that is promised: each sender's, or one for the room.",
        classes: &[Class::Reorder, Class::Disorder],
        timed: false,
        level: |plan| when(plan.messages && plan.order.is_some()),
        make: none,
    },
    Rule {
        name: HEARING,
        about: "Where joins are not confirmed, who asked to enter hears what others in its room hear.",
        classes: &[Class::Loss],
        timed: false,
        level: |plan| when(plan.messages),
        make: Hearing::make,
    },
    Rule {
        name: NUMBERING,
        about: "The numbers that the server gives have no gap, no repetition, and one meaning.",
        classes: &[Class::Loss, Class::Duplicate, Class::Disorder, Class::Reply],
        timed: false,
        level: |plan| when(plan.messages),
        make: Numbering::make,
    },
    Rule {
        name: MEMBERSHIP,
        about: "Members are told of all who come and go, once, and agree on who is there.",
        classes: &[
            Class::Notice,
            Class::View,
            Class::Ghost,
            Class::Admission,
            Class::Identity,
            Class::Snapshot,
        ],
        timed: false,
        level: |plan| plan.membership,
        make: Membership::make,
    },
    Rule {
        name: PRESENCE,
        about: "Everybody sees everybody's newest presence in time, and never an older one again.",
        classes: &[Class::Presence, Class::Snapshot],
        timed: false,
        level: |plan| when(plan.presence.is_some()),
        make: Presence::make,
    },
    Rule {
        name: STORAGE,
        about: "Versions grow one by one, all see one history, and no confirmed write is lost.",
        classes: &[Class::Storage, Class::Snapshot],
        timed: false,
        level: |plan| when(plan.storage),
        make: Storage::make,
    },
    Rule {
        name: HEARTBEAT,
        about: "Pings come in time; the silent are dropped in their window, the living never.",
        classes: &[Class::Ping, Class::Timeout],
        timed: true,
        level: |plan| when(plan.heartbeat.is_some()),
        make: Pulse::make,
    },
    Rule {
        name: RECOVERY,
        about: "What was missed while away comes whole and once, or the server says it is gone.",
        classes: &[Class::Recovery],
        timed: false,
        level: |plan| when(plan.recovery),
        make: Recovery::make,
    },
    Rule {
        name: SLOW,
        about: "A reader that stops delays nobody else.",
        classes: &[Class::Slow],
        timed: true,
        level: |plan| when(plan.slow.is_some()),
        make: Slow::make,
    },
    Rule {
        name: PROTOCOL,
        about: "Frames, replies and endings are as the protocol has them, and the target lives.",
        classes: &[
            Class::Greeting,
            Class::Reply,
            Class::Killed,
            Class::Close,
            Class::Framing,
            Class::Unresponsive,
        ],
        timed: false,
        level: always,
        make: Protocol::make,
    },
    Rule {
        name: UNKNOWN,
        about: "Every frame is one that the dialect knows.",
        classes: &[Class::Framing],
        timed: false,
        level: |plan| plan.unknown_messages,
        make: Unknown::make,
    },
];
