//! What clients send that the proxy does not know: names that no command has, commands that Redis has by other
//! names or since later, and what a browser sends. None of it reaches the connection that all clients share
//! before it is known what it is.

#[path = "../common/mod.rs"]
mod common;

mod described;
mod http;
mod names;
mod renamed;
mod told;

use common::{Client, Proxy, RedisServer, assert_same, bulk};

const OK: &[u8] = b"+OK\r\n";

/// Clients that do nothing out of the ordinary, and what must not change for them.
struct Innocents {
    clients: [Client; 2],
    /// The shared connections as Redis lists them.
    connections: Vec<String>,
    written: u32,
}

impl Innocents {
    /// One client for each version of the protocol.
    fn start(redis: &RedisServer, proxy: &Proxy) -> Self {
        let mut clients = [proxy.client(), proxy.client()];
        let greeting = clients[1].command(&["HELLO", "3"]);
        assert!(greeting.starts_with(b"%"), "{}", greeting.escape_ascii());
        for client in &mut clients {
            assert_same(&client.command(&["SET", "innocent", "0"]), OK, &"SET");
        }
        Self {
            clients,
            connections: shared_connections(redis),
            written: 0,
        }
    }

    /// Asserts that they are served as before, over the same connections in the same state.
    #[track_caller]
    fn assert_unharmed(&mut self, redis: &RedisServer, after: &str) {
        self.written += 1;
        let value = self.written.to_string();
        for client in &mut self.clients {
            assert_same(&client.command(&["SET", "innocent", &value]), OK, &after);
            assert_same(
                &client.command(&["GETRANGE", "innocent", "0", "-1"]),
                &bulk(&value),
                &after,
            );
            assert_same(&client.get("innocent"), &bulk(&value), &after);
        }
        assert_same(&redis.client().get("innocent"), &bulk(&value), &after);
        assert_eq!(shared_connections(redis), self.connections, "{after}");
    }

    /// Asserts that what is changed at Redis itself is seen.
    #[track_caller]
    fn assert_told_of_changes(&mut self, redis: &RedisServer) {
        redis.set("innocent", "changed");
        for client in &mut self.clients {
            common::eventually_get(client, "innocent", &bulk("changed"));
        }
    }
}

/// What Redis lists of the connections that all clients share, without what changes with each request.
fn shared_connections(redis: &RedisServer) -> Vec<String> {
    const STATE: [&str; 12] = [
        "id=", "laddr=", "name=", "flags=", "db=", "sub=", "psub=", "ssub=", "multi=", "user=",
        "redir=", "resp=",
    ];
    let list = redis.client().command(&["CLIENT", "LIST"]);
    let list = String::from_utf8(list).expect("a text");
    let mut lines: Vec<String> = list
        .lines()
        .filter(|line| line.contains(" name=redis-proxy "))
        .map(|line| {
            let fields = line
                .split(' ')
                .filter(|field| STATE.iter().any(|name| field.starts_with(name)));
            fields.collect::<Vec<_>>().join(" ")
        })
        .collect();
    lines.sort();
    lines
}

/// How many clients have a dedicated connection.
fn dedicated(proxy: &Proxy) -> u64 {
    field(proxy, "clients_on_dedicated_connection")
}

/// A number in the proxy's `INFO`.
fn field(proxy: &Proxy, name: &str) -> u64 {
    let info = proxy.client().command(&["INFO"]);
    let info = String::from_utf8(info).expect("a text");
    let value = info
        .lines()
        .find_map(|line| line.strip_prefix(&format!("{name}:")));
    value.expect("a field").parse().expect("a number")
}
