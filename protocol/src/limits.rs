//! What a server allows, and when it gives up: everything that `welcome` announces.

use std::time::Duration;

/// The limits of a server. A limit of zero is none; a time of zero is just that.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Limits {
    /// Bytes of one message of a client; a longer one is closed with 1009.
    pub message_bytes: usize,
    /// Rooms that one connection may be in.
    pub rooms: usize,
    /// Bytes of a room's name.
    pub room_name_bytes: usize,
    /// Bytes that may wait for one connection that does not read. The server keeps this one.
    pub queue_bytes: usize,
    /// Events of one room that are kept for recovery.
    pub history_events: usize,
    /// Bytes of those events.
    pub history_bytes: usize,
    /// For how long they are kept, and for how long an empty room lives on.
    pub history_window: Duration,
    /// Bytes of one room's storage, as the JSON object that `joined` shows.
    pub storage_bytes: usize,
    /// Bytes of one member's presence state as JSON.
    pub state_bytes: usize,
    /// Requests that one connection may send in a second; as many may come at once.
    pub requests_per_s: u32,
    /// From one ping to the next; zero is no heartbeat.
    pub heartbeat_interval: Duration,
    /// The silence after which a connection is given up.
    pub heartbeat_timeout: Duration,
    /// What `welcome` calls the server.
    pub server: String,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            message_bytes: 64 * 1024,
            rooms: 64,
            room_name_bytes: 64,
            queue_bytes: 1024 * 1024,
            history_events: 256,
            history_bytes: 512 * 1024,
            history_window: Duration::from_secs(120),
            storage_bytes: 1024 * 1024,
            state_bytes: 4096,
            requests_per_s: 1000,
            heartbeat_interval: Duration::from_secs(30),
            heartbeat_timeout: Duration::from_secs(120),
            server: concat!("tidemark/", env!("CARGO_PKG_VERSION")).to_owned(),
        }
    }
}

/// Whether `amount` passes `limit`, where zero is no limit.
pub(crate) const fn passes(amount: usize, limit: usize) -> bool {
    limit != 0 && amount > limit
}
