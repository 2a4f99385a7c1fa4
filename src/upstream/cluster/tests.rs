//! A node of a cluster, without sockets: what it is asked, how it handles trouble, and what happens to requests when it
//! is given up.

mod leaving;
mod replica;

use super::super::node::{Loss, Node, Phase, Role};
use super::super::rights::tests::{RIGHTS, asked, at, request, settings};
use super::super::{ELSEWHERE, Event, NodeId, Seeds};
use super::slot_of;
use super::view::tests::tcp;
use crate::clock::Time;
use crate::resp::Protocol;

/// A shard with one node at port 7, without a host, that has all slots.
const SHARDS: &str = "*1\r\n*4\r\n$5\r\nslots\r\n*2\r\n:0\r\n:16383\r\n$5\r\nnodes\r\n*1\r\n*8\r\n$2\r\nid\r\n$1\r\nM\r\n\
                      $4\r\nport\r\n:7\r\n$8\r\nendpoint\r\n$0\r\n\r\n$4\r\nrole\r\n$6\r\nmaster\r\n";
const SLOTS: &str = "*1\r\n*3\r\n:0\r\n:16383\r\n*3\r\n$0\r\n\r\n:7\r\n$1\r\nM\r\n";
const NODES: &str = "$30\r\nM :7@17 myself,master - 0 0 5\n\r\n";
const UNKNOWN: &str = "-ERR Unknown subcommand or wrong number of arguments for 'SHARDS'\r\n";
const DISABLED: &str = "-ERR This instance has cluster support disabled\r\n";

/// A node to be connected to.
fn new_node() -> Node {
    let settings = settings(None);
    let mut node = Node::new(
        NodeId(3),
        super::super::Settings {
            cluster: Seeds::new(Vec::new()),
            ..settings
        },
    );
    node.settings.address = tcp("seed", 1);
    for (role, replies) in [
        (
            Role::Resp2,
            "+OK\r\n%0\r\n*0\r\n*0\r\n$0\r\n\r\n$0\r\n\r\n+PONG\r\n",
        ),
        (Role::Tracker, &format!("+OK\r\n{RIGHTS}+PONG\r\n")),
    ] {
        assert_eq!(node.wants(), Some(role));
        node.connecting(role, at(0));
        node.connected(role, None, at(0));
        let questions = asked(&mut node, role);
        assert_eq!(questions.contains("SHARDS"), role == Role::Tracker);
        node.received(role, replies.as_bytes(), at(0));
    }
    node
}

/// The tracker answers.
fn answer(node: &mut Node, replies: &[&str], now: Time) {
    node.received(Role::Tracker, replies.concat().as_bytes(), now);
}

/// A node that is up, and has reported its view of the cluster.
fn node() -> Node {
    let mut node = new_node();
    answer(&mut node, &[SHARDS, NODES], at(0));
    assert_eq!(node.connection(Role::Tracker).phase, Phase::Open);
    // The output limit, and the state of the connection.
    assert!(asked(&mut node, Role::Tracker).contains("client-output-buffer-limit"));
    node.received(Role::Tracker, b"*0\r\n", at(0));
    asked(&mut node, Role::Resp2);
    node.received(Role::Resp2, b"-NOPERM no\r\n", at(0));
    node.set_watched(true, at(0));
    node.takes_doubt();
    node.events.clear();
    node
}

/// The replies that were reported.
fn replies(node: &Node) -> Vec<Vec<u8>> {
    let replies = node.events.iter().filter_map(|event| match event {
        Event::Replies { link, replies } => {
            assert_eq!(link.node, NodeId(3));
            Some(replies.iter().map(<[u8]>::to_vec))
        }
        _ => None,
    });
    replies.flatten().collect()
}

#[test]
fn it_is_asked_which_node_has_which_slot_before_requests_are_served() {
    let mut node = new_node();
    assert_eq!(node.connection(Role::Tracker).phase, Phase::SettingUp);
    assert_eq!(node.takes_view(), None);
    answer(&mut node, &[SHARDS, NODES], at(0));
    let view = node.takes_view().expect("it has answered");
    assert_eq!((view.myself, view.epoch()), (Some(0), 5));
    assert_eq!(view.nodes[0].address, tcp("seed", 7));
    assert_eq!(node.takes_view(), None);
}

#[test]
fn one_that_does_not_know_shards_is_asked_for_slots_from_then_on() {
    let mut node = new_node();
    answer(&mut node, &[UNKNOWN, NODES], at(0));
    for _ in 0..2 {
        let questions = asked(&mut node, Role::Tracker);
        assert!(questions.contains("SLOTS") && !questions.contains("SHARDS"));
        answer(&mut node, &[SLOTS, NODES], at(0));
        let view = node.takes_view().expect("it has answered");
        assert_eq!(view.ranges, [(0, 16383, 0)]);
        // It is also asked for its output limit, when it is set up.
        if !asked(&mut node, Role::Tracker).is_empty() {
            answer(&mut node, &["*0\r\n"], at(0));
        }
        assert!(node.ask_for_view(at(0)));
    }
}

#[test]
fn one_that_says_of_no_slot_is_of_no_use() {
    let mut node = new_node();
    answer(&mut node, &[DISABLED, DISABLED], at(0));
    node.events.clear();
    assert!(asked(&mut node, Role::Tracker).contains("SLOTS"));
    answer(&mut node, &[DISABLED, DISABLED], at(0));
    let [Event::Down { error, refused }, ..] = &node.events[..] else {
        panic!("{:?}", node.events);
    };
    let error = String::from_utf8_lossy(error);
    assert!(
        error.contains("cluster support disabled") && *refused,
        "{error}"
    );
}

#[test]
fn while_it_is_being_asked_it_is_asked_again_once() {
    let mut node = node();
    assert!(node.ask_for_view(at(1)));
    assert!(asked(&mut node, Role::Tracker).contains("SHARDS"));
    // It may have answered before the sign of a change.
    assert!(node.ask_for_view(at(2)) && node.ask_for_view(at(3)));
    assert_eq!(asked(&mut node, Role::Tracker), "");
    answer(&mut node, &[SHARDS, NODES], at(4));
    assert_eq!(asked(&mut node, Role::Tracker).matches("SHARDS").count(), 1);
    answer(&mut node, &[SHARDS, NODES], at(5));
    assert_eq!(asked(&mut node, Role::Tracker), "");
}

#[test]
fn a_refused_write_and_a_lost_connection_speak_for_another_map() {
    let mut node = node();
    request(&mut node, Protocol::Resp2, false, "SET", at(1));
    asked(&mut node, Role::Resp2);
    node.received(Role::Resp2, b"-READONLY no\r\n", at(2));
    assert!(node.takes_doubt() && !node.takes_doubt());
    node.tick(at(2));
    assert!(node.is_up(), "it is not left for that");
    node.lost(Role::Tracker, Loss::Closed, at(3));
    assert!(node.takes_doubt());
}

#[test]
fn it_is_silent_when_a_question_waits_for_long() {
    let mut node = node();
    assert!(node.ask_for_view(at(1000)));
    asked(&mut node, Role::Tracker);
    assert!(!node.is_silent(at(2999)) && node.is_silent(at(3000)));
    answer(&mut node, &[SHARDS, NODES], at(3001));
    assert!(!node.is_silent(at(3001)));
}

#[test]
fn what_waits_for_it_while_it_is_away_is_for_another_too() {
    let mut node = node();
    let timeout = node.settings.dialer.timeout;
    request(&mut node, Protocol::Resp2, true, "GET", at(1));
    asked(&mut node, Role::Resp2);
    // It is silent: in a cluster, another node may soon have its slots.
    node.down(&Loss::TimedOut(timeout), at(2));
    assert_eq!(node.events.last(), Some(&Event::Away));
    request(&mut node, Protocol::Resp3, false, "SET", at(3));
    assert_eq!(replies(&node), [b""; 0]);
    node.retire(at(4));
    assert_eq!(replies(&node), [ELSEWHERE, ELSEWHERE]);
    assert!(node.has_left());
}

#[test]
fn another_is_asked_about_passwords_when_it_is_given_up() {
    let check = |number| super::super::Check {
        number,
        request: b"AUTH".to_vec(),
    };
    let mut node = node();
    node.check(&mut vec![check(1), check(2)], at(1));
    assert_eq!(node.retire(at(2)), [check(1), check(2)]);
}

#[test]
fn a_barrier_is_passed_by_an_answer_or_when_nobody_can_pass_it_any_more() {
    let mut node = node();
    assert!(!node.is_before(1));
    node.ask_for_barrier(1, at(1));
    node.ask_for_barrier(2, at(1));
    assert!(node.is_before(1) && node.is_before(2) && !node.is_before(3));
    asked(&mut node, Role::Tracker);
    answer(&mut node, &["+PONG\r\n"], at(2));
    assert!(!node.is_before(1) && node.is_before(2));
    node.lost(Role::Tracker, Loss::Closed, at(3));
    assert!(!node.is_before(2));
    let is_barrier = |event: &Event| matches!(event, Event::Barrier(_));
    assert!(
        !node.events.iter().any(is_barrier),
        "all nodes have to pass it"
    );
}

#[test]
fn slots_are_as_the_specification_says() {
    assert_eq!(slot_of(b"123456789"), 0x31C3);
    assert_eq!(slot_of(b"foo"), 12182);
    assert_eq!(slot_of(b"{user1000}.following"), slot_of(b"user1000"));
    assert_eq!(slot_of(b"foo{}{bar}"), slot_of(b"foo{}{bar}"));
    assert_eq!(slot_of(b"foo{{bar}}zap"), slot_of(b"{bar"));
}
