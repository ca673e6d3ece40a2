//! Every message to everybody it is owed to, once and in order: the checks `delivery` and `order`.
//!
//! Both read the same books. A member is owed what was sent after its entry was confirmed, until
//! it begins to leave; between asking and being in, and between leaving and being out, messages
//! may come. Counting is by *due* copies per message, so that what is outstanding is one number.
//!
//! Where a total order is promised, the room's order is learned from the members themselves: see
//! [`log`]. A good run costs two numbers per member. Where only each sender's order is promised,
//! it costs two numbers per member and sender that have met.

mod account;
mod claim;
mod end;
mod evaluate;
mod log;
mod state;
mod stay;
mod track;

use std::collections::HashMap;

use crate::observe::{ClientId, Entry, MessageId, Observation, RoomId, Time, What, Who};
use crate::plan::{ChecksPlan, Delivery, Echo, Ordering};

use super::numbered::{Mix, Numbered};
use super::{Check, Class, Deliveries, End, Finding, Findings, Footprint, Profile};
use end::Missing;
use state::{Client, Flags, Member, Message, NONE, Room, Stand, Voice};
use track::{Faults, Track};

/// The name of the check that asks whether messages come.
pub(super) const DELIVERY: &str = "delivery";
/// The name of the check that asks in which order they come.
pub(super) const ORDER: &str = "order";

/// The books, and what is promised.
#[derive(Debug)]
pub(super) struct Traffic {
    delivery: Delivery,
    ordering: Option<Ordering>,
    echo: Option<Echo>,
    recovery: bool,
    rooms: Numbered<Room>,
    voices: Numbered<Option<Voice>>,
    members: Numbered<Member>,
    clients: Numbered<Client>,
    /// Tracks of members by voice, where each sender's order is all that is promised.
    pairs: HashMap<(u32, u32), Track, Mix>,
    faults: Faults,
    /// Copies left out of messages that the server may have refused: the end decides.
    left_out: Vec<Missing>,
    /// Who was found to have got what out of order, by the receipt at hand.
    blamed: Vec<(u32, u32)>,
    /// Members whose waiting messages may have got a place.
    awake: Vec<u32>,
    stays: u32,
    /// Requests to join so far.
    joins: u32,
    sums: Deliveries,
    outstanding: u64,
    echoes: u64,
    judged: u64,
    ordered: u64,
}

/// A receipt as the wire tells it.
#[derive(Clone, Copy, Debug)]
struct Receipt<'a> {
    at: Time,
    client: ClientId,
    id: MessageId,
    room: Option<RoomId>,
    from: &'a Who,
    hash: u32,
}

impl Check for Traffic {
    fn name(&self) -> &'static str {
        DELIVERY
    }

    fn observe(&mut self, seen: &Observation, found: &mut Findings) {
        let (at, client) = (seen.at, seen.client);
        match &seen.what {
            What::Received { message, room, from, hash, .. } => {
                let receipt = Receipt { at, client, id: *message, room: *room, from, hash: *hash };
                self.received(receipt, found);
            }
            What::Sending { message, room, ticket, hash, .. } => {
                self.sending(client, *message, *room, *ticket, *hash);
            }
            What::Acked { message, .. } => self.acked(*message),
            What::Rejected { message, .. } => self.rejected(at, *message, found),
            What::Stray { text, foreign, room } => {
                let class = if *foreign { Class::Leak } else { Class::Phantom };
                let word = if *foreign { "another run's message" } else { "a text nobody sent" };
                let mut finding =
                    Finding::new(DELIVERY, class, at, format!("{word}: {text}")).client(client);
                finding.room = *room;
                self.judged += 1;
                found.push(finding);
            }
            What::Joining { room: Some(room), since } => self.joining(client, *room, *since),
            What::Joining { room: None, .. } => {
                self.client(client).joins_somewhere = true;
            }
            What::Entered(entry) => self.entered(client, entry),
            What::Refused { room, .. } => self.refused(client, *room),
            What::Leaving { room } => self.leaving(client, *room),
            What::Exited { room } => self.exited(at, client, *room, found),
            What::Closing { .. } => self.closing(client),
            What::Closed(ending) => self.closed(at, client, ending.clean, found),
            What::Reads(reads) => self.reads(client, *reads),
            _ => {}
        }
    }

    fn conclude(&mut self, end: &End, found: &mut Findings) -> u64 {
        self.close_books(end, found);
        self.judged
    }
}

impl Traffic {
    pub(super) fn new(checks: &ChecksPlan, profile: &Profile, clients: usize) -> Self {
        let mut table = Numbered::default();
        if let Some(last) = u32::try_from(clients).ok().and_then(|n| n.checked_sub(1)) {
            table.reach(last, Client::default);
        }
        Self {
            delivery: checks.delivery,
            ordering: profile.ordering,
            echo: profile.echo,
            recovery: checks.recovery,
            rooms: Numbered::default(),
            voices: Numbered::default(),
            members: Numbered::default(),
            clients: table,
            pairs: HashMap::default(),
            faults: Faults::default(),
            left_out: Vec::new(),
            blamed: Vec::new(),
            awake: Vec::new(),
            stays: 0,
            joins: 0,
            sums: Deliveries::default(),
            outstanding: 0,
            echoes: 0,
            judged: 0,
            ordered: 0,
        }
    }

    pub(super) fn deliveries(&self) -> Deliveries {
        self.sums
    }

    pub(super) fn outstanding(&self) -> u64 {
        self.outstanding + self.echoes
    }

    pub(super) fn footprint(&self) -> Footprint {
        let pending: usize = self.members.iter().map(|m| m.pending.capacity() * 4).sum();
        // A member's row, its numbers in its client and its room, and what it holds back.
        let members = self.members.len().max(1) as usize;
        let row = size_of::<Member>() + size_of::<Client>() + 2 * size_of::<u32>();
        Footprint {
            bytes_per_member: row + pending / members,
            // Its row, its place in the log, its ticket by voice and number.
            bytes_per_message: size_of::<Message>() + 2 * size_of::<u32>(),
            pairs: self.pairs.len(),
            faulty: self.faults.len(),
        }
    }

    /// How many receipts were judged by their order.
    pub(super) fn ordered(&self) -> u64 {
        self.ordered
    }

    /// One order of the whole room is promised.
    fn total(&self) -> bool {
        matches!(self.ordering, Some(Ordering::Total | Ordering::TotalAmongOthers))
    }

    /// A sender's own copies have their place in the room's order.
    fn own_in_log(&self) -> bool {
        self.ordering == Some(Ordering::Total) && self.echo == Some(Echo::Once)
    }

    fn client(&mut self, client: ClientId) -> &mut Client {
        self.clients.reach(client.0, Client::default)
    }

    fn room(&mut self, room: RoomId) -> &mut Room {
        self.rooms.reach(room.0, Room::default)
    }

    fn member_of(&self, client: ClientId, room: u32) -> Option<u32> {
        let client = self.clients.find(client.0)?;
        client.members.iter().copied().find(|&member| self.members[member].room == room)
    }

    fn member(&mut self, client: ClientId, room: RoomId) -> u32 {
        if let Some(member) = self.member_of(client, room.0) {
            return member;
        }
        let member = self.members.push(Member::new(client, room.0));
        self.new_stay(member);
        self.client(client).members.push(member);
        self.room(room).members.push(member);
        member
    }

    fn ticket(&self, id: MessageId) -> Option<(u32, u32)> {
        let voice = self.voices.find(id.voice.0)?.as_ref()?;
        let ticket = voice.tickets.find(id.seq).copied().filter(|ticket| *ticket != NONE)?;
        Some((voice.room, ticket))
    }

    fn received(&mut self, receipt: Receipt<'_>, found: &mut Findings) {
        self.judged += 1;
        let Receipt { client, id, .. } = receipt;
        let Some((room, ticket)) = self.ticket(id) else {
            let finding = receipt.finding(Class::Phantom, "a message that was never sent");
            return found.push(finding);
        };
        if self.may_be_let_in(client, room) {
            return;
        }
        let sender = self.voices[id.voice.0].as_ref().map_or(NONE, |voice| voice.client.0);
        let message = &self.rooms[room].messages[ticket];
        let (hash, rejected) = (message.hash, message.flags.has(Flags::REJECTED));
        if rejected {
            let finding = receipt.finding(Class::Phantom, "a message that the server refused");
            return found.push(finding.room(RoomId(room)));
        }
        if hash != receipt.hash {
            let finding = receipt.finding(Class::Corrupt, "the text is not the one sent");
            found.push(finding.room(RoomId(room)));
        }
        if receipt.room.is_some_and(|named| named.0 != room) {
            let finding = receipt.finding(Class::Leak, "the frame names another room");
            found.push(finding.room(RoomId(room)));
        }
        if matches!(receipt.from, Who::Client(from) if from.0 != sender)
            || matches!(receipt.from, Who::Stranger(_))
        {
            let finding = receipt.finding(Class::Misattributed, "the frame names another sender");
            found.push(finding.room(RoomId(room)));
        }
        match self.standing(receipt, room, ticket) {
            Err((class, detail)) => {
                self.sums.duplicated += u64::from(class == Class::Duplicate);
                found.push(receipt.finding(class, detail).room(RoomId(room)));
            }
            Ok(Some(member)) if sender != client.0 => {
                self.received_by(receipt, member, ticket, found);
            }
            Ok(member) => self.received_own(receipt, room, member, ticket, found),
        }
    }

    /// Whether a client that is not in a room asked to enter one that only the answer names: it may
    /// hear what is said there before it reads that.
    fn may_be_let_in(&self, client: ClientId, room: u32) -> bool {
        let somewhere = self.clients.find(client.0).is_some_and(|client| client.joins_somewhere);
        let stand = self.member_of(client, room).map(|member| self.members[member].stand);
        somewhere && !matches!(stand, Some(Stand::Joining | Stand::Inside | Stand::Leaving))
    }

    /// Whether the receiver may get a message of this room at all.
    fn standing(
        &self,
        receipt: Receipt<'_>,
        room: u32,
        ticket: u32,
    ) -> Result<Option<u32>, (Class, &'static str)> {
        let own = self.voices[receipt.id.voice.0].as_ref().map(|voice| voice.client);
        let Some(member) = self.member_of(receipt.client, room) else {
            // A sender that is in no room may well be told its own words.
            let own = own == Some(receipt.client);
            return if own { Ok(None) } else { Err((Class::Leak, "it was never in this room")) };
        };
        let state = &self.members[member];
        let done = self.rooms[room].messages[ticket].done;
        match state.stand {
            Stand::Outside if own == Some(receipt.client) => Ok(None),
            Stand::Outside => Err((Class::Leak, "it was never in this room")),
            Stand::Exited => Err((Class::Late, "it has left this room")),
            Stand::Gone => Err((Class::Leak, "its new connection never entered this room")),
            Stand::Joining | Stand::Inside | Stand::Leaving if done < state.early => {
                let place = self.rooms[room].messages[ticket].place;
                let before = state.before;
                let again = before.start <= place && place < before.next && place >= 0;
                if again {
                    Err((Class::Duplicate, "it got this during an earlier stay"))
                } else {
                    Err((Class::Early, "everybody had this before it asked to enter"))
                }
            }
            Stand::Joining | Stand::Inside | Stand::Leaving => Ok(Some(member)),
        }
    }

    fn sending(&mut self, client: ClientId, id: MessageId, room: RoomId, ticket: u32, hash: u32) {
        let member = self.member(client, room);
        self.members[member].voice = id.voice.0;
        let voice = self.voices.reach(id.voice.0, || None).get_or_insert_with(|| Voice {
            client,
            room: room.0,
            member,
            tickets: Numbered::default(),
            breaks: Vec::new(),
            low: 0,
            strict: 0,
            placed: 0,
        });
        *voice.tickets.reach(id.seq, || NONE) = ticket;
        let stand = self.members[member].stand;
        let inside = matches!(stand, Stand::Inside);
        let echoes = inside && matches!(self.echo, Some(Echo::Once | Echo::Apart));
        let due = self.owed_at(room.0, ticket, member);
        let state = self.room(room);
        while state.messages.len() < ticket {
            let hole = state.messages.push(Message::announced());
            state.open.insert(hole);
        }
        let message = state.messages.reach(ticket, Message::announced);
        *message = Message { id, hash, due, ..Message::announced() };
        message.flags.set(Flags::SENT);
        state.open.insert(ticket);
        if echoes {
            message.flags.set(Flags::ECHO_OWED);
            self.echoes += 1;
        }
        // Somebody outside may be heard or not: who can tell whether the server let it speak?
        if inside {
            self.sums.owed += u64::from(due);
            self.outstanding += u64::from(due);
        } else {
            self.rooms[room.0].messages[ticket].flags.set(Flags::DOUBT);
        }
    }

    /// How many others are owed a message with this ticket.
    fn owed_at(&self, room: u32, ticket: u32, sender: u32) -> u32 {
        let Some(room) = self.rooms.find(room) else { return 0 };
        let owed = |member: u32| {
            let state = &self.members[member];
            state.owed && state.from <= ticket
        };
        // Tickets are drawn before the books hear of them, so one may come in late.
        if ticket < room.top {
            let all = room.members.iter().filter(|m| **m != sender && owed(**m)).count();
            return u32::try_from(all).unwrap_or(u32::MAX);
        }
        room.owed - u32::from(owed(sender))
    }

    fn entered(&mut self, client: ClientId, entry: &Entry) {
        let member = self.member(client, entry.room);
        let somewhere = std::mem::take(&mut self.client(client).joins_somewhere);
        let state = &mut self.members[member];
        let asked = std::mem::take(&mut state.asks) || somewhere;
        // Who is told once more that it is in stays where it is.
        if state.stand == Stand::Inside || (state.stand == Stand::Leaving && !asked) {
            return;
        }
        let leaves = state.stand == Stand::Leaving;
        let recovers = entry.recovered == Some(true) && state.resumes;
        if recovers {
            state.away_until = entry.tickets;
        } else {
            let afresh = state.stand == Stand::Joining && (state.resumes || state.rejoins);
            state.early = state.early_next;
            state.from = entry.tickets;
            state.since = entry.tickets;
            state.away_until = 0;
            if afresh {
                self.new_stay(member);
            }
        }
        let state = &mut self.members[member];
        state.stand = if leaves { Stand::Leaving } else { Stand::Inside };
        state.certain = entry.confirmed;
        if self.may_be_owed(member) {
            self.begin_owing(member);
        }
    }
}

impl Receipt<'_> {
    fn finding(&self, class: Class, detail: &str) -> Finding {
        Finding::new(DELIVERY, class, self.at, detail).client(self.client).message(self.id)
    }
}
