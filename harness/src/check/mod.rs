//! Judges what the clients saw: one file per property, and a table of all.

use std::fmt::Debug;

use crate::observe::{ClientId, MessageId, Observation, RoomId, Time};

/// A property, judged observation by observation. Pure: the same observations always get the same
/// findings.
pub trait Check: Debug + Send {
    /// The name by which scenarios and reports call it.
    fn name(&self) -> &'static str;
    /// Takes in the next observation.
    fn observe(&mut self, seen: &Observation, found: &mut Findings);
    /// Judges what only the end of the run decides. Says how many facts the check has judged: none
    /// means that it has no opinion.
    fn conclude(&mut self, end: &End, found: &mut Findings) -> u64;
}

/// What was found.
#[derive(Debug, Default)]
pub struct Findings {}

/// How the run ended.
#[derive(Debug)]
pub struct End {}

#[expect(dead_code, reason = "placeholder until the checks land")]
type Place = (Option<ClientId>, Option<RoomId>, Option<MessageId>, Time);
