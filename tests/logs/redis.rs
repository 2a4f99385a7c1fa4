//! Redis goes and comes.

use std::time::{Duration, Instant};

use crate::common::{
    Answer, FakeRedis, Proxy, RedisServer, SOON_AWAY, assert_away, assert_same, eventually,
};
use crate::{lines, number};

#[test]
fn redis_down_and_redis_up_are_logged_once_with_the_time_that_it_was_away() {
    let mut redis = RedisServer::start();
    let proxy = Proxy::start(&redis, SOON_AWAY);
    let up = format!("redis up address={}", redis.address());
    assert_eq!(lines(&proxy, "redis up"), [&*up]);
    let start = Instant::now();
    redis.stop();
    let down = proxy.wait_for_log("redis down");
    assert!(down.starts_with("WARN  "), "{down}");
    for _ in 0..5 {
        assert_away(&proxy);
    }
    let away = Instant::now();
    std::thread::sleep(Duration::from_millis(300));
    let away = away.elapsed();
    redis.start_again();
    proxy.wait_for_logs("redis up", 2);
    let most = u64::try_from(start.elapsed().as_millis()).expect("a short time");
    let ups = lines(&proxy, "redis up");
    assert_eq!(ups.len(), 2);
    assert!(ups[1].starts_with(&format!("{up} away_ms=")), "{ups:?}");
    let away_ms = number(&ups[1], "away_ms");
    let least = u64::try_from(away.as_millis()).expect("a short time");
    assert!(
        (least..=most).contains(&away_ms),
        "{away_ms}, not {least} to {most}"
    );
    assert_eq!(lines(&proxy, "redis down").len(), 1);
}

#[test]
fn another_reason_for_which_redis_is_down_is_logged_as_such() {
    let mut redis = RedisServer::not_started();
    let proxy = Proxy::start_at(&redis.address(), &["--redis_password", "wrong"]);
    let down = proxy.wait_for_log("redis down");
    assert!(
        down.ends_with(r#" reason="Connection refused (os error 111)""#),
        "{down}"
    );
    redis.start_again();
    let still = proxy.wait_for_log("AUTH <password> called without any password");
    let start = format!("redis still down address={} reason=", redis.address());
    assert!(still.contains(&start), "{still}");
    assert_eq!(lines(&proxy, "redis down").len(), 1);
    assert_eq!(lines(&proxy, "redis still down").len(), 1);
}

#[test]
fn whether_redis_tells_what_changes_is_logged_when_that_is_news() {
    let redis = RedisServer::start();
    let mut straight = redis.client();
    let mut rights = |rights: &str| {
        straight.send(format!("ACL SETUSER default {rights}\r\n"));
        assert_same(&straight.read_reply(), b"+OK\r\n", &rights);
        // A connection has the rights of its user at all times; what is tracked is asked for anew.
        straight.send("CLIENT KILL TYPE normal SKIPME yes\r\n");
        straight.read_reply();
    };
    rights("-client|tracking");
    let proxy = Proxy::start(&redis, &[]);
    let refused = proxy.wait_for_log("redis does not report changes");
    assert!(
        refused.starts_with("WARN  ") && refused.contains("NOPERM"),
        "{refused}"
    );
    rights("-client|tracking");
    proxy.wait_for_logs("reconnected", 1);
    rights("+client|tracking");
    proxy.wait_for_log("redis reports changes again");
    // The rights may have been noticed before the connection was killed.
    proxy.wait_for_logs("reconnected", 2);
    rights("+client|tracking");
    proxy.wait_for_logs("reconnected", 3);
    let said = |message| lines(&proxy, message).len();
    assert_eq!(said("redis does not report changes"), 1);
    assert_eq!(said("redis reports changes again"), 1);
}

#[test]
fn a_redis_that_comes_and_goes_is_tried_less_and_less_often() {
    // It greets every connection, and breaks it off at the first GET.
    let redis = FakeRedis::start(|_| Answer::ReplyAndClose(Vec::new()));
    let proxy = Proxy::start_at(&redis.address(), SOON_AWAY);
    proxy.wait_for_redis();
    let start = Instant::now();
    let downs = || lines(&proxy, "redis down").len();
    // Each GET is another: the same would not be sent a third time.
    let mut number = 0;
    eventually("it goes four times", || {
        number += 1;
        let mut client = proxy.client();
        client.send(format!("GET key{number}\r\n"));
        client.reply_or_end();
        downs() >= 4
    });
    // It is tried again after 0.1 s, 0.2 s and 0.4 s, less up to a quarter each.
    let took = start.elapsed();
    assert!(took > Duration::from_millis(525), "{took:?}");
}
