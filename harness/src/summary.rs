//! One value with everything that a report shows; every format is drawn from it alone.

use crate::check::{CheckResult, Deliveries, Finding, Findings};
use crate::latency::{Held, Measured};
use crate::log::Kept;
use crate::observe::Time;
use crate::plan::Faults;
use crate::proxy::Story;
use crate::verdict::{Exit, Verdict};

/// Frames shown before and after a finding, at the client that saw it.
pub const FRAMES_AROUND: usize = 5;
/// Findings shown with their frames.
pub const WITNESSES_MAX: usize = 200;

/// Which way a frame went, as its client saw it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Direction {
    /// The client sent it.
    Out,
    /// The client received it.
    In,
}

/// A frame in a transcript.
#[derive(Clone, Debug, PartialEq)]
pub struct Frame {
    /// When.
    pub at: Time,
    /// Which way.
    pub direction: Direction,
    /// Its text, cut to a readable length.
    pub text: String,
}

/// A finding, and the frames around it at the client that saw it.
#[derive(Clone, Debug, PartialEq)]
pub struct Witness {
    /// The finding.
    pub finding: Finding,
    /// The client's name.
    pub client: Option<String>,
    /// The room's name.
    pub room: Option<String>,
    /// Up to [`FRAMES_AROUND`] frames on either side, oldest first.
    pub frames: Vec<Frame>,
}

/// How many clients took part.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Clients {
    /// In the plan.
    pub planned: u64,
    /// Connected at the same time, at most.
    pub connected_max: u64,
    /// Could not connect.
    pub failed: u64,
}

/// What it took to produce the load, and whether the numbers can be believed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Generator {
    /// Which engine.
    pub engine: String,
    /// CPU seconds used.
    pub cpu_s: f64,
    /// The 99th percentile of its own lateness.
    pub lateness_p99_us: u64,
    /// The 99th percentile of how late its timers fired.
    pub loop_lag_p99_us: u64,
    /// The longest time for which it did not run.
    pub stall_us: u64,
    /// Memory at its peak.
    pub peak_rss_bytes: u64,
    /// How long the end took, until everything owed had come.
    pub drain_s: f64,
}

/// What is said of steps that the run did not come to. One that is left out, because servers of this
/// kind lack what it needs, has a reason of its own.
pub const NOT_REACHED: &str = "not reached";

/// A step of the scenario that went wrong, or was not carried out.
#[derive(Clone, Debug, PartialEq)]
pub struct StepResult {
    /// Its line in the scenario file.
    pub line: usize,
    /// What it is called in reports.
    pub label: String,
    /// What it says.
    pub verdict: Verdict,
    /// What was expected, and what was seen instead.
    pub message: String,
    /// How long it took.
    pub seconds: f64,
}

/// Everything that a report shows.
#[derive(Clone, Debug)]
pub struct Summary {
    /// The scenario's name.
    pub scenario: String,
    /// What it is about.
    pub about: String,
    /// The dialect's name.
    pub dialect: String,
    /// The target's URL; for a child server what it is called.
    pub target: String,
    /// The seed.
    pub seed: u64,
    /// When it began, RFC 3339 in UTC.
    pub started: String,
    /// How long it took.
    pub duration_s: f64,
    /// The signal that ended it early.
    pub interrupted: Option<Exit>,
    /// Why it could not run to its end, if it could not.
    pub error: Option<String>,
    /// The command that repeats it.
    pub again: String,
    /// How many clients.
    pub clients: Clients,
    /// How many messages were sent.
    pub sent: u64,
    /// The account of deliveries.
    pub deliveries: Deliveries,
    /// Expectations of the steps that were met.
    pub expectations: u64,
    /// What was seen too little of for a verdict to mean anything, in words.
    pub too_little: Option<String>,
    /// How rare faults may be that it finds, where it is for such, and how many deliveries that takes.
    pub faults: Option<Faults>,
    /// The steps, in order.
    pub steps: Vec<StepResult>,
    /// What came of the checks.
    pub checks: Vec<CheckResult>,
    /// All findings, of which some are kept in full.
    pub findings: u64,
    /// Warnings: told, not counted.
    pub warnings: Vec<Finding>,
    /// The findings kept, with their frames.
    pub witnesses: Vec<Witness>,
    /// What came of the limits.
    pub thresholds: Vec<Held>,
    /// Everything measured.
    pub measured: Measured,
    /// The harness was too late for its times to be the target's.
    pub late: bool,
    /// What producing the load took.
    pub generator: Generator,
    /// What came of the log, if one was kept.
    pub log: Option<Kept>,
    /// What was wrong with the network because the scenario wanted it: no server is to blame for that.
    pub network: Vec<Story>,
}

impl Summary {
    /// The verdict of the run: the gravest of its steps, checks and thresholds. Nothing judged at
    /// all is inconclusive, and so is a run that did not come to its end.
    pub fn verdict(&self) -> Verdict {
        let steps = self.steps.iter().map(|step| step.verdict);
        let thresholds = self.thresholds.iter().map(|held| held.verdict);
        let checks = self.checks.iter().map(|check| check.verdict);
        let worst = Verdict::gravest(steps.chain(thresholds).chain(self.check_verdict(checks)));
        let cut_short = self.interrupted.is_some() || self.error.is_some();
        if cut_short || self.too_little.is_some() {
            worst.max(Verdict::Inconclusive)
        } else {
            worst
        }
    }

    /// A check that judged nothing says nothing, and does not spoil what others say; that all of
    /// them judged nothing does.
    fn check_verdict(&self, checks: impl Iterator<Item = Verdict>) -> Option<Verdict> {
        let facts: u64 = self.checks.iter().map(|check| check.facts).sum();
        let facts = facts + self.expectations;
        let worst = checks.filter(|verdict| *verdict != Verdict::Skipped).max();
        if facts == 0 {
            Some(worst.unwrap_or(Verdict::Inconclusive).max(Verdict::Inconclusive))
        } else {
            worst
        }
    }

    /// The exit code. A signal says more than what was seen until it came.
    pub fn exit(&self) -> Exit {
        match (self.interrupted, &self.error) {
            (Some(signal), _) => signal,
            (None, Some(_)) => Exit::CouldNotRun,
            (None, None) => self.verdict().into(),
        }
    }

    /// Takes over what the judge came to.
    pub fn judged(&mut self, checks: Vec<CheckResult>, deliveries: Deliveries, found: &Findings) {
        self.checks = checks;
        self.deliveries = deliveries;
        self.findings = found.total();
        self.warnings = found.warnings().to_vec();
    }
}
