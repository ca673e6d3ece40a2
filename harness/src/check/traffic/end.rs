//! The end of the books: what is owed and never came.

use crate::check::{Class, End, Finding, Findings, KEPT};
use crate::observe::{MessageId, RoomId, Time};
use crate::plan::Delivery;

use super::state::{Flags, Stand};
use super::{DELIVERY, Traffic};

/// Pairs of message and member looked at to name who lost what; beyond it losses are counted only.
const NAMED_MAX: usize = 5_000_000;

impl Traffic {
    pub(super) fn close_books(&mut self, end: &End, found: &mut Findings) {
        let decided = end.settled && !end.interrupted;
        let cut = end.died.is_some() || end.unresponsive.is_some();
        if decided && !cut {
            self.lost_at_end(end.at, found);
            self.echoes_at_end(end.at, found);
        }
        for member in 0..self.members.len() {
            let state = &self.members[member];
            if !matches!(state.stand, Stand::Inside | Stand::Leaving) {
                continue;
            }
            // What was owed is judged already, unless nothing could be.
            let below = if state.owed && decided && !cut { state.from } else { u32::MAX };
            self.holes(end.at, member, below, found);
        }
        // What is on its way, or was when the target died, is neither received nor lost.
        self.sums.owed = self.sums.owed.saturating_sub(self.outstanding);
        self.outstanding = 0;
        self.echoes = 0;
    }

    fn lost_at_end(&mut self, at: Time, found: &mut Findings) {
        let mut budget = NAMED_MAX;
        for room in 0..self.rooms.len() {
            let books = &self.rooms[room];
            let open: Vec<(u32, MessageId, u32)> = books
                .open
                .iter()
                .map(|ticket| (*ticket, &books.messages[*ticket]))
                .filter(|(_, m)| m.counts() && m.due > 0 && !m.is_doubtful())
                .map(|(ticket, m)| (ticket, m.id, m.due))
                .collect();
            for (ticket, id, due) in open {
                self.outstanding -= u64::from(due);
                if found.kept().len() < KEPT && budget > 0 {
                    budget = budget.saturating_sub(self.rooms[room].members.len());
                    self.lost_by_name(at, room, ticket, id, found);
                } else {
                    self.sums.lost += u64::from(due);
                    if matches!(self.delivery, Delivery::ExactlyOnce | Delivery::AtLeastOnce) {
                        found.count(DELIVERY, Class::Loss, u64::from(due));
                    }
                }
            }
        }
    }

    fn lost_by_name(
        &mut self,
        at: Time,
        room: u32,
        ticket: u32,
        id: MessageId,
        found: &mut Findings,
    ) {
        for member in self.rooms[room].members.clone() {
            let state = &self.members[member];
            let owed = state.owed && state.from <= ticket && state.voice != id.voice.0;
            if owed && !self.has(member, ticket) {
                let client = state.client;
                self.lose(at, client, RoomId(room), id, "it never came", found);
            }
        }
    }

    fn echoes_at_end(&mut self, at: Time, found: &mut Findings) {
        if self.echoes == 0 {
            return;
        }
        let missing: Vec<(MessageId, u32)> = self
            .rooms
            .iter()
            .zip(0..)
            .flat_map(|(books, room)| books.messages.iter().map(move |m| (m, room)))
            .filter(|(m, _)| m.flags.has(Flags::ECHO_OWED) && !m.is_doubtful())
            .map(|(m, room)| (m.id, room))
            .collect();
        for (id, room) in missing {
            let Some(Some(voice)) = self.voices.find(id.voice.0) else { continue };
            let client = voice.client;
            let stuck = self.clients.find(client.0).is_some_and(|state| state.stuck);
            if self.members[voice.member].stand == Stand::Inside && !stuck {
                let detail = "its own message never came back";
                let finding = Finding::new(DELIVERY, Class::Echo, at, detail);
                found.push(finding.client(client).room(RoomId(room)).message(id));
            }
        }
    }
}
