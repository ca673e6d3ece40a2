//! Conversations as text: who sends what, and what exactly everybody gets.
//!
//! - `A> {…}` client A sends this. A client that was not there before connects first. `0xff00` is
//!   two bytes in a binary message.
//! - `A< {…}` the next frame that A has got is this.
//! - `A closes`, `A is silent`: the connection ends, for this reason.
//! - `in chat` who connects from here on speaks this dialect; `A connects to r` names a room.
//! - `files! {…} = 2` this is published on the channel, and two get it; `= file` is the field at fault.
//! - `5 s pass`, `the world keeps storage`, `the disk is full`, `the disk has room`.
//! - `# …` a remark.
//!
//! In frames, ids, epochs and codes are variables: they stand for whatever comes first, and from
//! then on for that. All frames must be accounted for, but for a greeting that nobody asks about.

use std::collections::BTreeMap;
use std::time::Duration;

use protocol::{ConnId, Dialect, Ending, Frame, Incoming, Limits, Reason, events};
use serde_json::{Map, Value};

use crate::server::Server;

/// Runs the conversation, and fails with the line at which it went otherwise.
pub(crate) fn check(transcript: &str) {
    check_with(Limits::default(), transcript);
}

pub(crate) fn check_with(limits: Limits, transcript: &str) {
    if let Err(error) = run(limits, transcript) {
        panic!("{error}\nin {transcript}");
    }
}

fn run(limits: Limits, transcript: &str) -> Result<(), String> {
    let mut run = Run {
        server: Server::new(limits),
        dialect: Dialect::Native,
        waiting: BTreeMap::new(),
        ended: BTreeMap::new(),
        bound: BTreeMap::new(),
    };
    for (index, line) in transcript.lines().enumerate() {
        let line = line.trim();
        if !line.is_empty() && !line.starts_with('#') {
            run.line(line).map_err(|error| format!("line {}: {line}\n{error}", index + 1))?;
        }
    }
    run.drop_greetings();
    run.waiting.retain(|_, frames| !frames.is_empty());
    if run.waiting.is_empty() {
        Ok(())
    } else {
        Err(format!("not accounted for: {:#?}", run.waiting))
    }
}

struct Run {
    server: Server,
    /// Of those who connect.
    dialect: Dialect,
    waiting: BTreeMap<char, Vec<String>>,
    ended: BTreeMap<char, Ending>,
    /// What the variables stand for.
    bound: BTreeMap<String, String>,
}

impl Run {
    fn line(&mut self, line: &str) -> Result<(), String> {
        if let Some(seconds) = line.strip_suffix(" s pass") {
            let seconds = seconds.parse().map_err(|_| "how many seconds?")?;
            self.server.wait(Duration::from_secs_f64(seconds));
            self.collect();
            return Ok(());
        }
        let world = &self.server.world;
        let setting = match line {
            "the world keeps storage" => Some((&world.keeps, true)),
            "the disk is full" => Some((&world.disk_full, true)),
            "the disk has room" => Some((&world.disk_full, false)),
            _ => None,
        };
        if let Some((setting, on)) = setting {
            setting.set(on);
            return Ok(());
        }
        if let Some(dialect) = line.strip_prefix("in ") {
            self.dialect = Dialect::named(dialect).ok_or("no such dialect")?;
            return Ok(());
        }
        if let Some((channel, (body, wanted))) =
            line.split_once("! ").and_then(|(c, rest)| Some((c, rest.rsplit_once(" = ")?)))
        {
            return self.publish(channel, body, wanted);
        }
        let mut chars = line.chars();
        let who = chars.next().filter(char::is_ascii_uppercase).ok_or("who?")?;
        let conn = ConnId(u64::from(u32::from(who)));
        if !self.server.sessions.contains_key(&conn) && !self.ended.contains_key(&who) {
            let name = line.split_once(" connects to ").map(|(_, name)| name);
            self.server.open_as(self.dialect, name, conn);
        }
        self.collect();
        match chars.as_str().split_at_checked(1) {
            Some((">", text)) => {
                let text = self
                    .bound
                    .iter()
                    .fold(text.trim().to_owned(), |text, (name, value)| text.replace(name, value));
                let bytes = text.strip_prefix("0x").map(unhex);
                let message = match &bytes {
                    Some(bytes) => Incoming::Binary(bytes),
                    None => Incoming::Text(&text),
                };
                if let Some(ending) = self.server.send(conn, message) {
                    self.ended.insert(who, ending);
                }
            }
            Some(("<", text)) => return self.gets(who, text.trim()),
            Some((" ", what)) => self.happens(who, conn, what)?,
            _ => return Err("what?".to_owned()),
        }
        self.collect();
        Ok(())
    }

    fn happens(&mut self, who: char, conn: ConnId, what: &str) -> Result<(), String> {
        let reason = match what {
            "connects" => return Ok(()),
            what if what.starts_with("connects to ") => return Ok(()),
            "closes" => Reason::Closed,
            "is silent" => Reason::Timeout,
            "is slow" => Reason::Slow,
            "is evicted" => Reason::Evicted,
            "makes the server drain" => {
                self.server.world.inner.set_draining(true);
                return Ok(());
            }
            what => {
                let code = what.strip_prefix("is closed with ").ok_or("what?")?;
                let ending = self.ended.get(&who).map(|ending| ending.code.to_string());
                return if ending.as_deref() == Some(code) {
                    Ok(())
                } else {
                    Err(format!("it was closed with {ending:?}"))
                };
            }
        };
        self.server.end(conn, reason);
        Ok(())
    }

    fn collect(&mut self) {
        for who in 'A'..='Z' {
            let frames = self.server.world.inner.take(ConnId(u64::from(u32::from(who))));
            let texts = frames.iter().map(shown);
            self.waiting.entry(who).or_default().extend(texts);
        }
    }

    fn publish(&mut self, channel: &str, body: &str, wanted: &str) -> Result<(), String> {
        let result = events::publish(self.server.now(), channel, body, &self.server.world);
        self.collect();
        let result = match &result {
            Ok(subscribers) => subscribers.to_string(),
            Err(error) => error.field().map_or_else(|| error.to_string(), str::to_owned),
        };
        if result == wanted { Ok(()) } else { Err(format!("the result is {result}")) }
    }

    fn gets(&mut self, who: char, expected: &str) -> Result<(), String> {
        let frames = self.waiting.entry(who).or_default();
        if !is_greeting(expected) && frames.first().is_some_and(|frame| is_greeting(frame)) {
            frames.remove(0);
        }
        if frames.is_empty() {
            return Err(format!("{who} has got nothing"));
        }
        let found = frames.remove(0);
        let json = |text: &str| serde_json::from_str::<Value>(text);
        let same = match (json(expected), json(&found)) {
            (Ok(expected), Ok(value)) => self.matches("", &expected, &value),
            _ => expected == found,
        };
        if same { Ok(()) } else { Err(format!("{who} has got {found}")) }
    }

    fn matches(&mut self, key: &str, expected: &Value, found: &Value) -> bool {
        match (expected, found) {
            (Value::Object(expected), Value::Object(found)) => {
                let keys = |object: &Map<String, Value>| {
                    let mut keys: Vec<String> = object.keys().cloned().collect();
                    keys.sort();
                    keys
                };
                keys(expected) == keys(found)
                    && expected.iter().all(|(key, value)| self.matches(key, value, &found[key]))
            }
            (Value::Array(expected), Value::Array(found)) => {
                expected.len() == found.len()
                    && expected.iter().zip(found).all(|(e, f)| self.matches(key, e, f))
            }
            (Value::String(expected), Value::String(found)) => {
                // What an error says to people may change.
                let free = key == "message" && expected == "…";
                free || self.means(key, expected, found)
            }
            _ => expected == found,
        }
    }

    fn means(&mut self, key: &str, expected: &str, found: &str) -> bool {
        let prefixes = ["m-", "c-", "e-", "conn-", "~"];
        let prefix = prefixes.into_iter().find(|it| expected.starts_with(it));
        let (name, value) = match (prefix, key) {
            (Some("~"), _) => (expected.replace('~', ""), found.replace('~', "")),
            (Some(prefix), _) if found.starts_with(prefix) => {
                (expected.to_owned(), found.to_owned())
            }
            // In some dialects ids are UUIDs, and this stands for one.
            (None, _) if expected.starts_with("u-") && is_uuid(found) => {
                (expected.to_owned(), found.to_owned())
            }
            (None, "code" | "room_code") if expected == expected.to_uppercase() => {
                (expected.to_owned(), found.to_owned())
            }
            _ => return expected == found,
        };
        match self.bound.get(&name) {
            Some(bound) => *bound == value,
            // Two names never stand for the same.
            None if self.bound.values().any(|bound| *bound == value) => false,
            None => {
                self.bound.insert(name, value);
                true
            }
        }
    }

    fn drop_greetings(&mut self) {
        for frames in self.waiting.values_mut() {
            frames.retain(|frame| !is_greeting(frame));
        }
    }
}

/// What waits for a client, as it is written here.
fn shown(frame: &Frame) -> String {
    const BINARY: u8 = 0x82;
    if frame.bytes().first() == Some(&BINARY) {
        let digits = frame.payload().iter().map(|byte| format!("{byte:02x}"));
        return digits.fold("0x".to_owned(), |text, digits| text + &digits);
    }
    frame.as_text().to_owned()
}

fn unhex(digits: &str) -> Vec<u8> {
    let byte = |at| u8::from_str_radix(&digits[at..at + 2], 16).expect("two digits a byte");
    (0..digits.len()).step_by(2).map(byte).collect()
}

fn is_greeting(frame: &str) -> bool {
    let greetings = [r#"{"type":"welcome""#, r#"{"type":"connected""#, r#"{"status":"connected""#];
    greetings.into_iter().any(|greeting| frame.starts_with(greeting))
}

/// RFC 9562, section 5.4.
pub(crate) fn is_uuid(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let hex = |part: &&str| part.bytes().all(|byte| b"0123456789abcdef".contains(&byte));
    parts.iter().map(|part| part.len()).eq([8, 4, 4, 4, 12])
        && parts.iter().all(hex)
        && parts[2].starts_with('4')
        && parts[3].starts_with(['8', '9', 'a', 'b'])
}

const JOIN: &str = r#"
    A> {"type":"join","room":"r","membership":"none"}
    A< {"type":"joined","room":"r","epoch":"e-1","seq":0,"view":0,"you":"m-a","members":[],"count":1,"storage":{"version":0,"entries":{}}}
    A> {"type":"chat","room":"r","text":"x"}
"#;

fn wrong(rest: &str) {
    let transcript = format!("{JOIN}{rest}");
    assert!(run(Limits::default(), &transcript).is_err(), "this is not how it goes: {transcript}");
}

#[test]
fn a_wrong_conversation_is_noticed() {
    let chat = r#"A< {"type":"chat","room":"r","seq":1,"member":"m-a","username":"c-a","text":"x","at":"2026-01-01T00:00:00.000Z"}"#;
    check(&format!("{JOIN}{chat}"));
    wrong("");
    wrong(&format!("{chat}\n{chat}"));
    wrong(&chat.replace("\"seq\":1,", "\"seq\":2,"));
    wrong(&chat.replace("\"seq\":1,", ""));
    wrong(&chat.replace("m-a", "e-1"));
    wrong(&chat.replace("\"x\"", "\"y\""));
    let twice = format!("{chat}\nA> {{\"type\":\"chat\",\"room\":\"r\",\"text\":\"x\"}}\n");
    wrong(&format!("{twice}{}", chat.replace("m-a", "m-b").replace("\"seq\":1,", "\"seq\":2,")));
}
