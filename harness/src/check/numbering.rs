//! Numbers that the server gives: no gap, no repetition, and the same number for the same event
//! everywhere: the check `numbering`.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use serde_json::Value;

use super::numbered::{Mix, mix};
use super::{Check, Class, End, Finding, Findings, NUMBERING, Profile, hash_value};
use crate::observe::{ClientId, Entry, MessageId, Observation, RoomId, Time, What};
use crate::plan::ChecksPlan;

/// Gaps kept for one member; what is beyond is one gap more or less.
const GAPS_MAX: usize = 10_000;

/// Judges the numbers of room events.
#[derive(Debug, Default)]
pub(super) struct Numbering {
    /// Which life of a room has which log, and which was the last to begin.
    lives: HashMap<(RoomId, Option<Arc<str>>), usize>,
    newest: HashMap<RoomId, usize, Mix>,
    logs: Vec<Log>,
    places: HashMap<(ClientId, RoomId), Place, Mix>,
    /// Where each voice speaks.
    voices: HashMap<u32, RoomId, Mix>,
    judged: u64,
}

/// One life of a room: what stands at each number, as a hash. Who is on its way out of a life may
/// still read of it when the next has begun.
#[derive(Debug, Default)]
struct Log {
    events: HashMap<u64, u64, Mix>,
    inside: u32,
    over: bool,
}

impl Log {
    /// Nobody will ask for what nobody can read of any more.
    fn forget(&mut self) {
        if self.over && self.inside == 0 {
            self.events = HashMap::default();
        }
    }
}

/// How far one member has got.
#[derive(Debug)]
struct Place {
    log: usize,
    next: Option<u64>,
    missing: BTreeSet<u64>,
    inside: bool,
}

impl Numbering {
    pub(super) fn make(_: &ChecksPlan, profile: &Profile) -> Option<Box<dyn Check>> {
        profile.numbered.then(|| Box::new(Self::default()) as Box<dyn Check>)
    }

    fn event(
        &mut self,
        seen: &Observation,
        room: RoomId,
        number: u64,
        hash: u64,
    ) -> Option<Finding> {
        self.judged += 1;
        let (at, client) = (seen.at, seen.client);
        let say = |class, detail: String| {
            Some(Finding::new(NUMBERING, class, at, detail).client(client).room(room))
        };
        let place = self.places.get_mut(&(client, room)).filter(|place| place.inside)?;
        let events = &mut self.logs.get_mut(place.log)?.events;
        let other = *events.entry(number).or_insert(hash) != hash;
        let next = *place.next.get_or_insert(number);
        let late = place.missing.remove(&number);
        if number >= next {
            place.next = Some(number + 1);
            let room_left = GAPS_MAX.saturating_sub(place.missing.len());
            place.missing.extend((next..number).take(room_left));
        }
        if other {
            return say(Class::Disorder, format!("number {number} is two different events"));
        }
        if number >= next {
            return None;
        }
        if late {
            return say(Class::Disorder, format!("number {number} came after a later one"));
        }
        say(Class::Duplicate, format!("number {number} came again"))
    }

    /// The acknowledgement names the place of the message in the log.
    fn acked(&mut self, seen: &Observation, id: MessageId, number: u64) -> Option<Finding> {
        self.judged += 1;
        let room = *self.voices.get(&id.voice.0)?;
        let hash = message_hash(id);
        let place = self.places.get(&(seen.client, room)).filter(|place| place.inside)?;
        let log = self.logs.get_mut(place.log)?;
        let wrong = *log.events.entry(number).or_insert(hash) != hash;
        let detail = format!("it was confirmed as number {number}, which is another event");
        let finding = Finding::new(NUMBERING, Class::Reply, seen.at, detail).client(seen.client);
        wrong.then(|| finding.room(room).message(id))
    }

    fn gaps(&mut self, at: Time, client: ClientId, room: RoomId, found: &mut Findings) {
        let Some(place) = self.places.get_mut(&(client, room)) else { return };
        if std::mem::replace(&mut place.inside, false)
            && let Some(log) = self.logs.get_mut(place.log)
        {
            log.inside -= 1;
            log.forget();
        }
        for number in std::mem::take(&mut place.missing) {
            let detail = format!("number {number} was left out");
            let finding = Finding::new(NUMBERING, Class::Loss, at, detail);
            found.push(finding.client(client).room(room));
        }
    }
}

impl Numbering {
    fn entered(&mut self, client: ClientId, entry: &Entry) {
        let room = entry.room;
        let fresh = self.logs.len();
        let log = *self.lives.entry((room, entry.epoch.clone())).or_insert(fresh);
        if log == fresh {
            self.logs.push(Log::default());
            let before = self.newest.insert(room, log);
            if let Some(before) = before.and_then(|before| self.logs.get_mut(before)) {
                before.over = true;
                before.forget();
            }
        }
        let next = entry.number.map(|number| number + 1);
        let place = Place { log, next, missing: BTreeSet::new(), inside: true };
        let before = self.places.insert((client, room), place);
        if let Some(log) = self.logs.get_mut(log) {
            log.inside += 1;
        }
        if let Some(before) = before.filter(|place| place.inside)
            && let Some(log) = self.logs.get_mut(before.log)
        {
            log.inside -= 1;
        }
    }
}

fn message_hash(id: MessageId) -> u64 {
    mix(u64::from(id.voice.0) << 32 | u64::from(id.seq))
}

fn state_hash(word: &str, state: &Value) -> u64 {
    mix(hash_value(state) ^ hash_value(&Value::from(word)))
}

impl Check for Numbering {
    fn name(&self) -> &'static str {
        NUMBERING
    }

    fn observe(&mut self, seen: &Observation, found: &mut Findings) {
        let (at, client) = (seen.at, seen.client);
        let finding = match &seen.what {
            What::Received { message, room, number: Some(number), .. } => {
                // Where the frame names no room, it is the one in which this was said.
                let room = room.or_else(|| self.voices.get(&message.voice.0).copied());
                room.and_then(|room| {
                    let finding = self.event(seen, room, *number, message_hash(*message))?;
                    Some(finding.message(*message))
                })
            }
            What::Snapshot { room, version, .. } => {
                if let Some(place) = self.places.get_mut(&(client, *room)) {
                    place.next = Some(version + 1);
                }
                None
            }
            What::Presence { room, state, number: Some(number), .. } => {
                self.event(seen, *room, *number, state_hash("presence", state))
            }
            What::Stored { room, ops, number: Some(number), .. } => {
                self.event(seen, *room, *number, state_hash("stored", ops))
            }
            What::Sending { message, room, .. } => {
                self.voices.insert(message.voice.0, *room);
                None
            }
            What::Acked { message, number: Some(number) } => self.acked(seen, *message, *number),
            What::Entered(entry) => {
                self.entered(client, entry);
                None
            }
            What::Exited { room } => {
                self.gaps(at, client, *room, found);
                None
            }
            What::Closed(_) => {
                let rooms: Vec<RoomId> = self.newest.keys().copied().collect();
                for room in rooms {
                    self.gaps(at, client, room, found);
                }
                None
            }
            _ => None,
        };
        if let Some(finding) = finding {
            found.push(finding);
        }
    }

    fn conclude(&mut self, end: &End, found: &mut Findings) -> u64 {
        let mut places: Vec<_> = self.places.keys().copied().collect();
        places.sort_unstable();
        for (client, room) in places {
            self.gaps(end.at, client, room, found);
        }
        self.judged
    }
}
