//! What becomes of clients when all together hold too much: the largest are not read from, and leave if that does not
//! help.

use super::ending::Ending;
use super::{ClientId, Proxy};
use crate::clock::Time;

impl Proxy {
    /// Bounds what all clients together hold beside the cache, in bytes; 0 for no limit.
    pub fn limit_buffers(&mut self, bytes: usize) {
        self.store.buffers.set_limit(bytes);
    }

    /// How many further bytes of a client are wanted now. What can't be executed yet is kept, as long as there is room.
    #[must_use]
    pub fn input_room(&self, client: ClientId) -> usize {
        let session = &self.sessions[client.0];
        if session.is_ending() {
            0
        } else {
            self.store.buffers.room(session.held)
        }
    }

    /// Whether clients are slowed since all together hold too much.
    #[must_use]
    pub fn is_short_of_buffers(&self) -> bool {
        self.store.buffers.is_scarce()
    }

    /// Since when a client that holds something has neither sent nor executed anything, unless it waits for Redis.
    #[must_use]
    pub fn stalled_since(&self, client: ClientId) -> Option<Time> {
        let session = &self.sessions[client.0];
        (session.held > 0 && !session.is_ending() && session.waits_for_itself())
            .then_some(session.identity.last_request)
    }

    /// Closes the largest of these clients, until what is left is half of what whoever comes first may have.
    pub fn evict_stalled(&mut self, mut stalled: Vec<ClientId>) {
        stalled.sort_unstable_by_key(|client| self.sessions[client.0].held);
        while !self.store.buffers.is_half_free()
            && let Some(client) = stalled.pop()
        {
            self.evict(client);
        }
    }

    /// Closes the largest clients, as long as more is held than may be: replies came that can't be sent back.
    pub(super) fn evict_largest(&mut self) {
        while self.store.buffers.is_exceeded() {
            let sizes = self.sessions.iter().enumerate();
            let largest = sizes.max_by_key(|(_, session)| session.held);
            match largest {
                Some((slot, session)) if session.held > 0 => self.evict(ClientId(slot)),
                _ => return,
            }
        }
    }

    /// Whether there is room again, and those who had to wait for it were not told.
    #[must_use]
    pub fn has_room_again(&self) -> bool {
        self.store.buffers.is_relieved()
    }

    /// Has [`Self::next_changed`] name those who had to wait for room, if there is some again. Returns whether there
    /// is.
    pub fn end_shortage(&mut self) -> bool {
        let relieved = self.store.buffers.take_relief();
        if relieved {
            for slot in 0..self.sessions.len() {
                self.note_change(ClientId(slot));
            }
        }
        relieved
    }

    /// Counts anew what a client holds.
    pub(super) fn count_held(&mut self, client: ClientId) {
        self.sessions[client.0].count_held(&mut self.store.buffers);
        self.evict_largest();
    }

    fn evict(&mut self, client: ClientId) {
        self.store.metrics.clients.evicted += 1;
        self.invalidate_in_flight(client);
        self.sessions[client.0].abort(Ending::Buffers);
        self.note_change(client);
    }
}
