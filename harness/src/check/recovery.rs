//! What was missed while away comes back, or the server says that it does not: the check
//! `recovery`. That all of it comes, and once, the books of `delivery` know.

use std::collections::HashMap;
use std::sync::Arc;

use super::numbered::Mix;
use super::{Check, Class, End, Finding, Findings, Profile, RECOVERY};
use crate::observe::{ClientId, Observation, RoomId, What};
use crate::plan::ChecksPlan;

/// Judges what the server says on a return.
#[derive(Debug, Default)]
pub(super) struct Recovery {
    last: HashMap<(ClientId, RoomId), Left, Mix>,
    judged: u64,
}

#[derive(Clone, Debug, Default)]
struct Left {
    epoch: Option<Arc<str>>,
    number: Option<u64>,
    asks: bool,
}

impl Recovery {
    pub(super) fn make(_: &ChecksPlan, _: &Profile) -> Option<Box<dyn Check>> {
        Some(Box::new(Self::default()))
    }

    fn numbered(&mut self, client: ClientId, room: RoomId, number: u64) {
        let left = self.last.entry((client, room)).or_default();
        left.number = Some(left.number.map_or(number, |last| last.max(number)));
    }
}

impl Check for Recovery {
    fn name(&self) -> &'static str {
        RECOVERY
    }

    fn observe(&mut self, seen: &Observation, found: &mut Findings) {
        let client = seen.client;
        match &seen.what {
            What::Joining { room: Some(room), since } => {
                self.last.entry((client, *room)).or_default().asks = *since;
            }
            What::Received { room: Some(room), number: Some(number), .. }
            | What::Presence { room, number: Some(number), .. }
            | What::Stored { room, number: Some(number), .. } => {
                self.numbered(client, *room, *number);
            }
            What::Entered(entry) => {
                let left = self.last.entry((client, entry.room)).or_default();
                let say = |detail: String| {
                    let finding = Finding::new(RECOVERY, Class::Recovery, seen.at, detail);
                    finding.client(client).room(entry.room)
                };
                if left.asks {
                    self.judged += 1;
                    match entry.recovered {
                        None => found.push(say("asked for what it missed, told nothing".into())),
                        Some(true) if left.epoch != entry.epoch => {
                            found.push(say("recovered from another life of the room".into()));
                        }
                        Some(true) if left.number.is_some() && entry.number != left.number => {
                            let (had, begins) = (left.number, entry.number);
                            let detail = format!("it had {had:?}, and is told from {begins:?} on");
                            found.push(say(detail));
                        }
                        Some(_) => {}
                    }
                }
                let number = entry.number;
                *left = Left { epoch: entry.epoch.clone(), number, asks: false };
            }
            _ => {}
        }
    }

    fn conclude(&mut self, _: &End, _: &mut Findings) -> u64 {
        self.judged
    }
}
