//! A value that was read from the cache is likely to be read again: when Redis reports that its key has changed, it is
//! fetched anew at once, so that the next read finds it. One that nobody has read since it was fetched is left alone, so
//! Redis is asked no oftener than its clients would ask it without a cache.
//!
//! A session that is read and then written with every request is never read from the cache so. Hence a value that a
//! client's miss fetched, and that a client then writes, is fetched anew once, in the hope that it will be read: a [`Hopes`].

use std::collections::HashSet;
use std::hash::BuildHasher;

use foldhash::fast::RandomState;

use super::{Coherence, Redis, Serving, Store, ask_for_value};
use crate::clock::Time;

/// The most that are in flight: requests of clients wait behind them.
const IN_FLIGHT_MAX: usize = 64;

/// The most keys that clients have written and that Redis has not reported yet; hashes of them.
const WRITTEN_MAX: usize = 1024;

/// How many keys there can be hopes for; each takes 8 bytes.
const HOPES: usize = 1024;

/// What a hope takes from the means, and what it brings if it comes true: so it pays if every other one does.
const PRICE: u16 = 16;
const PRIZE: u16 = 2 * PRICE;
/// The most means: a miss brings 1, so that where no hope comes true, it costs Redis one more request for 16 misses.
const MEANS_MAX: u16 = 64 * PRICE;

/// What is fetched anew.
#[derive(Default)]
pub(in crate::proxy) struct Refetches {
    enabled: bool,
    hopes: Hopes,
    in_flight: usize,
    /// Keys whose values were read, and which a client has written since, by their hashes: one that is there by
    /// mistake costs a fetch.
    written: HashSet<u64, RandomState>,
}

/// The keys whose values are hoped to be read again, though they have not been read from the cache yet.
#[derive(Default)]
struct Hopes {
    /// By hash, with one key in each place; none until the first.
    keys: Vec<Hope>,
    means: u16,
}

/// For which key, by the half of its hash that does not say the place.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Hope {
    #[default]
    None,
    /// A client's miss fetched the value.
    Missed(u32),
    /// It was fetched anew, as a client wrote it.
    Refetched(u32),
}

fn half(hash: u64) -> u32 {
    (hash >> 32) as u32
}

impl Hopes {
    fn of(&mut self, hash: u64) -> Option<&mut Hope> {
        self.keys.get_mut(hash as usize % HOPES)
    }

    /// A client's miss fetched the value of a key.
    fn missed(&mut self, hash: u64) {
        if self.keys.is_empty() {
            self.keys = vec![Hope::None; HOPES];
            self.means = MEANS_MAX;
        }
        self.means = MEANS_MAX.min(self.means + 1);
        if let Some(hope) = self.of(hash) {
            *hope = Hope::Missed(half(hash));
        }
    }

    /// A client writes a key, whose value was read from the cache or not. Returns whether there is hope that it will be.
    fn written(&mut self, hash: u64, was_read: bool) -> bool {
        let means = self.means;
        let Some(hope) = self.of(hash) else {
            return was_read;
        };
        match *hope {
            Hope::Missed(of) if of == half(hash) && !was_read => {
                let is_hoped = means >= PRICE;
                *hope = if is_hoped {
                    Hope::Refetched(half(hash))
                } else {
                    Hope::None
                };
                self.means -= if is_hoped { PRICE } else { 0 };
                is_hoped
            }
            Hope::Refetched(of) if of == half(hash) => {
                // If it was read, it is an entry like others from now on.
                *hope = Hope::None;
                self.means = MEANS_MAX.min(means + if was_read { PRIZE } else { 0 });
                was_read
            }
            _ => was_read,
        }
    }
}

impl Refetches {
    pub fn enable(&mut self, enabled: bool) {
        self.enabled = enabled;
    }

    /// A client's miss fetched the value of a key.
    pub fn missed(&mut self, key: &[u8]) {
        if self.enabled {
            self.hopes.missed(self.written.hasher().hash_one(key));
        }
    }

    /// One is answered.
    pub fn answered(&mut self) {
        self.in_flight -= 1;
    }
}

impl Store {
    /// A client writes a key, whose value was read from the cache or not; Redis will report it.
    pub(super) fn note_written(&mut self, key: &[u8], was_read: bool) {
        let Refetches {
            enabled,
            hopes,
            written,
            ..
        } = &mut self.refetches;
        let is_known = was_read || !hopes.keys.is_empty();
        if !*enabled || !is_known || self.coherence != Coherence::Tracking {
            return;
        }
        let hash = written.hasher().hash_one(key);
        if hopes.written(hash, was_read) {
            if written.len() >= WRITTEN_MAX {
                written.clear();
            }
            written.insert(hash);
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
        let is_possible = matches!(self.redis, Redis::Up)
            && self.coherence == Coherence::Tracking
            && self.serving == Serving::Fresh
            && self.refetches.in_flight < IN_FLIGHT_MAX
            && !self.awaited.contains(key)
            && !self.in_flight.is_fetched(key)
            && !self.is_large_value(key);
        if !is_possible {
            return;
        }
        // The report may have come before the reply to the write: behind that one, Redis answers with the new value.
        if let Some(link) = self.in_flight.link_for(key) {
            self.refetches.in_flight += 1;
            self.metrics.refetches += 1;
            self.in_flight.refetch(key, link, now);
            self.asked += 1;
            ask_for_value(self.requests.of(link), key);
        }
    }
}
