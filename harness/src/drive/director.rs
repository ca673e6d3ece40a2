//! Goes through the timeline: has the clients act, and waits for what must come.
//!
//! A client's change wakes the tasks that wait for it; nothing polls. A step that fails ends the
//! timeline: what would follow has lost its meaning.

mod acts;
mod below;
mod exchange;
mod expects;
mod frames;
mod paths;
mod returns;
mod rounds;
mod server;

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use async_io::Timer;
use futures_lite::future::{self, poll_fn};
use futures_util::future::join_all;
use parking_lot::Mutex;
use serde_json::Value;

use super::child::ChildServer;
use super::facts::Facts;
use super::http::Road;
use super::load;
use super::proxy::Proxy;
use super::stage::Shared;
use super::swarm::Swarm;
use super::tls::Secure;
use crate::books::Books;
use crate::check::Class;
use crate::client::Client;
use crate::dialect::Heartbeat;
use crate::observe::{ClientId, Time};
use crate::plan::{Action, Comparison, Place, Plan, Span, Step, Vars};
use crate::proxy::Rule;
use crate::summary::StepResult;
use crate::verdict::Verdict;

/// How long a step may take when it does not say.
const WITHIN: Duration = Duration::from_secs(5);
/// How often it is looked whether what is owed has come.
const NAP: Duration = Duration::from_millis(20);

/// A step failed; the books know how.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Failed;

/// Where the clients connect to.
#[derive(Clone, Debug)]
pub(super) struct Target {
    pub(super) address: std::net::SocketAddr,
    /// Host and port as the user wrote them.
    pub(super) host: String,
    /// The path in the target's URL, if it has one: it stands over the dialect's.
    pub(super) path: Option<String>,
    /// Of a `wss://` target.
    pub(super) tls: Option<Secure>,
}

/// Goes through a plan's timeline.
pub(super) struct Director<'a> {
    pub(super) plan: &'a Plan,
    pub(super) shared: &'a Arc<Shared>,
    pub(super) swarm: &'a Swarm,
    pub(super) target: &'a Target,
    pub(super) heartbeat: Heartbeat,
    pub(super) facts: Vec<Facts>,
    pub(super) say: &'a (dyn Fn(&str) + Sync),
    /// Where HTTP requests go.
    pub(super) road: Road,
    /// The run's own server, if it has one.
    pub(super) child: &'a Mutex<Option<ChildServer>>,
    /// What stands between the clients and the target, where the timeline has faults of the network.
    pub(super) middle: Option<&'a Proxy>,
}

/// The deadline of a step, and where it stands.
#[derive(Clone, Copy)]
struct Frame<'s> {
    step: &'s Step,
    begun: Time,
    deadline: Instant,
    round: Option<u32>,
}

/// What a step stands in.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Scope {
    /// The one member that acts, inside an `each`.
    only: Option<ClientId>,
    /// The round of the innermost `repeat`.
    round: Option<u32>,
}

type Walk<'a> = Pin<Box<dyn Future<Output = Result<(), Failed>> + 'a>>;

impl Director<'_> {
    /// Goes through the whole timeline, up to the first step that fails; says how each went.
    pub(super) async fn timeline(&self, results: &mut Vec<StepResult>) {
        for step in &self.plan.steps {
            let begun = Instant::now();
            let outcome = self.step(step, Scope::default()).await;
            let message = match (&step.action, outcome) {
                (Action::LeftOut(reason), _) => reason.clone(),
                (_, Ok(())) => String::new(),
                (_, Err(Failed)) => self.shared.lock().books.last_failure(),
            };
            let verdict = match (&step.action, outcome) {
                (Action::LeftOut(_), _) => Verdict::Skipped,
                (_, Ok(())) => Verdict::Passed,
                (_, Err(Failed)) => Verdict::Failed,
            };
            results.push(StepResult {
                line: step.place.line,
                label: label(step),
                verdict,
                message,
                seconds: begun.elapsed().as_secs_f64(),
            });
            if outcome.is_err() {
                return;
            }
        }
    }

    /// Waits until a client's connection has ended.
    pub(super) async fn ended(&self, deadline: Instant, id: ClientId) {
        self.until(id, deadline, |client, _| client.is_over().then_some(())).await;
    }

    /// Runs steps one after the other: for their groups, or for one client alone.
    pub(super) fn steps<'s>(&'s self, steps: &'s [Step], scope: Scope) -> Walk<'s> {
        Box::pin(async move {
            for step in steps {
                self.step(step, scope).await?;
            }
            Ok(())
        })
    }

    async fn step(&self, step: &Step, scope: Scope) -> Result<(), Failed> {
        let begun = self.shared.now();
        let within = step.within.as_ref().map_or(WITHIN, |span| self.span(span));
        let deadline = Instant::now() + within;
        let frame = Frame { step, begun, deadline, round: scope.round };
        match &step.action {
            Action::LeftOut(_) => Ok(()),
            Action::Wait(span) => {
                Timer::after(self.span(span)).await;
                Ok(())
            }
            Action::Repeat { times, span, steps } => self.repeat(*times, *span, steps, scope).await,
            Action::Together(branches) => {
                let branches = branches.iter().map(|step| self.branch(step, scope));
                all(join_all(branches).await)
            }
            Action::Phase { name, span, discard, streams } => {
                (self.say)(&format!("{name}: {}", humantime::format_duration(*span)));
                self.shared.lock().books.measuring = !discard;
                load::run(self.shared, self.plan, streams, *span).await;
                let mut stage = self.shared.lock();
                stage.books.measuring = true;
                if !discard {
                    stage.books.measured_for += *span;
                }
                Ok(())
            }
            Action::Server(act) => self.server(frame, *act).await,
            Action::Settle(most) => {
                self.settle(*most).await;
                Ok(())
            }
            Action::Network(rules) => self.network(frame, rules).await,
            _ => self.acts(frame, scope.only).await,
        }
    }

    /// From now on, these faults of the network.
    async fn network(&self, frame: Frame<'_>, rules: &[Rule]) -> Result<(), Failed> {
        let Some(middle) = self.middle else { return Ok(()) };
        middle.set(rules.to_vec()).await.map_err(|reason| {
            self.fail(frame.step.place, ClientId(0), Class::Reply, format!("network: {reason}"))
        })
    }

    fn branch<'s>(&'s self, step: &'s Step, scope: Scope) -> Walk<'s> {
        Box::pin(self.step(step, scope))
    }

    async fn repeat(
        &self,
        times: u32,
        span: Option<Duration>,
        steps: &[Step],
        scope: Scope,
    ) -> Result<(), Failed> {
        let end = span.map(|span| Instant::now() + span);
        let known = self.captured(scope);
        for round in 0..times {
            if end.is_some_and(|end| Instant::now() >= end) {
                break;
            }
            if round > 0 {
                self.forget(steps, &known);
            }
            self.steps(steps, Scope { round: Some(round), ..scope }).await?;
        }
        Ok(())
    }

    /// Has every acting client do the step, paced by the group's ramp where that applies.
    async fn acts(&self, frame: Frame<'_>, only: Option<ClientId>) -> Result<(), Failed> {
        let Some(group) = frame.step.who.and_then(|who| self.plan.groups.get(who)) else {
            return Ok(());
        };
        if let Action::Compare(comparison @ Comparison::Members(..)) = &frame.step.action {
            return self.members_agree(frame, group, comparison);
        }
        let members = match only {
            Some(client) => client.0..client.0 + 1,
            None => group.first.0..group.first.0 + group.size,
        };
        let paced = matches!(
            frame.step.action,
            Action::Open { .. } | Action::Each(_) | Action::Reconnect { .. }
        ) || is_join(&frame.step.action);
        let gap = group.ramp.filter(|_| paced && only.is_none()).map_or(0.0, f64::recip);
        let start = Instant::now();
        let acts = members.enumerate().map(|(nth, client)| {
            let due = start + Duration::from_secs_f64(gap * nth as f64);
            self.act_at(due, frame, ClientId(client))
        });
        all(join_all(acts).await)
    }

    async fn act_at(&self, due: Instant, frame: Frame<'_>, client: ClientId) -> Result<(), Failed> {
        let mut frame = frame;
        if due > Instant::now() {
            Timer::at(due).await;
        }
        // Each member has the whole time from its own turn on.
        frame.deadline += due.saturating_duration_since(self.shared.instant_of(frame.begun));
        frame.begun = self.shared.time_of(due).max(frame.begun);
        self.act(frame, client).await?;
        if judges(&frame.step.action) {
            self.met();
        }
        Ok(())
    }

    /// An expectation was met.
    fn met(&self) {
        self.shared.lock().books.judge.met();
    }

    /// Waits until everything owed has arrived and everything asked is answered, `most` at most.
    pub(super) async fn settle(&self, most: Duration) {
        let end = Instant::now() + most;
        // Counted in naps, not by the clock: when this process itself stood still, nothing could come.
        let (mut open, mut naps) = (None, 0);
        let patience = self.plan.patience.map_or(u128::MAX, |it| it.as_millis() / NAP.as_millis());
        loop {
            let left = {
                let stage = self.shared.lock();
                let unanswered = stage.clients.iter().map(|client| client.unanswered() as u64);
                (stage.books.judge.outstanding(), unanswered.sum::<u64>())
            };
            naps = if open == Some(left) { naps + 1 } else { 0 };
            open = Some(left);
            if left == (0, 0) || naps > patience || Instant::now() >= end {
                return;
            }
            Timer::after(NAP).await;
        }
    }

    /// Waits until `found` finds something in a client; none at the deadline.
    async fn until<T>(
        &self,
        client: ClientId,
        deadline: Instant,
        mut found: impl FnMut(&mut Client, &mut Books) -> Option<T>,
    ) -> Option<T> {
        let waiting = poll_fn(|cx| {
            let mut stage = self.shared.lock();
            let it = stage.client(client).and_then(|(client, books)| found(client, books));
            if it.is_none() {
                stage.wake_on(client, cx.waker());
            }
            it.map_or(Poll::Pending, |it| Poll::Ready(Some(it)))
        });
        future::or(waiting, async {
            Timer::at(deadline).await;
            None
        })
        .await
    }

    /// Enters a failed step in the books.
    fn fail(
        &self,
        place: Place,
        client: ClientId,
        class: Class,
        detail: impl AsRef<str>,
    ) -> Failed {
        self.fail_so(place, client, self.plan.called(place, class), detail)
    }

    /// The same, where the class stands whatever the scenario calls a breach of the step.
    fn fail_so(
        &self,
        place: Place,
        client: ClientId,
        class: Class,
        detail: impl AsRef<str>,
    ) -> Failed {
        let now = self.shared.now();
        self.shared.lock().books.step_failed(now, client, place, class, detail.as_ref());
        Failed
    }

    fn span(&self, span: &Span) -> Duration {
        span.under(self.heartbeat)
    }

    /// A client's variables, and under each group's name what the same-numbered client of that
    /// group has saved.
    fn vars(&self, frame: Frame<'_>, id: ClientId) -> Vars {
        let stage = self.shared.lock();
        let Some(client) = stage.clients.get(id.0 as usize) else { return Vars::new() };
        let mut vars = client.vars();
        vars.extend(frame.round.map(|round| ("round".to_owned(), Value::from(round))));
        let index = self.plan.clients.get(id.0 as usize).map_or(0, |client| client.index);
        for group in &self.plan.groups {
            let place = (group.first.0 + index.min(group.size - 1)) as usize;
            let Some(peer) = stage.clients.get(place) else { continue };
            let saved: serde_json::Map<String, Value> = peer
                .all_captured()
                .iter()
                .map(|(name, value)| (name.clone(), value.clone()))
                .collect();
            if !saved.is_empty() {
                vars.insert(group.name.clone(), Value::Object(saved));
            }
        }
        vars
    }
}

/// What a step is called in reports.
pub(super) fn label(step: &Step) -> String {
    step.note.clone().unwrap_or_else(|| step.action.word().to_owned())
}

/// Whether a step that came out right is a fact by which a server was judged.
fn judges(action: &Action) -> bool {
    match action {
        Action::Expect(_) | Action::ExpectNone(_) | Action::Http(_) | Action::Compare(_) => true,
        Action::Ask(ask) => ask.refused.is_some(),
        Action::Say(say) => say.refused.is_some(),
        _ => false,
    }
}

fn is_join(action: &Action) -> bool {
    matches!(action, Action::Ask(ask) if ask.verb == crate::dialect::Verb::Join)
}

fn all(results: Vec<Result<(), Failed>>) -> Result<(), Failed> {
    results.into_iter().collect()
}

/// Keeps fields of an event under names of the scenario's choosing.
fn save(client: &mut Client, wanted: &BTreeMap<String, String>, fields: &Vars) {
    for (name, field) in wanted {
        if let Some(value) = fields.get(field) {
            client.capture(name, value.clone());
        }
    }
}
