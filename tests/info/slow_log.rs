//! SLOWLOG.

use std::thread;
use std::time::Duration;

use crate::Watched;
use crate::common::{Client, request};

/// Has Redis take long over a request.
fn ask_slowly(watched: &Watched, client: &mut Client, command: &[&str]) {
    watched.redis.pause();
    client.send(request(command));
    watched.proxy.let_it_read();
    thread::sleep(Duration::from_millis(200));
    watched.redis.resume();
    client.read_reply();
}

#[test]
fn slow_requests_are_logged_with_the_part_that_redis_took() {
    // What is quick is so on a busy machine too.
    let watched = Watched::start(&["--slowlog_slower_than", "30000"]);
    let mut client = watched.proxy.client();
    client.command(&["CLIENT", "SETNAME", "worker"]);
    client.get("quick");
    assert_eq!(client.command(&["SLOWLOG", "LEN"]), b":0\r\n");
    client.command(&["CONFIG", "SET", "slowlog-log-slower-than", "50000"]);
    client.command(&["SLOWLOG", "RESET"]);
    ask_slowly(&watched, &mut client, &["GET", "slow"]);
    let mget = ["MGET", "quick", "slow too", "and this"];
    ask_slowly(&watched, &mut client, &mget);
    ask_slowly(&watched, &mut client, &["SET", "key", "value"]);
    assert_eq!(client.command(&["SLOWLOG", "LEN"]), b":3\r\n");
    let reply = client.command(&["SLOWLOG", "GET"]);
    let reply = String::from_utf8(reply).expect("a text");
    let lines: Vec<&str> = reply.split("\r\n").collect();
    assert_eq!(lines[..3], ["*3", "*7", ":2"], "{reply}");
    assert!(reply.contains("*3\r\n$3\r\nSET\r\n$3\r\nkey\r\n$5\r\nvalue\r\n"));
    assert!(
        reply.contains("*4\r\n$4\r\nMGET\r\n$5\r\nquick\r\n$8\r\nslow too\r\n$8\r\nand this\r\n")
    );
    assert!(reply.contains("*2\r\n$3\r\nGET\r\n$4\r\nslow\r\n"));
    assert!(reply.contains("$6\r\nworker\r\n:"));
    let number = |line: &str| {
        line.trim_start_matches(':')
            .parse::<u64>()
            .expect("a number")
    };
    let took = number(lines[4]);
    let redis = number(
        lines[lines
            .iter()
            .position(|line| *line == "worker")
            .expect("the name")
            + 1],
    );
    assert!((50_000..=took).contains(&redis), "{redis} of {took}");
    let one = client.command(&["SLOWLOG", "GET", "1"]);
    assert!(one.starts_with(b"*1\r\n"));
    assert!(
        client
            .command(&["SLOWLOG", "GET", "-1"])
            .starts_with(b"*3\r\n")
    );
    assert_eq!(
        client.command(&["SLOWLOG", "GET", "-2"]),
        b"-ERR count should be greater than or equal to -1\r\n"
    );
    assert_eq!(client.command(&["SLOWLOG", "RESET"]), b"+OK\r\n");
    assert_eq!(client.command(&["SLOWLOG", "LEN"]), b":0\r\n");
}

#[test]
fn no_password_gets_into_the_slow_log() {
    let watched = Watched::start(&["--slowlog_slower_than", "0"]);
    let mut client = watched.proxy.client();
    client.command(&["CONFIG", "SET", "masterauth", "hunter2"]);
    client.command(&["ACL", "SETUSER", "app", "on", ">hunter2"]);
    let log = client.command(&["SLOWLOG", "GET", "-1"]);
    let log = String::from_utf8(log).expect("a text");
    assert!(
        log.contains("CONFIG") && log.contains("(redacted)"),
        "{log}"
    );
    assert!(!log.contains("hunter2"), "{log}");
}
