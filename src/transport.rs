//! A non-blocking socket as the loop and the helper thread use it, with its readiness. All bytes of clients and Redis
//! are read and written here.
//!
//! The poll is edge-triggered: it reports each change once. So the readiness is kept here until a read or a write finds
//! nothing more to do.

pub mod dial;
mod socket;

use std::io::{self, ErrorKind, Write};
use std::os::fd::OwnedFd;

use mio::event::Event;
use mio::{Registry, Token};

use socket::Socket;
pub use socket::Socket as Outlet;

use crate::clock::Time;
use crate::resp::reply::Output;
use crate::tls;

/// A connection and its readiness.
pub struct Transport {
    socket: Socket,
    /// Encrypts the bytes, if TLS is used.
    tls: Option<Box<tls::Stream>>,
    /// There may be bytes to read.
    pub readable: bool,
    /// The peer has closed its side, so the socket must be read until the end is found.
    ending: bool,
    /// The socket may accept bytes.
    pub writable: bool,
    /// Until when connecting may take, if that is not complete.
    connecting: Option<Time>,
    /// Nothing more will be written.
    ended: bool,
}

/// Bytes to write.
pub trait Source {
    /// Whether there are no bytes for now.
    fn is_empty(&self) -> bool;

    /// Gives a writer as many bytes as it accepts with one call, and drops them. Returns how many were written.
    ///
    /// # Errors
    /// The writer's errors. Nothing is dropped then.
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

/// The result of a read.
#[derive(Debug, PartialEq, Eq)]
pub enum ReadResult {
    /// This many bytes were read.
    Bytes(usize),
    /// There is nothing to read for now.
    Nothing,
    /// The other side sends nothing more.
    End,
}

impl Transport {
    /// Takes over a socket that is already connected.
    #[must_use]
    pub fn accepted(socket: impl Into<OwnedFd>) -> Self {
        Self {
            socket: Socket(socket.into()),
            tls: None,
            readable: false,
            ending: false,
            writable: true,
            connecting: None,
            ended: false,
        }
    }

    /// As [`Self::accepted`], with TLS. The handshake may take until `deadline`.
    #[must_use]
    pub fn accepted_by_tls(socket: impl Into<OwnedFd>, tls: tls::Stream, deadline: Time) -> Self {
        Self {
            tls: Some(Box::new(tls)),
            connecting: Some(deadline),
            ..Self::accepted(socket)
        }
    }

    /// Registers the socket with the poll, under this token.
    ///
    /// # Errors
    /// If the system refuses.
    pub fn register(&self, registry: &Registry, token: Token) -> io::Result<()> {
        self.socket.register(registry, token)
    }

    /// Registers the socket under another token.
    ///
    /// # Errors
    /// If the system refuses.
    pub fn register_again(&self, registry: &Registry, token: Token) -> io::Result<()> {
        self.socket.register_again(registry, token)
    }

    /// Notes an event. Returns whether the socket has become writable.
    pub fn note(&mut self, event: &Event) -> bool {
        self.ending |= event.is_read_closed() || event.is_error();
        self.readable |= event.is_readable() || self.ending;
        let writable = event.is_writable() || event.is_write_closed() || event.is_error();
        let news = writable && !self.writable;
        self.writable |= writable;
        news
    }

    /// Whether connecting is not known to be complete.
    #[must_use]
    pub fn is_connecting(&self) -> bool {
        self.connecting.is_some()
    }

    /// Whether the socket is connected by now, with the TLS handshake complete if there is one.
    ///
    /// # Errors
    /// If connecting has failed, or took too long.
    pub fn is_connected(&mut self, now: Time) -> io::Result<bool> {
        let Some(deadline) = self.connecting else {
            return Ok(true);
        };
        if let Some(error) = self.socket.error()? {
            return Err(error);
        }
        let mut late = io::Error::from(ErrorKind::TimedOut);
        let is_connected = self.writable
            && self.socket.is_connected()
            && match self.parts() {
                (_, None) => true,
                (mut wire, Some(tls)) => {
                    late = tls.late();
                    tls.shake_hands(&mut wire)?
                }
            };
        if is_connected {
            self.connecting = None;
            // Bytes that arrived right after the handshake are not announced again.
            self.readable |= self.tls.is_some();
            Ok(true)
        } else if now < deadline {
            Ok(false)
        } else {
            Err(late)
        }
    }

    /// Reads what has arrived, with a single system call unless TLS is used.
    ///
    /// # Errors
    /// If the connection is broken.
    pub fn read(&mut self, buffer: &mut [u8]) -> io::Result<ReadResult> {
        match self.parts() {
            (mut wire, None) => wire.receive(buffer),
            (mut wire, Some(tls)) => tls.read(&mut wire, buffer),
        }
    }

    /// Writes as many bytes as the socket accepts, with a single system call if it accepts all. Returns how many were
    /// written.
    ///
    /// # Errors
    /// If the connection is broken.
    pub fn write(&mut self, source: &mut impl Source) -> io::Result<usize> {
        if let (mut wire, Some(tls)) = self.parts() {
            return tls.write(&mut wire, source);
        }
        let mut written = 0;
        while self.writable && !source.is_empty() {
            match source.send(&mut &self.socket) {
                Ok(length) => written += length,
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.writable = false,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(written)
    }

    /// Another handle of the socket, for writing alone; `None` if what is written to it must be encrypted.
    ///
    /// # Errors
    /// If no file descriptors are left.
    pub fn outlet(&self) -> io::Result<Option<Outlet>> {
        match self.tls {
            Some(_) => Ok(None),
            None => Ok(Some(Socket(self.socket.0.try_clone()?))),
        }
    }

    /// Whether encrypted bytes still wait for the socket.
    #[must_use]
    pub fn is_behind(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| tls.is_behind())
    }

    /// Shuts down the sending side.
    ///
    /// # Errors
    /// If the connection is broken.
    pub fn end_output(&mut self) -> io::Result<()> {
        if self.ended {
            return Ok(());
        }
        self.ended = true;
        if let (mut wire, Some(tls)) = self.parts() {
            tls.end(&mut wire)?;
        }
        self.socket.end_output()
    }

    /// The socket with its readiness, and the TLS stream.
    fn parts(&mut self) -> (Wire<'_>, Option<&mut tls::Stream>) {
        let wire = Wire {
            socket: &self.socket,
            readable: &mut self.readable,
            ending: self.ending,
            writable: &mut self.writable,
        };
        (wire, self.tls.as_deref_mut())
    }
}

/// A socket with its readiness, which is kept up to date.
pub(crate) struct Wire<'a> {
    socket: &'a Socket,
    readable: &'a mut bool,
    ending: bool,
    writable: &'a mut bool,
}

impl Wire<'_> {
    fn receive(&mut self, buffer: &mut [u8]) -> io::Result<ReadResult> {
        match self.socket.receive(buffer) {
            Ok(0) => {
                *self.readable = false;
                Ok(ReadResult::End)
            }
            Ok(length) => {
                // A short read has emptied the socket, and later bytes cause a new event. But the end was announced
                // already.
                *self.readable = length == buffer.len() || self.ending;
                Ok(ReadResult::Bytes(length))
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                *self.readable = false;
                Ok(ReadResult::Nothing)
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => Ok(ReadResult::Nothing),
            Err(error) => Err(error),
        }
    }
}

#[cfg_attr(not(feature = "tls"), allow(dead_code))]
impl Wire<'_> {
    /// Whether the socket may have bytes.
    pub fn is_readable(&self) -> bool {
        *self.readable
    }

    /// Marks the socket as readable, whatever it holds.
    pub fn set_readable(&mut self) {
        *self.readable = true;
    }

    /// Whether the socket may take bytes.
    pub fn is_writable(&self) -> bool {
        *self.writable
    }
}

impl io::Read for Wire<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.receive(buffer)? {
            ReadResult::Bytes(length) => Ok(length),
            ReadResult::End => Ok(0),
            ReadResult::Nothing => Err(ErrorKind::WouldBlock.into()),
        }
    }
}

impl Write for Wire<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_vectored(&[io::IoSlice::new(bytes)])
    }

    fn write_vectored(&mut self, pieces: &[io::IoSlice<'_>]) -> io::Result<usize> {
        let result = (&mut &*self.socket).write_vectored(pieces);
        if matches!(&result, Err(error) if error.kind() == ErrorKind::WouldBlock) {
            *self.writable = false;
        }
        result
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
