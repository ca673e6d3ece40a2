//! The mark in every text the harness sends: it alone tells what was lost, doubled, moved or late.
//!
//! `~H<run>.<voice>.<seq>.<ticket>.<intended µs>~`, decimal and ASCII, so that it survives JSON, JSON
//! inside strings and plain text unchanged and can be found in a raw frame without parsing it.

use std::fmt::Write as _;

use memchr::memmem;

use crate::observe::{MessageId, Time, VoiceId};

/// What a stamp says.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Stamp {
    /// The run that sent it.
    pub run: u64,
    /// Which message.
    pub message: MessageId,
    /// How many messages its room had been sent before.
    pub ticket: u32,
    /// When the schedule wanted it sent.
    pub intended: Time,
}

/// The longest stamp: five numbers of at most 20 digits, and the signs around them.
pub const LONGEST: usize = 108;

const OPENING: &[u8] = b"~H";
const PADDING: &[u8] = b"abcdefghijklmnopqrstuvwxyz0123456789";

impl Stamp {
    /// A text of `size` bytes that begins with this stamp; longer if the stamp itself is. The rest is
    /// filled from the message's number, so that two messages differ in every part.
    pub fn text(&self, size: usize) -> String {
        let mut text = String::with_capacity(size.max(48));
        let MessageId { voice, seq } = self.message;
        write!(text, "~H{}.{}.{}.{}.{}~", self.run, voice.0, seq, self.ticket, self.intended.0)
            .expect("writing to a String cannot fail");
        let filler = PADDING.iter().cycle().skip(seq as usize % PADDING.len());
        let missing = size.saturating_sub(text.len());
        text.extend(filler.take(missing).map(|&byte| char::from(byte)));
        text
    }

    /// The first stamp in a frame, and where it begins.
    pub fn find(frame: &[u8]) -> Option<(usize, Self)> {
        memmem::find_iter(frame, OPENING).find_map(|at| {
            let rest = frame.get(at + OPENING.len()..)?;
            Self::parse(rest).map(|stamp| (at, stamp))
        })
    }

    fn parse(rest: &[u8]) -> Option<Self> {
        let end = memchr::memchr(b'~', rest.get(..rest.len().min(LONGEST))?)?;
        let mut numbers = rest.get(..end)?.split(|&byte| byte == b'.').map(number);
        let mut next = || numbers.next().flatten();
        let (run, voice, seq, ticket, intended) = (next()?, next()?, next()?, next()?, next()?);
        let none_left = numbers.next().is_none();
        let small = |number: u64| u32::try_from(number).ok();
        none_left.then_some(Self {
            run,
            message: MessageId { voice: VoiceId(small(voice)?), seq: small(seq)? },
            ticket: small(ticket)?,
            intended: Time(intended),
        })
    }
}

/// A decimal number without sign, blanks or leading plus.
fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || digits.len() > 20 {
        return None;
    }
    digits.iter().try_fold(0u64, |sum, &digit| {
        let digit = digit.is_ascii_digit().then(|| u64::from(digit - b'0'))?;
        sum.checked_mul(10)?.checked_add(digit)
    })
}

/// A hash of a whole text (FNV-1a): two texts that differ in a byte differ in it but for one case in
/// four thousand million.
pub fn hash(text: &[u8]) -> u32 {
    text.iter().fold(0x811c_9dc5, |hash, &byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_stamp_is_found_wherever_it_stands(
            run: u64, voice: u32, seq: u32, ticket: u32, intended: u64,
            size in 0usize..300, before in "[^~]{0,40}", after in ".{0,40}",
        ) {
            let stamp = Stamp {
                run, message: MessageId { voice: VoiceId(voice), seq }, ticket, intended: Time(intended),
            };
            let text = stamp.text(size);
            prop_assert!(text.len() >= size && text.is_ascii());
            let frame = format!("{before}{text}{after}");
            prop_assert_eq!(Stamp::find(frame.as_bytes()), Some((before.len(), stamp)));
        }

        #[test]
        fn no_bytes_are_too_odd_to_be_searched(bytes: Vec<u8>) {
            // Whatever comes back was written as a stamp; the search itself must not panic.
            if let Some((at, _)) = Stamp::find(&bytes) {
                prop_assert!(bytes[at..].starts_with(b"~H"));
            }
        }
    }

    #[test]
    fn what_only_looks_like_a_stamp_is_passed_over() {
        for text in [
            "~H1.2.3.4~",
            "~H1.2.3.4.5.6~",
            "~H1.2.3.4.x~",
            "~H1.2.3.4.5",
            "~H.2.3.4.5~",
            "~H+1.2.3.4.5~",
        ] {
            assert_eq!(Stamp::find(text.as_bytes()), None, "{text}");
        }
        let (at, stamp) = Stamp::find(b"~H oh ~H1.2.3.4.5~").unwrap();
        assert_eq!((at, stamp.intended), (6, Time(5)));
    }
}
