//! Requests with large replies go over a dedicated connection of their client, for as long as these take.

use redis_proxy::cache::Limits;
use redis_proxy::proxy::ClientId;
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
