//! What a message says and to whom, and what several mutants do with it.

use std::{sync::Arc, thread, time::Duration};

use protocol::{Dialect, Frame};
use serde_json::Value;

use super::{At, Kind, kind, state::Held};
use crate::connection::Connection;

/// What is held back leaves at the latest after so long: a wrong order is no loss.
pub(super) const AT_LAST: Duration = Duration::from_millis(700);
/// For how long something waits for what may overtake it.
pub(super) const A_MOMENT: Duration = Duration::from_millis(40);

impl At<'_> {
    pub(super) fn is_message(&self) -> bool {
        self.is(Kind::Message)
    }

    /// Whether it is a turn for a fault among all messages to all receivers. The first turn comes after
    /// half a period, so that the last message of a round number of them is not one.
    pub(super) fn is_one_of_all(&self) -> bool {
        self.is_message() && self.is_middle("all")
    }

    /// The same among the messages to its receiver.
    pub(super) fn is_one_of_its(&self) -> bool {
        self.is_message() && self.is_middle(&format!("its {}", self.to.id))
    }

    fn is_middle(&self, what: &str) -> bool {
        let every = self.state().every();
        (self.state().count(what) + every / 2).is_multiple_of(every)
    }

    /// How many messages its receiver has been sent in this room, this one among them.
    pub(super) fn nth(&self, what: &str) -> u64 {
        self.state().count(&format!("{what} {} {:?}", self.to.id, self.room()))
    }

    /// Whether its receiver was the first, second, … who came to the room, as far as was known when this
    /// was first asked.
    pub(super) fn is_to_member(&self, nth: usize) -> bool {
        let Some(room) = self.room() else { return false };
        let name = format!("member {nth} of {room}");
        let chosen = self.state().note(&name).or_else(|| {
            let id = self.state().members(room).get(nth)?.id.to_string();
            self.state().set(&name, id.clone());
            Some(id)
        });
        chosen == Some(self.to.id.to_string())
    }

    /// Those who speak the same and are not in the room where it is said.
    pub(super) fn strangers(&self) -> Vec<Arc<Connection>> {
        let members = self.state().members(self.room().unwrap_or_default());
        let mut strangers = self.everybody_else();
        strangers.retain(|other| members.iter().all(|member| member.id != other.id));
        strangers
    }

    /// Who causes it, where that is a connection.
    pub(super) fn sender(&self) -> Option<Arc<Connection>> {
        self.state().connection(self.acting.by?)
    }

    /// Keeps it back until its receiver has got so many more messages of the room; then it leaves behind
    /// them, and after a while in any case.
    pub(super) fn hold_back(&self, after: u64) {
        self.hold(after);
        self.release_after(AT_LAST);
    }

    /// Keeps it back for a moment, in which the next frame of this kind overtakes it.
    pub(super) fn let_overtake(&self, kind: Kind) {
        let room = self.acting.room.clone();
        let held = Held { kind, room, after: 1, frame: self.frame.bytes().clone() };
        self.state().hold(self.to.id, held);
        self.release_after(A_MOMENT);
    }

    /// Everything that is held back from its receiver leaves after a while, if nothing else made it.
    fn release_after(&self, time: Duration) {
        let name = format!("released {}", self.to.id);
        if self.state().set(&name, "soon").is_some() {
            return;
        }
        let to = Arc::clone(self.to);
        thread::spawn(move || {
            thread::sleep(time);
            let state = &to.server.mutants;
            state.unset(&name);
            for frame in state.release(to.id) {
                to.push(frame);
            }
            to.flush();
        });
    }

    /// Nanoseconds since the server's start.
    pub(super) fn now(&self) -> u64 {
        now(self.to)
    }

    /// What is said, where it is a text.
    pub(super) fn content(&self) -> Option<String> {
        if self.dialect == Dialect::Project {
            return Some(self.text().to_owned());
        }
        let mut value = self.json();
        let mut content = None;
        change(self.dialect, &mut value, &mut |text| content = Some(text.clone()));
        content
    }

    /// The frame with something else said.
    pub(super) fn saying(&self, change_text: impl FnOnce(&str) -> String) -> Frame {
        if self.dialect == Dialect::Project {
            return Frame::text(change_text(self.text()));
        }
        let mut value = self.json();
        let mut once = Some(change_text);
        change(self.dialect, &mut value, &mut |text| {
            if let Some(change_text) = once.take() {
                *text = change_text(text);
            }
        });
        Frame::json(&value)
    }
}

/// Nanoseconds since the server's start.
pub(super) fn now(connection: &Connection) -> u64 {
    let since = connection.server.now().time.since_start().as_nanos();
    u64::try_from(since).unwrap_or(u64::MAX)
}

/// Finds what a message says, and lets it be changed.
fn change(dialect: Dialect, value: &mut Value, act: &mut dyn FnMut(&mut String)) {
    let pointer = match dialect {
        Dialect::Native => "/text",
        Dialect::Rooms => "/StorageUpdated/operations/0/Insert/value",
        Dialect::Chat => "/content",
        Dialect::Events => "/data/text",
        Dialect::Pusher => "/data",
        Dialect::Project => "",
    };
    let Some(found) = value.pointer_mut(pointer) else { return };
    if dialect != Dialect::Pusher {
        if let Value::String(text) = found {
            act(text);
        }
        return;
    }
    // Data is an object, or a text that is one.
    if let Some(Value::String(text)) = found.pointer_mut("/text") {
        return act(text);
    }
    let Value::String(outer) = found else { return };
    let Ok(mut inner) = serde_json::from_str::<Value>(outer) else { return };
    if let Some(Value::String(text)) = inner.pointer_mut("/text") {
        act(text);
        *outer = inner.to_string();
    }
}

/// A text with another character at its end.
pub(super) fn spoilt(text: &str) -> String {
    let mut spoilt = text.to_owned();
    let last = if spoilt.pop() == Some('!') { '?' } else { '!' };
    spoilt.push(last);
    spoilt
}

/// The room that a request names, as its dialect calls it.
pub(super) fn asked_room(
    dialect: Dialect,
    text: Option<&str>,
    asks: super::Asks,
) -> Option<String> {
    let request = kind::request(dialect, text?);
    request.room.filter(|_| request.asks == asks)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_said_is_found_and_changed_in_all_dialects() {
        let insert = json!({ "Insert": { "key": "said", "value": "hi" } });
        for (dialect, message) in [
            (Dialect::Native, json!({ "type": "chat", "text": "hi" })),
            (Dialect::Rooms, json!({ "StorageUpdated": { "operations": [insert] } })),
            (Dialect::Chat, json!({ "type": "chat", "content": "hi" })),
            (Dialect::Events, json!({ "type": "event", "data": { "text": "hi" } })),
            (Dialect::Pusher, json!({ "event": "client-a", "data": { "text": "hi" } })),
            (Dialect::Pusher, json!({ "event": "a", "data": json!({ "text": "hi" }).to_string() })),
        ] {
            let mut changed = message.clone();
            change(dialect, &mut changed, &mut |text| *text = spoilt(text));
            let expected = message.to_string().replace("hi", "h!");
            assert_eq!(changed.to_string(), expected, "{dialect:?}");
        }
        assert_ne!(spoilt("h!"), "h!");
    }
}
