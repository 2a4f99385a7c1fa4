//! Inserts values, and the answers to questions.

use std::hash::BuildHasher;
use std::time::Duration;

use hashlink::linked_hash_map::RawEntryMut;

use super::entry::{Entry, cost_of};
use super::hash::widen;
use super::terms::Life;
use super::{Cache, Key, Question, Value, entries_of, find_in};
use crate::clock::Time;

impl Cache {
    /// Inserts a value in place of an earlier one, and evicts entries until the limits hold. A value that exceeds
    /// [`super::Limits::reply`] or the whole budget is not kept, but an earlier one is still removed.
    pub fn insert(&mut self, key: Key<'_>, value: &Value<'_>, now: Time) {
        self.insert_for(key, value, self.limits.ttl, now);
    }

    /// Inserts a value like [`Self::insert`], with its own time to live if that is shorter than [`super::Limits::ttl`] or its
    /// rule's. Returns the time to live of the entry, if one was inserted.
    pub fn insert_for(
        &mut self,
        key: Key<'_>,
        value: &Value<'_>,
        ttl: Duration,
        now: Time,
    ) -> Option<Duration> {
        let term = *self.terms.of(key.name);
        if self.exceeds_memory(cost_of(key, value.len())) || !term.takes(value) {
            self.remove_value(key);
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
    /// An entry that exceeds the whole budget is not kept, nor is a reply beyond [`super::Limits::reply`]. Returns how
    /// long the reply may live, if it was inserted.
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

    /// The life of a key's entry; `other` if there is none.
    pub(super) fn life_of(&self, key: Key<'_>, other: Life) -> Life {
        let hash = self.hash(key.name);
        let entry = self.peek(key);
        entry.map_or(other, |entry| self.terms.life_of(entry, hash))
    }

    /// Changes an entry, its place in the queue and its share of the count. Returns its new cost.
    pub(super) fn change(
        &mut self,
        key: Key<'_>,
        life: Life,
        change: impl FnOnce(&mut Entry),
    ) -> usize {
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

    /// Whether Redis's encoded reply about a key, or the value in it, is short enough to be cached.
    #[must_use]
    pub fn takes_reply(&self, name: &[u8], encoded: &[u8]) -> bool {
        self.terms.of(name).takes_reply(encoded)
    }

    /// Counts an entry that is added to the map.
    #[inline]
    fn count_new(&mut self, database: u32, cost: usize) {
        self.bytes += cost;
        let tally = self.tally(database);
        tally.entries += 1;
        tally.bytes += cost;
    }
}
