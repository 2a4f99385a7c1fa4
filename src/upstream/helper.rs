//! The helper thread: it owns the connections to Redis that all clients share. One poll over their sockets and what
//! the loop hands over, so it never waits for one thing only.

mod look_up;

use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use mio::{Events, Poll, Token, Waker};

use super::mailbox::{Mailbox, Work};
use super::node::{Loss, Node, Phase, Role};
use super::race::Race;
use super::sentinel::{Master, Sentinels};
use super::{Check, Event, Replies, Requests, Settings};
use crate::clock::{Clock, Time};
use crate::transport::dial::Endpoint;
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
    pub fn start(settings: Settings, waker: Arc<Waker>) -> io::Result<Self> {
        let poll = Poll::new()?;
        let mailbox = Mailbox::new(Waker::new(poll.registry(), WAKER)?, waker);
        let sentinels = settings.sentinels.clone();
        let helper = Helper {
            sentinels: sentinels.map(|settings| Sentinels::new(settings, Arc::clone(&mailbox))),
            followed: None,
            targets: Vec::new(),
            node: Node::new(settings),
            mailbox: Arc::clone(&mailbox),
            poll,
            transports: Vec::new(),
            race: Race::default(),
            looking_up: false,
            work: Work::default(),
            landing: vec![0; FIRST_LANDING].into(),
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
        if requests.iter().all(|(_, batch)| batch.is_empty()) {
            return;
        }
        self.mailbox.add(|work| {
            for (link, batch) in requests.iter_mut().filter(|(_, batch)| !batch.is_empty()) {
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
        self.mailbox.add(|work| work.watched = Some(watched));
    }

    /// Says that a client's dedicated connection leads to a Redis that was demoted, it seems.
    pub fn doubt(&self) {
        self.mailbox.add(|work| work.doubts = true);
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

/// The same at first, and of what sets a connection up, though that is long (the reply to COMMAND): where few values are
/// read, that much memory is all it takes.
const FIRST_LANDING: usize = 16 * 1024;

/// How often a connection is read from before the others have their turn.
const READS: usize = 16;

const WAKER: Token = Token(usize::MAX);

struct Helper {
    node: Node,
    mailbox: Arc<Mailbox>,
    poll: Poll,
    /// The sockets, by the places of their roles, which are their tokens too.
    transports: Vec<Option<Transport>>,
    /// Which of its addresses Redis is reached by, while that is being found out.
    race: Race,
    /// Where Redis is, is being looked up.
    looking_up: bool,
    /// Who says where it is, if sentinels do.
    sentinels: Option<Sentinels>,
    /// The master that is, or was last, looked up.
    followed: Option<Master>,
    /// The addresses that were last tried.
    targets: Vec<Endpoint>,
    /// Done: the memory for what the loop hands over.
    work: Work,
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
                match self.transports.get_mut(event.token().0) {
                    Some(Some(transport)) => drop(transport.note(event)),
                    _ => {
                        self.race.note(event);
                        if let Some(sentinels) = &mut self.sentinels {
                            sentinels.note(event);
                        }
                    }
                }
            }
            let now = self.clock.now();
            self.take_work(now);
            self.run_race();
            for role in self.node.roles() {
                self.finish_connecting(role, now);
                self.read(role);
            }
            if self.node.due().is_some_and(|due| due <= now) {
                self.node.tick(now);
            }
            self.hear_sentinels();
            if self.node.wants_look_up() {
                self.look_up();
            }
            self.log_in_again(now);
            self.drop_closed();
            self.connect_wanted();
            for role in self.node.roles() {
                self.write(role);
            }
            if let Some(sentinels) = &mut self.sentinels {
                sentinels.write();
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
                    log::warn!(reason:% = error; "cannot reread the password for redis");
                    None
                }
            });
            self.node.log_in_again(password, now);
        }
    }

    /// Waits for work, for a socket, or until something is due.
    fn wait(&mut self, events: &mut Events) {
        let sentinels = self.sentinels.as_ref();
        let is_readable = |role: &Role| {
            let transport = self.transports.get(role.place()).and_then(Option::as_ref);
            transport.is_some_and(|open| open.readable) && self.may_read(*role)
        };
        let is_readable = self.node.roles().any(|role| is_readable(&role))
            || sentinels.is_some_and(Sentinels::is_readable);
        let timeout = if is_readable || !self.mailbox.may_sleep() {
            Some(Duration::ZERO)
        } else {
            let due = [
                self.node.due(),
                self.race.due(),
                sentinels.and_then(Sentinels::due),
            ];
            let due = due.into_iter().flatten().min();
            due.map(|due| self.clock.now().until(due))
        };
        // Interrupted or not, what is there is looked at.
        if let Err(error) = self.poll.poll(events, timeout)
            && error.kind() != ErrorKind::Interrupted
        {
            log::error!(reason:% = error; "cannot poll the connections to Redis");
        }
    }

    /// Takes what the loop hands over.
    fn take_work(&mut self, now: Time) {
        if !self.mailbox.take(&mut self.work) {
            return;
        }
        let (node, work) = (&mut self.node, &mut self.work);
        node.spare.append(&mut work.spare);
        if let Some(watched) = work.watched.take() {
            node.set_watched(watched, now);
        }
        node.check(&mut work.checks, now);
        if let Some(number) = work.barrier.take() {
            node.ask_for_barrier(number, now);
        }
        if std::mem::take(&mut work.doubts) {
            node.doubt(true, now);
        }
        node.send(&mut work.requests, now);
        for (at, endpoints) in work.sentinels.drain(..) {
            if let Some(sentinels) = &mut self.sentinels {
                sentinels.found(at, endpoints, now);
            }
        }
        if let Some(endpoints) = work.endpoints.take() {
            self.found(endpoints);
        }
    }

    /// Makes the connections that the node wants.
    fn connect_wanted(&mut self) {
        while let Some(role) = self.node.wants() {
            match self.node.endpoint().cloned() {
                // The others go where the first one went.
                Some(endpoint) if role != Role::Resp2 => self.connect(role, &endpoint),
                _ => {
                    self.node.looking_up(role, self.clock.now());
                    self.look_up();
                }
            }
            self.drop_closed();
        }
    }

    /// Goes on with the attempts to reach Redis by one of its addresses.
    fn run_race(&mut self) {
        let now = self.clock.now();
        let dialer = &self.node.settings.dialer;
        let connected = match self.race.turn(dialer, self.poll.registry(), now) {
            None => return,
            Some(result) => result.and_then(|(endpoint, transport)| {
                transport.register_again(self.poll.registry(), token(Role::Resp2))?;
                Ok((endpoint, transport))
            }),
        };
        match connected {
            Ok((endpoint, transport)) => {
                self.set_transport(Role::Resp2, transport);
                self.node.connected(Role::Resp2, Some(endpoint), now);
            }
            Err(error) => self.lose(Role::Resp2, error),
        }
    }

    fn connect(&mut self, role: Role, endpoint: &Endpoint) {
        let now = self.clock.now();
        let dialer = &self.node.settings.dialer;
        let deadline = now.after(dialer.timeout);
        let connected = dialer.dial(endpoint, now).and_then(|transport| {
            transport.register(self.poll.registry(), token(role))?;
            Ok(transport)
        });
        self.node.connecting(role, deadline);
        match connected {
            Ok(transport) => self.set_transport(role, transport),
            Err(error) => self.lose(role, error),
        }
    }

    fn set_transport(&mut self, role: Role, transport: Transport) {
        let place = role.place();
        if self.transports.len() <= place {
            self.transports.resize_with(place + 1, || None);
        }
        self.transports[place] = Some(transport);
    }

    /// Looks whether an attempt to connect has succeeded.
    fn finish_connecting(&mut self, role: Role, now: Time) {
        let Some(Some(transport)) = self.transports.get_mut(role.place()) else {
            return;
        };
        if !transport.is_connecting() {
            return;
        }
        match transport.is_connected(now) {
            Ok(true) => self.node.connected(role, None, now),
            Ok(false) => {}
            Err(error) => self.lose(role, error),
        }
    }

    /// Whether the loop keeps up with what comes of a connection.
    fn may_read(&self, role: Role) -> bool {
        role == Role::Tracker || !self.mailbox.is_full()
    }

    fn read(&mut self, role: Role) {
        if !self.may_read(role) {
            return;
        }
        for _ in 0..READS {
            let Some(Some(transport)) = self.transports.get_mut(role.place()) else {
                return;
            };
            if !transport.readable || transport.is_connecting() {
                return;
            }
            match transport.read(&mut self.landing) {
                Ok(ReadResult::Bytes(length)) => {
                    let now = self.clock.now();
                    let is_open = self.node.connection(role).phase == Phase::Open;
                    self.node.received(role, &self.landing[..length], now);
                    self.drop_closed();
                    if is_open && length == self.landing.len() && length < LANDING {
                        self.landing = vec![0; LANDING].into();
                    }
                }
                Ok(ReadResult::Nothing) => return,
                Ok(ReadResult::End) => {
                    self.node.lost(role, Loss::Closed, self.clock.now());
                    self.drop_closed();
                }
                Err(error) => self.lose(role, error),
            }
        }
    }

    fn write(&mut self, role: Role) {
        let Some(Some(transport)) = self.transports.get_mut(role.place()) else {
            return;
        };
        let link = &mut self.node.connection(role).link;
        let is_due = !link.is_empty() || transport.is_behind();
        if !transport.is_connecting() && is_due && transport.write(link).is_err() {
            // What Redis said before it closed is still to be read; that ends it.
            transport.readable = true;
        }
    }

    fn lose(&mut self, role: Role, error: io::Error) {
        let loss = match error.kind() {
            ErrorKind::TimedOut if error.get_ref().is_none() => {
                Loss::TimedOut(self.node.settings.dialer.timeout)
            }
            _ => Loss::Broken(error),
        };
        self.node.lost(role, loss, self.clock.now());
        self.drop_closed();
    }

    /// Closes the sockets of connections that the node has given up.
    fn drop_closed(&mut self) {
        for ((_, connection), transport) in self.node.connections().zip(&mut self.transports) {
            if matches!(connection.phase, Phase::Closed | Phase::Wanted) {
                *transport = None;
            }
        }
        let resp2 = self.node.connection(Role::Resp2).phase;
        if self.race.is_on() && !matches!(resp2, Phase::Connecting(_)) {
            self.race = Race::default();
        }
    }
}

fn token(role: Role) -> Token {
    Token(role.place())
}
