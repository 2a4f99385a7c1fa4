use std::io;

use super::super::NodeId;
use super::super::rights::tests::{RIGHTS, answer_tracker, asked, at, node, request, settings};
use super::*;
use crate::resp::Protocol;

fn refused() -> Loss {
    Loss::Broken(io::ErrorKind::ConnectionRefused.into())
}

fn send(node: &mut Node, words: &str, now: Time) {
    request(node, Protocol::Resp2, true, words, now);
}

/// Redis ends, and refuses connections.
fn lose(node: &mut Node, now: Time) {
    node.events.clear();
    node.lost(Role::Tracker, Loss::Closed, now);
    node.lost(Role::Resp2, Loss::Closed, now);
    node.lost(Role::Resp2, refused(), now);
}

/// Redis is back, and accepts the proxy.
fn come_back(node: &mut Node, now: Time) {
    node.retry_at_once(now);
    node.tick(now);
    let tracker = format!("+OK\r\n*1\r\n+hello\r\n*0\r\n{RIGHTS}+PONG\r\n");
    connect(node, Role::Resp2, RESP2, now);
    connect(node, Role::Tracker, &tracker, now);
}

/// Redis's replies to the set-up of the RESP2 connection.
const RESP2: &str = "+OK\r\n%0\r\n*0\r\n*0\r\n$0\r\n\r\n$0\r\n\r\n+PONG\r\n";

/// A wanted connection is opened, and set up with these replies.
fn connect(node: &mut Node, role: Role, replies: &str, now: Time) {
    assert_eq!(node.wants(), Some(role));
    node.connecting(role, now.after(FIRST_PAUSE));
    node.connected(role, None, now);
    asked(node, role);
    node.received(role, replies.as_bytes(), now);
}

/// Lets time pass up to that moment, as the helper does.
fn pass(node: &mut Node, until: Time) {
    while let Some(due) = node.due().filter(|due| *due <= until) {
        node.tick(due);
        if node.wants() == Some(Role::Resp2) {
            node.lost(Role::Resp2, refused(), due);
        }
    }
}

fn is_down(event: &Event) -> bool {
    matches!(event, Event::Down { .. })
}

#[test]
fn a_request_waits_for_a_restart_as_long_as_for_a_reply_and_then_for_its_reply_anew() {
    let mut node = node(None, RIGHTS);
    send(&mut node, "before", at(100));
    asked(&mut node, Role::Resp2);
    lose(&mut node, at(1000));
    assert_eq!(node.events[0], Event::Away);
    send(&mut node, "during", at(1100));
    pass(&mut node, at(1950));
    come_back(&mut node, at(1990));
    // Neither the first request, nor the connection, is late.
    assert!(asked(&mut node, Role::Resp2).ends_with("beforeduring"));
    answer_tracker(&mut node, at(1990));
    // The state of the connection is not shown.
    node.received(Role::Resp2, b"-NOPERM no\r\n", at(1990));
    node.tick(at(2900));
    let is_late = |event: &Event| matches!(event, Event::Late { .. });
    let events = &node.events;
    assert!(!events.iter().any(|event| is_late(event) || is_down(event)));
    node.tick(at(2990));
    assert!(node.events.iter().any(is_late));
}

#[test]
fn what_was_asked_in_resp3_waits_too_if_that_connection_is_the_first_to_be_refused() {
    let mut node = node(None, RIGHTS);
    node.run_id = Some("known".to_owned());
    request(&mut node, Protocol::Resp3, true, "before", at(100));
    let resp3 = "+OK\r\n%0\r\n$0\r\n\r\n+PONG\r\n";
    connect(&mut node, Role::Resp3, resp3, at(100));
    assert!(asked(&mut node, Role::Resp3).ends_with("before"));
    node.events.clear();
    for role in [Role::Resp2, Role::Resp3, Role::Tracker] {
        node.lost(role, Loss::Closed, at(1000));
    }
    node.lost(Role::Resp3, refused(), at(1000));
    node.lost(Role::Resp2, refused(), at(1000));
    node.retry_at_once(at(1100));
    node.tick(at(1100));
    connect(&mut node, Role::Resp2, RESP2, at(1100));
    connect(&mut node, Role::Resp3, resp3, at(1100));
    assert!(asked(&mut node, Role::Resp3).ends_with("before"));
    let is_reply = |event: &Event| matches!(event, Event::Replies { .. });
    assert!(!node.events.iter().any(is_reply));
}

#[test]
fn what_was_asked_in_resp3_waits_when_only_that_connection_has_ended_so_far() {
    let mut node = node(None, RIGHTS);
    node.run_id = Some("known".to_owned());
    request(&mut node, Protocol::Resp3, true, "before", at(900));
    let resp3 = "+OK\r\n%0\r\n$0\r\n\r\n+PONG\r\n";
    connect(&mut node, Role::Resp3, resp3, at(900));
    assert!(asked(&mut node, Role::Resp3).ends_with("before"));
    node.events.clear();
    node.lost(Role::Resp3, Loss::Closed, at(1000));
    node.lost(Role::Resp3, refused(), at(1000));
    request(&mut node, Protocol::Resp3, true, "during", at(1050));
    assert!(node.is_up() && node.wants().is_none());
    assert_eq!(node.events, []);
    // Only that connection was affected.
    node.tick(at(1100));
    connect(&mut node, Role::Resp3, resp3, at(1100));
    let asked = asked(&mut node, Role::Resp3);
    assert!(asked.ends_with("beforeduring"), "{asked}");
}

#[test]
fn a_redis_that_is_missed_is_looked_for_more_often() {
    for (watched, most) in [(true, 500), (false, 5000)] {
        let mut node = node(None, RIGHTS);
        node.set_watched(watched, at(0));
        lose(&mut node, at(1000));
        pass(&mut node, at(60_000));
        let State::Down(due) = node.state else {
            panic!("it is down");
        };
        let pause = node.ticked.until(due).as_millis();
        assert!((most * 3 / 4..=most).contains(&pause), "{pause}");
    }
    // A client connects.
    let mut node = node(None, RIGHTS);
    node.set_watched(false, at(0));
    lose(&mut node, at(1000));
    pass(&mut node, at(60_000));
    node.set_watched(true, node.ticked);
    let soon = node.ticked.after(FIRST_PAUSE);
    assert!(node.due().is_some_and(|due| due <= soon));
}

#[test]
fn requests_wait_as_long_as_is_set_though_an_attempt_to_connect_is_not_answered() {
    let mut node = node(None, RIGHTS);
    node.settings.wait = Duration::from_secs(5);
    lose(&mut node, at(1000));
    send(&mut node, "during", at(1100));
    pass(&mut node, at(2000));
    node.tick(at(2500));
    assert_eq!(node.wants(), Some(Role::Resp2));
    node.lost(Role::Resp2, Loss::TimedOut(FIRST_PAUSE), at(2500));
    pass(&mut node, at(5900));
    assert!(!node.events.iter().any(is_down));
    pass(&mut node, at(6000));
    assert!(node.events.iter().any(is_down));
}

#[test]
fn who_asks_a_redis_that_was_never_there_is_told_why() {
    let mut node = Node::new(NodeId::default(), settings(None));
    node.settings.wait = Duration::from_secs(5);
    node.lost(Role::Resp2, refused(), at(0));
    send(&mut node, "request", at(100));
    // No longer than for a reply: the person setting it up may be waiting.
    pass(&mut node, at(1000));
    let [
        _,
        Event::Down { error, refused },
        Event::Replies { replies, .. },
        _,
    ] = &node.events[..]
    else {
        panic!("{:?}", node.events);
    };
    assert!(error.starts_with(b"-LOADING backing Redis at ") && *refused);
    assert!(crate::upstream::is_unreachable(error));
    assert!(replies.iter().eq([&error[..]]));
}

#[test]
fn it_is_known_that_redis_is_given_up_before_its_requests_fail() {
    let mut node = node(None, RIGHTS);
    lose(&mut node, at(1000));
    send(&mut node, "during", at(1100));
    pass(&mut node, at(2000));
    let place = |is_meant: fn(&Event) -> bool| node.events.iter().position(is_meant);
    let down = place(is_down).expect("it is given up");
    let failed = place(|event| matches!(event, Event::Replies { .. }));
    assert!(failed.expect("the request has failed") > down);
}

#[test]
fn a_redis_that_loads_its_data_was_not_up_whenever_its_answers_come() {
    let answers = RESP2.replace("+PONG", "-LOADING Redis is loading the dataset in memory");
    for cut in 0..answers.len() {
        let mut node = node(None, RIGHTS);
        lose(&mut node, at(1000));
        node.retry_at_once(at(1100));
        node.tick(at(1100));
        node.events.clear();
        connect(&mut node, Role::Resp2, &answers[..cut], at(1100));
        node.received(Role::Resp2, &answers.as_bytes()[cut..], at(1100));
        let is_up = |event: &Event| matches!(event, Event::Up(_));
        assert!(!node.events.iter().any(is_up), "{cut}");
    }
}

#[test]
fn a_redis_that_comes_and_goes_is_waited_for_once() {
    let mut node = node(None, RIGHTS);
    lose(&mut node, at(1000));
    pass(&mut node, at(1100));
    come_back(&mut node, at(1200));
    lose(&mut node, at(1300));
    assert!(node.events.iter().any(is_down));
}

#[test]
fn dedicated_connections_are_given_up_once_when_redis_is_silent_for_long() {
    let mut node = node(None, RIGHTS);
    let timeout = node.settings.dialer.timeout;
    node.events.clear();
    node.down(&Loss::TimedOut(timeout), at(1000));
    let count = |node: &Node| {
        let events = node.events.iter();
        events.filter(|event| **event == Event::Gone).count()
    };
    let silent = |node: &mut Node, until: u64| {
        while let Some(due) = node.due().filter(|due| *due <= at(until)) {
            node.tick(due);
            if node.wants() == Some(Role::Resp2) {
                node.lost(Role::Resp2, Loss::TimedOut(timeout), due);
            }
        }
    };
    silent(&mut node, 10_900);
    assert_eq!(count(&node), 0);
    silent(&mut node, 30_000);
    assert_eq!(count(&node), 1);
}
