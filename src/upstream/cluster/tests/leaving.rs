//! A node that leaves its cluster with replies outstanding.

use super::*;
use crate::upstream::{BROKEN, Batch, LinkId};

const MOVED: &[u8] = b"-MOVED 1 other:2\r\n";

fn is_closed(node: &Node, role: Role) -> bool {
    let mut all = node.connections();
    all.any(|(known, connection)| known == role && connection.phase == Phase::Closed)
}

/// Three requests to it are written, and one is not.
fn asked_node() -> Node {
    let mut node = node();
    request(&mut node, Protocol::Resp2, false, "SET", at(1));
    request(&mut node, Protocol::Resp2, true, "GET", at(1));
    request(&mut node, Protocol::Resp2, false, "INCR", at(1));
    assert_eq!(asked(&mut node, Role::Resp2), "SETGETINCR");
    request(&mut node, Protocol::Resp2, false, "unwritten", at(2));
    node
}

/// The loop has more for it, as it does not know yet that the node has left.
fn send_elsewhere(node: &mut Node, now: Time) {
    let mut batch = Batch::default();
    batch.push(false, |out| out.extend_from_slice(b"later"));
    let link = LinkId::new(Protocol::Resp2, 0).at(NodeId(3));
    node.send_elsewhere(link, &mut batch, now);
}

#[test]
fn what_it_was_asked_is_answered_and_the_rest_is_for_another() {
    let mut node = asked_node();
    assert_eq!(node.retire(at(3)), []);
    assert!(is_closed(&node, Role::Tracker) && !node.has_left());
    assert_eq!(node.wants(), None);
    send_elsewhere(&mut node, at(4));
    assert_eq!(asked(&mut node, Role::Resp2), "", "it gets nothing more");
    assert_eq!(replies(&node), [b""; 0]);
    node.received(Role::Resp2, &[b"+OK\r\n", MOVED].concat(), at(5));
    assert_eq!(replies(&node), [b"+OK\r\n", MOVED]);
    assert!(!node.has_left());
    node.events.clear();
    node.received(Role::Resp2, MOVED, at(6));
    assert_eq!(replies(&node), [MOVED, ELSEWHERE, ELSEWHERE]);
    assert!(node.has_left());
    node.events.clear();
    send_elsewhere(&mut node, at(7));
    assert_eq!(replies(&node), [ELSEWHERE]);
    assert!(node.has_left() && node.due().is_none());
}

#[test]
fn it_reports_replies_alone_from_then_on() {
    let mut node = asked_node();
    node.retire(at(3));
    let refusals = b"-READONLY no\r\n-NOPERM no\r\n-MASTERDOWN no\r\n";
    node.received(Role::Resp2, refusals, at(4));
    node.tick(at(5));
    let is_reply = |event: &Event| matches!(event, Event::Replies { .. });
    assert!(node.events.iter().all(is_reply), "{:?}", node.events);
    assert!(node.has_left());
}

#[test]
fn if_it_breaks_what_it_may_have_executed_fails() {
    let mut node = asked_node();
    node.retire(at(3));
    node.lost(Role::Resp2, Loss::Closed, at(4));
    assert_eq!(replies(&node), [BROKEN, ELSEWHERE, BROKEN, ELSEWHERE]);
    assert!(node.has_left() && node.wants().is_none());
}

#[test]
fn what_it_does_not_answer_is_late_and_then_it_is_waited_for_no_longer() {
    let mut node = asked_node();
    let timeout = node.settings.dialer.timeout;
    node.retire(at(3));
    let due = node.due().expect("requests are late some time");
    assert_eq!(due, at(1).after(timeout));
    node.tick(due);
    let lates = node.events.iter().filter_map(|event| match event {
        Event::Late { count, .. } => Some(*count),
        _ => None,
    });
    assert_eq!(lates.sum::<usize>(), 3);
    assert_eq!(replies(&node).len(), 4, "for nobody");
    assert!(node.has_left());
}

#[test]
fn one_that_is_silent_is_not_waited_for() {
    let mut node = asked_node();
    assert!(node.ask_for_view(at(10)));
    asked(&mut node, Role::Tracker);
    node.retire(at(5000));
    assert_eq!(replies(&node), [BROKEN, ELSEWHERE, BROKEN, ELSEWHERE]);
    assert!(node.has_left());
}
