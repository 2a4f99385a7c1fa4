//! Commands that concern all nodes.

use std::collections::BTreeSet;

use crate::common::cluster::{Cluster, MASTERS};
use crate::common::wire::{Protocol, Reply, Wire};
use crate::common::{Client, assert_same, bulk, eventually_get};

/// Keys of all masters, set at these.
fn filled(cluster: &Cluster, count: usize) -> BTreeSet<String> {
    let keys = (0..MASTERS).flat_map(|master| cluster.keys_at(master, count));
    let keys: BTreeSet<String> = keys.collect();
    for key in &keys {
        cluster.set(key, "value");
    }
    keys
}

/// The texts in an array.
fn texts(reply: Reply) -> Vec<String> {
    let Reply::Array(elements) = reply else {
        panic!("{reply:?}");
    };
    let text = |element| match element {
        Reply::Text(text) => text,
        other => panic!("{other:?}"),
    };
    elements.into_iter().map(text).collect()
}

/// All that a scan finds.
fn scan(wire: &mut Wire, options: &str) -> Vec<String> {
    let mut cursor = "0".to_owned();
    let mut found = Vec::new();
    loop {
        let reply = wire
            .command(&format!("SCAN {cursor}{options}"))
            .expect("a reply");
        let Reply::Array(mut parts) = reply else {
            panic!("{reply:?}");
        };
        found.extend(texts(parts.remove(1)));
        let Reply::Text(next) = parts.remove(0) else {
            panic!("a cursor");
        };
        next.parse::<u64>().expect("a cursor is a number");
        if next == "0" {
            return found;
        }
        cursor = next;
    }
}

#[test]
fn keys_are_counted_listed_and_scanned_over_all_nodes() {
    let cluster = Cluster::start();
    let keys = filled(&cluster, 100);
    let proxy = cluster.proxy(&[]);
    let mut client = proxy.client();
    for protocol in [Protocol::Resp2, Protocol::Resp3] {
        let mut wire = Wire::new(proxy.address(), protocol);
        let count = wire.command("DBSIZE").expect("a reply");
        assert_eq!(count, Reply::Number(keys.len() as i64));
        let listed = texts(wire.command("KEYS *").expect("a reply"));
        assert_eq!(listed.len(), keys.len());
        assert_eq!(listed.into_iter().collect::<BTreeSet<_>>(), keys);
        for options in [
            "",
            " COUNT 7",
            " COUNT 1000",
            " MATCH key:* COUNT 50",
            " TYPE string",
        ] {
            let found: BTreeSet<String> = scan(&mut wire, options).into_iter().collect();
            assert_eq!(found, keys, "SCAN{options}");
        }
        assert!(scan(&mut wire, " TYPE list").is_empty());
        assert!(scan(&mut wire, " MATCH nothing*").is_empty());
        let random = wire.command("RANDOMKEY").expect("a reply");
        let Reply::Text(random) = random else {
            panic!("{random:?}");
        };
        assert!(keys.contains(&random), "{random}");
    }
    assert_same(&client.command(&["KEYS", "nothing*"]), b"*0\r\n", &"KEYS");
}

#[test]
fn a_flush_empties_all_nodes_and_the_cache() {
    let cluster = Cluster::start();
    let proxy = cluster.proxy(&[]);
    let mut client = proxy.client();
    for flush in [
        &["FLUSHALL"][..],
        &["FLUSHDB"],
        &["FLUSHALL", "ASYNC"],
        &["FLUSHDB", "SYNC"],
    ] {
        let keys = filled(&cluster, 10);
        for key in &keys {
            // That it was missing may still be cached, from the round before.
            eventually_get(&mut client, key, &bulk("value"));
        }
        assert_same(&client.command(flush), b"+OK\r\n", &flush);
        for key in &keys {
            assert_same(&client.get(key), b"$-1\r\n", key);
        }
        assert_same(&client.command(&["DBSIZE"]), b":0\r\n", &"DBSIZE");
        assert_same(&client.command(&["RANDOMKEY"]), b"$-1\r\n", &"RANDOMKEY");
        for master in 0..MASTERS {
            assert_eq!(cluster.node(master).ask("DBSIZE"), ":0\r\n");
        }
    }
}

#[test]
fn random_key_finds_the_only_key_at_whichever_node_it_is() {
    let cluster = Cluster::start();
    let proxy = cluster.proxy(&[]);
    let mut client = proxy.client();
    for master in 0..MASTERS {
        let key = cluster.tag_at(master);
        cluster.set(&key, "value");
        for _ in 0..5 {
            assert_same(&client.command(&["RANDOMKEY"]), &bulk(&key), &key);
        }
        assert_same(&client.command(&["DEL", &key]), b":1\r\n", &key);
    }
}

/// The digest in the reply to `SCRIPT LOAD`.
fn load(client: &mut Client, script: &str) -> String {
    let reply = client.command(&["SCRIPT", "LOAD", script]);
    String::from_utf8(reply[5..45].to_vec()).expect("a digest")
}

#[test]
fn scripts_and_functions_are_loaded_listed_and_flushed_at_all_masters() {
    let cluster = Cluster::start();
    let proxy = cluster.proxy(&[]);
    let mut client = proxy.client();
    let sha = load(&mut client, "return 1");
    // One that only a single node knows does not exist for a client that may need any.
    let lonely = load(&mut cluster.node(1).client(), "return 2");
    for master in 0..MASTERS {
        assert_eq!(
            cluster.node(master).ask(&format!("SCRIPT EXISTS {sha}")),
            "*1\r\n:1\r\n"
        );
    }
    let exists = ["SCRIPT", "EXISTS", &sha, &lonely, "none"];
    assert_same(
        &client.command(&exists),
        b"*3\r\n:1\r\n:0\r\n:0\r\n",
        &"SCRIPT EXISTS",
    );
    assert_same(
        &client.command(&["SCRIPT", "FLUSH"]),
        b"+OK\r\n",
        &"SCRIPT FLUSH",
    );
    assert_same(
        &client.command(&exists),
        b"*3\r\n:0\r\n:0\r\n:0\r\n",
        &"SCRIPT EXISTS",
    );

    let library = "#!lua name=shelf\nredis.register_function('put', function(keys, args) \
                   return redis.call('set', keys[1], args[1]) end)";
    assert_same(
        &client.command(&["FUNCTION", "LOAD", library]),
        &bulk("shelf"),
        &"FUNCTION LOAD",
    );
    let again = client.command(&["FUNCTION", "LOAD", library]);
    assert!(
        again.starts_with(b"-ERR Library 'shelf' already exists"),
        "{}",
        again.escape_ascii()
    );
    for master in 0..MASTERS {
        let key = cluster.tag_at(master);
        assert_same(
            &client.command(&["FCALL", "put", "1", &key, "value"]),
            b"+OK\r\n",
            &key,
        );
        assert_same(&client.get(&key), &bulk("value"), &key);
    }
    let list = client.command(&["FUNCTION", "LIST"]);
    let listed = String::from_utf8_lossy(&list).matches("shelf").count();
    assert_eq!(listed, 1, "{}", list.escape_ascii());
    assert_same(
        &client.command(&["FUNCTION", "DELETE", "shelf"]),
        b"+OK\r\n",
        &"FUNCTION DELETE",
    );
    for master in 0..MASTERS {
        assert_eq!(cluster.node(master).ask("FUNCTION LIST"), "*0\r\n");
    }
    assert_same(
        &client.command(&["FUNCTION", "LOAD", library]),
        &bulk("shelf"),
        &"FUNCTION LOAD",
    );
    assert_same(
        &client.command(&["FUNCTION", "FLUSH"]),
        b"+OK\r\n",
        &"FUNCTION FLUSH",
    );
    assert_same(
        &client.command(&["FUNCTION", "LIST"]),
        b"*0\r\n",
        &"FUNCTION LIST",
    );
}

#[test]
fn settings_are_changed_at_all_masters() {
    let cluster = Cluster::start();
    let proxy = cluster.proxy(&[]);
    let mut client = proxy.client();
    let set = ["CONFIG", "SET", "slowlog-max-len", "17"];
    assert_same(&client.command(&set), b"+OK\r\n", &set);
    for master in 0..MASTERS {
        let there = cluster.node(master).ask("CONFIG GET slowlog-max-len");
        assert!(there.contains("\r\n17\r\n"), "{there}");
    }
    let get = client.command(&["CONFIG", "GET", "slowlog-max-len"]);
    assert_same(
        &get,
        b"*2\r\n$15\r\nslowlog-max-len\r\n$2\r\n17\r\n",
        &"CONFIG GET",
    );
    let wrong = client.command(&["CONFIG", "SET", "maxmemory", "x"]);
    assert!(wrong.starts_with(b"-ERR "), "{}", wrong.escape_ascii());
    assert_same(&client.command(&["PING"]), b"+PONG\r\n", &"PING");
}
