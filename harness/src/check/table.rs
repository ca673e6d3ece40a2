//! The table of all checks: what each asks, and which findings it can raise.

use super::{Check, Class, DELIVERY, ORDER, Profile};
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
pub const TABLE: [Rule; 2] = [
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
        level: always,
        make: none,
    },
    Rule {
        name: ORDER,
        about: "Messages arrive in the order that is promised: each sender's, or one for the room.",
        classes: &[Class::Reorder, Class::Disorder],
        timed: false,
        level: |plan| when(plan.order.is_some()),
        make: none,
    },
];
