//! What requests do inside a room, under its lock: change it, and tell its members.

use std::time::Duration;

use serde_json::Value;
use serde_json::value::{RawValue, to_raw_value};

use super::incoming::{Op, Since};
use super::outgoing::{Outgoing, Snapshot, listed};
use super::refusal::{Code, Refusal};
use crate::act::{Act, To};
use crate::ending::Reason;
use crate::frame::Frame;
use crate::json::Id;
use crate::limits::passes;
use crate::room::{Member, Membership, Room, Seat};
use crate::storage::Unchanged;
use crate::time::At;
use crate::world::{EventKind, World};

/// Begins the names of rooms made with `create`, and no others.
pub(crate) const CODE_SIGN: char = '~';
/// How long somebody is taken to type when nothing more is heard of it.
const TYPING: Duration = Duration::from_secs(5);

/// Somebody at the door.
pub(super) struct Newcomer<'a, P> {
    pub(super) re: Option<&'a Id>,
    pub(super) id: String,
    pub(super) username: &'a str,
    pub(super) peer: &'a P,
    pub(super) membership: Membership,
    pub(super) since: Option<&'a Since<'a>>,
}

/// How somebody goes.
#[derive(Clone, Copy)]
pub(super) enum Leaving<'a> {
    /// With a `leave`, which is answered with `left`.
    Asked { re: Option<&'a Id> },
    /// With its connection.
    Cut(Reason),
}

impl<W: World> Act<'_, W> {
    /// Lets the newcomer in: `joined`, then what it missed, before anything live can come.
    pub(super) fn join(&mut self, newcomer: Newcomer<'_, W::Peer>) -> Result<Seat, Refusal> {
        if self.room.is_full() {
            return Err(Refusal::new(Code::RoomFull, "the room is full").about(self.room.name()));
        }
        let Newcomer { re, id, username, peer, membership, since } = newcomer;
        let member = Member::new(id.clone(), username.to_owned(), peer.clone());
        let missed = since.and_then(|since| self.missed(since));
        let seat = self.enter(Member { membership, ..member }, missed.is_some());
        let room = &*self.room;
        let storage = missed.is_none().then(|| Snapshot::from(&room.storage));
        let seq = match (since, &missed) {
            (Some(since), Some(_)) => since.seq,
            _ => room.seq(),
        };
        self.push(
            peer,
            &Outgoing::Joined {
                re,
                room: room.name(),
                epoch: room.log.epoch(),
                seq,
                view: room.view(),
                you: &id,
                members: listed(room, missed.is_none()),
                count: room.count(),
                storage,
                recovered: since.map(|_| missed.is_some()),
            },
        );
        for frame in missed.iter().flatten() {
            self.world.push(peer, frame);
        }
        if membership == Membership::Full
            && let Some(member) = room.member(seat)
        {
            let joined = Outgoing::MemberJoined {
                room: room.name(),
                view: room.view(),
                member: &member.id,
                username: &member.username,
            };
            self.tell(EventKind::MemberJoined, To::OtherFull, seat, &Frame::json(&joined));
        }
        Ok(seat)
    }

    /// Takes the member out, and tells the others once. Its `left`, if it gets one, stands where it
    /// ceases to get anything else.
    pub(super) fn leave(&mut self, seat: Seat, leaving: Leaving<'_>) {
        self.set_typing(seat, false);
        let reason = match leaving {
            Leaving::Asked { .. } => Reason::Left,
            Leaving::Cut(reason) => reason,
        };
        let Some(member) = self.exit(seat, reason) else { return };
        if let Leaving::Asked { re } = leaving {
            self.push(&member.peer, &Outgoing::Left { re, room: self.room.name() });
        }
        if member.membership == Membership::Full {
            let (room, view) = (self.room.name(), self.room.view());
            let left = Outgoing::MemberLeft { room, view, member: &member.id, reason };
            self.tell(EventKind::MemberLeft, To::OtherFull, seat, &Frame::json(&left));
        }
    }

    /// Gives the member another name.
    pub(super) fn rename(&mut self, seat: Seat, username: &str) {
        self.room.rename(seat, username);
        let room = &*self.room;
        if let Some(member) = room.member(seat)
            && member.membership == Membership::Full
        {
            let renamed = Outgoing::MemberRenamed {
                room: room.name(),
                view: room.view(),
                member: &member.id,
                username: &member.username,
            };
            self.tell(EventKind::MemberRenamed, To::Full, seat, &Frame::json(&renamed));
        }
    }

    /// Says something to all. Who says something has stopped typing it.
    pub(super) fn chat(&mut self, seat: Seat, text: &str) -> Result<u64, Refusal> {
        self.set_typing(seat, false);
        let at = At(self.now.unix);
        let (room, seq, member) = self.next(seat)?;
        let (username, member) = (&*member.username, &*member.id);
        let chat = Outgoing::Chat { room, seq, member, username, text, at };
        let frame = Frame::json(&chat);
        Ok(self.log(EventKind::Chat, seat, frame))
    }

    /// Merges the patch into the member's state (RFC 7396), and shows the whole of it.
    pub(super) fn presence(&mut self, seat: Seat, patch: &RawValue) -> Result<u64, Refusal> {
        let limit = self.world.limits().state_bytes;
        let (room, seq, member) = self.next(seat)?;
        if member.membership == Membership::None {
            let why = "without full membership there is no presence";
            return Err(Refusal::new(Code::Forbidden, why).about(room));
        }
        let state = merged(&member.state, patch)
            .map_err(|error| Refusal::new(Code::BadMessage, error.to_string()).about(room))?;
        let bytes = state.get().len();
        if passes(bytes, limit) {
            let why = format!("the state would be {bytes} bytes long");
            return Err(Refusal::new(Code::TooLarge, why).about(room));
        }
        let at = At(self.now.unix);
        let event = Outgoing::Presence { room, seq, member: &member.id, state: &state, at };
        let frame = Frame::json(&event);
        if let Some(member) = self.room.member_mut(seat) {
            member.state = state;
        }
        Ok(self.log(EventKind::Presence, seat, frame))
    }

    /// Changes the storage: all of the operations, or none. Gives the place in the log, and the
    /// version.
    pub(super) fn store(
        &mut self,
        seat: Seat,
        ops: &[Op<'_>],
        if_version: Option<u64>,
    ) -> Result<(u64, u64), Refusal> {
        let version = self.room.storage.version();
        let about = |code, why: String, room: &Room<_>| Refusal::new(code, why).about(room.name());
        if if_version.is_some_and(|wanted| wanted != version) {
            let why = format!("the version is {version}");
            return Err(about(Code::VersionConflict, why, self.room));
        }
        let version = self.change(ops.iter().map(Op::change)).map_err(|error| {
            let code = match error {
                Unchanged::TooLarge { .. } => Code::TooLarge,
                Unchanged::NotKept(_) => Code::NotKept,
            };
            about(code, error.to_string(), self.room)
        })?;
        let (room, seq, member) = self.next(seat)?;
        let event = Outgoing::Stored { room, seq, version, member: &member.id, ops };
        let frame = Frame::json(&event);
        Ok((self.log(EventKind::Stored, seat, frame), version))
    }

    /// Notes that the member types, or that it does not; tells the others if that is news. Every
    /// beginning has its end, so that those who hear nothing of members leaving see it too.
    pub(super) fn set_typing(&mut self, seat: Seat, on: bool) {
        let news = if on {
            self.room.starts_typing(seat, Some(self.now.time + TYPING))
        } else {
            self.room.stops_typing(seat)
        };
        if news && let Some(member) = self.room.member(seat) {
            let event = Outgoing::Typing { room: self.room.name(), member: &member.id, on };
            self.tell(EventKind::Typing, To::Others, seat, &Frame::json(&event));
        }
    }

    /// Notes up to where the member has read, and tells the others if that is further than before.
    pub(super) fn read(&mut self, seat: Seat, seq: u64) -> Result<(), Refusal> {
        let last = self.room.seq();
        if seq > last {
            let why = format!("the last event is {last}");
            return Err(Refusal::new(Code::BadMessage, why).about(self.room.name()));
        }
        let Some(member) = self.room.member_mut(seat) else { return Ok(()) };
        if seq > member.read {
            member.read = seq;
            let room = &*self.room;
            if let Some(member) = room.member(seat) {
                let event: Outgoing<'_> =
                    Outgoing::Read { room: room.name(), member: &member.id, seq };
                self.tell(EventKind::Read, To::Others, seat, &Frame::json(&event));
            }
        }
        Ok(())
    }

    /// Does what time asks for: ends typing, and forgets what is too old to be recovered.
    pub(crate) fn tick(&mut self) {
        let limits = self.world.limits();
        while let Some(seat) = self.room.typing_expired(self.now.time) {
            self.set_typing(seat, false);
        }
        self.room.log.forget(self.now.time, limits);
    }

    /// Sends a reply. It is pushed under the lock only if it has a place in the room's order.
    pub(super) fn push(&self, to: &W::Peer, message: &Outgoing<'_>) {
        self.world.push(to, &Frame::json(message));
    }

    /// What the next event of this member needs: the room's name, the number, the member.
    fn next(&self, seat: Seat) -> Result<(&str, u64, &Member<W::Peer>), Refusal> {
        let room = self.room.name();
        let member = self.room.member(seat).ok_or_else(|| not_joined(room))?;
        Ok((room, self.room.seq() + 1, member))
    }

    /// Puts the frame into the log, and sends it to all.
    fn log(&mut self, kind: EventKind, seat: Seat, frame: Frame) -> u64 {
        self.tell(kind, To::All, seat, &frame);
        self.room.log.append(self.now.time, frame, self.world.limits());
        self.room.seq()
    }

    fn missed(&mut self, since: &Since<'_>) -> Option<Vec<Frame>> {
        if since.epoch != self.room.log.epoch() {
            return None;
        }
        let after = self.room.log.after(since.seq, self.now.time, self.world.limits())?;
        Some(after.cloned().collect())
    }
}

/// The connection is not in that room, or its seat is gone.
pub(super) fn not_joined(room: &str) -> Refusal {
    Refusal::new(Code::NotJoined, "not in that room").about(room)
}

fn merged(state: &RawValue, patch: &RawValue) -> Result<Box<RawValue>, serde_json::Error> {
    let mut state: Value = serde_json::from_str(state.get())?;
    json_patch::merge(&mut state, &serde_json::from_str(patch.get())?);
    to_raw_value(&state)
}
