//! Connects to whichever of several addresses answers first. The next address is tried when the previous one has
//! failed, or has not answered after a moment (RFC 8305, "happy eyeballs").

use std::collections::VecDeque;
use std::io;
use std::time::Duration;

use mio::event::Event;
use mio::{Registry, Token};

use super::resolve;
use crate::clock::Time;
use crate::transport::Transport;
use crate::transport::dial::{Dialer, Endpoint};

/// How long an address has before the next one is tried too.
const HEAD_START: Duration = Duration::from_millis(250);

/// The addresses and the attempts.
#[derive(Default)]
pub(super) struct Race {
    waiting: VecDeque<Endpoint>,
    /// Attempts in progress, with the tokens by which the poll reports on them.
    attempts: Vec<(Token, Endpoint, Transport)>,
    /// When the next attempt is due.
    next: Option<Time>,
    /// The error of the latest failed attempt.
    error: Option<io::Error>,
    /// How many attempts were made.
    count: usize,
    /// The first of the tokens.
    first: usize,
}

impl Race {
    /// A race between these addresses, whose attempts get the tokens from `first` on.
    pub fn between(endpoints: Vec<Endpoint>, first: usize) -> Self {
        Self {
            waiting: endpoints.into(),
            next: Some(Time::default()),
            first,
            ..Self::default()
        }
    }

    /// Whether a race is in progress.
    pub fn is_on(&self) -> bool {
        self.next.is_some() || !self.attempts.is_empty()
    }

    /// How long the race may take: each address has a full timeout.
    pub fn time(&self, dialer: &Dialer) -> Duration {
        let beside = u32::try_from(self.waiting.len()).unwrap_or(u32::MAX);
        dialer.timeout + HEAD_START.saturating_mul(beside.saturating_sub(1))
    }

    /// When the race continues, unless an event comes first.
    pub fn due(&self) -> Option<Time> {
        self.next
    }

    /// Notes an event.
    pub fn note(&mut self, event: &Event) {
        let mut attempts = self.attempts.iter_mut();
        if let Some((_, _, attempt)) = attempts.find(|(token, ..)| *token == event.token()) {
            attempt.note(event);
        }
    }

    /// Continues the race. Returns the connection that has won, or why there is none.
    pub fn turn(
        &mut self,
        dialer: &Dialer,
        registry: &Registry,
        now: Time,
    ) -> Option<io::Result<(Endpoint, Transport)>> {
        if !self.is_on() {
            return None;
        }
        if let Some(winner) = self.judge(now) {
            *self = Self::default();
            return Some(Ok(winner));
        }
        while self.next.is_some_and(|next| next <= now) {
            let Some(endpoint) = self.waiting.pop_front() else {
                self.next = None;
                break;
            };
            self.next = Some(now.after(HEAD_START));
            if let Err(error) = self.attempt(endpoint, dialer, registry, now) {
                self.failed(error, now);
            }
        }
        let is_over = self.attempts.is_empty() && self.next.is_none();
        is_over.then(|| Err(self.error.take().unwrap_or_else(resolve::none)))
    }

    /// Checks each attempt. Returns the first one that has succeeded.
    fn judge(&mut self, now: Time) -> Option<(Endpoint, Transport)> {
        let mut at = 0;
        while let Some((_, _, attempt)) = self.attempts.get_mut(at) {
            match attempt.is_connected(now) {
                Ok(true) => {
                    let (_, endpoint, transport) = self.attempts.swap_remove(at);
                    return Some((endpoint, transport));
                }
                Ok(false) => at += 1,
                Err(error) => {
                    self.attempts.remove(at);
                    self.failed(error, now);
                }
            }
        }
        None
    }

    fn attempt(
        &mut self,
        endpoint: Endpoint,
        dialer: &Dialer,
        registry: &Registry,
        now: Time,
    ) -> io::Result<()> {
        let token = Token(self.first + self.count);
        self.count += 1;
        let attempt = dialer.dial(&endpoint, now)?;
        attempt.register(registry, token)?;
        self.attempts.push((token, endpoint, attempt));
        Ok(())
    }

    /// An attempt failed: the next address is tried at once.
    fn failed(&mut self, error: io::Error, now: Time) {
        self.error = Some(error);
        self.next = Some(now);
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, TcpStream};

    use mio::{Events, Poll};
    use rustix::net::{AddressFamily, SocketType, bind, getsockname, listen, socket};

    use super::*;

    const DIALER: Dialer = Dialer {
        tls: None,
        timeout: Duration::from_secs(1),
        keepalive: Duration::ZERO,
    };

    fn at(milliseconds: u64) -> Time {
        Time::from_millis(milliseconds)
    }

    /// An address that accepts connections, and its listener.
    fn open() -> (Endpoint, TcpListener) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("a bound socket");
        (Endpoint::Tcp(address), listener)
    }

    /// An address without a listener.
    fn closed() -> Endpoint {
        open().0
    }

    /// An address where attempts to connect are neither accepted nor refused, as in a network that drops packets, and
    /// what causes it: a listener with a full queue.
    fn stuck() -> (Endpoint, impl Sized) {
        let listener = socket(AddressFamily::INET, SocketType::STREAM, None).expect("a socket");
        bind(&listener, &SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        listen(&listener, 0).expect("a listener");
        let address = getsockname(&listener).expect("a bound socket");
        let address = SocketAddrV4::try_from(address).expect("an IPv4 address");
        let mut queue = Vec::new();
        let moment = Duration::from_millis(100);
        while let Ok(one) = TcpStream::connect_timeout(&address.into(), moment) {
            queue.push(one);
        }
        (Endpoint::Tcp(address.into()), (listener, queue))
    }

    /// A race in a poll of its own.
    struct World {
        poll: Poll,
        race: Race,
    }

    impl World {
        fn new(endpoints: Vec<Endpoint>) -> Self {
            Self {
                poll: Poll::new().expect("a poll"),
                race: Race::between(endpoints, 0),
            }
        }

        fn turn(&mut self, now: Time) -> Option<io::Result<Endpoint>> {
            let result = self.race.turn(&DIALER, self.poll.registry(), now);
            result.map(|result| result.map(|(endpoint, _)| endpoint))
        }

        /// Processes events until it has ended, all at that time.
        fn end(&mut self, now: Time) -> io::Result<Endpoint> {
            let mut events = Events::with_capacity(8);
            loop {
                if let Some(result) = self.turn(now) {
                    return result;
                }
                let patience = Some(Duration::from_secs(30));
                self.poll.poll(&mut events, patience).expect("a poll");
                assert!(!events.is_empty(), "nothing happens");
                for event in &events {
                    self.race.note(event);
                }
            }
        }
    }

    #[test]
    fn the_next_address_is_tried_beside_one_that_does_not_answer() {
        let (stuck, _queue) = stuck();
        let (good, _listener) = open();
        let mut world = World::new(vec![stuck, good.clone()]);
        assert!(world.turn(at(0)).is_none());
        assert_eq!(world.race.due(), Some(at(250)));
        assert!(world.turn(at(249)).is_none());
        assert_eq!(world.race.attempts.len(), 1);
        assert_eq!(world.end(at(250)).expect("a connection"), good);
        assert!(!world.race.is_on());
    }

    #[test]
    fn the_next_address_is_tried_at_once_when_one_fails() {
        let (good, _listener) = open();
        let mut world = World::new(vec![closed(), closed(), good.clone()]);
        assert_eq!(world.end(at(0)).expect("a connection"), good);
    }

    #[test]
    fn without_one_that_answers_the_last_error_counts() {
        let mut world = World::new(vec![closed(), closed()]);
        let error = world.end(at(0)).expect_err("nobody listens");
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
        let error = World::new(Vec::new()).end(at(0)).expect_err("no address");
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn each_address_has_its_time() {
        let [(first, _one), (second, _other)] = [stuck(), stuck()];
        let mut world = World::new(vec![first, second]);
        assert_eq!(world.race.time(&DIALER), Duration::from_millis(1250));
        for now in [0, 250, 1000, 1249] {
            assert!(world.turn(at(now)).is_none(), "{now}");
        }
        let error = world
            .turn(at(1250))
            .expect("an end")
            .expect_err("nobody answers");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }
}
