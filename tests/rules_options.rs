//! Rules and the settings of a running proxy, with a real Redis behind.

mod common;

use std::fs;
use std::path::PathBuf;

use common::{Client, Proxy, RedisServer, bulk, eventually};
use fastrand::Rng;
use redis_proxy::rules::Pattern;

fn text(reply: Vec<u8>) -> String {
    String::from_utf8_lossy(&reply).into_owned()
}

fn say(client: &mut Client, words: &[&str]) -> String {
    text(client.command(words))
}

/// The bulk strings of an array.
fn words(reply: &[u8]) -> Vec<Vec<u8>> {
    let mut rest = reply;
    let mut line = || {
        let end = rest.windows(2).position(|two| two == b"\r\n");
        let end = end.expect("a line");
        let line = &rest[1..end];
        rest = &rest[end + 2..];
        let number: usize = str::from_utf8(line).ok()?.parse().ok()?;
        Some((number, rest))
    };
    let (count, mut rest) = line().expect("an array");
    let mut words = Vec::new();
    for _ in 0..count {
        let end = rest.iter().position(|&byte| byte == b'\r').expect("a line");
        let length: usize = str::from_utf8(&rest[1..end])
            .expect("digits")
            .parse()
            .expect("a length");
        words.push(rest[end + 2..end + 2 + length].to_vec());
        rest = &rest[end + 4 + length..];
    }
    words
}

/// A text of a few bytes that mean something in a pattern, and a few that don't.
fn random_text(rng: &mut Rng, bytes: &[u8], longest: usize) -> Vec<u8> {
    (0..rng.usize(..=longest))
        .map(|_| bytes[rng.usize(..bytes.len())])
        .collect()
}

#[test]
fn a_pattern_matches_the_keys_that_redis_finds_with_it() {
    let redis = RedisServer::start();
    let mut client = redis.client();
    let mut rng = Rng::with_seed(7);
    let mut keys: Vec<Vec<u8>> = (0..400)
        .map(|_| random_text(&mut rng, b"aabbc-]^*?\\[\x00\x7f\x80\xff", 6))
        .collect();
    keys.sort();
    keys.dedup();
    let mut set: Vec<&[u8]> = vec![b"MSET"];
    keys.iter().for_each(|key| set.extend([&key[..], b"value"]));
    assert_eq!(client.command(&set), b"+OK\r\n");
    let mut matched = 0;
    for round in 0..4000 {
        let pattern = random_text(&mut rng, b"aabbc***??[[]]^-\\\x00\x80\xff", 9);
        let mut found = words(&client.command(&[&b"KEYS"[..], &pattern]));
        found.sort();
        let compiled = Pattern::new(&pattern);
        let ours: Vec<Vec<u8>> = keys
            .iter()
            .filter(|key| compiled.matches(key))
            .cloned()
            .collect();
        assert_eq!(ours, found, "{round}: {}", pattern.escape_ascii());
        matched += found.len();
    }
    assert!(matched > 10_000, "{matched}");
}

#[test]
fn a_rule_holds_from_the_command_line() {
    let redis = RedisServer::start();
    let flags = [
        "--rule",
        "session:* ttl=60000 ; flag:* pin",
        "--rule",
        "big:* nocache",
    ];
    let proxy = Proxy::start(&redis, &flags);
    let mut client = proxy.client();
    redis.set("session:1", "a");
    redis.set("big:1", "b");
    for _ in 0..2 {
        assert_eq!(client.get("session:1"), bulk("a"));
        assert_eq!(client.get("big:1"), bulk("b"));
    }
    assert_eq!(redis.calls("get"), 3);
    assert_eq!(
        say(&mut client, &["PROXY", "CACHE", "KEYS", "*"]),
        "*1\r\n$9\r\nsession:1\r\n"
    );
    let shown = say(&mut client, &["PROXY", "CACHE", "GET", "session:1"]);
    assert!(shown.contains("session:* ttl=60000"), "{shown}");
    let ttl = shown
        .split("ttl-ms\r\n:")
        .nth(1)
        .and_then(|rest| rest.split('\r').next());
    let ttl: u64 = ttl.expect("a time").parse().expect("a number");
    assert!((1..=60_000).contains(&ttl), "{ttl}");
    let rules = say(&mut client, &["PROXY", "RULES"]);
    assert!(rules.starts_with("*3\r\n"), "{rules}");
    assert_eq!(
        say(&mut client, &["PROXY", "INVALIDATE", "session:*"]),
        ":1\r\n"
    );
    assert_eq!(client.get("session:1"), bulk("a"));
    assert_eq!(redis.calls("get"), 4);
}

#[test]
fn settings_are_changed_by_who_may() {
    let redis = RedisServer::start();
    let proxy = Proxy::start(&redis, &[]);
    let mut client = proxy.client();
    let set = [
        "PROXY",
        "CONFIG",
        "SET",
        "rule",
        "a nocache",
        "log_level",
        "debug",
    ];
    assert_eq!(say(&mut client, &set), "+OK\r\n");
    let line = proxy.wait_for_log("setting=rule");
    assert!(line.contains(r#"before="" after="a nocache""#), "{line}");
    redis.set("a", "1");
    for _ in 0..2 {
        assert_eq!(client.get("a"), bulk("1"));
    }
    assert_eq!(redis.calls("get"), 2);
    // Redis's own is still Redis's.
    let own = say(&mut client, &["CONFIG", "GET", "maxmemory-policy"]);
    assert!(own.contains("noeviction"), "{own}");
    let proxy = Proxy::start(&redis, &["--config_set", "no"]);
    let refused = say(&mut proxy.client(), &set);
    assert!(
        refused.starts_with("-ERR PROXY CONFIG SET not allowed."),
        "{refused}"
    );
}

/// A file for this run of the tests alone.
fn settings_file() -> PathBuf {
    let name = format!("rules-{}.conf", std::process::id());
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name)
}

#[test]
fn a_file_is_read_again_wholly_or_not_at_all() {
    let redis = RedisServer::start();
    let file = settings_file();
    fs::write(&file, "rule = a nocache\ncache_ttl = 5000\n").expect("a file");
    let proxy = Proxy::start(&redis, &["--config", file.to_str().expect("a path")]);
    let mut client = proxy.client();
    let shown = |client: &mut Client| say(client, &["PROXY", "CONFIG", "GET", "cache_ttl", "rule"]);
    let before = shown(&mut client);
    assert!(before.contains("a nocache"), "{before}");

    fs::write(&file, "rule = b nocache\nrule = c no_such\n").expect("a file");
    proxy.signal("HUP");
    let line = proxy.wait_for_log("settings not reloaded: the old ones stay in use");
    assert!(line.contains(":2: rule: "), "{line}");
    assert_eq!(shown(&mut client), before);

    fs::write(
        &file,
        "rule = b nocache\ncache_ttl = 6000\nmax_clients = 7\n",
    )
    .expect("a file");
    proxy.signal("HUP");
    let line = proxy.wait_for_log("setting changed setting=rule");
    assert!(
        line.contains(r#"before="a nocache" after="b nocache""#),
        "{line}"
    );
    let line = proxy.wait_for_log("setting changed setting=cache_ttl");
    assert!(line.contains("before=5000 after=6000"), "{line}");
    let line = proxy.wait_for_log("setting=max_clients");
    assert!(line.contains("next start"), "{line}");
    eventually("they hold", || {
        let after = shown(&mut client);
        after.contains("b nocache") && after.contains("6000")
    });

    proxy.signal("HUP");
    proxy.wait_for_log("reloading settings");
    fs::remove_file(&file).expect("a file");
}

const HOT: usize = 40;

/// Lets a Redis at its memory limit evict, while hot keys are read from the cache of a proxy with these flags. Returns how
/// many of those are left.
fn hot_keys_left(flags: &[&str]) -> usize {
    let redis = RedisServer::start_with(&[
        "--maxmemory-policy",
        "allkeys-lru",
        "--maxmemory-samples",
        "20",
    ]);
    let proxy = Proxy::start(&redis, flags);
    let (mut straight, mut client) = (redis.client(), proxy.client());
    let info = |straight: &mut Client, section: &str, name: &str| -> u64 {
        let info = say(straight, &["INFO", section]);
        let field = info
            .lines()
            .find_map(|line| line.strip_prefix(&format!("{name}:")));
        field.expect("a field").trim().parse().expect("a number")
    };
    let hot: Vec<String> = (0..HOT).map(|number| format!("hot:{number}")).collect();
    for key in &hot {
        redis.set(key, "value");
        assert_eq!(client.get(key), bulk("value"));
    }
    let used = info(&mut straight, "memory", "used_memory");
    let limit = (used + 2 * 1024 * 1024).to_string();
    assert_eq!(
        say(&mut straight, &["CONFIG", "SET", "maxmemory", &limit]),
        "+OK\r\n"
    );
    let touches = flags.contains(&"100");
    for round in 0..7 {
        let filler = "x".repeat(1000);
        for number in 0..600 {
            redis.set(format!("filler:{round}:{number}"), &filler);
        }
        let clock = info(&mut straight, "server", "lru_clock");
        eventually("Redis's clock goes on", || {
            info(&mut straight, "server", "lru_clock") != clock
        });
        let before = redis.calls("touch");
        eventually("hits are told of", || {
            for key in &hot {
                client.get(key);
            }
            !touches || redis.calls("touch") > before
        });
    }
    let mut exists = vec!["EXISTS"];
    exists.extend(hot.iter().map(String::as_str));
    let left = say(&mut straight, &exists);
    assert!(
        info(&mut straight, "stats", "evicted_keys") > 500,
        "Redis evicts"
    );
    left.trim_start_matches(':')
        .trim()
        .parse()
        .expect("a number")
}

#[test]
fn redis_does_not_evict_the_keys_that_are_read_here() {
    let with = hot_keys_left(&["--touch", "100"]);
    let without = hot_keys_left(&["--touch", "0"]);
    assert!(with >= HOT * 9 / 10, "{with} of {HOT} are left");
    assert!(without <= HOT / 2, "{without} of {HOT} are left");
}

#[test]
fn a_redis_that_evicts_nothing_is_not_told_of_hits() {
    let redis = RedisServer::start();
    let proxy = Proxy::start(&redis, &["--touch", "1"]);
    let mut client = proxy.client();
    redis.set("a", "1");
    // The first is a miss.
    assert_eq!(client.get("a"), bulk("1"));
    let mut monitor = redis.client();
    assert_eq!(say(&mut monitor, &["MONITOR"]), "+OK\r\n");
    for _ in 0..3 {
        assert_eq!(client.get("a"), bulk("1"));
        monitor.read_until(b"\"InFO\" \"memory\"");
    }
    assert_eq!(redis.calls("touch"), 0);
}
