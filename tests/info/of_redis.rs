//! What clients and tools decide by is Redis's, and as it is now.

use crate::common::{Answer, Client, FakeRedis, Proxy, RedisServer, SOON_AWAY, bulk, eventually};
use crate::{COUNTED_HERE, Fields, VARIOUS, Watched, info, text_of};

/// Names of sections and fields, in order.
fn names(client: &mut Client, sections: &[&str]) -> Vec<String> {
    let reply = client.command(&[&["INFO"], sections].concat());
    let text = text_of(&reply);
    let lines = text.lines().filter(|line| !line.is_empty());
    lines
        .map(|line| line.split(':').next().unwrap_or(line).to_owned())
        .collect()
}

#[test]
fn no_section_and_no_field_of_redis_is_missing() {
    let watched = Watched::start(&[]);
    let mut client = watched.proxy.client();
    client.command(&["SET", "key", "value"]);
    let mut straight = watched.redis.client();
    for sections in [&[][..], &["all"], &["everything"], &["default"]] {
        let ours = names(&mut client, sections);
        let mut ours = ours.iter();
        // In Redis's order, with fields of the proxy's own between.
        for name in names(&mut straight, sections) {
            let is_various = VARIOUS.iter().any(|start| name.starts_with(start));
            if !is_various && !name.starts_with("cmdstat_") {
                assert!(
                    ours.any(|ours| *ours == name),
                    "{name} of INFO {sections:?}"
                );
            }
        }
    }
}

#[test]
fn fields_are_redis_own_save_those_that_count_what_happens_here() {
    let watched = Watched::start(&[]);
    let mut client = watched.proxy.client();
    client.command(&["SET", "key", "value"]);
    // They count, time or measure, and so move with each INFO.
    let moves = |name: &str| {
        let parts = [
            "used_",
            "mem_",
            "allocator_",
            "rss_",
            "total_",
            "instantaneous_",
            "_time_usec",
            "lru_clock",
            "uptime_in_seconds",
            "reply_buffer_",
            "latency_percentiles_",
            "client_recent_",
            "overhead",
            "cmdstat_",
            "tracking_",
            "io_threaded",
            "fragmentation",
            "server_time",
        ];
        parts.iter().any(|part| name.contains(part))
    };
    let of_redis = info(&mut watched.redis.client(), &["all"]);
    let ours = info(&mut client, &["all"]);
    let mut compared = 0;
    for (name, value) in of_redis {
        if !moves(&name) && !COUNTED_HERE.contains(&&name[..]) {
            assert_eq!(ours.get(&name), Some(&value), "{name}");
            compared += 1;
        }
    }
    assert!(compared > 80, "{compared}");
    assert_eq!(ours["tcp_port"], watched.proxy.port());
    assert_eq!(ours["db0.keys"], "1");
}

#[test]
fn what_changes_at_redis_is_seen_at_once() {
    let watched = Watched::start(&[]);
    let mut straight = watched.redis.client();
    let mut client = watched.proxy.client();
    assert_eq!(info(&mut client, &[])["role"], "master");
    let master = RedisServer::start();
    let port = master.port().to_string();
    straight.command(&["REPLICAOF", "127.0.0.1", &port]);
    straight.command(&["CONFIG", "SET", "maxmemory-policy", "allkeys-lfu"]);
    let fields = info(&mut client, &["memory", "replication"]);
    assert_eq!(fields["role"], "slave");
    assert_eq!(fields["master_port"], port);
    assert_eq!(fields["maxmemory_policy"], "allkeys-lfu");
}

#[test]
fn while_redis_is_away_what_it_said_last_is_shown_with_its_age() {
    let mut watched = Watched::start(SOON_AWAY);
    assert_eq!(info(&mut watched.watcher, &[])["upstream_info_age_ms"], "0");
    watched.redis.stop_noticed_by(&watched.proxy);
    let watcher = &mut watched.watcher;
    eventually("it grows old", || {
        let fields = info(watcher, &[]);
        fields["upstream_status"] == "down" && fields["upstream_info_age_ms"] != "0"
    });
    let fields = info(watcher, &["all"]);
    assert_eq!(fields["role"], "master");
    assert_eq!(fields["redis_version"], watched.of_redis["redis_version"]);
    assert_eq!(fields["loading"], "0");
    assert!(!info(watcher, &["memory"]).contains_key("role"));
}

#[test]
fn a_redis_that_loads_its_data_is_said_to() {
    const LOADING: &[u8] = b"-LOADING Redis is loading the dataset in memory\r\n";
    let redis = FakeRedis::start_for_all(|request| {
        let is_ping = request[0].eq_ignore_ascii_case(b"PING");
        is_ping.then(|| Answer::Reply(LOADING.to_vec()))
    });
    let proxy = Proxy::start_at(&redis.address(), SOON_AWAY);
    proxy.wait_until_down_for("LOADING");
    let fields = info(&mut proxy.client(), &["persistence"]);
    assert_eq!(fields["loading"], "1");
}

/// Valkey names itself beside the version of Redis that it is compatible with.
#[test]
fn what_another_server_than_redis_says_of_itself_is_shown() {
    const VALKEY: &str = "# Server\r\nredis_version:7.2.4\r\nserver_name:valkey\r\n\
                          valkey_version:8.0.1\r\nserver_mode:standalone\r\n\r\n\
                          # Replication\r\nrole:slave\r\n";
    let redis = FakeRedis::start_for_all(|request| {
        let is_info = request[0].eq_ignore_ascii_case(b"INFO");
        is_info.then(|| Answer::Reply(bulk(VALKEY)))
    });
    let proxy = Proxy::start_at(&redis.address(), &[]);
    let fields = info(&mut proxy.client(), &["server", "replication"]);
    for (name, value) in [
        ("redis_version", "7.2.4"),
        ("server_name", "valkey"),
        ("valkey_version", "8.0.1"),
        ("server_mode", "standalone"),
        ("role", "slave"),
    ] {
        assert_eq!(fields[name], value, "{name}");
    }
}

#[test]
fn a_redis_that_was_never_reached_leaves_the_fields_of_the_proxy() {
    let redis = RedisServer::not_started();
    let proxy = Proxy::start_at(&redis.address(), SOON_AWAY);
    proxy.wait_for_log("redis down");
    let fields: Fields = info(&mut proxy.client(), &[]);
    assert_eq!(fields["connected_clients"], "1");
    assert_eq!(fields["redis_version"], "");
    assert!(!fields.contains_key("maxmemory_policy"));
}

#[test]
fn a_user_that_may_not_ask_for_info_is_told_what_the_greeting_says() {
    let redis = RedisServer::start();
    redis
        .client()
        .command(&["ACL", "SETUSER", "default", "-info"]);
    let proxy = Proxy::start(&redis, &[]);
    let fields = info(&mut proxy.client(), &[]);
    assert_eq!(fields["redis_version"].split('.').count(), 3);
    assert_eq!(fields["redis_mode"], "standalone");
    assert_eq!(fields["role"], "master");
    assert_eq!(fields["connected_clients"], "1");
}

#[test]
fn a_redis_that_takes_one_section_alone_refuses_more() {
    const SYNTAX: &[u8] = b"-ERR syntax error\r\n";
    let redis = FakeRedis::start_for_all(|request| {
        let is_refused = request[0].eq_ignore_ascii_case(b"INFO") && request.len() > 2;
        is_refused.then(|| Answer::Reply(SYNTAX.to_vec()))
    });
    let proxy = Proxy::start_at(&redis.address(), &[]);
    let mut client = proxy.client();
    assert_eq!(client.command(&["INFO", "server", "memory"]), SYNTAX);
    // The proxy's own sections don't count there.
    assert!(info(&mut client, &["server", "cache"]).contains_key("cache_advice"));
}

#[test]
fn info_keeps_its_place_among_the_replies() {
    let watched = Watched::start(&[]);
    let mut client = watched.proxy.client();
    client.send("PING\r\nINFO server\r\nINFO cache\r\nPING\r\n");
    assert_eq!(client.read_reply(), b"+PONG\r\n");
    assert!(text_of(&client.read_reply()).starts_with("# Server"));
    assert!(text_of(&client.read_reply()).starts_with("# Cache"));
    assert_eq!(client.read_reply(), b"+PONG\r\n");
}

#[test]
fn the_table_of_tracked_keys_is_named_when_it_is_full() {
    let mut watched = Watched::start(&[]);
    let mut straight = watched.redis.client();
    straight.command(&["CONFIG", "SET", "tracking-table-max-keys", "10"]);
    let watcher = &mut watched.watcher;
    eventually("keys are reported that did not change", || {
        for key in 0..100 {
            watcher.get(key.to_string());
        }
        let advice = &info(watcher, &["cache"])["cache_advice"];
        advice.contains("of at most 10 keys, so raise tracking-table-max-keys there")
    });
}
