//! Subscribers, and MONITOR.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::{
    GoOn, OK, PONG, assert_answers, assert_as_at_redis, assert_ends_with, assert_x, await_clients,
    proxy_with_x, settled_clients,
};
use crate::common::{Client, MB, assert_same, bulk, eventually};

fn message(text: &str) -> Vec<u8> {
    [b"*3\r\n$7\r\nmessage\r\n$4\r\nnews\r\n", &bulk(text)[..]].concat()
}

#[track_caller]
fn subscribe(client: &mut Client) {
    assert_answers(
        client,
        "SUBSCRIBE news",
        b"*3\r\n$9\r\nsubscribe\r\n$4\r\nnews\r\n:1\r\n",
    );
}

#[test]
fn subscribers_are_answered_as_at_redis() {
    let (_redis, proxy) = proxy_with_x(&[]);
    for session in [
        &[
            "SUBSCRIBE a b",
            "PSUBSCRIBE c* d*",
            "SSUBSCRIBE s",
            "PING",
            "PING hello",
            "GET a",
            "UNSUBSCRIBE a",
            "UNSUBSCRIBE",
            "PUNSUBSCRIBE",
            "SUNSUBSCRIBE",
            "GET a",
            "QUIT",
        ][..],
        &[
            "UNSUBSCRIBE",
            "PUNSUBSCRIBE",
            "SUNSUBSCRIBE x",
            "SUBSCRIBE",
            "PING",
            "QUIT",
        ],
        &["SUBSCRIBE a", "RESET", "PING", "GET a", "QUIT"],
        &["SUBSCRIBE a", "QUIT"],
        &[
            "PUBLISH a x",
            "PUBSUB NUMSUB a",
            "PUBSUB CHANNELS",
            "PUBSUB NUMPAT",
            "QUIT",
        ],
    ] {
        assert_as_at_redis(&proxy, session);
    }
    // The same in RESP3, where a subscriber may go on with commands.
    let mut client = proxy.client();
    client.send("HELLO 3\r\nSUBSCRIBE a\r\nGET x\r\n");
    let mut publisher = proxy.client();
    eventually("it is subscribed", || {
        publisher.command(&["PUBLISH", "a", "hi"]) == b":1\r\n"
    });
    client.send("GET x\r\nPING\r\nUNSUBSCRIBE\r\nQUIT\r\n");
    let expected = b"*0\r\n>3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n$4\r\ntrue\r\n\
                     >3\r\n$7\r\nmessage\r\n$1\r\na\r\n$2\r\nhi\r\n$4\r\ntrue\r\n+PONG\r\n\
                     >3\r\n$11\r\nunsubscribe\r\n$1\r\na\r\n:0\r\n+OK\r\n";
    assert_ends_with(&client.read_to_end(), expected);
}

#[test]
fn a_subscriber_gets_ten_thousand_messages_a_second_and_hits_go_on() {
    let (redis, proxy) = proxy_with_x(&[]);
    let count = 20_000;
    let mut subscriber = proxy.client();
    subscribe(&mut subscriber);
    let going = AtomicBool::new(true);
    let hits = thread::scope(|scope| {
        let go_on = GoOn(&going);
        // A hundred messages every hundredth of a second.
        scope.spawn(|| {
            let mut publisher = redis.client();
            let start = Instant::now();
            for number in 0..count {
                publisher.send(format!("PUBLISH news {number}\r\n"));
                if number % 100 == 99 {
                    publisher.read_replies(100);
                    let due = Duration::from_micros(100) * number;
                    thread::sleep(due.saturating_sub(start.elapsed()));
                }
            }
        });
        let reader = scope.spawn(|| {
            let mut reader = proxy.client();
            let mut hits = 0;
            while going.load(Ordering::Relaxed) {
                assert_x(&mut reader);
                hits += 1;
            }
            hits
        });
        for number in 0..count {
            assert_same(
                &subscriber.read_reply(),
                &message(&number.to_string()),
                &number,
            );
        }
        drop(go_on);
        reader.join().expect("a reader")
    });
    assert!(hits > 100, "only {hits} hits");
    assert!(subscriber.has_received_nothing());
}

#[test]
fn many_subscribers_get_every_message() {
    let (_redis, proxy) = proxy_with_x(&[]);
    let mut subscribers: Vec<_> = (0..50).map(|_| proxy.client()).collect();
    subscribers.iter_mut().for_each(subscribe);
    let mut publisher = proxy.client();
    for number in 0..100 {
        assert_answers(
            &mut publisher,
            &format!("PUBLISH news {number}"),
            b":50\r\n",
        );
    }
    for subscriber in &mut subscribers {
        for number in 0..100 {
            assert_same(
                &subscriber.read_reply(),
                &message(&number.to_string()),
                &number,
            );
        }
    }
}

#[test]
fn a_subscriber_that_does_not_read_costs_the_proxy_little() {
    let (redis, proxy) = proxy_with_x(&[]);
    let before = proxy.memory();
    let at_redis = settled_clients(&redis);
    let mut subscriber = proxy.client();
    subscribe(&mut subscriber);
    let text = "x".repeat(MB);
    let mut publisher = proxy.client();
    // Redis closes a subscriber for whom more than 32 MB wait.
    eventually("Redis gives up", || {
        publisher.command(&["PUBLISH", "news", &text]) == b":0\r\n"
    });
    await_clients(&redis, at_redis);
    let grown = proxy.memory().saturating_sub(before);
    assert!(grown < 16 * MB, "the memory grew by {grown} bytes");
    assert_x(&mut publisher);
    // What had come to the proxy is still delivered, and the connection ends.
    let rest = subscriber.read_to_end();
    assert!(!rest.is_empty());
    assert!(rest.starts_with(&message(&text)[..rest.len().min(MB)]));
}

#[test]
fn a_monitor_sees_what_others_do() {
    let (_redis, proxy) = proxy_with_x(&[]);
    let mut monitor = proxy.client();
    assert_answers(&mut monitor, "MONITOR", OK);
    assert_answers(&mut proxy.client(), "SET monitored 1", OK);
    loop {
        let line = monitor.read_reply();
        let line = String::from_utf8(line).expect("a text");
        if line.contains(r#""SET" "monitored" "1""#) {
            break;
        }
    }
    monitor.send("RESET\r\nPING\r\n");
    while monitor.read_reply() != b"+RESET\r\n" {}
    assert_same(&monitor.read_reply(), PONG, &"after RESET");
    assert_x(&mut monitor);
}

#[test]
fn messages_to_a_subscriber_who_has_written_cost_others_no_hits() {
    let (redis, proxy) = proxy_with_x(&[]);
    let mut subscriber = proxy.client();
    // In one go, so that the reply to the script comes when messages may come too.
    subscriber.send("WATCH a\r\nEVAL \"return 1\" 0\r\nSUBSCRIBE news\r\n");
    let expected = b"+OK\r\n:1\r\n*3\r\n$9\r\nsubscribe\r\n$4\r\nnews\r\n:1\r\n";
    assert_same(&subscriber.read_replies(3), expected, &"SUBSCRIBE");
    let mut reader = proxy.client();
    assert_x(&mut reader);
    let calls = redis.calls("get");
    for number in 0..50 {
        assert_answers(&mut reader, &format!("PUBLISH news {number}"), b":1\r\n");
        assert_same(
            &subscriber.read_reply(),
            &message(&number.to_string()),
            &number,
        );
        assert_x(&mut reader);
    }
    let misses = redis.calls("get") - calls;
    assert!(misses <= 1, "{misses} of 50 were misses");
}

#[test]
fn who_monitors_redis_does_not_bring_about_what_it_sees() {
    let (redis, proxy) = proxy_with_x(&[]);
    let (mut monitor, mut writer) = (proxy.client(), redis.client());
    assert_answers(&mut monitor, "MONITOR", OK);
    let before = redis.calls("ping");
    for number in 0..200 {
        assert_answers(&mut writer, &format!("SET seen {number}"), OK);
        monitor.read_until(format!("\"{number}\"\r\n").as_bytes());
    }
    // One for each line that shows a write, and connections are asked each second.
    let pings = redis.calls("ping") - before;
    assert!(pings < 300, "{pings}");
}
