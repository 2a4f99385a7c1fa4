//! Requests whose replies were large. They go over a dedicated connection of their client: there a reply passes as the
//! client takes it, and if Redis closes the connection for it, nobody else is harmed.

use std::hash::BuildHasher;

use foldhash::fast::RandomState;

use super::super::MAX_OWED;
use crate::resp::request::Request;

/// A reply of so many bytes is large.
const LARGE: usize = MAX_OWED;

/// How many requests are remembered.
const PLACES: usize = 256;

/// Which requests, by the hashes of command and key, or first argument. Two of the same hash are taken for one, and one takes
/// another's place: then a request goes the other way once.
#[derive(Default)]
pub(in crate::proxy) struct LargeReplies {
    /// No memory is taken before the first.
    places: Vec<u64>,
    hasher: RandomState,
}

impl LargeReplies {
    /// The hash of a request that is told from others by its argument at that position.
    pub fn hash(&self, command: u16, request: &Request<'_>, position: usize) -> u64 {
        let argument = (request.len() > position).then(|| request.argument(position));
        self.hash_of(command, argument.unwrap_or_default())
    }

    /// The hash of a request with that argument.
    pub fn hash_of(&self, command: u16, argument: &[u8]) -> u64 {
        self.hasher.hash_one((command, argument))
    }

    /// Whether any is remembered.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// Whether the reply to a request is expected to be large.
    pub fn contains(&self, hash: u64) -> bool {
        self.places.get(place(hash)) == Some(&hash)
    }

    /// Whether it makes no difference that a reply of so many bytes came.
    pub fn ignores(&self, length: usize) -> bool {
        length < LARGE && self.places.is_empty()
    }

    /// A request was answered with so many bytes.
    pub fn note(&mut self, hash: u64, length: usize) {
        if length >= LARGE {
            self.suspect(hash);
        } else if self.contains(hash) {
            self.places[place(hash)] = !hash;
        }
    }

    /// The connection broke twice when a request was in flight: its reply may have been too large for Redis.
    pub fn suspect(&mut self, hash: u64) {
        self.places.resize(PLACES, 0);
        self.places[place(hash)] = hash;
    }
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
}
