//! What a client sees: every frame that comes in becomes observations, answers and inbox events.

use std::sync::Arc;

use serde_json::Value;

use super::{Answer, Client, Content as Kept, Pending, State, Stay};
use crate::books::Books;
use crate::dialect::{Event, EventKind, Verb};
use crate::heard::{Content, Heard, Said};
use crate::latency::Metric;
use crate::observe::{Entry, MessageId, Person, RoomId, Time, What, Who};
use crate::plan::Vars;

/// The longest piece of a foreign text in an observation, in bytes.
const SHOWN_MAX: usize = 200;

impl Client {
    /// A WebSocket ping came. Says whether it is to be answered.
    pub fn pinged(&mut self, now: Time, books: &mut Books) -> bool {
        books.observe(now, self.id, What::Ping);
        self.keep(now, EventKind::Ping, None);
        let answers = self.pongs && self.can_control();
        if answers {
            books.observe(now, self.id, What::Spoke);
        }
        answers
    }

    /// A WebSocket pong came.
    pub fn pong(&mut self, now: Time, payload: &[u8], books: &mut Books) {
        let own = payload.try_into().map(u64::from_be_bytes);
        match own {
            Ok(number) if number <= self.pings_out => self.pongs_in = self.pongs_in.max(number),
            _ => self.keep_pong(payload),
        }
        if self.state == State::Opening && self.dialect.connect.ready == Some(EventKind::Pong) {
            self.ready(now, None, books);
        }
        books.observe(now, self.id, What::Pong);
    }

    /// A text came. Returns a request of the client's own that answers it, if the dialect says so.
    pub fn hear(&mut self, now: Time, heard: &Arc<Heard>, books: &mut Books) -> Option<Verb> {
        self.answered_by_frame = false;
        let reply = self.understand(now, heard, books);
        self.got(now, Kept::Text(Arc::clone(heard)), self.answered_by_frame);
        reply.filter(|_| self.can_message())
    }

    fn understand(&mut self, now: Time, heard: &Arc<Heard>, books: &mut Books) -> Option<Verb> {
        let whole = match heard.event() {
            Some(event) if event.is_partial() => self.whole(now, heard, event, books)?,
            _ => Arc::clone(heard),
        };
        let heard = &whole;
        match &heard.content {
            Content::Unknown => {
                books.observe(now, self.id, What::Unknown { text: shown(&heard.text) });
            }
            Content::Garbled(fact) => {
                let fact = format!("{fact}: {}", shown(&heard.text)).into();
                books.observe(now, self.id, What::Garbled { fact });
            }
            Content::Message(said) if said.event.is_none() => self.message(now, heard, said, books),
            Content::Message(_) | Content::Event(_) => {}
        }
        let event = heard.event()?;
        self.remember(event, books);
        if !self.snapshot(now, heard, books) {
            for (nth, kind) in event.kinds().enumerate() {
                match &heard.content {
                    Content::Message(said) if kind == EventKind::Message => {
                        self.message(now, heard, said, books);
                    }
                    _ => {
                        // What has two meanings is numbered once.
                        let number = integer(&event.fields, "number").filter(|_| nth == 0);
                        self.event(now, kind, number, heard, books);
                        self.keep(now, kind, Some(heard));
                    }
                }
            }
        }
        event.means.reply.filter(|_| self.pongs)
    }

    pub(super) fn event(
        &mut self,
        now: Time,
        kind: EventKind,
        number: Option<u64>,
        heard: &Arc<Heard>,
        books: &mut Books,
    ) {
        let none = Vars::new();
        let fields = heard.fields().unwrap_or(&none);
        let greets = self.dialect.connect.ready == Some(kind);
        if greets && self.state == State::Opening {
            self.answered_by_frame = true;
            self.ready(now, text(fields, "connection"), books);
        } else if greets && self.bare {
            self.bare = false;
        } else if kind == EventKind::Welcome {
            let code = "a second greeting".into();
            books.observe(now, self.id, What::Complaint { code });
        }
        let room = self.room_in(fields, books);
        match (kind, room) {
            (EventKind::Entered, Some(room)) => self.entered(now, room, fields, heard, books),
            (EventKind::Exited, Some(room)) => {
                self.rooms.retain(|stay| stay.room != room);
                books.observe(now, self.id, What::Exited { room });
                self.answered(now, kind, fields, Some(room), heard, books);
            }
            (EventKind::Ok | EventKind::Created | EventKind::Pong, room) => {
                // What names no room answers a request about any.
                let named = room.filter(|_| fields.contains_key("room"));
                self.answered(now, kind, fields, named, heard, books);
            }
            (EventKind::Error, room) => self.refused(now, heard, room, books),
            (EventKind::Joined | EventKind::Left | EventKind::Renamed, Some(room)) => {
                self.membership(now, kind, room, fields, heard, books);
            }
            (EventKind::Presence, Some(room)) => {
                self.saw_number(room, number);
                let who = books.named(heard, Some(room));
                let state = Arc::new(without_nulls(fields.get("state")));
                books.presence_seen(now, self.id, room, &who, &state);
                books.told_of(now, self.id, What::Presence { room, who, state, number });
            }
            (EventKind::Stored, Some(room)) => {
                self.saw_number(room, number);
                let who = books.named(heard, Some(room));
                let version = integer(fields, "version").unwrap_or_default();
                let ops = Arc::new(fields.get("ops").cloned().unwrap_or_default());
                books.observe(now, self.id, What::Stored { room, who, version, ops, number });
            }
            (EventKind::Ping, _) => books.observe(now, self.id, What::Ping),
            _ => {}
        }
    }

    fn message(&mut self, now: Time, heard: &Arc<Heard>, said: &Said, books: &mut Books) {
        let none = Vars::new();
        let fields = said.event.as_ref().map_or(&none, |event| &event.fields);
        let told = fields.get("room").and_then(Value::as_str).map(|name| books.room(name));
        let number = integer(fields, "number");
        if let Some(room) = told {
            self.saw_number(room, number);
        }
        let from = books.named(heard, told);
        let Some(message) = self.which(said, told, &from, books) else {
            let foreign = said.stamp.is_some_and(|stamp| !books.is_ours(&stamp));
            let text = shown(&heard.text);
            books.observe(now, self.id, What::Stray { room: told, text, foreign });
            return self.keep(now, EventKind::Message, Some(heard));
        };
        let recalled = books.recall(message);
        let hash = recalled.map_or(0, |(sent, ..)| said.hash(&heard.text, sent.len as usize));
        if let (Some((sent, sender, room)), Some(stamp)) = (recalled, said.stamp) {
            // What was sent before this client came is a replay: how long it took says nothing.
            let live =
                self.rooms.iter().any(|stay| stay.room == room && stay.since <= stamp.intended);
            if sender != self.id && live {
                books.delivered(now, stamp.intended, sent.at);
            }
        }
        books.observe(now, self.id, What::Received { message, room: told, from, hash, number });
        if self.fence == Some(message) {
            self.fence = None;
        }
        if books.is_fence(message) {
            self.answered_by_frame = true;
        } else {
            let sender = recalled.map(|(_, sender, _)| sender);
            self.keep_from(now, EventKind::Message, Some(heard), sender);
        }
    }

    /// Which of our messages this is. A fixed text that was said several times is told apart by
    /// counting: the checks see the first one that this client has not had yet.
    fn which(
        &mut self,
        said: &Said,
        told: Option<RoomId>,
        from: &Who,
        books: &Books,
    ) -> Option<MessageId> {
        if let Some(stamp) = said.stamp {
            return books.is_ours(&stamp).then_some(stamp.message);
        }
        let words = said.event.as_ref()?.fields.get("text")?.as_str()?;
        let room = told.or_else(|| self.rooms.last().map(|stay| stay.room))?;
        let from = match *from {
            Who::Client(from) => Some(from),
            // Where the wire names nobody, it may be anybody's.
            Who::Untold => None,
            Who::Stranger(_) => return None,
        };
        let candidates = match from {
            Some(from) => books.fixed(room, from, words),
            None => books.fixed_by_anybody(room, words),
        };
        // What nobody of ours has said is not counted: strangers may say anything, for ever.
        let last = candidates.last()?;
        let had = self.fixed_heard.entry((room, from, words.into())).or_insert(0);
        *had += 1;
        candidates.get(*had - 1).or(Some(last)).copied()
    }

    fn entered(
        &mut self,
        now: Time,
        room: RoomId,
        fields: &Vars,
        heard: &Arc<Heard>,
        books: &mut Books,
    ) {
        let you = text(fields, "you");
        if let Some(you) = &you {
            books.introduce(room, you, self.id);
        }
        self.entering = None;
        let pending = self.pending.iter().find(|pending| pending.verb == Verb::Join);
        let full = pending.is_none_or(|pending| pending.full);
        let members: Option<Vec<Person>> = fields
            .get("members")
            .and_then(Value::as_array)
            .map(|list| list.iter().map(|person| listed(room, person, books)).collect());
        let entry = Entry {
            room,
            confirmed: true,
            full,
            you,
            tickets: books.tickets(room),
            members,
            count: integer(fields, "count"),
            epoch: fields.get("epoch").map(word),
            number: integer(fields, "number"),
            view: integer(fields, "view"),
            recovered: fields.get("recovered").and_then(Value::as_bool),
            storage: integer(fields, "version")
                .zip(fields.get("entries").map(|entries| Arc::new(entries.clone()))),
        };
        self.begin_stay(now, fields, &entry, books);
        books.observe(now, self.id, What::Entered(Box::new(entry)));
        self.answered(now, EventKind::Entered, fields, Some(room), heard, books);
    }

    fn begin_stay(&mut self, now: Time, fields: &Vars, entry: &Entry, books: &Books) {
        let mut stay = Stay::begun(entry.room, books.room_name(entry.room), entry.full, now);
        stay.epoch = fields.get("epoch").cloned();
        stay.number = entry.number;
        stay.you.clone_from(&entry.you);
        stay.fresh = !self.dialect.snapshot.is_empty();
        if self.wanted.contains(&EventKind::Joined) {
            let list = fields.get("members").and_then(Value::as_array).into_iter().flatten();
            stay.members = list.filter_map(|person| text_of(person.get("who"))).collect();
        }
        self.rooms.retain(|old| old.room != entry.room);
        self.past.retain(|old| old.room != entry.room);
        self.rooms.push(stay);
    }

    fn membership(
        &mut self,
        now: Time,
        kind: EventKind,
        room: RoomId,
        fields: &Vars,
        heard: &Arc<Heard>,
        books: &mut Books,
    ) {
        let who = books.named(heard, Some(room));
        let view = integer(fields, "view");
        let named = text(fields, "who").or_else(|| match who {
            Who::Client(client) => books.name(client),
            _ => None,
        });
        let stay = self.rooms.iter_mut().find(|stay| stay.room == room);
        let track = self.wanted.contains(&EventKind::Joined);
        match kind {
            EventKind::Joined => {
                if let (Some(stay), Some(name), true) = (stay, named, track) {
                    stay.members.push(name);
                }
                books.told_of(now, self.id, What::Joined { room, who, view });
            }
            EventKind::Left => {
                if let (Some(stay), Some(name), true) = (stay, named, track) {
                    stay.members.retain(|member| *member != name);
                }
                let reason = text(fields, "reason");
                books.told_of(now, self.id, What::Left { room, who, view, reason });
            }
            EventKind::Renamed => books.observe(now, self.id, What::Renamed { room, who, view }),
            _ => {}
        }
    }

    /// Settles the request that this event acknowledges: the one it names, else the oldest that
    /// waits for such an event.
    pub(super) fn answered(
        &mut self,
        now: Time,
        kind: EventKind,
        fields: &Vars,
        room: Option<RoomId>,
        heard: &Arc<Heard>,
        books: &mut Books,
    ) {
        let named = request_in(fields);
        let at = self.pending.iter().position(|pending| match named {
            Some(id) => pending.id == id,
            None => {
                pending.ack == kind
                    && !pending.http
                    && (pending.room == room || pending.room.is_none() || room.is_none())
            }
        });
        let Some(at) = at else {
            if named.is_some() || matches!(kind, EventKind::Ok) {
                let code = format!("a reply to no request: {}", shown(&heard.text)).into();
                books.observe(now, self.id, What::Complaint { code });
            }
            return;
        };
        let pending = self.pending.remove(at);
        self.answered_by_frame = true;
        if pending.ack != kind {
            let verb = pending.verb.as_str().into();
            books.observe(now, self.id, What::Unanswered { verb });
        }
        self.acknowledge(now, &pending, fields, books);
        if pending.awaited {
            self.answers.push((pending.id, Answer::Done(Arc::clone(heard))));
        }
    }

    fn acknowledge(&mut self, now: Time, pending: &Pending, fields: &Vars, books: &mut Books) {
        let micros = now.0.saturating_sub(pending.asked.0);
        match pending.verb {
            Verb::Join | Verb::Create => books.measure(Metric::JoinLatency, micros),
            _ => books.measure(Metric::AckLatency, micros),
        }
        let number = integer(fields, "number");
        let what = match (pending.verb, pending.message, pending.room) {
            (Verb::Say, Some(message), _) => What::Acked { message, number },
            (Verb::Presence, _, Some(room)) => What::PresenceAcked { room },
            // That it is out is shown by an answer to something else.
            (Verb::Leave, _, Some(room)) if pending.ack != EventKind::Exited => {
                self.rooms.retain(|stay| stay.room != room);
                What::Exited { room }
            }
            (Verb::Store, _, Some(room)) => {
                let request = u32::try_from(pending.id).unwrap_or(u32::MAX);
                What::StoreAcked { room, request, version: integer(fields, "version") }
            }
            _ => return,
        };
        books.observe(now, self.id, what);
    }

    fn refused(&mut self, now: Time, heard: &Arc<Heard>, room: Option<RoomId>, books: &mut Books) {
        let Some(Event { fields, means, .. }) = heard.event() else { return };
        let code = text(fields, "code").unwrap_or_else(|| "error".into());
        if self.state == State::Opening {
            // Some say with what they end a connection before it is open, and end it without a word.
            self.ended_with = code.parse().ok();
        }
        let named = request_in(fields);
        let at = self.pending.iter().position(|pending| match (named, means.refuses) {
            (Some(id), _) => pending.id == id,
            (None, Some(verb)) => pending.verb == verb && !pending.http,
            (None, None) => !pending.http,
        });
        self.refuse(now, at, code, room, means.refuses, books);
    }

    /// Settles a request that was refused; without one, tells of an error that answers nothing.
    pub(super) fn refuse(
        &mut self,
        now: Time,
        at: Option<usize>,
        code: Arc<str>,
        room: Option<RoomId>,
        refuses: Option<Verb>,
        books: &mut Books,
    ) {
        let Some(at) = at else {
            // Writes may be refused, here as where the refusal names its request.
            if refuses != Some(Verb::Store) {
                books.observe(now, self.id, What::Complaint { code });
            }
            return;
        };
        let pending = self.pending.remove(at);
        self.answered_by_frame = true;
        let room = pending.room.or(room);
        let what = match (pending.verb, pending.message, room) {
            (Verb::Say, Some(message), _) => {
                Some(What::Rejected { message, code: Arc::clone(&code) })
            }
            (Verb::Join, _, room) => Some(What::Refused { room, code: Arc::clone(&code) }),
            (Verb::Store, _, Some(room)) => {
                let request = u32::try_from(pending.id).unwrap_or(u32::MAX);
                Some(What::StoreRefused { room, request })
            }
            _ => None,
        };
        if let Some(what) = what {
            books.observe(now, self.id, what);
        }
        if pending.awaited {
            self.answers.push((pending.id, Answer::Refused(code)));
        } else if pending.verb != Verb::Store {
            books.observe(now, self.id, What::Complaint { code });
        }
    }

    /// The room that an event names; else, where the wire names none, the one entered last.
    pub(super) fn room_in(&self, fields: &Vars, books: &mut Books) -> Option<RoomId> {
        match fields.get("room").and_then(Value::as_str) {
            Some(name) => Some(books.room(name)),
            None => self.rooms.last().map(|stay| stay.room),
        }
    }

    pub(super) fn saw_number(&mut self, room: RoomId, number: Option<u64>) {
        let stay = self.rooms.iter_mut().find(|stay| stay.room == room);
        if let (Some(stay), Some(number)) = (stay, number) {
            stay.number = Some(number);
        }
    }
}

/// How a client entered a room whose server does not confirm.
pub(super) fn unconfirmed(room: RoomId, full: bool, tickets: u32) -> Entry {
    Entry {
        room,
        confirmed: false,
        full,
        you: None,
        tickets,
        members: None,
        count: None,
        epoch: None,
        number: None,
        view: None,
        recovered: None,
        storage: None,
    }
}

fn listed(room: RoomId, person: &Value, books: &mut Books) -> Person {
    let text = |key: &str| person.get(key).and_then(Value::as_str);
    let who = books.who(Some(room), text("who"), text("member"));
    Person { who, state: person.get("state").map(|state| Arc::new(state.clone())) }
}

fn text_of(value: Option<&Value>) -> Option<Arc<str>> {
    value.and_then(Value::as_str).map(Arc::from)
}

pub(super) fn text(fields: &Vars, name: &str) -> Option<Arc<str>> {
    fields.get(name).map(word)
}

fn word(value: &Value) -> Arc<str> {
    value.as_str().map_or_else(|| value.to_string().into(), Arc::from)
}

pub(super) fn integer(fields: &Vars, name: &str) -> Option<u64> {
    fields.get(name).and_then(Value::as_u64)
}

/// The request that an answer names. Some protocols write numbers as texts.
fn request_in(fields: &Vars) -> Option<u64> {
    let re = fields.get("re")?;
    re.as_u64().or_else(|| re.as_str()?.parse().ok())
}

/// A presence without what was taken out of it: a null is nothing (RFC 7396).
fn without_nulls(state: Option<&Value>) -> Value {
    let mut state = state.cloned().unwrap_or_default();
    if let Value::Object(fields) = &mut state {
        fields.retain(|_, value| !value.is_null());
    }
    state
}

/// A text cut to a readable length.
fn shown(text: &str) -> Arc<str> {
    let end = text.char_indices().map(|(at, _)| at).find(|&at| at >= SHOWN_MAX);
    end.map_or_else(
        || text.into(),
        |end| format!("{}…", text.get(..end).unwrap_or_default()).into(),
    )
}
