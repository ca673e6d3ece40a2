//! A modelled server with all that a room can have (members, views, presences, a storage, numbers,
//! a window of what was missed) and its clients: random histories, correct but for one fault.

mod faults;
mod server;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use harness::observe::{
    ClientId, Ending, Entry, MessageId, Observation, Person, RoomId, Time, VoiceId, What, Who,
};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::{Value, json};

pub(crate) use faults::{Deed, Kind, WRONGS};

/// What kind of history.
#[derive(Clone, Debug)]
pub(crate) struct Plot {
    pub clients: usize,
    pub rooms: usize,
    pub steps: usize,
    /// Frames that are read for one that is sent, more or less.
    pub lag: u32,
    /// What goes wrong, once.
    pub wrong: Option<(Kind, Deed)>,
}

#[derive(Clone, Debug)]
enum Ask {
    Join { room: usize, since: Option<(u32, u64)> },
    Leave { room: usize },
    Say { room: usize, id: MessageId },
    Present { room: usize, state: Arc<Value> },
    Store { room: usize, request: u32, ops: Arc<Value> },
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Stand {
    Out,
    Asking,
    In,
    Going,
}

#[derive(Debug)]
struct Client {
    connection: Option<u32>,
    rooms: Vec<Stand>,
    /// The life of the room and the last number that it knows, by room, to come back with.
    known: Vec<Option<(u32, u64)>>,
    out: VecDeque<Ask>,
    inbox: VecDeque<What>,
    reads: bool,
}

/// Somebody in a room, as the server has it.
#[derive(Clone, Debug)]
struct Member {
    connection: u32,
    client: usize,
    state: Arc<Value>,
}

/// One room, and which of its lives this is.
#[derive(Debug)]
struct Room {
    life: u32,
    members: Vec<Member>,
    view: u64,
    /// The events of this life; the number of one is its place, from 1.
    log: Vec<What>,
    version: u64,
    entries: BTreeMap<String, Value>,
    tickets: u32,
}

impl Room {
    fn new(life: u32) -> Self {
        let (members, log, entries) = (Vec::new(), Vec::new(), BTreeMap::new());
        Self { life, members, view: 0, log, version: 0, entries, tickets: 0 }
    }
}

/// The server, its clients, and what happened so far.
#[derive(Debug)]
pub(crate) struct House {
    plot: Plot,
    rng: StdRng,
    now: u64,
    clients: Vec<Client>,
    rooms: Vec<Room>,
    connections: u32,
    /// Connections that have ended, and what they had still asked: the server does not know yet.
    gone: Vec<(u32, usize, VecDeque<Ask>)>,
    seqs: Vec<u32>,
    /// States and writes are known by a number of their own.
    counter: u32,
    states: Vec<Arc<Value>>,
    history: Vec<Observation>,
    victim: usize,
    countdown: u32,
    done: bool,
    /// What is held back from the victim.
    held: Option<What>,
}

fn small(n: usize) -> u32 {
    u32::try_from(n).expect("small numbers")
}

fn id_of(client: usize) -> ClientId {
    ClientId(small(client))
}

fn room_of(room: usize) -> RoomId {
    RoomId(small(room))
}

fn who(client: usize) -> Who {
    Who::Client(id_of(client))
}

impl House {
    pub(crate) fn new(plot: &Plot, seed: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let client = |_| Client {
            connection: None,
            rooms: vec![Stand::Out; plot.rooms],
            known: vec![None; plot.rooms],
            out: VecDeque::new(),
            inbox: VecDeque::new(),
            reads: true,
        };
        let victim = rng.random_range(0..plot.clients);
        let countdown = rng.random_range(1..4);
        Self {
            clients: (0..plot.clients).map(client).collect(),
            rooms: (0..plot.rooms).map(|_| Room::new(1)).collect(),
            plot: plot.clone(),
            rng,
            now: 0,
            connections: 0,
            gone: Vec::new(),
            seqs: vec![0; plot.clients * plot.rooms],
            counter: 0,
            states: Vec::new(),
            history: Vec::new(),
            victim,
            countdown,
            done: false,
            held: None,
        }
    }

    /// Plays to the end; says whether the fault found its occasion.
    pub(crate) fn play(mut self) -> (Vec<Observation>, bool) {
        for client in 0..self.plot.clients {
            self.open(client);
        }
        for _ in 0..self.plot.steps {
            let client = self.rng.random_range(0..self.plot.clients);
            match self.rng.random_range(0..12 + self.plot.lag) {
                0..6 => self.act(client),
                6..10 => self.serve(client),
                10 => self.notice_one(),
                11 if self.rng.random_range(0..15) == 0 => self.pass_time(),
                11 if self.rng.random_range(0..30) == 0 => self.stand_still(),
                _ => self.read(client),
            }
        }
        for client in 0..self.plot.clients {
            if !self.clients[client].reads && self.rng.random_bool(0.7) {
                self.stall(client);
            }
        }
        self.settle();
        let fine = self.done || self.plot.wrong.is_none();
        (self.history, fine)
    }

    fn see(&mut self, client: usize, what: What) {
        self.now += self.rng.random_range(1..300);
        self.history.push(Observation { at: Time(self.now), client: id_of(client), what });
    }

    fn open(&mut self, client: usize) {
        self.connections += 1;
        self.clients[client].connection = Some(self.connections);
        let mut name = format!("conn-{}", self.connections);
        self.misname(client, &mut name);
        self.see(client, What::Opened { connection: Some(name.into()) });
    }

    fn act(&mut self, client: usize) {
        let room = self.rng.random_range(0..self.plot.rooms);
        if self.clients[client].connection.is_none() {
            return self.open(client);
        }
        if !self.clients[client].reads && self.rng.random_range(0..4) == 0 {
            return self.stall(client);
        }
        match (self.clients[client].rooms[room], self.rng.random_range(0..50)) {
            (Stand::Out, 0..15) => self.join(client, room),
            (Stand::In, 0..2) => {
                self.clients[client].rooms[room] = Stand::Going;
                self.see(client, What::Leaving { room: room_of(room) });
                self.clients[client].out.push_back(Ask::Leave { room });
            }
            (Stand::In, 2) => self.close(client),
            // What befalls those who come back needs some who go.
            (Stand::In, 5..9) if self.returns() => self.close(client),
            (Stand::In, 3) if self.rng.random_range(0..3) == 0 => self.kick(client),
            (Stand::In, 4) if self.rng.random_range(0..3) == 0 => self.stall(client),
            (Stand::In, 5..25) => self.say(client, room),
            (Stand::In, 25..37) => self.present(client, room),
            (Stand::In, _) => self.store(client, room),
            _ => {}
        }
    }

    fn returns(&self) -> bool {
        matches!(self.plot.wrong, Some((Kind::Back | Kind::Replay, _)))
    }

    fn join(&mut self, client: usize, room: usize) {
        let since = self.clients[client].known[room].filter(|_| self.rng.random_bool(0.8));
        self.clients[client].known[room] = None;
        self.clients[client].rooms[room] = Stand::Asking;
        self.see(client, What::Joining { room: Some(room_of(room)), since: since.is_some() });
        self.clients[client].out.push_back(Ask::Join { room, since });
    }

    fn say(&mut self, client: usize, room: usize) {
        let voice = client * self.plot.rooms + room;
        let id = MessageId { voice: VoiceId(small(voice)), seq: self.seqs[voice] };
        self.seqs[voice] += 1;
        let ticket = self.rooms[room].tickets;
        self.rooms[room].tickets += 1;
        let (room_id, intended, hash) = (room_of(room), Time(self.now), id.seq);
        let what = What::Sending { message: id, room: room_id, ticket, intended, hash };
        self.see(client, what);
        self.clients[client].out.push_back(Ask::Say { room, id });
    }

    fn present(&mut self, client: usize, room: usize) {
        self.counter += 1;
        // A state may come up again.
        let again = self.rng.random_bool(0.2);
        let state = Arc::new(json!({ "at": if again { self.counter % 3 } else { self.counter } }));
        self.states.push(Arc::clone(&state));
        let what = What::PresenceSending { room: room_of(room), state: Arc::clone(&state) };
        self.see(client, what);
        self.clients[client].out.push_back(Ask::Present { room, state });
    }

    fn store(&mut self, client: usize, room: usize) {
        self.counter += 1;
        let request = self.counter;
        let key = format!("k{}", self.rng.random_range(0..4));
        let mut ops = vec![json!({ "put": { "key": key, "value": request } })];
        if self.rng.random_range(0..4) == 0 {
            ops.push(json!({ "delete": { "key": format!("k{}", self.rng.random_range(0..4)) } }));
        }
        // The same write may be asked for by two.
        if self.rng.random_range(0..6) == 0 {
            ops = vec![json!({ "put": { "key": "k0", "value": 0 } })];
        }
        let ops = Arc::new(Value::from(ops));
        let what = What::Storing { room: room_of(room), request, ops: Arc::clone(&ops) };
        self.see(client, what);
        self.clients[client].out.push_back(Ask::Store { room, request, ops });
    }

    fn stall(&mut self, client: usize) {
        let reads = !self.clients[client].reads;
        self.clients[client].reads = reads;
        self.see(client, What::Reads(reads));
    }

    /// A client closes its connection. What it had asked may reach the server all the same.
    fn close(&mut self, client: usize) {
        let polite = self.rng.random_bool(0.3);
        if polite || self.rng.random_bool(0.5) {
            self.see(client, What::Closing { abrupt: !polite });
            while polite && self.rng.random_bool(0.5) {
                self.read(client);
            }
        }
        let kicked = self.clients[client].inbox.iter().any(|it| matches!(it, What::Closed(_)));
        let code = match (polite && self.clients[client].connection.is_some(), kicked) {
            (false, _) => None,
            (true, true) => Some(1001),
            // Its Close comes behind all that it had asked.
            (true, false) => {
                while !self.clients[client].out.is_empty() {
                    self.serve(client);
                }
                Some(1000)
            }
        };
        self.ended(client, true, code);
    }

    /// The server ends a connection: others are told so before its client may know.
    fn kick(&mut self, client: usize) {
        let Some(connection) = self.clients[client].connection else { return };
        for room in 0..self.plot.rooms {
            self.remove(connection, room);
        }
        self.clients[client].out.clear();
        let ending = Ending { asked: false, code: Some(1001), reason: "".into(), clean: true };
        self.clients[client].inbox.push_back(What::Closed(ending));
    }

    fn ended(&mut self, client: usize, asked: bool, code: Option<u16>) {
        if self.clients[client].connection.is_none() {
            return;
        }
        let ending = Ending { asked, code, reason: "".into(), clean: code.is_some() };
        self.see(client, What::Closed(ending));
        let state = &mut self.clients[client];
        let out = std::mem::take(&mut state.out);
        let connection = state.connection.take();
        state.reads = true;
        state.inbox.clear();
        for room in 0..self.plot.rooms {
            if state.rooms[room] != Stand::In {
                state.known[room] = None;
            }
            state.rooms[room] = Stand::Out;
        }
        if client == self.victim {
            self.held = None;
        }
        if let Some(connection) = connection {
            let reached = self.rng.random_range(0..=out.len());
            let out = out.into_iter().take(reached).collect();
            self.gone.push((connection, client, out));
        }
    }

    /// The client reads one frame.
    fn read(&mut self, client: usize) {
        if !self.clients[client].reads {
            return;
        }
        let Some(mut what) = self.clients[client].inbox.pop_front() else { return };
        match &mut what {
            What::Closed(ending) => {
                let (asked, code) = (ending.asked, ending.code);
                return self.ended(client, asked, code);
            }
            What::Entered(entry) => {
                let room = entry.room.0 as usize;
                entry.tickets = self.rooms[room].tickets;
                self.clients[client].rooms[room] = Stand::In;
                let life =
                    entry.epoch.as_ref().and_then(|it| it.strip_prefix("life-")?.parse().ok());
                let known = life.zip(entry.number);
                self.clients[client].known[room] = known;
            }
            What::Refused { room: Some(room), .. } | What::Exited { room } => {
                self.clients[client].rooms[room.0 as usize] = Stand::Out;
                self.clients[client].known[room.0 as usize] = None;
            }
            What::Received { room: Some(room), number: Some(number), .. }
            | What::Presence { room, number: Some(number), .. }
            | What::Stored { room, number: Some(number), .. } => {
                if let Some((_, last)) = &mut self.clients[client].known[room.0 as usize] {
                    *last = (*last).max(*number);
                }
            }
            _ => {}
        }
        self.see(client, what);
    }

    /// The server learns all that it was told, and all who read have read all.
    fn settle(&mut self) {
        for client in 0..self.plot.clients {
            while !self.clients[client].out.is_empty() {
                self.serve(client);
            }
        }
        while !self.gone.is_empty() {
            self.notice_one();
        }
        self.release();
        for client in 0..self.plot.clients {
            while self.clients[client].reads && !self.clients[client].inbox.is_empty() {
                self.read(client);
            }
        }
        while !self.gone.is_empty() {
            self.notice_one();
        }
        for client in 0..self.plot.clients {
            while self.clients[client].reads && !self.clients[client].inbox.is_empty() {
                self.read(client);
            }
        }
    }

    /// For a while the server does nothing; then it answers all that it was asked meanwhile, and sees
    /// which connections have ended only after that.
    fn stand_still(&mut self) {
        self.now += self.rng.random_range(500_000..3_000_000);
        for client in 0..self.plot.clients {
            while !self.clients[client].out.is_empty() {
                self.serve(client);
            }
        }
        while !self.gone.is_empty() {
            self.notice_one();
        }
    }

    /// Nothing happens for a while, when all is done that was to do.
    fn pass_time(&mut self) {
        for client in 0..self.plot.clients {
            if !self.clients[client].reads {
                self.stall(client);
            }
        }
        let held = self.held.take();
        self.settle();
        self.now += self.rng.random_range(100_000..3_000_000);
        if let Some(held) = held.filter(|_| self.clients[self.victim].connection.is_some()) {
            self.clients[self.victim].inbox.push_back(held);
        }
    }
}
