//! What runs of mutants and of the good server have in common: dialects, cases by name, servers.

use std::collections::BTreeMap;

use parking_lot::Mutex;

use crate::cli::conform::subjects::{Subject, server_timers};
use crate::cli::conform::tries::{Bench, Place, Tried, Try};
use crate::cli::run::capacity;
use crate::conform::fit::{Fit, fit, plan};
use crate::conform::requirement::Level;
use crate::conform::suite::Suite;
use crate::drive::{self, ChildServer, Interrupt, Reached, Tls};
use crate::plan::{Built, Capacity, Options};
use crate::scenario::{Problems, Scenario};
use crate::selftest::catalogue::SCENARIO;
use crate::selftest::{lint, small};

/// Tries of what says nothing.
pub(super) const TRIES_MAX: u32 = 3;

pub(super) struct Lab<'a> {
    pub(super) suite: &'a Suite,
    pub(super) seed: u64,
    pub(super) interrupt: &'a Interrupt,
    subjects: BTreeMap<String, Subject>,
    small: Vec<(&'static str, Scenario)>,
    capacity: Capacity,
    tls: Tls,
}

/// A case, or a scenario made small, in one dialect.
pub(super) struct Work<'a> {
    pub(super) id: String,
    /// Nothing runs beside it.
    pub(super) alone: bool,
    scenario: &'a Scenario,
    level: Level,
    subject: &'a Subject,
    /// A server is started for it.
    own: bool,
}

impl<'a> Lab<'a> {
    /// A lab for these dialects.
    pub(super) fn new(
        suite: &'a Suite,
        dialects: &[String],
        interrupt: &'a Interrupt,
        seed: u64,
    ) -> Result<Self, Problems> {
        let subject = |name: &String| Ok((name.clone(), Subject::own(suite, name)?));
        let subjects = dialects.iter().map(subject).collect::<Result<_, Problems>>()?;
        let small = small::NAMES.map(|name| Ok((name, small::small(name)?)));
        let small = small.into_iter().collect::<Result<_, Problems>>()?;
        let (capacity, tls) = (capacity(), Tls::new(&[], false));
        Ok(Self { suite, seed, interrupt, subjects, small, capacity, tls })
    }

    /// Whether the signal has come.
    pub(super) fn is_over(&self) -> bool {
        self.interrupt.signal().is_some()
    }

    /// What tries have in common that have this seed, at servers with these options.
    pub(super) fn bench(&self, seed: u64, server_args: Vec<String>) -> Bench<'_> {
        let Self { capacity, interrupt, tls, .. } = self;
        Bench { seed, capacity: *capacity, server_args, interrupt, tls }
    }

    /// A case by its name without the dialect's, or a scenario.
    pub(super) fn work(&self, dialect: &str, name: &str) -> Option<Work<'_>> {
        let subject = self.subjects.get(dialect)?;
        if let Some(scenario) = name.strip_prefix(SCENARIO) {
            let (_, scenario) = self.small.iter().find(|(known, _)| *known == scenario)?;
            let id = format!("{dialect}/{name}");
            let (level, own) = (Level::Must, has_set_up(scenario));
            return Some(Work { id, alone: false, scenario, level, subject, own });
        }
        let (id, case) = lint::case(self.suite, dialect, name)?;
        let (scenario, level) = (&case.scenario, self.suite.level(case));
        let own = case.own_server || case.set_up;
        Some(Work { id, alone: case.alone, scenario, level, subject, own })
    }

    /// Everything that a good server must pass, by dialect and name, in a fixed order.
    pub(super) fn everything(&self) -> Vec<(&str, String)> {
        let mut all = Vec::new();
        for (dialect, subject) in &self.subjects {
            for (id, case) in self.suite.cases_of(dialect) {
                let fits = fit(self.suite, case, &subject.profile, &subject.dialect);
                if fits == Fit::Runs {
                    let name = id.strip_prefix(&format!("{dialect}/")).map(str::to_owned);
                    all.push((dialect.as_str(), name.unwrap_or(id)));
                }
            }
            for (name, scenario) in &self.small {
                let built = plan(scenario, &subject.profile, &subject.dialect, Options::default());
                if matches!(built, Ok(Built::Ready(..))) {
                    all.push((dialect.as_str(), format!("{SCENARIO}{name}")));
                }
            }
        }
        all
    }

    /// The options of a server for all dialects of the lab, with short timers.
    fn timers(&self) -> Vec<String> {
        server_timers(None, self.subjects.values())
    }
}

/// A server of the lab's, started when it is needed first, and again when it has died.
pub(super) struct Host {
    args: Vec<String>,
    child: Mutex<Option<ChildServer>>,
}

impl Host {
    /// A server with these options besides the timers.
    pub(super) fn new(lab: &Lab<'_>, more: &[String]) -> Self {
        let args = lab.timers().into_iter().chain(more.iter().cloned()).collect();
        Self { args, child: Mutex::new(None) }
    }

    /// Where it is.
    fn url(&self) -> Result<String, String> {
        let mut child = self.child.lock();
        if let Some(running) = child.as_mut()
            && running.has_ended().is_none()
        {
            return Ok(running.url().to_owned());
        }
        let started = ChildServer::start(&self.args).map_err(|error| error.to_string())?;
        Ok(child.insert(started).url().to_owned())
    }

    /// How it ended, if it has.
    pub(super) fn has_ended(&self) -> Option<String> {
        self.child.lock().as_mut().and_then(ChildServer::has_ended)
    }
}

impl Work<'_> {
    /// One try, at this server unless it needs one of its own.
    ///
    /// # Errors
    /// The server does not start: why.
    pub(super) fn attempt(&self, bench: &Bench<'_>, host: &Host) -> Result<Tried, String> {
        let Self { id, scenario, level, subject, .. } = self;
        let attempt = |place| {
            bench.attempt(Try { id, scenario, refusal: false, level: *level, subject, place })
        };
        if self.own {
            return Ok(attempt(Place::Own));
        }
        let url = host.url()?;
        let reached: Mutex<Option<Reached>> = Mutex::new(Some(drive::assume(&url, bench.tls)?));
        Ok(attempt(Place::Shared(&url, &reached)))
    }
}

/// Whether a scenario says how its server is set up.
fn has_set_up(scenario: &Scenario) -> bool {
    let server = scenario.server();
    scenario.has_own_server() || server.heartbeat.is_some() || !server.args.is_empty()
}
