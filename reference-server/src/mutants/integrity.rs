//! Servers that send twice, send what nobody sent, or send something else than they were given.

use protocol::{Dialect, Frame};
use serde_json::Value;

use super::{At, Kind, Mutant, message::spoilt};

/// What is said is cut here.
const CUT_CHARS: usize = 2048;
/// Long ago, in the words of all dialects.
const LONG_AGO: &str = "2001-01-01T00:00:00Z";
/// So many messages of a room are sent again, the newest not among them.
const REPLAYED: u64 = 3;

pub(super) const MUTANTS: &[Mutant] = &[
    Mutant {
        every: 50,
        outlet: Some(|at| at.double(Kind::Message)),
        ..Mutant::new("dup-immediate", "sends messages twice")
    },
    Mutant {
        every: 50,
        outlet: Some(|at| at.double_later(Kind::Message, 3)),
        ..Mutant::new("dup-late", "sends messages once more after a while")
    },
    Mutant {
        outlet: Some(replay),
        ..Mutant::new("dup-on-reconnect", "sends a newcomer the last messages again")
    },
    Mutant {
        every: 50,
        outlet: Some(|at| {
            at.pass();
            if at.is_one_of_its() {
                let nth = at.state().count("phantoms");
                at.send(&at.saying(|_| format!("nobody has said this, {nth}")));
            }
        }),
        ..Mutant::new("phantom", "sends what nobody has said")
    },
    Mutant {
        every: 50,
        outlet: Some(|at| if at.is_one_of_its() { at.send(&at.saying(spoilt)) } else { at.pass() }),
        ..Mutant::new("corrupt-byte", "changes the last character")
    },
    Mutant {
        outlet: Some(|at| {
            let is_long =
                at.is_message() && at.content().is_some_and(|text| text.len() > CUT_CHARS);
            if is_long {
                at.send(&at.saying(|text| text.chars().take(CUT_CHARS).collect()));
            } else {
                at.pass();
            }
        }),
        ..Mutant::new("truncate", "cuts long texts")
    },
    Mutant {
        outlet: Some(|at| if at.is_message() { at.send_json(&by_another(at)) } else { at.pass() }),
        ..Mutant::new("sender-misattributed", "sends messages in somebody else's name")
    },
    Mutant {
        every: 50,
        outlet: Some(|at| {
            if at.is_one_of_its() {
                at.send(&Frame::binary(at.frame.payload()));
            } else {
                at.pass();
            }
        }),
        ..Mutant::new("binary-as-text", "sends texts in binary frames")
    },
    Mutant {
        outlet: Some(|at| {
            let mut value = at.json();
            if round(&mut value) { at.send_json(&value) } else { at.pass() }
        }),
        ..Mutant::new("json-reencoded-lossy", "reads all numbers as doubles")
    },
    Mutant {
        every: 2,
        outlet: Some(|at| {
            at.alter(Kind::Message, |value| {
                for field in ["timestamp", "at"] {
                    if let Some(time) = value.get_mut(field) {
                        *time = LONG_AGO.into();
                    }
                }
            });
        }),
        ..Mutant::new("timestamp-regress", "says times that go back")
    },
    Mutant {
        every: 1000,
        outlet: Some(|at| {
            at.pass();
            if at.is_one_of_all() {
                at.pass();
            }
        }),
        ..Mutant::new("rare-duplicate", "sends a message twice once in a while")
    },
];

/// Sends a newcomer what was said before, after the first message that is for it.
fn replay(at: &At<'_>) {
    at.pass();
    let new = format!("known {} {:?}", at.to.id, at.room());
    if at.is(Kind::Entered) {
        at.state().unset(&new);
    }
    if !at.is_message() {
        return;
    }
    let name = |nth: u64| format!("said {nth} {:?}", at.room());
    let newest = at.state().kept(&name(0));
    if newest.as_ref() != Some(at.frame) {
        // The first of this message's receivers: what was said before moves on.
        for nth in (0..REPLAYED).rev() {
            if let Some(frame) = at.state().kept(&name(nth)) {
                at.state().keep(&name(nth + 1), &frame);
            }
        }
        at.state().keep(&name(0), at.frame);
    }
    if at.state().set(&new, "").is_none() {
        for nth in (1..=REPLAYED).rev() {
            if let Some(frame) = at.state().kept(&name(nth)) {
                at.send(&frame);
            }
        }
    }
}

/// A message with another name on it.
fn by_another(at: &At<'_>) -> Value {
    let mut value = at.json();
    let fields: &[&str] = match at.dialect {
        Dialect::Native => &["username", "member"],
        Dialect::Chat => &["from"],
        _ => &["user_id"],
    };
    for field in fields {
        if let Some(name) = value.get_mut(field) {
            *name = "somebody-else".into();
        }
    }
    value
}

/// Rounds what a double cannot hold; says whether there was something.
fn round(value: &mut Value) -> bool {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    match value {
        Value::Number(number) => {
            let rounded = number.as_f64().filter(|it| !number.is_f64() && it.abs() >= EXACT);
            let Some(rounded) = rounded else { return false };
            *value = rounded.into();
            true
        }
        Value::Array(items) => items.iter_mut().fold(false, |any, item| round(item) | any),
        Value::Object(fields) => fields.values_mut().fold(false, |any, item| round(item) | any),
        _ => false,
    }
}
