//! Servers that are wrong on purpose, so that `harness selftest` can see each check find its fault.
//!
//! Only in builds with the feature `mutants` and with debug assertions. A mutant is a few lines in a
//! table; the seams through which it acts are few, and of the product's files each has a line or two:
//!
//! - *received*: what a client asks for, before its session hears it, and what becomes of the
//!   connection then ([`Mutant::hears`], [`Mutant::flows`], [`Mutant::leaves`]);
//! - *world*: what sessions share ([`Mutant::room`], [`Mutant::before`], [`Mutant::ids`], …);
//! - *outlet*: each frame to each peer ([`Mutant::outlet`], with what [`At`] can do to it);
//! - *transport*: the upgrade, the framing, Close frames, pings ([`Mutant::asks`], …).
//!
//! Rates count, they do not draw: every Nth, so that a run can be repeated.
#![expect(
    clippy::indexing_slicing,
    clippy::type_complexity,
    reason = "what is indexed is JSON that the server has just made, and a table of functions is one type each"
)]

mod acting;
mod at;
mod auth;
mod broadcast;
mod connect;
mod echo;
mod errors;
mod heartbeat;
mod integrity;
mod join;
mod kind;
mod leakage;
mod leave;
mod loss;
mod message;
mod mutant;
mod presence;
mod reconnect;
mod seams;
mod state;
mod storage;
mod turn;

use std::fmt::Write as _;

use self::{
    acting::Phase,
    at::At,
    kind::{Asks, Kind, Request},
    mutant::{Handshake, Heard, Mutant, Take},
};

pub(crate) use self::{
    seams::{
        answered, asked, ending, ends, framing, heartbeat, leaves, lives, opened, opening,
        queue_bytes, reads, received, writes,
    },
    state::State,
    turn::Turn,
};

/// All mutants, in the order of the catalogue's headings.
const AREAS: [&[Mutant]; 14] = [
    connect::MUTANTS,
    join::MUTANTS,
    leave::MUTANTS,
    broadcast::MUTANTS,
    loss::MUTANTS,
    integrity::MUTANTS,
    leakage::MUTANTS,
    echo::MUTANTS,
    presence::MUTANTS,
    heartbeat::MUTANTS,
    errors::MUTANTS,
    auth::MUTANTS,
    storage::MUTANTS,
    reconnect::MUTANTS,
];

fn all() -> impl Iterator<Item = &'static Mutant> {
    AREAS.into_iter().flatten()
}

/// The mutant that a server is, and how often.
#[derive(Debug, Clone, Copy)]
pub struct Chosen {
    mutant: &'static Mutant,
    /// Every how many-th time.
    every: u64,
}

/// Every id, one a line.
pub(crate) fn list() -> String {
    let mut lines = String::new();
    for Mutant { id, .. } in all() {
        // Writing into a string does not fail.
        writeln!(lines, "{id}").unwrap_or_default();
    }
    lines
}

/// Reads `ID` or `ID:1/N`.
pub(crate) fn choose(text: &str) -> Result<Chosen, String> {
    let (id, rate) = text.split_once(':').map_or((text, None), |(id, rate)| (id, Some(rate)));
    let Some(mutant) = all().find(|mutant| mutant.id == id) else {
        let ids: Vec<&str> = all().map(|mutant| mutant.id).collect();
        return Err(format!("--mutant {id}: there are only {}", ids.join(", ")));
    };
    let every = match rate {
        None => mutant.every,
        Some(rate) => rate
            .strip_prefix("1/")
            .and_then(|every| every.parse().ok())
            .filter(|&every| every > 0)
            .ok_or_else(|| format!("--mutant {text}: a rate is written 1/N"))?,
    };
    Ok(Chosen { mutant, every })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn ids_are_told_once_and_found_with_their_rate() {
        let ids: BTreeSet<&str> = all().map(|mutant| mutant.id).collect();
        assert_eq!(ids.len(), all().count());
        assert_eq!(list().lines().count(), ids.len());
        let chosen = choose("join-hole:1/7").expect("it is one");
        assert_eq!((chosen.mutant.id, chosen.every), ("join-hole", 7));
        for wrong in ["join-hole:7", "join-hole:1/0", "join-hole:1/x"] {
            assert!(choose(wrong).is_err_and(|why| why.contains("1/N")), "{wrong}");
        }
        assert!(choose("nobody").is_err_and(|why| why.contains("join-hole")));
    }
}
