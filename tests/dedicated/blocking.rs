//! Commands that wait at Redis.

use super::{OK, PONG, assert_answers, assert_x, await_clients, proxy_with_x, settled_clients};
use crate::common::{assert_same, bulk};

const POPPED: &[u8] = b"*2\r\n$4\r\nlist\r\n$1\r\nv\r\n";

#[test]
fn a_blpop_is_woken_by_a_push_wherever_it_comes_from() {
    let (redis, proxy) = proxy_with_x(&[]);
    let mut waiting = proxy.client();
    let mut through_proxy = proxy.client();
    let mut own = proxy.client();
    assert_answers(&mut own, "WATCH nothing", OK);
    for pusher in [&mut through_proxy, &mut redis.client(), &mut own] {
        waiting.send("BLPOP none list 0\r\nGET x\r\n");
        redis.await_blocked(1);
        assert_x(pusher);
        assert!(waiting.has_received_nothing());
        assert_answers(pusher, "RPUSH list v", b":1\r\n");
        assert_same(&waiting.read_reply(), POPPED, &"BLPOP");
        assert_same(&waiting.read_reply(), &bulk("true"), &"the GET behind it");
    }
    assert_answers(&mut waiting, "BLPOP none 0.01", b"*-1\r\n");
    assert_answers(
        &mut waiting,
        "BLPOP x 0",
        b"-WRONGTYPE Operation against a key holding the wrong kind of value\r\n",
    );
}

#[test]
fn replies_before_a_wait_come_at_once() {
    let (redis, proxy) = proxy_with_x(&[]);
    let mut client = proxy.client();
    client.send("GET x\r\nSET a 1\r\nGET a\r\nPING\r\nBLPOP list 0\r\nPING\r\n");
    assert_same(
        &client.read_replies(4),
        b"$4\r\ntrue\r\n+OK\r\n$1\r\n1\r\n+PONG\r\n",
        &"before",
    );
    redis.await_blocked(1);
    redis.client().command(&["RPUSH", "list", "v"]);
    assert_same(&client.read_replies(2), &[POPPED, PONG].concat(), &"after");
}

#[test]
fn all_that_wait_are_served_and_others_go_on() {
    let (redis, proxy) = proxy_with_x(&[]);
    let mut waiting: Vec<_> = (0..100).map(|_| proxy.client()).collect();
    for client in &mut waiting {
        client.send("BLPOP list 0\r\n");
    }
    redis.await_blocked(100);
    let mut other = proxy.client();
    assert_x(&mut other);
    for _ in 0..100 {
        other.command(&["RPUSH", "list", "v"]);
    }
    for client in &mut waiting {
        assert_same(&client.read_reply(), POPPED, &"BLPOP");
    }
}

#[test]
fn other_commands_wait_too() {
    let (redis, proxy) = proxy_with_x(&[]);
    let mut other = proxy.client();
    for (waits, wakes, reply) in [
        ("BRPOPLPUSH from to 0", "RPUSH from v", "$1\r\nv\r\n"),
        ("BLMOVE from to LEFT RIGHT 0", "RPUSH from v", "$1\r\nv\r\n"),
        (
            "BLMPOP 0 1 from LEFT",
            "RPUSH from v",
            "*2\r\n$4\r\nfrom\r\n*1\r\n$1\r\nv\r\n",
        ),
        (
            "BZPOPMIN z 0",
            "ZADD z 1.5 m",
            "*3\r\n$1\r\nz\r\n$1\r\nm\r\n$3\r\n1.5\r\n",
        ),
        (
            "BZMPOP 0 1 z MAX",
            "ZADD z 2 m",
            "*2\r\n$1\r\nz\r\n*1\r\n*2\r\n$1\r\nm\r\n$1\r\n2\r\n",
        ),
        (
            "XREAD BLOCK 0 STREAMS s $",
            "XADD s 1-1 f v",
            "*1\r\n*2\r\n$1\r\ns\r\n*1\r\n*2\r\n$3\r\n1-1\r\n*2\r\n$1\r\nf\r\n$1\r\nv\r\n",
        ),
    ] {
        let mut client = proxy.client();
        client.send(format!("{waits}\r\n"));
        redis.await_blocked(1);
        let words: Vec<_> = wakes.split(' ').collect();
        other.command(&words);
        assert_same(&client.read_reply(), reply.as_bytes(), &waits);
    }
}

#[test]
fn a_client_that_leaves_while_it_waits_takes_nothing() {
    let (redis, proxy) = proxy_with_x(&[]);
    let before = settled_clients(&redis);
    let mut client = proxy.client();
    client.send("BLPOP list 0\r\n");
    redis.await_blocked(1);
    drop(client);
    redis.await_blocked(0);
    await_clients(&redis, before);
    assert_answers(&mut proxy.client(), "RPUSH list v", b":1\r\n");
    assert_answers(&mut proxy.client(), "LLEN list", b":1\r\n");
}

#[test]
fn a_dedicated_connection_is_unblocked_and_killed_at_redis() {
    let (redis, proxy) = proxy_with_x(&[]);
    let mut client = proxy.client();
    assert_answers(&mut client, "CLIENT SETNAME waiting", OK);
    client.send("BLPOP list 0\r\n");
    redis.await_blocked(1);
    let line = super::client_named(&redis, "waiting");
    let at_redis = line.trim_start_matches("id=").split(' ').next();
    let at_redis = at_redis.expect("a number").to_owned();
    let unblock = format!("UPSTREAM CLIENT UNBLOCK {at_redis} ERROR");
    assert_answers(&mut proxy.client(), &unblock, b":1\r\n");
    assert_same(
        &client.read_reply(),
        b"-UNBLOCKED client unblocked via CLIENT UNBLOCK\r\n",
        &"BLPOP",
    );
    // So that it needs that connection on.
    assert_answers(&mut client, "WATCH key", OK);
    let kill = format!("UPSTREAM CLIENT KILL ID {at_redis}");
    assert_answers(&mut proxy.client(), &kill, b":1\r\n");
    assert_same(&client.read_to_end(), b"", &"it was killed");
    assert_x(&mut proxy.client());
}

#[test]
fn who_closes_its_side_waits_no_longer_whatever_it_sent_behind() {
    let (redis, proxy) = proxy_with_x(&[]);
    let many = "GET x\r\n".repeat(20_000);
    for requests in [
        "BLPOP none 0\r\n",
        "BLPOP none 0\r\nGET x\r\nRESET\r\nGET x\r\n",
        "BLPOP none 0\r\nNOSUCH x\r\nRESET\r\nNOSUCH y\r\n",
        "BLPOP none 0\r\nQUIT\r\nGET x\r\n",
        "EVAL \"return redis.status_reply('QUEUED')\" 0\r\nBLPOP none 0\r\nGET x\r\n",
        "MULTI\r\nBLPOP none 0\r\nEXEC\r\nBLPOP none 0\r\nRESET\r\n",
        "CLIENT REPLY SKIP\r\nBLPOP none 0\r\nSELECT 1\r\nRESET\r\nGET x\r\nRESET\r\n",
        &format!("BLPOP none 0\r\nRESET\r\n{many}"),
        // These are answered: nothing is waited for.
        "RPUSH list v\r\nBLPOP list 0\r\nRESET\r\nGET x\r\nNOSUCH\r\nGET x\r\n",
        "RPUSH list v\r\nBLPOP list 0\r\nNOSUCH\r\nGET x\r\n",
    ] {
        let [mut straight, mut client] = [redis.client(), proxy.client()];
        for client in [&mut straight, &mut client] {
            // So that it is dedicated before.
            client.send(format!("WATCH nothing\r\n{requests}"));
            client.finish_sending();
        }
        let about = &requests[..requests.len().min(100)];
        assert_same(&client.read_to_end(), &straight.read_to_end(), &about);
        redis.await_blocked(0);
    }
}

#[test]
fn what_is_behind_a_login_is_answered_if_the_client_has_ended_and_redis_does_not_block() {
    let (redis, proxy) = proxy_with_x(&[]);
    // Whether it blocks, the proxy can't know before it is answered.
    for blocks in ["WAIT 0 0", "BLPOP x 0"] {
        let mut client = proxy.client();
        assert_answers(&mut client, "WAIT 0 0", b":0\r\n");
        redis.pause();
        client.send(format!(
            "{blocks}\r\nAUTH default any\r\nGET x\r\nAUTH default any\r\nPING\r\n"
        ));
        client.finish_sending();
        proxy.let_it_read();
        redis.resume();
        let received = String::from_utf8(client.read_to_end()).expect("text");
        let expected = "+OK\r\n$4\r\ntrue\r\n+OK\r\n+PONG\r\n";
        assert!(received.ends_with(expected), "{blocks}: {received:?}");
    }
}
