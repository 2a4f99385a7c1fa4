//! A snapshot of the counters that `INFO` shows, so that `CONFIG RESETSTAT` can reset what `INFO` shows, as in Redis,
//! while the metrics continue to grow.

use super::{Clients, Counts, ErrorKind, Forgotten, Histogram, Keys, Metrics, Reason, Uncached};
use crate::cache::{Cache, Evictions};

/// The counters at one moment, or their growth since another.
#[derive(Clone, Debug)]
pub struct Counters {
    /// Requests, by command.
    pub commands: Vec<Counts>,
    /// Look-ups in the cache.
    pub keys: Keys,
    /// Misses, each at the index of its reason's number.
    pub misses: [u64; Reason::ALL.len()],
    /// Why reads were not answered from the cache, by command.
    pub uncached: Uncached,
    /// Error replies, each at the index of its kind's number.
    pub errors: [u64; ErrorKind::ALL.len()],
    /// Clients. The number of connected ones is always the current one.
    pub clients: Clients,
    /// Why entries left the cache.
    pub forgotten: Forgotten,
    /// Evictions, which the cache itself counts.
    pub evictions: Evictions,
    /// Entries that were removed unread.
    pub unread: u64,
    /// Values put into the cache.
    pub cached: u64,
    /// Times of hits.
    pub hit_time: Histogram,
    /// Times of misses.
    pub miss_time: Histogram,
    /// Times of requests that Redis answered.
    pub forward_time: Histogram,
    /// Times of a turn of the loop.
    pub turn: Histogram,
}

impl Counters {
    /// The current counters.
    #[must_use]
    pub fn of(metrics: &Metrics, cache: &Cache) -> Self {
        Self {
            commands: metrics.commands.iter().cloned().collect(),
            keys: metrics.keys,
            misses: metrics.misses.counts(),
            uncached: metrics.uncached.clone(),
            errors: metrics.errors,
            clients: metrics.clients,
            forgotten: metrics.forgotten,
            evictions: cache.evictions(),
            unread: cache.unread(),
            cached: metrics.cached,
            hit_time: metrics.hit_time.clone(),
            miss_time: metrics.miss_time.clone(),
            forward_time: metrics.forward_time.clone(),
            turn: metrics.turn.clone(),
        }
    }

    /// The difference to `earlier`.
    #[must_use]
    pub fn since(mut self, earlier: &Self) -> Self {
        // A command keeps its index.
        for (counts, before) in self.commands.iter_mut().zip(&earlier.commands) {
            *counts = counts.since(before);
        }
        self.commands.retain(Counts::is_any);
        let misses = self.misses.iter_mut().zip(earlier.misses);
        let errors = self.errors.iter_mut().zip(earlier.errors);
        misses
            .chain(errors)
            .for_each(|(count, before)| *count -= before);
        let (clients, before) = (&mut self.clients, &earlier.clients);
        clients.total -= before.total;
        clients.refused -= before.refused;
        clients.protocol_errors -= before.protocol_errors;
        clients.slowed -= before.slowed;
        clients.received -= before.received;
        clients.sent -= before.sent;
        let (forgotten, before) = (&mut self.forgotten, &earlier.forgotten);
        forgotten.invalidated -= before.invalidated;
        forgotten.written -= before.written;
        forgotten.flushed -= before.flushed;
        forgotten.reconnected -= before.reconnected;
        let (evictions, before) = (&mut self.evictions, &earlier.evictions);
        evictions.capacity -= before.capacity;
        evictions.memory -= before.memory;
        evictions.expired -= before.expired;
        Self {
            keys: self.keys.since(&earlier.keys),
            uncached: self.uncached.since(&earlier.uncached),
            unread: self.unread - earlier.unread,
            cached: self.cached - earlier.cached,
            hit_time: self.hit_time.since(&earlier.hit_time),
            miss_time: self.miss_time.since(&earlier.miss_time),
            forward_time: self.forward_time.since(&earlier.forward_time),
            turn: self.turn.since(&earlier.turn),
            ..self
        }
    }

    /// How many entries left the cache for each reason.
    #[must_use]
    pub fn removed(&self) -> [(&'static str, u64); 7] {
        let (evictions, forgotten) = (self.evictions, &self.forgotten);
        [
            ("capacity", evictions.capacity),
            ("memory", evictions.memory),
            ("expired", evictions.expired),
            ("invalidated", forgotten.invalidated),
            ("written", forgotten.written),
            ("flushed", forgotten.flushed),
            ("reconnected", forgotten.reconnected),
        ]
    }

    /// How many keys missed for a reason.
    #[must_use]
    pub fn misses(&self, reason: Reason) -> u64 {
        self.misses[reason as usize]
    }

    /// How many requests there were, except refused ones.
    #[must_use]
    pub fn calls(&self) -> u64 {
        self.commands.iter().map(Counts::calls).sum()
    }
}
