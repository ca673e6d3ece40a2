//! What everybody believes at the end, held against who is there.

use super::sight::sum_of;
use super::{Membership, Room, Stay};
use crate::check::{Class, Finding, Findings, MEMBERSHIP};
use crate::observe::{ClientId, RoomId, Time};

impl Membership {
    /// Compares what each member believes with what the harness knows.
    pub(super) fn compare(
        &self,
        at: Time,
        decided: u64,
        id: RoomId,
        room: &Room,
        found: &mut Findings,
    ) {
        // Whoever is leaving where nobody confirms that, or does not read, may be in or out.
        let inside = |who: &ClientId, stay: &Stay| {
            let stays = stay.entered.is_some() && stay.ended.is_none() && !stay.leaving;
            stay.full && stays && !self.stuck.contains(who)
        };
        let expected = room.stays.iter().filter(|(who, stay)| inside(who, stay));
        let sum = expected.fold(0_u64, |sum, (who, _)| sum.wrapping_add(sum_of(*who)));
        let mut sights: Vec<_> = room.seen.iter().collect();
        sights.sort_unstable_by_key(|(client, _)| **client);
        for (client, sight) in sights {
            if !sight.inside || sight.sum == sum || self.stuck.contains(client) {
                continue;
            }
            let say = |class, detail: &str| {
                Finding::new(MEMBERSHIP, class, at, detail).client(*client).room(id)
            };
            for (who, stay) in &room.stays {
                let believed = sight.present.contains_key(who);
                let entered = stay.entered.filter(|_| inside(who, stay));
                match (entered, stay.ended) {
                    (Some((since, when)), _) if !believed && when.0 < decided => {
                        // Without a list nobody can know who was there before.
                        if stay.asked > sight.since {
                            found.push(say(Class::Notice, "never told that somebody came"));
                        } else if sight.listed && since < sight.since {
                            found.push(say(Class::View, "it does not know a member"));
                        }
                    }
                    (None, Some((ended, _))) if believed && ended.0 < decided => {
                        found.push(say(Class::Ghost, "never told that somebody left"));
                    }
                    _ => {}
                }
            }
        }
    }
}
