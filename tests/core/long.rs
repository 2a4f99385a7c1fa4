//! An MGET of many keys, which is answered in parts.

use redis_proxy::proxy::{ClientId, Ending, MAX_OWED};

use crate::world::{Request, World, bulk, get, multibulk};

const COUNT: usize = 2500;
const LENGTH: usize = 7000;

fn key(number: usize) -> String {
    format!("key{number}")
}

fn value(number: usize) -> Vec<u8> {
    format!("{number:0>width$}", width = LENGTH).into_bytes()
}

fn mget(keys: impl Iterator<Item = usize>) -> Vec<u8> {
    let words: Vec<String> = ["MGET".to_owned()]
        .into_iter()
        .chain(keys.map(key))
        .collect();
    multibulk(&words)
}

/// What a request for these keys gets.
fn reply(keys: impl ExactSizeIterator<Item = usize>) -> Vec<u8> {
    let header = format!("*{}\r\n", keys.len()).into_bytes();
    [header]
        .into_iter()
        .chain(keys.map(|key| bulk(value(key))))
        .flatten()
        .collect()
}

/// A world in which the values of these keys are cached.
fn world(cached: impl Iterator<Item = usize>) -> World {
    let mut world = World::new(redis_proxy::cache::Limits {
        entries: 2 * COUNT,
        ..crate::world::roomy()
    });
    let cached: Vec<usize> = cached.collect();
    let client = world.connect();
    for part in cached.chunks(100) {
        world.send(client, mget(part.iter().copied()));
        let values: Vec<Vec<u8>> = part.iter().map(|&key| bulk(value(key))).collect();
        world.answer_together(&values);
    }
    world.leave(client);
    world
}

/// Has Redis answer what it was asked for, so many in one go.
fn answer_all(world: &mut World, together: usize) {
    while !world.asked().is_empty() {
        let number = |request: &Request| {
            let text = String::from_utf8_lossy(&request[1]).into_owned();
            text["key".len()..].parse().expect("a number")
        };
        let asked: Vec<usize> = world
            .asked()
            .into_iter()
            .take(together)
            .map(number)
            .collect();
        let values: Vec<Vec<u8>> = asked.into_iter().map(|key| bulk(value(key))).collect();
        world.answer_together(&values);
    }
}

/// Takes a little at a time, and all; returns the most that was offered.
fn take_slowly(world: &mut World, client: ClientId, expected: &[u8]) -> usize {
    let mut received = Vec::new();
    let mut most = 0;
    while received.len() < expected.len() {
        most = most.max(world.offered(client));
        world.take(client, 300_000);
        answer_all(world, 100);
        let more = world.received(client);
        assert!(!more.is_empty());
        received.extend(more);
    }
    assert!(received == expected);
    most
}

#[test]
fn what_is_cached_is_offered_as_it_is_taken_and_in_order() {
    let mut world = world(0..COUNT);
    let client = world.connect();
    world.stop_taking(client);
    world.send(
        client,
        [mget(0..COUNT), get("key1"), mget(0..COUNT)].concat(),
    );
    world.end(client);
    let expected = [reply(0..COUNT), bulk(value(1)), reply(0..COUNT)].concat();
    let most = take_slowly(&mut world, client, &expected);
    assert!((MAX_OWED..MAX_OWED + 2 * LENGTH).contains(&most), "{most}");
    world.take_all(client);
    assert!(world.is_done(client));
    world.assert_asked(&[]);
}

#[test]
fn it_takes_more_than_one_turn_whoever_takes_it() {
    let mut world = world(0..COUNT);
    let client = world.connect();
    let now = redis_proxy::clock::Time::from_millis(world.now);
    world.proxy.receive(client, &mget(0..COUNT), now);
    assert!(world.offered(client) < MAX_OWED);
    world.look_after_clients();
    assert!(world.received(client) == reply(0..COUNT));
    assert!(world.wants_input(client));
}

#[test]
fn what_is_missing_is_fetched_once_and_comes_in_its_place() {
    for together in [1, 7, 1000] {
        let mut world = world((0..COUNT).filter(|key| key % 100 < 97));
        let (one, other) = (world.connect(), world.connect());
        world.send(one, [mget(0..COUNT), get("key3")].concat());
        world.send(other, mget((0..COUNT).rev()));
        // All at once, and for both.
        assert_eq!(world.asked().len(), COUNT / 100 * 3);
        answer_all(&mut world, together);
        let expected = [reply(0..COUNT), bulk(value(3))].concat();
        assert!(world.received(one) == expected);
        assert!(world.received(other) == reply((0..COUNT).rev()));
        assert_eq!(world.held(), 0);
    }
}

#[test]
fn a_failure_in_the_middle_closes_the_client() {
    let mut world = world((0..COUNT).filter(|&key| key != 2000));
    let client = world.connect();
    world.send(client, [mget(0..COUNT), get("key1")].concat());
    world.assert_asked(&["GET key2000"]);
    world.answer("-NOPERM no\r\n");
    assert_eq!(world.proxy.ending(client), Some(&Ending::Interrupted));
    assert!(world.is_done(client));
    assert_eq!(world.held(), 0);
}

#[test]
fn while_redis_is_away_it_is_answered_if_all_is_cached_and_else_refused() {
    let mut world = world((0..COUNT).filter(|&key| key != 2000));
    world.down("-ERR away\r\n");
    let client = world.connect();
    world.send(
        client,
        [mget(0..2000), mget(0..COUNT), get("key1")].concat(),
    );
    let expected = [reply(0..2000), b"-ERR away\r\n".to_vec(), bulk(value(1))].concat();
    world.assert_received(client, expected);
}

#[test]
fn while_redis_is_gone_its_client_is_closed_however_far_behind_the_missing_key_is() {
    // More than are looked up in one go.
    const FAR: usize = 6000;
    for behind in [vec![], get("key1"), get("miss"), b"PING\r\n".to_vec()] {
        let mut world = World::new(redis_proxy::cache::Limits {
            entries: FAR,
            ..crate::world::roomy()
        });
        let client = world.connect();
        for first in (0..FAR - 100).step_by(100) {
            world.send(client, mget(first..first + 100));
            world.answer_together(&vec![bulk("x"); 100]);
        }
        world.leave(client);
        world.gone();
        let client = world.connect();
        world.send(client, [get("key1"), mget(0..FAR), behind].concat());
        world.assert_received(client, bulk("x"));
        assert!(world.is_done(client));
        assert!(world.held() < 1000, "what it sent is dropped");
    }
}

#[test]
fn one_that_left_is_not_gone_on_with() {
    let mut world = world(0..COUNT);
    let client = world.connect();
    world.stop_taking(client);
    world.send(client, mget(0..COUNT));
    world.leave(client);
    assert_eq!(world.connect(), client, "it has the same slot");
    assert_eq!(world.held(), 0);
    world.send(client, "PING\r\n");
    world.assert_received(client, "+PONG\r\n");
}

#[test]
fn keys_that_are_missing_take_one_round_trip() {
    let mut world = World::roomy();
    let client = world.connect();
    world.send(client, mget(0..10_000));
    assert_eq!(world.asked().len(), 10_000);
}
