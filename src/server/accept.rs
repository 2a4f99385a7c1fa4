//! Clients that come.

use std::io::{self, ErrorKind, Write};
use std::net::SocketAddr;
use std::time::Duration;

use mio::Interest;
use mio::net::{TcpListener, TcpStream};

use super::connection::Connection;
use super::{Server, tokens};
use crate::clock::Time;
use crate::proxy::ClientId;

/// How long accepting pauses when there are no file descriptors left, unless a client leaves before.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How many clients are accepted before the others are served again.
const ACCEPTED_AT_ONCE: usize = 256;

/// File descriptors that the proxy needs beside its clients': standard streams, poll, waker, signals,
/// listener, Redis, and some for name look-ups.
const OWN_FILES: u64 = 32;

/// Whether clients wait to be accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Accept {
    /// The next event tells.
    Idle,
    /// Some may.
    Pending,
    /// Some do, who can't be accepted before that moment.
    Paused(Time),
}

impl Accept {
    /// When to accept, if no event tells before.
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

    /// Accepts the next, if there is one who has not left meanwhile, and notes whether more may wait.
    ///
    /// # Errors
    /// If it can't be accepted, as without file descriptors: then accepting pauses.
    pub fn next(
        &mut self,
        listener: &TcpListener,
        now: Time,
    ) -> io::Result<Option<(TcpStream, SocketAddr)>> {
        *self = Self::Pending;
        match listener.accept() {
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
    /// Accepts those who wait.
    pub(super) fn accept(&mut self) {
        for _ in 0..ACCEPTED_AT_ONCE {
            if !self.accept.is_due(self.now) {
                return;
            }
            let Some(listener) = &self.listener else {
                // The proxy shuts down; an event from before may still have come.
                self.accept = Accept::Idle;
                return;
            };
            match self.accept.next(listener, self.now) {
                Ok(Some((socket, address))) => {
                    self.out_of_files = false;
                    self.welcome(socket, address);
                }
                Ok(None) => {}
                Err(error) => {
                    if !std::mem::replace(&mut self.out_of_files, true) {
                        self.log_unaccepted(&error);
                    }
                }
            }
        }
    }

    fn welcome(&mut self, mut socket: TcpStream, address: SocketAddr) {
        if self.connections.len() >= self.max_clients {
            // As Redis: one attempt to say why.
            let _ = socket.write(b"-ERR max number of clients reached\r\n");
            self.proxy.metrics().clients.refused += 1;
            return self.log_refused(address, "there are max_clients of them");
        }
        let entry = self.connections.vacant_entry();
        let client = ClientId(entry.key());
        let interest = Interest::READABLE | Interest::WRITABLE;
        let registered = self
            .poll
            .registry()
            .register(&mut socket, tokens(client).0, interest);
        if let Err(error) = registered.and_then(|()| socket.set_nodelay(true)) {
            return self.log_refused(address, &error.to_string());
        }
        let local = socket.local_addr().unwrap_or(address);
        entry.insert(Connection::new(socket));
        self.idle.note_client(self.now);
        self.proxy.connect(client, Some((address, local)), self.now);
        let (client, _) = self.proxy.peer(client);
        log::debug!(client, address:%; "client connected");
    }
}

/// Raises the limit of open files to what so many clients need, beside so many files of others; where that is
/// not allowed, says so and returns how many fit.
pub(super) fn clients_that_fit(max_clients: usize, others: u64) -> usize {
    let reserved = OWN_FILES + others;
    let wanted = max_clients as u64 + reserved;
    // Each may come to need a dedicated connection to Redis too.
    let limit = match rlimit::increase_nofile_limit(wanted + max_clients as u64) {
        Ok(limit) if limit >= wanted => return max_clients,
        Ok(limit) => limit,
        Err(error) => {
            log::warn!(reason:% = error; "can't tell how many files may be open");
            return max_clients;
        }
    };
    let fit = usize::try_from(limit.saturating_sub(reserved))
        .unwrap_or(usize::MAX)
        .clamp(1, max_clients);
    log::warn!(
        max_clients = fit, open_files = limit;
        "max_clients lowered to what the limit of open files allows"
    );
    fit
}
