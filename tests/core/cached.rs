//! What is cached, for how long, and what never is.

use std::time::Duration;

use redis_proxy::cache::Limits;
use redis_proxy::resp::reply::SHARED_MIN;

use crate::world::{World, bulk, get, multibulk, roomy};

#[test]
fn a_fetched_value_is_cached() {
    let mut world = World::roomy();
    for value in ["value", "", "$-1\r\n"] {
        let key = format!("key of {value}");
        world.cache(&key, value);
        let client = world.connect();
        world.send(client, get(&key));
        world.assert_received(client, bulk(value));
        world.assert_asked(&[]);
        world.leave(client);
    }
    assert_eq!(world.proxy.cache().len(), 3);
}

#[test]
fn an_error_is_delivered_and_not_cached() {
    let wrong_type = "-WRONGTYPE Operation against a key holding the wrong kind of value\r\n";
    for reply in [wrong_type, "-LOADING\r\n", "+OK\r\n", ":1\r\n"] {
        let mut world = World::roomy();
        let client = world.connect();
        for _ in 0..2 {
            world.send(client, get("key"));
            world.assert_asked(&["GET key"]);
            world.answer(reply);
            world.assert_received(client, reply);
        }
        assert!(world.proxy.cache().is_empty());
    }
}

#[test]
fn what_is_cached_of_a_key_outlives_a_get_that_is_not() {
    let mut world = World::roomy();
    let client = world.connect();
    let read = multibulk(&["LRANGE", "key", "0", "-1"]);
    let list = "*1\r\n$1\r\na\r\n";
    world.send(client, &read);
    world.answer(list);
    world.assert_received(client, list);
    for wrong in [get("key"), multibulk(&["MGET", "key", "key"])] {
        world.send(client, &wrong);
        world.answer("-WRONGTYPE Operation\r\n");
        world.received(client);
        world.send(client, &read);
        world.assert_received(client, list);
    }
}

#[test]
fn a_nil_is_not_cached_if_redis_does_not_say_what_changes() {
    let mut world = World::unheard(roomy());
    world.up_without_tracking();
    let client = world.connect();
    // The key may have come to be between the two.
    for key_lives in [":-2\r\n", ":-1\r\n", ":5000\r\n"] {
        world.send(client, get("key"));
        world.assert_asked(&["GET key", "PTTL key"]);
        world.answer_together(&["$-1\r\n", key_lives]);
        world.assert_received(client, "$-1\r\n");
        assert!(world.proxy.cache().is_empty());
    }
}

#[test]
fn an_entry_does_not_outlive_its_key_if_redis_does_not_say_what_changes() {
    for (key_lives, entry_lives) in [(":10\r\n", 10), (":-1\r\n", 1000), (":5000\r\n", 1000)] {
        let mut world = World::unheard(roomy());
        world.up_without_tracking();
        let client = world.connect();
        world.send(client, get("key"));
        world.answer_together(&[&bulk("value"), key_lives.as_bytes()]);
        world.wait(entry_lives - 1);
        world.send(client, get("key"));
        world.assert_received(client, bulk("value").repeat(2));
        world.wait(1);
        world.send(client, get("key"));
        world.assert_received(client, "");
        world.assert_asked(&["GET key", "PTTL key"]);
    }
}

#[test]
fn the_life_of_a_key_is_counted_from_when_redis_may_have_told_it() {
    let mut world = World::unheard(roomy());
    world.up_without_tracking();
    let client = world.connect();
    world.send(client, get("key"));
    world.wait(60);
    world.answer_together(&[&bulk("value"), &b":100\r\n"[..]]);
    world.wait(39);
    world.send(client, get("key"));
    world.assert_received(client, bulk("value").repeat(2));
    world.wait(1);
    world.send(client, get("key"));
    world.assert_received(client, "");
}

#[test]
fn an_entry_is_served_to_the_last_moment_of_its_life() {
    let mut world = World::roomy();
    world.cache("key", "value");
    let client = world.connect();
    world.wait(999);
    world.send(client, get("key"));
    world.assert_received(client, bulk("value"));
}

#[test]
fn an_entry_past_its_time_is_fetched_anew_even_if_it_was_not_removed_yet() {
    let mut world = World::roomy();
    world.cache("key", "old");
    let client = world.connect();
    world.wait(1000);
    world.send(client, get("key"));
    world.assert_received(client, "");
    world.assert_asked(&["GET key"]);
    world.answer(bulk("new"));
    world.assert_received(client, bulk("new"));
    world.wait(999);
    world.send(client, get("key"));
    world.assert_received(client, bulk("new"));
}

#[test]
fn a_hit_does_not_prolong_a_life() {
    let mut world = World::roomy();
    world.cache("key", "value");
    let client = world.connect();
    world.wait(999);
    world.send(client, get("key"));
    world.wait(1);
    world.send(client, get("key"));
    world.assert_asked(&["GET key"]);
}

#[test]
fn a_life_begins_when_the_reply_comes() {
    let mut world = World::roomy();
    let client = world.connect();
    world.send(client, get("key"));
    world.wait(5000);
    world.answer(bulk("value"));
    world.assert_received(client, bulk("value"));
    world.wait(999);
    world.send(client, get("key"));
    world.assert_received(client, bulk("value"));
}

#[test]
fn expire_removes_what_is_past_its_time() {
    let mut world = World::roomy();
    world.cache("old", "1");
    world.wait(500);
    world.cache("young", "2");
    assert_eq!(world.expire(), 0);
    world.wait(500);
    assert_eq!(world.expire(), 1);
    assert_eq!(world.proxy.cache().len(), 1);
    let client = world.connect();
    world.send(client, [get("young"), get("old")].concat());
    world.assert_received(client, bulk("2"));
    world.assert_asked(&["GET old"]);
}

#[test]
fn the_least_recently_used_key_is_asked_for_again() {
    let mut world = World::new(Limits {
        entries: 2,
        ..roomy()
    });
    world.cache("a", "A");
    world.cache("b", "B");
    let client = world.connect();
    world.send(client, get("a"));
    world.cache("c", "C");
    world.send(client, [get("a"), get("c"), get("b")].concat());
    world.assert_received(client, [bulk("A"), bulk("A"), bulk("C")].concat());
    world.assert_asked(&["GET b"]);
}

#[test]
fn a_value_beyond_the_memory_budget_is_delivered_and_not_cached() {
    let mut world = World::new(Limits {
        memory: 10_000,
        ..roomy()
    });
    for length in [10_000, 100_000] {
        let value = vec![b'x'; length];
        let client = world.connect();
        for _ in 0..2 {
            world.send(client, get("key"));
            world.answer(bulk(&value));
            world.assert_received(client, bulk(&value));
        }
        world.leave(client);
    }
    assert!(world.proxy.cache().is_empty());
}

#[test]
fn a_value_of_no_life_is_delivered_and_never_served_again() {
    let mut world = World::new(Limits {
        ttl: Duration::ZERO,
        ..roomy()
    });
    let client = world.connect();
    for _ in 0..3 {
        world.send(client, get("key"));
        world.answer(bulk("value"));
        world.assert_received(client, bulk("value"));
    }
}

#[test]
fn a_value_of_any_length_reaches_all_who_wait_and_all_who_come() {
    let around_shared = SHARED_MIN - 16..SHARED_MIN + 4;
    for length in around_shared.chain([100_000, 1_000_000]) {
        let mut world = World::roomy();
        let mut value = b"0123456\r\n\0".repeat(length / 10 + 1);
        value.truncate(length);
        let waiting = [(); 5].map(|()| world.connect());
        for client in waiting {
            world.send(client, [b"PING\r\n", &get("key")[..], b"PING\r\n"].concat());
        }
        world.answer(bulk(&value));
        let expected = [b"+PONG\r\n", &bulk(&value)[..], b"+PONG\r\n"].concat();
        for client in waiting {
            world.assert_received(client, &expected);
            world.send(client, [&get("key")[..], &get("key"), b"PING\r\n"].concat());
            let again = [&bulk(&value)[..], &bulk(&value), b"+PONG\r\n"].concat();
            world.assert_received(client, again);
        }
        world.assert_asked(&[]);
    }
}

#[test]
fn a_long_value_that_was_evicted_is_still_sent_whole() {
    let mut world = World::new(Limits {
        entries: 1,
        ..roomy()
    });
    let value = vec![b'x'; 50_000];
    world.cache("long", &value);
    let client = world.connect();
    world.stop_taking(client);
    world.send(client, get("long"));
    world.cache("other", "1");
    world.take(client, 7);
    world.take_all(client);
    world.assert_received(client, bulk(&value));
}

/// So many that the cache looks ahead.
#[test]
fn a_pipeline_to_many_entries_is_answered_in_order() {
    const MANY: usize = 5000;
    let mut world = World::new(Limits {
        entries: MANY,
        ..roomy()
    });
    let client = world.connect();
    for number in 0..MANY {
        world.cache(&format!("key:{number}"), number.to_string());
    }
    let mut requests = Vec::new();
    let mut expected = Vec::new();
    for number in (0..MANY).step_by(37) {
        requests.extend(get(&format!("key:{number}")));
        expected.extend(bulk(number.to_string()));
        if number % 5 == 0 {
            requests.extend(b"PING\r\n");
            expected.extend(b"+PONG\r\n");
        }
    }
    for piece in requests.chunks(1000) {
        world.send(client, piece);
    }
    world.assert_received(client, expected);
    world.assert_asked(&[]);

    // A write in the pipeline holds for what comes behind it, looked ahead for or not.
    world.send(
        client,
        [get("key:1"), b"SET key:1 new\r\n".into(), get("key:1")].concat(),
    );
    world.assert_asked(&["SET key:1 new", "GET key:1"]);
    world.answer_together(&["+OK\r\n", "$3\r\nnew\r\n"]);
    world.assert_received(client, [bulk("1"), b"+OK\r\n".into(), bulk("new")].concat());
}

#[test]
fn the_longest_value_that_is_kept_is_as_long_as_the_bound_says_however_it_is_kept() {
    for bound in [100, 2 * SHARED_MIN] {
        for (length, is_kept) in [(bound, true), (bound + 1, false)] {
            let mut world = World::new(Limits {
                reply: bound,
                ..roomy()
            });
            world.cache("key", vec![b'x'; length]);
            assert_eq!(world.proxy.cache().len() == 1, is_kept, "{length}");
        }
    }
}
