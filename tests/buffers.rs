//! What clients may have on the way: whole pipelines before a reply is read, but no more memory than `--max_buffers`.

mod common;

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use common::{Client, DEADLINE, MB, Proxy, RedisServer, bulk, eventually, request};

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
        number_in_info(&mut client, "mem_clients_normal") < 1000
    });
}

#[test]
fn a_hundred_pipelines_at_once_stay_within_the_bound_and_each_is_served_or_closed() {
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
    println!(
        "served {served}, grew by {} MB, longest {longest:?}",
        growth / MB
    );
    // Memory is given out and taken back in pieces of all lengths: not all of it is of use again at once.
    assert!(growth < 2 * 32 * MB, "{growth}");
    assert!(longest < DEADLINE, "{longest:?}");
    assert!(served > 0, "some are served");
    assert_told(&proxy, 100 - served);
}

#[test]
fn forty_slow_readers_of_50_mb_stay_within_the_bound_and_each_is_served_or_closed() {
    let redis = RedisServer::start();
    let proxy = Proxy::start(
        &redis,
        &["--max_buffers", "128mb", "--redis_timeout", "60000"],
    );
    redis.set("key", vec![b'v'; 50 * MB]);
    redis.set("small", "value");
    let (served, growth, longest) = crowd(&proxy, 40, || {
        let mut stream = connect(&proxy);
        let sent = stream.write_all(&request(&["GETRANGE", "key", "0", "-1"]));
        thread::sleep(Duration::from_secs(1));
        let mut left = bulk(vec![b'v'; 50 * MB]).len();
        let mut buffer = vec![0; MB];
        while sent.is_ok() && left > 0 {
            match stream.read(&mut buffer) {
                Ok(0) => return false,
                Ok(length) => left -= length,
                Err(error) if is_closed(&error) => return false,
                Err(error) => panic!("it waits in vain: {error}"),
            }
            thread::sleep(Duration::from_millis(5));
        }
        left == 0
    });
    println!(
        "served {served}, grew by {} MB, longest {longest:?}",
        growth / MB
    );
    // What Redis is sending is in the hands of the helper thread and the loop for a moment.
    assert!(growth < (128 + 4 * 50) * MB, "{growth}");
    assert!(longest < DEADLINE, "{longest:?}");
    assert!(served > 0, "some are served");
    assert_told(&proxy, 40 - served);
}
