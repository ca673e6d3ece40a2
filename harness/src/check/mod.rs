//! Judges what the clients saw: one file per property, and a table of all.
//!
//! A check is pure: the same observations always get the same findings. Two rules hold for all of
//! them. They never raise a false alarm: where the order of two events on the wire cannot be known,
//! they keep silent. And they cost a constant time per delivery.

pub mod finding;
mod hearing;
mod heartbeat;
mod membership;
mod numbered;
mod numbering;
mod presence;
mod protocol;
mod recovery;
mod slow;
mod storage;
pub mod table;
mod traffic;

use std::fmt::Debug;
use std::time::Duration;

pub use finding::{CLASSES, Class, Finding, Findings, KEPT};

use crate::dialect::Heartbeat;
use serde::{Deserialize, Serialize};
use serde_json::Value;
pub use table::{Rule, TABLE};

use crate::latency::STALL_LIMIT;
use crate::observe::{Observation, Time, What};
use crate::plan::{ChecksPlan, Echo, Level, Ordering};
use crate::verdict::Verdict;
use traffic::{DELIVERY, ORDER, Traffic};

/// The names of the checks.
const MEMBERSHIP: &str = "membership";
pub(crate) const NUMBERING: &str = "numbering";
const PRESENCE: &str = "presence";
const STORAGE: &str = "storage";
const HEARTBEAT: &str = "heartbeat";
const RECOVERY: &str = "recovery";
const SLOW: &str = "slow";
const HEARING: &str = "hearing";
pub(crate) const PROTOCOL: &str = "protocol";
const UNKNOWN: &str = "unknown_messages";

/// By how much windows of time are widened, for scheduling on both sides.
const SLACK: Duration = Duration::from_millis(250);

/// How long a server may take to notice that a connection is gone, and to tell it, in microseconds.
const GRACE_US: u64 = 1_000_000;

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
    /// How many copies it found missing that are in no other account.
    fn missed(&self) -> u64 {
        0
    }
}

/// What the target promises, as far as the checks must know it.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
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
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
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

/// The name under which the timeline's own findings stand.
pub const STEPS: &str = "steps";

/// What the books of deliveries take in memory.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Footprint {
    /// For each member of each room.
    pub bytes_per_member: usize,
    /// For each message.
    pub bytes_per_message: usize,
    /// Pairs of a member and a sender that take memory of their own.
    pub pairs: usize,
    /// Streams with faults.
    pub faulty: usize,
}

/// All checks of a run behind one door.
#[derive(Debug)]
pub struct Judge {
    traffic: Traffic,
    others: Vec<Box<dyn Check>>,
    findings: Findings,
    sent: u64,
    /// Messages are judged; else their account is kept for nobody's blame.
    messages: bool,
    unjudged: Findings,
    /// Expectations of the timeline that were met.
    met: u64,
}

impl Judge {
    /// The checks that the plan asks for, for so many clients.
    pub fn new(checks: &ChecksPlan, profile: Profile, clients: usize) -> Self {
        let mut findings = Findings::default();
        for rule in &TABLE {
            if (rule.level)(checks) == Level::Warn {
                findings.only_warn(rule.name);
            }
        }
        let wanted = TABLE.iter().filter(|rule| (rule.level)(checks) != Level::Off);
        let others = wanted.filter_map(|rule| (rule.make)(checks, &profile)).collect();
        let traffic = Traffic::new(checks, &profile, clients);
        let messages = checks.messages;
        Self { traffic, others, findings, sent: 0, messages, unjudged: Findings::default(), met: 0 }
    }

    /// Takes in the next observation; says how many findings it led to.
    pub fn observe(&mut self, seen: &Observation) -> usize {
        let before = self.findings.total() + self.findings.warned();
        self.sent += u64::from(matches!(seen.what, What::Sending { .. }));
        let found = if self.messages { &mut self.findings } else { &mut self.unjudged };
        self.traffic.observe(seen, found);
        for check in &mut self.others {
            check.observe(seen, &mut self.findings);
        }
        let more = self.findings.total() + self.findings.warned() - before;
        usize::try_from(more).unwrap_or(usize::MAX)
    }

    /// Takes in what the timeline itself found: a step that did not come out as it must.
    pub fn report(&mut self, finding: Finding) {
        self.findings.push(finding);
    }

    /// An expectation of the timeline was met.
    pub fn met(&mut self) {
        self.met += 1;
    }

    /// So many more expectations of the timeline were met.
    pub fn have_met(&mut self, more: u64) {
        self.met = self.met.saturating_add(more);
    }

    /// How many expectations of the timeline were met.
    pub fn expectations(&self) -> u64 {
        self.met
    }

    /// Deliveries still owed, own echoes included.
    pub fn outstanding(&self) -> u64 {
        if self.messages { self.traffic.outstanding() } else { 0 }
    }

    /// The account of deliveries so far.
    pub fn deliveries(&self) -> Deliveries {
        let missed: u64 = self.others.iter().map(|check| check.missed()).sum();
        let sums = self.traffic.deliveries();
        Deliveries { owed: sums.owed + missed, lost: sums.lost + missed, ..sums }
    }

    /// What the books of deliveries take.
    pub fn footprint(&self) -> Footprint {
        self.traffic.footprint()
    }

    /// Judges what only the end decides. To be called once.
    pub fn conclude(&mut self, end: &End) -> Vec<CheckResult> {
        let found = if self.messages { &mut self.findings } else { &mut self.unjudged };
        let delivered = self.traffic.conclude(end, found);
        let mut facts = vec![(DELIVERY, delivered), (ORDER, self.traffic.ordered())];
        facts.retain(|_| self.messages);
        for check in &mut self.others {
            facts.push((check.name(), check.conclude(end, &mut self.findings)));
        }
        // Messages were sent, and there was nobody to get one: silence about them proves nothing.
        let unheard = self.sent > 0 && self.traffic.deliveries().owed == 0;
        let late = end.stall > STALL_LIMIT;
        let asked = TABLE.iter().filter_map(|rule| {
            let facts = facts.iter().find(|(name, _)| *name == rule.name)?.1;
            Some((rule, facts))
        });
        let results = asked.map(|(rule, facts)| self.result(rule, facts, unheard, late));
        results.chain(self.steps()).collect()
    }

    /// What the timeline itself found, where it did.
    fn steps(&self) -> Option<CheckResult> {
        let classes = self.findings.of(STEPS);
        let facts = classes.iter().map(|(_, n)| n).sum();
        let verdict = Verdict::Failed;
        (facts > 0).then_some(CheckResult { name: STEPS, verdict, facts, classes })
    }

    fn result(&self, rule: &Rule, facts: u64, unheard: bool, late: bool) -> CheckResult {
        let counted = self.findings.of(rule.name);
        let count =
            |class: &Class| counted.iter().find(|(found, _)| found == class).map_or(0, |(_, n)| *n);
        let classes: Vec<_> = rule.classes.iter().map(|class| (*class, count(class))).collect();
        let broken = counted.iter().any(|(_, n)| *n > 0);
        let idle = match rule.name {
            DELIVERY | ORDER => self.sent == 0,
            // Every join was confirmed.
            HEARING => facts == 0,
            // The timeline has judged, and had nothing for these.
            MEMBERSHIP | NUMBERING | PROTOCOL | UNKNOWN => facts == 0 && self.met > 0,
            _ => false,
        };
        let verdict = if broken {
            Verdict::Failed
        } else if idle {
            // Nothing happened that it could judge, and nothing had to.
            Verdict::Skipped
        } else if facts == 0 || (rule.name == DELIVERY && unheard) || (rule.timed && late) {
            Verdict::Inconclusive
        } else {
            Verdict::Passed
        };
        CheckResult { name: rule.name, verdict, facts, classes }
    }

    /// What was found so far.
    pub fn findings(&self) -> &Findings {
        &self.findings
    }
}

/// A hash of a JSON value by which equal values are equal, whatever the order of their keys.
pub(crate) fn hash_value(value: &Value) -> u64 {
    use std::hash::Hasher as _;
    let bytes = |tag: u64, bytes: &[u8]| {
        let mut hasher = numbered::Mix::default();
        hasher.write_u64(tag);
        hasher.write(bytes);
        hasher.finish()
    };
    match value {
        Value::Null => numbered::mix(1),
        Value::Bool(yes) => numbered::mix(2 + u64::from(*yes)),
        // 1 and 1.0 are one number in JSON.
        Value::Number(n) => bytes(4, &n.as_f64().unwrap_or_default().to_bits().to_le_bytes()),
        Value::String(text) => bytes(5, text.as_bytes()),
        Value::Array(items) => items.iter().fold(numbered::mix(6), |sum, item| {
            numbered::mix(sum.wrapping_mul(31).wrapping_add(hash_value(item)))
        }),
        Value::Object(fields) => fields.iter().fold(numbered::mix(7), |sum, (key, item)| {
            sum.wrapping_add(numbered::mix(bytes(8, key.as_bytes()) ^ hash_value(item)))
        }),
    }
}
