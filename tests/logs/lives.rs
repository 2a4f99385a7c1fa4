//! What the log shows of a client: at the level debug its life, below it nothing.

use crate::DEBUG;
use crate::common::{Client, Proxy, RedisServer, assert_same};

/// The lines on one client, without its number.
fn life(proxy: &Proxy, client: u64) -> Vec<String> {
    let of_client = format!(" client={client}");
    let log = proxy.log();
    let of_client = log.iter().filter_map(|line| {
        let (before, after) = line.split_once(&of_client)?;
        let whole = after.is_empty() || after.starts_with(' ');
        let (_, message) = before.split_once("] ")?;
        whole.then(|| format!("{message}{after}"))
    });
    of_client.collect()
}

/// The number by which the log calls a client.
fn number_of(client: &mut Client) -> u64 {
    let reply = client.command(&["CLIENT", "ID"]);
    let reply = reply.escape_ascii().to_string();
    let digits = reply.trim_matches(|c: char| !c.is_ascii_digit());
    digits.parse().expect("a number")
}

fn client_and_number(proxy: &Proxy) -> (Client, u64) {
    let mut client = proxy.client();
    let number = number_of(&mut client);
    (client, number)
}

#[test]
fn debug_shows_the_life_of_a_client() {
    let redis = RedisServer::start();
    let proxy = Proxy::start(&redis, &[DEBUG, &["--password", "secret"]].concat());
    let mut client = proxy.client();
    for request in [
        "AUTH wrong",
        "AUTH secret",
        "HELLO 3 SETNAME me",
        "GET a",
        "MULTI",
        "EXEC",
        "RESET",
        "AUTH secret",
    ] {
        client.send(format!("{request}\r\n"));
        client.read_reply();
    }
    let number = number_of(&mut client);
    client.send("QUIT\r\n");
    assert_same(&client.read_to_end(), b"+OK\r\n", &"QUIT");
    drop(client);
    proxy.wait_for_log(&format!("client closed client={number} "));
    let mut life = life(&proxy, number);
    let connected = life.remove(0);
    assert!(
        connected.starts_with("client connected address=127.0.0.1:"),
        "{connected}"
    );
    assert_eq!(
        life,
        [
            "authentication refused",
            "client authenticated",
            "client introduced itself protocol=3 name=me",
            "dedicated connection command=MULTI",
            "client reset",
            "client authenticated",
            r#"client closed reason="it sent QUIT""#,
        ]
    );
}

#[test]
fn debug_shows_why_a_client_was_closed() {
    let redis = RedisServer::start();
    let proxy = Proxy::start(&redis, DEBUG);
    let closed = |number: u64| proxy.wait_for_log(&format!("client closed client={number} "));

    let (client, left) = client_and_number(&proxy);
    drop(client);
    assert!(closed(left).ends_with(r#" reason="it disconnected""#));

    let (mut client, broke) = client_and_number(&proxy);
    client.send("GET \"a\r\n");
    client.read_to_end();
    drop(client);
    let reason = r#" reason="Protocol error: unbalanced quotes in request""#;
    assert!(closed(broke).ends_with(reason));

    let (mut client, own) = client_and_number(&proxy);
    client.command(&["SUBSCRIBE", "channel"]);
    redis
        .client()
        .command(&["CLIENT", "KILL", "TYPE", "pubsub"]);
    client.read_to_end();
    drop(client);
    assert!(closed(own).ends_with(r#" reason="Redis closed its dedicated connection""#));

    let (_client, rest) = client_and_number(&proxy);
    proxy.signal("TERM");
    assert!(closed(rest).ends_with(r#" reason="the proxy is shutting down""#));
}

#[test]
fn below_debug_clients_that_keep_to_the_protocol_leave_nothing() {
    let redis = RedisServer::start();
    let proxy = Proxy::start(&redis, &[]);
    let before = proxy.log();
    let mut client = proxy.client();
    for request in [
        "CLIENT SETNAME me",
        "MULTI",
        "EXEC",
        "RESET",
        "AUTH wrong",
        "QUIT",
    ] {
        client.send(format!("{request}\r\n"));
        client.read_reply();
    }
    client.read_to_end();
    proxy.let_it_read();
    assert_eq!(proxy.log(), before);
}
