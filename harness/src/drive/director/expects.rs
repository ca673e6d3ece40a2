//! What a client must see, or must not see, in a step.

use std::time::Duration;

use async_io::Timer;
use futures_util::future::join_all;
use serde_json::Value;

use super::frames::Ended;
use super::{Director, Failed, Frame, save};
use crate::books::{Books, Wording};
use crate::check::Class;
use crate::client::{Client, Event, State};
use crate::dialect::{EventKind, Fence};
use crate::observe::{ClientId, Ending, RoomId, Time, What, Who};
use crate::plan::{ClosedPattern, Echo, Expect, NonePattern, Pattern, Say, Side, TcpEnd, Vars};
use crate::scenario::template;

/// With more clients than this, a fence asks only the client that it is for.
const FENCED_TOGETHER: usize = 256;

/// How a connection ended.
struct Close {
    at: Time,
    ending: Ending,
    tcp: Option<TcpEnd>,
}

impl Director<'_> {
    pub(super) async fn expect(
        &self,
        frame: Frame<'_>,
        id: ClientId,
        expect: &Expect,
    ) -> Result<(), Failed> {
        for pattern in &expect.events {
            self.expect_event(frame, id, pattern).await?;
        }
        if let Some(members) = &expect.members {
            self.expect_members(frame, id, members).await?;
        }
        if let Some(wanted) = &expect.frames {
            self.expect_frames(frame, id, wanted).await?;
        }
        if let Some(payload) = &expect.pong {
            self.expect_pong(frame, id, payload).await?;
        }
        match &expect.closed {
            Some(closed) => self.expect_closed(frame, id, closed).await,
            None => Ok(()),
        }
    }

    async fn expect_event(
        &self,
        frame: Frame<'_>,
        id: ClientId,
        pattern: &Pattern,
    ) -> Result<(), Failed> {
        let vars = self.vars(frame, id);
        let mut fields = Vars::new();
        for (name, template) in &pattern.fields {
            let person = matches!(name.as_str(), "who" | "from");
            let group = person.then(|| self.named_group(template)).flatten();
            let value = match group {
                Some(names) => Ok(Value::Array(names)),
                None => template::fill(template, &vars),
            };
            let value = value
                .map_err(|hole| self.fail(frame.step.place, id, Class::Reply, hole.to_string()))?;
            fields.insert(name.clone(), value);
        }
        for nth in 0..pattern.count {
            let seen = self.until(id, frame.deadline, |client, books| {
                let at = client
                    .inbox
                    .iter()
                    .position(|event| event.kind == pattern.kind && fits(event, &fields, books))?;
                let event = client.take_event(at)?;
                if let Some(fields) = event.heard.as_ref().and_then(|heard| heard.fields()) {
                    save(client, &pattern.save, fields);
                }
                Some(())
            });
            if seen.await.is_none() {
                let what = described(pattern, &fields);
                let had = match (nth, pattern.count) {
                    (_, 1) => String::new(),
                    (nth, count) => format!(" ({nth} of {count} came)"),
                };
                let dropped = self.shared.lock().client(id).map_or(0, |(it, _)| it.overflowed);
                let dropped = match dropped {
                    0 => String::new(),
                    dropped => format!("; {dropped} older events had to be dropped unread"),
                };
                let detail = format!("{what} did not come in time{had}{dropped}");
                return Err(self.fail(frame.step.place, id, absent(pattern.kind), detail));
            }
        }
        Ok(())
    }

    /// The names of a group's clients, when this word names a group.
    fn named_group(&self, word: &Value) -> Option<Vec<Value>> {
        let word = word.as_str()?;
        let group = self.plan.groups.iter().find(|group| group.name == word)?;
        let first = group.first.0 as usize;
        let members = self.plan.clients.get(first..first + group.size as usize)?;
        Some(members.iter().map(|client| Value::String(client.name.clone())).collect())
    }

    async fn expect_members(
        &self,
        frame: Frame<'_>,
        id: ClientId,
        members: &[String],
    ) -> Result<(), Failed> {
        let vars = self.vars(frame, id);
        let mut wanted: Vec<String> = Vec::new();
        for member in members {
            let word = Value::String(member.clone());
            let names = match self.named_group(&word) {
                Some(names) => names,
                None => vec![template::fill(&word, &vars).unwrap_or(word)],
            };
            wanted.extend(names.iter().map(template::as_text));
        }
        wanted.sort_unstable();
        let mut seen: Vec<String> = Vec::new();
        let same = self.until(id, frame.deadline, |client, _| {
            let stay = client.rooms().last();
            seen = stay.map(|stay| stay.members.iter().map(ToString::to_string).collect())?;
            seen.sort_unstable();
            (seen == wanted).then_some(())
        });
        if same.await.is_some() {
            return Ok(());
        }
        let detail = format!("the members should be {wanted:?}; this client was told {seen:?}");
        Err(self.fail(frame.step.place, id, Class::View, detail))
    }

    async fn expect_closed(
        &self,
        frame: Frame<'_>,
        id: ClientId,
        wanted: &ClosedPattern,
    ) -> Result<(), Failed> {
        let place = frame.step.place;
        let mut only_frame = false;
        let ended = self.until(id, frame.deadline, |client, _| match &client.state {
            State::Closed(at, ending) => {
                only_frame = wanted.end.is_some() && client.tcp_end.is_none();
                let close = Close { at: *at, ending: ending.clone(), tcp: client.tcp_end };
                (!only_frame).then_some((close, client.silent_since))
            }
            _ => None,
        });
        let Some((close, silent)) = ended.await else {
            let detail = match only_frame {
                true => "the Close frame came, but TCP has not ended",
                false => "the connection is still open",
            };
            return Err(self.fail(place, id, Class::Timeout, detail));
        };
        let now = self.shared.now();
        self.shared.lock().books.observe(now, id, What::Foreseen);
        let from = silent.unwrap_or(frame.begun);
        let least = wanted.not_before.as_ref().map(|span| self.span(span));
        let most = wanted.not_after.as_ref().map(|span| self.span(span));
        let wrong = wrong_end(wanted, &close).or_else(|| wrong_time((least, most), from, close.at));
        match wrong {
            Some((class, detail)) => Err(self.fail(place, id, class, detail)),
            None => Ok(()),
        }
    }

    pub(super) async fn expect_none(
        &self,
        frame: Frame<'_>,
        id: ClientId,
        none: &NonePattern,
    ) -> Result<(), Failed> {
        let kinds = &none.of;
        Timer::after(none.wait).await;
        let deadline = frame.deadline + none.wait;
        let alive = self.fence(Frame { deadline, ..frame }, id).await;
        let place = frame.step.place;
        let mut stage = self.shared.lock();
        let Some((client, _)) = stage.client(id) else { return Ok(()) };
        let ended = super::frames::ended(client).filter(|_| kinds.contains(&EventKind::Closed));
        if let (Some(Ended { class, how }), State::Closed(..)) = (ended, &client.state) {
            drop(stage);
            let detail = format!("the connection ended, which it must not ({how})");
            return Err(self.fail_so(place, id, class, detail));
        }
        let unwanted = client.inbox.iter().find(|event| kinds.contains(&event.kind)).cloned();
        drop(stage);
        if let Some(event) = unwanted {
            let text = event.heard.map_or_else(|| "(ping)".into(), |heard| heard.shown.clone());
            let detail = format!("an unwanted {}: {text}", event.kind.as_str());
            return Err(self.fail(place, id, present(event.kind), detail));
        }
        if let Some((pattern, shown)) = self.unwanted(frame, id, &none.frames)? {
            let detail = format!("a frame like {pattern} must not come; this came: {shown}");
            return Err(self.fail(place, id, Class::Leak, detail));
        }
        if !alive {
            let detail = "the fence did not come back: absence is not proven".to_owned();
            return Err(self.fail(place, id, Class::Unresponsive, detail));
        }
        Ok(())
    }

    /// Proves that everything that was on its way to a client has come: a message of its own comes
    /// back behind it, or the answer to a ping. Says whether it did.
    pub(super) async fn fence(&self, frame: Frame<'_>, id: ClientId) -> bool {
        let dialect = &self.plan.dialect;
        let inside = self.shared.lock().client(id).is_some_and(|(client, _)| client.can_speak());
        // Where frames are looked at as they are, nothing may be said that nobody asked for.
        let may_speak = self.plan.checks.messages;
        if dialect.fence == Fence::Say && dialect.echo == Some(Echo::Once) && inside && may_speak {
            let now = self.shared.now();
            let vars = self.vars(frame, id);
            return match self.speak(id, &Say::default(), (now, false), Wording::Fence, &vars) {
                Ok(_) => {
                    let back =
                        |client: &mut Client, _: &mut Books| client.fence_is_back().then_some(());
                    self.until(id, frame.deadline, back).await.is_some()
                }
                Err(_) => false,
            };
        }
        self.others_are_heard(frame, id).await;
        self.ping(frame.deadline, id).await
    }

    /// Waits until the server has heard what the other clients have sent: only then can a pong show
    /// that nothing of it is on its way.
    async fn others_are_heard(&self, frame: Frame<'_>, id: ClientId) {
        let clients = self.plan.clients.len();
        if clients > FENCED_TOGETHER {
            return;
        }
        let others = (0..clients).filter_map(|other| u32::try_from(other).ok()).map(ClientId);
        let pings = others.filter(|other| *other != id).map(|id| self.ping(frame.deadline, id));
        let heard = join_all(pings).await;
        tracing::debug!(?heard, "which of the others got their pongs");
    }

    /// Sends a WebSocket ping and waits for its pong. True where nothing can be asked: a closed
    /// connection sends no more, a deaf client sees no more.
    pub(in crate::drive) async fn ping(&self, deadline: std::time::Instant, id: ClientId) -> bool {
        let Some(number) = self.shared.ping(id) else { return true };
        let ponged = self.until(id, deadline, |client, _| {
            (client.ponged(number) || !client.is_open()).then_some(())
        });
        ponged.await.is_some()
    }
}

/// What is wrong with how a connection ended.
fn wrong_end(wanted: &ClosedPattern, close: &Close) -> Option<(Class, String)> {
    let ending = &close.ending;
    let who = match wanted.by {
        Side::Server if ending.asked => Some("the client itself closed the connection"),
        Side::Client if !ending.asked => Some("the server closed the connection"),
        _ => None,
    };
    if let Some(who) = who {
        return Some((Class::Close, who.to_owned()));
    }
    let code = |code: Option<u16>| code.map_or_else(|| "no code".to_owned(), |it| it.to_string());
    let how = match ending.clean {
        true => format!("closed with {} ({})", code(ending.code), ending.reason),
        false => format!("ended without a Close frame ({})", ending.reason),
    };
    let coded = ending.clean && wanted.codes.contains(&ending.code);
    if !wanted.codes.is_empty() && !coded {
        let wanted: Vec<String> = wanted.codes.iter().map(|it| code(*it)).collect();
        return Some((Class::Close, format!("{how}, not with {}", wanted.join(" or "))));
    }
    if wanted.clean.is_some_and(|clean| clean != ending.clean) {
        let should = if ending.clean { "without a Close frame" } else { "with a Close frame" };
        return Some((Class::Close, format!("{how}; it should have ended {should}")));
    }
    let named = |end| if end == TcpEnd::Fin { "in order (FIN)" } else { "with a reset (RST)" };
    match (wanted.end, close.tcp) {
        (Some(wanted), Some(end)) if wanted != end => {
            let detail = format!("TCP ended {}, not {}", named(end), named(wanted));
            Some((Class::Close, detail))
        }
        _ => None,
    }
}

/// What is wrong with when a connection ended.
fn wrong_time(
    (least, most): (Option<Duration>, Option<Duration>),
    from: Time,
    at: Time,
) -> Option<(Class, String)> {
    let open = Duration::from_micros(at.0.saturating_sub(from.0));
    let early = least.filter(|least| open < *least);
    let late = most.filter(|most| open > *most);
    let detail = match (early, late) {
        (Some(least), _) => format!("closed after {open:.1?}, which is before {least:.1?}"),
        (None, Some(most)) => format!("closed after {open:.1?}, which is later than {most:.1?}"),
        (None, None) => return None,
    };
    Some((Class::Timeout, detail))
}

/// Whether an event has these fields.
fn fits(event: &Event, wanted: &Vars, books: &mut Books) -> bool {
    let Some(heard) = &event.heard else { return wanted.is_empty() };
    let Some(fields) = heard.fields() else { return wanted.is_empty() };
    wanted.iter().all(|(name, value)| match name.as_str() {
        "who" | "from" => {
            let room: Option<RoomId> =
                fields.get("room").and_then(Value::as_str).map(|room| books.room(room));
            let who = match (books.named(heard, room), event.from) {
                (Who::Client(client), _) => books.name(client),
                (Who::Stranger(word), _) => Some(word),
                // The wire names nobody: the words themselves tell whose they are.
                (Who::Untold, from) => from.and_then(|from| books.name(from)),
            };
            who.is_some_and(|who| match value {
                Value::Array(names) => names.iter().any(|name| name.as_str() == Some(&*who)),
                value => value.as_str() == Some(&*who),
            })
        }
        name => fields.get(name).is_some_and(|found| contains(found, value)),
    })
}

/// Whether a value is the wanted one; an object may hold more.
fn contains(found: &Value, wanted: &Value) -> bool {
    match (found, wanted) {
        (Value::Object(found), Value::Object(wanted)) => wanted
            .iter()
            .all(|(key, value)| found.get(key).is_some_and(|found| contains(found, value))),
        (found, wanted) => found == wanted,
    }
}

fn described(pattern: &Pattern, fields: &Vars) -> String {
    let fields: Vec<String> =
        fields.iter().map(|(name, value)| format!("{name} {value}")).collect();
    match fields.is_empty() {
        true => format!("`{}`", pattern.kind.as_str()),
        false => format!("`{}` with {}", pattern.kind.as_str(), fields.join(", ")),
    }
}

/// What is wrong when such an event does not come.
fn absent(kind: EventKind) -> Class {
    match kind {
        EventKind::Message => Class::Loss,
        EventKind::Joined | EventKind::Left | EventKind::Renamed => Class::Notice,
        EventKind::Presence | EventKind::Typing | EventKind::Read => Class::Presence,
        EventKind::Stored => Class::Storage,
        EventKind::Ping => Class::Ping,
        EventKind::Closed => Class::Timeout,
        EventKind::Welcome => Class::Greeting,
        _ => Class::Reply,
    }
}

/// What is wrong when such an event comes and must not.
fn present(kind: EventKind) -> Class {
    match kind {
        EventKind::Message => Class::Leak,
        kind => absent(kind),
    }
}
