//! A client that knows where a reply ends, and hands it over byte for byte.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream, ToSocketAddrs};

use super::{DEADLINE, eventually};

/// A connection to the proxy or to Redis. Everything panics when the other side is too slow.
pub struct Client {
    stream: TcpStream,
    /// What was received and not yet handed over: `received[start..]`.
    received: Vec<u8>,
    start: usize,
}

/// Encodes a request as an array of bulk strings.
pub fn request<A: AsRef<[u8]>>(arguments: &[A]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", arguments.len()).into_bytes();
    for argument in arguments {
        bytes.extend(super::bulk(argument));
    }
    bytes
}

impl Client {
    /// Connects.
    #[track_caller]
    pub fn connect(address: impl ToSocketAddrs) -> Self {
        Self::from_stream(TcpStream::connect(address).expect("the server accepts"))
    }

    /// Takes over a connection.
    pub fn from_stream(stream: TcpStream) -> Self {
        stream.set_nodelay(true).expect("a socket option");
        stream
            .set_read_timeout(Some(DEADLINE))
            .expect("a socket option");
        stream
            .set_write_timeout(Some(DEADLINE))
            .expect("a socket option");
        Self {
            stream,
            received: Vec::new(),
            start: 0,
        }
    }

    /// This end of the connection.
    pub fn local_address(&self) -> SocketAddr {
        self.stream.local_addr().expect("a connected socket")
    }

    /// Sends bytes as they are, if the other side still reads. Says whether it does.
    pub fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.stream.write_all(bytes.as_ref()).is_ok()
    }

    /// Sends bytes as they are.
    #[track_caller]
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream
            .write_all(bytes.as_ref())
            .expect("the server reads");
    }

    /// Sends as much of `bytes` as the sockets take without waiting, and says how much that was.
    #[track_caller]
    pub fn send_without_waiting(&mut self, bytes: &[u8]) -> usize {
        self.stream.set_nonblocking(true).expect("a socket option");
        let result = self.stream.write(bytes);
        self.stream.set_nonblocking(false).expect("a socket option");
        match result {
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
            Err(error) => panic!("the server reads: {error}"),
        }
    }

    /// Sends one request and reads its reply.
    #[track_caller]
    pub fn command<A: AsRef<[u8]>>(&mut self, arguments: &[A]) -> Vec<u8> {
        self.send(request(arguments));
        self.read_reply()
    }

    /// Sends a GET and reads its reply.
    #[track_caller]
    pub fn get(&mut self, key: impl AsRef<[u8]>) -> Vec<u8> {
        self.command(&[b"GET", key.as_ref()])
    }

    /// Waits until so many clients are blocked where this one is, which asks for it: one that came to ask might not be
    /// gone when the others are counted.
    #[track_caller]
    pub fn await_blocked(&mut self, count: usize) {
        let line = format!("blocked_clients:{count}\r\n");
        eventually(&line, || {
            let info = self.command(&["INFO", "clients"]);
            String::from_utf8_lossy(&info).contains(&line)
        });
    }

    /// The exact bytes of the next reply.
    #[track_caller]
    pub fn read_reply(&mut self) -> Vec<u8> {
        loop {
            if let Some(length) = reply_length(&self.received[self.start..]) {
                let reply = self.received[self.start..self.start + length].to_vec();
                self.start += length;
                return reply;
            }
            let count = self.receive();
            assert!(
                count > 0,
                "the server closed the connection where a reply was due, after \"{}\"",
                self.received[self.start..].escape_ascii()
            );
        }
    }

    /// The next reply; none if the server closes the connection where it is due.
    #[track_caller]
    pub fn reply_or_end(&mut self) -> Option<Vec<u8>> {
        while reply_length(&self.received[self.start..]).is_none() {
            if !matches!(self.try_receive(), Ok(1..)) {
                return None;
            }
        }
        Some(self.read_reply())
    }

    /// Asserts that the server closes the connection, and sends nothing before.
    #[track_caller]
    pub fn assert_closed(&mut self) {
        super::assert_same(&self.read_to_end(), b"", &"a connection that is closed");
    }

    /// The exact bytes of the next `count` replies, one after another.
    #[track_caller]
    pub fn read_replies(&mut self, count: usize) -> Vec<u8> {
        let mut replies = Vec::new();
        for _ in 0..count {
            replies.append(&mut self.read_reply());
        }
        replies
    }

    /// The arguments of the next request, where this side plays the server; none when the other
    /// side has gone.
    pub fn read_request(&mut self) -> Option<Vec<Vec<u8>>> {
        let length = loop {
            if let Some(length) = reply_length(&self.received[self.start..]) {
                break length;
            }
            if !matches!(self.try_receive(), Ok(1..)) {
                return None;
            }
        };
        let (arguments, _) = parse_request(&self.received[self.start..])?;
        self.start += length;
        Some(arguments)
    }

    /// The next reply, however long it takes; none when the other side has gone.
    pub fn reply_whenever_it_comes(&mut self) -> Option<Vec<u8>> {
        self.stream.set_read_timeout(None).expect("a socket option");
        let reply = self.reply_or_end();
        self.stream
            .set_read_timeout(Some(DEADLINE))
            .expect("a socket option");
        reply
    }

    /// Everything up to these bytes, be it replies or not.
    #[track_caller]
    pub fn read_until(&mut self, end: &[u8]) -> Vec<u8> {
        loop {
            let received = &self.received[self.start..];
            if let Some(at) = received.windows(end.len()).position(|part| part == end) {
                let bytes = received[..at + end.len()].to_vec();
                self.start += bytes.len();
                return bytes;
            }
            let count = self.receive();
            assert!(count > 0, "the server closed the connection too early");
        }
    }

    /// Everything until the server closes the connection.
    #[track_caller]
    pub fn read_to_end(&mut self) -> Vec<u8> {
        while self.receive() > 0 {}
        self.received.split_off(self.start)
    }

    /// Whether not a byte waits to be read; doesn't wait for one. A connection that was closed is
    /// something to be read.
    #[track_caller]
    pub fn has_received_nothing(&mut self) -> bool {
        self.stream.set_nonblocking(true).expect("a socket option");
        let result = self.stream.peek(&mut [0]);
        self.stream.set_nonblocking(false).expect("a socket option");
        let nothing = matches!(&result, Err(error) if error.kind() == ErrorKind::WouldBlock);
        nothing && self.start == self.received.len()
    }

    /// Says that no more requests follow; replies can still be read.
    #[track_caller]
    pub fn finish_sending(&mut self) {
        self.stream
            .shutdown(Shutdown::Write)
            .expect("a connected socket");
    }

    /// A second handle to the connection, to send in one thread and read in another.
    pub fn second_handle(&self) -> Self {
        Self::from_stream(self.stream.try_clone().expect("a file descriptor"))
    }

    /// Reads some bytes; none when the connection was closed.
    #[track_caller]
    fn receive(&mut self) -> usize {
        self.try_receive().unwrap_or_else(|error| {
            let before = self.received[..self.received.len().min(200)].escape_ascii();
            if error.kind() == ErrorKind::WouldBlock {
                panic!("nothing came for {DEADLINE:?}, after \"{before}\"");
            }
            panic!("the server answers: {error}, after \"{before}\"")
        })
    }

    fn try_receive(&mut self) -> io::Result<usize> {
        self.received.drain(..self.start);
        self.start = 0;
        let old = self.received.len();
        // Little for a short reply, and in large steps for a long one.
        self.received
            .resize(old + old.clamp(16 * 1024, 1024 * 1024), 0);
        let result = loop {
            match self.stream.read(&mut self.received[old..]) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                result => break result,
            }
        };
        self.received.truncate(old + *result.as_ref().unwrap_or(&0));
        result
    }
}

/// The first line of `bytes`, which must have one, and what follows it.
fn split_line(bytes: &[u8]) -> (&[u8], &[u8]) {
    let end = bytes
        .windows(2)
        .position(|pair| pair == b"\r\n")
        .expect("a line");
    (&bytes[..end], &bytes[end + 2..])
}

/// The arguments of the first request in `bytes`, and how many bytes it takes, when it is complete.
pub fn parse_request(bytes: &[u8]) -> Option<(Vec<Vec<u8>>, usize)> {
    let length = reply_length(bytes)?;
    let (_, mut rest) = split_line(&bytes[..length]);
    let mut arguments = Vec::new();
    while let Some(length) = reply_length(rest) {
        let (_, argument) = split_line(&rest[..length - 2]);
        arguments.push(argument.to_vec());
        rest = &rest[length..];
    }
    Some((arguments, length))
}

/// How many bytes the first reply (or request) in `bytes` takes, when it is complete.
pub fn reply_length(bytes: &[u8]) -> Option<usize> {
    let line = bytes.windows(2).position(|pair| pair == b"\r\n")? + 2;
    let count = || -> i64 {
        let digits = std::str::from_utf8(&bytes[1..line - 2]).ok();
        digits
            .and_then(|digits| digits.parse().ok())
            .unwrap_or_else(|| not_a_reply(bytes))
    };
    match bytes[0] {
        b'+' | b'-' | b':' | b'_' | b'#' | b',' | b'(' => Some(line),
        b'$' | b'=' | b'!' if count() >= 0 => {
            let end = line + usize::try_from(count()).expect("a length") + 2;
            (bytes.len() >= end).then(|| {
                assert_eq!(&bytes[end - 2..end], b"\r\n", "the end of a bulk string");
                end
            })
        }
        b'$' => Some(line),
        b'*' | b'~' | b'>' | b'%' => {
            let each = if bytes[0] == b'%' { 2 } else { 1 };
            let mut end = line;
            for _ in 0..each * count().max(0) {
                end += reply_length(&bytes[end..])?;
            }
            Some(end)
        }
        _ => not_a_reply(bytes),
    }
}

fn not_a_reply(bytes: &[u8]) -> ! {
    panic!(
        "not a reply: \"{}\"",
        bytes[..bytes.len().min(200)].escape_ascii()
    )
}
