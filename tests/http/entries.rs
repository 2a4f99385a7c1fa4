//! Each counter of what becomes of entries, and of Redis, moves when its event happens, and only then.

use redis_proxy::cache::ENTRY_OVERHEAD;

use crate::common::{RedisServer, eventually};
use crate::watched::{HIT, Watched, and, forwarded, miss, samples};

#[test]
fn entries_that_change_are_counted_by_who_changed_them() {
    let redis = RedisServer::start();
    redis.set("a", "1");
    let mut watched = Watched::start(&redis, &["--refetch", "off"]);
    watched.unwatched(&["GET", "a"]);

    // By a client of the proxy; Redis tells of that too.
    watched.client.command(&["SET", "a", "2"]);
    watched.moved(&and(
        forwarded("requests_total{command=set,outcome=forwarded}"),
        &[
            ("cache_entries", -1.0),
            ("cache_removed_total{reason=written}", 1.0),
            ("cache_removed_unread_total", 1.0),
            ("invalidations_total", 1.0),
        ],
    ));
    watched.client.get("a");
    watched.moved(&miss("cache_misses_total{reason=written}"));
    watched.client.get("a");
    watched.moved(&HIT);

    // By another; it was read before it left.
    redis.set("a", "3");
    watched.moved(&[
        ("cache_entries", -1.0),
        ("cache_removed_total{reason=invalidated}", 1.0),
        ("invalidations_total", 1.0),
    ]);
    watched.client.get("a");
    watched.moved(&miss("cache_misses_total{reason=invalidated}"));

    // With all others.
    redis.client().command(&["FLUSHALL"]);
    watched.moved(&[
        ("cache_entries", -1.0),
        ("cache_removed_total{reason=flushed}", 1.0),
        ("flushes_total", 1.0),
    ]);
    watched.client.get("a");
    watched.moved(&miss("cache_misses_total{reason=flushed}"));
}

#[test]
fn entries_that_go_for_lack_of_room_are_counted_by_what_lacked() {
    let one_and_a_half = (ENTRY_OVERHEAD * 3 / 2).to_string();
    for (flags, removed) in [
        (["--capacity", "1"], "cache_removed_total{reason=capacity}"),
        (
            ["--max_memory", &one_and_a_half],
            "cache_removed_total{reason=memory}",
        ),
    ] {
        let redis = RedisServer::start();
        redis.set("a", "1");
        redis.set("b", "1");
        let mut watched = Watched::start(&redis, &flags);
        watched.unwatched(&["GET", "a"]);
        let gone = [
            (removed, 1.0),
            ("cache_removed_unread_total", 1.0),
            ("cache_entries", -1.0),
        ];
        watched.client.get("b");
        watched.moved(&and(miss("cache_misses_total{reason=new}"), &gone));
        watched.client.get("a");
        watched.moved(&and(miss("cache_misses_total{reason=evicted}"), &gone));
    }
}

#[test]
fn entries_past_their_time_are_counted() {
    let redis = RedisServer::start();
    redis.set("a", "1");
    let flags = ["--cache_ttl", "3000", "--cache_period", "10"];
    let mut watched = Watched::start(&redis, &flags);
    watched.client.get("a");
    watched.moved(&miss("cache_misses_total{reason=new}"));
    watched.moved(&[
        ("cache_entries", -1.0),
        ("cache_removed_total{reason=expired}", 1.0),
        ("cache_removed_unread_total", 1.0),
    ]);
    watched.client.get("a");
    watched.moved(&miss("cache_misses_total{reason=expired}"));
}

#[test]
fn outages_of_redis_are_counted_and_timed() {
    let mut redis = RedisServer::start();
    redis.set("a", "1");
    let mut watched = Watched::start(&redis, &["--redis_timeout", "60000"]);
    watched.unwatched(&["GET", "a"]);
    let away = |watched: &Watched| watched.http.metric("redis_proxy_redis_away_seconds_total");
    assert_eq!(away(&watched), 0.0);
    redis.stop();
    eventually("Redis is away", || {
        watched.http.metric("redis_proxy_redis_up") == 0.0
    });
    let first = away(&watched);
    eventually("the time goes on", || away(&watched) > first);
    watched.seen.remove("redis_away_seconds_total");
    let gone = |name: &str| name == "redis_away_seconds_total";
    let all = samples(&watched.http);
    let moved: Vec<_> = all
        .iter()
        .filter(|(name, value)| !gone(name) && watched.seen.get(*name) != Some(*value))
        .map(|(name, value)| (name.as_str(), *value))
        .collect();
    assert_eq!(
        moved,
        [
            ("redis_outages_total", 1.0),
            ("redis_up", 0.0),
            ("tracking{state=lost}", 1.0),
            ("tracking{state=on}", 0.0),
        ]
    );
    watched.seen = all;

    redis.start_again();
    watched.http.proxy.wait_for_logs("redis up", 2);
    eventually("Redis is back", || {
        watched.http.metric("redis_proxy_redis_up") == 1.0
    });
    let total = away(&watched);
    watched
        .seen
        .insert("redis_away_seconds_total".into(), total);
    watched.moved(&[
        ("cache_entries", -1.0),
        ("cache_removed_total{reason=reconnected}", 1.0),
        ("redis_reconnects_total", 1.0),
        ("redis_up", 1.0),
        ("tracking{state=lost}", -1.0),
        ("tracking{state=on}", 1.0),
    ]);
    assert_eq!(away(&watched), total, "the time stands still");
    redis.set("a", "1");
    watched.client.get("a");
    watched.moved(&miss("cache_misses_total{reason=reconnected}"));
}
