//! One connection of the native protocol: what its messages mean.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::act::{CODE_SIGN, Leaving, Newcomer, not_joined};
use super::incoming::{Create, Envelope, Join, Name, Op, Request, Store};
use super::outgoing::Outgoing;
use super::refusal::{Code, Refusal};
use crate::act::{Act, code_meant, in_coded_room, in_room};
use crate::dialect::{Dialect, ROOM_SIGNS, is_made_of};
use crate::ending::{Flow, Reason};
use crate::frame::Frame;
use crate::ids::Ids;
use crate::json::Id;
use crate::limits::passes;
use crate::rate::Door;
use crate::room::{Membership, Seat};
use crate::time::Now;
use crate::world::{Make, Tally, World};

/// Characters of a username.
const USERNAME_CHARS: usize = 64;
/// Members of a room made with `create`, unless the client says otherwise.
const CAPACITY: usize = 2;
/// Bytes of a key in the storage.
const KEY_BYTES: usize = 256;

/// One connection.
#[derive(Debug)]
pub struct Session<P> {
    connection: String,
    username: String,
    peer: P,
    rooms: BTreeMap<String, Seat>,
    door: Door,
}

/// What a request is answered with, apart from what stands in a room's order.
enum Reply<'a> {
    /// It has been answered already.
    Done,
    /// `ok`.
    Ok,
    /// `ok`, with the place in the log of a room, and the version of its storage.
    Placed { room: Cow<'a, str>, seq: u64, version: Option<u64> },
}

impl<P> Session<P> {
    /// Greets a connection that was just opened: pushes `welcome`. `connection` is from
    /// [`Ids::connection`].
    pub fn open<W: World<Peer = P>>(now: Now, connection: String, peer: P, world: &W) -> Self {
        let limits = world.limits();
        let welcome = Outgoing::Welcome {
            connection: &connection,
            username: &connection,
            heartbeat: limits.into(),
            limits: limits.into(),
            server: &limits.server,
        };
        world.push(&peer, &Frame::json(&welcome));
        Self {
            username: connection.clone(),
            connection,
            peer,
            rooms: BTreeMap::new(),
            door: Door::new(now.time, limits),
        }
    }

    /// The connection's id, as `welcome` told it.
    pub fn id(&self) -> &str {
        &self.connection
    }

    /// The rooms that it is in, by name.
    pub fn rooms(&self) -> impl Iterator<Item = &str> {
        self.rooms.keys().map(String::as_str)
    }

    /// Takes in one text message. Whatever it says, the answer is at worst an error reply, unless
    /// it is over the limit or part of a flood.
    pub fn received<W: World<Peer = P>>(&mut self, now: Now, text: &str, world: &W) -> Flow {
        let admitted = match self.door.admits(now.time, Dialect::Native, text.len(), world) {
            Ok(admitted) => admitted,
            Err(ending) => return Flow::Close(ending),
        };
        let (re, outcome) = match Envelope::read(text) {
            Err((re, _)) if !admitted => (re, Err(rate_limited())),
            Ok(envelope) if !admitted => (envelope.id, Err(rate_limited())),
            Err((re, refusal)) => (re, Err(refusal)),
            Ok(envelope) => {
                let request = envelope.request(text);
                let re = envelope.id;
                let outcome = request.and_then(|it| self.obey(now, re.as_ref(), it, world));
                (re, outcome)
            }
        };
        self.reply(re.as_ref(), &outcome, world);
        Flow::Continue
    }

    /// Leaves all rooms: the peers are told, once. A second call does nothing.
    pub fn end<W: World<Peer = P>>(&mut self, now: Now, reason: Reason, world: &W) {
        for (name, seat) in std::mem::take(&mut self.rooms) {
            in_room(now, &name, Make::Never, world, |act| act.leave(seat, Leaving::Cut(reason)));
        }
    }

    fn reply<W: World<Peer = P>>(
        &self,
        re: Option<&Id>,
        outcome: &Result<Reply<'_>, Refusal>,
        world: &W,
    ) {
        let reply = match (outcome, re) {
            (Ok(Reply::Done), _) | (Ok(_), None) => return,
            (Ok(Reply::Ok), Some(re)) => Outgoing::Ok { re, room: None, seq: None, version: None },
            (Ok(Reply::Placed { room, seq, version }), Some(re)) => {
                Outgoing::Ok { re, room: Some(room), seq: Some(*seq), version: *version }
            }
            (Err(Refusal { code, message, room }), re) => {
                let code = code.as_str();
                world.tally(Tally::Refused { code });
                Outgoing::Error { re, code, message, room: room.as_deref() }
            }
        };
        world.push(&self.peer, &Frame::json(&reply));
    }

    fn obey<'a, W: World<Peer = P>>(
        &mut self,
        now: Now,
        re: Option<&Id>,
        request: Request<'a>,
        world: &W,
    ) -> Result<Reply<'a>, Refusal> {
        let placed = |room, seq| Reply::Placed { room, seq, version: None };
        match request {
            Request::Ping => {
                let pong = Outgoing::Pong { re };
                world.push(&self.peer, &Frame::json(&pong));
                Ok(Reply::Done)
            }
            Request::Name(request) => self.name(now, &request, world),
            Request::Create(request) => self.create(now, re, &request, world),
            Request::Join(request) => self.join(now, re, &request, world),
            Request::Leave(request) => {
                let seat =
                    self.rooms.remove(&*request.room).ok_or_else(|| not_joined(&request.room))?;
                in_room(now, &request.room, Make::Never, world, |act| {
                    act.leave(seat, Leaving::Asked { re });
                });
                Ok(Reply::Done)
            }
            Request::Chat(request) => {
                let seq = self
                    .inside(now, &request.room, world, |act, seat| act.chat(seat, &request.text))?;
                Ok(placed(request.room, seq))
            }
            Request::Presence(request) => {
                let seq = self.inside(now, &request.room, world, |act, seat| {
                    act.presence(seat, request.patch)
                })?;
                Ok(placed(request.room, seq))
            }
            Request::Store(request) => self.store(now, request, world),
            Request::Typing(request) => {
                self.inside(now, &request.room, world, |act, seat| {
                    act.set_typing(seat, request.on);
                    Ok(())
                })?;
                Ok(Reply::Ok)
            }
            Request::Read(request) => {
                self.inside(now, &request.room, world, |act, seat| act.read(seat, request.seq))?;
                Ok(Reply::Ok)
            }
        }
    }

    fn name<W: World<Peer = P>>(
        &mut self,
        now: Now,
        request: &Name<'_>,
        world: &W,
    ) -> Result<Reply<'static>, Refusal> {
        let username = &*request.username;
        if username.is_empty() {
            return Err(Refusal::new(Code::BadMessage, "a username is not empty"));
        }
        if username.chars().nth(USERNAME_CHARS).is_some() {
            let why = format!("a username has up to {USERNAME_CHARS} characters");
            return Err(Refusal::new(Code::TooLarge, why));
        }
        if username != self.username {
            username.clone_into(&mut self.username);
            for (room, &seat) in &self.rooms {
                in_room(now, room, Make::Never, world, |act| act.rename(seat, username));
            }
        }
        Ok(Reply::Ok)
    }

    fn create<W: World<Peer = P>>(
        &mut self,
        now: Now,
        re: Option<&Id>,
        request: &Create,
        world: &W,
    ) -> Result<Reply<'static>, Refusal> {
        self.may_enter(world)?;
        let capacity = request.capacity.map_or(CAPACITY, |capacity| capacity.get().into());
        let id = world.with_ids(Ids::member);
        let made = in_coded_room(now, room_of, world, |act, code| {
            act.room.set_capacity(capacity);
            let room = act.room.name();
            act.push(&self.peer, &Outgoing::Created { re, code, room });
            // `created` was the reply: a request is answered with its id once.
            let seat = act.join(self.newcomer(None, id.clone(), Membership::Full))?;
            Ok((act.room.name().to_owned(), seat))
        });
        let no_more = || Refusal::new(Code::TooManyRooms, "the server has no more rooms");
        let (name, seat) = made.ok_or_else(no_more)??;
        self.rooms.insert(name, seat);
        Ok(Reply::Done)
    }

    fn join<W: World<Peer = P>>(
        &mut self,
        now: Now,
        re: Option<&Id>,
        request: &Join<'_>,
        world: &W,
    ) -> Result<Reply<'static>, Refusal> {
        let (name, make) = match (&request.room, &request.code) {
            (Some(room), None) => {
                check_name(room, world.limits().room_name_bytes)?;
                (Cow::Borrowed(&**room), Make::IfAbsent)
            }
            (None, Some(code)) => {
                let code = code_meant(code).ok_or_else(|| {
                    Refusal::new(Code::RoomNotFound, "there is no room of that code")
                })?;
                (Cow::Owned(room_of(&code)), Make::Never)
            }
            _ => return Err(Refusal::new(Code::BadMessage, "either `room` or `code`")),
        };
        if self.rooms.contains_key(&*name) {
            let refusal = Refusal::new(Code::AlreadyJoined, "already in that room");
            return Err(refusal.about(&name));
        }
        self.may_enter(world).map_err(|refusal| refusal.about(&name))?;
        let id = world.with_ids(Ids::member);
        let since = request.since.as_ref().map(|since| &since.0);
        let newcomer =
            Newcomer { since, ..self.newcomer(re, id, request.membership.unwrap_or_default()) };
        let seat = in_room(now, &name, make, world, |act| act.join(newcomer));
        let seat = seat.ok_or_else(|| match make {
            Make::Never => Refusal::new(Code::RoomNotFound, "there is no room of that code"),
            _ => Refusal::new(Code::TooManyRooms, "the server has no more rooms"),
        });
        let seat = seat.map_err(|refusal| refusal.about(&name))??;
        self.rooms.insert(name.into_owned(), seat);
        Ok(Reply::Done)
    }

    fn store<'a, W: World<Peer = P>>(
        &self,
        now: Now,
        request: Store<'a>,
        world: &W,
    ) -> Result<Reply<'a>, Refusal> {
        let Store { room, ops, if_version } = request;
        if ops.is_empty() {
            return Err(Refusal::new(Code::BadMessage, "`ops` is empty"));
        }
        if ops.iter().any(|op| op.change().key.is_empty()) {
            return Err(Refusal::new(Code::BadMessage, "a key is not empty"));
        }
        let (seq, version) = self.inside(now, &room, world, |act, seat| {
            if ops.iter().map(Op::change).any(|change| change.key.len() > KEY_BYTES) {
                let why = format!("a key has up to {KEY_BYTES} bytes");
                return Err(Refusal::new(Code::TooLarge, why).about(&room));
            }
            act.store(seat, &ops, if_version)
        })?;
        Ok(Reply::Placed { room, seq, version: Some(version) })
    }

    fn newcomer<'a>(
        &'a self,
        re: Option<&'a Id>,
        id: String,
        membership: Membership,
    ) -> Newcomer<'a, P> {
        Newcomer { re, id, username: &self.username, peer: &self.peer, membership, since: None }
    }

    fn may_enter<W: World<Peer = P>>(&self, world: &W) -> Result<(), Refusal> {
        if world.draining() {
            return Err(Refusal::new(Code::Draining, "the server is about to stop"));
        }
        if passes(self.rooms.len() + 1, world.limits().rooms) {
            return Err(Refusal::new(Code::TooManyRooms, "in as many rooms as may be"));
        }
        Ok(())
    }

    /// Does something in a room that the connection is in.
    fn inside<W: World<Peer = P>, R>(
        &self,
        now: Now,
        room: &str,
        world: &W,
        act: impl FnOnce(&mut Act<'_, W>, Seat) -> Result<R, Refusal>,
    ) -> Result<R, Refusal> {
        let seat = *self.rooms.get(room).ok_or_else(|| not_joined(room))?;
        let done = in_room(now, room, Make::Never, world, |it| act(it, seat));
        done.unwrap_or_else(|| Err(not_joined(room)))
    }
}

fn check_name(room: &str, limit: usize) -> Result<(), Refusal> {
    if !is_made_of(room, ROOM_SIGNS) {
        let why = "a room's name is made of A-Z, a-z, 0-9, `_`, `.`, `:` and `-`";
        return Err(Refusal::new(Code::BadMessage, why));
    }
    if passes(room.len(), limit) {
        let why = format!("a room's name has up to {limit} bytes");
        return Err(Refusal::new(Code::TooLarge, why));
    }
    Ok(())
}

fn room_of(code: &str) -> String {
    format!("{CODE_SIGN}{code}")
}

fn rate_limited() -> Refusal {
    Refusal::new(Code::RateLimited, "too many requests")
}
