//! A port that belongs to one test from its choice to the test's end.

use std::net::{Ipv4Addr, SocketAddrV4, TcpListener};
use std::os::fd::OwnedFd;

use rustix::net::{
    AddressFamily, SocketAddrAny, SocketFlags, SocketType, bind, getsockname, socket_with, sockopt,
};

/// A port of 127.0.0.1 for a server that is yet to start, or to start again.
///
/// A socket is bound to it, and never listens. As long as it is open nobody else is given the port, whoever
/// connects is refused until the server listens, and the server can bind it: both sockets allow that
/// (`SO_REUSEADDR`, which redis-server and mio set).
///
/// A probe that listens would not do: a process that another thread forks at that moment inherits it, and until
/// it has become another program, connections are accepted that no server will ever answer, while the server
/// itself finds its port taken.
pub struct Port {
    number: u16,
    _reservation: OwnedFd,
}

/// The lowest port that is tried.
const FIRST: u16 = 10_000;

/// How many ports are tried.
const TRIES: usize = 1000;

impl Port {
    /// Takes a free one, outside the range from which the system chooses by itself if it leaves one: so a proxy on
    /// `--port 0` never listens where another test's proxy still looks for a server that has ended.
    pub fn reserve() -> Self {
        let end = ephemeral_start().unwrap_or_default();
        let chosen = (0..TRIES)
            .filter(|_| end > FIRST)
            .find_map(|_| Self::bind(fastrand::u16(FIRST..end)).ok());
        chosen.unwrap_or_else(|| Self::bind(0).expect("a free port"))
    }

    fn bind(number: u16) -> rustix::io::Result<Self> {
        let (stream, flags) = (SocketType::STREAM, SocketFlags::CLOEXEC);
        let socket = socket_with(AddressFamily::INET, stream, flags, None)?;
        bind(&socket, &SocketAddrV4::new(Ipv4Addr::LOCALHOST, number))?;
        // Not before: with it, bind could choose a port that somebody else has reserved in the same way.
        sockopt::set_socket_reuseaddr(&socket, true)?;
        let address: SocketAddrAny = getsockname(&socket)?;
        let address = SocketAddrV4::try_from(address)?;
        Ok(Self {
            number: address.port(),
            _reservation: socket,
        })
    }

    /// Its number.
    pub fn number(&self) -> u16 {
        self.number
    }
}

/// The first of the ports from which the system chooses by itself.
fn ephemeral_start() -> Option<u16> {
    let range = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").ok()?;
    range.split_whitespace().next()?.parse().ok()
}

/// Listens on a free port, as a server that is not redis-server.
pub fn listen() -> TcpListener {
    let port = Port::reserve();
    TcpListener::bind((Ipv4Addr::LOCALHOST, port.number())).expect("a port that was reserved")
}
