//! The thread of a relay: it accepts connections, sleeps, and moves what is due.

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use slab::Slab;

use super::pipe::Pipe;
use super::{ConnectionId, DIRECTIONS, Direction};

/// The tokens of the poll that are no side of a connection.
const LISTENER: u64 = u64::MAX;
const BELL: u64 = u64::MAX - 1;

/// How much is read at once, in bytes.
const LANDING: usize = 64 * 1024;

/// What the thread shares with those who hold, silence and cut.
pub(super) struct Shared {
    epoll: OwnedFd,
    /// Wakes the thread after a change.
    bell: OwnedFd,
    state: Mutex<State>,
}

pub(super) struct State {
    pipes: Slab<Pipe>,
    /// Where each read goes first.
    landing: Box<[u8]>,
    over: bool,
}

pub(super) struct Acceptor {
    listener: TcpListener,
    server: SocketAddr,
    delay: Delay,
    next_id: u64,
}

type Delay = Box<dyn FnMut(Direction) -> Duration + Send>;

impl Shared {
    pub fn new(listener: &TcpListener) -> io::Result<Self> {
        let shared = Self {
            epoll: epoll::create(epoll::CreateFlags::CLOEXEC)?,
            bell: eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?,
            state: Mutex::new(State {
                pipes: Slab::new(),
                landing: vec![0; LANDING].into(),
                over: false,
            }),
        };
        let (bell, accept) = (EventData::new_u64(BELL), EventData::new_u64(LISTENER));
        epoll::add(&shared.epoll, &shared.bell, bell, EventFlags::IN)?;
        epoll::add(&shared.epoll, listener, accept, EventFlags::IN)?;
        Ok(shared)
    }

    /// A thread that panicked leaves no change half done.
    pub fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has the thread look at what was changed.
    pub fn ring(&self) {
        // A bell that is full rings anyway.
        let _ = rustix::io::write(&self.bell, &1u64.to_ne_bytes());
    }

    /// Has the thread end.
    pub fn end(&self) {
        self.lock().over = true;
        self.ring();
    }

    pub fn run(&self, mut acceptor: Acceptor) {
        let mut due = None;
        let mut events = Vec::with_capacity(256);
        loop {
            self.sleep(due);
            events.clear();
            // Interrupted or not, what is due is delivered.
            let at_once = Timespec::default();
            let _ = epoll::wait(&self.epoll, spare_capacity(&mut events), Some(&at_once));
            let mut state = self.lock();
            if state.over {
                return;
            }
            for event in &events {
                match event.data.u64() {
                    LISTENER => acceptor.accept(&mut state),
                    BELL => drop(rustix::io::read(&self.bell, &mut [0; 8])),
                    token => state.ready(token, event.flags),
                }
            }
            due = state.deliver(&self.epoll);
        }
    }

    /// Sleeps until something happens or is due. The timeout of epoll is in whole milliseconds, that of poll not.
    fn sleep(&self, due: Option<Instant>) {
        let left = due.map(|due| due.saturating_duration_since(Instant::now()));
        let timeout = left.and_then(|left| Timespec::try_from(left).ok());
        let mut fds = [PollFd::new(&self.epoll, PollFlags::IN)];
        let _ = poll(&mut fds, timeout.as_ref());
    }
}

impl Acceptor {
    pub fn new(listener: TcpListener, server: SocketAddr, delay: Delay) -> Self {
        Self {
            listener,
            server,
            delay,
            next_id: 0,
        }
    }

    /// Accepts all who wait. Whose server is not there sees the connection closed.
    fn accept(&mut self, state: &mut State) {
        while let Ok((client, _)) = self.listener.accept() {
            let Ok(server) = TcpStream::connect(self.server) else {
                continue;
            };
            let id = ConnectionId(self.next_id);
            let delays = DIRECTIONS.map(&mut self.delay);
            if let Ok(pipe) = Pipe::new(id, [client, server], delays) {
                state.pipes.insert(pipe);
                self.next_id += 1;
            }
        }
    }
}

impl State {
    pub fn pipes(&self) -> impl Iterator<Item = &Pipe> {
        self.pipes.iter().map(|(_, pipe)| pipe)
    }

    pub fn pipes_mut(&mut self) -> impl Iterator<Item = &mut Pipe> {
        self.pipes.iter_mut().map(|(_, pipe)| pipe)
    }

    /// Reads all that the senders of a direction have sent.
    pub fn receive_all(&mut self, direction: Direction) {
        for (_, pipe) in &mut self.pipes {
            while pipe.receive(direction, &mut self.landing) {}
        }
    }

    /// A side of a connection can be read or written.
    fn ready(&mut self, token: u64, flags: EventFlags) {
        let (slot, side) = Pipe::place(token);
        if let Some(pipe) = self.pipes.get_mut(slot) {
            pipe.ready(side, flags, &mut self.landing);
        }
    }

    /// Delivers what is due, and drops the connections that are over. Returns when something is due next.
    fn deliver(&mut self, epoll: &OwnedFd) -> Option<Instant> {
        let now = Instant::now();
        let mut next: Option<Instant> = None;
        self.pipes.retain(|slot, pipe| {
            let due = pipe.deliver(now);
            next = next.into_iter().chain(due).min();
            let over = pipe.is_over();
            if !over {
                pipe.watch(slot, epoll);
            }
            !over
        });
        next
    }
}
