//! The search for the smallest scenario that still fails: a state machine that proposes candidates
//! and is told what came of each.
//!
//! It goes through the passes of [`super::reduce`] in their order, keeps what fails in the same way
//! in all of [`RUNS`] runs, and ends with a round in which nothing more could be taken away. Of many
//! candidates that fail by chance some fail in all of their runs: so what is left is run more often
//! in the end, and when it does not fail, the search goes back to what was kept before.

use std::collections::HashSet;
use std::mem::take;

use super::reduce::{Edit, Pass, passes};
use super::tree::Tree;

/// So often in a row a candidate must fail in the same way to be believed.
pub const RUNS: u32 = 3;
/// So often in a row what is left must fail in the end.
const RUNS_AT_THE_END: u32 = 10;

/// What came of a run of a candidate.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Came {
    /// It failed in the same way.
    Same,
    /// It failed in another way, or would fail at a right server, too.
    Other,
    /// It did not fail.
    Passed,
    /// It is no scenario, or none that can be run here.
    Invalid,
}

/// What may be taken away.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Scope {
    /// Anything.
    All,
    /// Nothing without which a step could fail at a right server: what a step waits for may be what
    /// another step does.
    Careful,
}

/// How the candidates fared.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Tally {
    /// Candidates that were run.
    pub candidates: u32,
    /// Runs.
    pub runs: u32,
    /// Those that failed in the same way each time.
    pub kept: u32,
    /// Those that failed in the same way, but not each time.
    pub sometimes: u32,
    /// Those that failed in another way.
    pub other: u32,
    /// Those that did not fail.
    pub passed: u32,
}

/// The search.
#[derive(Debug)]
pub struct Search {
    best: Tree,
    /// How often in a row the best has failed, but for the run that began it all.
    proof: u32,
    /// What was the best before, the newest last.
    before: Vec<(Tree, u32)>,
    passes: Vec<Pass>,
    pass: usize,
    queue: std::vec::IntoIter<Edit>,
    current: Option<Edit>,
    same: u32,
    /// Something was taken away in this round.
    progressed: bool,
    /// Nothing more is taken away.
    ending: bool,
    /// The scenario as it is has not been proposed yet.
    as_it_is: bool,
    /// What was tried in vain since the best was found.
    vain: HashSet<String>,
    tried: HashSet<String>,
    tally: Tally,
}

impl Search {
    /// Begins with a scenario that has failed once.
    pub fn new(tree: Tree, scope: Scope) -> Self {
        let passes = passes(scope);
        let first = passes.first().map(|pass| (pass.edits)(&tree)).unwrap_or_default();
        Self {
            tried: HashSet::from([tree.yaml()]),
            best: tree,
            proof: 0,
            before: Vec::new(),
            passes,
            pass: 0,
            queue: first.into_iter(),
            current: None,
            same: 0,
            progressed: false,
            ending: false,
            as_it_is: true,
            vain: HashSet::new(),
            tally: Tally::default(),
        }
    }

    /// The candidate to be run next; none: nothing more can be taken away.
    pub fn propose(&mut self) -> Option<&Tree> {
        if self.current.is_none() {
            self.same = 0;
            self.current = self.next_edit();
        }
        self.current.as_ref().map(|edit| &edit.tree)
    }

    /// The time is over: nothing more is taken away. What is left is only run once as its own command
    /// runs it, if it has not been.
    pub fn end(&mut self) {
        self.ending = true;
        self.current = None;
    }

    /// Whether the candidate has not been run yet.
    pub fn is_new(&self) -> bool {
        self.same == 0
    }

    /// Whether the candidate is what is left, run for the first time to be proven.
    pub fn is_left(&self) -> bool {
        self.proof == RUNS && self.current.as_ref().is_some_and(|edit| edit.tree == self.best)
    }

    /// What the candidate does to the best so far, in words.
    pub fn what(&self) -> &str {
        self.current.as_ref().map_or("", |edit| &edit.what)
    }

    /// Takes in what came of the candidate.
    pub fn told(&mut self, came: Came) {
        let Some(edit) = &self.current else { return };
        if came != Came::Invalid {
            self.tally.runs += 1;
            self.tally.candidates += u32::from(self.same == 0);
        }
        match came {
            Came::Same => {
                self.same += 1;
                if self.same >= RUNS {
                    self.keep();
                }
                return;
            }
            Came::Other | Came::Passed if self.same > 0 => self.tally.sometimes += 1,
            Came::Other => self.tally.other += 1,
            Came::Passed => self.tally.passed += 1,
            Came::Invalid => {}
        }
        self.vain.insert(edit.what.clone());
        if edit.tree == self.best && self.proof > 0 {
            self.go_back();
        }
        self.current = None;
    }

    /// The smallest that failed in all of its runs; none: not even the scenario as it is did.
    pub fn found(&self) -> Option<&Tree> {
        (self.proof > 0).then_some(&self.best)
    }

    /// How often in a row that has failed.
    pub fn proof(&self) -> u32 {
        self.proof
    }

    /// How the candidates fared.
    pub fn tally(&self) -> Tally {
        self.tally
    }

    fn keep(&mut self) {
        let Some(edit) = take(&mut self.current) else { return };
        if self.best == edit.tree {
            self.proof += if self.proof == 0 { self.same } else { 1 };
            return;
        }
        self.tally.kept += 1;
        let best = std::mem::replace(&mut self.best, edit.tree);
        self.before.push((best, self.proof));
        self.proof = self.same;
        self.progressed = true;
        self.refill();
    }

    /// The best has failed by chance only: it is what was kept before.
    fn go_back(&mut self) {
        let Some((best, proof)) = self.before.pop() else {
            self.proof = 0;
            return;
        };
        (self.best, self.proof) = (best, proof);
        self.tally.kept -= 1;
        self.pass = 0;
        self.vain.clear();
        self.refill();
    }

    fn refill(&mut self) {
        let edits = self.passes.get(self.pass).map(|pass| (pass.edits)(&self.best));
        self.queue = edits.unwrap_or_default().into_iter();
    }

    fn next_edit(&mut self) -> Option<Edit> {
        if self.ending {
            return (self.proof == RUNS).then(|| self.once_more());
        }
        loop {
            for edit in self.queue.by_ref() {
                let new = is_something(&edit.tree) && !self.vain.contains(&edit.what);
                if new && self.tried.insert(edit.tree.yaml()) {
                    return Some(edit);
                }
            }
            self.pass += 1;
            if self.pass < self.passes.len() {
                self.refill();
            } else if take(&mut self.progressed) {
                // What was in vain before may be possible now.
                self.pass = 0;
                self.vain.clear();
                self.refill();
            } else if self.proof == 0 && take(&mut self.as_it_is) {
                return Some(Edit { what: "as it is".to_owned(), tree: self.best.clone() });
            } else if (1..RUNS_AT_THE_END).contains(&self.proof) {
                return Some(self.once_more());
            } else {
                return None;
            }
        }
    }

    /// What is left, run once: it is its own candidate until it is proven.
    fn once_more(&mut self) -> Edit {
        self.same = RUNS - 1;
        Edit { what: "once more".to_owned(), tree: self.best.clone() }
    }
}

/// Whether there is somebody left, and something to do.
fn is_something(tree: &Tree) -> bool {
    ["clients", "steps"].into_iter().all(|key| tree.get(key).is_some_and(|part| !part.is_empty()))
}
