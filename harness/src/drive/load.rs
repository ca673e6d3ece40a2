//! Sends on schedule, from a thread of its own: timers of a busy executor fire late.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::stage::Shared;
use crate::books::Wording;
use crate::client::{Asked, Line};
use crate::latency::Metric;
use crate::observe::ClientId;
use crate::pacer::{Pace, Pacer};
use crate::plan::{Ask, Group, Plan, Say, Stream, StreamAction, Vars};
use crate::scenario::template;

/// The longest sleep, so that an interrupted run ends soon.
const NAP: Duration = Duration::from_millis(50);
/// The size of a stamped text when the scenario gives none, in bytes.
const SIZE: usize = 64;

/// Runs streams side by side for `span`.
pub(super) async fn run(shared: &Arc<Shared>, plan: &Plan, streams: &[Stream], span: Duration) {
    let shared = Arc::clone(shared);
    let sources = streams.iter().filter_map(|stream| {
        let group = plan.groups.get(stream.who)?.clone();
        let pacer = Pacer::new(stream.rate, span);
        Some(Source { pacer, group, next: 0, count: 0, action: stream.action.clone() })
    });
    let sources = sources.collect();
    async_std::task::spawn_blocking(move || Load { shared, sources }.run()).await;
}

struct Load {
    shared: Arc<Shared>,
    sources: Vec<Source>,
}

struct Source {
    pacer: Pacer,
    group: Group,
    /// Whose turn it is.
    next: u32,
    /// Actions so far: `$n`.
    count: u64,
    action: StreamAction,
}

impl Load {
    fn run(mut self) {
        let start = Instant::now();
        while !self.shared.is_stopping() {
            let mut wake: Option<Duration> = None;
            for source in &mut self.sources {
                loop {
                    match source.pacer.pace(start.elapsed()) {
                        Pace::Start(due) => source.act(start + due, &self.shared),
                        Pace::Wait(due) => {
                            wake = Some(wake.map_or(due, |wake| wake.min(due)));
                            break;
                        }
                        Pace::Over => break,
                    }
                    if self.shared.is_stopping() {
                        return;
                    }
                }
            }
            let Some(wake) = wake else { return };
            std::thread::sleep(wake.saturating_sub(start.elapsed()).min(NAP));
        }
    }
}

impl Source {
    /// One action, by the next member who can.
    fn act(&mut self, due: Instant, shared: &Shared) {
        let intended = shared.time_of(due);
        let now = shared.now();
        let late = now.0.saturating_sub(intended.0);
        let mut stage = shared.lock();
        stage.books.measured.record(Metric::HarnessLateness, late);
        let turns = (0..self.group.size).map(|turn| (self.next + turn) % self.group.size);
        let first = self.group.first.0;
        let able = turns.map(|turn| (turn, ClientId(first + turn))).find(|(_, id)| {
            stage.clients.get(id.0 as usize).is_some_and(|client| client.can_speak())
        });
        let Some((turn, id)) = able else { return };
        self.next = (turn + 1) % self.group.size;
        let count = self.count;
        self.count += 1;
        let Some((client, books)) = stage.client(id) else { return };
        let mut vars = client.vars();
        vars.insert("n".to_owned(), json!(count));
        let asked: Option<Asked> = match &self.action {
            StreamAction::Say(say) => line(say, &vars).and_then(|(text, room)| {
                let words = match &text {
                    Some(text) => Wording::Fixed(text),
                    None => Wording::Stamped(say.size.unwrap_or(SIZE)),
                };
                let line = Line { words, room: room.as_deref(), intended, awaited: false };
                client.say(now, line, books).ok()
            }),
            StreamAction::Ask(ask) => filled(ask, &vars)
                .and_then(|args| client.ask(now, ask.verb, &args, false, books).ok()),
        };
        let parcel = asked.and_then(|asked| stage.pack(now, id, &asked));
        drop(stage);
        shared.deliver(parcel);
    }
}

/// A fixed text and a room, where the scenario gives them. The plan has checked the templates, so
/// what is not filled here is not known yet: the turn is passed over.
fn line(say: &Say, vars: &Vars) -> Option<(Option<String>, Option<String>)> {
    let fill = |template: &String| {
        template::fill(&Value::String(template.clone()), vars).ok().map(|it| template::as_text(&it))
    };
    let text = match &say.text {
        Some(template) => Some(fill(template)?),
        None => None,
    };
    let room = match &say.room {
        Some(template) => Some(fill(template)?),
        None => None,
    };
    Some((text, room))
}

fn filled(ask: &Ask, vars: &Vars) -> Option<Vars> {
    let fill = |(name, template): (&String, &Value)| {
        template::fill(template, vars).ok().map(|value| (name.clone(), value))
    };
    ask.args.iter().map(fill).collect()
}
