//! A relay in front of a server that makes it a distant one: it passes connections on with a delay in each
//! direction, and can hold, silence or cut either direction of a connection, as a network does.
//!
//! One thread serves all connections, asleep until a socket is ready or bytes are due, so that the relay
//! costs little CPU beside what it measures. The tests and the benchmarks share this file.

mod pipe;
mod serve;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::port::listen;
use pipe::Pipe;
use serve::{Acceptor, Shared};

/// A direction of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the client, which connected to the relay, to the server behind it.
    ToServer,
    /// From the server to the client.
    ToClient,
}

/// Both directions.
pub const DIRECTIONS: [Direction; 2] = [Direction::ToServer, Direction::ToClient];

/// A connection through the relay. Later connections have larger numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ConnectionId(u64);

/// A running relay on a free port of 127.0.0.1. It ends, with all connections, when it is dropped.
pub struct Relay {
    address: SocketAddr,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

/// How far the bytes of each connection had come in one direction, to see when they have arrived.
pub struct Mark {
    direction: Direction,
    received: Vec<(ConnectionId, u64)>,
}

impl Mark {
    /// The mark on all connections but these.
    pub fn without(&self, connections: &[ConnectionId]) -> Self {
        let others = self.received.iter().copied();
        Self {
            direction: self.direction,
            received: others.filter(|(id, _)| !connections.contains(id)).collect(),
        }
    }
}

impl Relay {
    /// Listens on a free port and passes connections on to `server`. `delay` is asked once for each direction
    /// of a new connection. A connection itself is made at once.
    ///
    /// # Errors
    /// If the system has no port or no thread to spare.
    pub fn start(
        server: SocketAddr,
        delay: impl FnMut(Direction) -> Duration + Send + 'static,
    ) -> io::Result<Self> {
        Self::start_on(listen(), server, delay)
    }

    /// As [`Self::start`], on a socket that listens already.
    ///
    /// # Errors
    /// If the system has no file descriptor or no thread to spare.
    pub fn start_on(
        listener: TcpListener,
        server: SocketAddr,
        delay: impl FnMut(Direction) -> Duration + Send + 'static,
    ) -> io::Result<Self> {
        let address = listener.local_addr()?;
        listener.set_nonblocking(true)?;
        let shared = Arc::new(Shared::new(&listener)?);
        let acceptor = Acceptor::new(listener, server, Box::new(delay));
        let thread = thread::Builder::new().name("relay".into()).spawn({
            let shared = Arc::clone(&shared);
            move || shared.run(acceptor)
        })?;
        Ok(Self {
            address,
            shared,
            thread: Some(thread),
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The connections that neither side has ended, in the order in which they came.
    pub fn connections(&self) -> Vec<ConnectionId> {
        let state = self.shared.lock();
        let whole = state.pipes().filter(|pipe| pipe.is_whole());
        let mut ids: Vec<_> = whole.map(|pipe| pipe.id).collect();
        ids.sort_unstable();
        ids
    }

    /// The connection that the server sees come from that address.
    pub fn connection_from(&self, address: SocketAddr) -> Option<ConnectionId> {
        let state = self.shared.lock();
        let pipe = state.pipes().find(|pipe| pipe.address() == Some(address));
        pipe.map(|pipe| pipe.id)
    }

    /// Keeps the bytes of a direction back, and its end, until they are released. Connections that come later are
    /// not held.
    pub fn hold(&self, connections: &[ConnectionId], direction: Direction) {
        self.change(connections, |pipe| pipe.hold(direction));
    }

    /// Delivers what was held, in order, and goes on.
    pub fn release(&self, connections: &[ConnectionId], direction: Direction) {
        self.change(connections, |pipe| pipe.release(direction));
    }

    /// Swallows the bytes of a direction from now on, those under way and its end too, as a broken link does.
    pub fn silence(&self, connections: &[ConnectionId], direction: Direction) {
        self.change(connections, |pipe| pipe.silence(direction));
    }

    /// Ends a direction: its receiver sees the end of the stream now; what was under way is lost.
    pub fn cut(&self, connections: &[ConnectionId], direction: Direction) {
        self.change(connections, |pipe| pipe.cut(direction));
    }

    /// How many bytes of a direction are under way or held.
    pub fn under_way(&self, connection: ConnectionId, direction: Direction) -> usize {
        let state = self.shared.lock();
        let pipe = state.pipes().find(|pipe| pipe.id == connection);
        pipe.map_or(0, |pipe| pipe.way(direction).queued())
    }

    /// How many bytes of a direction have been delivered or lost.
    pub fn passed(&self, connection: ConnectionId, direction: Direction) -> u64 {
        let state = self.shared.lock();
        let pipe = state.pipes().find(|pipe| pipe.id == connection);
        pipe.map_or(0, |pipe| pipe.way(direction).passed())
    }

    /// Marks what has been sent into a direction of all connections until now.
    pub fn mark(&self, direction: Direction) -> Mark {
        let mut state = self.shared.lock();
        state.receive_all(direction);
        let received = state
            .pipes()
            .map(|pipe| (pipe.id, pipe.way(direction).received()));
        Mark {
            direction,
            received: received.collect(),
        }
    }

    /// Whether all that was marked has been delivered, or is lost.
    pub fn has_passed(&self, mark: &Mark) -> bool {
        let state = self.shared.lock();
        mark.received.iter().all(|&(id, received)| {
            let pipe = state.pipes().find(|pipe| pipe.id == id);
            pipe.is_none_or(|pipe| pipe.way(mark.direction).passed() >= received)
        })
    }

    fn change(&self, connections: &[ConnectionId], change: impl Fn(&mut Pipe)) {
        let mut state = self.shared.lock();
        let pipes = state.pipes_mut();
        pipes
            .filter(|pipe| connections.contains(&pipe.id))
            .for_each(change);
        drop(state);
        self.shared.ring();
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.shared.end();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
