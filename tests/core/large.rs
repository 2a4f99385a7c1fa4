//! Requests with large replies go over a dedicated connection of their client, for as long as these take.

use std::time::Duration;

use redis_proxy::cache::Limits;
use redis_proxy::proxy::ClientId;
use redis_proxy::resp::Protocol;
use redis_proxy::upstream::BROKEN;

use super::world::{World, bulk, get, multibulk, roomy};

/// The last reply of the set-up.
const NUMBER: &str = ":9\r\n";
/// A world in which a reply of a megabyte is not cached.
fn world() -> World {
    World::new(Limits {
        reply: 1_000_000,
        ..roomy()
    })
}

fn large() -> Vec<u8> {
    bulk(vec![b'x'; 1_500_000])
}

fn getrange(end: &str) -> Vec<u8> {
    multibulk(&["GETRANGE", "key", "0", end])
}

/// Whether a client has bytes to send to Redis on its dedicated connection, which are sent then.
#[track_caller]
fn assert_sent(world: &mut World, client: ClientId, expected: impl AsRef<[u8]>) {
    let output = world.proxy.dedicated(client).expect("a connection");
    let mut sent = Vec::new();
    output.send(&mut sent).expect("memory");
    let sent = String::from_utf8_lossy(&sent).into_owned();
    let expected = String::from_utf8_lossy(expected.as_ref()).into_owned();
    assert!(sent.ends_with(&expected), "{sent}");
}

/// Redis sends that on a client's dedicated connection, and nothing changed before.
fn receive(world: &mut World, client: ClientId, bytes: impl AsRef<[u8]>) {
    world.receive_dedicated(client, bytes);
    if let Some(barrier) = world.proxy.take_barrier() {
        world.pass_barrier(barrier);
    }
}

/// A client whose first request had a large reply.
fn reader(world: &mut World, request: &[u8]) -> ClientId {
    let client = world.connect();
    world.send(client, request);
    world.answer(large());
    world.assert_received(client, large());
    assert!(world.proxy.dedicated(client).is_none());
    client
}

#[test]
fn what_had_a_large_reply_goes_over_a_dedicated_connection_the_next_time() {
    for request in [
        getrange("-1"),
        get("key"),
        multibulk(&["RANDOMKEY", "key"]),
        multibulk(&["LRANGE", "key", "0", "-1"]),
    ] {
        let mut world = world();
        let client = reader(&mut world, &request);
        world.send(client, &request);
        world.assert_asked(&[]);
        assert_sent(&mut world, client, &request);
        receive(&mut world, client, NUMBER);
        receive(&mut world, client, large());
        world.assert_received(client, large());
    }
}

#[test]
fn an_mget_of_a_large_value_goes_there_too() {
    let mut world = world();
    let client = reader(&mut world, &get("key"));
    let mget = multibulk(&["MGET", "other", "key"]);
    world.send(client, &mget);
    world.assert_asked(&[]);
    assert_sent(&mut world, client, &mget);
}

#[test]
fn what_comes_behind_waits_for_the_large_reply_and_goes_over_the_link() {
    let mut world = world();
    let client = reader(&mut world, &getrange("-1"));
    let requests = [getrange("-1"), get("other"), getrange("-1")].concat();
    world.send(client, requests);
    assert_sent(&mut world, client, getrange("-1"));
    receive(&mut world, client, NUMBER);
    let reply = large();
    receive(&mut world, client, &reply[..700_000]);
    world.assert_asked(&[]);
    receive(&mut world, client, &reply[700_000..]);
    world.assert_received(client, &reply);
    world.assert_asked(&["GET other"]);
    world.answer(bulk("value"));
    world.assert_received(client, bulk("value"));
    assert_sent(&mut world, client, getrange("-1"));
}

#[test]
fn two_of_a_long_pipeline_are_in_flight_at_a_time() {
    let mut world = world();
    let client = reader(&mut world, &getrange("-1"));
    world.send(client, getrange("-1").repeat(100));
    assert_sent(&mut world, client, getrange("-1").repeat(2));
    receive(&mut world, client, NUMBER);
    for _ in 0..98 {
        receive(&mut world, client, large());
        world.assert_received(client, large());
        let output = world.proxy.dedicated(client).expect("a connection");
        assert_eq!(output.len(), getrange("-1").len());
        assert_sent(&mut world, client, getrange("-1"));
    }
}

/// So many clients that request the same large reply, as they did before; nothing is sent yet.
fn readers(world: &mut World, count: usize) -> Vec<ClientId> {
    let first = reader(world, &getrange("-1"));
    let others = (1..count).map(|_| world.connect());
    let readers: Vec<_> = [first].into_iter().chain(others).collect();
    for reader in &readers {
        world.send(*reader, getrange("-1"));
    }
    readers
}

/// Which of them have their request sent, and not only their connection set up.
fn sent(world: &mut World, readers: &[ClientId]) -> Vec<bool> {
    let has_sent = |reader: &ClientId| {
        let output = world.proxy.dedicated(*reader).expect("a connection");
        let mut sent = Vec::new();
        output.send(&mut sent).expect("memory");
        sent.ends_with(&getrange("-1"))
    };
    readers.iter().map(has_sent).collect()
}

#[test]
fn four_of_many_clients_have_theirs_in_flight_until_they_begin() {
    let mut world = world();
    let readers = readers(&mut world, 7);
    let [first, second, ..] = readers[..] else {
        panic!("{readers:?}");
    };
    let (before, after) = readers.split_at(4);
    assert_eq!(sent(&mut world, before), [true; 4]);
    assert_eq!(sent(&mut world, after), [false; 3]);
    // Other requests wait for none of them.
    let other = world.connect();
    world.send(other, get("other"));
    world.assert_asked(&["GET other"]);

    receive(&mut world, first, NUMBER);
    assert_eq!(sent(&mut world, after), [false; 3]);
    receive(&mut world, first, &large()[..1]);
    assert_eq!(sent(&mut world, after), [true, false, false]);
    receive(&mut world, first, &large()[1..]);
    world.assert_received(first, large());
    assert_eq!(sent(&mut world, after), [false; 3]);
    world.leave(second);
    assert_eq!(sent(&mut world, &after[1..]), [true, false]);
    for reader in readers.iter().skip(2) {
        receive(&mut world, *reader, [NUMBER.as_bytes(), &large()].concat());
        world.assert_received(*reader, large());
    }
    assert_eq!(sent(&mut world, &after[2..]), [true]);
}

#[test]
fn what_has_a_short_reply_again_goes_over_the_link_again() {
    let mut world = world();
    let client = reader(&mut world, &getrange("-1"));
    world.send(client, getrange("0"));
    assert_sent(&mut world, client, getrange("0"));
    receive(&mut world, client, NUMBER);
    receive(&mut world, client, bulk("x"));
    world.assert_received(client, bulk("x"));
    world.send(client, getrange("-1"));
    world.assert_asked(&["GETRANGE key 0 -1"]);
}

#[test]
fn a_cached_answer_is_served_though_others_about_its_key_are_large() {
    let mut world = world();
    let client = world.connect();
    world.send(client, getrange("0"));
    world.answer(bulk("x"));
    world.assert_received(client, bulk("x"));
    let client = reader(&mut world, &getrange("-1"));
    world.send(client, getrange("0"));
    world.assert_received(client, bulk("x"));
    assert!(world.proxy.dedicated(client).is_none());
}

#[test]
fn what_broke_the_connection_twice_is_not_sent_over_it_again() {
    let mut world = world();
    for request in [getrange("-1"), get("key")] {
        let client = world.connect();
        world.send(client, &request);
        world.answer(BROKEN);
        assert!(world.is_done(client));
        let client = world.connect();
        world.send(client, &request);
        world.assert_asked(&[]);
        assert_sent(&mut world, client, &request);
        receive(&mut world, client, NUMBER);
        receive(&mut world, client, bulk("short"));
        world.assert_received(client, bulk("short"));
    }
    // It may have been done.
    let client = world.connect();
    world.send(client, "SET key x\r\n");
    world.answer(BROKEN);
    assert!(world.is_done(client));
    let client = world.connect();
    world.send(client, "SET key x\r\n");
    world.assert_asked(&["SET key x"]);
}

#[test]
fn info_is_asked_for_over_the_link_however_long_it_is() {
    let mut world = world();
    let client = world.connect();
    for _ in 0..2 {
        world.send(client, "INFO everything\r\n");
        assert_eq!(world.asked().len(), 1);
        world.answer(large());
        assert!(!world.received(client).is_empty());
        assert!(world.proxy.dedicated(client).is_none());
    }
}

#[test]
fn a_transaction_whose_reply_was_large_goes_over_a_dedicated_connection_the_next_time() {
    let mut world = world();
    let client = world.connect();
    let transaction = |end: &str| {
        let parts = [multibulk(&["MULTI"]), getrange(end), multibulk(&["EXEC"])];
        parts.concat()
    };
    world.send(client, transaction("-1"));
    let reply = [b"*1\r\n", &large()[..]].concat();
    world.answer_together(&[b"+OK\r\n", &b"+QUEUED\r\n"[..], &reply]);
    assert!(world.received(client).ends_with(&reply));
    world.send(client, transaction("0"));
    world.assert_asked(&[]);
    assert_sent(&mut world, client, transaction("0"));
    // Others are not meant.
    let client = world.connect();
    world.send(client, "MULTI\r\nGETRANGE other 0 -1\r\nEXEC\r\n");
    world.assert_asked(&["MULTI", "GETRANGE other 0 -1", "EXEC"]);
}

#[test]
fn what_was_late_has_broken_the_connection_once() {
    let mut world = world();
    for request in [getrange("-1"), get("key"), multibulk(&["TTL", "key"])] {
        let client = world.connect();
        world.send(client, &request);
        world.be_late(Protocol::Resp2, 2, "-ERR late\r\n");
        world.assert_received(client, "-ERR late\r\n");
        while !world.asked().is_empty() {
            world.answer(BROKEN);
        }
        world.send(client, &request);
        assert_eq!(world.asked().len(), 1);
        world.answer(bulk("value"));
    }
}

/// What Redis holds for a client at the most in these tests.
const LIMIT: usize = 1024 * 1024;

/// Redis answers the latest requests on a client's dedicated connection, which are these and are new there, so.
#[track_caller]
fn answer_apart(
    world: &mut World,
    client: ClientId,
    requests: impl AsRef<[u8]>,
    replies: impl AsRef<[u8]>,
) {
    world.assert_asked(&[]);
    assert_sent(world, client, requests);
    receive(world, client, &replies);
    world.assert_received(client, replies);
}

/// A client with a dedicated connection to a Redis that has a limit.
fn limited(world: &mut World) -> ClientId {
    world.limit_output(LIMIT);
    let client = world.connect();
    world.send(client, "PFADD x\r\n");
    assert_sent(world, client, "PFADD x\r\n");
    receive(world, client, NUMBER);
    receive(world, client, ":1\r\n");
    world.assert_received(client, ":1\r\n");
    client
}

#[test]
fn where_redis_has_a_limit_only_what_is_known_to_be_short_goes_over_the_link() {
    let requests = [
        get("key"),
        getrange("-1"),
        multibulk(&["MGET", "key", "other"]),
    ];
    for request in requests {
        let mut world = world();
        let client = limited(&mut world);
        let is_mget = request.starts_with(b"*3\r\n$4");
        let (reply, count) = match is_mget {
            true => ("*2\r\n$1\r\nx\r\n$1\r\nx\r\n", 2),
            false => ("$1\r\nx\r\n", 1),
        };
        for _ in 0..2 {
            world.send(client, &request);
            answer_apart(&mut world, client, &request, reply);
            world.send(client, &request);
            assert_eq!(world.asked().len(), count);
            (0..count).for_each(|_| world.answer(bulk("x")));
            world.assert_received(client, reply);
            world.send(client, &request);
            world.assert_asked(&[]);
            world.assert_received(client, reply);
            // It may be longer now.
            world.invalidate("key");
            world.invalidate("other");
        }
        world.limit_output(0);
        world.send(client, &request);
        assert_eq!(world.asked().len(), count);
    }
}

#[test]
fn a_reply_that_takes_a_part_of_the_limit_is_large() {
    let mut world = world();
    let client = limited(&mut world);
    let reply = bulk(vec![b'x'; LIMIT / 4]);
    for _ in 0..3 {
        world.send(client, get("key"));
        answer_apart(&mut world, client, get("key"), &reply);
    }
}

#[test]
fn requests_whose_replies_are_not_known_are_in_flight_together() {
    let mut world = world();
    let client = limited(&mut world);
    let requests: Vec<u8> = (0..10).flat_map(|key| get(&key.to_string())).collect();
    world.send(client, &requests);
    answer_apart(&mut world, client, &requests, bulk("x").repeat(10));
    world.send(client, &requests);
    assert_eq!(world.asked().len(), 10);
}

#[test]
fn where_redis_has_a_limit_what_is_not_cached_anyway_goes_over_dedicated_connections() {
    let mut world = world();
    let client = limited(&mut world);
    for (request, reply) in [
        ("SET key value\r\n", "+OK\r\n"),
        ("TTL key\r\n", ":-1\r\n"),
        ("EVAL return 0\r\n", "$1\r\n1\r\n"),
        ("SET key value\r\nGET key\r\n", "+OK\r\n$5\r\nvalue\r\n"),
        (
            "MULTI\r\nINCR n\r\nEXEC\r\n",
            "+OK\r\n+QUEUED\r\n*1\r\n:1\r\n",
        ),
    ] {
        world.send(client, request);
        answer_apart(&mut world, client, request, reply);
    }
    world.limit_output(0);
    world.send(client, "SET key value\r\n");
    world.assert_asked(&["SET key value"]);
}

#[test]
fn what_goes_over_one_connection_waits_for_what_went_over_another() {
    let mut world = world();
    let client = limited(&mut world);
    let set = multibulk(&["SET", "key", "new"]);
    world.send(client, get("key"));
    answer_apart(&mut world, client, get("key"), bulk("old"));
    world.send(client, [get("key"), set.clone()].concat());
    world.assert_asked(&["GET key"]);
    assert!(world.proxy.dedicated(client).expect("one").is_empty());
    world.answer(bulk("old"));
    world.assert_received(client, bulk("old"));
    world.send(client, get("key"));
    answer_apart(
        &mut world,
        client,
        [set, get("key")].concat(),
        [b"+OK\r\n", &bulk("new")[..]].concat(),
    );
}

#[test]
fn a_client_whose_borrowed_connection_is_refused_hears_why_and_goes_on() {
    const WORDS: &str = "-ERR max number of clients reached\r\n";
    let mut world = world();
    world.cache("cached", "value");
    let client = reader(&mut world, &getrange("-1"));
    world.send(client, [getrange("-1").repeat(2), get("cached")].concat());
    receive(&mut world, client, WORDS);
    world.assert_received(
        client,
        [WORDS.repeat(2).as_bytes(), &bulk("value")].concat(),
    );
    assert!(!world.is_done(client) && world.proxy.dedicated(client).is_none());
    // The next one may be let in.
    world.send(client, getrange("-1"));
    receive(&mut world, client, NUMBER);
    receive(&mut world, client, bulk("x"));
    world.assert_received(client, bulk("x"));
    // Who asked for the connection has lost it.
    let client = world.connect();
    world.send(client, "MULTI\r\n");
    receive(&mut world, client, WORDS);
    world.assert_received(client, WORDS);
    assert!(world.is_done(client));
}

#[test]
fn requests_on_dedicated_connections_are_timed_unless_they_block() {
    let mut world = world();
    let client = world.connect();
    world.send(client, "WATCH key\r\nBLPOP list 0\r\n");
    receive(&mut world, client, NUMBER);
    world.wait(30);
    receive(&mut world, client, "+OK\r\n*-1\r\n");
    world.assert_received(client, "+OK\r\n*-1\r\n");
    let commands = world.proxy.metrics().commands.iter();
    let times: Vec<Duration> = commands.map(|counts| counts.time).collect();
    assert!(times.contains(&Duration::from_millis(30)), "{times:?}");
    let sum: Duration = times.iter().sum();
    assert_eq!(sum, Duration::from_millis(30));
}
