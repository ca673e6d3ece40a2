//! Holds one receipt against the log.

use crate::check::{Class, Finding, Findings};
use crate::observe::{MessageId, RoomId};

use super::log::{SENDER_REACH, Seen};
use super::state::{Flags, Message, Stand};
use super::track::{NOWHERE, Took, WHOLE_ROOM};
use super::{ORDER, Traffic};

impl Traffic {
    /// Judges a first receipt of a message that has a place.
    pub(super) fn evaluate(&mut self, seen: Seen, found: &mut Findings) {
        self.take(seen);
        let state = &mut self.members[seen.member];
        let books = &self.rooms[state.room];
        let message = &books.messages[seen.ticket];
        let place = message.place;
        if message.is_strict() {
            if place >= state.strict_next {
                state.strict_next = place + 1;
                return;
            }
        } else {
            let key = (state.stay, WHOLE_ROOM);
            let after = |fence: &i64| self.faults.has(key, state.track, *fence);
            let fenced = books.fences.get(&seen.ticket).is_some_and(after);
            if !fenced && self.later_of_sender(seen.member, seen.ticket).is_none() {
                return;
            }
        }
        let class = match self.later_of_sender(seen.member, seen.ticket) {
            Some(_) => Class::Reorder,
            None => Class::Disorder,
        };
        self.out_of_order(seen, class, found);
    }

    /// The place of a later message of the same sender that the member has got already.
    pub(super) fn later_of_sender(&self, member: u32, ticket: u32) -> Option<i64> {
        let state = &self.members[member];
        let messages = &self.rooms[state.room].messages;
        let id = messages[ticket].id;
        let reach = id.seq + 1..=self.last_of_connection(id).min(id.seq + SENDER_REACH);
        let key = (state.stay, WHOLE_ROOM);
        reach.map_while(|seq| self.ticket_at(id.voice.0, seq)).find_map(|later| {
            let place = messages[later].place;
            self.faults.has(key, state.track, place).then_some(place)
        })
    }

    /// The last number that a sender can have used on the connection on which it said this: between
    /// what it says on two connections there is no order.
    pub(super) fn last_of_connection(&self, id: MessageId) -> u32 {
        let voice = self.voices.find(id.voice.0).and_then(Option::as_ref);
        let breaks = voice.map(|voice| voice.breaks.as_slice()).unwrap_or_default();
        let next = breaks.get(breaks.partition_point(|first| *first <= id.seq));
        next.map_or(u32::MAX - SENDER_REACH, |first| first - 1)
    }

    /// Whether one of a sender's messages must come before another.
    pub(super) fn precedes(&self, id: MessageId, other: MessageId) -> bool {
        id.voice == other.voice && id.seq < other.seq && other.seq <= self.last_of_connection(id)
    }

    /// Writes into a member's track that it has a message.
    pub(super) fn take(&mut self, seen: Seen) {
        let state = &mut self.members[seen.member];
        let key = (state.stay, WHOLE_ROOM);
        let books = &self.rooms[state.room];
        let place = books.messages[seen.ticket].place;
        if state.track.next == place {
            state.track.next += 1;
            return;
        }
        let (own, from, mut track) = (state.voice, state.from, state.track);
        let strict = books.messages[seen.ticket].is_strict();
        if !strict && (track.start == NOWHERE || place > track.next) {
            self.members[seen.member].faulty = true;
            self.faults.stray(key, place);
            return;
        }
        if track.start == NOWHERE {
            // What was sent after the entry was confirmed and has an earlier place was left out.
            let certain = state.certain && matches!(state.stand, Stand::Inside | Stand::Leaving);
            let owed = |at: &i64| books.at(*at).is_some_and(|ticket| ticket >= from);
            let earlier = (books.log_start..place).rev().take_while(owed);
            let first = if certain { earlier.last().unwrap_or(place) } else { place };
            self.faults.begin(key, &mut track, first, place);
            self.members[seen.member].faulty |= first < place;
        } else {
            let skipped =
                |at: i64| books.at(at).is_some_and(|t| self.skips_own(own, &books.messages[t]));
            while track.next < place && skipped(track.next) {
                track.next += 1;
            }
            let took = self.faults.take(key, &mut track, place);
            self.members[seen.member].faulty |= took != Took::Next;
        }
        self.members[seen.member].track = track;
    }

    fn skips_own(&self, own: u32, message: &Message) -> bool {
        let mine = message.id.voice.0 == own && !self.own_in_log();
        mine || message.flags.has(Flags::REJECTED)
    }

    pub(super) fn out_of_order(&mut self, seen: Seen, class: Class, found: &mut Findings) {
        self.sums.disordered += 1;
        self.blamed.push((seen.member, seen.ticket));
        let state = &self.members[seen.member];
        let id = self.rooms[state.room].messages[seen.ticket].id;
        let detail = match class {
            Class::Reorder => "a later message of the same sender came first",
            _ => "another member got this in another order",
        };
        let finding = Finding::new(ORDER, class, seen.at, detail).client(state.client);
        found.push(finding.room(RoomId(state.room)).message(id));
    }
}
