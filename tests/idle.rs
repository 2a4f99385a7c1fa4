//! Clients that say nothing: whether they are still there, and for how long they may.

mod common;

use std::fs;
use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use common::{Client, Proxy, RedisServer, assert_same, bulk, eventually};

const TIMEOUT: Duration = Duration::from_secs(2);

/// Has a server with a `timeout` of two seconds to itself, and the Redis behind it.
fn assert_closes_idle_clients_alone(address: SocketAddr, redis: &RedisServer) {
    let connect = || Client::connect(address);
    let mut subscribed = connect();
    subscribed.command(&["SUBSCRIBE", "channel"]);
    let mut subscribed_in_resp3 = connect();
    subscribed_in_resp3.command(&["HELLO", "3"]);
    subscribed_in_resp3.command(&["SUBSCRIBE", "channel"]);
    let mut monitor = connect();
    assert_same(&monitor.command(&["MONITOR"]), b"+OK\r\n", &"MONITOR");
    let mut blocked = connect();
    blocked.send("BLPOP list 0\r\n");

    let start = Instant::now();
    let (mut silent, mut transaction, mut spoken) = (connect(), connect(), connect());
    transaction.command(&["MULTI"]);
    spoken.command(&["PING"]);
    let mut busy = connect();
    thread::scope(|scope| {
        let closed = [&mut silent, &mut transaction, &mut spoken].map(|client| {
            scope.spawn(move || {
                assert_same(&client.read_to_end(), b"", &"it is closed in order");
                start.elapsed()
            })
        });
        ping_until(&mut busy, || {
            closed.iter().all(|client| client.is_finished())
        });
        for client in closed {
            let took = client.join().expect("an end");
            assert!(took >= TIMEOUT, "{took:?}");
        }

        // Who is blocked gets what it waits for, and has its time from then on. One that speaks stays, for longer than
        // the others are there.
        let served = Instant::now();
        redis.client().command(&["RPUSH", "list", "x"]);
        let reply = [&b"*2\r\n"[..], &bulk("list"), &bulk("x")].concat();
        assert_same(&blocked.read_reply(), &reply, &"BLPOP");
        let closed = scope.spawn(move || {
            assert_same(&blocked.read_to_end(), b"", &"it is closed in order");
            served.elapsed()
        });
        ping_until(&mut busy, || closed.is_finished());
        let took = closed.join().expect("an end");
        assert!(took >= TIMEOUT, "{took:?}");
    });

    // Who listens stays.
    redis.client().command(&["PUBLISH", "channel", "hello"]);
    let message = [&bulk("message")[..], &bulk("channel"), &bulk("hello")].concat();
    let in_resp2 = [b"*3\r\n", &message[..]].concat();
    assert_same(&subscribed.read_reply(), &in_resp2, &"a message");
    let in_resp3 = [b">3\r\n", &message[..]].concat();
    assert_same(&subscribed_in_resp3.read_reply(), &in_resp3, &"a message");
    assert!(monitor.read_reply().starts_with(b"+"));
}

/// Sends PING often enough not to be idle.
fn ping_until(client: &mut Client, is_over: impl Fn() -> bool) {
    while !is_over() {
        assert_same(&client.command(&["PING"]), b"+PONG\r\n", &"PING");
        thread::sleep(TIMEOUT / 10);
    }
}

#[test]
fn clients_that_are_silent_are_closed_after_the_timeout_unless_they_wait_or_listen() {
    let redis = RedisServer::start();
    let proxy = Proxy::start(&redis, &["--timeout", "2", "--log_level", "debug"]);
    assert_closes_idle_clients_alone(proxy.address(), &redis);
    proxy.wait_for_log(r#"reason="it was idle for too long""#);
}

#[test]
fn redis_closes_the_same_clients() {
    // A client whose block ends is closed all the same if Redis looks for idle ones before it has written the reply. It
    // looks once a second, and has just done so when the others are closed.
    let redis = RedisServer::start_with(&["--timeout", "2", "--hz", "1"]);
    let address = redis.address().parse().expect("an address");
    assert_closes_idle_clients_alone(address, &redis);
}

#[test]
fn who_reads_nothing_of_what_it_asked_for_is_silent_too() {
    let redis = RedisServer::start();
    redis.set("large", common::noise(1_000_000));
    let proxy = Proxy::start(&redis, &["--timeout", "2", "--log_level", "debug"]);
    let mut client = proxy.client();
    client.send("GET large\r\n".repeat(100));
    proxy.wait_for_log(r#"reason="it was idle for too long""#);
}

#[test]
fn without_a_timeout_clients_may_be_silent() {
    let redis = RedisServer::start();
    let proxy = Proxy::start(&redis, &[]);
    let mut client = proxy.client();
    thread::sleep(TIMEOUT);
    assert_same(&client.command(&["PING"]), b"+PONG\r\n", &"PING");
}

/// How long until the system asks whether the other side is there, if it will, as the kernel shows it of each connection
/// between that port of this side, if it is known, and that of the other.
fn keepalive_of(ours: Option<u16>, theirs: u16) -> Vec<Option<Duration>> {
    let table = fs::read_to_string("/proc/net/tcp").expect("a table");
    let is_port = |field: &str, port: u16| field.ends_with(&format!(":{port:04X}"));
    let mut found = Vec::new();
    for line in table.lines() {
        let fields: Vec<&str> = line.split_whitespace().collect();
        // The state 01 is an open connection.
        if !is_port(fields[2], theirs)
            || fields[3] != "01"
            || ours.is_some_and(|port| !is_port(fields[1], port))
        {
            continue;
        }
        let (kind, hundredths) = fields[5].split_once(':').expect("a timer");
        let hundredths = u64::from_str_radix(hundredths, 16).expect("a time");
        // 1 is a segment that is sent again, 2 is keepalive.
        found.push((kind == "02").then(|| Duration::from_millis(10 * hundredths)));
    }
    found
}

/// Waits until all these connections have such a timer, or none.
#[track_caller]
fn assert_keepalive(ours: Option<u16>, theirs: u16, seconds: Option<u64>) {
    let is_right = |timer: &Option<Duration>| match (timer, seconds.map(Duration::from_secs)) {
        (Some(timer), Some(most)) => *timer <= most && *timer > most / 2,
        (None, None) => true,
        _ => false,
    };
    // An acknowledgement may be due first.
    eventually("the timer is set", || {
        let timers = keepalive_of(ours, theirs);
        !timers.is_empty() && timers.iter().all(is_right)
    });
}

#[test]
fn a_client_or_a_redis_that_is_silent_is_asked_whether_it_is_there_as_often_as_is_set() {
    let redis = RedisServer::start();
    for (flags, expected) in [
        (&[][..], Some(300)),
        (&["--tcp_keepalive", "60"], Some(60)),
        (&["--tcp_keepalive", "0"], None),
    ] {
        let proxy = Proxy::start(&redis, flags);
        let mut client = proxy.client();
        client.command(&["SUBSCRIBE", "a"]);
        let client = client.local_address().port();
        assert_keepalive(Some(proxy.address().port()), client, expected);
        assert_keepalive(None, redis.port(), expected);
    }
}

/// Were each closed again and again, so would the cache be emptied.
#[test]
fn a_redis_that_closes_idle_connections_does_so_once() {
    let redis = RedisServer::start_with(&["--timeout", "1"]);
    let proxy = Proxy::start(&redis, &[]);
    proxy.wait_for_log("perhaps because of its timeout");
    // Those that were idle when the first was closed.
    let pings = redis.calls("ping");
    eventually("they are used", || redis.calls("ping") > pings + 6);
    let closed = proxy.count_in_log("reconnected");
    let pings = redis.calls("ping");
    eventually("they are used for three times as long", || {
        redis.calls("ping") > pings + 24
    });
    assert_eq!(proxy.count_in_log("reconnected"), closed);
    let mut client = proxy.client();
    for _ in 0..2 {
        client.get("key");
    }
    let info = String::from_utf8(client.command(&["INFO", "cache"])).expect("a text");
    assert!(info.contains("cache_hits:1"), "{info}");
}
