//! Accepts clients.

use std::io::{self, ErrorKind};
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Duration;

use rustix::net::{SendFlags, send};

use super::connection::Connection;
use super::{Server, protection, tokens};
use crate::clock::Time;
use crate::proxy::{ClientId, Peer};
use crate::rules::Listener;
use crate::tls::Acceptor;
use crate::transport::Transport;

/// How long a client may take for the TLS handshake.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// How long accepting pauses when no file descriptors are left, unless a client leaves earlier.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How many clients are accepted in one go, before the others are served again.
const ACCEPTED_AT_ONCE: usize = 256;

/// File descriptors that the proxy needs besides those of its clients: standard streams, poll, waker, signals,
/// listeners, Redis, and some for name look-ups.
const OWN_FILES: u64 = 32;

/// An accepted client.
pub(super) struct Accepted {
    pub socket: OwnedFd,
    pub peer: Peer,
    /// What performs its TLS handshake, if it uses TLS.
    pub tls: Option<Acceptor>,
}

/// Whether clients wait to be accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Accept {
    /// Not known; the next event will show.
    Idle,
    /// Clients may be waiting.
    Pending,
    /// Clients are waiting, but can't be accepted before this time.
    Paused(Time),
}

impl Accept {
    /// When to accept, unless an event comes first.
    pub fn due(self) -> Option<Time> {
        match self {
            Self::Idle => None,
            Self::Pending => Some(Time::default()),
            Self::Paused(until) => Some(until),
        }
    }

    /// Whether to accept now.
    pub fn is_due(self, now: Time) -> bool {
        self.due().is_some_and(|due| due <= now)
    }

    /// Accepts the next client, unless it has left meanwhile, and notes whether more may be waiting.
    ///
    /// # Errors
    /// If the client can't be accepted, for example for lack of file descriptors. Accepting then pauses.
    pub fn next<T>(
        &mut self,
        accept: impl FnOnce() -> io::Result<T>,
        now: Time,
    ) -> io::Result<Option<T>> {
        *self = Self::Pending;
        match accept() {
            Ok(accepted) => Ok(Some(accepted)),
            Err(error) => match error.kind() {
                ErrorKind::WouldBlock => {
                    *self = Self::Idle;
                    Ok(None)
                }
                ErrorKind::Interrupted | ErrorKind::ConnectionAborted => Ok(None),
                _ => {
                    *self = Self::Paused(now.after(ACCEPT_PAUSE));
                    Err(error)
                }
            },
        }
    }
}

impl Server {
    /// Accepts the waiting clients.
    pub(super) fn accept(&mut self) {
        for _ in 0..ACCEPTED_AT_ONCE {
            match self.listeners.accept(self.now) {
                Ok(Some(accepted)) => {
                    self.out_of_files = false;
                    self.welcome(accepted);
                }
                Ok(None) if self.listeners.due().is_some_and(|due| due <= self.now) => {}
                Ok(None) => return,
                Err(error) => {
                    if !std::mem::replace(&mut self.out_of_files, true) {
                        self.log_unaccepted(&error);
                    }
                }
            }
        }
    }

    fn welcome(&mut self, accepted: Accepted) {
        let Accepted { socket, peer, tls } = accepted;
        if self.connections.len() >= self.max_clients {
            // Like Redis, tries once to say why. This is not possible with a TLS client before its handshake.
            if tls.is_none() {
                let why = b"-ERR max number of clients reached\r\n";
                let _ = send(&socket, why, SendFlags::NOSIGNAL);
            }
            self.proxy.metrics().clients.refused += 1;
            return self.log_refused(&peer, "max_clients is reached");
        }
        let is_tls = tls.is_some();
        let is_refused = self.protection.refuses(&peer, is_tls);
        let client = ClientId(self.connections.vacant_key());
        let descriptor = socket.as_raw_fd();
        let stream = match tls.map(|acceptor| acceptor.open()).transpose() {
            Ok(Some(tls)) => {
                let deadline = self.now.after(HANDSHAKE);
                self.handshakes.push_back((deadline, client));
                Transport::accepted_by_tls(socket, tls, deadline)
            }
            Ok(None) => Transport::accepted(socket),
            Err(error) => return self.log_refused(&peer, &error.to_string()),
        };
        if let Err(error) = stream.register(self.poll.registry(), tokens(client).0) {
            return self.log_refused(&peer, &error.to_string());
        }
        if self.connections.len() == self.connections.capacity() {
            // As the core does for its sessions.
            self.connections
                .reserve_exact(self.connections.len() / 8 + 16);
        }
        self.connections.insert(Connection::new(stream));
        self.idle.note_client(self.now);
        self.proxy.connect(client, Some(peer.clone()), self.now);
        self.proxy.note_descriptor(client, descriptor);
        if is_tls {
            self.proxy.note_listener(client, Listener::TlsPort);
        }
        let (number, address) = self.proxy.peer(client);
        log::debug!(client = number, address = address.map(Peer::to_string); "client connected");
        if is_refused {
            self.proxy.refuse(client, protection::DENIED);
            self.log_refused(
                &peer,
                "it comes from another host, and protected mode is on",
            );
        }
    }
}

/// Raises the limit of open files to what `max_clients` clients need in addition to `others`. If that is not permitted,
/// logs it and returns for how many clients the limit suffices.
pub(super) fn clients_that_fit(max_clients: usize, others: u64) -> usize {
    let reserved = OWN_FILES + others;
    let wanted = max_clients as u64 + reserved;
    // Each client may later need a dedicated connection to Redis too.
    let limit = match rlimit::increase_nofile_limit(wanted + max_clients as u64) {
        Ok(limit) if limit >= wanted => return max_clients,
        Ok(limit) => limit,
        Err(error) => {
            log::warn!(reason:% = error; "cannot read the open-file limit");
            return max_clients;
        }
    };
    let fit = usize::try_from(limit.saturating_sub(reserved))
        .unwrap_or(usize::MAX)
        .clamp(1, max_clients);
    log::warn!(
        max_clients = fit, open_files = limit;
        "max_clients lowered to the open-file limit"
    );
    fit
}
