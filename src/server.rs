//! The event loop: all sockets of clients, the timer, the signals and the waker of the helper thread.
//! It moves bytes between them and the core, and knows nothing of what they mean.
//!
//! A turn: wait for events, note who is ready, hand the core what Redis answered and what clients sent,
//! hand the helper what the core asks of Redis, and at the end write each client its replies in one go.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Write};
use std::net::SocketAddr;
use std::time::Duration;

use mio::event::Event;
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token, Waker};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook_mio::v1_0::Signals;
use slab::Slab;

use crate::cache::{EXPIRED_AT_ONCE, Limits};
use crate::clock::{Clock, Time};
use crate::config::{Config, RedisAddress};
use crate::connection::{Connection, ReadResult, Socket};
use crate::proxy::{Access, ClientId, Proxy};
use crate::upstream::{self, Upstream};

const LISTENER: Token = Token(usize::MAX);
const WAKER: Token = Token(usize::MAX - 1);
const SIGNALS: Token = Token(usize::MAX - 2);

/// A client has two tokens, by its slot: one for its socket, one for its own connection to Redis.
fn tokens(client: ClientId) -> (Token, Token) {
    (Token(2 * client.0), Token(2 * client.0 + 1))
}

/// How much is read from a client at once, in bytes. With more to come it takes its turn again.
const READ_BUFFER: usize = 64 * 1024;

/// How long a client that is done may take to close its side before it is cut off: closing at once
/// could destroy replies on their way to it.
const LINGER: Duration = Duration::from_secs(1);

/// How long accepting pauses when there are no file descriptors left, unless a client leaves before.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How many clients are accepted before the others are served again.
const ACCEPTED_AT_ONCE: usize = 256;

/// How often a client is read from when the proxy shuts down.
const LAST_READS: usize = 16;

/// File descriptors that the proxy needs beside its clients': standard streams, poll, waker, signals,
/// listener, Redis, and some for name look-ups.
const OWN_FILES: u64 = 32;

/// The server: its sockets, and the core that it serves.
pub struct Server {
    poll: Poll,
    clock: Clock,
    listener: Option<TcpListener>,
    signals: Signals,
    upstream: Upstream,
    proxy: Proxy,
    connections: Slab<Connection>,
    /// Clients to read from, to write to or to close, in the order in which they came up.
    ready: VecDeque<ClientId>,
    /// Clients that are done, and until when they may take to close.
    lingering: VecDeque<(Time, ClientId)>,
    /// Clients whose own connections to Redis are being made, and until when that may take.
    connecting: VecDeque<(Time, ClientId)>,
    buffer: Box<[u8]>,
    max_clients: usize,
    cache_period: Duration,
    /// When entries are next looked through for those past their time to live.
    next_tick: Option<Time>,
    /// Whether the helper threads know that anything is cached.
    holds: bool,
    accept: Accept,
    /// It was logged that there are none left for more clients.
    out_of_files: bool,
    /// Since a signal asked for it, until when the proxy is done.
    stop_at: Option<Time>,
    redis: RedisAddress,
    redis_timeout: Duration,
}

/// Whether clients wait to be accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Accept {
    /// The next event tells.
    Idle,
    /// Some may.
    Pending,
    /// Some do, for whom there is no file descriptor before that moment.
    Paused(Time),
}

impl Server {
    /// Binds the address, starts the helper thread, and is ready to [`run`](Self::run).
    ///
    /// # Errors
    /// If the address can't be bound, or the system gives no poll, signal or thread.
    pub fn start(config: &Config) -> io::Result<Self> {
        let address = SocketAddr::new(config.bind, config.port);
        let mut listener = TcpListener::bind(address).map_err(|error| {
            io::Error::new(error.kind(), format!("can't listen on {address}: {error}"))
        })?;
        log::info!(
            "listening address={} version={}",
            listener.local_addr()?,
            env!("CARGO_PKG_VERSION")
        );
        log::info!("configured {}", config.summary());

        let poll = Poll::new()?;
        let registry = poll.registry();
        registry.register(&mut listener, LISTENER, Interest::READABLE)?;
        let mut signals = Signals::new([SIGINT, SIGTERM])?;
        registry.register(&mut signals, SIGNALS, Interest::READABLE)?;
        let settings = upstream::Settings {
            address: config.redis.clone(),
            database: config.redis_database,
            username: config.redis_username.clone(),
            password: config.redis_password.clone(),
            timeout: config.redis_timeout,
            tracking: config.tracking,
        };
        let upstream = Upstream::start(settings, Waker::new(registry, WAKER)?)?;

        let limits = Limits {
            entries: config.capacity,
            memory: config.max_memory,
            ttl: config.cache_ttl,
            stale_ttl: config.stale_ttl,
        };
        let access = Access {
            password: config.password.clone(),
            redis_username: config.redis_username.clone(),
            redis_password: config.redis_password.clone(),
        };
        Ok(Self {
            poll,
            clock: Clock::start(),
            listener: Some(listener),
            signals,
            upstream,
            proxy: Proxy::new(limits, access, config.redis_database),
            connections: Slab::new(),
            ready: VecDeque::new(),
            lingering: VecDeque::new(),
            connecting: VecDeque::new(),
            buffer: vec![0; READ_BUFFER].into(),
            max_clients: clients_that_fit(config.max_clients),
            cache_period: config.cache_period,
            next_tick: None,
            holds: false,
            accept: Accept::Idle,
            out_of_files: false,
            stop_at: None,
            redis: config.redis.clone(),
            redis_timeout: config.redis_timeout,
        })
    }

    /// Serves until a signal ends it: SIGINT or SIGTERM, after the replies that are owed are sent; a second
    /// one at once.
    ///
    /// # Errors
    /// If the poll fails.
    pub fn run(mut self) -> io::Result<()> {
        let mut events = Events::with_capacity(1024);
        loop {
            let timeout = self.timeout();
            match self.poll.poll(&mut events, timeout) {
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                result => result?,
            }
            // The clock is read here, once a turn.
            let now = self.clock.now();
            for event in &events {
                match event.token() {
                    LISTENER => self.accept = Accept::Pending,
                    WAKER => self.take_upstream_events(now),
                    SIGNALS => {
                        if self.take_signals(now) {
                            return Ok(());
                        }
                    }
                    Token(token) => self.note(ClientId(token / 2), token % 2 == 1, event),
                }
            }
            self.serve_ready(now);
            self.tick(now);
            self.upstream.send(self.proxy.requests());
            self.end_connecting(now);
            self.write_replies(now);
            self.close_lingering(now);
            self.accept(now);
            if let Some(stop_at) = self.stop_at
                && (self.connections.is_empty() || now >= stop_at)
            {
                log::info!("stopped clients_cut_off={}", self.connections.len());
                return Ok(());
            }
        }
    }

    /// How long the poll may sleep: for ever, if nothing is due.
    fn timeout(&self) -> Option<Duration> {
        if !self.ready.is_empty() || self.accept == Accept::Pending {
            return Some(Duration::ZERO);
        }
        let accept = match self.accept {
            Accept::Paused(until) => Some(until),
            _ => None,
        };
        let first = |list: &VecDeque<(Time, ClientId)>| list.front().map(|&(until, _)| until);
        let due = [
            self.next_tick,
            accept,
            first(&self.lingering),
            first(&self.connecting),
            self.stop_at,
        ];
        let due = due.into_iter().flatten().min()?;
        Some(self.clock.now().until(due))
    }

    /// Notes what an event says of a client's socket, or of its own connection to Redis.
    fn note(&mut self, client: ClientId, own: bool, event: &Event) {
        let Some(connection) = self.connections.get_mut(client.0) else {
            return;
        };
        let socket = if own {
            connection.own.as_mut()
        } else {
            Some(&mut connection.client)
        };
        let Some(socket) = socket else { return };
        if socket.note(event) {
            self.proxy.look_again(client);
        }
        self.list(client);
    }

    /// Puts a client on the list of those to read from.
    fn list(&mut self, client: ClientId) {
        if let Some(connection) = self.connections.get_mut(client.0)
            && !connection.listed
        {
            connection.listed = true;
            self.ready.push_back(client);
        }
    }

    fn take_upstream_events(&mut self, now: Time) {
        for event in self.upstream.events() {
            self.proxy.upstream(&event, now);
        }
    }

    /// Reads from every client on the list, once.
    fn serve_ready(&mut self, now: Time) {
        for _ in 0..self.ready.len() {
            let Some(client) = self.ready.pop_front() else {
                return;
            };
            let Some(connection) = self.connections.get_mut(client.0) else {
                continue;
            };
            connection.listed = false;
            if connection.lingering {
                self.drop_input(client, now);
                continue;
            }
            if self.proxy.can_resume(client) {
                self.proxy.resume(client, now);
            }
            if connection.client.readable && self.proxy.wants_input(client) {
                self.read(client, now);
            }
            self.read_own(client);
        }
    }

    /// Reads from a client's own connection to Redis, once.
    fn read_own(&mut self, client: ClientId) {
        let Some(connection) = self.connections.get_mut(client.0) else {
            return;
        };
        let Some(own) = &mut connection.own else {
            return;
        };
        if !own.readable || !self.proxy.wants_own_input(client) {
            return;
        }
        match own.read(&mut self.buffer) {
            Ok(ReadResult::Bytes(length)) => self.proxy.receive_own(client, &self.buffer[..length]),
            Ok(ReadResult::Nothing) => {}
            // Redis ended it: so ends the client's, as it would with Redis itself.
            Ok(ReadResult::End) | Err(_) => self.proxy.own_lost(client, None),
        }
    }

    /// Reads from a client, once. Returns whether there may be more.
    fn read(&mut self, client: ClientId, now: Time) -> bool {
        let socket = &mut self.connections[client.0].client;
        match socket.read(&mut self.buffer) {
            Ok(ReadResult::Bytes(length)) => {
                let more = socket.readable;
                self.proxy.receive(client, &self.buffer[..length], now);
                more && self.proxy.wants_input(client)
            }
            Ok(ReadResult::Nothing) => false,
            Ok(ReadResult::End) => {
                self.proxy.end_of_input(client);
                false
            }
            Err(error) => {
                self.close(client, &error.to_string(), now);
                false
            }
        }
    }

    /// Removes entries past their time to live, at most once a `cache_period`; with none there is no
    /// next time.
    fn tick(&mut self, now: Time) {
        if self.next_tick.is_some_and(|tick| tick <= now) {
            let more = self.proxy.expire(now) == EXPIRED_AT_ONCE;
            self.next_tick = more.then_some(now);
        }
        if self.next_tick.is_none() {
            let holds = !self.proxy.cache().is_empty();
            if self.holds != holds {
                self.holds = holds;
                self.upstream.set_holds(holds);
            }
            let deadline = self.proxy.cache().next_deadline();
            self.next_tick = deadline.map(|deadline| deadline.max(now.after(self.cache_period)));
        }
    }

    /// Writes to every client that has something new to get, and to Redis for those who have their own
    /// connection there.
    fn write_replies(&mut self, now: Time) {
        while let Some(client) = self.proxy.next_changed() {
            if self
                .connections
                .get(client.0)
                .is_none_or(|connection| connection.lingering)
            {
                continue;
            }
            self.write_own(client, now);
            let connection = &mut self.connections[client.0];
            if let Err(error) = connection.client.write(self.proxy.output(client)) {
                self.close(client, &error.to_string(), now);
                continue;
            }
            self.proxy.output_sent(client);
            let own_readable = connection.own.as_ref().is_some_and(|own| own.readable);
            if self.proxy.is_done(client) {
                self.finish(client, now);
            } else if self.proxy.can_resume(client)
                || connection.client.readable && self.proxy.wants_input(client)
                || own_readable && self.proxy.wants_own_input(client)
            {
                self.list(client);
            }
        }
    }

    /// Opens, writes to, or closes a client's own connection to Redis, as the core has it.
    fn write_own(&mut self, client: ClientId, now: Time) {
        let socket = &mut self.connections[client.0].own;
        if self.proxy.own(client).is_none() {
            *socket = None;
            return;
        }
        let connected = match socket {
            Some(own) => own.is_connected(now),
            None => self.open_own(client, now).map(|()| false),
        };
        match connected {
            Ok(true) => {}
            Ok(false) => return,
            Err(error) => {
                let reason = format!("backing Redis at {} can't be reached: {error}", self.redis);
                return self.proxy.own_lost(client, Some(&reason));
            }
        }
        let (Some(own), Some(output)) =
            (&mut self.connections[client.0].own, self.proxy.own(client))
        else {
            return;
        };
        let written = own.write(output);
        let at_end = self.proxy.own_is_at_end(client);
        if written
            .and_then(|()| if at_end { own.end_output() } else { Ok(()) })
            .is_err()
        {
            // What Redis said before it closed is still to be read; that ends it.
            own.readable = true;
            self.list(client);
        }
    }

    fn open_own(&mut self, client: ClientId, now: Time) -> io::Result<()> {
        let address = self.proxy.redis_address().ok_or(ErrorKind::NotConnected)?;
        let deadline = now.after(self.redis_timeout);
        let mut own = Socket::connect(address, deadline)?;
        let interest = Interest::READABLE | Interest::WRITABLE;
        self.poll
            .registry()
            .register(own.stream(), tokens(client).1, interest)?;
        own.stream().set_nodelay(true)?;
        self.connections[client.0].own = Some(own);
        self.connecting.push_back((deadline, client));
        Ok(())
    }

    /// A client was sent all that it is owed: ends the connection from this side, and lets the client
    /// end it from the other.
    fn finish(&mut self, client: ClientId, now: Time) {
        let connection = &mut self.connections[client.0];
        connection.own = None;
        if self.stop_at.is_some() || connection.client.end_output().is_err() {
            self.close(client, "done", now);
            return;
        }
        connection.lingering = true;
        connection.client.readable = true;
        self.lingering.push_back((now.after(LINGER), client));
        self.list(client);
    }

    /// Reads and drops what a client sends that is done.
    fn drop_input(&mut self, client: ClientId, now: Time) {
        let socket = &mut self.connections[client.0].client;
        match socket.read(&mut self.buffer) {
            Ok(ReadResult::Bytes(_)) if socket.readable => self.list(client),
            Ok(ReadResult::Bytes(_) | ReadResult::Nothing) => {}
            Ok(ReadResult::End) | Err(_) => self.close(client, "done", now),
        }
    }

    /// Looks at attempts to connect that have taken too long.
    fn end_connecting(&mut self, now: Time) {
        while let Some(&(deadline, client)) = self.connecting.front()
            && deadline <= now
        {
            self.connecting.pop_front();
            if self.connections.contains(client.0) {
                self.proxy.look_again(client);
            }
        }
    }

    /// Cuts off clients that are done and have not closed in time.
    fn close_lingering(&mut self, now: Time) {
        while let Some(&(until, client)) = self.lingering.front() {
            if until > now {
                return;
            }
            self.lingering.pop_front();
            // Its slot may have another client by now, who doesn't linger or does so since later.
            if self
                .connections
                .get(client.0)
                .is_some_and(|connection| connection.lingering)
            {
                self.close(client, "done", now);
            }
        }
    }

    fn close(&mut self, client: ClientId, reason: &str, now: Time) {
        log::debug!("client closed client={} reason={reason:?}", client.0);
        self.connections.remove(client.0);
        self.proxy.disconnect(client, now);
        if let Accept::Paused(_) = self.accept {
            self.accept = Accept::Pending;
        }
    }

    /// Accepts those who wait.
    fn accept(&mut self, now: Time) {
        match self.accept {
            Accept::Idle => return,
            Accept::Paused(until) if until > now => return,
            Accept::Paused(_) | Accept::Pending => self.accept = Accept::Pending,
        }
        for _ in 0..ACCEPTED_AT_ONCE {
            let Some(listener) = &self.listener else {
                return;
            };
            match listener.accept() {
                Ok((socket, address)) => {
                    self.out_of_files = false;
                    self.welcome(socket, address, now);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.accept = Accept::Idle;
                    return;
                }
                Err(error)
                    if matches!(
                        error.kind(),
                        ErrorKind::Interrupted | ErrorKind::ConnectionAborted
                    ) => {}
                Err(error) => {
                    if !self.out_of_files {
                        self.out_of_files = true;
                        log::warn!(
                            "can't accept clients clients={} reason={:?}",
                            self.connections.len(),
                            error.to_string()
                        );
                    }
                    self.accept = Accept::Paused(now.after(ACCEPT_PAUSE));
                    return;
                }
            }
        }
    }

    fn welcome(&mut self, mut socket: TcpStream, address: SocketAddr, now: Time) {
        if self.connections.len() >= self.max_clients {
            // As Redis: one attempt to say why.
            let _ = socket.write(b"-ERR max number of clients reached\r\n");
            log::debug!("client refused address={address}");
            return;
        }
        let entry = self.connections.vacant_entry();
        let client = ClientId(entry.key());
        let interest = Interest::READABLE | Interest::WRITABLE;
        let registered = self
            .poll
            .registry()
            .register(&mut socket, tokens(client).0, interest);
        if let Err(error) = registered.and_then(|()| socket.set_nodelay(true)) {
            log::debug!(
                "client refused address={address} reason={:?}",
                error.to_string()
            );
            return;
        }
        log::debug!("client connected client={} address={address}", client.0);
        let local = socket.local_addr().unwrap_or(address);
        entry.insert(Connection::new(socket));
        self.proxy.connect(client, Some((address, local)), now);
    }

    /// A signal came. The first lets what was received be answered; returns whether to end at once.
    fn take_signals(&mut self, now: Time) -> bool {
        let Some(signal) = self.signals.pending().next() else {
            return false;
        };
        let signal = if signal == SIGINT {
            "SIGINT"
        } else {
            "SIGTERM"
        };
        if self.stop_at.is_some() {
            log::warn!(
                "stopped at once signal={signal} clients_cut_off={}",
                self.connections.len()
            );
            return true;
        }
        log::info!(
            "shutting down signal={signal} clients={}",
            self.connections.len()
        );
        self.stop_at = Some(now.after(self.redis_timeout));
        self.listener = None;
        self.accept = Accept::Idle;
        let clients: Vec<ClientId> = self
            .connections
            .iter()
            .map(|(slot, _)| ClientId(slot))
            .collect();
        for client in clients {
            let mut reads = LAST_READS;
            while reads > 0 && self.proxy.wants_input(client) && self.read(client, now) {
                reads -= 1;
            }
            if self.connections.contains(client.0) {
                self.proxy.end_of_input(client);
            }
        }
        false
    }
}

/// Raises the limit of open files to what so many clients need; where that is not allowed, says so and
/// returns how many fit.
fn clients_that_fit(max_clients: usize) -> usize {
    let wanted = max_clients as u64 + OWN_FILES;
    // Each may come to need a connection of its own to Redis too.
    let limit = match rlimit::increase_nofile_limit(wanted + max_clients as u64) {
        Ok(limit) if limit >= wanted => return max_clients,
        Ok(limit) => limit,
        Err(error) => {
            log::warn!(
                "can't tell how many files may be open reason={:?}",
                error.to_string()
            );
            return max_clients;
        }
    };
    let fit = usize::try_from(limit.saturating_sub(OWN_FILES))
        .unwrap_or(usize::MAX)
        .clamp(1, max_clients);
    log::warn!(
        "max_clients lowered to what the limit of open files allows max_clients={fit} open_files={limit}"
    );
    fit
}
