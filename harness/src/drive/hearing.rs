//! What a client's socket has brought, frame by frame, while the stage is locked.

use std::sync::Arc;

use super::stage::{Parcel, Shared, Stage};
use crate::client::Client;
use crate::craft;
use crate::heard::Ears;
use crate::observe::{ClientId, Ending, What};
use crate::plan::Vars;
use crate::summary::Direction;
use crate::wire::{Breach, Incoming, Outgoing};

/// One read's frames, while the stage is locked.
pub(super) struct Hearing<'a> {
    shared: &'a Shared,
    ears: &'a mut Ears,
    id: ClientId,
    stage: parking_lot::MutexGuard<'a, Stage>,
    parcels: Vec<Parcel>,
    over: bool,
}

impl<'a> Hearing<'a> {
    pub(super) fn new(id: ClientId, shared: &'a Shared, ears: &'a mut Ears) -> Self {
        Self { shared, ears, id, stage: shared.lock(), parcels: Vec::new(), over: false }
    }

    pub(super) fn take(&mut self, incoming: Incoming<'_>) {
        if self.over {
            return;
        }
        let (now, id) = (self.shared.now(), self.id);
        self.stage.heard_at = now;
        match incoming {
            Incoming::Text(text) => {
                let heard = self.ears.hear(text);
                self.stage.books.frames += 1;
                self.stage.books.events += u64::from(heard.kind().is_some());
                self.stage.books.frame(now, id, Direction::In, Arc::clone(&heard.shown));
                let Some((client, books)) = self.stage.client(id) else { return };
                let Some(verb) = client.hear(now, &heard, books) else { return };
                if let Ok(asked) = client.ask(now, verb, &Vars::new(), false, books) {
                    let parcel = self.stage.pack(now, id, &asked);
                    self.parcels.extend(parcel);
                }
            }
            Incoming::Ping(payload) => {
                self.stage.books.frame(now, id, Direction::In, "(ping)".into());
                let Some((client, books)) = self.stage.client(id) else { return };
                if client.pinged(now, books) {
                    let parcel = self.stage.frame(now, id, Outgoing::Pong(payload));
                    self.parcels.extend(parcel);
                }
            }
            Incoming::Pong(payload) => {
                self.stage.books.frame(now, id, Direction::In, "(pong)".into());
                let Some((client, books)) = self.stage.client(id) else { return };
                client.pong(now, payload, books);
            }
            Incoming::Close { code, reason } => self.close(code, reason),
            Incoming::Binary(bytes) => {
                let shown = format!("(binary: {})", craft::shown(bytes)).into();
                self.stage.books.frames += 1;
                self.stage.books.frame(now, id, Direction::In, shown);
                let Some((client, books)) = self.stage.client(id) else { return };
                client.hear_binary(now, bytes, books);
            }
        }
    }

    /// The server's Close frame: it is answered, and the connection is over.
    fn close(&mut self, code: Option<u16>, reason: &str) {
        let (now, id) = (self.shared.now(), self.id);
        let shown =
            code.map_or_else(|| "(close)".into(), |code| format!("(close {code} {reason})").into());
        self.stage.books.frame(now, id, Direction::In, shown);
        let answer = Outgoing::Close { code: code.unwrap_or(1000), reason: "" };
        let silent = |client: &Client| !client.is_open() || !client.can_control();
        if !self.stage.client(id).is_some_and(|(client, _)| silent(client)) {
            let parcel = self.stage.frame(now, id, answer);
            self.parcels.extend(parcel);
        }
        let ending = Ending { asked: false, code, reason: reason.into(), clean: true };
        if let Some((client, books)) = self.stage.client(id) {
            client.closed(now, ending, books);
        }
        self.over = true;
    }

    /// The server broke RFC 6455: the connection is failed (7.1.7).
    pub(super) fn broken(&mut self, breach: &Breach) {
        let (now, id) = (self.shared.now(), self.id);
        let fact: Arc<str> = breach.to_string().into();
        self.stage.books.observe(now, id, What::Malformed { fact: Arc::clone(&fact) });
        let code = if *breach == Breach::Utf8 { 1007 } else { 1002 };
        // Not inside a frame that a step has left unfinished.
        if self.stage.client(id).is_some_and(|(client, _)| client.can_control()) {
            let parcel = self.stage.frame(now, id, Outgoing::Close { code, reason: "" });
            self.parcels.extend(parcel);
        }
        let ending = broke(fact);
        if let Some((client, books)) = self.stage.client(id) {
            client.closed(now, ending, books);
        }
        self.over = true;
    }

    /// Unlocks, then writes and wakes. Says whether the connection is over.
    pub(super) fn done(mut self) -> bool {
        let mut wakers = self.stage.take_wakers(self.id);
        wakers.extend(self.stage.take_enlightened());
        let Self { stage, parcels, shared, over, .. } = self;
        drop(stage);
        parcels.into_iter().for_each(|parcel| shared.deliver(Some(parcel)));
        wakers.into_iter().for_each(std::task::Waker::wake);
        over
    }
}

/// The end of a connection that nobody asked for, without a Close frame.
pub(super) fn broke(reason: impl Into<Arc<str>>) -> Ending {
    Ending { asked: false, code: None, reason: reason.into(), clean: false }
}
