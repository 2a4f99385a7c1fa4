//! What a browser sends that a web page leads to the port: Redis closes such a connection, so that no line
//! behind it is taken for a command.

use super::{Innocents, OK};
use crate::common::{Client, Proxy, RedisServer, assert_same, eventually};

/// Requests as a browser sends them, with commands in their bodies, and their kin.
const REQUESTS: &[&[u8]] = &[
    b"POST / HTTP/1.1\r\nHost: localhost:6379\r\n\r\nSET stolen 1\r\n",
    b"Host: localhost\r\nSET stolen 1\r\n",
    b"post\r\nSET stolen 1\r\n",
    b"hOST: x\nSET stolen 1\r\n",
    b"*2\r\n$4\r\nPOST\r\n$1\r\n/\r\nSET stolen 1\r\n",
    b"*1\r\n$6\r\nPOST\0x\r\nSET stolen 1\r\n",
    b"*1\r\n$7\r\nhost:\0x\r\nSET stolen 1\r\n",
    b"GET / HTTP/1.1\r\nHost: localhost:6379\r\n\r\nSET stolen 1\r\n",
    b"SET asked 1\r\nGET missing\r\nPOST / HTTP/1.1\r\nSET stolen 1\r\n",
    b"PING\r\nPOST / HTTP/1.1\r\nSET stolen 1\r\n",
    b"POST \"\\x00\" x\r\nSET stolen 1\r\n",
];

/// Sends a request behind others that are answered; returns what came of it.
fn answer(mut client: Client, before: &[&str], sent: &[u8]) -> Vec<u8> {
    for request in before {
        client.send(format!("{request}\r\n"));
        client.read_reply();
    }
    client.send(sent);
    client.read_to_end()
}

#[test]
fn a_client_that_speaks_http_is_closed_without_a_word() {
    let redis = RedisServer::start();
    let proxy = Proxy::start(&redis, &[]);
    let mut innocents = Innocents::start(&redis, &proxy);
    // At first over the shared connection, then on dedicated ones.
    for before in [
        &[][..],
        &["WATCH k"],
        &["MULTI", "SET queued 1"],
        &["SUBSCRIBE c"],
        &["SELECT 1", "WATCH k"],
    ] {
        for sent in REQUESTS {
            // A subscriber may not GET, and is told so.
            let expected = answer(redis.client(), before, sent);
            let actual = answer(proxy.client(), before, sent);
            assert_same(
                &actual,
                &expected,
                &format!("{before:?} {}", sent.escape_ascii()),
            );
            assert_same(&actual, b"", &sent.escape_ascii().to_string());
        }
    }
    innocents.assert_unharmed(&redis, "HTTP");
    innocents.assert_told_of_changes(&redis);
    for key in ["stolen", "queued"] {
        assert_same(&redis.client().get(key), b"$-1\r\n", &key);
    }
}

#[test]
fn what_was_answered_before_reaches_the_client() {
    let redis = RedisServer::start();
    let proxy = Proxy::start(&redis, &[]);
    for mut client in [proxy.client(), redis.client()] {
        assert_same(&client.command(&["SET", "k", "v"]), OK, &"SET");
        client.send("POST / HTTP/1.1\r\n");
        assert_same(&client.read_to_end(), b"", &"POST");
    }
}

#[test]
fn a_client_that_is_not_authenticated_is_closed_too() {
    let redis = RedisServer::start();
    let proxy = Proxy::start(&redis, &["--password", "secret"]);
    for sent in REQUESTS
        .iter()
        .filter(|sent| sent.to_ascii_lowercase().starts_with(b"post"))
    {
        assert_same(
            &answer(proxy.client(), &[], sent),
            b"",
            &sent.escape_ascii().to_string(),
        );
    }
}

#[test]
fn http_in_great_numbers_harms_nobody_and_is_logged_at_a_bounded_rate() {
    let redis = RedisServer::start();
    let proxy = Proxy::start(&redis, &[]);
    let mut innocents = Innocents::start(&redis, &proxy);
    let gets = redis.calls("get");
    for _ in 0..300 {
        assert_same(&answer(proxy.client(), &[], REQUESTS[0]), b"", &"POST");
    }
    for client in &mut innocents.clients {
        assert_same(&client.get("innocent"), b"$1\r\n0\r\n", &"GET");
    }
    assert!(redis.calls("get") <= gets + 1, "the cache is as it was");
    innocents.assert_unharmed(&redis, "300 times HTTP");
    eventually("the log accounts for all", || {
        let lines: Vec<String> = proxy
            .log()
            .into_iter()
            .filter(|line| line.contains("possible attack"))
            .collect();
        let left_out: u64 = lines.iter().map(|line| left_out(line)).sum();
        let own = lines
            .iter()
            .filter(|line| !line.contains("lines left out"))
            .count() as u64;
        own + left_out == 300
    });
    let line = proxy.wait_for_log("possible attack");
    assert!(
        line.starts_with("WARN  ") && line.contains(" address=127.0.0.1:"),
        "{line}"
    );
    assert!(proxy.count_in_log("possible attack") < 100);
}

fn left_out(line: &str) -> u64 {
    let number = line.split_once("left_out=").map_or("0", |(_, rest)| rest);
    let digits: String = number.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().expect("a number")
}
