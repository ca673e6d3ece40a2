//! Less load: phases shorter and slower, and where few messages are left, said step by step.

use std::time::Duration;

use super::super::size::{length, of_group, turns};
use super::super::tree::{Path, Seg, Tree, last_key};
use super::steps::prune;
use super::{Edit, smaller, spans};

/// A phase of more actions stays one.
const FEW: u64 = 24;

fn phases(tree: &Tree) -> Vec<Path> {
    tree.find(|path, value| last_key(path) == Some("phase") && value.get("run").is_some())
}

/// Every phase as steps: each group does once what it does again and again in it.
pub(super) fn once(tree: &Tree) -> Tree {
    let mut tree = tree.clone();
    // Those behind stay where they are, while those before them become several.
    for path in phases(&tree).into_iter().rev() {
        let Some(phase) = tree.at(&path).cloned() else { continue };
        let streams = phase.get("run").map(Tree::items).unwrap_or_default();
        replace(&mut tree, &path, streams.iter().map(as_step).collect());
    }
    tree
}

/// Phases as steps: what was done so often, step by step; or once, or twice.
pub(super) fn said(tree: &Tree) -> Vec<Edit> {
    let mut edits = Vec::new();
    for path in phases(tree) {
        let Some(phase) = tree.at(&path) else { continue };
        let name = phase.get("name").and_then(Tree::word).unwrap_or_default();
        let streams = phase.get("run").map(Tree::items).unwrap_or_default();
        let all: Vec<Tree> = streams.iter().map(as_step).collect();
        let schedule = schedule(tree, phase);
        let several = [1, 2, 3].map(|rounds| {
            let rounds = std::iter::repeat_n(&all, rounds);
            rounds.flatten().cloned().collect::<Vec<Tree>>()
        });
        for (number, steps) in several.into_iter().chain(schedule).enumerate() {
            let mut tree = tree.clone();
            replace(&mut tree, &path, steps);
            prune(&mut tree);
            edits.push(Edit { what: format!("{name} as steps ({number})"), tree });
        }
    }
    edits
}

/// What is done in a phase, in its order, if that is little. A group does a step together: its
/// members' turns are one step.
fn schedule(tree: &Tree, phase: &Tree) -> Option<Vec<Tree>> {
    let span = phase.get("for").and_then(length)?;
    let streams = phase.get("run")?.items();
    let mut due: Vec<(u64, Tree)> = Vec::new();
    for stream in streams {
        let who = stream.get("as").and_then(Tree::word).unwrap_or_default();
        let turns = turns(stream, span);
        if turns > FEW {
            return None;
        }
        let rounds = turns.div_ceil(of_group(tree, who).max(1));
        for round in 0..rounds {
            // The share of the phase that has gone by, in thousandths.
            due.push((round.saturating_mul(1000) / rounds.max(1), as_step(stream)));
        }
    }
    due.sort_by_key(|(when, _)| *when);
    Some(due.into_iter().map(|(_, step)| step).collect())
}

/// A stream's action as a step.
fn as_step(stream: &Tree) -> Tree {
    let mut step = stream.clone();
    step.remove("every");
    step
}

/// Puts steps in the place of the one that has this phase.
fn replace(tree: &mut Tree, phase: &Path, steps: Vec<Tree>) {
    let Some((_, step)) = phase.split_last() else { return };
    let Some((Seg::Item(at), list)) = step.split_last() else { return };
    let who = tree.at(step).and_then(|step| step.get("as")).cloned();
    let with_who = |step: Tree| match (&who, step) {
        (Some(who), Tree::Map(mut entries)) if !entries.iter().any(|(key, _)| key == "as") => {
            entries.insert(0, ("as".to_owned(), who.clone()));
            Tree::Map(entries)
        }
        (_, step) => step,
    };
    if let Some(Tree::List(items)) = tree.at_mut(list) {
        items.splice(*at..=*at, steps.into_iter().map(with_who));
    }
}

/// Phases that are shorter, or in which less is done in the same time.
pub(super) fn shorter(tree: &Tree) -> Vec<Edit> {
    let mut edits = Vec::new();
    for path in phases(tree) {
        let Some(phase) = tree.at(&path) else { continue };
        let name = phase.get("name").and_then(Tree::word).unwrap_or_default();
        let Some(span) = phase.get("for").and_then(length) else { continue };
        for shorter in spans::parts(span, Duration::from_millis(20)) {
            let mut tree = tree.clone();
            let text = spans::text(shorter);
            if let Some(phase) = tree.at_mut(&path) {
                phase.set("for", Tree::text(text.clone()));
            }
            edits.push(Edit { what: format!("{name} for {text}"), tree });
        }
        for (share, word) in [(8, "an eighth"), (2, "half")] {
            let mut tree = tree.clone();
            if let Some(Tree::List(streams)) = tree.at_mut(&path).and_then(|it| it.get_mut("run")) {
                streams.iter_mut().for_each(|stream| slow_down(stream, share));
            }
            edits.push(Edit { what: format!("{name} at {word} of its rate"), tree });
        }
    }
    edits.retain(|edit| edit.tree != *tree);
    edits
}

fn slow_down(stream: &mut Tree, share: u64) {
    let Some(rate) = stream.get("every").and_then(Tree::word) else { return };
    let Some((count, unit)) = rate.split_once('/') else { return };
    let Ok(count) = count.trim().replace('_', "").parse::<u64>() else { return };
    if count > share {
        let slower = format!("{}/{unit}", count / share);
        stream.set("every", Tree::text(slower));
    }
}

/// The ways to numbers that the scenario gives names to.
fn named_numbers(tree: &Tree) -> Vec<Path> {
    tree.find(|path, value| {
        let among_vars = path.iter().rev().nth(1) == Some(&Seg::Key("vars".to_owned()));
        among_vars && value.whole().is_some()
    })
}

/// Of all that the scenario counts by name there is one: rooms, for one.
pub(super) fn one_of_each(tree: &Tree) -> Tree {
    let mut one = tree.clone();
    for path in named_numbers(tree) {
        if let Some(slot) = one.at_mut(&path).filter(|slot| slot.whole() > Some(1)) {
            *slot = Tree::number(1);
        }
    }
    one
}

/// Fewer rounds, and smaller numbers that the scenario gives names to.
pub(super) fn numbers(tree: &Tree) -> Vec<Edit> {
    let mut edits = Vec::new();
    let mut paths = named_numbers(tree);
    paths.extend(
        tree.find(|path, value| last_key(path) == Some("times") && value.whole().is_some()),
    );
    for path in paths {
        let Some(number) = tree.at(&path).and_then(Tree::whole) else { continue };
        let name = last_key(&path).unwrap_or_default();
        for less in smaller(number, 1) {
            let mut tree = tree.clone();
            if let Some(slot) = tree.at_mut(&path) {
                *slot = Tree::number(less);
            }
            edits.push(Edit { what: format!("{name} {less} instead of {number}"), tree });
        }
    }
    edits
}
