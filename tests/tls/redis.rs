//! A Redis that speaks TLS.

use crate::TlsRedis;
use crate::certificates::Certificates;
use crate::common::{Proxy, assert_same, bulk, eventually, noise};

fn proxy_of(redis: &TlsRedis, certificates: &Certificates, flags: &[&str]) -> Proxy {
    let ca = certificates.path("ca.pem");
    let url = redis.url();
    let always = ["--redis_url", &url, "--redis_tls_ca", &ca];
    let proxy = Proxy::start_with(&[&always, flags].concat());
    proxy.wait_for_redis();
    proxy
}

#[test]
fn all_connections_to_it_are_encrypted_and_do_what_others_do() {
    let certificates = Certificates::new();
    let redis = TlsRedis::start(&certificates, "server", &["--tls-auth-clients", "no"]);
    let proxy = proxy_of(&redis, &certificates, &[]);
    let mut client = proxy.client();
    redis.plain.set("a", "1");
    assert_same(&client.get("a"), &bulk("1"), &"the miss");
    let asked = redis.plain.calls("get");
    assert_same(&client.get("a"), &bulk("1"), &"the hit");
    assert_eq!(redis.plain.calls("get"), asked);
    // The tracker.
    redis.plain.set("a", "2");
    eventually("the change is seen", || client.get("a") == bulk("2"));
    // RESP3, and dedicated connections.
    let mut third = proxy.client();
    assert!(third.command(&["HELLO", "3"]).starts_with(b"%"));
    assert_same(&third.command(&["EXISTS", "a"]), b":1\r\n", &"RESP3");
    assert_same(&client.command(&["MULTI"]), b"+OK\r\n", &"MULTI");
    // Of each there is one: those for RESP2 and RESP3, the tracker, and the dedicated one.
    let list = redis.plain.client().command(&["CLIENT", "LIST"]);
    let list = String::from_utf8(list).expect("a text");
    let port = format!("laddr=127.0.0.1:{} ", redis.port.number());
    assert_eq!(list.matches(&port).count(), 4, "{list}");
    assert_same(&client.command(&["SET", "b", "3"]), b"+QUEUED\r\n", &"SET");
    assert_same(&client.command(&["EXEC"]), b"*1\r\n+OK\r\n", &"EXEC");
    assert_same(&client.get("b"), &bulk("3"), &"b");
}

#[test]
fn values_of_any_size_go_through_both_ways() {
    let certificates = Certificates::new();
    let redis = TlsRedis::start(&certificates, "server", &["--tls-auth-clients", "no"]);
    let proxy = proxy_of(&redis, &certificates, &["--redis_timeout", "30000"]);
    let mut client = proxy.client();
    for size in [1, 4095, 16 * 1024 + 1, 70_000, 5_000_000] {
        let value = noise(size);
        let reply = client.command(&[&b"SET"[..], b"v", &value]);
        assert_same(&reply, b"+OK\r\n", &size);
        for _ in 0..2 {
            assert_same(&client.get("v"), &bulk(&value), &size);
        }
        assert_same(&client.command(&["MULTI"]), b"+OK\r\n", &size);
        let queued = client.command(&[&b"SET"[..], b"w", &value]);
        assert_same(&queued, b"+QUEUED\r\n", &size);
        assert_same(&client.command(&["GET", "w"]), b"+QUEUED\r\n", &size);
        let both = [b"*2\r\n+OK\r\n", &bulk(&value)[..]].concat();
        assert_same(&client.command(&["EXEC"]), &both, &size);
    }
}

#[test]
fn it_is_shown_a_certificate_if_there_is_one() {
    let certificates = Certificates::new();
    let redis = TlsRedis::start(&certificates, "server", &["--tls-auth-clients", "yes"]);
    let [cert, key] = certificates.pair("client");
    let flags = ["--redis_tls_cert", &cert, "--redis_tls_key", &key];
    let proxy = proxy_of(&redis, &certificates, &flags);
    redis.plain.set("a", "1");
    assert_same(&proxy.client().get("a"), &bulk("1"), &"a");
    assert_same(&proxy.client().command(&["MULTI"]), b"+OK\r\n", &"MULTI");
}

#[test]
fn a_connection_that_breaks_is_made_anew() {
    let certificates = Certificates::new();
    let redis = TlsRedis::start(&certificates, "server", &["--tls-auth-clients", "no"]);
    let proxy = proxy_of(&redis, &certificates, &[]);
    let mut client = proxy.client();
    redis.plain.set("a", "1");
    assert_same(&client.get("a"), &bulk("1"), &"a");
    for round in 1..=3 {
        let killed = redis
            .plain
            .client()
            .command(&["CLIENT", "KILL", "TYPE", "normal"]);
        assert!(killed.starts_with(b":"), "{killed:?}");
        redis.plain.set("a", "2");
        eventually("it is read anew", || client.get("a") == bulk("2"));
        proxy.wait_for_logs("reconnected", round);
        redis.plain.set("a", "1");
        eventually("the tracker is there", || client.get("a") == bulk("1"));
    }
}
