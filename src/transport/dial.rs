//! How a Redis is connected to, by whoever does: the helper thread or the loop.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use mio::net::{TcpStream, UnixStream};

use super::Transport;
use super::socket::Socket;
use crate::clock::Time;
use crate::keepalive::keep_alive_or_end;
use crate::tls;

/// Where a Redis is, looked up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// Over TCP.
    Tcp(SocketAddr),
    /// The same, where a host of that name is.
    Named(SocketAddr, Arc<str>),
    /// The path of a Unix socket.
    Unix(Arc<str>),
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Named(address, host) => write!(f, "{host}:{}", address.port()),
            Self::Unix(path) => f.write_str(path),
        }
    }
}

impl Endpoint {
    /// Its address, over TCP.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(address) | Self::Named(address, _) => Some(*address),
            Self::Unix(_) => None,
        }
    }
}

/// How it is connected to.
#[derive(Clone, Debug)]
pub struct Dialer {
    /// What is spoken over TCP: TLS, if there is this.
    pub tls: Option<tls::Connector>,
    /// How long that may take, the handshake of TLS included.
    pub timeout: Duration,
    /// After which silence Redis is asked, by TCP, whether it is still there; zero for never.
    pub keepalive: Duration,
}

impl Dialer {
    /// Starts to connect.
    ///
    /// # Errors
    /// If it can't even be started.
    pub fn dial(&self, endpoint: &Endpoint, now: Time) -> io::Result<Transport> {
        let (socket, tls) = match endpoint {
            Endpoint::Tcp(address) => self.over_tcp(*address, &address.ip().to_string())?,
            Endpoint::Named(address, host) => self.over_tcp(*address, host)?,
            Endpoint::Unix(path) => (UnixStream::connect(&**path)?.into(), None),
        };
        Ok(Transport {
            socket: Socket(socket),
            tls: tls.map(Box::new),
            readable: false,
            ending: false,
            writable: false,
            connecting: Some(now.after(self.timeout)),
            ended: false,
        })
    }

    fn over_tcp(
        &self,
        address: SocketAddr,
        host: &str,
    ) -> io::Result<(OwnedFd, Option<tls::Stream>)> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        keep_alive_or_end(&stream, self.keepalive)?;
        let tls = self.tls.as_ref().map(|tls| tls.open(host)).transpose()?;
        Ok((stream.into(), tls))
    }
}
