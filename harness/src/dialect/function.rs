//! Functions in what is sent: signed, hashed, dated. `{ $hmac_sha256: { key, text } }` and its like.

use std::fmt::Write as _;
use std::time::{Duration, SystemTime};

use hmac::{Hmac, KeyInit as _, Mac as _};
use md5::{Digest as _, Md5};
use serde_json::{Map, Value};
use sha2::Sha256;

use crate::scenario::template::as_text;

/// The functions, and what each comes to.
pub const FUNCTIONS: &[(&str, &str)] = &[
    (
        "$hmac_sha256",
        "the HMAC-SHA256 of `text` under `key` in small hexadecimal, behind a `prefix` if there is one",
    ),
    ("$md5", "the MD5 of a text in small hexadecimal"),
    ("$now", "the time since 1970 as a number, in `s` or `ms`, and `plus` so many if that is said"),
    ("$query", "a mapping as `key=value&key=value`, sorted by keys, nothing encoded"),
];

/// A function with its arguments; what those are is another's business.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Function<T> {
    HmacSha256 { key: T, text: T, prefix: Option<T> },
    Md5(T),
    Now { unit: Unit, plus: i64 },
    Query(T),
}

/// What a time is counted in.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Unit {
    Seconds,
    Milliseconds,
}

/// The time since 1970.
pub(super) fn unix() -> Duration {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}

/// Whether a key is a function's word.
pub(super) fn is_function(key: &str) -> bool {
    FUNCTIONS.iter().any(|(name, _)| *name == key)
}

/// The first function's word in a value.
pub(super) fn first_in(value: &Value) -> Option<&str> {
    match value {
        Value::Array(list) => list.iter().find_map(first_in),
        Value::Object(entries) => entries.iter().find_map(|(key, value)| {
            Some(key.as_str()).filter(|key| is_function(key)).or_else(|| first_in(value))
        }),
        _ => None,
    }
}

impl<T> Function<T> {
    /// The function that a mapping is; none when it is none.
    pub(super) fn read(
        entries: &Map<String, Value>,
        argument: &dyn Fn(&Value) -> Result<T, String>,
    ) -> Result<Option<Self>, String> {
        let Some((name, value)) = entries.iter().find(|(key, _)| is_function(key)) else {
            return Ok(None);
        };
        let others = entries.keys().filter(|key| *key != name);
        let beside = |known: &[&str]| {
            let odd = others.clone().find(|key| !known.contains(&key.as_str()));
            odd.map_or(Ok(()), |odd| Err(format!("`{odd}` does not stand beside `{name}`")))
        };
        Ok(Some(match name.as_str() {
            "$hmac_sha256" => {
                beside(&[])?;
                Self::signature(value, argument)?
            }
            "$now" => {
                beside(&["plus"])?;
                let unit = match value.as_str() {
                    Some("s") => Unit::Seconds,
                    Some("ms") => Unit::Milliseconds,
                    _ => return Err("`$now` wants `s` or `ms`".to_owned()),
                };
                let plus = entries.get("plus").map_or(Some(0), Value::as_i64);
                let plus = plus.ok_or("`plus` wants a whole number")?;
                Self::Now { unit, plus }
            }
            "$md5" => {
                beside(&[])?;
                Self::Md5(argument(value)?)
            }
            _ => {
                beside(&[])?;
                Self::Query(argument(value)?)
            }
        }))
    }

    fn signature(
        value: &Value,
        argument: &dyn Fn(&Value) -> Result<T, String>,
    ) -> Result<Self, String> {
        const WANTED: &str = "`$hmac_sha256` wants `key` and `text`, and perhaps a `prefix`";
        let parts = value.as_object().ok_or(WANTED)?;
        if parts.keys().any(|key| !["key", "text", "prefix"].contains(&key.as_str())) {
            return Err(WANTED.to_owned());
        }
        let part = |name: &str| parts.get(name).map(argument).transpose();
        let (key, text) = part("key")?.zip(part("text")?).ok_or(WANTED)?;
        Ok(Self::HmacSha256 { key, text, prefix: part("prefix")? })
    }

    /// Its arguments.
    pub(super) fn inner(&self) -> impl Iterator<Item = &T> {
        let all = match self {
            Self::HmacSha256 { key, text, prefix } => [Some(key), Some(text), prefix.as_ref()],
            Self::Md5(inner) | Self::Query(inner) => [Some(inner), None, None],
            Self::Now { .. } => [None, None, None],
        };
        all.into_iter().flatten()
    }

    /// What it comes to at this time, when its arguments are filled like this.
    pub(super) fn value<E>(
        &self,
        unix: Duration,
        fill: impl Fn(&T) -> Result<Value, E>,
    ) -> Result<Value, E> {
        let text = |inner: &T| fill(inner).map(|value| as_text(&value));
        Ok(match self {
            Self::HmacSha256 { key, text: signed, prefix } => {
                let mut whole = prefix.as_ref().map(text).transpose()?.unwrap_or_default();
                whole.push_str(&hmac_sha256(&text(key)?, &text(signed)?));
                Value::from(whole)
            }
            Self::Md5(inner) => Value::from(hex(&Md5::digest(text(inner)?))),
            Self::Now { unit, plus } => {
                let now = match unit {
                    Unit::Seconds => i64::try_from(unix.as_secs()),
                    Unit::Milliseconds => i64::try_from(unix.as_millis()),
                };
                Value::from(now.unwrap_or(i64::MAX).saturating_add(*plus))
            }
            Self::Query(inner) => Value::from(query(&fill(inner)?)),
        })
    }
}

fn hmac_sha256(key: &str, text: &str) -> String {
    let mut mac =
        Hmac::<Sha256>::new_from_slice(key.as_bytes()).expect("a key of any length will do");
    mac.update(text.as_bytes());
    hex(&mac.finalize().into_bytes())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("writing to a String cannot fail");
        text
    })
}

fn query(fields: &Value) -> String {
    let Value::Object(fields) = fields else { return as_text(fields) };
    let mut pairs: Vec<String> =
        fields.iter().map(|(key, value)| format!("{key}={}", as_text(value))).collect();
    pairs.sort();
    pairs.join("&")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const UNIX: Duration = Duration::from_millis(1_353_088_179_250);

    #[expect(clippy::needless_pass_by_value, reason = "literals read better without `&`")]
    fn check(function: Value, expected: Value) {
        let argument = |value: &Value| Ok(value.clone());
        let read = Function::read(function.as_object().unwrap(), &argument).unwrap().unwrap();
        let value = read.value(UNIX, |inner| Ok::<_, String>(inner.clone())).unwrap();
        assert_eq!(value, expected, "{function}");
    }

    /// The vectors are those of Pusher's documentation, recomputed.
    #[test]
    fn what_is_signed_is_what_others_sign() {
        check(
            json!({ "$hmac_sha256": {
                "key": "7ad3773142a6692b25b8",
                "text": "1234.1234:private-foobar",
                "prefix": "278d425bdf160c739803:",
            } }),
            json!(
                "278d425bdf160c739803:58df8b0c36d6982b82c3ecf6b4662e34fe8c25bba48f5369f135bf843651c3a4"
            ),
        );
        let body = r#"{"name":"foo","channels":["project-3"],"data":"{\"some\":\"data\"}"}"#;
        check(json!({ "$md5": body }), json!("ec365a775a4cd0599faeb73354201b6f"));
        let text = "POST\n/apps/3/events\nauth_key=278d425bdf160c739803&auth_timestamp=1353088179\
                    &auth_version=1.0&body_md5=ec365a775a4cd0599faeb73354201b6f";
        check(
            json!({ "$hmac_sha256": { "key": "7ad3773142a6692b25b8", "text": text } }),
            json!("da454824c97ba181a32ccc17a72625ba02771f50b50e1e7430e47a1f3f457e6c"),
        );
    }

    #[test]
    fn times_and_queries() {
        check(json!({ "$now": "s" }), json!(1_353_088_179_u64));
        check(json!({ "$now": "ms" }), json!(1_353_088_179_250_u64));
        check(json!({ "plus": -700, "$now": "s" }), json!(1_353_087_479_u64));
        check(json!({ "$query": { "b": 2, "a": "x y", "B": true } }), json!("B=true&a=x y&b=2"));
        check(json!({ "$query": {} }), json!(""));
    }

    #[test]
    fn what_is_no_function_is_refused() {
        let argument = |value: &Value| Ok(value.clone());
        for (value, part) in [
            (json!({ "$now": "h" }), "`s` or `ms`"),
            (json!({ "$now": "s", "plus": "x" }), "whole number"),
            (json!({ "$md5": "a", "b": 1 }), "`b` does not stand beside `$md5`"),
            (json!({ "$hmac_sha256": { "key": "k" } }), "`key` and `text`"),
            (json!({ "$hmac_sha256": { "key": "k", "text": "t", "hash": 1 } }), "`key` and `text`"),
        ] {
            let refused = Function::<Value>::read(value.as_object().unwrap(), &argument);
            assert!(refused.unwrap_err().contains(part), "{value}");
        }
        let plain = json!({ "now": "s" });
        assert_eq!(Function::<Value>::read(plain.as_object().unwrap(), &argument), Ok(None));
    }
}
