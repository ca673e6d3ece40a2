//! What one member believes of who is in its room.

use std::collections::BTreeMap;

use crate::check::numbered::mix;
use crate::observe::ClientId;

/// What a member believes.
#[derive(Clone, Debug, Default)]
pub(super) struct Sight {
    pub(super) listed: bool,
    pub(super) since: u64,
    /// How often: who comes back may be announced before its old connection is given up.
    pub(super) present: BTreeMap<ClientId, u32>,
    pub(super) sum: u64,
    /// How often it was told of each that it came.
    pub(super) came: BTreeMap<ClientId, u32>,
    /// How often it was told of each that it left.
    pub(super) left: BTreeMap<ClientId, u32>,
    pub(super) view: Option<u64>,
    /// Who is on its way out of one life may still hear of it when the next has begun.
    pub(super) life: usize,
    pub(super) inside: bool,
}

pub(super) fn sum_of(who: ClientId) -> u64 {
    mix(u64::from(who.0) + 1)
}

impl Sight {
    /// Somebody came who can have come so often at most. Says whether that can be. Only who may be
    /// there with an old connection counts twice: one who is announced twice leaves but once.
    pub(super) fn add(&mut self, who: ClientId, most: u32) -> bool {
        let came = self.came.entry(who).or_default();
        *came += 1;
        let times = self.present.entry(who).or_default();
        let new = *times == 0;
        if new || most > 1 {
            *times += 1;
            self.sum = self.sum.wrapping_add(sum_of(who));
        }
        new || *came <= most
    }

    pub(super) fn remove(&mut self, who: ClientId) -> bool {
        let Some(times) = self.present.get_mut(&who) else { return false };
        *times -= 1;
        if *times == 0 {
            self.present.remove(&who);
        }
        self.sum = self.sum.wrapping_sub(sum_of(who));
        true
    }
}
