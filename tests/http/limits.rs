//! What one may ask over HTTP, and how long, and that clients of Redis notice nothing of it.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use redis_proxy::http::{MAX_CONNECTIONS, MAX_HEAD, MAX_TIME};

use crate::common::{Http, RedisServer, bulk, eventually, raise_open_files, read_response};

const REQUEST: &[u8] = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";

/// Whether there is something to read, if only the end.
fn has_end(stream: &mut TcpStream) -> bool {
    stream.set_nonblocking(true).expect("a socket option");
    let peeked = stream.peek(&mut [0]);
    stream.set_nonblocking(false).expect("a socket option");
    !matches!(peeked, Err(error) if error.kind() == ErrorKind::WouldBlock)
}

#[test]
fn a_request_may_come_in_pieces() {
    let redis = RedisServer::start();
    let http = Http::start(&redis, &[]);
    let mut stream = http.connect();
    stream.set_nodelay(true).expect("a socket option");
    for byte in REQUEST.chunks(1) {
        stream.write_all(byte).expect("the proxy reads");
        // Another request goes between them.
        assert_eq!(http.get("/healthz").code, 200);
    }
    assert_eq!(read_response(&mut stream).code, 200);
}

#[test]
fn who_sends_nothing_more_still_gets_the_response() {
    let redis = RedisServer::start();
    let http = Http::start(&redis, &[]);
    let mut stream = http.connect();
    let request = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n";
    stream.write_all(request).expect("the proxy reads");
    stream.shutdown(Shutdown::Write).expect("a socket");
    assert_eq!(read_response(&mut stream).code, 200);
}

#[test]
fn garbage_and_heads_without_end_are_refused_and_the_refusal_arrives() {
    let redis = RedisServer::start();
    let http = Http::start(&redis, &[]);
    for (request, code) in [
        (b"*1\r\n$4\r\nPING\r\n".to_vec(), 400),
        (b"\x16\x03\x01\x02\x00\x01\x00".to_vec(), 400),
        (crate::common::noise(100_000), 400),
        (
            [b"GET / HTTP/1.1\r\nX: ", &[b'x'; MAX_HEAD][..]].concat(),
            431,
        ),
        (
            [b"GET / HTTP/1.1\r\nX: ", &[b'x'; 1_000_000][..]].concat(),
            431,
        ),
    ] {
        let mut stream = http.connect();
        // The proxy may have said all, and gone, before it is sent all.
        let _ = stream.write_all(&request);
        assert_eq!(
            read_response(&mut stream).code,
            code,
            "{} bytes",
            request.len()
        );
    }
    assert_eq!(http.get("/healthz").code, 200);
}

#[test]
fn a_slow_one_is_cut_off_after_its_time() {
    let redis = RedisServer::start();
    let http = Http::start(&redis, &[]);
    let start = Instant::now();
    let mut silent = http.connect();
    let mut slow = http.connect();
    slow.write_all(b"GET / HTTP/1.1\r\nX: ")
        .expect("the proxy reads");
    eventually("the slow one is cut off", || {
        thread::sleep(Duration::from_millis(100));
        slow.write_all(b"x").is_err() || has_end(&mut slow)
    });
    let response = read_response(&mut slow);
    assert_eq!(response.code, 408, "{response:?}");
    let mut nothing = Vec::new();
    silent.read_to_end(&mut nothing).expect("an end");
    assert_eq!(nothing, b"", "one that asked for nothing is told nothing");
    let took = start.elapsed();
    assert!(took >= MAX_TIME && took < 2 * MAX_TIME, "{took:?}");
}

#[test]
fn one_that_does_not_close_is_cut_off_after_its_time() {
    let redis = RedisServer::start();
    let http = Http::start(&redis, &[]);
    let start = Instant::now();
    let mut stuck = http.connect();
    // It has the response before it, and neither reads nor closes.
    stuck.write_all(REQUEST).expect("the proxy reads");
    eventually("it is cut off", || stuck.write_all(b"x").is_err());
    let took = start.elapsed();
    assert!(took >= MAX_TIME && took < 2 * MAX_TIME, "{took:?}");
}

#[test]
fn idle_connections_never_lock_out_a_new_one() {
    let redis = RedisServer::start();
    let http = Http::start(&redis, &[]);
    let mut idle: Vec<TcpStream> = (0..MAX_CONNECTIONS).map(|_| http.connect()).collect();
    let open_files = http.proxy.open_files();
    eventually("they are all there", || {
        http.proxy.open_files() >= open_files
    });
    assert_eq!(http.get("/healthz").code, 200);
    // The one that came first made room.
    let cut_off: Vec<usize> = (0..MAX_CONNECTIONS)
        .filter(|&number| has_end(&mut idle[number]))
        .collect();
    assert_eq!(cut_off, [0]);
}

#[test]
fn clients_get_their_hits_beside_a_thousand_slow_http_connections() {
    raise_open_files(3000);
    let redis = RedisServer::start();
    let http = Http::start(&redis, &[]);
    redis.set("a", "value");
    let mut client = http.proxy.client();
    assert_eq!(client.get("a"), bulk("value"));
    let over = AtomicBool::new(false);
    let (hits, connected) = thread::scope(|scope| {
        let slow = scope.spawn(|| {
            let mut connected = Vec::new();
            for _ in 0..1000 {
                let Ok(mut stream) = TcpStream::connect(http.address) else {
                    continue;
                };
                // The proxy may have dropped it already.
                let _ = stream.write_all(&REQUEST[..10]);
                connected.push(stream);
            }
            // Among them all, one that asks is answered.
            assert_eq!(http.get("/readyz").code, 200);
            over.store(true, Ordering::SeqCst);
            connected.len()
        });
        let mut hits = 0;
        while !over.load(Ordering::SeqCst) {
            assert_eq!(client.get("a"), bulk("value"));
            hits += 1;
        }
        (hits, slow.join().expect("no panic"))
    });
    assert!(
        hits > 10 && connected == 1000,
        "{hits} hits, {connected} connected"
    );
    assert_eq!(redis.calls("get"), 1);
    assert!(http.proxy.open_files() < 150, "{}", http.proxy.open_files());
}

#[test]
fn many_scrapes_at_once_are_all_answered() {
    let redis = RedisServer::start();
    let http = Http::start(&redis, &[]);
    thread::scope(|scope| {
        for _ in 0..20 {
            scope.spawn(|| {
                for _ in 0..10 {
                    assert!(http.metrics().contains("\nredis_proxy_redis_up 1\n"));
                }
            });
        }
    });
    assert_eq!(http.proxy.client().command(&["PING"]), b"+PONG\r\n");
}

#[test]
fn an_idle_proxy_wakes_about_once_a_second_for_its_history() {
    let redis = RedisServer::start();
    let http = Http::start(&redis, &["--tracking", "off"]);
    let count = || {
        let status = http.get("/status.json?after=1000000").body;
        let (_, rest) = status.split_once("\"count\":").expect("a count");
        let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
        digits.parse::<u64>().expect("a number")
    };
    let before = count();
    let sleeps = http.proxy.sleeps_of_the_loop();
    eventually("three samples more", || {
        thread::sleep(Duration::from_millis(500));
        count() >= before + 3
    });
    let slept = http.proxy.sleeps_of_the_loop() - sleeps;
    // Each request above is a few of them.
    assert!(slept < 100, "{slept}");
}
