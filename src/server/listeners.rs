//! The sockets that accept clients: a port, a TLS port, a Unix socket.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use mio::event::Source;
use mio::net::{TcpListener, UnixListener};
use mio::{Interest, Registry, Token};
use rustix::net::sockopt::set_tcp_nodelay;

use super::accept::{Accept, Accepted};
use super::unix_socket::SocketFile;
use crate::clock::Time;
use crate::config::Config;
use crate::keepalive::keep_alive;
use crate::proxy::Peer;
use crate::tls::Acceptor;

/// The tokens of the listeners.
const TOKENS: [Token; 3] = [
    Token(usize::MAX),
    Token(usize::MAX - 3),
    Token(usize::MAX - 4),
];

/// Whether a token belongs to a listener.
pub(super) fn is_ours(token: Token) -> bool {
    TOKENS.contains(&token)
}

/// All listeners.
#[derive(Default)]
pub(super) struct Listeners {
    all: Vec<Listener>,
    /// The port that `INFO` shows.
    port: u16,
}

/// A listener.
struct Listener {
    token: Token,
    socket: Socket,
    accept: Accept,
}

enum Socket {
    /// With what performs TLS handshakes, if TLS is on.
    Tcp(TcpListener, Option<Acceptor>),
    Unix(UnixListener, SocketFile),
}

impl Listeners {
    /// Binds the configured addresses.
    ///
    /// # Errors
    /// If one can't be bound.
    pub fn bind(config: &Config, acceptor: Option<Acceptor>) -> io::Result<Self> {
        let mut listeners = Self::default();
        if let Some(port) = config.port {
            listeners.bind_tcp(config, port, None)?;
        }
        if let Some((port, acceptor)) = config.tls_port.zip(acceptor) {
            listeners.bind_tcp(config, port, Some(acceptor))?;
        }
        if let Some(path) = &config.unix_socket {
            let (listener, file) = SocketFile::listen(path, config.unix_socket_perm.0)?;
            listeners.add(Socket::Unix(listener, file));
        }
        Ok(listeners)
    }

    fn bind_tcp(
        &mut self,
        config: &Config,
        port: u16,
        acceptor: Option<Acceptor>,
    ) -> io::Result<()> {
        let listener = super::listen(SocketAddr::new(config.bind, port))?;
        keep_alive(&listener, config.tcp_keepalive)?;
        if self.port == 0 {
            self.port = listener.local_addr()?.port();
        }
        self.add(Socket::Tcp(listener, acceptor));
        Ok(())
    }

    /// Logs where clients can connect.
    ///
    /// # Errors
    /// If the system does not know the address of a listener.
    pub fn announce(&self) -> io::Result<()> {
        let version = env!("CARGO_PKG_VERSION");
        for Listener { socket, .. } in &self.all {
            match socket {
                Socket::Tcp(listener, acceptor) => {
                    let address = listener.local_addr()?;
                    match acceptor {
                        None => log::info!(address:%, version; "listening"),
                        Some(_) => log::info!(address:%, version; "listening for TLS"),
                    }
                }
                Socket::Unix(_, file) => {
                    log::info!(path = &*file.path, version; "listening on a Unix socket");
                }
            }
        }
        Ok(())
    }

    fn add(&mut self, socket: Socket) {
        self.all.push(Listener {
            token: TOKENS[self.all.len()],
            socket,
            accept: Accept::Idle,
        });
    }

    /// Registers the listeners with the poll.
    ///
    /// # Errors
    /// If the system refuses.
    pub fn register(&mut self, registry: &Registry) -> io::Result<()> {
        for Listener { token, socket, .. } in &mut self.all {
            let source: &mut dyn Source = match socket {
                Socket::Tcp(listener, _) => listener,
                Socket::Unix(listener, _) => listener,
            };
            source.register(registry, *token, Interest::READABLE)?;
        }
        Ok(())
    }

    /// The port that clients connect to; 0 if there is none.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Whether there are no listeners, or no longer any.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Stops listening. Returns whether there were listeners.
    pub fn stop(&mut self) -> bool {
        !std::mem::take(&mut self.all).is_empty()
    }

    /// Notes that clients are waiting.
    pub fn note(&mut self, token: Token) {
        let mut all = self.all.iter_mut();
        if let Some(listener) = all.find(|listener| listener.token == token) {
            listener.accept = Accept::Pending;
        }
    }

    /// A file descriptor is free again, so that waiting clients can be accepted.
    pub fn resume(&mut self) {
        for listener in &mut self.all {
            if let Accept::Paused(_) = listener.accept {
                listener.accept = Accept::Pending;
            }
        }
    }

    /// When to accept, unless an event comes first.
    pub fn due(&self) -> Option<Time> {
        self.all.iter().filter_map(|one| one.accept.due()).min()
    }

    /// Accepts a client, if one is waiting.
    ///
    /// # Errors
    /// If the client can't be accepted, for example for lack of file descriptors.
    pub fn accept(&mut self, now: Time) -> io::Result<Option<Accepted>> {
        let mut all = self.all.iter_mut();
        match all.find(|listener| listener.accept.is_due(now)) {
            Some(Listener { socket, accept, .. }) => accept.next(|| socket.accept(), now),
            None => Ok(None),
        }
    }
}

impl Socket {
    fn accept(&self) -> io::Result<Accepted> {
        let (listener, tls) = match self {
            Self::Tcp(listener, tls) => (listener, tls.clone()),
            Self::Unix(listener, file) => {
                return Ok(Accepted {
                    socket: listener.accept()?.0.into(),
                    peer: Peer::Unix(Arc::clone(&file.path)),
                    tls: None,
                });
            }
        };
        let (stream, address) = listener.accept()?;
        let local = stream.local_addr().unwrap_or(address);
        // If this fails, replies may be delayed, no more.
        let _ = set_tcp_nodelay(&stream, true);
        Ok(Accepted {
            socket: stream.into(),
            peer: Peer::Tcp { address, local },
            tls,
        })
    }
}
