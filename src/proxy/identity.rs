//! A client's identity: what `HELLO`, `AUTH` and `CLIENT` have set.

use std::fmt;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use super::guard::Guard;
use crate::clock::Time;
use crate::command::internal;
use crate::resp::Protocol;
use crate::resp::reply;
use crate::rules::Listener;
use crate::upstream::LinkId;

/// The address of a client. Displays as Redis shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Peer {
    /// On a network.
    Tcp {
        /// The client's end of the connection.
        address: SocketAddr,
        /// The proxy's end.
        local: SocketAddr,
    },
    /// On this host: the path of the Unix socket.
    Unix(Arc<str>),
}

impl Peer {
    /// The client's end of the connection and the proxy's, as Redis shows them.
    #[must_use]
    pub fn ends(&self) -> [String; 2] {
        match self {
            Self::Tcp { address, local } => [address.to_string(), local.to_string()],
            Self::Unix(_) => [self.to_string(), self.to_string()],
        }
    }
}

impl Peer {
    /// Whether the client is on this host, judging by its address.
    #[must_use]
    pub fn is_local(&self) -> bool {
        match self {
            Self::Tcp { address, .. } => address.ip().to_canonical().is_loopback(),
            Self::Unix(_) => true,
        }
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { address, .. } => address.fmt(f),
            Self::Unix(path) => write!(f, "{path}:0"),
        }
    }
}

/// What is known of a client's connection.
pub(super) struct Identity {
    /// Its id, unique since the start.
    pub id: u64,
    /// Its address, if it is known.
    pub peer: Option<Peer>,
    /// The listener that it connected to.
    pub listener: Listener,
    /// What it may do, if that is restricted.
    pub guard: Option<Rc<Guard>>,
    /// Each of its requests is decided before it is executed.
    pub is_checked: bool,
    /// So are the requests that the cache could answer on the fast path.
    hits_are_checked: bool,
    /// It is authenticated, and hits need no decision.
    pub is_direct: bool,
    /// The file descriptor of its socket.
    pub descriptor: i32,
    pub connected: Time,
    pub last_request: Time,
    /// The number of its latest command; 0 if there was none, or an unknown one.
    pub last_command: u16,
    pub protocol: Protocol,
    /// The database that it is in.
    pub database: u32,
    /// It has begun a transaction that has no node of the cluster yet, because no request has named a key yet.
    pub multi: bool,
    /// The turn of the cluster in which its requests were last sent.
    pub turn: u32,
    pub authenticated: bool,
    /// Its user at Redis, on its dedicated connection, if that is not the proxy's.
    pub user: Option<Box<[u8]>>,
    /// The connection to which Redis redirects the client's invalidations, by its id at Redis, and the id of the client
    /// that it belongs to.
    pub redirects_to: Option<(i64, i64)>,
    /// Its name, its library and that library's version; empty if not set.
    pub name: Box<[u8]>,
    pub library: Box<[u8]>,
    pub library_version: Box<[u8]>,
}

impl Identity {
    /// The client's user at Redis: its own, or else the one as which the proxy authenticates.
    pub fn user_or<'a>(&'a self, proxy_user: &'a [u8]) -> &'a [u8] {
        self.user.as_deref().unwrap_or(proxy_user)
    }

    pub fn new(id: u64, authenticated: bool, database: u32, now: Time) -> Self {
        Self {
            id,
            peer: None,
            listener: Listener::default(),
            guard: None,
            is_checked: false,
            hits_are_checked: false,
            is_direct: authenticated,
            descriptor: -1,
            connected: now,
            last_request: now,
            last_command: 0,
            protocol: Protocol::Resp2,
            database,
            multi: false,
            turn: 0,
            authenticated,
            user: None,
            redirects_to: None,
            name: Box::default(),
            library: Box::default(),
            library_version: Box::default(),
        }
    }

    /// Forgets what the client set, as `RESET` does.
    pub fn reset(&mut self, authenticated: bool, database: u32) {
        self.protocol = Protocol::Resp2;
        self.database = database;
        self.authenticate(authenticated);
        self.user = None;
        self.redirects_to = None;
        self.multi = false;
        self.name = Box::default();
    }

    /// Sets whether it is authenticated.
    pub fn authenticate(&mut self, authenticated: bool) {
        self.authenticated = authenticated;
        self.is_direct = authenticated && !self.hits_are_checked;
    }

    /// Sets whether its requests, and those that the cache could answer, are decided before they are executed.
    pub fn set_checked(&mut self, requests: bool, hits: bool) {
        self.is_checked = requests;
        self.hits_are_checked = hits;
        self.is_direct = self.authenticated && !hits;
    }

    /// The link that its requests go over.
    pub fn link(&self) -> LinkId {
        LinkId::new(self.protocol, self.database)
    }

    /// Logs an event in the client's life.
    #[cold]
    pub fn log(&self, what: &str) {
        log::debug!(client = self.id; "{what}");
    }

    /// Logs the client's protocol version, name and library.
    #[cold]
    pub fn log_introduction(&self) {
        let text = |text| Some(String::from_utf8_lossy(text)).filter(|text| !text.is_empty());
        log::debug!(
            client = self.id, protocol = self.protocol.number(), name = text(&self.name),
            library = text(&self.library), library_version = text(&self.library_version);
            "client introduced itself"
        );
    }

    /// Logs that the client gets a dedicated connection to Redis, for this command.
    #[cold]
    pub fn log_dedicated(&self, command: &[u8]) {
        log::debug!(client = self.id, command = String::from_utf8_lossy(command); "dedicated connection");
    }

    /// Writes the requests that give a new connection to Redis this client's protocol version, unless a `HELLO` does,
    /// and its names. Returns how many of them must not fail, and how many may.
    pub fn write_set_up(
        &self,
        out: &mut Vec<u8>,
        with_protocol: bool,
        with_name: bool,
    ) -> (usize, usize) {
        let mut counts = (0, 0);
        if with_protocol && self.protocol == Protocol::Resp3 {
            reply::request(out, [internal::HELLO.as_bytes(), b"3"].into_iter());
            counts.0 += 1;
        }
        if with_name && !self.name.is_empty() {
            reply::request(
                out,
                [internal::CLIENT.as_bytes(), b"SETNAME", &self.name].into_iter(),
            );
            counts.1 += 1;
        }
        let library = [
            (&b"LIB-NAME"[..], &self.library),
            (b"LIB-VER", &self.library_version),
        ];
        for (attribute, value) in library.into_iter().filter(|(_, value)| !value.is_empty()) {
            reply::request(
                out,
                [internal::CLIENT.as_bytes(), b"SETINFO", attribute, value].into_iter(),
            );
            counts.1 += 1;
        }
        counts
    }
}

/// The error for any other name.
pub(super) const BAD_NAME: &[u8] =
    b"ERR Client names cannot contain spaces, newlines or special characters.";

/// Whether a name may be given to a connection: printable, without blanks (`validateClientAttr` in
/// redis-server).
pub(super) fn is_valid_name(name: &[u8]) -> bool {
    name.iter().all(|byte| (b'!'..=b'~').contains(byte))
}
