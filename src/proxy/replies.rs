//! What one client is owed: its replies in the order of its requests, whether they are there already or
//! have to wait for Redis.

use std::collections::VecDeque;

use super::MAX_OWED;
use crate::cache::Value;
use crate::resp::reply::{self, Output, Reply};

/// The replies owed to a client.
///
/// As long as none has to wait, each goes straight to the output. From the first that waits on, all
/// queue up behind it.
#[derive(Default)]
pub(super) struct Replies {
    /// What is ready to be sent.
    pub output: Output,
    /// From the oldest reply that waits for Redis to the newest reply.
    queue: VecDeque<Slot>,
    /// The place of the front of the queue.
    front: u64,
    /// The bytes that the queue holds, as [`MAX_OWED`] counts them.
    queued: usize,
}

/// The place of a reply among all that its slot's clients were ever owed: none is used twice, so what
/// comes for a client that left finds nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place(u64);

enum Slot {
    Ready(Reply),
    /// Redis was asked; `cost` bytes are held for it.
    Waiting {
        cost: usize,
    },
}

/// What a place in the queue costs, in bytes, as [`MAX_OWED`] counts it.
const SLOT_COST: usize = 64;

impl Replies {
    /// Whether so much is owed that further requests have to wait.
    pub fn full(&self) -> bool {
        self.output.len() + self.queued >= MAX_OWED
    }

    /// Whether nothing is owed.
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty() && self.output.is_empty()
    }

    /// Gives the output a buffer from `spare`, if it has none.
    pub fn ensure_buffer(&mut self, spare: &mut Vec<Vec<u8>>) {
        if !self.output.has_buffer()
            && let Some(buffer) = spare.pop()
        {
            self.output.give_buffer(buffer);
        }
    }

    /// Adds a reply.
    pub fn push(&mut self, reply: Reply) {
        if self.queue.is_empty() {
            self.output.push(reply);
        } else {
            self.queued += SLOT_COST + reply.bytes().len();
            self.queue.push_back(Slot::Ready(reply));
        }
    }

    /// Adds a bulk string reply.
    pub fn push_bulk(&mut self, value: &[u8]) {
        if self.queue.is_empty() {
            self.output.write(|out| reply::bulk(out, value));
        } else {
            let mut encoded = Vec::with_capacity(value.len() + 16);
            reply::bulk(&mut encoded, value);
            self.push(Reply::Owned(encoded.into()));
        }
    }

    /// Adds a cached value.
    pub fn push_value(&mut self, value: &Value<'_>) {
        match value {
            Value::Bytes(bytes) => self.push_bulk(bytes),
            Value::Shared(encoded) => self.push(Reply::Shared((*encoded).clone())),
        }
    }

    /// Adds a reply that Redis will give. Waiting for it holds `cost` bytes.
    pub fn wait(&mut self, cost: usize) -> Place {
        let place = Place(self.front + self.queue.len() as u64);
        let cost = SLOT_COST + cost;
        self.queued += cost;
        self.queue.push_back(Slot::Waiting { cost });
        place
    }

    /// The reply for a place came.
    pub fn fill(&mut self, place: Place, reply: Reply) {
        let Some(slot) = self.slot(place) else { return };
        let Slot::Waiting { cost } = *slot else {
            return;
        };
        let now = SLOT_COST + reply.bytes().len();
        *slot = Slot::Ready(reply);
        self.queued = self.queued + now - cost;
        self.advance();
    }

    /// The reply for a place came; it is copied.
    pub fn fill_copy(&mut self, place: Place, encoded: &[u8]) {
        if place.0 == self.front && matches!(self.queue.front(), Some(Slot::Waiting { .. })) {
            // The usual case: it goes straight on.
            self.output.copy(encoded);
            self.pop_front();
            self.advance();
        } else {
            self.fill(place, Reply::copy(encoded));
        }
    }

    /// The client left: nothing is owed, and nothing that comes for it is taken.
    pub fn forget_all(&mut self) {
        self.front += self.queue.len() as u64;
        self.queue = VecDeque::new();
        self.queued = 0;
        self.output = Output::default();
    }

    fn slot(&mut self, place: Place) -> Option<&mut Slot> {
        let index = place.0.checked_sub(self.front)?;
        self.queue.get_mut(usize::try_from(index).ok()?)
    }

    /// Moves what is ready at the front to the output.
    fn advance(&mut self) {
        while let Some(Slot::Ready(_)) = self.queue.front() {
            if let Some(Slot::Ready(reply)) = self.pop_front() {
                self.output.push(reply);
            }
        }
    }

    fn pop_front(&mut self) -> Option<Slot> {
        let slot = self.queue.pop_front()?;
        self.front += 1;
        self.queued -= match &slot {
            Slot::Ready(reply) => SLOT_COST + reply.bytes().len(),
            Slot::Waiting { cost } => *cost,
        };
        if self.queue.is_empty() {
            self.queue.shrink_to(QUEUE_KEPT);
        }
        Some(slot)
    }
}

/// How many places an empty queue keeps room for.
const QUEUE_KEPT: usize = 16;
