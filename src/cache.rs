//! The cache: least recently used entries are evicted first, within a number of entries and of bytes, and each entry
//! has a time to live. It knows nothing of RESP, sockets or clocks.
//!
//! Three things are kept in step here and nowhere else: the map (hashlink's [`LinkedHashMap`], which also keeps the
//! order of use), the queue of deadlines, and the count of bytes. `Cache::forget` is the one place where an entry ends.
//! Pinned entries are in a map of their own.

mod answers;
mod entry;
mod hash;
mod look_ahead;
mod notes;
mod queue;
mod terms;
mod walk;

use std::hash::BuildHasher;
use std::rc::Rc;
use std::time::Duration;

use hashlink::LinkedHashMap;
use hashlink::linked_hash_map::RawEntryMut;

use crate::clock::Time;
use crate::rules::Rules;
#[cfg(test)]
use answers::Answers;
pub use answers::Question;
use entry::{Entry, Name, cost_of};
use hash::{Hashes, widen};
pub use look_ahead::LOOK_AHEAD;
use notes::Samples;
use terms::{Life, Terms};
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
    /// How long an entry lives.
    pub ttl: Duration,
    /// How much longer an entry is kept, for [`Cache::get_stale`].
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

/// An owned key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct KeyBuf {
    database: u32,
    name: Box<[u8]>,
}

impl KeyBuf {
    /// The number of the database.
    #[must_use]
    pub fn database(&self) -> u32 {
        self.database
    }

    /// The name.
    #[must_use]
    pub fn name(&self) -> &[u8] {
        &self.name
    }
}

impl From<Key<'_>> for KeyBuf {
    fn from(key: Key<'_>) -> Self {
        Self {
            database: key.database,
            name: key.name.into(),
        }
    }
}

impl<'a> From<&'a KeyBuf> for Key<'a> {
    fn from(key: &'a KeyBuf) -> Self {
        Self::new(key.database, &key.name)
    }
}

/// The contents of one database.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Its number.
    pub database: u32,
    /// How many entries.
    pub entries: usize,
    /// Their cost, as in [`Limits::memory`].
    pub bytes: usize,
}

/// A cached value, or an encoded reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    /// Its bytes.
    Bytes(&'a [u8]),
    /// A long one, kept in its encoded form, so that its readers can share it.
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

/// What was known of a key that is removed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Removed {
    /// The database that it was in.
    pub database: u32,
    /// What was read of it from the cache.
    pub read: Read,
}

/// What was read of a key from the cache.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Read {
    /// The entry had a value, and was read.
    pub value: bool,
    /// Some of the questions whose answers were read.
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

type Entries = LinkedHashMap<Entry, (), Hashes>;

/// The cache itself. Its operations take constant time on average, except where noted.
pub struct Cache {
    entries: Entries,
    /// Entries that are evicted only when no others are left.
    pinned: Entries,
    /// The terms set by rules, and the deadline of each entry, in order, with the hash of its key to find it by.
    terms: Terms,
    limits: Limits,
    /// The cache may exceed new limits and still has to shrink.
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

    /// Replaces the rules. Empties the cache: under other rules, entries would have been kept for another time.
    pub fn set_rules(&mut self, rules: Rc<Rules>) {
        self.clear();
        self.terms = Terms::new(&self.limits, rules);
    }

    /// The rules in force.
    #[must_use]
    pub fn rules(&self) -> &Rules {
        self.terms.rules()
    }

    /// The same rules, shared.
    #[must_use]
    pub fn shared_rules(&self) -> Rc<Rules> {
        Rc::clone(self.terms.rules())
    }

    /// Whether anything is kept past its time to live, for [`Self::get_stale`].
    #[must_use]
    pub fn keeps_stale(&self) -> bool {
        self.terms.keeps_stale()
    }

    /// The value of a key, which becomes the most recently used. An expired entry does not count.
    #[inline]
    pub fn get(&mut self, key: Key<'_>, now: Time) -> Option<Value<'_>> {
        let sample = self.samples.next();
        let entry = self.get_alive(key, |terms, entry, hash| {
            entry.deadline.is_after(now) || terms.reads_ahead(entry, hash, now)
        })?;
        entry.read_value(sample)
    }

    /// Like [`Self::get`], but an entry may be past its time to live by up to [`Limits::stale_ttl`] or its rule's.
    pub fn get_stale(&mut self, key: Key<'_>, now: Time) -> Option<Value<'_>> {
        let sample = self.samples.next();
        let entry = self.get_alive(key, |terms, entry, hash| {
            terms.is_good_when_stale(entry, hash, now)
        })?;
        entry.read_value(sample)
    }

    /// The reply to a question about a key, likewise.
    #[inline]
    pub fn answer(&mut self, key: Key<'_>, question: Question<'_>, now: Time) -> Option<Value<'_>> {
        self.answer_alive(key, question, |terms, entry, hash| {
            entry.deadline.is_after(now) || terms.reads_ahead(entry, hash, now)
        })
    }

    /// The same, but the reply may be past its time to live as in [`Self::get_stale`].
    pub fn answer_stale(
        &mut self,
        key: Key<'_>,
        question: Question<'_>,
        now: Time,
    ) -> Option<Value<'_>> {
        self.answer_alive(key, question, |terms, entry, hash| {
            terms.is_good_when_stale(entry, hash, now)
        })
    }

    #[inline]
    fn answer_alive(
        &mut self,
        key: Key<'_>,
        question: Question<'_>,
        is_alive: impl FnOnce(&mut Terms, &Entry, u32) -> bool,
    ) -> Option<Value<'_>> {
        let hashes = self.entries.hasher().clone();
        let sample = self.samples.next();
        let entry = self.get_alive(key, is_alive)?;
        entry.read_answer(question, || hashes.hash_one(question) as u32, sample)
    }

    /// The entries that were read within the refresh time of their rules, and when they were read. Each is named once,
    /// unless it is read again.
    pub fn take_read_ahead(&mut self) -> Vec<(KeyBuf, Time)> {
        self.terms.take_read_ahead()
    }

    /// Whether there are any.
    #[must_use]
    #[inline]
    pub fn has_read_ahead(&self) -> bool {
        self.terms.has_read_ahead()
    }

    /// What was read of a key from the cache.
    #[must_use]
    pub fn read_of(&self, key: Key<'_>) -> Read {
        let entry = self.peek(key);
        entry.map_or(Read::default(), Entry::read)
    }

    /// Whether anything is cached of a key. This does not count as a read.
    #[must_use]
    pub fn knows(&self, key: Key<'_>, now: Time) -> bool {
        let hash = self.hash(key.name);
        let entry = self.peek(key);
        entry.is_some_and(|entry| self.terms.is_good(entry, hash, now))
    }

    fn peek(&self, key: Key<'_>) -> Option<&Entry> {
        let hash = widen(self.hash(key.name));
        let is_it = |entry: &Entry| entry.is_of(key);
        let found = self.entries.raw_entry().from_hash(hash, is_it);
        let found = found.or_else(|| self.pinned.raw_entry().from_hash(hash, is_it));
        found.map(|(entry, ())| entry)
    }

    #[inline]
    fn get_alive(
        &mut self,
        key: Key<'_>,
        is_alive: impl FnOnce(&mut Terms, &Entry, u32) -> bool,
    ) -> Option<&mut Entry> {
        let hash = self.hash(key.name);
        let found = find_in(&mut self.entries, hash, |entry| entry.is_of(key));
        let mut occupied = match found {
            RawEntryMut::Occupied(occupied) => occupied,
            RawEntryMut::Vacant(_) if self.pinned.is_empty() => return None,
            RawEntryMut::Vacant(_) => {
                match find_in(&mut self.pinned, hash, |entry| entry.is_of(key)) {
                    RawEntryMut::Occupied(occupied) => occupied,
                    RawEntryMut::Vacant(_) => return None,
                }
            }
        };
        if !is_alive(&mut self.terms, occupied.key(), hash) {
            return None;
        }
        occupied.to_back();
        Some(occupied.into_key())
    }

    /// Inserts a value in place of an earlier one, and evicts until the limits hold. A value that exceeds
    /// [`Limits::reply`] or the whole budget isn't kept; an earlier one is removed all the same.
    pub fn insert(&mut self, key: Key<'_>, value: &Value<'_>, now: Time) {
        self.insert_for(key, value, self.limits.ttl, now);
    }

    /// The same, with a time to live of its own, if that is shorter than [`Limits::ttl`] or its rule's. Returns the time to
    /// live of the entry, if one was inserted.
    pub fn insert_for(
        &mut self,
        key: Key<'_>,
        value: &Value<'_>,
        ttl: Duration,
        now: Time,
    ) -> Option<Duration> {
        let term = *self.terms.of(key.name);
        if self.exceeds_memory(cost_of(key, value.len())) || !term.takes(value) {
            self.remove(key);
            return None;
        }
        let life = term.life(ttl, now);
        let entry = Entry::new(key, value, life.deadline, now);
        let hash = self.hash(key.name);
        self.count_new(key.database, entry.cost());
        match self.find_as(term.is_pinned, hash, key) {
            RawEntryMut::Occupied(mut occupied) => {
                occupied.to_back();
                let mut earlier = occupied.replace_key(entry);
                let earlier_life = self.forget(&earlier, hash);
                self.terms.add(life, hash);
                if earlier.has_answers() && earlier.deadline.is_after(now) {
                    let shorter = self.terms.shorter(key.name, life, earlier_life);
                    self.change(key, shorter, |entry| entry.inherit(&mut earlier));
                }
            }
            RawEntryMut::Vacant(vacant) => {
                vacant.insert_hashed_nocheck(widen(hash), entry, ());
                self.terms.add(life, hash);
            }
        }
        self.evict();
        Some(ttl.min(term.ttl))
    }

    /// Keeps the reply to a question about a key beside its value and other answers; all of them expire with the first.
    /// An entry that exceeds the whole budget isn't kept, nor is a reply beyond [`Limits::reply`]. Returns the longest that
    /// the reply lives, if it was inserted.
    pub fn insert_answer(
        &mut self,
        key: Key<'_>,
        question: Question<'_>,
        reply: &Value<'_>,
        ttl: Duration,
        now: Time,
    ) -> Option<Duration> {
        let term = *self.terms.of(key.name);
        if !term.takes(reply) {
            self.remove_answer(key, question);
            return None;
        }
        let question_hash = self.entries.hasher().hash_one(question) as u32;
        let mut life = term.life(ttl, now);
        let hash = self.hash(key.name);
        let is_known = match self.find_as(term.is_pinned, hash, key) {
            RawEntryMut::Occupied(mut occupied) => {
                occupied.to_back();
                occupied.key().deadline.is_after(now)
            }
            RawEntryMut::Vacant(_) => false,
        };
        if is_known {
            life = self.terms.shorter(key.name, self.life_of(key, life), life);
        } else {
            self.remove(key);
            let entry = Entry::without_value(key, life.deadline, now);
            self.count_new(key.database, entry.cost());
            self.terms.add(life, hash);
            if let RawEntryMut::Vacant(vacant) = self.find_as(term.is_pinned, hash, key) {
                vacant.insert_hashed_nocheck(widen(hash), entry, ());
            }
        }
        let cost = self.change(key, life, |entry| {
            entry.change_answers(|answers| answers.insert(question_hash, question, reply));
        });
        let exceeds_memory = self.exceeds_memory(cost);
        if exceeds_memory {
            self.remove(key);
        }
        self.evict();
        (!exceeds_memory).then(|| ttl.min(term.ttl))
    }

    /// The life of the entry of a key; `other` if there is no entry.
    fn life_of(&self, key: Key<'_>, other: Life) -> Life {
        let hash = self.hash(key.name);
        let entry = self.peek(key);
        entry.map_or(other, |entry| self.terms.life_of(entry, hash))
    }

    /// Removes the reply to a question about a key.
    pub fn remove_answer(&mut self, key: Key<'_>, question: Question<'_>) {
        let hash = self.entries.hasher().hash_one(question) as u32;
        let Some(entry) = self.peek(key) else {
            return;
        };
        let life = self.terms.life_of(entry, self.hash(key.name));
        self.change(key, life, |entry| {
            if entry.has_answers() {
                entry.change_answers(|answers| answers.remove(hash, question));
            }
        });
    }

    /// The replies to all questions about a key.
    #[cfg(test)]
    pub fn answers(&mut self, key: Key<'_>) -> Vec<Vec<u8>> {
        let entry = self.get_alive(key, |_, _, _| true);
        let answers = entry.and_then(|entry| entry.answers());
        answers.map_or(Vec::new(), Answers::replies)
    }

    /// Whether an encoded reply of Redis about a key, or the value in it, is short enough to be kept.
    #[must_use]
    pub fn takes_reply(&self, name: &[u8], encoded: &[u8]) -> bool {
        self.terms.of(name).takes_reply(encoded)
    }

    /// Changes an entry, its place in the queue and its part of the count. Returns what it costs now.
    fn change(&mut self, key: Key<'_>, life: Life, change: impl FnOnce(&mut Entry)) -> usize {
        let hash = self.hash(key.name);
        let is_pinned = self.terms.of(key.name).is_pinned;
        let entries = entries_of(&mut self.entries, &mut self.pinned, is_pinned);
        let found = find_in(entries, hash, |entry| entry.is_of(key));
        let RawEntryMut::Occupied(mut occupied) = found else {
            return 0;
        };
        let entry = occupied.key_mut();
        let earlier_life = self.terms.life_of(entry, hash);
        let cost = entry.cost();
        change(entry);
        if entry.deadline != life.deadline {
            entry.move_deadline(life.deadline);
        }
        let new_cost = entry.cost();
        self.bytes = self.bytes - cost + new_cost;
        let tally = self.tally(key.database);
        tally.bytes = tally.bytes - cost + new_cost;
        if life != earlier_life {
            self.terms.remove(earlier_life, hash);
            self.terms.add(life, hash);
        }
        new_cost
    }

    /// Removes a key. Returns whether there was an entry.
    pub fn remove(&mut self, key: Key<'_>) -> bool {
        let hash = self.hash(key.name);
        let RawEntryMut::Occupied(occupied) = self.find(hash, key) else {
            return false;
        };
        let (entry, ()) = occupied.remove_entry();
        self.forget(&entry, hash);
        true
    }

    /// Removes the keys of that name in all databases, and reports what was known of each.
    pub fn remove_everywhere(&mut self, name: &[u8], mut removed: impl FnMut(Removed)) {
        let hash = self.hash(name);
        let is_pinned = !self.pinned.is_empty() && self.terms.of(name).is_pinned;
        for _ in 0..self.tallies.len() {
            let entries = entries_of(&mut self.entries, &mut self.pinned, is_pinned);
            let found = find_in(entries, hash, |entry| entry.name() == name);
            let RawEntryMut::Occupied(occupied) = found else {
                return;
            };
            let (entry, ()) = occupied.remove_entry();
            self.forget(&entry, hash);
            removed(Removed {
                database: entry.database(),
                read: entry.read(),
            });
        }
    }

    /// The names of all keys, in no particular order; a name in several databases appears once for each.
    pub fn names(&self) -> impl Iterator<Item = &[u8]> {
        self.entries.keys().map(Entry::name)
    }

    /// Removes all keys whose names satisfy `is_gone`. Returns how many entries were removed. It takes time in
    /// proportion to the size of the cache.
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

    /// Removes everything and frees the memory.
    pub fn clear(&mut self) {
        let hashes = Hashes::default();
        self.entries = LinkedHashMap::with_hasher(hashes.clone());
        self.pinned = LinkedHashMap::with_hasher(hashes);
        self.terms = Terms::new(&self.limits, Rc::clone(self.terms.rules()));
        self.bytes = 0;
        for tally in &mut self.tallies {
            *tally = Tally {
                database: tally.database,
                ..Tally::default()
            };
        }
    }

    /// Removes expired entries (past [`Limits::stale_ttl`] as well), at most [`EXPIRED_AT_ONCE`], so that a million
    /// entries of one age don't stop the loop. Returns how many were removed.
    pub fn expire(&mut self, now: Time) -> usize {
        let mut expired = 0;
        while expired < EXPIRED_AT_ONCE
            && let Some((expiry, life)) = self.terms.first_due(now)
        {
            if let Some(occupied) = self.at(expiry, 0) {
                let (entry, ()) = occupied.remove_entry();
                self.forget(&entry, expiry.hash());
                expired += 1;
            } else {
                debug_assert!(false, "every place in the queue has its entry");
                self.terms.remove(life, expiry.hash());
            }
        }
        self.evictions.expired += expired as u64;
        if expired > 0 && self.is_empty() {
            self.clear();
        }
        expired
    }

    /// When the oldest entry is to be removed; `None` for an empty cache.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Time> {
        self.terms.next_due()
    }

    /// How many entries it holds, including expired ones that have not been removed yet.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len() + self.pinned.len()
    }

    /// Whether it holds none.
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

    /// Its limits.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// How many entries were evicted or expired, by reason.
    #[must_use]
    pub fn evictions(&self) -> Evictions {
        self.evictions
    }

    /// How many entries were removed one by one, for whatever reason, without ever having been read from the cache.
    #[must_use]
    pub fn unread(&self) -> u64 {
        self.unread
    }

    /// Evicts the least recently used until both limits hold, and pinned entries only when there is nothing else.
    fn evict(&mut self) {
        let most = if self.shrinks {
            EXPIRED_AT_ONCE
        } else {
            usize::MAX
        };
        self.evict_some(most);
    }

    /// The same, but evicts at most so many. Returns whether the limits hold.
    fn evict_some(&mut self, most: usize) -> bool {
        for _ in 0..most {
            let reason = if self.len() > self.limits.entries {
                &mut self.evictions.capacity
            } else if self.exceeds_memory(self.bytes) {
                &mut self.evictions.memory
            } else {
                return true;
            };
            let unpinned = self.entries.pop_front();
            let Some((entry, ())) = unpinned.or_else(|| self.pinned.pop_front()) else {
                return true;
            };
            *reason += 1;
            let hash = self.hash(entry.name());
            self.forget(&entry, hash);
        }
        false
    }

    /// Removes an entry that left the map from the queue and the count. Returns its life.
    fn forget(&mut self, entry: &Entry, hash: u32) -> Life {
        let life = self.terms.life_of(entry, hash);
        let queued = self.terms.remove(life, hash);
        debug_assert!(queued, "every entry has its place in the queue");
        let cost = entry.cost();
        self.bytes -= cost;
        let tally = self.tally(entry.database());
        tally.entries -= 1;
        tally.bytes -= cost;
        self.unread += u64::from(!entry.was_read());
        life
    }

    /// Counts an entry that is added to the map.
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

    fn find(&mut self, hash: u32, key: Key<'_>) -> Found<'_> {
        let is_pinned = self.terms.of(key.name).is_pinned;
        self.find_as(is_pinned, hash, key)
    }

    /// The same for a key of which it is known whether its entries are pinned.
    fn find_as(&mut self, is_pinned: bool, hash: u32, key: Key<'_>) -> Found<'_> {
        let entries = entries_of(&mut self.entries, &mut self.pinned, is_pinned);
        find_in(entries, hash, |entry| entry.is_of(key))
    }

    fn exceeds_memory(&self, bytes: usize) -> bool {
        self.limits.memory > 0 && bytes > self.limits.memory
    }
}

/// The map of pinned entries, or the other.
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
