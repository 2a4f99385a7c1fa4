//! Which clients a rule is for.

use std::fmt;

/// Where a client came in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Listener {
    /// The port.
    #[default]
    Port,
    /// The port for TLS.
    TlsPort,
    /// The Unix socket.
    UnixSocket,
}

impl Listener {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Port, Self::TlsPort, Self::UnixSocket];

    /// The setting that it is given by.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Port => "port",
            Self::TlsPort => "tls_port",
            Self::UnixSocket => "unix_socket",
        }
    }
}

/// Some clients; all, if nothing is given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Clients {
    /// Those that came in there.
    pub listener: Option<Listener>,
    /// Those that are this user at Redis.
    pub user: Option<Box<str>>,
}

impl Clients {
    /// Whether a client is among them.
    #[must_use]
    pub fn contains(&self, listener: Listener, user: &[u8]) -> bool {
        let is_user = |name: &str| name.as_bytes() == user;
        self.listener.is_none_or(|it| it == listener) && self.user.as_deref().is_none_or(is_user)
    }

    /// Whether that is all clients.
    #[must_use]
    pub fn are_all(&self) -> bool {
        *self == Self::default()
    }
}

/// As options of a rule, each behind a blank.
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
