//! Write, then notify: somebody writes a key straight at Redis and then says so. Who hears that through the proxy never
//! reads the older value there after that, on whichever connection.

use crate::common::{Client, Proxy, RedisServer, assert_same, bulk, soak};
use crate::wire::words;

/// How many tries of each pattern there are in a long run, and in a short one.
const TRIES: usize = 10_000;
const FEWER_TRIES: usize = 300;

/// How one is told.
struct Pattern {
    /// What the listener sends once, and how many replies it gets.
    listen: &'static str,
    replies: usize,
    /// What the listener sends before each try; `#N` stands for the number of the try, `#P` for the one before.
    wait: &'static str,
    /// What the writer sends after the write.
    notify: &'static str,
}

/// Has a key written and told of so often, each time with its number as the value.
fn is_never_stale(pattern: &Pattern, redis_options: &[&str]) {
    let tries = soak().map_or(FEWER_TRIES, |_| TRIES);
    let redis = RedisServer::start_with(redis_options);
    redis.set("key", "0");
    let proxy = Proxy::start(&redis, &[]);
    let (mut writer, mut listener, mut reader) = (redis.client(), proxy.client(), proxy.client());
    if !pattern.listen.is_empty() {
        listener.send(words(pattern.listen));
        listener.read_replies(pattern.replies);
    }
    assert_same(&reader.get("key"), &bulk("0"), &"before");
    for number in 1..=tries {
        let fill = |text: &str| {
            let text = text.replace("#N", &number.to_string());
            words(&text.replace("#P", &(number - 1).to_string()))
        };
        if !pattern.wait.is_empty() {
            listener.send(fill(pattern.wait));
        }
        write_and_notify(
            &mut writer,
            &fill("SET key #N"),
            &fill(pattern.notify),
            number,
        );
        let told = listener.read_reply();
        assert!(!told.starts_with(b"-"), "{}", told.escape_ascii());
        assert_same(
            &reader.get("key"),
            &bulk(number.to_string()),
            &pattern.notify,
        );
    }
}

/// In one pipeline and in two round trips by turns.
fn write_and_notify(writer: &mut Client, write: &[u8], notify: &[u8], number: usize) {
    if number.is_multiple_of(2) {
        writer.send([write, notify].concat());
        writer.read_replies(2);
    } else {
        for request in [write, notify] {
            writer.send(request);
            writer.read_reply();
        }
    }
}

#[test]
fn a_subscriber_reads_no_older_value_than_a_message_tells_of() {
    let pattern = Pattern {
        listen: "SUBSCRIBE channel",
        replies: 1,
        wait: "",
        notify: "PUBLISH channel #N",
    };
    is_never_stale(&pattern, &[]);
}

#[test]
fn a_worker_reads_no_older_value_than_there_was_when_its_list_was_pushed_to() {
    let pattern = Pattern {
        listen: "",
        replies: 0,
        wait: "BLPOP list 0",
        notify: "RPUSH list #N",
    };
    is_never_stale(&pattern, &[]);
}

/// The listener hears of the write itself; the other command is only there to be like the others.
#[test]
fn who_is_sent_keyspace_events_reads_no_older_value_than_they_tell_of() {
    let pattern = Pattern {
        listen: "SUBSCRIBE __keyspace@0__:key",
        replies: 1,
        wait: "",
        notify: "PING",
    };
    is_never_stale(&pattern, &["--notify-keyspace-events", "KEA"]);
}

#[test]
fn who_waits_for_a_stream_reads_no_older_value_than_there_was_when_it_grew() {
    let pattern = Pattern {
        listen: "",
        replies: 0,
        wait: "XREAD BLOCK 0 STREAMS stream #P-1",
        notify: "XADD stream #N-1 field value",
    };
    is_never_stale(&pattern, &[]);
}

#[test]
fn who_monitors_redis_reads_no_older_value_than_is_shown() {
    let redis = RedisServer::start();
    redis.set("key", "0");
    let proxy = Proxy::start(&redis, &[]);
    let (mut writer, mut listener, mut reader) = (redis.client(), proxy.client(), proxy.client());
    assert_same(&listener.command(&["MONITOR"]), b"+OK\r\n", &"MONITOR");
    assert_same(&reader.get("key"), &bulk("0"), &"before");
    for number in 1..=soak().map_or(FEWER_TRIES, |_| TRIES) {
        writer.send(words(&format!("SET key {number}")));
        listener.read_until(format!("\"{number}\"\r\n").as_bytes());
        assert_same(&reader.get("key"), &bulk(number.to_string()), &"MONITOR");
        writer.read_reply();
    }
}
