//! What stands above a scenario that was made smaller, and the command that runs it.

use std::fmt::Write as _;

use super::search::{RUNS, Tally};
use super::size::Size;
use super::tree::Tree;
use super::way::Way;
use crate::report::words::{clean, counted, cut};

/// A line of the comment is not longer than this.
const WIDTH: usize = 96;

/// What is said of a scenario that was made smaller.
#[derive(Debug)]
pub struct Head<'a> {
    /// How it fails.
    pub way: &'a Way,
    /// What it was made from.
    pub from: &'a str,
    /// How large that was.
    pub before: Size,
    /// The command that runs it.
    pub command: &'a str,
    /// How often in a row it has failed.
    pub proof: u32,
}

impl Head<'_> {
    /// The file: the comment, and the scenario.
    pub fn file(&self, tree: &Tree) -> String {
        let proof = self.proof;
        let mut text = String::new();
        for line in [
            format!("Fails: {}. {}", self.way, clean(sentence(&self.way.detail))),
            format!("Shrunk from {}: {}.", clean(self.from), self.before),
            format!(
                "What is left: {}. It failed so {proof} of {proof} times. Again:",
                Size::of(tree)
            ),
        ] {
            wrap(&mut text, &line);
        }
        // A command is not broken: it is to be copied.
        let _never_fails = writeln!(text, "#   {}", clean(self.command));
        text.push_str(&tree.yaml());
        text
    }

    /// What is told on the terminal.
    pub fn told(&self, tree: &Tree, tally: Tally, seconds: f64) -> String {
        let Tally { candidates, runs, .. } = tally;
        let effort = format!("{} in {seconds:.1}s", counted(u64::from(runs), "run"));
        let tried = counted(u64::from(candidates), "candidate");
        let mut text = format!("  {:<11} {}\n", "shrunk", self.before);
        let _never_fails = writeln!(text, "  {:<11} to {} ({tried}, {effort})", "", Size::of(tree));
        let proof = self.proof;
        let way = format!("it fails so {proof} of {proof} times: {}", self.way);
        let _never_fails = writeln!(text, "  {:<11} {way}", "");
        if let Some(line) = hint(tally) {
            let _never_fails = writeln!(text, "  {:<11} {line}", "");
        }
        let _never_fails = writeln!(text, "  {:<11} {}", "again", clean(self.command));
        text
    }
}

impl Tally {
    /// Why it came no further, in words.
    pub fn why(&self) -> String {
        let Self { candidates, passed, other, sometimes, .. } = *self;
        format!(
            "of {}, {passed} passed, {other} failed in another way, {sometimes} failed in this way \
             but not {RUNS} times of {RUNS}",
            counted(u64::from(candidates), "candidate")
        )
    }
}

/// Says so where chance had a part in it.
fn hint(tally: Tally) -> Option<String> {
    let Tally { kept, sometimes, .. } = tally;
    (sometimes > kept).then(|| format!("the fault is rare by itself: {}", tally.why()))
}

/// What happened, without the line, which is another below a comment.
fn sentence(detail: &str) -> &str {
    let rest = detail.strip_prefix("line ").and_then(|rest| rest.split_once(": "));
    rest.map_or(detail, |(_, rest)| rest)
}

fn wrap(text: &mut String, line: &str) {
    let line = cut(line, 2 * WIDTH);
    let mut length = 0;
    for word in line.split_whitespace() {
        let wide = word.chars().count();
        if length == 0 || length + 1 + wide > WIDTH {
            text.push_str(if length == 0 { "#" } else { "\n#  " });
            length = if length == 0 { 1 } else { 3 };
        }
        text.push(' ');
        text.push_str(word);
        length += 1 + wide;
    }
    text.push('\n');
}
