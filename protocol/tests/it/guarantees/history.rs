//! Random histories: what clients do, and what each of them sees of it.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;
use protocol::{ConnId, Limits, Reason};
use serde_json::{Value, json};

use crate::faulty::Fault;
use crate::server::Server;

/// Few events, so that histories outrun the window.
pub(crate) const HISTORY_EVENTS: usize = 8;
const CLIENTS: usize = 5;
const ROOMS: usize = 2;

/// One thing that one client does, or time passing.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    Join {
        client: usize,
        room: usize,
        full: bool,
        since: bool,
    },
    Leave {
        client: usize,
        room: usize,
    },
    Chat {
        client: usize,
        room: usize,
        id: bool,
    },
    Patch {
        client: usize,
        room: usize,
        key: u8,
        set: bool,
    },
    Store {
        client: usize,
        room: usize,
        key: u8,
        put: bool,
        if_version: Option<u64>,
    },
    Typing {
        client: usize,
        room: usize,
        on: bool,
    },
    Read {
        client: usize,
        room: usize,
    },
    Name {
        client: usize,
    },
    Ping {
        client: usize,
    },
    /// The client takes up to this many of the frames that wait for it.
    Receive {
        client: usize,
        frames: usize,
    },
    /// Its connection ends; what it has not taken is lost, and its next step opens another.
    Cut {
        client: usize,
        reason: Reason,
    },
    Wait {
        ms: u64,
    },
}

pub(crate) fn steps() -> impl Strategy<Value = Vec<Step>> {
    prop::collection::vec(step(), 1..150)
}

fn step() -> impl Strategy<Value = Step> {
    let who = || (0..CLIENTS, 0..ROOMS);
    let reason = prop::sample::select(vec![Reason::Closed, Reason::Timeout, Reason::Slow]);
    let wait = prop_oneof![4 => 0..4_000_u64, 1 => 10_000..70_000_u64, 1 => 110_000..130_000_u64];
    prop_oneof![
        12 => (who(), prop::bool::weighted(0.7), prop::bool::weighted(0.8))
            .prop_map(|((client, room), full, since)| Step::Join { client, room, full, since }),
        3 => who().prop_map(|(client, room)| Step::Leave { client, room }),
        14 => (who(), any::<bool>())
            .prop_map(|((client, room), id)| Step::Chat { client, room, id }),
        6 => (who(), 0..3_u8, prop::bool::weighted(0.7))
            .prop_map(|((client, room), key, set)| Step::Patch { client, room, key, set }),
        6 => (who(), 0..3_u8, prop::bool::weighted(0.7), prop::option::of(0..6_u64)).prop_map(
            |((client, room), key, put, if_version)| Step::Store { client, room, key, put, if_version }
        ),
        4 => (who(), any::<bool>())
            .prop_map(|((client, room), on)| Step::Typing { client, room, on }),
        3 => who().prop_map(|(client, room)| Step::Read { client, room }),
        2 => (0..CLIENTS).prop_map(|client| Step::Name { client }),
        2 => (0..CLIENTS).prop_map(|client| Step::Ping { client }),
        12 => (0..CLIENTS, 1..30_usize)
            .prop_map(|(client, frames)| Step::Receive { client, frames }),
        6 => (0..CLIENTS, reason).prop_map(|(client, reason)| Step::Cut { client, reason }),
        4 => wait.prop_map(|ms| Step::Wait { ms }),
    ]
}

/// What one client did and saw, in its own order.
#[derive(Clone, Debug)]
pub(crate) enum Entry {
    /// It has a new connection.
    Opened,
    Sent {
        request: Value,
        expected: Expected,
    },
    Got(String),
    /// Its connection is gone, and with it what it had not taken.
    Cut,
    /// Nothing more is to come: the end of the history.
    Quiet,
}

/// What a request must be answered with, as is known when it is sent.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Expected {
    Type(&'static str),
    Error(&'static str),
    /// `ok`, or `version_conflict`.
    Either,
}

/// The lives of the rooms, as only the server's side can know them.
#[derive(Debug, Default)]
pub(crate) struct Truth {
    /// When each event came into being: by room, epoch and number.
    pub(crate) born: BTreeMap<(String, String, u64), Duration>,
    /// By room and epoch: when the life began to be empty for the last time.
    pub(crate) emptied: BTreeMap<(String, String), Duration>,
}

/// A history, ready to be judged.
#[derive(Debug)]
pub(crate) struct History {
    pub(crate) clients: Vec<Vec<(Duration, Entry)>>,
    pub(crate) truth: Truth,
    /// Whether the fault happened, if there was to be one.
    pub(crate) fired: bool,
}

/// Lets it happen.
pub(crate) fn run(steps: &[Step], fault: Option<Fault>) -> History {
    let limits = Limits { history_events: HISTORY_EVENTS, ..Limits::default() };
    let mut run = Run {
        server: Server::faulty(limits, fault),
        clients: (0..CLIENTS).map(|_| Client::default()).collect(),
        truth: Truth::default(),
        requests: 0,
        connections: 0,
    };
    for step in steps {
        run.step(step);
        run.note_truth();
    }
    // Who types has stopped by then, and no room has ended.
    run.server.wait(Duration::from_secs(10));
    for client in 0..CLIENTS {
        run.receive(client, usize::MAX);
        run.note(client, Entry::Quiet);
    }
    let clients = run.clients.into_iter().map(|client| client.entries).collect();
    History { clients, truth: run.truth, fired: run.server.world.fired() }
}

struct Run {
    server: Server,
    clients: Vec<Client>,
    truth: Truth,
    requests: u64,
    connections: u64,
}

#[derive(Default)]
struct Client {
    conn: Option<ConnId>,
    entries: Vec<(Duration, Entry)>,
    waiting: Vec<String>,
    /// The rooms that it is in if all that it sent has come true, and whether as a full member.
    inside: BTreeMap<usize, bool>,
    /// Up to where it has seen each room.
    seen: BTreeMap<String, (String, u64)>,
}

impl Run {
    fn step(&mut self, step: &Step) {
        match *step {
            Step::Join { client, room, full, since } => self.join(client, room, full, since),
            Step::Leave { client, room } => {
                let inside = self.clients[client].inside.remove(&room).is_some();
                let request = json!({"type": "leave", "room": name(room)});
                self.send(client, request, true, when(inside, "left"));
            }
            Step::Chat { client, room, id } => {
                let text = format!("t{}", self.requests);
                let request = json!({"type": "chat", "room": name(room), "text": text});
                self.send(client, request, id, self.inside(client, room));
            }
            Step::Patch { client, room, key, set } => {
                let value = if set { json!(self.requests) } else { Value::Null };
                let patch = json!({key.to_string(): value, "deep": {key.to_string(): value}});
                let request = json!({"type": "presence", "room": name(room), "patch": patch});
                let expected = match self.clients[client].inside.get(&room) {
                    Some(false) => Expected::Error("forbidden"),
                    _ => self.inside(client, room),
                };
                self.send(client, request, true, expected);
            }
            Step::Store { client, room, key, put, if_version } => {
                let key = format!("k{key}");
                let op = match put {
                    true => json!({"put": {"key": key, "value": self.requests}}),
                    false => json!({"delete": {"key": key}}),
                };
                let other = json!({"put": {"key": "last", "value": self.requests}});
                let mut request = json!({"type": "store", "room": name(room), "ops": [op, other]});
                let mut expected = self.inside(client, room);
                if let Some(version) = if_version {
                    request["if_version"] = json!(version);
                    expected =
                        if expected == Expected::Type("ok") { Expected::Either } else { expected };
                }
                self.send(client, request, true, expected);
            }
            Step::Typing { client, room, on } => {
                let request = json!({"type": "typing", "room": name(room), "on": on});
                self.send(client, request, true, self.inside(client, room));
            }
            Step::Read { client, room } => {
                let seq = self.clients[client].seen.get(&name(room)).map_or(0, |(_, seq)| *seq);
                // It may be of an earlier life: only nothing is certain to be there.
                let seq = if self.same_life(client, room) { seq } else { 0 };
                let request = json!({"type": "read", "room": name(room), "seq": seq});
                self.send(client, request, true, self.inside(client, room));
            }
            Step::Name { client } => {
                let request = json!({"type": "name", "username": format!("u{}", self.requests)});
                self.send(client, request, true, Expected::Type("ok"));
            }
            Step::Ping { client } => {
                self.send(client, json!({"type": "ping"}), true, Expected::Type("pong"));
            }
            Step::Receive { client, frames } => self.receive(client, frames),
            Step::Cut { client, reason } => self.cut(client, reason),
            Step::Wait { ms } => self.server.wait(Duration::from_millis(ms)),
        }
    }

    fn join(&mut self, client: usize, room: usize, full: bool, since: bool) {
        let inside = self.clients[client].inside.contains_key(&room);
        let membership = if full { "full" } else { "none" };
        let mut request = json!({"type": "join", "room": name(room), "membership": membership});
        if since {
            // It asks for what follows the last thing that it knows of: all that it left with.
            self.receive(client, usize::MAX);
        }
        if since && let Some((epoch, seq)) = self.clients[client].seen.get(&name(room)) {
            request["since"] = json!({"epoch": epoch, "seq": seq});
        }
        let expected = match inside {
            true => Expected::Error("already_joined"),
            false => Expected::Type("joined"),
        };
        self.send(client, request, true, expected);
        self.clients[client].inside.entry(room).or_insert(full);
    }

    fn inside(&self, client: usize, room: usize) -> Expected {
        when(self.clients[client].inside.contains_key(&room), "ok")
    }

    fn same_life(&self, client: usize, room: usize) -> bool {
        let rooms = self.server.world.inner.rooms();
        let epoch = rooms.get(&name(room)).map(|room| room.epoch().to_owned());
        self.clients[client].seen.get(&name(room)).map(|(epoch, _)| epoch.clone()) == epoch
    }

    fn send(&mut self, client: usize, mut request: Value, id: bool, expected: Expected) {
        self.requests += 1;
        if id {
            request["id"] = json!(self.requests);
        }
        let conn = self.conn(client);
        let text = request.to_string();
        self.note(client, Entry::Sent { request, expected });
        assert_eq!(self.server.say(conn, &text), None, "no request is so bad");
    }

    fn conn(&mut self, client: usize) -> ConnId {
        if let Some(conn) = self.clients[client].conn {
            return conn;
        }
        self.connections += 1;
        let conn = ConnId(self.connections);
        self.server.open(conn);
        self.clients[client].conn = Some(conn);
        self.note(client, Entry::Opened);
        conn
    }

    fn receive(&mut self, client: usize, frames: usize) {
        let Some(conn) = self.clients[client].conn else { return };
        let taken = self.server.world.inner.take(conn);
        let this = &mut self.clients[client];
        this.waiting.extend(taken.iter().map(|frame| frame.as_text().to_owned()));
        let frames = frames.min(this.waiting.len());
        let frames: Vec<String> = this.waiting.drain(..frames).collect();
        for text in frames {
            let frame: Value = serde_json::from_str(&text).expect("the server sends JSON");
            let this = &mut self.clients[client];
            let numbered = ["joined", "chat", "presence", "stored"].map(Value::from);
            if numbered.contains(&frame["type"]) {
                let room = frame["room"].as_str().expect("a room").to_owned();
                let seen = this.seen.entry(room).or_default();
                seen.1 = frame["seq"].as_u64().expect("a number");
                if let Some(epoch) = frame["epoch"].as_str() {
                    epoch.clone_into(&mut seen.0);
                }
            }
            self.note(client, Entry::Got(text));
        }
    }

    fn cut(&mut self, client: usize, reason: Reason) {
        let Some(conn) = self.clients[client].conn.take() else { return };
        self.server.end(conn, reason);
        self.server.world.inner.take(conn);
        self.clients[client].waiting.clear();
        self.clients[client].inside.clear();
        self.note(client, Entry::Cut);
    }

    fn note(&mut self, client: usize, entry: Entry) {
        let at = self.server.now().time.since_start();
        self.clients[client].entries.push((at, entry));
    }

    fn note_truth(&mut self) {
        let now = self.server.now().time.since_start();
        for (name, room) in &*self.server.world.inner.rooms() {
            let life = (name.clone(), room.epoch().to_owned());
            for seq in (1..=room.seq()).rev() {
                let event = (life.0.clone(), life.1.clone(), seq);
                if self.truth.born.contains_key(&event) {
                    break;
                }
                self.truth.born.insert(event, now);
            }
            match room.count() {
                0 => drop(self.truth.emptied.entry(life).or_insert(now)),
                _ => drop(self.truth.emptied.remove(&life)),
            }
        }
    }
}

fn when(inside: bool, kind: &'static str) -> Expected {
    if inside { Expected::Type(kind) } else { Expected::Error("not_joined") }
}

fn name(room: usize) -> String {
    format!("r{room}")
}
