//! A reader that stops delays nobody else: the check `slow`.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use super::numbered::Mix;
use super::{Check, Class, End, Finding, Findings, Profile, SLACK, SLOW};
use crate::latency::STALL_LIMIT;
use crate::observe::{ClientId, MessageId, Observation, Time, What};
use crate::plan::ChecksPlan;

/// Messages followed at a time, and late deliveries kept.
const FOLLOWED_MAX: usize = 100_000;

/// Measures the delays of the others while somebody does not read.
#[derive(Debug)]
pub(super) struct Slow {
    limit: Duration,
    stuck: BTreeSet<ClientId>,
    /// Since when those read again that had stopped: what was sent before then waited for themselves.
    awake: BTreeMap<ClientId, Time>,
    /// When each message was sent, and whether somebody did not read then.
    sent: HashMap<MessageId, (Time, bool), Mix>,
    /// The worst delay while everybody read: what this machine and this target need anyway.
    usual: Duration,
    late: Vec<(Duration, Finding)>,
    judged: u64,
}

impl Slow {
    pub(super) fn make(plan: &ChecksPlan, _: &Profile) -> Option<Box<dyn Check>> {
        Some(Box::new(Self {
            limit: plan.slow?,
            stuck: BTreeSet::new(),
            awake: BTreeMap::new(),
            sent: HashMap::default(),
            usual: Duration::ZERO,
            late: Vec::new(),
            judged: 0,
        }))
    }

    fn reads_again(&mut self, at: Time, client: ClientId) {
        if self.stuck.remove(&client) {
            self.awake.insert(client, at);
        }
    }

    fn delivered(&mut self, at: Time, client: ClientId, id: MessageId) {
        let Some((sent, judged)) = self.sent.get(&id) else { return };
        if self.awake.get(&client).is_some_and(|awake| sent <= awake) {
            return;
        }
        let took = Duration::from_micros(at.0.saturating_sub(sent.0));
        if !judged {
            if self.stuck.is_empty() {
                self.usual = self.usual.max(took);
            }
            return;
        }
        self.judged += 1;
        if took > self.limit + SLACK && self.late.len() < FOLLOWED_MAX {
            let detail = format!("it waited {took:?} while another did not read");
            let finding = Finding::new(SLOW, Class::Slow, at, detail);
            self.late.push((took, finding.client(client).message(id)));
        }
    }
}

impl Check for Slow {
    fn name(&self) -> &'static str {
        SLOW
    }

    fn observe(&mut self, seen: &Observation, _: &mut Findings) {
        let (at, client) = (seen.at, seen.client);
        match &seen.what {
            What::Reads(false) => drop(self.stuck.insert(client)),
            What::Closed(_) => drop(self.stuck.remove(&client)),
            What::Reads(true) => self.reads_again(at, client),
            What::Sending { message, .. }
                if !self.stuck.contains(&client) && self.sent.len() < FOLLOWED_MAX =>
            {
                self.sent.insert(*message, (at, !self.stuck.is_empty()));
            }
            What::Sent { message } => {
                // The time in the sender's own socket is not the target's.
                if let Some((sent, _)) = self.sent.get_mut(message) {
                    *sent = at;
                }
            }
            What::Received { message, .. } if !self.stuck.contains(&client) => {
                self.delivered(at, client, *message);
            }
            _ => {}
        }
    }

    fn conclude(&mut self, end: &End, found: &mut Findings) -> u64 {
        if end.stall <= STALL_LIMIT {
            let allowed = self.limit + SLACK + end.stall + self.usual;
            for (_, finding) in self.late.drain(..).filter(|(took, _)| *took > allowed) {
                found.push(finding);
            }
        }
        self.judged
    }
}
