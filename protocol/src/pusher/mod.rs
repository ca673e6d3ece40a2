//! The protocol of Pusher Channels, versions 5 to 7: channels that a backend publishes on and clients
//! subscribe to, presence, events between clients, and the HTTP API behind them.
//!
//! Who may subscribe is said by the application's own backend, with signatures ([`auth`]); what is
//! published, and what is asked about channels, comes over HTTP, signed as well ([`api`]). Where real
//! servers differ, this one does what the documentation of the hosted service says
//! (docs/decisions/0012-pusher.md).

pub mod api;
mod app;
pub mod auth;
pub mod backend;
mod channel;
mod name;
mod session;
mod wire;

pub use app::{App, Hook};
pub(crate) use channel::{Channel, settle, tick};
pub use session::Session;
pub use wire::ENDINGS;
pub(crate) use wire::{ending, farewell, ping};

use crate::dialect::Dialect;

/// What the room of a channel is called in the one world of rooms.
fn key(app: &App, channel: &str) -> String {
    Dialect::Pusher.key(&format!("{}/{channel}", app.id))
}

/// The channel that this is the room of.
fn channel_of(key: &str) -> &str {
    let (_, name) = Dialect::of_key(key);
    name.split_once('/').map_or(name, |(_, channel)| channel)
}
