//! A scenario as it was run: what the command line said of it is written into it.

use std::collections::BTreeMap;

use serde_json::Value;

use super::tree::{Tree, last_key};
use crate::plan::plain;

/// What a scenario is called that was made smaller.
const SUFFIX: &str = "-shrunk";
/// What only a suite of cases, or a reader of the whole, has a use for.
const OF_A_SUITE: [&str; 6] = ["about", "requires", "options", "alone", "traffic", "refusal"];

/// What the command line, or a profile, said beside a scenario.
#[derive(Clone, Debug, Default)]
pub struct Baked {
    /// Sizes of groups.
    pub clients: BTreeMap<String, u32>,
    /// Values of variables.
    pub vars: BTreeMap<String, String>,
    /// Checks, where the scenario leaves them open.
    pub checks: BTreeMap<String, String>,
    /// The steps of `refusal` were run.
    pub refusal: bool,
}

/// A scenario as it was run.
#[derive(Debug)]
pub struct AsRun {
    /// The scenario.
    pub tree: Tree,
    /// Values of variables that are not its own: parameters of the dialect.
    pub vars: BTreeMap<String, String>,
    /// The users' data that it names, as it names them.
    pub users: Option<String>,
}

impl Baked {
    /// The scenario as it was run.
    pub fn into_tree(self, tree: &Tree) -> AsRun {
        let mut tree = tree.clone();
        if let Some(name) = tree.get_mut("scenario")
            && let Tree::Text(text) = name
            && !text.ends_with(SUFFIX)
        {
            text.push_str(SUFFIX);
        }
        if let Some(steps) = tree.get("refusal").filter(|_| self.refusal).cloned() {
            tree.set("steps", steps);
        }
        for key in OF_A_SUITE {
            tree.remove(key);
        }
        for (name, size) in self.clients {
            let group = tree.get_mut("clients").and_then(|groups| groups.get_mut(&name));
            if let Some(group) = group {
                if group.is_empty() {
                    *group = Tree::nothing();
                }
                group.set("clients", Tree::number(u64::from(size)));
            }
        }
        if !self.checks.is_empty() && tree.get("checks").is_none_or(Tree::is_empty) {
            tree.set("checks", Tree::nothing());
        }
        if let Some(checks) = tree.get_mut("checks") {
            for (name, word) in self.checks {
                if checks.get(&name).is_none() {
                    checks.set(&name, Tree::text(word));
                }
            }
        }
        let users = tree.get("users").and_then(Tree::word).map(str::to_owned);
        tree.remove("users");
        let mut others = BTreeMap::new();
        for (name, text) in self.vars {
            if !give(&mut tree, &name, &text) {
                others.insert(name, text);
            }
        }
        AsRun { tree, vars: others, users }
    }
}

/// Gives a variable of the scenario or of a group another value. Whether there is one.
fn give(tree: &mut Tree, name: &str, text: &str) -> bool {
    let is_var = |path: &super::tree::Path| {
        let parent = path.split_last().and_then(|(_, around)| last_key(around));
        let deep = path.len() == 2 || path.len() == 4;
        deep && parent == Some("vars") && last_key(path) == Some(name)
    };
    let paths = tree.find(|path, _| is_var(path));
    let value = match plain(text) {
        Value::String(text) => Tree::text(text),
        scalar => Tree::Plain(scalar.to_string()),
    };
    for path in &paths {
        if let Some(slot) = tree.at_mut(path) {
            *slot = value.clone();
        }
    }
    !paths.is_empty()
}

/// The scenario without the faults that are put into it: what a right server must pass.
pub fn rid_of_faults(tree: &Tree) -> Tree {
    let mut right = tree.clone();
    super::reduce::without_network(&mut right);
    if let Some(Tree::List(args)) = right.get_mut("server").and_then(|it| it.get_mut("args")) {
        let words: Vec<String> = args.iter().filter_map(Tree::word).map(str::to_owned).collect();
        *args = without_mutants(&words).into_iter().map(Tree::text).collect();
    }
    right
}

/// Arguments of a server without those that put a fault into it.
pub fn without_mutants(args: &[String]) -> Vec<String> {
    let mut kept = Vec::new();
    let mut skip = false;
    for arg in args {
        if std::mem::take(&mut skip) {
            continue;
        }
        skip = arg == "--mutant";
        if !skip && !arg.starts_with("--mutant=") {
            kept.push(arg.clone());
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_what_it_is_on_the_command_line() {
        for (text, written) in [
            ("5", "5"),
            ("1.5", "1.5"),
            ("true", "true"),
            ("007", "\"007\""),
            ("+5", "\"+5\""),
            (".5", "\".5\""),
            ("1e3", "1000.0"),
            ("null", "\"null\""),
            ("lobby-$run", "lobby-$run"),
        ] {
            let tree = Tree::read("vars: { x: 1 }").expect("YAML");
            let vars = BTreeMap::from([("x".to_owned(), text.to_owned())]);
            let AsRun { tree, .. } = Baked { vars, ..Baked::default() }.into_tree(&tree);
            assert_eq!(tree.yaml(), format!("vars: {{ x: {written} }}\n"));
        }
    }
}
