//! 32-bit hashes of keys. One is kept with each deadline, to find the entry by.

use std::hash::{BuildHasher, Hasher};

use foldhash::fast::{FoldHasher, RandomState};

/// A seeded hasher made for short keys.
#[derive(Clone, Default)]
pub(super) struct Hashes(RandomState);

impl BuildHasher for Hashes {
    type Hasher = Short;

    fn build_hasher(&self) -> Short {
        Short(self.0.build_hasher())
    }
}

/// The hasher of one key.
pub(super) struct Short(FoldHasher<'static>);

impl Hasher for Short {
    fn write(&mut self, bytes: &[u8]) {
        self.0.write(bytes);
    }

    fn finish(&self) -> u64 {
        widen(self.0.finish() as u32)
    }
}

/// Widens a hash for the map, which looks at the lowest and the highest bits.
pub(super) fn widen(hash: u32) -> u64 {
    u64::from(hash) << 32 | u64::from(hash)
}
