//! A whole history in a list, and plain questions about it. Nothing here is remembered from one
//! question to the next: whoever reads an answer can find it in the list by hand.

use std::collections::{BTreeMap, BTreeSet};

use harness::check::Class;
use harness::observe::{ClientId, Entry, MessageId, Observation, RoomId, What, Who};

/// A check, and what it says.
pub(super) type Told = (&'static str, Class);

/// What an oracle says of a history.
#[derive(Debug, Default)]
pub(super) struct Opinion {
    /// This is certain, and must be told.
    pub must: BTreeSet<Told>,
    /// One fault with two right names: one of them must be told.
    pub either: BTreeSet<Vec<Told>>,
    /// The wire does not decide it, or not for a check of bounded memory: it may be told or not.
    pub may: BTreeSet<Told>,
}

impl Opinion {
    /// This is certain.
    pub(super) fn tell(&mut self, told: Told) {
        self.must.insert(told);
    }

    /// Whether some check must or may find this.
    pub(super) fn has(&self, class: Class) -> bool {
        self.must.iter().chain(&self.may).any(|(_, told)| *told == class)
    }
}

/// Where a history stands, as a place in the list.
pub(super) type Place = usize;

/// How a stay ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Over {
    Refused,
    Exited,
    Closed,
}

/// A client in a room, from its asking to enter until it is out.
#[derive(Clone, Debug)]
pub(super) struct Stay<'a> {
    pub asked: Place,
    pub since: bool,
    pub entered: Option<(Place, &'a Entry)>,
    pub leaving: Option<Place>,
    pub over: Option<(Place, Over)>,
}

impl Stay<'_> {
    /// It goes on with the stay before it: what was missed follows.
    pub(super) fn goes_on(&self) -> bool {
        self.since && self.entered.is_some_and(|(_, entry)| entry.recovered == Some(true))
    }

    /// It is in at this place, and has not begun to leave.
    pub(super) fn is_inside(&self, at: Place) -> bool {
        self.entered.is_some_and(|(since, _)| since < at)
            && self.leaving.is_none_or(|since| since > at)
            && self.over.is_none_or(|(since, _)| since > at)
    }
}

/// What was said, once.
#[derive(Clone, Copy, Debug)]
pub(super) struct Said {
    pub at: Place,
    pub client: ClientId,
    pub room: RoomId,
    pub ticket: u32,
    pub hash: u32,
}

/// A message as it came.
#[derive(Clone, Copy, Debug)]
pub(super) struct Receipt<'a> {
    pub at: Place,
    pub client: ClientId,
    pub id: MessageId,
    pub room: Option<RoomId>,
    pub from: &'a Who,
    pub hash: u32,
}

/// The history, with an index of what was said and of who was where.
pub(super) struct Past<'a> {
    pub seen: &'a [Observation],
    pub said: BTreeMap<MessageId, Said>,
    stays: BTreeMap<(ClientId, RoomId), Vec<Stay<'a>>>,
}

impl<'a> Past<'a> {
    pub(super) fn new(seen: &'a [Observation]) -> Self {
        let mut past = Self { seen, said: BTreeMap::new(), stays: BTreeMap::new() };
        for (at, it) in seen.iter().enumerate() {
            let client = it.client;
            match it.what {
                What::Sending { message, room, ticket, hash, .. } => {
                    past.said.insert(message, Said { at, client, room, ticket, hash });
                }
                What::Joining { room: Some(room), .. } => {
                    past.stays.entry((client, room)).or_insert_with(|| stays(seen, client, room));
                }
                _ => {}
            }
        }
        past
    }

    /// Who was ever to be in which room.
    pub(super) fn members(&self) -> impl Iterator<Item = (ClientId, RoomId)> + '_ {
        self.stays.keys().copied()
    }

    pub(super) fn stays(&self, client: ClientId, room: RoomId) -> &[Stay<'a>] {
        self.stays.get(&(client, room)).map(Vec::as_slice).unwrap_or_default()
    }

    /// The number of the latest stay that had begun at this place.
    pub(super) fn stay_at(&self, client: ClientId, room: RoomId, at: Place) -> Option<usize> {
        self.stays(client, room).iter().rposition(|stay| stay.asked < at)
    }

    /// The stay with which it began: others that recovered go on with it.
    pub(super) fn first_of(&self, client: ClientId, room: RoomId, stay: usize) -> usize {
        let stays = self.stays(client, room);
        (0..=stay).rev().find(|at| !stays[*at].goes_on()).unwrap_or(0)
    }

    /// Whether a client reads its socket at this place: who connects again reads.
    pub(super) fn reads(&self, client: ClientId, at: Place) -> bool {
        let mut told = self.seen[..at].iter().rev().filter(|it| it.client == client);
        let last = told.find_map(|it| match it.what {
            What::Reads(reads) => Some(reads),
            What::Closed(_) => Some(true),
            _ => None,
        });
        last.unwrap_or(true)
    }

    /// The first place where a client saw such a thing, after another place.
    pub(super) fn first(
        &self,
        client: ClientId,
        after: Place,
        is: impl Fn(&What) -> bool,
    ) -> Option<Place> {
        (after..self.seen.len())
            .find(|at| self.seen[*at].client == client && is(&self.seen[*at].what))
    }

    /// Where the server's refusal of a message was read.
    pub(super) fn refused(&self, id: MessageId) -> Option<Place> {
        self.seen
            .iter()
            .position(|it| matches!(it.what, What::Rejected { message, .. } if message == id))
    }

    /// Where the server's confirmation of a message was read.
    pub(super) fn acked(&self, id: MessageId) -> Option<Place> {
        self.seen
            .iter()
            .position(|it| matches!(it.what, What::Acked { message, .. } if message == id))
    }

    pub(super) fn receipts(&self) -> impl Iterator<Item = Receipt<'a>> + use<'a> {
        self.seen.iter().enumerate().filter_map(|(at, it)| match &it.what {
            What::Received { message, room, from, hash, .. } => {
                let (client, id) = (it.client, *message);
                Some(Receipt { at, client, id, room: *room, from, hash: *hash })
            }
            _ => None,
        })
    }
}

/// The stays of a client in a room, one after the other.
fn stays(seen: &[Observation], client: ClientId, room: RoomId) -> Vec<Stay<'_>> {
    let mut stays: Vec<Stay<'_>> = Vec::new();
    for (at, it) in seen.iter().enumerate().filter(|(_, it)| it.client == client) {
        if let What::Joining { room: Some(asked), since } = it.what
            && asked == room
        {
            let stay = Stay { asked: at, since, entered: None, leaving: None, over: None };
            stays.push(stay);
        }
        let Some(stay) = stays.last_mut().filter(|stay| stay.over.is_none()) else { continue };
        match &it.what {
            What::Entered(entry) if entry.room == room => {
                stay.entered.get_or_insert((at, &**entry));
            }
            What::Refused { room: named, .. } if named.is_none_or(|it| it == room) => {
                stay.over = Some((at, Over::Refused));
            }
            What::Leaving { room: left } if *left == room => {
                stay.leaving.get_or_insert(at);
            }
            What::Closing { .. } => {
                stay.leaving.get_or_insert(at);
            }
            What::Exited { room: left } if *left == room => stay.over = Some((at, Over::Exited)),
            What::Closed(_) => stay.over = Some((at, Over::Closed)),
            _ => {}
        }
    }
    stays
}

/// A history as a person can read it: of whoever did not hear messages, only who came and went.
pub(super) fn story(seen: &[Observation]) -> String {
    let line = |(place, it): (usize, &Observation)| {
        let what = match &it.what {
            What::Sending { message, room, ticket, .. } => {
                format!("says {}:{} in {} as {ticket}", message.voice.0, message.seq, room.0)
            }
            What::Received { message, number, .. } => {
                format!("gets {}:{} {number:?}", message.voice.0, message.seq)
            }
            What::Entered(entry) => {
                let Entry { room, tickets, recovered, number, view, .. } = &**entry;
                let members: Option<Vec<_>> = entry
                    .members
                    .as_ref()
                    .map(|all| all.iter().map(|it| (&it.who, &it.state)).collect());
                format!(
                    "is in {} from {tickets} on, number {number:?} view {view:?} recovered \
                     {recovered:?} members {members:?} storage {:?}",
                    room.0, entry.storage
                )
            }
            other => format!("{other:?}"),
        };
        format!("{place:4} {:8} c{} {what}\n", it.at.0, it.client.0)
    };
    seen.iter().enumerate().map(line).collect()
}
