//! TODO.

use crate::ending::{Flow, Reason};
use crate::time::Now;
use crate::world::World;

/// One connection.
#[derive(Debug)]
pub struct Session<P> {
    id: String,
    peer: P,
}

impl<P> Session<P> {
    pub(crate) fn open<W: World<Peer = P>>(
        _now: Now,
        _name: Option<&str>,
        peer: P,
        world: &W,
    ) -> Self {
        Self { id: world.with_ids(crate::ids::Ids::connection), peer }
    }

    pub(crate) fn received<W: World<Peer = P>>(&mut self, _: Now, _: &str, _: &W) -> Flow {
        Flow::Continue
    }

    pub(crate) fn end<W: World<Peer = P>>(&mut self, _: Now, _: Reason, _: &W) {
        let _ = &self.peer;
    }

    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    pub(crate) fn rooms(&self) -> impl Iterator<Item = &str> {
        std::iter::empty()
    }
}

pub(crate) fn ping() -> crate::frame::Frame {
    crate::frame::Frame::json(&"Ping")
}
