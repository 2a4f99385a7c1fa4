//! The stream of one connection.

use std::io::{self, ErrorKind, Read};

use rustls::Connection;

use super::trouble::{self, Side};
use crate::transport::{ReadResult, Source, Wire};

/// Encrypts and decrypts the bytes of a socket, and buffers those in transit.
pub struct Stream {
    connection: Connection,
}

/// How often in a row a socket may be read without finding anything to deliver. A message needs a fraction of that at
/// most. The rest would be padding, with which a peer could keep the proxy busy.
const FRUITLESS: usize = 64;

impl Stream {
    pub(super) fn new(connection: Connection) -> Self {
        Self { connection }
    }

    /// Whether written bytes still wait for the socket.
    pub(crate) fn is_behind(&self) -> bool {
        self.connection.wants_write()
    }

    /// The error for a handshake that takes too long.
    pub(crate) fn late(&self) -> io::Error {
        io::Error::new(ErrorKind::TimedOut, trouble::late(self.side()))
    }

    fn side(&self) -> Side {
        match self.connection {
            Connection::Client(_) => Side::Redis,
            Connection::Server(_) => Side::Client,
        }
    }

    /// Continues the handshake as far as the socket allows. Returns whether it is complete.
    pub(crate) fn shake_hands(&mut self, wire: &mut Wire<'_>) -> io::Result<bool> {
        for _ in 0..FRUITLESS {
            self.flush(wire)?;
            if !self.connection.is_handshaking() {
                return Ok(true);
            }
            if !wire.is_readable() {
                return Ok(false);
            }
            if self.fill(wire)? == Some(0) {
                return Err(io::Error::new(
                    ErrorKind::UnexpectedEof,
                    trouble::closed(self.side()),
                ));
            }
        }
        Err(endless())
    }

    /// Reads what has arrived.
    pub(crate) fn read(
        &mut self,
        wire: &mut Wire<'_>,
        buffer: &mut [u8],
    ) -> io::Result<ReadResult> {
        for _ in 0..FRUITLESS {
            match self.connection.reader().read(buffer) {
                Ok(0) => return Ok(ReadResult::End),
                Ok(length) => {
                    if length == buffer.len() {
                        wire.set_readable();
                    }
                    return Ok(ReadResult::Bytes(length));
                }
                // Requests and replies are self-delimiting, so nothing is lost if there is no close notification.
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => {
                    return Ok(ReadResult::End);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
            if !wire.is_readable() {
                return Ok(ReadResult::Nothing);
            }
            self.fill(wire)?;
            self.flush(wire)?;
        }
        Err(endless())
    }

    /// Writes as much as the socket accepts. Returns how many bytes of the source were written.
    pub(crate) fn write(
        &mut self,
        wire: &mut Wire<'_>,
        source: &mut impl Source,
    ) -> io::Result<usize> {
        let mut written = 0;
        loop {
            self.flush(wire)?;
            if !wire.is_writable() || source.is_empty() || self.connection.is_handshaking() {
                return Ok(written);
            }
            match source.send(&mut self.connection.writer())? {
                0 => return Ok(written),
                length => written += length,
            }
        }
    }

    /// Sends the close notification.
    pub(crate) fn end(&mut self, wire: &mut Wire<'_>) -> io::Result<()> {
        self.connection.send_close_notify();
        self.flush(wire)
    }

    /// Reads from the socket, and processes the bytes. Returns how many there were, if any.
    fn fill(&mut self, wire: &mut Wire<'_>) -> io::Result<Option<usize>> {
        let length = match self.connection.read_tls(wire) {
            Ok(length) => length,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
            Err(error) => return Err(error),
        };
        match self.connection.process_new_packets() {
            Ok(_) => Ok(Some(length)),
            Err(error) => {
                // The peer gets an alert that says what is wrong, if it still reads.
                let _ = self.flush(wire);
                Err(trouble::explain(self.side(), &error))
            }
        }
    }

    /// Writes as many of the buffered bytes as the socket accepts.
    fn flush(&mut self, wire: &mut Wire<'_>) -> io::Result<()> {
        while self.connection.wants_write() && wire.is_writable() {
            match self.connection.write_tls(wire) {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

fn endless() -> io::Error {
    io::Error::new(
        ErrorKind::InvalidData,
        "the other side sends TLS without content",
    )
}
