//! Each counter of INFO moves when its event happens, and only then.

use crate::common::{Client, SOON_AWAY, bulk, eventually, request};
use crate::{Watched, info};

#[test]
fn looking_for_keys_is_counted() {
    let mut watched = Watched::start(&[]);
    let mut client = watched.client();
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
            ("requests_get.miss", 1),
        ],
    );
    watched.moves(
        |_| assert_eq!(client.get("a"), bulk("1")),
        &[
            ("cache_hits", 1),
            ("keyspace_hits", 1),
            ("requests_get.hit", 1),
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
            ("requests_mget.miss", 1),
        ],
    );
    watched.moves(
        |_| drop(client.command(&["MGET", "a", "b", "c", "none"])),
        &[
            ("cache_hits", 4),
            ("keyspace_hits", 4),
            ("requests_mget.hit", 1),
        ],
    );
}

#[test]
fn those_who_wait_for_one_fetch_are_counted() {
    let mut watched = Watched::start(&[]);
    watched.redis.set("hot", "1");
    let mut clients = [(); 3].map(|()| watched.client());
    watched.moves(
        |watched| {
            watched.redis.pause();
            for client in &mut clients {
                client.send(request(&["GET", "hot"]));
            }
            // For the cache alone, Redis is not asked.
            eventually("all wait", || {
                let fields = info(&mut watched.watcher, &["cache"]);
                fields["requests_get.coalesced"] == "2"
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
            ("requests_get.miss", 1),
            ("requests_get.coalesced", 2),
        ],
    );
}

#[test]
fn why_entries_go_is_counted() {
    let mut watched = Watched::start(&["--capacity", "3", "--refetch", "off"]);
    let mut client = watched.client();
    let mut straight = watched.redis.client();
    let fill = |client: &mut Client, keys: &[&str]| {
        for key in keys {
            client.get(key);
        }
    };
    fill(&mut client, &["a", "b", "c", "a", "b", "c"]);
    let gone = |reason: &'static str, count: i64| [(reason, count), ("cache_entries", -count)];
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
            &[("invalidations_received", 1), ("requests_set.forwarded", 1)],
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
        |_| drop(client.command(&["REPLICAOF", "NO", "ONE"])),
        &[
            &gone("cache_removed_written", 3)[..],
            &[("requests_replicaof.forwarded", 1)],
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
            ("requests_get.miss", 1),
        ],
    );
}

#[test]
fn values_that_are_fetched_anew_are_counted() {
    let mut watched = Watched::start(&[]);
    let mut client = watched.client();
    let mut straight = watched.redis.client();
    client.get("a");
    client.get("a");
    watched.moves(
        |_| drop(straight.command(&["SET", "a", "2"])),
        &[
            ("invalidations_received", 1),
            ("refetches", 1),
            ("cache_removed_invalidated", 1),
            ("cache_inserted", 1),
        ],
    );
}

#[test]
fn entries_that_expire_or_need_too_much_memory_are_counted() {
    let mut watched = Watched::start(&["--cache_ttl", "2000", "--max_memory", "2000"]);
    let mut client = watched.client();
    watched.redis.set("a", "x".repeat(1000));
    watched.redis.set("b", "x".repeat(1000));
    client.get("a");
    client.get("b");
    eventually("the entry expires", || {
        let fields = watched.info();
        fields["cache_entries"] == "0"
            && fields["cache_removed_expired"] == "1"
            && fields["cache_removed_memory"] == "1"
            && fields["cache_removed_unread"] == "2"
    });
}

#[test]
fn errors_are_counted_by_their_kind() {
    let mut watched = Watched::start(SOON_AWAY);
    let mut client = watched.client();
    client.command(&["LPUSH", "list", "x"]);
    watched.moves(
        |_| drop(client.command(&["GET"])),
        &[
            ("usage_error_replies", 1),
            ("total_error_replies", 1),
            ("requests_get.refused", 1),
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
        ],
    );
    // On a dedicated connection.
    client.command(&["SET", "text", "x"]);
    client.command(&["WATCH", "text"]);
    watched.moves(
        |_| drop(client.command(&["BLPOP", "text", "1"])),
        &[
            ("redis_error_replies", 1),
            ("total_error_replies", 1),
            ("requests_blpop.dedicated", 1),
        ],
    );
    client.command(&["RESET"]);
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
            eventually("the loop has heard of it", || {
                watched.info()["upstream_status"] == "down"
            });
            client.send(request(&["SET", "a", "1"]));
            client.assert_closed();
            // Else it would be counted for another second.
            drop(client);
        },
        &[
            ("unreachable_error_replies", 1),
            ("total_error_replies", 1),
            ("requests_set.refused", 1),
            ("upstream_outages", 1),
            ("connected_clients", -1),
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
            ("total_connections_received", 1),
        ],
    );
}

#[test]
fn clients_are_counted() {
    let mut watched = Watched::start(&["--max_clients", "2"]);
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
            ("clients_on_dedicated_connection", 1),
            ("requests_multi.dedicated", 1),
        ],
    );
    client.command(&["DISCARD"]);
    watched.moves(
        |_| client.send(request(&["BLPOP", "none", "0"])),
        &[("blocked_clients", 1), ("requests_blpop.dedicated", 1)],
    );
    watched.moves(
        |_| drop(client),
        &[
            ("blocked_clients", -1),
            ("clients_on_dedicated_connection", -1),
            ("connected_clients", -1),
        ],
    );
}

#[test]
fn a_client_that_does_not_read_is_counted_as_slowed() {
    let mut watched = Watched::start(&[]);
    watched.redis.set("large", "x".repeat(600_000));
    let mut client = watched.client();
    client.send(request(&["GET", "large"]).repeat(40));
    eventually("it is slowed", || watched.info()["slowed_clients"] != "0");
    for _ in 0..40 {
        client.read_reply();
    }
}

#[test]
fn outages_are_timed() {
    let mut watched = Watched::start(SOON_AWAY);
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
fn reads_are_told_apart_by_why_the_cache_did_not_answer_them() {
    let watched = Watched::start(&[]);
    watched.redis.set("a", "1");
    let mut client = watched.client();
    let line = |command: &str| {
        let info = crate::text_of(&watched.client().command(&["INFO", "commandcache"]));
        let start = format!("cmdcache_{command}:");
        let line = info
            .lines()
            .find_map(|line| line.strip_prefix(&start).map(str::to_owned));
        line.unwrap_or_default()
    };
    assert_eq!(line("get"), "");
    client.get("a");
    client.get("a");
    assert_eq!(line("get"), "reads=2,hits=1,hit_ratio=0.5000,new=1");
    // A transaction that comes as a whole, and one that does not.
    client.send(
        [
            request(&["MULTI"]),
            request(&["GET", "a"]),
            request(&["EXEC"]),
        ]
        .concat(),
    );
    (0..3).for_each(|_| drop(client.read_reply()));
    for command in [
        &["WATCH", "b"][..],
        &["GET", "a"],
        &["MULTI"],
        &["GET", "a"],
        &["GET", "a"],
        &["EXEC"],
    ] {
        client.command(command);
    }
    client.command(&["EXISTS", "a", "b"]);
    client.command(&["EXISTS", "a"]);
    assert_eq!(
        line("get"),
        "reads=6,hits=1,hit_ratio=0.1667,dedicated_multi=2,new=1,transaction=1,dedicated_watch=1"
    );
    assert_eq!(
        line("exists"),
        "reads=2,hits=0,hit_ratio=0.0000,new=1,several_keys=1"
    );
    assert_eq!(line("multi"), "", "it reads nothing");
    client.command(&["CONFIG", "RESETSTAT"]);
    client.get("a");
    assert_eq!(line("get"), "reads=1,hits=1,hit_ratio=1.0000");
}
