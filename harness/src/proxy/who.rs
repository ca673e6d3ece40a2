//! Whose a connection is, as far as that is known.

use super::rule::At;
use crate::plan::mix;

/// A connection's number, from 1 in the order in which clients came.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct ConnId(pub u64);

impl std::fmt::Display for ConnId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// Whose a connection is.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Who {
    /// The client's name, once it is known.
    pub name: Option<String>,
    /// The group that it belongs to in a scenario, and its number there from 0.
    pub member: Option<(String, u32)>,
}

impl Who {
    /// Whether this is one of these; nobody in particular is anybody.
    pub(super) fn is_among(&self, conn: ConnId, all: &[At]) -> bool {
        all.is_empty() || all.iter().any(|at| self.is(conn, at))
    }

    fn is(&self, conn: ConnId, at: &At) -> bool {
        match at {
            At::Number(number) => conn.0 == *number,
            At::Member(group, index) => {
                self.member.as_ref().is_some_and(|(own, nth)| own == group && nth == index)
            }
            At::Name(pattern) => {
                let group = self.member.as_ref().map(|(group, _)| group);
                let like = |name: &String| match pattern.strip_suffix('*') {
                    Some(head) => name.starts_with(head),
                    None => name == pattern,
                };
                self.name.iter().chain(group).any(like)
            }
        }
    }

    /// What draws of chance go by: the same client draws the same in every run, whatever its number
    /// as a connection and the name that the run has given it.
    pub(super) fn key(&self, conn: ConnId) -> u64 {
        let text = match (&self.member, &self.name) {
            (Some((group, index)), _) => format!("{group}/{index}"),
            (None, Some(name)) => name.clone(),
            (None, None) => return mix(conn.0),
        };
        text.bytes().fold(mix(0), |sum, byte| mix(sum ^ u64::from(byte)))
    }

    /// How it is called in reports.
    pub fn shown(&self) -> Option<String> {
        let member = self.member.as_ref().map(|(group, index)| format!("{group}/{index}"));
        self.name.clone().or(member)
    }
}
