//! What comes about in thousands is logged at a bounded rate, with a count of what was left out.

use std::time::{Duration, Instant};

use crate::common::{Proxy, RedisServer, assert_same, eventually};
use crate::{lines, number};

/// Waits until the log accounts for `count` events with this message, in lines of their own or as left
/// out, and asserts that those since `start` were no more lines than may be.
#[track_caller]
fn assert_accounted_for(proxy: &Proxy, message: &str, count: u64, start: Instant) {
    let mut own = Vec::new();
    let mut end = Vec::new();
    eventually("the log accounts for all", || {
        own = lines(proxy, message);
        end = lines(proxy, "lines left out");
        let left_out: u64 = own
            .iter()
            .chain(&end)
            .map(|line| number(line, "left_out"))
            .sum();
        own.len() as u64 + left_out == count
    });
    let seconds = usize::try_from(start.elapsed().as_secs()).expect("a few");
    let written = own.len() + end.len();
    assert!(
        (1..=10 * (seconds + 1)).contains(&written),
        "{own:?} {end:?}"
    );
}

#[test]
fn clients_that_break_the_protocol_are_logged_at_a_bounded_rate_with_a_count() {
    let redis = RedisServer::start();
    let proxy = Proxy::start(&redis, &[]);
    let start = Instant::now();
    for _ in 0..2000 {
        let mut client = proxy.client();
        client.send("*1\r\nsecret\r\n");
        assert_same(
            &client.read_to_end(),
            b"-ERR Protocol error: expected '$', got 's'\r\n",
            &"no request",
        );
    }
    assert_accounted_for(&proxy, "protocol error of a client", 2000, start);
    let first = proxy.wait_for_log("protocol error of a client");
    assert!(first.starts_with("INFO  "), "{first}");
    let told = &lines(&proxy, "protocol error of a client")[0];
    assert!(
        told.contains(" client=") && told.contains(" address=127.0.0.1:"),
        "{told}"
    );
    assert!(
        told.ends_with(r#" reason="Protocol error: expected '$'""#),
        "{told}"
    );
    assert_rests(&proxy);
}

#[test]
fn clients_beyond_the_most_are_logged_at_a_bounded_rate_with_a_count() {
    let redis = RedisServer::start();
    let proxy = Proxy::start(&redis, &["--max_clients", "2"]);
    let start = Instant::now();
    // The client of the harness leaves before these two are there.
    let mut within = Vec::new();
    let mut before = 0;
    eventually("two clients are served", || {
        let mut client = proxy.client();
        let served = client.command(&["PING"]) == b"+PONG\r\n";
        if served {
            within.push(client);
        } else {
            before += 1;
        }
        within.len() == 2
    });
    for _ in 0..500 {
        assert_same(
            &proxy.client().read_to_end(),
            b"-ERR max number of clients reached\r\n",
            &"a client too many",
        );
    }
    assert_accounted_for(&proxy, "client refused", before + 500, start);
    let line = proxy.wait_for_log("client refused");
    assert!(
        line.starts_with("WARN  ") && line.contains(" clients=2 "),
        "{line}"
    );
    assert_rests(&proxy);
}

#[test]
fn dedicated_connections_that_redis_refuses_are_logged_at_a_bounded_rate_with_a_count() {
    let redis = RedisServer::start_with(&["--requirepass", "secret"]);
    let proxy = Proxy::start(&redis, &["--redis_password", "secret"]);
    let mut straight = redis.client();
    straight.command(&["AUTH", "secret"]);
    straight.command(&["CONFIG", "SET", "maxclients", "1"]);
    let start = Instant::now();
    for _ in 0..100 {
        let mut client = proxy.client();
        client.send("MULTI\r\n");
        assert!(client.read_to_end().starts_with(b"-ERR "));
    }
    assert_accounted_for(&proxy, "dedicated connection failed", 100, start);
    let line = proxy.wait_for_log("dedicated connection failed");
    assert!(
        line.starts_with("WARN  ") && line.contains(" address=127.0.0.1:"),
        "{line}"
    );
}

#[test]
fn connections_that_are_made_anew_again_and_again_are_logged_at_a_bounded_rate() {
    let redis = RedisServer::start();
    let proxy = Proxy::start(&redis, &[]);
    let (mut straight, mut client) = (redis.client(), proxy.client());
    let start = Instant::now();
    for _ in 0..60 {
        straight.command(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
        assert_same(&client.command(&["DBSIZE"]), b":0\r\n", &"DBSIZE");
    }
    assert_accounted_for(&proxy, "reconnected", 60, start);
    let line = &lines(&proxy, "reconnected")[0];
    assert!(line.contains(" reason="), "{line}");
    assert_eq!(lines(&proxy, "redis down"), [""; 0]);
}

/// Asserts that the loop, with no more to tell, does not wake up by itself.
#[track_caller]
fn assert_rests(proxy: &Proxy) {
    eventually("the loop rests", || {
        let before = proxy.sleeps_of_the_loop();
        std::thread::sleep(Duration::from_millis(1200));
        proxy.sleeps_of_the_loop() == before
    });
}
