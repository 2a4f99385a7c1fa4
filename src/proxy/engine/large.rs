//! Requests with replies known to be large. They go over a dedicated connection of their client: there, a reply passes
//! as fast as the client reads it, and if Redis closes the connection because of it, no other client is affected.
//!
//! If Redis limits its output buffers (`client-output-buffer-limit`), a large reply would break the shared connection
//! for everyone. Then every reply counts as large until it has been seen to be short, and again once its key has
//! changed.

use std::hash::BuildHasher;

use foldhash::fast::RandomState;

use super::super::MAX_OWED;
use super::super::in_flight::Caller;
use super::Engine;
use crate::command::{Cached, Table, Way};
use crate::resp::request::Request;

/// A reply of this length is large.
const LARGE: usize = MAX_OWED;

/// A reply that takes this part of Redis's limit also counts as large, as other replies share the buffer.
const PART_OF_LIMIT: usize = 4;

/// How many requests are remembered: those with large replies and, if Redis has a limit, those with short ones.
const PLACES: usize = 256;
const SHORT_PLACES: usize = 16 * 1024;

/// How many keys' changes are distinguished.
const CHANGES: usize = 1024;

/// Which requests have large replies, by the hashes of command and key, or first argument. Requests with the same hash
/// count as one, and one hash may replace another; the cost is one request over the wrong connection.
#[derive(Default)]
pub(in crate::proxy) struct LargeReplies {
    /// Allocated when the first large reply is noted.
    places: Vec<u64>,
    /// Redis's limit for a client's output buffer, in bytes; 0 if there is none or it is not known.
    limit: usize,
    /// Requests with short replies. This list and the next are allocated only if there is a limit.
    short: Vec<u32>,
    /// How often keys have changed, by their hashes.
    changes: Vec<u8>,
    hasher: RandomState,
}

impl LargeReplies {
    /// The hash of a request, by its argument at `position`.
    pub fn hash(&self, command: u16, request: &Request<'_>, position: usize) -> u64 {
        let argument = (request.len() > position).then(|| request.argument(position));
        self.hash_of(command, argument.unwrap_or_default())
    }

    /// The hash of a request, by this argument.
    pub fn hash_of(&self, command: u16, argument: &[u8]) -> u64 {
        match self.changes.is_empty() {
            true => self.hasher.hash_one((command, argument)),
            false => {
                let changes = self.changes[self.place_of_changes(argument)];
                self.hasher.hash_one((command, argument, changes))
            }
        }
    }

    /// The hash of a request in a transaction, combined with that of the requests before it.
    pub fn hash_behind(&self, before: u64, command: u16, request: &Request<'_>) -> u64 {
        let this = self.hash(command, request, 1);
        self.hasher.hash_one((before, this))
    }

    /// Whether no reply is expected to be large.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty() && self.limit == 0
    }

    /// Whether the reply to a request is expected to be large.
    pub fn contains(&self, hash: u64) -> bool {
        self.is_large(hash) || self.limit > 0 && self.short[short_place(hash)] != tag(hash)
    }

    fn is_large(&self, hash: u64) -> bool {
        self.places.get(place(hash)) == Some(&hash)
    }

    /// Whether a reply of `length` bytes needs no note.
    pub fn ignores(&self, length: usize) -> bool {
        length < LARGE && self.is_empty()
    }

    /// Whether a reply of `length` bytes is large.
    pub fn is_long(&self, length: usize) -> bool {
        length >= LARGE || self.limit > 0 && length >= self.limit / PART_OF_LIMIT
    }

    /// Notes that the reply to a request was `length` bytes long.
    pub fn note(&mut self, hash: u64, length: usize) {
        if self.is_long(length) {
            return self.suspect(hash);
        }
        if self.is_large(hash) {
            self.places[place(hash)] = !hash;
        }
        if self.limit > 0 {
            self.short[short_place(hash)] = tag(hash);
        }
    }

    /// Notes that the connection broke twice while a request was in flight: its reply may have been too large for
    /// Redis.
    pub fn suspect(&mut self, hash: u64) {
        self.places.resize(PLACES, 0);
        self.places[place(hash)] = hash;
    }

    /// Sets Redis's limit for a client's output buffer; 0 if there is none or it is not known.
    pub fn set_limit(&mut self, limit: usize) {
        self.limit = limit;
        let (short, changes) = match limit {
            0 => (0, 0),
            _ => (SHORT_PLACES, CHANGES),
        };
        self.short = vec![0; short];
        self.changes = vec![0; changes];
    }

    /// Whether a large reply may break the shared connection.
    pub fn is_limited(&self) -> bool {
        self.limit > 0
    }

    /// A key has changed: what was known of the replies about it no longer holds.
    #[inline]
    pub fn changed(&mut self, key: &[u8]) {
        if !self.changes.is_empty() {
            let place = self.place_of_changes(key);
            self.changes[place] = self.changes[place].wrapping_add(1);
        }
    }

    /// Any key may have changed.
    pub fn all_changed(&mut self) {
        self.short.fill(0);
    }

    fn place_of_changes(&self, key: &[u8]) -> usize {
        self.hasher.hash_one(key) as usize % CHANGES
    }
}

impl Engine {
    /// Whether a request must use a dedicated connection because its reply is large.
    pub(super) fn is_large(&mut self, way: Way, caller: Caller, request: &Request<'_>) -> bool {
        if self.large.is_empty() || self.server(caller.node).outage().is_some() {
            return false;
        }
        match way {
            Way::Cached(Cached::Get | Cached::Mget) => {
                let mut keys = request.arguments().skip(1);
                keys.any(|key| {
                    self.is_large_value(key) && self.cached(caller.key(key), caller.since).is_none()
                })
            }
            Way::Cached(Cached::Answer { key, .. }) => {
                self.has_large_reply(way, caller.command, request)
                    && !self.has_answer(request, key.into(), caller)
            }
            _ => self.has_large_reply(way, caller.command, request),
        }
    }

    /// Whether a request must use a dedicated connection because its reply might break the shared one: the length of
    /// the reply is unknown, or the request can't be retried.
    pub(super) fn goes_apart(&self, way: Way) -> bool {
        way == Way::Forward && self.large.is_limited() && self.any_server().outage().is_none()
    }

    /// Whether an earlier reply to this request was large.
    pub(super) fn has_large_reply(&self, way: Way, command: u16, request: &Request<'_>) -> bool {
        let expects = |position| {
            self.large
                .contains(self.large.hash(command, request, position))
        };
        match way {
            _ if self.large.is_empty() => false,
            Way::Forward => expects(1),
            Way::Cached(Cached::Get | Cached::Mget) => {
                let mut keys = request.arguments().skip(1);
                keys.any(|key| self.is_large_value(key))
            }
            Way::Cached(Cached::Answer { key, .. }) => expects(key.into()),
            _ => false,
        }
    }

    /// Whether the value of a key is so large that it must come over a dedicated connection.
    pub(super) fn is_large_value(&self, key: &[u8]) -> bool {
        !self.large.is_empty() && self.large.contains(self.large.hash_of(Table::GET, key))
    }

    /// Whether a request has a large reply too, of a client that already borrows a connection for one.
    #[inline(never)]
    pub fn is_large_too(&mut self, request: &Request<'_>, caller: Caller) -> bool {
        let Ok(row) = self.table.find(request) else {
            return false;
        };
        let caller = Caller {
            command: row.number,
            ..caller
        };
        self.is_large(row.way(request), caller, request)
    }
}

fn short_place(hash: u64) -> usize {
    hash as usize % SHORT_PLACES
}

/// The part of a hash that is kept in the list of short replies; 0 stands for none.
fn tag(hash: u64) -> u32 {
    (hash >> 32) as u32 | 1
}

fn place(hash: u64) -> usize {
    hash as usize % PLACES
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_large_is_remembered_until_it_is_not() {
        let mut large = LargeReplies::default();
        let (one, other) = (large.hash_of(1, b"key"), large.hash_of(2, b"key"));
        large.note(one, LARGE - 1);
        assert!(large.is_empty());
        large.note(one, LARGE);
        assert!(large.contains(one) && !large.contains(other));
        large.note(other, 1);
        assert!(large.contains(one));
        large.note(one, 1);
        assert!(!large.contains(one));
        large.suspect(one);
        assert!(large.contains(one));
    }

    #[test]
    fn where_redis_has_a_limit_only_what_was_short_and_has_not_changed_is_not_large() {
        let mut large = LargeReplies::default();
        large.set_limit(1024 * 1024);
        let hash = |large: &LargeReplies| large.hash_of(1, b"key");
        let before = hash(&large);
        assert!(large.contains(before) && !large.is_empty());
        large.note(before, 100);
        assert!(!large.contains(before));
        large.changed(b"key");
        assert!(large.contains(hash(&large)));
        // An earlier reply says nothing.
        large.note(before, 100);
        assert!(large.contains(hash(&large)));
        let now = hash(&large);
        large.note(now, 1024 * 1024 / PART_OF_LIMIT);
        assert!(large.contains(now));
        large.note(now, 100);
        large.all_changed();
        assert!(large.contains(now));
        large.set_limit(0);
        assert!(!large.contains(hash(&large)));
    }
}
