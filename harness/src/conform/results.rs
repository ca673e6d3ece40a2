//! What a suite comes to: folded from its log, in one place, for every report.

use std::collections::BTreeMap;

use super::baseline::overlay;
use super::event::{Asked, Event, LeftOut, Opening, Record};
use super::outcome::{OUTCOMES, Outcome};
use super::requirement::Level;
use crate::verdict::{Exit, Verdict};

/// Of a hundred cases so many may say nothing before the suite says nothing.
const INCONCLUSIVE_PERCENT_MAX: u64 = 2;

/// Everything that reports show.
#[derive(Clone, Debug, Default)]
pub struct Results {
    /// What was known before the first case.
    pub opening: Opening,
    /// What came of each case at each target, with the baseline laid over it; by target, then by id.
    pub cases: Vec<Record>,
    /// The cases that were not run.
    pub left_out: Vec<LeftOut>,
    /// What came of each requirement, in the order of the files.
    pub requirements: Vec<Answered>,
    /// How many cases came to what.
    pub totals: Totals,
    /// How long it took, in seconds.
    pub duration_s: f64,
    /// The number of the signal that ended it early.
    pub signal: Option<i32>,
    /// What happened to targets.
    pub incidents: Vec<(String, String)>,
}

/// How many cases came to what.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Totals(BTreeMap<Outcome, u64>);

impl Totals {
    fn of(cases: &[Record]) -> Self {
        let mut totals = BTreeMap::new();
        for case in cases {
            *totals.entry(case.outcome).or_default() += 1;
        }
        Self(totals)
    }

    /// How many came to this.
    pub fn count(&self, outcome: Outcome) -> u64 {
        self.0.get(&outcome).copied().unwrap_or(0)
    }

    /// Each outcome's word and number, in the order of reports.
    pub fn all(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        OUTCOMES.iter().map(|(outcome, word, _)| (*word, self.count(*outcome)))
    }

    /// How many in all.
    pub fn sum(&self) -> u64 {
        self.0.values().sum()
    }
}

/// What came of a requirement.
#[derive(Clone, Debug)]
pub struct Answered {
    /// The requirement.
    pub asked: Asked,
    /// The gravest outcome of its cases; none: no case of it was run.
    pub outcome: Option<Outcome>,
    /// The same at each subject, in the order of [`Opening::subjects`].
    pub by_subject: Vec<Option<Outcome>>,
    /// The ids of its cases that were run.
    pub cases: Vec<String>,
}

/// How many of the requirements of a level are met, of those to which the server was put.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Score {
    /// Met, at a subject.
    pub met: u64,
    /// Asked, at a subject.
    pub asked: u64,
}

impl Results {
    /// Folds a log.
    pub fn of(events: &[Event]) -> Self {
        let mut results = Self::default();
        for event in events {
            match event {
                Event::Suite(opening) => results.opening = (**opening).clone(),
                Event::LeftOut(left) => results.left_out.push(left.clone()),
                Event::Finished(record) => results.cases.push((**record).clone()),
                Event::Over { duration_s, signal } => {
                    (results.duration_s, results.signal) = (*duration_s, *signal);
                }
                Event::Target { target, what, .. } => {
                    results.incidents.push((target.clone(), what.clone()));
                }
                Event::Started { .. } | Event::Again { .. } => {}
            }
        }
        results.lay_baseline();
        let place = |target: &str, dialect: &str| {
            let mut subjects = results.opening.subjects.iter();
            subjects.position(|it| it.target == target && it.dialect == dialect)
        };
        let order = |it: &Record| (place(&it.target, &it.dialect), it.case.clone());
        let mut cases = std::mem::take(&mut results.cases);
        cases.sort_by_key(order);
        results.cases = cases;
        results.left_out.sort_by(|a, b| (&a.case, &a.target).cmp(&(&b.case, &b.target)));
        results.totals = Totals::of(&results.cases);
        results.requirements =
            results.opening.requirements.iter().map(|asked| results.answered(asked)).collect();
        results
    }

    fn lay_baseline(&mut self) {
        let Opening { baseline, today, .. } = &self.opening;
        for record in &mut self.cases {
            let place = (record.case.as_str(), record.target.as_str());
            let found = (record.outcome, record.class.as_deref());
            if let Some((outcome, why)) = overlay(baseline, today, place, found) {
                record.outcome = outcome;
                record.message = match record.message.is_empty() {
                    true => why,
                    false => format!("{} ({why})", record.message),
                };
            }
        }
    }

    fn answered(&self, asked: &Asked) -> Answered {
        let own = || self.cases.iter().filter(|case| case.requires.contains(&asked.id));
        let at = |target: &str, dialect: &str| {
            let here = own().filter(|case| case.target == target && case.dialect == dialect);
            here.map(|case| case.outcome).max()
        };
        let subjects = self.opening.subjects.iter();
        let mut cases: Vec<String> = own().map(|case| case.case.clone()).collect();
        cases.sort();
        cases.dedup();
        Answered {
            asked: asked.clone(),
            outcome: own().map(|case| case.outcome).max(),
            by_subject: subjects.map(|it| at(&it.target, &it.dialect)).collect(),
            cases,
        }
    }

    /// How many requirements of a level are met.
    pub fn score(&self, level: Level) -> Score {
        let own = self.requirements.iter().filter(|it| it.asked.level == Some(level));
        let outcomes = own.flat_map(|it| it.by_subject.iter().flatten());
        let asked: Vec<_> = outcomes.filter(|it| **it != Outcome::Unsupported).collect();
        let met = asked.iter().filter(|it| ***it == Outcome::Pass).count() as u64;
        Score { met, asked: asked.len() as u64 }
    }

    /// How many different cases there were: a common one counts once, however many endpoints it was
    /// run on.
    pub fn distinct(&self) -> u64 {
        let mut files: Vec<&str> = self.cases.iter().map(|case| case.file.as_str()).collect();
        files.sort_unstable();
        files.dedup();
        files.len() as u64
    }

    /// How many findings are not excused.
    pub fn findings(&self) -> u64 {
        let excused = [Outcome::Xfail, Outcome::Inconclusive];
        let counted = self.cases.iter().filter(|case| !excused.contains(&case.outcome));
        counted.map(|case| case.findings).sum()
    }

    /// The verdict of the suite. Nothing judged at all is inconclusive, and so is a suite of which
    /// too many cases say nothing.
    pub fn verdict(&self) -> Verdict {
        let n = |outcome| self.totals.count(outcome);
        let judged = self.totals.sum() - n(Outcome::Unsupported);
        let open = n(Outcome::Inconclusive);
        let strict = self.opening.strict && n(Outcome::Nonstrict) > 0;
        if n(Outcome::Fail) + n(Outcome::Stale) > 0 || strict {
            Verdict::Failed
        } else if self.signal.is_some()
            || n(Outcome::Error) > 0
            || judged == 0
            || open * 100 > judged * INCONCLUSIVE_PERCENT_MAX
        {
            Verdict::Inconclusive
        } else {
            Verdict::Passed
        }
    }

    /// The exit code. A signal says more than what was seen until it came, and an error of the harness
    /// or a case more than what others found.
    pub fn exit(&self) -> Exit {
        match self.signal {
            Some(signal) if signal == signal_hook::consts::SIGTERM => Exit::Terminated,
            Some(_) => Exit::Interrupted,
            None if self.totals.count(Outcome::Error) > 0 => Exit::CouldNotRun,
            None => self.verdict().into(),
        }
    }

    /// Why the verdict is what it is, in words. Never empty.
    pub fn reasons(&self) -> Vec<String> {
        let n = |outcome| self.totals.count(outcome);
        let cases = |n: u64| crate::report::words::counted(n, "case");
        let mut reasons = Vec::new();
        if self.signal.is_some() {
            reasons.push("interrupted: the rest was not run".to_owned());
        }
        for (outcome, words) in [
            (Outcome::Error, "went wrong by itself"),
            (Outcome::Fail, "failed"),
            (Outcome::Stale, "did not come out as the baseline says"),
        ] {
            if n(outcome) > 0 {
                reasons.push(format!("{} {words}", cases(n(outcome))));
            }
        }
        if self.opening.strict && n(Outcome::Nonstrict) > 0 {
            let count = cases(n(Outcome::Nonstrict));
            reasons
                .push(format!("{count} did not do what should be done, and --strict asks for it"));
        }
        let judged = self.totals.sum() - n(Outcome::Unsupported);
        if judged == 0 {
            reasons.push("no case was judged".to_owned());
        } else if n(Outcome::Inconclusive) > 0 {
            let (count, percent) = (cases(n(Outcome::Inconclusive)), INCONCLUSIVE_PERCENT_MAX);
            let judged = crate::report::words::number(judged);
            reasons.push(format!("{count} of {judged} said nothing; {percent} % may"));
        }
        if reasons.is_empty() {
            reasons.push("everything that was asked is met".to_owned());
        }
        reasons
    }

    /// The command that repeats a case.
    pub fn again(&self, case: &Record) -> String {
        let mut subjects = self.opening.subjects.iter();
        let subject = subjects.find(|it| it.target == case.target && it.dialect == case.dialect);
        let command = subject.map_or("harness conform", |subject| &subject.again);
        let only = match case.requires.is_empty() {
            false => case.case.clone(),
            // The sanity case is no case of its own: it goes with any other.
            true => format!("'{}/**'", case.dialect),
        };
        format!("{command} --only {only} --seed {}", case.seed)
    }
}
