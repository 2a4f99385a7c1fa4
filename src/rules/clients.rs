//! The clients that a rule applies to.

use std::fmt;

/// The listener that a client connected to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Listener {
    /// The port.
    #[default]
    Port,
    /// The TLS port.
    TlsPort,
    /// The Unix socket.
    UnixSocket,
}

impl Listener {
    /// All listeners.
    pub const ALL: [Self; 3] = [Self::Port, Self::TlsPort, Self::UnixSocket];

    /// The setting that opens the listener.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Port => "port",
            Self::TlsPort => "tls_port",
            Self::UnixSocket => "unix_socket",
        }
    }
}

/// A selection of clients. Without any condition, it contains all clients.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Clients {
    /// Clients that connected through this listener.
    pub listener: Option<Listener>,
    /// Clients authenticated as this user at Redis.
    pub user: Option<Box<str>>,
}

impl Clients {
    /// Whether the selection contains a client.
    #[must_use]
    pub fn contains(&self, listener: Listener, user: &[u8]) -> bool {
        let is_user = |name: &str| name.as_bytes() == user;
        self.listener.is_none_or(|it| it == listener) && self.user.as_deref().is_none_or(is_user)
    }

    /// Whether the selection contains all clients.
    #[must_use]
    pub fn are_all(&self) -> bool {
        *self == Self::default()
    }
}

/// As the options of a rule, each after a blank.
impl fmt::Display for Clients {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(listener) = self.listener {
            write!(f, " listener={}", listener.name())?;
        }
        match &self.user {
            Some(user) => write!(f, " user={user}"),
            None => Ok(()),
        }
    }
}
