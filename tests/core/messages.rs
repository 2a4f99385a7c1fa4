//! Write, then notify: what a client learns of others on its dedicated connection waits until what they wrote before is
//! out of the cache.

use redis_proxy::proxy::ClientId;

use super::world::{World, bulk, get, roomy};

const CONFIRMATION: &str = "*3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n";
/// The last reply of the set-up.
const NUMBER: &str = ":9\r\n";
const MESSAGE: &str = "*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$2\r\nhi\r\n";
const PONG: &str = "*2\r\n$4\r\npong\r\n$0\r\n\r\n";
const AWAY: &str = "-ERR away\r\n";

fn subscribe(world: &mut World) -> ClientId {
    let client = world.connect();
    world.send(client, "SUBSCRIBE c\r\n");
    world.receive_dedicated(client, NUMBER);
    world.receive_dedicated(client, CONFIRMATION);
    world.assert_received(client, CONFIRMATION);
    client
}

fn is_dedicated(world: &mut World, client: ClientId) -> bool {
    world.proxy.dedicated(client).is_some()
}

#[test]
fn a_message_that_overtakes_the_report_of_a_change_waits_for_it() {
    let mut world = World::roomy();
    world.cache("key", "old");
    let listener = subscribe(&mut world);
    assert_eq!(world.proxy.take_barrier(), None);
    world.receive_dedicated(listener, MESSAGE);
    let barrier = world.proxy.take_barrier().expect("one is wanted");
    assert_eq!(world.proxy.take_barrier(), None, "it is asked for once");
    world.assert_received(listener, "");
    world.invalidate("key");
    world.assert_received(listener, "");
    world.pass_barrier(barrier);
    world.assert_received(listener, MESSAGE);
    let reader = world.connect();
    world.send(reader, get("key"));
    world.assert_asked(&["GET key"]);
}

#[test]
fn what_comes_in_one_turn_shares_a_barrier_and_what_comes_later_has_another() {
    let mut world = World::roomy();
    let listeners = [subscribe(&mut world), subscribe(&mut world)];
    for listener in listeners {
        world.receive_dedicated(listener, MESSAGE.repeat(2));
    }
    let first = world.proxy.take_barrier().expect("one is wanted");
    world.receive_dedicated(listeners[0], MESSAGE);
    let second = world.proxy.take_barrier().expect("another is wanted");
    world.pass_barrier(first);
    for listener in listeners {
        world.assert_received(listener, MESSAGE.repeat(2));
    }
    world.pass_barrier(second);
    world.assert_received(listeners[0], MESSAGE);
    world.assert_received(listeners[1], "");
}

#[test]
fn every_kind_of_reply_that_tells_of_others_waits() {
    for (requests, replies, told) in [
        ("BLPOP list 0", "", "*2\r\n$4\r\nlist\r\n$1\r\nx\r\n"),
        (
            "WATCH y\r\nMULTI\r\nGET x\r\nEXEC",
            "+OK\r\n+OK\r\n+QUEUED\r\n",
            "*1\r\n$1\r\nx\r\n",
        ),
        ("WATCH x\r\nGET x", "+OK\r\n", "$1\r\nx\r\n"),
        ("WATCH x\r\nSET x 1 NX", "+OK\r\n", "+OK\r\n"),
        ("WATCH x\r\nMULTI\r\nEXEC", "+OK\r\n+OK\r\n", "*-1\r\n"),
        (
            "MONITOR",
            "+OK\r\n",
            "+1700000000.000000 [0 127.0.0.1:1] \"GET\" \"x\"\r\n",
        ),
        ("XREAD BLOCK 0 STREAMS s $", "", "*-1\r\n"),
        (
            "PSUBSCRIBE *",
            "*3\r\n$10\r\npsubscribe\r\n$1\r\n*\r\n:1\r\n",
            "*4\r\n$8\r\npmessage\r\n$1\r\n*\r\n$1\r\nc\r\n$1\r\nx\r\n",
        ),
    ] {
        let mut world = World::roomy();
        let client = world.connect();
        world.send(client, format!("{requests}\r\n"));
        world.receive_dedicated(client, NUMBER);
        world.receive_dedicated(client, replies);
        assert_eq!(world.proxy.take_barrier(), None, "{requests}");
        world.assert_received(client, replies);
        for piece in told.as_bytes().chunks(5) {
            world.receive_dedicated(client, piece);
        }
        world.assert_received(client, "");
        let barrier = world.proxy.take_barrier().expect(requests);
        world.pass_barrier(barrier);
        world.assert_received(client, told);
    }
}

#[test]
fn the_rest_of_a_long_reply_needs_no_barrier_of_its_own() {
    let mut world = World::roomy();
    let client = world.connect();
    world.send(client, "WATCH x\r\nGET x\r\n");
    world.receive_dedicated(client, NUMBER);
    world.receive_dedicated(client, "+OK\r\n$6\r\nab");
    let barrier = world.proxy.take_barrier().expect("one is wanted");
    world.pass_barrier(barrier);
    world.assert_received(client, "+OK\r\n$6\r\nab");
    world.receive_dedicated(client, "cdef\r\n");
    world.assert_received(client, "cdef\r\n");
    assert_eq!(world.proxy.take_barrier(), None);
}

#[test]
fn order_is_kept_behind_a_message_that_waits_and_nobody_else_does() {
    let mut world = World::roomy();
    world.cache("key", "value");
    let listener = subscribe(&mut world);
    world.receive_dedicated(listener, MESSAGE);
    let barrier = world.proxy.take_barrier().expect("one is wanted");
    world.send(listener, "PING\r\n");
    world.receive_dedicated(listener, PONG);
    world.send(listener, "RESET\r\n");
    world.receive_dedicated(listener, "+RESET\r\n");
    assert!(!is_dedicated(&mut world, listener));
    world.send(listener, get("key"));
    world.assert_received(listener, "");
    let other = world.connect();
    world.send(other, get("key"));
    world.assert_received(other, bulk("value"));
    // What is cached may be from before the message.
    world.assert_asked(&["GET key"]);
    world.answer(bulk("newer"));
    world.pass_barrier(barrier);
    let expected = format!("{MESSAGE}{PONG}+RESET\r\n$5\r\nnewer\r\n");
    world.assert_received(listener, expected);
    world.send(listener, get("key"));
    world.assert_received(listener, bulk("newer"));
}

#[test]
fn who_was_shown_a_newer_value_reads_no_older_one_before_that_is_reported() {
    let mut world = World::roomy();
    world.cache("key", "old");
    let client = world.connect();
    world.send(client, "WATCH x\r\nMGET key\r\nUNWATCH\r\n");
    let output = world.proxy.dedicated(client).expect("a connection");
    output.send(&mut Vec::new()).expect("memory");
    let shown = "+OK\r\n*1\r\n$3\r\nnew\r\n+OK\r\n";
    world.receive_dedicated(client, format!("{NUMBER}{shown}"));
    let barrier = world.proxy.take_barrier().expect("one is wanted");
    world.send(client, get("key"));
    world.assert_asked(&["GET key"]);
    world.answer(bulk("new"));
    world.pass_barrier(barrier);
    world.assert_received(client, [shown.as_bytes(), &bulk("new")].concat());
}

#[test]
fn nothing_waits_if_it_is_not_to_or_if_redis_reports_no_changes() {
    let mut world = World::roomy();
    world.proxy.set_causal(false);
    let listener = subscribe(&mut world);
    world.receive_dedicated(listener, MESSAGE);
    world.assert_received(listener, MESSAGE);
    let mut world = World::unheard(roomy());
    world.up_without_tracking();
    let listener = subscribe(&mut world);
    world.receive_dedicated(listener, MESSAGE);
    world.assert_received(listener, MESSAGE);
    assert_eq!(world.proxy.take_barrier(), None);
}

#[test]
fn a_lost_tracker_holds_messages_until_another_reports_changes() {
    let mut world = World::roomy();
    world.cache("key", "old");
    let listener = subscribe(&mut world);
    world.receive_dedicated(listener, MESSAGE);
    let barrier = world.proxy.take_barrier().expect("one is wanted");
    world.lose_tracking();
    // It was asked for on another connection than the one that should have reported the change.
    world.pass_barrier(barrier);
    world.receive_dedicated(listener, MESSAGE);
    world.assert_received(listener, "");
    world.up();
    world.assert_received(listener, MESSAGE.repeat(2));
    let reader = world.connect();
    world.send(reader, get("key"));
    world.assert_asked(&["GET key"]);
}

#[test]
fn without_a_tracker_messages_pass_and_no_fetch_from_before_them_is_shared() {
    let mut world = World::roomy();
    let listener = subscribe(&mut world);
    world.lose_tracking();
    world.receive_dedicated(listener, MESSAGE);
    world.assert_received(listener, "");
    world.miss_tracking();
    world.assert_received(listener, MESSAGE);
    let readers = [world.connect(), world.connect()];
    world.send(readers[0], get("key"));
    world.receive_dedicated(listener, MESSAGE);
    world.assert_received(listener, MESSAGE);
    world.send(readers[1], get("key"));
    world.assert_asked(&["GET key", "GET key"]);
}

#[test]
fn a_redis_that_goes_away_ends_dedicated_connections_behind_what_had_come() {
    let mut world = World::roomy();
    world.cache("key", "value");
    let reader = world.connect();
    let [listener, quiet] = [subscribe(&mut world), subscribe(&mut world)];
    world.receive_dedicated(listener, MESSAGE);
    world.lose_tracking();
    world.gone();
    world.assert_received(listener, MESSAGE);
    for client in [listener, quiet] {
        assert!(world.is_done(client));
        world.assert_received(client, "");
    }
    world.send(reader, get("key"));
    world.assert_received(reader, bulk("value"));
    assert!(!world.is_done(reader));
}

#[test]
fn a_redis_that_refuses_the_proxy_or_may_only_be_busy_ends_none() {
    let mut world = World::roomy();
    let listener = subscribe(&mut world);
    world.receive_dedicated(listener, MESSAGE);
    world.down(AWAY);
    world.receive_dedicated(listener, MESSAGE);
    world.assert_received(listener, MESSAGE.repeat(2));
    world.silent();
    assert!(is_dedicated(&mut world, listener));
}

#[test]
fn dedicated_connections_end_when_another_redis_takes_the_place_of_theirs() {
    let mut world = World::unheard(roomy());
    world.up_as("one");
    let listener = subscribe(&mut world);
    world.up_as("one");
    assert!(is_dedicated(&mut world, listener));
    world.up_as("two");
    assert!(world.is_done(listener));
}

#[test]
fn who_waits_for_a_barrier_is_read_from_no_further_once_a_megabyte_is_held() {
    let mut world = World::roomy();
    let listener = subscribe(&mut world);
    let mut held = 0;
    while world.proxy.wants_dedicated_input(listener) {
        world.receive_dedicated(listener, MESSAGE);
        held += 1;
        assert!(held < 100_000);
    }
    let barrier = world.proxy.take_barrier().expect("one is wanted");
    world.pass_barrier(barrier);
    world.assert_received(listener, MESSAGE.repeat(held));
    assert!(world.proxy.wants_dedicated_input(listener));
}
