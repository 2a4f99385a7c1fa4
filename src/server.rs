//! The event loop: all client sockets, the timer, the signals, and the waker of the helper thread. It moves bytes
//! between the sockets and the core, and knows nothing of what they mean.
//!
//! In each turn, it waits for events, notes which sockets are ready, gives the core Redis's replies and the clients'
//! input, sends the core's requests to Redis, and finally writes each client its replies in one go.

mod accept;
mod buffers;
mod builder;
mod clients;
mod connection;
mod dedicated;
mod floods;
mod http;
mod idle;
mod listeners;
mod protection;
mod reports;
mod settings;
mod shutdown;
mod spares;
mod start;
mod unix_socket;

use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::time::Duration;

use mio::event::Event;
use mio::net::TcpListener;
use mio::{Events, Poll, Token};
use signal_hook_mio::v1_0::Signals;
use slab::Slab;

use buffers::Shortage;
pub use builder::Builder;
use connection::Connection;
use floods::Floods;
use http::Http;
use idle::Idle;
use listeners::Listeners;
use protection::Protection;
use reports::Reports;
use settings::Reload;
use shutdown::Shutdown;
use spares::Spares;

use crate::cache::EXPIRED_AT_ONCE;
use crate::clock::{Clock, Time, earliest};
use crate::config::RedisAddress;
use crate::proxy::{ClientId, Proxy, READ};
use crate::systemd::{self, State};
use crate::tls::Tls;
use crate::transport::dial::Dialer;
use crate::upstream::Upstream;

const WAKER: Token = Token(usize::MAX - 1);
const SIGNALS: Token = Token(usize::MAX - 2);

/// The size of the read buffer at first, in bytes. [`READ`] is seldom needed.
const FIRST_READ: usize = 16 * 1024;

/// How many more times a client is read from once the proxy is shutting down.
const LAST_READS: usize = 16;

/// How much longer than the timeout of Redis's replies a shutdown may take, so that the reply, or the error in its
/// place, can still be sent.
const STOP_MARGIN: Duration = Duration::from_millis(500);

/// The server: its sockets, and the core that it serves.
pub struct Server {
    poll: Poll,
    clock: Clock,
    listeners: Listeners,
    protection: Protection,
    signals: Signals,
    upstream: Upstream,
    reports: Reports,
    proxy: Proxy,
    connections: Slab<Connection>,
    spares: Spares,
    /// Metrics, health and a page over HTTP, if enabled.
    http: Option<Http>,
    /// Clients to read from, to write to or to close, in the order in which they became ready.
    ready: VecDeque<ClientId>,
    /// Clients that are done, and until when they may take to close.
    lingering: VecDeque<(Time, ClientId)>,
    /// Clients that still have to complete the TLS handshake, and their deadlines.
    handshakes: VecDeque<(Time, ClientId)>,
    /// Clients that will be closed because Redis is unreachable, and when.
    closing: VecDeque<(Time, ClientId)>,
    /// Clients whose dedicated connections to Redis are being opened, and their deadlines.
    connecting: VecDeque<(Time, ClientId)>,
    /// The buffer for reads. See [`Server::widen`].
    buffer: Box<[u8]>,
    max_clients: usize,
    cache_period: Duration,
    /// When the current turn started.
    now: Time,
    /// When expired entries were last removed.
    last_tick: Time,
    /// The helper thread has been informed that an outage of Redis would matter.
    watched: bool,
    idle: Idle,
    /// It has been logged that no file descriptors are left for further clients.
    out_of_files: bool,
    shortage: Shortage,
    floods: Floods,
    shutdown: Shutdown,
    reload: Reload,
    /// How long clients may take to finish after a signal has requested a shutdown.
    drain: Duration,
    redis: RedisAddress,
    dialer: Dialer,
    tls: Tls,
}

/// A client has two poll tokens, by its slot: one for its socket, and one for its dedicated connection to Redis.
fn tokens(client: ClientId) -> (Token, Token) {
    (Token(2 * client.0), Token(2 * client.0 + 1))
}

impl Server {
    /// Serves until a signal ends it: after a SIGINT, SIGQUIT or SIGTERM, once all outstanding replies are sent; after
    /// a second signal, at once.
    ///
    /// # Errors
    /// If the poll fails.
    pub fn run(mut self) -> io::Result<()> {
        systemd::notify(State::Ready);
        let mut events = Events::with_capacity(1024);
        loop {
            let timeout = self.timeout();
            match self.poll.poll(&mut events, timeout) {
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                result => result?,
            }
            // This is the time for the whole turn, except where a request is timed.
            self.now = self.clock.now();
            for event in &events {
                match event.token() {
                    // Reports are taken in each turn.
                    WAKER => self.take_reloaded(),
                    SIGNALS => {
                        if self.take_signals() {
                            return Ok(());
                        }
                    }
                    token if listeners::is_ours(token) => self.listeners.note(token),
                    token if http::is_ours(token) => self.note_http(event),
                    token if spares::is_ours(token) => self.spares.note(event),
                    Token(token) => self.note(ClientId(token / 2), token % 2 == 1, event),
                }
            }
            if self.upstream.has_events() {
                self.take_reports();
            }
            self.deliver_reports();
            self.proxy.take_decisions(self.now);
            self.end_drain();
            self.take_settings();
            self.serve_ready();
            self.proxy.work(self.now);
            self.tick();
            self.send_upstream();
            self.end_connecting();
            self.spares.turn(&mut self.buffer, self.now);
            self.relieve();
            self.write_replies();
            self.close_without_redis();
            self.close_lingering();
            self.end_handshakes();
            self.close_idle();
            self.accept();
            self.watch_redis();
            self.floods.end(self.now);
            self.serve_http();
            let end = self.clock.now();
            self.proxy.metrics().end_turn(self.now.until(end), end);
            if self.shut_down() {
                return Ok(());
            }
        }
    }

    /// How long the poll may sleep; forever, if nothing is due.
    fn timeout(&self) -> Option<Duration> {
        let has_work = self.proxy.has_room_again() || self.proxy.has_work();
        if !self.ready.is_empty()
            || !self.reports.is_empty()
            || has_work
            || !self.upstream.may_sleep()
        {
            return Some(Duration::ZERO);
        }
        let first = |list: &VecDeque<(Time, ClientId)>| list.front().map(|&(until, _)| until);
        let due = [
            self.next_tick(),
            self.proxy.work_due(),
            self.listeners.due(),
            self.idle.due(),
            self.proxy.decisions_due(),
            self.shortage.due(),
            first(&self.lingering),
            first(&self.handshakes),
            first(&self.closing),
            first(&self.connecting),
            self.floods.due(),
            self.proxy.parked_until(),
            self.spares.due(),
            self.http.as_ref().map(Http::due),
            self.shutdown.due(!self.listeners.is_empty()),
        ];
        Some(self.now.until(earliest(due)?))
    }

    /// Gives the helper thread what the core wants from Redis.
    fn send_upstream(&mut self) {
        self.proxy.send_parked(self.now);
        self.upstream.send(self.proxy.requests(), self.now);
        self.upstream.check(self.proxy.checks());
        if let Some(number) = self.proxy.take_barrier() {
            self.upstream.ask_for_barrier(number);
        }
        if self.proxy.takes_readonly() {
            self.upstream.doubt();
        }
        if let Some(wishes) = self.proxy.take_wishes() {
            if wishes.map {
                self.upstream.refresh_slots();
            }
            for address in &wishes.nodes {
                self.upstream.want_node(address);
            }
        }
    }

    fn note_http(&mut self, event: &Event) {
        if let Some(http) = &mut self.http {
            http.note(event);
        }
    }

    /// Serves HTTP, after the clients.
    fn serve_http(&mut self) {
        if let Some(http) = &mut self.http {
            http.turn(&mut http::Turn {
                registry: self.poll.registry(),
                proxy: &self.proxy,
                buffer: &mut self.buffer,
                now: self.now,
                shutting_down: self.shutdown.has_begun(),
            });
        }
    }

    /// Notes that a read took `length` bytes. If it filled the buffer, the buffer grows to the size of the largest
    /// read.
    fn widen(&mut self, length: usize) {
        if length == self.buffer.len() && length < READ {
            self.buffer = vec![0; READ].into();
        }
    }

    /// Removes expired entries, at most once per `cache_period`.
    fn tick(&mut self) {
        if self.next_tick().is_some_and(|tick| tick <= self.now) {
            let all = self.proxy.expire(self.now) < EXPIRED_AT_ONCE;
            if all {
                self.last_tick = self.now;
            }
        }
    }

    /// Makes the helper thread check Redis while an outage would matter.
    fn watch_redis(&mut self) {
        let cached = !self.proxy.cache().is_empty();
        let watched = cached || !self.connections.is_empty() || self.http.is_some();
        if self.watched != watched {
            self.watched = watched;
            self.upstream.set_watched(watched);
        }
    }

    /// When to remove expired entries next; never, if the cache is empty.
    fn next_tick(&self) -> Option<Time> {
        let deadline = self.proxy.cache().next_deadline()?;
        Some(deadline.max(self.last_tick.after(self.cache_period)))
    }
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    TcpListener::bind(address).map_err(|error| {
        io::Error::new(error.kind(), format!("can't listen on {address}: {error}"))
    })
}
