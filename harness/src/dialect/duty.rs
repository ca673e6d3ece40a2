//! What a client owes a server that has ended its connection: not to come back, or not at once.

use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use super::file::ReconnectFile;
use crate::scenario::problem::Problem;
use crate::scenario::units::{Length, NotOne, not_one};

/// Whether, when and how often a client may come back.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Duty {
    /// It gives up after so many tries in a row; none: it never does.
    pub attempts: Option<u32>,
    /// By close codes.
    codes: Vec<(RangeInclusive<u16>, Return)>,
}

/// What a close code asks of the client.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Return {
    /// It must not come back.
    Never,
    /// It must not come back earlier than this.
    After(Duration),
}

impl Duty {
    /// What the dialect says of a code; none: nothing.
    pub fn of(&self, code: u16) -> Option<Return> {
        let (_, what) = self.codes.iter().find(|(codes, _)| codes.contains(&code))?;
        Some(*what)
    }

    /// Reads what a file says, and tells what is wrong with it.
    pub(super) fn read(file: Option<&ReconnectFile>, problems: &mut Vec<Problem>) -> Self {
        let Some(file) = file else { return Self::default() };
        let mut duty = Self { attempts: None, codes: Vec::new() };
        if let Some(attempts) = &file.attempts {
            duty.attempts = Some(attempts.value);
            if attempts.value == 0 {
                let problem = Problem::new("a client that may try no time never comes back");
                problems.push(problem.at(attempts.place).help("say how often it may try"));
            }
        }
        for (codes, what) in file.after.iter() {
            match codes.parse::<Codes>() {
                Ok(Codes(range)) => duty.codes.push((range, what.value.0)),
                Err(error) => {
                    let text = error.to_string();
                    let (fact, help) = text.split_once('\n').unwrap_or((&text, ""));
                    problems.push(Problem::new(fact).at(codes.place).help(help));
                }
            }
        }
        duty
    }
}

/// `4001`, or `4100-4199`.
struct Codes(RangeInclusive<u16>);

impl FromStr for Codes {
    type Err = NotOne;

    fn from_str(text: &str) -> Result<Self, NotOne> {
        let bad = || not_one(text, "a range of close codes", "4001, or 4100-4199");
        let (from, to) = text.split_once('-').unwrap_or((text, text));
        let number = |text: &str| text.trim().parse::<u16>().map_err(|_| bad());
        let range = number(from)?..=number(to)?;
        let fits = *range.start() >= 1000 && *range.end() < 5000 && !range.is_empty();
        if fits { Ok(Self(range)) } else { Err(bad()) }
    }
}

/// `never`, or a duration.
#[derive(Clone, Copy, Debug)]
pub(super) struct ReturnWord(Return);

impl FromStr for ReturnWord {
    type Err = NotOne;

    fn from_str(text: &str) -> Result<Self, NotOne> {
        if text == "never" {
            return Ok(Self(Return::Never));
        }
        let bad = || not_one(text, "when to come back", "never, or a duration such as 1s or 0s");
        text.parse::<Length>().map(|length| Self(Return::After(length.0))).map_err(|_| bad())
    }
}

crate::scenario::units::read_as_scalar!(ReturnWord);

#[cfg(test)]
mod tests {
    use crate::dialect::Dialect;

    use super::*;

    fn read(reconnect: &str) -> Result<Duty, String> {
        let text = format!(
            "dialect: d\nconnect: {{ path: / }}\nsend: {{ say: {{ frame: $text }} }}\nreconnect: {reconnect}\n"
        );
        let dialect = Dialect::parse("d", &text).map_err(|problems| problems.lines())?;
        Ok(dialect.duty)
    }

    #[test]
    fn a_code_has_the_first_rule_that_it_is_in() {
        let duty = read("{ attempts: 5, after: { 4001: 0s, 4000-4099: never, 4100-4199: 1s } }");
        let duty = duty.unwrap();
        assert_eq!(duty.attempts, Some(5));
        assert_eq!(duty.of(4001), Some(Return::After(Duration::ZERO)));
        assert_eq!(duty.of(4099), Some(Return::Never));
        assert_eq!(duty.of(4100), Some(Return::After(Duration::from_secs(1))));
        assert_eq!((duty.of(4200), duty.of(1006)), (None, None));
    }

    #[test]
    fn what_is_no_rule_is_shown_at_its_word() {
        for (text, part) in [
            ("{ after: { 4100-4000: never } }", "4:23"),
            ("{ after: { x: never } }", "a range of close codes"),
            ("{ after: { 70000: 1s } }", "a range of close codes"),
            ("{ after: { 4000: soon } }", "when to come back"),
            ("{ attempts: 0 }", "no time"),
        ] {
            let refused = read(text).unwrap_err();
            assert!(refused.contains(part), "{text}: {refused}");
        }
    }
}
