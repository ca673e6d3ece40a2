//! The servers that are judged, and whether they are there: a failure at a dead server says nothing
//! of the case.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::runner::TRIES_MAX;
use super::subjects::{Server, Subject};
use super::tries::{Bench, Place, Tried, Try};
use crate::conform::outcome::{Judged, Outcome};
use crate::conform::requirement::Level;
use crate::conform::suite::Suite;
use crate::drive::{ChildServer, Reached};

/// For how long a target that died may come back by itself.
const COMEBACK: Duration = Duration::from_secs(2);
/// Deaths after which nobody waits for a server any more.
const DEATHS_MAX: u32 = 20;
const NAP: Duration = Duration::from_millis(100);

/// All servers, and what is needed to ask them for a sign of life.
pub(super) struct Servers<'a> {
    pub(super) bench: Bench<'a>,
    pub(super) seats: Vec<Seat>,
    suite: &'a Suite,
    child_args: Vec<String>,
    wait: Duration,
}

/// A subject at its server.
pub(super) struct Seat {
    pub(super) subject: Subject,
    /// Where its endpoint was found to be.
    reached: Mutex<Option<Reached>>,
    /// Shared by the subjects of one server.
    standing: Arc<Mutex<Standing>>,
}

/// How a server is.
struct Standing {
    url: String,
    child: Option<ChildServer>,
    /// It is the target's own, not one of ours.
    foreign: bool,
    /// It did not answer: nothing is begun at it until it does again.
    down: bool,
    /// It will not come back: why.
    gone: Option<String>,
    deaths: u32,
}

impl Seat {
    /// The URL of its server at the moment.
    pub(super) fn url(&self) -> String {
        self.standing.lock().url.clone()
    }

    /// Nothing is to be begun at its server.
    pub(super) fn is_down(&self) -> bool {
        self.standing.lock().down
    }

    /// Why its server will not come back, if it will not.
    pub(super) fn gone(&self) -> Option<String> {
        self.standing.lock().gone.clone()
    }

    /// A try at this server, whose URL is `url`.
    pub(super) fn place<'s>(&'s self, url: &'s str) -> Place<'s> {
        Place::Shared(url, &self.reached)
    }
}

impl<'a> Servers<'a> {
    /// Starts those that are to be started.
    pub(super) fn start(
        bench: Bench<'a>,
        suite: &'a Suite,
        (servers, subjects): (Vec<Server>, Vec<Subject>),
        child_args: Vec<String>,
        wait: Duration,
    ) -> Result<Self, String> {
        let mut standings = Vec::new();
        for server in servers {
            let foreign = server.url.is_some();
            let child = match foreign {
                true => None,
                false => Some(ChildServer::start(&child_args).map_err(|error| error.to_string())?),
            };
            let url = child.as_ref().map(|child| child.url().to_owned()).or(server.url);
            let url = url.unwrap_or_default();
            let standing = Standing { url, child, foreign, down: false, gone: None, deaths: 0 };
            standings.push(Arc::new(Mutex::new(standing)));
        }
        let seat = |subject: Subject| {
            let standing = Arc::clone(standings.get(subject.server)?);
            Some(Seat { subject, reached: Mutex::new(None), standing })
        };
        let seats = subjects.into_iter().filter_map(seat).collect();
        Ok(Self { bench, seats, suite, child_args, wait })
    }

    /// Finds every subject, retrying for as long as the user said; an error says why one is not there.
    pub(super) fn reach_all(&self) -> Result<(), String> {
        let end = Instant::now() + self.wait;
        for seat in &self.seats {
            loop {
                let tried = self.sanity(seat);
                if !tried.server_gone {
                    break;
                }
                if Instant::now() + NAP > end || self.bench.interrupt.signal().is_some() {
                    return Err(tried.judged.message);
                }
                std::thread::sleep(NAP);
            }
        }
        Ok(())
    }

    /// Tries a subject's sanity case: nothing that any server could do wrong. When the harness was
    /// too late to say anything, once more: a server is not gone because we stood still.
    pub(super) fn sanity(&self, seat: &Seat) -> Tried {
        let mut tried = self.ask(seat);
        for _ in 1..TRIES_MAX {
            if !tried.says_nothing() {
                break;
            }
            tried = self.ask(seat);
        }
        tried
    }

    /// The file with a subject's sanity case.
    pub(super) fn sanity_file(&self, seat: &Seat) -> String {
        let scenario = self.suite.sanity(&seat.subject.entry.dialect);
        scenario.map(|scenario| scenario.source.name.clone()).unwrap_or_default()
    }

    fn ask(&self, seat: &Seat) -> Tried {
        let dialect = &seat.subject.entry.dialect;
        let Some(scenario) = self.suite.sanity(dialect) else {
            return Tried::only(Judged::error("the suite has no sanity case"));
        };
        let (id, url) = (format!("{dialect}/sanity"), seat.url());
        self.bench.attempt(Try {
            number: None,
            id: &id,
            scenario,
            refusal: false,
            level: Level::Must,
            subject: &seat.subject,
            place: seat.place(&url),
        })
    }

    /// Whether a subject is there; if not, nothing more is begun at its server.
    pub(super) fn is_well(&self, seat: &Seat) -> bool {
        let well = self.sanity(seat).judged.outcome == Outcome::Pass;
        if !well {
            seat.standing.lock().down = true;
        }
        well
    }

    /// Brings a subject's server back: one of ours is started anew, another may come back by itself.
    /// Says what had happened and what came of it; none if it was there all the time.
    pub(super) fn revive(&self, seat: &Seat) -> Option<String> {
        let death = {
            let mut standing = seat.standing.lock();
            if !standing.down || standing.gone.is_some() {
                return None;
            }
            standing.deaths += 1;
            let ended = standing.child.as_mut().and_then(ChildServer::has_ended);
            let death = ended.unwrap_or_else(|| "it does not answer any more".to_owned());
            if let Err(error) = self.restart(&mut standing) {
                standing.gone = Some(error.clone());
                return Some(format!("{death}; it is given up: {error}"));
            }
            death
        };
        let same = |other: &&Seat| Arc::ptr_eq(&other.standing, &seat.standing);
        self.seats.iter().filter(same).for_each(|seat| *seat.reached.lock() = None);
        Some(match self.comes_back(seat) {
            Ok(()) => format!("{death}; it is back"),
            Err(reason) => format!("{death}; it is given up: {reason}"),
        })
    }

    fn restart(&self, standing: &mut Standing) -> Result<(), String> {
        if standing.deaths > DEATHS_MAX {
            return Err(format!("it died more than {DEATHS_MAX} times"));
        }
        if !standing.foreign {
            if let Some(mut child) = standing.child.take() {
                child.kill();
            }
            let child = ChildServer::start(&self.child_args).map_err(|error| error.to_string())?;
            child.url().clone_into(&mut standing.url);
            standing.child = Some(child);
        }
        standing.down = false;
        Ok(())
    }

    fn comes_back(&self, seat: &Seat) -> Result<(), String> {
        let end = Instant::now() + COMEBACK.max(self.wait);
        loop {
            let tried = self.sanity(seat);
            if tried.judged.outcome == Outcome::Pass {
                return Ok(());
            }
            if Instant::now() > end || self.bench.interrupt.signal().is_some() {
                let reason = tried.judged.message;
                let mut standing = seat.standing.lock();
                (standing.down, standing.gone) = (true, Some(reason.clone()));
                return Err(reason);
            }
            std::thread::sleep(NAP);
        }
    }
}
