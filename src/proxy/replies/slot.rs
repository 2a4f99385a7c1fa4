//! The place of a reply in the queue of its client, and what it costs to keep it.

use super::super::slow_log::Words;
use crate::command::Join;
use crate::resp::reply::Reply;

/// The position of a reply among all replies ever owed to clients of this slot: none is used twice, so a reply for a
/// client that has left finds no place.
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
    /// Bytes of the client's dedicated connection, which wait for a barrier.
    Held(Vec<u8>),
    /// A reply from Redis.
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
    /// Redis's error to an element, which is the reply to the whole.
    pub error: Option<Reply>,
    /// The bytes that it holds.
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
    /// The bytes held for the request meanwhile.
    pub held: usize,
    /// How long the reply is expected to be.
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
