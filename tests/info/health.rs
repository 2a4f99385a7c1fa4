//! Redis is asked whether it is still there.

use std::time::Duration;

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
fn redis_is_left_alone_when_nobody_would_miss_it() {
    let Watched {
        redis,
        proxy,
        watcher,
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
