//! The keys that requests in flight write. A fetch of such a key over another link may return the old value, because
//! Redis executes the requests of two connections in any order.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::BuildHasher;

use foldhash::fast::RandomState;

/// What a request writes, by the hashes of its keys.
#[derive(Debug, Default, PartialEq, Eq)]
pub(in crate::proxy) enum Written {
    /// Nothing.
    #[default]
    Nothing,
    /// One key.
    Key(u64),
    /// These keys.
    Keys(Box<[u64]>),
    /// Possibly any key.
    Anything,
}

impl Written {
    /// What a request that writes these keys writes; `None` stands for possibly any.
    pub fn of(keys: Option<&[&[u8]]>, hasher: &RandomState) -> Self {
        let hash = |key: &&[u8]| hasher.hash_one(key);
        match keys {
            None => Self::Anything,
            Some([]) => Self::Nothing,
            Some([key]) => Self::Key(hash(key)),
            Some(keys) => Self::Keys(keys.iter().map(hash).collect()),
        }
    }

    fn hashes(&self) -> &[u64] {
        match self {
            Self::Nothing | Self::Anything => &[],
            Self::Key(hash) => std::slice::from_ref(hash),
            Self::Keys(hashes) => hashes,
        }
    }
}

/// The keys that the requests in flight on one link write. Each operation takes time in proportion to the keys of one
/// request. Keys with the same hash count as one; the cost is a value that is not cached although it could be.
#[derive(Debug, Default)]
pub(super) struct WrittenKeys {
    /// How many of the requests write a key with this hash.
    keys: HashMap<u64, u32, RandomState>,
    /// How many of the requests may write any key.
    anything: u32,
}

impl WrittenKeys {
    /// A request in flight writes this.
    pub fn add(&mut self, written: &Written) {
        self.anything += u32::from(*written == Written::Anything);
        for hash in written.hashes() {
            *self.keys.entry(*hash).or_default() += 1;
        }
    }

    /// Removes the keys of a request that was answered.
    pub fn remove(&mut self, written: &Written) {
        self.anything -= u32::from(*written == Written::Anything);
        for hash in written.hashes() {
            if let Entry::Occupied(mut entry) = self.keys.entry(*hash) {
                *entry.get_mut() -= 1;
                if *entry.get() == 0 {
                    entry.remove();
                }
            }
        }
        if self.keys.is_empty() {
            self.keys.shrink_to(KEPT);
        }
    }

    /// Whether a request in flight may write this key.
    pub fn contains(&self, key: &[u8], hasher: &RandomState) -> bool {
        self.anything > 0 || !self.keys.is_empty() && self.keys.contains_key(&hasher.hash_one(key))
    }
}

/// How many keys the empty table keeps room for.
const KEPT: usize = 64;
