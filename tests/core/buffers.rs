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
    let bound = 4_000_000;
    let mut world = world(bound);
    let client = slowed(&mut world);
    let held = world.held();
    assert!((bound / 4 * 3..bound).contains(&held), "{held}");
    assert!(
        world.offered(client) < bound / 2,
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
fn of_those_that_stand_still_the_largest_leave_until_there_is_room() {
    let mut world = world(4_000_000);
    let small = world.connect();
    world.stop_taking(small);
    world.send(small, get("key"));
    let large = slowed(&mut world);
    for client in [small, large] {
        assert!(world.proxy.stalled_since(client).is_some());
    }
    world.proxy.evict_stalled(vec![large, small]);
    assert_eq!(world.proxy.ending(large), Some(&Ending::Buffers));
    assert_eq!(world.proxy.ending(small), None);
    assert!(!world.proxy.is_short_of_buffers());
    world.take_all(small);
    world.assert_received(small, bulk([b'x'; LENGTH]));
    assert!(world.is_done(large));
}

#[test]
fn who_waits_for_redis_does_not_stand_still() {
    let mut world = world(4_000_000);
    let client = world.connect();
    world.send(client, get("miss"));
    assert!(world.held() > 0);
    assert_eq!(world.proxy.stalled_since(client), None);
}

#[test]
fn replies_beyond_the_bound_close_the_largest_at_once() {
    let mut world = world(4_000_000);
    let clients: Vec<_> = (0..5).map(|_| world.connect()).collect();
    for (number, &client) in clients.iter().enumerate() {
        world.stop_taking(client);
        let key = format!("long{number}");
        world.send(client, multibulk(&["GETRANGE", &key, "0", "-1"]));
    }
    let lengths = [1_000_000, 900_000, 1_500_000, 500_000, 800_000];
    for length in lengths {
        world.answer(bulk(vec![b'x'; length]));
        assert!(world.held() <= 4_000_000);
    }
    for (&client, length) in clients.iter().zip(lengths) {
        let closed = world.proxy.ending(client) == Some(&Ending::Buffers);
        assert_eq!(closed, length == 1_500_000);
        world.take_all(client);
        let expected = (!closed).then(|| bulk(vec![b'x'; length]));
        world.assert_received(client, expected.unwrap_or_default());
    }
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
