//! Pings, timeouts, frames and endings: `heartbeat`, `protocol`, `unknown_messages`.

use std::cell::RefCell;
use std::time::Duration;

use harness::check::{Class, End, Judge, Profile};
use harness::dialect::Heartbeat;
use harness::observe::{ClientId, Ending, Observation, Time, What};
use harness::plan::{ChecksPlan, Level};
use proptest::prelude::*;

use super::past::{Opinion, story};
use super::tally::{Tally, found};
use super::{Told, play_until};
use crate::world::pulse::{self, END_US, EVERY_US, SLIPS, Slip, TIMEOUT_US};

/// Scheduling on both sides may add this.
const SLACK_US: u64 = 250_000;
/// Connections end a moment before the harness learns that the target did.
const GRACE_US: u64 = 1_000_000;
/// The codes with which silence is answered.
const SILENCE: [u16; 3] = [4000, 4201, 4202];

const MADE_FOR: [Told; 9] = [
    ("heartbeat", Class::Ping),
    ("heartbeat", Class::Timeout),
    ("protocol", Class::Greeting),
    ("protocol", Class::Reply),
    ("protocol", Class::Killed),
    ("protocol", Class::Close),
    ("protocol", Class::Framing),
    ("protocol", Class::Unresponsive),
    ("unknown_messages", Class::Framing),
];

/// What a client saw between an opening and the end of that connection.
struct Line<'a> {
    opened: u64,
    seen: Vec<&'a Observation>,
    ending: Option<(u64, &'a Ending)>,
}

fn lines(history: &[Observation], client: ClientId) -> Vec<Line<'_>> {
    let mut lines: Vec<Line<'_>> = Vec::new();
    for it in history.iter().filter(|it| it.client == client) {
        if matches!(it.what, What::Opened { .. }) {
            lines.push(Line { opened: it.at.0, seen: Vec::new(), ending: None });
        }
        let Some(line) = lines.last_mut().filter(|line| line.ending.is_none()) else { continue };
        line.seen.push(it);
        if let What::Closed(ending) = &it.what {
            line.ending = Some((it.at.0, ending));
        }
    }
    lines
}

impl Line<'_> {
    /// Whether the client answers at this time.
    fn answers(&self, at: u64) -> bool {
        let told = self.seen.iter().rev().filter(|it| it.at.0 <= at);
        let last = told.clone().find_map(|it| match it.what {
            What::Pongs(on) => Some(on),
            _ => None,
        });
        last.unwrap_or(true)
    }

    /// When pings came; two at one tick are one.
    fn pings(&self) -> Vec<u64> {
        let mut pings: Vec<u64> = Vec::new();
        for it in self.seen.iter().filter(|it| matches!(it.what, What::Ping)) {
            if pings.last().is_none_or(|last| it.at.0 - last >= EVERY_US / 4) {
                pings.push(it.at.0);
            }
        }
        pings
    }

    /// "pings are missing, early or late": to a client that answers, never more than two ticks
    /// without one; and never more than one ahead of all ticks since the first.
    fn pings_wrongly(&self) -> bool {
        let pings = self.pings();
        let until = self.ending.map_or(END_US, |(at, _)| at);
        let times = std::iter::once(self.opened).chain(pings.iter().copied());
        let nexts = pings.iter().copied().chain(std::iter::once(until));
        let late = times
            .zip(nexts)
            .any(|(from, to)| to - from > 2 * EVERY_US + SLACK_US && self.answers(to));
        let early = pings.iter().enumerate().any(|(n, at)| {
            let (due, passed) = (n as u64 * EVERY_US, at - pings[0]);
            due.saturating_sub(passed) > EVERY_US + SLACK_US
        });
        late || early
    }

    /// "a silent client was dropped early, late, never, or a living one was". Early counts from the
    /// last ping that it got and answered, late from the last frame that it sent.
    fn is_dropped_wrongly(&self) -> bool {
        let until = self.ending.map_or(END_US, |(at, _)| at);
        let last = |is: &dyn Fn(&Observation) -> bool| {
            let mine = self.seen.iter().filter(|it| is(it)).map(|it| it.at.0);
            mine.max().unwrap_or(self.opened)
        };
        let spoke = last(&|it| matches!(it.what, What::Spoke));
        let answered = last(&|it| matches!(it.what, What::Ping) && self.answers(it.at.0));
        let overdue = until - spoke > TIMEOUT_US + EVERY_US + SLACK_US;
        match self.ending {
            Some((_, ending)) if ending.asked => false,
            Some((_, ending)) if self.answers(until) => {
                let silence = ending.code.is_some_and(|code| SILENCE.contains(&code));
                silence && until - spoke < TIMEOUT_US
            }
            Some(_) => until - answered + SLACK_US < TIMEOUT_US || overdue,
            None => !self.answers(until) && overdue,
        }
    }
}

fn opinion(history: &[Observation], clients: u32, end: &End) -> Opinion {
    let mut opinion = Opinion::default();
    for client in (0..clients).map(ClientId) {
        let lines = lines(history, client);
        let dies = end.died.is_some() || end.unresponsive.is_some();
        for line in &lines {
            // What the target's own end has cut short is judged up to there only.
            if dies && line.ending.is_none() {
                continue;
            }
            if line.pings_wrongly() {
                opinion.tell(("heartbeat", Class::Ping));
            }
            if line.is_dropped_wrongly() {
                opinion.tell(("heartbeat", Class::Timeout));
            }
            endings(history, client, line, end, &mut opinion);
        }
    }
    for it in history {
        // "a frame that breaks the protocol", "a reply is missing, wrong, or somebody else's",
        // "the greeting is missing or wrong"
        let told = match &it.what {
            What::Malformed { .. } | What::Garbled { .. } => ("protocol", Class::Framing),
            What::Unknown { .. } => ("unknown_messages", Class::Framing),
            What::Complaint { .. } => ("protocol", Class::Reply),
            What::Unanswered { verb } if **verb == *"open" => ("protocol", Class::Greeting),
            What::Unanswered { .. } => ("protocol", Class::Reply),
            _ => continue,
        };
        opinion.tell(told);
    }
    if end.died.is_some() {
        opinion.tell(("protocol", Class::Killed));
    } else if end.unresponsive.is_some() {
        opinion.tell(("protocol", Class::Unresponsive));
    }
    opinion
}

/// "a connection was closed without need", "died of something recoverable": nobody asked for it, no
/// step knew of it, the client had not kept silent, and the target lived on.
fn endings(
    history: &[Observation],
    client: ClientId,
    line: &Line<'_>,
    end: &End,
    opinion: &mut Opinion,
) {
    let Some((at, ending)) = line.ending.filter(|(_, ending)| !ending.asked) else { return };
    let mut later = history.iter().filter(|it| it.client == client && it.at.0 >= at);
    let foreseen = later
        .by_ref()
        .skip_while(|it| !matches!(it.what, What::Closed(_)))
        .nth(1)
        .is_some_and(|it| matches!(it.what, What::Foreseen));
    let silence = ending.code.is_some_and(|code| SILENCE.contains(&code));
    let with_target =
        end.died.or(end.unresponsive).is_some_and(|silence| at + GRACE_US >= silence.0);
    if foreseen || silence || with_target || !line.answers(at) {
        return;
    }
    let class = if ending.clean { Class::Close } else { Class::Killed };
    opinion.tell(("protocol", class));
}

fn judged(history: &[Observation], end: &End) -> Judge {
    let every = Duration::from_micros(EVERY_US);
    let heartbeat = Heartbeat { every, timeout: Duration::from_micros(TIMEOUT_US) };
    let checks = ChecksPlan {
        heartbeat: Some(Duration::from_micros(SLACK_US)),
        unknown_messages: Level::Fail,
        ..crate::world::plan()
    };
    let mut judge = Judge::new(&checks, Profile::new(&checks, Some(heartbeat), false), 8);
    for seen in history {
        judge.observe(seen);
    }
    judge.conclude(end);
    judge
}

fn check((clients, slip): (u32, Slip), seed: u64, tally: &mut Tally) -> Result<(), String> {
    let mut history = pulse::play(clients, slip, seed);
    let mut end = End { at: Time(END_US), settled: true, ..End::default() };
    if matches!(slip, Slip::Died | Slip::Unresponsive) {
        let at = Time(END_US / 2 + seed % 1_000_000);
        history.retain(|seen| seen.at < at);
        (end.at, end.settled) = (at, false);
        match slip {
            Slip::Died => end.died = Some(at),
            _ => end.unresponsive = Some(at),
        }
    }
    let judge = judged(&history, &end);
    let opinion = opinion(&history, clients, &end);
    tally.compare(&opinion, &found(&judge)).map_err(|difference| {
        let told: Vec<_> = judge.findings().kept().iter().take(5).collect();
        let story = story(&history);
        format!("{story}seed {seed} {slip:?} }}: {difference}\n{opinion:?}\n{told:?}")
    })
}

#[test]
fn timers_and_frames_get_the_same_verdict_from_both() {
    let tally = RefCell::new(Tally::default());
    for slip in SLIPS {
        let strategy = (any::<u64>(), (1_u32..4).prop_map(move |clients| (clients, slip)));
        let made_for: &[Told] = match slip {
            Slip::Closed => &[("protocol", Class::Close)],
            Slip::Cut => &[("protocol", Class::Killed)],
            _ => &[],
        };
        play_until(&format!("{slip:?}"), &tally, made_for, 40, &strategy, |shape, seed| {
            check(*shape, seed, &mut tally.borrow_mut())
        });
    }
    tally.borrow().print("timers and frames");
    tally.borrow().covers(&MADE_FOR, 30);
}
