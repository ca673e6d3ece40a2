//! Frames that a client must get as they are written in the scenario, or must not get.

use std::sync::Arc;

use serde_json::Value;

use super::{Director, Failed, Frame};
use crate::books::Books;
use crate::check::Class;
use crate::client::{Client, Got, State};
use crate::craft;
use crate::dialect::pattern::Pattern;
use crate::observe::{ClientId, Ending};
use crate::plan::{FramesPattern, Payload, Vars};

/// Frames shown when another one was expected.
const SHOWN: usize = 3;

/// Why a frame was not found.
enum Missing {
    /// Another one was the next.
    Other(Arc<str>),
    /// The connection ended first: how.
    Ended(Ended),
}

impl Director<'_> {
    pub(super) async fn expect_frames(
        &self,
        frame: Frame<'_>,
        id: ClientId,
        wanted: &FramesPattern,
    ) -> Result<(), Failed> {
        match wanted {
            FramesPattern::Some(pattern, count) => {
                let pattern = self.pattern(frame, id, pattern)?;
                for nth in 0..*count {
                    let had = if *count == 1 {
                        String::new()
                    } else {
                        format!(" ({nth} of {count} came)")
                    };
                    self.expect_frame(frame, id, &pattern, (0, &had)).await?;
                }
            }
            FramesPattern::InOrder(patterns) => {
                let mut after = 0;
                for (nth, pattern) in patterns.iter().enumerate() {
                    // What the ones before have captured is known to the next.
                    let pattern = self.pattern(frame, id, pattern)?;
                    let had =
                        if nth == 0 { String::new() } else { format!(", after {nth} that did") };
                    after = self.expect_frame(frame, id, &pattern, (after, &had)).await? + 1;
                }
            }
            FramesPattern::Next(pattern) => {
                let pattern = self.pattern(frame, id, pattern)?;
                self.expect_next(frame, id, &pattern).await?;
            }
        }
        Ok(())
    }

    /// Waits for a frame like this from a number on, takes it and keeps what it gives; says its number.
    async fn expect_frame(
        &self,
        frame: Frame<'_>,
        id: ClientId,
        pattern: &Pattern,
        (from, had): (u64, &str),
    ) -> Result<u64, Failed> {
        let mut from = from;
        let found = self.until(id, frame.deadline, |client, books| {
            let fits = |got: &Got| {
                let bound = pattern.matched(got.value(&self.plan.dialect))?;
                Some((got.nth, bound))
            };
            let found = client.frames().filter(|got| got.nth >= from).find_map(fits);
            // What did not fit once never will.
            from = client.next_frame().max(from);
            match found {
                Some((nth, bound)) => {
                    take(client, nth, bound, books);
                    Some(Ok(nth))
                }
                None => ended(client).map(|how| Err(Missing::Ended(how))),
            }
        });
        let end = match found.await {
            Some(Ok(nth)) => return Ok(nth),
            Some(Err(Missing::Ended(ended))) => {
                let end = format!("the connection ended first: {}", ended.how);
                let detail = format!("expected {pattern}{had}: {end}; {}", self.instead(id));
                return Err(self.fail_so(frame.step.place, id, ended.class, detail));
            }
            _ => "no such frame came in time",
        };
        let detail = format!("expected {pattern}{had}: {end}; {}", self.instead(id));
        Err(self.fail(frame.step.place, id, Class::Reply, detail))
    }

    async fn expect_next(
        &self,
        frame: Frame<'_>,
        id: ClientId,
        pattern: &Pattern,
    ) -> Result<(), Failed> {
        let ignored = self.ignored(frame, id)?;
        let found = self.until(id, frame.deadline, |client, books| {
            let dialect = &self.plan.dialect;
            let next = client.frames().find(|got| counts(got, &ignored, dialect));
            match next.map(|got| (got.nth, pattern.matched(got.value(dialect)), got.shown())) {
                Some((nth, Some(bound), _)) => {
                    take(client, nth, bound, books);
                    Some(Ok(()))
                }
                Some((_, None, shown)) => Some(Err(Missing::Other(shown))),
                None => ended(client).map(|how| Err(Missing::Ended(how))),
            }
        });
        let end = match found.await {
            Some(Ok(())) => return Ok(()),
            Some(Err(Missing::Other(shown))) => format!("the next frame is {shown}"),
            Some(Err(Missing::Ended(Ended { class, how }))) => {
                let detail = format!(
                    "expected {pattern} as the next frame: the connection ended first: {how}"
                );
                return Err(self.fail_so(frame.step.place, id, class, detail));
            }
            None => "no frame came in time".to_owned(),
        };
        let detail = format!("expected {pattern} as the next frame: {end}");
        Err(self.fail(frame.step.place, id, Class::Reply, detail))
    }

    pub(super) async fn expect_pong(
        &self,
        frame: Frame<'_>,
        id: ClientId,
        payload: &Payload,
    ) -> Result<(), Failed> {
        let payload = payload
            .bytes(&self.vars(frame, id))
            .map_err(|hole| self.fail(frame.step.place, id, Class::Ping, hole.to_string()))?;
        let found = self.until(id, frame.deadline, |client, _| {
            if client.take_pong(&payload) {
                return Some(Ok(()));
            }
            ended(client).map(Err)
        });
        let end = match found.await {
            Some(Ok(())) => return Ok(()),
            Some(Err(Ended { class, how })) => {
                let wanted = craft::shown(&payload);
                let detail =
                    format!("expected a pong with `{wanted}`: the connection ended first: {how}");
                return Err(self.fail_so(frame.step.place, id, class, detail));
            }
            None => "it did not come in time",
        };
        let others: Vec<String> = self
            .shared
            .lock()
            .client(id)
            .map(|(client, _)| client.pongs_kept().map(craft::shown).collect())
            .unwrap_or_default();
        let others = match others.as_slice() {
            [] => String::new(),
            others => format!("; pongs that came: {}", others.join(" | ")),
        };
        let wanted = craft::shown(&payload);
        let detail = format!("expected a pong with `{wanted}`: {end}{others}");
        Err(self.fail(frame.step.place, id, Class::Ping, detail))
    }

    /// A frame that has come, is not taken, and is like one of these; as it is shown.
    pub(super) fn unwanted(
        &self,
        frame: Frame<'_>,
        id: ClientId,
        patterns: &[Value],
    ) -> Result<Option<(String, Arc<str>)>, Failed> {
        let ignored = self.ignored(frame, id)?;
        for pattern in patterns {
            let pattern = self.pattern(frame, id, pattern)?;
            let mut stage = self.shared.lock();
            let Some((client, _)) = stage.client(id) else { return Ok(None) };
            let dialect = &self.plan.dialect;
            let fits = |got: &&Got| {
                counts(got, &ignored, dialect) && pattern.matched(got.value(dialect)).is_some()
            };
            if let Some(got) = client.frames().find(fits) {
                return Ok(Some((pattern.to_string(), got.shown())));
            }
        }
        Ok(None)
    }

    /// A pattern as a client sees it now.
    pub(super) fn pattern(
        &self,
        frame: Frame<'_>,
        id: ClientId,
        pattern: &Value,
    ) -> Result<Pattern, Failed> {
        let vars = self.vars(frame, id);
        Pattern::new(pattern, &vars)
            .map_err(|reason| self.fail(frame.step.place, id, Class::Reply, reason.to_string()))
    }

    /// The patterns of what is never the next frame.
    fn ignored(&self, frame: Frame<'_>, id: ClientId) -> Result<Vec<Pattern>, Failed> {
        self.plan.ignore.iter().map(|pattern| self.pattern(frame, id, pattern)).collect()
    }

    /// The latest frames that nothing has taken: what came instead.
    fn instead(&self, id: ClientId) -> String {
        let mut stage = self.shared.lock();
        let Some((client, _)) = stage.client(id) else { return String::new() };
        let kept: Vec<Arc<str>> = client.frames().map(Got::shown).collect();
        let latest = kept.get(kept.len().saturating_sub(SHOWN)..).unwrap_or_default();
        let dropped = match client.overflowed {
            0 => String::new(),
            dropped => format!(" ({dropped} older ones had to be dropped unread)"),
        };
        match latest {
            [] => format!("no other frame is left{dropped}"),
            latest => format!("what came instead{dropped}: {}", latest.join(" | ")),
        }
    }
}

/// Whether a frame can be the next one: neither an answer that some step has had, nor ignored.
fn counts(got: &Got, ignored: &[Pattern], dialect: &crate::dialect::Dialect) -> bool {
    let value = got.value(dialect);
    !got.answered && !ignored.iter().any(|pattern| pattern.matched(value).is_some())
}

fn take(client: &mut Client, nth: u64, bound: Vars, books: &mut Books) {
    books.keep_secrets(&bound);
    client.take_frame(nth);
    for (name, value) in bound {
        client.capture(&name, value);
    }
}

/// How a client's connection ended, if it has: nothing more will come.
pub(super) fn ended(client: &Client) -> Option<Ended> {
    let (class, how) = match &client.state {
        State::Closed(_, ending) => {
            let how = match (ending.clean, ending.code) {
                (true, Some(code)) => format!("closed with {code} {}", ending.reason),
                (true, None) => "closed without a code".to_owned(),
                (false, _) => ending.reason.to_string(),
            };
            (unforeseen(ending), how)
        }
        State::Failed(reason) => (Class::Close, reason.to_string()),
        State::Away => (Class::Close, "there was none".to_owned()),
        State::Opening | State::Open | State::Closing => return None,
    };
    Some(Ended { class, how })
}

/// How a connection ended that a step still needed.
pub(super) struct Ended {
    pub(super) class: Class,
    pub(super) how: String,
}

/// What the end of a connection is that must not have ended. Some codes say what its server took it for:
/// for somebody who is silent, or whose message is too long. Without a Close it died of something.
pub(super) const fn unforeseen(ending: &Ending) -> Class {
    match ending.code {
        _ if ending.asked => Class::Close,
        Some(4000 | 4201 | 4202) if ending.clean => Class::Timeout,
        Some(1009) if ending.clean => Class::Limit,
        _ if ending.clean => Class::Close,
        _ => Class::Killed,
    }
}
