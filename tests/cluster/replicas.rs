//! Reads from replicas.

use crate::common::cluster::{Cluster, MASTERS};
use crate::common::{Client, assert_same, bulk, eventually};

const FROM_REPLICAS: &[&str] = &["--redis_read_from", "replica", "--redis_timeout", "30000"];

/// How often a node was asked for a member of a set.
fn asked(cluster: &Cluster, node: usize) -> u64 {
    cluster.node(node).server().calls("srandmember")
}

/// Makes a set with one member, which the replica of its master has too.
#[track_caller]
fn add(cluster: &Cluster, key: &str) {
    let mut master = cluster.client_for(key);
    assert_same(&master.command(&["SADD", key, "member"]), b":1\r\n", &key);
    assert_same(&master.command(&["WAIT", "1", "30000"]), b":1\r\n", &key);
}

#[track_caller]
fn read(client: &mut Client, key: &str) {
    let reply = client.command(&["SRANDMEMBER", key]);
    assert_same(&reply, &bulk("member"), &key);
}

/// Reads until a node is asked.
#[track_caller]
fn read_until_asked(client: &mut Client, key: &str, cluster: &Cluster, node: usize) {
    let before = asked(cluster, node);
    eventually("the node is asked", || {
        read(client, key);
        asked(cluster, node) > before
    });
}

#[test]
fn reads_that_are_not_cached_are_answered_by_replicas_as_long_as_there_are_some() {
    let mut cluster = Cluster::start();
    let proxy = cluster.proxy(FROM_REPLICAS);
    let mut client = proxy.client();
    let keys = [0, 1, 2].map(|master| cluster.keys_at(master, 1).remove(0));
    for key in &keys {
        add(&cluster, key);
    }
    for (master, key) in keys.iter().enumerate() {
        let nodes = [master, master + MASTERS];
        let mut ask_20_times = || {
            let before = nodes.map(|node| asked(&cluster, node));
            (0..20).for_each(|_| read(&mut client, key));
            let after = nodes.map(|node| asked(&cluster, node));
            [after[0] - before[0], after[1] - before[1]]
        };
        // Nodes that have just started do not agree at once on who is a replica.
        eventually("the replica alone is asked", || ask_20_times() == [0, 20]);
        assert_eq!(ask_20_times(), [0, 20], "{key}");
        // What can be cached is asked of the master.
        assert_same(
            &client.command(&["SISMEMBER", key, "member"]),
            b":1\r\n",
            key,
        );
        assert_eq!(
            cluster.node(master + MASTERS).server().calls("sismember"),
            0
        );
    }
    cluster.kill(MASTERS);
    for _ in 0..20 {
        read(&mut client, &keys[0]);
    }
    let before = asked(&cluster, 0);
    read(&mut client, &keys[0]);
    assert_eq!(asked(&cluster, 0), before + 1);
    cluster.start_again(MASTERS);
    cluster.wait_until_ready();
    read_until_asked(&mut client, &keys[0], &cluster, MASTERS);
}

#[test]
fn a_replica_that_becomes_the_master_is_read_from_as_one() {
    let cluster = Cluster::start();
    let proxy = cluster.proxy(FROM_REPLICAS);
    let mut client = proxy.client();
    let key = cluster.keys_at(0, 1).remove(0);
    add(&cluster, &key);
    read_until_asked(&mut client, &key, &cluster, MASTERS);
    cluster.switch_over(MASTERS);
    cluster.wait_until_ready();
    // The old master is its replica now.
    read_until_asked(&mut client, &key, &cluster, 0);
    assert_same(&client.command(&["SADD", &key, "other"]), b":1\r\n", &key);
    assert_same(&client.command(&["SCARD", &key]), b":2\r\n", &key);
}
