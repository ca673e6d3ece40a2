//! Steps away, and steps inside others put in their place.

use super::super::tree::{Path, Seg, Tree, last_key};
use super::Edit;

/// The keys under which there are lists of steps.
const LISTS: [&str; 5] = ["steps", "run", "together", "each", "refusal"];

/// The keys of lists of things that are sent, or waited for, one after the other.
const SEQUENCES: [&str; 4] = ["sends", "frames", "of", "members"];

/// The ways to lists of which a part may do.
fn sequences(tree: &Tree) -> Vec<Path> {
    tree.find(|path, value| {
        let among_steps = path.first() == Some(&Seg::Key("steps".to_owned()));
        let is_one = last_key(path).is_some_and(|key| SEQUENCES.contains(&key));
        among_steps && is_one && value.items().len() > 1
    })
}

/// The ways to all lists of steps, the outer ones first.
fn lists(tree: &Tree) -> Vec<Path> {
    tree.find(|path, value| {
        let is_list = last_key(path).is_some_and(|key| LISTS.contains(&key));
        let among_steps = path.first() == Some(&Seg::Key("steps".to_owned()));
        let is_steps = value.items().iter().all(|item| matches!(item, Tree::Map(_)));
        is_list && among_steps && is_steps && matches!(value, Tree::List(_))
    })
}

/// Keeps the steps of which this is true; `keep` is told who acts. Whether any went.
pub(super) fn retain(tree: &mut Tree, keep: &mut impl FnMut(&Tree, Option<&str>) -> bool) -> bool {
    let mut went = false;
    if let Some(steps) = tree.get_mut("steps") {
        retain_in(steps, None, &mut |step, who| {
            let stays = keep(step, who);
            went |= !stays;
            stays
        });
    }
    went
}

fn retain_in(
    steps: &mut Tree,
    around: Option<&str>,
    keep: &mut impl FnMut(&Tree, Option<&str>) -> bool,
) {
    let Tree::List(items) = steps else { return };
    items.retain(|step| keep(step, step.get("as").and_then(Tree::word).or(around)));
    for step in items {
        let who = step.get("as").and_then(Tree::word).or(around).map(str::to_owned);
        for key in ["together", "each"] {
            if let Some(inner) = step.get_mut(key) {
                retain_in(inner, who.as_deref(), keep);
            }
        }
        for (outer, key) in [("phase", "run"), ("repeat", "steps")] {
            if let Some(inner) = step.get_mut(outer).and_then(|outer| outer.get_mut(key)) {
                retain_in(inner, who.as_deref(), keep);
            }
        }
    }
}

/// Takes steps away that have nothing left inside.
pub(super) fn prune(tree: &mut Tree) {
    let mut has_something = |step: &Tree, _: Option<&str>| {
        let inner = [("phase", "run"), ("repeat", "steps")].into_iter();
        let inner = inner.filter_map(|(outer, key)| step.get(outer)?.get(key));
        let own = ["together", "each"].into_iter().filter_map(|key| step.get(key));
        !inner.chain(own).any(Tree::is_empty)
    };
    // An empty one may be all that another has.
    while retain(tree, &mut has_something) {}
}

/// Everything behind a step of the timeline away.
pub(super) fn tail(tree: &Tree) -> Vec<Edit> {
    let number = tree.get("steps").map_or(0, |steps| steps.items().len());
    let shorter = super::smaller(number as u64, 1).into_iter();
    let cut = shorter.filter_map(|length| {
        let mut tree = tree.clone();
        match tree.get_mut("steps") {
            Some(Tree::List(items)) => items.truncate(usize::try_from(length).ok()?),
            _ => return None,
        }
        Some(Edit { what: format!("the first {length} steps only"), tree })
    });
    cut.collect()
}

/// Some steps of a list away, or of what a step sends or waits for: half of them, a quarter, down to each by itself.
pub(super) fn away(tree: &Tree) -> Vec<Edit> {
    let mut edits = Vec::new();
    for path in lists(tree).into_iter().chain(sequences(tree)) {
        let Some(list) = tree.at(&path) else { continue };
        let items = list.items();
        let mut many = items.len() / 2;
        while many > 0 {
            let mut end = items.len();
            while end > 0 {
                let begin = end.saturating_sub(many);
                edits.extend(cut(tree, &path, begin, end));
                end = begin;
            }
            many /= 2;
        }
        if items.len() == 1 && path.len() > 1 {
            edits.extend(cut(tree, &path, 0, 1));
        }
    }
    edits
}

fn cut(tree: &Tree, path: &Path, begin: usize, end: usize) -> Option<Edit> {
    let mut tree = tree.clone();
    let Tree::List(items) = tree.at_mut(path)? else { return None };
    let gone: Vec<Tree> = items.drain(begin..end).collect();
    let what = format!("without {}", Tree::List(gone).line());
    prune(&mut tree);
    Some(Edit { what, tree })
}

/// What is done once, one after the other, or by nobody else, needs no step around it.
pub(super) fn plainer(tree: &Tree) -> Vec<Edit> {
    let mut edits = Vec::new();
    for path in lists(tree) {
        let Some(list) = tree.at(&path).filter(|_| last_key(&path) != Some("run")) else {
            continue;
        };
        for (at, step) in list.items().iter().enumerate() {
            let Some(inner) = inside(step) else { continue };
            let mut changed = tree.clone();
            if let Some(Tree::List(items)) = changed.at_mut(&path) {
                items.splice(at..=at, inner);
            }
            edits.push(Edit { what: format!("plainly {}", step.line()), tree: changed });
        }
    }
    edits
}

/// The steps inside one, as they stand without it.
fn inside(step: &Tree) -> Option<Vec<Tree>> {
    let repeat = step.get("repeat").filter(|repeat| {
        repeat.get("times").and_then(Tree::whole) == Some(1) && repeat.get("for").is_none()
    });
    let one = |list: &&Tree| list.items().len() == 1;
    let inner = repeat
        .and_then(|repeat| repeat.get("steps"))
        .or_else(|| step.get("together"))
        .or_else(|| step.get("each").filter(one))?;
    let who = step.get("as");
    let with_who = |inner: &Tree| match (who, inner.get("as"), inner) {
        (Some(who), None, Tree::Map(entries)) => {
            let mut all = vec![("as".to_owned(), who.clone())];
            all.extend(entries.iter().cloned());
            Tree::Map(all)
        }
        _ => inner.clone(),
    };
    Some(inner.items().iter().map(with_who).collect())
}
