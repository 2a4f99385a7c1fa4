//! How a Redis is connected to, by whoever does: the helper thread or the loop.

use std::fmt;
use std::io;
use std::net::SocketAddr;
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
    /// The path of a Unix socket.
    Unix(Arc<str>),
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => f.write_str(path),
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
            Endpoint::Tcp(address) => {
                let stream = TcpStream::connect(*address)?;
                stream.set_nodelay(true)?;
                keep_alive_or_end(&stream, self.keepalive)?;
                let tls = self.tls.as_ref().map(tls::Connector::open).transpose()?;
                (stream.into(), tls)
            }
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
}
