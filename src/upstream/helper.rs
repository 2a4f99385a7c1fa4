//! The helper thread: it owns the connections to Redis that all clients share. One poll over their sockets and what
//! the loop hands over, so it never waits for one thing only.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread;

use mio::{Events, Interest, Poll, Token, Waker};

use super::mailbox::Mailbox;
use super::node::{Loss, Node, Phase, Role};
use super::resolve::{self, Addresses};
use super::{Check, Event, Replies, Requests, Settings};
use crate::clock::{Clock, Time};
use crate::keepalive::keep_alive_or_end;
use crate::transport::{ReadResult, Source, Transport};

/// The loop's end: requests go in, events come out, and the waker rings when there are some.
pub struct Upstream {
    mailbox: Arc<Mailbox>,
}

impl Upstream {
    /// Starts the helper thread. It connects at once, and for ever again when the connection breaks. The waker
    /// tells of events.
    ///
    /// # Errors
    /// If the thread or its poll can't be had.
    pub fn start(settings: Settings, waker: Waker) -> io::Result<Self> {
        let poll = Poll::new()?;
        let mailbox = Mailbox::new(Waker::new(poll.registry(), WAKER)?, waker);
        let helper = Helper {
            node: Node::new(settings),
            mailbox: Arc::clone(&mailbox),
            poll,
            transports: Default::default(),
            addresses: Vec::new(),
            looking_up: false,
            requests: Requests::default(),
            landing: vec![0; LANDING].into(),
            clock: Clock::start(),
        };
        thread::Builder::new()
            .name("upstream".into())
            .stack_size(STACK)
            .spawn(move || helper.run())?;
        Ok(Self { mailbox })
    }

    /// Hands requests over, at the end of a turn, and leaves none.
    pub fn send(&mut self, requests: &mut Requests) {
        if requests.iter().all(super::Batch::is_empty) {
            return;
        }
        self.mailbox.add(|work| {
            for (link, batch) in requests.iter_mut() {
                work.requests.of(link).append(batch);
            }
        });
    }

    /// Hands over passwords that Redis is to be asked about, and leaves none.
    pub fn check(&self, checks: &mut Vec<Check>) {
        if !checks.is_empty() {
            self.mailbox.add(|work| work.checks.append(checks));
        }
    }

    /// Asks for a barrier: [`Event::Barrier`] comes when all changes so far are reported.
    pub fn ask_for_barrier(&self, number: u64) {
        self.mailbox.add(|work| work.barrier = Some(number));
    }

    /// Says whether anybody would miss Redis: as long as that is so, it is asked every second whether it is
    /// still there.
    pub fn set_watched(&self, watched: bool) {
        self.mailbox.add(|work| work.watched = watched);
    }

    /// Takes what happened since this was last called, in order, for an empty list.
    pub fn take_events(&self, events: &mut Vec<Event>) {
        self.mailbox.take_events(events);
    }

    /// Takes back the memory of replies that were delivered.
    pub fn recycle(&self, replies: Replies) {
        self.mailbox.recycle(replies);
    }
}

/// The stack of the helper thread, in bytes.
const STACK: usize = 256 * 1024;

/// How much one read takes at once, in bytes.
const LANDING: usize = 64 * 1024;

/// How often a connection is read from before the others have their turn.
const READS: usize = 16;

const WAKER: Token = Token(usize::MAX);

struct Helper {
    node: Node,
    mailbox: Arc<Mailbox>,
    poll: Poll,
    /// The sockets, by role, which is their token too.
    transports: [Option<Transport>; 3],
    /// Where Redis may be, beside the address that is being tried.
    addresses: Vec<SocketAddr>,
    looking_up: bool,
    /// Empty: the memory for what the loop hands over.
    requests: Requests,
    landing: Box<[u8]>,
    clock: Clock,
}

impl Helper {
    fn run(mut self) {
        let mut events = Events::with_capacity(8);
        self.connect_wanted();
        loop {
            self.wait(&mut events);
            for event in &events {
                if let Some(Some(transport)) = self.transports.get_mut(event.token().0) {
                    transport.note(event);
                }
            }
            let now = self.clock.now();
            self.node.send(&mut self.requests, now);
            for role in Role::ALL {
                self.finish_connecting(role);
                self.read(role);
            }
            if self.node.due().is_some_and(|due| due <= now) {
                self.node.tick(now);
            }
            self.log_in_again(now);
            self.drop_closed();
            self.connect_wanted();
            for role in Role::ALL {
                self.write(role);
            }
            self.mailbox.report(&mut self.node.events);
        }
    }

    /// If Redis refuses the login, or the user's rights changed, the password may be another: reads it again, if a file
    /// holds it, and tries it.
    fn log_in_again(&mut self, now: Time) {
        if self.node.takes_password() {
            let file = self.node.settings.password_file.as_deref();
            let password = file.and_then(|path| match crate::config::read_secret(path) {
                Ok(password) => Some(password),
                Err(error) => {
                    log::warn!(reason:% = error; "can't read the password of redis again");
                    None
                }
            });
            self.node.log_in_again(password, now);
        }
    }

    /// Takes what the loop hands over, or waits for that, for a socket, or until something is due.
    fn wait(&mut self, events: &mut Events) {
        let now = self.clock.now();
        let mut addresses = None;
        let mut checks = Vec::new();
        let mut barrier = None;
        let mut watched = self.node.watched;
        let (node, requests) = (&mut self.node, &mut self.requests);
        let some = self.mailbox.take(|work| {
            for (link, batch) in requests.iter_mut() {
                std::mem::swap(batch, work.requests.of(link));
            }
            node.spare.append(&mut work.spare);
            watched = work.watched;
            addresses = work.addresses.take();
            checks.append(&mut work.checks);
            barrier = work.barrier.take();
            addresses.is_some()
                || barrier.is_some()
                || !checks.is_empty()
                || watched != node.watched
                || requests.iter().any(|batch| !batch.is_empty())
        });
        if watched != self.node.watched {
            self.node.set_watched(watched, now);
        }
        self.node.check(&mut checks, now);
        if let Some(number) = barrier {
            self.node.ask_for_barrier(number, now);
        }
        if let Some(addresses) = addresses {
            self.found(addresses);
        }
        let readable = self.transports.iter().flatten().any(|open| open.readable);
        let timeout = if some || readable {
            Some(std::time::Duration::ZERO)
        } else {
            self.node.due().map(|due| now.until(due))
        };
        // Interrupted or not, what is there is looked at.
        if let Err(error) = self.poll.poll(events, timeout)
            && error.kind() != ErrorKind::Interrupted
        {
            log::error!(reason:% = error; "can't wait for Redis");
        }
        self.mailbox.awake();
    }

    /// Makes the connections that the node wants.
    fn connect_wanted(&mut self) {
        while let Some(role) = self.node.wants() {
            self.node.connecting(role, self.clock.now());
            match self.node.address() {
                // The others go where the first one went.
                Some(address) if role != Role::Resp2 => self.connect(role, address),
                _ => self.look_up(),
            }
            self.drop_closed();
        }
    }

    fn look_up(&mut self) {
        self.looking_up = true;
        let mailbox = Arc::clone(&self.mailbox);
        resolve::resolve(&self.node.settings.address, move |addresses| {
            mailbox.add(|work| work.addresses = Some(addresses));
        });
    }

    /// Addresses were found.
    fn found(&mut self, addresses: Addresses) {
        if !std::mem::take(&mut self.looking_up)
            || !matches!(
                self.node.connection(Role::Resp2).phase,
                Phase::Connecting(_)
            )
        {
            return;
        }
        match addresses {
            Ok(addresses) => {
                self.addresses = addresses;
                self.addresses.reverse();
                self.connect_next(resolve::none());
            }
            Err(error) => self.lose(Role::Resp2, error),
        }
    }

    /// Tries the next address; without one, the last error counts.
    fn connect_next(&mut self, error: io::Error) {
        match self.addresses.pop() {
            Some(address) => self.connect(Role::Resp2, address),
            None => self.lose(Role::Resp2, error),
        }
    }

    fn connect(&mut self, role: Role, address: SocketAddr) {
        let deadline = self.clock.now().after(self.node.settings.timeout);
        let connected = Transport::connect(address, deadline).and_then(|mut transport| {
            let interest = Interest::READABLE | Interest::WRITABLE;
            let registry = self.poll.registry();
            registry.register(transport.stream(), Token(role as usize), interest)?;
            transport.stream().set_nodelay(true)?;
            keep_alive_or_end(transport.stream(), self.node.settings.tcp_keepalive)?;
            Ok(transport)
        });
        match connected {
            Ok(transport) => self.transports[role as usize] = Some(transport),
            Err(error) => self.connect_failed(role, error),
        }
    }

    fn connect_failed(&mut self, role: Role, error: io::Error) {
        self.transports[role as usize] = None;
        if role == Role::Resp2 {
            self.connect_next(error);
        } else {
            self.lose(role, error);
        }
    }

    /// Looks whether an attempt to connect has succeeded.
    fn finish_connecting(&mut self, role: Role) {
        let now = self.clock.now();
        let Some(transport) = &mut self.transports[role as usize] else {
            return;
        };
        if !transport.is_connecting() {
            return;
        }
        match transport.is_connected(now) {
            Ok(true) => {
                let address = transport.stream().peer_addr().ok();
                self.node.connected(role, address, now);
            }
            Ok(false) => {}
            Err(error) => self.connect_failed(role, error),
        }
    }

    fn read(&mut self, role: Role) {
        for _ in 0..READS {
            let Some(transport) = &mut self.transports[role as usize] else {
                return;
            };
            if !transport.readable || transport.is_connecting() {
                return;
            }
            match transport.read(&mut self.landing) {
                Ok(ReadResult::Bytes(length)) => {
                    let now = self.clock.now();
                    self.node.received(role, &self.landing[..length], now);
                    self.drop_closed();
                }
                Ok(ReadResult::Nothing) => return,
                Ok(ReadResult::End) => {
                    self.lose(role, io::Error::other("it closed the connection"));
                }
                Err(error) => self.lose(role, error),
            }
        }
    }

    fn write(&mut self, role: Role) {
        let Some(transport) = &mut self.transports[role as usize] else {
            return;
        };
        let link = &mut self.node.connection(role).link;
        if !transport.is_connecting() && !link.is_empty() && transport.write(link).is_err() {
            // What Redis said before it closed is still to be read; that ends it.
            transport.readable = true;
        }
    }

    fn lose(&mut self, role: Role, error: io::Error) {
        self.node.lost(role, Loss::Broken(error), self.clock.now());
        self.drop_closed();
    }

    /// Closes the sockets of connections that the node has given up.
    fn drop_closed(&mut self) {
        for role in Role::ALL {
            let phase = self.node.connection(role).phase;
            if matches!(phase, Phase::Closed | Phase::Wanted) {
                self.transports[role as usize] = None;
            }
        }
    }
}
