//! What the run knows of itself: rooms, voices, names, what was sent when, and the judge of it all.
//!
//! One set of books a run, under one lock with the clients: what is observed has one order, and a
//! message is in the books before its bytes leave.

mod endings;
mod logged;
mod names;
mod secrets;
mod strangers;
mod wording;

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

pub use self::endings::Endings;
use self::logged::Logged;
pub(crate) use self::secrets::Secrets;
use self::strangers::Strangers;
pub use self::wording::Wording;
use crate::check::{self, CheckResult, Class, End, Finding, Judge, STEPS};
use crate::latency::{Measured, Metric};
use crate::observe::{ClientId, MessageId, Observation, RoomId, Time, VoiceId, What, Who};
use crate::plan::Place;
use crate::stamp::{self, Stamp};
use crate::summary::{Direction, FRAMES_AROUND, Frame, WITNESSES_MAX, Witness};

/// Changes of one client's presence whose times are remembered: more are never under way.
const PRESENCES_MAX: usize = 64;

/// The books of a run.
#[derive(Debug)]
pub struct Books {
    /// Judges every observation.
    pub judge: Judge,
    /// What was measured.
    pub measured: Measured,
    /// Latencies are kept (not in a warm-up).
    pub measuring: bool,
    /// For how long load was measured.
    pub measured_for: Duration,
    /// Frames with data that came, all clients together.
    pub frames: u64,
    /// Frames that the dialect knows, all clients together.
    pub events: u64,
    run: u64,
    closed: bool,
    /// How connections ended, the goodbyes after the run included.
    pub endings: Endings,
    logged: Logged,
    connected: (u64, u64),
    failure: String,
    rooms: Vec<Room>,
    room_ids: HashMap<Arc<str>, RoomId>,
    messages: u64,
    voices: Vec<Voice>,
    voice_ids: HashMap<(ClientId, RoomId), VoiceId>,
    people: Vec<Arc<str>>,
    names: HashMap<Arc<str>, ClientId>,
    members: HashMap<(RoomId, Arc<str>), ClientId>,
    strangers: Strangers,
    secrets: Secrets,
    fixed: HashMap<(RoomId, ClientId, Arc<str>), Vec<MessageId>>,
    spoken: HashMap<(RoomId, Arc<str>), Vec<MessageId>>,
    fences: HashSet<MessageId>,
    presences: HashMap<(ClientId, RoomId), VecDeque<(u64, Time)>>,
    tails: Vec<VecDeque<Noted>>,
    witnesses: Vec<Open>,
    /// Findings of the judge that have been looked at.
    witnessed: usize,
}

#[derive(Debug)]
struct Room {
    name: Arc<str>,
    tickets: u32,
}

#[derive(Debug)]
struct Voice {
    client: ClientId,
    room: RoomId,
    sent: Vec<Sent>,
}

/// What is remembered of a message that was sent.
#[derive(Clone, Copy, Debug)]
pub struct Sent {
    /// When its bytes were handed to the kernel.
    pub at: Time,
    /// Its length in bytes.
    pub len: u32,
    /// A hash of it.
    pub hash: u32,
}

#[derive(Debug)]
struct Open {
    finding: Finding,
    client: ClientId,
    frames: Vec<Noted>,
    missing: usize,
}

/// A frame of a client's latest traffic; the text is shared with whoever else received it.
#[derive(Clone, Debug)]
struct Noted {
    at: Time,
    direction: Direction,
    text: Arc<str>,
}

impl Books {
    /// Empty books for clients of these names.
    pub fn new(run: u64, judge: Judge, names: impl Iterator<Item = Arc<str>>) -> Self {
        let people: Vec<Arc<str>> = names.collect();
        let names: HashMap<_, _> = people.iter().cloned().zip((0..).map(ClientId)).collect();
        Self {
            judge,
            measured: Measured::default(),
            measuring: true,
            measured_for: Duration::ZERO,
            frames: 0,
            events: 0,
            run,
            closed: false,
            endings: Endings::default(),
            logged: Logged::default(),
            connected: (0, 0),
            failure: String::new(),
            rooms: Vec::new(),
            room_ids: HashMap::new(),
            messages: 0,
            voices: Vec::new(),
            voice_ids: HashMap::new(),
            tails: vec![VecDeque::new(); people.len()],
            people,
            names,
            members: HashMap::new(),
            strangers: Strangers::default(),
            secrets: Secrets::default(),
            fixed: HashMap::new(),
            spoken: HashMap::new(),
            fences: HashSet::new(),
            presences: HashMap::new(),
            witnesses: Vec::new(),
            witnessed: 0,
        }
    }

    /// Enters an observation.
    pub fn observe(&mut self, at: Time, client: ClientId, what: What) {
        if let What::Closed(ending) = &what {
            self.endings.add(ending);
        }
        if self.closed {
            return;
        }
        let what = self.discreet(what);
        let seen = Observation { at, client, what };
        let new = self.judge.observe(&seen);
        self.log_seen(seen);
        if new > 0 {
            self.open_witnesses(client);
        }
    }

    /// Keeps a duration, in microseconds, unless the run is warming up.
    pub fn measure(&mut self, metric: Metric, micros: u64) {
        if self.measuring {
            self.measured.record(metric, micros);
        }
    }

    /// Keeps how long a message took: from when it was meant to be sent, and from when it was.
    pub fn delivered(&mut self, now: Time, intended: Time, sent: Time) {
        if self.measuring {
            self.measured.delivered(now, intended, sent);
        }
    }

    /// Counts the clients that are connected.
    pub fn connected(&mut self, more: bool) {
        if more {
            self.connected.0 += 1;
            self.connected.1 = self.connected.1.max(self.connected.0);
        } else {
            self.connected.0 = self.connected.0.saturating_sub(1);
        }
    }

    /// How many clients are connected.
    pub fn connected_now(&self) -> u64 {
        self.connected.0
    }

    /// How many clients were connected at the same time, at most.
    pub fn connected_max(&self) -> u64 {
        self.connected.1
    }

    /// How many messages were sent.
    pub fn messages(&self) -> u64 {
        self.messages
    }

    /// A step of the timeline failed: a finding like any other.
    pub fn step_failed(
        &mut self,
        at: Time,
        client: ClientId,
        place: Place,
        class: Class,
        detail: &str,
    ) {
        self.failure = format!("line {}: {}", place.line, self.secrets.concealed(detail));
        let finding = Finding::new(STEPS, class, at, self.failure.clone()).client(client);
        self.log_step(&finding);
        self.judge.report(finding);
        self.open_witnesses(client);
    }

    /// How the step failed that failed last.
    pub fn last_failure(&self) -> String {
        self.failure.clone()
    }

    /// The run is over: what comes from now on is not looked at any more.
    pub fn close(&mut self) {
        self.closed = true;
    }

    /// The number of a room.
    pub fn room(&mut self, name: &str) -> RoomId {
        if let Some(&id) = self.room_ids.get(name) {
            return id;
        }
        let id = RoomId(u32::try_from(self.rooms.len()).expect("fewer rooms than frames"));
        let name: Arc<str> = name.into();
        self.log_room(id, &name);
        self.rooms.push(Room { name: Arc::clone(&name), tickets: 0 });
        self.room_ids.insert(name, id);
        id
    }

    /// The name of a room.
    pub fn room_name(&self, room: RoomId) -> Arc<str> {
        self.rooms.get(room.0 as usize).map_or_else(|| "?".into(), |room| Arc::clone(&room.name))
    }

    /// How many messages a room has been sent.
    pub fn tickets(&self, room: RoomId) -> u32 {
        self.rooms.get(room.0 as usize).map_or(0, |room| room.tickets)
    }

    /// A client's name.
    pub fn name(&self, client: ClientId) -> Option<Arc<str>> {
        self.people.get(client.0 as usize).cloned()
    }

    /// Enters a message that is about to be sent; says which it is, and its text.
    pub fn say(
        &mut self,
        now: Time,
        client: ClientId,
        room: RoomId,
        intended: Time,
        words: Wording<'_>,
    ) -> (MessageId, String) {
        let voice = self.voice(client, room);
        let seq = self.voices.get(voice.0 as usize).map_or(0, |voice| voice.sent.len());
        let message = MessageId { voice, seq: u32::try_from(seq).expect("bounded by the plan") };
        let ticket = self.tickets(room);
        if let Some(room) = self.rooms.get_mut(room.0 as usize) {
            room.tickets += 1;
        }
        let text = match words {
            Wording::Fixed(text) => {
                self.fixed.entry((room, client, text.into())).or_default().push(message);
                self.spoken.entry((room, text.into())).or_default().push(message);
                text.to_owned()
            }
            Wording::Stamped(size) => Stamp { run: self.run, message, ticket, intended }.text(size),
            Wording::Fence => {
                self.fences.insert(message);
                Stamp { run: self.run, message, ticket, intended }.text(0)
            }
        };
        self.messages += 1;
        let hash = stamp::hash(text.as_bytes());
        let len = u32::try_from(text.len()).unwrap_or(u32::MAX);
        if let Some(voice) = self.voices.get_mut(voice.0 as usize) {
            voice.sent.push(Sent { at: now, len, hash });
        }
        self.observe(now, client, What::Sending { message, room, ticket, intended, hash });
        (message, text)
    }

    /// Notes when a client changed its presence, and into what.
    pub fn presence(&mut self, now: Time, client: ClientId, room: RoomId, state: &Value) {
        let changes = self.presences.entry((client, room)).or_default();
        if changes.len() >= PRESENCES_MAX {
            changes.pop_front();
        }
        changes.push_back((check::hash_value(state), now));
    }

    /// Measures how long a change of presence took to reach a member.
    pub fn presence_seen(
        &mut self,
        now: Time,
        client: ClientId,
        room: RoomId,
        who: &Who,
        state: &Value,
    ) {
        let Who::Client(who) = *who else { return };
        let Some(changes) = self.presences.get(&(who, room)).filter(|_| who != client) else {
            return;
        };
        let hash = check::hash_value(state);
        let change = changes.iter().rev().find(|(known, _)| *known == hash);
        if let Some(&(_, changed)) = change {
            self.measure(Metric::PresenceConverge, now.0.saturating_sub(changed.0));
        }
    }

    /// Notes when the bytes of a message were handed to the kernel.
    pub fn sent(&mut self, now: Time, client: ClientId, message: MessageId) {
        let voice = self.voices.get_mut(message.voice.0 as usize);
        if let Some(sent) = voice.and_then(|voice| voice.sent.get_mut(message.seq as usize)) {
            sent.at = now;
        }
        self.observe(now, client, What::Sent { message });
    }

    /// What was sent under this number, by whom and where; none if nothing was.
    pub fn recall(&self, message: MessageId) -> Option<(Sent, ClientId, RoomId)> {
        let voice = self.voices.get(message.voice.0 as usize)?;
        let sent = voice.sent.get(message.seq as usize)?;
        Some((*sent, voice.client, voice.room))
    }

    /// The messages with this fixed text, in the order sent.
    pub fn fixed(&self, room: RoomId, from: ClientId, text: &str) -> &[MessageId] {
        self.fixed.get(&(room, from, text.into())).map_or(&[], Vec::as_slice)
    }

    /// The messages with this fixed text in a room, whoever said it, in the order sent.
    pub fn fixed_by_anybody(&self, room: RoomId, text: &str) -> &[MessageId] {
        self.spoken.get(&(room, text.into())).map_or(&[], Vec::as_slice)
    }

    /// Whether a stamp is of this run.
    pub fn is_ours(&self, stamp: &Stamp) -> bool {
        stamp.run == self.run
    }

    /// Whether a message was a fence: nobody is told of it but the checks.
    pub fn is_fence(&self, message: MessageId) -> bool {
        self.fences.contains(&message)
    }

    fn voice(&mut self, client: ClientId, room: RoomId) -> VoiceId {
        let next = VoiceId(u32::try_from(self.voices.len()).expect("bounded by the plan"));
        let voice = *self.voice_ids.entry((client, room)).or_insert(next);
        if voice == next {
            self.voices.push(Voice { client, room, sent: Vec::new() });
        }
        voice
    }

    /// Keeps a frame of a client's traffic for transcripts.
    pub fn frame(&mut self, at: Time, client: ClientId, direction: Direction, text: Arc<str>) {
        let frame = Noted { at, direction, text };
        if self.witnesses.iter().any(|open| open.missing > 0) {
            for open in self.witnesses.iter_mut().filter(|it| it.client == client && it.missing > 0)
            {
                open.frames.push(frame.clone());
                open.missing -= 1;
            }
        }
        let Some(tail) = self.tails.get_mut(client.0 as usize) else { return };
        if tail.len() > FRAMES_AROUND {
            tail.pop_front();
        }
        tail.push_back(frame);
    }

    /// Keeps the frames around the findings that are new. What names nobody is of this client.
    fn open_witnesses(&mut self, client: ClientId) {
        let kept = self.judge.findings().kept();
        let new: Vec<Finding> = kept.iter().skip(self.witnessed).cloned().collect();
        self.witnessed = kept.len();
        for finding in new {
            let client = finding.client.unwrap_or(client);
            self.log_found(&finding, client);
            if self.witnesses.len() < WITNESSES_MAX {
                let tail = self.tails.get(client.0 as usize);
                let frames = tail.into_iter().flatten().cloned().collect();
                self.witnesses.push(Open { finding, client, frames, missing: FRAMES_AROUND });
            }
        }
    }

    /// Judges what only the end of the run decides.
    pub fn conclude(&mut self, end: &End) -> Vec<CheckResult> {
        let results = self.judge.conclude(end);
        self.open_witnesses(ClientId(0));
        self.end_log(end, &results);
        results
    }

    /// The findings with the frames around them.
    pub fn witnesses(&self) -> Vec<Witness> {
        let witness = |open: &Open| Witness {
            finding: self.named_in(&open.finding),
            client: self.name(open.client).map(|name| name.to_string()),
            room: open.finding.room.map(|room| self.room_name(room).to_string()),
            frames: open.frames.iter().map(|noted| self.frame_of(noted)).collect(),
        };
        self.witnesses.iter().map(witness).collect()
    }

    /// A finding that says in words which message it is about.
    fn named_in(&self, finding: &Finding) -> Finding {
        let mut finding = finding.clone();
        let message = finding.message.and_then(|id| Some((id.seq, self.recall(id)?.1)));
        if let Some((seq, sender)) = message.and_then(|(seq, by)| Some((seq, self.name(by)?))) {
            finding.name_message(seq, &sender);
        }
        finding
    }

    fn frame_of(&self, noted: &Noted) -> Frame {
        let text = self.secrets.concealed(&noted.text).into_owned();
        Frame { at: noted.at, direction: noted.direction, text }
    }
}
