//! Says what becomes of each frame: what goes where and when.

mod befall;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use self::befall::Fate;
use super::active::Active;
use super::cutter::{Frame, Gap};
use super::deed::{Deed, Story};
use super::lane::{Lane, later};
use super::log::Log;
use super::meaning::{Meaning, Reader};
use super::rule::{Fault, Rule, Way};
use super::who::{ConnId, Who};
use crate::dialect::Dialect;
use crate::dialect::pattern::Pattern;
use crate::observe::Time;
use crate::plan::Vars;

/// So many of a client's first texts are looked at for its name.
const INTRODUCTION: u32 = 16;
/// So many rooms of a connection are kept in mind.
const ROOMS_MAX: usize = 256;

const TEXT: u8 = 1;
const BINARY: u8 = 2;
/// How a connection is to end.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Ending {
    /// With a reset, at once.
    Now,
    /// With a reset, when what waits has left.
    Reset,
    /// In order, when what waits has left.
    Finish,
}

/// Decides. It has no socket and no clock: it is told what came when, and asked what may leave.
#[derive(Debug)]
pub struct Decider {
    seed: u64,
    reader: Reader,
    vars: Vars,
    rules: Vec<Active>,
    conns: BTreeMap<ConnId, Conn>,
    /// Which client is in which room matters to some rule, now or later.
    follows_rooms: bool,
    /// Connections in which something may leave that was not put there by their own frames.
    stirred: BTreeSet<ConnId>,
    log: Log,
}

#[derive(Debug)]
struct Conn {
    who: Who,
    /// Its WebSocket is open.
    is_open: bool,
    to_client: Lane,
    to_server: Lane,
    rooms: BTreeSet<String>,
    /// How many of its client's texts have been looked at for a name.
    texts: u32,
    ending: Option<Ending>,
    is_half_open: bool,
}

impl Conn {
    fn lane(&mut self, way: Way) -> &mut Lane {
        match way {
            Way::ToClient => &mut self.to_client,
            Way::ToServer => &mut self.to_server,
        }
    }

    fn lane_of(&self, way: Way) -> &Lane {
        match way {
            Way::ToClient => &self.to_client,
            Way::ToServer => &self.to_server,
        }
    }

    fn looks_for_a_name(&self) -> bool {
        self.who == Who::default() && self.texts < INTRODUCTION
    }
}

impl Decider {
    /// One without rules. In patterns of rules, `vars` are known.
    pub fn new(seed: u64, dialect: Option<Arc<Dialect>>, vars: Vars) -> Self {
        let log = Log::new(dialect.as_deref());
        Self {
            seed,
            reader: Reader::new(dialect),
            vars,
            rules: Vec::new(),
            conns: BTreeMap::new(),
            follows_rooms: false,
            stirred: BTreeSet::new(),
            log,
        }
    }

    /// Keeps in mind from now on which client is in which room, for rules that come later.
    pub fn follow_rooms(&mut self) {
        self.follows_rooms = true;
    }

    /// Keeps each single deed, not only how many there were.
    pub fn log_deeds(&mut self) {
        self.log.keeps = true;
    }

    /// The deeds since this was asked last.
    pub fn take_deeds(&mut self) -> Vec<Deed> {
        self.log.take()
    }

    /// All rules that were ever in force, and what they did.
    pub fn stories(&self) -> &[Story] {
        &self.log.stories
    }

    /// Puts these rules in the place of those in force. What the old ones keep back goes on.
    ///
    /// # Errors
    /// A pattern asks for a value that nobody has given: which, in words for the user.
    pub fn set(&mut self, now: Time, rules: &[Rule]) -> Result<(), String> {
        let mut active = Vec::new();
        for rule in rules {
            let pattern = rule.when.frame.as_ref().map(|it| Pattern::new(it, &self.vars));
            let pattern = pattern.transpose().map_err(|error| format!("`{rule}`: {error}"))?;
            active.push((rule.clone(), pattern));
        }
        self.log.end_all(now);
        for (id, conn) in &mut self.conns {
            conn.is_half_open = false;
            Way::BOTH.into_iter().for_each(|way| conn.lane(way).heal(now));
            self.stirred.insert(*id);
        }
        self.rules.clear();
        for (rule, pattern) in active {
            self.follows_rooms |= matches!(rule.fault, Fault::Misroute(_));
            let story = self.log.begin(now, &rule);
            self.rules.push(Active {
                rule,
                pattern,
                story,
                seen: 0,
                drawn: 0,
                chances: BTreeMap::new(),
                affected: BTreeSet::new(),
            });
        }
        let open: Vec<ConnId> = self.conns.keys().copied().collect();
        open.into_iter().for_each(|id| self.immediately(now, id));
        Ok(())
    }

    /// A client has come, and asks for this path.
    pub fn arrive(&mut self, id: ConnId, who: Who, path: &str) {
        let (name, room) = self.reader.path(path);
        let who = Who { name: who.name.or(name), ..who };
        let conn = Conn {
            who,
            is_open: false,
            to_client: Lane::default(),
            to_server: Lane::default(),
            rooms: room.into_iter().collect(),
            texts: 0,
            ending: None,
            is_half_open: false,
        };
        self.conns.insert(id, conn);
    }

    /// Its WebSocket is open.
    pub fn open(&mut self, now: Time, id: ConnId) {
        if let Some(conn) = self.conns.get_mut(&id) {
            conn.is_open = true;
        }
        self.immediately(now, id);
    }

    /// A connection is gone.
    pub fn leave(&mut self, id: ConnId) {
        let Some(conn) = self.conns.remove(&id) else { return };
        for active in &mut self.rules {
            active.affected.remove(&id);
            if conn.who == Who::default() {
                let key = conn.who.key(id);
                active.chances.retain(|(whose, _), _| *whose != key);
            }
        }
    }

    /// The opcodes of frames that must be shown to it, as a set of bits.
    pub fn wants(&self, id: ConnId, way: Way) -> u16 {
        let Some(conn) = self.conns.get(&id).filter(|conn| conn.is_open) else { return 0 };
        let lane = conn.lane_of(way);
        if lane.is_watchful() {
            return u16::MAX;
        }
        let data = 1 << TEXT | 1 << BINARY;
        let mut wanted = if lane.armed.is_some() { data } else { 0 };
        let named = way == Way::ToServer && conn.looks_for_a_name();
        if self.reader.dialect.is_some() && (named || way == Way::ToClient && self.follows_rooms) {
            wanted |= 1 << TEXT;
        }
        for active in self.rules.iter().filter(|it| !it.rule.is_immediate() && !it.is_spent()) {
            let when = &active.rule.when;
            if when.to.is_none_or(|to| to == way) && conn.who.is_among(id, &when.at) {
                wanted |= active.rule.opcodes();
            }
        }
        wanted
    }

    /// Whether bytes that no rule is about may go on at once.
    pub fn is_direct(&self, now: Time, id: ConnId, way: Way) -> bool {
        self.conns
            .get(&id)
            .is_none_or(|conn| conn.lane_of(way).is_direct(now) && conn.ending.is_none())
    }

    /// Bytes that no rule is about, behind what waits.
    pub fn pass(&mut self, now: Time, id: ConnId, way: Way, bytes: &[u8]) {
        if let Some(conn) = self.conns.get_mut(&id).filter(|conn| conn.ending.is_none()) {
            conn.lane(way).push(now, bytes.to_vec());
        }
    }

    /// Where that ends which it was given so far: nothing that nobody sent there may come inside of
    /// what passes.
    pub fn ends_at(&mut self, now: Time, id: ConnId, way: Way, gap: Gap) {
        let Some(conn) = self.conns.get_mut(&id) else { return };
        let lane = conn.lane(way);
        if std::mem::replace(&mut lane.gap, gap) != gap {
            lane.expire(now);
            self.immediately(now, id);
        }
    }

    /// A frame that it wanted to see.
    pub fn frame(&mut self, now: Time, id: ConnId, way: Way, frame: Frame) {
        let patterns = self.rules.iter().any(|active| active.pattern.is_some());
        let meaning = self.reader.read(way, &frame, patterns);
        self.learn(now, id, way, &meaning);
        if self.conns.get(&id).is_none_or(|conn| conn.ending.is_some()) {
            return;
        }
        let Some(frame) = self.second(now, id, way, frame, &meaning) else { return };
        let mut fate = Fate::of(frame);
        for nth in 0..self.rules.len() {
            if self.fires(nth, id, way, fate.frame.opcode, &meaning) {
                let goes_on = self.befall(nth, now, (id, way), &mut fate, &meaning);
                if !goes_on {
                    return;
                }
            }
        }
        let Some(conn) = self.conns.get_mut(&id) else { return };
        let lane = conn.lane(way);
        let is_message = [TEXT, BINARY].contains(&fate.frame.opcode);
        lane.push(later(now, fate.delay), fate.frame.raw);
        fate.behind.into_iter().for_each(|bytes| lane.push(now, bytes));
        if is_message {
            lane.overtaken(now);
        }
        fate.later.into_iter().for_each(|(bytes, after)| lane.hold(now, bytes, after));
    }

    /// Takes what may leave now, so that there are up to `most` bytes in `out`.
    pub fn take(&mut self, now: Time, id: ConnId, way: Way, most: usize, out: &mut Vec<u8>) {
        if let Some(conn) = self.conns.get_mut(&id) {
            conn.lane(way).take(now, most, out);
        }
    }

    /// Whether more may be read of what goes this way.
    pub fn reads(&self, now: Time, id: ConnId, way: Way) -> bool {
        self.conns.get(&id).is_none_or(|conn| conn.lane_of(way).reads(now))
    }

    /// Whether nothing is kept that goes this way.
    pub fn is_empty(&self, id: ConnId, way: Way) -> bool {
        self.conns.get(&id).is_none_or(|conn| conn.lane_of(way).is_empty())
    }

    /// How a connection is to end, if it is.
    pub fn ending(&self, id: ConnId) -> Option<Ending> {
        self.conns.get(&id).and_then(|conn| conn.ending)
    }

    /// Whether neither side may learn anything of the other, not even its end.
    pub fn is_half_open(&self, id: ConnId) -> bool {
        self.conns.get(&id).is_some_and(|conn| conn.is_half_open)
    }

    /// Time has gone by.
    pub fn expire(&mut self, now: Time, id: ConnId) {
        if let Some(conn) = self.conns.get_mut(&id) {
            Way::BOTH.into_iter().for_each(|way| conn.lane(way).expire(now));
        }
    }

    /// When time alone will change something of a connection next.
    pub fn wakes(&self, now: Time, id: ConnId) -> Option<Time> {
        let conn = self.conns.get(&id)?;
        conn.to_client.wakes(now).into_iter().chain(conn.to_server.wakes(now)).min()
    }

    /// The connections to look at because of what happened elsewhere.
    pub fn take_stirred(&mut self) -> BTreeSet<ConnId> {
        std::mem::take(&mut self.stirred)
    }

    /// Takes in who a client is and where.
    fn learn(&mut self, now: Time, id: ConnId, way: Way, meaning: &Meaning) {
        let follows = self.follows_rooms;
        let Some(conn) = self.conns.get_mut(&id) else { return };
        if let Some((room, inside)) = meaning.moves().filter(|_| follows && way == Way::ToClient) {
            if !inside {
                conn.rooms.remove(room);
            } else if conn.rooms.len() < ROOMS_MAX {
                conn.rooms.insert(room.to_owned());
            }
        }
        if way == Way::ToServer {
            conn.texts = conn.texts.saturating_add(1);
            if let Some(name) = meaning.name.as_ref().filter(|_| conn.who.member.is_none())
                && conn.who.name.as_ref() != Some(name)
            {
                conn.who.name = Some(name.clone());
                self.immediately(now, id);
            }
        }
    }

    fn did(
        &mut self,
        nth: usize,
        now: Time,
        id: ConnId,
        frame: Option<(Way, &Frame)>,
        note: Option<String>,
    ) {
        let Some(active) = self.rules.get(nth) else { return };
        let client = self.conns.get(&id).and_then(|conn| conn.who.shown());
        self.log.did(active.story, now, (id, client), &active.rule, frame, note);
    }
}
