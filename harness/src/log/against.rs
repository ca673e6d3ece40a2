//! Holds what a log says now against what the run itself said.

use std::collections::BTreeMap;

use serde_json::Value;

use super::recheck::{Rechecked, Wholeness};
use super::{Found, Judged};
use crate::check::{Finding, KEPT, STEPS};
use crate::observe::Time;

/// What was said of a run: by each check, and of each finding.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Account {
    /// Of each check its verdict, how many facts, and how many findings of each class.
    pub checks: BTreeMap<String, (String, u64, BTreeMap<String, u64>)>,
    /// The findings in words, sorted; none where there are more than anybody keeps.
    pub findings: Option<Vec<Told>>,
}

/// A finding in words.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Told {
    /// When it was seen, in microseconds.
    pub at_us: u64,
    /// The check that found it.
    pub check: String,
    /// Its kind.
    pub class: String,
    /// What exactly.
    pub detail: String,
    /// Who saw it.
    pub client: Option<String>,
    /// Where.
    pub room: Option<String>,
}

/// Something that is otherwise now.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Difference(pub String);

impl Account {
    /// What `run.json` says; none if it is something else.
    pub fn of_run(json: &Value) -> Option<Self> {
        let mut account = Self::default();
        let mut findings = Vec::new();
        for check in json.get("checks")?.as_array()? {
            let name = check.get("name")?.as_str()?;
            let classes = check.get("classes")?.as_object()?;
            let classes: BTreeMap<String, u64> = classes
                .iter()
                .map(|(class, n)| Some((class.clone(), n.as_u64()?)))
                .collect::<Option<_>>()?;
            if name == STEPS && classes.is_empty() {
                // What the report says of steps that no check knows of.
                continue;
            }
            let verdict = check.get("verdict")?.as_str()?.to_owned();
            account
                .checks
                .insert(name.to_owned(), (verdict, check.get("facts")?.as_u64()?, classes));
            for witness in check.get("witnesses")?.as_array()? {
                let text = |key: &str| witness.get(key)?.as_str().map(str::to_owned);
                findings.push(Told {
                    at_us: witness.get("at_us")?.as_u64()?,
                    check: name.to_owned(),
                    class: text("class")?,
                    detail: text("detail")?,
                    client: text("client"),
                    room: text("room"),
                });
            }
        }
        findings.sort();
        account.findings = (account.total() == findings.len() as u64).then_some(findings);
        Some(account)
    }

    /// What the log says that the run came to; none where it does not have the run's end.
    pub fn told_by(again: &Rechecked) -> Option<Self> {
        let (last, _) = again.last.as_ref()?;
        let mut account = Self { checks: checks(&last.checks), findings: None };
        let told = again.told.iter().filter_map(Found::finding);
        account.keep(told.map(|finding| told_of(again, &finding)).collect());
        Some(account)
    }

    /// What the checks say now.
    pub fn now(again: &Rechecked) -> Self {
        let results: Vec<Judged> = again.results.iter().map(Judged::of).collect();
        let mut account = Self { checks: checks(&results), findings: None };
        account.keep(again.found.iter().map(|finding| told_of(again, finding)).collect());
        account
    }

    /// How many findings there are.
    pub fn total(&self) -> u64 {
        self.checks.values().flat_map(|(.., classes)| classes.values()).sum()
    }

    fn keep(&mut self, mut findings: Vec<Told>) {
        findings.sort();
        self.findings = (self.total() == findings.len() as u64).then_some(findings);
    }

    /// What is otherwise in `now`.
    pub fn differences(&self, now: &Self) -> Vec<Difference> {
        let mut found = Vec::new();
        let names: std::collections::BTreeSet<&String> =
            self.checks.keys().chain(now.checks.keys()).collect();
        for name in names {
            let (then, now) = (self.checks.get(name), now.checks.get(name));
            if then != now {
                found.push(Difference(format!("{name}: then {}, now {}", said(then), said(now))));
            }
        }
        if let (Some(then), Some(now)) = (&self.findings, &now.findings) {
            found.extend(only_in(then, now).map(|it| Difference(format!("not found now: {it}"))));
            found.extend(only_in(now, then).map(|it| Difference(format!("found only now: {it}"))));
        }
        found
    }
}

impl Rechecked {
    /// Where the log is not whole: what is otherwise in the part that is. What the run found there it
    /// wrote between the lines.
    pub fn differences_so_far(&self) -> Vec<Difference> {
        if self.wholeness == Wholeness::Whole || self.told.len() >= KEPT || self.found.len() >= KEPT
        {
            return Vec::new();
        }
        let told = self.told.iter().filter_map(Found::finding);
        let mut told: Vec<Told> = told.map(|finding| told_of(self, &finding)).collect();
        let mut now: Vec<Told> = self.found.iter().map(|finding| told_of(self, finding)).collect();
        told.sort();
        now.sort();
        // The last observation may be there, and what it led to not any more.
        let fresh = |told: &Told| self.wholeness == Wholeness::Cut && Time(told.at_us) >= self.at;
        let gone = only_in(&told, &now).map(|it| Difference(format!("not found now: {it}")));
        let new = only_in(&now, &told).filter(|it| !fresh(it));
        gone.chain(new.map(|it| Difference(format!("found only now: {it}")))).collect()
    }
}

impl std::fmt::Display for Told {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { at_us, check, class, detail, client, room } = self;
        write!(f, "{check} / {class}: {detail}")?;
        for (word, name) in [("at", client), ("in", room)] {
            if let Some(name) = name {
                write!(f, " {word} {name}")?;
            }
        }
        write!(f, ", {at_us} µs after the run began")
    }
}

fn checks(judged: &[Judged]) -> BTreeMap<String, (String, u64, BTreeMap<String, u64>)> {
    let one = |it: &Judged| {
        let classes = it.classes.iter().map(|(class, n)| (class.as_str().to_owned(), *n)).collect();
        (it.name.clone(), (it.verdict.as_str().to_owned(), it.facts, classes))
    };
    judged.iter().map(one).collect()
}

fn told_of(again: &Rechecked, finding: &Finding) -> Told {
    let named = again.named(finding);
    Told {
        at_us: finding.at.0,
        check: finding.check.to_owned(),
        class: finding.class.as_str().to_owned(),
        detail: named.detail,
        client: again.client(finding).map(str::to_owned),
        room: again.room(finding).map(str::to_owned),
    }
}

fn said(of: Option<&(String, u64, BTreeMap<String, u64>)>) -> String {
    let Some((verdict, facts, classes)) = of else { return "nothing".to_owned() };
    let classes: Vec<String> = classes.iter().map(|(class, n)| format!("{n} {class}")).collect();
    let classes =
        if classes.is_empty() { String::new() } else { format!(", {}", classes.join(", ")) };
    format!("{verdict} ({facts} facts{classes})")
}

/// What is in the first list and not in the second; both are sorted, and may hold the same twice.
fn only_in<'a>(first: &'a [Told], second: &[Told]) -> impl Iterator<Item = &'a Told> {
    let mut rest = second.to_vec();
    first.iter().filter(move |told| match rest.iter().position(|other| other == *told) {
        Some(place) => {
            rest.swap_remove(place);
            false
        }
        None => true,
    })
}
