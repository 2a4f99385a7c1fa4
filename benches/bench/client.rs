//! A client that blocks: it fills servers, checks what they hold, and asks one thing at a time.

use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::dataset::{self, Dataset};

/// How long any server may keep silent.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// How many requests are sent before their replies are read.
const AT_ONCE: u32 = 100;

/// Asks for RESP3.
pub const HELLO: &[u8] = b"*2\r\n$5\r\nHELLO\r\n$1\r\n3\r\n";

/// A connection.
pub struct Client {
    stream: BufReader<TcpStream>,
}

impl Client {
    /// Connects.
    pub fn connect(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Self {
            stream: BufReader::with_capacity(64 * 1024, stream),
        })
    }

    /// The connection alone.
    pub fn into_stream(self) -> TcpStream {
        self.stream.into_inner()
    }

    /// Waits until a reply begins to arrive, and reads nothing of it.
    pub fn wait_for_reply(&mut self) -> io::Result<()> {
        match self.stream.get_ref().peek(&mut [0])? {
            0 => Err(ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }

    /// Sends bytes, and reads no reply.
    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.get_mut().write_all(bytes)
    }

    /// Sends a request and reads its reply.
    pub fn ask(&mut self, arguments: &[&[u8]]) -> io::Result<Vec<u8>> {
        self.send(&encode(arguments))?;
        self.reply()
    }

    /// Sends a request. Any reply but the expected one is an error here.
    pub fn expect(&mut self, request: &[u8], expected: &[u8]) -> io::Result<()> {
        self.send(request)?;
        let mut reply = Vec::new();
        while reply != expected {
            if self.stream.read_until(b'\n', &mut reply)? == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
            if !expected.starts_with(&reply) {
                return Err(io::Error::other(reply.escape_ascii().to_string()));
            }
        }
        Ok(())
    }

    /// Speaks RESP3 from now on.
    pub fn ask_for_resp3(&mut self) -> io::Result<()> {
        self.send(HELLO)?;
        self.pass_over()
    }

    /// Gets a key by its number.
    pub fn get(&mut self, number: u32) -> io::Result<Vec<u8>> {
        self.send(dataset::get(number).as_bytes())?;
        self.reply()
    }

    /// Sets a key by its number.
    pub fn set(&mut self, number: u32, value: &[u8]) -> io::Result<()> {
        self.ask(&[b"SET", Dataset::key(number).as_bytes(), value])
            .map(drop)
    }

    /// The value of a simple string, an integer or a bulk string; anything else is an error here.
    fn reply(&mut self) -> io::Result<Vec<u8>> {
        let (kind, text) = self.line()?;
        match kind {
            b'+' | b':' => Ok(text.into_bytes()),
            b'$' => match text.parse::<usize>() {
                Ok(length) => {
                    let mut value = vec![0; length + 2];
                    self.stream.read_exact(&mut value)?;
                    value.truncate(length);
                    Ok(value)
                }
                Err(_) => Err(io::Error::other("a key is missing")),
            },
            _ => Err(io::Error::other(text)),
        }
    }

    /// Reads a reply of any kind and keeps nothing of it. An error is an error here, also within an array.
    pub fn pass_over(&mut self) -> io::Result<()> {
        let mut left: u64 = 1;
        while left > 0 {
            let (kind, text) = self.line()?;
            left -= 1;
            let length = text.parse::<u64>();
            match (kind, length) {
                (b'-' | b'!', _) => return Err(io::Error::other(text)),
                (b'$' | b'=', Ok(length)) => {
                    let mut value = (&mut self.stream).take(length + 2);
                    io::copy(&mut value, &mut io::sink())?;
                }
                (b'*' | b'~' | b'>', Ok(length)) => left += length,
                (b'%', Ok(length)) => left += 2 * length,
                _ => {}
            }
        }
        Ok(())
    }

    /// The type and the rest of the next line.
    fn line(&mut self) -> io::Result<(u8, String)> {
        let mut line = Vec::new();
        self.stream.read_until(b'\n', &mut line)?;
        match &line[..] {
            [kind, text @ .., b'\r', b'\n'] => {
                Ok((*kind, String::from_utf8_lossy(text).into_owned()))
            }
            _ => Err(ErrorKind::UnexpectedEof.into()),
        }
    }

    /// Sets all keys of a dataset, with a time to live if one is given.
    pub fn fill(&mut self, dataset: Dataset, ttl: Option<Duration>) -> io::Result<()> {
        let ttl = ttl.map(|ttl| ttl.as_secs().to_string());
        self.in_batches(
            dataset.count,
            |number| {
                let (key, value) = (Dataset::key(number), dataset.value(number));
                let mut arguments: Vec<&[u8]> = vec![b"SET", key.as_bytes(), &value];
                if let Some(ttl) = &ttl {
                    arguments.extend([&b"EX"[..], ttl.as_bytes()]);
                }
                encode(&arguments)
            },
            |_, _| Ok(()),
        )
    }

    /// Gets all keys of a dataset and checks their values.
    pub fn check(&mut self, dataset: Dataset) -> io::Result<()> {
        self.in_batches(
            dataset.count,
            |number| dataset::get(number).into_bytes(),
            |number, value| {
                if value == dataset.value(number) {
                    Ok(())
                } else {
                    Err(io::Error::other(format!("a wrong value for key {number}")))
                }
            },
        )
    }

    fn in_batches(
        &mut self,
        count: u32,
        request: impl Fn(u32) -> Vec<u8>,
        check: impl Fn(u32, &[u8]) -> io::Result<()>,
    ) -> io::Result<()> {
        for start in (0..count).step_by(AT_ONCE as usize) {
            let batch = start..count.min(start + AT_ONCE);
            let requests: Vec<u8> = batch.clone().flat_map(&request).collect();
            self.send(&requests)?;
            for number in batch {
                check(number, &self.reply()?)?;
            }
        }
        Ok(())
    }

    /// How many GETs a Redis has executed since it started.
    pub fn reads(&mut self) -> io::Result<u64> {
        self.calls(&["get"])
    }

    /// How many of these commands a Redis has executed since it started.
    pub fn calls(&mut self, commands: &[&str]) -> io::Result<u64> {
        let info = self.ask(&[b"INFO", b"commandstats"])?;
        let info = String::from_utf8_lossy(&info).into_owned();
        let calls = commands.iter().filter_map(|command| {
            let stats = crate::process::field(&info, &format!("cmdstat_{command}"))?;
            let (_, rest) = stats.split_once("calls=")?;
            rest.split(',').next()?.parse::<u64>().ok()
        });
        Ok(calls.sum())
    }
}

/// A request as it is sent.
pub fn encode(arguments: &[&[u8]]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", arguments.len()).into_bytes();
    for argument in arguments {
        bytes.extend(format!("${}\r\n", argument.len()).into_bytes());
        bytes.extend_from_slice(argument);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes
}
