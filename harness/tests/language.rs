//! What the language refuses, and what it says about it: each mistake at its word.

use std::sync::Arc;

use harness::plan::Source;
use harness::scenario::{Problems, Scenario};
use proptest::prelude::*;

/// Clients and steps that are right, for cases that are wrong elsewhere.
const HEAD: &str = "scenario: t\nclients: { alice: {}, bob: {} }\n";

fn problems(text: &str) -> Result<Scenario, Problems> {
    Scenario::parse(Source { name: "t.yaml".into(), text: Arc::from(text) })
}

/// The problems of a file, a line each: `line:column: message (help)`.
fn check(text: &str, expected: &[&str]) {
    let found = match problems(text) {
        Ok(_) => String::new(),
        Err(problems) => problems.lines().replace("t.yaml:", ""),
    };
    let expected: String = expected.iter().map(|line| format!("{line}\n")).collect();
    assert_eq!(found, expected, "\n{text}");
}

/// The same for a step of `alice`, on line 4 from column 5 on.
fn step(step: &str, expected: &[&str]) {
    check(&format!("{HEAD}steps:\n  - {{ as: alice, {step} }}\n"), expected);
}
