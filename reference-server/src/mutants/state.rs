//! What a wrong server remembers: who is who, who is where, what has been counted and held back.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Weak},
};

use bytes::Bytes;
use parking_lot::Mutex;
use protocol::{Frame, Limits, Room};
use tracing::warn;

use super::{
    Chosen, Kind,
    mutant::{Mutant, NONE},
};
use crate::connection::Connection;

/// The state of a run. Its lock is the last to be taken: nothing is pushed under it.
#[derive(Debug)]
pub(crate) struct State {
    chosen: Option<Chosen>,
    /// The limits that sessions see, if they are others than the server's.
    pub(super) limits: Option<Limits>,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    connections: BTreeMap<u64, Weak<Connection>>,
    /// Who is in a room, by the room's name in the world, as of the last time that anybody was in it.
    members: BTreeMap<String, Vec<Weak<Connection>>>,
    counts: BTreeMap<String, u64>,
    notes: BTreeMap<String, String>,
    marks: BTreeMap<String, BTreeSet<u64>>,
    frames: BTreeMap<String, Frame>,
    held: BTreeMap<u64, Vec<Held>>,
}

/// A frame that is kept back, until so many more of its kind have gone to its receiver.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) kind: Kind,
    pub(super) room: Option<Arc<str>>,
    pub(super) after: u64,
    pub(super) frame: Bytes,
}

impl State {
    pub(crate) fn new(chosen: Option<Chosen>, limits: &Limits) -> Self {
        let limits = chosen.and_then(|chosen| chosen.mutant.limits).map(|change| {
            let mut changed = limits.clone();
            change(&mut changed);
            changed
        });
        if let Some(Chosen { mutant, every }) = chosen {
            warn!(id = mutant.id, every, "wrong on purpose: {}", mutant.does);
        }
        Self { chosen, limits, known: Mutex::default() }
    }

    /// What the server is; without a fault if it is a good one.
    pub(super) fn mutant(&self) -> &'static Mutant {
        self.chosen.map_or(&NONE, |chosen| chosen.mutant)
    }

    /// Every how many-th time.
    pub(super) fn every(&self) -> u64 {
        self.chosen.map_or(1, |chosen| chosen.every)
    }

    pub(super) fn meet(&self, connection: &Arc<Connection>) {
        if self.chosen.is_some() {
            self.known.lock().connections.insert(connection.id, Arc::downgrade(connection));
        }
    }

    /// The connection of this number.
    pub(super) fn connection(&self, id: u64) -> Option<Arc<Connection>> {
        self.known.lock().connections.get(&id)?.upgrade()
    }

    /// Every connection that is open, in the order of their opening.
    pub(super) fn connections(&self) -> Vec<Arc<Connection>> {
        self.known.lock().connections.values().filter_map(Weak::upgrade).collect()
    }

    pub(super) fn note_members(&self, room: &Room<Arc<Connection>>) {
        if self.chosen.is_none() {
            return;
        }
        let members = room.occupants().map(|it| Arc::downgrade(it.peer)).collect();
        self.known.lock().members.insert(room.name().to_owned(), members);
    }

    /// Who is in the room of that name in the world.
    pub(super) fn members(&self, room: &str) -> Vec<Arc<Connection>> {
        let known = self.known.lock();
        let members = known.members.get(room).into_iter().flatten();
        members.filter_map(Weak::upgrade).collect()
    }

    /// The rooms that this connection is in, as the world calls them.
    pub(super) fn rooms_of(&self, id: u64) -> Vec<String> {
        let known = self.known.lock();
        let Some(own) = known.connections.get(&id) else { return Vec::new() };
        // None is upgraded here: whoever drops the last of a connection takes another lock.
        let is_in = |members: &[Weak<Connection>]| members.iter().any(|it| it.ptr_eq(own));
        let rooms = known.members.iter().filter(|(_, members)| is_in(members));
        rooms.map(|(name, _)| name.clone()).collect()
    }

    /// The names of the rooms that somebody is in, as the world calls them.
    pub(super) fn rooms(&self) -> Vec<String> {
        let known = self.known.lock();
        let peopled = known.members.iter().filter(|(_, members)| !members.is_empty());
        peopled.map(|(name, _)| name.clone()).collect()
    }

    /// Counts one more of what is called so; the first is 1.
    pub(super) fn count(&self, what: &str) -> u64 {
        let mut known = self.known.lock();
        let count = known.counts.entry(what.to_owned()).or_default();
        *count += 1;
        *count
    }

    /// Whether it is a turn for a fault: every Nth of what is called so.
    pub(super) fn is_turn(&self, what: &str) -> bool {
        self.count(what).is_multiple_of(self.every())
    }

    /// What was noted under this name.
    pub(super) fn note(&self, name: &str) -> Option<String> {
        self.known.lock().notes.get(name).cloned()
    }

    /// Notes something; gives what stood there before.
    pub(super) fn set(&self, name: &str, what: impl Into<String>) -> Option<String> {
        self.known.lock().notes.insert(name.to_owned(), what.into())
    }

    /// Forgets what was noted.
    pub(super) fn unset(&self, name: &str) -> Option<String> {
        self.known.lock().notes.remove(name)
    }

    /// Marks a connection with this.
    pub(super) fn mark(&self, with: &str, connection: u64) {
        self.known.lock().marks.entry(with.to_owned()).or_default().insert(connection);
    }

    pub(super) fn unmark(&self, with: &str, connection: u64) -> bool {
        let mut known = self.known.lock();
        known.marks.get_mut(with).is_some_and(|marked| marked.remove(&connection))
    }

    pub(super) fn is_marked(&self, with: &str, connection: u64) -> bool {
        let known = self.known.lock();
        known.marks.get(with).is_some_and(|marked| marked.contains(&connection))
    }

    /// Every connection that is marked so, and still there.
    pub(super) fn marked(&self, with: &str) -> Vec<Arc<Connection>> {
        let known = self.known.lock();
        let marked = known.marks.get(with).into_iter().flatten();
        marked.filter_map(|id| known.connections.get(id)?.upgrade()).collect()
    }

    /// Keeps a frame under this name; gives what stood there before.
    pub(super) fn keep(&self, name: &str, frame: &Frame) -> Option<Frame> {
        self.known.lock().frames.insert(name.to_owned(), frame.clone())
    }

    /// The frame that was kept under this name.
    pub(super) fn kept(&self, name: &str) -> Option<Frame> {
        self.known.lock().frames.get(name).cloned()
    }

    /// Holds a frame back from its receiver.
    pub(super) fn hold(&self, to: u64, held: Held) {
        self.known.lock().held.entry(to).or_default().push(held);
    }

    /// One more of a kind has gone to this receiver: gives what was held back until then.
    pub(super) fn due(&self, to: u64, kind: Kind, room: Option<&str>) -> Vec<Bytes> {
        let mut known = self.known.lock();
        let Some(held) = known.held.get_mut(&to) else { return Vec::new() };
        for held in held.iter_mut().filter(|it| it.kind == kind && it.room.as_deref() == room) {
            held.after = held.after.saturating_sub(1);
        }
        held.extract_if(.., |held| held.after == 0).map(|held| held.frame).collect()
    }

    /// Everything that is held back from this receiver.
    pub(super) fn release(&self, to: u64) -> Vec<Bytes> {
        let held = self.known.lock().held.remove(&to).unwrap_or_default();
        held.into_iter().map(|held| held.frame).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mutants::choose;

    #[test]
    fn what_is_held_back_goes_when_so_many_of_its_kind_have_gone_or_when_it_must() {
        let state = State::new(None, &Limits::default());
        let held = |after, text: &'static str| Held {
            kind: Kind::Message,
            room: Some("r".into()),
            after,
            frame: text.into(),
        };
        state.hold(1, held(2, "first"));
        state.hold(1, held(9, "second"));
        let none: Vec<Bytes> = Vec::new();
        assert_eq!(state.due(1, Kind::Message, Some("r")), none);
        assert_eq!(state.due(1, Kind::Message, Some("another")), none);
        assert_eq!(state.due(1, Kind::Came, Some("r")), none);
        assert_eq!(state.due(2, Kind::Message, Some("r")), none);
        assert_eq!(state.due(1, Kind::Message, Some("r")), ["first"]);
        assert_eq!(state.release(1), ["second"]);
        assert_eq!(state.release(1), none);
    }

    #[test]
    fn a_good_server_remembers_nobody() {
        let room = Room::new("r", &mut protocol::Ids::new([0; 32]));
        let remembered = |chosen| {
            let state = State::new(chosen, &Limits::default());
            state.note_members(&room);
            state.known.lock().members.len()
        };
        assert_eq!(remembered(None), 0);
        assert_eq!(remembered(choose("join-no-ack").ok()), 1);
    }

    #[test]
    fn a_rate_counts_by_itself_for_each_name() {
        let chosen = choose("join-no-ack:1/3").expect("there is one");
        let state = State::new(Some(chosen), &Limits::default());
        let turns: Vec<bool> = (0..6).map(|_| state.is_turn("a")).collect();
        assert_eq!(turns, [false, false, true, false, false, true]);
        assert!(!state.is_turn("b"));
    }
}
