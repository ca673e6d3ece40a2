//! What can be taken away from a scenario, in the order in which it is tried.
//!
//! Each pass lists changes of one kind, the boldest first. Whether what comes of one is a scenario at
//! all is found out by whoever runs it.

mod certain;
mod keys;
mod people;
mod phases;
mod spans;
mod steps;

use super::search::Scope;
use super::tree::Tree;

/// A change.
#[derive(Clone, Debug)]
pub(super) struct Edit {
    /// What it does, in words: it is known again by them.
    pub(super) what: String,
    /// What comes of it.
    pub(super) tree: Tree,
}

/// Changes of one kind.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pass {
    /// All of them, for a scenario.
    pub(super) edits: fn(&Tree) -> Vec<Edit>,
    /// Steps may be missing afterwards on which others depend.
    bold: bool,
}

const fn bold(edits: fn(&Tree) -> Vec<Edit>) -> Pass {
    Pass { edits, bold: true }
}

const fn harmless(edits: fn(&Tree) -> Vec<Edit>) -> Pass {
    Pass { edits, bold: false }
}

/// All passes. Those that make runs short and failures certain come first: all others gain by it.
const PASSES: [Pass; 14] = [
    bold(leap),
    harmless(certain::rules),
    harmless(steps::tail),
    bold(phases::said),
    harmless(phases::shorter),
    bold(people::groups),
    harmless(people::clients),
    bold(steps::away),
    harmless(phases::numbers),
    harmless(spans::shorter),
    harmless(certain::fewer),
    harmless(keys::away),
    bold(steps::plainer),
    harmless(keys::unused),
];

/// The passes of a search.
pub(super) fn passes(scope: Scope) -> Vec<Pass> {
    PASSES.into_iter().filter(|pass| scope == Scope::All || !pass.bold).collect()
}

/// Everything that makes most scenarios small, at once: what takes the other passes minutes, if it
/// fails so.
fn leap(tree: &Tree) -> Vec<Edit> {
    let certain = certain::sure(tree);
    let said = phases::once(&certain);
    let together = phases::one_of_each(&said);
    let mut edits = Vec::new();
    let forms = [
        (&together, ", in one room, who say it once"),
        (&said, ", who say it once"),
        (&certain, ""),
    ];
    for (form, how) in forms {
        let whole = || Edit { what: format!("all{how}"), tree: form.clone() };
        for clients in [1, 2, 4] {
            let what = format!("at most {clients} in a group{how}");
            edits.push(Edit { what, tree: people::at_most(form, clients) });
        }
        edits.extend((*form != certain).then(whole));
    }
    edits.retain(|edit| edit.tree != *tree);
    edits
}

/// Smaller numbers than this one, the smallest first.
fn smaller(number: u64, least: u64) -> Vec<u64> {
    let mut all = vec![least, least + 1, number / 8, number / 4, number / 2, number * 3 / 4];
    all.push(number.saturating_sub(1));
    all.retain(|it| (least..number).contains(it));
    all.sort_unstable();
    all.dedup();
    all
}

/// Takes all steps away that put faults into the network.
pub(super) fn without_network(tree: &mut Tree) {
    steps::retain(tree, &mut |step, _| step.get("network").is_none());
    steps::prune(tree);
}
