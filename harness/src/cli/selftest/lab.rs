//! What runs of mutants and of the good server have in common: dialects, cases by name, servers.

use std::collections::BTreeMap;

use parking_lot::Mutex;

use crate::cli::conform::subjects::{Subject, server_timers};
use crate::cli::conform::tries::{Bench, Place, Tried, Try};
use crate::cli::run::capacity;
use crate::conform::suite::Suite;
use crate::drive::{self, ChildServer, Interrupt, Reached, Tls};
use crate::plan::Capacity;
use crate::scenario::Problems;
use crate::selftest::shelf::{Shelf, Thing};

/// Tries of what says nothing.
pub(super) const TRIES_MAX: u32 = 3;

pub(super) struct Lab<'a> {
    pub(super) seed: u64,
    pub(super) interrupt: &'a Interrupt,
    pub(super) shelf: Shelf<'a>,
    subjects: BTreeMap<String, Subject>,
    capacity: Capacity,
    tls: Tls,
}

/// Something to be run, and who is judged by it.
pub(super) struct Work<'a> {
    pub(super) thing: Thing<'a>,
    subject: &'a Subject,
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
        let shelf = Shelf::new(suite, dialects)?;
        let (capacity, tls) = (capacity(), Tls::new(&[], false));
        Ok(Self { seed, interrupt, shelf, subjects, capacity, tls })
    }

    /// Whether the signal has come.
    pub(super) fn is_over(&self) -> bool {
        self.interrupt.signal().is_some()
    }

    /// What tries have in common that have this seed, at servers with these options.
    pub(super) fn bench(&self, seed: u64, server_args: Vec<String>) -> Bench<'_> {
        let Self { capacity, interrupt, tls, .. } = self;
        Bench { seed, capacity: *capacity, server_args, patience: None, interrupt, tls, logs: None }
    }

    /// A case by its name without the dialect's, or a scenario, where it is for this dialect.
    pub(super) fn work(&self, dialect: &str, name: &str) -> Option<Work<'_>> {
        let subject = self.subjects.get(dialect)?;
        self.shelf.find(dialect, name).ok().map(|thing| Work { thing, subject })
    }

    /// The options of a server for all dialects of the lab, with short timers.
    fn timers(&self) -> Vec<String> {
        server_timers(None, self.subjects.values())
    }
}

/// A server of the lab's, started when it is needed first, and again when it has died.
pub(super) struct Host {
    args: Vec<String>,
    standing: Mutex<Standing>,
}

#[derive(Default)]
struct Standing {
    child: Option<ChildServer>,
    /// How often it has died.
    deaths: u64,
    /// How it died the last time.
    last: String,
}

impl Standing {
    /// Notes a death, once: whoever starts it again must not hide it from those that still use it.
    fn look(&mut self) {
        if let Some(how) = self.child.as_mut().and_then(ChildServer::has_ended) {
            (self.child, self.deaths, self.last) = (None, self.deaths + 1, how);
        }
    }
}

impl Host {
    /// A server with these options besides the timers.
    pub(super) fn new(lab: &Lab<'_>, more: &[String]) -> Self {
        let args = lab.timers().into_iter().chain(more.iter().cloned()).collect();
        Self { args, standing: Mutex::default() }
    }

    /// Where it is.
    fn url(&self) -> Result<String, String> {
        let mut standing = self.standing.lock();
        standing.look();
        if let Some(running) = &standing.child {
            return Ok(running.url().to_owned());
        }
        let started = ChildServer::start(&self.args).map_err(|error| error.to_string())?;
        Ok(standing.child.insert(started).url().to_owned())
    }

    /// How often it has died, and how the last time.
    pub(super) fn deaths(&self) -> (u64, String) {
        let mut standing = self.standing.lock();
        standing.look();
        (standing.deaths, standing.last.clone())
    }
}

impl Work<'_> {
    /// One try, at this server unless it needs one of its own.
    ///
    /// # Errors
    /// The server does not start: why.
    pub(super) fn attempt(&self, bench: &Bench<'_>, host: &Host) -> Result<Tried, String> {
        let Thing { id, scenario, level, own_server, .. } = &self.thing;
        let (level, subject) = (*level, self.subject);
        let attempt = |place| {
            bench.attempt(Try { number: None, id, scenario, refusal: false, level, subject, place })
        };
        if *own_server {
            return Ok(attempt(Place::Own));
        }
        let url = host.url()?;
        let reached: Mutex<Option<Reached>> = Mutex::new(Some(drive::assume(&url, bench.tls)?));
        Ok(attempt(Place::Shared(&url, &reached)))
    }
}
