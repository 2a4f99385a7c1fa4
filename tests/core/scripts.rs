//! Scripts write keys that they declare, and perhaps others, which Redis reports.

use redis_proxy::resp::Protocol;
use redis_proxy::upstream::CLOSED;

use crate::world::{World, bulk, get, multibulk};

const SCRIPT: &str = "return redis.call('SET', 'undeclared', 'new')";

fn world() -> World {
    let mut world = World::roomy();
    for key in ["declared", "undeclared", "other"] {
        world.cache(key, "old");
    }
    world
}

fn eval(script: &str) -> Vec<u8> {
    multibulk(&["EVAL", script, "1", "declared"])
}

/// Whether a key is read from the cache, by another client than the one whose script it was.
fn is_cached(world: &mut World, key: &str) -> bool {
    let client = world.connect();
    world.send(client, get(key));
    let is_cached = world.received(client) == bulk("old");
    if !is_cached {
        world.answer(bulk("new"));
    }
    world.leave(client);
    is_cached
}

#[test]
fn a_script_removes_the_keys_that_it_declares_and_redis_reports_the_others() {
    let mut world = world();
    let client = world.connect();
    world.send(client, eval(SCRIPT));
    world.answer("+OK\r\n");
    assert!(!is_cached(&mut world, "declared"));
    assert!(is_cached(&mut world, "undeclared"));
    assert!(is_cached(&mut world, "other"));
    world.invalidate("undeclared");
    assert!(!is_cached(&mut world, "undeclared"));
    assert!(is_cached(&mut world, "other"));
}

#[test]
fn without_such_reports_it_empties_the_cache() {
    let mut world = World::unheard(crate::world::roomy());
    world.up_without_tracking();
    world.cache("other", "old");
    let client = world.connect();
    world.send(client, eval(SCRIPT));
    world.answer("+OK\r\n");
    assert!(!is_cached(&mut world, "other"));
}

#[test]
fn a_client_reads_from_redis_until_all_is_reported_that_its_script_changed() {
    let mut world = world();
    let client = world.connect();
    // In the same pipeline.
    world.send(client, [eval(SCRIPT), get("undeclared")].concat());
    world.assert_asked(&[
        &format!("EVAL {SCRIPT} 1 declared").replace('\'', "\\'")[..],
        "GET undeclared",
    ]);
    world.answer_together(&[b"+OK\r\n".to_vec(), bulk("new")]);
    world.assert_received(client, [b"+OK\r\n", &bulk("new")[..]].concat());
    // Behind the reply.
    let requests = [
        get("other"),
        multibulk(&["MGET", "other"]),
        multibulk(&["STRLEN", "other"]),
    ];
    for request in &requests {
        world.send(client, request);
        assert_eq!(world.asked().len(), 1);
        world.answer(bulk("old"));
        world.received(client);
    }
    let barrier = world.proxy.take_barrier().expect("one is wanted");
    world.send(client, get("other"));
    assert_eq!(world.asked().len(), 1);
    world.answer(bulk("old"));
    world.received(client);
    world.pass_barrier(barrier);
    world.send(client, get("other"));
    world.assert_received(client, bulk("old"));
    assert_eq!(world.proxy.take_barrier(), None);
}

#[test]
fn it_waits_for_no_fetch_from_before_its_script() {
    let mut world = World::roomy();
    let [early, client] = [world.connect(), world.connect()];
    world.send(early, get("undeclared"));
    world.send(client, [eval("return 1"), get("undeclared")].concat());
    world.assert_asked(&[
        "GET undeclared",
        "EVAL return 1 1 declared",
        "GET undeclared",
    ]);
    world.answer_together(&[bulk("old"), b":1\r\n".to_vec(), bulk("new")]);
    world.assert_received(early, bulk("old"));
    world.assert_received(client, [b":1\r\n", &bulk("new")[..]].concat());
}

#[test]
fn a_script_in_a_transaction_counts_when_that_is_executed() {
    let mut world = world();
    let client = world.connect();
    let requests = [
        multibulk(&["MULTI"]),
        eval("return 1"),
        multibulk(&["EXEC"]),
    ];
    world.send(client, requests.concat());
    for reply in ["+OK\r\n", "+QUEUED\r\n"] {
        world.answer(reply);
        assert_eq!(world.proxy.take_barrier(), None);
    }
    world.answer("*1\r\n:1\r\n");
    world.received(client);
    let barrier = world.proxy.take_barrier().expect("one is wanted");
    world.send(client, get("other"));
    world.assert_asked(&["GET other"]);
    world.answer(bulk("old"));
    world.received(client);
    world.pass_barrier(barrier);
    world.send(client, get("other"));
    world.assert_received(client, bulk("old"));
}

#[test]
fn so_does_one_on_a_dedicated_connection_whose_client_goes_back_before_its_reply_is_passed_on() {
    let mut world = world();
    let client = world.connect();
    world.send(client, multibulk(&["MULTI"]));
    world.send(client, [eval(SCRIPT), multibulk(&["EXEC"])].concat());
    let output = world.proxy.dedicated(client).expect("a connection");
    output.send(&mut Vec::new()).expect("memory");
    world.receive_dedicated(client, ":9\r\n+OK\r\n+QUEUED\r\n");
    world.assert_received(client, "+OK\r\n+QUEUED\r\n");
    world.receive_dedicated(client, "*1\r\n+OK\r\n");
    let barrier = world.proxy.take_barrier().expect("one is wanted");
    world.assert_received(client, "");
    world.send(client, get("undeclared"));
    world.assert_asked(&["GET undeclared"]);
    world.answer(bulk("new"));
    world.pass_barrier(barrier);
    world.assert_received(client, [b"*1\r\n+OK\r\n", &bulk("new")[..]].concat());
    world.send(client, get("other"));
    world.assert_received(client, bulk("old"));
}

#[test]
fn so_does_one_whose_client_wants_no_reply() {
    let mut world = world();
    let client = world.connect();
    world.send(
        client,
        [&b"CLIENT REPLY SKIP\r\n"[..], &eval(SCRIPT)].concat(),
    );
    let output = world.proxy.dedicated(client).expect("a connection");
    output.send(&mut Vec::new()).expect("memory");
    world.receive_dedicated(client, ":9\r\n+OK\r\n+OK\r\n");
    world.send(client, get("undeclared"));
    world.assert_asked(&["GET undeclared"]);
    world.answer(bulk("new"));
    world.assert_received(client, bulk("new"));
    let barrier = world.proxy.take_barrier().expect("one is wanted");
    world.pass_barrier(barrier);
    world.send(client, get("other"));
    world.assert_received(client, bulk("old"));
}

#[test]
fn one_that_is_answered_when_changes_are_no_longer_reported_empties_the_cache_then() {
    let mut world = world();
    let [client, reader] = [world.connect(), world.connect()];
    world.send(reader, "HELLO 3\r\n");
    world.send(client, eval(SCRIPT));
    world.up_without_tracking();
    // Redis may have executed this before the script.
    world.send(reader, get("undeclared"));
    world.answer_on(Protocol::Resp3, &["$3\r\nold\r\n", ":-1\r\n"]);
    assert_eq!(world.proxy.cache().len(), 1);
    world.answer("+OK\r\n");
    assert!(world.proxy.cache().is_empty());
    // Its client waits for no report.
    world.received(client);
    for _ in 0..2 {
        world.send(client, get("other"));
        if !world.asked().is_empty() {
            world.answer_together(&[&bulk("new")[..], b":-1\r\n"]);
        }
        world.assert_received(client, bulk("new"));
    }
    assert_eq!(world.proxy.metrics().keys.hits, 1);
}

#[test]
fn one_that_waits_for_a_redis_that_may_be_restarting_leaves_the_cache_to_others() {
    let mut world = world();
    world.lose_tracking();
    world.lose();
    let client = world.connect();
    world.send(client, eval(SCRIPT));
    assert!(is_cached(&mut world, "undeclared"));
    // It is not back in time.
    world.gone();
    world.answer(CLOSED);
    assert!(world.is_done(client));
    assert!(is_cached(&mut world, "undeclared"));
    // Once it is back, nothing is served from before the script.
    world.up();
    assert!(!is_cached(&mut world, "undeclared"));
}

#[test]
fn what_its_client_reads_in_vain_others_are_still_served() {
    let mut world = world();
    let client = world.connect();
    world.send(client, [eval(SCRIPT), get("other")].concat());
    world.lose_tracking();
    world.lose();
    world.answer_together(&[CLOSED, CLOSED]);
    assert!(world.is_done(client));
    assert!(is_cached(&mut world, "other"));
}

#[test]
fn one_that_says_that_it_does_not_write_removes_nothing() {
    for (script, writes) in [
        ("#!lua flags=no-writes\nreturn 1", false),
        ("#!lua name=x flags=allow-stale,no-writes\nreturn 1", false),
        ("#!lua flags=allow-stale\nreturn 'flags=no-writes'", true),
        ("return 1 -- flags=no-writes", true),
    ] {
        let mut world = world();
        let client = world.connect();
        world.send(client, eval(script));
        world.answer(":1\r\n");
        assert_eq!(!is_cached(&mut world, "declared"), writes, "{script}");
    }
}

#[test]
fn one_that_said_so_is_known_by_its_digest() {
    // sha1sum has it so.
    const SHA: &str = "77f21361171213377cb083e2ffc2ae24ffdff8fb";
    let script = "#!lua flags=no-writes\nreturn 1";
    let call = |sha: &str| multibulk(&["EVALSHA", sha, "1", "declared"]);
    for shown in [eval(script), multibulk(&["SCRIPT", "LOAD", script])] {
        let mut world = world();
        let client = world.connect();
        world.send(client, shown);
        world.answer(":1\r\n");
        for sha in [SHA.to_owned(), SHA.to_ascii_uppercase()] {
            world.send(client, call(&sha));
            world.answer(":1\r\n");
            assert!(is_cached(&mut world, "declared"));
        }
        world.send(client, call(&SHA.replace('a', "b")));
        world.answer(":1\r\n");
        assert!(!is_cached(&mut world, "declared"));
    }
    // It was not shown to this proxy.
    let mut world = world();
    let client = world.connect();
    world.send(client, call(SHA));
    world.answer(":1\r\n");
    assert!(!is_cached(&mut world, "declared"));
}

#[test]
fn while_redis_is_away_its_client_is_served_like_others() {
    let mut world = world();
    let client = world.connect();
    world.send(client, eval("return 1"));
    world.answer("-ERR x\r\n");
    world.received(client);
    world.down("-ERR away\r\n");
    world.send(client, get("other"));
    world.assert_received(client, bulk("old"));
}
