//! Redis is asked whether it is still there.

use std::time::{Duration, Instant};

use crate::Watched;
use crate::common::eventually;

#[test]
fn a_redis_that_hangs_is_noticed_before_a_client_asks() {
    let watched = Watched::start(&["--redis_timeout", "300"]);
    watched.redis.pause();
    // The watcher is connected, and asks for nothing.
    watched.proxy.wait_for_log("redis down");
    watched.redis.resume();
    watched.proxy.wait_for_logs("redis up", 2);
}

#[test]
fn a_connection_that_is_busy_is_asked_no_oftener_than_each_second() {
    let mut watched = Watched::start(&[]);
    let before = watched.redis.calls("ping");
    let end = Instant::now() + Duration::from_millis(3500);
    let mut asked = 0;
    let mut pauses = 0;
    let mut latest = Instant::now();
    while latest < end {
        watched.watcher.get(format!("missing {asked}"));
        asked += 1;
        std::thread::sleep(Duration::from_millis(20));
        let since = std::mem::replace(&mut latest, Instant::now());
        pauses += u64::from(latest - since > Duration::from_millis(900));
    }
    // The tracker is asked every second, and so is the other connection. There one more may be sent before the first
    // miss, and one whenever the machine was too busy to go on asking.
    let pings = watched.redis.calls("ping") - before;
    assert!(pings <= 9 + pauses, "{pings} times, with {asked} misses");
}

#[test]
fn redis_is_left_alone_when_nobody_would_miss_it() {
    let Watched {
        redis,
        proxy,
        watcher,
        ..
    } = Watched::start(&[]);
    let pings = || redis.calls("ping");
    let before = pings();
    eventually("it is asked every second", || pings() >= before + 2);
    drop(watcher);
    eventually("it is asked no more", || {
        let before = pings();
        // There is nothing to wait for but the time in which more would come.
        std::thread::sleep(Duration::from_millis(2500));
        pings() == before
    });
    drop(proxy);
}
