//! What a plan will cost, counted before it starts, and whether this machine can pay.

use std::collections::BTreeMap;

use super::build::room_of;
use super::{Action, Group, Plan, Step, StreamAction};
use crate::dialect::{EventKind, Limits, Verb};
use crate::scenario::model::File;
use crate::scenario::steps::each_step;

/// What a simulated client keeps: its socket's buffers in the kernel and its own state.
const BYTES_PER_CONNECTION: u64 = 32 * 1024;

/// What is kept of a delivery until it has been judged.
const BYTES_PER_DELIVERY: u64 = 48;

/// Descriptors of the harness itself: files, pollers, pipes, the child server.
const OWN_DESCRIPTORS: u64 = 120;

/// What a plan will cost. Deliveries are an estimate: rooms are counted as far as their names are
/// known before the run.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Cost {
    /// Connections at a time.
    pub connections: u64,
    /// Sockets of the proxy between clients and target, where there is one.
    pub proxied: u64,
    /// Requests a second, in the busiest phase.
    pub peak_per_s: f64,
    /// Messages and other room events that will arrive, all clients together.
    pub deliveries: u64,
    /// Notices of joining that will arrive, all clients together.
    pub notices: u64,
    /// Memory of the harness.
    pub memory_bytes: u64,
}

/// What this machine has.
#[derive(Clone, Copy, Debug)]
pub struct Capacity {
    /// Open files of one process.
    pub descriptors: u64,
    /// Ports for connections to one address.
    pub ports: u64,
    /// Free memory.
    pub memory_bytes: u64,
}

/// Counts rooms and events along the timeline.
struct Count<'a> {
    plan: &'a Plan,
    /// The room that each client was last put into.
    room: Vec<Option<String>>,
    size: BTreeMap<String, u64>,
    deliveries: f64,
    notices: f64,
    peak: f64,
}

impl Cost {
    /// The cost of a plan.
    pub fn of(plan: &Plan) -> Self {
        let room = vec![None; plan.clients.len()];
        let mut count =
            Count { plan, room, size: BTreeMap::new(), deliveries: 0.0, notices: 0.0, peak: 0.0 };
        count.steps(&plan.steps, 1.0);
        let connections = plan.clients.len() as u64;
        // What stands between has a socket to each side.
        let proxied = if plan.network().next().is_some() { 2 * connections } else { 0 };
        let (deliveries, notices) = (count.deliveries as u64, count.notices as u64);
        let events = deliveries.saturating_add(notices);
        let memory_bytes = connections
            .saturating_mul(BYTES_PER_CONNECTION)
            .saturating_add(events.saturating_mul(BYTES_PER_DELIVERY));
        Self { connections, proxied, peak_per_s: count.peak, deliveries, notices, memory_bytes }
    }

    /// Says why a machine cannot carry a plan of this cost, and what to do about it.
    pub fn refusal(&self, groups: &[Group], capacity: &Capacity) -> Option<String> {
        let descriptors = self.connections + self.proxied + OWN_DESCRIPTORS;
        if descriptors > capacity.descriptors {
            let enough = (descriptors + descriptors / 20).next_multiple_of(1000);
            let room = capacity.descriptors.saturating_sub(OWN_DESCRIPTORS);
            return Some(format!(
                "need {} descriptors, limit {}: run `ulimit -n {enough}`{}",
                grouped(descriptors),
                grouped(capacity.descriptors),
                fewer(groups, room, ", or use"),
            ));
        }
        if self.connections > capacity.ports {
            return Some(format!(
                "need {} ports, there are {}: widen net.ipv4.ip_local_port_range, or use more \
                 targets{}",
                grouped(self.connections),
                grouped(capacity.ports),
                fewer(groups, capacity.ports, ", or"),
            ));
        }
        if self.memory_bytes > capacity.memory_bytes {
            let share = capacity.memory_bytes as f64 / self.memory_bytes as f64;
            let room = (self.connections as f64 * share) as u64;
            return Some(format!(
                "need about {} MiB of memory, there are {}: shorten the phases{}",
                grouped(self.memory_bytes >> 20),
                grouped(capacity.memory_bytes >> 20),
                fewer(groups, room, ", or use"),
            ));
        }
        None
    }

    /// What the dialect's servers would refuse, as a sentence.
    pub(super) fn against(plan: &Plan, file: &File) -> Option<String> {
        let name = &plan.dialect.name;
        let most = |what: String| Some(format!("dialect {name} takes at most {what}"));
        if let Some((bytes, size)) = too_large(&plan.dialect.limits, file) {
            let (bytes, size) = (grouped(bytes), grouped(size));
            return most(format!("{bytes} bytes in a message; one has {size}"));
        }
        let limit = plan.dialect.limits.requests_per_s?;
        let (group, rate) = too_often(plan, &plan.steps, limit)?;
        most(format!("{limit} requests a second of a connection; `{group}` makes {rate:.0}"))
    }
}

/// The most bytes that a text may have, and those of one that has more.
fn too_large(limits: &Limits, file: &File) -> Option<(u64, u64)> {
    let whole = limits.message_bytes.into_iter().chain(limits.frame_bytes).min();
    let bytes = limits.text_bytes.or(whole)?;
    let mut largest = 0;
    each_step(&file.steps, &mut |step| {
        let size = step.say.as_ref().and_then(|say| say.0.size.as_ref());
        let size = size.filter(|_| step.refused.is_none()).map_or(0, |size| size.0 as u64);
        largest = largest.max(size);
    });
    (largest > bytes).then_some((bytes, largest))
}

/// The first group whose members send more often than they may in a phase, and how often.
fn too_often(plan: &Plan, steps: &[Step], limit: u64) -> Option<(String, f64)> {
    steps.iter().find_map(|step| match &step.action {
        Action::Repeat { steps, .. } | Action::Together(steps) | Action::Each(steps) => {
            too_often(plan, steps, limit)
        }
        Action::Phase { streams, .. } => {
            let rate = |who: usize, group: &Group| -> f64 {
                let own = streams.iter().filter(|stream| stream.who == who);
                let own = own.filter(|stream| match &stream.action {
                    // What is asked for by HTTP is no request of the connection.
                    StreamAction::Say(_) => !plan.dialect.is_http(Verb::Say),
                    StreamAction::Ask(ask) => !plan.dialect.is_http(ask.verb),
                });
                own.map(|stream| stream.rate).sum::<f64>() / f64::from(group.size.max(1))
            };
            let groups = plan.groups.iter().enumerate();
            let rates = groups.map(|(who, group)| (group.name.clone(), rate(who, group)));
            rates.into_iter().find(|(_, rate)| *rate > limit as f64)
        }
        _ => None,
    })
}

/// Offers a smaller largest group, rounded down to two digits, when that is enough.
fn fewer(groups: &[Group], connections: u64, or: &str) -> String {
    let Some(largest) = groups.iter().max_by_key(|group| group.size) else { return String::new() };
    let others: u64 =
        groups.iter().map(|group| u64::from(group.size)).sum::<u64>() - u64::from(largest.size);
    let Some(room) = connections.checked_sub(others).filter(|room| *room > 0) else {
        return String::new();
    };
    let digits = 10_u64.pow(room.ilog10().saturating_sub(1));
    format!("{or} --clients {}={}", largest.name, room / digits * digits)
}

/// A number with commas: `5,120`.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

impl Count<'_> {
    fn steps(&mut self, steps: &[Step], times: f64) {
        for step in steps {
            match (&step.action, step.who) {
                (Action::Ask(ask), Some(who)) => match ask.verb {
                    Verb::Join => {
                        let place = ask.args.get("room").or_else(|| ask.args.get("code"));
                        let pattern = place.and_then(|place| place.as_str()).unwrap_or("");
                        let full = ask.args.get("membership").is_none_or(|how| how == "full");
                        self.join(who, pattern, full);
                    }
                    Verb::Create => {
                        let pattern = format!("${}.code", self.group(who).name);
                        self.join(who, &pattern, true);
                    }
                    verb => self.events(who, verb, times * f64::from(self.group(who).size)),
                },
                (Action::Say(_), Some(who)) => {
                    self.events(who, Verb::Say, times * f64::from(self.group(who).size));
                }
                (Action::Repeat { times: rounds, steps, .. }, _) => {
                    let rounds = if *rounds == u32::MAX { 1.0 } else { f64::from(*rounds) };
                    self.steps(steps, times * rounds);
                }
                (Action::Together(steps) | Action::Each(steps), _) => self.steps(steps, times),
                (Action::Phase { span, streams, .. }, _) => {
                    self.peak = self.peak.max(streams.iter().map(|stream| stream.rate).sum());
                    for stream in streams {
                        let verb = match &stream.action {
                            StreamAction::Say(_) => Verb::Say,
                            StreamAction::Ask(ask) => ask.verb,
                        };
                        self.events(stream.who, verb, times * stream.rate * span.as_secs_f64());
                    }
                }
                _ => {}
            }
        }
    }

    fn group(&self, who: usize) -> Group {
        let none = || Group {
            name: String::new(),
            first: crate::observe::ClientId(0),
            size: 0,
            ramp: None,
        };
        self.plan.groups.get(who).cloned().unwrap_or_else(none)
    }

    fn join(&mut self, who: usize, pattern: &str, told: bool) {
        for (index, client) in self.plan.clients.iter().enumerate() {
            if client.group != who {
                continue;
            }
            let room = room_of(client, pattern);
            let size = self.size.entry(room.clone()).or_default();
            if told && self.plan.dialect.tells(EventKind::Joined) {
                self.notices += *size as f64;
            }
            *size += 1;
            if let Some(slot) = self.room.get_mut(index) {
                *slot = Some(room);
            }
        }
    }

    /// So many events of a group, spread over its clients: each goes to the others in the room.
    fn events(&mut self, who: usize, verb: Verb, number: f64) {
        if matches!(verb, Verb::Name | Verb::Leave | Verb::Ping | Verb::Pong | Verb::Create) {
            return;
        }
        let clients = self.plan.clients.iter().zip(&self.room).filter(|(c, _)| c.group == who);
        let mut others = 0.0;
        let mut speakers = 0.0_f64;
        for (_, room) in clients {
            let size = room.as_ref().and_then(|room| self.size.get(room)).copied().unwrap_or(1);
            others += size.saturating_sub(1) as f64;
            speakers += 1.0;
        }
        self.deliveries += number * others / speakers.max(1.0);
    }
}
