//! A frame's text as the dialect reads it, read once however many clients receive the same bytes.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, OnceLock};

use crate::dialect::{Decoded, Dialect, Event, EventKind};
use crate::observe::ClientId;
use crate::stamp::{self, Stamp};

/// How many different texts are remembered. A room's event reaches its members within moments, so
/// this needs to hold little more than what is under way at one time.
const SLOTS: usize = 1024;
/// How many of those that are long: a newcomer's list of members is long and nobody else's.
const LONG_SLOTS: usize = 16;
/// A text of so many bytes is long.
const LONG: usize = 2048;
/// How much of a text is shown in transcripts, in bytes.
const SHOWN_MAX: usize = 400;

/// A text that came, and what it says.
#[derive(Debug)]
pub struct Heard {
    /// The frame's text.
    pub text: Arc<str>,
    /// Its beginning, for transcripts.
    pub shown: Arc<str>,
    /// What it says.
    pub content: Content,
    /// Whom it names, once that is known.
    pub who: OnceLock<ClientId>,
}

/// What a text says.
#[derive(Debug)]
pub enum Content {
    /// An event of the dialect.
    Event(Event),
    /// A message: an event of the dialect, or a frame with a stamp in it.
    Message(Said),
    /// Nothing that the dialect knows.
    Unknown,
    /// It is not even of the dialect's encoding.
    Garbled(String),
}

/// A message in a frame.
#[derive(Debug)]
pub struct Said {
    /// The stamp in it; none for a fixed text.
    pub stamp: Option<Stamp>,
    /// The event around it; none when the dialect does not describe events.
    pub event: Option<Event>,
    /// The text said.
    pub words: Words,
}

/// The text that was said.
#[derive(Debug)]
pub enum Words {
    /// Exactly this one.
    Exact(Arc<str>),
    /// It begins at this byte of the frame; where it ends is known from what was sent.
    From(usize),
}

impl Said {
    /// The hash of the words, when `len` bytes were sent.
    pub fn hash(&self, frame: &str, len: usize) -> u32 {
        match &self.words {
            Words::Exact(words) => stamp::hash(words.as_bytes()),
            Words::From(at) => {
                frame.as_bytes().get(*at..at.saturating_add(len)).map_or(0, stamp::hash)
            }
        }
    }
}

/// Reads texts, and remembers what it has read.
#[derive(Debug)]
pub struct Ears {
    dialect: Arc<Dialect>,
    memory: Vec<Option<Arc<Heard>>>,
    long: Vec<Option<Arc<Heard>>>,
}

impl Ears {
    /// Ears for a dialect.
    pub fn new(dialect: Arc<Dialect>) -> Self {
        Self { dialect, memory: vec![None; SLOTS], long: vec![None; LONG_SLOTS] }
    }

    /// What a text says.
    pub fn hear(&mut self, text: &str) -> Arc<Heard> {
        let mut hasher = DefaultHasher::new();
        text.hash(&mut hasher);
        let memory = if text.len() < LONG { &mut self.memory } else { &mut self.long };
        let place = usize::try_from(hasher.finish() % memory.len() as u64).unwrap_or_default();
        let Some(slot) = memory.get_mut(place) else { return read(&self.dialect, text) };
        match slot {
            Some(heard) if &*heard.text == text => Arc::clone(heard),
            _ => Arc::clone(slot.insert(read(&self.dialect, text))),
        }
    }
}

fn read(dialect: &Dialect, text: &str) -> Arc<Heard> {
    let content = match dialect.decode(text) {
        Decoded::Event(event) if event.means.part.is_some() => Content::Event(event),
        Decoded::Event(event) => understood(event),
        Decoded::Unknown | Decoded::NotJson(_) if !dialect.tells(EventKind::Message) => {
            match Stamp::find(text.as_bytes()) {
                Some((at, stamp)) => Content::Message(Said {
                    stamp: Some(stamp),
                    event: None,
                    words: Words::From(at),
                }),
                None => Content::Unknown,
            }
        }
        Decoded::Unknown => Content::Unknown,
        Decoded::NotJson(fact) => Content::Garbled(fact),
    };
    let text: Arc<str> = text.into();
    let shown = shown(&text);
    Arc::new(Heard { text, shown, content, who: OnceLock::new() })
}

fn understood(event: Event) -> Content {
    let is_message = event.kinds().any(|kind| kind == EventKind::Message);
    if is_message { said(event) } else { Content::Event(event) }
}

/// A text, or its beginning when it is long.
pub fn shown(text: &Arc<str>) -> Arc<str> {
    let cut = text.char_indices().map(|(at, _)| at).find(|&at| at >= SHOWN_MAX);
    match cut.and_then(|cut| text.get(..cut)) {
        Some(head) => format!("{head}…").into(),
        None => Arc::clone(text),
    }
}

fn said(event: Event) -> Content {
    let words = event.fields.get("text").and_then(|text| text.as_str()).unwrap_or_default();
    let stamp = Stamp::find(words.as_bytes()).map(|(_, stamp)| stamp);
    let words = Words::Exact(words.into());
    Content::Message(Said { stamp, event: Some(event), words })
}

impl Heard {
    /// A text whose meaning is known by now.
    pub fn whole(event: Event, text: &Arc<str>) -> Arc<Self> {
        let (text, shown) = (Arc::clone(text), shown(text));
        Arc::new(Self { text, shown, content: understood(event), who: OnceLock::new() })
    }

    /// The fields of the event, if it is one.
    pub fn fields(&self) -> Option<&crate::plan::Vars> {
        self.event().map(|event| &event.fields)
    }

    /// The event, if it is one.
    pub fn event(&self) -> Option<&Event> {
        match &self.content {
            Content::Event(event) => Some(event),
            Content::Message(said) => said.event.as_ref(),
            Content::Unknown | Content::Garbled(_) => None,
        }
    }

    /// The kind of event, if it is one.
    pub fn kind(&self) -> Option<EventKind> {
        match &self.content {
            Content::Event(event) => Some(event.kind),
            Content::Message(_) => Some(EventKind::Message),
            Content::Unknown | Content::Garbled(_) => None,
        }
    }
}
