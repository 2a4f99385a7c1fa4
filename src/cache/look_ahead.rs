//! Look-ups ahead of time, so that those of a pipeline don't wait for memory one by one.

use std::hint::black_box;

use super::Cache;
use super::hash::widen;

/// The most keys that one call of [`Cache::look_ahead`] takes.
pub const LOOK_AHEAD: usize = 32;

/// The number of entries beyond which they do not fit into the processor's caches. Looking ahead makes a hit in a
/// pipeline of 64 3% slower with 1,000 entries, 13% faster with 10,000, and a third faster with a million.
const LARGE: usize = 4096;

impl Cache {
    /// Whether [`Self::look_ahead`] is worth its time.
    #[must_use]
    pub fn is_large(&self) -> bool {
        self.entries.len() >= LARGE
    }

    /// Brings the memory that [`Self::get`] of these keys will touch into the processor's caches, and changes nothing.
    ///
    /// A look-up waits for memory three times: for the table, for the entry that the table points to, and for the key
    /// and value that the entry points to. Here each step is taken for all keys before the next, so that the processor
    /// waits for all of them at once.
    pub fn look_ahead(&self, keys: &[&[u8]]) {
        let mut entries = [None; LOOK_AHEAD];
        for (entry, key) in entries.iter_mut().zip(keys) {
            // The first candidate: checking whether it matches would be the next step.
            let found = self.entries.raw_entry();
            *entry = found.from_hash(widen(self.hash(key)), |_| true);
        }
        let contents = entries.map(|entry| entry.map_or(&[][..], |(entry, ())| entry.content()));
        black_box(contents.map(|content| (content.first().copied(), content.last().copied())));
    }
}
