//! The only randomness: names that nobody outside can guess, from a seed given by the caller.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// Draws ids, codes and epochs. The same seed gives the same ones; nobody without the seed can tell
/// the next from those before (`StdRng` is a cryptographic generator).
#[derive(Debug)]
pub struct Ids(StdRng);

/// Symbols of an id: 32 of them, so that five random bits make one without bias.
const SYMBOLS: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
/// Symbols of a code: no I or O, and no 0 or 1, which people confuse with them.
const CODE_SYMBOLS: &[u8; 32] = b"ABCDEFGHJKLMNPQRSTUVWXYZ23456789";
/// Symbols of a code that people read to each other.
const CODE_LEN: usize = 6;
/// 80 bits: among a million members the odds that two are the same are below one in 10^12.
const ID_LEN: usize = 16;

impl Ids {
    /// A source seeded from outside.
    pub fn new(seed: [u8; 32]) -> Self {
        Self(StdRng::from_seed(seed))
    }

    /// A fresh connection id, `c-…`.
    pub fn connection(&mut self) -> String {
        self.with_prefix("c-")
    }

    /// A fresh id that begins so.
    pub(crate) fn with_prefix(&mut self, prefix: &str) -> String {
        self.draw(prefix, SYMBOLS, ID_LEN)
    }

    /// A fresh member id, `m-…`: no other member has it, in whichever room.
    pub fn member(&mut self) -> String {
        self.with_prefix("m-")
    }

    /// A fresh id as a UUID of version 4 (RFC 9562 section 5.4).
    pub fn uuid(&mut self) -> String {
        let bits = (u128::from(self.0.next_u64()) << 64) | u128::from(self.0.next_u64());
        let version = bits & !(0xF << 76) | (0x4 << 76);
        let bits = version & !(0x3 << 62) | (0x2 << 62);
        let digits = format!("{bits:032x}");
        let groups = [(0, 8), (8, 12), (12, 16), (16, 20), (20, 32)];
        groups.map(|(from, to)| digits.get(from..to).unwrap_or_default()).join("-")
    }

    /// A fresh id of a connection of `pusher`: two numbers, as its libraries want it.
    pub(crate) fn socket(&mut self) -> String {
        let bits = self.0.next_u64();
        // The odds that two of a million are the same are below one in 10^7.
        format!("{}.{}", (bits >> 32) | 1, (bits & 0xFFFF_FFFF) | 1)
    }

    /// A fresh epoch, `e-…`: the name of one life of a room.
    pub fn epoch(&mut self) -> String {
        self.with_prefix("e-")
    }

    /// A fresh room code. There are only 2^30: the caller sees whether it is taken.
    pub fn code(&mut self) -> String {
        self.draw("", CODE_SYMBOLS, CODE_LEN)
    }

    /// Whether `code` could have been drawn with [`Ids::code`].
    pub fn is_code(code: &str) -> bool {
        code.len() == CODE_LEN && code.bytes().all(|byte| CODE_SYMBOLS.contains(&byte))
    }

    fn draw(&mut self, prefix: &str, symbols: &[u8; 32], len: usize) -> String {
        let mut id = String::with_capacity(prefix.len() + len);
        id.push_str(prefix);
        let mut bits = 0;
        for place in 0..len {
            // Twelve symbols of five bits fit into 64.
            if place % 12 == 0 {
                bits = self.0.next_u64();
            }
            let symbol = usize::try_from(bits & 31).unwrap_or_default();
            id.push(symbols.get(symbol).copied().map_or('?', char::from));
            bits >>= 5;
        }
        id
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uuid_has_its_form_its_version_and_its_variant() {
        let mut ids = Ids::new([3; 32]);
        let uuids: Vec<String> = (0..200).map(|_| ids.uuid()).collect();
        for uuid in &uuids {
            let lengths: Vec<usize> = uuid.split('-').map(str::len).collect();
            assert_eq!(lengths, [8, 4, 4, 4, 12], "{uuid}");
            assert!(
                uuid.bytes().all(|b| b == b'-' || b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
            );
            assert_eq!(&uuid[14..15], "4", "{uuid}");
            assert!("89ab".contains(&uuid[19..20]), "{uuid}");
        }
        // Every other place takes all digits.
        for place in (0..36).filter(|place| ![8, 13, 14, 18, 19, 23].contains(place)) {
            let digits: std::collections::BTreeSet<&str> =
                uuids.iter().map(|uuid| &uuid[place..=place]).collect();
            assert_eq!(digits.len(), 16, "place {place}");
        }
    }
}
