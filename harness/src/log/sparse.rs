//! What is kept of a log that cannot be whole: what clients did, and what concerns findings.

use std::collections::VecDeque;

use super::Found;
use crate::observe::{ClientId, MessageId, Observation, RoomId, What};

/// So many observations before a finding, and so many after it, are looked through for what concerns
/// it: who saw it, the message that it is about, or, where it names neither, its room.
pub const WINDOW: usize = 16_384;

/// What was seen last, and what is looked for.
#[derive(Debug, Default)]
pub(super) struct Sparse {
    recent: VecDeque<Observation>,
    watches: Vec<Watch>,
    seen: u64,
}

/// What concerns a finding.
#[derive(Clone, Copy, Debug)]
struct Watch {
    client: Option<ClientId>,
    room: Option<RoomId>,
    message: Option<MessageId>,
    until: u64,
}

impl Sparse {
    /// Gives the observation back if it is to be written now.
    pub(super) fn seen(&mut self, seen: Observation) -> Option<Observation> {
        self.seen += 1;
        let now = self.seen;
        self.watches.retain(|watch| watch.until >= now);
        if is_deed(&seen.what) || self.watches.iter().any(|watch| watch.concerns(&seen)) {
            return Some(seen);
        }
        if self.recent.len() >= WINDOW {
            self.recent.pop_front();
        }
        self.recent.push_back(seen);
        None
    }

    /// Something was found: what is to be written of what was seen before it.
    pub(super) fn found(&mut self, found: &Found) -> Vec<Observation> {
        let Found { client, room, message, .. } = *found;
        let watch = Watch { client, room, message, until: self.seen + WINDOW as u64 };
        let known = self.watches.iter_mut().find(|known| known.is_like(&watch));
        match known {
            Some(known) => known.until = watch.until,
            None => self.watches.push(watch),
        }
        let recent = std::mem::take(&mut self.recent);
        let (concerned, others): (Vec<_>, _) =
            recent.into_iter().partition(|seen| watch.concerns(seen));
        self.recent = others.into();
        concerned
    }
}

impl Watch {
    fn is_like(&self, other: &Self) -> bool {
        let of = |it: &Self| (it.client, it.room, it.message);
        of(self) == of(other)
    }

    fn concerns(&self, seen: &Observation) -> bool {
        if self.client.is_none() && self.message.is_none() {
            return self.room.is_some() && room_of(&seen.what) == self.room;
        }
        self.client == Some(seen.client)
            || (self.message.is_some() && message_of(&seen.what) == self.message)
    }
}

/// What a client did, and what happened to it alone; the rest comes as often as there are members.
fn is_deed(what: &What) -> bool {
    !matches!(
        what,
        What::Received { .. }
            | What::Sent { .. }
            | What::Joined { .. }
            | What::Renamed { .. }
            | What::Left { .. }
            | What::Presence { .. }
            | What::PresenceAcked { .. }
            | What::Stored { .. }
            | What::Snapshot { .. }
            | What::Ping
            | What::Pong
            | What::Spoke
    )
}

fn message_of(what: &What) -> Option<MessageId> {
    match what {
        What::Sending { message, .. }
        | What::Sent { message }
        | What::Acked { message, .. }
        | What::Rejected { message, .. }
        | What::Received { message, .. } => Some(*message),
        _ => None,
    }
}

fn room_of(what: &What) -> Option<RoomId> {
    match what {
        What::Joined { room, .. }
        | What::Renamed { room, .. }
        | What::Left { room, .. }
        | What::Presence { room, .. }
        | What::PresenceAcked { room }
        | What::Stored { room, .. }
        | What::Snapshot { room, .. } => Some(*room),
        What::Received { room, .. } => *room,
        _ => None,
    }
}
