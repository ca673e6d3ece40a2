//! An observation as a line, and back: `["received",at,client,…]`, the fields in the order of one table.

use std::sync::Arc;

use serde_json::Value;

use crate::observe::{
    ClientId, Ending, Entry, MessageId, Observation, Person, RoomId, Time, VoiceId, What, Who,
};

/// What can stand in a line.
pub(super) trait Field: Sized {
    /// Writes it as JSON.
    fn put(&self, out: &mut Vec<u8>);
    /// Reads it; none if this is something else.
    fn take(value: &Value) -> Option<Self>;
    /// Replaces its texts by what is given for them. Says whether there was one.
    fn conceal(&mut self, _: &Hide<'_>) -> bool {
        false
    }
}

/// What is to be shown for a text, where that is not the text itself.
pub(crate) type Hide<'a> = dyn Fn(&str) -> Option<String> + 'a;

/// The fields of an array, one after the other.
struct Fields<'a>(std::slice::Iter<'a, Value>);

impl<'a> Fields<'a> {
    fn of(value: &'a Value) -> Option<Self> {
        Some(Self(value.as_array()?.iter()))
    }

    fn next<T: Field>(&mut self) -> Option<T> {
        T::take(self.0.next()?)
    }

    /// Nothing more may come.
    fn end(mut self) -> Option<()> {
        self.0.next().is_none().then_some(())
    }
}

/// Declares what the lines of observations look like: word, variant, and the fields in their order.
macro_rules! lines {
    ($($word:literal $variant:ident { $($key:tt: $bind:ident),* };)*) => {
        /// Writes an observation as a line, with its end.
        pub(super) fn put(seen: &Observation, out: &mut Vec<u8>) {
            out.extend_from_slice(b"[\"");
            match &seen.what {
                $(What::$variant { $($key: $bind),* } => {
                    out.extend_from_slice(concat!($word, "\",").as_bytes());
                    seen.at.put(out);
                    out.push(b',');
                    seen.client.put(out);
                    $(out.push(b','); $bind.put(out);)*
                })*
            }
            out.extend_from_slice(b"]\n");
        }

        /// Reads an observation; none if this is none.
        pub(super) fn take(line: &Value) -> Option<Observation> {
            let mut fields = Fields::of(line)?;
            let word = fields.0.next()?.as_str()?;
            let (at, client) = (fields.next()?, fields.next()?);
            let what = match word {
                $($word => {
                    $(let $bind = fields.next()?;)*
                    What::$variant { $($key: $bind),* }
                })*
                _ => return None,
            };
            fields.end()?;
            Some(Observation { at, client, what })
        }

        /// Replaces the texts of an observation by what is given for them. Says whether there was one.
        pub(crate) fn conceal(what: &mut What, hide: &Hide<'_>) -> bool {
            match what {
                $(What::$variant { $($key: $bind),* } => {
                    false $(| $bind.conceal(hide))*
                })*
            }
        }
    };
}

lines! {
    "opened" Opened { connection: a };
    "open_failed" OpenFailed { reason: a };
    "closing" Closing { abrupt: a };
    "closed" Closed { 0: a };
    "pongs" Pongs { 0: a };
    "reads" Reads { 0: a };
    "joining" Joining { room: a, since: b };
    "entered" Entered { 0: a };
    "refused" Refused { room: a, code: b };
    "leaving" Leaving { room: a };
    "exited" Exited { room: a };
    "joined" Joined { room: a, who: b, view: c };
    "renamed" Renamed { room: a, who: b, view: c };
    "left" Left { room: a, who: b, view: c, reason: d };
    "sending" Sending { message: a, room: b, ticket: c, intended: d, hash: e };
    "sent" Sent { message: a };
    "acked" Acked { message: a, number: b };
    "rejected" Rejected { message: a, code: b };
    "received" Received { message: a, room: b, from: c, hash: d, number: e };
    "stray" Stray { room: a, text: b, foreign: c };
    "presence_sending" PresenceSending { room: a, state: b };
    "presence_acked" PresenceAcked { room: a };
    "presence" Presence { room: a, who: b, state: c, number: d };
    "storing" Storing { room: a, request: b, ops: c };
    "store_acked" StoreAcked { room: a, request: b, version: c };
    "store_refused" StoreRefused { room: a, request: b };
    "stored" Stored { room: a, who: b, version: c, ops: d, number: e };
    "snapshot" Snapshot { room: a, version: b, entries: c };
    "ping" Ping {};
    "pong" Pong {};
    "spoke" Spoke {};
    "complaint" Complaint { code: a };
    "unanswered" Unanswered { verb: a };
    "unknown" Unknown { text: a };
    "malformed" Malformed { fact: a };
    "garbled" Garbled { fact: a };
    "foreseen" Foreseen {};
}

/// Declares what structs look like within a line: arrays.
macro_rules! arrays {
    ($($name:ident { $($key:ident),* })*) => {$(
        impl Field for $name {
            fn put(&self, out: &mut Vec<u8>) {
                let mut before = b'[';
                $(out.push(std::mem::replace(&mut before, b',')); self.$key.put(out);)*
                out.push(b']');
            }

            fn take(value: &Value) -> Option<Self> {
                let mut fields = Fields::of(value)?;
                $(let $key = fields.next()?;)*
                fields.end()?;
                Some(Self { $($key),* })
            }

            fn conceal(&mut self, hide: &Hide<'_>) -> bool {
                false $(| self.$key.conceal(hide))*
            }
        }
    )*};
}

arrays! {
    MessageId { voice, seq }
    Ending { asked, code, reason, clean }
    Entry {
        room, confirmed, full, you, tickets, members, count, epoch, number, view, recovered, storage
    }
}

/// A state is in an array of its own: one that is `null` is not none.
impl Field for Person {
    fn put(&self, out: &mut Vec<u8>) {
        out.push(b'[');
        self.who.put(out);
        if let Some(state) = &self.state {
            out.push(b',');
            state.put(out);
        }
        out.push(b']');
    }

    fn take(value: &Value) -> Option<Self> {
        let mut fields = Fields::of(value)?;
        let who = fields.next()?;
        let state = match fields.0.next() {
            Some(state) => Some(Field::take(state)?),
            None => None,
        };
        fields.end()?;
        Some(Self { who, state })
    }

    fn conceal(&mut self, hide: &Hide<'_>) -> bool {
        self.who.conceal(hide) | self.state.conceal(hide)
    }
}

/// Declares numbers, and what is nothing but a number.
macro_rules! numbers {
    ($($name:ty: $read:expr, $write:expr;)*) => {$(
        impl Field for $name {
            fn put(&self, out: &mut Vec<u8>) {
                let write: fn(&Self) -> u64 = $write;
                digits(write(self), out);
            }

            fn take(value: &Value) -> Option<Self> {
                let read: fn(u64) -> Option<Self> = $read;
                read(value.as_u64()?)
            }
        }
    )*};
}

numbers! {
    u64: Some, |it| *it;
    u32: |it| it.try_into().ok(), |it| u64::from(*it);
    u16: |it| it.try_into().ok(), |it| u64::from(*it);
    Time: |it| Some(Self(it)), |it| it.0;
    ClientId: |it| it.try_into().ok().map(Self), |it| u64::from(it.0);
    RoomId: |it| it.try_into().ok().map(Self), |it| u64::from(it.0);
    VoiceId: |it| it.try_into().ok().map(Self), |it| u64::from(it.0);
}

fn digits(mut number: u64, out: &mut Vec<u8>) {
    // 2^64 has 20 digits.
    let mut text = [b'0'; 20];
    let mut from = text.len();
    for place in text.iter_mut().rev() {
        *place = b'0' + u8::try_from(number % 10).unwrap_or_default();
        number /= 10;
        from -= 1;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(text.get(from..).unwrap_or_default());
}

impl Field for bool {
    fn put(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(if *self { b"true" } else { b"false" });
    }

    fn take(value: &Value) -> Option<Self> {
        value.as_bool()
    }
}

impl Field for Arc<str> {
    fn put(&self, out: &mut Vec<u8>) {
        serde_json::to_writer(out, &**self).expect("a text is JSON, and a Vec takes everything");
    }

    fn take(value: &Value) -> Option<Self> {
        value.as_str().map(Self::from)
    }

    fn conceal(&mut self, hide: &Hide<'_>) -> bool {
        let hidden = hide(self);
        let any = hidden.is_some();
        if let Some(hidden) = hidden {
            *self = hidden.into();
        }
        any
    }
}

/// A value that is nested so deep that a line around it could not be read stands there as a text, and
/// so does one that looks like that.
const DEEP: usize = 64;
/// The key of that text.
const AS_TEXT: &str = "$json";

impl Field for Arc<Value> {
    fn put(&self, out: &mut Vec<u8>) {
        const NEVER: &str = "a value is JSON, and a Vec takes everything";
        let alike = self.as_object().is_some_and(|it| it.len() == 1 && it.contains_key(AS_TEXT));
        if alike || is_deeper(self, DEEP) {
            let text = serde_json::json!({ AS_TEXT: self.to_string() });
            return serde_json::to_writer(out, &text).expect(NEVER);
        }
        serde_json::to_writer(out, &**self).expect(NEVER);
    }

    fn take(value: &Value) -> Option<Self> {
        let fields = value.as_object().filter(|fields| fields.len() == 1);
        match fields.and_then(|fields| fields.get(AS_TEXT)) {
            Some(text) => serde_json::from_str(text.as_str()?).ok().map(Self::new),
            None => Some(Self::new(value.clone())),
        }
    }

    fn conceal(&mut self, hide: &Hide<'_>) -> bool {
        let hidden = hidden(self, hide);
        let any = hidden.is_some();
        if let Some(hidden) = hidden {
            *self = Self::new(hidden);
        }
        any
    }
}

fn is_deeper(value: &Value, than: usize) -> bool {
    let Some(less) = than.checked_sub(1) else { return true };
    match value {
        Value::Array(items) => items.iter().any(|item| is_deeper(item, less)),
        Value::Object(fields) => fields.values().any(|item| is_deeper(item, less)),
        _ => false,
    }
}

/// The value without the texts that are to be hidden; none if there are none.
fn hidden(value: &Value, hide: &Hide<'_>) -> Option<Value> {
    match value {
        Value::String(text) => hide(text).map(Value::from),
        Value::Number(number) => hide(&number.to_string()).map(Value::from),
        Value::Array(items) => {
            let found: Vec<_> = items.iter().map(|item| hidden(item, hide)).collect();
            found.iter().any(Option::is_some).then(|| {
                let both = items.iter().zip(found);
                both.map(|(item, hidden)| hidden.unwrap_or_else(|| item.clone())).collect()
            })
        }
        Value::Object(fields) => {
            let found: Vec<_> =
                fields.iter().map(|(key, item)| (hide(key), hidden(item, hide))).collect();
            found.iter().any(|(key, item)| key.is_some() || item.is_some()).then(|| {
                let both = fields.iter().zip(found);
                let fields = both.map(|((key, item), (new_key, new))| {
                    (new_key.unwrap_or_else(|| key.clone()), new.unwrap_or_else(|| item.clone()))
                });
                Value::Object(fields.collect())
            })
        }
        Value::Null | Value::Bool(_) => None,
    }
}

/// A client of ours is its number, a stranger its name, nobody `null`.
impl Field for Who {
    fn put(&self, out: &mut Vec<u8>) {
        match self {
            Self::Client(client) => client.put(out),
            Self::Stranger(name) => name.put(out),
            Self::Untold => out.extend_from_slice(b"null"),
        }
    }

    fn take(value: &Value) -> Option<Self> {
        match value {
            Value::Null => Some(Self::Untold),
            Value::String(name) => Some(Self::Stranger(name.as_str().into())),
            number => ClientId::take(number).map(Self::Client),
        }
    }

    fn conceal(&mut self, hide: &Hide<'_>) -> bool {
        match self {
            Self::Stranger(name) => name.conceal(hide),
            Self::Client(_) | Self::Untold => false,
        }
    }
}

impl<T: Field> Field for Option<T> {
    fn put(&self, out: &mut Vec<u8>) {
        match self {
            Some(it) => it.put(out),
            None => out.extend_from_slice(b"null"),
        }
    }

    fn take(value: &Value) -> Option<Self> {
        if value.is_null() { Some(None) } else { T::take(value).map(Some) }
    }

    fn conceal(&mut self, hide: &Hide<'_>) -> bool {
        self.as_mut().is_some_and(|it| it.conceal(hide))
    }
}

impl<T: Field> Field for Vec<T> {
    fn put(&self, out: &mut Vec<u8>) {
        out.push(b'[');
        for (place, it) in self.iter().enumerate() {
            if place > 0 {
                out.push(b',');
            }
            it.put(out);
        }
        out.push(b']');
    }

    fn take(value: &Value) -> Option<Self> {
        value.as_array()?.iter().map(T::take).collect()
    }

    fn conceal(&mut self, hide: &Hide<'_>) -> bool {
        self.iter_mut().fold(false, |any, it| it.conceal(hide) | any)
    }
}

impl<T: Field> Field for Box<T> {
    fn put(&self, out: &mut Vec<u8>) {
        (**self).put(out);
    }

    fn take(value: &Value) -> Option<Self> {
        T::take(value).map(Self::new)
    }

    fn conceal(&mut self, hide: &Hide<'_>) -> bool {
        (**self).conceal(hide)
    }
}

impl<A: Field, B: Field> Field for (A, B) {
    fn put(&self, out: &mut Vec<u8>) {
        out.push(b'[');
        self.0.put(out);
        out.push(b',');
        self.1.put(out);
        out.push(b']');
    }

    fn take(value: &Value) -> Option<Self> {
        let mut fields = Fields::of(value)?;
        let both = (fields.next()?, fields.next()?);
        fields.end()?;
        Some(both)
    }

    fn conceal(&mut self, hide: &Hide<'_>) -> bool {
        self.0.conceal(hide) | self.1.conceal(hide)
    }
}
