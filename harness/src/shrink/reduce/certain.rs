//! Faults of the network made more certain: what goes wrong at once needs no traffic to be seen.

use super::super::tree::{Path, Seg, Tree, last_key};
use super::Edit;

/// What makes a rule match less often.
const SPARING: [&str; 2] = ["rate", "after"];

/// The rules of a scenario: the ways to them, and to the list of several.
fn rules_of(tree: &Tree) -> Vec<Path> {
    let network = tree.find(|path, _| last_key(path) == Some("network"));
    let mut rules = Vec::new();
    for path in network {
        match tree.at(&path) {
            Some(Tree::List(items)) => rules.extend((0..items.len()).map(|at| {
                let mut path = path.clone();
                path.push(Seg::Item(at));
                path
            })),
            Some(Tree::Map(entries)) if !entries.is_empty() => rules.push(path),
            _ => {}
        }
    }
    rules
}

/// Every rule matches always and from the beginning on.
pub(super) fn sure(tree: &Tree) -> Tree {
    let mut sure = tree.clone();
    for path in rules_of(tree) {
        if let Some(rule) = sure.at_mut(&path) {
            rule.remove("after");
            always(rule);
        }
    }
    sure
}

fn always(rule: &mut Tree) {
    if rule.get("rate").is_some() {
        rule.set("rate", Tree::text("1/1"));
    }
}

/// The rate of a rule, as the number of frames of which one matches.
fn one_in(rule: &Tree) -> Option<u64> {
    rule.get("rate")?.word()?.strip_prefix("1/")?.parse().ok()
}

/// One of a group: `crowd/3`.
fn member(at: &str) -> Option<(&str, u64)> {
    let (group, number) = at.split_once('/')?;
    Some((group, number.parse().ok()?))
}

/// Rules that match more often.
pub(super) fn rules(tree: &Tree) -> Vec<Edit> {
    let mut edits = vec![Edit { what: "each rule always".to_owned(), tree: sure(tree) }];
    for path in rules_of(tree) {
        let Some(rule) = tree.at(&path) else { continue };
        let name = rule.line();
        let mut change = |what: &str, change: &dyn Fn(&mut Tree)| {
            let mut tree = tree.clone();
            if let Some(rule) = tree.at_mut(&path) {
                change(rule);
            }
            edits.push(Edit { what: format!("{what}: {name}"), tree });
        };
        change("always", &always);
        change("from the beginning on", &|rule| {
            rule.remove("after");
        });
        for often in one_in(rule).into_iter().flat_map(|often| super::smaller(often, 1)) {
            let rate = Tree::text(format!("1/{often}"));
            change(&format!("one in {often}"), &|rule| rule.set("rate", rate.clone()));
        }
        // The first of a group is still there when it has become smaller.
        if let Some((group, number)) = rule.get("at").and_then(Tree::word).and_then(member)
            && number > 0
        {
            let first = Tree::text(format!("{group}/0"));
            change("at the first", &|rule| rule.set("at", first.clone()));
        }
        let after = rule.get("after").and_then(Tree::whole);
        for less in after.into_iter().flat_map(|after| super::smaller(after, 0)) {
            let value = Tree::number(less);
            change(&format!("after {less}"), &|rule| rule.set("after", value.clone()));
        }
    }
    edits.retain(|edit| edit.tree != *tree);
    edits
}

/// Rules away, and of rules what they do not need.
pub(super) fn fewer(tree: &Tree) -> Vec<Edit> {
    let mut edits = Vec::new();
    for path in rules_of(tree) {
        let Some(rule) = tree.at(&path) else { continue };
        let name = rule.line();
        if let Some((Seg::Item(at), list)) = path.split_last() {
            let mut tree = tree.clone();
            if let Some(Tree::List(items)) = tree.at_mut(list) {
                items.remove(*at);
                if let [only] = items.as_slice() {
                    let only = only.clone();
                    if let Some(list) = tree.at_mut(list) {
                        *list = only;
                    }
                }
            }
            edits.push(Edit { what: format!("without the rule {name}"), tree });
        }
        for key in SPARING.into_iter().chain(["times"]) {
            let mut tree = tree.clone();
            if tree.at_mut(&path).is_some_and(|rule| rule.remove(key)) {
                edits.push(Edit { what: format!("without {key} of {name}"), tree });
            }
        }
    }
    edits
}
