//! What a frame means to the client that got it, where the frame alone does not say it all: it is
//! one of several that are one event, it is about the client itself, or the client must remember
//! what was said before.

use std::sync::Arc;

use serde_json::{Value, json};

use super::Client;
use super::hear::text;
use crate::books::Books;
use crate::dialect::{Event, EventKind, Part, Verb};
use crate::heard::Heard;
use crate::plan::Vars;

/// Unfinished events that are remembered, at most; the oldest go first.
const GATHERED_MAX: usize = 64;

/// Frames that have come of an event that is made of several.
#[derive(Clone, Debug)]
pub(super) struct Gathered {
    rule: usize,
    next: usize,
    fields: Vars,
}

impl Client {
    /// The frame with all that it means to this client; none when more must come first.
    pub(super) fn whole(
        &mut self,
        heard: &Heard,
        event: &Event,
        books: &mut Books,
    ) -> Option<Arc<Heard>> {
        let mut event = event.clone();
        if let Some(part) = event.means.part {
            event.fields = self.gather(part, event.fields)?;
        }
        let mut known = self.captured.clone();
        known.insert("me".to_owned(), json!(&*self.name));
        known.extend(self.user());
        let recalled = self.dialect.recalled(&event, &known);
        event.fields.extend(recalled);
        if let Some(own) = event.means.own.filter(|own| self.is_own(*own, &event.fields, books)) {
            event.kind = own;
            let member = event.fields.get("member").cloned();
            if let (EventKind::Entered, Some(member)) = (own, member) {
                event.fields.entry("you".to_owned()).or_insert(member);
            }
        }
        Some(Heard::whole(event, &heard.text))
    }

    /// Puts a frame to those that came before it; gives all their values once it was the last.
    fn gather(&mut self, part: Part, fields: Vars) -> Option<Vars> {
        let Part { rule, nth, of } = part;
        if nth == 0 {
            if self.gathered.len() >= GATHERED_MAX {
                self.gathered.remove(0);
            }
            self.gathered.push(Gathered { rule, next: 1, fields });
            return None;
        }
        // Of several that are under way this one belongs to the first that it does not contradict.
        let agrees = |begun: &Gathered| {
            fields.iter().all(|(name, value)| begun.fields.get(name).is_none_or(|it| it == value))
        };
        let begun = |it: &Gathered| it.rule == rule && it.next == nth && agrees(it);
        let at = self.gathered.iter().position(begun)?;
        let begun = self.gathered.get_mut(at)?;
        begun.fields.extend(fields);
        begun.next += 1;
        (begun.next == of).then(|| self.gathered.remove(at).fields)
    }

    /// Whether something is about this client itself. Who waits to enter may not know yet what it
    /// is called there: nothing of the room can come to it before its own entry.
    fn is_own(&self, own: EventKind, fields: &Vars, books: &mut Books) -> bool {
        let room = self.room_in(fields, books);
        let named = fields.get("room").and_then(Value::as_str).map(|name| books.room(name));
        if own == EventKind::Entered {
            let inside = self.rooms.iter().any(|stay| named.is_none() || Some(stay.room) == named);
            let waits = self.pending.iter().any(|pending| {
                matches!(pending.verb, Verb::Join | Verb::Create)
                    && (pending.room.is_none() || named.is_none() || pending.room == named)
            });
            let by_path = self.entering.is_some();
            return (waits || by_path) && !inside;
        }
        let stay = self.rooms.iter().find(|stay| Some(stay.room) == room);
        let you = stay.and_then(|stay| stay.you.clone());
        let me = |name: &str, mine: Option<&str>| {
            text(fields, name).is_some_and(|it| Some(&*it) == mine)
        };
        me("member", you.as_deref()) || me("who", Some(&*self.name))
    }
}
