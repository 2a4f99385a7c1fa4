//! A port that belongs to one test from its choice to the test's end.

use std::net::{Ipv4Addr, SocketAddrV4};
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

impl Port {
    /// Takes a free one.
    pub fn reserve() -> Self {
        let socket = socket_with(
            AddressFamily::INET,
            SocketType::STREAM,
            SocketFlags::CLOEXEC,
            None,
        )
        .expect("a socket");
        bind(&socket, &SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        // Not before: with it, bind could choose a port that somebody else has reserved in the same way.
        sockopt::set_socket_reuseaddr(&socket, true).expect("a socket option");
        let address: SocketAddrAny = getsockname(&socket).expect("a bound socket");
        let address = SocketAddrV4::try_from(address).expect("an IPv4 address");
        Self {
            number: address.port(),
            _reservation: socket,
        }
    }

    /// Its number.
    pub fn number(&self) -> u16 {
        self.number
    }
}
