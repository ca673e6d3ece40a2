//! What a server counts, and how it tells.

use std::{collections::BTreeMap, sync::atomic::Ordering};

use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};
use protocol::{Dialect, EventKind, Reason, Tally};

use crate::handler::Speaks;

/// The media type of [`Metrics::text`].
pub(crate) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

const KINDS: [(EventKind, &str); 9] = [
    (EventKind::Chat, "chat"),
    (EventKind::Presence, "presence"),
    (EventKind::Stored, "stored"),
    (EventKind::Typing, "typing"),
    (EventKind::Read, "read"),
    (EventKind::MemberJoined, "member_joined"),
    (EventKind::MemberLeft, "member_left"),
    (EventKind::MemberRenamed, "member_renamed"),
    (EventKind::Event, "event"),
];

/// Counters and gauges. Those on the hot path are plain atomics, looked up once.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    connections: Gauge,
    opened: Counter,
    by_dialect: Vec<(Dialect, ByDialect)>,
    pub(crate) messages: Counter,
    pub(crate) bytes_in: Counter,
    pub(crate) bytes_out: Counter,
    pub(crate) queue_high_water: Gauge,
    pub(crate) published_over_http: Counter,
    pub(crate) published_from_files: Counter,
    pub(crate) not_kept: Counter,
    api: Family<Api, Counter>,
    webhooks: Family<Outcome, Counter>,
    pub(crate) webhook_failures: Counter,
    pub(crate) panics: Counter,
    pub(crate) accept_errors: Counter,
    pub(crate) tls_failed: Counter,
    rooms: Gauge,
    deliveries: Vec<(EventKind, Counter, Counter)>,
    requests_refused: Family<Code, Counter>,
    handshakes_refused: Family<Status, Counter>,
    closes: Family<CloseCode, Counter>,
    joins: Family<Recovered, Counter>,
    leaves: Family<Why, Counter>,
}

#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Delivery {
    kind: &'static str,
    to: &'static str,
}

#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Direction {
    direction: &'static str,
}

#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Code {
    code: &'static str,
}

#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Status {
    status: u16,
}

#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
struct CloseCode {
    code: u16,
}

#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Recovered {
    recovered: &'static str,
}

#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Why {
    reason: &'static str,
}

#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Spoken {
    dialect: &'static str,
}

#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Source {
    source: &'static str,
}

#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Api {
    request: &'static str,
    status: u16,
}

#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Outcome {
    outcome: &'static str,
}

/// What is counted for each dialect apart.
#[derive(Debug)]
struct ByDialect {
    connections: Gauge,
    opened: Counter,
    rooms: Gauge,
    messages: Counter,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let mut registry = Registry::with_prefix("tidemark");
        let deliveries = Family::<Delivery, Counter>::default();
        let bytes = Family::<Direction, Counter>::default();
        let published = Family::<Source, Counter>::default();
        let counter = |to, kind| deliveries.get_or_create_owned(&Delivery { kind, to });
        let metrics = Self {
            connections: Gauge::default(),
            opened: Counter::default(),
            by_dialect: Vec::new(),
            messages: Counter::default(),
            bytes_in: bytes.get_or_create_owned(&Direction { direction: "in" }),
            bytes_out: bytes.get_or_create_owned(&Direction { direction: "out" }),
            queue_high_water: Gauge::default(),
            published_over_http: published.get_or_create_owned(&Source { source: "http" }),
            published_from_files: published.get_or_create_owned(&Source { source: "files" }),
            not_kept: Counter::default(),
            api: Family::default(),
            webhooks: Family::default(),
            webhook_failures: Counter::default(),
            panics: Counter::default(),
            accept_errors: Counter::default(),
            tls_failed: Counter::default(),
            rooms: Gauge::default(),
            deliveries: KINDS
                .map(|(kind, name)| (kind, counter("others", name), counter("sender", name)))
                .into(),
            requests_refused: Family::default(),
            handshakes_refused: Family::default(),
            closes: Family::default(),
            joins: Family::default(),
            leaves: Family::default(),
            registry: Registry::default(),
        };
        let m = &metrics;
        registry.register("connections", "Open WebSocket connections", m.connections.clone());
        registry.register("connections_opened", "WebSocket connections ever", m.opened.clone());
        registry.register("rooms", "Rooms, empty ones included", m.rooms.clone());
        registry.register("messages", "Messages received", m.messages.clone());
        registry.register("deliveries", "Copies of events put into queues", deliveries.clone());
        registry.register("bytes", "Bytes of WebSocket streams", bytes);
        registry.register(
            "queue_high_water_bytes",
            "The most that ever waited for one connection",
            m.queue_high_water.clone(),
        );
        registry.register("closes", "Ended connections", m.closes.clone());
        registry.register("joins", "Joins of rooms", m.joins.clone());
        registry.register("leaves", "Ended memberships", m.leaves.clone());
        registry.register("requests_refused", "Error replies", m.requests_refused.clone());
        registry.register(
            "handshakes_refused",
            "Requests for a WebSocket answered with an error",
            m.handshakes_refused.clone(),
        );
        registry.register("published", "Events published on channels", published);
        registry.register(
            "not_kept",
            "Changes of storage that could not be kept",
            m.not_kept.clone(),
        );
        register_pusher(&mut registry, m);
        registry.register("panics", "Handlers that panicked", m.panics.clone());
        registry.register("accept_errors", "Failures to accept", m.accept_errors.clone());
        registry.register("tls_failed", "TLS handshakes that failed", m.tls_failed.clone());
        let by_dialect = by_dialect(&mut registry);
        Self { registry, by_dialect, ..metrics }
    }

    pub(crate) fn connected(&self, speaks: Speaks) {
        self.connections.inc();
        self.opened.inc();
        if let Some(own) = self.of(speaks) {
            own.connections.inc();
            own.opened.inc();
        }
    }

    pub(crate) fn disconnected(&self, speaks: Speaks) {
        self.connections.dec();
        if let Some(own) = self.of(speaks) {
            own.connections.dec();
        }
    }

    /// Counts whole messages that came in on a connection.
    pub(crate) fn heard(&self, speaks: Speaks, messages: u64) {
        if let Some(own) = self.of(speaks).filter(|_| messages > 0) {
            own.messages.inc_by(messages);
        }
    }

    fn of(&self, speaks: Speaks) -> Option<&ByDialect> {
        let found = self.by_dialect.iter().find(|(dialect, _)| speaks.dialect() == Some(*dialect));
        found.map(|(_, own)| own)
    }

    pub(crate) fn tally(&self, what: Tally) {
        match what {
            Tally::Received => {
                self.messages.inc();
            }
            Tally::Refused { code } => {
                self.requests_refused.get_or_create(&Code { code }).inc();
            }
            Tally::Delivered { kind, others, own } => {
                let counted = self.deliveries.iter().find(|(known, ..)| *known == kind);
                if let Some((_, to_others, to_sender)) = counted {
                    to_others.inc_by(others);
                    to_sender.inc_by(own);
                }
            }
            Tally::Joined { recovered } => {
                let recovered = if recovered { "true" } else { "false" };
                self.joins.get_or_create(&Recovered { recovered }).inc();
            }
            Tally::Left { reason } => {
                let reason = match reason {
                    Reason::Left => "left",
                    Reason::Closed => "closed",
                    Reason::Timeout => "timeout",
                    Reason::Slow => "slow",
                    Reason::Evicted => "evicted",
                };
                self.leaves.get_or_create(&Why { reason }).inc();
            }
        }
    }

    /// Counts a request of the HTTP API of `pusher`.
    pub(crate) fn api_answered(&self, request: &'static str, status: u16) {
        self.api.get_or_create(&Api { request, status }).inc();
    }

    /// Counts events of webhooks, by what came of them.
    pub(crate) fn told(&self, outcome: &'static str, events: usize) {
        let events = u64::try_from(events).unwrap_or(u64::MAX);
        self.webhooks.get_or_create(&Outcome { outcome }).inc_by(events);
    }

    pub(crate) fn closed(&self, code: u16) {
        self.closes.get_or_create(&CloseCode { code }).inc();
    }

    pub(crate) fn refused(&self, status: u16) {
        self.handshakes_refused.get_or_create(&Status { status }).inc();
    }

    /// Remembers the largest queue.
    pub(crate) fn queued(&self, bytes: usize) {
        let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
        // A load is shared between cores, a maximum is not: most pushes stop here.
        if self.queue_high_water.get() < bytes {
            self.queue_high_water.inner().fetch_max(bytes, Ordering::Relaxed);
        }
    }

    /// Everything, as OpenMetrics text.
    pub(crate) fn text(&self, rooms: &BTreeMap<Dialect, usize>) -> String {
        let gauge = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        self.rooms.set(gauge(rooms.values().sum()));
        for (dialect, own) in &self.by_dialect {
            own.rooms.set(gauge(rooms.get(dialect).copied().unwrap_or_default()));
        }
        let mut text = String::new();
        // Writing into a string does not fail.
        encode(&mut text, &self.registry).unwrap_or_default();
        text
    }
}

fn register_pusher(registry: &mut Registry, metrics: &Metrics) {
    registry.register("api_requests", "Requests of pusher's HTTP API", metrics.api.clone());
    registry.register("webhook_events", "Events for webhooks", metrics.webhooks.clone());
    registry.register(
        "webhook_failures",
        "Requests of webhooks that were not taken",
        metrics.webhook_failures.clone(),
    );
}

/// The counters of each dialect apart. They are names of their own, so that a sum over one name
/// counts nothing twice.
fn by_dialect(registry: &mut Registry) -> Vec<(Dialect, ByDialect)> {
    let connections = Family::<Spoken, Gauge>::default();
    let opened = Family::<Spoken, Counter>::default();
    let rooms = Family::<Spoken, Gauge>::default();
    let messages = Family::<Spoken, Counter>::default();
    let counters = Dialect::ALL.iter().map(|&dialect| {
        let spoken = Spoken { dialect: dialect.name() };
        let own = ByDialect {
            connections: connections.get_or_create_owned(&spoken),
            opened: opened.get_or_create_owned(&spoken),
            rooms: rooms.get_or_create_owned(&spoken),
            messages: messages.get_or_create_owned(&spoken),
        };
        (dialect, own)
    });
    let counters = counters.collect();
    registry.register("dialect_connections", "Open connections of a dialect", connections);
    registry.register("dialect_connections_opened", "Connections of a dialect ever", opened);
    registry.register("dialect_rooms", "Rooms of a dialect, empty ones included", rooms);
    registry.register("dialect_messages", "Messages received in a dialect", messages);
    counters
}
