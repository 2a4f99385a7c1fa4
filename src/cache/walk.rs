//! Walks through all entries in steps, so that a million entries don't stall the loop.

use std::hash::BuildHasher;
use std::time::Duration;

use hashlink::linked_hash_map::{RawEntryMut, RawOccupiedEntryMut};

use super::entry::Entry;
use super::hash::{Hashes, widen};
use super::queue::Expiry;
use super::{Cache, EXPIRED_AT_ONCE, Found, Key, Limits, Question, Value, find_in};
use crate::clock::Time;
use crate::rules::Rule;

/// How many entries a step visits. The step also visits all others with the same deadline as the last one.
const STEP: usize = 2048;

/// The position of a walk. It is a deadline, as deadlines stay the same while other entries come and go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cursor {
    queue: usize,
    /// The deadline up to which all entries have been visited.
    behind: Option<u64>,
}

/// What happens to a visited entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// The entry stays.
    Stays,
    /// The entry is removed.
    Goes,
}

/// An entry that is visited.
pub struct Visited<'a>(&'a mut Entry);

impl Visited<'_> {
    /// The key of the entry.
    #[must_use]
    pub fn key(&self) -> Key<'_> {
        Key::new(self.0.database(), self.0.name())
    }

    /// Whether the entry was read from the cache since the last call.
    pub fn take_read(&mut self) -> bool {
        self.0.take_recently_read()
    }
}

/// What is cached of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Look<'a> {
    /// The value, if it is cached.
    pub value: Option<Value<'a>>,
    /// The questions whose answers are known, each with the length of the encoded reply.
    pub answers: Vec<(Question<'a>, usize)>,
    /// Approximately how often the entry was read from the cache: exact up to 16 times, then to within a third.
    pub reads: u32,
    /// How long ago the entry was fetched, to within a thousandth of its intended life.
    pub age: Duration,
    /// The entry is evicted only if no others can be.
    pub is_pinned: bool,
    /// When the entry ends.
    pub end: Time,
    /// The cost of the entry, as in [`Limits::memory`].
    pub cost: usize,
    /// The rule that applies to the key.
    pub rule: Option<&'a Rule>,
}

impl Cache {
    /// Visits the next entries. An entry that is inserted in the meantime may or may not be visited, and one whose end
    /// was brought forward may be skipped. Returns whether there may be more.
    pub fn walk(
        &mut self,
        cursor: &mut Cursor,
        mut visit: impl FnMut(&mut Visited<'_>) -> Fate,
    ) -> bool {
        let mut expiries: Vec<Expiry> = Vec::new();
        while let Some(queue) = self.terms.queue(cursor.queue) {
            let mut is_whole = true;
            for expiry in queue.behind(cursor.behind) {
                let deadline = Some(expiry.deadline.steps());
                if expiries.len() >= STEP && deadline != cursor.behind {
                    is_whole = false;
                    break;
                }
                cursor.behind = deadline;
                expiries.push(expiry);
            }
            if !is_whole {
                break;
            }
            cursor.queue += 1;
            cursor.behind = None;
            if expiries.len() >= STEP {
                break;
            }
        }
        let mut before = None;
        // How many of the entries with this deadline were visited and stay.
        let mut passed = 0;
        for expiry in expiries {
            passed = if before == Some(expiry) { passed } else { 0 };
            before = Some(expiry);
            if self.visit(expiry, passed, &mut visit) {
                passed += 1;
            }
        }
        self.terms.queue(cursor.queue).is_some()
    }

    /// Visits an entry with this deadline, after the `passed` others that were visited. Returns whether it stays.
    fn visit(
        &mut self,
        expiry: Expiry,
        passed: usize,
        visit: &mut impl FnMut(&mut Visited<'_>) -> Fate,
    ) -> bool {
        let Some(mut occupied) = self.at(expiry, passed) else {
            return false;
        };
        if visit(&mut Visited(occupied.key_mut())) == Fate::Stays {
            return true;
        }
        let (entry, ()) = occupied.remove_entry();
        self.forget(&entry, expiry.hash());
        false
    }

    /// An entry with this deadline in the queue, after `passed` others with the same deadline.
    pub(super) fn at(
        &mut self,
        expiry: Expiry,
        mut passed: usize,
    ) -> Option<RawOccupiedEntryMut<'_, Entry, (), Hashes>> {
        let hash = expiry.hash();
        let hasher = self.entries.hasher().clone();
        let mut is_at = |entry: &Entry| {
            let is_at = entry.deadline == expiry.deadline && hasher.hash_one(entry) == widen(hash);
            if is_at && passed > 0 {
                passed -= 1;
                return false;
            }
            is_at
        };
        let found: Found<'_> = find_in(&mut self.entries, hash, &mut is_at);
        if let RawEntryMut::Occupied(occupied) = found {
            return Some(occupied);
        }
        match find_in(&mut self.pinned, hash, &mut is_at) {
            RawEntryMut::Occupied(occupied) => Some(occupied),
            RawEntryMut::Vacant(_) => None,
        }
    }

    /// What is cached of a key, even past its end. Does not count as a read.
    #[must_use]
    pub fn look(&self, key: Key<'_>, now: Time) -> Option<Look<'_>> {
        let entry = self.peek(key)?;
        let life = self.terms.life_of(entry, self.hash(key.name));
        Some(Look {
            value: entry.value(),
            answers: entry
                .answers()
                .map_or(Vec::new(), |it| it.lengths().collect()),
            reads: entry.reads(),
            age: entry.age(now),
            is_pinned: self.terms.of(key.name).is_pinned,
            end: self.terms.end(life),
            cost: entry.cost(),
            rule: self.rules().of(entry.name()),
        })
    }

    /// Sets other limits from now on. [`Self::shrink`] then evicts the entries that exceed them.
    pub fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
        self.terms.set_limits(&self.limits);
        self.shrinks = true;
    }

    /// Whether the cache still exceeds limits that were lowered.
    #[must_use]
    pub fn shrinks(&self) -> bool {
        self.shrinks
    }

    /// Evicts some of the entries that exceed limits that were lowered.
    pub fn shrink(&mut self) {
        if self.shrinks {
            self.shrinks = !self.evict_some(EXPIRED_AT_ONCE);
        }
    }
}
