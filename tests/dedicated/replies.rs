//! What the proxy takes a connection's state to be is what Redis's replies say: requests that fail, that are
//! not answered, or are answered more than once.

use super::{OK, PONG, assert_answers, assert_as_at, assert_x, proxy_with_x};
use crate::common::{Client, MB, Proxy, RedisServer, assert_same, bulk, only_time_to_live};

/// A Redis with `x` and with a user who may not do much, and a proxy to which nobody but its own clients says what
/// changes.
fn untold_proxy_with_x() -> (RedisServer, Proxy) {
    let (redis, proxy) = proxy_with_x(only_time_to_live());
    let user = "ACL SETUSER limited on >right ~* &* +@all -multi -subscribe -client|reply";
    assert_answers(&mut redis.client(), user, OK);
    (redis, proxy)
}

/// Has a client write `x` a while after it has sent the request: by then the old value is in the cache again.
/// Behind the write, `last` is sent.
#[track_caller]
fn write_late(redis: &RedisServer, proxy: &Proxy, writer: &mut Client, value: &str, last: &str) {
    send_late(redis, proxy, writer, &format!("SET x {value}\r\n{last}"));
}

/// The same with these requests, which Redis executes when the old value was read.
#[track_caller]
fn send_late(redis: &RedisServer, proxy: &Proxy, writer: &mut Client, requests: &str) {
    let before = redis.client().get("x");
    writer.send(format!("BLPOP none 0\r\n{requests}"));
    redis.await_blocked(1);
    assert_same(&proxy.client().get("x"), &before, &"not written yet");
    let clients = super::clients_of(redis);
    let blocked = clients.iter().find(|line| line.contains(" cmd=blpop "));
    let number = super::twins::field(blocked.expect("it is blocked"), "id");
    // As if its time was over.
    let unblock = format!("CLIENT UNBLOCK {number} TIMEOUT");
    assert_answers(&mut redis.client(), &unblock, b":1\r\n");
}

#[test]
fn an_acknowledged_write_is_read_after_requests_that_failed() {
    let (redis, proxy) = untold_proxy_with_x();
    for (number, session) in [
        &["WATCH a"][..],
        &["MULTI x"],
        &["MULTI x", "MULTI x", "EXEC"],
        &["MULTI", "DISCARD x", "EXEC"],
        &["MULTI", "NONSENSE", "EXEC"],
        &["MULTI", "EXEC x"],
        &["WATCH a", "EXEC", "DISCARD"],
        &["SUBSCRIBE", "PSUBSCRIBE"],
        &[
            "SUBSCRIBE a",
            "MULTI",
            "SUBSCRIBE b",
            "UNSUBSCRIBE a b",
            "PING",
        ],
        &["UNSUBSCRIBE", "PUNSUBSCRIBE a b", "SUNSUBSCRIBE"],
        &["MULTI", "SUBSCRIBE a b", "EXEC", "UNSUBSCRIBE a b", "PING"],
        &["MULTI", "SUBSCRIBE a", "UNSUBSCRIBE a", "DISCARD"],
        &[
            "AUTH limited right",
            "MULTI",
            "SUBSCRIBE a",
            "CLIENT REPLY OFF",
        ],
        &["HELLO 3 AUTH limited wrong", "WATCH a", "HELLO 9"],
        &["SELECT 99", "MULTI", "EXEC"],
        &["CLIENT REPLY SKIP", "MULTI", "EXEC"],
        &["CLIENT REPLY OFF", "MULTI x", "CLIENT REPLY ON"],
        &[
            "MULTI",
            "CLIENT REPLY SKIP",
            "CLIENT REPLY OFF",
            "CLIENT REPLY ON",
            "EXEC",
            "PING",
        ],
        &[
            "MONITOR x",
            "SYNC x",
            "PSYNC",
            "REPLCONF ACK 1",
            "REPLCONF ACK",
        ],
        &["EVAL \"return redis.status_reply('QUEUED')\" 0", "WATCH a"],
        &[
            "EVAL \"return redis.status_reply('QUEUED')\" 0",
            "MULTI",
            "EXEC",
        ],
    ]
    .iter()
    .enumerate()
    {
        let mut writer = proxy.client();
        writer.send(session.join("\r\n") + "\r\nECHO ready\r\n");
        writer.read_until(&bulk("ready"));
        let value = format!("value-{number}");
        write_late(&redis, &proxy, &mut writer, &value, "");
        assert_same(&writer.read_replies(2), b"*-1\r\n+OK\r\n", session);
        assert_same(&proxy.client().get("x"), &bulk(&value), session);
    }
}

#[test]
fn a_write_that_is_not_acknowledged_is_read_as_soon_as_it_is_done() {
    let (redis, proxy) = untold_proxy_with_x();
    let mut writer = proxy.client();
    writer.send("CLIENT REPLY OFF\r\n");
    write_late(&redis, &proxy, &mut writer, "off", "CLIENT REPLY ON\r\n");
    assert_same(&writer.read_reply(), OK, &"CLIENT REPLY ON");
    assert_same(&proxy.client().get("x"), &bulk("off"), &"OFF");

    let requests = "CLIENT REPLY SKIP\r\nSET x skip\r\nPING\r\n";
    send_late(&redis, &proxy, &mut writer, requests);
    assert_same(&writer.read_replies(2), b"*-1\r\n+PONG\r\n", &"PING");
    assert_same(&proxy.client().get("x"), &bulk("skip"), &"SKIP");

    // Nor need any reply follow.
    writer.send("CLIENT REPLY OFF\r\n");
    write_late(&redis, &proxy, &mut writer, "forever", "");
    crate::common::eventually("the old value goes", || {
        proxy.client().get("x") == bulk("forever")
    });
    writer.send("MULTI\r\nSET x multi\r\nEXEC\r\n");
    crate::common::eventually("the old value goes", || {
        proxy.client().get("x") == bulk("multi")
    });
    assert!(writer.has_received_nothing());
}

#[test]
fn a_client_that_sends_no_more_gets_every_reply_whatever_it_did_before() {
    let (redis, proxy) = proxy_with_x(&[]);
    let count = 20_000;
    let writes: String = (0..count)
        .map(|number| format!("SET k {number}\r\n"))
        .collect();
    for session in [
        "UNSUBSCRIBE c\r\n",
        "CLIENT REPLY SKIP\r\n",
        "CLIENT REPLY OFF\r\nPING\r\nCLIENT REPLY ON\r\n",
        "SUBSCRIBE a b\r\nUNSUBSCRIBE a\r\nUNSUBSCRIBE\r\n",
        "MULTI x\r\nMULTI\r\nSUBSCRIBE a\r\nUNSUBSCRIBE\r\nEXEC\r\n",
        "HELLO 3 SETNAME me\r\nSUBSCRIBE a\r\nHELLO 9\r\n",
        "MONITOR x\r\nREPLCONF ACK 1\r\n\r\n",
    ] {
        let received = [redis.client(), proxy.client()].map(|mut client| {
            let mut sender = client.second_handle();
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    sender.send(session);
                    sender.send(&writes);
                    sender.finish_sending();
                });
                client.read_to_end()
            })
        });
        let [expected, actual] = received.each_ref().map(|received| {
            let oks = received.windows(OK.len()).filter(|part| *part == OK);
            oks.count()
        });
        assert!(expected >= count - 1, "{session:?}");
        assert_eq!(actual, expected, "{session:?}");
    }
}

#[test]
fn a_blocked_client_that_sends_no_more_is_closed_as_at_redis() {
    let (redis, proxy) = proxy_with_x(&[]);
    for mut client in [redis.client(), proxy.client()] {
        client.send("WATCH a\r\nBLPOP none 0\r\nPING\r\n");
        redis.await_blocked(1);
        client.finish_sending();
        assert_same(&client.read_to_end(), OK, &"the end");
        redis.await_blocked(0);
    }
}

#[test]
fn one_that_once_subscribed_costs_others_no_hits() {
    let (redis, proxy) = proxy_with_x(&[]);
    let mut writer = proxy.client();
    writer.send("SUBSCRIBE a\r\nUNSUBSCRIBE\r\n");
    writer.read_replies(2);
    for number in 0..1100 {
        writer.send(format!("SET key:{number} 1\r\n"));
    }
    writer.read_replies(1100);
    let mut reader = proxy.client();
    assert_x(&mut reader);
    let calls = redis.calls("get");
    for _ in 0..200 {
        assert_answers(&mut writer, "PING", PONG);
        assert_x(&mut reader);
    }
    assert_eq!(redis.calls("get"), calls, "all are hits");
}

#[test]
fn a_reset_that_redis_does_not_know_leaves_the_client_where_it_is() {
    let redis = RedisServer::start_with(&["--rename-command", "RESET", ""]);
    let proxy = Proxy::start(&redis, &[]);
    redis.set("x", "true");
    for session in [
        &[
            "SELECT 3", "RESET", "GET x", "SET y 1", "GET y", "DEL y", "QUIT",
        ][..],
        &[
            "WATCH a", "RESET", "GET x", "MULTI", "RESET", "PING", "EXEC", "GET x", "QUIT",
        ],
        &[
            "SUBSCRIBE a",
            "RESET",
            "UNSUBSCRIBE a",
            "RESET",
            "GET x",
            "QUIT",
        ],
        &[
            "CLIENT REPLY OFF",
            "RESET",
            "PING",
            "CLIENT REPLY ON",
            "GET x",
            "QUIT",
        ],
        &["RESET", "GET x", "QUIT"],
    ] {
        assert_as_at(&redis, &proxy, session);
    }
}

#[test]
fn what_a_blocked_client_is_about_to_write_is_not_read_from_the_cache() {
    let (redis, proxy) = proxy_with_x(&[]);
    redis.set("big", "b".repeat(4 * MB));
    let mut other = proxy.client();
    let mut reader = proxy.client();
    for round in 0..50 {
        // It does not read what comes before, so that its reply comes to the proxy late.
        let mut blocked = proxy.client();
        let request = ["BLMOVE src dst LEFT RIGHT 0", "BRPOPLPUSH src dst 0"][round % 2];
        blocked.send("WATCH a\r\n".to_owned() + &"GET big\r\n".repeat(10) + request + "\r\n");
        redis.await_blocked(1);
        for _ in 0..2 {
            assert_same(&reader.get("dst"), b"$-1\r\n", &"nothing yet");
        }
        assert_answers(&mut other, "LPUSH src value", b":1\r\n");
        let reply = other.get("dst");
        assert!(reply.starts_with(b"-WRONGTYPE"), "{}", reply.escape_ascii());
        drop(blocked);
        other.command(&["DEL", "dst"]);
    }
}

#[test]
fn requests_in_flight_take_little_memory_however_many_are_sent() {
    let (redis, proxy) = proxy_with_x(&[]);
    let mut client = proxy.client();
    // Redis takes in all that a blocked client sends.
    client.send("BLPOP none 0\r\n");
    redis.await_blocked(1);
    let before = proxy.memory();
    let requests = "PING\r\n\r\nSET k 1\r\n".repeat(10_000);
    let (mut sent, mut idle) = (0, 0);
    while idle < 50 && sent < 50 * MB {
        let length = client.send_without_waiting(requests.as_bytes());
        sent += length;
        idle = if length == 0 { idle + 1 } else { 0 };
        proxy.let_it_read();
    }
    let grown = proxy.memory().saturating_sub(before);
    assert!(grown < 8 * MB, "{grown} bytes for {sent}");
    assert_x(&mut proxy.client());
}

#[test]
fn a_replica_gets_its_stream() {
    let (redis, proxy) = proxy_with_x(&[]);
    let mut replica = proxy.client();
    assert_answers(&mut replica, "REPLCONF capa psync2", OK);
    // Redis refuses it behind a reply that was not sent yet.
    let refused = b"+PONG\r\n-ERR SYNC and PSYNC are invalid with pending output\r\n";
    replica.send("PING\r\nPSYNC ? -1\r\n");
    assert_same(&replica.read_replies(2), refused, &"at once");
    replica.send("PSYNC ? -1\r\n");
    crate::common::eventually("Redis has the replica", || {
        let info = redis.client().command(&["INFO", "replication"]);
        let info = String::from_utf8(info).expect("a text");
        info.contains("connected_slaves:1") && info.contains("state=online")
    });
    assert_answers(&mut proxy.client(), "SET streamed 1", OK);
    replica.send("REPLCONF ACK 0\r\n");
    redis_closes(&redis);
    let stream = replica.read_to_end();
    let has = |text: &[u8]| stream.windows(text.len()).any(|part| part == text);
    assert!(stream.starts_with(b"+FULLRESYNC ") && has(b"$8\r\nstreamed\r\n"));
}

#[test]
fn replication_may_be_the_first_that_a_client_asks_for() {
    let redis = RedisServer::start();
    let proxy = Proxy::start(&redis, &["--redis_database", "1"]);
    for request in ["SYNC\r\n", "PSYNC ? -1\r\n"] {
        let mut replica = proxy.client();
        replica.send(request);
        let header = replica.read_until(b"\r\n");
        assert!(!header.starts_with(b"-"), "{}", header.escape_ascii());
        redis_closes(&redis);
        replica.read_to_end();
    }
}

/// Has Redis close its replicas.
fn redis_closes(redis: &RedisServer) {
    redis
        .client()
        .command(&["CLIENT", "KILL", "TYPE", "replica"]);
}

#[test]
fn queued_requests_are_answered_in_whatever_state_they_leave_the_connection() {
    let (_redis, proxy) = proxy_with_x(&[]);
    for session in [
        &[
            "MULTI",
            "CLIENT REPLY OFF",
            "PING",
            "CLIENT REPLY ON",
            "PING",
            "EXEC",
            "PING",
            "QUIT",
        ][..],
        &[
            "MULTI",
            "PING",
            "CLIENT REPLY SKIP",
            "PING",
            "EXEC",
            "PING",
            "PING",
            "QUIT",
        ],
        &["CLIENT REPLY SKIP", "MULTI", "PING", "EXEC", "QUIT"],
        &[
            "CLIENT REPLY OFF",
            "MULTI",
            "PING",
            "CLIENT REPLY ON",
            "PING",
            "EXEC",
            "PING",
            "QUIT",
        ],
        &[
            "MULTI",
            "SUBSCRIBE a b",
            "PING",
            "UNSUBSCRIBE b a",
            "EXEC",
            "PING",
            "QUIT",
        ],
        &[
            "MULTI",
            "MONITOR",
            "REPLCONF ACK 1",
            "PING",
            "EXEC",
            "PING",
            "QUIT",
        ],
        &[
            "CLIENT REPLY SKIP",
            "",
            "PING",
            "CLIENT REPLY SKIP",
            "*0",
            "PING",
            "QUIT",
        ],
        &["CLIENT REPLY SKIP", "BLPOP none 0.01", "PING", "QUIT"],
        &[
            "CLIENT REPLY OFF",
            "SUBSCRIBE a",
            "PING",
            "UNSUBSCRIBE",
            "CLIENT REPLY ON",
            "QUIT",
        ],
    ] {
        super::assert_as_at_redis(&proxy, session);
    }
    let mut client = proxy.client();
    client.send(
        "HELLO 3\r\nMULTI\r\nSUBSCRIBE a\r\nPUBLISH a x\r\nUNSUBSCRIBE\r\nEXEC\r\nPING\r\nQUIT\r\n",
    );
    let expected = "+OK\r\n+QUEUED\r\n+QUEUED\r\n+QUEUED\r\n*3\r\n\
                    >3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n\
                    >3\r\n$7\r\nmessage\r\n$1\r\na\r\n$1\r\nx\r\n:1\r\n\
                    >3\r\n$11\r\nunsubscribe\r\n$1\r\na\r\n:0\r\n+PONG\r\n+OK\r\n";
    super::assert_ends_with(&client.read_to_end(), expected.as_bytes());
}
