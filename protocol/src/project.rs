//! The `project` protocol: what one session of a project says, all of them get, as it is.
//!
//! The sender's one copy takes its place among everybody's: there is one order for all.

use crate::act::{To, in_room};
use crate::dialect::Dialect;
use crate::ending::{Ending, Flow, Reason};
use crate::frame::Frame;
use crate::ids::Ids;
use crate::rate::Door;
use crate::room::Seat;
use crate::time::Now;
use crate::world::{EventKind, Make, World};

/// The project of those who name none.
const DEFAULT: &str = "default";

/// One connection.
#[derive(Debug)]
pub struct Session<P> {
    id: String,
    peer: P,
    project: String,
    /// None before the world has a place for it, and after its end.
    seat: Option<Seat>,
    door: Door,
}

impl<P> Session<P> {
    pub(crate) fn open<W: World<Peer = P>>(
        now: Now,
        project: Option<&str>,
        peer: P,
        world: &W,
    ) -> Self {
        let id = world.with_ids(Ids::connection);
        let project = project.unwrap_or(DEFAULT).to_owned();
        let door = Door::new(now.time, world.limits());
        let mut session = Self { id, peer, project, seat: None, door };
        session.join(now, world);
        session
    }

    fn join<W: World<Peer = P>>(&mut self, now: Now, world: &W) {
        let key = Dialect::Project.key(&self.project);
        self.seat =
            in_room(now, &key, Make::IfAbsent, world, |act| act.admit(&self.id, "", &self.peer));
    }

    pub(crate) fn received<W: World<Peer = P>>(&mut self, now: Now, text: &str, world: &W) -> Flow {
        if let Err(ending) = self.admits(now, text.len(), world) {
            return Flow::Close(ending);
        }
        if self.seat.is_none() {
            // The world had no place for the project when this connection came.
            self.join(now, world);
        }
        let Some(seat) = self.seat else { return Flow::Close(Ending::TRY_LATER) };
        let frame = Frame::text(text);
        let key = Dialect::Project.key(&self.project);
        in_room(now, &key, Make::Never, world, |act| {
            act.tell(EventKind::Chat, To::All, seat, &frame);
        });
        Flow::Continue
    }

    /// Bytes are nobody else's business.
    pub(crate) fn binary<W: World<Peer = P>>(&mut self, now: Now, bytes: &[u8], world: &W) -> Flow {
        if let Err(ending) = self.admits(now, bytes.len(), world) {
            return Flow::Close(ending);
        }
        world.push(&self.peer, &Frame::binary(bytes));
        Flow::Continue
    }

    /// There is no way to refuse a message here: those that others would refuse are passed on, and
    /// only a flood ends the connection.
    fn admits<W: World<Peer = P>>(
        &mut self,
        now: Now,
        bytes: usize,
        world: &W,
    ) -> Result<bool, Ending> {
        self.door.admits(now.time, Dialect::Project, bytes, world)
    }

    pub(crate) fn end<W: World<Peer = P>>(&mut self, now: Now, reason: Reason, world: &W) {
        if let Some(seat) = self.seat.take() {
            let key = Dialect::Project.key(&self.project);
            in_room(now, &key, Make::Never, world, |act| act.exit(seat, reason));
        }
    }

    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    pub(crate) fn rooms(&self) -> impl Iterator<Item = &str> {
        self.seat.iter().map(|_| self.project.as_str())
    }
}
