//! The checks against oracles: slow, obviously right, and written from the sentences of what each
//! class means. Random histories, with a random fault or none, must get the same verdict and the
//! same classes from both.

mod delivery;
mod hearing;
mod membership;
mod numbers;
mod order;
mod past;
mod pulse;
mod room;
mod state;
mod tally;
mod traffic;

use std::cell::RefCell;
use std::fmt::Debug;

use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::{TestCaseError, TestError, TestRunner};

use past::Told;
use tally::Tally;

/// A class that a fault is made for was found in so many of its histories.
const ENOUGH: u32 = 30;
/// Where occasions are rare, so many batches are played and no more.
const BATCHES_MAX: u32 = 25;

/// So many times more histories than an ordinary run has; a longer one is asked for by the variable
/// that proptest has for it.
fn times() -> u32 {
    let asked = std::env::var_os("PROPTEST_CASES").map(|_| ProptestConfig::default().cases);
    asked.map_or(1, |asked| asked.div_ceil(2_000).max(1))
}

/// Plays histories of one kind: at least so many, and on until what the fault is made for has been
/// found in enough of them.
fn play_until<T: Debug + Clone>(
    name: &str,
    tally: &RefCell<Tally>,
    made_for: &[Told],
    least: u32,
    strategy: &impl Strategy<Value = (u64, T)>,
    check: impl Fn(&T, u64) -> Result<(), String>,
) {
    let before: Vec<u32> = made_for.iter().map(|told| tally.borrow().of(*told)).collect();
    for _ in 0..BATCHES_MAX {
        play(name, least * times(), strategy, &check);
        let counts = made_for.iter().map(|told| tally.borrow().of(*told));
        if counts.zip(&before).all(|(now, before)| now - before >= ENOUGH) {
            break;
        }
    }
}

/// Plays so many histories of one kind. A difference is told with the smallest history that has it,
/// its seed and its shape.
fn play<T: Debug + Clone>(
    name: &str,
    cases: u32,
    strategy: &impl Strategy<Value = (u64, T)>,
    check: impl Fn(&T, u64) -> Result<(), String>,
) {
    let config = ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() };
    if let Some(n) = std::env::var("SURVEY").ok().and_then(|it| it.parse::<u32>().ok()) {
        let mut runner = TestRunner::new(config);
        let mut kinds: std::collections::BTreeMap<String, (u32, String)> = Default::default();
        for _ in 0..cases * n {
            let (seed, shape) = strategy.new_tree(&mut runner).unwrap().current();
            if let Err(why) = check(&shape, seed) {
                let kind = why.split("}: ").nth(1).unwrap_or_default();
                let kind = kind.lines().next().unwrap_or_default().to_owned();
                let shape = format!("{shape:?}");
                let extra = if shape.contains("PerSender") { "PS" } else if shape.contains("Among") { "AM" } else { "T" };
                let kind = format!("{extra} {} {kind}", shape.contains("confirmed: true"));
                let row = kinds.entry(kind).or_insert((0, why.clone()));
                row.0 += 1;
                if why.len() < row.1.len() {
                    row.1 = why;
                }
            }
        }
        for (kind, (n, why)) in kinds {
            eprintln!("{name} {kind}: {n}");
            std::fs::write(format!("/tmp/survey/{name}-{}", kind.replace(['"', ' ', ',', '(', ')', '[', ']'], "")), why).unwrap();
        }
        return;
    }
    let outcome = TestRunner::new(config).run(strategy, |(seed, shape)| {
        check(&shape, seed).map_err(TestCaseError::fail)
    });
    match outcome {
        Ok(()) => {}
        Err(TestError::Fail(why, _)) => panic!("{name}: {why}"),
        Err(TestError::Abort(why)) => panic!("{name}: {why}"),
    }
}
