//! What is kept of a log that cannot be whole: what clients did, and what concerns findings.

use std::collections::VecDeque;

use super::recorder::weight_of;
use super::{Found, line};
use crate::observe::{ClientId, MessageId, Observation, RoomId, What};

/// So many observations before a finding, and so many after it, are looked through for what concerns
/// it: who saw it, the message that it is about, or, where it names neither, its room.
pub const WINDOW: usize = 16_384;
/// About how much memory those before it may take.
const WINDOW_BYTES: usize = 32 << 20;

/// What was seen last, what is looked for, and how much of either may still be written.
#[derive(Debug)]
pub(super) struct Sparse {
    recent: VecDeque<Observation>,
    /// About how much memory they take.
    bytes: usize,
    watches: Vec<Watch>,
    seen: u64,
    /// Bytes for what clients do.
    for_deeds: u64,
    /// Bytes for what concerns findings.
    for_findings: u64,
}

/// What concerns a finding.
#[derive(Debug)]
struct Watch {
    client: Option<ClientId>,
    room: Option<RoomId>,
    message: Option<MessageId>,
    /// The number of the last observation that is looked at for it.
    until: u64,
    /// Bytes for what concerns it and is not about its message, so that something is left to others.
    bytes: u64,
}

impl Sparse {
    /// A log that was kept whole up to so many bytes may have half as many more.
    pub(super) fn after(whole: u64) -> Self {
        let (recent, watches, share) = (VecDeque::new(), Vec::new(), whole / 4);
        Self { recent, bytes: 0, watches, seen: 0, for_deeds: share, for_findings: share }
    }

    /// An observation; the line, if it is to be written now.
    pub(super) fn seen(&mut self, seen: Observation) -> Option<Vec<u8>> {
        self.seen += 1;
        let now = self.seen;
        self.watches.retain(|watch| watch.until >= now);
        if self.for_findings > 0 {
            let about = self.watches.iter().any(|watch| watch.is_about(&seen));
            let rest = |watch: &&mut Watch| watch.bytes > 0 && watch.concerns(&seen);
            let concerned = self.watches.iter_mut().find(rest);
            if about || concerned.is_some() {
                let line = encoded(&seen);
                let size = line.len() as u64;
                self.for_findings = self.for_findings.saturating_sub(size);
                if let Some(watch) = concerned.filter(|_| !about) {
                    watch.bytes = watch.bytes.saturating_sub(size);
                }
                return Some(line);
            }
        }
        if self.for_deeds > 0 && is_deed(&seen.what) {
            let line = encoded(&seen);
            self.for_deeds = self.for_deeds.saturating_sub(line.len() as u64);
            return Some(line);
        }
        self.bytes += weight_of(&seen);
        self.recent.push_back(seen);
        while self.recent.len() > WINDOW || self.bytes > WINDOW_BYTES {
            let Some(oldest) = self.recent.pop_front() else { break };
            self.bytes -= weight_of(&oldest);
        }
        None
    }

    /// Something was found: the lines of what was seen before it. What is about its message comes
    /// first, then what is nearest.
    pub(super) fn found(&mut self, found: &Found) -> Vec<Vec<u8>> {
        let Found { client, room, message, .. } = *found;
        let until = self.seen + WINDOW as u64;
        let bytes = self.for_findings / 4;
        let watch = Watch { client, room, message, until, bytes };
        let recent = std::mem::take(&mut self.recent);
        let (concerned, others): (VecDeque<_>, _) =
            recent.into_iter().partition(|seen| watch.is_about(seen) || watch.concerns(seen));
        self.recent = others;
        self.bytes -= concerned.iter().map(weight_of).sum::<usize>();
        let mut rest = watch.bytes;
        let mut lines = Vec::new();
        for seen in concerned.iter().rev() {
            let line = encoded(seen);
            let size = line.len() as u64;
            let fits = if watch.is_about(seen) { self.for_findings > 0 } else { rest >= size };
            if fits {
                rest = rest.saturating_sub(size);
                self.for_findings = self.for_findings.saturating_sub(size);
                lines.push(line);
            }
        }
        lines.reverse();
        match self.watches.iter_mut().find(|known| known.is_like(&watch)) {
            Some(known) => known.until = until,
            None => self.watches.push(watch),
        }
        lines
    }
}

impl Watch {
    fn is_like(&self, other: &Self) -> bool {
        let of = |it: &Self| (it.client, it.room, it.message);
        of(self) == of(other)
    }

    fn is_about(&self, seen: &Observation) -> bool {
        self.message.is_some() && message_of(&seen.what) == self.message
    }

    fn concerns(&self, seen: &Observation) -> bool {
        match (self.client, self.message) {
            (Some(client), _) => client == seen.client,
            (None, Some(_)) => false,
            (None, None) => self.room.is_some() && room_of(&seen.what) == self.room,
        }
    }
}

fn encoded(seen: &Observation) -> Vec<u8> {
    let mut line = Vec::new();
    line::put(seen, &mut line);
    line
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::observe::Time;

    #[test]
    fn what_was_seen_last_takes_little_memory_whatever_is_in_it() {
        let mut sparse = Sparse::after(0);
        for at in 0..1_000 {
            let entries = Arc::new("x".repeat(100_000).into());
            let what = What::Snapshot { room: RoomId(0), version: at, entries };
            let line = sparse.seen(Observation { at: Time(at), client: ClientId(0), what });
            assert_eq!(line, None);
        }
        let weight: usize = sparse.recent.iter().map(weight_of).sum();
        assert_eq!(weight, sparse.bytes);
        assert!(weight > WINDOW_BYTES / 2 && weight <= WINDOW_BYTES, "{weight} bytes");
    }
}
