//! `INFO` and the metrics agree.

use std::collections::BTreeMap;

use crate::common::{Http, RedisServer, SOON_AWAY, eventually};

/// Fields of `INFO`, and the samples that say the same.
const SAME: [(&str, &str); 38] = [
    ("maxclients", "redis_proxy_max_clients"),
    (
        "clients_on_dedicated_connection",
        "redis_proxy_clients_on_dedicated_connection",
    ),
    (
        "total_connections_received",
        "redis_proxy_connections_total",
    ),
    (
        "rejected_connections",
        "redis_proxy_connections_refused_total",
    ),
    (
        "protocol_error_connections",
        "redis_proxy_protocol_errors_total",
    ),
    ("slowed_clients", "redis_proxy_clients_slowed_total"),
    (
        "keyspace_hits",
        "redis_proxy_cache_keys_total{result=\"hit\"}",
    ),
    (
        "protocol_error_replies",
        "redis_proxy_errors_total{kind=\"protocol\"}",
    ),
    (
        "denied_error_replies",
        "redis_proxy_errors_total{kind=\"denied\"}",
    ),
    (
        "usage_error_replies",
        "redis_proxy_errors_total{kind=\"usage\"}",
    ),
    (
        "unreachable_error_replies",
        "redis_proxy_errors_total{kind=\"unreachable\"}",
    ),
    (
        "redis_error_replies",
        "redis_proxy_errors_total{kind=\"redis\"}",
    ),
    ("cache_entries", "redis_proxy_cache_entries"),
    ("cache_capacity", "redis_proxy_cache_capacity_entries"),
    ("cache_bytes", "redis_proxy_cache_bytes"),
    ("max_buffers", "redis_proxy_buffers_max_bytes"),
    ("evicted_clients", "redis_proxy_clients_evicted_total"),
    ("cache_max_memory", "redis_proxy_cache_max_bytes"),
    ("cache_hits", "redis_proxy_cache_keys_total{result=\"hit\"}"),
    (
        "cache_misses",
        "redis_proxy_cache_keys_total{result=\"miss\"}",
    ),
    (
        "cache_coalesced",
        "redis_proxy_cache_keys_total{result=\"coalesced\"}",
    ),
    (
        "cache_misses_new",
        "redis_proxy_cache_misses_total{reason=\"new\"}",
    ),
    (
        "cache_misses_evicted",
        "redis_proxy_cache_misses_total{reason=\"evicted\"}",
    ),
    (
        "cache_misses_written",
        "redis_proxy_cache_misses_total{reason=\"written\"}",
    ),
    (
        "cache_misses_unkept",
        "redis_proxy_cache_misses_total{reason=\"unkept\"}",
    ),
    ("cache_inserted", "redis_proxy_cache_inserted_total"),
    (
        "cache_removed_capacity",
        "redis_proxy_cache_removed_total{reason=\"capacity\"}",
    ),
    (
        "cache_removed_memory",
        "redis_proxy_cache_removed_total{reason=\"memory\"}",
    ),
    (
        "cache_removed_invalidated",
        "redis_proxy_cache_removed_total{reason=\"invalidated\"}",
    ),
    (
        "cache_removed_written",
        "redis_proxy_cache_removed_total{reason=\"written\"}",
    ),
    (
        "cache_removed_flushed",
        "redis_proxy_cache_removed_total{reason=\"flushed\"}",
    ),
    (
        "cache_removed_reconnected",
        "redis_proxy_cache_removed_total{reason=\"reconnected\"}",
    ),
    (
        "cache_removed_unread",
        "redis_proxy_cache_removed_unread_total",
    ),
    ("upstream_outages", "redis_proxy_redis_outages_total"),
    ("upstream_reconnects", "redis_proxy_redis_reconnects_total"),
    ("invalidations_received", "redis_proxy_invalidations_total"),
    ("refetches", "redis_proxy_refetches_total"),
    ("flushes_received", "redis_proxy_flushes_total"),
];

#[test]
fn info_says_the_same() {
    let mut redis = RedisServer::start();
    let http = Http::start(&redis, &[SOON_AWAY, &["--capacity", "2"]].concat());
    redis.client().command(&["RPUSH", "list", "1"]);
    let mut client = http.proxy.client();
    for key in ["a", "b", "c", "list", "list"] {
        client.get(key);
        client.get(key);
        client.command(&["SET", key, "1"]);
    }
    client.command(&["GET"]);
    redis.set("c", "2");
    redis.client().command(&["FLUSHALL"]);
    eventually("Redis has told", || {
        http.metric("redis_proxy_flushes_total") == 1.0
    });
    client.get("a");
    redis.stop();
    eventually("Redis is away", || {
        http.metric("redis_proxy_redis_up") == 0.0
    });
    crate::common::assert_away(&http.proxy);
    redis.start_again();
    eventually("Redis is back", || {
        http.metric("redis_proxy_redis_up") == 1.0
    });

    let info = String::from_utf8(client.command(&["INFO", "everything"])).expect("text");
    let fields: BTreeMap<&str, &str> = info
        .lines()
        .filter_map(|line| line.split_once(':'))
        .collect();
    let mut moved = 0;
    for (field, sample) in SAME {
        let value: f64 = fields[field].parse().expect("a number");
        assert_eq!(value, http.metric(sample), "{field} is not {sample}");
        moved += usize::from(value > 0.0);
    }
    assert!(moved > 18, "{moved} fields are not 0: {info}");
    let status = http.get("/status.json").body;
    let advice = fields["cache_advice"];
    assert!(
        status.contains(&format!("\"advice\":\"{advice}\"")),
        "{advice} {status}"
    );
}
