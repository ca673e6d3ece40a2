//! Who contradicts the log: messages that somebody got before others which have a place already.

use crate::check::{Class, Findings};
use crate::observe::{MessageId, Time};

use super::Traffic;
use super::log::{SENDER_REACH, Seen};
use super::state::{Claim, NONE};

impl Traffic {
    /// Those who said that they got a message before another: the log says otherwise.
    pub(super) fn resolve_claims(&mut self, seen: Seen, room: u32, found: &mut Findings) {
        let books = &mut self.rooms[room];
        if books.claims.is_empty() {
            return;
        }
        for claim in books.claims.remove(&seen.ticket).unwrap_or_default() {
            let Claim { member, stay, fence, along } = claim;
            let here = Seen { member, ..seen };
            let goes_on = self.members[member].stay == stay;
            if goes_on {
                self.take(here);
            }
            let class = if goes_on {
                self.claim_class(member, seen.ticket, fence, &along)
            } else {
                Class::Disorder
            };
            self.out_of_order(here, class, found);
        }
    }

    /// Whether a member that got a message too soon got an earlier one of its sender after it.
    fn claim_class(&self, member: u32, ticket: u32, fence: i64, along: &[u32]) -> Class {
        let books = &self.rooms[self.members[member].room];
        let id = books.messages[ticket].id;
        let lowest = id.seq.saturating_sub(SENDER_REACH);
        let after = |seq: u32| {
            let before = MessageId { seq, ..id };
            if !self.precedes(before, id) {
                return false;
            }
            let earlier = self.ticket_at(id.voice.0, seq);
            // A place behind the fence says nothing of what came along with it.
            let behind = |t: u32| books.messages[t].place >= fence && !along.contains(&t);
            earlier.is_some_and(|t| behind(t) && self.has(member, t))
        };
        if (lowest..id.seq).any(after) { Class::Reorder } else { Class::Disorder }
    }

    pub(super) fn take_claims(&mut self, room: u32, ticket: u32, at: Time) {
        for claim in self.rooms[room].claims.remove(&ticket).unwrap_or_default() {
            if self.members[claim.member].stay == claim.stay {
                self.take(Seen { at, member: claim.member, ticket });
            }
        }
    }

    /// A stay ends while messages wait for a place: each sender's order can be judged even so.
    pub(super) fn judge_pending(&mut self, at: Time, member: u32, found: &mut Findings) {
        let pending = std::mem::take(&mut self.members[member].pending);
        let messages = &self.rooms[self.members[member].room].messages;
        let ids: Vec<_> = pending.iter().map(|ticket| messages[*ticket].id).collect();
        for ((n, id), ticket) in ids.iter().enumerate().zip(&pending) {
            let later = ids.iter().take(n).any(|other| self.precedes(*id, *other));
            let claimed = || self.has_claimed_later(member, *id);
            if later || claimed() || self.later_of_sender(member, *ticket).is_some() {
                self.out_of_order(Seen { at, member, ticket: *ticket }, Class::Reorder, found);
            }
        }
        self.members[member].pending = pending;
    }

    /// A later message of the same sender is among those that this member said it got before a place.
    fn has_claimed_later(&self, member: u32, id: MessageId) -> bool {
        let state = &self.members[member];
        let claims = &self.rooms[state.room].claims;
        let reach = id.seq + 1..=self.last_of_connection(id).min(id.seq + SENDER_REACH);
        let claimed = |ticket: u32| {
            claims.get(&ticket).is_some_and(|all| all.iter().any(|it| it.stay == state.stay))
        };
        !claims.is_empty() && reach.map_while(|seq| self.ticket_at(id.voice.0, seq)).any(claimed)
    }

    /// A message with a place has come while others without one were waiting: this member has got
    /// them before it.
    pub(super) fn claim_pending(&mut self, seen: Seen, place: i64, found: &mut Findings) {
        self.judge_pending(seen.at, seen.member, found);
        let messages = &self.rooms[self.members[seen.member].room].messages;
        let id = messages[seen.ticket].id;
        let later = |ticket: &u32| self.precedes(id, messages[*ticket].id);
        if self.members[seen.member].pending.iter().any(later) {
            self.out_of_order(seen, Class::Reorder, found);
        }
        let state = &mut self.members[seen.member];
        let room = state.room;
        let pending = std::mem::take(&mut state.pending);
        state.waits = NONE;
        let stay = state.stay;
        let strict = self.rooms[room].messages[seen.ticket].is_strict();
        for ticket in pending.iter().copied() {
            if self.rooms[room].messages[ticket].is_placed() {
                self.evaluate(Seen { ticket, ..seen }, found);
                continue;
            }
            let messages = &self.rooms[room].messages;
            let voice = messages[ticket].id.voice;
            let of_voice = |other: &u32| *other != ticket && messages[*other].id.voice == voice;
            let along = pending.iter().copied().filter(of_voice).collect();
            let claims = self.rooms[room].claims.entry(ticket).or_default();
            claims.push(Claim { member: seen.member, stay, fence: place, along });
            // One receiver may be wrong; two that say the same show that the log left it out.
            let backed = claims.iter().any(|claim| claim.member != seen.member);
            let believed = backed || !strict;
            let fence = claims.iter().map(|claim| claim.fence).min();
            if believed {
                self.place(room, ticket, fence.filter(|_| strict));
                self.take_claims(room, ticket, seen.at);
            }
        }
    }
}
