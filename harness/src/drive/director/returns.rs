//! Coming back after a connection has ended: when a client may, how often it tries, and its rooms.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use async_io::Timer;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::Value;

use super::{Director, Failed, Frame};
use crate::books::Books;
use crate::check::Class;
use crate::client::{Client, State};
use crate::dialect::{Return, Verb};
use crate::latency::Metric;
use crate::observe::ClientId;
use crate::plan::{Ask, Rejoin, Vars};

const BACKOFF_MAX: Duration = Duration::from_secs(30);

impl Director<'_> {
    /// Waits, connects again, and goes back to its rooms.
    pub(super) async fn reconnect(
        &self,
        frame: Frame<'_>,
        id: ClientId,
        (after, backoff, jitter): (Duration, Option<Duration>, bool),
        rejoin: Rejoin,
    ) -> Result<(), Failed> {
        let mut random = StdRng::seed_from_u64(self.plan.seed ^ (u64::from(id.0) << 32));
        let mut pause = |pause: Duration| {
            if jitter { pause.mul_f64(random.random_range(0.0..2.0)) } else { pause }
        };
        let begun = self.shared.now();
        let end = |client: &mut Client, _: &mut Books| client.is_over().then_some(());
        if self.until(id, frame.deadline, end).await.is_none() {
            let detail = "still connected: nothing to reconnect".to_owned();
            return Err(self.fail(frame.step.place, id, Class::Close, detail));
        }
        let owed = self.owed(frame, id)?;
        Timer::after(pause(after)).await;
        Timer::at(owed).await;
        let by_path = self.plan.dialect.connect.in_path;
        if by_path && rejoin == Rejoin::No {
            self.arm(id, Vec::new(), false);
            return self.return_to_rooms(frame, id, rejoin).await;
        }
        let mut next = backoff;
        let mut tries = 0;
        loop {
            if by_path {
                self.choose(id, &self.past_room(frame, id));
            }
            let deadline = Instant::now() + super::WITHIN;
            let attempt = Frame { deadline, begun: self.shared.now(), ..frame };
            let Err(reason) = self.connect(attempt, id, (None, Vec::new()), false).await else {
                break;
            };
            tries += 1;
            let gives_up = self.plan.dialect.duty.attempts.is_some_and(|most| tries >= most);
            let Some(wait) = next.filter(|_| !gives_up && Instant::now() < frame.deadline) else {
                let often = if tries > 1 { format!(" in {tries} tries") } else { String::new() };
                let detail = format!("could not reconnect{often}: {reason}");
                return Err(self.fail(frame.step.place, id, Class::Handshake, detail));
            };
            let owed = self.owed(frame, id)?;
            Timer::after(pause(wait)).await;
            Timer::at(owed).await;
            next = Some((wait * 2).min(BACKOFF_MAX));
        }
        let frame = Frame { deadline: Instant::now() + super::WITHIN, ..frame };
        self.return_to_rooms(frame, id, rejoin).await?;
        let micros = self.shared.now().0.saturating_sub(begun.0);
        self.shared.lock().books.measure(Metric::ReconnectLatency, micros);
        Ok(())
    }

    /// The room that a client was in last.
    fn past_room(&self, frame: Frame<'_>, id: ClientId) -> String {
        let past = self
            .shared
            .lock()
            .client(id)
            .and_then(|(client, _)| client.past().last().map(|stay| stay.name.to_string()));
        past.unwrap_or_else(|| self.usual_room(frame, id))
    }

    async fn return_to_rooms(
        &self,
        frame: Frame<'_>,
        id: ClientId,
        rejoin: Rejoin,
    ) -> Result<(), Failed> {
        let by_itself = self.plan.dialect.enters_by_connecting();
        if rejoin != Rejoin::No || !self.plan.dialect.connect.in_path {
            self.introduce(frame, id).await?;
        }
        let past = self.shared.lock().client(id).map(|(client, _)| client.past().to_vec());
        for stay in past.unwrap_or_default() {
            if rejoin == Rejoin::No || by_itself {
                continue;
            }
            let text = |text: &str| Value::String(text.to_owned());
            let mut args = Vars::from([("room".to_owned(), text(&stay.name))]);
            if !stay.full {
                args.insert("membership".to_owned(), text("none"));
            }
            if rejoin == Rejoin::Since {
                args.insert("since".to_owned(), text("last"));
            }
            let ask = Ask { verb: Verb::Join, args, save: BTreeMap::new(), refused: None };
            self.ask(frame, id, &ask).await?;
        }
        if rejoin == Rejoin::No
            && let Some((client, _)) = self.shared.lock().client(id)
        {
            client.forget_past();
        }
        Ok(())
    }

    /// From when on a client may come back, by the code with which its server has ended the last
    /// connection; a code after which it must not fails the step.
    fn owed(&self, frame: Frame<'_>, id: ClientId) -> Result<Instant, Failed> {
        let now = self.shared.now();
        let (code, since) = self.shared.lock().client(id).map_or((None, now), |(client, _)| {
            let since = match client.state {
                State::Closed(at, _) => at,
                _ => now,
            };
            (client.ended_with, since)
        });
        let since = self.shared.instant_of(since);
        match code.and_then(|code| Some((code, self.plan.dialect.duty.of(code)?))) {
            None => Ok(since),
            Some((_, Return::After(time))) => Ok(since + time),
            Some((code, Return::Never)) => {
                let name = &self.plan.dialect.name;
                let detail =
                    format!("the server ended it with {code}: clients of {name} do not come back");
                Err(self.fail(frame.step.place, id, Class::Close, detail))
            }
        }
    }
}
