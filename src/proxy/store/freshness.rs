//! What may be cached, and what must be invalidated: by what clients write, by what Redis reports, and by what it can
//! no longer report.

use std::rc::Rc;
use std::time::Duration;

use super::super::dedicated::Answered;
use super::super::in_flight::{Asked, Fetch, Fetched, Waiters};
use super::super::slow_log::Words;
use super::{Redis, Serving, Store, is_null};
use crate::cache::Value;
use crate::clock::Time;
use crate::command::{Writes, written};
use crate::metrics::Cause;
use crate::resp::Protocol;
use crate::resp::read::Reader;
use crate::resp::reply::{self, Reply, SHARED_MIN};
use crate::resp::request::Request;
use crate::upstream::{Backend, Invalidated, Tracking};

/// How cached values are kept from growing old.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::proxy) enum Coherence {
    /// Redis has not been reached yet.
    Unknown,
    /// Redis reports what changes.
    Tracking,
    /// It did, and does no more.
    Lost,
    /// Only by their time to live; Redis refuses more in these words, if it was asked.
    TimeToLive {
        /// The words.
        refused: Option<String>,
    },
}

/// A reply of Redis that is to be delivered.
#[derive(Default)]
pub(in crate::proxy) struct Arrived {
    /// Those who wait for it; none for what the proxy asked for itself, and if it is late.
    pub waiters: Option<Waiters>,
    /// The key, if its value was asked for.
    pub key: Option<Rc<[u8]>>,
    /// How the slow log would show the request, if it was another.
    pub words: Words,
    /// A long one, in the form in which all who wait share it.
    pub shared: Option<Rc<[u8]>>,
}

impl Store {
    /// A request is on its way. Returns the keys that it writes; `None` stands for perhaps any.
    pub(super) fn invalidate_written<'a>(
        &mut self,
        request: &Request<'a>,
        writes: Writes,
    ) -> Option<Vec<&'a [u8]>> {
        let keys = written(request, writes);
        match &keys {
            Some(keys) => {
                for key in keys {
                    self.invalidate_key(key, Cause::Written);
                }
            }
            None if is_flush(request) => self.invalidate_all(Cause::Flushed),
            None => self.invalidate_all(Cause::Written),
        }
        keys
    }

    /// Redis executed a request on a dedicated connection, or may do so unseen.
    pub fn invalidate_answered(&mut self, request: &Answered<'_>) {
        if request.blocks {
            self.awaited.remove(request.keys);
        }
        match request.keys.known() {
            Some(keys) => keys.for_each(|key| self.invalidate_key(key, Cause::Written)),
            None => self.invalidate_all(Cause::Written),
        }
    }

    /// Redis reports what changed.
    pub fn invalidate(&mut self, invalidated: &Invalidated) {
        self.metrics.invalidations += invalidated.keys.len() as u64;
        self.metrics.flushes += u64::from(invalidated.all);
        if invalidated.all {
            self.invalidate_all(Cause::Flushed);
        } else {
            for key in &invalidated.keys {
                self.invalidate_key(key, Cause::Invalidated);
            }
        }
    }

    /// A key changed: neither what is cached of it nor what is on its way is good any more.
    fn invalidate_key(&mut self, key: &[u8], cause: Cause) {
        if self.cache.remove(key) {
            self.metrics.forgotten.add(cause, 1);
        }
        self.metrics.misses.forgotten(key, cause);
        self.in_flight.changed(key);
    }

    fn invalidate_all(&mut self, cause: Cause) {
        self.empty_cache(cause);
        self.in_flight.all_changed();
    }

    fn empty_cache(&mut self, cause: Cause) {
        self.metrics.forgotten.add(cause, self.cache.len());
        self.metrics.misses.all_forgotten(cause);
        self.cache.clear();
    }

    /// Redis answered the oldest request of a link. What is worth it is cached.
    pub fn arrived(&mut self, link: Protocol, encoded: &[u8], now: Time) -> Option<Arrived> {
        let shared = (encoded.len() >= SHARED_MIN).then(|| Rc::from(encoded));
        Some(match self.in_flight.answered(link)? {
            Asked::Fetch(fetch) => self.fetched(link, fetch, encoded, shared),
            Asked::TimeToLive => {
                self.ttl_arrived(link, encoded, now);
                Arrived::default()
            }
            Asked::Forward(forward) => Arrived {
                waiters: forward.waiter.map(Waiters::from),
                key: None,
                words: forward.words,
                shared,
            },
        })
    }

    /// Redis answered a GET: its value is cached when it is known how long the key has to live.
    fn fetched(
        &mut self,
        link: Protocol,
        fetch: Fetch,
        encoded: &[u8],
        shared: Option<Rc<[u8]>>,
    ) -> Arrived {
        if fetch.fresh {
            let value = match &shared {
                Some(shared) => Reply::Shared(Rc::clone(shared)),
                None => Reply::copy(encoded),
            };
            let fetched = Fetched {
                key: Rc::clone(&fetch.key),
                value,
                since: fetch.since,
            };
            self.in_flight.keep(link, fetched);
        }
        if fetch.waiters.is_some() {
            // Who gets this value may not get an older one later, be it cached or fetched over another link.
            self.cache.remove(&fetch.key);
            self.in_flight.overtaken(&fetch.key, link);
        }
        Arrived {
            waiters: fetch.waiters,
            key: Some(fetch.key),
            words: Words::default(),
            shared,
        }
    }

    /// Redis said how long the key that was fetched last has to live: its value does not outlive it.
    fn ttl_arrived(&mut self, link: Protocol, encoded: &[u8], now: Time) {
        let Some(Fetched { key, value, since }) = self.in_flight.take_fetched(link) else {
            return;
        };
        let is_missing = is_null(value.bytes());
        let ttl = match Reader::new(encoded).number() {
            Some(-2) if is_missing => Duration::MAX,
            Some(-1) if !is_missing => Duration::MAX,
            Some(milliseconds @ 1..) if !is_missing => {
                Duration::from_millis(milliseconds.unsigned_abs())
            }
            // It came or went between the two, or Redis does not say.
            _ => return,
        };
        let left = ttl.saturating_sub(since.until(now));
        let is_kept_coherent = matches!(
            self.coherence,
            Coherence::Tracking | Coherence::TimeToLive { .. }
        );
        if is_kept_coherent && !left.is_zero() {
            self.keep(&key, &value, left, now);
        }
    }

    /// Caches the value that a reply to GET holds, if it holds one.
    fn keep(&mut self, key: &[u8], reply: &Reply, ttl: Duration, now: Time) {
        if self.awaited.contains(key) {
            return;
        }
        let value = match (reply::bulk_value(reply.bytes()), reply) {
            (Some(_), Reply::Shared(shared)) => Value::Shared(shared),
            (Some(bytes), _) => Value::Bytes(bytes),
            // Only Redis knows when such a key comes to be.
            (None, _) if is_null(reply.bytes()) && self.coherence == Coherence::Tracking => {
                Value::Missing
            }
            (None, _) => return,
        };
        self.cache.insert_for(key, &value, ttl, now);
        let ttl = ttl.min(self.cache.limits().ttl);
        self.metrics.kept(key, now.after(ttl));
    }

    /// Redis can be reached, and told of itself.
    pub fn up(&mut self, backend: &Backend, now: Time) {
        self.metrics.redis.up(now);
        if let Some(specs) = &backend.commands {
            self.table.learn(specs);
        }
        self.backend = Some(backend.clone());
        self.redis = Redis::Up;
        self.update_serving();
    }

    /// A connection was lost and made anew, while Redis was there.
    pub fn reconnected(&mut self, now: Time) {
        self.metrics.redis.up(now);
    }

    /// Redis can't be reached: `error` is what those hear who need it.
    pub fn down(&mut self, error: &[u8], now: Time) {
        self.metrics.redis.down(now);
        self.redis = Redis::Down(Reply::copy(error));
        self.update_serving();
    }

    /// Whether Redis reports changes is another now.
    pub fn tracking(&mut self, tracking: &Tracking) {
        self.is_suspended = *tracking == Tracking::Suspended;
        match tracking {
            Tracking::Suspended | Tracking::Resumed => {}
            // What is cached is served until Redis is reached again.
            Tracking::Lost => self.coherence = Coherence::Lost,
            Tracking::On => {
                self.invalidate_all(Cause::Reconnected);
                self.coherence = Coherence::Tracking;
            }
            Tracking::Off { refused } => {
                // What was cached when changes were reported, nobody vouches for any more.
                if !matches!(self.coherence, Coherence::TimeToLive { .. }) {
                    self.invalidate_all(Cause::Reconnected);
                }
                self.coherence = Coherence::TimeToLive {
                    refused: refused.clone(),
                };
            }
        }
        self.update_serving();
    }

    fn update_serving(&mut self) {
        self.serving = match self.redis {
            Redis::Down(_) => Serving::Stale,
            Redis::Unknown | Redis::Up if self.is_suspended => Serving::Nothing,
            Redis::Unknown | Redis::Up => Serving::Fresh,
        };
    }
}

/// Whether a request empties the database.
fn is_flush(request: &Request<'_>) -> bool {
    let name = request.argument(0);
    name.eq_ignore_ascii_case(b"flushall") || name.eq_ignore_ascii_case(b"flushdb")
}
