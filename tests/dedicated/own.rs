//! What the proxy asks Redis for itself is left out of what clients are shown of requests.

use super::twins::say;
use super::{OK, assert_answers, proxy_with_x};
use crate::common::{Client, eventually};

/// The request in a line of `MONITOR`.
fn shown(line: &[u8]) -> String {
    let line = String::from_utf8(line.to_vec()).expect("a text");
    let (_, request) = line.split_once("] ").expect("a line of MONITOR");
    request.trim_end().to_owned()
}

fn monitor(client: &mut Client) {
    assert_answers(client, "MONITOR", OK);
}

#[test]
fn a_monitor_shows_what_clients_ask_alone() {
    let (redis, proxy) = proxy_with_x(&[]);
    let (mut all, mut ours) = (redis.client(), proxy.client());
    monitor(&mut all);
    monitor(&mut ours);
    let (mut client, mut other) = (proxy.client(), proxy.client());
    let of_client = ["set key 1", "get key", "strlen key"];
    // On a dedicated connection, where PING is Redis's.
    let of_other = ["multi", "incr key", "exec", "watch key", "PING", "PiNG x"];
    for command in of_client {
        say(&mut client, command);
    }
    for command in of_other {
        say(&mut other, command);
    }
    let mut own: Vec<&str> = vec![
        r#""PtTL" "key""#,
        r#""ClIENT" "ID""#,
        r#""ClIENT" "INFO""#,
        r#""PiNG""#,
    ];
    while !own.is_empty() {
        let line = shown(&all.read_reply());
        own.retain(|request| *request != line);
    }
    say(&mut client, "del the_end");
    let mut seen = Vec::new();
    loop {
        let line = shown(&ours.read_reply());
        if line.contains("the_end") {
            break;
        }
        seen.push(line.replace('"', ""));
    }
    // One that spells it as the proxy does is taken for that.
    assert_eq!(seen, [&of_client[..], &of_other[..5]].concat());
}

#[test]
fn nobody_hides_a_write_by_how_it_is_spelled() {
    let (_redis, proxy) = proxy_with_x(&[]);
    let mut monitoring = proxy.client();
    monitor(&mut monitoring);
    assert_answers(&mut proxy.client(), "SeT key 1", OK);
    assert_eq!(shown(&monitoring.read_reply()), r#""SeT" "key" "1""#);
}

#[test]
fn redis_does_not_count_the_proxys_connections_among_those_that_track() {
    let (_redis, proxy) = proxy_with_x(&[]);
    let (mut client, mut third) = (proxy.client(), proxy.client());
    let tracking = |client: &mut Client, count: u64| {
        eventually("so many track", || {
            let info = say(client, "INFO clients");
            let line = format!("tracking_clients:{count}\r\n");
            String::from_utf8_lossy(&info).contains(&line)
        });
    };
    tracking(&mut client, 0);
    // The proxy has two links then.
    say(&mut third, "HELLO 3");
    say(&mut third, "GET x");
    say(&mut third, "SET y 1");
    tracking(&mut client, 0);
    say(&mut third, "CLIENT TRACKING ON");
    tracking(&mut client, 1);
    say(&mut client, "WATCH x");
    tracking(&mut client, 1);
}
