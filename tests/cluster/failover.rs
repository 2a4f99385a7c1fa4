//! Masters that die, hang or give way, and the replicas that take over.

use crate::common::cluster::{Cluster, MASTERS};
use crate::common::{Proxy, assert_same, bulk, eventually, eventually_set};
use crate::traffic::{Tally, Traffic};

/// The nodes that are left keep serving their slots meanwhile.
const SERVE_THE_REST: &[&str] = &["--cluster-require-full-coverage", "no"];

/// The flags of a proxy that soon gives up a master that hangs, and whose clients wait for its replica.
const SOON: &[&str] = &["--redis_timeout", "1000", "--redis_wait", "30000"];

/// Asserts that nothing failed but commands that were in flight at the master that died: their connections were closed, or
/// they got the error of a time limit.
fn assert_only_lost_in_flight(tally: &Tally) {
    for error in tally.errors.keys() {
        let is_of_the_loss = error == "closed" || error.contains("timed out");
        assert!(is_of_the_loss, "{tally:?}");
    }
    let lost: usize = tally.errors.values().sum();
    // No more than each worker had in flight, and its next attempts while the cluster still waited.
    assert!(lost <= 40, "{tally:?}");
}

#[test]
fn writes_go_on_after_a_master_was_killed_and_nothing_acknowledged_is_lost() {
    let mut cluster = Cluster::start();
    let proxy = cluster.proxy(SOON);
    let traffic = Traffic::start(&cluster, &proxy);
    traffic.go_on_for(200);
    let held = traffic.hold();
    cluster.wait_for_replicas();
    cluster.kill(0);
    drop(held);
    cluster.wait_for_promotion(MASTERS);
    traffic.go_on_for(400);
    // It comes back as a replica, and takes over in its turn.
    cluster.start_again(0);
    cluster.wait_until_ready();
    traffic.go_on_for(200);
    let held = traffic.hold();
    cluster.wait_for_replicas();
    cluster.kill(MASTERS);
    drop(held);
    cluster.wait_for_promotion(0);
    traffic.go_on_for(400);
    assert_only_lost_in_flight(&traffic.stop());
}

#[test]
fn nothing_is_lost_when_a_master_hangs_and_comes_back_as_a_replica() {
    let cluster = Cluster::start();
    let proxy = cluster.proxy(SOON);
    let traffic = Traffic::start(&cluster, &proxy);
    traffic.go_on_for(200);
    let held = traffic.hold();
    traffic.write_straight(false);
    cluster.wait_for_replicas();
    cluster.node(1).server().pause();
    drop(held);
    cluster.wait_for_promotion(1 + MASTERS);
    traffic.write_straight(true);
    traffic.go_on_for(200);
    cluster.node(1).server().resume();
    cluster.wait_until_ready();
    traffic.go_on_for(400);
    assert_only_lost_in_flight(&traffic.stop());
}

#[test]
fn no_client_notices_a_master_that_gives_way() {
    let cluster = Cluster::start();
    let proxy = cluster.proxy(&[]);
    let traffic = Traffic::start(&cluster, &proxy);
    for round in 0..2 {
        for master in 0..MASTERS {
            traffic.go_on_for(100);
            let replica = if round == 0 { master + MASTERS } else { master };
            cluster.switch_over(replica);
            cluster.wait_until_ready();
        }
    }
    traffic.go_on_for(200);
    let tally = traffic.stop();
    assert!(tally.errors.is_empty(), "{tally:?}");
}

#[test]
fn no_client_notices_a_master_that_hangs_shortly() {
    let cluster = Cluster::start();
    let proxy = cluster.proxy(&[]);
    let traffic = Traffic::start(&cluster, &proxy);
    for master in 0..MASTERS {
        traffic.go_on_for(100);
        cluster.node(master).server().pause();
        std::thread::sleep(std::time::Duration::from_millis(300));
        cluster.node(master).server().resume();
    }
    traffic.go_on_for(100);
    let tally = traffic.stop();
    assert!(tally.errors.is_empty(), "{tally:?}");
}

/// A proxy that has cached as many keys of each master. It never gives one up that is only slow, which would cost its
/// share of the cache.
fn all_cached(cluster: &Cluster) -> (Proxy, [Vec<String>; MASTERS]) {
    let keys = [0, 1, 2].map(|master| cluster.keys_at(master, 50));
    let proxy = cluster.proxy(&[]);
    let mut client = proxy.client();
    for key in keys.iter().flatten() {
        cluster.set(key, "value");
        assert_same(&client.get(key), &bulk("value"), key);
    }
    (proxy, keys)
}

#[test]
fn a_master_that_dies_costs_only_its_third_of_the_cache() {
    let mut cluster = Cluster::start_with(SERVE_THE_REST);
    let (proxy, keys) = all_cached(&cluster);
    cluster.wait_for_replicas();
    cluster.fail_over(0, MASTERS);
    eventually_set(&proxy, &keys[0][0], "value");
    let mut client = proxy.client();
    let asked =
        |cluster: &Cluster| [1, 2, MASTERS].map(|node| cluster.node(node).server().calls("get"));
    let before = asked(&cluster);
    for key in keys.iter().flatten() {
        assert_same(&client.get(key), &bulk("value"), key);
    }
    let after = asked(&cluster);
    assert_eq!(
        after[..2],
        before[..2],
        "those of the other masters are cached"
    );
    assert!(
        after[2] - before[2] >= keys[0].len() as u64 - 1,
        "those of this one are not"
    );
    // And the replica that has taken over says what changes.
    cluster.set(&keys[0][1], "new");
    eventually("the change is seen", || {
        client.get(&keys[0][1]) == bulk("new")
    });
}

#[test]
fn what_is_cached_is_served_while_a_master_is_away() {
    let mut cluster = Cluster::start_with(SERVE_THE_REST);
    let (proxy, keys) = all_cached(&cluster);
    cluster.kill(0);
    let mut client = proxy.client();
    for key in keys.iter().flatten() {
        assert_same(&client.get(key), &bulk("value"), key);
    }
    // The others are asked as before, also for what is not cached.
    assert_same(
        &client.command(&["SET", &keys[1][0], "new"]),
        b"+OK\r\n",
        &"at another",
    );
    assert_same(&client.get(&keys[1][0]), &bulk("new"), &"at another");
}

#[test]
fn a_replica_that_dies_is_noticed_by_nobody() {
    let mut cluster = Cluster::start();
    let proxy = cluster.proxy(&[]);
    let traffic = Traffic::start(&cluster, &proxy);
    traffic.go_on_for(100);
    cluster.kill(MASTERS + 1);
    traffic.go_on_for(100);
    cluster.start_again(MASTERS + 1);
    cluster.wait_until_ready();
    traffic.go_on_for(100);
    let tally = traffic.stop();
    assert!(tally.errors.is_empty(), "{tally:?}");
}

#[test]
fn one_seed_that_answers_is_enough() {
    let mut cluster = Cluster::start_with(SERVE_THE_REST);
    cluster.fail_over(0, MASTERS);
    cluster.fail_over(1, 1 + MASTERS);
    // Of the seeds, which are the first masters, the third one is left.
    let proxy = cluster.proxy(&[]);
    let mut client = proxy.client();
    for master in 0..MASTERS {
        let key = cluster.keys_at(master, 1).remove(0);
        assert_same(&client.command(&["SET", &key, "value"]), b"+OK\r\n", &key);
        assert_same(&client.get(&key), &bulk("value"), &key);
    }
}
