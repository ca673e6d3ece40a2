//! Servers that are wrong about what is wrong: requests that cannot be read, frames that break RFC 6455.

use std::{collections::BTreeMap, process};

use parking_lot::Mutex;
use protocol::{Dialect, Ending, Frame, Reason};
use serde_json::Value;

use super::{At, Heard, Kind, Mutant, Take, kind};
use crate::connection::{Connection, Order};

/// How an ending is known again that is to be none.
const CUT_OFF: Ending = Ending::new(1011, "cut off", Reason::Closed);
/// What a server exits with that did not survive what it heard.
const DEAD: i32 = 70;

pub(super) const MUTANTS: &[Mutant] = &[
    Mutant {
        outlet: Some(|at| {
            let cause = at.acting.text.as_deref();
            if !(at.is(Kind::Error) && cause.is_some_and(is_malformed)) {
                at.pass();
            }
        }),
        ..Mutant::new("err-silent", "does not answer what is no JSON")
    },
    Mutant { outlet: Some(miscode), ..Mutant::new("err-wrong-code", "gives errors other codes") },
    Mutant {
        hears: Some(|heard| if is_wrong(heard) { Take::Close(CUT_OFF) } else { Take::Pass }),
        ends: Some(|_, order| if order == Order::Close(CUT_OFF) { Order::Lost } else { order }),
        ..Mutant::new("err-kills-connection", "cuts off whoever sends something that is no JSON")
    },
    Mutant {
        hears: Some(|heard| {
            if is_wrong(heard) {
                process::exit(DEAD);
            }
            Take::Pass
        }),
        ends: Some(|_, order| {
            if matches!(order, Order::Close(ending) if is_breach(ending)) {
                process::exit(DEAD);
            }
            order
        }),
        ..Mutant::new("err-kills-server", "dies of what is no JSON, and of frames that are none")
    },
    Mutant {
        outlet: Some(|at| {
            let others = || {
                let rooms = at.state().rooms_of(at.to.id);
                let members = rooms.iter().flat_map(|room| at.state().members(room));
                members.filter(|member| member.id != at.to.id).collect()
            };
            at.leak(Kind::Error, others);
        }),
        ..Mutant::new("err-to-everyone", "tells errors to everybody in the room")
    },
    Mutant {
        reads: Some(call_it_bytes),
        bytes_are_text: true,
        ..Mutant::new("utf8-accepted", "does not look whether text is UTF-8")
    },
    Mutant {
        ends: Some(|_, order| match order {
            Order::Close(ending) if is_breach(ending) => Order::Lost,
            order => order,
        }),
        ..Mutant::new("close-no-frame", "cuts off without a Close whoever breaks the protocol")
    },
    Mutant {
        writes: Some(|_, frame| match kind::control(frame) {
            (Kind::Close, code) if !code.is_empty() => Frame::close(1000, "").bytes().to_vec(),
            _ => frame.to_vec(),
        }),
        ..Mutant::new("close-code-flattened", "answers every Close with 1000")
    },
    Mutant {
        ends: Some(|_, order| match order {
            Order::Close(ending) if is_breach(ending) => {
                Order::Close(Ending { code: 1006, ..ending })
            }
            order => order,
        }),
        ..Mutant::new("close-1006-on-wire", "closes with a code that no frame may carry")
    },
];

fn is_breach(ending: Ending) -> bool {
    [Ending::PROTOCOL_ERROR.code, Ending::NOT_UTF8.code].contains(&ending.code)
}

fn is_malformed(text: &str) -> bool {
    serde_json::from_str::<Value>(text).is_err()
}

fn is_wrong(heard: &Heard<'_>) -> bool {
    heard.dialect != Dialect::Project && is_malformed(heard.text)
}

fn miscode(at: &At<'_>) {
    at.alter(Kind::Error, |error| {
        if let Some(mut data) = kind::inner(error) {
            data["code"] = 4299.into();
            error["data"] = data.to_string().into();
        }
        for (place, code) in [
            ("/code", Value::from("no_such_code")),
            ("/Error/code", "no_such_code".into()),
            ("/data/code", 4299.into()),
        ] {
            if let Some(right) = error.pointer_mut(place) {
                *right = code;
            }
        }
    });
}

/// How far into a frame what was read of a connection goes.
#[derive(Debug, Default)]
struct Reading {
    /// What has come of the header.
    header: Vec<u8>,
    /// What is still to come of the content.
    content: u64,
}

impl Reading {
    fn next(&mut self, byte: &mut u8) {
        if self.content > 0 {
            self.content -= 1;
            return;
        }
        if self.header.is_empty() && *byte & 0xF == 1 {
            *byte += 1;
        }
        self.header.push(*byte);
        let mut header = self.header.iter().copied().skip(1);
        let Some(second) = header.next() else { return };
        let (length, more) = match second & 0x7F {
            126 => (0, 2),
            127 => (0, 8),
            length => (u64::from(length), 0),
        };
        let mask = if second & 0x80 == 0 { 0 } else { 4 };
        if self.header.len() < 2 + more + mask {
            return;
        }
        let long = header.take(more).fold(0_u64, |long, byte| (long << 8) | u64::from(byte));
        self.content = length + long;
        self.header.clear();
    }
}

/// Makes frames of text into ones of bytes, which nobody looks at.
fn call_it_bytes(connection: &Connection, read: &mut [u8]) {
    static READINGS: Mutex<BTreeMap<u64, Reading>> = Mutex::new(BTreeMap::new());
    let mut readings = READINGS.lock();
    let reading = readings.entry(connection.id).or_default();
    for byte in read {
        reading.next(byte);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_first_byte_of_text_frames_is_changed_wherever_reads_end() {
        let masked = |first: u8, content: &[u8]| {
            let length = 0x80 | u8::try_from(content.len()).unwrap();
            [&[first, length, 0, 0, 0, 0], content].concat()
        };
        let long = [&[0x81, 0xFE, 1, 0, 9, 9, 9, 9][..], &[0x81; 256]].concat();
        let sent =
            [masked(0x81, b"\x81\x81"), long, masked(0x89, b""), masked(0x01, b"x")].concat();
        let mut reading = Reading::default();
        let mut read = sent.clone();
        read.iter_mut().for_each(|byte| reading.next(byte));
        let changed: Vec<usize> = (0..sent.len()).filter(|&at| read[at] != sent[at]).collect();
        assert_eq!(changed, [0, 8, 8 + 264 + 6]);
        assert!(changed.iter().all(|&at| read[at] & 0xF == 2));
    }
}
