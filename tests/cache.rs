//! The cache from outside: what Redis is asked for, and what it is not.

mod common;

use std::time::Duration;

use common::{
    Client, Proxy, RedisServer, assert_same, bulk, eventually, noise, only_time_to_live, request,
};

/// Asserts that GETs of these keys give their own names, and cost Redis so many requests.
#[track_caller]
fn assert_misses(redis: &RedisServer, client: &mut Client, keys: &[&str], misses: u64) {
    let before = redis.calls("get");
    for key in keys {
        assert_same(&client.get(key), &bulk(key), key);
    }
    assert_eq!(redis.calls("get") - before, misses, "misses among {keys:?}");
}

/// A Redis in which the value of each key is its name.
fn redis_with(keys: &[&str]) -> RedisServer {
    let redis = RedisServer::start();
    for key in keys {
        redis.set(key, key);
    }
    redis
}

#[test]
fn a_repeated_get_is_answered_from_memory() {
    let redis = redis_with(&["x"]);
    let proxy = Proxy::start(&redis, &[]);
    assert_misses(&redis, &mut proxy.client(), &["x"], 1);
    assert_misses(&redis, &mut proxy.client(), &["x"; 100], 0);
}

#[test]
fn a_key_is_cached_under_its_exact_bytes() {
    let keys = ["a", "A", "a ", "", "a\0", "\u{e4}"];
    let redis = redis_with(&keys);
    let proxy = Proxy::start(&redis, &[]);
    assert_misses(&redis, &mut proxy.client(), &keys, 6);
    assert_misses(&redis, &mut proxy.client(), &keys, 0);
}

#[test]
fn the_least_recently_used_entry_makes_room() {
    let redis = redis_with(&["a", "b", "c"]);
    let proxy = Proxy::start(&redis, &["--capacity", "2"]);
    let mut client = proxy.client();
    assert_misses(&redis, &mut client, &["a", "b"], 2);
    assert_misses(&redis, &mut client, &["a", "c"], 1);
    assert_misses(&redis, &mut client, &["a", "c"], 0);
    assert_misses(&redis, &mut client, &["b"], 1);
    assert_misses(&redis, &mut client, &["c", "b"], 0);
    assert_misses(&redis, &mut client, &["a"], 1);
}

#[test]
fn a_capacity_of_one_keeps_the_last_key() {
    let redis = redis_with(&["a", "b"]);
    let proxy = Proxy::start(&redis, &["--capacity", "1"]);
    let mut client = proxy.client();
    assert_misses(&redis, &mut client, &["a", "a", "b", "b", "a"], 3);
}

#[test]
fn entries_make_room_when_their_bytes_exceed_max_memory() {
    let redis = RedisServer::start();
    let value = noise(30_000);
    for key in ["a", "b", "c", "d"] {
        redis.set(key, &value);
    }
    // Room for three values, and not for four.
    let proxy = Proxy::start(&redis, &["--max_memory", "100kb"]);
    let mut client = proxy.client();
    let mut misses_of = |keys: &[&str]| {
        let before = redis.calls("get");
        for key in keys {
            assert_same(&client.get(key), &bulk(&value), key);
        }
        redis.calls("get") - before
    };
    assert_eq!(misses_of(&["a", "b", "c"]), 3);
    assert_eq!(misses_of(&["a", "b", "c"]), 0);
    assert_eq!(misses_of(&["d"]), 1);
    assert_eq!(misses_of(&["b", "c", "d"]), 0);
    assert_eq!(misses_of(&["a"]), 1);
}

#[test]
fn a_value_above_max_memory_is_delivered_and_not_cached() {
    let redis = redis_with(&["small"]);
    let value = noise(200_000);
    redis.set("large", &value);
    let proxy = Proxy::start(&redis, &["--max_memory", "100kb"]);
    let mut client = proxy.client();
    assert_misses(&redis, &mut client, &["small"], 1);
    for calls in [2, 3] {
        assert_same(&client.get("large"), &bulk(&value), &"large");
        assert_eq!(redis.calls("get"), calls);
    }
    assert_misses(&redis, &mut client, &["small"], 0);
}

#[test]
fn max_memory_0_is_no_limit() {
    let redis = RedisServer::start();
    let value = noise(70_000_000);
    redis.set("large", &value);
    let proxy = Proxy::start(
        &redis,
        &[
            "--max_memory",
            "0",
            "--max_reply",
            "0",
            "--redis_timeout",
            "15000",
        ],
    );
    let mut client = proxy.client();
    for _ in 0..2 {
        assert_same(&client.get("large"), &bulk(&value), &"large");
    }
    assert_eq!(redis.calls("get"), 1);
}

#[test]
fn an_entry_is_fetched_again_when_its_time_to_live_is_over() {
    let redis = RedisServer::start();
    redis.set("key", "old");
    let flags = [
        only_time_to_live(),
        &["--cache_ttl", "300", "--cache_period", "20"],
    ]
    .concat();
    let proxy = Proxy::start(&redis, &flags);
    let mut client = proxy.client();
    assert_same(&client.get("key"), &bulk("old"), &"the first time");
    redis.set("key", "new");
    // These hits don't prolong the entry's life.
    let mut reads = 1;
    eventually("the new value is served", || {
        reads += 1;
        client.get("key") == bulk("new")
    });
    // A machine that is too busy may ask again only when the time is over.
    assert!(
        reads == 2 || redis.calls("get") < reads,
        "some of {reads} reads were hits"
    );
}

#[test]
fn an_entry_past_its_time_to_live_is_not_served_before_the_tick_either() {
    let redis = RedisServer::start();
    redis.set("key", "old");
    let flags = [
        only_time_to_live(),
        &["--cache_ttl", "300", "--cache_period", "3600000"],
    ]
    .concat();
    let proxy = Proxy::start(&redis, &flags);
    let mut client = proxy.client();
    assert_same(&client.get("key"), &bulk("old"), &"the first time");
    redis.set("key", "new");
    std::thread::sleep(Duration::from_millis(320));
    assert_same(&client.get("key"), &bulk("new"), &"after its time to live");
}

#[test]
fn an_entry_within_its_time_to_live_is_served_as_it_was() {
    let redis = RedisServer::start();
    redis.set("key", "old");
    let flags = [
        only_time_to_live(),
        &["--cache_ttl", "60000", "--cache_period", "10"],
    ]
    .concat();
    let proxy = Proxy::start(&redis, &flags);
    let mut client = proxy.client();
    assert_same(&client.get("key"), &bulk("old"), &"the first time");
    redis.set("key", "new");
    // Several ticks pass meanwhile.
    std::thread::sleep(Duration::from_millis(100));
    assert_same(
        &client.get("key"),
        &bulk("old"),
        &"before its time to live is over",
    );
    assert_eq!(redis.calls("get"), 1);
}

#[test]
fn a_missing_key_is_not_cached_when_nobody_would_tell_that_it_came() {
    let redis = RedisServer::start();
    let proxy = Proxy::start(&redis, only_time_to_live());
    let mut client = proxy.client();
    for calls in [1, 2] {
        assert_same(&client.get("key"), b"$-1\r\n", &"a missing key");
        assert_eq!(redis.calls("get"), calls);
    }
    redis.set("key", "key");
    assert_misses(&redis, &mut client, &["key"], 1);
    assert_misses(&redis, &mut client, &["key"], 0);
}

#[test]
fn a_key_of_another_type_gets_the_error_of_redis_and_is_not_cached() {
    let redis = RedisServer::start();
    redis.client().command(&["RPUSH", "key", "element"]);
    let proxy = Proxy::start(&redis, &[]);
    let mut client = proxy.client();
    let expected = redis.client().get("key");
    assert!(expected.starts_with(b"-WRONGTYPE "));
    for _ in 0..2 {
        let before = redis.calls("get");
        assert_same(&client.get("key"), &expected, &"a list");
        assert_eq!(redis.calls("get"), before + 1);
    }
    redis.set("key", "key");
    assert_misses(&redis, &mut client, &["key"], 1);
}

#[test]
fn misses_on_one_key_share_one_request() {
    let redis = redis_with(&["key"]);
    let proxy = Proxy::start(&redis, &["--redis_timeout", "15000"]);
    let mut clients: Vec<_> = (0..50).map(|_| proxy.client()).collect();
    redis.pause();
    for client in &mut clients {
        client.send(request(&["GET", "key"]).repeat(3));
    }
    proxy.let_it_read();
    assert!(clients.iter_mut().all(Client::has_received_nothing));
    redis.resume();
    for client in &mut clients {
        assert_same(
            &client.read_replies(3),
            &bulk("key").repeat(3),
            &"the shared reply",
        );
    }
    assert_eq!(redis.calls("get"), 1);
}

#[test]
fn misses_on_a_missing_key_share_one_request_too() {
    let redis = RedisServer::start();
    let proxy = Proxy::start(&redis, &["--redis_timeout", "15000"]);
    let mut clients = [proxy.client(), proxy.client()];
    redis.pause();
    for client in &mut clients {
        client.send(request(&["GET", "key"]));
    }
    proxy.let_it_read();
    redis.resume();
    for client in &mut clients {
        assert_same(&client.read_reply(), b"$-1\r\n", &"the shared reply");
    }
    assert_eq!(redis.calls("get"), 1);
}

#[test]
fn misses_of_one_moment_go_to_redis_together() {
    let redis = RedisServer::start();
    let proxy = Proxy::start(&redis, &["--redis_timeout", "15000"]);
    let mut client = proxy.client();
    let before = redis.reads();
    let requests: Vec<_> = (0..1000)
        .flat_map(|n| request(&["GET", &format!("key:{n}")]))
        .collect();
    client.send(requests);
    assert_same(
        &client.read_replies(1000),
        &b"$-1\r\n".repeat(1000),
        &"missing keys",
    );
    assert_eq!(redis.calls("get"), 1000);
    let reads = redis.reads() - before;
    assert!(reads < 100, "Redis read {reads} times for 1000 requests");
}
