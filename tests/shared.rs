//! A connection that all clients share is not what it was any more. No client of the proxy can bring that about where
//! names mean what they say; so in these tests Redis has given them other meanings.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use common::{Answer, Client, FakeRedis, Proxy, RedisServer, assert_same, bulk, eventually};

const OK: &[u8] = b"+OK\r\n";

/// What the log says when the proxy makes its connections anew.
const NOTICED: &str = "the state of a connection has changed";

/// A Redis where a name that the proxy takes for that of a harmless command stands for another one.
fn redis_with(harmless: &str, other: &str) -> RedisServer {
    let redis = RedisServer::start_with(&[
        "--rename-command",
        harmless,
        "elsewhere",
        "--rename-command",
        other,
        harmless,
    ]);
    redis.set("k", "value");
    redis.set("unread", "value");
    redis
}

fn words(client: &mut Client, line: &str) -> Vec<u8> {
    client.command(&line.split(' ').collect::<Vec<_>>())
}

/// Asks until the reply is the right one.
#[track_caller]
fn eventually_answers(client: &mut Client, line: &str, expected: &[u8]) {
    eventually(line, || words(client, line) == expected);
}

/// Has one client alter the connection that all share in that version of the protocol. The others are soon served
/// again, with what is in the right database, by the right user.
#[track_caller]
fn assert_noticed(redis: &RedisServer, flags: &[&str], version: &str, attack: &str) {
    let proxy = Proxy::start(redis, flags);
    let mut innocent = proxy.client();
    innocent.command(&["HELLO", version]);
    eventually_answers(&mut innocent, "GET k", &bulk("value"));
    let mut attacker = proxy.client();
    attacker.command(&["HELLO", version]);
    attacker.send(format!("{attack}\r\n"));
    // What is read and written meanwhile is nobody's but theirs who do.
    let log = eventually_noticed(&proxy, &mut innocent);
    assert!(log.contains("reconnected"), "{log}");
    for _ in 0..3 {
        eventually_answers(&mut innocent, "SET k value", OK);
        assert_same(&innocent.get("unread"), &bulk("value"), &attack);
        assert_same(&innocent.get("k"), &bulk("value"), &attack);
        assert_same(&words(&mut innocent, "STRLEN k"), b":5\r\n", &attack);
    }
    assert_same(&redis.client().get("k"), &bulk("value"), &attack);
}

/// Sends requests all the time, so that the connection is never idle, until the log has the line.
#[track_caller]
fn eventually_noticed(proxy: &Proxy, innocent: &mut Client) -> String {
    let mut noticed = None;
    eventually("the proxy notices", || {
        innocent.send("STRLEN k\r\nGET unread\r\n");
        innocent.read_replies(2);
        let log = proxy.log();
        noticed = log.into_iter().find(|line| line.contains(NOTICED));
        noticed.is_some()
    });
    noticed.expect("eventually returns when there is one")
}

#[test]
fn a_transaction_on_the_shared_connection_is_noticed() {
    let redis = redis_with("TIME", "MULTI");
    for version in ["2", "3"] {
        assert_noticed(&redis, &[], version, "TIME");
    }
}

#[test]
fn another_database_on_the_shared_connection_is_noticed() {
    let redis = redis_with("PERSIST", "SELECT");
    for flags in [&[][..], &["--tracking", "off"]] {
        assert_noticed(&redis, flags, "2", "PERSIST 5");
    }
    assert_noticed(&redis, &[], "3", "PERSIST 5");
}

#[test]
fn another_user_on_the_shared_connection_is_noticed() {
    let redis = redis_with("RENAME", "AUTH");
    for rights in ["+@all", "-client|info"] {
        let line = format!("ACL SETUSER other on >word ~* +@all {rights}");
        assert_same(&words(&mut redis.client(), &line), OK, &line);
        assert_noticed(&redis, &[], "2", "RENAME other word");
    }
}

#[test]
fn a_subscription_of_the_shared_connection_is_noticed() {
    let redis = redis_with("PERSIST", "SUBSCRIBE");
    assert_noticed(&redis, &[], "2", "PERSIST channel");
}

#[test]
fn a_monitor_on_the_shared_connection_is_noticed() {
    let redis = redis_with("TIME", "MONITOR");
    let proxy = Proxy::start(&redis, &[]);
    words(&mut proxy.client(), "TIME");
    // Whatever Redis shows there is no client's reply.
    eventually("the proxy makes the connection anew", || {
        redis.client().command(&["PING"]);
        proxy.count_in_log("reconnected") > 0
    });
    eventually_answers(&mut proxy.client(), "STRLEN k", b":5\r\n");
}

#[test]
fn a_reset_of_the_shared_connection_is_noticed() {
    let redis = redis_with("TIME", "RESET");
    assert_noticed(&redis, &[], "2", "TIME");
}

#[test]
fn a_subscription_in_resp3_hides_no_reply() {
    let redis = redis_with("PERSIST", "SUBSCRIBE");
    let proxy = Proxy::start(&redis, &[]);
    let mut attacker = proxy.client();
    attacker.command(&["HELLO", "3"]);
    // Redis confirms it by a push, which no request waits for.
    let reply = words(&mut attacker, "PERSIST channel");
    assert!(reply.starts_with(b"-ERR backing Redis"), "{reply:?}");
    proxy.wait_for_log(NOTICED);
    eventually_answers(&mut attacker, "STRLEN k", b":5\r\n");
}

#[test]
fn changes_that_are_no_longer_reported_are_noticed() {
    let off = Arc::new(AtomicBool::new(false));
    let redis = FakeRedis::start_for_all({
        let off = Arc::clone(&off);
        move |request| {
            let is_info = request.len() == 2 && request[1] == b"INFO" && request[0] == b"CLIENT";
            let answer = || Answer::Reply(bulk("id=7 flags=N db=0 multi=-1 user=default redir=-1"));
            (is_info && off.swap(false, Ordering::SeqCst)).then(answer)
        }
    });
    let proxy = Proxy::start_at(&redis.address(), &[]);
    proxy.wait_for_redis();
    let _client = proxy.client();
    off.store(true, Ordering::SeqCst);
    let line = proxy.wait_for_log(NOTICED);
    assert!(line.contains("changes are no longer reported"), "{line}");
}

#[test]
fn an_error_for_lack_of_a_right_is_no_sign() {
    let redis = RedisServer::start();
    let user = "ACL SETUSER app on >right ~* &* +@all -client|info";
    for missing in ["", " -ping", " -client -ping"] {
        let line = format!("{user}{missing}");
        assert_same(&words(&mut redis.client(), &line), OK, &line);
        let flags = ["--redis_username", "app", "--redis_password", "right"];
        let proxy = Proxy::start(&redis, &flags);
        let mut client = proxy.client();
        for round in 0..3 {
            // As often as the proxy asks for the user's rights, it looks at its connections.
            let asked = redis.calls("acl|getuser");
            eventually("a second is over", || {
                client.command(&["STRLEN", "k"]);
                redis.calls("acl|getuser") > asked
            });
            assert_eq!(proxy.count_in_log("reconnected"), 0, "{missing}, {round}");
        }
    }
}

#[test]
fn a_right_that_is_taken_away_costs_no_more_than_one_connection() {
    let redis = RedisServer::start();
    let user = "ACL SETUSER app on >right ~* &* +@all";
    assert_same(&words(&mut redis.client(), user), OK, &user);
    let flags = ["--redis_username", "app", "--redis_password", "right"];
    let proxy = Proxy::start(&redis, &flags);
    let mut client = proxy.client();
    eventually_answers(&mut client, "STRLEN k", b":0\r\n");
    let line = "ACL SETUSER app -client|info";
    assert_same(&words(&mut redis.client(), line), OK, &line);
    proxy.wait_for_log(NOTICED);
    for _ in 0..3 {
        let asked = redis.calls("acl|getuser");
        eventually("a second is over", || redis.calls("acl|getuser") > asked);
    }
    assert_eq!(proxy.count_in_log(NOTICED), 1);
    eventually_answers(&mut client, "STRLEN k", b":0\r\n");
}
