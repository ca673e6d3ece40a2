//! The checks against oracles: slow, obviously right, and written from the sentences of what each
//! class means. Random histories, with a random fault or none, must get the same verdict and the
//! same classes from both.
//!
//! Where one fault rightly has two names, or the wire does not decide:
//!
//! | what | told as | why |
//! |---|---|---|
//! | a message from an earlier stay comes again | `duplicate` or `early` | both are true |
//! | a message comes after a later one of its sender, and after others' | `reorder`; `disorder` may stay away | the one message is called one thing |
//! | a loss (also of an own copy), or a refused message that comes, in one order of the room | also `disorder`, or not | the order is what those say who got each message first; if one of them lost one, others contradict it at once, and the loss is known at the end |
//! | two orders, where senders do not hear themselves or joins are not confirmed | `disorder` if two got the two messages directly one after the other; else it may be told | a message's place may stay unknown |
//! | a copy left out for one who leaves before the end, in one order of the room | `loss`, or not | the room's order may not be known by then; where only senders' orders are promised it must be told |
//! | a copy of a message that nobody got and nobody confirmed, its sender gone or not reading | `loss`, or not | it may have been refused |
//! | a wrong notice | `notice`; also `view`, or not | who was told wrongly holds another set from then on |
//!
//! Not here, because no model of frames has them: `admission` of who must be kept out, `handshake`,
//! `limit`, `auth`, `causal` and `killed` by what a client sent (steps of scenarios and of
//! conformance cases find them), and the check `slow`, which is a measurement (its tables are in
//! `tables/slow.rs`).
#![expect(clippy::indexing_slicing, reason = "places of a list that the oracle itself has found")]

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
use proptest::test_runner::{RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};

use past::Told;
use tally::Tally;

/// A class that a fault is made for was found in so many of its histories.
const ENOUGH: u32 = 30;
/// Where occasions are rare, so many batches are played and no more.
const BATCHES_MAX: u32 = 25;

/// So many times more histories than an ordinary run has; a longer one, with other histories each
/// time, is asked for by the variable that proptest has for it.
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
    for batch in 0..BATCHES_MAX {
        play(name, batch, least * times(), strategy, &check);
        let counts = made_for.iter().map(|told| tally.borrow().of(*told));
        if counts.zip(&before).all(|(now, before)| now - before >= ENOUGH) {
            break;
        }
    }
}

/// The choices of one batch, by its name.
fn fixed(name: &str, batch: u32) -> TestRng {
    let mut seed = [0_u8; 32];
    for (to, from) in seed.iter_mut().zip(name.bytes().chain(batch.to_le_bytes()).cycle()) {
        *to = from;
    }
    TestRng::from_seed(RngAlgorithm::ChaCha, &seed)
}

/// Plays so many histories of one kind. A difference is told with the smallest history that has it,
/// its seed and its shape.
fn play<T: Debug + Clone>(
    name: &str,
    batch: u32,
    cases: u32,
    strategy: &impl Strategy<Value = (u64, T)>,
    check: impl Fn(&T, u64) -> Result<(), String>,
) {
    let config = ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() };
    let mut runner = match times() {
        // The same histories each time: a difference that nobody has seen yet fails nobody's build.
        1 => TestRunner::new_with_rng(config, fixed(name, batch)),
        _ => TestRunner::new(config),
    };
    let outcome =
        runner.run(strategy, |(seed, shape)| check(&shape, seed).map_err(TestCaseError::fail));
    match outcome {
        Ok(()) => {}
        Err(TestError::Fail(why, _)) => panic!("{name}: {why}"),
        Err(TestError::Abort(why)) => panic!("{name}: {why}"),
    }
}
