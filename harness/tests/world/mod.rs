//! A modelled server and its clients: random histories as observations, correct but for one fault.
#![expect(clippy::indexing_slicing, reason = "a model of a test, with numbers of its own making")]

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use harness::observe::{
    ClientId, Ending, Entry, MessageId, Observation, RoomId, Time, VoiceId, What, Who,
};
use harness::plan::{ChecksPlan, Delivery, Echo, Level, Ordering};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

/// A plan that judges deliveries only.
pub(crate) fn plan() -> ChecksPlan {
    ChecksPlan {
        delivery: Delivery::ExactlyOnce,
        order: None,
        echo: None,
        membership: Level::Off,
        unknown_messages: Level::Off,
        presence: None,
        storage: false,
        heartbeat: None,
        recovery: false,
        slow: None,
    }
}

/// What the server does wrong, once.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Fault {
    None,
    SwapSame,
    SwapOther,
    Fork,
    Drop,
    DropLast,
    Twice,
    TwiceLate,
    Phantom,
    Sender,
    Corrupt,
    Leak,
    Early,
    MissFirst,
    Late,
}

/// What kind of history.
#[derive(Clone, Debug)]
pub(crate) struct Shape {
    pub ordering: Ordering,
    pub echo: Echo,
    pub clients: usize,
    /// The others only listen.
    pub speakers: usize,
    pub rooms: usize,
    pub steps: usize,
    pub confirmed: bool,
    pub acks: bool,
    pub lag: u32,
    pub recovers: bool,
    pub fault: Fault,
}

#[derive(Clone, Copy, Debug)]
enum Request {
    Join { room: usize, since: Option<usize> },
    Leave { room: usize },
    Say { id: MessageId, room: usize },
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Frame {
    Entered { room: usize, recovered: Option<bool> },
    Exited { room: usize },
    Message { id: MessageId, room: usize, place: usize, hash: u32 },
    Ack { id: MessageId },
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Stand {
    Out,
    Asking,
    In,
    Going,
}

struct Client {
    connected: bool,
    rooms: Vec<Stand>,
    /// The place after the last message read, by room.
    read: Vec<usize>,
    was_in: Vec<bool>,
    /// Owed from this ticket on, by room.
    from: Vec<u32>,
    out: VecDeque<Request>,
    inbox: VecDeque<Frame>,
    /// Messages on their way to this client by sender, where only each sender's order is kept.
    staged: Vec<Frame>,
    /// A message held back by the fault.
    held: Option<Frame>,
}

struct Room {
    members: Vec<usize>,
    log: Vec<(MessageId, usize, u32)>,
    /// Read by its sender's session, not yet told to the room.
    queued: VecDeque<MessageId>,
    tickets: u32,
}

/// The room, the message, and at whom it is held back.
type Forked = (usize, MessageId, Vec<(usize, Frame)>);

pub(crate) struct World {
    shape: Shape,
    rng: StdRng,
    now: u64,
    clients: Vec<Client>,
    rooms: Vec<Room>,
    /// Next number of each voice; a voice is client × rooms + room.
    seqs: Vec<u32>,
    tickets: BTreeMap<(u32, u32), u32>,
    history: Vec<Observation>,
    /// Who gets the fault.
    victim: usize,
    countdown: u32,
    /// Places of the room's log that everybody had when the victim asked to enter.
    known: usize,
    swapped: Option<(MessageId, MessageId)>,
    done: bool,
    /// Messages to leave out at the victim, from this ticket on.
    skipping: Option<(usize, u32, u32)>,
    again: Option<(u32, Frame)>,
    forked: Option<Forked>,
}

fn hash_of(id: MessageId) -> u32 {
    id.voice.0.wrapping_mul(31).wrapping_add(id.seq)
}

impl World {
    pub(crate) fn new(shape: &Shape, seed: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let client = || Client {
            connected: true,
            rooms: vec![Stand::Out; shape.rooms],
            read: vec![0; shape.rooms],
            was_in: vec![false; shape.rooms],
            from: vec![0; shape.rooms],
            out: VecDeque::new(),
            inbox: VecDeque::new(),
            staged: Vec::new(),
            held: None,
        };
        let room =
            || Room { members: Vec::new(), log: Vec::new(), queued: VecDeque::new(), tickets: 0 };
        let victim = rng.random_range(0..shape.clients);
        let countdown = rng.random_range(3..60);
        Self {
            clients: (0..shape.clients).map(|_| client()).collect(),
            rooms: (0..shape.rooms).map(|_| room()).collect(),
            seqs: vec![0; shape.clients * shape.rooms],
            tickets: BTreeMap::new(),
            history: Vec::new(),
            shape: shape.clone(),
            rng,
            now: 0,
            victim,
            countdown,
            known: 0,
            swapped: None,
            done: false,
            skipping: None,
            again: None,
            forked: None,
        }
    }

    /// Plays to the end; nothing if the fault found no occasion.
    pub(crate) fn play(mut self) -> Option<Vec<Observation>> {
        for client in 0..self.clients.len() {
            self.see(client, What::Opened { connection: None });
        }
        for _ in 0..self.shape.steps {
            let client = self.rng.random_range(0..self.clients.len());
            match self.rng.random_range(0..10 + self.shape.lag) {
                0..5 => self.act(client),
                5..8 => self.serve(client),
                8 => self.release(client),
                9 => self.broadcast_one(),
                _ => self.read(client),
            }
        }
        self.serve_all();
        self.drop_last();
        self.drain();
        let fine = self.shape.fault == Fault::None || (self.done && self.is_witnessed());
        fine.then_some(self.history)
    }

    /// Two messages in another order are a fault only if somebody else got them in theirs.
    fn is_witnessed(&self) -> bool {
        let Some((first, second)) = self.swapped.filter(|(a, b)| a.voice != b.voice) else {
            return true;
        };
        (0..self.clients.len()).filter(|client| *client != self.victim).any(|client| {
            let got = |id: MessageId| {
                self.history.iter().position(|seen| {
                    seen.client.0 as usize == client
                        && matches!(seen.what, What::Received { message, .. } if message == id)
                        && (self.shape.echo == Echo::Once
                            || id.voice.0 as usize / self.shape.rooms != client)
                })
            };
            got(first).zip(got(second)).is_some_and(|(first, second)| first < second)
        })
    }

    fn see(&mut self, client: usize, what: What) {
        self.now += 10;
        let client = ClientId(u32::try_from(client).expect("small numbers"));
        self.history.push(Observation { at: Time(self.now), client, what });
    }

    fn room_id(room: usize) -> RoomId {
        RoomId(u32::try_from(room).expect("small numbers"))
    }

    /// The victim stays where it is once the fault has come: only then the fault is certain.
    fn stays(&self, client: usize) -> bool {
        client == self.victim && self.shape.fault != Fault::None && self.shape.fault != Fault::Late
    }

    fn act(&mut self, client: usize) {
        let room = self.rng.random_range(0..self.shape.rooms);
        let id = Self::room_id(room);
        if !self.clients[client].connected {
            self.clients[client].connected = true;
            return self.see(client, What::Opened { connection: None });
        }
        match (self.clients[client].rooms[room], self.rng.random_range(0..40)) {
            (Stand::Out, 0..8) => self.join(client, room),
            (Stand::In, 0) if !self.stays(client) => {
                self.clients[client].rooms[room] = Stand::Going;
                self.see(client, What::Leaving { room: id });
                self.clients[client].out.push_back(Request::Leave { room });
            }
            (Stand::In, 1) if !self.stays(client) => self.close(client),
            (Stand::In, _) if client < self.shape.speakers => self.say(client, room),
            _ => {}
        }
    }

    fn join(&mut self, client: usize, room: usize) {
        let fault = self.shape.fault;
        let early = fault == Fault::Early && client == self.victim && !self.done;
        if early {
            self.serve_all();
            self.drain();
            self.known = self.rooms[room].log.len();
        }
        let recovers = self.shape.recovers && self.clients[client].was_in[room];
        let since = recovers && self.rng.random_bool(0.7);
        let state = &mut self.clients[client];
        let from = since.then_some(state.read[room]);
        state.rooms[room] = Stand::Asking;
        state.was_in[room] = false;
        let id = Self::room_id(room);
        self.see(client, What::Joining { room: Some(id), since });
        if !self.shape.confirmed {
            self.clients[client].rooms[room] = Stand::In;
            self.entered(client, room, None);
        }
        self.clients[client].out.push_back(Request::Join { room, since: from });
    }

    fn entered(&mut self, client: usize, room: usize, recovered: Option<bool>) {
        let entry = Entry {
            room: Self::room_id(room),
            confirmed: self.shape.confirmed,
            full: true,
            you: None,
            tickets: self.rooms[room].tickets,
            members: None,
            count: None,
            epoch: None,
            number: None,
            view: None,
            recovered,
            storage: None,
        };
        self.see(client, What::Entered(Box::new(entry)));
    }

    fn say(&mut self, client: usize, room: usize) {
        let voice = client * self.shape.rooms + room;
        let id = MessageId {
            voice: VoiceId(u32::try_from(voice).expect("small numbers")),
            seq: self.seqs[voice],
        };
        self.seqs[voice] += 1;
        let ticket = self.rooms[room].tickets;
        self.rooms[room].tickets += 1;
        self.tickets.insert((id.voice.0, id.seq), ticket);
        let intended = Time(self.now);
        let what = What::Sending {
            message: id,
            room: Self::room_id(room),
            ticket,
            intended,
            hash: hash_of(id),
        };
        self.see(client, what);
        self.clients[client].out.push_back(Request::Say { id, room });
    }

    fn close(&mut self, client: usize) {
        let polite = self.rng.random_bool(0.3);
        if polite {
            self.see(client, What::Closing { abrupt: false });
            while !self.clients[client].out.is_empty() {
                self.serve(client);
            }
            while self.rng.random_bool(0.5) {
                self.read(client);
            }
        }
        // What is still under way may or may not reach the server.
        while self.rng.random_bool(0.5) {
            self.serve(client);
        }
        let reason: Arc<str> = "asked".into();
        self.see(client, What::Closed(Ending { asked: true, code: None, reason, clean: polite }));
        for room in 0..self.shape.rooms {
            self.remove(client, room);
            let state = &mut self.clients[client];
            state.was_in[room] = state.rooms[room] == Stand::In && self.shape.confirmed;
            state.rooms[room] = Stand::Out;
        }
        let state = &mut self.clients[client];
        state.connected = false;
        state.out.clear();
        state.inbox.clear();
        state.staged.clear();
        state.held = None;
    }

    fn remove(&mut self, client: usize, room: usize) {
        self.unfork(room);
        self.rooms[room].members.retain(|member| *member != client);
    }

    /// The server takes one request of a client.
    fn serve(&mut self, client: usize) {
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
                        while !self.clients[client].inbox.is_empty() {
                            self.read(client);
                        }
                        self.done = true;
                    }
                }
            }
            Request::Say { id, room } => {
                if self.shape.acks {
                    self.clients[client].inbox.push_back(Frame::Ack { id });
                }
                match self.shape.echo {
                    Echo::Apart => {
                        let frame =
                            Frame::Message { id, room, place: usize::MAX, hash: hash_of(id) };
                        self.clients[client].inbox.push_back(frame);
                        self.rooms[room].queued.push_back(id);
                    }
                    _ => self.broadcast(id, room),
                }
            }
        }
    }

    fn admit(&mut self, client: usize, room: usize, since: Option<usize>) {
        self.unfork(room);
        let recovered = since.map(|_| self.rng.random_bool(0.7));
        if self.shape.confirmed {
            self.clients[client].inbox.push_back(Frame::Entered { room, recovered });
        }
        if let (Some(from), Some(true)) = (since, recovered) {
            let missed: Vec<_> = self.rooms[room].log[from..].to_vec();
            for (id, place, hash) in missed {
                self.clients[client].inbox.push_back(Frame::Message { id, room, place, hash });
            }
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
        self.rooms[room].members.push(client);
    }

    fn broadcast_one(&mut self) {
        let room = self.rng.random_range(0..self.shape.rooms);
        if let Some(id) = self.rooms[room].queued.pop_front() {
            self.broadcast(id, room);
        }
    }

    fn broadcast(&mut self, id: MessageId, room: usize) {
        let sender = id.voice.0 as usize / self.shape.rooms;
        let place = self.rooms[room].log.len();
        let hash = hash_of(id);
        self.rooms[room].log.push((id, place, hash));
        let frame = Frame::Message { id, room, place, hash };
        let forked = self.fork(frame, sender);
        let members = self.rooms[room].members.clone();
        for member in members {
            if member == sender && self.shape.echo != Echo::Once {
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

    /// Holds a message back at half of the members, so that they get the next one first.
    fn fork(&mut self, frame: Frame, sender: usize) -> bool {
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

    fn unfork(&mut self, room: usize) {
        if self.forked.as_ref().is_some_and(|(held, ..)| *held == room) {
            self.unfork_all();
        }
    }

    fn unfork_all(&mut self) {
        for (member, frame) in self.forked.take().map(|(.., held)| held).unwrap_or_default() {
            self.clients[member].inbox.push_back(frame);
        }
    }

    fn deliver(&mut self, to: usize, frame: Frame, sender: usize) {
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

    fn repeat(&mut self, to: usize) {
        let Some((wait, frame)) = self.again.take() else { return };
        if wait == 0 {
            self.clients[to].inbox.push_back(frame);
        } else {
            self.again = Some((wait - 1, frame));
        }
    }

    /// Does the fault to a message on its way to the victim; says whether that is all.
    fn harmed(&mut self, to: usize, frame: Frame) -> bool {
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
            Fault::Drop => {}
            Fault::Twice => inbox.extend([frame, frame]),
            Fault::TwiceLate => {
                inbox.push_back(frame);
                self.again = Some((3, frame));
            }
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
                while !self.clients[to].inbox.is_empty() {
                    self.read(to);
                }
            }
            _ => return false,
        }
        self.done = true;
        true
    }

    fn swap(&mut self, to: usize, frame: Frame, ready: bool) -> bool {
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

    fn miss_first(&mut self, id: MessageId, room: usize) -> bool {
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
    fn release(&mut self, client: usize) {
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

    fn release_all(&mut self, client: usize) {
        while !self.clients[client].staged.is_empty() {
            self.release(client);
        }
    }

    fn read(&mut self, client: usize) {
        let Some(frame) = self.clients[client].inbox.pop_front() else { return };
        match frame {
            Frame::Entered { room, recovered } => {
                self.clients[client].rooms[room] = Stand::In;
                self.clients[client].from[room] = self.rooms[room].tickets;
                self.entered(client, room, recovered);
                if recovered != Some(true) {
                    self.clients[client].read[room] = self.rooms[room].log.len();
                }
                if client == self.victim
                    && self.shape.fault == Fault::MissFirst
                    && self.skipping.is_none()
                {
                    self.skipping = Some((room, self.rooms[room].tickets, 1 + self.countdown % 3));
                }
            }
            Frame::Exited { room } => {
                self.clients[client].rooms[room] = Stand::Out;
                self.see(client, What::Exited { room: Self::room_id(room) });
            }
            Frame::Ack { id } => self.see(client, What::Acked { message: id, number: None }),
            Frame::Message { id, room, place, hash } => {
                if place != usize::MAX {
                    self.clients[client].read[room] = place + 1;
                }
                let sender = id.voice.0 as usize / self.shape.rooms;
                let from = Who::Client(ClientId(u32::try_from(sender).expect("small numbers")));
                let named = Some(Self::room_id(room));
                let what = What::Received { message: id, room: named, from, hash, number: None };
                self.see(client, what);
            }
        }
    }

    fn serve_all(&mut self) {
        for client in 0..self.clients.len() {
            while !self.clients[client].out.is_empty() {
                self.serve(client);
            }
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

    fn drop_last(&mut self) {
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

    fn drain(&mut self) {
        for client in 0..self.clients.len() {
            while !self.clients[client].inbox.is_empty() {
                self.read(client);
            }
        }
    }
}
