//! Everybody's presence, as everybody else sees it: the check `presence`.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use serde_json::Value;

use super::numbered::Mix;
use super::{Check, Class, End, Finding, Findings, PRESENCE, Profile, hash_value};
use crate::latency::STALL_LIMIT;
use crate::observe::{ClientId, Observation, RoomId, Time, What, Who};
use crate::plan::ChecksPlan;

/// Late changes kept until the end.
const LATE_MAX: usize = 10_000;

/// Judges that presences arrive, never go back, and are everywhere within a time.
#[derive(Debug)]
pub(super) struct Presence {
    within: Duration,
    /// All states that a client has had in a room, oldest first.
    said: HashMap<(RoomId, ClientId), Vec<Said>, Mix>,
    /// How often a client has left a room, and how often its connection has ended.
    left: HashMap<(RoomId, ClientId), u32, Mix>,
    ended: HashMap<ClientId, u32, Mix>,
    /// What one client saw of another.
    seen: HashMap<(RoomId, ClientId), HashMap<ClientId, Sight, Mix>, Mix>,
    inside: BTreeSet<(RoomId, ClientId)>,
    stuck: BTreeSet<ClientId>,
    late: Vec<(Duration, Finding)>,
    judged: u64,
}

/// Names a stay of a client in a room.
type Stay = (u32, u32);

/// A state, as a hash.
#[derive(Clone, Copy, Debug)]
struct Said {
    hash: u64,
    at: Time,
    stay: Stay,
}

/// The last state seen, and the last one of an earlier stay, by their places among all said: what
/// a connection said before its end may come after what the next one said.
#[derive(Clone, Copy, Debug)]
struct Sight {
    place: usize,
    earlier: usize,
}

impl Presence {
    pub(super) fn make(plan: &ChecksPlan, _: &Profile) -> Option<Box<dyn Check>> {
        let within = plan.presence?;
        Some(Box::new(Self {
            within,
            said: HashMap::default(),
            left: HashMap::default(),
            ended: HashMap::default(),
            seen: HashMap::default(),
            inside: BTreeSet::new(),
            stuck: BTreeSet::new(),
            late: Vec::new(),
            judged: 0,
        }))
    }

    /// The stay in which a client is, or will be.
    fn stay(&self, client: ClientId, room: RoomId) -> Stay {
        let left = self.left.get(&(room, client)).copied().unwrap_or_default();
        (self.ended.get(&client).copied().unwrap_or_default(), left)
    }

    fn saw(
        &mut self,
        at: Time,
        client: ClientId,
        room: RoomId,
        who: ClientId,
        state: &Value,
    ) -> Option<Finding> {
        let said = self.said.get(&(room, who)).map(Vec::as_slice).unwrap_or_default();
        let hash = hash_value(state);
        let say = |detail: &str| {
            Some(Finding::new(PRESENCE, Class::Presence, at, detail).client(client).room(room))
        };
        let last = self.seen.entry((room, client)).or_default();
        let sight = last.get(&who).copied();
        // The same state may come up again: it is taken for the earliest that is not a step back.
        let from = sight.map_or(0, |sight| sight.place);
        let later = said.iter().skip(from).position(|it| it.hash == hash).map(|n| n + from);
        self.judged += 1;
        let Some(place) = later else {
            if said.is_empty() {
                return None;
            }
            let stay = said.get(from).map(|it| it.stay);
            let begins = said.iter().position(|it| Some(it.stay) == stay).unwrap_or(from);
            let since = sight.map_or(0, |sight| sight.earlier);
            let mut earlier = since..begins;
            if let Some(place) = earlier.find(|n| said.get(*n).is_some_and(|it| it.hash == hash)) {
                last.insert(who, Sight { place: from, earlier: place });
                return None;
            }
            let older = said.iter().any(|it| it.hash == hash);
            return say(if older { "a presence went back" } else { "a presence that nobody set" });
        };
        let found = said.get(place)?;
        let goes_on = said.get(from).is_some_and(|it| it.stay == found.stay);
        let earlier = sight.map_or(0, |sight| if goes_on { sight.earlier } else { sight.place });
        last.insert(who, Sight { place, earlier });
        let before = sight.filter(|_| goes_on).map(|sight| sight.place);
        let newest = place + 1 == said.len() && before != Some(place);
        let took = Duration::from_micros(at.0.saturating_sub(found.at.0));
        if newest && took > self.within && before.is_some() && self.late.len() < LATE_MAX {
            let detail = format!("a change took {took:?}");
            self.late.extend(say(&detail).map(|finding| (took, finding)));
        }
        None
    }

    fn gone(&mut self, client: ClientId, room: Option<RoomId>) {
        let Some(room) = room else {
            self.inside.retain(|(_, c)| *c != client);
            self.seen.retain(|(_, c), _| *c != client);
            return;
        };
        self.inside.remove(&(room, client));
        self.seen.remove(&(room, client));
    }
}

impl Check for Presence {
    fn name(&self) -> &'static str {
        PRESENCE
    }

    fn observe(&mut self, seen: &Observation, found: &mut Findings) {
        let (at, client) = (seen.at, seen.client);
        match &seen.what {
            What::PresenceSending { room, state } => {
                let said = Said { hash: hash_value(state), at, stay: self.stay(client, *room) };
                self.said.entry((*room, client)).or_default().push(said);
            }
            // What comes to one who is not in the room is another check's matter.
            What::Presence { room, who: Who::Client(who), state, .. }
                if self.inside.contains(&(*room, client)) =>
            {
                if let Some(finding) = self.saw(at, client, *room, *who, state) {
                    found.push(finding);
                }
            }
            What::Entered(entry) => {
                self.inside.insert((entry.room, client));
                for person in entry.members.as_deref().unwrap_or_default() {
                    let (Who::Client(who), Some(state)) = (&person.who, &person.state) else {
                        continue;
                    };
                    // A newcomer that never set anything has an empty state.
                    let empty = state.as_object().is_some_and(serde_json::Map::is_empty);
                    if !empty
                        && !state.is_null()
                        && let Some(finding) = self.saw(at, client, entry.room, *who, state)
                    {
                        found.push(Finding { class: Class::Snapshot, ..finding });
                    }
                }
            }
            What::Exited { room } => {
                self.gone(client, Some(*room));
                *self.left.entry((*room, client)).or_default() += 1;
            }
            What::Closed(_) => {
                self.gone(client, None);
                *self.ended.entry(client).or_default() += 1;
                self.stuck.remove(&client);
            }
            What::Reads(true) => drop(self.stuck.remove(&client)),
            What::Reads(false) => drop(self.stuck.insert(client)),
            _ => {}
        }
    }

    fn conclude(&mut self, end: &End, found: &mut Findings) -> u64 {
        if end.stall <= STALL_LIMIT {
            let allowed = self.within + end.stall + super::SLACK;
            for (_, finding) in self.late.drain(..).filter(|(took, _)| *took > allowed) {
                found.push(finding);
            }
        }
        let cut = end.died.is_some() || end.unresponsive.is_some() || end.interrupted;
        if cut || !end.settled {
            return self.judged;
        }
        let patience = u64::try_from((self.within + end.stall).as_micros()).unwrap_or(u64::MAX);
        let decided = end.at.0.saturating_sub(patience);
        let mut said: Vec<_> = self.said.iter().collect();
        said.sort_unstable_by_key(|(key, _)| **key);
        for ((room, who), states) in said {
            // Of who has gone since, nobody need know the last state.
            let stay = self.stay(*who, *room);
            let decided = |it: &&Said| it.at.0 < decided && it.stay == stay;
            let Some(Said { at: when, .. }) = states.last().filter(decided) else { continue };
            // Who does not read does not see that it was put out.
            if self.stuck.contains(who) {
                continue;
            }
            let members = (*room, ClientId(0))..=(*room, ClientId(u32::MAX));
            for (_, client) in self.inside.range(members) {
                if client == who || self.stuck.contains(client) {
                    continue;
                }
                self.judged += 1;
                let last = self.seen.get(&(*room, *client)).and_then(|seen| seen.get(who));
                // Who came later than the change and was told nothing is the snapshot's matter.
                let last = last.filter(|it| states.get(it.place).is_some_and(|it| it.stay == stay));
                if last.is_some_and(|last| last.place + 1 < states.len()) {
                    let detail = format!("it still sees what was changed at {} µs", when.0);
                    let finding = Finding::new(PRESENCE, Class::Presence, end.at, detail);
                    found.push(finding.client(*client).room(*room));
                }
            }
        }
        self.judged
    }
}
