//! The cache: least recently used entries are evicted first, within a number of entries and of bytes, and each entry
//! has a time to live. It knows nothing of RESP, sockets or clocks.
//!
//! Three things are kept in step: the map (hashlink's [`LinkedHashMap`], which also keeps the order of use), the queue
//! of deadlines, and the count of bytes. Entries begin and change in `insert` and end in `remove`, where
//! `Cache::forget` is the only place that takes them out of the queue and the count. Pinned entries are in a map of
//! their own.

mod answers;
mod entry;
mod hash;
mod insert;
mod key;
mod look_ahead;
mod look_up;
mod notes;
mod queue;
mod read;
mod remove;
mod terms;
mod walk;

use std::hash::BuildHasher;
use std::rc::Rc;
use std::time::Duration;

use hashlink::LinkedHashMap;
use hashlink::linked_hash_map::RawEntryMut;

use crate::clock::Time;
use crate::rules::Rules;
pub use answers::Question;
use entry::{Entry, Name};
use hash::{Hashes, widen};
pub use key::{Key, KeyBuf};
pub use look_ahead::LOOK_AHEAD;
use notes::Samples;
pub use read::{Read, Removed};
use terms::Terms;
pub use walk::{Cursor, Fate, Look, Visited};

/// What an entry costs beyond its key and value, in bytes, as [`Limits::memory`] counts it: its node, its place in the
/// table and in the queue, and the allocator's rounding. Measured with a million entries with keys of 16 bytes and
/// values of 100: 90 bytes each, and 94 after three million had replaced them at random.
pub const ENTRY_OVERHEAD: usize = 92;

/// The most entries that one call of [`Cache::expire`] removes: a few milliseconds' work.
pub const EXPIRED_AT_ONCE: usize = 4096;

/// How much the cache may hold.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The most entries; at least 1.
    pub entries: usize,
    /// The most bytes of keys, values and [`ENTRY_OVERHEAD`]; 0 for no bound.
    pub memory: usize,
    /// The most bytes of a value, or of a reply; 0 for no bound.
    pub reply: usize,
    /// How long an entry lives after it was inserted.
    pub ttl: Duration,
    /// How much longer an entry is kept, for [`Cache::get_stale`].
    pub stale_ttl: Duration,
}

/// The contents of one database.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// The number of the database.
    pub database: u32,
    /// How many entries it has.
    pub entries: usize,
    /// The cost of its entries, as in [`Limits::memory`].
    pub bytes: usize,
}

/// A cached value, or an encoded reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    /// The bytes of the value.
    Bytes(&'a [u8]),
    /// A long value, kept in its encoded form, so that its readers can share it.
    Shared(&'a Rc<[u8]>),
    /// The key does not exist.
    Missing,
}

impl Value<'_> {
    fn len(&self) -> usize {
        match self {
            Self::Bytes(bytes) => bytes.len(),
            Self::Shared(bytes) => bytes.len(),
            Self::Missing => 0,
        }
    }
}

/// How many entries were evicted or expired, by reason, counted since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Evictions {
    /// There were more than [`Limits::entries`].
    pub capacity: u64,
    /// They took more than [`Limits::memory`].
    pub memory: u64,
    /// They were past their time to live.
    pub expired: u64,
}

type Entries = LinkedHashMap<Entry, (), Hashes>;

/// The cache itself. Its operations take constant time on average, except where noted.
pub struct Cache {
    entries: Entries,
    /// Entries that are evicted only when no others are left.
    pinned: Entries,
    /// The terms set by rules, and the deadline of each entry, in order, with the hash of its key to find it by.
    terms: Terms,
    limits: Limits,
    /// The cache may exceed limits that were lowered, and must shrink.
    shrinks: bool,
    bytes: usize,
    /// The contents of each database that ever had entries.
    tallies: Vec<Tally>,
    evictions: Evictions,
    unread: u64,
    samples: Samples,
}

fn cost(key: usize, value: usize) -> usize {
    key + value + ENTRY_OVERHEAD
}

impl Cache {
    /// An empty cache. It allocates memory as it fills.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        let hashes = Hashes::default();
        Self {
            entries: LinkedHashMap::with_hasher(hashes.clone()),
            pinned: LinkedHashMap::with_hasher(hashes),
            terms: Terms::new(&limits, Rc::default()),
            limits,
            shrinks: false,
            bytes: 0,
            tallies: Vec::new(),
            evictions: Evictions::default(),
            unread: 0,
            samples: Samples::default(),
        }
    }

    /// Replaces the rules. Empties the cache, as other rules would have given entries another time to live.
    pub fn set_rules(&mut self, rules: Rc<Rules>) {
        self.clear();
        self.terms = Terms::new(&self.limits, rules);
    }

    /// The rules in force.
    #[must_use]
    pub fn rules(&self) -> &Rules {
        self.terms.rules()
    }

    /// The rules in force, shared.
    #[must_use]
    pub fn shared_rules(&self) -> Rc<Rules> {
        Rc::clone(self.terms.rules())
    }

    /// Whether anything is kept past its time to live, for [`Self::get_stale`].
    #[must_use]
    pub fn keeps_stale(&self) -> bool {
        self.terms.keeps_stale()
    }

    /// The names of all keys, in no particular order; a name in several databases appears once for each.
    pub fn names(&self) -> impl Iterator<Item = &[u8]> {
        self.entries.keys().map(Entry::name)
    }

    /// When the first entry is to be removed; `None` for an empty cache.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Time> {
        self.terms.next_due()
    }

    /// How many entries the cache holds, including expired ones that have not been removed yet.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len() + self.pinned.len()
    }

    /// Whether the cache holds no entries.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.pinned.is_empty()
    }

    /// The bytes of all keys and values, and [`ENTRY_OVERHEAD`] for each.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The contents of each database that ever had entries, in no particular order.
    #[must_use]
    pub fn databases(&self) -> &[Tally] {
        &self.tallies
    }

    /// The limits of the cache.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// How many entries were evicted or expired, by reason.
    #[must_use]
    pub fn evictions(&self) -> Evictions {
        self.evictions
    }

    /// How many entries were removed one by one, for whatever reason, that were never read from the cache.
    #[must_use]
    pub fn unread(&self) -> u64 {
        self.unread
    }

    fn tally(&mut self, database: u32) -> &mut Tally {
        let known = self.tallies.iter();
        let at = known.take_while(|tally| tally.database != database).count();
        if at == self.tallies.len() {
            self.tallies.push(Tally {
                database,
                ..Tally::default()
            });
        }
        &mut self.tallies[at]
    }

    /// The hash of a name, or of a question.
    fn hash(&self, name: &[u8]) -> u32 {
        self.entries.hasher().hash_one(Name(name)) as u32
    }

    fn find(&mut self, hash: u32, key: Key<'_>) -> Found<'_> {
        let is_pinned = self.terms.of(key.name).is_pinned;
        self.find_as(is_pinned, hash, key)
    }

    /// Finds a key that is known to be pinned or not.
    fn find_as(&mut self, is_pinned: bool, hash: u32, key: Key<'_>) -> Found<'_> {
        let entries = entries_of(&mut self.entries, &mut self.pinned, is_pinned);
        find_in(entries, hash, |entry| entry.is_of(key))
    }

    fn exceeds_memory(&self, bytes: usize) -> bool {
        self.limits.memory > 0 && bytes > self.limits.memory
    }
}

/// The map of pinned entries, or that of all others.
fn entries_of<'a>(
    entries: &'a mut Entries,
    pinned: &'a mut Entries,
    is_pinned: bool,
) -> &'a mut Entries {
    if is_pinned { pinned } else { entries }
}

type Found<'a> = RawEntryMut<'a, Entry, (), Hashes>;

#[inline]
fn find_in(entries: &mut Entries, hash: u32, is_it: impl FnMut(&Entry) -> bool) -> Found<'_> {
    entries.raw_entry_mut().from_hash(widen(hash), is_it)
}

#[cfg(test)]
mod tests;
