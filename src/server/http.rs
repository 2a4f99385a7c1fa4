//! The HTTP connections. They are few and short-lived, and are served after the clients.

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::io;
use std::time::Duration;

use mio::event::Event;
use mio::net::{TcpListener, TcpStream};
use mio::{Interest, Registry, Token};
use slab::Slab;

use super::accept::Accept;
use crate::clock::Time;
use crate::http::history::History;
use crate::http::{self, MAX_CONNECTIONS, MAX_HEAD, MAX_TIME, Site};
use crate::proxy::Proxy;
use crate::resp::reply::Output;
use crate::transport::{ReadResult, Transport};

/// The listener's token. Those of connections are below it, down to [`FIRST`].
const LISTENER: Token = Token(usize::MAX - 5);
pub(super) const FIRST: usize = LISTENER.0 - MAX_CONNECTIONS;

/// How many connections are accepted, and how many are read from, in a turn. At most one of them is answered, which
/// takes a fraction of a millisecond: too little for clients to notice.
const AT_ONCE: usize = 8;

/// How long a connection can't be dropped for a new one, while its request is on its way. While no connection can be
/// dropped, new ones wait.
const SAFE: Duration = Duration::from_millis(50);

/// The most file descriptors that HTTP needs.
pub(super) const FILES: u64 = MAX_CONNECTIONS as u64 + 1;

/// Whether a token belongs to HTTP.
pub(super) fn is_ours(token: Token) -> bool {
    (FIRST..=LISTENER.0).contains(&token.0)
}

/// The HTTP server.
pub(super) struct Http {
    listener: TcpListener,
    accept: Accept,
    connections: Slab<Connection>,
    /// Connections to serve, in the order in which they became ready.
    ready: VecDeque<usize>,
    /// How many connections were ever accepted.
    count: u64,
    history: History,
    /// The host names that requests may use.
    names: Vec<String>,
}

/// A connection, which serves one request.
struct Connection {
    socket: Transport,
    /// The number of the connection, and when it was accepted.
    number: u64,
    since: Time,
    /// The head of the request, as far as it has arrived.
    input: Vec<u8>,
    /// The part of the response that has not been sent.
    output: Output,
    /// The response has been written to the output. Further input is dropped.
    answered: bool,
    listed: bool,
}

/// What a turn of the loop provides.
pub(super) struct Turn<'a> {
    pub registry: &'a Registry,
    pub proxy: &'a Proxy,
    pub buffer: &'a mut [u8],
    pub now: Time,
    /// The proxy is shutting down.
    pub shutting_down: bool,
}

impl Http {
    /// Serves the connections of a listener. Requests may use these host names, in addition to addresses and loopback
    /// names.
    ///
    /// # Errors
    /// If the system refuses to poll the listener.
    pub fn start(
        mut listener: TcpListener,
        names: Vec<String>,
        registry: &Registry,
    ) -> io::Result<Self> {
        registry.register(&mut listener, LISTENER, Interest::READABLE)?;
        log::info!(address:% = listener.local_addr()?; "serving HTTP");
        Ok(Self {
            listener,
            accept: Accept::Idle,
            connections: Slab::new(),
            ready: VecDeque::new(),
            count: 0,
            history: History::default(),
            names,
        })
    }

    /// Notes an event.
    pub fn note(&mut self, event: &Event) {
        if event.token() == LISTENER {
            self.accept = Accept::Pending;
        } else if let Some(slot) = event.token().0.checked_sub(FIRST)
            && let Some(connection) = self.connections.get_mut(slot)
        {
            connection.socket.note(event);
            self.list(slot);
        }
    }

    /// When there is something to do, unless an event comes first.
    pub fn due(&self) -> Time {
        if !self.ready.is_empty() {
            return Time::default();
        }
        let ends = self.connections.iter().map(|(_, one)| one.end());
        let due = ends.chain(self.accept.due()).min();
        due.map_or(self.history.due(), |due| due.min(self.history.due()))
    }

    /// Does what is due, part of it in later turns.
    pub fn turn(&mut self, turn: &mut Turn<'_>) {
        if self.due() > turn.now {
            return;
        }
        if self.history.due() <= turn.now {
            self.history.note(&turn.proxy.status(turn.now));
        }
        for _ in 0..AT_ONCE.min(self.ready.len()) {
            if self.serve_next(turn) {
                break;
            }
        }
        self.cut_off(turn.now);
        self.accept(turn);
    }

    fn list(&mut self, slot: usize) {
        if let Some(connection) = self.connections.get_mut(slot)
            && !connection.listed
        {
            connection.listed = true;
            self.ready.push_back(slot);
        }
    }

    /// Serves the connection that has been ready the longest. Returns whether it was answered just now.
    fn serve_next(&mut self, turn: &mut Turn<'_>) -> bool {
        let next = self.ready.pop_front();
        let Some(slot) = next.filter(|&slot| self.connections.contains(slot)) else {
            return false;
        };
        let connection = &mut self.connections[slot];
        connection.listed = false;
        let site = Site {
            status: turn.proxy.status(turn.now),
            history: &self.history,
            names: &self.names,
            shutting_down: turn.shutting_down,
        };
        let before = connection.answered;
        let more = connection.serve(&site, turn.buffer);
        let (answered, readable) = (connection.answered, connection.socket.readable);
        match more {
            Ok(true) if readable => self.list(slot),
            Ok(true) => {}
            Ok(false) | Err(_) => drop(self.connections.remove(slot)),
        }
        answered && !before
    }

    /// Ends connections that have timed out.
    fn cut_off(&mut self, now: Time) {
        self.connections.retain(|_, connection| {
            let over = connection.end() <= now;
            // A connection that never sent anything gets no response either: browsers open some for later use.
            if over && !connection.answered && !connection.input.is_empty() {
                connection.output.copy(&http::too_late());
                // The connection is cut off whether or not the response can be sent.
                let _ = connection.send();
            }
            !over
        });
    }

    /// Accepts some of the waiting connections. If there are too many, the oldest is dropped.
    fn accept(&mut self, turn: &Turn<'_>) {
        for _ in 0..AT_ONCE {
            if !self.accept.is_due(turn.now) {
                return;
            }
            let drop = match self.to_be_dropped() {
                Some((_, safe_until)) if safe_until > turn.now => {
                    self.accept = Accept::Paused(safe_until);
                    return;
                }
                oldest => oldest.map(|(slot, _)| slot),
            };
            if let Ok(Some((stream, _))) = self.accept.next(|| self.listener.accept(), turn.now) {
                if let Some(slot) = drop {
                    self.connections.remove(slot);
                }
                self.welcome(stream, turn);
            }
        }
    }

    /// The slot of the connection to drop for a new one, if that is necessary, and until when it can't be dropped.
    fn to_be_dropped(&self) -> Option<(usize, Time)> {
        if self.connections.len() < MAX_CONNECTIONS {
            return None;
        }
        let oldest = self.connections.iter().min_by_key(|(_, one)| one.number);
        oldest.map(|(slot, one)| (slot, one.since.after(SAFE)))
    }

    fn welcome(&mut self, stream: TcpStream, turn: &Turn<'_>) {
        let entry = self.connections.vacant_entry();
        let token = Token(FIRST + entry.key());
        let socket = Transport::accepted(stream);
        if socket.register(turn.registry, token).is_err() {
            return;
        }
        self.count += 1;
        entry.insert(Connection {
            socket,
            number: self.count,
            since: turn.now,
            input: Vec::new(),
            output: Output::default(),
            answered: false,
            listed: false,
        });
    }
}

impl Connection {
    fn end(&self) -> Time {
        self.since.after(MAX_TIME)
    }

    /// Reads once, responds if possible, and sends what the socket accepts. Returns whether there is more to do.
    fn serve(&mut self, site: &Site<'_>, buffer: &mut [u8]) -> io::Result<bool> {
        let mut at_end = false;
        if self.socket.readable {
            // There is always room, as a head that fills the buffer was refused.
            let room = MAX_HEAD - self.input.len();
            match self.socket.read(&mut buffer[..room])? {
                ReadResult::Bytes(length) if !self.answered => {
                    self.input.extend_from_slice(&buffer[..length]);
                    self.answer(site);
                }
                ReadResult::Bytes(_) | ReadResult::Nothing => {}
                ReadResult::End => at_end = true,
            }
        }
        if self.answered {
            self.send()?;
        }
        // A client that only closed its own side still reads.
        Ok(!at_end || !self.output.is_empty())
    }

    fn answer(&mut self, site: &Site<'_>) {
        if let Some(response) = http::respond(&self.input, site) {
            self.output.copy(&response);
            self.input = Vec::new();
            self.answered = true;
        }
    }

    /// Sends what the socket accepts. Then shuts down this side of the connection first, and closes the connection when
    /// the other side has read everything: closing at once could destroy what is on its way.
    fn send(&mut self) -> io::Result<()> {
        self.socket.write(&mut self.output)?;
        if self.output.is_empty() {
            self.socket.end_output()?;
        }
        Ok(())
    }
}
