//! A modelled server's timers, frames and endings: clients that answer or keep silent, in virtual
//! time; correct but for one fault.

use harness::observe::{ClientId, Ending, Observation, Time, What};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

/// The server pings so often, and drops who was silent for so long at its next tick.
pub(crate) const EVERY_US: u64 = 2_000_000;
pub(crate) const TIMEOUT_US: u64 = 4_000_000;

/// What goes wrong, at one client.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Slip {
    None,
    /// Pings are left out, or come too often.
    NoPing,
    Pings,
    /// A silent one is dropped too early, too late, never; a living one is dropped.
    Early,
    Late,
    Never,
    Living,
    /// A connection is closed without need, with and without a Close frame.
    Closed,
    Cut,
    /// A frame that it should not have got.
    Malformed,
    Garbled,
    Unknown,
    Complaint,
    /// Something is not answered.
    NoGreeting,
    NoReply,
    /// The target's process ends, or stops answering: this the end of the run tells.
    Died,
    Unresponsive,
}

pub(crate) const SLIPS: [Slip; 17] = [
    Slip::None,
    Slip::NoPing,
    Slip::Pings,
    Slip::Early,
    Slip::Late,
    Slip::Never,
    Slip::Living,
    Slip::Closed,
    Slip::Cut,
    Slip::Malformed,
    Slip::Garbled,
    Slip::Unknown,
    Slip::Complaint,
    Slip::NoGreeting,
    Slip::NoReply,
    Slip::Died,
    Slip::Unresponsive,
];

/// Until when a history goes on.
pub(crate) const END_US: u64 = 60_000_000;

/// One client's life, as a list of its own.
struct Life {
    rng: StdRng,
    client: ClientId,
    seen: Vec<Observation>,
    slip: Slip,
}

/// What so many clients saw, of whom one suffers the fault.
pub(crate) fn play(clients: u32, slip: Slip, seed: u64) -> Vec<Observation> {
    let mut rng = StdRng::seed_from_u64(seed);
    let victim = rng.random_range(0..clients);
    let mut all: Vec<Observation> = Vec::new();
    for client in 0..clients {
        let slip = if client == victim { slip } else { Slip::None };
        let rng = StdRng::seed_from_u64(rng.random());
        let mut life = Life { rng, client: ClientId(client), seen: Vec::new(), slip };
        life.live();
        all.extend(life.seen);
    }
    all.sort_by_key(|seen| seen.at);
    all
}

impl Life {
    fn see(&mut self, at: u64, what: What) {
        if at < END_US {
            self.seen.push(Observation { at: Time(at), client: self.client, what });
        }
    }

    fn below(&mut self, most: u64) -> u64 {
        self.rng.random_range(0..most)
    }

    /// One connection after the other.
    fn live(&mut self) {
        let mut at = self.below(3_000_000);
        while at < END_US {
            at = self.connection(at) + 100_000 + self.below(4_000_000);
        }
        self.seen.sort_by_key(|seen| seen.at);
        self.spoil();
    }

    /// One connection; says when it ended.
    fn connection(&mut self, opened: u64) -> u64 {
        self.see(opened, What::Opened { connection: None });
        let answers = self.below(12);
        let silent = self.rng.random_bool(0.5);
        let ends = opened + (1 + answers) * EVERY_US;
        let mut tick = opened + self.below(100_000);
        let mut answered = opened;
        let slip = self.slip;
        while tick < ends {
            let left_out = slip == Slip::NoPing && (tick - opened) / EVERY_US % 6 == 3;
            self.ping(tick, true);
            answered = tick;
            tick += if slip == Slip::Pings && answers > 3 { EVERY_US / 3 } else { EVERY_US };
            tick += if left_out { 2 * EVERY_US + 400_000 } else { 0 };
        }
        // The server hears the last answer when it was sent, or a little later.
        let heard = answered + self.below(60_000);
        if !silent {
            let at = heard + 100_000 + self.below(300_000);
            if slip == Slip::Living && answers > 2 {
                return self.close(at, false, Some(4000), true);
            }
            return self.close(at, true, None, true);
        }
        let from = answered + 100_000;
        self.see(from, What::Pongs(false));
        let due = heard + TIMEOUT_US + self.below(EVERY_US);
        let dropped = match slip {
            Slip::Early => heard + 300_000 + self.below(TIMEOUT_US - 700_000),
            Slip::Late => heard + TIMEOUT_US + EVERY_US + 400_000 + self.below(EVERY_US),
            Slip::Never => END_US + 1,
            _ => due,
        };
        while tick < dropped.min(END_US) {
            if tick > from {
                self.ping(tick, false);
            }
            tick += EVERY_US;
        }
        self.close(dropped, false, Some(4000), true)
    }

    fn ping(&mut self, tick: u64, answers: bool) {
        // Two kinds of ping at one tick are one.
        let at = tick + self.below(60_000);
        self.see(at, What::Ping);
        if self.rng.random_range(0..4) == 0 {
            self.see(at + 10, What::Ping);
        }
        if answers {
            self.see(at + 20, What::Spoke);
        }
    }

    fn close(&mut self, at: u64, asked: bool, code: Option<u16>, clean: bool) -> u64 {
        self.see(at, What::Closed(Ending { asked, code, reason: "".into(), clean }));
        at
    }

    /// Adds what is no matter of time.
    fn spoil(&mut self) {
        let text = || "x".into();
        let what = match self.slip {
            Slip::Malformed => What::Malformed { fact: text() },
            Slip::Garbled => What::Garbled { fact: text() },
            Slip::Unknown => What::Unknown { text: text() },
            Slip::Complaint => What::Complaint { code: text() },
            Slip::NoGreeting => What::Unanswered { verb: "open".into() },
            Slip::NoReply => What::Unanswered { verb: "join".into() },
            _ => {
                let cut = match self.slip {
                    Slip::Closed => {
                        Ending { asked: false, code: Some(1011), reason: text(), clean: true }
                    }
                    Slip::Cut => Ending { asked: false, code: None, reason: text(), clean: false },
                    _ => return,
                };
                return self.end_otherwise(&cut);
            }
        };
        let at = self.rng.random_range(0..self.seen.len());
        let (time, client) =
            (self.seen.get(at).map(|seen| seen.at).unwrap_or_default(), self.client);
        self.seen.insert(at, Observation { at: time, client, what });
    }

    /// Some endings that were asked for were not; of some of them a step of the scenario knew.
    fn end_otherwise(&mut self, ending: &Ending) {
        let mut seen = Vec::new();
        for it in std::mem::take(&mut self.seen) {
            let asked = matches!(&it.what, What::Closed(ending) if ending.asked);
            if asked && self.rng.random_bool(0.5) {
                seen.push(Observation { what: What::Closed(ending.clone()), ..it.clone() });
                if self.rng.random_bool(0.3) {
                    seen.push(Observation { what: What::Foreseen, ..it });
                }
            } else {
                seen.push(it);
            }
        }
        self.seen = seen;
    }
}
