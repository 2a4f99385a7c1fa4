//! The way to the backing Redis: a helper thread with a blocking connection, and what goes between it
//! and the loop.
//!
//! The loop puts requests into a [`Batch`] during a turn and hands it over at its end; the helper takes
//! all that waits, sends it as one pipeline and hands back one [`Event::Replies`] for all of it. There is
//! one reply for each request, in order, whatever happens to the connection meanwhile.
//!
//! A helper that has nothing to do lends its connections to the loop, which sends and reads for itself as
//! far as that goes without waiting. All else is the helper's.

mod ahead;
mod batch;
mod helper;
mod link;
mod mailbox;
mod replies;
mod session;
mod tracker;

use std::net::SocketAddr;
use std::time::Duration;

pub use batch::{Batch, Pending};
pub use helper::Upstream;
pub use replies::Replies;

use crate::command::Spec;
use crate::config::{RedisAddress, Secret};

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

/// How much memory of a list is kept for another, in bytes.
const KEPT: usize = 64 * 1024;

/// Empties a list that goes to and fro between the threads. If it were allocated anew on one of them and
/// freed on the other, a miss that the helper serves alone would take 9,900 instructions instead of 6,600, and a
/// cache that fills while Redis is slow a tenth more memory, as its entries would lie in gaps of two heaps.
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
    /// Where it was reached, for dedicated connections.
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
