//! What was found: the closed list of classes, and the bounded sink of findings.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::observe::{ClientId, MessageId, RoomId, Time};

/// The kind of a finding. Every finding has exactly one.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "each name says it; SENTENCES has the words")]
pub enum Class {
    Loss,
    Duplicate,
    Phantom,
    Leak,
    Early,
    Late,
    Corrupt,
    Misattributed,
    Echo,
    Reorder,
    Disorder,
    Causal,
    Notice,
    View,
    Ghost,
    Admission,
    Identity,
    Presence,
    Storage,
    Snapshot,
    Ping,
    Timeout,
    Slow,
    Unresponsive,
    Greeting,
    Reply,
    Killed,
    Close,
    Handshake,
    Framing,
    Limit,
    Auth,
    Recovery,
}

/// Every class: its word in reports, and what it means.
pub const CLASSES: [(Class, &str, &str); 33] = [
    (Class::Loss, "loss", "a message that was owed never came"),
    (Class::Duplicate, "duplicate", "a message came more than once"),
    (Class::Phantom, "phantom", "a message came that nobody sent, or that was refused"),
    (Class::Leak, "leak", "a message of another room, connection or run"),
    (Class::Early, "early", "a message from before the join"),
    (Class::Late, "late", "a message after the leave"),
    (Class::Corrupt, "corrupt", "a message that is not what was sent"),
    (Class::Misattributed, "misattributed", "a message in another's name"),
    (Class::Echo, "echo", "the sender's own copy is missing, doubled or forbidden"),
    (Class::Reorder, "reorder", "one sender's messages out of their order"),
    (Class::Disorder, "disorder", "two receivers saw two orders"),
    (Class::Causal, "causal", "an answer came before what it answers"),
    (Class::Notice, "notice", "a membership notice is missing, doubled or wrong"),
    (Class::View, "view", "members disagree on who is a member"),
    (Class::Ghost, "ghost", "somebody who is gone is still a member"),
    (Class::Admission, "admission", "let in or kept out wrongly"),
    (Class::Identity, "identity", "an id is malformed or not unique"),
    (Class::Presence, "presence", "a presence is stale, wrong or went back"),
    (Class::Storage, "storage", "the storage has gaps, forks or lost writes"),
    (Class::Snapshot, "snapshot", "a newcomer was told an old state"),
    (Class::Ping, "ping", "pings are missing, early or late"),
    (
        Class::Timeout,
        "timeout",
        "a silent client was dropped early, late, never, or a living one was",
    ),
    (Class::Slow, "slow", "one slow reader delays others"),
    (Class::Unresponsive, "unresponsive", "the target stopped answering"),
    (Class::Greeting, "greeting", "the greeting is missing or wrong"),
    (Class::Reply, "reply", "a reply is missing, wrong, or somebody else's"),
    (Class::Killed, "killed", "a connection or the server died of something recoverable"),
    (Class::Close, "close", "a connection was closed without need, or with the wrong code"),
    (Class::Handshake, "handshake", "the upgrade went wrong"),
    (Class::Framing, "framing", "a frame that breaks the protocol"),
    (Class::Limit, "limit", "a limit is not kept"),
    (Class::Auth, "auth", "somebody got in without the right to"),
    (Class::Recovery, "recovery", "what was missed did not come whole and once"),
];

impl Class {
    /// Its word in reports.
    pub fn as_str(self) -> &'static str {
        CLASSES.iter().find(|(class, ..)| *class == self).map_or("", |(_, word, _)| word)
    }

    /// The class of this word.
    pub fn named(word: &str) -> Option<Self> {
        CLASSES.iter().find(|(_, known, _)| *known == word).map(|(class, ..)| *class)
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A promise broken, once.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    /// Its kind.
    pub class: Class,
    /// The check that found it.
    pub check: &'static str,
    /// What exactly, in words.
    pub detail: String,
    /// Who saw it.
    pub client: Option<ClientId>,
    /// Where.
    pub room: Option<RoomId>,
    /// Which message it is about.
    pub message: Option<MessageId>,
    /// When it was seen.
    pub at: Time,
}

impl Finding {
    /// A finding that names nobody yet.
    pub fn new(check: &'static str, class: Class, at: Time, detail: impl Into<String>) -> Self {
        let detail = detail.into();
        Self { class, check, detail, client: None, room: None, message: None, at }
    }

    /// Says who saw it.
    #[must_use]
    pub fn client(mut self, client: ClientId) -> Self {
        self.client = Some(client);
        self
    }

    /// Says where.
    #[must_use]
    pub fn room(mut self, room: RoomId) -> Self {
        self.room = Some(room);
        self
    }

    /// Says in words which message it is about: its number among those of its sender.
    pub fn name_message(&mut self, seq: u32, sender: &str) {
        self.detail = format!("{} (message {seq} of {sender})", self.detail);
    }

    /// Says which message it is about.
    #[must_use]
    pub fn message(mut self, message: MessageId) -> Self {
        self.message = Some(message);
        self
    }
}

/// Findings kept in full; the rest is counted. More than these nobody reads.
pub const KEPT: usize = 200;

/// Collects findings, in bounded memory.
#[derive(Debug, Default)]
pub struct Findings {
    kept: Vec<Finding>,
    warnings: Vec<Finding>,
    warned: u64,
    counts: Vec<(&'static str, Class, u64)>,
    total: u64,
    lenient: Vec<&'static str>,
}

impl Findings {
    /// Takes findings of this check as warnings from now on: told, but not counted.
    pub fn only_warn(&mut self, check: &'static str) {
        self.lenient.push(check);
    }

    /// Takes in a finding.
    pub fn push(&mut self, finding: Finding) {
        if self.lenient.contains(&finding.check) {
            return self.warn(finding);
        }
        self.count(finding.check, finding.class, 1);
        if self.kept.len() < KEPT {
            self.kept.push(finding);
        }
    }

    /// Takes in something worth telling that fails nothing.
    pub fn warn(&mut self, finding: Finding) {
        self.warned += 1;
        if self.warnings.len() < KEPT {
            self.warnings.push(finding);
        }
    }

    /// Counts findings that need no words of their own.
    pub fn count(&mut self, check: &'static str, class: Class, more: u64) {
        self.total += more;
        match self.counts.iter_mut().find(|(c, k, _)| *c == check && *k == class) {
            Some((_, _, n)) => *n += more,
            None => self.counts.push((check, class, more)),
        }
    }

    /// The findings kept in full, in the order found.
    pub fn kept(&self) -> &[Finding] {
        &self.kept
    }

    /// The warnings kept in full.
    pub fn warnings(&self) -> &[Finding] {
        &self.warnings
    }

    /// How many warnings there were in all.
    pub fn warned(&self) -> u64 {
        self.warned
    }

    /// How many findings there were in all.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// How many findings of each class one check raised.
    pub fn of(&self, check: &str) -> Vec<(Class, u64)> {
        let mut classes: Vec<_> =
            self.counts.iter().filter(|(c, ..)| *c == check).map(|&(_, k, n)| (k, n)).collect();
        classes.sort_unstable();
        classes
    }

    /// How many findings there are of one class, whichever check raised them.
    pub fn of_class(&self, class: Class) -> u64 {
        self.counts.iter().filter(|(_, k, _)| *k == class).map(|(.., n)| n).sum()
    }
}
