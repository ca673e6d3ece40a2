//! Judges a history: every guarantee, from nothing but what the clients sent and got.
//!
//! Only for two questions the lives of the rooms are asked as well: whether a client could have been
//! given the missed events, and whether it has got all that there is.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use serde_json::{Map, Value};

use super::history::{Entry, Expected, HISTORY_EVENTS, History, Truth};
use super::stay::{Book, Pending, Stay};

/// Broken, and how.
pub(crate) type Verdict = Result<(), String>;

/// For how long events are kept, and empty rooms alive.
const WINDOW: Duration = Duration::from_secs(120);

/// Says which guarantee is broken, if any is.
pub(crate) fn judge(history: &History) -> Verdict {
    let mut book = Book::default();
    let mut clients = Vec::new();
    for (number, entries) in history.clients.iter().enumerate() {
        let mut client = Client::default();
        for (at, entry) in entries {
            client
                .entry(*at, entry, &history.truth, &mut book)
                .map_err(|error| format!("client {number} at {at:?}, {entry:?}: {error}"))?;
        }
        clients.push(client);
    }
    book.judge()?;
    converged(&clients, &history.truth)
}

/// NAT-PRES-1, NAT-STO-1, NAT-MEM-1: when all is quiet, all hold the same, and the members are
/// those who are there.
fn converged(clients: &[Client], truth: &Truth) -> Verdict {
    let stays = || clients.iter().flat_map(|client| client.stays.values());
    for stay in stays() {
        let mates = || stays().filter(|mate| mate.room == stay.room);
        let there: BTreeSet<&str> =
            mates().filter(|mate| mate.full).map(|mate| mate.you.as_str()).collect();
        let members: BTreeSet<&str> = stay.members.keys().map(String::as_str).collect();
        ensure(!stay.full || members == there, || {
            format!("NAT-MEM-1: {members:?} are said to be there, and {there:?} are")
        })?;
        let life = |seq| (stay.room.clone(), stay.epoch.clone(), seq);
        let born = truth.born.range(life(0)..=life(u64::MAX)).count() as u64;
        ensure(stay.seq == born, || {
            format!("NAT-ORD-1: the log ends with {born}, and {} has got {}", stay.you, stay.seq)
        })?;
        for mate in mates() {
            ensure(mate.epoch == stay.epoch, || "NAT-RACE-1: two lives of a room".to_owned())?;
            ensure(mate.entries == stay.entries, || {
                format!("NAT-STO-1: {:?} and {:?}", mate.entries, stay.entries)
            })?;
            ensure(!mate.full || !stay.full || mate.states == stay.states, || {
                format!("NAT-PRES-1: {:?} and {:?}", mate.states, stay.states)
            })?;
        }
    }
    Ok(())
}

#[derive(Default)]
struct Client {
    greeted: bool,
    open: bool,
    /// Requests that have to be answered and have not been.
    unanswered: VecDeque<Request>,
    /// Requests whose events have not come, by room.
    pending: BTreeMap<String, VecDeque<Pending>>,
    stays: BTreeMap<String, Stay>,
    /// What it knew of a room when it was last there.
    memory: BTreeMap<String, Stay>,
}

struct Request {
    at: Duration,
    request: Value,
    expected: Expected,
}

impl Client {
    fn entry(&mut self, at: Duration, entry: &Entry, truth: &Truth, book: &mut Book) -> Verdict {
        match entry {
            Entry::Opened => {
                self.open = true;
                self.greeted = false;
                Ok(())
            }
            Entry::Cut => {
                self.open = false;
                self.memory.append(&mut self.stays);
                self.unanswered.clear();
                self.pending.clear();
                Ok(())
            }
            Entry::Sent { request, expected } => {
                self.sent(at, request, expected);
                Ok(())
            }
            Entry::Got(text) => {
                let frame: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
                self.got(text, &frame, truth, book)
            }
            Entry::Quiet => self.quiet(),
        }
    }

    fn sent(&mut self, at: Duration, request: &Value, expected: &Expected) {
        let accepted = matches!(expected, Expected::Type(_) | Expected::Either);
        if let (Some(room), true) = (request["room"].as_str(), accepted) {
            let pending = self.pending.entry(room.to_owned()).or_default();
            pending.extend(Pending::of(request, *expected == Expected::Either));
        }
        // Without an id there is no `ok`, but an error if there is one.
        if !request["id"].is_null() || !accepted {
            let (request, expected) = (request.clone(), expected.clone());
            self.unanswered.push_back(Request { at, request, expected });
        }
    }

    fn got(&mut self, text: &str, frame: &Value, truth: &Truth, book: &mut Book) -> Verdict {
        let kind = frame["type"].as_str().ok_or("a frame without a type")?;
        ensure(self.greeted != (kind == "welcome"), || "welcome comes first and once".to_owned())?;
        self.greeted = true;
        let reply = match kind {
            "ok" | "error" | "pong" | "joined" | "left" | "created" => Some(self.reply(frame)?),
            _ => None,
        };
        match (kind, reply) {
            ("welcome" | "error" | "pong" | "created", _) => Ok(()),
            ("ok", Some(request)) => self.ok(frame, &request, book),
            ("joined", Some(request)) => self.joined(frame, &request, truth, book),
            ("left", _) => {
                let room = frame["room"].as_str().ok_or("no room")?;
                let stay = self.stays.remove(room).ok_or("NAT-ISO-1: left where it was not")?;
                self.memory.insert(room.to_owned(), stay);
                let pending = self.pending.entry(room.to_owned()).or_default();
                Pending::skip_to_leave(pending)
            }
            _ => {
                let room = frame["room"].as_str().ok_or("no room")?;
                let stay = self.stays.get_mut(room).ok_or("NAT-ISO-1: an event from outside")?;
                let pending = self.pending.entry(room.to_owned()).or_default();
                stay.event(text, frame, pending, book)
            }
        }
    }

    /// NAT-ORD-4 and the envelope: one reply for each id, in the order of the requests.
    fn reply(&mut self, frame: &Value) -> Result<Request, String> {
        let request = self.unanswered.pop_front().ok_or("a reply to nothing")?;
        ensure(frame["re"] == request.request["id"], || {
            format!("replies out of order: {} was next", request.request)
        })?;
        let kind = frame["type"].as_str();
        let as_expected = match request.expected {
            Expected::Type(expected) => kind == Some(expected),
            Expected::Error(code) => kind == Some("error") && frame["code"] == code,
            Expected::Either => kind == Some("ok") || frame["code"] == "version_conflict",
        };
        ensure(as_expected, || format!("{:?} was due", request.expected))?;
        Ok(request)
    }

    /// NAT-ORD-3: the place that is named holds what was sent, by whom it was sent.
    fn ok(&self, frame: &Value, request: &Request, book: &mut Book) -> Verdict {
        let Some(seq) = frame["seq"].as_u64() else { return Ok(()) };
        let room = frame["room"].as_str().ok_or("no room")?;
        // The reply may have overtaken `joined`, or come after `left`: then nothing can be said.
        if let Some(stay) = self.stays.get(room) {
            book.promised(stay, seq, &request.request)?;
        }
        let wanted = request.request["if_version"].as_u64();
        let version = frame["version"].as_u64();
        ensure(wanted.is_none() || wanted.map(|it| it + 1) == version, || {
            format!("NAT-STO-1: {wanted:?} was the condition, and {version:?} is the result")
        })
    }

    fn joined(
        &mut self,
        frame: &Value,
        request: &Request,
        truth: &Truth,
        book: &mut Book,
    ) -> Verdict {
        let room = frame["room"].as_str().ok_or("no room")?;
        ensure(request.request["room"] == room, || "NAT-ISO-1: joined another room".to_owned())?;
        ensure(!self.stays.contains_key(room), || "joined twice".to_owned())?;
        let since = &request.request["since"];
        let memory = match frame["recovered"].as_bool() {
            Some(true) => {
                ensure(frame["epoch"] == since["epoch"] && frame["seq"] == since["seq"], || {
                    "NAT-REC-1: recovered another place".to_owned()
                })?;
                Some(self.memory.get(room).ok_or("NAT-REC-1: recovered what never was")?)
            }
            Some(false) => {
                self.could_not_recover(frame, request, truth)?;
                None
            }
            None => None,
        };
        ensure(since.is_null() != frame["recovered"].is_boolean(), || {
            "NAT-REC-1: `recovered` answers `since`".to_owned()
        })?;
        let full = request.request["membership"] == "full";
        let stay = Stay::begin(frame, full, memory)?;
        book.newcomer(&stay)?;
        self.stays.insert(room.to_owned(), stay);
        Ok(())
    }

    /// NAT-REC-1: a fresh snapshot only if the events are beyond the window.
    fn could_not_recover(&self, frame: &Value, request: &Request, truth: &Truth) -> Verdict {
        let since = &request.request["since"];
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let (room, epoch) = (text(&frame["room"]), text(&since["epoch"]));
        if frame["epoch"] != since["epoch"] {
            let emptied = truth.emptied.get(&(room, epoch));
            let over = emptied.is_some_and(|&emptied| emptied + WINDOW <= request.at);
            return ensure(over, || "NAT-REC-1: the room has ended too early".to_owned());
        }
        let number = |value: &Value| value.as_u64().unwrap_or_default();
        let (asked, now) = (number(&since["seq"]), number(&frame["seq"]));
        let oldest = truth.born.get(&(room, epoch, asked + 1));
        let too_old = oldest.is_some_and(|&born| born + WINDOW < request.at);
        ensure(too_old || now.saturating_sub(asked) > HISTORY_EVENTS as u64, || {
            "NAT-REC-1: the missed events were still there".to_owned()
        })
    }

    fn quiet(&self) -> Verdict {
        if !self.open {
            return Ok(());
        }
        if let Some(request) = self.unanswered.front() {
            return Err(format!("never answered: {}", request.request));
        }
        for pending in self.pending.values() {
            Pending::none_owed(pending.iter())?;
        }
        for stay in self.stays.values() {
            ensure(stay.typing.is_empty(), || format!("typing for ever: {:?}", stay.typing))?;
        }
        Ok(())
    }
}

pub(crate) fn ensure(fact: bool, otherwise: impl FnOnce() -> String) -> Verdict {
    if fact { Ok(()) } else { Err(otherwise()) }
}

/// RFC 7396, written down once more: the judge must not share the server's mistakes.
pub(crate) fn merge(target: &Value, patch: &Value) -> Value {
    let Value::Object(patch) = patch else { return patch.clone() };
    let mut merged = target.as_object().cloned().unwrap_or_else(Map::new);
    for (key, value) in patch {
        match value {
            Value::Null => drop(merged.remove(key)),
            value => {
                let old = merged.get(key).unwrap_or(&Value::Null);
                let new = merge(old, value);
                merged.insert(key.clone(), new);
            }
        }
    }
    Value::Object(merged)
}
