//! Who is in a room that confirms nothing hears at least something of what others hear.
//!
//! Where a join is not confirmed, a member is owed nothing before its first message: nobody can say
//! when it was in. One that never hears anything would so never be missed. It is when the others got
//! many messages that were sent long after it asked to enter.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use super::{Check, Class, End, Finding, Findings, HEARING, Profile};
use crate::observe::{ClientId, MessageId, Observation, RoomId, Time, What};
use crate::plan::{ChecksPlan, Delivery};

/// A join that is not effective after this long has failed.
const JOINED: Duration = Duration::from_secs(2);
/// So many messages that others got, and one member none of them, are no accident.
const MESSAGES: u64 = 10;

#[derive(Debug, Default)]
pub(super) struct Hearing {
    /// Members that nobody confirmed and that have heard nothing: since when they should.
    deaf: BTreeMap<(RoomId, ClientId), Time>,
    /// The rooms where there were such members.
    rooms: BTreeSet<RoomId>,
    /// What was sent there.
    sent: HashMap<MessageId, Sent>,
    missed: u64,
    judged: u64,
}

#[derive(Clone, Copy, Debug)]
struct Sent {
    room: RoomId,
    by: ClientId,
    at: Time,
    arrived: bool,
}

impl Hearing {
    pub(super) fn make(plan: &ChecksPlan, _: &Profile) -> Option<Box<dyn Check>> {
        let judged = matches!(plan.delivery, Delivery::ExactlyOnce | Delivery::AtLeastOnce);
        judged.then(|| Box::new(Self::default()) as Box<dyn Check>)
    }

    fn leaves(&mut self, client: ClientId, room: Option<RoomId>) {
        self.deaf
            .retain(|(where_, who), _| *who != client || room.is_some_and(|room| room != *where_));
    }
}

impl Check for Hearing {
    fn name(&self) -> &'static str {
        HEARING
    }

    fn observe(&mut self, seen: &Observation, _: &mut Findings) {
        let client = seen.client;
        match &seen.what {
            What::Entered(entry) if !entry.confirmed => {
                let since = Time(seen.at.0 + JOINED.as_micros() as u64);
                self.deaf.insert((entry.room, client), since);
                self.rooms.insert(entry.room);
                self.judged += 1;
            }
            What::Sending { message, room, .. } if self.rooms.contains(room) => {
                let sent = Sent { room: *room, by: client, at: seen.at, arrived: false };
                self.sent.insert(*message, sent);
            }
            What::Received { message, .. } => {
                if let Some(sent) = self.sent.get_mut(message).filter(|sent| sent.by != client) {
                    sent.arrived = true;
                    self.deaf.remove(&(sent.room, client));
                }
            }
            What::Leaving { room } => self.leaves(client, Some(*room)),
            What::Closing { .. } | What::Closed(_) | What::Reads(false) => {
                self.leaves(client, None);
            }
            _ => {}
        }
    }

    fn conclude(&mut self, end: &End, found: &mut Findings) -> u64 {
        if end.died.is_some() || end.unresponsive.is_some() || !end.settled {
            return self.judged;
        }
        let stall = u64::try_from(end.stall.as_micros()).unwrap_or(u64::MAX);
        for (&(room, client), since) in &self.deaf {
            let since = Time(since.0.saturating_add(stall));
            let others = |it: &&Sent| it.room == room && it.by != client && it.at >= since;
            let missed = self.sent.values().filter(others).filter(|it| it.arrived).count();
            if (missed as u64) < MESSAGES {
                continue;
            }
            self.missed += missed as u64;
            let detail = format!("it got none of the {missed} messages that others got");
            let finding = Finding::new(HEARING, Class::Loss, end.at, detail);
            found.push(finding.client(client).room(room));
        }
        self.judged
    }

    fn missed(&self) -> u64 {
        self.missed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::{Entry, VoiceId, Who};

    const ROOM: RoomId = RoomId(0);

    fn entry() -> What {
        What::Entered(Box::new(Entry {
            room: ROOM,
            confirmed: false,
            full: true,
            you: None,
            tickets: 0,
            members: None,
            count: None,
            epoch: None,
            number: None,
            view: None,
            recovered: None,
            storage: None,
        }))
    }

    /// Client 0 says twelve things from this second on; client 1 gets all, client 2 from `first` on.
    fn losses(second: u64, first: u32) -> u64 {
        losses_beside(Duration::ZERO, second, first)
    }

    fn losses_beside(stall: Duration, second: u64, first: u32) -> u64 {
        let (mut check, mut found) = (Hearing::default(), Findings::default());
        let mut see = |at, client, what| {
            let seen = Observation { at: Time(at), client: ClientId(client), what };
            check.observe(&seen, &mut found);
        };
        for client in 0..3 {
            see(0, client, entry());
        }
        for seq in 0..12 {
            let at = second * 1_000_000 + u64::from(seq);
            let message = MessageId { voice: VoiceId(0), seq };
            see(
                at,
                0,
                What::Sending { message, room: ROOM, ticket: seq, intended: Time(at), hash: 0 },
            );
            let got =
                || What::Received { message, room: None, from: Who::Untold, hash: 0, number: None };
            see(at, 1, got());
            if seq >= first {
                see(at, 2, got());
            }
        }
        check.conclude(&End { settled: true, stall, ..End::default() }, &mut found);
        assert_eq!(check.missed() > 0, found.total() > 0);
        found.of("hearing").iter().map(|(_, losses)| losses).sum()
    }

    #[test]
    fn a_member_that_never_hears_anything_is_missed() {
        assert_eq!(losses(2, u32::MAX), 1);
    }

    #[test]
    fn a_member_that_was_late_but_hears_is_not() {
        assert_eq!(losses(2, 11), 0);
        // All was said before anybody could know that it was in.
        assert_eq!(losses(1, u32::MAX), 0);
        // The harness stood still: nobody knows for how long the join was on its way.
        assert_eq!(losses_beside(Duration::from_millis(500), 2, u32::MAX), 0);
        assert_eq!(losses_beside(Duration::from_millis(500), 3, u32::MAX), 1);
    }
}
