//! Members whom nobody knows yet.
//!
//! Where people are named by ids that the server draws, and each learns its own from its entry, the
//! others may be told of it before that entry has been read: the order between two sockets means
//! nothing. What they were told waits here.

use std::collections::HashMap;
use std::sync::Arc;

use crate::observe::{ClientId, RoomId, Time, What, Who};

/// So much may wait; what is beyond is told of a stranger.
const WAITING_MAX: usize = 100_000;

/// When, who was told, and what.
type Told = (Time, ClientId, What);

/// What waits, by room and member id.
#[derive(Debug, Default)]
pub(super) struct Strangers {
    waiting: HashMap<(RoomId, Arc<str>), Vec<Told>>,
    count: usize,
    enlightened: Vec<ClientId>,
}

impl Strangers {
    /// Keeps what was told of somebody unknown; gives back what is of somebody known, or of
    /// nobody, or numbered: a number must be seen in its place.
    pub(super) fn keep(&mut self, at: Time, client: ClientId, what: What) -> Option<What> {
        let key = match &what {
            What::Joined { room, who: Who::Stranger(who), view: None }
            | What::Left { room, who: Who::Stranger(who), view: None, .. }
            | What::Presence { room, who: Who::Stranger(who), number: None, .. } => {
                (*room, Arc::clone(who))
            }
            _ => return Some(what),
        };
        if self.count >= WAITING_MAX {
            return Some(what);
        }
        self.count += 1;
        self.waiting.entry(key).or_default().push((at, client, what));
        None
    }

    /// Somebody turns out to be a client of ours: what was told of it.
    pub(super) fn met(&mut self, room: RoomId, member: &str, client: ClientId) -> Vec<Told> {
        let told = self.waiting.remove(&(room, member.into())).unwrap_or_default();
        self.count -= told.len();
        self.enlightened.extend(told.iter().map(|(_, listener, _)| *listener));
        let known = |(at, listener, what)| (at, listener, of(what, client));
        told.into_iter().map(known).collect()
    }

    pub(super) fn take_enlightened(&mut self) -> Vec<ClientId> {
        std::mem::take(&mut self.enlightened)
    }
}

/// The same, of somebody known.
fn of(mut what: What, client: ClientId) -> What {
    match &mut what {
        What::Joined { who, .. } | What::Left { who, .. } | What::Presence { who, .. } => {
            *who = Who::Client(client);
        }
        _ => {}
    }
    what
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_told_of_a_stranger_is_told_again_when_it_is_known() {
        let mut strangers = Strangers::default();
        let joined = |who| What::Joined { room: RoomId(0), who, view: None };
        let stranger = || Who::Stranger("x".into());
        assert!(strangers.keep(Time(1), ClientId(1), joined(stranger())).is_none());
        assert!(strangers.keep(Time(1), ClientId(1), joined(Who::Client(ClientId(2)))).is_some());
        assert!(strangers.met(RoomId(1), "x", ClientId(3)).is_empty());
        let told = strangers.met(RoomId(0), "x", ClientId(3));
        assert!(matches!(
            told.as_slice(),
            [(Time(1), ClientId(1), What::Joined { who: Who::Client(ClientId(3)), .. })]
        ));
        assert_eq!(strangers.take_enlightened(), [ClientId(1)]);
        assert!(strangers.take_enlightened().is_empty());
    }
}
