//! Rules: what is special about the keys that match a pattern.

use std::time::Duration;

use redis_proxy::cache::Limits;
use redis_proxy::proxy::ClientId;

use crate::databases::let_select;
use crate::world::{World, bulk, get, multibulk, roomy};

/// A world with these rules, where entries live a second without one.
fn world(rules: &str) -> World {
    world_within(roomy(), rules)
}

fn world_within(limits: Limits, rules: &str) -> World {
    let mut world = World::new(limits);
    set_rules(&mut world, rules);
    world
}

fn set_rules(world: &mut World, rules: &str) {
    let rules = rules.parse().expect("rules");
    world.proxy.set_rules(rules, None);
}

/// Sends a request, and returns whether Redis was asked for it, which answers with that.
#[track_caller]
fn misses(world: &mut World, client: ClientId, request: &[u8], reply: &[u8]) -> bool {
    world.send(client, request);
    let is_miss = !world.asked().is_empty();
    if is_miss {
        world.answer(reply);
    }
    world.assert_received(client, reply);
    is_miss
}

#[track_caller]
fn is_cached(world: &mut World, client: ClientId, key: &str) -> bool {
    !misses(world, client, &get(key), &bulk("value"))
}

/// The request for an answer about a key, and a reply to it.
fn question(key: &str) -> (Vec<u8>, &'static [u8]) {
    (
        multibulk(&["HGETALL", key]),
        b"*2\r\n$1\r\na\r\n$1\r\n1\r\n",
    )
}

#[test]
fn entries_live_as_long_as_the_first_rule_for_them_says() {
    let mut world = world("short:* ttl=10 ; long:* ttl=5000 ; sho* ttl=7000");
    let client = world.connect();
    for (key, ttl) in [
        ("short:1", 10),
        ("long:1", 5000),
        ("shoe", 7000),
        ("other", 1000),
    ] {
        let (request, reply) = question(&format!("h{key}"));
        let answer = get(key);
        assert!(misses(&mut world, client, &answer, &bulk("value")), "{key}");
        assert!(misses(&mut world, client, &request, reply), "{key}");
        world.wait(ttl - 1);
        assert!(is_cached(&mut world, client, key), "{key}");
        world.wait(1);
        world.expire();
        assert!(!is_cached(&mut world, client, key), "{key}");
    }
}

#[test]
fn a_rule_holds_for_answers_in_every_database() {
    let mut world = world("short:* ttl=10 ; no:* nocache");
    let client = world.connect();
    world.send(client, "SELECT 1\r\n");
    let_select(&mut world, client);
    let (request, reply) = question("short:1");
    assert!(misses(&mut world, client, &request, reply));
    world.wait(9);
    assert!(!misses(&mut world, client, &request, reply));
    world.wait(1);
    assert!(misses(&mut world, client, &request, reply));
    let (request, reply) = question("no:1");
    assert!(misses(&mut world, client, &request, reply));
    assert!(misses(&mut world, client, &request, reply));
}

#[test]
fn an_entry_does_not_outlive_its_key_whatever_its_rule() {
    let mut world = world("long:* ttl=5000 refresh=1000");
    world.let_keys_die();
    let client = world.connect();
    world.send(client, get("long:1"));
    world.answer_together(&[&bulk("value")[..], b":10\r\n"]);
    world.received(client);
    world.wait(9);
    assert!(is_cached(&mut world, client, "long:1"));
    // A fetch would not prolong it.
    world.assert_asked(&[]);
    world.wait(1);
    world.send(client, get("long:1"));
    world.assert_asked(&["GET long:1", "PTTL long:1"]);
}

#[test]
fn what_is_not_to_be_cached_is_not() {
    let mut world = world("no:* nocache");
    let client = world.connect();
    for _ in 0..2 {
        assert!(!is_cached(&mut world, client, "no:1"));
    }
    assert!(!is_cached(&mut world, client, "yes:1"));
    assert!(is_cached(&mut world, client, "yes:1"));
    // Of several who ask at once, one fetch still serves all.
    let other = world.connect();
    world.send(client, get("no:1"));
    world.send(other, get("no:1"));
    world.assert_asked(&["GET no:1"]);
}

#[test]
fn what_is_longer_than_its_rule_says_is_not_cached() {
    let limits = Limits {
        reply: 6,
        ..roomy()
    };
    let mut world = world_within(
        limits,
        "few:* max_reply=4 ; many:* max_reply=100 ; any:* max_reply=0",
    );
    let client = world.connect();
    for (key, length, is_kept) in [
        ("few:1", 4, true),
        ("few:2", 5, false),
        ("many:1", 100, true),
        ("many:2", 101, false),
        ("any:1", 200, true),
        ("other:1", 6, true),
        ("other:2", 7, false),
    ] {
        let value = bulk("x".repeat(length));
        assert!(misses(&mut world, client, &get(key), &value));
        assert_eq!(
            misses(&mut world, client, &get(key), &value),
            !is_kept,
            "{key}"
        );
    }
    // An answer counts as it is encoded.
    for (key, reply, is_kept) in [("few:1", ":1\r\n", true), ("few:2", ":10\r\n", false)] {
        let length = multibulk(&["STRLEN", key]);
        assert!(misses(&mut world, client, &length, reply.as_bytes()));
        let is_miss = misses(&mut world, client, &length, reply.as_bytes());
        assert_eq!(is_miss, !is_kept, "{key}");
    }
}

#[test]
fn that_a_key_is_missing_is_remembered_as_long_as_its_rule_says() {
    let mut world = World::roomy();
    let rules = "short:* missing_ttl=10 ; never:* missing_ttl=0 ; long:* missing_ttl=9000";
    let missing_ttl = Some(Duration::from_millis(100));
    world
        .proxy
        .set_rules(rules.parse().expect("rules"), missing_ttl);
    let client = world.connect();
    let null = b"$-1\r\n";
    for (key, ttl) in [("short:1", 10), ("other:1", 100), ("long:1", 1000)] {
        assert!(misses(&mut world, client, &get(key), null), "{key}");
        world.wait(ttl - 1);
        assert!(!misses(&mut world, client, &get(key), null), "{key}");
        world.wait(1);
        assert!(misses(&mut world, client, &get(key), null), "{key}");
    }
    for _ in 0..2 {
        assert!(misses(&mut world, client, &get("never:1"), null));
    }
    // A key that is there lives as ever.
    assert!(!is_cached(&mut world, client, "short:2"));
    world.wait(500);
    assert!(is_cached(&mut world, client, "short:2"));
}

#[test]
fn a_stale_entry_is_served_as_long_as_its_rule_says_while_redis_is_away() {
    let mut world = world("day:* stale=5000 ; key:* ttl=100 stale=300 refresh=50");
    let keys = ["day:1", "key:1", "other:1"];
    for key in keys {
        world.cache(key, "value");
    }
    world.gone();
    let served = |world: &mut World, after: u64| -> Vec<&str> {
        world.now = 1000 + after;
        world.expire();
        let is_served = |key: &&str| {
            let client = world.connect();
            world.send(client, get(key));
            let is_served = world.received(client) == bulk("value");
            world.leave(client);
            is_served
        };
        keys.into_iter().filter(is_served).collect()
    };
    assert_eq!(served(&mut world, 399), keys);
    assert_eq!(served(&mut world, 400), ["day:1", "other:1"]);
    assert_eq!(served(&mut world, 1000), ["day:1"]);
    assert_eq!(served(&mut world, 5999), ["day:1"]);
    assert_eq!(served(&mut world, 6000), [""; 0]);
    assert_eq!(world.proxy.cache().len(), 0);
}

#[test]
fn a_hot_key_never_misses() {
    let mut world = world("hot:* ttl=1000 refresh=100");
    let client = world.connect();
    assert!(!is_cached(&mut world, client, "hot:1"));
    for round in 0..50 {
        world.wait(899);
        assert!(is_cached(&mut world, client, "hot:1"), "{round}");
        world.assert_asked(&[]);
        // From here on a read has it fetched anew; that read and those until the reply are hits.
        world.wait(1);
        for _ in 0..3 {
            world.send(client, get("hot:1"));
            world.assert_received(client, bulk("value"));
            world.assert_asked(&["GET hot:1"]);
            world.wait(30);
        }
        world.answer(bulk("value"));
        world.assert_received(client, "");
    }
}

#[test]
fn an_answer_is_fetched_anew_ahead_too() {
    let mut world = world("hot:* ttl=1000 refresh=100");
    let client = world.connect();
    let (request, reply) = question("hot:1");
    assert!(misses(&mut world, client, &request, reply));
    world.wait(950);
    world.send(client, &request);
    world.assert_received(client, reply);
    world.assert_asked(&["HGETALL hot:1"]);
    world.answer(reply);
    world.wait(500);
    assert!(!misses(&mut world, client, &request, reply));
}

#[test]
fn what_nobody_reads_shortly_before_its_end_is_left_to_end() {
    let mut world = world("hot:* ttl=1000 refresh=100");
    let client = world.connect();
    assert!(!is_cached(&mut world, client, "hot:1"));
    assert!(is_cached(&mut world, client, "hot:1"));
    world.wait(1000);
    world.assert_asked(&[]);
    assert_eq!(world.expire(), 1);
    assert!(!is_cached(&mut world, client, "hot:1"));
}

#[test]
fn an_entry_ends_although_it_was_to_be_fetched_anew() {
    let mut world = world("hot:* ttl=1000 refresh=100");
    let client = world.connect();
    assert!(!is_cached(&mut world, client, "hot:1"));
    world.wait(999);
    world.send(client, get("hot:1"));
    world.assert_received(client, bulk("value"));
    world.wait(1);
    // It waits for that fetch.
    world.send(client, get("hot:1"));
    world.assert_received(client, "");
    world.assert_asked(&["GET hot:1"]);
    world.answer(bulk("new"));
    world.assert_received(client, bulk("new"));
}

#[test]
fn what_changes_while_it_is_fetched_anew_is_not_served_any_more() {
    let mut world = world("hot:* ttl=1000 refresh=100");
    let client = world.connect();
    assert!(!is_cached(&mut world, client, "hot:1"));
    world.wait(950);
    assert!(is_cached_and_asked(&mut world, client));
    world.invalidate("hot:1");
    world.send(client, get("hot:1"));
    world.assert_asked(&["GET hot:1", "GET hot:1"]);
    world.answer(bulk("old"));
    world.assert_received(client, "");
    world.answer(bulk("new"));
    world.assert_received(client, bulk("new"));
}

/// Whether the key is served from the cache, and fetched anew.
fn is_cached_and_asked(world: &mut World, client: ClientId) -> bool {
    world.send(client, get("hot:1"));
    world.received(client) == bulk("value") && world.asked().len() == 1
}

#[test]
fn what_is_pinned_is_evicted_last() {
    let limits = Limits {
        entries: 4,
        ..roomy()
    };
    let mut world = world_within(limits, "pin:* pin");
    world.cache("pin:1", "value");
    world.cache("pin:2", "value");
    for number in 0..10 {
        world.cache(&format!("other:{number}"), "value");
    }
    let client = world.connect();
    for key in ["pin:1", "pin:2", "other:8", "other:9"] {
        assert!(is_cached(&mut world, client, key), "{key}");
    }
    for number in 3..8 {
        world.cache(&format!("pin:{number}"), "value");
    }
    assert_eq!(world.proxy.cache().len(), 4);
    for key in ["pin:4", "pin:5", "pin:6", "pin:7"] {
        assert!(is_cached(&mut world, client, key), "{key}");
    }
    // There is no room for another.
    world.cache("other:1", "value");
    assert!(!is_cached(&mut world, client, "other:1"));
    // A pinned entry ends and goes like any.
    world.invalidate("pin:7");
    assert!(!is_cached(&mut world, client, "pin:7"));
    world.wait(2000);
    world.expire();
    assert!(world.proxy.cache().is_empty());
}

#[test]
fn rules_that_change_hold_for_all_that_was_cached() {
    let mut world = world("");
    let client = world.connect();
    assert!(!is_cached(&mut world, client, "key"));
    assert!(is_cached(&mut world, client, "key"));
    set_rules(&mut world, "key nocache");
    assert!(!is_cached(&mut world, client, "key"));
    assert!(!is_cached(&mut world, client, "key"));
    set_rules(&mut world, "");
    assert!(!is_cached(&mut world, client, "key"));
    assert!(is_cached(&mut world, client, "key"));
}
