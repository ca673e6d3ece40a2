//! What the clients did and saw, as values, in the order in which the harness learned it.
//!
//! Two rules make the checks free of false alarms. What a client is about to do is observed *before*
//! its bytes are written ([`What::Sending`], [`What::Joining`], [`What::Leaving`]), so nothing can
//! arrive that was not announced. What a client saw is observed when its frame has been read, in
//! the order of its stream; between two clients the order means nothing.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Microseconds since the run began.
#[derive(
    Clone, Copy, Debug, Default, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize,
)]
pub struct Time(pub u64);

/// A simulated client: its place in [`crate::plan::Plan::clients`].
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
pub struct ClientId(pub u32);

/// A room, numbered when its name is first used in the run.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
pub struct RoomId(pub u32);

/// One client speaking in one room. A client that comes back to a room keeps its voice.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
pub struct VoiceId(pub u32);

/// A message that the harness sent, named by its voice and its number there, from 0.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(deny_unknown_fields)]
pub struct MessageId {
    /// Who said it, and where.
    pub voice: VoiceId,
    /// Its number among this voice's messages.
    pub seq: u32,
}

/// One thing that a client did or saw.
#[derive(Clone, Debug, PartialEq)]
pub struct Observation {
    /// When.
    pub at: Time,
    /// Which client.
    pub client: ClientId,
    /// What.
    pub what: What,
}

/// What a client did or saw.
#[derive(Clone, Debug, PartialEq)]
pub enum What {
    /// It has a connection, greeted where the dialect greets.
    Opened {
        /// The connection id that the server gave, if it gives one.
        connection: Option<Arc<str>>,
    },
    /// It could not open a connection.
    OpenFailed {
        /// Why, in a few words.
        reason: Arc<str>,
    },
    /// It begins to close the connection, with a Close frame or (`abrupt`) with a TCP reset.
    Closing {
        /// Without a Close frame.
        abrupt: bool,
    },
    /// The connection has ended; the client is in no room any more.
    Closed(Ending),
    /// From now on it answers pings (`true`) or keeps silent (`false`: no pongs, no frames at all).
    Pongs(bool),
    /// From now on it reads its socket, or does not.
    Reads(bool),

    /// It is about to ask to enter a room.
    Joining {
        /// The room; none when it joins by a code whose room is not known yet.
        room: Option<RoomId>,
        /// It asks to be given what it missed.
        since: bool,
    },
    /// It has entered a room.
    Entered(Box<Entry>),
    /// The server refused to let it in.
    Refused {
        /// The room, where known.
        room: Option<RoomId>,
        /// The server's error code or text.
        code: Arc<str>,
    },
    /// It is about to ask to leave.
    Leaving {
        /// The room.
        room: RoomId,
    },
    /// The server has confirmed that it left.
    Exited {
        /// The room.
        room: RoomId,
    },
    /// It was told that somebody entered.
    Joined {
        /// The room.
        room: RoomId,
        /// Who.
        who: Who,
        /// The server's number of this membership change, if it numbers them.
        view: Option<u64>,
    },
    /// It was told that somebody has another name.
    Renamed {
        /// The room.
        room: RoomId,
        /// Who.
        who: Who,
        /// The server's number of this membership change, if it numbers them.
        view: Option<u64>,
    },
    /// It was told that somebody left.
    Left {
        /// The room.
        room: RoomId,
        /// Who.
        who: Who,
        /// The server's number of this membership change, if it numbers them.
        view: Option<u64>,
        /// The server's word for why.
        reason: Option<Arc<str>>,
    },

    /// It is about to say something in a room.
    Sending {
        /// The message.
        message: MessageId,
        /// Where.
        room: RoomId,
        /// How many messages the room had been sent before this one, by everybody.
        ticket: u32,
        /// When the schedule wanted it sent.
        intended: Time,
        /// A hash of the whole text.
        hash: u32,
    },
    /// The bytes of a message have been handed to the kernel (at the observation's time).
    Sent {
        /// The message.
        message: MessageId,
    },
    /// The server has confirmed a message.
    Acked {
        /// The message.
        message: MessageId,
        /// Its place in the room's log, if the server numbers.
        number: Option<u64>,
    },
    /// The server has refused a message: nobody is owed it, and nobody may get it.
    Rejected {
        /// The message.
        message: MessageId,
        /// The server's error code or text.
        code: Arc<str>,
    },
    /// It received a message that this run sent (its own included).
    Received {
        /// The message.
        message: MessageId,
        /// The room that the frame names; none where the wire format names none.
        room: Option<RoomId>,
        /// Whom the frame names as the sender.
        from: Who,
        /// A hash of the whole text that arrived.
        hash: u32,
        /// Its place in the room's log, if the server numbers.
        number: Option<u64>,
    },
    /// It received a chat message that this run never sent: a stamp of another run, an unknown
    /// voice, a text nobody said.
    Stray {
        /// The room that the frame names.
        room: Option<RoomId>,
        /// The text, cut to a readable length.
        text: Arc<str>,
        /// It carries another run's stamp.
        foreign: bool,
    },

    /// It is about to change its presence. `state` is the whole state that follows from it.
    PresenceSending {
        /// The room.
        room: RoomId,
        /// The state after this change.
        state: Arc<Value>,
    },
    /// The server has confirmed its last unconfirmed presence change.
    PresenceAcked {
        /// The room.
        room: RoomId,
    },
    /// It was told of somebody's presence.
    Presence {
        /// The room.
        room: RoomId,
        /// Whose.
        who: Who,
        /// The whole state.
        state: Arc<Value>,
        /// Its place in the room's log, if the server numbers.
        number: Option<u64>,
    },

    /// It is about to write to the room's storage.
    Storing {
        /// The room.
        room: RoomId,
        /// Names this request in [`What::StoreAcked`] and [`What::StoreRefused`].
        request: u32,
        /// The operations, as the scenario language has them: `[{"put": {"key", "value"}}, {"delete": {"key"}}]`.
        ops: Arc<Value>,
    },
    /// The server has confirmed a write.
    StoreAcked {
        /// The room.
        room: RoomId,
        /// Which request.
        request: u32,
        /// The version that the write made.
        version: Option<u64>,
    },
    /// The server has refused a write.
    StoreRefused {
        /// The room.
        room: RoomId,
        /// Which request.
        request: u32,
    },
    /// It was told of a write.
    Stored {
        /// The room.
        room: RoomId,
        /// Who wrote.
        who: Who,
        /// The version after it.
        version: u64,
        /// The operations, as in [`What::Storing`].
        ops: Arc<Value>,
        /// Its place in the room's log, if the server numbers.
        number: Option<u64>,
    },

    /// It was told, on the way in, what the room holds, in an event of its own.
    Snapshot {
        /// The room.
        room: RoomId,
        /// The version of the content.
        version: u64,
        /// The content, by key.
        entries: Arc<Value>,
    },

    /// It received a WebSocket ping.
    Ping,
    /// It received the answer to a ping of its own, or any other sign of life that is no event.
    Pong,
    /// It sent a frame other than those above (a pong, a request): the server may count it as life.
    Spoke,
    /// The server told it of an error that answers none of its open requests.
    Complaint {
        /// The server's error code or text.
        code: Arc<str>,
    },
    /// A request was not answered within its deadline, or was answered by something else.
    Unanswered {
        /// What was asked: `join`, `say`, …
        verb: Arc<str>,
    },
    /// A frame that the dialect does not know.
    Unknown {
        /// The frame, cut to a readable length.
        text: Arc<str>,
    },
    /// Bytes that are not WebSocket, or a frame that breaks RFC 6455.
    Malformed {
        /// What is wrong with it.
        fact: Arc<str>,
    },
    /// A frame that is not even of the dialect's encoding.
    Garbled {
        /// What is wrong with it.
        fact: Arc<str>,
    },
    /// A step of the scenario waited for the end of its connection, and it has ended as expected.
    Foreseen,
}

/// How a client entered a room.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// The room.
    pub room: RoomId,
    /// The server's confirmation has been read. Without one (a dialect that does not confirm) the
    /// client is in for certain only from its first message on.
    pub confirmed: bool,
    /// It is told of others' coming and going.
    pub full: bool,
    /// Its own member id, where there is one.
    pub you: Option<Arc<str>>,
    /// How many messages had been sent to the room when the confirmation was read.
    pub tickets: u32,
    /// The members that the server listed.
    pub members: Option<Vec<Person>>,
    /// How many the server says are in the room.
    pub count: Option<u64>,
    /// The room's life, if the server tells one life of a room from the next.
    pub epoch: Option<Arc<str>>,
    /// The number after which this client's events begin, if the server numbers.
    pub number: Option<u64>,
    /// The number of the membership view, if the server numbers them.
    pub view: Option<u64>,
    /// The server says that what was missed follows (`Some(true)`) or is gone (`Some(false)`).
    pub recovered: Option<bool>,
    /// The storage's version and content.
    pub storage: Option<(u64, Arc<Value>)>,
}

/// Somebody in a member list.
#[derive(Clone, Debug, PartialEq)]
pub struct Person {
    /// Who.
    pub who: Who,
    /// Their presence, if it is listed.
    pub state: Option<Arc<Value>>,
}

/// Whom a frame names.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Who {
    /// A client of ours.
    Client(ClientId),
    /// Nobody of ours: the name or id on the wire.
    Stranger(Arc<str>),
    /// The wire format names nobody.
    Untold,
}

/// How a connection ended.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Ending {
    /// The client closed it, as the scenario asked.
    pub asked: bool,
    /// The code in the server's Close frame; none when there was no Close frame or no code in it.
    pub code: Option<u16>,
    /// The reason in the server's Close frame, or the socket's error.
    pub reason: Arc<str>,
    /// A Close frame came before the end of TCP.
    pub clean: bool,
}
