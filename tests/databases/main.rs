//! Every database is cached: clients select one, and are served by links to it as in the first.

#[path = "../common/mod.rs"]
mod common;

mod away;
mod changes;
mod refused;

use common::{Client, Proxy, RedisServer, assert_same, bulk, eventually};

const OK: &[u8] = b"+OK\r\n";
const NIL: &[u8] = b"$-1\r\n";

/// Sends a command, given as words, and asserts what it answers.
#[track_caller]
fn assert_answers(client: &mut Client, command: &str, expected: impl AsRef<[u8]>) {
    let arguments: Vec<_> = command.split(' ').collect();
    assert_same(&client.command(&arguments), expected.as_ref(), &command);
}

/// A client in a database.
fn client_in(proxy: &Proxy, database: u32) -> Client {
    select(proxy.client(), database)
}

/// Has the proxy know that Redis has these databases. The first client that selects one has a dedicated connection for that.
fn introduce(redis: &RedisServer, proxy: &Proxy, databases: &[u32]) {
    for database in databases {
        assert_answers(
            &mut client_in(proxy, *database),
            "EXISTS introduced",
            ":0\r\n",
        );
    }
    eventually("they have left", || dedicated(redis) == 0);
}

/// The same, straight at Redis.
fn straight_in(redis: &RedisServer, database: u32) -> Client {
    select(redis.client(), database)
}

fn select(mut client: Client, database: u32) -> Client {
    assert_answers(&mut client, &format!("SELECT {database}"), OK);
    client
}

/// How many dedicated connections there are: the proxy's own have its name.
fn dedicated(redis: &RedisServer) -> usize {
    let list = redis.client().command(&["CLIENT", "LIST"]);
    let list = String::from_utf8_lossy(&list).into_owned();
    let lines = list.lines().filter(|line| line.starts_with("id="));
    let others = lines
        .filter(|line| !line.contains(" name=redis-proxy ") && !line.contains(" cmd=client|list "));
    others.count()
}

/// The value of a field of `INFO`.
fn field(client: &mut Client, section: &str, name: &str) -> Option<String> {
    let info = client.command(&["INFO", section]);
    let info = String::from_utf8_lossy(&info).into_owned();
    let start = format!("{name}:");
    let mut lines = info.lines();
    lines.find_map(|line| Some(line.strip_prefix(&start)?.to_owned()))
}

#[test]
fn a_read_that_repeats_in_any_database_is_a_hit_and_takes_no_dedicated_connection() {
    let redis = RedisServer::start();
    let proxy = Proxy::start(&redis, &["--dedicated_idle", "0"]);
    introduce(&redis, &proxy, &[1, 3, 15]);
    let databases = [0, 1, 3, 15];
    // Before anything is read: an invalidation names no database.
    for database in databases {
        let mut straight = straight_in(&redis, database);
        assert_answers(&mut straight, &format!("SET k {database}"), OK);
        assert_answers(&mut straight, &format!("HSET h f h{database}"), ":1\r\n");
    }
    for database in databases {
        for protocol in ["2", "3"] {
            let mut client = client_in(&proxy, database);
            client.command(&["HELLO", protocol]);
            assert_answers(&mut client, "GET k", bulk(database.to_string()));
            assert_answers(&mut client, "HGET h f", bulk(format!("h{database}")));
            let calls = ["get", "hget", "select"].map(|command| redis.calls(command));
            let mut another = client_in(&proxy, database);
            another.command(&["HELLO", protocol]);
            for client in [&mut client, &mut another] {
                for _ in 0..3 {
                    assert_answers(client, "GET k", bulk(database.to_string()));
                    assert_answers(client, "HGET h f", bulk(format!("h{database}")));
                }
                client.send("GET k\r\nMGET k k\r\n");
                client.read_replies(2);
            }
            let now = ["get", "hget", "select"].map(|command| redis.calls(command));
            assert_eq!(now, calls, "hits in {database}");
        }
    }
    // A link that is being opened has no name yet.
    eventually("there is none", || dedicated(&redis) == 0);
}

#[test]
fn the_keys_of_one_name_are_different_keys() {
    let redis = RedisServer::start();
    let proxy = Proxy::start(&redis, &["--redis_database", "2"]);
    // One of them has no low number.
    let mut clients = [2, 0, 1, 9].map(|database| client_in(&proxy, database));
    for (at, client) in clients.iter_mut().enumerate() {
        assert_answers(client, "GET k", NIL);
        assert_answers(client, &format!("SET k {at}"), OK);
    }
    for _ in 0..3 {
        for (at, client) in clients.iter_mut().enumerate() {
            assert_answers(client, "GET k", bulk(at.to_string()));
            assert_answers(
                client,
                "MGET k k",
                format!("*2\r\n$1\r\n{at}\r\n$1\r\n{at}\r\n"),
            );
        }
    }
    let mut wanderer = proxy.client();
    for (at, database) in [(1, 0), (3, 9), (0, 2), (2, 1)] {
        assert_answers(&mut wanderer, &format!("SELECT {database}"), OK);
        assert_answers(&mut wanderer, "GET k", bulk(at.to_string()));
    }
}

#[test]
fn a_pipeline_through_several_databases_is_executed_in_order() {
    let redis = RedisServer::start();
    let proxy = Proxy::start(&redis, &["--dedicated_idle", "0"]);
    introduce(&redis, &proxy, &[1, 2]);
    let mut client = proxy.client();
    for round in 0..100 {
        client.send(format!(
            "SELECT 0\r\nSET k {round}\r\nCOPY k k DB 1 REPLACE\r\nSELECT 1\r\nGET k\r\nINCR k\r\nMOVE k 2\r\nGET k\r\n\
             SELECT 2\r\nGET k\r\nDEL k\r\nSELECT 0\r\nGET k\r\n"
        ));
        let (value, next) = (round.to_string(), (round + 1).to_string());
        let expected = [
            OK,
            OK,
            b":1\r\n",
            OK,
            &bulk(&value),
            format!(":{next}\r\n").as_bytes(),
            b":1\r\n",
            NIL,
            OK,
            &bulk(&next),
            b":1\r\n",
            OK,
            &bulk(&value),
        ]
        .concat();
        assert_same(&client.read_replies(13), &expected, &round);
    }
    assert_eq!(dedicated(&redis), 0);
}

#[test]
fn who_is_where_is_shown_and_a_reset_leads_back() {
    let redis = RedisServer::start();
    let proxy = Proxy::start(&redis, &["--redis_database", "4"]);
    let mut client = proxy.client();
    let shown = |client: &mut Client, line: &str| {
        let reply = client.command(&line.split(' ').collect::<Vec<_>>());
        let reply = String::from_utf8_lossy(&reply).into_owned();
        let databases = reply
            .split(' ')
            .filter_map(|field| field.strip_prefix("db="));
        databases.map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(shown(&mut client, "CLIENT INFO"), ["4"]);
    assert_answers(&mut client, "SELECT 7", OK);
    assert_eq!(shown(&mut client, "CLIENT INFO"), ["7"]);
    client.command(&["HELLO", "3"]);
    assert_eq!(shown(&mut client, "CLIENT INFO"), ["7"]);
    assert_eq!(shown(&mut proxy.client(), "CLIENT LIST"), ["7", "4"]);
    // On a dedicated connection, Redis says so.
    assert_answers(&mut client, "WATCH k", OK);
    assert_eq!(shown(&mut client, "CLIENT INFO"), ["7"]);
    assert_answers(&mut client, "SELECT 8", OK);
    assert_answers(&mut client, "UNWATCH", OK);
    assert_answers(&mut client, "GET k", "_\r\n");
    assert_eq!(shown(&mut client, "CLIENT INFO"), ["8"]);
    assert_answers(&mut client, "RESET", "+RESET\r\n");
    assert_eq!(shown(&mut client, "CLIENT INFO"), ["4"]);
}

#[test]
fn a_dedicated_connection_is_in_the_database_of_its_client() {
    let redis = RedisServer::start();
    let proxy = Proxy::start(&redis, &[]);
    let mut client = proxy.client();
    for database in [3, 0, 5, 5, 1] {
        assert_answers(&mut client, &format!("SELECT {database}"), OK);
        for (line, reply) in [
            ("WATCH k", OK),
            ("MULTI", OK),
            ("SET k mine", b"+QUEUED\r\n"),
        ] {
            assert_answers(&mut client, line, reply);
        }
        assert_answers(&mut client, "EXEC", "*1\r\n+OK\r\n");
        assert_answers(&mut client, "GET k", bulk("mine"));
        assert_answers(&mut straight_in(&redis, database), "GETDEL k", bulk("mine"));
        eventually("the cache hears of it", || client.get("k") == NIL);
    }
    // One that watches in a database, and then leaves it.
    let mut client = client_in(&proxy, 6);
    assert_answers(&mut client, "BLPOP none 0.01", "*-1\r\n");
    client.send("MULTI\r\nSELECT 7\r\nSET k seven\r\nEXEC\r\nGET k\r\n");
    let expected = [
        OK,
        b"+QUEUED\r\n+QUEUED\r\n*2\r\n+OK\r\n+OK\r\n",
        &bulk("seven"),
    ]
    .concat();
    assert_same(
        &client.read_replies(5),
        &expected,
        &"SELECT in a transaction",
    );
    assert_answers(&mut straight_in(&redis, 7), "GET k", bulk("seven"));
    // A transaction that comes as a whole goes over the link.
    let mut client = client_in(&proxy, 8);
    client.send("MULTI\r\nSET k eight\r\nGET k\r\nEXEC\r\n");
    let expected = [OK, b"+QUEUED\r\n+QUEUED\r\n*2\r\n+OK\r\n", &bulk("eight")].concat();
    assert_same(&client.read_replies(4), &expected, &"a whole transaction");
    assert_answers(&mut straight_in(&redis, 8), "GET k", bulk("eight"));
}

#[test]
fn what_is_not_to_be_cached_has_a_dedicated_connection() {
    let redis = RedisServer::start();
    for (flag, cached, others) in [
        ("all", &[1, 2, 9, 15][..], &[][..]),
        ("none", &[], &[1, 2]),
        ("1,8-15", &[1, 8, 15], &[2, 7]),
    ] {
        let flags = ["--cached_databases", flag, "--dedicated_idle", "0"];
        let proxy = Proxy::start(&redis, &flags);
        introduce(&redis, &proxy, cached);
        let before = dedicated(&redis);
        let mut clients = Vec::new();
        for database in cached {
            clients.push(client_in(&proxy, *database));
            assert_eq!(dedicated(&redis), before, "{flag}: {database}");
        }
        for (count, database) in others.iter().enumerate() {
            let mut client = client_in(&proxy, *database);
            assert_eq!(dedicated(&redis), before + count + 1, "{flag}: {database}");
            let calls = redis.calls("get");
            for _ in 0..3 {
                assert_answers(&mut client, "GET none", NIL);
            }
            assert_eq!(redis.calls("get"), calls + 3);
            clients.push(client);
        }
    }
}

#[test]
fn more_databases_than_have_links_are_served_all_the_same() {
    let redis = RedisServer::start_with(&["--databases", "1000"]);
    let proxy = Proxy::start(&redis, &[]);
    let mut client = proxy.client();
    for database in (0..1000).step_by(9) {
        assert_answers(&mut client, &format!("SELECT {database}"), OK);
        assert_answers(&mut client, &format!("SET k {database}"), OK);
        assert_answers(&mut client, "GET k", bulk(database.to_string()));
    }
    for database in (0..1000).step_by(9) {
        assert_answers(&mut client, &format!("SELECT {database}"), OK);
        assert_answers(&mut client, "GET k", bulk(database.to_string()));
        assert_answers(
            &mut straight_in(&redis, database),
            "GET k",
            bulk(database.to_string()),
        );
    }
    let clients = redis.client().command(&["INFO", "clients"]);
    let clients = String::from_utf8_lossy(&clients).into_owned();
    let mut lines = clients.lines();
    let count = lines.find_map(|line| line.strip_prefix("connected_clients:")?.parse().ok());
    let count: usize = count.expect("a count");
    assert!(count < 50, "{count} connections");
}

#[test]
fn the_databases_of_redis_and_of_the_cache_are_shown() {
    let redis = RedisServer::start();
    let proxy = Proxy::start(&redis, &[]);
    let mut first = proxy.client();
    let mut second = client_in(&proxy, 2);
    // What is written in one database leaves the cache in the other.
    for (client, keys) in [(&mut first, 0..3), (&mut second, 3..5)] {
        for key in keys {
            assert_answers(client, &format!("SET key:{key} value"), OK);
            assert_answers(client, &format!("GET key:{key}"), bulk("value"));
        }
    }
    let keyspace = field(&mut second, "keyspace", "db2").expect("Redis's own line");
    assert!(keyspace.starts_with("keys=2,"), "{keyspace}");
    for (name, entries) in [("cache_db0", 3), ("cache_db2", 2)] {
        let line = field(&mut first, "cache", name).expect(name);
        let bytes = entries * (5 + 5 + 92);
        assert_eq!(line, format!("entries={entries},bytes={bytes}"));
    }
    assert_eq!(field(&mut first, "cache", "cache_db1"), None);
}
