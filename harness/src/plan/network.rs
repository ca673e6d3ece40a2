//! What rules about the network speak of: members of groups, and values that a run gives.

use super::{ClientPlan, Group, Vars};
use crate::dialect::pattern::Pattern;
use crate::proxy::{At as Whose, Rule};
use crate::scenario::problem::Problem;
use crate::scenario::steps::{Steps, each_step};
use crate::scenario::template::holes;

/// The variables that all clients have, with one value: what a rule can name that is no client's.
pub(crate) fn known_to_all(clients: &[ClientPlan]) -> Vars {
    let Some((first, others)) = clients.split_first() else { return Vars::new() };
    let mut vars = (*first.vars).clone();
    others.iter().for_each(|client| vars.retain(|name, it| client.vars.get(name) == Some(it)));
    vars
}

/// Looks for what rules name and there is not: they would befall nobody, or everybody.
pub(super) fn check(
    steps: &Steps,
    groups: &[Group],
    clients: &[ClientPlan],
) -> Result<(), Vec<Problem>> {
    let known = known_to_all(clients);
    let mut problems = Vec::new();
    each_step(steps, &mut |step| {
        let Some(network) = &step.network else { return };
        for rule in network.compile(network.place).unwrap_or_default() {
            let found = stranger(&rule, groups).or_else(|| unknown(&rule, &known, clients));
            problems.extend(found.map(|problem| problem.at(network.place)));
        }
    });
    if problems.is_empty() { Ok(()) } else { Err(problems) }
}

fn stranger(rule: &Rule, groups: &[Group]) -> Option<Problem> {
    rule.when.at.iter().find_map(|at| {
        let Whose::Member(name, nth) = at else { return None };
        let size = groups.iter().find(|group| group.name == *name).map_or(0, |group| group.size);
        let problem = || Problem::new(format!("there is no `{at}`: `{name}` has {size}"));
        (*nth >= size).then(|| problem().help("the first is of number 0"))
    })
}

fn unknown(rule: &Rule, known: &Vars, clients: &[ClientPlan]) -> Option<Problem> {
    let frame = rule.when.frame.as_ref()?;
    let of_some = |name: &str| clients.iter().any(|client| client.vars.contains_key(name));
    let own = holes(frame)
        .into_iter()
        .find(|hole| !known.contains_key(&hole.name) && of_some(&hole.name));
    if let Some(hole) = own {
        let problem = Problem::new(format!("`${hole}` is not the same for all clients"));
        return Some(problem.help("a rule knows what all have alike; `at` says whose frames"));
    }
    Pattern::new(frame, known).err().map(|error| Problem::new(error.to_string()))
}
