//! Alterations of a single frame.

use memchr::memmem;

use super::cutter::Frame;
use super::rule::Corruption;
use crate::stamp::Stamp;

/// The first reserved bit of a header (RFC 6455, 5.2).
const RSV1: u8 = 0x40;

/// Alters a frame; `drawn` is a number by chance. `words` is what is said in it, where that is known.
pub(super) fn corrupt(frame: &mut Frame, what: Corruption, words: Option<&str>, drawn: u64) {
    match what {
        Corruption::Header => return of_header(frame),
        Corruption::Text => {
            let letter = letter(frame, words, drawn);
            match letter.and_then(|at| frame.payload.get_mut(at)) {
                Some(letter) => *letter = another(*letter),
                None => return of_header(frame),
            }
        }
        Corruption::Bytes => {
            let bits = frame.payload.len() as u64 * 8;
            let Some(bit) = drawn.checked_rem(bits) else { return of_header(frame) };
            let at = usize::try_from(bit / 8).unwrap_or_default();
            if let Some(byte) = frame.payload.get_mut(at) {
                *byte ^= 1 << (bit % 8);
            }
        }
    }
    frame.rebuild();
}

/// Keeps the first bytes of a frame, half of it when nothing says how many.
pub(super) fn truncate(frame: &mut Frame, bytes: Option<usize>) {
    frame.payload.truncate(bytes.unwrap_or(frame.payload.len() / 2));
    frame.rebuild();
}

fn of_header(frame: &mut Frame) {
    if let Some(first) = frame.raw.first_mut() {
        *first ^= RSV1;
    }
}

/// Where a letter of what is said stands: behind the harness's own stamp, else the last one of the
/// words, else any letter or digit of the frame.
fn letter(frame: &Frame, words: Option<&str>, drawn: u64) -> Option<usize> {
    let payload = frame.payload.as_slice();
    let plain = |at: &usize| payload.get(*at).is_some_and(u8::is_ascii_alphanumeric);
    let stamped = Stamp::find(payload).and_then(|(at, _)| {
        let behind = payload.get(at + 1..)?;
        memchr::memchr(b'~', behind).map(|end| at + 1 + end + 1)
    });
    if let Some(at) = stamped.filter(plain) {
        return Some(at);
    }
    let said = words.filter(|words| !words.is_empty()).and_then(|words| {
        let at = memmem::rfind(payload, words.as_bytes())?;
        (at..at + words.len()).rev().find(plain)
    });
    let any = || {
        let all: Vec<usize> = (0..payload.len()).filter(plain).collect();
        let nth = drawn.checked_rem(all.len() as u64)?;
        all.get(usize::try_from(nth).ok()?).copied()
    };
    said.or_else(any)
}

/// Another letter or digit.
fn another(letter: u8) -> u8 {
    match letter {
        b'9' => b'0',
        b'z' => b'a',
        b'Z' => b'A',
        other => other + 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(payload: &str) -> Frame {
        Frame::made(1, payload.as_bytes().to_vec(), None)
    }

    #[test]
    fn a_letter_of_what_is_said_is_another() {
        let altered = |payload: &str, words: Option<&str>| {
            let mut frame = text(payload);
            corrupt(&mut frame, Corruption::Text, words, 3);
            assert_eq!(frame.raw.len(), payload.len() + 2);
            String::from_utf8(frame.payload).expect("still a text")
        };
        let stamped = r#"{"t":"chat","text":"~H1.2.3.4.5~abc"}"#;
        assert_eq!(altered(stamped, None), r#"{"t":"chat","text":"~H1.2.3.4.5~bbc"}"#);
        let said = r#"{"text":"hello!"}"#;
        assert_eq!(altered(said, Some("hello!")), r#"{"text":"hellp!"}"#);
        assert_ne!(altered("plain", None), "plain");
    }

    #[test]
    fn bits_headers_and_ends_are_altered() {
        let mut frame = text("hello");
        corrupt(&mut frame, Corruption::Bytes, None, 8);
        assert_eq!(frame.payload, b"hdllo");
        let mut frame = text("hello");
        corrupt(&mut frame, Corruption::Header, None, 0);
        assert_eq!(frame.raw, b"\xc1\x05hello");
        let mut frame = text("hello");
        truncate(&mut frame, Some(2));
        assert_eq!(frame.raw, b"\x81\x02he");
        let mut frame = text("");
        corrupt(&mut frame, Corruption::Bytes, None, 8);
        assert_eq!(frame.raw, b"\xc1\x00");
    }
}
