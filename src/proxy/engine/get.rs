//! GET: the value of a key from the cache, or fetched from Redis. Nearly all requests are GETs in the one spelling that
//! all client libraries use, so those have a fast path.

use super::super::in_flight::{Caller, Waiter};
use super::super::replies::Replies;
use super::{Engine, Serving, cost};
use crate::cache::{Key, LOOK_AHEAD, Value};
use crate::clock::Time;
use crate::command::internal;
use crate::metrics::Outcome;
use crate::resp::reply;
use crate::resp::request::{Request, whole_get};
use crate::upstream::Batch;

/// Where the command name is in such a GET.
const NAME: std::ops::Range<usize> = 8..11;

/// Input shorter than this is seldom more than one request.
const SHORT: usize = 64;

impl Engine {
    pub(super) fn get(
        &mut self,
        request: &Request<'_>,
        caller: Caller,
        replies: &mut Replies,
    ) -> Outcome {
        let key = request.argument(1);
        if let Some(value) = self.cached_for(replies, caller.key(key), caller.since) {
            replies.push_value(&value, caller.protocol);
            self.metrics.keys.hits += 1;
            return Outcome::Hit;
        }
        self.get_missing(request.argument(0), key, caller, replies)
    }

    /// Fetches a key that is not in the cache. `name` is the client's spelling of GET.
    fn get_missing(
        &mut self,
        name: &[u8],
        key: &[u8],
        caller: Caller,
        replies: &mut Replies,
    ) -> Outcome {
        let caller = Caller {
            node: self.node_of(key),
            ..caller
        };
        if let Some(outage) = self.server(caller.node).outage() {
            replies.push_outage(outage);
            return Outcome::Refused;
        }
        let place = replies.wait(cost(key.len(), replies));
        let waiter = Waiter {
            caller,
            place,
            element: None,
        };
        let may_join = self.may_be_served(replies);
        self.fetch(name, key, may_join, waiter)
    }

    /// The cached value of a key, which may be stale while Redis is unreachable.
    #[inline]
    pub(super) fn cached(&mut self, key: Key<'_>, now: Time) -> Option<Value<'_>> {
        match self.serving(key.name) {
            Serving::Fresh => self.cache.get(key, now),
            Serving::Stale => self.cache.get_stale(key, now),
            Serving::Nothing => None,
        }
    }

    /// The cached value of a key, if a client with these replies may be served from the cache.
    pub(super) fn cached_for(
        &mut self,
        replies: &Replies,
        key: Key<'_>,
        now: Time,
    ) -> Option<Value<'_>> {
        if self.may_be_served(replies) {
            self.cached(key, now)
        } else {
            None
        }
    }

    /// Adds a waiter for a key's value: to a fetch in flight if it may join one, otherwise to a new fetch.
    pub(super) fn fetch(
        &mut self,
        name: &[u8],
        key: &[u8],
        may_join: bool,
        waiter: Waiter,
    ) -> Outcome {
        if may_join && !self.awaited.contains(key) && self.in_flight.join(key, None, waiter) {
            self.metrics.keys.coalesced += 1;
            return Outcome::Coalesced;
        }
        self.count_miss(key, waiter.caller);
        self.in_flight.fetch(key, None, waiter);
        self.asked += 1;
        ask_for_value(self.requests.of(waiter.caller.link()), name, key);
        Outcome::Miss
    }

    /// Counts a request for a key that goes to Redis.
    pub(super) fn count_miss(&mut self, key: &[u8], caller: Caller) {
        let key = caller.key(key);
        let (command, now) = (caller.command, caller.since);
        let is_known = || self.cache.knows(key, now);
        self.metrics.missed(key, command, now, is_known);
    }

    /// Executes the GETs at the start of `bytes`, as long as there is room for replies. Returns how many bytes were
    /// consumed.
    ///
    /// [`Self::execute`] has the same result, but a hit in a pipeline takes 300 instructions here and 970 there.
    pub fn execute_gets(&mut self, bytes: &[u8], caller: Caller, replies: &mut Replies) -> usize {
        let mut used = 0;
        let mut looked_up = 0;
        let mut hits = 0;
        let looks_ahead = self.cache.is_large();
        while !replies.full()
            && let Some((key, length)) = whole_get(&bytes[used..])
        {
            if looks_ahead && used >= looked_up {
                looked_up = used + self.look_ahead(&bytes[used..]);
            }
            if let Some(value) = self.cached(caller.key(key), caller.since) {
                replies.push_value(&value, caller.protocol);
                hits += 1;
            } else if self.is_large_value(key) {
                break;
            } else {
                let outcome = self.get_missing(&bytes[used..][NAME], key, caller, replies);
                self.count(caller.command, outcome, replies);
                if outcome == Outcome::Refused {
                    used += length;
                    break;
                }
            }
            used += length;
        }
        self.metrics.hits(caller.command, hits);
        used
    }

    /// Makes the cache prefetch the entries for the GETs at the start of `bytes`, if there are several. Returns how
    /// many bytes those GETs take.
    fn look_ahead(&self, bytes: &[u8]) -> usize {
        if bytes.len() < SHORT {
            return 0;
        }
        let mut keys = [&[][..]; LOOK_AHEAD];
        let mut count = 0;
        let mut length_of_all = 0;
        while count < keys.len()
            && let Some((key, length)) = whole_get(&bytes[length_of_all..])
        {
            keys[count] = key;
            count += 1;
            length_of_all += length;
        }
        self.cache.look_ahead(&keys[..count]);
        length_of_all
    }
}

/// Requests a key's value, followed by its time to live. In this order, a key that changes between the two is not kept
/// for too long.
pub(super) fn ask_for_value(batch: &mut Batch, name: &[u8], key: &[u8]) {
    batch.push(true, |out| {
        out.extend_from_slice(b"*2\r\n$3\r\n");
        out.extend_from_slice(name);
        out.extend_from_slice(b"\r\n");
        reply::bulk(out, key);
    });
    ask_for_time_to_live(batch, key);
}

/// Requests the time to live of a key.
pub(super) fn ask_for_time_to_live(batch: &mut Batch, key: &[u8]) {
    batch.push(true, |out| {
        out.extend_from_slice(b"*2\r\n$4\r\n");
        out.extend_from_slice(internal::PTTL.as_bytes());
        out.extend_from_slice(b"\r\n");
        reply::bulk(out, key);
    });
}

/// The spelling of GET, unless a client has chosen one.
pub(super) const GET: &[u8] = b"GET";

/// Whether Redis's reply to GET says that the key does not exist, in either protocol version.
pub(in crate::proxy) fn is_null(encoded: &[u8]) -> bool {
    matches!(encoded, b"$-1\r\n" | b"_\r\n")
}
