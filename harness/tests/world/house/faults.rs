//! What the server of the house does wrong, once, to one kind of frame at one client.

use super::*;

/// To what.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Kind {
    Joined,
    Left,
    Presence,
    Stored,
    Message,
    Entry,
    /// The answer to who comes back, where what was missed follows.
    Back,
    Acked,
    StoreAcked,
    Connection,
    /// The server itself forgets: that a connection is gone, a write, that it refused one.
    Gone,
    Write,
    Refusal,
    /// What follows for who comes back.
    Replay,
}

/// What.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Deed {
    Drop,
    Twice,
    /// It comes after the next frame.
    Hold,
    /// It comes after a long time.
    Late,
    /// It says something else: which of several things.
    Alter(u8),
}

/// All that can go wrong.
pub(crate) const WRONGS: [(Kind, Deed); 53] = {
    use Deed::{Alter, Drop, Hold, Late, Twice};
    use Kind::{
        Acked, Back, Connection, Entry, Gone, Joined, Left, Message, Presence, Refusal, Replay,
        StoreAcked, Stored, Write,
    };
    [
        (Joined, Drop),
        (Joined, Twice),
        (Joined, Alter(0)),
        (Joined, Alter(1)),
        (Left, Drop),
        (Left, Twice),
        (Left, Alter(0)),
        (Left, Alter(1)),
        (Presence, Drop),
        (Presence, Twice),
        (Presence, Hold),
        (Presence, Late),
        (Presence, Alter(0)),
        (Presence, Alter(1)),
        (Presence, Alter(2)),
        (Stored, Drop),
        (Stored, Twice),
        (Stored, Hold),
        (Stored, Alter(0)),
        (Stored, Alter(1)),
        (Stored, Alter(2)),
        (Message, Drop),
        (Message, Twice),
        (Message, Hold),
        (Message, Alter(0)),
        (Message, Alter(1)),
        (Entry, Drop),
        (Entry, Twice),
        (Entry, Alter(0)),
        (Entry, Alter(1)),
        (Entry, Alter(2)),
        (Entry, Alter(3)),
        (Entry, Alter(4)),
        (Entry, Alter(5)),
        (Entry, Alter(6)),
        (Entry, Alter(7)),
        (Entry, Alter(8)),
        (Entry, Alter(9)),
        (Entry, Alter(10)),
        (Back, Alter(0)),
        (Back, Alter(1)),
        (Back, Alter(2)),
        (Acked, Alter(0)),
        (StoreAcked, Alter(0)),
        (StoreAcked, Alter(1)),
        (Connection, Alter(0)),
        (Connection, Alter(1)),
        (Gone, Drop),
        (Write, Drop),
        (Refusal, Drop),
        (Replay, Drop),
        (Replay, Twice),
        (Replay, Hold),
    ]
};

impl House {
    /// Whether the fault befalls this now.
    fn is_due(&mut self, kind: Kind) -> Option<Deed> {
        let (wrong, deed) = self.plot.wrong.filter(|_| !self.done)?;
        if wrong != kind {
            return None;
        }
        self.countdown = self.countdown.saturating_sub(1);
        self.done = self.countdown == 0;
        self.done.then_some(deed)
    }

    /// The server itself forgets something.
    pub(super) fn forgets(&mut self, kind: Kind) -> bool {
        self.is_due(kind).is_some()
    }

    pub(super) fn misname(&mut self, client: usize, name: &mut String) {
        let others = self.clients.iter().enumerate().filter(|(other, _)| *other != client);
        let living = others.filter_map(|(_, it)| it.connection).next_back();
        match (self.is_due(Kind::Connection), living) {
            (Some(Deed::Alter(0)), _) => name.clear(),
            (Some(_), Some(other)) => *name = format!("conn-{other}"),
            _ => {}
        }
    }

    /// What follows for who comes back.
    pub(super) fn replay(&mut self, mut missed: Vec<What>) -> Vec<What> {
        if missed.len() < 2 {
            return missed;
        }
        let at = self.rng.random_range(0..missed.len() - 1);
        match self.is_due(Kind::Replay) {
            Some(Deed::Drop) => drop(missed.remove(at)),
            Some(Deed::Twice) => missed.insert(at, missed[at].clone()),
            Some(_) => missed.swap(at, at + 1),
            None => {}
        }
        missed
    }

    /// What was held back comes.
    pub(super) fn release(&mut self) {
        if matches!(self.plot.wrong, Some((_, Deed::Late))) {
            return;
        }
        if let Some(held) = self.held.take() {
            self.clients[self.victim].inbox.push_back(held);
        }
    }

    /// Does the fault to a frame on its way to the victim; says whether that is all.
    pub(super) fn spoils(&mut self, what: &What) -> bool {
        let kind = match what {
            What::Joined { .. } => Kind::Joined,
            What::Left { .. } => Kind::Left,
            What::Presence { .. } => Kind::Presence,
            What::Stored { .. } => Kind::Stored,
            What::Received { .. } => Kind::Message,
            What::Entered(entry) if entry.recovered == Some(true) => Kind::Back,
            What::Entered(_) => Kind::Entry,
            What::Acked { .. } => Kind::Acked,
            What::StoreAcked { .. } => Kind::StoreAcked,
            _ => return false,
        };
        let Some(deed) = self.is_due(kind) else { return false };
        let victim = self.victim;
        match deed {
            Deed::Drop => {}
            Deed::Twice => {
                self.clients[victim].inbox.extend([what.clone(), what.clone()]);
            }
            Deed::Hold | Deed::Late => self.held = Some(what.clone()),
            Deed::Alter(way) => {
                let mut what = what.clone();
                self.alter(&mut what, way);
                self.clients[victim].inbox.push_back(what);
            }
        }
        true
    }

    fn anybody(&mut self) -> Who {
        who(self.rng.random_range(0..self.plot.clients))
    }

    fn alter(&mut self, what: &mut What, way: u8) {
        let other = self.anybody();
        let state = self.states.first().cloned();
        match what {
            What::Joined { who, view, .. } | What::Left { who, view, .. } => match way {
                0 => *who = other,
                _ => *view = view.map(|view| view + 1),
            },
            What::Presence { who, state: told, number, .. } => match (way, state) {
                (0, Some(first)) => *told = first,
                (1, _) => *told = Arc::new(json!({ "at": "nowhere" })),
                _ if way == 2 => *number = number.map(|number| number + 1),
                _ => *who = other,
            },
            What::Stored { version, ops, .. } => match way {
                0 => *version += 1,
                1 => *version = version.saturating_sub(1),
                _ => *ops = Arc::new(json!([{ "put": { "key": "k1", "value": "else" } }])),
            },
            What::Received { number, .. } | What::Acked { number, .. } => match way {
                0 => *number = number.map(|number| number + 1),
                _ => *number = number.map(|number| number.saturating_sub(1)),
            },
            What::StoreAcked { version, .. } => match way {
                0 => *version = version.map(|version| version + 1),
                _ => *version = version.map(|version| version.saturating_sub(1)),
            },
            What::Entered(entry) => self.alter_entry(entry, way, other),
            _ => {}
        }
    }

    fn alter_entry(&mut self, entry: &mut Entry, way: u8, other: Who) {
        let me = who(self.victim);
        let mut members = entry.members.take().unwrap_or_default();
        let back = entry.recovered == Some(true);
        match way {
            0 if back => entry.recovered = None,
            1 if back => entry.number = entry.number.map(|number| number + 1),
            2 if back => entry.epoch = Some("life-0".into()),
            0 => {
                let at = members.iter().position(|it| it.who != me);
                at.map(|at| members.remove(at));
            }
            1 => members.retain(|it| it.who != me),
            2 => members.extend(members.first().cloned()),
            3 => members.push(Person { who: other, state: None }),
            4 => entry.count = entry.count.map(|count| count + 1),
            5 => entry.you = Some("".into()),
            6 => entry.you = Some(format!("m-1-{}", entry.room.0).into()),
            7 => {
                if let Some((version, entries)) = &mut entry.storage {
                    let mut content = Value::clone(entries);
                    content["k0"] = json!("else");
                    (*version, *entries) = (*version, Arc::new(content));
                }
            }
            8 => {
                if let Some((version, _)) = &mut entry.storage {
                    *version = version.saturating_sub(1);
                }
            }
            9 => {
                let state = Some(Arc::new(json!({ "at": "nowhere" })));
                members.iter_mut().for_each(|it| it.state.clone_from(&state));
            }
            _ => {
                // What each had first.
                for person in &mut members {
                    let first = self.history.iter().find_map(|seen| match &seen.what {
                        What::PresenceSending { room, state }
                            if *room == entry.room && person.who == Who::Client(seen.client) =>
                        {
                            Some(Arc::clone(state))
                        }
                        _ => None,
                    });
                    person.state = first.or_else(|| person.state.take());
                }
            }
        }
        entry.members = Some(members);
    }
}
