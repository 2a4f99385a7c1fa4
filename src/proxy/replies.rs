//! The replies of one client in the order of its requests, whether they are ready or still have to come from Redis.

mod gather;
mod join;
mod long_mget;
mod push;
mod slot;

use std::collections::VecDeque;

use super::scripts::Scripts;
use super::spare::Spare;
use super::{MAX_OWED, RUN_REPLIES};
use crate::metrics::ErrorKind;
use crate::resp::reply::{Output, Reply};
pub(super) use long_mget::{LongMget, Stage, key_at};
pub(super) use push::to_reply;
use slot::Slot;
pub(super) use slot::{Cost, Elements, Place};

/// The outstanding replies of a client.
///
/// As long as no reply has to wait, each goes straight to the output. From the first that waits, all queue up behind
/// it.
pub(super) struct Replies {
    /// What is ready to be sent.
    pub output: Output,
    /// From the oldest reply that waits for Redis to the newest reply.
    queue: VecDeque<Slot>,
    /// The place of the front of the queue.
    front: u64,
    /// The bytes that the queue holds, or is expected to hold when Redis has answered.
    queued: usize,
    /// The part of `queued` that has not arrived yet.
    coming: usize,
    /// The most bytes of outstanding replies before further requests have to wait: [`MAX_OWED`], or less while all
    /// clients together hold too much.
    pub most: usize,
    /// The most bytes of outstanding replies before the rest of a long MGET requests no more keys from Redis.
    most_ahead: usize,
    /// The expected length of Redis's replies to this client, in bytes.
    expected: usize,
    /// The rest of an MGET that is being answered. No other request is executed before it is complete.
    pub long_mget: Option<Box<LongMget>>,
    /// A reply that was sent in part can't be completed: the client must be closed.
    pub broken: bool,
    /// The kind of the latest error reply, until it is counted.
    refusal: Option<ErrorKind>,
    /// The client's scripts.
    pub scripts: Scripts,
    /// Redis was lost while the client was connected, and now refuses the proxy.
    outlived: bool,
    /// The places of replies that hooks want to see, in order.
    observed: VecDeque<(Place, Box<Observed>)>,
}

/// A request whose reply hooks want to see.
pub(super) struct Observed {
    /// The hooks, a bit for each.
    pub hooks: u32,
    /// The request, encoded.
    pub request: Box<[u8]>,
}

/// The expected length of a reply to a client that has had none yet, in bytes, so that a pipeline of large ones is not
/// requested all at once.
const EXPECTED_AT_FIRST: usize = 16 * 1024;

/// The most bytes, by expected length, that a long MGET requests from Redis before replies arrive, so that many missing
/// keys take one round trip.
const AHEAD: usize = 16 * MAX_OWED;

impl Default for Replies {
    fn default() -> Self {
        Self {
            output: Output::default(),
            queue: VecDeque::new(),
            front: 0,
            queued: 0,
            coming: 0,
            most: MAX_OWED,
            most_ahead: AHEAD,
            expected: EXPECTED_AT_FIRST,
            long_mget: None,
            broken: false,
            refusal: None,
            scripts: Scripts::default(),
            outlived: false,
            observed: VecDeque::new(),
        }
    }
}

impl Replies {
    /// Whether so many replies are outstanding that further requests, or the rest of a long MGET, have to wait.
    pub fn full(&self) -> bool {
        match self.long_mget {
            None => self.output.len() + self.queued >= self.most,
            Some(_) => self.full_ahead(),
        }
    }

    /// Whether so many replies are outstanding that the rest of a long MGET has to wait.
    pub fn full_ahead(&self) -> bool {
        self.output.len() >= self.most || self.queued >= self.most_ahead
    }

    /// Sets how much may be outstanding, as it depends on what all clients together hold.
    pub fn bound(&mut self, most: usize) {
        self.most = most;
        self.most_ahead = if most < MAX_OWED { most } else { AHEAD };
    }

    /// How many bytes are held for outstanding replies.
    pub fn held(&self) -> usize {
        let rest = self.long_mget.as_ref().map_or(0, |mget| mget.held());
        self.output.held() + self.queued - self.coming + rest
    }

    /// How many more bytes the rest of a long MGET may request from Redis.
    pub fn room_ahead(&self) -> usize {
        self.most_ahead.saturating_sub(self.queued)
    }

    /// The expected length of Redis's replies to this client, from earlier ones, in bytes.
    pub fn expected(&self) -> usize {
        self.expected
    }

    /// Records that Redis sent a reply of `length` bytes.
    pub fn note_length(&mut self, length: usize) {
        self.expected = length.max(self.expected - self.expected.div_ceil(8));
    }

    /// Whether no reply waits for Redis or for a barrier.
    pub fn none_wait(&self) -> bool {
        self.queue.is_empty()
    }

    /// Whether no reply is outstanding.
    pub fn is_empty(&self) -> bool {
        (self.queue.is_empty() || self.is_at_end()) && self.output.is_empty()
    }

    /// Whether the client gets no further reply.
    fn is_at_end(&self) -> bool {
        matches!(self.queue.front(), Some(Slot::End))
    }

    /// Whether the client is to be closed after its outstanding replies.
    pub fn ends(&self) -> bool {
        matches!(self.queue.back(), Some(Slot::End))
    }

    /// Ends the replies at a place: no reply will come for it, nor for any place after it, and the client is closed
    /// there. Returns whether that is new.
    pub fn end_at(&mut self, place: Place) -> bool {
        let Some(index) = place.0.checked_sub(self.front) else {
            return false;
        };
        if matches!(self.queue.get(index as usize), None | Some(Slot::End)) {
            return false;
        }
        self.long_mget = None;
        for at in index as usize..self.queue.len() {
            let slot = std::mem::replace(&mut self.queue[at], Slot::End);
            self.recount(slot.cost(), Slot::End.cost());
        }
        true
    }

    /// Gives the output a buffer from `spare`, if it has none.
    pub fn ensure_buffer(&mut self, spare: &mut Spare) {
        if !self.output.has_buffer()
            && let Some(buffer) = spare.take()
        {
            self.output.give_buffer(buffer);
        }
    }

    /// Makes requests wait once `most` bytes are outstanding, or earlier, when this run has added so many that it is
    /// another client's turn.
    pub fn start_run(&mut self, most: usize) {
        self.bound(most);
        self.most = most.min(self.output.len() + self.queued + RUN_REPLIES);
    }

    /// Adds a reply that will come from Redis.
    pub fn wait(&mut self, cost: Cost) -> Place {
        self.push_slot(Slot::Waiting(cost))
    }

    /// The place of the next reply that waits.
    pub fn next_place(&self) -> Place {
        Place(self.front + self.queue.len() as u64)
    }

    /// Registers hooks that want to see the reply for a place, if one is outstanding there.
    pub fn observe(&mut self, place: Place, observed: Observed) {
        if let Some(Slot::Waiting(_)) = self.slot(place) {
            self.observed.push_back((place, Box::new(observed)));
        }
    }

    /// The hooks that want to see the reply that arrived for a place.
    #[inline]
    pub fn take_observed(&mut self, place: Place) -> Option<Box<Observed>> {
        if self.observed.is_empty() {
            return None;
        }
        let at = self.observed.iter().position(|(of, _)| *of == place)?;
        self.observed.remove(at).map(|(_, observed)| observed)
    }

    /// Adds bytes from the client's dedicated connection.
    pub fn pass(&mut self, bytes: &[u8]) {
        if self.queue.is_empty() {
            self.output.copy(bytes);
        } else {
            self.push_slot(Slot::Ready(Reply::copy(bytes)));
        }
    }

    /// Adds bytes from the client's dedicated connection that must not be sent before they are
    /// [released](Self::release).
    pub fn hold(&mut self, bytes: &[u8]) -> Place {
        self.push_slot(Slot::Held(bytes.to_vec()))
    }

    /// Releases the bytes held at a place.
    pub fn release(&mut self, place: Place) {
        if let Some(slot @ Slot::Held(_)) = self.slot(place)
            && let Slot::Held(bytes) = std::mem::replace(slot, Slot::Ready(Reply::Static(b"")))
        {
            *slot = Slot::Ready(Reply::Owned(bytes.into()));
            self.advance();
        }
    }

    /// Whether a place, or one before it, is still to be filled. If not, the client has left.
    pub fn owes(&self, place: Place) -> bool {
        place.0 >= self.front
    }

    /// Fills a place with the reply that has arrived for it.
    pub fn fill(&mut self, place: Place, reply: Reply) {
        if let Some(slot @ Slot::Waiting(_)) = self.slot(place) {
            let before = slot.cost();
            *slot = Slot::Ready(reply);
            let now = slot.cost();
            self.recount(before, now);
            self.advance();
        }
    }

    /// Fills a place with a copy of the reply that has arrived for it.
    pub fn fill_copy(&mut self, place: Place, encoded: &[u8]) {
        if place.0 == self.front && matches!(self.queue.front(), Some(Slot::Waiting(_))) {
            // The usual case: it goes straight to the output.
            self.output.copy(encoded);
            self.pop_front();
            self.advance();
        } else {
            self.fill(place, Reply::copy(encoded));
        }
    }

    /// Drops everything, because the client has left or is closed: nothing is outstanding, and replies that arrive
    /// later are ignored.
    pub fn forget_all(&mut self) {
        self.front += self.queue.len() as u64;
        self.queue = VecDeque::new();
        self.queued = 0;
        self.coming = 0;
        self.output = Output::default();
        self.scripts = Scripts::default();
        self.expected = EXPECTED_AT_FIRST;
        self.long_mget = None;
        self.broken = false;
        self.outlived = false;
        self.observed = VecDeque::new();
    }

    /// The queue: replies that are ready, and gaps for those that are not.
    #[cfg(test)]
    pub fn queued(&self) -> impl Iterator<Item = Option<&[u8]>> {
        self.queue.iter().flat_map(|slot| match slot {
            Slot::Ready(reply) => vec![Some(reply.bytes())],
            Slot::End => vec![Some(&b"end"[..])],
            Slot::Held(bytes) => vec![Some(&bytes[..])],
            Slot::Waiting(_) => vec![None],
            Slot::Gathering(gathering) => {
                let elements = gathering.elements.iter().chain([&gathering.error]);
                elements
                    .map(|reply| reply.as_ref().map(Reply::bytes))
                    .collect()
            }
        })
    }

    fn push_slot(&mut self, slot: Slot) -> Place {
        // Nothing follows the end.
        let slot = if self.ends() { Slot::End } else { slot };
        let place = Place(self.front + self.queue.len() as u64);
        self.recount(Cost::default(), slot.cost());
        self.queue.push_back(slot);
        place
    }

    /// Replaces the cost of a slot.
    fn recount(&mut self, before: Cost, now: Cost) {
        self.queued = self.queued + now.held + now.expected - before.held - before.expected;
        self.coming = self.coming + now.expected - before.expected;
    }

    fn slot(&mut self, place: Place) -> Option<&mut Slot> {
        let index = place.0.checked_sub(self.front)?;
        self.queue.get_mut(usize::try_from(index).ok()?)
    }

    /// Moves the completed replies at the front to the output.
    fn advance(&mut self) {
        loop {
            match self.queue.front() {
                Some(Slot::Ready(_)) => {}
                Some(Slot::Gathering(gathering)) if gathering.waiting == 0 => {}
                _ => return,
            }
            match self.pop_front() {
                Some(Slot::Ready(reply)) => self.output.push(reply),
                Some(Slot::Gathering(gathering)) => self.push_gathered(*gathering),
                Some(Slot::Waiting(_) | Slot::Held(_) | Slot::End) | None => return,
            }
        }
    }

    fn pop_front(&mut self) -> Option<Slot> {
        let slot = self.queue.pop_front()?;
        self.front += 1;
        self.recount(slot.cost(), Cost::default());
        if self.queue.is_empty() {
            self.queue.shrink_to(QUEUE_KEPT);
        }
        Some(slot)
    }
}

/// How many places the empty queue keeps room for.
const QUEUE_KEPT: usize = 16;
