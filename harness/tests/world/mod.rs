//! A modelled server and its clients: random histories as observations, correct but for one fault.
#![expect(clippy::indexing_slicing, reason = "a model of a test, with numbers of its own making")]

mod faults;
pub(crate) mod house;
pub(crate) mod pulse;
mod server;

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
        messages: true,
        manners: true,
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
    /// A message comes some messages later.
    Later,
    Phantom,
    Sender,
    Corrupt,
    Leak,
    Early,
    MissFirst,
    Late,
    /// The frame names another sender.
    OtherName,
    /// The frame names another room.
    OtherRoom,
    /// A text of another run, or of nobody.
    Foreign,
    Unsaid,
    /// The sender's own copy is left out, or comes once more.
    NoEcho,
    EchoTwice,
    /// A message is refused, and sent round all the same.
    RefusedSent,
    /// A request to enter that is not confirmed has no effect.
    Deaf,
    /// Of what was missed while away, one is left out.
    Hole,
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
    /// The server refuses a message now and then.
    pub refuses: bool,
    /// Clients stop reading now and then.
    pub stalls: bool,
    /// Who suffered the fault may leave after it.
    pub roams: bool,
    /// How long it takes from one sight to the next, in microseconds.
    pub tick: u64,
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
    Refusal { id: MessageId },
    Stray { foreign: bool },
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
    reads: bool,
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
    /// Whose copy of which message names something else.
    lie: Option<(usize, MessageId)>,
}

fn hash_of(id: MessageId) -> u32 {
    id.voice.0.wrapping_mul(31).wrapping_add(id.seq)
}

impl World {
    pub(crate) fn new(shape: &Shape, seed: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let client = || Client {
            connected: true,
            reads: true,
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
        let countdown =
            rng.random_range(3..60.min(4 + u32::try_from(shape.steps).unwrap_or(0) / 8));
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
            lie: None,
        }
    }

    /// Plays to the end; nothing if the fault found no occasion.
    pub(crate) fn play(mut self) -> Option<Vec<Observation>> {
        self.run();
        let fine = self.shape.fault == Fault::None || (self.done && self.is_witnessed());
        fine.then_some(self.history)
    }

    /// Plays to the end, whether the fault found an occasion or not.
    pub(crate) fn play_on(mut self) -> Vec<Observation> {
        self.run();
        self.history
    }

    fn run(&mut self) {
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
        self.resume();
        self.drop_last();
        self.drain();
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
        self.now += self.shape.tick;
        let client = ClientId(u32::try_from(client).expect("small numbers"));
        self.history.push(Observation { at: Time(self.now), client, what });
    }

    fn room_id(room: usize) -> RoomId {
        RoomId(u32::try_from(room).expect("small numbers"))
    }

    /// The victim stays where it is once the fault has come: only then the fault is certain.
    fn stays(&self, client: usize) -> bool {
        let anywhere = matches!(self.shape.fault, Fault::None | Fault::Late | Fault::Hole);
        client == self.victim && !anywhere && !self.shape.roams
    }

    fn act(&mut self, client: usize) {
        let room = self.rng.random_range(0..self.shape.rooms);
        let id = Self::room_id(room);
        if !self.clients[client].connected {
            self.clients[client].connected = true;
            return self.see(client, What::Opened { connection: None });
        }
        if !self.clients[client].reads && self.rng.random_range(0..4) == 0 {
            return self.stall(client);
        }
        match (self.clients[client].rooms[room], self.rng.random_range(0..40)) {
            (Stand::Out, 0..8) => self.join(client, room),
            (Stand::In, 0) if !self.stays(client) => {
                self.clients[client].rooms[room] = Stand::Going;
                self.see(client, What::Leaving { room: id });
                self.clients[client].out.push_back(Request::Leave { room });
            }
            (Stand::In, 1) if !self.stays(client) => self.close(client),
            (Stand::In, 2) if self.shape.stalls => self.stall(client),
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
        if !self.shape.confirmed && self.shape.tick > 1_000 {
            // In time for those who count on it after two seconds.
            self.serve_out(client);
        }
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
        state.reads = true;
        state.out.clear();
        state.inbox.clear();
        state.staged.clear();
        state.held = None;
    }

    fn read(&mut self, client: usize) {
        if !self.clients[client].reads {
            return;
        }
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
            Frame::Refusal { id } => {
                self.see(client, What::Rejected { message: id, code: "no".into() });
            }
            Frame::Stray { foreign } => {
                self.see(client, What::Stray { room: None, text: "?".into(), foreign });
            }
            Frame::Message { id, room, place, hash } => {
                if place != usize::MAX {
                    self.clients[client].read[room] = place + 1;
                }
                let sender = id.voice.0 as usize / self.shape.rooms;
                let from = Who::Client(ClientId(u32::try_from(sender).expect("small numbers")));
                let named = Some(Self::room_id(room));
                let mut what =
                    What::Received { message: id, room: named, from, hash, number: None };
                if self.lie == Some((client, id)) {
                    self.tell_a_lie(client, &mut what);
                }
                self.see(client, what);
            }
        }
    }

    fn drain(&mut self) {
        for client in 0..self.clients.len() {
            self.read_all(client);
        }
    }

    /// Reads all that is there; nothing if it does not read at all.
    fn read_all(&mut self, client: usize) {
        while self.clients[client].reads && !self.clients[client].inbox.is_empty() {
            self.read(client);
        }
    }

    /// Stops reading, or begins again.
    fn stall(&mut self, client: usize) {
        let reads = !self.clients[client].reads;
        self.clients[client].reads = reads;
        self.see(client, What::Reads(reads));
    }

    /// At the end some of those who had stopped read on.
    fn resume(&mut self) {
        for client in 0..self.clients.len() {
            let goes_on = self.clients[client].connected && self.rng.random_bool(0.7);
            if !self.clients[client].reads && goes_on {
                self.stall(client);
            }
        }
    }
}
