//! What the proxy says of itself: INFO and SLOWLOG, and that each counter moves when its event happens,
//! and only then.

mod common;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use common::{Client, Proxy, RedisServer, bulk, eventually, run_program};

/// Fields of INFO by name; of a field that has parts (`a=1,b=2`), each part as `name.part`.
type Fields = BTreeMap<String, String>;

fn text_of(reply: &[u8]) -> String {
    let text = String::from_utf8(reply.to_vec()).expect("a text");
    let (_, text) = text.split_once("\r\n").expect("a header line");
    text.trim_end().to_owned()
}

fn info(client: &mut Client, sections: &[&str]) -> Fields {
    let reply = client.command(&[&["INFO"], sections].concat());
    let mut fields = Fields::new();
    for line in text_of(&reply).lines() {
        let Some((name, value)) = line.split_once(':') else {
            assert!(line.is_empty() || line.starts_with("# "), "{line:?}");
            continue;
        };
        if value.contains('=') {
            for part in value.split(',') {
                let (part, value) = part.split_once('=').expect("name=value");
                fields.insert(format!("{name}.{part}"), value.to_owned());
            }
        } else {
            fields.insert(name.to_owned(), value.to_owned());
        }
    }
    fields
}

/// What every INFO itself moves, and what measures time or bytes.
fn is_steady(name: &str) -> bool {
    let moving = [
        "_usec",
        "usec_per_call",
        "_seconds",
        "_bytes",
        "uptime_",
        "_info.",
        "used_memory",
        "instantaneous_",
        "total_commands_processed",
        "requests_per_batch",
        "cache_hit_ratio",
        ".usec",
        "_ms",
        "server_time",
        "_human",
    ];
    !moving.iter().any(|part| name.contains(part))
}

/// The steady fields that are not as they were, with both values; a field that was not there was 0.
fn changes(before: &Fields, after: &Fields) -> BTreeMap<String, i64> {
    let number = |fields: &Fields, name: &str| -> i64 {
        fields
            .get(name)
            .map_or(0, |value| value.parse().unwrap_or_default())
    };
    let names = before.keys().chain(after.keys());
    names
        .filter(|name| is_steady(name))
        .map(|name| (name.clone(), number(after, name) - number(before, name)))
        .filter(|&(_, change)| change != 0)
        .collect()
}

/// A proxy whose counters are watched.
struct Watched {
    redis: RedisServer,
    proxy: Proxy,
    watcher: Client,
}

impl Watched {
    fn start(flags: &[&str]) -> Self {
        let redis = RedisServer::start();
        let proxy = Proxy::start(&redis, flags);
        let watcher = proxy.client();
        Self {
            redis,
            proxy,
            watcher,
        }
    }

    /// Runs something; of all counters, these and no others move, by so much.
    #[track_caller]
    fn moves(&mut self, event: impl FnOnce(&mut Self), expected: &[(&str, i64)]) {
        let before = self.info();
        event(self);
        let expected: BTreeMap<String, i64> = expected
            .iter()
            .map(|&(name, change)| (name.to_owned(), change))
            .collect();
        let mut seen = BTreeMap::new();
        let start = Instant::now();
        while seen != expected && start.elapsed() < Duration::from_secs(10) {
            seen = changes(&before, &self.info());
        }
        assert_eq!(seen, expected, "left: what moved, right: what should");
    }

    fn info(&mut self) -> Fields {
        info(&mut self.watcher, &["all"])
    }
}

#[test]
fn looking_for_keys_is_counted() {
    let mut watched = Watched::start(&[]);
    let mut client = watched.proxy.client();
    for key in ["a", "b", "c"] {
        watched.redis.set(key, "1");
    }
    watched.moves(
        |_| assert_eq!(client.get("a"), bulk("1")),
        &[
            ("cache_misses", 1),
            ("cache_misses_new", 1),
            ("keyspace_misses", 1),
            ("cache_inserted", 1),
            ("cache_entries", 1),
            ("db0.keys", 1),
            ("db0.expires", 1),
            ("requests_get.miss", 1),
            ("cmdstat_get.calls", 1),
        ],
    );
    watched.moves(
        |_| assert_eq!(client.get("a"), bulk("1")),
        &[
            ("cache_hits", 1),
            ("keyspace_hits", 1),
            ("requests_get.hit", 1),
            ("cmdstat_get.calls", 1),
        ],
    );
    watched.moves(
        |_| drop(client.command(&["MGET", "a", "b", "c", "none"])),
        &[
            ("cache_hits", 1),
            ("keyspace_hits", 1),
            ("cache_misses", 3),
            ("cache_misses_new", 3),
            ("keyspace_misses", 3),
            ("cache_inserted", 3),
            ("cache_entries", 3),
            ("db0.keys", 3),
            ("db0.expires", 3),
            ("requests_mget.miss", 1),
            ("cmdstat_mget.calls", 1),
        ],
    );
    watched.moves(
        |_| drop(client.command(&["MGET", "a", "b", "c", "none"])),
        &[
            ("cache_hits", 4),
            ("keyspace_hits", 4),
            ("requests_mget.hit", 1),
            ("cmdstat_mget.calls", 1),
        ],
    );
}

#[test]
fn those_who_wait_for_one_fetch_are_counted() {
    let mut watched = Watched::start(&[]);
    watched.redis.set("hot", "1");
    let mut clients = [(); 3].map(|()| watched.proxy.client());
    for client in &mut clients {
        client.command(&["PING"]);
    }
    watched.moves(
        |watched| {
            watched.redis.pause();
            for client in &mut clients {
                client.send(common::request(&["GET", "hot"]));
            }
            eventually("all wait", || {
                watched.info()["requests_get.coalesced"] == "2"
            });
            watched.redis.resume();
            for client in &mut clients {
                assert_eq!(client.read_reply(), bulk("1"));
            }
        },
        &[
            ("cache_misses", 1),
            ("cache_misses_new", 1),
            ("cache_coalesced", 2),
            ("keyspace_misses", 3),
            ("cache_inserted", 1),
            ("cache_entries", 1),
            ("db0.keys", 1),
            ("db0.expires", 1),
            ("requests_get.miss", 1),
            ("requests_get.coalesced", 2),
            ("cmdstat_get.calls", 3),
        ],
    );
}

#[test]
fn why_entries_go_is_counted() {
    let mut watched = Watched::start(&["--capacity", "3"]);
    let mut client = watched.proxy.client();
    let mut straight = watched.redis.client();
    let fill = |client: &mut Client, keys: &[&str]| {
        for key in keys {
            client.get(key);
        }
    };
    fill(&mut client, &["a", "b", "c", "a", "b", "c"]);
    let gone = |reason: &'static str, count: i64| {
        [
            (reason, count),
            ("cache_entries", -count),
            ("db0.keys", -count),
            ("db0.expires", -count),
        ]
    };
    watched.moves(
        |_| drop(straight.command(&["SET", "a", "2"])),
        &[
            &gone("cache_removed_invalidated", 1)[..],
            &[("invalidations_received", 1)],
        ]
        .concat(),
    );
    watched.moves(
        |_| drop(client.command(&["SET", "b", "2"])),
        &[
            &gone("cache_removed_written", 1)[..],
            &[
                ("invalidations_received", 1),
                ("requests_set.forwarded", 1),
                ("cmdstat_set.calls", 1),
            ],
        ]
        .concat(),
    );
    watched.moves(
        |_| drop(straight.command(&["FLUSHALL"])),
        &[
            &gone("cache_removed_flushed", 1)[..],
            &[("flushes_received", 1)],
        ]
        .concat(),
    );
    fill(&mut client, &["a", "b", "c"]);
    watched.moves(
        |_| drop(client.command(&["EVAL", "return 1", "0"])),
        &[
            &gone("cache_removed_written", 3)[..],
            &[("requests_eval.forwarded", 1), ("cmdstat_eval.calls", 1)],
        ]
        .concat(),
    );
    fill(&mut client, &["a", "b", "c"]);
    watched.moves(
        |_| drop(client.get("d")),
        &[
            ("cache_misses", 1),
            ("cache_misses_new", 1),
            ("keyspace_misses", 1),
            ("cache_inserted", 1),
            ("cache_removed_capacity", 1),
            ("cache_removed_unread", 1),
            ("evicted_keys", 1),
            ("requests_get.miss", 1),
            ("cmdstat_get.calls", 1),
        ],
    );
}

#[test]
fn entries_that_expire_or_need_too_much_memory_are_counted() {
    let mut watched = Watched::start(&["--cache_ttl", "300", "--max_memory", "2000"]);
    let mut client = watched.proxy.client();
    watched.redis.set("a", "x".repeat(1000));
    watched.redis.set("b", "x".repeat(1000));
    client.get("a");
    client.get("b");
    eventually("the entry expires", || {
        let fields = watched.info();
        fields["cache_entries"] == "0"
            && fields["cache_removed_expired"] == "1"
            && fields["expired_keys"] == "1"
            && fields["cache_removed_memory"] == "1"
            && fields["evicted_keys"] == "1"
            && fields["cache_removed_unread"] == "2"
    });
}

#[test]
fn errors_are_counted_by_their_kind() {
    let mut watched = Watched::start(&[]);
    let mut client = watched.proxy.client();
    client.command(&["LPUSH", "list", "x"]);
    watched.moves(
        |_| drop(client.command(&["GET"])),
        &[
            ("usage_error_replies", 1),
            ("total_error_replies", 1),
            ("requests_get.refused", 1),
            ("cmdstat_get.rejected_calls", 1),
        ],
    );
    watched.moves(
        |_| drop(client.get("list")),
        &[
            ("redis_error_replies", 1),
            ("total_error_replies", 1),
            ("cache_misses", 1),
            ("cache_misses_new", 1),
            ("keyspace_misses", 1),
            ("requests_get.miss", 1),
            ("cmdstat_get.calls", 1),
            ("cmdstat_get.failed_calls", 1),
        ],
    );
    watched.moves(
        |watched| {
            let mut client = watched.proxy.client();
            client.send("*1\r\n!\r\n");
            client.read_to_end();
        },
        &[
            ("protocol_error_replies", 1),
            ("total_error_replies", 1),
            ("protocol_error_connections", 1),
            ("total_connections_received", 1),
        ],
    );
    watched.moves(
        |watched| {
            watched.redis.stop();
            watched.proxy.wait_for_log("redis down");
            client.command(&["SET", "a", "1"]);
        },
        &[
            ("unreachable_error_replies", 1),
            ("total_error_replies", 1),
            ("requests_set.refused", 1),
            ("cmdstat_set.rejected_calls", 1),
            ("upstream_outages", 1),
        ],
    );
}

#[test]
fn who_is_not_let_in_is_counted() {
    let mut watched = Watched::start(&["--password", "secret"]);
    watched.watcher.command(&["AUTH", "secret"]);
    watched.moves(
        |watched| {
            let mut client = watched.proxy.client();
            client.get("a");
            client.command(&["AUTH", "wrong"]);
            drop(client);
        },
        &[
            ("denied_error_replies", 2),
            ("total_error_replies", 2),
            ("requests_get.refused", 1),
            ("requests_auth.refused", 1),
            ("cmdstat_get.rejected_calls", 1),
            ("cmdstat_auth.rejected_calls", 1),
            ("total_connections_received", 1),
        ],
    );
}

#[test]
fn clients_are_counted() {
    let mut watched = Watched::start(&["--max_clients", "2"]);
    eventually("the harness's client has left", || {
        watched.info()["connected_clients"] == "1"
    });
    let mut client = None;
    watched.moves(
        |watched| {
            let mut new = watched.proxy.client();
            assert_eq!(new.command(&["PING"]), b"+PONG\r\n");
            client = Some(new);
        },
        &[
            ("connected_clients", 1),
            ("total_connections_received", 1),
            ("requests_ping.here", 1),
            ("cmdstat_ping.calls", 1),
        ],
    );
    watched.moves(
        |watched| drop(watched.proxy.client().read_to_end()),
        &[("rejected_connections", 1)],
    );
    let mut client = client.expect("it was connected");
    watched.moves(
        |_| drop(client.command(&["MULTI"])),
        &[
            ("clients_on_own_connection", 1),
            ("requests_multi.own", 1),
            ("cmdstat_multi.calls", 1),
        ],
    );
    client.command(&["DISCARD"]);
    watched.moves(
        |_| client.send(common::request(&["BLPOP", "none", "0"])),
        &[
            ("blocked_clients", 1),
            ("requests_blpop.own", 1),
            ("cmdstat_blpop.calls", 1),
        ],
    );
    watched.moves(
        |_| drop(client),
        &[
            ("blocked_clients", -1),
            ("clients_on_own_connection", -1),
            ("connected_clients", -1),
        ],
    );
}

#[test]
fn a_client_that_does_not_read_is_counted_as_slowed() {
    let mut watched = Watched::start(&[]);
    watched.redis.set("large", "x".repeat(600_000));
    let mut client = watched.proxy.client();
    client.send(common::request(&["GET", "large"]).repeat(40));
    eventually("it is slowed", || watched.info()["slowed_clients"] != "0");
    for _ in 0..40 {
        client.read_reply();
    }
}

#[test]
fn outages_are_timed() {
    let mut watched = Watched::start(&[]);
    watched.watcher.get("a");
    watched.redis.stop();
    eventually("it is down", || {
        let fields = watched.info();
        fields["upstream_status"] == "down"
            && fields["upstream_error"].contains("can't be reached")
            && fields["upstream_away_seconds"] != "0.000"
    });
    watched.redis.start_again();
    eventually("it is up", || watched.info()["upstream_status"] == "up");
    let fields = watched.info();
    assert_eq!(fields["upstream_outages"], "1");
    assert_eq!(fields["upstream_reconnects"], "1");
    assert_eq!(fields["upstream_error"], "");
    assert_eq!(fields["cache_removed_reconnected"], "1");
    assert_eq!(
        fields["upstream_away_seconds"],
        watched.info()["upstream_away_seconds"]
    );
}

#[test]
fn the_state_of_tracking_is_told() {
    let mut watched = Watched::start(&[]);
    assert_eq!(watched.info()["tracking"], "on");
    let mut watched = Watched::start(&["--tracking", "off"]);
    assert_eq!(watched.info()["tracking"], "off");
    let redis = RedisServer::start();
    redis
        .client()
        .command(&["ACL", "SETUSER", "default", "-client|tracking"]);
    let proxy = Proxy::start(&redis, &[]);
    let fields = info(&mut proxy.client(), &["upstream"]);
    assert_eq!(fields["tracking"], "refused");
    assert!(
        fields["tracking_refused"].starts_with("NOPERM"),
        "{fields:?}"
    );
}

#[test]
fn sections_are_chosen_as_in_redis() {
    let watched = Watched::start(&[]);
    let mut client = watched.proxy.client();
    let mut titles = |sections: &[&str]| -> Vec<String> {
        let reply = client.command(&[&["INFO"], sections].concat());
        text_of(&reply)
            .lines()
            .filter_map(|line| line.strip_prefix("# ").map(str::to_owned))
            .collect()
    };
    let usual = titles(&[]);
    assert_eq!(
        usual,
        [
            "Server",
            "Clients",
            "Memory",
            "Stats",
            "Cache",
            "Upstream",
            "Replication",
            "Keyspace"
        ]
    );
    assert_eq!(titles(&["default"]), usual);
    assert_eq!(titles(&["CACHE"]), ["Cache"]);
    assert_eq!(titles(&["cache", "server"]), ["Server", "Cache"]);
    assert!(titles(&["all"]).contains(&"Commandstats".to_owned()));
    assert_eq!(titles(&["all"]), titles(&["everything"]));
    assert_eq!(titles(&["none such"]), Vec::<String>::new());
}

#[test]
fn resp3_gets_it_as_a_verbatim_string() {
    let watched = Watched::start(&[]);
    let mut client = watched.proxy.client();
    client.command(&["HELLO", "3"]);
    let reply = client.command(&["INFO", "server"]);
    assert!(reply.starts_with(b"="), "{}", reply.escape_ascii());
    assert!(text_of(&reply).starts_with("txt:# Server"));
}

#[test]
fn the_info_of_redis_stays_within_reach() {
    let watched = Watched::start(&[]);
    let mut client = watched.proxy.client();
    let of_redis = text_of(&client.command(&["UPSTREAM", "INFO", "server"]));
    assert!(of_redis.contains(&format!("tcp_port:{}", watched.redis.port())));
    assert_eq!(client.command(&["UPSTREAM", "SLOWLOG", "LEN"]), b":0\r\n");
    let of_proxy = info(&mut client, &["server"]);
    assert_eq!(of_proxy["tcp_port"], watched.proxy.port());
    let version = of_redis
        .lines()
        .find_map(|line| line.strip_prefix("redis_version:"));
    assert_eq!(Some(of_proxy["redis_version"].as_str()), version);
    // Within a transaction, all is Redis's.
    client.command(&["MULTI"]);
    client.command(&["INFO", "server"]);
    let reply = String::from_utf8_lossy(&client.command(&["EXEC"])).into_owned();
    assert!(reply.contains("redis_git_sha1"));
}

#[test]
fn redis_cli_shows_its_statistics() {
    let watched = Watched::start(&[]);
    let mut client = watched.proxy.client();
    for key in ["a", "b", "c"] {
        client.get(key);
    }
    let stat = format!(
        "timeout 3 redis-cli -p {} --stat -i 1",
        watched.proxy.port()
    );
    let output = run_program("script", &["-qc", &stat, "/dev/null"], "");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let line = text.lines().find(|line| line.starts_with("3 "));
    assert!(line.is_some(), "no line for 3 keys: {text}");
}

// The slow log

/// Has Redis take long over whatever it is asked.
fn slowed_down(watched: &Watched, milliseconds: u64) {
    let reply = watched
        .redis
        .client()
        .command(&["CLIENT", "PAUSE", &milliseconds.to_string()]);
    assert_eq!(reply, b"+OK\r\n");
}

#[test]
fn slow_requests_are_logged_with_the_part_that_redis_took() {
    let watched = Watched::start(&["--slowlog_slower_than", "50"]);
    let mut client = watched.proxy.client();
    client.command(&["CLIENT", "SETNAME", "worker"]);
    client.get("quick");
    assert_eq!(client.command(&["SLOWLOG", "LEN"]), b":0\r\n");
    slowed_down(&watched, 200);
    client.get("slow");
    slowed_down(&watched, 200);
    client.command(&["MGET", "quick", "slow too", "and this"]);
    slowed_down(&watched, 200);
    client.command(&["SET", "key", "value"]);
    assert_eq!(client.command(&["SLOWLOG", "LEN"]), b":3\r\n");
    let reply = client.command(&["SLOWLOG", "GET"]);
    let reply = String::from_utf8(reply).expect("a text");
    let lines: Vec<&str> = reply.split("\r\n").collect();
    assert_eq!(lines[..3], ["*3", "*7", ":2"], "{reply}");
    assert!(reply.contains("*3\r\n$3\r\nSET\r\n$3\r\nkey\r\n$5\r\nvalue\r\n"));
    assert!(
        reply.contains("*4\r\n$4\r\nMGET\r\n$5\r\nquick\r\n$8\r\nslow too\r\n$8\r\nand this\r\n")
    );
    assert!(reply.contains("*2\r\n$3\r\nGET\r\n$4\r\nslow\r\n"));
    assert!(reply.contains("$6\r\nworker\r\n:"));
    let number = |line: &str| {
        line.trim_start_matches(':')
            .parse::<u64>()
            .expect("a number")
    };
    let took = number(lines[4]);
    let redis = number(
        lines[lines
            .iter()
            .position(|line| *line == "worker")
            .expect("the name")
            + 1],
    );
    assert!((50_000..=took).contains(&redis), "{redis} of {took}");
    let one = client.command(&["SLOWLOG", "GET", "1"]);
    assert!(one.starts_with(b"*1\r\n"));
    assert!(
        client
            .command(&["SLOWLOG", "GET", "-1"])
            .starts_with(b"*3\r\n")
    );
    assert_eq!(
        client.command(&["SLOWLOG", "GET", "-2"]),
        b"-ERR count should be greater than or equal to -1\r\n"
    );
    assert_eq!(client.command(&["SLOWLOG", "RESET"]), b"+OK\r\n");
    assert_eq!(client.command(&["SLOWLOG", "LEN"]), b":0\r\n");
}

#[test]
fn no_password_gets_into_the_slow_log() {
    let watched = Watched::start(&["--slowlog_slower_than", "0"]);
    let mut client = watched.proxy.client();
    client.command(&["CONFIG", "SET", "masterauth", "hunter2"]);
    client.command(&["ACL", "SETUSER", "app", "on", ">hunter2"]);
    let log = client.command(&["SLOWLOG", "GET", "-1"]);
    let log = String::from_utf8(log).expect("a text");
    assert!(
        log.contains("CONFIG") && log.contains("(redacted)"),
        "{log}"
    );
    assert!(!log.contains("hunter2"), "{log}");
}

// The health check

#[test]
fn a_redis_that_hangs_is_noticed_before_a_client_asks() {
    let watched = Watched::start(&["--redis_timeout", "300"]);
    watched.redis.pause();
    // The watcher is connected, and asks for nothing.
    watched.proxy.wait_for_log("redis down");
    watched.redis.resume();
    watched.proxy.wait_for_logs("redis up", 2);
}

#[test]
fn redis_is_left_alone_when_nobody_would_miss_it() {
    let Watched {
        redis,
        proxy,
        watcher,
    } = Watched::start(&[]);
    let pings = || redis.calls("ping");
    let before = pings();
    eventually("it is asked every second", || pings() >= before + 2);
    drop(watcher);
    eventually("it is asked no more", || {
        let before = pings();
        // There is nothing to wait for but the time in which more would come.
        std::thread::sleep(Duration::from_millis(2500));
        pings() == before
    });
    drop(proxy);
}
