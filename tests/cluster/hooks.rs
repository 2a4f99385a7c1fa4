//! The examples of hooks, with keys at every node.

use crate::commands::keys_of;
use crate::common::cluster::Cluster;
use crate::common::{Proxy, assert_same, bulk, eventually};

/// An example in front of the cluster.
#[track_caller]
fn example(name: &str, cluster: &Cluster) -> Proxy {
    Proxy::start_example(name, &["--redis_cluster", &cluster.seeds()])
}

#[test]
fn a_write_is_audited_once_at_however_many_nodes_its_keys_are() {
    let cluster = Cluster::shared();
    let proxy = example("audit", &cluster);
    let mut client = proxy.client();
    let keys = keys_of(&cluster, "user", 1).concat();
    for key in &keys {
        assert_same(&client.command(&["SET", key, "secret"]), b"+OK\r\n", key);
        assert_same(&client.get(key), &bulk("secret"), key);
    }
    let pairs = keys.iter().flat_map(|key| [key.as_str(), "secret"]);
    let all: Vec<&str> = ["MSET"].into_iter().chain(pairs).collect();
    assert_same(&client.command(&all), b"+OK\r\n", &all);
    // In a transaction, which is at one node.
    client.send(format!("MULTI\r\nDEL {}\r\nEXEC\r\n", keys[0]));
    let replies = client.read_replies(3);
    assert_same(&replies, b"+OK\r\n+QUEUED\r\n*1\r\n:1\r\n", &"DEL");
    for key in &keys {
        proxy.wait_for_log(&format!("command=SET key={key}"));
    }
    proxy.wait_for_log(&format!("command=MSET key={}", keys[0]));
    proxy.wait_for_log(&format!("command=DEL key={}", keys[0]));
    assert_eq!(proxy.count_in_log("audit "), keys.len() + 2);
    assert_eq!(proxy.count_in_log("secret"), 0);
}

#[test]
fn a_value_of_any_node_is_rewritten_and_another_needs_none() {
    let cluster = Cluster::shared();
    let proxy = example("computed", &cluster);
    let mut client = proxy.client();
    for key in keys_of(&cluster, "price", 1).concat() {
        cluster.set(&key, "1234");
        for _ in 0..2 {
            assert_same(&client.get(&key), &bulk("12.34"), &key);
        }
        cluster.set(&key, "99");
        eventually("the change is seen", || client.get(&key) == bulk("0.99"));
        client.send(format!("MULTI\r\nGET {key}\r\nEXEC\r\n"));
        let replies = client.read_replies(3);
        assert_same(&replies, b"+OK\r\n+QUEUED\r\n*1\r\n$4\r\n0.99\r\n", &key);
    }
    cluster.set("clock", "of a node");
    assert!(client.get("clock").starts_with(b"$10\r\n"));
}
