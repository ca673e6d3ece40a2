//! What all dialects do with rooms: find one, act in it under its lock, tell its members.

use crate::dialect::Dialect;
use crate::ending::Reason;
use crate::frame::Frame;
use crate::ids::Ids;
use crate::pusher;
use crate::room::{Member, Membership, Room, Seat};
use crate::storage::{Change, Unchanged};
use crate::time::Now;
use crate::world::{EventKind, Make, Tally, World};

/// How many codes are tried. There are 2^30; a world of a million rooms meets a taken one once in
/// a thousand times, and eight in a row never.
const CODE_TRIES: usize = 8;

/// One room under its lock, with all that is needed to do something in it.
pub(crate) struct Act<'a, W: World> {
    pub(crate) now: Now,
    pub(crate) world: &'a W,
    pub(crate) room: &'a mut Room<W::Peer>,
}

/// Who gets an event.
#[derive(Clone, Copy, Eq, PartialEq)]
pub(crate) enum To {
    /// Everybody, the one who caused it included.
    All,
    /// Everybody but the one who caused it.
    Others,
    /// The full members, the one who caused it included if it is one.
    Full,
    /// The full members but the one who caused it.
    OtherFull,
}

impl<W: World> Act<'_, W> {
    /// What the room is called in its dialect.
    pub(crate) fn name(&self) -> &str {
        Dialect::of_key(self.room.name()).1
    }

    /// Lets somebody in as a full member.
    pub(crate) fn admit(&mut self, id: &str, username: &str, peer: &W::Peer) -> Seat {
        self.enter(Member::new(id.to_owned(), username.to_owned(), peer.clone()), false)
    }

    /// Gives the newcomer a seat; `recovered` if it gets what it missed rather than a snapshot.
    pub(crate) fn enter(&mut self, member: Member<W::Peer>, recovered: bool) -> Seat {
        self.world.tally(Tally::Joined { recovered });
        self.room.enter(member)
    }

    /// Takes a seat back from whoever leaves.
    pub(crate) fn exit(&mut self, seat: Seat, reason: Reason) -> Option<Member<W::Peer>> {
        let member = self.room.exit(seat, self.now.time)?;
        self.world.tally(Tally::Left { reason });
        Some(member)
    }

    /// Sends one frame to those members; `by` is the one who caused it, if a member did.
    pub(crate) fn tell(&self, kind: EventKind, to: To, by: impl Into<Option<Seat>>, frame: &Frame) {
        let (mut others, mut own) = (0, 0);
        let by = by.into();
        let told = self.room.members().filter(|&(at, member)| match to {
            To::All => true,
            To::Others => Some(at) != by,
            To::Full => member.membership == Membership::Full,
            To::OtherFull => Some(at) != by && member.membership == Membership::Full,
        });
        let peers = told.map(|(at, member)| {
            *(if Some(at) == by { &mut own } else { &mut others }) += 1;
            &member.peer
        });
        self.world.push_all(peers, frame);
        self.world.tally(Tally::Delivered { kind, others, own });
    }

    /// Changes the room's storage, all or nothing, and gives its new version. That of a
    /// [lasting](Dialect::is_lasting) room is kept first, by worlds that keep.
    pub(crate) fn change<'c>(
        &mut self,
        changes: impl Iterator<Item = Change<'c>> + Clone,
    ) -> Result<u64, Unchanged> {
        let (limit, world) = (self.world.limits().storage_bytes, self.world);
        let Room { name, storage, .. } = &mut *self.room;
        storage.apply(changes, limit, |version, changes| {
            if world.keeps() && Dialect::is_lasting(name) {
                world.keep(name, version, changes)
            } else {
                Ok(())
            }
        })
    }
}

/// Does something in a room, and asks for its next tick when its lock is free again.
pub(crate) fn in_room<W: World, R>(
    now: Now,
    key: &str,
    make: Make,
    world: &W,
    act: impl FnOnce(&mut Act<'_, W>) -> R,
) -> Option<R> {
    let dialect = Dialect::of_key(key).0;
    let window = dialect.empty_room_lives(world.limits());
    let mut act = Some(act);
    // A room whose time is up ends here, before a tick has come to end it; the second time there is
    // another one, or none.
    loop {
        let done = world.with_room(key, make, |room| {
            if dialect == Dialect::Pusher {
                pusher::settle(now, room, world);
            }
            if room.has_lapsed(now.time, window) {
                room.die();
                return None;
            }
            let result = act.take().map(|act| act(&mut Act { now, world, room }));
            if room.count() == 0 && room.ends_with_its_members(window) {
                room.die();
            }
            Some((result, room.next_tick(now.time, window)))
        })?;
        if let Some((result, tick)) = done {
            if let Some(at) = tick {
                world.wake_room(key, at);
            }
            return result;
        }
    }
}

/// Does something in a room that was made for a fresh code: `act` gets the code as well. `None` if
/// the world has no more rooms.
pub(crate) fn in_coded_room<W: World, R>(
    now: Now,
    key: impl Fn(&str) -> String,
    world: &W,
    mut act: impl FnMut(&mut Act<'_, W>, &str) -> R,
) -> Option<R> {
    (0..CODE_TRIES).find_map(|_| {
        let code = world.with_ids(Ids::code);
        in_room(now, &key(&code), Make::Fresh, world, |room| act(room, &code))
    })
}

/// A code as it is meant, if it has the form of one: people add spaces, and write it small.
pub(crate) fn code_meant(code: &str) -> Option<String> {
    let code = code.trim().to_ascii_uppercase();
    Ids::is_code(&code).then_some(code)
}
