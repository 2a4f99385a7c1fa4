//! In front of a cluster: which node is asked, and what becomes of what it says of others.

mod parked;

use std::sync::Arc;
use std::time::Duration;

use redis_proxy::cache::Limits;
use redis_proxy::proxy::ClientId;
use redis_proxy::upstream::{
    Backend, ClusterMap, ClusterNode, ELSEWHERE, Event, Invalidated, NodeId, Tracking, slot_of,
};

use crate::world::{World, bulk, get, multibulk, roomy};

/// How many milliseconds a request waits for a node, at the most.
const WAIT: u64 = 1000;

/// A map of nodes, each with the slots from there on.
fn map(from: &[(u16, u16)]) -> Event {
    let nodes = from.iter().map(|(node, _)| ClusterNode {
        id: NodeId(*node),
        address: format!("host:{node}").into(),
        replicas: Vec::new(),
    });
    let mut map = ClusterMap::new(nodes.collect());
    for (node, first) in from {
        (*first..16384).for_each(|slot| map.assign(slot, NodeId(*node)));
    }
    Event::Slots(Arc::new(map))
}

/// A cluster of node 1, with the lower half of the slots, and node 2.
fn world() -> World {
    let mut world = unmapped();
    for node in [1, 2] {
        up(&mut world, node);
    }
    world.tell_of(NodeId(0), &map(&[(1, 0), (2, 8192)]));
    world
}

fn unmapped() -> World {
    let mut world = World::unheard(Limits {
        ttl: Duration::from_secs(60),
        ..roomy()
    });
    world.proxy.set_cluster(Duration::from_millis(WAIT));
    world
}

fn up(world: &mut World, node: u16) {
    world.tell_of(NodeId(node), &Event::Up(Backend::default()));
    world.tell_of(NodeId(node), &Event::Tracking(Tracking::On));
}

/// Keys of node 1 and 2.
const LOW: &str = "b";
const HIGH: &str = "a";

#[track_caller]
fn assert_asked(world: &World, expected: &[(u16, &str)]) {
    let asked = world.asked_of_nodes();
    let asked: Vec<(u16, &str)> = asked.iter().map(|(node, text)| (*node, &**text)).collect();
    assert_eq!(asked, expected);
}

/// Has a key cached.
fn cache(world: &mut World, key: &str) {
    world.cache(key, "v");
    assert!(is_cached(world, key));
}

fn is_cached(world: &mut World, key: &str) -> bool {
    let client = world.connect();
    let before = world.asked_of_nodes().len();
    world.send(client, get(key));
    let is_hit = world.asked_of_nodes().len() == before;
    if !is_hit {
        world.answer(bulk("v"));
        world.invalidate(key);
    }
    world.leave(client);
    is_hit
}

fn moved(key: &str, node: u16) -> String {
    format!("-MOVED {} host:{node}\r\n", slot_of(key.as_bytes()))
}

fn send(world: &mut World, client: ClientId, words: &[&str]) {
    world.send(client, multibulk(words));
}

#[test]
fn only_a_node_that_was_reached_before_is_reconnected() {
    let mut world = world();
    let reconnects = |world: &mut World| world.proxy.metrics().redis.reconnects;
    assert_eq!(reconnects(&mut world), 0);
    up(&mut world, 2);
    assert_eq!(reconnects(&mut world), 1);
}

#[test]
fn each_request_goes_to_the_node_of_its_key() {
    let mut world = world();
    let client = world.connect();
    send(&mut world, client, &["GET", LOW]);
    send(&mut world, client, &["SET", HIGH, "1"]);
    send(&mut world, client, &["HGET", LOW, "f"]);
    send(&mut world, client, &["PUBLISH", "c", "m"]);
    assert_asked(
        &world,
        &[
            (1, "GET b"),
            (2, "SET a 1"),
            (1, "HGET b f"),
            (1, "PUBLISH c m"),
        ],
    );
    for reply in ["$1\r\n1\r\n", "+OK\r\n", "$1\r\n2\r\n", ":0\r\n"] {
        world.answer(reply);
    }
    world.assert_received(client, "$1\r\n1\r\n+OK\r\n$1\r\n2\r\n:0\r\n");
}

#[test]
fn what_spans_slots_is_split_and_joined() {
    let mut world = world();
    let client = world.connect();
    send(&mut world, client, &["DEL", LOW, HIGH, "{b}2"]);
    assert_asked(&world, &[(1, "DEL b {b}2"), (2, "DEL a")]);
    world.answer(":2\r\n");
    world.assert_received(client, "");
    world.answer(":1\r\n");
    world.assert_received(client, ":3\r\n");
    send(&mut world, client, &["MSET", LOW, "1", HIGH, "2"]);
    assert_asked(&world, &[(1, "MSET b 1"), (2, "MSET a 2")]);
    world.answer("+OK\r\n");
    world.answer("-OOM command not allowed\r\n");
    world.assert_received(client, "-OOM command not allowed\r\n");
    send(&mut world, client, &["MGET", LOW, HIGH]);
    assert_asked(&world, &[(1, "GET b"), (2, "GET a")]);
    world.answer(bulk("x"));
    world.answer(bulk("y"));
    world.assert_received(client, "*2\r\n$1\r\nx\r\n$1\r\ny\r\n");
    // All in one slot.
    send(&mut world, client, &["DEL", LOW, "{b}2"]);
    assert_asked(&world, &[(1, "DEL b {b}2")]);
    world.answer(":2\r\n");
    world.assert_received(client, ":2\r\n");
}

#[test]
fn what_cannot_be_split_is_refused_as_a_node_would() {
    let mut world = world();
    let client = world.connect();
    send(&mut world, client, &["RENAME", LOW, HIGH]);
    send(&mut world, client, &["EVAL", "x", "2", LOW, HIGH]);
    assert_asked(&world, &[]);
    world.assert_received(
        client,
        "-CROSSSLOT Keys in request don't hash to the same slot\r\n".repeat(2),
    );
}

#[test]
fn what_concerns_no_key_goes_to_all_masters_if_its_answer_does() {
    let mut world = world();
    let client = world.connect();
    send(&mut world, client, &["DBSIZE"]);
    assert_asked(&world, &[(1, "DBSIZE"), (2, "DBSIZE")]);
    world.answer(":3\r\n");
    world.answer(":4\r\n");
    world.assert_received(client, ":7\r\n");
    send(&mut world, client, &["KEYS", "*"]);
    world.answer("*1\r\n$1\r\nb\r\n");
    world.answer("*2\r\n$1\r\na\r\n$1\r\nc\r\n");
    world.assert_received(client, "*3\r\n$1\r\nb\r\n$1\r\na\r\n$1\r\nc\r\n");
    send(&mut world, client, &["SCRIPT", "EXISTS", "x", "y"]);
    world.answer("*2\r\n:1\r\n:1\r\n");
    world.answer("*2\r\n:1\r\n:0\r\n");
    world.assert_received(client, "*2\r\n:1\r\n:0\r\n");
}

#[test]
fn a_scan_walks_from_node_to_node() {
    let mut world = world();
    let client = world.connect();
    let mut cursor = "0".to_owned();
    let mut asked = Vec::new();
    for own in ["7", "0", "9", "0"] {
        send(&mut world, client, &["SCAN", &cursor, "COUNT", "2"]);
        asked.extend(world.asked_of_nodes());
        world.answer([&b"*2\r\n"[..], &bulk(own), b"*1\r\n$1\r\nk\r\n"].concat());
        let received = String::from_utf8(world.received(client)).expect("text");
        cursor = received.split("\r\n").nth(2).expect("a cursor").to_owned();
    }
    assert_eq!(cursor, "0");
    let asked: Vec<(u16, &str)> = asked.iter().map(|(node, text)| (*node, &**text)).collect();
    assert_eq!(
        asked,
        [
            (1, "SCAN 0 COUNT 2"),
            (1, "SCAN 7 COUNT 2"),
            (2, "SCAN 0 COUNT 2"),
            (2, "SCAN 9 COUNT 2")
        ]
    );
}

#[test]
fn a_redirect_is_followed_and_learned_from() {
    let mut world = world();
    let client = world.connect();
    send(&mut world, client, &["SET", LOW, "1"]);
    world.answer(moved(LOW, 2));
    assert_asked(&world, &[(2, "SET b 1")]);
    assert!(world.proxy.take_wishes().is_some_and(|wishes| wishes.map));
    world.answer("+OK\r\n");
    world.assert_received(client, "+OK\r\n");
    send(&mut world, client, &["GET", LOW]);
    assert_asked(&world, &[(2, "GET b")]);
}

#[test]
fn a_fetch_is_sent_on_with_all_who_wait_for_it() {
    let mut world = world();
    let (one, other) = (world.connect(), world.connect());
    send(&mut world, one, &["GET", LOW]);
    send(&mut world, other, &["GET", LOW]);
    assert_asked(&world, &[(1, "GET b")]);
    world.answer(moved(LOW, 2));
    assert_asked(&world, &[(2, "GET b")]);
    world.answer(bulk("v"));
    world.assert_received(one, bulk("v"));
    world.assert_received(other, bulk("v"));
    assert!(is_cached(&mut world, LOW));
}

#[test]
fn an_answer_is_sent_on_too() {
    let mut world = world();
    let client = world.connect();
    send(&mut world, client, &["HGET", LOW, "f"]);
    world.answer(moved(LOW, 2));
    assert_asked(&world, &[(2, "HGET b f")]);
    world.answer(bulk("v"));
    world.assert_received(client, bulk("v"));
}

#[test]
fn what_a_node_says_that_does_not_have_the_slot_yet_is_not_cached() {
    let mut world = world();
    let client = world.connect();
    send(&mut world, client, &["GET", LOW]);
    world.answer(format!("-ASK {} host:2\r\n", slot_of(LOW.as_bytes())));
    assert_asked(&world, &[(2, "ASKING"), (2, "GET b")]);
    world.answer("+OK\r\n");
    world.answer(bulk("v"));
    world.assert_received(client, bulk("v"));
    assert!(!is_cached(&mut world, LOW));
}

#[test]
fn a_request_waits_while_its_keys_are_on_their_way() {
    let mut world = world();
    let client = world.connect();
    send(&mut world, client, &["RENAME", "{b}1", "{b}2"]);
    world.answer("-TRYAGAIN Multiple keys request during rehashing of slot\r\n");
    assert_asked(&world, &[]);
    world.wait(50);
    world.turn();
    assert_asked(&world, &[(1, "RENAME {b}1 {b}2")]);
    world.answer("+OK\r\n");
    world.assert_received(client, "+OK\r\n");
}

#[test]
fn nothing_of_a_client_overtakes_what_was_sent_on() {
    let mut world = world();
    let client = world.connect();
    send(&mut world, client, &["SET", LOW, "1"]);
    send(&mut world, client, &["SET", LOW, "2"]);
    world.answer(moved(LOW, 2));
    // The map names the right node by now; but the second of them is not there yet.
    send(&mut world, client, &["SET", LOW, "3"]);
    assert_asked(&world, &[(1, "SET b 2"), (2, "SET b 1")]);
    world.answer(moved(LOW, 2));
    assert_asked(&world, &[(2, "SET b 1"), (2, "SET b 2")]);
    world.answer("+OK\r\n");
    world.answer("+OK\r\n");
    assert_asked(&world, &[(2, "SET b 3")]);
    world.answer("+OK\r\n");
    world.assert_received(client, "+OK\r\n".repeat(3));
}

#[test]
fn a_request_waits_for_a_map_and_not_for_ever() {
    let mut world = unmapped();
    up(&mut world, 7);
    let client = world.connect();
    let pipeline = [multibulk(&["SET", LOW, "1"]), multibulk(&["GET", HIGH])];
    world.send(client, pipeline.concat());
    assert_asked(&world, &[]);
    world.tell_of(NodeId(0), &map(&[(7, 0)]));
    assert_asked(&world, &[(7, "SET b 1"), (7, "GET a")]);
    let mut world = unmapped();
    let client = world.connect();
    send(&mut world, client, &["SET", LOW, "1"]);
    world.wait(WAIT + 1);
    world.turn();
    world.assert_received(client, "-CLUSTERDOWN Hash slot not served\r\n");
}

#[test]
fn a_slot_that_moves_costs_the_cache_that_slot_alone() {
    let mut world = world();
    for key in [LOW, HIGH, "c"] {
        cache(&mut world, key);
    }
    let mut others = ClusterMap::new(Vec::new());
    (0..16384).for_each(|slot| others.assign(slot, NodeId(if slot < 8192 { 1 } else { 2 })));
    others.assign(slot_of(HIGH.as_bytes()), NodeId(1));
    world.tell_of(NodeId(0), &Event::Slots(Arc::new(others)));
    assert!(is_cached(&mut world, LOW) && is_cached(&mut world, "c"));
    assert!(!is_cached(&mut world, HIGH));
}

#[test]
fn a_node_that_is_lost_costs_the_cache_its_slots_alone() {
    let mut world = world();
    for key in [LOW, HIGH] {
        cache(&mut world, key);
    }
    // While it is away, what it had is served; of what changed there meanwhile nobody reports.
    world.tell_of(NodeId(1), &Event::Tracking(Tracking::Lost));
    world.tell_of(NodeId(1), &Event::Away);
    assert!(is_cached(&mut world, LOW) && is_cached(&mut world, HIGH));
    up(&mut world, 1);
    assert!(!is_cached(&mut world, LOW) && is_cached(&mut world, HIGH));
    // A node that is flushed reports that of itself.
    cache(&mut world, LOW);
    let all = Event::Invalidated(Invalidated {
        keys: Vec::new(),
        all: true,
    });
    world.tell_of(NodeId(2), &all);
    assert!(is_cached(&mut world, LOW) && !is_cached(&mut world, HIGH));
}

#[test]
fn a_node_that_is_gone_hands_on_what_it_has_not_executed() {
    let mut world = world();
    let client = world.connect();
    send(&mut world, client, &["SET", LOW, "1"]);
    send(&mut world, client, &["GET", LOW]);
    world.tell_of(NodeId(0), &map(&[(3, 0), (2, 8192)]));
    up(&mut world, 3);
    world.answer(ELSEWHERE);
    world.answer(ELSEWHERE);
    assert_asked(&world, &[(3, "SET b 1"), (3, "GET b")]);
    world.answer("+OK\r\n");
    world.answer(bulk("1"));
    world.assert_received(client, [&b"+OK\r\n"[..], &bulk("1")].concat());
}

#[test]
fn a_master_that_gives_way_is_left_when_it_has_answered() {
    let mut world = world();
    let (writer, reader) = (world.connect(), world.connect());
    send(&mut world, writer, &["INCR", LOW]);
    send(&mut world, reader, &["GET", LOW]);
    world.tell_of(NodeId(0), &map(&[(3, 0), (2, 8192)]));
    up(&mut world, 3);
    // It held the write back, and has become a replica meanwhile.
    send(&mut world, writer, &["INCR", LOW]);
    assert_asked(&world, &[(1, "INCR b"), (1, "GET b")]);
    world.answer(moved(LOW, 3));
    world.answer(bulk("0"));
    world.assert_received(reader, bulk("0"));
    assert_asked(&world, &[(3, "INCR b")]);
    world.answer(":1\r\n");
    world.answer(":2\r\n");
    world.assert_received(writer, ":1\r\n:2\r\n");
}

#[test]
fn what_a_node_answers_that_has_left_is_not_cached() {
    for is_redirected in [false, true] {
        let mut world = world();
        let client = world.connect();
        send(&mut world, client, &["GET", LOW]);
        world.tell_of(NodeId(0), &map(&[(3, 0), (2, 8192)]));
        up(&mut world, 3);
        assert_eq!(world.asked_of_nodes(), [(1, "GET b".into())]);
        if is_redirected {
            world.answer(moved(LOW, 3));
            assert_asked(&world, &[(3, "GET b")]);
            world.answer(bulk("v"));
        } else {
            world.answer(bulk("v"));
        }
        world.assert_received(client, bulk("v"));
        // Where it was sent on, the node that has the slot has answered.
        assert_eq!(is_cached(&mut world, LOW), is_redirected);
    }
}

/// A cluster whose first node has the replicas 4 and 5, which can be reached.
fn replicated() -> World {
    let mut world = world();
    let node = |id, replicas: &[u16]| ClusterNode {
        id: NodeId(id),
        address: format!("host:{id}").into(),
        replicas: replicas.iter().copied().map(NodeId).collect(),
    };
    let mut map = ClusterMap::new(vec![node(1, &[4, 5]), node(2, &[])]);
    (0..16384).for_each(|slot| map.assign(slot, NodeId(if slot < 8192 { 1 } else { 2 })));
    world.tell_of(NodeId(0), &Event::Slots(Arc::new(map)));
    for replica in [4, 5] {
        world.tell_of(NodeId(replica), &Event::Up(Backend::default()));
    }
    world
}

#[test]
fn reads_that_are_not_cached_go_to_replicas_in_turn() {
    let mut world = replicated();
    let client = world.connect();
    for key in [LOW, LOW, LOW, HIGH] {
        send(&mut world, client, &["SRANDMEMBER", key]);
    }
    send(&mut world, client, &["SADD", LOW, "m"]);
    send(&mut world, client, &["SMEMBERS", LOW]);
    send(&mut world, client, &["SSCAN", LOW, "0"]);
    let asked = world.asked_of_nodes();
    let nodes: Vec<u16> = asked.iter().map(|(node, _)| *node).collect();
    assert_eq!(nodes, [5, 4, 5, 2, 1, 1, 1], "{asked:?}");
}

#[test]
fn a_replica_that_cannot_be_asked_is_passed_over() {
    let mut world = replicated();
    let client = world.connect();
    let error = b"-ERR gone\r\n".to_vec();
    let refused = false;
    world.tell_of(NodeId(4), &Event::Down { error, refused });
    send(&mut world, client, &["SRANDMEMBER", LOW]);
    send(&mut world, client, &["SRANDMEMBER", LOW]);
    assert_asked(&world, &[(5, "SRANDMEMBER b"), (5, "SRANDMEMBER b")]);
    // It has lost its master.
    world.answer("-MASTERDOWN Link with MASTER is down\r\n");
    world.tell_of(NodeId(5), &Event::MasterLost(true));
    world.answer(ELSEWHERE);
    assert_asked(&world, &[(1, "SRANDMEMBER b"), (1, "SRANDMEMBER b")]);
    world.answer(bulk("m"));
    world.answer(bulk("m"));
    world.assert_received(client, [bulk("m"), bulk("m")].concat());
    send(&mut world, client, &["SRANDMEMBER", LOW]);
    assert_asked(&world, &[(1, "SRANDMEMBER b")]);
}

#[test]
fn what_a_replica_says_of_slots_is_followed_and_not_believed() {
    let mut world = replicated();
    cache(&mut world, LOW);
    let client = world.connect();
    send(&mut world, client, &["SRANDMEMBER", LOW]);
    world.answer(moved(LOW, 2));
    assert_asked(&world, &[(2, "SRANDMEMBER b")]);
    world.answer(moved(LOW, 1));
    assert_asked(&world, &[(1, "SRANDMEMBER b")]);
    world.answer(bulk("m"));
    world.assert_received(client, bulk("m"));
    assert!(is_cached(&mut world, LOW));
    // Nor does it cost anything that one is lost, or back.
    world.tell_of(NodeId(4), &Event::Tracking(Tracking::Lost));
    world.tell_of(NodeId(4), &Event::Away);
    world.tell_of(NodeId(4), &Event::Up(Backend::default()));
    assert!(is_cached(&mut world, LOW));
}

#[test]
fn a_node_that_cannot_be_reached_refuses_those_alone_who_need_it() {
    let mut world = world();
    let error = b"-ERR backing Redis at host:1 can't be reached: gone\r\n".to_vec();
    world.tell_of(
        NodeId(1),
        &Event::Down {
            error,
            refused: true,
        },
    );
    let client = world.connect();
    send(&mut world, client, &["SET", HIGH, "1"]);
    send(&mut world, client, &["SET", LOW, "1"]);
    send(&mut world, client, &["TIME"]);
    assert_asked(&world, &[(2, "SET a 1"), (2, "TIME")]);
}

#[test]
fn a_whole_transaction_goes_to_the_node_of_its_keys() {
    let mut world = world();
    let client = world.connect();
    let pipeline = |key: &str| {
        [
            multibulk(&["MULTI"]),
            multibulk(&["SET", key, "1"]),
            multibulk(&["EXEC"]),
        ]
        .concat()
    };
    world.send(client, pipeline(HIGH));
    assert_asked(&world, &[(2, "MULTI"), (2, "SET a 1"), (2, "EXEC")]);
}

#[test]
fn a_transaction_that_trickles_in_has_a_connection_when_its_node_is_known() {
    let mut world = world();
    let client = world.connect();
    send(&mut world, client, &["MULTI"]);
    world.assert_received(client, "+OK\r\n");
    assert!(world.proxy.dedicated(client).is_none());
    send(&mut world, client, &["MULTI"]);
    world.assert_received(client, "-ERR MULTI calls can not be nested\r\n");
    send(&mut world, client, &["SET", HIGH, "1"]);
    assert!(world.proxy.dedicated(client).is_some());
    // CLIENT ID, which sets the connection up; then MULTI, which the client was told of.
    world.receive_dedicated(client, ":5\r\n+OK\r\n+QUEUED\r\n");
    world.assert_received(client, "+QUEUED\r\n");
    send(&mut world, client, &["EXEC"]);
    world.receive_dedicated(client, "*1\r\n+OK\r\n");
    let barrier = world.proxy.take_barrier().expect("one is wanted");
    world.pass_barrier(barrier);
    world.assert_received(client, "*1\r\n+OK\r\n");
    // Nothing in the next.
    let sent = send_dedicated(&mut world, client);
    assert!(sent.ends_with(&multibulk(&["EXEC"])));
    send(&mut world, client, &["MULTI"]);
    send(&mut world, client, &["EXEC"]);
    world.assert_received(client, "+OK\r\n*0\r\n");
}

#[test]
fn a_redirect_on_a_dedicated_connection_is_an_error_that_clients_know() {
    let mut world = world();
    let client = world.connect();
    send(&mut world, client, &["WATCH", LOW]);
    world.receive_dedicated(client, ":5\r\n+OK\r\n");
    send(&mut world, client, &["GET", HIGH]);
    let redirect = moved(HIGH, 2);
    let (first, rest) = redirect.split_at(3);
    world.receive_dedicated(client, first);
    world.receive_dedicated(client, rest);
    world.assert_received(
        client,
        "+OK\r\n-CROSSSLOT Keys in request don't hash to the same slot\r\n",
    );
}

#[test]
fn clients_that_speak_to_clusters_are_told_of_one_node() {
    let mut world = world();
    let client = world.connect();
    send(&mut world, client, &["CLUSTER", "KEYSLOT", "foo"]);
    send(&mut world, client, &["READONLY"]);
    world.assert_received(client, ":12182\r\n+OK\r\n");
    send(&mut world, client, &["CLUSTER", "SLOTS"]);
    let slots = world.received(client);
    assert!(slots.starts_with(b"*1\r\n*3\r\n:0\r\n:16383\r\n"));
    send(&mut world, client, &["CLUSTER", "INFO"]);
    let info = String::from_utf8(world.received(client)).expect("text");
    assert!(info.contains("cluster_state:ok"));
    send(&mut world, client, &["CLUSTER", "COUNTKEYSINSLOT", "16000"]);
    assert_asked(&world, &[(2, "CLUSTER COUNTKEYSINSLOT 16000")]);
}

#[test]
fn a_subscriber_reads_keys_of_every_node() {
    let mut world = world();
    let client = world.connect();
    send(&mut world, client, &["HELLO", "3"]);
    world.received(client);
    send(&mut world, client, &["SUBSCRIBE", "c"]);
    send_dedicated(&mut world, client);
    let confirmation = ">3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n";
    // The confirmation has not come.
    send(&mut world, client, &["GET", HIGH]);
    assert_asked(&world, &[]);
    world.receive_dedicated(client, ["%0\r\n:5\r\n", confirmation].concat());
    assert_asked(&world, &[(2, "GET a")]);
    send(&mut world, client, &["GET", LOW]);
    let sent = send_dedicated(&mut world, client);
    assert!(sent.is_empty(), "it would overtake");
    world.answer(bulk("2"));
    let sent = send_dedicated(&mut world, client);
    assert_eq!(sent, multibulk(&["GET", LOW]));
    world.assert_received(client, [confirmation.as_bytes(), &bulk("2")].concat());
}

/// What is to be sent on a client's dedicated connection is.
fn send_dedicated(world: &mut World, client: ClientId) -> Vec<u8> {
    let to_redis = world.proxy.dedicated(client).expect("it has one");
    let mut sent = Vec::new();
    while !to_redis.is_empty() {
        to_redis.send(&mut sent).expect("it takes all");
    }
    sent
}

#[test]
fn a_script_that_one_node_is_sent_is_known_to_all() {
    let mut world = world();
    let client = world.connect();
    send(&mut world, client, &["EVAL", "return 1", "1", LOW]);
    send(&mut world, client, &["EVALSHA", "x", "1", HIGH]);
    assert_asked(
        &world,
        &[
            (2, "SCRIPT LOAD return 1"),
            (1, "EVAL return 1 1 b"),
            (2, "EVALSHA x 1 a"),
        ],
    );
    world.answer(bulk("x"));
    world.answer(":1\r\n");
    world.answer(":1\r\n");
    world.assert_received(client, ":1\r\n:1\r\n");
    send(&mut world, client, &["EVAL", "return 1", "1", LOW]);
    assert_asked(&world, &[(1, "EVAL return 1 1 b")]);
}

#[test]
fn what_is_cached_is_queued_behind_multi_all_the_same() {
    let mut world = world();
    cache(&mut world, LOW);
    let client = world.connect();
    // So that no earlier turn of the cluster keeps it from the shortest way.
    send(&mut world, client, &["GET", LOW]);
    world.received(client);
    send(&mut world, client, &["MULTI"]);
    send(&mut world, client, &["GET", LOW]);
    world.assert_received(client, "+OK\r\n");
    world.receive_dedicated(client, ":5\r\n+OK\r\n+QUEUED\r\n");
    world.assert_received(client, "+QUEUED\r\n");
}
