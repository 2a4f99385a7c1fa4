//! Redis goes away and comes back.

use std::time::Duration;

use redis_proxy::clock::Time;
use redis_proxy::metrics::{ErrorKind, Outcome};
use redis_proxy::resp::Protocol;
use redis_proxy::upstream::CLOSED;

use crate::world::{World, bulk, get, roomy};

const AWAY: &str = "-ERR backing Redis at redis:6379 can't be reached: gone\r\n";
const LOADING: &str = "-LOADING Redis is loading the dataset in memory\r\n";

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
fn what_needs_a_dedicated_connection_gets_the_refusal_of_redis_and_is_counted_so() {
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
fn who_needs_a_redis_that_can_not_be_reached_is_closed_behind_what_came_before() {
    for request in [
        &get("miss")[..],
        b"MGET hit miss\r\n",
        b"SET a 1\r\n",
        b"MULTI\r\n",
        b"NOSUCH\r\n",
    ] {
        let mut world = World::roomy();
        world.cache("hit", "1");
        world.gone();
        let client = world.connect();
        let hits = [get("hit"), get("hit")].concat();
        world.send(client, [&hits, request, &hits].concat());
        world.assert_received(client, bulk("1").repeat(2));
        assert!(world.is_done(client), "{}", request.escape_ascii());
        world.assert_asked(&[]);
        assert_eq!(world.proxy.metrics().errors(ErrorKind::Unreachable), 1);
    }
}

#[test]
fn who_reads_only_what_is_cached_stays_and_may_say_who_it_is() {
    let mut world = World::roomy();
    world.cache("hit", "1");
    world.gone();
    let client = world.connect();
    world.send(client, b"CLIENT LIST\r\n");
    let received = world.received(client);
    assert!(
        received.starts_with(b"-ERR backing Redis"),
        "{}",
        received.escape_ascii()
    );
    for _ in 0..3 {
        world.send(client, [&get("hit")[..], b"MGET hit hit\r\n"].concat());
        let both = [b"*2\r\n", &bulk("1").repeat(2)[..]].concat();
        world.assert_received(client, [bulk("1"), both].concat());
    }
    assert!(!world.is_done(client));
}

#[test]
fn a_request_that_gets_no_reply_closes_its_client_at_its_place_and_nobody_else() {
    let mut world = World::roomy();
    let [client, other] = [world.connect(), world.connect()];
    world.send(client, [get("a"), get("b"), get("c")].concat());
    world.send(client, b"PING\r\n");
    world.send(other, get("d"));
    world.answer_on(Protocol::Resp2, &["$1\r\n1\r\n", ":-1\r\n"]);
    world.answer_together(&[CLOSED, b"$1\r\n3\r\n", b"$1\r\n4\r\n"]);
    world.assert_received(client, "$1\r\n1\r\n");
    assert!(world.is_done(client));
    world.assert_received(other, "$1\r\n4\r\n");
    assert!(!world.is_done(other));
    // The slot is used again, and nothing of its last client comes.
    world.leave(client);
    let next = world.connect();
    world.send(next, b"PING\r\n");
    world.assert_received(next, "+PONG\r\n");
}

#[test]
fn a_right_that_was_missing_is_still_so_when_no_reply_comes() {
    let mut world = World::roomy();
    world.let_keys_die();
    let missing = |world: &World| world.proxy.status(world.time()).missing_rights.line();
    for replies in [["$1\r\n1\r\n", "-NOPERM no\r\n"], ["", ""]] {
        let client = world.connect();
        world.send(client, get("key"));
        world.answer_together(&replies);
        let line = missing(&world);
        assert!(line.contains("+pttl"), "{line:?}");
    }
}

#[test]
fn a_client_that_is_closed_counts_once_however_much_it_asked_for() {
    let mut world = World::roomy();
    let client = world.connect();
    world.send(client, [b"MGET a b c\r\n", &get("d")[..]].concat());
    world.answer_together(&[CLOSED; 4]);
    assert!(world.is_done(client));
    assert_eq!(world.proxy.metrics().errors(ErrorKind::Unreachable), 1);
}

#[test]
fn requests_wait_for_a_redis_that_may_only_be_restarting() {
    let mut world = World::roomy();
    world.cache("hit", "1");
    world.lose_tracking();
    world.lose();
    let [client, other, dedicated] = [world.connect(), world.connect(), world.connect()];
    world.send(client, [get("hit"), get("miss")].concat());
    world.send(other, b"SET a 1\r\n");
    world.send(dedicated, b"MULTI\r\n");
    world.assert_received(client, bulk("1"));
    for waiting in [client, other, dedicated] {
        world.assert_received(waiting, "");
        assert!(!world.is_done(waiting));
    }
    world.assert_asked(&["GET miss", "SET a 1"]);
    world.up();
    world.answer_together(&["$1\r\n2\r\n", "+OK\r\n"]);
    world.assert_received(client, bulk("2"));
    world.assert_received(other, "+OK\r\n");
    assert!(world.proxy.dedicated(dedicated).is_some());
    world.lose();
    world.gone();
    assert!(world.is_done(dedicated));
}

#[test]
fn who_logs_in_while_redis_restarts_is_served_what_is_cached_and_waits_if_it_was_never_there() {
    let mut world = World::roomy();
    world.cache("hit", "1");
    world.lose();
    let client = world.connect();
    world.send(client, [b"AUTH default word\r\n", &get("hit")[..]].concat());
    world.assert_received(client, [b"+OK\r\n", &bulk("1")[..]].concat());
    let mut world = World::unheard(roomy());
    let client = world.connect();
    world.send(client, b"AUTH default word\r\n");
    world.assert_received(client, "");
}

#[test]
fn info_says_that_redis_loads_its_data_though_it_was_asked_for_before_that_was_known() {
    let mut world = World::roomy();
    world.lose();
    let client = world.connect();
    world.send(client, b"INFO persistence\r\n");
    world.assert_received(client, "");
    world.down(LOADING);
    world.answer(LOADING);
    let info = world.received(client);
    let info = String::from_utf8_lossy(&info);
    assert!(info.contains("loading:1\r\n"), "{info}");
}

#[test]
fn who_was_there_when_redis_was_lost_is_closed_if_it_comes_back_and_refuses() {
    let mut world = World::roomy();
    world.cache("hit", "1");
    let [before, idle] = [world.connect(), world.connect()];
    world.lose();
    world.down(LOADING);
    let after = world.connect();
    for client in [before, after] {
        world.send(client, [get("hit"), get("miss"), get("hit")].concat());
    }
    world.assert_received(before, bulk("1"));
    assert!(world.is_done(before));
    world.assert_received(after, [&bulk("1"), LOADING.as_bytes(), &bulk("1")].concat());
    // Who asked for nothing meanwhile has noticed nothing.
    world.up();
    world.down(LOADING);
    world.send(idle, get("miss"));
    world.assert_received(idle, LOADING);
}

#[test]
fn a_transaction_that_redis_refuses_is_not_executed_in_part() {
    for (error, goes_on) in [
        (LOADING, false),
        ("-NOAUTH Authentication required.\r\n", true),
    ] {
        let mut world = World::roomy();
        world.down(error);
        let client = world.connect();
        world.send(client, b"MULTI\r\n");
        world.assert_received(client, error);
        assert_eq!(world.is_done(client), !goes_on, "{error}");
    }
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
