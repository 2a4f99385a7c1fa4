//! The log as JSON.

use crate::DEBUG;
use crate::common::{Proxy, RedisServer, assert_same, bulk, run_program};

/// Reads lines of JSON. Prints level, message and keys of each, with a value's type if it is no string.
const READ_JSON: &str = r#"
import datetime, json, sys
for line in sys.stdin:
    event = json.loads(line)
    assert line == line.strip() + "\n" and type(event) is dict, line
    assert list(event)[:3] == ["time", "level", "message"], line
    datetime.datetime.strptime(event.pop("time"), "%Y-%m-%dT%H:%M:%S.%fZ")
    words = [event.pop("level"), event.pop("message")]
    for key, value in event.items():
        words.append(key + ":" + (value if type(value) is str else type(value).__name__))
    print("|".join(words))
"#;

#[test]
fn as_json_every_line_is_an_object_that_a_parser_reads() {
    let mut redis = RedisServer::start();
    let flags = ["--log_format", "json", "--redis_database", "3"];
    let mut proxy = Proxy::start(&redis, &[DEBUG, &flags, &["--password", "secret"]].concat());
    let mut client = proxy.client();
    client.command(&["AUTH", "secret"]);
    client.command(&[r"CLIENT", "SETNAME", r#"a"b\c"#]);
    client.command(&["MULTI"]);
    client.send("nonsense\r\n");
    proxy.client().send("*x\r\n");
    redis.stop();
    proxy.wait_for_log("redis down");
    redis.start_again();
    proxy.wait_for_logs("redis up", 2);
    proxy.terminate();
    proxy.wait_for_log("stopped");
    let log = proxy.log();
    let read = run_program("python3", &["-c", READ_JSON], &(log.join("\n") + "\n"));
    let errors = String::from_utf8_lossy(&read.stderr);
    assert!(read.status.success(), "{errors}\n{log:?}");
    let read = String::from_utf8(read.stdout).expect("text");
    let read: Vec<&str> = read.lines().collect();
    assert_eq!(read.len(), log.len());
    for (start, end) in [
        (
            "info|listening|address:127.0.0.1:",
            concat!("|version:", env!("CARGO_PKG_VERSION")),
        ),
        (
            "info|configured|bind:127.0.0.1|port:int|unix_socket:<none>|",
            "|log_level:debug|log_format:json",
        ),
        ("info|redis up|address:127.0.0.1:", "|away_ms:int"),
        ("warn|redis down|address:127.0.0.1:", ")"),
        ("debug|client connected|client:int|address:127.0.0.1:", ""),
        (
            "debug|client introduced itself|client:int|protocol:int|",
            r#"|name:a"b\c"#,
        ),
        (
            "info|protocol error of a client|client:int|address:127.0.0.1:",
            "|reason:Protocol error: invalid multibulk length",
        ),
        ("info|shutting down|signal:SIGTERM|clients:int", ""),
    ] {
        let found = read
            .iter()
            .any(|line| line.starts_with(start) && line.ends_with(end));
        assert!(found, "{start} … {end}: {read:#?}");
    }
    for setting in [
        "password:<hidden>",
        "redis_password:<none>",
        "tracking:on",
        "redis_database:int",
    ] {
        let setting = format!("|{setting}|");
        assert!(read[1].contains(&setting), "{setting}: {}", read[1]);
    }
}

#[test]
fn a_log_of_json_that_nobody_reads_any_more_ends_nothing() {
    let redis = RedisServer::start();
    redis.set("a", "1");
    let proxy = Proxy::start(&redis, &["--log_format", "json"]);
    proxy.close_log_after("protocol error of a client");
    for _ in 0..5 {
        proxy.client().send("*x\r\n");
        proxy.let_it_read();
    }
    assert_same(&proxy.client().get("a"), &bulk("1"), &"a");
    proxy.wait_for_log("protocol error of a client");
    let log = proxy.log();
    let is_told = |line: &&String| line.contains("protocol error of a client");
    assert_eq!(log.iter().filter(is_told).count(), 1, "{log:?}");
}
