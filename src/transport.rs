//! A socket as the loop and the helper thread use it: never waiting, with what is known of its readiness. All bytes,
//! of clients and of Redis, are read and written here.
//!
//! The poll is edge-triggered: it tells of a change once, so what it told is kept here until a read or
//! a write finds nothing more to do.

use std::io::{self, ErrorKind, IoSlice, Write};
use std::net::{Shutdown, SocketAddr};

use mio::event::Event;
use mio::net::TcpStream;
use rustix::io::writev;
use rustix::net::{RecvFlags, SendFlags, recv, send};

use crate::clock::Time;
use crate::resp::reply::Output;

/// A socket, and what is known of its readiness.
pub struct Transport {
    stream: TcpStream,
    /// There may be bytes to read.
    pub readable: bool,
    /// Its end came: it is to be read until that is found.
    ending: bool,
    /// It may take bytes.
    pub writable: bool,
    /// Until when it may take to be connected, as long as it is not.
    connecting: Option<Time>,
    /// Nothing more will be written.
    ended: bool,
}

/// Bytes that are to be written.
pub trait Source {
    /// Whether there are none for now.
    fn is_empty(&self) -> bool;

    /// Gives a writer what it takes with one call, and no longer holds that much. Returns how many bytes went.
    ///
    /// # Errors
    /// Those of the writer; all is still held then.
    fn send(&mut self, writer: &mut impl Write) -> io::Result<usize>;
}

impl Source for Output {
    fn is_empty(&self) -> bool {
        self.is_empty()
    }

    fn send(&mut self, writer: &mut impl Write) -> io::Result<usize> {
        self.send(writer)
    }
}

/// What a read found.
#[derive(Debug, PartialEq, Eq)]
pub enum ReadResult {
    /// So many bytes.
    Bytes(usize),
    /// Nothing for now.
    Nothing,
    /// The other side sends nothing more.
    End,
}

impl Transport {
    /// Takes over one that somebody else connected.
    #[must_use]
    pub fn accepted(stream: TcpStream) -> Self {
        Self {
            stream,
            readable: false,
            ending: false,
            writable: true,
            connecting: None,
            ended: false,
        }
    }

    /// Starts to connect, which may take until the deadline.
    ///
    /// # Errors
    /// If it can't even be started.
    pub fn connect(address: SocketAddr, deadline: Time) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        Ok(Self {
            stream,
            readable: false,
            ending: false,
            writable: false,
            connecting: Some(deadline),
            ended: false,
        })
    }

    /// The stream, to register it.
    pub fn stream(&mut self) -> &mut TcpStream {
        &mut self.stream
    }

    /// Notes what an event says. Returns whether it takes bytes now and did not before.
    pub fn note(&mut self, event: &Event) -> bool {
        self.ending |= event.is_read_closed() || event.is_error();
        self.readable |= event.is_readable() || self.ending;
        let writable = event.is_writable() || event.is_write_closed() || event.is_error();
        let news = writable && !self.writable;
        self.writable |= writable;
        news
    }

    /// Whether nobody has found it connected yet.
    #[must_use]
    pub fn is_connecting(&self) -> bool {
        self.connecting.is_some()
    }

    /// Whether it is connected by now.
    ///
    /// # Errors
    /// If that failed, or took too long.
    pub fn is_connected(&mut self, now: Time) -> io::Result<bool> {
        let Some(deadline) = self.connecting else {
            return Ok(true);
        };
        if let Some(error) = self.stream.take_error()? {
            return Err(error);
        }
        if self.writable && self.stream.peer_addr().is_ok() {
            self.connecting = None;
            return Ok(true);
        }
        if now >= deadline {
            Err(ErrorKind::TimedOut.into())
        } else {
            Ok(false)
        }
    }

    /// Reads what is there, with one system call.
    ///
    /// # Errors
    /// If the connection is broken.
    pub fn read(&mut self, buffer: &mut [u8]) -> io::Result<ReadResult> {
        let received = recv(&self.stream, &mut *buffer, RecvFlags::empty());
        match received.map(|(length, _)| length).map_err(io::Error::from) {
            Ok(0) => {
                self.readable = false;
                Ok(ReadResult::End)
            }
            Ok(length) => {
                // A short read emptied the socket; what comes later is a new event. The end came already.
                self.readable = length == buffer.len() || self.ending;
                Ok(ReadResult::Bytes(length))
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                self.readable = false;
                Ok(ReadResult::Nothing)
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => Ok(ReadResult::Nothing),
            Err(error) => Err(error),
        }
    }

    /// Writes as far as the socket takes it; one system call if it takes all. Returns how many bytes that was.
    ///
    /// # Errors
    /// If the connection is broken.
    pub fn write(&mut self, source: &mut impl Source) -> io::Result<usize> {
        let mut written = 0;
        while self.writable && !source.is_empty() {
            match source.send(&mut Bare(&self.stream)) {
                Ok(length) => written += length,
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.writable = false,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(written)
    }

    /// Tells the other side that nothing more comes.
    ///
    /// # Errors
    /// If the connection is broken.
    pub fn end_output(&mut self) -> io::Result<()> {
        if self.ended {
            return Ok(());
        }
        self.ended = true;
        self.stream.shutdown(Shutdown::Write)
    }
}

/// A socket as it is written to by system calls alone. The C library's own functions ask, in a program with
/// more than one thread, whether the thread is to be cancelled: that takes 1% to 2% of the time of a hit without a
/// pipeline.
struct Bare<'a>(&'a TcpStream);

impl Write for Bare<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(send(self.0, bytes, SendFlags::NOSIGNAL)?)
    }

    fn write_vectored(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        Ok(writev(self.0, pieces)?)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
