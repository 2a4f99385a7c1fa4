//! Removes entries that have changed, that are past their time to live, or that have to make room.

use std::hash::BuildHasher;
use std::rc::Rc;

use hashlink::LinkedHashMap;
use hashlink::linked_hash_map::RawEntryMut;

use super::entry::Entry;
use super::hash::{Hashes, widen};
use super::terms::{Life, Terms};
use super::{Cache, EXPIRED_AT_ONCE, Key, Question, Removed, Tally, entries_of, find_in};
use crate::clock::Time;

impl Cache {
    /// Removes a key's entry. Returns whether there was one.
    pub fn remove(&mut self, key: Key<'_>) -> bool {
        let hash = self.hash(key.name);
        let RawEntryMut::Occupied(occupied) = self.find(hash, key) else {
            return false;
        };
        let (entry, ()) = occupied.remove_entry();
        self.forget(&entry, hash);
        true
    }

    /// Removes the value of a key, but not the answers to questions about it.
    pub fn remove_value(&mut self, key: Key<'_>) {
        match self.peek(key).map(Entry::has_answers) {
            None => {}
            Some(true) => self.edit(key, Entry::remove_value),
            Some(false) => {
                self.remove(key);
            }
        }
    }

    /// Removes the reply to a question about a key.
    pub fn remove_answer(&mut self, key: Key<'_>, question: Question<'_>) {
        let hash = self.entries.hasher().hash_one(question) as u32;
        self.edit(key, |entry| {
            if entry.has_answers() {
                entry.change_answers(|answers| answers.remove(hash, question));
            }
        });
    }

    /// Changes the entry of a key, if there is one. Its deadline stays the same.
    fn edit(&mut self, key: Key<'_>, edit: impl FnOnce(&mut Entry)) {
        if let Some(entry) = self.peek(key) {
            let life = self.terms.life_of(entry, self.hash(key.name));
            self.change(key, life, edit);
        }
    }

    /// Removes the keys `name` in all databases, and reports what was known of each.
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

    /// Removes all keys whose names satisfy `is_gone`. Returns how many entries were removed. Takes time in proportion
    /// to the size of the cache.
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

    /// Removes entries that have expired (also past [`super::Limits::stale_ttl`]), at most [`EXPIRED_AT_ONCE`] of them,
    /// so that a million entries of the same age don't stall the loop. Returns how many were removed.
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

    /// Evicts the least recently used entries until both limits hold. Evicts pinned entries only when there are no
    /// others.
    #[inline]
    pub(super) fn evict(&mut self) {
        let most = if self.shrinks {
            EXPIRED_AT_ONCE
        } else {
            usize::MAX
        };
        self.evict_some(most);
    }

    /// Evicts entries until the limits hold, but at most `most`. Returns whether the limits hold.
    #[inline]
    pub(super) fn evict_some(&mut self, most: usize) -> bool {
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

    /// Removes an entry that was taken out of the map from the queue and the count as well. Returns its life.
    pub(super) fn forget(&mut self, entry: &Entry, hash: u32) -> Life {
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
}
