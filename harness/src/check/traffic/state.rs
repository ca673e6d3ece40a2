//! What the harness knows of messages, voices and members, room by room.

use std::collections::{BTreeSet, HashMap, VecDeque};

use crate::check::numbered::{Mix, Numbered};
use crate::observe::{ClientId, MessageId, VoiceId};

use super::track::{NOWHERE, Track};

/// No number.
pub(super) const NONE: u32 = u32::MAX;

/// What happened to a message so far.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Flags(u16);

impl Flags {
    /// Its sending was observed.
    pub(super) const SENT: u16 = 1;
    /// Somebody got it: the server has taken it.
    pub(super) const SEEN: u16 = 2;
    /// Somebody got it on the way on which all get it, not as an echo on a way of its own.
    pub(super) const SPREAD: u16 = 256;
    /// The server confirmed it.
    pub(super) const ACKED: u16 = 4;
    /// The server refused it.
    pub(super) const REJECTED: u16 = 8;
    /// Whether the server ever read it is not known: owed only once somebody got it.
    pub(super) const DOUBT: u16 = 16;
    /// The sender is owed its own copy.
    pub(super) const ECHO_OWED: u16 = 32;
    /// The sender got its own copy.
    pub(super) const ECHOED: u16 = 64;
    /// Its place in the log is the one that the server gave it.
    pub(super) const STRICT: u16 = 128;

    pub(super) fn has(self, flag: u16) -> bool {
        self.0 & flag != 0
    }

    pub(super) fn set(&mut self, flag: u16) {
        self.0 |= flag;
    }

    pub(super) fn clear(&mut self, flag: u16) {
        self.0 &= !flag;
    }
}

/// A message.
#[derive(Clone, Debug)]
pub(super) struct Message {
    pub(super) id: MessageId,
    pub(super) hash: u32,
    /// How many members are owed a copy and have not got it.
    pub(super) due: u32,
    /// Its place in the room's log.
    pub(super) place: i64,
    pub(super) flags: Flags,
    /// How many requests to join there were when everybody had it.
    pub(super) done: u32,
    /// What came directly before it at its receivers: one message at most of them, where senders
    /// do not hear themselves another at the sender of that, and some more where there are faults.
    pub(super) behind: [u32; 4],
}

impl Message {
    /// A ticket that was drawn by somebody whose sending is not observed yet.
    pub(super) fn announced() -> Self {
        let id = MessageId { voice: VoiceId(NONE), seq: 0 };
        Self {
            id,
            hash: 0,
            due: 0,
            place: NOWHERE,
            flags: Flags::default(),
            done: NONE,
            behind: [NONE; 4],
        }
    }

    pub(super) fn is_placed(&self) -> bool {
        self.place != NOWHERE
    }

    pub(super) fn is_strict(&self) -> bool {
        self.flags.has(Flags::STRICT)
    }

    /// Somebody can be owed it.
    pub(super) fn counts(&self) -> bool {
        self.flags.has(Flags::SENT) && !self.flags.has(Flags::REJECTED)
    }

    pub(super) fn is_doubtful(&self) -> bool {
        self.flags.has(Flags::DOUBT)
    }

    /// Everybody who was owed it has got it, and the server is known to
    /// have sent it round.
    pub(super) fn is_done(&self) -> bool {
        self.due == 0
            && self.flags.has(Flags::SENT)
            && self.flags.has(Flags::SPREAD | Flags::REJECTED)
    }
}

/// A room: its messages by ticket, and the log that its members agree on.
#[derive(Debug, Default)]
pub(super) struct Room {
    pub(super) messages: Numbered<Message>,
    /// Tickets of messages that are not done.
    pub(super) open: BTreeSet<u32>,
    pub(super) members: Vec<u32>,
    /// How many members are owed what is sent now.
    pub(super) owed: u32,
    /// The latest ticket from which some member is owed.
    pub(super) top: u32,
    /// Tickets in the order that the server gave them.
    pub(super) log: VecDeque<u32>,
    pub(super) log_start: i64,
    /// Behind the last certain place.
    pub(super) strict_end: i64,
    /// All earlier tickets have a place, or were refused.
    pub(super) low: u32,
    /// The log begins with the first message of all: nothing can come before it.
    pub(super) rooted: bool,
    /// Whose first waiting message this is.
    pub(super) waiting: HashMap<u32, Vec<u32>, Mix>,
    /// Messages that somebody got before the one at this place, whatever their own place says.
    pub(super) fences: HashMap<u32, i64, Mix>,
    /// Who got a message before the one at this place, while the message has no place itself.
    pub(super) claims: HashMap<u32, Vec<Claim>, Mix>,
}

impl Room {
    /// Notes that a message is done, if it is.
    pub(super) fn settle(&mut self, ticket: u32, joins: u32) {
        let message = &mut self.messages[ticket];
        if message.is_done() {
            message.done = joins;
            self.open.remove(&ticket);
        }
    }

    pub(super) fn log_end(&self) -> i64 {
        self.log_start + i64::try_from(self.log.len()).expect("a log fits in memory")
    }

    pub(super) fn at(&self, place: i64) -> Option<u32> {
        let at = usize::try_from(place.checked_sub(self.log_start)?).ok()?;
        self.log.get(at).copied()
    }
}

/// A member, in one of its stays, got a message before the one at the fence.
#[derive(Clone, Debug)]
pub(super) struct Claim {
    pub(super) member: u32,
    pub(super) stay: u32,
    pub(super) fence: i64,
    /// What else of the same sender it got before the fence.
    pub(super) along: Vec<u32>,
}

/// One client speaking in one room.
#[derive(Debug)]
pub(super) struct Voice {
    pub(super) client: ClientId,
    pub(super) room: u32,
    pub(super) member: u32,
    /// Tickets by number.
    pub(super) tickets: Numbered<u32>,
    /// All earlier messages are decided: taken or refused, and echoed where they must be.
    pub(super) low: u32,
    /// Its first numbers on later connections, where the one before was not closed in order: the
    /// server may read what came over it when it has read of the next.
    pub(super) breaks: Vec<u32>,
    /// How many messages have a certain place in the log.
    pub(super) strict: u32,
    /// The highest number with a certain place in the log, plus one.
    pub(super) placed: u32,
}

/// Where a member stands.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Stand {
    /// Never asked, or was refused.
    Outside,
    /// Has asked; messages may come.
    Joining,
    /// Is in.
    Inside,
    /// Has asked to leave, or begins to close; messages may still come.
    Leaving,
    /// The server has confirmed that it left.
    Exited,
    /// Its connection has ended.
    Gone,
}

/// One client in one room.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) client: ClientId,
    pub(super) room: u32,
    pub(super) voice: u32,
    pub(super) stand: Stand,
    /// Names this stay among all stays of all members.
    pub(super) stay: u32,
    /// Its request to enter has no answer yet.
    pub(super) asks: bool,
    /// It asked for what it missed: whether its stay goes on is not decided.
    pub(super) resumes: bool,
    /// It asked to enter again before it heard that it had left.
    pub(super) rejoins: bool,
    /// It got something out of turn.
    pub(super) faulty: bool,
    /// Messages sent now are owed.
    pub(super) owed: bool,
    /// Its entry was confirmed, or it got something: it can be owed at all.
    pub(super) certain: bool,
    /// The server said that what was missed follows; up to this ticket it was away.
    pub(super) away_until: u32,
    /// Owed from this ticket on.
    pub(super) from: u32,
    /// How many requests to join there were before its own: what was delivered everywhere by then
    /// is not for it.
    pub(super) early: u32,
    /// The same for an entry that is not decided yet.
    pub(super) early_next: u32,
    /// The first ticket that it may have missed while nothing was owed.
    pub(super) since: u32,
    pub(super) track: Track,
    /// What it got last.
    pub(super) last: u32,
    /// The highest certain place got, plus one.
    pub(super) strict_next: i64,
    /// The track of its stay before this one.
    pub(super) before: Track,
    /// Tickets got that have no place yet, in the order got.
    pub(super) pending: VecDeque<u32>,
    /// The ticket in `waiting` that it is registered under.
    pub(super) waits: u32,
}

impl Member {
    pub(super) fn new(client: ClientId, room: u32) -> Self {
        Self {
            client,
            room,
            voice: NONE,
            stand: Stand::Outside,
            stay: 0,
            asks: false,
            resumes: false,
            rejoins: false,
            faulty: false,
            owed: false,
            certain: false,
            away_until: 0,
            from: 0,
            early: 0,
            early_next: 0,
            since: 0,
            track: Track::default(),
            last: NONE,
            strict_next: NOWHERE,
            before: Track::default(),
            pending: VecDeque::new(),
            waits: NONE,
        }
    }
}

/// A client.
#[derive(Debug, Default)]
pub(super) struct Client {
    pub(super) members: Vec<u32>,
    pub(super) stuck: bool,
    /// It joins by a code: which room is not known yet.
    pub(super) joins_somewhere: bool,
}
