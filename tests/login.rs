//! How the proxy introduces itself to Redis: address, user, password and database; and what becomes
//! of it when Redis refuses.

mod common;

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use common::{
    Proxy, RedisServer, SOON_AWAY, assert_never_there, assert_same, bulk, eventually,
    eventually_get, proxy_command, reason,
};

#[test]
fn a_wrong_password_is_reported_in_the_words_of_redis() {
    let words = "WRONGPASS invalid username-password pair or user is disabled.";
    let redis = RedisServer::start_with(&["--requirepass", "right"]);
    let proxy = Proxy::start_at(&redis.address(), &["--redis_password", "wrong"]);
    assert!(proxy.wait_for_log("redis down").contains(words));
    let reply = format!("-{words}\r\n");
    assert_same(&proxy.client().get("a"), reply.as_bytes(), &"a");
}

#[test]
fn a_wrong_password_is_retried_slowly_until_it_is_right() {
    let redis = RedisServer::start_with(&["--requirepass", "right"]);
    let mut admin = redis.client();
    assert_same(&admin.command(&["AUTH", "right"]), b"+OK\r\n", &"AUTH");
    let proxy = Proxy::start_at(&redis.address(), &["--redis_password", "wrong"]);
    proxy.wait_for_log("redis down");
    let mut client = proxy.client();
    let end = Instant::now() + Duration::from_millis(1500);
    while Instant::now() < end {
        assert!(client.get("a").starts_with(b"-WRONGPASS "));
    }
    let info = admin.command(&["INFO", "commandstats"]);
    let info = String::from_utf8(info).expect("a text");
    let calls = info
        .split_once("cmdstat_auth:calls=")
        .expect("a call of AUTH")
        .1;
    let calls: u32 = calls
        .split(',')
        .next()
        .expect("a number")
        .parse()
        .expect("a number");
    assert!((2..=8).contains(&calls), "{calls} calls of AUTH");
    assert_same(
        &admin.command(&["CONFIG", "SET", "requirepass", "wrong"]),
        b"+OK\r\n",
        &"CONFIG",
    );
    proxy.wait_for_log("redis up");
    eventually_get(&mut client, "a", b"$-1\r\n");
}

#[test]
fn a_missing_password_is_reported_in_the_words_of_redis() {
    let redis = RedisServer::start_with(&["--requirepass", "right"]);
    let proxy = Proxy::start_at(&redis.address(), &[]);
    let reply = proxy.client().get("a");
    assert_same(&reply, b"-NOAUTH Authentication required.\r\n", &"a");
    assert!(
        proxy
            .wait_for_log("redis down")
            .contains("NOAUTH Authentication required.")
    );
}

#[test]
fn the_right_password_opens_redis() {
    let redis = RedisServer::start_with(&["--requirepass", "it's \"right\" #1"]);
    let mut admin = redis.client();
    admin.command(&["AUTH", "it's \"right\" #1"]);
    admin.command(&["SET", "a", "1"]);
    let proxy = Proxy::start(&redis, &["--redis_password", "it's \"right\" #1"]);
    assert_same(&proxy.client().get("a"), &bulk("1"), &"a");
}

#[test]
fn a_username_chooses_the_rights_of_redis() {
    let redis = RedisServer::start();
    redis.set("app:1", "yes");
    redis.set("other", "no");
    let rule = ["ACL", "SETUSER", "app", "on", ">secret", "~app:*", "+@all"];
    assert_same(&redis.client().command(&rule), b"+OK\r\n", &"ACL SETUSER");
    let flags = ["--redis_username", "app", "--redis_password", "secret"];
    let proxy = Proxy::start(&redis, &flags);
    let mut client = proxy.client();
    assert_same(&client.get("app:1"), &bulk("yes"), &"a key of the user");
    let mut direct = redis.client();
    direct.command(&["AUTH", "app", "secret"]);
    let refusal = direct.get("other");
    assert!(
        refusal.starts_with(b"-NOPERM "),
        "{}",
        refusal.escape_ascii()
    );
    assert_same(&client.get("other"), &refusal, &"a key of somebody else");
}

#[test]
fn keys_come_from_the_chosen_database() {
    let redis = RedisServer::start();
    redis.set("a", "in 0");
    let mut direct = redis.client();
    direct.command(&["SELECT", "7"]);
    direct.command(&["SET", "a", "in 7"]);
    let proxy = Proxy::start(&redis, &["--redis_database", "7"]);
    let mut client = proxy.client();
    assert_same(&client.get("a"), &bulk("in 7"), &"a");
    // A connection that replaces another reads from the same database.
    redis
        .client()
        .command(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
    redis.set("b", "in 0");
    assert_same(&client.get("b"), b"$-1\r\n", &"b");
}

#[test]
fn a_wrong_database_is_reported_in_the_words_of_redis() {
    let redis = RedisServer::start();
    let proxy = Proxy::start_at(&redis.address(), &["--redis_database", "99"]);
    let reply = proxy.client().get("a");
    assert!(reason(&reply, &redis.address()).contains("ERR DB index is out of range"));
    assert!(
        proxy
            .wait_for_log("redis down")
            .contains("ERR DB index is out of range")
    );
}

#[test]
fn localhost_finds_a_redis_on_127_0_0_1() {
    let redis = RedisServer::start();
    redis.set("a", "value of a");
    // On many machines localhost is ::1 first, where this Redis doesn't listen.
    let proxy = Proxy::start_at(&format!("localhost:{}", redis.port()), &[]);
    proxy.wait_for_log("redis up");
    assert_same(&proxy.client().get("a"), &bulk("value of a"), &"a");
}

#[test]
fn a_name_that_doesnt_resolve_keeps_nobody_waiting() {
    let proxy = Proxy::start_command(proxy_command("nowhere.invalid:6379", SOON_AWAY));
    assert_same(&proxy.client().command(&["PING"]), b"+PONG\r\n", &"PING");
    proxy.wait_for_log("redis down");
    assert_never_there(&proxy);
}

#[test]
fn passwords_may_come_from_files() {
    let redis = RedisServer::start_with(&["--requirepass", "of-redis"]);
    let file = |name: &str, password: &str| {
        let name = format!("{name}-{}", std::process::id());
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        fs::write(&path, format!("{password}\n")).expect("a file");
        path.to_str().expect("a path").to_owned()
    };
    let (ours, theirs) = (file("ours", "of-proxy"), file("theirs", "of-redis"));
    let flags = ["--password_file", &ours, "--redis_password_file", &theirs];
    let proxy = Proxy::start(&redis, &flags);
    // They are read again only when Redis refuses the password.
    for path in [&ours, &theirs] {
        fs::remove_file(path).expect("the file is still there");
    }
    let mut client = proxy.client();
    assert!(client.get("a").starts_with(b"-NOAUTH "));
    assert_same(&client.command(&["AUTH", "of-proxy"]), b"+OK\r\n", &"AUTH");
    assert_same(&client.get("a"), b"$-1\r\n", &"a");
    let line = proxy.wait_for_log("configured");
    assert!(
        line.contains(&format!(" redis_password_file={theirs} ")),
        "{line}"
    );
    assert!(!proxy.log().join("\n").contains("of-"), "{:?}", proxy.log());
}

#[test]
fn who_has_the_right_password_is_served_though_the_proxy_has_none_or_another() {
    for flags in [&[][..], &["--redis_password", "wrong"]] {
        let redis = RedisServer::start_with(&["--requirepass", "secret"]);
        let proxy = Proxy::start_at(&redis.address(), flags);
        proxy.wait_for_log("redis down");
        serves_who_knows(&proxy, "secret");
    }
}

#[test]
fn who_has_the_right_password_is_served_when_redis_comes_to_ask_for_one() {
    let redis = RedisServer::start();
    redis.set("a", "1");
    let proxy = Proxy::start(&redis, &[]);
    let mut client = proxy.client();
    assert_same(&client.get("a"), &bulk("1"), &"before");
    let set = ["CONFIG", "SET", "requirepass", "secret"];
    assert_same(&redis.client().command(&set), b"+OK\r\n", &"requirepass");
    proxy.wait_for_log("redis down");
    eventually("nobody else is served", || {
        client.get("a").starts_with(b"-NOAUTH ")
    });
    serves_who_knows(&proxy, "secret");
}

/// Serves those alone who give that password, and those as by Redis itself.
#[track_caller]
fn serves_who_knows(proxy: &Proxy, password: &str) {
    let mut client = proxy.client();
    for request in [&["AUTH", "no"][..], &["AUTH", "default", "no"]] {
        let reply = client.command(request);
        assert!(
            reply.starts_with(b"-WRONGPASS "),
            "{}",
            reply.escape_ascii()
        );
    }
    for refused in [&["GET", "a"][..], &["SET", "a", "2"], &["MULTI"]] {
        let reply = client.command(refused);
        let codes = [&b"-NOAUTH "[..], b"-WRONGPASS "];
        let refuses = codes.iter().any(|code| reply.starts_with(code));
        assert!(refuses, "{}", reply.escape_ascii());
    }
    assert_same(&client.command(&["AUTH", password]), b"+OK\r\n", &"AUTH");
    assert_same(&client.command(&["SET", "a", "2"]), b"+OK\r\n", &"SET");
    assert_same(&client.get("a"), &bulk("2"), &"GET");
    assert_same(&client.command(&["MULTI"]), b"+OK\r\n", &"MULTI");
}
