//! What a server can be told: resolved values, ready to serve with.

use std::time::Duration;

pub use protocol::Heartbeat;
use protocol::Limits;

/// Everything that a server needs to know besides its listener.
#[derive(Debug, Clone)]
pub struct Config {
    /// WebSocket connections at a time; more are refused with 503.
    pub max_connections: usize,
    /// Rooms at a time, those included that are empty but not yet forgotten.
    pub max_rooms: usize,
    /// Over how long the Close frames are spread when the server stops.
    pub drain: Duration,
    /// Origins that may connect; empty lets every origin in. A request without one always may:
    /// it does not come from a browser.
    pub allow_origins: Vec<String>,
    /// How long a client may take to say what it wants.
    pub handshake: Duration,
    /// How long a connection that has been sent its Close frame is still listened to.
    pub linger: Duration,
    /// The body of a request, in bytes.
    pub body_bytes: u64,
    /// What `native` sessions may do; its heartbeat stands here too.
    pub limits: Limits,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            max_connections: 20_000,
            max_rooms: 100_000,
            drain: Duration::from_secs(2),
            allow_origins: Vec::new(),
            handshake: Duration::from_secs(5),
            linger: Duration::from_secs(2),
            body_bytes: 64 * 1024,
            limits: Limits::default(),
        }
    }
}

impl Config {
    /// Sets the heartbeat of one dialect, or of all.
    ///
    /// # Errors
    /// If no dialect has this name: says which there are.
    pub fn set_heartbeat(
        &mut self,
        dialect: Option<&str>,
        heartbeat: Heartbeat,
    ) -> Result<(), String> {
        match dialect {
            None | Some("native") => {
                self.limits.heartbeat_interval = heartbeat.interval;
                self.limits.heartbeat_timeout = heartbeat.timeout;
                Ok(())
            }
            Some(other) => Err(format!("no dialect `{other}`; there is: native")),
        }
    }
}
