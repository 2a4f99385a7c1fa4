//! The backing Redis goes away, comes back, hangs, or talks nonsense.

mod common;

use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use common::{
    Answer, Client, FakeRedis, Proxy, RedisServer, SOON_AWAY, assert_away, assert_never_there,
    assert_same, bulk, eventually, eventually_read, eventually_set, listen, reason, request,
};

fn redis_with_a_and_b() -> RedisServer {
    let redis = RedisServer::start();
    redis.set("a", "value of a");
    redis.set("b", "value of b");
    redis
}

/// A server that accepts connections and never answers, and its address.
fn silent_redis() -> (TcpListener, String) {
    let listener = listen();
    let address = listener.local_addr().expect("a bound socket").to_string();
    (listener, address)
}

/// Asserts that a miss waits in vain. On a busy machine Redis may count as away before it is asked for: then its client is
/// closed.
#[track_caller]
fn assert_timed_out(proxy: &Proxy, client: &mut Client, key: &str, address: &str) {
    client.send(request(&["GET", key]));
    let reason = match client.reply_or_end() {
        Some(reply) => reason(&reply, address),
        None => proxy.wait_for_log("redis down"),
    };
    assert!(reason.contains("timed out after "), "{reason}");
}

#[test]
fn hits_go_on_while_redis_is_stopped() {
    let mut redis = redis_with_a_and_b();
    let proxy = Proxy::start(&redis, &[]);
    let mut client = proxy.client();
    assert_same(&client.get("a"), &bulk("value of a"), &"the miss");
    redis.stop_noticed_by(&proxy);
    for mut client in [client, proxy.client()] {
        assert_same(&client.get("a"), &bulk("value of a"), &"the hit");
    }
}

#[test]
fn killing_redis_while_a_client_reads_cached_keys_loses_not_one_reply() {
    let mut redis = RedisServer::start();
    let proxy = Proxy::start(&redis, &[]);
    let mut client = proxy.client();
    let mut requests = String::new();
    let mut expected = Vec::new();
    for n in 0..100 {
        redis.set(format!("key:{n}"), format!("value {n}"));
        requests += &format!("GET key:{n}\r\n");
        expected.extend(bulk(format!("value {n}")));
    }
    client.send(&requests);
    assert_same(&client.read_replies(100), &expected, &"the misses");
    let (rounds, ended) = (AtomicUsize::new(0), AtomicBool::new(false));
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            while !ended.load(Ordering::SeqCst) {
                client.send(&requests);
                assert_same(&client.read_replies(100), &expected, &"the hits");
                rounds.fetch_add(1, Ordering::SeqCst);
            }
        });
        let reads_on = || {
            let before = rounds.load(Ordering::SeqCst);
            eventually("the client reads", || {
                // The first may have begun before.
                reader.is_finished() || rounds.load(Ordering::SeqCst) > before + 1
            });
        };
        reads_on();
        redis.stop_noticed_by(&proxy);
        reads_on();
        ended.store(true, Ordering::SeqCst);
        reader.join().expect("every reply came");
    });
    client.send("PING\r\n");
    assert_same(&client.read_reply(), b"+PONG\r\n", &"nothing is left over");
}

#[test]
fn who_needs_a_redis_that_was_never_there_is_told_why_and_so_is_the_log() {
    let redis = RedisServer::not_started();
    let proxy = Proxy::start_at(&redis.address(), SOON_AWAY);
    let line = proxy.wait_for_log("redis down");
    let expected = format!(
        "address={} reason=\"Connection refused (os error 111)\"",
        redis.address()
    );
    assert!(line.ends_with(&expected), "{line}");
    assert_eq!(
        assert_never_there(&proxy),
        "Connection refused (os error 111)"
    );
    let info = proxy.client().command(&["INFO", "persistence"]);
    assert!(String::from_utf8_lossy(&info).contains("loading:1\r\n"));
}

#[test]
fn a_client_is_closed_behind_its_hits_at_the_first_miss_while_redis_is_away() {
    let mut redis = redis_with_a_and_b();
    let proxy = Proxy::start(&redis, SOON_AWAY);
    let mut client = proxy.client();
    assert_same(&client.get("a"), &bulk("value of a"), &"the miss");
    redis.stop_noticed_by(&proxy);
    client.send("GET a\r\nPING\r\nGET b\r\nPING\r\nGET b\r\nGET a\r\n");
    assert_same(&client.read_reply(), &bulk("value of a"), &"the first hit");
    assert_same(&client.read_reply(), b"+PONG\r\n", &"PING");
    client.assert_closed();
    redis.start_again();
    redis.set("b", "b is back");
    eventually_read(&proxy, "b", &bulk("b is back"));
}

#[test]
fn the_proxy_serves_before_redis_is_there_and_finds_it_later() {
    let mut redis = RedisServer::not_started();
    let proxy = Proxy::start_at(&redis.address(), SOON_AWAY);
    let mut client = proxy.client();
    assert_same(&client.command(&["PING"]), b"+PONG\r\n", &"PING");
    assert_never_there(&proxy);
    redis.start_again();
    redis.set("a", "1");
    proxy.wait_for_log(&format!("redis up address={}", redis.address()));
    eventually_read(&proxy, "a", &bulk("1"));
}

#[test]
fn redis_is_found_again_each_time_it_comes_back() {
    let mut redis = redis_with_a_and_b();
    let proxy = Proxy::start(&redis, &[]);
    for round in 1..=3 {
        redis.stop_noticed_by(&proxy);
        redis.start_again();
        proxy.wait_for_logs("redis up", round + 1);
        eventually_read(&proxy, "missing", b"$-1\r\n");
    }
}

#[test]
fn each_change_of_redis_is_one_line_in_the_log() {
    let mut redis = redis_with_a_and_b();
    let proxy = Proxy::start(&redis, SOON_AWAY);
    redis.stop_noticed_by(&proxy);
    let line = proxy.wait_for_log("redis down");
    assert!(
        line.contains(&format!("address={}", redis.address())),
        "{line}"
    );
    assert!(
        line.contains("reason=\"") && line.contains("WARN"),
        "{line}"
    );
    let end = Instant::now() + Duration::from_millis(1500);
    while Instant::now() < end {
        assert_away(&proxy);
    }
    assert_eq!(proxy.count_in_log("redis down"), 1);
    redis.start_again();
    proxy.wait_for_logs("redis up", 2);
    redis.client().command(&["PING"]);
    assert_eq!(proxy.count_in_log("redis up"), 2);
}

#[test]
fn a_paused_redis_stalls_no_hit() {
    let redis = redis_with_a_and_b();
    let proxy = Proxy::start(&redis, &[]);
    let mut reader = proxy.client();
    assert_same(&reader.get("a"), &bulk("value of a"), &"the miss");
    redis.pause();
    let mut waiting = proxy.client();
    waiting.send("GET b\r\n");
    for _ in 0..200 {
        assert_same(&reader.get("a"), &bulk("value of a"), &"the hit");
    }
    assert!(waiting.has_received_nothing());
    redis.resume();
    assert_same(&waiting.read_reply(), &bulk("value of b"), &"b");
}

#[test]
fn a_miss_waits_for_a_paused_redis_no_longer_than_the_timeout() {
    let redis = redis_with_a_and_b();
    let proxy = Proxy::start(&redis, &["--redis_timeout", "500"]);
    redis.pause();
    assert_timed_out(&proxy, &mut proxy.client(), "a", &redis.address());
    redis.resume();
    eventually_read(&proxy, "a", &bulk("value of a"));
}

/// Each writes one request after another, until the socket to Redis is full in the middle of one.
#[test]
fn what_a_full_socket_does_not_take_follows_in_order_when_redis_reads_again() {
    const CLIENTS: usize = 8;
    const WRITES: usize = 1500;
    let redis = RedisServer::start();
    let proxy = Proxy::start(&redis, &[]);
    redis.pause();
    let value = |client: usize, write: usize| format!("{client}:{write};").repeat(200);
    thread::scope(|scope| {
        for client in 0..CLIENTS {
            let mut socket = proxy.client();
            scope.spawn(move || {
                let mut reader = socket.second_handle();
                let key = client.to_string();
                thread::scope(|scope| {
                    scope.spawn(|| {
                        for write in 0..WRITES {
                            socket.send(request(&["SET", &key, &value(client, write)]));
                            socket.send(request(&["GET", &key]));
                        }
                    });
                    for write in 0..WRITES {
                        assert_same(&reader.read_reply(), b"+OK\r\n", &"SET");
                        let expected = bulk(value(client, write));
                        assert_same(&reader.read_reply(), &expected, &"GET");
                    }
                });
            });
        }
        redis.wait_until_full(100_000);
        redis.resume();
    });
}

/// The timeout counts from when the request was sent, which the helper thread may notice a second later.
#[test]
fn a_lone_miss_waits_for_a_paused_redis_as_long_as_the_timeout() {
    let timeout = Duration::from_millis(2000);
    let redis = redis_with_a_and_b();
    let proxy = Proxy::start(&redis, &["--redis_timeout", "2000"]);
    let mut client = proxy.client();
    assert_same(&client.get("a"), &bulk("value of a"), &"the miss");
    // On a busy machine it may take several tries.
    let in_time = (0..3).any(|_| {
        redis.pause();
        let start = Instant::now();
        assert_timed_out(&proxy, &mut client, "b", &redis.address());
        let waited = start.elapsed();
        redis.resume();
        eventually_read(&proxy, "a", &bulk("value of a"));
        client = proxy.client();
        (timeout..timeout + Duration::from_millis(700)).contains(&waited)
    });
    assert!(in_time, "it waits for longer");
    eventually_read(&proxy, "b", &bulk("value of b"));
}

#[test]
fn a_reply_that_comes_too_late_is_given_to_nobody_else() {
    let redis = RedisServer::start();
    for key in ["late 0", "late 1", "late 2", "next 0", "next 1", "next 2"] {
        redis.set(key, key);
    }
    let proxy = Proxy::start(&redis, &["--redis_timeout", "300"]);
    let mut client = proxy.client();
    for round in 0..3 {
        redis.pause();
        assert_timed_out(
            &proxy,
            &mut client,
            &format!("late {round}"),
            &redis.address(),
        );
        redis.resume();
        let next = format!("next {round}");
        let mut reply = Vec::new();
        eventually("Redis is asked again", || {
            client = proxy.client();
            client.send(request(&["GET", &next]));
            reply = client.reply_or_end().unwrap_or_default();
            !reply.is_empty() && !reply.starts_with(b"-ERR")
        });
        assert_same(&reply, &bulk(&next), &next);
    }
}

#[test]
fn a_redis_that_accepts_and_never_answers_stalls_nobody() {
    let (_listener, address) = silent_redis();
    let proxy = Proxy::start_at(&address, &[]);
    let mut waiting = proxy.client();
    waiting.send("GET a\r\n");
    let mut other = proxy.client();
    assert_same(&other.command(&["PING"]), b"+PONG\r\n", &"PING");
    assert!(waiting.has_received_nothing());
    let proxy = Proxy::start_at(&address, &["--redis_timeout", "500"]);
    assert_timed_out(&proxy, &mut proxy.client(), "a", &address);
}

#[test]
fn no_miss_waits_for_a_connection_that_is_known_to_fail() {
    const MISSES: usize = 20;
    let (listener, address) = silent_redis();
    let proxy = Proxy::start_at(&address, &["--redis_timeout", "2000"]);
    proxy.wait_for_log("redis down");
    // Another attempt to connect is under way for most of the time.
    for _ in 0..MISSES {
        assert_never_there(&proxy);
    }
    listener.set_nonblocking(true).expect("a socket option");
    let attempts = std::iter::from_fn(|| listener.accept().ok()).count();
    assert!((1..MISSES / 2).contains(&attempts), "{attempts} attempts");
}

#[test]
fn the_pause_between_attempts_to_connect_grows() {
    let listener = listen();
    let address = listener.local_addr().expect("a bound socket").to_string();
    // No attempt may be given up before it is closed here, however busy the machine is.
    let _proxy = Proxy::start_at(&address, &[]);
    listener.set_nonblocking(true).expect("a socket option");
    let mut attempts = Vec::new();
    let mut pauses = Vec::new();
    // 100 ms for a second, then 200, 400 and 800 ms, each by a random part shorter, and by chance longer.
    eventually("the pauses grow", || {
        // Each attempt is closed at once, and the pause begins with that.
        if let Ok(_attempt) = listener.accept() {
            attempts.push(Instant::now());
        }
        pauses = attempts.windows(2).map(|two| two[1] - two[0]).collect();
        let long = |pause: &Duration| *pause > Duration::from_millis(500);
        pauses.iter().filter(|pause| long(pause)).count() >= 2
    });
    let first = Duration::from_millis(50)..Duration::from_millis(1500);
    assert!(first.contains(&pauses[0]), "{pauses:?}");
}

#[test]
fn a_connection_that_redis_has_closed_is_replaced_without_an_error() {
    let redis = redis_with_a_and_b();
    let proxy = Proxy::start(&redis, &[]);
    let mut client = proxy.client();
    for round in 0..5 {
        redis
            .client()
            .command(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
        let key = format!("key:{round}");
        redis.set(&key, "found");
        assert_same(&client.get(&key), &bulk("found"), &key);
    }
}

#[test]
fn a_read_in_flight_when_redis_dies_waits_until_it_is_back_and_a_writer_is_closed() {
    let mut redis = redis_with_a_and_b();
    let proxy = Proxy::start(&redis, &["--redis_timeout", "15000"]);
    let mut client = proxy.client();
    redis.pause();
    let mut writer = proxy.client();
    client.send("PING\r\nGET a\r\nPING\r\n");
    assert_same(&client.read_reply(), b"+PONG\r\n", &"what is before it");
    let long = "x".repeat(1000);
    writer.send(format!("SET b {long}\r\n"));
    redis.wait_to_be_sent(1000);
    redis.stop();
    proxy.wait_for_log("redis down");
    assert!(client.has_received_nothing());
    redis.start_again();
    assert_same(&client.read_replies(2), b"$-1\r\n+PONG\r\n", &"after that");
    // Whether it was carried out nobody knows.
    writer.assert_closed();
}

#[test]
fn replies_that_come_in_parts_are_put_together() {
    let redis = FakeRedis::start(|key| {
        let reply = bulk([b"value of ", key].concat());
        if key.starts_with(b"whole") {
            return Answer::Reply(reply);
        }
        let (first, rest) = reply.split_at(key.len());
        Answer::InParts(first.to_vec(), rest.to_vec())
    });
    let proxy = Proxy::start_at(&redis.address(), &[]);
    proxy.wait_for_redis();
    let mut client = proxy.client();
    for round in 0..4 {
        let keys = ["whole", "first part", "second part", "whole, too"];
        let keys = keys.map(|key| format!("{key} {round}"));
        let requests = keys.each_ref().map(|key| format!("GET \"{key}\"\r\n"));
        let expected = keys
            .each_ref()
            .map(|key| bulk(format!("value of {key}")))
            .concat();
        client.send(requests.concat());
        assert_same(&client.read_replies(keys.len()), &expected, &round);
    }
    assert_eq!(proxy.count_in_log("redis down"), 0, "none was waited for");
}

#[test]
fn a_miss_that_comes_while_another_is_under_way_is_asked_for_right_behind_it() {
    let redis = RedisServer::start();
    let proxy = Proxy::start(&redis, &[]);
    let mut clients = [proxy.client(), proxy.client()];
    let mut times = Vec::new();
    for round in 0..10 {
        redis.pause();
        for (number, client) in clients.iter_mut().enumerate() {
            client.send(format!("GET {round}-{number}\r\n"));
            proxy.let_it_read();
        }
        redis.resume();
        let start = Instant::now();
        for client in &mut clients {
            assert_same(&client.read_reply(), b"$-1\r\n", &round);
        }
        times.push(start.elapsed());
    }
    // Were the second left for the helper thread to find, that would take half a second each time. A busy machine may take
    // as long, but not each time.
    times.sort();
    assert!(times[4] < Duration::from_millis(250), "{times:?}");
}

#[test]
fn a_connection_that_ends_before_it_is_told_of_changes_is_no_refusal() {
    let redis = FakeRedis::start(|_| Answer::Reply(bulk("value")));
    redis.lose_next_tracker();
    let proxy = Proxy::start_at(&redis.address(), &[]);
    proxy.wait_for_redis();
    let mut client = proxy.client();
    assert_same(&client.get("a"), &bulk("value"), &"a");
    // The connection for RESP3 is made for the first request in it.
    redis.lose_next_tracker();
    client.send("HELLO 3\r\n");
    client.read_reply();
    assert_same(&client.get("b"), &bulk("value"), &"b");
    assert_eq!(proxy.count_in_log("may be outdated until they expire"), 0);
    assert_eq!(proxy.count_in_log("it answers"), 0);
    // The other link may still be on its way to the new connection.
    eventually("changes are reported", || {
        let info = client.command(&["INFO", "upstream"]);
        String::from_utf8_lossy(&info).contains("tracking:on")
    });
}

#[test]
fn a_reply_that_breaks_off_is_asked_for_again() {
    let broken = AtomicBool::new(false);
    let redis = FakeRedis::start(move |_| {
        if broken.swap(true, Ordering::SeqCst) {
            Answer::Reply(bulk("the whole value"))
        } else {
            Answer::ReplyAndClose(b"$15\r\nthe wh".to_vec())
        }
    });
    let proxy = Proxy::start_at(&redis.address(), &[]);
    proxy.wait_for_redis();
    assert_same(&proxy.client().get("a"), &bulk("the whole value"), &"a");
}

#[test]
fn a_reply_that_always_breaks_off_closes_who_asked_in_the_end() {
    let asked = Arc::new(AtomicUsize::new(0));
    let redis = FakeRedis::start({
        let asked = Arc::clone(&asked);
        move |_| {
            asked.fetch_add(1, Ordering::SeqCst);
            Answer::ReplyAndClose(b"$15\r\nthe wh".to_vec())
        }
    });
    let proxy = Proxy::start_at(&redis.address(), SOON_AWAY);
    proxy.wait_for_redis();
    assert_away(&proxy);
    let asked = asked.load(Ordering::SeqCst);
    assert!((1..=3).contains(&asked), "asked {asked} times");
}

#[test]
fn nonsense_instead_of_a_reply_is_an_error() {
    let redis = FakeRedis::start(|_| Answer::Reply(b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec()));
    let proxy = Proxy::start_at(&redis.address(), &["--redis_timeout", "1000"]);
    proxy.wait_for_redis();
    let mut client = proxy.client();
    for key in ["a", "b"] {
        reason(&client.get(key), &redis.address());
    }
    assert_same(&client.command(&["PING"]), b"+PONG\r\n", &"PING");
}

#[test]
fn a_reply_of_a_type_that_get_never_has_reaches_nobody_as_a_value() {
    let redis = FakeRedis::start(|_| Answer::Reply(b"*2\r\n$1\r\na\r\n:1\r\n".to_vec()));
    let proxy = Proxy::start_at(&redis.address(), &[]);
    proxy.wait_for_redis();
    let mut client = proxy.client();
    client.send("GET a\r\nPING\r\n");
    // Whether it is passed on or refused: it is one reply, and the next is in its place.
    let reply = client.read_reply();
    assert!(!reply.starts_with(b"$"), "{}", reply.escape_ascii());
    assert_same(&client.read_reply(), b"+PONG\r\n", &"PING");
}

/// Until then Redis does not tell the proxy the number of a connection, so none can be told of changes.
fn redis_without_numbers(until: &Arc<AtomicBool>) -> FakeRedis {
    let until = Arc::clone(until);
    FakeRedis::start_for_all(move |request| {
        let asks = request.len() == 2 && request[1].eq_ignore_ascii_case(b"ID");
        while asks && !until.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(1));
        }
        None
    })
}

#[test]
fn without_a_tracker_nothing_is_cached_until_there_is_one_again() {
    let until = Arc::new(AtomicBool::new(false));
    let redis = redis_without_numbers(&until);
    let proxy = Proxy::start_at(&redis.address(), SOON_AWAY);
    let mut client = proxy.client();
    proxy.wait_for_log("nothing is cached until it can");
    client.command(&["SET", "key", "value"]);
    for _ in 0..3 {
        assert_same(&client.get("key"), &bulk("value"), &"a miss");
    }
    assert_eq!(field(&mut client, "stats", "keyspace_hits"), "0");
    until.store(true, Ordering::SeqCst);
    proxy.wait_for_log("reports changes again");
    eventually("it is cached", || {
        client.get("key");
        field(&mut client, "stats", "keyspace_hits") != "0"
    });
    assert_eq!(field(&mut client, "upstream", "tracking"), "on");
}

/// A Redis whose connections lead to the servers with these `run_id`s, one after the other.
fn redis_at_several_addresses(
    run_ids: impl Fn(usize) -> usize + Send + Sync + 'static,
) -> FakeRedis {
    let count = AtomicUsize::new(0);
    FakeRedis::start_for_all(move |request| {
        let asks = request.len() == 2 && request[0] == b"INFO" && request[1] == b"server";
        asks.then(|| {
            let run_id = run_ids(count.fetch_add(1, Ordering::SeqCst));
            Answer::Reply(bulk(format!("run_id:{run_id}\r\n")))
        })
    })
}

#[test]
fn connections_that_lead_to_another_server_than_the_first_are_made_anew() {
    let redis = redis_at_several_addresses(|count| count.min(1));
    let proxy = Proxy::start_at(&redis.address(), &[]);
    eventually_set(&proxy, "key", "value");
    let mut client = proxy.client();
    assert_same(&client.get("key"), &bulk("value"), &"a miss");
    proxy.wait_for_log("it now connects to another server");
    eventually("changes are reported", || {
        field(&mut client, "upstream", "tracking") == "on"
    });
    assert_eq!(proxy.count_in_log("may be outdated until they expire"), 0);
}

#[test]
fn an_address_that_always_leads_elsewhere_serves_without_reports_of_changes() {
    let redis = redis_at_several_addresses(|count| count);
    let proxy = Proxy::start_at(&redis.address(), &[]);
    proxy.wait_for_log("its address leads to several servers");
    let mut client = proxy.client();
    client.command(&["SET", "key", "value"]);
    // The log may be ahead of what the loop knows.
    eventually("it is cached", || {
        assert_same(&client.get("key"), &bulk("value"), &"a read");
        field(&mut client, "cache", "cache_hits") != "0"
    });
}

/// A field of a section of `INFO`.
fn field(client: &mut Client, section: &str, name: &str) -> String {
    let info = client.command(&["INFO", section]);
    let info = String::from_utf8_lossy(&info).into_owned();
    let mut lines = info.lines();
    let value = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    value
        .unwrap_or_else(|| panic!("{name} in {info}"))
        .to_owned()
}
