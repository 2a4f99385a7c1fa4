//! What a client has set before goes with it to its dedicated connection, and RESET brings it back.

use super::{
    OK, PONG, QUEUED, assert_answers, assert_as_at_redis, assert_ends_with, assert_x,
    await_clients, client_named, clients_of, proxy_with_x, settled_clients,
};
use crate::common::{Proxy, RedisServer, assert_same, bulk};

#[test]
fn name_database_and_protocol_go_with_the_client() {
    let redis = RedisServer::start();
    let proxy = Proxy::start(&redis, &["--redis_database", "2"]);
    let mut client = proxy.client();
    assert_answers(&mut client, "CLIENT SETNAME worker", OK);
    assert_answers(&mut client, "MULTI", OK);
    let line = client_named(&redis, "worker");
    for part in [" db=2 ", " multi=0 ", " resp=2"] {
        assert!(line.contains(part), "{part}: {line}");
    }
    assert_answers(&mut client, "DISCARD", OK);

    let mut client = proxy.client();
    client.send("HELLO 3 SETNAME third\r\nWATCH a\r\nHGETALL none\r\nCLIENT INFO\r\nQUIT\r\n");
    let text = String::from_utf8(client.read_to_end()).expect("a text");
    let (_, after) = text.split_once("modules\r\n*0\r\n").expect("a greeting");
    let info = after.strip_prefix("+OK\r\n%0\r\n=").expect("RESP3");
    for part in [" name=third ", " db=2 ", " resp=3"] {
        assert!(info.contains(part), "{part}: {text}");
    }
}

#[test]
fn each_client_has_its_own() {
    let (redis, proxy) = proxy_with_x(&["--dedicated_idle", "0"]);
    let before = settled_clients(&redis);
    let mut clients = [proxy.client(), proxy.client(), proxy.client()];
    for (number, client) in clients.iter_mut().enumerate() {
        assert_answers(client, &format!("CLIENT SETNAME client-{number}"), OK);
        assert_answers(client, "MULTI", OK);
        assert_answers(client, &format!("SET key-{number} {number}"), QUEUED);
    }
    await_clients(&redis, before + 3);
    for (number, client) in clients.iter_mut().enumerate() {
        client_named(&redis, &format!("client-{number}"));
        assert_answers(client, "EXEC", b"*1\r\n+OK\r\n");
        assert_answers(
            client,
            &format!("GET key-{number}"),
            &bulk(number.to_string()),
        );
    }
    drop(clients);
    await_clients(&redis, before);
}

#[test]
fn a_pipeline_of_hits_misses_writes_errors_and_a_multi_is_answered_in_order() {
    let (_redis, proxy) = proxy_with_x(&[]);
    let session = "GET x\r\nGET missing\r\nSET a 1\r\nGET a\r\nFOO\r\nPING\r\nGET x\r\nMULTI\r\n\
                   GET x\r\nINCR a\r\nEXEC\r\nGET a\r\nGET x\r\nLPUSH x 1\r\nECHO end\r\nQUIT\r\n";
    let expected = "$4\r\ntrue\r\n$-1\r\n+OK\r\n$1\r\n1\r\n\
                    -ERR unknown command 'FOO', with args beginning with: \r\n+PONG\r\n\
                    $4\r\ntrue\r\n+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n$4\r\ntrue\r\n:2\r\n\
                    $1\r\n2\r\n$4\r\ntrue\r\n\
                    -WRONGTYPE Operation against a key holding the wrong kind of value\r\n\
                    $3\r\nend\r\n+OK\r\n";
    let mut at_once = proxy.client();
    at_once.send(session);
    assert_same(&at_once.read_to_end(), expected.as_bytes(), &"at once");
    // The same in pieces, which end within requests.
    proxy.client().command(&["DEL", "a"]);
    let mut in_pieces = proxy.client();
    for piece in session.as_bytes().chunks(5) {
        in_pieces.send(piece);
        proxy.let_it_read();
    }
    assert_same(&in_pieces.read_to_end(), expected.as_bytes(), &"in pieces");
}

#[test]
fn reset_brings_a_client_back_to_the_cache() {
    let (redis, proxy) = proxy_with_x(&[]);
    let before = settled_clients(&redis);
    let mut client = proxy.client();
    for state in ["MULTI", "WATCH x", "CLIENT REPLY ON"] {
        client.command(&["CLIENT", "SETNAME", "named"]);
        assert_answers(&mut client, state, OK);
        assert_answers(&mut client, "RESET", b"+RESET\r\n");
        await_clients(&redis, before);
        assert_answers(&mut client, "CLIENT GETNAME", b"$-1\r\n");
        let calls = redis.calls("get");
        assert_x(&mut client);
        assert_eq!(redis.calls("get"), calls, "a hit after {state}");
    }
}

#[test]
fn reset_behind_other_commands_is_obeyed_in_its_turn() {
    let (redis, proxy) = proxy_with_x(&[]);
    let before = settled_clients(&redis);
    let mut client = proxy.client();
    for _ in 0..20 {
        client.send(
            "MULTI\r\nSET a 1\r\nEXEC\r\nGET a\r\nRESET\r\nGET x\r\nPING\r\nGET a\r\n\
             WATCH a\r\nMULTI\r\nINCR a\r\nRESET\r\nGET a\r\n",
        );
        let expected = "+OK\r\n+QUEUED\r\n*1\r\n+OK\r\n$1\r\n1\r\n+RESET\r\n$4\r\ntrue\r\n+PONG\r\n\
                        $1\r\n1\r\n+OK\r\n+OK\r\n+QUEUED\r\n+RESET\r\n$1\r\n1\r\n";
        assert_same(&client.read_replies(13), expected.as_bytes(), &"a pipeline");
    }
    await_clients(&redis, before);
}

#[test]
fn reset_ends_every_state_as_at_redis() {
    let redis = RedisServer::start();
    let proxy = Proxy::start(&redis, &[]);
    for state in [
        &["SUBSCRIBE a b", "PSUBSCRIBE c*"][..],
        &["MULTI", "FOO"],
        &["CLIENT REPLY OFF", "PING"],
        &["CLIENT REPLY SKIP", "PING"],
        &["CLIENT TRACKING ON", "GET tracked"],
        &["HELLO 9", "WATCH a", "MULTI", "GET a"],
    ] {
        let rest = ["RESET", "GET k", "PING", "CLIENT GETNAME", "EXEC", "QUIT"];
        assert_as_at_redis(&proxy, &[state, &rest[..]].concat());
    }
    // Back to RESP2.
    let mut client = proxy.client();
    client.send(
        "HELLO 3\r\nMULTI\r\nHGETALL none\r\nEXEC\r\nRESET\r\nHGETALL none\r\nGET none\r\nQUIT\r\n",
    );
    let replies = client.read_to_end();
    let end = b"+OK\r\n+QUEUED\r\n*1\r\n%0\r\n+RESET\r\n*0\r\n$-1\r\n+OK\r\n";
    assert_ends_with(&replies, end);
}

#[test]
fn another_database_is_another_world() {
    let (redis, proxy) = proxy_with_x(&[]);
    let mut third = proxy.client();
    assert_answers(&mut third, "SELECT 3", OK);
    assert_answers(&mut third, "GET x", b"$-1\r\n");
    assert_answers(&mut third, "SET x three", OK);
    assert_answers(&mut third, "GET x", &bulk("three"));
    assert_x(&mut proxy.client());
    // And back: what it writes here is seen here.
    assert_answers(&mut third, "SELECT 0", OK);
    assert_x(&mut third);
    assert_answers(&mut third, "SET x zero", OK);
    assert_same(&proxy.client().get("x"), &bulk("zero"), &"another client");
    assert_answers(&mut third, "SWAPDB 0 3", OK);
    assert_same(&proxy.client().get("x"), &bulk("three"), &"swapped");
    assert_answers(&mut third, "MOVE x 5", b":1\r\n");
    assert_same(&proxy.client().get("x"), b"$-1\r\n", &"moved");
    drop(third);
    drop(redis);
}

#[test]
fn the_configured_database_is_no_other() {
    let redis = RedisServer::start();
    let proxy = Proxy::start(&redis, &["--redis_database", "2"]);
    let mut client = proxy.client();
    assert_answers(&mut client, "SET a two", OK);
    let before = settled_clients(&redis);
    assert_answers(&mut client, "SELECT 2", OK);
    assert_answers(&mut client, "GET a", &bulk("two"));
    assert_eq!(clients_of(&redis).len(), before);
    assert_answers(&mut client, "SELECT 0", OK);
    assert_answers(&mut client, "GET a", b"$-1\r\n");
    assert_as_at_redis(&proxy, &["SELECT 99", "SELECT x", "SELECT", "PING", "QUIT"]);
}

#[test]
fn replies_are_left_out_where_the_client_wants_none() {
    let (_redis, proxy) = proxy_with_x(&[]);
    assert_as_at_redis(
        &proxy,
        &[
            "CLIENT REPLY SKIP",
            "SET a 1",
            "GET a",
            "CLIENT REPLY OFF",
            "SET a 2",
            "GET a",
            "FOO",
            "CLIENT REPLY ON",
            "GET a",
            "CLIENT REPLY NO",
            "CLIENT REPLY",
            "QUIT",
        ],
    );
    // Nobody is told when the write is done; but it is done before what the client sends next.
    let mut quiet = proxy.client();
    for number in 0..20 {
        let value = number.to_string();
        quiet.send(format!(
            "CLIENT REPLY OFF\r\nSET x {value}\r\nCLIENT REPLY ON\r\nPING\r\n"
        ));
        assert_same(&quiet.read_replies(2), &[OK, PONG].concat(), &"ON, PING");
        assert_same(&proxy.client().get("x"), &bulk(&value), &"another client");
    }
}

#[test]
fn a_tracking_client_is_told_what_others_write() {
    let (_redis, proxy) = proxy_with_x(&[]);
    let mut tracking = proxy.client();
    tracking.send("HELLO 3\r\nCLIENT TRACKING ON BCAST PREFIX x\r\nGET x\r\nSET ready 1\r\n");
    let mut other = proxy.client();
    crate::common::eventually("it tracks", || other.get("ready") != b"$-1\r\n");
    assert_answers(&mut other, "SET y 1", OK);
    assert_answers(&mut other, "SET x written", OK);
    tracking.send("GET x\r\nQUIT\r\n");
    let replies = tracking.read_to_end();
    let end = b"+OK\r\n$4\r\ntrue\r\n+OK\r\n>2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\nx\r\n\
                $7\r\nwritten\r\n+OK\r\n";
    assert_ends_with(&replies, end);
}

#[test]
fn what_is_no_request_is_answered_as_at_redis() {
    let redis = RedisServer::start();
    let proxy = Proxy::start(&redis, &[]);
    for nonsense in ["*1\r\n+PING", "*1\r\n$x", "*9999999999", "\"unbalanced"] {
        assert_as_at_redis(&proxy, &["MULTI", "PING", nonsense, "PING"]);
    }
}

#[test]
fn requests_leave_in_the_order_in_which_they_came_on_whatever_connection() {
    let redis = RedisServer::start();
    let proxy = Proxy::start(&redis, &[]);
    let (mut dedicated, mut shared) = (proxy.client(), proxy.client());
    assert_answers(&mut dedicated, "WATCH other", OK);
    let mut straight = redis.client();
    for round in 0..300 {
        dedicated.send("SET x dedicated\r\n");
        shared.send("SET x shared\r\n");
        assert_same(&dedicated.read_reply(), OK, &round);
        assert_same(&shared.read_reply(), OK, &round);
        assert_same(&straight.get("x"), &bulk("shared"), &round);
    }
}
