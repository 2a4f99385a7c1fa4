//! What all clients together hold, and what becomes of those who hold too much.

use redis_proxy::proxy::{ClientId, Ending};

use crate::world::{World, bulk, get, multibulk};

/// Short enough to be copied for each client.
const LENGTH: usize = 5000;

/// A world with a bound, in which a value of [`LENGTH`] bytes is cached.
fn world(bound: usize) -> World {
    let mut world = World::roomy();
    world.cache("key", [b'x'; LENGTH]);
    world.proxy.limit_buffers(bound);
    world
}

/// A client that takes nothing, and has sent so much that it is no longer read from.
fn slowed(world: &mut World) -> ClientId {
    let client = world.connect();
    world.stop_taking(client);
    while world.wants_input(client) {
        world.send(client, get("key").repeat(10));
    }
    client
}

#[test]
fn nothing_is_held_for_clients_that_took_all_or_left() {
    let mut world = world(0);
    let (one, other) = (world.connect(), world.connect());
    for client in [one, other] {
        world.stop_taking(client);
        world.send(client, get("key").repeat(300));
        world.send(client, "GET of half");
    }
    assert!(world.held() > 2 * 1024 * 1024);
    world.take_all(one);
    assert!((1_000_000..1_100_000).contains(&world.held()));
    world.leave(other);
    assert_eq!(world.held(), "GET of half".len());
    world.send(one, " a\r\n");
    assert_eq!(world.held(), 0);
}

#[test]
fn a_client_may_send_what_there_is_room_for_and_is_then_not_read_from() {
    let bound = 8_000_000;
    let mut world = world(bound);
    let client = slowed(&mut world);
    let held = world.held();
    assert!((bound / 2..bound / 8 * 5).contains(&held), "{held}");
    assert!(
        world.offered(client) < bound / 4,
        "the rest is not executed"
    );
    let innocent = world.connect();
    world.send(innocent, get("key"));
    world.assert_received(innocent, bulk([b'x'; LENGTH]));
    world.take_all(client);
    assert_eq!(world.held(), 0);
    assert!(world.wants_input(client));
}

#[test]
fn who_is_read_from_though_nothing_is_executed_is_named_to_be_read_from_again() {
    let mut world = world(0);
    let client = world.connect();
    world.stop_taking(client);
    world.send(client, get("key").repeat(1000));
    assert_eq!(world.proxy.next_changed(), None);
    let now = redis_proxy::clock::Time::from_millis(world.now);
    world.proxy.receive(client, &get("key"), now);
    assert_eq!(world.proxy.next_changed(), Some(client));
    assert!(world.wants_input(client));
}

#[test]
fn those_who_wait_for_room_are_named_when_there_is_some() {
    let mut world = world(4_000_000);
    let first = slowed(&mut world);
    assert!(!world.proxy.has_room_again());
    world.take_all(first);
    assert!(world.proxy.has_room_again());
    assert!(world.proxy.end_shortage());
    assert!(!world.proxy.end_shortage(), "once");
}

#[test]
fn one_client_at_a_time_is_read_from_beyond_its_share() {
    let mut world = world(8_000_000);
    let (one, other) = (slowed(&mut world), slowed(&mut world));
    world.proxy.favor(Some(one));
    assert!(world.wants_input(one) && !world.wants_input(other));
    while world.wants_input(one) {
        world.send(one, get("key").repeat(1000));
    }
    let held = world.held();
    assert!((7_800_000..8_000_000).contains(&held), "{held}");
    world.take_all(one);
    assert_eq!(world.proxy.favored(), None);
    assert!(world.wants_input(other));
}

#[test]
fn of_those_beyond_their_shares_the_largest_leave_until_there_is_room() {
    let mut world = world(4_000_000);
    let small = world.connect();
    world.stop_taking(small);
    world.send(small, get("key"));
    let large = slowed(&mut world);
    assert_eq!(world.proxy.beyond_its_share(small), None);
    assert!(world.proxy.beyond_its_share(large).is_some());
    world.proxy.evict_stalled(vec![large]);
    let ending = world.proxy.ending(large);
    assert!(matches!(ending, Some(Ending::Evicted { .. })));
    assert_eq!(world.proxy.ending(small), None);
    assert!(!world.proxy.is_short_of_buffers());
    world.take_all(small);
    world.assert_received(small, bulk([b'x'; LENGTH]));
    assert!(world.is_done(large));
}

#[test]
fn who_waits_for_redis_is_not_read_from_and_does_not_stand_still() {
    let mut world = world(4_000_000);
    let client = world.connect();
    let misses: Vec<u8> = (0..5000)
        .flat_map(|key| get(&format!("miss{key}")))
        .collect();
    world.send(client, &misses);
    assert!(world.held() > misses.len() / 2 && !world.wants_input(client));
    assert_eq!(world.proxy.beyond_its_share(client), None);
}

/// Has so many clients that take nothing each ask for a value of that length, which comes then.
fn ask_for_long(world: &mut World, lengths: &[usize]) -> Vec<ClientId> {
    let clients: Vec<_> = lengths.iter().map(|_| world.connect()).collect();
    for (length, &client) in lengths.iter().zip(&clients) {
        world.stop_taking(client);
        let key = format!("long{length}");
        world.send(client, multibulk(&["GETRANGE", &key, "0", "-1"]));
    }
    for &length in lengths {
        world.answer(bulk(vec![b'x'; length]));
    }
    clients
}

/// A pipeline that asks for that many values.
fn ask_for_each(count: usize) -> Vec<u8> {
    let keys = (0..count).map(|number| format!("long{number}"));
    keys.flat_map(|key| multibulk(&["GETRANGE", &key, "0", "-1"]))
        .collect()
}

#[test]
fn one_reply_beyond_the_bound_is_sent_and_others_close_the_largest() {
    let mut world = world(4_000_000);
    let lengths = [500_000, 20_000_000, 800_000, 10_000_000, 1_500_000];
    let clients = ask_for_long(&mut world, &lengths);
    for (&client, length) in clients.iter().zip(lengths) {
        let closed = matches!(world.proxy.ending(client), Some(Ending::Evicted { .. }));
        assert_eq!(closed, length == 10_000_000);
        world.take_all(client);
        let expected = (!closed).then(|| bulk(vec![b'x'; length]));
        world.assert_received(client, expected.unwrap_or_default());
    }
    assert_eq!(world.held(), 0);
    let later = ask_for_long(&mut world, &[30_000_000]);
    world.take_all(later[0]);
    assert_eq!(world.received(later[0]).len(), 30_000_013);
}

#[test]
fn a_request_beyond_the_bound_is_read_to_its_end_and_forwarded() {
    let mut world = world(4_000_000);
    let client = world.connect();
    let request = multibulk(&[&b"SET"[..], b"key", &[b'x'; 30_000_000]]);
    for part in request.chunks(60_000) {
        if !world.wants_input(client) {
            world.proxy.favor(Some(client));
        }
        world.send(client, part);
    }
    assert_eq!(world.proxy.ending(client), None);
    world.answer("+OK\r\n");
    world.assert_received(client, "+OK\r\n");
    assert_eq!(world.held(), 0);
}

#[test]
fn many_replies_beyond_the_bound_close_their_client() {
    let mut world = world(4_000_000);
    let client = world.connect();
    world.stop_taking(client);
    world.send(client, ask_for_each(1000));
    let asked = world.asked().len();
    assert!((10..100).contains(&asked), "{asked} at first");
    while world.proxy.ending(client).is_none() {
        world.answer(bulk(vec![b'x'; 300_000]));
    }
    assert!(world.held() < 4_000_000);
    let client = world.connect();
    world.send(client, get("key"));
    world.assert_received(client, bulk([b'x'; LENGTH]));
}

#[test]
fn replies_that_were_long_are_asked_for_a_few_at_a_time() {
    let mut world = world(0);
    let client = world.connect();
    world.send(client, ask_for_each(200));
    while world.asked().len() > 4 {
        world.answer(bulk(vec![b'x'; 300_000]));
    }
    for _ in 0..100 {
        assert!((1..5).contains(&world.asked().len()));
        world.answer(bulk(vec![b'x'; 300_000]));
    }
    world.answer_together(&[bulk("short")]);
    let mut most = 0;
    while !world.asked().is_empty() {
        most = most.max(world.asked().len());
        world.answer(bulk("short"));
    }
    assert!(most > 10, "short ones again");
}

#[test]
fn a_thousand_who_want_the_same_value_hold_it_once_and_some() {
    let mut world = world(12_000_000);
    let clients: Vec<_> = (0..1000).map(|_| world.connect()).collect();
    for &client in &clients {
        world.stop_taking(client);
        world.send(client, get("long"));
    }
    world.answer(bulk(vec![b'x'; 1_000_000]));
    assert!(world.held() < 10_000_000);
    for &client in &clients {
        world.take_all(client);
        assert_eq!(world.received(client).len(), 1_000_000 + 12);
    }
    assert_eq!(world.held(), 0);
}
