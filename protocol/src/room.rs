//! One room: its members in the order of their joining, its log, and what they share.
//!
//! What is here is the same for all protocols; what its events look like on the wire is not here.

use std::collections::BTreeMap;

use crate::ids::Ids;
use crate::limits::Limits;
use crate::log::Log;
use crate::storage::Storage;
use crate::time::Time;

/// A room. It is reached only under its lock, through [`World::with_room`](crate::World::with_room).
#[derive(Debug)]
pub struct Room<P> {
    name: String,
    pub(crate) log: Log,
    pub(crate) storage: Storage,
    members: BTreeMap<u64, P>,
    dead: bool,
}

impl<P> Room<P> {
    /// A new life of the room `name`: nobody is in it, and nothing has happened.
    pub fn new(name: &str, ids: &mut Ids, _limits: &Limits) -> Self {
        Self {
            name: name.to_owned(),
            log: Log::new(ids.epoch()),
            storage: Storage::default(),
            members: BTreeMap::new(),
            dead: false,
        }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How many are in it.
    pub fn count(&self) -> usize {
        self.members.len()
    }

    /// Whether this life of the room is over. It never comes back: the next one is a new `Room`.
    pub const fn is_dead(&self) -> bool {
        self.dead
    }

    /// The number of its last event.
    pub const fn seq(&self) -> u64 {
        self.log.seq()
    }

    /// Nothing yet.
    pub fn forget(&mut self, now: Time, limits: &Limits) {
        self.log.forget(now, limits);
    }
}
