//! Messages and their order: `delivery`, `order`, `hearing`, and what `recovery` learns of them.

use std::cell::RefCell;

use harness::check::{Class, End, Judge, Profile};
use harness::observe::Observation;
use harness::plan::Ordering;
use proptest::prelude::*;

use super::delivery::{self, Promise};
use super::past::{Opinion, Past, Told, story};
use super::tally::{Tally, found};
use super::{hearing, order, play_until};
use crate::PROMISES;
use crate::world::{Fault, Shape, World, plan};

/// Histories of each fault at first, and at most, until the class it is made for has its count.
const AT_FIRST: u32 = 40;

/// What each fault is made for. What is found in a history is the oracle's to say.
const FAULTS: [(Fault, &[(&str, Class)]); 25] = [
    (Fault::None, &[]),
    (Fault::SwapSame, &[("order", Class::Reorder)]),
    (Fault::SwapOther, &[("order", Class::Disorder)]),
    (Fault::Later, &[("order", Class::Reorder)]),
    (Fault::Fork, &[("order", Class::Disorder)]),
    (Fault::Drop, &[("delivery", Class::Loss)]),
    (Fault::DropLast, &[("delivery", Class::Loss)]),
    (Fault::MissFirst, &[("delivery", Class::Loss)]),
    (Fault::Twice, &[("delivery", Class::Duplicate)]),
    (Fault::TwiceLate, &[("delivery", Class::Duplicate)]),
    (Fault::Phantom, &[("delivery", Class::Phantom)]),
    (Fault::Sender, &[("delivery", Class::Phantom)]),
    (Fault::Unsaid, &[("delivery", Class::Phantom)]),
    (Fault::RefusedSent, &[("delivery", Class::Phantom)]),
    (Fault::Leak, &[("delivery", Class::Leak)]),
    (Fault::Foreign, &[("delivery", Class::Leak)]),
    (Fault::OtherRoom, &[("delivery", Class::Leak)]),
    (Fault::Early, &[("delivery", Class::Early)]),
    (Fault::Late, &[("delivery", Class::Late)]),
    (Fault::Corrupt, &[("delivery", Class::Corrupt)]),
    (Fault::OtherName, &[("delivery", Class::Misattributed)]),
    (Fault::NoEcho, &[("delivery", Class::Echo)]),
    (Fault::EchoTwice, &[("delivery", Class::Echo)]),
    (Fault::Deaf, &[("hearing", Class::Loss)]),
    (Fault::Hole, &[("recovery", Class::Recovery)]),
];

fn opinion(shape: &Shape, history: &[Observation]) -> Opinion {
    let past = Past::new(history);
    let Shape { ordering, echo, confirmed, recovers: recovery, .. } = *shape;
    let promise = Promise { ordering, echo, confirmed, recovery };
    let mut opinion = Opinion::default();
    let all = delivery::got(&past, promise, &mut opinion);
    delivery::missing(&past, &all, promise, &mut opinion);
    delivery::strays(&past, &mut opinion);
    order::judge(&past, &all, promise, &mut opinion);
    hearing::judge(&past, &mut opinion);
    opinion
}

fn judged(shape: &Shape, history: &[Observation]) -> Judge {
    let mut checks = plan();
    (checks.order, checks.echo) = (Some(shape.ordering), Some(shape.echo));
    checks.recovery = shape.recovers;
    let mut judge = Judge::new(&checks, Profile::new(&checks, None, false), shape.clients);
    for seen in history {
        judge.observe(seen);
    }
    let at = history.last().map(|seen| seen.at).unwrap_or_default();
    judge.conclude(&End { at, settled: true, ..End::default() });
    judge
}

/// Plays one history and holds the checks against the oracle.
fn check(shape: &Shape, seed: u64, tally: &mut Tally) -> Result<(), String> {
    let history = World::new(shape, seed).play_on();
    let judge = judged(shape, &history);
    let opinion = opinion(shape, &history);
    tally.compare(&opinion, &found(&judge)).map_err(|difference| {
        let told: Vec<_> = judge.findings().kept().iter().take(5).collect();
        let story = story(&history);
        format!("{story}seed {seed} {shape:?}: {difference}\n{opinion:?}\n{told:?}")
    })
}

/// Any shape in which a fault has its occasions.
fn shapes(fault: Fault) -> impl Strategy<Value = (u64, Shape)> {
    let deaf = fault == Fault::Deaf;
    let sizes = (3_usize..7, 0_usize..3, 1_usize..3, 60_usize..260, 1_u32..12);
    let modes = (any::<bool>(), any::<bool>(), any::<bool>(), 0..4, any::<bool>());
    (any::<u64>(), 0..PROMISES.len(), sizes, modes).prop_map(
        move |(seed, promise, (clients, quiet, rooms, steps, lag), modes)| {
            let (confirmed, acks, refuses, stalls, roams) = modes;
            let hole = fault == Fault::Hole;
            let (ordering, echo) = PROMISES[if hole { 0 } else { promise }];
            let shape = Shape {
                ordering,
                echo,
                clients,
                speakers: clients.saturating_sub(quiet).max(2),
                rooms: if fault == Fault::Leak { 2 } else { rooms },
                steps: if deaf { 3 * steps } else { steps },
                confirmed: (confirmed || hole) && !deaf,
                acks,
                lag,
                recovers: ordering == Ordering::Total && (confirmed || hole) && !deaf,
                refuses,
                stalls: stalls == 0,
                roams,
                tick: if deaf { 30_000 } else { 10 },
                fault,
            };
            (seed, shape)
        },
    )
}

/// Every class of these checks, each in at least so many histories.
const MADE_FOR: [Told; 12] = [
    ("delivery", Class::Loss),
    ("delivery", Class::Duplicate),
    ("delivery", Class::Phantom),
    ("delivery", Class::Leak),
    ("delivery", Class::Early),
    ("delivery", Class::Late),
    ("delivery", Class::Corrupt),
    ("delivery", Class::Misattributed),
    ("delivery", Class::Echo),
    ("order", Class::Reorder),
    ("order", Class::Disorder),
    ("hearing", Class::Loss),
];

#[test]
fn messages_get_the_same_verdict_from_both() {
    let tally = RefCell::new(Tally::default());
    for (fault, made_for) in FAULTS {
        let least = if fault == Fault::None { 400 } else { AT_FIRST };
        play_until(
            &format!("{fault:?}"),
            &tally,
            made_for,
            least,
            &shapes(fault),
            |shape, seed| check(shape, seed, &mut tally.borrow_mut()),
        );
    }
    tally.borrow().print("messages");
    tally.borrow().covers(&MADE_FOR, 30);
}
