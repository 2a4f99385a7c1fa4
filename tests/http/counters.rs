//! Each counter of requests and clients moves when its event happens, and only then.

use std::time::{Duration, Instant};

use redis_proxy::cache::ENTRY_OVERHEAD;

use crate::common::{
    Http, MB, RedisServer, SOON_AWAY, assert_never_there, bulk, eventually, request,
};
use crate::watched::{HIT, Watched, all_samples, and, forwarded, miss, samples};

#[test]
fn requests_are_counted_by_what_became_of_them() {
    let redis = RedisServer::start();
    redis.set("a", "1");
    let mut watched = Watched::start(&redis, &[]);
    watched.moved(&[]);
    watched.client.command(&["PING"]);
    watched.moved(&[("requests_total{command=ping,outcome=here}", 1.0)]);
    watched.client.get("a");
    watched.moved(&miss("cache_misses_total{reason=new}"));
    watched.client.get("a");
    watched.moved(&HIT);
    watched.client.command(&["MGET", "a", "a"]);
    watched.moved(&[
        ("requests_total{command=mget,outcome=hit}", 1.0),
        ("cache_keys_total{result=hit}", 2.0),
        ("hit_duration_seconds_count", 1.0),
    ]);
    watched.client.command(&["DBSIZE"]);
    watched.moved(&forwarded(
        "requests_total{command=dbsize,outcome=forwarded}",
    ));
    watched.client.command(&["MULTI"]);
    watched.moved(&[
        ("requests_total{command=multi,outcome=dedicated}", 1.0),
        ("clients_on_dedicated_connection", 1.0),
    ]);
    watched.client.command(&["RESET"]);
    watched.moved(&[
        ("requests_total{command=reset,outcome=dedicated}", 1.0),
        ("clients_on_dedicated_connection", -1.0),
    ]);
}

#[test]
fn a_shared_fetch_is_counted_as_such() {
    let redis = RedisServer::start();
    redis.set("a", "1");
    let mut watched = Watched::start(&redis, &["--redis_timeout", "60000"]);
    let mut other = watched.http.proxy.client();
    watched.moved(&[("clients", 1.0), ("connections_total", 1.0)]);
    redis.pause();
    watched.client.send(request(&["GET", "a"]));
    eventually("one has asked", || {
        watched
            .http
            .metric("redis_proxy_cache_keys_total{result=\"miss\"}")
            == 1.0
    });
    other.send(request(&["GET", "a"]));
    eventually("the other has asked", || {
        watched
            .http
            .metric("redis_proxy_cache_keys_total{result=\"coalesced\"}")
            == 1.0
    });
    redis.resume();
    assert_eq!(watched.client.read_reply(), bulk("1"));
    assert_eq!(other.read_reply(), bulk("1"));
    watched.moved(&and(
        miss("cache_misses_total{reason=new}"),
        &[
            ("cache_keys_total{result=coalesced}", 1.0),
            ("requests_total{command=get,outcome=coalesced}", 1.0),
            ("miss_duration_seconds_count", 1.0),
        ],
    ));
}

#[test]
fn errors_are_counted_by_their_kind() {
    let redis = RedisServer::start();
    redis.set("text", "1");
    redis.client().command(&["RPUSH", "list", "1"]);
    let mut watched = Watched::start(&redis, &[]);
    watched.client.command(&["GET"]);
    watched.moved(&[
        ("errors_total{kind=usage}", 1.0),
        ("requests_total{command=get,outcome=refused}", 1.0),
    ]);
    let failed = [("errors_total{kind=redis}", 1.0)];
    watched.client.command(&["LPUSH", "text", "1"]);
    watched.moved(&and(
        and(
            forwarded("requests_total{command=lpush,outcome=forwarded}"),
            &failed,
        ),
        &[("request_failures_total{command=lpush}", 1.0)],
    ));
    // An error is not cached: so the same key is missing again, for that.
    let unkept = [("cache_entries", -1.0), ("cache_inserted_total", -1.0)];
    for reason in [
        "cache_misses_total{reason=new}",
        "cache_misses_total{reason=unkept}",
    ] {
        watched.client.get("list");
        watched.moved(&and(
            and(and(miss(reason), &unkept), &failed),
            &[("request_failures_total{command=get}", 1.0)],
        ));
    }

    let mut rude = watched.http.proxy.client();
    rude.send("*1\r\n:1\r\n");
    rude.read_to_end();
    drop(rude);
    watched.moved(&[
        ("connections_total", 1.0),
        ("errors_total{kind=protocol}", 1.0),
        ("protocol_errors_total", 1.0),
    ]);

    let locked = Http::start_at(&redis.address(), &["--password", "secret"]);
    eventually("Redis is reached", || {
        locked.metric("redis_proxy_redis_up") == 1.0
    });
    let mut locked = Watched::of(locked);
    locked.client.get("text");
    locked.moved(&[
        ("errors_total{kind=denied}", 1.0),
        ("requests_total{command=get,outcome=refused}", 1.0),
    ]);
}

#[test]
fn clients_are_counted_as_they_come_go_and_are_refused_or_slowed() {
    let redis = RedisServer::start();
    redis.set("a", "x".repeat(MB));
    let mut watched = Watched::start(&redis, &["--max_clients", "2"]);
    assert_eq!(watched.http.metric("redis_proxy_max_clients"), 2.0);
    let second = watched.http.proxy.client();
    watched.moved(&[("clients", 1.0), ("connections_total", 1.0)]);
    watched.http.proxy.client().read_to_end();
    watched.moved(&[("connections_refused_total", 1.0)]);
    drop(second);
    watched.moved(&[("clients", -1.0)]);

    watched.unwatched(&["GET", "a"]);
    let mut greedy = watched.http.proxy.client();
    greedy.send(request(&["GET", "a"]).repeat(1000));
    let slowed = || watched.http.metric("redis_proxy_clients_slowed_total");
    eventually("it is slowed down", || slowed() >= 1.0);
    let hits = watched
        .http
        .metric("redis_proxy_cache_keys_total{result=\"hit\"}");
    assert!(hits < 100.0, "{hits}");
}

#[test]
fn bytes_are_counted_one_by_one() {
    let redis = RedisServer::start();
    let mut watched = Watched::start(&redis, &[]);
    let bytes = |http: &Http| {
        ["received", "sent"].map(|way| http.metric(&format!("redis_proxy_{way}_bytes_total")))
    };
    let before = bytes(&watched.http);
    watched.client.send("PING\r\n");
    assert_eq!(watched.client.read_reply(), b"+PONG\r\n");
    let after = bytes(&watched.http);
    assert_eq!([after[0] - before[0], after[1] - before[1]], [6.0, 7.0]);
    redis.set("key", "value");
    assert_eq!(watched.http.metric("redis_proxy_cache_bytes"), 0.0);
    watched.client.get("key");
    let bytes = watched.http.metric("redis_proxy_cache_bytes");
    assert_eq!(bytes, (3 + 5 + ENTRY_OVERHEAD) as f64);
}

#[test]
fn each_histogram_holds_what_happened_in_its_unit() {
    const HANGS_FOR: Duration = Duration::from_millis(100);
    let redis = RedisServer::start();
    let start = Instant::now();
    let http = Http::start(&redis, &["--redis_timeout", "60000"]);
    let mut client = http.proxy.client();
    client.command(&["DBSIZE"]);
    redis.pause();
    let get = request(&["GET", "a"]);
    client.send(&get);
    // The helper thread may be slow to ask.
    redis.wait_to_be_sent(get.len() as u64);
    std::thread::sleep(2 * HANGS_FOR);
    redis.resume();
    client.read_reply();
    client.get("a");

    let samples = all_samples(&http);
    let counts: Vec<_> = samples
        .iter()
        .filter_map(|(name, &count)| Some((name.strip_suffix("_count")?, count)))
        .collect();
    assert_eq!(counts.len(), 6, "{counts:?}");
    for (name, count) in counts {
        assert!(count > 0.0, "{name}");
        assert_eq!(samples[&format!("{name}_bucket{{le=+Inf}}")], count);
        let sum = samples[&format!("{name}_sum")];
        let expected = match name {
            // Redis was asked for one thing at a time.
            "batch_requests" => count..=count,
            "miss_duration_seconds" | "redis_round_trip_seconds" => {
                HANGS_FOR.as_secs_f64()..=start.elapsed().as_secs_f64()
            }
            _ => f64::MIN_POSITIVE..=start.elapsed().as_secs_f64(),
        };
        assert!(expected.contains(&sum), "{name}: {sum} in {expected:?}");
    }
}

#[test]
fn requests_that_redis_can_t_answer_are_counted() {
    let redis = RedisServer::not_started();
    let http = Http::start_at(&redis.address(), SOON_AWAY);
    http.proxy.wait_for_log("redis down");
    let mut watched = Watched::of(http);
    // The first waits for a Redis that may only be restarting.
    for _ in 0..2 {
        assert_never_there(&watched.http.proxy);
    }
    watched.seen = samples(&watched.http);
    watched.seen.remove("redis_away_seconds_total");
    assert_never_there(&watched.http.proxy);
    let now = samples(&watched.http);
    for name in [
        "errors_total{kind=unreachable}",
        "requests_total{command=get,outcome=refused}",
    ] {
        assert_eq!(now[name] - watched.seen[name], 1.0, "{name}");
    }
    assert_eq!(
        now["cache_keys_total{result=miss}"],
        watched.seen["cache_keys_total{result=miss}"]
    );
}

#[test]
fn reads_are_counted_by_why_the_cache_did_not_answer_them() {
    let redis = RedisServer::start();
    redis.set("a", "1");
    let http = Http::start(&redis, &[]);
    let mut client = http.proxy.client();
    client.get("a");
    client.command(&["WATCH", "b"]);
    client.get("a");
    client.get("a");
    let samples = all_samples(&http);
    let uncached: Vec<(&str, f64)> = samples
        .iter()
        .filter(|(name, _)| name.starts_with("uncached_reads_total"))
        .map(|(name, count)| (&**name, *count))
        .collect();
    let expected = [
        (
            "uncached_reads_total{command=get,reason=dedicated,by=watch}",
            2.0,
        ),
        ("uncached_reads_total{command=get,reason=new,by=}", 1.0),
    ];
    assert_eq!(uncached, expected);
}
