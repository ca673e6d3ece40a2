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
    pub(crate) fn open<W: World<Peer = P>>(_now: Now, peer: P, world: &W) -> Self {
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

/// Why something was not published.
#[derive(Debug, Eq, PartialEq, thiserror::Error)]
pub enum NotPublished {
    /// The channel's name is empty, or too long.
    #[error("a channel's name has 1 to 200 characters")]
    Channel,
    /// What is to be published is no JSON.
    #[error("not JSON: {0}")]
    NotJson(String),
    /// What is to be published is no object.
    #[error("an event is a JSON object")]
    NotAnObject,
    /// What is to be published is too long.
    #[error("an event has up to {0} bytes")]
    TooLarge(usize),
    /// A field that events of this channel have is not there, or not as it should be.
    #[error("`{field}` must be {wanted}")]
    Field {
        /// Which.
        field: &'static str,
        /// What it has to be.
        wanted: &'static str,
    },
}

impl NotPublished {
    /// The field at fault, if it is one.
    pub const fn field(&self) -> Option<&'static str> {
        match self {
            Self::Field { field, .. } => Some(field),
            _ => None,
        }
    }
}

/// Says something on a channel: every subscriber gets it once. Gives how many those were.
///
/// # Errors
/// If the channel cannot exist, or `body` is not what is said there.
pub fn publish<W: World>(
    _now: Now,
    _channel: &str,
    _body: &str,
    _world: &W,
) -> Result<u64, NotPublished> {
    Ok(0)
}
