//! The `chat` protocol: two people who share a code, and see each other type.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::act::{Act, To, code_meant, in_coded_room, in_room};
use crate::dialect::Dialect;
use crate::ending::{Flow, Reason};
use crate::frame::Frame;
use crate::ids::Ids;
use crate::json::{self, Field, parse};
use crate::rate::Door;
use crate::refusal::{self, codes};
use crate::room::{Member, Seat};
use crate::time::Now;
use crate::world::{EventKind, Make, Tally, World};

/// Members of a room.
const PAIR: usize = 2;
/// Characters of a username.
const USERNAME_CHARS: usize = 32;
/// Characters of what is said at once.
const CONTENT_CHARS: usize = 4000;

/// What a client asks for.
enum Request<'a> {
    SetUsername(SetUsername<'a>),
    CreateRoom,
    JoinRoom(JoinRoom<'a>),
    Chat(Chat<'a>),
    Typing,
    StopTyping,
    LeaveRoom,
}

#[derive(Deserialize)]
struct SetUsername<'a> {
    #[serde(borrow)]
    username: Cow<'a, str>,
}

#[derive(Deserialize)]
struct JoinRoom<'a> {
    #[serde(borrow)]
    room_code: Cow<'a, str>,
}

#[derive(Deserialize)]
struct Chat<'a> {
    #[serde(borrow)]
    content: Cow<'a, str>,
}

/// Everything that the server sends.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Outgoing<'a> {
    Connected { client_id: &'a str },
    UsernameSet { username: &'a str },
    RoomCreated { room_code: &'a str },
    RoomJoined { room_code: &'a str, partner: Option<&'a str> },
    PartnerJoined { username: &'a str },
    Chat { from: &'a str, content: &'a str },
    PartnerTyping,
    PartnerStopTyping,
    PartnerLeft,
    Error { code: &'static str, message: &'a str },
}

codes! {
    UsernameRequired = "username_required",
    InvalidUsername = "invalid_username",
    RoomNotFound = "room_not_found",
    RoomFull = "room_full",
    NotInRoom = "not_in_room",
    AlreadyInRoom = "already_in_room",
    InvalidMessage = "invalid_message",
    MessageTooLong = "message_too_long",
    TooManyRooms = "too_many_rooms",
    RateLimited = "rate_limited",
    Draining = "draining",
}

type Refusal = refusal::Refusal<Code>;

/// One connection.
#[derive(Debug)]
pub struct Session<P> {
    id: String,
    username: Option<String>,
    peer: P,
    /// The code of the room that it is in, and its seat there.
    room: Option<(String, Seat)>,
    door: Door,
}

impl<P> Session<P> {
    pub(crate) fn open<W: World<Peer = P>>(now: Now, peer: P, world: &W) -> Self {
        let id = world.with_ids(Ids::uuid);
        world.push(&peer, &Frame::json(&Outgoing::Connected { client_id: &id }));
        let door = Door::new(now.time, world.limits());
        Self { id, username: None, peer, room: None, door }
    }

    pub(crate) fn received<W: World<Peer = P>>(&mut self, now: Now, text: &str, world: &W) -> Flow {
        let admitted = match self.door.admits(now.time, Dialect::Chat, text.len(), world) {
            Ok(admitted) => admitted,
            Err(ending) => return Flow::Close(ending),
        };
        let outcome = match read(text) {
            _ if !admitted => Err(Refusal::new(Code::RateLimited, "too many requests")),
            Ok(request) => self.obey(now, request, world),
            Err(refusal) => Err(refusal),
        };
        if let Err(Refusal { code, message, .. }) = outcome {
            let code = code.as_str();
            world.tally(Tally::Refused { code });
            self.push(&Outgoing::Error { code, message: &message }, world);
        }
        Flow::Continue
    }

    fn obey<W: World<Peer = P>>(
        &mut self,
        now: Now,
        request: Request<'_>,
        world: &W,
    ) -> Result<(), Refusal> {
        match request {
            Request::SetUsername(SetUsername { username }) => {
                self.set_username(now, &username, world)
            }
            Request::CreateRoom => self.create(now, world),
            Request::JoinRoom(JoinRoom { room_code }) => self.join(now, &room_code, world),
            Request::Chat(Chat { content }) => {
                self.inside(now, world, |act, seat| say(act, seat, &content))
            }
            Request::Typing => self.inside(now, world, |act, seat| {
                set_typing(act, seat, true);
                Ok(())
            }),
            Request::StopTyping if self.room.is_none() => Ok(()),
            Request::StopTyping => self.inside(now, world, |act, seat| {
                set_typing(act, seat, false);
                Ok(())
            }),
            Request::LeaveRoom => {
                if self.room.is_none() {
                    return Err(not_in_a_room());
                }
                self.leave(now, Reason::Left, world);
                Ok(())
            }
        }
    }

    fn set_username<W: World<Peer = P>>(
        &mut self,
        now: Now,
        username: &str,
        world: &W,
    ) -> Result<(), Refusal> {
        if username.is_empty() || username.chars().nth(USERNAME_CHARS).is_some() {
            let why = format!("a username has 1 to {USERNAME_CHARS} characters");
            return Err(Refusal::new(Code::InvalidUsername, why));
        }
        self.username = Some(username.to_owned());
        if let Some((code, seat)) = &self.room {
            let key = Dialect::Chat.key(code);
            in_room(now, &key, Make::Never, world, |act| {
                act.room.rename(*seat, username);
            });
        }
        self.push(&Outgoing::UsernameSet { username }, world);
        Ok(())
    }

    fn create<W: World<Peer = P>>(&mut self, now: Now, world: &W) -> Result<(), Refusal> {
        let username = self.may_enter(world)?;
        let made = in_coded_room(
            now,
            |code| Dialect::Chat.key(code),
            world,
            |act, code| {
                act.room.set_capacity(PAIR);
                self.push(&Outgoing::RoomCreated { room_code: code }, world);
                (code.to_owned(), act.admit(&self.id, username, &self.peer))
            },
        );
        let no_more = || Refusal::new(Code::TooManyRooms, "the server has no more rooms");
        self.room = Some(made.ok_or_else(no_more)?);
        Ok(())
    }

    fn join<W: World<Peer = P>>(&mut self, now: Now, code: &str, world: &W) -> Result<(), Refusal> {
        let username = self.may_enter(world)?;
        let not_found = || Refusal::new(Code::RoomNotFound, "there is no room of that code");
        let code = code_meant(code).ok_or_else(not_found)?;
        let key = Dialect::Chat.key(&code);
        let seat = in_room(now, &key, Make::Never, world, |act| {
            if act.room.is_full() {
                return Err(Refusal::new(Code::RoomFull, "two are in that room"));
            }
            let partner = act.room.members().next().map(|(_, partner)| &*partner.username);
            self.push(&Outgoing::RoomJoined { room_code: &code, partner }, world);
            let seat = act.admit(&self.id, username, &self.peer);
            let joined = Frame::json(&Outgoing::PartnerJoined { username });
            act.tell(EventKind::MemberJoined, To::Others, seat, &joined);
            Ok(seat)
        });
        self.room = Some((code, seat.ok_or_else(not_found)??));
        Ok(())
    }

    /// Whether the connection may enter a room, and under which name.
    fn may_enter<W: World<Peer = P>>(&self, world: &W) -> Result<&str, Refusal> {
        let Some(username) = &self.username else {
            return Err(Refusal::new(Code::UsernameRequired, "set a username before"));
        };
        if self.room.is_some() {
            return Err(Refusal::new(Code::AlreadyInRoom, "in a room already"));
        }
        if world.draining() {
            return Err(Refusal::new(Code::Draining, "the server is about to stop"));
        }
        Ok(username)
    }

    /// Does something in the room that the connection is in.
    fn inside<W: World<Peer = P>>(
        &self,
        now: Now,
        world: &W,
        act: impl FnOnce(&mut Act<'_, W>, Seat) -> Result<(), Refusal>,
    ) -> Result<(), Refusal> {
        let (code, seat) = self.room.as_ref().ok_or_else(not_in_a_room)?;
        let key = Dialect::Chat.key(code);
        let done = in_room(now, &key, Make::Never, world, |it| act(it, *seat));
        done.unwrap_or_else(|| Err(not_in_a_room()))
    }

    fn leave<W: World<Peer = P>>(&mut self, now: Now, reason: Reason, world: &W) {
        let Some((code, seat)) = self.room.take() else { return };
        in_room(now, &Dialect::Chat.key(&code), Make::Never, world, |act| {
            act.exit(seat, reason);
            // Whoever comes next has not been told of any typing.
            if let Some((other, _)) = partner(act, seat) {
                act.room.stops_typing(other);
            }
            act.tell(EventKind::MemberLeft, To::All, None, &Frame::json(&Outgoing::PartnerLeft));
        });
    }

    fn push<W: World<Peer = P>>(&self, message: &Outgoing<'_>, world: &W) {
        world.push(&self.peer, &Frame::json(message));
    }

    pub(crate) fn end<W: World<Peer = P>>(&mut self, now: Now, reason: Reason, world: &W) {
        self.leave(now, reason, world);
    }

    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    pub(crate) fn rooms(&self) -> impl Iterator<Item = &str> {
        self.room.iter().map(|(code, _)| code.as_str())
    }
}

/// Says something to the partner, if there is one. Who says something has stopped typing it.
fn say<W: World>(act: &mut Act<'_, W>, seat: Seat, content: &str) -> Result<(), Refusal> {
    if content.chars().nth(CONTENT_CHARS).is_some() {
        let why = format!("a message has up to {CONTENT_CHARS} characters");
        return Err(Refusal::new(Code::MessageTooLong, why));
    }
    set_typing(act, seat, false);
    let from = act.room.member(seat).ok_or_else(not_in_a_room)?.username.as_str();
    let frame = Frame::json(&Outgoing::Chat { from, content });
    act.tell(EventKind::Chat, To::Others, seat, &frame);
    Ok(())
}

/// Notes that the member types, or that it does not; tells the partner if that is news. What nobody
/// can be told is not noted either, so that a later partner is told when it happens again.
fn set_typing<W: World>(act: &mut Act<'_, W>, seat: Seat, on: bool) {
    if partner(act, seat).is_none() {
        return;
    }
    let (news, message) = if on {
        (act.room.starts_typing(seat, None), Outgoing::PartnerTyping)
    } else {
        (act.room.stops_typing(seat), Outgoing::PartnerStopTyping)
    };
    if news {
        act.tell(EventKind::Typing, To::Others, seat, &Frame::json(&message));
    }
}

fn partner<'a, W: World>(act: &'a Act<'_, W>, seat: Seat) -> Option<(Seat, &'a Member<W::Peer>)> {
    act.room.members().find(|&(at, _)| at != seat)
}

fn not_in_a_room() -> Refusal {
    Refusal::new(Code::NotInRoom, "not in a room")
}

fn read(text: &str) -> Result<Request<'_>, Refusal> {
    let invalid = |why: String| Refusal::new(Code::InvalidMessage, why);
    let fields = json::read(text).map_err(|error| invalid(error.to_string()))?;
    let Some(Field::Once(kind)) = fields.map(|fields| fields.kind) else {
        return Err(invalid("a message is an object with a `type`".to_owned()));
    };
    let request = match &*kind {
        "set_username" => parse(text).map(Request::SetUsername),
        "create_room" => Ok(Request::CreateRoom),
        "join_room" => parse(text).map(Request::JoinRoom),
        "chat" => parse(text).map(Request::Chat),
        "typing" => Ok(Request::Typing),
        "stop_typing" => Ok(Request::StopTyping),
        "leave_room" => Ok(Request::LeaveRoom),
        kind => return Err(invalid(format!("there is no {kind:?}"))),
    };
    let request = request.map_err(|error| invalid(error.to_string()))?;
    match request {
        Request::Chat(Chat { content }) if content.is_empty() => {
            Err(invalid("nothing is said".to_owned()))
        }
        request => Ok(request),
    }
}
