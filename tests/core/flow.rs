//! Clients that do not take their replies, and clients that are done.

use redis_proxy::proxy::{ClientId, MAX_OWED};

use crate::world::{World, bulk, get, multibulk};

/// The length of the values of these tests: a hundred of them and some are [`MAX_OWED`].
const LENGTH: usize = 10_000;

/// The value of a key.
fn value(key: usize) -> Vec<u8> {
    format!("{key:0>width$}", width = LENGTH).into_bytes()
}

/// Requests for keys of these numbers, and the replies to them.
fn pipeline(keys: impl Iterator<Item = usize> + Clone) -> (Vec<u8>, Vec<u8>) {
    let requests = keys.clone().flat_map(|key| get(&key.to_string()));
    (
        requests.collect(),
        keys.flat_map(|key| bulk(value(key))).collect(),
    )
}

/// A world in which the values of ten keys are cached.
fn cached() -> World {
    let mut world = World::roomy();
    for key in 0..10 {
        world.cache(&key.to_string(), value(key));
    }
    world
}

/// Has Redis answer requests for keys that are numbers, in turns of `together`, until there are none.
fn answer_all(world: &mut World, together: usize) {
    while !world.asked().is_empty() {
        let asked = world.asked().into_iter().take(together);
        let key = |key: &Vec<u8>| String::from_utf8_lossy(key).parse().expect("a number");
        let replies: Vec<_> = asked.map(|request| bulk(value(key(&request[1])))).collect();
        world.answer_together(&replies);
    }
}

#[track_caller]
fn assert_bounded(world: &mut World, client: ClientId) {
    let offered = world.offered(client);
    let bounds = MAX_OWED..MAX_OWED + bulk(value(0)).len();
    assert!(bounds.contains(&offered), "{offered}");
}

#[test]
fn a_client_that_takes_no_replies_is_offered_no_more_from_a_megabyte_on_and_what_it_sends_is_kept()
{
    let mut world = cached();
    let client = world.connect();
    world.stop_taking(client);
    let mut executed = 0;
    while world.offered(client) < MAX_OWED {
        let offered = world.offered(client);
        world.send(client, get("1"));
        assert!(world.offered(client) > offered);
        executed += 1;
    }
    assert_bounded(&mut world, client);
    for _ in 0..500 {
        world.send(client, get("2"));
    }
    assert_bounded(&mut world, client);
    world.take_all(client);
    let expected = [bulk(value(1)).repeat(executed), bulk(value(2)).repeat(500)];
    world.assert_received(client, expected.concat());
}

#[test]
fn requests_that_came_with_too_many_are_held_back_and_go_on() {
    let mut world = cached();
    let client = world.connect();
    world.stop_taking(client);
    let (requests, replies) = pipeline((0..500).map(|number| number % 10));
    world.send(client, requests);
    assert_bounded(&mut world, client);
    world.take_all(client);
    world.assert_received(client, replies);
    assert!(world.wants_input(client));
    world.send(client, "PING\r\n");
    world.assert_received(client, "+PONG\r\n");
}

#[test]
fn a_client_that_takes_a_little_at_a_time_gets_all_and_is_never_offered_more() {
    let mut world = cached();
    let client = world.connect();
    world.stop_taking(client);
    let (requests, replies) = pipeline((0..300).map(|number| number % 10));
    let half = [&requests[..], b"PING half"].concat();
    world.send(client, half);
    let mut received = Vec::new();
    while received.len() < replies.len() {
        world.take(client, 4321);
        let more = world.received(client);
        assert!(!more.is_empty());
        received.extend(more);
        assert!(world.offered(client) < MAX_OWED + bulk(value(0)).len());
    }
    assert!(received == replies);
    world.take_all(client);
    world.send(client, "way\r\n");
    world.assert_received(client, bulk("halfway"));
}

#[test]
fn others_are_served_while_one_is_held_back() {
    let mut world = cached();
    let (slow, other) = (world.connect(), world.connect());
    world.stop_taking(slow);
    world.send(slow, get("1").repeat(500));
    world.send(other, [get("1"), get("new")].concat());
    world.answer(bulk("2"));
    world.assert_received(other, [bulk(value(1)), bulk("2")].concat());
    assert_bounded(&mut world, slow);
}

#[test]
fn hits_that_wait_behind_a_miss_are_held_back_too() {
    let mut world = cached();
    let client = world.connect();
    let (requests, replies) = pipeline((100..101).chain((0..500).map(|number| number % 10)));
    world.send(client, requests);
    world.assert_received(client, "");
    assert!(!world.wants_input(client));
    assert!(world.held() < MAX_OWED + 3 * LENGTH);
    answer_all(&mut world, 1);
    world.assert_received(client, replies);
    assert!(world.wants_input(client));
}

#[test]
fn misses_are_held_back_when_too_many_are_under_way() {
    for together in [1, 100, usize::MAX] {
        let mut world = World::roomy();
        let client = world.connect();
        let keys = 0..4000;
        let requests: Vec<u8> = keys.clone().flat_map(|key| get(&key.to_string())).collect();
        world.send(client, requests);
        assert!(world.asked().len() < 4000);
        assert!(!world.wants_input(client));
        let mut received = Vec::new();
        while !world.asked().is_empty() {
            let asked = world.asked().into_iter().take(together);
            let replies: Vec<_> = asked.map(|request| bulk(&request[1])).collect();
            world.answer_together(&replies);
            received.extend(world.received(client));
        }
        let expected = keys.flat_map(|key| bulk(key.to_string()));
        assert!(received.into_iter().eq(expected));
        assert!(world.wants_input(client));
    }
}

#[test]
fn what_was_held_back_is_answered_though_the_client_has_ended_its_input() {
    let mut world = cached();
    let client = world.connect();
    world.stop_taking(client);
    let (requests, replies) = pipeline((0..500).map(|number| number % 13));
    world.send(client, requests);
    world.end(client);
    assert!(!world.wants_input(client));
    let mut received = Vec::new();
    while received.len() < replies.len() {
        assert!(
            !world.is_done(client),
            "{} bytes are missing",
            replies.len() - received.len()
        );
        world.take(client, 100_000);
        answer_all(&mut world, 2);
        let more = world.received(client);
        assert!(!more.is_empty());
        received.extend(more);
    }
    assert!(received == replies);
    assert!(world.is_done(client));
}

#[test]
fn a_client_that_ended_its_input_is_not_done_while_requests_are_held_back() {
    let mut world = cached();
    let client = world.connect();
    world.stop_taking(client);
    let (requests, replies) = pipeline((0..500).map(|number| number % 10));
    world.send(client, requests);
    world.end(client);
    world.take_all(client);
    world.assert_received(client, replies);
    assert!(world.is_done(client));
}

#[test]
fn a_client_that_left_is_not_gone_on_with() {
    let mut world = cached();
    let client = world.connect();
    world.stop_taking(client);
    world.send(client, [get("1").repeat(500), get("miss")].concat());
    world.leave(client);
    let next = world.connect();
    assert_eq!(next, client, "it has the same slot");
    assert!(world.wants_input(next));
    world.send(next, "PING\r\n");
    world.assert_received(next, "+PONG\r\n");
    world.assert_asked(&[]);
}

#[test]
fn a_megabyte_of_one_reply_is_sent_before_more_is_asked_for() {
    let mut world = World::roomy();
    let long = vec![b'x'; 3 * MAX_OWED];
    let client = world.connect();
    world.stop_taking(client);
    world.send(
        client,
        [multibulk(&[&b"ECHO"[..], &long]), get("key")].concat(),
    );
    world.assert_asked(&[]);
    world.take_all(client);
    world.assert_asked(&["GET key"]);
    world.assert_received(client, bulk(&long));
}

#[test]
fn quit_is_answered_after_what_was_asked_before_and_nothing_after_it() {
    let mut world = World::roomy();
    let client = world.connect();
    world.send(client, b"PING\r\nGET a\r\nQUIT\r\nPING\r\nGET b\r\n");
    world.assert_asked(&["GET a"]);
    assert!(!world.wants_input(client));
    assert!(!world.is_done(client));
    world.answer(bulk("A"));
    world.assert_received(client, "+PONG\r\n$1\r\nA\r\n+OK\r\n");
    assert!(world.is_done(client));
}

#[test]
fn a_client_that_quits_is_done_when_it_took_its_replies() {
    let mut world = World::roomy();
    let client = world.connect();
    world.stop_taking(client);
    world.send(client, "QUIT\r\n");
    world.take(client, 4);
    assert!(!world.is_done(client));
    world.take(client, 1);
    world.assert_received(client, "+OK\r\n");
    assert!(world.is_done(client));
}

#[test]
fn quit_may_be_held_back() {
    let mut world = cached();
    let client = world.connect();
    world.stop_taking(client);
    let quit = [&get("1").repeat(500)[..], b"QUIT\r\nPING\r\n"].concat();
    world.send(client, quit);
    assert!(!world.is_done(client));
    world.take_all(client);
    let expected = [&bulk(value(1)).repeat(500)[..], b"+OK\r\n"].concat();
    world.assert_received(client, expected);
    assert!(world.is_done(client));
}

#[test]
fn a_protocol_error_is_answered_as_redis_does_and_ends_the_client() {
    for (wrong, message) in [
        (&b"*x\r\n"[..], &b"invalid multibulk length"[..]),
        (b"*2147483648\r\n", b"invalid multibulk length"),
        (b"*1\r\n$-1\r\n", b"invalid bulk length"),
        (b"*1\r\n$536870913\r\n", b"invalid bulk length"),
        (b"*1\r\nGET\r\n", b"expected '$', got 'G'"),
        (b"*1\r\n\xe9\r\n", b"expected '$', got '\xe9'"),
        (b"*1\r\n\r\n", b"expected '$', got ' '"),
        (b"GET \"key\r\n", b"unbalanced quotes in request"),
        (&[b'x'; 65_537], b"too big inline request"),
    ] {
        let mut world = World::roomy();
        let (client, other) = (world.connect(), world.connect());
        let pipeline = [
            b"PING\r\nGET key\r\nPING\r\n",
            wrong,
            b"\r\nPING\r\nGET b\r\n",
        ];
        world.send(client, pipeline.concat());
        assert!(!world.wants_input(client));
        assert!(!world.is_done(client));
        world.assert_asked(&["GET key"]);
        world.answer(bulk("1"));
        let error = [b"-ERR Protocol error: ", message, b"\r\n"].concat();
        let expected = [b"+PONG\r\n$1\r\n1\r\n+PONG\r\n", &error[..]].concat();
        world.assert_received(client, expected);
        assert!(world.is_done(client));
        world.send(other, "PING\r\n");
        world.assert_received(other, "+PONG\r\n");
    }
}

#[test]
fn a_client_that_asks_for_nothing_and_ends_is_done() {
    for sent in ["", "\r\n", "*2\r\n$3\r\nGET\r\n$3\r\nke", "PING", "\"PING"] {
        let mut world = World::roomy();
        let client = world.connect();
        world.send(client, sent);
        assert!(!world.is_done(client));
        world.end(client);
        assert!(world.is_done(client));
        world.assert_received(client, "");
        world.assert_asked(&[]);
    }
}

#[test]
fn a_client_that_ends_with_a_miss_under_way_is_done_after_its_reply() {
    let mut world = World::roomy();
    let client = world.connect();
    world.send(client, b"GET key\r\nPING\r\nPING half a requ");
    world.end(client);
    assert!(!world.is_done(client));
    assert!(!world.wants_input(client));
    world.stop_taking(client);
    world.answer(bulk("value"));
    assert!(!world.is_done(client));
    world.take_all(client);
    world.assert_received(client, "$5\r\nvalue\r\n+PONG\r\n");
    assert!(world.is_done(client));
}
