//! What clients send: whether to read it, and when to execute it.

use std::time::Duration;

use super::ending::Ending;
use super::waiting::WaitsFor;
use super::{ClientId, Proxy};
use crate::clock::Time;

impl Proxy {
    /// Handles bytes that a client has sent, the last of which arrived at `now`. When this returns, its requests are
    /// answered or on their way; the caller then reports to [`Self::end_run`].
    pub fn receive(&mut self, client: ClientId, bytes: &[u8], now: Time) {
        let session = &self.sessions[client.0];
        if session.input.is_empty() && !session.held_back {
            let used = self.run(client, bytes, now);
            if used == bytes.len() {
                // The outstanding replies are counted after the socket has taken what it can.
                return;
            }
            self.sessions[client.0].input.extend(&bytes[used..]);
        } else {
            self.sessions[client.0].input.extend(bytes);
            self.sessions[client.0].identity.last_request = now;
            if !self.sessions[client.0].held_back || self.can_resume(client) {
                self.resume(client, now);
            } else {
                // There may be more to read.
                self.note_change(client);
            }
        }
        self.count_held(client);
    }

    /// Resumes requests that were held back, as far as they can be executed now.
    #[inline(never)]
    pub fn resume(&mut self, client: ClientId, now: Time) {
        let mut input = std::mem::take(&mut self.sessions[client.0].input);
        let used = self.run(client, input.rest(), now);
        input.consume(used);
        let session = &mut self.sessions[client.0];
        // Continuing an MGET may also end the replies.
        if session.replies.ends() {
            return self.end_without_redis(client);
        }
        // An aborted client keeps nothing.
        if !session.is_ending() || session.held_back {
            session.input = input;
        }
        self.count_held(client);
    }

    /// Whether [`Self::end_run`] is to time the requests just handled.
    #[must_use]
    pub fn is_run_timed(&self) -> bool {
        self.engine.metrics.commands.is_run_timed()
    }

    /// The requests just received or resumed were handled in that time.
    pub fn end_run(&mut self, elapsed: Duration) {
        self.engine.metrics.end_run(elapsed);
    }

    /// Reads nothing more from a client: it has closed its side, or the proxy is shutting down.
    pub fn end_of_input(&mut self, client: ClientId, why: Ending) {
        self.sessions[client.0].end(why);
        self.note_change(client);
    }

    /// Whether to read from a client now.
    #[must_use]
    pub fn wants_input(&self, client: ClientId) -> bool {
        self.input_room(client) > 0
    }

    /// Whether requests are held back that can be executed now.
    #[must_use]
    pub fn can_resume(&self, client: ClientId) -> bool {
        let session = &self.sessions[client.0];
        session.held_back && session.may_run()
    }

    /// Resumes the next client that a permit for a large reply is left for.
    pub(super) fn resume_permitted(&mut self) {
        while let Some(client) = self.engine.next_permitted() {
            let session = &mut self.sessions[client.0];
            if session.waits_for == WaitsFor::Permit {
                session.waits_for = WaitsFor::Nothing;
                return self.note_change(client);
            }
        }
    }

    /// Resumes the clients that wait for `waits_for`.
    pub(super) fn wake(&mut self, waits_for: WaitsFor) {
        for slot in 0..self.sessions.len() {
            if self.sessions[slot].waits_for == waits_for {
                self.sessions[slot].waits_for = WaitsFor::Nothing;
                self.note_change(ClientId(slot));
            }
        }
    }
}
