//! Makes the cases that failed smaller: each becomes a scenario that is run by itself.

use super::servers::Servers;
use super::{Args, Choice, words};
use crate::cli::print;
use crate::cli::shrink::Failed;
use crate::conform::fit::{Fit, values};
use crate::dialect::Dialect;
use crate::plan::{Echo, Ordering};
use crate::report::write::Place;
use crate::shrink::Baked;

/// More failing cases are not made smaller in one go.
const CASES_MAX: usize = 5;

/// What is known of the cases.
pub(super) struct Smaller<'a> {
    pub(super) args: &'a Args,
    pub(super) choices: &'a [Choice<'a>],
    pub(super) servers: &'a Servers<'a>,
}

impl Smaller<'_> {
    /// Makes the cases of these names and targets smaller, and says what came of it.
    pub(super) fn shrink(&self, failed: &[(String, String)], place: &Place) {
        let seat = |choice: &&Choice<'_>| self.servers.seats.get(choice.seat);
        let chosen = |(case, target): &(String, String)| {
            let at =
                |it: &&Choice<'_>| seat(it).is_some_and(|it| it.subject.entry.target == *target);
            self.choices.iter().find(|it| it.id == *case && at(it))
        };
        // A failed sanity case is nobody's choice.
        let chosen: Vec<&Choice<'_>> = failed.iter().filter_map(chosen).collect();
        let mut names: Vec<&str> = Vec::new();
        for choice in chosen.iter().take(CASES_MAX) {
            if self.servers.bench.interrupt.signal().is_some() {
                return;
            }
            let case = choice.id.as_str();
            let again = names.iter().filter(|name| **name == case).count();
            names.push(case);
            // No case is called so.
            let number = if again == 0 { String::new() } else { format!(".{}", again + 1) };
            let file = format!("shrunk/{case}{number}.yaml");
            let Some(failed) = self.failed(choice) else { continue };
            let within = self.args.shrinking.shrink_time;
            print(&format!("  {case}\n{}", failed.shrink(None, within, (place, &file))));
        }
        let rest = chosen.len().saturating_sub(CASES_MAX);
        if rest > 0 {
            print(&format!("  {:<11} {rest} more are not: choose them with --only\n", "shrunk"));
        }
    }

    /// A case as a run of its own.
    fn failed(&self, choice: &Choice<'_>) -> Option<Failed<'_>> {
        let subject = &self.servers.seats.get(choice.seat)?.subject;
        let (common, bench) = (&self.args.common, &self.servers.bench);
        let scenario = &choice.case.scenario;
        let profile = &subject.profile;
        let mut baked = Baked {
            vars: values(scenario, profile, &subject.dialect),
            refusal: matches!(choice.fit, Fit::Lacks(_)) && choice.case.refusal,
            ..Baked::default()
        };
        let order = profile.ordering.map(|order| ("order", order.map_or("any", order_word)));
        let echo = profile.echo.map(|echo| ("echo", echo.map_or("any", echo_word)));
        let checks = order.into_iter().chain(echo);
        baked.checks = checks.map(|(name, word)| (name.to_owned(), word.to_owned())).collect();
        let target = Some(subject.entry.url.clone()).filter(|url| !url.is_empty());
        let own = target.is_none() && scenario.server().heartbeat.is_some();
        let said = Dialect::load(&subject.dialect_word).ok().and_then(|it| it.heartbeat);
        let others = profile.heartbeat.filter(|timers| said != Some(*timers));
        let heartbeat = subject.heartbeat.or(others).filter(|_| !own);
        Some(Failed {
            scenario: choice.case.source().clone(),
            baked,
            seed: bench.seed_of(&choice.id),
            dialect: Some(subject.dialect_word.clone()),
            users: profile.users.clone().filter(|_| scenario.file.users.is_none()),
            target,
            heartbeat,
            server_args: common.server_args.iter().flat_map(|it| words(it)).collect(),
            tls: bench.tls,
            trust: common.trust().collect(),
            interrupt: bench.interrupt,
            quiet: common.quiet,
        })
    }
}

fn order_word(order: Ordering) -> &'static str {
    match order {
        Ordering::PerSender => "per-sender",
        Ordering::Total => "total",
        Ordering::TotalAmongOthers => "total-among-others",
    }
}

fn echo_word(echo: Echo) -> &'static str {
    match echo {
        Echo::Once => "once",
        Echo::Never => "never",
        Echo::Apart => "apart",
    }
}
