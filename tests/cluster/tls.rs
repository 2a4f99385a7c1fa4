//! A cluster whose nodes speak TLS to clients.

use crate::certificates::Certificates;
use crate::common::cluster::{Cluster, MASTERS};
use crate::common::{Proxy, assert_same, bulk, eventually};

#[test]
fn a_cluster_is_reached_by_tls_alone() {
    let certificates = Certificates::new();
    let [cert, key] = certificates.pair("server");
    let ca = certificates.path("ca.pem");
    let options = [
        ["--tls-cert-file", &cert],
        ["--tls-key-file", &key],
        ["--tls-ca-cert-file", &ca],
        ["--tls-auth-clients", "no"],
        // Else nodes do not tell each other of the port.
        ["--tls-cluster", "yes"],
        ["--tls-replication", "yes"],
    ];
    let mut cluster = Cluster::start_with(&options.concat());
    let seeds: Vec<String> = (0..MASTERS)
        .filter_map(|master| cluster.node(master).tls_address())
        .collect();
    let proxy = Proxy::start_with(&[
        "--redis_cluster",
        &seeds.join(","),
        "--redis_tls",
        "on",
        "--redis_tls_ca",
        &ca,
        "--redis_wait",
        "30000",
    ]);
    proxy.wait_for_redis();
    let mut client = proxy.client();
    for master in 0..MASTERS {
        let key = cluster.tag_at(master);
        assert_same(&client.command(&["SET", &key, "1"]), b"+OK\r\n", &key);
        for _ in 0..2 {
            assert_same(&client.get(&key), &bulk("1"), &key);
        }
        let mut straight = cluster.client_for(&key);
        straight.command(&["SET", &key, "2"]);
        eventually("the change is seen", || client.get(&key) == bulk("2"));
        // Nothing of the proxy is on the port without TLS.
        let node = cluster.node(master);
        let list = node.ask("CLIENT LIST");
        let mut links = list
            .lines()
            .filter(|line| line.contains("name=redis-proxy"));
        let by_tls = node
            .tls_address()
            .map(|address| format!("laddr={address} "));
        let by_tls = by_tls.expect("it speaks TLS");
        assert!(links.clone().count() > 0, "{list}");
        assert!(links.all(|link| link.contains(&by_tls)), "{list}");
    }
    // A slot that moves is followed to the port that speaks TLS.
    let key = cluster.tag_at(0);
    cluster.migrate(cluster.slot_of(&key), 1);
    assert_same(&client.command(&["APPEND", &key, "x"]), b":2\r\n", &key);
    assert_same(&client.get(&key), &bulk("2x"), &key);
    cluster.fail_over(1, 1 + MASTERS);
    eventually("the successor is written to", || {
        let mut client = proxy.client();
        client.send(format!("SET {key} 3\r\n"));
        client
            .reply_or_end()
            .is_some_and(|reply| reply == b"+OK\r\n")
    });
}
