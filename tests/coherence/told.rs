//! What is changed straight at Redis, and what Redis says of it.

use crate::common::{Client, Proxy, RedisServer, assert_same, bulk, eventually};
use crate::wire::words;

const NIL: &[u8] = b"$-1\r\n";

/// Reads a key through the proxy until it is answered from memory.
#[track_caller]
pub fn cache(client: &mut Client, redis: &RedisServer, key: &str, expected: &[u8]) {
    eventually(&format!("{key} is cached"), || {
        assert_same(&client.get(key), expected, &key);
        let before = redis.calls("get");
        assert_same(&client.get(key), expected, &key);
        redis.calls("get") == before
    });
}

/// The value of a key through the proxy becomes this.
#[track_caller]
pub fn becomes(client: &mut Client, key: &str, expected: &[u8]) {
    let what = format!("{key} is \"{}\"", expected.escape_ascii());
    eventually(&what, || client.get(key) == expected);
}

/// Caches what two keys have, has Redis execute some commands, and sees what the keys have then.
#[track_caller]
fn is_seen(commands: &[&str], then: [&[u8]; 2]) {
    let redis = RedisServer::start();
    redis.set("key", "old");
    let proxy = Proxy::start(&redis, &[]);
    let mut client = proxy.client();
    cache(&mut client, &redis, "key", &bulk("old"));
    cache(&mut client, &redis, "other", NIL);
    let mut straight = redis.client();
    for command in commands {
        straight.send(words(command));
        let reply = straight.read_reply();
        assert!(
            !reply.starts_with(b"-"),
            "{command}: {}",
            reply.escape_ascii()
        );
    }
    becomes(&mut client, "key", then[0]);
    becomes(&mut client, "other", then[1]);
}

#[test]
fn a_value_that_is_set_straight_at_redis_is_seen() {
    is_seen(&["SET key new"], [&bulk("new"), NIL]);
}

#[test]
fn a_key_that_is_deleted_straight_at_redis_is_seen_gone() {
    is_seen(&["DEL key"], [NIL, NIL]);
}

#[test]
fn a_key_that_comes_to_be_is_seen_where_nil_was_cached() {
    is_seen(&["SET other new"], [&bulk("old"), &bulk("new")]);
}

#[test]
fn a_key_that_was_given_an_expiry_in_the_past_is_seen_gone() {
    is_seen(&["EXPIRE key -1"], [NIL, NIL]);
}

#[test]
fn a_key_that_expires_by_and_by_is_seen_gone() {
    is_seen(&["PEXPIRE key 50"], [NIL, NIL]);
}

#[test]
fn a_renamed_key_is_seen_under_its_new_name_alone() {
    is_seen(&["RENAME key other"], [NIL, &bulk("old")]);
}

#[test]
fn what_a_script_writes_without_saying_so_is_seen() {
    is_seen(
        &["EVAL redis.call('SET','other','new') 0"],
        [&bulk("old"), &bulk("new")],
    );
}

#[test]
fn what_a_transaction_writes_is_seen() {
    is_seen(
        &["MULTI", "SET other new", "DEL key", "EXEC"],
        [NIL, &bulk("new")],
    );
}

#[test]
fn a_flush_of_all_databases_is_seen() {
    is_seen(&["FLUSHALL"], [NIL, NIL]);
}

#[test]
fn a_flush_of_the_database_is_seen() {
    is_seen(&["FLUSHDB ASYNC"], [NIL, NIL]);
}

/// Of a key that only the database has which goes, Redis (7.0) says nothing.
#[test]
fn keys_of_a_database_that_takes_the_place_of_another_are_seen() {
    is_seen(
        &["SELECT 1", "MSET key new other new", "SWAPDB 0 1"],
        [&bulk("new"), &bulk("new")],
    );
}

#[test]
fn a_key_that_redis_evicts_to_save_memory_is_seen_gone() {
    is_seen(
        &[
            "CONFIG SET maxmemory-policy allkeys-random",
            "CONFIG SET maxmemory 1",
        ],
        [NIL, NIL],
    );
}

#[test]
fn a_storm_of_reads_of_an_absent_key_does_not_reach_redis() {
    let redis = RedisServer::start();
    let proxy = Proxy::start(&redis, &[]);
    let mut client = proxy.client();
    cache(&mut client, &redis, "absent", NIL);
    let before = redis.calls("get");
    client.send(words("GET absent").repeat(1000));
    assert_same(&client.read_replies(1000), &NIL.repeat(1000), &"GET");
    client.send(words("MGET absent absent"));
    let expected = [b"*2\r\n", NIL, NIL].concat();
    assert_same(&client.read_reply(), &expected, &"MGET");
    assert_eq!(redis.calls("get"), before);
    assert_eq!(redis.calls("mget"), 0);
}

#[test]
fn what_redis_forgets_to_have_been_read_is_read_anew() {
    const KEYS: usize = 200;
    let redis = RedisServer::start_with(&["--tracking-table-max-keys", "10", "--hz", "100"]);
    let proxy = Proxy::start(&redis, &[]);
    let mut client = proxy.client();
    let mut straight = redis.client();
    for round in ["first", "second", "third"] {
        for index in 0..KEYS {
            straight.send(words(&format!("SET key:{index} {round}")));
            assert_same(&straight.read_reply(), b"+OK\r\n", &"SET");
        }
        for index in 0..KEYS {
            becomes(&mut client, &format!("key:{index}"), &bulk(round));
        }
    }
    eventually("Redis forgets", || {
        let cached = (0..KEYS).filter(|index| {
            let before = redis.calls("get");
            let reply = client.get(format!("key:{index}"));
            assert_same(&reply, &bulk("third"), &index);
            redis.calls("get") == before
        });
        cached.count() < KEYS / 2
    });
}
