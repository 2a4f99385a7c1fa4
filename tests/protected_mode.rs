//! Protected mode: a proxy that asks for nothing serves its own host alone.

mod common;

use std::net::{IpAddr, SocketAddr, UdpSocket};

use common::{Client, Proxy, RedisServer, assert_same};

/// An address of this host beyond loopback, from which a client seems to come that connects to it; none if there is no
/// network.
fn address_in_the_network() -> Option<IpAddr> {
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    // Sends nothing: it only asks which address would be used.
    socket.connect("192.0.2.1:9").ok()?;
    let address = socket.local_addr().ok()?.ip();
    (!address.is_loopback()).then_some(address)
}

fn from_the_network(proxy: &Proxy) -> Option<Client> {
    let address = SocketAddr::new(address_in_the_network()?, proxy.address().port());
    Some(Client::connect(address))
}

#[test]
fn a_client_of_another_host_is_denied_and_one_of_this_host_served() {
    let redis = RedisServer::start();
    let proxy = Proxy::start(&redis, &["--bind", "0.0.0.0"]);
    let line = proxy.wait_for_log("protected mode bind=0.0.0.0");
    assert!(line.starts_with("WARN "), "{line}");
    assert_same(&proxy.client().command(&["PING"]), b"+PONG\r\n", &"PING");
    let Some(mut client) = from_the_network(&proxy) else {
        return;
    };
    // It is not even read, and may send nothing.
    let reply = client.read_to_end();
    let start = b"-DENIED Redis is running in protected mode because ";
    assert!(reply.starts_with(start), "{}", reply.escape_ascii());
    assert_eq!(reply.iter().filter(|byte| **byte == b'\n').count(), 1);
    proxy.wait_for_log("client refused");
    let stats = proxy.client().command(&["INFO", "stats"]);
    let stats = String::from_utf8(stats).expect("a text");
    assert!(stats.contains("\nrejected_connections:1\r\n"), "{stats}");
}

#[test]
fn a_password_or_the_user_s_word_lets_others_in() {
    let redis = RedisServer::start();
    for flags in [["--password", "x"], ["--protected_mode", "no"]] {
        let proxy = Proxy::start_at(
            &redis.address(),
            &[&["--bind", "0.0.0.0"][..], &flags].concat(),
        );
        let Some(mut client) = from_the_network(&proxy) else {
            return;
        };
        let reply = client.command(&["PING"]);
        assert!(!reply.starts_with(b"-DENIED"), "{}", reply.escape_ascii());
        assert_eq!(proxy.count_in_log("client refused"), 0);
    }
}
