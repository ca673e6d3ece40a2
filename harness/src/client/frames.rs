//! What a client keeps of the frames that came, for steps that look below the dialect, and whether
//! its own stream is whole.
//!
//! A frame and the events in it are taken together: taking the frame takes its events, and taking an
//! event takes its frame (the frame's other events stay).

use std::sync::{Arc, OnceLock};

use serde_json::Value;

use super::Client;
use crate::books::Books;
use crate::dialect::Dialect;
use crate::heard::Heard;
use crate::observe::{Time, What};

/// Frames that wait to be taken, at most; the oldest go first.
const FRAMES_MAX: usize = 4096;
/// Their bytes, at most; one frame is always kept, whatever its size.
const FRAMES_BYTES_MAX: usize = 16 << 20;
/// Pongs that wait to be looked for.
const PONGS_MAX: usize = 64;

/// A frame that came.
#[derive(Clone, Debug)]
pub struct Got {
    /// Its number among this client's frames.
    pub nth: u64,
    /// When it came.
    pub at: Time,
    /// What is in it.
    pub content: Content,
    /// It answered a request of the timeline, or was the greeting: somebody has taken it, in a way.
    pub answered: bool,
    value: OnceLock<Value>,
}

/// What is in a frame.
#[derive(Clone, Debug)]
pub enum Content {
    /// A text.
    Text(Arc<Heard>),
    /// Bytes.
    Binary(Arc<[u8]>),
}

impl Got {
    /// Its content as a value: as the dialect reads texts; of bytes, `{"$binary": …}` in hexadecimal.
    pub fn value(&self, dialect: &Dialect) -> &Value {
        self.value.get_or_init(|| match &self.content {
            Content::Text(heard) => dialect.value_of(&heard.text),
            Content::Binary(bytes) => {
                let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
                serde_json::json!({ "$binary": hex })
            }
        })
    }

    /// How it is shown.
    pub fn shown(&self) -> Arc<str> {
        match &self.content {
            Content::Text(heard) => Arc::clone(&heard.shown),
            Content::Binary(bytes) => format!("(binary: {})", crate::craft::shown(bytes)).into(),
        }
    }

    fn len(&self) -> usize {
        match &self.content {
            Content::Text(heard) => heard.text.len(),
            Content::Binary(bytes) => bytes.len(),
        }
    }
}

impl Client {
    /// Bytes came.
    pub fn hear_binary(&mut self, now: Time, bytes: &[u8], books: &mut Books) {
        let text = format!("{} bytes of binary", bytes.len()).into();
        books.observe(now, self.id, What::Unknown { text });
        self.got(now, Content::Binary(bytes.into()), false);
    }

    /// A frame has been heard: it is kept, if anybody will look for it.
    pub(super) fn got(&mut self, at: Time, content: Content, answered: bool) {
        let nth = self.frame;
        self.frame += 1;
        if !self.keeps_frames {
            return;
        }
        let got = Got { nth, at, content, answered, value: OnceLock::new() };
        self.frame_bytes += got.len();
        self.frames.push_back(got);
        while self.frames.len() > FRAMES_MAX
            || (self.frame_bytes > FRAMES_BYTES_MAX && self.frames.len() > 1)
        {
            if let Some(oldest) = self.frames.pop_front() {
                self.frame_bytes -= oldest.len();
                self.overflowed += 1;
            }
        }
    }

    /// The frames that nothing has taken, in the order in which they came.
    pub fn frames(&self) -> impl Iterator<Item = &Got> {
        self.frames.iter()
    }

    /// The number of the frame that comes next.
    pub fn next_frame(&self) -> u64 {
        self.frame
    }

    /// Takes a frame, and the events in it.
    pub fn take_frame(&mut self, nth: u64) {
        self.inbox.retain(|event| event.frame != Some(nth));
        self.forget_frame(nth);
    }

    /// Takes an event, and its frame.
    pub fn take_event(&mut self, at: usize) -> Option<super::Event> {
        let event = self.inbox.remove(at)?;
        if let Some(nth) = event.frame {
            self.forget_frame(nth);
        }
        Some(event)
    }

    fn forget_frame(&mut self, nth: u64) {
        if let Some(at) = self.frames.iter().position(|got| got.nth == nth)
            && let Some(got) = self.frames.remove(at)
        {
            self.frame_bytes -= got.len();
        }
    }

    /// Forgets everything that nothing has taken.
    pub fn drain(&mut self) {
        self.inbox.clear();
        self.frames.clear();
        self.foreign_pongs.clear();
        self.frame_bytes = 0;
    }

    /// Keeps the content of a pong that answers no ping of the harness's own.
    pub(super) fn keep_pong(&mut self, payload: &[u8]) {
        if self.keeps_frames {
            if self.foreign_pongs.len() >= PONGS_MAX {
                self.foreign_pongs.pop_front();
            }
            self.foreign_pongs.push_back(payload.into());
        }
    }

    /// Takes the pong with this content, if it came.
    pub fn take_pong(&mut self, payload: &[u8]) -> bool {
        let at = self.foreign_pongs.iter().position(|pong| **pong == *payload);
        at.and_then(|at| self.foreign_pongs.remove(at)).is_some()
    }

    /// The pongs that nothing has taken.
    pub fn pongs_kept(&self) -> impl Iterator<Item = &[u8]> {
        self.foreign_pongs.iter().map(|pong| &**pong)
    }

    /// Bytes of the scenario's own making were written.
    pub fn wrote(&mut self, bytes: &[u8]) {
        self.outbound.wrote(bytes);
    }

    /// The client's half of TCP has ended: nothing can be written any more.
    pub fn has_ended_its_half(&mut self) {
        self.half_closed = true;
    }

    /// Whether a control frame of the harness's own may be written now.
    pub fn can_control(&self) -> bool {
        !self.half_closed && self.outbound.is_between_frames()
    }

    /// Whether a message of the harness's own may be written now.
    pub fn can_message(&self) -> bool {
        !self.half_closed && self.outbound.is_between_messages()
    }
}
