//! The way to the backing Redis: a helper thread with a blocking connection, and what goes between it
//! and the loop.
//!
//! The loop puts requests into a [`Batch`] during a turn and hands it over at its end; the helper takes
//! all that waits, sends it as one pipeline and hands back one [`Event::Replies`] for all of it. To a helper
//! that waits the requests come with their replies: they are sent in its stead. There is
//! one reply for each request, in order, whatever happens to the connection meanwhile.

mod helper;
mod link;
mod mailbox;
mod session;
mod tracker;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

pub use helper::Upstream;

use crate::command::Spec;
use crate::config::{RedisAddress, Secret};
use crate::resp::Protocol;

/// Where Redis is, and as whom the proxy comes.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Host and port. The host is looked up anew for each connection.
    pub address: RedisAddress,
    /// The database that every connection selects.
    pub database: u32,
    /// The user to authenticate as; without one, Redis's default user.
    pub username: Option<String>,
    /// The password, if Redis asks for one.
    pub password: Option<Secret>,
    /// How long connecting may take, and how long Redis may keep silent while it owes a reply.
    pub timeout: Duration,
    /// Whether Redis is to say which of the keys that were read change.
    pub tracking: bool,
}

/// Requests for Redis, encoded, in the order in which they are to be sent.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// The requests behind one another.
    pub bytes: Vec<u8>,
    /// Where each ends, and whether it may be sent a second time.
    pub requests: Vec<Pending>,
    /// How many of the bytes are sent already, and since when.
    pub sent: Option<(usize, Instant)>,
    /// None yet: the memory for the replies to them.
    pub room: Replies,
}

/// A request in a [`Batch`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pending {
    /// The end of its bytes in [`Batch::bytes`].
    pub end: usize,
    /// The version of the protocol in which its reply is wanted.
    pub protocol: Protocol,
    /// Whether it may be sent again, should the connection break before its reply: it changes nothing.
    pub repeatable: bool,
}

impl Batch {
    /// Adds the request that `encode` appends.
    pub fn push(
        &mut self,
        protocol: Protocol,
        repeatable: bool,
        encode: impl FnOnce(&mut Vec<u8>),
    ) {
        encode(&mut self.bytes);
        self.requests.push(Pending {
            end: self.bytes.len(),
            protocol,
            repeatable,
        });
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.requests.is_empty()
    }

    /// Forgets them, and keeps the memory for others, if it isn't too much.
    pub fn clear(&mut self) {
        empty(&mut self.bytes);
        empty(&mut self.requests);
        self.sent = None;
    }

    /// Keeps the memory of replies that were delivered for others.
    pub fn reuse(&mut self, mut replies: Replies) {
        replies.clear();
        self.room = replies;
    }

    /// Moves all requests of `other` behind these.
    pub fn append(&mut self, other: &mut Self) {
        if self.is_empty() {
            std::mem::swap(self, other);
            return;
        }
        let offset = self.bytes.len();
        self.bytes.append(&mut other.bytes);
        self.requests
            .extend(other.requests.drain(..).map(|request| Pending {
                end: request.end + offset,
                ..request
            }));
    }
}

/// Replies to the oldest requests that have none yet, in order. Where Redis gave none, an error reply
/// that says so stands in its place.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Replies {
    /// The encoded replies behind one another.
    pub bytes: Vec<u8>,
    /// Where each ends in `bytes`.
    pub ends: Vec<usize>,
    /// How long Redis took for them.
    pub round_trip: Duration,
    /// How many requests of one batch have all their replies with these; 0 while some are to come, or if
    /// Redis gave none.
    pub completes: usize,
}

impl Replies {
    /// Adds an encoded reply.
    pub fn push(&mut self, encoded: &[u8]) {
        self.bytes.extend_from_slice(encoded);
        self.ends.push(self.bytes.len());
    }

    fn clear(&mut self) {
        empty(&mut self.bytes);
        empty(&mut self.ends);
        self.round_trip = Duration::ZERO;
        self.completes = 0;
    }

    /// The encoded replies in order.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts
            .zip(&self.ends)
            .map(|(start, &end)| &self.bytes[start..end])
    }
}

/// How much memory of a list is kept for another, in bytes.
const KEPT: usize = 64 * 1024;

/// Empties a list that goes to and fro between the threads. If it were allocated anew on one of them and
/// freed on the other, a lone miss would take 9,900 instructions instead of 6,600, and a cache that fills
/// while Redis is slow a tenth more memory, as its entries would lie in gaps of two heaps.
fn empty<T>(list: &mut Vec<T>) {
    list.clear();
    list.shrink_to(KEPT / size_of::<T>());
}

/// How the error replies start that stand for none of Redis's.
const UNREACHABLE: &str = "ERR backing Redis at ";

/// Whether an encoded reply stands for one that Redis did not give.
#[must_use]
pub fn is_unreachable(encoded: &[u8]) -> bool {
    encoded
        .strip_prefix(b"-")
        .is_some_and(|text| text.starts_with(UNREACHABLE.as_bytes()))
}

/// What Redis told of itself when the helper connected.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Backend {
    /// Where it was reached, for connections of the clients' own.
    pub address: Option<SocketAddr>,
    /// Its commands, if it told.
    pub commands: Option<Vec<Spec>>,
    /// Its replies to HELLO in RESP2 and RESP3; empty if it knows none.
    pub hello: [Vec<u8>; 2],
}

/// What the helper tells the loop, in the order in which it happened.
#[derive(Debug, PartialEq, Eq)]
pub enum Event {
    /// Redis can be reached: requests are worth sending.
    Up {
        /// What it told of itself.
        backend: Backend,
        /// How what is read from now on is kept from growing old.
        coherence: Coherence,
    },
    /// It can't: until [`Event::Up`] each request will get this encoded error reply.
    Down {
        /// The error reply.
        error: Vec<u8>,
    },
    /// Replies came, or won't.
    Replies(Replies),
    /// Keys changed.
    Invalidated(Invalidated),
    /// Redis no longer says what changes, in the session of that number.
    TrackingLost {
        /// The number.
        epoch: u64,
    },
}

/// How cached values are kept from growing old, beside the time to live.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Coherence {
    /// Redis says what changes.
    Tracking {
        /// The number of the session in which it does.
        epoch: u64,
    },
    /// It does not, because it is not asked, or because it refuses, in these words.
    TimeToLive {
        /// The words.
        refused: Option<String>,
    },
}

/// Keys that Redis says have changed, expired or been evicted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Invalidated {
    /// The keys.
    pub keys: Vec<Box<[u8]>>,
    /// All keys: the database was flushed.
    pub all: bool,
}
