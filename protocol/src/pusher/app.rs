//! An application: who it is, what its clients may do, and what its backend is told.

use std::time::Duration;

use serde::Serialize;

/// An application, which clients name by its key and backends by its id.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct App {
    /// Its id, without slashes.
    pub id: String,
    /// What clients name it by.
    pub key: String,
    /// What signatures are made with.
    pub secret: String,
    /// Whether anybody may connect (else 4003).
    pub enabled: bool,
    /// Connections that it may have (else 4004); zero is no limit. [`World::admit`] keeps it.
    ///
    /// [`World::admit`]: crate::World::admit
    pub max_connections: usize,
    /// Whether clients may send events (else 4301).
    pub client_events: bool,
    /// Whether subscribers are told how many they are.
    pub subscription_count: bool,
    /// Whether [`World::hook`] is told anything.
    ///
    /// [`World::hook`]: crate::World::hook
    pub webhooks: bool,
    /// How long a channel that was left, or a member that went, may come back unnoticed by webhooks.
    pub webhook_delay: Duration,
    /// How long a cache channel keeps its last event.
    pub cache_ttl: Duration,
}

impl App {
    /// An application with everything that needs no more than saying so, and without webhooks.
    pub fn new(id: impl Into<String>, key: impl Into<String>, secret: impl Into<String>) -> Self {
        Self {
            id: id.into(),
            key: key.into(),
            secret: secret.into(),
            enabled: true,
            max_connections: 0,
            client_events: true,
            subscription_count: false,
            webhooks: false,
            webhook_delay: Duration::from_secs(3),
            cache_ttl: Duration::from_mins(30),
        }
    }
}

impl Default for App {
    fn default() -> Self {
        Self::new("1", "app-key", "app-secret")
    }
}

/// What a webhook tells: as JSON, one of the `events` of its body.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[serde(tag = "name", rename_all = "snake_case")]
#[expect(missing_docs, reason = "the fields are what the wire calls so")]
pub enum Hook {
    /// A channel has its first subscriber.
    ChannelOccupied { channel: String },
    /// A channel has had no subscriber for [the delay](App::webhook_delay).
    ChannelVacated { channel: String },
    /// A user's first connection is on a presence channel.
    MemberAdded { channel: String, user_id: String },
    /// A user's last connection has been gone for [the delay](App::webhook_delay).
    MemberRemoved { channel: String, user_id: String },
    /// A client sent an event.
    ClientEvent {
        channel: String,
        event: String,
        /// A string as it is, else its JSON text.
        data: String,
        socket_id: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        user_id: Option<String>,
    },
    /// Somebody subscribed to a cache channel in which there is nothing.
    CacheMiss { channel: String },
    /// A channel has so many subscribers.
    SubscriptionCount { channel: String, subscription_count: usize },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hooks_look_as_the_documentation_shows_them() {
        let channel = || "presence-x".to_owned();
        let all = [
            (
                Hook::ChannelOccupied { channel: channel() },
                r#"{"name":"channel_occupied","channel":"presence-x"}"#,
            ),
            (
                Hook::MemberRemoved { channel: channel(), user_id: "7".to_owned() },
                r#"{"name":"member_removed","channel":"presence-x","user_id":"7"}"#,
            ),
            (
                Hook::SubscriptionCount { channel: channel(), subscription_count: 2 },
                r#"{"name":"subscription_count","channel":"presence-x","subscription_count":2}"#,
            ),
            (
                Hook::ClientEvent {
                    channel: channel(),
                    event: "client-x".to_owned(),
                    data: "{}".to_owned(),
                    socket_id: "1.2".to_owned(),
                    user_id: None,
                },
                r#"{"name":"client_event","channel":"presence-x","event":"client-x","data":"{}","socket_id":"1.2"}"#,
            ),
        ];
        for (hook, text) in all {
            assert_eq!(serde_json::to_string(&hook).unwrap(), text);
        }
    }
}
