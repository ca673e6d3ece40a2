//! One try of one case: planned, run against its server, judged.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use parking_lot::Mutex;

use super::logs::{CaseLog, Logs};
use super::subjects::Subject;
use crate::check::Class;
use crate::cli::{run, summarize};
use crate::conform::event::{Seen, seen};
use crate::conform::fit::plan;
use crate::conform::outcome::{Ended, Judged, Outcome, Traffic, ended, found, judge, patience};
use crate::conform::requirement::Level;
use crate::dialect::Heartbeat;
use crate::drive::{self, Cut, Interrupt, Job, Reached, Tls};
use crate::plan::{Built, Capacity, Minimum, Options, Plan, mix, outlives};
use crate::scenario::Scenario;
use crate::stamp;
use crate::verdict::Verdict;

/// What every try has in common.
pub(in crate::cli) struct Bench<'a> {
    pub(in crate::cli) seed: u64,
    pub(in crate::cli) capacity: Capacity,
    /// More options for servers that are started.
    pub(in crate::cli) server_args: Vec<String>,
    /// Gives up what is owed when nothing of it has come for so long: for servers that are known to
    /// be wrong.
    pub(in crate::cli) patience: Option<Duration>,
    pub(in crate::cli) interrupt: &'a Interrupt,
    pub(in crate::cli) tls: &'a Tls,
    /// Where the logs of cases go, if they are kept.
    pub(in crate::cli) logs: Option<&'a Logs>,
}

/// Which steps, how grave, and where.
#[derive(Clone, Copy)]
pub(in crate::cli) struct Try<'a> {
    /// The how manieth try of its case; none: of one that is tried again and again.
    pub(in crate::cli) number: Option<u32>,
    pub(in crate::cli) id: &'a str,
    pub(in crate::cli) scenario: &'a Scenario,
    /// The steps by which it shows that the server refuses what it lacks.
    pub(in crate::cli) refusal: bool,
    pub(in crate::cli) level: Level,
    pub(in crate::cli) subject: &'a Subject,
    pub(in crate::cli) place: Place<'a>,
}

/// Where a try takes place.
#[derive(Clone, Copy)]
pub(in crate::cli) enum Place<'a> {
    /// At a server that others use, too: its URL, and where that was found to be.
    Shared(&'a str, &'a Mutex<Option<Reached>>),
    /// At a server of its own.
    Own,
}

/// What came of a try.
#[derive(Debug)]
pub(in crate::cli) struct Tried {
    pub(in crate::cli) judged: Judged,
    /// The signal came while it ran.
    pub(in crate::cli) interrupted: bool,
    /// The server was not there when it began, or died or fell silent while it ran.
    pub(in crate::cli) server_gone: bool,
    pub(in crate::cli) duration_ms: u64,
    pub(in crate::cli) line: Option<usize>,
    pub(in crate::cli) findings: u64,
    pub(in crate::cli) seen: Vec<Seen>,
    /// What was found, by which check and of which class, and is not excused; the first first.
    pub(in crate::cli) found: Vec<(&'static str, Class)>,
    pub(in crate::cli) traffic: Traffic,
    pub(in crate::cli) ended: Vec<Ended>,
    pub(in crate::cli) stall_ms: u64,
    /// What its clients did and saw.
    pub(in crate::cli) log: Option<CaseLog>,
}

impl Tried {
    pub(in crate::cli) fn only(judged: Judged) -> Self {
        Self {
            judged,
            interrupted: false,
            server_gone: false,
            duration_ms: 0,
            line: None,
            findings: 0,
            seen: Vec::new(),
            found: Vec::new(),
            traffic: Traffic::default(),
            ended: Vec::new(),
            stall_ms: 0,
            log: None,
        }
    }

    /// The server was there all the time, and still nothing can be said.
    pub(in crate::cli) fn says_nothing(&self) -> bool {
        let open = self.judged.outcome == Outcome::Inconclusive;
        open && !self.server_gone && !self.interrupted
    }

    /// The try says that the server does wrong, or that it is not there: is it?
    pub(in crate::cli) fn accuses(&self) -> bool {
        let wrong = matches!(self.judged.outcome, Outcome::Fail | Outcome::Nonstrict);
        wrong || self.server_gone
    }
}

/// Why a try did not take place, and what that says.
struct Void {
    judged: Judged,
    server_gone: bool,
}

impl Void {
    fn of(judged: Judged) -> Self {
        Self { judged, server_gone: false }
    }

    /// It could not be run, because the harness or a server of the case's own could not.
    fn not_run(own: bool, reason: String) -> Self {
        Self::of(match own && cannot(&reason) {
            true => Judged::unsupported(reason),
            false => Judged::error(reason),
        })
    }
}

/// Whether a server of ours did not start because, as it is built or told to move bytes, it does not
/// have what the case gives it. Any other reason is a mistake of the case.
fn cannot(reason: &str) -> bool {
    reason.contains("--transport ") && reason.contains(" knows nothing of ")
}

impl Bench<'_> {
    /// The seed of a case.
    pub(super) fn seed_of(&self, id: &str) -> u64 {
        mix(self.seed ^ u64::from(stamp::hash(id.as_bytes())))
    }

    /// Plans, runs and judges.
    pub(in crate::cli) fn attempt(&self, it: Try<'_>) -> Tried {
        let begun = Instant::now();
        let mut tried = self.run(it).unwrap_or_else(|void| Tried {
            server_gone: void.server_gone,
            ..Tried::only(void.judged)
        });
        tried.duration_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        tried
    }

    fn run(&self, it: Try<'_>) -> Result<Tried, Void> {
        let own = matches!(it.place, Place::Own);
        // What a case says of a server of its own stands over what all others are started with.
        let said = it.scenario.file.server.heartbeat.as_ref().filter(|_| own);
        let heartbeat = said.map(|word| word.0).or(it.subject.heartbeat);
        let plan = self.plan(it, heartbeat)?;
        let target = match it.place {
            Place::Shared(url, _) => Some(url),
            Place::Own => None,
        };
        // Of a sanity case there is no more to be known than that it failed.
        let log = it.number.and(self.logs).and_then(Logs::begin);
        let mut job = Job {
            plan: &plan,
            target,
            reached: None,
            tls: self.tls,
            wait: Duration::ZERO,
            heartbeat,
            log: log.as_ref().zip(self.logs).map(|(log, logs)| (log.file(), logs.bytes())),
            interrupt: self.interrupt,
            say: &|_| {},
            live: &|_| {},
        };
        let reached = match it.place {
            Place::Shared(url, place) => Some(self.reach(url, place, &job)?),
            Place::Own => None,
        };
        job.reached = reached.as_ref();
        let started = Timestamp::now();
        let outcome = drive::run(&job).map_err(|reason| Void::not_run(own, reason))?;
        let traffic = Traffic {
            deliveries: outcome.books.judge.deliveries().received,
            frames: outcome.books.frames,
            events: outcome.books.events,
            faults: plan.traffic.faults,
        };
        let interrupted = matches!(outcome.cut, Some(Cut::Interrupted(_)));
        let gone = matches!(outcome.cut, Some(Cut::Died(..) | Cut::Unresponsive(_)));
        let endings = ended(outcome.books.endings.all());
        let mut summary = summarize::outcome(&plan, started, outcome, String::new());
        summary.interrupted = self.interrupt.signal().filter(|_| interrupted).map(run::stopped_by);
        let greeted = reached.as_ref().and_then(Reached::heartbeat);
        let timers = heartbeat.or(greeted).or(plan.dialect.heartbeat);
        let patience = timers.map(|timers| patience(plan.dialect.timers(timers)));
        let judged = judge(&summary, it.level, patience, &endings);
        let broken = summary.steps.iter().find(|step| step.verdict == Verdict::Failed);
        Ok(Tried {
            judged,
            interrupted,
            server_gone: gone && !own,
            line: broken.map(|step| step.line),
            findings: summary.findings,
            seen: seen(&summary.witnesses),
            found: found(&summary, patience, &endings),
            traffic,
            ended: endings,
            stall_ms: summary.generator.stall_us / 1_000,
            log,
            duration_ms: 0,
        })
    }

    /// What a try chooses follows from its case and the seed, and so do its names at a server of
    /// ours: nobody but this suite has ever been there. At any other a second suite must not meet
    /// those of the first, and a sanity case not itself.
    fn options(&self, it: Try<'_>) -> Options {
        let seed = Some(self.seed_of(it.id));
        let now = Options { seed, refusal: it.refusal, ..Options::now() };
        let args: Vec<&str> = self.server_args.iter().map(String::as_str).collect();
        let alone = it.subject.entry.url.is_empty() && !outlives(&args);
        let Some(number) = it.number.filter(|_| alone) else {
            return now;
        };
        let profile = stamp::hash(it.subject.profile.name.as_bytes());
        Options { started_us: u64::from(number) << 32 | u64::from(profile), ..now }
    }

    /// The case as this server is to be asked it.
    fn plan(&self, it: Try<'_>, heartbeat: Option<Heartbeat>) -> Result<Box<Plan>, Void> {
        let error = |reason: String| Void::of(Judged::error(reason));
        let options = Options { heartbeat, ..self.options(it) };
        let built = plan(it.scenario, &it.subject.profile, &it.subject.dialect, options);
        let mut plan = match built.map_err(|problems| error(problems.to_string()))? {
            Built::Ready(plan, cost) => match cost.refusal(&plan.groups, &self.capacity) {
                Some(refusal) => return Err(error(refusal)),
                None => plan,
            },
            // The dialect has not even words for what the server lacks.
            Built::Skipped(_) if it.refusal => return Err(Void::of(Judged::pass())),
            Built::Skipped(reason) => return Err(error(reason)),
        };
        if it.refusal {
            // A refusal is no traffic.
            plan.traffic = Minimum::default();
        }
        plan.patience = self.patience;
        plan.server.args.extend(self.server_args.iter().cloned());
        Ok(plan)
    }

    /// Where the server is: asked once, and again when it has been started anew.
    fn reach(
        &self,
        url: &str,
        place: &Mutex<Option<Reached>>,
        job: &Job<'_>,
    ) -> Result<Reached, Void> {
        let known = place.lock().clone();
        if let Some(reached) = known {
            return Ok(reached);
        }
        match drive::reach(url, job) {
            Ok(reached) => Ok(place.lock().insert(reached).clone()),
            Err(reason) => {
                let judged =
                    Judged::inconclusive(format!("the target cannot be reached: {reason}"));
                Err(Void { server_gone: true, judged })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Judged, Tried, cannot};

    #[test]
    fn a_try_that_says_nothing_is_no_sign_of_a_server_that_is_gone() {
        let open = || Tried::only(Judged::inconclusive("the harness itself stood still"));
        assert!(open().says_nothing());
        for tried in [
            Tried { server_gone: true, ..open() },
            Tried { interrupted: true, ..open() },
            Tried::only(Judged::pass()),
        ] {
            assert!(!tried.says_nothing(), "{tried:?}");
        }
    }

    #[test]
    fn a_server_that_does_not_have_an_option_is_told_from_a_case_that_is_wrong() {
        let start = "the reference server did not start:";
        assert!(cannot(&format!("{start} --transport naive knows nothing of --data")));
        for wrong in ["error: unexpected argument '--dta' found", "it said nothing in 10s"] {
            assert!(!cannot(&format!("{start} {wrong}")), "{wrong}");
        }
    }
}
