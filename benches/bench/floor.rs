//! The floor: an epoll server that reads requests of a known length and answers each with a fixed reply.
//! It parses nothing and looks nothing up, so that its CPU time is that of the sockets alone.
//!
//! It runs as a process of its own. At each wake-up of a connection it reads once, and writes all replies
//! in one go.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr};

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};
use slab::Slab;

use crate::dataset::{Dataset, REQUEST};

const LISTENER: Token = Token(usize::MAX);

struct Connection {
    stream: TcpStream,
    /// The bytes of a request that has not arrived in full.
    partial: usize,
    /// The bytes of replies that are not written.
    owed: usize,
    /// How much of the first of them is written.
    sent: usize,
}

/// Serves for ever.
pub fn serve(port: u16, value: usize) -> io::Result<()> {
    let mut poll = Poll::new()?;
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut listener = TcpListener::bind(address)?;
    poll.registry()
        .register(&mut listener, LISTENER, Interest::READABLE)?;

    let dataset = Dataset { count: 1, value };
    let reply = [&dataset.reply_header()[..], &dataset.value(0), b"\r\n"].concat();
    let replies = reply.repeat(1 + (64 * 1024usize).div_ceil(reply.len()));
    let mut buffer = vec![0; 64 * 1024];
    let mut connections: Slab<Connection> = Slab::new();
    let mut events = Events::with_capacity(1024);
    loop {
        poll.poll(&mut events, None)?;
        for event in &events {
            if event.token() == LISTENER {
                accept(&listener, &mut connections, &poll)?;
                continue;
            }
            let slot = event.token().0;
            let Some(connection) = connections.get_mut(slot) else {
                continue;
            };
            let alive = (!event.is_readable() || connection.read(&mut buffer, reply.len()))
                && connection.write(&replies, reply.len());
            if !alive {
                connections.remove(slot);
            }
        }
    }
}

fn accept(
    listener: &TcpListener,
    connections: &mut Slab<Connection>,
    poll: &Poll,
) -> io::Result<()> {
    loop {
        let mut stream = match listener.accept() {
            Ok((stream, _)) => stream,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error),
        };
        stream.set_nodelay(true)?;
        let slot = connections.vacant_entry();
        poll.registry().register(
            &mut stream,
            Token(slot.key()),
            Interest::READABLE | Interest::WRITABLE,
        )?;
        slot.insert(Connection {
            stream,
            partial: 0,
            owed: 0,
            sent: 0,
        });
    }
}

impl Connection {
    /// Reads what is there. Returns whether the client is.
    fn read(&mut self, buffer: &mut [u8], reply: usize) -> bool {
        loop {
            match self.stream.read(buffer) {
                Ok(0) => return false,
                Ok(length) => {
                    let bytes = self.partial + length;
                    self.owed += bytes / REQUEST * reply;
                    self.partial = bytes % REQUEST;
                    if length < buffer.len() {
                        return true;
                    }
                }
                Err(error) => return error.kind() == ErrorKind::WouldBlock,
            }
        }
    }

    /// Writes what the socket takes. Returns whether the client is there.
    fn write(&mut self, replies: &[u8], reply: usize) -> bool {
        while self.owed > 0 {
            let end = replies.len().min(self.sent + self.owed);
            match self.stream.write(&replies[self.sent..end]) {
                Ok(length) => {
                    self.owed -= length;
                    self.sent = (self.sent + length) % reply;
                }
                Err(error) => return error.kind() == ErrorKind::WouldBlock,
            }
        }
        true
    }
}
