//! Finds the address of Redis. Only this module knows how each kind of address is resolved.

use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::thread;

use crate::config::RedisAddress;
use crate::transport::dial::Endpoint;

/// The stack of the thread, in bytes: ample for a name look-up.
const STACK: usize = 512 * 1024;

/// The addresses of a Redis, in the order in which to try them.
pub(super) type Endpoints = io::Result<Vec<Endpoint>>;

/// Resolves an address, and passes the result to `found`: at once if no look-up is needed, otherwise from a thread of
/// its own, as the system's look-up may take arbitrarily long.
///
/// # Errors
/// If no thread can be created.
pub(super) fn resolve(
    address: &RedisAddress,
    found: impl FnOnce(Endpoints) + Send + 'static,
) -> io::Result<()> {
    let (host, port) = match address {
        RedisAddress::Unix(path) => {
            found(Ok(vec![Endpoint::Unix(path.as_str().into())]));
            return Ok(());
        }
        RedisAddress::Tcp { host, port } => (host.clone(), *port),
        // These are found by asking sentinels or nodes.
        RedisAddress::Master(_) | RedisAddress::Cluster(_) => {
            found(Err(none()));
            return Ok(());
        }
    };
    if let Ok(ip) = host.parse::<IpAddr>() {
        found(Ok(vec![Endpoint::Tcp(SocketAddr::new(ip, port))]));
        return Ok(());
    }
    let look_up = move || {
        let addresses = (host.as_str(), port).to_socket_addrs();
        found(addresses.map(|addresses| alternating(addresses.collect())));
    };
    thread::Builder::new()
        .name("resolve".into())
        .stack_size(STACK)
        .spawn(look_up)?;
    Ok(())
}

/// The addresses, alternating between IP versions as long as there are both. If one version does not work here, the
/// second attempt already uses the other (RFC 8305, section 4).
fn alternating(addresses: Vec<SocketAddr>) -> Vec<Endpoint> {
    let first_is_v6 = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (same, other): (Vec<_>, Vec<_>) = addresses
        .into_iter()
        .partition(|address| address.is_ipv6() == first_is_v6);
    let (mut same, mut other) = (same.into_iter(), other.into_iter());
    let mut order = Vec::with_capacity(same.len() + other.len());
    while same.len() + other.len() > 0 {
        order.extend(same.next().into_iter().chain(other.next()));
    }
    let mut endpoints: Vec<Endpoint> = order.into_iter().map(Endpoint::Tcp).collect();
    endpoints.dedup();
    endpoints
}

/// The error if a list has no address.
pub(super) fn none() -> io::Error {
    io::Error::new(ErrorKind::NotFound, "its name has no address")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_versions_of_ip_take_turns() {
        let order = |addresses: &[&str]| -> Vec<String> {
            let addresses = addresses.iter().map(|text| text.parse().expect(text));
            let order = alternating(addresses.collect());
            order.iter().map(Endpoint::to_string).collect()
        };
        assert_eq!(
            order(&["[::1]:1", "[::2]:1", "[::3]:1", "1.1.1.1:1", "1.1.1.2:1"]),
            ["[::1]:1", "1.1.1.1:1", "[::2]:1", "1.1.1.2:1", "[::3]:1"]
        );
        assert_eq!(order(&["1.1.1.1:1", "[::1]:1"]), ["1.1.1.1:1", "[::1]:1"]);
        assert_eq!(order(&[]), [""; 0]);
    }
}
