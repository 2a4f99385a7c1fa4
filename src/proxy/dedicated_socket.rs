//! What the shell, which has the sockets, asks about clients' dedicated connections.

use super::{ClientId, Proxy};
use crate::resp::reply::Output;
use crate::transport::dial::Endpoint;

impl Proxy {
    /// The bytes to send on a client's dedicated connection to Redis; `None` if the client is to have no such
    /// connection.
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

    /// Whether a dedicated connection has delivered a `READONLY` error, so that it leads to a replica. Reports each
    /// occurrence once.
    pub fn takes_readonly(&mut self) -> bool {
        std::mem::take(&mut self.readonly)
    }

    /// Whether to read from a client's dedicated connection: not while too many replies are outstanding for the client.
    #[must_use]
    pub fn wants_dedicated_input(&self, client: ClientId) -> bool {
        !self.sessions[client.0].replies.full()
    }

    /// Whether to close the writing side of a client's dedicated connection: the client has closed its own side, and
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

    /// Whether a client's dedicated connection is set up, including the client's own `AUTH`. A connection for a single
    /// request always counts as set up: a request that ends a script may have to wait for Redis's `BUSY` error, which
    /// can take longer than any timeout of the proxy.
    #[must_use]
    pub fn dedicated_is_set_up(&self, client: ClientId) -> bool {
        let dedicated = self.sessions[client.0].dedicated.as_ref();
        dedicated.is_none_or(|dedicated| dedicated.is_set_up() || dedicated.is_for_one_request())
    }

    /// Whether a client only borrows its dedicated connection. It then waits for the setup as for a reply, until the
    /// timeout of replies: it has not asked for the connection, and would wait for a busy Redis anyway.
    #[must_use]
    pub fn waits_for_borrowed(&self, client: ClientId) -> bool {
        let dedicated = self.sessions[client.0].dedicated.as_ref();
        dedicated.is_some_and(|dedicated| dedicated.borrowed().is_some())
    }

    /// Whether nothing is in flight on a client's dedicated connection, and `RESET` would remove all its state. `RESET`
    /// does not remove a library name, nor redirections of other clients' invalidations to the connection.
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
