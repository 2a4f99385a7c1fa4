//! Values that were read, or may well be, are fetched anew when Redis reports that they changed.

use redis_proxy::resp::Protocol;

use crate::world::{World, bulk, get, multibulk};

/// A world in which a value is cached, and was read from the cache or not.
fn world(is_read: bool) -> World {
    let mut world = World::roomy();
    world.proxy.set_refetch(true);
    world.cache("key", "old");
    if is_read {
        let client = world.connect();
        world.send(client, get("key"));
        world.leave(client);
    }
    world
}

#[test]
fn a_value_that_was_read_is_fetched_anew_once_its_key_changes() {
    let mut world = world(true);
    world.invalidate("key");
    world.assert_asked(&["GET key"]);
    // Who comes meanwhile waits for it.
    let early = world.connect();
    world.send(early, get("key"));
    world.assert_asked(&["GET key"]);
    world.answer(bulk("new"));
    world.assert_received(early, bulk("new"));
    let late = world.connect();
    world.send(late, get("key"));
    world.assert_received(late, bulk("new"));
    // It was read again.
    world.invalidate("key");
    world.assert_asked(&["GET key"]);
    world.answer(bulk("newer"));
    // And now it was not.
    world.invalidate("key");
    world.assert_asked(&[]);
}

#[test]
fn one_that_nobody_read_is_not() {
    let mut world = world(false);
    world.invalidate("key");
    world.assert_asked(&[]);
    world.invalidate("another");
    world.assert_asked(&[]);
}

#[test]
fn what_a_client_writes_is_fetched_anew_when_redis_reports_it() {
    let mut world = world(true);
    let client = world.connect();
    world.send(client, multibulk(&["EXPIRE", "key", "100"]));
    world.assert_asked(&["EXPIRE key 100"]);
    world.answer(":1\r\n");
    world.invalidate("key");
    world.assert_asked(&["GET key"]);
    world.answer(bulk("same"));
    world.send(client, get("key"));
    world.assert_received(client, [b":1\r\n", &bulk("same")[..]].concat());
    // The client's own read came first.
    world.send(client, [multibulk(&["INCR", "key"]), get("key")].concat());
    world.invalidate("key");
    world.assert_asked(&["INCR key", "GET key", "GET key"]);
}

#[test]
fn one_that_changes_again_meanwhile_is_not_cached() {
    let mut world = world(true);
    world.invalidate("key");
    world.invalidate("key");
    world.assert_asked(&["GET key"]);
    world.answer(bulk("new"));
    let client = world.connect();
    world.send(client, get("key"));
    world.assert_asked(&["GET key"]);
}

#[test]
fn one_that_is_reported_for_each_connection_that_read_it_is_cached() {
    let mut world = world(true);
    world.invalidate_together(&["key", "another", "key"]);
    world.assert_asked(&["GET key"]);
    world.answer(bulk("new"));
    let client = world.connect();
    world.send(client, get("key"));
    world.assert_received(client, bulk("new"));
}

#[test]
fn one_whose_write_is_reported_before_it_is_answered_is_cached_whatever_protocol_it_came_in() {
    for hello in ["", "HELLO 3\r\n"] {
        let mut world = world(true);
        let client = world.connect();
        world.send(
            client,
            [hello.as_bytes(), &multibulk(&["SET", "key", "new"])].concat(),
        );
        world.invalidate("key");
        world.assert_asked(&["SET key new", "GET key"]);
        world.answer_together(&[&b"+OK\r\n"[..], &bulk("new")]);
        world.received(client);
        world.send(client, get("key"));
        world.assert_received(client, bulk("new"));
    }
}

#[test]
fn only_so_many_are_in_flight() {
    let mut world = World::roomy();
    world.proxy.set_refetch(true);
    for round in 0..2 {
        let keys: Vec<String> = (0..100).map(|key| format!("{round}:{key}")).collect();
        for key in &keys {
            world.cache(key, "old");
        }
        let client = world.connect();
        for key in &keys {
            world.send(client, get(key));
        }
        world.leave(client);
        for key in &keys {
            world.invalidate(key);
        }
        assert_eq!(world.asked().len(), 64);
        world.answer_together(&vec![bulk("new"); 64]);
    }
}

#[test]
fn nothing_is_fetched_while_redis_is_away_nor_if_it_is_not_wanted() {
    let mut world = world(true);
    world.down("-ERR away\r\n");
    world.invalidate("key");
    world.assert_asked(&[]);
    let mut world = self::world(true);
    world.proxy.set_refetch(false);
    world.invalidate("key");
    world.assert_asked(&[]);
}

#[test]
fn one_whose_reply_is_an_error_or_late_leaves_room_for_others() {
    let mut world = world(true);
    world.invalidate("key");
    world.be_late(Protocol::Resp2, 1, "-ERR late\r\n");
    world.answer("-ERR x\r\n");
    let client = world.connect();
    world.send(client, get("key"));
    world.assert_asked(&["GET key"]);
}

#[test]
fn one_that_is_read_and_written_in_turns_is_read_from_the_cache() {
    let mut world = world(false);
    let client = world.connect();
    for round in 0..100 {
        world.send(
            client,
            multibulk(&["SETEX", "key", "100", &round.to_string()]),
        );
        world.answer("+OK\r\n");
        world.invalidate("key");
        world.assert_asked(&["GET key"]);
        world.answer(bulk(round.to_string()));
        world.send(client, get("key"));
        world.assert_asked(&[]);
    }
}

#[test]
fn one_that_is_written_again_and_was_not_read_is_left_alone() {
    let mut world = world(false);
    let client = world.connect();
    let write = |world: &mut World| {
        world.send(client, multibulk(&["EXPIRE", "key", "100"]));
        world.answer(":1\r\n");
        world.invalidate("key");
    };
    write(&mut world);
    world.assert_asked(&["GET key"]);
    world.answer(bulk("same"));
    for _ in 0..3 {
        write(&mut world);
        world.assert_asked(&[]);
    }
}

#[test]
fn where_what_is_written_is_not_read_again_only_a_miss_in_sixteen_costs_a_further_request() {
    let mut world = World::roomy();
    world.proxy.set_refetch(true);
    let mut refetched = 0;
    for number in 0..900 {
        let key = format!("key:{number}");
        world.cache(&key, "old");
        let client = world.connect();
        world.send(client, multibulk(&["SET", &key, "new"]));
        world.answer("+OK\r\n");
        world.invalidate(&key);
        if !world.asked().is_empty() {
            refetched += 1;
            world.answer(bulk("new"));
        }
        world.leave(client);
    }
    assert!(
        (900 / 16..=900 / 16 + 70).contains(&refetched),
        "{refetched}"
    );
}

/// A world in which answers to these questions are cached, and were read from the cache.
fn world_of_answers(questions: &[&[&str]]) -> World {
    let mut world = World::roomy();
    world.proxy.set_refetch(true);
    let client = world.connect();
    for question in questions {
        world.send(client, multibulk(question));
        world.answer("*0\r\n");
        world.send(client, multibulk(question));
    }
    world.assert_received(client, "*0\r\n".repeat(2 * questions.len()));
    world.leave(client);
    world
}

#[test]
fn answers_that_were_read_are_fetched_anew_with_the_value() {
    let mut world = world(true);
    let client = world.connect();
    let length = multibulk(&["strlen", "key"]);
    world.send(client, &length);
    world.answer(":3\r\n");
    world.send(client, &length);
    world.leave(client);
    world.invalidate("key");
    world.assert_asked(&["GET key", "STRLEN key"]);
    // Who asks meanwhile waits for it.
    let early = world.connect();
    world.send(early, &length);
    world.assert_asked(&["GET key", "STRLEN key"]);
    world.answer(bulk("new!"));
    world.answer(":4\r\n");
    world.assert_received(early, ":4\r\n");
    let late = world.connect();
    world.send(late, &length);
    world.assert_received(late, ":4\r\n");
    // Of the two, only that was read again.
    world.invalidate("key");
    world.assert_asked(&["STRLEN key"]);
}

#[test]
fn answers_are_fetched_anew_when_redis_reports_what_a_client_wrote() {
    let mut world = world_of_answers(&[&["HGETALL", "key"]]);
    let client = world.connect();
    world.send(client, multibulk(&["HSET", "key", "a", "1"]));
    world.assert_asked(&["HSET key a 1"]);
    world.answer(":1\r\n");
    world.invalidate("key");
    world.assert_asked(&["HGETALL key"]);
}

#[test]
fn only_a_few_answers_of_a_key_are_fetched_anew_and_no_long_ones() {
    let long = "f".repeat(1000);
    let questions: [&[&str]; 6] = [
        &["HGET", "key", &long],
        &["HGET", "key", "1"],
        &["HGET", "key", "2"],
        &["HGET", "key", "3"],
        &["HGET", "key", "4"],
        &["HGET", "key", "5"],
    ];
    let mut world = world_of_answers(&questions);
    world.invalidate("key");
    let asked = world.asked();
    assert_eq!(asked.len(), 4, "{asked:?}");
}
