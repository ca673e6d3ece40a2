//! What the model server does wrong, once, when it is told to.

use super::*;

impl World {
    /// Holds a message back at half of the members, so that they get the next one first.
    pub(super) fn fork(&mut self, frame: Frame, sender: usize) -> bool {
        let Frame::Message { id, room, .. } = frame else { return false };
        if self.shape.fault != Fault::Fork || self.done {
            return false;
        }
        if let Some((held_room, first, held)) = &self.forked {
            if *held_room != room {
                return false;
            }
            let before = first.voice.0 as usize / self.shape.rooms;
            let whole = self.rooms[room].members.iter().filter(|m| **m != sender && **m != before);
            let (with, without): (Vec<&usize>, Vec<&usize>) =
                whole.partition(|m| held.iter().any(|(h, _)| h == *m));
            if before != sender && !with.is_empty() && !without.is_empty() {
                self.done = true;
            }
            if !self.done {
                self.unfork(room);
            }
            return false;
        }
        self.countdown = self.countdown.saturating_sub(1);
        let members: Vec<_> =
            self.rooms[room].members.iter().copied().filter(|m| *m != sender).collect();
        if self.countdown > 0 || members.len() < 4 {
            return false;
        }
        let held = members.into_iter().step_by(2).map(|m| (m, frame)).collect();
        self.forked = Some((room, id, held));
        true
    }

    pub(super) fn unfork(&mut self, room: usize) {
        if self.forked.as_ref().is_some_and(|(held, ..)| *held == room) {
            self.unfork_all();
        }
    }

    pub(super) fn unfork_all(&mut self) {
        for (member, frame) in self.forked.take().map(|(.., held)| held).unwrap_or_default() {
            self.clients[member].inbox.push_back(frame);
        }
    }

    pub(super) fn repeat(&mut self, to: usize) {
        let Some((wait, frame)) = self.again.take() else { return };
        if wait == 0 {
            self.clients[to].inbox.push_back(frame);
        } else {
            self.again = Some((wait - 1, frame));
        }
    }

    /// Does the fault to a message on its way to the victim; says whether that is all.
    pub(super) fn harmed(&mut self, to: usize, frame: Frame) -> bool {
        let Frame::Message { id, room, place, .. } = frame else { return false };
        if self.shape.fault == Fault::MissFirst {
            return self.miss_first(id, room);
        }
        self.countdown = self.countdown.saturating_sub(1);
        let owed = self.tickets[&(id.voice.0, id.seq)] >= self.clients[to].from[room];
        let ready = self.countdown == 0 && self.clients[to].rooms[room] == Stand::In && owed;
        if matches!(self.shape.fault, Fault::SwapSame | Fault::SwapOther) {
            return self.swap(to, frame, ready);
        }
        if !ready {
            return false;
        }
        let inbox = &mut self.clients[to].inbox;
        match self.shape.fault {
            Fault::OtherName | Fault::OtherRoom => {
                self.lie = Some((to, id));
                inbox.push_back(frame);
            }
            Fault::Foreign => inbox.extend([frame, Frame::Stray { foreign: true }]),
            Fault::Unsaid => inbox.extend([Frame::Stray { foreign: false }, frame]),
            Fault::Drop => {}
            Fault::Twice => inbox.extend([frame, frame]),
            Fault::TwiceLate => {
                inbox.push_back(frame);
                self.again = Some((3, frame));
            }
            Fault::Later => self.again = Some((3, frame)),
            Fault::Phantom => {
                let id = MessageId { seq: id.seq + 1_000, ..id };
                inbox.extend([frame, Frame::Message { id, room, place, hash: 0 }]);
            }
            Fault::Sender => {
                let id = MessageId { voice: VoiceId(id.voice.0 ^ 0x4000), ..id };
                inbox.push_back(Frame::Message { id, room, place, hash: 0 });
            }
            Fault::Corrupt => {
                inbox.push_back(Frame::Message { id, room, place, hash: !hash_of(id) });
            }
            Fault::Leak => {
                inbox.push_back(frame);
                let other = (room + 1) % self.shape.rooms;
                let Some(&(id, place, hash)) = self.rooms[other].log.last() else { return true };
                let state = &self.clients[to];
                let own = id.voice.0 as usize / self.shape.rooms == to;
                // Who never asked to be in the other room cannot rightly hear of it.
                let never = !self.history.iter().any(|seen| {
                    seen.client.0 as usize == to
                        && matches!(seen.what, What::Joining { room: Some(r), .. } if r.0 as usize == other)
                });
                if own || state.rooms[other] != Stand::Out || !never {
                    return true;
                }
                self.clients[to].inbox.push_back(Frame::Message { id, room: other, place, hash });
                // Read at once: if it asked to enter meanwhile, nobody could tell.
                self.read_all(to);
            }
            _ => return false,
        }
        self.done = true;
        true
    }

    /// The frame names another sender or another room than the right one.
    pub(super) fn tell_a_lie(&mut self, client: usize, what: &mut What) {
        let What::Received { room, from, .. } = what else { return };
        self.lie = None;
        if self.shape.fault == Fault::OtherRoom {
            *room = Some(RoomId(90));
        } else {
            let other = u32::try_from(client).expect("small numbers");
            let named = *from == Who::Client(ClientId(other));
            *from = if named { Who::Stranger("x".into()) } else { Who::Client(ClientId(other)) };
        }
    }

    /// The sender's own copy, as it comes or does not.
    pub(super) fn echo(&mut self, sender: usize, frame: Frame) {
        let Frame::Message { room, .. } = frame else { return };
        let mine = sender == self.victim && !self.done;
        let wrong = mine && matches!(self.shape.fault, Fault::NoEcho | Fault::EchoTwice);
        let inside = self.clients[sender].rooms[room] == Stand::In;
        self.countdown = self.countdown.saturating_sub(u32::from(wrong));
        let wrong = wrong && inside && self.countdown == 0;
        let copies = match (self.shape.echo, wrong) {
            (Echo::Never, false) => 0,
            (Echo::Never, true) | (Echo::Once | Echo::Apart, false) => 1,
            (Echo::Once | Echo::Apart, true) if self.shape.fault == Fault::NoEcho => 0,
            (Echo::Once | Echo::Apart, true) => 2,
        };
        self.done |= wrong;
        for _ in 0..copies {
            self.deliver(sender, frame, sender);
        }
    }

    /// What was missed, as it is sent after a return: whole, but for the fault.
    pub(super) fn replay(&mut self, client: usize, room: usize, from: usize) {
        let mut missed = self.rooms[room].log[from..].to_vec();
        let own = |id: &MessageId| id.voice.0 as usize / self.shape.rooms == client;
        let faulty = self.shape.fault == Fault::Hole && !self.done;
        if faulty && let Some(at) = missed.iter().rposition(|(id, ..)| !own(id)) {
            missed.remove(at);
            self.done = true;
        }
        for (id, place, hash) in missed {
            self.clients[client].inbox.push_back(Frame::Message { id, room, place, hash });
        }
    }

    pub(super) fn swap(&mut self, to: usize, frame: Frame, ready: bool) -> bool {
        let Frame::Message { id, room, .. } = frame else { return false };
        let Some(held) = self.clients[to].held.take() else {
            if ready {
                self.clients[to].held = Some(frame);
            }
            return ready;
        };
        let Frame::Message { id: before, room: earlier, .. } = held else { return false };
        let same = before.voice == id.voice;
        let wanted = same == (self.shape.fault == Fault::SwapSame);
        if wanted && room == earlier {
            self.swapped = Some((before, id));
            self.clients[to].inbox.extend([frame, held]);
            self.done = true;
        } else {
            self.clients[to].inbox.push_back(held);
            self.clients[to].held = Some(frame);
        }
        true
    }

    pub(super) fn miss_first(&mut self, id: MessageId, room: usize) -> bool {
        let ticket = self.tickets[&(id.voice.0, id.seq)];
        let Some((skipped_room, from, left)) = self.skipping else { return false };
        if skipped_room != room || ticket < from {
            return false;
        }
        if left == 0 {
            self.done = true;
            return false;
        }
        self.skipping = Some((room, from, left - 1));
        true
    }

    /// Where only each sender's order is kept, the server lets out any sender's next message.
    pub(super) fn release(&mut self, client: usize) {
        let staged = &mut self.clients[client].staged;
        if staged.is_empty() {
            return;
        }
        let any = self.rng.random_range(0..staged.len());
        let voice = |frame: &Frame| match frame {
            Frame::Message { id, .. } => id.voice.0,
            _ => u32::MAX,
        };
        let wanted = voice(&staged[any]);
        let first = staged.iter().position(|frame| voice(frame) == wanted).expect("small numbers");
        let frame = staged.remove(first);
        self.clients[client].inbox.push_back(frame);
    }

    pub(super) fn release_all(&mut self, client: usize) {
        while !self.clients[client].staged.is_empty() {
            self.release(client);
        }
    }

    pub(super) fn drop_last(&mut self) {
        if self.shape.fault != Fault::DropLast {
            return;
        }
        let rooms = self.shape.rooms;
        let victim = self.victim;
        let state = &self.clients[victim];
        let from_others = |frame: &Frame| {
            let Frame::Message { id, room, .. } = frame else { return false };
            let owed = self.tickets[&(id.voice.0, id.seq)] >= state.from[*room];
            owed && state.rooms[*room] == Stand::In && id.voice.0 as usize / rooms != victim
        };
        let inbox = &self.clients[victim].inbox;
        // Behind an entry that is not read yet nothing is owed.
        if inbox.iter().any(|frame| matches!(frame, Frame::Entered { .. })) {
            return;
        }
        if let Some(last) = inbox.iter().rposition(from_others) {
            self.clients[victim].inbox.remove(last);
            self.done = true;
        }
    }
}
