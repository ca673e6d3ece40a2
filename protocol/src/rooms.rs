//! The `rooms` protocol: one room at a time, with everybody's presence and a shared storage.
//!
//! Its messages are what serde makes of plain enums: `"LeaveRoom"`, `{"JoinRoom":"r"}`.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize, Serializer};
use serde_json::value::{RawValue, to_raw_value};

use crate::act::{Act, To, in_room};
use crate::dialect::Dialect;
use crate::ending::{Flow, Reason};
use crate::frame::Frame;
use crate::ids::Ids;
use crate::json::{self, Object, parse};
use crate::limits::passes;
use crate::rate::Door;
use crate::refusal::{self, codes};
use crate::room::Seat;
use crate::storage::{Change, Storage};
use crate::time::{At, Now};
use crate::world::{EventKind, Make, Tally, World};

/// Bytes of a key in the storage.
const KEY_BYTES: usize = 256;
/// The two fields of a presence that every presence has, if only as `null`.
const CURSOR: &str = "cursor_position";
const STATUS: &str = "status";
/// What a cleared one is.
const NULL: &str = "null";
/// What a status may be.
const STATUSES: [&str; 3] = ["Active", "Idle", "Away"];

/// What a client asks for.
enum Request<'a> {
    JoinRoom(String),
    LeaveRoom,
    UpdatePresence(Presence<'a>),
    UpdateStorage(Operation<'a>),
    Pong,
}

/// A presence or a change of one, by field.
type Presence<'a> = BTreeMap<Cow<'a, str>, &'a RawValue>;

/// One change of the storage, shown as it came.
#[derive(Deserialize, Serialize)]
enum Operation<'a> {
    #[serde(borrow)]
    Insert(Object<Insert<'a>>),
    #[serde(borrow)]
    Remove(Object<Remove<'a>>),
}

#[derive(Deserialize, Serialize)]
struct Insert<'a> {
    #[serde(borrow)]
    key: Cow<'a, str>,
    #[serde(borrow)]
    value: &'a RawValue,
}

#[derive(Deserialize, Serialize)]
struct Remove<'a> {
    #[serde(borrow)]
    key: Cow<'a, str>,
}

/// Everything that the server sends.
#[derive(Serialize)]
enum Outgoing<'a> {
    RoomJoined { room_id: &'a str, client_id: &'a str },
    RoomLeft { room_id: &'a str, client_id: &'a str },
    PresenceUpdated { client_id: &'a str, timestamp: At, presence: &'a RawValue },
    StorageUpdated { version: u64, operations: Operations<'a> },
    Ping,
    Error { code: &'static str, message: &'a str },
}

/// Which operations a `StorageUpdated` tells of.
enum Operations<'a> {
    /// The one that was accepted.
    One(&'a Operation<'a>),
    /// Those that make the whole content.
    All(&'a Storage),
}

impl Serialize for Operations<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::One(operation) => serializer.collect_seq([operation]),
            Self::All(storage) => serializer.collect_seq(storage.entries().map(|(key, value)| {
                Operation::Insert(Object(Insert { key: Cow::Borrowed(key), value }))
            })),
        }
    }
}

codes! {
    InvalidJson = "invalid_json",
    UnknownMessage = "unknown_message",
    ClientNotFound = "client_not_found",
    AlreadyInRoom = "already_in_room",
    InvalidRoom = "invalid_room",
    PresenceError = "presence_error",
    StorageError = "storage_error",
    TooManyRooms = "too_many_rooms",
    RateLimited = "rate_limited",
    Draining = "draining",
}

type Refusal = refusal::Refusal<Code>;

/// One connection.
#[derive(Debug)]
pub struct Session<P> {
    id: String,
    peer: P,
    room: Option<(String, Seat)>,
    door: Door,
}

impl<P> Session<P> {
    pub(crate) fn open<W: World<Peer = P>>(
        now: Now,
        room: Option<&str>,
        peer: P,
        world: &W,
    ) -> Self {
        let id = world.with_ids(Ids::uuid);
        let door = Door::new(now.time, world.limits());
        let mut session = Self { id, peer, room: None, door };
        if let Some(room) = room
            && let Err(refusal) = session.join(now, room.to_owned(), world)
        {
            session.refuse(&refusal, world);
        }
        session
    }

    pub(crate) fn received<W: World<Peer = P>>(&mut self, now: Now, text: &str, world: &W) -> Flow {
        let admitted = match self.door.admits(now.time, Dialect::Rooms, text.len(), world) {
            Ok(admitted) => admitted,
            Err(ending) => return Flow::Close(ending),
        };
        let outcome = match read(text) {
            _ if !admitted => Err(Refusal::new(Code::RateLimited, "too many requests")),
            Ok(Request::Pong) => return Flow::Alive,
            Ok(request) => self.obey(now, request, world),
            Err(refusal) => Err(refusal),
        };
        if let Err(refusal) = outcome {
            self.refuse(&refusal, world);
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
            Request::Pong => Ok(()),
            Request::JoinRoom(room) => self.join(now, room, world),
            Request::LeaveRoom => {
                let (room, seat) = self.room.take().ok_or_else(not_in_a_room)?;
                let key = Dialect::Rooms.key(&room);
                in_room(now, &key, Make::Never, world, |act| leave(act, seat, Reason::Left));
                Ok(())
            }
            Request::UpdatePresence(update) => {
                self.inside(now, world, |act, seat| update_presence(act, seat, update))
            }
            Request::UpdateStorage(operation) => {
                self.inside(now, world, |act, seat| update_storage(act, seat, &operation))
            }
        }
    }

    fn join<W: World<Peer = P>>(
        &mut self,
        now: Now,
        room: String,
        world: &W,
    ) -> Result<(), Refusal> {
        if !Dialect::Rooms.admits(&room) {
            let why = "a room's id is 1 to 64 of A-Z, a-z, 0-9, `_`, `.`, `:` and `-`";
            return Err(Refusal::new(Code::InvalidRoom, why));
        }
        if let Some((room, _)) = &self.room {
            return Err(Refusal::new(Code::AlreadyInRoom, format!("in the room {room}")));
        }
        if world.draining() {
            return Err(Refusal::new(Code::Draining, "the server is about to stop"));
        }
        let key = Dialect::Rooms.key(&room);
        let seat = in_room(now, &key, Make::IfAbsent, world, |act| {
            let seat = act.admit(&self.id, "", &self.peer);
            let joined = Outgoing::RoomJoined { room_id: &room, client_id: &self.id };
            act.tell(EventKind::MemberJoined, To::All, seat, &Frame::json(&joined));
            show_all(act, &self.peer);
            seat
        });
        let no_more = || Refusal::new(Code::TooManyRooms, "the server has no more rooms");
        self.room = Some((room, seat.ok_or_else(no_more)?));
        Ok(())
    }

    /// Does something in the room that the connection is in.
    fn inside<W: World<Peer = P>>(
        &self,
        now: Now,
        world: &W,
        act: impl FnOnce(&mut Act<'_, W>, Seat) -> Result<(), Refusal>,
    ) -> Result<(), Refusal> {
        let (room, seat) = self.room.as_ref().ok_or_else(not_in_a_room)?;
        let key = Dialect::Rooms.key(room);
        let done = in_room(now, &key, Make::Never, world, |it| act(it, *seat));
        done.unwrap_or_else(|| Err(not_in_a_room()))
    }

    fn refuse<W: World<Peer = P>>(&self, refusal: &Refusal, world: &W) {
        let code = refusal.code.as_str();
        world.tally(Tally::Refused { code });
        let error = Outgoing::Error { code, message: &refusal.message };
        world.push(&self.peer, &Frame::json(&error));
    }

    pub(crate) fn end<W: World<Peer = P>>(&mut self, now: Now, reason: Reason, world: &W) {
        if let Some((room, seat)) = self.room.take() {
            let key = Dialect::Rooms.key(&room);
            in_room(now, &key, Make::Never, world, |act| leave(act, seat, reason));
        }
    }

    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    pub(crate) fn rooms(&self) -> impl Iterator<Item = &str> {
        self.room.iter().map(|(room, _)| room.as_str())
    }
}

/// What a tick sends besides the ping of RFC 6455, for clients that cannot see that one.
pub(crate) fn ping() -> Frame {
    Frame::json(&Outgoing::Ping)
}

/// Shows a newcomer what the members know already: it has been told that it joined, and nothing
/// live can come in between.
fn show_all<W: World>(act: &Act<'_, W>, newcomer: &W::Peer) {
    for (_, member) in act.room.members() {
        if let Some(shown) = member.shown {
            let presence = Outgoing::PresenceUpdated {
                client_id: &member.id,
                timestamp: At(shown),
                presence: &member.state,
            };
            act.world.push(newcomer, &Frame::json(&presence));
        }
    }
    let storage = &act.room.storage;
    if storage.version() > 0 {
        let operations = Operations::All(storage);
        let content = Outgoing::StorageUpdated { version: storage.version(), operations };
        act.world.push(newcomer, &Frame::json(&content));
    }
}

/// Takes a member out, and tells the others; one that asked to leave is told as well.
fn leave<W: World>(act: &mut Act<'_, W>, seat: Seat, reason: Reason) {
    let Some(member) = act.room.member(seat) else { return };
    let left = Outgoing::RoomLeft { room_id: act.name(), client_id: &member.id };
    let to = if reason == Reason::Left { To::All } else { To::Others };
    act.tell(EventKind::MemberLeft, to, seat, &Frame::json(&left));
    act.exit(seat, reason);
}

/// Changes what the update names of a member's presence, and shows the whole of it to everybody.
fn update_presence<W: World>(
    act: &mut Act<'_, W>,
    seat: Seat,
    update: Presence<'_>,
) -> Result<(), Refusal> {
    let limit = act.world.limits().state_bytes;
    let at = act.room.time_to_tell(act.now.unix);
    let member = act.room.member_mut(seat).ok_or_else(not_in_a_room)?;
    let presence = updated(&member.state, update)
        .map_err(|error| Refusal::new(Code::PresenceError, error.to_string()))?;
    let bytes = presence.get().len();
    if passes(bytes, limit) {
        let why = format!("the presence would be {bytes} bytes long");
        return Err(Refusal::new(Code::PresenceError, why));
    }
    let frame = Frame::json(&Outgoing::PresenceUpdated {
        client_id: &member.id,
        timestamp: At(at),
        presence: &presence,
    });
    member.state = presence;
    member.shown = Some(at);
    act.tell(EventKind::Presence, To::All, seat, &frame);
    Ok(())
}

/// Changes the storage, and tells everybody how.
fn update_storage<W: World>(
    act: &mut Act<'_, W>,
    seat: Seat,
    operation: &Operation<'_>,
) -> Result<(), Refusal> {
    let change = match operation {
        Operation::Insert(Object(Insert { key, value })) => Change { key, value: Some(value) },
        Operation::Remove(Object(Remove { key })) => Change { key, value: None },
    };
    if change.value.is_none() && !act.room.storage.has(change.key) {
        return Err(Refusal::new(Code::StorageError, "there is no such key"));
    }
    if change.key.len() > KEY_BYTES {
        let why = format!("a key has up to {KEY_BYTES} bytes");
        return Err(Refusal::new(Code::StorageError, why));
    }
    let version = act
        .change(std::iter::once(change))
        .map_err(|error| Refusal::new(Code::StorageError, error.to_string()))?;
    let updated = Outgoing::StorageUpdated { version, operations: Operations::One(operation) };
    act.tell(EventKind::Stored, To::All, seat, &Frame::json(&updated));
    Ok(())
}

fn not_in_a_room() -> Refusal {
    Refusal::new(Code::ClientNotFound, "not in a room")
}

fn read(text: &str) -> Result<Request<'_>, Refusal> {
    let invalid = |error: serde_json::Error| Refusal::new(Code::InvalidJson, error.to_string());
    let unknown = || Refusal::new(Code::UnknownMessage, "there is no such message");
    let is_object = json::read(text).map_err(invalid)?.is_some();
    if !is_object {
        return unit(&parse::<String>(text).unwrap_or_default()).ok_or_else(unknown);
    }
    // Exactly one of the fields is a message; of the others this protocol knows nothing.
    let mut found = json::fields(text).into_iter().filter_map(|(tag, content)| {
        Some(match &*tag {
            "JoinRoom" => join_room(content),
            "UpdatePresence" => presence(content),
            "UpdateStorage" => storage(content),
            tag => Ok(unit(tag).filter(|_| content.get() == NULL)?),
        })
    });
    match (found.next(), found.next()) {
        (Some(request), None) => request,
        _ => Err(unknown()),
    }
}

/// A message that has no content.
fn unit<'a>(tag: &str) -> Option<Request<'a>> {
    match tag {
        "LeaveRoom" => Some(Request::LeaveRoom),
        "Pong" => Some(Request::Pong),
        _ => None,
    }
}

fn join_room<'a>(content: &RawValue) -> Result<Request<'a>, Refusal> {
    let room = parse(content.get()).map(Request::JoinRoom);
    room.map_err(|_| Refusal::new(Code::InvalidRoom, "a room's id is a string"))
}

fn presence(content: &RawValue) -> Result<Request<'_>, Refusal> {
    let wrong = |why: &'static str| Err(Refusal::new(Code::PresenceError, why));
    if !content.get().starts_with('{') {
        return wrong("a presence is an object");
    }
    let update = json::fields(content.get());
    let set = |name| update.get(name).filter(|value| value.get() != NULL);
    if set(CURSOR).is_some_and(|value| !is_point(value)) {
        return wrong("`cursor_position` is an object with the numbers `x` and `y`");
    }
    if set(STATUS).is_some_and(|value| !is_status(value)) {
        return wrong("`status` is `Active`, `Idle` or `Away`");
    }
    Ok(Request::UpdatePresence(update))
}

fn storage(content: &RawValue) -> Result<Request<'_>, Refusal> {
    let operation = parse(content.get()).map(Request::UpdateStorage);
    operation.map_err(|error| Refusal::new(Code::StorageError, error.to_string()))
}

/// A presence after an update: what the update leaves out is as it was, `null` clears, and fields
/// that this protocol does not know are kept as they came.
fn updated(presence: &RawValue, update: Presence<'_>) -> Result<Box<RawValue>, serde_json::Error> {
    let mut fields = json::fields(presence.get());
    for known in [CURSOR, STATUS] {
        fields.entry(Cow::Borrowed(known)).or_insert(RawValue::NULL);
    }
    for (name, value) in update {
        if value.get() == NULL && ![CURSOR, STATUS].contains(&&*name) {
            fields.remove(&name);
        } else {
            fields.insert(name, value);
        }
    }
    to_raw_value(&fields)
}

fn is_point(value: &RawValue) -> bool {
    let fields = json::fields(value.get());
    ["x", "y"]
        .into_iter()
        .all(|axis| fields.get(axis).is_some_and(|number| number.get().parse::<f64>().is_ok()))
}

fn is_status(value: &RawValue) -> bool {
    parse::<String>(value.get()).is_ok_and(|status| STATUSES.contains(&&*status))
}
