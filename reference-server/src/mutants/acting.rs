//! What a thread is about while it runs a session: sessions do not wait, so it is one thing.

use std::{cell::RefCell, sync::Arc};

/// What a session is in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Phase {
    /// None: time, or a request by HTTP.
    #[default]
    Outside,
    Opening,
    Receiving,
    Ending,
}

/// Who acts, and where.
#[derive(Debug, Clone, Default)]
pub(super) struct Acting {
    pub(super) phase: Phase,
    /// The connection whose session runs.
    pub(super) by: Option<u64>,
    /// What its client said.
    pub(super) text: Option<Arc<str>>,
    /// The room that is locked, as the world calls it.
    pub(super) room: Option<Arc<str>>,
}

thread_local! {
    static ACTING: RefCell<Acting> = RefCell::default();
}

pub(super) fn now() -> Acting {
    ACTING.with_borrow(Clone::clone)
}

/// Says what is being done until it is dropped.
#[derive(Debug)]
pub(crate) struct Guard(Acting);

impl Guard {
    pub(super) fn of(phase: Phase, by: u64, text: Option<&str>) -> Self {
        let acting = Acting { phase, by: Some(by), text: text.map(Into::into), room: None };
        Self(ACTING.replace(acting))
    }

    /// Inside a room.
    pub(super) fn inside(room: &str) -> Self {
        Self(ACTING.replace(Acting { room: Some(room.into()), ..now() }))
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        ACTING.set(std::mem::take(&mut self.0));
    }
}
