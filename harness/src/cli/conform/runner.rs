//! Runs the cases: side by side where they do not disturb each other, else one by one, and once more
//! where a try said nothing.
//!
//! A case that fails is believed only when its server is there afterwards. When it is not, the
//! cases that were under way are suspects: the server is brought back, and each is tried by itself.
//! One that then takes the server with it has killed it.

use std::collections::VecDeque;

use parking_lot::Mutex;

use super::log::Log;
use super::servers::{Seat, Servers};
use super::tries::{Place, Tried, Try};
use crate::check::Class;
use crate::conform::event::{Event, INTERRUPTED, LeftOut, Record};
use crate::conform::outcome::{Judged, Outcome};
use crate::conform::requirement::Level;
use crate::conform::suite::Case;

/// Tries of a case that says nothing.
pub(super) const TRIES_MAX: u32 = 3;

/// A case to be run at a subject.
#[derive(Clone, Copy)]
pub(super) struct Unit<'a> {
    pub(super) id: &'a str,
    pub(super) case: &'a Case,
    pub(super) seat: &'a Seat,
    pub(super) level: Level,
    /// The server says that it lacks this: only that it says no is tried, where that can be.
    pub(super) lacks: Option<&'a str>,
    tries: u32,
}

impl<'a> Unit<'a> {
    pub(super) fn new(
        id: &'a str,
        case: &'a Case,
        seat: &'a Seat,
        level: Level,
        lacks: Option<&'a str>,
    ) -> Self {
        Self { id, case, seat, level, lacks, tries: 0 }
    }

    /// A server is started for it: it needs one, or says how ours is set up for it.
    fn has_own_server(&self) -> bool {
        let ours = self.seat.subject.entry.url.is_empty();
        self.case.own_server || (self.case.set_up && ours)
    }

    fn target(&self) -> &'a str {
        &self.seat.subject.entry.target
    }
}

/// What runs them.
pub(super) struct Runner<'a> {
    pub(super) servers: &'a Servers<'a>,
    pub(super) log: &'a Log,
    pub(super) jobs: usize,
}

/// What is left after many cases have been run side by side.
#[derive(Default)]
struct Rest<'a> {
    /// Their server was not there when they failed.
    suspects: Vec<Unit<'a>>,
    /// Their server was not there when they should have begun.
    postponed: Vec<Unit<'a>>,
    /// They said nothing.
    open: Vec<Unit<'a>>,
}

impl<'a> Runner<'a> {
    /// Runs all cases.
    pub(super) fn run(&self, units: Vec<Unit<'a>>) {
        let (alone, mut beside): (Vec<_>, Vec<_>) = units.into_iter().partition(|it| it.case.alone);
        let mut open = Vec::new();
        while !beside.is_empty() {
            beside.iter().for_each(|unit| self.bring_back(unit.seat));
            let rest = self.beside(beside);
            self.suspects(rest.suspects);
            open.extend(rest.open);
            beside = rest.postponed;
        }
        for unit in alone.into_iter().chain(open) {
            self.solo(unit);
        }
    }

    fn beside(&self, units: Vec<Unit<'a>>) -> Rest<'a> {
        let jobs = self.jobs.min(units.len());
        let queue = Mutex::new(VecDeque::from(units));
        let rest = Mutex::new(Rest::default());
        std::thread::scope(|scope| {
            for _ in 0..jobs {
                scope.spawn(|| {
                    loop {
                        // The guard must not live as long as the case.
                        let next = queue.lock().pop_front();
                        let Some(unit) = next else { break };
                        self.one_beside(unit, &rest);
                    }
                });
            }
        });
        rest.into_inner()
    }

    fn one_beside(&self, mut unit: Unit<'a>, rest: &Mutex<Rest<'a>>) {
        if self.left_out(&unit) {
            return;
        }
        if self.is_gone(&unit) {
            return;
        }
        if unit.seat.is_down() && !unit.has_own_server() {
            rest.lock().postponed.push(unit);
            return;
        }
        let Some(tried) = self.attempt(&mut unit) else { return };
        if tried.accuses() && !unit.has_own_server() && !self.servers.is_well(unit.seat) {
            rest.lock().suspects.push(unit);
        } else if tried.judged.outcome == Outcome::Inconclusive {
            self.again(unit, &tried.judged.message);
            rest.lock().open.push(unit);
        } else {
            self.finish(&unit, tried);
        }
    }

    /// Finds out who of those that were under way took the server with it.
    fn suspects(&self, suspects: Vec<Unit<'a>>) {
        let mut seats: Vec<(&Seat, Vec<&str>, bool)> = Vec::new();
        for unit in suspects {
            self.again(unit, "the server was not there any more");
            let killed = self.solo(unit);
            match seats.iter_mut().find(|(seat, ..)| std::ptr::eq(*seat, unit.seat)) {
                Some((_, ids, explained)) => {
                    ids.push(unit.id);
                    *explained |= killed;
                }
                None => seats.push((unit.seat, vec![unit.id], killed)),
            }
        }
        for (seat, ids, explained) in seats {
            if !explained
                && seat.gone().is_none()
                && self.servers.bench.interrupt.signal().is_none()
            {
                let message = format!(
                    "the server died while these ran side by side, and not when each ran alone: {}",
                    ids.join(", ")
                );
                let judged = Judged { class: Some(Class::Killed.as_str()), ..fail(message) };
                self.insane(seat, Tried { findings: 1, ..Tried::only(judged) });
            }
        }
    }

    /// Runs a case while nothing else runs, again where it says nothing; says whether it took its
    /// server with it.
    fn solo(&self, mut unit: Unit<'a>) -> bool {
        loop {
            if self.left_out(&unit) {
                return false;
            }
            if !unit.has_own_server() {
                self.bring_back(unit.seat);
            }
            if self.is_gone(&unit) {
                return false;
            }
            let Some(tried) = self.attempt(&mut unit) else { return false };
            if tried.accuses() && !unit.has_own_server() && !self.servers.is_well(unit.seat) {
                self.finish(&unit, killer(tried));
                self.bring_back(unit.seat);
                return true;
            }
            let open = tried.judged.outcome == Outcome::Inconclusive;
            if !open || unit.tries >= TRIES_MAX {
                self.finish(&unit, tried);
                return false;
            }
            self.again(unit, &tried.judged.message);
        }
    }

    /// One try; none when the signal came.
    fn attempt(&self, unit: &mut Unit<'a>) -> Option<Tried> {
        unit.tries += 1;
        self.log.add(Event::Started {
            at_ms: self.log.at_ms(),
            case: unit.id.to_owned(),
            target: unit.target().to_owned(),
            attempt: unit.tries,
        });
        let refusal = match unit.lacks {
            None => false,
            Some(_) if unit.case.refusal && !unit.has_own_server() => true,
            Some(lacks) => return Some(Tried::only(Judged::unsupported(lacks))),
        };
        let scenario = &unit.case.scenario;
        let url = unit.seat.url();
        let place = if unit.has_own_server() { Place::Own } else { unit.seat.place(&url) };
        let (id, level, subject) = (unit.id, unit.level, &unit.seat.subject);
        let number = Some(unit.tries);
        let mut tried = self.servers.bench.attempt(Try {
            number,
            id,
            scenario,
            refusal,
            level,
            subject,
            place,
        });
        if tried.interrupted {
            self.leave_out(unit, INTERRUPTED);
            return None;
        }
        if let Some(lacks) = unit.lacks.filter(|_| tried.judged.outcome == Outcome::Pass) {
            tried.judged = Judged::unsupported(lacks);
        }
        Some(tried)
    }

    /// Whether the signal has come: then nothing more is begun.
    fn left_out(&self, unit: &Unit<'_>) -> bool {
        let over = self.servers.bench.interrupt.signal().is_some();
        if over {
            self.leave_out(unit, INTERRUPTED);
        }
        over
    }

    /// Whether the case's server will not come back: then it says nothing.
    fn is_gone(&self, unit: &Unit<'_>) -> bool {
        let Some(reason) = unit.seat.gone().filter(|_| !unit.has_own_server()) else {
            return false;
        };
        self.void(unit, &format!("the target is gone: {reason}"));
        true
    }

    fn leave_out(&self, unit: &Unit<'_>, why: &str) {
        let (case, target) = (unit.id.to_owned(), unit.target().to_owned());
        self.log.add(Event::LeftOut(LeftOut { case, target, why: why.to_owned() }));
    }

    fn again(&self, unit: Unit<'_>, why: &str) {
        let (case, target) = (unit.id.to_owned(), unit.target().to_owned());
        self.log.add(Event::Again { case, target, why: why.to_owned() });
    }

    fn bring_back(&self, seat: &Seat) {
        if let Some(what) = self.servers.revive(seat) {
            let (at_ms, target) = (self.log.at_ms(), seat.subject.entry.target.clone());
            self.log.add(Event::Target { at_ms, target, what });
        }
    }

    /// A case that cannot be tried, because its subject is not as it must be.
    pub(super) fn void(&self, unit: &Unit<'_>, why: &str) {
        self.finish(unit, Tried::only(Judged::inconclusive(why)));
    }

    /// The subject itself is not as it must be, whatever the cases say.
    pub(super) fn insane(&self, seat: &Seat, tried: Tried) {
        self.log.add(Event::Finished(Box::new(self.record(seat, tried))));
    }

    /// The record of a subject's sanity case.
    fn record(&self, seat: &Seat, tried: Tried) -> Record {
        let entry = &seat.subject.entry;
        Record {
            case: format!("{}/sanity", entry.dialect),
            about: "The server is there, and takes connections.".to_owned(),
            target: entry.target.clone(),
            dialect: entry.dialect.clone(),
            requires: Vec::new(),
            outcome: tried.judged.outcome,
            class: tried.judged.class.map(str::to_owned),
            message: tried.judged.message,
            seed: self.servers.bench.seed,
            attempts: 1,
            duration_ms: tried.duration_ms,
            file: self.servers.sanity_file(seat),
            line: tried.line,
            findings: tried.findings,
            seen: tried.seen,
            traffic: tried.traffic,
            ended: tried.ended,
            stall_ms: tried.stall_ms,
            log: None,
        }
    }

    fn finish(&self, unit: &Unit<'_>, mut tried: Tried) {
        let failed = matches!(tried.judged.outcome, Outcome::Fail | Outcome::Nonstrict);
        let log = tried.log.take().filter(|_| failed);
        let log = log.zip(self.servers.bench.logs).and_then(|(log, logs)| logs.keep(&log, unit.id));
        let source = unit.case.source();
        let record = Record {
            case: unit.id.to_owned(),
            about: unit.case.scenario.about().to_owned(),
            requires: unit.case.requires.clone(),
            attempts: unit.tries,
            file: source.name.clone(),
            log,
            ..self.record(unit.seat, tried)
        };
        self.log.add(Event::Finished(Box::new(record)));
    }
}

/// A case that took its server with it has failed, whatever it says and however grave it is.
fn killer(tried: Tried) -> Tried {
    let message = match tried.judged.message.as_str() {
        "" => "the server was not there any more".to_owned(),
        message => format!("the server was not there any more; {message}"),
    };
    let judged = Judged { class: Some(Class::Killed.as_str()), ..fail(message) };
    Tried { judged, findings: tried.findings.max(1), ..tried }
}

fn fail(message: String) -> Judged {
    Judged { outcome: Outcome::Fail, class: None, message }
}
