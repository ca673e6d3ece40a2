//! The order of a room, learned from its members: one canonical log that all must agree with.
//!
//! The first receiver to get a message may give it the next place in the log, but only if it has
//! got everything that has a place already, and if no message of its own is still without one:
//! else something that it cannot see may belong in between (unless a second receiver got the same
//! message next: nothing is hidden from both). So the log is always a part of the
//! server's order without a gap, and whoever contradicts it contradicts another receiver. Who
//! cannot give a place waits for somebody who can; a newcomer waits until it meets a message that
//! has a place.
//!
//! Two receivers that disagree are certain; who of them is wrong is not. A receiver whose first
//! message has no place although later ones have is believed only when a second one says the same.

use crate::check::{Class, Findings};
use crate::observe::{MessageId, Time};

use super::Traffic;
use super::state::{Flags, Message, NONE, Stand};
use super::track::{Key, NOWHERE, Took, Track};

/// Messages that one member may hold back waiting for their place. Beyond it they get places that
/// prove nothing: better to miss a disorder than to grow without bound.
const PENDING_MAX: usize = 256;
/// How many later messages of a sender are looked at to tell a reorder from a disorder.
pub(super) const SENDER_REACH: u32 = 64;

/// A first receipt.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen {
    pub(super) at: Time,
    pub(super) member: u32,
    pub(super) ticket: u32,
}

impl Traffic {
    /// Judges where in the order a first receipt stands.
    pub(super) fn order(&mut self, seen: Seen, found: &mut Findings) {
        self.ordered += u64::from(self.ordering.is_some());
        self.blamed.clear();
        if !self.total() {
            return self.order_pair(seen, found);
        }
        self.order_in_log(seen, found);
        if let Some(class) = self.beside_the_last(seen)
            && !self.blamed.contains(&(seen.member, seen.ticket))
        {
            self.out_of_order(seen, class, found);
        }
    }

    /// The log may stay short of a place: where senders do not hear themselves, or joins are not
    /// confirmed. Even so two receivers that got the same two messages, one directly after the
    /// other, must have got them in the same order.
    fn beside_the_last(&mut self, seen: Seen) -> Option<Class> {
        let state = &mut self.members[seen.member];
        let last = std::mem::replace(&mut state.last, seen.ticket);
        let room = state.room;
        let messages = &self.rooms[room].messages;
        let before = messages.find(last)?;
        let id = messages[seen.ticket].id;
        if before.id.voice == id.voice {
            return self.precedes(id, before.id).then_some(Class::Reorder);
        }
        if before.behind.contains(&seen.ticket) {
            return Some(Class::Disorder);
        }
        let behind = &mut self.rooms[room].messages[seen.ticket].behind;
        if !behind.contains(&last)
            && let Some(free) = behind.iter_mut().find(|it| **it == NONE)
        {
            *free = last;
        }
        None
    }

    fn order_in_log(&mut self, seen: Seen, found: &mut Findings) {
        let state = &self.members[seen.member];
        let place = self.rooms[state.room].messages[seen.ticket].place;
        if place != NOWHERE && state.pending.is_empty() {
            return self.evaluate(seen, found);
        }
        self.order_unplaced(seen, place, found);
        self.wake(seen.at, found);
    }

    fn order_pair(&mut self, seen: Seen, found: &mut Findings) {
        let state = &self.members[seen.member];
        let (stay, from, certain) = (state.stay, state.from, state.certain);
        let id = self.rooms[state.room].messages[seen.ticket].id;
        let key = (stay, id.voice.0);
        let mut track = self.pair(stay, id.voice.0);
        let place = i64::from(id.seq);
        let mut took = Took::Next;
        if track.start == NOWHERE && certain {
            let owed = |seq: &u32| self.ticket_at(id.voice.0, *seq).is_some_and(|t| t >= from);
            let first = (0..id.seq).rev().take_while(owed).last().unwrap_or(id.seq);
            if first < id.seq {
                took = Took::Ahead;
            }
            self.faults.begin(key, &mut track, i64::from(first), place);
        } else {
            took = self.faults.take(key, &mut track, place);
        }
        self.pairs.insert(key, track);
        self.members[seen.member].faulty |= took != Took::Next;
        if took == Took::Behind && self.ordering.is_some() && self.has_later(key, track, id) {
            self.out_of_order(seen, Class::Reorder, found);
        }
    }

    /// Whether a later message of the sender, said on the same connection, has come already.
    pub(super) fn has_later(&self, key: Key, track: Track, id: MessageId) -> bool {
        let last = self.last_of_connection(id);
        self.faults.has_any(key, track, i64::from(id.seq) + 1..=i64::from(last))
    }

    fn order_unplaced(&mut self, seen: Seen, place: i64, found: &mut Findings) {
        let Seen { member, ticket, .. } = seen;
        let state = &self.members[member];
        let anchored = state.track.start != NOWHERE;
        if place != NOWHERE {
            if !anchored && self.joins_front(member, place) {
                self.put_in_front(seen, place);
            } else {
                self.claim_pending(seen, place, found);
            }
            return self.evaluate(seen, found);
        }
        let waits = !state.pending.is_empty();
        let anchored = anchored || (!waits && self.anchor(member, ticket));
        let state = &self.members[member];
        let books = &self.rooms[state.room];
        let founds = !anchored && books.log.is_empty() && self.may_found(member);
        if founds && !waits {
            self.uproot(member);
        }
        if !waits && (founds || (anchored && self.may_place(member, ticket))) {
            return self.put_at_end(seen, found);
        }
        let state = &mut self.members[member];
        state.pending.push_back(ticket);
        if state.pending.len() > PENDING_MAX {
            self.force(seen, found);
        } else if !waits {
            self.wait_for(member, ticket);
        }
    }

    /// Where everything sent before a member's entry has a place, what was sent after it is next: a
    /// member that gets it need not meet a message with a place first.
    fn anchor(&mut self, member: u32, ticket: u32) -> bool {
        let state = &self.members[member];
        let (room, from) = (state.room, state.from);
        let confirmed = state.stand == Stand::Inside && state.certain;
        if !confirmed || ticket < from || !self.is_placed_before(room, from) {
            return false;
        }
        let books = &mut self.rooms[room];
        books.rooted |= books.log.is_empty();
        let end = books.log_end();
        let behind = books.at(end - 1).is_some_and(|ticket| ticket >= from);
        if !books.rooted || behind {
            return false;
        }
        let state = &mut self.members[member];
        state.track = Track { start: end, next: end };
        state.strict_next = end;
        true
    }

    /// The log begins with what may not be the first message of all: whoever was taken to stand
    /// at its beginning stands nowhere.
    fn uproot(&mut self, member: u32) {
        let room = self.members[member].room;
        self.rooms[room].rooted = false;
        for other in self.rooms[room].members.clone() {
            let state = &mut self.members[other];
            state.track = Track::default();
            state.strict_next = NOWHERE;
        }
    }

    /// Whether every message sent before this ticket has its place, or comes before one that has.
    fn is_placed_before(&mut self, room: u32, ticket: u32) -> bool {
        loop {
            let books = &self.rooms[room];
            let low = books.low;
            if low >= ticket {
                return true;
            }
            let Some(message) = books.messages.find(low) else { return false };
            let known = message.is_strict() || message.flags.has(Flags::REJECTED);
            let voice = self.voices.find(message.id.voice.0).and_then(Option::as_ref);
            if !known && voice.is_none_or(|voice| voice.placed <= message.id.seq) {
                return false;
            }
            self.rooms[room].low += 1;
        }
    }

    /// Whether the log may begin with what this member got first: not while somebody is in the
    /// room who has been there from the first message on.
    fn may_found(&self, member: u32) -> bool {
        let books = &self.rooms[self.members[member].room];
        let from_first_on = |other: &u32| {
            let state = &self.members[*other];
            state.stand == Stand::Inside && state.certain && state.from <= books.low
        };
        !books.members.iter().any(|other| *other != member && from_first_on(other))
    }

    fn wait_for(&mut self, member: u32, ticket: u32) {
        let state = &mut self.members[member];
        if state.waits != ticket {
            state.waits = ticket;
            self.rooms[state.room].waiting.entry(ticket).or_default().push(member);
        }
    }

    /// Whether the next place in the log is this member's to give: to the message that it got
    /// next. If a message of its own has no place yet, that may come before; not so if another
    /// got the same message next, for nothing can be hidden from both.
    fn may_place(&mut self, member: u32, ticket: u32) -> bool {
        if !self.is_abreast(member) {
            return false;
        }
        let state = &self.members[member];
        if self.own_in_log() || self.is_free(state.voice) {
            return true;
        }
        let others = self.rooms[state.room].waiting.get(&ticket).cloned().unwrap_or_default();
        others.into_iter().any(|other| {
            let state = &self.members[other];
            let next = state.pending.front() == Some(&ticket);
            other != member && next && state.track.start != NOWHERE && self.is_abreast(other)
        })
    }

    /// Whether a member has got all that has a certain place.
    fn is_abreast(&mut self, member: u32) -> bool {
        let state = &self.members[member];
        let own = state.voice;
        let books = &self.rooms[state.room];
        let mut next = state.strict_next.max(books.log_start);
        while next < books.strict_end {
            let skip = books.at(next).is_none_or(|ticket| self.skips(own, &books.messages[ticket]));
            if !skip {
                return false;
            }
            next += 1;
        }
        self.members[member].strict_next = next;
        true
    }

    /// No message of a member's own can come next. One without a place is no matter if a later one
    /// has its place: it came before that.
    fn is_free(&self, voice: u32) -> bool {
        let Some(Some(own)) = self.voices.find(voice) else { return true };
        (own.placed..own.tickets.len()).all(|seq| {
            let message = self.ticket_at(voice, seq).map(|t| &self.rooms[own.room].messages[t]);
            message.is_none_or(|message| message.flags.has(Flags::REJECTED))
        })
    }

    /// A message that a receiver with this voice need not get to be abreast of the log.
    fn skips(&self, own: u32, message: &Message) -> bool {
        let mine = message.id.voice.0 == own && !self.own_in_log();
        mine || !message.is_strict() || message.flags.has(Flags::REJECTED)
    }

    /// Gives a message the next place, on the word of this member.
    fn put_at_end(&mut self, seen: Seen, found: &mut Findings) {
        let room = self.members[seen.member].room;
        let id = self.rooms[room].messages[seen.ticket].id;
        let highest = self.voices[id.voice.0].as_ref().map_or(0, |voice| voice.placed);
        if id.seq < highest
            && let Some(fence) = self.later_of_sender(seen.member, seen.ticket)
        {
            // This member itself saw a later message of this sender first; the others need not
            // agree with it.
            self.out_of_order(seen, Class::Reorder, found);
            self.place(room, seen.ticket, Some(fence));
            self.take(seen);
            return;
        }
        self.rooms[room].messages[seen.ticket].flags.set(Flags::STRICT);
        self.place(room, seen.ticket, None);
        let end = self.rooms[room].log_end();
        self.rooms[room].strict_end = end;
        self.resolve_claims(seen, room, found);
        self.evaluate(seen, found);
    }

    /// Gives a message the next place in the log. With a fence: it is known to come before the
    /// message there, and nothing else is known.
    pub(super) fn place(&mut self, room: u32, ticket: u32, fence: Option<i64>) {
        let books = &mut self.rooms[room];
        let place = books.log_end();
        books.log.push_back(ticket);
        if let Some(fence) = fence {
            books.fences.insert(ticket, fence);
        }
        self.placed(room, ticket, place);
    }

    fn placed(&mut self, room: u32, ticket: u32, place: i64) {
        let books = &mut self.rooms[room];
        let message = &mut books.messages[ticket];
        message.place = place;
        let (id, strict) = (message.id, message.is_strict());
        if !books.waiting.is_empty() {
            self.awake.extend(books.waiting.remove(&ticket).unwrap_or_default());
        }
        if strict && let Some(voice) = &mut self.voices[id.voice.0] {
            voice.placed = voice.placed.max(id.seq + 1);
            voice.strict += 1;
        }
        self.settled_own(id.voice.0);
    }

    /// A message of a voice waits for no place any more; its sender may be free now.
    pub(super) fn settled_own(&mut self, voice: u32) {
        let Some(Some(own)) = self.voices.find(voice) else { return };
        let member = own.member;
        if !self.members[member].pending.is_empty() && self.is_free(voice) {
            self.awake.push(member);
        }
    }

    /// Gives all waiting messages of a member places that prove nothing.
    fn force(&mut self, seen: Seen, found: &mut Findings) {
        let pending = std::mem::take(&mut self.members[seen.member].pending);
        self.members[seen.member].waits = NONE;
        let room = self.members[seen.member].room;
        for ticket in pending {
            if !self.rooms[room].messages[ticket].is_placed() {
                self.place(room, ticket, None);
                self.take_claims(room, ticket, seen.at);
            }
            self.evaluate(Seen { ticket, ..seen }, found);
        }
    }

    /// The waiting messages of a newcomer come right before the begin of the log.
    fn joins_front(&self, member: u32, place: i64) -> bool {
        let state = &self.members[member];
        let books = &self.rooms[state.room];
        let meets = (books.log_start..place).all(|earlier| {
            let ticket = books.at(earlier);
            ticket.is_none_or(|t| self.skips(state.voice, &books.messages[t]))
        });
        let strict = books.at(place).is_some_and(|t| books.messages[t].is_strict());
        let fresh = state.pending.iter().all(|t| !books.messages[*t].is_placed());
        // An own message without a place may belong between those that would become neighbours.
        let own = self.voices.find(state.voice).and_then(Option::as_ref);
        let free = self.own_in_log() || own.is_none_or(|own| own.strict == own.tickets.len());
        meets && strict && fresh && free && self.keeps_senders_order(member)
    }

    /// Whether the waiting messages of a member can all come before the log.
    fn keeps_senders_order(&self, member: u32) -> bool {
        let state = &self.members[member];
        let messages = &self.rooms[state.room].messages;
        let ids: Vec<_> = state.pending.iter().map(|ticket| messages[*ticket].id).collect();
        let placed_before = |id: MessageId| {
            let voice = self.voices.find(id.voice.0).and_then(Option::as_ref);
            let last = voice.and_then(|voice| voice.placed.checked_sub(1));
            last.is_some_and(|seq| self.precedes(MessageId { seq, ..id }, id))
        };
        ids.iter().enumerate().all(|(n, id)| {
            !placed_before(*id) && !ids.iter().take(n).any(|other| self.precedes(*id, *other))
        })
    }

    fn put_in_front(&mut self, seen: Seen, place: i64) {
        let state = &mut self.members[seen.member];
        let room = state.room;
        let pending = std::mem::take(&mut state.pending);
        state.waits = NONE;
        for ticket in pending.into_iter().rev() {
            let books = &mut self.rooms[room];
            books.log_start -= 1;
            books.log.push_front(ticket);
            let front = books.log_start;
            books.messages[ticket].flags.set(Flags::STRICT);
            self.placed(room, ticket, front);
            self.take_claims(room, ticket, seen.at);
            self.members[seen.member].track.start = front;
        }
        let state = &mut self.members[seen.member];
        state.track.next = place;
        state.strict_next = place;
    }

    /// Lets those go on whose waiting messages may have got a place.
    pub(super) fn wake(&mut self, at: Time, found: &mut Findings) {
        while let Some(member) = self.awake.pop() {
            self.members[member].waits = NONE;
            while let Some(ticket) = self.members[member].pending.front().copied() {
                let state = &self.members[member];
                let seen = Seen { at, member, ticket };
                let anchored = state.track.start != NOWHERE;
                if self.rooms[state.room].messages[ticket].is_placed() {
                    self.members[member].pending.pop_front();
                    self.evaluate(seen, found);
                } else if anchored && self.may_place(member, ticket) {
                    self.members[member].pending.pop_front();
                    self.put_at_end(seen, found);
                } else {
                    self.wait_for(member, ticket);
                    break;
                }
            }
        }
    }
}
