//! One room: its members in the order of their joining, its log, and what they share.
//!
//! What is here is the same for all protocols; what its events look like on the wire is not here.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::ids::Ids;
use crate::log::Log;
use crate::pusher::Channel;
use crate::storage::Storage;
use crate::time::Time;

/// A room. It is reached only under its lock, through [`World::with_room`](crate::World::with_room).
#[derive(Debug)]
pub struct Room<P> {
    pub(crate) name: String,
    pub(crate) log: Log,
    pub(crate) storage: Storage,
    /// What a channel of `pusher` has besides its members.
    pub(crate) channel: Option<Box<Channel>>,
    view: u64,
    members: BTreeMap<Seat, Member<P>>,
    next_seat: u64,
    capacity: Option<usize>,
    typing: Typing,
    empty_since: Option<Time>,
    dead: bool,
    /// The latest time of day that it has told.
    told: Duration,
    /// The earliest tick that has been asked for and has not come.
    awaited: Option<Time>,
}

/// A member's place in one room. Seats are taken in order, and never twice.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Seat(u64);

/// One member, as the room knows it.
#[derive(Debug)]
pub(crate) struct Member<P> {
    pub(crate) id: String,
    pub(crate) username: String,
    pub(crate) peer: P,
    pub(crate) membership: Membership,
    /// Its presence, as JSON text: read once for each newcomer, changed seldom by comparison.
    pub(crate) state: Box<RawValue>,
    /// When it has last shown its state, in dialects in which it has none before it shows one.
    pub(crate) shown: Option<Duration>,
    /// The last event that it says it has read.
    pub(crate) read: u64,
}

impl<P> Member<P> {
    /// Somebody who has just come: a full member that has shown and read nothing.
    pub(crate) fn new(id: String, username: String, peer: P) -> Self {
        Self {
            id,
            username,
            peer,
            membership: Membership::Full,
            state: RawValue::from_string("{}".to_owned()).expect("an empty object is JSON"),
            shown: None,
            read: 0,
        }
    }
}

/// A member, as whoever runs the server may see it.
#[derive(Clone, Copy, Debug)]
pub struct Occupant<'a, P> {
    /// Its id in the room.
    pub id: &'a str,
    /// What it calls itself.
    pub username: &'a str,
    /// Whether it takes part in the membership: else it is counted, and that is all.
    pub is_full: bool,
    /// Its connection.
    pub peer: &'a P,
}

/// Whether a member takes part in the room's membership.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Membership {
    /// It is listed, and hears who comes and goes.
    #[default]
    Full,
    /// It is counted, and that is all.
    None,
}

impl<P> Room<P> {
    /// A new life of the room `name`: nobody is in it, and nothing has happened.
    pub fn new(name: &str, ids: &mut Ids) -> Self {
        Self {
            name: name.to_owned(),
            log: Log::new(ids.epoch()),
            storage: Storage::default(),
            channel: None,
            view: 0,
            members: BTreeMap::new(),
            next_seat: 0,
            capacity: None,
            typing: Typing::default(),
            empty_since: None,
            dead: false,
            told: Duration::ZERO,
            awaited: None,
        }
    }

    /// Gives a new life of the room the storage that its last one had. To be called right after
    /// [`Room::new`], by a world that [keeps](crate::World::keeps).
    pub fn restore(
        &mut self,
        version: u64,
        entries: impl IntoIterator<Item = (String, Box<RawValue>)>,
    ) {
        self.storage = Storage::restored(version, entries);
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How many are in it, whatever their membership.
    pub fn count(&self) -> usize {
        self.members.len()
    }

    /// The name of this life of it.
    pub fn epoch(&self) -> &str {
        self.log.epoch()
    }

    /// The number of its last event.
    pub const fn seq(&self) -> u64 {
        self.log.seq()
    }

    /// The number of its last change of membership.
    pub const fn view(&self) -> u64 {
        self.view
    }

    /// Whether this life of the room is over. It never comes back: the next one is a new `Room`.
    pub const fn is_dead(&self) -> bool {
        self.dead
    }

    /// Who is in it, in the order of joining.
    pub fn occupants(&self) -> impl Iterator<Item = Occupant<'_, P>> {
        self.members().map(|(_, member)| Occupant {
            id: &member.id,
            username: &member.username,
            is_full: member.membership == Membership::Full,
            peer: &member.peer,
        })
    }

    /// The version of its storage.
    pub const fn storage_version(&self) -> u64 {
        self.storage.version()
    }

    /// How many it takes, if that is bounded.
    pub const fn capacity(&self) -> Option<usize> {
        self.capacity
    }

    /// From now on no more than this many are let in.
    pub(crate) const fn set_capacity(&mut self, capacity: usize) {
        self.capacity = Some(capacity);
    }

    /// Whether nobody more is let in.
    pub(crate) fn is_full(&self) -> bool {
        self.capacity.is_some_and(|capacity| self.members.len() >= capacity)
    }

    /// Gives the newcomer a seat. A full member makes a new view.
    pub(crate) fn enter(&mut self, member: Member<P>) -> Seat {
        debug_assert!(!self.dead, "nobody is handed a dead room");
        let seat = Seat(self.next_seat);
        self.next_seat += 1;
        self.view += u64::from(member.membership == Membership::Full);
        self.members.insert(seat, member);
        self.empty_since = None;
        seat
    }

    /// Takes the seat back. A full member makes a new view.
    pub(crate) fn exit(&mut self, seat: Seat, now: Time) -> Option<Member<P>> {
        let member = self.members.remove(&seat)?;
        self.view += u64::from(member.membership == Membership::Full);
        self.typing.stop(seat);
        if self.members.is_empty() {
            self.empty_since = Some(now);
        }
        Some(member)
    }

    /// Gives a member another name. A full member makes a new view.
    pub(crate) fn rename(&mut self, seat: Seat, username: &str) -> Option<&Member<P>> {
        let member = self.members.get_mut(&seat)?;
        username.clone_into(&mut member.username);
        self.view += u64::from(member.membership == Membership::Full);
        Some(member)
    }

    /// The member in this seat.
    pub(crate) fn member(&self, seat: Seat) -> Option<&Member<P>> {
        self.members.get(&seat)
    }

    /// The member in this seat, to be changed in what makes no view.
    pub(crate) fn member_mut(&mut self, seat: Seat) -> Option<&mut Member<P>> {
        self.members.get_mut(&seat)
    }

    /// All members in the order of their joining.
    pub(crate) fn members(&self) -> impl Iterator<Item = (Seat, &Member<P>)> {
        self.members.iter().map(|(&seat, member)| (seat, member))
    }

    /// The full members in the order of their joining.
    pub(crate) fn full_members(&self) -> impl Iterator<Item = (Seat, &Member<P>)> {
        self.members().filter(|(_, member)| member.membership == Membership::Full)
    }

    /// The time of day to tell: times that are told in one room never go back, whoever took them
    /// first.
    pub(crate) fn time_to_tell(&mut self, unix: Duration) -> Duration {
        self.told = self.told.max(unix);
        self.told
    }

    /// Notes that the member types, until then or until it stops. Says whether it did not before.
    pub(crate) fn starts_typing(&mut self, seat: Seat, until: Option<Time>) -> bool {
        self.typing.start(seat, until)
    }

    /// Notes that the member types no more. Says whether it did before.
    pub(crate) fn stops_typing(&mut self, seat: Seat) -> bool {
        self.typing.stop(seat)
    }

    /// Who has typed for long enough, if anybody; to be told that it stopped.
    pub(crate) fn typing_expired(&mut self, now: Time) -> Option<Seat> {
        let &(until, seat) = self.typing.by_end.first()?;
        (until <= now).then_some(seat)
    }

    /// Whether it has been empty for the whole window. Then it is over, even if no tick has come
    /// yet to say so: what a client sees must not depend on how coarse a timer is.
    pub(crate) fn has_lapsed(&self, now: Time, window: Duration) -> bool {
        self.end(window).is_some_and(|end| end <= now)
    }

    /// Whether it is over as soon as nobody is in it.
    pub(crate) fn ends_with_its_members(&self, window: Duration) -> bool {
        window.is_zero() && self.kept_until().is_none()
    }

    /// When it is over, if it stays empty.
    fn end(&self, window: Duration) -> Option<Time> {
        self.empty_since
            .map(|since| self.kept_until().map_or(since + window, |at| at.max(since + window)))
    }

    /// Until when there is something in it that outlives its members, if there is.
    fn kept_until(&self) -> Option<Time> {
        self.channel.as_ref().and_then(|channel| channel.kept_until())
    }

    /// Ends this life. The caller holds the lock, so that nobody enters in between.
    ///
    /// # Panics
    /// If somebody is in it.
    pub fn die(&mut self) {
        assert!(self.members.is_empty(), "a room with members does not die");
        self.dead = true;
    }

    /// Notes that a tick has come: none asked for until now is awaited any more.
    pub(crate) fn ticked(&mut self, now: Time) {
        self.awaited = self.awaited.filter(|&at| at > now);
    }

    /// The tick to ask for, unless one as early has been asked for.
    pub(crate) fn next_tick(&mut self, now: Time, window: Duration) -> Option<Time> {
        // A room that has just been made may be found empty by another than the one who made it.
        if self.members.is_empty() && self.empty_since.is_none() {
            self.empty_since = Some(now);
        }
        let typing = self.typing.by_end.first().map(|&(until, _)| until);
        let channel = self.channel.as_ref().and_then(|channel| channel.next_due());
        let due = [self.end(window), typing, channel].into_iter().flatten().min()?;
        if self.dead || self.awaited.is_some_and(|awaited| awaited <= due) {
            return None;
        }
        self.awaited = Some(due);
        self.awaited
    }
}

/// Who types, and until when if nothing more is heard of it.
#[derive(Debug, Default)]
struct Typing {
    until: BTreeMap<Seat, Option<Time>>,
    by_end: BTreeSet<(Time, Seat)>,
}

impl Typing {
    fn start(&mut self, seat: Seat, until: Option<Time>) -> bool {
        let fresh = !self.stop(seat);
        self.until.insert(seat, until);
        self.by_end.extend(until.map(|until| (until, seat)));
        fresh
    }

    fn stop(&mut self, seat: Seat) -> bool {
        let Some(until) = self.until.remove(&seat) else { return false };
        if let Some(until) = until {
            self.by_end.remove(&(until, seat));
        }
        true
    }
}
