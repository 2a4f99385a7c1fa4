//! What systemd is told by a service of `Type=notify`.

mod common;

use std::io::ErrorKind;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::Path;
use std::time::Duration;

use common::{DEADLINE, Proxy, RedisServer, proxy_command};

fn next_message(manager: &UnixDatagram) -> String {
    let mut message = [0; 64];
    manager
        .set_read_timeout(Some(DEADLINE))
        .expect("a socket option");
    let length = manager.recv(&mut message).expect("a message");
    String::from_utf8_lossy(&message[..length]).into_owned()
}

#[track_caller]
fn check(manager: &UnixDatagram, socket: &str) {
    let redis = RedisServer::start();
    let mut command = proxy_command(&redis.address(), &[]);
    command.env("NOTIFY_SOCKET", socket);
    let mut proxy = Proxy::start_command(command);
    assert_eq!(next_message(manager), "READY=1");
    assert_eq!(proxy.client().command(&["PING"]), b"+PONG\r\n");
    manager
        .set_read_timeout(Some(Duration::from_millis(1)))
        .expect("a socket option");
    let early = manager.recv(&mut [0; 64]).map_err(|error| error.kind());
    assert_eq!(early, Err(ErrorKind::WouldBlock));
    proxy.signal("TERM");
    assert_eq!(next_message(manager), "STOPPING=1");
    assert!(proxy.wait_for_exit().success());
}

#[test]
fn systemd_is_told_when_clients_are_accepted_and_when_the_proxy_ends() {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("notify.sock");
    let _ = std::fs::remove_file(&path);
    let manager = UnixDatagram::bind(&path).expect("a socket");
    check(&manager, path.to_str().expect("a path"));
}

#[test]
fn an_abstract_socket_is_told_too() {
    let name = format!("redis-proxy-test-{}", std::process::id());
    let address = SocketAddr::from_abstract_name(&name).expect("an address");
    let manager = UnixDatagram::bind_addr(&address).expect("a socket");
    check(&manager, &format!("@{name}"));
}

#[test]
fn a_socket_that_is_not_there_is_a_line_in_the_log() {
    let redis = RedisServer::start();
    let mut command = proxy_command(&redis.address(), &[]);
    command.env("NOTIFY_SOCKET", "/nowhere/notify");
    let proxy = Proxy::start_command(command);
    proxy.wait_for_log("cannot notify the service manager");
    assert_eq!(proxy.client().command(&["PING"]), b"+PONG\r\n");
}
