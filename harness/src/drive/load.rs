//! Sends on schedule, from a thread of its own: timers of a busy executor fire late.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::http::{Work, Worker};
use super::stage::Shared;
use crate::books::{Books, Wording};
use crate::client::{Asked, Client, Errand, Line};
use crate::dialect::Verb;
use crate::latency::Metric;
use crate::observe::{ClientId, Time, What};
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
        let Some(wish) = Wish::of(&self.action, &vars, intended) else { return };
        let first = client.first_of(wish.verb(), wish.args(), books);
        if first.is_empty() {
            let asked = wish.ask(now, client, books);
            let parcel = asked.and_then(|asked| stage.pack(now, id, &asked));
            drop(stage);
            return shared.deliver(parcel);
        }
        drop(stage);
        let verb = wish.verb();
        let work: Work = Box::new(move |worker| wish.after(worker, id, &first));
        if shared.errand(id, work).is_err() {
            let code = format!("cannot {verb}: more HTTP requests are waiting than are ever made");
            shared.tell(id, |_, books| complain(now, id, &code, books));
        }
    }
}

/// What a client shall say or ask for at its turn.
enum Wish {
    Say { words: Option<String>, size: usize, room: Option<String>, intended: Time, args: Vars },
    Ask { verb: Verb, args: Vars },
}

impl Wish {
    fn of(action: &StreamAction, vars: &Vars, intended: Time) -> Option<Self> {
        match action {
            StreamAction::Say(say) => {
                let (words, room) = line(say, vars)?;
                let room_arg = room.iter().map(|room| ("room".to_owned(), json!(room)));
                let args = room_arg.chain([("text".to_owned(), json!(""))]).collect();
                let size = say.size.unwrap_or(SIZE);
                Some(Self::Say { words, size, room, intended, args })
            }
            StreamAction::Ask(ask) => Some(Self::Ask { verb: ask.verb, args: filled(ask, vars)? }),
        }
    }

    fn verb(&self) -> Verb {
        match self {
            Self::Say { .. } => Verb::Say,
            Self::Ask { verb, .. } => *verb,
        }
    }

    fn args(&self) -> &Vars {
        match self {
            Self::Say { args, .. } | Self::Ask { args, .. } => args,
        }
    }

    /// It is asked for: entered in the books, and filled into the dialect's words.
    fn ask(&self, now: Time, client: &mut Client, books: &mut Books) -> Option<Asked> {
        match self {
            Self::Say { words, size, room, intended, .. } => {
                let words = match words {
                    Some(text) => Wording::Fixed(text),
                    None => Wording::Stamped(*size),
                };
                let (room, intended) = (room.as_deref(), *intended);
                client.say(now, Line { words, room, intended, awaited: false }, books).ok()
            }
            Self::Ask { verb, args } => client.ask(now, *verb, args, false, books).ok(),
        }
    }

    /// The HTTP requests that must come first are made, then it is asked for.
    fn after(&self, worker: &Worker, id: ClientId, first: &[String]) {
        for name in first {
            let exchange = worker.with(|shared| {
                let mut stage = shared.lock();
                let (client, books) = stage.client(id)?;
                client.exchange(name, self.verb(), self.args(), books).ok()
            });
            let Some(Some(exchange)) = exchange else { return };
            let errand = worker.perform(id, &exchange);
            let done = worker.with(|shared| {
                let now = shared.now();
                shared.tell(id, |client, books| match &errand {
                    Errand::Done(taken, _) => client.take_values(taken),
                    other => {
                        let code = format!("cannot {}: `{name}`: {}", self.verb(), other.reason());
                        complain(now, id, &code, books);
                    }
                });
                matches!(errand, Errand::Done(..))
            });
            if done != Some(true) {
                return;
            }
        }
        worker.with(|shared| {
            let now = shared.now();
            let mut stage = shared.lock();
            let Some((client, books)) = stage.client(id).filter(|(it, _)| it.can_speak()) else {
                return;
            };
            let asked = self.ask(now, client, books);
            let parcel = asked.and_then(|asked| stage.pack(now, id, &asked));
            drop(stage);
            shared.deliver(parcel);
        });
    }
}

fn complain(now: Time, id: ClientId, code: &str, books: &mut Books) {
    books.observe(now, id, What::Complaint { code: code.into() });
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
