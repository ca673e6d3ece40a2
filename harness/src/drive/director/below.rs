//! What a client does below the dialect: frames and bytes as the scenario writes them, and comparisons
//! of what came.

use std::sync::Arc;

use serde_json::Value;

use super::frames::Ended;
use super::{Director, Failed, Frame};
use crate::check::{Class, hash_value};
use crate::client::State;
use crate::craft::{self, Crafted};
use crate::dialect::pattern::{self, Unusable};
use crate::heard;
use crate::observe::{ClientId, What};
use crate::plan::{Comparison, FramePlan, Group, Part, Relation, Vars};
use crate::scenario::template::{self, Hole};

/// Something to write, with its holes filled.
enum Piece {
    Frame(Crafted),
    Bytes(Vec<u8>),
}

impl Director<'_> {
    /// Writes frames and bytes in one piece.
    pub(super) fn transmit(
        &self,
        frame: Frame<'_>,
        id: ClientId,
        parts: &[Part],
    ) -> Result<(), Failed> {
        let place = frame.step.place;
        let vars = self.vars(frame, id);
        let pieces: Result<Vec<Piece>, Unusable> =
            parts.iter().map(|part| self.piece(part, &vars)).collect();
        let pieces =
            pieces.map_err(|reason| self.fail(place, id, Class::Reply, reason.to_string()))?;
        let now = self.shared.now();
        let mut stage = self.shared.lock();
        let mut bytes = Vec::new();
        for piece in pieces {
            let (shown, closes, more) = match piece {
                Piece::Frame(crafted) => {
                    let mask = stage.mask();
                    (shown(&crafted), crafted.closes(), crafted.bytes(mask))
                }
                Piece::Bytes(bytes) => {
                    let shown = format!("(bytes: {})", craft::shown(&bytes));
                    (shown.into(), false, bytes)
                }
            };
            let connected =
                stage.client(id).filter(|(it, _)| matches!(it.state, State::Open | State::Closing));
            let Some((client, books)) = connected else { break };
            client.wrote(&more);
            books.observe(now, id, What::Spoke);
            if closes && client.is_open() {
                client.closing(now, false, books);
            }
            stage.note(now, id, shown);
            bytes.extend(more);
        }
        let ended = stage.client(id).and_then(|(client, _)| super::frames::ended(client));
        let parcel = stage.parcel(id, bytes);
        drop(stage);
        match (ended, parcel) {
            (None, Some(parcel)) => {
                self.shared.deliver(Some(parcel));
                Ok(())
            }
            (Some(Ended { class, how }), _) => {
                let detail = format!("cannot send: there is no connection ({how})");
                Err(self.fail_so(place, id, class, detail))
            }
            (None, None) => {
                let detail = "cannot send: there is no connection (it is not open yet)";
                Err(self.fail(place, id, Class::Close, detail))
            }
        }
    }

    fn piece(&self, part: &Part, vars: &Vars) -> Result<Piece, Unusable> {
        let text = |payload| {
            let fin = true;
            Piece::Frame(Crafted { opcode: 1, fin, rsv: 0, masked: true, length: None, payload })
        };
        Ok(match part {
            Part::Value(value) => {
                let value = pattern::fill_wire(value, vars)?;
                text(self.plan.dialect.text_of(&value).into_bytes())
            }
            Part::Text(payload) => text(payload.bytes(vars)?),
            Part::Frame(plan) => Piece::Frame(crafted(plan, vars)?),
            Part::Bytes(payload) => Piece::Bytes(payload.bytes(vars)?),
        })
    }

    /// Ends the client's half of TCP.
    pub(super) fn half_close(&self, frame: Frame<'_>, id: ClientId) -> Result<(), Failed> {
        let now = self.shared.now();
        let mut stage = self.shared.lock();
        let link = stage.links.get(id.0 as usize).cloned().flatten();
        if let Some((client, _)) = stage.client(id) {
            client.has_ended_its_half();
        }
        stage.note(now, id, "(end of this half of TCP)".into());
        drop(stage);
        let ended = link.map(|link| link.end_of_writing());
        match ended {
            Some(Ok(())) => Ok(()),
            Some(Err(error)) => {
                let detail = format!("cannot end this half of the connection: {error}");
                Err(self.fail(frame.step.place, id, Class::Close, detail))
            }
            None => {
                let detail = "there is no connection of which to end a half".to_owned();
                Err(self.fail(frame.step.place, id, Class::Close, detail))
            }
        }
    }

    /// Forgets what has come, up to a fence.
    pub(super) async fn drain(&self, frame: Frame<'_>, id: ClientId) -> Result<(), Failed> {
        let alive = self.fence(frame, id).await;
        if let Some((client, _)) = self.shared.lock().client(id) {
            client.drain();
        }
        if alive {
            return Ok(());
        }
        let detail = "the fence did not come back: more may be on its way".to_owned();
        Err(self.fail(frame.step.place, id, Class::Unresponsive, detail))
    }

    /// Compares values that one client knows.
    pub(super) fn compare(
        &self,
        frame: Frame<'_>,
        id: ClientId,
        templates: &[Value],
        relation: Relation,
    ) -> Result<(), Failed> {
        let vars = self.vars(frame, id);
        let values: Result<Vec<Value>, _> =
            templates.iter().map(|value| template::fill(value, &vars)).collect();
        let values = values
            .map_err(|hole| self.fail(frame.step.place, id, Class::Reply, hole.to_string()))?;
        let word = |nth: usize| templates.get(nth).map_or_else(String::new, template::as_text);
        match odd_pair(&values, relation) {
            None => Ok(()),
            Some((first, second)) => {
                let shown = |nth: usize| values.get(nth).map_or_else(String::new, Value::to_string);
                let how = match relation {
                    Relation::Same => "should be the same",
                    Relation::Differ => "should differ",
                    Relation::Ordered => "should be numbers or times in this order",
                };
                let detail = format!(
                    "{} and {} {how}: {} and {}",
                    word(first),
                    word(second),
                    shown(first),
                    shown(second)
                );
                Err(self.fail(frame.step.place, id, Class::Reply, detail))
            }
        }
    }

    /// Compares a variable between the members of a group.
    pub(super) fn members_agree(
        &self,
        frame: Frame<'_>,
        group: &Group,
        comparison: &Comparison,
    ) -> Result<(), Failed> {
        let Comparison::Members(name, same) = comparison else { return Ok(()) };
        let hole = Hole { name: name.clone(), argument: None };
        let mut values = Vec::new();
        for member in group.first.0..group.first.0 + group.size {
            let id = ClientId(member);
            let value = template::value_of(&hole, &self.vars(frame, id));
            let value = value
                .map_err(|hole| self.fail(frame.step.place, id, Class::Reply, hole.to_string()))?;
            values.push(value);
        }
        let relation = if *same { Relation::Same } else { Relation::Differ };
        let Some((first, second)) = odd_pair(&values, relation) else {
            self.met();
            return Ok(());
        };
        let client = |nth: usize| ClientId(group.first.0 + u32::try_from(nth).unwrap_or_default());
        let who = |nth: usize| {
            let client = self.plan.clients.get(client(nth).0 as usize);
            client.map_or_else(String::new, |client| client.name.clone())
        };
        let value = |nth: usize| values.get(nth).map_or_else(String::new, Value::to_string);
        let (class, how) = match same {
            true => (Class::View, "should be the same for all"),
            false => (Class::Identity, "should be another one for each"),
        };
        let detail = format!(
            "`{name}` {how}: {} has {}, {} has {}",
            who(first),
            value(first),
            who(second),
            value(second)
        );
        Err(self.fail(frame.step.place, client(second), class, detail))
    }
}

/// The first two values that do not stand to each other as they must.
fn odd_pair(values: &[Value], relation: Relation) -> Option<(usize, usize)> {
    match relation {
        Relation::Same => {
            let second = values.iter().position(|value| Some(value) != values.first())?;
            Some((0, second))
        }
        Relation::Differ => {
            let mut seen = std::collections::HashMap::new();
            values.iter().enumerate().find_map(|(nth, value)| {
                seen.insert(hash_value(value), nth).map(|before| (before, nth))
            })
        }
        Relation::Ordered => {
            let odd = values.windows(2).position(|pair| match pair {
                [first, second] => !is_ordered(first, second),
                _ => false,
            });
            odd.map(|first| (first, first + 1))
        }
    }
}

/// Whether both are numbers, or both times, and the second is not before the first.
fn is_ordered(first: &Value, second: &Value) -> bool {
    let time = |value: &Value| value.as_str()?.parse::<jiff::Timestamp>().ok();
    match (first, second) {
        (Value::Number(a), Value::Number(b)) => match (a.as_i128(), b.as_i128()) {
            (Some(a), Some(b)) => a <= b,
            _ => a.as_f64() <= b.as_f64(),
        },
        _ => time(first).zip(time(second)).is_some_and(|(first, second)| first <= second),
    }
}

fn crafted(plan: &FramePlan, vars: &Vars) -> Result<Crafted, Unusable> {
    let payload = plan.payload.bytes(vars)?;
    let payload = match plan.code {
        Some(code) => craft::close_body(code, &payload),
        None => payload,
    };
    let FramePlan { opcode, fin, rsv, masked, length, .. } = *plan;
    Ok(Crafted { opcode, fin, rsv, masked, length, payload })
}

/// A right text frame is shown as its text, like all others.
fn shown(crafted: &Crafted) -> Arc<str> {
    let plain = Crafted { payload: Vec::new(), ..crafted.clone() };
    let usual =
        Crafted { opcode: 1, fin: true, rsv: 0, masked: true, length: None, payload: Vec::new() };
    match std::str::from_utf8(&crafted.payload) {
        Ok(text) if plain == usual => heard::shown(&text.into()),
        _ => crafted.shown().into(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_are_compared_in_pairs() {
        let values = |value: Value| value.as_array().unwrap().clone();
        let same = |list| odd_pair(&values(list), Relation::Same);
        assert_eq!(same(json!([1, 1, 1])), None);
        assert_eq!(same(json!([1, 1, 2])), Some((0, 2)));
        let differ = |list| odd_pair(&values(list), Relation::Differ);
        assert_eq!(differ(json!([1, "1", 2])), None);
        assert_eq!(differ(json!(["a", "b", "b"])), Some((1, 2)));
        let ordered = |list| odd_pair(&values(list), Relation::Ordered);
        assert_eq!(ordered(json!([-1, 1, 1, 1.5, u64::MAX])), None);
        assert_eq!(
            ordered(json!([9_007_199_254_740_993_u64, 9_007_199_254_740_992_u64])),
            Some((0, 1))
        );
        assert_eq!(ordered(json!([1, 3, 2, 1])), Some((1, 2)));
        assert_eq!(ordered(json!([1, "2"])), Some((0, 1)));
        let (early, late) = ("2026-01-02T03:04:05.5Z", "2026-01-02T03:04:05.51Z");
        assert_eq!(ordered(json!([early, early, late, "2026-01-02T04:04:06+01:00"])), None);
        assert_eq!(ordered(json!([early, late, early])), Some((1, 2)));
        assert_eq!(ordered(json!([early, "later"])), Some((0, 1)));
    }
}
