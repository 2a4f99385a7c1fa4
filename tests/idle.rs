//! Clients that say nothing: whether they are still there, and for how long they may.

mod common;

use std::fs;
use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use common::{Client, Proxy, RedisServer, assert_same, bulk, eventually};

const TIMEOUT: Duration = Duration::from_secs(2);

/// What Redis's timer and a busy machine may add.
const SLACK: Duration = Duration::from_secs(4);

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
    let closed = thread::scope(|scope| {
        let closed = [&mut silent, &mut transaction, &mut spoken].map(|client| {
            scope.spawn(move || {
                assert_same(&client.read_to_end(), b"", &"it is closed in order");
                start.elapsed()
            })
        });
        // One that speaks stays, for longer than the others are there.
        while start.elapsed() < 3 * TIMEOUT {
            assert_same(&busy.command(&["PING"]), b"+PONG\r\n", &"PING");
            thread::sleep(TIMEOUT / 10);
        }
        closed.map(|client| client.join().expect("an end"))
    });
    for took in closed {
        assert!((TIMEOUT..TIMEOUT + SLACK).contains(&took), "{took:?}");
    }

    // Who is blocked gets what it waits for, and has its time from then on.
    redis.client().command(&["RPUSH", "list", "x"]);
    let served = Instant::now();
    let reply = [&b"*2\r\n"[..], &bulk("list"), &bulk("x")].concat();
    assert_same(&blocked.read_reply(), &reply, &"BLPOP");
    assert_same(&blocked.read_to_end(), b"", &"it is closed in order");
    let took = served.elapsed();
    assert!((TIMEOUT..TIMEOUT + SLACK).contains(&took), "{took:?}");

    // Who listens stays.
    redis.client().command(&["PUBLISH", "channel", "hello"]);
    let message = [&bulk("message")[..], &bulk("channel"), &bulk("hello")].concat();
    let in_resp2 = [b"*3\r\n", &message[..]].concat();
    assert_same(&subscribed.read_reply(), &in_resp2, &"a message");
    let in_resp3 = [b">3\r\n", &message[..]].concat();
    assert_same(&subscribed_in_resp3.read_reply(), &in_resp3, &"a message");
    assert!(monitor.read_reply().starts_with(b"+"));
}

#[test]
fn clients_that_are_silent_are_closed_after_the_timeout_unless_they_wait_or_listen() {
    let redis = RedisServer::start();
    let proxy = Proxy::start(&redis, &["--timeout", "2", "--log_level", "debug"]);
    assert_closes_idle_clients_alone(proxy.address(), &redis);
    proxy.wait_for_log(r#"reason="it was silent for too long""#);
}

#[test]
fn redis_closes_the_same_clients() {
    let redis = RedisServer::start_with(&["--timeout", "2"]);
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
    proxy.wait_for_log(r#"reason="it was silent for too long""#);
}

#[test]
fn without_a_timeout_clients_may_be_silent() {
    let redis = RedisServer::start();
    let proxy = Proxy::start(&redis, &[]);
    let mut client = proxy.client();
    thread::sleep(2 * TIMEOUT);
    assert_same(&client.command(&["PING"]), b"+PONG\r\n", &"PING");
}

/// How long until the system asks whether the client is there, if it will; as the kernel shows it of the proxy's end
/// of the connection.
fn keepalive_of(proxy: &Proxy, client: SocketAddr) -> Option<Duration> {
    let timers = timers(Some(proxy.address().port()), client.port());
    *timers.first().expect("a connection")
}

/// The same of all connections from that port, or from any, to that other.
fn timers(ours: Option<u16>, theirs: u16) -> Vec<Option<Duration>> {
    let table = fs::read_to_string("/proc/net/tcp").expect("a table");
    let is_port = |field: &str, port: u16| field.ends_with(&format!(":{port:04X}"));
    let lines = table.lines().skip(1);
    let fields = lines.map(|line| line.split_whitespace().collect::<Vec<_>>());
    // 01 is a connection that is open.
    let fields = fields.filter(|fields| {
        let is_ours = ours.is_none_or(|port| is_port(fields[1], port));
        is_ours && is_port(fields[2], theirs) && fields[3] == "01"
    });
    fields.map(|fields| keepalive(fields[5])).collect()
}

/// What the kernel's column of timers says of keepalive.
fn keepalive(timer: &str) -> Option<Duration> {
    let (kind, hundredths) = timer.split_once(':').expect("a timer");
    let hundredths = u64::from_str_radix(hundredths, 16).expect("a time");
    // 1 is a segment that is sent again, 2 is keepalive.
    (kind == "02").then(|| Duration::from_millis(10 * hundredths))
}

#[test]
fn a_client_that_is_silent_is_asked_whether_it_is_there_as_often_as_is_set() {
    let redis = RedisServer::start();
    for (flags, expected) in [
        (&[][..], Some(300)),
        (&["--tcp_keepalive", "60"], Some(60)),
        (&["--tcp_keepalive", "0"], None),
    ] {
        let proxy = Proxy::start(&redis, flags);
        let mut client = proxy.client();
        client.command(&["PING"]);
        let mut timer = None;
        // An acknowledgement may be due first.
        eventually("the timer is set", || {
            timer = keepalive_of(&proxy, client.local_address());
            timer.is_some() == expected.is_some()
        });
        if let (Some(timer), Some(expected)) = (timer, expected) {
            let most = Duration::from_secs(expected);
            assert!(timer <= most && timer > most / 2, "{timer:?} of {most:?}");
        }
    }
}

#[test]
fn redis_is_asked_too_on_every_connection() {
    let redis = RedisServer::start();
    let proxy = Proxy::start(&redis, &["--tcp_keepalive", "60"]);
    let mut client = proxy.client();
    client.command(&["SET", "a", "1"]);
    client.command(&["HELLO", "3"]);
    client.command(&["SET", "a", "1"]);
    client.command(&["MULTI"]);
    eventually("all four have a timer", || {
        let timers = timers(None, redis.port());
        let set = timers
            .iter()
            .flatten()
            .filter(|timer| timer.as_secs() <= 60);
        timers.len() == 4 && set.count() == 4
    });
}
