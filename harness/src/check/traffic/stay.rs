//! Stays: how members come, go, break off and come back.

use crate::check::Findings;
use crate::observe::{ClientId, RoomId, Time};

use super::Traffic;
use super::state::{Flags, NONE, Stand};
use super::track::NOWHERE;

impl Traffic {
    /// A member begins afresh: what it got before is of an earlier stay.
    pub(super) fn new_stay(&mut self, member: u32) {
        self.stays += 1;
        let state = &mut self.members[member];
        state.stay = self.stays;
        state.before = std::mem::take(&mut state.track);
        state.strict_next = NOWHERE;
        state.last = NONE;
        state.pending.clear();
        state.waits = NONE;
        state.faulty = false;
        state.resumes = false;
        state.rejoins = false;
    }

    pub(super) fn joining(&mut self, client: ClientId, room: RoomId, since: bool) {
        let member = self.member(client, room);
        self.joins += 1;
        let early = self.joins;
        let state = &mut self.members[member];
        match state.stand {
            Stand::Inside => return,
            // Until it hears that it has left, messages of the stay before may still come.
            Stand::Leaving => {
                state.rejoins = true;
                state.early_next = 0;
            }
            _ if since => {
                state.resumes = true;
                state.early_next = early;
            }
            _ => {
                state.early = early;
                state.early_next = early;
                self.new_stay(member);
            }
        }
        self.members[member].stand = Stand::Joining;
        self.members[member].asks = true;
    }

    pub(super) fn refused(&mut self, client: ClientId, room: Option<RoomId>) {
        self.client(client).joins_somewhere = false;
        let Some(member) = room.and_then(|room| self.member_of(client, room.0)) else { return };
        let state = &mut self.members[member];
        state.asks = false;
        if state.stand == Stand::Joining {
            state.stand = Stand::Outside;
        }
    }

    pub(super) fn leaving(&mut self, client: ClientId, room: RoomId) {
        let Some(member) = self.member_of(client, room.0) else { return };
        self.begin_leaving(member);
    }

    pub(super) fn closing(&mut self, client: ClientId) {
        let members = self.client(client).members.clone();
        for member in members {
            self.begin_leaving(member);
        }
    }

    fn begin_leaving(&mut self, member: u32) {
        let state = &mut self.members[member];
        if matches!(state.stand, Stand::Inside | Stand::Joining) {
            state.stand = Stand::Leaving;
            self.stop_owing(member);
        }
    }

    pub(super) fn exited(
        &mut self,
        at: Time,
        client: ClientId,
        room: RoomId,
        found: &mut Findings,
    ) {
        let Some(member) = self.member_of(client, room.0) else { return };
        self.stop_owing(member);
        self.holes(at, member, u32::MAX, found);
        let state = &mut self.members[member];
        if state.stand == Stand::Joining && state.rejoins {
            self.new_stay(member);
        } else if state.stand != Stand::Joining {
            state.stand = Stand::Exited;
        }
    }

    pub(super) fn closed(&mut self, at: Time, client: ClientId, clean: bool, found: &mut Findings) {
        let state = self.client(client);
        state.joins_somewhere = false;
        // Whoever connects again reads.
        state.stuck = false;
        let members = state.members.clone();
        for member in members {
            let inside = matches!(self.members[member].stand, Stand::Inside | Stand::Leaving);
            self.stop_owing(member);
            if inside {
                self.holes(at, member, u32::MAX, found);
            }
            self.members[member].stand = Stand::Gone;
            self.members[member].asks = false;
            let voice = self.members[member].voice;
            self.doubt(voice);
            if let Some(Some(speaker)) = self.voices.find_mut(voice).filter(|_| !clean)
                && speaker.breaks.last() != Some(&speaker.tickets.len())
            {
                speaker.breaks.push(speaker.tickets.len());
            }
        }
    }

    pub(super) fn reads(&mut self, client: ClientId, reads: bool) {
        self.client(client).stuck = !reads;
        let members = self.client(client).members.clone();
        for member in members {
            if !reads {
                // Who does not read gets nothing: until it reads again nothing is owed.
                self.stop_owing(member);
            } else if self.may_be_owed(member) {
                self.begin_owing(member);
            }
        }
    }

    /// The connection of a voice has ended: what nobody has seen of it may never have arrived.
    fn doubt(&mut self, voice: u32) {
        let Some(Some(speaker)) = self.voices.find(voice) else { return };
        let (room, low, end) = (speaker.room, speaker.low, speaker.tickets.len());
        for seq in low..end {
            let Some(ticket) = self.ticket_at(voice, seq) else { continue };
            let message = &mut self.rooms[room].messages[ticket];
            if message.flags.has(Flags::ECHO_OWED) {
                message.flags.clear(Flags::ECHO_OWED);
                self.echoes -= 1;
            }
            let known = Flags::SEEN | Flags::ACKED | Flags::REJECTED | Flags::DOUBT;
            if message.flags.has(known) {
                continue;
            }
            message.flags.set(Flags::DOUBT);
            self.sums.owed -= u64::from(message.due);
            self.outstanding -= u64::from(message.due);
        }
        if let Some(Some(speaker)) = self.voices.find_mut(voice) {
            speaker.low = end;
        }
    }
}
