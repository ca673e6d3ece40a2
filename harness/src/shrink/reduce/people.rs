//! Groups away, and fewer clients in those that stay.

use super::super::size::{members, of_group};
use super::super::tree::Tree;
use super::steps::{prune, retain};
use super::{Edit, smaller};

fn groups_of(tree: &Tree) -> &[(String, Tree)] {
    tree.get("clients").map(Tree::entries).unwrap_or_default()
}

/// A group away, with all that it does, and all that is expected of it.
pub(super) fn groups(tree: &Tree) -> Vec<Edit> {
    let names: Vec<&str> = groups_of(tree).iter().map(|(name, _)| name.as_str()).collect();
    if names.len() < 2 {
        return Vec::new();
    }
    let mut edits = Vec::new();
    let mut by_size = names.clone();
    by_size.sort_by_key(|name| std::cmp::Reverse(of_group(tree, name)));
    for name in &by_size {
        edits.push(Edit { what: format!("without {name}"), tree: without(tree, &[name]) });
    }
    // Two of them may need each other.
    for (at, one) in names.iter().enumerate() {
        for other in names.iter().skip(at + 1).filter(|_| names.len() > 2) {
            let tree = without(tree, &[one, other]);
            edits.push(Edit { what: format!("without {one} and {other}"), tree });
        }
    }
    edits
}

fn without(tree: &Tree, gone: &[&str]) -> Tree {
    let mut tree = tree.clone();
    for name in gone {
        if let Some(groups) = tree.get_mut("clients") {
            groups.remove(name);
        }
        retain(&mut tree, &mut |step, who| {
            let acts = who == Some(name);
            let is_part = step.get("phase").is_some() || step.get("repeat").is_some();
            let is_part = is_part || step.get("together").is_some() || step.get("each").is_some();
            !acts && (is_part || !step.mentions(name))
        });
    }
    prune(&mut tree);
    tree
}

/// A tree in which no group is larger than this.
pub(super) fn at_most(tree: &Tree, clients: u64) -> Tree {
    let mut tree = tree.clone();
    let names: Vec<String> = groups_of(&tree).iter().map(|(name, _)| name.clone()).collect();
    for name in names {
        resize(&mut tree, &name, |size| size.min(clients));
    }
    tree
}

fn resize(tree: &mut Tree, name: &str, change: impl Fn(u64) -> u64) {
    let Some(group) = tree.get_mut("clients").and_then(|groups| groups.get_mut(name)) else {
        return;
    };
    let (before, after) = (members(group), change(members(group)));
    if after == before {
        return;
    }
    if after == 1 {
        group.remove("clients");
    } else {
        group.set("clients", Tree::number(after));
    }
}

/// Fewer clients: in all groups, then in one of them.
pub(super) fn clients(tree: &Tree) -> Vec<Edit> {
    let largest = groups_of(tree).iter().map(|(_, group)| members(group)).max().unwrap_or(1);
    let mut edits = Vec::new();
    for most in smaller(largest, 1).into_iter().filter(|_| groups_of(tree).len() > 1) {
        edits.push(Edit { what: format!("at most {most} in a group"), tree: at_most(tree, most) });
    }
    for (name, group) in groups_of(tree) {
        for size in smaller(members(group), 1) {
            let mut tree = tree.clone();
            resize(&mut tree, name, |_| size);
            edits.push(Edit { what: format!("{size} in {name}"), tree });
        }
    }
    edits
}
