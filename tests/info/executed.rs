//! INFO commandstats, and errors: what Redis executed, and what was answered here.

use crate::Watched;
use crate::common::Client;
use crate::info;

#[test]
fn commands_are_counted_wherever_they_are_answered() {
    // GETs at Redis are counted: there are to be none but the client's.
    let watched = Watched::start(&["--refetch", "off"]);
    let mut client = watched.client();
    assert_eq!(client.command(&["CONFIG", "RESETSTAT"]), b"+OK\r\n");
    let script = "redis.call('set', KEYS[1], 1) redis.call('expire', KEYS[1], 100)";
    client.command(&["EVAL", script, "1", "key"]);
    client.command(&["SET", "other", "1"]);
    for _ in 0..3 {
        client.get("key");
    }
    client.command(&["GET"]);
    client.command(&["MGET", "key", "new"]);
    client.command(&["ECHO", "x"]);
    client.command(&["LPUSH", "key", "x"]);
    // On a dedicated connection.
    client.command(&["MULTI"]);
    client.command(&["SET", "key", "2"]);
    client.command(&["EXEC"]);
    let of_redis = info(&mut watched.redis.client(), &["commandstats"]);
    assert!(!of_redis.contains_key("cmdstat_mget.calls"));
    let straight = &mut watched.redis.client();
    straight.command(&["SET", "key", "3"]);
    for sections in [&["commandstats"][..], &["all"]] {
        let shown = info(&mut client, sections);
        for (field, count) in [
            ("cmdstat_eval.calls", "1"),
            ("cmdstat_expire.calls", "1"),
            ("cmdstat_set.calls", "4"),
            ("cmdstat_get.rejected_calls", "1"),
            ("cmdstat_mget.calls", "1"),
            ("cmdstat_echo.calls", "1"),
            ("cmdstat_lpush.failed_calls", "1"),
            ("cmdstat_exec.calls", "1"),
        ] {
            assert_eq!(shown.get(field).map(String::as_str), Some(count), "{field}");
        }
        // Two were hits.
        let calls = |fields: &crate::Fields| -> u64 {
            let calls = fields.get("cmdstat_get.calls");
            calls.map_or(0, |calls| calls.parse().expect("a number"))
        };
        let hits = calls(&shown) - calls(&info(straight, &["commandstats"]));
        assert_eq!(hits, 2);
    }
}

#[test]
fn errors_in_scripts_count_too() {
    let watched = Watched::start(&[]);
    let mut client = watched.client();
    let errors = |client: &mut Client| info(client, &["stats"])["total_error_replies"].clone();
    client.command(&["CONFIG", "RESETSTAT"]);
    let script = "redis.pcall('select', 99) return 1";
    assert_eq!(client.command(&["EVAL", script, "0"]), b":1\r\n");
    assert_eq!(errors(&mut client), "1");
    // This one is refused here, and Redis does not see it.
    client.command(&["GET"]);
    assert_eq!(errors(&mut client), "2");
    let of_redis = errors(&mut watched.redis.client());
    assert_eq!(of_redis, "1");
}
