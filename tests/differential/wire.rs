//! A connection that speaks both versions of the protocol and hands over every frame byte for byte.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::Duration;

use crate::common::DEADLINE;

/// Finds where the first frame in a growing buffer ends, without looking at a byte twice.
#[derive(Default)]
struct Framer {
    scanned: usize,
    /// The elements that are still missing, the frame itself the first of them.
    missing: Option<u64>,
}

impl Framer {
    /// The length of the first frame in `bytes`, when it is complete.
    fn next(&mut self, bytes: &[u8]) -> io::Result<Option<usize>> {
        let mut missing = self.missing.unwrap_or(1);
        while missing > 0 {
            let rest = &bytes[self.scanned..];
            let Some(line) = rest.iter().position(|&byte| byte == b'\n') else {
                break;
            };
            let number = || {
                let text = std::str::from_utf8(&rest[1..line]).ok();
                let number = text.and_then(|text| text.trim_end().parse::<i64>().ok());
                number.ok_or_else(|| not_a_frame(rest))
            };
            let mut end = line + 1;
            match rest[0] {
                b'+' | b'-' | b':' | b'_' | b',' | b'#' | b'(' => {}
                b'$' | b'=' | b'!' => {
                    if let Ok(length) = usize::try_from(number()?) {
                        end += length + 2;
                    }
                }
                // Redis 7.0 sends what a transaction has its own client notified of in the midst of
                // the array that is the reply to EXEC: no element of that.
                b'>' if self.scanned > 0 => missing += 1 + u64::try_from(number()?).unwrap_or(0),
                b'*' | b'~' | b'>' => missing += u64::try_from(number()?).unwrap_or(0),
                b'%' => missing += 2 * u64::try_from(number()?).unwrap_or(0),
                _ => return Err(not_a_frame(rest)),
            }
            if rest.len() < end {
                // Its header is read again, with the rest; nothing was counted, for no aggregate
                // comes here.
                break;
            }
            self.scanned += end;
            missing -= 1;
        }
        self.missing = Some(missing);
        if missing > 0 {
            return Ok(None);
        }
        let length = self.scanned;
        *self = Self::default();
        Ok(Some(length))
    }
}

fn not_a_frame(bytes: &[u8]) -> io::Error {
    let excerpt = bytes[..bytes.len().min(100)].escape_ascii();
    io::Error::other(format!("not a frame: \"{excerpt}\""))
}

/// A connection to the proxy or to Redis.
pub struct Connection {
    stream: TcpStream,
    /// What was received and not yet handed over: `received[start..]`.
    received: Vec<u8>,
    start: usize,
    framer: Framer,
}

impl Connection {
    pub fn open(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).expect("the server accepts");
        stream.set_nodelay(true).expect("a socket option");
        for set in [TcpStream::set_read_timeout, TcpStream::set_write_timeout] {
            set(&stream, Some(DEADLINE)).expect("a socket option");
        }
        Self {
            stream,
            received: Vec::new(),
            start: 0,
            framer: Framer::default(),
        }
    }

    /// Sends `bytes`, cut at `cuts`.
    pub fn send(&mut self, bytes: &[u8], cuts: &[usize]) -> io::Result<()> {
        send(&self.stream, bytes, cuts)
    }

    /// What sends in another thread, while this one reads.
    pub fn sender(&self) -> Sender {
        Sender(self.stream.try_clone().expect("a file descriptor"))
    }

    /// The next frame, or nothing at the end of the connection.
    pub fn frame(&mut self) -> io::Result<Option<Vec<u8>>> {
        loop {
            if let Some(length) = self.framer.next(&self.received[self.start..])? {
                let end = self.start + length;
                let frame = self.received[self.start..end].to_vec();
                self.start = end;
                return Ok(Some(frame));
            }
            if self.receive()? == 0 {
                return match &self.received[self.start..] {
                    [] => Ok(None),
                    rest => Err(io::Error::other(format!(
                        "the connection ended in the midst of a frame: \"{}\"",
                        rest.escape_ascii()
                    ))),
                };
            }
        }
    }

    /// Sends requests, and reads that many frames.
    pub fn exchange(&mut self, bytes: &[u8], replies: usize) -> Vec<Vec<u8>> {
        self.send(bytes, &[]).expect("the server reads");
        let frame = |_| self.frame().expect("a frame").expect("a reply");
        (0..replies).map(frame).collect()
    }

    /// Sends one request and reads its reply.
    pub fn command<A: AsRef<[u8]>>(&mut self, arguments: &[A]) -> Vec<u8> {
        let mut replies = self.exchange(&crate::common::request(arguments), 1);
        replies.pop().expect("it was asked for one")
    }

    fn receive(&mut self) -> io::Result<usize> {
        self.received.drain(..self.start);
        self.start = 0;
        let old = self.received.len();
        self.received
            .resize(old + old.clamp(16 * 1024, 1024 * 1024), 0);
        let result = self.stream.read(&mut self.received[old..]);
        let count = match &result {
            Ok(count) => *count,
            Err(_) => 0,
        };
        self.received.truncate(old + count);
        match result {
            // After its last reply a server may reset a connection whose input it left unread.
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => Ok(0),
            result => result,
        }
    }
}

/// The sending half of a connection.
pub struct Sender(TcpStream);

impl Sender {
    /// Sends `bytes`, cut at `cuts`.
    pub fn send(&self, bytes: &[u8], cuts: &[usize]) -> io::Result<()> {
        send(&self.0, bytes, cuts)
    }
}

fn send(mut stream: &TcpStream, bytes: &[u8], cuts: &[usize]) -> io::Result<()> {
    let mut start = 0;
    for &cut in cuts {
        stream.write_all(&bytes[start..cut])?;
        start = cut;
        // Lets the other side see the piece alone.
        thread::sleep(Duration::from_micros(20));
    }
    stream.write_all(&bytes[start..])
}
