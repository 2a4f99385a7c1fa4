//! Passwords and users.

use super::{
    OK, PONG, QUEUED, assert_answers, assert_as_at, assert_x, await_clients, clients_of,
    settled_clients,
};
use crate::common::{Proxy, RedisServer, assert_same, bulk};

const NOAUTH: &[u8] = b"-NOAUTH Authentication required.\r\n";
const WRONGPASS: &[u8] = b"-WRONGPASS invalid username-password pair or user is disabled.\r\n";

/// A Redis with `open` and `closed` ("seen", "hidden"), and a user who may read the first alone; and a
/// proxy that has both in its cache.
fn with_reader(flags: &[&str], redis_options: &[&str]) -> (RedisServer, Proxy) {
    let redis = RedisServer::start_with(redis_options);
    let mut admin = redis.client();
    if !redis_options.is_empty() {
        assert_answers(&mut admin, "AUTH secret", OK);
    }
    if flags.contains(&"--redis_database") {
        assert_answers(&mut admin, "SELECT 2", OK);
    }
    assert_answers(&mut admin, "MSET open seen closed hidden x true", OK);
    let user = "ACL SETUSER reader on >right ~open +@all -@dangerous";
    assert_answers(&mut admin, user, OK);
    let proxy = Proxy::start(&redis, flags);
    let mut client = proxy.client();
    if flags.contains(&"--password") {
        assert_answers(&mut client, "AUTH secret", OK);
    }
    assert_answers(
        &mut client,
        "MGET open closed",
        b"*2\r\n$4\r\nseen\r\n$6\r\nhidden\r\n",
    );
    (redis, proxy)
}

#[track_caller]
fn assert_no_permission(reply: &[u8]) {
    assert!(reply.starts_with(b"-NOPERM "), "{}", reply.escape_ascii());
}

#[test]
fn the_proxys_own_password_is_good_on_a_dedicated_connection_too() {
    for password in [None, Some("of-redis")] {
        let redis = RedisServer::start();
        let mut flags = vec!["--password", "own"];
        if let Some(password) = password {
            let set = format!("CONFIG SET requirepass {password}");
            assert_answers(&mut redis.client(), &set, OK);
            flags.extend(["--redis_password", password]);
        }
        let proxy = Proxy::start_at(&redis.address(), &flags);
        proxy.wait_for_log("redis up");
        let mut client = proxy.client();
        assert_answers(&mut client, "AUTH own", OK);
        assert_answers(&mut client, "WATCH x", OK);
        for command in ["AUTH wrong", "AUTH of-redis", "AUTH default wrong"] {
            assert_answers(&mut client, command, WRONGPASS);
        }
        assert_answers(&mut client, "AUTH own", OK);
        assert_answers(&mut client, "AUTH default own", OK);
        assert_answers(&mut client, "ACL WHOAMI", b"$7\r\ndefault\r\n");
    }
}

#[test]
fn another_user_is_never_served_from_the_cache() {
    let (redis, proxy) = with_reader(&[], &[]);
    let mut reader = proxy.client();
    assert_answers(&mut reader, "GET closed", &bulk("hidden"));
    assert_answers(&mut reader, "AUTH reader right", OK);
    assert_no_permission(&reader.get("closed"));
    assert_no_permission(&reader.command(&["MGET", "open", "closed"]));
    let calls = redis.calls("get");
    for _ in 0..5 {
        assert_answers(&mut reader, "GET open", &bulk("seen"));
    }
    assert_eq!(redis.calls("get"), calls + 5);
    assert_answers(&mut reader, "ACL WHOAMI", &bulk("reader"));
    // Nor does what the user reads and writes disturb the others.
    assert_answers(&mut reader, "SET open new", OK);
    assert_answers(&mut proxy.client(), "GET open", &bulk("new"));
    assert_answers(&mut proxy.client(), "GET closed", &bulk("hidden"));
    // In a pipeline the change counts from its place on.
    let mut client = proxy.client();
    client.send("GET closed\r\nAUTH reader right\r\nGET closed\r\nPING\r\nRESET\r\nGET closed\r\n");
    assert_same(
        &client.read_replies(2),
        b"$6\r\nhidden\r\n+OK\r\n",
        &"before",
    );
    assert_no_permission(&client.read_reply());
    assert_same(
        &client.read_replies(3),
        b"+PONG\r\n+RESET\r\n$6\r\nhidden\r\n",
        &"after",
    );
}

#[test]
fn a_wrong_password_changes_nothing() {
    let (redis, proxy) = with_reader(&[], &[]);
    let before = settled_clients(&redis);
    let mut client = proxy.client();
    assert_answers(&mut client, "CLIENT SETNAME me", OK);
    for attempt in [
        "AUTH reader wrong",
        "AUTH nobody right",
        "HELLO 2 AUTH reader wrong",
    ] {
        assert_answers(&mut client, attempt, WRONGPASS);
        await_clients(&redis, before);
        assert_answers(&mut client, "GET closed", &bulk("hidden"));
        assert_answers(&mut client, "CLIENT GETNAME", &bulk("me"));
    }
    client.send("AUTH reader wrong\r\nGET closed\r\nAUTH reader right\r\nAUTH reader wrong\r\nACL WHOAMI\r\n");
    let expected = [WRONGPASS, &bulk("hidden"), OK, WRONGPASS, &bulk("reader")].concat();
    assert_same(&client.read_replies(5), &expected, &"in a pipeline");
}

#[test]
fn hello_authenticates_another_user_too() {
    let (redis, proxy) = with_reader(&[], &[]);
    let mut client = proxy.client();
    client.send(
        "HELLO 3 AUTH reader right SETNAME third\r\nGET closed\r\nGET none\r\nSET open 1\r\n",
    );
    crate::common::eventually("it has written", || redis.client().get("open") == bulk("1"));
    let line = super::client_named(&redis, "third");
    assert!(
        line.contains(" user=reader ") && line.contains(" resp=3"),
        "{line}"
    );
    assert_same(&proxy.client().get("open"), &bulk("1"), &"another client");
    client.send("QUIT\r\n");
    let text = String::from_utf8(client.read_to_end()).expect("a text");
    assert!(
        text.starts_with("%7\r\n") && text.contains("-NOPERM "),
        "{text}"
    );
    assert!(text.ends_with("+OK\r\n+OK\r\n"), "{text}");
}

#[test]
fn another_user_subscribes_and_opens_transactions() {
    let (redis, proxy) = with_reader(&[], &[]);
    let mut client = proxy.client();
    assert_answers(&mut client, "AUTH reader right", OK);
    assert_answers(&mut client, "MULTI", OK);
    assert_answers(&mut client, "GET open", QUEUED);
    assert_no_permission(&client.get("closed"));
    assert!(client.command(&["EXEC"]).starts_with(b"-EXECABORT "));
    let before = settled_clients(&redis);
    assert_answers(&mut client, "AUTH default any", OK);
    assert_answers(&mut client, "GET closed", &bulk("hidden"));
    assert_eq!(clients_of(&redis).len(), before);
}

#[test]
fn nothing_is_answered_before_the_password() {
    let flags = ["--password", "secret", "--redis_password", "secret"];
    let (redis, proxy) = with_reader(&flags, &["--requirepass", "secret"]);
    for session in [
        &[
            "GET x",
            "PING",
            "ECHO a",
            "MULTI",
            "SUBSCRIBE a",
            "BLPOP l 0",
            "CLIENT ID",
            "SELECT 3",
            "CLIENT REPLY OFF",
            "MONITOR",
            "COMMAND",
            "GET",
            "RESET",
            "QUIT",
        ][..],
        &["HELLO 4", "HELLO x", "HELLO 2 AUTH default wrong", "QUIT"],
        &[
            "AUTH",
            "AUTH a b c",
            "AUTH wrong",
            "AUTH default wrong",
            "GET x",
            "QUIT",
        ],
        &[
            "AUTH secret",
            "GET x",
            "AUTH wrong",
            "GET x",
            "RESET",
            "GET x",
            "QUIT",
        ],
        &[
            "AUTH default secret",
            "MULTI",
            "GET x",
            "EXEC",
            "RESET",
            "GET x",
            "QUIT",
        ],
        &["*11", "GET x"],
        &["*2\r\n$3\r\nGET\r\n$16385", "GET x"],
        &[
            "AUTH secret",
            "*11\r\n$4\r\nMGET",
            "$1\r\nx\r\n$1\r\nx\r\n$1\r\nx\r\n$1\r\nx\r\n$1\r\nx\r\n\
           $1\r\nx\r\n$1\r\nx\r\n$1\r\nx\r\n$1\r\nx\r\n$1\r\nx",
            "QUIT",
        ],
    ] {
        assert_as_at(&redis, &proxy, session);
    }
    // The rest of that sentence differs between versions of Redis.
    for hello in [&["HELLO"][..], &["HELLO", "3"]] {
        let reply = proxy.client().command(hello);
        let start = b"-NOAUTH HELLO must be called with the client already authenticated, ";
        assert!(reply.starts_with(start), "{}", reply.escape_ascii());
    }
    let mut client = proxy.client();
    client.send("*11\r\n");
    assert_same(
        &client.read_to_end(),
        b"-ERR Protocol error: unauthenticated multibulk length\r\n",
        &"*11",
    );
    let mut client = proxy.client();
    client.send("*2\r\n$3\r\nGET\r\n$16385\r\n");
    assert_same(
        &client.read_to_end(),
        b"-ERR Protocol error: unauthenticated bulk length\r\n",
        &"$16385",
    );
}

#[test]
fn a_name_that_hello_gives_is_kept_with_another_user() {
    let (redis, proxy) = with_reader(&[], &[]);
    let mut client = proxy.client();
    client.send(
        "CLIENT SETNAME before\r\nHELLO 2 AUTH reader wrong SETNAME never\r\nCLIENT GETNAME\r\n\
         HELLO 3 AUTH reader right SETNAME after\r\nPING\r\n",
    );
    assert_same(
        &client.read_replies(3),
        &[OK, WRONGPASS, &bulk("before")].concat(),
        &"a wrong password changes nothing",
    );
    client.read_replies(2);
    super::client_named(&redis, "after");
}

#[test]
fn what_a_client_has_set_goes_with_it_to_another_user() {
    let (redis, proxy) = with_reader(&["--redis_database", "2"], &[]);
    let mut client = proxy.client();
    assert_answers(&mut client, "CLIENT SETNAME me", OK);
    assert_answers(&mut client, "AUTH reader right", OK);
    assert_answers(&mut client, "PING", PONG);
    let line = super::client_named(&redis, "me");
    for part in [" user=reader ", " db=2 "] {
        assert!(line.contains(part), "{part}: {line}");
    }
    let mut client = proxy.client();
    client.send("HELLO 3\r\nAUTH reader right\r\nGET missing\r\nQUIT\r\n");
    let replies = client.read_to_end();
    let end = b"*0\r\n+OK\r\n-NOPERM ";
    assert!(
        replies.windows(end.len()).any(|part| part == end),
        "{}",
        replies.escape_ascii()
    );
}

#[test]
fn the_password_opens_the_cache_and_dedicated_connections() {
    let flags = ["--password", "secret", "--redis_password", "secret"];
    let (redis, proxy) = with_reader(&flags, &["--requirepass", "secret"]);
    let mut client = proxy.client();
    assert_answers(&mut client, "GET x", NOAUTH);
    assert_answers(&mut client, "AUTH secret", OK);
    assert_x(&mut client);
    client.send("GET x\r\nMULTI\r\nGET closed\r\nEXEC\r\nPING\r\n");
    let expected = [
        &bulk("true"),
        OK,
        QUEUED,
        b"*1\r\n",
        &bulk("hidden")[..],
        PONG,
    ]
    .concat();
    assert_same(&client.read_replies(5), &expected, &"a transaction");
    // A user of Redis needs no password of the proxy, and has to be right at Redis.
    let mut reader = proxy.client();
    assert_answers(&mut reader, "AUTH reader wrong", WRONGPASS);
    assert_answers(&mut reader, "GET open", NOAUTH);
    assert_answers(&mut reader, "AUTH reader right", OK);
    assert_answers(&mut reader, "GET open", &bulk("seen"));
    assert_no_permission(&reader.get("closed"));
    assert_answers(&mut reader, "RESET", b"+RESET\r\n");
    assert_answers(&mut reader, "GET open", NOAUTH);
    drop(redis);
}
