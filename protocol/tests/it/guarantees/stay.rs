//! One client's stay in one room as it sees it, and the book in which all clients' views meet.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde_json::Value;

use super::judge::{Verdict, ensure, merge};

/// What a client knows of a room that it is in.
#[derive(Clone, Debug)]
pub(crate) struct Stay {
    pub(crate) room: String,
    pub(crate) epoch: String,
    pub(crate) you: String,
    pub(crate) full: bool,
    pub(crate) seq: u64,
    view: u64,
    recovered: bool,
    /// Members and their usernames; known to full members only.
    pub(crate) members: BTreeMap<String, String>,
    pub(crate) states: BTreeMap<String, Value>,
    pub(crate) version: u64,
    pub(crate) entries: BTreeMap<String, Value>,
    pub(crate) typing: BTreeSet<String>,
    typing_heard: BTreeSet<String>,
    read: BTreeMap<String, u64>,
}

/// A request of one's own whose event has to come.
#[derive(Debug)]
pub(crate) struct Pending {
    kind: &'static str,
    content: Value,
    may_fail: bool,
}

impl Pending {
    pub(crate) fn of(request: &Value, may_fail: bool) -> Option<Self> {
        let (kind, field) = match request["type"].as_str()? {
            "chat" => ("chat", "text"),
            "presence" => ("presence", "patch"),
            "store" => ("stored", "ops"),
            "leave" => ("left", "room"),
            _ => return None,
        };
        Some(Self { kind, content: request[field].clone(), may_fail })
    }

    /// None of these has to come any more.
    pub(crate) fn none_owed<'a>(mut pending: impl Iterator<Item = &'a Self>) -> Verdict {
        match pending.find(|pending| !pending.may_fail) {
            Some(owed) => Err(format!("NAT-ORD-1: its own never came: {owed:?}")),
            None => Ok(()),
        }
    }

    /// Forgets all up to the `leave` that has just been answered.
    pub(crate) fn skip_to_leave(pending: &mut VecDeque<Self>) -> Verdict {
        let leave = pending.iter().position(|it| it.kind == "left").ok_or("left unasked")?;
        let before: Vec<Self> = pending.drain(..=leave).collect();
        Self::none_owed(before.iter().filter(|it| it.kind != "left"))
    }
}

impl Stay {
    /// What `joined` says, on top of what was known before if that is what it builds on.
    pub(crate) fn begin(frame: &Value, full: bool, memory: Option<&Self>) -> Result<Self, String> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let number = |value: &Value| value.as_u64().ok_or("no number");
        let mut stay = Self {
            room: text(&frame["room"]),
            epoch: text(&frame["epoch"]),
            you: text(&frame["you"]),
            full,
            seq: number(&frame["seq"])?,
            view: number(&frame["view"])?,
            recovered: memory.is_some(),
            members: BTreeMap::new(),
            states: BTreeMap::new(),
            version: 0,
            entries: BTreeMap::new(),
            typing: BTreeSet::new(),
            typing_heard: BTreeSet::new(),
            read: BTreeMap::new(),
        };
        for listed in frame["members"].as_array().ok_or("no members")? {
            let id = text(&listed["member"]);
            let known = memory.and_then(|memory| memory.states.get(&id));
            let state = match memory {
                Some(_) => known.cloned().unwrap_or_else(|| serde_json::json!({})),
                None => listed["state"].clone(),
            };
            ensure(listed["state"].is_object() == memory.is_none(), || "states".to_owned())?;
            stay.states.insert(id.clone(), state);
            let old = stay.members.insert(id, text(&listed["username"]));
            ensure(old.is_none(), || "a member is listed twice".to_owned())?;
        }
        ensure(stay.members.contains_key(&stay.you) == full, || "who is listed".to_owned())?;
        match memory {
            Some(memory) => {
                stay.version = memory.version;
                stay.entries.clone_from(&memory.entries);
                ensure(frame["storage"].is_null(), || "NAT-REC-1: storage".to_owned())?;
            }
            None => {
                stay.version = number(&frame["storage"]["version"])?;
                let entries = frame["storage"]["entries"].as_object().ok_or("no entries")?;
                stay.entries = entries.clone().into_iter().collect();
            }
        }
        Ok(stay)
    }

    /// Takes in an event of this room.
    pub(crate) fn event(
        &mut self,
        text: &str,
        frame: &Value,
        pending: &mut VecDeque<Pending>,
        book: &mut Book,
    ) -> Verdict {
        let member = frame["member"].as_str().ok_or("no member")?;
        match frame["type"].as_str() {
            Some("chat" | "presence" | "stored") => {
                self.numbered(text, frame, member, pending, book)?;
            }
            Some("member_joined" | "member_left" | "member_renamed") => {
                self.membership(text, frame, member, book)?;
            }
            Some("typing") => self.typing(frame, member)?,
            Some("read") => self.read(frame, member)?,
            _ => return Err("no event that there is".to_owned()),
        }
        if self.full { book.held(self) } else { Ok(()) }
    }

    /// NAT-ORD-1: the next one, and the same as everybody's.
    fn numbered(
        &mut self,
        text: &str,
        frame: &Value,
        member: &str,
        pending: &mut VecDeque<Pending>,
        book: &mut Book,
    ) -> Verdict {
        ensure(frame["seq"] == self.seq + 1, || {
            format!("NAT-ORD-1: {} comes after {}", frame["seq"], self.seq)
        })?;
        self.seq += 1;
        book.logged(self, text)?;
        let own = (member == self.you).then(|| self.states.get(member).cloned());
        match frame["type"].as_str() {
            Some("presence") => self.presence(frame, member)?,
            Some("stored") => self.stored(frame, book)?,
            _ => {
                let known = self.members.get(member).filter(|_| self.full && !self.recovered);
                ensure(known.is_none_or(|name| frame["username"] == **name), || {
                    format!("NAT-ORD-2: it is called {known:?}")
                })?;
            }
        }
        match own {
            Some(before) => own_event(frame, &before.unwrap_or_default(), pending),
            None => Ok(()),
        }
    }

    fn presence(&mut self, frame: &Value, member: &str) -> Verdict {
        // Of those missed, some are by members who have left since.
        ensure(!self.full || self.recovered || self.members.contains_key(member), || {
            "NAT-PRES-1: presence of nobody".to_owned()
        })?;
        // Without membership one does not know who is there, but may come back with it.
        if !self.full || self.states.contains_key(member) {
            self.states.insert(member.to_owned(), frame["state"].clone());
        }
        Ok(())
    }

    fn stored(&mut self, frame: &Value, book: &mut Book) -> Verdict {
        ensure(frame["version"] == self.version + 1, || {
            format!("NAT-STO-1: {} comes after {}", frame["version"], self.version)
        })?;
        self.version += 1;
        for op in frame["ops"].as_array().ok_or("no ops")? {
            let key = |op: &Value| op["key"].as_str().unwrap_or_default().to_owned();
            match op.get("put") {
                Some(put) => drop(self.entries.insert(key(put), put["value"].clone())),
                None => drop(self.entries.remove(&key(&op["delete"]))),
            }
        }
        book.stored(self)
    }

    /// NAT-ORD-2: the next view, and the same as everybody's.
    fn membership(&mut self, text: &str, frame: &Value, member: &str, book: &mut Book) -> Verdict {
        ensure(self.full, || "NAT-ORD-2: not told to those without membership".to_owned())?;
        ensure(frame["view"] == self.view + 1, || {
            format!("NAT-ORD-2: {} comes after {}", frame["view"], self.view)
        })?;
        self.view += 1;
        book.viewed(self, text)?;
        let username = frame["username"].as_str().unwrap_or_default().to_owned();
        let known = match frame["type"].as_str() {
            Some("member_joined") => {
                self.states.insert(member.to_owned(), serde_json::json!({}));
                self.members.insert(member.to_owned(), username).is_none()
            }
            Some("member_left") => {
                self.states.remove(member);
                ensure(!self.typing.contains(member), || "it left typing".to_owned())?;
                self.members.remove(member).is_some()
            }
            _ => self.members.insert(member.to_owned(), username).is_some(),
        };
        ensure(known, || "NAT-MEM-1: told twice, or of nobody".to_owned())
    }

    fn typing(&mut self, frame: &Value, member: &str) -> Verdict {
        ensure(member != self.you, || "typing comes back".to_owned())?;
        let heard = !self.typing_heard.insert(member.to_owned());
        let news = match frame["on"].as_bool() {
            Some(true) => self.typing.insert(member.to_owned()),
            // It may have begun before this stay.
            _ => self.typing.remove(member) || !heard,
        };
        ensure(news, || "typing is no news".to_owned())
    }

    fn read(&mut self, frame: &Value, member: &str) -> Verdict {
        ensure(member != self.you, || "read comes back".to_owned())?;
        let seq = frame["seq"].as_u64().ok_or("no number")?;
        let before = self.read.insert(member.to_owned(), seq);
        ensure(before.is_none_or(|before| before < seq), || "read goes back".to_owned())?;
        ensure(seq <= self.seq, || "NAT-ORD-4: read before it was written".to_owned())
    }
}

/// NAT-ORD-3 and NAT-ORD-4: its own events are what it sent, in the order in which it sent it.
fn own_event(frame: &Value, state: &Value, pending: &mut VecDeque<Pending>) -> Verdict {
    while let Some(next) = pending.pop_front() {
        let same = frame["type"] == next.kind
            && match next.kind {
                "chat" => frame["text"] == next.content,
                "presence" => frame["state"] == merge(state, &next.content),
                _ => frame["ops"] == next.content,
            };
        if same {
            return Ok(());
        }
        ensure(next.may_fail, || format!("NAT-ORD-4: {next:?} was next"))?;
    }
    Err("NAT-ORD-1: it never sent that, or it came before".to_owned())
}

/// What all clients must agree on.
#[derive(Debug, Default)]
pub(crate) struct Book {
    log: BTreeMap<(String, String, u64), String>,
    views: BTreeMap<(String, String, u64), String>,
    storages: BTreeMap<(String, String, u64), BTreeMap<String, Value>>,
    members: BTreeMap<(String, String, u64, u64), Held>,
    ids: BTreeSet<String>,
    promises: Vec<((String, String, u64), String, Value)>,
}

type Held = (BTreeMap<String, String>, BTreeMap<String, Value>);

impl Book {
    /// A member id is fresh for each join.
    pub(crate) fn newcomer(&mut self, stay: &Stay) -> Verdict {
        ensure(self.ids.insert(stay.you.clone()), || format!("{} is there twice", stay.you))?;
        self.stored(stay)?;
        if stay.full { self.held(stay) } else { Ok(()) }
    }

    fn logged(&mut self, stay: &Stay, text: &str) -> Verdict {
        agree(&mut self.log, stay.at(stay.seq), text.to_owned(), "NAT-ORD-1")
    }

    fn viewed(&mut self, stay: &Stay, text: &str) -> Verdict {
        agree(&mut self.views, stay.at(stay.view), text.to_owned(), "NAT-ORD-2")
    }

    fn stored(&mut self, stay: &Stay) -> Verdict {
        agree(&mut self.storages, stay.at(stay.version), stay.entries.clone(), "NAT-STO-1")
    }

    /// NAT-ORD-2 and NAT-PRES-1: at the same place all full members hold the same.
    fn held(&mut self, stay: &Stay) -> Verdict {
        let place = (stay.room.clone(), stay.epoch.clone(), stay.seq, stay.view);
        let held = (stay.members.clone(), stay.states.clone());
        agree(&mut self.members, place, held, "NAT-ORD-2 or NAT-PRES-1")
    }

    /// An `ok` has named a place in the log.
    pub(crate) fn promised(&mut self, stay: &Stay, seq: u64, request: &Value) -> Verdict {
        ensure(seq > 0, || "the log begins with 1".to_owned())?;
        self.promises.push((stay.at(seq), stay.you.clone(), request.clone()));
        Ok(())
    }

    /// Whether the promises were kept, as far as anybody has seen those places.
    pub(crate) fn judge(&self) -> Verdict {
        for (place, you, request) in &self.promises {
            let Some(text) = self.log.get(place) else { continue };
            let event: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
            let same = match request["type"].as_str() {
                Some("chat") => event["text"] == request["text"],
                Some("store") => event["ops"] == request["ops"],
                _ => event["type"] == "presence",
            };
            ensure(same && event["member"] == **you, || {
                format!("NAT-ORD-3: {request} was promised {place:?}, where there is {text}")
            })?;
        }
        Ok(())
    }
}

impl Stay {
    fn at(&self, number: u64) -> (String, String, u64) {
        (self.room.clone(), self.epoch.clone(), number)
    }
}

fn agree<K: Ord + std::fmt::Debug, V: PartialEq + std::fmt::Debug>(
    all: &mut BTreeMap<K, V>,
    place: K,
    value: V,
    guarantee: &str,
) -> Verdict {
    match all.get(&place) {
        Some(other) => ensure(*other == value, || {
            format!("{guarantee}: at {place:?} there is {other:?} and {value:?}")
        }),
        None => {
            all.insert(place, value);
            Ok(())
        }
    }
}
