//! The wire protocols as pure state machines: sessions and rooms.
//!
//! Nothing here opens a socket, reads a clock, draws an unseeded random number, waits, or has a
//! thread. A [`Session`] is one connection, whichever [`Dialect`] it speaks; it takes one message at
//! a time, together with the present ([`Now`]), reaches its [`Room`]s through a [`World`], and sends
//! through an [`Outlet`]. Whoever owns the sockets (the server, or a test with a [`LocalWorld`])
//! supplies both.
//!
//! # The contract of a server
//!
//! 1. When a connection is accepted at a dialect's [path](Dialect::path): [`Session::open`].
//! 2. For each message: [`Session::received`], and obey the [`Flow`].
//! 3. At each [`Liveness::next`] of [`Dialect::liveness`]: [`Liveness::tick`] with the time of the
//!    connection's last [sign of life](Dialect::lives_by), and send what the [`Dialect::beat`] is.
//! 4. Before a Close, whoever asked for it: put the [`Ending`] into the dialect's words
//!    ([`Dialect::ending`]), and send its [`Dialect::farewell`].
//! 5. However the connection ends: [`Session::end`] with the [`Reason`], once.
//! 6. At each time asked for with [`World::wake_room`]: [`tick_room`].
//!
//! ```
//! use protocol::{ConnId, Dialect, Flow, Ids, Incoming, Limits, LocalWorld, Now, Opening, Session};
//!
//! let world = LocalWorld::new(Limits::default(), Ids::new([7; 32]));
//! let opening = Opening::default();
//! let mut session = Session::open(Dialect::Native, Now::default(), opening, ConnId(1), &world)
//!     .expect("everybody may speak it");
//! let ping = Incoming::Text(r#"{"type":"ping","id":1}"#);
//! assert_eq!(session.received(Now::default(), ping, &world), Flow::Continue);
//! let sent = world.take(ConnId(1));
//! assert!(sent[0].as_text().starts_with(r#"{"type":"welcome""#));
//! assert_eq!(sent[1].as_text(), r#"{"type":"pong","re":1}"#);
//! ```

mod act;
pub mod chat;
mod dialect;
mod ending;
pub mod events;
mod frame;
mod ids;
mod json;
mod limits;
mod liveness;
mod local;
mod log;
pub mod native;
pub mod project;
pub mod pusher;
mod rate;
mod refusal;
mod room;
pub mod rooms;
mod session;
mod storage;
mod time;
mod world;

/// JSON text that is known to be JSON.
pub use serde_json::value::RawValue;

pub use crate::dialect::{Dialect, Heartbeat, Sign};
pub use crate::ending::{Ending, Flow, Reason};
pub use crate::frame::Frame;
pub use crate::ids::Ids;
pub use crate::limits::Limits;
pub use crate::liveness::{Beat, Liveness};
pub use crate::local::{ConnId, LocalWorld};
pub use crate::room::{Occupant, Room};
pub use crate::session::{Incoming, Opening, Session, tick_room};
pub use crate::storage::{Change, NotKept};
pub use crate::time::{Now, Time};
pub use crate::world::{EventKind, Make, Outlet, Tally, World};
