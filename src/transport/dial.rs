//! Connects to a Redis, for the helper thread and the loop.

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

/// The resolved address of a Redis.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// Over TCP.
    Tcp(SocketAddr),
    /// Over TCP, to a host of this name.
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
    /// The address, if the endpoint is reached over TCP.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(address) | Self::Named(address, _) => Some(*address),
            Self::Unix(_) => None,
        }
    }
}

/// How to connect.
#[derive(Clone, Debug)]
pub struct Dialer {
    /// Opens TLS over TCP, if configured.
    pub tls: Option<tls::Connector>,
    /// How long connecting may take, including the TLS handshake.
    pub timeout: Duration,
    /// The idle time after which TCP probes Redis; zero for never.
    pub keepalive: Duration,
}

impl Dialer {
    /// Starts to connect.
    ///
    /// # Errors
    /// If the attempt can't be started.
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
