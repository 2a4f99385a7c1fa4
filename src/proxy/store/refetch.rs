//! A value that was read from the cache is likely to be read again: when Redis reports that its key has changed, it is
//! fetched anew at once, so that the next read finds it. One that nobody has read since it was fetched is left alone, so
//! Redis is asked no oftener than its clients would ask it without a cache.

use std::collections::HashSet;
use std::hash::BuildHasher;

use foldhash::fast::RandomState;

use super::{Coherence, Redis, Serving, Store, ask_for_value};
use crate::clock::Time;
use crate::resp::Protocol;

/// The link that they go over.
const LINK: Protocol = Protocol::Resp2;

/// The most that are in flight: requests of clients wait behind them.
const IN_FLIGHT_MAX: usize = 64;

/// The most keys that clients have written and that Redis has not reported yet; hashes of them.
const WRITTEN_MAX: usize = 1024;

/// What is fetched anew.
#[derive(Default)]
pub(in crate::proxy) struct Refetches {
    enabled: bool,
    in_flight: usize,
    /// Keys whose values were read, and which a client has written since, by their hashes: one that is there by
    /// mistake costs a fetch.
    written: HashSet<u64, RandomState>,
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
    /// A client writes a key whose value was read from the cache; Redis will report it.
    pub(super) fn note_written(&mut self, key: &[u8]) {
        if self.refetches.enabled && self.coherence == Coherence::Tracking {
            let written = &mut self.refetches.written;
            if written.len() >= WRITTEN_MAX {
                written.clear();
            }
            written.insert(written.hasher().hash_one(key));
        }
    }

    /// Whether the value of a key is to be fetched anew, when Redis reports that the key has changed.
    pub(super) fn is_to_be_refetched(&mut self, key: &[u8], was_read: bool) -> bool {
        let Refetches {
            enabled, written, ..
        } = &mut self.refetches;
        let was_written = !written.is_empty() && {
            let hash = written.hasher().hash_one(key);
            written.remove(&hash)
        };
        *enabled && (was_written || was_read)
    }

    /// Fetches the value of a key, for whoever asks next.
    pub(super) fn refetch(&mut self, key: &[u8], now: Time) {
        // Longer than before, it might break the connection for all.
        let is_possible = matches!(self.redis, Redis::Up)
            && !self.large.is_limited()
            && self.coherence == Coherence::Tracking
            && self.serving == Serving::Fresh
            && self.refetches.in_flight < IN_FLIGHT_MAX
            && !self.awaited.contains(key)
            && !self.in_flight.is_fetched(key)
            && !self.is_large_value(key);
        if is_possible {
            self.refetches.in_flight += 1;
            self.metrics.refetches += 1;
            self.in_flight.refetch(key, LINK, now);
            self.asked += 1;
            ask_for_value(self.requests.of(LINK), key);
        }
    }
}
