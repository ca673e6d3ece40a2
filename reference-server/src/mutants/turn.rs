//! The world and the outlet of a wrong server: a [turn](world::Turn) that passes on all but the fault.

use std::{
    ops::{Deref, DerefMut},
    sync::Arc,
};

use protocol::{
    Change, Dialect, Frame, Heartbeat, Ids, Limits, Make, NotKept, Outlet, RawValue, Room, Tally,
    Time, World,
    pusher::{App, Hook},
};

use super::{At, acting, mutant::Mutant, state::State};
use crate::{connection::Connection, server::Server, world};

/// What the rest of the server takes for its [turn](world::Turn).
#[derive(Debug)]
pub(crate) struct Turn(world::Turn);

impl Turn {
    pub(crate) fn new(server: Arc<Server>) -> Self {
        Self(world::Turn::new(server))
    }

    pub(super) fn state(&self) -> &State {
        &self.server.mutants
    }

    fn mutant(&self) -> &'static Mutant {
        self.state().mutant()
    }
}

impl Deref for Turn {
    type Target = world::Turn;

    fn deref(&self) -> &world::Turn {
        &self.0
    }
}

impl DerefMut for Turn {
    fn deref_mut(&mut self) -> &mut world::Turn {
        &mut self.0
    }
}

impl Outlet for Turn {
    type Peer = Arc<Connection>;

    fn push(&self, to: &Arc<Connection>, frame: &Frame) {
        match self.mutant().outlet {
            Some(outlet) => At::new(&self.0, to, frame).through(outlet),
            None => self.0.push(to, frame),
        }
    }
}

impl World for Turn {
    fn with_room<R>(
        &self,
        name: &str,
        make: Make,
        act: impl FnOnce(&mut Room<Arc<Connection>>) -> R,
    ) -> Option<R> {
        let mutant = self.mutant();
        let other = mutant.room.and_then(|room| room(self, name));
        let name = other.as_deref().unwrap_or(name);
        let make = mutant.make.map_or(make, |wanted| wanted(self, name, make));
        let _inside = acting::Guard::inside(name);
        self.0.with_room(name, make, |room| {
            if let Some(before) = mutant.before {
                before(self, room);
            }
            let result = act(room);
            if let Some(after) = mutant.after {
                after(self, room);
            }
            self.state().note_members(room);
            result
        })
    }

    fn rooms_named(&self, prefix: &str, look: &mut dyn FnMut(&Room<Arc<Connection>>)) {
        self.0.rooms_named(prefix, look);
    }

    fn with_ids<R>(&self, act: impl FnOnce(&mut Ids) -> R) -> R {
        match self.mutant().ids.and_then(|ids| ids(self)) {
            Some(mut ids) => act(&mut ids),
            None => self.0.with_ids(act),
        }
    }

    fn limits(&self) -> &Limits {
        self.state().limits.as_ref().unwrap_or_else(|| self.0.limits())
    }

    fn heartbeat(&self, dialect: Dialect) -> Heartbeat {
        let right = self.0.heartbeat(dialect);
        self.mutant().told_heartbeat.map_or(right, |told| told(dialect, right))
    }

    fn app(&self, key: &str) -> Option<Arc<App>> {
        self.mutant().app.map_or_else(|| self.0.app(key), |app| app(self, key))
    }

    fn admit(&self, app: &App) -> bool {
        self.0.admit(app)
    }

    fn dismiss(&self, app: &App) {
        self.0.dismiss(app);
    }

    fn hook(&self, app: &Arc<App>, hook: Hook) {
        self.0.hook(app, hook);
    }

    fn draining(&self) -> bool {
        let right = self.0.draining();
        self.mutant().draining.map_or(right, |draining| draining(self, right))
    }

    fn wake_room(&self, name: &str, at: Time) {
        let at = self.mutant().wakes.map_or(Some(at), |wakes| wakes(self, name, at));
        if let Some(at) = at {
            self.0.wake_room(name, at);
        }
    }

    fn keeps(&self) -> bool {
        self.mutant().keeps || self.0.keeps()
    }

    fn keep<'a>(
        &self,
        room: &str,
        version: u64,
        changes: impl Iterator<Item = Change<'a>>,
    ) -> Result<(), NotKept> {
        let Some(keep) = self.mutant().keep else { return self.0.keep(room, version, changes) };
        let owned = |raw: &RawValue| raw.get().to_owned();
        let changes: Vec<_> =
            changes.map(|change| (change.key.to_owned(), change.value.map(owned))).collect();
        keep(self, room, version, &changes);
        Ok(())
    }

    fn tally(&self, what: Tally) {
        self.0.tally(what);
    }
}
