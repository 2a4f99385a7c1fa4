//! A value that was read from the cache is likely to be read again: when Redis reports that its key has changed, it is
//! fetched anew at once, so that the next read finds it. One that nobody has read since it was fetched is left alone, so
//! Redis is asked no oftener than its clients would ask it without a cache.

use std::collections::HashMap;
use std::hash::BuildHasher;

use foldhash::fast::RandomState;

use super::{Coherence, Redis, Serving, Store, ask_for_value};
use crate::cache::Key;
use crate::clock::Time;

/// The most that are in flight: requests of clients wait behind them.
const IN_FLIGHT_MAX: usize = 64;

/// The most keys that clients have written and that Redis has not reported yet; hashes of them.
const WRITTEN_MAX: usize = 1024;

/// What is fetched anew.
#[derive(Default)]
pub(in crate::proxy) struct Refetches {
    enabled: bool,
    in_flight: usize,
    /// Keys whose values were read, and which a client has written since, by the hashes of their names, with the database:
    /// one that is there by mistake costs a fetch.
    written: HashMap<u64, u32, RandomState>,
    /// The databases in which the value of the key was read that was just invalidated.
    pub read: Vec<u32>,
}

impl Refetches {
    pub fn enable(&mut self, enabled: bool) {
        self.enabled = enabled;
    }

    /// One is answered.
    pub fn answered(&mut self) {
        self.in_flight -= 1;
    }
}

impl Store {
    /// A client writes a key, which was just invalidated. If its value had been read from the cache, that is remembered:
    /// Redis will report the change.
    pub(super) fn note_written(&mut self, name: &[u8]) {
        let Refetches {
            enabled,
            written,
            read,
            ..
        } = &mut self.refetches;
        if let Some(&database) = read.first()
            && *enabled
            && self.coherence == Coherence::Tracking
        {
            if written.len() >= WRITTEN_MAX {
                written.clear();
            }
            written.insert(written.hasher().hash_one(name), database);
        }
    }

    /// Redis reports that a key has changed, which was just invalidated: its value is fetched anew where it had been read.
    pub(super) fn refetch_where_it_was_read(&mut self, name: &[u8], now: Time) {
        let Refetches {
            enabled,
            written,
            read,
            ..
        } = &mut self.refetches;
        if !written.is_empty() {
            let hash = written.hasher().hash_one(name);
            let database = written.remove(&hash);
            read.extend(database.filter(|database| !read.contains(database)));
        }
        if !*enabled || read.is_empty() {
            return;
        }
        let mut databases = std::mem::take(read);
        for database in databases.drain(..) {
            self.refetch(Key::new(database, name), now);
        }
        self.refetches.read = databases;
    }

    /// Fetches the value of a key, for whoever asks next.
    fn refetch(&mut self, key: Key<'_>, now: Time) {
        let Some(link) = self.in_flight.link_to(key.database) else {
            return;
        };
        let is_possible = matches!(self.redis, Redis::Up)
            && self.coherence == Coherence::Tracking
            && self.serving == Serving::Fresh
            && self.refetches.in_flight < IN_FLIGHT_MAX
            && !self.awaited.contains(key.name)
            && !self.in_flight.is_fetched(key)
            && !self.is_large_value(key.name);
        if is_possible {
            self.refetches.in_flight += 1;
            self.metrics.refetches += 1;
            self.in_flight.refetch(key.name, link, now);
            self.asked += 1;
            ask_for_value(self.requests.of(link), key.name);
        }
    }
}
