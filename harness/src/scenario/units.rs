//! The small grammars of a scenario: durations, rates, sizes, limits, and sums with the heartbeat.
//!
//! Each mistake says what would have been right. A second line of an error is its remedy.

use std::fmt::Display;
use std::str::FromStr;
use std::time::Duration;

use serde::de::{Deserializer, Error as _, Visitor};

use crate::dialect::Heartbeat;
use crate::plan::{Op, Span, Term};

/// Longer times are refused: a scenario is no soak of months, and a slip of units is likelier.
const DURATION_MAX: Duration = Duration::from_secs(7 * 24 * 3600);

/// Faster rates are refused: no single machine sends them.
const RATE_MAX: f64 = 10_000_000.0;

/// Rarer faults are refused: no run has the traffic that shows them.
const ODDS_MAX: u64 = 1_000_000;

/// What a scalar of the language could not be read as.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{0}")]
pub struct NotOne(String);

pub(crate) fn not_one(text: &str, what: &str, like: &str) -> NotOne {
    NotOne(format!("`{text}` is not {what}\nwrite it like {like}"))
}

/// A length of time: `250ms`, `30s`, `1m30s`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Length(pub Duration);

impl FromStr for Length {
    type Err = NotOne;

    fn from_str(text: &str) -> Result<Self, NotOne> {
        let time = humantime::parse_duration(text)
            .map_err(|_| not_one(text, "a duration", "250ms, 30s or 1m30s"))?;
        if time > DURATION_MAX {
            return Err(NotOne(format!("`{text}` is longer than a week\nis the unit right?")));
        }
        Ok(Self(time))
    }
}

/// How often: `500/s`, `30/min`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate(pub f64);

impl FromStr for Rate {
    type Err = NotOne;

    fn from_str(text: &str) -> Result<Self, NotOne> {
        let bad = || not_one(text, "a rate", "500/s or 30/min");
        let (count, unit) = text.split_once('/').ok_or_else(bad)?;
        let count = number(count).ok_or_else(bad)?;
        let seconds = match unit.trim() {
            "s" => 1.0,
            "min" | "m" => 60.0,
            "h" => 3600.0,
            _ => return Err(bad()),
        };
        let rate = count / seconds;
        if rate > RATE_MAX {
            return Err(NotOne(format!("`{text}` is more than 10 million a second")));
        }
        Ok(Self(rate))
    }
}

/// How rare: `1/1000`, one of so many.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Odds(pub u64);

impl FromStr for Odds {
    type Err = NotOne;

    fn from_str(text: &str) -> Result<Self, NotOne> {
        let bad = || not_one(text, "one of so many", "1/1000");
        let (one, many) = text.split_once('/').ok_or_else(bad)?;
        let many: u64 = many.trim().replace('_', "").parse().map_err(|_| bad())?;
        if one.trim() != "1" || many == 0 {
            return Err(bad());
        }
        if many > ODDS_MAX {
            return Err(NotOne(format!("`{text}` is rarer than one in {ODDS_MAX}")));
        }
        Ok(Self(many))
    }
}

/// A number that is not negative, with `_` between digits if one likes.
fn number(text: &str) -> Option<f64> {
    let digits = text.trim().replace(['_', ','], "");
    let plain = digits.chars().all(|c| c.is_ascii_digit() || c == '.');
    digits.parse().ok().filter(|_| plain)
}

/// How many bytes: `128B`, `4KiB`, `1MiB`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Size(pub usize);

impl FromStr for Size {
    type Err = NotOne;

    fn from_str(text: &str) -> Result<Self, NotOne> {
        let bad = || not_one(text, "a size", "128B, 4KiB or 1MiB");
        let digits = text.find(|c: char| !c.is_ascii_digit() && c != '_').unwrap_or(text.len());
        let (count, unit) = text.split_at(digits);
        let count: usize = count.replace('_', "").parse().map_err(|_| bad())?;
        let scale = match unit.trim() {
            "" | "B" => 1,
            "KiB" => 1 << 10,
            "MiB" => 1 << 20,
            _ => return Err(bad()),
        };
        count.checked_mul(scale).filter(|size| *size <= 64 << 20).map(Self).ok_or_else(|| {
            NotOne(format!("`{text}` is more than 64 MiB\nno message is that large"))
        })
    }
}

/// The size of a file, as options write it: `0`, `512KiB`, `64MiB`, `2GiB`.
pub fn file_size(text: &str) -> Result<u64, NotOne> {
    let bad = || not_one(text, "a size of a file", "0, 512KiB, 64MiB or 2GiB");
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '_').unwrap_or(text.len());
    let (count, unit) = text.split_at(digits);
    let count: u64 = count.replace('_', "").parse().map_err(|_| bad())?;
    let scale: u64 = match unit.trim() {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return Err(bad()),
    };
    count.checked_mul(scale).filter(|size| *size <= 1 << 40).ok_or_else(bad)
}

/// What a limit's number counts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Quantity {
    /// A time.
    Time(Duration),
    /// A share of the whole: `99.9%` is 0.999.
    Share(f64),
    /// So many a second.
    PerSecond(f64),
    /// A plain number.
    Number(f64),
}

/// A limit on a measured value: `<50ms`, `0`, `at least 1000/s`.
#[derive(Clone, Debug, PartialEq)]
pub struct Limit {
    /// The comparison.
    pub op: Op,
    /// With what.
    pub quantity: Quantity,
    /// As it was written.
    pub text: String,
}

/// The spellings of a comparison, the longer ones first.
const COMPARISONS: [(&str, Op); 9] = [
    ("at least ", Op::Ge),
    ("at most ", Op::Le),
    ("less than ", Op::Lt),
    ("more than ", Op::Gt),
    ("<=", Op::Le),
    (">=", Op::Ge),
    ("==", Op::Eq),
    ("<", Op::Lt),
    (">", Op::Gt),
];

impl FromStr for Limit {
    type Err = NotOne;

    fn from_str(text: &str) -> Result<Self, NotOne> {
        let trimmed = text.trim();
        let (op, rest) = COMPARISONS
            .iter()
            .find_map(|(word, op)| Some((*op, trimmed.strip_prefix(word)?)))
            .unwrap_or((Op::Eq, trimmed));
        let rest = rest.trim();
        let quantity = if let Some(share) = rest.strip_suffix('%') {
            number(share).map(|share| Quantity::Share(share / 100.0))
        } else if let Some(plain) = number(rest) {
            Some(Quantity::Number(plain))
        } else if let Ok(rate) = rest.parse::<Rate>() {
            Some(Quantity::PerSecond(rate.0))
        } else {
            rest.parse::<Length>().ok().map(|length| Quantity::Time(length.0))
        };
        let quantity = quantity
            .ok_or_else(|| not_one(text, "a limit", "<50ms, 0, at most 1% or at least 1000/s"))?;
        Ok(Self { op, quantity, text: trimmed.to_owned() })
    }
}

impl FromStr for Span {
    type Err = NotOne;

    /// `1s`, `$heartbeat.timeout + 2s`, `$heartbeat.every * 2`.
    fn from_str(text: &str) -> Result<Self, NotOne> {
        if !text.contains('$') {
            let length = Length::from_str(text)?;
            return Ok(Self(vec![(1.0, Term::Time(length.0))]));
        }
        let bad = || not_one(text, "a time", "1s or $heartbeat.timeout + 2s");
        let spaced = ["+", "-", "*"]
            .iter()
            .fold(text.to_owned(), |text, sign| text.replace(sign, &format!(" {sign} ")));
        let mut sum: Vec<(f64, Term)> = Vec::new();
        let mut factor = Some(1.0);
        let mut times = false;
        for word in spaced.split_whitespace() {
            match (word, factor) {
                ("+" | "-", None) if !times => {
                    factor = Some(if word == "-" { -1.0 } else { 1.0 });
                }
                ("*", None) if !times => times = true,
                (word, None) if times => {
                    let by = number(word).ok_or_else(bad)?;
                    sum.last_mut().ok_or_else(bad)?.0 *= by;
                    times = false;
                }
                (word, Some(sign)) => {
                    sum.push((sign, term(word).ok_or_else(bad)?));
                    factor = None;
                }
                _ => return Err(bad()),
            }
        }
        if times || factor.is_some() {
            return Err(bad());
        }
        Ok(Self(sum))
    }
}

fn term(word: &str) -> Option<Term> {
    match word {
        "$heartbeat.every" => Some(Term::Every),
        "$heartbeat.timeout" => Some(Term::Timeout),
        _ => word.parse::<Length>().ok().map(|length| Term::Time(length.0)),
    }
}

/// A heartbeat, as options and scenarios write it: `200ms/600ms`.
pub fn heartbeat(text: &str) -> Result<Heartbeat, NotOne> {
    let bad = || not_one(text, "a heartbeat", "200ms/600ms (the interval, the timeout)");
    let (every, timeout) = text.split_once('/').ok_or_else(bad)?;
    let length =
        |part: &str| part.trim().parse::<Length>().map(|length| length.0).map_err(|_| bad());
    let heartbeat = Heartbeat { every: length(every)?, timeout: length(timeout)? };
    if heartbeat.every.is_zero() || heartbeat.timeout < heartbeat.every {
        let message =
            "the timeout of a heartbeat is not shorter than its interval, nor is that zero";
        return Err(NotOne(format!("{message}\nwrite it like 200ms/600ms")));
    }
    Ok(heartbeat)
}

/// A heartbeat as [`heartbeat`] reads it.
pub fn heartbeat_text(Heartbeat { every, timeout }: Heartbeat) -> String {
    format!("{}ms/{}ms", every.as_millis(), timeout.as_millis())
}

/// Reads a scalar of the language from a text or a number.
pub(crate) fn scalar<'de, T, D>(deserializer: D) -> Result<T, D::Error>
where
    T: FromStr<Err: Display>,
    D: Deserializer<'de>,
{
    struct Text;

    impl Visitor<'_> for Text {
        type Value = String;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("a single value")
        }

        fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<String, E> {
            Ok(text.to_owned())
        }
    }

    deserializer.deserialize_str(Text)?.parse().map_err(D::Error::custom)
}

macro_rules! read_as_scalar {
    ($($type:ty),*) => {$(
        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                $crate::scenario::units::scalar(deserializer)
            }
        }
    )*};
}
pub(crate) use read_as_scalar;

read_as_scalar!(Length, Rate, Odds, Size, Limit, Span);

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(text: &str) -> f64 {
        let heartbeat =
            Heartbeat { every: Duration::from_secs(2), timeout: Duration::from_secs(6) };
        text.parse::<Span>().unwrap().under(heartbeat).as_secs_f64()
    }

    #[test]
    fn a_span_is_a_sum_of_products() {
        assert!((seconds("1m30s") - 90.0).abs() < 1e-9);
        assert!((seconds("$heartbeat.every * 2") - 4.0).abs() < 1e-9);
        assert!((seconds("$heartbeat.timeout + $heartbeat.every + 2s") - 10.0).abs() < 1e-9);
        assert!((seconds("$heartbeat.timeout-1s") - 5.0).abs() < 1e-9);
        assert!((seconds("1s - $heartbeat.timeout")).abs() < 1e-9, "never below zero");
    }

    #[test]
    fn what_is_no_span_is_refused() {
        for text in
            ["", "5 parsecs", "$heart", "$heartbeat.every *", "1s + ", "$heartbeat.every 2s"]
        {
            assert!(text.parse::<Span>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_limit_has_a_comparison_and_a_quantity() {
        let limit = |text: &str| {
            let limit: Limit = text.parse().unwrap();
            (limit.op, limit.quantity)
        };
        assert_eq!(limit("<50ms"), (Op::Lt, Quantity::Time(Duration::from_millis(50))));
        assert_eq!(limit("0"), (Op::Eq, Quantity::Number(0.0)));
        assert_eq!(limit("at least 1000/s"), (Op::Ge, Quantity::PerSecond(1000.0)));
        assert_eq!(limit("at most 1%"), (Op::Le, Quantity::Share(0.01)));
        assert_eq!(limit(">= 19_000/s"), (Op::Ge, Quantity::PerSecond(19_000.0)));
        for text in ["", "soon", "<", "<5 bananas", "-3"] {
            assert!(text.parse::<Limit>().is_err(), "{text}");
        }
    }

    #[test]
    fn rates_and_sizes_have_units() {
        assert_eq!("30/min".parse(), Ok(Rate(0.5)));
        assert_eq!("4KiB".parse(), Ok(Size(4096)));
        assert_eq!("128".parse(), Ok(Size(128)));
        assert_eq!("1/1_000".parse(), Ok(Odds(1000)));
        for text in ["1000", "2/1000", "1/0", "1/-5", "1/2000000", "0.1%"] {
            assert!(text.parse::<Odds>().is_err(), "{text}");
        }
        for text in ["fast", "5", "5/fortnight", "1e99/s", "-1/s", "inf/s"] {
            assert!(text.parse::<Rate>().is_err(), "{text}");
        }
        for text in ["4KB", "B", "99999999999999999999MiB", "65MiB"] {
            assert!(text.parse::<Size>().is_err(), "{text}");
        }
    }
}
