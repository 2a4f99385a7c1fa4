//! Looks up where Redis is.

use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::thread;

use crate::config::RedisAddress;

/// The stack of the thread, in bytes: ample for a name look-up.
const STACK: usize = 512 * 1024;

/// The addresses of a Redis, in the order in which they are to be tried.
pub(super) type Addresses = io::Result<Vec<SocketAddr>>;

/// Gives the addresses to `found`: at once if the host is an address itself, else from a thread, as the system's
/// look-up may take as long as it likes.
pub(super) fn resolve(address: &RedisAddress, found: impl FnOnce(Addresses) + Send + 'static) {
    if let Ok(ip) = address.host.parse::<IpAddr>() {
        return found(Ok(vec![SocketAddr::new(ip, address.port)]));
    }
    let (host, port) = (address.host.clone(), address.port);
    let look_up = move || {
        let addresses = (host.as_str(), port).to_socket_addrs();
        found(addresses.map(Iterator::collect));
    };
    let thread = thread::Builder::new()
        .name("resolve".into())
        .stack_size(STACK);
    if let Err(error) = thread.spawn(look_up) {
        log::error!(reason:% = error; "can't start a thread to look names up");
    }
}

/// Why there is no address in a list.
pub(super) fn none() -> io::Error {
    io::Error::new(ErrorKind::NotFound, "its name has no address")
}
