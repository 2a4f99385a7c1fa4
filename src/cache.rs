//! The cache: least recently used out first, within a number of entries and of bytes, each entry for a
//! time to live. It knows nothing of RESP, sockets or clocks.
//!
//! Three things are kept in step here and nowhere else: the map (hashlink's [`LinkedHashMap`], which is
//! the order of use too), the queue of deadlines, and the count of bytes. `Cache::forget` is the one
//! place where an entry ends.

use std::collections::BTreeSet;
use std::hash::{BuildHasher, Hash, Hasher};
use std::rc::Rc;
use std::time::Duration;

use foldhash::fast::RandomState;
use hashlink::LinkedHashMap;
use hashlink::linked_hash_map::RawEntryMut;

use crate::clock::Time;

/// What an entry costs beyond its key and value, in bytes, as [`Limits::memory`] counts it: its node,
/// its place in the table and in the queue, and what the allocator rounds up.
pub const ENTRY_OVERHEAD: usize = 128;

/// The most entries that one call of [`Cache::expire`] removes: a few milliseconds' work.
pub const EXPIRED_AT_ONCE: usize = 4096;

/// How much the cache may hold.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The most entries; at least 1.
    pub entries: usize,
    /// The most bytes of keys, values and [`ENTRY_OVERHEAD`]; 0 for no bound.
    pub memory: usize,
    /// How long an entry lives.
    pub ttl: Duration,
    /// How much longer it is kept, for [`Cache::get_stale`].
    pub stale_ttl: Duration,
}

/// A cached value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    /// Its bytes.
    Bytes(&'a [u8]),
    /// A long one, which is kept in the form in which it is sent, so that its readers can share it.
    Shared(&'a Rc<[u8]>),
    /// That there is no such key.
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

/// Why entries went, counted since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Evictions {
    /// There were more than [`Limits::entries`].
    pub capacity: u64,
    /// They took more than [`Limits::memory`].
    pub memory: u64,
    /// They were past their time to live.
    pub expired: u64,
}

/// The cache itself. Its operations take constant time on average, save where they say otherwise.
pub struct Cache {
    entries: LinkedHashMap<Entry, (), RandomState>,
    /// The deadline of each entry, in order, with the hash of its key to find it by.
    queue: BTreeSet<(Time, u64)>,
    limits: Limits,
    bytes: usize,
    evictions: Evictions,
    unread: u64,
}

/// A key with its value. The key is its identity in the map.
struct Entry {
    content: Content,
    key_length: u32,
    /// It says that there is no such key.
    missing: bool,
    /// It was read from the cache.
    read: bool,
    /// From this moment on it is not served.
    deadline: Time,
}

enum Content {
    /// Key and value behind one another in one allocation.
    Inline(Box<[u8]>),
    Shared(Box<KeyAndValue>),
}

struct KeyAndValue {
    key: Box<[u8]>,
    value: Rc<[u8]>,
}

impl Entry {
    fn new(key: &[u8], value: &Value<'_>, deadline: Time) -> Self {
        let content = match value {
            Value::Bytes(bytes) => Content::Inline([key, bytes].concat().into()),
            Value::Shared(bytes) => {
                let value = Rc::clone(bytes);
                Content::Shared(Box::new(KeyAndValue {
                    key: key.into(),
                    value,
                }))
            }
            Value::Missing => Content::Inline(key.into()),
        };
        Self {
            content,
            key_length: key.len() as u32,
            missing: *value == Value::Missing,
            read: false,
            deadline,
        }
    }

    fn key(&self) -> &[u8] {
        match &self.content {
            Content::Inline(bytes) => &bytes[..self.key_length as usize],
            Content::Shared(pair) => &pair.key,
        }
    }

    fn value(&self) -> Value<'_> {
        match &self.content {
            Content::Inline(_) if self.missing => Value::Missing,
            Content::Inline(bytes) => Value::Bytes(&bytes[self.key_length as usize..]),
            Content::Shared(pair) => Value::Shared(&pair.value),
        }
    }

    fn cost(&self) -> usize {
        cost(self.key_length as usize, self.value().len())
    }
}

fn cost(key: usize, value: usize) -> usize {
    key + value + ENTRY_OVERHEAD
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Entry {}

impl Hash for Entry {
    fn hash<H: Hasher>(&self, state: &mut H) {
        Key(self.key()).hash(state);
    }
}

/// A key as it is hashed: its bytes at one go, without the length that a slice would put before them.
struct Key<'a>(&'a [u8]);

impl Hash for Key<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write(self.0);
    }
}

impl Cache {
    /// An empty cache. It takes memory as it fills.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            entries: LinkedHashMap::with_hasher(RandomState::default()),
            queue: BTreeSet::new(),
            limits,
            bytes: 0,
            evictions: Evictions::default(),
            unread: 0,
        }
    }

    /// The value of a key, which becomes the most recently used. An entry past its time to live is none.
    pub fn get(&mut self, key: &[u8], now: Time) -> Option<Value<'_>> {
        self.get_alive(key, |deadline| deadline > now)
    }

    /// The same, but an entry may be past its time to live by as much as [`Limits::stale_ttl`].
    pub fn get_stale(&mut self, key: &[u8], now: Time) -> Option<Value<'_>> {
        let stale_ttl = self.limits.stale_ttl;
        self.get_alive(key, |deadline| deadline.after(stale_ttl) > now)
    }

    fn get_alive(&mut self, key: &[u8], is_alive: impl Fn(Time) -> bool) -> Option<Value<'_>> {
        let hash = self.hash(key);
        let RawEntryMut::Occupied(mut occupied) = self.find(hash, key) else {
            return None;
        };
        if !is_alive(occupied.key().deadline) {
            return None;
        }
        occupied.to_back();
        occupied.key_mut().read = true;
        Some(occupied.into_key().value())
    }

    /// Keeps a value from now on, in place of an earlier one, and evicts what then is too much. A value
    /// that exceeds the whole budget isn't kept; an earlier one goes all the same.
    pub fn insert(&mut self, key: &[u8], value: &Value<'_>, now: Time) {
        self.insert_for(key, value, self.limits.ttl, now);
    }

    /// The same, for a time to live of its own, if that is shorter than [`Limits::ttl`].
    pub fn insert_for(&mut self, key: &[u8], value: &Value<'_>, ttl: Duration, now: Time) {
        self.remove(key);
        if self.limits.memory > 0 && cost(key.len(), value.len()) > self.limits.memory {
            return;
        }
        let entry = Entry::new(key, value, now.after(ttl.min(self.limits.ttl)));
        let hash = self.hash(key);
        self.bytes += entry.cost();
        self.queue.insert((entry.deadline, hash));
        if let RawEntryMut::Vacant(vacant) = self.find(hash, key) {
            vacant.insert_hashed_nocheck(hash, entry, ());
        }
        self.evict();
    }

    /// Forgets a key. Returns whether it was there.
    pub fn remove(&mut self, key: &[u8]) -> bool {
        let hash = self.hash(key);
        match self.find(hash, key) {
            RawEntryMut::Occupied(occupied) => {
                let (entry, ()) = occupied.remove_entry();
                self.forget(&entry, hash);
                true
            }
            RawEntryMut::Vacant(_) => false,
        }
    }

    /// Forgets everything and gives the memory back.
    pub fn clear(&mut self) {
        self.entries = LinkedHashMap::with_hasher(RandomState::default());
        self.queue = BTreeSet::new();
        self.bytes = 0;
    }

    /// Forgets what is past its time to live (and [`Limits::stale_ttl`]), the oldest first and at most [`EXPIRED_AT_ONCE`] of it, so
    /// that a million entries of one age don't stop the loop. Returns how many went.
    pub fn expire(&mut self, now: Time) -> usize {
        let mut expired = 0;
        while expired < EXPIRED_AT_ONCE {
            let Some(&(deadline, hash)) = self.queue.first() else {
                break;
            };
            if deadline.after(self.limits.stale_ttl) > now {
                break;
            }
            let due = |entry: &Entry| entry.deadline == deadline;
            match self.entries.raw_entry_mut().from_hash(hash, due) {
                RawEntryMut::Occupied(occupied) => {
                    let (entry, ()) = occupied.remove_entry();
                    self.forget(&entry, hash);
                    expired += 1;
                }
                RawEntryMut::Vacant(_) => {
                    debug_assert!(false, "every place in the queue has its entry");
                    self.queue.pop_first();
                }
            }
        }
        self.evictions.expired += expired as u64;
        if expired > 0 && self.entries.is_empty() {
            self.clear();
        }
        expired
    }

    /// When the oldest entry is to be removed; `None` for an empty cache.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Time> {
        self.queue
            .first()
            .map(|&(deadline, _)| deadline.after(self.limits.stale_ttl))
    }

    /// How many entries it holds, those included that are past their time to live and not yet removed.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether it holds none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The bytes of all keys and values, and [`ENTRY_OVERHEAD`] for each.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Its limits.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Why entries went.
    #[must_use]
    pub fn evictions(&self) -> Evictions {
        self.evictions
    }

    /// How many entries went one by one, however that came, and had never been read from the cache.
    #[must_use]
    pub fn unread(&self) -> u64 {
        self.unread
    }

    /// Evicts the least recently used until both limits hold.
    fn evict(&mut self) {
        loop {
            let reason = if self.entries.len() > self.limits.entries {
                &mut self.evictions.capacity
            } else if self.limits.memory > 0 && self.bytes > self.limits.memory {
                &mut self.evictions.memory
            } else {
                return;
            };
            *reason += 1;
            if let Some((entry, ())) = self.entries.pop_front() {
                let hash = self.hash(entry.key());
                self.forget(&entry, hash);
            }
        }
    }

    /// Takes an entry that left the map out of the queue and the count.
    fn forget(&mut self, entry: &Entry, hash: u64) {
        self.queue.remove(&(entry.deadline, hash));
        self.bytes -= entry.cost();
        self.unread += u64::from(!entry.read);
    }

    fn hash(&self, key: &[u8]) -> u64 {
        self.entries.hasher().hash_one(Key(key))
    }

    fn find(&mut self, hash: u64, key: &[u8]) -> RawEntryMut<'_, Entry, (), RandomState> {
        self.entries
            .raw_entry_mut()
            .from_hash(hash, |entry| entry.key() == key)
    }
}

#[cfg(test)]
mod tests;
