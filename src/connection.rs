//! One client's socket, and what is known of its readiness.
//!
//! The poll is edge-triggered: it tells of a change once, so what it told is kept here until a read or
//! a write finds nothing more to do.

use std::io::{self, ErrorKind, Read};
use std::net::Shutdown;

use mio::net::TcpStream;

use crate::resp::reply::Output;

/// A client's socket.
pub struct Connection {
    socket: TcpStream,
    /// There may be bytes to read.
    pub readable: bool,
    /// The socket may take bytes.
    pub writable: bool,
    /// It is on the loop's list of clients to serve.
    pub listed: bool,
    /// All is said: what the client still sends is read and dropped.
    pub lingering: bool,
}

/// What a read found.
#[derive(Debug, PartialEq, Eq)]
pub enum ReadResult {
    /// So many bytes.
    Bytes(usize),
    /// Nothing for now.
    Nothing,
    /// The client sends nothing more.
    End,
}

impl Connection {
    /// Takes over a client's socket.
    #[must_use]
    pub fn new(socket: TcpStream) -> Self {
        Self {
            socket,
            readable: false,
            writable: true,
            listed: false,
            lingering: false,
        }
    }

    /// The socket, to register it.
    pub fn socket(&mut self) -> &mut TcpStream {
        &mut self.socket
    }

    /// Reads what is there, with one system call.
    ///
    /// # Errors
    /// If the connection is broken.
    pub fn read(&mut self, buffer: &mut [u8]) -> io::Result<ReadResult> {
        match self.socket.read(buffer) {
            Ok(0) => {
                self.readable = false;
                Ok(ReadResult::End)
            }
            Ok(length) => {
                // A short read emptied the socket; what comes later is a new event.
                self.readable = length == buffer.len();
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

    /// Writes output as far as the socket takes it; one system call if it takes all.
    ///
    /// # Errors
    /// If the connection is broken.
    pub fn write(&mut self, output: &mut Output) -> io::Result<()> {
        while self.writable && !output.is_empty() {
            match output.send(&mut self.socket) {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.writable = false,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Tells the client that nothing more comes.
    ///
    /// # Errors
    /// If the connection is broken.
    pub fn end_output(&mut self) -> io::Result<()> {
        self.socket.shutdown(Shutdown::Write)
    }
}
