//! Frames, replies and endings that the protocol does not allow: the check `protocol`.

use std::collections::BTreeMap;

use super::{Check, Class, End, Finding, Findings, GRACE_US, PROTOCOL, Profile, UNKNOWN};
use crate::observe::{ClientId, Ending, Observation, Time, What};
use crate::plan::{ChecksPlan, Level};

/// Endings kept until the end decides whether they were the target's own end.
const ENDINGS_MAX: usize = 10_000;

/// Judges single frames and endings.
#[derive(Debug)]
pub(super) struct Protocol {
    unknown: Level,
    heartbeat: bool,
    /// Single replies and endings are judged; else only what breaks RFC 6455.
    manners: bool,
    silent: BTreeMap<ClientId, Silent>,
    /// Endings that nobody asked for, by client, oldest first; and how many.
    ended: BTreeMap<ClientId, Vec<(Time, Finding)>>,
    endings: usize,
    judged: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Silent {
    pongs_off: bool,
    reads_off: bool,
}

impl Protocol {
    pub(super) fn make(plan: &ChecksPlan, profile: &Profile) -> Option<Box<dyn Check>> {
        Some(Box::new(Self {
            unknown: plan.unknown_messages,
            heartbeat: profile.heartbeat.is_some() && plan.heartbeat.is_some(),
            manners: plan.manners,
            silent: BTreeMap::new(),
            ended: BTreeMap::new(),
            endings: 0,
            judged: 0,
        }))
    }

    fn closed(&mut self, at: Time, client: ClientId, ending: &Ending) {
        let silent = self.silent.remove(&client).unwrap_or_default();
        // Who keeps silent or does not read is dropped rightly; when, other checks ask.
        let provoked = silent.pongs_off || silent.reads_off;
        let timed_out = self.heartbeat && matches!(ending.code, Some(4000 | 4201 | 4202));
        if ending.asked || provoked || timed_out || self.endings >= ENDINGS_MAX {
            return;
        }
        let reason = &ending.reason;
        let (class, detail) = match (ending.clean, ending.code) {
            (true, Some(code)) => (Class::Close, format!("closed with {code} {reason}")),
            (true, None) => (Class::Close, format!("closed without a code {reason}")),
            (false, _) => (Class::Killed, format!("ended without a Close frame: {reason}")),
        };
        let finding = Finding::new(PROTOCOL, class, at, detail).client(client);
        self.ended.entry(client).or_default().push((at, finding));
        self.endings += 1;
    }
}

impl Check for Protocol {
    fn name(&self) -> &'static str {
        PROTOCOL
    }

    fn observe(&mut self, seen: &Observation, found: &mut Findings) {
        let (at, client) = (seen.at, seen.client);
        let mut say = |class, detail: String| {
            found.push(Finding::new(PROTOCOL, class, at, detail).client(client));
        };
        match &seen.what {
            What::Unknown { text } if self.unknown != Level::Off => {
                let detail = format!("a frame that the dialect does not know: {text}");
                found.push(Finding::new(UNKNOWN, Class::Framing, at, detail).client(client));
            }
            What::Malformed { fact } => say(Class::Framing, fact.to_string()),
            What::Garbled { .. }
            | What::Complaint { .. }
            | What::Unanswered { .. }
            | What::Closed(_)
                if !self.manners => {}
            What::Garbled { fact } => say(Class::Framing, fact.to_string()),
            What::Complaint { code } => {
                say(Class::Reply, format!("an error that answers nothing: {code}"));
            }
            What::Unanswered { verb } => {
                let greeting = matches!(&**verb, "open" | "welcome");
                let class = if greeting { Class::Greeting } else { Class::Reply };
                say(class, format!("no answer to {verb}"));
            }
            What::Pongs(on) => self.silent.entry(client).or_default().pongs_off = !on,
            What::Reads(on) => self.silent.entry(client).or_default().reads_off = !on,
            What::Opened { .. } => self.judged += 1,
            What::Foreseen => drop(self.ended.get_mut(&client).and_then(Vec::pop)),
            What::Closed(ending) => self.closed(at, client, ending),
            _ => self.judged += 1,
        }
    }

    fn conclude(&mut self, end: &End, found: &mut Findings) -> u64 {
        let silence = end.died.into_iter().chain(end.unresponsive).min();
        if let Some(at) = end.died {
            found.push(Finding::new(PROTOCOL, Class::Killed, at, "the target died"));
        } else if let Some(at) = end.unresponsive {
            let detail = "the target stopped answering";
            found.push(Finding::new(PROTOCOL, Class::Unresponsive, at, detail));
        }
        for (at, finding) in std::mem::take(&mut self.ended).into_values().flatten() {
            // Connections end a moment before the harness learns that the process did.
            let with_target = silence.is_some_and(|s| at.0 + GRACE_US >= s.0);
            if !with_target && !end.interrupted {
                found.push(finding);
            }
        }
        self.judged
    }
}

/// Frames that the dialect does not know, as a check of its own: the plan may only warn of them.
#[derive(Debug, Default)]
pub(super) struct Unknown {
    judged: u64,
}

impl Unknown {
    pub(super) fn make(_: &ChecksPlan, _: &Profile) -> Option<Box<dyn Check>> {
        Some(Box::new(Self::default()))
    }
}

impl Check for Unknown {
    fn name(&self) -> &'static str {
        UNKNOWN
    }

    fn observe(&mut self, seen: &Observation, _: &mut Findings) {
        let frames = matches!(
            seen.what,
            What::Received { .. } | What::Entered(_) | What::Joined { .. } | What::Unknown { .. }
        );
        self.judged += u64::from(frames);
    }

    fn conclude(&mut self, _: &End, _: &mut Findings) -> u64 {
        self.judged
    }
}
