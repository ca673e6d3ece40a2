//! All of a room at once: `membership`, `presence`, `storage`, `numbering`, `recovery`, and the
//! messages again.

use std::cell::RefCell;
use std::time::Duration;

use harness::check::{Class, End, Judge, Profile};
use harness::observe::{Observation, Time};
use harness::plan::{ChecksPlan, Echo, Level, Ordering};
use proptest::prelude::*;

use super::delivery::{self, Promise};
use super::past::{Opinion, Past, Told, story};
use super::tally::{Tally, found};
use super::{membership, numbers, order, play_until, state};
use crate::world::house::{Deed, House, Kind, Plot, WRONGS};

/// Longer than any grace.
const AFTER_US: u64 = 2_200_000;

fn opinion(history: &[Observation], end_us: u64) -> Opinion {
    let past = Past::new(history);
    let (ordering, echo) = (Ordering::Total, Echo::Once);
    let promise = Promise { ordering, echo, confirmed: true, recovery: true };
    let mut opinion = Opinion::default();
    let all = delivery::got(&past, promise, &mut opinion);
    delivery::missing(&past, &all, promise, &mut opinion);
    membership::judge(&past, end_us, &mut opinion);
    state::presence(&past, end_us, &mut opinion);
    state::storage(&past, &mut opinion);
    numbers::numbering(&past, &mut opinion);
    numbers::recovery(&past, &mut opinion);
    order::judge(&past, &all, promise, &mut opinion);
    opinion
}

fn judged(history: &[Observation], end: &End) -> Judge {
    let checks = ChecksPlan {
        order: Some(Ordering::Total),
        echo: Some(Echo::Once),
        membership: Level::Fail,
        presence: Some(Duration::from_micros(state::WITHIN_US)),
        storage: true,
        recovery: true,
        manners: false,
        ..crate::world::plan()
    };
    let mut judge = Judge::new(&checks, Profile::new(&checks, None, true), 8);
    for seen in history {
        judge.observe(seen);
    }
    judge.conclude(end);
    judge
}

fn check(plot: &Plot, seed: u64, tally: &mut Tally) -> Result<(), String> {
    let (history, _) = House::new(plot, seed).play();
    let at = Time(history.last().map_or(0, |seen| seen.at.0) + AFTER_US);
    let judge = judged(&history, &End { at, settled: true, ..End::default() });
    let opinion = opinion(&history, at.0);
    // Time may pass while a presence is on its way; nothing else is too late for a good server.
    let strange = |told: &&Told| told.0 != "presence" && plot.wrong.is_none();
    if let Some(told) = found(&judge).iter().find(strange) {
        return Err(format!("{}seed {seed} {plot:?}: {told:?} of a good server", story(&history)));
    }
    tally.compare(&opinion, &found(&judge)).map_err(|difference| {
        let told: Vec<_> = judge.findings().kept().iter().take(5).collect();
        let story = story(&history);
        format!("{story}seed {seed} {plot:?}: {difference}\n{opinion:?}\n{told:?}")
    })
}

fn plots(wrong: Option<(Kind, Deed)>) -> impl Strategy<Value = (u64, Plot)> {
    (any::<u64>(), 2_usize..5, 1_usize..3, 40_usize..300, 0_u32..12).prop_map(
        move |(seed, clients, rooms, steps, lag)| {
            (seed, Plot { clients, rooms, steps, lag, wrong })
        },
    )
}

/// Every class of these checks, each in at least so many histories.
const MADE_FOR: [Told; 15] = [
    ("membership", Class::Notice),
    ("membership", Class::View),
    ("membership", Class::Ghost),
    ("membership", Class::Admission),
    ("membership", Class::Identity),
    ("membership", Class::Snapshot),
    ("presence", Class::Presence),
    ("presence", Class::Snapshot),
    ("storage", Class::Storage),
    ("storage", Class::Snapshot),
    ("numbering", Class::Loss),
    ("numbering", Class::Duplicate),
    ("numbering", Class::Disorder),
    ("numbering", Class::Reply),
    ("recovery", Class::Recovery),
];

/// The class that a fault is the likeliest to show as, where it has occasions enough.
fn made_for((kind, deed): (Kind, Deed)) -> &'static [Told] {
    match (kind, deed) {
        (Kind::Left | Kind::Gone, Deed::Drop) => &[("membership", Class::Ghost)],
        (Kind::Entry, Deed::Twice) => &[("membership", Class::Admission)],
        (Kind::Entry, Deed::Alter(0)) => &[("membership", Class::Snapshot)],
        (Kind::Entry, Deed::Alter(5)) => &[("membership", Class::Identity)],
        (Kind::Entry, Deed::Alter(7)) => &[("storage", Class::Snapshot)],
        (Kind::Entry, Deed::Alter(9)) => &[("presence", Class::Snapshot)],
        (Kind::Back, Deed::Alter(0 | 1)) => &[("recovery", Class::Recovery)],
        (Kind::Acked, _) => &[("numbering", Class::Reply)],
        _ => &[],
    }
}

#[test]
fn rooms_get_the_same_verdict_from_both() {
    let tally = RefCell::new(Tally::default());
    let wrongs = WRONGS.iter().map(|wrong| Some(*wrong));
    for wrong in std::iter::once(None).chain(wrongs) {
        let (least, made_for) = wrong.map_or((100, &[][..]), |wrong| (10, made_for(wrong)));
        let name = format!("{wrong:?}").replace(['(', ')', ' '], "");
        play_until(&name, &tally, made_for, least, &plots(wrong), |plot, seed| {
            check(plot, seed, &mut tally.borrow_mut())
        });
    }
    tally.borrow().print("rooms");
    tally.borrow().covers(&MADE_FOR, 30);
}
