//! One simulated client as a pure state machine: frames and time come in, frames to send come out.
//!
//! It keeps what the timeline waits for (its inbox, the answers to its requests), and tells
//! the [`Books`] what it does and sees. It opens no socket and reads no clock.

mod ask;
mod frames;
mod hear;
mod http;
mod jar;
mod meaning;
mod path;
mod snapshot;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use serde_json::Value;

use crate::books::Books;
use crate::craft::Outbound;
use crate::dialect::{Dialect, EventKind, Verb};
use crate::heard::Heard;
use crate::observe::{ClientId, Ending, MessageId, RoomId, Time, What};
use crate::plan::{TcpEnd, Vars};

pub use self::ask::{Asked, Line};
pub use self::frames::{Content, Got};
pub use self::http::Errand;
pub use self::jar::Jar;
use self::meaning::Gathered;
pub use self::path::Armed;

/// Events that wait for an `expect`, at most; the oldest go first. A load phase delivers more than
/// anybody will ask for.
const INBOX_MAX: usize = 4096;

/// A simulated client.
#[derive(Debug)]
pub struct Client {
    /// Its place in the plan.
    pub id: ClientId,
    /// Its name, as `$me`.
    pub name: Arc<str>,
    /// Whether it has a connection, and how far that is.
    pub state: State,
    /// It answers pings and takes part in load.
    pub pongs: bool,
    /// It reads its socket.
    pub reads: bool,
    /// When it fell silent last.
    pub silent_since: Option<Time>,
    /// When its present connection was opened.
    pub opened_at: Time,
    /// Events that nothing has taken yet.
    pub inbox: VecDeque<Event>,
    /// Events that were dropped because nothing took them.
    pub overflowed: u64,
    /// It is ready to connect as soon as it is known to which room.
    pub armed: Option<Armed>,
    /// The cookies that it was given.
    pub jar: Jar,
    /// Some step looks for frames: they are kept as they came.
    pub keeps_frames: bool,
    /// How TCP ended, once it has.
    pub tcp_end: Option<TcpEnd>,
    /// The code with which the server has ended the last connection.
    pub ended_with: Option<u16>,
    dialect: Arc<Dialect>,
    wanted: Arc<[EventKind]>,
    vars: Arc<Vars>,
    captured: Vars,
    rooms: Vec<Stay>,
    past: Vec<Stay>,
    pending: Vec<Pending>,
    answers: Vec<(u64, Answer)>,
    next_request: u64,
    fixed_heard: HashMap<(RoomId, Option<ClientId>, Arc<str>), usize>,
    fence: Option<MessageId>,
    pings_out: u64,
    pongs_in: u64,
    /// The room that it chose by connecting.
    entering: Option<RoomId>,
    /// Frames that are one event together with others that have not come yet.
    gathered: Vec<Gathered>,
    /// What came of HTTP requests that somebody waits for.
    errands: Vec<(u64, Errand)>,
    /// The number of the frame that is being heard.
    frame: u64,
    frames: VecDeque<Got>,
    frame_bytes: usize,
    foreign_pongs: VecDeque<Box<[u8]>>,
    outbound: Outbound,
    half_closed: bool,
    /// It is open with the upgrade, and the greeting is a frame like others.
    bare: bool,
    /// The frame that is being heard has answered something.
    answered_by_frame: bool,
}

/// How far a client's connection is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum State {
    /// It has none, and never had.
    Away,
    /// It is connecting, shaking hands or waiting to be greeted.
    Opening,
    /// It could not connect: why.
    Failed(Arc<str>),
    /// It is connected.
    Open,
    /// It has sent a Close frame and waits for the server's.
    Closing,
    /// Its connection has ended, when and how.
    Closed(Time, Ending),
}

/// An event in an inbox.
#[derive(Clone, Debug)]
pub struct Event {
    /// When it came.
    pub at: Time,
    /// Its kind.
    pub kind: EventKind,
    /// The frame; none for a WebSocket ping.
    pub heard: Option<Arc<Heard>>,
    /// Whose message it is, where the harness knows it again.
    pub from: Option<ClientId>,
    /// The number of the frame; none for a WebSocket ping.
    pub frame: Option<u64>,
}

/// A room that a client is in, or was in when its last connection ended.
#[derive(Clone, Debug)]
pub struct Stay {
    /// The room.
    pub room: RoomId,
    /// Its name.
    pub name: Arc<str>,
    /// It is told of others' coming and going.
    pub full: bool,
    /// When it entered.
    pub since: Time,
    /// Its own member id.
    pub you: Option<Arc<str>>,
    /// Nothing has been told of the room's content yet.
    pub fresh: bool,
    /// The room's life.
    pub epoch: Option<Value>,
    /// The number of the last event that it has got.
    pub number: Option<u64>,
    /// The names of the members it knows of, where that is looked at.
    pub members: Vec<Arc<str>>,
    /// Its own presence there.
    pub presence: Value,
}

#[derive(Clone, Debug)]
struct Pending {
    id: u64,
    verb: Verb,
    ack: EventKind,
    asked: Time,
    room: Option<RoomId>,
    message: Option<MessageId>,
    full: bool,
    awaited: bool,
    /// HTTP answers it.
    http: bool,
}

/// The answer to a request.
#[derive(Clone, Debug)]
pub enum Answer {
    /// It was done; the acknowledging event.
    Done(Arc<Heard>),
    /// It was refused with this code.
    Refused(Arc<str>),
    /// The connection ended first.
    Gone,
    /// HTTP did not bring it: why.
    Lost(Arc<str>),
}

impl Stay {
    pub(super) fn begun(room: RoomId, name: Arc<str>, full: bool, since: Time) -> Self {
        let presence = Value::Object(serde_json::Map::new());
        let (you, fresh, epoch, number, members) = (None, false, None, None, Vec::new());
        Self { room, name, full, since, you, fresh, epoch, number, members, presence }
    }
}

impl Client {
    /// A client without a connection. Of the events that come it keeps the `wanted` kinds.
    pub fn new(
        id: ClientId,
        name: Arc<str>,
        dialect: Arc<Dialect>,
        vars: Arc<Vars>,
        wanted: Arc<[EventKind]>,
    ) -> Self {
        Self {
            id,
            name,
            state: State::Away,
            pongs: true,
            reads: true,
            silent_since: None,
            opened_at: Time::default(),
            inbox: VecDeque::new(),
            overflowed: 0,
            armed: None,
            jar: Jar::default(),
            keeps_frames: false,
            tcp_end: None,
            ended_with: None,
            dialect,
            wanted,
            vars,
            captured: Vars::new(),
            rooms: Vec::new(),
            past: Vec::new(),
            pending: Vec::new(),
            answers: Vec::new(),
            next_request: 1,
            fixed_heard: HashMap::new(),
            fence: None,
            pings_out: 0,
            pongs_in: 0,
            entering: None,
            gathered: Vec::new(),
            errands: Vec::new(),
            frame: 0,
            frames: VecDeque::new(),
            frame_bytes: 0,
            foreign_pongs: VecDeque::new(),
            outbound: Outbound::default(),
            half_closed: false,
            bare: false,
            answered_by_frame: false,
        }
    }

    /// Begins to connect: what the last connection left behind is forgotten, except for the rooms and
    /// for what came and was not taken. A `bare` connection is open with the upgrade.
    pub fn connecting(&mut self, now: Time, bare: bool) {
        self.state = State::Opening;
        self.opened_at = now;
        self.bare = bare;
        self.reads = true;
        self.tcp_end = None;
        self.ended_with = None;
        self.outbound = Outbound::default();
        self.half_closed = false;
        self.pending.clear();
        self.answers.clear();
        self.gathered.clear();
        self.fence = None;
        (self.pings_out, self.pongs_in) = (0, 0);
    }

    /// The upgrade succeeded. Where the dialect greets, the greeting is waited for; says whether
    /// the server must be asked for a sign of life first.
    pub fn upgraded(&mut self, now: Time, books: &mut Books) -> bool {
        if self.bare || self.dialect.connect.ready.is_none() {
            self.ready(now, None, books);
        }
        !self.bare && self.dialect.connect.ready == Some(EventKind::Pong)
    }

    fn ready(&mut self, now: Time, connection: Option<Arc<str>>, books: &mut Books) {
        self.state = State::Open;
        books.connected(true);
        books.observe(now, self.id, What::Opened { connection });
        if !self.pongs {
            books.observe(now, self.id, What::Pongs(false));
        }
        // Where the server tells of the entry, it is waited for.
        let told = self.entering.is_some() && self.dialect.tells(EventKind::Entered);
        let by_itself = self.dialect.enters_by_connecting() || !self.dialect.can(Verb::Join);
        if by_itself && !told {
            self.be_inside(now, books);
        }
    }

    /// The connection could not be made.
    pub fn failed(&mut self, now: Time, reason: &str, books: &mut Books) {
        let reason: Arc<str> = reason.into();
        self.state = State::Failed(Arc::clone(&reason));
        if let Some(room) = self.entering.take() {
            let (room, code) = (Some(room), Arc::clone(&reason));
            books.observe(now, self.id, What::Refused { room, code });
        }
        books.observe(now, self.id, What::OpenFailed { reason });
    }

    /// The client begins to close; what it says from now on, if it can say anything, is nothing.
    pub fn closing(&mut self, now: Time, abrupt: bool, books: &mut Books) {
        books.observe(now, self.id, What::Closing { abrupt });
        self.state = State::Closing;
    }

    /// The connection has ended.
    pub fn closed(&mut self, now: Time, mut ending: Ending, books: &mut Books) {
        if matches!(self.state, State::Closed(..) | State::Failed(_) | State::Away) {
            return;
        }
        ending.asked |= self.state == State::Closing;
        if !ending.asked {
            self.ended_with = ending.code.or(self.ended_with);
        }
        if self.state == State::Opening {
            let why = if ending.reason.is_empty() {
                "closed before the greeting"
            } else {
                &ending.reason
            };
            let reason: Arc<str> = match ending.code {
                Some(code) => format!("closed with {code} {}", ending.reason).into(),
                None => why.into(),
            };
            return self.failed(now, &reason, books);
        }
        books.connected(false);
        books.observe(now, self.id, What::Closed(ending.clone()));
        self.state = State::Closed(now, ending);
        for stay in self.rooms.drain(..) {
            self.past.retain(|old| old.room != stay.room);
            self.past.push(stay);
        }
        for pending in self.pending.drain(..).filter(|pending| pending.awaited) {
            self.answers.push((pending.id, Answer::Gone));
        }
    }

    /// Answers pings from now on, or falls silent.
    pub fn set_pongs(&mut self, now: Time, pongs: bool, books: &mut Books) {
        self.pongs = pongs;
        self.silent_since = (!pongs).then_some(now);
        if self.is_open() {
            books.observe(now, self.id, What::Pongs(pongs));
        }
    }

    /// Reads from now on, or stops, until its connection has ended.
    pub fn set_reads(&mut self, now: Time, reads: bool, books: &mut Books) {
        self.reads = reads;
        books.observe(now, self.id, What::Reads(reads));
    }

    /// Whether it is connected.
    pub fn is_open(&self) -> bool {
        self.state == State::Open
    }

    /// Whether it has no connection, nor is about to have one.
    pub fn is_over(&self) -> bool {
        matches!(self.state, State::Away | State::Failed(_) | State::Closed(..))
    }

    /// Whether it can take a turn in a load: connected, in a room, neither silent nor deaf.
    pub fn can_speak(&self) -> bool {
        self.is_open() && self.pongs && self.reads && !self.rooms.is_empty()
    }

    /// The rooms it is in, in the order of entering.
    pub fn rooms(&self) -> &[Stay] {
        &self.rooms
    }

    /// The rooms it was in when its last connection ended.
    pub fn past(&self) -> &[Stay] {
        &self.past
    }

    /// Forgets the rooms it was in.
    pub fn forget_past(&mut self) {
        self.past.clear();
    }

    /// Takes the answer to a request, if it has come.
    pub fn take_answer(&mut self, request: u64) -> Option<Answer> {
        let at = self.answers.iter().position(|(id, _)| *id == request)?;
        Some(self.answers.swap_remove(at).1)
    }

    /// A fence has come back: everything that was sent to this client before has come.
    pub fn fence_is_back(&self) -> bool {
        self.fence.is_none()
    }

    /// The next WebSocket ping's payload, and the number of pongs after which it is answered.
    pub fn ping(&mut self, now: Time, books: &mut Books) -> ([u8; 8], u64) {
        self.pings_out += 1;
        books.observe(now, self.id, What::Spoke);
        (self.pings_out.to_be_bytes(), self.pings_out)
    }

    /// Whether the ping of this number has been answered.
    pub fn ponged(&self, ping: u64) -> bool {
        self.pongs_in >= ping
    }

    /// Keeps a value under a name.
    pub fn capture(&mut self, name: &str, value: Value) {
        self.captured.insert(name.to_owned(), value);
    }

    /// Forgets a value that it has kept.
    pub fn forget(&mut self, name: &str) {
        self.captured.remove(name);
    }

    /// Everything it has kept.
    pub fn all_captured(&self) -> &Vars {
        &self.captured
    }

    /// Everything that its templates may name: the plan's variables, and what it has captured.
    pub fn vars(&self) -> Vars {
        let mut vars = (*self.vars).clone();
        vars.extend(self.captured.iter().map(|(name, value)| (name.clone(), value.clone())));
        vars
    }

    /// Whether requests are unanswered that were made before `before`; they are given up.
    pub fn overdue(&mut self, before: Time, now: Time, books: &mut Books) -> usize {
        let (late, rest) = self.pending.drain(..).partition(|pending| pending.asked < before);
        self.pending = rest;
        let late: Vec<Pending> = late;
        for pending in &late {
            let verb = pending.verb.as_str().into();
            books.observe(now, self.id, What::Unanswered { verb });
        }
        late.len()
    }

    /// How many requests are unanswered.
    pub fn unanswered(&self) -> usize {
        self.pending.len()
    }

    /// How TCP has ended; after a Close frame that comes later than the end of the connection.
    pub fn tcp_ended(&mut self, end: TcpEnd) {
        self.tcp_end.get_or_insert(end);
    }

    fn keep(&mut self, at: Time, kind: EventKind, heard: Option<&Arc<Heard>>) {
        self.keep_from(at, kind, heard, None);
    }

    fn keep_from(
        &mut self,
        at: Time,
        kind: EventKind,
        heard: Option<&Arc<Heard>>,
        from: Option<ClientId>,
    ) {
        if !self.wanted.contains(&kind) {
            return;
        }
        if self.inbox.len() >= INBOX_MAX {
            self.inbox.pop_front();
            self.overflowed += 1;
        }
        let frame = heard.map(|_| self.frame);
        self.inbox.push_back(Event { at, kind, heard: heard.cloned(), from, frame });
    }
}
