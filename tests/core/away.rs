//! Redis goes away and comes back.

use std::time::Duration;

use redis_proxy::clock::Time;
use redis_proxy::metrics::{ErrorKind, Outcome};

use crate::world::{World, bulk, get, roomy};

const AWAY: &str = "-ERR backing Redis at redis:6379 can't be reached: gone\r\n";

#[test]
fn a_miss_fails_at_once_while_redis_is_away() {
    let mut world = World::roomy();
    world.down(AWAY);
    let client = world.connect();
    world.send(client, [&get("a")[..], b"PING\r\n", &get("a")].concat());
    world.assert_received(client, [AWAY, "+PONG\r\n", AWAY].concat());
    world.assert_asked(&[]);
}

#[test]
fn what_needs_an_own_connection_is_refused_and_counted_as_such_while_redis_is_away() {
    for request in ["multi\r\n", "blpop list 0\r\n", "auth user password\r\n"] {
        let mut world = World::roomy();
        world.down(AWAY);
        let client = world.connect();
        world.send(client, request);
        world.assert_received(client, AWAY);
        assert!(world.is_done(client));
        world.proxy.end_run(Duration::ZERO);
        let status = world.proxy.status(Time::default());
        let counted: Vec<_> = status.metrics.commands.iter().collect();
        assert_eq!(counted.len(), 1, "{request}");
        assert!(request.starts_with(&status.command_name(counted[0])));
        assert_eq!(counted[0].of(Outcome::Refused), 1, "{request}");
        assert_eq!(counted[0].calls(), 0, "{request}");
        assert_eq!(status.metrics.errors(ErrorKind::Unreachable), 1);
    }
}

#[test]
fn hits_are_served_while_redis_is_away() {
    let mut world = World::roomy();
    world.cache("hit", "1");
    world.down(AWAY);
    let client = world.connect();
    world.send(client, [get("hit"), get("miss"), get("hit")].concat());
    world.assert_received(client, [&bulk("1"), AWAY.as_bytes(), &bulk("1")].concat());
}

#[test]
fn an_entry_past_its_time_is_not_served_while_redis_is_away() {
    let mut world = World::roomy();
    world.cache("key", "value");
    world.down(AWAY);
    world.wait(1000);
    let client = world.connect();
    world.send(client, get("key"));
    world.assert_received(client, AWAY);
}

#[test]
fn misses_are_asked_for_again_when_redis_is_back() {
    let mut world = World::roomy();
    world.down(AWAY);
    let client = world.connect();
    world.send(client, get("key"));
    world.assert_received(client, AWAY);
    world.up();
    world.send(client, get("key"));
    world.assert_asked(&["GET key"]);
    world.answer(bulk("value"));
    world.assert_received(client, bulk("value"));
}

#[test]
fn nothing_from_before_is_served_when_redis_is_back() {
    let mut world = World::roomy();
    world.cache("key", "old");
    world.down(AWAY);
    world.up();
    let client = world.connect();
    world.send(client, get("key"));
    world.assert_received(client, "");
    world.assert_asked(&["GET key"]);
}

#[test]
fn nothing_from_before_is_served_while_it_is_not_known_whether_changes_are_reported_again() {
    let mut world = World::roomy();
    world.cache("key", "old");
    world.lose_tracking();
    world.down(AWAY);
    world.up_and_no_more();
    let client = world.connect();
    world.send(client, get("key"));
    world.assert_received(client, "");
    world.assert_asked(&["GET key"]);
}

#[test]
fn the_latest_reason_is_told() {
    let mut world = World::roomy();
    world.down("-ERR first\r\n");
    world.down("-ERR second\r\n");
    let client = world.connect();
    world.send(client, get("key"));
    world.assert_received(client, "-ERR second\r\n");
}

#[test]
fn requests_under_way_get_the_errors_that_stand_in_for_their_replies() {
    let mut world = World::roomy();
    let (one, two) = (world.connect(), world.connect());
    world.send(one, [&get("a")[..], b"PING\r\n", &get("b")].concat());
    world.send(two, get("b"));
    world.down(AWAY);
    world.assert_received(one, "");
    world.answer_together(&[AWAY, AWAY]);
    world.assert_received(one, [AWAY, "+PONG\r\n", AWAY].concat());
    world.assert_received(two, AWAY);
    assert!(world.proxy.cache().is_empty());
}

#[test]
fn a_failure_keeps_its_place_behind_a_request_under_way() {
    let mut world = World::roomy();
    let client = world.connect();
    world.send(client, get("a"));
    world.down(AWAY);
    world.send(client, get("b"));
    world.assert_received(client, "");
    world.answer(bulk("A"));
    world.assert_received(client, [&bulk("A"), AWAY.as_bytes()].concat());
}

#[test]
fn a_request_in_flight_that_was_sent_again_is_answered_and_not_cached() {
    let mut world = World::roomy();
    let client = world.connect();
    world.send(client, get("key"));
    world.down(AWAY);
    world.up();
    world.send(client, get("key"));
    world.assert_asked(&["GET key", "GET key"]);
    world.answer(bulk("old"));
    assert!(world.proxy.cache().is_empty());
    world.answer(bulk("new"));
    world.assert_received(client, [bulk("old"), bulk("new")].concat());
    assert_eq!(world.proxy.cache().len(), 1);
}

#[test]
fn the_proxy_serves_before_it_heard_from_redis() {
    let mut world = World::unheard(roomy());
    let client = world.connect();
    world.send(client, [b"PING\r\n", &get("key")[..]].concat());
    world.assert_received(client, "+PONG\r\n");
    world.assert_asked(&["GET key"]);
    world.up();
    world.answer(bulk("value"));
    world.assert_received(client, bulk("value"));
}

#[test]
fn no_dedicated_connection_is_made_to_a_master_that_was_left() {
    let mut world = World::roomy();
    world.up_as("old");
    let [blocked, client] = [(); 2].map(|()| world.connect());
    world.send(blocked, "blpop list 0\r\n");
    assert!(world.proxy.dedicated(blocked).is_some());
    world.moved();
    assert!(world.is_done(blocked));
    world.send(client, "multi\r\n");
    assert!(world.proxy.dedicated(client).is_none());
    world.up_as("new");
    assert!(world.proxy.dedicated(client).is_some());
}

#[test]
fn at_another_server_the_cache_starts_empty_also_if_changes_are_not_reported() {
    let mut world = World::roomy();
    world.up_without_tracking();
    world.up_as_and_no_more("old");
    let client = world.connect();
    world.send(client, get("key"));
    world.answer_together(&[&bulk("value")[..], b":-1\r\n"]);
    world.assert_received(client, bulk("value"));
    world.up_as_and_no_more("old");
    world.send(client, get("key"));
    world.assert_received(client, bulk("value"));
    world.up_as_and_no_more("new");
    world.send(client, get("key"));
    world.assert_received(client, "");
}
