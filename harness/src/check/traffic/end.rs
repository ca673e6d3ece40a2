//! The end of a stay and of the books: what never came.

use crate::check::{Class, End, Finding, Findings, KEPT};
use crate::observe::{ClientId, MessageId, RoomId, Time};
use crate::plan::Delivery;

use super::state::{Flags, Message, NONE, Stand};
use super::track::WHOLE_ROOM;
use super::{DELIVERY, Traffic};

/// Copies left out that are judged at the end only; beyond it nobody is accused.
const LEFT_OUT_MAX: usize = 10_000;

/// A copy that a member did not get.
#[derive(Clone, Copy, Debug)]
pub(super) struct Missing {
    at: Time,
    client: ClientId,
    room: RoomId,
    id: MessageId,
    /// It was sent while the member was away, and the server said that it would follow.
    away: bool,
}

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
        for missing in std::mem::take(&mut self.left_out) {
            let message = self.ticket(missing.id);
            let message = message.map(|(room, ticket)| &self.rooms[room].messages[ticket]);
            if decided && !cut && message.is_some_and(|m| self.can_be_missed(m)) {
                self.sums.owed += 1;
                self.lose(missing, "it got later ones, but not this", found);
            }
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
                if !self.can_be_missed(&self.rooms[room].messages[ticket]) {
                    self.sums.owed -= u64::from(due);
                    continue;
                }
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

    /// Whether a message was to come at all: a sender that reads would know of a refusal.
    fn can_be_missed(&self, message: &Message) -> bool {
        let sender = self.voices.find(message.id.voice.0).and_then(Option::as_ref);
        let deaf = sender
            .and_then(|voice| self.clients.find(voice.client.0))
            .is_some_and(|client| client.stuck);
        let known = message.flags.has(Flags::SEEN | Flags::ACKED);
        message.counts() && !message.is_doubtful() && (known || !deaf)
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
                let missing = self.missing(at, state.client, RoomId(room), id);
                self.lose(missing, "it never came", found);
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

    /// Gaps in what a member got are losses, however its stay ends: something later came. Judges
    /// the tickets below a limit; the others are judged as owed.
    pub(super) fn holes(&mut self, at: Time, member: u32, below: u32, found: &mut Findings) {
        if !self.members[member].pending.is_empty() {
            self.judge_pending(at, member, found);
        }
        let state = &self.members[member];
        if !state.faulty || self.ordering.is_none() {
            return;
        }
        let (room, own, stay) = (state.room, state.voice, state.stay);
        let mut lost = Vec::new();
        for (stream, gap) in self.faults.gaps_of(stay) {
            for place in gap {
                let ticket = if stream == WHOLE_ROOM {
                    self.rooms[room].at(place)
                } else {
                    u32::try_from(place).ok().and_then(|seq| self.ticket_at(stream, seq))
                };
                let Some(ticket) = ticket else { continue };
                let message = &self.rooms[room].messages[ticket];
                let certain = if stream == WHOLE_ROOM {
                    message.is_strict()
                } else {
                    let track = self.pairs.get(&(stay, stream)).copied().unwrap_or_default();
                    self.has_later((stay, stream), track, message.id)
                };
                let other = message.id.voice.0 != own && ticket < below;
                if certain && other && message.counts() {
                    lost.push((message.id, message.flags.has(Flags::SEEN | Flags::ACKED)));
                }
            }
        }
        self.faults.forget_stay(stay);
        let state = &mut self.members[member];
        state.faulty = false;
        let client = state.client;
        for (id, taken) in lost {
            let missing = self.missing(at, client, RoomId(room), id);
            if taken {
                self.sums.owed += 1;
                self.lose(missing, "it got later ones, but not this", found);
            } else if self.left_out.len() < LEFT_OUT_MAX {
                // The server may have refused it, and its sender does not know that yet.
                self.left_out.push(missing);
            }
        }
    }

    fn missing(&self, at: Time, client: ClientId, room: RoomId, id: MessageId) -> Missing {
        let ticket = self.ticket(id).map_or(NONE, |(_, ticket)| ticket);
        let away = self
            .member_of(client, room.0)
            .is_some_and(|member| ticket < self.members[member].away_until);
        Missing { at, client, room, id, away }
    }

    /// A copy is lost for certain.
    fn lose(&mut self, missing: Missing, detail: &str, found: &mut Findings) {
        let Missing { at, client, room, id, away } = missing;
        self.sums.lost += 1;
        if !matches!(self.delivery, Delivery::ExactlyOnce | Delivery::AtLeastOnce) {
            return;
        }
        let (check, class) = if away && self.recovery {
            (crate::check::RECOVERY, Class::Recovery)
        } else {
            (DELIVERY, Class::Loss)
        };
        let finding = Finding::new(check, class, at, detail).client(client).room(room);
        found.push(finding.message(id));
    }
}
