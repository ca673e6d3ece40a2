//! How the connections of a run ended.

use crate::observe::Ending;

/// Ways of ending that are told apart.
const WAYS_MAX: usize = 32;

/// Each way that connections ended, with its number.
#[derive(Clone, Debug, Default)]
pub struct Endings(Vec<(Ending, u64)>);

impl Endings {
    /// Counts the end of a connection.
    pub fn add(&mut self, ending: &Ending) {
        if let Some((_, count)) = self.0.iter_mut().find(|(known, _)| known == ending) {
            *count += 1;
        } else if self.0.len() < WAYS_MAX {
            self.0.push((ending.clone(), 1));
        }
    }

    /// All of them, in the order of their first times.
    pub fn all(&self) -> &[(Ending, u64)] {
        &self.0
    }
}
