//! A node that only serves reads.

use super::*;
use crate::upstream::Settings;

const RESP2: &str = "%0\r\n*0\r\n*0\r\n$0\r\n\r\n$0\r\n\r\n+PONG\r\n";

/// A replica that has answered READONLY.
fn replica(answer: &str) -> Node {
    let settings = Settings {
        cluster: Seeds::new(Vec::new()),
        reads_replicas: true,
        is_replica: true,
        ..settings(None)
    };
    let mut node = Node::new(NodeId(3), settings);
    node.connecting(Role::Resp2, at(0));
    node.connected(Role::Resp2, None, at(0));
    assert!(asked(&mut node, Role::Resp2).contains("ReADONLY"));
    let replies = ["+OK\r\n", answer, RESP2].concat();
    node.received(Role::Resp2, replies.as_bytes(), at(0));
    node
}

#[test]
fn it_is_told_that_it_is_to_answer_reads() {
    let mut node = replica("+OK\r\n");
    assert_eq!(node.wants(), Some(Role::Tracker));
    node.connecting(Role::Tracker, at(0));
    node.connected(Role::Tracker, None, at(0));
    assert!(!asked(&mut node, Role::Tracker).contains("ReADONLY"));
    let answers = ["+OK\r\n", RIGHTS, "+PONG\r\n"].concat();
    node.received(Role::Tracker, answers.as_bytes(), at(0));
    assert!(node.is_up());
    request(&mut node, Protocol::Resp3, true, "GET", at(1));
    assert_eq!(node.wants(), Some(Role::Resp3));
    node.connecting(Role::Resp3, at(1));
    node.connected(Role::Resp3, None, at(1));
    assert!(asked(&mut node, Role::Resp3).contains("ReADONLY"));
    // When it is lost, reads go to its master at once.
    node.events.clear();
    node.down(&Loss::Closed, at(2));
    assert_eq!(replies(&node), [ELSEWHERE]);
    node.events.clear();
    request(&mut node, Protocol::Resp2, true, "GET", at(3));
    assert_eq!(replies(&node), [ELSEWHERE]);
}

#[test]
fn one_that_refuses_is_of_no_use() {
    let node = replica("-NOPERM no\r\n");
    assert!(!node.is_up());
}
