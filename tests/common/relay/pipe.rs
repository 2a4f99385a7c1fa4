//! A connection that is passed on, and what is under way on it.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::event::epoll::{self, EventData, EventFlags};

use super::{ConnectionId, Direction};

/// How much of a direction is under way before no more is read from its sender, in bytes: as in a network,
/// the sender waits then.
const WINDOW: usize = 4 * 1024 * 1024;

/// A connection that is passed on.
pub(super) struct Pipe {
    pub id: ConnectionId,
    /// The client's and the server's.
    sides: [Side; 2],
    /// The way from each side to the other, in the order of [`Direction`].
    ways: [Way; 2],
}

struct Side {
    stream: TcpStream,
    /// What the poll watches; a side of which nothing is wanted is not registered.
    watched: EventFlags,
}

/// One direction.
pub(super) struct Way {
    mode: Mode,
    delay: Duration,
    /// What has not been delivered, in order.
    parcels: VecDeque<Parcel>,
    /// The bytes in them.
    queued: usize,
    /// The bytes read from the sender since the connection began.
    received: u64,
    /// The sender's end was read.
    ended: bool,
    /// The receiver's socket is full.
    blocked: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Open,
    Held,
    Lost,
}

/// Bytes that were read together; none are the sender's end.
struct Parcel {
    due: Instant,
    bytes: Vec<u8>,
    /// How many of them are written.
    written: usize,
}

impl Pipe {
    /// Passes on between a client and a server, with a delay in each [`Direction`].
    pub fn new(
        id: ConnectionId,
        streams: [TcpStream; 2],
        delays: [Duration; 2],
    ) -> io::Result<Self> {
        for stream in &streams {
            stream.set_nonblocking(true)?;
            stream.set_nodelay(true)?;
        }
        let watched = EventFlags::empty();
        Ok(Self {
            id,
            sides: streams.map(|stream| Side { stream, watched }),
            ways: delays.map(Way::new),
        })
    }

    /// Where the server sees the connection come from.
    pub fn address(&self) -> Option<SocketAddr> {
        self.sides[1].stream.local_addr().ok()
    }

    pub fn way(&self, direction: Direction) -> &Way {
        &self.ways[direction as usize]
    }

    pub fn hold(&mut self, direction: Direction) {
        self.ways[direction as usize].turn(Mode::Open, Mode::Held);
    }

    pub fn release(&mut self, direction: Direction) {
        self.ways[direction as usize].turn(Mode::Held, Mode::Open);
    }

    pub fn silence(&mut self, direction: Direction) {
        self.ways[direction as usize].lose();
    }

    pub fn cut(&mut self, direction: Direction) {
        self.silence(direction);
        // It fails when the receiver has gone.
        let receiver = &self.sides[1 - direction as usize].stream;
        let _ = receiver.shutdown(Shutdown::Write);
    }

    /// Whether neither side has ended it.
    pub fn is_whole(&self) -> bool {
        !self.ways.iter().any(|way| way.ended)
    }

    /// Whether nothing more will be delivered.
    pub fn is_over(&self) -> bool {
        self.ways.iter().all(Way::is_over)
    }

    /// The slot of the connection and the side of it that a token of the poll stands for.
    pub fn place(token: u64) -> (usize, usize) {
        ((token / 2) as usize, (token % 2) as usize)
    }

    fn token(slot: usize, side: usize) -> EventData {
        EventData::new_u64((2 * slot + side) as u64)
    }

    /// A side can be read or written.
    pub fn ready(&mut self, side: usize, flags: EventFlags, landing: &mut [u8]) {
        if flags.contains(EventFlags::OUT) {
            self.ways[1 - side].blocked = false;
        }
        if flags.intersects(EventFlags::IN | EventFlags::HUP | EventFlags::ERR) {
            self.ways[side].receive(&self.sides[side].stream, landing);
        }
    }

    /// Reads once from the sender of a direction. Returns whether there may be more.
    pub fn receive(&mut self, direction: Direction, landing: &mut [u8]) -> bool {
        let from = direction as usize;
        self.ways[from].receive(&self.sides[from].stream, landing)
    }

    /// Writes what is due. Returns when something is due next.
    pub fn deliver(&mut self, now: Instant) -> Option<Instant> {
        for (from, way) in self.ways.iter_mut().enumerate() {
            way.deliver(&self.sides[1 - from].stream, now);
        }
        self.ways.iter().filter_map(Way::due).min()
    }

    /// Has the poll watch what is wanted of each side.
    pub fn watch(&mut self, slot: usize, epoll: &OwnedFd) {
        for (index, side) in self.sides.iter_mut().enumerate() {
            let mut wanted = EventFlags::empty();
            wanted.set(EventFlags::IN, self.ways[index].has_room());
            wanted.set(EventFlags::OUT, self.ways[1 - index].blocked);
            if wanted == side.watched {
                continue;
            }
            let token = Self::token(slot, index);
            let changed = if wanted.is_empty() {
                epoll::delete(epoll, &side.stream)
            } else if side.watched.is_empty() {
                epoll::add(epoll, &side.stream, token, wanted)
            } else {
                epoll::modify(epoll, &side.stream, token, wanted)
            };
            changed.expect("an open socket can be watched");
            side.watched = wanted;
        }
    }
}

impl Way {
    fn new(delay: Duration) -> Self {
        Self {
            mode: Mode::Open,
            delay,
            parcels: VecDeque::new(),
            queued: 0,
            received: 0,
            ended: false,
            blocked: false,
        }
    }

    fn has_room(&self) -> bool {
        !self.ended && self.queued < WINDOW
    }

    /// The bytes that are under way or held.
    pub fn queued(&self) -> usize {
        self.queued
    }

    /// The bytes that its sender has sent.
    pub fn received(&self) -> u64 {
        self.received
    }

    /// The bytes that have been delivered or lost.
    pub fn passed(&self) -> u64 {
        self.received - self.queued as u64
    }

    /// Nothing more will be delivered.
    fn is_over(&self) -> bool {
        self.ended && self.parcels.is_empty()
    }

    /// When the next bytes are to be written.
    fn due(&self) -> Option<Instant> {
        let waits = self.mode == Mode::Held || self.blocked;
        let parcel = self.parcels.front().filter(|_| !waits)?;
        Some(parcel.due)
    }

    fn turn(&mut self, from: Mode, to: Mode) {
        if self.mode == from {
            self.mode = to;
        }
    }

    /// Loses what is under way, and all that will come.
    fn lose(&mut self) {
        self.mode = Mode::Lost;
        self.parcels.clear();
        self.queued = 0;
        self.blocked = false;
    }

    /// Reads once. Returns whether there was something, and may be more.
    fn receive(&mut self, mut sender: &TcpStream, landing: &mut [u8]) -> bool {
        if !self.has_room() {
            return false;
        }
        let length = match sender.read(landing) {
            Ok(length) => length,
            Err(error) if is_passing(&error) => return false,
            // A connection that was reset has ended too.
            Err(_) => 0,
        };
        self.ended = length == 0;
        self.received += length as u64;
        if self.mode != Mode::Lost {
            self.queued += length;
            self.parcels.push_back(Parcel {
                due: Instant::now() + self.delay,
                bytes: landing[..length].to_vec(),
                written: 0,
            });
        }
        !self.ended
    }

    /// Writes what is due.
    fn deliver(&mut self, mut receiver: &TcpStream, now: Instant) {
        while self.due().is_some_and(|due| due <= now)
            && let Some(parcel) = self.parcels.front_mut()
        {
            let rest = &parcel.bytes[parcel.written..];
            let written = if rest.is_empty() {
                receiver.shutdown(Shutdown::Write).map(|()| 0)
            } else {
                receiver.write(rest)
            };
            match written {
                Ok(length) => {
                    self.queued -= length;
                    parcel.written += length;
                    if parcel.written == parcel.bytes.len() {
                        self.parcels.pop_front();
                    }
                }
                Err(error) if is_passing(&error) => self.blocked = true,
                // The receiver has gone.
                Err(_) => self.lose(),
            }
        }
    }
}

/// Whether a read or write may succeed later.
fn is_passing(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::Interrupted | ErrorKind::WouldBlock)
}
