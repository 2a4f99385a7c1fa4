//! A failover behind the proxy's back: the address of Redis leads to another server, while the old one goes on answering
//! as its replica. The address is a Unix socket by a link, which leads where it is pointed to, as a name does.

mod common;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use common::{Proxy, RedisServer, assert_same, bulk, eventually, eventually_set};

/// Two Redis, and an address that leads to one of them.
struct Pair {
    first: RedisServer,
    second: RedisServer,
    address: PathBuf,
}

impl Pair {
    fn start() -> Self {
        let start = || {
            let mut redis = RedisServer::not_started();
            let path = redis.directory().join("redis.sock");
            let socket = ["--unixsocket", path.to_str().expect("UTF-8")];
            let at_once = ["--repl-diskless-sync-delay", "0"];
            redis.start_again_with(&[socket, at_once].concat());
            redis
        };
        let (first, second) = (start(), start());
        let address = first.directory().join("address");
        let pair = Self {
            first,
            second,
            address,
        };
        pair.lead_to(&pair.first);
        pair
    }

    fn lead_to(&self, redis: &RedisServer) {
        let new = self.address.with_extension("new");
        symlink(redis.directory().join("redis.sock"), &new).expect("a link");
        fs::rename(&new, &self.address).expect("a link");
    }

    fn proxy(&self) -> Proxy {
        let url = format!("unix://{}", self.address.display());
        let proxy = Proxy::start_with(&["--redis_url", &url]);
        proxy.wait_for_redis();
        proxy
    }

    /// Makes the first the replica of the second, in front of which the address is then.
    fn fail_over(&self) {
        let port = self.second.port().to_string();
        let reply = self
            .first
            .client()
            .command(&["REPLICAOF", "127.0.0.1", &port]);
        assert_same(&reply, b"+OK\r\n", &"REPLICAOF");
        self.lead_to(&self.second);
    }
}

#[test]
fn a_write_that_a_demoted_master_refuses_has_the_proxy_find_the_new_one() {
    let pair = Pair::start();
    let proxy = pair.proxy();
    let mut client = proxy.client();
    pair.first.set("a", "old");
    assert_same(&client.get("a"), &bulk("old"), &"a");
    pair.second.set("a", "new");
    pair.fail_over();
    let refused = client.command(&["SET", "b", "1"]);
    assert!(
        refused.starts_with(b"-READONLY "),
        "{}",
        refused.escape_ascii()
    );
    eventually_set(&proxy, "b", "1");
    assert_same(&pair.second.client().get("b"), &bulk("1"), &"b");
    assert_same(&client.get("a"), &bulk("new"), &"a");
    let line = proxy.wait_for_log("reconnected");
    assert!(line.contains("it has become a replica"), "{line}");
    assert_eq!(proxy.count_in_log("redis down"), 0);
}

#[test]
fn so_does_one_in_a_transaction() {
    let pair = Pair::start();
    let proxy = pair.proxy();
    let mut client = proxy.client();
    assert_same(&client.command(&["MULTI"]), b"+OK\r\n", &"MULTI");
    // It has reached Redis, over its dedicated connection.
    assert_same(&client.command(&["GET", "b"]), b"+QUEUED\r\n", &"GET");
    pair.fail_over();
    let refused = client.command(&["SET", "b", "1"]);
    assert!(
        refused.starts_with(b"-READONLY "),
        "{}",
        refused.escape_ascii()
    );
    let line = proxy.wait_for_log("reconnected");
    assert!(line.contains("it has become a replica"), "{line}");
    let mut other = proxy.client();
    assert_same(&other.command(&["SET", "b", "1"]), b"+OK\r\n", &"SET");
    assert_same(&pair.second.client().get("b"), &bulk("1"), &"b");
    // Its connection led to the old master.
    client.read_to_end();
}

#[test]
fn whoever_is_in_front_of_a_replica_by_intent_stays_there_undisturbed() {
    let pair = Pair::start();
    let port = pair.second.port().to_string();
    let reply = pair
        .first
        .client()
        .command(&["REPLICAOF", "127.0.0.1", &port]);
    assert_same(&reply, b"+OK\r\n", &"REPLICAOF");
    pair.second.set("a", "1");
    eventually("it is a replica", || {
        pair.first.client().get("a") == bulk("1")
    });
    let proxy = pair.proxy();
    let mut client = proxy.client();
    assert_same(&client.get("a"), &bulk("1"), &"a");
    let asked = pair.first.calls("get");
    for _ in 0..100 {
        let refused = client.command(&["SET", "b", "1"]);
        assert!(
            refused.starts_with(b"-READONLY "),
            "{}",
            refused.escape_ascii()
        );
        assert_same(&client.get("a"), &bulk("1"), &"a");
    }
    assert_eq!(pair.first.calls("get"), asked, "all were hits");
    assert_eq!(proxy.count_in_log("reconnected"), 0);
}
