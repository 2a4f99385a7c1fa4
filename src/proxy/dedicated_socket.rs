//! What the shell asks about a client's dedicated connection, to which it has the socket.

use super::{ClientId, Proxy};
use crate::resp::reply::Output;
use crate::transport::dial::Endpoint;

impl Proxy {
    /// The bytes to send on a client's dedicated connection to Redis, if it is to have one.
    pub fn dedicated(&mut self, client: ClientId) -> Option<&mut Output> {
        self.sessions[client.0]
            .dedicated
            .as_mut()
            .map(|dedicated| &mut dedicated.to_redis)
    }

    /// Whether a client has a dedicated connection that it does not use at present.
    #[must_use]
    pub fn has_unused_dedicated(&self, client: ClientId) -> bool {
        let dedicated = self.sessions[client.0].dedicated.as_ref();
        dedicated.is_some_and(|dedicated| dedicated.is_parked())
    }

    /// The endpoint of a client's dedicated connection.
    #[must_use]
    pub fn redis_endpoint(&self, client: ClientId) -> Option<Endpoint> {
        let dedicated = self.sessions[client.0].dedicated.as_ref();
        let node = dedicated.map_or_else(|| self.engine.any_node(), |dedicated| dedicated.node);
        self.engine.server(node).endpoint.clone()
    }

    /// Whether a dedicated connection has turned out to lead to a replica, by an error that it delivered. Reports it
    /// once.
    pub fn takes_readonly(&mut self) -> bool {
        std::mem::take(&mut self.readonly)
    }

    /// Whether to read from a client's dedicated connection: the client has read what came before.
    #[must_use]
    pub fn wants_dedicated_input(&self, client: ClientId) -> bool {
        !self.sessions[client.0].replies.full()
    }

    /// Whether the writing side of a client's dedicated connection is to be closed: the client has closed its own, and
    /// Redis may act on it.
    #[must_use]
    pub fn dedicated_is_at_end(&self, client: ClientId) -> bool {
        let session = &self.sessions[client.0];
        let passes_end_on = session.dedicated.as_ref().is_some_and(|dedicated| {
            // Requests held back behind a RESET or QUIT are not for this connection.
            let is_all = !session.held_back
                || dedicated.is_blocked() && dedicated.holds_back(session.rest());
            is_all && dedicated.to_redis.is_empty() && dedicated.passes_end_on()
        });
        session.is_ending() && passes_end_on
    }

    /// Whether a client's dedicated connection is set up, including the client's own `AUTH`. Requests that end a script
    /// may wait until Redis replies that it is busy, which takes Redis longer than any timeout of the proxy.
    #[must_use]
    pub fn dedicated_is_set_up(&self, client: ClientId) -> bool {
        let dedicated = self.sessions[client.0].dedicated.as_ref();
        dedicated.is_none_or(|dedicated| dedicated.is_set_up() || dedicated.is_for_one_request())
    }

    /// Whether a client waits for its dedicated connection to be set up as it would for a reply, until the timeout of
    /// replies: it has not asked for one, and would wait for a busy Redis anyway.
    #[must_use]
    pub fn waits_for_borrowed(&self, client: ClientId) -> bool {
        let dedicated = self.sessions[client.0].dedicated.as_ref();
        dedicated.is_some_and(|dedicated| dedicated.borrowed().is_some())
    }

    /// Whether nothing is in flight on a client's dedicated connection, and `RESET` would remove all its state, which
    /// does not include a library name, or that others redirect invalidations there.
    #[must_use]
    pub fn leaves_dedicated_clean(&self, client: ClientId) -> bool {
        let session = &self.sessions[client.0];
        let dedicated = session.dedicated.as_ref();
        dedicated.is_some_and(|dedicated| dedicated.is_clean())
            && session.identity.library.is_empty()
            && session.identity.library_version.is_empty()
            && !self.engine.numbers.is_target(session.identity.id)
    }
}
