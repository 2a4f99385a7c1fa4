//! Counters and timings: plain integers in the loop, read by `INFO` and by the metrics page. On the path of a hit,
//! counting takes no lock and no allocation.

mod commands;
mod counters;
mod histogram;
mod misses;
mod rate;
mod uncached;

use std::time::Duration;

pub use commands::{Commands, Counts, Outcome};
pub use counters::Counters;
pub use histogram::Histogram;
pub use misses::{Misses, Reason};
pub use uncached::{Uncached, Why};

use crate::cache::Key;
use crate::clock::Time;
use rate::Rate;

/// All counters, since the start.
#[derive(Debug)]
pub struct Metrics {
    /// Requests, by command.
    pub commands: Commands,
    /// Look-ups in the cache, by key.
    pub keys: Keys,
    /// Misses, by reason.
    pub misses: Misses,
    /// Why reads were not answered from the cache, by command.
    pub uncached: Uncached,
    /// Error replies, by their kind.
    pub errors: [u64; ErrorKind::ALL.len()],
    /// Clients.
    pub clients: Clients,
    /// Why entries left the cache, in addition to the cache's own counters.
    pub forgotten: Forgotten,
    /// Values put into the cache.
    pub cached: u64,
    /// Keys that Redis reported as changed.
    pub invalidations: u64,
    /// Values fetched again because their keys had changed, before any client requested them.
    pub refetches: u64,
    /// How often Redis reported all keys as changed.
    pub flushes: u64,
    /// How often and for how long Redis was unreachable.
    pub redis: Redis,
    /// For hits: the time from reading the last byte of a request to queuing its reply.
    pub hit_time: Histogram,
    /// The time of requests that waited for a value from Redis.
    pub miss_time: Histogram,
    /// The time of requests that Redis answered.
    pub forward_time: Histogram,
    /// How long Redis took for a batch of requests.
    pub round_trip: Histogram,
    /// The number of requests in a batch.
    pub batch: Histogram,
    /// How long a turn of the loop took, excluding the wait before it.
    pub turn: Histogram,
    rate: Rate,
}

/// Look-ups in the cache, by key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Keys {
    /// The key was found.
    pub hits: u64,
    /// The key was not found, so Redis was asked.
    pub misses: u64,
    /// Another request had already asked Redis, and the reply served both.
    pub coalesced: u64,
}

impl Keys {
    /// The difference to `earlier`.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        Self {
            hits: self.hits - earlier.hits,
            misses: self.misses - earlier.misses,
            coalesced: self.coalesced - earlier.coalesced,
        }
    }

    /// The share of hits, from 0 to 1; `None` before the first look-up.
    #[must_use]
    pub fn hit_ratio(&self) -> Option<f64> {
        let all = self.hits + self.misses + self.coalesced;
        (all > 0).then(|| self.hits as f64 / all as f64)
    }
}

/// Counts of clients.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Clients {
    /// Clients that are connected now.
    pub connected: u64,
    /// Clients that were ever accepted.
    pub total: u64,
    /// Clients refused because of the maximum.
    pub refused: u64,
    /// Clients closed because of malformed requests.
    pub protocol_errors: u64,
    /// How often a client's requests had to wait because it did not read its replies, or requested too much at once.
    pub slowed: u64,
    /// Clients closed because all clients together held too much.
    pub evicted: u64,
    /// Clients that now have a dedicated connection to Redis.
    pub dedicated: u64,
    /// Clients that are now in a blocking command, such as BLPOP.
    pub blocked: u64,
    /// Bytes read from clients.
    pub received: u64,
    /// Bytes written to clients.
    pub sent: u64,
}

/// How many entries were removed because of events that concern their keys.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Forgotten {
    /// Redis reported a change.
    pub invalidated: u64,
    /// A client wrote the key through the proxy.
    pub written: u64,
    /// All keys were flushed.
    pub flushed: u64,
    /// The connection to Redis was reopened: changes in between are unknown.
    pub reconnected: u64,
}

/// Why entries are removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// Redis reported a change of the key.
    Invalidated,
    /// A client wrote the key through the proxy.
    Written,
    /// All keys were flushed.
    Flushed,
    /// The connection to Redis was reopened.
    Reconnected,
}

impl Forgotten {
    /// Counts removed entries.
    pub fn add(&mut self, cause: Cause, entries: usize) {
        let count = match cause {
            Cause::Invalidated => &mut self.invalidated,
            Cause::Written => &mut self.written,
            Cause::Flushed => &mut self.flushed,
            Cause::Reconnected => &mut self.reconnected,
        };
        *count += entries as u64;
    }
}

/// The kinds of error replies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// The client sent a malformed request.
    Protocol,
    /// The client is not authenticated, or gave a wrong password.
    Denied,
    /// The proxy does not accept the request: its arguments are wrong.
    Usage,
    /// Redis is unreachable, or gave no reply.
    Unreachable,
    /// Redis answered with an error.
    Redis,
}

impl ErrorKind {
    /// All kinds, each at the index of its number.
    pub const ALL: [Self; 5] = [
        Self::Protocol,
        Self::Denied,
        Self::Usage,
        Self::Unreachable,
        Self::Redis,
    ];

    /// The name of the kind in `INFO` and as a label.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Protocol => "protocol",
            Self::Denied => "denied",
            Self::Usage => "usage",
            Self::Unreachable => "unreachable",
            Self::Redis => "redis",
        }
    }
}

/// Whether Redis was reachable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Redis {
    /// How often the proxy connected to a server again.
    pub reconnects: u64,
    /// How often Redis became unreachable.
    pub outages: u64,
    /// Since when Redis is unreachable, if it is.
    pub away_since: Option<Time>,
    /// The total duration of earlier outages.
    away: Duration,
}

impl Redis {
    /// Redis is reachable.
    pub fn up(&mut self, now: Time) {
        if let Some(since) = self.away_since.take() {
            self.away += since.until(now);
        }
    }

    /// Redis is unreachable.
    pub fn down(&mut self, now: Time) {
        if self.away_since.is_none() {
            self.away_since = Some(now);
            self.outages += 1;
        }
    }

    /// The total duration of outages, including the current one.
    #[must_use]
    pub fn away(&self, now: Time) -> Duration {
        let present = self.away_since.map(|since| since.until(now));
        self.away + present.unwrap_or_default()
    }
}

impl Metrics {
    /// All zero, for a cache of `entries` entries.
    #[must_use]
    pub fn beside(entries: usize) -> Self {
        Self {
            commands: Commands::default(),
            keys: Keys::default(),
            misses: Misses::beside(entries),
            uncached: Uncached::default(),
            errors: Default::default(),
            clients: Clients::default(),
            forgotten: Forgotten::default(),
            cached: 0,
            invalidations: 0,
            refetches: 0,
            flushes: 0,
            redis: Redis::default(),
            hit_time: Histogram::of_durations(),
            miss_time: Histogram::of_durations(),
            forward_time: Histogram::of_durations(),
            round_trip: Histogram::of_durations(),
            batch: Histogram::of_counts(),
            turn: Histogram::of_durations(),
            rate: Rate::default(),
        }
    }

    /// Counts a miss: a key, or the answer to a question about it, was not in the cache, so Redis is asked. `is_known`
    /// returns whether the cache has anything else about the key.
    pub fn missed(
        &mut self,
        key: Key<'_>,
        command: u16,
        now: Time,
        is_known: impl FnOnce() -> bool,
    ) {
        self.keys.misses += 1;
        let reason = self.misses.missed(key, now, is_known);
        self.uncached.add(command, Why::Missed(reason));
    }

    /// Notes that the value of a key was cached until `deadline`.
    pub fn kept(&mut self, key: Key<'_>, deadline: Time) {
        self.cached += 1;
        self.misses.kept(key, deadline);
    }

    /// Counts an error reply.
    pub fn error(&mut self, kind: ErrorKind) {
        self.errors[kind as usize] += 1;
    }

    /// Counts an answer to a request on a dedicated connection, which took `took` if it was timed.
    pub fn answered_apart(&mut self, command: u16, took: Option<Duration>, failed: bool) {
        if failed {
            self.error(ErrorKind::Redis);
        }
        if failed || took.is_some() {
            let took = took.unwrap_or_default();
            self.commands.answered(command, took, failed);
        }
    }

    /// How many error replies of a kind there were.
    #[must_use]
    pub fn errors(&self, kind: ErrorKind) -> u64 {
        self.errors[kind as usize]
    }

    /// Counts a turn of the loop that took `elapsed`.
    pub fn end_turn(&mut self, elapsed: Duration, now: Time) {
        self.turn.add_duration(elapsed);
        if self.rate.is_due(now) {
            self.rate.note(self.commands.calls(), now);
        }
    }

    /// How many requests there were in the last second.
    #[must_use]
    pub fn per_second(&self, now: Time) -> u64 {
        self.rate.per_second(self.commands.calls(), now)
    }

    /// Counts `count` hits of one command, each for one key.
    pub fn hits(&mut self, command: u16, count: u64) {
        if count > 0 {
            self.keys.hits += count;
            self.commands.add(command, Outcome::Hit, count);
        }
    }

    /// Times the requests of one read, which were handled in `elapsed`: those that were answered at once took that long
    /// together.
    pub fn end_run(&mut self, elapsed: Duration) {
        let hits = self.commands.end_run(elapsed);
        if hits > 0 {
            self.hit_time.add_evenly(hits, elapsed);
        }
    }
}
