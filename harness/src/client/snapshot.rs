//! What a newcomer is told of a room's content, where that looks like any other change of it.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::Client;
use super::hear::integer;
use crate::books::Books;
use crate::dialect::EventKind;
use crate::heard::{Content, Heard, Said};
use crate::observe::{RoomId, Time, What};

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
        let version = integer(&event.fields, "version").or(integer(&event.fields, "number"));
        let version = version.unwrap_or_default();
        let said_since = match &heard.content {
            Content::Message(said) => said_since(said, room, since, books),
            _ => None,
        };
        if said_since.unwrap_or(version == 1) {
            return false;
        }
        self.saw_number(room, integer(&event.fields, "number"));
        let entries = Arc::new(content(event.fields.get("ops")));
        books.observe(now, self.id, What::Snapshot { room, version, entries });
        self.keep(now, EventKind::Stored, Some(heard));
        true
    }
}

/// Whether this was said by one of ours after that time; none if nobody of ours said it.
fn said_since(said: &Said, room: RoomId, since: Time, books: &Books) -> Option<bool> {
    let messages = match said.stamp {
        Some(stamp) if books.is_ours(&stamp) => &[stamp.message],
        Some(_) => return Some(false),
        None => books.fixed_by_anybody(room, said.event.as_ref()?.fields.get("text")?.as_str()?),
    };
    let sent = messages.iter().filter_map(|&message| books.recall(message));
    sent.map(|(sent, ..)| sent.at > since).reduce(|one, other| one || other)
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
