//! What a client learns by HTTP: the answers to requests that are HTTP, and what requests before
//! others have brought.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{Answer, Client};
use crate::books::Books;
use crate::dialect::{Event, EventKind, Refusal, Verb};
use crate::heard::Heard;
use crate::observe::{Time, What};
use crate::plan::Vars;

/// What came of an HTTP request.
#[derive(Clone, Debug, PartialEq)]
pub enum Errand {
    /// It was answered as it must be: the values that it brought, and its body.
    Done(Vars, Arc<str>),
    /// It was answered otherwise.
    Refused(Refusal),
    /// It never left: the server cannot have got it.
    NeverLeft(Arc<str>),
    /// It may have arrived; no answer came.
    Lost(Arc<str>),
}

impl Errand {
    /// Why it was not done, in words.
    pub fn reason(&self) -> String {
        match self {
            Self::Done(..) => String::new(),
            Self::Refused(refusal) => refusal.to_string(),
            Self::NeverLeft(reason) | Self::Lost(reason) => reason.to_string(),
        }
    }
}

impl Client {
    /// A request that is HTTP has been answered, or never will be.
    pub fn answered_by_http(&mut self, now: Time, id: u64, errand: &Errand, books: &mut Books) {
        let at = self.pending.iter().position(|pending| pending.id == id);
        let Some((at, pending)) = at.and_then(|at| Some((at, self.pending.get(at)?))) else {
            return;
        };
        let (verb, answers) = (pending.verb, pending.http);
        match errand {
            Errand::Done(taken, text) => {
                self.take_values(taken);
                if answers {
                    self.done_by_http(now, verb, id, taken, text, books);
                }
            }
            Errand::Refused(Refusal { code, .. }) => {
                self.refuse(now, Some(at), code.as_str().into(), None, None, books);
            }
            Errand::NeverLeft(reason) => {
                let code: Arc<str> = format!("not sent: {reason}").into();
                self.refuse(now, Some(at), code, None, None, books);
            }
            Errand::Lost(reason) => {
                let pending = self.pending.remove(at);
                let verb = pending.verb.as_str().into();
                books.observe(now, self.id, What::Unanswered { verb });
                if pending.awaited {
                    self.answers.push((id, Answer::Lost(Arc::clone(reason))));
                }
            }
        }
    }

    /// The answer means what the event means that would acknowledge the request on the socket.
    fn done_by_http(
        &mut self,
        now: Time,
        verb: Verb,
        id: u64,
        taken: &Vars,
        text: &Arc<str>,
        books: &mut Books,
    ) {
        let kinds: &[EventKind] = match verb {
            Verb::Join => &[EventKind::Entered],
            Verb::Leave => &[EventKind::Exited],
            Verb::Create => &[EventKind::Created, EventKind::Entered],
            Verb::Ping => &[EventKind::Pong],
            _ => &[EventKind::Ok],
        };
        let pending = self.pending.iter_mut().find(|pending| pending.id == id);
        let room = pending.and_then(|pending| {
            pending.ack = kinds.first().copied().unwrap_or(EventKind::Ok);
            pending.room
        });
        let mut fields = taken.clone();
        if let Some(room) = room {
            let name = json!(&*books.room_name(room));
            fields.entry("room".to_owned()).or_insert(name);
        }
        for (nth, kind) in kinds.iter().enumerate() {
            // The request is answered once; a room that nobody named was not entered.
            match nth {
                0 => drop(fields.insert("re".to_owned(), json!(id))),
                _ => drop(fields.remove("re")),
            }
            if *kind == EventKind::Entered && !fields.contains_key("room") {
                continue;
            }
            let event = Event { kind: *kind, fields: fields.clone(), means: Arc::default() };
            let heard = Heard::whole(event, text);
            self.event(now, *kind, None, &heard, books);
            self.keep(now, *kind, Some(&heard));
        }
    }

    /// Keeps what an answer brought.
    pub fn take_values(&mut self, taken: &Vars) {
        self.captured.extend(taken.iter().map(|(name, value)| (name.clone(), value.clone())));
    }

    /// Somebody waits for this.
    pub fn errand_done(&mut self, ticket: u64, errand: Errand) {
        if let Errand::Done(taken, _) = &errand {
            self.take_values(&taken.clone());
        }
        self.errands.push((ticket, errand));
    }

    /// Takes what came of an HTTP request, if it is over.
    pub fn take_errand(&mut self, ticket: u64) -> Option<Errand> {
        let at = self.errands.iter().position(|(id, _)| *id == ticket)?;
        Some(self.errands.swap_remove(at).1)
    }

    /// A number for a request that somebody will wait for.
    pub fn errand_ticket(&mut self) -> u64 {
        self.next_request += 1;
        self.next_request - 1
    }

    /// The user's own data, under its name.
    pub(super) fn user(&self) -> Option<(String, Value)> {
        self.vars.get("user").map(|user| ("user".to_owned(), user.clone()))
    }
}
