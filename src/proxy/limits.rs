//! What happens to clients when all together hold too much: the proxy stops reading from the largest, and closes them
//! if that does not help.

use super::ending::Ending;
use super::{ClientId, Proxy};
use crate::order::sort_by_number;

impl Proxy {
    /// Bounds the memory that all clients together hold besides the cache, in bytes; 0 for no limit.
    pub fn limit_buffers(&mut self, bytes: usize) {
        self.engine.buffers.set_limit(bytes);
    }

    /// How many more bytes may be read from a client now. Requests that can't be executed yet are buffered, so that a
    /// client may send a whole pipeline before it reads a reply. But nothing is read from a client while it waits for
    /// Redis, or while it has requests that can be executed.
    #[must_use]
    pub fn input_room(&self, client: ClientId) -> usize {
        let session = &self.sessions[client.0];
        let waits = session.held_back && (session.may_run() || session.replies.output.is_empty());
        if session.is_ending() || waits && !session.looks_for_end() {
            return 0;
        }
        let in_request = session.is_in_request();
        self.engine.buffers.room(client, session.held, in_request)
    }

    /// Whether clients are slowed because all together hold too much.
    #[must_use]
    pub fn is_short_of_buffers(&self) -> bool {
        self.engine.buffers.is_scarce()
    }

    /// How many bytes a client holds, if they are more than its share and it waits neither for Redis nor for its turn:
    /// then it continues only when there is more room, or when the client itself does something.
    #[must_use]
    pub fn beyond_its_share(&self, client: ClientId) -> Option<usize> {
        let session = &self.sessions[client.0];
        let is_beyond = session.held >= self.engine.buffers.share();
        (is_beyond && !session.is_ending() && session.waits_for_itself()).then_some(session.held)
    }

    /// The client that may be read from beyond its share, so that its pipeline can complete.
    #[must_use]
    pub fn favored(&self) -> Option<ClientId> {
        self.engine.buffers.favored()
    }

    /// Favors another client, or none.
    pub fn favor(&mut self, client: Option<ClientId>) {
        self.engine.buffers.favor(client);
    }

    /// How many bytes were freed by clients beyond their share while room was scarce.
    #[must_use]
    pub fn freed_buffers(&self) -> usize {
        self.engine.buffers.freed()
    }

    /// The most bytes that all clients together may hold; 0 for no limit.
    #[must_use]
    pub fn max_buffers(&self) -> usize {
        self.engine.buffers.limit()
    }

    /// Closes the largest of these clients, until there is room again.
    pub fn evict_stalled(&mut self, mut stalled: Vec<ClientId>) {
        sort_by_number(&mut stalled, |client| self.sessions[client.0].held as u64);
        while self.engine.buffers.is_scarce()
            && let Some(client) = stalled.pop()
        {
            self.evict(client);
        }
    }

    /// Closes the largest clients while the limit is exceeded, as replies that have arrived can't be refused. One
    /// client that holds a single large request or reply is exempt.
    #[inline]
    pub(super) fn evict_largest(&mut self) {
        if self.engine.buffers.is_exceeded() {
            self.evict_exceeding();
        }
    }

    #[inline(never)]
    fn evict_exceeding(&mut self) {
        while self.engine.buffers.is_exceeded() {
            let sizes = self.sessions.iter().enumerate();
            let others =
                sizes.filter(|(slot, _)| !self.engine.buffers.stands_alone(ClientId(*slot)));
            let Some((slot, session)) = others.max_by_key(|(_, session)| session.held) else {
                return;
            };
            let (client, held, single) = (ClientId(slot), session.held, session.holds_one_thing());
            if held == 0 {
                return;
            }
            if !single || !self.engine.buffers.let_stand_alone(client, held) {
                self.evict(client);
            }
        }
    }

    /// Whether there is room again, and the clients that wait for it have not been notified.
    #[must_use]
    pub fn has_room_again(&self) -> bool {
        self.engine.buffers.is_relieved()
    }

    /// Makes [`Self::next_changed`] name the clients that waited for room, if there is room again. Returns whether
    /// there is.
    pub fn end_shortage(&mut self) -> bool {
        let relieved = self.engine.buffers.take_relief();
        if relieved {
            for slot in 0..self.sessions.len() {
                self.note_change(ClientId(slot));
            }
        }
        relieved
    }

    /// Recounts what a client holds, and closes the largest clients if all together hold too much. The path of a hit
    /// that is sent at once does not come here.
    #[inline(never)]
    pub(super) fn count_held(&mut self, client: ClientId) {
        if self.sessions[client.0].count_held(client, &mut self.engine.buffers) {
            self.evict_largest();
        }
    }

    fn evict(&mut self, client: ClientId) {
        self.engine.metrics.clients.evicted += 1;
        self.invalidate_in_flight(client);
        let held = self.sessions[client.0].held;
        self.sessions[client.0].abort(Ending::Evicted { held });
        self.sessions[client.0].count_held(client, &mut self.engine.buffers);
        self.note_change(client);
    }
}
