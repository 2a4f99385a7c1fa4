//! Redis goes away, and comes back.

use super::{OK, assert_answers, assert_x, proxy_with_x};
use crate::common::{SOON_AWAY, assert_same, bulk, eventually};

#[test]
fn dedicated_connections_end_with_redis_and_hits_go_on() {
    let (mut redis, proxy) = proxy_with_x(SOON_AWAY);
    let mut shared = proxy.client();
    assert_x(&mut shared);
    let mut own: Vec<_> = ["MULTI", "WATCH x", "SUBSCRIBE a", "SELECT 3"]
        .map(|command| {
            let mut client = proxy.client();
            client.send(format!("{command}\r\n"));
            client.read_reply();
            client
        })
        .into();
    let mut waiting = proxy.client();
    waiting.send("BLPOP list 0\r\n");
    redis.await_blocked(1);
    own.push(waiting);
    let open_files = proxy.open_files();
    redis.stop();
    for client in &mut own {
        assert_same(&client.read_to_end(), b"", &"the connection ends");
    }
    proxy.wait_for_log("redis down");
    assert_x(&mut shared);
    assert_x(&mut proxy.client());
    for command in ["GET missing", "SET x 1", "LRANGE l 0 -1", "DBSIZE"] {
        let mut client = proxy.client();
        client.send(format!("GET x\r\n{command}\r\nGET x\r\n"));
        assert_same(&client.read_to_end(), &bulk("true"), &command);
    }
    assert_x(&mut shared);
    drop(own);
    // Five clients and their connections to Redis.
    eventually("their sockets are closed", || {
        proxy.open_files() <= open_files - 10
    });
}

#[test]
fn who_needs_a_dedicated_connection_is_closed_while_redis_is_away() {
    let (mut redis, proxy) = proxy_with_x(SOON_AWAY);
    redis.stop();
    proxy.wait_for_log("redis down");
    for command in [
        "MULTI",
        "SUBSCRIBE a",
        "BLPOP l 0",
        "SELECT 3",
        "AUTH reader x",
        "MONITOR",
    ] {
        let mut client = proxy.client();
        client.send(format!("PING\r\nGET x\r\n{command}\r\nPING\r\n"));
        assert_same(
            &client.read_replies(2),
            b"+PONG\r\n$4\r\ntrue\r\n",
            &command,
        );
        client.assert_closed();
    }
    redis.start_again();
    eventually("dedicated connections are made again", || {
        let mut client = proxy.client();
        client.send("MULTI\r\n");
        client.reply_or_end().is_some_and(|reply| reply == OK)
    });
    let mut client = proxy.client();
    assert_answers(&mut client, "SET x back", OK);
    assert_answers(&mut client, "GET x", &bulk("back"));
}

#[test]
fn dedicated_connections_wait_for_a_redis_that_is_paused_and_hits_go_on() {
    let (redis, proxy) = proxy_with_x(&["--redis_timeout", "15000"]);
    let mut own = proxy.client();
    assert_answers(&mut own, "MULTI", OK);
    redis.pause();
    own.send("GET x\r\nEXEC\r\n");
    let mut new = proxy.client();
    new.send("GET x\r\nMULTI\r\n");
    assert_same(&new.read_reply(), &bulk("true"), &"the hit before");
    let mut other = proxy.client();
    for _ in 0..100 {
        assert_x(&mut other);
    }
    assert!(own.has_received_nothing() && new.has_received_nothing());
    redis.resume();
    assert_same(
        &own.read_replies(2),
        b"+QUEUED\r\n*1\r\n$4\r\ntrue\r\n",
        &"EXEC",
    );
    assert_same(&new.read_reply(), OK, &"MULTI");
}

#[test]
fn a_redis_that_vanishes_in_silence_ends_subscribers_and_blocked_workers() {
    let (redis, proxy) = proxy_with_x(&["--redis_timeout", "300"]);
    let mut listener = proxy.client();
    listener.send("SUBSCRIBE news\r\n");
    listener.read_reply();
    let mut worker = proxy.client();
    worker.send("BLPOP list 0\r\n");
    redis.await_blocked(1);
    redis.pause();
    listener.assert_closed();
    worker.assert_closed();
    assert_x(&mut proxy.client());
    redis.resume();
}
