//! Who a client is to the proxy: what `HELLO`, `AUTH` and `CLIENT` have set or ask for.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use crate::clock::Time;
use crate::resp::Protocol;
use crate::resp::reply;

/// Where a client is. Displays as Redis shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Peer {
    /// Somewhere in a network.
    Tcp {
        /// The client's end of the connection.
        address: SocketAddr,
        /// Ours.
        local: SocketAddr,
    },
    /// On this host: the path of the Unix socket.
    Unix(Arc<str>),
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
    /// Its number, unique since the start.
    pub id: u64,
    /// Where the client is, if that is known.
    pub peer: Option<Peer>,
    pub connected: Time,
    pub last_request: Time,
    pub protocol: Protocol,
    pub authenticated: bool,
    /// What it calls itself, its library and that library's version; empty if it doesn't say.
    pub name: Box<[u8]>,
    pub library: Box<[u8]>,
    pub library_version: Box<[u8]>,
}

impl Identity {
    pub fn new(id: u64, authenticated: bool, now: Time) -> Self {
        Self {
            id,
            peer: None,
            connected: now,
            last_request: now,
            protocol: Protocol::Resp2,
            authenticated,
            name: Box::default(),
            library: Box::default(),
            library_version: Box::default(),
        }
    }

    /// Forgets what the client set, as `RESET` does.
    pub fn reset(&mut self, authenticated: bool) {
        self.protocol = Protocol::Resp2;
        self.authenticated = authenticated;
        self.name = Box::default();
    }

    /// Logs a change of the client's life.
    #[cold]
    pub fn log(&self, what: &str) {
        log::debug!(client = self.id; "{what}");
    }

    /// Logs how the client speaks and what it calls itself.
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

    /// The line that `CLIENT INFO` shows, in the fields of redis-server 7.0 that mean something here.
    pub fn line(&self, database: u32, now: Time) -> Vec<u8> {
        let (address, local, flags) = match &self.peer {
            Some(Peer::Tcp { address, local }) => (address.to_string(), local.to_string(), "N"),
            Some(peer @ Peer::Unix(_)) => (peer.to_string(), peer.to_string(), "U"),
            None => (String::new(), String::new(), "N"),
        };
        let lossy = |text: &[u8]| String::from_utf8_lossy(text).into_owned();
        format!(
            "id={} addr={address} laddr={local} fd=-1 name={} age={} idle={} flags={flags} db={database} sub=0 \
             psub=0 ssub=0 multi=-1 qbuf=0 qbuf-free=0 argv-mem=0 multi-mem=0 rbs=0 rbp=0 obl=0 oll=0 \
             omem=0 tot-mem=0 events=r cmd=client|info user=default redir=-1 resp={} lib-name={} lib-ver={}\n",
            self.id,
            lossy(&self.name),
            self.connected.until(now).as_secs(),
            self.last_request.until(now).as_secs(),
            self.protocol.number(),
            lossy(&self.library),
            lossy(&self.library_version),
        )
        .into_bytes()
    }

    /// Writes the requests that make a new connection to Redis speak and be called as this client's does, as far
    /// as that is not said otherwise; returns how many must not fail, and how many may.
    pub fn write_set_up(
        &self,
        out: &mut Vec<u8>,
        with_protocol: bool,
        with_name: bool,
    ) -> (usize, usize) {
        let mut counts = (0, 0);
        if with_protocol && self.protocol == Protocol::Resp3 {
            reply::request(out, [&b"HELLO"[..], b"3"].into_iter());
            counts.0 += 1;
        }
        if with_name && !self.name.is_empty() {
            reply::request(out, [&b"CLIENT"[..], b"SETNAME", &self.name].into_iter());
            counts.1 += 1;
        }
        let library = [
            (&b"LIB-NAME"[..], &self.library),
            (b"LIB-VER", &self.library_version),
        ];
        for (attribute, value) in library.into_iter().filter(|(_, value)| !value.is_empty()) {
            reply::request(
                out,
                [&b"CLIENT"[..], b"SETINFO", attribute, value].into_iter(),
            );
            counts.1 += 1;
        }
        counts
    }
}

/// Whether a name may be given to a connection: printable, without blanks (`validateClientAttr` in
/// redis-server).
pub(super) fn is_valid_name(name: &[u8]) -> bool {
    name.iter().all(|byte| (b'!'..=b'~').contains(byte))
}
