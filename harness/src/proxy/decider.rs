//! Says what becomes of each frame: what goes where and when.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::cutter::Frame;
use super::deed::{Deed, Story};
use super::fault;
use super::lane::{First, Lane, PATIENCE, later};
use super::log::Log;
use super::meaning::{Meaning, Reader};
use super::rule::{After, Cut, Fault, Reach, Rule, Senders, Way};
use super::who::{ConnId, Who};
use crate::dialect::Dialect;
use crate::dialect::pattern::Pattern;
use crate::observe::Time;
use crate::plan::{Vars, mix};

/// So many of a client's first texts are looked at for its name.
const INTRODUCTION: u32 = 16;
/// So many rooms of a connection are kept in mind.
const ROOMS_MAX: usize = 256;

const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;
/// Frames that nobody sent are masked with this on their way to the server.
const MASK: [u8; 4] = [0; 4];

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

/// A rule in force.
#[derive(Debug)]
struct Active {
    rule: Rule,
    pattern: Option<Pattern>,
    story: usize,
    seen: u64,
    drawn: u64,
    /// How many chances each client has had.
    chances: BTreeMap<(u64, Way), u64>,
    /// The connections on which it took effect, where it does so once.
    affected: BTreeSet<ConnId>,
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

/// What becomes of a frame that no rule has kept back.
struct Fate {
    frame: Frame,
    delay: Duration,
    behind: Vec<Vec<u8>>,
    later: Vec<(Vec<u8>, After)>,
}

impl Conn {
    fn lane(&mut self, way: Way) -> &mut Lane {
        match way {
            Way::ToClient => &mut self.to_client,
            Way::ToServer => &mut self.to_server,
        }
    }

    fn looks_for_a_name(&self) -> bool {
        self.who == Who::default() && self.texts < INTRODUCTION
    }
}

impl Active {
    /// Whether it can never do anything again.
    fn is_spent(&self) -> bool {
        self.rule.when.times.is_some_and(|times| self.drawn >= times)
    }

    /// Whether it is about such a frame.
    fn concerns(&self, way: Way, id: ConnId, who: &Who, opcode: u8, meaning: &Meaning) -> bool {
        let when = &self.rule.when;
        when.to.is_none_or(|to| to == way)
            && self.rule.opcodes() & 1 << (opcode & 15) != 0
            && who.is_among(id, &when.at)
            && when.event.is_none_or(|told| meaning.says(told))
            && self.pattern.as_ref().is_none_or(|pattern| {
                meaning.value().is_some_and(|value| pattern.matched(value).is_some())
            })
    }

    /// Whether it is this frame's turn.
    fn draws(&mut self, seed: u64, key: u64, way: Way) -> bool {
        self.seen += 1;
        if self.seen <= self.rule.when.after || self.is_spent() {
            return false;
        }
        if let Some(chance) = self.rule.when.rate {
            let nth = self.chances.entry((key, way)).or_default();
            *nth += 1;
            let direction = u64::from(way == Way::ToClient);
            let drawn = mix(mix(seed ^ self.story as u64) ^ key ^ mix(2 * *nth + direction));
            if drawn % chance.among >= chance.of {
                return false;
            }
        }
        self.drawn += 1;
        true
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
        let lane = if way == Way::ToClient { &conn.to_client } else { &conn.to_server };
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
        self.conns.get(&id).is_none_or(|conn| {
            let lane = if way == Way::ToClient { &conn.to_client } else { &conn.to_server };
            lane.is_direct(now) && conn.ending.is_none()
        })
    }

    /// Bytes that no rule is about, behind what waits.
    pub fn pass(&mut self, now: Time, id: ConnId, way: Way, bytes: &[u8]) {
        if let Some(conn) = self.conns.get_mut(&id).filter(|conn| conn.ending.is_none()) {
            conn.lane(way).push(now, bytes.to_vec());
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
        let (delay, behind, later_on) = (Duration::ZERO, Vec::new(), Vec::new());
        let mut fate = Fate { frame, delay, behind, later: later_on };
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
        self.conns.get(&id).is_none_or(|conn| {
            let lane = if way == Way::ToClient { &conn.to_client } else { &conn.to_server };
            lane.reads(now)
        })
    }

    /// Whether nothing is kept that goes this way.
    pub fn is_empty(&self, id: ConnId, way: Way) -> bool {
        self.conns.get(&id).is_none_or(|conn| match way {
            Way::ToClient => conn.to_client.is_empty(),
            Way::ToServer => conn.to_server.is_empty(),
        })
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

    /// Whether a rule befalls this frame.
    fn fires(&mut self, nth: usize, id: ConnId, way: Way, opcode: u8, meaning: &Meaning) -> bool {
        let (Some(active), Some(conn)) = (self.rules.get_mut(nth), self.conns.get_mut(&id)) else {
            return false;
        };
        let once = active.rule.is_immediate() || active.affected.contains(&id);
        if once || !active.concerns(way, id, &conn.who, opcode, meaning) {
            return false;
        }
        let key = conn.who.key(id);
        let lane = conn.lane(way);
        if lane.armed == Some(nth) {
            lane.armed = None;
            return true;
        }
        active.draws(self.seed, key, way)
    }

    /// Carries a fault out; says whether the frame goes on.
    fn befall(
        &mut self,
        nth: usize,
        now: Time,
        (id, way): (ConnId, Way),
        fate: &mut Fate,
        meaning: &Meaning,
    ) -> bool {
        let Some(active) = self.rules.get_mut(nth) else { return true };
        let fault = active.rule.fault.clone();
        let (seen, to) = (active.seen, active.rule.when.to);
        let Some(conn) = self.conns.get_mut(&id) else { return true };
        let lane = conn.lane(way);
        let before = fate.frame.clone();
        let mut note = None;
        let goes_on = match fault {
            Fault::Drop => false,
            Fault::Duplicate(After::Messages(0)) => {
                fate.behind.push(fate.frame.raw.clone());
                true
            }
            Fault::Duplicate(after) => {
                fate.later.push((fate.frame.raw.clone(), after));
                true
            }
            Fault::Swap(_) => {
                let (sender, room) = (meaning.sender.clone(), meaning.room.clone());
                let (frame, until) = (fate.frame.clone(), later(now, PATIENCE));
                lane.first = Some(First { rule: nth, frame, sender, room, until });
                // It is told when the second is there.
                return false;
            }
            Fault::Delay(span) => {
                fate.delay += span;
                true
            }
            Fault::Hold(after) => {
                lane.hold(now, std::mem::take(&mut fate.frame.raw), after);
                false
            }
            Fault::Corrupt(what) => {
                let drawn = mix(self.seed ^ mix(seen) ^ nth as u64);
                fault::corrupt(&mut fate.frame, what, meaning.words.as_deref(), drawn);
                true
            }
            Fault::Truncate(bytes) => {
                fault::truncate(&mut fate.frame, bytes);
                true
            }
            Fault::Inject(text) => {
                fate.behind.push(made(TEXT, text.into_bytes(), way));
                true
            }
            Fault::Misroute(reach) => {
                let room = meaning.room.as_deref();
                let Some(other) = self.astray(id, room, mix(self.seed ^ mix(seen))) else {
                    if let Some(active) = self.rules.get_mut(nth) {
                        active.drawn -= 1;
                    }
                    return true;
                };
                if let Some(conn) = self.conns.get_mut(&other) {
                    conn.lane(way).push(now, fate.frame.raw.clone());
                }
                self.stirred.insert(other);
                note = Some(format!("to #{other}"));
                reach == Reach::Copy
            }
            Fault::Stall(_) | Fault::Cut(_) | Fault::HalfOpen | Fault::Throttle(_) => {
                let raw = Some(fate.frame.raw.as_slice());
                conn.afflict(now, &fault, to, way, raw);
                if let Some(active) = self.rules.get_mut(nth) {
                    let lasts = matches!(fault, Fault::HalfOpen | Fault::Throttle(_));
                    active.affected.extend(Some(id).filter(|_| lasts));
                }
                !matches!(fault, Fault::Cut(_))
            }
        };
        self.did(nth, now, id, Some((way, &before)), note);
        goes_on
    }

    /// A message is behind one that waits for it: they change places if they may, else the first goes
    /// on and another one will be the first. Gives the message back where it is not used up.
    fn second(
        &mut self,
        now: Time,
        id: ConnId,
        way: Way,
        frame: Frame,
        meaning: &Meaning,
    ) -> Option<Frame> {
        let conn = self.conns.get_mut(&id)?;
        let Some(first) = conn.lane(way).first.take() else { return Some(frame) };
        let rule = first.rule;
        let fits = self.rules.get(rule).is_some_and(|active| {
            let Fault::Swap(senders) = active.rule.fault else { return false };
            active.concerns(way, id, &conn.who, frame.opcode, meaning)
                && first.may_change_places(senders, meaning)
        });
        let lane = conn.lane(way);
        if !fits {
            lane.armed = Some(rule);
            lane.push(now, first.frame.raw);
            lane.overtaken(now);
            return Some(frame);
        }
        lane.push(now, frame.raw);
        lane.push(now, first.frame.raw.clone());
        lane.overtaken(now);
        lane.overtaken(now);
        self.did(rule, now, id, Some((way, &first.frame)), None);
        None
    }

    /// Where a frame goes that goes astray: to somebody in another room where rooms are known.
    fn astray(&self, id: ConnId, room: Option<&str>, drawn: u64) -> Option<ConnId> {
        let elsewhere = |(other, conn): &(&ConnId, &Conn)| {
            let outside = room.is_none_or(|room| !conn.rooms.contains(room));
            **other != id && conn.is_open && conn.ending.is_none() && outside
        };
        let count = self.conns.iter().filter(elsewhere).count() as u64;
        let nth = usize::try_from(drawn.checked_rem(count)?).ok()?;
        self.conns.iter().filter(elsewhere).nth(nth).map(|(id, _)| *id)
    }

    /// Rules that are about connections rather than frames take effect.
    fn immediately(&mut self, now: Time, id: ConnId) {
        for nth in 0..self.rules.len() {
            let Some(conn) = self.conns.get_mut(&id).filter(|conn| conn.is_open) else { return };
            let Some(active) = self.rules.get_mut(nth) else { return };
            let due = active.rule.is_immediate()
                && !active.is_spent()
                && !active.affected.contains(&id)
                && conn.ending.is_none()
                && conn.who.is_among(id, &active.rule.when.at);
            if !due {
                continue;
            }
            active.drawn += 1;
            active.affected.insert(id);
            let to = active.rule.when.to;
            conn.afflict(now, &active.rule.fault, to, to.unwrap_or(Way::ToClient), None);
            self.stirred.insert(id);
            self.did(nth, now, id, None, None);
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

impl Conn {
    /// Carries out a fault of a connection. `to` is the way that the rule names, `way` that of the
    /// frame.
    fn afflict(&mut self, now: Time, fault: &Fault, to: Option<Way>, way: Way, raw: Option<&[u8]>) {
        let ways = || Way::BOTH.into_iter().filter(|way| to.is_none_or(|to| to == *way));
        match fault {
            Fault::Stall(span) => {
                let until = Some(later(now, *span));
                ways().for_each(|way| self.lane(way).close(until));
            }
            Fault::Throttle(rate) => ways().for_each(|way| self.lane(way).pace(now, *rate)),
            Fault::HalfOpen => {
                Way::BOTH.into_iter().for_each(|way| self.lane(way).close(None));
                self.is_half_open = true;
            }
            Fault::Cut(Cut::Rst) => self.ending = Some(Ending::Now),
            Fault::Cut(Cut::Fin) => self.ending = Some(Ending::Finish),
            Fault::Cut(Cut::Inside) => {
                let raw = raw.unwrap_or_default();
                let half = raw.get(..raw.len().div_ceil(2)).unwrap_or_default().to_vec();
                self.lane(way).push(now, half);
                self.ending = Some(Ending::Reset);
            }
            Fault::Cut(Cut::Code(code)) => {
                let close = made(CLOSE, code.to_be_bytes().to_vec(), way);
                self.lane(way).push(now, close);
                self.ending = Some(Ending::Finish);
            }
            _ => {}
        }
    }
}

impl First {
    /// Whether the two are of one room, as far as that is known, and of senders as they should be.
    fn may_change_places(&self, senders: Senders, second: &Meaning) -> bool {
        let rooms = self.room.as_ref().zip(second.room.as_ref());
        let one_room = rooms.is_none_or(|(one, other)| one == other);
        let both = self.sender.as_ref().zip(second.sender.as_ref());
        let right = match senders {
            Senders::Any => true,
            Senders::One => both.is_some_and(|(one, other)| one == other),
            Senders::Two => both.is_some_and(|(one, other)| one != other),
        };
        one_room && right
    }
}

/// The bytes of a frame that nobody sent.
fn made(opcode: u8, payload: Vec<u8>, way: Way) -> Vec<u8> {
    Frame::made(opcode, payload, Some(MASK).filter(|_| way == Way::ToServer)).raw
}
