//! The place of a reply in its client's queue, and what it costs to hold it.

use super::super::slow_log::Words;
use crate::command::Join;
use crate::resp::reply::Reply;

/// The position of a reply among all replies ever outstanding for the clients of one slot. None is used twice, so the
/// reply for a client that has left has no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::proxy) struct Place(pub(super) u64);

impl Place {
    pub(in crate::proxy) fn number(self) -> u64 {
        self.0
    }
}

/// A reply in the queue.
pub(super) enum Slot {
    Ready(Reply),
    /// No reply: the client is closed here.
    End,
    /// Bytes from the client's dedicated connection, held until a barrier has passed.
    Held(Vec<u8>),
    /// A reply that Redis has not sent yet.
    Waiting(Cost),
    /// An array of which some elements are outstanding.
    Gathering(Box<Gathering>),
}

/// An array that is assembled from the cache and from Redis.
pub(super) struct Gathering {
    /// The encoded elements; `None` for outstanding ones.
    pub elements: Vec<Option<Reply>>,
    pub which: Elements,
    pub waiting: usize,
    /// Redis's error reply to one element, which replaces the whole array.
    pub error: Option<Reply>,
    /// The bytes held for the array.
    pub held: usize,
    /// The expected length of each outstanding element.
    pub expected: usize,
    pub words: Words,
}

/// Which elements of an array are gathered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::proxy) enum Elements {
    All,
    /// Some of an array whose header is sent separately.
    Some,
    /// The last elements of such an array.
    Last,
    /// The replies of several nodes, which are merged into one.
    Joined(Join),
}

/// The cost of waiting for a reply from Redis, in bytes.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::proxy) struct Cost {
    /// The bytes held for the request while it waits.
    pub held: usize,
    /// The expected length of the reply.
    pub expected: usize,
}

/// The cost of a place in the queue, in bytes, as `MAX_OWED` counts it.
const SLOT_COST: usize = 64;

impl Slot {
    pub fn cost(&self) -> Cost {
        let (held, expected) = match self {
            Self::End => (0, 0),
            Self::Ready(reply) => (reply.bytes().len(), 0),
            Self::Held(bytes) => (bytes.len(), 0),
            Self::Waiting(cost) => (cost.held, cost.expected),
            Self::Gathering(gathering) => (gathering.held, gathering.waiting * gathering.expected),
        };
        Cost {
            held: SLOT_COST + held,
            expected,
        }
    }
}
