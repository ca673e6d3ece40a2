//! What rules have done: frame by frame for a log, rule by rule for a report.

use serde_json::{Value, json};

use super::rule::Way;
use super::who::ConnId;
use crate::craft::OPCODES;
use crate::observe::Time;

/// A fault that happened.
#[derive(Clone, Debug, PartialEq)]
pub struct Deed {
    /// When, since the proxy began.
    pub at: Time,
    /// Its word.
    pub fault: &'static str,
    /// The rule, in the words of the command line.
    pub rule: String,
    /// On which connection.
    pub conn: ConnId,
    /// Whose it is, where that is known.
    pub client: Option<String>,
    /// Which way.
    pub way: Option<Way>,
    /// The frame's opcode, where it befell a frame.
    pub opcode: Option<u8>,
    /// The frame's content, as a report may show it.
    pub frame: Option<String>,
    /// More, such as where a frame went instead.
    pub note: Option<String>,
}

impl Deed {
    /// One line of JSON, for a file.
    pub fn json(&self) -> String {
        let value: Value = json!({
            "at_us": self.at.0,
            "fault": self.fault,
            "rule": self.rule,
            "connection": self.conn.0,
            "client": self.client,
            "to": self.way.map(Way::as_str),
            "opcode": self.opcode.map(opcode),
            "frame": self.frame,
            "note": self.note,
        });
        value.to_string()
    }

    /// One line for a person.
    pub fn line(&self) -> String {
        let seconds = self.at.0 as f64 / 1e6;
        let mut line = format!("{seconds:10.6} {:<9} #{}", self.fault, self.conn);
        if let Some(client) = &self.client {
            line += &format!(" {client}");
        }
        if let Some(way) = self.way {
            line += &format!(" to {}", way.as_str());
        }
        if let Some(code) = self.opcode.filter(|code| *code != 1) {
            line += &format!(" ({})", opcode(code));
        }
        if let Some(note) = &self.note {
            line += &format!(" [{note}]");
        }
        if let Some(frame) = &self.frame {
            line += &format!(" {frame}");
        }
        line
    }
}

fn opcode(code: u8) -> String {
    let named = OPCODES.iter().find(|(_, known)| *known == code);
    named.map_or_else(|| code.to_string(), |(name, _)| (*name).to_owned())
}

/// A rule that was in force, for the report of a run: so that nobody takes its fault for the server's.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Story {
    /// The rule, in the words of the command line.
    pub rule: String,
    /// From when.
    pub from: Time,
    /// Until when; none: to the end.
    pub until: Option<Time>,
    /// How often it did something.
    pub times: u64,
}
