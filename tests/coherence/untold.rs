//! Redis does not say what changes: it is not asked to, or refuses.

use std::time::{Duration, Instant};

use crate::common::{Proxy, RedisServer, assert_same, bulk, eventually};
use crate::connections::kill_all;
use crate::wire::words;

const WARNING: &str = "cached values may be outdated until they expire";

/// A Redis that knows no CLIENT.
const WITHOUT_CLIENT: &[&str] = &["--rename-command", "CLIENT", ""];

/// A Redis with a user who may not use it.
fn redis_with_a_narrow_user() -> RedisServer {
    let redis = RedisServer::start();
    let mut straight = redis.client();
    straight.send(words("ACL SETUSER narrow on >secret ~* +@all -client"));
    assert_same(&straight.read_reply(), b"+OK\r\n", &"ACL");
    redis
}

const AS_NARROW_USER: &[&str] = &["--redis_username", "narrow", "--redis_password", "secret"];

/// Asserts that a cached value ends with its key, and that nil is not cached.
#[track_caller]
fn assert_time_to_live_holds(redis: &RedisServer, flags: &[&str], warnings: usize) {
    let proxy = Proxy::start(redis, flags);
    let mut client = proxy.client();
    // On a busy machine it may take several tries to ask while the key is there.
    eventually("it is cached meanwhile", || {
        let set = Instant::now();
        let command = ["SET", "key", "value", "PX", "400"];
        assert_same(&redis.client().command(&command), b"+OK\r\n", &"SET");
        let before = redis.calls("get");
        let mut in_time = Vec::new();
        while set.elapsed() < Duration::from_millis(200) {
            let reply = client.get("key");
            in_time.extend((set.elapsed() < Duration::from_millis(400)).then_some(reply));
        }
        for reply in &in_time {
            assert_same(reply, &bulk("value"), &"before its end");
        }
        let calls = redis.calls("get") - before;
        let cached = in_time.len() > 1 && set.elapsed() < Duration::from_millis(400);
        assert!(!cached || calls == 1, "{calls} of {}", in_time.len());
        eventually("the key has expired", || {
            redis.client().command(&["EXISTS", "key"]) == b":0\r\n"
        });
        assert_same(&client.get("key"), b"$-1\r\n", &"after its end");
        cached
    });
    let before = redis.calls("get");
    assert_same(&client.get("key"), b"$-1\r\n", &"after its end");
    assert_eq!(redis.calls("get"), before + 1, "nil is not cached");
    let log = proxy.log();
    let count = log.iter().filter(|line| line.contains(WARNING)).count();
    assert_eq!(count, warnings, "{log:?}");
}

#[test]
fn a_value_does_not_outlive_its_key_with_tracking_off() {
    assert_time_to_live_holds(&RedisServer::start(), &["--tracking", "off"], 0);
}

#[test]
fn a_value_does_not_outlive_its_key_where_the_user_lacks_the_right_to_track() {
    assert_time_to_live_holds(&redis_with_a_narrow_user(), AS_NARROW_USER, 1);
}

#[test]
fn a_value_does_not_outlive_its_key_where_redis_does_not_know_the_command() {
    assert_time_to_live_holds(&RedisServer::start_with(WITHOUT_CLIENT), &[], 1);
}

#[test]
fn that_redis_refuses_is_said_once() {
    let redis = redis_with_a_narrow_user();
    let proxy = Proxy::start(
        &redis,
        &[AS_NARROW_USER, &["--log_level", "debug"]].concat(),
    );
    proxy.wait_for_log(WARNING);
    for count in 1..3 {
        kill_all(&redis);
        proxy.wait_for_logs("reconnected", count);
    }
    let log = proxy.log();
    let count = log.iter().filter(|line| line.contains(WARNING)).count();
    assert_eq!(count, 1, "{log:?}");
}

#[test]
fn a_change_is_seen_when_the_time_to_live_is_over() {
    let redis = redis_with_a_narrow_user();
    redis.set("key", "old");
    let flags = [AS_NARROW_USER, &["--cache_ttl", "200"]].concat();
    let proxy = Proxy::start(&redis, &flags);
    let mut client = proxy.client();
    assert_same(&client.get("key"), &bulk("old"), &"the miss");
    redis.set("key", "new");
    eventually("the change is seen", || client.get("key") == bulk("new"));
}
