//! A key that changed, through the proxy or elsewhere, is read anew.

use crate::world::{World, bulk, get, multibulk};

fn set(key: &str, value: &str) -> Vec<u8> {
    multibulk(&["SET", key, value])
}

#[test]
fn a_client_reads_what_it_wrote() {
    let mut world = World::roomy();
    world.cache("key", "old");
    let client = world.connect();
    world.send(client, [set("key", "new"), get("key")].concat());
    world.assert_asked(&["SET key new", "GET key"]);
    world.answer("+OK\r\n");
    world.answer(bulk("new"));
    world.assert_received(client, [b"+OK\r\n", &bulk("new")[..]].concat());
}

#[test]
fn a_client_reads_what_another_wrote() {
    let mut world = World::roomy();
    world.cache("key", "old");
    let (writer, reader) = (world.connect(), world.connect());
    world.send(writer, set("key", "new"));
    world.send(reader, get("key"));
    world.assert_asked(&["SET key new", "GET key"]);
    world.answer_together(&[b"+OK\r\n".to_vec(), bulk("new")]);
    world.send(reader, get("key"));
    world.assert_received(reader, bulk("new").repeat(2));
}

#[test]
fn a_reply_that_a_write_overtook_is_delivered_and_not_cached() {
    let mut world = World::roomy();
    let (reader, writer) = (world.connect(), world.connect());
    world.send(reader, get("key"));
    world.send(writer, set("key", "new"));
    world.answer(bulk("old"));
    world.assert_received(reader, bulk("old"));
    world.answer("+OK\r\n");
    world.send(reader, get("key"));
    world.assert_asked(&["GET key"]);
    world.answer(bulk("new"));
    world.assert_received(reader, bulk("new"));
}

#[test]
fn a_miss_does_not_wait_for_a_fetch_that_a_write_overtook() {
    let mut world = World::roomy();
    let (early, writer) = (world.connect(), world.connect());
    world.send(early, get("key"));
    world.send(writer, [set("key", "new"), get("key")].concat());
    world.assert_asked(&["GET key", "SET key new", "GET key"]);
    world.answer_together(&[bulk("old"), b"+OK\r\n".to_vec(), bulk("new")]);
    world.assert_received(early, bulk("old"));
    world.assert_received(writer, [b"+OK\r\n", &bulk("new")[..]].concat());
    world.send(early, get("key"));
    world.assert_received(early, bulk("new"));
}

#[test]
fn what_a_blocked_request_may_write_is_neither_cached_nor_shared() {
    let mut world = World::roomy();
    world.cache("dst", "old");
    let [early, late, blocked] = [world.connect(), world.connect(), world.connect()];
    let request = multibulk(&["BLMOVE", "src", "dst", "LEFT", "RIGHT", "0"]);
    // However it ends: it is served, or its client leaves.
    for served in [true, false] {
        world.send(blocked, &request);
        // Another's LPUSH may come between any two of these, and Redis's word of it later.
        for _ in 0..2 {
            world.send(early, get("dst"));
            world.send(late, get("dst"));
            world.assert_asked(&["GET dst", "GET dst"]);
            world.answer_together(&[bulk("a"), bulk("b")]);
            world.assert_received(early, bulk("a"));
            world.assert_received(late, bulk("b"));
        }
        world.send(early, get("dst"));
        if served {
            let now = world.time();
            world
                .proxy
                .receive_dedicated(blocked, b":9\r\n$5\r\nvalue\r\n", now);
        } else {
            world.leave(blocked);
        }
        // What was asked before is not cached, and what comes now is.
        world.answer(bulk("a"));
        world.send(late, get("dst"));
        world.answer(bulk("c"));
        world.send(late, get("dst"));
        world.assert_asked(&[]);
        world.assert_received(early, bulk("a"));
        world.assert_received(late, bulk("c").repeat(2));
    }
}

#[test]
fn a_key_that_redis_says_has_changed_is_fetched_anew_and_no_other() {
    let mut world = World::roomy();
    world.cache("changed", "old");
    world.cache("other", "1");
    let client = world.connect();
    world.invalidate("changed");
    world.send(client, [get("other"), get("changed")].concat());
    world.assert_received(client, bulk("1"));
    world.assert_asked(&["GET changed"]);
}

#[test]
fn a_reply_that_an_invalidation_overtook_is_delivered_and_not_cached() {
    let invalidations: [fn(&mut World); 2] = [
        |world| world.invalidate("key"),
        |world| world.invalidate_all(),
    ];
    for invalidate in invalidations {
        let mut world = World::roomy();
        let (early, late) = (world.connect(), world.connect());
        world.send(early, get("key"));
        invalidate(&mut world);
        world.send(late, get("key"));
        world.assert_asked(&["GET key", "GET key"]);
        world.answer(bulk("old"));
        world.assert_received(early, bulk("old"));
        world.assert_received(late, "");
        world.send(early, get("key"));
        world.answer(bulk("new"));
        world.assert_received(late, bulk("new"));
        world.assert_received(early, bulk("new"));
        world.assert_asked(&[]);
    }
}

#[test]
fn nothing_is_cached_from_when_redis_does_not_say_any_more_what_changes() {
    let mut world = World::roomy();
    world.cache("before", "1");
    world.lose_tracking();
    let client = world.connect();
    world.send(client, get("before"));
    world.assert_received(client, bulk("1"));
    for _ in 0..2 {
        world.send(client, get("key"));
        world.answer(bulk("value"));
        world.assert_received(client, bulk("value"));
    }
    world.up();
    world.send(client, get("before"));
    world.assert_asked(&["GET before"]);
}

#[test]
fn a_miss_does_not_wait_for_a_fetch_from_before_a_pop() {
    let mut world = World::roomy();
    let client = world.connect();
    let pop = multibulk(&["LMPOP", "2", "other", "key", "LEFT"]);
    world.send(client, [get("key"), pop, get("key")].concat());
    world.assert_asked(&["GET key", "LMPOP 2 other key LEFT", "GET key"]);
}
