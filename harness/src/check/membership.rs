//! Who is in a room, as its members are told: the check `membership`.
//!
//! Every full member keeps a set of whom it believes present. Its sum names the set in one number,
//! so that members are compared without walking their sets. What only time can tell is judged at
//! the end: a notice may be on its way, and a client may be gone before the harness knows it.

mod belief;
mod sight;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use super::numbered::Mix;
use super::{Check, Class, End, Finding, Findings, GRACE_US, MEMBERSHIP, Profile};
use crate::observe::{ClientId, Entry, Observation, RoomId, Time, What, Who};
use crate::plan::ChecksPlan;
use sight::Sight;

/// Doubtful sights kept until the end.
const DOUBTS_MAX: usize = 10_000;
/// Lives of a room whose views are kept.
const LIVES_KEPT: usize = 8;

/// Judges notices, lists and views.
#[derive(Debug, Default)]
pub(super) struct Membership {
    rooms: HashMap<RoomId, Room, Mix>,
    /// Who has asked to enter which room, if it could name it, and when.
    joining: HashMap<ClientId, Vec<Request>, Mix>,
    connections: HashMap<Arc<str>, ClientId>,
    owners: HashMap<ClientId, Arc<str>, Mix>,
    stuck: BTreeSet<ClientId>,
    doubts: Vec<Doubt>,
    /// Who was listed for too long after its connection had ended, and by how many microseconds.
    lingering: Vec<(u64, Finding)>,
    clock: u64,
    judged: u64,
}

/// A request to enter that has no answer yet; its time also in observations.
#[derive(Clone, Copy, Debug)]
struct Request {
    room: Option<RoomId>,
    asked: u64,
    at: Time,
}

/// Something wrong, unless the server turns out to have ended this client's stay by then.
#[derive(Debug)]
struct Doubt {
    about: ClientId,
    stay: u64,
    finding: Finding,
}

#[derive(Debug, Default)]
struct Room {
    stays: BTreeMap<ClientId, Stay>,
    seen: HashMap<ClientId, Sight, Mix>,
    /// The lives of the room that there were.
    lives: Vec<Option<Arc<str>>>,
    /// What the members at each view are, by the life and the view's number.
    views: HashMap<(usize, u64), u64, Mix>,
    hidden: bool,
    ids: HashMap<Arc<str>, ClientId>,
}

/// What the harness knows of a client in a room. Times of the books, in observations.
#[derive(Clone, Copy, Debug, Default)]
struct Stay {
    asked: u64,
    entered: Option<(u64, Time)>,
    leaving: bool,
    /// It was not let in: this is no stay.
    refused: bool,
    ended: Option<(Time, bool)>,
    gone: u64,
    full: bool,
    /// Some stay before ended with its connection: the server may notice that late.
    lost: bool,
    /// Stays before this one, whose ends others may hear of late.
    before: u32,
}

impl Stay {
    /// How often its client can have come since anybody was there: who has lost a connection may be
    /// there with that one still, and news of all its stays may be read late.
    fn comings(&self) -> u32 {
        if self.lost { self.before + 1 } else { 1 }
    }
}

/// How a stay ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Ended {
    /// The server confirmed that it left.
    Exited,
    /// The server answered its Close.
    Closed,
    /// Its connection ended otherwise: the server may have ended it long before.
    Unseen,
}

impl Membership {
    pub(super) fn make(_: &ChecksPlan, _: &Profile) -> Option<Box<dyn Check>> {
        Some(Box::new(Self::default()))
    }

    fn entered(&mut self, at: Time, client: ClientId, entry: &Entry, found: &mut Findings) {
        self.judged += 1;
        let say = |class, detail: &str| {
            Finding::new(MEMBERSHIP, class, at, detail).client(client).room(entry.room)
        };
        let asked = self.joining.entry(client).or_default();
        let request = asked.iter().position(|it| it.room.is_none_or(|room| room == entry.room));
        let request = request.map(|request| asked.remove(request));
        if request.is_none() {
            found.push(say(Class::Admission, "it is in a room that it did not ask for"));
        }
        let clock = self.clock;
        let room = self.rooms.entry(entry.room).or_default();
        if !room.lives.contains(&entry.epoch) {
            room.lives.push(entry.epoch.clone());
            // Nobody can be that late.
            let newest = room.lives.len();
            room.views.retain(|(life, _), _| *life + LIVES_KEPT > newest);
        }
        if let Some(you) = &entry.you {
            let owner = room.ids.insert(Arc::clone(you), client);
            if you.is_empty() {
                found.push(say(Class::Identity, "an empty member id"));
            } else if owner.is_some_and(|owner| owner != client) {
                found.push(say(Class::Identity, "its member id is another member's"));
            }
        }
        room.hidden |= !entry.full;
        let stay = room.stays.entry(client).or_default();
        let asked = match request {
            Some(Request { room: Some(_), .. }) => stay.asked,
            // Which room it is about only the answer said.
            Some(Request { asked, .. }) => stay.asked.max(asked),
            None => clock,
        };
        let entered = entry.confirmed.then_some((clock, at));
        let Stay { lost, .. } = *stay;
        let leaves = stay.leaving && stay.ended.is_none();
        // Where no leave is confirmed, who enters again has left before. Who is told once more that
        // it is in, or that it got in when it goes, leaves all the same.
        let again = leaves && request.is_some() && stay.entered.is_some();
        let (leaving, before) = (leaves && !again, stay.before + u32::from(again));
        let full = entry.full;
        let goes_on = request.is_none() && stay.entered.is_some() && stay.ended.is_none();
        let since = if goes_on { stay.asked } else { asked };
        *stay = Stay { asked: since, entered, leaving, full, lost, before, ..Stay::default() };
        if entry.full {
            let asked_at = request.map_or(at, |request| request.at);
            self.sees(at, client, entry, (asked, asked_at), found);
        }
    }

    fn sees(
        &mut self,
        at: Time,
        client: ClientId,
        entry: &Entry,
        (asked, asked_at): (u64, Time),
        found: &mut Findings,
    ) {
        let clock = self.clock;
        for person in entry.members.iter().flatten() {
            self.may_have_come(entry.room, &person.who);
        }
        let Some(room) = self.rooms.get_mut(&entry.room) else { return };
        let mut sight = Sight { since: clock, view: entry.view, inside: true, ..Sight::default() };
        sight.listed = entry.members.is_some();
        sight.life = room.lives.iter().position(|life| *life == entry.epoch).unwrap_or_default();
        sight.add(client, 1);
        let list = entry.members.as_deref().unwrap_or_default();
        let say = |class, detail: &str| {
            Finding::new(MEMBERSHIP, class, at, detail).client(client).room(entry.room)
        };
        let mut own = !sight.listed;
        for person in list {
            let Who::Client(who) = person.who else { continue };
            let most = room.stays.get(&who).map_or(1, Stay::comings);
            let again = match who == client {
                true => std::mem::replace(&mut own, true) && !sight.add(who, most),
                false => !sight.add(who, most),
            };
            if again {
                found.push(say(Class::View, "somebody is listed twice"));
            }
            match room.stays.get(&who) {
                None => found.push(say(Class::View, "somebody is listed who never came")),
                // A list can be older than what others have heard since it was asked for.
                Some(Stay { ended: Some((_, true)), gone, .. }) if *gone < asked => {
                    found.push(say(Class::Ghost, "somebody is listed who has left"));
                }
                Some(Stay { ended: Some((ended, _)), .. }) => {
                    // Who takes long to answer may have taken as long to notice.
                    let grace = GRACE_US + at.0.saturating_sub(asked_at.0);
                    let too_long = asked_at.0.saturating_sub(ended.0).saturating_sub(grace);
                    if too_long > 0 && self.lingering.len() < DOUBTS_MAX {
                        let finding = say(Class::Ghost, "somebody is listed who was lost before");
                        self.lingering.push((too_long, finding));
                    }
                }
                Some(_) => {}
            }
        }
        if !own {
            found.push(say(Class::View, "it is not in its own list"));
        }
        if let Some(count) = entry.count.filter(|_| sight.listed) {
            let listed = list.len() as u64;
            if count < listed || (count > listed && !room.hidden) {
                found.push(say(Class::View, "the count is not that of the list"));
            }
        }
        if sight.listed {
            for (who, stay) in &room.stays {
                let inside = stay.entered.is_some_and(|(since, _)| since < asked);
                let missing = !sight.present.contains_key(who) && !stay.leaving && stay.full;
                if inside && missing && stay.ended.is_none() && self.doubts.len() < DOUBTS_MAX {
                    let finding = say(Class::Snapshot, "a member is missing in its list");
                    self.doubts.push(Doubt { about: *who, stay: stay.asked, finding });
                }
            }
        }
        room.seen.insert(client, sight);
    }

    fn notice(
        &mut self,
        seen: &Observation,
        id: RoomId,
        who: &Who,
        came: bool,
        view: Option<u64>,
        found: &mut Findings,
    ) {
        self.judged += 1;
        let (at, client) = (seen.at, seen.client);
        self.may_have_come(id, who);
        let room = self.rooms.entry(id).or_default();
        let say = |class, detail: &str| {
            Finding::new(MEMBERSHIP, class, at, detail).client(client).room(id)
        };
        let Some(sight) = room.seen.get_mut(&client).filter(|sight| sight.inside) else { return };
        if *who == Who::Client(client) {
            // Of oneself one is told only what becomes of a connection before this one.
            let most = room.stays.get(&client).map_or(1, Stay::comings);
            if came && most > 1 {
                sight.add(client, most);
            } else if !came && sight.present.get(&client).is_some_and(|times| *times > 1) {
                sight.remove(client);
            }
        } else if let Who::Client(who) = *who {
            let stay = room.stays.get(&who);
            match (came, stay) {
                (_, None) => found.push(say(Class::Notice, "a notice of somebody who never came")),
                (true, Some(stay)) => {
                    if !sight.add(who, stay.comings()) {
                        found.push(say(Class::Notice, "told twice that somebody came"));
                    }
                }
                (false, Some(stay)) => {
                    let times = sight.left.entry(who).or_default();
                    *times += 1;
                    let late = *times <= stay.before;
                    if !sight.remove(who) && sight.listed {
                        found.push(say(Class::Notice, "told twice that somebody left"));
                    } else if !stay.leaving
                        && stay.ended.is_none()
                        && !stay.refused
                        && !late
                        && self.doubts.len() < DOUBTS_MAX
                    {
                        let finding = say(Class::Notice, "told that somebody left who is in");
                        self.doubts.push(Doubt { about: who, stay: stay.asked, finding });
                    }
                }
            }
        }
        if let Some(view) = view {
            self.next_view(seen, id, view, found);
        }
    }

    /// Views have no gap, and at each of them all members hold the same set.
    fn next_view(&mut self, seen: &Observation, id: RoomId, view: u64, found: &mut Findings) {
        let Some(room) = self.rooms.get_mut(&id) else { return };
        let Some(sight) = room.seen.get_mut(&seen.client).filter(|sight| sight.inside) else {
            return;
        };
        let say = |detail: &str| {
            let finding = Finding::new(MEMBERSHIP, Class::View, seen.at, detail);
            finding.client(seen.client).room(id)
        };
        if let Some(last) = sight.view
            && view != last + 1
        {
            found.push(say(&format!("view {view} came after view {last}")));
        }
        sight.view = Some(view);
        let sum = sight.sum;
        if sight.listed && *room.views.entry((sight.life, view)).or_insert(sum) != sum {
            found.push(say(&format!("members disagree on view {view}")));
        }
    }

    /// Who asked to enter a room that it could not name (it had a code) may be in any: others can
    /// be told of it before its own answer is read.
    fn may_have_come(&mut self, room: RoomId, who: &Who) {
        let Who::Client(who) = who else { return };
        let asked =
            self.joining.get(who).is_some_and(|asked| asked.iter().any(|it| it.room.is_none()));
        if asked && let Some(room) = self.rooms.get_mut(&room) {
            let asked = self.clock;
            room.stays.entry(*who).or_insert_with(|| Stay { asked, ..Stay::default() });
        }
    }

    fn ends(&mut self, at: Time, client: ClientId, id: RoomId, how: Ended) {
        let clock = self.clock;
        let Some(room) = self.rooms.get_mut(&id) else { return };
        if let Some(stay) = room.stays.get_mut(&client)
            && stay.ended.is_none()
            && !stay.refused
        {
            stay.ended = Some((at, how == Ended::Exited));
            stay.gone = clock;
            let asked = stay.asked;
            // The server had ended it, or may have: those who were told so were told the truth.
            let may_be_true = how == Ended::Unseen || self.stuck.contains(&client);
            self.doubts.retain(|doubt| {
                !may_be_true
                    || doubt.finding.room != Some(id)
                    || (doubt.about, doubt.stay) != (client, asked)
            });
        }
        if let Some(sight) = room.seen.get_mut(&client) {
            sight.inside = false;
        }
    }

    fn opened(&mut self, at: Time, client: ClientId, connection: &Arc<str>, found: &mut Findings) {
        self.judged += 1;
        let owner = self.connections.insert(Arc::clone(connection), client);
        let say =
            |detail: &str| Finding::new(MEMBERSHIP, Class::Identity, at, detail).client(client);
        if connection.is_empty() {
            found.push(say("an empty connection id"));
        } else if owner.is_some_and(|owner| owner != client) {
            found.push(say("its connection id is another live connection's"));
        }
        self.owners.insert(client, Arc::clone(connection));
    }

    fn closed(&mut self, at: Time, client: ClientId, how: Ended) {
        let rooms: Vec<RoomId> = self.rooms.keys().copied().collect();
        for room in rooms {
            self.ends(at, client, room, how);
        }
        self.joining.remove(&client);
        self.stuck.remove(&client);
        if let Some(connection) = self.owners.remove(&client)
            && self.connections.get(&connection) == Some(&client)
        {
            self.connections.remove(&connection);
        }
    }

    fn leaving(&mut self, client: ClientId, room: RoomId) {
        let stay = self.rooms.get_mut(&room).and_then(|room| room.stays.get_mut(&client));
        if let Some(stay) = stay {
            stay.leaving = true;
        }
    }
}

impl Check for Membership {
    fn name(&self) -> &'static str {
        MEMBERSHIP
    }

    fn observe(&mut self, seen: &Observation, found: &mut Findings) {
        self.clock += 1;
        let (at, client) = (seen.at, seen.client);
        match &seen.what {
            What::Joining { room, .. } => {
                let request = Request { room: *room, asked: self.clock, at };
                self.joining.entry(client).or_default().push(request);
                if let Some(room) = room {
                    let stays = &mut self.rooms.entry(*room).or_default().stays;
                    let stay = stays.entry(client).or_default();
                    if stay.entered.is_none() || stay.ended.is_some() {
                        let lost = stay.lost || stay.ended.is_some_and(|(_, confirmed)| !confirmed);
                        let before = stay.before + u32::from(stay.ended.is_some());
                        *stay = Stay { asked: self.clock, lost, before, ..Stay::default() };
                    }
                }
            }
            What::Refused { room, .. } => {
                let asked = self.joining.entry(client).or_default();
                if let Some(at) = asked.iter().position(|it| it.room == *room || room.is_none()) {
                    let room = asked.remove(at).room.and_then(|room| self.rooms.get_mut(&room));
                    let stay = room.and_then(|room| room.stays.get_mut(&client));
                    if let Some(stay) = stay.filter(|stay| stay.entered.is_none()) {
                        stay.refused = true;
                    }
                }
            }
            What::Entered(entry) => self.entered(at, client, entry, found),
            What::Leaving { room } => self.leaving(client, *room),
            What::Closing { .. } => {
                for room in self.rooms.values_mut() {
                    if let Some(stay) = room.stays.get_mut(&client) {
                        stay.leaving = true;
                    }
                }
            }
            What::Exited { room } => self.ends(at, client, *room, Ended::Exited),
            What::Closed(ending) => {
                // The server's own Close may cross that of the client: it has another code.
                let answered = ending.asked && ending.clean && ending.code == Some(1000);
                self.closed(at, client, if answered { Ended::Closed } else { Ended::Unseen });
            }
            What::Joined { room, who, view } => self.notice(seen, *room, who, true, *view, found),
            What::Left { room, who, view, .. } => {
                self.notice(seen, *room, who, false, *view, found);
            }
            What::Renamed { room, view: Some(view), .. } => {
                self.judged += 1;
                self.next_view(seen, *room, *view, found);
            }
            What::Opened { connection: Some(connection) } => {
                self.opened(at, client, connection, found);
            }
            What::Reads(true) => drop(self.stuck.remove(&client)),
            What::Reads(false) => drop(self.stuck.insert(client)),
            _ => {}
        }
    }

    fn conclude(&mut self, end: &End, found: &mut Findings) -> u64 {
        let stall = u64::try_from(end.stall.as_micros()).unwrap_or(u64::MAX);
        for (_, finding) in self.lingering.drain(..).filter(|(too_long, _)| *too_long > stall) {
            found.push(finding);
        }
        let cut = end.died.is_some() || end.unresponsive.is_some();
        if cut || end.interrupted || !end.settled {
            return self.judged;
        }
        for doubt in std::mem::take(&mut self.doubts) {
            let room = doubt.finding.room.and_then(|room| self.rooms.get(&room));
            let stay = room.and_then(|room| room.stays.get(&doubt.about));
            let goes_on = stay.is_some_and(|it| it.asked == doubt.stay && it.ended.is_none());
            // Who does not read does not see that it was put out.
            if !goes_on || !self.stuck.contains(&doubt.about) {
                found.push(doubt.finding);
            }
        }
        let decided = end.at.0.saturating_sub(GRACE_US.saturating_add(stall));
        for (id, room) in &self.rooms {
            self.compare(end.at, decided, *id, room, found);
        }
        self.judged
    }
}
