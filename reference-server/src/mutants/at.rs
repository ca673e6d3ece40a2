//! One frame on its way to one receiver, and what can be done to it.

use std::{cell::OnceCell, sync::Arc};

use bytes::Bytes;
use protocol::{Dialect, Frame, Outlet};
use serde_json::Value;

use super::{
    Asks, Kind, Request,
    acting::{self, Acting},
    kind::{self, Said},
    state::{Held, State},
};
use crate::{connection::Connection, world};

/// A frame on its way. What is done with it is done with [`At::pass`] and its like: without any of
/// them it is lost.
#[derive(Debug)]
pub(super) struct At<'a> {
    turn: &'a world::Turn,
    pub(super) to: &'a Arc<Connection>,
    pub(super) frame: &'a Frame,
    /// Who causes it, and in which room.
    pub(super) acting: Acting,
    pub(super) dialect: Dialect,
    said: OnceCell<Said>,
}

impl<'a> At<'a> {
    pub(super) fn new(turn: &'a world::Turn, to: &'a Arc<Connection>, frame: &'a Frame) -> Self {
        let dialect = to.speaks.dialect().unwrap_or(Dialect::Native);
        Self { turn, to, frame, acting: acting::now(), dialect, said: OnceCell::new() }
    }

    /// Lets a mutant do with it what it will. What was held back goes out behind what it waited for,
    /// and before anything that its receiver takes for a sign that nothing more comes.
    pub(super) fn through(self, outlet: fn(&Self)) {
        if matches!(self.kind(), Kind::Ping | Kind::Pong) {
            for frame in self.state().release(self.to.id) {
                self.turn.send(self.to, frame);
            }
        }
        outlet(&self);
        for frame in self.state().due(self.to.id, self.kind(), self.room()) {
            self.turn.send(self.to, frame);
        }
    }

    pub(super) fn state(&self) -> &State {
        &self.turn.server.mutants
    }

    /// What its text says.
    pub(super) fn said(&self) -> &Said {
        self.said.get_or_init(|| {
            let mut said = kind::read(self.dialect, self.frame);
            // In `rooms` and `chat` the one who comes or goes is told with the words that the others get.
            said.kind = match said.kind {
                Kind::Came if self.dialect == Dialect::Rooms && self.is_own() => Kind::Entered,
                Kind::Went if self.dialect != Dialect::Pusher && self.is_own() => Kind::Exited,
                kind => kind,
            };
            said
        })
    }

    pub(super) fn kind(&self) -> Kind {
        self.said().kind
    }

    pub(super) fn is(&self, kind: Kind) -> bool {
        self.kind() == kind
    }

    pub(super) fn text(&self) -> &str {
        self.frame.as_text()
    }

    /// Its text as JSON; null if it is none.
    pub(super) fn json(&self) -> Value {
        serde_json::from_str(self.text()).unwrap_or_default()
    }

    /// Whether its receiver's own session causes it.
    pub(super) fn is_own(&self) -> bool {
        self.acting.by == Some(self.to.id)
    }

    /// What the request asks for that causes it.
    pub(super) fn asked(&self) -> Option<Asks> {
        let text = self.acting.text.as_deref()?;
        Some(kind::request(self.dialect, text).asks)
    }

    /// The room in which it is said, as the world calls it, if it is said under a room's lock.
    pub(super) fn room(&self) -> Option<&str> {
        self.acting.room.as_deref()
    }

    /// What its receiver has asked for, if it is answered or caused by that.
    pub(super) fn request(&self) -> Option<Request> {
        let text = self.acting.text.as_deref().filter(|_| self.is_own())?;
        Some(kind::request(self.dialect, text))
    }

    /// Whether something is said or shown: not who comes, goes, or is answered.
    pub(super) fn is_content(&self) -> bool {
        matches!(self.kind(), Kind::Message | Kind::Stored | Kind::Presence)
    }

    /// Whether it is a turn for a fault: every Nth frame of the kind that this receiver gets.
    pub(super) fn is_turn(&self, kind: Kind) -> bool {
        self.is(kind) && self.state().is_turn(&format!("to {} {kind:?}", self.to.id))
    }

    /// The same for others' messages: not for those that its receiver said itself.
    pub(super) fn is_others_turn(&self, kind: Kind) -> bool {
        !self.is_own() && self.is_turn(kind)
    }

    /// The others who are in the room where it is said.
    pub(super) fn others(&self) -> Vec<Arc<Connection>> {
        let mut others = self.state().members(self.room().unwrap_or_default());
        others.retain(|other| other.id != self.to.id);
        others
    }

    /// Every other connection that speaks the same.
    pub(super) fn everybody_else(&self) -> Vec<Arc<Connection>> {
        let mut others = self.state().connections();
        others.retain(|other| other.id != self.to.id && other.speaks == self.to.speaks);
        others
    }

    /// Sends it, as it should be.
    pub(super) fn pass(&self) {
        self.turn.push(self.to, self.frame);
    }

    /// Sends this to its receiver.
    pub(super) fn send(&self, frame: &Frame) {
        self.turn.push(self.to, frame);
    }

    pub(super) fn send_json(&self, value: &Value) {
        self.send(&Frame::json(value));
    }

    /// Sends these bytes, whatever frame they are.
    pub(super) fn send_bytes(&self, bytes: impl Into<Bytes>) {
        self.turn.send(self.to, bytes.into());
    }

    /// Sends it to somebody else.
    pub(super) fn send_to(&self, other: &Arc<Connection>, frame: &Frame) {
        self.turn.push(other, frame);
    }

    /// Keeps it back until so many more of its kind, in this room, have gone to its receiver; or until
    /// its receiver is asked for or told a sign of life.
    pub(super) fn hold(&self, after: u64) {
        let held = Held {
            kind: self.kind(),
            room: self.acting.room.clone(),
            // It counts itself.
            after: after + 1,
            frame: self.frame.bytes().clone(),
        };
        self.state().hold(self.to.id, held);
    }

    /// Sends it to those others as well, once to each, however many receive it.
    pub(super) fn spread(&self, to: impl IntoIterator<Item = Arc<Connection>>) {
        for other in to {
            let key = format!("spread {} {:?} {}", other.id, self.room(), self.text());
            if self.state().count(&key) == 1 {
                self.send_to(&other, self.frame);
            }
        }
    }

    // What most mutants are: something that happens to every Nth frame of a kind.

    /// Loses it.
    pub(super) fn lose(&self, kind: Kind) {
        if !self.is_turn(kind) {
            self.pass();
        }
    }

    /// Sends it twice.
    pub(super) fn double(&self, kind: Kind) {
        self.pass();
        if self.is_turn(kind) {
            self.pass();
        }
    }

    /// Sends it twice, the second time after so many more of its kind.
    pub(super) fn double_later(&self, kind: Kind, after: u64) {
        self.pass();
        if self.is_turn(kind) {
            self.hold(after);
        }
    }

    /// Sends the next of its kind first.
    pub(super) fn swap(&self, kind: Kind) {
        if self.is_turn(kind) {
            self.hold(1);
        } else {
            self.pass();
        }
    }

    /// Sends it with its JSON changed.
    pub(super) fn alter(&self, kind: Kind, change: impl FnOnce(&mut Value)) {
        if self.is_turn(kind) {
            let mut value = self.json();
            change(&mut value);
            self.send_json(&value);
        } else {
            self.pass();
        }
    }

    /// Sends it, and to others as well.
    pub(super) fn leak(&self, kind: Kind, to: impl FnOnce() -> Vec<Arc<Connection>>) {
        self.pass();
        if self.is_turn(kind) {
            for other in to() {
                self.send_to(&other, self.frame);
            }
        }
    }
}
