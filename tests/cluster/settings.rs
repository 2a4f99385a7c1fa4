//! How the proxy is told of the cluster, and what it makes of it at its start.

use crate::common::cluster::{Cluster, MASTERS};
use crate::common::{Port, Proxy, RedisServer, assert_same, bulk, eventually};

/// Asserts that keys of all masters are written and read.
#[track_caller]
fn assert_serves_all(proxy: &Proxy, keys: &[String]) {
    let mut client = proxy.client();
    for key in keys {
        assert_same(&client.command(&["SET", key, "value"]), b"+OK\r\n", key);
        assert_same(&client.get(key), &bulk("value"), key);
    }
}

#[test]
fn one_seed_among_others_is_enough() {
    let cluster = Cluster::shared();
    let keys: Vec<String> = (0..MASTERS).map(|master| cluster.tag_at(master)).collect();
    let nobody = Port::reserve();
    // A master, a replica; and one where nobody is, before them.
    for node in [0, MASTERS] {
        let seeds = format!(
            "127.0.0.1:{},{}",
            nobody.number(),
            cluster.node(node).address()
        );
        let proxy = Proxy::start_with(&["--redis_timeout", "30000", "--redis_cluster", &seeds]);
        proxy.wait_for_redis();
        assert_serves_all(&proxy, &keys);
    }
}

#[test]
fn nodes_are_asked_with_the_password() {
    let cluster = Cluster::start();
    let keys: Vec<String> = (0..MASTERS).map(|master| cluster.tag_at(master)).collect();
    let nodes = cluster.nodes();
    nodes
        .iter()
        .for_each(|node| node.ok("CONFIG SET masterauth secret"));
    nodes
        .iter()
        .for_each(|node| node.ok("CONFIG SET requirepass secret"));
    let proxy = cluster.proxy(&["--redis_password", "secret"]);
    assert_serves_all(&proxy, &keys);
    let wrong = cluster.proxy_not_yet_connected(&["--redis_password", "wrong"]);
    wrong.wait_for_log("WRONGPASS");
    assert!(
        wrong
            .log()
            .iter()
            .all(|line| !line.contains("=wrong") && !line.contains("secret"))
    );
}

#[test]
fn a_cluster_that_starts_later_is_found() {
    let mut cluster = Cluster::start();
    let keys: Vec<String> = (0..MASTERS).map(|master| cluster.tag_at(master)).collect();
    for number in 0..2 * MASTERS {
        cluster.kill(number);
    }
    let proxy =
        cluster.proxy_not_yet_connected(&["--redis_timeout", "1000", "--redis_wait", "30000"]);
    proxy.wait_for_log("redis down");
    for number in 0..2 * MASTERS {
        cluster.start_again(number);
    }
    cluster.wait_until_ready();
    eventually("the proxy finds the cluster", || {
        let mut client = proxy.client();
        client.send("DBSIZE\r\n");
        client
            .reply_or_end()
            .is_some_and(|reply| reply == b":0\r\n")
    });
    assert_serves_all(&proxy, &keys);
}

#[test]
fn a_redis_that_is_no_node_of_a_cluster_is_said_to_be_none() {
    let redis = RedisServer::start();
    let proxy = Proxy::start_with(&["--redis_cluster", &redis.address()]);
    let line = proxy.wait_for_log("cluster support disabled");
    assert!(line.contains(&redis.address()), "{line}");
}
