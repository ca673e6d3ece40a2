//! One connection of the native protocol: what its messages mean.

use crate::ending::{Flow, Reason};
use crate::time::Now;
use crate::world::World;

/// One connection.
#[derive(Debug)]
pub struct Session<P> {
    peer: P,
}

impl<P> Session<P> {
    /// Greets a connection that was just opened: pushes `welcome`. `connection` is from
    /// [`Ids::connection`](crate::Ids::connection).
    pub fn open<W: World<Peer = P>>(now: Now, connection: String, peer: P, world: &W) -> Self {
        let _ = (now, connection, world);
        Self { peer }
    }

    /// Takes in one text message. Whatever it says, the answer is at worst an error reply, unless
    /// it is over the limit or part of a flood.
    pub fn received<W: World<Peer = P>>(&mut self, now: Now, text: &str, world: &W) -> Flow {
        let _ = (now, text, world, &self.peer);
        Flow::Continue
    }

    /// Leaves all rooms: the peers are told, once. A second call does nothing.
    pub fn end<W: World<Peer = P>>(&mut self, now: Now, reason: Reason, world: &W) {
        let _ = (now, reason, world);
    }
}

/// Does what is due in a room: ends typing, and the room itself when it has been empty for long.
/// To be called at each time that was asked for with [`World::wake_room`].
pub fn tick_room<W: World>(now: Now, name: &str, world: &W) {
    let _ = (now, name, world);
}
