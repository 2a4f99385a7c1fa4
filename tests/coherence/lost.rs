//! A connection is lost, or Redis is.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::sync_channel;
use std::time::{Duration, Instant};

use crate::common::{
    Client, DEADLINE, DIRECTIONS, Proxy, RedisServer, Relay, SOON_AWAY, assert_same, bulk,
    eventually, request,
};
use crate::connections::{self, address, field, kill, kill_all, of_the_proxy};
use crate::told::{becomes, cache};
use crate::wire::{Protocol, Reply, Wire, words};

/// A proxy that has cached `key` as `old`.
fn with_a_cached_key(flags: &[&str]) -> (RedisServer, Proxy, Client) {
    let redis = RedisServer::start();
    redis.set("key", "old");
    let proxy = Proxy::start(&redis, flags);
    let mut client = proxy.client();
    cache(&mut client, &redis, "key", &bulk("old"));
    (redis, proxy, client)
}

fn straight(redis: &RedisServer) -> Wire {
    Wire::new(address(redis), Protocol::Resp2)
}

#[test]
fn nothing_stale_is_served_after_the_connection_that_reads_was_killed_while_idle() {
    let (redis, _proxy, mut client) = with_a_cached_key(&[]);
    let mut straight = straight(&redis);
    let (data, _) = of_the_proxy(&mut straight);
    assert_eq!(data.len(), 1);
    kill(&mut straight, &data);
    redis.set("key", "new");
    becomes(&mut client, "key", &bulk("new"));
}

#[test]
fn nothing_stale_is_served_after_the_connection_that_listens_was_killed() {
    let (redis, _proxy, mut client) = with_a_cached_key(&[]);
    let mut straight = straight(&redis);
    let (_, tracking) = of_the_proxy(&mut straight);
    assert_eq!(tracking.len(), 1);
    kill(&mut straight, &tracking);
    redis.set("key", "new");
    becomes(&mut client, "key", &bulk("new"));
}

#[test]
fn nothing_stale_is_served_after_the_connection_that_reads_in_resp3_was_killed_while_idle() {
    let redis = RedisServer::start();
    redis.set("key", "old");
    let proxy = Proxy::start(&redis, &[]);
    let mut client = Wire::new(proxy.address(), Protocol::Resp3);
    assert_eq!(
        client.command("GET key").ok(),
        Some(Reply::Text("old".into()))
    );
    let mut straight = straight(&redis);
    let (data, _) = of_the_proxy(&mut straight);
    assert_eq!(data.len(), 2);
    kill(&mut straight, &data[1..]);
    redis.set("key", "new");
    becomes(&mut proxy.client(), "key", &bulk("new"));
}

/// Requests in one version of the protocol come without a pause; the connection of the other is killed
/// meanwhile.
#[test]
fn nothing_stale_is_served_after_a_connection_was_killed_while_the_other_is_busy() {
    let redis = RedisServer::start();
    redis.set("key", "old");
    let proxy = Proxy::start(&redis, &[]);
    let mut resp3 = Wire::new(proxy.address(), Protocol::Resp3);
    let value = resp3.command("GET key").ok();
    assert_eq!(value, Some(Reply::Text("old".into())));
    let mut straight = straight(&redis);
    let (data, _) = of_the_proxy(&mut straight);
    let seen = &AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            let mut sender = proxy.client();
            let mut receiver = sender.second_handle();
            let (batches, sent) = sync_channel(20);
            scope.spawn(move || {
                let batch = words("STRLEN busy").repeat(100);
                while !seen.load(Ordering::SeqCst) {
                    sender.send(&batch);
                    batches.send(()).expect("there is a receiver");
                }
            });
            scope.spawn(move || sent.iter().for_each(|()| drop(receiver.read_replies(100))));
        }
        kill(&mut straight, &data[1..]);
        redis.set("key", "new");
        let mut client = proxy.client();
        let killed = Instant::now();
        let mut value = client.get("key");
        while value != bulk("new") && killed.elapsed() < DEADLINE {
            value = client.get("key");
        }
        seen.store(true, Ordering::SeqCst);
        assert_same(&value, &bulk("new"), &"key");
    });
}

/// Redis tells the connection that read a key that nobody listens any more: between two replies.
#[test]
fn replies_keep_their_order_when_the_connection_that_listens_is_killed_between_them() {
    let redis = RedisServer::start();
    for key in ["a", "b", "c"] {
        redis.set(key, key);
    }
    let proxy = Proxy::start(&redis, &[]);
    let mut client = Wire::new(proxy.address(), Protocol::Resp3);
    assert_eq!(client.command("GET a").ok(), Some(Reply::Text("a".into())));
    let (_, tracking) = of_the_proxy(&mut straight(&redis));
    let kill = format!("UPSTREAM CLIENT KILL ID {}", tracking[0]);
    let requests = [&kill, "SET a new", "GET b", "GET c"].map(words).concat();
    let replies = client.ask(&requests, 4).expect("the proxy answers");
    assert_eq!(replies[0], Reply::Number(1));
    assert_eq!(replies[1], Reply::Text("OK".into()));
    assert_eq!(
        replies[2..],
        ["b", "c"].map(|value| Reply::Text(value.into()))
    );
}

#[test]
fn hits_go_on_while_redis_is_away_until_their_time_to_live_is_over() {
    ends_with_its_time(Duration::from_millis(1500), &["--cache_ttl", "1500"]);
}

/// A cached value is served for that long when Redis goes away, and no longer.
#[track_caller]
fn ends_with_its_time(time: Duration, flags: &[&str]) {
    let start = Instant::now();
    let (mut redis, proxy, mut client) = with_a_cached_key(&[SOON_AWAY, flags].concat());
    redis.stop();
    proxy.wait_for_log("redis down");
    eventually("its time is over", || {
        client.send(words("GET key"));
        match client.reply_or_end() {
            Some(reply) => {
                assert_same(&reply, &bulk("old"), &"while Redis is away");
                false
            }
            None => true,
        }
    });
    assert!(start.elapsed() >= time, "{:?}", start.elapsed());
}

#[test]
fn with_a_stale_ttl_hits_go_on_for_longer_while_redis_is_away() {
    const TIME: Duration = Duration::from_millis(300);
    let flags = ["--cache_ttl", "300", "--stale_ttl", "60000"];
    let mut redis = RedisServer::start();
    let proxy = Proxy::start(&redis, &flags);
    let mut tries = 0;
    // On a busy machine it may take several tries to stop Redis in time.
    eventually("Redis goes away while it is cached", || {
        // Of a key that nobody has read, nothing is cached that is yet to be invalidated.
        tries += 1;
        let key = format!("key:{tries}");
        redis.set(&key, "old");
        let mut client = proxy.client();
        let start = Instant::now();
        assert_same(&client.get(&key), &bulk("old"), &"the miss");
        redis.stop_noticed_by(&proxy);
        let in_time = start.elapsed() < TIME;
        while in_time && start.elapsed() < 2 * TIME {
            assert_same(&client.get(&key), &bulk("old"), &"while Redis is away");
        }
        redis.start_again();
        eventually("Redis is back", || client.get(&key) == b"$-1\r\n");
        in_time
    });
}

#[test]
fn with_a_stale_ttl_hits_end_with_it() {
    let flags = ["--cache_ttl", "500", "--stale_ttl", "500"];
    ends_with_its_time(Duration::from_millis(1000), &flags);
}

#[test]
fn a_stale_ttl_means_nothing_while_redis_is_there() {
    let redis = RedisServer::start();
    redis.set("key", "value");
    let flags = ["--cache_ttl", "200", "--stale_ttl", "60000"];
    let proxy = Proxy::start(&redis, &flags);
    let mut client = proxy.client();
    assert_same(&client.get("key"), &bulk("value"), &"the miss");
    eventually("Redis is asked again", || {
        assert_same(&client.get("key"), &bulk("value"), &"a read");
        redis.calls("get") > 1
    });
}

#[test]
fn the_cache_is_empty_when_redis_comes_back() {
    let (mut redis, proxy, mut client) = with_a_cached_key(&["--stale_ttl", "60000"]);
    redis.stop();
    proxy.wait_for_log("redis down");
    assert_same(&client.get("key"), &bulk("old"), &"while Redis is away");
    redis.start_again();
    becomes(&mut client, "key", b"$-1\r\n");
}

/// The connections are made anew at once, so Redis is never away for the proxy.
#[test]
fn the_cache_is_empty_after_all_connections_were_killed() {
    let (redis, proxy, mut client) = with_a_cached_key(&["--log_level", "debug"]);
    let before = redis.calls("get");
    kill_all(&redis);
    proxy.wait_for_log("reconnected");
    eventually("Redis is asked again", || {
        assert_same(&client.get("key"), &bulk("old"), &"a read");
        redis.calls("get") > before
    });
}

#[test]
fn a_silent_connection_is_noticed_when_something_is_cached() {
    let redis = RedisServer::start();
    redis.set("key", "old");
    let relay = Relay::start(address(&redis), |_| Duration::ZERO).expect("a relay");
    let proxy = Proxy::start_at(&relay.address().to_string(), &["--redis_timeout", "1500"]);
    proxy.wait_for_log("redis up");
    let mut client = proxy.client();
    cache(&mut client, &redis, "key", &bulk("old"));
    let mut straight = straight(&redis);
    let (_, tracking) = of_the_proxy(&mut straight);
    let tracking = tracking[0].to_string();
    let lines = connections::list(&mut straight);
    let line = lines
        .iter()
        .find(|line| field(line, "id") == Some(&tracking));
    let from = field(line.expect("it is listed"), "addr").expect("an address");
    let connection = relay.connection_from(from.parse().expect("an address"));
    for direction in DIRECTIONS {
        relay.silence(&[connection.expect("it is passed on")], direction);
    }
    redis.set("key", "new");
    becomes(&mut client, "key", &bulk("new"));
}

#[test]
fn a_cache_that_holds_something_sends_pings() {
    let (redis, _proxy, _client) = with_a_cached_key(&[]);
    let before = redis.calls("ping");
    eventually("pings are sent", || redis.calls("ping") > before + 2);
}

#[test]
fn a_cache_that_was_emptied_sends_no_pings() {
    let (redis, _proxy, mut client) = with_a_cached_key(&[]);
    redis.client().send(request(&["SET", "key", "new"]));
    becomes(&mut client, "key", &bulk("new"));
    redis.client().command(&["FLUSHALL"]);
    // As long as a client is there, Redis is watched over all the same.
    drop(client);
    eventually("Redis is left alone", || {
        let before = redis.calls("ping");
        // There is nothing to wait for but the time in which one would come, which is a second.
        std::thread::sleep(Duration::from_secs(2));
        redis.calls("ping") == before
    });
}
