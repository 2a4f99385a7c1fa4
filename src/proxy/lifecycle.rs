//! Clients arrive, are busy or idle, and leave.

use super::ending::Ending;
use super::identity::{Identity, Peer};
use super::replies::Replies;
use super::session::Session;
use super::{ClientId, Proxy};
use crate::clock::Time;
use crate::resp::reply::Reply;
use crate::rules::Listener;

impl Proxy {
    /// Registers a client in a free slot.
    pub fn connect(&mut self, client: ClientId, peer: Option<Peer>, now: Time) {
        if self.sessions.len() == self.sessions.capacity() {
            // Doubling would reserve much memory for clients that may never connect.
            self.sessions.reserve_exact(self.sessions.len() / 8 + 16);
        }
        while self.sessions.len() <= client.0 {
            let identity = Identity::new(0, false, self.engine.databases.home, now);
            self.sessions
                .push(Session::new(identity, Replies::default()));
        }
        let clients = &mut self.engine.metrics.clients;
        clients.connected += 1;
        clients.total += 1;
        let mut identity = Identity::new(
            clients.total,
            !self.engine.access.is_restricted(),
            self.engine.databases.home,
            now,
        );
        if let Some(Peer::Unix(_)) = peer {
            identity.listener = Listener::UnixSocket;
        }
        identity.peer = peer;
        self.engine.assign_guard(&mut identity);
        self.engine.numbers.connected(identity.id, client);
        self.engine.buffers.add_client();
        self.start_session(client, identity);
    }

    /// Sets the file descriptor of a client's socket, for `CLIENT LIST`.
    pub fn note_descriptor(&mut self, client: ClientId, descriptor: i32) {
        self.sessions[client.0].identity.descriptor = descriptor;
    }

    /// Sets the listener that a client connected to.
    pub fn note_listener(&mut self, client: ClientId, listener: Listener) {
        let identity = &mut self.sessions[client.0].identity;
        identity.listener = listener;
        self.engine.assign_guard(identity);
    }

    /// Refuses a client that has just connected: it gets this error, and is closed.
    pub fn refuse(&mut self, client: ClientId, error: &str) {
        let session = &mut self.sessions[client.0];
        session.replies.push(Reply::error(error.as_bytes()));
        session.end(Ending::Protected);
        self.engine.metrics.clients.refused += 1;
        self.note_change(client);
    }

    /// Whether a client has been sent all its replies and will send no more requests.
    #[must_use]
    pub fn is_done(&self, client: ClientId) -> bool {
        self.sessions[client.0].is_done()
    }

    /// Whether a client is in the middle of something: a request, a transaction, or waiting for a reply.
    #[must_use]
    pub fn is_busy(&self, client: ClientId) -> bool {
        self.sessions[client.0].is_busy()
    }

    /// Since when a client has been idle, if it is the client that must act next: it waits for no reply and for no
    /// messages.
    #[must_use]
    pub fn silent_since(&self, client: ClientId) -> Option<Time> {
        self.sessions[client.0].silent_since()
    }

    /// Why a client is to be closed, if it is.
    #[must_use]
    pub fn ending(&self, client: ClientId) -> Option<&Ending> {
        self.sessions[client.0].ending.as_ref()
    }

    /// The id that `CLIENT ID` returns, and the client's address.
    #[must_use]
    pub fn peer(&self, client: ClientId) -> (u64, Option<&Peer>) {
        let identity = &self.sessions[client.0].identity;
        (identity.id, identity.peer.as_ref())
    }

    /// A client has left. What was fetched for it alone is still cached.
    pub fn disconnect(&mut self, client: ClientId, now: Time) {
        self.invalidate_in_flight(client);
        self.engine
            .numbers
            .left(self.sessions[client.0].identity.id);
        self.engine.leave_walk(self.sessions[client.0].identity.id);
        self.wake_if_numbered();
        let clients = &mut self.engine.metrics.clients;
        clients.connected -= 1;
        clients.blocked -= u64::from(self.sessions[client.0].blocked);
        self.start_session(
            client,
            Identity::new(0, false, self.engine.databases.home, now),
        );
        self.engine.buffers.remove_client();
    }

    fn start_session(&mut self, client: ClientId, identity: Identity) {
        let session = &mut self.sessions[client.0];
        let mut replies = std::mem::take(&mut session.replies);
        replies.forget_all();
        self.engine.buffers.change(client, session.held, 0);
        *session = Session {
            changed: session.changed,
            ..Session::new(identity, replies)
        };
    }
}
