//! SLOWLOG.

use crate::Watched;

/// Has Redis take long over whatever it is asked.
fn slowed_down(watched: &Watched, milliseconds: u64) {
    let reply = watched
        .redis
        .client()
        .command(&["CLIENT", "PAUSE", &milliseconds.to_string()]);
    assert_eq!(reply, b"+OK\r\n");
}

#[test]
fn slow_requests_are_logged_with_the_part_that_redis_took() {
    let watched = Watched::start(&["--slowlog_slower_than", "50"]);
    let mut client = watched.proxy.client();
    client.command(&["CLIENT", "SETNAME", "worker"]);
    client.get("quick");
    assert_eq!(client.command(&["SLOWLOG", "LEN"]), b":0\r\n");
    slowed_down(&watched, 200);
    client.get("slow");
    slowed_down(&watched, 200);
    client.command(&["MGET", "quick", "slow too", "and this"]);
    slowed_down(&watched, 200);
    client.command(&["SET", "key", "value"]);
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
