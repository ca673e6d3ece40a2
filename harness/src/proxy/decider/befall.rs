//! How rules take effect: on frames, and on connections.

use std::time::Duration;

use super::{Conn, Decider, Ending, TEXT};
use crate::observe::Time;
use crate::plan::mix;
use crate::proxy::cutter::{Frame, Gap};
use crate::proxy::fault;
use crate::proxy::lane::{First, PATIENCE, later};
use crate::proxy::meaning::Meaning;
use crate::proxy::rule::{After, Cut, Fault, Reach, Senders, Way};
use crate::proxy::who::ConnId;

const CLOSE: u8 = 8;
/// Frames that nobody sent are masked with this on their way to the server.
const MASK: [u8; 4] = [0; 4];

/// What becomes of a frame that no rule has kept back.
pub(super) struct Fate {
    pub(super) frame: Frame,
    pub(super) delay: Duration,
    pub(super) behind: Vec<Vec<u8>>,
    pub(super) later: Vec<(Vec<u8>, After)>,
}

impl Decider {
    /// Whether a rule befalls this frame.
    pub(super) fn fires(
        &mut self,
        nth: usize,
        id: ConnId,
        way: Way,
        opcode: u8,
        meaning: &Meaning,
    ) -> bool {
        let (Some(active), Some(conn)) = (self.rules.get_mut(nth), self.conns.get_mut(&id)) else {
            return false;
        };
        let once = active.rule.is_immediate() || active.affected.contains(&id);
        if once || !active.concerns(way, id, &conn.who, opcode, meaning) {
            return false;
        }
        let key = conn.who.key(id);
        let lane = conn.lane(way);
        if matches!(active.rule.fault, Fault::Swap(_)) && lane.first.is_some() {
            // One at a time changes places.
            return false;
        }
        if lane.armed == Some(nth) {
            lane.armed = None;
            return true;
        }
        active.draws(self.seed, key, way)
    }

    /// Carries a fault out; says whether the frame goes on.
    pub(super) fn befall(
        &mut self,
        nth: usize,
        now: Time,
        (id, way): (ConnId, Way),
        fate: &mut Fate,
        meaning: &Meaning,
    ) -> bool {
        let Some(active) = self.rules.get(nth) else { return true };
        let (fault, to) = (active.rule.fault.clone(), active.rule.when.to);
        let drawn = mix(self.seed ^ mix(active.seen) ^ nth as u64);
        let Some(conn) = self.conns.get_mut(&id) else { return true };
        let before = fate.frame.clone();
        let mut note = None;
        let goes_on = match &fault {
            Fault::Swap(_) => {
                let (sender, room) = (meaning.sender.clone(), meaning.room.clone());
                let until = later(now, PATIENCE);
                conn.lane(way).first =
                    Some(First { rule: nth, frame: before, sender, room, until });
                // It is told when the second is there.
                return false;
            }
            Fault::Hold(after) => {
                conn.lane(way).hold(now, before.raw.clone(), *after);
                false
            }
            Fault::Misroute(reach) => {
                let room = meaning.room.as_deref();
                let Some(other) = self.astray(now, (id, way), &before, room, drawn) else {
                    // There is nobody whom it could reach.
                    self.rules.get_mut(nth).into_iter().for_each(|active| active.drawn -= 1);
                    return true;
                };
                if let Some(conn) = self.conns.get_mut(&other) {
                    conn.lane(way).push(now, before.raw.clone());
                }
                self.stirred.insert(other);
                note = Some(format!("to #{other}"));
                *reach == Reach::Copy
            }
            Fault::Stall(_) | Fault::Cut(_) | Fault::HalfOpen | Fault::Throttle(_) => {
                conn.afflict(now, &fault, to, way, Some(&before.raw));
                let lasts = matches!(fault, Fault::HalfOpen | Fault::Throttle(_));
                let active = self.rules.get_mut(nth).filter(|_| lasts);
                active.into_iter().for_each(|active| active.affected.extend([id]));
                !matches!(fault, Fault::Cut(_))
            }
            of_frame => fate.suffer(of_frame, way, meaning, drawn),
        };
        self.did(nth, now, id, Some((way, &before)), note);
        goes_on
    }

    /// A message is behind one that waits for it: they change places if they may; if they are not of the
    /// kind, the first goes on and the next will be the first. Gives the message back where it is not
    /// used up.
    pub(super) fn second(
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
        let match_of = self.rules.get(rule).and_then(|active| {
            let Fault::Swap(senders) = active.rule.fault else { return None };
            let alike = active.concerns(way, id, &conn.who, frame.opcode, meaning);
            // Answers have no place in the order of what is said.
            let goes_by = senders == Senders::One && meaning.is_answer();
            let other = Some(Match::Overtakes).filter(|_| goes_by);
            if alike { Some(first.match_with(senders, meaning)) } else { other }
        });
        let lane = conn.lane(way);
        match match_of {
            Some(Match::Good) => {
                lane.push(now, frame.raw);
                lane.push(now, first.frame.raw.clone());
                lane.overtaken(now);
                lane.overtaken(now);
                self.did(rule, now, id, Some((way, &first.frame)), None);
                None
            }
            Some(Match::Overtakes) => {
                lane.first = Some(first);
                Some(frame)
            }
            Some(Match::Bad) | None => {
                lane.armed = Some(rule);
                lane.push(now, first.frame.raw);
                lane.overtaken(now);
                Some(frame)
            }
        }
    }

    /// Where a frame goes that goes astray: to somebody in another room where rooms are known, who has
    /// place for it and is not in the middle of another frame.
    fn astray(
        &self,
        now: Time,
        (id, way): (ConnId, Way),
        frame: &Frame,
        room: Option<&str>,
        drawn: u64,
    ) -> Option<ConnId> {
        let elsewhere = |(other, conn): &(&ConnId, &Conn)| {
            let outside = room.is_none_or(|room| !conn.rooms.contains(room));
            let takes = conn.is_open
                && conn.ending.is_none()
                && conn.lane_of(way).takes_in(now, &frame.raw);
            **other != id && takes && outside
        };
        let count = self.conns.iter().filter(elsewhere).count() as u64;
        let nth = usize::try_from(drawn.checked_rem(count)?).ok()?;
        self.conns.iter().filter(elsewhere).nth(nth).map(|(id, _)| *id)
    }

    /// Rules that are about connections rather than frames take effect.
    pub(super) fn immediately(&mut self, now: Time, id: ConnId) {
        for nth in 0..self.rules.len() {
            let Some(conn) = self.conns.get_mut(&id).filter(|conn| conn.is_open) else { return };
            let Some(active) = self.rules.get_mut(nth) else { return };
            let to = active.rule.when.to;
            let way = to.unwrap_or(Way::ToClient);
            // A Close frame does not come inside of another.
            let waits = matches!(active.rule.fault, Fault::Cut(Cut::Code(_)));
            let waits = waits && conn.lane_of(way).gap == Gap::None;
            let due = active.rule.is_immediate()
                && !waits
                && !active.is_spent()
                && !active.affected.contains(&id)
                && conn.ending.is_none()
                && conn.who.is_among(id, &active.rule.when.at);
            if !due {
                continue;
            }
            active.drawn += 1;
            active.affected.insert(id);
            conn.afflict(now, &active.rule.fault, to, way, None);
            self.stirred.insert(id);
            self.did(nth, now, id, None, None);
        }
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

/// What a message is to one that waits for another to change places with.
enum Match {
    /// That other one.
    Good,
    /// It goes by meanwhile.
    Overtakes,
    /// Nothing that may go by: the order of these two is not what is to be disturbed.
    Bad,
}

impl First {
    fn match_with(&self, senders: Senders, second: &Meaning) -> Match {
        let rooms = self.room.as_ref().zip(second.room.as_ref());
        if rooms.is_some_and(|(one, other)| one != other) {
            return Match::Overtakes;
        }
        let both = self.sender.as_ref().zip(second.sender.as_ref());
        match (senders, both.map(|(one, other)| one == other)) {
            (Senders::Any, _) | (Senders::One, Some(true)) | (Senders::Two, Some(false)) => {
                Match::Good
            }
            // One sender's next message may be far behind those of others.
            (Senders::One, Some(false)) => Match::Overtakes,
            _ => Match::Bad,
        }
    }
}

/// The bytes of a frame that nobody sent.
fn made(opcode: u8, payload: Vec<u8>, way: Way) -> Vec<u8> {
    Frame::made(opcode, payload, Some(MASK).filter(|_| way == Way::ToServer)).raw
}

impl Fate {
    /// Nothing has happened to it so far.
    pub(super) fn of(frame: Frame) -> Self {
        Self { frame, delay: Duration::ZERO, behind: Vec::new(), later: Vec::new() }
    }

    /// Carries out a fault of the frame itself; says whether it goes on.
    fn suffer(&mut self, fault: &Fault, way: Way, meaning: &Meaning, drawn: u64) -> bool {
        match fault {
            Fault::Drop => return false,
            Fault::Duplicate(After::Messages(0)) => self.behind.push(self.frame.raw.clone()),
            Fault::Duplicate(after) => self.later.push((self.frame.raw.clone(), *after)),
            Fault::Delay(span) => self.delay += *span,
            Fault::Corrupt(what) => {
                fault::corrupt(&mut self.frame, *what, meaning.words.as_deref(), drawn);
            }
            Fault::Truncate(bytes) => fault::truncate(&mut self.frame, *bytes),
            Fault::Inject(text) => self.behind.push(made(TEXT, text.clone().into_bytes(), way)),
            _ => {}
        }
        true
    }
}
