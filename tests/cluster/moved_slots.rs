//! Slots that move from master to master.

use crate::common::cluster::{Cluster, MASTERS, keys_with};
use crate::common::{Client, assert_same, bulk, eventually, request};
use crate::traffic::Traffic;

#[test]
fn nothing_is_lost_wrong_or_late_while_slots_move_under_traffic() {
    let mut cluster = Cluster::start();
    let proxy = cluster.proxy(&[]);
    let traffic = Traffic::start(&cluster, &proxy);
    traffic.go_on_for(200);
    // Half of the slots that have keys go from each master to the next, some of them in steps, and then to a new one.
    let slots: Vec<u16> = (0..MASTERS)
        .flat_map(|master| cluster.slots_of(&cluster.keys_at(master, 6)))
        .collect();
    for (number, &slot) in slots.iter().enumerate() {
        let to = (cluster.owner(slot) + 1) % MASTERS;
        if number % 3 == 0 {
            cluster.begin_migration(slot, to);
            traffic.go_on_for(20);
            while cluster.move_keys(slot, to, 1) > 0 {}
            traffic.go_on_for(20);
            cluster.end_migration(slot, to);
        } else {
            cluster.migrate(slot, to);
        }
    }
    traffic.go_on_for(200);
    let added = cluster.add_master();
    for &slot in &slots {
        cluster.migrate(slot, added);
    }
    traffic.go_on_for(200);
    for &slot in &slots {
        cluster.migrate(slot, 0);
    }
    // A write that is in flight at a node as it ends is lost, here as straight.
    let held = traffic.hold();
    let address = cluster.node(added).address();
    cluster.remove(added);
    eventually("the node is known to be gone", || {
        let info = proxy.client().command(&["INFO", "upstream"]);
        let up = format!("address={address},status=up");
        !String::from_utf8_lossy(&info).contains(&up)
    });
    drop(held);
    traffic.go_on_for(200);
    let tally = traffic.stop();
    assert!(tally.errors.is_empty(), "{tally:?}");
}

/// A slot of the first master that is on its way to the second one, with two keys there and two yet here.
struct Halfway {
    cluster: Cluster,
    slot: u16,
    there: Vec<String>,
    here: Vec<String>,
}

impl Halfway {
    fn start() -> Self {
        let cluster = Cluster::start();
        let tag = cluster.tag_at(0);
        let slot = cluster.slot_of(&tag);
        let mut there = keys_with(&tag, 4);
        for key in &there {
            cluster.set(key, "old");
        }
        cluster.begin_migration(slot, 1);
        let here = there.split_off(2);
        let names: Vec<&str> = there.iter().map(String::as_str).collect();
        cluster.move_named_keys(slot, 1, &names);
        Self {
            cluster,
            slot,
            there,
            here,
        }
    }

    /// Sets a key that has moved, at its new master.
    fn set_there(&self, key: &str, value: &str) {
        let mut client = self.cluster.node(1).client();
        client.send([request(&["ASKING"]), request(&["SET", key, value])].concat());
        assert_same(&client.read_replies(2), b"+OK\r\n+OK\r\n", &key);
    }
}

#[test]
fn keys_that_have_moved_and_keys_that_have_not_are_read_and_written() {
    let halfway = Halfway::start();
    let proxy = halfway.cluster.proxy(&[]);
    let mut client = proxy.client();
    for key in halfway.there.iter().chain(&halfway.here) {
        for _ in 0..2 {
            assert_same(&client.get(key), &bulk("old"), key);
        }
        assert_same(&client.command(&["APPEND", key, "er"]), b":5\r\n", key);
        assert_same(&client.get(key), &bulk("older"), key);
    }
    let new = halfway.here[0].replace("key:", "new:");
    assert_same(&client.command(&["SET", &new, "there"]), b"+OK\r\n", &new);
    assert_same(&client.get(&new), &bulk("there"), &new);
    assert_eq!(proxy.count_in_log("MOVED"), 0);
}

#[test]
fn a_change_is_seen_wherever_the_key_is_on_its_way() {
    let halfway = Halfway::start();
    let proxy = halfway.cluster.proxy(&[]);
    let mut client = proxy.client();
    let read_eventually = |client: &mut Client, key: &str, value: &str| {
        eventually("the change is seen", || client.get(key) == bulk(value));
    };
    for key in halfway.there.iter().chain(&halfway.here) {
        assert_same(&client.get(key), &bulk("old"), key);
    }
    halfway.set_there(&halfway.there[0], "new");
    read_eventually(&mut client, &halfway.there[0], "new");
    let mut source = halfway.cluster.node(0).client();
    assert_same(
        &source.command(&["SET", &halfway.here[0], "new"]),
        b"+OK\r\n",
        &"here",
    );
    read_eventually(&mut client, &halfway.here[0], "new");
    // A key that was cached while it was here, moves, and changes there before the slot has a new owner.
    halfway
        .cluster
        .move_named_keys(halfway.slot, 1, &[&halfway.here[1]]);
    halfway.set_there(&halfway.here[1], "newer");
    read_eventually(&mut client, &halfway.here[1], "newer");
    while halfway.cluster.move_keys(halfway.slot, 1, 10) > 0 {}
    halfway.cluster.end_migration(halfway.slot, 1);
    for key in halfway.there.iter().chain(&halfway.here) {
        halfway.cluster.set(key, "settled");
        read_eventually(&mut client, key, "settled");
    }
}

#[test]
fn several_keys_of_a_slot_on_its_way_are_read_once_it_has_arrived() {
    let halfway = Halfway::start();
    let proxy = halfway.cluster.proxy(&[]);
    let mut client = proxy.client();
    client.send(request(&["SINTER", &halfway.there[0], &halfway.here[0]]));
    let mut other = proxy.client();
    other.send(request(&["MGET", &halfway.there[0], &halfway.here[0]]));
    // Redis says TRYAGAIN of them for as long as this.
    assert_same(
        &proxy.client().get(&halfway.here[1]),
        &bulk("old"),
        &"meanwhile",
    );
    while halfway.cluster.move_keys(halfway.slot, 1, 10) > 0 {}
    halfway.cluster.end_migration(halfway.slot, 1);
    let wrong = client.read_reply();
    assert!(
        wrong.starts_with(b"-WRONGTYPE "),
        "{}",
        wrong.escape_ascii()
    );
    let both = [b"*2\r\n".to_vec(), bulk("old"), bulk("old")].concat();
    assert_same(&other.read_reply(), &both, &"MGET");
}

#[test]
fn only_the_entries_of_a_slot_that_moved_are_fetched_anew() {
    let cluster = Cluster::start();
    let proxy = cluster.proxy(&[]);
    let mut client = proxy.client();
    let keys: Vec<String> = (0..MASTERS)
        .flat_map(|master| cluster.keys_at(master, 20))
        .collect();
    for key in &keys {
        cluster.set(key, "value");
        assert_same(&client.get(key), &bulk("value"), key);
    }
    let before = cluster.calls("get");
    cluster.migrate(cluster.slot_of(&keys[0]), 1);
    // The proxy hears of it by what it asks for next in this slot.
    for _ in 0..2 {
        for key in &keys {
            assert_same(&client.get(key), &bulk("value"), key);
        }
    }
    let asked = cluster.calls("get") - before;
    assert!(
        asked <= 2,
        "{asked} of {} keys were asked for again",
        keys.len()
    );
    cluster.set(&keys[0], "new");
    eventually("the change is seen", || client.get(&keys[0]) == bulk("new"));
}
