//! Replies that are late, a tracker that is silent, keys that die before their entries, and links that overtake one
//! another.

use redis_proxy::proxy::ClientId;
use redis_proxy::resp::Protocol;
use redis_proxy::upstream::{CLOSED, Event, Invalidated, LinkId, NodeId, Replies};

use crate::world::{World, bulk, get};

const LATE: &str = "-ERR timed out\r\n";

#[test]
fn an_entry_does_not_outlive_its_key_though_redis_reports_changes() {
    let mut world = World::roomy();
    world.let_keys_die();
    let client = world.connect();
    world.send(client, get("key"));
    world.assert_asked(&["GET key", "PTTL key"]);
    world.wait(20);
    // Redis may have counted from when it was asked.
    world.answer_together(&[&bulk("value")[..], b":100\r\n"]);
    world.wait(79);
    world.send(client, get("key"));
    world.assert_received(client, bulk("value").repeat(2));
    world.wait(1);
    world.send(client, get("key"));
    world.assert_asked(&["GET key", "PTTL key"]);
}

#[test]
fn a_key_that_went_before_its_time_to_live_was_known_is_not_cached() {
    let reply = bulk("value");
    for lives in [":-2\r\n", "-NOPERM no\r\n"] {
        let mut world = World::roomy();
        world.let_keys_die();
        let client = world.connect();
        world.send(client, get("key"));
        world.answer_together(&[&reply[..], lives.as_bytes()]);
        world.assert_received(client, &reply);
        assert!(world.proxy.cache().is_empty(), "{lives}");
    }
}

#[test]
fn a_late_reply_is_for_nobody() {
    let mut world = World::roomy();
    let (one, two) = (world.connect(), world.connect());
    world.send(one, [&get("key")[..], b"PING\r\n"].concat());
    world.be_late(Protocol::Resp2, 1, LATE);
    world.assert_received(one, [LATE, "+PONG\r\n"].concat());
    // Who comes now does not wait for what is late.
    world.send(two, get("key"));
    world.assert_asked(&["GET key", "GET key"]);
    world.answer(bulk("old"));
    world.assert_received(two, "");
    assert!(world.proxy.cache().is_empty());
    world.answer(bulk("new"));
    world.assert_received(two, bulk("new"));
    world.assert_received(one, "");
}

#[test]
fn only_those_that_are_late_get_the_error() {
    let mut world = World::roomy();
    let (one, two) = (world.connect(), world.connect());
    world.send(one, "TTL a\r\n");
    world.send(two, "TTL b\r\nTTL c\r\n");
    world.be_late(Protocol::Resp2, 2, LATE);
    world.assert_received(one, LATE);
    world.assert_received(two, LATE);
    world.answer_together(&[":1\r\n", ":2\r\n", ":3\r\n"]);
    world.assert_received(one, "");
    world.assert_received(two, ":3\r\n");
}

#[test]
fn nothing_is_served_while_changes_may_be_on_their_way() {
    let mut world = World::roomy();
    world.cache("key", "value");
    let client = world.connect();
    world.suspend(true);
    world.send(client, get("key"));
    world.assert_asked(&["GET key"]);
    world.answer(bulk("newer"));
    world.assert_received(client, bulk("newer"));
    world.suspend(false);
    world.send(client, get("key"));
    world.assert_received(client, bulk("newer"));
}

/// Two clients of which each has a link of its own: RESP2 and RESP3.
fn two_protocols() -> (
    World,
    redis_proxy::proxy::ClientId,
    redis_proxy::proxy::ClientId,
) {
    let mut world = World::roomy();
    let (resp2, resp3) = (world.connect(), world.connect());
    world.send(resp3, "HELLO 3\r\n");
    world.received(resp3);
    (world, resp2, resp3)
}

#[test]
fn a_key_that_is_being_written_over_one_link_is_not_cached_by_the_other() {
    for (write, read) in [("SET key 2\r\n", "key"), ("FLUSHALL\r\n", "other")] {
        let (mut world, resp2, resp3) = two_protocols();
        world.send(resp2, write);
        world.send(resp3, get(read));
        world.answer_on(Protocol::Resp3, &["$1\r\n1\r\n", ":-1\r\n"]);
        world.assert_received(resp3, bulk("1"));
        assert!(world.proxy.cache().is_empty(), "{write}");
        world.answer_on(Protocol::Resp2, &["+OK\r\n"]);
        // Now it is written.
        world.send(resp3, get(read));
        world.answer_on(Protocol::Resp3, &["$1\r\n2\r\n", ":-1\r\n"]);
        assert_eq!(world.proxy.cache().len(), 1);
    }
}

#[test]
fn who_writes_over_one_link_does_not_join_a_fetch_of_the_other() {
    let (mut world, resp2, resp3) = two_protocols();
    world.send(resp2, "SET key 2\r\n");
    world.send(resp3, get("key"));
    world.send(resp2, get("key"));
    world.answer_on(Protocol::Resp3, &["$1\r\n1\r\n", ":-1\r\n"]);
    world.assert_received(resp2, "");
    world.answer_on(Protocol::Resp2, &["+OK\r\n", "$1\r\n2\r\n", ":-1\r\n"]);
    world.assert_received(resp2, "+OK\r\n$1\r\n2\r\n");
    world.assert_received(resp3, bulk("1"));
}

#[test]
fn a_client_that_changes_its_protocol_keeps_its_order() {
    for change in ["HELLO 3\r\n", "HELLO 3 SETNAME x\r\n"] {
        let mut world = World::roomy();
        let client = world.connect();
        world.send(client, format!("SET a 1\r\n{change}SET a 2\r\n"));
        world.assert_asked(&["SET a 1"]);
        world.answer("+OK\r\n");
        world.assert_asked(&["SET a 2"]);
        world.send(client, "RESET\r\nSET a 3\r\n");
        world.assert_asked(&["SET a 2"]);
        world.answer("+OK\r\n");
        world.assert_asked(&["SET a 3"]);
    }
}

/// Hands the core an event in parts of `most` replies. After each, a client has its hit, and `look` sees to the rest.
fn deliver_in_parts(
    world: &mut World,
    event: &Event,
    most: usize,
    mut look: impl FnMut(&mut World, usize),
) {
    let other = world.connect();
    let mut done = 0;
    for part in 1.. {
        let now = world.time();
        let all = world
            .proxy
            .upstream_part(NodeId::default(), event, &mut done, most, now);
        world.send(other, get("cached"));
        world.assert_received(other, bulk("value"));
        look(world, part);
        if all {
            return;
        }
    }
}

/// Clients that each wait for the reply to a request of their own.
fn waiting(world: &mut World, count: usize) -> Vec<ClientId> {
    let clients: Vec<ClientId> = (0..count).map(|_| world.connect()).collect();
    for (number, client) in clients.iter().enumerate() {
        world.send(*client, format!("TTL {number}\r\n"));
    }
    clients
}

/// Redis's replies on the link that these clients' requests went over.
fn replied(replies: Replies) -> Event {
    let link = LinkId::new(Protocol::Resp2, 0);
    Event::Replies { link, replies }
}

#[test]
fn many_replies_are_delivered_in_parts_in_order() {
    let mut world = World::roomy();
    world.cache("cached", "value");
    let clients = waiting(&mut world, 7);
    let mut replies = Replies::default();
    for number in 0..7 {
        replies.push(format!(":{number}\r\n").as_bytes());
    }
    deliver_in_parts(&mut world, &replied(replies), 3, |world, part| {
        for (number, client) in clients.iter().enumerate() {
            let reply = format!(":{number}\r\n").into_bytes();
            let is_due = number / 3 + 1 == part;
            world.assert_received(*client, if is_due { reply } else { Vec::new() });
        }
    });
}

#[test]
fn those_who_wait_for_one_reply_are_given_it_in_parts_and_those_who_left_are_passed_over() {
    let mut world = World::roomy();
    world.cache("cached", "value");
    let clients: Vec<ClientId> = (0..7).map(|_| world.connect()).collect();
    for client in &clients {
        world.send(*client, get("key"));
    }
    world.leave(clients[4]);
    let mut replies = Replies::default();
    replies.push(&bulk("old"));
    replies.push(b":-1\r\n");
    let mut parts = 0;
    deliver_in_parts(&mut world, &replied(replies), 3, |world, part| {
        parts = part;
        for (number, client) in clients
            .iter()
            .enumerate()
            .filter(|(number, _)| *number != 4)
        {
            let is_due = number / 3 + 1 == part;
            world.assert_received(*client, if is_due { bulk("old") } else { Vec::new() });
        }
        // It changes meanwhile: whoever asks now is not served what the others get.
        let invalidated = Invalidated {
            keys: vec![b"key"[..].into()],
            all: false,
        };
        let now = world.time();
        world.proxy.upstream(&Event::Invalidated(invalidated), now);
        assert_eq!(world.proxy.cache().len(), 1);
    });
    assert_eq!(parts, 3);
}

#[test]
fn a_redis_that_fails_owes_nobody_anything_part_by_part() {
    let mut world = World::roomy();
    world.cache("cached", "value");
    let clients = waiting(&mut world, 7);
    let mut replies = Replies::default();
    (0..7).for_each(|_| replies.push(CLOSED));
    deliver_in_parts(&mut world, &replied(replies), 3, |world, part| {
        for (number, client) in clients.iter().enumerate() {
            assert_eq!(world.is_done(*client), number / 3 < part);
        }
    });

    let clients = waiting(&mut world, 7);
    let event = Event::Late {
        link: LinkId::new(Protocol::Resp2, 0),
        count: 7,
        error: LATE.as_bytes().to_vec(),
    };
    deliver_in_parts(&mut world, &event, 3, |world, part| {
        for (number, client) in clients.iter().enumerate() {
            let is_due = number / 3 + 1 == part;
            world.assert_received(*client, if is_due { LATE } else { "" });
        }
    });
}
