//! The slots that the cache may hold entries of, if Redis is a single node of a cluster. When another node takes over a
//! slot, this node no longer reports changes of its keys, but returns `MOVED` or `ASK` for them.

use std::time::Duration;

use crate::upstream::{SLOTS, slot_of};

/// How long a missing key is cached. When its slot has moved to another node, nothing reports that it is created there.
/// A key that exists is deleted here when it moves, which is reported.
pub(super) const MISSING_TTL: Duration = Duration::from_secs(1);

/// How many slots a cluster has.
const COUNT: usize = SLOTS as usize;

/// A set of slots.
#[derive(Debug)]
pub(super) struct Slots(Box<[u64; COUNT / 64]>);

impl Default for Slots {
    fn default() -> Self {
        Self(Box::new([0; COUNT / 64]))
    }
}

impl Slots {
    /// Adds the slot of a key.
    pub fn add(&mut self, key: &[u8]) {
        let slot = usize::from(slot_of(key));
        self.0[slot / 64] |= 1 << (slot % 64);
    }

    /// Whether the set contains a slot.
    pub fn has(&self, slot: usize) -> bool {
        let word = self.0.get(slot / 64).copied().unwrap_or_default();
        word & 1 << (slot % 64) != 0
    }
}

/// The slot that another node has, according to a reply.
pub(super) fn moved(encoded: &[u8]) -> Option<usize> {
    let rest = [&b"-MOVED "[..], b"-ASK "]
        .iter()
        .find_map(|start| encoded.strip_prefix(*start))?;
    let number = rest.split(|byte| *byte == b' ').next()?;
    std::str::from_utf8(number).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_names_the_slot_that_has_moved() {
        assert_eq!(moved(b"-MOVED 12182 127.0.0.1:7001\r\n"), Some(12182));
        assert_eq!(moved(b"-ASK 3 host:1\r\n"), Some(3));
        assert_eq!(moved(b"-MOVED x\r\n"), None);
        assert_eq!(moved(b"$6\r\nMOVED \r\n"), None);
        let mut slots = Slots::default();
        slots.add(b"foo");
        assert!(slots.has(12182) && !slots.has(12181) && !slots.has(99999));
    }
}
