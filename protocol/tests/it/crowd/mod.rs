//! Random histories of the dialects but `native`: what five clients do, step by step, and what each of
//! them gets at once. For each dialect a judge foresees every frame, from what was sent alone; and
//! each fault is caught, so that a judge that cannot fail is found out.

mod chat;
mod events;
mod project;
mod pusher;
mod rooms;

use std::time::Duration;

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use protocol::{ConnId, Dialect, Ending, Frame, Incoming, Limits, Opening, Reason};
use serde_json::Value;

use crate::faulty::{Fault, What};
use crate::server::Server;

const CLIENTS: usize = 5;

/// What a judge says: nothing, or what is wrong.
type Verdict = Result<(), String>;

/// One thing that one client does, or that happens to all.
#[derive(Clone, Debug, PartialEq)]
enum Does {
    /// It connects, and names a room or none. Nothing, if it is connected.
    Opens(Option<&'static str>),
    /// It sends this text; `$3` stands for the code that client 3 was last told of, in `pusher` for the
    /// id of its connection. It connects first if it has to.
    Says(String),
    /// It sends these bytes.
    Bytes(Vec<u8>),
    /// Its connection ends.
    Ends(Reason),
    /// Somebody publishes this on a channel.
    Publishes(&'static str, String),
    /// The disk on which storage is kept is full from now on, or has room again.
    Disk { full: bool },
    /// Milliseconds pass.
    Waits(u64),
}

type Step = (usize, Does);

/// What happened at one step.
#[derive(Debug, PartialEq)]
struct Happened {
    who: usize,
    does: Does,
    /// How the connection was closed because of it.
    closed: Option<Ending>,
    /// How many have got what was published, as the publisher was told; or the field at fault.
    told: Option<Result<u64, Option<&'static str>>>,
    /// By client: the frames that it got.
    got: Vec<Vec<String>>,
    /// Frames for those whose connection had ended.
    ghosts: usize,
}

/// A dialect, how its histories are made, and who judges them.
#[derive(Clone, Copy)]
struct Game {
    dialect: Dialect,
    steps: fn() -> BoxedStrategy<Vec<Step>>,
    judge: fn(&[Happened]) -> Verdict,
}

const GAMES: [Game; 5] = [project::GAME, events::GAME, rooms::GAME, chat::GAME, pusher::GAME];

struct Run {
    server: Server,
    dialect: Dialect,
    conns: Vec<Option<ConnId>>,
    ended: Vec<ConnId>,
    codes: Vec<String>,
    happened: Vec<Happened>,
}

/// Lets it happen. Says also whether the fault happened, if there was to be one.
fn run(dialect: Dialect, steps: &[Step], fault: Option<Fault>) -> (Vec<Happened>, bool) {
    let limits = Limits { rooms: 3, ..Limits::default() };
    let mut run = Run {
        server: Server::faulty(limits, fault),
        dialect,
        conns: vec![None; CLIENTS],
        ended: Vec::new(),
        codes: vec!["ZZZZZZ".to_owned(); CLIENTS],
        happened: Vec::new(),
    };
    run.server.world.keeps.set(true);
    for (who, does) in steps {
        run.step(*who, does);
    }
    (run.happened, run.server.world.fired())
}

impl Run {
    fn step(&mut self, who: usize, does: &Does) {
        let sends = matches!(does, Does::Says(_) | Does::Bytes(_));
        match (does, self.conns[who]) {
            (Does::Opens(_), Some(_)) | (Does::Ends(_), None) => return,
            (_, None) if sends => self.step(who, &Does::Opens(None)),
            _ => {}
        }
        let (mut closed, mut told) = (None, None);
        let mut does = does.clone();
        match &mut does {
            Does::Opens(room) => {
                let conn = ConnId(self.ended.len() as u64 * 10 + who as u64 + 1);
                let opening = match self.dialect {
                    Dialect::Pusher => pusher::OPENING,
                    _ => Opening::named(*room),
                };
                assert_eq!(self.server.try_open(self.dialect, opening, conn), None);
                self.conns[who] = Some(conn);
            }
            Does::Says(text) => {
                for (client, code) in self.codes.iter().enumerate() {
                    *text = text.replace(&format!("${client}"), code);
                }
                if self.dialect == Dialect::Pusher {
                    *text = pusher::signed(text, &self.codes[who]);
                }
                closed = self.server.send(self.conn(who), Incoming::Text(text));
            }
            Does::Bytes(bytes) => {
                closed = self.server.send(self.conn(who), Incoming::Binary(bytes));
            }
            Does::Ends(reason) => self.server.end(self.conn(who), *reason),
            Does::Publishes(_, body) if self.dialect == Dialect::Pusher => {
                for (client, code) in self.codes.iter().enumerate() {
                    *body = body.replace(&format!("${client}"), code);
                }
                // Who has never been there has an id that nobody has.
                *body = body.replace("ZZZZZZ", "0.0");
                told = Some(pusher::publish(self.server.now(), body, &self.server.world));
            }
            Does::Publishes(channel, body) => {
                let now = self.server.now();
                let result = protocol::events::publish(now, channel, body, &self.server.world);
                told = Some(result.map_err(|error| error.field()));
            }
            Does::Disk { full } => self.server.world.disk_full.set(*full),
            Does::Waits(ms) => self.server.wait(Duration::from_millis(*ms)),
        }
        let got = self.collect();
        if closed.is_some() || matches!(does, Does::Ends(_)) {
            self.ended.extend(self.conns[who].take());
        }
        let ghosts = self.ended.iter().map(|&conn| self.server.world.inner.take(conn).len()).sum();
        self.happened.push(Happened { who, does, closed, told, got, ghosts });
    }

    fn conn(&self, who: usize) -> ConnId {
        self.conns[who].expect("it is connected")
    }

    fn collect(&mut self) -> Vec<Vec<String>> {
        let mut got = Vec::new();
        for (who, conn) in self.conns.iter().enumerate() {
            let frames = conn.map(|conn| self.server.world.inner.take(conn)).unwrap_or_default();
            let texts: Vec<String> = frames.iter().map(shown).collect();
            for text in &texts {
                let frame: Value = serde_json::from_str(text).unwrap_or_default();
                if let Some(code) = frame["room_code"].as_str() {
                    code.clone_into(&mut self.codes[who]);
                }
                if let Some(id) = pusher::socket_id(&frame) {
                    self.codes[who] = id;
                }
            }
            got.push(texts);
        }
        got
    }
}

/// A frame, so that frames of different kinds are different.
fn shown(frame: &Frame) -> String {
    match frame.bytes()[0] {
        0x81 => frame.as_text().to_owned(),
        opcode => format!("{opcode:x}:{:?}", frame.payload()),
    }
}

fn ensure(fact: bool, otherwise: impl FnOnce() -> String) -> Verdict {
    if fact { Ok(()) } else { Err(otherwise()) }
}

/// Judges step by step: `judge` says what each client must get at a step, as [`same`] has it.
fn foreseen(
    happened: &[Happened],
    mut foresee: impl FnMut(&Happened) -> Result<Vec<Vec<Value>>, String>,
) -> Verdict {
    for step in happened {
        let wrong = |why: String| format!("{why}\nat {step:#?}");
        ensure(step.ghosts == 0, || wrong("frames after the end".to_owned()))?;
        let expected = foresee(step).map_err(wrong)?;
        for (who, (expected, got)) in expected.iter().zip(&step.got).enumerate() {
            let mut values = Vec::new();
            for text in got {
                values.push(serde_json::from_str(text).map_err(|error| wrong(error.to_string()))?);
            }
            let as_foreseen =
                expected.len() == values.len() && expected.iter().zip(&values).all(same);
            ensure(as_foreseen, || wrong(format!("{who} was to get {expected:#?}")))?;
        }
    }
    Ok(())
}

/// Nothing for anybody.
fn nothing() -> Vec<Vec<Value>> {
    vec![Vec::new(); CLIENTS]
}

/// Whether a frame is as foreseen, where `"*"` is any string but the empty one.
fn same((expected, got): (&Value, &Value)) -> bool {
    match (expected, got) {
        (Value::String(any), Value::String(got)) if any == "*" => !got.is_empty(),
        (Value::Object(expected), Value::Object(got)) => {
            expected.len() == got.len()
                && expected
                    .iter()
                    .all(|(key, value)| got.get(key).is_some_and(|got| same((value, got))))
        }
        (Value::Array(expected), Value::Array(got)) => {
            expected.len() == got.len() && expected.iter().zip(got).all(same)
        }
        _ => expected == got,
    }
}

/// Who does something: any client.
fn who() -> std::ops::Range<usize> {
    0..CLIENTS
}

fn ends() -> impl Strategy<Value = Does> {
    let reasons = vec![Reason::Closed, Reason::Timeout, Reason::Slow, Reason::Evicted];
    prop::sample::select(reasons).prop_map(Does::Ends)
}

fn says(text: impl Into<String>) -> Does {
    Does::Says(text.into())
}

#[test]
fn every_history_is_as_foreseen_and_is_the_same_again() {
    for game in GAMES {
        let config = ProptestConfig { cases: 200, failure_persistence: None, ..Default::default() };
        let result = TestRunner::new(config).run(&(game.steps)(), |steps| {
            let (happened, _) = run(game.dialect, &steps, None);
            (game.judge)(&happened).map_err(TestCaseError::fail)?;
            prop_assert!(run(game.dialect, &steps, None).0 == happened, "not the same again");
            Ok(())
        });
        if let Err(error) = result {
            panic!("{}: {error}", game.dialect.name());
        }
    }
}

/// Histories that are the same in each run of the tests.
fn samples(game: Game, count: usize) -> impl Iterator<Item = Vec<Step>> {
    let mut runner = TestRunner::deterministic();
    (0..count)
        .map(move |_| (game.steps)().new_tree(&mut runner).expect("steps can be made").current())
}

#[test]
fn the_histories_come_to_all_that_is_judged() {
    for (game, parts) in [
        (project::GAME, project::COMES_TO),
        (events::GAME, events::COMES_TO),
        (rooms::GAME, rooms::COMES_TO),
        (chat::GAME, chat::COMES_TO),
        (pusher::GAME, pusher::COMES_TO),
    ] {
        let mut seen = String::new();
        for steps in samples(game, 60) {
            let (happened, _) = run(game.dialect, &steps, None);
            seen.extend(
                happened.into_iter().flat_map(|step| step.got).flatten().map(|it| it + "\n"),
            );
        }
        for part in parts {
            let times = seen.matches(part).count();
            assert!(times >= 5, "{}: {part} only {times} times", game.dialect.name());
        }
    }
}

#[test]
fn every_fault_is_caught() {
    const EACH: [What; 4] = [What::Drop, What::Duplicate, What::Swap, What::Leak];
    let mut survivors = Vec::new();
    for (game, types, corrupt, others) in [
        (project::GAME, &[""][..], &[""][..], &[][..]),
        (events::GAME, events::TYPES, &["event"], &[What::SameIds]),
        (
            rooms::GAME,
            rooms::TYPES,
            &["PresenceUpdated", "StorageUpdated"],
            &[What::SameIds, What::KeepLess, What::KeepNothing],
        ),
        (chat::GAME, chat::TYPES, &["chat", "room_joined"], &[What::SameIds]),
        (
            pusher::GAME,
            pusher::TYPES,
            &["client-x", "said", "pusher_internal:member_added"],
            &[What::SameIds],
        ),
    ] {
        let each = types.iter().flat_map(|&on| EACH.map(|what| Fault { what, on, after: 1 }));
        let corrupt = corrupt.iter().map(|&on| Fault { what: What::Corrupt, on, after: 1 });
        let others = others.iter().map(|&what| Fault { what, on: "none", after: 0 });
        for fault in each.chain(corrupt).chain(others) {
            let (mut caught, mut fired) = (0, 0);
            for steps in samples(game, 40) {
                let (happened, has_fired) = run(game.dialect, &steps, Some(fault));
                fired += u32::from(has_fired);
                caught += u32::from(has_fired && (game.judge)(&happened).is_err());
            }
            // What leaks may leak to nobody, and what was not kept may not be asked for again.
            if fired < 5 || caught * 3 < fired {
                let name = game.dialect.name();
                survivors.push(format!("{name} {fault:?}: caught {caught} of {fired}"));
            }
        }
    }
    assert!(survivors.is_empty(), "{survivors:#?}");
}
