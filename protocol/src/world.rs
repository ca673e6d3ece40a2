//! The two traits through which sessions and rooms reach everything else.
//!
//! All that goes out goes through [`Outlet`], and all that is shared is reached through [`World`].
//! A server implements them over sockets and locks, a test over plain maps, a fault injector over
//! either.

use std::fmt::Debug;
use std::sync::Arc;

use crate::dialect::{Dialect, Heartbeat};
use crate::ending::Reason;
use crate::frame::Frame;
use crate::ids::Ids;
use crate::limits::Limits;
use crate::pusher::{App, Hook};
use crate::room::Room;
use crate::storage::{Change, NotKept};
use crate::time::Time;

/// Where frames go out.
///
/// Both methods are called under a room's lock: they must neither wait nor reach for a room. The
/// frames pushed to one peer must leave in the order of the calls.
pub trait Outlet {
    /// What a connection is to the outlet: a handle that is cheap to clone.
    type Peer: Clone + Debug;

    /// Sends one frame to one peer. A peer that is gone is not an error: it is passed over.
    fn push(&self, to: &Self::Peer, frame: &Frame);

    /// Sends one frame to many peers.
    fn push_all<'a>(&'a self, to: impl Iterator<Item = &'a Self::Peer>, frame: &Frame)
    where
        Self::Peer: 'a,
    {
        for peer in to {
            self.push(peer, frame);
        }
    }
}

/// What sessions share: rooms, ids, limits.
pub trait World: Outlet {
    /// Locks the room `name` for `act`.
    ///
    /// - [`Make::Never`]: `None` if there is no such room.
    /// - [`Make::IfAbsent`]: makes it if there is none, with [`Room::new`]; `None` only if the
    ///   world holds as many rooms as it will, or cannot read what it kept of this one.
    /// - [`Make::Fresh`]: the same, but `None` also if there is one already.
    ///
    /// A room that [is dead](Room::is_dead) counts as absent: whoever finds it so, under its lock,
    /// looks again. When `act` leaves the room dead, the world forgets it. `with_room` is never
    /// called from inside `act`, and neither are [`World::with_ids`] and [`World::wake_room`], so
    /// that there is no order of locks to get wrong.
    fn with_room<R>(
        &self,
        name: &str,
        make: Make,
        act: impl FnOnce(&mut Room<Self::Peer>) -> R,
    ) -> Option<R>;

    /// Has a look at each room whose name begins so, one after the other, in any order. Rooms that
    /// come or go meanwhile may be among them or not.
    fn rooms_named(&self, prefix: &str, look: &mut dyn FnMut(&Room<Self::Peer>));

    /// Draws ids.
    fn with_ids<R>(&self, act: impl FnOnce(&mut Ids) -> R) -> R;

    /// The limits, the same for the whole life of the world.
    fn limits(&self) -> &Limits;

    /// The heartbeat of a dialect, the same for the whole life of the world.
    fn heartbeat(&self, dialect: Dialect) -> Heartbeat {
        dialect.heartbeat()
    }

    /// The application of this key, if there is one. By default there are none.
    fn app(&self, key: &str) -> Option<Arc<App>> {
        let _ = key; // Nobody has any.
        None
    }

    /// Takes a place for a connection of this application, if it may have one more. Whoever is
    /// admitted is dismissed, once.
    fn admit(&self, app: &App) -> bool {
        let _ = app; // There is no end of places.
        true
    }

    /// Gives back the place of a connection of this application.
    fn dismiss(&self, app: &App) {
        let _ = app; // There is no end of places.
    }

    /// Hands over what a webhook of this application is to tell, in the order in which it happened.
    /// Called under a room's lock, only for applications that [have webhooks](App::webhooks).
    fn hook(&self, app: &Arc<App>, hook: Hook) {
        drop((app, hook)); // Nobody is told.
    }

    /// Whether the server is about to stop, and lets nobody in any more.
    fn draining(&self) -> bool;

    /// Asks that the room be ticked ([`tick_room`](crate::tick_room)) at `at` or
    /// soon after, and not before: a tick that comes early is not asked for again. Requests need
    /// not be merged, nor forgotten with the room: a tick too many does nothing.
    fn wake_room(&self, name: &str, at: Time);

    /// Whether storage outlives its room: then a new life of a room begins with
    /// [what was kept](Room::restore) of the last one.
    fn keeps(&self) -> bool {
        false
    }

    /// Keeps a change of the storage of the room of this name, before anybody is told of it: once
    /// this has succeeded, the change is there whatever happens to the process. Called under the
    /// room's lock, with the version that the changes make, only in worlds that
    /// [keep](World::keeps), and only for rooms that [last](crate::Dialect::is_lasting).
    ///
    /// # Errors
    /// If it could not be kept: then nothing is changed, and the client is told so.
    fn keep<'a>(
        &self,
        room: &str,
        version: u64,
        changes: impl Iterator<Item = Change<'a>>,
    ) -> Result<(), NotKept> {
        let _ = (room, version, changes.count()); // Nothing is kept here.
        Ok(())
    }

    /// Counts something. Called under locks: cheap, and by default nothing.
    fn tally(&self, what: Tally) {
        let _ = what; // Nobody counts here.
    }
}

/// Whether a room may be made.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Make {
    /// Only a room that is there.
    Never,
    /// The room that is there, else a new one.
    IfAbsent,
    /// Only a new one.
    Fresh,
}

/// Something worth counting.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Tally {
    /// A message came in.
    Received,
    /// A request was refused with this error code.
    Refused {
        /// The code as it stands on the wire.
        code: &'static str,
    },
    /// An event went out to the members of a room.
    Delivered {
        /// Which kind.
        kind: EventKind,
        /// To how many members other than the one that caused it.
        others: u64,
        /// To how many of those that caused it: 1, or 0.
        own: u64,
    },
    /// A connection joined a room.
    Joined {
        /// With the missed events rather than a snapshot.
        recovered: bool,
    },
    /// A connection left a room.
    Left {
        /// Why.
        reason: Reason,
    },
}

/// The kinds of events.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
#[expect(missing_docs, reason = "each is what `native` calls so, or does what that does")]
pub enum EventKind {
    Chat,
    Presence,
    Stored,
    Typing,
    Read,
    MemberJoined,
    MemberLeft,
    MemberRenamed,
    /// What was published on a channel of `events`.
    Event,
}
