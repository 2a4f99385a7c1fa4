//! `/healthz` and `/readyz`.

use crate::common::{Http, RedisServer, SOON_AWAY, eventually, only_time_to_live};

/// Waits until `/readyz` answers so, and returns its line.
#[track_caller]
fn eventually_ready(http: &Http, code: u16) -> String {
    let mut line = String::new();
    eventually(&format!("ready is {code}"), || {
        let response = http.get("/readyz");
        line = response.body;
        response.code == code
    });
    assert_eq!(line.matches('\n').count(), 1, "{line:?}");
    line
}

#[test]
fn ready_is_whether_redis_can_be_reached_though_nobody_is_connected() {
    let mut redis = RedisServer::start();
    let http = Http::start(&redis, SOON_AWAY);
    let line = eventually_ready(&http, 200);
    for part in [
        "\"status\":\"ready\"",
        "\"redis\":\"up\"",
        "\"redis_error\":\"\"",
        "\"tracking\":\"on\"",
    ] {
        assert!(line.contains(part), "{line}");
    }

    redis.stop();
    let mut line = String::new();
    eventually("Redis is given up", || {
        line = eventually_ready(&http, 503);
        line.contains("\"redis\":\"down\"")
    });
    let error = format!(
        "\"redis_error\":\"backing Redis at {} can't be reached: ",
        redis.address()
    );
    for part in ["\"status\":\"not ready\"", "\"redis\":\"down\"", &error] {
        assert!(line.contains(part), "{line}");
    }
    eventually("the time is told", || {
        let line = http.get("/healthz");
        line.code == 200 && !line.body.contains("\"redis_away_seconds\":0,")
    });

    redis.start_again();
    let line = eventually_ready(&http, 200);
    assert!(line.contains("\"redis_away_seconds\":0,"), "{line}");
}

#[test]
fn a_redis_that_does_not_answer_any_more_is_noticed_though_nobody_asks_it() {
    let redis = RedisServer::start();
    let http = Http::start(&redis, &["--redis_timeout", "200"]);
    eventually_ready(&http, 200);
    redis.pause();
    let line = eventually_ready(&http, 503);
    redis.resume();
    assert!(line.contains("\"redis\":\"down\""), "{line}");
    eventually_ready(&http, 200);
}

#[test]
fn a_redis_that_was_never_there_is_told_of() {
    let redis = RedisServer::not_started();
    let http = Http::start_at(&redis.address(), SOON_AWAY);
    let line = eventually_ready(&http, 503);
    assert!(line.contains("\"status\":\"not ready\""), "{line}");
    assert_eq!(http.get("/healthz").code, 200);
}

#[test]
fn a_proxy_that_may_serve_stale_entries_stays_ready() {
    let mut redis = RedisServer::start();
    let http = Http::start(&redis, &[SOON_AWAY, &["--stale_ttl", "60000"]].concat());
    redis.set("a", "1");
    http.proxy.client().get("a");
    redis.stop();
    eventually("Redis is away", || {
        http.get("/readyz").body.contains("\"redis\":\"down\"")
    });
    let line = eventually_ready(&http, 200);
    assert!(
        line.contains("stale") && line.contains("\"entries\":1,"),
        "{line}"
    );
}

#[test]
fn tracking_is_told_as_it_is() {
    let redis = RedisServer::start();
    let http = Http::start(&redis, only_time_to_live());
    assert!(http.get("/healthz").body.contains("\"tracking\":\"off\""));
}

#[test]
fn the_line_is_json_whatever_redis_says() {
    // Redis's words have quotes in them.
    let redis = RedisServer::start_with(&["--requirepass", "secret"]);
    let http = Http::start_at(&redis.address(), &["--redis_password", "wrong"]);
    http.proxy.wait_for_log("redis down");
    let mut line = String::new();
    eventually("Redis's words are told", || {
        line = http.get("/readyz").body;
        line.contains("WRONGPASS")
    });
    let checked = crate::common::run_program("python3", &["-m", "json.tool"], &line);
    assert!(checked.status.success(), "{line}: {checked:?}");
}
