//! What of the books goes into the run's log. No secret does.

use std::borrow::Cow;

use super::Books;
use crate::check::{CheckResult, End, Finding, STEPS};
use crate::log::{Found, Head, Judged, Kept, Last, Recorder, conceal};
use crate::observe::{ClientId, Observation, RoomId};

/// The run's log, if it is kept, and what came of it.
#[derive(Debug, Default)]
pub(super) struct Logged {
    recorder: Option<Recorder>,
    /// Lines in which a secret is hidden.
    hidden: u64,
    kept: Option<Kept>,
}

impl Books {
    /// What is known before the run, with no secret in it.
    pub fn discreet_head(&self, mut head: Head) -> Head {
        for text in head.clients.iter_mut().chain([&mut head.target, &mut head.run]) {
            if let Some(hidden) = self.hidden(text) {
                *text = hidden;
            }
        }
        head
    }

    /// From now on, all that is observed is logged.
    pub fn log_with(&mut self, recorder: Recorder) {
        self.logged.recorder = Some(recorder);
    }

    /// What came of the log, when the run has been judged.
    pub fn log_kept(&mut self) -> Option<Kept> {
        self.logged.kept.take()
    }

    pub(super) fn log_seen(&mut self, mut seen: Observation) {
        if self.logged.recorder.is_none() {
            return;
        }
        if self.secrets.any() && conceal(&mut seen.what, &|text| self.hidden(text)) {
            self.logged.hidden += 1;
        }
        if let Some(recorder) = &mut self.logged.recorder {
            recorder.seen(seen);
        }
    }

    pub(super) fn log_room(&mut self, room: RoomId, name: &str) {
        let hidden = self.hidden(name);
        if let Some(recorder) = &mut self.logged.recorder {
            recorder.room(room.0, hidden.as_deref().unwrap_or(name));
        }
    }

    pub(super) fn log_step(&mut self, finding: &Finding) {
        let found = self.discreet_finding(finding);
        if let Some(recorder) = &mut self.logged.recorder {
            recorder.step_failed(found);
        }
    }

    /// Something that the checks found; what the timeline finds is in the log already.
    pub(super) fn log_found(&mut self, finding: &Finding, client: ClientId) {
        if finding.check == STEPS {
            return;
        }
        let found = Found { client: Some(client), ..self.discreet_finding(finding) };
        if let Some(recorder) = &mut self.logged.recorder {
            recorder.found(found);
        }
    }

    pub(super) fn end_log(&mut self, end: &End, results: &[CheckResult]) {
        let Some(recorder) = self.logged.recorder.take() else { return };
        let last = Last {
            end: *end,
            met: self.judge.expectations(),
            hidden: self.logged.hidden,
            checks: results.iter().map(Judged::of).collect(),
        };
        self.logged.kept = Some(recorder.end(last));
    }

    fn discreet_finding(&self, finding: &Finding) -> Found {
        let mut found = Found::of(finding);
        if let Some(hidden) = self.hidden(&found.detail) {
            found.detail = hidden;
        }
        found
    }

    /// What is shown for a text with a secret in it.
    fn hidden(&self, text: &str) -> Option<String> {
        match self.secrets.concealed(text) {
            Cow::Owned(text) => Some(text),
            Cow::Borrowed(_) => None,
        }
    }
}
