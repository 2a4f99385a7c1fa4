//! Dedicated connections to Redis that their clients have left, kept for reuse. So short-lived clients with a
//! transaction or a blocking request do not need a new connection, and a TLS handshake, each time.

use std::io;
use std::time::Duration;

use mio::event::Event;
use mio::{Registry, Token};
use slab::Slab;

use super::http;
use crate::clock::Time;
use crate::command::internal;
use crate::resp::reply::{self, Output};
use crate::transport::dial::Endpoint;
use crate::transport::{ReadResult, Transport};

/// How long a connection is kept.
const KEPT_FOR: Duration = Duration::from_secs(60);

/// The first of their tokens. Clients' tokens are below it.
const FIRST: usize = http::FIRST / 2;

/// Redis's reply to `RESET` (since version 6.2), after which no state is left on a connection.
const CLEAN: &[u8] = b"+RESET\r\n";

/// Whether a token belongs to one of these connections.
pub(super) fn is_ours(token: Token) -> bool {
    (FIRST..http::FIRST).contains(&token.0)
}

/// All connections that are kept.
pub(super) struct Spares {
    /// The most connections that are kept.
    most: usize,
    spares: Slab<Spare>,
    /// A connection has an event.
    news: bool,
}

struct Spare {
    transport: Transport,
    /// The endpoint that the connection leads to.
    endpoint: Endpoint,
    until: Time,
    to_redis: Output,
    /// What Redis has replied so far.
    answer: Vec<u8>,
}

impl Spare {
    fn is_clean(&self) -> bool {
        self.answer == CLEAN
    }

    /// Sends and receives. Returns whether the connection may still be used.
    fn turn(&mut self, buffer: &mut [u8], now: Time) -> bool {
        if self.until <= now || self.transport.write(&mut self.to_redis).is_err() {
            return false;
        }
        while self.transport.readable {
            match self.transport.read(buffer) {
                Ok(ReadResult::Bytes(length)) => self.answer.extend_from_slice(&buffer[..length]),
                Ok(ReadResult::Nothing) => break,
                Ok(ReadResult::End) | Err(_) => return false,
            }
            if !CLEAN.starts_with(&self.answer) {
                return false;
            }
        }
        true
    }
}

impl Spares {
    pub fn new(most: usize) -> Self {
        Self {
            most,
            spares: Slab::new(),
            news: false,
        }
    }

    /// When the next connection expires.
    pub fn due(&self) -> Option<Time> {
        self.spares.iter().map(|(_, spare)| spare.until).min()
    }

    /// Adds a connection on which nothing is in flight, and makes Redis reset the state that its client has left.
    ///
    /// # Errors
    /// If the connection can't be registered with the poll.
    pub fn put(
        &mut self,
        transport: Transport,
        endpoint: Endpoint,
        registry: &Registry,
        now: Time,
    ) -> io::Result<()> {
        if self.spares.len() >= self.most {
            return Ok(());
        }
        let entry = self.spares.vacant_entry();
        transport.register_again(registry, Token(FIRST + entry.key()))?;
        let mut to_redis = Output::default();
        to_redis.write(|out| reply::request(out, [internal::RESET.as_bytes()].into_iter()));
        entry.insert(Spare {
            transport,
            endpoint,
            until: now.after(KEPT_FOR),
            to_redis,
            answer: Vec::new(),
        });
        self.news = true;
        Ok(())
    }

    /// Takes a connection to this endpoint that Redis has not closed.
    pub fn take(&mut self, endpoint: &Endpoint, buffer: &mut [u8], now: Time) -> Option<Transport> {
        let fit = |spare: &Spare| spare.is_clean() && spare.endpoint == *endpoint;
        loop {
            let fitting = self.spares.iter().filter(|(_, spare)| fit(spare));
            let (key, _) = fitting.max_by_key(|(_, spare)| spare.until)?;
            let mut spare = self.spares.remove(key);
            // The poll may not have reported yet that Redis has closed it.
            spare.transport.readable = true;
            if spare.turn(buffer, now) {
                return Some(spare.transport);
            }
        }
    }

    /// Closes all connections, as they may lead to a Redis that was replaced.
    pub fn clear(&mut self) {
        self.spares.clear();
    }

    /// Notes an event.
    pub fn note(&mut self, event: &Event) {
        if let Some(spare) = self.spares.get_mut(event.token().0 - FIRST) {
            spare.transport.note(event);
            self.news = true;
        }
    }

    /// Serves the connections with events, and closes expired ones.
    pub fn turn(&mut self, buffer: &mut [u8], now: Time) {
        if std::mem::take(&mut self.news) || self.due().is_some_and(|due| due <= now) {
            self.spares.retain(|_, spare| spare.turn(buffer, now));
        }
    }
}
