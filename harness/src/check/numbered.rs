//! Small tables whose rows are named by their number.

use std::hash::{BuildHasher, Hasher};
use std::ops::{Index, IndexMut};

/// Rows named by `u32`; a number once given stays valid.
#[derive(Clone, Debug)]
pub(crate) struct Numbered<T>(Vec<T>);

impl<T> Default for Numbered<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> Numbered<T> {
    pub(crate) fn len(&self) -> u32 {
        u32::try_from(self.0.len()).expect("numbers are u32")
    }

    pub(crate) fn push(&mut self, row: T) -> u32 {
        self.0.push(row);
        self.len() - 1
    }

    pub(crate) fn find(&self, number: u32) -> Option<&T> {
        self.0.get(number as usize)
    }

    pub(crate) fn find_mut(&mut self, number: u32) -> Option<&mut T> {
        self.0.get_mut(number as usize)
    }

    pub(crate) fn iter(&self) -> std::slice::Iter<'_, T> {
        self.0.iter()
    }

    /// Adds rows until this number exists.
    pub(crate) fn reach(&mut self, number: u32, mut row: impl FnMut() -> T) -> &mut T {
        while self.len() <= number {
            self.0.push(row());
        }
        &mut self[number]
    }
}

impl<T> Index<u32> for Numbered<T> {
    type Output = T;

    fn index(&self, number: u32) -> &T {
        self.0.get(number as usize).expect("a number once given stays valid")
    }
}

impl<T> IndexMut<u32> for Numbered<T> {
    fn index_mut(&mut self, number: u32) -> &mut T {
        self.0.get_mut(number as usize).expect("a number once given stays valid")
    }
}

/// Hashes small integers fast. They are the harness's own numbers: nobody can choose them to
/// collide.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Mix(u64);

impl Hasher for Mix {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    fn write_u32(&mut self, n: u32) {
        self.write_u64(u64::from(n));
    }

    fn write_u64(&mut self, n: u64) {
        self.0 = mix(self.0 ^ n);
    }
}

impl BuildHasher for Mix {
    type Hasher = Self;

    fn build_hasher(&self) -> Self {
        Self::default()
    }
}

/// Spreads a number over 64 bits.
pub(crate) fn mix(n: u64) -> u64 {
    let n = (n ^ (n >> 30)).wrapping_add(0x9E37_79B9_7F4A_7C15).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    n ^ (n >> 29)
}
