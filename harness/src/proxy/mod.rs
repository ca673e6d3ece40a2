//! Faults of a network between clients and a server, as pure values: rules, and what becomes of each
//! frame under them.
//!
//! Nothing here has a socket or a clock. Bytes go through a [`Cutter`], which finds the frames that a
//! rule may be about; a [`Decider`] says what goes where and when. The same seed, the same clients and
//! the same frames give the same faults.

mod active;
mod cutter;
mod decider;
mod deed;
mod fault;
mod lane;
mod log;
mod meaning;
mod rule;
mod who;
mod words;
mod written;

pub use cutter::{Cutter, Frame, Gap, Piece};
pub use decider::{Decider, Ending};
pub use deed::{Deed, Story};
pub use rule::{
    After, At, Chance, Corruption, Cut, FAULTS, Fault, Reach, Rule, Senders, Told, Way,
};
pub use rule::{CONDITIONS, When};
pub use who::{ConnId, Who};
pub use words::parse;
pub(crate) use written::Rules;
