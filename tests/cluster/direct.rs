//! The cluster of these tests without the proxy: it redirects, moves slots and fails over as the other tests need it to.

use crate::common::cluster::{Cluster, MASTERS, keys_with};
use crate::common::{assert_same, bulk};

#[test]
fn a_slot_that_moves_answers_ask_and_tryagain_and_then_moved() {
    let cluster = Cluster::start();
    let tag = cluster.tag_at(0);
    let slot = cluster.slot_of(&tag);
    let keys = keys_with(&tag, 3);
    for key in &keys {
        cluster.set(key, "value");
    }
    let mut source = cluster.node(0).client();
    cluster.begin_migration(slot, 1);
    cluster.move_named_keys(slot, 1, &[&keys[0]]);
    let target = cluster.node(1).address();
    let ask = format!("-ASK {slot} {target}\r\n");
    assert_same(&source.get(&keys[0]), ask.as_bytes(), &"a key that moved");
    assert_same(&source.get(&keys[1]), &bulk("value"), &"one that did not");
    let both = source.command(&["MGET", &keys[0], &keys[1]]);
    assert!(both.starts_with(b"-TRYAGAIN "), "{}", both.escape_ascii());
    while cluster.move_keys(slot, 1, 1) > 0 {}
    cluster.end_migration(slot, 1);
    let moved = format!("-MOVED {slot} {target}\r\n");
    assert_same(&source.get(&keys[1]), moved.as_bytes(), &"after that");
    assert_eq!(cluster.owner(slot), 1);
}

#[test]
fn a_replica_takes_over_from_a_master_that_was_killed_and_from_one_that_is_paused() {
    let mut cluster = Cluster::start();
    let keys = [0, 1, 2].map(|master| cluster.tag_at(master));
    for key in &keys {
        cluster.set(key, "value");
    }
    cluster.fail_over(0, MASTERS);
    assert_eq!(cluster.owner_of(&keys[0]), MASTERS);
    cluster.start_again(0);
    cluster.wait_until_ready();
    assert!(!cluster.node(0).is_master());
    cluster.node(1).server().pause();
    cluster.wait_for_promotion(1 + MASTERS);
    cluster.node(1).server().resume();
    cluster.wait_until_ready();
    assert_eq!(cluster.owner_of(&keys[1]), 1 + MASTERS);
    cluster.switch_over(0);
    assert_eq!(cluster.owner_of(&keys[0]), 0);
}

#[test]
fn a_master_is_added_and_removed() {
    let mut cluster = Cluster::start();
    let tag = cluster.tag_at(2);
    let slot = cluster.slot_of(&tag);
    cluster.set(&tag, "value");
    let added = cluster.add_master();
    cluster.migrate(slot, added);
    assert_eq!(cluster.owner(slot), added);
    assert_same(&cluster.client_for(&tag).get(&tag), &bulk("value"), &tag);
    cluster.migrate(slot, 0);
    cluster.remove(added);
    assert_eq!(cluster.owner(slot), 0);
    let known = cluster.node(1).ask("CLUSTER NODES");
    assert!(!known.contains(cluster.node(added).id()), "{known}");
}
