//! A few connections of one dialect in one small world, spoken to in the words of its file.

use std::time::Duration;

use harness::dialect::{Decoded, Dialect, Event, EventKind, Request, Verb};
use harness::plan::Vars;
use protocol::pusher::App;
use protocol::{ConnId, Flow, Ids, Incoming, Limits, LocalWorld, Now, Opening, Reason, Session};
use serde_json::{Value, json};

pub(crate) const CLIENTS: usize = 3;

/// An event that a client was told, and the frame that it is read from.
#[derive(Clone, Debug)]
pub(crate) struct Told {
    pub(crate) client: usize,
    pub(crate) event: Event,
    pub(crate) frame: Value,
}

impl Told {
    /// A field of the event; null when it says none.
    pub(crate) fn field(&self, name: &str) -> Value {
        self.event.fields.get(name).cloned().unwrap_or_default()
    }

    pub(crate) fn is(&self, kind: EventKind) -> bool {
        self.event.kinds().any(|it| it == kind)
    }
}

pub(crate) struct Bench {
    pub(crate) file: Dialect,
    own: protocol::Dialect,
    pub(crate) world: LocalWorld,
    sessions: Vec<Option<Session<ConnId>>>,
    clock: Duration,
    next_id: u64,
}

impl Bench {
    /// A world without anybody.
    pub(crate) fn new(own: protocol::Dialect) -> Self {
        Self::of(own, own.name())
    }

    /// The same, where the file has another name.
    pub(crate) fn of(own: protocol::Dialect, file: &str) -> Self {
        let world = LocalWorld::new(Limits::default(), Ids::new([7; 32])).with_app(App::default());
        let file = Dialect::load(file).unwrap_or_else(|problems| panic!("{problems}"));
        let sessions = (0..CLIENTS).map(|_| None).collect();
        Self { file, own, world, sessions, clock: Duration::ZERO, next_id: 0 }
    }

    pub(crate) fn now(&mut self) -> Now {
        self.clock += Duration::from_millis(50);
        Now::after_start(self.clock, Duration::from_secs(1_767_225_600))
    }

    /// Opens a connection, in a room where the dialect takes one; what everybody is told of it.
    pub(crate) fn open(&mut self, client: usize, room: Option<&str>) -> Vec<Told> {
        let (now, peer) = (self.now(), ConnId(client as u64));
        let path = self.file.path(&Vars::from([("room".to_owned(), json!("x"))])).expect("a path");
        let query = path.split_once('?').map_or("", |(_, query)| query);
        let opening = Opening { name: room, query };
        let session = Session::open(self.own, now, opening, peer, &self.world);
        self.sessions[client] = Some(session.expect("everybody is let in"));
        self.told()
    }

    /// Cuts a connection off; what the others are told of it.
    pub(crate) fn cut(&mut self, client: usize) -> Vec<Told> {
        let now = self.now();
        if let Some(mut session) = self.sessions[client].take() {
            session.end(now, Reason::Closed, &self.world);
        }
        self.told()
    }

    /// The request as the file words it. Its id is given back with it.
    pub(crate) fn request(&mut self, verb: Verb, args: &Value) -> (u64, Request) {
        self.next_id += 1;
        let mut vars: Vars = args.as_object().expect("an object").clone().into_iter().collect();
        vars.insert("id".into(), json!(self.next_id));
        vars.entry("me".into()).or_insert_with(|| json!("somebody"));
        let request = self.file.request(verb, &vars).expect("every hole has a value");
        (self.next_id, request)
    }

    /// Asks for something in the words of the file; what everybody is told of it.
    pub(crate) fn ask(&mut self, client: usize, verb: Verb, args: &Value) -> (u64, Vec<Told>) {
        let (id, request) = self.request(verb, args);
        assert!(!request.frames.is_empty(), "{verb} is said on the socket");
        let mut told = Vec::new();
        for text in &request.frames {
            let now = self.now();
            let session = self.sessions[client].as_mut().expect("it is open");
            let flow = session.received(now, Incoming::Text(text), &self.world);
            assert!(matches!(flow, Flow::Continue | Flow::Alive), "{text}: {flow:?}");
            told.extend(self.told());
        }
        for told in told.iter().filter(|told| told.is(EventKind::Error)) {
            let code = told.field("code");
            let code = code.as_str().map_or_else(|| code.to_string(), str::to_owned);
            let malformed =
                ["invalid_json", "unknown_message", "invalid_message", "unknown_type", "4200"];
            assert!(!malformed.contains(&&*code), "{request:?} is not understood: {code}");
        }
        (id, told)
    }

    /// What every client has been told since, read as the file reads it: every frame is known.
    pub(crate) fn told(&mut self) -> Vec<Told> {
        let mut all = Vec::new();
        for client in 0..CLIENTS {
            for frame in self.world.take(ConnId(client as u64)) {
                let text = frame.as_text();
                let Decoded::Event(event) = self.file.decode(text) else {
                    panic!("{text} is nothing that the file knows");
                };
                // Where frames are texts, a text is what it is.
                let frame = serde_json::from_str(text).unwrap_or_else(|_| json!(text));
                all.push(Told { client, event, frame });
            }
        }
        all
    }

    /// The next room that is due, as the server's clock would find it.
    pub(crate) fn tick(&mut self) {
        let now = self.now();
        while let Some(name) = self.world.due(now.time) {
            protocol::tick_room(now, &name, &self.world);
        }
    }
}

/// The events of one kind, by client.
pub(crate) fn of(told: &[Told], kind: EventKind) -> Vec<&Told> {
    told.iter().filter(|told| told.is(kind)).collect()
}

/// Every event stands for these fields of its frame: nothing is read from anywhere else, and
/// nothing is made of what is not there.
pub(crate) fn assert_read(told: &Told, places: &[(&str, &str)]) {
    for (hole, pointer) in places {
        let there = told.frame.pointer(pointer).cloned().unwrap_or_default();
        assert_eq!(told.field(hole), there, "{hole} of {}", told.frame);
    }
    let named: Vec<&str> = places.iter().map(|(hole, _)| *hole).collect();
    for hole in told.event.fields.keys() {
        assert!(named.contains(&hole.as_str()), "{hole} is read from {}", told.frame);
    }
}
