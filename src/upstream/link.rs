//! One blocking connection to Redis that keeps replies as the bytes they are.
//!
//! The `redis` crate's dedicated connection turns replies into values, which forget the difference between
//! `*-1` and `$-1` and the digits of a double. So a [`Link`] reads its socket itself, and implements the
//! crate's [`ConnectionLike`]: what the proxy itself says to Redis (AUTH, SELECT, PING) goes through the
//! crate's commands, what clients say goes through [`Link::exchange`].

use std::fmt;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::time::{Duration, Instant};

use redis::{ConnectionLike, RedisError, RedisResult, Value};

use super::replies::ENOUGH;
use super::{Backend, Replies, Settings};
use crate::command::read_specs;
use crate::resp::Protocol;

/// A connection that is set up: authenticated, on its database, and answering.
pub(super) struct Link {
    stream: Arc<TcpStream>,
    /// Where each read goes first.
    landing: Box<[u8]>,
    database: u32,
}

/// Why Redis gave no reply.
#[derive(Debug)]
pub(super) enum LinkError {
    /// There is no connection, or it broke.
    Broken(io::Error),
    /// It took longer than the timeout.
    TimedOut(Duration),
    /// Redis answered, and refused the proxy in these words.
    Refused(String),
}

/// What stands between Redis's words on a command that it does not know and that command's arguments.
const ARGUMENTS: &str = ", with args beginning with";

/// How Redis's words end when a connection is to be told of changes that has ended meanwhile.
const GONE: &str = "The client ID you want redirect to does not exist";

impl LinkError {
    fn from_io(error: io::Error, settings: &Settings) -> Self {
        // The timeout of a blocking socket shows as `WouldBlock`.
        match error.kind() {
            ErrorKind::WouldBlock | ErrorKind::TimedOut => Self::TimedOut(settings.timeout),
            _ => Self::Broken(error),
        }
    }

    fn from_redis(error: &RedisError, settings: &Settings) -> Self {
        match (error.code(), error.detail()) {
            (Some(code), Some(detail)) => {
                // Where AUTH is renamed, Redis repeats its arguments.
                let (words, _) = detail.split_once(ARGUMENTS).unwrap_or((detail, ""));
                Self::Refused(format!("{code} {words}"))
            }
            (Some(code), None) => Self::Refused(code.to_owned()),
            _ if error.is_timeout() => Self::TimedOut(settings.timeout),
            _ => Self::Broken(io::Error::other(error.to_string())),
        }
    }
}

impl fmt::Display for LinkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Broken(error) => error.fmt(f),
            Self::TimedOut(timeout) => write!(f, "timed out after {} ms", timeout.as_millis()),
            Self::Refused(words) => write!(f, "it answers {words}"),
        }
    }
}

impl Link {
    /// Connects, and sets the connection up. Takes no longer than the timeout for the connection and as
    /// much for each reply.
    pub fn connect(settings: &Settings, protocol: Protocol) -> Result<Self, LinkError> {
        let stream = connect(settings).map_err(|error| LinkError::from_io(error, settings))?;
        let landing = vec![0; LANDING].into();
        let mut link = Self {
            stream: Arc::new(stream),
            landing,
            database: settings.database,
        };
        link.set_up(settings, protocol)
            .map_err(|error| LinkError::from_redis(&error, settings))?;
        Ok(link)
    }

    /// Asks Redis what it has to say of itself, in RESP2.
    pub fn ask_backend(&mut self, settings: &Settings) -> Result<Backend, LinkError> {
        let requests = redis::pipe()
            .cmd("HELLO")
            .arg(3)
            .cmd("HELLO")
            .arg(2)
            .cmd("COMMAND")
            .get_packed_pipeline();
        let mut replies = Replies::default();
        self.round_trip(&requests, 3, &mut replies, &mut |_| {})
            .map_err(|error| LinkError::from_io(error, settings))?;
        let [hello3, hello2, commands] =
            std::array::from_fn(|index| replies.iter().nth(index).unwrap_or_default());
        let greeting = |hello: &[u8]| {
            if hello.starts_with(b"-") {
                Vec::new()
            } else {
                hello.to_vec()
            }
        };
        Ok(Backend {
            address: self.stream.peer_addr().ok(),
            commands: read_specs(commands),
            hello: [greeting(hello2), greeting(hello3)],
        })
    }

    /// The number that Redis gave this connection.
    pub fn client_id(&mut self, settings: &Settings) -> Result<i64, LinkError> {
        let id = redis::cmd("CLIENT").arg("ID").query(self);
        id.map_err(|error| LinkError::from_redis(&error, settings))
    }

    /// Has Redis answer.
    pub fn ping(&mut self, settings: &Settings) -> Result<(), LinkError> {
        redis::cmd("PING")
            .exec(self)
            .map_err(|error| LinkError::from_redis(&error, settings))
    }

    /// Has Redis tell the connection with that number when a key changes that was read on this one.
    pub fn redirect_tracking(&mut self, id: i64, settings: &Settings) -> Result<(), LinkError> {
        let mut tracking = redis::cmd("CLIENT");
        tracking.arg("TRACKING").arg("ON").arg("REDIRECT").arg(id);
        tracking
            .exec(self)
            .map_err(|error| match LinkError::from_redis(&error, settings) {
                LinkError::Refused(words) if words.ends_with(GONE) => LinkError::Broken(
                    io::Error::other("it closed the connection on which it was to tell of changes"),
                ),
                error => error,
            })
    }

    /// The bare socket, shared.
    pub fn stream(&self) -> Arc<TcpStream> {
        Arc::clone(&self.stream)
    }

    fn set_up(&mut self, settings: &Settings, protocol: Protocol) -> RedisResult<()> {
        if let Some(password) = &settings.password {
            let mut auth = redis::cmd("AUTH");
            if let Some(username) = &settings.username {
                auth.arg(username);
            }
            auth.arg(password.expose()).exec(self)?;
        }
        if settings.database != 0 {
            redis::cmd("SELECT").arg(settings.database).exec(self)?;
        }
        // For whoever reads CLIENT LIST there; a user without the right to it goes without.
        let name = redis::cmd("CLIENT")
            .arg("SETNAME")
            .arg("redis-proxy")
            .exec(self);
        if let Err(error) = name
            && error.code().is_none()
        {
            return Err(error);
        }
        if protocol == Protocol::Resp3 {
            redis::cmd("HELLO").arg(3).exec(self)?;
        }
        redis::cmd("PING").exec(self)
    }

    /// Sends encoded requests and adds the next `count` replies, as [`Replies::read`] does. Redis has owed the
    /// first of them for as long as `waited`.
    pub fn exchange(
        &mut self,
        requests: &[u8],
        count: usize,
        replies: &mut Replies,
        enough: &mut dyn FnMut(Replies),
        waited: Duration,
        settings: &Settings,
    ) -> Result<(), LinkError> {
        let late = waited >= LITTLE;
        if late {
            let left = settings.timeout.saturating_sub(waited);
            self.set_patience(left.max(LITTLE))?;
        }
        self.round_trip(requests, count, replies, enough)
            .map_err(|error| LinkError::from_io(error, settings))?;
        if late {
            self.set_patience(settings.timeout)?;
        }
        Ok(())
    }

    /// Sets for how long Redis may keep silent.
    fn set_patience(&self, patience: Duration) -> Result<(), LinkError> {
        let set = self.stream.set_read_timeout(Some(patience));
        set.map_err(LinkError::Broken)
    }

    fn round_trip(
        &mut self,
        requests: &[u8],
        count: usize,
        replies: &mut Replies,
        enough: &mut dyn FnMut(Replies),
    ) -> io::Result<()> {
        (&*self.stream).write_all(requests)?;
        let more = &mut |bytes: &mut Vec<u8>, missing| self.read(bytes, missing);
        replies.read(count, more, enough)
    }

    /// Reads on; when `missing` bytes are known to come, no further than that.
    fn read(&mut self, bytes: &mut Vec<u8>, missing: usize) -> io::Result<()> {
        let read = if missing > self.landing.len() {
            // The length is only a promise: room is made step by step.
            let step = missing.min(bytes.len().max(ENOUGH));
            bytes.reserve(step);
            (&*self.stream).take(step as u64).read_to_end(bytes)?
        } else {
            let read = loop {
                match (&*self.stream).read(&mut self.landing) {
                    Err(error) if error.kind() == ErrorKind::Interrupted => {}
                    result => break result?,
                }
            };
            bytes.extend_from_slice(&self.landing[..read]);
            read
        };
        if read == 0 {
            return Err(io::Error::new(
                ErrorKind::UnexpectedEof,
                "it closed the connection",
            ));
        }
        Ok(())
    }
}

/// A time that is not worth system calls to leave it out of the timeout.
const LITTLE: Duration = Duration::from_millis(10);

/// How much one read takes at once, in bytes.
const LANDING: usize = 64 * 1024;

fn connect(settings: &Settings) -> io::Result<TcpStream> {
    let deadline = Instant::now() + settings.timeout;
    let mut last = io::Error::new(ErrorKind::NotFound, "its name has no address");
    for address in (settings.address.host.as_str(), settings.address.port).to_socket_addrs()? {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(ErrorKind::TimedOut.into());
        }
        match TcpStream::connect_timeout(&address, left) {
            Ok(stream) => {
                stream.set_nodelay(true)?;
                stream.set_read_timeout(Some(settings.timeout))?;
                stream.set_write_timeout(Some(settings.timeout))?;
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

impl ConnectionLike for Link {
    fn req_packed_command(&mut self, command: &[u8]) -> RedisResult<Value> {
        let mut replies = self.req_packed_commands(command, 0, 1)?;
        replies
            .pop()
            .ok_or_else(|| io::Error::from(ErrorKind::UnexpectedEof).into())
    }

    fn req_packed_commands(
        &mut self,
        commands: &[u8],
        offset: usize,
        count: usize,
    ) -> RedisResult<Vec<Value>> {
        let mut values = Vec::new();
        let mut replies = Replies::default();
        let mut parse = |replies: Replies| {
            values.extend(replies.iter().map(redis::parse_redis_value));
        };
        self.round_trip(commands, offset + count, &mut replies, &mut parse)?;
        parse(replies);
        values.into_iter().skip(offset).collect()
    }

    fn get_db(&self) -> i64 {
        self.database.into()
    }

    fn check_connection(&mut self) -> bool {
        redis::cmd("PING").exec(self).is_ok()
    }

    fn is_open(&self) -> bool {
        true
    }
}
