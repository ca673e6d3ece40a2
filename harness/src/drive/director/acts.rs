//! What a client does in a step.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_tungstenite::tungstenite::handshake::client::generate_key;
use serde_json::Value;

use super::{Director, Failed, Frame, save};
use crate::books::{Books, Wording};
use crate::check::Class;
use crate::client::{Answer, Asked, Client, Line, State};
use crate::dialect::Verb;
use crate::drive::swarm::Command;
use crate::handshake::Request;
use crate::latency::Metric;
use crate::observe::{ClientId, Time};
use crate::plan::{Action, Ask, Comparison, Say, Vars};
use crate::scenario::template;
use crate::wire::Outgoing;

impl Director<'_> {
    pub(super) async fn act(&self, frame: Frame<'_>, id: ClientId) -> Result<(), Failed> {
        self.ensure_open(frame, id).await?;
        match &frame.step.action {
            Action::Open { path, headers, bare } => {
                let headers = headers.iter().map(|(k, v)| (k.clone(), v.clone())).collect();
                self.open(frame, id, (path.as_deref(), headers), *bare).await
            }
            Action::Close { code, reason } => self.close(frame, id, *code, reason).await,
            Action::Drop => {
                self.reset(id);
                Ok(())
            }
            Action::Reconnect { after, backoff, jitter, rejoin } => {
                self.reconnect(frame, id, (*after, *backoff, *jitter), *rejoin).await
            }
            Action::Pongs(on) => {
                let now = self.shared.now();
                if let Some((client, books)) = self.shared.lock().client(id) {
                    client.set_pongs(now, *on, books);
                }
                Ok(())
            }
            Action::Reads(on) => {
                self.set_reads(id, *on);
                Ok(())
            }
            Action::Ask(ask) => self.ask(frame, id, ask).await,
            Action::Say(say) => self.say(frame, id, say).await,
            Action::Expect(expect) => self.expect(frame, id, expect).await,
            Action::ExpectNone(none) => self.expect_none(frame, id, none).await,
            Action::Transmit(parts) => self.transmit(frame, id, parts),
            Action::HalfClose => self.half_close(frame, id),
            Action::Drain => self.drain(frame, id).await,
            Action::Compare(Comparison::Values(values, relation)) => {
                self.compare(frame, id, values, *relation)
            }
            Action::Http(exchange) => self.exchange(frame, id, exchange).await,
            Action::Each(steps) => {
                let scope = super::Scope { only: Some(id), round: frame.round };
                self.steps(steps, scope).await
            }
            Action::Compare(Comparison::Members(..))
            | Action::LeftOut(_)
            | Action::Server(_)
            | Action::Wait(_)
            | Action::Repeat { .. }
            | Action::Together(_)
            | Action::Phase { .. }
            | Action::Network(_)
            | Action::Settle(_) => Ok(()),
        }
    }

    /// Connects, waits to be greeted, and introduces itself.
    async fn open(
        &self,
        frame: Frame<'_>,
        id: ClientId,
        to: (Option<&str>, Vec<(String, String)>),
        bare: bool,
    ) -> Result<(), Failed> {
        if self.plan.dialect.connect.in_path && to.0.is_none() {
            let group = self.plan.clients.get(id.0 as usize).map_or(0, |client| client.group);
            if self.facts.get(group).is_some_and(|facts| facts.joins) {
                self.arm(id, to.1, bare);
                return Ok(());
            }
            self.choose(id, &self.usual_room(frame, id));
        }
        self.open_now(frame, id, to, bare).await
    }

    pub(super) async fn open_now(
        &self,
        frame: Frame<'_>,
        id: ClientId,
        to: (Option<&str>, Vec<(String, String)>),
        bare: bool,
    ) -> Result<(), Failed> {
        let outcome = self.connect(frame, id, to, bare).await;
        outcome.map_err(|reason| {
            self.shared.lock().books.measured.count(Metric::OpenFailed, 1);
            self.fail(
                frame.step.place,
                id,
                Class::Handshake,
                format!("could not connect: {reason}"),
            )
        })?;
        if bare { Ok(()) } else { self.introduce(frame, id).await }
    }

    /// Says who the client is, where the dialect wants that first.
    pub(super) async fn introduce(&self, frame: Frame<'_>, id: ClientId) -> Result<(), Failed> {
        for &verb in &self.plan.dialect.connect.introduce {
            let mut args = Vars::new();
            if verb == Verb::Name {
                let me = self.plan.clients.get(id.0 as usize).map(|client| client.name.as_str());
                args.insert("username".to_owned(), Value::from(me.unwrap_or_default()));
            }
            self.before(frame, id, verb, &args).await?;
            let ask = Ask { verb, args: Vars::new(), save: BTreeMap::new(), refused: None };
            self.ask_now(frame, id, &ask, &args).await?;
        }
        Ok(())
    }

    pub(super) async fn connect(
        &self,
        frame: Frame<'_>,
        id: ClientId,
        (path, headers): (Option<&str>, Vec<(String, String)>),
        bare: bool,
    ) -> Result<(), Arc<str>> {
        let (path, headers) = match self.way_in(frame, id, path, headers).await {
            Ok(way) => way,
            Err(reason) => {
                let now = self.shared.now();
                if let Some((client, books)) = self.shared.lock().client(id) {
                    client.failed(now, &reason, books);
                }
                return Err(reason.into());
            }
        };
        let begun = self.shared.now();
        let request = Request {
            host: self.target.host.clone(),
            path,
            subprotocol: self.plan.dialect.connect.subprotocol.clone(),
            headers,
            key: generate_key(),
        };
        let group = self.plan.clients.get(id.0 as usize).map_or(0, |client| client.group);
        let small_buffer = self.facts.get(group).is_some_and(|facts| facts.stops_reading);
        if let Some((client, _)) = self.shared.lock().client(id) {
            client.connecting(begun, bare);
        }
        // Behind a proxy it is the proxy that speaks TLS.
        let (address, tls) = match self.middle {
            Some(middle) => (middle.address(), None),
            None => (self.target.address, self.target.tls.clone()),
        };
        self.swarm.command(Command::Open { client: id, address, tls, request, small_buffer });
        let outcome = self.until(id, frame.deadline, |client, _| match &client.state {
            // What was open and is closed again was open: later steps see how it ended.
            State::Open | State::Closed(..) => Some(Ok(())),
            State::Failed(reason) => Some(Err(Arc::clone(reason))),
            State::Away | State::Opening | State::Closing => None,
        });
        let outcome = outcome.await.unwrap_or_else(|| {
            self.swarm.command(Command::End { client: id, reset: false });
            Err("no answer in time".into())
        });
        if outcome.is_ok() {
            let micros = self.shared.now().0.saturating_sub(begun.0);
            self.shared.lock().books.measure(Metric::OpenLatency, micros);
        }
        outcome
    }

    pub(super) async fn close(
        &self,
        frame: Frame<'_>,
        id: ClientId,
        code: Option<u16>,
        reason: &str,
    ) -> Result<(), Failed> {
        self.begin_close(id, code.unwrap_or(1000), reason);
        let ended = |client: &mut Client, _: &mut Books| client.is_over().then_some(());
        match self.until(id, frame.deadline, ended).await {
            Some(()) => Ok(()),
            None => Err(self.fail(
                frame.step.place,
                id,
                Class::Close,
                "the server did not answer the Close frame",
            )),
        }
    }

    /// Sends a Close frame, if there is a connection to close.
    pub(in crate::drive) fn begin_close(&self, id: ClientId, code: u16, reason: &str) {
        let now = self.shared.now();
        let mut stage = self.shared.lock();
        let Some((client, books)) = stage.client(id).filter(|(client, _)| client.is_open()) else {
            return;
        };
        client.closing(now, false, books);
        let parcel = stage.frame(now, id, Outgoing::Close { code, reason });
        drop(stage);
        self.shared.deliver(parcel);
    }

    fn reset(&self, id: ClientId) {
        let now = self.shared.now();
        if let Some((client, books)) = self.shared.lock().client(id) {
            client.closing(now, true, books);
        }
        self.swarm.command(Command::End { client: id, reset: true });
    }

    fn set_reads(&self, id: ClientId, on: bool) {
        let now = self.shared.now();
        let mut stage = self.shared.lock();
        if let Some((client, books)) = stage.client(id) {
            client.set_reads(now, on, books);
        }
        if let Some(Some(link)) = stage.links.get(id.0 as usize) {
            link.pause(!on);
        }
        drop(stage);
        if on {
            self.swarm.command(Command::Resume(id));
        }
    }

    /// Asks, and waits for the answer where the dialect answers.
    pub(super) async fn ask(
        &self,
        frame: Frame<'_>,
        id: ClientId,
        ask: &Ask,
    ) -> Result<(), Failed> {
        let place = frame.step.place;
        let vars = self.vars(frame, id);
        let mut args = Vars::new();
        for (name, template) in &ask.args {
            let value = template::fill(template, &vars)
                .map_err(|hole| self.fail(place, id, Class::Reply, hole.to_string()))?;
            args.insert(name.clone(), value);
        }
        let dialect = &self.plan.dialect;
        match ask.verb {
            Verb::Join if dialect.connect.in_path => self.join_by_path(frame, id, ask, &args).await,
            Verb::Leave if dialect.enters_by_connecting() => self.leave_by_path(frame, id).await,
            verb => {
                self.before(frame, id, verb, &args).await?;
                self.ask_now(frame, id, ask, &args).await
            }
        }
    }

    pub(super) async fn ask_now(
        &self,
        frame: Frame<'_>,
        id: ClientId,
        ask: &Ask,
        args: &Vars,
    ) -> Result<(), Failed> {
        let place = frame.step.place;
        let asked = self.request(id, ask.verb, args, ask.refused.is_some());
        let asked = asked.map_err(|(class, detail)| self.fail(place, id, class, detail))?;
        self.answer(frame, id, ask.verb, &asked, ask.refused.as_deref(), &ask.save).await
    }

    /// Sends a request. Where it shall be refused, that is waited for in any case.
    fn request(
        &self,
        id: ClientId,
        verb: Verb,
        args: &Vars,
        refused: bool,
    ) -> Result<Asked, (Class, String)> {
        let now = self.shared.now();
        let mut stage = self.shared.lock();
        let Some((client, books)) = stage.client(id).filter(|(client, _)| client.is_open()) else {
            let detail = format!("cannot {}: there is no connection", verb.as_str());
            return Err((Class::Close, detail));
        };
        let asked = client.ask(now, verb, args, true, books);
        let mut asked = asked.map_err(|hole| (Class::Reply, hole.to_string()))?;
        if refused {
            client.await_refusal(now, verb, &mut asked);
        }
        let parcel = stage.pack(now, id, &asked);
        drop(stage);
        self.shared.deliver(parcel);
        Ok(asked)
    }

    async fn say(&self, frame: Frame<'_>, id: ClientId, say: &Say) -> Result<(), Failed> {
        let args = Vars::from([("text".to_owned(), Value::from(""))]);
        self.before(frame, id, Verb::Say, &args).await?;
        let now = self.shared.now();
        let vars = self.vars(frame, id);
        let words = Wording::Stamped(say.size.unwrap_or(0));
        let asked = self.speak(id, say, (now, true), words, &vars);
        match asked {
            Ok(asked) => {
                let saved = BTreeMap::new();
                self.answer(frame, id, Verb::Say, &asked, say.refused.as_deref(), &saved).await
            }
            Err(reason) => Err(self.fail(frame.step.place, id, Class::Close, reason)),
        }
    }

    /// Says something; `otherwise` is said when the scenario gives no text.
    pub(super) fn speak(
        &self,
        id: ClientId,
        say: &Say,
        (intended, awaited): (Time, bool),
        otherwise: Wording<'_>,
        vars: &Vars,
    ) -> Result<Asked, String> {
        let fill = |template: &str| {
            let filled = template::fill(&Value::String(template.to_owned()), vars);
            filled.map(|value| template::as_text(&value)).map_err(|hole| hole.to_string())
        };
        let text = say.text.as_deref().map(fill).transpose()?;
        let room = say.room.as_deref().map(fill).transpose()?;
        let words = text.as_deref().map_or(otherwise, Wording::Fixed);
        let now = self.shared.now();
        let mut stage = self.shared.lock();
        let Some((client, books)) = stage.client(id).filter(|(client, _)| client.is_open()) else {
            return Err("cannot say anything: there is no connection".to_owned());
        };
        let line = Line { words, room: room.as_deref(), intended, awaited };
        let mut asked = client.say(now, line, books).map_err(|hole| hole.to_string())?;
        if say.refused.is_some() {
            client.await_refusal(now, Verb::Say, &mut asked);
        }
        let parcel = stage.pack(now, id, &asked);
        drop(stage);
        self.shared.deliver(parcel);
        Ok(asked)
    }

    async fn answer(
        &self,
        frame: Frame<'_>,
        id: ClientId,
        verb: Verb,
        asked: &Asked,
        refused: Option<&str>,
        saved: &BTreeMap<String, String>,
    ) -> Result<(), Failed> {
        let (place, word) = (frame.step.place, verb.as_str());
        let Some(request) = asked.request else { return Ok(()) };
        let answer = self.until(id, frame.deadline, |client, _| client.take_answer(request)).await;
        let detail = match (answer, refused) {
            (Some(Answer::Done(heard)), None) => {
                if let (Some(fields), Some((client, _))) =
                    (heard.fields(), self.shared.lock().client(id))
                {
                    save(client, saved, fields);
                }
                return self.inside(frame, id, verb).await;
            }
            (Some(Answer::Refused(code)), Some(wanted)) if *code == *wanted => return Ok(()),
            (Some(Answer::Refused(code)), None) => format!("`{word}` was refused: {code}"),
            (Some(Answer::Refused(code)), Some(wanted)) => {
                format!("`{word}` was refused with `{code}`, not with `{wanted}`")
            }
            (Some(Answer::Done(_)), Some(wanted)) => {
                format!("`{word}` was done; it should have been refused with `{wanted}`")
            }
            (Some(Answer::Gone), _) => format!("the connection ended before `{word}` was answered"),
            (Some(Answer::Lost(reason)), _) => format!("`{word}`: {reason}"),
            (None, Some(wanted)) => format!("`{word}` was not refused with `{wanted}` in time"),
            (None, None) => format!("`{word}` was not answered in time"),
        };
        Err(self.fail(place, id, Class::Reply, detail))
    }

    /// After `create` the client is inside when its own entry has come.
    async fn inside(&self, frame: Frame<'_>, id: ClientId, verb: Verb) -> Result<(), Failed> {
        if verb != Verb::Create {
            return Ok(());
        }
        let inside = self.until(id, frame.deadline, |client, _| client.rooms().last().map(|_| ()));
        inside.await.ok_or_else(|| {
            let detail = "a room was created, but not entered, in time".to_owned();
            self.fail(frame.step.place, id, Class::Admission, detail)
        })
    }
}
