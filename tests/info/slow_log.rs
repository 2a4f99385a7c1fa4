//! SLOWLOG, and PROXY SLOWLOG.

use std::thread;
use std::time::Duration;

use crate::Watched;
use crate::common::{Client, eventually, request};

/// Has Redis take long over a request.
fn ask_slowly(watched: &Watched, client: &mut Client, command: &[&str]) {
    watched.redis.pause();
    client.send(request(command));
    watched.proxy.let_it_read();
    thread::sleep(Duration::from_millis(1200));
    watched.redis.resume();
    client.read_reply();
}

#[test]
fn slow_requests_are_logged_with_the_part_that_redis_took() {
    let watched = Watched::start(&["--slowlog_slower_than", "1000"]);
    let mut client = watched.proxy.client();
    client.command(&["CLIENT", "SETNAME", "worker"]);
    client.get("quick");
    assert_eq!(client.command(&["PROXY", "SLOWLOG", "LEN"]), b":0\r\n");
    ask_slowly(&watched, &mut client, &["GET", "slow"]);
    let mget = ["MGET", "quick", "slow too", "and this"];
    ask_slowly(&watched, &mut client, &mget);
    ask_slowly(&watched, &mut client, &["SET", "key", "value"]);
    assert_eq!(client.command(&["PROXY", "SLOWLOG", "LEN"]), b":3\r\n");
    let reply = client.command(&["PROXY", "SLOWLOG", "GET"]);
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
    assert!((1_000_000..=took).contains(&redis), "{redis} of {took}");
    let one = client.command(&["PROXY", "SLOWLOG", "GET", "1"]);
    assert!(one.starts_with(b"*1\r\n"));
    assert!(
        client
            .command(&["PROXY", "SLOWLOG", "GET", "-1"])
            .starts_with(b"*3\r\n")
    );
    assert_eq!(
        client.command(&["PROXY", "SLOWLOG", "GET", "-2"]),
        b"-ERR count should be greater than or equal to -1\r\n"
    );
    assert_eq!(client.command(&["PROXY", "SLOWLOG", "RESET"]), b"+OK\r\n");
    assert_eq!(client.command(&["PROXY", "SLOWLOG", "LEN"]), b":0\r\n");
}

#[test]
fn no_password_gets_into_the_slow_log() {
    let watched = Watched::start(&["--slowlog_slower_than", "0"]);
    let mut client = watched.proxy.client();
    client.command(&["CONFIG", "SET", "masterauth", "hunter2"]);
    client.command(&["ACL", "SETUSER", "app", "on", ">hunter2"]);
    let log = client.command(&["PROXY", "SLOWLOG", "GET", "-1"]);
    let log = String::from_utf8(log).expect("a text");
    assert!(
        log.contains("CONFIG") && log.contains("(redacted)"),
        "{log}"
    );
    assert!(!log.contains("hunter2"), "{log}");
}

/// The entries of a slow log, encoded.
fn entries(reply: &[u8]) -> Vec<String> {
    let text = String::from_utf8(reply.to_vec()).expect("a text");
    let entries = text.split("*6\r\n:").skip(1);
    entries.map(str::to_owned).collect()
}

/// Whether an entry is about a request that the proxy spells so.
fn is_own(entry: &str) -> bool {
    [
        "PiNG", "PtTL", "ClIENT", "AcL", "LaTENCY", "InFO", "CoNFIG", "CoMMAND",
    ]
    .iter()
    .any(|name| entry.contains(&format!("\r\n{name}\r\n")))
}

#[test]
fn the_slow_log_is_redis_own_without_what_the_proxy_asks() {
    let watched = Watched::start(&[]);
    let mut straight = watched.redis.client();
    let (mut client, mut dedicated) = (watched.client(), watched.client());
    let threshold = |client: &mut Client, micros: &str| {
        let set = ["CONFIG", "SET", "slowlog-log-slower-than", micros];
        assert_eq!(client.command(&set), b"+OK\r\n");
    };
    // Room for all that is asked until the proxy has asked for itself.
    let room = ["CONFIG", "SET", "slowlog-max-len", "100000"];
    assert_eq!(straight.command(&room), b"+OK\r\n");
    threshold(&mut client, "0");
    assert_eq!(client.command(&["SLOWLOG", "RESET"]), b"+OK\r\n");
    client.command(&["SET", "key", "value"]);
    client.get("key");
    dedicated.command(&["CLIENT", "SETNAME", "worker"]);
    dedicated.command(&["WATCH", "key"]);
    dedicated.command(&["SADD", "set", "a"]);
    eventually("the proxy asks for itself", || {
        let log = straight.command(&["SLOWLOG", "GET", "-1"]);
        let log = String::from_utf8_lossy(&log).into_owned();
        log.contains("PiNG") && log.contains("PtTL") && log.contains("AcL")
    });
    threshold(&mut client, "-1");
    let all = entries(&straight.command(&["SLOWLOG", "GET", "-1"]));
    let others: Vec<String> = all.iter().filter(|entry| !is_own(entry)).cloned().collect();
    assert!(others.len() < all.len());
    for client in [&mut client, &mut dedicated] {
        let shown = entries(&client.command(&["SLOWLOG", "GET", "-1"]));
        assert_eq!(shown, others);
        let length = client.command(&["SLOWLOG", "LEN"]);
        assert_eq!(length, format!(":{}\r\n", others.len()).into_bytes());
        assert_eq!(
            entries(&client.command(&["slowlog", "get", "2"])),
            others[..2]
        );
        let shown = entries(&client.command(&["SLOWLOG", "GET"]));
        assert_eq!(shown, others[..others.len().min(10)]);
        for wrong in [
            &["SLOWLOG", "GET", "-2"][..],
            &["SLOWLOG", "GET", "x"],
            &["SLOWLOG", "LEN", "1"],
        ] {
            assert_eq!(client.command(wrong), straight.command(wrong), "{wrong:?}");
        }
        let all_of_it = entries(&client.command(&["UPSTREAM", "SLOWLOG", "GET", "-1"]));
        assert_eq!(all_of_it, all);
    }
    let of_worker = others.iter().find(|entry| entry.contains("SADD"));
    assert!(of_worker.is_some_and(|entry| entry.contains("worker")));
    assert_eq!(client.command(&["SLOWLOG", "RESET"]), b"+OK\r\n");
    assert_eq!(straight.command(&["SLOWLOG", "LEN"]), b":0\r\n");
}
