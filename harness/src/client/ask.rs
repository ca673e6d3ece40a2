//! What a client says: requests and messages, in the dialect's words.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{Client, Pending, Stay};
use crate::books::{Books, Wording};
use crate::dialect::{EventKind, Exchange, Request, Unfilled, Verb};
use crate::observe::{Entry, MessageId, RoomId, Time, What};
use crate::plan::Vars;

/// What is to be sent, and how to learn what came of it.
#[derive(Debug)]
pub struct Asked {
    /// The texts of its frames.
    pub frames: Vec<String>,
    /// It is an HTTP request.
    pub http: Option<Exchange>,
    /// Its number.
    pub id: u64,
    /// The request whose answer can be waited for; none if this dialect does not answer it.
    pub request: Option<u64>,
    /// The message in it.
    pub message: Option<MessageId>,
}

/// A message to say.
#[derive(Clone, Copy, Debug)]
pub struct Line<'a> {
    /// Its words.
    pub words: Wording<'a>,
    /// The room; none: the one it entered last.
    pub room: Option<&'a str>,
    /// When the schedule wanted it.
    pub intended: Time,
    /// Somebody waits for the answer.
    pub awaited: bool,
}

/// Arguments that choose the form of a request.
const ARGUMENTS: [&str; 4] = ["code", "membership", "capacity", "if_version"];

impl Client {
    /// Asks for something. `args` are filled already.
    ///
    /// # Errors
    /// The dialect's template has a hole that nothing fills.
    pub fn ask(
        &mut self,
        now: Time,
        verb: Verb,
        args: &Vars,
        awaited: bool,
        books: &mut Books,
    ) -> Result<Asked, Unfilled> {
        let mut vars = self.vars_for(verb, args, books);
        let room = self.room_of(verb, args, books);
        self.remember_where(&mut vars, args, room);
        let id = self.next_request;
        vars.insert("id".to_owned(), json!(id));
        let request = self.dialect.request(verb, &vars)?;
        self.next_request += 1;
        let full = args.get("membership").and_then(Value::as_str) != Some("none");
        if let (Verb::Name, Some(name)) = (verb, args.get("username").and_then(Value::as_str)) {
            books.also_called(self.id, name);
        }
        self.announce(now, verb, args, room, id, books);
        let pending = Pending { full, awaited, ..Pending::of(id, verb, now, room, &request) };
        let answered = self.await_answer(pending, &request);
        if !answered {
            self.assume(now, verb, room, full, books);
        }
        let Request { frames, http, .. } = request;
        Ok(Asked { frames, http, id, request: answered.then_some(id), message: None })
    }

    /// Keeps a request until its answer comes, if one will come. Says whether.
    fn await_answer(&mut self, pending: Pending, request: &Request) -> bool {
        let answered = request.ack.is_some() || request.http.is_some();
        self.pending.extend(answered.then_some(pending));
        answered
    }

    /// Waits for the refusal of a request that nothing acknowledges.
    pub fn await_refusal(&mut self, now: Time, verb: Verb, asked: &mut Asked) {
        if asked.request.is_none() {
            let room = self.rooms.last().map(|stay| stay.room);
            let pending = Pending::of(asked.id, verb, now, room, &Request::default());
            self.pending.push(Pending { message: asked.message, awaited: true, ..pending });
            asked.request = Some(asked.id);
        }
    }

    /// The values that a request is made of.
    pub fn vars_for(&self, verb: Verb, args: &Vars, books: &mut Books) -> Vars {
        let mut vars = self.vars();
        // What was saved under these names belongs to another request.
        ARGUMENTS.iter().for_each(|name| drop(vars.remove(*name)));
        vars.extend(args.iter().map(|(name, value)| (name.clone(), value.clone())));
        if let Some(room) = self.room_of(verb, args, books) {
            vars.insert("room".to_owned(), json!(&*books.room_name(room)));
        }
        vars
    }

    /// The HTTP requests that must be made before this can be asked for.
    pub fn first_of(&self, verb: Verb, args: &Vars, books: &mut Books) -> Vec<String> {
        if !self.dialect.has_http() {
            return Vec::new();
        }
        self.dialect.before(verb, &self.vars_for(verb, args, books)).to_vec()
    }

    /// An HTTP request that comes before another, with that one's values.
    ///
    /// # Errors
    /// It has a hole that nothing fills.
    pub fn exchange(
        &self,
        name: &str,
        verb: Verb,
        args: &Vars,
        books: &mut Books,
    ) -> Result<Exchange, Unfilled> {
        self.dialect.exchange(name, &self.vars_for(verb, args, books))
    }

    /// Says something.
    ///
    /// # Errors
    /// The dialect's template has a hole that nothing fills.
    pub fn say(&mut self, now: Time, line: Line<'_>, books: &mut Books) -> Result<Asked, Unfilled> {
        let room = match line.room {
            Some(name) => Some(books.room(name)),
            None => self.rooms.last().map(|stay| stay.room),
        };
        let room = room.ok_or_else(|| Unfilled("room".to_owned()))?;
        let mut vars = self.vars();
        vars.insert("room".to_owned(), json!(&*books.room_name(room)));
        let id = self.next_request;
        vars.insert("id".to_owned(), json!(id));
        vars.insert("text".to_owned(), json!(""));
        // Filled once in vain: a message that cannot be sent must not be in the books.
        self.dialect.request(Verb::Say, &vars)?;
        let (message, words) = books.say(now, self.id, room, line.intended, line.words);
        vars.insert("text".to_owned(), Value::String(words));
        let request = self.dialect.request(Verb::Say, &vars)?;
        self.next_request += 1;
        if matches!(line.words, Wording::Fence) {
            self.fence = Some(message);
        }
        let pending = Pending::of(id, Verb::Say, now, Some(room), &request);
        let pending = Pending { message: Some(message), awaited: line.awaited, ..pending };
        let answered = self.await_answer(pending, &request);
        let Request { frames, http, .. } = request;
        let request = answered.then_some(id);
        Ok(Asked { frames, http, id, request, message: Some(message) })
    }

    /// The room that a request is about: the one it names, else the one entered last.
    fn room_of(&self, verb: Verb, args: &Vars, books: &mut Books) -> Option<RoomId> {
        if let Some(name) = args.get("room").and_then(Value::as_str) {
            return Some(books.room(name));
        }
        match verb {
            Verb::Name | Verb::Create | Verb::Join | Verb::Ping => None,
            _ => self.rooms.last().map(|stay| stay.room),
        }
    }

    /// `since: last` is turned into where this client's last stay in the room ended.
    fn remember_where(&self, vars: &mut Vars, args: &Vars, room: Option<RoomId>) {
        vars.remove("since");
        if args.get("since").is_none_or(Value::is_null) {
            return;
        }
        let stays = self.rooms.iter().chain(&self.past);
        let Some(stay) = stays.rev().find(|stay| Some(stay.room) == room) else { return };
        let (Some(epoch), Some(number)) = (&stay.epoch, stay.number) else { return };
        vars.insert("since_epoch".to_owned(), epoch.clone());
        vars.insert("since_number".to_owned(), json!(number));
    }

    /// Tells the books what is about to be asked.
    fn announce(
        &mut self,
        now: Time,
        verb: Verb,
        args: &Vars,
        room: Option<RoomId>,
        id: u64,
        books: &mut Books,
    ) {
        let since = args.get("since").is_some_and(|since| !since.is_null());
        let what = match (verb, room) {
            (Verb::Join, room) => What::Joining { room, since },
            // Who makes a room is in it.
            (Verb::Create, _) => What::Joining { room: None, since: false },
            (Verb::Leave, Some(room)) => What::Leaving { room },
            (Verb::Presence, Some(room)) => {
                let patch = args.get("patch").cloned().unwrap_or_default();
                let Some(stay) = self.rooms.iter_mut().find(|stay| stay.room == room) else {
                    return books.observe(now, self.id, What::Spoke);
                };
                json_patch::merge(&mut stay.presence, &patch);
                let state = Arc::new(stay.presence.clone());
                books.presence(now, self.id, room, &state);
                What::PresenceSending { room, state }
            }
            (Verb::Store, Some(room)) => {
                let ops = Arc::new(args.get("ops").cloned().unwrap_or_default());
                What::Storing { room, request: u32::try_from(id).unwrap_or(u32::MAX), ops }
            }
            _ => What::Spoke,
        };
        books.observe(now, self.id, what);
    }

    /// What follows from a request that nobody will answer.
    fn assume(
        &mut self,
        now: Time,
        verb: Verb,
        room: Option<RoomId>,
        full: bool,
        books: &mut Books,
    ) {
        match (verb, room) {
            (Verb::Join, Some(room)) => self.enter_unasked(now, room, full, false, books),
            (Verb::Leave, Some(room)) => self.rooms.retain(|stay| stay.room != room),
            _ => {}
        }
    }

    /// It is in a room, as far as can be known without being told. `certain`: the server has been
    /// heard since.
    pub(super) fn enter_unasked(
        &mut self,
        now: Time,
        room: RoomId,
        full: bool,
        certain: bool,
        books: &mut Books,
    ) {
        let unconfirmed = super::hear::unconfirmed(room, full, books.tickets(room));
        let entry = Entry { confirmed: certain, ..unconfirmed };
        self.rooms.retain(|stay| stay.room != room);
        self.rooms.push(Stay::begun(room, books.room_name(room), full, now));
        books.observe(now, self.id, What::Entered(Box::new(entry)));
    }
}

impl Pending {
    fn of(id: u64, verb: Verb, asked: Time, room: Option<RoomId>, request: &Request) -> Self {
        // HTTP answers at once; what comes over the socket as well may be the real answer.
        let http = request.http.is_some() && request.ack.is_none();
        let ack = request.ack.unwrap_or(EventKind::Error);
        Self { id, verb, ack, asked, room, message: None, full: false, awaited: false, http }
    }
}
