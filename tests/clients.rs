//! Clients that are many, slow, huge, silent or gone, and what each of them may cost the others.

mod common;

use std::time::{Duration, Instant};

use common::{
    Client, MB, Proxy, RedisServer, assert_same, bulk, eventually, noise, proxy_command_under,
    raise_open_files, request,
};

const FULL: &[u8] = b"-ERR max number of clients reached\r\n";

/// Replies as large as this one can't all be on their way in the buffers of the sockets.
const LARGE: usize = 100_000;

/// A proxy that has cached a small value (`x`, "true") and a large one (`large`), neither of which
/// expires during a test, and its Redis.
fn proxy_with_cached_values(flags: &[&str]) -> (RedisServer, Proxy) {
    let redis = RedisServer::start();
    redis.set("x", "true");
    redis.set("large", noise(LARGE));
    let proxy = Proxy::start(&redis, flags);
    let mut client = proxy.client();
    assert_same(&client.get("x"), &bulk("true"), &"x");
    assert_same(&client.get("large"), &bulk(noise(LARGE)), &"large");
    (redis, proxy)
}

#[track_caller]
fn assert_pong(client: &mut Client) {
    assert_same(&client.command(&["PING"]), b"+PONG\r\n", &"PING");
}

/// Asserts that the proxy answers others.
#[track_caller]
fn assert_serves_others(proxy: &Proxy) {
    assert_same(&proxy.client().get("x"), &bulk("true"), &"x");
}

/// A client that is not one too many. Those that have left may still count for a moment.
#[track_caller]
fn served_client(proxy: &Proxy) -> Client {
    let mut served = None;
    eventually("there is a place for a client", || {
        let mut client = proxy.client();
        client.send("PING\r\n");
        served = (client.read_reply() == b"+PONG\r\n").then_some(client);
        served.is_some()
    });
    served.expect("eventually returns when there is one")
}

/// Asserts that the proxy's memory has not grown by more than `bytes`.
#[track_caller]
fn assert_grown_by_less_than(proxy: &Proxy, before: usize, bytes: usize) {
    let grown = proxy.memory().saturating_sub(before);
    assert!(grown < bytes, "the memory grew by {grown} bytes");
}

/// Sends `bytes` again and again until the other side takes no more, at most `limit` bytes, and
/// returns how many it took.
#[track_caller]
fn send_until_nothing_is_taken(client: &mut Client, bytes: &[u8], limit: usize) -> usize {
    let mut sent = 0;
    let mut last_progress = Instant::now();
    while sent < limit && last_progress.elapsed() < Duration::from_millis(500) {
        match client.send_without_waiting(&bytes[sent % bytes.len()..]) {
            0 => std::thread::sleep(Duration::from_millis(5)),
            count => {
                sent += count;
                last_progress = Instant::now();
            }
        }
    }
    sent
}

#[test]
fn more_than_a_thousand_clients_are_served_at_once() {
    raise_open_files(2000);
    let (_redis, proxy) = proxy_with_cached_values(&[]);
    let mut clients: Vec<_> = (0..1200).map(|_| proxy.client()).collect();
    for round in 0..2 {
        for client in &mut clients {
            client.send("GET x\r\nPING\r\n");
        }
        for client in &mut clients {
            assert_same(&client.read_replies(2), b"$4\r\ntrue\r\n+PONG\r\n", &round);
        }
    }
}

#[test]
fn a_thousand_clients_miss_at_once() {
    raise_open_files(2000);
    let redis = RedisServer::start();
    let proxy = Proxy::start(&redis, &["--redis_timeout", "15000"]);
    let mut clients: Vec<_> = (0..1000).map(|_| proxy.client()).collect();
    for (number, client) in clients.iter_mut().enumerate() {
        client.send(format!("GET key:{}\r\n", number % 100));
    }
    for client in &mut clients {
        assert_same(&client.read_reply(), b"$-1\r\n", &"a missing key");
    }
    let calls = redis.calls("get");
    assert!(
        (100..=1000).contains(&calls),
        "{calls} requests for 100 keys"
    );
}

#[test]
fn a_client_beyond_max_clients_is_told_so_and_closed() {
    let (_redis, proxy) = proxy_with_cached_values(&["--max_clients", "3"]);
    let mut clients: Vec<_> = (0..3).map(|_| served_client(&proxy)).collect();
    for _ in 0..5 {
        assert_same(&proxy.client().read_to_end(), FULL, &"the fourth client");
        clients.iter_mut().for_each(assert_pong);
    }
    clients.pop();
    served_client(&proxy);
    clients.iter_mut().for_each(assert_pong);
}

#[test]
fn max_clients_is_lowered_to_what_the_limit_of_open_files_allows() {
    let redis = RedisServer::start();
    let proxy = Proxy::start_command(proxy_command_under(40, &redis.address(), &[]));
    let line = proxy.wait_for_log("max_clients lowered");
    assert!(line.contains("WARN"), "{line}");
    let fit = line.split_once("max_clients=").expect("how many fit").1;
    let fit: usize = fit
        .split(' ')
        .next()
        .expect("a number")
        .parse()
        .expect("a number");
    assert!((1..40).contains(&fit), "{line}");
    proxy.wait_for_log("redis up");
    let mut clients: Vec<_> = (0..100).map(|_| proxy.client()).collect();
    let refused = clients.split_off(fit);
    clients.iter_mut().for_each(assert_pong);
    for mut client in refused {
        assert_same(&client.read_to_end(), FULL, &"a client too many");
    }
    assert_same(
        &clients[0].get("missing"),
        b"$-1\r\n",
        &"Redis is still reached",
    );
    clients.pop();
    served_client(&proxy);
    clients.iter_mut().for_each(assert_pong);
}

#[test]
fn without_file_descriptors_clients_wait_and_others_go_on() {
    let (_redis, proxy) = proxy_with_cached_values(&[]);
    let mut client = proxy.client();
    assert_pong(&mut client);
    let room = 5;
    set_open_files(&proxy, proxy.open_files() as u64 + room);
    let mut waiting: Vec<_> = (0..30).map(|_| proxy.client()).collect();
    for client in &mut waiting {
        client.send("PING\r\n");
    }
    proxy.wait_for_log("cannot accept");
    let before = proxy.cpu_time_of_the_loop();
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(1) {
        assert_pong(&mut client);
        std::thread::sleep(Duration::from_millis(20));
    }
    // Without a pause it would use all of the second that others leave it.
    let used = proxy.cpu_time_of_the_loop() - before;
    assert!(used < Duration::from_millis(60), "{used:?} of a second");
    assert!(
        waiting
            .last_mut()
            .expect("30 clients")
            .has_received_nothing()
    );
    // Each that leaves lets another in.
    for mut client in waiting {
        assert_same(&client.read_reply(), b"+PONG\r\n", &"a client that waited");
    }
    assert_pong(&mut client);
    let lines = proxy.count_in_log("cannot accept");
    assert!(lines < 30, "{lines} lines in the log");
}

/// Sets the soft limit of open files of a running proxy.
fn set_open_files(proxy: &Proxy, limit: u64) {
    let (_, hard) = rlimit::getrlimit(rlimit::Resource::NOFILE).expect("a limit");
    let pid = proxy.pid().try_into().expect("a process id");
    rlimit::prlimit(pid, rlimit::Resource::NOFILE, Some((limit, hard)), None).expect("prlimit");
}

#[test]
fn connections_that_ended_leave_nothing_open() {
    let (_redis, proxy) = proxy_with_cached_values(&[]);
    let ways_to_end: [fn(Client); 4] = [
        drop,
        |mut client| assert_pong(&mut client),
        |mut client| client.send("*2\r\n$3\r\nGET\r\n$100"),
        // The replies meet a socket that is closed.
        |mut client| client.send("GET large\r\n".repeat(20)),
    ];
    let before = proxy.open_files();
    for round in 0..800 {
        ways_to_end[round % ways_to_end.len()](proxy.client());
    }
    eventually("the connections are closed", || {
        proxy.open_files() <= before
    });
}

#[test]
fn a_client_that_finishes_sending_gets_every_reply() {
    let (redis, proxy) = proxy_with_cached_values(&["--redis_timeout", "15000"]);
    redis.set("miss", "asked for");
    let mut client = proxy.client();
    client.send("GET x\r\nGET miss\r\nPING\r\n");
    client.finish_sending();
    let expected = b"$4\r\ntrue\r\n$9\r\nasked for\r\n+PONG\r\n";
    assert_same(&client.read_to_end(), expected, &"a hit, a miss and PING");
}

#[test]
fn a_client_that_finishes_sending_waits_for_redis_asleep() {
    let (redis, proxy) = proxy_with_cached_values(&["--redis_timeout", "15000"]);
    redis.pause();
    let mut client = proxy.client();
    client.send("GET missing\r\n");
    client.finish_sending();
    proxy.let_it_read();
    let before = proxy.cpu_time_of_the_loop();
    std::thread::sleep(Duration::from_millis(500));
    assert!(proxy.cpu_time_of_the_loop() - before < Duration::from_millis(30));
    assert!(client.has_received_nothing());
    redis.resume();
    assert_same(&client.read_to_end(), b"$-1\r\n", &"missing");
}

#[test]
fn a_connection_without_a_request_is_closed_with_its_client() {
    let (_redis, proxy) = proxy_with_cached_values(&[]);
    let mut client = proxy.client();
    client.finish_sending();
    assert_same(&client.read_to_end(), b"", &"no request");
}

#[test]
fn a_client_that_left_leaves_its_miss_to_the_others() {
    let redis = RedisServer::start();
    redis.set("a", "value of a");
    redis.set("b", "value of b");
    let proxy = Proxy::start(&redis, &["--redis_timeout", "15000"]);
    redis.pause();
    let mut leaving = proxy.client();
    let mut staying = proxy.client();
    leaving.send("PING\r\nGET a\r\nGET b\r\n");
    staying.send("GET a\r\n");
    proxy.let_it_read();
    // With a reply that it has not read, the connection is reset, not only closed for sending.
    eventually("PING is answered", || !leaving.has_received_nothing());
    drop(leaving);
    proxy.let_it_read();
    // One of these gets the place of the client that left, and must not get its replies.
    let mut others = Vec::new();
    for _ in 0..8 {
        let mut client = proxy.client();
        assert_pong(&mut client);
        client.send("GET b\r\nPING\r\n");
        others.push(client);
    }
    proxy.let_it_read();
    redis.resume();
    assert_same(&staying.read_reply(), &bulk("value of a"), &"a");
    for client in &mut others {
        assert_same(
            &client.read_replies(2),
            b"$10\r\nvalue of b\r\n+PONG\r\n",
            &"b",
        );
    }
    assert_eq!(redis.calls("get"), 2);
}

#[test]
fn a_pipeline_of_ten_thousand_is_answered_in_order() {
    let redis = RedisServer::start();
    let (mut requests, mut expected) = (Vec::new(), Vec::new());
    let mut random = fastrand::Rng::with_seed(1);
    for key in 0..500 {
        redis.set(format!("key:{key}"), format!("value {key}"));
    }
    for _ in 0..10_000 {
        let key = random.usize(0..600);
        requests.extend(request(&["GET", &format!("key:{key}")]));
        expected.extend(if key < 500 {
            bulk(format!("value {key}"))
        } else {
            b"$-1\r\n".to_vec()
        });
    }
    let proxy = Proxy::start(&redis, &["--redis_timeout", "15000"]);
    let mut client = proxy.client();
    // With misses, then with hits.
    for round in 0..2 {
        client.send(&requests);
        assert_same(&client.read_replies(10_000), &expected, &round);
    }
}

#[test]
fn an_endless_pipeline_starves_nobody() {
    let (_redis, proxy) = proxy_with_cached_values(&[]);
    let mut reader = proxy.client();
    let mut writer = reader.second_handle();
    const PIPELINE: usize = 2000;
    const PIPELINES: usize = 100;
    std::thread::scope(|scope| {
        scope.spawn(move || {
            for _ in 0..PIPELINES {
                writer.send("GET x\r\n".repeat(PIPELINE));
            }
            writer.finish_sending();
        });
        let reader = scope.spawn(move || reader.read_to_end());
        let mut served = 0;
        while !reader.is_finished() {
            assert_serves_others(&proxy);
            served += 1;
        }
        let expected = bulk("true").repeat(PIPELINE * PIPELINES);
        assert_same(
            &reader.join().expect("every reply came"),
            &expected,
            &"the pipeline",
        );
        assert!(served > 5, "others were served {served} times meanwhile");
    });
}

#[test]
fn a_client_that_doesnt_read_its_replies_costs_little_and_gets_them_later() {
    let (_redis, proxy) = proxy_with_cached_values(&[]);
    let before = proxy.memory();
    let mut slow = proxy.client();
    // 100 MB of replies.
    slow.send("GET large\r\n".repeat(1000));
    for _ in 0..20 {
        assert_serves_others(&proxy);
        assert_grown_by_less_than(&proxy, before, 16 * MB);
    }
    let expected = bulk(noise(LARGE));
    for number in 0..1000 {
        assert_same(&slow.read_reply(), &expected, &number);
    }
    assert_pong(&mut slow);
}

#[test]
fn what_a_client_sends_that_doesnt_read_is_held_once_and_served_later() {
    let (_redis, proxy) = proxy_with_cached_values(&["--max_buffers", "100mb"]);
    let before = proxy.memory();
    let echo = request(&["ECHO", &"e".repeat(10_000)]);
    let count = 3000;
    let mut slow = proxy.client();
    slow.send(echo.repeat(count));
    // Without room for what is sent twice, and for replies to all of it.
    assert_grown_by_less_than(&proxy, before, 50 * MB);
    assert_serves_others(&proxy);
    let expected = bulk("e".repeat(10_000));
    for number in 0..count {
        assert_same(&slow.read_reply(), &expected, &number);
    }
    assert_pong(&mut slow);
}

#[test]
fn hits_that_wait_for_the_miss_before_them_cost_little() {
    let (redis, proxy) = proxy_with_cached_values(&["--redis_timeout", "15000"]);
    redis.pause();
    let before = proxy.memory();
    let mut client = proxy.client();
    client.send(["GET missing\r\n".to_string(), "GET large\r\n".repeat(1000)].concat());
    for _ in 0..20 {
        assert_serves_others(&proxy);
        assert_grown_by_less_than(&proxy, before, 16 * MB);
    }
    assert!(client.has_received_nothing());
    redis.resume();
    assert_same(&client.read_reply(), b"$-1\r\n", &"missing");
    let expected = bulk(noise(LARGE));
    for number in 0..1000 {
        assert_same(&client.read_reply(), &expected, &number);
    }
}

#[test]
fn misses_without_end_while_redis_hangs_cost_a_bounded_amount() {
    let (redis, proxy) = proxy_with_cached_values(&["--redis_timeout", "15000"]);
    redis.pause();
    let before = proxy.memory();
    let mut client = proxy.client();
    let mut misses = String::new();
    for number in 0..400_000 {
        misses += &format!("GET {number:0200}\r\n");
    }
    let misses = misses.as_bytes();
    let sent = send_until_nothing_is_taken(&mut client, misses, misses.len());
    assert!(sent < misses.len(), "it took everything");
    assert_grown_by_less_than(&proxy, before, 32 * MB);
    assert_serves_others(&proxy);
}

#[test]
fn a_large_request_that_is_only_announced_costs_nothing() {
    let (_redis, proxy) = proxy_with_cached_values(&[]);
    let before = proxy.memory();
    let mut clients: Vec<_> = (0..40).map(|_| proxy.client()).collect();
    for (number, client) in clients.iter_mut().enumerate() {
        client.send(match number % 4 {
            0 => "*1\r\n$536870912\r\n",
            1 => "*2\r\n$3\r\nGET\r\n$536870912\r\nk",
            2 => "*1048576\r\n",
            _ => "*1048576\r\n$4\r\nECHO\r\n$536870912\r\n",
        });
    }
    assert_serves_others(&proxy);
    assert_serves_others(&proxy);
    assert!(clients.iter_mut().all(Client::has_received_nothing));
    assert_grown_by_less_than(&proxy, before, 8 * MB);
}

#[test]
fn a_value_of_100_mb_arrives_whole() {
    let redis = RedisServer::start();
    let value = noise(100 * MB);
    redis.set("huge", &value);
    redis.set("x", "true");
    let proxy = Proxy::start(&redis, &["--redis_timeout", "15000"]);
    assert_same(&proxy.client().get("x"), &bulk("true"), &"x");
    let mut client = proxy.client();
    client.send("GET huge\r\nPING\r\n");
    proxy.let_it_read();
    assert_serves_others(&proxy);
    assert_same(&client.read_reply(), &bulk(&value), &"huge");
    assert_same(&client.read_reply(), b"+PONG\r\n", &"what follows it");
}

#[test]
fn a_request_of_20_mb_is_answered() {
    let (_redis, proxy) = proxy_with_cached_values(&["--redis_timeout", "15000"]);
    let message = noise(20 * MB);
    let mut client = proxy.client();
    // The reply is as long as the request: whoever sends it all first would wait for ever.
    let mut writer = client.second_handle();
    std::thread::scope(|scope| {
        scope.spawn(|| writer.send(request(&[&b"ECHO"[..], &message])));
        assert_same(&client.read_reply(), &bulk(&message), &"ECHO");
    });
    assert_same(&client.get(&message), b"$-1\r\n", &"a key that nobody has");
}

#[test]
fn the_buffers_of_idle_clients_are_given_back() {
    let (_redis, proxy) = proxy_with_cached_values(&[]);
    let before = proxy.memory();
    let message = noise(8 * MB);
    let echo = request(&[&b"ECHO"[..], &message]);
    let mut clients: Vec<_> = (0..10).map(|_| proxy.client()).collect();
    for client in &mut clients {
        let mut writer = client.second_handle();
        std::thread::scope(|scope| {
            scope.spawn(|| writer.send(&echo));
            assert_same(&client.read_reply(), &bulk(&message), &"ECHO");
        });
    }
    // 160 MB went through their buffers.
    eventually("the memory is given back", || {
        proxy.memory() < before + 30 * MB
    });
    clients.iter_mut().for_each(assert_pong);
}
