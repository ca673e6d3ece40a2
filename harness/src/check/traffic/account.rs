//! Who is owed what, and the counting of copies.

use crate::check::{Class, Finding, Findings};
use crate::observe::{MessageId, RoomId, Time};
use crate::plan::{Delivery, Echo};

use super::log::Seen;
use super::state::{Claim, Flags, NONE, Stand};
use super::track::{Track, WHOLE_ROOM};
use super::{DELIVERY, Receipt, Traffic};

impl Traffic {
    pub(super) fn may_be_owed(&self, member: u32) -> bool {
        let state = &self.members[member];
        let stuck = self.clients.find(state.client.0).is_some_and(|client| client.stuck);
        state.stand == Stand::Inside && state.certain && !state.owed && !stuck
    }

    /// From now on the member is owed, and so is what it missed since owing ended.
    pub(super) fn begin_owing(&mut self, member: u32) {
        let state = &mut self.members[member];
        state.owed = true;
        let (room, own, from) = (state.room, state.voice, state.from);
        let since = state.since.max(from);
        let books = &mut self.rooms[room];
        books.owed += 1;
        books.top = books.top.max(from);
        for ticket in since..books.messages.len() {
            let message = &self.rooms[room].messages[ticket];
            if !message.counts() || message.id.voice.0 == own || self.has(member, ticket) {
                continue;
            }
            let books = &mut self.rooms[room];
            let message = &mut books.messages[ticket];
            message.due += 1;
            message.done = NONE;
            books.open.insert(ticket);
            if !message.is_doubtful() {
                self.sums.owed += 1;
                self.outstanding += 1;
            }
        }
    }

    /// From now on nothing more is owed; what is on its way may come or not.
    pub(super) fn stop_owing(&mut self, member: u32) {
        let state = &self.members[member];
        if !state.owed {
            return;
        }
        let (room, own, from) = (state.room, state.voice, state.from);
        let books = &self.rooms[room];
        let mut since = books.messages.len();
        let missed: Vec<u32> = books
            .open
            .range(from..)
            .copied()
            .filter(|ticket| {
                let message = &books.messages[*ticket];
                message.counts() && message.id.voice.0 != own && !self.has(member, *ticket)
            })
            .collect();
        for ticket in missed {
            since = since.min(ticket);
            self.not_owed(room, ticket, 1);
        }
        let state = &mut self.members[member];
        state.owed = false;
        state.since = since;
        self.rooms[room].owed -= 1;
    }

    /// Takes back that copies of a message are owed.
    pub(super) fn not_owed(&mut self, room: u32, ticket: u32, copies: u32) {
        let books = &mut self.rooms[room];
        let message = &mut books.messages[ticket];
        message.due -= copies;
        if !message.is_doubtful() {
            self.sums.owed -= u64::from(copies);
            self.outstanding -= u64::from(copies);
        }
        books.settle(ticket, self.joins);
    }

    /// Somebody owed or not has got a copy: sets the books right.
    fn account(&mut self, member: u32, ticket: u32) {
        let state = &self.members[member];
        let owed = state.owed && ticket >= state.from;
        self.taken(state.room, ticket, true);
        let books = &mut self.rooms[self.members[member].room];
        let message = &mut books.messages[ticket];
        if owed {
            message.due -= 1;
            self.outstanding -= 1;
        } else {
            self.sums.owed += 1;
        }
        self.sums.received += 1;
        books.settle(ticket, self.joins);
    }

    /// The server is known to have taken a message: it is in doubt no more.
    fn taken(&mut self, room: u32, ticket: u32, spread: bool) {
        let message = &mut self.rooms[room].messages[ticket];
        message.flags.set(if spread { Flags::SEEN | Flags::SPREAD } else { Flags::SEEN });
        self.believed(room, ticket);
    }

    fn believed(&mut self, room: u32, ticket: u32) {
        let message = &mut self.rooms[room].messages[ticket];
        if message.is_doubtful() {
            message.flags.clear(Flags::DOUBT);
            self.sums.owed += u64::from(message.due);
            self.outstanding += u64::from(message.due);
        }
    }

    pub(super) fn received_by(
        &mut self,
        receipt: Receipt<'_>,
        member: u32,
        ticket: u32,
        found: &mut Findings,
    ) {
        if self.has(member, ticket) {
            self.sums.duplicated += 1;
            if matches!(self.delivery, Delivery::ExactlyOnce | Delivery::AtMostOnce) {
                let finding = receipt.finding(Class::Duplicate, "it has this already");
                found.push(finding.room(RoomId(self.members[member].room)));
            }
            return;
        }
        self.account(member, ticket);
        self.order(Seen { at: receipt.at, member, ticket }, found);
        let state = &mut self.members[member];
        if state.stand == Stand::Inside && !state.certain {
            // Now it is in for certain, and what is sent from now on is owed.
            state.certain = true;
            state.from = self.rooms[state.room].messages.len();
            state.since = state.from;
            if self.may_be_owed(member) {
                self.begin_owing(member);
            }
        }
    }

    pub(super) fn received_own(
        &mut self,
        receipt: Receipt<'_>,
        room: u32,
        member: Option<u32>,
        ticket: u32,
        found: &mut Findings,
    ) {
        self.taken(room, ticket, self.echo == Some(Echo::Once));
        let books = &mut self.rooms[room];
        let message = &mut books.messages[ticket];
        let again = message.flags.has(Flags::ECHOED);
        if message.flags.has(Flags::ECHO_OWED) {
            message.flags.clear(Flags::ECHO_OWED);
            self.echoes -= 1;
        }
        message.flags.set(Flags::ECHOED);
        books.settle(ticket, self.joins);
        let wrong = match self.echo {
            None => None,
            Some(Echo::Never) => Some("its own message came back to it"),
            Some(Echo::Once | Echo::Apart) => again.then_some("its own message came back twice"),
        };
        if let Some(detail) = wrong {
            return found.push(receipt.finding(Class::Echo, detail).room(RoomId(room)));
        }
        if let Some(member) = member.filter(|_| self.echo == Some(Echo::Once) && !again)
            && (self.own_in_log() || !self.total())
        {
            self.order(Seen { at: receipt.at, member, ticket }, found);
        }
    }

    /// Whether a member has got a message during this stay.
    pub(super) fn has(&self, member: u32, ticket: u32) -> bool {
        let state = &self.members[member];
        let books = &self.rooms[state.room];
        let message = &books.messages[ticket];
        if !self.total() {
            let key = (state.stay, message.id.voice.0);
            let track = self.pairs.get(&key).copied().unwrap_or_default();
            return self.faults.has(key, track, i64::from(message.id.seq));
        }
        // Behind one without a place, others wait although they have theirs.
        if !state.pending.is_empty() && state.pending.contains(&ticket) {
            return true;
        }
        if message.is_placed() {
            if !state.faulty {
                return state.track.start <= message.place && message.place < state.track.next;
            }
            return self.faults.has((state.stay, WHOLE_ROOM), state.track, message.place);
        }
        let claimed = |claims: &Vec<Claim>| claims.iter().any(|claim| claim.stay == state.stay);
        books.claims.get(&ticket).is_some_and(claimed)
    }

    pub(super) fn acked(&mut self, id: MessageId) {
        let Some((room, ticket)) = self.ticket(id) else { return };
        self.rooms[room].messages[ticket].flags.set(Flags::ACKED);
        self.believed(room, ticket);
    }

    pub(super) fn rejected(&mut self, at: Time, id: MessageId, found: &mut Findings) {
        let Some((room, ticket)) = self.ticket(id) else { return };
        let message = &mut self.rooms[room].messages[ticket];
        if message.flags.has(Flags::REJECTED) {
            return;
        }
        let (seen, placed, due) =
            (message.flags.has(Flags::SEEN), message.is_placed(), message.due);
        message.flags.set(Flags::REJECTED);
        if message.flags.has(Flags::ECHO_OWED) {
            message.flags.clear(Flags::ECHO_OWED);
            self.echoes -= 1;
        }
        self.not_owed(room, ticket, due);
        if !placed {
            self.settled_own(id.voice.0);
        }
        if seen {
            let detail = "the server refused a message that it had delivered";
            let finding = Finding::new(DELIVERY, Class::Phantom, at, detail);
            found.push(finding.message(id).room(RoomId(room)));
        }
        self.wake(at, found);
    }

    pub(super) fn ticket_at(&self, voice: u32, seq: u32) -> Option<u32> {
        let speaker = self.voices.find(voice)?.as_ref()?;
        speaker.tickets.find(seq).copied().filter(|ticket| *ticket != NONE)
    }

    pub(super) fn pair(&mut self, stay: u32, voice: u32) -> Track {
        self.pairs.get(&(stay, voice)).copied().unwrap_or_default()
    }
}
