//! Rooms that are in the path: entering is connecting, leaving is closing. And what must be asked
//! by HTTP before either, or before any other request.

use std::time::{Duration, Instant};

use async_io::Timer;
use serde_json::Value;

use super::{Director, Failed, Frame};
use crate::books::Books;
use crate::check::Class;
use crate::client::{Armed, Client, Errand, State};
use crate::dialect::{EventKind, Verb};
use crate::drive::http::Work;
use crate::latency::Metric;
use crate::observe::ClientId;
use crate::plan::{Action, Ask, Vars};
use crate::scenario::template::{self, as_text};

/// How long to wait before a full queue is tried again.
const QUEUE_FULL: Duration = Duration::from_millis(5);

impl Director<'_> {
    /// Gets a client ready to connect as soon as it is known to which room.
    pub(super) fn arm(&self, id: ClientId, headers: Vec<(String, String)>, bare: bool) {
        if let Some((client, _)) = self.shared.lock().client(id) {
            client.armed = Some(Armed { headers, bare });
            if client.is_over() {
                client.state = State::Away;
            }
        }
    }

    /// The room of a client that chooses none: its variable `room`, or one of the run's own.
    pub(super) fn usual_room(&self, frame: Frame<'_>, id: ClientId) -> String {
        let vars = self.vars(frame, id);
        vars.get("room").map_or_else(|| format!("lobby-{}", self.plan.run), as_text)
    }

    /// A client chooses the room that it enters with its next connection.
    pub(super) fn choose(&self, id: ClientId, room: &str) {
        let now = self.shared.now();
        if let Some((client, books)) = self.shared.lock().client(id) {
            client.entering(now, room, books);
        }
    }

    /// Connects a client that has only got ready so far, when a step needs a connection.
    pub(super) async fn ensure_open(&self, frame: Frame<'_>, id: ClientId) -> Result<(), Failed> {
        let needs = match &frame.step.action {
            Action::Close { .. } | Action::Drop | Action::HalfClose | Action::Say(_) => true,
            Action::Expect(_) | Action::ExpectNone(_) | Action::Transmit(_) => true,
            Action::Ask(ask) => ask.verb != Verb::Join,
            _ => false,
        };
        let armed = self.shared.lock().client(id).and_then(|(client, _)| {
            (client.state == State::Away).then(|| client.armed.clone()).flatten()
        });
        let Some(armed) = armed.filter(|_| needs) else { return Ok(()) };
        self.choose(id, &self.usual_room(frame, id));
        self.open_now(frame, id, (None, armed.headers), armed.bare).await
    }

    /// Enters a room by connecting to its path.
    pub(super) async fn join_by_path(
        &self,
        frame: Frame<'_>,
        id: ClientId,
        ask: &Ask,
        args: &Vars,
    ) -> Result<(), Failed> {
        let place = frame.step.place;
        let room = args.get("room").or_else(|| args.get("code")).map(as_text).unwrap_or_default();
        let (open, inside, armed) = self.shared.lock().client(id).map_or_else(
            || (false, None, None),
            |(client, _)| {
                let inside = client.rooms().last().map(|stay| stay.name.to_string());
                (client.is_open(), inside, client.armed.take())
            },
        );
        let Armed { headers, bare } = armed.clone().unwrap_or_default();
        match (open, inside) {
            (true, Some(inside)) if inside == room => return Ok(()),
            // It was connected before it was known where to.
            (true, _) if armed.is_some() => self.hang_up(frame, id).await?,
            (true, inside) => {
                let inside = inside.unwrap_or_default();
                let detail =
                    format!("a connection is in one room, this one in `{inside}`: leave it first");
                return Err(self.fail(place, id, Class::Admission, detail));
            }
            (false, _) => {}
        }
        self.before(frame, id, Verb::Join, args).await?;
        self.choose(id, &room);
        let entered = self.connect(frame, id, (None, headers), bare).await;
        match (entered, ask.refused.as_deref()) {
            (Err(reason), Some(code)) if reason.starts_with(&format!("HTTP {code} ")) => {
                return Ok(());
            }
            (Err(reason), _) => {
                self.shared.lock().books.measured.count(Metric::OpenFailed, 1);
                let detail = format!("could not enter `{room}`: {reason}");
                return Err(self.fail(place, id, Class::Handshake, detail));
            }
            (Ok(()), Some(code)) if self.plan.dialect.enters_by_connecting() => {
                let detail = format!("`join` was done; it should have been refused with `{code}`");
                return Err(self.fail(place, id, Class::Reply, detail));
            }
            (Ok(()), _) => {}
        }
        self.introduce(frame, id).await?;
        if !self.plan.dialect.enters_by_connecting() {
            return self.ask_now(frame, id, ask, args).await;
        }
        self.inside_by_path(frame, id).await
    }

    /// Where the server tells of the entry, it is in when that has come.
    async fn inside_by_path(&self, frame: Frame<'_>, id: ClientId) -> Result<(), Failed> {
        if self.plan.dialect.tells(EventKind::Entered) {
            let inside = |client: &mut Client, _: &mut Books| client.rooms().last().map(|_| ());
            if self.until(id, frame.deadline, inside).await.is_none() {
                let detail = "connected, but not entered, in time".to_owned();
                return Err(self.fail(frame.step.place, id, Class::Admission, detail));
            }
        }
        let micros = self.shared.now().0.saturating_sub(frame.begun.0);
        self.shared.lock().books.measure(Metric::JoinLatency, micros);
        Ok(())
    }

    /// Leaves the only room by closing the connection.
    pub(super) async fn leave_by_path(&self, frame: Frame<'_>, id: ClientId) -> Result<(), Failed> {
        let now = self.shared.now();
        let left =
            self.shared.lock().client(id).and_then(|(client, books)| client.leaving(now, books));
        if left.is_none() {
            let detail = "cannot leave: it is in no room".to_owned();
            return Err(self.fail(frame.step.place, id, Class::Close, detail));
        }
        self.hang_up(frame, id).await?;
        if let Some((client, _)) = self.shared.lock().client(id) {
            client.armed = Some(Armed::default());
            client.forget_past();
        }
        Ok(())
    }

    async fn hang_up(&self, frame: Frame<'_>, id: ClientId) -> Result<(), Failed> {
        self.close(frame, id, Some(1000), "").await
    }

    /// Makes the HTTP requests that come before something is asked for.
    pub(super) async fn before(
        &self,
        frame: Frame<'_>,
        id: ClientId,
        verb: Verb,
        args: &Vars,
    ) -> Result<(), Failed> {
        let names = self.plan.dialect.before(verb, &self.vars_for(id, verb, args)).to_vec();
        for name in names {
            let vars = self.vars_for(id, verb, args);
            self.visit(frame, id, &name, &vars).await.map_err(|reason| {
                let detail = format!("cannot {verb}: {reason}");
                self.fail(frame.step.place, id, Class::Auth, detail)
            })?;
        }
        Ok(())
    }

    /// Makes an HTTP request of the dialect, and keeps what it brings.
    pub(super) async fn visit(
        &self,
        frame: Frame<'_>,
        id: ClientId,
        name: &str,
        vars: &Vars,
    ) -> Result<(), String> {
        let exchange = self.plan.dialect.exchange(name, vars).map_err(|hole| hole.to_string())?;
        let ticket = self.shared.lock().client(id).map_or(0, |(client, _)| client.errand_ticket());
        let mut work: Work = Box::new(move |worker| {
            let errand = worker.perform(id, &exchange);
            worker.with(|shared| shared.tell(id, |client, _| client.errand_done(ticket, errand)));
        });
        while let Err(back) = self.shared.errand(id, work) {
            if Instant::now() >= frame.deadline {
                return Err(format!("`{name}` was never made: too many requests are waiting"));
            }
            Timer::after(QUEUE_FULL).await;
            work = back;
        }
        match self.until(id, frame.deadline, |client, _| client.take_errand(ticket)).await {
            Some(Errand::Done(..)) => Ok(()),
            Some(Errand::Refused(refusal)) => Err(format!("`{name}` was answered with {refusal}")),
            Some(errand) => Err(format!("`{name}`: {}", errand.reason())),
            None => Err(format!("`{name}` was not answered in time")),
        }
    }

    fn vars_for(&self, id: ClientId, verb: Verb, args: &Vars) -> Vars {
        let mut stage = self.shared.lock();
        let vars = stage.client(id).map(|(client, books)| client.vars_for(verb, args, books));
        vars.unwrap_or_default()
    }

    /// The path to connect to, and the headers to send, when all that comes before is done.
    pub(super) async fn way_in(
        &self,
        frame: Frame<'_>,
        id: ClientId,
        path: Option<&str>,
        mut headers: Vec<(String, String)>,
    ) -> Result<(String, Vec<(String, String)>), String> {
        let dialect = &self.plan.dialect;
        for name in &dialect.connect.before {
            let vars = self.vars_in(frame, id);
            self.visit(frame, id, name, &vars).await?;
        }
        let vars = self.vars_in(frame, id);
        let path = match path.or(self.target.path.as_deref()) {
            Some(path) => template::fill_text(path, &vars).map_err(|hole| hole.to_string())?,
            None => dialect.path(&vars).map_err(|hole| hole.to_string())?,
        };
        let own = dialect.headers(&vars).map_err(|hole| hole.to_string())?;
        let cookie = dialect.connect.cookies.then(|| {
            let mut stage = self.shared.lock();
            stage.client(id).and_then(|(client, _)| client.jar.header(&self.target.host))
        });
        let cookie = cookie.flatten().map(|cookie| ("Cookie".to_owned(), cookie));
        // What the scenario says stands over what the dialect says.
        for (name, value) in own.into_iter().chain(cookie) {
            if !headers.iter().any(|(given, _)| given.eq_ignore_ascii_case(&name)) {
                headers.push((name, value));
            }
        }
        Ok((path, headers))
    }

    /// A client's variables, with the room that it is about to enter by connecting.
    fn vars_in(&self, frame: Frame<'_>, id: ClientId) -> Vars {
        let mut vars = self.vars(frame, id);
        let mut stage = self.shared.lock();
        let chosen = stage.client(id).and_then(|(client, books)| client.chosen_room(books));
        vars.extend(chosen.map(|room| ("room".to_owned(), Value::from(&*room))));
        vars
    }
}
