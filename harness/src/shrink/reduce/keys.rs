//! What a scenario says besides: checks, limits, settings, and names that nothing uses any more.

use super::super::tree::{Seg, Tree, last_key};
use super::Edit;

/// Keys of the file without which it may be the same.
const OF_THE_FILE: [&str; 6] = ["needs", "thresholds", "checks", "ignore", "server", "own_server"];
/// Keys of groups and steps without which they may be the same.
const OF_PARTS: [&str; 8] =
    ["ramp", "name", "vars", "pongs", "discard", "needs", "headers", "jitter"];

/// Keys away: all that can be missing at once, then one by one.
pub(super) fn away(tree: &Tree) -> Vec<Edit> {
    let mut edits = Vec::new();
    let mut all = tree.clone();
    for key in ["needs", "thresholds", "ignore"] {
        all.remove(key);
    }
    edits.push(Edit { what: "without what it says besides".to_owned(), tree: all });
    for key in OF_THE_FILE {
        edits.extend(without(tree, &[Seg::Key(key.to_owned())]));
    }
    for outer in ["checks", "thresholds", "server"] {
        for (key, _) in tree.get(outer).map(Tree::entries).unwrap_or_default() {
            edits.extend(without(tree, &[Seg::Key(outer.to_owned()), Seg::Key(key.clone())]));
        }
    }
    let parts = tree.find(|path, _| {
        let inside = [Some(&Seg::Key("clients".to_owned())), Some(&Seg::Key("steps".to_owned()))];
        let is_part = path.len() > 2 && inside.contains(&path.first());
        // What a phase is called must be said.
        let of_phase = path.iter().rev().nth(1) == Some(&Seg::Key("phase".to_owned()));
        is_part && !of_phase && last_key(path).is_some_and(|key| OF_PARTS.contains(&key))
    });
    edits.extend(parts.iter().filter_map(|path| without(tree, path)));
    edits.retain(|edit| edit.tree != *tree);
    edits
}

fn without(tree: &Tree, path: &[Seg]) -> Option<Edit> {
    let (Seg::Key(key), around) = path.split_last()? else { return None };
    let mut tree = tree.clone();
    let map = tree.at_mut(around)?;
    let what = format!("without {key} of {}", map.line());
    if !map.remove(key) {
        return None;
    }
    if map.is_empty() && around.len() == 1 {
        // An empty `checks: {}` says nothing either.
        if let Some(Seg::Key(outer)) = around.first() {
            tree.remove(outer);
        }
    }
    Some(Edit { what, tree })
}

/// Variables away that nothing uses, one for all where all have the same, and a room's name instead of
/// the first of one.
pub(super) fn unused(tree: &Tree) -> Vec<Edit> {
    let mut edits: Vec<Edit> = common(tree).into_iter().collect();
    let mut all = tree.clone();
    let used = |tree: &Tree, name: &str| {
        let mut found = false;
        tree.walk(&mut |_, value| {
            found |= value.word().is_some_and(|text| {
                text.contains(&format!("${name}")) || text.contains(&format!("({name})"))
            });
        });
        found
    };
    if let Some(vars) = tree.get("vars") {
        for (name, value) in vars.entries() {
            if value.whole() == Some(1) {
                edits.push(Edit { what: format!("no shard of {name}"), tree: first(tree, name) });
            }
        }
        let gone: Vec<&String> =
            vars.entries().iter().map(|(name, _)| name).filter(|name| !used(tree, name)).collect();
        for name in gone {
            edits.extend(without(tree, &[Seg::Key("vars".to_owned()), Seg::Key(name.clone())]));
            if let Some(vars) = all.get_mut("vars") {
                vars.remove(name);
            }
        }
        if all.get("vars").is_some_and(Tree::is_empty) {
            all.remove("vars");
        }
        edits.insert(0, Edit { what: "without what nothing uses".to_owned(), tree: all });
    }
    edits.retain(|edit| edit.tree != *tree);
    edits
}

/// The only shard is the first.
fn first(tree: &Tree, name: &str) -> Tree {
    let mut changed = tree.clone();
    let shard = format!("$shard({name})");
    for path in tree.find(|_, value| value.word().is_some_and(|text| text.contains(&shard))) {
        let text = tree.at(&path).and_then(Tree::word).unwrap_or_default();
        let plain = text.replace(&shard, "0");
        if let Some(slot) = changed.at_mut(&path) {
            *slot = Tree::text(plain);
        }
    }
    changed
}

/// A variable that is the same in all groups, as one of the scenario.
fn common(tree: &Tree) -> Option<Edit> {
    let groups = tree.get("clients")?.entries();
    let own = |group: &Tree| group.get("vars").map(Tree::entries).unwrap_or_default().to_vec();
    let (_, first) = groups.first()?;
    let (name, value) = own(first)
        .into_iter()
        .find(|var| groups.iter().all(|(_, group)| own(group).contains(var)))?;
    let mut tree = tree.clone();
    if let Some(Tree::Map(groups)) = tree.get_mut("clients") {
        for (_, group) in groups {
            if let Some(vars) = group.get_mut("vars") {
                vars.remove(&name);
            }
            if group.get("vars").is_some_and(Tree::is_empty) {
                group.remove("vars");
            }
        }
    }
    if tree.get("vars").is_none_or(Tree::is_empty) {
        tree.put_before("clients", "vars", Tree::nothing());
    }
    tree.get_mut("vars")?.set(&name, value);
    Some(Edit { what: format!("one {name} for all"), tree })
}
