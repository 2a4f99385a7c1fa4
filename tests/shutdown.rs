//! What signals do, and how the proxy ends while clients are in the middle of something.

mod common;

use std::net::TcpStream;
use std::time::{Duration, Instant};

use common::{Client, Http, Proxy, RedisServer, assert_same, bulk};

#[track_caller]
fn assert_pong(client: &mut Client) {
    assert_same(&client.command(&["PING"]), b"+PONG\r\n", &"PING");
}

/// A client that waits for something to be pushed to a list.
fn blocked(proxy: &Proxy, redis: &RedisServer) -> Client {
    let mut client = proxy.client();
    client.send("BLPOP list 0\r\n");
    redis.await_blocked(1);
    client
}

#[test]
fn signals_that_mean_nothing_end_nothing() {
    let redis = RedisServer::start();
    let proxy = Proxy::start(&redis, &[]);
    let mut client = proxy.client();
    for signal in ["USR1", "USR2", "ALRM", "VTALRM", "PROF", "IO", "XCPU"] {
        proxy.signal(signal);
        let name = format!("signal ignored signal=SIG{signal}");
        let line = proxy.wait_for_log(&name);
        assert!(line.starts_with("INFO  "), "{line}");
        assert_pong(&mut client);
    }
    // These come with every write to whoever has gone, and to a file that is full: no line is due to them.
    for signal in ["PIPE", "XFSZ"] {
        proxy.signal(signal);
        assert_pong(&mut client);
    }
    assert_eq!(proxy.count_in_log("signal ignored"), 7);
}

#[test]
fn sigquit_ends_it_as_sigterm_does() {
    let redis = RedisServer::start();
    let mut proxy = Proxy::start(&redis, &[]);
    let mut client = proxy.client();
    assert_pong(&mut client);
    proxy.signal("QUIT");
    assert_eq!(proxy.wait_for_exit().code(), Some(0));
    proxy.wait_for_log("shutting down signal=SIGQUIT");
    assert_same(
        &client.read_to_end(),
        b"",
        &"the connection is closed in order",
    );
}

#[test]
fn a_proxy_that_drains_is_not_ready_and_serves_everybody_at_first() {
    let redis = RedisServer::start();
    let mut http = Http::start(&redis, &["--drain", "60000"]);
    let mut old = http.proxy.client();
    assert_pong(&mut old);
    assert_eq!(http.get("/readyz").code, 200);
    http.proxy.signal("TERM");
    http.proxy.wait_for_log("shutting down");
    let ready = http.get("/readyz");
    assert_eq!(ready.code, 503, "{ready:?}");
    assert!(
        ready
            .body
            .contains(r#""reason":"the proxy is shutting down""#),
        "{ready:?}"
    );
    assert_eq!(http.get("/healthz").code, 200);
    let mut new = http.proxy.client();
    for client in [&mut old, &mut new] {
        assert_pong(client);
        assert_same(&client.command(&["SET", "a", "1"]), b"+OK\r\n", &"SET");
        assert_same(&client.get("a"), &bulk("1"), &"GET");
    }
    // A second signal is obeyed at once, as ever.
    assert_eq!(http.proxy.terminate().code(), Some(0));
}

#[test]
fn who_is_in_the_middle_of_something_finishes_before_idle_clients_are_closed() {
    const DRAIN: Duration = Duration::from_secs(8);
    let redis = RedisServer::start();
    let flags = ["--drain", "8000"];
    let mut proxy = Proxy::start(&redis, &flags);
    let mut idle = proxy.client();
    assert_pong(&mut idle);
    let mut transaction = proxy.client();
    assert_same(&transaction.command(&["MULTI"]), b"+OK\r\n", &"MULTI");
    let mut blocked = blocked(&proxy, &redis);
    let start = Instant::now();
    proxy.signal("TERM");
    let line = proxy.wait_for_log("no longer accepting clients");
    assert!(line.ends_with(" clients=3"), "{line}");
    assert!(TcpStream::connect(proxy.address()).is_err());

    assert_same(
        &transaction.command(&["SET", "a", "1"]),
        b"+QUEUED\r\n",
        &"SET",
    );
    assert_same(&transaction.command(&["EXEC"]), b"*1\r\n+OK\r\n", &"EXEC");
    // The other is still waited for, and whoever wants may go on meanwhile.
    assert_same(&idle.get("a"), &bulk("1"), &"GET");
    redis.client().command(&["RPUSH", "list", "x"]);
    let reply = [&b"*2\r\n"[..], &bulk("list"), &bulk("x")].concat();
    assert_same(&blocked.read_reply(), &reply, &"BLPOP");

    for client in [&mut idle, &mut transaction, &mut blocked] {
        assert_same(
            &client.read_to_end(),
            b"",
            &"the connection is closed in order",
        );
    }
    assert_eq!(proxy.wait_for_exit().code(), Some(0));
    let took = start.elapsed();
    assert!((DRAIN / 2..DRAIN).contains(&took), "{took:?}");
    let line = proxy.wait_for_log("] stopped ");
    assert!(line.ends_with(" clients_cut_off=0"), "{line}");
}

#[test]
fn a_drain_without_anything_to_finish_ends_when_new_clients_are_no_longer_taken() {
    const DRAIN: Duration = Duration::from_secs(4);
    let redis = RedisServer::start();
    let flags = ["--drain", "4000"];
    let mut proxy = Proxy::start(&redis, &flags);
    let mut clients = [proxy.client(), proxy.client()];
    clients.iter_mut().for_each(assert_pong);
    // One that listens is in the middle of nothing.
    clients[0].command(&["SUBSCRIBE", "channel"]);
    let start = Instant::now();
    assert_eq!(proxy.terminate().code(), Some(0));
    let took = start.elapsed();
    assert!((DRAIN / 2..DRAIN).contains(&took), "{took:?}");
}

#[test]
fn who_never_finishes_is_cut_off_when_the_drain_is_over() {
    const DRAIN: Duration = Duration::from_secs(1);
    let redis = RedisServer::start();
    let flags = ["--drain", "1000"];
    let mut proxy = Proxy::start(&redis, &flags);
    let mut blocked = blocked(&proxy, &redis);
    let start = Instant::now();
    assert_eq!(proxy.terminate().code(), Some(0));
    let took = start.elapsed();
    assert!(took >= DRAIN, "{took:?}");
    assert_same(&blocked.read_to_end(), b"", &"it got nothing");
}
