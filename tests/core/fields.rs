//! Reads of hashes whose fields may expire by themselves, which Redis does not report in time.

use redis_proxy::cache::Limits;
use redis_proxy::resp::Protocol;

use crate::world::{World, bulk, described, described_read, multibulk, roomy};

const NEVER: &str = ":-1\r\n";

/// What `INFO keyspace` says where so many hashes have fields that expire.
fn keyspace(count: usize) -> Vec<u8> {
    bulk(format!(
        "# Keyspace\r\ndb0:keys=9,expires=0,avg_ttl=0,subexpiry={count}\r\n"
    ))
}

/// A world with a Redis that has `HEXPIRE`.
fn world() -> World {
    let mut world = World::unheard(Limits {
        ttl: std::time::Duration::from_secs(60),
        ..roomy()
    });
    let reads = ["hget", "hmget", "hgetall", "llen"].map(described_read);
    world.up_with(&[&reads[..], &[described("hexpire")]].concat());
    world.let_keys_die();
    world
}

#[test]
fn named_fields_are_served_until_the_first_of_them_expires() {
    let mut world = world();
    let client = world.connect();
    let read = multibulk(&["hmget", "h", "a", "b"]);
    world.send(client, &read);
    world.assert_asked(&["hmget h a b", "HPTTL h FIELDS 2 a b", "PTTL h"]);
    let values = "*2\r\n$1\r\n1\r\n$1\r\n2\r\n";
    world.answer_together(&[values, "*2\r\n:-1\r\n:50\r\n", NEVER]);
    world.wait(49);
    world.send(client, &read);
    world.assert_received(client, values.repeat(2));
    world.wait(1);
    world.send(client, &read);
    world.assert_asked(&["hmget h a b", "HPTTL h FIELDS 2 a b", "PTTL h"]);
    // Now they don't expire, but the key does.
    world.answer_together(&[values, "*2\r\n:-1\r\n:-2\r\n", ":80\r\n"]);
    world.wait(79);
    world.send(client, &read);
    world.assert_received(client, values.repeat(2));
    world.wait(1);
    world.send(client, &read);
    world.assert_asked(&["hmget h a b", "HPTTL h FIELDS 2 a b", "PTTL h"]);
}

#[test]
fn all_fields_are_cached_where_no_hash_has_one_that_expires() {
    for (count, is_cached) in [(0, true), (1, false), (10, false)] {
        let mut world = world();
        let client = world.connect();
        let read = multibulk(&["HGETALL", "h"]);
        world.send(client, &read);
        world.assert_asked(&["HGETALL h", "INFO keyspace", "PTTL h"]);
        world.answer_together(&[&b"*0\r\n"[..], &keyspace(count), NEVER.as_bytes()]);
        world.assert_received(client, "*0\r\n");
        world.send(client, &read);
        let asked = !world.asked().is_empty();
        assert_eq!(asked, !is_cached, "{count}");
    }
}

#[test]
fn what_redis_does_not_tell_the_life_of_is_not_cached() {
    for life in ["-NOPERM no\r\n", "*1\r\n:0\r\n", "*1\r\n:-3\r\n"] {
        let mut world = world();
        let client = world.connect();
        for _ in 0..2 {
            world.send(client, multibulk(&["HGET", "h", "a"]));
            world.assert_asked(&["HGET h a", "HPTTL h FIELDS 1 a", "PTTL h"]);
            world.answer_together(&[&bulk("1")[..], life.as_bytes(), NEVER.as_bytes()]);
            world.assert_received(client, bulk("1"));
        }
    }
}

#[test]
fn a_change_between_the_replies_counts() {
    for answered in 1..=2 {
        let mut world = world();
        let client = world.connect();
        let read = multibulk(&["HGET", "h", "a"]);
        world.send(client, &read);
        let replies = [&bulk("1")[..], b"*1\r\n:-1\r\n", NEVER.as_bytes()];
        world.answer_together(&replies[..answered]);
        world.assert_received(client, bulk("1"));
        world.invalidate("h");
        world.answer_together(&replies[answered..]);
        world.send(client, &read);
        world.assert_asked(&["HGET h a", "HPTTL h FIELDS 1 a", "PTTL h"]);
    }
}

#[test]
fn a_read_that_is_late_leaves_the_others_in_step() {
    let mut world = world();
    let client = world.connect();
    world.send(client, multibulk(&["HGET", "h", "a"]));
    world.be_late(Protocol::Resp2, 2, "-ERR late\r\n");
    world.assert_received(client, "-ERR late\r\n");
    world.send(client, multibulk(&["HGET", "h", "b"]));
    world.answer_together(&[&bulk("1")[..], b"*1\r\n:-1\r\n", NEVER.as_bytes()]);
    world.answer_together(&[&bulk("2")[..], b"*1\r\n:-1\r\n", NEVER.as_bytes()]);
    world.assert_received(client, bulk("2"));
    world.send(client, multibulk(&["HGET", "h", "b"]));
    world.assert_received(client, bulk("2"));
}

#[test]
fn what_is_fetched_anew_is_asked_for_in_the_same_way() {
    let mut world = world();
    world.proxy.set_refetch(true);
    let client = world.connect();
    for _ in 0..2 {
        world.send(client, multibulk(&["hget", "h", "a"]));
        if !world.asked().is_empty() {
            world.answer_together(&[&bulk("1")[..], b"*1\r\n:-1\r\n", NEVER.as_bytes()]);
        }
    }
    world.invalidate("h");
    world.assert_asked(&["HGET h a", "HPTTL h FIELDS 1 a", "PTTL h"]);
}

#[test]
fn reads_of_other_types_are_not_concerned() {
    let mut world = world();
    let client = world.connect();
    world.send(client, multibulk(&["LLEN", "list"]));
    world.assert_asked(&["LLEN list", "PTTL list"]);
}
