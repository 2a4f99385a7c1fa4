//! A Redis whose commands have other names (`rename-command`).

use super::{OK, dedicated};
use crate::common::{Client, Proxy, RedisServer, assert_same, bulk, eventually_get};

const QUEUED: &[u8] = b"+QUEUED\r\n";

/// The options that give commands other names.
fn renamed<'a>(names: &[(&'a str, &'a str)]) -> Vec<&'a str> {
    names
        .iter()
        .flat_map(|&(own, other)| ["--rename-command", own, other])
        .collect()
}

fn redis() -> RedisServer {
    RedisServer::start_with(&renamed(&[
        ("MULTI", "begin"),
        ("EXEC", "Commit"),
        ("DISCARD", "rollback"),
        ("WATCH", "guard"),
        ("SELECT", "pick"),
        ("SUBSCRIBE", "listen"),
        ("UNSUBSCRIBE", "unlisten"),
        ("MONITOR", "spy"),
        ("EVAL", "run"),
        ("BLPOP", "await"),
        ("SET", "put"),
        ("FLUSHALL", "fl\u{fc}sh"),
        ("RESET", "anew"),
        ("CONFIG", ""),
    ]))
}

fn command(client: &mut Client, line: &str) -> Vec<u8> {
    client.command(&line.split(' ').collect::<Vec<_>>())
}

#[track_caller]
fn assert_answers(client: &mut Client, line: &str, expected: &[u8]) {
    assert_same(&command(client, line), expected, &line);
}

/// Reads `x` through the cache until it is there.
#[track_caller]
fn cache_x(client: &mut Client, expected: &str) {
    eventually_get(client, "x", &bulk(expected));
}

#[test]
fn a_transaction_is_one_by_any_name() {
    let redis = redis();
    let proxy = Proxy::start(&redis, &[]);
    let (mut client, mut other) = (proxy.client(), proxy.client());
    assert_answers(&mut client, "put x 1", OK);
    cache_x(&mut other, "1");
    assert_eq!(dedicated(&proxy), 0, "SET leaves nothing on a connection");
    for round in 0..20 {
        assert_answers(&mut client, "guard x", OK);
        assert_answers(&mut client, "begin", OK);
        assert_answers(&mut client, &format!("PUT x new-{round}"), QUEUED);
        assert_answers(&mut client, "GET x", QUEUED);
        assert_answers(&mut other, "put y 1", OK);
        cache_x(&mut other, &round_before(round));
        let value = bulk(format!("new-{round}"));
        let expected = [b"*2\r\n+OK\r\n", &value[..]].concat();
        assert_answers(&mut client, "commit", &expected);
        assert_same(&other.get("x"), &value, &"what was written is read at once");
    }
    assert_eq!(dedicated(&proxy), 1);
    assert_answers(&mut client, "begin", OK);
    assert_answers(&mut client, "put x dropped", QUEUED);
    assert_answers(&mut client, "rollback", OK);
    cache_x(&mut other, "new-19");
}

fn round_before(round: u32) -> String {
    round
        .checked_sub(1)
        .map_or_else(|| "1".to_owned(), |round| format!("new-{round}"))
}

#[test]
fn what_leaves_state_has_a_dedicated_connection_by_any_name() {
    let redis = redis();
    let proxy = Proxy::start(&redis, &[]);
    redis.client().command(&["put", "innocent", "0"]);
    let mut innocent = proxy.client();
    cache_innocent(&mut innocent);
    let mut third = proxy.client();
    assert_answers(&mut third, "pick 3", OK);
    assert_answers(&mut third, "put innocent third", OK);
    let mut spy = proxy.client();
    assert_answers(&mut spy, "spy", OK);
    let mut listener = proxy.client();
    assert_answers(
        &mut listener,
        "listen news",
        b"*3\r\n$9\r\nsubscribe\r\n$4\r\nnews\r\n:1\r\n",
    );
    let mut waiter = proxy.client();
    waiter.send("await list 0\r\n");
    assert_answers(&mut innocent, "PUBLISH news 1", b":1\r\n");
    assert_same(
        &listener.read_reply(),
        b"*3\r\n$7\r\nmessage\r\n$4\r\nnews\r\n$1\r\n1\r\n",
        &"a message",
    );
    assert_answers(&mut innocent, "RPUSH list a", b":1\r\n");
    assert_same(
        &waiter.read_reply(),
        b"*2\r\n$4\r\nlist\r\n$1\r\na\r\n",
        &"what came up",
    );
    cache_innocent(&mut innocent);
    assert_answers(&mut innocent, "GETRANGE innocent 0 -1", &bulk("0"));
    assert_eq!(dedicated(&proxy), 4);
    // It ends the state, by its other name too.
    assert_answers(&mut third, "anew", b"+RESET\r\n");
    cache_innocent(&mut third);
    assert_eq!(dedicated(&proxy), 3);
}

#[track_caller]
fn cache_innocent(client: &mut Client) {
    eventually_get(client, "innocent", &bulk("0"));
}

#[test]
fn writes_are_seen_by_any_name() {
    let redis = redis();
    let proxy = Proxy::start(&redis, &["--tracking", "off"]);
    let mut client = proxy.client();
    assert_answers(&mut client, "put x 1", OK);
    cache_x(&mut client, "1");
    client.command(&["run", "redis.call('put', 'x', '2')", "0"]);
    assert_same(&client.get("x"), &bulk("2"), &"written by a script");
    assert_answers(&mut client, "put x 3", OK);
    assert_same(&client.get("x"), &bulk("3"), &"put");
    assert_answers(&mut client, "FL\u{fc}SH", OK);
    assert_same(&client.get("x"), b"$-1\r\n", &"flushed");
    assert_eq!(dedicated(&proxy), 0);
}

#[test]
fn a_command_that_has_another_name_has_its_own_no_more() {
    let redis = redis();
    let proxy = Proxy::start(&redis, &[]);
    for line in [
        "MULTI",
        "WATCH k",
        "EXEC",
        "SET x 1",
        "CONFIG GET maxmemory",
        "MONITOR",
        "RUN",
    ] {
        let (mut client, mut direct) = (proxy.client(), redis.client());
        let expected = command(&mut direct, line);
        assert_answers(&mut client, line, &expected);
    }
}

#[test]
fn subcommands_are_known_by_their_commands_other_name() {
    let redis = RedisServer::start_with(&renamed(&[("CLIENT", "visitor"), ("SCRIPT", "play")]));
    let proxy = Proxy::start(&redis, &[]);
    let mut innocent = proxy.client();
    assert_answers(&mut innocent, "SET k v", OK);
    for (line, needs_dedicated) in [
        ("visitor REPLY OFF", true),
        ("visitor tracking on", true),
        ("visitor setname x", true),
        ("visitor list", false),
        ("visitor nope", false),
        ("play load return", false),
        ("play debug yes", true),
    ] {
        let mut client = proxy.client();
        client.send(format!("{line}\r\n"));
        client.send("PING\r\n");
        if line != "visitor REPLY OFF" {
            client.read_replies(2);
        }
        let count = u64::from(needs_dedicated);
        crate::common::eventually(line, || dedicated(&proxy) == count);
        assert_answers(&mut innocent, "SET k v", OK);
        assert_answers(&mut innocent, "GETRANGE k 0 -1", &bulk("v"));
        drop(client);
        crate::common::eventually("it left", || dedicated(&proxy) == 0);
    }
}

#[test]
fn names_are_found_out_in_either_version_of_the_protocol() {
    let redis = redis();
    for version in ["2", "3"] {
        let proxy = Proxy::start(&redis, &[]);
        let mut client = proxy.client();
        client.command(&["HELLO", version]);
        let error = b"-ERR unknown command 'nope', with args beginning with: \r\n";
        assert_answers(&mut client, "nope", error);
        assert_answers(&mut client, "put x 1", OK);
        // Told anew, in that version: then as before.
        assert_answers(&mut client, "ACL SETUSER somebody", OK);
        assert_answers(&mut client, "put x 2", OK);
        cache_x(&mut client, "2");
        assert_eq!(dedicated(&proxy), 0);
        assert_answers(&mut client, "begin", OK);
        assert_answers(&mut client, "commit", b"*0\r\n");
        assert_eq!(dedicated(&proxy), 1);
    }
}

#[test]
fn secrets_are_left_out_of_the_slow_log_by_any_name() {
    let redis = RedisServer::start_with(&renamed(&[("CONFIG", "settings")]));
    let proxy = Proxy::start(&redis, &["--slowlog_slower_than", "0"]);
    let mut client = proxy.client();
    assert_answers(&mut client, "settings SET masterauth secret", OK);
    let log = String::from_utf8(client.command(&["PROXY", "SLOWLOG", "GET"])).expect("a text");
    assert!(log.contains("settings") && !log.contains("secret"), "{log}");
}

#[test]
fn a_pipeline_is_answered_in_order_while_names_are_found_out() {
    let redis = redis();
    let proxy = Proxy::start(&redis, &[]);
    let mut client = proxy.client();
    // A pipeline: each is answered in order, by whatever way it goes.
    client.send("put x 1\r\nGET x\r\nnope\r\nGET x\r\nbegin\r\nGET x\r\nCommit\r\nnope\r\nput x 2\r\nGET x\r\n");
    let expected = "+OK\r\n$1\r\n1\r\n-ERR unknown command 'nope', with args beginning with: \r\n$1\r\n1\r\n\
                    +OK\r\n+QUEUED\r\n*1\r\n$1\r\n1\r\n\
                    -ERR unknown command 'nope', with args beginning with: \r\n+OK\r\n$1\r\n2\r\n";
    assert_same(&client.read_replies(10), expected.as_bytes(), &"a pipeline");
}
