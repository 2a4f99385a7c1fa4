//! What may be cached, and what must be forgotten: by what clients write, by what Redis says, and by what
//! it can no longer say.

use std::rc::Rc;
use std::time::Duration;

use super::super::dedicated::Answered;
use super::super::in_flight::Asked;
use super::super::rule::{Rule, obeys};
use super::super::slow_log::Words;
use super::{Arrived, Redis, Store, UntilTtl, is_null};
use crate::cache::Value;
use crate::clock::Time;
use crate::command::{Writes, written};
use crate::metrics::Cause;
use crate::resp::read::Reader;
use crate::resp::reply::{self, Reply, SHARED_MIN};
use crate::resp::request::Request;
use crate::upstream::{self, Backend, Invalidated};

/// How cached values are kept from growing old.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in crate::proxy) enum Coherence {
    /// Redis has not been reached yet.
    Unknown,
    /// Redis says what changes, in the session of that number.
    Tracking { epoch: u64 },
    /// It did, and does no more.
    Lost,
    /// Only by their time to live.
    TimeToLive,
}

impl Store {
    /// A request that writes these keys is on its way.
    pub(super) fn forget_request(&mut self, request: &Request<'_>, writes: Writes) {
        match written(request, writes) {
            Some(keys) => keys.iter().for_each(|key| self.forget(key, Cause::Written)),
            None if is_flush(request) => self.forget_all(Cause::Flushed),
            None => self.forget_all(Cause::Written),
        }
    }

    /// Redis executed a request on a dedicated connection, or may do so unseen.
    pub fn invalidate_answered(&mut self, request: &Answered<'_>) {
        if request.blocks {
            self.awaited.remove(request.keys);
        }
        match request.keys.known() {
            Some(keys) => keys.for_each(|key| self.forget(key, Cause::Written)),
            None => self.forget_all(Cause::Written),
        }
    }

    /// Redis says what changed.
    pub fn invalidate(&mut self, invalidated: &Invalidated) {
        self.metrics.invalidations += invalidated.keys.len() as u64;
        self.metrics.flushes += u64::from(invalidated.all);
        if !obeys(Rule::InvalidationsAreHeard) {
            return;
        }
        if invalidated.all {
            self.forget_all(Cause::Flushed);
        } else {
            invalidated
                .keys
                .iter()
                .for_each(|key| self.forget(key, Cause::Invalidated));
        }
    }

    /// Redis no longer says what changes: what is fetched from now on is not cached. What is cached is
    /// served until Redis is reached again.
    pub fn tracking_lost(&mut self, epoch: u64) {
        self.lost_epoch = self.lost_epoch.max(epoch);
        let this = self.coherence == (Coherence::Tracking { epoch });
        if (this || !obeys(Rule::SessionsAreToldApart)) && obeys(Rule::NothingIsCachedUntracked) {
            self.coherence = Coherence::Lost;
        }
    }

    /// A key changed: neither what is cached of it nor what is on its way is good any more.
    fn forget(&mut self, key: &[u8], cause: Cause) {
        if obeys(Rule::ChangedKeysLeaveTheCache) && self.cache.remove(key) {
            self.metrics.forgotten.add(cause, 1);
        }
        self.metrics.misses.forgotten(key, cause);
        self.in_flight.changed(key);
        if obeys(Rule::ValuesInWaitingAreForgotten) {
            self.until_ttl.take_if(|fetched| *fetched.key == *key);
        }
    }

    fn forget_all(&mut self, cause: Cause) {
        if obeys(Rule::FlushesEmptyTheCache) {
            self.empty_cache(cause);
        }
        if obeys(Rule::FlushesReachFetches) {
            self.in_flight.all_changed();
        }
        self.until_ttl = None;
    }

    fn empty_cache(&mut self, cause: Cause) {
        self.metrics.forgotten.add(cause, self.cache.len());
        self.metrics.misses.all_forgotten(cause);
        self.cache.clear();
    }

    /// Redis answered the oldest request. What is worth it is cached.
    pub fn arrived(&mut self, encoded: &[u8], now: Time) -> Option<Arrived> {
        let shared = (encoded.len() >= SHARED_MIN).then(|| Rc::from(encoded));
        let fetch = match self.in_flight.answered()? {
            Asked::Fetch(fetch) => fetch,
            Asked::TimeToLive => {
                self.ttl_arrived(encoded, now);
                return Some(Arrived {
                    waiters: None,
                    key: None,
                    words: Words::default(),
                    shared: None,
                });
            }
            Asked::Forward(waiter, words) => {
                return Some(Arrived {
                    waiters: Some(waiter.into()),
                    key: None,
                    words,
                    shared,
                });
            }
        };
        if fetch.fresh {
            match self.coherence {
                Coherence::Tracking { .. } => {
                    self.keep(&fetch.key, encoded, shared.as_ref(), Duration::MAX, now)
                }
                Coherence::TimeToLive if fetch.with_ttl => {
                    let reply = shared.as_ref().map_or_else(
                        || Reply::copy(encoded),
                        |shared| Reply::Shared(Rc::clone(shared)),
                    );
                    self.until_ttl = Some(UntilTtl {
                        key: Rc::clone(&fetch.key),
                        value: reply,
                        since: fetch.waiters.first.caller.since,
                    });
                }
                Coherence::TimeToLive | Coherence::Unknown | Coherence::Lost => {}
            }
        }
        Some(Arrived {
            waiters: Some(fetch.waiters),
            key: Some(fetch.key),
            words: Words::default(),
            shared,
        })
    }

    /// Caches the value that a reply to GET holds, if it holds one.
    fn keep(
        &mut self,
        key: &[u8],
        encoded: &[u8],
        shared: Option<&Rc<[u8]>>,
        ttl: Duration,
        now: Time,
    ) {
        if self.awaited.contains(key) {
            return;
        }
        let value = match (reply::bulk_value(encoded), shared) {
            (Some(_), Some(shared)) => Value::Shared(shared),
            (Some(bytes), None) => Value::Bytes(bytes),
            // Redis tells when such a key comes to be.
            (None, _) if is_null(encoded) => Value::Missing,
            (None, _) if obeys(Rule::ErrorsAreNotCached) => return,
            (None, _) => Value::Missing,
        };
        if !obeys(Rule::MissingKeysNeedTracking)
            || value != Value::Missing
            || matches!(self.coherence, Coherence::Tracking { .. })
        {
            self.cache.insert_for(key, &value, ttl, now);
            let ttl = ttl.min(self.cache.limits().ttl);
            self.metrics.kept(key, now.after(ttl));
        }
    }

    /// Redis said how long the key that was fetched last has to live: its value does not outlive it.
    fn ttl_arrived(&mut self, encoded: &[u8], now: Time) {
        let Some(UntilTtl { key, value, since }) = self.until_ttl.take() else {
            return;
        };
        let ttl = match Reader::new(encoded).number() {
            Some(-1) => Duration::MAX,
            Some(milliseconds @ 1..) => Duration::from_millis(milliseconds.unsigned_abs()),
            // It is gone already, or Redis does not say.
            _ => return,
        };
        let shared = if let Reply::Shared(shared) = &value {
            Some(shared)
        } else {
            None
        };
        let left = ttl.saturating_sub(since.until(now));
        if !left.is_zero() {
            self.keep(&key, value.bytes(), shared, left, now);
        }
    }

    /// Redis can be reached, and told of itself. What was cached under other tracking can't be vouched
    /// for any more.
    pub fn up(&mut self, backend: &Backend, coherence: &upstream::Coherence, now: Time) {
        self.metrics.redis.up(now);
        if let Some(specs) = &backend.commands {
            self.table.learn(specs);
        }
        self.refused = match coherence {
            upstream::Coherence::TimeToLive { refused } => refused.clone(),
            upstream::Coherence::Tracking { .. } => None,
        };
        let coherence = match coherence {
            upstream::Coherence::Tracking { epoch }
                if *epoch > self.lost_epoch || !obeys(Rule::LossesAreRemembered) =>
            {
                Coherence::Tracking { epoch: *epoch }
            }
            // It was lost before this could be told.
            upstream::Coherence::Tracking { .. } => Coherence::Lost,
            upstream::Coherence::TimeToLive { .. } => Coherence::TimeToLive,
        };
        let was_or_is_tracked =
            self.coherence != Coherence::TimeToLive || coherence != Coherence::TimeToLive;
        if was_or_is_tracked && obeys(Rule::NewSessionsStartEmpty) {
            self.empty_cache(Cause::Reconnected);
        }
        self.coherence = coherence;
        self.until_ttl = None;
        self.backend = Some(backend.clone());
        self.redis = Redis::Up;
    }

    /// Redis can't be reached: `error` is what those hear who need it.
    pub fn down(&mut self, error: &[u8], now: Time) {
        self.metrics.redis.down(now);
        self.redis = Redis::Down(Reply::copy(error));
    }
}

/// Whether a request empties the database.
fn is_flush(request: &Request<'_>) -> bool {
    let name = request.argument(0);
    name.eq_ignore_ascii_case(b"flushall") || name.eq_ignore_ascii_case(b"flushdb")
}
