//! A client that survives what is done to its connection, in either version of the protocol.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};

use super::{DEADLINE, request};

/// A reply, as far as it matters here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// A status or a bulk string.
    Text(String),
    Error(String),
    Number(i64),
    Null,
    /// An array or a push, or a map as a list of its keys and values.
    Array(Vec<Reply>),
}

impl Reply {
    /// Whether it is an error, or holds one.
    pub fn failed(&self) -> bool {
        match self {
            Self::Error(_) => true,
            Self::Array(elements) => elements.iter().any(Self::failed),
            Self::Text(_) | Self::Number(_) | Self::Null => false,
        }
    }
}

/// Which version of the protocol is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    Resp2,
    Resp3,
}

/// Encodes a request that is written as words.
pub fn words(text: &str) -> Vec<u8> {
    request(&text.split(' ').collect::<Vec<_>>())
}

/// A connection that is made when there is none.
pub struct Wire {
    address: SocketAddr,
    protocol: Protocol,
    database: u32,
    stream: Option<TcpStream>,
    /// What was received and not yet read: `received[start..]`.
    received: Vec<u8>,
    start: usize,
}

impl Wire {
    pub fn new(address: SocketAddr, protocol: Protocol) -> Self {
        Self {
            address,
            protocol,
            database: 0,
            stream: None,
            received: Vec::new(),
            start: 0,
        }
    }

    /// One whose connections are in that database.
    pub fn in_database(self, database: u32) -> Self {
        Self { database, ..self }
    }

    /// Sends requests in one go and reads the reply to each; pushes are passed over. An error is the end of the connection: the
    /// next call makes a new one.
    ///
    /// # Panics
    /// When no reply comes before the deadline.
    pub fn ask(&mut self, requests: &[u8], count: usize) -> io::Result<Vec<Reply>> {
        let result = self.try_ask(requests, count);
        if result.is_err() {
            self.stream = None;
        }
        result
    }

    /// The reply to one request that is written as words.
    pub fn command(&mut self, text: &str) -> io::Result<Reply> {
        let mut replies = self.ask(&words(text), 1)?;
        Ok(replies.remove(0))
    }

    fn try_ask(&mut self, requests: &[u8], count: usize) -> io::Result<Vec<Reply>> {
        if self.stream.is_none() {
            let stream = TcpStream::connect(self.address)?;
            stream.set_nodelay(true)?;
            stream.set_read_timeout(Some(DEADLINE))?;
            self.stream = Some(stream);
            self.received.clear();
            self.start = 0;
            if self.protocol == Protocol::Resp3 {
                self.exchange(&words("HELLO 3"), 1)?;
            }
            if self.database != 0 {
                let select = words(&format!("SELECT {}", self.database));
                if let [Reply::Error(error)] = &self.exchange(&select, 1)?[..] {
                    return Err(io::Error::other(error.clone()));
                }
            }
        }
        self.exchange(requests, count)
    }

    fn exchange(&mut self, requests: &[u8], count: usize) -> io::Result<Vec<Reply>> {
        self.stream().write_all(requests)?;
        (0..count).map(|_| self.read_reply(requests)).collect()
    }

    fn read_reply(&mut self, requests: &[u8]) -> io::Result<Reply> {
        loop {
            if let Some((reply, length)) = parse(&self.received[self.start..]) {
                let is_push = self.received[self.start] == b'>';
                self.start += length;
                if is_push {
                    continue;
                }
                return Ok(reply);
            }
            self.received.drain(..self.start);
            self.start = 0;
            let mut landing = [0; 4096];
            let length = match self.stream().read(&mut landing) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(length) => length,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    panic!(
                        "no reply from {} for {DEADLINE:?} to \"{}\" in {:?}, after \"{}\"",
                        self.address,
                        requests.escape_ascii(),
                        self.protocol,
                        self.received.escape_ascii(),
                    )
                }
                Err(error) => return Err(error),
            };
            self.received.extend_from_slice(&landing[..length]);
        }
    }

    fn stream(&mut self) -> &mut TcpStream {
        self.stream.as_mut().expect("it is connected")
    }
}

/// The first reply in `bytes` and its length, when it is whole.
fn parse(bytes: &[u8]) -> Option<(Reply, usize)> {
    let line = bytes.windows(2).position(|pair| pair == b"\r\n")?;
    let text = String::from_utf8_lossy(&bytes[1..line]).into_owned();
    let end = line + 2;
    let number = || text.parse::<i64>().expect("a number");
    Some(match bytes[0] {
        b'+' => (Reply::Text(text), end),
        b'-' => (Reply::Error(text), end),
        b':' => (Reply::Number(number()), end),
        b'_' => (Reply::Null, end),
        b'$' | b'=' => match usize::try_from(number()) {
            Err(_) => (Reply::Null, end),
            Ok(length) => {
                let value = bytes.get(end..end + length + 2)?;
                let value = String::from_utf8_lossy(&value[..length]).into_owned();
                (Reply::Text(value), end + length + 2)
            }
        },
        kind @ (b'*' | b'%' | b'>') => match usize::try_from(number()) {
            Err(_) => (Reply::Null, end),
            Ok(count) => {
                let count = if kind == b'%' { 2 * count } else { count };
                let mut at = end;
                let mut elements = Vec::new();
                for _ in 0..count {
                    let (element, length) = parse(&bytes[at..])?;
                    elements.push(element);
                    at += length;
                }
                (Reply::Array(elements), at)
            }
        },
        _ => panic!("not a reply: \"{}\"", bytes.escape_ascii()),
    })
}
