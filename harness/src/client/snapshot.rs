//! What a newcomer is told of a room's content, where that looks like any other change of it.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::Client;
use super::hear::integer;
use crate::books::Books;
use crate::dialect::EventKind;
use crate::heard::{Content, Heard, Said};
use crate::observe::{MessageId, RoomId, Time, What};

impl Client {
    /// Takes the first frame about the room's content after an entry for what it then is: the
    /// content itself. Says whether it was that.
    ///
    /// The first change of an empty room looks the same. So what is numbered 1 is a change, unless
    /// it is something that had been said before this client was in.
    pub(super) fn snapshot(&mut self, now: Time, heard: &Arc<Heard>, books: &mut Books) -> bool {
        let Some(event) = heard.event() else { return false };
        let snapshot = &self.dialect.snapshot;
        if !event.kinds().any(|kind| snapshot.contains(&kind)) {
            return false;
        }
        let room = self.room_in(&event.fields, books);
        let Some(stay) = self.rooms.iter_mut().find(|stay| Some(stay.room) == room) else {
            return false;
        };
        if !std::mem::take(&mut stay.fresh) {
            return false;
        }
        let (room, since) = (stay.room, stay.since);
        let version = ["version", "number"].iter().find_map(|name| integer(&event.fields, name));
        let version = version.unwrap_or_default();
        let change = match &heard.content {
            Content::Message(said) => said_after(said, room, since, books),
            _ => version == 1,
        };
        if change {
            return false;
        }
        self.saw_number(room, integer(&event.fields, "number"));
        let entries = Arc::new(content(event.fields.get("ops")));
        books.observe(now, self.id, What::Snapshot { room, version, entries });
        self.keep(now, EventKind::Stored, Some(heard));
        true
    }
}

/// Whether a message is one of ours that was said after a time.
fn said_after(said: &Said, room: RoomId, since: Time, books: &Books) -> bool {
    let after =
        |message: MessageId| books.recall(message).is_some_and(|(sent, ..)| sent.at > since);
    match said.stamp {
        Some(stamp) => books.is_ours(&stamp) && after(stamp.message),
        None => {
            let fields = said.event.as_ref().map(|event| &event.fields);
            let words = fields.and_then(|fields| fields.get("text")).and_then(Value::as_str);
            let known = books.fixed_by_anybody(room, words.unwrap_or_default());
            known.iter().any(|message| after(*message))
        }
    }
}

/// What is there after these writes, when nothing was there before.
fn content(ops: Option<&Value>) -> Value {
    let mut content = Map::new();
    for op in ops.and_then(Value::as_array).into_iter().flatten() {
        let put =
            op.get("put").and_then(|put| Some((put.get("key")?.as_str()?, put.get("value")?)));
        if let Some((key, value)) = put {
            content.insert(key.to_owned(), value.clone());
        }
    }
    Value::Object(content)
}
