//! What a mutant is: a name, and a function for each seam in which it does something else.

use std::{fmt, sync::Arc};

use async_tungstenite::tungstenite::protocol::{Message, WebSocketConfig};
use protocol::{
    Dialect, Ending, Flow, Frame, Heartbeat, Ids, Limits, Make, Outlet, Reason, Room, Time,
    pusher::App,
};
use serde_json::Value;
use tide::http;

use super::{At, Request, State, Turn};
use crate::connection::{Connection, Order};

/// A way to be wrong. Where a function is none, the server does there what it should.
#[derive(Clone, Copy)]
pub(super) struct Mutant {
    pub(super) id: &'static str,
    /// In a sentence.
    pub(super) does: &'static str,
    /// Every how many-th time, unless it is told otherwise.
    pub(super) every: u64,

    /// Received: what becomes of a client's message before its session hears it.
    pub(super) hears: Option<fn(&Heard<'_>) -> Take>,
    /// Received: what becomes of the connection after it.
    pub(super) flows: Option<fn(&Heard<'_>, Flow) -> Flow>,
    /// Received: what a session hears as soon as it is opened, before its client says anything; with
    /// the id that it was told.
    pub(super) opens: Option<fn(&State, &Connection, &str) -> Vec<String>>,
    /// Received: why a session ends, as it is told; or none, and it never hears of it.
    pub(super) leaves: Option<fn(&Turn, Reason) -> Option<Reason>>,

    /// World: which room, of those of the world, is meant by a name.
    pub(super) room: Option<fn(&Turn, &str) -> Option<String>>,
    /// World: whether it may be made.
    pub(super) make: Option<fn(&Turn, &str, Make) -> Make>,
    /// World: what is done to a room before something is done in it, and after.
    pub(super) before: Option<fn(&Turn, &mut Room<Arc<Connection>>)>,
    pub(super) after: Option<fn(&Turn, &mut Room<Arc<Connection>>)>,
    /// World: where ids come from, if not from the server.
    pub(super) ids: Option<fn(&Turn) -> Option<Ids>>,
    /// World: the limits that sessions see.
    pub(super) limits: Option<fn(&mut Limits)>,
    /// World: the heartbeat that sessions see.
    pub(super) told_heartbeat: Option<fn(Dialect, Heartbeat) -> Heartbeat>,
    pub(super) app: Option<fn(&Turn, &str) -> Option<Arc<App>>>,
    pub(super) draining: Option<fn(&Turn, bool) -> bool>,
    /// World: when a room is ticked, if at all.
    pub(super) wakes: Option<fn(&Turn, &str, Time) -> Option<Time>>,
    /// World: whether storage outlives its room; it is kept in memory.
    pub(super) keeps: bool,
    /// World: a change of a room's storage that is told to be kept: key, and value or none.
    pub(super) keep: Option<fn(&Turn, &str, u64, &[(String, Option<String>)])>,

    /// Outlet: sends a frame to its receiver, or does not, or does something else.
    pub(super) outlet: Option<fn(&At<'_>)>,

    /// Transport: what is made of a request before anything looks at it.
    pub(super) asks: Option<fn(&State, &mut http::Request)>,
    /// Transport: what is made of its answer.
    pub(super) answers: Option<fn(&State, &Handshake, http::Response) -> http::Response>,
    /// Transport: what is made of bytes as they are read, and whether a binary message is a text.
    pub(super) reads: Option<fn(&Connection, &mut [u8])>,
    pub(super) bytes_are_text: bool,
    /// Transport: how frames are read.
    pub(super) framing: Option<fn(WebSocketConfig) -> WebSocketConfig>,
    /// Transport: what is made of the frames that answer pings and Close frames.
    pub(super) writes: Option<fn(&Connection, &[u8]) -> Vec<u8>>,
    /// Transport: how a connection ends.
    pub(super) ends: Option<fn(&Connection, Order) -> Order>,
    /// Transport: when it is really pinged and given up.
    pub(super) heartbeat: Option<fn(&Connection, Heartbeat) -> Heartbeat>,
    /// Transport: whether a message is a sign of life.
    pub(super) lives: Option<fn(&Connection, &Message, bool) -> bool>,
}

/// No fault at all: what the entries of the tables are made from.
pub(super) const NONE: Mutant = Mutant {
    id: "",
    does: "",
    every: 1,
    hears: None,
    flows: None,
    opens: None,
    leaves: None,
    room: None,
    make: None,
    before: None,
    after: None,
    ids: None,
    limits: None,
    told_heartbeat: None,
    app: None,
    draining: None,
    wakes: None,
    keeps: false,
    keep: None,
    outlet: None,
    asks: None,
    answers: None,
    reads: None,
    bytes_are_text: false,
    framing: None,
    writes: None,
    ends: None,
    heartbeat: None,
    lives: None,
};

impl Mutant {
    /// A mutant that does nothing wrong yet: `Mutant { outlet: …, ..Mutant::new(…) }`.
    pub(super) const fn new(id: &'static str, does: &'static str) -> Self {
        Self { id, does, ..NONE }
    }
}

impl fmt::Debug for Mutant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.id)
    }
}

/// What becomes of a client's message.
#[derive(Debug)]
pub(super) enum Take {
    /// Its session hears it.
    Pass,
    /// Its session hears this instead, one after the other: nothing, or several.
    Instead(Vec<String>),
    /// Its connection ends so.
    Close(Ending),
}

impl Take {
    pub(super) fn instead(text: impl Into<String>) -> Self {
        Self::Instead(vec![text.into()])
    }

    pub(super) const fn nothing() -> Self {
        Self::Instead(Vec::new())
    }
}

/// A text of a client.
#[derive(Debug)]
pub(super) struct Heard<'a> {
    pub(super) turn: &'a Turn,
    pub(super) by: &'a Arc<Connection>,
    pub(super) dialect: Dialect,
    pub(super) text: &'a str,
    /// What it asks for.
    pub(super) request: Request,
    /// The rooms that its session is in, as its dialect calls them.
    pub(super) rooms: Vec<String>,
    /// The id that it was told.
    pub(super) id: &'a str,
}

impl Heard<'_> {
    pub(super) fn state(&self) -> &State {
        &self.turn.server.mutants
    }

    /// What the world calls the room that is named, if its client is in it.
    pub(super) fn room_in_world(&self) -> Option<String> {
        let named = self.request.room.as_ref().or_else(|| self.rooms.first())?;
        let is_it = |key: &String| key == named || key.ends_with(&format!("/{named}"));
        self.state().rooms_of(self.by.id).into_iter().find(is_it)
    }

    /// Whether it is a turn for a fault: every Nth of those requests of this connection.
    pub(super) fn is_turn(&self, asks: super::Asks) -> bool {
        self.request.asks == asks && self.state().is_turn(&format!("heard {} {asks:?}", self.by.id))
    }

    /// Its text as JSON; null if it is none.
    pub(super) fn json(&self) -> Value {
        serde_json::from_str(self.text).unwrap_or_default()
    }

    /// Says something to its client.
    pub(super) fn say(&self, frame: &Frame) {
        self.turn.push(self.by, frame);
    }
}

/// What a request for an upgrade was.
#[derive(Debug, Clone, Default)]
pub(crate) struct Handshake {
    pub(super) wants_upgrade: bool,
}
