//! Judges what the clients saw: one file per property, and a table of all.
//!
//! A check is pure: the same observations always get the same findings. Two rules hold for all of
//! them. They never raise a false alarm: where the order of two events on the wire cannot be known,
//! they keep silent. And they cost a constant time per delivery.

pub mod finding;

use std::fmt::Debug;
use std::time::Duration;

pub use finding::{CLASSES, Class, Finding, Findings, KEPT};

use crate::dialect::Heartbeat;
use crate::observe::{Observation, Time};
use crate::plan::{ChecksPlan, Echo, Ordering};
use crate::verdict::Verdict;

/// A property, judged observation by observation. Pure: the same observations always get the same
/// findings.
pub trait Check: Debug + Send {
    /// The name by which scenarios and reports call it.
    fn name(&self) -> &'static str;
    /// Takes in the next observation.
    fn observe(&mut self, seen: &Observation, found: &mut Findings);
    /// Judges what only the end of the run decides. Says how many facts the check has judged: none
    /// means that it has no opinion.
    fn conclude(&mut self, end: &End, found: &mut Findings) -> u64;
}

/// What the target promises, as far as the checks must know it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Profile {
    /// The order that is promised; none: not judged.
    pub ordering: Option<Ordering>,
    /// How often the sender gets its own message; none: not judged.
    pub echo: Option<Echo>,
    /// The target's timers; none: not judged.
    pub heartbeat: Option<Heartbeat>,
    /// The target pings only a connection that is idle.
    pub idle_pings: bool,
    /// The target numbers the events of a room, +1 each.
    pub numbered: bool,
}

impl Profile {
    /// What the plan says, and the target's timers where they are known.
    pub fn new(checks: &ChecksPlan, heartbeat: Option<Heartbeat>, numbered: bool) -> Self {
        let (ordering, echo) = (checks.order, checks.echo);
        Self { ordering, echo, heartbeat, idle_pings: false, numbered }
    }
}

/// How the run ended.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct End {
    /// When the last observation could have come.
    pub at: Time,
    /// The harness has waited for what was owed, until it came or its time ran out. Otherwise what
    /// is outstanding may be on its way, and only gaps that are certain are losses.
    pub settled: bool,
    /// The user stopped the run; what is outstanding is not judged.
    pub interrupted: bool,
    /// The target's process ended.
    pub died: Option<Time>,
    /// The target stopped answering altogether.
    pub unresponsive: Option<Time>,
    /// The longest time for which the harness itself did not run.
    pub stall: Duration,
}

/// What came of one check.
#[derive(Clone, Debug, PartialEq)]
pub struct CheckResult {
    /// Its name.
    pub name: &'static str,
    /// What it says.
    pub verdict: Verdict,
    /// How many facts it judged.
    pub facts: u64,
    /// How many findings of each class; all classes the check can raise are listed.
    pub classes: Vec<(Class, u64)>,
}

impl CheckResult {
    /// How many findings in all.
    pub fn findings(&self) -> u64 {
        self.classes.iter().map(|(_, n)| n).sum()
    }
}

/// The account of deliveries. `owed` and `received` count copies for others than the sender.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Deliveries {
    /// Copies that had to come.
    pub owed: u64,
    /// Copies that came, each counted once.
    pub received: u64,
    /// Copies that never came.
    pub lost: u64,
    /// Copies too many.
    pub duplicated: u64,
    /// Copies out of order.
    pub disordered: u64,
}

/// All checks of a run behind one door.
#[derive(Debug, Default)]
pub struct Judge {
    findings: Findings,
}

impl Judge {
    /// The checks that the plan asks for, for so many clients.
    pub fn new(_checks: &ChecksPlan, _profile: Profile, _clients: usize) -> Self {
        Self::default()
    }

    /// Takes in the next observation; says how many findings it led to.
    pub fn observe(&mut self, _seen: &Observation) -> usize {
        0
    }

    /// Deliveries still owed, own echoes included.
    pub fn outstanding(&self) -> u64 {
        0
    }

    /// The account of deliveries so far.
    pub fn deliveries(&self) -> Deliveries {
        Deliveries::default()
    }

    /// Judges what only the end decides. To be called once.
    pub fn conclude(&mut self, _end: &End) -> Vec<CheckResult> {
        Vec::new()
    }

    /// What was found so far.
    pub fn findings(&self) -> &Findings {
        &self.findings
    }
}
impl Judge {
    /// TEMP
    pub fn report(&mut self, _finding: Finding) {}
}
