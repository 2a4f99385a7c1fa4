//! Looks entries up.

use std::hash::BuildHasher;

use hashlink::linked_hash_map::RawEntryMut;

#[cfg(test)]
use super::answers::Answers;
use super::entry::Entry;
use super::hash::widen;
use super::terms::Terms;
use super::{Cache, Key, KeyBuf, Question, Read, Value, find_in};
use crate::clock::Time;

impl Cache {
    /// The value of a key, whose entry becomes the most recently used. An expired entry does not count.
    #[inline]
    pub fn get(&mut self, key: Key<'_>, now: Time) -> Option<Value<'_>> {
        let sample = self.samples.next();
        let entry = self.get_alive(key, |terms, entry, hash| {
            entry.deadline.is_after(now) || terms.reads_ahead(entry, hash, now)
        })?;
        entry.read_value(sample)
    }

    /// As [`Self::get`], but an entry may be past its time to live by up to [`super::Limits::stale_ttl`] or its rule's.
    pub fn get_stale(&mut self, key: Key<'_>, now: Time) -> Option<Value<'_>> {
        let sample = self.samples.next();
        let entry = self.get_alive(key, |terms, entry, hash| {
            terms.is_good_when_stale(entry, hash, now)
        })?;
        entry.read_value(sample)
    }

    /// The reply to a question about a key, in the same way.
    #[inline]
    pub fn answer(&mut self, key: Key<'_>, question: Question<'_>, now: Time) -> Option<Value<'_>> {
        self.answer_alive(key, question, |terms, entry, hash| {
            entry.deadline.is_after(now) || terms.reads_ahead(entry, hash, now)
        })
    }

    /// The reply to a question about a key, which may be past its time to live as in [`Self::get_stale`].
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

    /// The replies to all questions about a key.
    #[cfg(test)]
    pub fn answers(&mut self, key: Key<'_>) -> Vec<Vec<u8>> {
        let entry = self.get_alive(key, |_, _, _| true);
        let answers = entry.and_then(|entry| entry.answers());
        answers.map_or(Vec::new(), Answers::replies)
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

    /// Takes the entries that were read within the refresh time of their rules, and when they were read. An entry is
    /// returned again only if it is read again.
    pub fn take_read_ahead(&mut self) -> Vec<(KeyBuf, Time)> {
        self.terms.take_read_ahead()
    }

    /// Whether there are such entries.
    #[must_use]
    #[inline]
    pub fn has_read_ahead(&self) -> bool {
        self.terms.has_read_ahead()
    }

    /// Which parts of a key's entry were read from the cache.
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

    pub(super) fn peek(&self, key: Key<'_>) -> Option<&Entry> {
        let hash = widen(self.hash(key.name));
        let is_it = |entry: &Entry| entry.is_of(key);
        let found = self.entries.raw_entry().from_hash(hash, is_it);
        let found = found.or_else(|| self.pinned.raw_entry().from_hash(hash, is_it));
        found.map(|(entry, ())| entry)
    }
}
