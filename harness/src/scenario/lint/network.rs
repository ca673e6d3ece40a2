//! What is wrong with the rules of a `network` step.

use super::Linter;
use crate::proxy::{At as Whose, Rules};
use crate::scenario::marked::At;
use crate::scenario::problem::Problem;

impl Linter<'_> {
    pub(super) fn network(&mut self, network: &At<Rules>) {
        let rules = match network.compile(network.place) {
            Ok(rules) => rules,
            Err(problems) => {
                problems.into_iter().for_each(|problem| self.tell(problem));
                return;
            }
        };
        for at in rules.iter().flat_map(|rule| &rule.when.at) {
            let (Whose::Name(group) | Whose::Member(group, _)) = at else { continue };
            // The names that a run gives are known only to it; a beginning of them can be said.
            if !group.ends_with('*') && self.file.clients.get(group).is_none() {
                let problem = Problem::new(format!("no client is called `{group}`"));
                let problem = problem.at(network.place);
                self.tell(problem.did_you_mean(group, self.file.clients.keys()));
            }
        }
    }
}
