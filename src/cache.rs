//! The cache: least recently used out first, within a number of entries and of bytes, each entry for a
//! time to live. It knows nothing of RESP, sockets or clocks.
//!
//! Three things are kept in step here and nowhere else: the map (hashlink's [`LinkedHashMap`], which is
//! the order of use too), the queue of deadlines, and the count of bytes. `Cache::forget` is the one
//! place where an entry ends.

mod answers;
mod entry;
mod hash;
mod look_ahead;
mod queue;

use std::hash::BuildHasher;
use std::rc::Rc;
use std::time::Duration;

use hashlink::LinkedHashMap;
use hashlink::linked_hash_map::RawEntryMut;

use crate::clock::Time;
use crate::resp::reply::bulk_value;
use answers::Answers;
pub use answers::Question;
use entry::{Deadline, Entry, Name, Part, cost_of};
use hash::{Hashes, widen};
pub use look_ahead::LOOK_AHEAD;
use queue::{Place, Queue};

/// What an entry costs beyond its key and value, in bytes, as [`Limits::memory`] counts it: its node,
/// its place in the table and in the queue, and what the allocator rounds up. Of a million entries with
/// keys of 16 bytes and values of 100, each was measured to take 90, and 94 when three millions had
/// replaced them at random.
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
    /// How long an entry lives.
    pub ttl: Duration,
    /// How much longer it is kept, for [`Cache::get_stale`].
    pub stale_ttl: Duration,
}

/// A key: its name, and the database that it is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Key<'a> {
    /// The number of the database.
    pub database: u32,
    /// The name.
    pub name: &'a [u8],
}

impl<'a> Key<'a> {
    /// The key of that name in a database.
    #[must_use]
    pub fn new(database: u32, name: &'a [u8]) -> Self {
        Self { database, name }
    }
}

/// What there is of a database.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Its number.
    pub database: u32,
    /// How many entries.
    pub entries: usize,
    /// What they count for in [`Limits::memory`].
    pub bytes: usize,
}

/// A cached value, or an encoded reply.
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

/// What was known of a key that is forgotten.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Removed {
    /// The database that it was in.
    pub database: u32,
    /// What of it was read from the cache.
    pub read: Read,
}

/// What was read of a key from the cache.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Read {
    /// The entry had a value, and was read.
    pub value: bool,
    /// Some questions whose answers were read.
    pub questions: Vec<Box<[u8]>>,
}

impl Read {
    /// Whether nothing was.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        !self.value && self.questions.is_empty()
    }

    /// Adds what was read of the same key earlier.
    pub fn add(&mut self, earlier: Self) {
        self.value |= earlier.value;
        if self.questions.is_empty() {
            self.questions = earlier.questions;
        }
    }
}

/// The cache itself. Its operations take constant time on average, save where they say otherwise.
pub struct Cache {
    entries: LinkedHashMap<Entry, (), Hashes>,
    /// The deadline of each entry, in order, with the hash of its key to find it by.
    queue: Queue,
    limits: Limits,
    bytes: usize,
    /// The parts of the databases of which there ever was anything.
    tallies: Vec<Tally>,
    evictions: Evictions,
    unread: u64,
}

fn cost(key: usize, value: usize) -> usize {
    key + value + ENTRY_OVERHEAD
}

impl Cache {
    /// An empty cache. It takes memory as it fills.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            entries: LinkedHashMap::with_hasher(Hashes::default()),
            queue: Queue::default(),
            limits,
            bytes: 0,
            tallies: Vec::new(),
            evictions: Evictions::default(),
            unread: 0,
        }
    }

    /// The value of a key, which becomes the most recently used. An entry past its time to live is none.
    #[inline]
    pub fn get(&mut self, key: Key<'_>, now: Time) -> Option<Value<'_>> {
        let entry = self.get_alive(key, Part::Value, |deadline| deadline.is_after(now))?;
        entry.value()
    }

    /// The same, but an entry may be past its time to live by as much as [`Limits::stale_ttl`].
    pub fn get_stale(&mut self, key: Key<'_>, now: Time) -> Option<Value<'_>> {
        let stale_ttl = self.limits.stale_ttl;
        let is_alive = |deadline: Deadline| deadline.time().after(stale_ttl) > now;
        let entry = self.get_alive(key, Part::Value, is_alive)?;
        entry.value()
    }

    /// The reply to a question about a key, likewise.
    #[inline]
    pub fn answer(&mut self, key: Key<'_>, question: Question<'_>, now: Time) -> Option<Value<'_>> {
        self.answer_alive(key, question, |deadline| deadline.is_after(now))
    }

    /// The same, but it may be past its time to live by as much as [`Limits::stale_ttl`].
    pub fn answer_stale(
        &mut self,
        key: Key<'_>,
        question: Question<'_>,
        now: Time,
    ) -> Option<Value<'_>> {
        let stale_ttl = self.limits.stale_ttl;
        let is_alive = |deadline: Deadline| deadline.time().after(stale_ttl) > now;
        self.answer_alive(key, question, is_alive)
    }

    #[inline]
    fn answer_alive(
        &mut self,
        key: Key<'_>,
        question: Question<'_>,
        is_alive: impl Fn(Deadline) -> bool,
    ) -> Option<Value<'_>> {
        let hashes = self.entries.hasher().clone();
        let entry = self.get_alive(key, Part::Answer, is_alive)?;
        let hash = || hashes.hash_one(question) as u32;
        entry.answers_mut()?.get(question, hash)
    }

    /// Whether anything is cached of a key. It does not count as read.
    #[must_use]
    pub fn knows(&self, key: Key<'_>, now: Time) -> bool {
        let hash = widen(self.hash(key.name));
        let entries = self.entries.raw_entry();
        entries
            .from_hash(hash, |entry| entry.is_of(key))
            .is_some_and(|(entry, ())| entry.deadline.is_after(now))
    }

    #[inline]
    fn get_alive(
        &mut self,
        key: Key<'_>,
        what: Part,
        is_alive: impl Fn(Deadline) -> bool,
    ) -> Option<&mut Entry> {
        let hash = self.hash(key.name);
        let RawEntryMut::Occupied(mut occupied) = self.find(hash, key) else {
            return None;
        };
        if !is_alive(occupied.key().deadline) {
            return None;
        }
        occupied.to_back();
        let entry = occupied.into_key();
        entry.note_read(what);
        Some(entry)
    }

    /// Keeps a value from now on, in place of an earlier one, and evicts what then is too much. A value
    /// that exceeds [`Limits::reply`] or the whole budget isn't kept; an earlier one goes all the same.
    pub fn insert(&mut self, key: Key<'_>, value: &Value<'_>, now: Time) {
        self.insert_for(key, value, self.limits.ttl, now);
    }

    /// The same, for a time to live of its own, if that is shorter than [`Limits::ttl`].
    pub fn insert_for(&mut self, key: Key<'_>, value: &Value<'_>, ttl: Duration, now: Time) {
        if self.limits.memory > 0 && cost_of(key, value.len()) > self.limits.memory
            || self.is_too_long(value)
        {
            self.remove(key);
            return;
        }
        let deadline = Deadline::new(now.after(ttl.min(self.limits.ttl)));
        let entry = Entry::new(key, value, deadline);
        let hash = self.hash(key.name);
        self.count_new(key.database, entry.cost());
        self.queue.insert(Place::new(deadline, hash));
        match self.find(hash, key) {
            RawEntryMut::Occupied(mut occupied) => {
                occupied.to_back();
                let mut earlier = occupied.replace_key(entry);
                self.forget(&earlier, hash);
                if earlier.has_answers() && earlier.deadline.is_after(now) {
                    self.change(key, |entry| {
                        entry.deadline = entry.deadline.min(earlier.deadline);
                        entry.inherit(&mut earlier);
                    });
                }
            }
            RawEntryMut::Vacant(vacant) => {
                vacant.insert_hashed_nocheck(widen(hash), entry, ());
            }
        }
        self.evict();
    }

    /// Keeps the reply to a question about a key beside its value and other answers; all end with the first of
    /// them. An entry that exceeds the whole budget isn't kept, nor is a reply beyond [`Limits::reply`].
    pub fn insert_answer(
        &mut self,
        key: Key<'_>,
        question: Question<'_>,
        reply: &Value<'_>,
        ttl: Duration,
        now: Time,
    ) {
        if self.is_too_long(reply) {
            self.remove_answer(key, question);
            return;
        }
        let question_hash = self.entries.hasher().hash_one(question) as u32;
        let deadline = Deadline::new(now.after(ttl.min(self.limits.ttl)));
        let hash = self.hash(key.name);
        let is_known = match self.find(hash, key) {
            RawEntryMut::Occupied(mut occupied) => {
                occupied.to_back();
                occupied.key().deadline.is_after(now)
            }
            RawEntryMut::Vacant(_) => false,
        };
        if !is_known {
            self.remove(key);
            let entry = Entry::without_value(key, deadline);
            self.count_new(key.database, entry.cost());
            self.queue.insert(Place::new(deadline, hash));
            if let RawEntryMut::Vacant(vacant) = self.find(hash, key) {
                vacant.insert_hashed_nocheck(widen(hash), entry, ());
            }
        }
        let cost = self.change(key, |entry| {
            entry.deadline = entry.deadline.min(deadline);
            entry.change_answers(|answers| answers.insert(question_hash, question, reply));
        });
        if self.limits.memory > 0 && cost > self.limits.memory {
            self.remove(key);
        }
        self.evict();
    }

    /// Forgets the reply to a question about a key.
    pub fn remove_answer(&mut self, key: Key<'_>, question: Question<'_>) {
        let hash = self.entries.hasher().hash_one(question) as u32;
        self.change(key, |entry| {
            if entry.has_answers() {
                entry.change_answers(|answers| answers.remove(hash, question));
            }
        });
    }

    /// The replies to all questions about a key.
    #[cfg(test)]
    pub fn answers(&mut self, key: Key<'_>) -> Vec<Vec<u8>> {
        let entry = self.get_alive(key, Part::Answer, |_| true);
        let answers = entry.and_then(|entry| entry.answers());
        answers.map_or(Vec::new(), Answers::replies)
    }

    fn is_too_long(&self, value: &Value<'_>) -> bool {
        match value {
            Value::Bytes(bytes) => !self.takes(bytes.len()),
            Value::Shared(encoded) => !self.takes_reply(encoded),
            Value::Missing => false,
        }
    }

    /// Whether an encoded reply of Redis, or the value in it, is short enough to be kept.
    #[must_use]
    pub fn takes_reply(&self, encoded: &[u8]) -> bool {
        self.takes(bulk_value(encoded).unwrap_or(encoded).len())
    }

    fn takes(&self, length: usize) -> bool {
        self.limits.reply == 0 || length <= self.limits.reply
    }

    /// Changes an entry, with its place in the queue and its part of the count. Returns what it costs now.
    fn change(&mut self, key: Key<'_>, change: impl FnOnce(&mut Entry)) -> usize {
        let hash = self.hash(key.name);
        let RawEntryMut::Occupied(mut occupied) = self.find(hash, key) else {
            return 0;
        };
        let entry = occupied.key_mut();
        let (cost, deadline) = (entry.cost(), entry.deadline);
        change(entry);
        let (new_cost, new_deadline) = (entry.cost(), entry.deadline);
        self.bytes = self.bytes - cost + new_cost;
        let tally = self.tally(key.database);
        tally.bytes = tally.bytes - cost + new_cost;
        if new_deadline != deadline {
            self.queue.remove(Place::new(deadline, hash));
            self.queue.insert(Place::new(new_deadline, hash));
        }
        new_cost
    }

    /// Forgets a key. Returns whether there was an entry.
    pub fn remove(&mut self, key: Key<'_>) -> bool {
        let hash = self.hash(key.name);
        let RawEntryMut::Occupied(occupied) = self.find(hash, key) else {
            return false;
        };
        let (entry, ()) = occupied.remove_entry();
        self.forget(&entry, hash);
        true
    }

    /// Forgets the keys of that name in all databases, and says what was known of each.
    pub fn remove_everywhere(&mut self, name: &[u8], mut removed: impl FnMut(Removed)) {
        let hash = self.hash(name);
        for _ in 0..self.tallies.len() {
            let entries = self.entries.raw_entry_mut();
            let RawEntryMut::Occupied(occupied) =
                entries.from_hash(widen(hash), |entry| entry.name() == name)
            else {
                return;
            };
            let (entry, ()) = occupied.remove_entry();
            self.forget(&entry, hash);
            removed(Removed {
                database: entry.database(),
                read: Read {
                    value: entry.value_was_read(),
                    questions: entry.answers().map(Answers::read).unwrap_or_default(),
                },
            });
        }
    }

    /// The names of all keys, in no promised order, those in several databases for each.
    pub fn names(&self) -> impl Iterator<Item = &[u8]> {
        self.entries.keys().map(Entry::name)
    }

    /// Forgets all keys whose names satisfy `is_gone`. Returns how many entries went. It takes time in proportion to all
    /// that is cached.
    pub fn remove_where(&mut self, mut is_gone: impl FnMut(&[u8]) -> bool) -> usize {
        let hashes = self.entries.hasher().clone();
        let kept = LinkedHashMap::with_hasher(hashes);
        let mut removed = 0;
        for (entry, ()) in std::mem::replace(&mut self.entries, kept) {
            let hash = self.hash(entry.name());
            if is_gone(entry.name()) {
                self.forget(&entry, hash);
                removed += 1;
            } else if let RawEntryMut::Vacant(vacant) = self
                .entries
                .raw_entry_mut()
                .from_hash(widen(hash), |_| false)
            {
                vacant.insert_hashed_nocheck(widen(hash), entry, ());
            }
        }
        removed
    }

    /// Forgets everything and gives the memory back.
    pub fn clear(&mut self) {
        self.entries = LinkedHashMap::with_hasher(Hashes::default());
        self.queue = Queue::default();
        self.bytes = 0;
        for tally in &mut self.tallies {
            *tally = Tally {
                database: tally.database,
                ..Tally::default()
            };
        }
    }

    /// Forgets what is past its time to live (and [`Limits::stale_ttl`]), the oldest first and at most [`EXPIRED_AT_ONCE`] of it, so
    /// that a million entries of one age don't stop the loop. Returns how many went.
    pub fn expire(&mut self, now: Time) -> usize {
        let mut expired = 0;
        while expired < EXPIRED_AT_ONCE
            && let Some(place) = self.queue.first()
            && place.deadline.time().after(self.limits.stale_ttl) <= now
        {
            let hash = place.hash();
            let hasher = self.entries.hasher().clone();
            let due = |entry: &Entry| {
                entry.deadline == place.deadline && hasher.hash_one(entry) == widen(hash)
            };
            match self.entries.raw_entry_mut().from_hash(widen(hash), due) {
                RawEntryMut::Occupied(occupied) => {
                    let (entry, ()) = occupied.remove_entry();
                    self.forget(&entry, hash);
                    expired += 1;
                }
                RawEntryMut::Vacant(_) => {
                    debug_assert!(false, "every place in the queue has its entry");
                    self.queue.remove(place);
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
            .map(|place| place.deadline.time().after(self.limits.stale_ttl))
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

    /// What there is of each database of which there ever was anything, in no order.
    #[must_use]
    pub fn databases(&self) -> &[Tally] {
        &self.tallies
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
            let Some((entry, ())) = self.entries.pop_front() else {
                return;
            };
            *reason += 1;
            let hash = self.hash(entry.name());
            self.forget(&entry, hash);
        }
    }

    /// Takes an entry that left the map out of the queue and the count.
    fn forget(&mut self, entry: &Entry, hash: u32) {
        let queued = self.queue.remove(Place::new(entry.deadline, hash));
        debug_assert!(queued, "every entry has its place in the queue");
        let cost = entry.cost();
        self.bytes -= cost;
        let tally = self.tally(entry.database());
        tally.entries -= 1;
        tally.bytes -= cost;
        self.unread += u64::from(!entry.was_read());
    }

    /// Counts an entry that comes into the map.
    fn count_new(&mut self, database: u32, cost: usize) {
        self.bytes += cost;
        let tally = self.tally(database);
        tally.entries += 1;
        tally.bytes += cost;
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

    #[inline]
    fn find(&mut self, hash: u32, key: Key<'_>) -> RawEntryMut<'_, Entry, (), Hashes> {
        self.entries
            .raw_entry_mut()
            .from_hash(widen(hash), |entry| entry.is_of(key))
    }
}

#[cfg(test)]
mod tests;
