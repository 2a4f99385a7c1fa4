//! Replies come in the order of the requests, and each to the one who asked.

use redis_proxy::clock::Time;
use redis_proxy::resp::Protocol;
use redis_proxy::upstream::LinkId;

use crate::world::{World, bulk, get, multibulk};

const WRONG_ECHO: &str = "-ERR wrong number of arguments for 'echo' command\r\n";
const WRONG_GET: &str = "-ERR wrong number of arguments for 'get' command\r\n";

#[test]
fn a_hit_behind_a_miss_waits_for_it() {
    let mut world = World::roomy();
    world.cache("hit", "1");
    let client = world.connect();
    world.send(client, [get("miss"), get("hit")].concat());
    world.assert_received(client, "");
    world.answer(bulk("2"));
    world.assert_received(client, "$1\r\n2\r\n$1\r\n1\r\n");
}

#[test]
fn a_hit_before_a_miss_does_not_wait() {
    let mut world = World::roomy();
    world.cache("hit", "1");
    let client = world.connect();
    world.send(client, [get("hit"), get("miss")].concat());
    world.assert_received(client, "$1\r\n1\r\n");
    world.answer(bulk("2"));
    world.assert_received(client, "$1\r\n2\r\n");
}

#[test]
fn hits_and_misses_and_errors_keep_their_order_in_a_pipeline() {
    let mut world = World::roomy();
    world.cache("hit", "1");
    let client = world.connect();
    let pipeline = [
        &b"PING\r\n"[..],
        &get("a"),
        b"PING one\r\n",
        &get("hit"),
        b"ECHO a b\r\n",
        b"\r\n",
        &get("b"),
        b"GET\r\n",
        b"*0\r\n",
        &multibulk(&["ECHO", "two"]),
        &get("a"),
        b"GET a b\r\n",
    ];
    world.send(client, pipeline.concat());
    world.assert_received(client, "+PONG\r\n");
    world.assert_asked(&["GET a", "GET b"]);
    world.answer("$1\r\nA\r\n");
    world.assert_received(
        client,
        format!("$1\r\nA\r\n$3\r\none\r\n$1\r\n1\r\n{WRONG_ECHO}"),
    );
    world.answer("$-1\r\n");
    world.assert_received(
        client,
        format!("$-1\r\n{WRONG_GET}$3\r\ntwo\r\n$1\r\nA\r\n{WRONG_GET}"),
    );
}

#[test]
fn replies_that_come_together_are_told_apart() {
    let mut world = World::roomy();
    let (one, two) = (world.connect(), world.connect());
    world.send(one, get("a"));
    world.send(two, get("b"));
    world.send(one, [get("c"), get("b")].concat());
    world.answer_together(&["$1\r\nA\r\n", "-WRONGTYPE b\r\n", "$1\r\nC\r\n"]);
    world.assert_received(one, "$1\r\nA\r\n$1\r\nC\r\n-WRONGTYPE b\r\n");
    world.assert_received(two, "-WRONGTYPE b\r\n");
}

#[test]
fn a_client_does_not_wait_for_the_misses_of_another() {
    let mut world = World::roomy();
    world.cache("hit", "1");
    let (one, two) = (world.connect(), world.connect());
    world.send(one, get("miss"));
    world.send(two, [&get("hit")[..], b"PING\r\n"].concat());
    world.assert_received(two, "$1\r\n1\r\n+PONG\r\n");
    world.assert_received(one, "");
}

#[test]
fn misses_on_one_key_share_one_request_and_all_get_its_reply() {
    let mut world = World::roomy();
    let (one, two, three) = (world.connect(), world.connect(), world.connect());
    world.send(one, get("key"));
    world.send(two, [get("key"), get("key")].concat());
    world.send(three, "get key\r\n");
    world.assert_asked(&["GET key"]);
    world.answer(bulk("value"));
    world.assert_received(one, bulk("value"));
    world.assert_received(two, bulk("value").repeat(2));
    world.assert_received(three, bulk("value"));
    world.assert_asked(&[]);
}

#[test]
fn those_who_share_a_request_share_its_nil_and_its_error() {
    for reply in ["$-1\r\n", "-WRONGTYPE Operation against a key\r\n"] {
        let mut world = World::roomy();
        let (one, two) = (world.connect(), world.connect());
        world.send(one, get("key"));
        world.send(two, get("key"));
        world.answer(reply);
        world.assert_received(one, reply);
        world.assert_received(two, reply);
    }
}

#[test]
fn a_miss_on_another_key_is_asked_for_at_once() {
    let mut world = World::roomy();
    let (one, two, three) = (world.connect(), world.connect(), world.connect());
    world.send(one, get("a"));
    world.send(two, get("a"));
    world.send(three, get("b"));
    world.send(two, get("b"));
    world.assert_asked(&["GET a", "GET b"]);
    world.answer(bulk("A"));
    world.assert_received(three, "");
    world.answer(bulk("B"));
    world.assert_received(three, bulk("B"));
    world.assert_received(two, [bulk("A"), bulk("B")].concat());
}

#[test]
fn keys_are_any_bytes() {
    let mut world = World::roomy();
    let client = world.connect();
    let keys: [&[u8]; 5] = [b"", b"\r\n", b"\0", b"\xff\xfe", b"a b"];
    let pipeline: Vec<u8> = keys
        .iter()
        .flat_map(|key| multibulk(&[b"GET", *key]))
        .collect();
    world.send(client, pipeline);
    world.assert_asked(&[
        "GET ",
        "GET \\r\\n",
        "GET \\x00",
        "GET \\xff\\xfe",
        "GET a b",
    ]);
    world.answer_together(&keys.map(bulk));
    world.assert_received(client, keys.map(bulk).concat());
}

#[test]
fn a_fetch_may_be_sent_a_second_time() {
    let mut world = World::roomy();
    let client = world.connect();
    world.proxy.receive(client, &get("key"), Time::default());
    let requests = world.proxy.requests();
    let batch = requests.of(LinkId::new(Protocol::Resp2, 0));
    assert_eq!(
        batch.bytes,
        b"*2\r\n$3\r\nGET\r\n$3\r\nkey\r\n*2\r\n$4\r\nPtTL\r\n$3\r\nkey\r\n"
    );
    assert!(batch.requests.iter().all(|request| request.repeatable));
}

#[test]
fn what_redis_answers_itself_comes_in_order_too() {
    let mut world = World::roomy();
    let client = world.connect();
    let command = multibulk(&["COMMAND", "DOCS", "get"]);
    world.send(client, [&command[..], b"PING\r\n", &get("key")].concat());
    world.assert_asked(&["COMMAND DOCS get", "GET key"]);
    world.answer("*0\r\n");
    world.assert_received(client, "*0\r\n+PONG\r\n");
    world.answer(bulk("value"));
    world.assert_received(client, bulk("value"));
}

#[test]
fn a_request_may_come_in_pieces_among_those_of_others() {
    let pieces = [get("key"), get("other"), b"GET key\r\n".to_vec()].concat();
    for split in 0..=pieces.len() {
        let mut world = World::roomy();
        let (one, two) = (world.connect(), world.connect());
        world.send(one, &pieces[..split]);
        world.send(two, &pieces[..split / 2]);
        world.send(one, &pieces[split..]);
        world.send(two, &pieces[split / 2..]);
        world.assert_asked(&["GET key", "GET other"]);
        world.answer_together(&[bulk("1"), bulk("2")]);
        for client in [one, two] {
            world.assert_received(client, "$1\r\n1\r\n$1\r\n2\r\n$1\r\n1\r\n");
        }
    }
}

#[test]
fn a_client_that_left_gets_nothing_and_the_cache_still_gets_the_value() {
    let mut world = World::roomy();
    let (gone, other) = (world.connect(), world.connect());
    world.send(gone, get("key"));
    world.leave(gone);
    world.answer(bulk("value"));
    world.send(other, get("key"));
    world.assert_asked(&[]);
    world.assert_received(other, bulk("value"));
}

#[test]
fn those_who_wait_with_a_client_that_left_get_their_reply() {
    let mut world = World::roomy();
    let (gone, other) = (world.connect(), world.connect());
    world.send(gone, get("key"));
    world.send(other, get("key"));
    world.leave(gone);
    world.assert_asked(&["GET key"]);
    world.answer(bulk("value"));
    world.assert_received(other, bulk("value"));
}

#[test]
fn the_next_client_of_a_slot_gets_nothing_that_is_not_its_own() {
    let mut world = World::roomy();
    let gone = world.connect();
    world.send(gone, [get("a"), get("b"), get("a")].concat());
    world.leave(gone);
    let next = world.connect();
    assert_eq!(next, gone, "it has the same slot");
    world.answer(bulk("A"));
    world.assert_received(next, "");
    world.send(next, [&get("b")[..], b"PING\r\n", &get("c")].concat());
    world.assert_asked(&["GET b", "GET c"]);
    world.answer(bulk("B"));
    world.assert_received(next, [&bulk("B")[..], b"+PONG\r\n"].concat());
    world.answer(bulk("C"));
    world.assert_received(next, bulk("C"));
}

#[test]
fn the_next_client_of_a_slot_does_not_inherit_what_was_not_taken() {
    let mut world = World::roomy();
    let gone = world.connect();
    world.stop_taking(gone);
    world.send(gone, b"PING\r\nGET key\r\nPING half a requ");
    world.end(gone);
    world.leave(gone);
    let next = world.connect();
    assert!(world.wants_input(next));
    world.send(next, "PING\r\n");
    world.assert_received(next, "+PONG\r\n");
    world.answer(bulk("value"));
    world.assert_received(next, "");
    assert!(!world.is_done(next));
}

#[test]
fn a_slot_may_change_hands_often_while_a_miss_is_under_way() {
    let mut world = World::roomy();
    for _ in 0..10 {
        let client = world.connect();
        world.send(client, [get("a"), get("b")].concat());
        world.leave(client);
    }
    let last = world.connect();
    world.send(last, [get("b"), get("a")].concat());
    world.assert_asked(&["GET a", "GET b"]);
    world.answer(bulk("A"));
    world.assert_received(last, "");
    world.answer(bulk("B"));
    world.assert_received(last, [bulk("B"), bulk("A")].concat());
}

#[test]
fn a_client_with_something_new_is_named_once() {
    let mut world = World::roomy();
    let client = world.connect();
    let now = Time::default();
    for _ in 0..3 {
        world.proxy.receive(client, b"PING\r\n", now);
    }
    assert_eq!(world.proxy.next_changed(), Some(client));
    assert_eq!(world.proxy.next_changed(), None);
}

#[test]
fn a_slot_that_changed_hands_is_named_once() {
    let mut world = World::roomy();
    let client = world.connect();
    let now = Time::default();
    world.proxy.receive(client, b"PING\r\n", now);
    world.proxy.disconnect(client, now);
    world.proxy.connect(client, None, now);
    world.proxy.receive(client, b"PING\r\n", now);
    assert_eq!(world.proxy.next_changed(), Some(client));
    assert_eq!(world.proxy.next_changed(), None);
}

#[test]
fn what_a_client_sends_after_it_changed_the_protocol_waits_for_what_it_sent_before() {
    for (first, second) in [
        ("HELLO 3", "HELLO 2"),
        ("HELLO 3", "RESET"),
        ("HELLO 2", "HELLO 3"),
    ] {
        let mut world = World::roomy();
        let client = world.connect();
        world.send(
            client,
            format!("{first}\r\nSTRLEN key\r\n{second}\r\nSTRLEN other\r\n"),
        );
        world.assert_asked(&["STRLEN key"]);
        assert!(!world.wants_input(client));
        world.answer(":1\r\n");
        world.assert_asked(&["STRLEN other"]);
        world.answer(":2\r\n");
        let received = world.received(client);
        assert!(received.ends_with(b":2\r\n"), "{}", received.escape_ascii());
    }
}
