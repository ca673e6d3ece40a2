//! What a newcomer is told of a room's content, where that looks like any other change of it.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::Client;
use super::hear::integer;
use crate::books::Books;
use crate::dialect::EventKind;
use crate::heard::{Content, Heard, Said};
use crate::observe::{Time, What};

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
        let change = match &heard.content {
            Content::Message(Said { stamp: Some(stamp), .. }) => {
                let sent = books.recall(stamp.message).filter(|_| books.is_ours(stamp));
                sent.is_some_and(|(sent, ..)| sent.at > since)
            }
            Content::Message(_) => {
                let text = event.fields.get("text").and_then(Value::as_str).unwrap_or_default();
                let said = books.fixed_by_anybody(room, text).iter();
                let mut said = said.filter_map(|message| Some(books.recall(*message)?.0.at));
                version == 1 && !said.any(|at| at <= since)
            }
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
