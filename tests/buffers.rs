//! What clients may have on the way: whole pipelines before a reply is read, but no more memory than `--max_buffers`.

mod common;

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use common::{Client, DEADLINE, MB, Proxy, RedisServer, bulk, eventually, eventually_set, request};

/// How long a client of these tests waits; a build for debugging is slow.
const PATIENCE: Duration = Duration::from_secs(120);

fn connect(proxy: &Proxy) -> TcpStream {
    let stream = TcpStream::connect(proxy.address()).expect("the proxy accepts");
    stream.set_read_timeout(Some(PATIENCE)).expect("an option");
    stream.set_write_timeout(Some(PATIENCE)).expect("an option");
    stream
}

/// Sends all requests and then reads all replies, each of which is `reply`. Returns how many came whole before the
/// connection was closed.
fn send_all_then_read(stream: &mut TcpStream, requests: &[u8], reply: &[u8]) -> io::Result<usize> {
    stream.write_all(requests)?;
    stream.shutdown(std::net::Shutdown::Write)?;
    let mut buffer = vec![0; MB];
    let mut received = 0;
    let expected = reply.repeat(MB / reply.len() + 2);
    loop {
        let length = match stream.read(&mut buffer)? {
            0 => return Ok(received / reply.len()),
            length => length,
        };
        let start = received % reply.len();
        assert!(buffer[..length] == expected[start..start + length]);
        received += length;
    }
}

/// Whether an error says that the other side closed the connection.
fn is_closed(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe
    )
}

/// Until this goes, also by a panic, others go on.
struct GoOn<'a>(&'a AtomicBool);

impl Drop for GoOn<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

fn number_in_info(client: &mut Client, field: &str) -> usize {
    let info = client.command(&["INFO"]);
    let info = String::from_utf8_lossy(&info).into_owned();
    let line = info
        .lines()
        .find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    line.expect("the field").parse().expect("a number")
}

#[test]
fn a_pipeline_of_150_000_gets_is_taken_in_before_a_reply_is_read() {
    let redis = RedisServer::start();
    let proxy = Proxy::start(&redis, &[]);
    let value = [b'v'; 1024];
    redis.set("key", value);
    proxy.client().get("key");
    let requests = request(&["GET", "key"]).repeat(150_000);
    let replies = send_all_then_read(&mut connect(&proxy), &requests, &bulk(value));
    assert_eq!(replies.expect("it is served"), 150_000);
}

#[test]
fn a_pipeline_of_1_100_000_sets_is_taken_in_before_a_reply_is_read() {
    let redis = RedisServer::start();
    let proxy = Proxy::start(&redis, &["--redis_timeout", "60000"]);
    let requests = b"SET key 0123456789\r\n".repeat(1_100_000);
    let replies = send_all_then_read(&mut connect(&proxy), &requests, b"+OK\r\n");
    assert_eq!(replies.expect("it is served"), 1_100_000);
}

/// Asks for a cached key until `over`, and returns the longest time that an answer took.
fn innocent(proxy: &Proxy, over: &AtomicBool) -> Duration {
    let mut client = proxy.client();
    let mut longest = Duration::ZERO;
    while !over.load(Ordering::Relaxed) {
        let start = Instant::now();
        assert_eq!(client.command(&["GET", "small"]), bulk("value"));
        longest = longest.max(start.elapsed());
        thread::sleep(Duration::from_millis(2));
    }
    longest
}

/// Watches the memory of the proxy until `over`, and returns the most that it was.
fn most_memory(proxy: &Proxy, over: &AtomicBool) -> usize {
    let mut most = 0;
    while !over.load(Ordering::Relaxed) {
        most = most.max(proxy.memory());
        thread::sleep(Duration::from_millis(5));
    }
    most
}

/// Has so many clients do something at once, beside an innocent one. Returns how many of them were served in full
/// (`client` says so), and by how many bytes the proxy grew.
fn crowd(
    proxy: &Proxy,
    clients: usize,
    client: impl Fn() -> bool + Sync,
) -> (usize, usize, Duration) {
    proxy.client().get("small");
    let before = proxy.memory();
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let longest = scope.spawn(|| innocent(proxy, &over));
        let most = scope.spawn(|| most_memory(proxy, &over));
        let all: Vec<_> = (0..clients).map(|_| scope.spawn(&client)).collect();
        let all: Vec<_> = all.into_iter().map(|one| one.join()).collect();
        over.store(true, Ordering::Relaxed);
        let growth = most.join().expect("it is watched") - before;
        let longest = longest.join().expect("the innocent client is served");
        let served = all.into_iter().filter(|served| match served {
            Ok(served) => *served,
            Err(_) => panic!("one waits in vain"),
        });
        (served.count(), growth, longest)
    })
}

/// Checks that those who were not served were counted and logged.
#[track_caller]
fn assert_told(proxy: &Proxy, closed: usize) {
    let mut client = proxy.client();
    eventually("those who were closed are counted", || {
        number_in_info(&mut client, "evicted_clients") == closed
    });
    if closed > 0 {
        let line = proxy.wait_for_log("--max_buffers");
        assert!(line.starts_with("WARN"), "{line}");
    }
    eventually("nothing is held any more", || {
        number_in_info(&mut client, "client_buffers") < 1000
    });
}

#[test]
fn a_hundred_pipelines_at_once_stay_within_the_bound_and_are_served_one_after_another() {
    let redis = RedisServer::start();
    let proxy = Proxy::start(&redis, &["--max_buffers", "32mb"]);
    let value = [b'v'; 1024];
    redis.set("key", value);
    redis.set("small", "value");
    proxy.client().get("key");
    let count = 50_000;
    let requests = request(&["GET", "key"]).repeat(count);
    let (served, growth, longest) = crowd(&proxy, 100, || {
        match send_all_then_read(&mut connect(&proxy), &requests, &bulk(value)) {
            Ok(replies) => replies == count,
            Err(error) if is_closed(&error) => false,
            Err(error) => panic!("it waits in vain: {error}"),
        }
    });
    // Memory is given out and taken back in pieces of all lengths: not all of it is of use again at once.
    assert!(growth < 2 * 32 * MB, "{growth}");
    assert!(longest < DEADLINE, "{longest:?}");
    assert_eq!(served, 100);
    assert_told(&proxy, 0);
}

/// Has a client ask for a value of so many bytes and read it slowly. Returns whether it got it.
fn read_slowly(proxy: &Proxy, length: usize) -> bool {
    let mut stream = connect(proxy);
    let sent = stream.write_all(&request(&["GETRANGE", "key", "0", "-1"]));
    thread::sleep(Duration::from_millis(500));
    let mut left = bulk(vec![b'v'; length]).len();
    let mut buffer = vec![0; MB];
    while sent.is_ok() && left > 0 {
        match stream.read(&mut buffer) {
            Ok(0) => return false,
            Ok(length) => left -= length,
            Err(error) if is_closed(&error) => return false,
            Err(error) => panic!("it waits in vain: {error}"),
        }
        thread::sleep(Duration::from_millis(2));
    }
    left == 0
}

/// A Redis with a value of 20 MB and a small one, and a proxy with little room for clients.
fn with_large_value() -> (RedisServer, Proxy, usize) {
    let redis = RedisServer::start();
    let flags = ["--max_buffers", "64mb", "--redis_timeout", "60000"];
    let proxy = Proxy::start(&redis, &flags);
    let length = 20 * MB;
    redis.set("key", vec![b'v'; length]);
    redis.set("small", "value");
    (redis, proxy, length)
}

#[test]
fn slow_readers_of_large_replies_stay_within_the_bound_and_each_is_served_or_closed() {
    let (_redis, proxy, length) = with_large_value();
    let (served, growth, longest) = crowd(&proxy, 20, || read_slowly(&proxy, length));
    // What Redis is sending is in the hands of the helper thread and the loop for a moment.
    assert!(growth < (64 + 3 * 20) * MB, "{growth}");
    assert!(longest < DEADLINE, "{longest:?}");
    assert!(served > 0, "some are served");
    assert_told(&proxy, 20 - served);
}

#[test]
fn slow_readers_of_replies_that_are_known_to_be_large_hold_little_and_are_all_served() {
    let (_redis, proxy, length) = with_large_value();
    assert!(read_slowly(&proxy, length));
    let (served, growth, _) = crowd(&proxy, 20, || read_slowly(&proxy, length));
    assert_eq!(served, 20);
    assert!(growth < 64 * MB, "{growth}");
    assert_told(&proxy, 0);
    let mut client = proxy.client();
    eventually("their dedicated connections are closed", || {
        number_in_info(&mut client, "clients_on_dedicated_connection") == 0
    });
}

#[test]
fn a_client_on_a_connection_for_large_replies_gets_the_others_in_order_and_from_the_cache() {
    let redis = RedisServer::start();
    let proxy = Proxy::start(&redis, &["--redis_timeout", "60000"]);
    let large = vec![b'v'; 2 * MB];
    redis.set("key", &large);
    redis.set("small", "value");
    let mut client = proxy.client();
    let getrange = request(&["GETRANGE", "key", "0", "-1"]);
    client.send(&getrange);
    assert!(client.read_reply() == bulk(&large));
    client.get("small");
    let (getranges, gets) = (redis.calls("getrange"), redis.calls("get"));
    let pipeline = [
        &getrange[..],
        &request(&["GET", "small"]),
        &request(&["SET", "other", "1"]),
        &getrange,
        &getrange,
        &request(&["MULTI"]),
        &request(&["GET", "other"]),
        &request(&["EXEC"]),
        &request(&["GETRANGE", "key", "0", "0"]),
    ];
    client.send(pipeline.concat());
    let expected = [
        bulk(&large),
        bulk("value"),
        b"+OK\r\n".to_vec(),
        bulk(&large),
        bulk(&large),
        b"+OK\r\n+QUEUED\r\n*1\r\n$1\r\n1\r\n".to_vec(),
        bulk("v"),
    ];
    assert!(client.read_replies(9) == expected.concat());
    assert_eq!(redis.calls("getrange") - getranges, 4);
    assert_eq!(
        redis.calls("get") - gets,
        1,
        "the other comes from the cache"
    );
}

#[test]
fn who_asks_for_more_than_redis_sends_at_once_is_closed_and_nobody_else_notices() {
    let redis = RedisServer::start();
    let proxy = Proxy::start(&redis, &[]);
    let mut admin = redis.client();
    admin.command(&[
        "CONFIG",
        "SET",
        "client-output-buffer-limit",
        "normal 1mb 0 0",
    ]);
    redis.set("key", vec![b'v'; 10 * MB]);
    let is_closed = || {
        let mut stream = connect(&proxy);
        stream
            .write_all(&request(&["GETRANGE", "key", "0", "-1"]))
            .expect("it is there");
        let mut start = [0; 1];
        stream.read(&mut start).unwrap_or(0) == 0
    };
    assert!(is_closed(), "it broke the connection twice");
    eventually_set(&proxy, "a", "1");
    let mut writer = proxy.client();
    let reconnects = number_in_info(&mut writer, "upstream_reconnects");
    for _ in 0..20 {
        assert!(is_closed(), "it broke its own");
        assert_eq!(writer.command(&["SET", "a", "1"]), b"+OK\r\n");
    }
    assert_eq!(
        number_in_info(&mut writer, "upstream_reconnects"),
        reconnects
    );
}

#[test]
fn nobody_notices_the_first_reply_that_is_more_than_redis_sends_at_once() {
    let redis = RedisServer::start_with(&["--client-output-buffer-limit", "normal 1mb 0 0"]);
    let proxy = Proxy::start(&redis, &[]);
    let last_bit = (8 * 5 * MB - 1).to_string();
    let is_refused = |key: &str| {
        let mut stream = connect(&proxy);
        let getrange = request(&["GETRANGE", key, "0", "-1"]);
        stream.write_all(&getrange).expect("it is there");
        stream.read(&mut [0; 1]).unwrap_or(0) == 0
    };
    let mut info = proxy.client();
    let reconnects = number_in_info(&mut info, "upstream_reconnects");
    let going = AtomicBool::new(true);
    thread::scope(|scope| {
        let going = GoOn(&going);
        for key in ["a", "b"] {
            let mut writer = proxy.client();
            let going = going.0;
            scope.spawn(move || {
                for written in 1.. {
                    let reply = writer.command(&["INCR", key]);
                    assert_eq!(reply, format!(":{written}\r\n").into_bytes());
                    if !going.load(Ordering::Relaxed) {
                        return;
                    }
                }
            });
        }
        for way in ["GET", "STRLEN"] {
            let mut reader = proxy.client();
            let going = going.0;
            scope.spawn(move || {
                for number in 0.. {
                    let reply = reader.command(&[way, &format!("none{number}")]);
                    assert!([&b"$-1\r\n"[..], b":0\r\n"].contains(&&reply[..]));
                    if !going.load(Ordering::Relaxed) {
                        return;
                    }
                }
            });
        }
        let mut client = redis.client();
        for number in 0..10 {
            let key = format!("large{number}");
            client.command(&["SETBIT", &key, &last_bit, "1"]);
            assert!(is_refused(&key), "{key} is too much");
        }
        // What was short may have become long.
        let mut client = proxy.client();
        for number in 0..10 {
            let key = format!("growing{number}");
            client.command(&["SET", &key, "x"]);
            for _ in 0..2 {
                let reply = client.command(&["GETRANGE", &key, "0", "-1"]);
                assert_eq!(reply, bulk("x"));
            }
            client.command(&["SETBIT", &key, &last_bit, "1"]);
            assert!(is_refused(&key), "{key} is too much");
        }
    });
    assert_eq!(number_in_info(&mut info, "upstream_reconnects"), reconnects);
}

#[test]
fn a_reader_of_a_large_reply_waits_for_a_busy_redis_as_it_would_there() {
    let redis = RedisServer::start_with(&["--enable-debug-command", "yes"]);
    let proxy = Proxy::start(&redis, &[]);
    let large = vec![b'v'; 2 * MB];
    redis.set("key", &large);
    let getrange = request(&["GETRANGE", "key", "0", "-1"]);
    for busy in [false, true] {
        let mut admin = redis.client();
        let mut client = proxy.client();
        if busy {
            // Longer than a connection may otherwise take to be set up, and too short for Redis to be away.
            admin.send(request(&["DEBUG", "SLEEP", "1.5"]));
        }
        client.send(&getrange);
        assert!(client.read_reply() == bulk(&large), "busy: {busy}");
    }
}

#[test]
fn an_unread_pipeline_of_large_replies_holds_few_of_them() {
    let redis = RedisServer::start();
    let proxy = Proxy::start(&redis, &["--redis_timeout", "60000", "--max_reply", "1kb"]);
    let length = 300_000;
    redis.set("key", vec![b'v'; length]);
    let before = proxy.memory();
    let mut stream = connect(&proxy);
    // Each asks for something else, so that none comes with another. Once a reply has shown to be large, fewer are asked
    // for at once, so Redis answers none until those of the first turn have arrived.
    redis.pause();
    let requests = (0..500).flat_map(|more| {
        let end = (length + more).to_string();
        request(&["GETRANGE", "key", "0", &end])
    });
    let requests: Vec<u8> = requests.collect();
    stream.write_all(&requests).expect("it is taken in");
    redis.wait_to_be_sent(1000);
    redis.resume();
    let mut client = proxy.client();
    eventually("those that were asked for came", || {
        number_in_info(&mut client, "client_buffers") > 20 * length
    });
    assert!(proxy.memory() - before < 40 * MB);
    let reply = bulk(vec![b'v'; length]);
    let replies = send_all_then_read(&mut stream, b"", &reply);
    assert_eq!(replies.expect("they come"), 500);
}

#[test]
fn a_value_far_beyond_the_bound_passes_both_ways() {
    let redis = RedisServer::start();
    let flags = ["--max_buffers", "16mb", "--redis_timeout", "60000"];
    let proxy = Proxy::start(&redis, &flags);
    let value = vec![b'v'; 100 * MB];
    let mut client = proxy.client();
    client.send(request(&[&b"SET"[..], b"key", &value]));
    assert_eq!(client.read_reply(), b"+OK\r\n");
    client.send(request(&["GET", "key"]));
    assert!(client.read_reply() == bulk(&value));
    assert_told(&proxy, 0);
}

#[test]
fn those_who_take_nothing_are_closed_when_others_need_the_room() {
    let redis = RedisServer::start();
    let proxy = Proxy::start(&redis, &["--max_buffers", "8mb"]);
    let value = [b'v'; 1024];
    redis.set("key", value);
    proxy.client().get("key");
    let requests = request(&["GET", "key"]).repeat(1_500_000);
    for _ in 0..2 {
        // More than there is room for: it waits until it is closed, whether or not the rest is taken then.
        match send_all_then_read(&mut connect(&proxy), &requests, &bulk(value)) {
            Ok(replies) => assert!(replies < 1_500_000, "it is closed"),
            Err(error) => assert!(is_closed(&error), "{error}"),
        }
    }
    let requests = request(&["GET", "key"]).repeat(50_000);
    let replies = send_all_then_read(&mut connect(&proxy), &requests, &bulk(value));
    assert_eq!(replies.expect("it is served"), 50_000);
    assert_told(&proxy, 2);
}

#[test]
fn a_long_mget_is_answered_as_it_is_read_beside_others() {
    let redis = RedisServer::start();
    let proxy = Proxy::start(
        &redis,
        &[
            "--max_memory",
            "0",
            "--capacity",
            "100000",
            "--redis_timeout",
            "60000",
        ],
    );
    let value = vec![b'v'; 4000];
    let count = 10_000;
    let keys: Vec<String> = (0..count).map(|number| format!("key{number}")).collect();
    let mut admin = redis.client();
    for part in keys.chunks(500) {
        let words = part.iter().flat_map(|key| [key.as_bytes(), &value]);
        let mset: Vec<&[u8]> = [&b"MSET"[..]].into_iter().chain(words).collect();
        admin.send(request(&mset));
        assert_eq!(admin.read_reply(), b"+OK\r\n");
    }
    redis.set("small", "value");
    let words: Vec<&str> = ["MGET"]
        .into_iter()
        .chain(keys.iter().map(String::as_str))
        .collect();
    let mget = request(&words);
    let header = format!("*{count}\r\n").into_bytes();
    let expected = [header, bulk(&value).repeat(count)].concat();
    for _ in 0..2 {
        let (served, growth, longest) = crowd(&proxy, 4, || {
            let mut stream = connect(&proxy);
            stream.write_all(&mget).expect("it is taken in");
            stream.shutdown(std::net::Shutdown::Write).expect("an end");
            let mut received = Vec::new();
            stream.read_to_end(&mut received).expect("a reply");
            received == expected
        });
        assert_eq!(served, 4);
        assert!(longest < DEADLINE, "{longest:?}");
        // They are in the cache now, and each client may have had some on their way besides.
        assert!(growth < 3 * expected.len(), "{growth}");
    }
}
