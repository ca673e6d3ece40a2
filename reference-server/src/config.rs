//! What a server can be told: resolved values, ready to serve with.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use protocol::Limits;
pub use protocol::{Dialect, Heartbeat};

use crate::{
    data::Data,
    pusher::{self, PusherApp},
    routes,
    tls::Tls,
    transport::Transport,
};

/// Everything that a server needs to know besides its listener.
#[derive(Debug, Clone)]
pub struct Config {
    /// WebSocket connections at a time; more are refused with 503.
    pub max_connections: usize,
    /// Rooms at a time, those included that are empty but not yet forgotten. Of rooms with storage
    /// on disk there may be as many.
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
    /// How bytes move.
    pub transport: Transport,
    /// With it wss:// and https:// are served, and nothing in the clear.
    pub tls: Option<Tls>,
    /// What sessions may do. The heartbeat that stands here is the one of `native`.
    pub limits: Limits,
    /// The heartbeats of the other dialects, where they are not [their own](Dialect::heartbeat).
    pub heartbeats: BTreeMap<Dialect, Heartbeat>,
    /// Where dialects are served besides [their own paths](Dialect::path).
    pub mounts: Vec<Mount>,
    /// Whether clients on this machine may publish on the channels of `events`.
    pub publish: bool,
    /// Whether clients on this machine may see all connections and rooms, and evict.
    pub admin: bool,
    /// A directory whose changes are told on the channel `files` of `events`.
    pub watch: Option<PathBuf>,
    /// The applications of `pusher`.
    pub pusher_apps: Vec<PusherApp>,
    /// Where the storage of rooms is kept; without it, it dies with its room.
    pub data: Option<Data>,
    /// What is wrong with it, on purpose.
    #[cfg(all(feature = "mutants", debug_assertions))]
    pub mutant: Option<crate::mutants::Chosen>,
}

/// A dialect, and one more path where it is served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// Which dialect.
    pub dialect: Dialect,
    /// Where.
    pub path: String,
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
            transport: Transport::Direct,
            tls: None,
            limits: Limits::default(),
            heartbeats: BTreeMap::new(),
            mounts: Vec::new(),
            publish: false,
            admin: false,
            watch: None,
            pusher_apps: vec![PusherApp::default()],
            data: None,
            #[cfg(all(feature = "mutants", debug_assertions))]
            mutant: None,
        }
    }
}

impl Config {
    /// The heartbeat of a dialect.
    #[must_use]
    pub fn heartbeat(&self, dialect: Dialect) -> Heartbeat {
        let native = Heartbeat {
            interval: self.limits.heartbeat_interval,
            timeout: self.limits.heartbeat_timeout,
        };
        match dialect {
            Dialect::Native => native,
            _ => self.heartbeats.get(&dialect).copied().unwrap_or_else(|| dialect.heartbeat()),
        }
    }

    /// Sets the heartbeat of one dialect, or of all.
    pub fn set_heartbeat(&mut self, dialect: Option<Dialect>, heartbeat: Heartbeat) {
        for &each in Dialect::ALL {
            if dialect.is_some_and(|only| only != each) {
                continue;
            }
            if each == Dialect::Native {
                // `welcome` announces it.
                self.limits.heartbeat_interval = heartbeat.interval;
                self.limits.heartbeat_timeout = heartbeat.timeout;
            } else {
                self.heartbeats.insert(each, heartbeat);
            }
        }
    }

    /// Sees whether everything can be served where it is to be.
    ///
    /// # Errors
    /// If a mount's path is none, or taken: says which and by whom. If applications cannot be told
    /// apart.
    pub fn check(&self) -> Result<(), String> {
        let named = |option: &'static str| move |error| format!("{option}: {error}");
        routes::endpoints(self).map(drop).map_err(named("--mount"))?;
        pusher::check(&self.pusher_apps).map_err(named("--pusher-app"))
    }

    /// Sees whether what is asked for is to be had with the transport that is asked for.
    pub(crate) fn check_transport(&self) -> Result<(), String> {
        let has_webhooks = self.pusher_apps.iter().any(|app| app.webhook.is_some());
        let asked = [
            ("--tls-cert", self.tls.is_some()),
            ("--watch", self.watch.is_some()),
            ("webhooks", has_webhooks),
        ];
        match asked.iter().find(|(_, is_asked)| *is_asked) {
            Some((option, _)) if self.transport.is_naive() => {
                Err(format!("--transport naive knows nothing of {option}"))
            }
            _ => Ok(()),
        }
    }
}

/// The dialect of that name.
///
/// # Errors
/// If there is none: says which there are.
pub(crate) fn dialect_named(name: &str) -> Result<Dialect, String> {
    Dialect::named(name).ok_or_else(|| {
        let known: Vec<_> = Dialect::ALL.iter().map(|dialect| dialect.name()).collect();
        format!("no dialect `{name}`; there are: {}", known.join(", "))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_heartbeat_is_set_for_one_dialect_or_for_all() {
        let short =
            Heartbeat { interval: Duration::from_millis(2), timeout: Duration::from_secs(1) };
        for &one in Dialect::ALL {
            let mut config = Config::default();
            config.set_heartbeat(Some(one), short);
            for &dialect in Dialect::ALL {
                let expected = if dialect == one { short } else { dialect.heartbeat() };
                assert_eq!(config.heartbeat(dialect), expected, "{one:?}, {dialect:?}");
            }
            config.set_heartbeat(None, short);
            assert!(Dialect::ALL.iter().all(|&dialect| config.heartbeat(dialect) == short));
        }
    }
}
