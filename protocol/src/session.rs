//! One connection, whichever dialect it speaks.

use crate::act::in_room;
use crate::dialect::Dialect;
use crate::ending::{Ending, Flow, Reason};
use crate::ids::Ids;
use crate::time::Now;
use crate::world::{Make, World};
use crate::{chat, events, native, project, pusher, rooms};

/// One message of a client, whole.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Incoming<'a> {
    /// Text.
    Text(&'a str),
    /// Bytes that are no text.
    Binary(&'a [u8]),
}

/// What the request for the upgrade said.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Opening<'a> {
    /// The name that followed the path, if [the dialect takes one](Dialect::takes_name).
    pub name: Option<&'a str>,
    /// The query as it stood there, without the question mark; empty if there was none.
    pub query: &'a str,
}

impl<'a> Opening<'a> {
    /// An opening with this name or none, and no query.
    pub const fn named(name: Option<&'a str>) -> Self {
        Self { name, query: "" }
    }
}

/// Does what is due in a room, whichever dialect it is of: ends typing, and the room itself when it
/// has been empty for long. To be called at each time that was asked for with
/// [`World::wake_room`].
pub fn tick_room<W: World>(now: Now, name: &str, world: &W) {
    in_room(now, name, Make::Never, world, |act| {
        act.room.ticked(now.time);
        match Dialect::of_key(name).0 {
            Dialect::Native => act.tick(),
            Dialect::Pusher => pusher::tick(act),
            _ => {}
        }
    });
}

/// One connection's part of its protocol.
#[derive(Debug)]
#[expect(missing_docs, reason = "each is the session of the dialect of that name")]
pub enum Session<P> {
    Native(native::Session<P>),
    Project(project::Session<P>),
    Rooms(rooms::Session<P>),
    Chat(chat::Session<P>),
    Events(events::Session<P>),
    Pusher(pusher::Session<P>),
}

/// Does something with the session, whichever it is.
macro_rules! each {
    ($session:expr, $inner:ident => $does:expr) => {
        match $session {
            Session::Native($inner) => $does,
            Session::Project($inner) => $does,
            Session::Rooms($inner) => $does,
            Session::Chat($inner) => $does,
            Session::Events($inner) => $does,
            Session::Pusher($inner) => $does,
        }
    };
}

impl<P> Session<P> {
    /// Begins with a connection that was just opened: draws its id, greets it, and takes it into
    /// the room that it named, if the dialect has such.
    ///
    /// # Errors
    /// If it is not let in: then it ends so, and there is no session that would have to be ended.
    pub fn open<W: World<Peer = P>>(
        dialect: Dialect,
        now: Now,
        opening: Opening<'_>,
        peer: P,
        world: &W,
    ) -> Result<Self, Ending> {
        let Opening { name, .. } = opening;
        Ok(match dialect {
            Dialect::Native => {
                let id = world.with_ids(Ids::connection);
                Self::Native(native::Session::open(now, id, peer, world))
            }
            Dialect::Project => Self::Project(project::Session::open(now, name, peer, world)),
            Dialect::Rooms => Self::Rooms(rooms::Session::open(now, name, peer, world)),
            Dialect::Chat => Self::Chat(chat::Session::open(now, peer, world)),
            Dialect::Events => Self::Events(events::Session::open(now, peer, world)),
            Dialect::Pusher => Self::Pusher(pusher::Session::open(now, opening, peer, world)?),
        })
    }

    /// Takes in one message.
    pub fn received<W: World<Peer = P>>(
        &mut self,
        now: Now,
        message: Incoming<'_>,
        world: &W,
    ) -> Flow {
        match (self, message) {
            (Self::Project(session), Incoming::Binary(bytes)) => session.binary(now, bytes, world),
            (_, Incoming::Binary(_)) => Flow::Close(Ending::NOT_TEXT),
            (session, Incoming::Text(text)) => {
                each!(session, it => it.received(now, text, world))
            }
        }
    }

    /// Leaves all rooms: the others are told, once. A second call does nothing.
    pub fn end<W: World<Peer = P>>(&mut self, now: Now, reason: Reason, world: &W) {
        each!(self, session => session.end(now, reason, world));
    }

    /// The connection's id, as the client was told it; in `project`, which tells it nobody, as it
    /// was drawn.
    pub fn id(&self) -> &str {
        each!(self, session => session.id())
    }

    /// Which dialect it speaks.
    pub const fn dialect(&self) -> Dialect {
        match self {
            Self::Native(_) => Dialect::Native,
            Self::Project(_) => Dialect::Project,
            Self::Rooms(_) => Dialect::Rooms,
            Self::Chat(_) => Dialect::Chat,
            Self::Events(_) => Dialect::Events,
            Self::Pusher(_) => Dialect::Pusher,
        }
    }

    /// The rooms that it is in, as this dialect calls them.
    pub fn rooms(&self) -> impl Iterator<Item = String> {
        let names: Vec<String> =
            each!(self, session => session.rooms().map(str::to_owned).collect());
        names.into_iter()
    }
}
