//! The storage of a room: versions one by one, one history, nothing lost: the check `storage`.
//!
//! Folding the writes over the first snapshot gives the content at each version; only its hash is
//! kept. So a newcomer's snapshot is compared with what everybody else has, in one number.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use serde_json::Value;

use super::numbered::Mix;
use super::{Check, Class, End, Finding, Findings, Profile, STORAGE, hash_value};
use crate::observe::{ClientId, Observation, RoomId, What};
use crate::plan::ChecksPlan;

/// Judges versions, histories and snapshots.
#[derive(Debug, Default)]
pub(super) struct Storage {
    /// Which life of a room has which shelf, and which was the last that somebody entered.
    lives: HashMap<(RoomId, Option<Arc<str>>), usize>,
    newest: HashMap<RoomId, usize, Mix>,
    shelves: Vec<Shelf>,
    replicas: HashMap<(RoomId, ClientId), Replica, Mix>,
    stuck: BTreeSet<ClientId>,
    /// Time, in observations.
    clock: u64,
    requests: HashMap<(RoomId, ClientId, u32), Request, Mix>,
    /// By the hash of the writes: how often sent, refused, seen.
    tally: HashMap<(RoomId, u64), Tally, Mix>,
    judged: u64,
}

/// What a member has. Who is on its way out of one life of a room may still read of it when the
/// next has begun.
#[derive(Clone, Copy, Debug, Default)]
struct Replica {
    shelf: usize,
    version: Option<u64>,
    since: u64,
    inside: bool,
}

#[derive(Debug)]
struct Shelf {
    room: RoomId,
    /// The writes by version, as hashes, and the writes not folded yet.
    ops: HashMap<u64, u64, Mix>,
    waiting: BTreeMap<u64, Arc<Value>>,
    /// The content, at the newest version folded.
    content: Option<(u64, HashMap<String, u64>)>,
    /// The hash of it.
    state: u64,
    states: HashMap<u64, u64, Mix>,
    claims: Vec<(u64, u64, ClientId)>,
    acked_max: u64,
    acked: BTreeMap<u64, (ClientId, Request)>,
}

#[derive(Debug, Default)]
struct Tally {
    sent: u32,
    refused: u32,
    versions: BTreeSet<(usize, u64)>,
}

#[derive(Clone, Copy, Debug)]
struct Request {
    ops: u64,
    after: u64,
    at: u64,
}

fn state_hash(content: &HashMap<String, u64>) -> u64 {
    content.iter().fold(0, |sum, (key, value)| sum.wrapping_add(entry_hash(key, *value)))
}

fn entry_hash(key: &str, value: u64) -> u64 {
    super::numbered::mix(hash_value(&Value::from(key)) ^ value)
}

impl Shelf {
    fn new(room: RoomId) -> Self {
        Self {
            room,
            ops: HashMap::default(),
            waiting: BTreeMap::new(),
            content: None,
            state: 0,
            states: HashMap::default(),
            claims: Vec::new(),
            acked_max: 0,
            acked: BTreeMap::new(),
        }
    }

    fn start(&mut self, version: u64, entries: &Value) {
        let fields = entries.as_object().into_iter().flatten();
        let content: HashMap<_, _> =
            fields.map(|(key, value)| (key.clone(), hash_value(value))).collect();
        self.state = state_hash(&content);
        self.states.insert(version, self.state);
        self.content = Some((version, content));
        self.fold();
    }

    fn fold(&mut self) {
        let Some((version, content)) = &mut self.content else { return };
        while let Some(ops) = self.waiting.remove(&(*version + 1)) {
            *version += 1;
            for op in ops.as_array().into_iter().flatten() {
                let key = |op: &Value| op.get("key").and_then(Value::as_str).map(str::to_owned);
                if let Some(put) = op.get("put")
                    && let (Some(key), Some(value)) = (key(put), put.get("value"))
                {
                    let value = hash_value(value);
                    self.state = self.state.wrapping_add(entry_hash(&key, value));
                    if let Some(old) = content.insert(key.clone(), value) {
                        self.state = self.state.wrapping_sub(entry_hash(&key, old));
                    }
                } else if let Some(key) = op.get("delete").and_then(key)
                    && let Some(old) = content.remove(&key)
                {
                    self.state = self.state.wrapping_sub(entry_hash(&key, old));
                }
            }
            self.states.insert(*version, self.state);
        }
    }
}

impl Storage {
    pub(super) fn make(_: &ChecksPlan, _: &Profile) -> Option<Box<dyn Check>> {
        Some(Box::new(Self::default()))
    }

    /// The shelf of one life of a room.
    fn shelf_of(&mut self, room: RoomId, epoch: Option<Arc<str>>) -> usize {
        let fresh = self.shelves.len();
        let shelf = *self.lives.entry((room, epoch)).or_insert(fresh);
        if shelf == fresh {
            self.shelves.push(Shelf::new(room));
        }
        shelf
    }

    /// What a client has of a room; if it never was there, of the life that others are in.
    fn replica(&mut self, room: RoomId, client: ClientId) -> &mut Replica {
        if !self.replicas.contains_key(&(room, client)) {
            let shelf = match self.newest.get(&room) {
                Some(shelf) => *shelf,
                None => self.shelf_of(room, None),
            };
            self.replicas.insert((room, client), Replica { shelf, ..Replica::default() });
        }
        self.replicas.entry((room, client)).or_default()
    }

    fn shelf(&mut self, room: RoomId, client: ClientId) -> &mut Shelf {
        let shelf = self.replica(room, client).shelf;
        self.shelves.get_mut(shelf).expect("a shelf once put up stays")
    }

    /// Somebody is there to whom a write that was asked for then must have come, and reads.
    fn awaits(&self, shelf: usize, version: u64, asked: u64) -> bool {
        self.replicas.iter().any(|((_, client), replica)| {
            let lacks = replica.version.map_or(replica.since < asked, |has| has < version);
            replica.inside && replica.shelf == shelf && lacks && !self.stuck.contains(client)
        })
    }

    fn entered(&mut self, client: ClientId, entry: &crate::observe::Entry) {
        let shelf = self.shelf_of(entry.room, entry.epoch.clone());
        self.newest.insert(entry.room, shelf);
        let since = self.clock;
        let replica = self.replicas.entry((entry.room, client)).or_default();
        // Whoever recovers goes on where it was.
        let version = replica.version.filter(|_| entry.recovered == Some(true));
        *replica = Replica { shelf, version, since, inside: true };
        let Some((version, entries)) = &entry.storage else { return };
        self.snapshot(client, entry.room, *version, entries);
    }

    /// The content as a newcomer is told it.
    fn snapshot(&mut self, client: ClientId, room: RoomId, version: u64, entries: &Value) {
        self.judged += 1;
        self.replica(room, client).version = Some(version);
        let shelf = self.shelf(room, client);
        if shelf.content.is_none() {
            shelf.start(version, entries);
            return;
        }
        let fields = entries.as_object().into_iter().flatten();
        let content = fields.map(|(key, value)| (key.clone(), hash_value(value))).collect();
        shelf.claims.push((version, state_hash(&content), client));
    }

    fn stored(
        &mut self,
        seen: &Observation,
        room: RoomId,
        version: u64,
        ops: &Arc<Value>,
        found: &mut Findings,
    ) {
        self.judged += 1;
        let (at, client) = (seen.at, seen.client);
        let mut say = |detail: String| {
            let finding = Finding::new(STORAGE, Class::Storage, at, detail);
            found.push(finding.client(client).room(room));
        };
        if let Some(last) = self.replica(room, client).version.replace(version)
            && version != last + 1
        {
            say(format!("version {version} came after {last}"));
        }
        let number = self.replica(room, client).shelf;
        let shelf = self.shelf(room, client);
        if version == 1 && shelf.content.is_none() {
            // The first write of all: there was nothing before it.
            shelf.start(0, &Value::Null);
        }
        let hash = hash_value(ops);
        let known = shelf.ops.insert(version, hash);
        match known {
            None => {
                shelf.waiting.insert(version, Arc::clone(ops));
                shelf.fold();
                let tally = self.tally.entry((room, hash)).or_default();
                tally.versions.insert((number, version));
            }
            Some(known) if known != hash => say(format!("version {version} is two writes")),
            Some(_) => {}
        }
    }

    fn acked(
        &mut self,
        seen: &Observation,
        room: RoomId,
        request: u32,
        version: Option<u64>,
        found: &mut Findings,
    ) {
        self.judged += 1;
        let Some(asked) = self.requests.remove(&(room, seen.client, request)) else { return };
        let Some(version) = version else { return };
        let shelf = self.shelf(room, seen.client);
        let mut say = |detail: String| {
            let finding = Finding::new(STORAGE, Class::Storage, seen.at, detail);
            found.push(finding.client(seen.client).room(room));
        };
        if version <= asked.after {
            say(format!("a write made after version {} became version {version}", asked.after));
        }
        if shelf.acked.insert(version, (seen.client, asked)).is_some() {
            say(format!("version {version} was confirmed twice"));
        }
        shelf.acked_max = shelf.acked_max.max(version);
    }
}

impl Check for Storage {
    fn name(&self) -> &'static str {
        STORAGE
    }

    fn observe(&mut self, seen: &Observation, found: &mut Findings) {
        let client = seen.client;
        self.clock += 1;
        match &seen.what {
            What::Entered(entry) => self.entered(client, entry),
            What::Storing { room, request, ops } => {
                let at = self.clock;
                let has = self.replica(*room, client).version.unwrap_or_default();
                let shelf = self.shelf(*room, client);
                let hash = hash_value(ops);
                let request_of = Request { ops: hash, after: shelf.acked_max.max(has), at };
                self.tally.entry((*room, hash)).or_default().sent += 1;
                self.requests.insert((*room, client, *request), request_of);
            }
            What::StoreAcked { room, request, version } => {
                self.acked(seen, *room, *request, *version, found);
            }
            What::StoreRefused { room, request } => {
                if let Some(asked) = self.requests.remove(&(*room, client, *request)) {
                    self.tally.entry((*room, asked.ops)).or_default().refused += 1;
                }
            }
            What::Stored { room, version, ops, .. } => {
                self.stored(seen, *room, *version, ops, found);
            }
            What::Snapshot { room, version, entries } => {
                self.snapshot(client, *room, *version, entries);
            }
            What::Exited { room } => {
                let replica = self.replica(*room, client);
                (replica.version, replica.inside) = (None, false);
            }
            What::Closed(_) => {
                let rooms: Vec<RoomId> = self.newest.keys().copied().collect();
                for room in rooms {
                    if let Some(replica) = self.replicas.get_mut(&(room, client)) {
                        replica.inside = false;
                    }
                }
                self.stuck.remove(&client);
            }
            What::Reads(true) => drop(self.stuck.remove(&client)),
            What::Reads(false) => drop(self.stuck.insert(client)),
            _ => {}
        }
    }

    fn conclude(&mut self, end: &End, found: &mut Findings) -> u64 {
        let cut = end.died.is_some() || end.unresponsive.is_some() || end.interrupted;
        for ((room, _), tally) in &self.tally {
            if tally.refused > 0 && tally.versions.len() > (tally.sent - tally.refused) as usize {
                let detail = "a refused write took effect";
                found.push(Finding::new(STORAGE, Class::Storage, end.at, detail).room(*room));
            }
        }
        for (number, shelf) in self.shelves.iter().enumerate() {
            let say = |class, detail: String| {
                Finding::new(STORAGE, class, end.at, detail).room(shelf.room)
            };
            for (version, state, client) in &shelf.claims {
                if shelf.states.get(version).is_some_and(|known| known != state) {
                    let detail = format!("its content at version {version} is not the others'");
                    found.push(say(Class::Snapshot, detail).client(*client));
                }
            }
            if cut || !end.settled {
                continue;
            }
            for (version, (client, asked)) in &shelf.acked {
                let detail = match shelf.ops.get(version) {
                    None if !self.awaits(number, *version, asked.at) => continue,
                    None => format!("the confirmed version {version} never came"),
                    Some(known) if *known != asked.ops => {
                        format!("version {version} is another write")
                    }
                    Some(_) => continue,
                };
                found.push(say(Class::Storage, detail).client(*client));
            }
        }
        self.judged
    }
}
