//! Transactions that come as a whole.

use crate::world::{World, bulk, get, multibulk};

/// The requests of a pipeline.
fn pipeline(requests: &[&str]) -> Vec<u8> {
    let words = |request: &&str| request.split(' ').map(str::to_owned).collect::<Vec<_>>();
    let requests = requests.iter().map(words);
    requests
        .flat_map(|words| multibulk(&words.iter().map(String::as_str).collect::<Vec<_>>()))
        .collect()
}

#[test]
fn a_transaction_that_comes_as_a_whole_needs_no_dedicated_connection() {
    let mut world = World::roomy();
    world.cache("key", "old");
    world.cache("other", "kept");
    let client = world.connect();
    let requests = ["MULTI", "SET key new", "GET key", "EXEC"];
    world.send(client, [pipeline(&requests), get("key")].concat());
    assert!(world.proxy.dedicated(client).is_none());
    world.assert_asked(&["MULTI", "SET key new", "GET key", "EXEC", "GET key"]);
    let replies = "+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n+OK\r\n$3\r\nnew\r\n";
    for reply in ["+OK\r\n", "+QUEUED\r\n", "+QUEUED\r\n"] {
        world.answer(reply);
    }
    world.answer("*2\r\n+OK\r\n$3\r\nnew\r\n");
    world.answer(bulk("new"));
    world.assert_received(client, [replies.as_bytes(), &bulk("new")].concat());
    for (key, value) in [("key", "new"), ("other", "kept")] {
        world.send(client, get(key));
        world.assert_received(client, bulk(value));
    }
}

#[test]
fn what_changes_the_connection_or_comes_in_parts_needs_one() {
    for requests in [
        &["MULTI"][..],
        &["MULTI", "SET key new"],
        &["MULTI x", "EXEC"],
        &["MULTI", "EXEC x"],
        &["MULTI", "EXEC x", "EXEC"],
        &["MULTI", "MULTI", "EXEC"],
        &["MULTI", "DISCARD"],
        &["MULTI", "WATCH key", "EXEC"],
        &["MULTI", "SELECT 1", "EXEC"],
        &["MULTI", "BLPOP key 0", "EXEC"],
        &["MULTI", "CLIENT ID", "EXEC"],
        &["MULTI", "CLIENT LIST", "EXEC"],
        &["MULTI", "INFO", "EXEC"],
        &["MULTI", "PING", "EXEC"],
        &["MULTI", "NONSENSE", "EXEC"],
        &["SUBSCRIBE key", "MULTI", "EXEC"],
    ] {
        let mut world = World::roomy();
        let client = world.connect();
        world.send(client, pipeline(requests));
        assert!(world.proxy.dedicated(client).is_some(), "{requests:?}");
        world.assert_asked(&[]);
    }
}

#[test]
fn a_transaction_of_any_keys_empties_the_cache() {
    let mut world = World::roomy();
    world.cache("key", "old");
    let client = world.connect();
    world.send(client, pipeline(&["MULTI", "FLUSHALL", "EXEC", "GET key"]));
    world.assert_asked(&["MULTI", "FLUSHALL", "EXEC", "GET key"]);
}

#[test]
fn who_reads_a_newer_value_in_a_transaction_reads_no_older_one_later() {
    let read = |transaction: &str, reply: &str| {
        let mut world = World::roomy();
        world.cache("key", "old");
        let client = world.connect();
        world.send(client, multibulk(&["STRLEN", "key"]));
        world.assert_asked(&["STRLEN key"]);
        world.answer(":3\r\n");
        world.send(client, pipeline(&["MULTI", transaction, "EXEC"]));
        world.assert_asked(&["MULTI", transaction, "EXEC"]);
        world.answer("+OK\r\n");
        world.answer("+QUEUED\r\n");
        world.answer(reply);
        world
    };
    let asks = |world: &mut World, request: &[&str]| {
        let client = world.connect();
        world.send(client, multibulk(request));
        world.asked().is_empty()
    };
    for (transaction, same, newer) in [
        ("GET key", "*1\r\n$3\r\nold\r\n", "*1\r\n$3\r\nnew\r\n"),
        ("GET key", "*1\r\n$3\r\nold\r\n", "*1\r\n$-1\r\n"),
        (
            "MGET none key",
            "*1\r\n*2\r\n$-1\r\n$3\r\nold\r\n",
            "*1\r\n*2\r\n$-1\r\n$3\r\nnew\r\n",
        ),
        ("STRLEN key", "*1\r\n:3\r\n", "*1\r\n:4\r\n"),
    ] {
        let request = match transaction {
            "STRLEN key" => &["STRLEN", "key"][..],
            _ => &["GET", "key"],
        };
        let mut world = read(transaction, same);
        assert!(asks(&mut world, request), "{transaction} shows the same");
        let mut world = read(transaction, newer);
        assert!(!asks(&mut world, request), "{transaction} shows another");
    }
    // What comes behind an error is not taken for what should be in its place.
    let mut world = World::roomy();
    world.cache("key", "old");
    let client = world.connect();
    let requests = ["MULTI", "MGET a", "GET key", "GET b", "EXEC"];
    world.send(client, pipeline(&requests));
    for reply in ["+OK\r\n", "+QUEUED\r\n", "+QUEUED\r\n", "+QUEUED\r\n"] {
        world.answer(reply);
    }
    world.answer("*3\r\n-ERR x\r\n$3\r\nnew\r\n$3\r\nold\r\n");
    assert!(!asks(&mut world, &["GET", "key"]));
    // Nothing was read.
    let mut world = read("GET key", "-EXECABORT x\r\n");
    assert!(asks(&mut world, &["GET", "key"]));
}
