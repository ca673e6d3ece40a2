//! What the model server does with a request: correct, but for what `faults` does to it.

use super::*;

impl World {
    pub(super) fn remove(&mut self, client: usize, room: usize) {
        self.unfork(room);
        self.rooms[room].members.retain(|member| *member != client);
    }

    /// The server takes one request of a client.
    pub(super) fn serve(&mut self, client: usize) {
        let Some(request) = self.clients[client].out.pop_front() else { return };
        match request {
            Request::Join { room, since } => self.admit(client, room, since),
            Request::Leave { room } => {
                self.release_all(client);
                self.remove(client, room);
                if let Some(held) = self.clients[client].held.take() {
                    self.clients[client].inbox.push_back(held);
                }
                self.clients[client].inbox.push_back(Frame::Exited { room });
                if self.shape.fault == Fault::Late && client == self.victim {
                    let last = self.rooms[room].log.last().copied();
                    if let Some((id, place, hash)) = last.filter(|_| !self.done) {
                        self.clients[client].inbox.push_back(Frame::Message {
                            id,
                            room,
                            place,
                            hash,
                        });
                        // Read at once: had it asked to enter again, it might be of that stay.
                        self.read_all(client);
                        self.done = self.clients[client].reads;
                    }
                }
            }
            Request::Say { id, room } => {
                if self.refused(client, id) {
                    return;
                }
                if self.shape.acks {
                    self.clients[client].inbox.push_back(Frame::Ack { id });
                }
                match self.shape.echo {
                    Echo::Apart => {
                        let frame =
                            Frame::Message { id, room, place: usize::MAX, hash: hash_of(id) };
                        self.echo(client, frame);
                        self.rooms[room].queued.push_back(id);
                    }
                    _ => self.broadcast(id, room),
                }
            }
        }
    }

    pub(super) fn admit(&mut self, client: usize, room: usize, since: Option<usize>) {
        self.unfork(room);
        let recovered = since.map(|_| self.rng.random_bool(0.7));
        if self.shape.confirmed {
            self.clients[client].inbox.push_back(Frame::Entered { room, recovered });
        }
        if let (Some(from), Some(true)) = (since, recovered) {
            self.replay(client, room, from);
        }
        if self.shape.fault == Fault::Early && client == self.victim && !self.done {
            let own = |id: &MessageId| id.voice.0 as usize / self.shape.rooms == client;
            let others = self.rooms[room].members.len();
            let log = &self.rooms[room].log;
            let got = |id: &MessageId| {
                self.history.iter().any(|seen| {
                    seen.client.0 as usize != client
                        && matches!(seen.what, What::Received { message, .. } if message == *id)
                })
            };
            let first =
                log.iter().take(self.known).rev().find(|(id, ..)| !own(id) && got(id)).copied();
            if let Some((id, place, hash)) = first.filter(|_| others > 1 && log.len() > 3) {
                self.clients[client].inbox.push_back(Frame::Message { id, room, place, hash });
                self.done = true;
            }
        }
        if self.shape.fault == Fault::Deaf && client == self.victim && !self.done {
            self.done = true;
            return;
        }
        self.rooms[room].members.push(client);
    }

    /// Whether the server refuses a message; by the fault it sends it round all the same.
    fn refused(&mut self, client: usize, id: MessageId) -> bool {
        let wrong = self.shape.fault == Fault::RefusedSent && client == self.victim && !self.done;
        let refuses = wrong || (self.shape.refuses && self.rng.random_range(0..20) == 0);
        if !refuses {
            return false;
        }
        self.clients[client].inbox.push_back(Frame::Refusal { id });
        self.done |= wrong;
        !wrong
    }

    pub(super) fn broadcast_one(&mut self) {
        let room = self.rng.random_range(0..self.shape.rooms);
        if let Some(id) = self.rooms[room].queued.pop_front() {
            self.broadcast(id, room);
        }
    }

    pub(super) fn broadcast(&mut self, id: MessageId, room: usize) {
        let sender = id.voice.0 as usize / self.shape.rooms;
        let place = self.rooms[room].log.len();
        let hash = hash_of(id);
        self.rooms[room].log.push((id, place, hash));
        let frame = Frame::Message { id, room, place, hash };
        let forked = self.fork(frame, sender);
        let members = self.rooms[room].members.clone();
        for member in members {
            if member == sender {
                if self.shape.echo != Echo::Apart {
                    self.echo(sender, frame);
                }
                continue;
            }
            if forked
                && self
                    .forked
                    .as_ref()
                    .is_some_and(|(.., held)| held.iter().any(|(m, _)| *m == member))
            {
                continue;
            }
            self.deliver(member, frame, sender);
        }
        if self.shape.fault == Fault::Fork && !forked {
            self.unfork_all();
        }
    }

    pub(super) fn deliver(&mut self, to: usize, frame: Frame, sender: usize) {
        if to == self.victim && sender != to && !self.done && self.harmed(to, frame) {
            return;
        }
        if sender == to
            && let Some(held) = self.clients[to].held.take()
        {
            self.clients[to].inbox.push_back(held);
        }
        if self.shape.ordering == Ordering::PerSender && self.shape.fault == Fault::None {
            self.clients[to].staged.push(frame);
        } else {
            self.clients[to].inbox.push_back(frame);
        }
        if to == self.victim && sender != to {
            self.repeat(to);
        }
    }

    /// Takes all that a client has asked.
    pub(super) fn serve_out(&mut self, client: usize) {
        while !self.clients[client].out.is_empty() {
            self.serve(client);
        }
    }

    pub(super) fn serve_all(&mut self) {
        for client in 0..self.clients.len() {
            self.serve_out(client);
        }
        for room in 0..self.shape.rooms {
            while let Some(id) = self.rooms[room].queued.pop_front() {
                self.broadcast(id, room);
            }
        }
        self.unfork_all();
        for client in 0..self.clients.len() {
            self.release_all(client);
            if let Some(held) = self.clients[client].held.take() {
                self.clients[client].inbox.push_back(held);
            }
        }
        if let Some((_, frame)) = self.again.take() {
            self.clients[self.victim].inbox.push_back(frame);
        }
    }
}
