//! What is read through the proxy is what the key's master holds.

use std::time::Duration;

use crate::common::cluster::{Cluster, MASTERS};
use crate::common::{assert_same, bulk, eventually};
use crate::traffic::Traffic;

#[test]
fn what_another_client_changes_at_a_node_is_seen() {
    let cluster = Cluster::shared();
    let proxy = cluster.proxy(&[]);
    let mut client = proxy.client();
    for master in 0..MASTERS {
        for key in cluster.keys_at(master, 5) {
            let key = format!("changed:{{{key}}}");
            let mut straight = cluster.client_for(&key);
            assert_same(&client.get(&key), b"$-1\r\n", &key);
            for round in 0..5 {
                let value = format!("value {round}");
                straight.command(&["SET", &key, &value]);
                eventually("the change is seen", || client.get(&key) == bulk(&value));
                assert_same(&client.get(&key), &bulk(&value), &"from the cache");
            }
            straight.command(&["DEL", &key]);
            eventually("the removal is seen", || client.get(&key) == b"$-1\r\n");
            straight.command(&["SET", &key, "short", "PX", "30"]);
            eventually("the end of its life is seen", || {
                client.get(&key) == b"$-1\r\n"
            });
        }
    }
}

#[test]
fn every_client_reads_what_another_one_wrote_through_the_proxy() {
    let cluster = Cluster::shared();
    let proxy = cluster.proxy(&[]);
    let [mut writer, mut reader] = [proxy.client(), proxy.client()];
    let keys: Vec<String> = (0..MASTERS)
        .flat_map(|master| cluster.keys_at(master, 5))
        .collect();
    let keys: Vec<String> = keys
        .iter()
        .map(|key| format!("written:{{{key}}}"))
        .collect();
    for round in 0..20 {
        let value = format!("value {round}");
        for key in &keys {
            assert_same(&writer.command(&["SET", key, &value]), b"+OK\r\n", key);
            assert_same(&reader.get(key), &bulk(&value), key);
        }
        let pairs: Vec<&str> = keys
            .iter()
            .flat_map(|key| [key.as_str(), "several"])
            .collect();
        assert_same(
            &writer.command(&[&["MSET"], &pairs[..]].concat()),
            b"+OK\r\n",
            &"MSET",
        );
        for key in &keys {
            assert_same(&reader.get(key), &bulk("several"), key);
        }
        let names: Vec<&str> = keys.iter().map(String::as_str).collect();
        writer.command(&[&["DEL"], &names[..]].concat());
        for key in &keys {
            assert_same(&reader.get(key), b"$-1\r\n", key);
        }
    }
}

#[test]
fn nothing_is_lost_wrong_or_late_under_traffic() {
    let cluster = Cluster::start();
    for flags in [
        &[][..],
        &["--capacity", "10"],
        &["--tracking", "off", "--cache_ttl", "50"],
    ] {
        cluster.clear();
        let proxy = cluster.proxy(flags);
        let traffic = Traffic::start(&cluster, &proxy);
        traffic.go_on_for(500);
        let tally = traffic.stop();
        assert!(tally.errors.is_empty(), "{tally:?}");
    }
}

#[test]
fn links_that_are_cut_cost_no_coherence() {
    let cluster = Cluster::start();
    let proxy = cluster.proxy(&[]);
    let traffic = Traffic::start(&cluster, &proxy);
    for round in 0..12 {
        traffic.go_on_for(40);
        // All connections to a node: of the proxy, and of who writes straight there.
        cluster
            .node(round % MASTERS)
            .ask("CLIENT KILL TYPE normal SKIPME yes");
    }
    traffic.go_on_for(100);
    let tally = traffic.stop();
    assert!(
        tally.errors.keys().all(|error| error == "closed"),
        "{tally:?}"
    );
    assert!(tally.latest < Duration::from_secs(20), "{tally:?}");
}
