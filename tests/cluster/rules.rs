//! Rules, and what is shown and changed of the cache, for keys at every node.

use crate::commands::keys_of;
use crate::common::cluster::{Cluster, MASTERS};
use crate::common::{Client, assert_same, bulk, eventually};

const DENIED: &[u8] =
    b"-NOPERM this user has no permissions to access one of the keys used as arguments\r\n";

/// The bulk strings of a flat array, in order of the alphabet.
fn words(reply: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(reply).into_owned();
    let lines = text
        .split("\r\n")
        .filter(|line| !line.starts_with(['*', '$', '%']));
    let mut words: Vec<String> = lines
        .filter(|line| !line.is_empty())
        .map(str::to_owned)
        .collect();
    words.sort();
    words
}

/// What `PROXY CACHE GET` says of a key under a name.
#[track_caller]
fn shown(client: &mut Client, key: &str, name: &str) -> Option<String> {
    let reply = client.command(&["PROXY", "CACHE", "GET", key]);
    let text = String::from_utf8_lossy(&reply).into_owned();
    let mut lines = text.split("\r\n").skip_while(|line| *line != name).skip(1);
    lines.next().map(str::to_owned)
}

#[test]
fn a_prefix_is_put_before_keys_at_every_node() {
    let cluster = Cluster::shared();
    let keys = keys_of(&cluster, "prefixed", 1).concat();
    let proxy = cluster.proxy(&["--rule", "* prefix=app1:"]);
    let mut client = proxy.client();
    for key in &keys {
        // The part in braces still says which slot it is in.
        let prefixed = format!("app1:{key}");
        assert_same(&client.command(&["SET", key, "mine"]), b"+OK\r\n", key);
        let mut straight = cluster.client_for(&prefixed);
        assert_same(&straight.get(&prefixed), &bulk("mine"), key);
        for _ in 0..2 {
            assert_same(&client.get(key), &bulk("mine"), key);
        }
        straight.command(&["SET", &prefixed, "changed"]);
        eventually("the change is seen", || client.get(key) == bulk("changed"));
    }
    let names: Vec<&str> = keys.iter().map(String::as_str).collect();
    let values = bulk("changed").repeat(MASTERS);
    let expected = [b"*3\r\n".to_vec(), values].concat();
    assert_same(
        &client.command(&[&["MGET"], &names[..]].concat()),
        &expected,
        &"MGET",
    );
    for listing in [&["KEYS", "prefixed:*"][..], &["SCAN", "0"]] {
        let refused = b"-ERR keys with a prefix can't be listed in front of a cluster\r\n";
        assert_same(&client.command(listing), refused, &listing);
    }
    let deleted = client.command(&[&["DEL"], &names[..]].concat());
    assert_same(&deleted, b":3\r\n", &"DEL");
}

#[test]
fn keys_of_every_node_are_denied_and_read_only() {
    let cluster = Cluster::shared();
    let rules = ["--rule", "secret:* deny", "--rule", "config:* readonly"];
    let proxy = cluster.proxy(&[&rules[..], &["--deny_command", "FLUSHALL,KEYS"]].concat());
    let mut client = proxy.client();
    for key in keys_of(&cluster, "secret", 1).concat() {
        assert_same(&client.get(&key), DENIED, &key);
        let several = client.command(&["MGET", "other", &key]);
        assert_same(&several, DENIED, &key);
    }
    for key in keys_of(&cluster, "config", 1).concat() {
        cluster.client_for(&key).command(&["SET", &key, "value"]);
        assert_same(&client.get(&key), &bulk("value"), &key);
        assert_same(&client.command(&["SET", &key, "other"]), DENIED, &key);
        assert_same(
            &client.command(&["MSET", "other", "1", &key, "2"]),
            DENIED,
            &key,
        );
    }
    for command in [&["FLUSHALL"][..], &["KEYS", "*"]] {
        assert!(
            client.command(command).starts_with(b"-NOPERM"),
            "{command:?}"
        );
    }
}

#[test]
fn a_hot_key_of_any_node_is_fetched_anew_ahead_of_its_end() {
    let cluster = Cluster::shared();
    let proxy = cluster.proxy(&["--rule", "hot:* ttl=2000 refresh=1900"]);
    let mut client = proxy.client();
    for key in keys_of(&cluster, "hot", 1).concat() {
        cluster.client_for(&key).command(&["SET", &key, "value"]);
        client.get(&key);
        // Its age starts anew, and it was never missed.
        let mut oldest = 0;
        eventually("it is fetched anew", || {
            assert_same(&client.get(&key), &bulk("value"), &key);
            let age = shown(&mut client, &key, "age-ms").expect("it is cached");
            let age: u64 = age[1..].parse().expect("a number");
            oldest = oldest.max(age);
            age < oldest
        });
    }
}

#[test]
fn what_is_cached_of_all_nodes_is_listed_and_invalidated() {
    let cluster = Cluster::shared();
    let keys = keys_of(&cluster, "listed", 1).concat();
    let proxy = cluster.proxy(&["--rule", "listed:* pin"]);
    let mut client = proxy.client();
    for key in &keys {
        client.get(key);
        assert_eq!(shown(&mut client, key, "value"), Some("$7".to_owned()));
        assert_eq!(shown(&mut client, key, "missing"), Some("$11".to_owned()));
    }
    // That a key is missing is cached for a second only, and what it holds for long.
    let keys = keys_of(&cluster, "listed:set", 1).concat();
    for key in &keys {
        cluster.set(key, "value");
        assert_same(&client.get(key), &bulk("value"), key);
    }
    let mut sorted = keys.clone();
    sorted.sort();
    let listed = client.command(&["PROXY", "CACHE", "KEYS", "listed:set:*"]);
    assert_eq!(words(&listed), sorted);
    let gone = client.command(&["PROXY", "INVALIDATE", "listed:set:*"]);
    assert_same(&gone, b":3\r\n", &"as many as there are");
    let listed = client.command(&["PROXY", "CACHE", "KEYS", "listed:set:*"]);
    assert_same(&listed, b"*0\r\n", &"none is left");
}

/// For how many seconds a key was not used, as its node counts.
#[track_caller]
fn idle_time(straight: &mut Client, key: &str) -> u64 {
    let reply = straight.command(&["OBJECT", "IDLETIME", key]);
    let text = String::from_utf8_lossy(&reply).into_owned();
    let number = text.strip_prefix(':').and_then(|it| it.trim().parse().ok());
    number.unwrap_or_else(|| panic!("{text}"))
}

#[test]
fn each_node_is_told_of_its_keys_that_are_read_here() {
    let cluster = Cluster::start();
    for node in cluster.running() {
        node.ok("CONFIG SET maxmemory-policy allkeys-lru");
        node.ok("CONFIG SET maxmemory 1gb");
    }
    let proxy = cluster.proxy(&["--touch", "100"]);
    let mut client = proxy.client();
    let keys = keys_of(&cluster, "hot", 1).concat();
    for key in &keys {
        cluster.set(key, "value");
        cluster.set(&format!("{key}:cold"), "value");
        assert_same(&client.get(key), &bulk("value"), key);
    }
    let calls = || cluster.calls("get");
    let before = calls();
    for key in &keys {
        let mut straight = cluster.client_for(key);
        let cold = format!("{key}:cold");
        eventually(
            "Redis takes one key for used, and the other for unused",
            || {
                for key in &keys {
                    assert_same(&client.get(key), &bulk("value"), key);
                }
                let hot = idle_time(&mut straight, key);
                hot < 2 && idle_time(&mut straight, &cold) > hot + 1
            },
        );
    }
    assert_eq!(calls(), before, "all are hits");
    assert!(cluster.calls("touch") >= 3);
}
